"""Spikes in spectra: cosmic rays and hot pixels, found in the spectrum itself or in the residual of its fit."""

from functools import lru_cache

import numpy as np
import numpy.typing as npt
from scipy.ndimage import binary_dilation, binary_opening, correlate1d, maximum_filter1d, median_filter

from so2cam.core.records import FloatArray

BoolArray = npt.NDArray[np.bool_]

MAD_TO_SIGMA = 1.4826
"""Standard deviation of normal noise per median absolute deviation."""
_REACH_PX = 6
"""How far from a pixel its neighbours still tell what it should be."""
_LEVELS = 16
"""Number of brightness levels at which the noise of a spectrum is measured."""
_ROUNDS = 12
"""Spikes are taken out largest first; so often at most."""


@lru_cache(maxsize=8)
def _neighbour_weights(resolution_px: float) -> FloatArray:
    """Weights (2 reach + 1,) that tell a pixel from its neighbours without itself and the adjacent ones.

    Best linear unbiased prediction (kriging with a linear trend) of a curve that was smoothed by a Gaussian of FWHM
    ``resolution_px``: covariance exp(-d^2 / (4 s^2)), with a hundredth of it as noise.
    """
    width = resolution_px / np.sqrt(8 * np.log(2))
    at = np.array([d for d in range(-_REACH_PX, _REACH_PX + 1) if abs(d) > 1], np.float64)
    covariance = np.exp(-((at[:, None] - at) ** 2) / (4 * width**2)) + 0.01 * np.eye(at.size)
    trend = np.stack([np.ones_like(at), at])
    system = np.block([[covariance, trend.T], [trend, np.zeros((2, 2))]])
    target = np.concatenate([np.exp(-(at**2) / (4 * width**2)), [1.0, 0.0]])
    weights = np.zeros(2 * _REACH_PX + 1)
    weights[at.astype(int) + _REACH_PX] = np.linalg.solve(system, target)[: at.size]
    return weights


def _noise_by_level(level: FloatArray, residual: FloatArray, judged: BoolArray) -> FloatArray:
    """Noise of each pixel (N,) from the median absolute residual of the pixels of like brightness."""
    order = np.flatnonzero(judged)
    order = order[np.argsort(level[order], kind="stable")]
    size = max(order.size // max(min(_LEVELS, order.size // 24), 1), 1)
    groups = order[: order.size // size * size].reshape(-1, size)
    at = level[groups[:, size // 2]]
    return np.interp(level, at, MAD_TO_SIGMA * np.median(np.abs(residual[groups]), axis=1))


def find_spikes(
    counts: npt.ArrayLike,
    *,
    sigma: float,
    usable: npt.ArrayLike | None = None,
    resolution_px: float = 6.0,
    structure_share: float = 0.1,
    maximum_width_px: int = 2,
) -> BoolArray:
    """Return where spectra (N,) or (M, N) have spikes of up to ``maximum_width_px`` (1 or 2) pixels, of either sign.

    A spectrum is smooth on the scale of its resolution, ``resolution_px`` (FWHM of the line shape in pixels; take it
    rather too small), a cosmic ray or hot pixel is not: each pixel is told from its neighbours two to six pixels away
    (see ``_neighbour_weights``) and is a spike where the difference exceeds ``sigma`` times the noise of pixels of
    like brightness plus ``structure_share`` of the range of those neighbours about their straight line, which keeps
    solar lines and SO2 bands out however low the noise is. Largest first, so that a spike does not spoil its
    neighbours. Never spikes are pixels that are not ``usable``, the six beside a run of three or more such (the edge
    of saturation), and the first and last eight of a spectrum. ``sigma`` 0 finds none. Raises ValueError for fewer
    than 64 pixels, ``resolution_px`` below 5 (nothing tells a line from a spike then) or another width than 1 or 2.
    """
    given = np.asarray(counts, np.float64)
    if given.ndim not in (1, 2) or given.shape[-1] < 64:
        raise ValueError(f"spikes need spectra of at least 64 pixels, not an array of shape {given.shape}")
    if not resolution_px >= 5 or maximum_width_px not in (1, 2):
        raise ValueError("resolution_px must be at least 5, and maximum_width_px 1 or 2")
    good = np.isfinite(given)
    if usable is not None:
        good = good & np.asarray(usable, np.bool_)
    found = np.zeros(given.shape, np.bool_)
    if sigma > 0:
        weights = _neighbour_weights(float(resolution_px))
        for out, row, keep in zip(np.atleast_2d(found), np.atleast_2d(given), np.atleast_2d(good), strict=True):
            out[:] = _spikes_of_one(row, keep, weights, sigma, structure_share)
            out &= ~binary_opening(out, np.ones(maximum_width_px + 1, np.bool_))
    return found


def _spikes_of_one(
    row: FloatArray, good: BoolArray, weights: FloatArray, sigma: float, structure_share: float
) -> BoolArray:
    edge = _REACH_PX + 2
    judged = good & ~binary_dilation(binary_opening(~good, np.ones(3, np.bool_)), iterations=_REACH_PX)
    judged[:edge] = judged[-edge:] = False
    found = np.zeros(row.size, np.bool_)
    if judged.sum() < 32:
        return found
    pixels = np.arange(row.size)
    filled = np.interp(pixels, pixels[good], row[good])
    floor = 1e-9 * float(np.abs(row[good]).max()) + np.finfo(np.float64).tiny
    # A median over neighbours is the brightness that no spike changes.
    level = median_filter(filled, 2 * _REACH_PX + 1, mode="nearest")
    for _ in range(_ROUNDS):
        expected = correlate1d(filled, weights, mode="nearest")
        residual = filled - expected
        threshold = sigma * np.maximum(_noise_by_level(level, residual, judged & ~found), floor)
        near = judged & ~found & (np.abs(residual) > threshold)
        if near.any():
            limit = threshold[near] + structure_share * _structure(filled, np.flatnonzero(near))
            near[near] = np.abs(residual[near]) > limit
        size = np.where(near, np.abs(residual), 0.0)
        new = near & (size >= maximum_filter1d(size, 2 * _REACH_PX + 1))
        if not new.any():
            break
        found |= new
        filled[new] = expected[new]
        for _ in range(2):  # What was put in place of one spike may still hold a share of another.
            filled[found] = correlate1d(filled, weights, mode="nearest")[found]
    return found & (np.abs(row - filled) > threshold)


def _structure(values: FloatArray, pixels: npt.NDArray[np.intp]) -> FloatArray:
    """Range of the neighbours of each of ``pixels``, the adjacent ones left out, about their straight line."""
    at = np.array([d for d in range(-_REACH_PX, _REACH_PX + 1) if abs(d) > 1])
    near = values[pixels[:, None] + at]
    return np.asarray(np.ptp(near - (near @ at / (at @ at))[:, None] * at, axis=1), np.float64)


def repair(counts: npt.ArrayLike, mask: npt.ArrayLike) -> FloatArray:
    """Return ``counts`` (N,) or (M, N) with the pixels of ``mask`` told by a straight line between their neighbours.

    For plots, and for what needs every pixel; a fit leaves the mask out instead. Nothing is known beyond the last
    good pixel of either end: NaN.
    """
    values = np.array(counts, np.float64)
    masked = np.broadcast_to(np.asarray(mask, np.bool_), values.shape)
    pixels = np.arange(values.shape[-1])
    for row, gone in zip(np.atleast_2d(values), np.atleast_2d(masked), strict=True):
        if gone.all():
            row[:] = np.nan
        elif gone.any():
            row[gone] = np.interp(pixels[gone], pixels[~gone], row[~gone], left=np.nan, right=np.nan)
    return values


def residual_outliers(
    residual: npt.ArrayLike,
    sigma: float,
    *,
    relative_noise: npt.ArrayLike | None = None,
    maximum_width_px: int = 2,
) -> BoolArray:
    """Return where residuals of fits (N,) or (M, N) have outliers of up to ``maximum_width_px`` pixels.

    An outlier is further than ``sigma`` robust standard deviations (1.4826 times the median absolute deviation) from
    the median of its spectrum; ``relative_noise`` of the same shape, or (N,), weighs pixels of unlike noise (any
    unit). NaN is left out of the statistics and never an outlier. A longer run is structure that the model lacks, not
    a spike, and stays. ``sigma`` 0 finds none.
    """
    given = np.asarray(residual, np.float64)
    if sigma <= 0:
        return np.zeros(given.shape, np.bool_)
    rows = np.atleast_2d(given if relative_noise is None else given / np.asarray(relative_noise, np.float64))
    out = np.zeros(rows.shape, np.bool_)
    for found, row in zip(out, rows, strict=True):
        known = np.isfinite(row)
        if known.any():
            away = np.abs(row - np.median(row[known]))
            far = known & (away > sigma * MAD_TO_SIGMA * np.median(away[known]))
            found[:] = far & ~binary_opening(far, np.ones(maximum_width_px + 1, np.bool_))
    return out.reshape(given.shape)
