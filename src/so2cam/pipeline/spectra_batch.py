"""The runner for folders of spectra: columns out. Nothing is written before all of it is known."""

import signal
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from so2cam import __version__
from so2cam.core.constants import MOLEC_CM2_PER_PPM_M
from so2cam.core.errors import FrameFileError, InputError, OutputError
from so2cam.core.records import FloatArray, Provenance
from so2cam.core.spectra import (
    FIT_STATUS_TEXT,
    ColumnSeries,
    DilutionEvidence,
    ExampleFit,
    FitStatus,
    SpectrumInfo,
    SpectrumKind,
)
from so2cam.core.spectrometer import Spectrometer
from so2cam.core.times import format_utc
from so2cam.formats.column_products import write_columns_csv, write_columns_netcdf
from so2cam.formats.columns_quicklook import write_columns_quicklook
from so2cam.formats.folder import SkippedFile, natural_key
from so2cam.formats.sitefile import LoadedSpectrometer, settings_hash
from so2cam.formats.spectra.folder import SpectrumScan, scan_spectra
from so2cam.formats.spectra.gps import add_positions, read_gps_track
from so2cam.pipeline.output import as_text, hash_file, require_folder_for, write_together
from so2cam.pipeline.processes import shared_among
from so2cam.pipeline.spectral_models import SpectralModels
from so2cam.pipeline.spectrum_processor import ColumnRecord, Evidence, SpectrumProcessor, SpectrumReader
from so2cam.science.spectra.dilution import DEPTHS
from so2cam.store.atomic import remove_stale_temporaries

Progress = Callable[[int, int], None]
_CHUNK = 64
"""Spectra that are read and fitted at a time."""
_NAMES = {"shift_0": "shift_nm", "shift_1": "stretch"}
"""What products call parameters of the fit."""


@dataclass(frozen=True, slots=True)
class SpectraPlan:
    """What a run will work on: spectra of the plume in the time range, and all others that it may need."""

    plume: tuple[SpectrumInfo, ...]
    others: tuple[SpectrumInfo, ...]
    skipped: tuple[SkippedFile, ...]
    test_spectra: int
    lamp_spectra: int


@dataclass(frozen=True, slots=True)
class SpectraReport:
    """What a run found, left out, and made."""

    plan: SpectraPlan
    series: ColumnSeries
    failures: tuple[FrameFileError, ...]
    products: tuple[Path, ...]
    seconds: float

    @property
    def valid_values(self) -> int:
        """How many spectra have a column."""
        return int(np.sum(self.series.status == FitStatus.OK))


SpectrumSource = Sequence[Path] | SpectrumScan
"""Where the spectra of a run are: folders to be searched, or spectra found already."""


@dataclass(frozen=True, slots=True)
class FittedSpectra:
    """Columns of the spectra of ``plan`` in order of time, and what was read for them."""

    plan: SpectraPlan
    records: tuple[ColumnRecord, ...]
    reader: SpectrumReader

    def within(self, start: datetime | None, end: datetime | None) -> "FittedSpectra":
        """Return those of ``start`` <= time < ``end`` (UTC) alone; None is no limit."""

        def inside(info: SpectrumInfo) -> bool:
            return (start is None or info.time >= start) and (end is None or info.time < end)

        plume = tuple(info for info in self.plan.plume if inside(info))
        records = tuple(record for record in self.records if inside(record.info))
        return FittedSpectra(replace(self.plan, plume=plume), records, self.reader)


def plan_spectra(
    loaded: LoadedSpectrometer, source: SpectrumSource, *, start: datetime | None = None, end: datetime | None = None
) -> SpectraPlan:
    """Find the spectra of ``source``. ``start`` and ``end`` (UTC) limit those of the plume only.

    Raises InputError where there is nothing to process, and says what is missing.
    """
    settings = loaded.spectrometer
    scan = source if isinstance(source, SpectrumScan) else scan_spectra(source, settings.files)
    if start is not None and end is not None and end <= start:
        raise InputError("--end is not after --start", value=format_utc(end), remedy="give a later --end")
    spectra = scan.spectra
    if settings.files.gps_track is not None:
        spectra = add_positions(spectra, read_gps_track(loaded.path.parent / settings.files.gps_track))
    track = settings.files.gps_track
    named = set() if track is None else {(loaded.path.parent / track).resolve()}
    plume = tuple(
        info
        for info in spectra
        if info.kind is SpectrumKind.PLUME
        and (start is None or info.time >= start)
        and (end is None or info.time < end)
    )
    return SpectraPlan(
        plume=plume,
        others=tuple(info for info in spectra if info.kind in (SpectrumKind.DARK, SpectrumKind.CLEAR)),
        skipped=tuple(item for item in scan.skipped if item.path.resolve() not in named),
        test_spectra=sum(info.kind is SpectrumKind.TEST for info in spectra),
        lamp_spectra=sum(info.kind is SpectrumKind.LAMP for info in spectra),
    )


def spectrum_order(info: SpectrumInfo) -> tuple[datetime, tuple[tuple[str | int, ...], str], Path]:
    """Return what spectra are sorted by in products: time, then name with its numbers as numbers."""
    return info.time, natural_key(info.path.name), info.path


def require_spectra(loaded: LoadedSpectrometer, plan: SpectraPlan, source: SpectrumSource) -> None:
    """Raise InputError where ``plan`` has nothing to process, or no dark where darks are required."""
    where = "the files given" if isinstance(source, SpectrumScan) else ", ".join(str(folder) for folder in source)
    if not plan.plume:
        kinds = Counter(str(info.kind) for info in plan.others)
        found = ", ".join(f"{count} {kind}" for kind, count in sorted(kinds.items())) or "no spectrum at all"
        reason = f"; the first skipped: {plan.skipped[0].path.name} ({plan.skipped[0].reason})" if plan.skipped else ""
        raise InputError(
            f"no spectra of the plume in {where} (found: {found}; {len(plan.skipped)} files skipped{reason})",
            remedy="name the folders that hold them; check the time range, and [spectrometer.files] of the site file",
        )
    detector = loaded.spectrometer.detector
    if detector.subtract_dark and detector.require_dark and not any(i.kind is SpectrumKind.DARK for i in plan.others):
        raise InputError(
            f"no dark spectrum in {where}",
            key="spectrometer.detector.require_dark",
            remedy="add the folder with darks, name them in spectrometer.files.dark_files, or set require_dark = false",
        )


def require_out(out: Path, folders: Sequence[Path]) -> None:
    """Raise OutputError where products cannot be written to ``out``, or it is one of the ``folders`` of spectra."""
    require_folder_for(out)
    if any(folder.resolve() == out.resolve() for folder in folders):
        raise OutputError(
            "is a folder of spectra: products would lie among the raw data",
            file=out,
            remedy="name another folder with --out",
        )


def process_spectra(
    loaded: LoadedSpectrometer,
    folders: Sequence[Path],
    out: Path,
    *,
    start: datetime | None = None,
    end: datetime | None = None,
    jobs: int = 1,
    command: str,
    progress: Progress | None = None,
) -> SpectraReport:
    """Find columns of all spectra in ``folders`` and write columns.csv, columns.nc and quicklook.png to ``out``.

    Products replace older ones when all of them are whole. ``jobs`` processes share the work; the numbers do not depend
    on how many. Raises So2camError subclasses for input that cannot be processed at all; what can be left out is left
    out and counted in the report.
    """
    began = datetime.now(UTC)
    require_out(out, folders)
    fitted = fit_spectra_of(loaded, folders, start=start, end=end, jobs=jobs, progress=progress)
    products, series = write_products(loaded, fitted.plan, fitted.records, fitted.reader, out, command=command)
    return SpectraReport(
        plan=fitted.plan,
        series=series,
        failures=tuple(fitted.reader.failures.values()),
        products=products,
        seconds=(datetime.now(UTC) - began).total_seconds(),
    )


def fit_spectra_of(
    loaded: LoadedSpectrometer,
    source: SpectrumSource,
    *,
    start: datetime | None = None,
    end: datetime | None = None,
    jobs: int = 1,
    progress: Progress | None = None,
) -> FittedSpectra:
    """Fit the spectra of ``source``; ``start`` and ``end`` (UTC) limit those of the plume.

    Raises InputError where there are none, no dark where darks are required, or none can be read.
    """
    plan = plan_spectra(loaded, source, start=start, end=end)
    require_spectra(loaded, plan, source)
    records, reader = fit_files(loaded, plan, jobs=jobs, progress=progress)
    if not records:
        first = next(iter(reader.failures.values()))
        raise InputError(
            f"none of {len(plan.plume)} spectra could be read; the first problem: {first.message}",
            file=first.file,
            remedy=first.remedy,
        )
    return FittedSpectra(plan, tuple(records), reader)


def fit_files(
    loaded: LoadedSpectrometer, plan: SpectraPlan, *, jobs: int, progress: Progress | None
) -> tuple[list[ColumnRecord], SpectrumReader]:
    """Return the columns of a plan's spectra in order of time, and what was read."""
    reader = SpectrumReader(loaded.spectrometer)
    chunks = [plan.plume[first : first + _CHUNK] for first in range(0, len(plan.plume), _CHUNK)]
    records: list[ColumnRecord] = []
    done = 0
    with _fitter(loaded, plan.others, reader, min(jobs, len(chunks))) as fit:
        for part, chunk in zip(fit(chunks), chunks, strict=True):
            records += part
            done += len(chunk)
            if progress is not None:
                progress(done, len(plan.plume))
    return records, reader


_Fit = Callable[[Sequence[Sequence[SpectrumInfo]]], Iterator[list[ColumnRecord]]]


@contextmanager
def _fitter(
    loaded: LoadedSpectrometer, others: Sequence[SpectrumInfo], reader: SpectrumReader, jobs: int
) -> Iterator[_Fit]:
    """Give a function that fits chunks of files, in this process or in several."""
    if jobs <= 1:
        worker = _Worker(loaded, others, reader)
        yield lambda chunks: (worker.fit(chunk) for chunk in chunks)
        return
    SpectralModels(loaded.spectrometer, loaded.path.parent)  # says here, in words, what the processes would fail with
    with shared_among(jobs, jobs, _start_worker, (loaded, tuple(others)), anew=False) as pool:

        def fit(chunks: Sequence[Sequence[SpectrumInfo]]) -> Iterator[list[ColumnRecord]]:
            for records, hashes, failures in pool.map(_work, chunks):
                reader.hashes.update(hashes)
                reader.failures.update(failures)
                yield records

        yield fit


class _Worker:
    def __init__(self, loaded: LoadedSpectrometer, others: Sequence[SpectrumInfo], reader: SpectrumReader) -> None:
        self.reader = reader
        self.processor = SpectrumProcessor(loaded.spectrometer, loaded.path.parent, others, reader)

    def fit(self, chunk: Sequence[SpectrumInfo]) -> list[ColumnRecord]:
        read = [self.reader.read(info) for info in chunk]
        return self.processor.process([spectrum for spectrum in read if spectrum is not None])


_worker: _Worker | None = None


def _start_worker(loaded: LoadedSpectrometer, others: Sequence[SpectrumInfo]) -> None:
    global _worker
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _worker = _Worker(loaded, others, SpectrumReader(loaded.spectrometer))


def _work(
    chunk: Sequence[SpectrumInfo],
) -> tuple[list[ColumnRecord], dict[str, str], dict[str, FrameFileError]]:
    if _worker is None:
        raise RuntimeError("the worker has not been started")
    return _worker.fit(chunk), _worker.reader.hashes, _worker.reader.failures


# --- products ----------------------------------------------------------------------------------------------------


def write_products(
    loaded: LoadedSpectrometer,
    plan: SpectraPlan,
    records: Sequence[ColumnRecord],
    reader: SpectrumReader,
    out: Path,
    *,
    command: str,
    picture: str = "quicklook.png",
) -> tuple[tuple[Path, ...], ColumnSeries]:
    """Write the three products of ``records`` together, and return their paths and the series in them.

    ``picture`` is the name of the quick look.
    """
    series = assemble_columns(loaded, records)
    worker = _Worker(loaded, plan.others, SpectrumReader(loaded.spectrometer))
    examples = _examples(worker, records, series)
    settings = loaded.settings
    own = worker.processor.models.inputs
    track = loaded.spectrometer.files.gps_track
    inputs = [*own, *([] if track is None else [loaded.path.parent / track])]
    provenance = Provenance(
        software_version=__version__,
        site_name=loaded.name,
        settings=settings,
        settings_sha256=settings_hash(settings),
        input_sha256=(
            (as_text(str(loaded.path)), loaded.sha256),
            *((as_text(str(path)), hash_file(path)) for path in inputs),
            *sorted((as_text(path), digest) for path, digest in reader.hashes.items()),
        ),
        command=as_text(command),
        created=datetime.now(UTC),
    )
    lines = column_summary(loaded, plan, series, len(reader.failures))
    products = (out / "columns.nc", out / "columns.csv", out / picture)
    if out.is_dir():
        remove_stale_temporaries(out)
    write_together(
        (
            (products[0], lambda path: write_columns_netcdf(path, series, provenance)),
            (products[1], lambda path: write_columns_csv(path, series)),
            (
                products[2],
                lambda path: write_columns_quicklook(
                    path, series, site_name=loaded.name, examples=examples, summary=lines
                ),
            ),
        )
    )
    return products, series


def assemble_columns(loaded: LoadedSpectrometer, records: Sequence[ColumnRecord]) -> ColumnSeries:
    """Return records as arrays over time."""
    settings = loaded.spectrometer
    names = list(dict.fromkeys(name for record in records for name in record.parameters))
    missing = (np.nan, np.nan)

    def column(name: str, part: int) -> FloatArray:
        return np.array([record.parameters.get(name, missing)[part] for record in records], np.float64)

    def place(get: Callable[[SpectrumInfo], float | None]) -> FloatArray:
        values = (get(record.info) for record in records)
        return np.array([np.nan if value is None else value for value in values], np.float64)

    so2 = column("so2", 0)
    fixed = settings.light_dilution.value if settings.light_dilution.mode == "fixed" else np.nan
    dilution = np.array([record.light_dilution for record in records], np.float64).reshape(-1, 2)
    if settings.light_dilution.mode == "fixed":
        dilution = np.stack([np.where(np.isfinite(so2), fixed, np.nan), np.full(so2.shape, np.nan)], axis=-1)
    return ColumnSeries(
        times=tuple(record.info.time for record in records),
        files=tuple(as_text(record.info.path.name) for record in records),
        so2_molec_cm2=so2,
        so2_random_molec_cm2=column("so2", 1),
        so2_systematic_molec_cm2=np.abs(so2) * settings.references.so2.relative_uncertainty,
        light_dilution=dilution[:, 0],
        light_dilution_uncertainty=dilution[:, 1],
        residual_rms=np.array([record.residual_rms for record in records], np.float64),
        chi2=np.array([record.chi2 for record in records], np.float64),
        status=np.array([int(record.status) for record in records], np.int64),
        parameters={_NAMES.get(name, name): (column(name, 0), column(name, 1)) for name in names},
        latitude_deg=place(lambda info: info.latitude_deg),
        longitude_deg=place(lambda info: info.longitude_deg),
        altitude_m=place(lambda info: info.altitude_m),
        evidence=_evidence(records) if settings.light_dilution.mode == "fit" else None,
    )


def _evidence(records: Sequence[ColumnRecord]) -> DilutionEvidence:
    """Return what the records' spectra tell of light dilution together."""
    nothing = Evidence(np.nan, np.nan, None)
    found = [nothing if record.evidence is None else record.evidence for record in records]
    unknown = np.full(DEPTHS.size, np.nan)
    return DilutionEvidence(
        so2_molec_cm2=np.array([one.column for one in found], np.float64),
        so2_random_molec_cm2=np.array([one.sigma for one in found], np.float64),
        depth=DEPTHS.copy(),
        misfit=np.array([unknown if one.misfit is None else one.misfit for one in found], np.float64).reshape(
            -1, DEPTHS.size
        ),
    )


def _examples(worker: _Worker, records: Sequence[ColumnRecord], series: ColumnSeries) -> list[ExampleFit]:
    """Return the best and the worst fit: of those with a column or, where none has one, of all that were made."""
    made = np.isfinite(series.residual_rms)
    good = np.flatnonzero(made & (series.status == FitStatus.OK))
    if good.size == 0:
        good = np.flatnonzero(made)
    if good.size == 0:
        return []
    best, worst = (int(good[pick(series.residual_rms[good])]) for pick in (np.argmin, np.argmax))
    chosen = {"best fit": best} if best == worst else {"best fit": best, "worst fit": worst}
    found = []
    for label, index in chosen.items():
        spectrum = worker.reader.read(records[index].info)
        example = None if spectrum is None else worker.processor.example(spectrum, label)
        if example is not None:
            verdict = "" if series.status[index] == FitStatus.OK else ", no column"
            found.append(replace(example, label=f"{label}{verdict}, {format_utc(records[index].info.time)}"))
    return found


def column_summary(
    loaded: LoadedSpectrometer, plan: SpectraPlan, series: ColumnSeries, failures: int
) -> list[tuple[str, str]]:
    """Return what a reader of the run wants to know first, as label and text."""
    settings = loaded.spectrometer
    references = settings.references
    good = series.status == FitStatus.OK
    lines = [
        ("spectra", f"{len(series.times)} of {len(plan.plume)}, {int(good.sum())} with a column"),
        ("left out", f"{failures} unreadable, {len(plan.skipped)} skipped, {plan.test_spectra} test spectra"),
        ("period", f"{format_utc(series.times[0])} to {format_utc(series.times[-1])}"),
        ("window", f"{_windows(settings)}, {settings.fit.method}"),
        ("SO2 table", references.so2.table or str(references.so2.file)),
        ("light dilution", settings.light_dilution.mode),
    ]
    if good.any():
        so2 = series.so2_molec_cm2[good] / MOLEC_CM2_PER_PPM_M
        sigma = series.so2_random_molec_cm2[good] / MOLEC_CM2_PER_PPM_M
        lines += [
            ("SO2", f"median {np.median(so2):.1f}, {so2.min():.1f} to {so2.max():.1f} ppm m"),
            ("uncertainty", f"median {np.median(sigma):.1f} ppm m (random, 1 sigma)"),
            ("residual", f"median {100 * np.median(series.residual_rms[good]):.2f} %"),
        ]
    reasons = Counter(FIT_STATUS_TEXT[FitStatus(int(code))] for code in series.status[~good])
    lines += [("no column", f"{count} x {reason}") for reason, count in reasons.most_common(3)]
    return lines


def _windows(settings: Spectrometer) -> str:
    dilution = settings.light_dilution
    two = (dilution.first_window_nm, dilution.second_window_nm)
    windows = two if dilution.mode == "fit" else (settings.fit.window_nm,)
    return " and ".join(f"{low:g}-{high:g} nm" for low, high in windows)
