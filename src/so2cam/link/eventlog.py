"""Events with numbers: what happened, kept so long that who was cut off can go on where it broke off."""

import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Final

from so2cam.link.database import Database
from so2cam.link.protocol import Event, EventsResult

KEPT: Final = 20_000
_PRUNE_EVERY: Final = 200
_START_GAP: Final = 1000
"""Numbers left out at a start: what was told before a power cut and did not reach the disk is not told otherwise."""


class EventLog:
    """The events of a node; for all threads of its process."""

    def __init__(self, database: Database, *, kept: int = KEPT, now: Callable[[], datetime] | None = None) -> None:
        self._database = database
        self._kept = kept
        self._now = now or (lambda: datetime.now(UTC))
        self._changed = threading.Condition()
        with database.transaction() as connection:
            found = connection.execute("SELECT max(number) FROM event").fetchone()[0]
            started = connection.execute("SELECT value FROM fact WHERE name = 'events-start'").fetchone()
            last = max(found or 0, 0 if started is None else started[0])
            self._last = 0 if last == 0 and started is None else last + _START_GAP
            connection.execute(
                "INSERT INTO fact (name, value) VALUES ('events-start', ?) "
                "ON CONFLICT (name) DO UPDATE SET value = excluded.value",
                (self._last,),
            )

    @property
    def last(self) -> int:
        """The number of the latest event."""
        return self._last

    def add(self, kind: str, text: str, **more: Any) -> Event:
        """Take note of something that happened."""
        with self._changed:
            number = self._last + 1
            event = Event.model_validate({"number": number, "time": self._now(), "kind": kind, "text": text, **more})
            with self._database.transaction() as connection:
                connection.execute(
                    "INSERT INTO event (number, content) VALUES (?, ?)", (number, event.model_dump_json())
                )
                if number % _PRUNE_EVERY == 0:
                    self._prune(connection)
            self._last = number
            self._changed.notify_all()
        return event

    def _prune(self, connection: Any) -> None:
        edge = connection.execute(
            "SELECT number FROM event ORDER BY number DESC LIMIT 1 OFFSET ?", (self._kept,)
        ).fetchone()
        if edge is not None:
            connection.execute("DELETE FROM event WHERE number <= ?", edge)
            connection.execute(
                "INSERT INTO fact (name, value) VALUES ('events-forgotten', ?) "
                "ON CONFLICT (name) DO UPDATE SET value = excluded.value",
                edge,
            )

    def after(self, number: int, limit: int) -> EventsResult:
        """Return events beyond ``number``."""
        with self._database.reading() as connection:
            rows = connection.execute(
                "SELECT content FROM event WHERE number > ? ORDER BY number LIMIT ?", (number, limit)
            ).fetchall()
            forgotten = connection.execute("SELECT value FROM fact WHERE name = 'events-forgotten'").fetchone()
        events = tuple(Event.model_validate_json(row[0]) for row in rows)
        missed = forgotten is not None and number < forgotten[0]
        return EventsResult(events=events, last=self._last, missed=missed)

    def wait(self, number: int, timeout_s: float) -> bool:
        """Wait until there are events beyond ``number``; return whether there are."""
        limit = time.monotonic() + timeout_s
        with self._changed:
            while self._last <= number:
                left = limit - time.monotonic()
                if left <= 0 or not self._changed.wait(left):
                    return self._last > number
        return True
