"""The time grid, and following it through exposures and steps of the clock."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from so2cam.instrument.grid import Grid, GridFollower

START = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
periods = st.integers(250_000, 3_600_000_000).map(lambda us: us / 1e6)
times = st.integers(0, 4_000_000_000_000_000).map(lambda us: EPOCH + timedelta(microseconds=us))


@given(periods, times)
def test_grid_times_are_whole_multiples_and_the_nearest_ones(period_s: float, time: datetime) -> None:
    grid = Grid(period_s)
    found = grid.at_or_after(time)
    period = timedelta(microseconds=grid.period_us)
    assert (found - EPOCH) % period == timedelta(0)
    assert time <= found < time + period
    assert grid.after(found) == found + period
    assert grid.steps_between(found, grid.after(found)) == 1


def test_the_grid_is_the_same_on_every_computer() -> None:
    assert Grid(0.3).at_or_after(datetime(2026, 3, 1, 12, 0, 0, 1, tzinfo=UTC)) == datetime(
        2026, 3, 1, 12, 0, 0, 300_000, tzinfo=UTC
    )
    assert Grid(4.0).at_or_after(datetime(2026, 3, 1, 12, 0, 1, tzinfo=UTC)).second == 4


def test_a_period_below_a_microsecond_is_refused() -> None:
    with pytest.raises(ValueError, match="above 0"):
        Grid(0.0)


def test_nothing_is_passed_over_while_exposures_fit() -> None:
    follower, grid = GridFollower(), Grid(0.5)
    now = START + timedelta(milliseconds=100)
    for index in range(20):
        target = follower.aim(grid, now, 0.1)
        assert target.time == START + timedelta(seconds=0.5 * (index + 1))
        assert target.skipped == 0
        assert follower.aim(grid, now, 0.1) == target, "aiming twice is aiming once"
        follower.taken(target)
        now = target.time + timedelta(milliseconds=60)


def test_grid_times_that_a_long_exposure_passes_over_are_counted() -> None:
    follower, grid = GridFollower(), Grid(0.5)
    target = follower.aim(grid, START, 0.6)
    assert target.time == START + timedelta(seconds=1)
    follower.taken(target)
    after = target.time + timedelta(seconds=0.6)
    following = follower.aim(grid, after, 0.6)
    assert following.time == START + timedelta(seconds=2.5)
    assert following.skipped == 2


@pytest.mark.parametrize("step_s", [3600.0, -3600.0, -1.7e9, 0.2])
def test_a_step_of_the_clock_anchors_the_grid_anew_and_counts_nothing(step_s: float) -> None:
    follower, grid = GridFollower(), Grid(1.0)
    assert not follower.notice_step(START, 100.0)
    follower.taken(follower.aim(grid, START, 0.1))
    later = START + timedelta(seconds=1 + step_s)
    assert follower.notice_step(later, 101.0)
    assert follower.steps == 1
    assert follower.last_step_s == pytest.approx(step_s)
    target = follower.aim(grid, later, 0.1)
    assert target.skipped == 0
    assert timedelta(0) < target.time - later <= timedelta(seconds=1.2)
    assert not follower.notice_step(later + timedelta(seconds=5), 106.0)


def test_a_clock_that_is_slewed_makes_no_step() -> None:
    follower = GridFollower()
    for second in range(100):
        slewed = START + timedelta(seconds=second * 1.0005)
        assert not follower.notice_step(slewed, float(second))


def test_another_period_or_a_pause_begins_anew() -> None:
    follower = GridFollower()
    follower.taken(follower.aim(Grid(1.0), START, 0.1))
    later = START + timedelta(seconds=30)
    assert follower.aim(Grid(2.0), later, 0.1).skipped == 0
    follower.taken(follower.aim(Grid(2.0), later, 0.1))
    follower.restart()
    assert follower.aim(Grid(2.0), later + timedelta(seconds=60), 0.1).skipped == 0
