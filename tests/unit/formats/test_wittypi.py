import contextlib
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from so2cam.core.intervals import Interval
from so2cam.core.power_plan import PowerPlan, PowerState
from so2cam.formats.wittypi import PowerScheduleError, format_wittypi, parse_wittypi

# The form that existing instruments have, with two windows: 09:00-17:00 and 23:00-01:00.
TWO_WINDOWS = """# Raspberry Pi start-up/shut-down schedule script
# on_time=09:00
# off_time=17:00
# on_time_2=23:00
# off_time_2=01:00
BEGIN 2023-04-17 09:00:00
END 2038-01-01 12:00:00
ON H8 M0
OFF H6 M0
ON H2 M0
OFF H8 M0
"""


def at(day: int, hour: int, minute: int = 0) -> datetime:
    return datetime(2023, 4, day, hour, minute, tzinfo=UTC)


def test_the_known_file_means_its_windows_and_is_written_the_same() -> None:
    plan = parse_wittypi(TWO_WINDOWS)
    assert plan.on_intervals(Interval(at(20, 0), at(21, 0))) == (
        Interval(at(20, 0), at(20, 1)),
        Interval(at(20, 9), at(20, 17)),
        Interval(at(20, 23), at(21, 0)),
    )
    assert plan.is_on(at(17, 9))
    assert not plan.is_on(at(17, 8, 59))
    assert plan.is_on(at(18, 0, 59))
    assert not plan.is_on(at(18, 1))
    assert format_wittypi(plan) == TWO_WINDOWS


def test_the_file_of_an_existing_instrument_is_read(data_dir: Path) -> None:
    path = data_dir / "legacy_config" / "witty_schedule.wpi"
    text = path.read_text(encoding="utf-8")
    plan = parse_wittypi(text, file=str(path))
    assert plan.on_intervals(Interval(at(20, 0), at(21, 0))) == (Interval(at(20, 11, 40), at(20, 23, 59)),)
    assert format_wittypi(plan).split() == text.split()


def test_always_on_is_one_state_of_a_day() -> None:
    plan = PowerPlan(at(17, 0), at(30, 0), (PowerState(True, timedelta(days=1)), PowerState(False, timedelta(0))))
    text = format_wittypi(plan)
    assert "ON H24 M0\nOFF H0 M0\n" in text
    assert "on_time" not in text
    assert parse_wittypi(text) == plan
    assert plan.on_intervals(Interval(at(18, 0), at(20, 0))) == (Interval(at(18, 0), at(20, 0)),)


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        ("ON H8 M0", "ON H8 M0 WAIT", "WAIT leaves"),
        ("ON H8 M0", "ON H8 H1", "stands there twice"),
        ("ON H8 M0", "ON", "is no line"),
        ("ON H8 M0", "ON H-8", "is no line"),
        ("ON H8 M0", "ON H8 M0; reboot", "is no line"),
        ("ON H8 M0", "$(reboot)", "is no line"),
        ("OFF H6 M0\n", "", "in turn|pairs"),
        ("BEGIN 2023-04-17", "BEGIN 2023-04-31", "is no time"),
        ("BEGIN 2023-04-17 09:00:00\n", "", "has no line BEGIN"),
        ("END", "BEGIN", "stands there twice"),
        ("END 2038", "END 2003", "must end after"),
        ("ON H8 M0", "ON D99999", "longer than 400 days"),
    ],
)
def test_what_is_no_schedule_is_refused_with_its_line(old: str, new: str, complaint: str) -> None:
    with pytest.raises(PowerScheduleError, match=complaint):
        parse_wittypi(TWO_WINDOWS.replace(old, new), file="schedule.wpi")


def test_too_long_a_file_is_refused() -> None:
    with pytest.raises(PowerScheduleError, match="too long"):
        parse_wittypi("#" * 100_000)


def test_what_the_file_cannot_say_is_not_written() -> None:
    half = timedelta(milliseconds=500)
    plan = PowerPlan(at(17, 0), at(30, 0), (PowerState(True, half), PowerState(False, half)))
    with pytest.raises(PowerScheduleError, match="whole seconds"):
        format_wittypi(plan)
    with pytest.raises(PowerScheduleError, match="several lines"):
        format_wittypi(parse_wittypi(TWO_WINDOWS), comments=("a\nON H1",))


@given(st.text(max_size=300) | st.text(alphabet="BEGINDOFHMS 0123456789:-\n#WAIT", max_size=300))
def test_any_text_is_a_plan_or_a_clear_error(text: str) -> None:
    with contextlib.suppress(PowerScheduleError):
        assert parse_wittypi(text).states


durations = st.integers(1, 40_000).map(lambda seconds: timedelta(seconds=seconds))


@given(st.lists(st.tuples(durations, durations), min_size=1, max_size=6))
def test_a_plan_survives_the_file(pairs: list[tuple[timedelta, timedelta]]) -> None:
    states = tuple(PowerState(on, length) for pair in pairs for on, length in zip((True, False), pair, strict=True))
    plan = PowerPlan(at(17, 9), at(30, 0), states)
    assert parse_wittypi(format_wittypi(plan, comments=("made by a test",))) == plan


@given(st.lists(st.tuples(durations, durations), min_size=1, max_size=4), st.integers(-100_000, 2_000_000))
def test_moments_and_stretches_of_a_plan_agree(pairs: list[tuple[timedelta, timedelta]], second: int) -> None:
    states = tuple(PowerState(on, length) for pair in pairs for on, length in zip((True, False), pair, strict=True))
    plan = PowerPlan(at(17, 9), at(30, 0), states)
    time = plan.begin + timedelta(seconds=second)
    around = plan.on_intervals(Interval(time - timedelta(hours=1), time + timedelta(hours=1)))
    assert plan.is_on(time) == any(piece.contains(time) for piece in around)
