"""The journal of a spool: an SQLite database (WAL, ``synchronous = FULL``) of what was acknowledged.

Tables, ``PRAGMA user_version`` 2 (1 had no ``marks``); times are whole microseconds since 1970, hashes 32 bytes:

- ``items``: one row for each item that is kept. ``sequence`` grows with every row and is never used again.
  ``state`` is 0 kept, 1 being deleted, 2 missing, 3 damaged. ``waiting`` is how many receivers that matter for
  deletion have not confirmed it.
- ``totals``: how many items are kept, and their size.
- ``receivers``: who the items are for; ``required`` are those that matter for deletion, ``items`` and ``bytes`` what
  each still has to get.
- ``pending``: (receiver, sequence) of what was not yet confirmed.
- ``marks``: which item is the effect of which command, one for each (command, device, number within its set); kept
  longer than the items, so that what was delivered and deleted is not taken again. Where ``sequence`` is not above 0,
  the set was given up without the item, and it is not to be kept any more.
- ``folders``: folders of items; ``sealed`` ones were found right by the last recovery, and nothing was put there since.
- ``forsaken``: items that were deleted before a required receiver had them; a mirror may have the only copy.
- ``deletions``: how many items and bytes were deleted, by day and reason.
- ``meta``: single values.
"""

import os
import secrets
import sqlite3
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from so2cam.store.errors import SpoolError, UnknownItemError, from_sqlite_error, os_errors
from so2cam.store.items import Order, Origin, StoredItem, StoreItem, from_microseconds, to_microseconds

FORMAT: Final = 2
KEPT, DELETING, MISSING, DAMAGED = 0, 1, 2, 3
MARKS_KEPT: Final = 1_000_000
"""Marks are forgotten when so many items were put since."""
_IDENTITY: Final = "journal"

_MARKS: Final = """
CREATE TABLE marks(command TEXT NOT NULL, device TEXT NOT NULL, item INTEGER NOT NULL, sequence INTEGER NOT NULL,
  PRIMARY KEY(command, device, item)) WITHOUT ROWID;
CREATE INDEX marks_sequence ON marks(abs(sequence));
"""
_SCHEMA: Final = """
CREATE TABLE meta(key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE items(
  sequence INTEGER PRIMARY KEY AUTOINCREMENT,
  kind TEXT NOT NULL, subject TEXT NOT NULL, device TEXT NOT NULL,
  time INTEGER NOT NULL, stored INTEGER NOT NULL,
  folder TEXT NOT NULL, name TEXT NOT NULL, size INTEGER NOT NULL, sha256 BLOB NOT NULL,
  sidecar TEXT NOT NULL, sidecar_size INTEGER NOT NULL, sidecar_sha256 BLOB NOT NULL,
  origin_node TEXT, origin_sequence INTEGER,
  state INTEGER NOT NULL DEFAULT 0, waiting INTEGER NOT NULL DEFAULT 0
);
CREATE UNIQUE INDEX items_name ON items(folder, name);
CREATE UNIQUE INDEX items_origin ON items(origin_node, origin_sequence) WHERE origin_node IS NOT NULL;
CREATE INDEX items_time ON items(kind, time);
CREATE INDEX items_free ON items(sequence) WHERE waiting = 0 AND state = 0;
CREATE INDEX items_odd ON items(state) WHERE state <> 0;
CREATE TABLE totals(items INTEGER NOT NULL, bytes INTEGER NOT NULL);
INSERT INTO totals VALUES(0, 0);
CREATE TRIGGER item_added AFTER INSERT ON items WHEN new.state = 0 BEGIN
  UPDATE totals SET items = items + 1, bytes = bytes + new.size + new.sidecar_size;
END;
CREATE TRIGGER item_removed AFTER DELETE ON items WHEN old.state = 0 BEGIN
  UPDATE totals SET items = items - 1, bytes = bytes - old.size - old.sidecar_size;
END;
CREATE TRIGGER item_changed AFTER UPDATE OF state ON items WHEN (old.state = 0) <> (new.state = 0) BEGIN
  UPDATE totals SET items = items + (new.state = 0) - (old.state = 0),
    bytes = bytes + ((new.state = 0) - (old.state = 0)) * (new.size + new.sidecar_size);
END;
CREATE TABLE receivers(
  id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, required INTEGER NOT NULL,
  items INTEGER NOT NULL DEFAULT 0, bytes INTEGER NOT NULL DEFAULT 0, seen INTEGER NOT NULL DEFAULT 0
);
CREATE TABLE pending(receiver INTEGER NOT NULL, sequence INTEGER NOT NULL, bytes INTEGER NOT NULL,
  PRIMARY KEY(receiver, sequence)) WITHOUT ROWID;
CREATE INDEX pending_sequence ON pending(sequence);
CREATE TRIGGER pending_added AFTER INSERT ON pending BEGIN
  UPDATE receivers SET items = items + 1, bytes = bytes + new.bytes WHERE id = new.receiver;
  UPDATE items SET waiting = waiting + 1 WHERE sequence = new.sequence
    AND (SELECT required FROM receivers WHERE id = new.receiver);
END;
CREATE TRIGGER pending_removed AFTER DELETE ON pending BEGIN
  UPDATE receivers SET items = items - 1, bytes = bytes - old.bytes WHERE id = old.receiver;
  UPDATE items SET waiting = waiting - 1 WHERE sequence = old.sequence
    AND (SELECT required FROM receivers WHERE id = old.receiver);
END;
CREATE TABLE folders(path TEXT PRIMARY KEY, sealed INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE forsaken(folder TEXT NOT NULL, name TEXT NOT NULL, PRIMARY KEY(folder, name)) WITHOUT ROWID;
CREATE TABLE deletions(day TEXT NOT NULL, reason TEXT NOT NULL, items INTEGER NOT NULL, bytes INTEGER NOT NULL,
  PRIMARY KEY(day, reason)) WITHOUT ROWID;
"""

_COLUMNS: Final = (
    "sequence, kind, subject, device, time, stored, folder, name, size, sha256, sidecar, sidecar_size, "
    "sidecar_sha256, origin_node, origin_sequence"
)


@dataclass(frozen=True, slots=True)
class Backlog:
    """What a receiver still has to get."""

    receiver: str
    required: bool
    items: int
    bytes: int


@dataclass(frozen=True, slots=True)
class Found:
    """The files of an item as they stand on the disk, for a row of the journal. Hashes are in hexadecimal."""

    folder: str
    name: str
    size: int
    sha256: str
    sidecar_name: str
    sidecar_size: int
    sidecar_sha256: str


class Journal:
    """One connection to the journal, for one thread at a time. All methods raise SpoolError where SQLite refuses."""

    def __init__(self, path: Path, *, busy_timeout_s: float = 10.0) -> None:
        """Open the journal ``path``, and make it where it is missing (only one process may do that at a time)."""
        self.path = path
        try:
            self._connection = sqlite3.connect(
                path, timeout=busy_timeout_s, isolation_level=None, check_same_thread=False
            )
        except sqlite3.Error as error:
            raise from_sqlite_error(error, path) from error
        with ExitStack() as undo, os_errors(path):
            undo.callback(self.close)
            with self._errors():
                (mode,) = self._connection.execute("PRAGMA journal_mode").fetchone()
                if mode != "wal":
                    self._connection.execute("PRAGMA journal_mode = WAL")
                self._connection.execute("PRAGMA synchronous = FULL")
                self._connection.execute("PRAGMA journal_size_limit = 4000000")
                if sys.platform == "darwin":
                    self._connection.execute("PRAGMA fullfsync = 1")
                    self._connection.execute("PRAGMA checkpoint_fullfsync = 1")
                (version,) = self._connection.execute("PRAGMA user_version").fetchone()
            if version != FORMAT:
                with self.transaction():
                    self._make_tables()
            status = path.stat()
            undo.pop_all()
        self.identity = (status.st_dev, status.st_ino)

    def close(self) -> None:
        """Close the connection. Closing it again does nothing."""
        try:
            self._connection.close()
        except sqlite3.Error as error:
            raise from_sqlite_error(error, self.path) from error

    def is_current(self) -> bool:
        """Tell whether the file of this name is still the one that was opened."""
        try:
            status = os.stat(self.path)  # noqa: PTH116 - on every put
        except OSError:
            return False
        return (status.st_dev, status.st_ino) == self.identity

    # --- transactions --------------------------------------------------------------------------------------------

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise from_sqlite_error(error, self.path) from error

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Do all or nothing of what is inside, alone among all processes; durable when it is left."""
        with self._errors():
            self._connection.execute("BEGIN IMMEDIATE")
        with ExitStack() as undo:
            undo.callback(self._roll_back)
            with self._errors():
                yield
                self._connection.execute("COMMIT")
            undo.pop_all()

    def _roll_back(self) -> None:
        """End a transaction that failed. A journal that even refuses that is closed, which ends it too."""
        try:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
        except sqlite3.Error:
            self._connection.close()

    def settle(self) -> bool:
        """Write over what a failed transaction may have left behind in the log; tell whether that was possible.

        Without it, a log whose last record could not be forced to the disk might be read back after a restart as
        if it had been acknowledged.
        """
        try:
            with self.transaction():
                self.set_meta("settled", str(int(self.meta("settled") or 0) + 1))
        except SpoolError:
            return False
        return True

    def _make_tables(self) -> None:
        (version,) = self._connection.execute("PRAGMA user_version").fetchone()
        if version in (0, 1):
            for statement in _statements(_MARKS if version else _SCHEMA + _MARKS):
                self._connection.execute(statement)
            self._connection.execute(f"PRAGMA user_version = {FORMAT}")
        elif version != FORMAT:
            raise SpoolError(
                f"the journal has the format {version}; this version of so2cam knows {FORMAT}",
                file=self.path,
                remedy="use the version of so2cam that wrote it, or choose another folder",
            )

    # --- single values -------------------------------------------------------------------------------------------

    def meta(self, key: str) -> str | None:
        """Return a single value, or None where there is none."""
        with self._errors():
            row = self._connection.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
        return None if row is None else str(row[0])

    def journal_id(self) -> str:
        """Return what tells this journal from others, such as that of an earlier card of the same node."""
        found = self.meta(_IDENTITY)
        if found is None:
            with self.transaction():
                found = self.meta(_IDENTITY) or secrets.token_hex(8)
                self.set_meta(_IDENTITY, found)
        return found

    def set_meta(self, key: str, value: str) -> None:
        """Set a single value."""
        with self._errors():
            self._connection.execute("INSERT OR REPLACE INTO meta VALUES(?, ?)", (key, value))

    def integrity(self) -> list[str]:
        """Return what SQLite finds wrong with the journal; empty where it is whole."""
        with self._errors():
            found = [str(row[0]) for row in self._connection.execute("PRAGMA quick_check(20)")]
        return [] if found == ["ok"] else found

    # --- items ---------------------------------------------------------------------------------------------------

    def next_sequence(self) -> int:
        """Return the sequence number that the next item gets; certain only within a transaction."""
        with self._errors():
            row = self._connection.execute("SELECT seq FROM sqlite_sequence WHERE name = 'items'").fetchone()
        return 1 if row is None else int(row[0]) + 1

    def insert(self, item: StoreItem, found: Found, *, sequence: int, stored: datetime) -> StoredItem:
        """Add an item, and what every receiver has to get; within a transaction. Return what will be kept."""
        origin = item.origin
        row = (
            sequence,
            item.kind,
            item.subject,
            item.device,
            to_microseconds(item.time),
            to_microseconds(stored),
            found.folder,
            found.name,
            found.size,
            bytes.fromhex(found.sha256),
            found.sidecar_name,
            found.sidecar_size,
            bytes.fromhex(found.sidecar_sha256),
            None if origin is None else origin.node,
            None if origin is None else origin.sequence,
        )
        with self._errors():
            self._connection.execute(f"INSERT INTO items({_COLUMNS}) VALUES({', '.join('?' * len(row))})", row)
            self._connection.execute(
                "INSERT INTO pending SELECT id, ?, ? FROM receivers", (sequence, found.size + found.sidecar_size)
            )
            if item.mark is not None:
                self._connection.execute("DELETE FROM marks WHERE abs(sequence) < ?", (sequence - MARKS_KEPT,))
                self._connection.execute(
                    "INSERT OR IGNORE INTO marks VALUES(?, ?, ?, ?)",
                    (item.mark.command, item.device, item.mark.item, sequence),
                )
        return _stored_item(row)

    def get(self, sequence: int) -> StoredItem:
        """Return an item that is kept. Raises UnknownItemError where there is none of this number."""
        found = self._select("WHERE sequence = ? AND state = 0", (sequence,))
        if not found:
            raise UnknownItemError(f"there is no item {sequence}", file=self.path, remedy="it may have been deleted")
        return found[0]

    def by_origin(self, origin: Origin) -> StoredItem | None:
        """Return the item that another node kept as ``origin``, or None."""
        found = self._select("WHERE origin_node = ? AND origin_sequence = ?", (origin.node, origin.sequence))
        return found[0] if found else None

    def marked(self, command: str, device: str, *, void: bool = False) -> dict[int, int]:
        """Return the sequence numbers of the items of a command and device, by their number within its set.

        ``void``: also the numbers of those that are not to be kept any more.
        """
        with self._errors():
            rows = self._connection.execute(
                "SELECT item, sequence FROM marks WHERE command = ? AND device = ? ORDER BY item", (command, device)
            ).fetchall()
        return {int(item): abs(int(sequence)) for item, sequence in rows if void or sequence > 0}

    def void(self, command: str, device: str, of: int) -> None:
        """Have the items of a set of ``of`` that are not kept yet never be kept; within a transaction."""
        newest = self.next_sequence() - 1
        with self._errors():
            self._connection.executemany(
                "INSERT OR IGNORE INTO marks VALUES(?, ?, ?, ?)",
                [(command, device, item, -newest) for item in range(of)],
            )

    def by_path(self, folder: str, name: str) -> StoredItem | None:
        """Return the item whose main file this is, in whatever state, or None."""
        found = self._select("WHERE folder = ? AND name = ?", (folder, name))
        return found[0] if found else None

    def rows_in_folder(self, folder: str) -> list[tuple[StoredItem, int]]:
        """Return all items of a folder, each with its state."""
        with self._errors():
            rows = self._connection.execute(
                f"SELECT {_COLUMNS}, state FROM items WHERE folder = ? ORDER BY sequence",  # noqa: S608 - constants
                (folder,),
            ).fetchall()
        return [(_stored_item(row), int(row[15])) for row in rows]

    def is_used(self, sequence: int) -> bool:
        """Tell whether there is an item of this number, in whatever state."""
        with self._errors():
            row = self._connection.execute("SELECT 1 FROM items WHERE sequence = ?", (sequence,)).fetchone()
        return row is not None

    def has_content(self, kind: str, time: datetime, sha256: str) -> bool:
        """Tell whether an item of this kind, time and SHA-256 is kept."""
        return bool(
            self._select(
                "WHERE kind = ? AND time = ? AND sha256 = ? AND state = 0",
                (kind, to_microseconds(time), bytes.fromhex(sha256)),
            )
        )

    def find(
        self,
        *,
        kind: str | None = None,
        subject: str | None = None,
        device: str | None = None,
        start: datetime | None = None,
        end: datetime | None = None,
        after: int = 0,
        limit: int | None = None,
        order: Order = "oldest",
    ) -> list[StoredItem]:
        """Return items by sequence number, ``start`` <= time < ``end``, number above ``after``."""
        conditions: list[tuple[str, object]] = [("sequence > ?", after)]
        for column, word in (("kind", kind), ("subject", subject), ("device", device)):
            if word is not None:
                conditions.append((f"{column} = ?", word))
        if start is not None:
            conditions.append(("time >= ?", to_microseconds(start)))
        if end is not None:
            conditions.append(("time < ?", to_microseconds(end)))
        clause = " AND ".join(text for text, _ in conditions)
        direction = "ASC" if order == "oldest" else "DESC"
        return self._select(
            f"WHERE state = 0 AND {clause} ORDER BY sequence {direction} LIMIT ?",
            (*(value for _, value in conditions), -1 if limit is None else limit),
        )

    def _select(self, clause: str, values: Sequence[object]) -> list[StoredItem]:
        with self._errors():
            rows = self._connection.execute(f"SELECT {_COLUMNS} FROM items {clause}", values).fetchall()  # noqa: S608
        return [_stored_item(row) for row in rows]

    def totals(self) -> tuple[int, int]:
        """Return how many items are kept, and their size [bytes]."""
        with self._errors():
            row = self._connection.execute("SELECT items, bytes FROM totals").fetchone()
        return int(row[0]), int(row[1])

    def count_state(self, state: int) -> int:
        """Return how many items are in a state other than kept."""
        with self._errors():
            row = self._connection.execute(
                "SELECT count(*) FROM items WHERE state <> 0 AND state = ?", (state,)
            ).fetchone()
        return int(row[0])

    def in_state(self, state: int) -> list[StoredItem]:
        """Return the items in a state other than kept."""
        return self._select("WHERE state <> 0 AND state = ? ORDER BY sequence", (state,))

    def set_state(self, sequences: Iterable[int], state: int) -> None:
        """Set the state of items; within a transaction. What is not kept is no longer waited for."""
        for sequence in sequences:
            with self._errors():
                self._connection.execute("UPDATE items SET state = ? WHERE sequence = ?", (state, sequence))
                if state != KEPT:
                    self._connection.execute("DELETE FROM pending WHERE sequence = ?", (sequence,))

    def restore(self, sequences: Iterable[int]) -> None:
        """Take items that were missing or damaged as kept again, for all receivers; within a transaction."""
        for sequence in sequences:
            with self._errors():
                self._connection.execute("UPDATE items SET state = 0 WHERE sequence = ?", (sequence,))
                self._connection.execute(
                    "INSERT OR IGNORE INTO pending SELECT receivers.id, sequence, size + sidecar_size "
                    "FROM items, receivers WHERE sequence = ?",
                    (sequence,),
                )

    def remove(self, sequences: Iterable[int]) -> None:
        """Remove rows of items; within a transaction."""
        for sequence in sequences:
            with self._errors():
                self._connection.execute("DELETE FROM pending WHERE sequence = ?", (sequence,))
                self._connection.execute("DELETE FROM items WHERE sequence = ?", (sequence,))

    # --- receivers -----------------------------------------------------------------------------------------------

    def receivers(self) -> dict[str, bool]:
        """Return every receiver, and whether deletion waits for it."""
        with self._errors():
            rows = self._connection.execute("SELECT name, required FROM receivers ORDER BY id").fetchall()
        return {str(name): bool(required) for name, required in rows}

    def require(self, names: Sequence[str]) -> None:
        """Make deletion wait for just these receivers. New ones get everything that is kept.

        New ones are filled in small transactions, so that others put meanwhile; only then does deletion wait for them.
        A change that was cut off goes on with the next call.
        """
        if {name for name, required in self.receivers().items() if required} == set(names):
            return
        for name in names:
            with self.transaction():
                self.add_receiver(name)
            self.fill_receiver(name)
        with self.transaction(), self._errors():
            marks = ", ".join("?" * len(names))
            self._connection.execute(f"UPDATE receivers SET required = (name IN ({marks}))", tuple(names))  # noqa: S608
            self._connection.execute(
                "UPDATE items SET waiting = (SELECT count(*) FROM pending JOIN receivers ON receivers.id = receiver "
                "WHERE pending.sequence = items.sequence AND required)"
            )

    def add_receiver(self, name: str) -> None:
        """Add a receiver that deletion does not wait for, where it is new; within a transaction.

        What is kept already is added to what it has to get by ``fill_receiver``.
        """
        with self._errors():
            if self._connection.execute("SELECT 1 FROM receivers WHERE name = ?", (name,)).fetchone() is None:
                self._connection.execute("INSERT INTO receivers(name, required) VALUES(?, 0)", (name,))
                self.set_meta(f"fill {name}", f"0 {self.next_sequence() - 1}")

    def is_filling(self, name: str) -> bool:
        """Tell whether items from before ``name`` have still to be added to what it has to get."""
        return self.meta(f"fill {name}") is not None

    def fill_receiver(self, name: str, *, at_once: int = 2000) -> None:
        """Add the items that were there before ``name`` to what it has to get, in transactions of ``at_once`` items."""
        more = True
        while more:
            with self.transaction():
                more = self._fill_some(name, at_once)

    def _fill_some(self, name: str, limit: int) -> bool:
        """Add up to ``limit`` items; return whether there are more."""
        state = self.meta(f"fill {name}")
        if state is None:
            return False
        after, last = map(int, state.split())
        with self._errors():
            rows = self._connection.execute(
                "SELECT sequence FROM items WHERE sequence > ? AND sequence <= ? ORDER BY sequence LIMIT ?",
                (after, last, limit),
            ).fetchall()
            upto = rows[-1][0] if rows else last
            self._connection.execute(
                "INSERT OR IGNORE INTO pending SELECT receivers.id, sequence, size + sidecar_size "
                "FROM items, receivers WHERE receivers.name = ? AND state = 0 AND sequence > ? AND sequence <= ?",
                (name, after, upto),
            )
            if len(rows) < limit:
                self._connection.execute("DELETE FROM meta WHERE key = ?", (f"fill {name}",))
                return False
        self.set_meta(f"fill {name}", f"{upto} {last}")
        return True

    def forget_receiver(self, name: str) -> None:
        """Remove a receiver; within a transaction."""
        with self._errors():
            self._connection.execute(
                "DELETE FROM pending WHERE receiver = (SELECT id FROM receivers WHERE name = ?)", (name,)
            )
            self._connection.execute("DELETE FROM receivers WHERE name = ?", (name,))
            self._connection.execute("DELETE FROM meta WHERE key = ?", (f"fill {name}",))

    def backlog(self) -> list[Backlog]:
        """Return what every receiver still has to get."""
        with self._errors():
            rows = self._connection.execute("SELECT name, required, items, bytes FROM receivers ORDER BY id").fetchall()
        return [Backlog(str(row[0]), bool(row[1]), int(row[2]), int(row[3])) for row in rows]

    def undelivered(
        self, receiver: str, *, limit: int, order: Order = "oldest", after: int | None = None, kind: str | None = None
    ) -> list[StoredItem]:
        """Return up to ``limit`` items that ``receiver`` has not confirmed, by sequence number beyond ``after``."""
        direction, beyond = ("ASC", ">") if order == "oldest" else ("DESC", "<")
        conditions, values = ["state = 0"], []
        if after is not None:
            conditions.append(f"pending.sequence {beyond} ?")
            values.append(after)
        if kind is not None:
            conditions.append("kind = ?")
        columns = ", ".join(f"items.{name.strip()}" for name in _COLUMNS.split(","))
        with self._errors():
            rows = self._connection.execute(
                f"SELECT {columns} FROM pending JOIN items USING(sequence) "  # noqa: S608 - constants
                "WHERE receiver = (SELECT id FROM receivers WHERE name = ?) "
                f"AND {' AND '.join(conditions)} ORDER BY pending.sequence {direction} LIMIT ?",
                (receiver, *values, *(() if kind is None else (kind,)), limit),
            ).fetchall()
        return [_stored_item(row) for row in rows]

    def is_pending(self, receiver: str, sequence: int) -> bool:
        """Tell whether ``receiver`` has still to confirm an item."""
        with self._errors():
            row = self._connection.execute(
                "SELECT 1 FROM pending WHERE receiver = (SELECT id FROM receivers WHERE name = ?) AND sequence = ?",
                (receiver, sequence),
            ).fetchone()
        return row is not None

    def confirm(self, receiver: str, sequence: int) -> bool:
        """Take note that ``receiver`` has an item; within a transaction. Return whether that was new."""
        with self._errors():
            cursor = self._connection.execute(
                "DELETE FROM pending WHERE receiver = (SELECT id FROM receivers WHERE name = ?) AND sequence = ?",
                (receiver, sequence),
            )
        return cursor.rowcount > 0

    # --- deletion ------------------------------------------------------------------------------------------------

    def deletable(self, limit: int, *, after: int = 0) -> list[StoredItem]:
        """Return the oldest items that every required receiver has confirmed."""
        return self._select(
            "WHERE waiting = 0 AND state = 0 AND sequence > ? ORDER BY sequence LIMIT ?", (after, limit)
        )

    def oldest(self, limit: int) -> list[StoredItem]:
        """Return the oldest items, confirmed or not."""
        return self._select("WHERE state = 0 ORDER BY sequence LIMIT ?", (limit,))

    def waiting(self, sequences: Iterable[int]) -> set[int]:
        """Return those of ``sequences`` for which a required receiver is still waited for."""
        found = set()
        for sequence in sequences:
            with self._errors():
                row = self._connection.execute("SELECT waiting FROM items WHERE sequence = ?", (sequence,)).fetchone()
            if row is not None and row[0] > 0:
                found.add(sequence)
        return found

    def forsake(self, items: Iterable[StoredItem]) -> None:
        """Note items that are deleted though a required receiver does not have them; within a transaction."""
        with self._errors():
            self._connection.executemany(
                "INSERT OR IGNORE INTO forsaken VALUES(?, ?)", [(item.folder, item.name) for item in items]
            )

    def is_dispensable(self, folder: str, name: str, *, unknown: bool) -> bool:
        """Tell whether a copy of an item may go: every required receiver has it.

        ``unknown`` is the answer for an item of which nothing is known: it was delivered and deleted, where no other
        journal ever wrote there.
        """
        with self._errors():
            row = self._connection.execute(
                "SELECT state <> 0 OR waiting > 0 FROM items WHERE folder = ? AND name = ?", (folder, name)
            ).fetchone()
            if row is None:
                row = self._connection.execute(
                    "SELECT 1 FROM forsaken WHERE folder = ? AND name = ?", (folder, name)
                ).fetchone()
        return unknown if row is None else not row[0]

    def count_deletion(self, day: str, reason: str, items: int, size: int) -> None:
        """Add to the count of what was deleted; within a transaction."""
        with self._errors():
            self._connection.execute(
                "INSERT INTO deletions VALUES(?, ?, ?, ?) ON CONFLICT(day, reason) DO UPDATE SET "
                "items = items + excluded.items, bytes = bytes + excluded.bytes",
                (day, reason, items, size),
            )

    def deletions(self) -> list[tuple[str, str, int, int]]:
        """Return (day, reason, items, bytes) of everything that was ever deleted or lost."""
        with self._errors():
            rows = self._connection.execute("SELECT day, reason, items, bytes FROM deletions ORDER BY day").fetchall()
        return [(str(day), str(reason), int(items), int(size)) for day, reason, items, size in rows]

    # --- folders -------------------------------------------------------------------------------------------------

    def is_sealed(self, folder: str) -> bool:
        """Tell whether the last recovery found ``folder`` right and nothing was put there since."""
        with self._errors():
            row = self._connection.execute("SELECT sealed FROM folders WHERE path = ?", (folder,)).fetchone()
        return row is not None and bool(row[0])

    def set_sealed(self, folder: str, sealed: bool) -> None:
        """Seal a folder, or open it again; within a transaction."""
        with self._errors():
            self._connection.execute("INSERT OR REPLACE INTO folders VALUES(?, ?)", (folder, int(sealed)))

    def sealed_folders(self) -> set[str]:
        """Return all sealed folders."""
        with self._errors():
            return {str(row[0]) for row in self._connection.execute("SELECT path FROM folders WHERE sealed")}

    def item_folders(self) -> set[str]:
        """Return all folders in which items are kept."""
        with self._errors():
            rows = self._connection.execute(  # from folder to folder through the index, not over all items
                "WITH RECURSIVE every(folder) AS (SELECT min(folder) FROM items UNION ALL "
                "SELECT (SELECT min(folder) FROM items WHERE items.folder > every.folder) FROM every "
                "WHERE every.folder IS NOT NULL) SELECT folder FROM every WHERE folder IS NOT NULL"
            ).fetchall()
        return {str(row[0]) for row in rows}

    def forget_folder(self, folder: str) -> None:
        """Forget a folder that is gone; within a transaction."""
        with self._errors():
            self._connection.execute("DELETE FROM folders WHERE path = ?", (folder,))


def _statements(script: str) -> Iterator[str]:
    """Yield the statements of a script one by one: a transaction stays open, as it would not by executescript."""
    statement = ""
    for line in script.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""


def _stored_item(row: tuple[Any, ...]) -> StoredItem:
    return StoredItem(
        sequence=row[0],
        kind=row[1],
        subject=row[2],
        device=row[3],
        time=from_microseconds(row[4]),
        stored=from_microseconds(row[5]),
        folder=row[6],
        name=row[7],
        size=row[8],
        sha256=row[9].hex(),
        sidecar_name=row[10],
        sidecar_size=row[11],
        sidecar_sha256=row[12].hex(),
        origin=None if row[13] is None else Origin(row[13], row[14]),
    )
