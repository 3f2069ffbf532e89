"""A known warp of an analytic image is undone, and nothing but what both bands see is left."""

import math

import numpy as np
import pytest

from so2cam.core.records import BoolImage, FloatArray, FloatImage
from so2cam.science.imaging.registration import warp_to_on_band

SHAPE = (140, 180)
Y, X = np.mgrid[0 : SHAPE[0], 0 : SHAPE[1]].astype(np.float64)
EVERYWHERE = np.ones(SHAPE, np.bool_)


def euclidean(angle_deg: float, dx: float, dy: float) -> FloatArray:
    cos, sin = math.cos(math.radians(angle_deg)), math.sin(math.radians(angle_deg))
    return np.array([[cos, -sin, dx], [sin, cos, dy]])


def apply(matrix: FloatArray, x: FloatArray, y: FloatArray) -> tuple[FloatArray, FloatArray]:
    return matrix[0, 0] * x + matrix[0, 1] * y + matrix[0, 2], matrix[1, 0] * x + matrix[1, 1] * y + matrix[1, 2]


def scene(x: FloatArray, y: FloatArray) -> FloatArray:
    """An analytic scene, in the off band's pixels, whose gradients are known: at most 5 per pixel."""
    return 300 + 60 * np.sin(x / 12) + 40 * np.cos(y / 15) + 20 * np.sin((x + y) / 20)


MATRICES = [euclidean(0, 3, -2), euclidean(0, 3.37, -2.21), euclidean(1.3, 6.4, -3.7), euclidean(-2.0, -5.5, 9.25)]


@pytest.mark.parametrize("matrix", MATRICES)
def test_known_warp_is_recovered_to_a_small_part_of_a_pixel(matrix: FloatArray) -> None:
    warped, valid = warp_to_on_band(scene(X, Y).astype(np.float32), EVERYWHERE, matrix)
    assert warped.dtype == np.float32
    x_off, y_off = apply(matrix, X, Y)
    error = (warped - scene(x_off, y_off))[valid]
    gradient_x = 60 / 12 * np.cos(x_off / 12) + np.cos((x_off + y_off) / 20)
    gradient_y = -40 / 15 * np.sin(y_off / 15) + np.cos((x_off + y_off) / 20)
    for gradient in (gradient_x[valid], gradient_y[valid]):
        shift = np.sum(error * gradient) / np.sum(gradient**2)
        assert abs(shift) < 0.005
    # A shift of 0.05 px changes a pixel by 0.05 of its gradient; the largest is 6.
    assert np.abs(error).max() < 0.05 * 6
    assert np.sqrt(np.mean(error**2)) < 0.05 * np.sqrt(np.mean(gradient_x[valid] ** 2 + gradient_y[valid] ** 2))


@pytest.mark.parametrize("matrix", MATRICES)
def test_small_and_negative_values_keep_float_sign_and_mean(matrix: FloatArray) -> None:
    # Optical depths, as the chain never warps them, show a cast or a clip at once.
    image = (0.02 * (X - 90) / 90 - 0.01 * (Y - 70) / 70).astype(np.float32)
    warped, valid = warp_to_on_band(image, EVERYWHERE, matrix)
    x_off, y_off = apply(matrix, X, Y)
    truth = 0.02 * (x_off - 90) / 90 - 0.01 * (y_off - 70) / 70
    assert (warped[valid] < 0).any()
    np.testing.assert_allclose(warped[valid], truth[valid], atol=1e-7)
    assert warped[valid].mean() == pytest.approx(truth[valid].mean(), abs=1e-7)


@pytest.mark.parametrize("matrix", MATRICES)
def test_exactly_the_pixels_that_the_off_band_does_not_cover_are_invalid(matrix: FloatArray) -> None:
    warped, valid = warp_to_on_band(scene(X, Y).astype(np.float32), EVERYWHERE, matrix)
    x_off, y_off = apply(matrix, X, Y)
    distance = np.minimum.reduce([x_off, y_off, SHAPE[1] - 1 - x_off, SHAPE[0] - 1 - y_off])
    certain = np.abs(distance) > 1e-3
    assert np.array_equal(valid[certain], (distance >= 0)[certain])
    assert np.isnan(warped[~valid]).all()
    assert np.isfinite(warped[valid]).all()


def share_of(pixel: tuple[int, int], matrix: FloatArray) -> FloatArray:
    """Return the bilinear weight that a source pixel (x, y) has in every pixel."""
    x_off, y_off = apply(matrix, X, Y)
    return np.maximum(0, 1 - np.abs(x_off - pixel[0])) * np.maximum(0, 1 - np.abs(y_off - pixel[1]))


def invalid_by_one(matrix: FloatArray) -> tuple[FloatImage, BoolImage, FloatArray]:
    pixel = (90, 70)
    valid = EVERYWHERE.copy()
    valid[pixel[1], pixel[0]] = False
    image = scene(X, Y).astype(np.float32)
    image[pixel[1], pixel[0]] = 1e9
    _, without = warp_to_on_band(scene(X, Y).astype(np.float32), EVERYWHERE, matrix)
    warped, left = warp_to_on_band(image, valid, matrix)
    return warped, without & ~left, share_of(pixel, matrix)


@pytest.mark.parametrize("matrix", [*MATRICES, np.eye(2, 3)])
def test_one_invalid_source_pixel_takes_exactly_what_is_made_of_it(matrix: FloatArray) -> None:
    _, lost, share = invalid_by_one(matrix)
    assert 1 <= lost.sum() <= 6
    assert np.array_equal(lost, share > 1e-6)


@pytest.mark.parametrize("shift", [(1 / 32, 1 / 32), (5e-4, 0.0), (0.02, 0.03), (0.9995, 2.0)])
def test_an_invalid_pixel_of_little_weight_does_not_leak(shift: tuple[float, float]) -> None:
    matrix = euclidean(0, *shift)
    warped, lost, share = invalid_by_one(matrix)
    x_off, y_off = apply(matrix, X, Y)
    touched = ~lost & (share > 1e-6) & np.isfinite(warped)
    # Half the noise of the best absorbance images, 1e-4, is more than enough to ask for.
    assert np.abs(warped / scene(x_off, y_off) - 1)[touched].max(initial=0.0) < 1e-4


def test_the_identity_changes_nothing() -> None:
    image = scene(X, Y).astype(np.float32)
    valid = EVERYWHERE.copy()
    valid[3, 5] = False
    warped, left = warp_to_on_band(image, valid, np.eye(2, 3))
    assert np.array_equal(left, valid)
    assert np.array_equal(warped[valid], image[valid])
    assert np.isnan(warped[3, 5])


def test_bands_that_see_nothing_in_common() -> None:
    warped, valid = warp_to_on_band(scene(X, Y).astype(np.float32), EVERYWHERE, euclidean(0, 500, 0))
    assert not valid.any()
    assert np.isnan(warped).all()


def test_a_result_that_is_changed_does_not_change_the_next_one() -> None:
    image = scene(X, Y).astype(np.float32)
    first, covered = warp_to_on_band(image, EVERYWHERE, MATRICES[2])
    expected = covered.copy()
    covered[:] = False
    second, again = warp_to_on_band(image, EVERYWHERE, MATRICES[2])
    np.testing.assert_array_equal(again, expected)
    np.testing.assert_array_equal(second, first)


@pytest.mark.parametrize("matrix", MATRICES)
def test_one_invalid_pixel_far_away_changes_nothing_elsewhere(matrix: FloatArray) -> None:
    # Images with and without invalid pixels take different ways; where both are valid, they agree.
    image = scene(X, Y).astype(np.float32)
    valid = EVERYWHERE.copy()
    valid[70, 90] = False
    whole, everywhere = warp_to_on_band(image, EVERYWHERE, matrix)
    holed, left = warp_to_on_band(image, valid, matrix)
    lost = everywhere & ~left
    assert 1 <= lost.sum() <= 6
    assert not np.any(left & ~everywhere)
    np.testing.assert_array_equal(holed[left], whole[left])
