import math
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from so2cam.core.intervals import Interval, difference, intersection
from so2cam.core.power_plan import PowerPlan
from so2cam.core.site_camera import GeoPoint
from so2cam.core.site_schedule import Battery, Power, Schedule, Window
from so2cam.formats.wittypi import format_wittypi, parse_wittypi
from so2cam.observe.power import (
    BatteryState,
    BatteryWatch,
    PowerStep,
    PowerSwitch,
    compile_power,
    follow_power,
    next_switch,
    power_intervals,
    watch_battery,
)
from so2cam.observe.schedule import action_intervals

VILLARRICA = GeoPoint(latitude=-39.42, longitude=-71.93, altitude_m=2847)
EREBUS = GeoPoint(latitude=-77.53, longitude=167.17, altitude_m=3794)
NOW = datetime(2023, 4, 17, 12, 34, 56, tzinfo=UTC)


def through_the_file(plan: PowerPlan) -> PowerPlan:
    return parse_wittypi(format_wittypi(plan))


def test_windows_by_the_clock_give_the_known_file() -> None:
    schedule = Schedule(
        windows=(Window(do="power", start="09:00", end="17:00"), Window(do="power", start="23:00", end="01:00"))
    )
    for now in (NOW, datetime(2023, 4, 18, 0, 30, tzinfo=UTC), datetime(2023, 4, 18, 8, 59, tzinfo=UTC)):
        text = format_wittypi(compile_power(schedule, VILLARRICA, now))
        assert "# on_time=09:00\n# off_time=17:00\n# on_time_2=23:00\n# off_time_2=01:00\n" in text
        assert "BEGIN 2023-04-17 09:00:00\n" in text
        assert text.endswith("ON H8 M0\nOFF H6 M0\nON H2 M0\nOFF H8 M0\n")


def test_without_power_windows_it_is_always_on() -> None:
    text = format_wittypi(compile_power(Schedule(), VILLARRICA, NOW))
    assert text.endswith("ON H24 M0\nOFF H0 M0\n")


def test_sun_based_days_are_written_out_ahead() -> None:
    schedule = Schedule(windows=(Window(do="capture", sun_above_deg=5),), power=Power(mode="follow", days_ahead=14))
    plan = through_the_file(compile_power(schedule, VILLARRICA, NOW))
    assert plan.begin <= NOW
    assert plan.cycle == timedelta(days=14)
    assert len(plan.states) == 28
    span = Interval(NOW, NOW + timedelta(days=13))
    capture = action_intervals(schedule, VILLARRICA, "capture", span)
    assert difference(capture, plan.on_intervals(span)) == ()


def test_it_never_stays_off_for_longer_than_a_look_in() -> None:
    # In the polar night nothing is captured for months; the node still wakes up every day.
    schedule = Schedule(windows=(Window(do="capture", sun_above_deg=5),), power=Power(mode="follow"))
    plan = compile_power(schedule, EREBUS, datetime(2024, 6, 10, 7, tzinfo=UTC))
    span = Interval(plan.begin, plan.begin + timedelta(days=40))
    on = plan.on_intervals(span)
    assert len(on) >= 39
    assert all(piece.duration == timedelta(minutes=15) for piece in on)
    assert max(gap.duration for gap in difference((span,), on)) <= timedelta(hours=24)


clock = st.integers(0, 287).map(lambda fives: f"{fives // 12:02d}:{fives % 12 * 5:02d}")
by_clock = st.tuples(clock, clock).filter(lambda pair: pair[0] != pair[1])
moments = st.integers(0, 366 * 24 * 60).map(
    lambda minutes: datetime(2024, 1, 1, tzinfo=UTC) + timedelta(minutes=minutes)
)


@settings(max_examples=60, deadline=None)
@given(st.lists(by_clock, min_size=1, max_size=3), moments, st.sampled_from([1, 6, 24]))
def test_clock_windows_compiled_equal_the_windows_for_ever(
    pairs: list[tuple[str, str]], now: datetime, look_in_h: int
) -> None:
    schedule = Schedule(
        windows=tuple(Window(do="power", start=start, end=end) for start, end in pairs),
        power=Power(look_in_h=look_in_h),
    )
    plan = through_the_file(compile_power(schedule, VILLARRICA, now))
    assert plan.begin <= now
    for ahead in (0, 200):
        span = Interval(now + timedelta(days=ahead), now + timedelta(days=ahead + 3))
        assert plan.on_intervals(span) == power_intervals(schedule, VILLARRICA, span)


@settings(max_examples=30, deadline=None)
@example(7, None, datetime(2024, 12, 6, 5, 27, tzinfo=UTC), 0.0, 0.0, 2)
@given(
    st.integers(-15, 25),
    st.none() | by_clock,
    moments,
    st.floats(-75, 75),
    st.floats(-180, 180),
    st.integers(1, 20),
)
def test_sun_windows_compiled_equal_the_windows_for_the_days_ahead(
    elevation: int, pair: tuple[str, str] | None, now: datetime, latitude: float, longitude: float, days: int
) -> None:
    place = GeoPoint(latitude=latitude, longitude=longitude, altitude_m=0)
    start, end = pair or (None, None)
    schedule = Schedule(
        windows=(Window(do="power", start=start, end=end, sun_above_deg=elevation),), power=Power(days_ahead=days)
    )
    plan = through_the_file(compile_power(schedule, place, now))
    assert plan.begin <= now
    assert plan.cycle == timedelta(days=days)
    last = plan.begin + plan.cycle - timedelta(hours=3)
    if last > now:
        span = Interval(now, last)
        assert plan.on_intervals(span) == power_intervals(schedule, place, span)
    # What the schedule wants is there, to the second, but for gaps that a board does not switch.
    wanted = action_intervals(
        schedule, place, "power", Interval(plan.begin, max(last, plan.begin + timedelta(hours=1)))
    )
    missing = difference(wanted, plan.on_intervals(Interval(plan.begin, plan.begin + plan.cycle)))
    assert missing == () or last <= now


@settings(max_examples=30, deadline=None)
@given(moments, st.integers(1, 72))
def test_power_times_do_not_depend_on_the_span(now: datetime, hours: int) -> None:
    schedule = Schedule(
        windows=(Window(do="power", sun_above_deg=20), Window(do="power", start="23:00", end="00:10")),
        power=Power(look_in_h=6),
    )
    narrow = Interval(now, now + timedelta(hours=hours))
    wide = Interval(now - timedelta(days=3), now + timedelta(days=5))
    assert power_intervals(schedule, VILLARRICA, narrow) == intersection(
        power_intervals(schedule, VILLARRICA, wide), (narrow,)
    )


def test_the_boards_next_alarms() -> None:
    schedule = Schedule(windows=(Window(do="power", start="09:00", end="17:00"),))
    day = datetime(2023, 4, 17, tzinfo=UTC)
    tomorrow = day + timedelta(days=1, hours=9)
    assert next_switch(schedule, VILLARRICA, NOW) == PowerSwitch(day + timedelta(hours=17), tomorrow)
    # Switched on by hand in the night: nobody switches it off, and the morning comes as planned.
    assert next_switch(schedule, VILLARRICA, day + timedelta(hours=22)) == PowerSwitch(None, tomorrow)
    assert next_switch(Schedule(), VILLARRICA, NOW) == PowerSwitch(None, None)


@settings(max_examples=25, deadline=None)
@given(moments)
def test_the_alarms_are_the_edges_of_the_power_times(now: datetime) -> None:
    schedule = Schedule(windows=(Window(do="capture", sun_above_deg=5),), power=Power(mode="follow"))
    switch = next_switch(schedule, VILLARRICA, now)
    on = power_intervals(schedule, VILLARRICA, Interval(now - timedelta(days=2), now + timedelta(days=3)))
    if switch.off is not None:
        assert switch.off in [piece.end for piece in on]
    assert switch.on in [piece.start for piece in on]
    assert (switch.off is not None) == any(piece.contains(now) for piece in on)


def test_the_end_of_a_time_with_power_is_seen_once() -> None:
    schedule = Schedule(windows=(Window(do="power", start="09:00", end="17:00"),))
    day = datetime(2023, 4, 17, tzinfo=UTC)
    on, seen = False, []
    for minute in range(0, 3 * 24 * 60, 7):
        now = day + timedelta(minutes=minute)
        step = follow_power(on, schedule, VILLARRICA, now)
        if step.wake is not None:
            seen.append((now, step.wake))
        on = step.on
    assert [wake for _, wake in seen] == [day + timedelta(days=each, hours=9) for each in (1, 2, 3)]
    assert all(17 <= now.hour + now.minute / 60 < 17.2 for now, _ in seen)


def test_a_node_switched_on_by_hand_stays_on() -> None:
    schedule = Schedule(windows=(Window(do="power", start="09:00", end="17:00"),))
    night = datetime(2023, 4, 17, 22, tzinfo=UTC)
    assert follow_power(False, schedule, VILLARRICA, night) == PowerStep(False, None)
    assert follow_power(True, Schedule(), VILLARRICA, night) == PowerStep(True, None)


SETTINGS = Battery(floor_v=11.6, recovery_v=12.4, confirm_s=120, retry_h=6, look_s=180)


def test_a_dip_of_the_voltage_does_not_switch_off() -> None:
    watch = BatteryWatch()
    for time, voltage in ((0, 12.5), (10, 11.0), (100, 11.2), (125, 11.7), (130, 11.0), (240, 11.0)):
        decision = watch_battery(watch, voltage, time, SETTINGS)
        assert not decision.shut_down
        watch = decision.watch
    assert watch.state is BatteryState.LOW


def test_a_weak_battery_shuts_down_and_comes_back_only_when_recovered() -> None:
    watch = watch_battery(BatteryWatch(), 11.5, 0, SETTINGS).watch
    decision = watch_battery(watch, 11.5, 120, SETTINGS)
    assert decision.shut_down
    assert decision.wake_after == timedelta(hours=6)
    assert "11.50 V" in decision.reason
    # The next start: the clock begins anew, and the battery is between floor and recovery.
    watch = BatteryWatch(BatteryState.RECOVERING, 5.0)
    decision = watch_battery(watch, 12.0, 60, SETTINGS)
    assert not decision.shut_down
    decision = watch_battery(decision.watch, 12.0, 185, SETTINGS)
    assert decision.shut_down
    decision = watch_battery(watch, 12.4, 60, SETTINGS)
    assert not decision.shut_down
    assert decision.watch.state is BatteryState.GOOD


@pytest.mark.parametrize("voltage", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("state", list(BatteryState))
def test_a_broken_sensor_never_switches_off(voltage: float, state: BatteryState) -> None:
    decision = watch_battery(BatteryWatch(state, 0.0), voltage, 1e6, SETTINGS)
    assert not decision.shut_down
    assert decision.watch == BatteryWatch(state, 0.0)


@given(st.lists(st.floats(10, 14), min_size=1, max_size=60))
def test_it_only_shuts_down_below_the_floor_and_for_long_enough(voltages: list[float]) -> None:
    watch, low_since = BatteryWatch(), None
    for index, voltage in enumerate(voltages):
        time = 30.0 * index
        low_since = None if voltage >= SETTINGS.floor_v else time if low_since is None else low_since
        decision = watch_battery(watch, voltage, time, SETTINGS)
        assert decision.shut_down == (low_since is not None and time - low_since >= SETTINGS.confirm_s)
        if decision.shut_down:
            break
        watch = decision.watch
