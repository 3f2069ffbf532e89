"""The tests that make a pair doubtful: each flags what it is for, and not what is in order."""

import math

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from so2cam.science.geometry.camera import CameraModel, pixel_rays
from so2cam.science.imaging.quality import (
    CLOUD_CHANGE,
    CLOUD_JUMP,
    CLOUD_UNEVENNESS,
    GLARE_ANGLE_RAD,
    beside_plume,
    check_clouds,
    check_plume_angle,
    check_plume_extent,
    check_sun,
    is_stale,
    sky_blocks,
)

CAMERA = CameraModel(648, 486, 1305.0, math.radians(170), math.radians(15), math.radians(8))
SKY = np.ones((486, 648), np.bool_)
SKY[360:] = False
NOISE = 0.006
BLOCK_NOISE = NOISE / math.sqrt(486 * 648 / 192)


def clear_sky(rng: np.random.Generator, drift: float = 0.0) -> np.ndarray:
    v, u = np.mgrid[-1:1:486j, -1:1:648j]
    log = 6 + 0.1 * u + 0.08 * v - 0.05 * u**2 + drift * (1 + 0.5 * u - 0.3 * v)
    return (log + NOISE * rng.standard_normal(log.shape)).astype(np.float32)


def cloud(rng: np.random.Generator, depth: float) -> np.ndarray:
    field = gaussian_filter(rng.standard_normal((486, 648)), 40)
    return np.asarray(depth * np.clip(field / field.std(), 0, None), np.float32)


def test_a_clear_drifting_sky_is_no_cloud() -> None:
    rng = np.random.default_rng(1)
    before, now = sky_blocks(clear_sky(rng), SKY), sky_blocks(clear_sky(rng, drift=0.01), SKY)
    assert np.isnan(now[9:]).all()
    assert np.isfinite(now[:9]).all()
    found = check_clouds(now, BLOCK_NOISE, before, 60.0)
    assert not found.cloudy
    assert found.unevenness < CLOUD_UNEVENNESS / 5
    assert found.change < CLOUD_CHANGE / 5
    assert found.jump == pytest.approx(0.0, abs=0.002)


def test_clouds_are_seen_by_their_shape_and_by_their_passing() -> None:
    rng = np.random.default_rng(2)
    sky = clear_sky(rng)
    first, second = sky + cloud(rng, 0.08), sky + cloud(rng, 0.08)
    alone = check_clouds(sky_blocks(first, SKY), BLOCK_NOISE)
    assert alone.unevenness > CLOUD_UNEVENNESS
    assert alone.cloudy
    assert math.isnan(alone.change)
    thin = cloud(rng, 0.025)
    moving = check_clouds(
        sky_blocks(sky + np.roll(thin, 60, axis=1), SKY), BLOCK_NOISE, sky_blocks(sky + thin, SKY), 4.0
    )
    assert moving.change > CLOUD_CHANGE
    assert moving.cloudy
    assert check_clouds(sky_blocks(second, SKY), BLOCK_NOISE, sky_blocks(first, SKY), 4.0).cloudy


def test_the_plume_is_left_out_of_the_sky_and_clouds_are_not() -> None:
    sky = np.ones((40, 60), np.bool_)
    sky[30:] = False
    absorbance = np.zeros((40, 60))
    absorbance[10:14, 20:] = 0.2  # the plume
    absorbance[20:26, 10:30] = 0.03  # a cloud, a little redder than the sky
    absorbance[32:] = 0.4  # terrain
    kept = beside_plume(absorbance, sky, 0.001)
    assert not kept[6:18, 16:].any()
    assert kept[:6].all()
    assert kept[18:30].all()
    assert kept[:30, :16].all()
    assert not kept[30:].any()
    # Where the sky itself is as uneven as that, nothing tells a plume from it.
    assert np.array_equal(beside_plume(absorbance, sky, 0.05), sky)
    assert beside_plume(np.full((40, 60), np.nan), sky, 0.001).sum() == sky.sum()


def test_a_jump_of_the_level_is_a_cloud_before_the_sun() -> None:
    rng = np.random.default_rng(3)
    before, now = sky_blocks(clear_sky(rng), SKY), sky_blocks(clear_sky(rng) - np.float32(0.1), SKY)
    found = check_clouds(now, BLOCK_NOISE, before, 8.0)
    assert found.jump > CLOUD_JUMP
    assert found.cloudy
    assert not check_clouds(now, BLOCK_NOISE, before, 600.0).cloudy  # in ten minutes it may be the sun's way


def test_too_little_sky_tells_nothing() -> None:
    rng = np.random.default_rng(4)
    few = np.zeros_like(SKY)
    few[:60, :100] = True
    found = check_clouds(sky_blocks(clear_sky(rng) + cloud(rng, 0.5), few), BLOCK_NOISE)
    assert math.isnan(found.unevenness)
    assert not found.cloudy
    with pytest.raises(ValueError, match="larger image"):
        sky_blocks(np.ones((4, 4), np.float32), np.ones((4, 4), np.bool_))


def sun_at(x: float, y: float) -> tuple[float, float]:
    ray = pixel_rays(CAMERA, np.array([x]), np.array([y]))[0]
    return math.atan2(ray[0], ray[1]), math.asin(ray[2])


def test_the_sun_in_the_image() -> None:
    for x, y in ((0.0, 0.0), (323.0, 242.0), (647.0, 100.0), (600.0, 300.0)):
        found = check_sun(CAMERA, *sun_at(x, y))
        assert found.in_view
        assert found.glare
        assert found.angle_rad == 0


def test_the_sun_beside_the_image() -> None:
    # 200 pixels above the upper border's middle: an angle by hand.
    found = check_sun(CAMERA, *sun_at(323.5, -200.5))
    exact = math.atan2(443, 1305) - math.atan2(243, 1305)
    assert found.angle_rad == pytest.approx(exact, rel=0.01)
    assert not found.in_view
    assert found.glare is (exact < GLARE_ANGLE_RAD)
    away = check_sun(CAMERA, math.radians(60), math.radians(30))
    assert not away.glare
    behind = check_sun(CAMERA, math.radians(350), math.radians(20))
    assert behind.angle_rad > math.radians(90)
    low = CameraModel(648, 486, 1305.0, 0.0, 0.0)
    assert not check_sun(low, 0.0, math.radians(-2)).in_view
    assert check_sun(low, 0.0, math.radians(2)).in_view
    assert check_sun(low, math.nan, 0.1) == (pytest.approx(math.nan, nan_ok=True), False, False)


def test_a_plume_that_leaves_the_image() -> None:
    shape = (486, 648)
    s = np.linspace(0, 1, 200)
    x, y = np.full(200, 300.0), 485 * s
    inside = 1e18 * np.exp(-(((s - 0.5) / 0.1) ** 2))
    cut = 1e18 * np.exp(-(((s - 0.9) / 0.2) ** 2))
    assert not check_plume_extent(inside, x, y, shape, 2e16).leaves
    found = check_plume_extent(cut, x, y, shape, 2e16)
    assert found.leaves
    assert found.end_share > 0.8
    # The same plume on a line that ends within the image is the business of its baseline.
    assert check_plume_extent(cut, x, 50 + 380 * s, shape, 2e16) == (0.0, False)
    # Noise alone is no plume at the border.
    noise = 2e16 * np.random.default_rng(5).standard_normal(200)
    assert not check_plume_extent(noise, x, y, shape, 2e16).leaves
    cut[180:] = np.nan
    masked = check_plume_extent(np.where(s > 0.85, np.nan, cut), x, y, shape, 2e16)
    assert math.isnan(masked.end_share)
    assert not masked.leaves


@pytest.mark.parametrize(
    ("between", "flagged"), [(90.0, False), (40.0, False), (31.0, False), (29.0, True), (-5.0, True)]
)
def test_a_plume_towards_the_camera(between: float, flagged: bool) -> None:
    view = math.radians(170)
    found = check_plume_angle(view + math.radians(between + 90), view)
    assert found.angle_rad == pytest.approx(math.radians(abs(between)))
    assert found.along_view is flagged
    assert not check_plume_angle(math.nan, view).along_view


def test_a_frame_that_comes_again() -> None:
    rng = np.random.default_rng(6)
    scene = np.linspace(0, 1100, 486 * 648).reshape(486, 648)
    first, second = (np.clip(rng.normal(scene, 3), 0, 1023).astype(np.uint16) for _ in range(2))
    assert is_stale(first, first.copy(), saturation_dn=1000)
    assert not is_stale(first, second, saturation_dn=1000)
    touched = first.copy()
    touched[:3] += 1  # a stamp burnt into the upper rows
    assert not is_stale(first, touched, saturation_dn=1000)
    assert is_stale(first, touched, saturation_dn=1000, share=0.99)
    full = np.full((486, 648), 1023, np.uint16)
    assert not is_stale(full, full, saturation_dn=1000)
    assert not is_stale(first, first[:100], saturation_dn=1000)
