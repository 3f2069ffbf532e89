"""Gas cells of known curves, and what the stated uncertainties are worth."""

from typing import Any

import numpy as np
import pytest

from so2cam.core.constants import MOLEC_CM2_PER_PPM_M
from so2cam.core.records import FloatArray
from so2cam.science.calibration.cells import CellModel, curvature_warning, fit_cells
from so2cam.science.calibration.curve import ColumnCurve, fixed_slope

K = 1.0e19
THREE = np.array([0.0, 304.0, 1257.0]) * MOLEC_CM2_PER_PPM_M
SIX = np.array([0.0, 200.0, 500.0, 900.0, 1300.0, 1800.0]) * MOLEC_CM2_PER_PPM_M


def fit(
    absorbance: FloatArray, column: FloatArray, *, model: CellModel = "line", sigma: float = 0.002, **options: Any
) -> ColumnCurve:
    return fit_cells(
        absorbance,
        column,
        absorbance_uncertainty=np.full(column.size, sigma),
        column_uncertainty=0.1 * column,
        model=model,
        **options,
    )


@pytest.mark.parametrize("weighted", [True, False])
@pytest.mark.parametrize("offset", [0.0, -1.65e17, 4e17])
def test_slope_and_offset_are_recovered_and_the_offset_is_kept(offset: float, weighted: bool) -> None:
    absorbance = np.array([0.01, 0.09, 0.2, 0.38, 0.5])
    column = 7.01e18 * absorbance + offset
    curve = fit(absorbance, column, weighted=weighted)
    assert curve.slope_at_zero[0] == pytest.approx(7.01e18, rel=1e-9)
    assert curve.offset[0] == pytest.approx(offset, rel=1e-7, abs=1e10)
    assert curve.column(np.array([0.0, 0.3])) == pytest.approx([offset, 0.3 * 7.01e18 + offset], rel=1e-9, abs=1e10)
    assert curve.maximum_absorbance == 0.5


@pytest.mark.parametrize("weighted", [True, False])
def test_a_quadratic_through_the_origin_is_recovered(weighted: bool) -> None:
    absorbance = np.array([0.0, 0.1, 0.25, 0.45, 0.7])
    column = 9e18 * absorbance + 2e18 * absorbance**2
    curve = fit(absorbance, column, model="quadratic", weighted=weighted)
    assert curve.parameters == pytest.approx([9e18, 2e18], rel=1e-8)
    assert curve.column(np.array([0.0]))[0] == 0
    assert curve.slope(np.array([0.0, 0.5])) == pytest.approx([9e18, 11e18], rel=1e-8)
    assert curve.offset == (0.0, 0.0)


def test_saturating_cells_to_4000_ppm_m_within_half_a_percent() -> None:
    # A band whose absorbance saturates: column per absorbance rises by 20 % to 4000 ppm m.
    column = np.array([0.0, 300.0, 1000.0, 2000.0, 4000.0]) * MOLEC_CM2_PER_PPM_M
    absorbance = column / K / (1 + 0.2 * column / column.max())
    curve = fit(absorbance, column, model="quadratic", sigma=0.0)
    between = np.array([0.05, 0.2, 0.5, 0.7])
    # A of c solved for c: c (1 - 0.2 A K / max) = K A
    truth = K * between / (1 - 0.2 * K * between / column.max())
    np.testing.assert_allclose(curve.column(between), truth, rtol=0.01)


def test_textbook_weights() -> None:
    # Effective variance with a known slope, solved by hand for two parameters.
    rng = np.random.default_rng(5)
    absorbance = SIX / K
    column = SIX + rng.normal(0, 0.02, SIX.size) * SIX
    curve = fit_cells(
        absorbance,
        column,
        absorbance_uncertainty=np.full(6, 0.01),
        column_uncertainty=np.full(6, 2e17),
        model="line",
    )
    # All weights are equal here, so the fit is the plain one, and sigma^2 = (2e17)^2 + (k 0.01)^2.
    slope, offset = np.polyfit(absorbance, column, 1)
    assert curve.slope_at_zero[0] == pytest.approx(slope, rel=1e-9)
    assert curve.offset[0] == pytest.approx(offset, rel=1e-7)
    variance = (2e17) ** 2 + (slope * 0.01) ** 2
    assert curve.slope_at_zero[1] ** 2 == pytest.approx(
        variance / np.sum((absorbance - absorbance.mean()) ** 2), rel=1e-6
    )


def test_without_weights_it_is_the_plain_polynomial_fit() -> None:
    rng = np.random.default_rng(6)
    absorbance = SIX / K + rng.normal(0, 0.01, SIX.size)
    curve = fit(absorbance, SIX, weighted=False)
    (slope, offset), covariance = np.polyfit(absorbance, SIX, 1, cov=True)
    assert curve.parameters == pytest.approx([offset, slope], rel=1e-9)
    assert curve.slope_at_zero[1] == pytest.approx(np.sqrt(covariance[0, 0]), rel=1e-6)
    assert curve.offset[1] == pytest.approx(np.sqrt(covariance[1, 1]), rel=1e-6)


def test_cells_that_scatter_more_than_their_labels_widen_the_uncertainty_and_never_narrow_it() -> None:
    absorbance = SIX / K
    exact = fit(absorbance, SIX)
    pull = np.array([0.0, 1.0, -1.0, 1.0, -1.0, 1.0])
    wide = fit(absorbance, SIX * (1 + 0.4 * pull))
    fine = fit(absorbance, SIX * (1 + 0.001 * pull))
    # Labels 4 sigma off, alternately, 5 cells with gas and 4 degrees of freedom: chi-squared about 5 * 16 / 4.
    ratio = wide.slope_at_zero[1] / wide.slope_at_zero[0] / (exact.slope_at_zero[1] / exact.slope_at_zero[0])
    assert 3 < ratio < 7
    assert fine.slope_at_zero[1] == pytest.approx(exact.slope_at_zero[1], rel=0.01)


@pytest.mark.parametrize(("model", "at"), [("line", 0.3), ("quadratic", 0.3), ("line", 0.1)])
def test_stated_uncertainty_covers_errors_of_the_labels(model: CellModel, at: float) -> None:
    rng = np.random.default_rng(11)
    trials, inside, inside_two = 1200, 0, 0
    for _ in range(trials):
        label = SIX * (1 + 0.1 * rng.standard_normal(SIX.size))
        curve = fit(SIX / K + 0.003 * rng.standard_normal(SIX.size), label, model=model, sigma=0.003)
        point = np.array([at])
        error = abs(float(curve.column(point)[0]) - K * at)
        sigma = float(curve.column_uncertainty(point)[0])
        inside += error < sigma
        inside_two += error < 2 * sigma
    assert 0.60 < inside / trials < 0.76
    assert 0.92 < inside_two / trials < 0.98


def test_three_cells_of_which_one_is_empty_cover_no_less_than_they_say() -> None:
    rng = np.random.default_rng(12)
    trials, inside = 1200, 0
    for _ in range(trials):
        label = THREE * (1 + 0.1 * rng.standard_normal(3))
        slope, sigma = fit(THREE / K + 0.003 * rng.standard_normal(3), label, sigma=0.003).slope_at_zero
        inside += abs(slope - K) < sigma
    assert 0.66 < inside / trials < 0.80


def test_the_empty_cell_takes_part() -> None:
    absorbance = THREE / K + 0.02
    curve = fit(absorbance, THREE)
    assert curve.offset[0] == pytest.approx(-0.02 * K, rel=1e-6)
    assert curve.column(np.array([0.02]))[0] == pytest.approx(0, abs=1e-6 * THREE.max())


@pytest.mark.parametrize(
    ("model", "column"),
    [("line", [0.0]), ("line", [5e17, 5e17]), ("quadratic", [0.0, 5e17]), ("quadratic", [5e17, 5e17, 5e17])],
)
def test_too_few_different_cells_are_refused(model: CellModel, column: list[float]) -> None:
    columns = np.array(column)
    with pytest.raises(ValueError, match="different column density"):
        fit(columns / K, columns, model=model)


def test_without_weights_one_cell_more_is_needed() -> None:
    with pytest.raises(ValueError, match="one cell more"):
        fit(THREE[:2] / K, THREE[:2], weighted=False)


def test_without_weights_the_empty_cell_says_nothing_about_a_curve_through_the_origin() -> None:
    # Two cells with gas and two parameters: no residual is left to take an uncertainty from.
    with pytest.raises(ValueError, match="one cell more"):
        fit(np.array([0.0, 0.16, 0.46]), THREE, model="quadratic", weighted=False)


@pytest.mark.parametrize("weighted", [True, False])
@pytest.mark.parametrize("model", ["line", "quadratic"])
def test_labels_that_fall_with_absorbance_are_refused(model: CellModel, weighted: bool) -> None:
    with pytest.raises(ValueError, match="does not rise"):
        fit(np.array([0.5, 0.3, 0.05]), np.array([5e17, 3e18, 5e18]), model=model, weighted=weighted)


def test_a_cell_without_an_absorbance_is_refused() -> None:
    with pytest.raises(ValueError):
        fit(np.array([0.0, np.nan, 0.4]), THREE)


def test_cells_of_one_absorbance_are_refused() -> None:
    with pytest.raises(ValueError):
        fit(np.full(3, 0.2), THREE)


def test_a_fixed_slope_has_no_offset_and_its_own_uncertainty() -> None:
    curve = fixed_slope(K, 4e17)
    assert curve.column(np.array([-0.1, 0.0, 0.4])) == pytest.approx([-1e18, 0.0, 4e18])
    assert curve.column_uncertainty(np.array([0.0, 0.5])) == pytest.approx([0.0, 2e17])
    assert curve.slope_at_zero == pytest.approx((K, 4e17))
    assert curve.offset == (0.0, 0.0)
    assert curve.maximum_absorbance == float("inf")


def test_no_absorbance_no_column() -> None:
    curve = fit(THREE / K, THREE)
    result = curve.column(np.array([0.1, np.nan]))
    assert np.isfinite(result[0])
    assert np.isnan(result[1])
    assert np.isnan(curve.column_uncertainty(np.array([np.nan]))[0])


def test_uncertainty_of_a_column_follows_the_covariance() -> None:
    curve = ColumnCurve("line", np.array([1e17, K]), np.array([[4e34, -3e34], [-3e34, 9e34]]), 1.0)
    # var = s00 + 2 A s01 + A^2 s11
    assert curve.column_uncertainty(np.array([0.5]))[0] ** 2 == pytest.approx(4e34 - 3e34 + 0.25 * 9e34)


def test_labels_that_contradict_the_light_are_warned_of() -> None:
    absorbance = np.array([0.1606, 0.4625])
    text = curvature_warning(absorbance, THREE[1:])
    assert text is not None
    assert "rises by 44 %" in text
    assert "304" in text
    assert "1257" in text
    assert curvature_warning(np.array([0.0, 0.1606, 0.4625]), THREE) == text


def test_saturation_as_physics_has_it_is_no_reason_to_warn() -> None:
    # Column per absorbance rises by 7 % between the cells.
    absorbance = np.array([0.0, THREE[1] / K, THREE[2] / (1.07 * K)])
    assert curvature_warning(absorbance, THREE) is None
    assert curvature_warning(THREE / K, THREE) is None
    assert curvature_warning(absorbance + 0.01, THREE) is None


def test_a_falling_ratio_is_warned_of() -> None:
    text = curvature_warning(np.array([0.0, THREE[1] / K, 1.2 * THREE[2] / K]), THREE)
    assert text is not None
    assert "falls by 17 %" in text


@pytest.mark.parametrize("column", [THREE[:1], THREE[:2], THREE[1:2], np.array([THREE[1], THREE[1]])])
def test_one_cell_with_gas_has_no_curvature(column: FloatArray) -> None:
    assert curvature_warning(column / K, column) is None
