"""Baselines, column amounts and their uncertainties against hand computations and random draws."""

import math

import numpy as np
import pytest

from so2cam.core.constants import KG_M2_PER_MOLEC_CM2
from so2cam.core.records import FloatArray
from so2cam.science.calibration.curve import ColumnCurve, fixed_slope
from so2cam.science.emission.baseline import Baseline, edge_baseline
from so2cam.science.emission.rate import (
    CROSS_CORRELATION_SYSTEMATIC,
    OPTICAL_FLOW_SYSTEMATIC,
    Estimate,
    correlated_sum_uncertainty,
    integrate,
    line_columns,
)

N = 200
POSITION = (np.arange(N) + 0.5) / N
K = 1e19
CURVE = fixed_slope(K, 0.0)
ONES = np.ones(N)


def baseline(absorbance: FloatArray, *, fraction: float = 0.12, noise: float = 0.0, structure: float = 0.0) -> Baseline:
    return edge_baseline(absorbance, POSITION, fraction=fraction, pixel_noise=noise, structure=structure)


def estimate(
    absorbance: FloatArray,
    weight: FloatArray = ONES,
    *,
    curve: ColumnCurve = CURVE,
    fraction: float = 0.12,
    noise: float = 0.0,
    structure: float = 0.0,
    distance: float = 0.0,
    power: int = 1,
) -> Estimate:
    level = baseline(absorbance, fraction=fraction, noise=noise, structure=structure)
    columns = line_columns(absorbance, level, curve, pixel_noise=noise)
    return integrate(columns, weight, relative_distance_uncertainty=distance, distance_power=power)


def plateau(height: float = 0.1) -> FloatArray:
    """A plume of one column over the middle half of the line."""
    return np.where((POSITION > 0.25) & (POSITION < 0.75), height, 0.0)


def test_textbook_emission_rate() -> None:
    # 1e18 molecules cm-2 over 500 m at 5 m/s: 2.66 kg/s. The line is 1000 m long, the plume fills its half.
    weight = np.full(N, 5.0 * 1000.0 / N)
    assert estimate(plateau(), weight).value == pytest.approx(2.6595, abs=2e-4)


def test_a_varying_plume_and_speed_by_hand() -> None:
    absorbance = plateau() * (1 + POSITION)
    weight = 2.0 + POSITION
    inside = (POSITION > 0.25) & (POSITION < 0.75)
    total = sum(0.1 * (1 + p) * (2 + p) for p in POSITION[inside])
    assert estimate(absorbance, weight).value == pytest.approx(KG_M2_PER_MOLEC_CM2 * K * total, rel=1e-9)


def test_zero_mean_noise_has_zero_mean_integral() -> None:
    rng = np.random.default_rng(21)
    values = [estimate(0.01 * rng.standard_normal(N), noise=0.01).value for _ in range(400)]
    assert abs(np.mean(values)) < 2 * np.std(values) / math.sqrt(400)


@pytest.mark.parametrize("fraction", [0.05, 0.12, 0.3])
@pytest.mark.parametrize("weighting", ["even", "uneven"])
def test_stated_random_uncertainty_is_the_scatter(fraction: float, weighting: str) -> None:
    rng = np.random.default_rng(22)
    weight = ONES if weighting == "even" else 1 + 0.8 * np.sin(3 * POSITION)
    results = [
        estimate(plateau() + 0.01 * rng.standard_normal(N), weight, fraction=fraction, noise=0.01) for _ in range(600)
    ]
    scatter = float(np.std([result.value for result in results]))
    assert results[0].random == pytest.approx(scatter, rel=0.15)


@pytest.mark.parametrize(("level", "slope"), [(0.03, 0.0), (0.0, 0.05), (-0.02, -0.04)])
def test_a_sky_that_changes_along_the_line_is_removed_exactly(level: float, slope: float) -> None:
    sky = level + slope * POSITION
    assert estimate(sky).value == pytest.approx(0, abs=1e-12)
    assert estimate(plateau() + sky).value == pytest.approx(estimate(plateau()).value, rel=1e-12)


def test_baseline_between_the_middles_of_both_ends() -> None:
    absorbance = np.where(POSITION < 0.5, 0.02, 0.06)
    result = baseline(absorbance, fraction=0.1)
    np.testing.assert_allclose(result.weights.sum(axis=1), 1, rtol=1e-12)
    # The means of the ends stand at 0.05 and 0.95 of the line.
    np.testing.assert_allclose(result.values, 0.02 + 0.04 * (POSITION - 0.05) / 0.9, rtol=1e-9)
    assert result.excess == pytest.approx(0.06)


def test_excess_is_the_higher_end() -> None:
    assert baseline(np.where(POSITION < 0.12, 0.04, 0.0)).excess == pytest.approx(0.04, rel=1e-6)
    assert baseline(np.where(POSITION > 0.88, 0.07, 0.0)).excess == pytest.approx(0.07, rel=1e-6)


def test_noise_of_an_end_is_that_of_a_mean() -> None:
    result = baseline(plateau(), fraction=0.125, noise=0.01, structure=0.002)
    np.testing.assert_allclose(result.noise, 0.01 / math.sqrt(25), rtol=1e-9)
    np.testing.assert_allclose(result.drift, 0.002, rtol=1e-9)


def test_masked_samples_of_an_end_are_left_out_of_its_mean() -> None:
    absorbance = plateau()
    absorbance[:5] = np.nan
    result = baseline(absorbance, noise=0.01)
    assert np.isfinite(result.values).all()
    np.testing.assert_allclose(result.noise, [0.01 / math.sqrt(19), 0.01 / math.sqrt(24)], rtol=1e-9)


@pytest.mark.parametrize("masked", [slice(0, 30), slice(170, 200), slice(0, 200), slice(1, 24)])
def test_an_end_without_valid_samples_gives_not_a_number_and_never_zero(masked: slice) -> None:
    absorbance = plateau()
    absorbance[masked] = np.nan
    result = estimate(absorbance, noise=0.01)
    assert math.isnan(result.value)
    assert math.isnan(result.random)
    assert math.isnan(baseline(absorbance).excess)


@pytest.mark.parametrize("where", ["weight", "distance"])
def test_not_a_number_in_gives_not_a_number_out_and_never_zero(where: str) -> None:
    weight = ONES.copy()
    if where == "weight":
        weight[100] = np.nan
    distance = np.nan if where == "distance" else 0.01
    result = estimate(plateau(), weight, noise=0.01, distance=distance)
    assert math.isnan(result.systematic)
    if where == "weight":
        assert math.isnan(result.value)
        assert math.isnan(result.random)


def test_masked_samples_inside_are_interpolated_and_marked() -> None:
    absorbance = np.linspace(0.0, 0.199, N)
    absorbance[90:100] = np.nan
    columns = line_columns(absorbance, baseline(np.zeros(N)), CURVE, pixel_noise=0.01)
    np.testing.assert_allclose(columns.column, K * np.linspace(0.0, 0.199, N), rtol=1e-9, atol=1e6)
    assert columns.interpolated.tolist() == [float(90 <= index < 100) for index in range(N)]


def test_interpolation_makes_the_result_less_certain() -> None:
    whole = estimate(plateau(), noise=0.001)
    holed = plateau()
    holed[95:105] = np.nan
    result = estimate(holed, noise=0.001)
    assert result.value == pytest.approx(whole.value, rel=1e-9)
    # A tenth of the plume was interpolated, and half of that is in doubt.
    added = math.sqrt(result.random**2 - whole.random**2)
    assert added == pytest.approx(0.05 * whole.value, rel=0.05)


def test_the_offset_of_the_calibration_cancels() -> None:
    covariance = np.array([[1e34, 0.0], [0.0, 0.0]])
    line = ColumnCurve("line", np.array([-1.65e17, K]), covariance, 1.0)
    absorbance = plateau() + 0.03
    with_offset, without = estimate(absorbance, curve=line), estimate(absorbance)
    assert with_offset.value == pytest.approx(without.value, rel=1e-9)
    assert with_offset.systematic == pytest.approx(0, abs=1e-9 * with_offset.value)


def test_systematic_terms_by_hand() -> None:
    value = estimate(plateau()).value
    slope = estimate(plateau(), curve=fixed_slope(K, 0.05 * K))
    assert slope.systematic == pytest.approx(0.05 * value, rel=1e-9)
    for power in (1, 2):
        distance = estimate(plateau(), distance=0.02, power=power)
        assert distance.systematic == pytest.approx(power * 0.02 * value, rel=1e-9)
    both = estimate(plateau(), curve=fixed_slope(K, 0.05 * K), distance=0.02, power=2)
    assert both.systematic == pytest.approx(math.hypot(0.05, 0.04) * value, rel=1e-9)
    # An unevenness of 0.001 at either end alone tilts the baseline: each carries half of the line.
    sky = estimate(plateau(), structure=0.001)
    assert sky.systematic == pytest.approx(KG_M2_PER_MOLEC_CM2 * K * 0.001 * N / 2 * math.sqrt(2), rel=1e-9)
    assert sky.random == 0


def test_curved_calibration_above_the_baseline() -> None:
    curve = ColumnCurve("quadratic", np.array([9e18, 4e18]), np.zeros((2, 2)), 1.0)
    absorbance = 0.1 + plateau(0.3)
    inside = int(np.sum(plateau() > 0))
    # Sky of 0.1 that is no SO2 lies under the plume: the curve is that of the plume's own 0.3.
    column = 9e18 * 0.3 + 4e18 * 0.09
    assert estimate(absorbance, curve=curve).value == pytest.approx(KG_M2_PER_MOLEC_CM2 * column * inside, rel=1e-9)


def test_random_uncertainty_of_a_curved_calibration_is_the_scatter() -> None:
    # dCD/dAA is twice as large in the plume as under its baseline.
    curve = ColumnCurve("quadratic", np.array([5e18, 5e18]), np.zeros((2, 2)), 1.0)
    rng = np.random.default_rng(23)
    results = [estimate(plateau(0.5) + 0.01 * rng.standard_normal(N), curve=curve, noise=0.01) for _ in range(600)]
    scatter = float(np.std([result.value for result in results]))
    assert np.mean([result.random for result in results]) == pytest.approx(scatter, rel=0.15)


def test_independent_errors_add_in_quadrature_and_common_ones_linearly() -> None:
    values = np.array([1.0, 2.0, -3.0, 4.0])
    assert correlated_sum_uncertainty(values, 1.0, 1e-6) == pytest.approx(math.sqrt(30))
    assert correlated_sum_uncertainty(values, 1.0, 1.0) == pytest.approx(math.sqrt(30))
    assert correlated_sum_uncertainty(values, 1e-9, 1.0) == pytest.approx(4.0, rel=1e-6)
    assert correlated_sum_uncertainty(np.zeros(4), 1.0, 3.0) == 0


def test_errors_of_window_means_add_up_as_random_draws_do() -> None:
    # A window of 24 samples runs over white noise: neighbours share what their windows share.
    rng = np.random.default_rng(24)
    window, count = 24, 100
    weight = np.exp(-(((np.arange(count) - 50) / 20) ** 2))
    noise = rng.standard_normal((4000, count + window - 1))
    means = np.lib.stride_tricks.sliding_window_view(noise, window, axis=1).mean(axis=-1)
    scatter = float(np.std(means @ weight))
    assert correlated_sum_uncertainty(weight / math.sqrt(window), 1.0, window) == pytest.approx(scatter, rel=0.04)


def test_what_the_speed_methods_are_held_to() -> None:
    assert 0 < OPTICAL_FLOW_SYSTEMATIC < 0.1
    assert 0 < CROSS_CORRELATION_SYSTEMATIC < 0.15
