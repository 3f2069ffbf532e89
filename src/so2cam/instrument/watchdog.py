"""Telling systemd how the agent is: ``READY=1``, ``WATCHDOG=1`` and what to show, over its datagram socket.

The protocol is sd_notify(3): one datagram of ``KEY=VALUE`` lines to the Unix socket that NOTIFY_SOCKET names (``@`` at
its start means a name in the abstract space). Without that variable nothing is sent.
"""

import contextlib
import os
import socket
from collections.abc import Mapping


class Watchdog:
    """Sends notifications; never raises and never waits."""

    def __init__(self, environment: Mapping[str, str] | None = None) -> None:
        found = os.environ if environment is None else environment
        address = found.get("NOTIFY_SOCKET", "")
        self._address = "\0" + address[1:] if address.startswith("@") else address
        self.interval_s = _interval(found)
        """how often systemd wants to hear WATCHDOG=1 at least [s]; None: never"""

    @property
    def wanted(self) -> bool:
        """Whether systemd started the agent and listens."""
        return bool(self._address)

    def ready(self, status: str) -> None:
        """The agent has started."""
        self._send(f"READY=1\nSTATUS={_one_line(status)}")

    def alive(self, status: str) -> None:
        """Capture makes progress: only then is this called."""
        self._send(f"WATCHDOG=1\nSTATUS={_one_line(status)}")

    def show(self, status: str) -> None:
        """Show a line in ``systemctl status``, without feeding the watchdog."""
        self._send(f"STATUS={_one_line(status)}")

    def stopping(self) -> None:
        """The agent stops because it was asked to."""
        self._send("STOPPING=1")

    def _send(self, text: str) -> None:
        if not self._address:
            return
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
            sender.setblocking(False)
            sender.sendto(text.encode(), self._address)


def _interval(environment: Mapping[str, str]) -> float | None:
    """Return the watchdog's time in seconds; None where there is none, or it is meant for another process."""
    process = environment.get("WATCHDOG_PID", "")
    if process and process != str(os.getpid()):
        return None
    text = environment.get("WATCHDOG_USEC", "")
    return int(text) / 1e6 if text.isdecimal() and int(text) > 0 else None


def _one_line(text: str) -> str:
    return " ".join(text.split())
