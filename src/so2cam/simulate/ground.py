"""What a user would know of the ground in the image: lines over dark terrain, and a terrain model.

The model is an ESRI ASCII grid in degrees of WGS84: the cone of the mountain, and each ridge as a wall whose face is
at the ridge's distance. Light dilution can be found with either.
"""

import math
from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
from pyproj import Geod

from so2cam.core.records import FloatArray
from so2cam.simulate.geometry import SceneGeometry
from so2cam.simulate.scene import Scene
from so2cam.simulate.settings_scene import Terrain
from so2cam.simulate.terrain import cone_radius, ridge_top_deg

_MARGIN_PX: Final = 7
"""Lines keep this far from the edges of what they lie on"""
_POINTS: Final = 7
_CELL_M: Final = 25.0
_WALL_M: Final = 150.0
"""Depth of a ridge"""
_FLOOR_BELOW_CAMERA_M: Final = 30.0
_WGS84: Final = Geod(ellps="WGS84")


@dataclass(frozen=True, slots=True)
class GroundLine:
    """A line over one surface: ``points`` (x, y) of the on-band image, and the distance [m] along the sight of each."""

    name: str
    points: tuple[tuple[float, float], ...]
    distances_m: tuple[float, ...]


def ground_lines(scene: Scene) -> tuple[GroundLine, ...]:
    """Return a line over each surface that is large enough in the on-band image, from its top to its foot."""
    lines = []
    layers = scene.cameras[0].terrain.layers
    for number, layer in enumerate(layers):
        whole = np.pad((layer.cover > 0.999).astype(np.uint8), 1)
        depth = cv2.distanceTransform(whole, cv2.DIST_L2, 5)[1:-1, 1:-1]
        inside = depth > _MARGIN_PX
        heights = inside.sum(axis=0)
        if heights.max() < 3 * _POINTS:
            continue
        column = int(np.median(np.flatnonzero(heights == heights.max())))
        rows = np.flatnonzero(inside[:, column])
        rows = rows[np.unique(np.linspace(0, rows.size - 1, _POINTS).round().astype(int))]
        name = "mountain" if number == len(layers) - 1 else f"ridge-{number + 1}"
        distances = tuple(round(float(layer.distance_m[row, column]), 1) for row in rows)
        lines.append(GroundLine(name, tuple((float(column), float(row)) for row in rows), distances))
    return tuple(lines)


def format_terrain_model(geometry: SceneGeometry, terrain: Terrain) -> str:
    """Return the text of an ESRI ASCII grid: heights above sea level [m], to a decimetre."""
    reach = 1.25 * geometry.plane_distance_m
    vent, camera = geometry.vent, geometry.camera
    metre = 1 / (math.radians(1) * 6_371_000.0)
    step = _CELL_M * metre
    squeeze = math.cos(math.radians(camera.latitude))
    west, east = sorted((camera.longitude, vent.longitude))
    south, north = sorted((camera.latitude, vent.latitude))
    aside = 0.45 * reach * metre
    west, east = west - aside / squeeze, east + aside / squeeze
    south, north = south - aside, north + aside
    columns, rows = math.ceil((east - west) / step), math.ceil((north - south) / step)
    longitudes = west + step * (np.arange(columns) + 0.5)
    latitudes = south + step * (rows - np.arange(rows) - 0.5)
    longitude, latitude = np.meshgrid(longitudes, latitudes)
    heights = _heights(geometry, terrain, longitude, latitude)
    lines = [f"ncols {columns}", f"nrows {rows}", f"xllcorner {west:.8f}", f"yllcorner {south:.8f}"]
    lines += [f"cellsize {step:.10f}", "NODATA_value -9999"]
    lines += [" ".join(f"{height:.1f}" for height in row) for row in heights]
    return "\n".join(lines) + "\n"


def _heights(geometry: SceneGeometry, terrain: Terrain, longitude: FloatArray, latitude: FloatArray) -> FloatArray:
    camera, vent = geometry.camera, geometry.vent
    _, _, radius = _WGS84.inv(
        np.full(longitude.shape, vent.longitude), np.full(longitude.shape, vent.latitude), longitude, latitude
    )
    floor = camera.altitude_m - _FLOOR_BELOW_CAMERA_M
    steps = np.arange(floor - vent.altitude_m - 400.0, 1.0)
    heights = vent.altitude_m + np.interp(-radius, -cone_radius(steps), steps, left=steps[0], right=0.0)
    heights = np.maximum(heights, floor)
    azimuth, _, distance = _WGS84.inv(
        np.full(longitude.shape, camera.longitude), np.full(longitude.shape, camera.latitude), longitude, latitude
    )
    bearing = (azimuth - geometry.azimuth_deg + 180) % 360 - 180
    for number, ridge in enumerate(sorted(terrain.ridges, key=lambda ridge: ridge.distance_m)):
        top = ridge_top_deg(geometry, ridge, bearing, number)
        wall = camera.altitude_m + ridge.distance_m * np.tan(np.radians(top))
        there = (np.abs(bearing) < 60) & (distance >= ridge.distance_m) & (distance < ridge.distance_m + _WALL_M)
        heights = np.where(there, np.maximum(heights, wall), heights)
    return np.asarray(heights, np.float64)
