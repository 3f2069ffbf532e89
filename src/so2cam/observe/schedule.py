"""What a schedule means: what to do at a time, when that changes next, and on which stretches of time.

Everything here is pure: the same schedule, place and time give the same answer. The place matters only where windows
depend on the sun.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from typing import Final, Literal

from so2cam.core.intervals import Interval, clip, difference, intersection, union
from so2cam.core.site_camera import GeoPoint
from so2cam.core.site_schedule import ACTIONS, Action, Schedule, Window
from so2cam.core.times import require_utc
from so2cam.observe.sun import SunTrack, sun_elevation_deg

KEY: Final = "instrument.schedule"
_SHORTEST_NIGHT: Final = timedelta(minutes=1)
"""Less of the night is nothing to warn of."""
_DAY: Final = timedelta(days=1)
_LOOK_AHEAD: Final = (timedelta(days=2), timedelta(days=32), timedelta(days=400))
"""How far ahead a change is looked for, in steps: most come within a day, a polar summer lasts months."""


@dataclass(frozen=True, slots=True)
class Change:
    """At ``time`` some actions begin and others end."""

    time: datetime
    begins: frozenset[Action]
    ends: frozenset[Action]


@dataclass(frozen=True, slots=True)
class ScheduleFinding:
    """What is wrong (``error``) or doubtful (``risk``) in a schedule; ``when`` is the first time that it matters."""

    severity: Literal["error", "risk"]
    key: str
    message: str
    remedy: str
    when: datetime | None = None


def actions_at(schedule: Schedule, place: GeoPoint, at: datetime) -> frozenset[Action]:
    """Return what is to be done at ``at`` (aware). Quick: at most one position of the sun per sun-based window."""
    utc = require_utc(at)
    found: set[Action] = set()
    for action in ACTIONS:
        if action == "power" and schedule.power.mode == "follow":
            if action_intervals(schedule, place, "power", Interval(utc, utc + timedelta(seconds=1))):
                found.add("power")
            continue
        windows = schedule.windows_for(action)
        if (not windows and action in ("capture", "power")) or any(_holds(w, place, utc) for w in windows):
            found.add(action)
    return frozenset(found)


def action_intervals(schedule: Schedule, place: GeoPoint, action: Action, span: Interval) -> tuple[Interval, ...]:
    """Return when, in ``span``, ``action`` is on: merged, in order, cut at the span's ends."""
    return _Days(schedule, place, span).of(action)


def next_change(schedule: Schedule, place: GeoPoint, after: datetime) -> Change | None:
    """Return the first time later than ``after`` at which the set of actions changes; None within 400 days: never."""
    utc = require_utc(after)
    for ahead in _LOOK_AHEAD:
        days = _Days(schedule, place, Interval(utc, utc + ahead))
        edges: dict[datetime, tuple[set[Action], set[Action]]] = {}
        for action in ACTIONS:
            for interval in days.of(action):
                if interval.start > utc:
                    edges.setdefault(interval.start, (set(), set()))[0].add(action)
                if interval.end < utc + ahead:
                    edges.setdefault(interval.end, (set(), set()))[1].add(action)
        if edges:
            first = min(edges)
            return Change(first, frozenset(edges[first][0]), frozenset(edges[first][1]))
    return None


def dark_sets_due(schedule: Schedule, place: GeoPoint, span: Interval) -> tuple[datetime, ...]:
    """Return the times in ``span`` at which a dark set is to begin: as a window does, and then as it repeats.

    A window that began before the span counts from its own beginning, up to two days back.
    """
    wide = Interval(span.start - 2 * _DAY, span.end)
    days = _Days(schedule, place, wide)
    due: set[datetime] = set()
    for window in schedule.windows_for("darks"):
        for interval in days.of_window(window):
            moment = interval.start
            # A window that fills the whole span has no beginning in it; its sets are counted from midnight.
            if interval.start == wide.start:
                moment = datetime.combine(interval.start.date(), time(), interval.start.tzinfo)
            step = None if window.repeat_min is None else timedelta(minutes=window.repeat_min)
            while moment < interval.end:
                if span.contains(moment):
                    due.add(moment)
                if step is None:
                    break
                moment += step
    return tuple(sorted(due))


def check_schedule(schedule: Schedule, place: GeoPoint, year: int) -> tuple[ScheduleFinding, ...]:
    """Return the contradictions and risks that show up on any day of ``year``: errors first.

    Errors: capture and darks at once; capture, darks or housekeeping without power; darks in daylight; a window that
    never comes. Risks: darks in bright twilight; capture by night; days without capture; windows of one kind that
    overlap; gaps of power too short to switch off.
    """
    start = datetime.fromisoformat(f"{year:04d}-01-01T00:00:00+00:00")
    days = _Days(schedule, place, Interval(start, start + 366 * _DAY))
    found = [
        *_never(days),
        *_at_once(days),
        *_without_power(days),
        *_darks_in_light(days),
        *_capture_in_the_dark(days),
        *_days_without_capture(days),
        *_overlaps(days),
        *_short_gaps(days),
    ]
    return tuple(sorted(found, key=lambda finding: finding.severity))


class _Days:
    """A schedule laid out over a span at a place; the sun is followed once, and only where it matters."""

    def __init__(self, schedule: Schedule, place: GeoPoint, span: Interval) -> None:
        self.schedule = schedule
        self.place = place
        self.span = span
        # Margins of power reach beyond the span: what begins just after it already needs power in it.
        earlier = timedelta(minutes=schedule.power.start_earlier_min + schedule.power.minimum_off_min)
        later = timedelta(minutes=schedule.power.stop_later_min + schedule.power.minimum_off_min)
        follow = schedule.power.mode == "follow"
        self._wide = Interval(span.start - later, span.end + earlier) if follow else span
        self._track: SunTrack | None = None

    @property
    def sun(self) -> SunTrack:
        """The sun over the span and its margins."""
        if self._track is None:
            self._track = SunTrack(self._wide, self.place.latitude, self.place.longitude)
        return self._track

    def of(self, action: Action) -> tuple[Interval, ...]:
        """Return when ``action`` is on in the span."""
        if action == "power" and self.schedule.power.mode == "follow":
            return clip(self._followed(), self.span)
        windows = self.schedule.windows_for(action)
        if not windows and action in ("capture", "power"):
            return (self.span,)
        return clip(union(piece for window in windows for piece in self._of_window(window)), self.span)

    def of_window(self, window: Window) -> tuple[Interval, ...]:
        """Return when the conditions of ``window`` hold in the span."""
        return clip(self._of_window(window), self.span)

    def _followed(self) -> tuple[Interval, ...]:
        power = self.schedule.power
        earlier, later = timedelta(minutes=power.start_earlier_min), timedelta(minutes=power.stop_later_min)
        needed = (
            Interval(piece.start - earlier, piece.end + later)
            for window in self.schedule.windows
            for piece in self._of_window(window)
        )
        return union(needed, bridging=timedelta(minutes=power.minimum_off_min))

    def _of_window(self, window: Window) -> tuple[Interval, ...]:
        found: tuple[Interval, ...] = (self._wide,)
        if window.clock is not None:
            found = intersection(found, _clock_intervals(window.clock, self._wide))
        if window.sun_above_deg is not None:
            found = intersection(found, self.sun.above(window.sun_above_deg))
        if window.sun_below_deg is not None:
            found = intersection(found, self.sun.below(window.sun_below_deg))
        return found


def _clock_intervals(clock: tuple[timedelta, timedelta], span: Interval) -> Iterator[Interval]:
    first, length = clock
    midnight = datetime.combine(span.start.date(), time(), span.start.tzinfo) - _DAY
    while midnight < span.end:
        yield Interval(midnight + first, midnight + first + length)
        midnight += _DAY


def _holds(window: Window, place: GeoPoint, at: datetime) -> bool:
    if window.clock is not None:
        first, length = window.clock
        since_midnight = at - datetime.combine(at.date(), time(), at.tzinfo)
        if (since_midnight - first) % _DAY >= length:
            return False
    if not window.needs_sun:
        return True
    elevation = sun_elevation_deg(at, place.latitude, place.longitude)
    return (window.sun_above_deg is None or elevation >= window.sun_above_deg) and (
        window.sun_below_deg is None or elevation < window.sun_below_deg
    )


# --- contradictions ----------------------------------------------------------------------------------------------


def _never(days: _Days) -> Iterator[ScheduleFinding]:
    for index, window in enumerate(days.schedule.windows):
        if not days.of_window(window):
            yield ScheduleFinding(
                "error",
                f"{KEY}.windows[{index}]",
                f"this window for {window.do} ({window.words()}) never comes at this place",
                "change its times or its elevation of the sun",
            )


def _at_once(days: _Days) -> Iterator[ScheduleFinding]:
    if not days.schedule.windows_for("darks") or not days.schedule.windows_for("capture"):
        return
    both = intersection(days.of("capture"), days.of("darks"))
    if both:
        yield ScheduleFinding(
            "error",
            f"{KEY}.windows",
            f"capture and darks are wanted at once, {_days_and_first(both)}",
            "let the dark window begin after capture ends",
            both[0].start,
        )


def _without_power(days: _Days) -> Iterator[ScheduleFinding]:
    powered = days.of("power")
    for action in ("capture", "darks", "housekeeping"):
        if not days.schedule.windows_for(action):
            continue
        dark = difference(days.of(action), powered)
        if dark:
            yield ScheduleFinding(
                "error",
                f"{KEY}.windows",
                f"{action} is wanted without power, {_days_and_first(dark)}",
                'widen the windows with do = "power", or use power.mode = "follow"',
                dark[0].start,
            )


def _darks_in_light(days: _Days) -> Iterator[ScheduleFinding]:
    if not days.schedule.windows_for("darks"):
        return
    darks = days.of("darks")
    light = intersection(darks, days.sun.above(0.0))
    if light:
        yield ScheduleFinding(
            "error",
            f"{KEY}.windows",
            f"darks are wanted in daylight, {_days_and_first(light)}",
            "give the dark window sun_below_deg = -12, beside or instead of its times",
            light[0].start,
        )
        return
    twilight = intersection(darks, days.sun.above(-6.0))
    if twilight:
        yield ScheduleFinding(
            "risk",
            f"{KEY}.windows",
            f"darks are wanted in bright twilight (sun above -6 degrees), {_days_and_first(twilight)}",
            "give the dark window sun_below_deg = -12",
            twilight[0].start,
        )


def _capture_in_the_dark(days: _Days) -> Iterator[ScheduleFinding]:
    if not days.schedule.windows_for("capture"):
        return
    night = intersection(days.of("capture"), days.sun.below(-6.0))
    night = tuple(one for one in night if one.end - one.start >= _SHORTEST_NIGHT)
    if night:
        yield ScheduleFinding(
            "risk",
            f"{KEY}.windows",
            f"capture is wanted by night, {_days_and_first(night)}",
            "give the capture window sun_above_deg = 5, beside or instead of its times",
            night[0].start,
        )


def _days_without_capture(days: _Days) -> Iterator[ScheduleFinding]:
    windows = days.schedule.windows_for("capture")
    capture = days.of("capture")
    if not windows or not capture:
        return
    first = days.span.start
    empty = [
        first + index * _DAY
        for index in range(366)
        if not _touches(capture, Interval(first + index * _DAY, first + (index + 1) * _DAY))
    ]
    if empty:
        yield ScheduleFinding(
            "risk",
            f"{KEY}.windows",
            f"on {len(empty)} days of the year nothing is captured, first on {empty[0]:%Y-%m-%d}",
            "lower sun_above_deg, or widen the times",
            empty[0],
        )


def _overlaps(days: _Days) -> Iterator[ScheduleFinding]:
    for action in ACTIONS:
        named = [(index, window) for index, window in enumerate(days.schedule.windows) if window.do == action]
        for position, (index, window) in enumerate(named):
            for other, second in named[position + 1 :]:
                both = intersection(days.of_window(window), days.of_window(second))
                if both:
                    yield ScheduleFinding(
                        "risk",
                        f"{KEY}.windows[{other}]",
                        f"overlaps windows[{index}], both for {action}, {_days_and_first(both)}",
                        "one window can do for both",
                        both[0].start,
                    )


def _short_gaps(days: _Days) -> Iterator[ScheduleFinding]:
    if not days.schedule.windows_for("power"):
        return
    least = timedelta(minutes=days.schedule.power.minimum_off_min)
    gaps = [gap for gap in difference((days.span,), days.of("power")) if gap.duration < least]
    inner = [gap for gap in gaps if gap.start > days.span.start and gap.end < days.span.end]
    if inner:
        yield ScheduleFinding(
            "risk",
            f"{KEY}.power.minimum_off_min",
            f"power would be off for less than {days.schedule.power.minimum_off_min:g} minutes, "
            f"{_days_and_first(tuple(inner))}; it stays on instead",
            "join the windows, or lower minimum_off_min",
            inner[0].start,
        )


def _touches(intervals: tuple[Interval, ...], span: Interval) -> bool:
    return any(interval.start < span.end and interval.end > span.start for interval in intervals)


def _days_and_first(intervals: tuple[Interval, ...]) -> str:
    count = len({interval.start.date() for interval in intervals})
    first = intervals[0]
    on = "every day" if count >= 365 else f"on {count} day{'s' if count != 1 else ''} of the year"
    return f"{on}, first {first.start:%Y-%m-%d %H:%M} to {first.end:%H:%M} UTC"
