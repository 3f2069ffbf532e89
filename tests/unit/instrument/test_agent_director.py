"""What is wanted when: the schedule, people's wishes, pauses, darks, and a clock that was never set."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from so2cam.core.site_camera import GeoPoint
from so2cam.core.site_schedule import Power, Schedule, Window
from so2cam.formats.wittypi import parse_wittypi
from so2cam.instrument.director import Director
from so2cam.instrument.power_schedule import write_power_schedule

PLACE = GeoPoint(latitude=-38.25, longitude=-71.5, altitude_m=1900.0)
DAY = datetime(2026, 3, 1, tzinfo=UTC)
SCHEDULE = Schedule(
    windows=(
        Window(do="capture", start="09:00", end="17:00"),
        Window(do="darks", start="23:00", end="23:30"),
        Window(do="housekeeping", start="01:00", end="02:00"),
    )
)


def at(hour: float) -> datetime:
    return DAY + timedelta(hours=hour)


def make(schedule: Schedule | None = SCHEDULE, **keys: object) -> Director:
    return Director(schedule, PLACE, **{"start": "schedule", "kind": "plume", **keys})  # type: ignore[arg-type]


def test_the_schedule_begins_and_ends_capturing() -> None:
    director = make()
    wanted = []
    for hour in (8.9, 9.0, 12.0, 16.99, 17.0, 23.1):
        director.update(at(hour))
        wanted.append(director.wanted("camera-on"))
    assert wanted == [None, "plume", "plume", "plume", None, None]
    assert director.next_change(at(12)) == at(17)
    assert [entry.activity for entry in director.coming(at(12))][:3] == ["capture ends", "darks begins", "darks ends"]
    assert director.housekeeping_wanted(at(1.5))
    assert not director.housekeeping_wanted(at(12))


def test_without_a_schedule_it_captures_always() -> None:
    director = make(None)
    director.update(at(3))
    assert director.wanted("camera-on") == "plume"
    assert director.next_change(at(3)) is None
    assert director.coming(at(3)) == ()
    assert director.housekeeping_wanted(at(3))
    assert "always" in director.activity(at(3))


def test_what_people_ask_for_holds_until_the_schedule_next_changes() -> None:
    director = make()
    director.update(at(10))
    director.ask(["camera-on"], None)
    assert director.wanted("camera-on") is None
    assert director.wanted("camera-off") == "plume"
    assert "camera-on stopped by hand" in director.activity(at(10))
    director.update(at(16))
    assert director.wanted("camera-on") is None
    director.update(at(17.5))
    director.ask(["camera-on"], "clear")
    assert director.wanted("camera-on") == "clear"
    director.update(at(24 + 9.5))
    assert director.wanted("camera-on") == "plume"


def test_a_pause_keeps_the_schedule_out_and_ends_by_itself() -> None:
    director = make()
    director.update(at(10))
    director.pause(at(19))
    director.update(at(18))
    assert director.wanted("camera-on") == "plume"
    assert "paused" in director.activity(at(18))
    assert not director.darks_due(at(18))
    director.update(at(19))
    assert director.wanted("camera-on") is None
    director.pause(None)
    director.update(at(24 + 10))
    assert director.wanted("camera-on") is None
    director.resume()
    director.update(at(24 + 10))
    assert director.wanted("camera-on") == "plume"


@pytest.mark.parametrize(("start", "wanted"), [("running", "plume"), ("stopped", None)])
def test_the_site_file_may_say_how_to_start(start: str, wanted: str | None) -> None:
    director = make(start=start)
    director.update(at(8))
    assert director.wanted("camera-on") == wanted
    director.update(at(12))
    assert director.wanted("camera-on") == "plume"


def test_a_clock_that_was_never_set_means_capture_and_nothing_else() -> None:
    director = make()
    unset = datetime(1970, 1, 1, 0, 3, tzinfo=UTC)
    director.update(unset)
    assert director.wanted("camera-on") == "plume"
    assert not director.darks_due(unset)
    assert director.next_change(unset) is None
    assert "never set" in director.activity(unset)
    director.update(at(20))
    assert director.wanted("camera-on") is None


def test_a_dark_set_is_due_once_and_made_up_for_after_a_late_start() -> None:
    director = make()
    due = [at(22.9 + minute / 60) for minute in range(60) if director.darks_due(at(22.9 + minute / 60))]
    assert len(due) == 1
    assert timedelta(0) <= due[0] - at(23) < timedelta(minutes=2)
    late = make()
    assert late.darks_due(at(23.2)), "it started after the time, within the window"
    assert not late.darks_due(at(23.25))
    done = make(last_darks=at(23.01))
    assert not done.darks_due(at(23.2)), "they were taken before the restart"
    assert not make().darks_due(at(23.6)), "the window is over"


def test_the_boards_schedule_is_written_where_the_next_days_differ(tmp_path: Path) -> None:
    path = tmp_path / "state" / "schedule.wpi"
    schedule = Schedule(windows=(Window(do="capture", start="09:00", end="17:00"),), power=Power(mode="follow"))
    assert write_power_schedule(path, schedule, PLACE, at(12))
    plan = parse_wittypi(path.read_text())
    assert plan.is_on(at(24 + 8.9))
    assert not plan.is_on(at(24 + 20))
    before = path.read_bytes()
    assert not write_power_schedule(path, schedule, PLACE, at(24 * 9 + 12)), "it still says the right thing"
    assert path.read_bytes() == before
    other = Schedule(windows=(Window(do="capture", start="08:00", end="17:00"),), power=Power(mode="follow"))
    assert write_power_schedule(path, other, PLACE, at(12))
    path.write_text("BEGIN nonsense")
    assert write_power_schedule(path, other, PLACE, at(12))
    assert parse_wittypi(path.read_text()).is_on(at(24 + 7.9))
