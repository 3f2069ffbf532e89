"""The live demo as people start it: rates near the truth as they come, and meanwhile a browser that shows all of it."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from so2cam.formats.sitefile import load_site
from so2cam.station.catalogue import Catalogue

pytestmark = pytest.mark.timeout(400)
PATIENCE_S = 150.0
PROGRAM = """import signal, sys
from so2cam.cli.main import run
signal.signal(signal.SIGINT, signal.default_int_handler)  # which is not so where tests run in the background
sys.exit(run(sys.argv[1:]))
"""
ENOUGH = 15


@pytest.fixture
def looker(request: pytest.FixtureRequest) -> Page | None:
    """A page; None where there is no browser: then the demo runs without anybody looking."""
    try:
        found: Page = request.getfixturevalue("page")
    except pytest.skip.Exception:
        return None
    return found


class Demo:
    """``so2cam demo`` in a process of its own."""

    def __init__(self, out: Path) -> None:
        self._log = out.with_suffix(".log")
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-P", "-c", PROGRAM, "demo", "--no-open", "--scenario", "ideal", "--out", str(out)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, "PYTHONUNBUFFERED": "1", "COLUMNS": "200"},
            )

    @property
    def said(self) -> str:
        """What it printed."""
        return self._log.read_text(encoding="utf-8", errors="replace")

    def wait_for(self, holds: Callable[[str], object]) -> None:
        """Wait until something holds of what it printed."""
        until = time.monotonic() + PATIENCE_S
        while not holds(self.said):
            assert self.process.poll() is None, self.said
            assert time.monotonic() < until, self.said
            time.sleep(0.1)

    def interrupt(self) -> int:
        """Press Ctrl-C, and return the exit code."""
        self.process.send_signal(signal.SIGINT)
        return self.process.wait(90)


def test_the_demo_is_seen_in_a_browser_and_its_rates_are_near_the_truth(tmp_path: Path, looker: Page | None) -> None:
    demo = Demo(tmp_path / "demo")
    try:
        demo.wait_for(lambda said: re.search(r"open http\S+/ in a browser", said))
        if looker is not None:
            _look_on(looker, demo)
            _save(looker, demo)
        demo.wait_for(lambda said: len(_rates(said)) >= ENOUGH and _calibrated(tmp_path / "demo"))
        assert demo.interrupt() == 0
    finally:
        if demo.process.poll() is None:
            demo.process.terminate()
            demo.process.wait(60)
    said = demo.said
    assert "Traceback" not in said  # also where somebody looks on to the end
    errors = [float(text) for text in re.findall(r"flow_raw .* ([+-][0-9.]+) %", said)]
    assert len(errors) == 2, said
    assert max(abs(error) for error in errors) < 5
    for kind, least in (("frames", 12), ("spectra", 3)):
        words = rf"(\d+) {kind} kept .* (\d+) acknowledged, (\d+) in the archive, (\d+) of them verified"
        account = re.search(words, said)
        assert account is not None, said
        assert len(set(account.groups())) == 1
        assert int(account.group(1)) >= least
    columns = re.search(r"(\d+) SO2 columns of the spectrometer: .*\(([+-][0-9.]+) %\)", said)
    assert columns is not None, said
    assert abs(float(columns.group(2))) < 10
    assert re.search(r"\b([1-9]\d*) pairs calibrated by gas cells and spectrometer", said), said
    assert len(set(_addresses(said))) == 1


def _rates(said: str) -> list[str]:
    return re.findall(r"^  \d\d:\d\d:\d\d  upstream .*true", said, re.MULTILINE)


def _calibrated(out: Path) -> bool:
    """Tell whether a pair was calibrated with the spectrometer."""
    site = load_site(out / "site.toml").site.name
    with Catalogue.open(None, out / "station") as catalogue:
        rows = catalogue.pairs(site, start=datetime(2020, 1, 1, tzinfo=UTC), end=datetime.now(UTC))
    return any(json.loads(row.record)["calibration_number"] >= 0 for row in rows)


def _addresses(said: str) -> list[str]:
    return re.findall(r"answers at (http://127.0.0.1:\d+)/", said)


def _look_on(page: Page, demo: Demo) -> None:
    """Open the address that it printed: images, emission rate and state come. How soon, ``benchmarks/web.py`` tells."""
    patience_ms = 1000 * PATIENCE_S
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    address = re.search(r"open (http\S+/) in a browser", demo.said)
    assert address is not None
    page.goto(address[1])
    expect(page.get_by_test_id("viewer-caption")).to_contain_text("column", timeout=patience_ms)
    page.wait_for_function("() => document.querySelector('so2cam-viewer').image?.header.rows > 0", timeout=patience_ms)
    expect(page.get_by_test_id("rate-value")).to_have_text(re.compile(r"\d"), timeout=patience_ms)
    expect(page.get_by_test_id("rate-more")).to_contain_text("±", timeout=patience_ms)
    expect(page.get_by_test_id("state-live")).to_have_text("live", timeout=patience_ms)
    expect(page.get_by_test_id("state-node-demo")).to_contain_text("devices capture", timeout=patience_ms)
    assert errors == []


def _save(page: Page, demo: Demo) -> None:
    """Save the site file in the pages: the station takes it up at once, at the same address, and the page heals."""
    page.goto(f"{_addresses(demo.said)[0]}/setup?key=station.products_every_s")
    page.wait_for_function("window.did_handshake")
    field = page.get_by_test_id("key-station.products_every_s")
    field.fill("20")
    field.press("Enter")
    page.get_by_test_id("draft-save").click()
    page.get_by_test_id("save-note").fill("fewer files")
    page.get_by_test_id("save-yes").click()
    demo.wait_for(lambda said: len(_addresses(said)) == 2)
    patience_ms = 1000 * PATIENCE_S
    expect(page.get_by_test_id("draft-words")).to_have_text("The site file is as it is saved.", timeout=patience_ms)
    page.goto(_addresses(demo.said)[1])
    expect(page.get_by_test_id("rate-value")).to_have_text(re.compile(r"\d"), timeout=patience_ms)
