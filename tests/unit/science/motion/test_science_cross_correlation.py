"""Lags of synthetic series, what their uncertainty is worth, and that nothing is made of nothing."""

import math
from collections import Counter
from collections.abc import Callable

import numpy as np
import pytest

from so2cam.core.records import FloatArray
from so2cam.core.status import EmissionStatus
from so2cam.science.motion.cross_correlation import Lag, find_lag, speed_from_lag

Series = Callable[[FloatArray], FloatArray]


def find(times: FloatArray, first: FloatArray, second: FloatArray, *, maximum_lag_s: float = 240.0) -> Lag:
    return find_lag(times, first, second, maximum_lag_s=maximum_lag_s, minimum_samples=12, minimum_correlation=0.5)


def puffs(seed: int, correlation_s: float) -> Series:
    """A random series of unit variance and Gaussian autocorrelation, known at any time: a sum of many waves."""
    rng = np.random.default_rng([seed, 7])
    waves = 150
    frequency = rng.standard_normal(waves) / (math.sqrt(2) * correlation_s)
    phase = rng.uniform(0, 2 * np.pi, waves)

    def series(t: FloatArray) -> FloatArray:
        return np.asarray(np.cos(np.outer(t, frequency) + phase).sum(axis=1) * math.sqrt(2 / waves))

    return series


def pair(
    seed: int, times: FloatArray, lag_s: float, *, noise: float, correlation_s: float = 12.0
) -> tuple[FloatArray, FloatArray]:
    rng, series = np.random.default_rng(seed), puffs(seed, correlation_s)
    first = 3.0 + series(times) + noise * rng.standard_normal(times.size)
    return first, 2.5 + 0.8 * (series(times - lag_s) + noise * rng.standard_normal(times.size))


REGULAR = np.arange(150) * 8.0
IRREGULAR = np.sort(REGULAR + np.random.default_rng(2).uniform(-2.5, 2.5, REGULAR.size))


@pytest.mark.parametrize("times", [REGULAR, IRREGULAR], ids=["regular", "irregular"])
@pytest.mark.parametrize("lag_s", [33.3, 40.0, 10.7, -61.2, -100.0, 150.5])
def test_known_lags_of_either_sign_below_the_sampling_interval(times: FloatArray, lag_s: float) -> None:
    first, second = pair(1, times, lag_s, noise=0.05)
    lag = find(times, first, second)
    assert lag.status is EmissionStatus.OK
    assert lag.lag_s == pytest.approx(lag_s, abs=0.6)
    assert abs(lag.lag_s - lag_s) < 4 * lag.uncertainty_s
    assert lag.uncertainty_s < 1.0
    assert 0.95 < lag.correlation <= 1


def test_swapped_series_have_the_opposite_lag() -> None:
    first, second = pair(3, REGULAR, 29.0, noise=0.1)
    there, back = find(REGULAR, first, second), find(REGULAR, second, first)
    assert there.lag_s == pytest.approx(-back.lag_s, abs=0.3)
    assert there.uncertainty_s == pytest.approx(back.uncertainty_s, rel=0.2)


def test_trends_scales_and_start_do_not_matter() -> None:
    first, second = pair(4, REGULAR, 29.0, noise=0.1)
    plain = find(REGULAR, first, second)
    changed = find(REGULAR + 1.5e9, 1e3 * first + 0.5 * REGULAR, 7 - 0.002 * REGULAR + 1e-3 * second)
    assert changed.lag_s == pytest.approx(plain.lag_s, abs=1e-3)
    assert changed.uncertainty_s == pytest.approx(plain.uncertainty_s, rel=1e-3)


@pytest.mark.parametrize("lag_s", [0.0, 0.2])
def test_a_lag_that_is_not_told_apart_from_zero(lag_s: float) -> None:
    lag = find(REGULAR, *pair(5, REGULAR, lag_s, noise=0.3))
    assert lag.status is EmissionStatus.LAG_NOT_RESOLVED
    assert math.isnan(lag.lag_s)


def test_a_series_and_itself() -> None:
    for seed in range(5):
        first, _ = pair(seed, REGULAR, 0.0, noise=0.1)
        lag = find(REGULAR, first, first.copy())
        assert lag.status is EmissionStatus.LAG_NOT_RESOLVED


@pytest.mark.parametrize(
    ("samples", "step"), [(150, 8.0), (300, 4.0), (40, 4.0), (20, 4.0), (12, 8.0)], ids=lambda value: f"{value:g}"
)
def test_white_noise_has_no_lag(samples: int, step: float) -> None:
    times, seeds = np.arange(samples) * step, 200 if samples < 100 else 40
    found: Counter[EmissionStatus] = Counter()
    for seed in range(seeds):
        rng = np.random.default_rng(seed)
        found[find(times, rng.standard_normal(samples), rng.standard_normal(samples)).status] += 1
    assert found[EmissionStatus.NO_CORRELATION] >= 0.95 * seeds


@pytest.mark.parametrize(("samples", "step", "correlation_s"), [(150, 8.0, 12.0), (60, 8.0, 12.0), (40, 4.0, 10.0)])
def test_unrelated_puffs_have_no_lag(samples: int, step: float, correlation_s: float) -> None:
    times, seeds = np.arange(samples) * step, 60
    passed = 0
    for seed in range(seeds):
        first, second = puffs(seed, correlation_s)(times), puffs(seed + 1000, correlation_s)(times)
        passed += find(times, first, second).status is EmissionStatus.OK
    assert passed <= 0.06 * seeds


def test_series_of_opposite_sign_do_not_correlate() -> None:
    first, second = pair(6, REGULAR, 30.0, noise=0.1, correlation_s=30.0)
    assert find(REGULAR, first, -second, maximum_lag_s=40.0).status is not EmissionStatus.OK


@pytest.mark.parametrize("samples", [0, 1, 2, 11])
def test_too_few_samples(samples: int) -> None:
    first, second = pair(7, REGULAR, 30.0, noise=0.1)
    lag = find(REGULAR[:samples], first[:samples], second[:samples])
    assert lag.status is EmissionStatus.TOO_FEW_SAMPLES
    assert math.isnan(lag.lag_s)
    assert math.isnan(lag.uncertainty_s)


def test_samples_that_are_not_numbers_do_not_count() -> None:
    first, second = pair(8, REGULAR, 30.0, noise=0.05)
    first[::15] = np.nan
    second[7::20] = np.nan
    lag = find(REGULAR, first, second)
    assert lag.status is EmissionStatus.OK
    assert lag.lag_s == pytest.approx(30.0, abs=4 * lag.uncertainty_s)
    second[11:] = np.nan
    assert find(REGULAR, first, second).status is EmissionStatus.TOO_FEW_SAMPLES
    assert find(REGULAR, np.full(150, np.nan), second).status is EmissionStatus.TOO_FEW_SAMPLES


@pytest.mark.parametrize("constant", [0.0, 0.1, 3.7, 1e6])
def test_a_constant_series_correlates_with_nothing(constant: float) -> None:
    first, _ = pair(9, REGULAR, 30.0, noise=0.05)
    flat = np.full(REGULAR.size, constant)
    for series in ((flat, first), (first, flat), (flat, flat), (flat, 2 * flat)):
        assert find(REGULAR, *series).status is EmissionStatus.NO_CORRELATION


@pytest.mark.parametrize("times", [REGULAR[:50], IRREGULAR[:90]])
def test_straight_lines_correlate_with_nothing(times: FloatArray) -> None:
    # Without their trend, only rounding is left of them.
    for first, second in ((0.1 * times, 0.7 * times + 1), (3.7 - 0.3 * times, 1e3 + 0.01 * times)):
        assert find(times, first, second).status is EmissionStatus.NO_CORRELATION


@pytest.mark.parametrize("lag_s", [48.0, 60.0, -60.0])
def test_a_maximum_at_the_edge_of_the_search_is_no_lag(lag_s: float) -> None:
    first, second = pair(10, REGULAR, lag_s, noise=0.02, correlation_s=30.0)
    lag = find(REGULAR, first, second, maximum_lag_s=48.0)
    assert lag.status is EmissionStatus.LAG_NOT_RESOLVED
    assert math.isnan(lag.lag_s)


def test_a_gap_in_the_series_is_not_made_up() -> None:
    # Twenty minutes without frames in the middle: a curve drawn through them would outweigh all that was seen.
    times = np.concatenate([np.arange(60) * 8.0, 1200 + np.arange(60) * 8.0])
    errors = []
    for seed in range(10):
        lag = find(times, *pair(seed, times, 33.3, noise=0.1))
        if lag.status is EmissionStatus.OK:
            errors.append(abs(lag.lag_s - 33.3) / lag.uncertainty_s)
    assert len(errors) >= 7
    assert max(errors) < 4


@pytest.mark.parametrize("seed", range(12))
def test_any_sampling_gives_an_answer(seed: int) -> None:
    rng = np.random.default_rng(seed)
    steps = rng.exponential(8.0, rng.integers(12, 70)) + 0.1
    steps[steps.size // 2] += 400.0 * (seed % 2)
    times = np.cumsum(steps)
    lag = find(times, *pair(seed, times, 20.0, noise=0.05))
    assert isinstance(lag.status, EmissionStatus)
    assert math.isfinite(lag.lag_s) == (lag.status is EmissionStatus.OK)


COVERAGE = {
    "noisy": (150, 8.0, 33.3, 0.3, 12.0),
    "a quarter of a sample": (150, 8.0, 10.0, 0.2, 12.0),
    "fast": (300, 4.0, 33.3, 0.2, 12.0),
    "slow puffs, upstream": (150, 8.0, -61.0, 0.2, 20.0),
}


@pytest.mark.parametrize("name", COVERAGE)
def test_stated_uncertainty_is_honest(name: str) -> None:
    samples, step, lag_s, noise, correlation_s = COVERAGE[name]
    errors, sigmas = [], []
    for seed in range(70):
        times = np.arange(samples) * step
        times = times + np.random.default_rng([seed, 3]).uniform(-0.5, 0.5, samples)
        lag = find(times, *pair(seed, times, lag_s, noise=noise, correlation_s=correlation_s))
        assert lag.status is EmissionStatus.OK
        errors.append(lag.lag_s - lag_s)
        sigmas.append(lag.uncertainty_s)
    ratio = np.abs(errors) / np.array(sigmas)
    # 68 %, give or take the 5 % by which 70 draws scatter, and rather too wide than too narrow.
    assert 0.55 <= np.mean(ratio < 1) <= 0.85
    assert np.mean(ratio < 2) > 0.88
    # Nothing draws the lag towards the samples or the middle between them.
    assert abs(np.mean(errors)) < 3.5 * np.std(errors) / math.sqrt(70)


QUIET = {
    "nearly noiseless": (150, 8.0, 33.3, 0.03, 12.0),
    "slow puffs": (150, 8.0, 33.3, 0.05, 25.0),
    "a short series": (60, 8.0, 33.3, 0.1, 12.0),
}


@pytest.mark.parametrize("name", QUIET)
def test_stated_uncertainty_is_large_enough_where_there_is_little_noise(name: str) -> None:
    # What is left are the ends of the series: which puffs are seen depends on the lag that is tried.
    samples, step, lag_s, noise, correlation_s = QUIET[name]
    errors, ratios = [], []
    for seed in range(40):
        times = np.arange(samples) * step
        lag = find(times, *pair(seed, times, lag_s, noise=noise, correlation_s=correlation_s))
        if lag.status is EmissionStatus.OK:
            errors.append(lag.lag_s - lag_s)
            ratios.append(abs(lag.lag_s - lag_s) / lag.uncertainty_s)
    assert len(errors) >= 36
    assert np.mean(np.array(ratios) < 1) >= 0.60
    assert np.mean(np.array(ratios) < 2) > 0.88
    assert np.sqrt(np.mean(np.square(errors))) < 0.1 * step


def test_speed_and_its_uncertainty_by_hand() -> None:
    speed, sigma = speed_from_lag(Lag(40.0, 2.0, 0.9, EmissionStatus.OK), 200.0)
    assert speed == pytest.approx(5.0)
    assert sigma == pytest.approx(0.25)
    speed, sigma = speed_from_lag(Lag(-40.0, 2.0, 0.9, EmissionStatus.OK), 200.0)
    assert (speed, sigma) == pytest.approx((-5.0, 0.25))
    speed, sigma = speed_from_lag(Lag(40.0, 2.0, 0.9, EmissionStatus.OK), -200.0)
    assert (speed, sigma) == pytest.approx((-5.0, 0.25))


@pytest.mark.parametrize("status", [status for status in EmissionStatus if status is not EmissionStatus.OK])
def test_no_lag_no_speed(status: EmissionStatus) -> None:
    for lag_s in (math.nan, 40.0, 0.0):
        assert all(math.isnan(value) for value in speed_from_lag(Lag(lag_s, 1.0, 0.9, status), 200.0))


def test_no_distance_no_speed() -> None:
    assert all(math.isnan(value) for value in speed_from_lag(Lag(40.0, 2.0, 0.9, EmissionStatus.OK), math.nan))


@pytest.mark.parametrize("delay_s", [3.0, 5.0])
def test_a_lag_that_changes_is_told_by_what_the_series_do_not_share(delay_s: float) -> None:
    """The lag swings by a known amount about 40 s, slowly against the puffs; trends that are taken off add to it."""
    found = []
    for seed in range(10):
        series = puffs(seed, 20.0)
        swing = delay_s * math.sqrt(2) * np.sin(2 * np.pi * REGULAR / 400 + seed)
        lag = find(REGULAR, 3 + series(REGULAR), 3 + series(REGULAR - 40 - swing))
        assert lag.status is EmissionStatus.OK
        found.append(lag.variation_s)
    assert np.mean(found) == pytest.approx(delay_s, rel=0.25)
