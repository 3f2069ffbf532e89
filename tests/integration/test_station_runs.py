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

import cv2
import numpy as np
import pytest

from so2cam.core.errors import InputError
from so2cam.core.records import Band
from so2cam.core.site_station import WatchedFolder
from so2cam.core.spectra import SpectrumKind
from so2cam.formats.column_products import read_columns_netcdf
from so2cam.formats.products import read_emission_netcdf
from so2cam.formats.sitefile import LoadedSite, load_site, load_site_text, spectrometer_of
from so2cam.formats.spectra.folder import SpectrumScan, scan_spectra
from so2cam.pipeline import batch
from so2cam.pipeline.batch import process_folders
from so2cam.pipeline.columns import COLUMN_MARGIN, columns_from_spectra
from so2cam.pipeline.spectra_batch import process_spectra
from so2cam.station import run_worker
from so2cam.station.compare import compare_series, live_results, results_of_run
from so2cam.station.context import StationContext, StationSite, open_station
from so2cam.station.live import LiveProcessing
from so2cam.station.run_spectra import fit_alone, fit_beside_images
from so2cam.station.run_store import RunOrder, RunRecord
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


def done(runs: Runs, site: StationSite, order: RunOrder) -> RunRecord:
    """Do a run here, without a process of its own; return it."""
    record = runs.order(site, order)
    store = runs.store(site.name)
    assert run_worker._run(store, record) == 0
    found = store.finish(record)
    assert found is not None
    return found


def test_spectra_of_a_run_are_fitted_shown_and_used_again(
    archived: StationContext, simulated: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Pictures take longer than all else.
    monkeypatch.setattr(batch, "write_quicklook", lambda path, *_, **__: path.write_bytes(b"quick look"))
    monkeypatch.setattr(run_worker, "write_report", lambda path, _: path.write_bytes(b"report"))
    site, runs = archived.sites[0], Runs(archived)
    frames = [file.time for file in archived.catalogue.find_files(site.name, subject="plume")]
    watched = WatchedFolder(name="spectra", folder=str(simulated / "spectra"), settle_s=0.0)
    watcher = FolderWatcher(archived, site, watched)
    watcher.look()
    watcher.look()
    loaded = load_site(simulated / "site.toml")
    start, end = frames[0], frames[-1] + timedelta(seconds=1)
    report = process_spectra(
        spectrometer_of(loaded), [simulated / "spectra"], tmp_path / "out", start=start, end=end, command=""
    )
    assert report.valid_values > 0
    store, text = runs.store(site.name), site.loaded.path.read_text(encoding="utf-8")
    both = done(runs, site, RunOrder("process", "both", "Anna", start, end, text, ""))
    alone = done(runs, site, RunOrder("spectra", "alone", "Anna", start, end, text, ""))
    for record in (both, alone):
        assert (record.spectra, record.columns) == (len(report.series.times), report.valid_values)
        found = read_columns_netcdf(store.file(record.id, "columns.nc"))
        for name in ("so2_molec_cm2", "so2_random_molec_cm2", "residual_rms", "status"):
            np.testing.assert_array_equal(getattr(found, name), getattr(report.series, name))
        assert store.file(record.id, "columns.png").read_bytes().startswith(b"\x89PNG")
        assert dict(record.summary)["spectra"].startswith(f"{record.spectra} of")
    names = [path.name for path in store.products(alone.id)]
    assert names == ["columns.csv", "columns.nc", "columns.png"]
    assert both.pairs > 0
    again = done(runs, site, RunOrder("process", "again", "Anna", start, end, text, "", columns_of=alone.id))
    assert (again.pairs, again.spectra) == (both.pairs, 0)
    assert not [warning for warning in again.warnings if "could not be fitted" in warning]
    assert "columns.nc" not in [path.name for path in store.products(again.id)]
    with pytest.raises(InputError, match="no emission rates to compare"):
        results_of_run(store, alone)

    # What was fitted before the images calibrates as what is fitted for them.
    scan = scan_spectra([simulated / "spectra"], spectrometer_of(loaded).spectrometer.files)
    fitted = fit_alone(loaded, scan, start - COLUMN_MARGIN, end + COLUMN_MARGIN)
    before = columns_from_spectra(loaded, fitted, start=start, end=end)
    fresh = columns_from_spectra(loaded, scan, start=start, end=end)
    assert before.notes == fresh.notes
    for one, other in zip(before.points, fresh.points, strict=True):
        assert (one.time, one.exposure_s, one.column_molec_cm2) == (
            other.time,
            other.exposure_s,
            other.column_molec_cm2,
        )
    early = fitted.within(None, start + timedelta(seconds=1))
    with pytest.raises(InputError, match="beside the time of the images"):
        columns_from_spectra(loaded, early, start=start + timedelta(days=1), end=end + timedelta(days=1))


def test_spectra_that_nothing_needs_do_not_end_a_run(simulated: Path) -> None:
    loaded = load_site(simulated / "site.toml")
    scan = scan_spectra([simulated / "spectra"], spectrometer_of(loaded).spectrometer.files)
    dark = SpectrumScan(tuple(info for info in scan.spectra if info.kind is not SpectrumKind.DARK), ())
    start, end = scan.spectra[0].time, scan.spectra[-1].time + timedelta(seconds=1)
    fitted, notes = fit_beside_images(with_source(loaded, "cells"), dark, start, end)
    assert fitted is None
    assert "no dark spectrum" in notes[0]
    references = SpectrumScan(tuple(info for info in scan.spectra if info.kind is SpectrumKind.DARK), ())
    assert fit_beside_images(with_source(loaded, "cells"), references, start, end) == (None, ()), "none were taken"
    with pytest.raises(InputError, match="no dark spectrum"):
        fit_beside_images(with_source(loaded, "joint"), dark, start, end)


def with_source(loaded: LoadedSite, source: str) -> LoadedSite:
    text = loaded.path.read_text(encoding="utf-8")
    changed = re.sub(r'(\[processing\.calibration\][^\[]*?source = )"\w+"', rf'\1"{source}"', text)
    assert f'source = "{source}"' in changed
    return load_site_text(changed, loaded.path)


@pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="ffmpeg is not installed (apt install ffmpeg)")
def test_a_film_of_a_band_is_a_run(archived: StationContext) -> None:
    site, runs = archived.sites[0], Runs(archived)
    frames = [file.time for file in archived.catalogue.find_files(site.name, subject="plume")]
    text = site.loaded.path.read_text(encoding="utf-8")
    order = RunOrder("film", "", "Anna", frames[0], frames[-1] + timedelta(seconds=1), text, "", band=Band.OFF)
    record = done(runs, site, order)
    assert record.frames == len(frames) // 2
    assert "off band" in dict(record.summary)["film"]
    video = cv2.VideoCapture(str(runs.store(site.name).file(record.id, "film.mp4")))
    assert video.get(cv2.CAP_PROP_FRAME_COUNT) == record.frames
    video.release()


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
