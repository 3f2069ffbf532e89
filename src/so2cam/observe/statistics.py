"""Statistics of a frame or spectrum: brightest pixels, percentiles, histogram, saturated share, whether it is dark.

Counts of a frame are uint16 and hold ``scale`` times the DN (16 where 4 x 4 raw pixels were averaged). All results are
in DN, or shares of the full scale. Everything comes from one histogram of the counts, so that it costs a millisecond.
"""

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from so2cam.core.records import FloatArray

Counts = npt.NDArray[np.uint16]

SATURATION_FRACTION: Final = 0.98
"""Counts from this share of the full scale up are saturated."""
_BLOCK_PX: Final = 16
_STEP_VARIANCE: Final = 1 / 12
"""Of rounding to whole counts; noise larger than that averages it out."""


@dataclass(frozen=True, slots=True)
class Histogram:
    """How often each count occurs. ``occurrences`` (N,) belong to the counts 0 to N - 1, each ``1 / scale`` DN."""

    occurrences: npt.NDArray[np.int64]
    scale: int

    @property
    def pixels(self) -> int:
        """How many pixels it holds."""
        return int(self.occurrences.sum())

    def percentile_dn(self, percent: float) -> float:
        """Return the count [DN] that ``percent`` of the pixels do not exceed; NaN without pixels."""
        if not 0 <= percent <= 100:
            raise ValueError(f"a percentile is from 0 to 100, got {percent}")
        cumulative = np.cumsum(self.occurrences)
        total = int(cumulative[-1]) if cumulative.size else 0
        if total == 0:
            return math.nan
        wanted = max(1, math.ceil(total * percent / 100))
        return float(np.searchsorted(cumulative, wanted)) / self.scale

    def brightest_dn(self, pixels: int) -> float:
        """Return the mean [DN] of the ``pixels`` brightest pixels, or of all where there are fewer; NaN without."""
        if pixels < 1:
            raise ValueError(f"needs at least one pixel, got {pixels}")
        filled = np.flatnonzero(self.occurrences)[::-1]
        if filled.size == 0:
            return math.nan
        number = self.occurrences[filled]
        taken = np.minimum(np.maximum(pixels - (np.cumsum(number) - number), 0), number)
        return float(np.sum(filled * taken) / np.sum(taken)) / self.scale

    def share_from(self, dn: float) -> float:
        """Return the share of pixels with ``dn`` [DN] or more; NaN without pixels."""
        total = self.pixels
        if total == 0:
            return math.nan
        first = max(0, math.ceil(dn * self.scale - 1e-9))
        return float(self.occurrences[first:].sum()) / total

    def binned(self, bins: int, maximum_dn: float) -> npt.NDArray[np.int64]:
        """Return the occurrences in ``bins`` equal bins from 0 to ``maximum_dn`` [DN], for a plot: shape (bins,).

        The last bin holds ``maximum_dn`` itself and whatever is above.
        """
        counts = np.arange(self.occurrences.size) / self.scale
        index = np.minimum((counts / maximum_dn * bins).astype(np.int64), bins - 1)
        return np.bincount(index, weights=self.occurrences, minlength=bins).astype(np.int64)


def make_histogram(counts: Counts, scale: int = 1, rows: tuple[int, int] | None = None) -> Histogram:
    """Return the histogram of ``counts`` (rows, columns), or of the rows (first, last) only.

    Raises ValueError for another type, and for rows that the image does not have.
    """
    if counts.dtype != np.uint16:
        raise ValueError(f"counts must be uint16, got {counts.dtype}")
    if scale < 1:
        raise ValueError(f"scale must be 1 or more, got {scale}")
    return Histogram(np.bincount(_chosen_rows(counts, rows).ravel()).astype(np.int64, copy=False), scale)


def _chosen_rows(counts: Counts, rows: tuple[int, int] | None) -> Counts:
    if rows is None:
        return counts
    first, last = rows
    if counts.ndim != 2 or not 0 <= first <= last < counts.shape[0]:
        raise ValueError(f"rows {rows} are not all within an image of shape {counts.shape}")
    return counts[first : last + 1]


@dataclass(frozen=True, slots=True)
class LightLevel:
    """How bright a frame or spectrum is, as shares of the full scale with the dark level taken off.

    ``bright`` is the mean of the brightest pixels and ``middle`` the median; ``saturated_share`` of the pixels that
    count are saturated. ``clipped`` says that ``bright`` is a lower limit only. ``uncertainty`` is 1 sigma of
    ``bright`` from the counts' steps and the spread of the brightest pixels. NaN: not measured.
    """

    bright: float
    middle: float
    saturated_share: float
    clipped: bool
    uncertainty: float

    @property
    def measured(self) -> bool:
        """Whether the level is a number."""
        return math.isfinite(self.bright) and math.isfinite(self.middle)


NO_LEVEL: Final = LightLevel(math.nan, math.nan, math.nan, clipped=False, uncertainty=math.nan)


def frame_level(
    counts: Counts,
    *,
    scale: int,
    maximum_dn: float,
    dark_dn: float = 0.0,
    brightest_pixels: int = 100,
    rows: tuple[int, int] | None = None,
) -> LightLevel:
    """Return the level of the frame ``counts`` (rows, columns), uint16, ``scale`` times the DN.

    ``dark_dn`` [DN] is the count without light and ``maximum_dn`` the full scale. Rows beyond the image are left out;
    where none is left, all rows count. Raises ValueError as ``make_histogram`` does.
    """
    if rows is not None:
        last = min(rows[1], counts.shape[0] - 1)
        rows = (rows[0], last) if rows[0] <= last else None
    histogram = make_histogram(counts, scale, rows)
    bright = histogram.brightest_dn(brightest_pixels)
    limit = SATURATION_FRACTION * maximum_dn
    pixels = histogram.pixels
    share = histogram.share_from(limit)
    taken = min(brightest_pixels, pixels)
    span = maximum_dn - dark_dn
    if pixels == 0 or span <= 0:
        return NO_LEVEL
    return LightLevel(
        bright=(bright - dark_dn) / span,
        middle=(histogram.percentile_dn(50) - dark_dn) / span,
        saturated_share=share,
        clipped=share * pixels > 0.5 * taken,
        uncertainty=_spread(histogram, brightest_pixels) / span,
    )


def _spread(histogram: Histogram, pixels: int) -> float:
    """Return 1 sigma [DN] of the brightest pixels' mean: from their spread, or the counts' step if larger."""
    filled = np.flatnonzero(histogram.occurrences)[::-1]
    number = histogram.occurrences[filled]
    taken = np.minimum(np.maximum(pixels - (np.cumsum(number) - number), 0), number)
    total = int(taken.sum())
    mean = float(np.sum(filled * taken)) / total
    variance = float(np.sum(taken * (filled - mean) ** 2)) / total
    return math.sqrt(variance / total if variance > _STEP_VARIANCE else _STEP_VARIANCE) / histogram.scale


def spectrum_level(
    wavelengths_nm: FloatArray,
    counts: FloatArray,
    *,
    saturation_counts: float,
    dark_counts: float = 0.0,
    window_nm: tuple[float, float],
    brightest_pixels: int = 2,
    saturated_share: float | None = None,
) -> LightLevel:
    """Return the level of a spectrum (N,) within ``window_nm``; all of it where no pixel lies within.

    ``saturated_share`` is that of the single readouts, where the device knows it: their mean hides saturation.
    Pixels that are no finite number are left out. Raises ValueError for arrays of different shapes.
    """
    if wavelengths_nm.shape != counts.shape or counts.ndim != 1:
        raise ValueError(f"needs two arrays of one shape (N,), got {wavelengths_nm.shape} and {counts.shape}")
    inside = (wavelengths_nm >= window_nm[0]) & (wavelengths_nm <= window_nm[1])
    chosen = counts[inside] if np.any(inside) else counts
    chosen = np.sort(chosen[np.isfinite(chosen)])
    span = saturation_counts - dark_counts
    if chosen.size == 0 or span <= 0:
        return NO_LEVEL
    top = chosen[-min(brightest_pixels, chosen.size) :]
    above = float(np.mean(chosen >= SATURATION_FRACTION * saturation_counts))
    share = above if saturated_share is None else max(above, saturated_share)
    clipped = bool(np.mean(top >= SATURATION_FRACTION * saturation_counts) > 0.5)
    return LightLevel(
        bright=(float(top.mean()) - dark_counts) / span,
        middle=(float(np.median(chosen)) - dark_counts) / span,
        saturated_share=share,
        clipped=clipped,
        uncertainty=math.sqrt(float(top.var()) / top.size + _STEP_VARIANCE) / span,
    )


@dataclass(frozen=True, slots=True)
class DarkCheck:
    """Whether a frame or spectrum has no light in it, and why not. Values in DN."""

    dark: bool
    reason: str
    median_dn: float
    structure_dn: float
    """brightest minus median, of block means (16 x 16 pixels; 16 pixels of a spectrum)"""


def is_dark(
    counts: npt.NDArray[np.generic],
    *,
    scale: int = 1,
    maximum_dn: float,
    expected_dn: float | None = None,
    tolerance_dn: float | None = None,
    highest_share: float = 0.1,
) -> DarkCheck:
    """Check that ``counts`` (rows, columns) or (N,) were taken without light.

    A dark is low (median below ``highest_share`` of the full scale, and within ``tolerance_dn`` of ``expected_dn``
    where that is known) and even: no block's mean is more than the tolerance above the median. The tolerance is
    1 % of the full scale if absent. Hot pixels hardly change a block's median, which is what counts.
    """
    if counts.size == 0 or counts.ndim not in (1, 2):
        raise ValueError(f"needs counts of shape (rows, columns) or (N,), got {counts.shape}")
    tolerance = 0.01 * maximum_dn if tolerance_dn is None else tolerance_dn
    values = counts.astype(np.float64) / scale
    if not np.all(np.isfinite(values)):
        return DarkCheck(False, "some counts are no finite numbers", math.nan, math.nan)
    median = float(np.median(values))
    structure = float(np.max(_block_medians(values))) - median
    if median > highest_share * maximum_dn:
        reason = f"the median is {median:.1f} DN, above {highest_share:.0%} of the full scale"
    elif expected_dn is not None and abs(median - expected_dn) > tolerance:
        reason = f"the median is {median:.1f} DN, expected {expected_dn:.1f} within {tolerance:.1f}"
    elif structure > tolerance:
        reason = f"a part of it is {structure:.1f} DN brighter than the rest, more than {tolerance:.1f}"
    else:
        return DarkCheck(True, "", median, structure)
    return DarkCheck(False, reason, median, structure)


def _block_medians(values: FloatArray) -> FloatArray:
    """Return medians of blocks of 16 pixels (each way); an incomplete block at an edge is left out."""
    if values.ndim == 1:
        whole = values.size // _BLOCK_PX * _BLOCK_PX
        if whole == 0:
            return np.array([np.median(values)])
        return np.asarray(np.median(values[:whole].reshape(-1, _BLOCK_PX), axis=1), np.float64)
    rows, columns = (size // _BLOCK_PX * _BLOCK_PX for size in values.shape)
    if rows == 0 or columns == 0:
        return np.array([np.median(values)])
    blocks = values[:rows, :columns].reshape(rows // _BLOCK_PX, _BLOCK_PX, columns // _BLOCK_PX, _BLOCK_PX)
    return np.asarray(np.median(blocks, axis=(1, 3)), np.float64)


def looks_like_noise(counts: Counts, *, scale: int = 1, maximum_dn: float) -> bool:
    """Return whether a frame holds nothing but random numbers, as a broken cable gives them.

    In light, neighbouring pixels are alike, and shot noise is below some per cent of the full scale; so counts that
    spread over more than a tenth of the full scale (from the tenth to the ninetieth percentile: some hot pixels do not
    matter) without any likeness of neighbours (correlation below 0.2) are no picture. A sample of rows is looked at.
    """
    if counts.ndim != 2 or min(counts.shape) < _BLOCK_PX:
        return False
    rows = counts[:: max(1, counts.shape[0] // 32)].astype(np.float32) / np.float32(scale)
    low, high = np.percentile(rows, (10, 90))
    if high - low < 0.1 * maximum_dn:
        return False
    difference = float(np.mean(np.diff(rows, axis=1) ** 2))
    return 1 - difference / (2 * float(rows.var())) < 0.2
