"""The wavelengths of a site's spectrometer from sunlight: archived spectra of the sky around a moment."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import numpy as np

from so2cam.core.errors import FrameFileError, InputError
from so2cam.core.records import FloatArray
from so2cam.core.spectra import FitStatus, SpectrumInfo
from so2cam.formats.siteedit import REMOVE, KeyPath
from so2cam.formats.sitefile import LoadedSite, spectrometer_of
from so2cam.pipeline.wavelengths import find_wavelengths
from so2cam.science.spectra.wavelength import CORRECTION_CENTRE_NM
from so2cam.station.arrivals import SPECTRUM, Recogniser
from so2cam.station.catalogue import ArchivedFile
from so2cam.station.context import StationContext, StationSite
from so2cam.station.references import PLUME
from so2cam.station.spectrum_fits import SpectrumFits, SpectrumLook, settings_with

KEY: Final[KeyPath] = ("spectrometer", "detector", "wavelength_correction")
MOST_SPECTRA: Final = 200


@dataclass(frozen=True, slots=True)
class FoundSky:
    """A wavelength calibration of K pieces of the spectrum.

    ``before_nm`` and ``after_nm`` (K,) are how far off the wavelengths of each piece are, with the draft's correction
    and with the one that was found, NaN where a piece could not be fitted; ``sigmas_nm`` (K,) 1 sigma, ``used`` (K,)
    whether it counts. ``correction`` are the coefficients for the site file. ``fit_before`` and ``fit_after`` are the
    fit of the spectrum nearest to the moment with either.
    """

    time: datetime
    spectra: int
    darks: int
    centres_nm: FloatArray
    before_nm: FloatArray
    after_nm: FloatArray
    sigmas_nm: FloatArray
    used: tuple[bool, ...]
    uncertainty_nm: float
    """1 sigma within the fit window"""
    scatter: float
    correction: tuple[float, ...]
    fit_before: SpectrumLook
    fit_after: SpectrumLook

    @property
    def rms_nm(self) -> tuple[float, float]:
        """Root mean square of what the pieces are off, before and after; of those that count."""
        used = np.array(self.used) & np.isfinite(self.after_nm)
        before, after = (np.sqrt(np.mean(values[used] ** 2)) for values in (self.before_nm, self.after_nm))
        return float(before), float(after)

    @property
    def keys(self) -> dict[KeyPath, Any]:
        """The keys that take it."""
        return {KEY: list(self.correction) if any(self.correction) else REMOVE}


class Skies:
    """Spectra of the sky of one site."""

    def __init__(self, context: StationContext, site: StationSite, fits: SpectrumFits) -> None:
        self._context, self._site, self._fits = context, site, fits

    def find(
        self,
        loaded: LoadedSite,
        time: datetime,
        *,
        count: int = 20,
        order: int = 1,
        range_nm: tuple[float, float] | None = None,
    ) -> FoundSky:
        """Return the wavelengths by ``count`` spectra nearest to a moment.

        Raises So2camError where there are none, where they have too little light, and where too few pieces fit.
        """
        if not 1 <= count <= MOST_SPECTRA or not 0 <= order <= 3:
            raise InputError(f"takes 1 to {MOST_SPECTRA} spectra and an order of 0 to 3", value=(count, order))
        file = self._fits.nearest(time)
        if file is None:
            raise InputError("there is no spectrum of the plume", remedy="take spectra first")
        path, darks = self._fits.sources(loaded, file)
        skies = self._alike(loaded, file, count)
        if not skies:
            skies = [path]
        found = find_wavelengths(spectrometer_of(loaded), skies, darks, range_nm=range_nm, order=order)
        settings = settings_with(loaded, {})
        calibration = found.calibration
        centres = calibration.centres_nm
        shifts = np.where(calibration.status == FitStatus.OK, calibration.shifts_nm, np.nan)
        low, high = settings.fit.window_nm
        x = found.sky.wavelengths_nm
        detector = settings.detector.model_copy(update={"wavelength_correction": found.correction})
        return FoundSky(
            time=file.time,
            spectra=found.sky.spectra,
            darks=found.sky.darks,
            centres_nm=centres,
            before_nm=shifts - _added(centres, settings.detector.wavelength_correction),
            after_nm=shifts - _added(centres, found.correction),
            sigmas_nm=calibration.sigmas_nm,
            used=tuple(bool(used) for used in calibration.used),
            uncertainty_nm=float(calibration.uncertainty_nm[(x > low) & (x < high)].max(initial=0.0)),
            scatter=calibration.scatter,
            correction=found.correction,
            fit_before=self._fits.look(loaded, file),
            fit_after=self._fits.look_with(loaded, settings.model_copy(update={"detector": detector}), file),
        )

    def _alike(self, loaded: LoadedSite, file: ArchivedFile, count: int) -> list[Any]:
        """Return the paths of the ``count`` spectra nearest to one, taken as it was, in order of time."""
        name, catalogue = self._site.name, self._context.catalogue
        before = catalogue.find_files(name, kind=SPECTRUM, subject=PLUME, end=file.time, newest=True, limit=count)
        after = catalogue.find_files(name, kind=SPECTRUM, subject=PLUME, start=file.time, limit=count)
        recogniser = Recogniser(loaded.site)
        found: list[SpectrumInfo] = []
        wanted: SpectrumInfo | None = None
        for one in sorted((*before, *after), key=lambda one: abs(one.time - file.time)):
            try:
                info = recogniser.infos(self._site.archive.path_of(one))
            except FrameFileError:
                continue
            if not isinstance(info, SpectrumInfo):
                continue
            wanted = info if wanted is None else wanted
            if (info.integration_time_s, info.coadds) == (wanted.integration_time_s, wanted.coadds):
                found.append(info)
        return [info.path for info in sorted(found[:count], key=lambda info: info.time)]


def _added(centres_nm: FloatArray, coefficients: tuple[float, ...]) -> FloatArray:
    """Return what a correction adds to wavelengths (K,)."""
    if not coefficients:
        return np.zeros(centres_nm.shape)
    polynomial = np.polynomial.Polynomial(np.asarray(coefficients, np.float64))
    return np.asarray(polynomial(centres_nm - CORRECTION_CENTRE_NM))
