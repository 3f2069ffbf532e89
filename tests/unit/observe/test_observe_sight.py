"""Where places stand as a camera sees them: against pyproj, and against the rays of the camera that science uses."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyproj import Geod, Transformer

from so2cam.core.site_camera import GeoPoint, Optics, View
from so2cam.observe.sight import direction_to, field_of_view_deg, horizon_line, pixel_of
from so2cam.science.geometry.camera import CameraModel, pixel_rays

OPTICS = Optics(width_px=648, height_px=486, pixel_pitch_um=5.6, field_of_view_deg=(28.0, 21.1))
CAMERA = GeoPoint(latitude=-38.29525, longitude=-71.51538, altitude_m=1900)
VENT = GeoPoint(latitude=-38.25, longitude=-71.5, altitude_m=2600)


def view(azimuth: float = 12.0, elevation: float = 13.5, roll: float = 0.0) -> View:
    return View(azimuth_deg=azimuth, elevation_deg=elevation, roll_deg=roll)


@given(st.floats(-80, 80), st.floats(-179, 179), st.floats(-0.2, 0.2), st.floats(-0.2, 0.2), st.floats(-400, 5000))
def test_directions_agree_with_pyproj(
    latitude: float, longitude: float, north: float, east: float, height: float
) -> None:
    here = GeoPoint(latitude=latitude, longitude=longitude, altitude_m=1000)
    there = GeoPoint(latitude=latitude + north, longitude=longitude + east, altitude_m=height)
    azimuth, _, distance = Geod(ellps="WGS84").inv(longitude, latitude, there.longitude, there.latitude)
    if distance < 1000:
        return
    seen = direction_to(here, there)
    assert math.cos(math.radians(seen.azimuth_deg - azimuth)) > math.cos(math.radians(0.02))
    centred = Transformer.from_crs("EPSG:4979", "EPSG:4978", always_xy=True)
    a = np.array(centred.transform(longitude, latitude, 1000.0))
    b = np.array(centred.transform(there.longitude, there.latitude, height))
    assert seen.distance_m == pytest.approx(float(np.linalg.norm(b - a)), rel=1e-9)
    phi, lam = math.radians(latitude), math.radians(longitude)
    up = np.array([math.cos(phi) * math.cos(lam), math.cos(phi) * math.sin(lam), math.sin(phi)])
    expected = math.degrees(math.asin(float((b - a) @ up) / seen.distance_m))
    assert seen.elevation_deg == pytest.approx(expected, abs=1e-6)


def test_one_place_has_no_direction() -> None:
    with pytest.raises(ValueError, match="same"):
        direction_to(CAMERA, CAMERA)


@given(st.floats(0, 360), st.floats(-30, 60), st.floats(-180, 180), st.floats(0, 647), st.floats(0, 485))
def test_pixels_are_those_whose_rays_look_there(
    azimuth: float, elevation: float, roll: float, x: float, y: float
) -> None:
    focal_px = OPTICS.focal_length_m / OPTICS.pixel_pitch_m
    model = CameraModel(648, 486, focal_px, *(math.radians(angle) for angle in (azimuth, elevation, roll)))
    east, north, up = pixel_rays(model, np.array([x]), np.array([y]))[0]
    towards = math.degrees(math.atan2(east, north)), math.degrees(math.asin(up))
    found = pixel_of(view(azimuth, elevation, roll), OPTICS, *towards)
    assert found == pytest.approx((x, y), abs=1e-5)


def test_what_is_behind_the_camera_has_no_pixel() -> None:
    assert pixel_of(view(), OPTICS, 192.0, 0.0) is None
    assert pixel_of(view(), OPTICS, 102.0, 0.0) is None or pixel_of(view(), OPTICS, 102.0, 0.0)[0] > 648  # type: ignore[index]


@pytest.mark.parametrize("roll", [-20.0, 0.0, 3.0])
def test_the_horizon_has_elevation_zero(roll: float) -> None:
    looking = view(elevation=4.0, roll=roll)
    ends = horizon_line(looking, OPTICS)
    assert ends is not None
    focal_px = OPTICS.focal_length_m / OPTICS.pixel_pitch_m
    model = CameraModel(648, 486, focal_px, math.radians(12.0), math.radians(4.0), math.radians(roll))
    x, y = np.array([end[0] for end in ends]), np.array([end[1] for end in ends])
    np.testing.assert_allclose(x, (0.0, 647.0))
    np.testing.assert_allclose(pixel_rays(model, x, y)[:, 2], 0.0, atol=1e-9)


def test_no_horizon_where_the_camera_looks_above_it() -> None:
    assert horizon_line(view(elevation=13.5), OPTICS) is None
    assert horizon_line(view(elevation=-13.5), OPTICS) is None


def test_the_field_of_view_is_that_of_the_lens() -> None:
    assert field_of_view_deg(OPTICS) == pytest.approx((28.0, 21.1), abs=0.2)


def test_the_vent_of_the_bench() -> None:
    seen = direction_to(CAMERA, VENT)
    assert seen.azimuth_deg == pytest.approx(15.0, abs=0.1)
    assert seen.elevation_deg == pytest.approx(math.degrees(math.atan2(700, 5200)), abs=0.1)
