"""The external disk is released and taken back; room is made when somebody asks."""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from so2cam.core.health import Level, SpoolHealth, SystemHealth
from so2cam.core.site_instrument import Mirror as MirrorSettings
from so2cam.core.site_instrument import Storage
from so2cam.instrument import keeper as keeper_module
from so2cam.instrument import mirroring
from so2cam.instrument.clock_quality import ClockQuality
from so2cam.instrument.disks import MOUNT_SERVICE, SystemMounts, mount_unit
from so2cam.instrument.errors import InstrumentError
from so2cam.instrument.health import Findings, compose
from so2cam.instrument.keeper import Keeper
from so2cam.instrument.mirroring import MirrorThread
from so2cam.instrument.places import Places
from so2cam.store.items import StoreItem
from so2cam.store.mirror import MirrorState
from so2cam.store.mounts import FoundDisk
from so2cam.store.spool import Spool

START = datetime(2026, 3, 1, 12, tzinfo=UTC)


def wait(wanted: Callable[[], bool]) -> None:
    limit = time.monotonic() + 30
    while not wanted():
        assert time.monotonic() < limit
        threading.Event().wait(0.01)


class FakeDisk:
    """A disk that is mounted, or not; what is written while it is not would show in ``folder``."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.mounted = True
        self.done: list[str] = []
        self.refuses: str | None = None
        self.files_at_flush = -1

    def find(self, label: str) -> FoundDisk:
        return FoundDisk(self.folder) if self.mounted else FoundDisk(None, f"the disk {label!r} is not mounted")

    def files(self) -> int:
        return sum(path.is_file() for path in self.folder.rglob("*"))

    def flush(self, folder: Path) -> None:
        assert folder == self.folder
        self.done.append("flush")
        self.files_at_flush = self.files()

    def unmount(self, folder: Path) -> None:
        assert folder == self.folder
        self.done.append("unmount")
        if self.refuses is not None:
            raise InstrumentError(self.refuses)
        self.mounted = False

    def mount(self) -> None:
        self.done.append("mount")
        if self.refuses is not None:
            raise InstrumentError(self.refuses)
        self.mounted = True


class Rig:
    """A spool that is mirrored to a fake disk."""

    def __init__(self, root: Path) -> None:
        self.places = Places(root / "lead")
        (root / "disk").mkdir()
        self.disk = FakeDisk(root / "disk")
        self.changes: list[str] = []
        self.spool = Spool(self.places.root, node="lead")
        self.mirror = MirrorThread(
            self.places,
            "lead",
            Storage(),
            MirrorSettings(label="SO2CAM"),
            lambda _, text: self.changes.append(text),
            mounts=self.disk,
            find=self.disk.find,
        )

    def put(self, number: int) -> None:
        self.spool.put(
            StoreItem("frame", "plume", "camera-on", START + timedelta(seconds=number), f"f{number}", ".png", b"abc")
        )

    def start(self) -> None:
        self.mirror.start()
        wait(lambda: self.mirror.status.state is MirrorState.CURRENT)


@pytest.fixture
def rig(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Rig]:
    monkeypatch.setattr(mirroring, "RETRY_S", 0.05)
    monkeypatch.setattr(mirroring, "MOUNT_S", 0.3)
    made = Rig(tmp_path)
    made.put(0)
    yield made
    made.mirror.stop(20)
    made.spool.close()


def test_a_released_disk_is_whole_unmounted_and_left_alone(rig: Rig) -> None:
    rig.start()
    assert rig.mirror.release() == "you may pull the disk 'SO2CAM'; everything is on it"
    assert rig.disk.done == ["flush", "unmount"]
    written = rig.disk.files()
    assert written == rig.disk.files_at_flush > 0, "nothing was written once it was flushed"
    assert (rig.mirror.status.state, rig.mirror.status.path) == (MirrorState.RELEASED, None)
    assert rig.mirror.folders() == ()
    disk = rig.mirror.disk()
    assert (disk.present, disk.note) == (False, "you may pull the disk 'SO2CAM'; everything is on it")
    found = compose(Findings(
        time=START, node="lead", site="bench", version="0", reason="asked", activity="captures", next_change=None,
        devices=(), disks=(disk,), spool=SpoolHealth(mirror=rig.mirror.status.state.value),
        clock=ClockQuality("ntp", None, None), clock_steps=0, last_step_s=None, system=SystemHealth(),
    ), ())  # fmt: skip
    assert found.level is Level.WARNING
    assert found.summary == "the disk mirror was released: you may pull the disk 'SO2CAM'; everything is on it"
    rig.put(1)
    wait(lambda: rig.mirror._gone)
    assert rig.disk.files() == written
    assert rig.mirror.release() == "you may pull the disk 'SO2CAM'; everything is on it", "asked again: the same"
    assert rig.disk.done == ["flush", "unmount"]


def test_taken_back_it_is_mounted_and_catches_up(rig: Rig) -> None:
    rig.start()
    rig.mirror.release()
    written = rig.disk.files()
    rig.put(1)
    assert rig.mirror.take_back() == f"{rig.disk.folder} is used again"
    assert rig.disk.done == ["flush", "unmount", "mount"]
    wait(lambda: rig.disk.files() == written + 2)
    assert "was not released" in rig.mirror.take_back()


def test_a_disk_that_is_plugged_in_again_is_used_by_itself(rig: Rig) -> None:
    rig.start()
    rig.mirror.release()
    wait(lambda: rig.mirror._gone)
    rig.put(1)
    rig.disk.mounted = True
    wait(lambda: rig.mirror.status.state is MirrorState.CURRENT and rig.mirror.status.backlog == 0)
    assert "a disk was plugged in: it is used" in rig.changes
    assert "mount" not in rig.disk.done


def test_a_disk_that_cannot_be_unmounted_stays_in_use(rig: Rig) -> None:
    rig.start()
    written = rig.disk.files()
    rig.disk.refuses = "the disk is busy"
    with pytest.raises(InstrumentError, match="busy"):
        rig.mirror.release()
    rig.put(1)
    wait(lambda: rig.disk.files() == written + 2)
    assert rig.mirror.folders() != ()


def test_an_unmount_that_only_claims_to_be_one_is_seen(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rig.disk, "unmount", lambda _: None)
    rig.start()
    with pytest.raises(InstrumentError, match="mounted still"):
        rig.mirror.release()
    assert rig.mirror.status.state is not MirrorState.RELEASED


def test_a_disk_that_is_written_to_for_too_long_is_not_released(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mirroring, "RELEASE_S", 0.05)
    rig.start()
    writing, over = threading.Event(), threading.Event()

    class SlowMirror:
        def __init__(self, *_: object, **__: object) -> None:
            pass

        def run(self, *_: object, **__: object) -> None:
            writing.set()
            over.wait(20)

    monkeypatch.setattr(mirroring, "Mirror", SlowMirror)
    rig.mirror._halt.set()  # the present one ends, and a slow one takes its place
    assert writing.wait(20)
    rig.mirror._halt.clear()
    with pytest.raises(InstrumentError, match="still being written"):
        rig.mirror.release()
    over.set()
    assert rig.disk.done == []
    assert rig.disk.mounted


def test_where_no_disk_is_there_it_may_be_pulled_and_mounting_may_fail(rig: Rig) -> None:
    rig.disk.mounted = False
    rig.mirror.start()
    assert "may be pulled" in rig.mirror.release()
    rig.disk.refuses = "nobody may mount"
    assert "as soon as it is plugged in" in (said := rig.mirror.take_back())
    assert "nobody may mount" in said
    rig.disk.mounted = True
    wait(lambda: rig.mirror.status.state is MirrorState.CURRENT)


def test_a_folder_is_flushed_and_left_to_whoever_mounted_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "ssd"
    monkeypatch.setattr(mirroring, "check_folder", lambda path, other_than: FoundDisk(path))
    disk = FakeDisk(folder)
    settings = MirrorSettings(path=str(folder))
    thread = MirrorThread(Places(tmp_path / "lead"), "lead", Storage(), settings, lambda *_: None, mounts=disk)
    said = thread.release()
    assert said.startswith(f"nothing is written to {folder} any more; everything is on it. Unmount it by hand")
    assert disk.done == ["flush"]
    assert thread.take_back() == f"{folder} is used again"


def test_systemd_is_asked_for_disks() -> None:
    asked: list[list[str]] = []
    answers = [(0, ""), (1, "target is busy"), (0, ""), (0, "")]

    def run(arguments: Sequence[str], _: float) -> tuple[int, str]:
        asked.append(list(arguments))
        return answers[len(asked) - 1]

    mounts = SystemMounts(run, pause_s=0.0)
    folder = Path("/media/so2cam/SO2CAM-1")
    mounts.flush(folder)
    mounts.unmount(folder)
    mounts.mount()
    stop = ["systemctl", "stop", r"media-so2cam-SO2CAM\x2d1.mount"]
    assert asked == [["sync", "-f", str(folder)], stop, stop, ["systemctl", "start", MOUNT_SERVICE]]
    with pytest.raises(InstrumentError, match="cannot be unmounted: target is busy") as caught:
        SystemMounts(lambda *_: (1, "target is busy"), pause_s=0.0).unmount(folder)
    assert "so2cam instrument install" in (caught.value.remedy or "")


@pytest.mark.parametrize(
    ("folder", "unit"),
    [("/", "-.mount"), ("/media/so2cam/A_b.1", "media-so2cam-A_b.1.mount"), ("/a b/ü", r"a\x20b-\xc3\xbc.mount")],
)
def test_units_of_mounts_are_named_as_systemd_does(folder: str, unit: str) -> None:
    assert mount_unit(Path(folder)) == unit


# --- room ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def keeper(tmp_path: Path) -> Iterator[Any]:
    made = Keeper(Places(tmp_path / "lead"), "lead", Storage(), checking=lambda: False, on_change=lambda *_: None)
    yield made
    made.stop(20)


def fill(root: Path, stored: Sequence[datetime], delivered: int) -> None:
    """Keep items that were stored at these times; the first ``delivered`` have arrived."""
    for number, time_ in enumerate(stored):
        with Spool(root, node="lead", now=lambda time_=time_: time_) as spool:  # type: ignore[misc]
            item = spool.put(
                StoreItem("frame", "plume", "camera-on", START + timedelta(seconds=number), f"f{number}", ".png", b"x")
            ).item
            if number < delivered:
                spool.mark_delivered(item.sequence, item.digest)


def test_room_is_made_of_what_was_delivered_and_is_no_news(
    keeper: Keeper, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keeper_module, "_FREE_ITEMS", 2)
    now = datetime.now(UTC)
    old, young = now - timedelta(hours=2), now - timedelta(minutes=5)
    fill(tmp_path / "lead", [old, old, old, young, old], 4)
    keeper.start()
    freed = keeper.free_space(30.0)
    assert (freed.items, freed.over, freed.error) == (3, True, None)
    assert freed.bytes > 0
    with Spool(tmp_path / "lead") as spool:
        assert [item.sequence for item in spool.find()] == [4, 5]
        assert [row[1:3] for row in spool.deletions()] == [("delivered", 3)]
    assert keeper.free_space(30.0).items == 0, "asked again: nothing more"


def test_a_wish_for_room_that_is_not_over_is_told_so(keeper: Keeper, tmp_path: Path) -> None:
    fill(tmp_path / "lead", [START], 1)
    assert not keeper.free_space(0.01).over, "the keeper does not run yet"
    keeper.start()
    assert keeper.free_space(30.0).items == 1, "asked again, it is the same wish"
