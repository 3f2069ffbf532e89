"""The focus measure: right for a known picture, growing with sharpness, blind to brightness and noise."""

import math

import cv2
import numpy as np
import pytest

from so2cam.observe.focus import measure_focus


@pytest.fixture(scope="module")
def mountain():
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:240, :320].astype(np.float64)
    picture = 400 + 60 * (x / 320) - 260 * (y > 100 + 0.5 * np.abs(x - 150))
    picture += 40 * cv2.GaussianBlur(rng.standard_normal((240, 320)), (0, 0), 1.0) * (y > 160)
    return picture


def blurred(picture, sigma):
    return picture if sigma == 0 else cv2.GaussianBlur(picture, (0, 0), sigma)


def test_value_of_a_sine_is_that_of_theory():
    # I = m + a sin(k x): the mean square of I(x + 2) - I(x) is 2 a^2 sin^2(k); nothing varies down the image.
    k, mean, amplitude = 2 * math.pi / 16, 500.0, 80.0
    picture = mean + amplitude * np.sin(k * np.arange(1602))[None, :] * np.ones((160, 1))
    found = measure_focus(picture)
    expected = 0.5 * 2 * amplitude**2 * math.sin(k) ** 2 / mean**2
    assert found.sharpness == pytest.approx(expected, rel=0.01)


def test_grows_with_sharpness(mountain):
    values = [measure_focus(blurred(mountain, sigma)).sharpness for sigma in (6, 4, 3, 2, 1.5, 1, 0.5, 0)]
    assert values == sorted(values)
    assert values[-1] > 10 * values[0]


def test_exposure_and_noise_do_not_matter(mountain):
    rng = np.random.default_rng(1)
    clean = measure_focus(blurred(mountain, 1.5))
    for brightness in (0.2, 1.0, 2.0):
        picture = brightness * blurred(mountain, 1.5)
        noisy = measure_focus(picture + 2.0 * rng.standard_normal(picture.shape))
        assert noisy.noise_dn == pytest.approx(2.0, rel=0.15)
        assert abs(noisy.sharpness - clean.sharpness) < 4 * noisy.uncertainty + 0.05 * clean.sharpness


def test_uncertainty_covers_the_scatter(mountain):
    rng = np.random.default_rng(2)
    picture = blurred(mountain, 2)
    found = [measure_focus(picture + 3.0 * rng.standard_normal(picture.shape)) for _ in range(30)]
    scatter = np.std([one.sharpness for one in found])
    assert 0.3 * scatter < np.mean([one.uncertainty for one in found]) < 4 * scatter


def test_a_region_is_measured_alone(mountain):
    picture = mountain.copy()
    picture[:, :160] = blurred(mountain, 5)[:, :160]
    left = measure_focus(picture, (0, 0, 150, 239))
    right = measure_focus(picture, (170, 0, 319, 239))
    assert right.sharpness > 3 * left.sharpness
    for region in ((-1, 0, 10, 10), (0, 0, 320, 10), (20, 0, 10, 10)):
        with pytest.raises(ValueError, match="region"):
            measure_focus(picture, region)


def test_what_cannot_be_told_is_nan():
    rng = np.random.default_rng(3)
    dark = rng.standard_normal((64, 64))
    assert math.isnan(measure_focus(dark - dark.mean()).sharpness)
    assert math.isnan(measure_focus(np.ones((8, 8))).sharpness)
    bad = np.ones((64, 64))
    bad[3, 3] = np.nan
    assert math.isnan(measure_focus(bad).sharpness)
    with pytest.raises(ValueError, match="rows and columns"):
        measure_focus(np.ones(100))
    assert measure_focus(np.full((64, 64), 300.0)).sharpness == pytest.approx(0.0, abs=1e-9)
