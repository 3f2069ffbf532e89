"""Keeps what was captured, beside the capture: a thread with a short queue in front of the spool.

The disk of a small computer takes tenths of a second now and then, and refuses for minutes when it is full. Capture
waits for neither: items wait here, and where the disk refuses for longer than the queue is long, the oldest are given
up, counted and reported.
"""

import logging
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

from so2cam.store.errors import AlreadyKeptError, SpoolDamagedError, SpoolError
from so2cam.store.items import Receipt, StoreItem
from so2cam.store.spool import Spool

_RETRY_S: Final = 1.0
_LOG = logging.getLogger(__name__)
_K = TypeVar("_K")


@dataclass(frozen=True, slots=True)
class _Waiting(Generic[_K]):
    key: _K
    make: Callable[[], StoreItem]


class Writer(Generic[_K]):
    """Puts items into a spool, in order, until ``close``.

    ``open_spool`` is called in the writer's thread and again after a journal was replaced. ``on_stored(key, receipt)``,
    ``on_known(key, sequence)`` (an item of the same mark was kept before) and ``on_lost(key, reason)`` are called in
    that thread, one of them once for each item.
    """

    def __init__(
        self,
        open_spool: Callable[[], Spool],
        *,
        length: int,
        on_stored: Callable[[_K, Receipt], None],
        on_lost: Callable[[_K, str], None],
        on_known: Callable[[_K, int], None] = lambda key, sequence: None,
        on_trouble: Callable[[str | None], None] = lambda _: None,
    ) -> None:
        self._open_spool = open_spool
        self._length = length
        self._on_stored = on_stored
        self._on_lost = on_lost
        self._on_known = on_known
        self._on_trouble = on_trouble
        self._waiting: deque[_Waiting[_K]] = deque()
        self._changed = threading.Condition()
        self._closing = threading.Event()
        self._busy = False
        self._thread = threading.Thread(target=self._work, name="writer", daemon=True)
        self._thread.start()

    @property
    def waiting(self) -> int:
        """How many items wait, the one in work included."""
        with self._changed:
            return len(self._waiting)

    def give(self, key: _K, make: Callable[[], StoreItem]) -> None:
        """Add an item; ``make`` builds it in the writer's thread. Where the queue is full the oldest item goes."""
        lost: list[_Waiting[_K]] = []
        with self._changed:
            while len(self._waiting) >= self._length:
                # The first one may be in work; then the next is the oldest.
                index = 1 if self._busy and len(self._waiting) > 1 else 0
                lost.append(self._waiting[index])
                del self._waiting[index]
            self._waiting.append(_Waiting(key, make))
            self._changed.notify_all()
        for one in lost:
            self._on_lost(one.key, "the disk refused for too long")

    def flush(self, timeout_s: float) -> bool:
        """Wait until everything is kept, or ``timeout_s``; return whether it is."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._waiting, timeout_s)

    def close(self, timeout_s: float) -> int:
        """Keep what waits, for at most ``timeout_s``, and end; return how many items were not kept."""
        self.flush(timeout_s)
        self._closing.set()
        with self._changed:
            left = list(self._waiting)
            self._changed.notify_all()
        self._thread.join(max(0.2, timeout_s))
        return len(left)

    def _work(self) -> None:
        spool: Spool | None = None
        try:
            while not self._closing.is_set():
                with self._changed:
                    self._changed.wait_for(lambda: bool(self._waiting) or self._closing.is_set(), 1.0)
                    if self._closing.is_set() or not self._waiting:
                        continue
                    one = self._waiting[0]
                    self._busy = True
                try:
                    if spool is None:
                        spool = self._open_spool()
                    receipt = spool.put(one.make())
                except AlreadyKeptError as known:
                    self._remove(one)
                    self._on_known(one.key, known.sequence)
                except SpoolDamagedError as error:
                    if spool is not None:
                        spool.close()
                        spool = None
                    self._refused(error)
                except SpoolError as error:
                    self._refused(error)
                except ValueError as error:
                    self._remove(one)
                    self._on_lost(one.key, f"it cannot be kept: {error}")
                else:
                    self._remove(one)
                    self._on_trouble(None)
                    self._on_stored(one.key, receipt)
                finally:
                    with self._changed:
                        self._busy = False
        finally:
            if spool is not None:
                spool.close()

    def _remove(self, one: _Waiting[_K]) -> None:
        with self._changed:
            if self._waiting and self._waiting[0] is one:
                self._waiting.popleft()
            self._changed.notify_all()

    def _refused(self, error: SpoolError) -> None:
        _LOG.warning("nothing can be kept: %s", " ".join(str(error).split()))
        self._on_trouble(error.message)
        self._closing.wait(_RETRY_S)
