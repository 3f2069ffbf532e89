"""The Ring spectrum: sunlight that rotational Raman scattering by N2 and O2 moves to other wavelengths.

Air scatters a few per cent of what it scatters with the molecules' rotation changed, which moves the photon by up to
some 200 cm-1 and so fills solar lines (Grainger & Ring 1962). The calculation follows Chance & Spurr (1997, Appl. Opt.
36, 5224, doi:10.1364/AO.36.005224), but Placzek-Teller coefficients are computed (Hund's case b) instead of listed.
"""

import math
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np

from so2cam.core.records import FloatArray

Gas = Literal["N2", "O2"]
Form = Literal["logarithm", "linear"]

HC_OVER_K_CM_K: Final = 1.438776877
"""Second radiation constant [cm K]; exact to the digits given, SI 2019."""
MIXING_RATIO: Final[dict[Gas, float]] = {"N2": 0.7905, "O2": 0.2095}
"""Shares of a dry air of these two gases alone."""
HIGHEST_ROTATION: Final = 36
"""Rotational states above hold less than 1e-4 of the molecules at 320 K, 1e-6 at 250 K."""
REACH_CM: Final = 310.0
"""No line shifts by more [cm-1]: about 3 nm at 310 nm."""
TEMPERATURE_K: Final = 250.0
"""Of the air that scatters; Chance & Spurr's choice."""


@dataclass(frozen=True, slots=True)
class RamanLines:
    """Rotational Raman lines (n,) of one gas at one temperature.

    ``shift_cm`` is the wavenumber of the scattered minus that of the incident photon [cm-1]: negative for Stokes
    lines. ``strength`` is population times Placzek-Teller coefficient; elastic transitions are not among the lines.
    """

    shift_cm: FloatArray
    strength: FloatArray


@dataclass(frozen=True, slots=True)
class _Levels:
    rotation: tuple[int, ...]
    total: tuple[int, ...]
    energy_cm: FloatArray
    weight: FloatArray
    spin: int


def polarisability_anisotropy_cm3(gas: Gas, wavenumber_cm: FloatArray) -> FloatArray:
    """Return the anisotropy of the polarisability [cm3] at vacuum wavenumbers [cm-1] (m,).

    Chance & Spurr (1997), eqs. for O2 and N2, from the Rayleigh data of Bates (1984); 200-1000 nm.
    """
    square_um = (np.asarray(wavenumber_cm, dtype=np.float64) * 1e-4) ** 2
    if gas == "N2":
        return np.asarray((-6.01466 + 2385.57 / (186.099 - square_um)) * 1e-25, dtype=np.float64)
    return np.asarray((0.07149 + 45.9364 / (48.2716 - square_um)) * 1e-24, dtype=np.float64)


def raman_lines(gas: Gas, temperature_k: float = TEMPERATURE_K) -> RamanLines:
    """Return the rotational Raman lines of N2 or O2 in its vibrational ground state, sorted by shift.

    Raises ValueError for temperatures outside 100 to 320 K, for which the levels suffice.
    """
    if not 100 <= temperature_k <= 320:
        raise ValueError(f"Raman lines are computed for 100 to 320 K, not for {temperature_k} K")
    levels = _nitrogen() if gas == "N2" else _oxygen()
    population = levels.weight * np.exp(-HC_OVER_K_CM_K * levels.energy_cm / temperature_k)
    population /= population.sum()
    shifts, strengths = [], []
    states = list(zip(levels.rotation, levels.total, strict=True))
    for i, (n, j) in enumerate(states):
        for f, (to_n, to_j) in enumerate(states):
            if f == i or abs(to_n - n) > 2:
                continue
            coefficient = placzek_teller(n, j, to_n, to_j, levels.spin)
            if coefficient > 0:
                shifts.append(levels.energy_cm[i] - levels.energy_cm[f])
                strengths.append(population[i] * coefficient)
    order = np.argsort(shifts, kind="stable")
    return RamanLines(np.asarray(shifts)[order], np.asarray(strengths)[order])


def raman_cross_section_cm2(gas: Gas, wavenumber_cm: FloatArray, temperature_k: float = TEMPERATURE_K) -> FloatArray:
    """Return the cross section [cm2 per molecule] of all rotational Raman lines, at incident wavenumbers [cm-1] (m,).

    Photons scattered over photons incident: ``(256 pi^5 / 27) nu nu_s^3 gamma^2 sum`` (Chance & Spurr 1997 with nu_s^4,
    which is for power; for photons Long 2002, The Raman Effect, ch. 3).
    """
    incident = np.atleast_1d(np.asarray(wavenumber_cm, dtype=np.float64))
    lines = raman_lines(gas, temperature_k)
    total = np.zeros_like(incident)
    for shift, strength in zip(lines.shift_cm, lines.strength, strict=True):
        total += strength * (incident + shift) ** 3
    return 256 * math.pi**5 / 27 * polarisability_anisotropy_cm3(gas, incident) ** 2 * incident * total


def raman_sunlight(
    solar_wavelengths_nm: FloatArray,
    solar: FloatArray,
    wavelengths_nm: FloatArray,
    temperature_k: float = TEMPERATURE_K,
) -> FloatArray:
    """Return sunlight after one rotational Raman scattering by air (m,), per photon scattered so; unit of ``solar``.

    ``solar`` (n,) is in photons per nm at vacuum wavelengths ``solar_wavelengths_nm`` (n,), strictly increasing; the
    answer (m,) is at ``wavelengths_nm``. Photons are conserved: each incident wavelength's total is one.
    Raises ValueError where the solar spectrum does not reach ``REACH_CM`` (some 3 nm) beyond ``wavelengths_nm``.
    """
    grid, values = np.asarray(solar_wavelengths_nm, dtype=np.float64), np.asarray(solar, dtype=np.float64)
    scattered = 1e7 / np.asarray(wavelengths_nm, dtype=np.float64)
    _check(grid, values, scattered)
    per_wavenumber = values * grid**2 / 1e7
    factor = {gas: MIXING_RATIO[gas] * polarisability_anisotropy_cm3(gas, 1e7 / grid) ** 2 for gas in MIXING_RATIO}
    lines = {gas: _merged(raman_lines(gas, temperature_k)) for gas in MIXING_RATIO}
    total = np.zeros_like(grid)
    for gas, found in lines.items():
        for shift, strength in zip(found.shift_cm, found.strength, strict=True):
            total += factor[gas] * strength * (1e7 / grid + shift) ** 3
    result = np.zeros_like(scattered)
    for gas, found in lines.items():
        source = per_wavenumber * factor[gas] / total
        for shift, strength in zip(found.shift_cm, found.strength, strict=True):
            result += strength * scattered**3 * np.interp(1e7 / (scattered - shift), grid, source)
    return np.asarray(result * scattered**2 / 1e7, dtype=np.float64)


def ring_spectrum(
    solar_wavelengths_nm: FloatArray,
    solar: FloatArray,
    wavelengths_nm: FloatArray,
    temperature_k: float = TEMPERATURE_K,
    form: Form = "logarithm",
) -> FloatArray:
    """Return the Ring spectrum R (m,), dimensionless, at ``wavelengths_nm`` (m,): negative where lines are filled.

    I0 is the sunlight ``solar`` and J the same photons after one rotational Raman scattering (:func:`raman_sunlight`).
    ``logarithm``: R = ln(I0 / J), so ``I0 exp(-a R)`` goes from sunlight (a = 0) to wholly Raman scattered (a = 1);
    ``linear``: R = 1 - J / I0, so ``I0 (1 - a R)`` is sunlight of which a share a was Raman scattered once.
    Raises ValueError as :func:`raman_sunlight`, and where the sunlight is not positive.
    """
    scattered = raman_sunlight(solar_wavelengths_nm, solar, wavelengths_nm, temperature_k)
    direct = np.interp(wavelengths_nm, solar_wavelengths_nm, solar)
    if not ((direct > 0).all() and (scattered > 0).all()):
        raise ValueError("the solar spectrum must be positive")
    filling = scattered / direct
    return np.asarray(1.0 - filling if form == "linear" else -np.log(filling), dtype=np.float64)


def placzek_teller(n: int, j: int, to_n: int, to_j: int, spin: int) -> float:
    """Return the Placzek-Teller coefficient of (N, J) to (N', J') in Hund's case (b) with electron spin ``spin``.

    ``(2N+1) (2N'+1) (2J'+1) {N 2 N'; J' S J}^2 (N 2 N'; 0 0 0)^2``; the sum over all final states is 1
    (Zare 1988, Angular Momentum, chs. 4 and 5). For spin 0 this is Placzek & Teller's (1933) result.
    """
    three = _three_j_zero_squared(n, to_n)
    if three == 0.0:
        return 0.0
    return (2 * n + 1) * (2 * to_n + 1) * (2 * to_j + 1) * _six_j(n, 2, to_n, to_j, spin, j) ** 2 * three


def _nitrogen() -> _Levels:
    """N2: B and D of Chance & Spurr (1997); nuclear weights 6 (even) and 3 (odd)."""
    rotation = tuple(range(HIGHEST_ROTATION + 1))
    n = np.asarray(rotation, dtype=np.float64)
    weight = np.where(n % 2 == 0, 6.0, 3.0) * (2 * n + 1)
    return _Levels(rotation, rotation, _rigid(n, 1.98957, 5.76e-6), weight, 0)


def _oxygen() -> _Levels:
    """O2: odd N only, J = N - 1, N, N + 1 split by spin (Schlapp 1937; constants of Zink & Mizushima 1987)."""
    b, d, coupling, gamma = 1.437677, 4.842e-6, 1.984751, -0.008425
    rotation, total, energy = [], [], []
    for n in range(1, HIGHEST_ROTATION + 1, 2):
        base = float(_rigid(np.asarray(float(n)), b, d))
        up = math.sqrt((2 * n + 3) ** 2 * b**2 + coupling**2 - 2 * coupling * b)
        down = math.sqrt((2 * n - 1) ** 2 * b**2 + coupling**2 - 2 * coupling * b) * (-1 if n == 1 else 1)
        for j, shift in (
            (n - 1, -(2 * n - 1) * b - coupling + down - gamma * n),
            (n, 0.0),
            (n + 1, (2 * n + 3) * b - coupling - up + gamma * (n + 1)),
        ):
            rotation.append(n)
            total.append(j)
            energy.append(base + shift)
    weight = 2 * np.asarray(total, dtype=np.float64) + 1
    return _Levels(tuple(rotation), tuple(total), np.asarray(energy), weight, 1)


def _rigid(n: FloatArray, b: float, d: float) -> FloatArray:
    square = n * (n + 1)
    return np.asarray(b * square - d * square**2, dtype=np.float64)


def _merged(lines: RamanLines, width_cm: float = 0.05) -> RamanLines:
    """Join lines closer than ``width_cm`` (0.5 pm), far below the solar table's step, into one at their mean shift."""
    start = np.flatnonzero(np.diff(lines.shift_cm, prepend=-np.inf) > width_cm)
    strength = np.add.reduceat(lines.strength, start)
    return RamanLines(np.add.reduceat(lines.shift_cm * lines.strength, start) / strength, strength)


def _check(grid: FloatArray, values: FloatArray, scattered: FloatArray) -> None:
    if grid.ndim != 1 or grid.shape != values.shape or grid.size < 2 or not (np.diff(grid) > 0).all():
        raise ValueError("the solar spectrum needs two columns of equal length with strictly increasing wavelengths")
    if not (np.isfinite(grid).all() and np.isfinite(values).all()):
        raise ValueError("the solar spectrum holds values that are not finite")
    if scattered.size == 0:
        return
    low, high = 1e7 / (float(scattered.max()) + REACH_CM), 1e7 / (float(scattered.min()) - REACH_CM)
    if not (grid[0] <= low and high <= grid[-1]):
        raise ValueError(
            f"the solar spectrum covers {grid[0]:.2f} to {grid[-1]:.2f} nm, but {low:.2f} to {high:.2f} nm are needed"
        )


def _three_j_zero_squared(n: int, to_n: int) -> float:
    """(N 2 N'; 0 0 0)^2, in closed form."""
    if to_n == n + 2:
        return 3 * (n + 1) * (n + 2) / (2 * (2 * n + 1) * (2 * n + 3) * (2 * n + 5))
    if to_n == n:
        return n * (n + 1) / ((2 * n - 1) * (2 * n + 1) * (2 * n + 3))
    if to_n == n - 2:
        return _three_j_zero_squared(to_n, n)
    return 0.0


def _six_j(a: int, b: int, c: int, d: int, e: int, f: int) -> float:
    """Wigner's 6j symbol {a b c; d e f} of whole numbers (Racah's formula)."""
    triads = ((a, b, c), (a, e, f), (d, b, f), (d, e, c))
    if any(z < abs(x - y) or z > x + y for x, y, z in triads):
        return 0.0
    fact = math.factorial
    root = math.prod(fact(x + y - z) * fact(x - y + z) * fact(-x + y + z) / fact(x + y + z + 1) for x, y, z in triads)
    sums = [sum(triad) for triad in triads]
    pairs = (a + b + d + e, b + c + e + f, c + a + f + d)
    total = math.fsum(
        (-1) ** t * fact(t + 1) / (math.prod(fact(t - s) for s in sums) * math.prod(fact(p - t) for p in pairs))
        for t in range(max(sums), min(pairs) + 1)
    )
    return math.sqrt(root) * total
