import math

import numpy as np
import pytest
from pyproj import Geod

from so2cam.simulate import load_scenario
from so2cam.simulate.geometry import SceneGeometry, build_geometry, registration_matrix, scene_coordinates


@pytest.fixture(scope="module")
def geometry() -> SceneGeometry:
    return build_geometry(load_scenario("baseline").view)


def test_the_camera_stands_where_the_scenario_wants_it(geometry: SceneGeometry) -> None:
    view = load_scenario("baseline").view
    azimuth, _, distance = Geod(ellps="WGS84").inv(
        geometry.camera.longitude, geometry.camera.latitude, geometry.vent.longitude, geometry.vent.latitude
    )
    assert distance == pytest.approx(view.distance_m, abs=0.01)
    assert azimuth == pytest.approx(view.vent_azimuth_deg, abs=1e-5)
    assert azimuth - geometry.azimuth_deg == pytest.approx(view.vent_right_of_centre_deg, abs=1e-4)


def test_the_vent_projects_as_east_north_up_vectors_say(geometry: SceneGeometry) -> None:
    azimuth, _, distance = Geod(ellps="WGS84").inv(
        geometry.camera.longitude, geometry.camera.latitude, geometry.vent.longitude, geometry.vent.latitude
    )
    bearing = math.radians(azimuth)
    height = geometry.vent.altitude_m - geometry.camera.altitude_m
    to_vent = np.array([distance * math.sin(bearing), distance * math.cos(bearing), height])
    az, el = math.radians(geometry.azimuth_deg), math.radians(geometry.elevation_deg)
    forward = np.array([math.sin(az) * math.cos(el), math.cos(az) * math.cos(el), math.sin(el)])
    right = np.array([math.cos(az), -math.sin(az), 0.0])
    up = np.cross(right, forward)
    scale = geometry.optics.focal_length_m / geometry.optics.pixel_pitch_m / (to_vent @ forward)
    x, y = 323.5 + scale * (to_vent @ right), 242.5 - scale * (to_vent @ up)
    found = geometry.to_image(0.0, 0.0)
    assert (float(found[0]), float(found[1])) == pytest.approx((x, y), abs=1e-6)
    points = geometry.to_plane(np.array([x]), np.array([y]))
    assert float(points.a[0]) == pytest.approx(0, abs=1e-4)
    assert float(points.z[0]) == pytest.approx(0, abs=1e-4)
    assert float(points.distance[0]) == pytest.approx(math.hypot(distance, height), rel=1e-9)


def test_plane_and_image_are_inverse(geometry: SceneGeometry) -> None:
    rng = np.random.default_rng(0)
    x, y = rng.uniform(-50, 700, 200), rng.uniform(-50, 540, 200)
    points = geometry.to_plane(x, y)
    back_x, back_y = geometry.to_image(points.a, points.z)
    np.testing.assert_allclose(back_x, x, atol=1e-8)
    np.testing.assert_allclose(back_y, y, atol=1e-8)
    np.testing.assert_allclose(np.linalg.norm(points.ray, axis=0), 1, rtol=1e-12)


def test_the_registration_matrix_turns_about_the_centre_and_shifts() -> None:
    scenario = load_scenario("baseline")
    optics = scenario.view.optics
    matrix = np.array(registration_matrix(scenario.misregistration, optics))
    np.testing.assert_allclose(matrix @ [323.5, 242.5, 1], [335.5, 233.5], atol=1e-6)
    np.testing.assert_allclose(matrix[:, :2] @ matrix[:, :2].T, np.eye(2), atol=1e-10)
    x, y = scene_coordinates(optics, registration_matrix(scenario.misregistration, optics))
    there = matrix @ np.stack([x.ravel(), y.ravel(), np.ones(x.size)])
    expected = np.mgrid[: optics.height_px, : optics.width_px][::-1].reshape(2, -1)
    np.testing.assert_allclose(there, expected, atol=1e-7)
