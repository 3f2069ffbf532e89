"""A table of what a schedule means, one row a day."""

from datetime import datetime, timedelta

from rich.table import Table

from so2cam.core.intervals import Interval
from so2cam.core.site_camera import GeoPoint
from so2cam.core.site_schedule import Action, Schedule
from so2cam.observe.power import power_intervals
from so2cam.observe.schedule import action_intervals, dark_sets_due

_DAY = timedelta(days=1)


def schedule_table(schedule: Schedule, place: GeoPoint, start: datetime, end: datetime) -> Table:
    """Return the days from ``start`` to ``end`` (midnights, UTC) with the times of everything that is scheduled."""
    span = Interval(start, end)
    columns: list[tuple[str, tuple[Interval, ...]]] = []
    actions: tuple[Action, ...] = ("capture", "darks", "housekeeping")
    for action in actions:
        if action == "capture" or schedule.windows_for(action):
            columns.append((action, action_intervals(schedule, place, action, span)))
    columns.append(("power", power_intervals(schedule, place, span)))
    sets = dark_sets_due(schedule, place, span)
    table = Table(
        "day (UTC)", *(name for name, _ in columns), *(["dark sets"] if sets else []), box=None, padding=(0, 2)
    )
    day = start
    while day < end:
        today = Interval(day, day + _DAY)
        cells = [_times(pieces, today) for _, pieces in columns]
        if sets:
            cells.append(" ".join(f"{each:%H:%M}" for each in sets if today.contains(each)))
        table.add_row(f"{day:%Y-%m-%d}", *cells)
        day += _DAY
    return table


def _times(pieces: tuple[Interval, ...], day: Interval) -> str:
    found = []
    for piece in pieces:
        if piece.start >= day.end or piece.end <= day.start:
            continue
        if piece.start <= day.start and piece.end >= day.end:
            return "all day"
        first = "00:00" if piece.start <= day.start else f"{piece.start:%H:%M}"
        last = "24:00" if piece.end >= day.end else f"{piece.end:%H:%M}"
        found.append(f"{first}-{last}")
    return " ".join(found) or "-"
