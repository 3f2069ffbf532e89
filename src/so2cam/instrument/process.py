"""The process of one device, as its supervisor holds it: started, spoken to, ended."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any, Final

from so2cam.instrument.channel import Channel, ChannelClosedError
from so2cam.instrument.launch import Launch

END_S: Final = 2.6
"""A process that was asked to end has this long [s]"""
_KILLED_S: Final = 5.0
_LAST_S: Final = 0.5
_POLL_S: Final = 0.05


class DeviceProcess:
    """A process that runs ``so2cam.instrument.worker``."""

    def __init__(self, launch: Launch) -> None:
        """Start it. Raises OSError where the system refuses."""
        ours, theirs = socket.socketpair()
        try:
            # In a session of its own: Ctrl-C in a terminal is for the agent, which then ends its devices in order.
            self._process = subprocess.Popen(  # noqa: S603 - this very Python and a module of this package
                [sys.executable, "-P", "-m", "so2cam.instrument.worker", str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                start_new_session=True,
            )
        except OSError:
            ours.close()
            raise
        finally:
            theirs.close()
        self._channel = Channel(ours)
        self.tell({"launch": launch.model_dump(mode="json")})

    @property
    def number(self) -> int:
        """Its process number."""
        return self._process.pid

    def send(self, message: Mapping[str, Any]) -> None:
        """Send a message. Raises ChannelClosedError where it is gone."""
        self._channel.send(message)

    def tell(self, message: Mapping[str, Any]) -> None:
        """Send a message; where the process is gone, nothing happens: its supervisor notices by itself."""
        with contextlib.suppress(ChannelClosedError):
            self._channel.send(message)

    def receive(self, timeout_s: float) -> dict[str, Any] | None:
        """Return its next message, or None where none comes in time. Raises ChannelClosedError where it is gone."""
        return self._channel.receive(timeout_s)

    def end(self, hear: Callable[[Mapping[str, Any]], None]) -> None:
        """Ask it to end, hear what it still says, and see to it that it is gone: within 4 s, whatever it does."""
        with contextlib.suppress(ChannelClosedError):
            self._channel.send({"do": "end"})
            until = time.monotonic() + END_S
            while self._process.poll() is None and time.monotonic() < until:
                message = self._channel.receive(_POLL_S)
                if message is not None:
                    hear(message)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(_LAST_S)
        self.kill()
        for message in self._channel.drain():
            hear(message)
        self._channel.close()

    def kill(self) -> bool:
        """Kill it if it still runs; return whether it is gone. What the system itself holds cannot be killed."""
        if self._process.poll() is None:
            try:
                os.killpg(self._process.pid, signal.SIGKILL)
            except (ProcessLookupError, PermissionError):
                self._process.kill()
        try:
            self._process.wait(_KILLED_S)
        except subprocess.TimeoutExpired:
            return False
        return True

    def exit_words(self) -> str:
        """Return how it ended, in words."""
        code = self._process.returncode
        if code is None:
            return "it still runs"
        if code >= 0:
            return f"exit code {code}"
        try:
            return f"signal {signal.Signals(-code).name}"
        except ValueError:
            return f"signal {-code}"
