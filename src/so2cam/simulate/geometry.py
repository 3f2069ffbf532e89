"""The camera's view of the plume plane: pixels to metres in the plane, and back.

The plume lies in the vertical plane through the vent, perpendicular to the viewing azimuth. Coordinates in it are
``a``, horizontal to the right as seen from the camera, and ``z``, upward, both in metres from the vent. The earth is
flat between camera and vent. Distances and azimuths are those of the geodesic on the WGS84 ellipsoid.
"""

import math
from dataclasses import dataclass

import numpy as np
from pyproj import Geod

from so2cam.core.records import FloatArray
from so2cam.core.site import GeoPoint, Optics, Point
from so2cam.simulate.scenario import Misregistration, Viewpoint

Matrix = tuple[tuple[float, float, float], tuple[float, float, float]]
"""An affine mapping of (x, y, 1), two rows of three."""

_WGS84 = Geod(ellps="WGS84")


@dataclass(frozen=True, slots=True)
class PlanePoints:
    """Where rays hit the plume plane. All arrays have the shape of the pixel coordinates given.

    ``a`` and ``z`` [m]; ``distance`` [m] from the camera along the ray; ``ray`` the unit ray as (right, away, up),
    shape (3, ...); its second component is the cosine between ray and plane normal.
    """

    a: FloatArray
    z: FloatArray
    distance: FloatArray
    ray: FloatArray


@dataclass(frozen=True, slots=True)
class SceneGeometry:
    """A camera that looks at a vent. Angles in radians, lengths in metres."""

    camera: GeoPoint
    vent: GeoPoint
    azimuth_deg: float
    elevation_deg: float
    optics: Optics
    vent_right_m: float
    """The vent's place right of the image centre's azimuth"""
    plane_distance_m: float
    """Distance of the plume plane along the viewing azimuth"""
    vent_up_m: float

    @property
    def pixel_angle(self) -> float:
        """Pixel pitch over focal length: metres at a metre's distance, in the image's centre."""
        return self.optics.pixel_pitch_m / self.optics.focal_length_m

    @property
    def centre(self) -> Point:
        """(x, y) of the image's centre [px]."""
        return (self.optics.width_px - 1) / 2, (self.optics.height_px - 1) / 2

    def to_plane(self, x: FloatArray, y: FloatArray) -> PlanePoints:
        """Return where the rays of on-band pixels (``x`` right, ``y`` down; any common shape) hit the plume plane."""
        across = (np.asarray(x, np.float64) - self.centre[0]) * self.pixel_angle
        down = (np.asarray(y, np.float64) - self.centre[1]) * self.pixel_angle
        tilt = math.radians(self.elevation_deg)
        away = math.cos(tilt) + down * math.sin(tilt)
        up = math.sin(tilt) - down * math.cos(tilt)
        reach = self.plane_distance_m / away
        norm = np.sqrt(across**2 + down**2 + 1.0)
        return PlanePoints(
            a=reach * across - self.vent_right_m,
            z=reach * up - self.vent_up_m,
            distance=reach * norm,
            ray=np.stack([across, away, up]) / norm,
        )

    def to_image(self, a: FloatArray | float, z: FloatArray | float) -> tuple[FloatArray, FloatArray]:
        """Return the on-band pixel coordinates (x, y) of points (``a``, ``z``) [m] of the plume plane."""
        right = np.asarray(a, np.float64) + self.vent_right_m
        up = np.asarray(z, np.float64) + self.vent_up_m
        tilt = math.radians(self.elevation_deg)
        depth = self.plane_distance_m * math.cos(tilt) + up * math.sin(tilt)
        rise = up * math.cos(tilt) - self.plane_distance_m * math.sin(tilt)
        return (
            self.centre[0] + right / depth / self.pixel_angle,
            self.centre[1] - rise / depth / self.pixel_angle,
        )


def build_geometry(view: Viewpoint) -> SceneGeometry:
    """Return the geometry of ``view``, from the camera's rounded position as the site file will hold it."""
    longitude, latitude, _ = _WGS84.fwd(view.vent.longitude, view.vent.latitude, _azimuth_back(view), view.distance_m)
    camera = GeoPoint(latitude=round(latitude, 8), longitude=round(longitude, 8), altitude_m=view.camera_altitude_m)
    vent_azimuth, _, distance = _WGS84.inv(camera.longitude, camera.latitude, view.vent.longitude, view.vent.latitude)
    azimuth = round((vent_azimuth - view.vent_right_of_centre_deg) % 360, 5)
    bearing = math.radians(vent_azimuth - azimuth)
    return SceneGeometry(
        camera=camera,
        vent=view.vent,
        azimuth_deg=azimuth,
        elevation_deg=view.elevation_deg,
        optics=view.optics,
        vent_right_m=distance * math.sin(bearing),
        plane_distance_m=distance * math.cos(bearing),
        vent_up_m=view.vent.altitude_m - view.camera_altitude_m,
    )


def _azimuth_back(view: Viewpoint) -> float:
    """Return the azimuth [deg] from vent to camera that makes the one from camera to vent as wanted."""
    back = view.vent_azimuth_deg + 180.0
    for _ in range(4):
        longitude, latitude, _ = _WGS84.fwd(view.vent.longitude, view.vent.latitude, back, view.distance_m)
        seen, _, _ = _WGS84.inv(longitude, latitude, view.vent.longitude, view.vent.latitude)
        back -= math.remainder(seen - view.vent_azimuth_deg, 360.0)
    return back


def registration_matrix(misregistration: Misregistration, optics: Optics) -> Matrix:
    """Return the matrix that takes (x, y, 1) of an on-band pixel to the (x, y) of the same scene in the off band."""
    angle = math.radians(misregistration.rotation_deg)
    cos, sin = math.cos(angle), math.sin(angle)
    cx, cy = (optics.width_px - 1) / 2, (optics.height_px - 1) / 2
    shift_x = cx - cos * cx + sin * cy + misregistration.shift_px[0]
    shift_y = cy - sin * cx - cos * cy + misregistration.shift_px[1]
    return (
        (round(cos, 12), round(-sin, 12), round(shift_x, 9)),
        (round(sin, 12), round(cos, 12), round(shift_y, 9)),
    )


def scene_coordinates(optics: Optics, matrix: Matrix | None) -> tuple[FloatArray, FloatArray]:
    """Return the on-band coordinates (x, y), each (rows, columns), that a camera's pixels see.

    ``matrix`` takes on-band pixels to this camera's; None for the on-band camera itself.
    """
    y, x = np.mgrid[: optics.height_px, : optics.width_px].astype(np.float64)
    if matrix is None:
        return x, y
    full = np.array(matrix, np.float64)
    inverse = np.linalg.inv(full[:, :2])
    x, y = x - full[0, 2], y - full[1, 2]
    return inverse[0, 0] * x + inverse[0, 1] * y, inverse[1, 0] * x + inverse[1, 1] * y
