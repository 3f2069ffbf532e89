"""A small SQLite file with a handful of tables: for threads and for several processes."""

import os
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Self

from so2cam.core.errors import OutputError, So2camError


class SmallDatabase:
    """The tables of ``schema`` in the file ``path``, which is made where it is missing; ``what`` it holds, for errors.

    One connection for all threads of a process, one at a time.
    """

    def __init__(
        self,
        path: Path,
        schema: str,
        version: int,
        what: str,
        *,
        durable: bool = True,
        private: bool = False,
        error: type[So2camError] = OutputError,
    ) -> None:
        """Open it. ``durable``: forced to the disk at every commit; ``private``: only its owner may read it.

        Raises ``error`` where the file cannot be opened or is of a newer version; so do all other methods where it
        cannot be read or written.
        """
        self.path = path
        self._what = what
        self._error = error
        self._lock = threading.RLock()
        with self._errors():
            path.parent.mkdir(parents=True, exist_ok=True)
            if private and not path.exists():  # from the first moment
                os.close(os.open(path, os.O_WRONLY | os.O_CREAT, 0o600))
            self._connection = sqlite3.connect(path, timeout=10.0, isolation_level=None, check_same_thread=False)
            try:
                self._prepare(schema, version, durable=durable)
            except (sqlite3.Error, So2camError):
                self._connection.close()
                raise

    def _prepare(self, schema: str, version: int, *, durable: bool) -> None:
        connection = self._connection
        connection.row_factory = sqlite3.Row
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute(f"PRAGMA synchronous = {'FULL' if durable else 'NORMAL'}")
        found = int(connection.execute("PRAGMA user_version").fetchone()[0])
        if found > version:
            raise self._error(f"was written by a newer so2cam (format {found})", file=self.path, remedy="update so2cam")
        with self.transaction():
            for statement in schema.split(";"):
                connection.execute(statement)
            connection.execute(f"PRAGMA user_version = {version}")

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

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

    def rows(self, query: str, values: Sequence[Any] = ()) -> list[sqlite3.Row]:
        """Return what a query finds."""
        with self.reading() as connection, closing(connection.execute(query, values)) as cursor:
            return cursor.fetchall()

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            raise self._error(
                f"{self._what} cannot be kept here: {error}",
                file=self.path,
                remedy="check the folder, its rights and the disk",
            ) from error
