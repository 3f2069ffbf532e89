"""Logs of the agent: one JSON object in a line to rotating files, one readable line to standard error (and journald).

Repeated messages are folded: the first one is written, further ones that differ only in numbers are counted, and the
count is written once a minute, with the last one's time. A log that cannot be written never disturbs the agent.
"""

import json
import logging
import logging.handlers
import re
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from so2cam.core.times import format_utc

NAME: Final = "agent.log"
FOLD_S: Final = 60.0
_MAXIMUM_KEYS: Final = 512
_NUMBERS = re.compile(r"[0-9]+(?:[.:][0-9]+)*")
_JOURNAL_LEVEL: Final = {10: 7, 20: 6, 30: 4, 40: 3, 50: 2}
"""syslog levels, which journald takes from ``<N>`` at a line's start"""


@dataclass(slots=True)
class _Seen:
    until: float
    folded: int
    level: int
    logger: str
    device: str | None
    text: str
    last: float


class Folding(logging.Filter):
    """Lets the first of alike messages through, and counts the rest for ``window_s``."""

    def __init__(self, window_s: float = FOLD_S) -> None:
        super().__init__()
        self._window_s = window_s
        self._seen: dict[tuple[str, int, str | None, str], _Seen] = {}
        self._lock = threading.Lock()

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether to write ``record``; adds the count of those that were folded before it."""
        text = record.getMessage()
        if getattr(record, "never_folded", False):
            return True
        device = getattr(record, "device", None)
        key = (record.name, record.levelno, device, _NUMBERS.sub("#", text))
        now = time.monotonic()
        with self._lock:
            seen = self._seen.get(key)
            if seen is not None and now < seen.until:
                seen.folded += 1
                seen.text = text
                seen.last = record.created
                return False
            if seen is not None and seen.folded:
                record.msg = f"{text} (and {seen.folded} more like it)"
                record.args = ()
            self._seen[key] = _Seen(now + self._window_s, 0, record.levelno, record.name, device, text, record.created)
            while len(self._seen) > _MAXIMUM_KEYS:
                self._seen.pop(next(iter(self._seen)))
        return True

    def summaries(self, *, everything: bool = False) -> list[tuple[str, int, str, dict[str, object]]]:
        """Return (logger, level, text, extra) for what was folded and whose time is over, and forget it."""
        now = time.monotonic()
        with self._lock:
            over = [key for key, seen in self._seen.items() if everything or now >= seen.until]
            found = [self._seen.pop(key) for key in over]
        return [
            (
                seen.logger,
                seen.level,
                f"{seen.text} (at {datetime.fromtimestamp(seen.last, UTC):%H:%M:%S}"
                + (f", and {seen.folded - 1} more like it)" if seen.folded > 1 else ")"),
                {"never_folded": True} | ({} if seen.device is None else {"device": seen.device}),
            )
            for seen in found
            if seen.folded
        ]


class JsonLines(logging.Formatter):
    """One JSON object in a line: time, level, logger, device (where there is one), message, and an exception's text."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line of ``record``."""
        entry: dict[str, object] = {
            "time": format_utc(datetime.fromtimestamp(record.created, UTC)),
            "level": record.levelname.lower(),
            "logger": record.name.removeprefix("so2cam."),
        }
        device = getattr(record, "device", None)
        if device is not None:
            entry["device"] = device
        entry["message"] = record.getMessage()
        if record.exc_info:
            entry["exception"] = self.formatException(record.exc_info)
        return json.dumps(entry, ensure_ascii=False)


class ReadableLines(logging.Formatter):
    """Lines for people; with ``journal`` each begins with its level as journald reads it, and without the time.

    ``node`` stands in each line where several agents share a terminal.
    """

    def __init__(self, *, journal: bool, node: str | None = None) -> None:
        super().__init__()
        self._journal = journal
        self._node = "" if node is None else f"{node} "

    def format(self, record: logging.LogRecord) -> str:
        """Return the line of ``record``."""
        device = getattr(record, "device", None)
        text = " ".join(record.getMessage().split())
        if record.exc_info and record.exc_info[1] is not None:
            text += f" ({type(record.exc_info[1]).__name__}: {record.exc_info[1]}; see the log file)"
        head = (
            f"<{_JOURNAL_LEVEL.get(record.levelno, 6)}>"
            if self._journal
            else (f"{datetime.fromtimestamp(record.created, UTC):%H:%M:%S} {record.levelname.lower():<7} ")
        )
        return f"{head}{self._node}{device}: {text}" if device else f"{head}{self._node}{text}"


class _Fan(logging.Handler):
    """Passes each record to several handlers, once for all of them decided by its filters."""

    def __init__(self, handlers: list[logging.Handler]) -> None:
        super().__init__()
        self.inner = handlers

    def emit(self, record: logging.LogRecord) -> None:
        """Hand ``record`` on."""
        for handler in self.inner:
            if record.levelno >= handler.level:
                handler.handle(record)

    def close(self) -> None:
        """Close all."""
        for handler in self.inner:
            handler.close()
        super().close()


class AgentLog:
    """The log of one agent, from ``open`` to ``close``: to standard error, and to files where ``folder`` is given."""

    def __init__(
        self, *, folder: Path | None, size: int, files: int, verbose: bool, journal: bool, node: str | None = None
    ) -> None:
        self.folding = Folding()
        self._root = logging.getLogger("so2cam")
        self._level = logging.DEBUG if verbose else logging.INFO
        stream = logging.StreamHandler(sys.stderr)
        stream.setFormatter(ReadableLines(journal=journal, node=node))
        handlers: list[logging.Handler] = [stream]
        note = None
        if folder is not None:
            try:
                folder.mkdir(parents=True, exist_ok=True)
                rotating = logging.handlers.RotatingFileHandler(
                    folder / NAME, maxBytes=size, backupCount=files, encoding="utf-8", delay=True
                )
            except OSError as error:
                note = f"no log files in {folder}: {error.strerror or error}"
            else:
                rotating.setFormatter(JsonLines())
                handlers.append(rotating)
        self._fan = _Fan(handlers)
        self._fan.addFilter(self.folding)
        self._note = note
        self._before = (logging.raiseExceptions, self._root.level)

    def open(self) -> None:
        """Write what is logged from now on."""
        self._before = (logging.raiseExceptions, self._root.level)
        logging.raiseExceptions = False  # a log that cannot be written disturbs nobody
        self._root.setLevel(self._level)
        self._root.propagate = False
        self._root.addHandler(self._fan)
        if self._note is not None:
            logging.getLogger(__name__).warning("%s", self._note)

    def write_folded(self, *, everything: bool = False) -> None:
        """Write the counts of what was folded and whose minute is over."""
        for name, level, text, extra in self.folding.summaries(everything=everything):
            logging.getLogger(name).log(level, "%s", text, extra=extra)

    def close(self) -> None:
        """Write what was folded, and stop."""
        self.write_folded(everything=True)
        self._root.removeHandler(self._fan)
        self._root.propagate = True
        logging.raiseExceptions, level = self._before
        self._root.setLevel(level)
        self._fan.close()


class ChannelHandler(logging.Handler):
    """Sends records to the agent, which writes the log of all its processes."""

    def __init__(self, send: Callable[[dict[str, Any]], None]) -> None:
        super().__init__()
        self._send = send

    def emit(self, record: logging.LogRecord) -> None:
        """Send ``record``."""
        text = record.getMessage()
        if record.exc_info:
            text = f"{text}\n{logging.Formatter().formatException(record.exc_info)}"
        self._send({"t": "log", "level": record.levelno, "logger": record.name, "text": text[:4000]})
