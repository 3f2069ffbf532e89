"""The live runner against the batch runner on the same files: equal to the last bit, in whatever order files come."""

import json
import random
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from so2cam.core.errors import InputError
from so2cam.core.records import Band, FrameInfo, FrameKind
from so2cam.core.results import EmissionSeries
from so2cam.core.spectra import SpectrumInfo, SpectrumKind
from so2cam.core.status import EmissionStatus, QualityFlag
from so2cam.formats.folder import scan_frames
from so2cam.formats.sitefile import LoadedSite, load_site, spectrometer_of
from so2cam.formats.spectra.folder import scan_spectra
from so2cam.pipeline import batch
from so2cam.pipeline.batch import process_folders
from so2cam.pipeline.live import FileNote, LiveRun
from so2cam.pipeline.records import PairRecord
from so2cam.pipeline.series import assemble
from so2cam.pipeline.spectra_batch import fit_files, plan_spectra
from so2cam.pipeline.spectrum_processor import ColumnRecord
from so2cam.pipeline.truth import Settings, with_settings
from so2cam.simulate import load_scenario, simulate
from so2cam.simulate.scenario import Scenario

PAIRS = 40
HELD_S = 12.0
ROLLING: Settings = {
    "processing": {
        "calibration": {
            "source": "spectrometer",
            "spectrometer": {
                "policy": "rolling",
                "refit_s": 20.0,
                "window_s": 120.0,
                "minimum_points": 8,
                "field_of_view": {"minimum_images": 10, "interval_s": 60.0},
            },
        },
        "light_dilution": {"mode": "terrain", "recalculation_min": 1.0},
        "speed": {
            "cross_correlation": {
                "window_s": 100.0,
                "maximum_lag_s": 25.0,
                "minimum_samples": 8,
                "minimum_correlation": 0.1,
            }
        },
    }
}
BY_SPECTRA: Settings = {
    "processing": {"light_dilution": {"mode": "spectrum"}},
    "spectrometer": {"light_dilution": {"mode": "fit"}},
}
INTERPOLATED: Settings = {"processing": {"pairing": {"off_band": "interpolated"}}}


@dataclass
class Volcano:
    """A simulated run of air that dilutes, with a quarter of the pixels."""

    loaded: LoadedSite
    folder: Path
    frames: list[FrameInfo]
    spectra: list[SpectrumInfo]
    batches: dict[str, EmissionSeries] = field(default_factory=dict)

    @property
    def plume(self) -> list[FrameInfo | SpectrumInfo]:
        frames = [f for f in self.frames if f.kind is FrameKind.PLUME]
        return [*frames, *(s for s in self.spectra if s.kind is SpectrumKind.PLUME)]

    @property
    def references(self) -> tuple[list[FrameInfo], list[SpectrumInfo]]:
        frames = [f for f in self.frames if f.kind is not FrameKind.PLUME]
        return frames, [s for s in self.spectra if s.kind is not SpectrumKind.PLUME]

    def batch(self, name: str, loaded: LoadedSite) -> EmissionSeries:
        if name not in self.batches:
            report = process_folders(
                loaded,
                [self.folder / "frames"],
                self.folder / name,
                spectra=[self.folder / "spectra"],
                command="test",
            )
            self.batches[name] = report.series
        return self.batches[name]


@pytest.fixture(scope="module")
def volcano(tmp_path_factory: pytest.TempPathFactory) -> Volcano:
    settings = load_scenario("diluted").model_dump(mode="json")
    settings["view"]["optics"].update(width_px=324, height_px=243, pixel_pitch_um=11.2)
    settings["lines"]["length_px"] = 115
    settings["spectrometer"]["radius_px"] = 5.8
    settings["misregistration"]["shift_px"] = [6.0, -4.5]
    folder = tmp_path_factory.mktemp("live")
    simulated = simulate(Scenario.model_validate_json(json.dumps(settings)), folder, seed=4, pairs=PAIRS)
    loaded = with_settings(load_site(simulated.site), ROLLING)
    frames = scan_frames([simulated.frames], loaded.site.files).frames
    spectra = scan_spectra([simulated.spectra], spectrometer_of(loaded).spectrometer.files).spectra
    return Volcano(loaded, folder, list(frames), list(spectra))


@pytest.fixture(autouse=True)
def without_plots(monkeypatch: pytest.MonkeyPatch) -> None:
    """Drawing takes longer than all else here, and nobody looks."""
    monkeypatch.setattr(batch, "write_quicklook", lambda path, *_, **__: path.write_bytes(b"not drawn"))


def end_of(info: FrameInfo | SpectrumInfo) -> datetime:
    if isinstance(info, FrameInfo):
        return info.time + timedelta(seconds=info.exposure_s / 2)
    return info.time + timedelta(seconds=(info.integration_time_s or 0) * (info.coadds or 1) / 2)


def shuffled(files: Iterable[FrameInfo | SpectrumInfo], seed: int) -> list[FrameInfo | SpectrumInfo]:
    generator = random.Random(seed)
    # A frame is judged by the middle of its exposure: what is held back must cover half of that too.
    return sorted(files, key=lambda f: end_of(f) + timedelta(seconds=(HELD_S - 1) * generator.random()))


def assert_same(live: EmissionSeries, batch: EmissionSeries) -> None:
    """Every array of a series, to the last bit; how extinctions agree is said of whole runs only."""
    assert live.times == batch.times
    for name in set(EmissionSeries.__dataclass_fields__) - {"dilution"}:
        one, other = getattr(live, name), getattr(batch, name)
        if isinstance(other, np.ndarray):
            np.testing.assert_array_equal(one, other, err_msg=name, strict=True)
        else:
            assert one == other, name


def series_of(run: LiveRun, records: list[PairRecord]) -> EmissionSeries:
    return assemble(run.site, sorted(records, key=lambda record: record.time))


@pytest.mark.parametrize("order", ["in order", "shuffled 1", "shuffled 2", "all at once"])
def test_live_is_batch_to_the_last_bit(volcano: Volcano, order: str) -> None:
    batch = volcano.batch("rolling", volcano.loaded)
    notes: list[FileNote] = []
    frames, spectra = volcano.references
    held = 3600.0 if order == "all at once" else HELD_S
    run = LiveRun(volcano.loaded, frames, spectra, hold_back_s=held, note=notes.append)
    files = sorted(volcano.plume, key=end_of)
    if order == "all at once":
        random.Random(3).shuffle(files)
    elif order != "in order":
        files = shuffled(files, int(order[-1]))
    early: list[PairRecord] = []
    for info in files:
        early += run.add(info)
    records = early + run.finish()
    assert_same(series_of(run, records), batch)
    assert bool(early) is (order != "all at once"), "records come while files do"
    assert run.counts.late == run.counts.left_out == 0
    assert run.counts.records == run.counts.pairs == PAIRS
    assert {note.path for note in notes if note.sha256} == {info.path for info in files}

    # The series is worth comparing: calibrated again and again, diluted, with values of both methods.
    assert len(set(batch.calibration_number.tolist())) > 4
    assert np.isfinite(batch.extinction_per_m).all()
    assert (np.sum(batch.status == EmissionStatus.OK, axis=(0, 1)) > PAIRS / 2).all()


def test_what_is_left_out_of_the_calibration_is_left_out_of_both(volcano: Volcano) -> None:
    times = volcano.batch("rolling", volcano.loaded).times
    exclude = [
        {"name": "one", "time": times[12].isoformat()},
        {"name": "some", "start": times[20].isoformat(), "end": times[26].isoformat()},
    ]
    loaded = with_settings(volcano.loaded, {"processing": {"calibration": {"exclude": exclude}}})
    batch = volcano.batch("excluding", loaded)
    frames, spectra = volcano.references
    run = LiveRun(loaded, frames, spectra, hold_back_s=HELD_S)
    records = [record for info in shuffled(volcano.plume, 7) for record in run.add(info)]
    assert_same(series_of(run, records + run.finish()), batch)
    assert run.learner.record is not None
    left = {times[12], *times[20:26]}
    assert not left & {point.time for point in run.learner.record.points}
    assert {point.time for point in run.learner.record.excluded} <= left
    before = volcano.batch("rolling", volcano.loaded)
    assert (batch.calibration_slope_molec_cm2 != before.calibration_slope_molec_cm2).any(), "it makes a difference"


def test_light_dilution_from_many_spectra(volcano: Volcano) -> None:
    """No spectrum tells its dilution alone: it is known to live and batch from the same pair on."""
    loaded = with_settings(volcano.loaded, BY_SPECTRA)
    batch = volcano.batch("by-spectra", loaded)
    frames, spectra = volcano.references
    run = LiveRun(loaded, frames, spectra, hold_back_s=HELD_S)
    records = [record for info in shuffled(volcano.plume, 6) for record in run.add(info)]
    assert_same(series_of(run, records + run.finish()), batch)
    known = np.isfinite(batch.extinction_per_m[:, 0])
    assert not known[0]
    assert PAIRS / 2 < known.sum() < PAIRS
    assert np.unique(batch.extinction_per_m[known, 0]).size > 3, "found anew as spectra come"
    unknown = (batch.quality_flags & int(QualityFlag.DILUTION_UNKNOWN)) > 0
    assert (unknown.reshape(PAIRS, -1).any(axis=1) == ~known).all()
    assert (np.sum(batch.status == EmissionStatus.OK, axis=(0, 1)) > PAIRS / 3).all()


def test_interpolated_off_band(volcano: Volcano) -> None:
    loaded = with_settings(volcano.loaded, INTERPOLATED)
    batch = volcano.batch("interpolated", loaded)
    frames, spectra = volcano.references
    run = LiveRun(loaded, frames, spectra, hold_back_s=HELD_S)
    records = [record for info in shuffled(volcano.plume, 5) for record in run.add(info)]
    assert_same(series_of(run, records + run.finish()), batch)
    assert len(batch.times) == PAIRS - 1, "the last on-band frame has no off-band frame after it"
    assert np.isfinite(batch.total_emission_rate_kg_s).any()


def test_spectra_one_by_one_are_those_of_a_batch(volcano: Volcano) -> None:
    loaded = spectrometer_of(volcano.loaded)
    whole, _ = fit_files(loaded, plan_spectra(loaded, [volcano.folder / "spectra"]), jobs=1, progress=None)
    found: list[ColumnRecord] = []
    frames, spectra = volcano.references
    run = LiveRun(volcano.loaded, frames, spectra, on_column=found.append)
    for info in volcano.spectra:
        run.add(info)
    assert len(found) == len(whole) >= PAIRS
    for one, other in zip(found, whole, strict=True):
        assert (one.info, one.status, set(one.parameters)) == (other.info, other.status, set(other.parameters))
        for name, values in other.parameters.items():
            np.testing.assert_array_equal(one.parameters[name], values, err_msg=name)
        np.testing.assert_array_equal(one.light_dilution, other.light_dilution)
        np.testing.assert_array_equal((one.chi2, one.residual_rms), (other.chi2, other.residual_rms))
        np.testing.assert_array_equal(one.light, other.light)
    assert any(np.isfinite(record.parameters["so2"][0]) for record in found)


def test_a_late_file_is_left_out_and_said_so(volcano: Volcano) -> None:
    notes: list[FileNote] = []
    frames, spectra = volcano.references
    run = LiveRun(volcano.loaded, frames, spectra, hold_back_s=HELD_S, note=notes.append)
    files = sorted(volcano.plume, key=end_of)
    first = files[0]
    for info in files[1:60]:
        run.add(info)
    assert run.add(first) == []
    run.add(files[59])
    run.add(next(f for f in frames if f.kind is FrameKind.DARK))
    reasons = {note.path: note.reason for note in notes if note.reason}
    assert "later" in str(reasons[first.path])
    assert "already" in str(reasons[files[59].path])
    assert any("dark frame" in str(reason) for reason in reasons.values())
    assert (run.counts.late, run.until) == (1, max(map(end_of, files[:60])) - timedelta(seconds=HELD_S))


def test_a_file_that_cannot_be_read_costs_its_own_pair_only(volcano: Volcano, tmp_path: Path) -> None:
    notes: list[FileNote] = []
    run = LiveRun(volcano.loaded, *volcano.references, hold_back_s=HELD_S, note=notes.append)
    files = sorted(volcano.plume, key=end_of)
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"no picture")
    place = next(i for i, f in enumerate(files) if isinstance(f, FrameInfo) and f.band is Band.OFF and i > 20)
    lost = files[place]
    assert isinstance(lost, FrameInfo)
    files[place] = FrameInfo(broken, lost.band, lost.kind, lost.time, lost.exposure_s, lost.gain)
    records = [record for info in files for record in run.add(info)] + run.finish()
    assert len(records) == PAIRS - 1
    assert [note.path for note in notes if note.reason] == [broken]


def test_time_goes_on_without_files(volcano: Volcano) -> None:
    """At the end of a day no newer file moves the hold-back on: the caller's word does."""
    run = LiveRun(volcano.loaded, *volcano.references, hold_back_s=HELD_S)
    files = sorted(volcano.plume, key=end_of)
    records = [record for info in files for record in run.add(info)]
    more = run.advance(end_of(files[-1]) + timedelta(seconds=5))
    assert run.counts.pairs == PAIRS
    assert len(records) + len(more) < PAIRS, "the last record waits for a next pair"
    assert len(records) + len(more) + len(run.finish()) == PAIRS
    with pytest.raises(RuntimeError, match="finished"):
        run.advance(end_of(files[-1]))


def test_the_policy_of_archives_runs_as_rolling_and_says_so(volcano: Volcano) -> None:
    whole = with_settings(volcano.loaded, {"processing": {"calibration": {"spectrometer": {"policy": "whole"}}}})
    run = LiveRun(whole, *volcano.references, hold_back_s=HELD_S)
    assert any("rolling" in warning for warning in run.warnings)
    records = [record for info in sorted(volcano.plume, key=end_of) for record in run.add(info)] + run.finish()
    assert_same(series_of(run, records), volcano.batch("rolling", volcano.loaded))


def test_without_spectra_an_old_calibration_is_flagged_and_memory_stays(volcano: Volcano) -> None:
    settings: Settings = {"processing": {"calibration": {"spectrometer": {"stale_s": 30.0}}}}
    run = LiveRun(with_settings(volcano.loaded, settings), *volcano.references, hold_back_s=HELD_S)
    files = sorted(volcano.plume, key=end_of)
    half = files[len(files) // 2].time
    kept = [f for f in files if isinstance(f, FrameInfo) or f.time < half]
    records = [record for info in kept for record in run.add(info)] + run.finish()
    flags = [record.flags for record in records]
    assert QualityFlag.CALIBRATION_STALE in flags[-1]
    assert QualityFlag.CALIBRATION_STALE not in flags[PAIRS // 2 - 1]
    calibrator = run.learner.spectrometer
    assert calibrator is not None
    assert len(calibrator._waiting) <= 120 / 5 + 1


def test_a_registration_from_frames_needs_earlier_ones(volcano: Volcano) -> None:
    loaded = with_settings(volcano.loaded, {"registration": {"source": "automatic"}})
    with pytest.raises(InputError, match="earlier time"):
        LiveRun(loaded, *volcano.references)
    run = LiveRun(loaded, volcano.frames, volcano.references[1])
    assert run.site.registration.matrix != loaded.site.registration.matrix
