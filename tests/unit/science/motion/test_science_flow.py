"""Optical flow of plumes that move by a known displacement, and what its stated uncertainty is worth."""

import math

import numpy as np
import pytest

from so2cam.core.records import BoolImage, FloatArray
from so2cam.science.emission.rate import correlated_sum_uncertainty
from so2cam.science.motion.flow import Flow, Region, flow_at, flow_parts_at, flow_region, optical_flow

SIZE = 288
EVERYWHERE = np.ones((SIZE, SIZE), np.bool_)
ALL = Region(0, SIZE, 0, SIZE)
LINE_Y = np.arange(70.0, 218.0)
LINE_X = np.full(LINE_Y.size, 144.0)
RIGHT = (1.0, 0.0)


class Texture:
    """A random periodic field of unit variance and known smoothness, that can be moved exactly by any vector."""

    def __init__(self, seed: int, scale_px: float) -> None:
        frequency = 2 * np.pi * np.fft.fftfreq(SIZE)
        self._kx, self._ky = frequency[None, :], frequency[:, None]
        white = np.fft.fft2(np.random.default_rng(seed).standard_normal((SIZE, SIZE)))
        self._spectrum = white * np.exp(-(self._kx**2 + self._ky**2) * scale_px**2 / 2)
        self._spectrum[0, 0] = 0
        self._spectrum /= np.std(np.fft.ifft2(self._spectrum).real)

    def moved(self, dx: float, dy: float) -> FloatArray:
        return np.asarray(np.fft.ifft2(self._spectrum * np.exp(-1j * (self._kx * dx + self._ky * dy))).real)


def noise(seed: int, sigma: float) -> FloatArray:
    return sigma * np.random.default_rng([seed, 99]).standard_normal((2, SIZE, SIZE))


def flow_of(
    first: FloatArray,
    second: FloatArray,
    valid_first: BoolImage = EVERYWHERE,
    valid_second: BoolImage = EVERYWHERE,
    region: Region = ALL,
) -> Flow:
    return optical_flow(
        first.astype(np.float32),
        second.astype(np.float32),
        valid_first,
        valid_second,
        region,
        window_px=24,
        levels=4,
        iterations=4,
    )


def textured(
    seed: int, scale_px: float, amplitude: float, sigma: float, shift: tuple[float, float]
) -> tuple[FloatArray, FloatArray]:
    texture, errors = Texture(seed, scale_px), noise(seed, sigma)
    first = 0.3 + amplitude * texture.moved(0, 0) + errors[0]
    return first, 0.3 + amplitude * texture.moved(*shift) + errors[1]


@pytest.mark.parametrize(
    ("scale_px", "amplitude", "sigma"),
    [(6, 0.1, 0.0), (4, 0.1, 0.01), (10, 0.1, 0.003), (8, 0.015, 0.001), (8, 0.015, 0.0025), (6, 1.5, 0.005)],
    ids=["noiseless", "fine", "smooth and noisy", "weak", "weak and noisy", "strong"],
)
@pytest.mark.parametrize("shift", [(5.0, 1.5), (-9.0, 0.0)])
def test_known_displacement_within_3_percent(
    scale_px: float, amplitude: float, sigma: float, shift: tuple[float, float]
) -> None:
    means = []
    for seed in range(3):
        vectors, _ = flow_at(flow_of(*textured(seed, scale_px, amplitude, sigma, shift)), LINE_X, LINE_Y, RIGHT)
        assert np.isfinite(vectors).all()
        means.append(vectors.mean(axis=0))
    error = np.mean(means, axis=0) - shift
    assert np.hypot(*error) < 0.03 * math.hypot(*shift)


@pytest.mark.parametrize("angle_deg", [0, 45, 90, 135, 178, 180, -178, -135, -90, -45])
def test_any_direction(angle_deg: int) -> None:
    shift = 6 * math.cos(math.radians(angle_deg)), 6 * math.sin(math.radians(angle_deg))
    vectors, _ = flow_at(flow_of(*textured(4, 6, 0.1, 0.002, shift)), LINE_X, LINE_Y, RIGHT)
    x, y = vectors.mean(axis=0)
    assert math.hypot(x, y) == pytest.approx(6, rel=0.03)
    difference = math.degrees(math.atan2(y, x)) - angle_deg
    assert abs((difference + 180) % 360 - 180) < 2


def test_flow_does_not_depend_on_the_unit_of_the_images() -> None:
    first, second = textured(5, 6, 0.1, 0.002, (4.0, 1.0))
    plain, _ = flow_at(flow_of(first, second), LINE_X, LINE_Y, RIGHT)
    scaled, _ = flow_at(flow_of(10 * first, 10 * second), LINE_X, LINE_Y, RIGHT)
    np.testing.assert_allclose(plain, scaled, atol=0.01)


def test_swapped_images_move_backwards() -> None:
    first, second = textured(6, 6, 0.1, 0.002, (4.0, -2.0))
    there, _ = flow_at(flow_of(first, second), LINE_X, LINE_Y, RIGHT)
    back, _ = flow_at(flow_of(second, first), LINE_X, LINE_Y, RIGHT)
    assert (there + back).mean(axis=0) == pytest.approx([0, 0], abs=0.05)


def test_vectors_belong_to_the_place_where_they_were_measured() -> None:
    # The displacement grows along x; the flow at (x, y) must be that of x, not of a pixel beside it.
    texture = Texture(7, 5)
    x = np.arange(SIZE)[None, :]
    slow, fast = texture.moved(2.0, 0), texture.moved(4.0, 0)
    second = np.where(x < 144, slow, fast)
    region = Region(20, 270, 40, 250)
    flow = flow_of(0.1 * texture.moved(0, 0), 0.1 * second, region=region)
    at = np.array([80.0, 100.0, 190.0, 210.0])
    vectors, _ = flow_at(flow, at, np.full(4, 140.0), RIGHT)
    assert vectors[:, 0] == pytest.approx([2, 2, 4, 4], rel=0.03)


@pytest.mark.parametrize("shift", [(5.0, 0.0), (-4.0, 2.0)])
def test_a_masked_patch_inside_the_plume_leaves_its_neighbours_right(shift: tuple[float, float]) -> None:
    first, second = textured(8, 6, 0.1, 0.002, shift)
    valid = EVERYWHERE.copy()
    valid[120:150, 130:160] = False
    first[~valid] = 0.9
    second[~valid] = 0.9
    flow = flow_of(first, second, valid, valid)
    y, x = np.mgrid[60:228:1.0, 60:228:1.0]
    vectors, sigma = flow_at(flow, x.ravel(), y.ravel(), RIGHT)
    vectors, sigma = vectors.reshape(*x.shape, 2), sigma.reshape(x.shape)
    known = np.isfinite(vectors[..., 0])
    assert np.array_equal(known, np.isfinite(sigma))
    inside = (x >= 129) & (x <= 160) & (y >= 119) & (y <= 150)
    assert not known[inside].any()
    # As far as a window reaches, 12 px, from the mask; beyond that all is known.
    gap = np.maximum.reduce([130 - x, x - 159, 120 - y, y - 149])
    assert not known[gap < 10].any()
    assert known[gap > 18].all()
    beside = known & (gap < 30)
    assert np.hypot(*(vectors[beside].mean(axis=0) - shift)) < 0.05 * math.hypot(*shift)
    along = vectors[beside] @ np.array(shift) / math.hypot(*shift)
    assert np.percentile(np.abs(along / math.hypot(*shift) - 1), 90) < 0.10


def test_a_mask_in_either_image_counts() -> None:
    first, second = textured(9, 6, 0.1, 0.002, (3.0, 0.0))
    patch = EVERYWHERE.copy()
    patch[130:150, 140:150] = False
    for masks in ((patch, EVERYWHERE), (EVERYWHERE, patch)):
        vectors, _ = flow_at(flow_of(first, second, *masks), np.array([144.0, 60.0]), np.array([140.0, 60.0]), RIGHT)
        assert np.isnan(vectors[0]).all()
        assert vectors[1, 0] == pytest.approx(3, rel=0.05)


def test_pixels_that_are_not_a_number_are_masked_ones() -> None:
    first, second = textured(10, 6, 0.1, 0.002, (3.0, 0.0))
    first[130:150, 140:150] = np.nan
    second[200, 200] = np.nan
    x, y = np.array([144.0, 200.0, 60.0]), np.array([140.0, 200.0, 60.0])
    vectors, sigma = flow_at(flow_of(first, second), x, y, RIGHT)
    assert np.isnan(vectors[:2]).all()
    assert np.isnan(sigma[:2]).all()
    assert vectors[2, 0] == pytest.approx(3, rel=0.05)


def test_nothing_valid_nothing_known() -> None:
    nowhere = np.zeros((SIZE, SIZE), np.bool_)
    empty = np.full((SIZE, SIZE), np.nan)
    vectors, sigma = flow_at(flow_of(empty, empty, nowhere, nowhere), LINE_X, LINE_Y, RIGHT)
    assert np.isnan(vectors).all()
    assert np.isnan(sigma).all()


def test_samples_outside_the_region_are_unknown() -> None:
    first, second = textured(11, 6, 0.1, 0.002, (3.0, 0.0))
    flow = flow_of(first, second, region=Region(40, 200, 60, 220))
    x, y = np.array([10.0, 140.0, 260.0, 140.0]), np.array([100.0, 10.0, 100.0, 100.0])
    vectors, sigma = flow_at(flow, x, y, RIGHT)
    assert np.isfinite(vectors[:, 0]).tolist() == [False, False, False, True]
    assert np.isfinite(sigma).tolist() == [False, False, False, True]


def line_error(first: FloatArray, second: FloatArray, shift: float, weight: FloatArray) -> tuple[float, float]:
    """Return the error of a line's weighted mean displacement along x, and its stated 1 sigma."""
    flow = flow_of(first, second)
    vectors, local, common = flow_parts_at(flow, LINE_X, LINE_Y, RIGHT)
    weight = weight / weight.sum()
    error = float(np.sum(weight * (vectors[:, 0] - shift)))
    alike = correlated_sum_uncertainty(weight * local, 1.0, flow.window_px)
    return error, math.hypot(alike, float(np.sum(weight * common)))


def in_a_plume(texture: FloatArray) -> FloatArray:
    """A plume along x, whose column varies by 30 % of itself."""
    section = 0.2 * np.exp(-(((np.arange(SIZE) - 144) / 40.0) ** 2))[:, None]
    return section * (1 + 0.3 * texture)


COVERAGE = {
    "textured": (12, 0.1, 0.005),
    "very smooth": (18, 0.1, 0.005),
    "weak": (10, 0.015, 0.005),
    "plume": (16, None, 0.005),
}


@pytest.mark.parametrize("name", COVERAGE)
def test_stated_uncertainty_is_honest(name: str) -> None:
    scale_px, amplitude, sigma = COVERAGE[name]
    shift = (5.0, 1.0)
    ratios = []
    for seed in range(40):
        weight = np.ones(LINE_Y.size)
        if amplitude is None:
            texture, errors = Texture(seed, scale_px), noise(seed, sigma)
            first = in_a_plume(texture.moved(0, 0)) + errors[0]
            second = in_a_plume(texture.moved(shift[0], 0)) + errors[1]
            weight = np.exp(-(((LINE_Y - 144) / 40.0) ** 2))
        else:
            first, second = textured(seed, scale_px, amplitude, sigma, shift)
        error, stated = line_error(first, second, shift[0], weight)
        ratios.append(abs(error) / stated)
    within = np.array(ratios)
    assert 0.50 <= np.mean(within < 1) <= 0.95
    assert np.mean(within < 2) > 0.85
    assert 0.4 < np.sqrt(np.mean(within**2)) < 1.4


def test_a_featureless_plume_has_no_speed() -> None:
    # A smooth plume that moves along its own axis looks the same in both images: nothing can tell how fast.
    weight = np.exp(-(((LINE_Y - 144) / 40.0) ** 2))
    for seed in range(6):
        errors = noise(seed, 0.005)
        smooth = in_a_plume(np.zeros((SIZE, SIZE)))
        _, stated = line_error(smooth + errors[0], smooth + errors[1], 5.0, weight)
        assert not stated < 2.5


def test_noise_alone_has_no_confident_speed() -> None:
    ratios = []
    for seed in range(20):
        errors = noise(seed, 0.005)
        error, stated = line_error(0.1 + errors[0], 0.1 + errors[1], 0.0, np.ones(LINE_Y.size))
        ratios.append(error / stated)
    assert np.sqrt(np.mean(np.square(ratios))) < 1.5


@pytest.mark.parametrize("values", [(0.0, 0.0), (0.1, 0.1), (0.1, 0.11), (-0.3, 0.3)])
def test_uniform_images_have_no_confident_speed(values: tuple[float, float]) -> None:
    first, second = (np.full((SIZE, SIZE), value) for value in values)
    _, sigma = flow_at(flow_of(first, second), LINE_X, LINE_Y, RIGHT)
    assert not (sigma < 5).any()


def test_region_around_lines_is_even_and_inside_the_image() -> None:
    x, y = np.array([100.4, 130.0]), np.array([50.0, 90.7])
    region = flow_region(x, y, (243, 323), margin_px=20)
    assert (region.bottom - region.top) % 2 == 0
    assert (region.right - region.left) % 2 == 0
    assert region.left <= 80
    assert region.top <= 30
    assert region.right > 150
    assert region.bottom > 110
    wide = flow_region(x, y, (243, 323), margin_px=1000)
    assert (wide.top, wide.left) == (0, 0)
    assert (wide.bottom, wide.right) == (242, 322)
    assert np.zeros((243, 323))[wide.slices].shape == (242, 322)
