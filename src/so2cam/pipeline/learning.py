"""What a run learns beside its pairs: the calibration by the spectrometer, by either policy, and light dilution."""

from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np

from so2cam.core.constants import MOLEC_CM2_PER_PPM_M
from so2cam.core.errors import InputError
from so2cam.core.records import FramePair
from so2cam.core.results import NO_FIT, CalibrationRecord, CalibrationSummary
from so2cam.core.site import Site
from so2cam.core.status import EmissionStatus, QualityFlag
from so2cam.core.times import format_utc
from so2cam.pipeline.calibration import CalibrationSource, GivenCalibration, SpectrometerCalibrator
from so2cam.pipeline.calibration_fit import CellPoints
from so2cam.pipeline.calibration_store import StoredCalibrations, load_stored
from so2cam.pipeline.column_correction import ColumnCorrection, corrects_columns
from so2cam.pipeline.columns import OTHER_TIME_REMEDY, ColumnPoint, ColumnSet
from so2cam.pipeline.dilution_agreement import knows_dilution_twice
from so2cam.pipeline.frames import Read, read_pair
from so2cam.pipeline.image_chain import ImageChain
from so2cam.pipeline.records import PairRecord
from so2cam.pipeline.references import MODEL_TEXT, CellReading, References, label_uncertainties, summarise


@dataclass(frozen=True, slots=True)
class Learner:
    """The calibration of a run, and its stored ones where the site keeps them.

    ``spectrometer`` is None where the run is given its calibration.
    """

    source: CalibrationSource
    spectrometer: SpectrometerCalibrator | None = None
    stored: StoredCalibrations | None = None

    @property
    def record(self) -> CalibrationRecord | None:
        """What was learnt, None where nothing was to learn."""
        return None if self.spectrometer is None else self.spectrometer.record


def build_learner(site: Site, folder: Path, references: References, *, pooled: bool = True) -> Learner:
    """Return what calibrates a run of ``site``, whose file lies in ``folder``.

    ``pooled``: see ``column_correction.corrects_columns``.
    """
    settings = site.processing.calibration
    if not settings.by_spectrometer:
        return Learner(GivenCalibration(references.calibration))
    cells = cell_points(site, references.cells) if settings.source == "joint" else None
    name = settings.spectrometer.stored
    stored = None if name is None else load_stored(folder / name, references.shape)
    correction = ColumnCorrection(site) if corrects_columns(site, pooled=pooled) else None
    calibrator = SpectrometerCalibrator(site, references.shape, cells, stored, correction, references.calibration)
    return Learner(calibrator, calibrator, stored)


def cell_points(site: Site, cells: Sequence[CellReading]) -> CellPoints:
    """Return gas cells as a fit takes them."""
    return CellPoints(
        np.array([cell.absorbance for cell in cells]),
        np.array([cell.uncertainty for cell in cells]),
        np.array([cell.column_ppm_m for cell in cells]) * MOLEC_CM2_PER_PPM_M,
        label_uncertainties(cells, site),
    )


def learn_whole(
    site: Site,
    chain: ImageChain,
    calibrator: SpectrometerCalibrator,
    pairs: Sequence[FramePair],
    columns: Sequence[ColumnPoint],
    read: Read,
    progress: Callable[[int, int], None] | None = None,
) -> None:
    """Let ``calibrator`` learn from images over all of a run, and freeze it: the policy ``whole``.

    Of many pairs those are taken, evenly in time, that the search of the field of view wants to see, among the pairs
    with a column near.
    """
    chosen = evenly(with_columns(pairs, columns, site), site.processing.calibration.spectrometer.field_of_view.images)
    for done, event in enumerate(in_order(chosen, columns)):
        if isinstance(event, ColumnPoint):
            calibrator.add_column(event)
            if chain.dilution is not None:
                chain.dilution.add_column(event)
        else:
            frames = read_pair(event, read)
            if frames is not None:
                image = chain.image(PairRecord(event), *frames)
                if not isinstance(image, EmissionStatus):
                    calibrator.observe(event, image)
        if progress is not None:
            progress(done + 1, len(chosen) + len(columns))
    calibrator.freeze(pairs[-1].time)


def in_order(pairs: Sequence[FramePair], columns: Sequence[ColumnPoint]) -> list[FramePair | ColumnPoint]:
    """Return pairs and columns in the order in which they become known: by the ends of their exposures.

    A column that ends with a pair comes first. Live runners hold back what comes early, so as to keep this order.
    """
    events = [(known_at(pair), 1, index) for index, pair in enumerate(pairs)]
    events += [(column.end, 0, index) for index, column in enumerate(columns)]
    return [columns[index] if kind == 0 else pairs[index] for _, kind, index in sorted(events)]


def known_at(pair: FramePair) -> datetime:
    """Return when the last exposure of a pair ends, UTC."""
    return max(frame.time + timedelta(seconds=frame.exposure_s / 2) for frame in pair.frames)


def needs_columns(site: Site) -> bool:
    """Return whether anything of a run uses the spectrometer's columns."""
    by_spectrum = site.processing.light_dilution.mode == "spectrum"
    return site.processing.calibration.by_spectrometer or by_spectrum or knows_dilution_twice(site)


def unused_columns(site: Site, option: str) -> tuple[str, ...]:
    """Return that spectra or columns are given by ``option`` which a run has no use for."""
    text = (
        f"{option} is not used: nothing in the site file asks for the "
        f'spectrometer (processing.calibration.source is {site.processing.calibration.source!r}; set "spectrometer" '
        'or "joint" to calibrate with it)'
    )
    return (text,)


def require_columns(site: Site, columns: ColumnSet | None) -> ColumnSet:
    """Return ``columns``, empty where the site needs none. Raises InputError where it needs them and there are none."""
    if columns is not None:
        return columns
    by_dilution = site.processing.light_dilution.mode == "spectrum"
    if site.processing.calibration.by_spectrometer or by_dilution:
        key = "processing.light_dilution.mode" if by_dilution else "processing.calibration.source"
        raise InputError(
            "needs the spectrometer's columns, and none are given",
            key=key,
            value="spectrum" if by_dilution else site.processing.calibration.source,
            remedy="add --spectra DIR, or --columns FILE with columns.nc of an earlier run",
        )
    return ColumnSet((), {})


def require_same_dilution(site: Site, columns: ColumnSet, path: Path) -> None:
    """Check that columns of an earlier run are with or without light dilution as the site file says.

    Raises InputError where they are not: it would be taken out twice, or not at all.
    """
    if site.spectrometer is None or not columns.points or columns.diluted:
        return
    mode = site.spectrometer.light_dilution.mode
    taken_out = any(np.isfinite(point.light_dilution[0]) for point in columns.points)
    if taken_out != (mode != "none"):
        raise InputError(
            f"holds columns {'with' if taken_out else 'without'} a light dilution of their own, and the site file "
            f"has {'none' if taken_out else 'one'}",
            file=path,
            key="spectrometer.light_dilution.mode",
            value=mode,
            remedy="run `so2cam spectra` again with this site file, or set the mode that the columns were made with",
        )


def require_columns_near(site: Site, pairs: Sequence[FramePair], columns: Sequence[ColumnPoint]) -> tuple[str, ...]:
    """Check that some pair has a column near in time, where columns calibrate.

    Raises InputError where none has and nothing else could calibrate; where something could, returns the warning.
    """
    settings = site.processing.calibration
    if not (settings.by_spectrometer and pairs and columns) or with_columns(pairs, columns, site):
        return ()
    times = sorted(column.time for column in columns)
    message = (
        f"no column of the spectrometer lies within {settings.spectrometer.maximum_gap_s:g} s of a pair of images: "
        f"columns from {format_utc(times[0])} to {format_utc(times[-1])}, "
        f"images from {format_utc(pairs[0].time)} to {format_utc(pairs[-1].time)}"
    )
    if settings.source == "joint" or settings.spectrometer.stored is not None:
        return (message,)
    raise InputError(
        message,
        key="processing.calibration.spectrometer.maximum_gap_s",
        value=settings.spectrometer.maximum_gap_s,
        remedy=OTHER_TIME_REMEDY,
    )


def spectrometer_summary(site: Site, learner: Learner, references: References) -> CalibrationSummary | None:
    """Return the newest calibration by the spectrometer as a plot needs it: its curve, and the points of the run."""
    record, calibrator = learner.record, learner.spectrometer
    if record is None or calibrator is None:
        return references.summary
    calibration = calibrator.newest
    if calibration is None:
        return None
    if calibration is calibrator.given and references.summary is not None:
        cells_alone = references.summary
        return replace(
            cells_alone,
            description=f"{cells_alone.description}; no points of the spectrometer",
            warnings=(*cells_alone.warnings, *learning_warnings(site, record)),
        )
    used = [fit for fit in record.fits if fit.status == "ok"]
    points = [point for point in record.points if np.isfinite(point.absorbance)]
    cells = references.cells
    source = f"{len(points)} points of the spectrometer" + (f" and {len(cells)} gas cells" if cells else "")
    text = f"{source}, {MODEL_TEXT[site.processing.calibration.model]}"
    if used:
        text += f", r = {used[-1].correlation:.2f}"
    if calibration.flags & QualityFlag.CALIBRATION_STORED:
        text = "a stored calibration of an earlier time"
    summary = summarise(calibration.curve, (), site, text, ())
    absorbance = np.array([point.absorbance for point in points])
    top = 1.1 * max([0.05, *absorbance.tolist(), *(cell.absorbance for cell in cells)])
    grid = np.linspace(min(0.0, float(absorbance.min(initial=0.0))), top, 60)
    column = calibration.curve.column(grid)
    own = calibration.curve.column_uncertainty(grid)
    return CalibrationSummary(
        description=text,
        absorbance=absorbance,
        absorbance_uncertainty=np.array([point.absorbance_uncertainty for point in points]),
        column_molec_cm2=np.array([point.column_molec_cm2 for point in points]),
        column_uncertainty_molec_cm2=np.array([point.column_uncertainty_molec_cm2 for point in points]),
        curve_absorbance=grid,
        curve_column_molec_cm2=column,
        curve_uncertainty_molec_cm2=np.hypot(own, calibration.scale_uncertainty * column),
        warnings=(*summary.warnings, *learning_warnings(site, record)),
        points="spectrometer",
        weights=np.array([point.weight for point in points]),
    )


def learning_warnings(site: Site, record: CalibrationRecord) -> tuple[str, ...]:
    """Return why a run has no calibration of its own, or none at its end."""
    settings = site.processing.calibration.spectrometer
    needed = max(settings.minimum_points, settings.field_of_view.minimum_images)
    if not record.fits and record.matched < needed:
        text = (
            f"no calibration by the spectrometer: {record.matched} images have columns within "
            f"{settings.maximum_gap_s:g} s, and {needed} are needed "
            "(processing.calibration.spectrometer: maximum_gap_s, minimum_points, field_of_view.minimum_images)"
        )
        return (text,)
    found = []
    if record.views and record.views[-1].status != "ok":
        found.append(f"field of view not found: {record.views[-1].status}{_columns_seen(record)}")
    if record.fits and record.fits[-1].status != "ok":
        found.append(f"no calibration by the spectrometer: {record.fits[-1].status}")
    return tuple(found)


def _columns_seen(record: CalibrationRecord) -> str:
    """Return what the spectrometer saw where no field of view was known: nothing, if it looks beside the plume."""
    columns = [point.column_molec_cm2 for point in record.points if point.fit == NO_FIT]
    if not columns:
        return ""
    low, middle, high = np.quantile(np.array(columns) / MOLEC_CM2_PER_PPM_M, (0.0, 0.5, 1.0))
    return f" (columns of the spectrometer: {low:.0f} to {high:.0f} ppm m, median {middle:.0f})"


def with_columns(pairs: Sequence[FramePair], columns: Sequence[ColumnPoint], site: Site) -> list[FramePair]:
    """Return the pairs that have a column within the longest gap that the site file allows."""
    gap = site.processing.calibration.spectrometer.maximum_gap_s
    times = sorted(column.time for column in columns)
    near = []
    for pair in pairs:
        index = bisect_left(times, pair.time)
        around = times[max(index - 1, 0) : index + 1]
        if any(abs((time - pair.time).total_seconds()) <= gap for time in around):
            near.append(pair)
    return near


def evenly(pairs: Sequence[FramePair], count: int) -> list[FramePair]:
    """Return ``count`` of ``pairs``, or all where there are fewer, evenly spread from the first to the last."""
    if len(pairs) <= count:
        return list(pairs)
    return [pairs[index] for index in np.unique(np.linspace(0, len(pairs) - 1, count).round().astype(int))]
