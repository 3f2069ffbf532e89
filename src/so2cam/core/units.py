"""Conversions between column-density units. Inside so2cam a column density is in molecules cm-2."""

from so2cam.core.constants import BOLTZMANN_J_PER_K, PPM_M_PRESSURE_PA, PPM_M_TEMPERATURE_K


def molec_cm2_per_ppm_m(temperature_k: float = PPM_M_TEMPERATURE_K, pressure_pa: float = PPM_M_PRESSURE_PA) -> float:
    """Return the column density [molecules cm-2] of 1 ppm m of gas at ``temperature_k`` and ``pressure_pa``.

    Ideal gas law, ``1e-6 p / (k_B T)`` per m2 and metre. Raises ValueError for values that are not positive.
    """
    if not (temperature_k > 0 and pressure_pa > 0):
        raise ValueError(f"temperature and pressure must be positive, got {temperature_k} K and {pressure_pa} Pa")
    return 1e-6 * pressure_pa / (BOLTZMANN_J_PER_K * temperature_k) * 1e-4
