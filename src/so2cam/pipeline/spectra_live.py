"""The live runner of spectra: new files are fitted as they come, and the products brought up to date."""

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from so2cam.core.errors import InputError
from so2cam.core.spectra import ColumnSeries, SpectrumInfo
from so2cam.formats.folder import SkipCategory
from so2cam.formats.sitefile import LoadedSpectrometer
from so2cam.pipeline.spectra_batch import plan_spectra, require_out, spectrum_order, write_products
from so2cam.pipeline.spectral_models import SpectralModels
from so2cam.pipeline.spectrum_processor import ColumnRecord, Sources, SpectrumProcessor, SpectrumReader

Tell = Callable[[ColumnSeries, int], None]
Warn = Callable[[str], None]
_TOLD_AT_ONCE = 5


class SpectraWatch:
    """What is known of watched folders. ``step`` looks at them once.

    Raises So2camError subclasses where no product can be written or a reference spectrum is wrong.
    """

    def __init__(self, loaded: LoadedSpectrometer, folders: Sequence[Path], out: Path, *, command: str) -> None:
        require_out(out, folders)
        self._loaded = loaded
        self._folders = tuple(folders)
        self._out = out
        self._command = command
        self._records: dict[Path, tuple[ColumnRecord, int, Sources]] = {}
        self._sizes: dict[Path, int] = {}
        self._reader = SpectrumReader(loaded.spectrometer)
        self._models = SpectralModels(loaded.spectrometer, loaded.path.parent)
        self._others: tuple[Path, ...] = ()
        self._odd: tuple[str, ...] = ()
        self._processor = self._processor_with(())

    def step(self) -> tuple[ColumnSeries, int] | None:
        """Fit what is new and write the products; None where nothing is.

        A file counts once its size is the same as at the step before: until then it may still be written. A file
        whose size has changed is read again. Spectra for which other darks are there now are fitted again, so that
        the columns are those of a run over the whole folder; those of files that were removed stay.
        """
        try:
            plan = plan_spectra(self._loaded, self._folders)
        except InputError as error:
            if "holds no" in error.message:
                self._odd = (f"{error.file} {error.message}: waiting for files",)
                return None
            raise
        for item in plan.skipped:
            self._forget(item.path)
        self._odd = tuple(
            f"{item.path.name} is not used: {item.reason}"
            for item in plan.skipped
            if item.category is not SkipCategory.LOCKED
        )
        steady = {info.path for info in (*plan.plume, *plan.others) if self._is_steady(info)}
        others = tuple(info for info in plan.others if info.path in steady)
        waiting = [info for info in plan.plume if info.path in steady and str(info.path) not in self._reader.failures]
        paths = tuple(info.path for info in others)
        changed = paths != self._others
        if changed:
            self._others, self._processor = paths, self._processor_with(others)
        waiting = [info for info in waiting if self._is_due(info, changed)]
        if not waiting:
            return None
        read = [spectrum for info in waiting if (spectrum := self._reader.read(info)) is not None]
        new = sum(spectrum.info.path not in self._records for spectrum in read)
        for spectrum, record in zip(read, self._processor.process(read), strict=True):
            pixels = spectrum.counts.size
            sources = self._processor.sources(record.info, pixels)
            self._records[record.info.path] = record, pixels, sources
        if not self._records:
            return None
        records = [record for record, _, _ in self._records.values()]
        records.sort(key=lambda record: spectrum_order(record.info))
        known = replace(plan, others=others)
        _, series = write_products(self._loaded, known, records, self._reader, self._out, command=self._command)
        return series, new

    @property
    def troubles(self) -> tuple[str, ...]:
        """What could not be used at the last look, and why, in words; files that are being written are left out."""
        unreadable = tuple(f"{Path(file).name} {error.message}" for file, error in self._reader.failures.items())
        return self._odd + unreadable

    def _is_due(self, info: SpectrumInfo, changed: bool) -> bool:
        """Return whether a spectrum has yet to be fitted, or again, since other darks belong to it now."""
        if info.path not in self._records:
            return True
        _, pixels, sources = self._records[info.path]
        return changed and self._processor.sources(info, pixels) != sources

    def _is_steady(self, info: SpectrumInfo) -> bool:
        try:
            size = info.path.stat().st_size
        except OSError:
            return False
        before = self._sizes.get(info.path)
        self._sizes[info.path] = size
        if before is not None and before != size:
            self._forget(info.path)
        return before == size

    def _forget(self, path: Path) -> None:
        """Drop what is known of a file that is being written again, or is not used any more."""
        self._records.pop(path, None)
        self._reader.failures.pop(str(path), None)
        self._reader.hashes.pop(str(path), None)

    def _processor_with(self, others: tuple[SpectrumInfo, ...]) -> SpectrumProcessor:
        loaded = self._loaded
        return SpectrumProcessor(loaded.spectrometer, loaded.path.parent, others, self._reader, models=self._models)


def watch_spectra(
    loaded: LoadedSpectrometer,
    folders: Sequence[Path],
    out: Path,
    *,
    every_s: float,
    command: str,
    tell: Tell,
    warn: Warn,
) -> None:
    """Watch ``folders`` until the user interrupts; ``tell`` is called with the series and the number of new spectra.

    ``warn`` is called once with each thing that cannot be used. Between two looks at the folders there are ``every_s``
    seconds. The products are whole at any time.
    """
    watch = SpectraWatch(loaded, folders, out, command=command)
    known: set[str] = set()
    try:
        while True:
            found = watch.step()
            new = [text for text in watch.troubles if text not in known]
            known.update(new)
            for text in new[:_TOLD_AT_ONCE]:
                warn(text)
            if len(new) > _TOLD_AT_ONCE:
                warn(f"and {len(new) - _TOLD_AT_ONCE} more like these")
            if found is not None:
                tell(*found)
            time.sleep(every_s)
    except KeyboardInterrupt:
        return
