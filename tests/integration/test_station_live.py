"""A station over simulated files: archived, processed as they come, and equal to a batch run to the last bit."""

import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest

from so2cam.core.results import EmissionSeries
from so2cam.core.status import EmissionStatus
from so2cam.formats.products import read_emission_csv, read_emission_netcdf
from so2cam.formats.sitefile import load_site
from so2cam.pipeline.batch import process_folders
from so2cam.simulate import load_scenario, simulate
from so2cam.simulate.scenario import Scenario
from so2cam.station.context import StationContext, open_station
from so2cam.station.daily import DailyFiles, daily_paths
from so2cam.station.live import LATE, LiveProcessing
from so2cam.station.pair_json import series_of
from so2cam.station.recalculate import CALIBRATION, Recalculation
from so2cam.station.references import day_bounds, day_of
from so2cam.station.watch import FolderWatcher

PAIRS = 24
SETTINGS = """
[station]
hold_back_s = 8.0
recalculate_after_s = 0.0
products_every_s = 1.0
[[station.watch]]
name = "images"
folder = "arriving/frames"
settle_s = 0.0
[[station.watch]]
name = "spectra"
folder = "arriving/spectra"
settle_s = 0.0
"""
ROLLING = """
[processing.calibration.spectrometer]
policy = "rolling"
refit_s = 20.0
window_s = 120.0
minimum_points = 8
[processing.calibration.spectrometer.field_of_view]
minimum_images = 10
interval_s = 60.0
"""


@dataclass
class Volcano:
    """A simulated run, and what a batch run makes of it."""

    folder: Path
    site: Path
    batch: EmissionSeries

    @property
    def day(self) -> str:
        return day_of(self.batch.times[0])

    def plume(self) -> list[Path]:
        found = [*(self.folder / "frames").rglob("*.png"), *(self.folder / "spectra").rglob("*.npy")]
        return sorted((p for p in found if "Plume" in p.name), key=lambda p: p.name)

    def others(self) -> list[Path]:
        found = [*(self.folder / "frames").rglob("*.png"), *(self.folder / "spectra").rglob("*.npy")]
        return sorted(p for p in found if "Plume" not in p.name)


@pytest.fixture(scope="module")
def volcano(tmp_path_factory: pytest.TempPathFactory) -> Volcano:
    settings = load_scenario("diluted").model_dump(mode="json")
    settings["view"]["optics"].update(width_px=324, height_px=243, pixel_pitch_um=11.2)
    settings["lines"]["length_px"] = 115
    settings["spectrometer"]["radius_px"] = 5.8
    settings["misregistration"]["shift_px"] = [6.0, -4.5]
    folder = tmp_path_factory.mktemp("station")
    simulated = simulate(Scenario.model_validate_json(json.dumps(settings)), folder, seed=4, pairs=PAIRS)
    text = simulated.site.read_text(encoding="utf-8")
    simulated.site.write_text(with_tables(text), encoding="utf-8")
    report = process_folders(
        load_site(simulated.site), [simulated.frames], folder / "batch", spectra=[simulated.spectra], command="test"
    )
    return Volcano(folder, simulated.site, report.series)


def with_tables(text: str) -> str:
    """Return a site file with the calibration policy and the station of this test."""
    import tomlkit

    document = tomlkit.parse(text)
    calibration = document["processing"]["calibration"]  # type: ignore[index]
    calibration["source"] = "spectrometer"  # type: ignore[index]
    calibration["spectrometer"] = tomlkit.parse(ROLLING)["processing"]["calibration"]["spectrometer"]  # type: ignore[index]
    return tomlkit.dumps(document) + SETTINGS


@dataclass
class Station:
    """A station whose services are stepped by hand."""

    volcano: Volcano
    folder: Path

    def __post_init__(self) -> None:
        self.site = self.folder / "site.toml"
        shutil.copytree(
            self.volcano.folder,
            self.folder,
            dirs_exist_ok=True,
            ignore=shutil.ignore_patterns("frames", "spectra", "batch", "station", "arriving"),
        )
        shutil.copy(self.volcano.site, self.site)
        (self.folder / "arriving/frames").mkdir(parents=True)
        (self.folder / "arriving/spectra").mkdir()
        self.clock = 1000.0
        self.open()

    def open(self) -> None:
        self.context: StationContext = open_station([self.site])
        one = self.context.sites[0]
        self.watchers = [FolderWatcher(self.context, one, watched) for watched in one.settings.watch]
        self.live = LiveProcessing(self.context, one, clock=lambda: self.clock)
        self.live.resume()

    def kill(self) -> None:
        """Let go of everything, as a process that is killed: nothing is finished."""
        for site in self.context.sites:
            site.archive.close()
        self.context.close()

    def arrive(self, *paths: Path) -> None:
        """Let files come and the services take them."""
        for path in paths:
            group = "frames" if path.suffix == ".png" else "spectra"
            for part in (path.with_suffix(".json"), path):
                if part.exists():
                    shutil.copy(part, self.folder / "arriving" / group / part.name)
        while sum(watcher.look() for watcher in self.watchers):
            pass
        while self.live.step():
            pass

    def quiet(self, seconds: float = 10.0) -> None:
        """Let time pass."""
        self.clock += seconds
        self.live.step()

    def pairs_done(self) -> int:
        state = self.context.board.live(self.name)
        assert state is not None
        return state.pairs

    @property
    def name(self) -> str:
        return self.context.sites[0].name

    def series(self) -> EmissionSeries:
        start, end = day_bounds(self.volcano.day)
        return series_of(self.context.catalogue.pairs(self.name, start=start, end=end))


@pytest.fixture
def station(volcano: Volcano, tmp_path: Path) -> Iterator[Station]:
    made = Station(volcano, tmp_path / "there")
    yield made
    made.kill()


def assert_same(one: EmissionSeries, other: EmissionSeries) -> None:
    """Every array of a series, to the last bit."""
    assert one.times == other.times
    for name in set(EmissionSeries.__dataclass_fields__) - {"dilution"}:  # said of whole runs only
        a, b = getattr(one, name), getattr(other, name)
        if isinstance(b, np.ndarray):
            np.testing.assert_array_equal(a, b, err_msg=name, strict=True)
        else:
            assert a == b, name


def test_what_comes_is_archived_processed_and_equal_to_a_batch_run(station: Station, volcano: Volcano) -> None:
    station.arrive(*volcano.others())
    for path in volcano.plume():
        station.arrive(path)
    before = station.pairs_done()
    station.quiet()
    assert PAIRS / 2 < before < station.pairs_done() == PAIRS, "time goes on without new files"
    station.live.finish()
    assert_same(station.series(), volcano.batch)
    catalogue = station.context.catalogue
    files = [*volcano.plume(), *volcano.others()]
    kept = catalogue.find_files(station.name)
    assert len(kept) == len(files)
    assert {station.context.sites[0].archive.path_of(file).read_bytes() for file in kept} == {
        p.read_bytes() for p in files
    }
    start, end = day_bounds(volcano.day)
    assert len(catalogue.columns(station.name, start=start, end=end)) == len(
        [p for p in volcano.plume() if p.suffix == ".npy"]
    )
    assert catalogue.days(station.name, stale=True) == []
    state = station.context.board.live(station.name)
    assert state is not None
    assert station.context.board.images(station.name) is not None

    written = DailyFiles(station.context).write_changed()
    assert tuple(written) == daily_paths(station.context.sites[0].results, volcano.day)
    assert_same_file(read_emission_netcdf(written[0]), volcano.batch)
    rows = read_emission_csv(written[1])
    theirs = read_emission_csv(volcano.folder / "batch" / "emission_rates.csv")
    assert [repr(row) for row in rows] == [repr(row) for row in theirs]
    assert DailyFiles(station.context).write_changed() == [], "what did not change is not written again"


def assert_same_file(one: EmissionSeries, other: EmissionSeries) -> None:
    """As ``assert_same``, but times to the millisecond, as files have them."""
    for name in set(EmissionSeries.__dataclass_fields__) - {"dilution"}:  # said of whole runs only
        if isinstance(getattr(other, name), np.ndarray):
            np.testing.assert_array_equal(getattr(one, name), getattr(other, name), err_msg=name)


@pytest.mark.parametrize("kills", [(3, 11, 12, 30, 55)])
def test_a_station_that_is_killed_goes_on_to_the_last_bit(
    station: Station, volcano: Volcano, kills: tuple[int, ...]
) -> None:
    station.arrive(*volcano.others())
    for number, path in enumerate(volcano.plume()):
        if number in kills:
            station.kill()
            station.open()
            if number % 2:
                station.quiet()
        station.arrive(path)
    station.live.finish()
    assert_same(station.series(), volcano.batch)


def test_what_is_there_before_a_run_begins_does_not_wait_for_a_file_that_never_comes(
    station: Station, volcano: Volcano, monkeypatch: pytest.MonkeyPatch
) -> None:
    frames = [path for path in volcano.plume() if path.suffix == ".png"][:6]
    with monkeypatch.context() as patch:
        patch.setattr(station.live, "step", lambda: False)
        station.arrive(*volcano.others(), *frames)
    while station.live.step():
        pass
    assert station.pairs_done() == 1, "the others may still be followed by a file that goes before them"
    station.quiet()
    assert station.pairs_done() == 3
    station.live.finish()
    assert len(station.series().times) == 3


@pytest.fixture(scope="module")
def windowed(volcano: Volcano, tmp_path_factory: pytest.TempPathFactory) -> Volcano:
    """The same run with windows of cross-correlation that end on the way."""
    import tomlkit

    document = tomlkit.parse(volcano.site.read_text(encoding="utf-8"))
    speed = document["processing"].setdefault("speed", tomlkit.table())  # type: ignore[union-attr]
    correlation = speed.setdefault("cross_correlation", tomlkit.table())
    correlation.update(window_s=32.0, minimum_samples=6, maximum_lag_s=8.0)
    folder = tmp_path_factory.mktemp("windowed")
    for name in ("frames", "spectra"):
        (folder / name).symlink_to(volcano.folder / name)
    for path in volcano.folder.glob("*.*"):
        if path.is_file():
            shutil.copy(path, folder)
    site = folder / volcano.site.name
    site.write_text(tomlkit.dumps(document), encoding="utf-8")
    report = process_folders(
        load_site(site), [folder / "frames"], folder / "batch", spectra=[folder / "spectra"], command="test"
    )
    return Volcano(folder, site, report.series)


def by_status(station: Station, method: str) -> dict[int, int]:
    counts: dict[int, int] = {}
    for rate in station.context.catalogue.rates(station.name, line="total", method=method):
        counts[rate.status] = counts.get(rate.status, 0) + 1
    return counts


def test_each_method_comes_when_it_is_known(windowed: Volcano, tmp_path: Path) -> None:
    station = Station(windowed, tmp_path / "there")
    try:
        station.arrive(*windowed.others())
        pending, known = [], []
        for path in windowed.plume():
            station.arrive(path)
            flow = by_status(station, "flow_raw")
            lag = by_status(station, "cross_correlation")
            assert EmissionStatus.PENDING not in flow
            assert sum(flow.values()) == sum(lag.values()) >= station_pairs(station) - 1
            pending.append(lag.get(EmissionStatus.PENDING, 0))
            known.append(sum(lag.values()) - pending[-1])
        assert max(pending) >= 3, "flow rates do not wait for the window"
        assert known[-1] > 0, "a window has ended on the way"
        assert sorted(known) == known, "what is known stays known"
        early = station.series()
        station.live.finish()
        assert EmissionStatus.PENDING not in by_status(station, "cross_correlation")
        assert_same(station.series(), windowed.batch)
        flow = windowed.batch.speed_methods.index("flow_raw")
        count = len(early.times)
        np.testing.assert_array_equal(
            early.emission_rate_kg_s[:, :, flow], windowed.batch.emission_rate_kg_s[:count, :, flow]
        )
        assert np.isfinite(early.emission_rate_kg_s[:, :, flow]).any()
    finally:
        station.kill()


def station_pairs(station: Station) -> int:
    state = station.context.board.live(station.name)
    return 0 if state is None else state.pairs


def test_kills_do_not_bring_back_what_was_pending(
    windowed: Volcano, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    station = Station(windowed, tmp_path / "there")
    try:
        station.arrive(*windowed.others())
        known = 0
        for number, path in enumerate(windowed.plume()):
            if number % 7 == 3:
                before = station.context.catalogue.rates(station.name)
                station.kill()
                station.open()
                assert station.context.catalogue.rates(station.name) == before, "a replay changes nothing"
            station.arrive(path)
            lag = by_status(station, "cross_correlation")
            assert sum(lag.values()) - lag.get(EmissionStatus.PENDING, 0) >= known
            known = sum(lag.values()) - lag.get(EmissionStatus.PENDING, 0)
        assert known > 0
        station.live.finish()
        assert_same(station.series(), windowed.batch)
        assert "other numbers" not in caplog.text
    finally:
        station.kill()


def test_late_files_are_told_and_the_day_is_calculated_again(station: Station, volcano: Volcano) -> None:
    station.arrive(*volcano.others())
    plume = volcano.plume()
    late = [path for number, path in enumerate(plume) if number in (4, 5, 9)]
    for path in plume:
        if path not in late:
            station.arrive(path)
    station.arrive(*late)
    (stale,) = station.context.catalogue.days(station.name, stale=True)
    assert (stale.day, stale.reason) == (volcano.day, LATE)
    run = station.context.catalogue.open_run(station.name)
    assert run is not None
    assert len(station.context.catalogue.unused(run.id)) >= len(late)
    again = Recalculation(station.context, station.context.sites[0])
    assert again.due() == [], "the live day is left alone"
    station.quiet(61.0)
    assert station.context.catalogue.open_run(station.name) is None, "nothing comes any more"
    assert again.due() == [volcano.day]
    assert again.recalculate(volcano.day) == PAIRS
    assert_same(station.series(), volcano.batch)
    day = station.context.catalogue.day(station.name, volcano.day)
    assert day is not None
    assert (day.revision, day.stale_since) == (1, None)


def test_a_run_waits_for_calibration_files_and_begins_when_they_come(station: Station, volcano: Volcano) -> None:
    station.arrive(*volcano.plume())
    state = station.context.board.live(station.name)
    assert state is not None
    assert state.state == "waiting"
    assert state.message
    station.arrive(*volcano.others())
    station.quiet(61.0)
    while station.live.step():
        pass
    station.live.finish()
    assert_same(station.series(), volcano.batch)


def test_a_site_file_with_placeholders_gives_no_rates(
    station: Station, volcano: Volcano, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("so2cam.station.live.without_meaning", lambda site: ["camera.position"])
    station.arrive(*volcano.others())
    station.arrive(*volcano.plume())
    state = station.context.board.live(station.name)
    assert state is not None
    assert (state.state, state.message) == ("waiting", "the site file still has placeholders: camera.position")
    assert not list(station.context.catalogue.rates(station.name, line="total", limit=5))


def test_a_day_is_not_calculated_again_over_placeholders(
    station: Station, volcano: Volcano, monkeypatch: pytest.MonkeyPatch
) -> None:
    station.arrive(*volcano.others())
    station.arrive(*volcano.plume())
    station.live.finish()
    catalogue = station.context.catalogue
    catalogue.mark_stale(station.name, volcano.day, LATE)
    monkeypatch.setattr("so2cam.formats.starter.without_meaning", lambda site: ["camera.position.altitude_m"])
    assert Recalculation(station.context, station.context.sites[0]).recalculate(volcano.day) is None
    assert [day.day for day in catalogue.days(station.name, stale=True)] == [volcano.day]
    assert_same(station.series(), volcano.batch)


def test_a_calibration_that_comes_later_marks_the_days_it_changes(station: Station, volcano: Volcano) -> None:
    others = volcano.others()
    clear = [path for path in others if "Clear" in path.name and path.suffix == ".png"]
    later = clear[len(clear) // 2 :] if len(clear) > 2 else clear[1:]
    station.arrive(*(path for path in others if path not in later))
    station.arrive(*volcano.plume())
    station.live.finish()
    again = Recalculation(station.context, station.context.sites[0])
    again.mark_days_with_new_references()
    assert again.due() == []
    station.arrive(*later)
    again.mark_days_with_new_references()
    (stale,) = station.context.catalogue.days(station.name, stale=True)
    assert stale.reason == CALIBRATION
    assert again.due() == [volcano.day]
    assert again.recalculate(volcano.day) == PAIRS
    assert_same(station.series(), volcano.batch)
    again.mark_days_with_new_references()
    assert again.due() == []


def test_other_settings_begin_the_day_anew(station: Station, volcano: Volcano) -> None:
    station.arrive(*volcano.others())
    station.arrive(*volcano.plume())
    station.kill()
    text = station.site.read_text(encoding="utf-8")
    station.site.write_text(text.replace("minimum_points = 8", "minimum_points = 9"), encoding="utf-8")
    first = station.context.catalogue
    station.open()
    run = station.context.catalogue.open_run(station.name)
    assert run is not None
    assert first is not station.context.catalogue
    assert len(station.context.catalogue.fed(run.id)) >= len(volcano.plume())
    assert {day.day for day in station.context.catalogue.days(station.name, stale=True)} == {volcano.day}


def test_files_of_an_older_day_do_not_disturb_the_newest(
    station: Station, volcano: Volcano, monkeypatch: pytest.MonkeyPatch
) -> None:
    station.arrive(*volcano.others())
    station.arrive(*volcano.plume()[:30])
    frames = station.context.catalogue.find_files(station.name, kind="frame", subject="plume")
    before = f"{frames[0].time - timedelta(days=1):%Y-%m-%d}"
    backlog = []
    for older in [path for path in volcano.plume() if path.suffix == ".png"][:6]:
        backlog.append(station.folder / older.name.replace(f"{frames[0].time:%Y-%m-%d}", before))
        assert backlog[-1].name != older.name
        shutil.copy(older, backlog[-1])
    mark, marked = station.context.catalogue.mark_stale, []
    monkeypatch.setattr(
        station.context.catalogue, "mark_stale", lambda *words: (marked.append(words[1]), mark(*words))[1]
    )
    station.arrive(*backlog)
    assert marked == [before], "once for all files that come together"
    run = station.context.catalogue.open_run(station.name)
    assert run is not None
    assert run.day == volcano.day
    stale = [day.day for day in station.context.catalogue.days(station.name, stale=True)]
    assert stale == [before]


def test_a_new_day_ends_the_one_before(station: Station, volcano: Volcano) -> None:
    station.arrive(*volcano.others())
    station.arrive(*volcano.plume())
    day = f"{volcano.batch.times[0]:%Y-%m-%d}"
    tomorrow = f"{volcano.batch.times[0] + timedelta(days=1):%Y-%m-%d}"
    for path in volcano.plume()[:6]:
        for part in (path, path.with_suffix(".json")):
            if part.exists() and path.suffix == ".png":
                moved = station.folder / part.name.replace(day, tomorrow)
                moved.write_bytes(part.read_bytes().replace(day.encode(), tomorrow.encode()))
        if path.suffix == ".png":
            moved = station.folder / path.name.replace(day, tomorrow)
            moved.write_bytes(path.read_bytes())
            station.arrive(moved)
    run = station.context.catalogue.open_run(station.name)
    assert run is not None
    assert run.day == tomorrow
    assert_same(station.series(), volcano.batch)
    assert station.context.catalogue.days(station.name, stale=True) == []
    with_calibration = station.context.catalogue.files_by_id(run.inputs)
    assert {day_of(file.time) for file in with_calibration.values()} == {day}
