"""The part of the catalogue that draws emission rates over long times: means over equal steps of time."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import and_, case, func, select

from so2cam.station.catalogue_schema import RATES
from so2cam.station.database import Database
from so2cam.store.items import to_microseconds


@dataclass(frozen=True, slots=True)
class TrendStep:
    """What the rates of one line and method within a step of time come to; None is missing.

    ``time_ms``: the mean time of the values, milliseconds since 1970. ``rate``: their mean [kg s-1], with the least and
    the largest; ``sigma``: 1 sigma of a single one, all uncertainties together. ``direction`` [degree] is the last
    value: directions have no mean. ``status``: of the newest missing one, where some are; 0 where all are valid.
    """

    time_ms: int
    pairs: int
    valid: int
    rate: float | None
    low: float | None
    high: float | None
    sigma: float | None
    amount: float | None
    speed: float | None
    direction: float | None
    status: int


class TrendTable:
    """Trends. Methods raise CatalogueError where the database refuses."""

    database: Database

    def trend(
        self, site: str, line: str, method: str, *, start: datetime, end: datetime, step_s: float
    ) -> list[TrendStep]:
        """Return the rates of ``start`` <= time < ``end`` in steps of ``step_s``, in order; empty steps are left out.

        Steps are whole multiples of ``step_s`` since 1970: asked again from the start of a step, it is the same.
        """
        step_us = max(1, round(step_s * 1e6))
        time = RATES.c.time
        where = and_(
            RATES.c.site == site,
            RATES.c.line == line,
            RATES.c.method == method,
            time >= to_microseconds(start),
            time < to_microseconds(end),
        )
        step = (time - time % step_us).label("step")
        variance = func.coalesce(RATES.c.random * RATES.c.random, 0.0) + func.coalesce(
            RATES.c.systematic * RATES.c.systematic, 0.0
        )
        newest = func.max(time).label("newest")
        newest_missing = func.max(case((RATES.c.status != 0, time))).label("newest_missing")
        means = (
            select(
                step,
                newest,
                newest_missing,
                func.avg(time - step).label("offset"),
                func.count().label("pairs"),
                func.count(RATES.c.rate).label("valid"),
                func.avg(RATES.c.rate).label("rate"),
                func.min(RATES.c.rate).label("low"),
                func.max(RATES.c.rate).label("high"),
                func.avg(case((RATES.c.rate.is_not(None), variance))).label("variance"),
                func.avg(RATES.c.amount).label("amount"),
                func.avg(RATES.c.speed).label("speed"),
            )
            .where(where)
            .group_by(step)
            .subquery()
        )
        last, missing = RATES.alias("last"), RATES.alias("missing")
        same = [
            and_(table.c.site == site, table.c.line == line, table.c.method == method, table.c.time == when)
            for table, when in ((last, means.c.newest), (missing, means.c.newest_missing))
        ]
        query = (
            select(means, last.c.direction, func.coalesce(missing.c.status, 0).label("status"))
            .select_from(means.join(last, same[0]).outerjoin(missing, same[1]))
            .order_by(means.c.step)
        )
        with self.database.read() as connection:
            rows = connection.execute(query).all()
        return [
            TrendStep(
                (row.step + round(row.offset)) // 1000,
                row.pairs,
                row.valid,
                row.rate,
                row.low,
                row.high,
                None if row.variance is None else row.variance**0.5,
                row.amount,
                row.speed,
                row.direction,
                row.status,
            )
            for row in rows
        ]
