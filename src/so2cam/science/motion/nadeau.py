"""Plume speed from the shift of the absorbance along the plume's axis between two images (Nadeau et al. 2011).

P. A. Nadeau, J. L. Palma and G. P. Waite, Linking volcanic tremor, degassing, and eruption dynamics via SO2 imaging,
Geophys. Res. Lett. 38, L01304, doi:10.1029/2010GL045820, 2011: the profile of absorbance from the vent along the
plume is correlated with that of the next image, and the shift of best correlation over the time between them is the
speed along the plume, ``v = L / dt``. Only its component across a line carries gas through the line.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
from numpy.polynomial import legendre
from scipy import fft
from scipy.ndimage import gaussian_filter1d
from scipy.ndimage import shift as moved_by
from scipy.special import ndtri

from so2cam.core.records import BoolImage, FloatArray, FloatImage
from so2cam.core.status import EmissionStatus
from so2cam.science.emission.lines import sample_image
from so2cam.science.motion.statistics import main_direction

BoolArray = npt.NDArray[np.bool_]

_SMOOTHING: Final = 1.5
"""Gaussian sigma [samples] that profiles are smoothed with: white noise, interpolated, would prefer whole shifts."""
_MINIMUM_SAMPLES: Final = 24
_CHANCE: Final = 1e-3
"""Probability with which unrelated profiles may pass as correlated."""
_WIDEST: Final = np.pi / 3
"""Largest half-width [rad], two sigma, of a plume's directions from its source."""
_NEAR: Final = 2
"""Whole shifts on either side of the best one that its place between samples is found from."""
_THROUGH: Final = np.linalg.inv(np.vander(np.arange(-_NEAR, _NEAR + 1.0), increasing=True))
"""Takes values at these shifts to the coefficients of the polynomial through them."""
_RINGS: Final = 16
"""Rings about the source in which the plume's middle is found."""


@dataclass(frozen=True, slots=True)
class Shift:
    """The way [samples of the profile] that the second profile lies further along than the first, and 1 sigma.

    ``correlation`` is that of both at the best shift, wherever there is one. Anything but ``status`` OK means that
    there is no shift to use; it is NaN.
    """

    shift_px: float
    uncertainty_px: float
    correlation: float
    status: EmissionStatus


@dataclass(frozen=True, slots=True)
class Axis:
    """The direction (x, y; unit vector, y downward) in which the plume leaves its source. NaN unless OK.

    ``direction_deg`` is that direction, 0 up, 90 right, ``uncertainty_deg`` 1 sigma of it, and ``spread_deg`` 1 sigma
    of the plume's directions about it, as seen from the source.
    """

    direction: tuple[float, float]
    direction_deg: float
    uncertainty_deg: float
    spread_deg: float
    status: EmissionStatus


def plume_axis(
    absorbance: FloatImage,
    valid: BoolImage,
    source_xy: tuple[float, float],
    *,
    threshold: float,
    minimum_distance_px: float = 20.0,
    maximum_distance_px: float = np.inf,
) -> Axis:
    """Return the direction of the plume in ``absorbance`` (rows, columns) as seen from ``source_xy`` [px].

    Pixels above ``threshold`` between the two distances, weighted with their absorbance, which makes every
    distance count alike for a plume of constant emission rate. The main mode of their directions (see
    ``statistics.main_direction``) leaves out a second plume and clouds; within two sigma of it the plume's middle
    is found in rings about the source, and the axis is the median of the rings' directions. A ring counts where the
    range lies within the image. Uncertainty: scatter of the rings, as for the median of independent ones
    (``1.253 sigma / sqrt(n)``), so that a plume that bends has a large one.

    NO_PLUME: fewer than 50 pixels above the threshold. FLOW_UNRELIABLE: their main mode is wider than 60 degrees
    either side, or it is seen in fewer than 4 rings.
    """
    x0, y0 = source_xy
    # Every second row and column: a plume is wider than that.
    value, known = absorbance[::2, ::2], valid[::2, ::2]
    dx = 2 * np.arange(value.shape[1], dtype=np.float32)[None, :] - np.float32(x0)
    dy = 2 * np.arange(value.shape[0], dtype=np.float32)[:, None] - np.float32(y0)
    squared = dx * dx + dy * dy
    plume = known & (value > threshold) & (squared >= max(minimum_distance_px, 2.0) ** 2)
    plume &= squared <= maximum_distance_px**2
    row, column = np.nonzero(plume)
    if row.size < 50:
        return _no_axis(EmissionStatus.NO_PLUME)
    distance = np.sqrt(squared[row, column].astype(np.float64))
    weight = value[row, column].astype(np.float64)
    sin, cos = dx[0, column] / distance, -dy[row, 0] / distance
    mean, sigma, _ = main_direction(sin, cos, weight)
    half_range = max(2 * sigma, np.radians(2.0))
    if half_range > _WIDEST:
        return _no_axis(EmissionStatus.FLOW_UNRELIABLE)
    # Turned so that the main direction is at zero, angles within the range cannot wrap.
    ahead, aside = cos * np.cos(mean) + sin * np.sin(mean), sin * np.cos(mean) - cos * np.sin(mean)
    inside = ahead >= np.cos(half_range)
    distance, weight, aside, ahead = distance[inside], weight[inside], aside[inside], ahead[inside]
    edges = np.linspace(distance.min(), distance.max() + 1e-6, _RINGS + 1)
    ring = np.searchsorted(edges, distance, side="right") - 1
    middle = np.arctan2(np.bincount(ring, weight * aside, _RINGS), np.bincount(ring, weight * ahead, _RINGS))
    ends = mean + half_range * np.array([[-1.0], [1.0]])
    end_x, end_y = x0 + edges[1:] * np.sin(ends), y0 - edges[1:] * np.cos(ends)
    rows, columns = absorbance.shape
    complete = np.all((end_x >= 0) & (end_x <= columns - 1) & (end_y >= 0) & (end_y <= rows - 1), axis=0)
    used = middle[complete & (np.bincount(ring, minlength=_RINGS) >= 5)]
    if used.size < 4:
        return _no_axis(EmissionStatus.FLOW_UNRELIABLE)
    angle = mean + float(np.median(used))
    scatter = 1.4826 * float(np.median(np.abs(used - np.median(used))))
    return Axis(
        direction=(float(np.sin(angle)), float(-np.cos(angle))),
        direction_deg=float(np.degrees(angle) % 360),
        uncertainty_deg=float(np.degrees(1.253 * scatter / np.sqrt(used.size))),
        spread_deg=float(np.degrees(sigma)),
        status=EmissionStatus.OK,
    )


def axis_profile(
    absorbance: FloatImage,
    valid: BoolImage,
    source_xy: tuple[float, float],
    direction: tuple[float, float],
    *,
    length_px: float,
    half_width_px: int = 0,
) -> FloatArray:
    """Return ``absorbance`` (N,) at every pixel of way from ``source_xy`` along ``direction`` (unit vector x, y).

    Mean over parallels up to ``half_width_px`` beside the axis. NaN where one of them is masked or outside.
    """
    along = np.arange(int(length_px) + 1)
    beside = np.arange(-half_width_px, half_width_px + 1)[:, None]
    x = source_xy[0] + along * direction[0] - beside * direction[1]
    y = source_xy[1] + along * direction[1] + beside * direction[0]
    return np.asarray(sample_image(absorbance, valid, x.ravel(), y.ravel()).reshape(x.shape).mean(axis=0))


def profile_shift(
    first: FloatArray,
    second: FloatArray,
    *,
    maximum_shift: float,
    minimum_correlation: float = 0.5,
    trend_order: int = 2,
) -> Shift:
    """Return the shift of ``second`` along the profile against ``first``, both (N,), equally spaced, NaN if masked.

    A polynomial of ``trend_order`` is taken off each profile: a plume thins out away from its source, and this mean
    profile stands still; a straight line leaves too much of it. Pearson's correlation of what overlaps (at least half
    of the samples that the sparser profile has) is found at every whole shift of either sign up to
    ``maximum_shift`` [samples]. About the best one it is found again with trends of the overlap alone, and the
    polynomial through five of these has its maximum at the shift.

    Uncertainty: linearised least squares, with the residual's own autocorrelation,
    ``sigma^2 = sum_k R_e(k) R_s(k) / I^2`` with e the residual after shift and scaling, s the slope of the profile,
    R their autocovariances, and I the slopes' product of both profiles (independent noise of the two does not add
    to it); and in quadrature how far the shift moves with a trend of one order more. Of a standing profile with more
    detail than that it knows nothing: the shift of a plume without texture is drawn towards zero. Where profiles of
    many images are at hand, take their mean off both beforehand.

    TOO_FEW_SAMPLES: fewer than 24 that overlap. NO_CORRELATION: none above ``minimum_correlation``, or not beyond
    chance for the number of independent samples and shifts. LAG_NOT_RESOLVED: the best shift lies at the edge of
    the search, another is as good within 1 sigma (Fisher's z), as for puffs in a regular row, or the maximum is
    due to the trends.
    """
    if first.ndim != 1 or first.shape != second.shape:
        raise ValueError(f"profiles must be (N,) and alike, got {first.shape} and {second.shape}")
    nan = float("nan")
    known = np.isfinite(np.stack([first, second]))
    samples = int(known.sum(axis=1).min())
    if samples < _MINIMUM_SAMPLES:
        return Shift(nan, nan, nan, EmissionStatus.TOO_FEW_SAMPLES)
    prepared = [
        _prepared(np.asarray(v, np.float64), k, trend_order) for v, k in zip((first, second), known, strict=True)
    ]
    largest = max(float(np.max(np.abs(v[k]))) for v, k in zip((first, second), known, strict=True))
    profiles, known = np.stack([p for p, _ in prepared]), np.stack([k for _, k in prepared])
    samples = int(known.sum(axis=1).min())
    if samples < _MINIMUM_SAMPLES:
        return Shift(nan, nan, nan, EmissionStatus.TOO_FEW_SAMPLES)
    if float(np.min(np.std(profiles, axis=1))) <= 1e-9 * largest:
        return Shift(nan, nan, nan, EmissionStatus.NO_CORRELATION)
    limit = max(int(min(maximum_shift, first.size - 1)), 1)
    correlation, overlap = _correlations(profiles, known, limit)
    correlation[overlap < max(samples / 2, _MINIMUM_SAMPLES)] = nan
    if not np.isfinite(correlation).any():
        return Shift(nan, nan, nan, EmissionStatus.TOO_FEW_SAMPLES)
    best = int(np.nanargmax(correlation))
    peak = float(correlation[best])
    coherence = _coherence_samples(profiles, known)
    independent = max(float(overlap[best]) / coherence - 3, 1.0)
    trials = max(np.count_nonzero(np.isfinite(correlation)) / coherence, 1.0)
    chance = float(np.tanh(-ndtri(_CHANCE / trials) / np.sqrt(independent)))
    if peak < max(minimum_correlation, chance):
        return Shift(nan, nan, peak, EmissionStatus.NO_CORRELATION)
    at_edge = not 0 < best < correlation.size - 1 or not np.isfinite(correlation[best - 1 : best + 2]).all()
    if at_edge or _ambiguous(correlation, best, independent):
        return Shift(nan, nan, peak, EmissionStatus.LAG_NOT_RESOLVED)
    shift, peak, by_trend = _refined(profiles, known, best - limit, trend_order)
    sigma = _shift_uncertainty(profiles, known, shift, trend_order) if abs(shift) <= limit - 0.5 else nan
    if not np.isfinite(sigma):
        return Shift(nan, nan, peak, EmissionStatus.LAG_NOT_RESOLVED)
    return Shift(shift, float(np.hypot(sigma, by_trend)), peak, EmissionStatus.OK)


def projected_shift(
    shift: Shift, axis_direction: tuple[float, float], normal: tuple[float, float]
) -> tuple[float, float]:
    """Return the component of ``shift`` along a line's ``normal`` (x, y) and 1 sigma: times their angle's cosine.

    ``axis_direction`` (x, y) is the direction in which the profile runs. NaN where the shift is not OK.
    """
    if shift.status is not EmissionStatus.OK:
        return float("nan"), float("nan")
    lengths = np.hypot(*axis_direction) * np.hypot(*normal)
    cosine = float((axis_direction[0] * normal[0] + axis_direction[1] * normal[1]) / lengths)
    return shift.shift_px * cosine, shift.uncertainty_px * abs(cosine)


def _no_axis(status: EmissionStatus) -> Axis:
    nan = float("nan")
    return Axis((nan, nan), nan, nan, nan, status)


def _prepared(values: FloatArray, known: BoolArray, order: int) -> tuple[FloatArray, BoolArray]:
    """Return a profile (N,) without its trend, smoothed, 0 where it is not known, and where it is.

    Samples beside a gap or an end, whose neighbourhood is one-sided, are not.
    """
    position = np.linspace(-1, 1, values.size)
    basis = legendre.legvander(position, order)
    used = basis[known]
    coefficients = np.linalg.solve(used.T @ used, used.T @ values[known])
    flat = np.where(known, values - basis @ coefficients, 0.0)
    weight = gaussian_filter1d(known.astype(np.float64), _SMOOTHING, mode="constant")
    smooth = gaussian_filter1d(flat, _SMOOTHING, mode="constant") / np.maximum(weight, 1e-12)
    solid = known & (weight > 0.95)
    return np.where(solid, smooth, 0.0), solid


def _correlations(profiles: FloatArray, known: BoolArray, limit: int) -> tuple[FloatArray, FloatArray]:
    """Return Pearson's correlation and the number of pairs (2 limit + 1,) at shifts -limit to limit.

    All sums over the overlap by Fourier transforms (Padfield 2012).
    """
    size = profiles.shape[1]
    padded = fft.next_fast_len(2 * size, real=True)
    mask = known.astype(np.float64)
    transforms = fft.rfft(np.stack([mask, profiles, profiles**2]), padded, axis=-1)
    one, value, square = np.conj(transforms[:, 0])
    one2, value2, square2 = transforms[:, 1]
    products = np.stack([one * one2, value * one2, one * value2, square * one2, one * square2, value * value2])
    lags = np.arange(-limit, limit + 1)
    count, a, b, aa, bb, ab = fft.irfft(products, padded, axis=-1)[:, lags % padded]
    count = np.maximum(np.rint(count), 1.0)
    variance = np.maximum(aa - a * a / count, 0) * np.maximum(bb - b * b / count, 0)
    scale = np.sqrt(variance)
    # Where one of the two is flat but for rounding there is nothing to correlate.
    solid = scale > 1e-10 * np.sqrt(np.sum(profiles[0] ** 2) * np.sum(profiles[1] ** 2))
    correlation = np.divide(ab - a * b / count, scale, out=np.full(count.shape, np.nan), where=solid)
    return correlation, count


def _autocovariance(values: FloatArray) -> FloatArray:
    """Return ``sum_i v_i v_(i+k)`` (..., N) for k from 0, of ``values`` (..., N)."""
    padded = fft.next_fast_len(2 * values.shape[-1], real=True)
    power = np.abs(fft.rfft(values, padded, axis=-1)) ** 2
    return np.asarray(fft.irfft(power, padded, axis=-1)[..., : values.shape[-1]])


def _coherence_samples(profiles: FloatArray, known: BoolArray) -> float:
    """Return how many samples one independent sample is worth (Bartlett 1946), from the first zero crossing on."""
    auto = _autocovariance(np.where(known, profiles, 0.0))
    product = (auto[0] / auto[0, 0]) * (auto[1] / auto[1, 0])
    negative = np.flatnonzero((auto[0] <= 0) | (auto[1] <= 0))
    end = int(negative[0]) if negative.size else product.size
    return 1 + 2 * float(np.sum(product[1:end]))


def _ambiguous(correlation: FloatArray, best: int, independent: float) -> bool:
    """Return whether another peak of the correlation is as good as the best one within 1 sigma of Fisher's z."""
    filled = np.where(np.isfinite(correlation), correlation, -1.0)
    inner = filled[1:-1]
    peaks = np.flatnonzero((inner > filled[:-2]) & (inner >= filled[2:])) + 1
    others = filled[peaks[peaks != best]]
    if others.size == 0:
        return False
    z = np.arctanh(np.clip([filled[best], others.max()], -1 + 1e-12, 1 - 1e-12))
    return bool(z[0] - z[1] < 1 / np.sqrt(independent))


def _refined(profiles: FloatArray, known: BoolArray, best: int, order: int) -> tuple[float, float, float]:
    """Return the shift of best correlation near ``best``, that correlation, and what the trend's order is worth.

    At each whole shift the trend is fitted anew to what overlaps, the same samples of the pattern in both
    profiles; the last number is how far the best shift moves with a trend of one order more. NaN where the
    correlation keeps rising away from ``best``.
    """
    size = profiles.shape[1]
    # A polynomial shifted is a polynomial of the same order: one basis serves every overlap.
    basis = np.asarray(legendre.legvander(np.linspace(-1, 1, size), order + 1), np.float64)
    values: dict[int, tuple[float, float]] = {}
    for _ in range(6):
        for lag in range(best - _NEAR, best + _NEAR + 1):
            if lag not in values:
                values[lag] = _trendless_correlations(profiles, known, lag, basis) if abs(lag) < size else (-1.0, -1.0)
        top = max(range(best - _NEAR, best + _NEAR + 1), key=lambda lag: values[lag][0])
        if abs(top - best) < _NEAR:
            break
        best = top
    else:
        return float("nan"), values[best][0], float("nan")
    table = np.array([values[lag] for lag in range(best - _NEAR, best + _NEAR + 1)])
    place, peak = _polynomial_peak(table[:, 0])
    other, _ = _polynomial_peak(table[:, 1])
    return best + place, peak, abs(other - place)


def _trendless_correlations(profiles: FloatArray, known: BoolArray, lag: int, basis: FloatArray) -> tuple[float, float]:
    """Return the correlation at a whole shift, without the trends of ``basis`` but the last, and without all."""
    size = profiles.shape[1]
    first, second = slice(max(-lag, 0), size - max(lag, 0)), slice(max(lag, 0), size - max(-lag, 0))
    used = known[0, first] & known[1, second]
    if np.count_nonzero(used) < _MINIMUM_SAMPLES // 2:
        return -1.0, -1.0
    both = np.stack([profiles[0, first][used], profiles[1, second][used]])
    trends = np.linalg.qr(basis[first][used])[0]
    parts = both @ trends
    # Orthonormal trends: what they hold is taken off the products, the last one only for the second result.
    product = both @ both.T
    without = product - parts[:, :-1] @ parts[:, :-1].T
    without_more = without - np.outer(parts[:, -1], parts[:, -1])
    results = [
        float(matrix[0, 1] / np.sqrt(max(matrix[0, 0] * matrix[1, 1], 1e-300))) for matrix in (without, without_more)
    ]
    return results[0], results[1]


def _polynomial_peak(values: FloatArray) -> tuple[float, float]:
    """Return place and height of the maximum of the polynomial through ``values`` (2 _NEAR + 1,), 0 in the middle.

    Within one place of the largest value.
    """
    curve = np.polynomial.Polynomial(_THROUGH @ values)
    slope, bend = curve.deriv(), curve.deriv(2)
    top = float(np.argmax(values) - _NEAR)
    place = top
    for _ in range(8):
        curvature = float(bend(place))
        if curvature >= 0:
            break
        step = -float(slope(place)) / curvature
        place = min(max(place + step, top - 1, -_NEAR), top + 1, _NEAR)
        if abs(step) < 1e-6:
            break
    return place, float(curve(place))


def _shift_uncertainty(profiles: FloatArray, known: BoolArray, shift: float, order: int) -> float:
    index = np.arange(profiles.shape[1])
    filled = [np.interp(index, index[k], p[k]) for p, k in zip(profiles, known, strict=True)]
    source = index - shift
    here = (source >= 0) & (source <= index[-1]) & known[1]
    here &= np.interp(source, index, known[0].astype(np.float64)) > 0.999
    moved = moved_by(filled[0], shift, order=3, mode="nearest")
    if np.count_nonzero(here) < _MINIMUM_SAMPLES // 2:
        return float("nan")
    # Both are smooth on the scale of a sample, so that differences of neighbours are slopes.
    series = np.stack([moved, filled[1], np.gradient(moved), np.gradient(filled[1])])[:, here]
    trends = np.linalg.qr(legendre.legvander(np.linspace(-1, 1, index.size)[here], order))[0]
    model, target, slope, target_slope = series - (series @ trends) @ trends.T
    power = float(np.sum(model * model))
    if power <= 0:
        return float("nan")
    scale = float(np.sum(model * target)) / power
    information = scale * float(np.sum(slope * target_slope))
    if information <= 0:
        return float("nan")
    both = np.zeros((2, index.size))
    both[0, here] = target - scale * model
    both[1, here] = scale * slope
    residual, slopes = _autocovariance(both)
    count = int(here.sum())
    products = residual * slopes / max(count - (order + 3) * 2.5 * _SMOOTHING, 1.0)
    variance = float(products[0] + 2 * np.sum(products[1:]))
    return float(np.sqrt(max(variance, 0.0))) / information
