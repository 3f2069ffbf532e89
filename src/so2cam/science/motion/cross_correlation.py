"""Plume speed from the lag between the columns that pass two lines (McGonigle 2005)."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.interpolate import CubicSpline
from scipy.special import ndtri

from so2cam.core.records import FloatArray
from so2cam.core.status import EmissionStatus

_PHASES = 4
"""Points of the grid of comparison per sampling interval."""
_LONGEST_GAP = 3.0
"""Gap between two samples, in median sampling intervals, up to which a series is interpolated."""
_FEWEST_FOR_CURVE = 4
"""Samples that a spline needs."""
_FEWEST_INDEPENDENT = 6.0
"""Independent samples that must overlap before a correlation can mean anything."""


@dataclass(frozen=True, slots=True)
class Lag:
    """The time [s] by which the second series follows the first, 1 sigma of it, and their correlation there.

    ``variation_s`` [s] is how much the lag may differ from moment to moment, 1 sigma: as much as it must for that to
    be all by which the series differ, which is a bound. Anything but ``status`` OK means that ``lag_s`` must not be
    used; it is NaN.
    """

    lag_s: float
    uncertainty_s: float
    correlation: float
    status: EmissionStatus
    variation_s: float = 0.0


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

    The series are detrended by a straight line and compared as cubic splines on a grid finer than their samples,
    over what overlaps (about half of the series at least) outside gaps of more than three sampling intervals. The
    maximum of the correlation coefficient is refined below the sampling interval. Uncertainty: linearised least
    squares, from the residual variance after shift and scaling, corrected for its autocorrelation, and from slopes
    to which the noise of neither series contributes.

    NaN samples are left out. Fewer than ``minimum_samples``: TOO_FEW_SAMPLES. A maximum below
    ``minimum_correlation``, or not beyond chance for the independent samples that overlap and the lags tried
    (3 sigma of Fisher's z): NO_CORRELATION. A maximum at the edge of the search, another that is
    as good within 1 sigma of Fisher's z (puffs in a regular row), or a lag within 2 sigma of zero: LAG_NOT_RESOLVED.
    """
    good = np.isfinite(first) & np.isfinite(second) & np.isfinite(times_s)
    t, a, b = times_s[good], first[good], second[good]
    if t.size < minimum_samples or np.ptp(t) <= 0:
        return _none(EmissionStatus.TOO_FEW_SAMPLES)
    t = t - t.mean()
    a, b = _detrended(t, a), _detrended(t, b)
    if not (_varies(first[good], a) and _varies(second[good], b)):
        return _none(EmissionStatus.NO_CORRELATION)
    step = float(np.median(np.diff(t)))
    pair = _Pair(t, CubicSpline(t, a), CubicSpline(t, b), step)
    correlation = pair.correlation

    trials = _trials(t, step, maximum_lag_s)
    values = np.array([correlation(lag) for lag in trials])
    if not np.isfinite(values).any():
        return _none(EmissionStatus.TOO_FEW_SAMPLES)
    best = int(np.nanargmax(values))
    peak = float(values[best])
    if peak < minimum_correlation or peak < _chance(t, a, b, float(trials[best]), trials.size):
        return Lag(float("nan"), float("nan"), peak, EmissionStatus.NO_CORRELATION)
    if best in (0, trials.size - 1) or not np.isfinite(values[best - 1 : best + 2]).all():
        return Lag(float("nan"), float("nan"), peak, EmissionStatus.LAG_NOT_RESOLVED)
    if _ambiguous(values, best, _independent_samples(t, a, b, float(trials[best]))):
        return Lag(float("nan"), float("nan"), peak, EmissionStatus.LAG_NOT_RESOLVED)
    fine = np.linspace(trials[best - 1], trials[best + 1], 41)
    fine_values = np.array([correlation(lag) for lag in fine])
    if not np.isfinite(fine_values).all():
        return Lag(float("nan"), float("nan"), peak, EmissionStatus.LAG_NOT_RESOLVED)
    top = int(np.argmax(fine_values))
    near = slice(max(top - 4, 0), top + 5)
    curve = np.polyfit(fine[near] - fine[top], fine_values[near], 2)
    lag = float(fine[top])
    if curve[0] < 0:
        lag += float(np.clip(-curve[1] / (2 * curve[0]), fine[near][0] - fine[top], fine[near][-1] - fine[top]))
    sigma, variation = pair.lag_uncertainty(lag)
    if not abs(lag) > max(2 * sigma, 1e-3 * step):
        return Lag(float("nan"), sigma, peak, EmissionStatus.LAG_NOT_RESOLVED)
    return Lag(lag, sigma, float(fine_values[top]), EmissionStatus.OK, variation)


def correlation_curve(
    times_s: FloatArray, first: FloatArray, second: FloatArray, *, maximum_lag_s: float
) -> tuple[FloatArray, FloatArray]:
    """Return the lags [s] that ``find_lag`` tries, half a sampling interval apart, and the correlation at each.

    NaN where too little overlaps; both empty for fewer than four samples, or a series that does not vary.
    """
    good = np.isfinite(first) & np.isfinite(second) & np.isfinite(times_s)
    t, a, b = times_s[good], first[good], second[good]
    if t.size < _FEWEST_FOR_CURVE or np.ptp(t) <= 0:
        return np.empty(0), np.empty(0)
    t = t - t.mean()
    a, b = _detrended(t, a), _detrended(t, b)
    if not (_varies(first[good], a) and _varies(second[good], b)):
        return np.empty(0), np.empty(0)
    step = float(np.median(np.diff(t)))
    pair = _Pair(t, CubicSpline(t, a), CubicSpline(t, b), step)
    trials = _trials(t, step, maximum_lag_s)
    return trials, np.array([pair.correlation(lag) for lag in trials])


def _trials(t: FloatArray, step: float, maximum_lag_s: float) -> FloatArray:
    limit = min(maximum_lag_s, 0.5 * float(np.ptp(t)))
    return np.asarray(np.arange(-np.floor(limit / step * 2), np.floor(limit / step * 2) + 1) * step / 2)


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


def _varies(values: FloatArray, detrended: FloatArray) -> bool:
    """Return whether more than rounding is left of ``values`` without their straight line."""
    return float(detrended.std()) > 1e-9 * float(np.abs(values).max())


def _chance(t: FloatArray, a: FloatArray, b: FloatArray, lag: float, trials: int) -> float:
    """Return the correlation that the best of ``trials`` half-sample lags exceeds by chance once in 741 times.

    Fisher's z for the independent samples of the overlap at ``lag``; of the lags searched, those that are
    independent of one another have each their chance (Bonferroni).
    """
    worth = _correlation_samples(a, b)
    independent = _independent_samples(t, a, b, lag)
    if independent <= _FEWEST_INDEPENDENT:
        return 1.0
    searched = max(1.0, trials / (2 * worth))
    return float(np.tanh(-ndtri(0.00135 / searched) / np.sqrt(independent - 3)))


def _independent_samples(t: FloatArray, a: FloatArray, b: FloatArray, lag: float) -> float:
    """Return how many independent samples overlap at ``lag``."""
    overlap = int(np.sum((t + lag >= t[0]) & (t + lag <= t[-1])))
    return overlap / _correlation_samples(a, b)


def _ambiguous(correlation: FloatArray, best: int, independent: float) -> bool:
    """Return whether another peak of the correlation is as good as the best one within 1 sigma of Fisher's z."""
    filled = np.where(np.isfinite(correlation), correlation, -1.0)
    inner = filled[1:-1]
    peaks = np.flatnonzero((inner > filled[:-2]) & (inner >= filled[2:])) + 1
    others = filled[peaks[peaks != best]]
    if others.size == 0:
        return False
    z = np.arctanh(np.clip([filled[best], others.max()], -1 + 1e-12, 1 - 1e-12))
    return bool(z[0] - z[1] < 1 / np.sqrt(max(independent - 3, 1.0)))


class _Pair:
    """Two series as splines, compared on a grid finer than their samples.

    A spline halves the variance of noise in the middle between two samples. Compared at the samples of one of
    the series, the correlation would be highest where the other is read between its samples, and every lag
    drawn there; on a fine grid both are read at all phases, whatever the lag. Gaps count for neither.
    """

    def __init__(self, t: FloatArray, first: CubicSpline, second: CubicSpline, step: float) -> None:
        self._t, self._first, self._second, self._step = t, first, second, step
        self._grid = np.arange(t[0], t[-1], step / _PHASES)
        self._a = np.asarray(first(self._grid))
        self._known_a = self._known(self._grid)

    def _known(self, times: FloatArray) -> npt.NDArray[np.bool_]:
        after = np.clip(np.searchsorted(self._t, times), 1, self._t.size - 1)
        gap = self._t[after] - self._t[after - 1]
        inside = (times >= self._t[0]) & (times <= self._t[-1])
        return np.asarray(inside & (gap <= _LONGEST_GAP * self._step))

    def _both(self, lag: float) -> npt.NDArray[np.bool_]:
        return self._known_a & self._known(self._grid + lag)

    def correlation(self, lag: float) -> float:
        """Return the correlation of the first series with the second one ``lag`` later; NaN for a short overlap."""
        both = self._both(lag)
        if int(both.sum()) < _PHASES * max(4, self._t.size // 2 - 1):
            return float("nan")
        x, y = self._a[both], np.asarray(self._second(self._grid[both] + lag))
        x, y = x - x.mean(), y - y.mean()
        scale = float(np.sqrt(np.sum(x * x) * np.sum(y * y)))
        return float(np.sum(x * y)) / scale if scale > 0 else float("nan")

    def lag_uncertainty(self, lag: float) -> tuple[float, float]:
        """Return 1 sigma [s] of the lag at the maximum of the correlation, and by how much it may vary in time."""
        both = self._both(lag)
        early = self._grid[both]
        x, y = self._a[both], np.asarray(self._second(early + lag))
        x, y = x - x.mean(), y - y.mean()
        # Both series are noisy: a regression would flatten the scale, so it is the ratio of their spreads.
        scale = float(np.sqrt(np.sum(y * y) / np.sum(x * x)))
        residual = y - scale * x
        samples = residual.size / _PHASES
        variance = float(np.sum(residual**2)) / residual.size * samples / max(samples - 3, 1)
        rho = float(np.sum(residual[_PHASES:] * residual[:-_PHASES]) / max(float(np.sum(residual**2)), 1e-300))
        rho = min(max(rho, 0.0), 0.95)
        inflation = (1 + rho) / (1 - rho)
        # The product of both slopes holds the signal alone, as their noises are independent; either slope
        # squared holds its own noise too, which pulls at the maximum together with the other series' noise.
        slope_x, slope_y = np.asarray(self._first(early, 1)), np.asarray(self._second(early + lag, 1))
        signal = float(np.mean(slope_x * slope_y))
        if signal <= 0:
            return float("inf"), float("inf")
        total = 0.5 * (scale * float(np.mean(slope_x**2)) + float(np.mean(slope_y**2)) / scale)
        pull = 0.5 * (signal + max(total, signal))
        sigma = float(np.sqrt(variance * inflation * pull / (scale * samples)) / signal)
        # A lag that is off by d at a moment leaves the residual y' d there, and the mean of y'^2 is scale * signal.
        return sigma, float(np.sqrt(variance / (scale * signal)))


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
