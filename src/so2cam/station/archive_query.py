"""Questions to the archive: what is looked for, as conditions of SQL on the catalogue.

A plume frame has the quality of its pair. Filters take it to be the pair nearest to it in time, within the pairing
tolerance; what is shown of a frame is that of the pair that names it (``archive_view``). A spectrum has that of its
column. Whoever asks for quality is shown nothing that has none: no darks, no frames without a pair.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import ColumnElement, and_, case, exists, false, func, or_, select

from so2cam.station.arrivals import FRAME, SPECTRUM
from so2cam.station.catalogue_records import TOTAL
from so2cam.station.catalogue_schema import COLUMNS, FILES, PAIRS, RATES
from so2cam.station.references import PLUME
from so2cam.store.items import to_microseconds

DAY_US: Final = 86_400_000_000
Condition = ColumnElement[bool]
GoodDays = Mapping[str, Sequence[int]]
"""Days since 1970, by site."""
FILE_BYTES: Final = FILES.c.size + func.coalesce(FILES.c.sidecar_size, 0)
_FOUND: Final = (FILES.c.id, FILES.c.time, FILE_BYTES.label("bytes"))


@dataclass(frozen=True, slots=True)
class ArchiveQuery:
    """What is looked for, of ``start`` <= time < ``end`` (all time for None); empty tuples leave nothing out.

    ``valid``: a valid emission rate of ``line`` by ``method`` (any for None); for spectra a valid column.
    ``with_flags``, ``without_flags``: bits of ``core.status.QualityFlag``, at least one and none of which a pair has.
    ``least_share``: of the day's pairs, how many are good at least: valid, without ``without_flags``.
    ``tolerance_s``: how far a frame is from its pair at most.
    """

    sites: tuple[str, ...]
    start: datetime | None = None
    end: datetime | None = None
    kinds: tuple[str, ...] = ()
    subjects: tuple[str, ...] = ()
    states: tuple[str, ...] = ()
    line: str = TOTAL
    method: str | None = None
    valid: bool = False
    with_flags: int = 0
    without_flags: int = 0
    least_share: float = 0.0
    tolerance_s: float = 2.0

    @property
    def asks_quality(self) -> bool:
        """Whether files without any quality are left out."""
        return self.valid or self.with_flags != 0 or self.without_flags != 0

    @property
    def asks_results(self) -> bool:
        """Whether times without any results are left out."""
        return self.asks_quality or self.least_share > 0


def found_files(query: ArchiveQuery, days: GoodDays | None = None) -> Any:
    """Return what the query finds as a table: ``id``, ``time`` and ``bytes`` of files. ``days``: of these alone.

    Where quality is asked for, pairs that pass are gone through, not files: each owns the frames between the middles of
    the way to its neighbours.
    """
    listed = _file_conditions(query)
    if days is not None:
        listed.append(_on_days(days, FILES))
    if not query.asks_quality:
        return select(*_FOUND).where(*listed).cte("found")
    own = _owning_pairs(query)
    plume = (FILES.c.kind == FRAME, FILES.c.subject == PLUME)
    owned = and_(FILES.c.site == own.c.site, FILES.c.time >= own.c.first, FILES.c.time <= own.c.last)
    frames = select(*_FOUND).select_from(own).join(FILES, owned).where(*plume, *listed, *_passes(query, own))
    if query.with_flags or query.without_flags:  # spectra have no flags
        return frames.cte("found")
    column = select(1).where(
        COLUMNS.c.site == FILES.c.site,
        COLUMNS.c.time == FILES.c.time,
        COLUMNS.c.file == FILES.c.name,
        COLUMNS.c.status == 0,
    )
    spectra = select(*_FOUND).where(*listed, FILES.c.kind == SPECTRUM, exists(column.correlate(FILES)))
    return frames.union_all(spectra).cte("found")


def _file_conditions(query: ArchiveQuery) -> list[Condition]:
    found = [FILES.c.site.in_(query.sites), *between(FILES.c.time, query.start, query.end)]
    for column, wanted in (
        (FILES.c.kind, query.kinds),
        (FILES.c.subject, query.subjects),
        (FILES.c.state, query.states),
    ):
        if wanted:
            found.append(column.in_(wanted))
    return found


def _owning_pairs(query: ArchiveQuery) -> Any:
    """Return pairs with the first and the last moment at which a frame is theirs; of two equally near, the earlier."""
    reach = round(query.tolerance_s * 1e6)
    around = timedelta(microseconds=3 * reach)  # whose neighbours matter
    span = between(
        PAIRS.c.time,
        None if query.start is None else query.start - around,
        None if query.end is None else query.end + around,
    )
    order: dict[str, Any] = {"partition_by": PAIRS.c.site, "order_by": PAIRS.c.time}
    beside = (
        select(
            PAIRS.c.site,
            PAIRS.c.time,
            PAIRS.c.flags,
            func.lag(PAIRS.c.time).over(**order).label("before"),
            func.lead(PAIRS.c.time).over(**order).label("after"),
        )
        .where(PAIRS.c.site.in_(query.sites), *span)
        .subquery("beside")
    )
    time, before, after = beside.c.time, beside.c.before, beside.c.after
    return select(
        beside.c.site,
        time,
        beside.c.flags,
        case((before + time > 2 * (time - reach), (before + time) // 2 + 1), else_=time - reach).label("first"),
        case((after + time < 2 * (time + reach), (after + time) // 2), else_=time + reach).label("last"),
    ).subquery("own")


def pair_conditions(query: ArchiveQuery, days: GoodDays | None = None) -> list[Condition]:
    """Return the conditions on a row of pairs: time and quality, whatever files there are."""
    found = [PAIRS.c.site.in_(query.sites), *between(PAIRS.c.time, query.start, query.end), *_passes(query, PAIRS)]
    if days is not None:
        found.append(_on_days(days, PAIRS))
    return found


def good_days(query: ArchiveQuery) -> Any:
    """Return the select of (site, number of the day) of days with enough good pairs, whole ones."""
    day = PAIRS.c.time // DAY_US
    good = func.sum(case((good_pair(query), 1), else_=0))
    where = [PAIRS.c.site.in_(query.sites), *between(PAIRS.c.time, *_whole_days(query))]
    found = select(PAIRS.c.site, day).where(*where).group_by(PAIRS.c.site, day)
    return found.having(good >= query.least_share * func.count())


def good_pair(query: ArchiveQuery) -> Condition:
    """Return whether a pair is good: it has a valid rate, and none of the flags that are not wanted."""
    return and_(_has_rate(query, PAIRS), PAIRS.c.flags.bitwise_and(query.without_flags) == 0)


def _has_rate(query: ArchiveQuery, pairs: Any) -> Condition:
    """Return whether a pair has a valid rate of the line by the method."""
    wanted = [
        RATES.c.site == pairs.c.site,
        RATES.c.line == query.line,
        RATES.c.status == 0,
        RATES.c.time == pairs.c.time,
    ]
    if query.method is not None:
        wanted.append(RATES.c.method == query.method)
    return exists(select(1).where(*wanted).correlate(pairs))


def pairs_beside(files: Any, tolerance_s: float) -> tuple[ColumnElement[Any], ColumnElement[Any]]:
    """Return the times of the pairs before (or at) and after a plume frame, as near as it may be to its own.

    NULL where there is none, and for other files.
    """
    reach, time = round(tolerance_s * 1e6), files.c.time
    before, after = PAIRS.alias("pair_before"), PAIRS.alias("pair_after")
    plume = and_(files.c.kind == FRAME, files.c.subject == PLUME)
    earlier = select(func.max(before.c.time)).where(
        before.c.site == files.c.site, before.c.time <= time, before.c.time >= time - reach
    )
    later = select(func.min(after.c.time)).where(
        after.c.site == files.c.site, after.c.time > time, after.c.time <= time + reach
    )
    first, second = earlier.correlate(files).scalar_subquery(), later.correlate(files).scalar_subquery()
    return case((plume, first)), case((plume, second))


def between(time: Any, start: datetime | None, end: datetime | None) -> list[Condition]:
    """Return the conditions of a span of time."""
    found: list[Condition] = []
    if start is not None:
        found.append(time >= to_microseconds(start))
    if end is not None:
        found.append(time < to_microseconds(end))
    return found


def _passes(query: ArchiveQuery, pairs: Any) -> list[Condition]:
    found: list[Condition] = []
    if query.with_flags:
        found.append(pairs.c.flags.bitwise_and(query.with_flags) != 0)
    if query.without_flags:
        found.append(pairs.c.flags.bitwise_and(query.without_flags) == 0)
    if query.valid:
        found.append(_has_rate(query, pairs))
    return found


def _on_days(days: GoodDays, table: Any) -> Condition:
    return or_(
        false(), *(and_(table.c.site == site, (table.c.time // DAY_US).in_(numbers)) for site, numbers in days.items())
    )


def _whole_days(query: ArchiveQuery) -> tuple[datetime | None, datetime | None]:
    """Return the span of the query from midnight to midnight: the share is that of whole days."""
    start = None if query.start is None else query.start.replace(hour=0, minute=0, second=0, microsecond=0)
    if query.end is None:
        return start, None
    last = query.end.replace(hour=0, minute=0, second=0, microsecond=0)
    return start, last if last == query.end else last + timedelta(days=1)
