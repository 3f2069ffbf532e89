"""The part of the catalogue that knows the files of the archives."""

from collections.abc import Iterable, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any, Final

from sqlalchemy import Connection, and_, func, select, update

from so2cam.station.catalogue_records import KEPT, ArchivedFile, NewFile
from so2cam.station.catalogue_schema import FILES
from so2cam.station.database import CatalogueError, Database
from so2cam.store.items import from_microseconds, to_microseconds

_CHUNK: Final = 500
_DAY_US: Final = 86_400_000_000


class FileTable:
    """Files. Methods raise CatalogueError where the database refuses."""

    database: Database

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
        order: list[Any] = [FILES.c.id] if after is not None else [FILES.c.time, FILES.c.id]
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

    def set_sidecar(self, file: int, name: str, size: int, sha256: str) -> None:
        """Say that a file has a sidecar, which came later."""
        values = {"sidecar": name, "sidecar_size": size, "sidecar_sha256": sha256}
        with self.database.write() as connection:
            connection.execute(update(FILES).where(FILES.c.id == file).values(**values))

    def newest_id(self, site: str, *, not_subjects: Sequence[str] = ()) -> int:
        """Return the highest id of a file of a site that shows none of ``not_subjects``; 0 where there is none."""
        where = and_(FILES.c.site == site, FILES.c.subject.not_in(not_subjects))
        query = select(FILES.c.id).where(where).order_by(FILES.c.id.desc()).limit(1)
        with self.database.read() as connection:
            found = connection.execute(query).scalar_one_or_none()
        return int(found or 0)

    def days_with(self, site: str, kind: str, subject: str, *, start: datetime, end: datetime) -> list[str]:
        """Return the days (UTC) of ``start`` <= time < ``end`` that have such files, in order."""
        day = FILES.c.time // _DAY_US
        where = and_(
            FILES.c.site == site,
            FILES.c.kind == kind,
            FILES.c.subject == subject,
            FILES.c.time >= to_microseconds(start),
            FILES.c.time < to_microseconds(end),
        )
        with self.database.read() as connection:
            numbers = connection.execute(select(day).where(where).distinct()).scalars()
            return sorted(f"{from_microseconds(int(n) * _DAY_US):%Y-%m-%d}" for n in numbers)

    def days_of(self, site: str, kinds: Sequence[str]) -> list[str]:
        """Return the days (UTC) that have files of these kinds, in order."""
        days: list[str] = []
        end: int | None = None
        with self.database.read() as connection:
            while True:  # from day to day by the index: an archive has far more files than days
                where = [FILES.c.site == site, FILES.c.kind.in_(kinds), *(() if end is None else (FILES.c.time < end,))]
                newest = select(FILES.c.time).where(*where).order_by(FILES.c.time.desc()).limit(1)
                found = connection.execute(newest).scalar_one_or_none()
                if found is None:
                    return days[::-1]
                end = int(found) // _DAY_US * _DAY_US
                days.append(f"{from_microseconds(end):%Y-%m-%d}")

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

    def subject_counts(self, site: str, *, start: datetime) -> dict[tuple[str, str, str], int]:
        """Return how many files of a site there are since ``start``, by (kind, subject, device)."""
        columns = (FILES.c.kind, FILES.c.subject, FILES.c.device)
        where = and_(FILES.c.site == site, FILES.c.time >= to_microseconds(start), FILES.c.state == KEPT)
        query = select(*columns, func.count()).where(where).group_by(*columns)
        with self.database.read() as connection:
            return {(row[0], row[1], row[2]): int(row[3]) for row in connection.execute(query)}

    def _by_origin(self, connection: Connection, site: str, origin: str) -> ArchivedFile | None:
        row = connection.execute(select(FILES).where(FILES.c.site == site, FILES.c.origin == origin)).one_or_none()
        return None if row is None else _file(row)


def _file(row: Any) -> ArchivedFile:
    values = dict(row._mapping)
    return ArchivedFile(
        **values | {"time": from_microseconds(values["time"]), "received": from_microseconds(values["received"])}
    )
