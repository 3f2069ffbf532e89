"""Correlation of two profiles at every shift of either sign, with samples missing and trends that stand still."""

from typing import Final

import numpy as np
import numpy.typing as npt
from numpy.polynomial import legendre
from scipy import fft
from scipy.ndimage import gaussian_filter1d
from scipy.ndimage import shift as moved_by

from so2cam.core.records import FloatArray

BoolArray = npt.NDArray[np.bool_]

_SMOOTHING: Final = 1.5
"""Gaussian sigma [samples] that profiles are smoothed with: white noise, interpolated, would prefer whole shifts."""
MINIMUM_SAMPLES: Final = 24
"""Fewest samples that a shift is found from."""
_NEAR: Final = 2
"""Whole shifts on either side of the best one that its place between samples is found from."""
_THROUGH: Final = np.linalg.inv(np.vander(np.arange(-_NEAR, _NEAR + 1.0), increasing=True))
"""Takes values at these shifts to the coefficients of the polynomial through them."""


def prepared(values: FloatArray, known: BoolArray, order: int) -> tuple[FloatArray, BoolArray]:
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


def correlations(profiles: FloatArray, known: BoolArray, limit: int) -> tuple[FloatArray, FloatArray]:
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


def coherence_samples(profiles: FloatArray, known: BoolArray) -> float:
    """Return how many samples one independent sample is worth (Bartlett 1946), from the first zero crossing on."""
    auto = _autocovariance(np.where(known, profiles, 0.0))
    product = (auto[0] / auto[0, 0]) * (auto[1] / auto[1, 0])
    negative = np.flatnonzero((auto[0] <= 0) | (auto[1] <= 0))
    end = int(negative[0]) if negative.size else product.size
    return 1 + 2 * float(np.sum(product[1:end]))


def ambiguous(correlation: FloatArray, best: int, independent: float) -> bool:
    """Return whether another peak of the correlation is as good as the best one within 1 sigma of Fisher's z."""
    filled = np.where(np.isfinite(correlation), correlation, -1.0)
    inner = filled[1:-1]
    peaks = np.flatnonzero((inner > filled[:-2]) & (inner >= filled[2:])) + 1
    others = filled[peaks[peaks != best]]
    if others.size == 0:
        return False
    z = np.arctanh(np.clip([filled[best], others.max()], -1 + 1e-12, 1 - 1e-12))
    return bool(z[0] - z[1] < 1 / np.sqrt(independent))


def refined(profiles: FloatArray, known: BoolArray, best: int, order: int) -> tuple[float, float, float]:
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
    if np.count_nonzero(used) < MINIMUM_SAMPLES // 2:
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


def shift_uncertainty(profiles: FloatArray, known: BoolArray, shift: float, order: int) -> float:
    """Return 1 sigma of ``shift`` by linearised least squares, trends of ``order`` taken off; NaN where unknown."""
    index = np.arange(profiles.shape[1])
    filled = [np.interp(index, index[k], p[k]) for p, k in zip(profiles, known, strict=True)]
    source = index - shift
    here = (source >= 0) & (source <= index[-1]) & known[1]
    here &= np.interp(source, index, known[0].astype(np.float64)) > 0.999
    moved = moved_by(filled[0], shift, order=3, mode="nearest")
    if np.count_nonzero(here) < MINIMUM_SAMPLES // 2:
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
    return (
        float(np.sqrt(product_variance(both[0], both[1], int(here.sum()) - (order + 3) * 2.5 * _SMOOTHING)))
        / information
    )


def product_variance(residual: FloatArray, slope: FloatArray, count: float) -> float:
    """Return the variance of ``sum residual slope`` (N,), both 0 where unknown, from their own autocovariances.

    ``count`` is how many samples are known, less those that fits have used up. A sum of few independent products
    varies by more than its own scatter tells: by ``m / (m - 3)`` with m of them.
    """
    of_residual, of_slope = _autocovariance(np.stack([residual, slope]))
    # Beyond its first zero a slope's autocovariance holds little, and the residual's noise much.
    negative = np.flatnonzero(of_slope <= 0)
    end = int(negative[0]) if negative.size else of_slope.size
    products = (of_residual * of_slope)[:end] / max(count, 1.0)
    alone = float(products[0])
    if alone <= 0:
        return 0.0
    variance = max(alone + 2 * float(np.sum(products[1:])), alone)
    independent = max(count * alone / variance, 6.0)
    return variance * independent / (independent - 3)
