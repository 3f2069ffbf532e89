"""The batch runner: folders of frames in, products out. Nothing is written before all of it is known."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from so2cam import __version__
from so2cam.core.errors import FrameFileError, OutputError
from so2cam.core.records import FrameKind, FramePair, Provenance
from so2cam.core.results import CalibrationRecord, CalibrationSummary, EmissionSeries, ExampleImage
from so2cam.core.site import Site
from so2cam.core.status import EmissionStatus
from so2cam.formats.folder import FrameScan
from so2cam.formats.images import total_rates
from so2cam.formats.products import write_emission_csv, write_emission_netcdf
from so2cam.formats.quicklook import write_quicklook
from so2cam.formats.sitefile import LoadedSite, check_site, settings_hash
from so2cam.formats.spectra.folder import SpectrumScan
from so2cam.formats.starter import require_meaning
from so2cam.pipeline.calibration_products import calibration_products
from so2cam.pipeline.columns import columns_from_product, columns_from_spectra, pools_dilution
from so2cam.pipeline.dilution import build_dilution, terrain_files
from so2cam.pipeline.dilution_agreement import agreement_text, agreement_warnings, dilution_agreement, dilution_troubles
from so2cam.pipeline.frames import DarkLibrary, FrameReader, keep_last
from so2cam.pipeline.geometry import WindField, lines_at_plume, resolve_view
from so2cam.pipeline.image_chain import ImageChain
from so2cam.pipeline.learning import (
    build_learner,
    in_order,
    learn_whole,
    learning_warnings,
    needs_columns,
    require_columns,
    require_columns_near,
    require_same_dilution,
    spectrometer_summary,
    unused_columns,
)
from so2cam.pipeline.method_agreement import method_disagreement
from so2cam.pipeline.output import as_text, hash_file, require_folder_for, write_together
from so2cam.pipeline.pair_run import ExampleKeeper, Progress, require_records, run_pairs
from so2cam.pipeline.plan import FrameSource, RunPlan, plan_run, require_darks
from so2cam.pipeline.processor import Processor
from so2cam.pipeline.records import PairImages
from so2cam.pipeline.references import CellReading, References, build_references
from so2cam.pipeline.registration import resolve_registration
from so2cam.pipeline.run_images import ImageRequest, full_flow_px_s, observers, open_writer
from so2cam.pipeline.series import assemble, negative_rates, summary_lines
from so2cam.pipeline.shared_run import run_shared, share_of
from so2cam.pipeline.spectra_batch import FittedSpectra, SpectrumSource
from so2cam.pipeline.steps import measure_line
from so2cam.pipeline.uncorrected_dilution import uncorrected_dilution_risks
from so2cam.store.atomic import remove_stale_temporaries


@dataclass(frozen=True, slots=True)
class RunReport:
    """What a run found, left out, and made."""

    plan: RunPlan
    series: EmissionSeries
    calibration: CalibrationSummary | None
    cells: tuple[CellReading, ...]
    failures: tuple[FrameFileError, ...]
    lost_pairs: tuple[FramePair, ...]
    products: tuple[Path, ...]
    seconds: float
    provenance: Provenance
    warnings: tuple[str, ...] = ()
    record: CalibrationRecord | None = None
    """what was learnt of a calibration by the spectrometer, None where nothing was to learn"""
    example: ExampleImage | None = None
    """a pair from the middle of the run"""

    @property
    def valid_values(self) -> int:
        """How many emission rates of single lines are valid."""
        return int(np.sum(self.series.status == EmissionStatus.OK))


def process_folders(
    loaded: LoadedSite,
    source: FrameSource,
    out: Path,
    *,
    start: datetime | None = None,
    end: datetime | None = None,
    spectra: SpectrumSource | FittedSpectra = (),
    columns: Path | None = None,
    jobs: int = 1,
    command: str,
    images: ImageRequest | None = None,
    progress: Progress | None = None,
    drawing: Progress | None = None,
    fitting: Progress | None = None,
    keep_learnt: bool = True,
) -> RunReport:
    """Process all frames of ``source`` and write emission_rates.nc, emission_rates.csv and quicklook.png to ``out``.

    Files are searched for in folders, or given as they were found. Where the spectrometer calibrates, its columns come
    from ``spectra``, which may be fitted already, or ``columns`` (a product of an earlier run), and calibration.csv and
    calibration.png are written
    too. With ``images``, images too; ``drawing`` is told how many pictures are drawn, ``fitting`` how many spectra are
    fitted. ``jobs`` processes share the spectra, and the pairs too where nothing is learnt from pair to pair
    (``shared_run``); the numbers do not depend on how many. ``keep_learnt``: calibrations go to those that the site
    keeps, where it keeps any. Products replace older ones when all of them are whole; nothing is written if processing
    fails or is interrupted. Raises So2camError subclasses for input that cannot be processed at all; what can be left
    out is left out and counted in the report.
    """
    began = datetime.now(UTC)
    require_meaning(loaded.site, loaded.path)
    site, view_notes = resolve_view(loaded.site)
    risks = check_site(site)
    wind = WindField(site, loaded.path.parent)
    require_folder_for(out)
    searched = [
        folder
        for folders in (source, spectra)
        if not isinstance(folders, FrameScan | SpectrumScan | FittedSpectra)
        for folder in folders
    ]
    if any(folder.resolve() == out.resolve() for folder in searched):
        raise OutputError(
            "is a folder of frames or spectra: products would lie among the raw data",
            file=out,
            remedy="name another folder with --out",
        )
    reader = FrameReader(site)
    plan = plan_run(site, source, start=start, end=end, reader=reader)
    darks = DarkLibrary([f for f in plan.frames if f.kind is FrameKind.DARK], site.processing, reader)
    require_darks(plan, darks, site, reader)
    site, notes = resolve_registration(site, plan.pairs, darks, reader)
    references = build_references(site, plan.frames, darks, reader)
    found = None
    if columns is not None and needs_columns(site):
        found = columns_from_product(columns, pooled=pools_dilution(loaded))
        require_same_dilution(site, found, columns)
    elif columns is not None or (_some(spectra) and not needs_columns(site)):
        notes = (*notes, *unused_columns(site, "--spectra" if columns is None else "--columns"))
    elif _some(spectra):
        period = (plan.pairs[0].time, plan.pairs[-1].time)
        found = columns_from_spectra(loaded, spectra, start=period[0], end=period[1], jobs=jobs, progress=fitting)
    known = require_columns(site, found)
    notes = (*notes, *require_columns_near(site, plan.pairs, known.points))
    learner = build_learner(site, loaded.path.parent, references, pooled=known.diluted)
    keeper = ExampleKeeper(plan.pairs[len(plan.pairs) // 2].time)
    read = keep_last(reader)
    whole = learner.spectrometer is not None and site.processing.calibration.spectrometer.policy == "whole"
    dilution, learnt_from = (
        build_dilution(site, loaded.path.parent, known.points if whole else None) for _ in range(2)
    )
    if learner.spectrometer is not None and whole:
        chain = ImageChain(site, references, darks, learnt_from)
        learn_whole(site, chain, learner.spectrometer, plan.pairs, known.points, read, progress)
    with open_writer(images, out, lines_at_plume(site, require=False)) as writer:
        observer = observers(site, images, writer, keeper)
        shared = None
        if jobs > 1 and images is None:
            shared = share_of(site, plan, references, learner, wind, dilution, keeper.wanted)
        if shared is not None:
            run = run_shared(shared, jobs, reader, keeper, progress)
        else:
            processor = Processor(
                site, references, darks, wind=wind, observer=observer, calibrator=learner.source, dilution=dilution
            )
            run = run_pairs(in_order(plan.pairs, known.points), processor, read, progress, len(plan.pairs))
        require_records(run, reader)
        agreement = dilution_agreement(site, dilution, known.points, run.records[-1].time)
        series = replace(assemble(site, run.records), dilution=agreement)
        run.records.clear()  # of a long run they take as much memory as all that follows
        settings = site.model_dump(mode="json")
        inputs = [path for path in (wind.file, *terrain_files(site, loaded.path.parent)) if path is not None]
        provenance = Provenance(
            software_version=__version__,
            site_name=site.name,
            settings=settings,
            settings_sha256=settings_hash(settings),
            input_sha256=(
                (as_text(str(loaded.path)), loaded.sha256),
                *((as_text(str(path)), hash_file(path)) for path in inputs),
                *sorted((as_text(path), digest) for path, digest in (reader.hashes | known.hashes).items()),
            ),
            command=as_text(command),
            created=datetime.now(UTC),
        )
        summary = spectrometer_summary(site, learner, references)
        example = None if keeper.kept is None else example_image(site, keeper.kept, references)
        learnt = () if summary is None else summary.warnings
        if summary is None and learner.record is not None:
            learnt = learning_warnings(site, learner.record)
        failures = tuple(reader.failures.values())
        described = "no calibration" if summary is None else summary.description
        lines = summary_lines(site, plan, series, len(failures), described)
        if agreement is not None:
            lines.insert(len(lines) - len(series.speed_methods), ("light dilution", agreement_text(agreement)))

        def quicklook(path: Path) -> None:
            write_quicklook(
                path,
                series,
                site_name=site.name,
                volcano=site.volcano.name,
                example=example,
                calibration=summary,
                summary=lines,
            )

        wanted: list[tuple[Path, Callable[[Path], None]]] = [
            (out / "emission_rates.nc", lambda path: write_emission_netcdf(path, series, provenance)),
            (out / "emission_rates.csv", lambda path: write_emission_csv(path, series)),
            (out / "quicklook.png", quicklook),
        ]
        record = learner.record
        if record is not None:
            wanted += calibration_products(out, site, record, summary, provenance)
        made: tuple[Path, ...] = ()

        def commit_images() -> None:
            nonlocal made
            if writer is not None:
                made = writer.commit()

        if writer is not None:
            writer.complete(provenance, rates=total_rates(series), progress=drawing)
        if out.is_dir():
            remove_stale_temporaries(out)
        write_together(tuple(wanted), last=commit_images)
        if learner.stored is not None and keep_learnt:
            learner.stored.save()
        image_notes = () if writer is None else writer.notes
    return RunReport(
        plan=plan,
        series=series,
        calibration=summary,
        cells=references.cells,
        failures=failures,
        lost_pairs=tuple(run.lost),
        products=(*(path for path, _ in wanted), *made),
        seconds=(datetime.now(UTC) - began).total_seconds(),
        provenance=provenance,
        warnings=(
            *risks,
            *view_notes,
            *uncorrected_dilution_risks(site),
            *learnt,
            *agreement_warnings(agreement),
            *dilution_troubles(dilution),
            *known.notes,
            *notes,
            *negative_rates(series),
            *method_disagreement(series),
            *image_notes,
        ),
        record=record,
        example=example,
    )


def _some(spectra: SpectrumSource | FittedSpectra) -> bool:
    if isinstance(spectra, FittedSpectra):
        return True
    return bool(spectra.spectra if isinstance(spectra, SpectrumScan) else spectra)


def example_image(site: Site, images: PairImages, references: References) -> ExampleImage:
    """Return a pair as a plot needs it: image, motion in pixels per second, and the columns that are integrated."""
    image = images.image
    profiles = {}
    for samples in images.geometry.lines.values():
        columns = None
        if images.calibration is not None:
            columns = measure_line(image, samples, images.calibration, site, references.covered).columns
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
