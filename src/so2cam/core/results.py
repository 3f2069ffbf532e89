"""The records of results: what the chain hands to the products. NaN is missing, and a status says why."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, Literal

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
    calibration_number: IntArray
    """(T,): which calibration of the run held; -1 is one that the run was given"""
    extinction_per_m: FloatArray
    """(T, 2): of the on and the off band between camera and plume, where light dilution is corrected"""
    extinction_uncertainty_per_m: FloatArray
    """(T, 2)"""
    uncertainty_terms_kg_s: FloatArray
    """(T, L, M, terms): 1 sigma of each term of the budget, in the order of ``Term``; NaN where there is none"""
    dilution: "DilutionAgreement | None" = None
    """of the whole run; None where light dilution is not corrected, or not known"""


@dataclass(frozen=True, slots=True)
class CalibrationSummary:
    """A calibration as a plot needs it: measured cells, or points of the spectrometer, and a table of the fitted curve.

    ``points`` says which of the two; ``weights`` (N,) are those of the spectrometer's points, 0 to 1.
    """

    description: str
    absorbance: FloatArray
    absorbance_uncertainty: FloatArray
    column_molec_cm2: FloatArray
    column_uncertainty_molec_cm2: FloatArray
    curve_absorbance: FloatArray
    curve_column_molec_cm2: FloatArray
    curve_uncertainty_molec_cm2: FloatArray
    warnings: tuple[str, ...] = ()
    points: Literal["cells", "spectrometer"] = "cells"
    weights: FloatArray | None = None


NO_FIT: Final = -1
"""Number of the fit of a point that none saw, for want of a field of view."""


@dataclass(frozen=True, slots=True)
class CalibrationPoint:
    """An image and a column of the spectrometer that belong together.

    ``absorbance`` is the image's mean in the spectrometer's field of view. 1 sigma of both are random parts. ``weight``
    (0 to 1) is what was left of the point in the fit that saw it first, number ``fit``: outliers count less. Where no
    field of view was known the absorbance is NaN, and ``fit`` ``NO_FIT``.
    """

    time: datetime
    absorbance: float
    absorbance_uncertainty: float
    column_molec_cm2: float
    column_uncertainty_molec_cm2: float
    weight: float
    fit: int


@dataclass(frozen=True, slots=True)
class CalibrationFit:
    """One calibration of a run: when it was made, of how many points, the curve, and how well it fits.

    ``status`` says in a word why there is no curve ("ok" where there is one). ``parameters`` and their 1 sigma are the
    curve's: offset and scale (or slope) of a band or a line. ``scale_uncertainty`` is relative, of what all columns
    share.
    """

    number: int
    time: datetime
    status: str
    points: int
    model: str
    parameters: tuple[float, ...]
    parameter_uncertainties: tuple[float, ...]
    slope_molec_cm2: float
    slope_uncertainty_molec_cm2: float
    scale_uncertainty: float
    correlation: float
    reduced_chi2: float
    maximum_absorbance: float


@dataclass(frozen=True, slots=True)
class ViewRecord:
    """One search of the spectrometer's field of view. Pixels of the on-band image; NaN where nothing was found."""

    time: datetime
    status: str
    x: float
    y: float
    radius_px: float
    x_uncertainty: float
    y_uncertainty: float
    radius_uncertainty: float
    correlation: float
    images: int


@dataclass(slots=True)
class CalibrationRecord:
    """What a run learnt of its calibration by the spectrometer, in order of time.

    ``correlation_map`` is that of the newest search, (rows, columns) of blocks of ``block_px`` pixels. ``excluded`` are
    the points that the site file leaves out: what they would be in the view, with the weight 0; no fit has seen them.
    """

    points: list[CalibrationPoint] = field(default_factory=list)
    fits: list[CalibrationFit] = field(default_factory=list)
    views: list[ViewRecord] = field(default_factory=list)
    correlation_map: FloatImage | None = None
    block_px: int = 1
    excluded: list[CalibrationPoint] = field(default_factory=list)
    matched: int = 0
    """most images with a column beside them that there were at a time"""


@dataclass(frozen=True, slots=True)
class DilutionAgreement:
    """The extinction between camera and plume that a run corrected by, beside what else tells of it.

    Pairs are those of the on and the off band; extinctions [m-1] with 1 sigma. ``spectral``: by the light dilution that
    the fit of ``spectra`` spectra found, NaN where none did; ``difference_sigma``: by how much the run's are larger.
    ``colour_sigma``: how far the two bands are from the law of the wavelength that air has. ``clean_air``: of air
    without haze at the height of the vent.
    """

    extinction_per_m: tuple[float, float]
    uncertainty_per_m: tuple[float, float]
    spectral_per_m: tuple[float, float]
    spectral_uncertainty_per_m: tuple[float, float]
    spectra: int
    difference_sigma: tuple[float, float]
    colour_sigma: float
    clean_air_per_m: tuple[float, float]


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
