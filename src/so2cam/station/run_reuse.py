"""Columns of an earlier run in place of spectra fitted anew."""

from datetime import datetime

from so2cam.core.errors import InputError, So2camError
from so2cam.core.times import format_utc
from so2cam.formats.sitefile import LoadedSite, load_site_text
from so2cam.pipeline.learning import needs_columns
from so2cam.station.run_spectra import COLUMNS
from so2cam.station.run_store import RunStore

_REMEDY = "choose a run that has columns of this time, or have the spectra fitted anew"


def reused_notes(store: RunStore, run: int, loaded: LoadedSite, start: datetime, end: datetime) -> tuple[str, ...]:
    """Return what is to be said where the columns of ``run`` are used by a run with the settings ``loaded``.

    Raises InputError where the run has none, or none of this time.
    """
    try:
        record = store.get(run)
        store.file(run, COLUMNS)
    except InputError:
        raise InputError("the run has no columns of spectra", key="columns_of", value=run, remedy=_REMEDY) from None
    if record.start >= end or record.end <= start:
        raise InputError(
            f"the run is over {format_utc(record.start)} to {format_utc(record.end)}: another time",
            key="columns_of",
            value=run,
            remedy=_REMEDY,
        )
    if not needs_columns(loaded.site):
        return ()  # the run itself says that they are not used
    notes = [f"columns are those of run {record.title}; they do not say how long each spectrum was exposed"]
    if record.start > start or record.end < end:
        notes.append("the columns do not reach over the whole time of this run")
    try:
        before = load_site_text(store.text(run), loaded.path).settings.get("spectrometer")
    except So2camError:
        before = None
    if before != loaded.settings.get("spectrometer"):
        notes.append("the columns were made with other settings of the spectrometer")
    return tuple(notes)
