"""The process of one run: reads ``run.json``, ``site.toml`` and ``files.json`` of its folder and makes the products.

    python -m so2cam.station.run_worker FOLDER

It says how far it is, and at the end what it found, as lines of JSON on standard output; what a person should read
goes to standard error, which the station keeps as the run's log. It ends, and leaves nothing half written, on SIGTERM
and when its standard input is closed: when the station is gone.
"""

import json
import logging
import os
import shutil
import signal
import sys
import threading
import zipfile
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

import numpy as np

from so2cam import __version__
from so2cam.core.errors import So2camError
from so2cam.core.results import EmissionSeries, ExampleImage
from so2cam.core.status import EmissionStatus
from so2cam.core.times import format_utc
from so2cam.formats.products import write_emission_csv, write_emission_netcdf
from so2cam.formats.report_page import ReportPage, write_report
from so2cam.formats.sitefile import LoadedSite, load_site_text
from so2cam.pipeline.batch import process_folders
from so2cam.pipeline.learning import needs_columns
from so2cam.pipeline.output import write_together
from so2cam.pipeline.run_images import ImageRequest
from so2cam.pipeline.series import flag_counts
from so2cam.station.pair_json import series_of
from so2cam.station.result_origin import provenance_of
from so2cam.station.run_files import FoundFiles, read_files
from so2cam.station.run_film import write_film
from so2cam.station.run_live import read_rows
from so2cam.station.run_spectra import (
    COLUMNS,
    NO_COLUMNS,
    RunColumns,
    fit_alone,
    fit_beside_images,
    write_columns,
)
from so2cam.station.run_store import RunRecord, RunStore
from so2cam.station.run_tell import finish, progress, say

_LOG = logging.getLogger("so2cam.station.run_worker")
REPORT: Final = "report.pdf"
_SCRATCH: Final = ".scratch"
_FOLDERS: Final = ("images.zarr", "pictures")
_SHOWN: Final = ("spectra", "SO2", "uncertainty", "no column")
"""What of the columns' summary stands beside that of emission rates."""
_AROUND: Final = timedelta(seconds=1)


class _Stopped(KeyboardInterrupt):
    """The run is to end: it was cancelled, or the station ends."""


def main(arguments: list[str]) -> int:
    """Do the run of a folder; return 0 where it is done, 2 where it failed, 130 where it was stopped."""
    folder = Path(arguments[0])
    logging.basicConfig(
        stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s", force=True
    )
    store = RunStore(folder.parent)
    try:
        _follow_station()
        os.nice(10)
        return _run(store, store.get(int(folder.name)))
    except So2camError as error:
        _LOG.error("%s", error)
        key = f"{error.key}: " if error.key else ""
        say(failed=f"{key}{error.message}" + (f". {error.remedy}" if error.remedy else ""))
        return 2
    except _Stopped:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        _LOG.info("stopped")
        return 130


def _run(store: RunStore, record: RunRecord) -> int:
    folder = store.path(record.id)
    content = json.loads((folder / "files.json").read_text(encoding="utf-8"))
    loaded = load_site_text(store.text(record.id), Path(content["site_file"]))
    _LOG.info(
        "run %s, so2cam %s: %s to %s", record.title, __version__, format_utc(record.start), format_utc(record.end)
    )
    found = read_files(loaded.site, content, progress("reading names"))
    _LOG.info("%d frames, %d spectra", len(found.frames.frames), len(found.spectra.spectra))
    for item in found.frames.skipped:
        _LOG.info("skipped: %s: %s", item.path.name, item.reason)
    try:
        notes = tuple(content.get("notes", ()))
        if record.kind == "live":
            return _write_live(store, record, loaded, found, content)
        if record.kind == "film":
            write_film(folder, record, loaded, found.frames)
            return 0
        if record.kind == "spectra":
            return _fit_spectra(folder, record, loaded, found, notes)
        columns = None if record.columns_of is None else store.file(record.columns_of, COLUMNS)
        return _process(folder, record, loaded, found, notes, columns)
    finally:
        shutil.rmtree(folder / _SCRATCH, ignore_errors=True)


def _fit_spectra(folder: Path, record: RunRecord, loaded: LoadedSite, found: FoundFiles, notes: tuple[str, ...]) -> int:
    fitted = fit_alone(loaded, found.spectra, record.start, record.end)
    say(stage="writing columns")
    made = write_columns(folder, record, loaded, fitted)
    for note in notes:
        _LOG.warning("%s", note)
    finish(folder, summary=made.summary, warnings=notes, spectra=made.spectra, columns=made.columns)
    _LOG.info("done: %d spectra", made.spectra)
    return 0


def _process(
    folder: Path,
    record: RunRecord,
    loaded: LoadedSite,
    found: FoundFiles,
    notes: tuple[str, ...],
    columns: Path | None,
) -> int:
    wanted = record.images
    fitted, of_spectra = fit_beside_images(loaded, found.spectra, record.start, record.end)
    report = process_folders(
        loaded,
        found.frames,
        folder,
        start=record.start,
        end=record.end,
        spectra=fitted if fitted is not None and needs_columns(loaded.site) else (),
        columns=columns,
        jobs=max(1, (os.cpu_count() or 1) // 2),
        command=f"so2cam station: run {record.title}, by {record.by}",
        images=None if wanted is None else ImageRequest(wanted.formats, wanted.quantities, wanted.every),
        progress=progress("processing pairs"),
        drawing=progress("drawing images"),
        keep_learnt=False,
    )
    for failure in report.failures:
        _LOG.warning("cannot be read: %s: %s", Path(str(failure.file)).name, failure.message)
    say(stage="writing columns")
    made = write_columns(folder, record, loaded, fitted)
    say(stage="writing the report")
    warnings = (*notes, *of_spectra, *report.warnings)
    page = ReportPage(
        series=report.series,
        site=loaded.site.name,
        volcano=loaded.site.volcano.name,
        provenance=report.provenance,
        origin=_origin(record),
        example=report.example,
        calibration=report.calibration,
        warnings=warnings,
    )
    write_report(folder / REPORT, page)
    for name in _FOLDERS:
        if (folder / name).is_dir():
            _pack(folder / name)
    _finish(folder, report.series, warnings, made)
    return 0


def _write_live(
    store: RunStore, record: RunRecord, loaded: LoadedSite, found: FoundFiles, content: dict[str, Any]
) -> int:
    """Write the results that the station has, as it has them, and the report of them."""
    folder = store.path(record.id)
    rows = read_rows(store, record)
    say(stage="writing results")
    series = series_of(rows)
    provenance = provenance_of(content, loaded, f"so2cam station run; put into files by {record.by}")
    write_together(
        (
            (folder / "emission_rates.nc", lambda path: write_emission_netcdf(path, series, provenance)),
            (folder / "emission_rates.csv", lambda path: write_emission_csv(path, series)),
        )
    )
    say(stage="writing the report")
    notes = tuple(content["notes"])
    example = _example(folder / _SCRATCH, loaded, found, series)
    page = ReportPage(
        series=series,
        site=loaded.site.name,
        volcano=loaded.site.volcano.name,
        provenance=provenance,
        origin=_origin(record),
        example=example,
        calibration=None,
        warnings=notes,
    )
    write_report(folder / REPORT, page)
    _finish(folder, series, notes, NO_COLUMNS)
    return 0


def _example(scratch: Path, loaded: LoadedSite, found: FoundFiles, series: EmissionSeries) -> ExampleImage | None:
    """Return a pair from the middle of live results, processed again for its image; None where that fails."""
    middle, last = len(series.times) // 2, len(series.times) - 1
    try:
        report = process_folders(
            loaded,
            found.frames,
            scratch,
            start=series.times[max(middle - 1, 0)] - _AROUND,
            end=series.times[min(middle + 1, last)] + _AROUND,
            spectra=found.spectra if needs_columns(loaded.site) else (),
            command="so2cam station: the image of a report",
            keep_learnt=False,
        )
    except So2camError as error:
        _LOG.warning("the report has no image: %s", error.message)
        return None
    return report.example


def _origin(record: RunRecord) -> tuple[tuple[str, str], ...]:
    what = "live results of the station" if record.kind == "live" else f"run {record.title}"
    return (("results", what), ("settings", record.settings), ("ordered by", record.by))


def _finish(folder: Path, series: EmissionSeries, warnings: Sequence[str], columns: RunColumns) -> None:
    for warning in warnings:
        _LOG.warning("%s", warning)
    summary: list[tuple[str, str]] = []
    for index, method in enumerate(series.speed_methods):
        values = series.total_emission_rate_kg_s[:, index]
        good = values[np.isfinite(values)]
        said = f"{good.size} of {values.size} pairs valid"
        if good.size:
            systematic = float(np.nanmedian(series.total_systematic_uncertainty_kg_s[:, index]))
            random = float(np.nanmedian(series.total_random_uncertainty_kg_s[:, index]))
            said = f"median {np.median(good):.2f} kg/s (± {random:.2f} random, ± {systematic:.2f} systematic), {said}"
        summary.append((method, said))
    summary += [("flag", f"{meaning}: {count} pairs") for meaning, count in flag_counts(series)]
    if columns.spectra:
        summary += [item for item in columns.summary if item[0] in _SHOWN]
    valid = int(np.sum(series.status == EmissionStatus.OK))
    finish(
        folder,
        summary=summary,
        warnings=warnings,
        pairs=len(series.times),
        valid=valid,
        spectra=columns.spectra,
        columns=columns.columns,
    )
    _LOG.info("done: %d pairs, %d spectra", len(series.times), columns.spectra)


def _pack(folder: Path) -> None:
    """Put a folder of products into one file that a browser can fetch."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    tell = progress("packing images")
    temporary = folder.with_name(f".{folder.name}.zip.tmp")
    with zipfile.ZipFile(temporary, "w", zipfile.ZIP_STORED) as packed:
        for number, path in enumerate(files):
            packed.write(path, path.relative_to(folder.parent))
            tell(number + 1, len(files))
    temporary.replace(folder.with_name(f"{folder.name}.zip"))
    shutil.rmtree(folder)


def _follow_station() -> None:
    """End with the station: when it says so, and when it is gone."""

    def stopped(_number: int, _frame: object) -> None:
        raise _Stopped

    def watch() -> None:
        while os.read(0, 64):  # not sys.stdin, whose lock would be held at the end
            pass
        os.kill(os.getpid(), signal.SIGTERM)

    signal.signal(signal.SIGTERM, stopped)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=watch, name="station-watch", daemon=True).start()


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
