"""A station that is killed while files arrive: it goes on by itself, and its numbers are those of a batch run."""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from so2cam.core.results import EmissionSeries
from so2cam.formats.sitefile import load_site
from so2cam.pipeline.batch import process_folders
from so2cam.simulate import load_scenario, simulate
from so2cam.simulate.scenario import Scenario
from so2cam.station.archive_check import verify_archive
from so2cam.station.context import open_station
from so2cam.station.pair_json import series_of
from so2cam.station.references import day_bounds, day_of

PAIRS = 14


def watch(folder: Path, *options: str) -> subprocess.Popen[bytes]:
    """Start ``so2cam watch`` as a person would."""
    command = [sys.executable, "-m", "so2cam", "watch", str(folder / "arriving"), "--site", str(folder / "site.toml")]
    with (folder / "log").open("ab") as log:
        return subprocess.Popen(
            [*command, "--out", str(folder / "station"), "--settle", "0.1", *options],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env=dict(os.environ),
        )


def test_kills_at_random_moments_change_no_number(tmp_path: Path, rounds: Callable[[int, int], int]) -> None:
    settings = load_scenario("baseline").model_dump(mode="json")
    settings["view"]["optics"].update(width_px=324, height_px=243, pixel_pitch_um=11.2)
    settings["lines"]["length_px"] = 115
    simulated = simulate(Scenario.model_validate_json(json.dumps(settings)), tmp_path, seed=5, pairs=PAIRS)
    batch = process_folders(load_site(simulated.site), [simulated.frames], tmp_path / "batch", command="test").series
    files = sorted((p for p in simulated.frames.rglob("*.png")), key=lambda p: ("Plume" in p.name, p.name))
    arriving = tmp_path / "arriving"
    arriving.mkdir()
    generator = random.Random(1)
    kills = rounds(2, 20)
    shares = [files[len(files) * n // (kills + 1) : len(files) * (n + 1) // (kills + 1)] for n in range(kills + 1)]
    for share in shares[:-1]:
        process = watch(tmp_path, "--quiet")
        try:
            for path in share:
                arrive(path, arriving)
            wait_for_files(tmp_path, generator.randrange(1, len(share) + 1), process)
        finally:
            process.send_signal(signal.SIGKILL)
            process.wait(20)
    for path in shares[-1]:
        arrive(path, arriving)
    process = watch(tmp_path, "--once")
    assert process.wait(100) == 0, (tmp_path / "log").read_text(encoding="utf-8")

    context = open_station([simulated.site], folder=tmp_path / "station")
    try:
        site = context.sites[0]
        start, end = day_bounds(day_of(batch.times[0]))
        found = series_of(context.catalogue.pairs(site.name, start=start, end=end))
        assert found.times == batch.times
        for name in set(EmissionSeries.__dataclass_fields__) - {"dilution"}:  # said of whole runs only
            if isinstance(getattr(batch, name), np.ndarray):
                np.testing.assert_array_equal(getattr(found, name), getattr(batch, name), err_msg=name)
        kept = context.catalogue.find_files(site.name)
        assert sorted(file.name for file in kept) == sorted(path.name for path in files)
        report = verify_archive(site.archive, kept)
        assert (report.good, report.faults) == (True, ())
    finally:
        context.sites[0].archive.close()
        context.close()


def arrive(path: Path, folder: Path) -> None:
    """Let an image come, its sidecar first."""
    sidecar = path.with_suffix(".json")
    for part in (sidecar, path) if sidecar.exists() else (path,):
        shutil.copy(part, folder / part.name)


def wait_for_files(folder: Path, count: int, process: subprocess.Popen[bytes]) -> None:
    """Wait until so many files more are in the archive."""
    archive = folder / "station" / "archive"
    before = len(list(archive.rglob("[0-9]*.png")))
    limit = time.monotonic() + 60
    while len(list(archive.rglob("[0-9]*.png"))) < before + count:
        assert process.poll() is None, (folder / "log").read_text(encoding="utf-8")
        assert time.monotonic() < limit, (folder / "log").read_text(encoding="utf-8")
        time.sleep(0.01)
