import errno
import logging
from pathlib import Path
from typing import Any

import pytest

from so2cam.store.errors import SpoolFullError, SpoolWriteError
from so2cam.store.gate import Gate
from so2cam.store.journal import Journal
from so2cam.store.recovery import recover_spool
from so2cam.store.retention import make_room, wanted_free_bytes
from so2cam.store.spool import Spool


class Small:
    """A disk of 100 kB, on which only items take room."""

    def __init__(self, disk: Any, root: Path, size: int = 100_000) -> None:
        self.disk, self.root, self.size = disk, root, size
        disk.free_bytes = self.free
        disk.total_bytes = lambda _: size

    def free(self, _: Path) -> int:
        return self.size - sum(path.stat().st_size for path in (self.root / "data").rglob("*") if path.is_file())


@pytest.fixture
def spool(tmp_path: Path, disk: Any) -> Any:
    Small(disk, tmp_path / "spool")
    with Spool(tmp_path / "spool", node="lead", disk=disk, reserve_bytes=1000) as opened:
        yield opened


def fill(spool: Spool, items: Any, count: int = 20) -> list[Any]:
    return [spool.put(items(data=bytes(4000))).item for _ in range(count)]


def deliver(spool: Spool, stored: list[Any]) -> None:
    spool.mark_all_delivered([(item.sequence, item.digest) for item in stored])


def numbers(spool: Spool) -> list[int]:
    return [item.sequence for item in spool.find()]


def test_only_delivered_items_go_the_oldest_first(spool: Spool, items: Any) -> None:
    stored = fill(spool, items)
    deliver(spool, stored[3:15])
    report = make_room(spool, wanted_free=30_000)
    assert report.enough
    assert (report.delivered_items, report.undelivered_items) == (4, 0)
    assert report.delivered_bytes == sum(item.total_bytes for item in stored[3:7])
    assert report.free_after_bytes - report.free_before_bytes == report.delivered_bytes
    assert numbers(spool) == [1, 2, 3, *range(8, 21)]
    assert [row[1:] for row in spool.deletions()] == [("delivered", 4, report.delivered_bytes)]
    assert recover_spool(spool.root, node="lead").clean


def test_nothing_goes_while_there_is_room(spool: Spool, items: Any) -> None:
    deliver(spool, fill(spool, items, 3))
    assert make_room(spool, wanted_free=50_000).delivered_items == 0


def test_undelivered_items_stay_unless_they_may_go(spool: Spool, items: Any, caplog: pytest.LogCaptureFixture) -> None:
    deliver(spool, fill(spool, items)[10:12])
    report = make_room(spool, wanted_free=60_000)
    assert (report.enough, report.delivered_items, report.undelivered_items) == (False, 2, 0)
    with caplog.at_level(logging.ERROR):
        report = make_room(spool, wanted_free=60_000, delete_undelivered=True)
    assert report.enough
    assert report.undelivered_items == 9
    assert "9 items" in caplog.text
    assert numbers(spool)[:2] == [10, 13]
    assert {row[1]: row[2] for row in spool.deletions()} == {"delivered": 2, "undelivered": 9}
    assert spool.backlog()[0].items == len(numbers(spool)) == 9


def test_no_more_than_a_number_at_once(spool: Spool, items: Any) -> None:
    deliver(spool, fill(spool, items))
    assert make_room(spool, wanted_free=90_000, maximum_items=3).delivered_items == 3


def test_empty_folders_go_too_unless_others_are_putting(spool: Spool, items: Any) -> None:
    stored = fill(spool, items, 2)
    deliver(spool, stored)
    spool._timeout_s = 0.05
    gate = Gate(spool.root / ".lock")
    with gate.shared(1.0):
        make_room(spool, wanted_free=99_900, maximum_items=2)
    gate.close()
    assert (spool.root / stored[0].folder).is_dir()
    deliver(spool, fill(spool, items, 1))
    make_room(spool, wanted_free=99_999)
    assert [path.name for path in (spool.root / "data").iterdir()] == []
    assert spool.put(items()).sequence == 4


def test_a_disk_too_full_for_the_journal_is_emptied_of_delivered_items(
    spool: Spool, items: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    deliver(spool, fill(spool, items)[:5])
    real = Journal.set_state

    def full(self: Journal, *args: Any) -> None:
        raise SpoolFullError("the journal cannot be written")

    monkeypatch.setattr(Journal, "set_state", full)
    assert make_room(spool, wanted_free=40_000).delivered_items == 5
    with pytest.raises(SpoolFullError):
        make_room(spool, wanted_free=60_000, delete_undelivered=True)
    monkeypatch.setattr(Journal, "set_state", real)
    assert numbers(spool) == list(range(6, 21))


def test_files_that_cannot_be_removed_are_removed_by_the_next_recovery(spool: Spool, items: Any, disk: Any) -> None:
    stored = fill(spool, items)
    deliver(spool, stored)
    disk.fail = {"remove": [None, None, errno.EIO]}
    with pytest.raises(SpoolWriteError):
        make_room(spool, wanted_free=30_000)
    disk.fail.clear()
    assert recover_spool(spool.root, node="lead").deletions_finished == 4
    assert not spool.path_of(stored[2]).exists()


def test_the_larger_of_both_limits_holds(spool: Spool) -> None:
    assert wanted_free_bytes(spool, minimum_free_fraction=0.1, minimum_free_bytes=5) == 10_000
    assert wanted_free_bytes(spool, minimum_free_fraction=0.1, minimum_free_bytes=50_000) == 50_000
