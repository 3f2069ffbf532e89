"""How soon after ``so2cam demo`` a browser shows live images, an emission rate and the state. A part of ``web.py``."""

import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

ROOT = Path(__file__).resolve().parents[1]
LIMIT_S = 30.0
PATIENCE_S = 180.0
Row = tuple[str, str, bool]
_IMAGE = "() => document.querySelector('so2cam-viewer')?.image?.header.rows > 0"
_RATE = "() => /[0-9]/.test(document.querySelector('[data-testid=rate-value]')?.textContent ?? '')"
_STATE = "() => /capture/.test(document.querySelector('[data-testid=state-node-demo]')?.textContent ?? '')"


def measure(chromium: str) -> list[Row]:
    """Start the demo, open the address that it prints, and return when each was there, from the command on."""
    with tempfile.TemporaryDirectory(prefix="so2cam-benchmark-", ignore_cleanup_errors=True) as folder:
        began = time.monotonic()
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "so2cam", "demo", "--no-open", "--out", folder],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env={**os.environ, "PYTHONPATH": str(ROOT / "src"), "PYTHONUNBUFFERED": "1"},
        )
        try:
            url = _address(process)
            with sync_playwright() as playwright:
                browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
                rows = [_row("address printed", began)]
                page = browser.new_page(viewport={"width": 1280, "height": 800})
                page.goto(url, wait_until="commit")
                for words, script in (("live image", _IMAGE), ("state of the instrument", _STATE), ("rate", _RATE)):
                    rows.append(_shown(page, words, script, began))
                browser.close()
        finally:
            process.send_signal(signal.SIGINT)
            try:
                process.wait(60)
            except subprocess.TimeoutExpired:  # interrupts may be ignored, where this runs in the background
                process.terminate()
                process.wait(60)
    return rows


def _address(process: "subprocess.Popen[str]") -> str:
    said: list[str] = []
    for line in process.stdout or ():
        said.append(line)
        found = re.search(r"open (http\S+/) in a browser", line)
        if found is not None:
            threading.Thread(target=_drain, args=(process,), daemon=True).start()
            return found[1]
    raise SystemExit("".join(said))


def _drain(process: "subprocess.Popen[str]") -> None:
    """Read on, so that the demo never waits for somebody who does."""
    for _ in process.stdout or ():
        pass


def _shown(page: Page, words: str, script: str, began: float) -> Row:
    page.wait_for_function(script, timeout=1000 * PATIENCE_S, polling=50)
    return _row(words, began)


def _row(words: str, began: float) -> Row:
    seconds = time.monotonic() - began
    return f"demo: {words}, from the command", f"{seconds:.1f} s", seconds <= LIMIT_S
