"""The vertical plane through the vent in which the plume is taken to drift, and distances to it."""

import math
from dataclasses import dataclass, replace

import numpy as np
from pyproj import Geod

from so2cam.core.records import FloatArray
from so2cam.science.geometry.camera import CameraModel, pixel_rays

_WGS84 = Geod(ellps="WGS84")


@dataclass(frozen=True, slots=True)
class PlumePlane:
    """A vertical plane through the vent, seen from the camera.

    ``vent_distance_m`` and ``vent_azimuth_rad`` are horizontal; ``normal_azimuth_rad`` is the horizontal
    direction perpendicular to the plane (that of the view for a plume perpendicular to it, which then
    ``turns_with_view`` where the viewing azimuth is uncertain).
    """

    vent_distance_m: float
    vent_azimuth_rad: float
    normal_azimuth_rad: float
    turns_with_view: bool = True


@dataclass(frozen=True, slots=True)
class DistanceUncertainty:
    """1 sigma of what the distance to the plume depends on. Angles in radians."""

    vent_distance_m: float
    view_azimuth_rad: float
    plane_azimuth_rad: float
    view_elevation_rad: float = 0.0


def vent_direction(
    camera_latitude: float, camera_longitude: float, vent_latitude: float, vent_longitude: float
) -> tuple[float, float]:
    """Return horizontal distance [m] and azimuth [rad] from camera to vent on the WGS84 ellipsoid (Karney 2013)."""
    azimuth, _, distance = _WGS84.inv(camera_longitude, camera_latitude, vent_longitude, vent_latitude)
    return float(distance), math.radians(float(azimuth))


def plume_distance_m(camera: CameraModel, plane: PlumePlane, x: FloatArray, y: FloatArray) -> FloatArray:
    """Return the distance [m] along the line of sight of pixels (x, y) to the plume's plane.

    ``d = (vent . m) / (ray . m)`` with m the plane's horizontal normal. NaN where a ray does not meet the plane
    in front of the camera (or at less than 5 degrees).
    """
    normal = np.array([math.sin(plane.normal_azimuth_rad), math.cos(plane.normal_azimuth_rad), 0.0])
    to_plane = plane.vent_distance_m * math.cos(plane.vent_azimuth_rad - plane.normal_azimuth_rad)
    along = pixel_rays(camera, x, y) @ normal
    meets = along > math.sin(math.radians(5.0))
    distance = np.full(along.shape, np.nan)
    if to_plane > 0:
        np.divide(to_plane, along, out=distance, where=meets)
    return distance


def plume_distance_uncertainty_m(
    camera: CameraModel, plane: PlumePlane, x: FloatArray, y: FloatArray, uncertainty: DistanceUncertainty
) -> FloatArray:
    """Return 1 sigma [m] of the distance to the plume at pixels (x, y), by propagation of its inputs.

    Distance to the vent, viewing azimuth (which may turn the plane too), viewing elevation and the
    plane's own azimuth (the true direction of the plume) are independent; each enters by half the difference
    of the distances at plus and minus one sigma. NaN stays NaN.
    """

    def half_difference(plus: tuple[CameraModel, PlumePlane], minus: tuple[CameraModel, PlumePlane]) -> FloatArray:
        return 0.5 * (plume_distance_m(*plus, x, y) - plume_distance_m(*minus, x, y))

    def turned(angle: float) -> tuple[CameraModel, PlumePlane]:
        return (
            replace(camera, azimuth_rad=camera.azimuth_rad + angle),
            replace(plane, normal_azimuth_rad=plane.normal_azimuth_rad + angle * plane.turns_with_view),
        )

    shift = uncertainty.vent_distance_m
    by_vent = half_difference(
        (camera, replace(plane, vent_distance_m=plane.vent_distance_m + shift)),
        (camera, replace(plane, vent_distance_m=plane.vent_distance_m - shift)),
    )
    by_view = half_difference(turned(uncertainty.view_azimuth_rad), turned(-uncertainty.view_azimuth_rad))
    tilt = uncertainty.view_elevation_rad
    by_elevation = half_difference(
        (replace(camera, elevation_rad=camera.elevation_rad + tilt), plane),
        (replace(camera, elevation_rad=camera.elevation_rad - tilt), plane),
    )
    angle = uncertainty.plane_azimuth_rad
    by_plane = half_difference(
        (camera, replace(plane, normal_azimuth_rad=plane.normal_azimuth_rad + angle)),
        (camera, replace(plane, normal_azimuth_rad=plane.normal_azimuth_rad - angle)),
    )
    return np.asarray(np.sqrt(by_vent**2 + by_view**2 + by_elevation**2 + by_plane**2))
