"""The ledger of commands: each takes effect once, whatever is sent twice or breaks in between; and who said what.

Before a command is carried out, that it begins is forced to the disk; after it, its result. The same key again gives
the same result. What was begun and has no result when a node starts is carried out again, with the same ``Errand``:
by its id the node knows what it did already, so that the effect is there once (``instrument.errands``). What was begun
longer ago than ``RESUMED_S`` is not wanted any more, and its result says so.
"""

import hashlib
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from pydantic import TypeAdapter

from so2cam.core.errors import So2camError
from so2cam.link.database import Database
from so2cam.link.errors import UnfinishedError
from so2cam.link.local import refused
from so2cam.link.messages import Command, Refused, Result
from so2cam.link.tokens import Principal

KEPT: Final = 50_000
WAIT_S: Final = 600.0
RESUMED_S: Final = 3600.0
_RESULT: Final[TypeAdapter[Result]] = TypeAdapter(Result)
_COMMAND: Final[TypeAdapter[Command]] = TypeAdapter(Command)


@dataclass(frozen=True, slots=True)
class Entry:
    """A line of the ledger. ``state`` is begun, done, refused or denied; times are seconds since 1970."""

    number: int
    who: str
    name: str
    peer: str
    key: str
    begun_s: float
    ended_s: float | None
    command: str
    state: str
    result: str | None


@dataclass(frozen=True, slots=True)
class Errand:
    """A command on its way: ``id`` is the same whenever it is carried out; ``again``: it was begun before a restart."""

    id: str
    again: bool = False


@dataclass(frozen=True, slots=True)
class Carried:
    """The result of a command. ``new``: it was carried out now."""

    result: Result
    new: bool


Do = Callable[[Command, Errand], Result]
"""Carries a command out. A So2camError is a refusal; UnfinishedError: the node stops, and goes on after its start."""


class Ledger:
    """The ledger of a node; for all threads of its process."""

    def __init__(self, database: Database, now_s: Callable[[], float] = time.time) -> None:
        self._database = database
        self._now_s = now_s
        self._lock = threading.Lock()
        self._running: dict[tuple[str, str], threading.Event] = {}

    def carry_out(self, who: Principal, peer: str, key: str, command: Command, do: Do) -> Carried:
        """Carry ``command`` out unless its key is known; wait where it is being carried out now.

        Raises LinkError where the ledger cannot be written: nothing was done.
        """
        with self._alone(who.id, key) as free:
            if not free:
                return Carried(_going_on(), new=False)
            return self._carry_out(who, peer, key, command, do)

    def resume(self, do: Do, stop: threading.Event) -> Iterator[tuple[Entry, Carried]]:
        """Carry out what was begun and has no result, in order; for a thread of its own, after a start."""
        for entry in self._unfinished():
            if stop.is_set():
                return
            with self._alone(entry.who, entry.key) as free:
                found = self.find(entry.who, entry.key)
                if free and found is not None and found.state == "begun":
                    yield entry, self._go_on(entry, _COMMAND.validate_json(entry.command), do)

    @contextmanager
    def _alone(self, who: str, key: str) -> Iterator[bool]:
        """Let one thread at a time at the command of a key; give False where another one does not end."""
        name = (who, key)
        while True:
            with self._lock:
                running = self._running.get(name)
                if running is None:
                    self._running[name] = threading.Event()
                    break
            if not running.wait(WAIT_S):
                yield False
                return
        try:
            yield True
        finally:
            with self._lock:
                self._running.pop(name).set()

    def _carry_out(self, who: Principal, peer: str, key: str, command: Command, do: Do) -> Carried:
        text = command.model_dump_json()
        entry = self.find(who.id, key)
        if entry is not None:
            if entry.command != text:
                return Carried(
                    Refused(text="this key was used for another command", key="key", remedy="use a new key"), new=False
                )
            if entry.state == "denied":
                self._forget(who.id, key)
            elif entry.result is not None:
                return Carried(_RESULT.validate_json(entry.result), new=False)
            else:
                return self._go_on(entry, command, do)
        self._begin(who, peer, key, text)
        return self._do(who.id, key, command, do, again=False)

    def _go_on(self, entry: Entry, command: Command, do: Do) -> Carried:
        if self._now_s() - entry.begun_s > RESUMED_S:
            result = Refused(
                text="the node was down when this was to be carried out, and it is too long ago now",
                remedy="look at the status, and give the command again where it is still wanted",
            )
            self._end(entry.who, entry.key, result)
            return Carried(result, new=True)
        return self._do(entry.who, entry.key, command, do, again=True)

    def _do(self, who: str, key: str, command: Command, do: Do, *, again: bool) -> Carried:
        result: Result
        try:
            result = do(command, Errand(errand_id(who, key), again))
        except UnfinishedError as error:
            return Carried(refused(error), new=False)
        except So2camError as error:
            result = refused(error)
        self._end(who, key, result)
        return Carried(result, new=True)

    def outcome(self, who: str, key: str) -> Carried | None:
        """Return what became of a command; None where it is not known."""
        entry = self.find(who, key)
        if entry is None or entry.state == "denied":
            return None
        if entry.result is not None:
            return Carried(_RESULT.validate_json(entry.result), new=False)
        return Carried(_going_on(), new=False)

    def deny(self, who: Principal, peer: str, key: str, command: str, why: str) -> None:
        """Take note of a command that was not allowed."""
        now_s = self._now_s()
        with self._database.transaction() as connection:
            connection.execute(
                "INSERT OR IGNORE INTO ledger (who, key, name, peer, begun, ended, command, state, result) "
                "VALUES (?, ?, ?, ?, ?, ?, ?, 'denied', ?)",
                (who.id, key, who.name, peer, now_s, now_s, command, why),
            )

    def find(self, who: str, key: str) -> Entry | None:
        """Return the line of a command."""
        with self._database.reading() as connection:
            row = connection.execute(f"{_SELECT} WHERE who = ? AND key = ?", (who, key)).fetchone()
        return None if row is None else Entry(*row)

    def entries(self, limit: int = 100) -> list[Entry]:
        """Return the latest lines, the newest first."""
        with self._database.reading() as connection:
            rows = connection.execute(f"{_SELECT} ORDER BY number DESC LIMIT ?", (limit,)).fetchall()
        return [Entry(*row) for row in rows]

    def _unfinished(self) -> list[Entry]:
        with self._database.reading() as connection:
            rows = connection.execute(f"{_SELECT} WHERE result IS NULL ORDER BY number").fetchall()
        return [Entry(*row) for row in rows]

    def _begin(self, who: Principal, peer: str, key: str, text: str) -> None:
        with self._database.transaction() as connection:
            cursor = connection.execute(
                "INSERT INTO ledger (who, key, name, peer, begun, command, state) VALUES (?, ?, ?, ?, ?, ?, 'begun') "
                "ON CONFLICT (who, key) DO UPDATE SET begun = excluded.begun, peer = excluded.peer",
                (who.id, key, who.name, peer, self._now_s(), text),
            )
            connection.execute("DELETE FROM ledger WHERE number <= ?", ((cursor.lastrowid or 0) - KEPT,))

    def _end(self, who: str, key: str, result: Result) -> None:
        state = "refused" if isinstance(result, Refused) else "done"
        with self._database.transaction() as connection:
            connection.execute(
                "UPDATE ledger SET ended = ?, state = ?, result = ? WHERE who = ? AND key = ?",
                (self._now_s(), state, result.model_dump_json(), who, key),
            )

    def _forget(self, who: str, key: str) -> None:
        with self._database.transaction() as connection:
            connection.execute("DELETE FROM ledger WHERE who = ? AND key = ?", (who, key))


_SELECT: Final = "SELECT number, who, name, peer, key, begun, ended, command, state, result FROM ledger"


def _going_on() -> Refused:
    return Refused(text="the command is being carried out still", remedy="ask later")


def errand_id(who: str, key: str) -> str:
    """Return the id of the errand of a command: a word, whatever the key has in it."""
    return hashlib.sha256(f"{who} {key}".encode()).hexdigest()[:24]
