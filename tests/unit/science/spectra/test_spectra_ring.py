"""The Ring spectrum: line positions, strengths and totals from independent sources, balances, and errors."""

import itertools
import math

import numpy as np
import pytest

from so2cam.core.records import FloatArray
from so2cam.science.spectra.ring import (
    HC_OVER_K_CM_K,
    MIXING_RATIO,
    REACH_CM,
    Gas,
    placzek_teller,
    polarisability_anisotropy_cm3,
    raman_cross_section_cm2,
    raman_lines,
    raman_sunlight,
    ring_spectrum,
)

GAS: tuple[Gas, ...] = ("N2", "O2")
GHZ_PER_CM = 29.9792458


def solar_like(grid: FloatArray) -> FloatArray:
    """Sunlight with two lines, 80 % deep and 0.05 nm wide (1 sigma)."""
    lines = sum(0.8 * np.exp(-0.5 * ((grid - centre) / 0.05) ** 2) for centre in (312.0, 318.0))
    return np.asarray(1e14 * (1 - lines), dtype=np.float64)


GRID = np.arange(300.0, 330.0001, 0.01)
INNER = np.arange(306.0, 324.0001, 0.01)


def test_nitrogen_lines_lie_where_its_rotation_puts_them() -> None:
    shifts = raman_lines("N2").shift_cm
    for j in range(20):
        expected = 4 * 1.98957 * (j + 1.5)
        stokes = shifts[np.argmin(np.abs(shifts + expected))]
        assert stokes == pytest.approx(-expected, rel=0.004)  # centrifugal distortion: up to 0.3 %
    assert np.min(np.abs(shifts - 11.937)) < 0.01
    assert np.min(np.abs(shifts - 27.853)) < 0.01


@pytest.mark.parametrize(
    "frequency_ghz", [56.265, 62.486, 60.306, 368.498, 424.763, 487.249, 715.393, 773.840, 834.146]
)
def test_oxygen_lines_include_the_microwave_and_submillimetre_spectrum(frequency_ghz: float) -> None:
    shifts = np.abs(raman_lines("O2").shift_cm)
    assert np.min(np.abs(shifts - frequency_ghz / GHZ_PER_CM)) < 0.003


@pytest.mark.parametrize("j", [0, 1, 2, 7, 30])
def test_placzek_teller_coefficients_of_a_molecule_without_spin(j: int) -> None:
    up = 3 * (j + 1) * (j + 2) / (2 * (2 * j + 1) * (2 * j + 3))
    same = j * (j + 1) / ((2 * j - 1) * (2 * j + 3))
    assert placzek_teller(j, j, j + 2, j + 2, 0) == pytest.approx(up)
    assert placzek_teller(j, j, j, j, 0) == pytest.approx(same, abs=1e-15)
    assert placzek_teller(j, j, j + 1, j + 1, 0) == 0.0


@pytest.mark.parametrize(("n", "j"), [(1, 0), (1, 1), (1, 2), (7, 6), (7, 7), (21, 22)])
def test_transitions_of_a_state_with_spin_sum_to_one(n: int, j: int) -> None:
    finals = itertools.product((n - 2, n, n + 2), range(max(j - 3, 0), j + 4))
    assert sum(placzek_teller(n, j, to_n, to_j, 1) for to_n, to_j in finals if to_n >= 0) == pytest.approx(1.0)


def test_the_lowest_state_of_oxygen() -> None:
    # From J = 0 only J = 2 can be reached: with 2/5 in N = 1, as J = 0 cannot stay, and 3/5 in N = 3.
    assert placzek_teller(1, 0, 1, 2, 1) == pytest.approx(0.4)
    assert placzek_teller(1, 0, 3, 2, 1) == pytest.approx(0.6)


@pytest.mark.parametrize("gas", GAS)
def test_lines_are_in_detailed_balance(gas: Gas) -> None:
    lines = raman_lines(gas, 250.0)
    for shift, strength in zip(lines.shift_cm, lines.strength, strict=True):
        if shift <= 0:
            continue
        mirror = np.flatnonzero(np.abs(lines.shift_cm + shift) < 1e-9)
        ratio = strength / lines.strength[mirror]
        assert np.min(np.abs(ratio / math.exp(-HC_OVER_K_CM_K * shift / 250.0) - 1)) < 1e-6


@pytest.mark.parametrize("gas", GAS)
def test_about_three_quarters_of_the_anisotropic_scattering_changes_the_rotation(gas: Gas) -> None:
    lines = raman_lines(gas)
    assert 0.72 < lines.strength.sum() < 0.80
    assert (np.diff(lines.shift_cm) >= 0).all()
    assert np.abs(lines.shift_cm).max() < REACH_CM
    cold, warm = (
        np.average(np.abs(raman_lines(gas, t).shift_cm), weights=raman_lines(gas, t).strength) for t in (200, 300)
    )
    assert cold < warm


def test_anisotropy_gives_the_king_factors_of_bates() -> None:
    # Bates (1984): F(N2) = 1.034 + 3.17e-4 / lambda^2, F(O2) = 1.096 + 1.385e-3 / lambda^2 + 1.448e-4 / lambda^4 [um];
    # mean polarisabilities from the refractivity at 15 degrees Celsius, 1 atm, 400 nm.
    loschmidt = 2.5469e19
    king = {"N2": 1.034 + 3.17e-4 / 0.16, "O2": 1.096 + 1.385e-3 / 0.16 + 1.448e-4 / 0.0256}
    refractivity = {"N2": 2.843e-4, "O2": 2.634e-4}
    for gas in GAS:
        mean = refractivity[gas] / (2 * math.pi * loschmidt)
        anisotropy = float(polarisability_anisotropy_cm3(gas, np.array([25000.0]))[0])
        assert 1 + 2 / 9 * (anisotropy / mean) ** 2 == pytest.approx(king[gas], abs=0.004)


@pytest.mark.parametrize("wavelength_nm", [300.0, 320.0, 400.0])
def test_raman_scattering_is_a_few_per_cent_of_rayleigh_scattering(wavelength_nm: float) -> None:
    square = (wavelength_nm / 1000) ** 2  # Rayleigh: Bodhaine et al. (1999), eq. 29
    above = 1.0455996 - 341.29061 / square - 0.90230850 * square
    rayleigh_cm2 = 1e-28 * above / (1 + 0.0027059889 / square - 85.968563 * square)
    at = np.array([1e7 / wavelength_nm])
    air = sum(MIXING_RATIO[gas] * float(raman_cross_section_cm2(gas, at)[0]) for gas in GAS)
    assert 0.034 < air / rayleigh_cm2 < 0.041


def test_a_single_line_becomes_the_raman_lines_and_keeps_its_photons() -> None:
    grid = np.arange(300.0, 330.0001, 0.002)
    line = np.exp(-0.5 * ((grid - 315.0) / 0.008) ** 2)
    inner = np.arange(309.0, 321.0001, 0.002)
    scattered = raman_sunlight(grid, line, inner)
    assert scattered.sum() == pytest.approx(line.sum(), rel=2e-3)
    strongest = [1e7 / (1e7 / 315.0 + shift) for shift in (-59.67, -43.76, 43.76, 59.67)]
    for wavelength in strongest:
        near = scattered[np.abs(inner - wavelength) < 0.02].max()
        between = scattered[np.abs(inner - wavelength - 0.08) < 0.015].min()
        assert near > 3 * between
    elastic = scattered[np.abs(inner - 315.0) < 0.01].max()
    assert elastic < 0.25 * scattered.max()
    assert scattered[inner > 315].sum() > scattered[inner < 315].sum()  # more photons lose energy than gain


def test_smooth_sunlight_has_no_ring_effect() -> None:
    ring = ring_spectrum(GRID, np.full(GRID.size, 3e14), INNER)
    assert np.abs(ring).max() < 0.02


def test_solar_lines_are_filled_in() -> None:
    light = solar_like(GRID)
    ring = ring_spectrum(GRID, light, INNER)
    centre = ring[np.argmin(np.abs(INNER - 312.0))]
    assert centre == pytest.approx(math.log(0.2 / 0.985), abs=0.05)
    assert ring[np.argmin(np.abs(INNER - 315.0))] == pytest.approx(0.0, abs=0.02)
    share = 0.01
    mixed = (1 - share) * np.interp(INNER, GRID, light) + share * raman_sunlight(GRID, light, INNER)
    modelled = np.interp(INNER, GRID, light) * np.exp(-share * ring)
    assert np.abs(modelled / mixed - 1).max() < 0.03
    linear = ring_spectrum(GRID, light, INNER, form="linear")
    np.testing.assert_allclose(np.interp(INNER, GRID, light) * (1 - share * linear), mixed, rtol=1e-12)
    np.testing.assert_allclose(linear, 1 - np.exp(-ring), rtol=0, atol=1e-12)


def test_ring_does_not_depend_on_the_unit_of_sunlight_nor_on_the_rest_of_the_grid() -> None:
    whole = ring_spectrum(GRID, solar_like(GRID), INNER)
    np.testing.assert_allclose(ring_spectrum(GRID, 7 * solar_like(GRID), INNER), whole, rtol=0, atol=1e-12)
    np.testing.assert_allclose(
        ring_spectrum(GRID, solar_like(GRID), INNER[500:600]), whole[500:600], rtol=0, atol=1e-12
    )
    assert ring_spectrum(GRID, solar_like(GRID), np.empty(0)).size == 0


def test_the_whole_spectrum_is_finite() -> None:
    grid = np.arange(262.0, 458.0, 0.01)
    whole = ring_spectrum(grid, solar_like(grid), np.arange(270.0, 450.0, 0.01))
    assert np.isfinite(whole).all()
    assert whole.std() > 0


def test_errors() -> None:
    with pytest.raises(ValueError, match=r"covers 300\.00 to 330\.00 nm"):
        ring_spectrum(GRID, solar_like(GRID), GRID)
    with pytest.raises(ValueError, match="strictly increasing"):
        ring_spectrum(GRID[::-1], solar_like(GRID), INNER)
    with pytest.raises(ValueError, match="not finite"):
        ring_spectrum(GRID, np.where(np.abs(GRID - 301) < 0.005, np.nan, 1.0), INNER)
    with pytest.raises(ValueError, match="positive"):
        ring_spectrum(GRID, np.where(np.abs(GRID - 315) < 0.015, 0.0, 1.0), INNER)
    with pytest.raises(ValueError, match="100 to 320 K"):
        raman_lines("N2", 900.0)
