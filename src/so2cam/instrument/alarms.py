"""Alarm conditions on values of the health record, with hysteresis and a time that they must hold."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from so2cam.core.health import AlarmHealth, HealthRecord, Level
from so2cam.core.site_instrument import Alarm

_DEFAULT_HYSTERESIS: Final = 0.05
"""Share of the threshold by which a value must be back within it, where no value to clear at is given."""


@dataclass(frozen=True, slots=True)
class AlarmState:
    """What is known of one condition: since when its value is beyond the threshold, and whether it is raised."""

    beyond_since_s: float | None = None
    raised_since: datetime | None = None


def clear_value(alarm: Alarm) -> float:
    """Return the value at which a raised alarm ends."""
    if alarm.clear is not None:
        return alarm.clear
    margin = abs(alarm.threshold) * _DEFAULT_HYSTERESIS
    return alarm.threshold - margin if alarm.above is not None else alarm.threshold + margin


def next_alarm_state(
    alarm: Alarm, state: AlarmState, value: float | None, monotonic_s: float, time: datetime
) -> AlarmState:
    """Return the state after ``value`` was seen. A value of None (it could not be read) leaves the state as it is."""
    if value is None:
        return state
    raised = state.raised_since is not None
    limit = clear_value(alarm) if raised else alarm.threshold
    if not (value > limit if alarm.above is not None else value < limit):
        return AlarmState()
    if raised:
        return state
    since = monotonic_s if state.beyond_since_s is None else state.beyond_since_s
    return AlarmState(since, time if monotonic_s - since >= alarm.for_s else None)


class AlarmBoard:
    """The conditions of a site file, followed from record to record."""

    def __init__(self, alarms: Sequence[Alarm]) -> None:
        self._alarms = tuple(alarms)
        self._states = {alarm.name: AlarmState() for alarm in alarms}

    def update(self, record: HealthRecord, monotonic_s: float) -> tuple[AlarmHealth, ...]:
        """Return the alarms that are raised after ``record``."""
        values = flatten(record)
        raised = []
        for alarm in self._alarms:
            value = values.get(alarm.quantity)
            state = next_alarm_state(alarm, self._states[alarm.name], value, monotonic_s, record.time)
            self._states[alarm.name] = state
            if state.raised_since is not None:
                raised.append(
                    AlarmHealth(
                        name=alarm.name, level=Level(alarm.level), text=_words(alarm, value), since=state.raised_since
                    )
                )
        return tuple(raised)

    def unknown(self, record: HealthRecord) -> list[str]:
        """Return the quantities that ``record`` does not have at all: most likely misspelt in the site file."""
        known = flatten(record, missing=float("nan"))
        return [alarm.quantity for alarm in self._alarms if alarm.quantity not in known]


def flatten(record: HealthRecord, missing: float | None = None) -> dict[str, float | None]:
    """Return the numbers of a record by dotted key; devices, disks and alarms by their name. Yes is 1, no is 0."""
    found: dict[str, float | None] = {}
    data = record.model_dump()
    for disk, plain in zip(record.disks, data["disks"], strict=True):
        plain["free_fraction"] = disk.free_fraction
    _collect(data, "", found, missing)
    return found


def _collect(value: Any, key: str, found: dict[str, float | None], missing: float | None) -> None:
    if isinstance(value, Mapping):
        for name, inner in value.items():
            _collect(inner, f"{key}.{name}" if key else str(name), found, missing)
    elif isinstance(value, tuple | list):
        for inner in value:
            if isinstance(inner, Mapping) and "name" in inner:
                _collect(inner, f"{key}.{inner['name']}", found, missing)
    elif isinstance(value, bool | int | float):
        found[key] = float(value)
    elif value is None:
        found[key] = missing


def _words(alarm: Alarm, value: float | None) -> str:
    side = "above" if alarm.above is not None else "below"
    seen = "not readable now" if value is None else f"{value:.4g}"
    return f"{alarm.quantity} is {seen}, {side} {alarm.threshold:.4g}"
