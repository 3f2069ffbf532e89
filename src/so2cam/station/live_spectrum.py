"""The newest spectrum of a site with its fit: fitted again for those who look, never in the way of the rest."""

import threading
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from so2cam.core.errors import So2camError
from so2cam.core.spectra import FIT_STATUS_TEXT, ExampleFit, FitStatus, SpectrumInfo
from so2cam.pipeline.live import build_fitter
from so2cam.pipeline.spectrum_processor import SpectrumProcessor, SpectrumReader
from so2cam.station.arrivals import SPECTRUM, Recogniser
from so2cam.station.catalogue import ColumnRow
from so2cam.station.context import StationContext, StationSite
from so2cam.station.references import choose_references, day_of, read_references

_PLUME: Final = "plume"


@dataclass(frozen=True, slots=True)
class ShownSpectrum:
    """A spectrum: its time, its fit (None: ``why`` says why), and the column that the live run found."""

    time: datetime
    fit: ExampleFit | None
    column: ColumnRow | None
    why: str = ""


class LiveSpectrum:
    """The newest spectrum of one site. Safe for threads."""

    def __init__(self, context: StationContext, site: StationSite) -> None:
        self._context, self._site = context, site
        self._lock = threading.Lock()
        self._fitter: tuple[str, int, tuple[SpectrumReader, SpectrumProcessor]] | None = None
        self._kept: tuple[int, ShownSpectrum] | None = None

    @property
    def expected(self) -> bool:
        """Whether the site has a spectrometer."""
        return self._site.loaded.site.spectrometer is not None

    def newest(self) -> ShownSpectrum | None:
        """Return the newest spectrum of the plume; None where none has come. Raises CatalogueError."""
        name = self._site.name
        files = self._context.catalogue.find_files(name, kind=SPECTRUM, subject=_PLUME, newest=True, limit=1)
        if not files:
            return None
        with self._lock:
            if self._kept is None or self._kept[0] != files[0].id:
                path = self._site.archive.path_of(files[0])
                try:
                    info = Recogniser(self._site.loaded.site).infos(path)
                    shown = self._fit(info) if isinstance(info, SpectrumInfo) else None
                except So2camError as error:
                    shown = ShownSpectrum(files[0].time, None, None, error.message)
                if shown is None:
                    return None
                self._kept = (files[0].id, shown)
            return self._with_column(self._kept[1], path_name=files[0].name)

    def _fit(self, info: SpectrumInfo) -> ShownSpectrum:
        reader, processor = self._fitter_of(day_of(info.time))
        spectrum = reader.read(info)
        if spectrum is None:
            return ShownSpectrum(info.time, None, None, reader.failures.pop(str(info.path)).message)
        reader.hashes.clear()
        fit = processor.example(spectrum, info.path.name)
        why = "" if fit is not None else "the spectrum could not be fitted"
        return ShownSpectrum(info.time, fit, None, why)

    def _with_column(self, shown: ShownSpectrum, *, path_name: str) -> ShownSpectrum:
        """Return it with what the live run found, which may come a little later."""
        margin = timedelta(seconds=2)
        rows = self._context.catalogue.columns(self._site.name, start=shown.time - margin, end=shown.time + margin)
        row = next((row for row in rows if row.file == path_name), None)
        why = shown.why
        if row is not None and row.status != FitStatus.OK:
            why = FIT_STATUS_TEXT[FitStatus(row.status)]
        return ShownSpectrum(shown.time, shown.fit, row, why)

    def _fitter_of(self, day: str) -> tuple[SpectrumReader, SpectrumProcessor]:
        """Return what fits the spectra of a day: made anew when calibration files came."""
        newest = self._context.catalogue.newest_id(self._site.name, not_subjects=(_PLUME, "test"))
        if self._fitter is None or self._fitter[:2] != (day, newest):
            references = read_references(self._site, choose_references(self._site, day))
            made = build_fitter(self._site.loaded, self._site.loaded.site, references.spectra)
            if made is None:
                raise So2camError("the site file has no [spectrometer]")
            self._fitter = (day, newest, made)
        return self._fitter[2]
