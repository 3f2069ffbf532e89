"""The alarms on disk: states of rules, events with their history, and messages that are to be sent. SQLite.

A step of a rule, its event and its messages are one transaction: after a kill each event is there once, with each of
its messages once. A message is marked as being sent, on the disk, before it is sent. Where the program ends in between,
nobody can know whether it went out; it is then ``unknown``, and is not sent again: an event is never told twice.
"""

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final, Literal

from so2cam.core.errors import InputError
from so2cam.core.times import format_utc, parse_utc, require_utc
from so2cam.station.alarms_state import RuleState
from so2cam.store.small_database import SmallDatabase

MessageKind = Literal["began", "ended", "test"]
MessageState = Literal["waiting", "sending", "sent", "unknown", "given up"]

_FORMAT: Final = 1
_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS events (
  id INTEGER PRIMARY KEY AUTOINCREMENT, site TEXT NOT NULL, rule TEXT NOT NULL, subject TEXT NOT NULL,
  level TEXT NOT NULL, text TEXT NOT NULL, began TEXT NOT NULL, ended TEXT, end_text TEXT,
  value REAL, extreme REAL, acknowledged TEXT, acknowledged_by TEXT, note TEXT);
CREATE TABLE IF NOT EXISTS states (
  site TEXT NOT NULL, rule TEXT NOT NULL, subject TEXT NOT NULL, beyond_since TEXT,
  event INTEGER REFERENCES events (id),
  PRIMARY KEY (site, rule, subject));
CREATE TABLE IF NOT EXISTS messages (
  id INTEGER PRIMARY KEY AUTOINCREMENT, event INTEGER NOT NULL REFERENCES events (id), kind TEXT NOT NULL,
  target TEXT NOT NULL, state TEXT NOT NULL, attempts INTEGER NOT NULL DEFAULT 0, next_try TEXT NOT NULL,
  created TEXT NOT NULL, error TEXT, UNIQUE (event, kind, target));
CREATE INDEX IF NOT EXISTS messages_open ON messages (state, next_try);
CREATE INDEX IF NOT EXISTS events_open ON events (site, ended);
"""


@dataclass(frozen=True, slots=True)
class Event:
    """One event: a rule that was broken from ``began`` to ``ended`` (None: still). ``extreme``: the worst number."""

    id: int
    site: str
    rule: str
    subject: str
    level: str
    text: str
    began: datetime
    ended: datetime | None = None
    end_text: str | None = None
    value: float | None = None
    extreme: float | None = None
    acknowledged: datetime | None = None
    acknowledged_by: str | None = None
    note: str | None = None


@dataclass(frozen=True, slots=True)
class Message:
    """One message about one event to one target."""

    id: int
    event: Event
    kind: MessageKind
    target: str
    state: MessageState
    attempts: int
    created: datetime
    error: str | None = None


class AlarmStore(SmallDatabase):
    """Alarms in the file ``path``, which is made where it is missing. Safe for threads and for several processes."""

    def __init__(self, path: Path) -> None:
        """Raises OutputError where the file cannot be opened or is of a newer version."""
        super().__init__(path, _SCHEMA, _FORMAT, "the alarms")

    # -- rules and events -----------------------------------------------------------------------------------

    def states(self, site: str) -> dict[tuple[str, str], RuleState]:
        """Return the state of every rule and subject of a site."""
        rows = self.rows("SELECT rule, subject, beyond_since, event FROM states WHERE site = ?", (site,))
        return {
            (row["rule"], row["subject"]): RuleState(_time(row["beyond_since"]), row["event"] is not None)
            for row in rows
        }

    def keep_state(self, site: str, rule: str, subject: str, state: RuleState) -> None:
        """Write down a state that brings no event and ends none."""
        with self.transaction() as connection:
            _keep(connection, site, rule, subject, state.beyond_since, None)

    def begin(
        self,
        site: str,
        rule: str,
        subject: str,
        *,
        level: str,
        text: str,
        value: float,
        now: datetime,
        state: RuleState,
        targets: Sequence[str],
    ) -> Event:
        """Begin an event, and queue its messages."""
        with self.transaction() as connection:
            cursor = connection.execute(
                "INSERT INTO events (site, rule, subject, level, text, began, value, extreme) VALUES (?,?,?,?,?,?,?,?)",
                (site, rule, subject, level, text, format_utc(now), value, value),
            )
            identity = int(cursor.lastrowid or 0)
            _keep(connection, site, rule, subject, state.beyond_since, identity)
            _queue(connection, identity, "began", targets, now)
        return self.event(identity)

    def worsen(self, site: str, rule: str, subject: str, value: float, *, higher: bool) -> None:
        """Keep the worst number of the event that goes on."""
        worse = "extreme < ?" if higher else "extreme > ?"
        with self.transaction() as connection:
            connection.execute(
                f"UPDATE events SET extreme = ? WHERE {worse} AND id = (SELECT event FROM states "  # noqa: S608 - own text
                "WHERE site = ? AND rule = ? AND subject = ?)",
                (value, value, site, rule, subject),
            )

    def end(
        self, site: str, rule: str, subject: str, *, text: str, now: datetime, targets: Sequence[str]
    ) -> Event | None:
        """End the event of a rule, and queue its messages; None where there is no event."""
        with self.transaction() as connection:
            row = connection.execute(
                "SELECT event FROM states WHERE site = ? AND rule = ? AND subject = ?", (site, rule, subject)
            ).fetchone()
            _keep(connection, site, rule, subject, None, None)
            if row is None or row["event"] is None:
                return None
            identity = int(row["event"])
            connection.execute(
                "UPDATE events SET ended = ?, end_text = ? WHERE id = ? AND ended IS NULL",
                (format_utc(now), text, identity),
            )
            _queue(connection, identity, "ended", targets, now)
        return self.event(identity)

    def event(self, identity: int) -> Event:
        """Return an event. Raises InputError where there is none of this number."""
        rows = self.rows("SELECT * FROM events WHERE id = ?", (identity,))
        if not rows:
            raise InputError(
                "there is no such event", key="event", value=identity, remedy="see `so2cam alarms history SITE`"
            )
        return _event(rows[0])

    def events(self, site: str | None = None, *, open_only: bool = False, limit: int = 100) -> list[Event]:
        """Return events, newest first."""
        conditions, values = ["1"], []
        if site is not None:
            conditions.append("site = ?")
            values.append(site)
        if open_only:
            conditions.append("ended IS NULL")
        query = f"SELECT * FROM events WHERE {' AND '.join(conditions)} ORDER BY id DESC LIMIT ?"  # noqa: S608 - own text
        return [_event(row) for row in self.rows(query, (*values, limit))]

    def acknowledge(self, identity: int, by: str, now: datetime, note: str | None = None) -> Event:
        """Note that a person has seen an event; the first one stays. Raises InputError where there is none."""
        self.event(identity)
        with self.transaction() as connection:
            connection.execute(
                "UPDATE events SET acknowledged = ?, acknowledged_by = ?, note = ? WHERE id = ? "
                "AND acknowledged IS NULL",
                (format_utc(now), by, note, identity),
            )
        return self.event(identity)

    # -- messages -------------------------------------------------------------------------------------------

    def recover(self, site: str) -> int:
        """Call once at the start, before anything is sent: messages whose sending was cut off become ``unknown``."""
        with self.transaction() as connection:
            return connection.execute(
                "UPDATE messages SET state = 'unknown', error = 'the program ended while it was sent' "
                "WHERE state = 'sending' AND event IN (SELECT id FROM events WHERE site = ?)",
                (site,),
            ).rowcount

    def take(self, site: str, now: datetime) -> Message | None:
        """Return the next message of a site to be sent, marked as being sent; None where nothing is due.

        The end of an event waits until its beginning was told, or given up, at that target.
        """
        with self.transaction() as connection:
            row = connection.execute(
                "SELECT id FROM messages AS m WHERE state = 'waiting' AND next_try <= ? AND NOT EXISTS ("
                "SELECT 1 FROM messages WHERE event = m.event AND target = m.target AND id < m.id "
                "AND state IN ('waiting', 'sending')) AND event IN (SELECT id FROM events WHERE site = ?) "
                "ORDER BY id LIMIT 1",
                (format_utc(now), site),
            ).fetchone()
            if row is None:
                return None
            connection.execute(
                "UPDATE messages SET state = 'sending', attempts = attempts + 1 WHERE id = ?", (row["id"],)
            )
        return self._message(int(row["id"]))

    def sent(self, identity: int) -> None:
        """Note that a message went out."""
        self._settle(identity, "sent", None, None)

    def failed(self, identity: int, error: str, next_try: datetime | None) -> None:
        """Note that a message did not go out; it is tried again at ``next_try``, or given up where that is None."""
        self._settle(identity, "given up" if next_try is None else "waiting", error, next_try)

    def _settle(self, identity: int, state: MessageState, error: str | None, next_try: datetime | None) -> None:
        with self.transaction() as connection:
            connection.execute(
                "UPDATE messages SET state = ?, error = ?, next_try = coalesce(?, next_try) WHERE id = ?",
                (state, error, None if next_try is None else format_utc(next_try), identity),
            )

    def messages(self, event: int | None = None, *, limit: int = 100) -> list[Message]:
        """Return messages, newest first; of one event, or of all."""
        condition, values = ("event = ?", [event]) if event is not None else ("1", [])
        query = f"SELECT id FROM messages WHERE {condition} ORDER BY id DESC LIMIT ?"  # noqa: S608 - own text
        return [self._message(int(row["id"])) for row in self.rows(query, (*values, limit))]

    def _message(self, identity: int) -> Message:
        (row,) = self.rows("SELECT * FROM messages WHERE id = ?", (identity,))
        return Message(
            id=int(row["id"]),
            event=self.event(int(row["event"])),
            kind=row["kind"],
            target=row["target"],
            state=row["state"],
            attempts=int(row["attempts"]),
            created=parse_utc(row["created"]),
            error=row["error"],
        )

    def forget_before(self, time: datetime) -> int:
        """Delete events that ended before ``time``, with their messages; return how many."""
        ended = "SELECT id FROM events WHERE ended IS NOT NULL AND ended < ?"
        with self.transaction() as connection:
            connection.execute(f"DELETE FROM messages WHERE event IN ({ended})", (format_utc(time),))  # noqa: S608
            return connection.execute(f"DELETE FROM events WHERE id IN ({ended})", (format_utc(time),)).rowcount  # noqa: S608


def retry_at(attempts: int, created: datetime, now: datetime, *, retry_for: timedelta) -> datetime | None:
    """Return when a message that failed ``attempts`` times is tried again: after 15 s, then twice as long each time, at
    most an hour; None where ``retry_for`` is over.
    """
    wait = timedelta(seconds=min(15.0 * 2 ** min(attempts - 1, 10), 3600.0))
    at = require_utc(now) + wait
    return at if at <= created + retry_for else None


def _keep(
    connection: sqlite3.Connection, site: str, rule: str, subject: str, since: datetime | None, event: int | None
) -> None:
    connection.execute(
        "INSERT INTO states (site, rule, subject, beyond_since, event) VALUES (?,?,?,?,?) "
        "ON CONFLICT (site, rule, subject) DO UPDATE SET beyond_since = excluded.beyond_since, event = excluded.event",
        (site, rule, subject, None if since is None else format_utc(since), event),
    )


def _queue(
    connection: sqlite3.Connection, event: int, kind: MessageKind, targets: Sequence[str], now: datetime
) -> None:
    connection.executemany(
        "INSERT OR IGNORE INTO messages (event, kind, target, state, next_try, created) VALUES (?,?,?,'waiting',?,?)",
        [(event, kind, target, format_utc(now), format_utc(now)) for target in targets],
    )


def _time(text: str | None) -> datetime | None:
    return None if text is None else parse_utc(text)


def _event(row: sqlite3.Row) -> Event:
    return Event(
        id=int(row["id"]),
        site=row["site"],
        rule=row["rule"],
        subject=row["subject"],
        level=row["level"],
        text=row["text"],
        began=parse_utc(row["began"]),
        ended=_time(row["ended"]),
        end_text=row["end_text"],
        value=row["value"],
        extreme=row["extreme"],
        acknowledged=_time(row["acknowledged"]),
        acknowledged_by=row["acknowledged_by"],
        note=row["note"],
    )
