"""Errands: taken once, whatever ends in between; devices are fakes that keep items in a real spool."""

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from so2cam.instrument.errand_store import ErrandStore
from so2cam.instrument.errands import Errands, KeptItems
from so2cam.instrument.errors import InstrumentError
from so2cam.link.errors import UnfinishedError
from so2cam.store.errors import AlreadyKeptError
from so2cam.store.items import Mark, StoreItem
from so2cam.store.spool import Spool

START = datetime(2026, 3, 1, 12, tzinfo=UTC)
SHOT = {"do": "shot", "kind": "test"}


class FakeDevice:
    """A process of a device; ``keeps``: how many items it keeps of what it is told before it ends or is done."""

    def __init__(self, name: str, spool: Spool) -> None:
        self.name = name
        self.spool = spool
        self.process_id: int | None = 1
        self.told: list[dict[str, Any]] = []
        self.keeps: int | None = None
        self.hear: Callable[[str, Mapping[str, Any]], None] = lambda name, message: None
        self.items = 1

    def tell(self, order: Mapping[str, Any]) -> None:
        self.told.append(dict(order))
        if order["do"] == "forget":
            return
        threading.Thread(target=self._work, args=(dict(order), self.process_id), daemon=True).start()

    def _work(self, order: dict[str, Any], process: int | None) -> None:
        self.say(order["errand"], "accepted")
        left = [number for number in range(self.items) if number not in order["kept"]]
        for number in left[: self.keeps]:
            self.keep(order["errand"], number)
        if self.keeps is None:
            self.say(order["errand"], "done")
        else:  # it is killed, and another one runs
            self.keeps = None
            self.process_id = (process or 0) + 1

    def keep(self, errand: str, number: int) -> None:
        item = StoreItem(
            "frame", "test", self.name, START, f"f{number}", ".png", b"x", mark=Mark(errand, number, self.items)
        )
        self.spool.put(item)

    def say(self, errand: str, state: str) -> None:
        self.hear(self.name, {"errand": errand, "state": state, "text": f"it is {state}", "values": {}})


class Rig:
    """Two devices and their errands, which can be begun anew."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.spool = Spool(folder / "spool", node="lead")
        self.devices = {name: FakeDevice(name, self.spool) for name in ("camera-on", "spectrometer")}
        self.stop = threading.Event()
        self.errands = self.begin()

    def begin(self) -> Errands:
        """Begin, as an agent does."""
        self.stop = threading.Event()
        made = Errands(
            lambda: ErrandStore(self.folder / "errands.sqlite"),
            self.devices,
            KeptItems(lambda: Spool(self.folder / "spool")),
        )
        for device in self.devices.values():
            device.hear = made.hear
        self.thread = threading.Thread(target=made.run, args=(self.stop,))
        self.thread.start()
        return made

    def end(self) -> None:
        self.stop.set()
        self.errands.close()
        self.thread.join(10)
        assert not self.thread.is_alive()

    def kept(self, errand: str, device: str = "camera-on") -> list[int]:
        return list(self.spool.marked(errand, device))


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    made = Rig(tmp_path)
    yield made
    made.end()
    made.spool.close()


def test_all_devices_take_it_and_the_same_errand_is_not_taken_again(rig: Rig) -> None:
    for _ in range(2):
        replies = rig.errands.carry_out("e1", dict.fromkeys(rig.devices, (SHOT, 1)), 20.0, whole=True)
        assert [(name, reply.ok) for name, reply in replies.items()] == [("camera-on", True), ("spectrometer", True)]
        assert replies["camera-on"].values["stored"] == 1
    assert [len(device.told) for device in rig.devices.values()] == [1, 1]
    assert len(rig.spool.find()) == 2


def test_another_process_goes_on_where_the_first_one_ended(rig: Rig) -> None:
    camera = rig.devices["camera-on"]
    camera.items, camera.keeps = 5, 3
    replies = rig.errands.carry_out("e1", {"camera-on": ({"do": "darks"}, 5)}, 20.0, whole=True)
    assert replies["camera-on"].ok
    assert [order["kept"] for order in camera.told] == [[], [0, 1, 2]]
    assert rig.kept("e1") == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("kept", [0, 2, 5])
def test_after_a_start_it_is_gone_on_with(rig: Rig, kept: int) -> None:
    camera = rig.devices["camera-on"]
    camera.items = 5
    camera.tell = lambda order: None  # type: ignore[method-assign]

    def ask(errands: Errands) -> None:
        with pytest.raises(UnfinishedError):
            errands.carry_out("e1", {"camera-on": (SHOT, 5)}, 60.0, whole=True)

    asked = threading.Thread(target=ask, args=(rig.errands,))
    asked.start()
    with ErrandStore(rig.folder / "errands.sqlite") as store:
        wait_until(lambda: bool(store.open()))
    for number in range(kept):
        camera.keep("e1", number)
    rig.end()
    asked.join(10)
    assert not asked.is_alive()
    del camera.tell
    rig.errands = rig.begin()
    replies = rig.errands.carry_out("e1", {"camera-on": ({"do": "something else"}, 1)}, 20.0, whole=True)
    assert replies["camera-on"].ok
    assert rig.kept("e1") == [0, 1, 2, 3, 4]
    assert [order["do"] for order in camera.told] == ([] if kept == 5 else ["shot"])


def test_what_a_device_refuses_is_over_but_a_device_that_fails_after_a_start_is_asked_again(rig: Rig) -> None:
    camera = rig.devices["camera-on"]
    camera.tell = lambda order: camera.say(order["errand"], "refused")  # type: ignore[method-assign]
    assert not rig.errands.carry_out("e1", {"camera-on": (SHOT, 1)}, 20.0, whole=True)["camera-on"].ok
    camera.tell = lambda order: camera.say(order["errand"], "now")  # type: ignore[method-assign]
    assert not rig.errands.carry_out("e2", {"camera-on": (SHOT, 1)}, 20.0, whole=True)["camera-on"].ok
    camera.process_id = None
    replies = rig.errands.carry_out("e3", dict.fromkeys(rig.devices, (SHOT, 1)), 1.0, whole=True)
    assert (replies["camera-on"].ok, replies["spectrometer"].ok) == (False, True)
    assert "not running" in replies["camera-on"].text

    answers = iter(["accepted", "now", "accepted"])

    def fails_once(order: Mapping[str, Any]) -> None:
        if order["do"] == "shot":
            answer = next(answers)
            camera.say(order["errand"], answer)
            if answer == "accepted":
                camera.process_id = 7 if camera.process_id == 1 else camera.process_id
                if order["kept"] == [] and camera.process_id == 7 and fails_once.again:  # type: ignore[attr-defined]
                    camera.keep(order["errand"], 0)
                    camera.say(order["errand"], "done")
                fails_once.again = True  # type: ignore[attr-defined]

    fails_once.again = False  # type: ignore[attr-defined]
    camera.process_id = 1
    camera.tell = fails_once  # type: ignore[method-assign]
    assert rig.errands.carry_out("e4", {"camera-on": (SHOT, 1)}, 20.0, whole=True)["camera-on"].ok
    assert next(answers, None) is None


def test_what_is_given_up_is_never_kept(rig: Rig) -> None:
    camera = rig.devices["camera-on"]
    camera.items = 2
    camera.tell = lambda order: camera.told.append(dict(order))  # type: ignore[method-assign]
    reply = rig.errands.carry_out("e1", {"camera-on": (SHOT, 2)}, 0.2, whole=True)["camera-on"]
    assert not reply.ok
    assert "did not answer" in reply.text
    assert [order["do"] for order in camera.told] == ["shot", "forget"]
    with pytest.raises(AlreadyKeptError):
        camera.keep("e1", 0)
    assert rig.kept("e1") == []
    again = rig.errands.carry_out("e1", {"camera-on": (SHOT, 2)}, 20.0, whole=True)["camera-on"]
    assert again.text == reply.text


def test_without_whole_it_waits_for_acceptance_only(rig: Rig) -> None:
    camera = rig.devices["camera-on"]
    camera.tell = lambda order: camera.say(order["errand"], "accepted")  # type: ignore[method-assign]
    reply = rig.errands.carry_out("e1", {"camera-on": (SHOT, 1)}, 20.0, whole=False)["camera-on"]
    assert (reply.ok, reply.text) == (True, "it is accepted")
    assert rig.kept("e1") == []


def test_where_the_disk_refuses_nothing_is_done(rig: Rig, tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("")
    broken = Errands(
        lambda: ErrandStore(tmp_path / "taken" / "errands.sqlite"),
        rig.devices,
        KeptItems(lambda: Spool(tmp_path / "spool")),
    )
    with pytest.raises(InstrumentError, match="cannot be kept here"):
        broken.carry_out("e1", {"camera-on": (SHOT, 1)}, 1.0, whole=True)
    assert rig.devices["camera-on"].told == []


def wait_until(condition: Callable[[], bool], limit_s: float = 30.0) -> None:
    limit = time.monotonic() + limit_s
    tick = threading.Event()
    while not condition():
        assert time.monotonic() < limit
        tick.wait(0.02)
