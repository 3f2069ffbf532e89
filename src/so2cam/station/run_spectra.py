"""The spectra of a run: fitted once, for the images and for columns of their own."""

import logging
import os
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

from so2cam.core.errors import InputError
from so2cam.core.spectra import SpectrumKind
from so2cam.formats.sitefile import LoadedSite, spectrometer_of
from so2cam.formats.spectra.folder import SpectrumScan
from so2cam.pipeline.columns import COLUMN_MARGIN
from so2cam.pipeline.learning import needs_columns
from so2cam.pipeline.spectra_batch import FittedSpectra, SpectraReport, column_summary, fit_spectra_of, write_products
from so2cam.station.run_store import RunRecord
from so2cam.station.run_tell import progress

_LOG = logging.getLogger(__name__)
COLUMNS: Final = "columns.nc"
PICTURE: Final = "columns.png"


@dataclass(frozen=True, slots=True)
class RunColumns:
    """What a run made of its spectra: ``spectra`` with a fit, ``columns`` that are valid, and lines for a summary."""

    spectra: int
    columns: int
    summary: tuple[tuple[str, str], ...]


NO_COLUMNS: Final = RunColumns(0, 0, ())


def fit_beside_images(
    loaded: LoadedSite, scan: SpectrumScan, start: datetime, end: datetime
) -> tuple[FittedSpectra | None, tuple[str, ...]]:
    """Return the fitted spectra of a run over images, and notes.

    Where nothing of the images needs them the run goes on without what cannot be fitted. Raises InputError where
    something does.
    """
    there = any(info.kind is SpectrumKind.PLUME for info in scan.spectra)
    if not scan.spectra or not (there or needs_columns(loaded.site)):
        return None, ()
    try:
        return _fit(loaded, scan, start - COLUMN_MARGIN, end + COLUMN_MARGIN), ()
    except InputError as error:
        if needs_columns(loaded.site):
            raise
        return None, (f"the spectra could not be fitted: {error.message}",)


def fit_alone(loaded: LoadedSite, scan: SpectrumScan, start: datetime, end: datetime) -> FittedSpectra:
    """Return the fitted spectra of a run of spectra. Raises InputError where none can be fitted."""
    return _fit(loaded, scan, start, end)


def write_columns(folder: Path, record: RunRecord, loaded: LoadedSite, fitted: FittedSpectra | None) -> RunColumns:
    """Write columns of the run's own time as ``so2cam spectra`` does: columns.nc, columns.csv and a picture."""
    own = None if fitted is None else fitted.within(record.start, record.end)
    if own is None or not own.records:
        return NO_COLUMNS
    for failure in own.reader.failures.values():
        _LOG.warning("cannot be read: %s: %s", Path(str(failure.file)).name, failure.message)
    spectrometer = spectrometer_of(loaded)
    command = f"so2cam station: run {record.title}, by {record.by}"
    made, series = write_products(
        spectrometer, own.plan, own.records, own.reader, folder, command=command, picture=PICTURE
    )
    failures = tuple(own.reader.failures.values())
    valid = SpectraReport(own.plan, series, failures, made, 0.0).valid_values
    summary = column_summary(spectrometer, own.plan, series, len(failures))
    return RunColumns(len(series.times), valid, tuple(summary))


def _fit(loaded: LoadedSite, scan: SpectrumScan, start: datetime, end: datetime) -> FittedSpectra:
    return fit_spectra_of(
        spectrometer_of(loaded),
        scan,
        start=start,
        end=end,
        jobs=max(1, (os.cpu_count() or 1) // 2),
        progress=progress("fitting spectra"),
    )
