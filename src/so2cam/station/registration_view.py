"""The registration of a site for those who set it up: found in the archive, by control points, and looked at."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

import numpy as np

from so2cam.core.errors import InputError, So2camError
from so2cam.core.records import BoolImage, FloatArray, FloatImage, FrameInfo, FrameKind, FramePair
from so2cam.core.site import Registration, Site
from so2cam.formats.sitefile import LoadedSite
from so2cam.pages import FrameHeader, encode_frame, encode_values
from so2cam.pipeline.frames import DarkLibrary, FrameReader
from so2cam.pipeline.registration import FoundRegistration, control_point_registration, find_registration
from so2cam.pipeline.steps import dark_corrected
from so2cam.science.imaging.alignment import control_point_residuals, displacement_between, fit_control_points
from so2cam.science.imaging.registration import warp_to_on_band
from so2cam.station.context import StationSite
from so2cam.station.live_day import processing_hash
from so2cam.station.references import choose_references, day_of, read_references
from so2cam.station.setup_frames import SetupFrames

Matrix = tuple[tuple[float, float, float], tuple[float, float, float]]
ControlPoint = tuple[float, float, float, float]
"""(x, y) in the on band, (x, y) in the off band [px]."""
NEEDED: Final = {"translation": 1, "euclidean": 2, "similarity": 2, "affine": 3}
"""Control points that each model needs at least."""
_PAIRS: Final = 120
_RANGE_PERCENT: Final = (1.0, 99.0)


@dataclass(frozen=True, slots=True)
class MatrixWords:
    """A matrix as people read it: shift of the image's centre [px], turn [degrees, clockwise], scale."""

    shift_x_px: float
    shift_y_px: float
    turn_deg: float
    scale: float


@dataclass(frozen=True, slots=True)
class PairFound:
    """What one pair says. ``off_px``: r.m.s. distance of its registration from the one that was found."""

    time: datetime
    status: str
    correlation: float
    correlation_given: float
    uncertainty_px: float
    off_px: float | None


@dataclass(frozen=True, slots=True)
class FoundLook:
    """A registration found in the archive, and what it is worth. ``correlation_given``: that of the draft's matrix."""

    matrix: Matrix
    words: MatrixWords
    correlation: float
    correlation_given: float | None
    uncertainty_px: float
    spread_px: float
    drift_px: float
    from_given_px: float
    pairs: tuple[PairFound, ...]


@dataclass(frozen=True, slots=True)
class PointsLook:
    """Control points and how they fit. ``residuals_px`` is empty, and ``matrix`` None, where there is no fit.

    ``missing``: how many points more the model needs; ``problem``: why there is no fit although there are enough, or
    what is wrong with it.
    """

    residuals_px: tuple[float, ...]
    rms_px: float | None
    uncertainty_px: float | None
    matrix: Matrix | None
    words: MatrixWords | None
    missing: int
    problem: str


@dataclass(frozen=True, slots=True)
class Bands:
    """Both bands of a pair, dark-corrected where there are darks, (rows, columns); NaN where a pixel is not valid."""

    on: FloatImage
    off: FloatImage


def find_in_archive(frames: SetupFrames, site: StationSite, loaded: LoadedSite) -> FoundLook:
    """Find the registration in the newest pairs of the archive. Raises So2camError saying why there is none."""
    pairs = frames.pairs(loaded, limit=_PAIRS)
    if not pairs:
        raise InputError("the archive has no pair of plume frames", remedy="take frames in first")
    reader = FrameReader(loaded.site)
    darks = _darks(site, loaded, pairs[-1], reader)
    return look_at_found(find_registration(loaded.site, pairs, darks, reader), loaded.site)


def found_key(frames: SetupFrames, loaded: LoadedSite, newest: datetime | None) -> tuple[object, ...]:
    """Return what ``find_in_archive`` depends on, to be compared: the settings, the newest pair, and its darks.

    Raises So2camError where the catalogue cannot be read.
    """
    darks = () if newest is None else frames.references(loaded, day_of(newest))
    return processing_hash(loaded.site), newest, darks


def look_at_found(found: FoundRegistration, site: Site) -> FoundLook:
    """Return a registration that was found, as numbers for a page."""
    shape = (site.camera.optics.height_px, site.camera.optics.width_px)
    given = [pair.correlation_given for pair in found.used if math.isfinite(pair.correlation_given)]
    return FoundLook(
        matrix=plain_matrix(found.matrix),
        words=matrix_words(found.matrix, shape),
        correlation=found.correlation,
        correlation_given=float(np.median(given)) if given else None,
        uncertainty_px=found.uncertainty_px,
        spread_px=found.spread_px,
        drift_px=found.drift_px,
        from_given_px=found.from_given_px,
        pairs=tuple(
            PairFound(
                pair.time,
                pair.alignment.status.replace("_", " "),
                pair.alignment.correlation,
                pair.correlation_given,
                pair.alignment.uncertainty_px,
                displacement_between(pair.alignment.matrix, found.matrix, shape).rms_px
                if pair.alignment.status == "ok"
                else None,
            )
            for pair in found.pairs
        ),
    )


def look_at_points(points: Sequence[ControlPoint], model: str, shape: tuple[int, int]) -> PointsLook:
    """Return how control points fit; ``shape`` (rows, columns) is that of the image."""
    missing = max(NEEDED[model] - len(points), 0)
    if missing:
        return PointsLook((), None, None, None, None, missing, "")
    values = np.array(points, np.float64).reshape(-1, 4)
    on, off = values[:, :2], values[:, 2:]
    try:
        fit = fit_control_points(on, off, model=model)  # type: ignore[arg-type]
    except ValueError as error:
        return PointsLook((), None, None, None, None, 0, str(error))
    residuals = control_point_residuals(fit.matrix, on, off)
    problem = ""
    if fit.status != "ok":
        problem = f"the points do not fit one another; the worst is number {int(residuals.argmax()) + 1}"
    return PointsLook(
        tuple(float(value) for value in residuals),
        fit.residual_px,
        fit.uncertainty_px if math.isfinite(fit.uncertainty_px) else None,
        plain_matrix(fit.matrix),
        matrix_words(fit.matrix, shape),
        0,
        problem,
    )


def matrix_of(registration: Registration, found: FoundLook | None) -> Matrix:
    """Return the matrix that a draft's registration means; ``found``: what was found, if it was looked for.

    Raises So2camError where it is not known.
    """
    if registration.source == "control-points":
        return plain_matrix(control_point_registration(registration)[0].matrix)
    if registration.source == "automatic":
        if found is None:
            raise InputError("every run finds it in its own frames", remedy="find it here to look at it")
        return found.matrix
    return plain_matrix(np.array(registration.matrix, np.float64))


def plain_matrix(matrix: FloatArray) -> Matrix:
    """Return a matrix (2 x 3) as plain numbers, rounded far below what matters."""
    first, second = ([round(float(value), 9) for value in row] for row in matrix)
    return (first[0], first[1], first[2]), (second[0], second[1], second[2])


def matrix_words(matrix: FloatArray | Matrix, shape: tuple[int, int]) -> MatrixWords:
    """Return what a matrix does to an image of ``shape`` (rows, columns)."""
    values = np.asarray(matrix, np.float64)
    middle = np.array([(shape[1] - 1) / 2, (shape[0] - 1) / 2])
    shift = values[:, :2] @ middle + values[:, 2] - middle
    turn = math.degrees(math.atan2(values[1, 0] - values[0, 1], values[0, 0] + values[1, 1]))
    scale = math.sqrt(abs(float(np.linalg.det(values[:, :2]))))
    return MatrixWords(float(shift[0]), float(shift[1]), turn, scale)


def off_of(matrix: Matrix, point: tuple[float, float]) -> tuple[float, float]:
    """Return where the off band shows what the on band shows at ``point`` (x, y) [px]."""
    x, y = np.asarray(matrix, np.float64) @ np.array([*point, 1.0])
    return round(float(x), 1), round(float(y), 1)


def on_of(matrix: Matrix, point: tuple[float, float]) -> tuple[float, float]:
    """Return where the on band shows what the off band shows at ``point`` (x, y) [px]."""
    values = np.asarray(matrix, np.float64)
    x, y = np.linalg.solve(values[:, :2], np.asarray(point, np.float64) - values[:, 2])
    return round(float(x), 1), round(float(y), 1)


def read_bands(frames: SetupFrames, site: StationSite, loaded: LoadedSite, pair: FramePair) -> Bands:
    """Return both bands of a pair. Raises InputError where a frame cannot be read."""
    reader = FrameReader(loaded.site)
    darks = _darks(site, loaded, pair, reader)
    images = []
    for info in (pair.on, pair.off):
        counts, dark, sensor = frames.frame(loaded, info).counts, darks.dark_for(info), loaded.site.camera.sensor
        if dark is None:
            values, valid = np.asarray(counts, np.float32), np.asarray(counts < sensor.saturation_dn)
        else:
            values, valid = dark_corrected(counts, dark, sensor)
        images.append(np.where(valid, values, np.float32(np.nan)))
    return Bands(images[0], images[1])


def raw_message(frames: SetupFrames, loaded: LoadedSite, info: FrameInfo) -> bytes:
    """Return a frame as the camera took it, for a viewer. Raises InputError where it cannot be read."""
    frame = frames.frame(loaded, info)
    saturation = math.ceil(loaded.site.camera.sensor.saturation_dn)
    header = FrameHeader(label=f"{info.band.value} band", unit="DN", time=info.time, saturation=saturation)
    return encode_frame(np.ascontiguousarray(frame.counts, np.uint16), header)


def overlay_messages(bands: Bands, matrix: Matrix | None, time: datetime) -> tuple[bytes, bytes]:
    """Return the on band, and the off band brought onto it by ``matrix`` (None: as it is), for a viewer.

    Both are the logarithm of the intensity between 0 and 1, from the 1st to the 99th percentile of each band over what
    both show, so that they can be laid over each other and subtracted.
    """
    off, valid = bands.off, np.isfinite(bands.off)
    if matrix is not None:
        off, valid = warp_to_on_band(np.where(valid, off, np.float32(0)), valid, np.array(matrix, np.float64))
    both = valid & np.isfinite(bands.on) & (bands.on > 0) & (off > 0)
    messages = []
    for image, name in ((bands.on, "on band"), (off, "off band, brought onto the on band")):
        values = _normalised(image, both)
        messages.append(encode_values(values, FrameHeader(label=name, time=time), low=0.0, high=1.0))
    return messages[0], messages[1]


def _normalised(image: FloatImage, both: BoolImage) -> FloatImage:
    with np.errstate(invalid="ignore", divide="ignore"):
        logarithm = np.log(image)
    usable = logarithm[both]
    if not usable.size:
        return np.full(image.shape, np.nan, np.float32)
    low, high = (float(value) for value in np.percentile(usable, _RANGE_PERCENT))
    scaled = np.clip((logarithm - low) / max(high - low, 1e-6), 0.0, 1.0)
    return np.where(both, scaled, np.nan).astype(np.float32)


def _darks(site: StationSite, loaded: LoadedSite, pair: FramePair, reader: FrameReader) -> DarkLibrary:
    drafted = replace(site, loaded=loaded)
    try:
        infos = read_references(drafted, choose_references(drafted, day_of(pair.time))).frames
    except So2camError:
        infos = ()
    darks = [info for info in infos if info.kind is FrameKind.DARK]
    return DarkLibrary(darks, loaded.site.processing, reader)
