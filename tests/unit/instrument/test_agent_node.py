"""Decisions of a node's agent: the battery, the watchdog, what devices are told, and what it remembers."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from so2cam.core.health import DeviceHealth, DeviceState, Level
from so2cam.core.site_schedule import Battery, Power, Schedule, Window
from so2cam.formats.sitefile import load_site
from so2cam.instrument import agent as agent_module
from so2cam.instrument.agent import NodeAgent, find_node
from so2cam.instrument.clock_quality import ClockQuality
from so2cam.instrument.errors import InstrumentError
from so2cam.instrument.supervise import OrderReply
from so2cam.observe.power import BatteryState

EXAMPLE = Path(__file__).resolve().parents[3] / "examples" / "bench" / "site.toml"
NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
SCHEDULE = Schedule(
    windows=(Window(do="capture", start="09:00", end="17:00"), Window(do="darks", start="23:00", end="23:30")),
    power=Power(battery=Battery(floor_v=11.6, recovery_v=12.4, confirm_s=120.0, retry_h=6.0, look_s=180.0)),
)


class FakeSupervisor:
    """A device as the agent sees it."""

    def __init__(self, name: str, role: Any) -> None:
        self.found = DeviceHealth(name=name, role=role, state=DeviceState.CAPTURING)
        self.told: list[dict[str, Any]] = []
        self.answers = OrderReply(True, "done")
        self.age_s = 1.0
        self.mode: str | None = None
        self.mode_left: int | None = None
        self.held = False
        self.used: dict[str, int] = {}
        self.process_id = None
        self.clock_steps = 0
        self.last_step_s = None
        self.disk_trouble = None

    def health(self, now: datetime, late_s: float) -> DeviceHealth:
        return self.found

    def tell(self, order: Mapping[str, Any]) -> None:
        self.told.append(dict(order))

    def order(self, order: Mapping[str, Any], timeout_s: float = 8.0) -> OrderReply:
        self.told.append(dict(order))
        return self.answers

    def progress_age_s(self) -> float:
        return self.age_s


def make(tmp_path: Path, schedule: Schedule | None = SCHEDULE) -> tuple[NodeAgent, dict[str, FakeSupervisor]]:
    site = load_site(EXAMPLE).site
    assert site.instrument is not None
    storage = site.instrument.storage.model_copy(update={"folder": str(tmp_path / "data")})
    instrument = site.instrument.model_copy(update={"schedule": schedule, "storage": storage})
    site = site.model_copy(update={"instrument": instrument})
    made = NodeAgent(site, tmp_path / "site.toml", "lead", tmp_path / "a.sock")
    fakes = {"camera-on": FakeSupervisor("camera-on", "camera"), "power": FakeSupervisor("power", "power")}
    made.supervisors = fakes  # type: ignore[assignment]
    return made, fakes


def set_voltage(fakes: dict[str, FakeSupervisor], voltage: float) -> None:
    board = fakes["power"]
    board.found = board.found.model_copy(update={"readings": {"input_voltage_v": voltage}})


def test_a_weak_battery_sets_the_alarm_and_then_shuts_down(tmp_path: Path) -> None:
    agent, fakes = make(tmp_path)
    assert agent.battery is not None
    for second in (0.0, 60.0):
        agent.battery.look(11.0, second)
    assert not agent.stopping
    agent.battery.look(11.0, 121.0)
    assert agent.stopping
    assert fakes["power"].told[-1]["do"] == "wake"
    wake = datetime.fromisoformat(fakes["power"].told[-1]["at"])
    assert timedelta(hours=5.9) < wake - datetime.now(UTC) < timedelta(hours=6.1)
    assert agent.memory.battery == "recovering"
    agent._remember()
    again, fakes = make(tmp_path)
    assert again.battery is not None
    assert again.battery.watch.state is BatteryState.RECOVERING, "the next start knows it"
    set_voltage(fakes, 12.0)
    again._watch_battery()
    assert not again.stopping
    set_voltage(fakes, 12.5)
    again._watch_battery()
    assert again.memory.battery == "good"


def test_without_an_alarm_to_wake_it_the_node_stays_on(tmp_path: Path) -> None:
    agent, fakes = make(tmp_path)
    fakes["power"].answers = OrderReply(False, "the board refuses")
    assert agent.battery is not None
    for second in (0.0, 121.0, 242.0):
        agent.battery.look(11.0, second)
    assert not agent.stopping


FOLLOW = Schedule(
    windows=(Window(do="capture", start="09:00", end="17:00"),),
    power=Power(mode="follow", start_earlier_min=10.0, stop_later_min=10.0, look_in_h=24),
)


def test_at_the_end_of_power_the_alarm_is_set_and_the_node_shuts_down(tmp_path: Path) -> None:
    agent, fakes = make(tmp_path, FOLLOW)
    wakes = fakes["power"].told
    agent._follow_power(NOW)
    morning = NOW.replace(day=2, hour=8, minute=50)
    assert [order["do"] for order in wakes] == ["wake"], "it would come back even if somebody switched it off now"
    assert datetime.fromisoformat(wakes[0]["at"]) == morning
    agent._follow_power(NOW + timedelta(hours=1))
    agent._follow_power(NOW.replace(hour=17, minute=9))
    assert len(wakes) == 1
    assert not agent.stopping
    agent._follow_power(NOW.replace(hour=17, minute=10, second=5))
    assert agent.stopping
    assert agent._then == "power-off"
    assert datetime.fromisoformat(wakes[-1]["at"]) == morning


def test_a_board_that_refuses_its_alarm_keeps_the_node_on_until_it_takes_it(tmp_path: Path) -> None:
    agent, fakes = make(tmp_path, FOLLOW)
    agent._follow_power(NOW)
    fakes["power"].answers = OrderReply(False, "the board refuses")
    evening = NOW.replace(hour=17, minute=10, second=5)
    for seconds in (0, 30, 60):
        agent._follow_power(evening + timedelta(seconds=seconds))
    assert not agent.stopping
    fakes["power"].answers = OrderReply(True, "done")
    agent._follow_power(evening + timedelta(seconds=90))
    assert agent.stopping


def test_a_node_switched_on_by_hand_stays_on_until_the_next_power_has_passed(tmp_path: Path) -> None:
    agent, fakes = make(tmp_path, FOLLOW)
    night = NOW.replace(hour=20)
    agent._follow_power(night)
    agent._follow_power(night + timedelta(hours=2))
    assert not agent.stopping
    assert datetime.fromisoformat(fakes["power"].told[-1]["at"]) == NOW.replace(day=2, hour=8, minute=50)
    agent._follow_power(NOW.replace(day=2, hour=9))
    agent._follow_power(NOW.replace(day=2, hour=17, minute=11))
    assert agent.stopping


def test_shortly_before_power_the_node_does_not_go_down_any_more(tmp_path: Path) -> None:
    agent, fakes = make(tmp_path, FOLLOW)
    agent._follow_power(NOW)
    fakes["power"].answers = OrderReply(False, "the board refuses")
    agent._follow_power(NOW.replace(hour=17, minute=11))
    fakes["power"].answers = OrderReply(True, "done")
    agent._follow_power(NOW.replace(day=2, hour=8, minute=48))
    assert not agent.stopping, "an alarm two minutes ahead may ring while the computer goes down"


def test_power_times_are_left_to_the_boards_software_and_to_a_clock_that_was_set(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    boards = FOLLOW.model_copy(update={"power": FOLLOW.power.model_copy(update={"board_folder": "/opt/wittypi"})})
    agent, fakes = make(tmp_path, boards)
    agent._follow_power(NOW)
    agent._follow_power(NOW.replace(hour=18))
    assert (fakes["power"].told, agent.stopping) == ([], False)
    monkeypatch.setattr(agent_module, "now_utc", lambda: datetime(1970, 1, 1, tzinfo=UTC))
    agent, fakes = make(tmp_path, FOLLOW)
    monkeypatch.setattr(agent.observer, "clock", lambda: ClockQuality("unset"))
    agent._follow_power(NOW)
    assert fakes["power"].told == []


def test_a_board_that_measures_nothing_switches_nothing_off(tmp_path: Path) -> None:
    agent, _ = make(tmp_path)
    agent._watch_battery()
    assert agent.battery is not None
    for second in (0.0, 500.0, 1000.0):
        agent.battery.look(float("nan"), second)
    assert not agent.stopping


class FakeWatchdog:
    wanted = True
    interval_s = 60.0

    def __init__(self) -> None:
        self.fed = 0
        self.shown: list[str] = []

    def alive(self, status: str) -> None:
        self.fed += 1

    def show(self, status: str) -> None:
        self.shown.append(status)


def test_the_watchdog_is_fed_by_progress_of_capture_only(tmp_path: Path) -> None:
    agent, fakes = make(tmp_path)
    watchdog = FakeWatchdog()
    agent.watchdog = watchdog  # type: ignore[assignment]
    agent._follow_schedule(NOW)
    agent._feed()
    assert watchdog.fed == 1
    fakes["camera-on"].age_s = agent_module.STALLED_S + 1
    agent._feed()
    assert watchdog.fed == 1
    assert "nothing was captured" in watchdog.shown[0]
    agent._follow_schedule(NOW.replace(hour=20))
    agent._feed()
    assert watchdog.fed == 2, "nothing is to be captured at night"


def test_devices_are_told_what_the_schedule_wants_once(tmp_path: Path) -> None:
    agent, fakes = make(tmp_path)
    camera = fakes["camera-on"]
    agent._follow_schedule(NOW)
    agent._follow_schedule(NOW)
    assert camera.told == [{"do": "mode", "kind": "plume"}]
    camera.mode = "plume"
    agent._follow_schedule(NOW.replace(hour=18))
    assert camera.told[-1] == {"do": "mode", "kind": None}
    camera.told.clear()
    camera.mode_left = 5
    agent._follow_schedule(NOW.replace(hour=19))
    assert camera.told == [], "a sequence goes on"
    camera.mode_left, camera.held = None, True
    agent._follow_schedule(NOW.replace(hour=19))
    assert camera.told == [], "a calibration goes on"


def test_darks_by_schedule_are_ordered_once_and_remembered(tmp_path: Path) -> None:
    agent, fakes = make(tmp_path)
    night = NOW.replace(hour=23, minute=1)
    agent._darks_by_schedule(night)
    agent._darks_by_schedule(night + timedelta(seconds=20))
    assert [order["do"] for order in fakes["camera-on"].told] == ["darks"]
    again, fakes = make(tmp_path)
    again._darks_by_schedule(night + timedelta(minutes=5))
    assert fakes["camera-on"].told == []


def test_the_record_says_the_worst_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    agent, fakes = make(tmp_path)
    record = agent.observer.record("asked")
    assert record.node == "lead"
    assert [device.name for device in record.devices] == ["camera-on", "power"]
    fakes["camera-on"].found = fakes["camera-on"].found.model_copy(
        update={"state": DeviceState.WAITING, "level": Level.ALARM, "last_error": "it was unplugged"}
    )
    record = agent.observer.record("asked")
    assert record.level is Level.ALARM
    assert record.summary.startswith("camera-on: fails: it was unplugged")
    monkeypatch.setattr(agent_module, "now_utc", lambda: datetime(1970, 1, 1, tzinfo=UTC))
    agent, _ = make(tmp_path)
    record = agent.observer.record("asked")
    assert record.clock.quality == "unset"
    assert "never set" in record.activity


def test_nodes_are_found_by_name(tmp_path: Path) -> None:
    site = load_site(EXAMPLE).site
    with pytest.raises(InstrumentError, match="no such node") as caught:
        find_node(site, "base")
    assert "lead, follower" in (caught.value.remedy or "")
    with pytest.raises(InstrumentError, match="no instrument"):
        find_node(site.model_copy(update={"instrument": None}), "lead")


def test_exposures_used_are_remembered_over_restarts(tmp_path: Path) -> None:
    agent, fakes = make(tmp_path)
    fakes["camera-on"].used = {"100000": 7}
    agent._remember()
    again, _ = make(tmp_path)
    assert again.used_of("camera-on") == {"100000": 7}
    assert again.memory.starts == 2
