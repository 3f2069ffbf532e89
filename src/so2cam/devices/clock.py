"""Time as devices see it: intervals and moments by a monotonic clock, UTC beside it.

Everything waits through a ``Clock``, so that a wait is bounded, ends early when the program stops, and tests and
replays run faster than real time. No clock here ever steps: only ``utc_at`` changes when the computer's does.
"""

import threading
import time
from datetime import UTC, datetime, timedelta
from typing import Final, Protocol

LONGEST_WAIT_S: Final = 3600.0
"""A single wait is cut to this [s]: callers loop."""


class Clock(Protocol):
    """A monotonic clock [s] and the UTC that belongs to it."""

    def monotonic_s(self) -> float:
        """Return the monotonic time [s]."""
        ...

    def utc(self) -> datetime:
        """Return the present time, aware UTC."""
        ...

    def utc_at(self, monotonic_s: float) -> datetime:
        """Return the UTC of a moment of the monotonic clock, by what the clock says now."""
        ...

    def wait_until(self, monotonic_s: float, stop: threading.Event) -> bool:
        """Wait until ``monotonic_s`` or until ``stop`` is set, at most an hour; return whether the moment came."""
        ...


class SystemClock:
    """The computer's clocks."""

    def monotonic_s(self) -> float:
        """Return ``time.monotonic()``: on Linux the clock of the sensor's time stamps."""
        return time.monotonic()

    def utc(self) -> datetime:
        """Return the computer's time."""
        return datetime.now(UTC)

    def utc_at(self, monotonic_s: float) -> datetime:
        """Return the UTC of a monotonic moment. The two clocks are read at once; the error is microseconds."""
        before = time.monotonic()
        now = datetime.now(UTC)
        middle = 0.5 * (before + time.monotonic())
        return now + timedelta(seconds=monotonic_s - middle)

    def wait_until(self, monotonic_s: float, stop: threading.Event) -> bool:
        """Wait for the moment; a stop ends the wait at once."""
        left = monotonic_s - time.monotonic()
        if left <= 0:
            return not stop.is_set()
        stopped = stop.wait(min(left, LONGEST_WAIT_S))
        return not stopped and time.monotonic() >= monotonic_s


class FastClock:
    """A clock that runs ``rate`` times as fast as the computer's, from ``start``."""

    def __init__(self, rate: float, start: datetime) -> None:
        if not rate > 0:
            raise ValueError(f"the rate must be above 0, got {rate}")
        self._rate = rate
        self._start = start.astimezone(UTC)
        self._origin = time.monotonic()

    def monotonic_s(self) -> float:
        """Return the seconds since the start, as this clock counts them."""
        return (time.monotonic() - self._origin) * self._rate

    def utc(self) -> datetime:
        """Return the start plus what has passed."""
        return self.utc_at(self.monotonic_s())

    def utc_at(self, monotonic_s: float) -> datetime:
        """Return the UTC of a moment."""
        return self._start + timedelta(seconds=monotonic_s)

    def wait_until(self, monotonic_s: float, stop: threading.Event) -> bool:
        """Wait for the moment, in this clock's time."""
        left = (monotonic_s - self.monotonic_s()) / self._rate
        if left <= 0:
            return not stop.is_set()
        stopped = stop.wait(min(left, LONGEST_WAIT_S))
        return not stopped and self.monotonic_s() >= monotonic_s


class SteppedClock:
    """A clock for tests: it stands still, and jumps to whatever is waited for. Its UTC can be stepped."""

    def __init__(self, start: datetime) -> None:
        self._start = start.astimezone(UTC)
        self._now_s = 0.0
        self._lock = threading.Lock()

    def monotonic_s(self) -> float:
        """Return the seconds that were waited so far."""
        with self._lock:
            return self._now_s

    def utc(self) -> datetime:
        """Return the start plus what was waited and stepped."""
        return self.utc_at(self.monotonic_s())

    def utc_at(self, monotonic_s: float) -> datetime:
        """Return the UTC of a moment."""
        return self._start + timedelta(seconds=monotonic_s)

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        with self._lock:
            self._now_s += seconds

    def step_utc(self, seconds: float) -> None:
        """Set UTC forward or back, as a time server does; the monotonic time stays."""
        self._start += timedelta(seconds=seconds)

    def wait_until(self, monotonic_s: float, stop: threading.Event) -> bool:
        """Jump to the moment at once, unless ``stop`` is set."""
        if stop.is_set():
            return False
        with self._lock:
            self._now_s = max(self._now_s, monotonic_s)
        return True
