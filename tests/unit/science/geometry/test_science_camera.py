"""The pinhole camera against hand-made cases, exact solid angles and numerical derivatives."""

import math

import numpy as np
import pytest

from so2cam.core.records import FloatArray
from so2cam.science.geometry.camera import (
    CameraModel,
    image_plane,
    off_axis_cosine,
    pixel_area_m2,
    pixel_rays,
    step_length_m,
)

WIDTH, HEIGHT, FOCAL = 648, 486, 1300.0
CENTRE = ((WIDTH - 1) / 2, (HEIGHT - 1) / 2)


def camera(azimuth: float = 0.0, elevation: float = 0.0, roll: float = 0.0, focal_px: float = FOCAL) -> CameraModel:
    return CameraModel(WIDTH, HEIGHT, focal_px, math.radians(azimuth), math.radians(elevation), math.radians(roll))


def ray(model: CameraModel, x: float, y: float) -> FloatArray:
    return np.asarray(pixel_rays(model, np.array([x]), np.array([y]))[0])


def everywhere() -> tuple[FloatArray, FloatArray]:
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH].astype(np.float64)
    return x, y


@pytest.mark.parametrize(("azimuth", "elevation", "roll"), [(0, 0, 0), (175, 10, 3), (-60, 45, -90), (300, -20, 180)])
def test_rays_have_unit_length(azimuth: float, elevation: float, roll: float) -> None:
    rays = pixel_rays(camera(azimuth, elevation, roll), *everywhere())
    assert rays.shape == (HEIGHT, WIDTH, 3)
    np.testing.assert_allclose(np.linalg.norm(rays, axis=-1), 1, rtol=1e-12)


@pytest.mark.parametrize(
    ("azimuth", "elevation", "expected"),
    [
        (0, 0, (0, 1, 0)),
        (90, 0, (1, 0, 0)),
        (180, 0, (0, -1, 0)),
        (270, 0, (-1, 0, 0)),
        (37, 90, (0, 0, 1)),
        (90, 30, (math.sqrt(3) / 2, 0, 0.5)),
        (45, -45, (0.5, 0.5, -math.sqrt(0.5))),
    ],
)
@pytest.mark.parametrize("roll", [0, 25])
def test_the_centre_looks_along_the_view(
    azimuth: float, elevation: float, expected: tuple[float, float, float], roll: float
) -> None:
    np.testing.assert_allclose(ray(camera(azimuth, elevation, roll), *CENTRE), expected, atol=1e-12)


def test_a_pixel_one_focal_length_off_looks_45_degrees_off() -> None:
    model = camera(focal_px=200.0)
    half = math.sqrt(0.5)
    # Looking north: right is east, up is up, and y runs downward.
    np.testing.assert_allclose(ray(model, CENTRE[0] + 200, CENTRE[1]), (half, half, 0), atol=1e-12)
    np.testing.assert_allclose(ray(model, CENTRE[0] - 200, CENTRE[1]), (-half, half, 0), atol=1e-12)
    np.testing.assert_allclose(ray(model, CENTRE[0], CENTRE[1] - 200), (0, half, half), atol=1e-12)
    np.testing.assert_allclose(ray(model, CENTRE[0], CENTRE[1] + 200), (0, half, -half), atol=1e-12)


def test_a_tilted_camera_by_hand() -> None:
    # Looking 30 degrees up, a pixel 15 degrees above the centre looks 45 degrees up.
    model = camera(azimuth=120, elevation=30)
    above = ray(model, CENTRE[0], CENTRE[1] - FOCAL * math.tan(math.radians(15)))
    assert math.degrees(math.asin(above[2])) == pytest.approx(45)
    assert math.degrees(math.atan2(above[0], above[1])) == pytest.approx(120)


def test_a_camera_rolled_clockwise_sees_the_horizon_rise_to_the_right() -> None:
    # Turned clockwise by 90 degrees its right edge is below: what is to the right in the image is down.
    down = ray(camera(roll=90), CENTRE[0] + FOCAL, CENTRE[1])
    np.testing.assert_allclose(down, (0, math.sqrt(0.5), -math.sqrt(0.5)), atol=1e-12)
    right = ray(camera(roll=90), CENTRE[0], CENTRE[1] - FOCAL)
    np.testing.assert_allclose(right, (math.sqrt(0.5), math.sqrt(0.5), 0), atol=1e-12)


@pytest.mark.parametrize("roll", [0.0, 17.0, -80.0])
def test_roll_turns_about_the_axis(roll: float) -> None:
    x, y = everywhere()
    straight, turned = off_axis_cosine(camera(), x, y), off_axis_cosine(camera(roll=roll), x, y)
    np.testing.assert_allclose(straight, turned, rtol=1e-12)
    right, above = image_plane(camera(roll=roll), np.array([CENTRE[0] + 100.0]), np.array([CENTRE[1]]))
    assert math.degrees(math.atan2(-above[0], right[0])) == pytest.approx(roll)


def test_cosine_off_the_axis_is_that_of_the_rays() -> None:
    model = camera(50, 20, 5)
    x, y = everywhere()
    axis = ray(model, *CENTRE)
    np.testing.assert_allclose(off_axis_cosine(model, x, y), pixel_rays(model, x, y) @ axis, rtol=1e-12)


@pytest.mark.parametrize("focal_px", [400.0, 1300.0])
def test_areas_of_all_pixels_add_up_to_the_solid_angle_of_the_image(focal_px: float) -> None:
    distance = 4000.0
    area = pixel_area_m2(camera(50, 20, focal_px=focal_px), *everywhere(), np.full((HEIGHT, WIDTH), distance))
    # Rectangular pyramid of half angles a and b: 4 asin(sin a sin b).
    a, b = math.atan(WIDTH / 2 / focal_px), math.atan(HEIGHT / 2 / focal_px)
    assert area.sum() / distance**2 == pytest.approx(4 * math.asin(math.sin(a) * math.sin(b)), rel=1e-5)


@pytest.mark.parametrize("angle_deg", range(0, 180, 15))
def test_step_length_is_the_derivative_of_the_rays(angle_deg: int) -> None:
    model = camera(175, 12, 4, focal_px=600.0)
    direction = (math.cos(math.radians(angle_deg)), math.sin(math.radians(angle_deg)))
    x, y = np.meshgrid([0.0, 100.0, CENTRE[0], 647.0], [0.0, CENTRE[1], 485.0])
    h = 1e-3
    ahead = pixel_rays(model, x + h * direction[0], y + h * direction[1])
    behind = pixel_rays(model, x - h * direction[0], y - h * direction[1])
    angle = np.linalg.norm(ahead - behind, axis=-1) / (2 * h)
    distance = 3000.0 + x
    np.testing.assert_allclose(step_length_m(model, x, y, distance, direction), distance * angle, rtol=1e-6)


def test_a_pixel_on_the_axis_is_distance_over_focal_length_wide() -> None:
    x, y = np.array([CENTRE[0]]), np.array([CENTRE[1]])
    step = step_length_m(camera(), x, y, np.array([2600.0]), (0.6, 0.8))
    assert step[0] == pytest.approx(2.0)
    assert pixel_area_m2(camera(), x, y, np.array([2600.0]))[0] == pytest.approx(4.0)


def test_a_pixel_14_degrees_off_the_axis_is_6_percent_shorter_along_the_radius() -> None:
    x, y = np.array([CENTRE[0] + FOCAL * math.tan(math.radians(14))]), np.array([CENTRE[1]])
    radial = step_length_m(camera(), x, y, np.array([1300.0]), (1.0, 0.0))
    tangential = step_length_m(camera(), x, y, np.array([1300.0]), (0.0, 1.0))
    assert radial[0] == pytest.approx(math.cos(math.radians(14)) ** 2)
    assert tangential[0] == pytest.approx(math.cos(math.radians(14)))


def test_no_distance_no_size() -> None:
    x = y = np.array([10.0])
    assert np.isnan(pixel_area_m2(camera(), x, y, np.array([np.nan]))).all()
    assert np.isnan(step_length_m(camera(), x, y, np.array([np.nan]), (1.0, 0.0))).all()
