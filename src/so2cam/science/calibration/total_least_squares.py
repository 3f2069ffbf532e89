"""Least squares with errors on both axes, for curves that are linear in their parameters."""

from dataclasses import dataclass

import numpy as np

from so2cam.core.records import FloatArray
from so2cam.science.calibration.curve import BandShape, CurveModel, curve_terms, slope_terms

_MAXIMUM_ITERATIONS = 200
_TOLERANCE = 1e-12


@dataclass(frozen=True, slots=True, eq=False)
class CurveData:
    """Points (N,) with the 1 sigma of both coordinates, and the model of which the parameters ``free`` are fitted."""

    x: FloatArray
    y: FloatArray
    sigma_x: FloatArray
    sigma_y: FloatArray
    model: CurveModel
    free: slice
    shape: BandShape | None = None

    def terms(self, x: FloatArray) -> FloatArray:
        """Return dy/dp (N, F) at ``x``."""
        return curve_terms(self.model, x, self.shape)[:, self.free]

    def slopes(self, x: FloatArray) -> FloatArray:
        """Return d2y/(dp dx) (N, F) at ``x``."""
        return slope_terms(self.model, x, self.shape)[:, self.free]


@dataclass(frozen=True, slots=True, eq=False)
class CurvePrior:
    """What is known of the free parameters: ``mean`` (F,) and ``precision`` (F, F), the inverse covariance."""

    mean: FloatArray
    precision: FloatArray


_REACH = 6.0
"""Farthest, in 1 sigma of its x, that a point is moved onto the curve: an outlier must not lead the way."""


@dataclass(frozen=True, slots=True, eq=False)
class CurveSolution:
    """A curve: ``parameters`` (F,), the points' x moved onto it, and how far away the points were.

    ``residual`` (N,) is the distance from the curve along both axes in units of its 1 sigma, positive above the
    curve; ``design`` (N, F) the derivatives dy/dp at the moved points over that ``sigma`` (N,), 1 sigma of y - f(x).
    """

    parameters: FloatArray
    moved_x: FloatArray
    residual: FloatArray
    design: FloatArray
    sigma: FloatArray


def curve_through(data: CurveData, parameters: FloatArray, moved_x: FloatArray | None = None) -> CurveSolution:
    """Return how the points lie about a curve, the points' x moved towards it from ``moved_x`` (their own x)."""
    moved = data.x if moved_x is None else moved_x
    slopes = data.slopes(moved)
    slope = slopes @ parameters
    variance = data.sigma_y**2 + slope**2 * data.sigma_x**2
    distance = data.y - data.terms(moved) @ parameters - slope * (data.x - moved)
    step = np.clip(data.sigma_x * slope * distance / variance, -_REACH, _REACH) * data.sigma_x
    moved = data.x + step
    terms = data.terms(moved)
    slope = data.slopes(moved) @ parameters
    sigma = np.sqrt(data.sigma_y**2 + slope**2 * data.sigma_x**2)
    residual = (data.y - terms @ parameters - slope * (data.x - moved)) / sigma
    return CurveSolution(parameters, moved, residual, terms / sigma[:, None], sigma)


def improved(
    data: CurveData, solution: CurveSolution, *, weights: FloatArray | None = None, prior: CurvePrior | None = None
) -> CurveSolution:
    """Return the next of a series of curves, which ends at the best one.

    Minimised is ``sum w [(x - X)^2 / sigma_x^2 + (y - f(X))^2 / sigma_y^2]``, X the points' true x. The iteration of
    York (1966; York et al. 2004, eq. 13) where f is a line; for a curve the same about the points moved onto it, as
    the model is linear in its parameters. The design matrix belongs to the
    moved points, the equations to those measured, as York's do. ``weights`` (N,) down-weight points (1: none).
    Parameters are NaN where the equations have no solution.
    """
    omega = np.ones_like(data.x) if weights is None else weights
    left = (solution.design * (omega / solution.sigma)[:, None]).T
    slopes = data.slopes(solution.moved_x)
    tangent = solution.design * solution.sigma[:, None] + slopes * (data.x - solution.moved_x)[:, None]
    return curve_through(data, _solve(left @ tangent, left @ data.y, prior), solution.moved_x)


def settled(before: CurveSolution, after: CurveSolution, tolerance: float = _TOLERANCE) -> bool:
    """Return whether the curve moved by less than ``tolerance`` of its size between two solutions."""
    size = np.sqrt(np.mean((after.design * after.sigma[:, None]) ** 2, axis=0))
    step = np.abs(after.parameters - before.parameters) * size
    return bool(np.max(step) <= tolerance * np.max(np.abs(after.parameters) * size))


def york_line(
    x: FloatArray, y: FloatArray, sigma_x: FloatArray, sigma_y: FloatArray
) -> tuple[FloatArray, FloatArray, float]:
    """Fit ``y = a + b x`` with independent errors on both axes; any sign of b. All arrays (N,), N at least 2.

    Returns (a, b), their covariance (2, 2) by the stated errors alone (York et al. 2004, eq. 13d, e: at the adjusted
    points), and chi-squared. Raises ValueError where no line is found.
    """
    data = CurveData(x, y, sigma_x, sigma_y, "line", slice(0, 2))
    slope, offset = np.polyfit(x, y, 1)
    solution = curve_through(data, np.array([offset, slope]))
    for _ in range(_MAXIMUM_ITERATIONS):
        before, solution = solution, improved(data, solution)
        if settled(before, solution):
            covariance = np.linalg.inv(solution.design.T @ solution.design)
            return solution.parameters, np.asarray(covariance), float(np.sum(solution.residual**2))
    raise ValueError("no line was found: the points do not vary, or a point has no error on either axis")


def _solve(matrix: FloatArray, vector: FloatArray, prior: CurvePrior | None) -> FloatArray:
    if prior is not None:
        matrix, vector = matrix + prior.precision, vector + prior.precision @ prior.mean
    # Parameters differ by many powers of ten.
    scale = 1 / np.sqrt(np.maximum(np.abs(np.diag(matrix)), 1e-300))
    try:
        solution = np.linalg.solve(matrix * scale[:, None] * scale, vector * scale)
    except np.linalg.LinAlgError:
        return np.full(vector.shape, np.nan)
    return np.asarray(solution * scale)
