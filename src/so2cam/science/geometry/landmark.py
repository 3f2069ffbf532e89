"""The viewing direction of a camera from a landmark of known place that its image shows."""

import math
from dataclasses import dataclass, replace

import numpy as np
from pyproj import Geod

from so2cam.science.geometry.camera import CameraModel, image_plane

_WGS84 = Geod(ellps="WGS84")
_EARTH_RADIUS_M = 6_371_000.0
_REFRACTION = 0.13
"""Share of the Earth's curvature that refraction makes up for, in mean air."""
Place = tuple[float, float, float]
"""Degrees north, degrees east, metres above sea level."""


@dataclass(frozen=True, slots=True)
class ViewFromLandmark:
    """The direction of the optical axis, and 1 sigma. Radians: azimuth clockwise from north, elevation upward."""

    azimuth_rad: float
    elevation_rad: float
    azimuth_uncertainty_rad: float
    elevation_uncertainty_rad: float


def landmark_direction(camera_place: Place, landmark_place: Place) -> tuple[float, float, float]:
    """Return azimuth [rad], elevation [rad] and horizontal distance [m] of a landmark on a flat Earth.

    Azimuth and distance on the WGS84 ellipsoid (Karney 2013). Raises ValueError for two equal places.
    """
    (lat0, lon0, height0), (lat1, lon1, height1) = camera_place, landmark_place
    azimuth, _, distance = _WGS84.inv(lon0, lat0, lon1, lat1)
    if distance < 1.0:
        raise ValueError("the landmark stands where the camera does")
    return math.radians(float(azimuth)), math.atan2(height1 - height0, float(distance)), float(distance)


def view_from_landmark(
    camera: CameraModel,
    camera_place: Place,
    landmark_place: Place,
    pixel: tuple[float, float],
    *,
    pixel_uncertainty_px: float,
    position_uncertainty_m: float,
) -> ViewFromLandmark:
    """Return the optical axis for which ``pixel`` (x, y) looks at the landmark.

    Optics and roll are those of ``camera``; its azimuth and elevation do not matter. Exact for a pinhole camera. The
    uncertainty follows from that of the pixel and of the place, each way, and for the elevation from the Earth's
    curvature, which the geometry of the plume leaves out as well. Raises ValueError where no axis does it, or none
    one sigma off: the pixel lies further off the axis than the landmark from the zenith, or the axis would point
    beyond the zenith.
    """
    azimuth, elevation, distance = landmark_direction(camera_place, landmark_place)

    def solve(x: float, y: float, towards: float, up: float) -> tuple[float, float]:
        right, above = (float(value) for value in image_plane(camera, np.array(x), np.array(y)))
        # The ray is (right, above, 1) along the camera's axes; its height over its length is the sine of ``up``.
        length = math.sqrt(1 + right**2 + above**2)
        reach = math.hypot(1.0, above)
        height = math.sin(up) * length / reach
        if abs(height) > 1:
            raise ValueError("the pixel lies too far from the image's centre for a landmark that high")
        axis = math.asin(height) - math.atan2(above, 1.0)
        if abs(axis) > math.pi / 2:
            raise ValueError("the camera would have to look beyond the zenith or straight below it")
        forward = math.cos(axis) - above * math.sin(axis)
        return towards - math.atan2(right, forward), axis

    found = solve(*pixel, azimuth, elevation)
    slant = position_uncertainty_m / math.hypot(distance, landmark_place[2] - camera_place[2])
    shifts = (
        ((pixel[0] + pixel_uncertainty_px, pixel[1]), azimuth, elevation),
        ((pixel[0], pixel[1] + pixel_uncertainty_px), azimuth, elevation),
        (pixel, azimuth + position_uncertainty_m / distance, elevation),
        (pixel, azimuth, elevation + slant),
    )
    turned = [solve(*where, towards, up) for where, towards, up in shifts]
    by_azimuth = math.sqrt(sum((a - found[0]) ** 2 for a, _ in turned))
    curvature = (1 - _REFRACTION) * distance / (2 * _EARTH_RADIUS_M)
    by_elevation = math.sqrt(sum((e - found[1]) ** 2 for _, e in turned) + curvature**2)
    return ViewFromLandmark(found[0] % (2 * math.pi), found[1], by_azimuth, by_elevation)


def with_view(camera: CameraModel, view: ViewFromLandmark) -> CameraModel:
    """Return ``camera`` looking along ``view``."""
    return replace(camera, azimuth_rad=view.azimuth_rad, elevation_rad=view.elevation_rad)
