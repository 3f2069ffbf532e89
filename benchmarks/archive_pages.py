"""The archive page with 100,000 catalogued frames: how soon each of its questions is answered. A part of ``web.py``."""

import json
import statistics
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import psutil
from benchmarks.archive_catalogue import FIRST, FRAMES, fill

LIMIT_S = 0.5
ROUNDS = 15
PAUSE_S = 0.35
PAIRS = 12
_MONTHS = [f"2025-{month:02d}" for month in range(6, 13)] + ["2026-01", "2026-02", "2026-03"]
Row = tuple[str, str, bool]


def serve(folder: Path) -> None:
    """Run a station over a simulated volcano's pairs and a made-up past, until standard input ends."""
    from so2cam.cli.pages import page_mount, trial_lines
    from so2cam.cli.threads import one_thread_for_algebra

    one_thread_for_algebra()  # as the command does
    from so2cam.simulate import load_scenario, simulate
    from so2cam.station.assembly import assemble_station
    from so2cam.station.context import open_station
    from so2cam.station.publish_services import outward_services

    made = simulate(load_scenario("baseline"), folder, seed=1, pairs=PAIRS)
    text = made.site.read_text(encoding="utf-8").replace(', "cross_correlation"]', "]", 1)
    watch = '[[station.watch]]\nname = "frames"\nfolder = "frames"\nsettle_s = 0.0\nevery_s = 0.2\n'
    made.site.write_text(f"{text}\n[station]\nfolder = 'station'\napi = {{ port = 0 }}\n\n{watch}", encoding="utf-8")
    context = open_station([made.site])
    name = context.sites[0].name
    outward, trials = outward_services(context), trial_lines(context)
    mount = page_mount(context, lambda: assembly.supervisor.states(), trials, open_to_all=True)
    others = [*outward.services, *trials.values()]
    assembly = assemble_station(context, others=others, alarms=outward.alarms, mount=mount)
    assembly.supervisor.start()
    limit = time.monotonic() + 120
    while len(rates := context.catalogue.rates(name, line="total")) < PAIRS - 2 and time.monotonic() < limit:
        time.sleep(0.1)
    if assembly.api is None or not rates:
        raise SystemExit(f"no pair was processed: {context.board.live(name)}")
    fill(context.catalogue, name)
    times = sorted(
        {round((rate.time - datetime(1970, 1, 1, tzinfo=UTC)) / timedelta(microseconds=1)) for rate in rates}
    )
    said = {"url": assembly.api.url, "site": name, "method": rates[0].method, "times": times}
    print(json.dumps(said), flush=True)
    sys.stdin.read()
    assembly.stop()
    outward.close()
    context.close()


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
    }


def measure(said: dict[str, Any], process: int) -> list[Row]:
    """Ask everything ``ROUNDS`` times and once before; return the table of medians and worst.

    The station's processor time for an answer tells what a quiet computer would need: others may use this one too.
    """
    station = psutil.Process(process)
    rows: list[Row] = [("archive: frames in the catalogue", f"{FRAMES:,}", True)]
    with httpx.Client(base_url=said["url"], timeout=60.0, verify=False) as client:  # noqa: S501 - our own, on this computer
        for name, ask in questions(said).items():
            taken, used = [], 0.0
            for number in range(ROUNDS + 1):
                began, before = time.perf_counter(), station.cpu_times()
                answer = ask(client, number)
                answer.raise_for_status()
                if number:
                    taken.append(time.perf_counter() - began)
                    after = station.cpu_times()
                    used += after.user + after.system - before.user - before.system
                time.sleep(PAUSE_S)
            middle, worst = statistics.median(taken), max(taken)
            rows.append(
                (
                    name,
                    f"p50 {1000 * middle:.0f} ms, worst {1000 * worst:.0f} ms, processor {1000 * used / ROUNDS:.0f} ms",
                    worst <= LIMIT_S,
                )
            )
    return rows
