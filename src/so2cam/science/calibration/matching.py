"""Pairing in time: which column density a spectrometer saw during each exposure of the camera."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from so2cam.core.records import FloatArray

_INSTANTS = 5
"""Instants of an exposure at which the column is interpolated, as it may last over the middle of a spectrum."""


@dataclass(frozen=True, slots=True, eq=False)
class MatchedPoints:
    """The column density of each exposure, all (N,): NaN where no spectrum is near enough.

    ``column`` and ``column_sigma`` [molecules cm-2]; ``gap_s`` from the middle of the exposure to that of the nearest
    spectrum used; ``spectra`` the effective number of spectra in each column; ``matched`` where there is one.
    """

    column: FloatArray
    column_sigma: FloatArray
    gap_s: FloatArray
    spectra: FloatArray
    matched: npt.NDArray[np.bool_]


def match_columns(
    image_time_s: FloatArray,
    image_exposure_s: FloatArray,
    spectrum_time_s: FloatArray,
    spectrum_exposure_s: FloatArray,
    column: FloatArray,
    column_sigma: FloatArray,
    *,
    maximum_gap_s: float,
    known_until_s: float | None = None,
    causal: bool = False,
) -> MatchedPoints:
    """Return the column density [molecules cm-2] at each exposure of the camera.

    Times (N,) and (S,) are mid-exposure, in seconds from any common start, exposures their lengths. An exposure that
    is at least as long as the spectra under it takes their mean by overlap; a shorter one the straight line between
    the middles of the spectra before and after, averaged over its length. Both must be within ``maximum_gap_s`` of
    the exposure's middle; where only one is, an exposure under that very spectrum takes it as it is, any other none.
    Sigma is propagated by the weights; spectra err independently.

    ``known_until_s``: spectra that ended later are not known yet, and take no part. ``causal``: each exposure takes
    the last spectrum that had ended by its own end, so that no value waits for a later one. Spectra without a finite
    column and sigma take no part. Raises ValueError for arrays of different lengths or a negative gap.
    """
    t, length = np.asarray(image_time_s, np.float64), np.asarray(image_exposure_s, np.float64)
    s, duration, value, sigma = (
        np.asarray(each, np.float64) for each in (spectrum_time_s, spectrum_exposure_s, column, column_sigma)
    )
    if t.shape != length.shape or not (s.shape == duration.shape == value.shape == sigma.shape):
        raise ValueError("times, exposures and columns must be as many")
    if not maximum_gap_s >= 0:
        raise ValueError("the largest gap in time must be zero or more")
    known = np.isfinite(s) & np.isfinite(duration) & np.isfinite(value) & np.isfinite(sigma)
    if known_until_s is not None:
        known &= s + duration / 2 <= known_until_s
    order = np.flatnonzero(known)[np.argsort(s[known], kind="stable")]
    s, duration, value, sigma = s[order], duration[order], value[order], sigma[order]
    if s.size == 0:
        nothing = np.full(t.shape, np.nan)
        return MatchedPoints(nothing, nothing.copy(), nothing.copy(), np.zeros(t.shape), np.zeros(t.shape, np.bool_))
    weights = np.zeros((t.size, s.size))
    for index in range(t.size):
        if np.isfinite(t[index]) and np.isfinite(length[index]):
            if causal:
                _latest(weights[index], t[index] + length[index] / 2, s, duration)
            elif not _overlapping(weights[index], t[index], length[index], s, duration):
                _interpolated(weights[index], t[index], length[index], s, duration, maximum_gap_s)
    total = weights.sum(axis=1)
    nearest = np.where(weights > 0, np.abs(s - t[:, None]), np.inf)
    gap = nearest.min(axis=1)
    matched = (total > 0) & (gap <= maximum_gap_s)
    share = weights / np.where(total > 0, total, 1.0)[:, None]
    effective = 1 / np.where(matched, (share**2).sum(axis=1), 1.0)
    return MatchedPoints(
        column=np.where(matched, share @ value, np.nan),
        column_sigma=np.where(matched, np.sqrt(share**2 @ sigma**2), np.nan),
        gap_s=np.where(matched, gap, np.nan),
        spectra=np.where(matched, effective, 0.0),
        matched=matched,
    )


def overlap_weights(
    image_time_s: FloatArray, image_exposure_s: FloatArray, spectrum_time_s: FloatArray, spectrum_exposure_s: FloatArray
) -> FloatArray:
    """Return each image's weight in the mean over each spectrum's exposure, (S, N); rows sum to 1, or to 0 without.

    By the time that both were exposed. For cameras faster than their spectrometer: a stack of images averaged over
    the spectra has independent columns.
    """
    begin = np.maximum(
        (image_time_s - image_exposure_s / 2)[None, :], (spectrum_time_s - spectrum_exposure_s / 2)[:, None]
    )
    end = np.minimum(
        (image_time_s + image_exposure_s / 2)[None, :], (spectrum_time_s + spectrum_exposure_s / 2)[:, None]
    )
    overlap = np.maximum(end - begin, 0.0)
    total = overlap.sum(axis=1, keepdims=True)
    return np.asarray(np.where(total > 0, overlap / np.where(total > 0, total, 1.0), 0.0))


def _latest(weights: FloatArray, end: float, s: FloatArray, duration: FloatArray) -> None:
    ended = np.flatnonzero(s + duration / 2 <= end)
    if ended.size:
        weights[ended[-1]] = 1.0


def _overlapping(weights: FloatArray, time: float, length: float, s: FloatArray, duration: FloatArray) -> bool:
    """Weigh the spectra under a long exposure by their overlap; return whether they cover most of it."""
    overlap = np.minimum(time + length / 2, s + duration / 2) - np.maximum(time - length / 2, s - duration / 2)
    under = overlap > 0
    if not under.any() or length < float(duration[under].max()) or float(overlap[under].sum()) < 0.5 * length:
        return False
    weights[under] = overlap[under]
    return True


def _interpolated(
    weights: FloatArray, time: float, length: float, s: FloatArray, duration: FloatArray, maximum_gap_s: float
) -> None:
    instants = time + length * ((np.arange(_INSTANTS) + 0.5) / _INSTANTS - 0.5)
    after = int(np.searchsorted(s, time))
    near = [index for index in (after - 1, after) if 0 <= index < s.size and abs(s[index] - time) <= maximum_gap_s]
    if len(near) == 2:
        for instant in instants:
            later = int(np.clip(np.searchsorted(s, instant), 1, s.size - 1))
            if max(abs(s[later - 1] - time), abs(s[later] - time)) > maximum_gap_s:
                later = near[1]  # the exposure reaches past the two, and what lies there is too far away
            run = s[later] - s[later - 1]
            share = float(np.clip((instant - s[later - 1]) / run, 0.0, 1.0)) if run > 0 else 0.5
            weights[later - 1] += 1 - share
            weights[later] += share
    elif len(near) == 1 and abs(s[near[0]] - time) <= duration[near[0]] / 2:
        weights[near[0]] = 1.0
