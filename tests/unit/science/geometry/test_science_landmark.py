"""The viewing direction from a landmark: exact round trips, any roll, and its uncertainty by Monte Carlo."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from pyproj import Geod

from so2cam.science.geometry.camera import CameraModel, pixel_rays
from so2cam.science.geometry.landmark import (
    Place,
    ViewFromLandmark,
    landmark_direction,
    view_from_landmark,
    with_view,
)

CAMERA = CameraModel(648, 486, 1300.0, 0.0, 0.0)
HERE: Place = (-39.3774, -71.946386, 1172.0)
SUMMIT: Place = (-39.42, -71.93, 2847.0)


def place_at(azimuth_deg: float, elevation_deg: float, distance_m: float) -> Place:
    longitude, latitude, _ = Geod(ellps="WGS84").fwd(HERE[1], HERE[0], azimuth_deg, distance_m)
    return latitude, longitude, HERE[2] + distance_m * math.tan(math.radians(elevation_deg))


def view(
    pixel: tuple[float, float], landmark: Place = SUMMIT, roll_deg: float = 0.0, px: float = 3.0, m: float = 20.0
) -> ViewFromLandmark:
    camera = replace(CAMERA, roll_rad=math.radians(roll_deg))
    return view_from_landmark(camera, HERE, landmark, pixel, pixel_uncertainty_px=px, position_uncertainty_m=m)


@pytest.mark.parametrize(
    ("landmark", "azimuth_deg"),
    [
        ((HERE[0] + 0.1, HERE[1], 1172.0), 0),
        ((HERE[0] - 0.1, HERE[1], 1172.0), 180),
        (place_at(90.0, 0.0, 5000.0), 90),
        (place_at(-90.0, 0.0, 5000.0), 270),
    ],
)
def test_compass_points(landmark: Place, azimuth_deg: float) -> None:
    azimuth, elevation, _ = landmark_direction(HERE, landmark)
    assert math.degrees(azimuth) % 360 == pytest.approx(azimuth_deg, abs=1e-6)
    assert elevation == pytest.approx(0, abs=1e-9)


def test_direction_and_distance_by_hand() -> None:
    # A degree of latitude is 111.13 km there, one of longitude 111.41 km cos(latitude) (within 0.1 %).
    north, east = 111.03e3 * (SUMMIT[0] - HERE[0]), 111.41e3 * math.cos(math.radians(39.4)) * (SUMMIT[1] - HERE[1])
    azimuth, elevation, distance = landmark_direction(HERE, SUMMIT)
    assert distance == pytest.approx(math.hypot(north, east), rel=2e-3)
    assert math.degrees(azimuth) % 360 == pytest.approx(math.degrees(math.atan2(east, north)) % 360, abs=0.1)
    assert elevation == pytest.approx(math.atan((2847 - 1172) / distance))


def test_a_landmark_in_the_middle_is_where_the_camera_looks() -> None:
    azimuth, elevation, _ = landmark_direction(HERE, SUMMIT)
    for roll in (0.0, 30.0, -110.0):
        found = view((323.5, 242.5), roll_deg=roll)
        assert found.azimuth_rad == pytest.approx(azimuth % (2 * math.pi))
        assert found.elevation_rad == pytest.approx(elevation)


def test_a_landmark_right_of_the_middle_lets_the_camera_look_to_its_left() -> None:
    azimuth, elevation, _ = landmark_direction(HERE, place_at(100.0, 0.0, 4000.0))
    right = view((323.5 + 1300 * math.tan(0.1), 242.5), place_at(100.0, 0.0, 4000.0))
    assert right.azimuth_rad == pytest.approx(azimuth - 0.1)
    below = view((323.5, 242.5 + 1300 * math.tan(0.1)), place_at(100.0, 0.0, 4000.0))
    assert below.elevation_rad == pytest.approx(elevation + 0.1)
    assert below.azimuth_rad == pytest.approx(azimuth)


@given(
    x=st.floats(-200, 850),
    y=st.floats(-200, 690),
    towards=st.floats(-360, 360),
    up=st.floats(-60, 75),
    roll=st.floats(-180, 180),
    distance=st.floats(50, 80_000),
)
@settings(max_examples=200, deadline=None)
def test_the_pixel_looks_at_the_landmark(
    x: float, y: float, towards: float, up: float, roll: float, distance: float
) -> None:
    landmark = place_at(towards, up, distance)
    try:
        found = view((x, y), landmark, roll, px=0.0, m=0.0)
    except ValueError:
        assume(False)
    camera = with_view(replace(CAMERA, roll_rad=math.radians(roll)), found)
    assert camera.roll_rad == math.radians(roll)
    azimuth, elevation, _ = landmark_direction(HERE, landmark)
    expected = (
        math.cos(elevation) * math.sin(azimuth),
        math.cos(elevation) * math.cos(azimuth),
        math.sin(elevation),
    )
    np.testing.assert_allclose(pixel_rays(camera, np.array(x), np.array(y)), expected, atol=1e-9)
    assert 0 <= found.azimuth_rad <= 2 * math.pi
    assert abs(found.elevation_rad) <= math.pi / 2


@given(azimuth=st.floats(0, 359.9), elevation=st.floats(-70, 70), roll=st.floats(-180, 180))
@settings(max_examples=100, deadline=None)
def test_a_view_is_found_again_from_what_its_corner_sees(azimuth: float, elevation: float, roll: float) -> None:
    camera = replace(
        CAMERA,
        azimuth_rad=math.radians(azimuth),
        elevation_rad=math.radians(elevation),
        roll_rad=math.radians(roll),
    )
    east, north, up = (float(value) for value in pixel_rays(camera, np.array(20.0), np.array(470.0)))
    landmark = place_at(
        math.degrees(math.atan2(east, north)), math.degrees(math.atan2(up, math.hypot(east, north))), 6000.0
    )
    found = view((20.0, 470.0), landmark, roll, px=0.0, m=0.0)
    off = (math.degrees(found.azimuth_rad) - azimuth + 180) % 360 - 180
    assert off == pytest.approx(0, abs=1e-7)
    assert math.degrees(found.elevation_rad) == pytest.approx(elevation, abs=1e-7)


@pytest.mark.parametrize("roll", [0.0, 35.0])
def test_uncertainty_is_the_scatter_of_views_with_scattered_pixels_and_places(roll: float) -> None:
    rng = np.random.default_rng(3)
    pixel, px, m = (520.0, 100.0), 15.0, 40.0
    stated = view(pixel, SUMMIT, roll, px, m)
    _, _, distance = landmark_direction(HERE, SUMMIT)
    north_deg, east_deg = 1 / 111_030.0, 1 / (111_410.0 * math.cos(math.radians(39.4)))
    views = []
    for dx, dy, north, east, up in rng.normal(size=(3000, 5)):
        landmark = (SUMMIT[0] + m * north * north_deg, SUMMIT[1] + m * east * east_deg, SUMMIT[2] + m * up)
        found = view((pixel[0] + px * dx, pixel[1] + px * dy), landmark, roll, 0.0, 0.0)
        views.append((found.azimuth_rad, found.elevation_rad))
    azimuth, elevation = np.std(views, axis=0)
    curvature = 0.87 * distance / (2 * 6_371_000)
    assert stated.azimuth_uncertainty_rad == pytest.approx(azimuth, rel=0.06)
    assert stated.elevation_uncertainty_rad == pytest.approx(math.hypot(elevation, curvature), rel=0.06)


def test_the_earths_curvature_is_what_remains_of_the_elevations_uncertainty() -> None:
    far = view((323.5, 242.5), place_at(30.0, 2.0, 50_000.0), px=0.0, m=0.0)
    # 50 km away the ground lies 196 m lower, of which refraction gives back 13 %: 171 m, 0.20 degrees.
    assert math.degrees(far.elevation_uncertainty_rad) == pytest.approx(math.degrees(171 / 50_000), rel=0.01)
    assert far.azimuth_uncertainty_rad == 0


def test_the_same_place_has_no_direction() -> None:
    with pytest.raises(ValueError, match="where the camera does"):
        landmark_direction(HERE, (HERE[0], HERE[1], HERE[2] + 100))


def test_views_that_no_camera_has_are_refused() -> None:
    # Seen 12 degrees to the side, nothing is less than 12 degrees from the zenith.
    with pytest.raises(ValueError, match="too far from the image's centre"):
        view((323.5 + 1300 * math.tan(math.radians(12)), 242.5), place_at(0.0, 80.0, 500.0))
    # 8 degrees below the middle at 85 degrees: the middle lies beyond the zenith.
    with pytest.raises(ValueError, match="beyond the zenith"):
        view((323.5, 242.5 + 1300 * math.tan(math.radians(8))), place_at(0.0, 85.0, 500.0))
