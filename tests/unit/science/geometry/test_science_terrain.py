"""Distances of terrain against those of shapes that can be worked out: plane, cone, sphere; and the Earth's bend."""

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from so2cam.core.records import FloatArray
from so2cam.core.terrain import TerrainGrid
from so2cam.science.geometry.camera import CameraModel, pixel_rays
from so2cam.science.geometry.terrain import (
    EARTH_RADIUS_M,
    RayStatus,
    ViewUncertainty,
    bilinear,
    height_at,
    pixels_along,
    skyline,
    terrain_along_rays,
    terrain_distances,
    values_along,
)

ALTITUDE = 1200.0
FLAT = 1.0
"""Refraction that makes up for the Earth's curvature."""
CAMERA = CameraModel(648, 486, 1305.0, 0.0, math.radians(12))


def grid(
    function: Callable[[FloatArray, FloatArray], FloatArray], step: float = 30.0, reach: float = 9000.0
) -> TerrainGrid:
    axis = np.arange(-reach, reach + step / 2, step)
    east, north = np.meshgrid(axis, axis)
    heights = np.asarray(function(east, north), np.float64)
    return TerrainGrid(heights, float(axis[0]), float(axis[0]), step, ALTITUDE)


def rays(columns: int = 40, rows: int = 30) -> FloatArray:
    x, y = np.meshgrid(np.linspace(0, 647, columns), np.linspace(0, 485, rows))
    return pixel_rays(CAMERA, x, y)


def test_a_tilted_plane_is_exact() -> None:
    # z = 1100 + 0.3 north, bilinear itself.
    view = terrain_along_rays(grid(lambda e, n: 1100 + 0.3 * n + 0 * e), rays(), refraction=FLAT)
    r = rays()
    expected = (ALTITUDE - 1100) / (0.3 * r[..., 1] - r[..., 2])
    meets = (expected > 0) & (expected * np.abs(r[..., 1]) < 8900) & (np.abs(expected * r[..., 0]) < 8900)
    assert meets.sum() > 300
    assert (view.status[meets] == RayStatus.TERRAIN).all()
    assert view.distance_m[meets] == pytest.approx(expected[meets], rel=1e-9)
    assert np.isnan(view.distance_m[~meets]).all()


def test_a_cone() -> None:
    view = terrain_along_rays(grid(lambda e, n: 2800 - 0.5 * np.hypot(e, n - 5000)), rays(), refraction=FLAT)
    r = rays()
    # (z - 2800)^2 = 0.25 (e^2 + (n - 5000)^2)
    a = r[..., 2] ** 2 - 0.25 * (r[..., 0] ** 2 + r[..., 1] ** 2)
    b = 2 * r[..., 2] * (ALTITUDE - 2800) + 0.5 * r[..., 1] * 5000
    c = (ALTITUDE - 2800) ** 2 - 0.25 * 5000.0**2
    root = np.sqrt(np.maximum(b * b - 4 * a * c, 0))
    both = np.stack([(-b - root) / (2 * a), (-b + root) / (2 * a)])
    on_cone = (both > 0) & (ALTITUDE + both * r[..., 2] < 2800) & (b * b >= 4 * a * c)
    expected = np.where(on_cone, both, np.inf).min(axis=0)
    # Within a cell of the apex the grid is no cone.
    z = ALTITUDE + np.where(np.isfinite(expected), expected, 0) * r[..., 2]
    clear = np.isfinite(expected) & (z < 2770)
    hit = view.status == RayStatus.TERRAIN
    assert hit[clear].mean() > 0.995  # rays that graze the flank's side
    both_hit = hit & clear
    difference = np.abs(view.distance_m - expected)[both_hit]
    assert np.median(difference) < 0.2
    assert np.percentile(difference, 99) < 5
    assert (view.status[~np.isfinite(expected)] == RayStatus.SKY).all()


def test_a_sphere() -> None:
    radius, north = 1500.0, 4000.0

    def dome(east: FloatArray, northing: FloatArray) -> FloatArray:
        inside = radius**2 - east**2 - (northing - north) ** 2
        return ALTITUDE - 50 + np.sqrt(np.maximum(inside, 0.0))

    r = rays()
    view = terrain_along_rays(grid(dome, step=10.0, reach=6000), r, refraction=FLAT)
    centre = np.array([0.0, north, -50.0])
    along = r @ centre
    closest2 = centre @ centre - along**2
    meets = closest2 < (0.97 * radius) ** 2
    expected = along - np.sqrt(np.where(meets, radius**2 - closest2, 0.0))
    meets &= expected * r[..., 2] > 100  # the ball's lower half stands in no terrain model
    assert meets.sum() > 200
    assert (view.status[meets] == RayStatus.TERRAIN).all()
    assert view.distance_m[meets] == pytest.approx(expected[meets], abs=3.0)


def test_rough_ground_against_every_step_of_the_way() -> None:
    rng = np.random.default_rng(3)
    rough = gaussian_filter(rng.standard_normal((301, 301)), 2.5)
    rough *= 60 / rough.std()
    model = TerrainGrid(ALTITUDE - 250 + rough + 1.2 * np.arange(301)[:, None], -6000.0, -6000.0, 40.0, ALTITUDE)
    r = rays(24, 18) - np.array([0.0, 0.0, 0.22])
    r /= np.linalg.norm(r, axis=-1, keepdims=True)
    view = terrain_along_rays(model, r, refraction=FLAT)
    hit = view.status == RayStatus.TERRAIN
    assert hit.sum() > 100
    steps = np.arange(50.0, 6000.0, 2.0)
    for ray, distance, status in zip(r.reshape(-1, 3), view.distance_m.ravel(), view.status.ravel(), strict=True):
        above = ALTITUDE + steps * ray[2] - height_at(model, steps * ray[0], steps * ray[1])
        inside = np.isfinite(above)
        below = np.flatnonzero(inside & (above <= 0))
        if status == RayStatus.TERRAIN:
            # Nothing stands before it but what a quarter of a cell can hide.
            assert above[steps < distance - 12].min(initial=1.0) > -1.0
            at = np.interp(distance, steps, above)
            assert abs(at) < 1.0
        elif below.size:
            assert above[below].min() > -1.0


def test_the_first_of_two_ridges() -> None:
    def ridges(east: FloatArray, north: FloatArray) -> FloatArray:
        return 1000 + 400 * np.exp(-(((north - 2000) / 100) ** 2)) + 1500 * np.exp(-(((north - 6000) / 300) ** 2))

    up = np.radians([3.0, 8.0, 20.0])
    r = np.stack([np.zeros(3), np.cos(up), np.sin(up)], axis=-1)
    view = terrain_along_rays(grid(ridges, step=20.0), r)
    assert view.distance_m[0] == pytest.approx(1930, abs=40)
    assert view.distance_m[1] == pytest.approx(5800, abs=200)
    assert view.status.tolist() == [RayStatus.TERRAIN, RayStatus.TERRAIN, RayStatus.SKY]


def test_the_earth_bends_away() -> None:
    # Level sight over a plain 10 m below: without bend never, with bend never either; 1 degree down: sooner or later.
    down = math.radians(0.2)
    r = np.array([[0.0, math.cos(down), -math.sin(down)]])
    plain = grid(lambda e, n: ALTITUDE - 20 + 0 * e, step=100.0, reach=20_000.0)
    flat = terrain_along_rays(plain, r, refraction=FLAT).distance_m[0]
    bent = terrain_along_rays(plain, r).distance_m[0]
    assert flat == pytest.approx(20 / math.sin(down), rel=1e-6)
    # 20 = s sin(down) - (s cos(down))^2 0.87 / (2 R)
    k = 0.87 / (2 * EARTH_RADIUS_M) * math.cos(down) ** 2
    expected = (math.sin(down) - math.sqrt(math.sin(down) ** 2 - 4 * k * 20)) / (2 * k)
    assert bent == pytest.approx(expected, rel=1e-6)
    assert bent > flat + 10


def test_what_is_not_known_says_so() -> None:
    cone = grid(lambda e, n: 2800 - 0.5 * np.hypot(e, n - 5000))
    level, up = np.array([[0.0, -1.0, 0.0]]), np.array([[0.0, 0.0, 1.0]])
    assert terrain_along_rays(cone, level).status[0] == RayStatus.LEFT_MODEL
    assert terrain_along_rays(cone, up).status[0] == RayStatus.SKY
    assert terrain_along_rays(cone, np.full((1, 3), np.nan)).status[0] == RayStatus.LEFT_MODEL
    holes = cone.heights_m.copy()
    holes[340:345, :] = np.nan
    north = np.array([[0.0, 1.0, 0.0]])
    assert terrain_along_rays(replace(cone, heights_m=holes), north).status[0] == RayStatus.NO_DATA
    assert terrain_along_rays(replace(cone, camera_altitude_m=100.0), north).status[0] == RayStatus.BURIED
    for status in (level, up, north):
        view = terrain_along_rays(cone, status)
        assert np.isnan(view.distance_m[view.status != RayStatus.TERRAIN]).all()


@pytest.mark.parametrize("heights", [np.zeros((1, 5)), np.full((5, 5), np.nan), np.zeros(4)])
def test_no_model_is_an_error(heights: FloatArray) -> None:
    with pytest.raises(ValueError, match="2 x 2"):
        terrain_along_rays(TerrainGrid(heights, 0, 0, 30, 0), np.array([[0.0, 1.0, 0.0]]))


def test_uncertainty_of_a_plane_is_that_of_the_angle() -> None:
    # A wall to the north, a plain in front of it: d = h / sin(e) on the plain, so that dd = d / tan(e) de.
    plain = grid(lambda e, n: ALTITUDE - 100 + 0 * e)
    down = CameraModel(648, 486, 1305.0, 0.0, math.radians(-8))
    x, y = np.array([323.5]), np.array([242.5])
    tilt = math.radians(0.3)
    found = terrain_distances(plain, down, x, y, ViewUncertainty(0.01, tilt, 0.01, 2.0))
    distance = 100 / math.sin(math.radians(8))
    assert found.distance_m[0] == pytest.approx(distance, rel=1e-3)
    assert abs(found.patterns_m[1, 0]) == pytest.approx(distance / math.tan(math.radians(8)) * tilt, rel=0.02)
    assert abs(found.patterns_m[0, 0]) < 0.1  # turned about the vertical nothing changes
    assert found.patterns_m[3, 0] == pytest.approx(2.0 / math.sin(math.radians(8)), rel=0.01)
    assert found.uncertainty_m[0] == pytest.approx(np.sqrt(np.sum(found.patterns_m[:, 0] ** 2)))


def test_the_sky_has_no_distance_and_no_uncertainty() -> None:
    cone = grid(lambda e, n: 2800 - 0.5 * np.hypot(e, n - 5000))
    x, y = np.meshgrid(np.arange(0, 648, 16.0), np.arange(0, 486, 16.0))
    found = terrain_distances(cone, CAMERA, x, y, ViewUncertainty(0.01, 0.01))
    sky = found.status != RayStatus.TERRAIN
    assert sky.any()
    assert (~sky).any()
    assert np.isnan(found.distance_m[sky]).all()
    assert np.isnan(found.uncertainty_m[sky]).all()
    assert np.isfinite(found.uncertainty_m[~sky]).mean() > 0.98


def test_the_skyline_of_a_cone() -> None:
    cone = grid(lambda e, n: 2800 - 0.5 * np.hypot(e, n - 5000), step=20.0)
    found = skyline(cone, np.array([0.0, 0.1]), refraction=FLAT)
    assert found.elevation_rad[0] == pytest.approx(math.atan2(1600, 5000), abs=2e-3)
    assert found.distance_m[0] == pytest.approx(math.hypot(1600, 5000), rel=5e-3)
    assert found.elevation_rad[1] < found.elevation_rad[0]
    assert np.isnan(skyline(cone, np.array([0.0]), start_m=50_000.0).elevation_rad).all()


def test_bilinear_between_four() -> None:
    heights = np.array([[0.0, 10.0], [20.0, 50.0]])
    assert bilinear(heights, np.array([0.5, 1.0, 0.0]), np.array([0.5, 1.0, 1.5])).tolist()[:2] == [20.0, 50.0]
    assert np.isnan(bilinear(heights, np.array([0.0]), np.array([1.5]))[0])
    model = TerrainGrid(heights, -10.0, -10.0, 20.0, 0.0)
    assert height_at(model, np.array([0.0]), np.array([0.0]))[0] == 20.0


def test_pixels_and_values_along_a_line() -> None:
    corners = ((0.0, 0.0), (3.0, 4.0), (3.0, 9.0))
    x, y = pixels_along(corners, step_px=1.0)
    assert (x[0], y[0], x[-1], y[-1]) == (0, 0, 3, 9)
    assert x.size == 11
    assert np.hypot(np.diff(x), np.diff(y)) == pytest.approx(np.ones(10))
    distance = values_along(corners, (1000.0, 2000.0, 2500.0), np.array([0.0, 0.25, 0.5, 1.0]))
    assert distance == pytest.approx([1000, 1500, 2000, 2500])
    assert pixels_along(((5.0, 6.0),))[0].tolist() == [5.0]
    with pytest.raises(ValueError, match="needs a point"):
        pixels_along(())
