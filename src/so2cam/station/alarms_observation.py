"""What alarm rules look at, and the numbers that they find in it. Pure: no clock, no files."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

import numpy as np

from so2cam.core.health import DiskHealth, HealthRecord, Level
from so2cam.core.records import FloatArray
from so2cam.core.site_alarms import (
    AlarmRule,
    BatteryRule,
    ClockRule,
    DataSource,
    DiskRule,
    EmissionRateRule,
    HealthRule,
    InstrumentRule,
    NoDataRule,
    RateOfChangeRule,
)
from so2cam.core.times import to_unix_s
from so2cam.instrument.alarms import flatten

HEALTH_OLD: Final = timedelta(minutes=15)
"""A health record older than this says nothing of now."""
_CHANGE_VALUES: Final = 5
_LEVELS: Final = {Level.OK: 0.0, Level.WARNING: 1.0, Level.ALARM: 2.0}
NEVER_SET_S: Final = float("inf")


@dataclass(frozen=True, slots=True)
class RateSeries:
    """Emission rates of one line by one method: ``times_s`` since 1970, increasing, and ``rates_kg_s``, both (T,).

    A rate that is missing is NaN.
    """

    times_s: FloatArray
    rates_kg_s: FloatArray


@dataclass(frozen=True, slots=True)
class Observation:
    """All that is known of a site at ``time`` (UTC).

    ``since``: when the station began to watch; ``rates`` by (line, speed method), the site file's first method first;
    ``newest``: time of the newest item of each source; ``expected_since``: since when, without a break, the schedule
    wants frames, None where it does not now; ``health`` by node; ``disks``: the station's own.
    """

    time: datetime
    since: datetime
    rates: Mapping[tuple[str, str], RateSeries] = field(default_factory=dict)
    newest: Mapping[DataSource, datetime] = field(default_factory=dict)
    expected_since: datetime | None = None
    health: Mapping[str, HealthRecord] = field(default_factory=dict)
    disks: Sequence[DiskHealth] = ()


@dataclass(frozen=True, slots=True)
class Measurement:
    """The number that a rule watches, of ``subject`` (a line, a node, a disk); None where it is not known now."""

    subject: str
    value: float | None
    words: str


def measure(rule: AlarmRule, seen: Observation) -> tuple[Measurement, ...]:
    """Return the numbers that ``rule`` watches: one for each line, node or disk that it is about."""
    if isinstance(rule, EmissionRateRule):
        return (_rate(rule, seen),)
    if isinstance(rule, RateOfChangeRule):
        return (_change(rule, seen),)
    if isinstance(rule, NoDataRule):
        return (_age(rule, seen),)
    return tuple(_of_health(rule, seen))


def _rate(rule: EmissionRateRule, seen: Observation) -> Measurement:
    series = _series(rule.line, rule.method, seen)
    value = None
    if series is not None:
        end = _newest(series, seen, rule.maximum_age_s)
        value = None if end is None else _median(series, end - rule.average_s, end, 1)
    return Measurement(rule.line, value, f"SO2 emission rate ({rule.line}) {_number(value)} kg/s")


def _change(rule: RateOfChangeRule, seen: Observation) -> Measurement:
    series = _series(rule.line, rule.method, seen)
    value = None
    if series is not None and (end := _newest(series, seen, rule.maximum_age_s)) is not None:
        middle = end - rule.window_s
        now = _median(series, middle, end, _CHANGE_VALUES)
        before = _median(series, middle - rule.window_s, middle, _CHANGE_VALUES)
        if now is not None and before is not None:
            if not rule.relative:
                value = now - before
            elif before > 0:
                value = now / before - 1
    minutes = rule.window_s / 60
    if rule.relative:
        shown = "not known" if value is None else f"{100 * value:+.0f} %"
    else:
        shown = f"{_number(value, sign=True)} kg/s"
    return Measurement(rule.line, value, f"SO2 emission rate ({rule.line}) changed by {shown} within {minutes:g} min")


def _age(rule: NoDataRule, seen: Observation) -> Measurement:
    newest = seen.newest.get(rule.of)
    since = max(seen.since, newest) if newest is not None else seen.since
    if not rule.always:
        if seen.expected_since is None:
            return Measurement(rule.of, None, f"no {rule.of} are expected now")
        since = max(since, seen.expected_since)
    age = max(0.0, (seen.time - since).total_seconds())
    last = "none yet" if newest is None else f"the last of {newest:%Y-%m-%d %H:%M:%S} UTC"
    return Measurement(rule.of, age, f"no new {rule.of} for {_duration(age)} ({last})")


def _of_health(
    rule: HealthRule | InstrumentRule | DiskRule | ClockRule | BatteryRule, seen: Observation
) -> "list[Measurement]":
    found = []
    for node, record in seen.health.items():
        if seen.time - record.time > HEALTH_OLD:
            continue
        if isinstance(rule, InstrumentRule):
            found.append(Measurement(node, _LEVELS[record.level], f"node {node}: {record.summary}"))
        elif isinstance(rule, ClockRule):
            found.append(_clock(node, record))
        elif isinstance(rule, DiskRule):
            found += [_disk(f"{node} {disk.name}", disk) for disk in record.disks if disk.present]
        elif isinstance(rule, BatteryRule):
            for device in record.devices:
                if device.role == "power":
                    volts = device.readings.get(rule.reading)
                    found.append(Measurement(node, volts, f"node {node}: supply at {_number(volts)} V"))
        elif rule.node in (None, node):
            values = flatten(record)
            if rule.quantity in values:
                value = values[rule.quantity]
                found.append(Measurement(node, value, f"node {node}: {rule.quantity} is {_number(value)}"))
    if isinstance(rule, DiskRule):
        found += [_disk(f"station {disk.name}", disk) for disk in seen.disks if disk.present]
    return found


def _clock(node: str, record: HealthRecord) -> Measurement:
    clock = record.clock
    if clock.quality == "unset":
        return Measurement(node, NEVER_SET_S, f"node {node}: the clock was never set")
    known = [abs(value) for value in (clock.offset_s, clock.maximum_error_s) if value is not None]
    value = max(known, default=None)
    return Measurement(node, value, f"node {node}: the clock may be {_number(value)} s wrong ({clock.quality})")


def _disk(subject: str, disk: DiskHealth) -> Measurement:
    free = disk.free_fraction
    shown = "not readable" if free is None else f"{100 * free:.1f} % free"
    return Measurement(subject, free, f"disk {subject} ({disk.path}): {shown}")


def _series(line: str, method: str | None, seen: Observation) -> RateSeries | None:
    if method is not None:
        return seen.rates.get((line, method))
    return next((series for (name, _), series in seen.rates.items() if name == line), None)


def _newest(series: RateSeries, seen: Observation, maximum_age_s: float) -> float | None:
    times = series.times_s[np.isfinite(series.rates_kg_s)]
    if times.size == 0:
        return None
    newest = float(times[-1])
    return newest if to_unix_s(seen.time) - newest <= maximum_age_s else None


def _median(series: RateSeries, after_s: float, until_s: float, least: int) -> float | None:
    """Return the median of the rates in (after, until]; None where fewer than ``least``, or than half, are known."""
    inside = series.rates_kg_s[(series.times_s > after_s) & (series.times_s <= until_s)]
    known = inside[np.isfinite(inside)]
    if known.size < least or 2 * known.size < inside.size:
        return None
    return float(np.median(known))


def _number(value: float | None, *, sign: bool = False) -> str:
    if value is None:
        return "not known"
    return f"{value:+.3g}" if sign else f"{value:.3g}"


def _duration(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    if seconds < 7200:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"
