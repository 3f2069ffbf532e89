"""When the power board switches: a schedule's power windows compiled ahead, and the decision on a weak battery."""

import math
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from so2cam.core.intervals import Interval, clip, difference, union
from so2cam.core.power_plan import PowerPlan, PowerState
from so2cam.core.site_camera import GeoPoint
from so2cam.core.site_schedule import Battery, Power, Schedule
from so2cam.core.times import require_utc
from so2cam.observe.schedule import action_intervals

PLAN_END: Final = datetime.fromisoformat("2037-12-31T23:59:59+00:00")
"""Within 32-bit time, which the boards' own software counts in."""
_DAY: Final = timedelta(days=1)
_MINUTE: Final = timedelta(minutes=1)
_OVERLAP: Final = timedelta(hours=3)
_EPOCH: Final = datetime.fromisoformat("1970-01-01T00:00:00+00:00")


def power_intervals(schedule: Schedule, place: GeoPoint, span: Interval) -> tuple[Interval, ...]:
    """Return when, in ``span``, the board gives power: the schedule's windows as a board can switch them.

    Edges go outward to whole minutes; gaps shorter than ``minimum_off_min`` are closed; where power would be off for
    longer than ``look_in_h``, the node looks in for ``look_in_min`` (at whole multiples of ``look_in_h`` since 1970,
    so that the answer does not depend on the span).
    """
    power = schedule.power
    margin = 2 * _DAY + timedelta(hours=2 * power.look_in_h)
    wide = Interval(_floor_minute(span.start - margin), _floor_minute(span.end + margin))
    wanted = action_intervals(schedule, place, "power", wide)
    rounded = [Interval(_floor_minute(piece.start), _ceil_minute(piece.end)) for piece in wanted]
    bridging = timedelta(minutes=power.minimum_off_min)
    joined = union(rounded, bridging=bridging)
    return clip(union([*joined, *_looks(power, joined, wide)], bridging=bridging), span)


def compile_power(schedule: Schedule, place: GeoPoint, now: datetime) -> PowerPlan:
    """Return the plan for the board from now on.

    Where no time depends on the sun the plan is a cycle of one day that holds for ever. Otherwise the next
    ``days_ahead`` days are written out and then repeat: a node that compiles anew at each start follows the sun, and
    one that never does is some minutes late after weeks, but never off for good. The plan begins at or before
    ``now``, as power comes on (at midnight where it is always on). Power that comes on in the last three hours of a
    sun-based plan is left to its repetition, which begins with power on.
    """
    utc = require_utc(now)
    days = schedule.power.days_ahead if _depends_on_sun(schedule) else 1
    midnight = datetime.combine(utc.date(), datetime.min.time(), utc.tzinfo)
    search = Interval(midnight - 8 * _DAY, utc + _MINUTE)
    begins = [piece.start for piece in power_intervals(schedule, place, search) if piece.start > search.start]
    begin = begins[-1] if begins else midnight
    if days == 1 and begins:
        # The cycle of a day begins with the first time of the day, as such files always do.
        begin = min((each for each in begins if each > utc - _DAY), key=lambda each: each.time(), default=begin)
    span = Interval(begin, begin + days * _DAY)
    on = power_intervals(schedule, place, span)
    if len(on) > 1 and on[-1].end == span.end and on[-1].duration < _OVERLAP:
        on = on[:-1]
    return PowerPlan(begin, PLAN_END, _states(on, span))


@dataclass(frozen=True, slots=True)
class PowerSwitch:
    """When the board is next to switch off and, later, on; None: not within the days looked ahead."""

    off: datetime | None
    on: datetime | None


def next_switch(schedule: Schedule, place: GeoPoint, now: datetime) -> PowerSwitch:
    """Return the next times for the board's two alarms, for boards whose alarms the agent sets itself.

    In a time with power: its end, and the beginning of the next one. Outside (somebody switched the node on by hand):
    no end, because a person is at work, and the next beginning.
    """
    utc = require_utc(now)
    on = power_intervals(schedule, place, Interval(utc, utc + 8 * _DAY))
    if not on:
        return PowerSwitch(None, None)
    if on[0].start > utc:
        return PowerSwitch(None, on[0].start)
    if len(on) == 1:
        return PowerSwitch(None if on[0].duration == 8 * _DAY else on[0].end, None)
    return PowerSwitch(on[0].end, on[1].start)


@dataclass(frozen=True, slots=True)
class PowerStep:
    """What following the power times came to: whether there is to be power now, and, where that just ended, when again.

    ``wake`` is only set at the end of a time with power: then set the board's alarm to it and shut down. It stays None
    where the node would never come back.
    """

    on: bool
    wake: datetime | None


def follow_power(was_on: bool, schedule: Schedule, place: GeoPoint, now: datetime) -> PowerStep:
    """Return the step from ``was_on`` (of the last step; False at the start) to ``now``.

    For boards whose own software is not there: the agent sets the next start itself and shuts the computer down. A node
    that somebody switched on outside its times stays on until the next time with power has passed.
    """
    utc = require_utc(now)
    on = any(piece.contains(utc) for piece in power_intervals(schedule, place, Interval(utc, utc + _MINUTE)))
    return PowerStep(on, next_switch(schedule, place, utc).on if was_on and not on else None)


class BatteryState(StrEnum):
    """How the battery is, as the last decision left it."""

    GOOD = "good"
    LOW = "low"
    """Below the floor, not yet for long enough."""
    RECOVERING = "recovering"
    """Has been below the floor, and has not reached the recovery voltage since."""


@dataclass(frozen=True, slots=True)
class BatteryWatch:
    """What is remembered from one look at the battery to the next. ``since_s`` is monotonic time."""

    state: BatteryState = BatteryState.GOOD
    since_s: float = 0.0


@dataclass(frozen=True, slots=True)
class BatteryDecision:
    """What to do: go on, or shut down and wake up ``wake_after`` later. ``reason`` is a sentence for people."""

    watch: BatteryWatch
    shut_down: bool
    wake_after: timedelta | None
    reason: str


def watch_battery(watch: BatteryWatch, voltage_v: float, now_s: float, settings: Battery) -> BatteryDecision:
    """Return what to do at ``voltage_v`` [V], measured at the monotonic time ``now_s`` [s].

    A voltage below the floor for ``confirm_s`` shuts the node down; it wakes after ``retry_h``. A node that starts
    with a battery that is not known to be good is started with ``BatteryWatch(BatteryState.RECOVERING, now_s)``: it
    stays up for ``look_s``, so that it can be reached, and goes down again unless the recovery voltage is there.
    A voltage that is no number changes nothing: a broken sensor never switches an instrument off.
    """
    if not math.isfinite(voltage_v):
        return BatteryDecision(watch, False, None, "the battery's voltage is not known")
    wake = timedelta(hours=settings.retry_h)
    if watch.state is BatteryState.RECOVERING:
        if voltage_v >= settings.recovery_v:
            return _go_on(watch, now_s, f"the battery has recovered: {voltage_v:.2f} V")
        if now_s - watch.since_s >= settings.look_s:
            reason = f"the battery has {voltage_v:.2f} V and needs {settings.recovery_v:g} V to go on"
            return BatteryDecision(watch, True, wake, reason)
        return BatteryDecision(watch, False, None, f"the battery has {voltage_v:.2f} V: waiting for it to recover")
    if voltage_v >= settings.floor_v:
        return _go_on(watch, now_s, f"the battery has {voltage_v:.2f} V")
    low = watch if watch.state is BatteryState.LOW else BatteryWatch(BatteryState.LOW, now_s)
    if now_s - low.since_s >= settings.confirm_s:
        recovering = BatteryWatch(BatteryState.RECOVERING, now_s)
        reason = f"the battery has {voltage_v:.2f} V, below {settings.floor_v:g} V for {settings.confirm_s:g} s"
        return BatteryDecision(recovering, True, wake, reason)
    return BatteryDecision(low, False, None, f"the battery is low: {voltage_v:.2f} V")


def _go_on(watch: BatteryWatch, now_s: float, reason: str) -> BatteryDecision:
    good = watch if watch.state is BatteryState.GOOD else replace(watch, state=BatteryState.GOOD, since_s=now_s)
    return BatteryDecision(good, False, None, reason)


def _depends_on_sun(schedule: Schedule) -> bool:
    if schedule.power.mode == "follow":
        return schedule.needs_sun
    return any(window.needs_sun for window in schedule.windows_for("power"))


def _looks(power: Power, on: tuple[Interval, ...], span: Interval) -> list[Interval]:
    """Return the short wakings in the gaps of ``on`` that last longer than ``look_in_h``."""
    every, length = timedelta(hours=power.look_in_h), timedelta(minutes=power.look_in_min)
    found = []
    for gap in difference((span,), on):
        if gap.duration <= every:
            continue
        moment = _EPOCH + -(-(gap.start - _EPOCH) // every) * every
        while moment < gap.end:
            found.append(Interval(moment, moment + length))
            moment += every
    return found


def _states(on: tuple[Interval, ...], span: Interval) -> tuple[PowerState, ...]:
    states: list[PowerState] = []
    for index, piece in enumerate(on):
        following = on[index + 1].start if index + 1 < len(on) else span.end
        states += [PowerState(True, piece.duration), PowerState(False, following - piece.end)]
    return tuple(states)


def _floor_minute(time: datetime) -> datetime:
    return time.replace(second=0, microsecond=0)


def _ceil_minute(time: datetime) -> datetime:
    floor = _floor_minute(time)
    return floor if floor == time else floor + _MINUTE
