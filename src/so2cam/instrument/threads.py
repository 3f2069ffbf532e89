"""Threads that the agent cannot do without: one that fails is reported, and started again.

This is a supervision point: what no part of the agent expected ends the thread here, with its traceback in the log, and
not the agent.
"""

import logging
import threading
import time
from collections.abc import Callable
from typing import Final

AGAIN_S: Final = 5.0
_LOG = logging.getLogger(__name__)


class VitalThread:
    """Runs ``work`` in a daemon thread. ``revive``, called now and then, starts it again where it failed."""

    def __init__(self, name: str, work: Callable[[], None]) -> None:
        self.name = name
        self._work = work
        self._thread: threading.Thread | None = None
        self._finished = False
        self._died_s: float | None = None
        self.failures = 0

    def start(self) -> None:
        """Start the thread."""
        self._finished = False
        self._thread = threading.Thread(target=self._run, name=self.name, daemon=True)
        self._thread.start()

    def join(self, timeout_s: float) -> bool:
        """Wait for its end, at most so long; return whether it has ended (or never began)."""
        if self._thread is None:
            return True
        self._thread.join(max(0.0, timeout_s))
        return not self._thread.is_alive()

    def revive(self) -> bool:
        """Start the thread again if it failed, some seconds after; return whether that was done."""
        thread = self._thread
        if thread is None or thread.is_alive() or self._finished:
            return False
        now_s = time.monotonic()
        if self._died_s is None:
            self._died_s = now_s
            self.failures += 1
            _LOG.error("the thread %s failed; it starts again in %g s", self.name, AGAIN_S)
        if now_s - self._died_s < AGAIN_S:
            return False
        self._died_s = None
        self.start()
        return True

    def _run(self) -> None:
        self._work()
        self._finished = True


def log_failures() -> None:
    """Write what ends a thread unexpectedly to the log, with its traceback."""

    def hook(arguments: threading.ExceptHookArgs) -> None:
        if arguments.exc_value is None:
            return
        name = arguments.thread.name if arguments.thread is not None else "unknown"
        _LOG.critical(
            "the thread %s failed",
            name,
            exc_info=(arguments.exc_type, arguments.exc_value, arguments.exc_traceback),
        )

    threading.excepthook = hook
