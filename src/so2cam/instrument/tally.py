"""What a device's process has done so far, for the status that it sends: counted from two threads."""

import threading
from collections.abc import Mapping
from typing import Any

COUNTS = ("captured", "stored", "skipped_grid_points", "lost", "rejected")


class Tally:
    """Counters, and the latest values by the names that ``DeviceHealth`` has."""

    def __init__(self) -> None:
        self._counts = dict.fromkeys(COUNTS, 0)
        self._latest: dict[str, Any] = {}
        self._lock = threading.Lock()

    def count(self, name: str, number: int = 1) -> None:
        """Add to a counter."""
        with self._lock:
            self._counts[name] += number

    def note(self, **values: Any) -> None:
        """Take note of values."""
        with self._lock:
            self._latest |= values

    def values(self) -> Mapping[str, Any]:
        """Return all counters and values."""
        with self._lock:
            return {**self._counts, **self._latest}
