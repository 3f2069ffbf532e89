"""The mountain in front of the lower sky: a cone with a crater, rough and partly covered with snow.

It is an analytic function of the plume plane's coordinates, so that any camera can sample it anywhere.
"""

from typing import Final

import numpy as np

from so2cam.core.records import FloatArray, FloatImage
from so2cam.simulate.geometry import SceneGeometry

_CRATER_M: Final = 140.0
_DROP_M: Final = 420.0
_REACH_M: Final = 680.0
_ROCK: Final = 0.24
"""Brightness of bare ground, relative to the sky's level"""
_SNOW: Final = 0.62


def skyline(a: FloatArray) -> FloatArray:
    """Return the height ``z`` [m] of the skyline above the vent, at ``a`` [m]."""
    flank = np.maximum(np.abs(a) - _CRATER_M, 0.0)
    cone = -_DROP_M * (1 - np.exp(-flank / _REACH_M))
    rim = 14 * np.exp(-(((np.abs(a) - 115) / 40) ** 2)) + 4
    rough: FloatArray = np.zeros_like(a)
    for height, length, phase in ((6.0, 310.0, 0.4), (4.0, 140.0, 1.9), (2.5, 61.0, 4.0), (1.2, 27.0, 2.2)):
        rough += height * np.sin(2 * np.pi * a / length + phase)
    return np.asarray(cone + rim + rough * np.minimum(flank / 150, 1.0), np.float64)


def render_terrain(geometry: SceneGeometry, x: FloatArray, y: FloatArray) -> tuple[FloatImage, FloatImage]:
    """Return how much of each pixel is terrain (0 to 1), and its brightness relative to the sky's level.

    ``x`` and ``y``: on-band coordinates of a camera's pixels, shape (rows, columns); so are the results.
    """
    points = geometry.to_plane(x, y)
    pixel_m = geometry.pixel_angle * points.distance
    below = skyline(points.a) - points.z
    cover = np.clip(below / pixel_m + 0.5, 0, 1)
    ground = cover > 0
    brightness = np.zeros(cover.shape)
    brightness[ground] = _brightness(points.a[ground], points.z[ground], below[ground])
    return cover.astype(np.float32), brightness.astype(np.float32)


def _brightness(a: FloatArray, z: FloatArray, below: FloatArray) -> FloatArray:
    """Return the brightness of ground at (``a``, ``z``) [m], ``below`` [m] under the skyline."""
    rng = np.random.default_rng(20260115)
    rock, patches = np.zeros_like(a), np.zeros_like(a)
    for total, low, high, count in ((rock, 25.0, 250.0, 20), (patches, 90.0, 600.0, 16)):
        for _ in range(count):
            length, turn, phase = rng.uniform(low, high), rng.uniform(0, np.pi), rng.uniform(0, 2 * np.pi)
            wave = (a * np.cos(turn) + z * np.sin(turn)) * (2 * np.pi / length)
            total += np.sin(wave + phase) / np.sqrt(count / 2)
    snow_line = 1.6 - np.maximum(below, 0.0) / 60 + (z + 80) / 150
    snow = 1 / (1 + np.exp(-np.clip(5 * (patches + snow_line - 0.4), -50, 50)))
    return np.asarray(_ROCK * (1 + 0.1 * rock) * (1 - snow) + _SNOW * (1 + 0.03 * rock) * snow, np.float64)
