"""A schedule set over the link: checked, kept over restarts, given up; and the log's latest lines."""

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from so2cam.core.site_camera import GeoPoint
from so2cam.core.site_schedule import Battery, Power, Schedule, Window
from so2cam.instrument.director import Director
from so2cam.instrument.errors import SettingRefusedError
from so2cam.instrument.log_tail import latest_lines
from so2cam.instrument.own_schedule import ScheduleFile, require_possible
from so2cam.link.protocol import Logs

PLACE = GeoPoint(latitude=-38.3, longitude=-71.5, altitude_m=1900.0)
NOW = datetime(2026, 11, 27, 15, tzinfo=UTC)
SITE = Schedule(windows=(Window(do="capture", sun_above_deg=5.0),), power=Power(battery=Battery(floor_v=11.0)))
OTHER = Schedule(windows=(Window(do="capture", start="18:00", end="20:00"),), power=SITE.power)


def test_a_schedule_is_kept_and_given_up(tmp_path: Path) -> None:
    file = ScheduleFile(tmp_path / "schedule.json", SITE)
    assert (file.load().schedule, file.load().changed) == (SITE, None)
    kept = file.keep(OTHER, NOW)
    assert (kept.schedule, kept.changed) == (OTHER, NOW)
    assert ScheduleFile(tmp_path / "schedule.json", SITE).load() == kept
    assert file.keep(None, NOW).changed is None
    assert ScheduleFile(tmp_path / "schedule.json", SITE).load().schedule == SITE


def test_the_batterys_limits_follow_the_site_file(tmp_path: Path) -> None:
    ScheduleFile(tmp_path / "schedule.json", SITE).keep(OTHER, NOW)
    later = SITE.model_copy(update={"power": Power(battery=Battery(floor_v=11.9))})
    found = ScheduleFile(tmp_path / "schedule.json", later).load().schedule
    assert found is not None
    assert found.windows == OTHER.windows
    assert found.power.battery == Battery(floor_v=11.9)


@pytest.mark.parametrize("content", ["{", "{}", '{"schedule": {"windows": 3}, "changed": "2026-01-01"}', "[]"])
def test_a_broken_file_is_left_out(tmp_path: Path, content: str) -> None:
    (tmp_path / "schedule.json").write_text(content)
    assert ScheduleFile(tmp_path / "schedule.json", SITE).load().schedule == SITE


def test_what_cannot_be_is_refused() -> None:
    require_possible(OTHER, SITE, PLACE, NOW)
    with pytest.raises(SettingRefusedError, match="set in the site file alone"):
        require_possible(OTHER.model_copy(update={"power": Power()}), SITE, PLACE, NOW)
    darks = OTHER.model_copy(update={"windows": (*OTHER.windows, Window(do="darks", start="15:00", end="16:00"))})
    with pytest.raises(SettingRefusedError, match="darks are wanted in daylight"):
        require_possible(darks, SITE, PLACE, NOW)


def test_the_director_follows_the_new_one_at_once() -> None:
    director = Director(SITE, PLACE, start="schedule", kind="plume")
    director.update(NOW)
    director.ask(["camera-on"], "plume")
    assert director.wanted("camera-on") == "plume"
    director.take(OTHER)
    director.update(NOW)
    assert director.wanted("camera-on") is None
    assert director.next_change(NOW) == datetime(2026, 11, 27, 18, tzinfo=UTC)


def _line(number: int, level: str = "info", device: str | None = None) -> str:
    entry = {
        "time": f"2026-11-27T12:00:{number:02d}Z",
        "level": level,
        "logger": "instrument",
        "message": f"line {number}",
    }
    return json.dumps(entry | ({} if device is None else {"device": device}))


def test_the_latest_lines_of_all_files_are_found(tmp_path: Path) -> None:
    (tmp_path / "agent.log.1").write_text("\n".join(_line(number) for number in range(5)) + "\n")
    text = "\n".join([_line(5, "warning", "camera-on"), "no line", _line(6, "error"), _line(7)])
    (tmp_path / "agent.log").write_text(text + "\n")

    def found(**said: object) -> list[str]:
        return [line.text for line in latest_lines(tmp_path, "agent.log", Logs.model_validate(said))]

    assert found() == [f"line {number}" for number in range(8)]
    assert found(limit=2) == ["line 6", "line 7"]
    assert found(level="warning") == ["line 5", "line 6"]
    assert found(text="LINE 3") == ["line 3"]
    assert found(device="camera-on") == ["line 5"]
    assert latest_lines(tmp_path / "absent", "agent.log", Logs()) == []
