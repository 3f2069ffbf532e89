"""Gas-cell calibration: from the absorbance of quartz cells of known column density to a curve."""

from typing import Literal

import numpy as np

from so2cam.core.constants import MOLEC_CM2_PER_PPM_M
from so2cam.core.records import FloatArray
from so2cam.science.calibration.curve import BandShape, ColumnCurve, slope_terms

CellModel = Literal["line", "quadratic", "band"]

EXPECTED_CURVATURE_PER_MOLEC_CM2 = 0.07 / ((1257 - 304) * MOLEC_CM2_PER_PPM_M)
"""Relative rise of column per absorbance with column density that a 10 nm band at 310 nm has by saturation:
7 % from 304 to 1257 ppm m (Kern 2013 for the effect; computed for SO2 cross sections through such a filter)."""

CURVATURE_TOLERANCE = 2.0
"""Multiple of the expected curvature above which the labels are doubted rather than the light."""


def fit_cells(
    absorbance: FloatArray,
    column: FloatArray,
    *,
    absorbance_uncertainty: FloatArray,
    column_uncertainty: FloatArray,
    model: CellModel,
    weighted: bool = True,
    shape: BandShape | None = None,
) -> ColumnCurve:
    """Fit column density against absorbance through all cells, the empty one included.

    All arrays have shape (cells,). Errors in both (effective variance, Orear 1982):
    ``sigma^2 = sigma_CD^2 + (dCD/dAA sigma_AA)^2``. Where the cells scatter more than that, the covariance is
    scaled up by chi-squared per degree of freedom; it is never scaled down. ``weighted=False`` counts every
    cell alike and takes the covariance from the residuals. A line keeps its offset; a quadratic goes through
    the origin, and so does a band, whose ``shape`` is given and whose scale alone is fitted. Raises ValueError for too
    few cells, or a curve whose column does not rise with absorbance.
    """
    absorbance, column = np.asarray(absorbance, np.float64), np.asarray(column, np.float64)
    free = slice(1, 2) if model == "band" else slice(0, 2)
    distinct = np.unique(column)
    needed = (1 if model == "band" else 2) + int(model != "line" and 0.0 in distinct)
    if distinct.size < needed:
        raise ValueError(
            f"a {model} needs {needed} cells of different column density, the empty one included; "
            f"there are {distinct.size}"
        )
    if model == "band":
        if not float(np.abs(absorbance).max()) > 0:
            raise ValueError("no cell absorbs: they were not in the light")
    elif np.ptp(absorbance) <= 1e-6 * float(np.abs(absorbance).max()):
        raise ValueError("all cells have the same absorbance: they were not in the light, or are one and the same")
    start = ColumnCurve(model, np.zeros(2), np.zeros((2, 2)), float(absorbance.max()), shape=shape)
    terms = start.terms(absorbance)[:, free]
    parameters = _solve(terms, column)
    if weighted:
        for _ in range(20):
            slope = slope_terms(model, absorbance, shape)[:, free] @ parameters
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
    freedom = telling - parameters.size
    if freedom > 0:
        reduced = float(np.sum(((column - terms @ parameters) / sigma) ** 2)) / freedom
        covariance = covariance * (max(1.0, reduced) if weighted else reduced)
    elif not weighted:
        raise ValueError("cells without weights need one cell more than the curve has parameters")
    if model == "band":
        parameters = np.array([0.0, parameters[0]])
        covariance = np.array([[0.0, 0.0], [0.0, covariance[0, 0]]])
    curve = ColumnCurve(model, parameters, covariance, float(absorbance.max()), float(absorbance.min()), shape)
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
