"""The shift of a moving pattern over a profile that stands still, from two profiles and earlier ones."""

from typing import Final

import numpy as np
import numpy.typing as npt
from scipy.ndimage import gaussian_filter1d, spline_filter1d

from so2cam.core.records import FloatArray
from so2cam.science.motion.profile_correlation import product_variance

BoolArray = npt.NDArray[np.bool_]

_SMOOTHING: Final = 1.5
"""Gaussian sigma [samples] that profiles are smoothed with."""
_ITERATIONS: Final = 4
_FEWEST: Final = 16
"""Fewest samples that a shift is found from."""


def moving_shift(first: FloatArray, second: FloatArray, earlier: FloatArray, *, start: float) -> tuple[float, float]:
    """Return the shift [samples] from ``first`` to ``second`` (N,) of what moves, near ``start``, and 1 sigma of it.

    Every profile k is a standing one and a moving one, ``p_k(s) = S(s) + T(s - k L)``. For any trial shift l the
    difference ``e_k(s) = p_k+1(s + l) - p_k(s)`` is ``S(s + l) - S(s) - (L - l) T'``, and the slope of both profiles'
    mean holds a standing part as well. Means over the earlier pairs of neighbours have the same standing parts,
    whatever S is, so that with them taken off ``e~ = -(L - l) g~`` holds exactly: a regression with fixed effects.
    ``earlier`` (K, N) lie before ``first`` and share no image, hence no noise, with the two. The square of g~ is taken
    as the product of the two profiles' slopes, to which their noise does not add.

    Four earlier profiles at least. Where a profile is NaN a sample does not count. Uncertainty: linearised least
    squares with the residual's own autocorrelation. NaN where no shift is found: fewer than 16 samples, or slopes that
    are noise.
    """
    rows = np.concatenate([earlier, first[None], second[None]])
    known = np.isfinite(rows)
    coefficients, solid = _splines(rows, known)
    solid_all = np.asarray(solid.all(axis=0), np.bool_)
    shift, used = start, solid_all
    values, slopes = _evaluated(coefficients, 0.0)
    for _ in range(_ITERATIONS):
        moved, moved_slopes = _evaluated(coefficients, shift)
        used = solid_all & _moved_mask(solid_all, shift)
        if np.count_nonzero(used) < _FEWEST:
            return float("nan"), float("nan")
        change = moved[1:] - values[:-1]
        # The last pair is the one that is asked for; the one before it shares an image with it.
        change = (change[-1] - change[:-2].mean(axis=0))[used]
        here = (slopes[-2] - slopes[:-3].mean(axis=0))[used]
        there = (moved_slopes[-1] - moved_slopes[1:-2].mean(axis=0))[used]
        change, here, there = change - change.mean(), here - here.mean(), there - there.mean()
        slope = 0.5 * (here + there)
        information = float(np.sum(here * there))
        if information <= 0:
            return float("nan"), float("nan")
        step = -float(np.sum(slope * change)) / information
        shift += float(np.clip(step, -2, 2))
        if abs(step) < 1e-3:
            break
    residual = change + step * slope
    whole = np.zeros((2, used.size))
    whole[0, used], whole[1, used] = residual, slope
    count = int(np.count_nonzero(used)) - 2.5 * _SMOOTHING
    # The standing parts are means of few differences, and share the texture of these.
    few = earlier.shape[0] / max(earlier.shape[0] - 3, 1)
    return shift, float(np.sqrt(few * product_variance(whole[0], whole[1], count))) / information


def _splines(rows: FloatArray, known: BoolArray) -> tuple[FloatArray, BoolArray]:
    """Return cubic B-spline coefficients (K, N) of smoothed profiles, and where they are known well."""
    index = np.arange(rows.shape[1])
    filled = rows.copy()
    for row, good in zip(filled, known, strict=True):
        if good.any() and not good.all():
            row[~good] = np.interp(index[~good], index[good], row[good])
        elif not good.any():
            row[:] = 0.0
    smooth = gaussian_filter1d(filled, _SMOOTHING, axis=1, mode="nearest")
    weight = gaussian_filter1d(known.astype(np.float64), _SMOOTHING, axis=1, mode="constant")
    return spline_filter1d(smooth, 3, axis=1, mode="mirror"), weight > 0.95


def _evaluated(coefficients: FloatArray, shift: float) -> tuple[FloatArray, FloatArray]:
    """Return the splines' values and slopes (K, N) at every sample plus ``shift``; the ends repeat outside."""
    whole = int(np.floor(shift))
    f = shift - whole
    size = coefficients.shape[1]
    values, slopes = np.zeros_like(coefficients), np.zeros_like(coefficients)
    weights = ((1 - f) ** 3 / 6, 2 / 3 - f**2 + f**3 / 2, 2 / 3 - (1 - f) ** 2 + (1 - f) ** 3 / 2, f**3 / 6)
    of_slope = (-((1 - f) ** 2) / 2, -2 * f + 1.5 * f**2, 2 * (1 - f) - 1.5 * (1 - f) ** 2, f**2 / 2)
    for tap, (weight, slope) in enumerate(zip(weights, of_slope, strict=True)):
        picked = coefficients[:, np.clip(np.arange(size) + whole + tap - 1, 0, size - 1)]
        values += weight * picked
        slopes += slope * picked
    return values, slopes


def _moved_mask(known: BoolArray, shift: float) -> BoolArray:
    """Return where all samples that a spline at every sample plus ``shift`` leans on are known."""
    index, size = np.arange(known.size), known.size
    low, high = index + int(np.floor(shift)), index + int(np.ceil(shift))
    inside = (low >= 0) & (high <= size - 1)
    return np.asarray(inside & known[np.clip(low, 0, size - 1)] & known[np.clip(high, 0, size - 1)])
