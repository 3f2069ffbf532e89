"""What pages say of runs. Pure."""

from datetime import UTC, datetime
from html import escape
from typing import Any, Final

from so2cam.formats.siteedit import MISSING as NO_VALUE
from so2cam.formats.siteedit import key_text
from so2cam.station.drafts import KeyChange
from so2cam.station.run_store import RunRecord, State
from so2cam.station.runs import RunProgress
from so2cam.web.parts import State as Look
from so2cam.web.tables import Column, duration, table_html

LOOKS: Final[dict[State, Look]] = {
    "queued": "",
    "running": "",
    "done": "ok",
    "failed": "bad",
    "cancelled": "warn",
    "interrupted": "warn",
}
PRODUCTS: Final = {
    "emission_rates.nc": "netCDF",
    "emission_rates.csv": "CSV",
    "report.pdf": "Report, PDF",
    "quicklook.png": "Quick look",
    "columns.nc": "Columns of spectra, netCDF",
    "columns.csv": "Columns of spectra, CSV",
    "columns.png": "Columns of spectra, picture",
    "calibration.nc": "Calibration, netCDF",
    "calibration.csv": "Calibration, CSV",
    "calibration.png": "Calibration, picture",
    "images.nc": "Images, netCDF",
    "images.zarr.zip": "Images, zarr",
    "pictures.zip": "Images, PNG",
    "video.webm": "Video",
    "video.avi": "Video",
    "film.mp4": "Film",
    "site.toml": "Site file",
    "run.json": "Run, JSON",
    "log.txt": "Log",
}
"""What people call the files of a run, in the order in which they want them."""


def span_words(start: datetime, end: datetime) -> str:
    """Return a range of time, the day once where it is the same."""
    first, last = start.astimezone(UTC), end.astimezone(UTC)
    if first.date() == last.date():
        return f"{first:%Y-%m-%d %H:%M:%S} – {last:%H:%M:%S}"
    return f"{first:%Y-%m-%d %H:%M} – {last:%Y-%m-%d %H:%M}"


def progress_words(progress: RunProgress | None) -> str:
    """Return how far a run is."""
    if progress is None:
        return ""
    said = progress.stage
    if progress.total:
        said += f", {progress.done} of {progress.total}"
    if progress.left_s is not None and progress.done < progress.total:
        said += f", {duration(max(1.0, round(progress.left_s)))} left"
    return said


def share(progress: RunProgress | None) -> float:
    """Return the share of its stage that is done, 0 to 1."""
    return 0.0 if progress is None or not progress.total else progress.done / progress.total


def kind_words(record: RunRecord) -> str:
    """Return what kind of run it is."""
    if record.kind == "live":
        return "live results in files"
    if record.kind == "spectra":
        return "spectra alone"
    if record.kind == "film":
        return f"film of the {record.band or 'on'} band"
    said = "processed" if record.images is None else "processed, with images"
    return said if record.columns_of is None else f"{said}, by the columns of run {record.columns_of}"


def found_words(record: RunRecord) -> str:
    """Return how much a run that is done has found."""
    if record.kind == "film":
        return f"{record.frames} frames"
    said = [] if record.kind == "spectra" else [f"{record.pairs} pairs"]
    if record.spectra or not said:
        said.append(f"{record.spectra} spectra")
    return ", ".join(said)


def value_words(value: Any) -> str:
    """Return a value of the settings as people write it."""
    if value is NO_VALUE:
        return "–"
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(value_words(one) for one in value) + "]"
    return f"{value:g}" if isinstance(value, float) else str(value)


def settings_table(changes: tuple[KeyChange, ...], a: str, b: str, *, test: str) -> str:
    """Return a table of the settings that differ, as HTML."""
    columns = (Column("Setting", "lead"), Column(a), Column(b))
    rows = [
        (
            f'<span class="so-mono">{escape(key_text(change.key))}</span>',
            escape(value_words(change.before)),
            escape(value_words(change.after)),
        )
        for change in changes
    ]
    return table_html(columns, rows, test=test)
