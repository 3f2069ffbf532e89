"""The plots of the health page: which numbers of a node's health records are drawn together, and their limits. Pure.

What is drawn is what the node measures; what none of its records has is named as not measured.
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from so2cam.core.site import Site
from so2cam.core.site_alarms import AlarmRule, BatteryRule, ClockRule, DiskRule, HealthRule
from so2cam.core.site_instrument import Alarm
from so2cam.station.alarms import rules_of

Record = Mapping[str, Any]
"""A health record as plain data (``core.health.HealthRecord``)."""

RANGES: Final = (("1h", "1 h", 3600.0), ("6h", "6 h", 21600.0), ("24h", "24 h", 86400.0), ("7d", "7 d", 604800.0))
_POINTS: Final = 360


@dataclass(frozen=True, slots=True)
class Limit:
    """A value of ``quantity`` beyond which a rule of the site file speaks: ``side`` is above or below."""

    quantity: str
    value: float
    side: str
    level: str
    name: str


@dataclass(frozen=True, slots=True)
class Quantity:
    """A number of the record: its dotted key, what it is called, and how it is found."""

    key: str
    label: str
    find: Callable[[Record], float | None]


@dataclass(frozen=True, slots=True)
class Chart:
    """One plot. ``scale``: the record's number times it is in ``unit``."""

    key: str
    title: str
    unit: str
    hint: str
    digits: int
    scale: float
    quantities: Callable[[Record], Iterable[Quantity]]
    zero: bool = False
    """the axis begins at 0"""
    top: float | None = None
    """the axis ends here at least"""


def seconds_of(name: str) -> float:
    """Return the length of a range [s]; that of the first where there is none of this name."""
    return next((seconds for key, _, seconds in RANGES if key == name), RANGES[0][2])


def step_of(span_s: float) -> float:
    """Return the time between the points of a plot [s]: a plot has some hundred points at most."""
    return max(10.0, math.ceil(span_s / _POINTS / 10) * 10)


# --- what is drawn -----------------------------------------------------------------------------------------------


def _plain(key: str, label: str) -> Callable[[Record], Iterable[Quantity]]:
    path = key.split(".")

    def find(record: Record) -> float | None:
        value: Any = record
        for part in path:
            value = value.get(part) if isinstance(value, Mapping) else None
        return _number(value)

    return lambda _: (Quantity(key, label, find),)


def _devices(field: str, *roles: str, inside: str = "") -> Callable[[Record], Iterable[Quantity]]:
    """Return a number of each device of these roles; ``inside``: the table within the device where it stands."""

    def quantities(record: Record) -> Iterable[Quantity]:
        for device in record.get("devices", ()):
            if roles and device.get("role") not in roles:
                continue
            name = str(device.get("name"))

            def find(at: Record, name: str = name) -> float | None:
                found = _named(at.get("devices", ()), name)
                holder = found.get(inside, {}) if inside else found
                return _number(holder.get(field))

            yield Quantity(f"devices.{name}.{inside + '.' if inside else ''}{field}", name, find)

    return quantities


def _disks(record: Record) -> Iterable[Quantity]:
    for disk in record.get("disks", ()):
        name = str(disk.get("name"))

        def find(at: Record, name: str = name) -> float | None:
            found = _named(at.get("disks", ()), name)
            free, total = _number(found.get("free_bytes")), _number(found.get("total_bytes"))
            return None if free is None or not total else free / total

        yield Quantity(f"disks.{name}.free_fraction", name, find)


def _temperatures(record: Record) -> Iterable[Quantity]:
    yield from _plain("system.cpu_temperature_c", "computer")(record)
    yield from _devices("temperature_c")(record)


def _clock(record: Record) -> Iterable[Quantity]:
    yield from _plain("clock.offset_s", "offset")(record)
    yield from _plain("clock.maximum_error_s", "at most")(record)


CHARTS: Final = (
    Chart(
        "supply",
        "Supply voltage",
        "V",
        "What the power board measures at its input: the battery, or the mains adapter.",
        2,
        1.0,
        _devices("input_voltage_v", "power", inside="readings"),
    ),
    Chart(
        "current",
        "Current",
        "A",
        "What the instrument draws, as the power board measures it.",
        2,
        1.0,
        _devices("output_current_a", "power", inside="readings"),
        zero=True,
    ),
    Chart(
        "temperature", "Temperatures", "°C", "Of the computer's processor and of each device.", 1, 1.0, _temperatures
    ),
    Chart(
        "disk",
        "Free disk space",
        "%",
        "The instrument deletes delivered files when a disk fills; undelivered ones only as the last resort.",
        1,
        100.0,
        _disks,
        zero=True,
    ),
    Chart("exposure", "Exposure", "ms", "Exposure time of each camera.", 1, 1000.0, _devices("exposure_s", "camera")),
    Chart(
        "integration",
        "Integration",
        "ms",
        "Integration time of the spectrometer.",
        0,
        1000.0,
        _devices("exposure_s", "spectrometer"),
    ),
    Chart(
        "signal",
        "Signal",
        "% of full scale",
        "How bright the image is, as the automatic exposure measures it; 100 % is the most that the detector can tell.",
        0,
        100.0,
        _devices("signal_fraction", "camera", "spectrometer"),
        zero=True,
        top=100.0,
    ),
    Chart(
        "saturated",
        "Saturated pixels",
        "%",
        "Pixels at the detector's limit: they measure nothing.",
        2,
        100.0,
        _devices("saturated_fraction", "camera", "spectrometer"),
        zero=True,
        top=0.1,
    ),
    Chart(
        "rate",
        "Stored per second",
        "1/s",
        "Images and spectra that the instrument kept.",
        2,
        1.0,
        _devices("rate_hz", "camera", "spectrometer"),
        zero=True,
    ),
    Chart(
        "clock",
        "Clock",
        "ms",
        "How far the instrument's clock is off its source of time, and how far it can be off at most.",
        1,
        1000.0,
        _clock,
    ),
    Chart(
        "load",
        "Processor load",
        "",
        "Mean number of programs that want the processor; a computer with four cores copes with 4.",
        2,
        1.0,
        _plain("system.load", "load"),
        zero=True,
    ),
    Chart(
        "backlog",
        "Waiting on the instrument",
        "files",
        "Files that the instrument keeps and that the station does not have yet.",
        0,
        1.0,
        _plain("spool.undelivered", "files"),
        zero=True,
        top=10.0,
    ),
)
DELAY: Final = Chart(
    "delay",
    "Delay",
    "s",
    "Time from the exposure of an image until the station had it.",
    1,
    1.0,
    lambda _: (),
    zero=True,
)


def limits_of(site: Site, node: str, newest: Record) -> list[Limit]:
    """Return the limits of the site file's rules, of the station and of the instrument, for a node."""
    found: list[Limit] = []
    keys = {
        BatteryRule: _devices("input_voltage_v", "power", inside="readings"),
        DiskRule: _disks,
        ClockRule: _clock,
    }
    for rule in rules_of(site):
        if isinstance(rule, HealthRule):
            if rule.node in (None, node):
                found.append(_limit(rule, rule.quantity))
            continue
        quantities = keys.get(type(rule))
        if quantities is not None:
            found += [_limit(rule, quantity.key) for quantity in quantities(newest)]
    for alarm in () if site.instrument is None else site.instrument.alarms:
        found.append(_limit(alarm, alarm.quantity))
    return found


def _limit(rule: AlarmRule | Alarm, quantity: str) -> Limit:
    above = rule.above is not None
    value = rule.above if rule.above is not None else float(rule.below or 0.0)
    return Limit(quantity, value, "above" if above else "below", rule.level, rule.name)


def plots(
    records: Sequence[tuple[datetime, Record]],
    delays: Sequence[tuple[datetime, float]],
    limits: Sequence[Limit],
) -> dict[str, Any]:
    """Return what the browser draws: ``charts``, and ``missing``, the titles of those that have no number.

    Each chart has ``series`` of a label and points [seconds since 1970, value or null].
    """
    charts, missing = [], []
    newest = records[-1][1] if records else {}
    for chart in CHARTS:
        series = []
        seen: set[tuple[str, float, str]] = set()
        lines: list[dict[str, Any]] = []
        for quantity in chart.quantities(newest):
            values = [(time, quantity.find(record)) for time, record in records]
            if all(value is None for _, value in values):
                continue
            series.append(_series(quantity.label, values, chart))
            for limit in limits:
                if limit.quantity == quantity.key and (mark := (limit.side, limit.value, limit.level)) not in seen:
                    seen.add(mark)
                    lines.append(_line(limit, chart))
        if series:
            charts.append(_chart(chart, series, lines))
        else:
            missing.append(chart.title)
    if delays:
        charts.append(_chart(DELAY, [_series("image", list(delays), DELAY)], []))
    return {"charts": charts, "missing": missing}


def _chart(chart: Chart, series: list[dict[str, Any]], lines: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "key": chart.key,
        "title": chart.title,
        "unit": chart.unit,
        "hint": chart.hint,
        "digits": chart.digits,
        "zero": chart.zero,
        "top": chart.top,
        "series": series,
        "limits": lines,
    }


def _series(label: str, values: Sequence[tuple[datetime, float | None]], chart: Chart) -> dict[str, Any]:
    places = chart.digits + 1
    return {
        "label": label,
        "points": [
            [round(time.timestamp(), 1), None if value is None else round(value * chart.scale, places)]
            for time, value in values
        ],
    }


def _line(limit: Limit, chart: Chart) -> dict[str, Any]:
    value = limit.value * chart.scale
    return {"value": value, "side": limit.side, "level": limit.level, "name": limit.name}


def _named(things: Iterable[Any], name: str) -> Mapping[str, Any]:
    return next((thing for thing in things if thing.get("name") == name), {})


def _number(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return float(value)
