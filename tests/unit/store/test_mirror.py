import errno
import json
import shutil
import threading
from pathlib import Path
from typing import Any

import pytest

from so2cam.store.mirror import Mirror, MirrorPlace, MirrorState
from so2cam.store.mounts import FoundDisk
from so2cam.store.retention import make_room
from so2cam.store.spool import Spool
from so2cam.store.verify import verify_spool


@pytest.fixture
def spool(tmp_path: Path) -> Any:
    with Spool(tmp_path / "spool", node="lead", receivers=["station", "mirror"]) as opened:
        yield opened


class Port:
    """Where a disk can be plugged in."""

    def __init__(self) -> None:
        self.disk: Path | None = None

    def __call__(self, label: str) -> FoundDisk:
        return FoundDisk(None, f"no disk {label}") if self.disk is None else FoundDisk(self.disk)


@pytest.fixture
def port(tmp_path: Path) -> Port:
    port = Port()
    port.disk = tmp_path / "ssd"
    port.disk.mkdir()
    return port


@pytest.fixture
def mirror(spool: Spool, port: Port, disk: Any) -> Mirror:
    return Mirror(spool, MirrorPlace(label="SO2", reserve_bytes=0), batch=3, disk=disk, find=port)


def same(spool: Spool, root: Path) -> bool:
    return all(
        (root / "so2cam" / "lead" / path).read_bytes() == (spool.root / path).read_bytes()
        for item in spool.find()
        for path in (item.path, item.sidecar_path)
    )


def test_everything_is_copied_in_batches_and_read_back(spool: Spool, items: Any, mirror: Mirror, port: Any) -> None:
    for _ in range(7):
        spool.put(items())
    states = [mirror.step() for _ in range(4)]
    assert [(status.state, status.items, status.backlog) for status in states] == [
        (MirrorState.BEHIND, 3, 4),
        (MirrorState.BEHIND, 3, 1),
        (MirrorState.CURRENT, 1, 0),
        (MirrorState.CURRENT, 0, 0),
    ]
    assert same(spool, port.disk)
    assert {entry.receiver: entry.items for entry in spool.backlog() if not entry.receiver.startswith("mirror-")} == {
        "station": 7,
        "mirror": 0,
    }
    assert not list(port.disk.rglob("*.tmp"))


def test_a_disk_that_was_away_catches_up_and_a_new_one_gets_everything(
    spool: Spool, items: Any, mirror: Mirror, port: Any, tmp_path: Path
) -> None:
    first, second = port.disk, tmp_path / "other"
    second.mkdir()
    spool.put(items())
    mirror.step()
    port.disk = None
    assert mirror.step().state is MirrorState.ABSENT
    spool.put(items())
    port.disk = second
    assert mirror.step().items == 2
    port.disk = first
    assert mirror.step().items == 1
    assert same(spool, first)
    assert same(spool, second)


def test_of_many_disks_the_oldest_is_forgotten(spool: Spool, items: Any, mirror: Mirror, port: Any) -> None:
    spool.put(items())
    for number in range(6):
        port.disk = port.disk.parent / f"disk{number}"
        port.disk.mkdir()
        assert mirror.step().items == 1
    assert sum(name.startswith("mirror-") for name in spool.receivers()) == 4


def test_an_older_item_of_the_same_name_on_the_disk_is_not_written_over(
    spool: Spool, items: Any, mirror: Mirror, port: Any
) -> None:
    stored = spool.put(items()).item
    old = port.disk / "so2cam" / "lead" / stored.path
    old.parent.mkdir(parents=True)
    old.write_bytes(b"of another card")
    assert mirror.step().state is MirrorState.CURRENT
    assert old.read_bytes() == b"of another card"
    copy = old.with_name(f"{old.stem}x{stored.sha256[:8]}.png")
    assert copy.read_bytes() == items.made[0].data
    assert json.loads(copy.with_suffix(".json").read_bytes())["so2cam"]["sequence"] == 1


@pytest.mark.parametrize("call", ["write", "sync", "rename", "sync_folder", "make_folder", "free_bytes"])
def test_a_disk_that_fails_or_is_pulled_out_loses_nothing(
    spool: Spool, items: Any, mirror: Mirror, port: Any, disk: Any, call: str
) -> None:
    spool.put(items())
    disk.fail = {call: [errno.EIO]}
    status = mirror.step()
    assert (status.state, status.items) == (MirrorState.ERROR, 0)
    assert "Input/output error" in status.detail
    assert len(spool.undelivered("mirror")) == 1
    assert mirror.step().state is MirrorState.CURRENT
    assert same(spool, port.disk)
    shutil.rmtree(port.disk)
    port.disk.mkdir()  # formatted: a new disk
    assert mirror.step().items == 1


def test_a_disk_that_reads_back_something_else_is_no_mirror(
    spool: Spool, items: Any, mirror: Mirror, port: Any, disk: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    spool.put(items())
    with monkeypatch.context() as patch:
        patch.setattr(disk, "chunks", lambda *_, **__: iter([b"x" * 200]))
        status = mirror.step()
    assert status.state is MirrorState.ERROR
    assert "read back" in status.detail
    assert len(spool.undelivered("mirror")) == 1
    assert mirror.step().items == 1


def test_a_full_disk_is_said_so(spool: Spool, items: Any, mirror: Mirror, disk: Any) -> None:
    spool.put(items())
    disk.free = 100
    status = mirror.step()
    assert (status.state, status.backlog) == (MirrorState.FULL, 1)
    disk.free = None
    assert mirror.step().state is MirrorState.CURRENT


def test_a_full_disk_can_make_room_of_what_was_delivered(
    spool: Spool, items: Any, mirror: Mirror, port: Any, disk: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("so2cam.store.mirror._ROOM_STEP", 1)
    monkeypatch.setattr("so2cam.store.mirror._ROOM_AGAIN_S", 0.0)
    place = MirrorPlace(label="SO2", reserve_bytes=0, make_room=True)
    mirror = Mirror(spool, place, disk=disk, find=port)
    copies = port.disk / "so2cam" / "lead"

    def free(_: Path) -> int:
        return 3000 - sum(path.stat().st_size for path in (copies / "data").rglob("*") if path.is_file())

    disk.free_bytes = free
    stored = [spool.put(items()).item for _ in range(6)]  # 496 bytes each
    assert mirror.step().state is MirrorState.CURRENT
    first = spool.put(items()).item
    assert mirror.step().state is MirrorState.FULL  # nothing of it was delivered
    for item in stored[1:3]:
        spool.mark_delivered(item.sequence, item.digest)
    status = mirror.step()
    assert (status.state, status.removed, status.items) == (MirrorState.CURRENT, 1, 1)
    assert not (copies / stored[1].path).exists()
    assert not (copies / stored[1].sidecar_path).exists()
    assert all((copies / item.path).exists() for item in (stored[0], stored[2], first))
    # what was deleted from the spool before it was delivered has its only copy here
    monkeypatch.setattr(type(spool.disk), "free_bytes", lambda *_: 0)
    assert make_room(spool, wanted_free=1).delivered_items == 2
    assert make_room(spool, wanted_free=1, maximum_items=1, delete_undelivered=True).undelivered_items == 1
    monkeypatch.setattr(type(spool.disk), "free_bytes", lambda *_: 10**9)
    spool.put(items())
    assert mirror.step().removed == 1
    assert (copies / stored[0].path).exists()
    assert not (copies / stored[2].path).exists()


def test_a_full_disk_keeps_what_an_earlier_card_left_there(
    items: Any, port: Any, disk: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("so2cam.store.mirror._ROOM_STEP", 1)
    place = MirrorPlace(label="SO2", reserve_bytes=0, make_room=True)
    copies = port.disk / "so2cam" / "lead"
    with Spool(tmp_path / "old card", node="lead", receivers=["station"]) as spool:
        old = [spool.put(items()).item for _ in range(3)]
        assert Mirror(spool, place, disk=disk, find=port).step().items == 3

    def free(_: Path) -> int:
        return 2600 - sum(path.stat().st_size for path in (copies / "data").rglob("*") if path.is_file())

    disk.free_bytes = free
    with Spool(tmp_path / "new card", node="lead", receivers=["station"]) as spool:
        mirror = Mirror(spool, place, disk=disk, find=port)
        first = [spool.put(items()).item for _ in range(2)]
        assert mirror.step().items == 2
        for item in first:
            spool.mark_delivered(item.sequence, item.digest)
        monkeypatch.setattr(type(spool.disk), "free_bytes", lambda *_: 0)
        assert make_room(spool, wanted_free=1).delivered_items == 2
        monkeypatch.undo()
        spool.put(items())
        # Its own two were delivered and deleted, but of a disk with a past nobody can tell them from the old card's.
        status = mirror.step()
        assert (status.state, status.removed) == (MirrorState.FULL, 0)
        assert all((copies / item.path).exists() for item in [*old, *first])
        searched: list[str] = []
        disk.free_bytes = lambda _: 0
        monkeypatch.setattr(Path, "rglob", lambda self, pattern: searched.append(pattern) or iter(()))
        assert mirror.step().state is MirrorState.FULL
        assert searched == [], "a disk on which nothing can go is not searched at every step"
    assert len(json.loads((copies / "mirror.json").read_text())["journals"]) == 2


def test_items_that_are_damaged_in_the_spool_do_not_stop_the_others(
    spool: Spool, items: Any, mirror: Mirror, port: Any
) -> None:
    stored = [spool.put(items()).item for _ in range(5)]
    for item in stored[:4]:
        spool.path_of(item).write_bytes(b"damaged")
    assert mirror.step().damaged == 3
    assert mirror.step().items == 1
    assert spool.counts().damaged == 4


def test_the_mirror_puts_damaged_files_back(spool: Spool, items: Any, mirror: Mirror, port: Any) -> None:
    stored = spool.put(items()).item
    path = mirror.step().path
    assert path is not None
    spool.path_of(stored).write_bytes(b"damaged")
    assert verify_spool(spool, mirrors=[path]).good


def test_a_path_on_the_same_disk_is_refused_but_for_trials(spool: Spool, items: Any, tmp_path: Path) -> None:
    spool.put(items())
    folder = tmp_path / "ssd"
    folder.mkdir()
    refused = Mirror(spool, MirrorPlace(path=folder)).step()
    assert refused.state is MirrorState.ABSENT
    assert "mounted" in refused.detail
    assert list(folder.iterdir()) == []
    trial = Mirror(spool, MirrorPlace(path=folder, same_disk=True, reserve_bytes=0))
    assert trial.step().state is MirrorState.CURRENT
    with pytest.raises(ValueError, match="label or by its path"):
        MirrorPlace()


def test_a_mirror_runs_beside_until_it_is_stopped(spool: Spool, items: Any, port: Any) -> None:
    stop, current = threading.Event(), threading.Event()
    for _ in range(5):
        spool.put(items())

    def watch(status: Any) -> None:
        if status.state is MirrorState.CURRENT:
            current.set()

    with Spool(spool.root, node="lead", receivers=["station", "mirror"]) as own:
        mirror = Mirror(own, MirrorPlace(label="SO2", reserve_bytes=0), batch=2, find=port)
        thread = threading.Thread(target=mirror.run, args=(stop,), kwargs={"idle_s": 0.05, "on_status": watch})
        thread.start()
        assert current.wait(60)
        stop.set()
        thread.join(60)
        assert not thread.is_alive()
    assert same(spool, port.disk)
