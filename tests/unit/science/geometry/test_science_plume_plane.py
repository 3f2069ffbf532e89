"""Distances to the plume's plane, by hand and by Monte Carlo."""

import math
from dataclasses import replace

import numpy as np
import pytest

from so2cam.science.geometry.camera import CameraModel
from so2cam.science.geometry.plume import (
    DistanceUncertainty,
    PlumePlane,
    plume_distance_m,
    plume_distance_uncertainty_m,
    vent_direction,
)

CENTRE = np.array([323.5]), np.array([242.5])


def camera(azimuth_deg: float = 0.0, elevation_deg: float = 0.0, focal_px: float = 1300.0) -> CameraModel:
    return CameraModel(648, 486, focal_px, math.radians(azimuth_deg), math.radians(elevation_deg))


def plane(distance: float, vent_deg: float = 0.0, normal_deg: float = 0.0) -> PlumePlane:
    return PlumePlane(distance, math.radians(vent_deg), math.radians(normal_deg))


def test_distance_on_the_axis_is_that_of_the_vent() -> None:
    assert plume_distance_m(camera(), plane(5000.0), *CENTRE)[0] == pytest.approx(5000.0)


def test_a_view_upward_is_longer_by_the_cosine_of_its_elevation() -> None:
    assert plume_distance_m(camera(0, 30), plane(5000.0), *CENTRE)[0] == pytest.approx(
        5000 / math.cos(math.radians(30))
    )


def test_a_vent_beside_the_view_is_nearer_in_its_direction() -> None:
    # The plane is perpendicular to the view; the vent stands 10 degrees to the right.
    distance = plume_distance_m(camera(40), plane(5000.0, 50, 40), *CENTRE)[0]
    assert distance == pytest.approx(5000 * math.cos(math.radians(10)))


def test_an_oblique_plane_by_the_sine_rule() -> None:
    # Plane through the vent straight ahead, its normal turned by 30 degrees; a ray 10 degrees to the right.
    x = np.array([323.5 + 1300 * math.tan(math.radians(10))])
    distance = plume_distance_m(camera(), plane(5000.0, 0, 30), x, CENTRE[1])[0]
    assert distance == pytest.approx(5000 * math.sin(math.radians(60)) / math.sin(math.radians(110)))


def test_points_at_these_distances_lie_in_one_upright_plane_through_the_vent() -> None:
    model, wall = camera(175, 15, 500.0), plane(6000.0, 172, 160)
    y, x = np.mgrid[0:486:27, 0:648:27].astype(float)
    # The rays once more, from angles instead of vectors.
    right, above = (x - 323.5) / 500, (242.5 - y) / 500
    e = math.radians(15)
    horizontal, up = math.cos(e) - above * math.sin(e), math.sin(e) + above * math.cos(e)
    azimuth = math.radians(175) + np.arctan2(right, horizontal)
    elevation = np.arctan2(up, np.hypot(right, horizontal))
    distance = plume_distance_m(model, wall, x, y)
    east, north = (distance * np.cos(elevation) * f(azimuth) for f in (np.sin, np.cos))
    vent = 6000 * math.sin(math.radians(172)), 6000 * math.cos(math.radians(172))
    off = (east - vent[0]) * math.sin(math.radians(160)) + (north - vent[1]) * math.cos(math.radians(160))
    assert np.isfinite(distance).all()
    assert np.abs(off).max() < 1e-6


@pytest.mark.parametrize(
    ("model", "wall"),
    [
        (camera(0, 0), plane(5000.0, 0, 90)),
        (camera(180, 0), plane(5000.0, 0, 0)),
        (camera(0, 90), plane(5000.0, 0, 0)),
        (camera(0, 0), plane(5000.0, 120, 0)),
    ],
    ids=["along the plane", "away from it", "to the zenith", "the plane lies behind"],
)
def test_a_ray_that_does_not_meet_the_plane_has_no_distance(model: CameraModel, wall: PlumePlane) -> None:
    assert np.isnan(plume_distance_m(model, wall, *CENTRE)).all()
    sigma = DistanceUncertainty(50.0, 0.01, 0.01)
    assert np.isnan(plume_distance_uncertainty_m(model, wall, *CENTRE, sigma)).all()


def test_uncertainty_of_the_vents_distance_passes_in_full() -> None:
    sigma = plume_distance_uncertainty_m(camera(), plane(5000.0), *CENTRE, DistanceUncertainty(50.0, 0.0, 0.0))
    assert sigma[0] == pytest.approx(50.0)


def test_no_uncertainty_in_none_out() -> None:
    sigma = plume_distance_uncertainty_m(camera(), plane(5000.0), *CENTRE, DistanceUncertainty(0.0, 0.0, 0.0))
    assert sigma[0] == 0


def test_uncertainty_agrees_with_random_draws() -> None:
    model, wall = camera(40, 12), plane(5000.0, 47, 40)
    given = DistanceUncertainty(60.0, math.radians(1.0), math.radians(5.0))
    x, y = np.array([100.0, 323.5, 600.0]), np.array([100.0, 242.5, 300.0])
    stated = plume_distance_uncertainty_m(model, wall, x, y, given)
    rng = np.random.default_rng(3)
    draws = []
    for _ in range(3000):
        view = rng.normal(0, given.view_azimuth_rad)
        draws.append(
            plume_distance_m(
                replace(model, azimuth_rad=model.azimuth_rad + view),
                replace(
                    wall,
                    vent_distance_m=rng.normal(wall.vent_distance_m, given.vent_distance_m),
                    normal_azimuth_rad=wall.normal_azimuth_rad + view + rng.normal(0, given.plane_azimuth_rad),
                ),
                x,
                y,
            )
        )
    np.testing.assert_allclose(stated, np.std(draws, axis=0), rtol=0.06)


def test_distances_and_azimuths_on_the_ellipsoid() -> None:
    # A minute of latitude at 45 degrees is 1852.2 m; a minute of longitude on the equator is 1855.32 m.
    distance, azimuth = vent_direction(45.0, 7.0, 45.0 + 1 / 60, 7.0)
    assert distance == pytest.approx(1852.2, abs=0.3)
    assert azimuth == pytest.approx(0, abs=1e-9)
    distance, azimuth = vent_direction(0.0, 10.0, 0.0, 10.0 + 1 / 60)
    assert distance == pytest.approx(1855.32, abs=0.02)
    assert math.degrees(azimuth) == pytest.approx(90)
    assert math.degrees(vent_direction(0.0, 10.0, 0.0, 9.9)[1]) % 360 == pytest.approx(270)
    assert vent_direction(0.0, 179.999, 0.0, -179.999)[0] == pytest.approx(0.002 * 111_319.5, rel=1e-4)
