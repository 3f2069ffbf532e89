"""The line between the agent and a device's process: JSON objects, one in a line, over a socket pair.

The end of the line is how a device's process learns that its agent is gone.
"""

import contextlib
import json
import selectors
import socket
import threading
from collections.abc import Iterator, Mapping
from typing import Any, Final

MAXIMUM_LINE_BYTES: Final = 1_048_576
_SEND_S: Final = 5.0


class ChannelClosedError(Exception):
    """The other side is gone, or does not read any more."""


class Channel:
    """One end. Any thread may send; one thread receives."""

    def __init__(self, end: socket.socket) -> None:
        self._socket = end
        self._socket.settimeout(_SEND_S)
        self._sending = threading.Lock()
        self._pending = b""
        self._selector = selectors.DefaultSelector()
        self._selector.register(end, selectors.EVENT_READ)

    def send(self, message: Mapping[str, Any]) -> None:
        """Send one object. Raises ChannelClosedError where that cannot be done within 5 s."""
        line = json.dumps(message, separators=(",", ":")).encode() + b"\n"
        if len(line) > MAXIMUM_LINE_BYTES:
            raise ValueError(f"a message of {len(line)} bytes is too long")
        try:
            with self._sending:
                self._socket.sendall(line)
        except OSError as error:
            raise ChannelClosedError(str(error)) from None

    def receive(self, timeout_s: float) -> dict[str, Any] | None:
        """Return the next object, or None where none comes in time. Raises ChannelClosedError at the line's end."""
        while True:
            line, found, rest = self._pending.partition(b"\n")
            if found:
                self._pending = rest
                return _decode(line)
            if len(self._pending) > MAXIMUM_LINE_BYTES:
                raise ChannelClosedError("a line is too long")
            try:
                if not self._selector.select(max(0.0, timeout_s)):
                    return None
                data = self._socket.recv(65_536)
            except (OSError, ValueError) as error:
                raise ChannelClosedError(str(error)) from None
            if not data:
                raise ChannelClosedError("the other side is gone")
            self._pending += data

    def drain(self) -> Iterator[dict[str, Any]]:
        """Yield the objects that are there already; ends quietly at the line's end."""
        with contextlib.suppress(ChannelClosedError):
            while (message := self.receive(0.0)) is not None:
                yield message

    def close(self) -> None:
        """End the line. Doing it twice is no error."""
        with contextlib.suppress(OSError, ValueError, KeyError):
            self._selector.unregister(self._socket)
        self._selector.close()
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()


def _decode(line: bytes) -> dict[str, Any]:
    try:
        found = json.loads(line)
    except ValueError:
        raise ChannelClosedError("a line is no JSON") from None
    if not isinstance(found, dict):
        raise ChannelClosedError("a line is no JSON object")
    return found
