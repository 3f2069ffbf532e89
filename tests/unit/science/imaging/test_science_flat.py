"""The flat field of a known vignetting."""

import numpy as np
import pytest

from so2cam.core.records import FloatImage
from so2cam.science.imaging.flat import flat_field

SHAPE = (120, 160)


def vignetting() -> FloatImage:
    y, x = np.mgrid[0 : SHAPE[0], 0 : SHAPE[1]]
    return (1 - 0.35 * ((x - 85) ** 2 + (y - 55) ** 2) / 100**2).astype(np.float32)


EVERYWHERE = np.ones(SHAPE, np.bool_)


def test_known_vignetting_is_recovered() -> None:
    truth = vignetting()
    flat = flat_field(640 * truth, EVERYWHERE, smoothing_px=2.0)
    assert flat.valid.all()
    assert flat.values.max() == 1
    assert flat.peak == pytest.approx(640, rel=1e-3)
    inside = (slice(8, -8), slice(8, -8))
    np.testing.assert_allclose(flat.values[inside], truth[inside], rtol=1e-3)


def test_peak_times_values_is_the_clear_sky() -> None:
    clear = 640 * vignetting()
    flat = flat_field(clear, EVERYWHERE, smoothing_px=0)
    np.testing.assert_allclose(flat.peak * flat.values, clear, rtol=1e-6)


def test_noise_of_one_frame_does_not_become_part_of_the_flat() -> None:
    noise = np.random.default_rng(1).normal(0, 20, SHAPE)
    truth = vignetting()
    flat = flat_field((640 * truth + noise).astype(np.float32), EVERYWHERE, smoothing_px=2.0)
    raw = np.std(noise) / 640
    # White noise keeps 1 / (2 sqrt(pi) sigma) of its deviation behind a Gaussian.
    scatter = np.std((flat.values * flat.peak / 640 - truth)[8:-8, 8:-8])
    assert scatter == pytest.approx(raw / (2 * np.sqrt(np.pi) * 2.0), rel=0.15)


def test_a_masked_pixel_does_not_touch_its_neighbours() -> None:
    clear, valid = 640 * vignetting(), EVERYWHERE.copy()
    clear[60, 80], valid[60, 80] = 1e6, False
    clear[20:23, 30], valid[20:23, 30] = np.nan, False
    flat = flat_field(clear, valid, smoothing_px=2.0)
    assert np.array_equal(flat.valid, valid)
    assert (flat.values[~valid] == 1).all()
    whole = flat_field(640 * vignetting(), EVERYWHERE, smoothing_px=2.0)
    np.testing.assert_allclose((flat.values * flat.peak)[valid], (whole.values * whole.peak)[valid], rtol=2e-3)


def test_the_inside_of_a_hole_is_invalid() -> None:
    valid = EVERYWHERE.copy()
    valid[40:80, 50:100] = False
    flat = flat_field(640 * vignetting(), valid, smoothing_px=3.0)
    assert not flat.valid[40:80, 50:100].any()
    assert (flat.values[~flat.valid] == 1).all()
    assert flat.valid[:30].all()


def test_nothing_valid_is_an_error() -> None:
    with pytest.raises(ValueError, match="no valid pixel"):
        flat_field(vignetting(), np.zeros(SHAPE, np.bool_), smoothing_px=2.0)


def test_no_light_is_an_error() -> None:
    with pytest.raises(ValueError, match="no part"):
        flat_field(np.zeros(SHAPE, np.float32), EVERYWHERE, smoothing_px=2.0)


def test_lone_pixels_are_no_flat() -> None:
    valid = np.zeros(SHAPE, np.bool_)
    valid[::20, ::20] = True
    with pytest.raises(ValueError, match="no part"):
        flat_field(vignetting(), valid, smoothing_px=2.0)
