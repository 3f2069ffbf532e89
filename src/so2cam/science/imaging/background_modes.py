"""The sky-background modes of existing software, under names that say what they do.

Each works on the natural logarithm of the intensity of one band. With ``t0 = ln(I_clear / I)``:

====== ======================= ==========================================================================
number name                    optical depth
====== ======================= ==========================================================================
0      ``polynomial``          a 2-D polynomial fitted to plume-free sky of the image itself, minus ``ln I``
1      ``scale``               t0 minus its mean in the scale rectangle
2      ``scale-gradient-y``    t0 minus a line in y through the means in the scale and the y-gradient rectangle
3      ``profile-y``           t0 minus a polynomial of order 2 in y, fitted to a column of sky
4      ``scale-gradient-xy``   2, then minus a line in x through the scale and the x-gradient rectangle
5      ``profile-y-gradient-x`` 3, then minus a line in x through the scale and the x-gradient rectangle
6      ``profile-xy``          3, then minus a polynomial of order 2 in x, fitted to a row of sky
7      ``rectangle``           ``ln`` of the mean intensity in the scale rectangle, minus ``ln I``
99     ``clear-sky``           t0 as it is
====== ======================= ==========================================================================

Modes 0 to 6 and 99 are those of Gliss et al. 2017 (Geosciences 7, 134, doi 10.3390/geosciences7040134, section
on plume background analysis; numbers of pyplis), 7 that of PyCam. Modes 1 to 6 and 99 need a clear-sky image
(or its constant level after the flat field), which cancels vignetting; 0 and 7 need flat-corrected images.

Means in rectangles and fits along profiles are Huber estimates (Huber 1981), tuned to 95 % of the efficiency of a
plain mean under Gaussian noise: dust, birds and hot pixels within an area hardly move them. Rectangles are held
to be at the centre of the pixels that entered, so that invalid pixels do not tilt a gradient.

All modes but ``rectangle`` are linear in the logarithm, apart from the weights of outliers. Given the difference
of both bands' logarithms, they therefore return the apparent absorbance at once, with its uncertainty.
"""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from so2cam.core.records import BoolImage, FloatArray, FloatImage
from so2cam.science.imaging.background import (
    BLOCK,
    Blocks,
    block_means,
    blocks_to_pixels,
    evaluate_surface,
    find_sky,
    fit_sky_surface,
    pixel_noise,
)

Rectangle = tuple[int, int, int, int]
"""(x0, y0, x1, y1) in pixels; the pixels at both corners belong to it."""
AreaName = Literal["scale", "y_gradient", "x_gradient", "y_profile", "x_profile", "plume_free"]

_HUBER: Final = 1.345
"""Residual, in standard deviations, from which a pixel loses weight: 95 % efficiency (Huber 1981)."""
_FLOAT_NOISE: Final = 2e-6
"""Rounding of a log intensity in 32 bits: scatter below this is none."""
_MINIMUM_PIXELS: Final = 25
_MINIMUM_VALID_SHARE: Final = 0.5
"""Share of an area's pixels that must be valid."""
_WINDOW_SHARE: Final = 0.1
"""Side of an automatic rectangle over the shorter side of the image."""
_MINIMUM_DISTANCE_SHARE: Final = 0.15
"""Distance of two automatic rectangles over the image's side: less lever makes a gradient of noise."""
_MINIMUM_PROFILE_SHARE: Final = 0.25
"""Length of an automatic profile over the image's side."""
_PROFILE_BLOCKS: Final = 2
"""Width of an automatic profile [blocks]."""


class BackgroundMode(StrEnum):
    """How the sky behind the plume is found."""

    POLYNOMIAL = "polynomial"
    SCALE = "scale"
    SCALE_GRADIENT_Y = "scale-gradient-y"
    PROFILE_Y = "profile-y"
    SCALE_GRADIENT_XY = "scale-gradient-xy"
    PROFILE_Y_GRADIENT_X = "profile-y-gradient-x"
    PROFILE_XY = "profile-xy"
    RECTANGLE = "rectangle"
    CLEAR_SKY = "clear-sky"


MODE_NUMBERS: Final[dict[int, BackgroundMode]] = {
    0: BackgroundMode.POLYNOMIAL,
    1: BackgroundMode.SCALE,
    2: BackgroundMode.SCALE_GRADIENT_Y,
    3: BackgroundMode.PROFILE_Y,
    4: BackgroundMode.SCALE_GRADIENT_XY,
    5: BackgroundMode.PROFILE_Y_GRADIENT_X,
    6: BackgroundMode.PROFILE_XY,
    7: BackgroundMode.RECTANGLE,
    99: BackgroundMode.CLEAR_SKY,
}
"""The modes' numbers in existing software."""

_AREAS: Final[dict[BackgroundMode, tuple[AreaName, ...]]] = {
    BackgroundMode.POLYNOMIAL: ("plume_free",),
    BackgroundMode.SCALE: ("scale",),
    BackgroundMode.SCALE_GRADIENT_Y: ("scale", "y_gradient"),
    BackgroundMode.PROFILE_Y: ("y_profile",),
    BackgroundMode.SCALE_GRADIENT_XY: ("scale", "y_gradient", "x_gradient"),
    BackgroundMode.PROFILE_Y_GRADIENT_X: ("y_profile", "scale", "x_gradient"),
    BackgroundMode.PROFILE_XY: ("y_profile", "x_profile"),
    BackgroundMode.RECTANGLE: ("scale",),
    BackgroundMode.CLEAR_SKY: (),
}


class BackgroundStatus(StrEnum):
    """Whether there is a background, or why there is none. There is never another mode's in its place."""

    OK = "ok"
    NO_CLEAR_IMAGE = "no_clear_image"
    NO_AREA = "no_area"
    TOO_FEW_PIXELS = "too_few_pixels"
    AREAS_OVERLAP = "areas_overlap"


BACKGROUND_STATUS_TEXT: Final[dict[BackgroundStatus, str]] = {
    BackgroundStatus.OK: "valid",
    BackgroundStatus.NO_CLEAR_IMAGE: "the mode needs a clear-sky image, and there is none",
    BackgroundStatus.NO_AREA: "the mode needs an area of sky that is not given, or was not found",
    BackgroundStatus.TOO_FEW_PIXELS: "too few valid pixels in an area of sky",
    BackgroundStatus.AREAS_OVERLAP: "the two rectangles of a gradient overlap along it",
}


class SkyColumn(NamedTuple):
    """A strip of sky along y: columns around ``x``, ``width`` of them, rows ``y0`` to ``y1`` inclusive."""

    x: int
    y0: int
    y1: int
    width: int = 9


class SkyRow(NamedTuple):
    """A strip of sky along x: rows around ``y``, ``width`` of them, columns ``x0`` to ``x1`` inclusive."""

    y: int
    x0: int
    x1: int
    width: int = 9


@dataclass(frozen=True, slots=True)
class SkyAreas:
    """Areas of the image that show sky without plume; None where there is none.

    ``plume_free`` marks all such pixels and ``above_skyline`` all pixels of sky, with plume or without, both
    (rows, columns). Where known, they also tell where uncertainty is judged. Areas may reach over the image's
    edge; only their pixels in it count. Raises ValueError for an area without extent.
    """

    scale: Rectangle | None = None
    y_gradient: Rectangle | None = None
    x_gradient: Rectangle | None = None
    y_profile: SkyColumn | None = None
    x_profile: SkyRow | None = None
    plume_free: BoolImage | None = field(default=None, compare=False, repr=False)
    above_skyline: BoolImage | None = field(default=None, compare=False, repr=False)

    def __post_init__(self) -> None:
        for name in ("scale", "y_gradient", "x_gradient"):
            rectangle = getattr(self, name)
            if rectangle is not None and not (rectangle[0] < rectangle[2] and rectangle[1] < rectangle[3]):
                raise ValueError(f"{name} must be (x0, y0, x1, y1) with x0 < x1 and y0 < y1, got {rectangle}")
        column, row = self.y_profile, self.x_profile
        if column is not None and not (column.y0 < column.y1 and column.width >= 1):
            raise ValueError(f"y_profile needs y0 < y1 and a width of at least 1, got {column}")
        if row is not None and not (row.x0 < row.x1 and row.width >= 1):
            raise ValueError(f"x_profile needs x0 < x1 and a width of at least 1, got {row}")


@dataclass(frozen=True, slots=True)
class BackgroundResult:
    """The optical depth of a band above its sky background, NaN where invalid; all NaN unless ``status`` is OK.

    ``level`` is the mean of the background over the sky: in modes with a clear-sky image its optical depth
    against that image (positive where the sky was darker than the image), otherwise ln I_bg itself.
    ``standard_error`` is what noise in the areas leaves, as a root mean square over the sky; ``structure`` the
    root mean square of what is left of the optical depth in plume-free sky, which should be zero: sky that the
    mode does not follow (Gliss 2017 judges modes by it). It is NaN without any area of sky.
    """

    optical_depth: FloatImage
    level: float
    standard_error: float
    structure: float
    status: BackgroundStatus

    @property
    def uncertainty(self) -> float:
        """Standard error and structure together, 1 sigma; common to the image, so correlated along a line."""
        return float(np.hypot(self.standard_error, self.structure))


def mode_from(value: int | str) -> BackgroundMode:
    """Return the mode of a name, or of a number of existing software (3, "3"). Raises ValueError for any other."""
    if isinstance(value, str):
        text = value.strip()
        if text in [mode.value for mode in BackgroundMode]:
            return BackgroundMode(text)
        number = int(text) if text.isascii() and text.isdecimal() else None
    else:
        number = None if isinstance(value, bool) else value
    if number not in MODE_NUMBERS:
        known = ", ".join(f"{mode.value} ({key})" for key, mode in MODE_NUMBERS.items())
        raise ValueError(f"no background mode {value!r}; there are {known}")
    return MODE_NUMBERS[number]


def needs_clear(mode: BackgroundMode) -> bool:
    """Return whether ``mode`` compares with a clear-sky image."""
    return mode not in (BackgroundMode.POLYNOMIAL, BackgroundMode.RECTANGLE)


def needed_areas(mode: BackgroundMode) -> tuple[AreaName, ...]:
    """Return the fields of ``SkyAreas`` that ``mode`` needs."""
    return _AREAS[mode]


def correct_background(
    log_image: FloatImage,
    log_clear: FloatImage | float | None,
    valid: BoolImage,
    mode: BackgroundMode,
    areas: SkyAreas | None,
    *,
    order: int = 2,
) -> BackgroundResult:
    """Return the optical depth of one band above the sky background of ``mode``.

    ``log_image`` (rows, columns) is the natural log intensity; ``log_clear`` that of the clear-sky image, or its
    constant level where both are flat-corrected, in the same units; not used where ``needs_clear`` is False.
    Pixels that are not ``valid``, or not finite in either image, are left out of every mean and are NaN in the
    result. ``order`` is that of the 2-D polynomial (2 in pyplis, 1 in PyCam). Steps follow each other as in Gliss
    2017: the line or polynomial in x is found in what the one in y has left. A plane is therefore followed exactly
    where the scale rectangle shares its columns with the y-gradient one.
    """
    areas = SkyAreas() if areas is None else areas
    if needs_clear(mode):
        if log_clear is None:
            return _refused(log_image.shape, BackgroundStatus.NO_CLEAR_IMAGE)
        depth = np.subtract(np.asarray(log_clear, np.float32), log_image, dtype=np.float32)
    else:
        depth = np.asarray(-log_image, np.float32)
    valid = valid & np.isfinite(depth)
    if any(getattr(areas, name) is None for name in needed_areas(mode)):
        return _refused(valid.shape, BackgroundStatus.NO_AREA)
    sky = valid if areas.above_skyline is None else valid & areas.above_skyline
    if not sky.any():
        return _refused(valid.shape, BackgroundStatus.TOO_FEW_PIXELS)
    try:
        if mode is BackgroundMode.POLYNOMIAL:
            level, variance = _subtract_polynomial(depth, valid, sky, areas, order)
        elif mode is BackgroundMode.RECTANGLE:
            level, variance = _subtract_rectangle(depth, valid, areas)
        else:
            level, variance = _subtract_curves(depth, valid, sky, mode, areas)
    except _NotPossibleError as reason:
        return _refused(valid.shape, reason.status)
    depth[~valid] = np.nan
    return BackgroundResult(
        depth, level, float(np.sqrt(variance)), _structure(depth, valid, areas), BackgroundStatus.OK
    )


def find_sky_areas(
    log_on: FloatImage,
    log_off: FloatImage,
    valid: BoolImage,
    above_skyline: BoolImage | None = None,
    *,
    order: int = 2,
) -> SkyAreas | None:
    """Return areas of plume-free sky for all modes; None where there is too little plume-free sky.

    The log images (rows, columns) are to be flat-corrected, or less the clear-sky ones: vignetting that differs
    between the bands looks like plume, or hides it. ``order`` is that of the surface which tells sky from plume
    (``fit_sky_surface``). ``above_skyline`` is a mask of pixels, or of blocks
    of 8 x 8 pixels; found automatically if absent.

    Rectangles and profiles consist of plume-free blocks only, and those beside plume or terrain are no part of
    them. The side of the image with more plume-free sky is the clear one; if both have about the same, the brighter
    one (pyplis knows brightness only). The scale rectangle lies on it, where the y-gradient rectangle can be
    furthest below in the same columns (above the horizon) and the x-gradient rectangle furthest aside in the same
    rows. Profiles are the column and the row with the longest unbroken run of plume-free blocks. What has no place
    stays None: the modes that need it say so.
    """
    shape = (valid.shape[0], valid.shape[1])
    valid = valid & np.isfinite(log_on) & np.isfinite(log_off)
    blocks = block_means(log_on, log_off, valid)
    sky = find_sky(blocks, shape) if above_skyline is None else blocks.usable & _as_blocks(above_skyline, shape)
    surface = fit_sky_surface(blocks, sky, shape, order=order)
    if surface is None:
        return None
    free = surface.plume_free | _lone(surface.above_skyline & ~surface.plume_free)
    side = _clear_side(free, blocks)
    scale, below, aside = _place_rectangles(free, side)
    columns = _place_profile(free, side)
    rows = _place_profile(free.T, None)
    return SkyAreas(
        scale=scale,
        y_gradient=below,
        x_gradient=aside,
        y_profile=None if columns is None else SkyColumn(*columns),
        x_profile=None if rows is None else SkyRow(*rows),
        plume_free=blocks_to_pixels(surface.plume_free, shape) & valid,
        above_skyline=blocks_to_pixels(surface.above_skyline, shape) & valid,
    )


# ------------------------------------------------------------------------------------------------ the corrections


class _NotPossibleError(Exception):
    def __init__(self, status: BackgroundStatus) -> None:
        super().__init__(status)
        self.status = status


_SOURCES: Final = {
    "scale": slice(0, 1),
    "y_gradient": slice(1, 2),
    "x_gradient": slice(2, 3),
    "y_profile": slice(3, 6),
    "x_profile": slice(6, 9),
}
"""Where in the vector of all independent errors those of an area stand: of its mean, or of its coefficients."""
_SOURCE_COUNT: Final = 9


@dataclass(frozen=True, slots=True)
class _Curve:
    """A polynomial of one coordinate, scaled as (coordinate - centre) / half.

    ``sensitivity`` (terms, 9) holds the derivatives of its coefficients by the errors of the areas.
    """

    centre: float
    half: float
    coefficients: FloatArray
    sensitivity: FloatArray

    def basis(self, coordinate: FloatArray) -> FloatArray:
        return _powers_of((coordinate - self.centre) / self.half, self.coefficients.size)

    def at(self, coordinate: FloatArray) -> FloatArray:
        return np.asarray(self.basis(coordinate) @ self.coefficients)

    def errors(self, coordinate: FloatArray) -> FloatArray:
        """Return the derivatives of its values by the errors of the areas, (N, 9)."""
        return np.asarray(self.basis(coordinate) @ self.sensitivity)


@dataclass(frozen=True, slots=True)
class _Pixels:
    """The valid pixels of an area: positions and values, all (N,)."""

    x: FloatArray
    y: FloatArray
    values: FloatArray

    def tiles(self) -> npt.NDArray[np.int64]:
        """Return the number of the 8 x 8 tile that each pixel lies in."""
        x = (self.x - self.x.min()).astype(np.int64) // BLOCK
        y = (self.y - self.y.min()).astype(np.int64) // BLOCK
        return np.asarray(y * (x.max() + 1) + x)


@dataclass(frozen=True, slots=True)
class _Fit:
    """``projector`` (terms, N) takes small changes of the values to those of the coefficients."""

    coefficients: FloatArray
    covariance: FloatArray
    projector: FloatArray


class _Reader:
    """Reads areas of an image that is corrected step by step, and keeps the errors of what it read."""

    def __init__(self, depth: FloatImage, valid: BoolImage, areas: SkyAreas) -> None:
        self.depth = depth
        self.covariance: FloatArray = np.zeros((_SOURCE_COUNT, _SOURCE_COUNT))
        self._valid = valid
        self._areas = areas
        self._done: _Curve | None = None

    def subtract_in_y(self, curve: _Curve) -> None:
        rows = np.arange(self.depth.shape[0], dtype=np.float64)
        self.depth -= curve.at(rows)[:, None].astype(np.float32)
        self._done = curve

    def subtract_in_x(self, curve: _Curve) -> None:
        columns = np.arange(self.depth.shape[1], dtype=np.float64)
        self.depth -= curve.at(columns)[None, :].astype(np.float32)

    def constant(self, name: AreaName) -> _Curve:
        """Return the mean of a rectangle as a constant curve."""
        _, fit, sensitivity = self._mean(name)
        return _Curve(0.0, 1.0, fit.coefficients, sensitivity)

    def line(self, first: AreaName, second: AreaName, axis: Literal["x", "y"]) -> _Curve:
        """Return the straight line through the means of two rectangles, at the centres of their pixels."""
        one, other = getattr(self._areas, first), getattr(self._areas, second)
        low, high = (0, 2) if axis == "x" else (1, 3)
        if min(one[high], other[high]) >= max(one[low], other[low]):
            raise _NotPossibleError(BackgroundStatus.AREAS_OVERLAP)
        centres, means, sensitivities = [], [], []
        for name in (first, second):
            pixels, fit, sensitivity = self._mean(name)
            centres.append(float(fit.projector[0] @ (pixels.x if axis == "x" else pixels.y)))
            means.append(float(fit.coefficients[0]))
            sensitivities.append(sensitivity[0])
        steps = np.array([[1.0, 0.0], [-1.0, 1.0]])
        return _Curve(centres[0], centres[1] - centres[0], steps @ np.array(means), steps @ np.array(sensitivities))

    def parabola(self, name: AreaName, axis: Literal["x", "y"]) -> _Curve:
        """Return the polynomial of order 2 along a profile."""
        area = getattr(self._areas, name)
        pixels = _pixels(self.depth, self._valid, _in_column(area) if axis == "y" else _in_row(area))
        coordinate = pixels.y if axis == "y" else pixels.x
        centre = float(0.5 * (coordinate.min() + coordinate.max()))
        half = float(0.5 * (coordinate.max() - coordinate.min()))
        if half < 2:
            raise _NotPossibleError(BackgroundStatus.TOO_FEW_PIXELS)
        fit = _robust_fit(_powers_of((coordinate - centre) / half, 3), pixels.values, pixels.tiles())
        return _Curve(centre, half, fit.coefficients, self._sensitivity(name, pixels, fit))

    def _mean(self, name: AreaName) -> tuple[_Pixels, _Fit, FloatArray]:
        pixels = _pixels(self.depth, self._valid, _in_rectangle(getattr(self._areas, name)))
        fit = _mean(pixels)
        return pixels, fit, self._sensitivity(name, pixels, fit)

    def _sensitivity(self, name: AreaName, pixels: _Pixels, fit: _Fit) -> FloatArray:
        own = _SOURCES[name]
        self.covariance[own, own] = fit.covariance
        sensitivity = np.zeros((fit.coefficients.size, _SOURCE_COUNT))
        sensitivity[:, own] = np.eye(fit.coefficients.size)
        if self._done is not None:
            sensitivity -= fit.projector @ self._done.errors(pixels.y)
        return sensitivity


def _refused(shape: tuple[int, ...], status: BackgroundStatus) -> BackgroundResult:
    return BackgroundResult(np.full(shape, np.nan, np.float32), float("nan"), float("nan"), float("nan"), status)


def _subtract_curves(
    depth: FloatImage, valid: BoolImage, sky: BoolImage, mode: BackgroundMode, areas: SkyAreas
) -> tuple[float, float]:
    """Subtract a curve in y and then one in x from ``depth``, in place; return mean level and mean variance."""
    if mode is BackgroundMode.CLEAR_SKY:
        return 0.0, 0.0
    reader = _Reader(depth, valid, areas)
    if mode is BackgroundMode.SCALE:
        along_y = reader.constant("scale")
    elif mode in (BackgroundMode.SCALE_GRADIENT_Y, BackgroundMode.SCALE_GRADIENT_XY):
        along_y = reader.line("scale", "y_gradient", "y")
    else:
        along_y = reader.parabola("y_profile", "y")
    reader.subtract_in_y(along_y)
    curves = [(along_y, "y")]
    if mode in (BackgroundMode.SCALE_GRADIENT_XY, BackgroundMode.PROFILE_Y_GRADIENT_X):
        curves.append((reader.line("scale", "x_gradient", "x"), "x"))
    elif mode is BackgroundMode.PROFILE_XY:
        curves.append((reader.parabola("x_profile", "x"), "x"))
    for curve, axis in curves:
        if axis == "x":
            reader.subtract_in_x(curve)
    y, x = _sample_positions(sky)
    values = sum(curve.at(y if axis == "y" else x) for curve, axis in curves)
    errors = sum(curve.errors(y if axis == "y" else x) for curve, axis in curves)
    return float(np.mean(values)), float(np.mean(np.sum((errors @ reader.covariance) * errors, axis=-1)))


def _sample_positions(sky: BoolImage) -> tuple[FloatArray, FloatArray]:
    """Return y and x of a regular sample of the sky's pixels."""
    y, x = np.nonzero(sky[::BLOCK, ::BLOCK])
    step = BLOCK
    if y.size == 0:
        y, x = np.nonzero(sky)
        step = 1
    return np.asarray(y * step, np.float64), np.asarray(x * step, np.float64)


def _subtract_polynomial(
    depth: FloatImage, valid: BoolImage, sky: BoolImage, areas: SkyAreas, order: int
) -> tuple[float, float]:
    """Turn -ln I into ln I_bg - ln I, in place; I_bg from block means of plume-free sky.

    The fit is made twice: pixels far from the first one (dust, hot pixels) are no part of the second one's means.
    """
    free = valid if areas.plume_free is None else valid & areas.plume_free
    fit = _fit_blocks(depth, free, order)
    surface = evaluate_surface(fit.coefficients, order, (depth.shape[0], depth.shape[1]))
    residual = np.abs(depth - surface)
    sample = residual[::4, ::4][free[::4, ::4]]
    limit = 4 * 1.4826 * float(np.median(sample)) if sample.size >= _MINIMUM_PIXELS else np.inf
    fit = _fit_blocks(depth, free & (residual <= max(limit, _FLOAT_NOISE)), order)
    surface = evaluate_surface(fit.coefficients, order, (depth.shape[0], depth.shape[1]))
    depth -= surface
    y, x = _sample_positions(sky)
    errors = _surface_basis(y, x, (depth.shape[0], depth.shape[1]), order)
    variance = float(np.mean(np.sum((errors @ fit.covariance) * errors, axis=-1)))
    return -float(surface[sky].mean(dtype=np.float64)), variance


def _fit_blocks(depth: FloatImage, free: BoolImage, order: int) -> _Fit:
    blocks = block_means(depth, depth, free)
    row, column = np.nonzero(blocks.usable)
    y, x = (np.asarray((index + 0.5) * BLOCK - 0.5, np.float64) for index in (row, column))
    basis = _surface_basis(y, x, (depth.shape[0], depth.shape[1]), order)
    if len(basis) < 4 * basis.shape[1]:
        raise _NotPossibleError(BackgroundStatus.TOO_FEW_PIXELS)
    tile = (row // 4) * (column.max() // 4 + 1) + column // 4
    return _robust_fit(basis, np.asarray(blocks.on[row, column], np.float64), tile)


def _surface_basis(y: FloatArray, x: FloatArray, shape: tuple[int, int], order: int) -> FloatArray:
    """Return the terms of a surface at N positions, scaled and ordered as ``evaluate_surface`` has them."""
    v, u = ((2 * position - (n - 1)) / n for position, n in ((y, shape[0]), (x, shape[1])))
    return np.stack([u**i * v**j for i in range(order + 1) for j in range(order + 1 - i)], axis=-1)


def _subtract_rectangle(depth: FloatImage, valid: BoolImage, areas: SkyAreas) -> tuple[float, float]:
    """Turn -ln I into ln I_bg - ln I, in place; I_bg is a mean of intensity, not of its logarithm."""
    if areas.scale is None:
        raise _NotPossibleError(BackgroundStatus.NO_AREA)
    pixels = _pixels(depth, valid, _in_rectangle(areas.scale))
    middle = -float(np.median(pixels.values))
    relative = np.exp(-pixels.values - middle)
    fit = _mean(_Pixels(pixels.x, pixels.y, relative))
    mean = float(fit.coefficients[0])
    if not mean > 0:
        raise _NotPossibleError(BackgroundStatus.TOO_FEW_PIXELS)
    level = middle + float(np.log(mean))
    depth += np.float32(level)
    return level, float(fit.covariance[0, 0]) / mean**2


def _powers_of(scaled: FloatArray, count: int) -> FloatArray:
    return np.stack([scaled**power for power in range(count)], axis=-1)


def _in_rectangle(rectangle: Rectangle) -> tuple[slice, slice]:
    x0, y0, x1, y1 = rectangle
    return slice(max(y0, 0), max(y1 + 1, 0)), slice(max(x0, 0), max(x1 + 1, 0))


def _in_column(column: SkyColumn) -> tuple[slice, slice]:
    left = column.x - column.width // 2
    return _in_rectangle((left, column.y0, left + column.width - 1, column.y1))


def _in_row(row: SkyRow) -> tuple[slice, slice]:
    top = row.y - row.width // 2
    return _in_rectangle((row.x0, top, row.x1, top + row.width - 1))


def _pixels(depth: FloatImage, valid: BoolImage, box: tuple[slice, slice]) -> _Pixels:
    inside = valid[box]
    count = int(inside.sum())
    if count < _MINIMUM_PIXELS or count < _MINIMUM_VALID_SHARE * inside.size:
        raise _NotPossibleError(BackgroundStatus.TOO_FEW_PIXELS)
    y, x = np.nonzero(inside)
    return _Pixels(
        (x + box[1].start).astype(np.float64),
        (y + box[0].start).astype(np.float64),
        depth[box][inside].astype(np.float64),
    )


def _mean(pixels: _Pixels) -> _Fit:
    return _robust_fit(np.ones((pixels.values.size, 1)), pixels.values, pixels.tiles())


def _robust_fit(basis: FloatArray, values: FloatArray, tile: npt.NDArray[np.int64]) -> _Fit:
    """Return the Huber estimate of a linear model (iteratively reweighted least squares).

    ``tile`` numbers neighbourhoods. Where the residual's means over them scatter more than independent pixels would
    (registration blurs noise, and sky is not even), the covariance is larger by as much.
    """
    # Relative to the median the numbers are small, and a constant added to all of them changes nothing else.
    middle = float(np.median(values))
    target = values - middle
    weights = np.ones(values.size)
    scale = 0.0
    coefficients: FloatArray = np.zeros(basis.shape[1])
    residual = target
    weighted, normal = basis, basis.T @ basis
    for _ in range(30):
        weighted = basis * weights[:, None]
        normal = weighted.T @ basis
        try:
            coefficients = np.asarray(np.linalg.solve(normal, weighted.T @ target), np.float64)
        except np.linalg.LinAlgError:
            raise _NotPossibleError(BackgroundStatus.TOO_FEW_PIXELS) from None
        residual = target - basis @ coefficients
        scale = max(1.4826 * float(np.median(np.abs(residual))), _FLOAT_NOISE)
        again = np.minimum(1.0, _HUBER * scale / np.maximum(np.abs(residual), 1e-300))
        change = float(np.max(np.abs(again - weights)))
        weights = again
        if change < 1e-3:
            break
    # Large-sample covariance of a Huber estimate: the variance of bounded residuals over their mean slope squared.
    slope = float(np.mean(weights == 1.0))
    variance = _bounded_variance(residual * weights, tile, basis.shape[1]) / max(slope, 0.1) ** 2
    coefficients = coefficients.copy()
    coefficients[0] += middle
    covariance = np.linalg.inv(basis.T @ basis) * variance
    return _Fit(coefficients, np.asarray(covariance), np.asarray(np.linalg.inv(normal) @ weighted.T))


def _bounded_variance(residual: FloatArray, tile: npt.NDArray[np.int64], terms: int) -> float:
    """Return the variance that a value would have if means over tiles scattered as they do for independent values."""
    white = float(np.sum(residual**2)) / max(residual.size - terms, 1)
    counts = np.bincount(tile)
    full = counts >= max(2, 0.5 * counts.max())
    tiles = int(full.sum())
    if tiles < max(4, 2 * terms):
        return white
    means = np.bincount(tile, residual)[full] / counts[full]
    return max(white, float(np.sum(means**2 * counts[full])) / (tiles - terms))


def _structure(depth: FloatImage, valid: BoolImage, areas: SkyAreas) -> float:
    """Return the root mean square of optical depth over blocks of plume-free sky, less that of pixel noise."""
    shape = (depth.shape[0], depth.shape[1])
    mask = areas.plume_free
    if mask is None:
        mask = np.zeros(shape, np.bool_)
        for rectangle in (areas.scale, areas.y_gradient, areas.x_gradient):
            if rectangle is not None:
                mask[_in_rectangle(rectangle)] = True
        if areas.y_profile is not None:
            mask[_in_column(areas.y_profile)] = True
        if areas.x_profile is not None:
            mask[_in_row(areas.x_profile)] = True
    mask = mask & valid
    rows, columns = shape[0] // BLOCK, shape[1] // BLOCK
    crop = (slice(0, rows * BLOCK), slice(0, columns * BLOCK))
    tiled = (rows, BLOCK, columns, BLOCK)
    counts = mask[crop].reshape(tiled).sum(axis=(1, 3))
    sums = np.where(mask, depth, np.float32(0))[crop].reshape(tiled).sum(axis=(1, 3), dtype=np.float64)
    # A quarter of a block: a profile may be narrower than a block, and lie across two.
    full = counts >= BLOCK * BLOCK // 4
    if not full.any():
        return float("nan")
    noise = pixel_noise(depth, mask)
    of_noise = 0.0 if np.isnan(noise) else noise**2 * float(np.mean(1 / counts[full]))
    return float(np.sqrt(max(np.mean((sums[full] / counts[full]) ** 2) - of_noise, 0.0)))


# ------------------------------------------------------------------------------------------------ automatic areas


def _as_blocks(mask: BoolImage, shape: tuple[int, int]) -> BoolImage:
    """Return a mask of pixels as one of blocks that lie wholly in it; a mask of blocks as it is."""
    rows, columns = shape[0] // BLOCK, shape[1] // BLOCK
    if mask.shape == (rows, columns):
        return mask
    if mask.shape != shape:
        raise ValueError(f"the mask of sky has shape {mask.shape}, the image {shape}")
    whole = mask[: rows * BLOCK, : columns * BLOCK].reshape(rows, BLOCK, columns, BLOCK)
    return np.asarray(whole.all(axis=(1, 3)))


def _lone(blocks: BoolImage) -> BoolImage:
    """Return blocks none of whose eight neighbours is in the mask: noise, not plume."""
    padded = np.pad(blocks, 1).astype(np.int64)
    neighbours = sum(
        padded[1 + dy : padded.shape[0] - 1 + dy, 1 + dx : padded.shape[1] - 1 + dx]
        for dy in (-1, 0, 1)
        for dx in (-1, 0, 1)
        if (dy, dx) != (0, 0)
    )
    return np.asarray(blocks & (neighbours == 0))


def _clear_side(free: BoolImage, blocks: Blocks) -> Literal["left", "right"]:
    """Return the side of the image with more plume-free sky, or the brighter one if both have about the same."""
    half = free.shape[1] // 2
    left, right = free[:, :half], free[:, free.shape[1] - half :]
    counts = int(left.sum()), int(right.sum())
    if abs(counts[0] - counts[1]) > 0.1 * max(*counts, 1) or 0 in counts:
        return "left" if counts[0] >= counts[1] else "right"
    brightness = blocks.on + blocks.off
    of_left = float(np.median(brightness[:, :half][left]))
    of_right = float(np.median(brightness[:, free.shape[1] - half :][right]))
    return "left" if of_left >= of_right else "right"


def _place_rectangles(
    free: BoolImage, side: Literal["left", "right"]
) -> tuple[Rectangle | None, Rectangle | None, Rectangle | None]:
    """Return the scale, the y-gradient and the x-gradient rectangle."""
    rows, columns = free.shape
    size = max(2, round(_WINDOW_SHARE * min(rows, columns)))
    if min(rows, columns) < size:
        return None, None, None
    windows = np.lib.stride_tricks.sliding_window_view(free, (size, size)).all(axis=(2, 3))
    if not windows.any():
        return None, None, None
    y, x = np.indices(windows.shape)
    bottom = np.max(np.where(windows, y, -1), axis=0)[None, :]
    first = np.min(np.where(windows, x, columns), axis=1)[:, None]
    last = np.max(np.where(windows, x, -1), axis=1)[:, None]
    below = (bottom - y) / rows
    beside = np.maximum(last - x, x - first) / columns
    below = np.where((below >= _MINIMUM_DISTANCE_SHARE) & (bottom - y >= size), below, 0.0)
    beside = np.where((beside >= _MINIMUM_DISTANCE_SHARE) & (beside * columns >= size), beside, 0.0)
    centre = x + 0.5 * size
    on_side = windows & (centre <= columns / 2 if side == "left" else centre >= columns / 2)
    candidates = on_side if on_side.any() else windows
    # Room below and beside counts first, then height: near the horizon haze is thickest.
    score = np.where(candidates, below + beside - 1e-3 * y / rows, -np.inf)
    row, column = (int(index) for index in np.unravel_index(int(np.argmax(score)), score.shape))

    def rectangle(top: int, left: int) -> Rectangle:
        return left * BLOCK, top * BLOCK, (left + size) * BLOCK - 1, (top + size) * BLOCK - 1

    under = rectangle(int(bottom[0, column]), column) if below[row, column] > 0 else None
    aside = None
    if beside[row, column] > 0:
        ends = int(first[row, 0]), int(last[row, 0])
        aside = rectangle(row, ends[0] if column - ends[0] > ends[1] - column else ends[1])
    return rectangle(row, column), under, aside


def _place_profile(free: BoolImage, side: Literal["left", "right"] | None) -> tuple[int, int, int, int] | None:
    """Return (x, y0, y1, width) of the strip of columns with the longest unbroken run of plume-free blocks."""
    rows, columns = free.shape
    if columns < _PROFILE_BLOCKS:
        return None
    strips: BoolImage = np.asarray(np.lib.stride_tricks.sliding_window_view(free, _PROFILE_BLOCKS, axis=1).all(axis=2))
    run = np.zeros(strips.shape[1], np.int64)
    longest, end = run.copy(), run.copy()
    for row in range(rows):
        run = np.where(strips[row], run + 1, 0)
        better = run > longest
        longest, end = np.where(better, run, longest), np.where(better, row, end)
    if int(longest.max()) < max(3, _MINIMUM_PROFILE_SHARE * rows):
        return None
    best = np.flatnonzero(longest >= 0.95 * longest.max())
    if side is not None:
        on_side = best[(best + 1 <= columns / 2) if side == "left" else (best + 1 >= columns / 2)]
        best = on_side if on_side.size else best
    strip = int(best[best.size // 2])
    width = _PROFILE_BLOCKS * BLOCK
    first = int(end[strip] - longest[strip] + 1)
    return strip * BLOCK + width // 2, first * BLOCK, (int(end[strip]) + 1) * BLOCK - 1, width
