"""The plume's motion in the image, and its speed across a line, where it drifts with a known wind."""

import math
from dataclasses import dataclass

import numpy as np

from so2cam.core.records import FloatArray
from so2cam.science.geometry.camera import CameraModel, image_plane


@dataclass(frozen=True, slots=True)
class AcrossWind:
    """Speed of the plume across a line where it drifts with the wind. Arrays (N,), but ``motion_px_s`` (N, 2).

    ``by_speed_m_s`` and ``by_direction_m_s`` are what 1 sigma of the wind's speed, and of its direction, change. Each
    has its sign at every sample: errors of the wind are common to the line, so that they add up along it.
    """

    speed_m_s: FloatArray
    by_speed_m_s: FloatArray
    by_direction_m_s: FloatArray
    motion_px_s: FloatArray


def wind_image_motion(
    camera: CameraModel,
    x: FloatArray,
    y: FloatArray,
    distance_m: FloatArray,
    *,
    speed_m_s: float,
    towards_azimuth_rad: float,
) -> FloatArray:
    """Return the apparent motion (N, 2), (x, y) in pixels per second, of air that drifts horizontally.

    The air is that at ``distance_m`` (N,) along the rays of pixels (x, y) (N,). Exact for a pinhole camera: the time
    derivative of its projection. NaN where the distance is.
    """
    right, above = image_plane(camera, x, y)
    sin_a, cos_a = math.sin(camera.azimuth_rad), math.cos(camera.azimuth_rad)
    sin_e, cos_e = math.sin(camera.elevation_rad), math.cos(camera.elevation_rad)
    wind = speed_m_s * np.array([math.sin(towards_azimuth_rad), math.cos(towards_azimuth_rad), 0.0])
    forward = wind @ np.array([sin_a * cos_e, cos_a * cos_e, sin_e])
    rightward = wind @ np.array([cos_a, -sin_a, 0.0])
    upward = wind @ np.array([-sin_a * sin_e, -cos_a * sin_e, cos_e])
    depth = distance_m / np.sqrt(1 + right**2 + above**2)
    # With (X, Y, Z) the place along the camera's axes: d(X/Z)/dt = (X' - Z' X/Z) / Z.
    du = camera.focal_length_px * (rightward - forward * right) / depth
    dv = camera.focal_length_px * (upward - forward * above) / depth
    cos_r, sin_r = math.cos(camera.roll_rad), math.sin(camera.roll_rad)
    return np.stack([du * cos_r - dv * sin_r, -(du * sin_r + dv * cos_r)], axis=-1)


def wind_speed_across(
    camera: CameraModel,
    x: FloatArray,
    y: FloatArray,
    distance_m: FloatArray,
    normal: FloatArray,
    normal_step_m: FloatArray,
    *,
    speed_m_s: float,
    speed_uncertainty_m_s: float,
    towards_azimuth_rad: float,
    azimuth_uncertainty_rad: float,
    weight: FloatArray | None = None,
) -> AcrossWind:
    """Return the plume's speed along ``normal`` (N, 2) at a line's samples where it drifts with the wind.

    The apparent motion across the line, times what a pixel of it is worth (``normal_step_m``, as for a motion that
    was measured in the image), so that the sum of column, speed and piece of the line is the emission rate.

    A wind turned by plus or minus 1 sigma changes a sum along the line by ``S +- F``, to first order ``F`` and to
    second ``S``; ``by_direction_m_s`` is the mixture of both whose sum with ``weight`` (N,), column times piece or all
    alike, is the root mean square of the two changes.
    """

    def across(speed: float, towards: float) -> tuple[FloatArray, FloatArray]:
        motion = wind_image_motion(camera, x, y, distance_m, speed_m_s=speed, towards_azimuth_rad=towards)
        return np.sum(motion * normal, axis=1) * normal_step_m, motion

    value, motion = across(speed_m_s, towards_azimuth_rad)
    unit, _ = across(1.0, towards_azimuth_rad)
    plus, _ = across(speed_m_s, towards_azimuth_rad + azimuth_uncertainty_rad)
    minus, _ = across(speed_m_s, towards_azimuth_rad - azimuth_uncertainty_rad)
    # Where the wind crosses the view at right angles the first order vanishes or changes sign; the second does not.
    first, second = 0.5 * (plus - minus), 0.5 * (plus + minus) - value
    share = np.ones_like(value) if weight is None else weight
    sums = float(np.nansum(share * first)), float(np.nansum(share * second))
    total = math.hypot(*sums)
    by_direction = (sums[0] * first + sums[1] * second) / total if total > 0 else np.hypot(first, second)
    return AcrossWind(value, speed_uncertainty_m_s * unit, by_direction, motion)
