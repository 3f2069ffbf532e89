"""Physical constants, each with its source. The only place in so2cam where they stand."""

from typing import Final

AVOGADRO_PER_MOL: Final = 6.02214076e23
"""Avogadro constant [mol-1]; exact, SI 2019."""

BOLTZMANN_J_PER_K: Final = 1.380649e-23
"""Boltzmann constant [J K-1]; exact, SI 2019."""

MOLAR_MASS_SO2_KG_PER_MOL: Final = 64.0638e-3
"""Molar mass of SO2 [kg mol-1] (IUPAC standard atomic weights: S 32.065, O 15.9994)."""

KG_M2_PER_MOLEC_CM2: Final = 1e4 * MOLAR_MASS_SO2_KG_PER_MOL / AVOGADRO_PER_MOL
"""Mass column of SO2 [kg m-2] of 1 molecule cm-2: 1.0638e-25 * 1e4 = 1.06380e-21 (1 cm-2 = 1e4 m-2)."""

PPM_M_TEMPERATURE_K: Final = 293.15
"""Temperature [K] at which so2cam's ppm m is defined: 20 degrees Celsius."""

PPM_M_PRESSURE_PA: Final = 101325.0
"""Pressure [Pa] at which so2cam's ppm m is defined: 1 atm."""

MOLEC_CM2_PER_PPM_M: Final = 1e-6 * PPM_M_PRESSURE_PA / (BOLTZMANN_J_PER_K * PPM_M_TEMPERATURE_K) * 1e-4
"""Column density [molecules cm-2] of 1 ppm m at 20 degrees Celsius and 1 atm: 2.50348e15.

Ideal gas: 1 ppm over 1 m holds ``1e-6 * p / (k_B T) * 1 m`` molecules per m2. For display, and for gas cells
whose label states neither temperature nor pressure.
"""

TONNES_PER_DAY_PER_KG_PER_S: Final = 86.4
"""1 kg s-1 = 86.4 t d-1."""
