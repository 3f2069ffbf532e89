"""The database of a catalogue: SQLite in the station's folder, or PostgreSQL by URL; one way to read and one to write.

SQLite is in WAL mode with ``synchronous = FULL``: what was committed outlives a power cut. A writer begins with
BEGIN IMMEDIATE, so that two never wait for each other crosswise.
"""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url, select
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.schema import CreateIndex

from so2cam.core.errors import So2camError
from so2cam.station.catalogue_schema import FORMAT, META, METADATA

_BUSY_TIMEOUT_S: Final = 20
_NAME: Final = "catalogue.sqlite"
_DRIVERS: Final = {"postgresql": "postgresql+psycopg", "sqlite": "sqlite"}


class CatalogueError(So2camError):
    """The catalogue cannot be opened, read or written."""


class Database:
    """An open database, safe for threads. Raises CatalogueError where it refuses."""

    def __init__(self, url: str | None, folder: Path) -> None:
        """Open the database ``url``, or ``catalogue.sqlite`` in ``folder``; make its tables where they are missing."""
        self._url = _resolve(url, folder)
        self.name = self._url.render_as_string(hide_password=True)
        with self._explained():
            self._engine = _make_engine(self._url)
            with contextlib.ExitStack() as undo:
                undo.callback(self._engine.dispose)
                self._prepare()
                undo.pop_all()

    @property
    def is_postgresql(self) -> bool:
        """Whether it is PostgreSQL."""
        return self._engine.dialect.name == "postgresql"

    def close(self) -> None:
        """Close all connections. Closing again does nothing."""
        self._engine.dispose()

    @contextlib.contextmanager
    def read(self) -> Iterator[Connection]:
        """Give a connection to read with: one consistent state."""
        with self._explained(), self._engine.connect() as connection:
            yield connection

    @contextlib.contextmanager
    def write(self) -> Iterator[Connection]:
        """Give a connection whose changes are committed together at the end, or not at all."""
        with (
            self._explained(),
            self._engine.connect().execution_options(so2cam_write=True) as connection,
            connection.begin(),
        ):
            yield connection

    def insert_ignoring(self, table: Any) -> Any:
        """Return an insert into ``table`` that does nothing where the row is there already."""
        return self._dialect_insert(table).on_conflict_do_nothing()

    def upsert(self, table: Any, rows: list[dict[str, Any]]) -> Any:
        """Return an insert of ``rows`` that replaces those with the same primary key; of equal keys the last row."""
        keys = [column.name for column in table.primary_key.columns]
        once = {tuple(row[key] for key in keys): row for row in rows}  # PostgreSQL refuses a key that comes twice
        statement = self._dialect_insert(table).values(list(once.values()))
        changed = {name: statement.excluded[name] for name in rows[0] if name not in keys}
        return statement.on_conflict_do_update(index_elements=keys, set_=changed)

    def _dialect_insert(self, table: Any) -> Any:
        if self.is_postgresql:
            from sqlalchemy.dialects.postgresql import insert

            return insert(table)
        from sqlalchemy.dialects.sqlite import insert as sqlite_insert

        return sqlite_insert(table)

    def _prepare(self) -> None:
        with self._engine.connect().execution_options(so2cam_write=True) as connection, connection.begin():
            if self.is_postgresql:  # two stations that start at once must not both make the tables
                connection.exec_driver_sql("SELECT pg_advisory_xact_lock(730291645)")
            METADATA.create_all(connection)
            for index in (index for table in METADATA.sorted_tables for index in table.indexes):
                connection.execute(CreateIndex(index, if_not_exists=True))  # older catalogues lack some
            found = connection.execute(select(META.c.value).where(META.c.key == "format")).scalar_one_or_none()
            if found is None:
                connection.execute(META.insert().values(key="format", value=str(FORMAT)))
            elif found != str(FORMAT):
                raise CatalogueError(
                    "the catalogue is of another format",
                    file=self.name,
                    key="format",
                    value=found,
                    remedy=f"this version of so2cam reads format {FORMAT}: update so2cam",
                )

    @contextlib.contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except DBAPIError as error:
            raise CatalogueError(
                f"the catalogue refuses: {_first_line(error.orig)}",
                file=self.name,
                remedy="check that the database runs and may be written, and station.catalogue in the site file",
            ) from error
        except PoolTimeoutError as error:
            raise CatalogueError("no connection became free", file=self.name, remedy="try again") from error
        except SQLAlchemyError as error:
            raise CatalogueError(f"the catalogue cannot be used: {_first_line(error)}", file=self.name) from error


def _resolve(url: str | None, folder: Path) -> URL:
    if url is None:
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise CatalogueError(
                f"cannot be made: {error.strerror or error}", file=folder, remedy="check station.folder"
            ) from error
        return URL.create("sqlite", database=str(folder / _NAME))
    try:
        found = make_url(url)
    except SQLAlchemyError as error:
        raise CatalogueError(f"is no URL of a database: {_first_line(error)}", key="station.catalogue") from error
    driver = found.drivername
    return found.set(drivername=_DRIVERS.get(driver, driver))


def _make_engine(url: URL) -> Engine:
    try:
        if url.get_backend_name() != "sqlite":
            return create_engine(url, pool_pre_ping=True, pool_timeout=30, connect_args={"connect_timeout": 10})
        engine = create_engine(url, connect_args={"timeout": _BUSY_TIMEOUT_S}, pool_timeout=30)
    except ImportError as error:
        raise CatalogueError(
            f"the driver of this database is not installed: {error.name}",
            file=url.render_as_string(hide_password=True),
            remedy="pip install 'so2cam[station]'",
        ) from error

    @event.listens_for(engine, "connect")
    def _connected(connection: Any, _record: Any) -> None:
        connection.isolation_level = None  # transactions are begun below, not by the driver
        for pragma in ("journal_mode = WAL", "synchronous = FULL", "foreign_keys = ON"):
            connection.execute(f"PRAGMA {pragma}")

    @event.listens_for(engine, "begin")
    def _begun(connection: Connection) -> None:
        writing = connection.get_execution_options().get("so2cam_write")
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writing else "BEGIN")

    return engine


def _first_line(error: object) -> str:
    return str(error).strip().partition("\n")[0]
