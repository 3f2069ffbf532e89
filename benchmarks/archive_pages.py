"""Pages over 100,000 catalogued frames: how soon archive, runs, comparison and spectra answer. A part of ``web.py``."""

import json
import statistics
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import psutil
from benchmarks.archive_catalogue import FIRST, fill, reserve

if TYPE_CHECKING:
    from so2cam.station.context import StationSite
    from so2cam.station.runs import Runs

LIMIT_S = 0.5
ROUNDS = 15
PAUSE_S = 0.35
PAIRS = 12
KEPT = ("runs", "compare", "spectra")
"""Pages that keep what they worked out for a while: the first answer counts too."""
_MONTHS = [f"2025-{month:02d}" for month in range(6, 13)] + ["2026-01", "2026-02", "2026-03"]
Row = tuple[str, str, bool]


def serve(folder: Path, *, quick: bool = False) -> None:
    """Run a station over a simulated volcano's pairs, two runs of them, and a made-up past, until standard input ends.

    ``quick``: the past is short.
    """
    from so2cam.cli.pages import page_mount, trial_lines
    from so2cam.cli.pauses import keep_out_of_collections
    from so2cam.cli.threads import one_thread_for_algebra

    one_thread_for_algebra()  # as the command does
    from so2cam.simulate import load_scenario, simulate
    from so2cam.station.assembly import assemble_station
    from so2cam.station.context import open_station
    from so2cam.station.publish_services import outward_services

    made = simulate(load_scenario("baseline"), folder, seed=1, pairs=PAIRS)
    text = made.site.read_text(encoding="utf-8").replace(', "cross_correlation"]', "]", 1)
    watch = "".join(
        f'[[station.watch]]\nname = "{kind}"\nfolder = "{kind}"\nsettle_s = 0.0\nevery_s = 0.2\n'
        for kind in ("frames", "spectra")
    )
    made.site.write_text(f"{text}\n[station]\nfolder = 'station'\napi = {{ port = 0 }}\n\n{watch}", encoding="utf-8")
    context = open_station([made.site])
    name = context.sites[0].name
    reserve(context.catalogue, name)
    outward, trials = outward_services(context), trial_lines(context)
    mount = page_mount(
        context, lambda: assembly.supervisor.states(), trials, runs=lambda: assembly.runs, open_to_all=True
    )
    others = [*outward.services, *trials.values()]
    assembly = assemble_station(context, others=others, alarms=outward.alarms, mount=mount)
    for watcher in assembly.watchers:  # all files are there before the first is processed
        while watcher.look():
            pass
    assembly.supervisor.start()
    limit = time.monotonic() + 120
    while len(rates := context.catalogue.rates(name, line="total")) < PAIRS - 2 and time.monotonic() < limit:
        time.sleep(0.1)
    if assembly.api is None or not rates:
        raise SystemExit(f"no pair was processed: {context.board.live(name)}")
    runs = _process_twice(assembly.runs, context.sites[0], rates[0].time, rates[-1].time + timedelta(seconds=1))
    keep_out_of_collections()  # as the command does
    fill(context.catalogue, name, **({"frames": 2000, "days": 10} if quick else {}))
    times = sorted(
        {round((rate.time - datetime(1970, 1, 1, tzinfo=UTC)) / timedelta(microseconds=1)) for rate in rates}
    )
    frames = len(context.catalogue.find_files(name, kind="frame"))
    said = {
        "url": assembly.api.url,
        "site": name,
        "method": rates[0].method,
        "times": times,
        "runs": runs,
        "frames": frames,
    }
    print(json.dumps(said), flush=True)
    sys.stdin.read()
    assembly.stop()
    outward.close()
    context.close()


def _process_twice(runs: "Runs", site: "StationSite", start: datetime, end: datetime) -> list[int]:
    """Process the pairs anew, as they are and with another background; return the numbers of both runs."""
    from so2cam.formats.siteedit import edit_text
    from so2cam.station.run_store import RunOrder

    text = site.loaded.path.read_text(encoding="utf-8")
    other = edit_text(text, [(("processing", "background", "mode"), "clear-sky")])
    store = runs.store(site.name)
    made = [
        runs.order(site, RunOrder("process", words, "the benchmark", start, end, settings, words)).id
        for words, settings in (("as it is", text), ("another background", other))
    ]
    limit = time.monotonic() + 180
    while any(store.get(run).is_open for run in made) and time.monotonic() < limit:
        time.sleep(0.2)
    for record in (store.get(run) for run in made):
        if record.state != "done":
            raise SystemExit(f"run {record.id} is {record.state}: {record.message}")
    return made


def questions(said: dict[str, Any]) -> dict[str, Callable[[httpx.Client, int], httpx.Response]]:
    """Return what is asked, by name; each with the number of the round."""
    site, method = said["site"], said["method"]
    day = f"{FIRST + timedelta(days=20):%Y-%m-%d}"
    span = f"start={day}T00:00&end={FIRST + timedelta(days=21):%Y-%m-%d}T00:00"
    film = f"/pages/sites/{site}/archive/film?line=total&method={method}"
    images = f"/pages/sites/{site}/archive/image"

    def get(path: str) -> Callable[[httpx.Client, int], httpx.Response]:
        # Another quarter each round, so that the calendar of the round before is not shown again.
        return lambda client, number: client.get(f"{path}&month={_MONTHS[number % len(_MONTHS)]}")

    def fresh(path: str) -> Callable[[httpx.Client, int], httpx.Response]:
        return lambda client, number: client.get(f"{path}&without={32768 + 2 * number}")

    def plain(path: str, part: str) -> Callable[[httpx.Client, int], httpx.Response]:
        def ask(client: httpx.Client, _: int) -> httpx.Response:
            answer = client.get(path)
            if part not in answer.text:
                raise SystemExit(f"{path} came without {part}")
            return answer

        return ask

    def image(quantity: str) -> Callable[[httpx.Client, int], httpx.Response]:
        times = said["times"]
        return lambda client, number: client.get(f"{images}/{quantity}?time={times[number % len(times)]}")

    return {
        "page, all time": get("/archive?"),
        "page, a day": get(f"/archive?{span}"),
        "page, plume frames of all time, page 500": get("/archive?what=plume&page=500"),
        "page, valid rates of all time": get("/archive?valid=1"),
        "page, valid rates without a flag, all time": fresh("/archive?valid=1"),
        "page, with any of three flags, all time": get("/archive?with=7"),
        "page, days of 75 % good pairs, valid, no flags": fresh("/archive?share=75&valid=1"),
        "film, a day": fresh(f"{film}&{span}"),
        "film, all time (thinned)": fresh(film),
        "film, all time, valid rates": fresh(f"{film}&valid=1"),
        "image of a band": image("on"),
        "image, absorbance": image("absorbance"),
        "image, column": image("column"),
        "runs": plain("/runs", "new-run"),
        "runs, one of them": plain(f"/runs?run={said['runs'][0]}", "run-panel"),
        "runs, a day to process": plain(f"/runs?{span}", f"{day} 00:00"),
        "compare, a run with live results": plain(f"/compare?a=live&b={said['runs'][0]}", "compare-numbers"),
        "compare, two runs": plain(f"/compare?a={said['runs'][0]}&b={said['runs'][1]}", "compare-numbers"),
        "spectra, the last day": plain("/spectra", "columns-panel"),
        "spectra, a day": plain(f"/spectra?range=day&day={day}", "columns-panel"),
    }


def measure(said: dict[str, Any], process: int, *, rounds: int | None = None) -> list[Row]:
    """Ask everything ``rounds`` (``ROUNDS``) times and once before; return the table of medians and worst.

    The station's processor time for an answer tells what a quiet computer would need: others may use this one too.
    """
    station = psutil.Process(process)
    rounds = rounds or ROUNDS
    rows: list[Row] = [("archive: frames in the catalogue", f"{said['frames']:,}", True)]
    with httpx.Client(base_url=said["url"], timeout=60.0, verify=False) as client:  # noqa: S501 - our own, on this computer
        for name, ask in questions(said).items():
            taken, used = [], 0.0
            for number in range(rounds + 1):
                began, before = time.perf_counter(), station.cpu_times()
                answer = ask(client, number)
                answer.raise_for_status()
                if number or name.startswith(KEPT):
                    taken.append(time.perf_counter() - began)
                    after = station.cpu_times()
                    used += after.user + after.system - before.user - before.system
                time.sleep(PAUSE_S)
            middle, worst, each = statistics.median(taken), max(taken), used / len(taken)
            rows.append(
                (
                    name,
                    f"p50 {1000 * middle:.0f} ms, worst {1000 * worst:.0f} ms, processor {1000 * each:.0f} ms",
                    worst <= LIMIT_S,
                )
            )
    return rows
