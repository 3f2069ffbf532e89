"""Stretches of time and their sums, overlaps and rests. Each stretch includes its start and excludes its end."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from so2cam.core.times import require_utc


@dataclass(frozen=True, slots=True, order=True)
class Interval:
    """The time from ``start`` (included) to ``end`` (excluded), both aware UTC. Raises ValueError where it is empty."""

    start: datetime
    end: datetime

    def __post_init__(self) -> None:
        if require_utc(self.end) <= require_utc(self.start):
            raise ValueError(f"a stretch of time must end after it starts: {self.start} to {self.end}")

    @property
    def duration(self) -> timedelta:
        """Its length."""
        return self.end - self.start

    def contains(self, time: datetime) -> bool:
        """Whether ``time`` lies in it."""
        return self.start <= time < self.end


def union(intervals: Iterable[Interval], *, bridging: timedelta = timedelta(0)) -> tuple[Interval, ...]:
    """Return the time that any of ``intervals`` covers, in order; gaps shorter than ``bridging`` are closed."""
    merged: list[Interval] = []
    for interval in sorted(intervals):
        last = merged[-1] if merged else None
        if last is not None and (interval.start <= last.end or interval.start - last.end < bridging):
            merged[-1] = Interval(last.start, max(last.end, interval.end))
        else:
            merged.append(interval)
    return tuple(merged)


def intersection(first: Iterable[Interval], second: Iterable[Interval]) -> tuple[Interval, ...]:
    """Return the time that lies in an interval of both."""
    a, b = union(first), union(second)
    found: list[Interval] = []
    i = j = 0
    while i < len(a) and j < len(b):
        start, end = max(a[i].start, b[j].start), min(a[i].end, b[j].end)
        if start < end:
            found.append(Interval(start, end))
        if a[i].end <= b[j].end:
            i += 1
        else:
            j += 1
    return tuple(found)


def difference(first: Iterable[Interval], second: Iterable[Interval]) -> tuple[Interval, ...]:
    """Return the time of ``first`` that lies outside ``second``."""
    cuts = union(second)
    return tuple(piece for interval in union(first) for piece in _outside(interval, cuts))


def clip(intervals: Iterable[Interval], span: Interval) -> tuple[Interval, ...]:
    """Return ``intervals`` as far as they lie in ``span``."""
    return intersection(intervals, (span,))


def _outside(interval: Interval, cuts: tuple[Interval, ...]) -> Iterator[Interval]:
    start = interval.start
    for cut in cuts:
        if cut.end <= start:
            continue
        if cut.start >= interval.end:
            break
        if cut.start > start:
            yield Interval(start, cut.start)
        start = max(start, cut.end)
        if start >= interval.end:
            return
    if start < interval.end:
        yield Interval(start, interval.end)
