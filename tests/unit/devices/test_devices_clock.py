"""Clocks of devices: waits are bounded and end with the program."""

import threading
import time
from datetime import UTC, datetime, timedelta

import pytest

from so2cam.devices.clock import FastClock, SteppedClock, SystemClock

START = datetime(2026, 3, 1, tzinfo=UTC)


def test_system_clock_ties_both_times_together():
    clock = SystemClock()
    now = clock.utc_at(time.monotonic())
    assert abs(now - datetime.now(UTC)) < timedelta(seconds=5)
    moment = clock.monotonic_s()
    assert (clock.utc_at(moment + 100) - clock.utc_at(moment)).total_seconds() == pytest.approx(100, abs=0.1)


@pytest.mark.parametrize("clock", [SystemClock(), FastClock(50.0, START)], ids=["system", "fast"])
def test_waits_reach_their_moment_and_end_with_a_stop(clock):
    stop = threading.Event()
    moment = clock.monotonic_s() + 0.01
    assert clock.wait_until(moment, stop)
    assert clock.monotonic_s() >= moment
    assert clock.wait_until(moment, stop)
    stop.set()
    assert not clock.wait_until(clock.monotonic_s() + 1e6, stop)
    assert not clock.wait_until(moment, stop)


def test_fast_clock_runs_fast():
    clock = FastClock(1000.0, START)
    assert clock.wait_until(60.0, threading.Event())
    assert clock.utc() >= START + timedelta(seconds=60)
    with pytest.raises(ValueError, match="above 0"):
        FastClock(0, START)


def test_stepped_clock_stands_still_and_jumps():
    clock = SteppedClock(START)
    assert clock.utc() == START
    assert clock.wait_until(12.5, threading.Event())
    assert clock.utc() == START + timedelta(seconds=12.5)
    assert clock.wait_until(3.0, threading.Event())
    assert clock.monotonic_s() == 12.5
    clock.step_utc(-3600)
    assert clock.utc() == START + timedelta(seconds=12.5 - 3600)
    assert clock.monotonic_s() == 12.5
