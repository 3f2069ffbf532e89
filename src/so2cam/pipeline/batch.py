"""The batch runner: folders of frames in, products out. Nothing is written before all of it is known."""

import os
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from so2cam import __version__
from so2cam.core.errors import FrameFileError, InputError, OutputError
from so2cam.core.records import Band, FrameInfo, FrameKind, FramePair, Provenance
from so2cam.core.results import CalibrationSummary, EmissionSeries, ExampleImage
from so2cam.core.site import Site
from so2cam.core.status import QUALITY_TEXT, STATUS_TEXT, EmissionStatus, QualityFlag
from so2cam.core.times import format_utc
from so2cam.formats.folder import SkippedFile, scan_frames
from so2cam.formats.products import write_emission_csv, write_emission_netcdf
from so2cam.formats.quicklook import write_quicklook
from so2cam.formats.sitefile import LoadedSite, check_site, settings_hash
from so2cam.pipeline.frames import DarkLibrary, FrameReader
from so2cam.pipeline.pairing import pair_frames
from so2cam.pipeline.processor import Emission, PairImages, PairRecord, Processor
from so2cam.pipeline.references import CellReading, References, build_references
from so2cam.pipeline.registration import resolve_registration
from so2cam.pipeline.steps import lines_at_plume, measure_line
from so2cam.science.motion.flow import REDUCTION, Flow
from so2cam.store.atomic import atomic_write, remove_stale_temporaries

Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class RunPlan:
    """What a run will work on."""

    frames: tuple[FrameInfo, ...]
    """All calibration frames, and the plume frames of the time range."""
    pairs: tuple[FramePair, ...]
    unpaired: tuple[FrameInfo, ...]
    skipped: tuple[SkippedFile, ...]
    test_frames: int


@dataclass(frozen=True, slots=True)
class RunReport:
    """What a run found, left out, and made."""

    plan: RunPlan
    series: EmissionSeries
    calibration: CalibrationSummary
    cells: tuple[CellReading, ...]
    failures: tuple[FrameFileError, ...]
    lost_pairs: tuple[FramePair, ...]
    products: tuple[Path, ...]
    seconds: float
    warnings: tuple[str, ...] = ()

    @property
    def valid_values(self) -> int:
        """How many emission rates of single lines are valid."""
        return int(np.sum(self.series.status == EmissionStatus.OK))


def plan_run(
    site: Site, folders: Sequence[Path], *, start: datetime | None = None, end: datetime | None = None
) -> RunPlan:
    """Find and pair the frames in ``folders``. ``start`` and ``end`` (UTC) limit plume frames only.

    Raises InputError where there is nothing to process, and says what is missing.
    """
    scan = scan_frames(folders, site.files)
    if start is not None and end is not None and end <= start:
        raise InputError("--end is not after --start", value=format_utc(end), remedy="give a later --end")
    where = ", ".join(str(folder) for folder in folders)

    def wanted(frame: FrameInfo) -> bool:
        return (start is None or frame.time >= start) and (end is None or frame.time < end)

    plume = {
        band: [f for f in scan.frames if f.kind is FrameKind.PLUME and f.band is band and wanted(f)] for band in Band
    }
    if not plume[Band.ON] and not plume[Band.OFF]:
        kinds = Counter(str(frame.kind) for frame in scan.frames)
        found = ", ".join(f"{count} {kind}" for kind, count in sorted(kinds.items())) or "no frame at all"
        outside = ""
        if start or end:
            times = [frame.time for frame in scan.frames if frame.kind is FrameKind.PLUME]
            there = f", which go from {format_utc(min(times))} to {format_utc(max(times))}" if times else ""
            outside = f" in the time range given{there}"
        raise InputError(
            f"no plume frames in {where}{outside} (found: {found}; {len(scan.skipped)} files skipped)",
            remedy="name the folders that hold the sequence, and check the time range and [files] of the site file",
        )
    for band, other in ((Band.ON, Band.OFF), (Band.OFF, Band.ON)):
        if not plume[band]:
            tag = site.files.on_band if band is Band.ON else site.files.off_band
            raise InputError(
                f"{len(plume[other])} {other}-band plume frames, but none of the {band} band (*_{tag}_*) in {where}",
                remedy=f"add the folder of the {band} band to --frames; an SO2 camera's absorbance needs both bands",
            )
    pairing = pair_frames(plume[Band.ON], plume[Band.OFF], tolerance_s=site.processing.pairing.tolerance_s)
    if not pairing.pairs:
        raise InputError(
            f"none of {len(plume[Band.ON])} on-band and {len(plume[Band.OFF])} off-band plume frames lie within "
            f"{site.processing.pairing.tolerance_s:g} s of each other",
            key="processing.pairing.tolerance_s",
            remedy="check the clocks of the two cameras, or widen the tolerance",
        )
    calibration = [frame for frame in scan.frames if frame.kind not in (FrameKind.PLUME, FrameKind.TEST)]
    test_frames = sum(frame.kind is FrameKind.TEST for frame in scan.frames)
    return RunPlan(
        frames=(*calibration, *plume[Band.ON], *plume[Band.OFF]),
        pairs=pairing.pairs,
        unpaired=pairing.unpaired,
        skipped=scan.skipped,
        test_frames=test_frames,
    )


@dataclass(slots=True)
class _ExampleKeeper:
    """Keeps the images of the pair nearest to the middle of a run whose motion is known."""

    wanted: datetime
    kept: PairImages | None = None

    def __call__(self, images: PairImages) -> None:
        if self.kept is None:
            self.kept = images
            return
        if (self.kept.flow is None, self._distance(self.kept)) > (images.flow is None, self._distance(images)):
            self.kept = images

    def _distance(self, images: PairImages) -> float:
        return abs((images.time - self.wanted).total_seconds())


@dataclass(slots=True)
class _Run:
    records: list[PairRecord] = field(default_factory=list)
    lost: list[FramePair] = field(default_factory=list)


def process_folders(
    loaded: LoadedSite,
    folders: Sequence[Path],
    out: Path,
    *,
    start: datetime | None = None,
    end: datetime | None = None,
    command: str,
    progress: Progress | None = None,
) -> RunReport:
    """Process all frames in ``folders`` and write emission_rates.nc, emission_rates.csv and quicklook.png to ``out``.

    Products replace older ones when all of them are whole; nothing is written if processing fails or is
    interrupted. Raises So2camError subclasses for input that cannot be processed at all; what can be left out is
    left out and counted in the report.
    """
    began = datetime.now(UTC)
    site = loaded.site
    _require_folder_for(out)
    if any(folder.resolve() == out.resolve() for folder in folders):
        raise OutputError(
            "is a folder of frames: products would lie among the raw data",
            file=out,
            remedy="name another folder with --out",
        )
    plan = plan_run(site, folders, start=start, end=end)
    reader = FrameReader(site)
    darks = DarkLibrary([f for f in plan.frames if f.kind is FrameKind.DARK], site.processing.dark, reader)
    _require_darks(plan, darks, site, reader)
    site, notes = resolve_registration(site, plan.pairs, darks, reader)
    references = build_references(site, plan.frames, darks, reader)
    keeper = _ExampleKeeper(plan.pairs[len(plan.pairs) // 2].time)
    processor = Processor(site, references, darks, observer=keeper)
    run = _Run()
    for index, pair in enumerate(plan.pairs):
        on, off = reader.read(pair.on), reader.read(pair.off)
        if on is None or off is None:
            run.lost.append(pair)
        else:
            run.records += processor.push(pair, on, off)
        if progress is not None:
            progress(index + 1, len(plan.pairs))
    run.records += processor.finish()
    if not run.records:
        lost = (str(frame.path) for pair in run.lost for frame in (pair.on, pair.off))
        first = next(reader.failures[path] for path in lost if path in reader.failures)
        raise InputError(
            f"none of {len(plan.pairs)} pairs could be read; the first problem: {first.message}",
            file=first.file,
            remedy=first.remedy,
        )
    run.records.sort(key=lambda record: record.time)
    series = assemble(site, run.records, references.curve.slope_at_zero, references.curve.offset)
    settings = site.model_dump(mode="json")
    provenance = Provenance(
        software_version=__version__,
        site_name=site.name,
        settings=settings,
        settings_sha256=settings_hash(settings),
        input_sha256=(
            (_as_text(str(loaded.path)), loaded.sha256),
            *sorted((_as_text(path), digest) for path, digest in reader.hashes.items()),
        ),
        command=_as_text(command),
        created=datetime.now(UTC),
    )
    example = None if keeper.kept is None else example_image(site, keeper.kept, references)
    products = (out / "emission_rates.nc", out / "emission_rates.csv", out / "quicklook.png")
    failures = tuple(reader.failures.values())
    lines = summary_lines(site, plan, series, len(failures), references.calibration.description)

    def quicklook(path: Path) -> None:
        write_quicklook(
            path,
            series,
            site_name=site.name,
            volcano=site.volcano.name,
            example=example,
            calibration=references.calibration,
            summary=lines,
        )

    if out.is_dir():
        remove_stale_temporaries(out)
    _write_together(
        (
            (products[0], lambda path: write_emission_netcdf(path, series, provenance)),
            (products[1], lambda path: write_emission_csv(path, series)),
            (products[2], quicklook),
        )
    )
    return RunReport(
        plan=plan,
        series=series,
        calibration=references.calibration,
        cells=references.cells,
        failures=failures,
        lost_pairs=tuple(run.lost),
        products=products,
        seconds=(datetime.now(UTC) - began).total_seconds(),
        warnings=(
            *check_site(loaded.site),
            *references.calibration.warnings,
            *notes,
            *negative_rates(series),
            *method_disagreement(series),
        ),
    )


def _require_folder_for(out: Path) -> None:
    """Raise OutputError where no product can be written to ``out``: before the work, not after it."""
    if _as_text(str(out)) != str(out):
        raise OutputError(
            "the name holds bytes that are not UTF-8", file=_as_text(str(out)), remedy="name another folder with --out"
        )
    there = next((path for path in (out, *out.parents) if path.exists()), Path())
    if not there.is_dir():
        raise OutputError(
            "is a file, so no product can be written below it", file=there, remedy="name a folder with --out"
        )
    if not os.access(there, os.W_OK | os.X_OK):
        raise OutputError(
            "nothing can be written into this folder",
            file=there,
            remedy="name another folder with --out, or change the permissions",
        )


def _write_together(products: Sequence[tuple[Path, Callable[[Path], None]]]) -> None:
    """Write files so that none takes its place before all are whole: each waits for those after it."""
    (path, write), *others = products

    def with_others(temporary: Path) -> None:
        write(temporary)
        if others:
            _write_together(others)

    atomic_write(path, with_others)


def _as_text(name: str) -> str:
    """Return a path or command as text that any file can hold: bytes that are not UTF-8 are spelled out."""
    return name.encode("utf-8", "backslashreplace").decode("utf-8")


def _require_darks(plan: RunPlan, darks: DarkLibrary, site: Site, reader: FrameReader) -> None:
    """Raise InputError where no pair at all has darks for both of its frames."""
    found: dict[tuple[Band, float, float], bool] = {}

    def has_dark(frame: FrameInfo) -> bool:
        setting = (frame.band, frame.exposure_s, frame.gain)
        if setting not in found:
            found[setting] = darks.dark_for(frame) is not None
        return found[setting]

    if any(has_dark(pair.on) and has_dark(pair.off) for pair in plan.pairs):
        return
    first = plan.pairs[0]
    frame = first.off if has_dark(first.on) else first.on
    raise InputError(
        f"no dark frame matches the plume frames: {frame.band} band, gain {frame.gain:g}, exposure "
        f"{1e3 * frame.exposure_s:.3f} ms within {100 * site.processing.dark.exposure_tolerance:g} %"
        + reader.explain(dark for dark in plan.frames if dark.kind is FrameKind.DARK and dark.band is frame.band),
        file=frame.path,
        remedy="add a folder with darks (type Dark) of that band, gain and exposure to --frames, or set "
        "processing.dark.exposure_tolerance if their exposures really differ",
    )


def assemble(
    site: Site, records: Sequence[PairRecord], slope: tuple[float, float], offset: tuple[float, float]
) -> EmissionSeries:
    """Return records as arrays over time, line and speed method, with totals."""
    lines = tuple(line.name for line in site.lines)
    methods = tuple(site.processing.speed.methods)
    shape = (len(records), len(lines), len(methods))

    def table(get: Callable[[Emission], float]) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
        values = [[[get(r.emissions[line, m]) for m in methods] for line in lines] for r in records]
        return np.array(values, np.float64).reshape(shape)

    def per_line(uncertainty: bool) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
        values = []
        for record in records:
            amounts = [record.lines[line].ica for line in lines]
            values.append([np.nan if a is None else (a.random if uncertainty else a.value) for a in amounts])
        return np.array(values, np.float64).reshape(shape[:2])

    rate, random = table(lambda e: e.rate), table(lambda e: e.random)
    systematic, status = table(lambda e: e.systematic), table(lambda e: e.status).astype(np.int64)
    parts = [lines.index(name) for name in site.total_lines]
    part_status = status[:, parts, :]
    missing = np.any(part_status != EmissionStatus.OK, axis=1)
    only = part_status[:, 0, :] if len(parts) == 1 else np.full(missing.shape, int(EmissionStatus.PART_MISSING))
    times = len(records)
    return EmissionSeries(
        times=tuple(record.time for record in records),
        lines=lines,
        speed_methods=methods,
        emission_rate_kg_s=rate,
        random_uncertainty_kg_s=random,
        systematic_uncertainty_kg_s=systematic,
        status=status,
        plume_speed_m_s=table(lambda e: e.speed),
        plume_speed_uncertainty_m_s=table(lambda e: e.speed_uncertainty),
        plume_direction_deg=table(lambda e: e.direction_deg),
        integrated_column_amount_kg_m=per_line(False),
        integrated_column_amount_uncertainty_kg_m=per_line(True),
        total_emission_rate_kg_s=np.where(missing, np.nan, rate[:, parts, :].sum(axis=1)),
        total_random_uncertainty_kg_s=np.where(missing, np.nan, np.sqrt((random[:, parts, :] ** 2).sum(axis=1))),
        # Calibration, distance and method are common to all lines: their errors add up.
        total_systematic_uncertainty_kg_s=np.where(missing, np.nan, systematic[:, parts, :].sum(axis=1)),
        total_status=np.where(missing, only, int(EmissionStatus.OK)).astype(np.int64),
        background_level=np.array([record.background_level for record in records]),
        background_noise=np.array([record.noise for record in records]),
        quality_flags=np.array([int(record.flags) for record in records], np.int64),
        pair_offset_s=np.array([record.pair.offset_s for record in records]),
        calibration_slope_molec_cm2=np.full(times, slope[0]),
        calibration_slope_uncertainty_molec_cm2=np.full(times, slope[1]),
        calibration_offset_molec_cm2=np.full(times, offset[0]),
        calibration_offset_uncertainty_molec_cm2=np.full(times, offset[1]),
    )


def example_image(site: Site, images: PairImages, references: References) -> ExampleImage:
    """Return a pair as a plot needs it: image, motion in pixels per second, and the columns that are integrated."""
    image = images.image
    profiles = {}
    for samples in lines_at_plume(site):
        columns = measure_line(image, samples, references.curve, site, references.covered).columns
        values = np.full(samples.x.size, np.nan)
        if columns is not None:
            values = np.where(columns.interpolated > 0, np.nan, columns.column)
        profiles[samples.line.name] = (values, float(samples.piece_m.sum()))
    return ExampleImage(
        time=images.time,
        absorbance=image.absorbance,
        valid=image.valid & image.in_sky,
        lines=site.plume_lines,
        flow_px_s=None if images.flow is None else _full_flow(images.flow, image.valid.shape, images.interval_s),
        profiles=profiles,
    )


def _full_flow(
    flow: Flow, shape: tuple[int, ...], interval_s: float
) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    vectors = np.where(flow.valid[..., None], flow.displacement / np.float32(interval_s), np.float32(np.nan))
    full = np.full((*shape, 2), np.nan, np.float32)
    full[flow.region.slices] = np.repeat(np.repeat(vectors, REDUCTION, axis=0), REDUCTION, axis=1)
    return full


def negative_rates(series: EmissionSeries) -> tuple[str, ...]:
    """Return a warning where most of the totals are negative: the plume drifts against the lines' normals."""
    totals = series.total_emission_rate_kg_s
    good = np.isfinite(totals)
    if not good.any() or np.mean(totals[good] < 0) <= 0.5:
        return ()
    text = (
        "most emission rates are negative: the plume drifts against the lines' normals; if the wind was not from the "
        "other side, lines.normal in the site file is the wrong way round"
    )
    return (text,)


def method_disagreement(series: EmissionSeries) -> tuple[str, ...]:
    """Return a warning for each pair of speed methods whose mean totals differ by more than their uncertainties.

    Compared at times where both are valid, at 2 sigma of the mean's random and of the methods' own systematic parts;
    what is common to both (calibration, distance) is not counted as a reason to differ.
    """
    warnings = []
    for first in range(len(series.speed_methods)):
        for second in range(first + 1, len(series.speed_methods)):
            values = series.total_emission_rate_kg_s[:, (first, second)]
            both = np.isfinite(values).all(axis=1)
            if not both.any():
                continue
            mean = values[both].mean(axis=0)
            random = series.total_random_uncertainty_kg_s[both][:, (first, second)]
            sigma = np.sqrt(np.sum(np.mean(random, axis=0) ** 2) + (0.06 * np.abs(mean).max()) ** 2)
            if abs(mean[0] - mean[1]) > 2 * sigma:
                warnings.append(
                    f"{series.speed_methods[first]} ({mean[0]:.2f} kg/s) and {series.speed_methods[second]} "
                    f"({mean[1]:.2f} kg/s) disagree beyond their uncertainties"
                )
    return tuple(warnings)


def summary_lines(
    site: Site, plan: RunPlan, series: EmissionSeries, failures: int, calibration: str
) -> list[tuple[str, str]]:
    """Return what a reader of the run wants to know first, as label and text."""
    slope = series.calibration_slope_molec_cm2[0]
    slope_sigma = series.calibration_slope_uncertainty_molec_cm2[0]
    lines = [
        ("pairs", f"{len(series.times)} of {len(plan.pairs)}; {len(plan.unpaired)} frames unpaired"),
        ("left out", f"{failures} unreadable, {len(plan.skipped)} skipped, {plan.test_frames} test frames"),
        ("period", f"{format_utc(series.times[0])} to {format_utc(series.times[-1])}"),
        ("total of", ", ".join(site.total_lines)),
        ("calibration", f"{slope:.3g} ± {slope_sigma:.1g} molec cm-2 ({calibration})"),
        ("background", site.processing.background.mode),
    ]
    for index, method in enumerate(series.speed_methods):
        values = series.total_emission_rate_kg_s[:, index]
        good = values[np.isfinite(values)]
        if good.size:
            systematic = float(np.nanmean(series.total_systematic_uncertainty_kg_s[:, index]))
            text = (
                f"median {np.median(good):.2f} kg/s (systematic ± {systematic:.2f}), {good.size} of {values.size} valid"
            )
        else:
            text = f"no valid value: {_commonest(series.total_status[:, index])}"
        lines.append((method, text))
    return lines


def _commonest(status: np.ndarray[tuple[int, ...], np.dtype[np.int64]]) -> str:
    return STATUS_TEXT[EmissionStatus(Counter(status.tolist()).most_common(1)[0][0])]


def flag_counts(series: EmissionSeries) -> list[tuple[str, int]]:
    """Return the meaning and the number of pairs of every quality flag that was raised."""
    return [
        (QUALITY_TEXT[flag], int(np.sum((series.quality_flags & flag) != 0)))
        for flag in QualityFlag
        if flag and np.any(series.quality_flags & flag)
    ]
