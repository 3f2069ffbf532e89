"""The loop of a power board, on imitations of real ones: its clock, and the alarm that wakes the node."""

import importlib.util
import threading
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from so2cam.core.site_camera import GeoPoint
from so2cam.core.site_devices import PowerDevice
from so2cam.core.site_instrument import DarkSets, Storage
from so2cam.devices.clock import SystemClock
from so2cam.devices.protocols import DeviceContext
from so2cam.devices.wittypi import WittyPi, WittyPiOptions
from so2cam.devices.wittypi_registers import WITTY_PI_3, WITTY_PI_4
from so2cam.instrument import power as power_module
from so2cam.instrument.launch import Launch
from so2cam.instrument.power import PowerLoop

FAKE = Path(__file__).resolve().parents[2] / "fakes" / "wittypi_fake.py"


@pytest.fixture(scope="module")
def wittypi_fake() -> ModuleType:
    spec = importlib.util.spec_from_file_location("so2cam_test_wittypi", FAKE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Run:
    """A loop on the imitation of a board, in a thread."""

    def __init__(self, fake: Any, version: int, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.bus = fake.Bus(version)
        self.sent: list[dict[str, Any]] = []
        self.changed = threading.Condition()
        self.device = device = PowerDevice(name="power", driver=f"wittypi{version}")
        self.registers = registers = WITTY_PI_3 if version == 3 else WITTY_PI_4

        def create(device: PowerDevice, context: Any) -> WittyPi:
            return WittyPi(device, registers, WittyPiOptions(retry_s=0.0), context, opener=lambda *_: self.bus)

        monkeypatch.setattr(power_module, "create_power", create)
        monkeypatch.setattr(power_module, "READ_EVERY_S", 0.02)
        launch = Launch(
            node="lead",
            site="x",
            folder=folder,
            device=device,
            period_s=4.0,
            spool=folder,
            storage=Storage(),
            darks=DarkSets(),
            position=GeoPoint(latitude=0.0, longitude=0.0, altitude_m=0.0),
            tags=("fltrA", "fltrB"),
            queue=4,
            run_start=datetime.now(UTC),
            mode=None,
            held=False,
            exposure_s=None,
            coadds=None,
            used={},
            fast=None,
            version="0",
        )
        self.loop = PowerLoop(launch, self.hear, threading.Event())
        self.thread = threading.Thread(target=self.loop.run)

    def hear(self, message: Any) -> None:
        with self.changed:
            self.sent.append(dict(message))
            self.changed.notify_all()

    def wait(self, kind: str, count: int = 1) -> list[dict[str, Any]]:
        limit = time.monotonic() + 20
        with self.changed:
            while len(found := [one for one in self.sent if one["t"] == kind]) < count:
                assert self.changed.wait(max(0.0, limit - time.monotonic())), self.sent
        return found

    def __enter__(self) -> "Run":
        self.thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.loop.end()
        self.thread.join(10)
        assert not self.thread.is_alive()

    def board(self) -> WittyPi:
        """The board, looked at by somebody else."""
        self.bus.closed = False
        context = DeviceContext(Path(), SystemClock(), threading.Event(), datetime.now(UTC))
        driver = WittyPi(self.device, self.registers, WittyPiOptions(retry_s=0.0), context, opener=lambda *_: self.bus)
        driver.open(5)
        return driver


@pytest.mark.parametrize("version", [3, 4])
def test_the_alarm_is_on_the_boards_clock_and_old_ones_are_cleared(
    version: int, wittypi_fake: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = Run(wittypi_fake, version, tmp_path, monkeypatch)
    if version == 3:
        run.bus.chips[0x68][0x0F] |= 0x01  # the alarm that woke it
    else:
        run.bus.chips[0x08][39] = 1
    ahead = timedelta(minutes=30)
    run.bus.keep(datetime.now(UTC) + ahead)
    wake = datetime(2027, 5, 17, 8, 50, tzinfo=UTC)
    with run:
        run.loop.give_order({"do": "wake", "at": wake.isoformat(), "id": 7})
        reply = run.wait("reply")[0]
        assert reply["ok"], reply
        assert "2027-05-17 08:50" in reply["text"]
    board = run.board()
    alarm = board.startup()
    assert alarm is not None
    assert (alarm.day, alarm.hour) == (17, 9), "the board counts half an hour ahead, and so does its alarm"
    assert alarm.minute in (19, 20)
    assert (run.bus.chips[0x68][0x0F] & 0x03 if version == 3 else run.bus.chips[0x08][39]) == 0


@pytest.mark.parametrize("version", [3, 4])
def test_a_good_clock_sets_the_boards_and_a_free_one_does_not(
    version: int, wittypi_fake: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wrong = datetime(2026, 3, 1, 12, tzinfo=UTC)
    for quality, sets in (("free", False), ("gps", True)):
        run = Run(wittypi_fake, version, tmp_path, monkeypatch)
        run.bus.keep(wrong)
        run.loop.give_order({"do": "clock", "quality": quality})
        with run:
            run.wait("status", 4)
        found = run.board().clock()
        assert found is not None
        assert (abs(found - datetime.now(UTC)) < timedelta(minutes=1)) is sets, quality


def test_a_board_that_keeps_no_time_goes_on_measuring_and_taking_orders(
    wittypi_fake: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = Run(wittypi_fake, 4, tmp_path, monkeypatch)
    run.bus.keep(datetime(2026, 3, 1, 12, tzinfo=UTC))
    run.bus.deaf = {58, 59, 60, 61, 62, 63, 64}
    run.loop.give_order({"do": "clock", "quality": "gps"})
    with run:
        run.wait("status", 3)
        run.loop.give_order({"do": "wake", "at": (datetime.now(UTC) + timedelta(hours=1)).isoformat(), "id": 1})
        assert run.wait("reply")[0]["ok"]
    alarm = run.board().startup()
    assert alarm is not None
    assert (alarm.day, alarm.hour, alarm.minute) in {(1, 12, 59), (1, 13, 0)}, "an hour ahead on the board's own time"
