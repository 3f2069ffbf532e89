"""A run over the archive gives the numbers of a run over the folders, and its report has one page."""

import json
import re
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from so2cam.core.site_station import WatchedFolder
from so2cam.formats.products import read_emission_netcdf
from so2cam.formats.sitefile import load_site
from so2cam.pipeline.batch import process_folders
from so2cam.station.compare import compare_series, live_results, results_of_run
from so2cam.station.context import StationContext, open_station
from so2cam.station.live import LiveProcessing
from so2cam.station.run_store import RunOrder
from so2cam.station.runs import Runs
from so2cam.station.watch import FolderWatcher


def one_page(path: Path) -> bool:
    content = path.read_bytes()
    return content.startswith(b"%PDF") and len(re.findall(rb"/Type\s*/Page\b", content)) == 1


@pytest.fixture
def archived(simulated: Path, tmp_path: Path) -> Iterator[StationContext]:
    """The simulated run in the archive of a station."""
    shutil.copy(simulated / "site.toml", tmp_path / "site.toml")
    context = open_station([tmp_path / "site.toml"], folder=tmp_path / "station")
    watched = WatchedFolder(name="frames", folder=str(simulated / "frames"), settle_s=0.0)
    watcher = FolderWatcher(context, context.sites[0], watched)
    watcher.look()
    watcher.look()
    yield context
    context.close()


def test_a_run_gives_the_numbers_of_a_run_over_folders(
    archived: StationContext, simulated: Path, tmp_path: Path
) -> None:
    site = archived.sites[0]
    live = LiveProcessing(archived, site)
    live.resume()
    while live.step():
        pass
    live.finish()
    report = process_folders(load_site(simulated / "site.toml"), [simulated / "frames"], tmp_path / "out", command="")
    series = report.series
    start, end = series.times[0] - timedelta(minutes=1), series.times[-1] + timedelta(minutes=1)
    text = (tmp_path / "site.toml").read_text(encoding="utf-8")
    runs = Runs(archived)
    store = runs.store(site.name)
    again = runs.order(site, RunOrder("process", "again", "Anna", start, end, text, "the site file"))
    files = runs.order(site, RunOrder("live", "", "Anna", start, end, text, "the site file"))
    stop = threading.Event()
    service = threading.Thread(target=runs.run, args=(stop,))
    service.start()
    try:
        limit = time.monotonic() + 100
        while store.get(files.id).is_open:
            assert time.monotonic() < limit, store.log(again.id)
            time.sleep(0.1)
    finally:
        stop.set()
        service.join(30)
    for record in (store.get(again.id), store.get(files.id)):
        assert record.state == "done", store.log(record.id)
        assert "Traceback" not in store.log(record.id)
        assert "Fatal" not in store.log(record.id)
        assert one_page(store.path(record.id, "report.pdf"))
        found = read_emission_netcdf(store.path(record.id, "emission_rates.nc"))
        assert found.lines == series.lines
        for name in ("emission_rate_kg_s", "random_uncertainty_kg_s", "systematic_uncertainty_kg_s", "status"):
            np.testing.assert_array_equal(getattr(found, name), getattr(series, name))
        assert [path.name for path in store.path(record.id).glob(".*")] == []
    other = live_results(archived.catalogue, site, again)
    ours = results_of_run(store, store.get(again.id))
    compared = compare_series(other.series["total", "flow_raw"], ours.series["total", "flow_raw"])
    assert compared.a.size > 0
    assert compared.difference.tolist() == [0.0] * compared.a.size
    inputs = json.loads(store.path(again.id, "files.json").read_text())
    assert len(inputs["files"]) == len(archived.catalogue.find_files(site.name))


def test_a_run_ends_when_the_station_is_gone(archived: StationContext) -> None:
    site, runs = archived.sites[0], Runs(archived)
    times = [file.time for file in archived.catalogue.find_files(site.name, subject="plume")]
    text = site.loaded.path.read_text(encoding="utf-8")
    wanted = RunOrder("process", "", "Anna", times[0], times[-1] + timedelta(seconds=9), text, "the site file")
    record = runs.order(site, wanted)
    store = runs.store(site.name)
    done = subprocess.run(
        [sys.executable, "-P", "-m", "so2cam.station.run_worker", str(store.path(record.id))],
        stdin=subprocess.DEVNULL,  # nobody holds the other end
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 130, done.stderr
    assert "Traceback" not in done.stderr
    assert "stopped" in done.stderr
    assert store.products(record.id) == []


def test_a_report_of_one_page_is_written_on_request(case: Any) -> None:
    case.process("--report").said("report.pdf")
    assert one_page(case.out / "report.pdf")
