"""How the sensitivity to SO2 differs across the image, from a gas cell (Gliss 2017)."""

import math
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from so2cam.core.records import BoolImage, FloatArray, FloatImage

_ORDER = 3
_MINIMUM_ABSORBANCE = 0.02
_RANGE = (0.5, 2.0)
"""Sensitivities beyond these are no effect of the filter's tilt."""
_MAXIMUM_FIT_PIXELS = 40_000
_PATCH_SHARE = 1 / 25
"""Side of the patches in which most pixels must agree with the fit, over that of the image."""
_REACH = 2.0
"""Leverage, over the largest of the pixels fitted, up to which the fitted surface is used."""
_SHAPELESS = "less than half of the area where cells are read looks like a cell"


@dataclass(frozen=True, slots=True)
class SensitivityMask:
    """Sensitivity relative to the mean over the calibration's region, (rows, columns); ``valid`` where it is known."""

    values: FloatImage
    valid: BoolImage


def sensitivity_mask(absorbance: FloatImage, valid: BoolImage, *, region: tuple[slice, slice]) -> SensitivityMask:
    """Return the sensitivity mask from a cell's ``absorbance`` (rows, columns), with mean 1 over ``region``.

    A polynomial of third order in both directions, fitted repeatedly with what lies 3 sigma off left out: the filter's
    passband shifts smoothly with the angle, and neither dust nor the rim of the cell's holder may enter. Valid as far
    as the cell reaches, by the leverage on the fit (Montgomery and Peck 1992, hidden extrapolation): far behind a rim
    the polynomial tells nothing, and the mean leaves that out. Raises ValueError for a cell too weak to tell, an empty
    region, and one most of which does not look like a cell.
    """
    good = valid & np.isfinite(absorbance)
    if not good[region].any():
        raise ValueError("the region where cells are read has no valid pixel")
    # A start that a rim cannot pull: what lies within a third of the median where cells are read.
    centre = float(np.median(absorbance[region][good[region]]))
    if centre < _MINIMUM_ABSORBANCE:
        raise ValueError(f"the cell absorbs less than {_MINIMUM_ABSORBANCE:g}: choose a stronger one")
    row, column = _spread(good)
    design = _terms(row, column, absorbance.shape)
    target = absorbance[row, column].astype(np.float64)
    kept = np.abs(target - centre) < max(0.35 * centre, 0.01)
    coefficients, limit = _fit_clipped(design, target, kept)
    y, x = (axis.ravel() for axis in np.indices(absorbance.shape))
    terms = _terms(y, x, absorbance.shape)
    agrees = _agreement(absorbance, good, terms @ coefficients, limit)
    # Pixels of a noisy rim that agree by chance are few among their neighbours.
    cell = agrees & _mostly(agrees, good)
    if cell[region].sum() < 0.5 * good[region].sum():
        raise ValueError(_SHAPELESS)
    used = cell[row, column]
    coefficients, _ = _fit_clipped(design[used], target[used], np.ones(int(used.sum()), np.bool_))
    surface = (terms @ coefficients).reshape(absorbance.shape)
    leverage = _leverage(design[used], terms).reshape(absorbance.shape)
    known = leverage <= _REACH * leverage[row[used], column[used]].max()
    mean = float(surface[region][known[region]].mean())
    if mean <= 0:
        raise ValueError(_SHAPELESS)
    values = (surface / mean).astype(np.float32)
    return SensitivityMask(values, known & (values > _RANGE[0]) & (values < _RANGE[1]))


def correct_sensitivity(
    absorbance: FloatImage, valid: BoolImage, mask: SensitivityMask
) -> tuple[FloatImage, BoolImage]:
    """Return ``AA / M`` and where it is valid; NaN elsewhere."""
    known = valid & mask.valid
    out = np.full(absorbance.shape, np.nan, np.float32)
    np.divide(absorbance, mask.values, out=out, where=known)
    return out, known


def _spread(good: BoolImage) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """Return rows and columns of good pixels spread evenly, as many as a fit needs."""
    step = max(math.ceil(math.sqrt(good.sum() / _MAXIMUM_FIT_PIXELS)), 1)
    row, column = np.nonzero(good[::step, ::step])
    return row * step, column * step


def _fit_clipped(
    design: FloatArray, target: FloatArray, kept: npt.NDArray[np.bool_], rounds: int = 4
) -> tuple[FloatArray, float]:
    """Return coefficients fitted to what is ``kept`` and then to what lies within 3 sigma, and those 3 sigma."""
    coefficients: FloatArray = np.zeros(design.shape[1])
    limit = 0.0
    for _ in range(rounds):
        if kept.sum() < 10 * design.shape[1]:
            raise ValueError("too few pixels of the cell's image agree with each other")
        coefficients = np.asarray(np.linalg.lstsq(design[kept], target[kept], rcond=None)[0], np.float64)
        residual = np.abs(target - design @ coefficients)
        limit = max(3 * 1.4826 * float(np.median(residual[kept])), 1e-6)
        kept = residual <= limit
    return coefficients, limit


def _agreement(absorbance: FloatImage, good: BoolImage, surface: FloatArray, limit: float) -> BoolImage:
    residual = np.where(good, absorbance, np.inf) - surface.reshape(absorbance.shape)
    return np.asarray(np.abs(residual) <= limit)


def _mostly(agrees: BoolImage, good: BoolImage) -> BoolImage:
    """Return where more than half of the good pixels of the patch around agree."""
    side = max(round(_PATCH_SHARE * min(agrees.shape)), 3)
    shares = [
        cv2.boxFilter(part.astype(np.float32), -1, (side, side), borderType=cv2.BORDER_REFLECT_101)
        for part in (agrees, good)
    ]
    return np.asarray(shares[0] > 0.5 * shares[1])


def _leverage(fitted: FloatArray, terms: FloatArray) -> FloatArray:
    """Return ``x (X'X)^-1 x'`` (N,) of the rows x of ``terms`` for the rows X that were fitted."""
    triangle = np.linalg.qr(fitted, mode="r")
    inverse = np.linalg.pinv(triangle)
    return np.asarray(np.sum((terms @ inverse) ** 2, axis=1))


def _terms(row: npt.NDArray[np.intp], column: npt.NDArray[np.intp], shape: tuple[int, ...]) -> FloatArray:
    """Return products of powers (N, terms) of both coordinates, each within -1 and 1, up to the order."""
    y = 2 * np.asarray(row, np.float64) / max(shape[0] - 1, 1) - 1
    x = 2 * np.asarray(column, np.float64) / max(shape[1] - 1, 1) - 1
    return np.stack([x**i * y**j for i in range(_ORDER + 1) for j in range(_ORDER + 1 - i)], axis=-1)
