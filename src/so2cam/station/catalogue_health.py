"""Questions to the catalogue about how things go: health thinned out, how late files arrive, how fast an archive grows.

None of them reads more than it answers with: a week at a record every ten seconds is thinned by the database, and the
files of a day are found by their numbers, which rise as they arrive.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import and_, func, select

from so2cam.station.catalogue import Catalogue
from so2cam.station.catalogue_schema import FILES, HEALTH
from so2cam.store.items import from_microseconds, to_microseconds

_SECOND: Final = 1_000_000
_MOST_DELAYS: Final = 500
_PLUME: Final = "plume"


@dataclass(frozen=True, slots=True)
class Growth:
    """What came into an archive within ``seconds``: the time from the first to the last of those files."""

    files: int
    bytes: int
    seconds: float

    @property
    def bytes_per_day(self) -> float | None:
        """The rate; None where too little time is known to say."""
        return None if self.seconds < _LEAST_S or self.bytes == 0 else self.bytes / self.seconds * 86_400


_LEAST_S: Final = 60.0


def thinned_health(
    catalogue: Catalogue, site: str, node: str, *, start: datetime, end: datetime, every_s: float
) -> list[tuple[datetime, str]]:
    """Return (time, record) of a node with ``start`` <= time < ``end``, in order: the last of each ``every_s``.

    Raises CatalogueError where the database refuses.
    """
    time = HEALTH.c.time
    same = and_(
        HEALTH.c.site == site, HEALTH.c.node == node, time >= to_microseconds(start), time < to_microseconds(end)
    )
    kept = select(func.max(time).label("time")).where(same).group_by(time // max(1, round(every_s * _SECOND)))
    query = select(time, HEALTH.c.record).where(same, time.in_(kept)).order_by(time)
    with catalogue.database.read() as connection:
        return [(from_microseconds(row.time), row.record) for row in connection.execute(query)]


def health_nodes(catalogue: Catalogue, site: str) -> list[str]:
    """Return the names of the nodes that ever told of their health. Raises CatalogueError."""
    query = select(HEALTH.c.node).where(HEALTH.c.site == site).distinct().order_by(HEALTH.c.node)
    with catalogue.database.read() as connection:
        return list(connection.execute(query).scalars())


def arrival_delays(
    catalogue: Catalogue, site: str, node: str, *, start: datetime, end: datetime, every_s: float
) -> list[tuple[datetime, float]]:
    """Return (time, seconds from the exposure to the archive) of a node's frames of the plume: one of each ``every_s``.

    At most 500 are looked up, each by the index. Raises CatalogueError where the database refuses.
    """
    found: list[tuple[datetime, float]] = []
    base = (FILES.c.site == site, FILES.c.kind == "frame", FILES.c.subject == _PLUME)
    query = select(FILES.c.time, FILES.c.received).where(*base, FILES.c.node == node)
    at, last, step = to_microseconds(start), to_microseconds(end), max(1, round(every_s * _SECOND))
    with catalogue.database.read() as connection:
        while at < last and len(found) < _MOST_DELAYS:
            where = (FILES.c.time >= at, FILES.c.time < last)
            row = connection.execute(query.where(*where).order_by(FILES.c.time).limit(1)).one_or_none()
            if row is None:
                break
            found.append((from_microseconds(row.time), (row.received - row.time) / _SECOND))
            at = (int(row.time) // step + 1) * step
    return found


def archive_growth(catalogue: Catalogue, site: str, now: datetime, span: timedelta) -> Growth:
    """Return what came into a site's archive within ``span`` before ``now``. Raises CatalogueError."""
    since = to_microseconds(now - span)
    size = func.sum(FILES.c.size + func.coalesce(FILES.c.sidecar_size, 0))
    with catalogue.database.read() as connection:
        ends = connection.execute(select(func.min(FILES.c.id), func.max(FILES.c.id)).where(FILES.c.site == site)).one()
        if ends[0] is None:
            return Growth(0, 0, 0.0)
        low, high = int(ends[0]), int(ends[1])
        while low < high:  # the first file that came since then
            middle = (low + high) // 2
            nearest = (
                select(FILES.c.id, FILES.c.received)
                .where(FILES.c.site == site, FILES.c.id >= middle)
                .order_by(FILES.c.id)
                .limit(1)
            )
            row = connection.execute(nearest).one()
            if row.received < since:
                low = int(row.id) + 1
            else:
                high = middle
        total = connection.execute(
            select(func.count(), size, func.min(FILES.c.received), func.max(FILES.c.received)).where(
                FILES.c.site == site, FILES.c.id >= low, FILES.c.received >= since
            )
        ).one()
    if not total[0]:
        return Growth(0, 0, 0.0)
    return Growth(int(total[0]), int(total[1]), (int(total[3]) - int(total[2])) / _SECOND)
