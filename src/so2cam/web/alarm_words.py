"""Alarm rules and events in words, and a rule's threshold drawn with the number that it watches. Pure."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Final

from so2cam.core.site_alarms import (
    AlarmRule,
    BatteryRule,
    ClockRule,
    DiskRule,
    EmissionRateRule,
    HealthRule,
    InstrumentRule,
    NoDataRule,
    RateOfChangeRule,
)
from so2cam.core.site_keys import unit_of
from so2cam.station.alarms_observation import Measurement
from so2cam.station.alarms_store import Event, Message
from so2cam.web.parts import MISSING, State, number
from so2cam.web.tables import Column, chip_html, duration, stamp_html, table_html

_METHODS: Final = {
    "flow_raw": "optical flow",
    "flow_gauss": "optical flow, Gaussian",
    "flow_hybrid": "optical flow, hybrid",
    "cross_correlation": "cross-correlation",
}
_SOURCES: Final = {
    "frames": "a new image",
    "spectra": "a new spectrum",
    "results": "a new emission rate",
    "health": "news of the instrument",
}
_INSTRUMENT: Final = ("well", "warning", "alarm")
_TOLD: Final = {
    "sent": "told",
    "waiting": "not told yet",
    "sending": "being told",
    "unknown": "perhaps told",
    "given up": "could not be told",
}


def level_state(level: str) -> State:
    """Return how a level is shown."""
    return "bad" if level == "alarm" else "warn"


def rule_words(rule: AlarmRule) -> str:
    """Return what a rule watches, in a sentence."""
    held = f", for {duration(rule.for_s)}" if rule.for_s else ""
    return f"{_watched(rule)} {limit_words(rule)}{held}."


def limit_words(rule: AlarmRule) -> str:
    """Return beyond what a rule's event begins."""
    if isinstance(rule, InstrumentRule):
        return f"is {value_words(rule, rule.threshold)}"
    side = "above" if rule.above is not None else "below"
    return f"{side} {value_words(rule, rule.threshold, exact=True)}"


def _watched(rule: AlarmRule) -> str:
    if isinstance(rule, EmissionRateRule):
        by = f", by {_METHODS.get(rule.method, rule.method)}" if rule.method else ""
        return f"Emission rate {_line(rule.line)}{by}: median of the last {duration(rule.average_s)}"
    if isinstance(rule, RateOfChangeRule):
        return f"Change of the emission rate {_line(rule.line)} within {duration(rule.window_s)}"
    if isinstance(rule, NoDataRule):
        when = "at any time" if rule.always else "while the schedule wants some"
        return f"Time without {_SOURCES[rule.of]}, {when},"
    if isinstance(rule, InstrumentRule):
        return "What the instrument says of itself"
    if isinstance(rule, DiskRule):
        return "Free share of any disk, of the instrument or the station,"
    if isinstance(rule, ClockRule):
        return "How far the instrument's clock can be wrong"
    if isinstance(rule, BatteryRule):
        return "Voltage of the supply"
    where = f" of {rule.node}" if rule.node else ""
    return f"{rule.quantity} in the health record{where}"


def _line(name: str) -> str:
    return "in total" if name == "total" else f"through {name}"


def value_words(rule: AlarmRule, value: float | None, *, exact: bool = False) -> str:
    """Return a number that a rule watches, with its unit; ``exact``: as the site file has it, else to two figures."""
    if value is None or value != value:
        return "not known now"
    if isinstance(rule, InstrumentRule):
        return _INSTRUMENT[math.ceil(min(2.0, max(0.0, value)))]
    if isinstance(rule, NoDataRule):
        return duration(value)
    if isinstance(rule, ClockRule) and math.isinf(value):
        return "never set"
    if isinstance(rule, DiskRule):
        return f"{_plain(100 * value, exact=exact)} %"
    if isinstance(rule, BatteryRule):
        return f"{_plain(value, exact=True) if exact else f'{value:.2f}'} V"
    if isinstance(rule, RateOfChangeRule):
        shown = f"{100 * value:.0f}" if rule.relative and not exact else _plain(value, exact=exact)
        if rule.relative and exact:
            shown = _plain(100 * value, exact=True)
        return f"{'+' if value > 0 else ''}{shown.replace('-', '−')} {'%' if rule.relative else 'kg/s'}"
    if isinstance(rule, HealthRule):
        unit = unit_of(rule.quantity)
    else:
        unit = "s" if isinstance(rule, ClockRule) else "kg/s"
    return f"{_plain(value, exact=exact)} {unit}".rstrip()


def _plain(value: float, *, exact: bool) -> str:
    if exact:
        return f"{value:.6g}".replace("-", "−")
    return number(value, 3 if abs(value) >= 10 else 2)


@dataclass(frozen=True, slots=True)
class Scale:
    """The part of the number line that a gauge shows."""

    low: float
    high: float

    def place(self, value: float) -> float:
        """Return where a value is, from 0 to 100 [%]; what lies beyond is put at the end."""
        if self.high <= self.low:
            return 50.0
        share = (min(max(value, self.low), self.high) - self.low) / (self.high - self.low)
        return 100 * share


def scale_of(rule: AlarmRule, values: Sequence[float]) -> Scale:
    """Return a scale with threshold, value to clear at and the present values on it."""
    limit, clear = rule.threshold, rule.clears_at
    known = [value for value in values if math.isfinite(value)]
    if isinstance(rule, InstrumentRule):
        return Scale(0.0, 2.0)
    if isinstance(rule, DiskRule) and limit <= 1:
        return Scale(0.0, 1.0)
    room = max(abs(limit - clear) * 3, abs(limit) * (0.12 if isinstance(rule, BatteryRule) else 0.5), 1e-9)
    low, high = min([limit, clear, *known]), max([limit, clear, *known])
    if rule.above is not None:
        low = min(0.0, low) if limit >= 0 else low - room
        return Scale(low, max(high * 1.05, limit + room) if high > 0 else limit + room)
    floor = limit - room
    return Scale(min(max(floor, 0.0) if limit >= 0 else floor, low), max(high, limit + 2 * room))


def gauge_html(rule: AlarmRule, found: Sequence[Measurement]) -> str:
    """Return the drawing of a rule: its threshold, where it clears (dotted), and the present numbers."""
    known = [one for one in found if one.value is not None and one.value == one.value]
    scale = scale_of(rule, [one.value for one in known if one.value is not None])
    at, clear = scale.place(rule.threshold), scale.place(rule.clears_at)
    beyond = f"left:{at:.2f}%;right:0" if rule.above is not None else f"left:0;width:{at:.2f}%"
    words = rule.level if isinstance(rule, InstrumentRule) else f"{rule.level} {limit_words(rule)}"
    dots = "".join(
        f'<i class="now" style="left:{scale.place(one.value or 0.0):.2f}%" '
        f'title="{escape(f"{one.subject}: {value_words(rule, one.value)}", quote=True)}"></i>'
        for one in known
    )
    place = "first" if at < 18 else "last" if at > 82 else ""
    return (
        f'<div class="so-gauge" role="img" aria-label="{escape(f"{words}; now {now_words(rule, found)}", quote=True)}">'
        f'<div class="bar"><i class="beyond {rule.level}" style="{beyond}"></i>'
        f'<i class="clear" style="left:{clear:.2f}%" '
        f'title="{escape(f"ends at {value_words(rule, rule.clears_at, exact=True)}", quote=True)}"></i>'
        f'<i class="limit {rule.level}" style="left:{at:.2f}%"></i>{dots}</div>'
        f'<span class="label {place}" style="left:{at:.2f}%">{escape(words)}</span></div>'
    )


def now_words(rule: AlarmRule, found: Sequence[Measurement]) -> str:
    """Return the present numbers of a rule, each with what it is of where there are several."""
    if not found:
        return "nothing to watch now"
    if all(one.value is None for one in found):
        return found[0].words if isinstance(rule, NoDataRule) else "not known now"
    if len(found) == 1:
        return value_words(rule, found[0].value)
    return ", ".join(f"{one.subject} {value_words(rule, one.value)}" for one in found)


# --- events ------------------------------------------------------------------------------------------------------


def worst_words(rule: AlarmRule | None, event: Event) -> str:
    """Return the worst number of an event."""
    if event.extreme is None:
        return ""
    return value_words(rule, event.extreme) if rule is not None else number(event.extreme, 3)


def told_words(messages: Sequence[Message]) -> str:
    """Return who was told of an event; empty where the site file names nobody."""
    return ", ".join(f"{one.target}: {_TOLD[one.state]}" for one in messages if one.kind == "began")


def history_html(events: Sequence[Event], rules: dict[str, AlarmRule], told: dict[int, list[Message]]) -> str:
    """Return the table of events, newest first."""
    rows: list[tuple[str, ...]] = []
    for event in events:
        worst = worst_words(rules.get(event.rule), event)
        seen = MISSING
        if event.acknowledged_by is not None:
            note = f"<br><small>“{escape(event.note)}”</small>" if event.note else ""
            seen = f"{escape(event.acknowledged_by)}, {stamp_html(event.acknowledged)}{note}"
        lasted = (event.ended - event.began).total_seconds() if event.ended is not None else None
        rows.append(
            (
                f"{escape(event.rule)} <small>{escape(event.subject)}</small>",
                chip_html(event.level, level_state(event.level)),
                stamp_html(event.began),
                "goes on" if lasted is None else duration(lasted),
                escape(worst) or MISSING,
                seen,
                escape(told_words(told.get(event.id, []))) or MISSING,
            )
        )
    columns: tuple[Column, ...] = (
        Column("Rule", "lead"),
        Column("Level", "tight"),
        Column("Began", "tight"),
        Column("Lasted", "tight"),
        Column("Worst", "tight"),
        Column("Acknowledged"),
        Column("Told", "", "Who the site file says is told, and whether the message went out."),
    )
    if not told:
        columns, rows = columns[:-1], [row[:-1] for row in rows]
    return table_html(columns, rows, test="history-table")
