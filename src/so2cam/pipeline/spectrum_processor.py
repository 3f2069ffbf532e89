"""The processor of spectra: spectra in, columns out, the same from files, live and on a cluster.

Every spectrum is fitted by itself from the same start, so that neither its neighbours nor the order matter; a batch
of them is only quicker.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt

from so2cam.core.errors import FrameFileError, InputError
from so2cam.core.records import FloatArray
from so2cam.core.spectra import ExampleFit, FitStatus, Spectrum, SpectrumInfo, SpectrumKind
from so2cam.core.spectrometer import Spectrometer
from so2cam.formats.spectra.readers import read_spectrum
from so2cam.pipeline.spectral_models import SpectralModels
from so2cam.science.spectra.dilution import fit_with_dilution
from so2cam.science.spectra.fit import FitResult, fit_spectra
from so2cam.science.spectra.model import FitModel, window_pixels
from so2cam.science.spectra.optical_density import build_optical_density, fit_optical_density
from so2cam.science.spectra.prepare import Prepared, light_status, prepare, select_darks
from so2cam.science.spectra.spikes import residual_outliers

NAN = float("nan")


@dataclass(frozen=True, slots=True)
class ColumnRecord:
    """What one spectrum gives. Parameters are (value, 1 sigma), NaN unless the status is OK."""

    info: SpectrumInfo
    status: FitStatus
    parameters: dict[str, tuple[float, float]] = field(default_factory=dict)
    light_dilution: tuple[float, float] = (NAN, NAN)
    residual_rms: float = NAN
    chi2: float = NAN


class SpectrumReader:
    """Reads spectra of one site; ``hashes`` and ``failures`` tell afterwards what was read and what could not be."""

    def __init__(self, settings: Spectrometer) -> None:
        self._files = settings.files
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
        return spectrum


class SpectrumProcessor:
    """Turns spectra into columns. Darks and clear-sky spectra are chosen among ``others`` (any kind may be there)."""

    def __init__(
        self, settings: Spectrometer, folder: Path, others: Sequence[SpectrumInfo], reader: SpectrumReader
    ) -> None:
        self._settings = settings
        self._reader = reader
        self._darks = [info for info in others if info.kind is SpectrumKind.DARK]
        self._clear = [info for info in others if info.kind is SpectrumKind.CLEAR]
        self._means: dict[tuple[Path, ...], FloatArray | None] = {}
        self.models = SpectralModels(settings, folder)

    def process(self, spectra: Sequence[Spectrum]) -> list[ColumnRecord]:
        """Return the columns of ``spectra``, in their order."""
        records: dict[int, ColumnRecord] = {}
        groups: dict[tuple[bytes, tuple[Path, ...] | None, tuple[Path, ...]], list[int]] = {}
        for index, spectrum in enumerate(spectra):
            dark = self._dark_key(spectrum.info)
            if dark is None and self._settings.detector.subtract_dark and self._settings.detector.require_dark:
                records[index] = ColumnRecord(spectrum.info, FitStatus.NO_DARK)
                continue
            key = (spectrum.wavelengths_nm.tobytes(), dark, self._clear_key(spectrum.info))
            groups.setdefault(key, []).append(index)
        for (_, dark, clear), members in groups.items():
            for index, record in zip(
                members, self._process_alike([spectra[index] for index in members], dark, clear), strict=True
            ):
                records[index] = record
        return [records[index] for index in range(len(spectra))]

    def example(self, spectrum: Spectrum, label: str) -> ExampleFit | None:
        """Return the fit of one spectrum as a plot needs it, or None where there is none."""
        dark = self._dark_key(spectrum.info)
        prepared = self._prepared([spectrum], dark)
        window = self._window(spectrum.wavelengths_nm)
        if window is None:
            return None
        if self._settings.fit.method == "optical-density":
            return None
        model = self.models.model(spectrum.wavelengths_nm, self._settings.fit.window_nm)
        _, result, mask = self._fit(model, prepared)
        measured = np.where(mask[0], prepared.counts[0, model.window], np.nan)
        fitted = result.model[0]
        if not np.isfinite(fitted).any():
            return None
        residual = np.divide(measured - fitted, fitted, out=np.full(fitted.shape, np.nan), where=fitted != 0)
        return ExampleFit(label, model.wavelengths_nm, measured, fitted, residual)

    # -- one detector, one dark ------------------------------------------------------------------------------------

    def _process_alike(
        self, spectra: Sequence[Spectrum], dark: tuple[Path, ...] | None, clear: tuple[Path, ...]
    ) -> list[ColumnRecord]:
        infos = [spectrum.info for spectrum in spectra]
        wavelengths = spectra[0].wavelengths_nm
        window = self._window(wavelengths)
        if window is None:
            return [ColumnRecord(info, FitStatus.WINDOW_OUTSIDE) for info in infos]
        mean = None if dark is None else self._mean(dark)
        if mean is not None and mean.size != wavelengths.size:
            return [ColumnRecord(info, FitStatus.NO_DARK) for info in infos]
        prepared = self._prepared(spectra, dark)
        light = light_status(prepared, window, minimum_counts=self._settings.detector.minimum_counts)
        usable = np.flatnonzero(light == FitStatus.OK)
        records = [ColumnRecord(info, FitStatus(int(status))) for info, status in zip(infos, light, strict=True)]
        if usable.size == 0:
            return records
        chosen = Prepared(
            prepared.counts[usable],
            prepared.usable[usable],
            prepared.saturated[usable],
            prepared.stray_light_counts[usable],
            prepared.noise_counts[usable],
        )
        if self._settings.fit.method == "optical-density":
            dilution, result = None, self._optical_density(wavelengths, chosen, clear)
        else:
            model = self.models.model(wavelengths, self._settings.fit.window_nm)
            dilution, result, _ = self._fit(model, chosen, wavelengths)
        for row, index in enumerate(usable):
            records[index] = _record(infos[index], result, row, dilution)
        return records

    def _fit(
        self, model: FitModel, prepared: Prepared, wavelengths: FloatArray | None = None
    ) -> tuple[npt.NDArray[np.float64] | None, FitResult, npt.NDArray[np.bool_]]:
        """Return light dilution (M, 2) where it is fitted, the fit, and which pixels counted (M, Nw)."""
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
        if self._settings.light_dilution.mode != "fit" or wavelengths is None:
            return None, result, mask
        windows = self._settings.light_dilution
        found = fit_with_dilution(
            self.models.model(wavelengths, windows.first_window_nm),
            self.models.model(wavelengths, windows.second_window_nm),
            prepared.counts,
            mask=prepared.usable,
        )
        return found.light_dilution, found.result, mask

    def _optical_density(self, wavelengths: FloatArray, prepared: Prepared, clear: tuple[Path, ...]) -> FitResult:
        reference = self._mean(clear)
        if reference is None:
            raise InputError(
                "the optical-density fit needs a clear-sky spectrum, and there is none",
                key="spectrometer.fit.method",
                remedy='add spectra of kind clear, or set method = "intensity"',
            )
        dark = self._mean(self._dark_key(self._info_of(clear[0])) or ())
        background = self._prepare(reference[None, :], wavelengths, dark)
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
        return fit_optical_density(model, prepared.counts, mask=prepared.usable)

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

    def _dark_key(self, info: SpectrumInfo) -> tuple[Path, ...] | None:
        """Return the files of the darks that belong to a spectrum, all of them readable; None where there are none."""
        detector = self._settings.detector
        if not detector.subtract_dark:
            return None
        while True:
            darks = [dark for dark in self._darks if str(dark.path) not in self._reader.failures]
            chosen = select_darks(
                info,
                darks,
                integration_time_tolerance=detector.integration_time_tolerance,
                averaging_s=detector.dark_averaging_s,
            )
            key = tuple(dark.path for dark in chosen)
            if not key:
                return None
            if self._mean(key) is not None:
                return key

    def _clear_key(self, info: SpectrumInfo) -> tuple[Path, ...]:
        if self._settings.fit.method != "optical-density" or not self._clear:
            return ()
        nearest = min(self._clear, key=lambda clear: (abs((clear.time - info.time).total_seconds()), clear.path))
        near = [c for c in self._clear if abs((c.time - nearest.time).total_seconds()) <= 600]
        return tuple(c.path for c in near)

    def _info_of(self, path: Path) -> SpectrumInfo:
        return next(info for info in (*self._darks, *self._clear) if info.path == path)

    def _mean(self, paths: tuple[Path, ...]) -> FloatArray | None:
        """Return the mean counts of spectra; None where one of them cannot be read (it then stands in failures)."""
        if not paths:
            return None
        if paths not in self._means:
            read = [self._reader.read(self._info_of(path)) for path in paths]
            good = [spectrum.counts for spectrum in read if spectrum is not None]
            if len(self._means) >= 64:
                self._means.pop(next(iter(self._means)))
            whole = len(good) == len(paths) and len({counts.size for counts in good}) == 1
            self._means[paths] = np.mean(good, axis=0) if whole else None
        return self._means[paths]


def _replaced(result: FitResult, rows: npt.NDArray[np.intp], better: FitResult) -> FitResult:
    """Return ``result`` with ``rows`` taken from ``better``."""

    def put(values: npt.NDArray[np.generic], new: npt.NDArray[np.generic]) -> npt.NDArray[np.generic]:
        out = values.copy()
        out[rows] = new
        return out

    names = ("values", "sigma", "chi2", "residual_rms", "evaluations", "status", "model")
    return FitResult(result.names, *(put(getattr(result, name), getattr(better, name)) for name in names))  # type: ignore[arg-type]


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
