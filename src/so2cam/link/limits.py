"""How much one may ask: buckets that fill with time."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """What one token may ask, per second and at once, and how many connections there may be."""

    commands_per_s: float = 5.0
    commands_at_once: float = 50.0
    calls_per_s: float = 300.0
    calls_at_once: float = 600.0
    pairings_per_s: float = 0.2
    pairings_at_once: float = 10.0
    connections: int = 256
    first_request_s: float = 15.0
    """A connection that has not said what it wants by then is closed."""


class Bucket:
    """Lets ``rate`` pass per second, and up to ``size`` at once; for all threads."""

    def __init__(self, rate: float, size: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._rate, self._size = rate, size
        self._clock = clock
        self._level = size
        self._then = clock()
        self._lock = threading.Lock()

    def take(self, amount: float = 1.0) -> bool:
        """Take ``amount`` if it is there; return whether it was."""
        with self._lock:
            self._fill()
            if self._level < amount:
                return False
            self._level -= amount
            return True

    def spend(self, amount: float) -> float:
        """Take ``amount`` in any case; return how long to wait until the bucket is level again [s]."""
        with self._lock:
            self._fill()
            self._level -= amount
            return max(0.0, -self._level / self._rate)

    def _fill(self) -> None:
        now = self._clock()
        self._level = min(self._size, self._level + max(0.0, now - self._then) * self._rate)
        self._then = now


class Buckets:
    """One bucket for each name; the names longest unused are forgotten."""

    def __init__(self, rate: float, size: float, most: int = 1000) -> None:
        self._rate, self._size, self._most = rate, size, most
        self._buckets: dict[str, Bucket] = {}
        self._lock = threading.Lock()

    def take(self, name: str) -> bool:
        """Take one from the bucket of ``name``."""
        with self._lock:
            bucket = self._buckets.pop(name, None) or Bucket(self._rate, self._size)
            self._buckets[name] = bucket  # the latest last
            if len(self._buckets) > self._most:
                del self._buckets[next(iter(self._buckets))]
        return bucket.take()
