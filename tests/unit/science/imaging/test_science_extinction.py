"""Extinction from terrain: known truth, snow, wrong distances, coverage of the stated uncertainty, and refusals."""

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter1d

from so2cam.science.imaging.extinction import (
    EXTINCTION_TEXT,
    ExtinctionStatus,
    FitLimits,
    TerrainPixels,
    dark_terrain,
    patterns_by_group,
    sky_above,
    terrain_extinction,
)

TRUTH = 1.5e-4
EXACT = FitLimits(airlight_uncertainty=0.0, surface_trend=0.0)


def scene(
    rng: np.random.Generator,
    *,
    extinction: float = TRUTH,
    n: int = 300,
    ground: float = 0.08,
    snow: float = 0.0,
    trend: float = 0.0,
    airlight: float = 0.0,
    distance: float = 0.0,
    noise: float = 4.0,
) -> TerrainPixels:
    """A line up a flank with patchy ground; each sigma that is given is drawn from."""
    d = np.linspace(2000.0, 5000.0, n)
    patches = gaussian_filter1d(rng.standard_normal(n), 3)
    surface = 250 * (1 + ground * patches / patches.std())
    surface *= 1 + trend * rng.standard_normal() * (d - d.mean()) / np.ptp(d)
    surface[np.repeat(rng.random(n // 20) < snow, 20)] = 800.0
    through = np.exp(-extinction * d)
    sky = 1000 * (1 + 0.05 * np.linspace(-1, 1, n))
    true_sky = sky * (1 + airlight * rng.standard_normal())
    intensity = surface * through + true_sky * (1 - through) + noise * rng.standard_normal(n)
    seen = d * (1 + distance * rng.standard_normal())
    return TerrainPixels(intensity, seen, sky, noise, 0.0, (distance * seen)[None])


def test_without_noise_the_truth_is_found_exactly() -> None:
    for truth in (0.2e-4, 1e-4, 4e-4, 8e-4):
        found = terrain_extinction(scene(np.random.default_rng(1), extinction=truth, ground=1e-6, noise=0.0), EXACT)
        assert found.status is ExtinctionStatus.OK
        assert found.value_per_m == pytest.approx(truth, rel=1e-5)
        assert found.surface == pytest.approx(250, rel=1e-4)


def test_the_sky_may_be_fitted_too() -> None:
    pixels = scene(np.random.default_rng(2), ground=1e-5, noise=0.0)
    through = np.exp(-TRUTH * pixels.distance_m)
    even = pixels._replace(intensity=250 * through + 1000 * (1 - through), airlight=None)
    found = terrain_extinction(even, EXACT)
    assert found.value_per_m == pytest.approx(TRUTH, rel=1e-3)
    noisy = even._replace(intensity=even.intensity + 5 * np.random.default_rng(3).standard_normal(300), noise=5.0)
    known = terrain_extinction(noisy._replace(airlight=np.full(300, 1000.0)), EXACT)
    unknown = terrain_extinction(noisy, EXACT)
    assert known.uncertainty_per_m < 1e-5
    assert unknown.status is ExtinctionStatus.UNDETERMINED or unknown.uncertainty_per_m > 5 * known.uncertainty_per_m


@pytest.mark.parametrize("snow", [0.0, 0.1, 0.2])
def test_patches_of_snow_do_not_pull(snow: float) -> None:
    rng = np.random.default_rng(4)
    found = [terrain_extinction(scene(rng, snow=snow), EXACT) for _ in range(80)]
    values = np.array([one.value_per_m for one in found if one.usable])
    assert values.size >= 78
    assert abs(np.median(values) / TRUTH - 1) < 0.03


@pytest.mark.parametrize(
    ("sigmas", "lowest"),
    [
        ({}, 0.55),
        ({"snow": 0.1}, 0.55),
        ({"trend": 0.1, "airlight": 0.05, "distance": 0.05, "snow": 0.1}, 0.58),
        ({"trend": 0.1, "extinction": 3e-5}, 0.58),
    ],
)
def test_truth_lies_within_the_stated_uncertainty(sigmas: dict[str, float], lowest: float) -> None:
    rng = np.random.default_rng(5)
    limits = FitLimits(airlight_uncertainty=sigmas.get("airlight", 0.0), surface_trend=sigmas.get("trend", 0.0))
    found = [terrain_extinction(scene(rng, **sigmas), limits) for _ in range(200)]
    usable = [one for one in found if one.usable]
    assert len(usable) >= 196
    truth = sigmas.get("extinction", TRUTH)
    sigma = np.abs([(one.value_per_m - truth) / one.uncertainty_per_m for one in usable])
    assert lowest < np.mean(sigma < 1) < 0.85
    assert np.mean(sigma < 2) > 0.88


def test_each_cause_is_stated_apart() -> None:
    pixels = scene(np.random.default_rng(6), ground=0.01)
    seen = pixels._replace(distance_patterns_m=0.05 * pixels.distance_m[None])
    plain = terrain_extinction(pixels, EXACT)
    moved = terrain_extinction(seen, EXACT)
    assert plain.errors.distance == 0
    # A common scale of all distances is one of the extinction.
    assert moved.errors.distance == pytest.approx(0.05 * moved.value_per_m, rel=0.1)
    stretched = terrain_extinction(pixels._replace(distance_m=1.05 * pixels.distance_m), EXACT)
    assert abs(stretched.value_per_m - plain.value_per_m) == pytest.approx(moved.errors.distance, rel=0.1)
    brighter = terrain_extinction(pixels._replace(airlight=1.03 * np.asarray(pixels.airlight)), EXACT)
    stated = terrain_extinction(pixels, FitLimits(airlight_uncertainty=0.03, surface_trend=0.0))
    assert abs(brighter.value_per_m - plain.value_per_m) == pytest.approx(stated.errors.airlight, rel=0.1)
    ramp = (pixels.distance_m - pixels.distance_m.mean()) / np.ptp(pixels.distance_m)
    changed = pixels.intensity + 0.1 * 250 * ramp * np.exp(-TRUTH * pixels.distance_m)
    trending = terrain_extinction(pixels._replace(intensity=changed), EXACT)
    said = terrain_extinction(pixels, FitLimits(airlight_uncertainty=0.0, surface_trend=0.1))
    assert abs(trending.value_per_m - plain.value_per_m) == pytest.approx(said.errors.trend, rel=0.1)


def test_independent_distance_errors_are_within_their_sigma() -> None:
    rng = np.random.default_rng(7)
    sigma = []
    for _ in range(100):
        pixels = scene(rng, ground=0.02)
        seen = pixels.distance_m + 80 * rng.standard_normal(300)
        found = terrain_extinction(pixels._replace(distance_m=seen, distance_uncertainty_m=80.0), EXACT)
        sigma.append((found.value_per_m - TRUTH) / found.uncertainty_per_m)
    assert np.mean(np.abs(sigma) < 2) > 0.9


def test_distances_of_regions_are_common_to_each() -> None:
    patterns = patterns_by_group(np.array([50.0, 50.0, 80.0]), np.array([4, 4, 9]))
    assert patterns.tolist() == [[50, 50, 0], [0, 0, 80]]


def test_nan_leaves_pixels_out() -> None:
    pixels = scene(np.random.default_rng(8))
    holes = pixels.intensity.copy()
    holes[::7] = np.nan
    distance = pixels.distance_m.copy()
    distance[3::11] = np.nan
    left = np.isfinite(holes) & np.isfinite(distance)
    found = terrain_extinction(pixels._replace(intensity=holes, distance_m=distance), EXACT)
    cut = TerrainPixels(
        pixels.intensity[left], distance[left], np.asarray(pixels.airlight)[left], 4.0, 0.0, np.zeros((0, left.sum()))
    )
    assert found.value_per_m == terrain_extinction(cut, EXACT).value_per_m


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"intensity": np.full(300, np.nan)}, ExtinctionStatus.TOO_FEW_POINTS),
        ({"intensity": np.full(300, 950.0)}, ExtinctionStatus.TERRAIN_TOO_BRIGHT),
        ({"intensity": np.full(300, 850.0)}, ExtinctionStatus.TERRAIN_TOO_BRIGHT),
        ({"distance_m": np.linspace(4000, 4300, 300)}, ExtinctionStatus.DISTANCE_SPAN_TOO_SMALL),
        ({"intensity": np.linspace(500, 100, 300)}, ExtinctionStatus.OUT_OF_BOUNDS),
    ],
)
def test_what_cannot_be_told_is_missing_with_a_reason(change: dict[str, np.ndarray], status: ExtinctionStatus) -> None:
    found = terrain_extinction(scene(np.random.default_rng(9))._replace(airlight=np.full(300, 1000.0), **change), EXACT)
    assert found.status is status
    assert not found.usable
    assert np.isnan(found.value_per_m)
    assert np.isnan(found.uncertainty_per_m)
    assert EXTINCTION_TEXT[status]


def test_clear_air_is_zero_within_its_uncertainty() -> None:
    rng = np.random.default_rng(10)
    found = [terrain_extinction(scene(rng, extinction=0.0, ground=0.03), EXACT) for _ in range(40)]
    assert {one.status for one in found} <= {
        ExtinctionStatus.OK,
        ExtinctionStatus.CONSISTENT_WITH_ZERO,
        ExtinctionStatus.OUT_OF_BOUNDS,
    }
    assert sum(one.status is ExtinctionStatus.CONSISTENT_WITH_ZERO for one in found) > 8
    assert all(one.value_per_m >= 0 for one in found if one.usable)


def test_shapes_that_do_not_agree_are_an_error() -> None:
    pixels = scene(np.random.default_rng(11))
    with pytest.raises(ValueError, match="one shape"):
        terrain_extinction(pixels._replace(distance_m=np.ones(3)))
    with pytest.raises(ValueError, match="K, N"):
        terrain_extinction(pixels._replace(distance_patterns_m=np.ones((2, 3))))


def test_the_darkest_share_at_each_distance() -> None:
    rng = np.random.default_rng(12)
    pixels = scene(rng, snow=0.35)
    sky = np.asarray(pixels.airlight)
    chosen = dark_terrain(pixels.intensity, sky, pixels.distance_m, share=0.5)
    assert 0.45 < chosen.mean() < 0.55
    near, far = chosen[:150].mean(), chosen[150:].mean()
    assert near == pytest.approx(far, abs=0.05)
    holes = pixels.intensity.copy()
    holes[:100] = np.nan
    assert not dark_terrain(holes, sky, pixels.distance_m)[:100].any()


def test_the_sky_above_terrain() -> None:
    sky = np.tile(np.arange(60.0)[:, None], (1, 50)) + 100
    valid = np.zeros((60, 50), np.bool_)
    valid[:30] = True
    valid[:, 40:] = False
    found = sky_above(sky, valid, np.array([20.0, 45.0, 20.0, 99.0]), np.array([50.0, 50.0, 10.0, 50.0]), reach_px=4)
    assert found[0] == pytest.approx(100 + np.mean([26, 27, 28, 29]))
    assert np.isnan(found[2:]).all()  # in the sky itself, and outside of the image
    assert np.isnan(found[1])  # no sky above
