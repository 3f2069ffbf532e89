"""Every sky-background mode on skies where its assumption holds, and on one where it does not."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from so2cam.core.records import BoolImage, FloatArray, FloatImage
from so2cam.science.imaging.background import BLOCK
from so2cam.science.imaging.background_modes import (
    BACKGROUND_STATUS_TEXT,
    MODE_NUMBERS,
    BackgroundMode,
    BackgroundResult,
    BackgroundStatus,
    Rectangle,
    SkyAreas,
    SkyColumn,
    SkyRow,
    correct_background,
    find_sky_areas,
    mode_from,
    needed_areas,
    needs_clear,
)

SHAPE = (486, 648)
NOISE = 0.006
"""Shot noise of a pixel's log intensity: 28 000 electrons."""
PEAK = 0.2
"""Absorbance of SO2 in the on band at the plume's densest; the off band sees a fortieth of it."""
AEROSOL = 0.03
"""Optical depth of the plume's droplets, in both bands."""

Mode = BackgroundMode
Sky = Callable[[FloatArray, FloatArray], FloatArray]
"""Log intensity of the sky as a function of u and v, from -1 to 1 across and down the image."""

SCALED_MODES = (
    Mode.SCALE,
    Mode.SCALE_GRADIENT_Y,
    Mode.PROFILE_Y,
    Mode.SCALE_GRADIENT_XY,
    Mode.PROFILE_Y_GRADIENT_X,
    Mode.PROFILE_XY,
)


def polynomial(constant: float = 0, u: float = 0, v: float = 0, uu: float = 0, uv: float = 0, vv: float = 0) -> Sky:
    return lambda x, y: constant + u * x + v * y + uu * x**2 + uv * x * y + vv * y**2


HOLDS: dict[Mode, tuple[Sky, Sky]] = {
    Mode.POLYNOMIAL: (polynomial(8, 0.06, 0.17, -0.05, 0.03, 0.04), polynomial(9, 0.05, 0.11, -0.03, 0.02, 0.02)),
    Mode.SCALE: (polynomial(0.11), polynomial(0.04)),
    Mode.SCALE_GRADIENT_Y: (polynomial(0.06, v=0.14), polynomial(0.03, v=0.08)),
    Mode.PROFILE_Y: (polynomial(0.06, v=0.14, vv=0.06), polynomial(0.03, v=0.08, vv=0.03)),
    Mode.SCALE_GRADIENT_XY: (polynomial(0.06, 0.07, 0.14), polynomial(0.03, 0.04, 0.08)),
    Mode.PROFILE_Y_GRADIENT_X: (polynomial(0.06, 0.07, 0.14, vv=0.06), polynomial(0.03, 0.04, 0.08, vv=0.03)),
    Mode.PROFILE_XY: (polynomial(0.06, 0.07, 0.14, -0.06, 0, 0.06), polynomial(0.03, 0.04, 0.08, -0.03, 0, 0.03)),
    Mode.RECTANGLE: (polynomial(8), polynomial(9)),
    Mode.CLEAR_SKY: (polynomial(0), polynomial(0)),
}
"""Skies on and off band that a mode follows: against the clear-sky image, or the sky itself where there is none."""

FAILS: dict[Mode, tuple[Sky, Sky]] = {
    Mode.POLYNOMIAL: (lambda u, v: 8 + 0.12 * np.sin(3 * u + 1) * (v + 0.5), lambda u, v: 9 + 0 * u),
    Mode.SCALE: HOLDS[Mode.SCALE_GRADIENT_Y],
    Mode.SCALE_GRADIENT_Y: (polynomial(0.06, v=0.14, vv=0.16), polynomial(0.03, v=0.08, vv=0.06)),
    Mode.PROFILE_Y: HOLDS[Mode.PROFILE_Y_GRADIENT_X],
    Mode.SCALE_GRADIENT_XY: (polynomial(0.06, 0.07, 0.14, vv=0.16), polynomial(0.03, 0.04, 0.08, vv=0.06)),
    Mode.PROFILE_Y_GRADIENT_X: HOLDS[Mode.PROFILE_XY],
    Mode.PROFILE_XY: (polynomial(0.06, 0.07, 0.14, uv=0.06), polynomial(0.03, 0.04, 0.08, uv=0.02)),
    Mode.RECTANGLE: (polynomial(8, v=0.14), polynomial(9, v=0.08)),
    Mode.CLEAR_SKY: HOLDS[Mode.SCALE],
}
"""The next harder sky."""


@dataclass(frozen=True)
class Scene:
    """A simulated pair: log images and log clear-sky images of both bands, and the truth."""

    images: tuple[FloatImage, FloatImage]
    clears: tuple[FloatImage, FloatImage] | None
    valid: BoolImage
    plume: FloatImage
    terrain: BoolImage

    @property
    def like_clear(self) -> tuple[FloatImage, FloatImage]:
        """Both bands without their vignetting."""
        if self.clears is None:
            return self.images
        return self.images[0] - self.clears[0], self.images[1] - self.clears[1]


def unit(shape: tuple[int, int]) -> tuple[FloatArray, FloatArray]:
    v, u = np.meshgrid(np.linspace(-1, 1, shape[0]), np.linspace(-1, 1, shape[1]), indexing="ij")
    return u, v


def plume_at(direction: str, shape: tuple[int, int] = SHAPE) -> FloatImage:
    """A plume from a vent at the bottom, up and aside: its share of the peak absorbance."""
    u, v = unit(shape)
    along, across = {"left": (-0.9, -0.55), "right": (0.9, -0.55), "up": (0.0, -1.0)}[direction]
    length = np.hypot(along, across)
    du, dv = u - 0.0, v - 0.55
    s = (du * along + dv * across) / length
    n = (-du * across + dv * along) / length
    width = 0.10 + 0.12 * np.clip(s, 0, None)
    share = np.clip(1 - (n / width) ** 2, 0, None) ** 2 * (s > 0) * (0.75 + 0.25 * np.cos(9 * s))
    return np.asarray(share, np.float32)


def scene(
    skies: tuple[Sky, Sky],
    *,
    with_clear: bool,
    direction: str = "left",
    seed: int = 1,
    shape: tuple[int, int] = SHAPE,
    missing: str | None = None,
    terrain_at: float = 0.6,
    noise: float = NOISE,
) -> Scene:
    """Without a clear-sky image the images are flat-corrected: they have no vignetting."""
    random = np.random.default_rng(seed)
    u, v = unit(shape)
    share = plume_at(direction, shape)
    terrain = v > terrain_at - 0.15 * np.exp(-((u / 0.5) ** 2))
    valid = np.ones(shape, np.bool_)
    if missing is not None:
        edge = shape[1] // 6
        valid[:, :edge] = missing != "left"
        valid[:, shape[1] - edge :] = missing != "right"
    valid[random.random(shape) < 0.002] = False
    images, clears = [], []
    for band, (absorbance, vignetting) in enumerate(((PEAK, 0.40), (PEAK / 40, 0.30))):
        level = np.log(1 - vignetting * (u**2 + v**2) / 2) + polynomial(8 + band, 0.04, -0.09, vv=0.02)(u, v)
        clear = level if with_clear else np.zeros(shape)
        sky = clear + skies[band](u, v)
        image = np.where(terrain, sky - 1.1 + 0.1 * np.sin(40 * u), sky - (absorbance + AEROSOL) * share)
        image = (image + random.normal(0, noise, shape)).astype(np.float32)
        image[~valid] = np.nan
        images.append(image)
        clears.append((clear + random.normal(0, noise / 4, shape)).astype(np.float32))
    plume = np.where(terrain, 0, PEAK * (1 - 1 / 40) * share).astype(np.float32)
    return Scene((images[0], images[1]), (clears[0], clears[1]) if with_clear else None, valid, plume, terrain)


def scene_for(mode: Mode, skies: tuple[Sky, Sky], **kind: object) -> Scene:
    return scene(skies, with_clear=needs_clear(mode), **kind)  # type: ignore[arg-type]


def drawn_areas(made: Scene) -> SkyAreas:
    """What a careful person draws for a plume that drifts to the left."""
    _, v = unit(made.valid.shape)
    free = made.valid & ~made.terrain & (made.plume == 0) & (v < 0.35)
    return SkyAreas(
        scale=(560, 20, 620, 70),
        y_gradient=(560, 280, 620, 330),
        x_gradient=(20, 10, 80, 60),
        y_profile=SkyColumn(520, 5, 350, 15),
        x_profile=SkyRow(20, 60, 640, 15),
        plume_free=free,
        above_skyline=made.valid & ~made.terrain,
    )


def bands(made: Scene, mode: Mode, areas: SkyAreas | None) -> tuple[BackgroundResult, BackgroundResult]:
    clears = (None, None) if made.clears is None else made.clears
    on, off = (
        correct_background(image, clear, made.valid, mode, areas)
        for image, clear in zip(made.images, clears, strict=True)
    )
    return on, off


def absorbance(made: Scene, mode: Mode, areas: SkyAreas | None) -> FloatImage:
    on, off = bands(made, mode, areas)
    assert on.status is BackgroundStatus.OK
    assert off.status is BackgroundStatus.OK
    return on.optical_depth - off.optical_depth


def errors(made: Scene, found: FloatImage) -> tuple[float, float]:
    """Relative errors of the plume's mean absorbance and of a column integrated across the plume."""
    inside = (made.plume > 0.25 * PEAK) & made.valid
    mean = float(found[inside].mean() / made.plume[inside].mean() - 1)
    column = made.valid.shape[1] // 4
    across = (made.plume[:, column] > 0) & made.valid[:, column]
    assert across.sum() > 50
    integral = float(found[across, column].sum() / made.plume[across, column].sum() - 1)
    return mean, integral


@pytest.mark.parametrize("mode", list(Mode))
@pytest.mark.parametrize("automatic", [False, True], ids=["drawn", "automatic"])
def test_known_plume_is_found_where_the_assumption_holds(mode: Mode, automatic: bool) -> None:
    made = scene_for(mode, HOLDS[mode])
    areas = find_sky_areas(*made.like_clear, made.valid) if automatic else drawn_areas(made)
    mean, integral = errors(made, absorbance(made, mode, areas))
    assert abs(mean) < 0.03
    assert abs(integral) < 0.03


@pytest.mark.parametrize("mode", list(Mode))
def test_limit_of_each_mode_is_a_bias_that_its_structure_shows(mode: Mode) -> None:
    held, failed = scene_for(mode, HOLDS[mode]), scene_for(mode, FAILS[mode])
    mean, integral = errors(failed, absorbance(failed, mode, drawn_areas(failed)))
    assert max(abs(mean), abs(integral)) > 0.03
    good, bad = bands(held, mode, drawn_areas(held))[0], bands(failed, mode, drawn_areas(failed))[0]
    assert bad.structure > 5 * good.structure
    assert bad.uncertainty > 0.005


@pytest.mark.parametrize("mode", [mode for mode in Mode if needs_clear(mode)])
def test_vignetting_cancels_with_the_clear_image_and_constants_suffice_after_the_flat(mode: Mode) -> None:
    made = scene_for(mode, HOLDS[mode], noise=0.0)
    assert made.clears is not None
    as_image, _ = bands(made, mode, drawn_areas(made))
    flat = made.images[0] - made.clears[0] + np.float32(7.5)
    as_constant = correct_background(flat, 7.5, made.valid, mode, drawn_areas(made))
    np.testing.assert_allclose(as_constant.optical_depth, as_image.optical_depth, atol=1e-5)
    assert as_constant.level == pytest.approx(as_image.level, abs=1e-5)


@pytest.mark.parametrize("mode", [mode for mode in Mode if mode is not Mode.RECTANGLE])
def test_difference_of_the_bands_gives_the_absorbance_at_once(mode: Mode) -> None:
    made = scene_for(mode, HOLDS[mode])
    both = absorbance(made, mode, drawn_areas(made))
    clear = None if made.clears is None else made.clears[0] - made.clears[1]
    once = correct_background(made.images[0] - made.images[1], clear, made.valid, mode, drawn_areas(made))
    assert float(np.nanmax(np.abs(once.optical_depth - both))) < 5e-4
    assert once.uncertainty < 2e-3


LAYOUTS = [("left", None), ("right", None), ("up", None), ("left", "right"), ("up", "left"), ("right", "left")]


@pytest.mark.parametrize(("direction", "missing"), LAYOUTS)
@pytest.mark.parametrize("sky", [Mode.SCALE, Mode.PROFILE_XY])
def test_automatic_areas_keep_out_of_plume_terrain_and_missing_cover(
    direction: str, missing: str | None, sky: Mode
) -> None:
    made = scene(HOLDS[sky], with_clear=True, direction=direction, missing=missing)
    areas = find_sky_areas(*made.like_clear, made.valid)
    assert areas is not None
    boxes = area_boxes(areas)
    assert set(boxes) == {"scale", "y_gradient", "x_gradient", "y_profile", "x_profile"}
    for name, box in boxes.items():
        assert not made.terrain[box].any(), name
        assert made.valid[box].mean() > 0.98, name
        assert float(made.plume[box].max()) < 0.005, name
        assert float(made.plume[box].mean()) < 0.0005, name
    assert areas.scale is not None
    assert areas.y_gradient is not None
    assert areas.x_gradient is not None
    assert areas.scale[::2] == areas.y_gradient[::2]
    assert areas.scale[1::2] == areas.x_gradient[1::2]
    assert areas.y_gradient[1] - areas.scale[3] > 50
    if direction != "up" and missing is None:
        assert (areas.scale[0] > SHAPE[1] / 2) == (direction == "left")
    assert areas.plume_free is not None
    assert float(made.plume[areas.plume_free].max()) < 0.02
    assert not made.terrain[areas.plume_free].any()


def area_boxes(areas: SkyAreas) -> dict[str, tuple[slice, slice]]:
    rectangles: dict[str, Rectangle | None] = {
        "scale": areas.scale,
        "y_gradient": areas.y_gradient,
        "x_gradient": areas.x_gradient,
    }
    if areas.y_profile is not None:
        left = areas.y_profile.x - areas.y_profile.width // 2
        rectangles["y_profile"] = (left, areas.y_profile.y0, left + areas.y_profile.width - 1, areas.y_profile.y1)
    if areas.x_profile is not None:
        top = areas.x_profile.y - areas.x_profile.width // 2
        rectangles["x_profile"] = (areas.x_profile.x0, top, areas.x_profile.x1, top + areas.x_profile.width - 1)
    return {
        name: (slice(box[1], box[3] + 1), slice(box[0], box[2] + 1))
        for name, box in rectangles.items()
        if box is not None
    }


def test_of_two_equally_clear_sides_the_brighter_one_is_taken() -> None:
    for brighter, right in ((0.08, True), (-0.08, False)):
        made = scene((polynomial(u=brighter), polynomial(u=brighter)), with_clear=True, direction="up", seed=3)
        areas = find_sky_areas(*made.like_clear, made.valid)
        assert areas is not None
        assert areas.scale is not None
        assert (areas.scale[0] > SHAPE[1] / 2) == right


def test_a_skyline_may_be_given_as_pixels_or_as_blocks() -> None:
    made = scene(HOLDS[Mode.SCALE], with_clear=True)
    _, v = unit(SHAPE)
    pixels = v < 0.2
    blocks = np.zeros((SHAPE[0] // BLOCK, SHAPE[1] // BLOCK), np.bool_)
    blocks[: int(np.flatnonzero(pixels.all(axis=1)).max() + 1) // BLOCK] = True
    of_pixels = find_sky_areas(*made.like_clear, made.valid, pixels)
    of_blocks = find_sky_areas(*made.like_clear, made.valid, blocks)
    assert of_pixels is not None
    assert of_pixels == of_blocks
    for box in area_boxes(of_pixels).values():
        assert pixels[box].all()
    with pytest.raises(ValueError, match="shape"):
        find_sky_areas(*made.like_clear, made.valid, np.ones((5, 5), np.bool_))


@pytest.mark.parametrize("mode", list(Mode))
def test_too_little_sky_is_a_status_and_never_another_mode(mode: Mode) -> None:
    made = scene_for(mode, HOLDS[mode], terrain_at=-0.85)
    areas = find_sky_areas(*made.like_clear, made.valid)
    assert areas is None
    on, _ = bands(made, mode, areas)
    if needed_areas(mode):
        assert on.status is BackgroundStatus.NO_AREA
        assert np.isnan(on.optical_depth).all()
        assert np.isnan([on.level, on.uncertainty]).all()
    else:
        assert on.status is BackgroundStatus.OK
        assert np.isnan(on.uncertainty)


def test_low_sky_has_areas_for_some_modes_only() -> None:
    made = scene(HOLDS[Mode.SCALE], with_clear=True, terrain_at=-0.55)
    areas = find_sky_areas(*made.like_clear, made.valid)
    assert areas is not None
    assert areas.scale is not None
    assert areas.y_gradient is None
    assert areas.y_profile is None
    assert bands(made, Mode.SCALE, areas)[0].status is BackgroundStatus.OK
    for mode in (Mode.SCALE_GRADIENT_Y, Mode.PROFILE_Y, Mode.PROFILE_Y_GRADIENT_X, Mode.PROFILE_XY):
        assert bands(made, mode, areas)[0].status is BackgroundStatus.NO_AREA


def test_what_a_mode_lacks_is_named() -> None:
    made = scene(HOLDS[Mode.SCALE], with_clear=True)
    image, clear, areas = made.images[0], 8.0, drawn_areas(made)

    def status(mode: Mode, given: SkyAreas, valid: BoolImage = made.valid) -> BackgroundStatus:
        result = correct_background(image, clear, valid, mode, given)
        assert np.isnan(result.optical_depth).all()
        return result.status

    for mode in Mode:
        if needs_clear(mode):
            refused = correct_background(image, None, made.valid, mode, areas)
            assert refused.status is BackgroundStatus.NO_CLEAR_IMAGE
        for name in needed_areas(mode):
            lacking = replace(areas, **{name: None})
            assert status(mode, lacking) is BackgroundStatus.NO_AREA
    outside = replace(areas, scale=(700, 20, 760, 70))
    assert status(Mode.SCALE, outside) is BackgroundStatus.TOO_FEW_PIXELS
    assert status(Mode.RECTANGLE, outside) is BackgroundStatus.TOO_FEW_PIXELS
    assert status(Mode.SCALE, replace(areas, scale=(-30, -30, -3, -3))) is BackgroundStatus.TOO_FEW_PIXELS
    beside = replace(areas, y_gradient=(300, 40, 360, 90))
    assert status(Mode.SCALE_GRADIENT_Y, beside) is BackgroundStatus.AREAS_OVERLAP
    masked = made.valid.copy()
    masked[:300] = False
    assert status(Mode.PROFILE_Y, areas, masked) is BackgroundStatus.TOO_FEW_PIXELS
    nowhere = np.zeros(SHAPE, np.bool_)
    assert status(Mode.CLEAR_SKY, areas, nowhere) is BackgroundStatus.TOO_FEW_PIXELS
    nothing_free = replace(areas, plume_free=nowhere)
    assert status(Mode.POLYNOMIAL, nothing_free) is BackgroundStatus.TOO_FEW_PIXELS
    assert set(BACKGROUND_STATUS_TEXT) == set(BackgroundStatus)


@pytest.mark.parametrize("mode", list(Mode))
def test_invalid_pixels_stay_missing_and_move_nothing(mode: Mode) -> None:
    made = scene_for(mode, HOLDS[mode])
    areas = drawn_areas(made)
    clear = None if made.clears is None else made.clears[0]
    before = correct_background(made.images[0], clear, made.valid, mode, areas)
    spoiled = np.where(made.valid, made.images[0], np.float32(-40))
    after = correct_background(spoiled, clear, made.valid, mode, areas)
    np.testing.assert_array_equal(before.optical_depth, after.optical_depth)
    np.testing.assert_array_equal(np.isnan(after.optical_depth), ~made.valid)
    assert before.level == after.level
    assert before.optical_depth.dtype == np.float32
    # Pixels that are not finite need no mask, and half a rectangle without pixels tilts no gradient.
    holes = made.images[0].copy()
    holes[20:41, 560:621] = np.nan
    holed = correct_background(holes, clear, np.ones(SHAPE, np.bool_), mode, areas)
    kept = np.isfinite(holed.optical_depth) & made.valid
    assert float(np.max(np.abs(holed.optical_depth[kept] - before.optical_depth[kept]))) < 1.5e-3


@pytest.mark.parametrize("mode", list(Mode))
def test_dust_and_hot_pixels_in_an_area_hardly_count(mode: Mode) -> None:
    made = scene_for(mode, HOLDS[mode])
    areas = drawn_areas(made)
    clear = None if made.clears is None else made.clears[0]
    before = correct_background(made.images[0], clear, made.valid, mode, areas)
    dirty = made.images[0].copy()
    hit = np.random.default_rng(5).random(SHAPE) < 0.02
    dirty[hit] += np.float32(0.5)
    after = correct_background(dirty, clear, made.valid, mode, areas)
    clean = made.valid & ~hit & ~made.terrain
    assert float(np.abs(after.optical_depth - before.optical_depth)[clean].mean()) < 1.5e-3 < 0.02 * 0.5 / 5


def test_inputs_are_not_changed() -> None:
    made = scene(HOLDS[Mode.SCALE], with_clear=True)
    assert made.clears is not None
    for array in (*made.images, *made.clears, made.valid):
        array.setflags(write=False)
    for mode in Mode:
        bands(made, mode, drawn_areas(made))
    find_sky_areas(*made.images, made.valid)


def test_rectangle_mode_takes_the_mean_of_intensity() -> None:
    random = np.random.default_rng(2)
    intensity = 3000 * (1 + random.normal(0, 0.05, (60, 80)))
    log_image = np.log(intensity).astype(np.float32)
    everywhere = np.ones(log_image.shape, np.bool_)
    result = correct_background(log_image, None, everywhere, Mode.RECTANGLE, SkyAreas(scale=(0, 0, 79, 59)))
    assert result.level == pytest.approx(float(np.log(intensity.mean())), abs=3e-4)


def test_polynomial_of_order_one_follows_a_plane_only() -> None:
    plane = scene((polynomial(8, 0.06, 0.12), polynomial(9, 0.03, 0.05)), with_clear=False)
    curved = scene(HOLDS[Mode.POLYNOMIAL], with_clear=False)
    for made, order, low, high in ((plane, 1, 0.0, 0.03), (curved, 1, 0.03, 1.0), (curved, 2, 0.0, 0.03)):
        on, off = (
            correct_background(image, None, made.valid, Mode.POLYNOMIAL, drawn_areas(made), order=order)
            for image in made.images
        )
        worst = max(map(abs, errors(made, on.optical_depth - off.optical_depth)))
        assert low <= worst < high


def small(seed: int, blur: bool = False) -> tuple[FloatImage, SkyAreas]:
    noise = np.random.default_rng(seed).normal(0, 0.01, (97, 129))
    if blur:
        # A shift by half a pixel, as registration may be: neighbours share their noise.
        noise = (noise[1:, 1:] + noise[:-1, 1:] + noise[1:, :-1] + noise[:-1, :-1]) / 4
    else:
        noise = noise[1:, 1:]
    free = np.zeros((96, 128), np.bool_)
    free[:40] = True
    return (8 + noise).astype(np.float32), SkyAreas(
        scale=(90, 4, 114, 28),
        y_gradient=(90, 60, 114, 84),
        x_gradient=(4, 4, 28, 28),
        y_profile=SkyColumn(100, 2, 90),
        x_profile=SkyRow(10, 2, 124),
        plume_free=free,
    )


@pytest.mark.parametrize("mode", [mode for mode in Mode if mode is not Mode.CLEAR_SKY])
@pytest.mark.parametrize("blur", [False, True], ids=["white", "blurred"])
def test_standard_error_is_the_scatter_from_noise(mode: Mode, blur: bool) -> None:
    everywhere = np.ones((96, 128), np.bool_)
    misfits, stated = [], []
    for seed in range(60):
        image, areas = small(seed, blur)
        result = correct_background(image, 8.0, everywhere, mode, areas)
        background = (result.optical_depth + image).astype(np.float64) - 8.0
        misfits.append(float(np.sqrt(np.mean(background**2))))
        stated.append(result.standard_error)
        assert result.structure < 3e-3
    true = float(np.sqrt(np.mean(np.square(misfits))))
    assert 0.8 < float(np.sqrt(np.mean(np.square(stated)))) / true < 1.3


@settings(max_examples=40, deadline=None)
@given(
    constant=st.floats(-3, 3, allow_nan=False, width=32),
    mode=st.sampled_from(SCALED_MODES),
    seed=st.integers(0, 1000),
    holes=st.floats(0, 0.2),
)
def test_a_constant_added_to_the_log_image_changes_nothing_but_the_level(
    constant: float, mode: Mode, seed: int, holes: float
) -> None:
    image, areas = small(seed)
    valid = np.random.default_rng(seed).random(image.shape) >= holes
    before = correct_background(image, 8.0, valid, mode, areas)
    after = correct_background(image + np.float32(constant), 8.0, valid, mode, areas)
    assert before.status is BackgroundStatus.OK
    np.testing.assert_allclose(after.optical_depth, before.optical_depth, atol=2e-5)
    assert after.level == pytest.approx(before.level - constant, abs=2e-5)
    assert after.uncertainty == pytest.approx(before.uncertainty, abs=2e-5)


@settings(max_examples=25, deadline=None)
@given(
    slopes=st.tuples(*[st.floats(-0.2, 0.2)] * 2),
    mode=st.sampled_from([Mode.SCALE_GRADIENT_XY, Mode.PROFILE_Y_GRADIENT_X, Mode.PROFILE_XY, Mode.POLYNOMIAL]),
)
def test_any_plane_vanishes_in_modes_of_both_directions(slopes: tuple[float, float], mode: Mode) -> None:
    u, v = unit((96, 128))
    _, areas = small(0)
    plane = (8 + slopes[0] * u + slopes[1] * v).astype(np.float32)
    result = correct_background(plane, 8.0, np.ones(plane.shape, np.bool_), mode, areas)
    np.testing.assert_allclose(result.optical_depth, 0, atol=5e-5)
    assert result.structure < 5e-5


def test_modes_have_names_and_numbers() -> None:
    assert set(MODE_NUMBERS.values()) == set(Mode)
    assert list(MODE_NUMBERS) == [0, 1, 2, 3, 4, 5, 6, 7, 99]
    for number, mode in MODE_NUMBERS.items():
        assert mode_from(number) is mode
        assert mode_from(str(number)) is mode
        assert mode_from(mode.value) is mode
        assert mode_from(mode) is mode
    for wrong in (8, -1, "8", "", "profile", "Scale", "5.0", "²", True, False):
        with pytest.raises(ValueError, match=r"scale \(1\)"):
            mode_from(wrong)
    assert [number for number, mode in MODE_NUMBERS.items() if not needs_clear(mode)] == [0, 7]
    assert needed_areas(Mode.PROFILE_Y_GRADIENT_X) == ("y_profile", "scale", "x_gradient")


def test_areas_without_extent_are_refused() -> None:
    for wrong in (
        {"scale": (10, 10, 10, 20)},
        {"y_gradient": (10, 30, 20, 20)},
        {"x_gradient": (20, 10, 10, 20)},
        {"y_profile": SkyColumn(5, 10, 10)},
        {"y_profile": SkyColumn(5, 10, 20, 0)},
        {"x_profile": SkyRow(5, 20, 10)},
        {"x_profile": SkyRow(5, 10, 20, 0)},
    ):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            SkyAreas(**wrong)
