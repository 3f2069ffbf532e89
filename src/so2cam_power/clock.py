"""Time for waiting, replaced in tests."""

import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Clock:
    """A monotonic clock [s] and a way to wait."""

    monotonic: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep


def wait_until(condition: Callable[[], bool], timeout_s: float, clock: Clock, *, every_s: float = 1.0) -> bool:
    """Ask ``condition`` until it is true or ``timeout_s`` [s] have passed; return whether it became true.

    It is asked at least once, and at most ``timeout_s / every_s + 2`` times even if the clock stands still.
    """
    end = clock.monotonic() + timeout_s
    for _ in range(int(timeout_s / every_s) + 2):
        if condition():
            return True
        left = end - clock.monotonic()
        if left <= 0:
            return False
        clock.sleep(min(every_s, left))
    return False
