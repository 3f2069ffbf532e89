"""How much a speed varies, on made speeds whose variation is known."""

import math

import numpy as np
import pytest

from so2cam.core.records import FloatArray
from so2cam.science.motion.speed_variation import speed_variation

NOTHING = np.zeros(240)


def gusts(seed: int, relative: float, count: int) -> FloatArray:
    """Factors about 1 with a relative standard deviation in time: four waves of 25 to 140 s, every 5 s."""
    rng, times = np.random.default_rng([seed, 3]), 5.0 * np.arange(count)
    angle = np.outer(times, 2 * np.pi / np.geomspace(25, 140, 4)) + rng.uniform(0, 2 * np.pi, 4)
    return np.asarray(1 + relative * math.sqrt(0.5) * np.sin(angle).sum(axis=1))


@pytest.mark.parametrize("relative", [0.05, 0.1, 0.25])
@pytest.mark.parametrize("mean", [8.0, -3.0])
def test_a_known_variation_is_found_beneath_the_errors_of_single_speeds(relative: float, mean: float) -> None:
    found, naive = [], []
    for seed in range(40):
        sigma = 0.06 * abs(mean) * np.random.default_rng(seed).uniform(0.5, 1.5, 240)
        speeds = mean * gusts(seed, relative, 240) + sigma * np.random.default_rng([seed, 1]).standard_normal(240)
        found.append(speed_variation(speeds, sigma, NOTHING, minimum=12))
        naive.append(float(np.std(speeds)) / abs(mean))
    assert np.mean(found) == pytest.approx(relative, rel=0.06)
    assert np.std(found) < 0.02
    assert np.mean(naive) > np.mean(found) + 0.003


@pytest.mark.parametrize("share", [0.3, 0.6, 0.9])
def test_what_leaning_on_a_mean_hides_comes_on_top(share: float) -> None:
    """Speeds that are drawn towards the mean as far as their noise is worth it."""
    variation, found, seen = 0.2, [], []
    noise = variation * math.sqrt((1 - share) / share)
    for seed in range(40):
        rng = np.random.default_rng([seed, 9])
        deviation = variation * rng.standard_normal(240)
        speeds = 10 * (1 + share * (deviation + noise * rng.standard_normal(240)))
        left = np.full(240, 10 * variation * math.sqrt(1 - share))
        found.append(speed_variation(speeds, NOTHING, left, minimum=12))
        seen.append(speed_variation(speeds, NOTHING, NOTHING, minimum=12))
    assert np.mean(found) == pytest.approx(variation, rel=0.05)
    assert np.mean(seen) == pytest.approx(variation * math.sqrt(share), rel=0.08)


def test_a_steady_speed_has_next_to_none() -> None:
    sigma = np.full(240, 0.3)
    found = [
        speed_variation(10 + sigma * np.random.default_rng(seed).standard_normal(240), sigma, NOTHING, minimum=12)
        for seed in range(40)
    ]
    assert min(found) == 0.0
    assert np.mean(found) < 0.006  # of 3 % in a single speed


def test_the_truth_lies_within_it_as_often_as_it_should() -> None:
    """Of moments of a gusting wind against the mean of their window: 68 and 95 %."""
    within = []
    for seed in range(30):
        true = 10 * gusts(seed, 0.2, 240)
        sigma = speed_variation(true, NOTHING, NOTHING, minimum=12) * true.mean()
        within.append([np.mean(np.abs(true - true.mean()) <= times * sigma) for times in (1, 2)])
    one, two = np.mean(within, axis=0)
    assert 0.6 < one < 0.75
    assert two > 0.92


def test_nothing_is_told_by_too_few_speeds_or_by_speeds_about_zero() -> None:
    speeds, sigma = 10 * gusts(1, 0.2, 30), np.full(30, 0.1)
    assert math.isnan(speed_variation(speeds[:11], sigma[:11], sigma[:11], minimum=12))
    assert math.isfinite(speed_variation(speeds[:12], sigma[:12], sigma[:12], minimum=12))
    holed = speeds.copy()
    holed[:19] = np.nan
    assert math.isnan(speed_variation(holed, sigma, sigma, minimum=12))
    assert math.isnan(speed_variation(speeds - speeds.mean(), sigma, sigma, minimum=12))
    assert math.isnan(speed_variation(np.empty(0), np.empty(0), np.empty(0), minimum=12))
