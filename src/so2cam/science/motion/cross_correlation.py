"""Plume speed from the lag between the columns that pass two lines (McGonigle 2005)."""

from dataclasses import dataclass

import numpy as np
from scipy.interpolate import CubicSpline

from so2cam.core.records import FloatArray
from so2cam.core.status import EmissionStatus


@dataclass(frozen=True, slots=True)
class Lag:
    """The time [s] by which the second series follows the first, 1 sigma of it, and their correlation there.

    Anything but ``status`` OK means that ``lag_s`` must not be used; it is NaN.
    """

    lag_s: float
    uncertainty_s: float
    correlation: float
    status: EmissionStatus


def find_lag(
    times_s: FloatArray,
    first: FloatArray,
    second: FloatArray,
    *,
    maximum_lag_s: float,
    minimum_samples: int,
    minimum_correlation: float,
) -> Lag:
    """Return the lag of ``second`` behind ``first``, both sampled at ``times_s`` (N,), either sign.

    The series are detrended by a straight line. At every trial lag one is interpolated by a cubic spline at the
    other's shifted times, both ways round, over what overlaps (at least half of the series); the correlation
    coefficient is averaged over both and its maximum refined below the sampling interval. Uncertainty:
    linearised least squares, ``sigma^2 = sigma_e^2 c / sum(slope^2)``, with the residual variance after shift and
    scaling and the correction c for its autocorrelation.

    NaN samples are left out. Fewer than ``minimum_samples``: TOO_FEW_SAMPLES. A maximum below
    ``minimum_correlation``, or not beyond chance for the number of independent samples (3 sigma of Fisher's z):
    NO_CORRELATION. A maximum at the edge of the search, or a lag within 2 sigma of zero: LAG_NOT_RESOLVED.
    """
    good = np.isfinite(first) & np.isfinite(second) & np.isfinite(times_s)
    t, a, b = times_s[good], first[good], second[good]
    if t.size < minimum_samples or np.ptp(t) <= 0:
        return _none(EmissionStatus.TOO_FEW_SAMPLES)
    t = t - t.mean()
    a, b = _detrended(t, a), _detrended(t, b)
    if a.std() == 0 or b.std() == 0:
        return _none(EmissionStatus.NO_CORRELATION)
    step = float(np.median(np.diff(t)))
    limit = min(maximum_lag_s, 0.5 * float(np.ptp(t)))
    spline_a, spline_b = CubicSpline(t, a), CubicSpline(t, b)

    def correlation(lag: float) -> float:
        forward = _overlap_correlation(t, a, spline_b, lag)
        backward = _overlap_correlation(t, b, spline_a, -lag)
        return 0.5 * (forward + backward)

    trials = np.arange(-np.floor(limit / step * 2), np.floor(limit / step * 2) + 1) * step / 2
    values = np.array([correlation(lag) for lag in trials])
    if not np.isfinite(values).any():
        return _none(EmissionStatus.TOO_FEW_SAMPLES)
    best = int(np.nanargmax(values))
    peak = float(values[best])
    independent = t.size / max(1.0, _correlation_samples(a, b))
    chance = np.tanh(3 / np.sqrt(max(independent - 3, 1.0)))
    if peak < minimum_correlation or peak < chance:
        return Lag(float("nan"), float("nan"), peak, EmissionStatus.NO_CORRELATION)
    if best in (0, trials.size - 1):
        return Lag(float("nan"), float("nan"), peak, EmissionStatus.LAG_NOT_RESOLVED)
    fine = np.linspace(trials[best - 1], trials[best + 1], 41)
    fine_values = np.array([correlation(lag) for lag in fine])
    top = int(np.nanargmax(fine_values))
    near = slice(max(top - 4, 0), top + 5)
    curve = np.polyfit(fine[near] - fine[top], fine_values[near], 2)
    lag = float(fine[top])
    if curve[0] < 0:
        lag += float(np.clip(-curve[1] / (2 * curve[0]), fine[near][0] - fine[top], fine[near][-1] - fine[top]))
    sigma = _lag_uncertainty(t, a, b, spline_a, lag)
    if abs(lag) < 2 * sigma:
        return Lag(float("nan"), sigma, peak, EmissionStatus.LAG_NOT_RESOLVED)
    return Lag(lag, sigma, float(fine_values[top]), EmissionStatus.OK)


def speed_from_lag(lag: Lag, distance_m: float) -> tuple[float, float]:
    """Return speed and 1 sigma [m s-1] of a plume that takes ``lag`` over ``distance_m``: ``v = b / lag``.

    NaN where the lag is not OK.
    """
    if lag.status is not EmissionStatus.OK:
        return float("nan"), float("nan")
    speed = distance_m / lag.lag_s
    return speed, abs(speed) * lag.uncertainty_s / abs(lag.lag_s)


def _none(status: EmissionStatus) -> Lag:
    return Lag(float("nan"), float("nan"), float("nan"), status)


def _detrended(t: FloatArray, values: FloatArray) -> FloatArray:
    slope, offset = np.polyfit(t, values, 1)
    return np.asarray(values - slope * t - offset)


def _overlap_correlation(t: FloatArray, series: FloatArray, other: CubicSpline, lag: float) -> float:
    shifted = t + lag
    inside = (shifted >= t[0]) & (shifted <= t[-1])
    if int(inside.sum()) < max(4, t.size // 2):
        return float("nan")
    x, y = series[inside], np.asarray(other(shifted[inside]))
    x, y = x - x.mean(), y - y.mean()
    scale = float(np.sqrt(np.sum(x * x) * np.sum(y * y)))
    return float(np.sum(x * y)) / scale if scale > 0 else float("nan")


def _correlation_samples(a: FloatArray, b: FloatArray) -> float:
    """Return how many samples one independent sample is worth (Bartlett 1946), from the first zero crossing on."""
    total = 1.0
    for k in range(1, a.size // 2):
        rho_a = float(np.sum(a[k:] * a[:-k]) / np.sum(a * a))
        rho_b = float(np.sum(b[k:] * b[:-k]) / np.sum(b * b))
        if rho_a <= 0 or rho_b <= 0:
            break
        total += 2 * (1 - k / a.size) * rho_a * rho_b
    return total


def _lag_uncertainty(t: FloatArray, a: FloatArray, b: FloatArray, spline_a: CubicSpline, lag: float) -> float:
    shifted = t - lag
    inside = (shifted >= t[0]) & (shifted <= t[-1])
    model = np.asarray(spline_a(shifted[inside]))
    slope = np.asarray(spline_a(shifted[inside], 1))
    target = b[inside] - b[inside].mean()
    model = model - model.mean()
    scale = float(np.sum(model * target) / np.sum(model * model))
    residual = target - scale * model
    variance = float(np.sum(residual**2)) / max(residual.size - 3, 1)
    rho = float(np.sum(residual[1:] * residual[:-1]) / max(float(np.sum(residual**2)), 1e-300))
    rho = min(max(rho, 0.0), 0.95)
    inflation = (1 + rho) / (1 - rho)
    information = scale**2 * float(np.sum(slope**2))
    return float(np.sqrt(variance * inflation / information)) if information > 0 else float("inf")
