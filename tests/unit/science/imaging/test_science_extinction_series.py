"""Extinction from spectra, from several images and in time."""

import math

import numpy as np
import pytest

from so2cam.science.imaging.extinction import Extinction, ExtinctionErrors, ExtinctionStatus, missing_extinction
from so2cam.science.imaging.extinction_series import (
    SpectralDilution,
    band_correlation,
    colour_deviation,
    combine,
    compare,
    fixed_extinction,
    rayleigh_extinction,
    smooth_series,
    spectral_extinction,
)


def measured(value: float, noise: float = 4e-6, systematic: float = 1e-5) -> Extinction:
    errors = ExtinctionErrors(noise, systematic, 0.0, 0.0, 0.0)
    return Extinction(value, math.hypot(noise, systematic), 200.0, ExtinctionStatus.OK, 0.1, 50, errors)


def test_spectral_extinction_by_hand() -> None:
    dilution = SpectralDilution(0.5, 0.05, 5000.0, 250.0, exponent_uncertainty=0.0)
    on = spectral_extinction(dilution, 310.0)
    assert on.value_per_m == pytest.approx(math.log(2) / 5000)
    assert on.errors.noise == pytest.approx(0.05 / 0.5 / 5000)
    assert on.errors.distance == pytest.approx(0.05 * on.value_per_m)
    off = spectral_extinction(dilution, 330.0)
    assert off.value_per_m / on.value_per_m == pytest.approx((310 / 330) ** 4)
    # The same share as the spectral fit's own law for other wavelengths.
    assert 1 - math.exp(-off.value_per_m * 5000) == pytest.approx(1 - (1 - 0.5) ** ((310 / 330) ** 4))


def test_spectral_uncertainty_by_simulation() -> None:
    rng = np.random.default_rng(1)
    dilution = SpectralDilution(0.3, 0.04, 5000.0, 300.0, 4.0, 0.5)
    found = spectral_extinction(dilution, 332.0)
    share, distance, exponent = (
        rng.normal(0.3, 0.04, 20000),
        rng.normal(5000, 300, 20000),
        rng.normal(4, 0.5, 20000),
    )
    values = -np.log(1 - share) / distance * (310 / 332) ** exponent
    assert np.std(values) == pytest.approx(found.uncertainty_per_m, rel=0.05)


@pytest.mark.parametrize("bad", [{"value": np.nan}, {"value": 1.0}, {"distance_m": np.nan}, {"uncertainty": -1.0}])
def test_no_dilution_known(bad: dict[str, float]) -> None:
    found = spectral_extinction(SpectralDilution(0.2, 0.02, 5000.0, 100.0)._replace(**bad), 310.0)
    assert found.status is ExtinctionStatus.NO_DILUTION_KNOWN
    assert np.isnan(found.value_per_m)


def test_a_share_below_zero() -> None:
    near = spectral_extinction(SpectralDilution(-0.02, 0.02, 5000.0, 100.0), 310.0)
    assert (near.value_per_m, near.status) == (0.0, ExtinctionStatus.CONSISTENT_WITH_ZERO)
    far = spectral_extinction(SpectralDilution(-0.2, 0.02, 5000.0, 100.0), 310.0)
    assert far.status is ExtinctionStatus.OUT_OF_BOUNDS


def test_clean_air_against_another_formula() -> None:
    """Nicolet (1984): 4.02e-28 / lambda^(4 + x) cm2 with x = 0.389 lambda + 0.09426 / lambda - 0.3228 (micrometres)."""
    for wavelength in (300.0, 310.0, 330.0, 400.0):
        micro = wavelength * 1e-3
        x = 0.389 * micro + 0.09426 / micro - 0.3228
        expected = 4.02e-28 / micro ** (4 + x) * 1e-4 * 2.547e25
        assert rayleigh_extinction(wavelength, 0.0) == pytest.approx(expected, rel=0.005)
    # The standard atmosphere at 5 km has 60.1 % of the molecules.
    assert rayleigh_extinction(310, 5000) / rayleigh_extinction(310, 0) == pytest.approx(0.6012, abs=0.001)
    for bad in ((200.0, 0.0), (310.0, 20_000.0), (np.nan, 0.0)):
        with pytest.raises(ValueError, match="clean-air"):
            rayleigh_extinction(*bad)


def test_comparison_in_sigma() -> None:
    a, b = fixed_extinction(1e-4, 3e-5), fixed_extinction(2e-4, 4e-5)
    assert compare(b, a) == pytest.approx(2.0)
    assert compare(a, b) == pytest.approx(-2.0)
    assert np.isnan(compare(a, missing_extinction(ExtinctionStatus.UNDETERMINED)))
    assert compare(fixed_extinction(1e-4, 0), fixed_extinction(1e-4, 0)) == 0


def test_bands_share_what_is_systematic() -> None:
    assert band_correlation(measured(1e-4, noise=0.0), measured(8e-5, noise=0.0)) == pytest.approx(1.0)
    assert band_correlation(measured(1e-4, systematic=0.0), measured(8e-5, systematic=0.0)) == 0
    assert 0 < band_correlation(measured(1e-4), measured(8e-5)) < 1
    assert np.isnan(band_correlation(measured(1e-4), missing_extinction(ExtinctionStatus.UNDETERMINED)))


def test_the_colour_of_both_bands_is_compared_with_air() -> None:
    rng = np.random.default_rng(6)
    rho, n, sigma = 0.6, 3000, 1.5e-5
    errors_on = rng.standard_normal(n)
    errors_off = rho * errors_on + math.sqrt(1 - rho**2) * rng.standard_normal(n)
    # Correlated with 0.6: that share of the variance is systematic.
    noise, common = sigma * math.sqrt(1 - rho), sigma * math.sqrt(rho)
    deviations = [
        colour_deviation(
            measured(1e-4 + sigma * a, noise, common),
            measured(1e-4 * (310 / 330) ** exponent + sigma * b, noise, common),
            (310.0, 330.0),
        )
        for a, b, exponent in zip(errors_on, errors_off, rng.normal(4.0, 0.5, n), strict=True)
    ]
    assert np.std(deviations) == pytest.approx(1, abs=0.05)
    assert np.mean(deviations) == pytest.approx(0, abs=0.06)


def test_the_colour_of_what_is_missing_or_exact() -> None:
    gone = missing_extinction(ExtinctionStatus.TERRAIN_TOO_BRIGHT)
    assert np.isnan(colour_deviation(measured(1e-4), gone, (310.0, 330.0)))
    grey = fixed_extinction(1e-4, 0.0)
    assert colour_deviation(grey, grey, (310.0, 330.0), exponent_uncertainty=0.0) == math.inf
    assert colour_deviation(grey, grey, (310.0, 330.0), exponent=0.0, exponent_uncertainty=0.0) == 0


def test_images_average_their_noise_only() -> None:
    rng = np.random.default_rng(2)
    values = rng.normal(1e-4, 4e-6, (400, 16))
    found = [combine([measured(value) for value in row]) for row in values]
    means = np.array([one.value_per_m for one in found])
    stated = np.median([one.errors.noise for one in found])
    assert means.std() == pytest.approx(stated, rel=0.25)
    assert stated == pytest.approx(1e-6, rel=0.2)
    assert all(one.errors.systematic == pytest.approx(1e-5) for one in found)


def test_scatter_beyond_the_noise_is_stated() -> None:
    rng = np.random.default_rng(3)
    found = [combine([measured(v, noise=1e-7) for v in rng.normal(1e-4, 1e-5, 10)]) for _ in range(300)]
    sigma = np.array([(one.value_per_m - 1e-4) / one.errors.noise for one in found])
    assert 0.55 < np.mean(np.abs(sigma) < 1) < 0.8


def test_combining_leaves_out_what_is_missing() -> None:
    gone = missing_extinction(ExtinctionStatus.TERRAIN_TOO_BRIGHT)
    assert combine([gone, measured(1e-4), gone]).value_per_m == pytest.approx(1e-4)
    assert combine([gone, gone, missing_extinction(ExtinctionStatus.UNDETERMINED)]).status is gone.status
    assert combine([]).status is ExtinctionStatus.TOO_FEW_POINTS
    exact = combine([fixed_extinction(1e-4, 1e-5), measured(3e-4)])
    assert np.isfinite(exact.value_per_m)


def test_a_slow_series_follows_the_truth_within_its_uncertainty() -> None:
    rng = np.random.default_rng(4)
    inside = []
    for _ in range(60):
        hours = np.sort(rng.uniform(0, 8, 16))
        walk_t = np.linspace(0, 8, 400)
        walk = 1e-4 * (1 + np.concatenate([[0], np.cumsum(rng.normal(0, 0.15 * np.sqrt(8 / 399), 399))]))
        values = np.interp(hours, walk_t, walk) + rng.normal(0, 8e-6, 16)
        series = smooth_series(hours * 3600, [measured(v, 8e-6, 0.0) for v in values], walk_t * 3600)
        inside.append(np.abs(series.value_per_m - walk) < series.random_per_m)
    assert 0.6 < np.mean(inside) < 0.76


def test_a_causal_series_knows_the_past_only() -> None:
    times = np.array([1000.0, 4000.0, 9000.0])
    ones = [measured(1.0e-4), measured(1.2e-4), measured(0.8e-4)]
    at = np.array([0.0, 1000.0, 5000.0])
    causal = smooth_series(times, ones, at, causal=True)
    assert np.isnan(causal.value_per_m[0])
    assert causal.value_per_m[1] == 1.0e-4
    shortened = smooth_series(times[:2], ones[:2], at, causal=True, drift_per_sqrt_hour=0.15)
    # The drift's size is taken from the measurements' median; with it the same, nothing later enters.
    later = smooth_series(times, [*ones[:2], measured(1.1e-4)], at, causal=True)
    assert shortened.value_per_m[2] == pytest.approx(later.value_per_m[2], rel=1e-3)
    both = smooth_series(times, ones, at)
    assert np.isfinite(both.value_per_m).all()
    assert both.random_per_m[0] > both.random_per_m[1]


def test_nothing_usable_is_nan() -> None:
    gone = [missing_extinction(ExtinctionStatus.UNDETERMINED)]
    series = smooth_series(np.array([0.0]), gone, np.array([0.0, 5.0]))
    assert np.isnan(series.value_per_m).all()
    assert np.isnan(series.random_per_m).all()
    with pytest.raises(ValueError, match="as many times"):
        smooth_series(np.array([0.0, 1.0]), gone, np.array([0.0]))
