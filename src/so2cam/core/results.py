"""The records of results: what the chain hands to the products. NaN is missing, and a status says why."""

from dataclasses import dataclass
from datetime import datetime

import numpy as np
import numpy.typing as npt

from so2cam.core.records import BoolImage, FloatArray, FloatImage, PlumeLine

IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class EmissionSeries:
    """Emission rates of a run. Shapes: T times, L lines, M speed methods; uncertainties are 1 sigma.

    ``plume_direction_deg`` is the direction of motion in the image, 0 up, 90 right. ``status`` and
    ``total_status`` hold ``EmissionStatus``, ``quality_flags`` the bits of ``QualityFlag``.
    """

    times: tuple[datetime, ...]
    lines: tuple[str, ...]
    speed_methods: tuple[str, ...]
    emission_rate_kg_s: FloatArray
    """(T, L, M)"""
    random_uncertainty_kg_s: FloatArray
    """(T, L, M)"""
    systematic_uncertainty_kg_s: FloatArray
    """(T, L, M)"""
    status: IntArray
    """(T, L, M)"""
    plume_speed_m_s: FloatArray
    """(T, L, M): column-weighted mean speed along the line's normal"""
    plume_speed_uncertainty_m_s: FloatArray
    """(T, L, M)"""
    plume_direction_deg: FloatArray
    """(T, L, M)"""
    integrated_column_amount_kg_m: FloatArray
    """(T, L)"""
    integrated_column_amount_uncertainty_kg_m: FloatArray
    """(T, L): random part"""
    total_emission_rate_kg_s: FloatArray
    """(T, M)"""
    total_random_uncertainty_kg_s: FloatArray
    """(T, M)"""
    total_systematic_uncertainty_kg_s: FloatArray
    """(T, M)"""
    total_status: IntArray
    """(T, M)"""
    background_level: FloatArray
    """(T,): on- minus off-band level of the sky behind the plume, relative to the clear-sky frames"""
    background_noise: FloatArray
    """(T,): noise of a pixel's absorbance in plume-free sky"""
    quality_flags: IntArray
    """(T,)"""
    pair_offset_s: FloatArray
    """(T,): mid-exposure of the off-band frame minus that of the on-band frame"""
    calibration_slope_molec_cm2: FloatArray
    """(T,): column density per absorbance, near zero absorbance"""
    calibration_slope_uncertainty_molec_cm2: FloatArray
    """(T,)"""
    calibration_offset_molec_cm2: FloatArray
    """(T,)"""
    calibration_offset_uncertainty_molec_cm2: FloatArray
    """(T,)"""


@dataclass(frozen=True, slots=True)
class CalibrationSummary:
    """A calibration as a plot needs it: measured cells and a table of the fitted curve."""

    description: str
    absorbance: FloatArray
    absorbance_uncertainty: FloatArray
    column_molec_cm2: FloatArray
    column_uncertainty_molec_cm2: FloatArray
    curve_absorbance: FloatArray
    curve_column_molec_cm2: FloatArray
    curve_uncertainty_molec_cm2: FloatArray
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ExampleImage:
    """One pair as a plot needs it.

    ``flow_px_s`` is the apparent velocity (rows, columns, 2) in pixels per second, x then y, or None; it may be
    NaN where it is not known. ``profiles`` has for each line the column density [molecules cm-2] at equally
    spaced samples (NaN where masked) and the line's length at the plume [m].
    """

    time: datetime
    absorbance: FloatImage
    valid: BoolImage
    lines: tuple[PlumeLine, ...]
    flow_px_s: npt.NDArray[np.float32] | None
    profiles: dict[str, tuple[FloatArray, float]]
