"""Where the lines of sight of a camera meet the ground: distances of terrain from a model of its heights.

Rays are followed through a bilinear surface in steps that cannot pass through it: the clearance above the ground over
the steepest slope that there is bounds the way to the next intersection (sphere tracing, Hart 1996); the last step is
bisected. The Earth's curvature and refraction lower the ground at the horizontal distance g by ``g^2 (1 - k) / (2 R)``
(k = 0.13, the surveyor's standard refraction).
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import IntEnum
from typing import Any, Final, NamedTuple, TypeVar, cast

import numba
import numpy as np
import numpy.typing as npt

from so2cam.core.records import FloatArray
from so2cam.core.terrain import TerrainGrid
from so2cam.science.geometry.camera import CameraModel, pixel_rays

EARTH_RADIUS_M: Final = 6_371_000.0
REFRACTION: Final = 0.13
_BISECTIONS: Final = 30

Function = TypeVar("Function", bound=Callable[..., Any])


def _compiled(function: Function) -> Function:
    """Compile with numba, kept on disk where there is a place for it."""
    try:
        made: Any = numba.njit(cache=True, nogil=True, error_model="numpy")(function)
    except RuntimeError:  # no folder that numba can write to
        made = numba.njit(nogil=True, error_model="numpy")(function)
    return cast(Function, made)


class RayStatus(IntEnum):
    """What became of a ray."""

    TERRAIN = 0
    SKY = 1
    """It rises above all known ground of the model."""
    LEFT_MODEL = 2
    """It leaves the model below its highest ground, so that what it meets is unknown."""
    NO_DATA = 3
    """It reaches ground whose height is unknown."""
    BURIED = 4
    """It starts below the ground: the camera's altitude and the model do not agree."""


@dataclass(frozen=True, slots=True)
class TerrainView:
    """Distances [m] along lines of sight, NaN unless ``status`` is TERRAIN; each of the shape of the rays asked for."""

    distance_m: FloatArray
    status: npt.NDArray[np.int8]


class ViewUncertainty(NamedTuple):
    """1 sigma of what distances of terrain depend on: the viewing direction [rad] and the camera's height [m]."""

    azimuth_rad: float
    elevation_rad: float
    roll_rad: float = 0.0
    height_m: float = 0.0


@dataclass(frozen=True, slots=True)
class TerrainDistances:
    """Distances of terrain and their uncertainty at pixels, all of the pixels' shape; NaN unless TERRAIN.

    ``patterns_m`` (4, ...) are the signed shifts by azimuth, elevation, roll and height at 1 sigma, each common to all
    pixels; ``uncertainty_m`` is their root sum of squares. NaN too where a shifted ray meets no terrain: the skyline.
    """

    distance_m: FloatArray
    uncertainty_m: FloatArray
    patterns_m: FloatArray
    status: npt.NDArray[np.int8]


def bilinear(heights_m: FloatArray, row: FloatArray, column: FloatArray) -> FloatArray:
    """Return heights at fractional (row, column), of their shape, bilinear; NaN outside and next to unknown ones."""
    rows, columns = heights_m.shape
    row, column = np.asarray(row, np.float64), np.asarray(column, np.float64)
    inside = (row >= 0) & (row <= rows - 1) & (column >= 0) & (column <= columns - 1)
    at_row, at_column = np.where(inside, row, 0.0), np.where(inside, column, 0.0)
    r = np.minimum(at_row.astype(np.intp), rows - 2)
    c = np.minimum(at_column.astype(np.intp), columns - 2)
    dr, dc = at_row - r, at_column - c
    upper = heights_m[r, c] * (1 - dc) + heights_m[r, c + 1] * dc
    lower = heights_m[r + 1, c] * (1 - dc) + heights_m[r + 1, c + 1] * dc
    return np.where(inside, upper * (1 - dr) + lower * dr, np.nan)


def height_at(grid: TerrainGrid, east_m: FloatArray, north_m: FloatArray) -> FloatArray:
    """Return the ground's height [m] at places relative to the camera; NaN outside of the model."""
    row = (np.asarray(north_m, np.float64) - grid.north_m) / grid.step_m
    column = (np.asarray(east_m, np.float64) - grid.east_m) / grid.step_m
    return bilinear(grid.heights_m, row, column)


def terrain_along_rays(
    grid: TerrainGrid,
    rays: FloatArray,
    *,
    start_m: float = 50.0,
    maximum_m: float = 60_000.0,
    refraction: float = REFRACTION,
) -> TerrainView:
    """Return where unit vectors ``rays`` (..., 3), (east, north, up) at the camera, first meet the ground.

    Ground closer than ``start_m`` is not looked for (the model does not know what the camera stands on); a ray that is
    below the ground there is BURIED. Raises ValueError where the grid has fewer than 2 x 2 heights or none is known.
    """
    heights = np.ascontiguousarray(grid.heights_m, np.float64)
    if heights.ndim != 2 or min(heights.shape) < 2 or not np.isfinite(heights).any():
        raise ValueError("a terrain model needs 2 x 2 heights or more, of which some are known")
    vectors = np.asarray(rays, np.float64)
    flat = np.ascontiguousarray(vectors.reshape(-1, 3))
    distance, status = _march(
        heights,
        (grid.east_m, grid.north_m, grid.step_m, grid.camera_altitude_m),
        flat,
        (start_m, maximum_m, (1 - refraction) / (2 * EARTH_RADIUS_M)),
        _steepest(heights, grid.step_m),
        float(np.nanmax(heights)),
    )
    shape = vectors.shape[:-1]
    return TerrainView(distance.reshape(shape), status.reshape(shape))


def terrain_distances(
    grid: TerrainGrid,
    camera: CameraModel,
    x: FloatArray,
    y: FloatArray,
    uncertainty: ViewUncertainty,
    *,
    start_m: float = 50.0,
    maximum_m: float = 60_000.0,
) -> TerrainDistances:
    """Return the distances of terrain at pixels (x, y) and their uncertainty from the view's, by finite differences.

    Each cause enters by half the difference of the distances at plus and minus 1 sigma, or by the whole difference on
    one side where the other meets no terrain.
    """

    def distance(view: CameraModel, raised: float = 0.0) -> TerrainView:
        moved = replace(grid, camera_altitude_m=grid.camera_altitude_m + raised)
        return terrain_along_rays(moved, pixel_rays(view, x, y), start_m=start_m, maximum_m=maximum_m)

    middle = distance(camera)
    patterns = np.zeros((4, *middle.distance_m.shape))
    for row, name in enumerate(("azimuth_rad", "elevation_rad", "roll_rad")):
        angle = getattr(uncertainty, name)
        if angle > 0:
            sides = [
                distance(replace(camera, **{name: getattr(camera, name) + sign * angle})).distance_m for sign in (1, -1)
            ]
            patterns[row] = _half_difference(middle.distance_m, sides[0], sides[1])
    if uncertainty.height_m > 0:
        sides = [distance(camera, sign * uncertainty.height_m).distance_m for sign in (1, -1)]
        patterns[3] = _half_difference(middle.distance_m, sides[0], sides[1])
    hit = middle.status == RayStatus.TERRAIN
    patterns[:, ~hit] = np.nan
    total = np.sqrt(np.sum(patterns**2, axis=0))
    return TerrainDistances(middle.distance_m, total, patterns, middle.status)


def pixels_along(points: tuple[tuple[float, float], ...], *, step_px: float = 1.0) -> tuple[FloatArray, FloatArray]:
    """Return (x, y), each (N,), of pixels along a polyline, evenly ``step_px`` apart and with both of its ends.

    A single point gives itself. Raises ValueError for none.
    """
    if not points:
        raise ValueError("a line needs a point")
    corners = np.asarray(points, np.float64)
    along = np.concatenate([[0.0], np.cumsum(np.hypot(*np.diff(corners, axis=0).T))])
    count = max(math.ceil(along[-1] / step_px), 1) + 1 if along[-1] > 0 else 1
    at = np.linspace(0.0, along[-1], count)
    return np.interp(at, along, corners[:, 0]), np.interp(at, along, corners[:, 1])


def values_along(points: tuple[tuple[float, float], ...], values: tuple[float, ...], at: FloatArray) -> FloatArray:
    """Return what is given at a polyline's points, linear along it, at ``at`` pixels (N,) evenly from end to end.

    ``at`` counts from 0 to 1 over the line's length.
    """
    corners = np.asarray(points, np.float64)
    along = np.concatenate([[0.0], np.cumsum(np.hypot(*np.diff(corners, axis=0).T))])
    return np.asarray(np.interp(np.asarray(at) * along[-1], along, np.asarray(values, np.float64)))


@dataclass(frozen=True, slots=True)
class Skyline:
    """The skyline of a model as seen from the camera: elevation [rad] and distance [m] by azimuth, each (N,)."""

    azimuth_rad: FloatArray
    elevation_rad: FloatArray
    distance_m: FloatArray


def skyline(
    grid: TerrainGrid,
    azimuth_rad: FloatArray,
    *,
    start_m: float = 50.0,
    maximum_m: float = 60_000.0,
    refraction: float = REFRACTION,
) -> Skyline:
    """Return the highest apparent elevation of the ground at each azimuth (N,); NaN where there is no ground.

    Compared with the skyline in an image it tells whether the viewing direction is right.
    """
    azimuth = np.ascontiguousarray(azimuth_rad, np.float64)
    elevation, distance = _highest(
        np.ascontiguousarray(grid.heights_m, np.float64),
        (grid.east_m, grid.north_m, grid.step_m, grid.camera_altitude_m),
        azimuth,
        (start_m, maximum_m, (1 - refraction) / (2 * EARTH_RADIUS_M)),
    )
    return Skyline(azimuth, elevation, distance)


def _half_difference(middle: FloatArray, plus: FloatArray, minus: FloatArray) -> FloatArray:
    both = 0.5 * (plus - minus)
    one = np.where(np.isfinite(plus), plus - middle, middle - minus)
    return np.where(np.isfinite(both), both, one)


def _steepest(heights: FloatArray, step_m: float) -> float:
    """Return a bound of the slope of the bilinear surface in any direction."""
    across = np.abs(np.diff(heights, axis=1))
    along = np.abs(np.diff(heights, axis=0))
    high = [float(np.nanmax(part)) if np.isfinite(part).any() else 0.0 for part in (across, along)]
    return math.hypot(*high) / step_m


@_compiled
def _height(heights: FloatArray, row: float, column: float) -> float:
    """Return the bilinear height; infinity outside of the model, NaN where unknown."""
    rows, columns = heights.shape
    if not (0 <= row <= rows - 1 and 0 <= column <= columns - 1):
        return np.inf
    r, c = min(int(row), rows - 2), min(int(column), columns - 2)
    dr, dc = row - r, column - c
    upper = heights[r, c] * (1 - dc) + heights[r, c + 1] * dc
    lower = heights[r + 1, c] * (1 - dc) + heights[r + 1, c + 1] * dc
    return float(upper * (1 - dr) + lower * dr)


@_compiled
def _march(
    heights: FloatArray,
    place: tuple[float, float, float, float],
    rays: FloatArray,
    limits: tuple[float, float, float],
    steepest: float,
    highest: float,
) -> tuple[FloatArray, npt.NDArray[np.int8]]:
    """Return distances (N,) and statuses (N,) of rays (N, 3)."""
    east, north, cell, altitude = place
    start, maximum, bend = limits
    count = rays.shape[0]
    distance = np.full(count, np.nan)
    status = np.full(count, 1, np.int8)
    for i in range(count):
        e, n, up = rays[i, 0], rays[i, 1], rays[i, 2]
        level2 = e * e + n * n
        level = math.sqrt(level2)
        if not (math.isfinite(level2) and math.isfinite(up)):
            status[i] = 2
            continue
        smallest = 0.25 * cell / max(level, 1e-3)
        s, before = start, start
        while True:
            z = altitude + s * up + bend * level2 * s * s
            falls = -(up + 2 * bend * level2 * s)
            if z > highest:
                if falls <= 0:
                    break  # above everything, and rising
                if s > maximum:
                    status[i] = 2
                    break
                before = s
                s += max((z - highest) / falls, smallest)
                continue
            ground = _height(heights, (s * n - north) / cell, (s * e - east) / cell)
            if ground == np.inf or s > maximum:
                status[i] = 2
                break
            if math.isnan(ground):  # it may stand as high as the highest
                status[i] = 3
                break
            clearance = z - ground
            if clearance <= 0:
                if s == start:
                    status[i] = 4
                    break
                low, high = before, s
                for _ in range(_BISECTIONS):
                    middle = 0.5 * (low + high)
                    z = altitude + middle * up + bend * level2 * middle * middle
                    ground = _height(heights, (middle * n - north) / cell, (middle * e - east) / cell)
                    if z > ground:
                        low = middle
                    else:
                        high = middle
                distance[i] = 0.5 * (low + high)
                status[i] = 0
                break
            before = s
            # A falling ray nears the ground by at most its slope and the steepest slope together.
            s += max(clearance / (steepest * level + max(-up, 0.0) + 1e-9), smallest)
    return distance, status


@_compiled
def _highest(
    heights: FloatArray,
    place: tuple[float, float, float, float],
    azimuth: FloatArray,
    limits: tuple[float, float, float],
) -> tuple[FloatArray, FloatArray]:
    """Return the highest elevation and its distance, each (N,)."""
    east, north, cell, altitude = place
    start, maximum, bend = limits
    elevation, distance = np.full(azimuth.size, np.nan), np.full(azimuth.size, np.nan)
    for i in range(azimuth.size):
        e, n = math.sin(azimuth[i]), math.cos(azimuth[i])
        best = -np.inf
        g = start
        while g <= maximum:
            ground = _height(heights, (g * n - north) / cell, (g * e - east) / cell)
            if ground == np.inf:
                break
            slope = (ground - bend * g * g - altitude) / g
            if slope > best:
                best = slope
                elevation[i] = math.atan(slope)
                distance[i] = g / math.cos(elevation[i])
            g += 0.25 * cell
    return elevation, distance
