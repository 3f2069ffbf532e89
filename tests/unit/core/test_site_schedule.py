from typing import Any

import pytest
from pydantic import ValidationError

from so2cam.core.site_schedule import Battery, Power, Schedule, Window, parse_clock


@pytest.mark.parametrize("text", ["9:00", "25:00", "24:01", "09:60", "09:00Z", "noon", "", "09:00:00.5", "-1:00"])
def test_a_time_of_the_day_is_written_in_one_way(text: str) -> None:
    with pytest.raises(ValueError, match="write it like 09:30"):
        parse_clock(text)


@pytest.mark.parametrize(
    ("given", "complaint"),
    [
        ({"do": "capture", "start": "09:00"}, "end is missing"),
        ({"do": "capture", "end": "09:00"}, "start is missing"),
        ({"do": "capture", "start": "09:00", "end": "09:00"}, "are the same"),
        ({"do": "capture", "start": "24:00", "end": "09:00"}, "can only end"),
        ({"do": "capture", "sun_above_deg": 5, "sun_below_deg": 5}, "at once"),
        ({"do": "capture", "repeat_min": 60}, "belongs to windows"),
        ({"do": "capture", "sun_above_deg": 91}, "less than or equal"),
        ({"do": "sleep"}, "capture"),
        ({"do": "capture", "begin": "09:00"}, "Extra inputs"),
    ],
)
def test_a_window_that_cannot_be_is_refused(given: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ValidationError, match=complaint):
        Window(**given)


def test_power_times_have_one_source() -> None:
    power, capture = Window(do="power", start="08:00", end="18:00"), Window(do="capture", start="09:00", end="17:00")
    with pytest.raises(ValidationError, match="two answers"):
        Schedule(windows=(power, capture), power=Power(mode="follow"))
    with pytest.raises(ValidationError, match="to follow"):
        Schedule(windows=(), power=Power(mode="follow"))
    assert Schedule(windows=(power, capture)).windows_for("power") == (power,)


def test_limits_of_power_and_battery() -> None:
    with pytest.raises(ValidationError, match="must lie above"):
        Battery(floor_v=12.0, recovery_v=12.0)
    with pytest.raises(ValidationError, match="same every day"):
        Power(look_in_h=5)
    with pytest.raises(ValidationError, match="pattern"):
        Power(board_folder="relative/../path x")


def test_a_window_in_words() -> None:
    assert Window(do="capture", start="09:00", end="17:30", sun_above_deg=5).words() == (
        "09:00-17:30 UTC, sun above 5 degrees"
    )
    assert Window(do="darks", sun_below_deg=-12).words() == "sun below -12 degrees"
    assert Window(do="capture").words() == "always"
