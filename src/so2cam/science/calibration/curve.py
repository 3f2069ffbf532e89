"""Column density as a function of apparent absorbance: a line, a quadratic, or the band's own curve."""

from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import numpy.typing as npt
from scipy.interpolate import PchipInterpolator

from so2cam.core.records import FloatArray

CurveModel = Literal["line", "quadratic", "quadratic_with_offset", "band"]


_FLAT = 0.1
"""Slope at an end of the table over that of its last interval, below which the cubic has run flat there."""


@dataclass(frozen=True, slots=True, eq=False)
class BandShape:
    """Column density [molecules cm-2] that a band's physics gives for an absorbance.

    ``absorbance`` and ``column`` (N,) are a table that begins with (0, 0); both strictly increase. Between its points
    a monotone cubic (Fritsch and Carlson 1980), so that the curve neither bends back nor jumps in slope; beyond the
    last point and below zero it goes on straight, with the slope of that end (of the last interval, where the table is
    so coarse that the cubic runs flat). Raises ValueError for another table.
    """

    absorbance: FloatArray
    column: FloatArray
    _cubic: PchipInterpolator = field(init=False, repr=False)
    _end_slopes: tuple[float, float] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        absorbance = np.array(self.absorbance, np.float64)
        column = np.array(self.column, np.float64)
        if absorbance.ndim != 1 or absorbance.shape != column.shape or absorbance.size < 3:
            raise ValueError("a band's shape needs a table of at least three absorbances with their columns")
        if not (np.isfinite(absorbance).all() and np.isfinite(column).all()):
            raise ValueError("a band's shape has a value that is not finite")
        if absorbance[0] != 0 or column[0] != 0:
            raise ValueError("a band's shape begins at absorbance 0 and column 0")
        if not ((np.diff(absorbance) > 0).all() and (np.diff(column) > 0).all()):
            raise ValueError(
                "absorbance and column of a band's shape must increase strictly: a saturated band tells nothing"
            )
        absorbance.flags.writeable = False
        column.flags.writeable = False
        cubic = PchipInterpolator(absorbance, column, extrapolate=True)
        secants = (np.diff(column) / np.diff(absorbance))[[0, -1]]
        ends = cubic(absorbance[[0, -1]], 1)
        ends = np.where(ends > _FLAT * secants, ends, secants)
        object.__setattr__(self, "absorbance", absorbance)
        object.__setattr__(self, "column", column)
        object.__setattr__(self, "_cubic", cubic)
        object.__setattr__(self, "_end_slopes", (float(ends[0]), float(ends[1])))

    @property
    def maximum_absorbance(self) -> float:
        """The largest absorbance of the table."""
        return float(self.absorbance[-1])

    def at(self, absorbance: FloatArray) -> FloatArray:
        """Return the column density [molecules cm-2], shape of ``absorbance``; NaN stays NaN."""
        absorbance = np.asarray(absorbance, np.float64)
        inside = np.clip(absorbance, 0.0, self.maximum_absorbance)
        low, high = self._end_slopes
        beyond = absorbance - inside
        return np.asarray(self._cubic(inside) + np.where(beyond < 0, low, high) * beyond)

    def derivative(self, absorbance: FloatArray) -> FloatArray:
        """Return dCD/dAA [molecules cm-2], shape of ``absorbance``; NaN stays NaN."""
        absorbance = np.asarray(absorbance, np.float64)
        low, high = self._end_slopes
        inside = self._cubic(np.clip(absorbance, 0.0, self.maximum_absorbance), 1)
        return np.asarray(np.where(absorbance < 0, low, np.where(absorbance > self.maximum_absorbance, high, inside)))

    def absorbance_at(self, column: FloatArray) -> FloatArray:
        """Return the absorbance of a column density, the inverse of ``at`` to 1e-12 of the table's largest."""
        column = np.asarray(column, np.float64)
        low, high = self._end_slopes
        top = float(self.column[-1])
        inside = np.clip(column, 0.0, top)
        lower = np.interp(inside, self.column, self.absorbance)
        # Bracketed Newton: the cubic is monotone within each interval of the table.
        index = np.clip(np.searchsorted(self.column, inside, side="right") - 1, 0, self.column.size - 2)
        left, right = self.absorbance[index].copy(), self.absorbance[index + 1].copy()
        value = np.asarray(lower, np.float64)
        for _ in range(60):
            excess = self._cubic(value) - inside
            left = np.where(excess <= 0, value, left)
            right = np.where(excess >= 0, value, right)
            slope = self._cubic(value, 1)
            step = value - excess / np.where(slope > 0, slope, np.inf)
            step = np.where((step > left) & (step < right), step, (left + right) / 2)
            done = np.abs(step - value) <= 1e-14 * self.maximum_absorbance
            value = step
            if done[np.isfinite(column)].all():
                break
        beyond = column - inside
        return np.asarray(value + beyond / np.where(beyond < 0, low, high))


@dataclass(frozen=True, slots=True, eq=False)
class ColumnCurve:
    """Column density [molecules cm-2] as a function of apparent absorbance.

    ``line``: ``CD = p0 + p1 AA``; ``quadratic``: ``CD = p0 AA + p1 AA^2``; ``quadratic_with_offset``:
    ``CD = p0 + p1 AA + p2 AA^2``; ``band``: ``CD = p0 + p1 shape(AA)``, the curve of fixed ``shape`` with its scale p1
    (1 where reference cross section and filters are exact). ``parameters`` (P,) with their ``covariance`` (P, P);
    ``minimum_absorbance`` and ``maximum_absorbance`` bound what was calibrated. Raises ValueError for a band without
    a shape.
    """

    model: CurveModel
    parameters: FloatArray
    covariance: FloatArray
    maximum_absorbance: float
    minimum_absorbance: float = float("-inf")
    shape: BandShape | None = None

    def __post_init__(self) -> None:
        if (self.model == "band") != (self.shape is not None):
            raise ValueError("a band's curve needs its shape, and no other curve has one")

    def terms(self, absorbance: FloatArray) -> FloatArray:
        """Return dCD/dp, shape (..., P)."""
        return curve_terms(self.model, absorbance, self.shape)

    def column(self, absorbance: FloatArray) -> FloatArray:
        """Return the column density [molecules cm-2]; an offset is kept. NaN stays NaN."""
        return np.asarray(self.terms(absorbance) @ self.parameters)

    def column_uncertainty(self, absorbance: FloatArray) -> FloatArray:
        """Return 1 sigma of the column density [molecules cm-2] from the fit. NaN stays NaN."""
        terms = self.terms(absorbance)
        return np.asarray(np.sqrt(np.einsum("...i,ij,...j->...", terms, self.covariance, terms)))

    def slope(self, absorbance: FloatArray) -> FloatArray:
        """Return dCD/dAA [molecules cm-2]."""
        return np.asarray(slope_terms(self.model, absorbance, self.shape) @ self.parameters)

    def calibrated(self, absorbance: FloatArray) -> npt.NDArray[np.bool_]:
        """Return where ``absorbance`` lies within what was calibrated; NaN does not."""
        absorbance = np.asarray(absorbance, np.float64)
        return np.asarray((absorbance >= self.minimum_absorbance) & (absorbance <= self.maximum_absorbance))

    @property
    def slope_at_zero(self) -> tuple[float, float]:
        """dCD/dAA at zero absorbance and its 1 sigma [molecules cm-2]."""
        terms = slope_terms(self.model, np.zeros(()), self.shape)
        return float(terms @ self.parameters), float(np.sqrt(terms @ self.covariance @ terms))

    @property
    def offset(self) -> tuple[float, float]:
        """CD at zero absorbance and its 1 sigma [molecules cm-2]."""
        if self.model == "quadratic":
            return 0.0, 0.0
        return float(self.parameters[0]), float(np.sqrt(self.covariance[0, 0]))


def curve_terms(model: CurveModel, absorbance: FloatArray, shape: BandShape | None = None) -> FloatArray:
    """Return dCD/dp of a model's P parameters, shape (..., P); NaN for no absorbance, in every term."""
    absorbance = np.asarray(absorbance, np.float64)
    one = np.where(np.isnan(absorbance), np.nan, 1.0)
    if shape is not None:
        return np.stack([one, shape.at(absorbance)], axis=-1)
    if model == "line":
        return np.stack([one, absorbance], axis=-1)
    if model == "quadratic":
        return np.stack([absorbance, absorbance**2], axis=-1)
    return np.stack([one, absorbance, absorbance**2], axis=-1)


def slope_terms(model: CurveModel, absorbance: FloatArray, shape: BandShape | None = None) -> FloatArray:
    """Return d2CD/(dp dAA) of a model's P parameters, shape (..., P); NaN for no absorbance, in every term."""
    absorbance = np.asarray(absorbance, np.float64)
    one = np.where(np.isnan(absorbance), np.nan, 1.0)
    if shape is not None:
        return np.stack([0 * one, shape.derivative(absorbance)], axis=-1)
    if model == "line":
        return np.stack([0 * one, one], axis=-1)
    if model == "quadratic":
        return np.stack([one, 2 * absorbance], axis=-1)
    return np.stack([0 * one, one, 2 * absorbance], axis=-1)


def fixed_slope(slope: float, uncertainty: float) -> ColumnCurve:
    """Return the curve of a known slope dCD/dAA [molecules cm-2] through zero."""
    covariance = np.array([[0.0, 0.0], [0.0, uncertainty**2]])
    return ColumnCurve("line", np.array([0.0, slope]), covariance, float("inf"))


def fixed_scale(shape: BandShape, scale: float, uncertainty: float) -> ColumnCurve:
    """Return the band's curve of a known scale through zero, good as far as its table goes."""
    covariance = np.array([[0.0, 0.0], [0.0, uncertainty**2]])
    return ColumnCurve("band", np.array([0.0, scale]), covariance, shape.maximum_absorbance, shape=shape)
