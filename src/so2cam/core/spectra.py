"""The records of spectra: what a spectrometer gives, and what a fit makes of it."""

from dataclasses import dataclass
from datetime import datetime
from enum import IntEnum, StrEnum
from pathlib import Path

from so2cam.core.records import FloatArray
from so2cam.core.results import IntArray


class SpectrumKind(StrEnum):
    """What a spectrum shows. Test spectra are never used in processing."""

    PLUME = "plume"
    DARK = "dark"
    CLEAR = "clear"
    LAMP = "calibration"
    """Light of a calibration lamp, for the line shape and the wavelengths."""
    TEST = "test"


@dataclass(frozen=True, slots=True)
class SpectrumInfo:
    """What is known of a spectrum without its counts.

    ``time`` is mid-exposure, UTC; ``integration_time_s`` of one readout and ``coadds`` (readouts that were averaged)
    are None where the file does not tell. Places are degrees north and east on WGS84, and metres above sea level.
    """

    path: Path
    kind: SpectrumKind
    time: datetime
    integration_time_s: float | None
    coadds: int | None
    time_resolution_s: float = 1.0
    latitude_deg: float | None = None
    longitude_deg: float | None = None
    altitude_m: float | None = None


@dataclass(frozen=True, slots=True)
class Spectrum:
    """A spectrum: ``wavelengths_nm`` (N,), strictly increasing, as stored, and ``counts`` (N,), float64."""

    info: SpectrumInfo
    wavelengths_nm: FloatArray
    counts: FloatArray
    sha256: str


class FitStatus(IntEnum):
    """Why a spectrum has no column, or that it has one. Values are part of the products: never reuse one."""

    OK = 0
    NO_DARK = 1
    SATURATED = 2
    TOO_DARK = 3
    BAD_PIXELS = 4
    NOT_CONVERGED = 5
    AT_BOUND = 6
    NO_INFORMATION = 7
    WINDOW_OUTSIDE = 8
    DILUTION_NOT_UNIQUE = 9


FIT_STATUS_TEXT: dict[FitStatus, str] = {
    FitStatus.OK: "valid",
    FitStatus.NO_DARK: "no dark spectrum of the same integration time and coadds",
    FitStatus.SATURATED: "saturated within the fit window",
    FitStatus.TOO_DARK: "too little light within the fit window",
    FitStatus.BAD_PIXELS: "too many bad or missing pixels within the fit window",
    FitStatus.NOT_CONVERGED: "the fit did not converge",
    FitStatus.AT_BOUND: "the fit ended at the bound of a parameter",
    FitStatus.NO_INFORMATION: "the spectrum does not determine all parameters: an uncertainty is infinite",
    FitStatus.WINDOW_OUTSIDE: "the fit window lies outside the spectrum",
    FitStatus.DILUTION_NOT_UNIQUE: "more than one light dilution explains the spectrum",
}
"""The meaning of every status, in words."""


@dataclass(frozen=True, slots=True)
class DilutionEvidence:
    """What spectra tell of light dilution together, where it is fitted.

    ``so2_molec_cm2`` and ``so2_random_molec_cm2`` (T,) are columns of a fit that knows no dilution and their 1 sigma.
    ``misfit`` (T, G) is each spectrum's least chi-squared at ``depth`` (G,), depths -ln(1 - dilution), above the lowest
    and in units of the noise's variance; NaN where a spectrum tells nothing.
    """

    so2_molec_cm2: FloatArray
    so2_random_molec_cm2: FloatArray
    depth: FloatArray
    misfit: FloatArray


@dataclass(frozen=True, slots=True)
class ColumnSeries:
    """SO2 columns of a series of spectra. Arrays have shape (T,) unless they say otherwise; NaN is missing.

    ``so2_random`` is 1 sigma from the fit, ``so2_systematic`` that of the cross section and of other common causes,
    both [molecules cm-2]. ``light_dilution`` is the share of light at 310 nm that was scattered in between camera and
    plume, NaN where it was not fitted. ``parameters`` holds every fitted parameter by name with its 1 sigma.
    """

    times: tuple[datetime, ...]
    files: tuple[str, ...]
    so2_molec_cm2: FloatArray
    so2_random_molec_cm2: FloatArray
    so2_systematic_molec_cm2: FloatArray
    light_dilution: FloatArray
    light_dilution_uncertainty: FloatArray
    residual_rms: FloatArray
    """root mean square of the residual, relative to the spectrum"""
    chi2: FloatArray
    """sum of squares of the residual, in counts squared"""
    status: IntArray
    """values of ``FitStatus``"""
    parameters: dict[str, tuple[FloatArray, FloatArray]]
    latitude_deg: FloatArray
    longitude_deg: FloatArray
    altitude_m: FloatArray
    evidence: DilutionEvidence | None = None


@dataclass(frozen=True, slots=True)
class ExampleFit:
    """One fit as a plot needs it: measured and modelled spectrum (N,), and the residual relative to the model."""

    label: str
    wavelengths_nm: FloatArray
    measured: FloatArray
    model: FloatArray
    residual: FloatArray
