"""What one lag for all of a window leaves open of the speed at a moment, on plumes carried by a known wind."""

import math
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from so2cam.core.records import Band, FloatArray, FrameInfo, FrameKind, FramePair
from so2cam.core.status import EmissionStatus
from so2cam.pipeline.lag_window import speed_change
from so2cam.pipeline.records import MomentarySpeed, PairRecord
from so2cam.science.motion.cross_correlation import Lag, find_lag, speed_from_lag

START = datetime(2026, 3, 1, 14, tzinfo=UTC)
TIMES = 5.0 * np.arange(240)
DISTANCE_M, SPEED_M_S = 220.0, 10.0
FINE = np.arange(-200.0, 1400.0, 0.1)


def wind(relative: float, seed: int) -> FloatArray:
    """The speed [m s-1] at the times of ``FINE``, with gusts of one to four minutes."""
    rng = np.random.default_rng([seed, 2])
    angle = np.outer(FINE, 2 * np.pi / np.geomspace(60, 240, 4)) + rng.uniform(0, 2 * np.pi, 4)
    return np.asarray(SPEED_M_S * (1 + relative * math.sqrt(0.5) * np.sin(angle).sum(axis=1)))


def columns(relative: float, seed: int) -> tuple[FloatArray, FloatArray, FloatArray]:
    """The column amounts at two lines, and the true speed, at ``TIMES``: each parcel of gas keeps its own amount."""
    rng, speed = np.random.default_rng([seed, 5]), wind(relative, seed)
    way = np.cumsum(speed) * 0.1
    frequency, phase = rng.standard_normal(120) / 140.0, rng.uniform(0, 2 * np.pi, 120)

    def at(distance: float) -> FloatArray:
        place = np.interp(TIMES, FINE, way) - distance
        return np.asarray(5 + np.cos(np.outer(place, frequency) + phase).sum(axis=1) * math.sqrt(2 / 120))

    return at(0.0), at(DISTANCE_M), np.interp(TIMES, FINE, speed)


def lag_of(first: FloatArray, second: FloatArray) -> Lag:
    return find_lag(TIMES, first, second, maximum_lag_s=120, minimum_samples=12, minimum_correlation=0.5)


def records(speeds: FloatArray, sigma: float) -> list[PairRecord]:
    made = []
    for index, speed in enumerate(speeds.tolist()):
        time = START + timedelta(seconds=5 * index)
        on, off = (FrameInfo(Path("x.png"), band, FrameKind.PLUME, time, 0.1, 1.0) for band in (Band.ON, Band.OFF))
        made.append(PairRecord(FramePair(on, off), flow_speeds={"upstream": MomentarySpeed(speed, sigma, 0.0)}))
    return made


@pytest.mark.parametrize("relative", [0.1, 0.2])
def test_truth_lies_within_the_change_of_speed_as_often_as_it_should(relative: float) -> None:
    """One lag's own error alone holds it a third as often."""
    within, lag_alone = [], []
    for seed in range(12):
        first, second, true = columns(relative, seed)
        lag = lag_of(first, second)
        assert lag.status is EmissionStatus.OK
        speed, sigma = speed_from_lag(lag, DISTANCE_M)
        seen = true + 0.5 * np.random.default_rng(seed).standard_normal(true.size)
        change = speed_change(records(seen, 0.5), "upstream", lag, 12)
        error = np.abs(speed - true)
        within.append([np.mean(error <= times * np.hypot(sigma, change * speed)) for times in (1, 2)])
        lag_alone.append(np.mean(error <= sigma))
    one, two = np.mean(within, axis=0)
    assert 0.55 < one < 0.8
    assert two > 0.9
    assert np.mean(lag_alone) < 0.5 * one


def test_a_steady_wind_adds_nothing() -> None:
    first, second, true = columns(0.0, 1)
    seen = true + 0.5 * np.random.default_rng(1).standard_normal(true.size)
    assert speed_change(records(seen, 0.5), "upstream", lag_of(first, second), 12) < 0.015


def test_without_flow_the_series_bound_it() -> None:
    """As much as the two series differ by: more in a gusting wind, little where it is steady."""
    bounds = []
    for relative in (0.0, 0.1, 0.2):
        lag = lag_of(*columns(relative, 3)[:2])
        assert speed_change([], "upstream", lag, 12) == pytest.approx(lag.variation_s / lag.lag_s)
        bounds.append(speed_change(records(np.full(11, 9.0), 0.1), "upstream", lag, 12))
    assert bounds[0] < 0.04
    assert bounds[0] < bounds[1] < bounds[2]
    assert 0.05 < bounds[2] < 0.4


def test_a_line_of_another_plume_has_its_own_speeds() -> None:
    lag = Lag(20.0, 0.5, 0.9, EmissionStatus.OK, 2.0)
    made = records(np.tile([8.0, 12.0], 20), 0.0)
    assert speed_change(made, "upstream", lag, 12) == pytest.approx(0.2, rel=0.02)
    assert speed_change(made, "other", lag, 12) == pytest.approx(0.1)
