"""Weights of pixels by regularised inversion, and the bell through them."""

import math
from itertools import pairwise

import cv2
import numpy as np
import pytest
from scipy.sparse.linalg import lsmr

from so2cam.core.records import FloatImage
from so2cam.science.calibration.super_gaussian import fit_super_gaussian
from so2cam.science.calibration.view_inversion import INVERSION_TEXT, InversionStatus, invert_view
from so2cam.science.calibration.view_weights import disc_weights


def scene(seed: int, times: int = 150) -> tuple[np.ndarray, np.ndarray, np.ndarray, tuple[float, float, float]]:
    """Return a stack of structures that come and go, all valid, with the columns of a known disc."""
    rng = np.random.default_rng(seed)
    noise = rng.standard_normal((times, 36, 48)).astype(np.float32)
    stack = np.stack([cv2.GaussianBlur(image, (0, 0), 1.5) for image in noise])
    stack = (0.1 + 0.1 * stack / stack.std()).astype(np.float32)
    x, y, radius = 21.3, 16.6, 3.0
    column = 1e19 * np.einsum("trc,rc->t", stack, disc_weights((36, 48), x, y, radius))
    column += rng.normal(0, 3e16, times)
    return stack, np.ones(stack.shape, bool), column, (x, y, radius)


def test_the_disc_is_found() -> None:
    for seed in (1, 2, 3):
        stack, valid, column, (x, y, radius) = scene(seed)
        found = invert_view(stack, valid, column, np.full(column.size, 3e16))
        assert found.status is InversionStatus.OK
        assert found.bell is not None
        assert np.hypot(found.bell.x - x, found.bell.y - y) < 1.0
        assert found.bell.radius == pytest.approx(radius, rel=0.35)
        assert found.explained > 0.2
        assert 5 < found.degrees < column.size
        assert found.bell.weights((36, 48)).sum() == pytest.approx(1.0, rel=1e-5)


def test_weights_are_those_of_lsmr_with_the_same_damping() -> None:
    stack, valid, column, _ = scene(4, times=40)
    found = invert_view(stack, valid, column, np.full(40, 3e16), damping=0.05)
    matrix = (stack - stack.mean(axis=0)).reshape(40, -1).astype(np.float64)
    largest = np.linalg.norm(matrix, 2)
    expected = lsmr(matrix, column - column.mean(), damp=0.05 * largest, atol=1e-12, btol=1e-12, maxiter=5000)[0]
    np.testing.assert_allclose(found.weights.ravel(), expected, rtol=1e-3, atol=1e-3 * np.abs(expected).max())
    assert found.damping == 0.05


def test_masked_pixels_have_no_weight_and_their_values_do_not_matter() -> None:
    stack, valid, column, (x, y, _) = scene(5)
    valid[:, :6, :] = False
    valid[np.random.default_rng(5).random(valid.shape) < 0.05] = False
    found = [
        invert_view(np.where(valid, stack, fill).astype(np.float32), valid, column, np.full(column.size, 3e16))
        for fill in (0.0, np.nan, 1e5)
    ]
    assert np.isnan(found[0].weights[:6]).all()
    assert found[0].bell is not None
    assert np.hypot(found[0].bell.x - x, found[0].bell.y - y) < 1.2
    for first, second in pairwise(found):
        np.testing.assert_array_equal(first.weights, second.weights)


def test_what_gives_no_view_says_why() -> None:
    stack, valid, column, _ = scene(6, times=40)
    sigma = np.full(40, 3e16)
    few = invert_view(stack[:9], valid[:9], column[:9], sigma[:9])
    assert few.status is InversionStatus.TOO_FEW_TIMES
    assert few.bell is None
    assert np.isnan([few.damping, few.degrees, few.explained]).all()
    assert invert_view(stack, ~valid, column, sigma).status is InversionStatus.NO_USABLE_PIXELS
    noise = np.random.default_rng(6).permutation(column)
    assert invert_view(stack, valid, noise, sigma).explained < 0.5
    with pytest.raises(ValueError, match="one column"):
        invert_view(stack, valid, column[:5], sigma)
    assert set(INVERSION_TEXT) == set(InversionStatus)


# --- the bell ------------------------------------------------------------------------------------------------------


def bell(angle: float, exponent: float, noise: float, seed: int = 0) -> FloatImage:
    y, x = np.indices((40, 50)).astype(float)
    dx, dy = x - 24.3, y - 18.8
    u, v = dx * math.cos(angle) + dy * math.sin(angle), dy * math.cos(angle) - dx * math.sin(angle)
    values = 3e17 * np.exp(-math.log(2) * ((u / 6) ** 2 + (v / 3.5) ** 2) ** (exponent / 2)) - 1e16
    return (values + noise * np.random.default_rng(seed).standard_normal(values.shape)).astype(np.float32)


@pytest.mark.parametrize("exponent", [2.0, 5.0])
@pytest.mark.parametrize("angle", [0.4, -1.2, 1.55])
def test_bell_is_recovered(angle: float, exponent: float) -> None:
    everywhere = np.ones((40, 50), bool)
    found = fit_super_gaussian(bell(angle, exponent, 0.0), everywhere, start=(22.0, 20.0, 4.0), reach=15.0)
    assert found is not None
    assert (found.x, found.y) == pytest.approx((24.3, 18.8), abs=1e-3)
    assert (found.major, found.minor) == pytest.approx((6.0, 3.5), rel=1e-3)
    assert math.sin(found.angle_rad - angle) == pytest.approx(0.0, abs=1e-3)
    assert found.exponent == pytest.approx(exponent, rel=1e-2)
    assert found.amplitude == pytest.approx(3e17, rel=1e-3)
    assert found.radius == pytest.approx(math.sqrt(21.0), rel=1e-3)
    assert found.explained > 0.999


def test_uncertainty_of_the_bell_holds() -> None:
    everywhere = np.ones((40, 50), bool)
    size = []
    for seed in range(60):
        found = fit_super_gaussian(bell(0.4, 2.0, 4e16, seed), everywhere, start=(23.0, 19.0, 4.0), reach=15.0)
        assert found is not None
        off = np.array([found.x - 24.3, found.y - 18.8, found.radius - math.sqrt(21.0)])
        size.append(np.abs(off / found.sigma))
    assert (np.mean(np.array(size) < 1, axis=0) > 0.5).all()
    assert (np.mean(np.array(size) < 1, axis=0) < 0.85).all()
    assert (np.mean(np.array(size) < 2, axis=0) > 0.88).all()


def test_masked_pixels_take_no_part_in_the_bell() -> None:
    image, valid = bell(0.4, 2.0, 0.0), np.ones((40, 50), bool)
    valid[15:22, 24:28] = False
    image[~valid] = np.nan
    found = fit_super_gaussian(image, valid, start=(23.0, 19.0, 4.0), reach=15.0)
    assert found is not None
    assert (found.x, found.y) == pytest.approx((24.3, 18.8), abs=0.01)
    assert fit_super_gaussian(image, np.zeros((40, 50), bool), start=(23.0, 19.0, 4.0), reach=15.0) is None
    flat = np.ones((40, 50), np.float32)
    assert fit_super_gaussian(flat, np.ones((40, 50), bool), start=(23.0, 19.0, 4.0), reach=15.0) is None
