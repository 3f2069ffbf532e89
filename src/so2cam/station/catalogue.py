"""The catalogue: what a station has. Files of the archives, what was processed, results, days, health.

It stands on ``station.database`` (SQLite or PostgreSQL); the tables are in ``station.catalogue_schema``. Everything is
written in whole transactions: what a method has returned from is kept.
"""

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, Self

from sqlalchemy import Connection, and_, delete, func, select, update

from so2cam.station.catalogue_schema import COLUMNS, DAYS, FEED, FILES, HEALTH, PAIRS, RATES, RUNS
from so2cam.station.database import CatalogueError, Database
from so2cam.store.items import from_microseconds, item_digest, to_microseconds

KEPT: Final = "kept"
TOTAL: Final = "total"
"""What ``line`` says in a rate that is the sum over lines."""
_CHUNK: Final = 500
_NO_SHA256: Final = ""


@dataclass(frozen=True, slots=True)
class NewFile:
    """A file that came into an archive. ``origin`` is unique at its site; ``folder`` is relative to the archive."""

    site: str
    origin: str
    node: str
    kind: str
    subject: str
    device: str
    time: datetime
    folder: str
    name: str
    size: int
    sha256: str
    sidecar: str | None = None
    sidecar_size: int | None = None
    sidecar_sha256: str | None = None


@dataclass(frozen=True, slots=True)
class ArchivedFile:
    """A file of an archive, as the catalogue knows it."""

    id: int
    site: str
    origin: str
    node: str
    kind: str
    subject: str
    device: str
    time: datetime
    received: datetime
    folder: str
    name: str
    size: int
    sha256: str
    sidecar: str | None
    sidecar_size: int | None
    sidecar_sha256: str | None
    state: str

    @property
    def path(self) -> str:
        """The main file, relative to the archive."""
        return f"{self.folder}/{self.name}"

    @property
    def sidecar_path(self) -> str | None:
        """The sidecar, relative to the archive, if there is one."""
        return None if self.sidecar is None else f"{self.folder}/{self.sidecar}"

    @property
    def total_bytes(self) -> int:
        """Size of both files."""
        return self.size + (self.sidecar_size or 0)

    @property
    def digest(self) -> str:
        """One hash of both files: what the source is given back as proof."""
        return item_digest(self.sha256, self.sidecar_sha256 or _NO_SHA256)


@dataclass(frozen=True, slots=True)
class Run:
    """A run of processing. ``inputs`` are the ids of the calibration files it began with."""

    id: int
    site: str
    day: str
    kind: str
    state: str
    settings_sha256: str
    software_version: str
    inputs: tuple[int, ...]
    began: datetime


@dataclass(frozen=True, slots=True)
class Fed:
    """One thing that a live run was given: the id of a file, or the time up to which nothing more comes."""

    id: int
    file: int | None
    until: datetime | None


@dataclass(frozen=True, slots=True)
class Rate:
    """One emission rate [kg s-1] of a line (``total``: of their sum) by a speed method; None is missing.

    ``status`` is that of ``core.status.EmissionStatus``; speed [m s-1], direction [degree], integrated column amount
    [kg m-1].
    """

    time: datetime
    line: str
    method: str
    rate: float | None
    random: float | None
    systematic: float | None
    speed: float | None
    speed_uncertainty: float | None
    direction: float | None
    amount: float | None
    status: int


@dataclass(frozen=True, slots=True)
class PairRow:
    """What a pair gave: ``record`` is JSON (``station.pair_json``)."""

    time: datetime
    flags: int
    record: str
    rates: tuple[Rate, ...] = ()


@dataclass(frozen=True, slots=True)
class ColumnRow:
    """What a spectrum gave: SO2 column and 1 sigma [molecules cm-2], light dilution; None is missing."""

    time: datetime
    file: str
    so2: float | None
    so2_uncertainty: float | None
    light_dilution: float | None
    status: int


@dataclass(frozen=True, slots=True)
class Day:
    """A day with results. ``stale_since`` and ``reason`` say that, and why, it should be calculated again."""

    site: str
    day: str
    revision: int
    stale_since: datetime | None
    reason: str | None
    changed: datetime


class Catalogue:
    """An open catalogue; a context manager, safe for threads. Methods raise CatalogueError where the database refuses."""

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

    # --- files ---------------------------------------------------------------------------------------------------

    def add_file(self, file: NewFile) -> tuple[ArchivedFile, bool]:
        """Enter a file. Return it, and whether it is new: one of the same origin is given back as it was entered.

        Raises CatalogueError where its name is taken by a file of another origin.
        """
        values = asdict(file) | {
            "time": to_microseconds(file.time),
            "received": to_microseconds(datetime.now(UTC)),
            "state": KEPT,
        }
        with self.database.write() as connection:
            insert = self.database.insert_ignoring(FILES).values(**values).returning(FILES.c.id)
            new = connection.execute(insert).scalar_one_or_none() is not None
            known = self._by_origin(connection, file.site, file.origin)
            if known is None:
                raise CatalogueError(
                    "the name is taken by another file", file=self.database.name, value=f"{file.folder}/{file.name}"
                )
            return known, new

    def by_origin(self, site: str, origin: str) -> ArchivedFile | None:
        """Return the file of this origin, if the archive has it."""
        with self.database.read() as connection:
            return self._by_origin(connection, site, origin)

    def by_name(self, site: str, folder: str, name: str) -> ArchivedFile | None:
        """Return the file of this folder and name, if the archive has it."""
        with self.database.read() as connection:
            where = and_(FILES.c.site == site, FILES.c.folder == folder, FILES.c.name == name)
            row = connection.execute(select(FILES).where(where)).one_or_none()
            return None if row is None else _file(row)

    def origins(self, site: str, node: str) -> set[str]:
        """Return the origins of all files of a node."""
        with self.database.read() as connection:
            where = and_(FILES.c.site == site, FILES.c.node == node)
            return set(connection.execute(select(FILES.c.origin).where(where)).scalars())

    def files_by_id(self, ids: Iterable[int]) -> dict[int, ArchivedFile]:
        """Return files by their ids; those that are not known are left out."""
        wanted = list(dict.fromkeys(ids))
        found: dict[int, ArchivedFile] = {}
        with self.database.read() as connection:
            for first in range(0, len(wanted), _CHUNK):
                rows = connection.execute(select(FILES).where(FILES.c.id.in_(wanted[first : first + _CHUNK])))
                found.update((row.id, _file(row)) for row in rows)
        return found

    def find_files(
        self,
        site: str | None = None,
        *,
        kind: str | None = None,
        subject: str | None = None,
        not_subjects: Sequence[str] = (),
        node: str | None = None,
        device: str | None = None,
        start: datetime | None = None,
        end: datetime | None = None,
        after: int | None = None,
        state: str | None = None,
        newest: bool = False,
        limit: int | None = None,
    ) -> list[ArchivedFile]:
        """Return files with ``start`` <= time < ``end``, in order of time; with ``after``, by id above it.

        ``newest`` returns the last ``limit`` of them, still in order of time.
        """
        conditions = [
            column == value
            for column, value in (
                (FILES.c.site, site),
                (FILES.c.kind, kind),
                (FILES.c.subject, subject),
                (FILES.c.node, node),
                (FILES.c.device, device),
                (FILES.c.state, state),
            )
            if value is not None
        ]
        if not_subjects:
            conditions.append(FILES.c.subject.not_in(not_subjects))
        if start is not None:
            conditions.append(FILES.c.time >= to_microseconds(start))
        if end is not None:
            conditions.append(FILES.c.time < to_microseconds(end))
        if after is not None:
            conditions.append(FILES.c.id > after)
        order = [FILES.c.id] if after is not None else [FILES.c.time, FILES.c.id]
        if newest:
            order = [column.desc() for column in order]
        with self.database.read() as connection:
            rows = connection.execute(select(FILES).where(*conditions).order_by(*order).limit(limit)).all()
        files = [_file(row) for row in rows]
        return files[::-1] if newest else files

    def set_state(self, file: int, state: str) -> None:
        """Say how a file is: kept, missing or damaged."""
        with self.database.write() as connection:
            connection.execute(update(FILES).where(FILES.c.id == file).values(state=state))

    def file_counts(self, site: str) -> dict[tuple[str, str], tuple[int, int]]:
        """Return (files, bytes) of a site by (kind, state)."""
        size = func.sum(FILES.c.size + func.coalesce(FILES.c.sidecar_size, 0))
        query = (
            select(FILES.c.kind, FILES.c.state, func.count(), size)
            .where(FILES.c.site == site)
            .group_by(FILES.c.kind, FILES.c.state)
        )
        with self.database.read() as connection:
            return {(row[0], row[1]): (int(row[2]), int(row[3])) for row in connection.execute(query)}

    # --- runs and what they were given ---------------------------------------------------------------------------

    def begin_run(
        self, site: str, day: str, kind: str, *, settings_sha256: str, software_version: str, inputs: Sequence[int]
    ) -> Run:
        """Begin a run, ``live`` or ``recalculation``; an open live run of the site is closed."""
        began = datetime.now(UTC)
        with self.database.write() as connection:
            if kind == "live":
                where = and_(RUNS.c.site == site, RUNS.c.kind == "live", RUNS.c.state == "open")
                connection.execute(update(RUNS).where(where).values(state="ended"))
            insert = RUNS.insert().values(
                site=site,
                day=day,
                kind=kind,
                state="open",
                settings_sha256=settings_sha256,
                software_version=software_version,
                inputs=json.dumps(list(inputs)),
                began=to_microseconds(began),
            )
            key = connection.execute(insert.returning(RUNS.c.id)).scalar_one()
        return Run(key, site, day, kind, "open", settings_sha256, software_version, tuple(inputs), began)

    def end_run(self, run: int, state: str = "ended") -> None:
        """End a run."""
        with self.database.write() as connection:
            connection.execute(update(RUNS).where(RUNS.c.id == run).values(state=state))

    def open_run(self, site: str) -> Run | None:
        """Return the live run of a site that is not ended."""
        where = and_(RUNS.c.site == site, RUNS.c.kind == "live", RUNS.c.state == "open")
        with self.database.read() as connection:
            row = connection.execute(select(RUNS).where(where).order_by(RUNS.c.id.desc()).limit(1)).one_or_none()
        return None if row is None else _run(row)

    def last_run(self, site: str, day: str) -> Run | None:
        """Return the newest run of a day."""
        where = and_(RUNS.c.site == site, RUNS.c.day == day)
        with self.database.read() as connection:
            row = connection.execute(select(RUNS).where(where).order_by(RUNS.c.id.desc()).limit(1)).one_or_none()
        return None if row is None else _run(row)

    def feed(self, run: int, *, file: int | None = None, until: datetime | None = None) -> int:
        """Write down what a run is given next, before it is given; return the number of the entry."""
        moment = None if until is None else to_microseconds(until)
        with self.database.write() as connection:
            insert = FEED.insert().values(run=run, file=file, until=moment).returning(FEED.c.id)
            return int(connection.execute(insert).scalar_one())

    def feed_files(self, run: int, files: Sequence[int]) -> None:
        """Write down several files at once, in their order."""
        if files:
            with self.database.write() as connection:
                connection.execute(FEED.insert(), [{"run": run, "file": file, "until": None} for file in files])

    def fed(self, run: int) -> list[Fed]:
        """Return all that a run was given, in order."""
        with self.database.read() as connection:
            rows = connection.execute(select(FEED).where(FEED.c.run == run).order_by(FEED.c.id)).all()
        return [Fed(row.id, row.file, None if row.until is None else from_microseconds(row.until)) for row in rows]

    def note_unused(self, run: int, notes: Iterable[tuple[int, str]]) -> None:
        """Write down why files of a run were not used."""
        with self.database.write() as connection:
            for file, reason in notes:
                where = and_(FEED.c.run == run, FEED.c.file == file)
                connection.execute(update(FEED).where(where).values(note=reason))

    def unused(self, run: int) -> list[tuple[int, str]]:
        """Return (file, reason) of all files that a run was given and did not use."""
        where = and_(FEED.c.run == run, FEED.c.note.is_not(None))
        with self.database.read() as connection:
            return [(row.file, row.note) for row in connection.execute(select(FEED).where(where).order_by(FEED.c.id))]

    # --- results -------------------------------------------------------------------------------------------------

    def add_pairs(self, site: str, run: int, pairs: Sequence[PairRow]) -> None:
        """Enter what pairs gave; what was there of the same times is replaced."""
        if pairs:
            with self.database.write() as connection:
                self._insert_pairs(connection, site, run, pairs)

    def replace_day(
        self, site: str, day: str, run: int, pairs: Sequence[PairRow], *, start: datetime, end: datetime
    ) -> None:
        """Replace all results of ``start`` <= time < ``end`` by ``pairs``; the day has a new revision, and is fresh."""
        first, last = to_microseconds(start), to_microseconds(end)
        with self.database.write() as connection:
            for table in (PAIRS, RATES):
                connection.execute(
                    delete(table).where(table.c.site == site, table.c.time >= first, table.c.time < last)
                )
            self._insert_pairs(connection, site, run, pairs)
            changed = to_microseconds(datetime.now(UTC))
            values = {"stale_since": None, "reason": None, "changed": changed}
            self._touch_day(connection, site, day)
            where = and_(DAYS.c.site == site, DAYS.c.day == day)
            connection.execute(update(DAYS).where(where).values(revision=DAYS.c.revision + 1, **values))

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
        order = [RATES.c.time, RATES.c.line, RATES.c.method]
        if newest:
            order = [column.desc() for column in order]
        with self.database.read() as connection:
            rows = connection.execute(select(RATES).where(*conditions).order_by(*order).limit(limit)).all()
        found = [_rate(row) for row in rows]
        return found[::-1] if newest else found

    def latest_rates(self, site: str, *, valid: bool = False) -> list[Rate]:
        """Return all rates of the newest pair; with ``valid`` the newest valid one of every line and method."""
        with self.database.read() as connection:
            newest = func.max(RATES.c.time).label("time")
            if not valid:
                time = connection.execute(select(newest).where(RATES.c.site == site)).scalar_one_or_none()
                where = and_(RATES.c.site == site, RATES.c.time == time)
                rows = connection.execute(select(RATES).where(where).order_by(RATES.c.line, RATES.c.method)).all()
                return [_rate(row) for row in rows]
            last = (
                select(RATES.c.line, RATES.c.method, newest)
                .where(RATES.c.site == site, RATES.c.status == 0)
                .group_by(RATES.c.line, RATES.c.method)
                .subquery()
            )
            same = and_(
                RATES.c.line == last.c.line, RATES.c.method == last.c.method, RATES.c.time == last.c.time
            )
            query = select(RATES).join(last, same).where(RATES.c.site == site).order_by(RATES.c.line, RATES.c.method)
            return [_rate(row) for row in connection.execute(query)]

    def add_columns(self, site: str, columns: Sequence[ColumnRow]) -> None:
        """Enter what spectra gave; what was there of the same file and time is replaced."""
        rows = [{"site": site, **asdict(row), "time": to_microseconds(row.time)} for row in columns]
        if rows:
            with self.database.write() as connection:
                for first in range(0, len(rows), _CHUNK):
                    connection.execute(self.database.upsert(COLUMNS, rows[first : first + _CHUNK]))

    def columns(self, site: str, *, start: datetime, end: datetime, limit: int | None = None) -> list[ColumnRow]:
        """Return what spectra of ``start`` <= time < ``end`` gave, in order of time."""
        time = COLUMNS.c.time
        where = and_(COLUMNS.c.site == site, time >= to_microseconds(start), time < to_microseconds(end))
        with self.database.read() as connection:
            rows = connection.execute(select(COLUMNS).where(where).order_by(time, COLUMNS.c.file).limit(limit)).all()
        return [
            ColumnRow(
                from_microseconds(row.time), row.file, row.so2, row.so2_uncertainty, row.light_dilution, row.status
            )
            for row in rows
        ]

    # --- days ----------------------------------------------------------------------------------------------------

    def mark_stale(self, site: str, day: str, reason: str) -> None:
        """Say that a day should be calculated again, counted from now."""
        now = to_microseconds(datetime.now(UTC))
        with self.database.write() as connection:
            self._touch_day(connection, site, day)
            where = and_(DAYS.c.site == site, DAYS.c.day == day)
            connection.execute(update(DAYS).where(where).values(stale_since=now, reason=reason))

    def mark_fresh(self, site: str, day: str) -> None:
        """Say that a day need not be calculated again."""
        with self.database.write() as connection:
            where = and_(DAYS.c.site == site, DAYS.c.day == day)
            connection.execute(update(DAYS).where(where).values(stale_since=None, reason=None))

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
            )
            for row in rows
        ]

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

    # --- within a transaction ------------------------------------------------------------------------------------

    def _by_origin(self, connection: Connection, site: str, origin: str) -> ArchivedFile | None:
        row = connection.execute(
            select(FILES).where(FILES.c.site == site, FILES.c.origin == origin)
        ).one_or_none()
        return None if row is None else _file(row)

    def _insert_pairs(self, connection: Connection, site: str, run: int, pairs: Sequence[PairRow]) -> None:
        rows = [
            {"site": site, "time": to_microseconds(p.time), "run": run, "flags": p.flags, "record": p.record}
            for p in pairs
        ]
        rates = [
            {"site": site, **asdict(rate), "time": to_microseconds(rate.time)} for pair in pairs for rate in pair.rates
        ]
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


def _file(row: Any) -> ArchivedFile:
    values = dict(row._mapping)
    return ArchivedFile(
        **values | {"time": from_microseconds(values["time"]), "received": from_microseconds(values["received"])}
    )


def _run(row: Any) -> Run:
    values = dict(row._mapping)
    return Run(**values | {"inputs": tuple(json.loads(values["inputs"])), "began": from_microseconds(values["began"])})


def _rate(row: Any) -> Rate:
    values = dict(row._mapping)
    del values["site"]
    return Rate(**values | {"time": from_microseconds(values["time"])})
