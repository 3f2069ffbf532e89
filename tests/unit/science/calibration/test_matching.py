"""Columns of a spectrometer at the times of a camera's exposures."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from so2cam.core.records import FloatArray
from so2cam.science.calibration.matching import MatchedPoints, change_rate, match_columns

SPECTRA = np.array([0.0, 10.0, 20.0, 30.0, 50.0])
COLUMN = np.array([1.0, 3.0, 2.0, 4.0, 0.0]) * 1e18
SIGMA = np.array([1.0, 2.0, 1.0, 1.0, 1.0]) * 1e17


def match(times: Any, exposure: float = 0.5, spectrum: float = 10.0, **options: Any) -> MatchedPoints:
    times = np.atleast_1d(np.asarray(times, float))
    options = {"maximum_gap_s": 12.0} | options
    return match_columns(times, np.full(times.size, exposure), SPECTRA, np.full(5, spectrum), COLUMN, SIGMA, **options)


def test_between_spectra_it_is_the_polynomial_through_those_near() -> None:
    found = match([2.5, 15.0, 10.0, 40.0])
    assert found.matched.all()
    # A parabola through the first three; a cubic, (-1, 9, 9, -1) / 16 in the middle; the spectrum itself; and a
    # straight line where the next spectrum is not as far.
    assert found.column == pytest.approx([1.78125e18, 2.5e18, 3e18, 2e18], rel=1e-9)
    weights, sigma = np.array([0.65625, 0.4375, -0.09375]), np.array([1.0, 2.0, 1.0])
    assert found.column_sigma[0] == pytest.approx(1e17 * np.hypot.reduce(weights * sigma), rel=1e-9)
    assert found.gap_s == pytest.approx([2.5, 5.0, 0.0, 10.0])
    # What the straight line misses of a random walk: a bridge's variance; beside it the spectra's longer exposure.
    assert found.bridge_s[3] == pytest.approx(20 * 0.5 * 0.5 + 9.5 / 12)


def test_a_wave_keeps_its_range_between_spectra() -> None:
    spectra = np.arange(0.0, 1000.0, 5.0)
    images = np.arange(12.4, 980.0, 5.0)
    columns = 2e18 + 5e17 * np.sin(2 * np.pi * spectra / 45)
    found = match_columns(
        images, np.full(images.size, 0.4), spectra, np.full(spectra.size, 0.4), columns, np.full(spectra.size, 1e16),
        maximum_gap_s=15.0,
    )  # fmt: skip
    # A straight line between spectra, half way, would shrink it by 6 per cent.
    true = 2e18 + 5e17 * np.sin(2 * np.pi * images / 45)
    assert np.polyfit(true, found.column, 1)[0] == pytest.approx(1.0, abs=0.01)


def test_a_long_exposure_takes_the_mean_by_overlap() -> None:
    # 5 to 35 s: all of the spectra at 10, 20 and 30 s.
    found = match([20.0], exposure=30.0)
    assert found.column == pytest.approx([3e18])
    assert found.column_sigma == pytest.approx([np.sqrt(4 + 1 + 1) / 3 * 1e17])
    assert found.mismatch == pytest.approx([0.0])
    # 0 to 20 s: half of the first and the third, all of the second.
    found = match([10.0], exposure=20.0)
    assert found.column == pytest.approx([(0.5 * 1 + 3 + 0.5 * 2) / 2 * 1e18])


def test_a_gap_is_a_gap() -> None:
    found = match([40.0, 36.0, 33.0, 62.0, 54.0, -3.0, 25.0], maximum_gap_s=8.0)
    # Both spectra, before and after, must be near: nothing within a long gap, nor beyond the first and the last.
    assert found.matched.tolist() == [False, False, False, False, False, False, True]
    for values in (found.column, found.column_sigma, found.mismatch, found.gap_s):
        assert np.array_equal(np.isfinite(values), found.matched)
    assert match([40.0]).matched.tolist() == [True]


def test_nothing_known_is_nothing_matched() -> None:
    empty = np.empty(0)
    found = match_columns(np.array([1.0]), np.array([0.1]), empty, empty, empty, empty, maximum_gap_s=5.0)
    assert not found.matched.any()
    assert np.isnan(found.column).all()
    assert match([np.nan]).matched.tolist() == [False]


def test_spectra_without_a_column_take_no_part() -> None:
    column, sigma = COLUMN.copy(), SIGMA.copy()
    column[1] = np.nan
    sigma[2] = np.inf
    times = np.array([10.0, 4.0])
    arguments = (times, np.full(2, 0.5), SPECTRA, np.full(5, 10.0))
    assert not match_columns(*arguments, column, sigma, maximum_gap_s=12.0).matched[0]
    assert match_columns(*arguments, column, sigma, maximum_gap_s=40.0).column[0] == pytest.approx(2e18, rel=1e-6)


def test_what_the_line_between_spectra_misses() -> None:
    # A random walk sampled every 10 s: what its values vary about the line between samples has the stated variance.
    rng = np.random.default_rng(1)
    walk = np.cumsum(rng.normal(0, 1e16, 40_000)) + 1e18
    times = np.arange(walk.size, dtype=np.float64)
    sampled = times[::10]
    images = times[13:-20:7]
    found = match_columns(
        images,
        np.zeros(images.size),
        sampled,
        np.zeros(sampled.size),
        walk[::10],
        np.full(sampled.size, 1.0),
        maximum_gap_s=10.0,
    )
    left = walk[13:-20:7] - found.column
    middle = found.gap_s >= 3
    assert np.std(left[middle]) == pytest.approx(np.sqrt(np.mean(found.mismatch[middle] ** 2)), rel=0.05)
    # It is not in the columns: Berkson's kind of error.
    assert abs(np.corrcoef(left, found.column - np.mean(found.column))[0, 1]) < 0.03


def test_noise_is_no_change_of_the_plume() -> None:
    rng = np.random.default_rng(2)
    times = np.arange(0.0, 4000.0, 5.0)
    noisy = 1e18 + rng.normal(0, 5e16, times.size)
    still = change_rate(times, noisy, np.full(times.size, 5e16), 10.0)
    assert still < 0.1 * change_rate(times, noisy, np.full(times.size, 1e14), 10.0)
    assert change_rate(times[:4], noisy[:4], np.full(4, 1e14), 10.0) == 0.0


@given(st.lists(st.floats(-20, 80), min_size=1, max_size=8), st.floats(0.0, 40.0), st.integers(0, 2**31))
@settings(max_examples=60, deadline=None)
def test_order_of_spectra_does_not_matter_and_columns_stay_within_theirs(
    times: list[float], exposure: float, seed: int
) -> None:
    order = np.random.default_rng(seed).permutation(5)
    mixed = match_columns(
        np.array(times),
        np.full(len(times), exposure),
        SPECTRA[order],
        np.full(5, 10.0),
        COLUMN[order],
        SIGMA[order],
        maximum_gap_s=12.0,
    )
    found = match(times, exposure)
    assert mixed.column == pytest.approx(found.column, nan_ok=True, rel=1e-12)
    assert mixed.column_sigma == pytest.approx(found.column_sigma, nan_ok=True, rel=1e-12)
    good = found.column[found.matched]
    assert ((good >= 0) & (good <= 4e18 * (1 + 1e-12))).all()
    assert (found.gap_s[found.matched] <= 12.0).all()


def test_a_linear_column_is_met_exactly() -> None:
    spectra = np.arange(0.0, 100.0, 7.0)
    times = np.linspace(5.0, 90.0, 40)
    found = match_columns(
        times,
        np.full(40, 2.0),
        spectra,
        np.full(spectra.size, 7.0),
        1e16 * spectra,
        np.ones(spectra.size),
        maximum_gap_s=10.0,
    )
    assert found.column == pytest.approx(1e16 * times, rel=1e-6)


@pytest.mark.parametrize("gap", [-1.0, float("nan")])
def test_wrong_calls_are_refused(gap: float) -> None:
    values: FloatArray = np.zeros(3)
    with pytest.raises(ValueError, match="gap"):
        match_columns(values, values, values, values, values, values, maximum_gap_s=gap)
    with pytest.raises(ValueError, match="as many"):
        match_columns(values, values, values, values[:2], values, values, maximum_gap_s=1.0)
