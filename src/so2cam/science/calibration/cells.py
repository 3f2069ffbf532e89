"""Gas-cell calibration: from the absorbance of quartz cells of known column density to a curve."""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from so2cam.core.constants import MOLEC_CM2_PER_PPM_M
from so2cam.core.records import FloatArray

CurveModel = Literal["line", "quadratic"]

EXPECTED_CURVATURE_PER_MOLEC_CM2 = 0.07 / ((1257 - 304) * MOLEC_CM2_PER_PPM_M)
"""Relative rise of column per absorbance with column density that a 10 nm band at 310 nm has by saturation:
7 % from 304 to 1257 ppm m (Kern 2013 for the effect; computed for SO2 cross sections through such a filter)."""

CURVATURE_TOLERANCE = 2.0
"""Multiple of the expected curvature above which the labels are doubted rather than the light."""


@dataclass(frozen=True, slots=True)
class ColumnCurve:
    """Column density [molecules cm-2] as a function of apparent absorbance.

    ``line``: ``CD = p0 + p1 AA``; ``quadratic``: ``CD = p0 AA + p1 AA^2``. ``covariance`` (2 x 2) is that of the
    parameters; ``maximum_absorbance`` the largest that was calibrated.
    """

    model: CurveModel
    parameters: FloatArray
    covariance: FloatArray
    maximum_absorbance: float

    def terms(self, absorbance: FloatArray) -> FloatArray:
        """Return dCD/dp, shape (..., 2)."""
        absorbance = np.asarray(absorbance, np.float64)
        if self.model == "line":
            return np.stack([np.ones_like(absorbance), absorbance], axis=-1)
        return np.stack([absorbance, absorbance**2], axis=-1)

    def column(self, absorbance: FloatArray) -> FloatArray:
        """Return the column density [molecules cm-2]; the offset of a line is kept. NaN stays NaN."""
        return np.asarray(self.terms(absorbance) @ self.parameters)

    def column_uncertainty(self, absorbance: FloatArray) -> FloatArray:
        """Return 1 sigma of the column density [molecules cm-2] from the fit."""
        terms = self.terms(absorbance)
        return np.asarray(np.sqrt(np.einsum("...i,ij,...j->...", terms, self.covariance, terms)))

    def slope(self, absorbance: FloatArray) -> FloatArray:
        """Return dCD/dAA [molecules cm-2]."""
        absorbance = np.asarray(absorbance, np.float64)
        if self.model == "line":
            return np.full_like(absorbance, self.parameters[1])
        return np.asarray(self.parameters[0] + 2 * self.parameters[1] * absorbance)

    @property
    def slope_at_zero(self) -> tuple[float, float]:
        """dCD/dAA at zero absorbance and its 1 sigma [molecules cm-2]."""
        index = 1 if self.model == "line" else 0
        return float(self.parameters[index]), float(np.sqrt(self.covariance[index, index]))

    @property
    def offset(self) -> tuple[float, float]:
        """CD at zero absorbance and its 1 sigma [molecules cm-2]."""
        if self.model == "line":
            return float(self.parameters[0]), float(np.sqrt(self.covariance[0, 0]))
        return 0.0, 0.0


def fixed_slope(slope: float, uncertainty: float) -> ColumnCurve:
    """Return the curve of a known slope dCD/dAA [molecules cm-2] through zero."""
    covariance = np.array([[0.0, 0.0], [0.0, uncertainty**2]])
    return ColumnCurve("line", np.array([0.0, slope]), covariance, float("inf"))


def fit_cells(
    absorbance: FloatArray,
    column: FloatArray,
    *,
    absorbance_uncertainty: FloatArray,
    column_uncertainty: FloatArray,
    model: CurveModel,
    weighted: bool = True,
) -> ColumnCurve:
    """Fit column density against absorbance through all cells, the empty one included.

    All arrays have shape (cells,). Errors in both (effective variance, Orear 1982):
    ``sigma^2 = sigma_CD^2 + (dCD/dAA sigma_AA)^2``. Where the cells scatter more than that, the covariance is
    scaled up by chi-squared per degree of freedom; it is never scaled down. ``weighted=False`` counts every
    cell alike and takes the covariance from the residuals. A line keeps its offset; a quadratic goes through
    the origin. Raises ValueError for too few cells, or a curve whose column does not rise with absorbance.
    """
    absorbance, column = np.asarray(absorbance, np.float64), np.asarray(column, np.float64)
    distinct = np.unique(column)
    needed = 2 if model == "line" else 2 + int(0.0 in distinct)
    if distinct.size < needed:
        raise ValueError(
            f"a {model} needs {needed} cells of different column density, the empty one included; "
            f"there are {distinct.size}"
        )
    if np.ptp(absorbance) <= 1e-6 * float(np.abs(absorbance).max()):
        raise ValueError("all cells have the same absorbance: they were not in the light, or are one and the same")
    start = ColumnCurve(model, np.zeros(2), np.zeros((2, 2)), float(absorbance.max()))
    terms = start.terms(absorbance)
    parameters = _solve(terms, column)
    if weighted:
        for _ in range(20):
            slope = ColumnCurve(model, parameters, start.covariance, 0.0).slope(absorbance)
            sigma = np.sqrt(np.asarray(column_uncertainty) ** 2 + (slope * absorbance_uncertainty) ** 2)
            sigma = np.maximum(sigma, 1e-4 * float(np.abs(column).max()))
            before = parameters
            parameters = _solve(terms / sigma[:, None], column / sigma)
            if np.allclose(parameters, before, rtol=1e-9, atol=0):
                break
    else:
        sigma = np.ones_like(column)
    scaled = terms / sigma[:, None]
    covariance: FloatArray = np.asarray(np.linalg.inv(scaled.T @ scaled), np.float64)
    # An empty cell says nothing about a curve that goes through the origin anyway.
    telling = column.size if model == "line" else int(np.count_nonzero(column))
    freedom = telling - 2
    if freedom > 0:
        reduced = float(np.sum(((column - terms @ parameters) / sigma) ** 2)) / freedom
        covariance = covariance * (max(1.0, reduced) if weighted else reduced)
    elif not weighted:
        raise ValueError("cells without weights need one cell more than the curve has parameters")
    curve = ColumnCurve(model, parameters, covariance, float(absorbance.max()))
    if not np.all(curve.slope(np.linspace(0.0, curve.maximum_absorbance, 5)) > 0):
        raise ValueError("column density does not rise with absorbance: cells or labels are mixed up")
    return curve


def _solve(terms: FloatArray, values: FloatArray) -> FloatArray:
    solution, *_ = np.linalg.lstsq(terms, values, rcond=None)
    return np.asarray(solution, np.float64)


def curvature_warning(absorbance: FloatArray, column: FloatArray) -> str | None:
    """Return a warning where column per absorbance changes with column density as no absorption band does.

    Compared are the weakest and the strongest cell that hold gas, above the empty one. Saturation raises the
    ratio, slowly (``EXPECTED_CURVATURE_PER_MOLEC_CM2``); a rise of more than twice that and 5 %, or a fall of
    more than 5 %, means that a label is wrong or a cell was not read where it should be. None where all is well
    or there are fewer than two cells with gas.
    """
    absorbance, column = np.asarray(absorbance, np.float64), np.asarray(column, np.float64)
    empty = column == 0
    zero = float(absorbance[empty].mean()) if empty.any() else 0.0
    gas = np.flatnonzero(~empty & (absorbance > zero))
    if gas.size < 2:
        return None
    low, high = gas[np.argmin(column[gas])], gas[np.argmax(column[gas])]
    if low == high:
        return None
    ratio_low = column[low] / (absorbance[low] - zero)
    ratio_high = column[high] / (absorbance[high] - zero)
    rise = float(ratio_high / ratio_low - 1)
    expected = EXPECTED_CURVATURE_PER_MOLEC_CM2 * float(column[high] - column[low])
    if -0.05 <= rise <= max(CURVATURE_TOLERANCE * expected, 0.05):
        return None
    verb = "rises" if rise > 0 else "falls"
    return (
        f"column per absorbance {verb} by {abs(100 * rise):.0f} % from the {column[low] / MOLEC_CM2_PER_PPM_M:.0f} "
        f"to the {column[high] / MOLEC_CM2_PER_PPM_M:.0f} ppm m cell, where the band's own curvature gives "
        f"{100 * expected:.0f} %: check the cells' labels; a quadratic would follow their errors"
    )
