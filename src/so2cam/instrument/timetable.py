"""Duties that come again and again, one after the other, in one thread."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

_LONGEST_WAIT_S: Final = 0.5


@dataclass(slots=True)
class _Duty:
    interval_s: float
    work: Callable[[], None]
    next_s: float


class Timetable:
    """Runs duties until ``stop`` is set. One that fails ends ``run``; run again, it goes on with the others first."""

    def __init__(self, stop: threading.Event) -> None:
        self._stop = stop
        self._duties: list[_Duty] = []

    def every(self, interval_s: float, work: Callable[[], None], *, at_once: bool = False) -> None:
        """Add a duty: each ``interval_s``, for the first time at once or after that time."""
        now_s = time.monotonic()
        self._duties.append(_Duty(interval_s, work, now_s if at_once else now_s + interval_s))

    def run(self) -> None:
        """Run what is due, and wait for the next."""
        while not self._stop.is_set():
            now_s = time.monotonic()
            for duty in self._duties:
                if duty.next_s <= now_s and not self._stop.is_set():
                    # First noted, then done: what fails is not tried again before its time.
                    duty.next_s = now_s + duty.interval_s
                    duty.work()
            left_s = min((duty.next_s for duty in self._duties), default=now_s + 1.0) - time.monotonic()
            self._stop.wait(min(max(0.0, left_s), _LONGEST_WAIT_S))
