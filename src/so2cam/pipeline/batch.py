"""The batch runner: folders of frames in, products out. Nothing is written before all of it is known."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from so2cam import __version__
from so2cam.core.errors import FrameFileError, InputError, OutputError
from so2cam.core.records import Frame, FrameInfo, FrameKind, FramePair, Provenance
from so2cam.core.results import CalibrationSummary, EmissionSeries, ExampleImage
from so2cam.core.site import Site
from so2cam.core.status import EmissionStatus
from so2cam.formats.images import total_rates
from so2cam.formats.products import write_emission_csv, write_emission_netcdf
from so2cam.formats.quicklook import write_quicklook
from so2cam.formats.sitefile import LoadedSite, check_site, settings_hash
from so2cam.pipeline.frames import DarkLibrary, FrameReader
from so2cam.pipeline.geometry import WindField, lines_at_plume, resolve_view
from so2cam.pipeline.output import as_text, hash_file, require_folder_for, write_together
from so2cam.pipeline.plan import RunPlan, plan_run, require_darks
from so2cam.pipeline.processor import Processor
from so2cam.pipeline.records import PairImages, PairRecord
from so2cam.pipeline.references import CellReading, References, build_references
from so2cam.pipeline.registration import resolve_registration
from so2cam.pipeline.run_images import ImageRequest, full_flow_px_s, observers, open_writer
from so2cam.pipeline.series import assemble, method_disagreement, negative_rates, summary_lines
from so2cam.pipeline.steps import measure_line
from so2cam.store.atomic import remove_stale_temporaries

Progress = Callable[[int, int], None]


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
    images: ImageRequest | None = None,
    progress: Progress | None = None,
    drawing: Progress | None = None,
) -> RunReport:
    """Process all frames in ``folders`` and write emission_rates.nc, emission_rates.csv and quicklook.png to ``out``.

    With ``images``, images too; ``drawing`` is told how many pictures are drawn.
    Products replace older ones when all of them are whole; nothing is written if processing fails or is
    interrupted. Raises So2camError subclasses for input that cannot be processed at all; what can be left out is
    left out and counted in the report.
    """
    began = datetime.now(UTC)
    site, view_notes = resolve_view(loaded.site)
    risks = check_site(site)
    wind = WindField(site, loaded.path.parent)
    require_folder_for(out)
    if any(folder.resolve() == out.resolve() for folder in folders):
        raise OutputError(
            "is a folder of frames: products would lie among the raw data",
            file=out,
            remedy="name another folder with --out",
        )
    reader = FrameReader(site)
    plan = plan_run(site, folders, start=start, end=end, reader=reader)
    darks = DarkLibrary([f for f in plan.frames if f.kind is FrameKind.DARK], site.processing, reader)
    require_darks(plan, darks, site, reader)
    site, notes = resolve_registration(site, plan.pairs, darks, reader)
    references = build_references(site, plan.frames, darks, reader)
    keeper = _ExampleKeeper(plan.pairs[len(plan.pairs) // 2].time)
    with open_writer(images, out, lines_at_plume(site, require=False)) as writer:
        observer = observers(site, references, images, writer, keeper)
        processor = Processor(site, references, darks, wind=wind, observer=observer)
        run = _process(plan, processor, reader, progress)
        series = assemble(site, run.records, references.curve.slope_at_zero, references.curve.offset)
        settings = site.model_dump(mode="json")
        provenance = Provenance(
            software_version=__version__,
            site_name=site.name,
            settings=settings,
            settings_sha256=settings_hash(settings),
            input_sha256=(
                (as_text(str(loaded.path)), loaded.sha256),
                *(() if wind.file is None else ((as_text(str(wind.file)), hash_file(wind.file)),)),
                *sorted((as_text(path), digest) for path, digest in reader.hashes.items()),
            ),
            command=as_text(command),
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

        made: tuple[Path, ...] = ()

        def commit_images() -> None:
            nonlocal made
            if writer is not None:
                made = writer.commit()

        if writer is not None:
            writer.complete(provenance, rates=total_rates(series), progress=drawing)
        if out.is_dir():
            remove_stale_temporaries(out)
        write_together(
            (
                (products[0], lambda path: write_emission_netcdf(path, series, provenance)),
                (products[1], lambda path: write_emission_csv(path, series)),
                (products[2], quicklook),
            ),
            last=commit_images,
        )
        image_notes = () if writer is None else writer.notes
    return RunReport(
        plan=plan,
        series=series,
        calibration=references.calibration,
        cells=references.cells,
        failures=failures,
        lost_pairs=tuple(run.lost),
        products=(*products, *made),
        seconds=(datetime.now(UTC) - began).total_seconds(),
        warnings=(
            *risks,
            *view_notes,
            *references.calibration.warnings,
            *notes,
            *negative_rates(series),
            *method_disagreement(series),
            *image_notes,
        ),
    )


def _process(plan: RunPlan, processor: Processor, reader: FrameReader, progress: Progress | None) -> _Run:
    """Run all pairs of a plan. Raises InputError where none of them could be read."""
    read = _last_few(reader)
    run = _Run()
    for index, pair in enumerate(plan.pairs):
        on, off = read(pair.on), read(pair.off)
        later_off = None if pair.later_off is None else read(pair.later_off)
        if on is None or off is None or (later_off is None and pair.later_off is not None):
            run.lost.append(pair)
        else:
            run.records += processor.push(pair, on, off, later_off)
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
    return run


def _last_few(reader: FrameReader) -> Callable[[FrameInfo], Frame | None]:
    """Return a reader that keeps the last frames: two pairs share one where the off band is interpolated."""
    kept: dict[Path, Frame | None] = {}

    def read(info: FrameInfo) -> Frame | None:
        if info.path not in kept:
            if len(kept) >= 4:
                kept.pop(next(iter(kept)))
            kept[info.path] = reader.read(info)
        return kept[info.path]

    return read


def example_image(site: Site, images: PairImages, references: References) -> ExampleImage:
    """Return a pair as a plot needs it: image, motion in pixels per second, and the columns that are integrated."""
    image = images.image
    profiles = {}
    for samples in images.geometry.lines.values():
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
        flow_px_s=None if images.flow is None else full_flow_px_s(images.flow, image.valid.shape, images.interval_s),
        profiles=profiles,
    )
