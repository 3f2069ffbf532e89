"""The link's own small database: tokens, offers to pair, the ledger of commands, events.

One SQLite file in the node's state folder, opened by the agent and by ``so2cam token`` at the same time.
"""

import os
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from so2cam.link.errors import LinkError

FILE: Final = "link.sqlite"
_TABLES: Final = """
CREATE TABLE IF NOT EXISTS token (
    id TEXT PRIMARY KEY, name TEXT NOT NULL, role TEXT NOT NULL, receiver TEXT, secret BLOB NOT NULL,
    created REAL NOT NULL, expires REAL, revoked REAL, used REAL) STRICT;
CREATE TABLE IF NOT EXISTS offer (
    id TEXT PRIMARY KEY, role TEXT NOT NULL, receiver TEXT, key BLOB NOT NULL, salt BLOB NOT NULL,
    expires REAL NOT NULL, attempts INTEGER NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS ledger (
    number INTEGER PRIMARY KEY, who TEXT NOT NULL, key TEXT NOT NULL, name TEXT NOT NULL, peer TEXT NOT NULL,
    begun REAL NOT NULL, ended REAL, command TEXT NOT NULL, state TEXT NOT NULL, result TEXT,
    UNIQUE (who, key)) STRICT;
CREATE TABLE IF NOT EXISTS event (number INTEGER PRIMARY KEY, content TEXT NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS fact (name TEXT PRIMARY KEY, value INTEGER NOT NULL) STRICT;
"""


class Database:
    """One connection, for all threads of a process; one at a time."""

    def __init__(self, path: Path, *, durable: bool = True) -> None:
        """Open the file, made where it is missing. ``durable``: forced to the disk at every commit.

        Raises LinkError where it cannot be opened.
        """
        self.path = path
        self._lock = threading.RLock()
        with self._errors():
            path.parent.mkdir(parents=True, exist_ok=True)
            if not path.exists():  # nobody else may read it, from the first moment
                os.close(os.open(path, os.O_WRONLY | os.O_CREAT, 0o600))
            self._connection = sqlite3.connect(path, timeout=10.0, isolation_level=None, check_same_thread=False)
            self._connection.execute("PRAGMA journal_mode = WAL")
            self._connection.execute(f"PRAGMA synchronous = {'FULL' if durable else 'NORMAL'}")
            self._connection.executescript(_TABLES)

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """Give the connection within a transaction: all of it, or nothing."""
        with self._lock, self._errors():
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield self._connection
                self._connection.execute("COMMIT")
            finally:
                # Where the commit itself failed, too: an open transaction would refuse all later ones.
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """Give the connection to read."""
        with self._lock, self._errors():
            yield self._connection

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._connection.close()

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            raise LinkError(
                f"the link's database cannot be used: {error}", file=self.path, remedy="check the disk and its owner"
            ) from error
