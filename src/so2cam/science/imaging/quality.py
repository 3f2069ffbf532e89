"""What makes a pair of images doubtful: cloud, sun, a plume that leaves the image or drifts along the view, staleness.

Each test is a pure function that returns what it measured beside its verdict, and has its thresholds by name.
"""

import math
from typing import Final, NamedTuple

import cv2
import numpy as np

from so2cam.core.records import BoolImage, Counts, FloatArray, FloatImage
from so2cam.science.geometry.camera import CameraModel, pixel_rays

CLOUD_UNEVENNESS: Final = 0.01
"""Robust scatter of sky blocks about a quadratic surface [optical depth] above which there is cloud: clear
sky of an off band has 0.002 (Villarrica)"""
CLOUD_CHANGE: Final = 0.005
"""Robust scatter of the change of sky blocks between two pairs about a plane [optical depth]: drift is a plane"""
PLUME_ABSORBANCE: Final = 0.05
"""Absorbance of a block above which it is plume and not cloud, which is nearly white"""
PLUME_MARGIN: Final = 4
"""Blocks around the plume that are left out with it: aerosol reaches beyond where SO2 is clearly seen"""
CLOUD_JUMP: Final = 0.04
"""Change of the off-band sky's level between two pairs [optical depth], beyond what the sun's way explains"""
DRIFT_PER_S: Final = 2e-4
"""Fastest change of a clear sky's level [optical depth per second]: near sunrise and sunset"""
SUN_MARGIN_RAD: Final = math.radians(1.0)
"""The sun counts as in view this far off the image: its disc and halo are larger than its centre"""
GLARE_ANGLE_RAD: Final = math.radians(15.0)
"""Closer than this to the image the sun lights up lens and window"""
BORDER_PX: Final = 8.0
"""A line whose end lies this close to the image's border cannot show that the plume ends there"""
END_SHARE: Final = 0.1
"""Column at such an end over the line's highest, above which the plume goes on outside"""
END_SIGMA: Final = 3.0
"""and this many sigma above the plume-free sky"""
ALONG_VIEW_RAD: Final = math.radians(30.0)
"""Angle between view and plume plane below which the distance depends strongly on the wind's direction"""
STALE_SHARE: Final = 0.999
"""Share of equal counts, of pixels neither saturated nor at zero, above which a frame is the one before again"""
FEWEST_BLOCKS: Final = 12


class CloudCheck(NamedTuple):
    """What the sky blocks show, in optical depth; NaN where it cannot be told. ``cloudy`` if any of them is too large.

    ``unevenness``: of the sky now; ``change``: of its shape since the pair before; ``jump``: of its level since then,
    less what drift explains.
    """

    unevenness: float
    change: float
    jump: float
    cloudy: bool


class SunView(NamedTuple):
    """The sun's angle [rad] to the nearest direction that the image shows (0 inside), and what follows."""

    angle_rad: float
    in_view: bool
    glare: bool


def beside_plume(absorbance: FloatArray, sky: BoolImage, structure: float) -> BoolImage:
    """Return which blocks of sky are clear of the plume, whether there are clouds on them or not.

    ``absorbance`` (rows, columns) of blocks above the fitted sky, whose unevenness is ``structure``. Blocks that the
    fit left out as plume do not serve here: it leaves out clouds as well.
    """
    plume = sky & (absorbance > max(PLUME_ABSORBANCE, 5 * structure))
    side = 2 * PLUME_MARGIN + 1
    wide = cv2.dilate(
        plume.astype(np.uint8), np.ones((side, side), np.uint8), borderType=cv2.BORDER_CONSTANT, borderValue=0
    )
    return np.asarray(sky & (wide == 0))


def sky_blocks(
    log_intensity: FloatImage | FloatArray, sky: BoolImage, *, blocks: tuple[int, int] = (12, 16)
) -> FloatArray:
    """Return means of ``log_intensity`` (rows, columns) over ``sky`` in a grid of ``blocks``; NaN below half sky.

    The logarithm of DN s-1, so that a change of exposure is none of the sky. Raises ValueError where the image has
    fewer pixels than blocks.
    """
    rows, columns = log_intensity.shape
    if rows < blocks[0] or columns < blocks[1]:
        raise ValueError(f"{blocks} blocks need a larger image than {log_intensity.shape}")
    good = sky & np.isfinite(log_intensity)
    row, column = np.arange(rows) * blocks[0] // rows, np.arange(columns) * blocks[1] // columns
    label = row[:, None] * blocks[1] + column[None, :]
    size = blocks[0] * blocks[1]
    count = np.bincount(label[good], minlength=size)
    total = np.bincount(label[good], log_intensity[good].astype(np.float64), minlength=size)
    whole = np.bincount(label.ravel(), minlength=size)
    out = np.full(size, np.nan)
    np.divide(total, count, out=out, where=2 * count >= whole)
    return out.reshape(blocks)


def check_clouds(
    blocks: FloatArray, noise: float, previous: FloatArray | None = None, interval_s: float = math.nan
) -> CloudCheck:
    """Return whether there is cloud in the background, by blocks of the off band's sky (rows, columns).

    ``noise`` is 1 sigma of a block's mean (pixel noise); it is taken out. ``previous`` are the blocks ``interval_s``
    earlier. The off band is used for it shows cloud and hardly SO2. With fewer than 12 blocks nothing can be told.
    """
    unevenness = _scatter(blocks, 2, noise)
    change, jump = math.nan, math.nan
    if previous is not None and interval_s > 0:
        difference = blocks - previous
        change = _scatter(difference, 1, noise * math.sqrt(2))
        known = np.isfinite(difference)
        if known.sum() >= FEWEST_BLOCKS:
            jump = max(abs(float(np.median(difference[known]))) - DRIFT_PER_S * interval_s, 0.0)
    cloudy = unevenness > CLOUD_UNEVENNESS or change > CLOUD_CHANGE or jump > CLOUD_JUMP
    return CloudCheck(unevenness, change, jump, bool(cloudy))


def _scatter(blocks: FloatArray, order: int, noise: float) -> float:
    """Return the robust scatter about a polynomial surface, less noise; NaN with too few blocks."""
    y, x = (axis / max(size - 1, 1) * 2 - 1 for axis, size in zip(np.indices(blocks.shape), blocks.shape, strict=True))
    known = np.isfinite(blocks)
    design = np.stack([x[known] ** i * y[known] ** j for i in range(order + 1) for j in range(order + 1 - i)], axis=1)
    if known.sum() < max(FEWEST_BLOCKS, 2 * design.shape[1]):
        return math.nan
    values = blocks[known]
    weight = np.ones(values.size)
    residual = values
    for _ in range(10):  # least absolute residuals: a cloud in a corner must stand out, not bend the surface
        root = np.sqrt(weight)
        found = np.linalg.lstsq(design * root[:, None], values * root, rcond=None)[0]
        residual = values - design @ found
        weight = 1 / np.maximum(np.abs(residual), max(noise, 1e-4))
    # The mean square of what is left, with single blocks (birds, dust) cut off at five times the median.
    size = np.abs(residual)
    cut = np.minimum(size, 5 * max(float(np.median(size)), noise, 1e-4))
    freedom = values.size / (values.size - design.shape[1])
    return math.sqrt(max(float(np.mean(cut**2)) * freedom - noise**2, 0.0))


def check_sun(camera: CameraModel, sun_azimuth_rad: float, sun_elevation_rad: float) -> SunView:
    """Return how far the sun is from the image. Below the horizon it is neither in view nor glaring.

    Angles clockwise from north and above the horizon. NaN gives NaN and no flag.
    """
    sun = np.array(
        [
            math.sin(sun_azimuth_rad) * math.cos(sun_elevation_rad),
            math.cos(sun_azimuth_rad) * math.cos(sun_elevation_rad),
            math.sin(sun_elevation_rad),
        ]
    )
    if not np.isfinite(sun).all():
        return SunView(math.nan, False, False)
    across, down = np.linspace(-0.5, camera.width_px - 0.5, 81), np.linspace(-0.5, camera.height_px - 0.5, 61)
    x = np.concatenate([across, across, np.full(61, across[0]), np.full(61, across[-1])])
    y = np.concatenate([np.full(81, down[0]), np.full(81, down[-1]), down, down])
    border = pixel_rays(camera, x, y)
    angle = float(np.min(np.arctan2(np.linalg.norm(np.cross(border, sun), axis=1), border @ sun)))
    if _is_inside(camera, sun):
        angle = 0.0
    up = sun_elevation_rad > 0
    return SunView(angle, up and angle < SUN_MARGIN_RAD, up and angle < GLARE_ANGLE_RAD)


def _is_inside(camera: CameraModel, direction: FloatArray) -> bool:
    """Return whether a direction lies in the image: on the inner side of the planes through its four sides."""
    right, bottom = camera.width_px - 0.5, camera.height_px - 0.5
    corners = pixel_rays(camera, np.array([-0.5, right, right, -0.5]), np.array([-0.5, -0.5, bottom, bottom]))
    middle = corners.sum(axis=0)
    normals = np.cross(corners, np.roll(corners, -1, axis=0))
    return bool(np.all((normals @ direction) * (normals @ middle) >= 0))


class PlumeExtent(NamedTuple):
    """Column at a line's ends that lie at the image's border, over the line's highest (0 where none does)."""

    end_share: float
    leaves: bool


def check_plume_extent(
    column: FloatArray,
    x: FloatArray,
    y: FloatArray,
    shape: tuple[int, int],
    noise: float,
    *,
    structure: float = 0.0,
    end_fraction: float = 0.12,
) -> PlumeExtent:
    """Return whether the plume on a line goes on beyond the image.

    ``column`` (N,) along the line at pixels (x, y), against the sky's own zero and not the line's baseline, NaN where
    masked; ``noise`` its 1 sigma, independent from sample to sample, ``structure`` that of the sky, which all samples
    of an end share. Absorbance will do as well. Only an end within 8 px of the border of an image of ``shape`` (rows,
    columns) can be cut off. NaN and no flag where an end at the border has no valid sample.
    """
    position = np.linspace(0, 1, column.size)
    peak = float(np.nanmax(column)) if np.isfinite(column).any() else math.nan
    share, leaves = 0.0, False
    for end, inside in ((0, position <= end_fraction), (-1, position >= 1 - end_fraction)):
        to_border = min(x[end], y[end], shape[1] - 1 - x[end], shape[0] - 1 - y[end])
        if to_border > BORDER_PX:
            continue
        values = column[inside & np.isfinite(column)]
        if not values.size or not peak > 0:
            return PlumeExtent(math.nan, False)
        mean = float(values.mean())
        share = max(share, mean / peak)
        leaves |= mean > END_SHARE * peak and mean > END_SIGMA * math.hypot(noise / math.sqrt(values.size), structure)
    return PlumeExtent(share, leaves)


class PlumeAngle(NamedTuple):
    """Angle [rad] between a line of sight and the plume's vertical plane, 0 along it, pi/2 across, and the verdict."""

    angle_rad: float
    along_view: bool


def check_plume_angle(plane_normal_azimuth_rad: float, view_azimuth_rad: float) -> PlumeAngle:
    """Return whether the plume drifts nearly towards the camera or away from it: plane within 30 degrees of the view.

    The distance's relative error is then more than 1.7 times that of the wind's direction. NaN gives no flag.
    """
    angle = math.asin(min(abs(math.cos(plane_normal_azimuth_rad - view_azimuth_rad)), 1.0))
    return PlumeAngle(angle, angle < ALONG_VIEW_RAD)


def is_stale(
    counts: Counts,
    previous: Counts,
    *,
    saturation_dn: float,
    share: float = STALE_SHARE,
) -> bool:
    """Return whether ``counts`` (rows, columns) are those of the frame before: a camera that hangs, a file copied.

    Noise makes two exposures of the same scene differ in most pixels. Those that are saturated or 0 in both do not
    count, and where no other is left nothing is said. Frames of different shapes differ.
    """
    if counts.shape != previous.shape:
        return False
    # Some rows are enough to see that too many of all pixels differ.
    _, differing = _compare(counts[::16], previous[::16], saturation_dn)
    if differing > (1 - share) * counts.size:
        return False
    telling, differing = _compare(counts, previous, saturation_dn)
    return telling > 0 and telling - differing >= share * telling


def _compare(counts: Counts, previous: Counts, saturation_dn: float) -> tuple[int, int]:
    """Return how many pixels are neither saturated nor at 0 in both frames, and how many of those differ."""
    telling = ~(((counts == 0) & (previous == 0)) | ((counts >= saturation_dn) & (previous >= saturation_dn)))
    return int(np.count_nonzero(telling)), int(np.count_nonzero((counts != previous) & telling))
