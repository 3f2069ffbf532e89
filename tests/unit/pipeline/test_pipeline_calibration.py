"""Calibration as images and columns pass: what holds when, how old it may be, and how much is kept."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from so2cam.core.records import Band, FrameInfo, FrameKind, FramePair
from so2cam.core.results import NO_FIT
from so2cam.core.site import Site
from so2cam.core.status import QualityFlag
from so2cam.formats.sitefile import load_site
from so2cam.pipeline.bands import site_shape, theoretical_slope
from so2cam.pipeline.calibrated import Calibration
from so2cam.pipeline.calibration import SpectrometerCalibrator
from so2cam.pipeline.calibration_store import StoredCalibrations
from so2cam.pipeline.columns import ColumnPoint
from so2cam.pipeline.learning import learning_warnings
from so2cam.pipeline.light_change import light_change
from so2cam.pipeline.plume_dilution import PlumeDilution
from so2cam.pipeline.steps import AbsorbanceImage
from so2cam.science.calibration.curve import fixed_scale
from so2cam.science.imaging.background import SkySurface
from so2cam.science.imaging.light_dilution import DilutionState, StateUncertainty

START = datetime(2026, 1, 15, 14, tzinfo=UTC)
ROWS, COLUMNS = 48, 64
GIVEN = {"source": "given", "x": 30.0, "y": 22.0, "radius_px": 8.0}


def at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def site_with(view: dict[str, Any] | None = None, **spectrometer: Any) -> Site:
    loaded = load_site(Path(__file__).resolve().parents[3] / "examples/villarrica/site.toml")
    settings = loaded.site.model_dump(mode="json")
    settings["camera"]["optics"] |= {"width_px": COLUMNS, "height_px": ROWS}
    settings["camera"]["view"]["landmark"] = None
    settings["lines"] = [
        {"name": "one", "start": [20, 4], "end": [20, 44], "normal": "left"},
        {"name": "two", "start": [10, 4], "end": [10, 44], "normal": "left"},
    ]
    settings["processing"]["emission"]["total_lines"] = None
    settings["processing"]["speed"]["cross_correlation"]["lines"] = None
    settings["processing"]["calibration"] = {
        "source": "spectrometer",
        "model": "band",
        "spectrometer": {"policy": "rolling", "field_of_view": GIVEN if view is None else view} | spectrometer,
    }
    return Site.model_validate(settings)


def calibrator(site: Site, **more: Any) -> SpectrometerCalibrator:
    return SpectrometerCalibrator(site, site_shape(site), **more)


def pair(seconds: float) -> FramePair:
    on, off = (FrameInfo(Path(f"{seconds}{b}"), b, FrameKind.PLUME, at(seconds), 1.0, 1.0) for b in Band)
    return FramePair(on, off, None)


def dilution() -> PlumeDilution:
    far = np.full((ROWS, COLUMNS), 5000.0, np.float32)
    state = DilutionState(6e-5, far, 1.0)
    return PlumeDilution(state, state, StateUncertainty(1e-5, 1e-5, 1.0, 0.01, 0.1), 1.3, 5000.0)


def image(
    absorbance: float, *, seed: int, valid: bool = True, corrected: bool = False, around: float | None = None
) -> AbsorbanceImage:
    """Return an image of one absorbance, or of one in a disc and another ``around`` it, with noise."""
    rng = np.random.default_rng(seed)
    shape = (ROWS, COLUMNS)
    values = np.asarray(absorbance + rng.normal(0, 0.01, shape), np.float32)
    if around is not None:
        y, x = np.indices(shape)
        values[(x - 30) ** 2 + (y - 22) ** 2 > 10**2] += np.float32(around - absorbance)
    seen = np.full(shape, valid)
    surface = SkySurface(np.zeros(6), np.zeros(6), 2, 0.5, 0.001, np.ones((6, 8), np.bool_))
    return AbsorbanceImage(
        absorbance=np.where(seen, values, np.float32(np.nan)),
        valid=seen,
        in_sky=np.ones(shape, np.bool_),
        background_level=0.0,
        noise=0.01,
        structure=0.001,
        sky_share=0.5,
        log_off=np.zeros(shape, np.float32),
        surface=surface,
        sky_off=np.zeros((6, 8)),
        dilution=dilution() if corrected else None,
    )


def column_at(seconds: float) -> float:
    return 1.2e18 * (1 + 0.5 * np.sin(seconds / 23) + 0.2 * np.sin(seconds / 7.3))


def feed(
    learner: SpectrometerCalibrator,
    start: float,
    end: float,
    *,
    images: bool = True,
    columns: bool = True,
    plume: bool = True,
    valid: bool = True,
    corrected: bool = False,
    spot: bool = False,
    step: float = 10.0,
) -> Iterator[tuple[float, Calibration | None]]:
    """Let images and columns pass from ``start`` to ``end`` [s], and yield what holds at each."""
    slope = theoretical_slope(learner.site)
    for seconds in np.arange(start, end, step):
        column = column_at(seconds) if plume else 0.0
        if columns:
            noise = np.random.default_rng(int(seconds) + 7).normal(0, 1e16)
            learner.add_column(ColumnPoint(at(seconds), 1.0, column + noise, 2e16))
        if images:
            around = column_at(seconds * 1.7 + 500) / slope if spot else None
            shown = image(column / slope, seed=int(seconds), valid=valid, corrected=corrected, around=around)
            learner.observe(pair(seconds), shown)
            yield seconds, learner.at(at(seconds))


def last(results: Iterator[tuple[float, Calibration | None]]) -> Calibration | None:
    return list(results)[-1][1]


def test_nothing_holds_before_there_is_anything() -> None:
    learner = calibrator(site_with())
    assert learner.at(at(0)) is None
    assert learner.newest is None
    held = [calibration for _, calibration in feed(learner, 0, 100)]
    assert held == [None] * 10


def test_a_slope_is_learnt_and_renewed() -> None:
    learner = calibrator(site_with(refit_s=60.0))
    found = last(feed(learner, 0, 900))
    assert found is not None
    value, sigma = found.curve.slope_at_zero
    # A band's curve is steeper at higher columns than the straight line that the images here are made with.
    assert value == pytest.approx(theoretical_slope(learner.site), rel=0.12)
    assert 0 < sigma < 0.1 * value
    assert found.number == len(learner.record.fits) - 1 > 5
    assert not found.flags
    assert learner.newest is found
    times = [point.time for point in learner.record.points]
    assert times == sorted(set(times))


def test_gas_cells_hold_until_the_spectrometer_does() -> None:
    site = site_with()
    cells = Calibration(fixed_scale(site_shape(site), 1.1, 0.05))
    learner = calibrator(site, given=cells)
    held = [calibration for _, calibration in feed(learner, 0, 600)]
    assert held[0] is cells
    assert held[-1] is not cells
    alone = calibrator(site, given=cells)
    assert alone.freeze(at(0)) is cells


def test_a_stored_calibration_fills_in_and_says_so(tmp_path: Path) -> None:
    site = site_with()
    stored = StoredCalibrations(tmp_path / "stored.jsonl", site_shape(site))
    own = last(feed(calibrator(site, stored=stored), 0, 600))
    assert own is not None
    assert stored.new
    stored.save()
    learner = calibrator(site, stored=stored)
    filled = last(feed(learner, 3600, 3700))
    assert filled is not None
    assert filled.flags & QualityFlag.CALIBRATION_STORED
    changed = light_change(site, stored.earlier[-1].time, at(3700))
    assert filled.scale_uncertainty == pytest.approx(np.hypot(own.scale_uncertainty, changed), rel=0.05)
    assert filled.scale_uncertainty > own.scale_uncertainty
    assert learner.newest is filled


def test_a_calibration_whose_columns_have_ended_is_stale_and_less_sure() -> None:
    learner = calibrator(site_with(stale_s=300.0))
    fresh = last(feed(learner, 0, 600))
    old = last(feed(learner, 600, 1200, columns=False))
    assert fresh is not None
    assert old is not None
    assert old.curve is fresh.curve or old.number >= fresh.number
    assert old.flags & QualityFlag.CALIBRATION_STALE
    changed = light_change(learner.site, at(600), at(1200))
    assert old.scale_uncertainty == pytest.approx(np.hypot(fresh.scale_uncertainty, changed), rel=0.05)
    assert changed > 0.03


def test_a_calibration_is_stale_when_the_plume_has_left_the_view_however_many_columns_come() -> None:
    learner = calibrator(site_with(stale_s=900.0, window_s=600.0, refit_s=60.0))
    assert last(feed(learner, 0, 600)) is not None
    later = last(feed(learner, 600, 3000, plume=False))
    assert later is not None
    assert learner.record.fits[-1].status != "ok"
    assert later.flags & QualityFlag.CALIBRATION_STALE


def test_what_is_frozen_stays_and_keeps_no_images() -> None:
    learner = calibrator(site_with(policy="whole"))
    for _ in feed(learner, 0, 400):
        pass
    found = learner.freeze(at(400))
    assert found is not None
    before = len(learner.record.fits)
    assert last(feed(learner, 400, 900)) is found
    assert len(learner.record.fits) == before
    assert not (learner._waiting)
    assert not (learner._matched)
    assert not (learner._columns)


@pytest.mark.parametrize(("images", "columns"), [(True, False), (False, True), (True, True)])
def test_a_long_run_keeps_no_more_than_its_window(images: bool, columns: bool) -> None:
    learner = calibrator(site_with(window_s=600.0, refit_s=300.0))
    for _ in feed(learner, 0, 8000, images=images, columns=columns, step=20.0):
        pass
    kept = {name: len(getattr(learner, name)) for name in ("_waiting", "_matched", "_columns")}
    assert max(kept.values()) <= (600 + 300) / 20 + 2, kept


def test_a_clock_that_goes_back_harms_nothing() -> None:
    learner = calibrator(site_with())
    found = last(feed(learner, 3600, 4200))
    assert found is not None
    for _, held in feed(learner, 0, 100):
        assert held is not None
    assert last(feed(learner, 4200, 4500)) is not None


def test_images_without_a_valid_pixel_give_no_calibration() -> None:
    learner = calibrator(site_with())
    assert last(feed(learner, 0, 400, valid=False)) is None
    assert {fit.status for fit in learner.record.fits} == {
        "too few calibration points with valid absorbance and column"
    }
    assert all(np.isnan(point.absorbance) for point in learner.record.points)
    assert "too few calibration points" in learning_warnings(learner.site, learner.record)[0]


def test_columns_that_are_nan_count_for_nothing() -> None:
    learner = calibrator(site_with())
    for seconds in range(0, 400, 10):
        learner.add_column(ColumnPoint(at(seconds), 1.0, float("nan"), 1e16))
        learner.observe(pair(seconds), image(0.2, seed=seconds))
        assert learner.at(at(seconds)) is None
    (text,) = learning_warnings(learner.site, learner.record)
    assert "0 images have columns within 15 s" in text


def test_columns_without_a_field_of_view_are_shown_once_and_taken_up_when_there_is_one() -> None:
    # Nothing is found at first; more images begin another search long before the interval is over.
    view = {"source": "correlation", "minimum_images": 15, "interval_s": 86400.0}
    learner = calibrator(site_with(view, refit_s=60.0))
    for _ in feed(learner, 0, 400, plume=False):
        pass
    assert learner.record.points
    assert {point.fit for point in learner.record.points} == {NO_FIT}
    (text,) = learning_warnings(learner.site, learner.record)
    assert text.startswith("field of view not found: ")
    assert "columns of the spectrometer: " in text
    assert 2 <= len(learner.record.views) <= 3
    assert last(feed(learner, 400, 2400, spot=True)) is not None
    found = learner.record.views[-1]
    assert (found.x, found.y) == pytest.approx((30, 22), abs=4)
    assert NO_FIT not in {point.fit for point in learner.record.points}
    times = [point.time for point in learner.record.points]
    assert times == sorted(set(times))


def test_images_with_and_without_light_dilution_do_not_mix() -> None:
    learner = calibrator(site_with())
    for _ in feed(learner, 0, 300):
        pass
    uncorrected = len(learner.record.points)
    assert uncorrected > 15
    for _ in feed(learner, 300, 600, corrected=True):
        pass
    assert all(match.image.dilution is not None for match in learner._matched)
    assert learner.record.fits[-1].points < 32


def excluding(site: Site, *exclude: dict[str, Any]) -> Site:
    settings = site.model_dump(mode="json")
    settings["processing"]["calibration"]["exclude"] = list(exclude)
    return Site.model_validate(settings)


def test_a_point_that_is_left_out_is_the_only_one_that_is_gone() -> None:
    for policy in ("rolling", "whole"):
        site = site_with(policy=policy)
        everything, without = calibrator(site), calibrator(excluding(site, {"name": "a", "time": at(200).isoformat()}))
        for learner in (everything, without):
            last(feed(learner, 0, 400))
            learner.freeze(at(400))
        times = [point.time for point in everything.record.points]
        assert at(200) in times
        assert [point.time for point in without.record.points] == [time for time in times if time != at(200)]
        (left,) = without.record.excluded
        was = next(point for point in everything.record.points if point.time == at(200))
        assert (left.absorbance, left.column_molec_cm2, left.weight) == (was.absorbance, was.column_molec_cm2, 0.0)
        assert without.record.fits[-1].points == everything.record.fits[-1].points - 1


def test_what_is_left_out_never_enters_a_fit() -> None:
    """Whatever images show in a range that is left out, the calibration is the same to the last bit."""
    wanted = excluding(site_with(), {"name": "cloud", "start": at(100).isoformat(), "end": at(160).isoformat()})
    slopes = []
    for scale in (1.0, 7.0):
        learner = calibrator(wanted)
        for seed, second in enumerate(range(0, 400, 2)):
            value = 0.1 * (scale if 100 <= second < 160 else 1.0) + column_at(second) * 1e-19
            learner.observe(pair(second), image(value, seed=seed))
            learner.add_column(ColumnPoint(at(second + 1), 1.0, column_at(second + 1), 2e16))
            learner.at(at(second))
        slopes.append([(fit.slope_molec_cm2, fit.slope_uncertainty_molec_cm2) for fit in learner.record.fits])
        assert len(learner.record.excluded) == 6, "one image in ten seconds is kept"
    assert slopes[0]
    assert slopes[0] == slopes[1]


@pytest.mark.parametrize(
    ("exclusion", "word"),
    [
        ({"name": "a"}, "leaves nothing out"),
        ({"name": "a", "start": "2026-01-15T14:00:00Z"}, "belong together"),
        ({"name": "a", "start": "2026-01-15T14:00:00Z", "end": "2026-01-15T14:00:00Z"}, "end must be after start"),
        ({"name": "a", "time": "2026-01-15T14:00:00"}, "timezone"),
    ],
)
def test_an_exclusion_that_leaves_nothing_out_is_refused(exclusion: dict[str, Any], word: str) -> None:
    with pytest.raises(ValueError, match=word):
        excluding(site_with(), exclusion)


def test_two_exclusions_need_two_names() -> None:
    one = {"name": "a", "time": "2026-01-15T14:00:00Z"}
    with pytest.raises(ValueError, match="two are called"):
        excluding(site_with(), one, one)


def test_frames_of_a_gas_cell_are_left_out_by_label_and_by_time() -> None:
    by_label = {"name": "wrong cell", "cell_ppm_m": 500.0}
    by_time = {"name": "cloud", "cell_ppm_m": 300.0, "start": at(0).isoformat(), "end": at(10).isoformat()}
    settings = excluding(site_with(), by_label, by_time).processing.calibration
    assert settings.excluded_cell(500.0, at(3)) == "wrong cell"
    assert settings.excluded_cell(300.0, at(3)) == "cloud"
    assert settings.excluded_cell(300.0, at(10)) is None
    assert settings.excluded_cell(0.0, at(3)) is None
    assert settings.excluded_point(at(3)) is None, "points are not cells"
