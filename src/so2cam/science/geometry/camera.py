"""A pinhole camera: the directions in which its pixels look, and how large a pixel is at a distance."""

import math
from dataclasses import dataclass

import numpy as np

from so2cam.core.records import FloatArray


@dataclass(frozen=True, slots=True)
class CameraModel:
    """An ideal camera. Angles in radians: azimuth clockwise from north, elevation above the horizon, roll
    clockwise as seen in the image; ``focal_length_px`` is the focal length over the pixel pitch.
    """

    width_px: int
    height_px: int
    focal_length_px: float
    azimuth_rad: float
    elevation_rad: float
    roll_rad: float = 0.0


def image_plane(camera: CameraModel, x: FloatArray, y: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return tangents of the angles right of and above the optical axis for pixels (x, y), y downward."""
    u = (np.asarray(x, np.float64) - (camera.width_px - 1) / 2) / camera.focal_length_px
    v = ((camera.height_px - 1) / 2 - np.asarray(y, np.float64)) / camera.focal_length_px
    cos, sin = math.cos(camera.roll_rad), math.sin(camera.roll_rad)
    return u * cos + v * sin, -u * sin + v * cos


def pixel_rays(camera: CameraModel, x: FloatArray, y: FloatArray) -> FloatArray:
    """Return unit vectors (east, north, up), shape (..., 3), in which pixels (x, y) look."""
    right, above = image_plane(camera, x, y)
    sin_a, cos_a = math.sin(camera.azimuth_rad), math.cos(camera.azimuth_rad)
    sin_e, cos_e = math.sin(camera.elevation_rad), math.cos(camera.elevation_rad)
    forward = np.array([sin_a * cos_e, cos_a * cos_e, sin_e])
    to_right = np.array([cos_a, -sin_a, 0.0])
    upward = np.array([-sin_a * sin_e, -cos_a * sin_e, cos_e])
    rays = forward + right[..., None] * to_right + above[..., None] * upward
    return np.asarray(rays / np.linalg.norm(rays, axis=-1, keepdims=True))


def ray_pixels(camera: CameraModel, rays: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return the pixels (x, y) that look in directions (..., 3), (east, north, up): ``pixel_rays`` undone.

    NaN for a direction that does not lie in front of the camera; a pixel may lie outside of the image.
    """
    sin_a, cos_a = math.sin(camera.azimuth_rad), math.cos(camera.azimuth_rad)
    sin_e, cos_e = math.sin(camera.elevation_rad), math.cos(camera.elevation_rad)
    axes = np.array(
        [[sin_a * cos_e, cos_a * cos_e, sin_e], [cos_a, -sin_a, 0.0], [-sin_a * sin_e, -cos_a * sin_e, cos_e]]
    )
    forward, rightward, upward = np.moveaxis(np.asarray(rays, np.float64) @ axes.T, -1, 0)
    depth = np.where(forward > 0, forward, np.nan)
    right, above = rightward / depth, upward / depth
    cos, sin = math.cos(camera.roll_rad), math.sin(camera.roll_rad)
    u, v = right * cos - above * sin, right * sin + above * cos
    x = (camera.width_px - 1) / 2 + u * camera.focal_length_px
    return np.asarray(x), np.asarray((camera.height_px - 1) / 2 - v * camera.focal_length_px)


def off_axis_cosine(camera: CameraModel, x: FloatArray, y: FloatArray) -> FloatArray:
    """Return the cosine of the angle between the pixels' rays and the optical axis."""
    right, above = image_plane(camera, x, y)
    return np.asarray(1.0 / np.sqrt(1.0 + right**2 + above**2))


def pixel_area_m2(camera: CameraModel, x: FloatArray, y: FloatArray, distance_m: FloatArray) -> FloatArray:
    """Return the area [m2], perpendicular to the line of sight, that a pixel sees at ``distance_m``.

    A pixel's solid angle is ``cos^3(beta) / f^2`` (f in pixels): its image is tilted by beta and cos(beta)
    further away both ways.
    """
    return np.asarray(distance_m**2 * off_axis_cosine(camera, x, y) ** 3 / camera.focal_length_px**2)


def step_length_m(
    camera: CameraModel,
    x: FloatArray,
    y: FloatArray,
    distance_m: FloatArray,
    direction: tuple[float | FloatArray, float | FloatArray],
) -> FloatArray:
    """Return the length [m], perpendicular to the line of sight, of one pixel along ``direction``, a unit (x, y).

    On the axis ``d / f``. Off axis a radial step shrinks by cos^2(beta) and a tangential one by cos(beta); a
    step in between by their root sum of squares.
    """
    u = np.asarray(x, np.float64) - (camera.width_px - 1) / 2
    v = np.asarray(y, np.float64) - (camera.height_px - 1) / 2
    radius = np.hypot(u, v)
    safe = np.where(radius > 0, radius, 1.0)
    radial = np.where(radius > 0, (u * direction[0] + v * direction[1]) / safe, 0.0)
    cosine = off_axis_cosine(camera, x, y)
    factor = cosine * np.sqrt((cosine * radial) ** 2 + np.maximum(1.0 - radial**2, 0.0))
    return np.asarray(distance_m * factor / camera.focal_length_px)
