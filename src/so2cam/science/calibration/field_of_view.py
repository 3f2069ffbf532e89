"""Where in the camera's image a spectrometer looks: the disc whose mean absorbance follows its column densities best.

Every pixel's series is correlated with the columns (Luebcke 2013), the best places are refined to a part of a pixel
together with the radius, and the shape of the likelihood about the best disc gives the uncertainty.
"""

import math
from dataclasses import dataclass
from enum import IntEnum
from itertools import product
from typing import Final

import numpy as np

from so2cam.core.records import FloatArray, FloatImage
from so2cam.science.calibration.correlation_map import (
    BoolStack,
    Deviations,
    Stack,
    block_deviations,
    correlation_map,
    deviations,
    smoothed_maps,
)
from so2cam.science.calibration.view_weights import discs

RADIUS_LIMITS: Final = (0.005, 0.15)
"""Smallest and largest radius that is searched, over the shorter side of the image."""

MINIMUM_TIMES: Final = 15
MINIMUM_COUNT_SHARE: Final = 0.5
"""Share of the times at which a pixel must be valid to take part."""

MAXIMUM_FALSE_ALARM: Final = 0.2
"""Probability that some place of the image correlates as well by chance, above which nothing was found."""

MINIMUM_CORRELATION: Final = 0.7
"""Correlation below which a place is doubted: less than half of the columns' variance is explained."""

_SMALLEST_RADIUS_PX = 0.5
_COARSE_SIDE = 64
_STARTS = 3
_WORTH = 0.8
"""Least correlation of a start, over that of the best one."""
_NEIGHBOURHOOD = 0.08
"""Least distance of two starts, over the shorter side of the image."""
_ROUNDS = 25
_FINEST = 0.2
"""Step at which a refinement ends, over that of its start."""
_ROUGH_ROUNDS = 8
_ROUGH = 0.4
"""The same where it only decides which start to go on with."""
_MINIMUM_SHARE = 0.5
_PIXEL_MOMENT = 1 / 3
"""A pixel is a mean over its own width: a disc of radius r then spreads as one of ``r^2 + 1/3`` does (px^2)."""
_PIXELATION_PX = (0.03, 0.03, 0.1)
"""1 sigma of x, y, radius from structures smaller than a pixel."""
_LARGEST_SHIFT = math.log(1.5)
_TUKEY_TUNING = 4.685
_PARAMETERS = 5
"""x, y, radius, and the line of columns on means"""
_FLOOR = 0.1
"""1 sigma of a column is not believed below this share of the columns' own scatter."""

_PATTERN = np.array([each for each in product((-1.0, 0.0, 1.0), repeat=3) if np.count_nonzero(each) != 2])
"""A central composite design: the middle, a step along each axis, and the corners."""
_MIDDLE = int(np.flatnonzero(~_PATTERN.any(axis=1))[0])
_TERMS = np.column_stack(
    [
        np.ones(len(_PATTERN)),
        _PATTERN,
        0.5 * _PATTERN**2,
        _PATTERN[:, 0] * _PATTERN[:, 1],
        _PATTERN[:, 0] * _PATTERN[:, 2],
        _PATTERN[:, 1] * _PATTERN[:, 2],
    ]
)
_TO_PARABOLOID = np.linalg.pinv(_TERMS)


class ViewStatus(IntEnum):
    """Whether a field of view was found, or why not."""

    OK = 0
    TOO_FEW_TIMES = 1
    NO_USABLE_PIXELS = 2
    NOT_SIGNIFICANT = 3
    AMBIGUOUS = 4
    NOT_DETERMINED = 5
    POOR_CORRELATION = 6


VIEW_TEXT: Final[dict[ViewStatus, str]] = {
    ViewStatus.OK: "valid",
    ViewStatus.TOO_FEW_TIMES: "too few times with both an image and a column density that varies",
    ViewStatus.NO_USABLE_PIXELS: "no pixels that are valid often enough",
    ViewStatus.NOT_SIGNIFICANT: "no place correlates with the spectrometer beyond chance",
    ViewStatus.AMBIGUOUS: "two distant places correlate about equally well",
    ViewStatus.NOT_DETERMINED: "the correlation has no peak: the plume is the same all around",
    ViewStatus.POOR_CORRELATION: "the best place explains less than half of the columns' variance",
}


@dataclass(frozen=True, slots=True, eq=False)
class ViewSearch:
    """A field of view and how sure it is. Pixels; (0, 0) is the centre of the top-left one.

    ``x``, ``y``, ``radius`` with their ``covariance`` (3, 3) are NaN where the status is TOO_FEW_TIMES,
    NO_USABLE_PIXELS or NOT_SIGNIFICANT; otherwise they are the best disc, which other statuses doubt.
    ``radius_determined`` is False where the radius has no peak of its own within the limits: it then is the best one,
    and its 1 sigma how far others may be from it. ``correlation`` is that
    of its mean with the columns, ``correlation_map`` (rows, columns) of each single pixel, ``rival`` (x, y,
    correlation) the best disc elsewhere, NaN without one. ``effective_times`` is how many independent times there
    are, ``false_alarm`` the probability to find such a correlation somewhere by chance, ``weights`` (T,) how much
    each time counted.
    """

    status: ViewStatus
    x: float
    y: float
    radius: float
    covariance: FloatArray
    radius_determined: bool
    correlation: float
    correlation_map: FloatImage
    rival: tuple[float, float, float]
    effective_times: float
    false_alarm: float
    weights: FloatArray

    @property
    def sigma(self) -> tuple[float, float, float]:
        """1 sigma of x, y and radius [px]."""
        x, y, radius = np.sqrt(np.diag(self.covariance))
        return float(x), float(y), float(radius)


@dataclass(frozen=True, slots=True, eq=False)
class _Disc:
    """A place on the way to the best: x, y, ln radius, and the misfit 1 - r^2 there."""

    place: FloatArray
    misfit: float


def search_by_correlation(
    absorbance: Stack,
    valid: BoolStack,
    column: FloatArray,
    column_sigma: FloatArray,
    *,
    radius_limits: tuple[float, float] = RADIUS_LIMITS,
    minimum_times: int = MINIMUM_TIMES,
    minimum_correlation: float = MINIMUM_CORRELATION,
) -> ViewSearch:
    """Find the disc whose mean of ``absorbance`` (T, rows, columns) correlates best with ``column`` (T,).

    ``valid`` as ``absorbance``: pixels may be masked anywhere, at any time. Where absorbance is curved in column
    density, columns by the band's curve may stand for absorbances. Times without a column, or whose ``column_sigma``
    is not finite, are left out; the others count by their sigma, which is not believed below a tenth of the columns'
    scatter. ``radius_limits`` are relative to the image's shorter side, so that the same view is found at every
    resolution (but never below half a pixel).

    The misfit is ``1 - r^2``, the residual variance about the line of columns on means. Over the residual variance
    found, and times the number of independent residuals, it is twice the negative logarithm of the likelihood; its
    curvature about the best disc gives the covariance. Outliers in time are down-weighted (Tukey's biweight) in the
    last refinement. Raises ValueError for arrays that do not fit together.
    """
    _check(absorbance, valid, column, column_sigma)
    shape = (absorbance.shape[1], absorbance.shape[2])
    weights = _time_weights(column, column_sigma)
    times = int(np.count_nonzero(weights))
    empty = np.full(shape, np.nan, np.float32)
    if times < minimum_times or not np.ptp(column[weights > 0]) > 0:
        return _nothing(ViewStatus.TOO_FEW_TIMES, empty, weights)
    stack = deviations(absorbance, valid, weights, max(int(MINIMUM_COUNT_SHARE * times), 3))
    if not stack.usable.any():
        return _nothing(ViewStatus.NO_USABLE_PIXELS, empty, weights)
    pixels = correlation_map(stack, column, weights)
    side = min(shape)
    limits = (max(radius_limits[0] * side, _SMALLEST_RADIUS_PX), max(radius_limits[1] * side, 2 * _SMALLEST_RADIUS_PX))
    starts = _starts(stack, column, weights, limits)
    if not starts:
        return _nothing(ViewStatus.NOT_SIGNIFICANT, pixels, weights)
    rough = (_refined(stack, column, weights, start, limits, finest=_ROUGH, rounds=_ROUGH_ROUNDS) for start in starts)
    found = sorted(rough, key=lambda disc: disc.misfit)
    robust = _without_outliers(stack, column, weights, found[0].place)
    best = _refined(stack, column, robust, found[0].place, limits, coarsest=_ROUGH)
    means = _means(stack, best.place)
    correlation = float(_correlations(stack, column, robust, best.place[None])[0][0])
    effective = _independent_residuals(means, column, robust)
    # Chance is judged with all times at their stated weights: without its outliers any series correlates better.
    plain = float(_correlations(stack, column, weights, best.place[None])[0][0])
    independent = _independent_residuals(means, column, weights)
    false_alarm = _false_alarm(plain, independent, pixels)
    if not (false_alarm <= MAXIMUM_FALSE_ALARM and _surroundings(pixels, best.place) > 2 / math.sqrt(independent)):
        return _nothing(ViewStatus.NOT_SIGNIFICANT, pixels, weights, false_alarm)
    # Twice the logarithm of the likelihood falls by this times what the misfit rises.
    certainty = max(effective - _PARAMETERS, 1.0) / max(1 - correlation**2, 1e-9)
    place, covariance, determined, sized = _covariance(best, certainty, stack, column, robust, limits)
    rival, ambiguous = _rival(found, stack, column, robust, best, certainty, side)
    status = ViewStatus.OK if determined else ViewStatus.NOT_DETERMINED
    if ambiguous:
        status = ViewStatus.AMBIGUOUS
    if correlation < minimum_correlation:
        status = ViewStatus.POOR_CORRELATION
    return ViewSearch(
        status=status,
        x=float(place[0]),
        y=float(place[1]),
        radius=math.sqrt(math.exp(2 * place[2]) + _PIXEL_MOMENT),
        covariance=covariance + np.diag(np.square(_PIXELATION_PX)),
        radius_determined=sized,
        correlation=correlation,
        correlation_map=pixels,
        rival=rival,
        effective_times=effective,
        false_alarm=false_alarm,
        weights=robust,
    )


def _check(absorbance: Stack, valid: BoolStack, column: FloatArray, column_sigma: FloatArray) -> None:
    if absorbance.ndim != 3 or absorbance.shape != valid.shape:
        raise ValueError("images and their masks must have the same shape (times, rows, columns)")
    if column.shape != (absorbance.shape[0],) or column_sigma.shape != column.shape:
        raise ValueError("there must be one column density with its uncertainty per image")


def _nothing(
    status: ViewStatus, pixels: FloatImage, weights: FloatArray, false_alarm: float = float("nan")
) -> ViewSearch:
    nan = float("nan")
    return ViewSearch(
        status, nan, nan, nan, np.full((3, 3), nan), False, nan, pixels, (nan, nan, nan), nan, false_alarm, weights
    )


def _time_weights(column: FloatArray, column_sigma: FloatArray) -> FloatArray:
    """Return the weights of the times (T,), at most 1; 0 where there is no column."""
    used = np.isfinite(column) & np.isfinite(column_sigma) & (column_sigma >= 0)
    if not used.any():
        return np.zeros(column.shape)
    floor = _FLOOR * 1.4826 * float(np.median(np.abs(column[used] - np.median(column[used]))))
    variance = np.where(used, column_sigma, 1.0) ** 2 + floor**2
    smallest = float(variance[used].min())
    if smallest == 0:
        return used.astype(np.float64)
    return np.where(used, smallest / variance, 0.0)


def _starts(
    stack: Deviations, column: FloatArray, weights: FloatArray, limits: tuple[float, float]
) -> list[FloatArray]:
    """Return places (x, y, ln radius) from which to refine: peaks of the correlation with squares of several sizes."""
    factor = max(min(stack.usable.shape) // _COARSE_SIDE, 1)
    blocks = block_deviations(stack, factor)
    largest = limits[1] / factor
    halves = [0]
    while (2 * halves[-1] + 1) / np.sqrt(np.pi) * 2 < largest:
        halves.append(2 * halves[-1] + 1)
    maps = smoothed_maps(blocks, column, weights, halves, _MINIMUM_SHARE)
    best, size = maps.max(axis=0), maps.argmax(axis=0)
    apart = max(_NEIGHBOURHOOD * min(best.shape), 2.0)
    y, x = np.indices(best.shape)
    starts: list[FloatArray] = []
    worth = _WORTH * float(best.max())
    for _ in range(_STARTS):
        row, column_ = np.unravel_index(int(np.argmax(best)), best.shape)
        if best[row, column_] <= max(worth, 0.0):
            break
        radius = np.clip((2 * halves[size[row, column_]] + 1) / np.sqrt(np.pi) * factor, *limits)
        centre = (np.array([column_, row]) + 0.5) * factor - 0.5
        starts.append(np.array([centre[0], centre[1], np.log(radius)]))
        best = np.where((y - row) ** 2 + (x - column_) ** 2 < apart**2, -1.0, best)
    return starts


def _series(stack: Deviations, places: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return the mean deviation in discs (K, 3: x, y, ln radius) at every time, with its valid share and noise.

    Mean and share have the shape (T, K); the noise (K,) is the variance of a mean by that of single pixels.
    """
    circles = np.column_stack([places[:, :2], np.exp(places[:, 2])])
    rows_limit, columns_limit = stack.usable.shape
    low = np.floor((circles[:, :2] - circles[:, 2:]).min(axis=0)).astype(int) - 1
    high = np.ceil((circles[:, :2] + circles[:, 2:]).max(axis=0)).astype(int) + 2
    columns = slice(min(max(low[0], 0), columns_limit - 1), max(min(high[0], columns_limit), 1))
    rows = slice(min(max(low[1], 0), rows_limit - 1), max(min(high[1], rows_limit), 1))
    areas = discs(rows, columns, circles) * stack.usable[rows, columns].reshape(-1, 1)
    values = stack.values[:, rows, columns].reshape(stack.values.shape[0], -1).astype(np.float64) @ areas
    full = np.pi * circles[:, 2] ** 2
    if stack.valid is None:
        there = np.broadcast_to(areas.sum(axis=0), values.shape)
    else:
        there = stack.valid[:, rows, columns].reshape(stack.values.shape[0], -1).astype(np.float64) @ areas
    noise = stack.noise**2 * (areas**2).sum(axis=0) / np.maximum(areas.sum(axis=0), 1e-9) ** 2
    if stack.valid is not None:
        noise = noise * areas.sum(axis=0) / np.maximum(there.mean(axis=0), 1e-9)
    return values / np.maximum(there, 1e-9), there / full, noise


def _means(stack: Deviations, place: FloatArray) -> FloatArray:
    """Return the mean deviation (T,) in a disc (3,); NaN where too little of it is valid."""
    series, there, _ = _series(stack, place[None])
    return np.where(there[:, 0] >= _MINIMUM_SHARE, series[:, 0], np.nan)


def _misfits(stack: Deviations, column: FloatArray, weights: FloatArray, places: FloatArray) -> FloatArray:
    """Return ``1 - r^2`` for discs (K, 3)."""
    return np.asarray(1 - _correlations(stack, column, weights, places)[0] ** 2)


def _correlations(
    stack: Deviations, column: FloatArray, weights: FloatArray, places: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Return the correlation r of columns with the means in discs (K, 3), and the share of noise in a mean's variance.

    r is 0 where it is negative, and where a disc lies mostly outside the image or is masked.
    """
    series, there, noise = _series(stack, places)
    w = weights[:, None] * (there >= _MINIMUM_SHARE)
    total = np.maximum(w.sum(axis=0), 1e-30)
    y = np.where(weights > 0, column, 0.0)[:, None]
    dx, dy = series - (w * series).sum(axis=0) / total, y - (w * y).sum(axis=0) / total
    variance = (w * dx**2).sum(axis=0) / total
    product = variance * (w * dy**2).sum(axis=0) / total
    enough = (total > 0.5 * weights.sum()) & (product > 0)
    r = np.where(enough, (w * dx * dy).sum(axis=0) / total / np.sqrt(np.where(enough, product, 1.0)), 0.0)
    return np.clip(r, 0.0, 1.0), np.where(enough, noise / np.where(enough, variance, 1.0), 0.0)


def _refined(
    stack: Deviations,
    column: FloatArray,
    weights: FloatArray,
    start: FloatArray,
    limits: tuple[float, float],
    *,
    coarsest: float = 1.0,
    finest: float = _FINEST,
    rounds: int = _ROUNDS,
) -> _Disc:
    """Return the best disc near ``start``: paraboloids through the misfit of 15 discs, ever closer together."""
    low, high = np.log(limits[0]), np.log(limits[1])
    best = _Disc(start, 1.0)
    place, spread = start.copy(), coarsest
    for _ in range(rounds):
        place[2] = np.clip(place[2], low, high)
        step = spread * np.array([1.0, 1.0, 0.0]) * max(0.4 * float(np.exp(place[2])), 0.5)
        step[2] = 0.3 * spread
        values = _misfits(stack, column, weights, place + step * _PATTERN)
        if values[_MIDDLE] <= best.misfit:
            best = _Disc(place.copy(), float(values[_MIDDLE]))
        lowest = int(np.argmin(values))
        move = _PATTERN[lowest]
        if lowest == _MIDDLE:
            paraboloid = _TO_PARABOLOID @ values
            curvature = _curvature(paraboloid)
            eigenvalues = np.linalg.eigvalsh(curvature)
            if eigenvalues[0] > 1e-3 * eigenvalues[-1] > 0:
                move = -np.linalg.solve(curvature, paraboloid[1:4])
                move = move / max(float(np.max(np.abs(move))), 1.0)
        target = place + step * move
        target[2] = np.clip(target[2], low, high)
        if float(np.max(np.abs(target - place) / step)) < 0.9:
            spread /= 2
            if spread < finest:
                break
        place = target
    return best


def _curvature(paraboloid: FloatArray) -> FloatArray:
    a = paraboloid
    return np.array([[a[4], a[7], a[8]], [a[7], a[5], a[9]], [a[8], a[9], a[6]]])


def _line_residuals(means: FloatArray, column: FloatArray, weights: FloatArray) -> FloatArray:
    """Return the residuals (N,) of columns about their line on the means, at the times that count."""
    used = (weights > 0) & np.isfinite(means)
    x, y, w = means[used], column[used], weights[used]
    dx, dy = x - (w @ x) / w.sum(), y - (w @ y) / w.sum()
    return np.asarray(dy - (w @ (dx * dy)) / (w @ dx**2) * dx)


def _without_outliers(stack: Deviations, column: FloatArray, weights: FloatArray, place: FloatArray) -> FloatArray:
    means = _means(stack, place)
    used = (weights > 0) & np.isfinite(means)
    out = weights.copy()
    for _ in range(10):
        residual = np.zeros_like(column)
        kept = (out > 0) & used
        if np.count_nonzero(kept) < 5:
            return weights
        w, x, y = out[kept], means[kept], column[kept]
        dx, dy = x - (w @ x) / w.sum(), y - (w @ y) / w.sum()
        slope = (w @ (dx * dy)) / (w @ dx**2)
        offset = (w @ y) / w.sum() - slope * (w @ x) / w.sum()
        residual[used] = (column[used] - offset - slope * means[used]) * np.sqrt(weights[used])
        sigma = 1.4826 * float(np.median(np.abs(residual[used])))
        if sigma == 0:
            return weights
        factor = (1 - np.minimum((residual / (_TUKEY_TUNING * sigma)) ** 2, 1.0)) ** 2
        out = np.where(used, weights * factor, weights * 0)
    return out


def _lag_one(values: FloatArray) -> float:
    """Return the correlation of successive values, freed of its bias (Kendall 1954), between 0 and 0.95."""
    centred = values - values.mean()
    total = float(centred @ centred)
    if values.size < 6 or total == 0:
        return 0.0
    found = float(centred[1:] @ centred[:-1]) / total
    return float(np.clip((found * values.size + 1) / (values.size - 3), 0.0, 0.95))


def _independent_residuals(means: FloatArray, column: FloatArray, weights: FloatArray) -> float:
    """Return the number of independent residuals of columns about their line on the means."""
    persistence = _lag_one(_line_residuals(means, column, weights))
    return float(weights.sum() / weights.max()) * (1 - persistence) / (1 + persistence)


def _false_alarm(correlation: float, independent: float, pixels: FloatImage) -> float:
    """Return the probability of such a correlation somewhere by chance.

    By Fisher's transform, for as many places as the map of correlations has that differ from their neighbours.
    """
    if independent <= 4:
        return 1.0
    # Place and radius were chosen to please: three parameters gain three units of chi-squared by chance.
    square = math.atanh(min(correlation, 1 - 1e-12)) ** 2 * (independent - 3) - 3
    deviation = math.sqrt(max(square, 0.0))
    places = float(np.isfinite(pixels).sum())
    for ahead, behind in ((pixels[1:], pixels[:-1]), (pixels[:, 1:], pixels[:, :-1])):
        both = np.isfinite(ahead) & np.isfinite(behind)
        if both.sum() > 2 and ahead[both].std() > 0 and behind[both].std() > 0:
            alike = float(np.clip(np.corrcoef(ahead[both], behind[both])[0, 1], 0.0, 0.99))
            places *= 1 - alike
    single = 0.5 * math.erfc(deviation / math.sqrt(2))
    return float(-np.expm1(max(places, 1.0) * np.log1p(-single)))


def _surroundings(pixels: FloatImage, place: FloatArray) -> float:
    """Return the median correlation of single pixels at and about a disc: a plume's never stands alone, noise does."""
    y, x = np.indices(pixels.shape)
    reach = max(float(np.exp(place[2])), 1.5) + 0.5
    near = ((x - place[0]) ** 2 + (y - place[1]) ** 2 <= reach**2) & np.isfinite(pixels)
    return float(np.median(pixels[near])) if near.any() else 0.0


def _covariance(
    best: _Disc,
    certainty: float,
    stack: Deviations,
    column: FloatArray,
    weights: FloatArray,
    limits: tuple[float, float],
) -> tuple[FloatArray, FloatArray, bool, bool]:
    """Return x, y, ln radius, the covariance (3, 3) of x, y, radius, and whether place and size are determined.

    A radius at its limit, or without a peak of its own, leaves x and y those at that radius; its 1 sigma is then how
    far it may grow or shrink until the data speak against it.
    """
    nothing = np.full((3, 3), np.nan)
    radius = float(np.exp(best.place[2]))
    smallest = np.array([0.1 * max(radius, 1.0), 0.1 * max(radius, 1.0), 0.05])
    step = 3 * smallest
    place = best.place.copy()
    information = np.zeros((3, 3))
    for _ in range(3):  # the curvature over the range that the uncertainty spans, and its vertex
        paraboloid = _TO_PARABOLOID @ _misfits(stack, column, weights, place + step * _PATTERN)
        curvature = _curvature(paraboloid)
        information = 0.5 * certainty * curvature / np.outer(step, step)
        if not _positive(information):
            step = 1.5 * step
            continue
        place = place + step * np.clip(-np.linalg.solve(curvature, paraboloid[1:4]), -0.7, 0.7)
        place[2] = np.clip(place[2], *np.log(limits))
        step = np.clip(np.sqrt(np.diag(np.linalg.inv(information))), smallest, 6 * smallest)
    radius = float(np.exp(place[2]))
    inside = limits[0] * 1.02 < radius < limits[1] / 1.02
    to_pixels = np.array([1.0, 1.0, radius])
    if inside and _positive(information):
        covariance: FloatArray = np.asarray(np.linalg.inv(information), np.float64)
        shift = _noise_shift(stack, column, weights, place, certainty, covariance)
        place = place + shift
        covariance = (covariance + np.diag([0.0, 0.0, (0.5 * shift[2]) ** 2])) * np.outer(to_pixels, to_pixels)
        return place, covariance, True, True
    if not _positive(information[:2, :2]):
        return best.place, nothing, False, False
    fixed = np.zeros((3, 3))
    fixed[:2, :2] = np.linalg.inv(information[:2, :2])
    radii = np.geomspace(*limits, 40)
    places = np.column_stack([np.full(40, best.place[0]), np.full(40, best.place[1]), np.log(radii)])
    against = certainty * (_misfits(stack, column, weights, places) - best.misfit)
    possible = radii[against < 1.0]
    reach = float(np.max(np.abs(possible - radius))) if possible.size else 0.0
    fixed[2, 2] = max(reach, 0.1 * radius) ** 2
    return best.place, fixed, True, False


def _noise_shift(
    stack: Deviations,
    column: FloatArray,
    weights: FloatArray,
    place: FloatArray,
    certainty: float,
    covariance: FloatArray,
) -> FloatArray:
    """Return what to add to x, y, ln radius (3,), as the noise of single pixels favours discs that are too large.

    It adds ``r^2 noise / variance`` to the misfit, which falls as the disc's area grows: the minimum without it lies
    one Newton step away. At most a factor of 1.5 in radius; half of it is added to its uncertainty.
    """
    r, share = _correlations(stack, column, weights, place[None])
    slope = np.array([0.0, 0.0, 2 * float(r[0]) ** 2 * float(share[0])])
    shift = -0.5 * certainty * covariance @ slope
    return np.asarray(shift * min(1.0, _LARGEST_SHIFT / max(float(np.abs(shift[2])), 1e-30)))


def _positive(matrix: FloatArray) -> bool:
    values = np.linalg.eigvalsh(matrix)
    return bool(values[0] > 1e-6 * values[-1] > 0)


def _rival(
    found: list[_Disc],
    stack: Deviations,
    column: FloatArray,
    weights: FloatArray,
    best: _Disc,
    certainty: float,
    side: int,
) -> tuple[tuple[float, float, float], bool]:
    """Return the best disc away from the best, and whether the data prefer the best to it by less than 1 sigma."""
    nan = float("nan")
    for other in found[1:]:
        apart = float(np.hypot(*(other.place[:2] - best.place[:2])))
        if apart > max(_NEIGHBOURHOOD * side, float(np.exp(best.place[2]))):
            misfit = float(_misfits(stack, column, weights, other.place[None])[0])
            correlation = float(np.sqrt(1 - misfit))
            preferred = certainty * (misfit - best.misfit)
            return (float(other.place[0]), float(other.place[1]), correlation), preferred < 1.0
    return (nan, nan, nan), False
