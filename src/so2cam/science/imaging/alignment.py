"""Finding how the off-band image lies on the on-band image: from terrain and skyline, or from control points.

Sky gradients, vignetting and plume differ between the bands and would pull a fit to the images as they are, so that
only high-passed images are compared: difference of Gaussians over the local level, linear in intensity, so that an
edge stays in its place whatever its contrast. The two bands' contrast may differ from place to place and even change
sign (snow darker than the sky in one band, brighter in the other): within windows of 17 pixels the on band is a
factor times the off band, and the factor is fitted. Places with weak or uncommon structure weigh little.

Coarse to fine: correlation by Fourier transform over all shifts and some rotations of small images, then Gauss-Newton
steps (Lucas and Kanade 1981; Baker and Matthews 2004) with robust weights on a pyramid.

A matrix (2 x 3) takes (x, y, 1) of an on-band pixel to the (x, y) of the same scene in the off band [px]; (0, 0) is the
centre of the top-left pixel, y runs downward.
"""

import math
from dataclasses import dataclass
from typing import Final, Literal, get_args

import cv2
import numpy as np
import numpy.typing as npt
import scipy.fft

from so2cam.core.records import BoolImage, FloatArray, FloatImage
from so2cam.science.imaging.absorbance import log_intensity
from so2cam.science.imaging.background import block_means, blocks_to_pixels, find_sky

TransformModel = Literal["translation", "euclidean", "similarity", "affine"]
AlignmentStatus = Literal["ok", "no_texture", "no_convergence", "poor_match"]

_NARROW_PX: Final = 1.0
_WIDE_PX: Final = 3.0
"""Sigmas of the difference of Gaussians, in pixels of a pyramid level"""
_LEVEL_WINDOW_PX: Final = 61
_GAIN_WINDOW_PX: Final = 17
_SPREAD_WINDOW_PX: Final = 13
_MARGIN_PX: Final = 2
"""Pixels next to an invalid one that are not used"""
_COARSE_SIDE_PX: Final = 100
"""The coarsest level's shorter side is at least this long"""
_TERRAIN_CONTRAST: Final = 0.012
"""High-passed contrast (r.m.s. in a window, relative to the local level) of terrain; a plume's is some 0.005"""
_NOISE_FACTOR: Final = 3.0
"""Terrain's contrast is at least this many times that of noise"""
_MINIMUM_TERRAIN: Final = 0.01
"""Share of the pixels with terrain that an alignment needs, either band"""
_MOST_PIXELS: Final = 100_000
"""Of more pixels with terrain, only every second, third and so on is used"""
_SKY_RUN: Final = 3
"""Blocks of 8 pixels, in both directions, at the sky's level that are sky"""
_SKY_FITS: Final = ((3, 0.4), (3, 0.25), (6, 0.2), (6, 0.12), (6, 0.12))
"""Terms of the sky's surface, and log intensity within which a block is at its level; a plane reaches far, so first"""
_GROUND_WIDTH: Final = 0.25
"""Share of the lower edge that is ground where there is terrain: more than most plumes are wide"""
_FEWEST_PIXELS: Final = 20
"""Pixels of terrain, at any level, that a fit needs"""
_FLOOR: Final = 0.1
"""Added to the local residual, relative to the contrast of strong terrain: weak structure weighs little"""
_ROTATION_STEP_DEG: Final = 1.0
_CANDIDATES: Final = 3
"""Peaks of each kind of coarse correlation that are followed up"""
_STEPS: Final = 30
_LARGEST_STEP_PX: Final = 2.0
_CONVERGED_PX: Final = 0.005
_CONVERGED_SIGMA: Final = 0.1
"""A step, at the image's corners, this small in pixels or against its uncertainty ends the fit"""
_TILE_PX: Final = 40
"""Side of the tiles whose scatter gives the uncertainty"""
_SPARSE: Final = 97
"""One in so many pixels stands for all where positions are compared over the image"""
_HOPELESS_CORRELATION: Final = 0.35
"""Correlation of terrain at any level of the pyramid below which there is nothing to refine"""
_MINIMUM_CORRELATION: Final = 0.6
_MAXIMUM_UNCERTAINTY_PX: Final = 0.3
_POOR_RESIDUAL: Final = 3.0
"""Control points' r.m.s. residual over their stated uncertainty above which the match is poor"""
_MINIMUM_POINTS: Final[dict[TransformModel, int]] = {"translation": 1, "euclidean": 2, "similarity": 2, "affine": 3}
_PARAMETERS: Final[dict[TransformModel, int]] = {"translation": 2, "euclidean": 3, "similarity": 4, "affine": 6}
_COLLINEAR: Final = 0.01
"""Spread across over spread along, below which points lie on one line"""


@dataclass(frozen=True, slots=True)
class Alignment:
    """A registration and what it is worth. Use ``matrix`` only where ``status`` is ``ok``.

    ``matrix`` (2 x 3) takes (x, y, 1) of an on-band pixel to the (x, y) of the same scene in the off band [px]. It is
    NaN for ``no_texture`` and ``no_convergence``; for ``poor_match`` it is the best that was found, to look at.
    ``correlation``: that of ``terrain_correlation``, 0 to 1; NaN for control points.
    ``uncertainty_px``: 1 sigma of an off-band position [px], r.m.s. over the image (for control points: over the
    points), NaN where not known. ``residual_px``: r.m.s. distance [px] of control points from the fit, else NaN.
    """

    matrix: FloatArray
    model: TransformModel
    correlation: float
    uncertainty_px: float
    status: AlignmentStatus
    residual_px: float = math.nan


@dataclass(frozen=True, slots=True)
class Displacement:
    """By how far two matrices put the same on-band pixels apart in the off band [px]."""

    rms_px: float
    maximum_px: float


@dataclass(frozen=True, slots=True)
class _Layer:
    """A band at one level of the pyramid; arrays (rows, columns), zero where not ``mask``.

    ``detail`` is the high-passed image over the local level, ``dx`` and ``dy`` its derivatives [px-1], ``mask`` where
    it shows terrain (1 or 0).
    """

    detail: FloatImage
    dx: FloatImage
    dy: FloatImage
    mask: FloatImage


@dataclass(frozen=True, slots=True)
class _Level:
    """Both bands at one level of the pyramid, whose pixels are ``factor`` pixels of the image wide."""

    factor: int
    on: _Layer
    off: _Layer


@dataclass(frozen=True, slots=True)
class _Comparison:
    """The on band against the warped off band; arrays (rows, columns)."""

    detail: FloatImage
    mask: FloatImage
    gain: FloatImage
    variance: FloatImage
    explained: float


@dataclass(frozen=True, slots=True)
class _Fit:
    matrix: FloatArray
    covariance: FloatArray
    converged: bool


def align(
    on: FloatImage,
    off: FloatImage,
    valid_on: BoolImage,
    valid_off: BoolImage,
    *,
    model: TransformModel = "euclidean",
    maximum_shift_px: float = 150.0,
    maximum_rotation_deg: float = 5.0,
) -> Alignment:
    """Return the registration of a pair of images of one shape (rows, columns), found from terrain and skyline.

    ``on`` and ``off`` hold dark-corrected intensities in any unit (no logarithm); what is not ``valid_on`` or
    ``valid_off``, not finite or not positive is left out. ``maximum_shift_px`` bounds the shift of the image's
    centre in x and in y, ``maximum_rotation_deg`` the rotation.

    Status: ``no_texture`` where a band shows too little terrain; ``no_convergence`` where the fit finds nothing in
    common, does not settle or leaves the bounds; ``poor_match`` where terrain correlates below 0.6 or the position is
    uncertain by more than 0.3 px; else ``ok``.

    The uncertainty comes from the scatter of the normal equations' right-hand sides over tiles (cluster-robust
    covariance, Liang and Zeger 1986), so that it holds for residuals that are correlated. To that of a translation or
    Euclidean model the distance to the best similarity is added where that is significant: two cameras whose focal
    lengths differ by a percent need ``similarity``, and are not ``ok`` without. Distortion of the lenses is not in the
    uncertainty. An opaque plume that fills a quarter of the lower edge of an image without terrain cannot be told from
    terrain: frames that are not of one time then give the plume's motion, which pairs of several times show.
    Raises ValueError for images of different shapes, images under 32 pixels and an unknown model.
    """
    shape = on.shape
    if len(shape) != 2 or off.shape != shape or valid_on.shape != shape or valid_off.shape != shape:
        raise ValueError(
            f"images and masks need one shape (rows, columns), got {on.shape}, {off.shape}, {valid_on.shape}, "
            f"{valid_off.shape}"
        )
    if min(shape) < 32:
        raise ValueError(f"an image of {shape[1]} x {shape[0]} pixels is too small to align")
    if not (maximum_shift_px >= 0 and 0 <= maximum_rotation_deg <= 45):
        raise ValueError("maximum_shift_px must not be negative, maximum_rotation_deg must be from 0 to 45")
    _require_model(model)
    levels = _pyramid(on, off, valid_on, valid_off)
    unknown = np.full((2, 3), np.nan)
    if min(float(np.mean(layer.mask)) for layer in (levels[-1].on, levels[-1].off)) < _MINIMUM_TERRAIN:
        return Alignment(unknown, model, math.nan, math.nan, "no_texture")

    first = levels[0]
    angles = _search_angles(0.0 if model == "translation" else maximum_rotation_deg)
    first_model: TransformModel = "translation" if model == "translation" else "euclidean"
    starts = _search(first.on, first.off, maximum_shift_px / first.factor, angles)
    fits = [_refine(first.on, first.off, start, first_model) for start in starts]
    fit = max(fits, key=lambda one: _compare(first.on, first.off, one.matrix).explained)
    matrix = _rescale(fit.matrix, first.factor)
    for level in levels:
        fit = _refine(level.on, level.off, _rescale(matrix, 1 / level.factor), model)
        matrix = _rescale(fit.matrix, level.factor)
        correlation = _correlation(level.on, _compare(level.on, level.off, fit.matrix))
        if not correlation >= _HOPELESS_CORRELATION:
            return Alignment(unknown, model, correlation, math.nan, "no_convergence")
    if not fit.converged or not _within(matrix, shape, maximum_shift_px, maximum_rotation_deg):
        return Alignment(unknown, model, correlation, math.nan, "no_convergence")
    uncertainty = math.hypot(_image_uncertainty(fit, model, shape), _misfit(levels, matrix, model, shape))
    good = correlation >= _MINIMUM_CORRELATION and uncertainty <= _MAXIMUM_UNCERTAINTY_PX
    return Alignment(matrix, model, correlation, uncertainty, "ok" if good else "poor_match")


def terrain_correlation(
    on: FloatImage, off: FloatImage, valid_on: BoolImage, valid_off: BoolImage, matrix: FloatArray
) -> float:
    """Return how well high-passed terrain agrees between the bands under ``matrix`` (2 x 3), 0 to 1.

    It is the square root of the share of the on band's high-passed variance, over its terrain that both bands see,
    which the off band explains when its contrast and sign are fitted in windows of 17 pixels; some 0.2 by chance.
    NaN where no terrain is seen by both. The images (rows, columns) are as for ``align``.
    """
    layer = _layer(on, valid_on, 1)
    return _correlation(
        layer, _compare(layer, _layer(off, valid_off, 1, _ground(off, valid_off)), np.asarray(matrix, np.float64))
    )


def fit_control_points(
    on_points: FloatArray, off_points: FloatArray, *, model: TransformModel, uncertainty_px: float = 1.0
) -> Alignment:
    """Return the least-squares registration of points (N, 2), (x, y) [px], seen in both bands.

    ``uncertainty_px`` is 1 sigma of a point's coordinates. Rotation and scale in closed form (Horn 1987; Umeyama
    1991), affine by linear least squares. The status is ``poor_match`` where the residuals, per degree of freedom,
    exceed three times ``uncertainty_px``: ``control_point_residuals`` shows the points that do not fit.
    Raises ValueError for too few points (translation 1, Euclidean and similarity 2, affine 3), points that coincide
    and, for affine, points on one line.
    """
    _require_model(model)
    on_points, off_points = _require_points(on_points), _require_points(off_points)
    count, needed = on_points.shape[0], _MINIMUM_POINTS[model]
    if off_points.shape != on_points.shape:
        raise ValueError(f"{count} points in the on band, but {off_points.shape[0]} in the off band")
    if count < needed:
        raise ValueError(f"model {model!r} needs at least {needed} control points, got {count}")
    if not uncertainty_px > 0:
        raise ValueError(f"uncertainty_px must be positive, got {uncertainty_px}")
    if model != "translation":
        _require_spread(on_points, "on", model)
        _require_spread(off_points, "off", model)
    matrix = _fit_points(on_points, off_points, model)
    residuals = control_point_residuals(matrix, on_points, off_points)
    freedom = 2 * count - _PARAMETERS[model]
    scatter = math.sqrt(float(np.sum(residuals**2)) / freedom) if freedom > 0 else 0.0
    basis = _basis(on_points, np.mean(on_points, axis=0), matrix, model)
    normal = np.einsum("nik,nil->kl", basis, basis)
    covariance = np.linalg.inv(normal) * max(uncertainty_px, scatter) ** 2
    return Alignment(
        matrix=matrix,
        model=model,
        correlation=math.nan,
        uncertainty_px=_rms_sigma(basis, covariance),
        status="poor_match" if scatter > _POOR_RESIDUAL * uncertainty_px else "ok",
        residual_px=float(np.sqrt(np.mean(residuals**2))),
    )


def control_point_residuals(matrix: FloatArray, on_points: FloatArray, off_points: FloatArray) -> FloatArray:
    """Return the distance [px], shape (N,), of each off-band point from where ``matrix`` puts its on-band point.

    Points are (N, 2), (x, y) [px].
    """
    return np.asarray(
        np.linalg.norm(_transform(matrix, _require_points(on_points)) - _require_points(off_points), axis=1), np.float64
    )


def displacement_between(
    matrix_a: FloatArray, matrix_b: FloatArray, where: FloatArray | tuple[int, int]
) -> Displacement:
    """Return how far apart [px] two matrices (2 x 3) put on-band pixels.

    ``where`` is either points (N, 2), (x, y) [px], or the shape (rows, columns) of an image, all of whose pixels count.
    """
    points = _grid(where) if isinstance(where, tuple) else _require_points(where)
    if points.shape[0] == 0:
        raise ValueError("no points to compare the matrices at")
    squared = np.sum((_transform(matrix_a, points) - _transform(matrix_b, points)) ** 2, axis=1)
    return Displacement(math.sqrt(float(np.mean(squared))), math.sqrt(float(np.max(squared))))


def _pyramid(on: FloatImage, off: FloatImage, valid_on: BoolImage, valid_off: BoolImage) -> list[_Level]:
    """Return the levels, the coarsest first."""
    ground = _ground(off, valid_off)
    highest = int(math.log2(max(min(on.shape) / _COARSE_SIDE_PX, 1.0)))
    return [
        _Level(factor, _layer(on, valid_on, factor), _layer(off, valid_off, factor, ground))
        for factor in (2**power for power in range(highest, -1, -1))
    ]


def _usable(image: FloatImage, valid: BoolImage) -> BoolImage:
    with np.errstate(invalid="ignore"):
        return np.asarray(valid & np.isfinite(image) & (image > 0))


def _ground(image: FloatImage, valid: BoolImage) -> BoolImage:
    """Return what lies below the skyline, and one or two blocks of 8 pixels above it, shape (rows, columns).

    A plume may be as dark and as rough as terrain, but there is sky below it beside the vent, while terrain goes on to
    the image's lower edge. In each column of blocks the ground therefore ends, from below, at the first run of blocks
    of the sky's level: a quadratic surface through what ``find_sky`` finds from above. Columns without such a run,
    where the plume leaves the vent, take the line between their neighbours. Without any sky all is ground; ground on
    less than a quarter of the lower edge is none.
    """
    usable = _usable(image, valid)
    logarithm = log_intensity(image, usable)
    blocks = block_means(logarithm, logarithm, usable)
    y, x = np.mgrid[-1 : 1 : blocks.usable.shape[0] * 1j, -1 : 1 : blocks.usable.shape[1] * 1j]
    basis = np.stack([np.ones_like(x), x, y, x**2, x * y, y**2], axis=-1)
    like_sky = find_sky(blocks, image.shape)
    everything = np.ones(image.shape, np.bool_)
    for terms, tolerance in _SKY_FITS:
        if np.count_nonzero(like_sky) < 4 * basis.shape[-1]:
            return everything
        chosen = basis[..., :terms]
        level = chosen @ np.linalg.lstsq(chosen[like_sky], blocks.off[like_sky], rcond=None)[0]
        like_sky = blocks.usable & (np.abs(blocks.off - level) < tolerance)
    kernel = np.ones((_SKY_RUN, _SKY_RUN), np.uint8)
    runs = cv2.morphologyEx(like_sky.astype(np.uint8), cv2.MORPH_OPEN, kernel, borderValue=0) > 0
    has_run = np.flatnonzero(runs.any(axis=0))
    if has_run.size == 0:
        return everything
    count = runs.shape[0]
    lowest = count - 1 - np.argmax(runs[::-1], axis=0)
    lowest = np.where(lowest == count - 1, count, lowest)
    skyline = np.interp(np.arange(runs.shape[1]), has_run, lowest[has_run])
    ground = np.arange(count)[:, None] >= skyline[None, :]
    if np.mean(ground[-1]) < _GROUND_WIDTH:
        return ~everything
    return blocks_to_pixels(ground, image.shape)


def _layer(image: FloatImage, valid: BoolImage, factor: int, ground: BoolImage | None = None) -> _Layer:
    """Return a band, averaged over ``factor`` x ``factor`` pixels, high-passed; terrain is looked for on ``ground``."""
    usable = _usable(image, valid)
    known = usable.astype(np.float32)
    light = np.where(usable, image, np.float32(0)).astype(np.float32)
    if factor > 1:
        rows, columns = image.shape[0] // factor, image.shape[1] // factor
        blocks = (rows, factor, columns, factor)
        share = known[: rows * factor, : columns * factor].reshape(blocks).mean(axis=(1, 3))
        total = light[: rows * factor, : columns * factor].reshape(blocks).mean(axis=(1, 3))
        known = (share > 0.7).astype(np.float32)
        light = np.where(known > 0, total / np.maximum(share, np.float32(0.1)), np.float32(0)).astype(np.float32)
    tiny = np.float32(1e-6)
    narrow_share, wide_share = _blur(known, _NARROW_PX), _blur(known, _WIDE_PX)
    narrow = _blur(light, _NARROW_PX) / np.maximum(narrow_share, tiny)
    wide = _blur(light, _WIDE_PX) / np.maximum(wide_share, tiny)
    level = _window(_window(light, _LEVEL_WINDOW_PX), _LEVEL_WINDOW_PX)
    level /= np.maximum(_window(_window(known, _LEVEL_WINDOW_PX), _LEVEL_WINDOW_PX), tiny)
    kernel = np.ones((2 * _MARGIN_PX + 1, 2 * _MARGIN_PX + 1), np.uint8)
    mask = np.asarray(cv2.erode(known, kernel, borderType=cv2.BORDER_CONSTANT, borderValue=0), np.float32)
    mask[wide_share < 0.4] = 0
    level = np.where(level > 0, level, np.float32(1))
    detail = np.asarray((narrow - wide) / level * mask, np.float32)
    dx = np.asarray(cv2.Sobel(detail, cv2.CV_32F, 1, 0, ksize=1, scale=0.5), np.float32)
    dy = np.asarray(cv2.Sobel(detail, cv2.CV_32F, 0, 1, ksize=1, scale=0.5), np.float32)
    noise = _pixel_noise(light / level, mask) * _noise_gain()
    contrast = _window(detail**2, _GAIN_WINDOW_PX) / np.maximum(_window(mask, _GAIN_WINDOW_PX), np.float32(0.1))
    mask *= contrast > max(_TERRAIN_CONTRAST, _NOISE_FACTOR * noise) ** 2
    if ground is not None:
        middle = slice(factor // 2, None, factor)
        mask *= ground[middle, middle][: mask.shape[0], : mask.shape[1]]
    return _Layer(detail, dx * mask, dy * mask, mask)


def _blur(image: FloatImage, sigma: float) -> FloatImage:
    return np.asarray(cv2.GaussianBlur(image, (0, 0), sigma, borderType=cv2.BORDER_CONSTANT), np.float32)


def _window(image: FloatImage, size: int) -> FloatImage:
    return np.asarray(cv2.boxFilter(image, -1, (size, size), borderType=cv2.BORDER_CONSTANT), np.float32)


def _noise_gain() -> float:
    """Return the r.m.s. of the difference of Gaussians of white noise of r.m.s. 1."""
    narrow, wide = _NARROW_PX**2, _WIDE_PX**2
    return math.sqrt((1 / narrow + 1 / wide - 4 / (narrow + wide)) / (4 * math.pi))


def _pixel_noise(image: FloatImage, mask: FloatImage) -> float:
    """Return the r.m.s. of white noise, from the median of a Laplacian that sees no gradients (Immerkaer 1996)."""
    kernel = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]], np.float32) / 6
    values = np.abs(np.asarray(cv2.filter2D(image, -1, kernel), np.float32)[mask > 0])
    return 1.4826 * float(np.median(values)) if values.size else math.nan


def _compare(on: _Layer, off: _Layer, matrix: FloatArray) -> _Comparison:
    """Return the off band warped onto the on band, with the contrast factor and residual variance of each window."""
    detail = _warp(off.detail, matrix)
    mask = on.mask * (_warp(off.mask, matrix) > np.float32(0.999))
    detail *= mask
    seen = on.detail * mask
    share = np.maximum(_window(mask, _GAIN_WINDOW_PX), np.float32(0.02))
    cross = _window(seen * detail, _GAIN_WINDOW_PX)
    power = _window(detail**2, _GAIN_WINDOW_PX)
    own = _window(seen**2, _GAIN_WINDOW_PX)
    gain = cross / (power + np.float32(1e-8))
    explained = gain * cross
    variance = np.maximum(own - explained, np.float32(0)) / share
    total = float(np.sum((on.detail * on.mask).astype(np.float64) ** 2))
    return _Comparison(detail, mask, gain, variance, float(np.sum(explained, dtype=np.float64)) / max(total, 1e-30))


def _warp(image: FloatImage, matrix: FloatArray) -> FloatImage:
    size = (image.shape[1], image.shape[0])
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return np.asarray(cv2.warpAffine(image, matrix, size, flags=flags, borderMode=cv2.BORDER_CONSTANT), np.float32)


def _correlation(on: _Layer, comparison: _Comparison) -> float:
    where = comparison.mask > 0
    own = float(np.sum(on.detail[where].astype(np.float64) ** 2))
    if own <= 0:
        return math.nan
    cross = float(np.sum((comparison.gain * comparison.detail * on.detail)[where], dtype=np.float64))
    return math.sqrt(min(max(cross / own, 0.0), 1.0))


def _refine(on: _Layer, off: _Layer, matrix: FloatArray, model: TransformModel) -> _Fit:
    """Return the fit of ``matrix`` at one level, by Gauss-Newton steps from where it is."""
    rows, columns = np.nonzero(on.mask)
    sparse = 1 + rows.size // _MOST_PIXELS
    rows, columns = rows[::sparse], columns[::sparse]
    if rows.size < _FEWEST_PIXELS:
        return _Fit(matrix, np.full((_PARAMETERS[model],) * 2, np.nan), converged=False)
    points = np.stack([columns, rows], axis=1).astype(np.float64)
    shape = on.detail.shape
    corners = np.array([[0, 0], [shape[1], 0], [0, shape[0]], [shape[1], shape[0]]], np.float64)
    size = _PARAMETERS[model]
    covariance = np.full((size, size), np.nan)
    floor = np.float32((_FLOOR**2) * max(float(np.mean(on.detail[rows, columns] ** 2)), 1e-12))
    centre = _centre(shape)
    for _ in range(_STEPS):
        comparison = _compare(on, off, matrix)
        residual = (on.detail - comparison.gain * comparison.detail)[rows, columns]
        variance = (comparison.variance + floor)[rows, columns]
        weight = comparison.mask[rows, columns] / variance
        # Tukey's biweight: specks of dust and the like have no say.
        weight *= np.square(np.maximum(1 - residual**2 / (np.float32(4.685**2) * variance), np.float32(0)))
        gain = comparison.gain[rows, columns]
        slope_x = gain * _warp(off.dx, matrix)[rows, columns]
        slope_y = gain * _warp(off.dy, matrix)[rows, columns]
        basis = _basis(points, centre, matrix, model)
        design = basis[:, 0] * slope_x[:, None] + basis[:, 1] * slope_y[:, None]
        weighted = design * weight[:, None]
        normal = (design.T @ weighted).astype(np.float64)
        scores = weighted * residual[:, None]
        if not np.isfinite(normal).all() or np.linalg.cond(normal) > 1e9:
            return _Fit(matrix, covariance, converged=False)
        step = np.linalg.solve(normal, np.sum(scores, axis=0, dtype=np.float64))
        reach = _basis(corners, centre, matrix, model)
        moved = float(np.max(np.linalg.norm(reach @ step, axis=1)))
        matrix = _step(matrix, step * min(1.0, _LARGEST_STEP_PX / max(moved, 1e-12)), centre, model)
        covariance = _clustered_covariance(normal, scores, rows, columns)
        if moved < max(_CONVERGED_PX, _CONVERGED_SIGMA * _rms_sigma(reach, covariance)):
            return _Fit(matrix, covariance, converged=True)
    return _Fit(matrix, covariance, converged=False)


def _clustered_covariance(
    normal: FloatArray, scores: FloatArray, rows: npt.NDArray[np.intp], columns: npt.NDArray[np.intp]
) -> FloatArray:
    """Return the parameters' covariance from the scatter of ``scores`` (N, parameters) summed over tiles."""
    tiles = (rows // _TILE_PX) * (int(columns.max()) // _TILE_PX + 1) + columns // _TILE_PX
    sums = np.stack([np.bincount(tiles, scores[:, k]) for k in range(scores.shape[1])], axis=1)
    count = int(np.count_nonzero(np.any(sums != 0, axis=1)))
    few = count / max(count - normal.shape[0], 0.5)
    inverse = np.linalg.inv(normal)
    return np.asarray(inverse @ (sums.T @ sums) @ inverse * few, np.float64)


def _basis(points: FloatArray, centre: FloatArray, matrix: FloatArray, model: TransformModel) -> FloatArray:
    """Return how far off-band positions move per unit of each parameter, shape (N, 2, parameters).

    Parameters: shift in x and y [px]; then rotation, scale, or all four terms, about ``centre``, such that 1 moves a
    point 100 px away from it by 1 px.
    """
    from_centre = (points - centre) / 100.0
    x, y = from_centre[:, 0], from_centre[:, 1]
    one, zero = np.ones_like(x), np.zeros_like(x)
    turned = from_centre @ matrix[:, :2].T
    columns = [(one, zero), (zero, one)]
    if model == "euclidean":
        columns += [(-turned[:, 1], turned[:, 0])]
    elif model == "similarity":
        columns += [(-turned[:, 1], turned[:, 0]), (turned[:, 0], turned[:, 1])]
    elif model == "affine":
        columns += [(x, zero), (y, zero), (zero, x), (zero, y)]
    return np.stack([np.stack(column, axis=1) for column in columns], axis=2)


def _step(matrix: FloatArray, step: FloatArray, centre: FloatArray, model: TransformModel) -> FloatArray:
    """Return ``matrix`` after a step in the parameters of ``_basis``."""
    linear = matrix[:, :2]
    target = linear @ centre + matrix[:, 2] + step[:2]
    if model in ("euclidean", "similarity"):
        angle = step[2] / 100.0
        linear = _rotation(angle) @ linear
        if model == "similarity":
            linear = linear * (1 + step[3] / 100.0)
    elif model == "affine":
        linear = linear + step[2:].reshape(2, 2) / 100.0
    return np.column_stack([linear, target - linear @ centre])


def _image_uncertainty(fit: _Fit, model: TransformModel, shape: tuple[int, ...]) -> float:
    """Return 1 sigma of positions [px of the level], r.m.s. over an image of ``shape``."""
    return _rms_sigma(_basis(_grid(shape)[::_SPARSE], _centre(shape), fit.matrix, model), fit.covariance)


def _misfit(levels: list[_Level], matrix: FloatArray, model: TransformModel, shape: tuple[int, ...]) -> float:
    """Return by how much [px, r.m.s. over the image] a similarity fits better elsewhere than a stiffer ``model``.

    Zero where the two agree within three standard deviations, and for models that are no stiffer.
    """
    if model not in ("translation", "euclidean"):
        return 0.0
    level = levels[max(len(levels) - 2, 0)]
    wider = _refine(level.on, level.off, _rescale(matrix, 1 / level.factor), "similarity")
    if not wider.converged:
        return 0.0
    apart = displacement_between(_rescale(wider.matrix, level.factor), matrix, _grid(shape)[::_SPARSE]).rms_px
    doubt = level.factor * _image_uncertainty(wider, "similarity", level.on.detail.shape)
    return apart if apart > 3 * doubt else 0.0


def _rms_sigma(basis: FloatArray, covariance: FloatArray) -> float:
    variance = np.einsum("nik,kl,nil->n", basis, covariance, basis)
    return math.sqrt(max(float(np.mean(variance)), 0.0))


def _search_angles(maximum_deg: float) -> list[float]:
    steps = math.ceil(maximum_deg / _ROTATION_STEP_DEG)
    return [math.radians(maximum_deg * k / steps) for k in range(-steps, steps + 1)] if steps else [0.0]


def _search(on: _Layer, off: _Layer, maximum_shift: float, angles: list[float]) -> list[FloatArray]:
    """Return the matrices, at the layers' scale, with the highest correlation of signed and of unsigned detail.

    Unsigned detail finds its place even where the contrast of the bands has opposite signs.
    """
    shape = on.detail.shape
    # The shift of the centre is the lag turned by the angle, so that along an axis it may be a little smaller.
    reach = min(math.ceil(maximum_shift * (1 + math.sin(max(angles)))), min(shape) - 1)
    size = (
        scipy.fft.next_fast_len(shape[0] + reach, real=True),
        scipy.fft.next_fast_len(shape[1] + reach, real=True),
    )
    centre = _centre(shape)
    starts: list[FloatArray] = []
    for signed in (True, False):
        feature_on, feature_off = _feature(on, signed=signed), _feature(off, signed=signed)
        own = np.conj(scipy.fft.rfft2(feature_on, size))
        own_power = np.conj(scipy.fft.rfft2(feature_on**2, size))
        own_mask = np.conj(scipy.fft.rfft2(on.mask, size))
        total = max(math.sqrt(float(np.sum(feature_on**2)) * float(np.sum(feature_off**2))), 1e-12)
        peaks: list[tuple[float, FloatArray]] = []
        for angle in angles:
            linear = _rotation(angle)
            turn = np.column_stack([linear, centre - linear @ centre])
            turned, mask = _warp(feature_off, turn), _warp(off.mask, turn)
            cross = _lags(own * scipy.fft.rfft2(turned, size), size, reach)
            seen_on = _lags(own_power * scipy.fft.rfft2(mask, size), size, reach)
            seen_off = _lags(own_mask * scipy.fft.rfft2(turned**2, size), size, reach)
            # Correlation over the overlap times the root of the share of structure in it: little overlap proves little.
            score = cross / np.sqrt(np.maximum(np.maximum(seen_on, seen_off), 1e-3 * total) * total)
            for _ in range(2):
                row, column = np.unravel_index(int(np.argmax(score)), score.shape)
                lag = np.array([column - reach, row - reach], np.float64)
                # The turned off band at x + lag is the off band at turn(x + lag).
                matrix = np.column_stack([linear, linear @ lag + turn[:, 2]])
                peaks.append((float(score[row, column]), matrix))
                score[max(row - 3, 0) : row + 4, max(column - 3, 0) : column + 4] = -1
        peaks.sort(key=lambda peak: -peak[0])
        kept: list[FloatArray] = []
        for _, matrix in peaks:
            if all(displacement_between(matrix, other, np.array([centre])).rms_px > 4 for other in kept):
                kept.append(matrix)
            if len(kept) == _CANDIDATES:
                break
        starts += kept
    return starts


def _feature(layer: _Layer, *, signed: bool) -> FloatImage:
    """Return detail over its r.m.s. nearby, so that not the strongest edges alone count; zero mean where known."""
    contrast = _window(layer.detail**2, _SPREAD_WINDOW_PX)
    feature = layer.detail / np.sqrt(contrast + np.float32(_TERRAIN_CONTRAST**2))
    if not signed:
        feature = np.abs(feature)
        feature -= float(np.sum(feature)) / max(float(np.sum(layer.mask)), 1.0)
    return np.asarray(feature * layer.mask, np.float32)


def _lags(spectrum: npt.NDArray[np.complexfloating], size: tuple[int, int], reach: int) -> FloatArray:
    """Return a correlation at lags -reach to reach, in rows and columns."""
    values = scipy.fft.irfft2(spectrum, size)
    lags = np.arange(-reach, reach + 1)
    return np.asarray(values[np.ix_(lags, lags)], np.float64)


def _rotation(angle: float) -> FloatArray:
    cos, sin = math.cos(angle), math.sin(angle)
    return np.array([[cos, -sin], [sin, cos]])


def _rescale(matrix: FloatArray, factor: float) -> FloatArray:
    """Return a matrix between images whose pixels are ``factor`` times smaller; blocks keep their outer edges."""
    offset = np.full(2, (factor - 1) / 2)
    linear = matrix[:, :2]
    return np.column_stack([linear, factor * matrix[:, 2] + offset - linear @ offset])


def _within(matrix: FloatArray, shape: tuple[int, ...], maximum_shift_px: float, maximum_rotation_deg: float) -> bool:
    centre = _centre(shape)
    shift = _transform(matrix, centre[None])[0] - centre
    angle = math.degrees(math.atan2(matrix[1, 0] - matrix[0, 1], matrix[0, 0] + matrix[1, 1]))
    stretch = np.linalg.svd(matrix[:, :2], compute_uv=False)
    return bool(
        np.all(np.abs(shift) <= maximum_shift_px + 0.5)
        and abs(angle) <= maximum_rotation_deg + 0.1
        and np.all(np.abs(stretch - 1) < 0.2)
    )


def _centre(shape: tuple[int, ...]) -> FloatArray:
    return np.array([(shape[1] - 1) / 2, (shape[0] - 1) / 2])


def _grid(shape: tuple[int, ...]) -> FloatArray:
    """Return (x, y) of all pixels of an image, shape (rows * columns, 2)."""
    y, x = np.mgrid[: shape[0], : shape[1]].astype(np.float64)
    return np.stack([x.ravel(), y.ravel()], axis=1)


def _transform(matrix: FloatArray, points: FloatArray) -> FloatArray:
    matrix = np.asarray(matrix, np.float64)
    return np.asarray(points @ matrix[:, :2].T + matrix[:, 2], np.float64)


def _fit_points(on_points: FloatArray, off_points: FloatArray, model: TransformModel) -> FloatArray:
    mean_on, mean_off = np.mean(on_points, axis=0), np.mean(off_points, axis=0)
    from_on, from_off = on_points - mean_on, off_points - mean_off
    linear = np.eye(2)
    if model == "affine":
        linear = np.linalg.lstsq(from_on, from_off, rcond=None)[0].T
    elif model != "translation":
        # In two dimensions the optimal rotation of Horn and Umeyama is the direction of one vector.
        along = float(np.sum(from_on * from_off))
        across = float(np.sum(from_on[:, 0] * from_off[:, 1] - from_on[:, 1] * from_off[:, 0]))
        linear = _rotation(math.atan2(across, along))
        if model == "similarity":
            linear = linear * (math.hypot(along, across) / float(np.sum(from_on**2)))
    return np.column_stack([linear, mean_off - linear @ mean_on])


def _require_model(model: str) -> None:
    if model not in get_args(TransformModel):
        raise ValueError(f"unknown model {model!r}; choose one of {', '.join(get_args(TransformModel))}")


def _require_points(points: FloatArray) -> FloatArray:
    points = np.asarray(points, np.float64)
    if points.ndim != 2 or points.shape[1] != 2 or not np.isfinite(points).all():
        raise ValueError(f"points must be finite and of shape (N, 2), got shape {points.shape}")
    return points


def _require_spread(points: FloatArray, band: str, model: TransformModel) -> None:
    along, across = np.linalg.svd(points - np.mean(points, axis=0), compute_uv=False)[:2]
    if not along > 1e-6:
        raise ValueError(f"the control points in the {band} band coincide: their rotation is not determined")
    if model == "affine" and across < _COLLINEAR * along:
        raise ValueError(f"the control points in the {band} band lie on one line: an affine matrix needs more")
