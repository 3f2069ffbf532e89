"""Pictures of every page, light and dark, on a desk and on a phone, into ``docs/images/web``.

    python tools/screenshots.py                    all pages (about ten minutes)
    python tools/screenshots.py health alarms      these pages

They show the station of ``tools/seeded_station.py``: a simulated volcano with a day behind it. It needs Debian's
Chromium (or Google's) and Playwright. No picture is larger than 150 kB.
"""

import argparse
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from PIL import Image
from playwright.sync_api import Browser, Page, sync_playwright
from playwright.sync_api import TimeoutError as TooLong

ROOT = Path(__file__).parents[1]
OUT = ROOT / "docs" / "images" / "web"
PAGES = {
    "live": "/",
    "spectra": "/spectra",
    "setup-spectrometer": "/setup/spectrometer",
    "archive": "/archive?film=1",
    "align": "/align",
    "instrument": "/instrument",
    "health": "/health?range=24h",
    "alarms": "/alarms",
    "runs": "/runs",
    "access": "/access",
    "setup-background": "/setup/background",
    "setup-lines": "/setup/lines",
    "setup-motion": "/setup/motion",
    "setup-calibration": "/setup/calibration",
    "setup-field-of-view": "/setup/field-of-view",
    "setup-dilution": "/setup/dilution",
    "guide": "/guide",
    "help": "/help",
    "docs": "/help/docs/web",
    "setup-geometry": "/setup/geometry",
    "setup-registration": "/setup/registration",
    "setup": "/setup?open=processing&key=processing.background.mode",
    "setup-versions": "/setup?part=versions",
    "sign-in": "/sign-in",
}
SIZES = {"desktop": (1280, 900), "phone": (360, 780)}
TALLEST = 3000
FOLDS = {"setup": 1400}
"""On a phone, pages with something that stands at the lower edge of the screen: so high is the screen at most."""
MOST_BYTES = 150_000
RUN_S = 75.0
SETTLE_S = 4.0
READ = "() => !/\\bReading [^.]*…/.test(document.body.innerText)"
"""Nothing on the page is still being read or worked out."""
READ_MS = 240_000


def main() -> int:
    """Make the pictures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pages", nargs="*", help=f"of {', '.join(PAGES)}; all without any")
    parser.add_argument("--out", type=Path, default=OUT)
    parser.add_argument(
        "--run", type=float, default=RUN_S, help="seconds that the station runs before the first picture"
    )
    arguments = parser.parse_args()
    unknown = sorted(set(arguments.pages) - set(PAGES))
    if unknown:
        parser.error(f"there is no page {', '.join(unknown)}")
    arguments.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="so2cam-screenshots-") as folder:
        return shoot(Path(folder), arguments.out, arguments.pages or list(PAGES), arguments.run)


def shoot(folder: Path, out: Path, names: list[str], run_s: float) -> int:
    """Run a station in ``folder`` for ``run_s`` and picture its pages; return how many errors the browser told of."""
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(  # noqa: S603 - our own program
            [sys.executable, str(ROOT / "tools" / "seeded_station.py"), str(folder / "station")],
            stdout=subprocess.PIPE,
            stderr=log,
            env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
        )
        try:
            line = process.stdout.readline() if process.stdout is not None else b""
            if not line:
                raise SystemExit((folder / "log").read_text(encoding="utf-8")[-3000:])
            made = json.loads(line)
            _say(f"{made['url']} runs; pictures in {run_s:.0f} s")
            time.sleep(run_s)
            with sync_playwright() as playwright:
                browser = playwright.chromium.launch(
                    executable_path=_chromium(), args=["--no-sandbox", "--disable-gpu"]
                )
                return sum(
                    _all_of(browser, made, names, out, size, dark=dark) for size in SIZES for dark in (False, True)
                )
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(60)


def _all_of(browser: Browser, made: dict[str, Any], names: list[str], out: Path, size: str, *, dark: bool) -> int:
    width, height = SIZES[size]
    phone = size == "phone"
    context = browser.new_context(
        viewport={"width": width, "height": height}, device_scale_factor=1, has_touch=phone, is_mobile=phone
    )
    url = made["url"]
    context.add_cookies([{"name": "so2cam_theme", "value": "dark" if dark else "light", "url": url}])
    errors: list[str] = []
    page = context.new_page()
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
    signed_in = False
    for name in sorted(names, key=lambda name: name != "sign-in"):
        if name != "sign-in" and not signed_in:
            form = {"token": made["tokens"]["admin"], "next": "/"}
            context.request.post(f"{url}/session", form=form, max_redirects=0)
            signed_in = True
        answer = page.goto(url + PAGES[name])
        if answer is None or answer.status != 200:
            _say(f"{name}: there is no such page yet")
            errors[:] = [error for error in errors if "404" not in error]
            continue
        page.wait_for_load_state("load")
        page.wait_for_timeout(1000 * (1.0 if name == "sign-in" else SETTLE_S))
        try:
            page.wait_for_function(READ, timeout=READ_MS)
        except TooLong:
            errors.append(f"{name} still reads: its picture stays as it is")
            continue
        if phone:  # a picture of more than the screen is taken as if there were no finger
            tall = page.evaluate("document.documentElement.scrollHeight")
            page.set_viewport_size({"width": width, "height": max(height, min(tall, FOLDS.get(name, TALLEST)))})
            page.wait_for_timeout(1000)
        if page.evaluate("document.documentElement.scrollWidth > window.innerWidth"):
            errors.append(f"{name} is wider than {width} px")
        path = out / f"{name}-{size}-{'dark' if dark else 'light'}.webp"
        _save(_picture(page, whole=not phone), path)
        page.set_viewport_size({"width": width, "height": height})
        _say(f"{path.name}  {path.stat().st_size / 1000:.0f} kB")
    for error in errors:
        _say(f"ERROR {error}")
    context.close()
    return len(errors)


def _picture(page: Page, *, whole: bool) -> Image.Image:
    if not whole:
        return Image.open(io.BytesIO(page.screenshot())).convert("RGB")
    height = min(int(page.evaluate("document.documentElement.scrollHeight")), TALLEST)
    clip = {"x": 0, "y": 0, "width": page.evaluate("window.innerWidth"), "height": height}
    return Image.open(io.BytesIO(page.screenshot(full_page=True, clip=clip))).convert("RGB")  # type: ignore[arg-type]


def _save(image: Image.Image, path: Path) -> None:
    """Write a picture; of a page that is too much for one its upper part."""
    while True:
        for quality in (88, 80, 70):
            image.save(path, quality=quality, method=6)
            if path.stat().st_size <= MOST_BYTES:
                return
        image = image.crop((0, 0, image.width, image.height * 4 // 5))


def _chromium() -> str:
    for name in ("chromium", "chromium-browser", "google-chrome"):
        found = shutil.which(name)
        if found is not None:
            return found
    raise SystemExit("Chromium is not installed: apt install chromium")


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    raise SystemExit(1 if main() else 0)
