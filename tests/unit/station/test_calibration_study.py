"""The calibration that set-up pages show is that of a run over the same files; what is left out; ground."""

import contextlib
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from so2cam.core.errors import InputError
from so2cam.core.records import FrameKind
from so2cam.core.site_station import WatchedFolder
from so2cam.formats.folder import scan_frames
from so2cam.formats.siteedit import edit_text
from so2cam.formats.sitefile import LoadedSite, load_site_text
from so2cam.pipeline.batch import RunReport, process_folders
from so2cam.simulate import load_scenario, simulate
from so2cam.station import calibration_reading, setup_frames
from so2cam.station.calibration_study import CalibrationStudies, CalibrationStudy, curve_of, slope_of
from so2cam.station.context import StationContext, open_station
from so2cam.station.dilution_view import dilution_preview
from so2cam.station.setup_frames import SetupFrames
from so2cam.station.watch import FolderWatcher

pytestmark = pytest.mark.timeout(180)
PAIRS = 24
BY_SPECTROMETER: dict[tuple[str | int, ...], Any] = {("processing", "calibration", "source"): "joint"}
EXCLUDE = ("processing", "calibration", "exclude")


@dataclass
class Volcano:
    folder: Path
    context: StationContext
    frames: SetupFrames
    studies: CalibrationStudies
    start: datetime
    end: datetime

    def edited(self, changes: dict[tuple[str | int, ...], Any]) -> LoadedSite:
        path = self.folder / "site.toml"
        return load_site_text(edit_text(path.read_text(encoding="utf-8"), list(changes.items())), path)

    def study(self, changes: dict[tuple[str | int, ...], Any]) -> CalibrationStudy:
        return self.studies.study(self.edited(changes), self.start, self.end)

    def run(self, changes: dict[tuple[str | int, ...], Any], out: Path) -> RunReport:
        spectra = [self.folder / "spectra"] if ("processing", "calibration", "source") in changes else []
        return process_folders(self.edited(changes), [self.folder / "frames"], out, spectra=spectra, command="test")


@pytest.fixture(scope="module")
def volcano(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Volcano]:
    folder = tmp_path_factory.mktemp("volcano")
    simulate(load_scenario("baseline"), folder, pairs=PAIRS, seed=3)
    site = folder / "site.toml"
    site.write_text(site.read_text(encoding="utf-8") + '\n[station]\nfolder = "station"\n', encoding="utf-8")
    context = open_station([site])
    try:
        for name in ("frames", "spectra"):
            watched = WatchedFolder(name=name, folder=str(folder / name), settle_s=0.0)
            watcher = FolderWatcher(context, context.sites[0], watched)
            watcher.look()
            watcher.look()
        frames = SetupFrames(context, context.sites[0])
        times = [pair.time for pair in frames.pairs(context.sites[0].loaded)]
        studies = CalibrationStudies(context, context.sites[0], frames)
        yield Volcano(folder, context, frames, studies, times[0], times[-1] + timedelta(seconds=1))
    finally:
        context.close()


def test_a_study_is_what_a_run_over_the_folders_finds(volcano: Volcano, tmp_path: Path) -> None:
    times = [point.time for point in volcano.study(BY_SPECTROMETER).points]
    assert len(times) > PAIRS - 4
    exclude = [
        {"name": "one", "time": times[3].isoformat(), "note": "a bird"},
        {"name": "strong", "cell_ppm_m": 1200.0},
    ]
    for changes in (BY_SPECTROMETER, BY_SPECTROMETER | {EXCLUDE: exclude}):
        study, report = volcano.study(changes), volcano.run(changes, tmp_path / f"out{len(changes)}")
        assert report.record is not None
        assert study.fit == report.record.fits[-1]
        assert list(study.points) == report.record.points
        assert [point for point, _ in study.excluded] == report.record.excluded
        assert study.view.searches == tuple(report.record.views)
        kept = [cell.reading for cell in study.cells if not cell.excluded]
        assert kept == list(report.cells)
    assert [name for _, name in study.excluded] == ["one"]
    assert [cell.excluded for cell in study.cells if cell.excluded] == [("strong",)]
    assert times[3] not in {point.time for point in study.points}


def test_a_cell_that_is_left_out_changes_the_curve_as_in_a_run(volcano: Volcano, tmp_path: Path) -> None:
    changes: dict[tuple[str | int, ...], Any] = {EXCLUDE: [{"name": "weak", "cell_ppm_m": 400.0}]}
    everything, study, report = volcano.study({}), volcano.study(changes), volcano.run(changes, tmp_path / "out")
    assert slope_of(study.calibration) != slope_of(everything.calibration)
    assert len(everything.cells) == len(study.cells) == 3
    assert report.calibration is not None
    np.testing.assert_array_equal(study.calibration.curve.column(report.calibration.curve_absorbance),  # type: ignore[union-attr]
                                  report.calibration.curve_column_molec_cm2)  # fmt: skip
    assert any("400 ppm m cell are left out" in warning for warning in report.calibration.warnings)
    x, column, sigma = curve_of(study)
    assert x[-1] > study.top_absorbance
    assert (np.diff(column) > 0).all()
    assert (sigma >= 0).all()


def test_without_any_cell_a_study_says_why_there_is_no_calibration(volcano: Volcano) -> None:
    labels = [cell.reading.column_ppm_m for cell in volcano.study({}).cells]
    study = volcano.study({EXCLUDE: [{"name": f"cell {label:g}", "cell_ppm_m": label} for label in labels]})
    assert study.calibration is None
    assert study.problem
    assert np.isnan(slope_of(study.calibration)).all()


def test_a_range_without_pairs_is_said(volcano: Volcano) -> None:
    with pytest.raises(InputError, match="no pairs"):
        volcano.studies.study(volcano.edited({}), volcano.end, volcano.end + timedelta(hours=1))


def test_a_range_is_read_anew_when_files_come(
    volcano: Volcano, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(calibration_reading, "_LOOK_S", 0.0)
    monkeypatch.setattr(setup_frames, "_LOOK_S", 0.0)
    site, source = volcano.folder / "site.toml", tmp_path / "frames"
    source.mkdir()
    with contextlib.closing(open_station([site], folder=tmp_path / "station")) as context:
        watched = WatchedFolder(name="frames", folder=str(source), settle_s=0.0)
        watcher = FolderWatcher(context, context.sites[0], watched)
        loaded = context.sites[0].loaded
        frames = scan_frames([volcano.folder / "frames"], loaded.site.files).frames
        middle = volcano.start + (volcano.end - volcano.start) / 2

        def come(*kinds: FrameKind, cell: float | None = None, late: bool | None = None) -> None:
            for frame in frames:
                if frame.kind in kinds and frame.cell_ppm_m == cell and late in (None, frame.time > middle):
                    shutil.copy2(frame.path, source / frame.path.name)
                    beside = frame.path.with_suffix(".json")
                    if beside.exists():
                        shutil.copy2(beside, source / beside.name)
            watcher.look()
            watcher.look()

        come(FrameKind.DARK, FrameKind.CLEAR)
        come(FrameKind.PLUME, late=False)
        *labels, last = sorted({frame.cell_ppm_m for frame in frames if frame.cell_ppm_m is not None})
        for label in labels:
            come(FrameKind.CELL, cell=label)
        studies = CalibrationStudies(context, context.sites[0], SetupFrames(context, context.sites[0]))
        before = studies.study(loaded, volcano.start, volcano.end)
        come(FrameKind.PLUME, late=True)
        more = studies.study(loaded, volcano.start, volcano.end)
        assert 0 < before.available < more.available == volcano.study({}).available
        assert len(more.cells) == len(labels)
        come(FrameKind.CELL, cell=last)
        assert len(studies.study(loaded, volcano.start, volcano.end).cells) == len(labels) + 1


def test_a_spectrum_whose_fit_was_broken_off_is_fitted_again(volcano: Volcano, monkeypatch: pytest.MonkeyPatch) -> None:
    studies = CalibrationStudies(volcano.context, volcano.context.sites[0], volcano.frames)
    arguments = volcano.edited(BY_SPECTROMETER), volcano.start, volcano.end

    def breaks(*_: object, **__: object) -> None:
        raise InputError("broken off")

    with monkeypatch.context() as patched:
        patched.setattr(calibration_reading, "point_of", breaks)
        with pytest.raises(InputError, match="broken off"):
            studies.study(*arguments)
    assert studies.study(*arguments).columns == volcano.study(BY_SPECTROMETER).columns > 0


def test_the_inversion_sees_the_view_where_the_correlation_does(volcano: Volcano) -> None:
    loaded = volcano.edited(BY_SPECTROMETER)
    weights, block, bell, words = volcano.studies.weights_map(loaded, volcano.start, volcano.end)
    view = volcano.study(BY_SPECTROMETER).view
    assert weights is not None
    assert view.correlation_map is not None
    assert weights.shape == view.correlation_map.shape
    assert view.place is not None
    assert words
    if bell is not None:
        assert np.hypot(bell[0] - view.place[0], bell[1] - view.place[1]) < 10 * block


def test_a_view_that_is_given_is_used_and_a_search_stands_beside_it(volcano: Volcano) -> None:
    found = volcano.study(BY_SPECTROMETER)
    assert found.view.place is not None
    top = ("processing", "calibration", "spectrometer", "field_of_view")
    x, y, radius = found.view.place
    given = {(*top, "source"): "given", (*top, "x"): x + 30, (*top, "y"): y, (*top, "radius_px"): radius}
    study = volcano.study(BY_SPECTROMETER | given)
    assert study.view.place == (x + 30, y, radius)
    assert (study.view.searches[-1].x, study.view.searches[-1].y) == pytest.approx((x, y), abs=0.2)
    assert study.view.correlation_map is not None
    assert study.points[0].absorbance != found.points[0].absorbance


def test_ground_tells_the_extinction_that_a_run_corrects_by(volcano: Volcano) -> None:
    (pair,) = volcano.frames.pairs(volcano.edited({}), limit=1)
    optics = volcano.edited({}).site.camera.optics
    w, h = optics.width_px, optics.height_px
    ground = {"name": "slope", "points": [[0.25 * w, 0.97 * h], [0.6 * w, 0.78 * h]], "distance_m": [3000.0, 9000.0]}
    top = ("processing", "light_dilution")
    drawn: dict[tuple[str | int, ...], Any] = {(*top, "regions"): [ground]}
    looked = dilution_preview(volcano.frames, volcano.edited(drawn), pair)
    assert [fit.band for fit in looked.bands] == ["on", "off"]
    assert looked.dilution is None, "it is only looked at"
    assert looked.diluted is None
    corrected = dilution_preview(volcano.frames, volcano.edited(drawn | {(*top, "mode"): "terrain"}), pair)
    assert corrected.dilution is not None
    values = corrected.dilution.extinctions
    for fit, before, value, sigma in zip(corrected.bands, looked.bands, values[:2], values[2:], strict=True):
        assert fit.value_per_km == before.value_per_km
        assert (1e-3 * fit.value_per_km, 1e-3 * fit.sigma_per_km) == pytest.approx((value, sigma), rel=1e-6)
        assert fit.distance_m.size == fit.relative.size
        assert fit.relative.size > 20
    assert corrected.diluted is not None
    grown = np.nanmedian(corrected.absorbance[corrected.diluted > 0.1] / corrected.diluted[corrected.diluted > 0.1])
    assert grown > 1, "the correction makes columns larger"


def test_ground_whose_distance_is_not_known_yet_is_no_error(volcano: Volcano) -> None:
    (pair,) = volcano.frames.pairs(volcano.edited({}), limit=1)
    ground = {"name": "slope", "points": [[100.0, 450.0], [300.0, 400.0]]}
    looked = dilution_preview(
        volcano.frames, volcano.edited({("processing", "light_dilution", "regions"): [ground]}), pair
    )
    assert looked.bands == ()
    assert looked.problem
