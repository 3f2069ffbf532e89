"""Calls into a vendor's library, each with a bounded wait.

All calls of one device run in one thread of its own, because such libraries expect that. A call that does not return
in time leaves its thread behind; the device is stuck from then on, and only a new process gets rid of it.
"""

import queue
import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Any, Final, Self, TypeVar

from so2cam.devices.errors import (
    DeviceDataError,
    DeviceError,
    DeviceMissingError,
    DeviceStoppedError,
    DeviceStuckError,
)

GRACE_S: Final = 2.0
"""A driver has this much longer than its own time limit [s] before it counts as stuck."""
_POLL_S: Final = 0.25
_STOP_GRACE_S: Final = 1.0

_T = TypeVar("_T")


class _Call:
    """One call and what came of it. As a context it keeps whatever is raised: the supervision point of drivers."""

    def __init__(self, function: Callable[[], Any]) -> None:
        self.function = function
        self.done = threading.Event()
        self.result: Any = None
        self.error: BaseException | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        self.error = error
        self.done.set()
        return True

    def run(self) -> None:
        """Call the function in the present thread."""
        with self:
            self.result = self.function()


class BoundedCaller:
    """Runs calls one after the other in a thread of its own, and waits for each at most so long."""

    def __init__(self, device: str, stop: threading.Event) -> None:
        self._device = device
        self._stop = stop
        self._calls: queue.SimpleQueue[_Call | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._stuck: str | None = None

    @property
    def stuck(self) -> bool:
        """Whether a call never came back."""
        return self._stuck is not None

    def call(self, what: str, function: Callable[[], _T], timeout_s: float) -> _T:
        """Return what ``function`` returns, or raise the DeviceError that it raises.

        A driver is foreign code: where it raises OSError or EOFError, the device counts as missing, and anything else
        is a fault of the driver, DeviceDataError. Raises DeviceStuckError where it takes longer than ``timeout_s`` and
        the grace, or an earlier call still does; DeviceStoppedError where the program stops meanwhile and the driver
        does not notice.
        """
        if self._stuck is not None:
            raise self._stuck_error(self._stuck)
        call = _Call(function)
        self._require_thread()
        self._calls.put(call)
        deadline = time.monotonic() + timeout_s + GRACE_S
        stop_by: float | None = None
        while True:
            now = time.monotonic()
            if call.done.wait(min(_POLL_S, max(0.0, (stop_by or deadline) - now))):
                break
            now = time.monotonic()
            if self._stop.is_set() and stop_by is None:
                stop_by = min(deadline, now + _STOP_GRACE_S)
            if stop_by is not None and now >= stop_by:
                self._give_up(what)
                raise DeviceStoppedError(f"{what} was given up, because the program stops", device=self._device)
            if now >= deadline:
                self._give_up(what)
                raise self._stuck_error(what)
        if call.error is not None:
            error = self._translated(what, call.error)
            if error is call.error:
                raise error
            raise error from call.error
        result: _T = call.result
        return result

    def finish(self) -> None:
        """End the thread, unless it is stuck."""
        thread, self._thread = self._thread, None
        if thread is None or self.stuck:
            return
        self._calls.put(None)
        thread.join(GRACE_S)

    def _give_up(self, what: str) -> None:
        """Call the device stuck; should the call return after all, its thread ends."""
        self._stuck = what
        self._calls.put(None)

    def _require_thread(self) -> None:
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, name=f"device-{self._device}", daemon=True)
            self._thread.start()

    def _work(self) -> None:
        while (call := self._calls.get()) is not None:
            call.run()

    def _translated(self, what: str, error: BaseException) -> BaseException:
        """Return the error that the caller gets for what the driver raised."""
        if isinstance(error, DeviceError) or not isinstance(error, Exception):
            return error
        if isinstance(error, (OSError, EOFError)):
            return DeviceMissingError(
                f"{what}: {error}", device=self._device, remedy="check that the device is connected and powered"
            )
        return DeviceDataError(
            f"{what}: the driver failed with {type(error).__name__}: {error}",
            device=self._device,
            remedy="the device is opened again by itself; report this if it comes back",
        )

    def _stuck_error(self, what: str) -> DeviceStuckError:
        return DeviceStuckError(
            f"{what} does not return",
            device=self._device,
            remedy="the device's process is restarted by itself; if this comes again, check cables and power",
        )
