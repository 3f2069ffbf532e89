"""The pages: how soon they can be used, what a live image costs, ten viewers, and memory over an hour in fast motion.

    python benchmarks/web.py                 all of it (about nine minutes)
    python benchmarks/web.py --only image    one part: open, image, viewers, memory, archive or demo
    python benchmarks/web.py --quick         to see that it works: few rounds, few frames; its figures say nothing

A station in a process of its own shows the images of a simulated volcano, 648 x 486 pixels, as often as it is told to;
Chromium without a window looks at them. Processor time is read of the system: that of the station's process apart from
that of all processes of the browser, which draws without a graphics card here. What both need without anybody looking,
or with an empty page, is taken off.

"Usable" is when the header stands, the first live image is drawn, and the page answers to the station. Memory is that
of the station's process, after each round in which pages are opened and closed and images come ten times as fast.

The pages of archive, runs, comparison and spectra are asked over a catalogue of 100,000 frames (``archive_pages.py``):
whole answers by HTTP, as a browser gets them. The demo (``demo_page.py``) is timed from its command to a browser that
shows images, emission rate and state.
"""

import argparse
import contextlib
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import psutil
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks import archive_pages, demo_page

Row = tuple[str, str, bool]
LIVE_PARTS = ("open", "image", "viewers", "memory")
PARTS = (*LIVE_PARTS, "archive", "demo")
OPENINGS = 7
LOOK_S = 25.0
ROUNDS = 12
ROUND_S = 9.0
PATHS = (
    "/health",
    "/alarms",
    "/access",
    "/",
    "/setup",
    "/setup/background",
    "/setup/lines",
    "/spectra",
    "/archive",
    "/runs",
    "/instrument",
)
QUICK = {"OPENINGS": 1, "LOOK_S": 3.0, "ROUNDS": 4, "ROUND_S": 4.0}
"""What it takes to see that it works."""
LIMITS = {"open": 1.5, "cpu": 15.0, "bytes": 5.0, "hertz": 0.9, "growth": 2.0}
_COUNT = """
window.frames_seen = 0;
document.addEventListener("frame", () => {
  window.frames_seen += 1;
  window.first_frame ??= performance.now();
}, true);
"""
_USABLE = """() => window.first_frame && document.querySelector('[data-testid=header]')
  && window.socket?.connected && performance.now()"""


# --- the station -------------------------------------------------------------------------------------------------


def serve(folder: Path) -> None:
    """Run a station that shows what it has processed over and over; how often is read from standard input [Hz]."""
    from so2cam.cli.threads import one_thread_for_algebra

    one_thread_for_algebra()  # as the command does
    from so2cam.cli.pages import page_mount, trial_lines
    from so2cam.pipeline.records import PairImages
    from so2cam.simulate import load_scenario, simulate
    from so2cam.station.assembly import assemble_station
    from so2cam.station.catalogue_schema import RATES
    from so2cam.station.context import open_station
    from so2cam.station.publish_services import outward_services
    from so2cam.store.items import to_microseconds

    made = simulate(load_scenario("baseline"), folder, seed=1, pairs=12)
    text = made.site.read_text(encoding="utf-8").replace(', "cross_correlation"]', "]", 1)
    watch = '[[station.watch]]\nname = "frames"\nfolder = "frames"\nsettle_s = 0.0\nevery_s = 0.2\n'
    made.site.write_text(f"{text}\n[station]\nfolder = 'station'\napi = {{ port = 0 }}\n\n{watch}", encoding="utf-8")
    context = open_station([made.site])
    outward, trials = outward_services(context), trial_lines(context)
    mount = page_mount(
        context,
        lambda: assembly.supervisor.states(),
        trials,
        nodes=lambda: assembly.nodes,
        runs=lambda: assembly.runs,
        open_to_all=True,
    )
    assembly = assemble_station(
        context, others=[*outward.services, *trials.values()], alarms=outward.alarms, mount=mount
    )
    name, rate = context.sites[0].name, [0.0]
    kept: list[PairImages] = []
    for watcher in assembly.watchers:  # all files are there before the first is processed
        while watcher.look():
            pass
    assembly.supervisor.start()
    limit = time.monotonic() + 120
    while len(kept) < 10 and time.monotonic() < limit:
        images = context.board.images(name)
        if images is not None and (not kept or images.time != kept[-1].time):
            kept.append(images)
        time.sleep(0.005)
    if not kept or assembly.api is None:
        raise SystemExit(f"no image was processed: {context.board.live(name)}")

    def show() -> None:
        number, newest = 0, context.catalogue.latest_rates(name)
        while not assembly.supervisor.stop_event.is_set():
            if rate[0] <= 0:
                time.sleep(0.05)
                continue
            now = datetime.now(UTC)
            context.board.show_images(name, replace(kept[number % len(kept)], time=now))
            if number % max(1, round(rate[0])) == 0:
                rows = [
                    {
                        "site": name,
                        **{field: getattr(one, field) for field in one.__slots__},
                        "time": to_microseconds(now),
                    }
                    for one in newest
                ]
                with context.catalogue.database.write() as connection:
                    connection.execute(context.catalogue.database.upsert(RATES, rows))
            number += 1
            time.sleep(1 / rate[0])

    threading.Thread(target=show, daemon=True).start()
    print(json.dumps({"url": assembly.api.url}), flush=True)
    for line in sys.stdin:
        rate[0] = float(line)
    assembly.stop()
    outward.close()
    context.close()


@dataclass
class Station:
    """The station's process."""

    url: str
    process: "subprocess.Popen[str]"
    said: dict[str, Any]

    def rate(self, hertz: float) -> None:
        """Let it show so many images a second."""
        if self.process.stdin is not None:
            self.process.stdin.write(f"{hertz}\n")
            self.process.stdin.flush()

    def memory_mb(self) -> float:
        """Return the memory of its process [MB]."""
        return float(psutil.Process(self.process.pid).memory_info().rss) / 1e6


@contextlib.contextmanager
def station(folder: Path, *, archive: bool = False, quick: bool = False) -> Iterator[Station]:
    served = "--serve-archive" if archive else "--serve"
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(
            [sys.executable, __file__, served, str(folder / "site"), *(["--quick"] if quick else [])],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
        )
        try:
            line = process.stdout.readline() if process.stdout is not None else ""
            if not line:
                raise SystemExit((folder / "log").read_text(encoding="utf-8")[-3000:])
            said = json.loads(line)
            yield Station(said["url"], process, said)
        finally:
            if process.stdin is not None:
                process.stdin.close()
            process.wait(60)


# --- measuring ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Usage:
    """Processor time within a span: per cent of one core."""

    server: float
    browser: float


def cpu_s(pids: Sequence[int]) -> float:
    total = 0.0
    for pid in pids:
        with contextlib.suppress(psutil.NoSuchProcess, psutil.AccessDenied):
            times = psutil.Process(pid).cpu_times()
            total += times.user + times.system
    return total


def browser_pids(chromium: str) -> list[int]:
    """Return the processes of the browser that this program started."""
    return [
        child.pid
        for child in psutil.Process().children(recursive=True)
        if _name(child).startswith((Path(chromium).name[:8], "chrom", "headless"))
    ]


def _name(process: psutil.Process) -> str:
    try:
        return str(process.name())
    except psutil.NoSuchProcess:
        return ""


def usage(served: Station, chromium: str, pages: Sequence[Page], seconds: float) -> Usage:
    pids = browser_pids(chromium)
    began, server, browser = time.monotonic(), cpu_s([served.process.pid]), cpu_s(pids)
    _wait(pages, seconds)
    span = time.monotonic() - began
    return Usage(100 * (cpu_s([served.process.pid]) - server) / span, 100 * (cpu_s(pids) - browser) / span)


def _wait(pages: Sequence[Page], seconds: float) -> None:
    if pages:
        pages[0].wait_for_timeout(1000 * seconds)
    else:
        time.sleep(seconds)


def look(context: BrowserContext, url: str) -> Page:
    """Open the live page, and wait until it can be used."""
    page = context.new_page()
    page.add_init_script(_COUNT)
    page.goto(url + "/")
    page.wait_for_function(_USABLE, timeout=60_000, polling=50)
    return page


def openings(browser: Browser, served: Station) -> list[Row]:
    """First use: nothing of the page is in the browser's cache."""
    served.rate(1.0)
    cold: list[float] = []
    again: list[float] = []
    for _ in range(OPENINGS):
        context = browser.new_context(viewport={"width": 1280, "height": 800})
        for times in (cold, again):
            page = context.new_page()
            page.add_init_script(_COUNT)
            began = time.perf_counter()
            page.goto(served.url + "/", wait_until="commit")
            page.wait_for_function(_USABLE, timeout=60_000, polling=20)
            times.append(time.perf_counter() - began)
            page.close()
        context.close()
    rows = []
    for words, times in (("first opening, empty cache", cold), ("opened again", again)):
        middle = statistics.median(times)
        rows.append(
            (f"live page usable, {words}", f"{middle:.2f} s (worst {max(times):.2f} s)", middle <= LIMITS["open"])
        )
    return rows


def image(browser: Browser, served: Station, chromium: str) -> list[Row]:
    """One viewer at 4 Hz."""
    served.rate(4.0)
    context = browser.new_context(viewport={"width": 1280, "height": 800})
    blank = context.new_page()
    idle = usage(served, chromium, [blank], 8.0)
    page = look(context, served.url)
    counted = _count_bytes(context, page)
    page.wait_for_timeout(3000)
    first, before = page.evaluate("window.frames_seen"), counted[0]
    seen = usage(served, chromium, [page], LOOK_S)
    hertz = (page.evaluate("window.frames_seen") - first) / LOOK_S
    rate = (counted[0] - before) / LOOK_S / 1e6
    context.close()
    server, drawn = seen.server - idle.server, seen.browser - idle.browser
    return [
        ("images drawn for one viewer at 4 Hz", f"{hertz:.2f} Hz", hertz >= 4 * LIMITS["hertz"]),
        ("station's processor time for that viewer", f"{server:.1f} % of a core", server <= LIMITS["cpu"]),
        ("browser's, without a graphics card", f"{drawn:.1f} % of a core", True),
        ("bytes to that viewer", f"{rate:.2f} MB/s", rate <= LIMITS["bytes"]),
    ]


def _count_bytes(context: BrowserContext, page: Page) -> list[int]:
    counted = [0]
    session = context.new_cdp_session(page)
    session.send("Network.enable")

    def loaded(event: dict[str, Any]) -> None:
        counted[0] += int(event.get("encodedDataLength", 0))

    def told(event: dict[str, Any]) -> None:
        counted[0] += len(event.get("response", {}).get("payloadData", ""))

    session.on("Network.loadingFinished", loaded)
    session.on("Network.webSocketFrameReceived", told)
    return counted


def viewers(browser: Browser, served: Station, chromium: str) -> list[Row]:
    """Ten viewers at 1 Hz, each with a page of its own."""
    served.rate(1.0)
    contexts = [browser.new_context(viewport={"width": 900, "height": 700}) for _ in range(10)]
    idle = usage(served, chromium, [contexts[0].new_page()], 6.0)
    pages = [look(context, served.url) for context in contexts]
    pages[0].wait_for_timeout(2000)
    first = [page.evaluate("window.frames_seen") for page in pages]
    began = time.monotonic()
    seen = usage(served, chromium, pages, LOOK_S)
    span = time.monotonic() - began
    hertz = [(page.evaluate("window.frames_seen") - before) / span for page, before in zip(pages, first, strict=True)]
    for context in contexts:
        context.close()
    server = seen.server - idle.server
    return [
        ("ten viewers at 1 Hz: the slowest sees", f"{min(hertz):.2f} Hz", min(hertz) >= LIMITS["hertz"]),
        ("station's processor time for all ten", f"{server:.0f} % of a core", server <= 10 * LIMITS["cpu"]),
        ("the ten browsers', without a graphics card", f"{seen.browser - idle.browser:.0f} % of a core", True),
    ]


def memory(browser: Browser, served: Station) -> list[Row]:
    """Rounds of pages opened and closed, with images at 40 Hz for one who stays: about an hour's worth of both."""
    served.rate(40.0)
    stays = browser.new_context(viewport={"width": 900, "height": 700})
    page = look(stays, served.url)
    heap = stays.new_cdp_session(page)
    context = browser.new_context(viewport={"width": 900, "height": 700})
    opened, levels, heaps = 0, [], []
    fetched, stop = [0], threading.Event()
    source = str(page.evaluate("document.querySelector('so2cam-viewer').src"))
    takers = [
        threading.Thread(target=_take_images, args=(source, served, fetched, stop), daemon=True) for _ in range(2)
    ]
    for taker in takers:
        taker.start()
    for _ in range(ROUNDS):
        until = time.monotonic() + ROUND_S
        while time.monotonic() < until:
            other = context.new_page()
            other.goto(served.url + PATHS[opened % len(PATHS)])
            other.wait_for_selector("[data-testid=header]")
            other.close()
            opened += 1
        heap.send("HeapProfiler.collectGarbage")
        levels.append(served.memory_mb())
        heaps.append(heap.send("Runtime.getHeapUsage")["usedSize"] / 1e6)
    stop.set()
    for taker in takers:
        taker.join(15.0)
    images = int(page.evaluate("window.frames_seen")) + fetched[0]
    stays.close()
    context.close()
    half = ROUNDS // 2
    grown = statistics.mean(levels[-3:]) - statistics.mean(levels[half : half + 3])
    events = opened * (ROUNDS - half - 1.5) / ROUNDS
    each = 1000 * grown / max(events, 1)
    heap_grown = statistics.mean(heaps[-3:]) - statistics.mean(heaps[half : half + 3])
    return [
        ("fast motion", f"{opened} pages opened and closed, {images} images fetched", True),
        ("station's memory", f"{levels[half]:.0f} MB half way, {levels[-1]:.0f} MB at the end", True),
        ("grows per 1000 pages opened", f"{each:+.1f} MB", abs(grown) <= max(LIMITS["growth"], 0.02 * levels[half])),
        (
            "browser's scripts, a page that stays",
            f"{heaps[half]:.1f} MB, {heaps[-1]:.1f} MB",
            heap_grown <= LIMITS["growth"],
        ),
    ]


def _take_images(source: str, served: Station, fetched: list[int], stop: threading.Event) -> None:
    """Fetch every image as soon as it is there, as a viewer without a limit would."""
    tag = ""
    with httpx.Client(base_url=served.url, timeout=30.0) as client:
        while not stop.is_set():
            answer = client.get(source, params={"after": tag} if tag else {})
            if answer.status_code == 200:
                tag = answer.headers["ETag"].strip('"')
                fetched[0] += 1


def find_chromium() -> str:
    """Return where Chromium is."""
    chromium = next((found for name in ("chromium", "google-chrome") if (found := shutil.which(name))), None)
    if chromium is None:
        raise SystemExit("Chromium is not installed: apt install chromium")
    return chromium


def in_browser(parts: Sequence[str], chromium: str) -> list[Row]:
    """Measure the parts that look at one station with a browser."""
    rows: list[Row] = []
    with (
        tempfile.TemporaryDirectory(prefix="so2cam-benchmark-") as folder,
        station(Path(folder)) as served,
        sync_playwright() as playwright,
    ):
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
        measures: dict[str, Callable[[], list[Row]]] = {
            "open": lambda: openings(browser, served),
            "image": lambda: image(browser, served, chromium),
            "viewers": lambda: viewers(browser, served, chromium),
            "memory": lambda: memory(browser, served),
        }
        for part in parts:
            print(f"{part} …", file=sys.stderr)
            rows += measures[part]()
        browser.close()
    return rows


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=PARTS, action="append", help="this part; may be given several times")
    parser.add_argument("--quick", action="store_true", help="few rounds and frames: to see that it works")
    parser.add_argument("--serve", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--serve-archive", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.serve is not None:
        serve(arguments.serve)
        return 0
    if arguments.serve_archive is not None:
        archive_pages.serve(arguments.serve_archive, quick=arguments.quick)
        return 0
    if arguments.quick:
        globals().update(QUICK)
    parts = arguments.only or PARTS
    began = time.monotonic()
    rows: list[Row] = []
    if any(part in LIVE_PARTS for part in parts):
        rows += in_browser([part for part in parts if part in LIVE_PARTS], find_chromium())
    if "archive" in parts:
        print("archive …", file=sys.stderr)
        with (
            tempfile.TemporaryDirectory(prefix="so2cam-benchmark-") as folder,
            station(Path(folder), archive=True, quick=arguments.quick) as served,
        ):
            rows += archive_pages.measure(served.said, served.process.pid, rounds=2 if arguments.quick else None)
    if "demo" in parts:
        print("demo …", file=sys.stderr)
        rows += demo_page.measure(find_chromium())
    width = max(len(row[0]) for row in rows)
    for label, value, good in rows:
        print(f"{label:<{width}}  {value}{'' if good else '   TOO MUCH'}")
    print(f"{time.monotonic() - began:.0f} s; load of the computer {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    return 0 if all(good for _, _, good in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
