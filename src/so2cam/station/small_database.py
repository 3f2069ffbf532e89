"""A small SQLite file of the station's own, with a handful of tables: for threads and for several processes."""

import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Self

from so2cam.core.errors import OutputError


class SmallDatabase:
    """The tables of ``schema`` in the file ``path``, which is made where it is missing; ``what`` it holds, for errors.

    One connection for all threads of a process, one at a time.
    """

    def __init__(self, path: Path, schema: str, version: int, what: str) -> None:
        """Raises OutputError where the file cannot be opened or is of a newer version."""
        self.path = path
        self._lock = threading.RLock()
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._connection = sqlite3.connect(path, timeout=10.0, isolation_level=None, check_same_thread=False)
            self._connection.row_factory = sqlite3.Row
            self._connection.execute("PRAGMA journal_mode = WAL")
            self._connection.execute("PRAGMA synchronous = FULL")
            found = int(self._connection.execute("PRAGMA user_version").fetchone()[0])
            if found > version:
                self._connection.close()
                raise OutputError(f"was written by a newer so2cam (format {found})", file=path, remedy="update so2cam")
            with self._transaction() as connection:
                for statement in schema.split(";"):
                    connection.execute(statement)
                connection.execute(f"PRAGMA user_version = {version}")
        except (OSError, sqlite3.Error) as error:
            raise OutputError(
                f"{what} cannot be kept here: {error}",
                file=path,
                remedy="check the folder, its rights and the disk",
            ) from error

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        """Give the connection within a transaction: all of it, or nothing."""
        with self._lock:
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield self._connection
                self._connection.execute("COMMIT")
            finally:
                # Where the commit itself failed, too: an open transaction would refuse all later ones.
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")

    def _rows(self, query: str, values: Sequence[Any] = ()) -> list[sqlite3.Row]:
        with self._lock, closing(self._connection.execute(query, values)) as cursor:
            return cursor.fetchall()
