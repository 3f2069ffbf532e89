"""What all who look at the pages share: values that are worked out once for everybody, and notices of changes."""

import asyncio
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Any, Final, TypeVar

_MOST: Final = 256
_T = TypeVar("_T")


class SharedValues:
    """Values by key that are worked out in a thread, at most once in ``fresh_s``, however many ask at once."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._kept: OrderedDict[Hashable, tuple[float, asyncio.Future[Any]]] = OrderedDict()

    async def get(self, key: Hashable, fresh_s: float, work: Callable[[], _T]) -> _T:
        """Return ``work()``, or what it gave less than ``fresh_s`` ago. What it raises is raised to all who wait."""
        kept = self._kept.get(key)
        if kept is not None and (not kept[1].done() or self._clock() - kept[0] < fresh_s):
            return await asyncio.shield(kept[1])
        future: asyncio.Future[Any] = asyncio.ensure_future(asyncio.to_thread(work))
        self._kept[key] = (self._clock(), future)
        self._kept.move_to_end(key)
        while len(self._kept) > _MOST:
            self._kept.popitem(last=False)
        return await asyncio.shield(future)


class Notices:
    """Numbers that go up when something changed, so that all pages that show it look again. Safe for threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._numbers: dict[str, int] = {}

    def tell(self, topic: str) -> int:
        """Say that ``topic`` changed; return its new number."""
        with self._lock:
            self._numbers[topic] = self._numbers.get(topic, 0) + 1
            return self._numbers[topic]

    def number(self, topic: str) -> int:
        """Return the number of ``topic``; 0 where nothing was told yet."""
        with self._lock:
            return self._numbers.get(topic, 0)
