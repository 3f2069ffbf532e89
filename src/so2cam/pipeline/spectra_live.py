"""The live runner of spectra: new files are fitted as they come, and the products brought up to date."""

import time
from collections.abc import Callable, Sequence
from pathlib import Path

from so2cam.core.errors import InputError
from so2cam.core.spectra import ColumnSeries, SpectrumInfo
from so2cam.formats.sitefile import LoadedSpectrometer
from so2cam.pipeline.output import require_folder_for
from so2cam.pipeline.spectra_batch import SpectraPlan, plan_spectra, write_products
from so2cam.pipeline.spectrum_processor import ColumnRecord, SpectrumProcessor, SpectrumReader

Tell = Callable[[ColumnSeries, int], None]


class SpectraWatch:
    """What is known of watched folders. ``step`` looks at them once."""

    def __init__(self, loaded: LoadedSpectrometer, folders: Sequence[Path], out: Path, *, command: str) -> None:
        require_folder_for(out)
        self._loaded = loaded
        self._folders = tuple(folders)
        self._out = out
        self._command = command
        self._records: dict[Path, ColumnRecord] = {}
        self._sizes: dict[Path, int] = {}
        self._reader = SpectrumReader(loaded.spectrometer)
        self._processor: tuple[tuple[Path, ...], SpectrumProcessor] | None = None

    def step(self) -> tuple[ColumnSeries, int] | None:
        """Fit what is new and write the products; None where nothing is.

        A file counts once its size is the same as at the step before: until then it may still be written. A file that
        could not be read is tried again when its size has changed.
        """
        try:
            plan = plan_spectra(self._loaded, self._folders)
        except InputError as error:
            if "holds no" in error.message:
                return None
            raise
        steady = {info.path for info in (*plan.plume, *plan.others) if self._is_steady(info)}
        new = [info for info in plan.plume if info.path in steady and info.path not in self._records]
        new = [info for info in new if str(info.path) not in self._reader.failures]
        if not new:
            return None
        others = tuple(info for info in plan.others if info.path in steady)
        processor = self._processor_with(others)
        read = [spectrum for info in new if (spectrum := self._reader.read(info)) is not None]
        for record in processor.process(read):
            self._records[record.info.path] = record
        if not self._records:
            return None
        records = sorted(self._records.values(), key=lambda record: (record.info.time, str(record.info.path)))
        known = SpectraPlan(plan.plume, others, plan.skipped, plan.test_spectra)
        _, series = write_products(self._loaded, known, records, self._reader, self._out, command=self._command)
        return series, len(read)

    def _is_steady(self, info: SpectrumInfo) -> bool:
        try:
            size = info.path.stat().st_size
        except OSError:
            return False
        before = self._sizes.get(info.path)
        self._sizes[info.path] = size
        if before is not None and before != size:
            self._reader.failures.pop(str(info.path), None)
        return before == size

    def _processor_with(self, others: tuple[SpectrumInfo, ...]) -> SpectrumProcessor:
        key = tuple(info.path for info in others)
        if self._processor is None or self._processor[0] != key:
            folder = self._loaded.path.parent
            processor = SpectrumProcessor(self._loaded.spectrometer, folder, others, self._reader)
            self._processor = (key, processor)
        return self._processor[1]


def watch_spectra(
    loaded: LoadedSpectrometer, folders: Sequence[Path], out: Path, *, every_s: float, command: str, tell: Tell
) -> None:
    """Watch ``folders`` until the user interrupts; ``tell`` is called with the series and the number of new spectra.

    Between two looks at the folders there are ``every_s`` seconds. The products are whole at any time.
    """
    watch = SpectraWatch(loaded, folders, out, command=command)
    try:
        while True:
            found = watch.step()
            if found is not None:
                tell(*found)
            time.sleep(every_s)
    except KeyboardInterrupt:
        return
