"""The curves of column density on absorbance, above all the band's own."""

import copy
from dataclasses import FrozenInstanceError

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from so2cam.core.records import FloatArray
from so2cam.science.calibration.cells import fit_cells
from so2cam.science.calibration.curve import (
    BandShape,
    ColumnCurve,
    curve_terms,
    fixed_scale,
    fixed_slope,
    slope_terms,
)

K = 1.0e19
COLUMN = np.linspace(0, 1e19, 41)


def saturating(column: FloatArray) -> FloatArray:
    """A band of two halves, one of which absorbs five times more than the other."""
    return -np.log(0.5 * np.exp(-1.5e-19 * column) + 0.5 * np.exp(-0.3e-19 * column))


SHAPE = BandShape(saturating(COLUMN), COLUMN)


def test_the_table_is_met_and_between_its_points_the_curve_is_exact_to_a_thousandth() -> None:
    np.testing.assert_allclose(SHAPE.at(SHAPE.absorbance), COLUMN, rtol=1e-12, atol=1)
    between = np.linspace(1e16, 1e19, 1713)
    np.testing.assert_allclose(SHAPE.at(saturating(between)), between, rtol=1e-3)


def test_the_derivative_is_that_of_the_curve() -> None:
    absorbance = np.linspace(-0.1, 1.2 * SHAPE.maximum_absorbance, 300)
    step = 1e-7
    numeric = (SHAPE.at(absorbance + step) - SHAPE.at(absorbance - step)) / (2 * step)
    np.testing.assert_allclose(SHAPE.derivative(absorbance), numeric, rtol=1e-4)


def test_beyond_the_table_it_goes_on_straight() -> None:
    top = SHAPE.maximum_absorbance
    last = float(SHAPE.derivative(np.array([top]))[0])
    assert SHAPE.at(np.array([top + 0.1])) == pytest.approx(COLUMN[-1] + 0.1 * last)
    first = float(SHAPE.derivative(np.zeros(1))[0])
    assert SHAPE.at(np.array([-0.1, -0.2])) == pytest.approx([-0.1 * first, -0.2 * first])
    assert SHAPE.derivative(np.array([-3.0, top + 3.0])) == pytest.approx([first, last])


def test_nan_stays_nan_everywhere() -> None:
    nan = np.array([np.nan, 0.1])
    curve = ColumnCurve("band", np.array([0.0, 1.0]), np.zeros((2, 2)), 1.0, shape=SHAPE)
    for values in (SHAPE.at(nan), SHAPE.derivative(nan), SHAPE.absorbance_at(nan), curve.column(nan), curve.slope(nan)):
        assert np.isnan(values[0])
        assert np.isfinite(values[1])
    for model in ("line", "quadratic", "quadratic_with_offset"):
        assert np.isnan(curve_terms(model, nan)[0]).all()
        assert np.isnan(slope_terms(model, nan)[0]).all()
    assert np.isnan(curve.column_uncertainty(nan)[0])
    assert curve.column_uncertainty(nan)[1] == 0
    assert not curve.calibrated(nan)[0]


@given(st.floats(-2e19, 3e19))
def test_absorbance_and_column_are_each_others_inverse(column: float) -> None:
    absorbance = SHAPE.absorbance_at(np.array([column]))
    assert SHAPE.at(absorbance)[0] == pytest.approx(column, rel=1e-9, abs=1e8)


@given(st.lists(st.tuples(st.floats(1e-4, 0.5), st.floats(1e15, 1e18)), min_size=2, max_size=20))
def test_any_increasing_table_gives_an_increasing_curve(steps: list[tuple[float, float]]) -> None:
    absorbance = np.concatenate([[0.0], np.cumsum([step for step, _ in steps])])
    column = np.concatenate([[0.0], np.cumsum([step for _, step in steps])])
    shape = BandShape(absorbance, column)
    grid = np.linspace(-0.1, 1.2 * absorbance[-1], 400)
    assert (np.diff(shape.at(grid)) >= -1e-9 * column[-1]).all()
    assert (shape.derivative(grid) >= -1e-9 * column[-1] / absorbance[-1]).all()
    assert (shape.derivative(np.array([-1.0, absorbance[-1] + 1.0])) > 0).all()


def test_the_table_cannot_be_changed() -> None:
    absorbance = saturating(COLUMN)
    shape = BandShape(absorbance, COLUMN)
    absorbance[3] = 7.0
    assert shape.absorbance[3] != 7.0
    with pytest.raises(ValueError, match="read-only"):
        shape.column[0] = 1.0
    with pytest.raises(FrozenInstanceError):
        shape.column = COLUMN  # type: ignore[misc]


def test_a_shape_survives_the_way_to_another_process() -> None:
    again = copy.deepcopy(SHAPE)  # by the way that pickle goes
    at = np.linspace(-0.1, 1.0, 20)
    assert np.array_equal(again.at(at), SHAPE.at(at))


@pytest.mark.parametrize(
    ("absorbance", "column", "words"),
    [
        ([0.0, 0.1], [0.0, 1e18], "at least three"),
        ([0.0, 0.1, 0.2], [0.0, 1e18], "at least three"),
        ([0.0, 0.1, np.nan], [0.0, 1e18, 2e18], "finite"),
        ([0.0, 0.1, 0.2], [0.0, 1e18, np.inf], "finite"),
        ([0.01, 0.1, 0.2], [0.0, 1e18, 2e18], "begins"),
        ([0.0, 0.1, 0.2], [1.0, 1e18, 2e18], "begins"),
        ([0.0, 0.2, 0.2], [0.0, 1e18, 2e18], "increase"),
        ([0.0, 0.1, 0.2], [0.0, 2e18, 1e18], "increase"),
    ],
)
def test_tables_that_are_no_shape_are_refused(absorbance: list[float], column: list[float], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        BandShape(np.array(absorbance), np.array(column))


def test_a_band_needs_its_shape_and_no_other_curve_has_one() -> None:
    with pytest.raises(ValueError, match="shape"):
        ColumnCurve("band", np.array([0.0, 1.0]), np.zeros((2, 2)), 1.0)
    with pytest.raises(ValueError, match="shape"):
        ColumnCurve("line", np.array([0.0, K]), np.zeros((2, 2)), 1.0, shape=SHAPE)


def test_the_bands_curve_by_hand() -> None:
    covariance = np.array([[4e32, 1e14], [1e14, 9e-4]])
    curve = ColumnCurve("band", np.array([3e16, 1.1]), covariance, 0.5, 0.01, SHAPE)
    at = np.array([0.2])
    column = float(SHAPE.at(at)[0])
    assert curve.column(at)[0] == pytest.approx(3e16 + 1.1 * column)
    assert curve.column_uncertainty(at)[0] ** 2 == pytest.approx(4e32 + 2e14 * column + 9e-4 * column**2)
    assert curve.slope(at)[0] == pytest.approx(1.1 * float(SHAPE.derivative(at)[0]))
    first = float(SHAPE.derivative(np.zeros(1))[0])
    assert curve.slope_at_zero == pytest.approx((1.1 * first, 0.03 * first))
    assert curve.offset == pytest.approx((3e16, 2e16))
    assert curve.calibrated(np.array([0.0, 0.01, 0.5, 0.51])).tolist() == [False, True, True, False]


def test_a_quadratic_with_offset_by_hand() -> None:
    covariance = np.diag([4e32, 9e34, 1e36])
    curve = ColumnCurve("quadratic_with_offset", np.array([2e16, K, 3e18]), covariance, 1.0)
    at = np.array([0.5])
    assert curve.column(at)[0] == pytest.approx(2e16 + 0.5 * K + 0.25 * 3e18)
    assert curve.slope(at)[0] == pytest.approx(K + 3e18)
    assert curve.slope_at_zero == pytest.approx((K, 3e17))
    assert curve.offset == pytest.approx((2e16, 2e16))
    assert curve.column_uncertainty(at)[0] ** 2 == pytest.approx(4e32 + 0.25 * 9e34 + 0.0625 * 1e36)


def test_an_image_keeps_its_shape() -> None:
    image = np.full((3, 5), 0.1, np.float32)
    for curve in (fixed_slope(K, 0.0), fixed_scale(SHAPE, 1.0, 0.0)):
        assert curve.column(image).shape == (3, 5)
        assert curve.slope(image).shape == (3, 5)
        assert curve.column_uncertainty(image).shape == (3, 5)


def test_a_known_scale_is_good_as_far_as_its_table() -> None:
    curve = fixed_scale(SHAPE, 0.97, 0.05)
    assert curve.maximum_absorbance == SHAPE.maximum_absorbance
    assert curve.offset == (0.0, 0.0)
    at = np.array([0.3])
    assert curve.column_uncertainty(at)[0] == pytest.approx(0.05 * float(SHAPE.at(at)[0]))


# --- cells on the band's own curve ---------------------------------------------------------------------------------

LABELS = np.array([0.0, 7.5e17, 2.5e18, 6e18])


def cells(absorbance: FloatArray, column: FloatArray, *, label: float = 0.1) -> ColumnCurve:
    return fit_cells(
        absorbance,
        column,
        absorbance_uncertainty=np.full(column.size, 0.002),
        column_uncertainty=label * column,
        model="band",
        shape=SHAPE,
    )


@pytest.mark.parametrize("scale", [0.8, 1.0, 1.3])
def test_cells_give_the_scale_and_no_offset(scale: float) -> None:
    curve = cells(saturating(LABELS), scale * LABELS)
    assert curve.parameters == pytest.approx([0.0, scale], rel=1e-4)
    assert curve.offset == (0.0, 0.0)
    assert curve.covariance[0].tolist() == [0.0, 0.0]
    assert curve.covariance[1, 0] == 0.0
    assert 0.05 < curve.covariance[1, 1] ** 0.5 / scale < 0.065  # 10 % of three cells
    between = np.linspace(1e17, 9e18, 50)
    np.testing.assert_allclose(curve.column(saturating(between)), scale * between, rtol=2e-3)


def test_one_cell_is_enough_for_a_scale() -> None:
    curve = cells(saturating(LABELS[2:3]), LABELS[2:3])
    assert curve.parameters[1] == pytest.approx(1.0, rel=1e-4)
    assert curve.covariance[1, 1] ** 0.5 == pytest.approx(0.1, rel=0.1)
    with pytest.raises(ValueError, match="different column density"):
        cells(np.zeros(1), np.zeros(1))
    with pytest.raises(ValueError, match="no cell absorbs"):
        cells(np.zeros(2), LABELS[:2])


def test_cells_that_contradict_the_shape_widen_the_scales_uncertainty() -> None:
    wrong = LABELS * np.array([1.0, 1.8, 0.6, 1.5])
    assert cells(saturating(LABELS), wrong).covariance[1, 1] > 4 * cells(saturating(LABELS), LABELS).covariance[1, 1]


def test_scale_covers_errors_of_the_labels() -> None:
    rng = np.random.default_rng(2)
    inside, trials = 0, 800
    for _ in range(trials):
        label = LABELS * (1 + 0.1 * rng.standard_normal(4))
        curve = cells(saturating(LABELS) + 0.002 * rng.standard_normal(4), label)
        inside += abs(curve.parameters[1] - 1) < curve.covariance[1, 1] ** 0.5
    assert 0.62 < inside / trials < 0.80


def test_a_scale_below_zero_is_refused() -> None:
    with pytest.raises(ValueError, match="does not rise"):
        cells(-saturating(LABELS), LABELS)
