"""What a schedule means on one day, to be drawn: the sun, each window, and what comes of all of them together."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final

from pydantic import ValidationError

from so2cam.core.intervals import Interval
from so2cam.core.site_camera import GeoPoint
from so2cam.core.site_schedule import Schedule, Window
from so2cam.observe.power import next_switch, power_intervals
from so2cam.observe.schedule import ScheduleFinding, action_intervals, check_schedule, dark_sets_due
from so2cam.observe.sun import SunTrack

STEP_MIN: Final = 5
_DAY: Final = timedelta(days=1)
_LIGHTS: Final = (("day", 0.0), ("civil", -6.0), ("nautical", -12.0), ("astronomical", -18.0))
Spans = tuple[tuple[float, float], ...]
"""Stretches of a day: hours since its midnight (UTC), from 0 to 24."""


@dataclass(frozen=True, slots=True)
class DayView:
    """A day: elevations of the sun [degrees] every ``STEP_MIN``; when each window holds, and each action is on.

    ``light``: when the sun is above 0, -6, -12 and -18 degrees. ``dark_sets``: hours at which dark sets begin.
    """

    day: date
    elevations_deg: tuple[float, ...]
    light: dict[str, Spans]
    windows: tuple[Spans, ...]
    actions: dict[str, Spans]
    dark_sets: tuple[float, ...]


def day_view(schedule: Schedule | None, latitude: float, longitude: float, day: date) -> DayView:
    """Return what a schedule (None: captures always) means on ``day`` at a place [degrees]."""
    schedule = schedule or Schedule()
    place = GeoPoint(latitude=latitude, longitude=longitude, altitude_m=0.0)
    start = datetime.combine(day, datetime.min.time(), UTC)
    span = Interval(start, start + _DAY)
    track = SunTrack(span, latitude, longitude)
    steps = 24 * 60 // STEP_MIN
    return DayView(
        day,
        tuple(round(track.elevation_deg(start + timedelta(minutes=STEP_MIN * n)), 2) for n in range(steps + 1)),
        {name: _spans(track.above(limit), start) for name, limit in _LIGHTS},
        tuple(_spans(_alone(window, place, span), start) for window in schedule.windows),
        {
            "capture": _spans(action_intervals(schedule, place, "capture", span), start),
            "darks": _spans(action_intervals(schedule, place, "darks", span), start),
            "housekeeping": _spans(action_intervals(schedule, place, "housekeeping", span), start),
            "power": _spans(power_intervals(schedule, place, span), start),
        },
        tuple(_hours(time, start) for time in dark_sets_due(schedule, place, span)),
    )


def findings(schedule: Schedule, latitude: float, longitude: float, year: int) -> tuple[ScheduleFinding, ...]:
    """Return what contradicts or is doubtful in a schedule, on any day of ``year``. It takes about a second."""
    return check_schedule(schedule, GeoPoint(latitude=latitude, longitude=longitude, altitude_m=0.0), year)


def next_power(
    schedule: Schedule | None, latitude: float, longitude: float, now: datetime
) -> tuple[datetime | None, datetime | None]:
    """Return when power next goes off, and on; None: not within the days looked ahead."""
    place = GeoPoint(latitude=latitude, longitude=longitude, altitude_m=0.0)
    switch = next_switch(schedule or Schedule(), place, now)
    return switch.off, switch.on


def parse_draft(windows: Sequence[dict[str, Any]], power: dict[str, Any], base: Schedule | None) -> Schedule:
    """Return the schedule that somebody typed. Raises ValueError, in plain words, with the window that is meant.

    What the form has no field for is as in ``base``.
    """
    made: list[Window] = []
    for number, values in enumerate(windows, 1):
        try:
            made.append(Window.model_validate({key: value for key, value in values.items() if value not in (None, "")}))
        except ValidationError as error:
            raise ValueError(f"window {number}: {_first(error)}") from None
    whole = (base or Schedule()).model_dump()
    whole["windows"] = [window.model_dump() for window in made]
    whole["power"] |= {key: value for key, value in power.items() if value is not None}
    try:
        return Schedule.model_validate(whole)
    except ValidationError as error:
        raise ValueError(_first(error)) from None


def _first(error: ValidationError) -> str:
    first = error.errors(include_url=False)[0]
    where = ".".join(str(part) for part in first["loc"])
    text = str(first["msg"]).removeprefix("Value error, ")
    return f"{where}: {text}" if where else text


def _alone(window: Window, place: GeoPoint, span: Interval) -> tuple[Interval, ...]:
    alone = window.model_copy(update={"do": "housekeeping", "repeat_min": None})
    return action_intervals(Schedule(windows=(alone,)), place, "housekeeping", span)


def _spans(intervals: Sequence[Interval], start: datetime) -> Spans:
    return tuple((_hours(one.start, start), _hours(one.end, start)) for one in intervals)


def _hours(time: datetime, start: datetime) -> float:
    return round((time - start).total_seconds() / 3600, 4)
