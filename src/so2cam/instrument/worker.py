"""The process of one device: ``python -m so2cam.instrument.worker DESCRIPTOR``, started by the agent only.

``DESCRIPTOR`` is one end of a socket pair: the first message is the launch, then come orders; phases, status, replies
and log records go back. Where the line ends, the agent is gone: what was captured is kept, and the process ends within
seconds, whatever the device does.
"""

import logging
import os
import signal
import socket
import sys
import threading
import traceback
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Final

from so2cam.instrument.capture import DeviceLoop, RestartNeeded
from so2cam.instrument.channel import Channel, ChannelClosedError
from so2cam.instrument.launch import Launch
from so2cam.instrument.logs import ChannelHandler
from so2cam.instrument.power import PowerLoop

EXIT_RESTART: Final = 75
EXIT_FAULT: Final = 70
FLUSH_S: Final = 1.5
"""What was captured has this long to be kept at the end [s]"""
_LAST_S: Final = 2.4
"""After this the process ends in any case [s]"""
_LAUNCH_S: Final = 10.0
_LOG = logging.getLogger(__name__)


class _Line:
    """The way to the agent: once it is gone, what is sent is dropped."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel

    def send(self, message: Mapping[str, Any]) -> None:
        try:
            self._channel.send(message)
        except ChannelClosedError:
            return


def main(descriptor: int) -> int:
    """Run the device of the launch that comes over ``descriptor``; return the exit code."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        # The agent says when to stop: systemd and terminals send these to all processes.
        signal.signal(number, signal.SIG_IGN)
    channel = Channel(socket.socket(fileno=descriptor))
    line = _Line(channel)
    _explain_faults(line)
    _log_to(line)
    try:
        first = channel.receive(_LAUNCH_S)
    except ChannelClosedError:
        return 0
    if first is None:
        return 0
    launch = Launch.model_validate(first["launch"])
    stop = threading.Event()
    loop = PowerLoop(launch, line.send, stop) if launch.device.type == "power" else DeviceLoop(launch, line.send, stop)
    threading.Thread(target=_listen, args=(channel, loop), name="orders", daemon=True).start()
    code = 0
    try:
        loop.run()
    except RestartNeeded as wish:
        line.send({"t": "failed", "text": wish.error.message, "slowly": not wish.error.reopen})
        code = EXIT_RESTART
    finally:
        stop.set()
        line.send({"t": "ended", "unsaved": loop.close_writer(FLUSH_S)})
    return code


def _listen(channel: Channel, loop: DeviceLoop | PowerLoop) -> None:
    """Hand orders to the loop; at the end of the line, or an order to end, see to it that the process ends."""
    try:
        while True:
            order = channel.receive(3600.0)
            if order is None:
                continue
            if order.get("do") == "end":
                break
            loop.give_order(order)
    except ChannelClosedError:
        pass
    _end_after(_LAST_S, 0)
    loop.end()


def _end_after(seconds: float, code: int) -> None:
    backstop = threading.Timer(seconds, os._exit, (code,))
    backstop.daemon = True
    backstop.start()


def _log_to(line: _Line) -> None:
    root = logging.getLogger("so2cam")
    root.setLevel(logging.INFO)
    root.propagate = False
    root.addHandler(ChannelHandler(line.send))
    logging.raiseExceptions = False


def _explain_faults(line: _Line) -> None:
    """Tell the agent of errors that nothing else catches: this process is the place where they end."""

    def last_words(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        text = "".join(traceback.format_exception(kind, error, trace))
        line.send({"t": "log", "level": logging.ERROR, "logger": __name__, "text": text[-4000:]})
        line.send({"t": "failed", "text": f"{kind.__name__}: {error}", "slowly": False})
        _end_after(_LAST_S, EXIT_FAULT)

    def of_thread(arguments: threading.ExceptHookArgs) -> None:
        error = arguments.exc_value or SystemError("a thread ended")
        last_words(arguments.exc_type, error, arguments.exc_traceback)
        os._exit(EXIT_FAULT)

    sys.excepthook = last_words
    threading.excepthook = of_thread


if __name__ == "__main__":
    outcome = main(int(sys.argv[1]))
    # Threads of vendors' libraries may never end: nothing is left to do that needs them.
    sys.stdout.flush()
    os._exit(outcome)
