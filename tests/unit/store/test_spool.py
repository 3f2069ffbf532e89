import dataclasses
import errno
import hashlib
import json
import sqlite3
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from so2cam.store.disk import STEPS
from so2cam.store.errors import (
    AlreadyKeptError,
    ItemDamagedError,
    SpoolBusyError,
    SpoolDamagedError,
    SpoolError,
    SpoolFullError,
    SpoolWriteError,
    UnknownItemError,
    from_sqlite_error,
)
from so2cam.store.gate import Gate
from so2cam.store.items import Mark, Origin, StoreItem, item_digest
from so2cam.store.journal import Journal
from so2cam.store.recovery import recover_spool
from so2cam.store.spool import Spool

BEGIN = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.fixture
def spool(tmp_path: Path, disk: Any) -> Any:
    with Spool(tmp_path / "spool", node="lead", disk=disk) as opened:
        yield opened


def test_a_receipt_says_what_is_on_the_disk(spool: Spool, items: Any) -> None:
    item = items()
    receipt = spool.put(item)
    assert receipt.new
    stored = receipt.item
    assert stored.path == "data/2026/03/01/12/2026-03-01T120001_fltrA_1.0_9977ss_Plume.png"
    assert stored.sha256 == hashlib.sha256(item.data).hexdigest()
    assert (spool.root / stored.path).read_bytes() == item.data
    sidecar = (spool.root / stored.sidecar_path).read_bytes()
    assert stored.sidecar_sha256 == hashlib.sha256(sidecar).hexdigest()
    assert json.loads(sidecar) == {
        "ExposureTime": 9977,
        "so2cam": {
            "format": 1,
            "node": "lead",
            "sequence": 1,
            "kind": "frame",
            "subject": "plume",
            "device": "camera-on",
            "time": "2026-03-01T12:00:01.000000Z",
            "sha256": stored.sha256,
            "bytes": len(item.data),
        },
    }
    assert spool.get(1) == stored
    assert stored.digest == item_digest(stored.sha256, stored.sidecar_sha256)
    assert (spool.read(stored), spool.read(stored, sidecar=True)) == (item.data, sidecar)
    assert spool.read(stored, offset=190, length=100) == item.data[190:]


@pytest.mark.parametrize(
    ("layout", "folder"), [("hour", "data/2026/02/28/23"), ("day", "data/2026-02-28"), ("flat", "data")]
)
def test_layouts_go_by_the_time_in_the_name_in_utc(tmp_path: Path, items: Any, layout: Any, folder: str) -> None:
    stamp = datetime(2026, 3, 1, 0, 59, 59, 999_000, tzinfo=timezone(timedelta(hours=1)))
    with Spool(tmp_path, layout=layout) as spool:
        receipt = spool.put(items(time=datetime(2026, 3, 1, 0, 0, 1, tzinfo=UTC), stamp=stamp))
    assert receipt.item.folder == folder


def test_nothing_is_overwritten_whatever_the_clock_does(spool: Spool, items: Any) -> None:
    # a leap second or a clock that was set back gives the same name twice; a start without a clock gives 1970
    same = [spool.put(items(time=BEGIN)).item for _ in range(3)]
    early = [spool.put(items(time=datetime(1970, 1, 1, 0, 0, 7, tzinfo=UTC))).item for _ in range(2)]
    stem = "2026-03-01T120000_fltrA_1.0_9977ss_Plume"
    assert [item.name for item in same] == [f"{stem}.png", f"{stem}_n00000002.png", f"{stem}_n00000003.png"]
    assert early[0].folder == "data/1970/01/01/00"
    assert [item.sequence for item in same + early] == [1, 2, 3, 4, 5]
    assert [spool.read(item) for item in same + early] == [item.data for item in items.made]


def test_numbered_names_have_the_sequence_number_at_once(spool: Spool, items: Any) -> None:
    assert spool.put(items(numbered=True)).item.name.endswith("_Plume_n00000001.png")


def test_a_name_that_a_foreign_file_has_is_left_alone(spool: Spool, items: Any) -> None:
    item = items()
    folder = spool.root / spool.folder_for(item.time)
    folder.mkdir(parents=True)
    for name in (f"{item.stem}.json", f"{item.stem}_n00000001.png"):
        (folder / name).write_bytes(b"foreign")
    stored = spool.put(item).item
    assert stored.name.startswith(f"{item.stem}_n00000001x")
    assert (folder / f"{item.stem}.json").read_bytes() == b"foreign"


@pytest.mark.parametrize(
    "change",
    [
        {"stem": "../x"},
        {"stem": ""},
        {"stem": "a/b"},
        {"stem": "a" * 181},
        {"stem": ".hidden"},
        {"suffix": ".json"},
        {"suffix": "png"},
        {"kind": "a b"},
        {"device": ""},
        {"time": datetime(2026, 1, 1)},  # noqa: DTZ001 - a time without a zone is what is refused
        {"origin": Origin("follower", 3)},
    ],
)
def test_items_that_no_spool_could_keep_are_refused(items: Any, change: dict[str, object]) -> None:
    with pytest.raises(ValueError):
        items(**change)


def test_metadata_that_json_cannot_hold_is_refused_and_leaves_nothing(
    spool: Spool, items: Any, files: Callable[[Path], list[str]]
) -> None:
    for metadata in ({"a": float("nan")}, {"a": object()}, {"so2cam": 3}):
        with pytest.raises(ValueError, match=r"JSON|so2cam"):
            spool.put(items(metadata=metadata))
    assert files(spool.root) == []
    assert spool.put(items()).sequence == 1


def test_an_own_key_of_the_metadata_cannot_change_what_the_spool_says(spool: Spool, items: Any) -> None:
    stored = spool.put(items(metadata={"so2cam": {"sequence": 99, "clock": "gps"}})).item
    own = json.loads(spool.read(stored, sidecar=True))["so2cam"]
    assert (own["sequence"], own["clock"]) == (1, "gps")


def test_items_of_another_node_are_kept_to_the_byte_and_once(spool: Spool, items: Any) -> None:
    item = items(sidecar=b'{"so2cam": {"node": "follower"}}', origin=Origin("follower", 41))
    first, second = spool.put(item), spool.put(item)
    assert (first.new, second.new) == (True, False)
    assert first.item == second.item
    assert spool.read(first.item, sidecar=True) == item.sidecar
    assert first.item.origin == Origin("follower", 41)


# --- finding, delivery -------------------------------------------------------------------------------------------


def test_find_by_kind_subject_device_and_time(spool: Spool, items: Any) -> None:
    for second in range(10):
        spool.put(items(time=BEGIN + timedelta(seconds=second)))
    spool.put(items(kind="spectrum", suffix=".npy", device="flame", subject="dark"))

    def numbers(**what: Any) -> list[int]:
        return [item.sequence for item in spool.find(**what)]

    assert numbers() == list(range(1, 12))
    assert numbers(kind="frame", start=BEGIN + timedelta(seconds=2), end=BEGIN + timedelta(seconds=5)) == [3, 4, 5]
    assert numbers(kind="spectrum") == numbers(device="flame") == numbers(subject="dark") == [11]
    assert numbers(after=8, limit=2) == [9, 10]
    assert numbers(limit=2, order="newest") == [11, 10]
    assert numbers(kind="health") == []


def test_delivery_is_kept_account_of(spool: Spool, items: Any) -> None:
    stored = [spool.put(items()).item for _ in range(5)]
    (backlog,) = spool.counts().backlog
    assert (backlog.receiver, backlog.required, backlog.items) == ("station", True, 5)
    assert backlog.bytes == spool.counts().bytes == sum(item.total_bytes for item in stored)
    assert spool.mark_delivered(2, stored[1].digest)
    assert not spool.mark_delivered(2, stored[1].digest.upper())
    assert [item.sequence for item in spool.undelivered()] == [1, 3, 4, 5]
    assert [item.sequence for item in spool.undelivered(order="newest", limit=2)] == [5, 4]
    assert [item.sequence for item in spool.undelivered(after=3)] == [4, 5]
    assert [item.sequence for item in spool.undelivered(after=4, order="newest")] == [3, 1]
    assert spool.undelivered(kind="health") == []
    assert spool.undelivered("nobody") == []
    assert spool.backlog()[0].items == 4


def test_a_receiver_that_confirms_something_else_is_refused(spool: Spool, items: Any) -> None:
    first, second = spool.put(items()).item, spool.put(items()).item
    with pytest.raises(UnknownItemError, match="another one"):
        spool.mark_all_delivered([(1, first.digest), (2, first.digest)])
    with pytest.raises(UnknownItemError, match="no item 3"):
        spool.mark_delivered(3, second.digest)
    assert len(spool.undelivered()) == 2  # all or none


def test_receivers_come_and_go(tmp_path: Path, items: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Journal.fill_receiver, "__kwdefaults__", {"at_once": 2})
    with Spool(tmp_path) as spool:
        stored = [spool.put(items()).item for _ in range(5)]
        spool.add_receiver("mirror-1")
        spool.add_receiver("mirror-1")
        assert len(spool.undelivered("mirror-1")) == 5
        for item in stored[:2]:
            spool.mark_delivered(item.sequence, item.digest)
        with pytest.raises(ValueError, match="settings"):
            spool.forget_receiver("station")
    with Spool(tmp_path, receivers=["station", "archive"]) as spool:
        assert spool.receivers() == {"station": True, "mirror-1": False, "archive": True}
        with spool.journal() as journal:
            assert journal.deletable(10) == []  # the new receiver has nothing yet
        for item in stored:
            spool.mark_delivered(item.sequence, item.digest, "archive")
        with spool.journal() as journal:
            assert [item.sequence for item in journal.deletable(10)] == [1, 2]
        spool.forget_receiver("mirror-1")
        assert "mirror-1" not in spool.receivers()
    with Spool(tmp_path, receivers=["archive"]) as spool, spool.journal() as journal:
        assert len(journal.deletable(10)) == 5
    with pytest.raises(ValueError, match="receiver"):
        Spool(tmp_path, receivers=[])


# --- what the disk may do ----------------------------------------------------------------------------------------


def test_every_step_of_a_put_is_named(spool: Spool, items: Any, disk: Any) -> None:
    seen: list[str] = []
    disk.at_step = seen.append
    spool.put(items())
    assert tuple(seen) == STEPS


@pytest.mark.parametrize("code", [errno.EIO, errno.ENOSPC])
@pytest.mark.parametrize("call", ["write", "sync", "rename", "sync_folder", "make_folder", "free_bytes"])
def test_any_call_that_fails_leaves_nothing_and_the_next_put_works(
    spool: Spool, items: Any, disk: Any, files: Callable[[Path], list[str]], call: str, code: int
) -> None:
    kept = spool.put(items()).item
    before = files(spool.root)
    disk.calls.clear()
    spool.put(items())
    times = disk.calls.count(call)
    assert times
    before = files(spool.root)
    for occasion in range(times):
        item = items()
        disk.fail[call] = [*[None] * occasion, code]
        with pytest.raises(SpoolFullError if code == errno.ENOSPC else SpoolWriteError, match="cannot be written"):
            spool.put(item)
        disk.fail.clear()
        assert files(spool.root) == before
        assert spool.put(item).item.name == f"{item.stem}.png"
        before = files(spool.root)
    assert spool.read(kept) == items.made[0].data
    assert len(spool.find()) == 2 + times


def test_files_that_cannot_be_taken_back_do_not_hide_the_error(spool: Spool, items: Any, disk: Any) -> None:
    spool.put(items())
    disk.fail = {"sync_folder": [errno.EIO], "remove": [errno.EIO] * 10}
    with pytest.raises(SpoolWriteError):
        spool.put(items())
    disk.fail.clear()
    again = items(time=items.made[1].time)
    assert spool.put(again).item.name == f"{again.stem}_n00000002.png"


def test_short_writes_are_completed(spool: Spool, items: Any, disk: Any) -> None:
    disk.short = True
    item = items(data=bytes(range(256)) * 40)
    assert spool.read(spool.put(item).item) == item.data


def test_a_write_that_says_more_than_it_did_is_found(spool: Spool, items: Any, disk: Any) -> None:
    class Lying(type(disk)):  # type: ignore[misc]
        def write(self, descriptor: int, data: memoryview) -> int:
            super().write(descriptor, data[:-1])
            return len(data)

    spool.disk = Lying()
    with pytest.raises(SpoolWriteError, match="not as long"):
        spool.put(items())
    spool.disk = disk
    assert spool.put(items()).sequence == 1


def test_no_room_is_refused_at_once_and_room_is_used_again(
    spool: Spool, items: Any, disk: Any, files: Callable[[Path], list[str]]
) -> None:
    disk.free = 16_000_100
    disk.calls.clear()
    with pytest.raises(SpoolFullError, match="no room"):
        spool.put(items())
    assert "write" not in disk.calls
    assert files(spool.root) == []
    disk.free = None
    assert spool.put(items()).sequence == 1


def test_a_failed_commit_is_no_acknowledgement_and_does_not_come_back(
    spool: Spool, items: Any, monkeypatch: pytest.MonkeyPatch, files: Callable[[Path], list[str]]
) -> None:
    real = Journal.insert

    def failing(self: Journal, *args: Any, **kwargs: Any) -> None:
        real(self, *args, **kwargs)
        raise from_sqlite()

    def from_sqlite() -> sqlite3.Error:
        return sqlite3.OperationalError("disk I/O error")

    with monkeypatch.context() as patch:
        patch.setattr(Journal, "insert", failing)
        with pytest.raises(SpoolWriteError, match="disk I/O error"):
            spool.put(items())
    assert files(spool.root) == []
    assert spool.find() == []
    assert spool.put(items()).sequence == 1


@pytest.mark.parametrize(("free", "kind"), [(0, SpoolFullError), (10**9, SpoolWriteError)])
def test_a_journal_that_cannot_grow_on_a_full_disk_is_no_broken_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, free: int, kind: type[SpoolError]
) -> None:
    error = sqlite3.OperationalError("disk I/O error")
    error.sqlite_errorcode = 4874  # SQLITE_IOERR_SHMSIZE
    monkeypatch.setattr("shutil.disk_usage", lambda path: SimpleNamespace(free=free))
    assert type(from_sqlite_error(error, tmp_path / "journal")) is kind


# --- several at once ---------------------------------------------------------------------------------------------


def test_threads_share_a_spool(spool: Spool, items: Any) -> None:
    numbers: list[int] = []
    waiting = [items(device=f"camera-{index % 3}") for index in range(30)]

    def work(part: list[StoreItem]) -> None:
        for item in part:
            numbers.append(spool.put(item).sequence)

    threads = [threading.Thread(target=work, args=(waiting[index::3],)) for index in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert sorted(numbers) == list(range(1, 31))
    assert all(
        json.loads(spool.read(item, sidecar=True))["so2cam"]["sequence"] == item.sequence for item in spool.find()
    )


def test_two_connections_see_each_other_and_a_quicker_one(tmp_path: Path, items: Any, disk: Any) -> None:
    with Spool(tmp_path, disk=disk) as first, Spool(tmp_path) as second:

        def overtake(step: str) -> None:
            if step == "sidecar-written":
                disk.at_step = lambda _: None
                second.put(items())

        disk.at_step = overtake
        stored = first.put(items()).item
        assert stored.sequence == 2
        assert json.loads(first.read(stored, sidecar=True))["so2cam"]["sequence"] == 2
        assert [item.sequence for item in second.find()] == [1, 2]


def test_waiting_for_others_ends(tmp_path: Path, items: Any) -> None:
    with Spool(tmp_path, timeout_s=0.05) as spool:
        gate = Gate(tmp_path / ".lock")
        with gate.exclusive(1.0), pytest.raises(SpoolBusyError, match="another process"):
            spool.put(items())
        gate.close()
        other = Journal(tmp_path / "journal.sqlite")
        with other.transaction(), pytest.raises(SpoolBusyError, match="locked"):
            spool.put(items())
        other.close()
        assert spool.put(items()).sequence == 1


def test_a_thread_that_waits_for_a_hanging_disk_gives_up(tmp_path: Path, items: Any, disk: Any) -> None:
    hanging, release = threading.Event(), threading.Event()
    with Spool(tmp_path, timeout_s=0.05, disk=disk) as spool:

        def hang(step: str) -> None:
            if step == "main-written":
                hanging.set()
                release.wait(30)

        disk.at_step = hang
        thread = threading.Thread(target=spool.put, args=(items(),))
        thread.start()
        assert hanging.wait(30)
        with pytest.raises(SpoolBusyError, match="another thread"):
            spool.put(items())
        release.set()
        thread.join(30)
        assert not thread.is_alive()


# --- damage ------------------------------------------------------------------------------------------------------


def test_what_is_read_is_what_was_kept_or_an_error(spool: Spool, items: Any) -> None:
    stored = spool.put(items()).item
    path = spool.path_of(stored)
    data = bytearray(path.read_bytes())
    data[7] ^= 4
    path.write_bytes(data)
    with pytest.raises(ItemDamagedError, match="SHA-256"):
        spool.read(stored)
    path.unlink()
    with pytest.raises(SpoolError, match="cannot be read"):
        spool.read(stored)
    with pytest.raises(ValueError, match="not within"):
        spool.read(stored, offset=201)


def test_a_damaged_journal_is_built_anew_while_running(spool: Spool, items: Any) -> None:
    stored = [spool.put(items()).item for _ in range(4)]
    spool.mark_delivered(1, stored[0].digest)
    spool.close_journal()
    (spool.root / "journal.sqlite").write_bytes(b"not a database" * 1000)
    assert spool.put(items()).sequence == 5
    found = spool.find()
    assert [dataclasses.replace(item, stored=stored[0].stored) for item in found[:4]] == [
        dataclasses.replace(item, stored=stored[0].stored) for item in stored
    ]
    assert len(spool.undelivered()) == 5  # delivered once more; the receiver knows it by its digest
    assert list((spool.root / "quarantine").glob("journal.sqlite.*.damaged"))


def test_a_page_of_the_journal_that_is_damaged_is_found_at_work_and_all_heals(
    spool: Spool, items: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("so2cam.store.recovery._CHECKED_BYTES", 0)  # as if it were large
    kept = [spool.put(items()).item for _ in range(40)]
    spool.close_journal()
    path = spool.root / "journal.sqlite"
    data = bytearray(path.read_bytes())
    data[4096 * 2 :] = b"\x5a" * (len(data) - 4096 * 2)  # all but the pages of the header and the first table
    path.write_bytes(data)
    refused = 0
    for _ in range(3):
        item = items()
        try:
            kept.append(spool.put(item).item)
        except SpoolDamagedError:
            refused += 1
    assert refused <= 1
    assert [item.path for item in spool.find()] == [item.path for item in kept]
    assert [spool.read(item) for item in spool.find()]
    assert not (spool.root / ".suspect").exists()


def test_a_journal_that_was_replaced_by_another_process_is_opened_anew(spool: Spool, items: Any) -> None:
    spool.put(items())
    for name in ("journal.sqlite", "journal.sqlite-wal", "journal.sqlite-shm"):
        (spool.root / name).unlink()
    with Spool(spool.root, node="lead") as other:
        other.put(items(device="camera-off"))
    spool.put(items())
    assert [item.device for item in spool.find()] == ["camera-off", "camera-on"]


def test_a_journal_of_a_later_version_is_left_alone(tmp_path: Path) -> None:
    Spool(tmp_path).close()
    connection = sqlite3.connect(tmp_path / "journal.sqlite")
    connection.execute("PRAGMA user_version = 3")
    connection.close()
    with pytest.raises(SpoolError, match="format 3"):
        Spool(tmp_path)
    assert not (tmp_path / "quarantine").exists()


def test_a_journal_without_marks_gets_them(tmp_path: Path, items: Any) -> None:
    with Spool(tmp_path, node="lead") as spool:
        spool.put(items())
    connection = sqlite3.connect(tmp_path / "journal.sqlite")
    connection.executescript("DROP TABLE marks; PRAGMA user_version = 1")
    connection.close()
    with Spool(tmp_path) as spool:
        receipt = spool.put(dataclasses.replace(items(), mark=Mark("c1", 0, 1)))
        assert spool.marked("c1", receipt.item.device) == {0: receipt.sequence}
        assert len(spool.find()) == 2


def test_of_a_command_s_items_each_is_kept_once(tmp_path: Path, items: Any) -> None:
    with Spool(tmp_path, node="lead") as spool:
        first = spool.put(dataclasses.replace(items(), mark=Mark("c1", 1, 2)))
        with pytest.raises(AlreadyKeptError) as caught:
            spool.put(dataclasses.replace(items(), mark=Mark("c1", 1, 2)))
        assert caught.value.sequence == first.sequence
        other = spool.put(dataclasses.replace(items(device="camera-off"), mark=Mark("c1", 1, 2)))
        assert spool.find() == [first.item, other.item]
        assert list((tmp_path / ".incoming").iterdir()) == []
        told = json.loads((tmp_path / first.item.sidecar_path).read_bytes())["so2cam"]["command"]
        assert told == {"id": "c1", "item": 1, "of": 2}
    with pytest.raises(ValueError, match="no mark"):
        Mark("c1", 2, 2)


@pytest.mark.parametrize("again", [False, True])
def test_a_journal_built_anew_knows_what_commands_made(tmp_path: Path, items: Any, again: bool) -> None:
    """``again``: the process ended between files and journal, and the item was taken once more."""
    with Spool(tmp_path, node="lead") as spool:
        first = spool.put(dataclasses.replace(items(), mark=Mark("c1", 0, 1)))
    connection = sqlite3.connect(tmp_path / "journal.sqlite")
    connection.executescript("DELETE FROM marks; DELETE FROM pending; DELETE FROM items")
    connection.close()
    if again:
        with Spool(tmp_path) as spool:
            spool.put(dataclasses.replace(items(device="camera-on"), mark=Mark("c1", 0, 1)))
    report = recover_spool(tmp_path, full=True)
    assert (report.adopted, report.quarantined) == ((0, 2) if again else (1, 0))
    with Spool(tmp_path) as spool:
        assert set(spool.marked("c1", first.item.device)) == {0}
        assert len(spool.find()) == 1
        with pytest.raises(AlreadyKeptError):
            spool.put(dataclasses.replace(items(), mark=Mark("c1", 0, 1)))


def test_a_spool_is_opened_as_it_is(tmp_path: Path, items: Any) -> None:
    with Spool(tmp_path, node="lead", receivers=["archive"]) as spool:
        spool.put(items())
    with Spool(tmp_path) as spool:
        assert (spool.node, spool.receivers()) == ("lead", {"archive": True})
    (tmp_path / "spool.json").write_text("[")
    with Spool(tmp_path) as spool:
        assert spool.node == "node"
    with Spool(tmp_path, node="follower") as spool:
        assert json.loads((tmp_path / "spool.json").read_text()) == {"format": 1, "node": "follower"}


def test_a_spool_that_cannot_be_made_is_explained(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(SpoolError, match="cannot be written"):
        Spool(tmp_path / "file")


def test_closing_twice_is_no_error(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    spool.close()
    spool.close()
