"""The part of the catalogue that knows the runs of processing, and what each was given."""

import json
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import and_, func, select, update

from so2cam.station.catalogue_records import Fed, Run
from so2cam.station.catalogue_schema import FEED, PAIRS, RUNS
from so2cam.station.database import Database
from so2cam.store.items import from_microseconds, to_microseconds


class RunTable:
    """Runs. Methods raise CatalogueError where the database refuses."""

    database: Database

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

    def last_fed(self, site: str) -> int:
        """Return the highest id of a file that a live run of the site was given; 0 where there is none."""
        query = select(func.max(FEED.c.file)).join(RUNS, RUNS.c.id == FEED.c.run)
        with self.database.read() as connection:
            found = connection.execute(query.where(RUNS.c.site == site, RUNS.c.kind == "live")).scalar_one_or_none()
        return int(found or 0)

    def last_live_day(self, site: str) -> str | None:
        """Return the newest day that a live run of the site was over."""
        with self.database.read() as connection:
            query = select(func.max(RUNS.c.day)).where(RUNS.c.site == site, RUNS.c.kind == "live")
            return connection.execute(query).scalar_one_or_none()

    def last_run(self, site: str, day: str) -> Run | None:
        """Return the newest run of a day."""
        where = and_(RUNS.c.site == site, RUNS.c.day == day)
        with self.database.read() as connection:
            row = connection.execute(select(RUNS).where(where).order_by(RUNS.c.id.desc()).limit(1)).one_or_none()
        return None if row is None else _run(row)

    def last_result_run(self, site: str, day: str) -> Run | None:
        """Return the newest run that results of a day can be from: not one that failed, was stopped or is under way.

        A live run's results are there while it is under way.
        """
        unfinished = and_(RUNS.c.kind == "recalculation", RUNS.c.state == "open")
        where = and_(RUNS.c.site == site, RUNS.c.day == day, RUNS.c.state.not_in(("failed", "stopped")), ~unfinished)
        with self.database.read() as connection:
            row = connection.execute(select(RUNS).where(where).order_by(RUNS.c.id.desc()).limit(1)).one_or_none()
        return None if row is None else _run(row)

    def result_runs(self, site: str, *, start: datetime, end: datetime) -> list[Run]:
        """Return the runs that pairs of ``start`` <= time < ``end`` are from, the oldest first."""
        window = and_(PAIRS.c.site == site, PAIRS.c.time >= to_microseconds(start), PAIRS.c.time < to_microseconds(end))
        made = select(PAIRS.c.run).where(window).distinct()
        with self.database.read() as connection:
            return [
                _run(row) for row in connection.execute(select(RUNS).where(RUNS.c.id.in_(made)).order_by(RUNS.c.id))
            ]

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


def _run(row: Any) -> Run:
    values = dict(row._mapping)
    return Run(**values | {"inputs": tuple(json.loads(values["inputs"])), "began": from_microseconds(values["began"])})
