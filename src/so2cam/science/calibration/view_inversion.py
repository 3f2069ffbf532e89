"""The spectrometer's field of view by regularised inversion: a weight for every pixel, then a bell through them.

The column density is taken as a weighted sum of all pixels' absorbances (the image-spectrometer inversion of Sihler, in
Luebcke 2013, Gliss 2017). There are far more pixels than times, so the weights are damped.
"""

from dataclasses import dataclass
from enum import IntEnum
from typing import Final

import cv2
import numpy as np

from so2cam.core.records import FloatArray, FloatImage
from so2cam.science.calibration.correlation_map import BoolStack, Deviations, Stack, deviations
from so2cam.science.calibration.super_gaussian import SuperGaussian, fit_super_gaussian

MINIMUM_TIMES: Final = 12
REACH: Final = 0.2
"""How far from the largest weight the bell is fitted, over the shorter side of the image."""

_START_RADIUS = 0.03
_DAMPINGS = 60
_SMALLEST_DAMPING = 1e-4
"""Of the largest singular value."""
_COST = 1.4
"""Degrees of freedom that a weight costs in the cross-validation (Cummins et al. 2001, modified GCV)."""


class InversionStatus(IntEnum):
    """Whether a field of view was found, or why not."""

    OK = 0
    TOO_FEW_TIMES = 1
    NO_USABLE_PIXELS = 2
    NO_PEAK = 3
    NOTHING_EXPLAINED = 4


INVERSION_TEXT: Final[dict[InversionStatus, str]] = {
    InversionStatus.OK: "valid",
    InversionStatus.TOO_FEW_TIMES: "too few times with both an image and a column density that varies",
    InversionStatus.NO_USABLE_PIXELS: "no pixels that are valid often enough",
    InversionStatus.NO_PEAK: "the weights have no single peak inside the image",
    InversionStatus.NOTHING_EXPLAINED: "no weights of pixels explain the columns better than their mean does",
}


@dataclass(frozen=True, slots=True, eq=False)
class ViewInversion:
    """Weights of pixels (rows, columns), NaN where unusable, with the bell through them (None unless OK).

    ``damping``: of the inversion, over its largest singular value; ``degrees``: effective number of weights;
    ``explained``: share of the columns' variance that the weights explain by cross-validation.
    """

    status: InversionStatus
    weights: FloatImage
    bell: SuperGaussian | None
    damping: float
    degrees: float
    explained: float


def invert_view(
    absorbance: Stack,
    valid: BoolStack,
    column: FloatArray,
    column_sigma: FloatArray,
    *,
    minimum_times: int = MINIMUM_TIMES,
    damping: float | None = None,
) -> ViewInversion:
    """Find weights w that minimise ``|c - A w|^2 + d^2 |w|^2``, and the elliptic super-Gaussian through them.

    ``absorbance``, ``valid`` (T, rows, columns), ``column``, ``column_sigma`` (T,) as in ``search_by_correlation``; A
    and c are deviations from their means in time, so that an offset is free. The damping d, over the largest singular
    value of A, is that of the least modified generalised cross-validation (Golub, Heath and Wahba 1979; Cummins,
    Filloon and Nychka 2001), unless it is given.
    The minimum is the one that LSMR (Fong and Saunders 2011) reaches with the same damping; with fewer times than
    pixels the T x T matrix A A^T gives it directly.
    """
    if absorbance.ndim != 3 or absorbance.shape != valid.shape or column.shape != (absorbance.shape[0],):
        raise ValueError("there must be one mask and one column density per image")
    used = np.isfinite(column) & np.isfinite(column_sigma) & (column_sigma >= 0)
    shape = absorbance.shape[1:]
    empty = np.full(shape, np.nan, np.float32)
    nan = float("nan")
    if np.count_nonzero(used) < minimum_times or not np.ptp(column[used]) > 0:
        return ViewInversion(InversionStatus.TOO_FEW_TIMES, empty, None, nan, nan, nan)
    stack = deviations(absorbance, valid, used.astype(np.float64), max(int(0.5 * np.count_nonzero(used)), 3))
    if not stack.usable.any():
        return ViewInversion(InversionStatus.NO_USABLE_PIXELS, empty, None, nan, nan, nan)
    values, damped, degrees, explained = _inverted(stack, column, used, damping)
    weights = np.where(stack.usable, values.reshape(shape), np.nan).astype(np.float32)
    if not explained > 0:
        return ViewInversion(InversionStatus.NOTHING_EXPLAINED, weights, None, damped, degrees, explained)
    bell = _bell_through(weights, stack)
    status = InversionStatus.OK if bell is not None else InversionStatus.NO_PEAK
    return ViewInversion(status, weights, bell, damped, degrees, explained)


def _inverted(
    stack: Deviations, column: FloatArray, used: np.ndarray[tuple[int, ...], np.dtype[np.bool_]], damping: float | None
) -> tuple[FloatArray, float, float, float]:
    """Return the weights (P,), the damping, the effective number of weights and the share explained."""
    flat = stack.values.reshape(stack.values.shape[0], -1)[used].astype(np.float64)
    c = column[used] - column[used].mean()
    squares, vectors = np.linalg.eigh(flat @ flat.T)
    squares = np.maximum(squares, 0.0)
    projected = vectors.T @ c
    largest = float(np.sqrt(squares[-1]))
    candidates = np.geomspace(_SMALLEST_DAMPING, 1.0, _DAMPINGS) if damping is None else np.array([damping])
    kept = squares / (squares + (candidates[:, None] * largest) ** 2)
    misfit = ((1 - kept) ** 2 * projected**2).sum(axis=1)
    degrees = kept.sum(axis=1)
    # One degree went with the mean. Each weight costs more than one: plain cross-validation often damps far too little.
    free = c.size - 1 - _COST * degrees
    score = np.where(free > 0, misfit * c.size / np.where(free > 0, free, 1.0) ** 2, np.inf)
    if not np.isfinite(score).any():
        score = misfit * c.size
    best = int(np.argmin(score))
    weights = flat.T @ (vectors @ (projected / (squares + (candidates[best] * largest) ** 2)))
    explained = 1 - float(score[best]) / (float(c @ c) * c.size / (c.size - 1) ** 2)
    return weights, float(candidates[best]), float(degrees[best]), explained


def _bell_through(weights: FloatImage, stack: Deviations) -> SuperGaussian | None:
    side = min(weights.shape)
    blur = max(0.5 * _START_RADIUS * side, 0.7)
    there = cv2.GaussianBlur(stack.usable.astype(np.float32), (0, 0), blur)
    smooth = cv2.GaussianBlur(np.where(stack.usable, weights, np.float32(0)), (0, 0), blur)
    smooth = np.where(stack.usable, smooth / np.maximum(there, np.float32(1e-3)), -np.inf)
    row, column = np.unravel_index(int(np.argmax(smooth)), smooth.shape)
    start = (float(column), float(row), max(_START_RADIUS * side, 0.8))
    return fit_super_gaussian(weights, stack.usable, start=start, reach=max(REACH * side, 3.0))
