"""Extinctions from spectra, from several images, and in time; and whether two ways agree."""

from typing import NamedTuple

import numpy as np

from so2cam.core.records import FloatArray
from so2cam.science.imaging.extinction import Extinction, ExtinctionErrors, ExtinctionStatus, missing_extinction
from so2cam.science.imaging.light_dilution import REFERENCE_WAVELENGTH_NM, rayleigh_ratio


class SpectralDilution(NamedTuple):
    """The share (LDF) of light at 310 nm that is scattered in between, 1 sigma, and the distance [m] it belongs to.

    ``exponent`` of the wavelength, 4 for air without aerosol (and as the spectral fit has it); ``exponent_uncertainty``
    is 1 sigma: haze has an exponent of 1 to 2. ``variation`` is the relative standard deviation of the columns within
    the spectrometer's view, known to its own size.
    """

    value: float
    uncertainty: float
    distance_m: float
    distance_uncertainty_m: float
    exponent: float = 4.0
    exponent_uncertainty: float = 0.5
    variation: float = 0.0


def spectral_extinction(dilution: SpectralDilution, wavelength_nm: float) -> Extinction:
    """Return a band's extinction from the spectrometer's dilution, ``-ln(1 - LDF) / d (310 / lambda)^4``.

    ``wavelength_nm`` is the band's effective wavelength. Source: Varnam et al. 2020, Front. Earth Sci. 8, 528753, with
    the share's ``1 - (1 - LDF)^((310 / lambda)^4)`` of the spectral fit. The distance is that of the plume where the
    spectrometer looks. A share below zero within 2 sigma counts as none.

    Columns that vary within the view fill the bands as dilution does: mean light ``(1 - l) mean(exp(-x)) + l`` is, to
    second order in x, that of the mean column under the share ``1 - (1 - l) / (1 + v)``, v the relative variance of
    x. It is taken out, and its uncertainty is all of it.
    """
    inputs = (dilution.value, dilution.uncertainty, dilution.distance_m, dilution.distance_uncertainty_m)
    if not all(np.isfinite(inputs)) or dilution.distance_m <= 0 or dilution.value >= 1 or dilution.uncertainty < 0:
        return missing_extinction(ExtinctionStatus.NO_DILUTION_KNOWN)
    ratio = rayleigh_ratio(wavelength_nm, exponent=dilution.exponent)
    per_share = ratio / dilution.distance_m
    by_variation = float(np.log1p(dilution.variation**2)) * per_share
    value = -np.log1p(-dilution.value) * per_share - by_variation
    by_share = per_share / (1 - dilution.value) * dilution.uncertainty
    by_distance = abs(value) / dilution.distance_m * dilution.distance_uncertainty_m
    by_exponent = abs(value * np.log(wavelength_nm / REFERENCE_WAVELENGTH_NM)) * dilution.exponent_uncertainty
    errors = ExtinctionErrors(float(by_share), 0.0, float(by_distance), float(by_variation), float(by_exponent))
    total = float(np.hypot(errors.noise, errors.systematic))
    status = ExtinctionStatus.OK
    if value < 0:
        if value < -2 * total:
            return missing_extinction(ExtinctionStatus.OUT_OF_BOUNDS, 1)
        value, status = 0.0, ExtinctionStatus.CONSISTENT_WITH_ZERO
    return Extinction(float(value), total, np.nan, status, np.nan, 1, errors)


def rayleigh_extinction(wavelength_nm: float, altitude_m: float) -> float:
    """Return the extinction [m-1] of clean air, below which none can be, at a height of the standard atmosphere.

    Cross section of Bodhaine et al. (1999, J. Atmos. Oceanic Technol. 16, 1854, eq. 29), number density of the U.S.
    Standard Atmosphere 1976 up to 11 km. Raises ValueError outside of 250 to 1000 nm and of -500 to 11,000 m.
    """
    if not (250 <= wavelength_nm <= 1000 and -500 <= altitude_m <= 11_000):
        raise ValueError(f"no clean-air extinction for {wavelength_nm:g} nm at {altitude_m:g} m")
    square = (wavelength_nm * 1e-3) ** 2
    above = 1.0455996 - 341.29061 / square - 0.90230850 * square
    below = 1 + 0.0027059889 / square - 85.968563 * square
    cross_section_m2 = above / below * 1e-32
    temperature = 288.15 - 0.0065 * altitude_m
    return float(cross_section_m2 * 2.54691e25 * (temperature / 288.15) ** (5.25588 - 1))


def fixed_extinction(value_per_m: float, uncertainty_per_m: float) -> Extinction:
    """Return an extinction that is given, with its 1 sigma [m-1]: all of it systematic."""
    errors = ExtinctionErrors(0.0, uncertainty_per_m, 0.0, 0.0, 0.0)
    return Extinction(value_per_m, uncertainty_per_m, np.nan, ExtinctionStatus.OK, np.nan, 1, errors)


def compare(first: Extinction, second: Extinction) -> float:
    """Return ``first - second`` in sigma of the difference (the two are independent); NaN where one is missing."""
    if not (first.usable and second.usable):
        return float("nan")
    sigma = float(np.hypot(first.uncertainty_per_m, second.uncertainty_per_m))
    difference = first.value_per_m - second.value_per_m
    if sigma == 0:
        return 0.0 if difference == 0 else float(np.copysign(np.inf, difference))
    return difference / sigma


def band_correlation(on: Extinction, off: Extinction) -> float:
    """Return the correlation of the errors of both bands' extinctions from the same terrain or spectrum, 0 to 1.

    Ground, distance, airlight and trend are the same for both bands (as an assumption to the safe side for the
    off-band's share; exact for the distance), noise is not. NaN where one is missing.
    """
    if not (on.usable and off.usable):
        return float("nan")
    product = on.uncertainty_per_m * off.uncertainty_per_m
    shared = sum(a * b for a, b in zip(on.errors[1:], off.errors[1:], strict=True))
    return min(float(shared / product), 1.0) if product > 0 else 0.0


def colour_deviation(
    on: Extinction,
    off: Extinction,
    wavelengths_nm: tuple[float, float],
    *,
    exponent: float = 4.0,
    exponent_uncertainty: float = 0.5,
) -> float:
    """Return how far both bands are from the law ``off / on = (on nm / off nm)^exponent``, in sigma of ``off``'s side.

    Negative where the off band's extinction is too low. With the covariance of ``band_correlation`` and 1 sigma of the
    exponent; NaN where a band is missing. Two bands that deviate by more than 2 to 3 sigma tell that the ground is
    not alike over its distances. They are not forced onto the law: errors that both share would pull them anywhere.
    """
    if not (on.usable and off.usable):
        return float("nan")
    log_ratio = float(np.log(wavelengths_nm[0] / wavelengths_nm[1]))
    expected = on.value_per_m * float(np.exp(exponent * log_ratio))
    by_on = on.uncertainty_per_m * float(np.exp(exponent * log_ratio))
    shared = 2 * band_correlation(on, off) * by_on * off.uncertainty_per_m
    by_exponent = expected * abs(log_ratio) * exponent_uncertainty
    variance = by_on**2 + off.uncertainty_per_m**2 - shared + by_exponent**2
    difference = off.value_per_m - expected
    if variance <= 0:
        return 0.0 if difference == 0 else float(np.copysign(np.inf, difference))
    return difference / float(np.sqrt(variance))


def combine(extinctions: list[Extinction]) -> Extinction:
    """Return the mean of extinctions from several images of the same terrain.

    Weighted by each one's noise and by how far they scatter in excess of it (DerSimonian and Laird 1986), since haze
    changes; systematic parts, which all share, are averaged with the same weights and do not shrink. Missing
    ones do not count; the result is missing, for the most frequent reason, where all are.
    """
    good = [one for one in extinctions if one.usable]
    if not good:
        reasons = [one.status for one in extinctions]
        reason = max(set(reasons), key=reasons.count) if reasons else ExtinctionStatus.TOO_FEW_POINTS
        return missing_extinction(reason)
    value = np.array([one.value_per_m for one in good])
    noise2 = np.array([one.errors.noise for one in good]) ** 2
    weight = _weights(noise2, _between(value, noise2))
    mean = float(weight @ value)
    spread = float(np.sqrt(np.sum(weight**2 * (noise2 + _between(value, noise2)))))
    parts = [float(weight @ np.array([one.errors[i] for one in good])) for i in range(1, 5)]
    errors = ExtinctionErrors(spread, *parts)
    known = np.array([one.surface for one in good])
    residual = np.array([one.residual for one in good])
    zero = mean == 0
    return Extinction(
        mean,
        float(np.hypot(errors.noise, errors.systematic)),
        float(weight @ known),
        ExtinctionStatus.CONSISTENT_WITH_ZERO if zero else ExtinctionStatus.OK,
        float(weight @ residual),
        sum(one.n for one in good),
        errors,
    )


def _weights(noise2: FloatArray, between: float) -> FloatArray:
    variance = noise2 + between
    if not variance.all():
        return np.asarray((variance == 0) / np.sum(variance == 0), np.float64)
    return np.asarray(1 / variance / np.sum(1 / variance), np.float64)


def _between(value: FloatArray, noise2: FloatArray) -> float:
    """Return the variance between the images beyond their noise, by the method of moments."""
    n = value.size
    if n < 2:
        return 0.0
    weight = _weights(noise2, 0.0)
    q = float(np.sum((value - weight @ value) ** 2)) if not noise2.all() else np.nan
    if np.isnan(q):
        inverse = 1 / noise2
        q = float(np.sum(inverse * (value - weight @ value) ** 2))
        factor = float(inverse.sum() - np.sum(inverse**2) / inverse.sum())
        return max((q - (n - 1)) / factor, 0.0)
    return max(float(np.var(value, ddof=1) - noise2.mean()), 0.0)


class ExtinctionSeries(NamedTuple):
    """Extinction (M,) [m-1] at the times asked for, and 1 sigma of its random part and of the systematic one."""

    value_per_m: FloatArray
    random_per_m: FloatArray
    systematic_per_m: FloatArray


def smooth_series(
    time_s: FloatArray,
    extinctions: list[Extinction],
    at_s: FloatArray,
    *,
    drift_per_sqrt_hour: float = 0.15,
    causal: bool = False,
) -> ExtinctionSeries:
    """Return the extinction at ``at_s`` (M,) from measurements at ``time_s`` (N,), as something that changes slowly.

    A random walk with a relative step of ``drift_per_sqrt_hour`` after an hour, by the Kalman filter and the smoother
    of Rauch, Tung and Striebel (1965): noise is averaged, and the uncertainty grows with the time from the nearest
    measurement. ``causal`` uses measurements up to each time only, as live processing must. Values below 0 do not
    occur in the inputs, and in the result only by rounding. NaN before the first measurement of a causal series, and
    where nothing is usable. Raises ValueError where the number of times and extinctions differ.
    """
    times, at = np.asarray(time_s, np.float64), np.asarray(at_s, np.float64)
    if times.shape != (len(extinctions),):
        raise ValueError(f"{len(extinctions)} extinctions need as many times, found shape {times.shape}")
    good = np.array([one.usable for one in extinctions], np.bool_)
    nan = np.full(at.shape, np.nan)
    if not good.any():
        return ExtinctionSeries(nan, nan.copy(), nan.copy())
    used = [one for one in extinctions if one.usable]
    value = np.array([one.value_per_m for one in used])
    variance = np.array([one.errors.noise for one in used]) ** 2
    systematic = np.array([one.errors.systematic for one in used])
    typical = float(np.median(value))
    step2 = (drift_per_sqrt_hour * max(typical, 1e-6)) ** 2 / 3600
    # One row per time: measurements first where times are equal, so that a time asked for knows its own.
    all_times = np.concatenate([times[good], at])
    order = np.lexsort((np.arange(all_times.size), all_times))
    observed = np.concatenate([value, np.full(at.size, np.nan)])[order]
    noise2 = np.concatenate([variance, np.full(at.size, np.nan)])[order]
    share = np.concatenate([systematic, np.full(at.size, np.nan)])[order]
    mean, spread, part = _filter(all_times[order], observed, noise2, share, step2)
    if not causal:
        mean, spread, part = _smooth(all_times[order], mean, spread, part, step2)
    back = np.empty(order.size, np.intp)
    back[order] = np.arange(order.size)
    rows = back[value.size :]
    return ExtinctionSeries(mean[rows], np.sqrt(spread[rows]), part[rows])


def _filter(
    time: FloatArray, observed: FloatArray, noise2: FloatArray, share: FloatArray, step2: float
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return mean, variance and systematic part (N,) after each time; NaN before the first measurement."""
    mean, spread, part = (np.full(time.size, np.nan) for _ in range(3))
    m, p, s = np.nan, np.nan, np.nan
    for i in range(time.size):
        if i > 0:
            p += step2 * (time[i] - time[i - 1])
        if np.isfinite(observed[i]):
            if np.isnan(m):
                m, p, s = observed[i], noise2[i], share[i]
            else:
                gain = p / (p + noise2[i]) if p + noise2[i] > 0 else 0.5
                m, s = m + gain * (observed[i] - m), s + gain * (share[i] - s)
                p = (1 - gain) * p
        mean[i], spread[i], part[i] = m, p, s
    return mean, spread, part


def _smooth(
    time: FloatArray, mean: FloatArray, spread: FloatArray, part: FloatArray, step2: float
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return the same with what comes later taken into account."""
    m, p, s = mean.copy(), spread.copy(), part.copy()
    for i in range(time.size - 2, -1, -1):
        ahead = step2 * (time[i + 1] - time[i])
        if np.isnan(mean[i]):  # before the first measurement: its value, with the walk's own growth
            m[i], p[i], s[i] = m[i + 1], p[i + 1] + ahead, s[i + 1]
            continue
        predicted = spread[i] + ahead
        gain = spread[i] / predicted if predicted > 0 else 1.0
        m[i] += gain * (m[i + 1] - mean[i])
        s[i] += gain * (s[i + 1] - part[i])
        p[i] += gain**2 * (p[i + 1] - predicted)
    return m, np.maximum(p, 0.0), s
