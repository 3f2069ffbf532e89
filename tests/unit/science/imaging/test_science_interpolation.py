"""A band between two frames: exact for a steady drift, valid where both are."""

import numpy as np
import pytest

from so2cam.science.imaging.interpolation import interpolate_log

EVERYWHERE = np.ones((20, 30), np.bool_)


def sky(seconds: float, drift_per_s: float = 0.01) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    """Return log intensities of a sky that brightens at a steady rate, another one in each column."""
    y, x = np.mgrid[0:20, 0:30]
    return np.asarray(np.log(200 + 3 * x + y) + drift_per_s * (x - 10) * seconds, np.float32)


@pytest.mark.parametrize("seconds", [0.0, 0.5, 1.7, 4.0])
def test_exact_for_exponential_drift(seconds: float) -> None:
    values, valid = interpolate_log(sky(0), sky(4), EVERYWHERE, EVERYWHERE, seconds / 4)
    assert valid.all()
    assert values.dtype == np.float32
    np.testing.assert_allclose(values, sky(seconds), atol=2e-6)


def test_the_mean_of_intensities_would_be_brighter() -> None:
    first, second = sky(0, 0.05), sky(4, 0.05)
    values, _ = interpolate_log(first, second, EVERYWHERE, EVERYWHERE, 0.5)
    assert (np.exp(values) <= 0.5 * (np.exp(first) + np.exp(second)) * (1 + 1e-6)).all()
    np.testing.assert_allclose(values, sky(2, 0.05), atol=2e-6)


@pytest.mark.parametrize("weight", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("garbage", [np.nan, np.inf, -np.inf, 1e30])
def test_valid_where_both_are_and_nan_elsewhere(weight: float, garbage: float) -> None:
    first, second = sky(0), sky(4)
    valid_first, valid_second = EVERYWHERE.copy(), EVERYWHERE.copy()
    first[3, 4], valid_first[3, 4] = garbage, False
    second[5, 6], valid_second[5, 6] = garbage, False
    kept = [array.copy() for array in (first, second, valid_first, valid_second)]
    values, valid = interpolate_log(first, second, valid_first, valid_second, weight)
    expected = EVERYWHERE.copy()
    expected[3, 4] = expected[5, 6] = False
    np.testing.assert_array_equal(valid, expected)
    np.testing.assert_array_equal(np.isnan(values), ~expected)
    for array, before in zip((first, second, valid_first, valid_second), kept, strict=True):
        np.testing.assert_array_equal(array, before)


@pytest.mark.parametrize("weight", [-0.01, 1.01, np.nan, np.inf])
def test_nothing_is_extrapolated(weight: float) -> None:
    with pytest.raises(ValueError, match="within 0 and 1"):
        interpolate_log(sky(0), sky(4), EVERYWHERE, EVERYWHERE, weight)
