"""Regression of the spectrometer's column densities on the camera's absorbances.

Both have errors, the field of view is never quite the right one, and clouds and birds pass: errors on both axes
(York et al. 2004), outliers down-weighted, and a covariance that takes the scatter found where it exceeds the errors
stated, and that counts what persists from point to point once.
"""

from dataclasses import dataclass, replace
from enum import IntEnum
from typing import Final, Literal

import numpy as np

from so2cam.core.records import FloatArray
from so2cam.science.calibration.curve import BandShape, ColumnCurve, CurveModel
from so2cam.science.calibration.total_least_squares import (
    CurveData,
    CurvePrior,
    CurveSolution,
    curve_through,
    improved,
    settled,
)

PointModel = Literal["line", "quadratic", "band"]

TUKEY_TUNING: Final = 4.685
"""Residual, in robust standard deviations, from which on a point counts nothing: 95 % efficient for Gaussian errors."""

MINIMUM_POINTS: Final = 8
MINIMUM_SPREAD: Final = 1.5
"""Standard deviation of the absorbances over their own 1 sigma: below, the slope hangs on the errors stated."""

EXCESS_IN_ABSORBANCE: Final = 0.5
"""Share of the scatter beyond the stated errors that is taken to lie along the absorbance. Nobody knows it: that the
field of view is not quite the right one moves absorbances, that a spectrum's fit errs moves columns."""

MINIMUM_SIGNIFICANCE: Final = 3.0
"""Slope over its 1 sigma."""

_MAXIMUM_PERSISTENCE = 0.95
_ROUNDS = 100
_TOLERANCE = 1e-8
_LOOSE_TOLERANCE = 1e-4
_PAIRED_POINTS = 400


class PointFitStatus(IntEnum):
    """Whether a fit is there, or why it is not."""

    OK = 0
    TOO_FEW_POINTS = 1
    SPREAD_TOO_SMALL = 2
    SLOPE_NOT_POSITIVE = 3
    SLOPE_UNCERTAIN = 4
    NOT_CONVERGED = 5


POINT_FIT_TEXT: Final[dict[PointFitStatus, str]] = {
    PointFitStatus.OK: "valid",
    PointFitStatus.TOO_FEW_POINTS: "too few calibration points with valid absorbance and column",
    PointFitStatus.SPREAD_TOO_SMALL: "absorbances vary too little beyond their noise: no plume, or always the same",
    PointFitStatus.SLOPE_NOT_POSITIVE: "column does not rise with absorbance: the field of view misses the plume",
    PointFitStatus.SLOPE_UNCERTAIN: "the slope is not known to a third of itself",
    PointFitStatus.NOT_CONVERGED: "no curve fits the points",
}


@dataclass(frozen=True, slots=True, eq=False)
class ScalePrior:
    """What is known beforehand of the offset [molecules cm-2] and the slope or scale, 1 sigma each; inf: nothing.

    Slope of a line and of a quadratic at zero [molecules cm-2]; scale of a band.
    """

    scale: float = 1.0
    scale_sigma: float = float("inf")
    offset: float = 0.0
    offset_sigma: float = float("inf")


@dataclass(frozen=True, slots=True, eq=False)
class PointFit:
    """A calibration curve through points, and what it is worth. ``curve`` is None unless ``status`` is OK.

    ``weights`` (N,) are 1 for points that count in full, 0 for outliers and for those without values; ``residuals``
    (N,) distances from the curve along both axes in units of the stated 1 sigma, NaN where there is none.
    ``correlation`` is Pearson's between absorbance and column of the points by their weights;
    ``reduced_chi_squared`` the robust variance of the residuals, 1 where the stated errors explain the scatter;
    ``persistence`` the correlation of residuals of successive points; ``effective_points`` the number of independent
    points that count; ``excess_sigma`` the scatter beyond the stated errors, as a column density [molecules cm-2].
    """

    status: PointFitStatus
    curve: ColumnCurve | None
    weights: FloatArray
    residuals: FloatArray
    correlation: float
    points: int
    effective_points: float
    reduced_chi_squared: float
    persistence: float
    excess_sigma: float


@dataclass(frozen=True, slots=True, eq=False)
class JointFit:
    """Points and gas cells on one curve. ``fit`` is the joint one; ``points`` that without the cells.

    ``cell_scale`` and its 1 sigma come from the cells alone. ``tension`` is their difference from the points' scale
    over its 1 sigma; beyond 1 both uncertainties were multiplied by it before they were joined (Birge 1932).
    ``common`` is what is left, relative, of the error that all columns share: the covariance of ``fit`` is without it.
    """

    fit: PointFit
    points: PointFit
    cell_scale: float
    cell_scale_sigma: float
    tension: float
    common: float = 0.0


def fit_points(
    absorbance: FloatArray,
    column: FloatArray,
    absorbance_sigma: FloatArray,
    column_sigma: FloatArray,
    model: PointModel = "band",
    *,
    shape: BandShape | None = None,
    with_offset: bool = True,
    prior: ScalePrior | None = None,
    robust: bool = True,
    minimum_points: int = MINIMUM_POINTS,
) -> PointFit:
    """Fit column density [molecules cm-2] against absorbance, errors on both axes; all arrays (N,), in order of time.

    ``line``: ``CD = c + k AA``; ``quadratic``: a term in AA^2 beside; ``band``: ``CD = c + s shape(AA)``. The offset c
    is kept with its uncertainty, or fixed at zero without ``with_offset``.

    Iteratively re-weighted total least squares: Tukey's biweight of the residual along both axes over a robust
    standard deviation that is never below the stated one, from a start by the median of pairwise slopes (Theil 1950,
    Sen 1968); ``robust=False`` counts every point in full. Scatter beyond the stated errors is added to them, half of
    it along each axis; what the slope would be with all of it along one axis or the other is part of its uncertainty.
    The covariance is that of an M-estimator (Huber 1981, eq. 7.6.6) with residuals that persist as an autoregressive
    process of first order, and is never below that of the stated errors. Points with a value or 1 sigma that is not
    finite, or whose sigmas are both zero, take no part. ``prior`` is weighed against the points as they scatter.
    Raises ValueError for arrays of different lengths, and a band without a shape.
    """
    x, y, sx, sy = (np.asarray(each, np.float64) for each in (absorbance, column, absorbance_sigma, column_sigma))
    if x.ndim != 1 or not (x.shape == y.shape == sx.shape == sy.shape):
        raise ValueError("absorbances, columns and their uncertainties must be as many")
    if (model == "band") != (shape is not None):
        raise ValueError("a band's curve needs its shape, and no other curve has one")
    used = np.isfinite(x) & np.isfinite(y) & np.isfinite(sx) & np.isfinite(sy) & (sx >= 0) & (sy >= 0) & (sx + sy > 0)
    curve_model: CurveModel = "quadratic_with_offset" if model == "quadratic" and with_offset else model
    free = slice(0, None) if with_offset or model == "quadratic" else slice(1, 2)
    data = CurveData(x[used], y[used], sx[used], sy[used], curve_model, free, shape)
    count = int(used.sum())
    parameters = {"line": 2, "band": 2, "quadratic": 2, "quadratic_with_offset": 3}[curve_model] - (free.start or 0)
    if count < max(minimum_points, parameters + 1):
        return _failed(PointFitStatus.TOO_FEW_POINTS, used)
    if not _varies(data, np.ones_like(data.x), with_offset):
        return _failed(PointFitStatus.SPREAD_TOO_SMALL, used)
    known = _curve_prior(prior, curve_model, free)
    best = _reweighted(data, known, robust, _start(data, with_offset), EXCESS_IN_ABSORBANCE)
    if not best.converged:
        return _failed(PointFitStatus.NOT_CONVERGED, used)
    solution, weights = best.solution, best.weights
    if not _varies(data, weights, with_offset):
        return _failed(PointFitStatus.SPREAD_TOO_SMALL, used)
    persistence = _persistence(solution.residual * np.sqrt(weights), weights)
    covariance = _covariance(solution, weights, max(1.0, best.variance), persistence, known)
    if best.excess > 0:
        ends = [_reweighted(data, known, robust, solution.parameters, share) for share in (0.0, 1.0)]
        if not all(end.converged for end in ends):
            return _failed(PointFitStatus.NOT_CONVERGED, used)
        apart = ends[1].solution.parameters - ends[0].solution.parameters
        covariance = covariance + np.outer(apart, apart) / 12
    curve = _curve(data, solution.parameters, covariance, weights)
    if not (curve.slope(np.linspace(min(curve.minimum_absorbance, 0.0), curve.maximum_absorbance, 9)) > 0).all():
        return _failed(PointFitStatus.SLOPE_NOT_POSITIVE, used)
    slope, sigma = curve.slope_at_zero
    if not slope > MINIMUM_SIGNIFICANCE * sigma:
        return _failed(PointFitStatus.SLOPE_UNCERTAIN, used)
    return PointFit(
        status=PointFitStatus.OK,
        curve=curve,
        weights=_spread(used, weights, 0.0),
        residuals=_spread(used, solution.residual, np.nan),
        correlation=_correlation(data.x, data.y, weights),
        points=count,
        effective_points=float(weights.sum()) * (1 - persistence) / (1 + persistence),
        reduced_chi_squared=_against_stated(data, best),
        persistence=persistence,
        excess_sigma=best.excess,
    )


def fit_jointly(
    absorbance: FloatArray,
    column: FloatArray,
    absorbance_sigma: FloatArray,
    column_sigma: FloatArray,
    *,
    cell_absorbance: FloatArray,
    cell_column: FloatArray,
    cell_absorbance_sigma: FloatArray,
    cell_column_sigma: FloatArray,
    label_correlation: float = 0.0,
    common: float = 0.0,
    model: Literal["line", "band"] = "band",
    shape: BandShape | None = None,
    robust: bool = True,
) -> JointFit:
    """Fit points (N,) and gas cells (M,) together: one slope or scale, and an offset of the points alone.

    ``common`` is 1 sigma, relative, of the error that all columns of the points share (their cross section). It has no
    part in the weights, so that points follow the light of their time as much as before; of it the points' weight is
    left in the scale. Cells are read against a clear sky of their own, so their curve goes through the origin.
    ``label_correlation`` (0 to 1) is that of the errors of any two labels: 1 where all were filled and measured by one
    method. Raises ValueError where no cell holds gas and absorbs.
    """
    scale, sigma = cell_scale(
        cell_absorbance,
        cell_column,
        cell_absorbance_sigma,
        cell_column_sigma,
        label_correlation=label_correlation,
        shape=shape,
    )
    points = (absorbance, column, absorbance_sigma, column_sigma)
    alone = fit_points(*points, model, shape=shape, robust=robust)
    if alone.curve is None:
        return JointFit(alone, alone, scale, sigma, float("nan"))
    own, own_sigma = float(alone.curve.parameters[1]), float(np.sqrt(alone.curve.covariance[1, 1]))
    # By what the columns share points and cells may differ, which is no contradiction.
    tension = abs(own - scale) / float(np.hypot(np.hypot(own_sigma, sigma), common * own))
    widened = max(1.0, tension)
    prior = ScalePrior(scale=scale, scale_sigma=sigma)
    together = fit_points(*points, model, shape=shape, prior=prior, robust=robust)
    left = common * sigma**2 / (own_sigma**2 + sigma**2) * widened
    if together.curve is not None and widened > 1:
        curve = together.curve
        wide = ColumnCurve(
            curve.model,
            curve.parameters,
            curve.covariance * widened**2,
            curve.maximum_absorbance,
            curve.minimum_absorbance,
            shape,
        )
        together = _with_curve(together, wide)
    return JointFit(together, alone, scale, sigma, tension, left)


def cell_scale(
    absorbance: FloatArray,
    column: FloatArray,
    absorbance_sigma: FloatArray,
    column_sigma: FloatArray,
    *,
    label_correlation: float = 0.0,
    shape: BandShape | None = None,
) -> tuple[float, float]:
    """Return the scale of ``shape`` (the slope of a line through the origin without one) by gas cells, and 1 sigma.

    Generalised least squares. Errors of labels are relative to what a cell holds, not to what its label says: with
    weights by the labels themselves, those that say too little would count most. Cells that scatter more than stated
    widen the uncertainty; it is never narrowed, nor below the part that all labels share.
    """
    x, y, sx, sy = (np.asarray(each, np.float64) for each in (absorbance, column, absorbance_sigma, column_sigma))
    gas = np.isfinite(x + y + sx + sy) & (y > 0) & (x > 0)
    if not gas.any():
        raise ValueError("no gas cell with a column density that absorbs")
    if not 0 <= label_correlation <= 1:
        raise ValueError("the correlation of the labels' errors lies between 0 and 1")
    x, y, sx, relative = x[gas], y[gas], sx[gas], sy[gas] / y[gas]
    unit = x if shape is None else shape.at(x)
    by_reading = sx * (np.ones_like(x) if shape is None else shape.derivative(x))
    # In units of each cell's own content, so that the scale itself cancels from the weights.
    own = np.diag(relative**2 * (1 - label_correlation) + (by_reading / unit) ** 2)
    own += np.eye(x.size) * 1e-12
    shared = label_correlation * np.outer(relative, relative)
    weights = np.linalg.solve(own + shared, np.ones(x.size))
    information = float(weights.sum())
    ratios = y / unit
    scale = float(weights @ ratios) / information
    variance = 1 / information
    if x.size > 1:
        left = ratios / scale - 1
        reduced = float(left @ np.linalg.solve(own + shared, left)) / (x.size - 1)
        common = float(weights @ shared @ weights) / information**2
        variance = common + (variance - common) * max(1.0, reduced)
    return scale, scale * float(np.sqrt(variance))


def _with_curve(fit: PointFit, curve: ColumnCurve) -> PointFit:
    return PointFit(
        fit.status,
        curve,
        fit.weights,
        fit.residuals,
        fit.correlation,
        fit.points,
        fit.effective_points,
        fit.reduced_chi_squared,
        fit.persistence,
        fit.excess_sigma,
    )


def _failed(status: PointFitStatus, used: np.ndarray[tuple[int, ...], np.dtype[np.bool_]]) -> PointFit:
    nan = float("nan")
    return PointFit(
        status, None, np.zeros(used.size), np.full(used.size, np.nan), nan, int(used.sum()), nan, nan, nan, nan
    )


def _curve_prior(prior: ScalePrior | None, model: CurveModel, free: slice) -> CurvePrior | None:
    if prior is None:
        return None
    known = {
        "line": [(prior.offset, prior.offset_sigma), (prior.scale, prior.scale_sigma)],
        "band": [(prior.offset, prior.offset_sigma), (prior.scale, prior.scale_sigma)],
        "quadratic": [(prior.scale, prior.scale_sigma), (0.0, np.inf)],
        "quadratic_with_offset": [(prior.offset, prior.offset_sigma), (prior.scale, prior.scale_sigma), (0.0, np.inf)],
    }[model][free]
    mean, sigma = (np.array(each, np.float64) for each in zip(*known, strict=True))
    return CurvePrior(mean, np.diag(1 / np.maximum(sigma, 1e-300) ** 2))


@dataclass(frozen=True, slots=True, eq=False)
class _Best:
    """A robust solution: the points' weights (N,), and the scatter beyond what their errors explain."""

    solution: CurveSolution
    weights: FloatArray
    excess: float
    """1 sigma of it, in column density [molecules cm-2]"""
    variance: float
    """robust variance of the residuals with the excess among the errors"""
    converged: bool


def _reweighted(data: CurveData, prior: CurvePrior | None, robust: bool, start: FloatArray, share: float) -> _Best:
    """Return the curve whose points scatter as their errors and an excess say, ``share`` of it in absorbance."""
    freedom = start.size
    solution = curve_through(data, start)
    excess, variance = 0.0, 1.0
    weights = np.ones_like(data.x)
    for round_ in range(_ROUNDS):
        weights, pull = _weigh(solution.residual, _robust_sigma(solution.residual, freedom), robust)
        variance = _robust_variance(solution.residual, weights, pull, freedom)
        if not np.isfinite(variance):
            return _Best(solution, weights, excess, variance, False)
        slope = data.slopes(solution.moved_x) @ solution.parameters
        stated = data.sigma_y**2 + slope**2 * data.sigma_x**2
        counting = weights / solution.sigma**2
        mean_stated = float(counting @ stated / counting.sum())
        mean_now = float(counting @ solution.sigma**2 / counting.sum())
        before_excess, excess = excess, float(np.sqrt(max(mean_now * variance - mean_stated, 0.0)))
        typical = float(np.median(np.abs(slope)))
        widened = replace(
            data,
            sigma_x=np.sqrt(data.sigma_x**2 + share * (excess / typical) ** 2) if typical > 0 else data.sigma_x,
            sigma_y=np.sqrt(data.sigma_y**2 + (1 - share) * excess**2),
        )
        before = solution
        here = curve_through(widened, solution.parameters, solution.moved_x)
        solution = improved(widened, here, weights=weights, prior=prior)
        if not np.isfinite(solution.parameters).all():
            return _Best(solution, weights, excess, variance, False)
        steady = abs(excess - before_excess) <= 1e-4 * max(excess, float(np.sqrt(mean_stated)))
        if round_ > 3 and steady and settled(before, solution, _TOLERANCE):
            return _Best(solution, weights, excess, variance, True)
    return _Best(solution, weights, excess, variance, settled(before, solution, _LOOSE_TOLERANCE))


def _against_stated(data: CurveData, best: _Best) -> float:
    """Return the robust variance of the residuals in units of the errors stated."""
    solution = best.solution
    slope = data.slopes(solution.moved_x) @ solution.parameters
    ratio = solution.sigma**2 / (data.sigma_y**2 + slope**2 * data.sigma_x**2)
    return best.variance * float(best.weights @ ratio / best.weights.sum())


def _varies(data: CurveData, weights: FloatArray, with_offset: bool) -> bool:
    """Return whether the absorbances vary enough beyond their noise (about zero, for a curve through the origin)."""
    total = float(weights.sum())
    reference = float(weights @ data.x) / total if with_offset else 0.0
    variance = float(weights @ (data.x - reference) ** 2) / total
    noise = float(weights @ data.sigma_x**2) / total
    return variance > max(MINIMUM_SPREAD**2 * noise, (1e-9 * float(np.abs(data.x).max())) ** 2)


def _start(data: CurveData, with_offset: bool) -> FloatArray:
    """Return the parameters of a first curve: the median of pairwise slopes, or of ratios without an offset."""
    z = data.x if data.shape is None else data.shape.at(data.x)
    order = np.argsort(z)
    if order.size > _PAIRED_POINTS:
        order = order[np.linspace(0, order.size - 1, _PAIRED_POINTS).astype(np.intp)]
    z, y = z[order], data.y[order]
    if with_offset:
        first, second = np.triu_indices(z.size, 1)
        run = z[second] - z[first]
        apart = run > 0
        slope = float(np.median((y[second] - y[first])[apart] / run[apart]))
        found = [float(np.median(y - slope * z)), slope]
    else:
        large = np.abs(z) >= np.median(np.abs(z))
        found = [float(np.median(y[large] / z[large]))]
    if data.model in ("quadratic", "quadratic_with_offset"):
        found.append(0.0)
    return np.array(found)


def _robust_sigma(residual: FloatArray, freedom: int) -> float:
    """Return the standard deviation by the median, at least 1: the stated errors are not made smaller."""
    count = residual.size
    return max(1.0, 1.4826 * float(np.median(np.abs(residual))) * float(np.sqrt(count / (count - freedom))))


def _weigh(residual: FloatArray, sigma: float, robust: bool) -> tuple[FloatArray, FloatArray]:
    """Return the weights (N,), and the derivative (N,) of a residual's pull, that is of weight times residual."""
    if not robust:
        return np.ones_like(residual), np.ones_like(residual)
    square = np.minimum((residual / (TUKEY_TUNING * sigma)) ** 2, 1.0)
    return (1 - square) ** 2, (1 - square) * (1 - 5 * square)


def _robust_variance(residual: FloatArray, weights: FloatArray, pull: FloatArray, freedom: int) -> float:
    """Return the factor on the weighted fit's covariance (Huber 1981, eq. 7.6.6, for weights in the matrix)."""
    counting = float(weights.sum())
    change = float(pull.sum())
    if counting <= freedom or change <= 0:
        return float("nan")
    return float(np.sum((weights * residual) ** 2)) * counting / change**2 * counting / (counting - freedom)


def _persistence(residual: FloatArray, weights: FloatArray) -> float:
    """Return the correlation of successive residuals, freed of its bias (Kendall 1954), between 0 and 0.95."""
    kept = residual[weights > 0.05]
    total = float(np.sum(kept**2))
    if kept.size < 4 or total == 0:
        return 0.0
    found = float(np.sum(kept[1:] * kept[:-1])) / total
    unbiased = (found * kept.size + 1) / (kept.size - 3)
    # What chance alone gives is no persistence.
    return float(np.clip(unbiased, 0.0, _MAXIMUM_PERSISTENCE)) if found > 1 / np.sqrt(kept.size) else 0.0


def _covariance(
    solution: CurveSolution, weights: FloatArray, variance: float, persistence: float, prior: CurvePrior | None
) -> FloatArray:
    weighted = solution.design * np.sqrt(weights)[:, None]
    information = weighted.T @ weighted / variance
    if persistence > 0:
        from scipy.signal import lfilter  # slow to import; seldom needed

        scores = solution.design * weights[:, None] ** 0.5
        ahead = lfilter([1.0], [1.0, -persistence], scores, axis=0)
        behind = lfilter([1.0], [1.0, -persistence], scores[::-1], axis=0)[::-1]
        middle = scores.T @ (ahead + behind - scores) / variance
        alone = np.linalg.inv(information)
        information = np.linalg.inv(alone @ middle @ alone)
    if prior is not None:
        information = information + prior.precision
    scale = 1 / np.sqrt(np.diag(information))
    return np.asarray(np.linalg.inv(information * scale[:, None] * scale) * scale[:, None] * scale)


def _curve(data: CurveData, parameters: FloatArray, covariance: FloatArray, weights: FloatArray) -> ColumnCurve:
    if data.free.start == 1:
        parameters = np.array([0.0, parameters[0]])
        covariance = np.array([[0.0, 0.0], [0.0, covariance[0, 0]]])
    counting = data.x[weights > 0]
    return ColumnCurve(data.model, parameters, covariance, float(counting.max()), float(counting.min()), data.shape)


def _correlation(x: FloatArray, y: FloatArray, weights: FloatArray) -> float:
    total = float(weights.sum())
    dx, dy = x - float(weights @ x) / total, y - float(weights @ y) / total
    size = float(np.sqrt((weights @ dx**2) * (weights @ dy**2)))
    return float(weights @ (dx * dy)) / size if size > 0 else float("nan")


def _spread(used: np.ndarray[tuple[int, ...], np.dtype[np.bool_]], values: FloatArray, elsewhere: float) -> FloatArray:
    out = np.full(used.shape, elsewhere)
    out[used] = values
    return out
