"""Columns on absorbances with errors on both axes, outliers and persistence: known truths and stated uncertainties."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize

from so2cam.core.records import FloatArray
from so2cam.science.calibration.curve import BandShape
from so2cam.science.calibration.regression import (
    POINT_FIT_TEXT,
    PointFit,
    PointFitStatus,
    PointModel,
    ScalePrior,
    cell_scale,
    fit_jointly,
    fit_points,
)
from so2cam.science.calibration.total_least_squares import york_line

K = 1.0e19
GRID = np.linspace(0, 1e19, 41)
SHAPE = BandShape(-np.log(0.5 * np.exp(-1.5e-19 * GRID) + 0.5 * np.exp(-0.3e-19 * GRID)), GRID)
NOISE_X, NOISE_Y = 0.01, 8e16


def persistent(rng: np.random.Generator, count: int, correlation: float) -> FloatArray:
    noise = rng.standard_normal(count) * np.sqrt(1 - correlation**2)
    noise[0] = rng.standard_normal()
    for index in range(1, count):
        noise[index] += correlation * noise[index - 1]
    return noise


def scene(
    rng: np.random.Generator,
    model: PointModel,
    *,
    count: int = 60,
    offset: float = 2e16,
    outliers: float = 0.0,
    excess: float = 0.0,
    excess_in_absorbance: float = 0.0,
    excess_persistence: float = 0.0,
) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
    truth = np.abs(1.5e18 + 1e18 * persistent(rng, count, 0.8))
    absorbance = SHAPE.absorbance_at(truth) if model == "band" else truth / K
    column = truth + offset + NOISE_Y * rng.standard_normal(count)
    column += excess * (1 - excess_in_absorbance) ** 0.5 * persistent(rng, count, excess_persistence)
    absorbance = absorbance + NOISE_X * rng.standard_normal(count)
    absorbance += excess / K * excess_in_absorbance**0.5 * persistent(rng, count, excess_persistence)
    bad = rng.random(count) < outliers
    column[bad] += rng.uniform(1e18, 6e18, int(bad.sum()))
    return absorbance, column, np.full(count, NOISE_X), np.full(count, NOISE_Y)


def fit(points: tuple[FloatArray, FloatArray, FloatArray, FloatArray], model: PointModel, **options: Any) -> PointFit:
    return fit_points(*points, model, shape=SHAPE if model == "band" else None, **options)


def exact(model: PointModel, *, offset: float = 3e16) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
    truth = np.linspace(0, 5e18, 20)
    absorbance = SHAPE.absorbance_at(truth) if model == "band" else truth / K
    return absorbance, truth + offset, np.full(20, NOISE_X), np.full(20, NOISE_Y)


# --- the curve itself ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("with_offset", [True, False])
@pytest.mark.parametrize("model", ["line", "band", "quadratic"])
def test_exact_points_give_the_curve_and_its_offset(model: PointModel, with_offset: bool) -> None:
    offset = 3e16 if with_offset else 0.0
    found = fit(exact(model, offset=offset), model, with_offset=with_offset)
    assert found.status is PointFitStatus.OK
    assert found.curve is not None
    assert found.curve.offset[0] == pytest.approx(offset, rel=1e-6, abs=1e9)
    expected = float(SHAPE.derivative(np.zeros(1))[0]) if model == "band" else K
    assert found.curve.slope_at_zero[0] == pytest.approx(expected, rel=1e-6)
    assert (found.curve.offset[1] > 0) == with_offset
    assert found.correlation == pytest.approx(1.0, abs=2e-2)
    assert found.weights == pytest.approx(np.ones(20), abs=1e-6)
    assert (found.curve.minimum_absorbance, found.curve.maximum_absorbance) == (0.0, float(exact(model)[0].max()))
    assert found.excess_sigma == 0


def test_plain_line_is_yorks() -> None:
    points = scene(np.random.default_rng(4), "line")
    parameters, covariance, chi_squared = york_line(*points)
    found = fit(points, "line", robust=False)
    assert found.curve is not None
    assert chi_squared / 58 < 1, "nothing in excess in this draw"
    assert found.curve.parameters == pytest.approx(parameters, rel=1e-6)
    # Never narrower than the stated errors, though the points happen to scatter less.
    persistence = (1 + found.persistence) / (1 - found.persistence)
    assert (np.diag(found.curve.covariance) >= 0.999 * np.diag(covariance)).all()
    assert (np.diag(found.curve.covariance) <= 1.001 * persistence * np.diag(covariance)).all()
    assert found.reduced_chi_squared == pytest.approx(chi_squared / 58, rel=1e-6)


@pytest.mark.parametrize("model", ["band", "quadratic"])
def test_curves_are_the_minimum_of_the_same_criterion(model: PointModel) -> None:
    """Against a general optimiser over the parameters and the true absorbance of every point at once."""
    rng = np.random.default_rng(5)
    absorbance, column, sigma_x, sigma_y = scene(rng, model, count=20)
    found = fit((absorbance, column, sigma_x, sigma_y), model, robust=False)
    assert found.curve is not None
    assert found.reduced_chi_squared < 1, "nothing in excess in this draw"

    def curve(parameters: FloatArray, x: FloatArray) -> FloatArray:
        if model == "band":
            return np.asarray(parameters[0] + parameters[1] * SHAPE.at(x) / 1e18)
        return np.asarray(parameters[0] + parameters[1] * x + parameters[2] * x**2)

    def criterion(values: FloatArray) -> float:
        parameters, x = values[:-20], values[-20:]
        distance = ((absorbance - x) / sigma_x) ** 2 + ((column / 1e18 - curve(parameters, x)) / (sigma_y / 1e18)) ** 2
        return float(distance.sum())

    unit = np.array([1e18, 1.0]) if model == "band" else np.full(3, 1e18)
    start = np.concatenate([found.curve.parameters / unit * 0.97, absorbance])
    best = minimize(criterion, start, method="BFGS", options={"gtol": 1e-7, "maxiter": 5000})
    assert found.curve.slope(np.array([0.1, 0.3])) / 1e18 == pytest.approx(
        np.array([float(np.diff(curve(best.x[:-20], np.array([x - 1e-4, x + 1e-4])))[0]) / 2e-4 for x in (0.1, 0.3)]),
        rel=2e-3,
    )


def test_curved_truth_to_4000_ppm_m() -> None:
    rng = np.random.default_rng(3)
    truth = rng.uniform(0, 1e19, 200)
    absorbance = SHAPE.absorbance_at(truth) + 0.003 * rng.standard_normal(200)
    column = truth + 4e16 + 5e16 * rng.standard_normal(200)
    found = fit_points(absorbance, column, np.full(200, 0.003), np.full(200, 5e16), "band", shape=SHAPE)
    assert found.curve is not None
    at = np.linspace(5e17, 1e19, 30)
    above = found.curve.column(SHAPE.absorbance_at(at)) - found.curve.offset[0]
    np.testing.assert_allclose(above, at, rtol=0.01)


@given(st.floats(0.1, 10.0), st.floats(0.01, 100.0), st.integers(0, 2**31))
@settings(max_examples=25, deadline=None)
def test_units_do_not_matter(unit_x: float, unit_y: float, seed: int) -> None:
    x, y, sx, sy = scene(np.random.default_rng(seed), "line", count=25, outliers=0.1, excess=1e17)
    first, second = fit((x, y, sx, sy), "line"), fit((unit_x * x, unit_y * y, unit_x * sx, unit_y * sy), "line")
    assert first.status is second.status
    if first.curve is not None and second.curve is not None:
        assert second.curve.parameters * [1, unit_x] / unit_y == pytest.approx(first.curve.parameters, rel=1e-3)
        assert second.weights == pytest.approx(first.weights, abs=1e-3)


# --- what the uncertainties are worth ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("model", "options"),
    [
        ("line", {}),
        ("band", {"outliers": 0.1}),
        ("quadratic", {"outliers": 0.1}),
        ("line", {"count": 15, "outliers": 0.1}),
        ("band", {"excess": 3e17, "excess_in_absorbance": 0.5, "excess_persistence": 0.7}),
        ("line", {"excess": 3e17, "excess_in_absorbance": 0.5, "excess_persistence": 0.7, "outliers": 0.1}),
    ],
)
def test_stated_uncertainty_holds(model: PointModel, options: dict[str, Any]) -> None:
    rng = np.random.default_rng(17)
    truth = 1.0 if model == "band" else K
    deviations, offsets = [], []
    trials = 110
    for _ in range(trials):
        found = fit(scene(rng, model, **options), model)
        if found.curve is None:
            continue
        value = float(found.curve.parameters[1])
        deviations.append((value - truth) / float(np.sqrt(found.curve.covariance[1, 1])))
        offsets.append((found.curve.offset[0] - 2e16) / found.curve.offset[1])
    assert len(deviations) >= 0.97 * trials
    size = np.abs(deviations)
    assert 0.56 < np.mean(size < 1) < 0.84
    assert np.mean(size < 2) > 0.89
    assert np.mean(np.abs(offsets) < 2) > 0.86


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_scatter_of_either_axis_is_covered_though_nobody_knows_which(share: float) -> None:
    rng = np.random.default_rng(18)
    size = []
    for _ in range(120):
        found = fit(scene(rng, "band", excess=3e17, excess_in_absorbance=share), "band")
        assert found.curve is not None
        size.append(abs(found.curve.parameters[1] - 1) / np.sqrt(found.curve.covariance[1, 1]))
    assert np.mean(np.array(size) < 1) > 0.4
    assert np.mean(np.array(size) < 2) > 0.78


def test_excess_scatter_is_found_and_widens() -> None:
    rng = np.random.default_rng(19)
    calm, wild = fit(scene(rng, "line"), "line"), fit(scene(rng, "line", excess=4e17, excess_in_absorbance=0.5), "line")
    assert calm.curve is not None
    assert wild.curve is not None
    assert wild.excess_sigma == pytest.approx(4e17, rel=0.3)
    assert wild.reduced_chi_squared > 5 * calm.reduced_chi_squared
    assert wild.curve.slope_at_zero[1] > 2 * calm.curve.slope_at_zero[1]
    assert wild.correlation < calm.correlation


def test_persistent_residuals_count_once() -> None:
    rng = np.random.default_rng(20)
    options = {"count": 200, "excess": 5e17, "excess_in_absorbance": 0.5}
    single = fit(scene(rng, "line", **options), "line")
    lasting = fit(scene(rng, "line", excess_persistence=0.9, **options), "line")
    assert single.curve is not None
    assert lasting.curve is not None
    assert single.persistence < 0.25
    assert 0.6 < lasting.persistence < 0.96
    assert lasting.effective_points < 60 < single.effective_points
    assert lasting.curve.offset[1] > 1.5 * single.curve.offset[1]


# --- outliers and what takes no part -------------------------------------------------------------------------------


@pytest.mark.parametrize("model", ["line", "band", "quadratic"])
def test_outliers_lose_their_weight_and_nothing_else_does(model: PointModel) -> None:
    x, y, sx, sy = scene(np.random.default_rng(4), model, offset=0.0)
    bad = np.zeros(60, bool)
    bad[[3, 20, 21, 44, 58]] = True
    clean = fit((x, np.where(bad, np.nan, y), sx, sy), model)
    dirty = fit((x, np.where(bad, y + 4e18, y), sx, sy), model)
    assert clean.curve is not None
    assert dirty.curve is not None
    assert (dirty.weights[bad] < 0.01).all()
    assert np.median(dirty.weights[~bad]) > 0.8
    sigma = clean.curve.slope_at_zero[1]
    assert dirty.curve.slope_at_zero[0] == pytest.approx(clean.curve.slope_at_zero[0], abs=0.5 * sigma)
    everything = fit((x, np.where(bad, y + 4e18, y), sx, sy), model, robust=False)
    assert everything.curve is None or everything.curve.slope_at_zero[1] > 2 * sigma


def test_points_without_a_value_take_no_part() -> None:
    x, y, sx, sy = (values.copy() for values in scene(np.random.default_rng(5), "line"))
    x[3] = np.nan
    y[7] = np.inf
    sx[9] = np.nan
    sy[11] = np.nan
    sx[13], sy[13] = 0.0, 0.0
    sy[15] = -1.0
    out = [3, 7, 9, 11, 13, 15]
    found = fit((x, y, sx, sy), "line")
    kept = np.setdiff1d(np.arange(60), out)
    alone = fit((x[kept], y[kept], sx[kept], sy[kept]), "line")
    assert found.curve is not None
    assert alone.curve is not None
    assert np.array_equal(found.curve.parameters, alone.curve.parameters)
    assert found.points == 54
    assert not found.weights[out].any()
    assert np.isnan(found.residuals[out]).all()
    assert np.isfinite(found.residuals[kept]).all()


def nothing(found: PointFit, status: PointFitStatus) -> None:
    assert found.status is status
    assert found.curve is None
    assert not found.weights.any()
    assert np.isnan(found.residuals).all()
    assert np.isnan([found.correlation, found.effective_points, found.reduced_chi_squared, found.excess_sigma]).all()


def test_what_gives_no_curve_says_why() -> None:
    x, y, sx, sy = exact("line")
    nothing(fit((x[:7], y[:7], sx[:7], sy[:7]), "line"), PointFitStatus.TOO_FEW_POINTS)
    nothing(fit((x[:0], y[:0], sx[:0], sy[:0]), "line"), PointFitStatus.TOO_FEW_POINTS)
    nothing(fit((np.full(20, np.nan), y, sx, sy), "line"), PointFitStatus.TOO_FEW_POINTS)
    nothing(fit((np.full(20, 0.2), y, sx, sy), "line"), PointFitStatus.SPREAD_TOO_SMALL)
    nothing(fit((np.full(20, 0.2), y, 0 * sx, sy), "line"), PointFitStatus.SPREAD_TOO_SMALL)
    nothing(fit((0.02 * x, y, sx, sy), "band"), PointFitStatus.SPREAD_TOO_SMALL)
    nothing(fit((x, y[::-1], sx, sy), "line"), PointFitStatus.SLOPE_NOT_POSITIVE)
    nothing(fit((x, y[::-1], sx, sy), "band"), PointFitStatus.SLOPE_NOT_POSITIVE)
    rng = np.random.default_rng(6)
    noise = 5e18 * rng.standard_normal(20)
    nothing(fit((x, y[::-1] + 2 * (y - y[::-1]) * 0.53 + noise, sx, sy), "line"), PointFitStatus.SLOPE_UNCERTAIN)
    assert set(POINT_FIT_TEXT) == set(PointFitStatus)


def test_one_wild_absorbance_is_no_spread() -> None:
    _, _, sx, sy = exact("line")
    x = 0.2 + 0.1 * NOISE_X * np.arange(20) / 20
    x[4] = 0.9
    assert fit((x, np.full(20, 2e18), sx, sy), "line").curve is None


def test_wrong_calls_are_refused() -> None:
    x, y, sx, sy = exact("line")
    with pytest.raises(ValueError, match="as many"):
        fit_points(x, y[:5], sx, sy, "line")
    with pytest.raises(ValueError, match="shape"):
        fit_points(x, y, sx, sy, "band")
    with pytest.raises(ValueError, match="shape"):
        fit_points(x, y, sx, sy, "line", shape=SHAPE)


# --- prior and cells -----------------------------------------------------------------------------------------------


def test_a_prior_is_weighed_as_the_points_scatter() -> None:
    points = scene(np.random.default_rng(7), "band", excess=3e17, excess_in_absorbance=0.5)
    alone = fit(points, "band")
    assert alone.curve is not None
    own, sigma = alone.curve.parameters[1], float(np.sqrt(alone.curve.covariance[1, 1]))
    strong = fit(points, "band", prior=ScalePrior(scale=1.3, scale_sigma=1e-4))
    weak = fit(points, "band", prior=ScalePrior(scale=1.3, scale_sigma=100.0))
    assert strong.curve is not None
    assert weak.curve is not None
    assert strong.curve.parameters[1] == pytest.approx(1.3, abs=1e-3)
    assert weak.curve.parameters[1] == pytest.approx(own, abs=0.02 * sigma)
    none = fit(points, "band", prior=ScalePrior(offset=0.0, offset_sigma=1e12))
    assert none.curve is not None
    assert abs(none.curve.offset[0]) < 1e13
    assert none.curve.offset[1] < 2e12 + 0.3 * alone.curve.offset[1]


CELLS = {
    "cell_absorbance": SHAPE.absorbance_at(np.array([0.0, 7.5e17, 2.5e18, 6e18])),
    "cell_absorbance_sigma": np.full(4, 0.002),
    "cell_column": np.array([0.0, 7.5e17, 2.5e18, 6e18]),
    "cell_column_sigma": 0.1 * np.array([0.0, 7.5e17, 2.5e18, 6e18]),
}


def test_labels_that_err_together_do_not_average_out() -> None:
    arguments = tuple(
        CELLS[key] for key in ("cell_absorbance", "cell_column", "cell_absorbance_sigma", "cell_column_sigma")
    )
    scale, sigma = cell_scale(*arguments, shape=SHAPE)
    assert scale == pytest.approx(1.0, rel=1e-4)
    assert sigma == pytest.approx(0.1 / np.sqrt(3), rel=0.03)
    scale, sigma = cell_scale(*arguments, label_correlation=1.0, shape=SHAPE)
    assert sigma == pytest.approx(0.1, rel=0.03)
    _, half = cell_scale(*arguments, label_correlation=0.5, shape=SHAPE)
    assert half == pytest.approx(0.1 * np.sqrt(0.5 + 0.5 / 3), rel=0.03)
    slope, _ = cell_scale(np.array([0.1, 0.3]), np.array([K / 10, 0.3 * K]), np.full(2, 1e-3), np.full(2, 1e17))
    assert slope == pytest.approx(K)


@pytest.mark.parametrize("correlation", [0.0, 0.5, 1.0])
def test_scale_of_cells_covers_errors_of_labels(correlation: float) -> None:
    rng = np.random.default_rng(9)
    inside, error = 0, []
    for _ in range(600):
        relative = 0.1 * (
            np.sqrt(correlation) * rng.standard_normal() + np.sqrt(1 - correlation) * rng.standard_normal(4)
        )
        label = CELLS["cell_column"] * (1 + relative)
        scale, sigma = cell_scale(
            CELLS["cell_absorbance"] + 0.002 * rng.standard_normal(4),
            label,
            CELLS["cell_absorbance_sigma"],
            0.1 * label,
            label_correlation=correlation,
            shape=SHAPE,
        )
        inside += abs(scale - 1) < sigma
        error.append(scale - 1)
    assert 0.62 < inside / 600 < 0.8
    assert abs(np.mean(error)) < 0.015, "labels that say too little do not count most"


def test_cells_without_gas_give_no_scale() -> None:
    empty = np.array([0.0, np.nan])
    with pytest.raises(ValueError, match="no gas cell"):
        cell_scale(empty, empty, empty, empty)
    with pytest.raises(ValueError, match="between 0 and 1"):
        cell_scale(np.array([0.1]), np.array([1e18]), np.array([0.01]), np.array([1e17]), label_correlation=1.5)


def test_points_and_cells_share_the_scale_and_not_the_offset() -> None:
    points = scene(np.random.default_rng(10), "band", excess=3e17, excess_in_absorbance=0.5)
    joint = fit_jointly(*points, shape=SHAPE, **CELLS)
    assert joint.fit.curve is not None
    assert joint.points.curve is not None
    own, own_sigma = joint.points.curve.parameters[1], float(np.sqrt(joint.points.curve.covariance[1, 1]))
    weights = np.array([own_sigma, joint.cell_scale_sigma]) ** -2.0
    mean = float(weights @ [own, joint.cell_scale] / weights.sum())
    assert joint.fit.curve.parameters[1] == pytest.approx(mean, abs=0.4 * weights.sum() ** -0.5)
    assert joint.tension < 2
    assert np.sqrt(joint.fit.curve.covariance[1, 1]) < 1.1 * max(joint.tension, 1) * weights.sum() ** -0.5
    assert joint.fit.curve.offset[0] == pytest.approx(2e16, abs=3 * joint.fit.curve.offset[1])


def test_cells_that_contradict_the_points_widen_both() -> None:
    points = scene(np.random.default_rng(11), "band")
    wrong = CELLS | {"cell_column": 1.8 * CELLS["cell_column"], "cell_column_sigma": 0.18 * CELLS["cell_column"]}
    joint = fit_jointly(*points, shape=SHAPE, **wrong)
    assert joint.tension > 4
    assert joint.fit.curve is not None
    assert joint.points.curve is not None
    assert joint.fit.curve.covariance[1, 1] > joint.points.curve.covariance[1, 1]


def test_without_points_there_is_nothing_to_join() -> None:
    few = tuple(values[:3] for values in exact("band"))
    joint = fit_jointly(*few, shape=SHAPE, **CELLS)
    assert joint.fit.status is PointFitStatus.TOO_FEW_POINTS
    assert joint.cell_scale == pytest.approx(1.0, rel=1e-3)
    assert np.isnan(joint.tension)


def test_what_all_columns_share_is_left_as_far_as_the_points_count() -> None:
    """Columns of a cross section that is off, cells that know nothing of it: the scale errs by what is stated."""
    common, plain, errors, stated = 0.06, [], [], []
    rng = np.random.default_rng(12)
    for draw in rng.standard_normal(60):
        x, y, sx, sy = scene(np.random.default_rng(int(1e6 * abs(draw))), "band")
        label = CELLS["cell_column"] / (1 + 0.02 * rng.standard_normal(CELLS["cell_column"].size))
        cells = CELLS | {"cell_column": label, "cell_column_sigma": 0.02 * label}
        off = 1 + common * draw
        joint = fit_jointly(x, off * y, sx, off * sy, shape=SHAPE, common=common, **cells)
        assert joint.fit.curve is not None
        assert 0 < joint.common < common * max(joint.tension, 1)
        errors.append(float(joint.fit.curve.parameters[1]) - 1)
        stated.append(float(np.hypot(np.sqrt(joint.fit.curve.covariance[1, 1]), joint.common)))
        unaware = fit_jointly(x, off * y, sx, off * sy, shape=SHAPE, **cells)
        assert unaware.fit.curve is not None
        assert unaware.fit.curve.parameters[1] == pytest.approx(joint.fit.curve.parameters[1], rel=1e-9)
        plain.append(float(np.hypot(np.sqrt(unaware.fit.curve.covariance[1, 1]), common)))
    within = np.abs(errors) <= np.array(stated)
    assert 0.55 < within.mean() < 0.82
    assert np.mean(np.abs(errors) <= 2 * np.array(stated)) > 0.9
    assert np.mean(np.abs(errors) <= np.array(plain)) > 0.85, "all of it on top is too much"
