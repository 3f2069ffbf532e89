"""The mountain in front of the lower sky: a cone with a crater, rough and partly covered with snow; and ridges.

All are analytic functions of the direction of view, so that any camera can sample them anywhere.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np

from so2cam.core.records import FloatArray, FloatImage
from so2cam.simulate.geometry import PlanePoints, SceneGeometry
from so2cam.simulate.settings_scene import Ridge, Terrain

_CRATER_M: Final = 140.0
_DROP_M: Final = 420.0
_REACH_M: Final = 680.0
_STRAIGHT_BELOW_M: Final = -250.0
"""Below this height the flank is straight, as far as distances are concerned"""
_NEAREST: Final = 0.3
"""The flank reaches no nearer to the camera than this share of the plane's distance"""
_RIDGE_FOOT_DEG: Final = 12.0
"""A ridge falls this far below its top, away from its edge of the image"""


@dataclass(frozen=True, slots=True)
class TerrainLayer:
    """One surface as a camera sees it; arrays have the shape of the pixel coordinates, float32.

    ``cover``: how much of a pixel shows it, 0 to 1; ``brightness``: relative to the sky's level; ``distance_m``:
    along the line of sight.
    """

    cover: FloatImage
    brightness: FloatImage
    distance_m: FloatImage


@dataclass(frozen=True, slots=True)
class TerrainView:
    """All surfaces, the nearest first."""

    layers: tuple[TerrainLayer, ...]

    @property
    def cover(self) -> FloatImage:
        """How much of each pixel is terrain, 0 to 1."""
        return np.asarray(sum(layer.cover for layer in self.layers), np.float32)

    @property
    def brightness(self) -> FloatImage:
        """Brightness relative to the sky's level, mean of what a pixel shows; 0 where that is sky."""
        light = np.asarray(sum(layer.cover * layer.brightness for layer in self.layers), np.float32)
        return np.asarray(light / np.maximum(self.cover, np.float32(1e-6)), np.float32)

    @property
    def distance_m(self) -> FloatImage:
        """Distance [m] along the line of sight; NaN where a pixel is not terrain alone, all of one surface."""
        distance = np.full(self.layers[0].cover.shape, np.nan, np.float32)
        for layer in self.layers:
            whole = layer.cover > 0.999
            distance[whole] = layer.distance_m[whole]
        return distance


def skyline(a: FloatArray) -> FloatArray:
    """Return the height ``z`` [m] of the mountain's skyline above the vent, at ``a`` [m]."""
    flank = np.maximum(np.abs(a) - _CRATER_M, 0.0)
    cone = -_DROP_M * (1 - np.exp(-flank / _REACH_M))
    rim = 14 * np.exp(-(((np.abs(a) - 115) / 40) ** 2)) + 4
    rough: FloatArray = np.zeros_like(a)
    for height, length, phase in ((6.0, 310.0, 0.4), (4.0, 140.0, 1.9), (2.5, 61.0, 4.0), (1.2, 27.0, 2.2)):
        rough += height * np.sin(2 * np.pi * a / length + phase)
    return np.asarray(cone + rim + rough * np.minimum(flank / 150, 1.0), np.float64)


def cone_radius(z: FloatArray) -> FloatArray:
    """Return the radius [m] of the mountain at heights ``z`` [m] above the vent."""
    upper = _CRATER_M - _REACH_M * np.log1p(np.clip(z, _STRAIGHT_BELOW_M, 0.0) / _DROP_M)
    slope = _REACH_M / (_DROP_M + _STRAIGHT_BELOW_M)
    return np.asarray(upper + slope * np.maximum(_STRAIGHT_BELOW_M - z, 0.0), np.float64)


def render_terrain(geometry: SceneGeometry, terrain: Terrain, x: FloatArray, y: FloatArray) -> TerrainView:
    """Return the terrain as seen by pixels with on-band coordinates ``x`` and ``y``, shape (rows, columns)."""
    points = geometry.to_plane(x, y)
    open_share = np.ones(np.shape(x))
    layers = []
    for number, ridge in enumerate(sorted(terrain.ridges, key=lambda ridge: ridge.distance_m)):
        cover, brightness, distance = _ridge(geometry, terrain, ridge, points, number)
        layers.append(_layer(cover * open_share, brightness, distance))
        open_share *= 1 - cover
    pixel_m = geometry.pixel_angle * points.distance
    below = skyline(points.a) - points.z
    cover = np.clip(below / pixel_m + 0.5, 0, 1)
    ground = cover > 0
    brightness, distance = np.zeros(cover.shape), points.distance.copy()
    brightness[ground] = _brightness(terrain, points.a[ground], points.z[ground], below[ground])
    distance[ground] *= _flank(geometry, points.a[ground], points.z[ground])
    layers.append(_layer(cover * open_share, brightness, distance))
    return TerrainView(tuple(layers))


def _layer(cover: FloatArray, brightness: FloatArray, distance: FloatArray) -> TerrainLayer:
    return TerrainLayer(cover.astype(np.float32), brightness.astype(np.float32), distance.astype(np.float32))


def _flank(geometry: SceneGeometry, a: FloatArray, z: FloatArray) -> FloatArray:
    """Return how far along the ray to the plume plane, 0 to 1, it meets the mountain's flank: by bisection."""
    inside, outside = np.ones_like(a), np.full_like(a, _NEAREST)
    for _ in range(30):
        share = (inside + outside) / 2
        right = share * (a + geometry.vent_right_m) - geometry.vent_right_m
        up = share * (z + geometry.vent_up_m) - geometry.vent_up_m
        away = (1 - share) * geometry.plane_distance_m
        in_cone = right**2 + away**2 < cone_radius(up) ** 2
        inside = np.where(in_cone, share, inside)
        outside = np.where(in_cone, outside, share)
    return inside


def _ridge(
    geometry: SceneGeometry, terrain: Terrain, ridge: Ridge, points: PlanePoints, number: int
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return a ridge's cover, brightness and distance [m]."""
    azimuth = np.degrees(np.arctan2(points.ray[0], points.ray[1]))
    elevation = np.degrees(np.arcsin(points.ray[2]))
    below = ridge_top_deg(geometry, ridge, azimuth, number) - elevation
    cover = np.clip(below / np.degrees(geometry.pixel_angle) + 0.5, 0, 1)
    rock = _waves(azimuth * 60, elevation * 60, 25.0, 250.0, 12, 20260116 + number)
    brightness = terrain.rock * (1 + 0.1 * terrain.relief * rock)
    return cover, brightness, ridge.distance_m / np.cos(np.radians(elevation))


def ridge_top_deg(geometry: SceneGeometry, ridge: Ridge, azimuth_deg: FloatArray, number: int) -> FloatArray:
    """Return the elevation [deg] of a ridge's top at azimuths [deg] from the viewing azimuth, of their shape."""
    edge = np.degrees(np.arctan(geometry.optics.width_px / 2 * geometry.pixel_angle))
    from_edge = edge - azimuth_deg if ridge.side == "right" else edge + azimuth_deg
    top = ridge.height_deg - _RIDGE_FOOT_DEG * (1 - np.exp(-((from_edge / ridge.width_deg) ** 2)))
    for height, length, phase in ((0.16, 3.7, 0.3), (0.08, 1.3, 2.0), (0.04, 0.47, 4.1)):
        top = top + height * np.sin(2 * np.pi * from_edge / length + phase + number)
    return np.asarray(top, np.float64)


def _waves(a: FloatArray, z: FloatArray, low: float, high: float, count: int, seed: int) -> FloatArray:
    """Return a random pattern of unit variance: plane waves of lengths from ``low`` to ``high``."""
    rng = np.random.default_rng(seed)
    total = np.zeros_like(a)
    for _ in range(count):
        length, turn, phase = rng.uniform(low, high), rng.uniform(0, np.pi), rng.uniform(0, 2 * np.pi)
        wave = (a * np.cos(turn) + z * np.sin(turn)) * (2 * np.pi / length)
        total += np.sin(wave + phase) / np.sqrt(count / 2)
    return total


def _brightness(terrain: Terrain, a: FloatArray, z: FloatArray, below: FloatArray) -> FloatArray:
    """Return the brightness of ground at (``a``, ``z``) [m], ``below`` [m] under the skyline."""
    rock = _waves(a, z, 25.0, 250.0, 20, 20260115)
    bare = terrain.rock * (1 + 0.1 * terrain.relief * rock)
    if terrain.snow_cover == 0:
        return np.asarray(bare, np.float64)
    patches = _waves(a, z, 90.0, 600.0, 16, 20260117)
    snow_line = 1.6 - np.maximum(below, 0.0) / 60 + (z + 80) / 150 + 28 * (terrain.snow_cover - 0.5)
    snow = 1 / (1 + np.exp(-np.clip(5 * (patches + snow_line - 0.4), -50, 50)))
    return np.asarray(bare * (1 - snow) + terrain.snow * (1 + 0.03 * terrain.relief * rock) * snow, np.float64)
