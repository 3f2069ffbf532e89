"""Where things stand as a camera sees them: direction and distance of a place, and the pixel in which it is.

Light enough for the instrument, exact enough for aiming: directions are those between two places on the WGS84 ellipsoid
with its curvature and without refraction (0.01 degrees at 10 km); the camera is a pinhole.
"""

import math
from dataclasses import dataclass
from typing import Final

from so2cam.core.site_camera import GeoPoint, Optics, View

_SEMI_MAJOR_M: Final = 6_378_137.0
_FLATTENING: Final = 1 / 298.257223563
_ECCENTRICITY2: Final = _FLATTENING * (2 - _FLATTENING)
_NEAREST_M: Final = 1.0
_Vector = tuple[float, float, float]


@dataclass(frozen=True, slots=True)
class Direction:
    """Where a place is seen: azimuth from true north and elevation [degrees], straight distance [m]."""

    azimuth_deg: float
    elevation_deg: float
    distance_m: float


def direction_to(observer: GeoPoint, target: GeoPoint) -> Direction:
    """Return where ``target`` is seen from ``observer``. Raises ValueError for two equal places.

    Heights above sea level are taken as heights above the ellipsoid: their difference is what matters.
    """
    a, b = _earth_centred(observer), _earth_centred(target)
    dx, dy, dz = (end - start for start, end in zip(a, b, strict=True))
    phi, lam = math.radians(observer.latitude), math.radians(observer.longitude)
    east = -math.sin(lam) * dx + math.cos(lam) * dy
    outward = math.cos(lam) * dx + math.sin(lam) * dy
    north = -math.sin(phi) * outward + math.cos(phi) * dz
    up = math.cos(phi) * outward + math.sin(phi) * dz
    distance = math.hypot(east, north, up)
    if distance < _NEAREST_M:
        raise ValueError("the two places are the same")
    return Direction(
        math.degrees(math.atan2(east, north)) % 360.0, math.degrees(math.atan2(up, math.hypot(east, north))), distance
    )


def pixel_of(view: View, optics: Optics, azimuth_deg: float, elevation_deg: float) -> tuple[float, float] | None:
    """Return the pixel (x, y) of the stored image that looks in a direction; None where that is behind the camera."""
    turn = math.radians(azimuth_deg - view.azimuth_deg)
    height, tilt = math.radians(elevation_deg), math.radians(view.elevation_deg)
    forward = math.sin(height) * math.sin(tilt) + math.cos(height) * math.cos(turn) * math.cos(tilt)
    if forward <= 1e-6:
        return None
    right = math.cos(height) * math.sin(turn) / forward
    above = (math.sin(height) * math.cos(tilt) - math.cos(height) * math.cos(turn) * math.sin(tilt)) / forward
    roll = math.radians(view.roll_deg)
    u = right * math.cos(roll) - above * math.sin(roll)
    v = right * math.sin(roll) + above * math.cos(roll)
    focal_px = optics.focal_length_m / optics.pixel_pitch_m
    return (optics.width_px - 1) / 2 + focal_px * u, (optics.height_px - 1) / 2 - focal_px * v


def horizon_line(view: View, optics: Optics) -> tuple[tuple[float, float], tuple[float, float]] | None:
    """Return where the horizontal plane crosses the left and right edge of the image; None where it does not.

    It is a straight line in a pinhole's image: through any two of its points.
    """
    one = pixel_of(view, optics, view.azimuth_deg - 5.0, 0.0)
    other = pixel_of(view, optics, view.azimuth_deg + 5.0, 0.0)
    if one is None or other is None or abs(other[0] - one[0]) < 1e-6:
        return None
    slope = (other[1] - one[1]) / (other[0] - one[0])
    last = optics.width_px - 1
    ends = tuple((x, one[1] + slope * (x - one[0])) for x in (0.0, float(last)))
    if all(y < 0 for _, y in ends) or all(y > optics.height_px - 1 for _, y in ends):
        return None
    return ends[0], ends[1]


def field_of_view_deg(optics: Optics) -> tuple[float, float]:
    """Return the full angles across and down [degrees]."""
    half = optics.pixel_pitch_m / (2 * optics.focal_length_m)
    return (
        2 * math.degrees(math.atan(optics.width_px * half)),
        2 * math.degrees(math.atan(optics.height_px * half)),
    )


def _earth_centred(place: GeoPoint) -> _Vector:
    phi, lam = math.radians(place.latitude), math.radians(place.longitude)
    radius = _SEMI_MAJOR_M / math.sqrt(1 - _ECCENTRICITY2 * math.sin(phi) ** 2)
    across = (radius + place.altitude_m) * math.cos(phi)
    up = (radius * (1 - _ECCENTRICITY2) + place.altitude_m) * math.sin(phi)
    return across * math.cos(lam), across * math.sin(lam), up
