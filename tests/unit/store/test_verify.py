import random
import shutil
from pathlib import Path
from typing import Any

import pytest

from so2cam.store.spool import Spool
from so2cam.store.verify import verify_next, verify_spool


@pytest.fixture
def spool(tmp_path: Path) -> Any:
    with Spool(tmp_path / "spool", node="lead") as opened:
        yield opened


def flip(path: Path, bit: int) -> None:
    data = bytearray(path.read_bytes())
    data[bit // 8] ^= 1 << (bit % 8)
    path.write_bytes(data)


def test_a_whole_spool_is_good(spool: Spool, items: Any) -> None:
    stored = [spool.put(items()).item for _ in range(5)]
    seen: list[tuple[int, int]] = []
    report = verify_spool(spool, progress=lambda *done: seen.append(done))
    assert report.good
    assert report.complete
    assert (report.items, report.bytes) == (5, sum(item.total_bytes for item in stored))
    assert seen[-1] == (report.items, report.bytes)


def test_every_damage_is_found_marked_and_put_back_from_a_mirror(spool: Spool, items: Any, tmp_path: Path) -> None:
    stored = [spool.put(items()).item for _ in range(6)]
    mirror = tmp_path / "mirror"
    shutil.copytree(spool.root / "data", mirror / "data")
    generator = random.Random(5)
    flip(spool.path_of(stored[0]), generator.randrange(8 * stored[0].size))
    flip(spool.path_of(stored[1], sidecar=True), generator.randrange(8 * stored[1].sidecar_size))
    spool.path_of(stored[2]).write_bytes(b"")
    spool.path_of(stored[3]).unlink()
    report = verify_spool(spool)
    assert [(fault.sequence, fault.reason.split(",")[0]) for fault in report.faults] == [
        (1, "has another SHA-256 than what was kept"),
        (2, "has another SHA-256 than what was kept"),
        (3, "has 0 bytes"),
        (4, "is missing"),
    ]
    assert not report.good
    counts = spool.counts()
    assert (counts.items, counts.damaged, counts.missing, counts.backlog[0].items) == (2, 3, 1, 2)
    assert [item.sequence for item in spool.undelivered()] == [5, 6]
    (mirror / stored[1].sidecar_path).write_text("{}")  # the mirror has lost it too
    report = verify_spool(spool, mirrors=[mirror])
    assert [(fault.sequence, fault.repaired) for fault in report.faults] == [
        (1, True),
        (2, False),
        (3, True),
        (4, True),
    ]
    assert [item.sequence for item in spool.undelivered()] == [1, 3, 4, 5, 6]
    assert [spool.read(item) for item in spool.find()] == [items.made[item.sequence - 1].data for item in spool.find()]
    assert not any((spool.root / ".incoming").iterdir())


def test_housekeeping_verifies_a_little_each_time(spool: Spool, items: Any) -> None:
    for _ in range(5):
        spool.put(items())
    assert [verify_next(spool, maximum_items=2).items for _ in range(4)] == [2, 2, 1, 2]


def test_a_verification_can_be_stopped_and_held_back(spool: Spool, items: Any) -> None:
    for _ in range(3):
        spool.put(items())
    answers = iter([False, True])
    report = verify_spool(spool, should_stop=lambda: next(answers), maximum_bytes_per_s=1e9)
    assert (report.items, report.complete) == (1, False)
