"""The catalogue: what a station has. Files of the archives, what was processed, results, days, health.

It stands on ``station.database`` (SQLite or PostgreSQL); the tables are in ``station.catalogue_schema``. Everything is
written in whole transactions: what a method has returned from is kept.
"""

from datetime import datetime
from pathlib import Path
from typing import Self

from sqlalchemy import and_, func, select

from so2cam.station.catalogue_files import FileTable
from so2cam.station.catalogue_records import (
    DAMAGED,
    KEPT,
    MISSING,
    TOTAL,
    ArchivedFile,
    ColumnRow,
    Day,
    Fed,
    NewFile,
    PairRow,
    Rate,
    Run,
)
from so2cam.station.catalogue_results import ResultTable
from so2cam.station.catalogue_runs import RunTable
from so2cam.station.catalogue_schema import HEALTH
from so2cam.station.catalogue_trends import TrendTable
from so2cam.station.database import CatalogueError, Database
from so2cam.store.items import from_microseconds, to_microseconds

__all__ = [
    "DAMAGED",
    "KEPT",
    "MISSING",
    "TOTAL",
    "ArchivedFile",
    "Catalogue",
    "CatalogueError",
    "ColumnRow",
    "Day",
    "Fed",
    "NewFile",
    "PairRow",
    "Rate",
    "Run",
]


class Catalogue(FileTable, RunTable, ResultTable, TrendTable):
    """An open catalogue; a context manager, safe for threads. CatalogueError where the database refuses."""

    def __init__(self, database: Database) -> None:
        self.database = database

    @classmethod
    def open(cls, url: str | None, folder: Path) -> Self:
        """Open the catalogue at ``url``, or in ``folder`` where that is None."""
        return cls(Database(url, folder))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the catalogue. Closing it again does nothing."""
        self.database.close()

    # --- health --------------------------------------------------------------------------------------------------

    def add_health(self, site: str, node: str, time: datetime, record: str) -> None:
        """Enter what a node says of itself: ``record`` is JSON."""
        values = {"site": site, "node": node, "time": to_microseconds(time), "record": record}
        with self.database.write() as connection:
            connection.execute(self.database.upsert(HEALTH, [values]))

    def latest_health(self, site: str) -> dict[str, tuple[datetime, str]]:
        """Return the newest (time, record) of every node of a site."""
        newest = (
            select(HEALTH.c.node, func.max(HEALTH.c.time).label("time"))
            .where(HEALTH.c.site == site)
            .group_by(HEALTH.c.node)
            .subquery()
        )
        same = and_(HEALTH.c.node == newest.c.node, HEALTH.c.time == newest.c.time)
        with self.database.read() as connection:
            rows = connection.execute(select(HEALTH).join(newest, same).where(HEALTH.c.site == site)).all()
        return {row.node: (from_microseconds(row.time), row.record) for row in rows}

    def health(self, site: str, *, start: datetime, end: datetime) -> list[tuple[datetime, str, str]]:
        """Return (time, node, record) of ``start`` <= time < ``end``, in order of time."""
        time = HEALTH.c.time
        where = and_(HEALTH.c.site == site, time >= to_microseconds(start), time < to_microseconds(end))
        with self.database.read() as connection:
            rows = connection.execute(select(HEALTH).where(where).order_by(time, HEALTH.c.node)).all()
        return [(from_microseconds(row.time), row.node, row.record) for row in rows]
