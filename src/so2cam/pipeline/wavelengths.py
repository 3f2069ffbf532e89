"""The wavelengths of a spectrometer from the Fraunhofer lines of spectra of the sky that the user names."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from so2cam.core.errors import InputError, OutputError
from so2cam.core.records import FloatArray
from so2cam.core.spectra import FitStatus
from so2cam.formats.sitefile import LoadedSpectrometer
from so2cam.formats.wavelength_page import WavelengthRecord, write_wavelength_page
from so2cam.pipeline.lamp_spectra import LampSpectrum, read_lamp
from so2cam.pipeline.output import write_together
from so2cam.pipeline.spectral_models import SpectralModels
from so2cam.science.spectra.wavelength import (
    WavelengthCalibration,
    calibrate_wavelengths,
    correction_coefficients,
)

RANGE_NM = (306.0, 336.0)
"""Where the sky is bright and has lines, as far as a spectrometer sees it."""
_EDGE_NM = 1.5
_DIGITS = (4, 6, 8, 10)


@dataclass(frozen=True, slots=True)
class FoundWavelengths:
    """A calibration, the spectrum it was made from, and its polynomial in powers of (wavelength - 310 nm)."""

    sky: LampSpectrum
    calibration: WavelengthCalibration
    correction: tuple[float, ...]

    @property
    def settings(self) -> str:
        """The lines of a site file that correct the wavelengths."""
        return f"[spectrometer.detector]\nwavelength_correction = [{', '.join(f'{c:.10g}' for c in self.correction)}]"


def find_wavelengths(
    loaded: LoadedSpectrometer,
    skies: Sequence[Path],
    darks: Sequence[Path] = (),
    *,
    range_nm: tuple[float, float] | None = None,
    order: int = 1,
) -> FoundWavelengths:
    """Compare the mean of ``skies``, less the mean of ``darks``, with sunlight; return what is to be added.

    Stored wavelengths are what is corrected, whatever the site file adds to them now. Without ``range_nm`` it is 306 to
    336 nm, as far as the spectra reach. Raises FrameFileError for a file that cannot be read, and InputError for files
    that do not belong together, too little light, and where too few pieces of the spectrum can be fitted.
    """
    stored = loaded.spectrometer
    settings = stored.model_copy(update={"detector": stored.detector.model_copy(update={"wavelength_correction": ()})})
    sky = read_lamp(settings, skies, darks, what="sky")
    x = sky.wavelengths_nm
    counts = np.where(sky.counts < sky.saturation_counts, sky.counts, np.nan)
    stray = settings.detector.stray_light_nm
    if stray is not None:
        dark_part = (x >= stray[0]) & (x <= stray[1]) & np.isfinite(counts)
        if dark_part.any():
            counts = counts - counts[dark_part].mean()
    if range_nm is None:
        range_nm = max(RANGE_NM[0], float(x[0]) + _EDGE_NM), min(RANGE_NM[1], float(x[-1]) - _EDGE_NM)
    inside = (x > range_nm[0]) & (x < range_nm[1])
    light = float(np.nanmedian(counts[inside])) if np.isfinite(counts[inside]).any() else 0.0
    if not light >= settings.detector.minimum_counts:
        raise InputError(
            f"has too little light, or is saturated, from {range_nm[0]:g} to {range_nm[1]:g} nm",
            file=skies[0],
            value=round(light, 1),
            remedy="take a spectrum of the bright sky with its dark, or another --range",
        )
    try:
        calibration = calibrate_wavelengths(
            x,
            counts,
            fit=settings.fit,
            line_shape=settings.line_shape,
            tables=SpectralModels(settings, loaded.path.parent).tables,
            range_nm=range_nm,
            order=order,
        )
    except ValueError as error:
        raise InputError(
            str(error), file=skies[0], key="--range", value=range_nm, remedy="choose another --range or a lower --order"
        ) from None
    coefficients = correction_coefficients(calibration)
    rounded = tuple(round(float(c), digits) for c, digits in zip(coefficients, _DIGITS, strict=False))
    return FoundWavelengths(sky, calibration, rounded)


def write_wavelengths(loaded: LoadedSpectrometer, found: FoundWavelengths, plot: Path) -> None:
    """Write the page. Raises OutputError where that cannot be done, or would overwrite an input."""
    if plot.resolve() in {path.resolve() for path, _ in found.sky.inputs} | {loaded.path.resolve()}:
        raise OutputError(
            "is an input and would be overwritten", file=plot, key="--plot", remedy="name another file with --plot"
        )
    calibration = found.calibration
    failed = calibration.status != FitStatus.OK
    inside = _within(found.sky.wavelengths_nm, calibration)
    record = WavelengthRecord(
        site_name=loaded.name,
        made_from=f"{found.sky.spectra} spectr{'um' if found.sky.spectra == 1 else 'a'} of the sky, "
        f"{found.sky.darks or 'no'} dark{'s' if found.sky.darks > 1 else ''}",
        centres_nm=calibration.centres_nm,
        shifts_nm=np.where(failed, np.nan, calibration.shifts_nm),
        sigmas_nm=calibration.sigmas_nm,
        used=calibration.used,
        wavelengths_nm=found.sky.wavelengths_nm[inside],
        correction_nm=(calibration.wavelengths_nm - found.sky.wavelengths_nm)[inside],
        uncertainty_nm=calibration.uncertainty_nm[inside],
        counts=found.sky.counts[inside],
        settings=found.settings,
    )
    products: list[tuple[Path, Callable[[Path], None]]] = [(plot, lambda path: write_wavelength_page(path, record))]
    write_together(products)


def _within(x: FloatArray, calibration: WavelengthCalibration) -> slice:
    first, last = calibration.centres_nm[[0, -1]]
    return slice(int(np.searchsorted(x, first - 4)), int(np.searchsorted(x, last + 4)))
