"""What all who look at the pages share: values that are worked out once for everybody, and notices of changes."""

import asyncio
import threading
import time
from collections.abc import Callable, Hashable
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Any, TypeVar

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class _Kept:
    began: float
    fresh_s: float
    future: "asyncio.Future[Any]"

    def over(self, now: float) -> bool:
        """Return whether it is no longer to be given: too old, or it failed, which is told to those who waited."""
        if not self.future.done():
            return False
        failed = self.future.cancelled() or self.future.exception() is not None
        return failed or now - self.began >= self.fresh_s


class SharedValues:
    """Values by key that are worked out in a thread, at most once in a time, however many ask at once.

    What is older than that is let go: only what is fresh, or being worked out, takes memory.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic, *, pool: Executor | None = None) -> None:
        """``pool``: threads of its own, for work that may wait long; else those that everybody uses."""
        self._clock = clock
        self._pool = pool
        self._kept: dict[Hashable, _Kept] = {}

    def __len__(self) -> int:
        return len(self._kept)

    async def get(self, key: Hashable, fresh_s: float, work: Callable[[], _T]) -> _T:
        """Return ``work()``, or what it gave less than ``fresh_s`` ago.

        What it raises is raised to all who wait, and not kept: who asks after that has it worked out anew.
        With ``fresh_s`` 0 it is shared only by those who ask while it is being worked out.
        """
        now = self._clock()
        kept = self._kept.get(key)
        if kept is None or kept.over(now):
            self._let_go(now)
            kept = _Kept(now, fresh_s, asyncio.ensure_future(self._begin(work)))
            self._kept[key] = kept
        found: _T = await asyncio.shield(kept.future)
        if fresh_s == 0 and self._kept.get(key) is kept:
            del self._kept[key]
        return found

    async def _begin(self, work: Callable[[], _T]) -> _T:
        if self._pool is None:
            return await asyncio.to_thread(work)
        return await asyncio.get_running_loop().run_in_executor(self._pool, work)

    def _let_go(self, now: float) -> None:
        for key in [key for key, kept in self._kept.items() if kept.over(now)]:
            del self._kept[key]


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
