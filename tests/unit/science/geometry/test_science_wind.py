"""The wind in the image: against moved points, and emission rates of sheets of known mass."""

import math

import numpy as np
import pytest

from so2cam.core.records import FloatArray, PlumeLine
from so2cam.science.emission.lines import LineSamples, line_samples
from so2cam.science.geometry.camera import CameraModel, pixel_rays
from so2cam.science.geometry.plume import DistanceUncertainty, PlumePlane
from so2cam.science.geometry.wind import AcrossWind, wind_image_motion, wind_speed_across

SIGMA = DistanceUncertainty(0.0, 0.0, math.radians(1.0))
VIEWS = [(0, 0, 0), (171.3, 19, 0), (270, 20, 12), (45, -30, -95), (300, 60, 170)]


def camera(azimuth_deg: float, elevation_deg: float, roll_deg: float = 0.0) -> CameraModel:
    angles = (math.radians(angle) for angle in (azimuth_deg, elevation_deg, roll_deg))
    return CameraModel(648, 486, 1300.0, *angles)


def projected(model: CameraModel, places: FloatArray) -> FloatArray:
    """Return pixels (N, 2) of places (N, 3) east, north and up of the camera, by axes that turn one after another."""
    a, e, r = model.azimuth_rad, model.elevation_rad, model.roll_rad
    level = np.array([[math.cos(a), -math.sin(a), 0], [math.sin(a), math.cos(a), 0], [0, 0, 1]])
    tilt = np.array([[1, 0, 0], [0, math.cos(e), math.sin(e)], [0, -math.sin(e), math.cos(e)]])
    roll = np.array([[math.cos(r), 0, -math.sin(r)], [0, 1, 0], [math.sin(r), 0, math.cos(r)]])
    right, forward, up = roll @ tilt @ level @ places.T
    return np.stack([323.5 + 1300 * right / forward, 242.5 - 1300 * up / forward], axis=-1)


@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize("towards_deg", [0, 80, 171.3, 250])
def test_motion_is_that_of_points_that_are_moved(view: tuple[float, float, float], towards_deg: float) -> None:
    model = camera(*view)
    rng = np.random.default_rng(1)
    x, y, distance = rng.uniform(0, 647, 60), rng.uniform(0, 485, 60), rng.uniform(300, 9000, 60)
    places = pixel_rays(model, x, y) * distance[:, None]
    np.testing.assert_allclose(projected(model, places), np.stack([x, y], axis=-1), atol=1e-8)
    towards = math.radians(towards_deg)
    step = 0.01 * 7.5 * np.array([math.sin(towards), math.cos(towards), 0.0])
    moved = (projected(model, places + step) - projected(model, places - step)) / 0.02
    motion = wind_image_motion(model, x, y, distance, speed_m_s=7.5, towards_azimuth_rad=towards)
    np.testing.assert_allclose(motion, moved, rtol=1e-6, atol=1e-6)


def test_motion_by_hand() -> None:
    # Looking north from 2600 m, 10 m/s to the east are 5 px/s to the right; to the north they are none.
    middle = np.array([323.5]), np.array([242.5]), np.array([2600.0])
    east = wind_image_motion(camera(0, 0), *middle, speed_m_s=10.0, towards_azimuth_rad=math.pi / 2)
    np.testing.assert_allclose(east, [[5.0, 0.0]], atol=1e-12)
    north = wind_image_motion(camera(0, 0), *middle, speed_m_s=10.0, towards_azimuth_rad=0.0)
    np.testing.assert_allclose(north, 0, atol=1e-12)
    # A camera that looks up sees what drifts away from it sink.
    sinks = wind_image_motion(camera(0, 45), *middle, speed_m_s=10.0, towards_azimuth_rad=0.0)
    assert sinks[0, 1] == pytest.approx(5 * math.sin(math.radians(45)))


def test_no_distance_no_motion() -> None:
    motion = wind_image_motion(
        camera(0, 0), np.zeros(2), np.zeros(2), np.array([np.nan, 10.0]), speed_m_s=3.0, towards_azimuth_rad=1.0
    )
    assert np.isnan(motion[0]).all()
    assert np.isfinite(motion[1]).all()


def across(
    model: CameraModel,
    samples: LineSamples,
    towards_deg: float,
    speed: float = 8.0,
    *,
    sigma_deg: float = 10.0,
    weight: FloatArray | None = None,
) -> AcrossWind:
    return wind_speed_across(
        model,
        samples.x,
        samples.y,
        samples.distance_m,
        samples.normal,
        samples.normal_step_m,
        speed_m_s=speed,
        speed_uncertainty_m_s=1.5,
        towards_azimuth_rad=math.radians(towards_deg),
        azimuth_uncertainty_rad=math.radians(sigma_deg),
        weight=weight,
    )


def sheet(
    model: CameraModel, drift_deg: float, line: PlumeLine, *, vent_m: float = 5000.0, vent_deg: float = 0.0
) -> tuple[LineSamples, FloatArray]:
    """Return a line through a thin upright sheet that drifts along itself, and its slant columns [1e-3 kg m-2].

    The sheet stands through the vent along the drift. Its columns across itself are a Gaussian of height, 150 m wide,
    peak 1e-3 kg m-2, centred at 1200 m; a slanting ray passes more of it, by the angle to the sheet's normal.
    """
    normal = math.radians(drift_deg + 90)
    if math.cos(normal - math.radians(vent_deg)) < 0:
        normal += math.pi
    samples = line_samples(line, model, PlumePlane(vent_m, math.radians(vent_deg), normal, False), SIGMA)
    rays = pixel_rays(model, samples.x, samples.y)
    height = samples.distance_m * rays[:, 2]
    upright = np.exp(-0.5 * ((height - 1200) / 150) ** 2)
    return samples, upright / np.abs(rays @ np.array([math.sin(normal), math.cos(normal), 0.0]))


TRUE_RATE = 8.0 * 150 * math.sqrt(2 * math.pi)


@pytest.mark.parametrize("drift_deg", [90, 270, 120, 60, 240], ids=str)
@pytest.mark.parametrize("ends", [((330.0, 20.0), (330.0, 480.0)), ((120.0, 30.0), (300.0, 470.0))])
@pytest.mark.parametrize("roll_deg", [0.0, 9.0])
def test_a_sheet_of_known_mass_has_its_emission_rate(
    drift_deg: float, ends: tuple[tuple[float, float], tuple[float, float]], roll_deg: float
) -> None:
    """Seen from ahead and 30 degrees obliquely, off the axis, tilted and rolled: it is exact."""
    model = camera(0, 13, roll_deg)
    for normal in ((1.0, 0.0), (-1.0, 0.0)):
        samples, column = sheet(model, drift_deg, PlumeLine.straight("line", *ends, normal))
        rate = float(np.sum(column * across(model, samples, drift_deg).speed_m_s * samples.piece_m))
        sign = math.copysign(1, math.sin(math.radians(drift_deg)) * normal[0])
        assert rate == pytest.approx(sign * TRUE_RATE, rel=2e-4)


def test_the_wind_turned_round_turns_the_sign() -> None:
    model = camera(0, 13)
    samples, _ = sheet(model, 120, PlumeLine.straight("line", (300.0, 20.0), (300.0, 480.0), (1.0, 0.0)))
    there, back = across(model, samples, 120.0), across(model, samples, 300.0)
    np.testing.assert_allclose(there.speed_m_s, -back.speed_m_s, rtol=1e-9)
    np.testing.assert_allclose(there.motion_px_s, -back.motion_px_s, rtol=1e-9, atol=1e-12)
    assert (there.speed_m_s > 0).all()


def test_speed_counts_in_proportion() -> None:
    model = camera(171.3, 19)
    samples, _ = sheet(
        model, 80, PlumeLine.straight("line", (273.0, 236.0), (408.0, 101.0), (-0.7, -0.7)), vent_deg=171.3
    )
    base, faster = across(model, samples, 80.0), across(model, samples, 80.0, 9.5)
    np.testing.assert_allclose(faster.speed_m_s - base.speed_m_s, base.by_speed_m_s, rtol=1e-9)
    still = across(model, samples, 80.0, 0.0)
    np.testing.assert_array_equal(still.speed_m_s, 0)
    np.testing.assert_allclose(still.by_speed_m_s, base.by_speed_m_s, rtol=1e-12)
    np.testing.assert_array_equal(still.by_direction_m_s, 0)


@pytest.mark.parametrize("towards_deg", [30, 60, 90, 100, 260])
def test_direction_counts_as_much_as_the_wind_turned_either_way(towards_deg: float) -> None:
    model = camera(0, 13)
    samples, column = sheet(model, 80, PlumeLine.straight("line", (30.0, 240.0), (610.0, 250.0), (0.0, 1.0)))
    weight = column * samples.piece_m
    value = across(model, samples, towards_deg, weight=weight)
    changes = [
        float(np.sum(weight * (across(model, samples, towards_deg + turn).speed_m_s - value.speed_m_s)))
        for turn in (10.0, -10.0)
    ]
    found = float(np.sum(weight * value.by_direction_m_s))
    assert found == pytest.approx(math.sqrt((changes[0] ** 2 + changes[1] ** 2) / 2), rel=1e-9)


def test_a_wind_at_right_angles_to_the_view_is_uncertain_to_second_order() -> None:
    # Along a line across the whole image the first order has either sign, and cancels; what is lost of the wind by
    # turning it 10 degrees is 1.5 %.
    model = camera(0, 0)
    points = ((323.5, 100.0), (323.5, 300.0))
    samples, _ = sheet(model, 90, PlumeLine.straight("upright", *points, (1.0, 0.0)))
    upright = across(model, samples, 90.0)
    lost = 8 * (1 - math.cos(math.radians(10)))
    np.testing.assert_allclose(np.abs(upright.by_direction_m_s), lost, rtol=1e-6)
    steep = PlumeLine.straight("slanting", (23.5, 50.0), (623.5, 400.0), (1.0, 0.0))
    samples, _ = sheet(model, 90, steep)
    slanting = across(model, samples, 90.0)
    mean = float(np.mean(slanting.by_direction_m_s) / np.mean(slanting.speed_m_s))
    assert abs(mean) == pytest.approx(lost / 8, rel=0.1)


def test_a_direction_that_is_known_costs_nothing() -> None:
    model = camera(0, 13)
    samples, _ = sheet(model, 80, PlumeLine.straight("line", (300.0, 20.0), (300.0, 480.0), (1.0, 0.0)))
    np.testing.assert_array_equal(across(model, samples, 80.0, sigma_deg=0.0).by_direction_m_s, 0)
