"""The ledger of commands: each takes effect once, whatever is sent twice or breaks in between; and who said what.

Before a command is carried out, that it begins is forced to the disk; after it, its result. The same key again gives
the same result. Where the agent was killed in between, a command that may be repeated (``protocol.repeatable``) is
carried out again; for another one ``settle`` is asked whether it took effect, and where nobody knows, the answer says
so: it is never repeated in silence.
"""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from pydantic import TypeAdapter

from so2cam.core.errors import So2camError
from so2cam.link.database import Database
from so2cam.link.local import refused
from so2cam.link.messages import Command, Refused, Result
from so2cam.link.protocol import repeatable
from so2cam.link.tokens import Principal

KEPT: Final = 50_000
WAIT_S: Final = 600.0
_RESULT: Final[TypeAdapter[Result]] = TypeAdapter(Result)


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
class Carried:
    """The result of a command. ``new``: it was carried out now; ``interrupted``: nobody knows what became of it."""

    result: Result
    new: bool
    interrupted: bool = False


class Ledger:
    """The ledger of a node; for all threads of its process."""

    def __init__(self, database: Database, now_s: Callable[[], float] = time.time) -> None:
        self._database = database
        self._now_s = now_s
        self._lock = threading.Lock()
        self._running: dict[tuple[str, str], threading.Event] = {}

    def carry_out(
        self,
        who: Principal,
        peer: str,
        key: str,
        command: Command,
        do: Callable[[Command], Result],
        settle: Callable[[str, Command], Result | None] = lambda key, command: None,
    ) -> Carried:
        """Carry ``command`` out unless its key is known; wait where it is being carried out now.

        ``settle`` returns the result of a command that was interrupted, or None where it is not known. A So2camError
        of ``do`` is the result, as a refusal. Raises LinkError where the ledger cannot be written: nothing was done.
        """
        name = (who.id, key)
        while True:
            with self._lock:
                running = self._running.get(name)
                if running is None:
                    self._running[name] = threading.Event()
                    break
            if not running.wait(WAIT_S):
                return Carried(Refused(text="the command is being carried out still", remedy="ask later"), new=False)
        try:
            return self._carry_out(who, peer, key, command, do, settle)
        finally:
            with self._lock:
                self._running.pop(name).set()

    def _carry_out(
        self,
        who: Principal,
        peer: str,
        key: str,
        command: Command,
        do: Callable[[Command], Result],
        settle: Callable[[str, Command], Result | None],
    ) -> Carried:
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
            elif (settled := settle(key, command)) is not None:
                self._end(who.id, key, settled)
                return Carried(settled, new=False)
            elif not repeatable(command):
                return Carried(interrupted_refusal(), new=False, interrupted=True)
        self._begin(who, peer, key, text)
        try:
            result = do(command)
        except So2camError as error:
            result = refused(error)
        self._end(who.id, key, result)
        return Carried(result, new=True)

    def outcome(self, who: str, key: str) -> Carried | None:
        """Return what became of a command; None where it is not known."""
        entry = self.find(who, key)
        if entry is None or entry.state == "denied":
            return None
        if entry.result is not None:
            return Carried(_RESULT.validate_json(entry.result), new=False)
        with self._lock:
            running = (who, key) in self._running
        if running:
            return Carried(Refused(text="the command is being carried out still", remedy="ask later"), new=False)
        return Carried(interrupted_refusal(), new=False, interrupted=True)

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


def interrupted_refusal() -> Refused:
    """Return the answer for a command of which nobody knows whether it took effect."""
    return Refused(
        text="the agent ended while it carried this out; whether it took effect is not known",
        remedy="look at the status, and give the command again where it is still wanted",
    )
