"""The queue in front of the spool, and the keeper of the spool."""

import shutil
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from so2cam.core.site_instrument import Mirror as MirrorSettings
from so2cam.core.site_instrument import Storage
from so2cam.instrument import keeper as keeper_module
from so2cam.instrument import mirroring
from so2cam.instrument import writer as writer_module
from so2cam.instrument.keeper import Keeper
from so2cam.instrument.places import Places
from so2cam.instrument.writer import Writer
from so2cam.store.errors import SpoolDamagedError, SpoolFullError
from so2cam.store.items import Receipt, StoreItem
from so2cam.store.mirror import MirrorPlace, MirrorState, MirrorStatus
from so2cam.store.spool import Spool

START = datetime(2026, 3, 1, 12, tzinfo=UTC)


def item(number: int, size: int = 100) -> StoreItem:
    return StoreItem(
        kind="frame", subject="plume", device="camera-on", time=START + timedelta(seconds=number),
        stem=f"frame{number}", suffix=".png", data=b"x" * size,
    )  # fmt: skip


class Recorder:
    """What a writer tells."""

    def __init__(self) -> None:
        self.stored: list[int] = []
        self.lost: list[tuple[int, str]] = []
        self.trouble: list[str | None] = []

    def on_stored(self, key: int, receipt: Receipt) -> None:
        self.stored.append(key)

    def on_lost(self, key: int, reason: str) -> None:
        self.lost.append((key, reason))


class FlakySpool:
    """A spool whose disk refuses while ``refuses`` gives an error."""

    def __init__(self, spool: Spool, refuses: Callable[[], Exception | None]) -> None:
        self._spool = spool
        self._refuses = refuses

    def put(self, one: StoreItem) -> Receipt:
        error = self._refuses()
        if error is not None:
            raise error
        return self._spool.put(one)

    def close(self) -> None:
        self._spool.close()


def make(
    tmp_path: Path, recorder: Recorder, refuses: Callable[[], Exception | None] = lambda: None, length: int = 5
) -> Writer[int]:
    def open_spool() -> Any:
        return FlakySpool(Spool(tmp_path / "spool"), refuses)

    return Writer(
        open_spool,
        length=length,
        on_stored=recorder.on_stored,
        on_lost=recorder.on_lost,
        on_trouble=recorder.trouble.append,
    )


def test_items_are_kept_in_order(tmp_path: Path) -> None:
    recorder = Recorder()
    writer = make(tmp_path, recorder, length=50)
    for number in range(20):
        writer.give(number, lambda number=number: item(number))  # type: ignore[misc]
    assert writer.flush(20)
    assert writer.close(5) == 0
    assert recorder.stored == list(range(20))
    assert recorder.lost == []
    with Spool(tmp_path / "spool") as spool:
        assert [one.name for one in spool.find()] == [f"frame{number}.png" for number in range(20)]


def test_a_full_disk_costs_the_oldest_beyond_the_queue_and_then_it_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer_module, "_RETRY_S", 0.02)
    recorder = Recorder()
    full = threading.Event()
    full.set()
    writer = make(tmp_path, recorder, lambda: SpoolFullError("no room") if full.is_set() else None)
    for number in range(12):
        writer.give(number, lambda number=number: item(number))  # type: ignore[misc]
    wait_until(lambda: "no room" in recorder.trouble)
    assert writer.waiting == 5
    full.clear()
    assert writer.flush(20)
    assert writer.close(5) == 0
    assert len(recorder.stored) == 5
    assert len(recorder.lost) == 7
    assert sorted([*recorder.stored, *(key for key, _ in recorder.lost)]) == list(range(12)), "each is kept or counted"
    assert recorder.stored[-4:] == [8, 9, 10, 11], "the newest are kept"
    assert recorder.trouble[-1] is None


def test_a_damaged_journal_is_opened_anew_and_what_cannot_be_kept_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer_module, "_RETRY_S", 0.02)
    recorder = Recorder()
    errors: list[Exception] = [SpoolDamagedError("damaged"), SpoolDamagedError("damaged")]
    writer = make(tmp_path, recorder, lambda: errors.pop() if errors else None)

    def impossible() -> StoreItem:
        raise ValueError("counts that no file can hold")

    writer.give(1, lambda: item(1))
    writer.give(2, impossible)
    writer.give(3, lambda: item(3))
    assert writer.flush(20)
    writer.close(5)
    assert recorder.stored == [1, 3]
    assert recorder.lost[0][0] == 2
    assert "no file can hold" in recorder.lost[0][1]


def test_closing_is_bounded_where_the_disk_refuses(tmp_path: Path) -> None:
    recorder = Recorder()
    writer = make(tmp_path, recorder, lambda: SpoolFullError("no room"))
    writer.give(1, lambda: item(1))
    assert writer.close(0.3) == 1


# --- the keeper --------------------------------------------------------------------------------------------------


@pytest.fixture(autouse=True)
def quick_rounds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keeper_module, "ROUND_S", 0.05)
    monkeypatch.setattr(keeper_module, "TROUBLE_ROUND_S", 0.05)
    monkeypatch.setattr(keeper_module, "_VERIFY_EVERY_S", 0.0)


def start_keeper(root: Path, changes: list[str], *, mirrors: tuple[Path, ...] = (), **storage: Any) -> Keeper:
    keeper = Keeper(
        Places(root),
        "lead",
        Storage(**storage),
        checking=lambda: True,
        mirrors=lambda: mirrors,
        on_change=lambda name, text: changes.append(f"{name}: {text}"),
    )
    keeper.start()
    return keeper


def test_it_recovers_counts_and_finds_damage(tmp_path: Path) -> None:
    root, changes = tmp_path / "lead", list[str]()
    with Spool(root, node="lead") as spool:
        for number in range(5):
            spool.put(item(number))
        damaged = spool.path_of(spool.find()[2])
        gone = spool.path_of(spool.find()[4])
    damaged.write_bytes(b"y" * 100)
    gone.unlink()
    (root / "data" / "stray.png.tmp").write_bytes(b"")
    keeper = start_keeper(root, changes, minimum_free_fraction=0.0, minimum_free_bytes=0)
    try:
        wait_until(lambda: keeper.spool_health().missing == 2)
        health = keeper.spool_health()
        assert health.items is not None
        assert health.undelivered is not None
        assert health.last_sequence == 4, "the last one that is there"
        assert keeper.disks()[0].present
        assert any(damaged.name in change for change in changes), changes
    finally:
        keeper.stop()


def test_room_is_made_of_delivered_items_only(tmp_path: Path) -> None:
    root, changes = tmp_path / "lead", list[str]()
    with Spool(root, node="lead") as spool:
        for number in range(6):
            spool.put(item(number, size=50_000))
        for one in spool.find()[:3]:
            spool.mark_delivered(one.sequence, one.digest)
    keeper = start_keeper(root, changes, minimum_free_fraction=0.89, minimum_free_bytes=10**15)
    try:
        wait_until(lambda: keeper.spool_health().items == 3)
        assert keeper.spool_health().deleted_undelivered == 0
        assert keeper.spool_health().undelivered == 3
    finally:
        keeper.stop()
    keeper = start_keeper(root, changes, minimum_free_fraction=0.89, minimum_free_bytes=10**15, delete_undelivered=True)
    try:
        wait_until(lambda: keeper.spool_health().items == 0)
        assert keeper.spool_health().deleted_undelivered == 3
        assert any("nobody has" in change for change in changes)
    finally:
        keeper.stop()


def test_a_spool_that_cannot_be_used_is_reported_and_tried_again(tmp_path: Path) -> None:
    root, changes = tmp_path / "lead", list[str]()
    root.write_text("a file where the folder should be")
    keeper = start_keeper(root, changes)
    try:
        wait_until(lambda: keeper.spool_health().error is not None)
        root.unlink()
        wait_until(lambda: keeper.spool_health().error is None and keeper.spool_health().items == 0)
        assert keeper.wait_recovered(1)
        wait_until(lambda: changes[-1] == "spool: the spool works again")
    finally:
        keeper.stop()


def wait_until(condition: Callable[[], bool], timeout_s: float = 20.0) -> None:
    limit = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < limit
        time.sleep(0.01)


def test_damaged_files_are_put_back_from_the_mirror(tmp_path: Path) -> None:
    root, changes = tmp_path / "lead", list[str]()
    with Spool(root, node="lead") as spool:
        for number in range(3):
            spool.put(item(number))
        damaged, content = spool.path_of(spool.find()[1]), spool.path_of(spool.find()[1]).read_bytes()
    shutil.copytree(root / "data", tmp_path / "ssd" / "lead" / "data")
    damaged.write_bytes(b"y" * len(content))
    keeper = start_keeper(
        root, changes, mirrors=(tmp_path / "ssd" / "lead",), minimum_free_fraction=0.0, minimum_free_bytes=0
    )
    try:
        wait_until(lambda: any("put back from the mirror" in change for change in changes))
        assert damaged.read_bytes() == content
        assert keeper.spool_health().missing == 0
    finally:
        keeper.stop()


@pytest.mark.parametrize(("when_full", "drops"), [("drop-delivered", True), ("wait", False)])
def test_the_mirror_does_on_a_full_disk_what_the_site_file_says(
    when_full: Any, drops: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    places: list[MirrorPlace] = []
    told = threading.Event()

    class FakeMirror:
        def __init__(self, spool: Spool, place: MirrorPlace, **_: object) -> None:
            places.append(place)

        def run(self, stop: threading.Event, *, on_status: Any) -> None:
            on_status(MirrorStatus(MirrorState.CURRENT, "", path=tmp_path / "ssd" / "so2cam" / "lead"))
            told.set()
            stop.wait(20)

    monkeypatch.setattr(mirroring, "Mirror", FakeMirror)
    settings = MirrorSettings(path=str(tmp_path / "ssd"), when_full=when_full)
    thread = mirroring.MirrorThread(Places(tmp_path / "lead"), "lead", Storage(), settings, lambda *_: None)
    assert thread.folders() == ()
    thread.start()
    assert told.wait(20)
    thread.stop(10)
    assert places[0].make_room is drops
    assert thread.folders() == (tmp_path / "ssd" / "so2cam" / "lead",)
