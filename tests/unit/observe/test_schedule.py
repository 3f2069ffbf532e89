from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from so2cam.core.intervals import Interval
from so2cam.core.site_camera import GeoPoint
from so2cam.core.site_schedule import ACTIONS, Power, Schedule, Window
from so2cam.observe.schedule import (
    Change,
    action_intervals,
    actions_at,
    check_schedule,
    dark_sets_due,
    next_change,
)
from so2cam.observe.sun import sun_elevation_deg

VILLARRICA = GeoPoint(latitude=-39.42, longitude=-71.93, altitude_m=2847)
EREBUS = GeoPoint(latitude=-77.53, longitude=167.17, altitude_m=3794)
DAY = datetime(2018, 3, 26, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


def at(hour: int, minute: int = 0, *, day: int = 0) -> datetime:
    return DAY + timedelta(days=day, hours=hour, minutes=minute)


def one_day(schedule: Schedule, action: str, place: GeoPoint = VILLARRICA) -> tuple[Interval, ...]:
    return action_intervals(schedule, place, action, Interval(at(0), at(24)))  # type: ignore[arg-type]


def test_windows_by_the_clock_over_midnight_too() -> None:
    # The two power windows of an existing instrument: 09:00-17:00 and 23:00-01:00.
    schedule = Schedule(
        windows=(Window(do="power", start="09:00", end="17:00"), Window(do="power", start="23:00", end="01:00"))
    )
    assert one_day(schedule, "power") == (
        Interval(at(0), at(1)),
        Interval(at(9), at(17)),
        Interval(at(23), at(24)),
    )
    assert "power" in actions_at(schedule, VILLARRICA, at(0, 30))
    assert "power" not in actions_at(schedule, VILLARRICA, at(1))
    assert "power" in actions_at(schedule, VILLARRICA, at(9))


def test_without_windows_it_captures_whenever_there_is_power() -> None:
    assert actions_at(Schedule(), VILLARRICA, at(3)) == {"capture", "power"}
    assert next_change(Schedule(), VILLARRICA, at(3)) is None


def test_all_conditions_of_a_window_must_hold() -> None:
    schedule = Schedule(windows=(Window(do="capture", start="11:00", end="20:00", sun_above_deg=10),))
    (interval,) = one_day(schedule, "capture")
    # At Villarrica on that day the sun passes 10 degrees at about 11:57 UTC, and the window ends by the clock.
    assert interval.start > at(11, 45)
    assert interval.end == at(20)
    assert sun_elevation_deg(interval.start, -39.42, -71.93) == pytest.approx(10, abs=0.005)


def test_the_next_change_is_the_first_edge_of_any_action() -> None:
    schedule = Schedule(
        windows=(
            Window(do="capture", start="09:00", end="17:00"),
            Window(do="darks", start="23:00", end="23:30"),
            Window(do="housekeeping", start="17:00", end="18:00"),
        )
    )
    assert next_change(schedule, VILLARRICA, at(8)) == Change(at(9), frozenset({"capture"}), frozenset())
    assert next_change(schedule, VILLARRICA, at(9)) == Change(
        at(17), frozenset({"housekeeping"}), frozenset({"capture"})
    )
    assert next_change(schedule, VILLARRICA, at(23, 30)) == Change(at(9, day=1), frozenset({"capture"}), frozenset())


def test_the_next_change_after_a_polar_night_is_found() -> None:
    schedule = Schedule(windows=(Window(do="capture", sun_above_deg=0),))
    change = next_change(schedule, EREBUS, datetime(2024, 5, 1, tzinfo=UTC))
    assert change is not None
    assert datetime(2024, 8, 15, tzinfo=UTC) < change.time < datetime(2024, 8, 30, tzinfo=UTC)
    assert change.begins == {"capture"}


def test_power_follows_the_other_windows_with_its_margins() -> None:
    schedule = Schedule(
        windows=(
            Window(do="capture", start="09:00", end="17:00"),
            Window(do="housekeeping", start="17:25", end="17:40"),
            Window(do="darks", start="23:00", end="23:30"),
        ),
        power=Power(mode="follow", start_earlier_min=10, stop_later_min=10, minimum_off_min=20),
    )
    assert one_day(schedule, "power") == (Interval(at(8, 50), at(17, 50)), Interval(at(22, 50), at(23, 40)))
    assert "power" in actions_at(schedule, VILLARRICA, at(8, 50))
    assert "power" not in actions_at(schedule, VILLARRICA, at(8, 49))
    assert "power" in actions_at(schedule, VILLARRICA, at(17, 12))


clock = st.integers(0, 143).map(lambda tens: f"{tens // 6:02d}:{tens % 6}0")
windows = st.builds(
    lambda action, pair, above, below: Window(
        do=action,
        start=pair[0] if pair else None,
        end=pair[1] if pair else None,
        sun_above_deg=above,
        sun_below_deg=below,
    ),
    st.sampled_from(["capture", "darks", "housekeeping", "power"]),
    st.none() | st.tuples(clock, clock).filter(lambda pair: pair[0] != pair[1]),
    st.none() | st.integers(-18, 0),
    st.none() | st.integers(1, 40),
)


@settings(max_examples=40, deadline=None)
@given(
    st.lists(windows, min_size=1, max_size=4),
    st.floats(-80, 80),
    st.floats(-180, 180),
    st.integers(0, 364),
)
def test_stretches_moments_and_changes_tell_one_story(
    several: list[Window], latitude: float, longitude: float, day: int
) -> None:
    schedule = Schedule(windows=tuple(several))
    place = GeoPoint(latitude=latitude, longitude=longitude, altitude_m=0)
    span = Interval(DAY + timedelta(days=day), DAY + timedelta(days=day + 1))
    laid_out = {action: action_intervals(schedule, place, action, span) for action in ACTIONS}
    edges = sorted({edge for pieces in laid_out.values() for piece in pieces for edge in (piece.start, piece.end)})
    # Between the edges, a second away from them, the moment agrees with the stretch.
    for first, second in pairwise([span.start, *edges, span.end]):
        if second - first > timedelta(seconds=3):
            for time in (first + timedelta(seconds=1), first + (second - first) / 2, second - timedelta(seconds=1)):
                expected = {action for action in ACTIONS if any(piece.contains(time) for piece in laid_out[action])}
                assert actions_at(schedule, place, time) == expected
    inner = [edge for edge in edges if span.start < edge < span.end]
    change = next_change(schedule, place, span.start)
    if inner:
        assert change is not None
        assert abs(change.time - inner[0]) < timedelta(seconds=1)
        assert change.begins or change.ends
    else:
        assert change is None or change.time >= span.end - timedelta(seconds=1)


def test_a_dark_set_begins_with_its_window_and_repeats() -> None:
    once = Schedule(windows=(Window(do="darks", start="23:00", end="01:00"),))
    assert dark_sets_due(once, VILLARRICA, Interval(at(0), at(48))) == (at(23), at(23, day=1))
    hourly = Schedule(windows=(Window(do="darks", start="23:00", end="01:00", repeat_min=60),))
    assert dark_sets_due(hourly, VILLARRICA, Interval(at(0), at(24, 30))) == (at(0), at(23), at(24))
    always = Schedule(windows=(Window(do="darks", repeat_min=360),))
    assert dark_sets_due(always, VILLARRICA, Interval(at(1), at(13))) == (at(6), at(12))


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 47), st.integers(1, 30), st.sampled_from([None, 15, 60, 90]))
def test_dark_sets_do_not_depend_on_how_time_is_cut(hour: int, hours: int, repeat: int | None) -> None:
    schedule = Schedule(windows=(Window(do="darks", sun_below_deg=-12, repeat_min=repeat),))
    whole = dark_sets_due(schedule, VILLARRICA, Interval(at(hour), at(hour + 2 * hours)))
    first = dark_sets_due(schedule, VILLARRICA, Interval(at(hour), at(hour + hours)))
    second = dark_sets_due(schedule, VILLARRICA, Interval(at(hour + hours), at(hour + 2 * hours)))
    parts = first + second
    assert len(whole) == len(parts)
    assert all(abs(a - b) < timedelta(seconds=1) for a, b in zip(whole, parts, strict=True))


def messages(schedule: Schedule, place: GeoPoint = VILLARRICA) -> list[str]:
    return [f"{finding.severity}: {finding.message}" for finding in check_schedule(schedule, place, 2024)]


def test_a_sound_schedule_has_nothing_to_say() -> None:
    schedule = Schedule(
        windows=(
            Window(do="capture", sun_above_deg=5),
            Window(do="darks", sun_below_deg=-15),
            Window(do="housekeeping", start="02:00", end="03:00"),
        ),
        power=Power(mode="follow"),
    )
    assert messages(schedule) == []
    assert messages(Schedule()) == []


@pytest.mark.parametrize(
    ("windows", "complaint"),
    [
        (
            [Window(do="capture", start="09:00", end="21:00"), Window(do="darks", start="20:00", end="22:00")],
            "error: capture and darks are wanted at once, every day, first 2024-01-01 20:00 to 21:00 UTC",
        ),
        (
            [Window(do="capture", start="09:00", end="21:00"), Window(do="power", start="09:00", end="20:00")],
            "error: capture is wanted without power, every day, first 2024-01-01 20:00 to 21:00 UTC",
        ),
        (
            # Darks at 23:00 UTC as existing schedules have them: in the Chilean summer the sun is still up.
            [Window(do="capture", start="12:00", end="20:00"), Window(do="darks", start="23:00", end="24:00")],
            "error: darks are wanted in daylight, on ",
        ),
        ([Window(do="capture", sun_above_deg=80)], "error: this window for capture (sun above 80 degrees) never comes"),
        ([Window(do="capture", sun_above_deg=30)], "risk: on "),
        ([Window(do="capture", start="00:00", end="12:00")], "risk: capture is wanted by night"),
        (
            [Window(do="capture", start="12:00", end="18:00"), Window(do="capture", start="17:00", end="20:00")],
            "risk: overlaps windows[0], both for capture, every day, first 2024-01-01 17:00 to 18:00 UTC",
        ),
        (
            [Window(do="power", start="12:00", end="18:00"), Window(do="power", start="18:10", end="20:00")],
            "risk: power would be off for less than 20 minutes",
        ),
        (
            [Window(do="capture", start="14:00", end="18:00"), Window(do="darks", sun_below_deg=-2)],
            "risk: darks are wanted in bright twilight",
        ),
    ],
)
def test_contradictions_are_named_with_the_first_time(windows: list[Window], complaint: str) -> None:
    found = messages(Schedule(windows=tuple(windows)))
    assert any(message.startswith(complaint) for message in found), found


def test_findings_say_where_and_what_to_do_errors_first() -> None:
    schedule = Schedule(
        windows=(
            Window(do="capture", start="00:00", end="20:00"),
            Window(do="darks", start="19:00", end="20:00"),
        )
    )
    found = check_schedule(schedule, VILLARRICA, 2024)
    assert [finding.severity for finding in found] == sorted(finding.severity for finding in found)
    assert all(finding.key.startswith("instrument.schedule") and finding.remedy for finding in found)
    assert found[0].when is not None
