"""How the sensitivity to SO2 differs across the image, from a gas cell (Gliss 2017)."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from so2cam.core.records import BoolImage, FloatArray, FloatImage

_ORDER = 3
_MINIMUM_ABSORBANCE = 0.02
_RANGE = (0.5, 2.0)
"""Sensitivities beyond these are no effect of the filter's tilt."""
_MAXIMUM_FIT_PIXELS = 40_000


@dataclass(frozen=True, slots=True)
class SensitivityMask:
    """Sensitivity relative to the mean over the calibration's region, (rows, columns); ``valid`` where it is used."""

    values: FloatImage
    valid: BoolImage


def sensitivity_mask(absorbance: FloatImage, valid: BoolImage, *, region: tuple[slice, slice]) -> SensitivityMask:
    """Return the sensitivity mask from a cell's ``absorbance`` (rows, columns), with mean 1 over ``region``.

    A polynomial of third order in both directions, fitted three times with what lies 3 sigma off left out: the filter's
    passband shifts smoothly with the angle, and neither dust nor the rim of the cell's holder may enter. Raises
    ValueError for a cell too weak to tell, or an empty region.
    """
    rows, columns = absorbance.shape
    good = valid & np.isfinite(absorbance)
    if not good[region].any():
        raise ValueError("the region where cells are read has no valid pixel")
    if float(np.median(absorbance[region][good[region]])) < _MINIMUM_ABSORBANCE:
        raise ValueError(f"the cell absorbs less than {_MINIMUM_ABSORBANCE:g}: choose a stronger one")
    step = max(int(np.sqrt(good.sum() / _MAXIMUM_FIT_PIXELS)), 1)
    row, column = np.nonzero(good[::step, ::step])
    row, column = row * step, column * step
    design = _terms(row, column, absorbance.shape)
    target = absorbance[row, column].astype(np.float64)
    # A start that a rim cannot pull: the median, and what lies within a third of it.
    centre = float(np.median(target))
    kept = np.abs(target - centre) < max(0.35 * abs(centre), 0.01)
    coefficients: FloatArray = np.zeros(design.shape[1])
    for _ in range(3):
        if kept.sum() < 10 * design.shape[1]:
            raise ValueError("too few pixels of the cell's image agree with each other")
        coefficients = np.linalg.lstsq(design[kept], target[kept], rcond=None)[0]
        residual = target - design @ coefficients
        sigma = 1.4826 * float(np.median(np.abs(residual[kept])))
        kept = np.abs(residual) <= max(3 * sigma, 1e-6)
    y, x = np.mgrid[0:rows, 0:columns]
    surface = (_terms(y.ravel(), x.ravel(), absorbance.shape) @ coefficients).reshape(rows, columns)
    mean = float(surface[region].mean())
    if mean <= 0:
        raise ValueError("the cell's fitted absorbance is not positive where cells are read")
    values = (surface / mean).astype(np.float32)
    return SensitivityMask(values, (values > _RANGE[0]) & (values < _RANGE[1]))


def correct_sensitivity(
    absorbance: FloatImage, valid: BoolImage, mask: SensitivityMask
) -> tuple[FloatImage, BoolImage]:
    """Return ``AA / M`` and where it is valid; NaN elsewhere."""
    known = valid & mask.valid
    out = np.full(absorbance.shape, np.nan, np.float32)
    np.divide(absorbance, mask.values, out=out, where=known)
    return out, known


def _terms(row: npt.NDArray[np.intp], column: npt.NDArray[np.intp], shape: tuple[int, ...]) -> FloatArray:
    """Return products of powers (N, terms) of both coordinates, each within -1 and 1, up to the order."""
    y = 2 * np.asarray(row, np.float64) / max(shape[0] - 1, 1) - 1
    x = 2 * np.asarray(column, np.float64) / max(shape[1] - 1, 1) - 1
    return np.stack([x**i * y**j for i in range(_ORDER + 1) for j in range(_ORDER + 1 - i)], axis=-1)
