"""What is in the archive, for those who look for something: days, totals, pages of files, and films of pairs."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final

from sqlalchemy import and_, case, func, select, true

from so2cam.station.archive_query import (
    DAY_US,
    FILE_BYTES,
    ArchiveQuery,
    GoodDays,
    between,
    found_files,
    good_days,
    good_pair,
    pairs_beside,
)
from so2cam.station.archive_query import pair_conditions as conditions_of_pairs
from so2cam.station.arrivals import FRAME, SPECTRUM
from so2cam.station.catalogue import ArchivedFile, Catalogue, ColumnRow, Rate
from so2cam.station.catalogue_results import column_of, rate_of
from so2cam.station.catalogue_schema import COLUMNS, FILES, PAIRS, RATES
from so2cam.station.references import PLUME
from so2cam.store.items import from_microseconds, to_microseconds

_Key = tuple[str, int]
"""Site and time [microseconds since 1970] of a pair."""
_CHUNK: Final = 500
_MOTION: Final = ("speed", "speed_uncertainty", "direction", "amount")


@dataclass(frozen=True, slots=True)
class DayContent:
    """What a day (UTC) has: files, their bytes, pairs with results, and how many of those are good."""

    day: date
    frames: int = 0
    spectra: int = 0
    bytes: int = 0
    pairs: int = 0
    good: int = 0

    @property
    def share(self) -> float | None:
        """Share of good pairs; None without pairs."""
        return self.good / self.pairs if self.pairs else None


@dataclass(frozen=True, slots=True)
class Totals:
    """How much was found. ``first`` and ``last``: times of the files; ``pairs``: those that pass, ``good`` of them."""

    files: int
    bytes: int
    first: datetime | None
    last: datetime | None
    pairs: int
    good: int


@dataclass(frozen=True, slots=True)
class FoundFile:
    """A file that was found, with its quality: that of its pair (``pair`` is its time), or of its column.

    A frame's pair is one that was made of it; where pairs do not tell their frames, the nearest.
    """

    file: ArchivedFile
    pair: datetime | None = None
    flags: int = 0
    rate: Rate | None = None
    column: ColumnRow | None = None


@dataclass(frozen=True, slots=True)
class FilmStep:
    """A pair of a film; ``rate`` is None where it has no result of the line and method that were asked for."""

    time: datetime
    flags: int
    rate: Rate | None


@dataclass(frozen=True, slots=True)
class PlumeFiles:
    """How many plume frames and spectra a span has, the newest one's id, and their last time: others, other values."""

    count: int
    newest_id: int
    last: datetime


@dataclass(frozen=True, slots=True)
class Film:
    """The pairs of a span, in order of time; every ``every``-th of ``pairs`` where they are too many.

    Without any results ``processed`` is False, and the steps are the plume frames of one camera.
    """

    steps: tuple[FilmStep, ...]
    pairs: int
    every: int
    processed: bool


@dataclass(frozen=True, slots=True)
class _Pair:
    """The flags of a pair, and the names of its frames; none where it does not tell them."""

    flags: int
    frames: frozenset[str]


class ArchiveView:
    """Questions to a catalogue. Safe for threads; CatalogueError where the database refuses."""

    def __init__(self, catalogue: Catalogue) -> None:
        self._database = catalogue.database
        self._catalogue = catalogue

    def days(self, query: ArchiveQuery) -> list[DayContent]:
        """Return what each day has that has something, in order. Of the query only sites, time, line, method and
        ``without_flags`` count: a calendar shows what could be found.
        """
        found: dict[int, dict[str, int]] = {}
        day = FILES.c.time // DAY_US
        where = [FILES.c.site.in_(query.sites), *between(FILES.c.time, query.start, query.end)]
        files = select(day, FILES.c.kind, func.count(), func.sum(FILE_BYTES)).where(*where).group_by(day, FILES.c.kind)
        of_pair = PAIRS.c.time // DAY_US
        good = func.sum(case((good_pair(query), 1), else_=0))
        where = [PAIRS.c.site.in_(query.sites), *between(PAIRS.c.time, query.start, query.end)]
        pairs = select(of_pair, func.count(), good).where(*where).group_by(of_pair)
        with self._database.read() as connection:
            for number, kind, count, size in connection.execute(files):
                one = found.setdefault(int(number), {})
                name = "frames" if kind == FRAME else "spectra" if kind == SPECTRUM else ""
                if name:
                    one[name] = one.get(name, 0) + int(count)
                one["bytes"] = one.get("bytes", 0) + int(size)
            for number, count, valid in connection.execute(pairs):
                found.setdefault(int(number), {}).update(pairs=int(count), good=int(valid))
        return [DayContent(date(1970, 1, 1) + timedelta(days=number), **found[number]) for number in sorted(found)]

    def look(self, query: ArchiveQuery, *, offset: int = 0, limit: int = 100) -> tuple[Totals, list[FoundFile]]:
        """Return how much the query finds, and ``limit`` of it, newest first, with the quality of each."""
        days = self._good_days(query)
        found = found_files(query, days)
        all_of = select(func.count(), func.sum(found.c.bytes), func.min(found.c.time), func.max(found.c.time))
        page = select(found.c.id).order_by(found.c.time.desc(), found.c.id.desc()).limit(limit).offset(offset)
        with self._database.read() as connection:
            if query.asks_quality:  # both at once: what is found is worked out once
                whole, some = all_of.subquery(), page.subquery()
                rows = connection.execute(select(whole, some).select_from(whole.outerjoin(some, true()))).all()
                (count, size, first, last), ids = rows[0][:4], [row[4] for row in rows if row[4] is not None]
            else:
                count, size, first, last = connection.execute(all_of).one()
                ids = list(connection.execute(page).scalars())
            of_pairs, good = connection.execute(_counted(query, days)).one()
        totals = Totals(int(count), int(size or 0), _time(first), _time(last), int(of_pairs), int(good or 0))
        shown = self.found(ids, query)
        return totals, sorted(shown, key=lambda one: (one.file.time, one.file.id), reverse=True)

    def ids(self, query: ArchiveQuery, limit: int) -> list[int]:
        """Return the ids of at most ``limit`` files that the query finds, oldest first."""
        found = found_files(query, self._good_days(query))
        wanted = select(found.c.id).order_by(found.c.time, found.c.id).limit(limit)
        with self._database.read() as connection:
            return [int(found) for found in connection.execute(wanted).scalars()]

    def found(self, ids: Sequence[int], query: ArchiveQuery) -> list[FoundFile]:
        """Return files by their ids, in that order, with their quality; those that are not known are left out."""
        files = self._catalogue.files_by_id(ids)
        beside: dict[int, list[int]] = {}
        with self._database.read() as connection:
            for first in range(0, len(ids), _CHUNK):
                wanted = FILES.c.id.in_(ids[first : first + _CHUNK])
                asked = select(FILES.c.id, *pairs_beside(FILES, query.tolerance_s)).where(wanted)
                for one, *times in connection.execute(asked):
                    beside[one] = [int(time) for time in times if time is not None]
        pairs, rates = self._of_pairs(query, sorted({time for times in beside.values() for time in times}))
        spectra = [files[one].time for one in ids if one in files and files[one].kind == SPECTRUM]
        columns = self._columns(query, spectra)
        made = []
        for one in ids:
            if one not in files:
                continue
            file = files[one]
            key = _own_pair(file, beside.get(one, ()), pairs)
            if key is not None:
                made.append(FoundFile(file, from_microseconds(key[1]), pairs[key].flags, rates.get(key)))
            else:
                made.append(FoundFile(file, column=columns.get((file.site, file.name))))
        return made

    def film(
        self,
        query: ArchiveQuery,
        *,
        line: str,
        method: str,
        motion_of: str | None = None,
        device: str | None = None,
        most: int = 4000,
    ) -> Film:
        """Return the pairs of one site that the query finds, with the rates of ``line`` by ``method``.

        A total has no speed, direction and amount: with ``motion_of`` it is given those of that line. Where the span
        has no results at all, the plume frames of ``device``, if that is given.
        """
        passing = conditions_of_pairs(query, self._good_days(query))
        numbered = select(
            PAIRS.c.time,
            PAIRS.c.flags,
            (func.row_number().over(order_by=PAIRS.c.time) - 1).label("number"),
        ).where(*passing)
        with self._database.read() as connection:
            counted = select(func.count()).select_from(PAIRS).where(*passing)
            pairs = int(connection.execute(counted).scalar_one())
            every = max(1, -(-pairs // most))
            chosen = numbered.subquery()
            moving = RATES.alias("moving")
            same, beside = (
                and_(
                    table.c.site == query.sites[0],
                    table.c.time == chosen.c.time,
                    table.c.line == name,
                    table.c.method == method,
                )
                for table, name in ((RATES, line), (moving, motion_of or line))
            )
            own = [column for column in RATES.c if column.name not in _MOTION]
            motion = [moving.c[name] for name in _MOTION]
            asked = select(chosen.c.time.label("moment"), chosen.c.flags, *own, *motion).select_from(
                chosen.outerjoin(RATES, same).outerjoin(moving, beside)
            )
            rows = connection.execute(asked.where(chosen.c.number % every == 0).order_by(chosen.c.time)).all()
        if rows or device is None or query.asks_results:
            steps = tuple(
                FilmStep(from_microseconds(row.moment), row.flags, None if row.line is None else rate_of(row))
                for row in rows
            )
            return Film(steps, pairs, every, True)
        return self._frames(query, device, most)

    def devices(self, query: ArchiveQuery) -> list[str]:
        """Return the devices that took plume frames of a span."""
        plume = [FILES.c.kind == FRAME, FILES.c.subject == PLUME, FILES.c.site.in_(query.sites)]
        asked = select(FILES.c.device).where(*plume, *between(FILES.c.time, query.start, query.end)).distinct()
        with self._database.read() as connection:
            return sorted(connection.execute(asked).scalars())

    def plume_files(self, site: str, start: datetime, end: datetime) -> PlumeFiles | None:
        """Return what plume frames and spectra there are of ``start`` <= time < ``end``; None where there are none."""
        where = [FILES.c.site == site, FILES.c.kind.in_((FRAME, SPECTRUM)), FILES.c.subject == PLUME]
        asked = select(func.count(), func.max(FILES.c.id), func.max(FILES.c.time))
        with self._database.read() as connection:
            count, newest, last = connection.execute(asked.where(*where, *between(FILES.c.time, start, end))).one()
        return PlumeFiles(int(count), int(newest), from_microseconds(int(last))) if count else None

    def record_of(self, site: str, time: datetime) -> dict[str, Any] | None:
        """Return what the pair of this very time gave (``station.pair_json``)."""
        asked = select(PAIRS.c.record).where(PAIRS.c.site == site, PAIRS.c.time == to_microseconds(time))
        with self._database.read() as connection:
            record = connection.execute(asked).scalar_one_or_none()
        return None if record is None else dict(json.loads(record))

    def last_time(self, sites: Sequence[str]) -> datetime | None:
        """Return the time of the newest file."""
        newest = [select(func.max(FILES.c.time)).where(FILES.c.site == site) for site in sites]
        with self._database.read() as connection:
            found = [connection.execute(one).scalar_one_or_none() for one in newest]
        return max((from_microseconds(one) for one in found if one is not None), default=None)

    def _good_days(self, query: ArchiveQuery) -> GoodDays | None:
        if query.least_share <= 0:
            return None
        found: dict[str, list[int]] = {}
        with self._database.read() as connection:
            for site, day in connection.execute(good_days(query)):
                found.setdefault(site, []).append(int(day))
        return found

    def _frames(self, query: ArchiveQuery, device: str, most: int) -> Film:
        where = [
            *(FILES.c.site.in_(query.sites), FILES.c.kind == FRAME, FILES.c.subject == PLUME),
            *(FILES.c.device == device, *between(FILES.c.time, query.start, query.end)),
        ]
        asked = select(FILES.c.time).where(*where).order_by(FILES.c.time)
        with self._database.read() as connection:
            times = list(connection.execute(asked).scalars())
        every = max(1, -(-len(times) // most))
        steps = tuple(FilmStep(from_microseconds(time), 0, None) for time in times[::every])
        return Film(steps, len(times), every, False)

    def _of_pairs(self, query: ArchiveQuery, times: Sequence[int]) -> tuple[dict[_Key, _Pair], dict[_Key, Rate]]:
        pairs: dict[_Key, _Pair] = {}
        rates: dict[_Key, Rate] = {}
        with self._database.read() as connection:
            for first in range(0, len(times), _CHUNK):
                part = times[first : first + _CHUNK]
                asked = select(PAIRS.c.site, PAIRS.c.time, PAIRS.c.flags, PAIRS.c.record).where(
                    PAIRS.c.site.in_(query.sites), PAIRS.c.time.in_(part)
                )
                for row in connection.execute(asked):
                    frames = json.loads(row.record).get("frames", ())
                    pairs[row.site, row.time] = _Pair(row.flags, frozenset(frames))
                wanted = [RATES.c.site.in_(query.sites), RATES.c.time.in_(part), RATES.c.line == query.line]
                if query.method is not None:
                    wanted.append(RATES.c.method == query.method)
                order = [RATES.c.site, RATES.c.time, RATES.c.status.desc()]  # a valid one is taken last, and stays
                for row in connection.execute(select(RATES).where(*wanted).order_by(*order)):
                    rates[(row.site, row.time)] = rate_of(row)
        return pairs, rates

    def _columns(self, query: ArchiveQuery, times: Sequence[datetime]) -> dict[tuple[str, str], ColumnRow]:
        moments = sorted({to_microseconds(time) for time in times})
        made: dict[tuple[str, str], ColumnRow] = {}
        with self._database.read() as connection:
            for first in range(0, len(moments), _CHUNK):
                wanted = COLUMNS.c.time.in_(moments[first : first + _CHUNK])
                for row in connection.execute(select(COLUMNS).where(COLUMNS.c.site.in_(query.sites), wanted)):
                    made[(row.site, row.file)] = column_of(row)
        return made


def _own_pair(file: ArchivedFile, times: Sequence[int], pairs: Mapping[_Key, _Pair]) -> _Key | None:
    """Return the pair beside a frame, of those at ``times``, that it belongs to: of several the nearest."""
    at = to_microseconds(file.time)
    for time in sorted(times, key=lambda one: (abs(one - at), one)):
        pair = pairs.get((file.site, time))
        if pair is not None and (not pair.frames or file.name in pair.frames):
            return file.site, time
    return None


def _counted(query: ArchiveQuery, days: GoodDays | None) -> Any:
    good = func.count() if query.valid else func.sum(case((good_pair(query), 1), else_=0))
    return select(func.count(), good).select_from(PAIRS).where(*conditions_of_pairs(query, days))


def _time(microseconds: int | None) -> datetime | None:
    return None if microseconds is None else from_microseconds(int(microseconds)).astimezone(UTC)
