"""Alarm conditions: hysteresis, the time that they must hold, values that cannot be read."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from so2cam.core.health import ClockHealth, DeviceHealth, DiskHealth, HealthRecord, Level, SpoolHealth
from so2cam.core.site_instrument import Alarm
from so2cam.instrument.alarms import AlarmBoard, AlarmState, clear_value, flatten, next_alarm_state

START = datetime(2026, 3, 1, 12, tzinfo=UTC)


def record(voltage: float | None, free: int = 50, at_s: float = 0.0) -> HealthRecord:
    readings = {} if voltage is None else {"input_voltage_v": voltage}
    return HealthRecord(
        time=START + timedelta(seconds=at_s),
        node="lead",
        site="bench",
        version="0",
        reason="minute",
        level=Level.OK,
        summary="",
        activity="",
        devices=(DeviceHealth(name="power", role="power", readings=readings),),
        disks=(DiskHealth(name="spool", path="/x", present=True, free_bytes=free, total_bytes=100),),
        spool=SpoolHealth(),
        clock=ClockHealth(quality="ntp", offset_s=0.001),
    )


def test_an_alarm_begins_after_its_time_and_ends_at_its_clear_value() -> None:
    alarm = Alarm(name="battery", quantity="devices.power.readings.input_voltage_v", below=11.8, clear=12.2, for_s=60.0)
    board = AlarmBoard([alarm])
    seen = []
    voltages = [12.5, 11.7, 11.7, 11.7, 11.9, 12.1, 12.3, 11.9, 11.7]
    for minute, voltage in enumerate(voltages):
        raised = board.update(record(voltage, at_s=60.0 * minute), 60.0 * minute)
        seen.append(bool(raised))
        if raised:
            assert raised[0].since == START + timedelta(minutes=2)
            assert "below 11.8" in raised[0].text
    assert seen == [False, False, True, True, True, True, False, False, False]


def test_a_value_that_cannot_be_read_changes_nothing() -> None:
    alarm = Alarm(name="battery", quantity="devices.power.readings.input_voltage_v", below=11.8)
    board = AlarmBoard([alarm])
    assert board.update(record(11.0), 0.0)
    assert board.update(record(None), 60.0)
    assert not board.update(record(13.0), 120.0)


def test_shares_of_disks_can_be_watched_and_unknown_quantities_are_named() -> None:
    disk = Alarm(name="disk", quantity="disks.spool.free_fraction", below=0.1, level="warning")
    wrong = Alarm(name="typo", quantity="disks.spol.free_fraction", below=0.1)
    board = AlarmBoard([disk, wrong])
    assert [alarm.name for alarm in board.update(record(None, free=5), 0.0)] == ["disk"]
    assert board.unknown(record(None)) == ["disks.spol.free_fraction"]
    assert flatten(record(12.0))["clock.offset_s"] == 0.001
    assert flatten(record(12.0))["devices.power.readings.input_voltage_v"] == 12.0


def test_contradictions_are_refused() -> None:
    for keys in (
        {"above": 1.0, "below": 2.0},
        {},
        {"above": 5.0, "clear": 6.0},
        {"below": 5.0, "clear": 4.0},
        {"above": 1.0, "quantity": "no spaces please"},
    ):
        with pytest.raises(ValidationError):
            Alarm(**{"name": "x", "quantity": "system.load", **keys})


@given(st.lists(st.floats(0, 20), min_size=1, max_size=60), st.floats(5, 15), st.booleans())
def test_it_never_flips_within_its_hysteresis(values: list[float], threshold: float, above: bool) -> None:
    side = {"above": threshold} if above else {"below": threshold}
    alarm = Alarm(name="x", quantity="system.load", **side)
    clear = clear_value(alarm)
    state = AlarmState()
    for index, value in enumerate(values):
        before = state.raised_since is not None
        state = next_alarm_state(alarm, state, value, float(index), START)
        now = state.raised_since is not None
        if before != now:
            beyond = value > threshold if above else value < threshold
            back = value <= clear if above else value >= clear
            assert beyond if now else back
