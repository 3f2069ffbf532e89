"""The processor of spectra: spectra in, columns out, the same from files, live and on a cluster.

Every spectrum is fitted by itself from the same start, so that neither its neighbours nor the order matter; a batch
of them is only quicker.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from so2cam.core.errors import FrameFileError, InputError
from so2cam.core.records import FloatArray
from so2cam.core.results import IntArray
from so2cam.core.spectra import FIT_STATUS_TEXT, ExampleFit, FitStatus, Spectrum, SpectrumInfo, SpectrumKind
from so2cam.core.spectrometer import Spectrometer
from so2cam.formats.spectra.readers import read_spectrum
from so2cam.pipeline.spectral_models import SpectralModels
from so2cam.science.spectra.dilution import fit_with_dilution
from so2cam.science.spectra.fit import FitResult, fit_spectra
from so2cam.science.spectra.model import FitModel, window_pixels
from so2cam.science.spectra.optical_density import OpticalDensityModel, build_optical_density, fit_optical_density
from so2cam.science.spectra.prepare import Prepared, light_status, prepare, select_darks
from so2cam.science.spectra.spikes import residual_outliers
from so2cam.science.spectra.wavelength import corrected_wavelengths

NAN = float("nan")
CLEAR_AVERAGING_S = 600.0
"""Clear-sky spectra this close to the nearest one are averaged with it."""
_KEPT_MEANS = 64
LIGHT_NM = (302.0, 335.0)
"""Wavelengths over which the shape of a spectrum tells under what light it was taken."""
Sources = tuple[tuple[Path, ...] | None, tuple[Path, ...]]
"""Files of the darks, and of the clear-sky spectra, that a spectrum is fitted with."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """The column of a fit that knows no light dilution, and its 1 sigma [molecules cm-2].

    ``misfit`` is that of every dilution (``science.spectra.dilution.DEPTHS``); None where the spectrum tells nothing.
    """

    column: float
    sigma: float
    misfit: tuple[float, ...] | None


@dataclass(frozen=True, slots=True)
class ColumnRecord:
    """What one spectrum gives. Parameters are (value, 1 sigma), NaN unless the status is OK."""

    info: SpectrumInfo
    status: FitStatus
    parameters: dict[str, tuple[float, float]] = field(default_factory=dict)
    light_dilution: tuple[float, float] = (NAN, NAN)
    residual_rms: float = NAN
    chi2: float = NAN
    light: FloatArray | None = None
    """shape of the spectrum in bins of 1 nm over ``LIGHT_NM``, mean 1; None where it does not reach so far"""
    evidence: Evidence | None = None
    """what many spectra together may tell of light dilution; None where it is not fitted"""


@dataclass(frozen=True, slots=True)
class Fitted:
    """The fit of M spectra by ``model``, in pixels ``window`` of the detector, of which ``usable`` (M, N) counted."""

    result: FitResult
    model: FitModel | OpticalDensityModel
    window: slice
    usable: npt.NDArray[np.bool_]
    light_dilution: FloatArray | None = None
    """(M, 2) with 1 sigma, where it is fitted"""
    evidence: tuple[Evidence, ...] | None = None
    """of each spectrum, where light dilution is fitted"""


@dataclass(frozen=True, slots=True)
class Inspected:
    """One spectrum with all that its column came from.

    ``dark`` (N,) is the mean of ``darks`` files, None without; ``prepared`` and ``fitted`` hold one row, and are None
    where the spectrum did not get so far.
    """

    spectrum: Spectrum
    record: ColumnRecord
    darks: int = 0
    dark: FloatArray | None = None
    prepared: Prepared | None = None
    fitted: Fitted | None = None


class SpectrumReader:
    """Reads spectra of one site; ``hashes`` and ``failures`` tell afterwards what was read and what could not be."""

    def __init__(self, settings: Spectrometer) -> None:
        self._files = settings.files
        self._correction = settings.detector.wavelength_correction
        self.hashes: dict[str, str] = {}
        self.failures: dict[str, FrameFileError] = {}

    def read(self, info: SpectrumInfo) -> Spectrum | None:
        """Return the spectrum, or None where its file cannot be used; the reason is then in ``failures``."""
        try:
            spectrum = read_spectrum(info, self._files)
        except FrameFileError as error:
            self.failures[str(info.path)] = error
            return None
        self.hashes[str(info.path)] = spectrum.sha256
        try:
            wavelengths = corrected_wavelengths(spectrum.wavelengths_nm, self._correction)
        except ValueError as error:
            raise wrong_correction(error, self._correction) from None
        return replace(spectrum, wavelengths_nm=wavelengths)


def wrong_correction(error: ValueError, value: object) -> InputError:
    """Return the error of a correction that does not belong to a spectrometer."""
    return InputError(
        str(error),
        key="spectrometer.detector.wavelength_correction",
        value=value,
        remedy="find it anew with `so2cam wavelengths`, or remove it",
    )


class SpectrumProcessor:
    """Turns spectra into columns. Darks and clear-sky spectra are chosen among ``others`` (any kind may be there)."""

    def __init__(
        self,
        settings: Spectrometer,
        folder: Path,
        others: Sequence[SpectrumInfo],
        reader: SpectrumReader,
        *,
        models: SpectralModels | None = None,
    ) -> None:
        self._settings = settings
        self._reader = reader
        self._darks = [info for info in others if info.kind is SpectrumKind.DARK]
        self._clear = [info for info in others if info.kind is SpectrumKind.CLEAR]
        self._means: dict[tuple[Path, ...], FloatArray] = {}
        self._sizes: dict[Path, int | None] = {}
        self.models = SpectralModels(settings, folder) if models is None else models

    def process(self, spectra: Sequence[Spectrum]) -> list[ColumnRecord]:
        """Return the columns of ``spectra``, in their order."""
        records: dict[int, ColumnRecord] = {}
        groups: dict[tuple[bytes, tuple[Path, ...] | None, tuple[Path, ...]], list[int]] = {}
        for index, spectrum in enumerate(spectra):
            dark, clear = self.sources(spectrum.info, spectrum.counts.size)
            if dark is None and self._dark_is_required:
                records[index] = ColumnRecord(spectrum.info, FitStatus.NO_DARK)
                continue
            groups.setdefault((spectrum.wavelengths_nm.tobytes(), dark, clear), []).append(index)
        for (_, dark, clear), members in groups.items():
            for index, record in zip(
                members, self._process_alike([spectra[index] for index in members], dark, clear), strict=True
            ):
                records[index] = record
        return [records[index] for index in range(len(spectra))]

    def sources(self, info: SpectrumInfo, pixels: int) -> Sources:
        """Return the files of the darks (None: there are none) and clear-sky spectra that a spectrum is fitted with."""
        return self._dark_key(info, pixels), self._clear_key(info, pixels)

    def inspect(self, spectrum: Spectrum) -> Inspected:
        """Return one spectrum's column, as ``process`` finds it, with all that it came from."""
        dark, clear = self.sources(spectrum.info, spectrum.counts.size)
        if dark is None and self._dark_is_required:
            return Inspected(spectrum, ColumnRecord(spectrum.info, FitStatus.NO_DARK))
        records, prepared, fitted = self._fit_alike([spectrum], dark, clear)
        mean = None if dark is None else self._mean(dark)
        return Inspected(spectrum, records[0], 0 if dark is None else len(dark), mean, prepared, fitted)

    def example(self, spectrum: Spectrum, label: str) -> ExampleFit | None:
        """Return the fit of one spectrum as a plot needs it, or None where there is none."""
        if self._window(spectrum.wavelengths_nm) is None:
            return None
        dark, clear = self.sources(spectrum.info, spectrum.counts.size)
        prepared = self._prepared([spectrum], dark)
        found = self._fit(spectrum.wavelengths_nm, prepared, clear)
        measured = np.where(found.usable[0], prepared.counts[0], np.nan)[found.window]
        fitted = found.result.model[0]
        if not np.isfinite(fitted).any():
            return None
        residual = np.divide(measured - fitted, fitted, out=np.full(fitted.shape, np.nan), where=fitted != 0)
        return ExampleFit(label, spectrum.wavelengths_nm[found.window], measured, fitted, residual)

    # -- one detector, one dark ------------------------------------------------------------------------------------

    def _process_alike(
        self, spectra: Sequence[Spectrum], dark: tuple[Path, ...] | None, clear: tuple[Path, ...]
    ) -> list[ColumnRecord]:
        return self._fit_alike(spectra, dark, clear)[0]

    def _fit_alike(
        self, spectra: Sequence[Spectrum], dark: tuple[Path, ...] | None, clear: tuple[Path, ...]
    ) -> tuple[list[ColumnRecord], Prepared | None, Fitted | None]:
        """Return the columns, what was fitted, and the fit of those spectra that can be fitted."""
        infos = [spectrum.info for spectrum in spectra]
        wavelengths = spectra[0].wavelengths_nm
        window = self._window(wavelengths)
        if window is None:
            return [ColumnRecord(info, FitStatus.WINDOW_OUTSIDE) for info in infos], None, None
        prepared = self._prepared(spectra, dark)
        light = self._light_status(prepared, wavelengths, window)
        usable = np.flatnonzero(light == FitStatus.OK)
        records = [ColumnRecord(info, FitStatus(int(status))) for info, status in zip(infos, light, strict=True)]
        if usable.size == 0:
            return records, prepared, None
        chosen = Prepared(
            prepared.counts[usable],
            prepared.usable[usable],
            prepared.saturated[usable],
            prepared.stray_light_counts[usable],
            prepared.noise_counts[usable],
        )
        found = self._fit(wavelengths, chosen, clear)
        for row, index in enumerate(usable):
            shape = light_shape(wavelengths, chosen.counts[row])
            evidence = None if found.evidence is None else found.evidence[row]
            record = _record(infos[index], found.result, row, found.light_dilution)
            records[index] = replace(record, light=shape, evidence=evidence)
        return records, prepared, found

    def _light_status(self, prepared: Prepared, wavelengths: FloatArray, window: slice) -> IntArray:
        """Return for each spectrum (M,) whether it can be fitted; with a fitted dilution, in its windows too."""
        status = light_status(prepared, window, minimum_counts=self._settings.detector.minimum_counts)
        dilution = self._settings.light_dilution
        if dilution.mode == "fit":
            for other in (dilution.first_window_nm, dilution.second_window_nm):
                found = light_status(prepared, window_pixels(wavelengths, other), minimum_counts=-np.inf)
                status = np.where(status == FitStatus.OK, found, status)
        return status

    def _fit(self, wavelengths: FloatArray, prepared: Prepared, clear: tuple[Path, ...]) -> Fitted:
        """Fit prepared spectra of one detector as the settings say."""
        if self._settings.fit.method == "optical-density":
            window = window_pixels(wavelengths, self._settings.fit.window_nm)
            density, usable = self._optical_density(wavelengths, clear)
            result = fit_optical_density(density, prepared.counts, mask=prepared.usable & usable)
            return Fitted(result, density, window, prepared.usable)
        model = self.models.model(wavelengths, self._settings.fit.window_nm)
        mask = prepared.usable[:, model.window]
        counts = prepared.counts[:, model.window]
        result = fit_spectra(model, counts, mask=mask)
        sigma = self._settings.detector.spike_sigma
        if sigma > 0:
            safe = np.where(result.model > 0, result.model, np.nan)
            outliers = residual_outliers(np.where(mask, (counts - result.model) / safe, np.nan), sigma) & mask
            again = np.flatnonzero(outliers.any(axis=1) & (result.status != FitStatus.BAD_PIXELS))
            if again.size:
                mask = mask & ~outliers
                result = _replaced(result, again, fit_spectra(model, counts[again], mask=mask[again]))
        usable = prepared.usable.copy()
        usable[:, model.window] = mask  # without the spikes
        windows = self._settings.light_dilution
        if windows.mode != "fit":
            return Fitted(result, model, model.window, usable)
        first = self.models.model(wavelengths, windows.first_window_nm)
        second = self.models.model(wavelengths, windows.second_window_nm)
        found = fit_with_dilution(first, second, prepared.counts, mask=usable, misfit=True)
        evidence = _evidence(result, found.misfit)
        return Fitted(found.result, first, first.window, usable, found.light_dilution, evidence)

    def _optical_density(
        self, wavelengths: FloatArray, clear: tuple[Path, ...]
    ) -> tuple[OpticalDensityModel, npt.NDArray[np.bool_]]:
        """Return the fit against the mean of clear-sky spectra, and which of their pixels (N,) can be used."""
        if not clear:
            raise InputError(
                "the optical-density fit needs a clear-sky spectrum, and there is none that can be read and has a dark",
                key="spectrometer.fit.method",
                remedy='add spectra of kind clear, with darks, or set method = "intensity"',
            )
        darks = self._dark_key(self._info_of(clear[0]), wavelengths.size)
        background = self._prepare(
            self._mean(clear)[None, :], wavelengths, None if darks is None else self._mean(darks)
        )
        window = window_pixels(wavelengths, self._settings.fit.window_nm)
        light = light_status(background, window, minimum_counts=self._settings.detector.minimum_counts)
        if light[0] != FitStatus.OK:
            raise InputError(
                f"the clear-sky spectrum cannot be used: {FIT_STATUS_TEXT[FitStatus(int(light[0]))]}",
                file=clear[0],
                key="spectrometer.fit.method",
                remedy='add other spectra of kind clear, or set method = "intensity"',
            )
        try:
            model = build_optical_density(
                wavelengths,
                background.counts[0],
                fit=self._settings.fit,
                line_shape=self._settings.line_shape,
                tables=self.models.tables,
            )
        except ValueError as error:
            raise InputError(
                str(error),
                file=clear[0],
                key="spectrometer.fit",
                remedy="check the clear-sky spectra and the fit's settings",
            ) from None
        return model, background.usable[0]

    # -- preparation -----------------------------------------------------------------------------------------------

    def _window(self, wavelengths: FloatArray) -> slice | None:
        windows = [self._settings.fit.window_nm]
        if self._settings.light_dilution.mode == "fit":
            windows += [self._settings.light_dilution.first_window_nm, self._settings.light_dilution.second_window_nm]
        try:
            first, *_ = (window_pixels(wavelengths, window) for window in windows)
        except ValueError:
            return None
        return first

    def _prepared(self, spectra: Sequence[Spectrum], dark: tuple[Path, ...] | None) -> Prepared:
        counts = np.stack([spectrum.counts for spectrum in spectra])
        return self._prepare(counts, spectra[0].wavelengths_nm, None if dark is None else self._mean(dark))

    def _prepare(self, counts: FloatArray, wavelengths: FloatArray, dark: FloatArray | None) -> Prepared:
        detector = self._settings.detector
        try:
            return prepare(
                counts,
                dark,
                wavelengths,
                saturation_counts=detector.saturation_counts,
                nonlinearity=detector.nonlinearity,
                stray_light_nm=detector.stray_light_nm,
                bad_pixels=detector.bad_pixels,
            )
        except ValueError as error:
            raise InputError(
                str(error), key="spectrometer.detector", remedy="correct the detector's settings in the site file"
            ) from None

    @property
    def _dark_is_required(self) -> bool:
        return self._settings.detector.subtract_dark and self._settings.detector.require_dark

    def _dark_key(self, info: SpectrumInfo, pixels: int) -> tuple[Path, ...] | None:
        """Return the files of the darks that belong to a spectrum, all readable and of its size; None without any."""
        detector = self._settings.detector
        if not detector.subtract_dark:
            return None
        darks = self._darks
        while True:
            chosen = select_darks(
                info,
                darks,
                integration_time_tolerance=detector.integration_time_tolerance,
                averaging_s=detector.dark_averaging_s,
            )
            if all(self._size(dark) == pixels for dark in chosen):
                return tuple(dark.path for dark in chosen) or None
            darks = [dark for dark in darks if dark not in chosen or self._size(dark) == pixels]

    def _clear_key(self, info: SpectrumInfo, pixels: int) -> tuple[Path, ...]:
        """Return the clear-sky spectra nearest in time, of one integration time; all can be used."""
        if self._settings.fit.method != "optical-density":
            return ()
        for nearest in sorted(
            self._clear, key=lambda clear: (abs((clear.time - info.time).total_seconds()), clear.path)
        ):
            if self._size(nearest) != pixels:
                continue
            dark = self._dark_key(nearest, pixels)
            if dark is None and self._dark_is_required:
                continue
            alike = (nearest.integration_time_s, nearest.coadds)
            return tuple(
                clear.path
                for clear in self._clear
                if abs((clear.time - nearest.time).total_seconds()) <= CLEAR_AVERAGING_S
                and (clear.integration_time_s, clear.coadds) == alike
                and self._size(clear) == pixels
            )
        return ()

    def _info_of(self, path: Path) -> SpectrumInfo:
        return next(info for info in (*self._darks, *self._clear) if info.path == path)

    def _size(self, info: SpectrumInfo) -> int | None:
        """Return the number of pixels of a dark or clear-sky spectrum; None where it cannot be read."""
        if info.path not in self._sizes:
            spectrum = self._reader.read(info)
            self._sizes[info.path] = None if spectrum is None else spectrum.counts.size
            if spectrum is not None:
                self._keep_mean((info.path,), spectrum.counts)
        return self._sizes[info.path]

    def _mean(self, paths: tuple[Path, ...]) -> FloatArray:
        """Return the mean counts of spectra of one size. Raises FrameFileError where one of them is gone since."""
        if paths not in self._means:
            self._keep_mean(paths, np.mean([self._counts(path) for path in paths], axis=0))
        return self._means[paths]

    def _counts(self, path: Path) -> FloatArray:
        if (path,) in self._means:
            return self._means[path,]
        spectrum = self._reader.read(self._info_of(path))
        if spectrum is None:
            raise self._reader.failures[str(path)]
        return spectrum.counts

    def _keep_mean(self, paths: tuple[Path, ...], counts: FloatArray) -> None:
        if len(self._means) >= _KEPT_MEANS:
            self._means.pop(next(iter(self._means)))
        self._means[paths] = counts


def light_shape(wavelengths_nm: FloatArray, counts: FloatArray) -> FloatArray | None:
    """Return the means of ``counts`` in bins of 1 nm over ``LIGHT_NM``, over their own mean; None without all of them.

    SO2 changes it by little, sun and ozone by much: the steep end below 310 nm is what they move.
    """
    edges = np.arange(LIGHT_NM[0], LIGHT_NM[1] + 0.5)
    index = np.digitize(wavelengths_nm, edges) - 1
    inside = (index >= 0) & (index < edges.size - 1) & np.isfinite(counts)
    number = np.bincount(index[inside], minlength=edges.size - 1)
    if (number == 0).any():
        return None
    means = np.bincount(index[inside], counts[inside], minlength=edges.size - 1) / number
    total = float(means.mean())
    return None if total <= 0 else np.asarray(means / total, np.float64)


def _replaced(result: FitResult, rows: npt.NDArray[np.intp], better: FitResult) -> FitResult:
    """Return ``result`` with ``rows`` taken from ``better``."""

    def put(values: npt.NDArray[np.generic], new: npt.NDArray[np.generic]) -> npt.NDArray[np.generic]:
        out = values.copy()
        out[rows] = new
        return out

    names = ("values", "sigma", "chi2", "residual_rms", "evaluations", "status", "model")
    return FitResult(result.names, *(put(getattr(result, name), getattr(better, name)) for name in names))  # type: ignore[arg-type]


def _evidence(plain: FitResult, misfit: FloatArray) -> tuple[Evidence, ...]:
    return tuple(
        Evidence(float(column), float(sigma), tuple(row.tolist()) if np.isfinite(row).all() else None)
        for column, sigma, row in zip(plain.so2, plain.so2_sigma, misfit, strict=True)
    )


def _record(info: SpectrumInfo, result: FitResult, row: int, dilution: npt.NDArray[np.float64] | None) -> ColumnRecord:
    return ColumnRecord(
        info=info,
        status=FitStatus(int(result.status[row])),
        parameters={
            name: (float(result.values[row, column]), float(result.sigma[row, column]))
            for column, name in enumerate(result.names)
        },
        light_dilution=(NAN, NAN) if dilution is None else (float(dilution[row, 0]), float(dilution[row, 1])),
        residual_rms=float(result.residual_rms[row]),
        chi2=float(result.chi2[row]),
    )
