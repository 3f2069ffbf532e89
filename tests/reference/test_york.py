"""Pearson's data with York's weights: the reference of every fit with errors on both axes."""

import numpy as np
import pytest

from so2cam.science.calibration.total_least_squares import york_line

X = np.array([0.0, 0.9, 1.8, 2.6, 3.3, 4.4, 5.2, 6.1, 6.5, 7.4])
Y = np.array([5.9, 5.4, 4.4, 4.6, 3.5, 3.7, 2.8, 2.8, 2.4, 1.5])
WEIGHT_X = np.array([1000.0, 1000, 500, 800, 200, 80, 60, 20, 1.8, 1])
WEIGHT_Y = np.array([1.0, 1.8, 4, 8, 20, 20, 70, 70, 100, 500])


def test_published_values() -> None:
    """York et al. (2004), Am. J. Phys. 72, 367, table II: intercept, slope, their standard errors, goodness of fit."""
    parameters, covariance, chi_squared = york_line(X, Y, WEIGHT_X**-0.5, WEIGHT_Y**-0.5)
    assert parameters == pytest.approx([5.47991022, -0.480533407], rel=1e-8)
    assert np.sqrt(np.diag(covariance)) == pytest.approx([0.29497074, 0.05798501], rel=1e-6)
    assert chi_squared / 8 == pytest.approx(1.4832942, rel=1e-6)


def test_axes_may_be_exchanged() -> None:
    there, _, chi_there = york_line(X, Y, WEIGHT_X**-0.5, WEIGHT_Y**-0.5)
    back, _, chi_back = york_line(Y, X, WEIGHT_Y**-0.5, WEIGHT_X**-0.5)
    assert back[1] == pytest.approx(1 / there[1], rel=1e-8)
    assert back[0] == pytest.approx(-there[0] / there[1], rel=1e-8)
    assert chi_back == pytest.approx(chi_there, rel=1e-9)


def test_without_errors_in_x_it_is_the_weighted_line() -> None:
    parameters, covariance, _ = york_line(X, Y, np.zeros(10), WEIGHT_Y**-0.5)
    (slope, offset), expected = np.polyfit(X, Y, 1, w=WEIGHT_Y**0.5, cov="unscaled")
    assert parameters == pytest.approx([offset, slope], rel=1e-8)
    assert np.sqrt(np.diag(covariance)) == pytest.approx(np.sqrt(np.diag(expected))[::-1], rel=1e-8)


def test_points_that_do_not_vary_have_no_line() -> None:
    with pytest.raises(ValueError, match="no line"), pytest.warns(np.exceptions.RankWarning):
        york_line(np.ones(5), np.arange(5.0), np.full(5, 0.1), np.full(5, 0.1))
