"""Properties of the science: arguments are left alone, shapes are kept, and results scale as physics does."""

import copy
from collections.abc import Callable
from dataclasses import fields, is_dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from so2cam.core.records import Band, FloatArray, FrameInfo, FrameKind, PlumeLine
from so2cam.science.calibration.cells import curvature_warning, fit_cells
from so2cam.science.calibration.curve import fixed_slope
from so2cam.science.emission.baseline import edge_baseline
from so2cam.science.emission.lines import line_samples, sample_image, sample_positions
from so2cam.science.emission.rate import correlated_sum_uncertainty, integrate, line_columns
from so2cam.science.geometry.camera import CameraModel, off_axis_cosine, pixel_area_m2, pixel_rays, step_length_m
from so2cam.science.geometry.plume import DistanceUncertainty, PlumePlane, plume_distance_m
from so2cam.science.imaging.absorbance import apparent_absorbance, log_intensity, optical_depth
from so2cam.science.imaging.background import (
    block_means,
    blocks_to_pixels,
    evaluate_surface,
    find_sky,
    fit_sky_surface,
    pixel_noise,
)
from so2cam.science.imaging.dark import select_darks, subtract_dark
from so2cam.science.imaging.flat import flat_field
from so2cam.science.imaging.registration import warp_to_on_band
from so2cam.science.motion.cross_correlation import find_lag
from so2cam.science.motion.flow import Region, flow_at, optical_flow

SHAPE = (96, 120)
CAMERA = CameraModel(648, 486, 1300.0, 3.05, 0.2, 0.03)
PLANE = PlumePlane(5500.0, 3.1, 3.05)
UNCERTAINTY = DistanceUncertainty(50.0, 0.02, 0.3)
CURVE = fixed_slope(1e19, 3e17)
COMMON = settings(max_examples=40, deadline=None, derandomize=True)
SEEDS = st.integers(0, 2**32 - 1)
NUMBERS = st.floats(-1e3, 1e3)


def frozen(value: Any) -> Any:
    """Return ``value`` with all its arrays made read-only, those of records included."""
    if isinstance(value, np.ndarray):
        value.setflags(write=False)
    elif is_dataclass(value) and not isinstance(value, type):
        for entry in fields(value):
            frozen(getattr(value, entry.name))
    return value


def images(seed: int) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    smooth = np.cumsum(np.cumsum(rng.standard_normal(SHAPE), axis=0), axis=1)
    plume = (0.1 * (smooth - smooth.mean()) / smooth.std()).astype(np.float32)
    valid = rng.random(SHAPE) < rng.choice([0.9, 0.99, 1.0])
    intensity = (500 * np.exp(plume) + rng.normal(0, 2, SHAPE)).astype(np.float32)
    intensity[~valid] = np.nan
    return {"plume": plume, "valid": valid, "intensity": intensity, "rng": rng}


def _calls(seed: int) -> dict[str, tuple[Callable[..., Any], tuple[Any, ...], dict[str, Any]]]:
    """Every pure function of the chain with arguments made from ``seed``."""
    made = images(seed)
    plume, valid, intensity, rng = made["plume"], made["valid"], made["intensity"], made["rng"]
    counts = rng.integers(0, 1024, SHAPE).astype(np.uint16)
    matrix = np.array([[1.0, 0.01, rng.uniform(-5, 5)], [-0.01, 1.0, rng.uniform(-5, 5)]])
    log_on = log_intensity(intensity, valid)
    log_off = log_intensity((intensity * np.exp(plume)).astype(np.float32), valid)
    blocks = block_means(log_on, log_off, valid)
    above = find_sky(blocks, SHAPE, np.array([[0.0, 90.0], [119.0, 90.0]]))
    n = 60
    position = (np.arange(n) + 0.5) / n
    profile = 0.1 * np.exp(-(((position - 0.5) / 0.1) ** 2)) + 0.01 * rng.standard_normal(n)
    profile[rng.integers(0, n, 3)] = np.nan
    level = edge_baseline(profile, position, fraction=0.2, pixel_noise=0.01, structure=0.001)
    columns = line_columns(profile, level, CURVE, pixel_noise=0.01)
    x, y = rng.uniform(-5, 125, n), rng.uniform(-5, 100, n)
    region = Region(0, 96, 0, 120)
    flow_options = {"window_px": 24, "levels": 2, "iterations": 2}
    flow = optical_flow(plume, np.roll(plume, 2, axis=1), valid, valid, region, **flow_options)
    times = np.arange(n) * 8.0
    series = np.cumsum(rng.standard_normal(n + 4))
    distance = plume_distance_m(CAMERA, PLANE, x, y)
    column = np.array([0.0, 7.6e17, 3.1e18])
    lag_options = {"maximum_lag_s": 100.0, "minimum_samples": 12, "minimum_correlation": 0.5}
    integral_options = {"relative_distance_uncertainty": 0.02, "distance_power": 2}
    cell_options = {
        "absorbance_uncertainty": np.full(3, 0.003),
        "column_uncertainty": 0.1 * column,
        "model": "line",
    }
    return {
        "subtract_dark": (subtract_dark, (counts, plume), {"saturation_dn": 1000, "minimum_signal_dn": 5}),
        "flat_field": (flat_field, (intensity, valid), {"smoothing_px": 2.0}),
        "warp_to_on_band": (warp_to_on_band, (intensity, valid, matrix), {}),
        "identity": (warp_to_on_band, (intensity, valid, np.eye(2, 3)), {}),
        "log_intensity": (log_intensity, (intensity, valid), {}),
        "optical_depth": (optical_depth, (log_off, log_on), {}),
        "apparent_absorbance": (apparent_absorbance, (log_off, log_on), {}),
        "block_means": (block_means, (log_on, log_off, valid), {}),
        "find_sky": (find_sky, (blocks, SHAPE), {}),
        "fit_sky_surface": (fit_sky_surface, (blocks, above, SHAPE), {"order": 2}),
        "evaluate_surface": (evaluate_surface, (rng.standard_normal(6), 2, SHAPE), {}),
        "blocks_to_pixels": (blocks_to_pixels, (above, SHAPE), {}),
        "pixel_noise": (pixel_noise, (plume, valid), {}),
        "sample_image": (sample_image, (plume, valid, x, y), {}),
        "edge_baseline": (
            edge_baseline,
            (profile, position),
            {"fraction": 0.2, "pixel_noise": 0.01, "structure": 0.001},
        ),
        "line_columns": (line_columns, (profile, level, CURVE), {"pixel_noise": 0.01}),
        "integrate": (integrate, (columns, 1 + position), integral_options),
        "correlated_sum_uncertainty": (correlated_sum_uncertainty, (profile, 1.0, 5.0), {}),
        "optical_flow": (optical_flow, (plume, plume[::-1].copy(), valid, valid, region), flow_options),
        "flow_at": (flow_at, (flow, x, y, (0.6, 0.8)), {}),
        "find_lag": (find_lag, (times, series[4:], series[:-4]), lag_options),
        "pixel_rays": (pixel_rays, (CAMERA, x, y), {}),
        "plume_distance_m": (plume_distance_m, (CAMERA, PLANE, x, y), {}),
        "pixel_area_m2": (pixel_area_m2, (CAMERA, x, y, distance), {}),
        "step_length_m": (step_length_m, (CAMERA, x, y, distance, (0.6, 0.8)), {}),
        "fit_cells": (fit_cells, (np.array([0.0, 0.08, 0.3]), column), cell_options),
        "curvature_warning": (curvature_warning, (np.array([0.0, 0.08, 0.3]), column), {}),
    }


def same(first: Any, second: Any) -> bool:
    if is_dataclass(first) and not isinstance(first, type):
        return all(same(getattr(first, entry.name), getattr(second, entry.name)) for entry in fields(first))
    if isinstance(first, tuple):
        return len(first) == len(second) and all(same(a, b) for a, b in zip(first, second, strict=True))
    if isinstance(first, np.ndarray):
        return np.array_equal(first, second, equal_nan=first.dtype.kind == "f")
    return bool(first == second or (first != first and second != second))


@pytest.mark.parametrize("name", sorted(_calls(0)))
@pytest.mark.parametrize("seed", [0, 1])
def test_pure_functions_leave_their_arguments_alone_and_repeat_themselves(name: str, seed: int) -> None:
    # A write into a read-only array raises; what goes around that shows in the comparison.
    function, arguments, options = _calls(seed)[name]
    before = copy.deepcopy((arguments, options))
    for value in (*arguments, *options.values()):
        frozen(value)
    first = function(*arguments, **options)
    assert all(same(a, b) for a, b in zip(arguments, before[0], strict=True))
    assert all(same(options[key], before[1][key]) for key in options)
    assert same(first, function(*arguments, **options))


@COMMON
@given(SEEDS)
def test_images_keep_their_shape_and_type(seed: int) -> None:
    calls = _calls(seed)
    for name in ("subtract_dark", "warp_to_on_band", "identity", "flat_field"):
        function, arguments, options = calls[name]
        result = function(*arguments, **options)
        image, valid = (result.values, result.valid) if name == "flat_field" else result
        assert image.shape == valid.shape == SHAPE
        assert image.dtype == np.float32
        assert valid.dtype == np.bool_
    for name in ("log_intensity", "optical_depth", "apparent_absorbance", "evaluate_surface"):
        function, arguments, options = calls[name]
        image = function(*arguments, **options)
        assert image.shape == SHAPE
        assert image.dtype == np.float32


@COMMON
@given(SEEDS)
def test_a_flat_field_is_at_most_one_and_above_zero(seed: int) -> None:
    made = images(seed)
    flat = flat_field(made["intensity"], made["valid"], smoothing_px=2.0)
    assert flat.values.max() == 1
    assert flat.values.min() > 0
    assert not np.any(flat.valid & ~made["valid"])


@COMMON
@given(SEEDS, st.floats(0.05, 20))
def test_a_flat_field_does_not_depend_on_brightness(seed: int, factor: float) -> None:
    made = images(seed)
    flat = flat_field(made["intensity"], made["valid"], smoothing_px=2.0)
    brighter = flat_field((factor * made["intensity"]).astype(np.float32), made["valid"], smoothing_px=2.0)
    np.testing.assert_allclose(flat.values, brighter.values, rtol=1e-5)
    assert brighter.peak == pytest.approx(factor * flat.peak, rel=1e-5)


@COMMON
@given(
    hnp.arrays(np.uint16, (5, 7), elements=st.integers(0, 1023)),
    hnp.arrays(np.float32, (5, 7), elements=st.floats(0, 100, width=32)),
    st.floats(0, 50),
)
def test_subtraction_is_exact_and_marks_what_it_must(counts: Any, dark: Any, minimum: float) -> None:
    signal, valid = subtract_dark(counts, dark, saturation_dn=1000.0, minimum_signal_dn=minimum)
    np.testing.assert_allclose(signal, counts.astype(np.float64) - dark, rtol=1e-6, atol=1e-4)
    assert np.array_equal(valid, (counts < 1000) & (signal > minimum))
    assert (signal[valid] > 0).all()


DARK_OFFSETS = st.lists(
    st.tuples(st.integers(-5000, 5000), st.sampled_from([0.1, 0.1003, 0.2]), st.sampled_from([1.0, 2.0])), max_size=8
)


@COMMON
@given(DARK_OFFSETS, st.floats(0, 0.3), st.floats(0, 4000))
def test_darks_that_are_chosen_match_and_the_nearest_is_one_of_them(
    given_darks: list[tuple[int, float, float]], tolerance: float, averaging_s: float
) -> None:
    noon = datetime(2018, 3, 26, 12, tzinfo=UTC)
    frame = FrameInfo(Path("f"), Band.ON, FrameKind.PLUME, noon, 0.1, 1.0)
    darks = [
        FrameInfo(Path(str(index)), Band.ON, FrameKind.DARK, noon + timedelta(seconds=offset), exposure, gain)
        for index, (offset, exposure, gain) in enumerate(given_darks)
    ]
    fitting = [dark for dark in darks if dark.gain == 1.0 and abs(dark.exposure_s / 0.1 - 1) <= tolerance - 1e-9]
    chosen = select_darks(frame, darks, exposure_tolerance=tolerance, averaging_s=averaging_s)
    assert all(dark.gain == 1.0 and abs(dark.exposure_s / 0.1 - 1) <= tolerance + 1e-9 for dark in chosen)
    assert list(chosen) == sorted(chosen, key=lambda dark: dark.time)
    if fitting:
        nearest = min(abs((dark.time - noon).total_seconds()) for dark in fitting)
        assert nearest in [abs((dark.time - noon).total_seconds()) for dark in chosen]
        assert (chosen[-1].time - chosen[0].time).total_seconds() <= 2 * averaging_s


def rate_of(profile: FloatArray, weight: FloatArray, slope: float = 1e19, noise: float = 0.01) -> Any:
    position = (np.arange(profile.size) + 0.5) / profile.size
    curve = fixed_slope(slope, 0.03 * slope)
    level = edge_baseline(profile, position, fraction=0.15, pixel_noise=noise, structure=0.001)
    columns = line_columns(profile, level, curve, pixel_noise=noise)
    return integrate(columns, weight, relative_distance_uncertainty=0.02, distance_power=2)


PROFILES = hnp.arrays(np.float64, 60, elements=st.floats(-0.5, 0.5))


@COMMON
@given(PROFILES, st.floats(0.01, 100))
def test_rates_and_their_uncertainties_scale_with_columns_and_with_speed(profile: FloatArray, factor: float) -> None:
    weight = np.full(60, 3.0)
    plain = rate_of(profile, weight)
    for scaled in (rate_of(profile, factor * weight), rate_of(profile, weight, slope=factor * 1e19)):
        assert scaled.value == pytest.approx(factor * plain.value, rel=1e-9, abs=1e-12 * factor)
        assert scaled.random == pytest.approx(factor * plain.random, rel=1e-9)
        assert scaled.systematic == pytest.approx(factor * plain.systematic, rel=1e-9)


@COMMON
@given(PROFILES, st.floats(-1, 1), st.floats(-1, 1))
def test_a_straight_sky_never_matters(profile: FloatArray, level: float, slope: float) -> None:
    weight = np.full(60, 3.0)
    sky = level + slope * (np.arange(60) + 0.5) / 60
    assert rate_of(profile + sky, weight).value == pytest.approx(rate_of(profile, weight).value, abs=1e-11)


@COMMON
@given(PROFILES, PROFILES)
def test_rates_of_two_plumes_add_up(first: FloatArray, second: FloatArray) -> None:
    weight = np.linspace(1, 2, 60)
    both = rate_of(first + second, weight).value
    assert both == pytest.approx(rate_of(first, weight).value + rate_of(second, weight).value, abs=1e-11)


@COMMON
@given(PROFILES)
def test_a_line_has_no_direction(profile: FloatArray) -> None:
    weight = np.linspace(1, 2, 60)
    there, back = rate_of(profile, weight), rate_of(profile[::-1].copy(), weight[::-1].copy())
    assert back.value == pytest.approx(there.value, abs=1e-11)
    assert back.random == pytest.approx(there.random, rel=1e-9)


POINT = st.tuples(st.floats(5, 640), st.floats(5, 480))


@COMMON
@given(POINT, POINT)
def test_sizes_at_the_plume_are_positive_and_consistent(start: tuple[float, float], end: tuple[float, float]) -> None:
    length = float(np.hypot(end[0] - start[0], end[1] - start[1]))
    if length < 4:
        return
    normal = ((start[1] - end[1]) / length, (end[0] - start[0]) / length)
    line = PlumeLine.straight("line", start, end, normal)
    samples = line_samples(line, CAMERA, PLANE, UNCERTAINTY)
    x, _, position, _, spacing = sample_positions(line)
    assert samples.x.shape == samples.y.shape == samples.piece_m.shape == samples.distance_m.shape == x.shape
    assert np.all(samples.piece_m > 0)
    assert np.all(samples.normal_step_m > 0)
    assert spacing * x.size == pytest.approx(length)
    assert np.all(np.diff(position) > 0)
    # Nothing is larger than on the axis at its distance.
    assert np.all(samples.piece_m <= samples.distance_m / CAMERA.focal_length_px * spacing * (1 + 1e-9))
    assert 0 < samples.relative_distance_uncertainty < 1
    far = line_samples(line, CAMERA, PlumePlane(11000.0, 3.1, 3.05), UNCERTAINTY)
    np.testing.assert_allclose(far.piece_m, 2 * samples.piece_m, rtol=1e-9)


@COMMON
@given(st.floats(-6, 6), st.floats(-1.5, 1.5), st.floats(-3, 3), POINT)
def test_rays_are_unit_vectors_about_the_axis(azimuth: float, elevation: float, roll: float, point: Any) -> None:
    camera = CameraModel(648, 486, 700.0, azimuth, elevation, roll)
    ray = pixel_rays(camera, np.array(point[0]), np.array(point[1]))
    centre = pixel_rays(camera, np.array(323.5), np.array(242.5))
    assert np.linalg.norm(ray) == pytest.approx(1)
    assert ray @ centre == pytest.approx(float(off_axis_cosine(camera, np.array(point[0]), np.array(point[1]))))


@COMMON
@given(hnp.arrays(np.float64, 20, elements=NUMBERS), st.floats(0.1, 5), st.floats(0.5, 50))
def test_a_sum_of_errors_lies_between_none_and_all_in_step(values: FloatArray, spacing: float, length: float) -> None:
    result = correlated_sum_uncertainty(values, spacing, length)
    assert 0 <= result <= np.abs(values).sum() * (1 + 1e-9)
    assert correlated_sum_uncertainty(-3 * values, spacing, length) == pytest.approx(3 * result, abs=1e-6)
    positive = np.abs(values)
    assert correlated_sum_uncertainty(positive, spacing, length) >= np.sqrt(np.sum(values**2)) * (1 - 1e-9)


@COMMON
@given(SEEDS, st.floats(0.2, 50))
def test_a_calibration_takes_the_unit_of_its_labels(seed: int, factor: float) -> None:
    rng = np.random.default_rng(seed)
    column = np.array([0.0, 5e17, 1.5e18, 3e18])
    absorbance = column / 1e19 + rng.normal(0, 0.003, 4)

    def fit(labels: FloatArray) -> Any:
        return fit_cells(
            absorbance,
            labels,
            absorbance_uncertainty=np.full(4, 0.003),
            column_uncertainty=0.1 * labels,
            model="line",
        )

    plain, scaled = fit(column), fit(factor * column)
    np.testing.assert_allclose(scaled.parameters, factor * plain.parameters, rtol=1e-6)
    np.testing.assert_allclose(scaled.covariance, factor**2 * plain.covariance, rtol=1e-5)
    at = np.array([-0.1, 0.0, 0.25])
    assert np.all(plain.column_uncertainty(at) > 0)
    assert np.all(np.diff(plain.column(at)) > 0)


@settings(COMMON, max_examples=12)
@given(SEEDS, st.floats(-30, 30), st.floats(-50, 50), st.floats(0.01, 100))
def test_a_lag_does_not_depend_on_level_scale_or_start(seed: int, start: float, level: float, scale: float) -> None:
    rng = np.random.default_rng(seed)
    times = np.arange(80) * 8.0
    smooth = np.convolve(rng.standard_normal(110), np.hanning(9), "valid")
    first, second = smooth[5:85], smooth[2:82] + 0.05 * rng.standard_normal(80)
    options = {"maximum_lag_s": 120.0, "minimum_samples": 12, "minimum_correlation": 0.5}
    plain = find_lag(times, first, second, **options)
    moved = find_lag(times + 100 * start, level + scale * first, second - level, **options)
    assert moved.status is plain.status
    assert moved.lag_s == pytest.approx(plain.lag_s, abs=0.01, nan_ok=True)
