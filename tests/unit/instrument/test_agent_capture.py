"""The capture loop of one device, on a clock that jumps from wait to wait: grid, steps, exposure, darks."""

import threading
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from so2cam.core.records import Band
from so2cam.core.site_camera import GeoPoint
from so2cam.core.site_devices import AutomaticExposure, CameraDevice, SpectrometerDevice
from so2cam.core.site_instrument import DarkSets, Storage
from so2cam.devices.clock import SteppedClock
from so2cam.instrument.capture import DeviceLoop
from so2cam.instrument.heads import CameraHead
from so2cam.instrument.launch import Launch
from so2cam.store.items import StoredItem
from so2cam.store.spool import Spool

START = datetime(2026, 3, 1, 12, 0, 0, 200_000, tzinfo=UTC)
SMALL = {"seed": 1, "width_px": 64, "height_px": 48}


def camera(**keys: Any) -> CameraDevice:
    values = {"name": "camera-on", "driver": "simulated", "band": Band.ON, "options": SMALL, "exposure_s": 0.05} | keys
    return CameraDevice(**values)


class Rig:
    """A loop in a thread, its clock, and what it says."""

    def __init__(
        self,
        root: Path,
        device: Any,
        *,
        period_s: float = 1.0,
        mode: Any = "plume",
        start: datetime = START,
        **keys: Any,
    ) -> None:
        self.root = root
        self.clock = SteppedClock(start)
        self.messages: list[dict[str, Any]] = []
        self.on_item: Callable[[int], None] = lambda _: None
        launch = Launch(
            node="lead", site="bench", folder=root, device=device, period_s=period_s, spool=root / "spool",
            storage=Storage(), darks=DarkSets(**keys.pop("darks", {})),
            position=GeoPoint(latitude=-38.0, longitude=-71.0, altitude_m=1900.0), tags=("fltrA", "fltrB"), queue=1000,
            run_start=start, mode=mode, version="0", **keys,
        )  # fmt: skip
        self.loop = DeviceLoop(launch, self._hear, threading.Event(), self.clock)
        self.thread = threading.Thread(target=self.loop.run, daemon=True)
        self.captured = 0
        self.order_number = 0

    def _hear(self, message: Mapping[str, Any]) -> None:
        self.messages.append(dict(message))
        if message["t"] == "phase" and message["phase"] == "capture":
            self.captured += 1
            self.on_item(self.captured)
            # The clock jumps: without a limit here thousands of items would be taken while a test looks on.
            self.loop._writer.flush(5.0)

    def start(self) -> None:
        self.thread.start()

    def order(self, **order: Any) -> dict[str, Any]:
        """Give an order and return its answer."""
        self.order_number += 1
        number = self.order_number
        self.loop.give_order({**order, "id": number})
        return self.wait(lambda m: m["t"] == "reply" and m["id"] == number)

    def wait(self, wanted: Callable[[dict[str, Any]], bool], timeout_s: float = 30.0) -> dict[str, Any]:
        limit = time.monotonic() + timeout_s
        seen = 0
        while time.monotonic() < limit:
            for message in self.messages[seen:]:
                if wanted(message):
                    return message
            seen = max(0, len(self.messages) - 1)
            time.sleep(0.01)
        raise AssertionError(f"never came; last: {self.messages[-3:]}")

    def stop_after(self, count: int) -> None:
        """End after so many captures have begun."""
        self.wait(lambda _: self.captured >= count)
        self.end()

    def end(self) -> None:
        self.loop.end()
        self.thread.join(20)
        assert not self.thread.is_alive()
        assert self.loop.close_writer(20.0) == 0

    def items(self) -> list[StoredItem]:
        with Spool(self.root / "spool", node="lead") as spool:
            return spool.find()

    def notes(self) -> list[dict[str, Any]]:
        import json

        return [json.loads((self.root / "spool" / item.sidecar_path).read_bytes())["so2cam"] for item in self.items()]


def test_items_lie_on_the_grid_with_their_offset(tmp_path: Path) -> None:
    rig = Rig(tmp_path, camera())
    rig.on_item = lambda count: rig.loop.end() if count >= 12 else None
    rig.start()
    rig.stop_after(12)
    notes = rig.notes()
    assert len(notes) >= 11
    times = [datetime.fromisoformat(note["grid_time"]) for note in notes]
    assert times == [times[0] + timedelta(seconds=index) for index in range(len(times))]
    assert times[0] == START.replace(second=1, microsecond=0)
    for note in notes:
        middle = datetime.fromisoformat(note["time"])
        grid = datetime.fromisoformat(note["grid_time"])
        assert (middle - grid).total_seconds() == pytest.approx(note["grid_offset_s"], abs=2e-6)
        assert abs(note["grid_offset_s"]) < 0.01
        assert note["skipped_grid_points"] == 0
    names = [item.name for item in rig.items()]
    assert all("." not in name.removesuffix(".png").split("_")[0] for name in names), "whole seconds, as old tools read"


@pytest.mark.parametrize("step_s", [3600.0, -3600.0, -1.7e9])
def test_a_stepped_clock_overwrites_nothing_and_keeps_the_order(tmp_path: Path, step_s: float) -> None:
    rig = Rig(tmp_path, camera())

    def act(count: int) -> None:
        if count == 6:
            rig.clock.step_utc(step_s)
        if count >= 14:
            rig.loop.end()

    rig.on_item = act
    rig.start()
    rig.stop_after(14)
    items, notes = rig.items(), rig.notes()
    assert len(items) >= 12
    assert len({item.path for item in items}) == len(items)
    monotonic = [note["monotonic_s"] for note in notes]
    assert monotonic == sorted(monotonic), "sequence numbers are in the order of capture"
    assert notes[0]["clock"]["steps"] == 0
    assert notes[-1]["clock"]["steps"] == 1
    assert sum(note["skipped_grid_points"] for note in notes) <= 1
    if step_s < -1e9:
        assert notes[-1]["clock"]["quality"] == "unset"


def test_a_start_in_1970_captures_and_says_that_the_clock_was_never_set(tmp_path: Path) -> None:
    rig = Rig(tmp_path, camera(), start=datetime(1970, 1, 1, 0, 0, 7, tzinfo=UTC))
    rig.on_item = lambda count: rig.loop.end() if count >= 4 else None
    rig.start()
    rig.stop_after(4)
    assert {note["clock"]["quality"] for note in rig.notes()} == {"unset"}
    assert len(rig.items()) >= 3


def test_an_exposure_longer_than_the_period_passes_grid_times_over_and_counts_them(tmp_path: Path) -> None:
    device = camera(exposure_s=0.9, maximum_exposure_s=2.0, automatic=AutomaticExposure(enabled=False))
    rig = Rig(tmp_path, device, period_s=0.5)
    rig.on_item = lambda count: rig.loop.end() if count >= 8 else None
    rig.start()
    rig.stop_after(8)
    notes = rig.notes()
    times = [datetime.fromisoformat(note["grid_time"]) for note in notes]
    for before, (time_, note) in zip(times, list(zip(times, notes, strict=True))[1:], strict=False):
        assert note["skipped_grid_points"] == (time_ - before) / timedelta(seconds=0.5) - 1
        assert note["skipped_grid_points"] >= 1


@pytest.mark.parametrize("exposure_s", [0.001, 0.9])
def test_the_exposure_settles_within_three_items_and_is_recorded(tmp_path: Path, exposure_s: float) -> None:
    rig = Rig(tmp_path, camera(exposure_s=exposure_s))
    rig.on_item = lambda count: rig.loop.end() if count >= 8 else None
    rig.start()
    rig.stop_after(8)
    notes = rig.notes()
    assert [note["next_exposure"]["reason"] for note in notes[3:]] == ["within limits"] * len(notes[3:])
    assert len({note["exposure_s"] for note in notes[3:]}) == 1
    for note, following in pairwise(notes):
        assert following["exposure_s"] == pytest.approx(note["next_exposure"]["exposure_s"], rel=0.01)


def test_darks_are_taken_at_the_exposures_used_and_the_exposure_comes_back(tmp_path: Path) -> None:
    rig = Rig(tmp_path, camera(), darks={"repeats": 2})
    rig.start()
    rig.wait(lambda _: rig.captured >= 5)
    reply = rig.order(do="darks")
    assert reply["ok"], reply
    event = rig.wait(lambda m: m["t"] == "event" and m["name"] == "darks")
    assert event["ok"], event
    after = rig.captured
    rig.wait(lambda _: rig.captured >= after + 3)
    rig.end()
    pairs = list(zip(rig.items(), rig.notes(), strict=True))
    dark = [note["exposure_s"] for item, note in pairs if item.subject == "dark"]
    first_dark = next(index for index, (item, _) in enumerate(pairs) if item.subject == "dark")
    used = {round(note["exposure_s"], 4) for item, note in pairs[:first_dark]}
    assert {round(exposure_s, 4) for exposure_s in dark} <= used
    assert reply["values"]["items"] == len(dark)
    assert all(note["dark"]["dark"] for item, note in pairs if item.subject == "dark")
    before, last = pairs[first_dark - 1][1], pairs[-1][1]
    assert last["exposure_s"] == pytest.approx(before["exposure_s"], rel=0.01)


def test_what_is_not_dark_is_not_kept_as_dark(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(CameraHead, "stage", lambda self, kind, cell: None)
    rig = Rig(tmp_path, camera())
    rig.start()
    rig.wait(lambda _: rig.captured >= 3)
    assert rig.order(do="darks", exposures_s=[0.05, 0.1], repeats=3)["ok"]
    event = rig.wait(lambda m: m["t"] == "event" and m["name"] == "darks")
    assert not event["ok"]
    assert "not dark" in event["text"]
    shot = rig.order(do="shot", kind="dark", exposure_s=0.1)
    assert not shot["ok"]
    after = rig.captured
    rig.wait(lambda _: rig.captured >= after + 2)
    rig.end()
    assert {item.subject for item in rig.items()} == {"plume"}


def test_rows_beyond_the_image_are_refused_and_others_hold_from_the_next_frame_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    used: list[Any] = []
    level = CameraHead.level

    def noted(self: CameraHead, device: Any, taken: Any, dark_dn: float) -> Any:
        used.append(device.automatic.rows)
        return level(self, device, taken, dark_dn)

    monkeypatch.setattr(CameraHead, "level", noted)
    rig = Rig(tmp_path, camera(), mode=None)
    rig.start()
    rig.wait(lambda m: m["t"] == "status" and m["opened"])

    def settings(first: int, last: int, **more: Any) -> dict[str, Any]:
        rows = camera(automatic=AutomaticExposure(rows=(first, last))).model_dump(mode="json")
        return rig.order(do="settings", period_s=2.0, explicit=["first_row", "last_row"], device=rows, **more)

    for first, last in ((0, 48), (48, 65_535)):
        refused = settings(first, last, check=True)
        assert not refused["ok"]
        assert "from 0 to 47" in refused["text"]
    applied = settings(4, 20)
    assert (applied["values"]["first_row"], applied["values"]["last_row"]) == (4, 20)
    assert rig.order(do="shot", kind="plume")["ok"]
    rig.end()
    assert used == [(4, 20)]


def test_a_window_that_a_spectrometer_does_not_measure_is_refused(tmp_path: Path) -> None:
    rig = Rig(tmp_path, SpectrometerDevice(name="spectrometer", driver="simulated", options={"seed": 1}), mode=None)
    rig.start()
    rig.wait(lambda m: m["t"] == "status" and m["opened"])
    order: dict[str, Any] = {"do": "settings", "period_s": 2.0, "explicit": ["window_from_nm"]}
    replies = [
        rig.order(
            **order,
            device=SpectrometerDevice(
                name="spectrometer", driver="simulated", automatic=AutomaticExposure(window_nm=window)
            ).model_dump(mode="json"),
        )
        for window in ((900.0, 950.0), (305.0, 330.0))
    ]
    rig.end()
    assert [reply["ok"] for reply in replies] == [False, True]
    assert "nm: the window must have some of that" in replies[0]["text"]
    assert (replies[1]["values"]["window_from_nm"], replies[1]["values"]["window_to_nm"]) == (305.0, 330.0)


def test_settings_are_checked_against_the_devices_own_limits_and_read_back(tmp_path: Path) -> None:
    rig = Rig(tmp_path, camera(), mode=None)
    rig.start()
    rig.wait(lambda m: m["t"] == "status" and m["opened"])
    wide = camera(exposure_s=30.0, maximum_exposure_s=60.0, automatic=AutomaticExposure(enabled=False))
    order = {"do": "settings", "period_s": 2.0, "explicit": ["exposure_s"]}
    refused = rig.order(**order, device=wide.model_dump(mode="json"), check=True)
    assert not refused["ok"]
    assert "6 s" in refused["text"]
    loud = camera(gain=64.0)
    refused = rig.order(do="settings", period_s=2.0, explicit=["gain"], device=loud.model_dump(mode="json"), check=True)
    assert "16" in refused["text"]
    good = camera(exposure_s=0.25, automatic=AutomaticExposure(enabled=False))
    reply = rig.order(**order, device=good.model_dump(mode="json"))
    assert reply["ok"], reply
    assert reply["values"] == {
        "automatic": False,
        "exposure_s": pytest.approx(0.25),
        "period_s": 2.0,
        "gain": 1.0,
        "first_row": 0,
        "last_row": 65_535,
    }
    shot = rig.order(do="shot", kind="test")
    assert shot["ok"]
    rig.end()
    assert rig.notes()[0]["exposure_s"] == pytest.approx(0.25)


def test_a_spectrometer_goes_the_same_way(tmp_path: Path) -> None:
    device = SpectrometerDevice(
        name="spectrometer",
        driver="simulated",
        options={"seed": 1},
        integration_time_s=0.05,
        coadds=3,
        total_time_s=0.6,
    )
    rig = Rig(tmp_path, device)
    rig.on_item = lambda count: rig.loop.end() if count >= 8 else None
    rig.start()
    rig.stop_after(8)
    items, notes = rig.items(), rig.notes()
    assert {item.kind for item in items} == {"spectrum"}
    assert notes[-1]["coadds"] * notes[-1]["integration_time_s"] <= 0.61
    assert notes[-1]["next_exposure"]["reason"] == "within limits"
