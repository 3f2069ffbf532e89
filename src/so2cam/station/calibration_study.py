"""What a draft's settings make of the calibration in a range of time: its points, cells, curve, and field of view.

The same parts calculate it as in a run: images are read once for a range, and every change of what is left out, of the
fit or of the view is calculated again from what was read.
"""

import threading
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final

import numpy as np

from so2cam.core.constants import MOLEC_CM2_PER_PPM_M
from so2cam.core.errors import InputError
from so2cam.core.records import FloatArray, FloatImage, FrameKind
from so2cam.core.results import CalibrationFit, CalibrationPoint, ViewRecord
from so2cam.core.site import Site
from so2cam.formats.sitefile import LoadedSite
from so2cam.pages.frames import FrameHeader, encode_values
from so2cam.pipeline.calibrated import Calibration
from so2cam.pipeline.calibration import SpectrometerCalibrator
from so2cam.pipeline.calibration_drift import Drift, drift_of
from so2cam.pipeline.column_correction import ColumnCorrection, corrects_columns
from so2cam.pipeline.columns import ColumnPoint
from so2cam.pipeline.learning import cell_points, learning_warnings
from so2cam.pipeline.references import (
    CellReading,
    cell_images,
    find_sensitivity,
    fit_readings,
    label_uncertainties,
    read_cells,
)
from so2cam.pipeline.spectrometer_view import find_view, view_weights_map
from so2cam.science.calibration.view_inversion import INVERSION_TEXT
from so2cam.station.calibration_reading import Progress, RangeReader, ReadRange
from so2cam.station.context import StationContext, StationSite
from so2cam.station.setup_frames import SetupChain, SetupFrames

_KEPT: Final = 3


@dataclass(frozen=True, slots=True)
class StudiedCell:
    """A gas cell as it reads, and whether the curve has it. Columns in ppm m; ``excluded``: what leaves it out."""

    reading: CellReading
    column_sigma_ppm_m: float
    excluded: tuple[str, ...]
    frames: int
    """frames there are of it, of which ``reading.frames`` count"""


@dataclass(frozen=True, slots=True)
class StudiedView:
    """The spectrometer's field of view: the searches, the newest one's map, and the place that is used (None: none).

    Where the place is given, the search is one to be looked at, which the calibration does not use.

    ``place``: x, y, radius in pixels of the on-band image, ``sigma`` their 1 sigma.
    """

    searches: tuple[ViewRecord, ...]
    correlation_map: FloatImage | None
    block_px: int
    place: tuple[float, float, float] | None
    sigma: tuple[float, float, float] | None


@dataclass(frozen=True, slots=True)
class CalibrationStudy:
    """A calibration, and what it rests on. ``problem`` says why there is none.

    ``images`` were looked at, of ``available`` pairs in the range; ``excluded`` points are those left out by the
    draft, with the name of what leaves each out.
    """

    site: Site
    calibration: Calibration | None
    fit: CalibrationFit | None
    points: tuple[CalibrationPoint, ...]
    excluded: tuple[tuple[CalibrationPoint, str], ...]
    cells: tuple[StudiedCell, ...]
    drift: tuple[Drift, ...]
    view: StudiedView
    images: int
    available: int
    columns: int
    notes: tuple[str, ...] = ()
    problem: str = ""

    @property
    def top_absorbance(self) -> float:
        """The largest absorbance of points and cells; 0.1 where there are none."""
        values = [point.absorbance for point in self.points] + [cell.reading.absorbance for cell in self.cells]
        finite = [value for value in values if np.isfinite(value)]
        return max([0.1, *finite])

    def residual(self, point: CalibrationPoint) -> float:
        """Return a point's column over that of the curve [molecules cm-2]; NaN where there is no curve."""
        if self.calibration is None:
            return float("nan")
        return point.column_molec_cm2 - float(self.calibration.curve.column(np.array([point.absorbance]))[0])


class CalibrationStudies:
    """The studies of one site. Safe for threads; one range is read at a time."""

    def __init__(self, context: StationContext, site: StationSite, frames: SetupFrames) -> None:
        self._reader = RangeReader(context, site, frames)
        self._lock = threading.Lock()
        self._ranges: OrderedDict[tuple[object, ...], ReadRange] = OrderedDict()

    def study(
        self, loaded: LoadedSite, start: datetime, end: datetime, progress: Progress | None = None
    ) -> CalibrationStudy:
        """Return the calibration by pairs with ``start`` <= time < ``end``, as a run over them has it.

        Raises So2camError subclasses where there are no pairs, darks or clear sky.
        """
        with self._lock:
            read = self._range(loaded, start, end, progress)
        return study_of(loaded, read)

    def weights_map(
        self, loaded: LoadedSite, start: datetime, end: datetime
    ) -> tuple[FloatImage | None, int, tuple[float, float, float] | None, str]:
        """Return the inversion's weights (blocks), a block's side, the bell's x, y, radius [px], and a status in words.

        Raises So2camError subclasses as ``study`` does.
        """
        with self._lock:
            read = self._range(loaded, start, end, None)
        site = _with_exclusions(read.chain.site, loaded)
        calibrator = _calibrator(site, read, ())
        for _ in _fed(calibrator, read):
            pass
        images, column, sigma = calibrator.series()
        block = site.processing.calibration.spectrometer.field_of_view.reduction
        if not images:
            return None, block, None, "there is no image with a column beside it"
        stack = [image.absorbance for image in images], [image.valid for image in images]
        found = view_weights_map(site, *stack, column, sigma)
        bell = None
        if found.bell is not None:
            x, y = ((value + 0.5) * block - 0.5 for value in (found.bell.x, found.bell.y))
            bell = (x, y, found.bell.radius * block)
        return found.weights, block, bell, INVERSION_TEXT[found.status]

    def _range(self, loaded: LoadedSite, start: datetime, end: datetime, progress: Progress | None) -> ReadRange:
        plain = without_exclusions(loaded)
        key = self._reader.key(plain, start, end)
        if key not in self._ranges:
            self._ranges[key] = self._reader.read(plain, start, end, progress)
            while len(self._ranges) > _KEPT:
                self._ranges.popitem(last=False)
        self._ranges.move_to_end(key)
        return self._ranges[key]


def study_of(loaded: LoadedSite, read: ReadRange) -> CalibrationStudy:
    """Return what ``loaded`` makes of what was read: nothing is read again but frames of gas cells."""
    site = _with_exclusions(read.chain.site, loaded)
    cells, used, notes = _cells(site, read.chain)
    calibration, problem = _given(site, read.chain, used)
    settings = site.processing.calibration
    view = StudiedView((), None, settings.spectrometer.field_of_view.reduction, None, None)
    notes = (*read.notes, *notes)
    study = CalibrationStudy(
        site=site,
        calibration=calibration,
        fit=None,
        points=(),
        excluded=(),
        cells=cells,
        drift=(),
        view=view,
        images=len(read.images),
        available=read.available,
        columns=len(read.columns),
        notes=notes,
        problem=problem,
    )
    if not settings.by_spectrometer:
        return study
    calibrator = _calibrator(site, read, used)
    held = list(_fed(calibrator, read))
    found = held[-1] if held else None
    searched = _searched_beside(site, calibrator)
    if settings.spectrometer.policy == "whole" and read.images:
        found = calibrator.freeze(read.images[-1].time)
    record = calibrator.record
    fitted = [fit for fit in record.fits if fit.status == "ok"]
    points = tuple(point for point in record.points if np.isfinite(point.absorbance))
    excluded = tuple(
        (point, settings.excluded_point(point.time) or "") for point in record.excluded if np.isfinite(point.absorbance)
    )
    warnings = learning_warnings(site, record)
    if found is None:
        problem = "; ".join(warnings) or "there is no calibration by the spectrometer in this range"
    drift = drift_of(site, read.chain.references.shape, points, fitted)
    return replace(
        study,
        calibration=found,
        fit=fitted[-1] if fitted else None,
        points=points,
        excluded=excluded,
        drift=drift,
        view=_view(site, *(searched or (tuple(record.views), record.correlation_map))),
        notes=(*notes, *warnings),
        problem="" if found is not None else problem,
    )


def _searched_beside(
    site: Site, calibrator: SpectrometerCalibrator
) -> tuple[tuple[ViewRecord, ...], FloatImage | None] | None:
    """Return what a search finds where the view is given, to be looked at; None where the run itself searches."""
    settings = site.processing.calibration.spectrometer
    images, column, sigma = calibrator.series()
    if settings.field_of_view.source != "given" or len(images) < settings.field_of_view.minimum_images:
        return None
    view = settings.field_of_view.model_copy(update={"source": "correlation"})
    searching = site.processing.calibration.model_copy(
        update={"spectrometer": settings.model_copy(update={"field_of_view": view})}
    )
    processing = site.processing.model_copy(update={"calibration": searching})
    found = find_view(
        site.model_copy(update={"processing": processing}),
        [image.absorbance for image in images],
        [image.valid for image in images],
        column,
        sigma,
    )
    return (found.described(images[-1].time),), found.correlation_map


def _calibrator(site: Site, read: ReadRange, cells: Sequence[CellReading]) -> SpectrometerCalibrator:
    joint = site.processing.calibration.source == "joint" and cells
    correction = ColumnCorrection(site) if corrects_columns(site, pooled=read.pooled) else None
    points = cell_points(site, cells) if joint else None
    return SpectrometerCalibrator(site, read.chain.references.shape, points, None, correction)


def _fed(calibrator: SpectrometerCalibrator, read: ReadRange) -> Iterator[Calibration | None]:
    """Let images and columns pass in order; yield what holds after each image of a rolling calibration."""
    rolling = calibrator.site.processing.calibration.spectrometer.policy == "rolling"
    for event in read.events:
        if isinstance(event, ColumnPoint):
            calibrator.add_column(event)
            continue
        if calibrator.wants(event.time):
            calibrator.take(event)
        if rolling:
            yield calibrator.at(event.time)


def _cells(site: Site, chain: SetupChain) -> tuple[tuple[StudiedCell, ...], tuple[CellReading, ...], tuple[str, ...]]:
    """Return all gas cells of the chain's frames, the readings of those that count, and notes."""
    frames = [frame for frame in chain.frames if frame.kind is FrameKind.CELL and frame.cell_ppm_m is not None]
    if not frames:
        return (), (), ()
    calibration = site.processing.calibration
    left_out: dict[float, list[str]] = {}
    count: dict[float, int] = {}
    for frame in frames:
        label = float(frame.cell_ppm_m or 0.0)
        count[label] = count.get(label, 0) + 1
        name = calibration.excluded_cell(label, frame.time)
        if name is not None:
            left_out.setdefault(label, []).append(name)
    mask = chain.references.sensitivity
    everything = _readings(chain.site, chain, mask)
    used, notes = everything, tuple[str, ...]()
    if left_out:
        images, notes = cell_images(
            site, frames, chain.references.bands, chain.references.matrix, chain.darks, chain.reader
        )
        mask = find_sensitivity(images, site)
        used = read_cells(images, site, mask)
    by_label = {reading.column_ppm_m: reading for reading in everything} | {one.column_ppm_m: one for one in used}
    sigma = label_uncertainties(list(by_label.values()), site)
    kept = {reading.column_ppm_m for reading in used}
    cells = tuple(
        StudiedCell(
            reading,
            float(column_sigma) / MOLEC_CM2_PER_PPM_M,
            tuple(dict.fromkeys(left_out.get(label, ["not in both bands"]))) if label not in kept else (),
            count.get(label, reading.frames),
        )
        for (label, reading), column_sigma in zip(by_label.items(), sigma, strict=True)
    )
    return cells, used, notes


def _readings(site: Site, chain: SetupChain, mask: Any) -> tuple[CellReading, ...]:
    if chain.references.cells:
        return chain.references.cells
    images, _ = cell_images(
        site, chain.frames, chain.references.bands, chain.references.matrix, chain.darks, chain.reader
    )
    return read_cells(images, site, mask)


def _given(site: Site, chain: SetupChain, cells: Sequence[CellReading]) -> tuple[Calibration | None, str]:
    """Return the calibration by gas cells or by a known slope, or why there is none."""
    source = site.processing.calibration.source
    if source == "cells":
        if not cells:
            return None, chain.no_calibration or "no gas cell is left to calibrate with"
        try:
            return Calibration(fit_readings(cells, site, chain.references.shape)[0]), ""
        except InputError as error:
            return None, error.message
    return (chain.references.calibration, "") if source == "fixed" else (None, "")


def _view(site: Site, searches: tuple[ViewRecord, ...], correlation_map: FloatImage | None) -> StudiedView:
    settings = site.processing.calibration.spectrometer.field_of_view
    place: tuple[float, float, float] | None = None
    sigma: tuple[float, float, float] | None = None
    if settings.source == "given":
        place = (settings.x or 0.0, settings.y or 0.0, settings.radius_px or 1.0)
        sigma = (settings.position_uncertainty_px,) * 3
    else:
        good = [one for one in searches if one.status == "ok"]
        if good:
            place = (good[-1].x, good[-1].y, good[-1].radius_px)
            sigma = (good[-1].x_uncertainty, good[-1].y_uncertainty, good[-1].radius_uncertainty)
    return StudiedView(searches, correlation_map, settings.reduction, place, sigma)


def without_exclusions(loaded: LoadedSite) -> LoadedSite:
    """Return a site as if nothing was left out of its calibration."""
    return replace(loaded, site=_site_with(loaded.site, ()))


def _with_exclusions(site: Site, loaded: LoadedSite) -> Site:
    """Return the site of a chain with what the draft says of the fit now."""
    calibration = loaded.site.processing.calibration
    return site.model_copy(update={"processing": site.processing.model_copy(update={"calibration": calibration})})


def _site_with(site: Site, exclude: tuple[Any, ...]) -> Site:
    calibration = site.processing.calibration.model_copy(update={"exclude": exclude})
    return site.model_copy(update={"processing": site.processing.model_copy(update={"calibration": calibration})})


def slope_of(calibration: Calibration | None) -> tuple[float, float]:
    """Return the slope at zero absorbance and its 1 sigma [molecules cm-2]; NaN where there is none."""
    return (float("nan"), float("nan")) if calibration is None else calibration.curve.slope_at_zero


def curve_of(study: CalibrationStudy, count: int = 60) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return absorbances (N,), the curve's columns and their 1 sigma [molecules cm-2], common part included."""
    x = np.linspace(0.0, 1.12 * study.top_absorbance, count)
    if study.calibration is None:
        return x, np.full(count, np.nan), np.full(count, np.nan)
    curve = study.calibration.curve
    column = curve.column(x)
    return x, column, np.hypot(curve.column_uncertainty(x), study.calibration.scale_uncertainty * column)


def curve_column_ppm_m(study: CalibrationStudy, absorbance: float) -> float:
    """Return the curve's column at an absorbance [ppm m]; NaN where there is no curve."""
    if study.calibration is None:
        return float("nan")
    return float(study.calibration.curve.column(np.array([absorbance]))[0]) / MOLEC_CM2_PER_PPM_M


def block_map(image: FloatImage | None, block: int, label: str, site: Site) -> bytes:
    """Return a map of blocks as a frame message in the pixels of the on-band image, so that places agree."""
    optics = site.camera.optics
    full = np.full((optics.height_px, optics.width_px), np.nan, np.float32)
    if image is not None:
        grown = np.repeat(np.repeat(np.asarray(image, np.float32), block, axis=0), block, axis=1)
        part = grown[: optics.height_px, : optics.width_px]
        full[: part.shape[0], : part.shape[1]] = part
    return encode_values(full, FrameHeader(label=label))
