"""Light by wavelength: the sun, ozone, the air between camera and plume, and the plume.

    L(lambda) = S(lambda) [ (1 - l(lambda)) exp(-sigma(lambda) N - a(lambda) N) + l(lambda) ]
    S = sun * (1 - f + f exp(-R)) * exp(-sigma_O3 N_O3),       l = 1 - exp(-e(lambda) d)

N: slant column of SO2; a N: optical depth of the plume's aerosol, which goes with SO2; l: share of the light that
was scattered into the line of sight between camera and plume at distance d (light dilution; Kern 2010, Campion
2015); e: extinction of that air, molecules with lambda^-4 and haze; R: Ring spectrum, f: share of Raman-scattered
light. Tables are those of ``formats.reference_spectra``; nothing here comes from so2cam's science.
"""

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import numpy as np
import numpy.typing as npt

from so2cam.core.records import Band, FloatArray
from so2cam.formats.reference_spectra import reference_table
from so2cam.simulate.scenario import Air, Filters, PlumeShape, Scenario

REFERENCE_NM: Final = 310.0
AEROSOL_NM: Final = 320.0
_PER_1E18: Final = 1e-18
_BAND_STEP_NM: Final = 0.05
_BAND_REACH: Final = 2.2
"""A band is integrated this many widths to each side of its centre"""
_NODES: Final = 2048
_TABLE_TOP: Final = 6e18
"""The smallest table of columns ends here [molecules cm-2]; others are twice, four times... as long"""
FIRST_TABLE_NM: Final = 270.0
"""No sunlight arrives below: ozone"""


@dataclass(frozen=True, slots=True)
class Spectra:
    """Tables on one wavelength grid; all arrays have shape (wavelengths,)."""

    wavelengths_nm: FloatArray
    source: FloatArray
    """S: the light of the sky, photons, in arbitrary units"""
    so2_cm2: FloatArray
    plume_cm2: FloatArray
    """Extinction cross section of the plume per molecule of SO2: SO2 and aerosol"""
    extinction_per_m: FloatArray
    """Of the air between camera and plume"""

    def diluted(self, distance_m: float) -> FloatArray:
        """Return l, the share of light from this side of ``distance_m``."""
        return np.asarray(-np.expm1(-self.extinction_per_m * distance_m))


@lru_cache(maxsize=32)
def _on_grid(name: str, first_nm: float, last_nm: float, step_nm: float) -> FloatArray:
    table = reference_table(name)
    grid = _grid(first_nm, last_nm, step_nm)
    values = np.interp(grid, table.wavelengths_nm, table.values)
    values.flags.writeable = False
    return values


def _grid(first_nm: float, last_nm: float, step_nm: float) -> FloatArray:
    return first_nm + step_nm * np.arange(round((last_nm - first_nm) / step_nm) + 1, dtype=np.float64)


def extinction_per_m(air: Air, wavelengths_nm: FloatArray | float) -> FloatArray:
    """Return the extinction [m-1] of the air between camera and plume: Rayleigh (lambda^-4) and haze."""
    ratio = REFERENCE_NM / np.asarray(wavelengths_nm, np.float64)
    colour = (1 - air.haze) * ratio**4 + air.haze * ratio**air.haze_angstrom
    return np.asarray(air.extinction_310_per_m * colour, np.float64)


def build_spectra(air: Air, plume: PlumeShape, first_nm: float, last_nm: float, step_nm: float) -> Spectra:
    """Return the tables on a grid of wavelengths in vacuum, which must lie within 270 and 430 nm."""
    place = first_nm, last_nm, step_nm
    grid = _grid(*place)
    source = _on_grid("solar-sao2010", *place) * np.exp(
        -_on_grid("o3-serdyuchenko2014-223k", *place) * air.o3_slant_molec_cm2
    )
    source = source * (1 - air.ring + air.ring * np.exp(-_on_grid("ring", *place)))
    so2 = _on_grid(air.so2_table, *place)
    aerosol = plume.aerosol_optical_depth * _PER_1E18 * (AEROSOL_NM / grid) ** plume.aerosol_angstrom
    return Spectra(grid, source, so2, so2 + aerosol, extinction_per_m(air, grid))


class BandLight:
    """What one camera's band makes of columns and distances."""

    def __init__(self, band: Band, scenario: Scenario, distances_m: tuple[float, float]) -> None:
        """``distances_m`` [m]: of the plume, from the nearest to the farthest pixel."""
        filters = scenario.filters
        centre = filters.on_centre_nm if band is Band.ON else filters.off_centre_nm
        reach = _BAND_REACH * filters.width_nm
        first = max(FIRST_TABLE_NM, centre - reach)
        self.centre_nm = centre
        self._spectra = build_spectra(scenario.air, scenario.plume, first, centre + reach, _BAND_STEP_NM)
        weights = self._spectra.source * band_pass(filters, centre, self._spectra.wavelengths_nm)
        self._weights = weights / weights.sum()
        self._distances = distances_m
        self._dilutes = scenario.air.extinction_310_per_m > 0
        self._tables: dict[int, tuple[npt.NDArray[np.float32], ...]] = {}

    @property
    def cross_section_cm2(self) -> float:
        """Effective cross section of SO2 [cm2] for small columns."""
        return float(self._weights @ self._spectra.so2_cm2)

    @property
    def extinction_per_m(self) -> float:
        """Effective extinction [m-1] of the air, for small distances."""
        return float(self._weights @ self._spectra.extinction_per_m)

    def diluted(self, distance_m: FloatArray) -> FloatArray:
        """Return the share of the band's light from this side of distances [m], of their shape."""
        distance = np.asarray(distance_m, np.float64)
        if not self._dilutes:
            return np.zeros(distance.shape)
        nodes = np.linspace(0.0, max(float(distance.max(initial=1.0)), 1.0), 257)
        values = np.array([float(self._weights @ self._spectra.diluted(node)) for node in nodes])
        return np.asarray(np.interp(distance, nodes, values), np.float64)

    def place(self, distance_m: FloatArray) -> npt.NDArray[np.float32]:
        """Return the place of distances [m] between the nearest and the farthest, as ``look_up`` wants it.

        It is the one of the light before them, in which transmissions are linear.
        """
        near, far = (float(self._weights @ self._spectra.diluted(value)) for value in self._distances)
        if far <= near:
            return np.zeros(np.shape(distance_m), np.float32)
        return ((self.diluted(distance_m) - near) / (far - near)).astype(np.float32)

    def cell_transmission(self, column_molec_cm2: float) -> float:
        """Return the transmission of a gas cell before the lens, without its windows."""
        return float(self._weights @ np.exp(-self._spectra.so2_cm2 * column_molec_cm2))

    def transmission(self, columns_molec_cm2: FloatArray, distance_m: float) -> FloatArray:
        """Return the plume's transmission (with the light before it) at columns [molecules cm-2], of their shape."""
        columns = np.asarray(columns_molec_cm2, np.float64)
        share = self._spectra.diluted(distance_m)
        kept = self._weights * (1 - share)
        flat = np.array([float(kept @ np.exp(-self._spectra.plume_cm2 * column)) for column in columns.ravel()])
        return np.asarray(flat.reshape(columns.shape) + float(self._weights @ share), np.float64)

    def look_up(
        self, columns_molec_cm2: npt.NDArray[np.float32], far: npt.NDArray[np.float32]
    ) -> npt.NDArray[np.float32]:
        """Return the same from a table, fast, shape (n,). ``far``: what ``place`` says of each."""
        if columns_molec_cm2.size == 0:
            return columns_molec_cm2
        # Which table is used depends on the columns alone, so that a frame is the same whatever came before it.
        doublings = max(0, math.floor(math.log2(max(float(columns_molec_cm2.max()), 1.0) / _TABLE_TOP)) + 1)
        if doublings not in self._tables:
            self._tables[doublings] = self._make_tables(_TABLE_TOP * 2.0**doublings)
        tables = self._tables[doublings]
        place = columns_molec_cm2 * np.float32((_NODES - 1) / (_TABLE_TOP * 2.0**doublings))
        at = np.minimum(place.astype(np.int32), _NODES - 2)
        place -= at
        near = _between(tables[0], at, place)
        if self._dilutes:
            near += far * (_between(tables[1], at, place) - near)
        return near

    def _make_tables(self, top: float) -> tuple[npt.NDArray[np.float32], ...]:
        """Return tables of the transmission from 0 to ``top`` [molecules cm-2], at the nearest and farthest pixel."""
        columns = np.linspace(0, top, _NODES)
        tables = []
        for distance in self._distances if self._dilutes else self._distances[:1]:
            share = self._spectra.diluted(distance)
            step = np.exp(-self._spectra.plume_cm2 * columns[1])
            light = self._weights * (1 - share)
            values = np.empty(_NODES)
            for number in range(_NODES):
                values[number] = light.sum()
                light = light * step
            tables.append((values + float(self._weights @ share)).astype(np.float32))
        return tuple(tables)


def _between(
    table: npt.NDArray[np.float32], at: npt.NDArray[np.int32], share: npt.NDArray[np.float32]
) -> npt.NDArray[np.float32]:
    values: npt.NDArray[np.float32] = table[at]
    values += share * (table[at + 1] - values)
    return values


def band_pass(filters: Filters, centre_nm: float, wavelengths_nm: FloatArray) -> FloatArray:
    """Return transmission of the filter times response of the detector: maximum near 1."""
    offset = np.asarray(wavelengths_nm, np.float64) - centre_nm
    filtered = np.exp(-np.log(2) * np.abs(2 * offset / filters.width_nm) ** filters.exponent)
    return np.asarray(filtered * (1 + filters.response_per_10_nm) ** ((offset + centre_nm - 320.0) / 10), np.float64)
