"""What a run is compared with: flat fields and clear sky of both bands, and the gas-cell calibration."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from so2cam.core.constants import MOLEC_CM2_PER_PPM_M
from so2cam.core.errors import InputError
from so2cam.core.records import Band, BoolImage, FloatArray, FloatImage, FrameInfo, FrameKind
from so2cam.core.results import CalibrationSummary
from so2cam.core.site import Site
from so2cam.pipeline.bands import site_shape
from so2cam.pipeline.calibrated import Calibration
from so2cam.pipeline.cell_frames import label_uncertainty_molec_cm2
from so2cam.pipeline.frames import DarkLibrary, FrameReader
from so2cam.pipeline.regions import calibration_region
from so2cam.pipeline.steps import BandReference, LogImage, band_log_image, dark_corrected
from so2cam.science.calibration.cells import curvature_warning, fit_cells
from so2cam.science.calibration.curve import BandShape, ColumnCurve, fixed_scale, fixed_slope
from so2cam.science.calibration.sensitivity import SensitivityMask, correct_sensitivity, sensitivity_mask
from so2cam.science.imaging.absorbance import apparent_absorbance, optical_depth
from so2cam.science.imaging.background import block_means, blocks_to_pixels
from so2cam.science.imaging.flat import flat_field
from so2cam.science.imaging.registration import warp_to_on_band

MODEL_TEXT = {
    "band": "the bands' own curve",
    "line": "line with offset",
    "quadratic": "quadratic through the origin",
}
"""What each model of the curve is called in a summary."""
_BAND_NAMES = {Band.ON: "on-band", Band.OFF: "off-band"}


@dataclass(frozen=True, slots=True)
class CellReading:
    """The absorbance of one gas cell: mean over the region read, and 1 sigma (repeats, and across the image)."""

    column_ppm_m: float
    absorbance: float
    uncertainty: float
    frames: int


@dataclass(frozen=True, slots=True)
class References:
    """Flats and clear sky of the on and the off band, the area that both see, the calibration and its cells.

    ``calibration`` is what the run is given: by gas cells or a known slope; None where the spectrometer alone
    calibrates. ``shape`` is the bands' own curve, None where none is wanted; ``sensitivity`` None where the site file
    asks for none.
    """

    bands: tuple[BandReference, BandReference]
    matrix: FloatArray
    covered: BoolImage
    calibration: Calibration | None
    cells: tuple[CellReading, ...]
    summary: CalibrationSummary | None
    shape: BandShape | None = None
    sensitivity: SensitivityMask | None = None


def build_references(site: Site, frames: Sequence[FrameInfo], darks: DarkLibrary, reader: FrameReader) -> References:
    """Build everything from the calibration frames among ``frames``.

    Raises InputError where clear sky or cells are missing, or no calibration curve goes through the cells.
    """
    matrix = np.array(site.registration.matrix, np.float64)
    on = band_reference(site, Band.ON, frames, darks, reader)
    off = band_reference(site, Band.OFF, frames, darks, reader)
    everywhere = np.ones(on.flat.valid.shape, np.bool_)
    _, covered = warp_to_on_band(everywhere.astype(np.float32), everywhere, matrix)
    if not covered.any():
        raise InputError(
            "takes no pixel of the on-band image into the off-band image",
            key="registration.matrix",
            value=site.registration.matrix,
            remedy="find the matrix from points that both images show; its last column is a shift in pixels",
        )
    settings = site.processing.calibration
    by_cells = settings.source in ("cells", "joint")
    wanted = by_cells or settings.sensitivity_cell_ppm_m is not None
    images, left_out = cell_images(site, frames, (on, off), matrix, darks, reader) if wanted else ((), ())
    mask = find_sensitivity(images, site)
    shape = site_shape(site) if settings.model == "band" else None
    if settings.source == "fixed":
        slope, sigma = settings.slope_molec_cm2, settings.slope_uncertainty_molec_cm2
        if slope is None or sigma is None:
            raise InputError("a fixed calibration needs its slope and uncertainty", key="processing.calibration")
        curve, text = fixed_slope(slope, sigma), "fixed slope"
        if shape is not None:
            at_zero = float(shape.derivative(np.zeros(1))[0])
            curve, text = fixed_scale(shape, slope / at_zero, sigma / at_zero), "known slope of the bands' own curve"
        summary = summarise(curve, (), site, text, ())
        return References((on, off), matrix, covered, Calibration(curve), (), summary, shape, mask)
    if not by_cells:
        return References((on, off), matrix, covered, None, (), None, shape, mask)
    cells = read_cells(images, site, mask)
    if not cells:
        found_cells = [frame for frame in frames if frame.kind is FrameKind.CELL]
        found = f"{len(found_cells)} found, none usable in both bands" if found_cells else "none found"
        found += "".join(f"; {note}" for note in left_out)
        found += reader.explain(found_cells)
        raise InputError(
            f"no gas-cell frames to calibrate with ({found})",
            remedy="add a folder with cell frames (type 304ppmm and so on) to --frames, or give a known slope: "
            '[processing.calibration] source = "fixed"',
        )
    curve, notes = fit_readings(cells, site, shape)
    notes = left_out + notes
    summary = summarise(curve, cells, site, f"{len(cells)} gas cells, {MODEL_TEXT[settings.model]}", notes)
    return References((on, off), matrix, covered, Calibration(curve), cells, summary, shape, mask)


def band_reference(
    site: Site, band: Band, frames: Sequence[FrameInfo], darks: DarkLibrary, reader: FrameReader
) -> BandReference:
    """Return a band's flat field and clear-sky level from its clear-sky frames. Raises InputError without any."""
    sensor = site.camera.sensor
    total = None
    count = 0
    everywhere_valid = None
    clear = [frame for frame in frames if frame.kind is FrameKind.CLEAR and frame.band is band]
    for info in clear:
        dark = darks.dark_for(info)
        frame = reader.read(info) if dark is not None else None
        if frame is None or dark is None:
            continue
        signal, valid = dark_corrected(frame.counts, dark, sensor)
        rate = signal / np.float32(info.exposure_s * info.gain)
        total = rate if total is None else total + rate
        everywhere_valid = valid if everywhere_valid is None else everywhere_valid & valid
        count += 1
    if total is None or everywhere_valid is None:
        found = f"{len(clear)} found, none both readable and with a matching dark" if clear else "none found"
        found += reader.explain(f for f in frames if f.band is band and f.kind in (FrameKind.CLEAR, FrameKind.DARK))
        raise InputError(
            f"no {_BAND_NAMES[band]} clear-sky frame to make the flat field from ({found})",
            remedy="add a folder with clear-sky frames (type Clear) and darks of the same exposure to --frames",
        )
    try:
        flat = flat_field(
            (total / count).astype(np.float32), everywhere_valid, smoothing_px=site.processing.flat.smoothing_px
        )
    except ValueError as error:
        raise InputError(
            f"{_BAND_NAMES[band]} clear-sky frames: {error}",
            remedy="take clear-sky frames that are neither saturated nor dark",
        ) from None
    inverse = (np.float32(1) / flat.values).astype(np.float32)
    return BandReference(flat, inverse, float(np.log(flat.peak)))


@dataclass(frozen=True, slots=True)
class CellImage:
    """The mean absorbance image of one gas cell over the clear sky; ``repeats`` is the variance of its level."""

    column_ppm_m: float
    absorbance: FloatImage
    valid: BoolImage
    repeats: float
    frames: int


def cell_images(
    site: Site,
    frames: Sequence[FrameInfo],
    bands: tuple[BandReference, BandReference],
    matrix: FloatArray,
    darks: DarkLibrary,
    reader: FrameReader,
) -> tuple[tuple[CellImage, ...], tuple[str, ...]]:
    """Return the absorbance of every gas cell that both bands have, the empty one included, in order of column.

    Frames go through the same dark, flat and registration as plume frames. Cells that the site file leaves out, and
    those that only one band has, are named in the second result.
    """
    cells, left_out = _cells_that_count(site, frames)
    images = []
    for label in sorted({frame.cell_ppm_m for frame in cells if frame.cell_ppm_m is not None}):
        logs: dict[Band, list[LogImage]] = {Band.ON: [], Band.OFF: []}
        for info in cells:
            if info.cell_ppm_m != label:
                continue
            dark = darks.dark_for(info)
            frame = reader.read(info) if dark is not None else None
            if frame is None or dark is None:
                continue
            reference, warp = (bands[0], None) if info.band is Band.ON else (bands[1], matrix)
            logs[info.band].append(band_log_image(frame.counts, dark, reference, info, site.camera.sensor, warp))
        if logs[Band.ON] and logs[Band.OFF]:
            images.append(_cell_image(label, logs, bands, calibration_region(site)))
        else:
            lacking = " and ".join(_BAND_NAMES[band] for band in Band if not logs[band])
            left_out.append(
                f"the {label:g} ppm m cell is left out of the calibration: it has no {lacking} frame that can be read "
                "and has a dark"
            )
    return tuple(images), tuple(left_out)


def _cells_that_count(site: Site, frames: Sequence[FrameInfo]) -> tuple[list[FrameInfo], list[str]]:
    """Return the frames of gas cells that the site file does not leave out, and what it leaves out in words."""
    calibration = site.processing.calibration
    cells: list[FrameInfo] = []
    dropped: dict[float, list[str]] = {}
    for frame in frames:
        if frame.kind is not FrameKind.CELL or frame.cell_ppm_m is None:
            continue
        name = calibration.excluded_cell(frame.cell_ppm_m, frame.time)
        if name is None:
            cells.append(frame)
        else:
            dropped.setdefault(frame.cell_ppm_m, []).append(name)
    words = [
        f"{len(names)} frames of the {label:g} ppm m cell are left out of the calibration: "
        f"processing.calibration.exclude ({', '.join(dict.fromkeys(names))})"
        for label, names in sorted(dropped.items())
    ]
    return cells, words


def _cell_image(
    label: float,
    logs: dict[Band, list[LogImage]],
    bands: tuple[BandReference, BandReference],
    region: tuple[slice, slice],
) -> CellImage:
    depths, repeats, valid = [], 0.0, None
    for band, reference in zip((Band.ON, Band.OFF), bands, strict=True):
        images = logs[band]
        valid_band = np.logical_and.reduce([image.valid for image in images])
        valid = valid_band if valid is None else valid & valid_band
        mean = np.mean([image.values for image in images], axis=0, dtype=np.float64)
        clear = np.full(valid_band.shape, reference.log_clear, np.float32)
        depths.append(optical_depth(clear, np.asarray(mean, np.float32)))
        levels = [_level(image, region) for image in images]
        repeats += float(np.var(levels, ddof=1)) / len(levels) if len(levels) > 1 else 0.0
    absorbance = apparent_absorbance(depths[0], depths[1])
    known = np.zeros(absorbance.shape, np.bool_) if valid is None else valid
    return CellImage(label, absorbance, known, repeats, len(logs[Band.ON]) + len(logs[Band.OFF]))


def find_sensitivity(images: Sequence[CellImage], site: Site) -> SensitivityMask | None:
    """Return the sensitivity across the image by the cell that the site file names, if it names one."""
    label = site.processing.calibration.sensitivity_cell_ppm_m
    if label is None:
        return None
    key = "processing.calibration.sensitivity_cell_ppm_m"
    chosen = [image for image in images if abs(image.column_ppm_m - label) <= 0.5]
    if not chosen:
        there = ", ".join(f"{image.column_ppm_m:g}" for image in images) or "none"
        raise InputError(
            f"there is no cell of that label in both bands (ppm m: {there})",
            key=key,
            value=label,
            remedy="name one that is there, or remove the key",
        )
    try:
        return sensitivity_mask(chosen[0].absorbance, chosen[0].valid, region=calibration_region(site))
    except ValueError as error:
        raise InputError(str(error), key=key, value=label, remedy="name another cell, or remove the key") from None


def read_cells(images: Sequence[CellImage], site: Site, mask: SensitivityMask | None) -> tuple[CellReading, ...]:
    """Return the absorbance of each cell in the area where cells are read."""
    return tuple(_read_cell(image, site, mask) for image in images)


def _read_cell(image: CellImage, site: Site, mask: SensitivityMask | None) -> CellReading:
    region = calibration_region(site)
    absorbance, valid = image.absorbance, image.valid
    if mask is not None:
        absorbance, valid = correct_sensitivity(absorbance, valid, mask)
    if not valid[region].any():
        raise InputError(
            f"the {image.column_ppm_m:g} ppm m cell has no valid pixel in the area where it is read",
            key="processing.calibration.region",
            remedy="choose an area that the cell covers in both bands",
        )
    inside = absorbance[region][valid[region]].astype(np.float64)
    # The rim of a cell's holder can stand in the image: the median does not see it.
    centre = float(np.median(inside))
    blocks = block_means(np.zeros_like(absorbance), np.where(valid, absorbance, 0), valid)
    chosen = blocks_to_pixels(blocks.usable, absorbance.shape)[region].any()
    smooth = blocks.off[blocks.usable] if chosen else inside
    across = 1.4826 * float(np.median(np.abs(smooth - np.median(smooth))))
    return CellReading(
        column_ppm_m=image.column_ppm_m,
        absorbance=centre,
        uncertainty=float(np.sqrt(image.repeats + across**2)),
        frames=image.frames,
    )


def _level(image: LogImage, region: tuple[slice, slice]) -> float:
    """Return the mean log intensity of the valid pixels of a region, NaN where there is none."""
    inside = image.values[region][image.valid[region]]
    return float(inside.mean()) if inside.size else float("nan")


def fit_readings(
    cells: Sequence[CellReading], site: Site, shape: BandShape | None = None
) -> tuple[ColumnCurve, tuple[str, ...]]:
    """Return the calibration curve through ``cells`` as the site file wants it, and warnings about them."""
    settings = site.processing.calibration
    absorbance = np.array([cell.absorbance for cell in cells])
    column = np.array([cell.column_ppm_m for cell in cells]) * MOLEC_CM2_PER_PPM_M
    try:
        curve = fit_cells(
            absorbance,
            column,
            absorbance_uncertainty=np.array([cell.uncertainty for cell in cells]),
            column_uncertainty=label_uncertainties(cells, site),
            model=settings.model,
            weighted=settings.label_weights,
            shape=shape,
        )
    except ValueError as error:
        raise InputError(
            f"gas-cell calibration failed: {error}",
            key="processing.calibration",
            value=[f"{cell.column_ppm_m:g} ppm m: absorbance {cell.absorbance:.4f}" for cell in cells],
            remedy="check the cells' labels in the file names, and that dark and clear-sky frames are right",
        ) from None
    notes = [
        f"the {stronger.column_ppm_m:g} ppm m cell (absorbance {stronger.absorbance:.4f}) absorbs no more than the "
        f"{weaker.column_ppm_m:g} ppm m cell ({weaker.absorbance:.4f}): check the cells' labels"
        for weaker, stronger in pairwise(cells)
        if stronger.absorbance <= weaker.absorbance
    ]
    warning = curvature_warning(absorbance, column)
    return curve, (*notes, *([] if warning is None else [warning]))


def label_uncertainties(cells: Sequence[CellReading], site: Site) -> FloatArray:
    """Return 1 sigma (N,) of the cells' columns [molecules cm-2]."""
    return np.array([label_uncertainty_molec_cm2(cell.column_ppm_m, site) for cell in cells], np.float64)


def summarise(
    curve: ColumnCurve, cells: Sequence[CellReading], site: Site, description: str, notes: tuple[str, ...]
) -> CalibrationSummary:
    """Return the calibration as a plot needs it."""
    absorbance = np.array([cell.absorbance for cell in cells], np.float64)
    column = np.array([cell.column_ppm_m for cell in cells], np.float64) * MOLEC_CM2_PER_PPM_M
    top = float(absorbance.max()) if absorbance.size else 0.5
    grid = np.linspace(0.0, 1.1 * top, 60)
    return CalibrationSummary(
        description=description,
        absorbance=absorbance,
        absorbance_uncertainty=np.array([cell.uncertainty for cell in cells], np.float64),
        column_molec_cm2=column,
        column_uncertainty_molec_cm2=label_uncertainties(cells, site),
        curve_absorbance=grid,
        curve_column_molec_cm2=curve.column(grid),
        curve_uncertainty_molec_cm2=curve.column_uncertainty(grid),
        warnings=notes,
    )
