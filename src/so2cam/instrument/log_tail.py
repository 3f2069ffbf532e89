"""The latest lines of the agent's log files, read from their ends."""

import json
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from so2cam.core.times import parse_utc
from so2cam.link.protocol import LogLine, Logs

MOST_BYTES: Final = 2_000_000
"""So much of the logs is looked through, from the end."""
MOST_TEXT: Final = 2000
_LEVELS: Final = ("debug", "info", "warning", "error", "critical")


def latest_lines(folder: Path, name: str, said: Logs) -> Sequence[LogLine]:
    """Return what ``said`` asks for of the log ``name`` in ``folder`` and the files it was turned over to: newest last.

    A file that is not there, or a line that is no log line, is passed over.
    """
    found: list[LogLine] = []
    size = 0
    for line in _backwards(folder, name):
        size += len(line)
        entry = _entry(line)
        if entry is not None and _wanted(entry, said):
            found.append(entry)
            if len(found) >= said.limit:
                break
        if size > MOST_BYTES:
            break
    return found[::-1]


def _backwards(folder: Path, name: str) -> Iterator[bytes]:
    """Yield lines, the newest first: of the file itself, then of NAME.1, NAME.2 and so on."""
    number = 0
    while True:
        path = folder / (name if number == 0 else f"{name}.{number}")
        try:
            with path.open("rb") as stream:
                stream.seek(max(0, path.stat().st_size - MOST_BYTES))
                data = stream.read(MOST_BYTES)
        except OSError:
            if number:
                return
            data = b""
        yield from reversed(data.splitlines())
        number += 1


def _entry(line: bytes) -> LogLine | None:
    try:
        content: Any = json.loads(line)
        time: datetime = parse_utc(content["time"])
        text = str(content["message"])
        if content.get("exception"):
            text = f"{text}\n{content['exception']}"
        return LogLine(
            time=time,
            level=str(content["level"]),
            logger=str(content["logger"]),
            device=content.get("device"),
            text=text[:MOST_TEXT],
        )
    except (ValueError, TypeError, KeyError, AttributeError):
        return None


def _wanted(entry: LogLine, said: Logs) -> bool:
    level = _LEVELS.index(entry.level) if entry.level in _LEVELS else len(_LEVELS)
    return (
        level >= _LEVELS.index(said.level)
        and said.text.lower() in entry.text.lower()
        and (said.device is None or said.device == entry.device)
    )
