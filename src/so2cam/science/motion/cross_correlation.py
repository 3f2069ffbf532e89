"""Plume speed from the lag between the columns that pass two lines (McGonigle 2005)."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.interpolate import CubicSpline
from scipy.stats import norm

from so2cam.core.records import FloatArray
from so2cam.core.status import EmissionStatus

_CHANCE = 0.005
"""Share of unrelated pairs of series that are allowed to look related."""
_ROUNDING = 1e-9
"""Scatter over size below which a series is constant but for rounding."""
_AUTOCOVARIANCE_LAGS = 40
"""Sampling intervals over which autocovariances are summed."""
_FADE = 0.1
"""Share of the overlap at each end that is faded in and out."""


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
    other's shifted times, both ways round, over what overlaps (at least half of the series, and not across gaps
    of more than three sampling intervals); the correlation coefficient is averaged over both. The lag is where it
    is most significant for the number of samples that overlap, refined below the sampling interval.

    Uncertainty: that of the maximum of a cross-covariance, ``sigma = sigma_D / |C''|``. C'' is its curvature, to
    which noise does not contribute; sigma_D^2 the variance of its slope, from the autocovariances of one series'
    derivative and of what the other does not share with it (Bartlett 1946).

    NaN samples are left out. Fewer than ``minimum_samples``: TOO_FEW_SAMPLES. A maximum below
    ``minimum_correlation``, or one that chance reaches once in two hundred unrelated pairs of series, for all lags
    tried and the number of independent samples: NO_CORRELATION. A maximum at the edge of the search, or a lag
    within 2 sigma of zero: LAG_NOT_RESOLVED.
    """
    good = np.isfinite(first) & np.isfinite(second) & np.isfinite(times_s)
    t, a, b = times_s[good], first[good], second[good]
    if t.size < minimum_samples or np.ptp(t) <= 0:
        return _none(EmissionStatus.TOO_FEW_SAMPLES)
    t = t - t.mean()
    a_scale, b_scale = float(np.abs(a).max()), float(np.abs(b).max())
    a, b = _detrended(t, a), _detrended(t, b)
    if a.std() <= _ROUNDING * a_scale or b.std() <= _ROUNDING * b_scale:
        return _none(EmissionStatus.NO_CORRELATION)
    step = float(np.median(np.diff(t)))
    limit = min(maximum_lag_s, 0.5 * float(np.ptp(t)))
    pair = _Pair(t, a / a.std(), b / b.std(), step)

    reach = np.floor(limit / step * 2)
    trials = np.arange(-reach, reach + 1) * step / 2
    values = np.array([pair.correlation(lag) for lag in trials])
    if not np.isfinite(values).any():
        return _none(EmissionStatus.TOO_FEW_SAMPLES)
    overlaps = np.array([pair.overlap(lag) for lag in trials])
    worth = _correlation_samples(pair.first, pair.second)
    freedom = np.maximum(overlaps / worth - 3, 0.5)
    score = np.arctanh(np.clip(values, -0.999999, 0.999999)) * np.sqrt(freedom)
    best = int(np.nanargmax(score))
    peak = float(values[best])
    independent_lags = max(2 * limit / (step * worth), 1.0)
    if peak < minimum_correlation or score[best] < norm.isf(_CHANCE / independent_lags):
        return Lag(float("nan"), float("nan"), peak, EmissionStatus.NO_CORRELATION)
    while 0 < best < trials.size - 1 and max(values[best - 1], values[best + 1]) > values[best]:
        best += 1 if values[best + 1] > values[best - 1] else -1
    if best in (0, trials.size - 1):
        return Lag(float("nan"), float("nan"), peak, EmissionStatus.LAG_NOT_RESOLVED)
    lag, curvature = pair.refine(float(trials[best]))
    sigma = pair.lag_uncertainty(lag, curvature)
    if abs(lag) <= max(2 * sigma, 0.01 * step):
        return Lag(float("nan"), sigma, peak, EmissionStatus.LAG_NOT_RESOLVED)
    return Lag(lag, sigma, pair.correlation(lag), EmissionStatus.OK)


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


class _Pair:
    """Two series of unit variance on common times, each with a spline through it."""

    def __init__(self, t: FloatArray, first: FloatArray, second: FloatArray, step: float) -> None:
        self.t, self.first, self.second, self.step = t, first, second, step
        self._splines = CubicSpline(t, first), CubicSpline(t, second)

    def overlap(self, lag: float) -> int:
        """Number of samples that have a partner at ``lag``."""
        return int(self._has_partner(self.t + lag).sum())

    def correlation(self, lag: float) -> float:
        """Correlation of the first series with the second ``lag`` later, both ways round."""
        forward = self._one_way(self.first, self._splines[1], lag)
        backward = self._one_way(self.second, self._splines[0], -lag)
        return 0.5 * (forward + backward)

    def refine(self, lag: float) -> tuple[float, float]:
        """Return the lag near ``lag`` where the cross-covariance is largest, and its curvature there [s-2].

        The covariance, not the coefficient: interpolation takes noise away between the samples, which raises the
        coefficient there and would draw the lag to the middle between two samples.
        """
        offsets = np.linspace(-1, 1, 41) * self.step
        values = np.array([self.covariance(lag + offset) for offset in offsets])
        top = int(np.argmax(values))
        near = slice(max(top - 10, 0), top + 11)
        curve = np.polyfit(offsets[near] - offsets[top], values[near], 2)
        shift = float(-curve[1] / (2 * curve[0])) if curve[0] < 0 else 0.0
        return lag + float(offsets[top]) + float(np.clip(shift, -0.25 * self.step, 0.25 * self.step)), float(
            2 * curve[0]
        )

    def lag_uncertainty(self, lag: float, curvature: float) -> float:
        """1 sigma [s] of a lag at which the cross-covariance is largest with ``curvature``."""
        inside = self._has_partner(self.t - lag)
        shifted = self.t[inside] - lag
        model, slope = np.asarray(self._splines[0](shifted)), np.asarray(self._splines[0](shifted, 1))
        target = self.second[inside] - self.second[inside].mean()
        model = model - model.mean()
        scale = float(np.sum(model * target) / np.sum(model * model))
        residual = target - scale * model
        count = residual.size
        variance = 0.0
        for k in range(min(count // 2, _AUTOCOVARIANCE_LAGS)):
            r_slope = float(np.sum(slope[k:] * slope[: count - k])) / count
            r_residual = float(np.sum(residual[k:] * residual[: count - k])) / count
            variance += (1 if k == 0 else 2) * r_slope * r_residual
        floor = float(np.mean(slope**2) * np.mean(residual**2))
        variance = max(variance, 0.5 * floor) / count
        if curvature >= 0:
            return float("inf")
        # What is in sight at the ends of the overlap changes with the lag tried: some share of
        # the variance over the length of the overlap; series of known lag say six tenths.
        ends = 0.6 / max(float(shifted[-1] - shifted[0]), self.step)
        return float(np.hypot(np.sqrt(variance), ends) / -curvature)

    def covariance(self, lag: float) -> float:
        """Cross-covariance at ``lag``, both ways round, over what overlaps.

        A tenth of the overlap at each end is faded in and out: what enters and leaves with the lag that is tried
        must not move the maximum.
        """
        parts = []
        start, end = self.t[0] + abs(lag) / 2, self.t[-1] - abs(lag) / 2
        fade = _FADE * max(end - start, self.step)
        for series, spline, shift in ((self.first, self._splines[1], lag), (self.second, self._splines[0], -lag)):
            inside = self._has_partner(self.t + shift)
            middle = self.t[inside] + shift / 2
            edge = np.clip(np.minimum(middle - start, end - middle) / fade, 0, 1)
            weight = np.sin(0.5 * np.pi * edge) ** 2
            values = series[inside] * np.asarray(spline(self.t[inside] + shift))
            parts.append(float(np.sum(weight * values) / max(float(np.sum(weight)), 1e-12)))
        return 0.5 * (parts[0] + parts[1])

    def _has_partner(self, times: FloatArray) -> npt.NDArray[np.bool_]:
        """Which ``times`` lie between two samples no further apart than three sampling intervals."""
        index = np.clip(np.searchsorted(self.t, times), 1, self.t.size - 1)
        short = (self.t[index] - self.t[index - 1]) <= 3 * self.step
        return np.asarray((times >= self.t[0]) & (times <= self.t[-1]) & short)

    def _one_way(self, series: FloatArray, other: CubicSpline, lag: float) -> float:
        inside = self._has_partner(self.t + lag)
        if int(inside.sum()) < max(4, self.t.size // 2):
            return float("nan")
        x, y = series[inside], np.asarray(other(self.t[inside] + lag))
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
