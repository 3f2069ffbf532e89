"""Archived spectra of a site, each with its fit by any settings: what the pages show of a moment.

The way is that of the live run and of recalculations (``SpectrumProcessor``), with the calibration files of the
spectrum's day: with the settings of the site file the numbers are those of the catalogue.
"""

import threading
import time
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

from so2cam.core.constants import MOLEC_CM2_PER_PPM_M
from so2cam.core.errors import InputError, SiteFileError, So2camError
from so2cam.core.records import FloatArray
from so2cam.core.spectra import FIT_STATUS_TEXT, FitStatus, Spectrum, SpectrumInfo
from so2cam.core.spectrometer import Spectrometer
from so2cam.formats.sitefile import LoadedSite, settings_hash, spectrometer_of
from so2cam.pipeline.fit_parts import FitParts, fit_parts
from so2cam.pipeline.spectrum_processor import Inspected, SpectrumProcessor, SpectrumReader
from so2cam.station.arrivals import SPECTRUM, Recogniser
from so2cam.station.catalogue import ArchivedFile, ColumnRow
from so2cam.station.context import StationContext, StationSite
from so2cam.station.references import PLUME, choose_references, day_of, read_references
from so2cam.station.spectrum_windows import Window, windows_of, with_windows

_PROCESSORS: Final = 6
_LOOKS: Final = 48
_MOST_ROWS: Final = 12_000
_FRESH_S: Final = 3.0
"""How long it is taken for granted that no calibration file came."""
_Key = tuple[str, str, str, int]
"""Hash of the settings, folder of the site file, day, newest calibration file."""
_MOMENT: Final = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class ColumnsOverTime:
    """Columns of a time, as the catalogue has them; ``every``: of so many, one is given (1: all).

    ``cut``: there are more, and earlier ones are left out.
    """

    rows: tuple[ColumnRow, ...]
    every: int = 1
    cut: bool = False


@dataclass(frozen=True, slots=True)
class SpectrumLook:
    """A spectrum and its fit by some settings. N pixels; ``parts`` has those of the fit's window.

    ``column`` and ``dilution`` are (value, 1 sigma), column in molecules cm-2, NaN where there is none; ``why`` says
    why. ``parameters``: all that were fitted, with 1 sigma. ``dark`` (N,) is the mean of ``darks`` files, None without;
    ``stray`` [counts] what was subtracted beside it. ``highest`` is the highest count, ``saturated`` how many pixels
    of the fit's window are.
    """

    time: datetime
    name: str
    integration_time_s: float | None
    coadds: int | None
    wavelengths_nm: FloatArray
    counts: FloatArray
    windows: Mapping[str, Window]
    status: FitStatus
    why: str
    column: tuple[float, float]
    dilution: tuple[float, float]
    residual_rms: float
    chi2: float
    parameters: Mapping[str, tuple[float, float]]
    dark: FloatArray | None
    darks: int
    stray: float
    highest: float
    saturation_counts: float
    saturated: int
    parts: FitParts | None

    @property
    def column_ppm_m(self) -> tuple[float, float]:
        """The column and its 1 sigma [ppm m]."""
        return self.column[0] / MOLEC_CM2_PER_PPM_M, self.column[1] / MOLEC_CM2_PER_PPM_M


class SpectrumFits:
    """Spectra of one site's archive. Safe for threads."""

    def __init__(self, context: StationContext, site: StationSite) -> None:
        self._context, self._site = context, site
        self._lock = threading.Lock()
        self._processors: OrderedDict[_Key, tuple[SpectrumReader, SpectrumProcessor]] = OrderedDict()
        self._looks: OrderedDict[tuple[int, _Key], SpectrumLook] = OrderedDict()
        self._asked: tuple[float, int] | None = None
        self._kept_others: tuple[tuple[str, str, int], tuple[SpectrumInfo, ...]] | None = None

    # --- which there are ---------------------------------------------------------------------------------------------

    def columns(self, start: datetime, end: datetime, *, most: int = 3000) -> ColumnsOverTime:
        """Return the columns of ``start`` <= time < ``end``, at most about ``most``. Raises CatalogueError."""
        rows = self._context.catalogue.columns(self._site.name, start=start, end=end, limit=_MOST_ROWS, newest=True)
        every = max(1, -(-len(rows) // most))
        return ColumnsOverTime(tuple(rows[::-1][::every][::-1]), every, len(rows) == _MOST_ROWS)

    def nearest(self, moment: datetime | None = None) -> ArchivedFile | None:
        """Return the spectrum of the plume nearest to a moment, the newest without; None where there is none."""
        if moment is None:
            return self._one(newest=True)
        before, after = self._one(end=moment + _MOMENT, newest=True), self._one(start=moment)
        found = [file for file in (before, after) if file is not None]
        return min(found, key=lambda file: abs(file.time - moment), default=None)

    def beside(self, moment: datetime, *, later: bool) -> ArchivedFile | None:
        """Return the next spectrum of the plume after a moment, or the last before it."""
        return self._one(start=moment + _MOMENT) if later else self._one(end=moment, newest=True)

    def _one(
        self, *, start: datetime | None = None, end: datetime | None = None, newest: bool = False
    ) -> ArchivedFile | None:
        files = self._context.catalogue.find_files(
            self._site.name, kind=SPECTRUM, subject=PLUME, start=start, end=end, newest=newest, limit=1
        )
        return files[0] if files else None

    # --- one of them -------------------------------------------------------------------------------------------------

    def look(self, loaded: LoadedSite, file: ArchivedFile, windows: Mapping[str, Window] | None = None) -> SpectrumLook:
        """Return a spectrum and its fit by the settings of ``loaded``, with other ``windows`` where given.

        Raises So2camError where the file cannot be read, windows do not go together, or a reference is missing.
        """
        return self.look_with(loaded, settings_with(loaded, windows or {}), file)

    def look_with(self, loaded: LoadedSite, settings: Spectrometer, file: ArchivedFile) -> SpectrumLook:
        """Return a spectrum and its fit by other settings; raises as ``look`` does."""
        with self._lock:
            reader, processor, made_for = self._processor(loaded, settings, day_of(file.time))
            key = file.id, made_for
            kept = self._looks.get(key)
            if kept is None:
                kept = look_of(processor.inspect(self._read(loaded, reader, file)), settings)
                self._looks[key] = kept
                while len(self._looks) > _LOOKS:
                    self._looks.popitem(last=False)
            self._looks.move_to_end(key)
            return kept

    def sources(self, loaded: LoadedSite, file: ArchivedFile) -> tuple[Path, tuple[Path, ...]]:
        """Return where a spectrum is, and the darks that belong to it. Raises So2camError as ``look`` does."""
        with self._lock:
            reader, processor, _ = self._processor(loaded, settings_with(loaded, {}), day_of(file.time))
            spectrum = self._read(loaded, reader, file)
            return spectrum.info.path, processor.sources(spectrum.info, spectrum.counts.size)[0] or ()

    def _processor(
        self, loaded: LoadedSite, settings: Spectrometer, day: str
    ) -> tuple[SpectrumReader, SpectrumProcessor, _Key]:
        newest = self._newest_calibration()
        key = settings_hash(settings.model_dump(mode="json")), str(loaded.path.parent), day, newest
        made = self._processors.get(key)
        if made is None:
            # Darks have a reader of their own: what could not be read of them is remembered, plume spectra are not.
            others = self._others(loaded, day, newest)
            processor = SpectrumProcessor(settings, loaded.path.parent, others, SpectrumReader(settings))
            made = self._processors[key] = SpectrumReader(settings), processor
            while len(self._processors) > _PROCESSORS:
                self._processors.popitem(last=False)
        self._processors.move_to_end(key)
        return *made, key

    def _newest_calibration(self) -> int:
        """Return the id of the newest calibration file, as it was a few seconds ago at most."""
        now = time.monotonic()
        if self._asked is None or now - self._asked[0] > _FRESH_S:
            self._asked = now, self._context.catalogue.newest_id(self._site.name, not_subjects=(PLUME, "test"))
        return self._asked[1]

    def _others(self, loaded: LoadedSite, day: str, newest: int) -> tuple[SpectrumInfo, ...]:
        """Return the darks and clear-sky spectra of a day; those of the last one are kept."""
        key = settings_hash(settings_with(loaded, {}).files.model_dump(mode="json")), day, newest
        if self._kept_others is None or self._kept_others[0] != key:
            site = replace(self._site, loaded=loaded)
            files = [file for file in choose_references(site, day) if file.kind == SPECTRUM]
            self._kept_others = key, read_references(site, files).spectra
        return self._kept_others[1]

    def _read(self, loaded: LoadedSite, reader: SpectrumReader, file: ArchivedFile) -> Spectrum:
        info = Recogniser(loaded.site).infos(self._site.archive.path_of(file))
        if not isinstance(info, SpectrumInfo):
            raise InputError("is no spectrum with these settings", file=file.name, key="spectrometer.files")
        spectrum = reader.read(info)
        reader.hashes.clear()
        if spectrum is None:
            raise reader.failures.pop(str(info.path))
        return spectrum


def settings_with(loaded: LoadedSite, windows: Mapping[str, Window]) -> Spectrometer:
    """Return the spectrometer's settings, with other windows. Raises InputError, and where there is no spectrometer."""
    if loaded.site.spectrometer is None:
        raise SiteFileError("has no [spectrometer]", file=loaded.path, key="spectrometer")
    return with_windows(spectrometer_of(loaded).spectrometer, windows)


def look_of(found: Inspected, settings: Spectrometer) -> SpectrumLook:
    """Return what was found as pages show it."""
    spectrum, record, prepared = found.spectrum, found.record, found.prepared
    nothing = (float("nan"), float("nan"))
    x = spectrum.wavelengths_nm
    low, high = settings.fit.window_nm
    saturated = 0 if prepared is None else int(prepared.saturated[0][(x > low) & (x < high)].sum())
    dilution = record.light_dilution
    if settings.light_dilution.mode == "fixed":
        dilution = (settings.light_dilution.value, float("nan"))
    return SpectrumLook(
        time=spectrum.info.time,
        name=spectrum.info.path.name,
        integration_time_s=spectrum.info.integration_time_s,
        coadds=spectrum.info.coadds,
        wavelengths_nm=x,
        counts=spectrum.counts,
        windows=windows_of(settings),
        status=record.status,
        why="" if record.status is FitStatus.OK else FIT_STATUS_TEXT[record.status],
        column=record.parameters.get("so2", nothing),
        dilution=dilution,
        residual_rms=record.residual_rms,
        chi2=record.chi2,
        parameters=record.parameters,
        dark=found.dark,
        darks=found.darks,
        stray=float("nan") if prepared is None else float(prepared.stray_light_counts[0]),
        highest=float(spectrum.counts.max()),
        saturation_counts=settings.detector.saturation_counts,
        saturated=saturated,
        parts=fit_parts(found),
    )


def error_words(error: So2camError) -> str:
    """Return an error as a page says it: with the name of its file, without the folder."""
    where = "" if error.file is None else f"{Path(str(error.file)).name}: "
    remedy = error.remedy or ""
    return where + error.message + (f" ({remedy})" if remedy and "--" not in remedy else "")
