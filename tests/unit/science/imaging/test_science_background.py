"""The sky behind simulated plumes, over simulated terrain: found, and right."""

from dataclasses import dataclass

import numpy as np
import pytest

from so2cam.core.records import BoolImage, FloatArray, FloatImage
from so2cam.science.imaging.background import (
    BLOCK,
    Blocks,
    SkySurface,
    block_means,
    blocks_to_pixels,
    evaluate_surface,
    find_sky,
    fit_sky_surface,
    pixel_noise,
)

SHAPE = (486, 648)
Y, X = np.mgrid[0 : SHAPE[0], 0 : SHAPE[1]].astype(np.float64)
U, V = (X - 324) / 324, (Y - 243) / 243
EVERYWHERE = np.ones(SHAPE, np.bool_)
NOISE = 0.005
HILLS = 400 + 20 * np.sin(X[0] / 60) - 30 * np.exp(-(((X[0] - 330) / 90) ** 2))


def surface(coefficients: tuple[float, ...]) -> FloatArray:
    terms = (np.ones(SHAPE), U, V, U * U, U * V, V * V, U**3, U * U * V, U * V * V, V**3)
    return sum((c * term for c, term in zip(coefficients, terms, strict=False)), np.zeros(SHAPE))


ON_SKY = surface((6.0, 0.08, 0.15, -0.04, 0.02, -0.03))
OFF_SKY = surface((6.3, 0.05, 0.20, -0.03, 0.01, -0.05))


@dataclass(frozen=True)
class Scene:
    on: FloatImage
    off: FloatImage
    absorbance: FloatArray
    terrain: BoolImage


def band(width_px: float, tilt: float = 0.2, middle: float = 180.0, *, sharp: bool = False) -> FloatArray:
    """A plume of a given width across the image: from 1 in its middle to exactly 0 at its edges."""
    distance = np.abs(Y - middle - tilt * (X - 324))
    inside = distance < width_px / 2
    return np.where(inside, 1.0 if sharp else np.cos(np.pi * distance / width_px) ** 2, 0.0)


def scene(
    plume: FloatArray,
    *,
    seed: int = 0,
    depth: float = 0.2,
    aerosol: float = 0.0,
    skyline: FloatArray | None = HILLS,
    ground: float = -0.9,
) -> Scene:
    rng = np.random.default_rng(seed)
    terrain = np.zeros(SHAPE, np.bool_) if skyline is None else skyline[None, :] < Y
    rough = 0.1 * np.sin(X / 9) * np.sin(Y / 7)
    on = np.where(terrain, ON_SKY + ground + rough, ON_SKY - (depth + aerosol) * plume)
    off = np.where(terrain, OFF_SKY + ground + 0.1 + rough, OFF_SKY - aerosol * plume)
    on = on + NOISE * rng.standard_normal(SHAPE)
    off = off + NOISE * rng.standard_normal(SHAPE)
    return Scene(on.astype(np.float32), off.astype(np.float32), np.where(terrain, 0.0, depth * plume), terrain)


def sky_of(
    view: Scene, *, order: int = 2, valid: BoolImage = EVERYWHERE, skyline: FloatArray | None = None
) -> tuple[BoolImage, SkySurface | None]:
    blocks = block_means(view.on, view.off, valid)
    above = find_sky(blocks, SHAPE, skyline)
    return above, fit_sky_surface(blocks, above, SHAPE, order=order)


def error_of(view: Scene, fit: SkySurface) -> FloatArray:
    absorbance = view.off - view.on + evaluate_surface(fit.on - fit.off, fit.order, SHAPE)
    return np.asarray(absorbance - view.absorbance)


def check_within_one_percent(view: Scene, fit: SkySurface | None) -> None:
    assert fit is not None
    error = error_of(view, fit)
    plume = view.absorbance > 0.02 * view.absorbance.max()
    assert abs(error[plume].mean()) < 0.01 * view.absorbance[plume].mean()
    free = ~plume & ~view.terrain
    assert abs(error[free].mean()) < 0.01 * view.absorbance[plume].mean()
    assert fit.structure < 0.002


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize(("width", "share"), [(70, 0.15), (140, 0.30), (205, 0.45)])
@pytest.mark.parametrize("depth", [0.05, 0.2, 0.7])
def test_absorbance_above_the_fitted_sky_is_right_within_1_percent(
    seed: int, width: float, share: float, depth: float
) -> None:
    view = scene(band(width), seed=seed, depth=depth)
    covered = np.sum(view.absorbance > 0) / np.sum(~view.terrain)
    assert covered == pytest.approx(share, abs=0.07)
    above, fit = sky_of(view)
    check_within_one_percent(view, fit)
    assert fit is not None
    assert not np.any(fit.plume_free & ~above)


@pytest.mark.parametrize("tilt", [-0.5, 0.0, 0.35])
def test_a_plume_in_any_direction(tilt: float) -> None:
    check_within_one_percent(view := scene(band(120, tilt), seed=2), sky_of(view)[1])


def test_a_plume_that_leaves_the_image_at_the_top() -> None:
    rising = np.exp(-(((X - 330 - 0.2 * (400 - Y)) / (25 + 0.1 * (400 - Y))) ** 2))
    rising[rising < 1e-3] = 0
    check_within_one_percent(view := scene(rising, seed=3), sky_of(view)[1])


def test_the_plume_is_not_taken_for_sky() -> None:
    view = scene(band(120), seed=4)
    _, fit = sky_of(view)
    assert fit is not None
    free = blocks_to_pixels(fit.plume_free, SHAPE)
    assert view.absorbance[free].max() < 0.03
    assert fit.sky_share == pytest.approx(free.mean(), abs=0.02)
    assert 0.35 < fit.sky_share < 0.65


def lowest_sky(above: BoolImage) -> FloatArray:
    """Return the lower edge [px] of the sky in every column of blocks."""
    return np.array([BLOCK * (np.flatnonzero(column)[-1] + 1) if column.any() else 0 for column in above.T])


@pytest.mark.parametrize("ground", [-0.9, -0.5, 0.4], ids=["dark ground", "hazy ground", "snow"])
@pytest.mark.parametrize("level", [250, 333, 401])
def test_the_skyline_is_found_within_a_block(ground: float, level: int) -> None:
    # A block of margin above what was found is left out.
    view = scene(np.zeros(SHAPE), skyline=np.full(SHAPE[1], float(level)), ground=ground)
    found = lowest_sky(sky_of(view)[0]) + BLOCK
    assert np.abs(found - level).max() <= BLOCK


def test_a_hilly_skyline_is_found_and_no_terrain_is_taken_for_sky() -> None:
    view = scene(band(100), seed=5)
    above, _ = sky_of(view)
    found = lowest_sky(above) + BLOCK
    highest = np.array([HILLS[start : start + BLOCK].min() for start in range(0, SHAPE[1], BLOCK)])
    assert np.median(np.abs(found - highest)) <= BLOCK
    assert (found - highest).max() <= BLOCK
    assert not np.any(blocks_to_pixels(above, SHAPE) & view.terrain)


def test_sky_without_terrain_is_all_sky() -> None:
    above, fit = sky_of(scene(np.zeros(SHAPE), skyline=None))
    assert above.all()
    assert fit is not None
    assert fit.sky_share > 0.97


def test_an_explicit_skyline_is_followed() -> None:
    view = scene(np.zeros(SHAPE), skyline=None)
    above, _ = sky_of(view, skyline=np.array([[0.0, 200.0], [324.0, 300.0], [647.0, 300.0]]))
    # Blocks are sky where their lower edge lies above the line.
    expected = np.floor((np.interp((np.arange(81) + 0.5) * 8 - 0.5, [0, 324, 647], [200, 300, 300]) + 0.5) / 8) * 8
    np.testing.assert_array_equal(lowest_sky(above), expected)


@pytest.mark.parametrize(
    ("width", "aerosol", "sharp"),
    [(80, 0.6, True), (60, 1.5, True), (60, 0.2, False), (80, 0.3, False), (100, 0.5, False), (100, 1.0, False)],
)
@pytest.mark.parametrize("tilt", [0.2, -0.3])
def test_a_plume_thick_with_aerosol_does_not_end_the_sky(
    width: float, aerosol: float, sharp: bool, tilt: float
) -> None:
    view = scene(band(width, tilt, 170.0, sharp=sharp), seed=6, aerosol=aerosol)
    above, fit = sky_of(view)
    # A block of margin is left out above the terrain: about 3 % of the sky.
    sky = ~view.terrain[: above.shape[0] * BLOCK]
    found = blocks_to_pixels(above, SHAPE)[: above.shape[0] * BLOCK]
    assert np.mean(found[sky]) > 0.9
    assert not np.any(found & ~sky)
    check_within_one_percent(view, fit)


@pytest.mark.parametrize("order", [0, 1, 2, 3])
def test_surfaces_of_every_order_are_recovered(order: int) -> None:
    powers = [(i, j) for i in range(4) for j in range(4) if i + j <= order]
    rng = np.random.default_rng(order)
    behind = [sum((rng.uniform(-0.1, 0.1) * U**i * V**j for i, j in powers), np.full(SHAPE, 6.0)) for _ in range(2)]
    view = Scene(behind[0].astype(np.float32), behind[1].astype(np.float32), np.zeros(SHAPE), ~EVERYWHERE)
    above, fit = sky_of(view, order=order)
    assert fit is not None
    for coefficients, truth in ((fit.on, behind[0]), (fit.off, behind[1])):
        result = evaluate_surface(coefficients, order, SHAPE)
        assert result.dtype == np.float32
        # A pixel and the mean of a curved surface over its block differ by a little.
        assert np.abs(result - truth)[blocks_to_pixels(above, SHAPE)].max() < 2e-4
    assert np.abs(error_of(view, fit)).max() < 1e-4


def test_a_surface_takes_the_scale_of_the_image() -> None:
    # The same coefficients describe the same sky at half the resolution.
    coefficients = np.array([6.0, 0.1, -0.05, 0.02, 0.03, -0.04])
    full = evaluate_surface(coefficients, 2, SHAPE).reshape(243, 2, 324, 2).mean(axis=(1, 3))
    np.testing.assert_allclose(evaluate_surface(coefficients, 2, (243, 324)), full, atol=2e-6)


def test_too_little_sky_is_told() -> None:
    assert sky_of(scene(np.zeros(SHAPE), skyline=np.full(SHAPE[1], 14.0)))[1] is None
    narrow = sky_of(scene(np.zeros(SHAPE), skyline=None), skyline=np.array([[0.0, 0.0], [647.0, 8.0]]))[1]
    assert narrow is None


def test_nothing_valid_no_sky() -> None:
    view = scene(np.zeros(SHAPE))
    above, fit = sky_of(view, valid=~EVERYWHERE)
    assert not above.any()
    assert fit is None


def test_pixels_that_are_not_a_number_where_invalid_do_not_matter() -> None:
    view = scene(band(100), seed=7)
    valid = EVERYWHERE.copy()
    valid[:, :6] = False
    valid[:5] = False
    valid[100:140, 500:560] = False
    valid[np.random.default_rng(0).random(SHAPE) < 0.02] = False
    holed = Scene(
        np.where(valid, view.on, np.float32(np.nan)), np.where(valid, view.off, np.float32(np.nan)), *_rest(view)
    )
    _, fit = sky_of(holed, valid=valid)
    assert fit is not None
    error = np.where(valid, error_of(view, fit), np.nan)
    plume = view.absorbance > 0.004
    assert abs(np.nanmean(error[plume])) < 0.01 * view.absorbance[plume].mean()


def _rest(view: Scene) -> tuple[FloatArray, BoolImage]:
    return view.absorbance, view.terrain


@pytest.mark.parametrize("value", [0.0, 6.0, -3.0])
def test_constant_images(value: float) -> None:
    flat = np.full(SHAPE, value, np.float32)
    view = Scene(flat, flat + np.float32(0.25), np.zeros(SHAPE), ~EVERYWHERE)
    above, fit = sky_of(view)
    assert above.all()
    assert fit is not None
    assert np.abs(error_of(view, fit)).max() < 1e-5
    assert fit.structure < 1e-5


def test_means_of_blocks_leave_invalid_pixels_out() -> None:
    on = np.arange(16 * 24, dtype=np.float32).reshape(16, 24)
    valid = np.ones((16, 24), np.bool_)
    valid[0, 0], valid[8:16, 8:11] = False, False
    spoiled = np.where(valid, on, np.float32(np.nan))
    blocks = block_means(spoiled, 2 * spoiled, valid)
    assert blocks.usable.tolist() == [[True, True, True], [True, False, True]]
    expected = np.nanmean(spoiled.reshape(2, 8, 3, 8).astype(np.float64), axis=(1, 3))
    np.testing.assert_allclose(blocks.on, expected, rtol=1e-5)
    np.testing.assert_allclose(blocks.off, 2 * expected, rtol=1e-5)


def test_blocks_become_pixels_and_the_rest_takes_its_neighbours_value() -> None:
    blocks = np.array([[True, False], [False, True]])
    pixels = blocks_to_pixels(blocks, (19, 22))
    assert pixels.shape == (19, 22)
    assert pixels[:8, :8].all()
    assert not pixels[:8, 8:].any()
    assert not pixels[8:, :8].any()
    assert pixels[8:, 8:].all()
    assert np.array_equal(blocks_to_pixels(blocks, (16, 16)), pixels[:16, :16])


@pytest.mark.parametrize("sigma", [0.002, 0.03])
def test_noise_of_a_pixel_under_gradients_and_outliers(sigma: float) -> None:
    rng = np.random.default_rng(9)
    image = (sigma * rng.standard_normal(SHAPE) + 0.4 * U - 0.2 * V).astype(np.float32)
    image[rng.random(SHAPE) < 0.01] = 5.0
    assert pixel_noise(image, EVERYWHERE) == pytest.approx(sigma, rel=0.08)


def test_noise_is_taken_from_sky_alone_and_missing_without_it() -> None:
    image = np.zeros(SHAPE, np.float32)
    image[:200] = 0.01 * np.random.default_rng(10).standard_normal((200, SHAPE[1]))
    sky = Y < 200
    assert pixel_noise(image, sky) == pytest.approx(0.01, rel=0.05)
    image[sky & (X > 300)] = np.nan
    assert pixel_noise(image, sky) == pytest.approx(0.01, rel=0.05)
    assert np.isnan(pixel_noise(image, ~EVERYWHERE))
    assert np.isnan(pixel_noise(np.full(SHAPE, np.nan, np.float32), EVERYWHERE))


@pytest.mark.parametrize("kind", ["even count", "odd count", "stripes", "few values"])
def test_noise_is_that_of_the_exact_median_however_many_pixels(kind: str) -> None:
    image = (0.01 * np.random.default_rng(11).standard_normal(SHAPE)).astype(np.float32)
    if kind == "stripes":  # each 32nd pixel, of which a sample may be made, is quieter than all others
        image.ravel()[::16] *= np.float32(0.01)
    if kind == "few values":
        image = np.round(image, 2)
    sky = EVERYWHERE.copy()
    sky[0, 1] = kind != "odd count"
    second = np.abs(image[::4, 2:] - 2 * image[::4, 1:-1] + image[::4, :-2])[sky[::4, 1:-1]]
    assert pixel_noise(image, sky) == pytest.approx(1.4826 * np.median(second) / np.sqrt(6), rel=1e-6)


@pytest.mark.parametrize(
    ("plumes", "bottom"),
    [((), 58), (((8, 20),), 58), (((8, 29),), 7), (((8, 20), (24, 36)), 58), (((8, 20), (24, 45)), 23)],
)
def test_sky_goes_on_below_plumes_but_not_beyond_a_wide_gap(plumes: tuple[tuple[int, int], ...], bottom: int) -> None:
    # Plumes 0.5 thick in the off band over columns 20 to 60, from one row of blocks to before another.
    off = np.full((60, 81), 6.0)
    for first, after in plumes:
        off[first:after, 20:61] -= 0.5
    off[59:] = 4.0
    above = find_sky(Blocks(off.copy(), off, np.ones(off.shape, np.bool_)), SHAPE)
    middle = np.flatnonzero(above[:, 40])
    assert abs(int(middle[-1]) - bottom) <= 2
    assert np.array_equal(middle, np.arange(middle[-1] + 1))
