"""A lock between processes: many may put at once, and recovery waits for them and keeps them out.

It is the system's own file lock (flock): it ends with the process that held it, however that ended.
"""

import contextlib
import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from so2cam.store.errors import SpoolBusyError, from_os_error, os_errors

_POLL_S: Final = 0.01


class Gate:
    """The lock on the file ``path``, for one thread at a time."""

    def __init__(self, path: Path) -> None:
        """Open the lock, and make its file where it is missing. Raises SpoolError where that cannot be."""
        self._path = path
        self._descriptor = -1
        self._open()

    def _open(self) -> None:
        with os_errors(self._path):
            self._descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)

    def close(self) -> None:
        """Close the lock. Closing it again does nothing."""
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            with contextlib.suppress(OSError):  # nothing was written; the lock ends in any case
                os.close(descriptor)

    @contextmanager
    def shared(self, timeout_s: float) -> Iterator[None]:
        """Hold the lock together with others. Raises SpoolBusyError after ``timeout_s``."""
        with self._held(fcntl.LOCK_SH, timeout_s):
            yield

    @contextmanager
    def exclusive(self, timeout_s: float) -> Iterator[None]:
        """Hold the lock alone. Raises SpoolBusyError after ``timeout_s``."""
        with self._held(fcntl.LOCK_EX, timeout_s):
            yield

    @contextmanager
    def _held(self, operation: int, timeout_s: float) -> Iterator[None]:
        self._acquire(operation, timeout_s)
        try:
            yield
        finally:
            self._release()

    def _acquire(self, operation: int, timeout_s: float) -> None:
        if self._descriptor < 0:
            self._open()
        deadline = time.monotonic() + timeout_s
        while True:
            try:
                fcntl.flock(self._descriptor, operation | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() >= deadline:
                    raise SpoolBusyError(
                        f"was held by another process for more than {timeout_s:g} s",
                        file=self._path,
                        remedy="try again; if it stays so, see which process uses the spool",
                    ) from None
                time.sleep(_POLL_S)
            except OSError as error:
                raise from_os_error(error, self._path) from error
            else:
                return

    def _release(self) -> None:
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_UN)
        except OSError:
            self.close()  # that ends the lock too; it is opened again when it is needed
