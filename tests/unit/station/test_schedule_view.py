"""A day of a schedule as it is drawn, and what somebody typed."""

from datetime import UTC, date, datetime

import pytest

from so2cam.core.site_schedule import Battery, Power, Schedule, Window
from so2cam.station.schedule_view import STEP_MIN, day_view, findings, next_power, parse_draft

PLACE = (-38.3, -71.5)


def test_a_day_has_the_sun_and_each_window() -> None:
    schedule = Schedule(
        windows=(
            Window(do="capture", sun_above_deg=5.0),
            Window(do="darks", start="03:00", end="04:00", sun_below_deg=-12.0),
        )
    )
    day = day_view(schedule, *PLACE, date(2026, 11, 27))
    assert len(day.elevations_deg) == 24 * 60 // STEP_MIN + 1
    ((start, end),) = day.windows[0]
    assert day.elevations_deg[round(start * 60 / STEP_MIN)] == pytest.approx(5.0, abs=0.6)
    assert day.windows[1] == ((3.0, 4.0),)
    assert day.actions["capture"] == day.windows[0]
    assert day.dark_sets == (3.0,)
    assert day.actions["power"] == ((0.0, 24.0),)
    assert day.light["day"][0][0] < start < end


def test_without_a_schedule_it_captures_always() -> None:
    day = day_view(None, *PLACE, date(2026, 6, 21))
    assert day.actions["capture"] == ((0.0, 24.0),)
    assert day.windows == ()


def test_a_draft_keeps_what_the_form_does_not_have() -> None:
    base = Schedule(power=Power(battery=Battery(floor_v=11.0), board_folder="/opt/wittypi"))
    made = parse_draft([{"do": "capture", "start": "", "sun_above_deg": 5}], {"minimum_off_min": 30}, base)
    assert made.windows == (Window(do="capture", sun_above_deg=5.0),)
    assert made.power == base.power.model_copy(update={"minimum_off_min": 30.0})


@pytest.mark.parametrize(
    ("window", "words"),
    [
        ({"do": "capture", "start": "25:00", "end": "26:00"}, "window 2: start"),
        ({"do": "capture", "start": "09:00"}, "end is missing"),
        ({"do": "capture", "sun_above_deg": "high"}, "window 2: sun_above_deg"),
        ({"do": "capture", "repeat_min": 30}, "repeat_min belongs"),
    ],
)
def test_a_draft_that_cannot_be_says_which_window(window: dict[str, object], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        parse_draft([{"do": "power", "start": "00:00", "end": "24:00"}, window], {}, None)


def test_contradictions_and_power() -> None:
    schedule = Schedule(
        windows=(Window(do="capture", start="08:00", end="12:00"), Window(do="darks", start="11:00", end="12:00")),
        power=Power(mode="follow"),
    )
    assert {finding.severity for finding in findings(schedule, *PLACE, 2026)} == {"error", "risk"}
    off, on = next_power(schedule, *PLACE, datetime(2026, 11, 27, 9, tzinfo=UTC))
    assert off == datetime(2026, 11, 27, 12, 10, tzinfo=UTC)
    assert on is not None
    assert on > off
