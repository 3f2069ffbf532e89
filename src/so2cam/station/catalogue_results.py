"""The part of the catalogue that knows the results: pairs, emission rates, columns of spectra, and days."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, fields
from datetime import UTC, datetime
from typing import Any, Final

from sqlalchemy import Connection, and_, delete, func, select, update

from so2cam.core.status import EmissionStatus
from so2cam.station.catalogue_records import ColumnRow, Day, PairRow, Rate
from so2cam.station.catalogue_schema import COLUMNS, DAYS, PAIRS, RATES, RUNS
from so2cam.station.database import Database
from so2cam.store.items import from_microseconds, to_microseconds

_CHUNK: Final = 500
_RATE: Final = tuple(field.name for field in fields(Rate))
_COLUMN: Final = tuple(field.name for field in fields(ColumnRow))


class ResultTable:
    """Results. Methods raise CatalogueError where the database refuses."""

    database: Database

    def add_pairs(self, site: str, run: int, pairs: Sequence[PairRow]) -> None:
        """Enter what pairs gave; what was there of the same times is replaced."""
        if pairs:
            with self.database.write() as connection:
                self._insert_pairs(connection, site, run, pairs)

    def replace_day(
        self,
        site: str,
        day: str,
        run: int,
        pairs: Sequence[PairRow],
        *,
        start: datetime,
        end: datetime,
        columns: Sequence[ColumnRow] = (),
        marked: datetime | None = None,
    ) -> None:
        """Replace all results of ``start`` <= time < ``end`` by ``pairs`` and ``columns``, and end the run.

        The day has a new revision, and is fresh. With ``marked`` it stays stale where it was marked later than that,
        while it was calculated.
        """
        first, last = to_microseconds(start), to_microseconds(end)
        with self.database.write() as connection:
            for table in (PAIRS, RATES, COLUMNS):
                connection.execute(
                    delete(table).where(table.c.site == site, table.c.time >= first, table.c.time < last)
                )
            self._insert_pairs(connection, site, run, pairs)
            self._insert_columns(connection, site, columns)
            connection.execute(update(RUNS).where(RUNS.c.id == run).values(state="ended"))
            self._touch_day(connection, site, day)
            where = and_(DAYS.c.site == site, DAYS.c.day == day)
            connection.execute(update(DAYS).where(where).values(revision=DAYS.c.revision + 1))
            if marked is not None:
                where = and_(where, DAYS.c.stale_since <= to_microseconds(marked))
            connection.execute(update(DAYS).where(where).values(stale_since=None, reason=None))

    def pairs(self, site: str, *, start: datetime, end: datetime) -> Iterator[PairRow]:
        """Yield what pairs of ``start`` <= time < ``end`` gave, in order of time; without ``rates``."""
        where = and_(PAIRS.c.site == site, PAIRS.c.time >= to_microseconds(start), PAIRS.c.time < to_microseconds(end))
        with self.database.read() as connection:
            query = select(PAIRS).where(where).order_by(PAIRS.c.time)
            for row in connection.execution_options(yield_per=_CHUNK).execute(query):
                yield PairRow(from_microseconds(row.time), row.flags, row.record)

    def count_pairs(self, site: str, *, start: datetime, end: datetime) -> int:
        """Return how many pairs of ``start`` <= time < ``end`` there are."""
        where = and_(PAIRS.c.site == site, PAIRS.c.time >= to_microseconds(start), PAIRS.c.time < to_microseconds(end))
        with self.database.read() as connection:
            return int(connection.execute(select(func.count()).select_from(PAIRS).where(where)).scalar_one())

    def rates(
        self,
        site: str,
        *,
        start: datetime | None = None,
        end: datetime | None = None,
        line: str | None = None,
        method: str | None = None,
        limit: int | None = None,
        newest: bool = False,
    ) -> list[Rate]:
        """Return emission rates of ``start`` <= time < ``end`` in order of time, the last ``limit`` with ``newest``."""
        conditions = [RATES.c.site == site]
        if start is not None:
            conditions.append(RATES.c.time >= to_microseconds(start))
        if end is not None:
            conditions.append(RATES.c.time < to_microseconds(end))
        if line is not None:
            conditions.append(RATES.c.line == line)
        if method is not None:
            conditions.append(RATES.c.method == method)
        order: list[Any] = [RATES.c.time, RATES.c.line, RATES.c.method]
        if newest:
            order = [column.desc() for column in order]
        with self.database.read() as connection:
            rows = connection.execute(select(RATES).where(*conditions).order_by(*order).limit(limit)).all()
        found = [rate_of(row) for row in rows]
        return found[::-1] if newest else found

    def latest_rates(self, site: str, *, valid: bool = False) -> list[Rate]:
        """Return all rates of the newest pair; with ``valid`` the newest valid one of each of its lines and methods."""
        with self.database.read() as connection:
            newest = select(func.max(RATES.c.time)).where(RATES.c.site == site)
            time = connection.execute(newest).scalar_one_or_none()
            where = and_(RATES.c.site == site, RATES.c.time == time)
            rows = connection.execute(select(RATES).where(where).order_by(RATES.c.line, RATES.c.method)).all()
            if valid:
                rows = [self._newest_valid(connection, row) for row in rows]
        return [rate_of(row) for row in rows if row is not None]

    def _newest_valid(self, connection: Connection, row: Any) -> Any:
        if row.status == 0:
            return row
        where = and_(
            RATES.c.site == row.site, RATES.c.line == row.line, RATES.c.method == row.method, RATES.c.status == 0
        )
        query = select(RATES).where(where).order_by(RATES.c.time.desc()).limit(1)
        return connection.execute(query).one_or_none()

    def add_columns(self, site: str, columns: Sequence[ColumnRow]) -> None:
        """Enter what spectra gave; what was there of the same file and time is replaced."""
        if columns:
            with self.database.write() as connection:
                self._insert_columns(connection, site, columns)

    def columns(
        self, site: str, *, start: datetime, end: datetime, limit: int | None = None, newest: bool = False
    ) -> list[ColumnRow]:
        """Return what spectra of ``start`` <= time < ``end`` gave, in order; the last ``limit`` with ``newest``."""
        time = COLUMNS.c.time
        where = and_(COLUMNS.c.site == site, time >= to_microseconds(start), time < to_microseconds(end))
        with self.database.read() as connection:
            order: list[Any] = [time, COLUMNS.c.file]
            if newest:
                order = [column.desc() for column in order]
            rows = connection.execute(select(COLUMNS).where(where).order_by(*order).limit(limit)).all()
        if newest:
            rows = rows[::-1]
        return [column_of(row) for row in rows]

    # --- days ----------------------------------------------------------------------------------------------------

    def mark_stale(self, site: str, day: str, reason: str) -> None:
        """Say that a day should be calculated again, counted from now."""
        now = to_microseconds(datetime.now(UTC))
        with self.database.write() as connection:
            self._touch_day(connection, site, day)
            where = and_(DAYS.c.site == site, DAYS.c.day == day)
            connection.execute(update(DAYS).where(where).values(stale_since=now, reason=reason))

    def set_written(self, day: Day) -> None:
        """Say that the files of a day have what ``day`` had."""
        with self.database.write() as connection:
            where = and_(DAYS.c.site == day.site, DAYS.c.day == day.day)
            connection.execute(update(DAYS).where(where).values(written=to_microseconds(day.changed)))

    def day(self, site: str, day: str) -> Day | None:
        """Return what is known of a day."""
        return next((found for found in self.days(site) if found.day == day), None)

    def days(self, site: str, *, stale: bool = False) -> list[Day]:
        """Return all days with results, or the stale ones, in order."""
        conditions = [DAYS.c.site == site, *((DAYS.c.stale_since.is_not(None),) if stale else ())]
        with self.database.read() as connection:
            rows = connection.execute(select(DAYS).where(*conditions).order_by(DAYS.c.day)).all()
        return [
            Day(
                row.site,
                row.day,
                row.revision,
                None if row.stale_since is None else from_microseconds(row.stale_since),
                row.reason,
                from_microseconds(row.changed),
                None if row.written is None else from_microseconds(row.written),
            )
            for row in rows
        ]

    def _insert_columns(self, connection: Connection, site: str, columns: Sequence[ColumnRow]) -> None:
        rows = [{"site": site, **asdict(row), "time": to_microseconds(row.time)} for row in columns]
        for first in range(0, len(rows), _CHUNK):
            connection.execute(self.database.upsert(COLUMNS, rows[first : first + _CHUNK]))

    def _insert_pairs(self, connection: Connection, site: str, run: int, given: Sequence[PairRow]) -> None:
        pairs = _one_of_each_time(given)
        rows = [
            {"site": site, "time": to_microseconds(p.time), "run": run, "flags": p.flags, "record": p.record}
            for p in pairs
        ]
        rates = [
            {"site": site, **asdict(rate), "time": to_microseconds(rate.time)} for pair in pairs for rate in pair.rates
        ]
        times = [row["time"] for row in rows]
        for first in range(0, len(times), _CHUNK):  # lines and methods that the site file has no more go
            where = and_(RATES.c.site == site, RATES.c.time.in_(times[first : first + _CHUNK]))
            connection.execute(delete(RATES).where(where))
        for table, values in ((PAIRS, rows), (RATES, rates)):
            for first in range(0, len(values), _CHUNK):
                connection.execute(self.database.upsert(table, values[first : first + _CHUNK]))
        for day in sorted({f"{pair.time:%Y-%m-%d}" for pair in pairs}):
            self._touch_day(connection, site, day)

    def _touch_day(self, connection: Connection, site: str, day: str) -> None:
        changed = to_microseconds(datetime.now(UTC))
        insert = self.database.insert_ignoring(DAYS).values(site=site, day=day, revision=0, changed=changed)
        connection.execute(insert)
        connection.execute(update(DAYS).where(DAYS.c.site == site, DAYS.c.day == day).values(changed=changed))


def _one_of_each_time(pairs: Sequence[PairRow]) -> list[PairRow]:
    """Return one pair of each time: that with most valid rates, else one that came in order, else the last."""
    found: dict[datetime, PairRow] = {}
    for pair in pairs:
        known = found.get(pair.time)
        if known is None or _worth(pair) >= _worth(known):
            found[pair.time] = pair
    return list(found.values())


def _worth(pair: PairRow) -> tuple[int, bool]:
    statuses = [rate.status for rate in pair.rates]
    return statuses.count(EmissionStatus.OK), EmissionStatus.TIME_NOT_INCREASING not in statuses


def rate_of(row: Any) -> Rate:
    """Return the emission rate in a row that has the columns of ``RATES``, whatever else it has."""
    values = {name: getattr(row, name) for name in _RATE}
    return Rate(**values | {"time": from_microseconds(row.time)})


def column_of(row: Any) -> ColumnRow:
    """Return the column in a row of ``COLUMNS``."""
    values = {name: getattr(row, name) for name in _COLUMN}
    return ColumnRow(**values | {"time": from_microseconds(row.time)})
