"""From regions or a terrain model to the extinction, on an image whose truth is known."""

import math

import numpy as np
import pytest

from so2cam.core.records import BoolImage, FloatImage
from so2cam.core.site_dilution import TerrainRegion
from so2cam.core.terrain import TerrainGrid
from so2cam.science.geometry.camera import CameraModel, pixel_rays
from so2cam.science.geometry.terrain import RayStatus, ViewUncertainty, terrain_along_rays
from so2cam.science.imaging.extinction import ExtinctionStatus, FitLimits, terrain_extinction
from so2cam.science.imaging.terrain_pixels import points_of_model, points_of_regions, terrain_pixels

TRUTH = 1.3e-4
CAMERA = CameraModel(324, 243, 650.0, 0.1, math.radians(12))
UNCERTAIN = ViewUncertainty(math.radians(0.3), math.radians(0.3), 0.0, 10.0)
EXACT = FitLimits(airlight_uncertainty=0.0, surface_trend=0.0)


@pytest.fixture(scope="module")
def grid() -> TerrainGrid:
    """A concave mountain 5.5 km to the north."""
    axis = np.arange(-8000, 8001, 40.0)
    east, north = np.meshgrid(axis, axis)
    distance = np.hypot(east, north - 5500)
    return TerrainGrid(900 + 1900 * np.exp(-distance / 2200), float(axis[0]), float(axis[0]), 40.0, 1150.0)


def photograph(grid: TerrainGrid, rng: np.random.Generator) -> tuple[FloatImage, BoolImage, BoolImage]:
    """Return an image of the mountain with snow towards its top, where it is valid, and its sky."""
    x, y = np.meshgrid(np.arange(324.0), np.arange(243.0))
    view = terrain_along_rays(grid, pixel_rays(CAMERA, x, y))
    sky = view.status != RayStatus.TERRAIN
    airlight = 800 + 0.3 * x
    ground = 190 * (1 + 0.08 * rng.standard_normal(x.shape))
    ground[(rng.random(x.shape) < 0.15) | (view.distance_m > 5200)] = 700
    through = np.exp(-TRUTH * np.where(sky, 0.0, view.distance_m))
    image = np.where(sky, airlight, ground * through + airlight * (1 - through)) + 3 * rng.standard_normal(x.shape)
    return image.astype(np.float32), np.ones(x.shape, np.bool_), sky


def test_extinction_from_a_terrain_model(grid: TerrainGrid) -> None:
    image, valid, sky = photograph(grid, np.random.default_rng(1))
    points = points_of_model(grid, CAMERA, UNCERTAIN, step_px=4)
    assert 300 < points.x.size < 4900
    assert np.isfinite(points.distance_m).all()
    assert points.cluster is not None
    found = terrain_extinction(terrain_pixels(image, valid, sky, points, noise=3.0, darkest_share=0.5), EXACT)
    assert found.status is ExtinctionStatus.OK
    assert abs(found.value_per_m - TRUTH) < 2 * found.uncertainty_per_m
    assert found.value_per_m == pytest.approx(TRUTH, rel=0.1)
    assert found.errors.distance > 0


def test_extinction_from_lines_with_given_distances(grid: TerrainGrid) -> None:
    image, valid, sky = photograph(grid, np.random.default_rng(2))
    seen = points_of_model(grid, CAMERA, UNCERTAIN, step_px=2)
    # Two lines down the flank, whose distances a map tells at both ends.
    regions = []
    for name, column in (("left", 101.0), ("right", 201.0)):
        on = np.flatnonzero(seen.x == column)
        on = on[seen.distance_m[on] < 5000]
        corners = on[np.linspace(0, on.size - 1, 6).astype(int)]
        regions.append(
            TerrainRegion(
                name=name,
                points=tuple((column, float(seen.y[i])) for i in corners),
                distance_m=tuple(float(seen.distance_m[i]) for i in corners),
                distance_uncertainty_m=100,
            )
        )
    points = points_of_regions(tuple(regions))
    # Six distances each, and four causes of the view. At a point that was given only its own error counts.
    assert points.patterns_m.shape == (16, points.x.size)
    assert points.patterns_m[:, 0].tolist() == [100.0] + 15 * [0.0]
    assert points.patterns_m.sum(axis=0) == pytest.approx(np.full(points.x.size, 100.0))
    found = terrain_extinction(terrain_pixels(image, valid, sky, points, noise=3.0), EXACT)
    assert abs(found.value_per_m - TRUTH) < 2 * found.uncertainty_per_m
    # The same lines, their distances from the model.
    bare = tuple(TerrainRegion(name=region.name, points=region.points) for region in regions)
    again = points_of_regions(bare, grid=grid, camera=CAMERA, uncertainty=UNCERTAIN)
    assert np.nanmedian(np.abs(again.distance_m - points.distance_m)) < 40
    with pytest.raises(ValueError, match="'left' has no distance"):
        points_of_regions(bare)
    with pytest.raises(ValueError, match="no region"):
        points_of_regions(())


def test_one_distance_for_a_region_is_one_error() -> None:
    regions = (
        TerrainRegion(name="a", points=((10, 10), (14, 10)), distance_m=2000, distance_uncertainty_m=80),
        TerrainRegion(name="b", points=((20, 20),), distance_m=4000),
    )
    points = points_of_regions(regions)
    assert points.distance_m.tolist() == 5 * [2000.0] + [4000.0]
    assert points.patterns_m[:2].tolist() == [5 * [80.0] + [0.0], 5 * [0.0] + [200.0]]


def test_a_plume_above_the_ground_does_not_matter_with_a_fitted_sky(grid: TerrainGrid) -> None:
    image, valid, sky = photograph(grid, np.random.default_rng(4))
    points = points_of_model(grid, CAMERA, UNCERTAIN, step_px=4)
    fitted = np.broadcast_to((800 + 0.3 * np.arange(324)).astype(np.float32), image.shape)
    dimmed = np.where(sky, 0.8 * image, image).astype(np.float32)
    clear = terrain_extinction(terrain_pixels(image, valid, sky, points, noise=3.0), EXACT)
    through_sky = terrain_extinction(terrain_pixels(dimmed, valid, sky, points, noise=3.0, background=fitted), EXACT)
    spoilt = terrain_extinction(terrain_pixels(dimmed, valid, sky, points, noise=3.0), EXACT)
    assert through_sky.value_per_m == pytest.approx(clear.value_per_m, rel=0.02)
    assert not spoilt.usable or abs(spoilt.value_per_m - TRUTH) > 0.15 * TRUTH


def test_what_is_not_valid_is_nan(grid: TerrainGrid) -> None:
    image, valid, sky = photograph(grid, np.random.default_rng(3))
    points = points_of_model(grid, CAMERA, UNCERTAIN, step_px=8)
    valid[:, 100:140] = False
    pixels = terrain_pixels(image, valid, sky, points, noise=3.0)
    masked = (points.x >= 100) & (points.x < 140)
    assert masked.any()
    assert np.isnan(pixels.intensity[masked]).all()
    assert np.isfinite(pixels.intensity[~masked]).any()
    nothing = terrain_extinction(terrain_pixels(image, np.zeros_like(valid), sky, points, noise=3.0), EXACT)
    assert nothing.status is ExtinctionStatus.TOO_FEW_POINTS
