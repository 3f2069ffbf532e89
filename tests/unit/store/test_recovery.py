import errno
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from so2cam.store.disk import STEPS
from so2cam.store.errors import SpoolBusyError, SpoolWriteError
from so2cam.store.gate import Gate
from so2cam.store.items import Origin, build_sidecar
from so2cam.store.journal import DELETING
from so2cam.store.recovery import RecoveryReport, recover_spool
from so2cam.store.spool import Spool


class CutError(Exception):
    """Stands for the end of the process."""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "spool"


def recover(root: Path, **options: Any) -> RecoveryReport:
    return recover_spool(root, node="lead", **options)


def test_a_new_spool_is_made(root: Path) -> None:
    report = recover(root)
    assert report.clean
    assert (root / "journal.sqlite").exists()


@pytest.mark.parametrize("step", STEPS)
def test_a_put_cut_off_at_any_step_is_all_or_nothing(
    root: Path, items: Any, disk: Any, files: Callable[[Path], list[str]], step: str
) -> None:
    with Spool(root, node="lead") as spool:
        spool.put(items())
    item = items()

    def cut(at: str) -> None:
        if at == step:
            raise CutError

    disk.at_step = cut
    disk.fail = {"remove": [errno.EIO] * 10}  # a process that is gone takes nothing back
    with Spool(root, node="lead", disk=disk) as spool, pytest.raises(CutError):
        spool.put(item)
    report = recover(root)
    assert (report.missing, report.damaged) == (0, 0)
    with Spool(root, node="lead") as spool:
        found = spool.find()
        known = {path for one in found for path in (one.path, one.sidecar_path)}
        assert {path for path in files(root) if path.startswith("data/")} == known
        assert all(spool.read(one) in (item.data, items.made[0].data) for one in found)
        whole = STEPS.index(step) >= STEPS.index("main-renamed")
        assert [one.sequence for one in found] == ([1, 2] if whole else [1])
        assert report.adopted == int(whole and step != "journal-committed")
        assert len(spool.undelivered()) == len(found)
        assert spool.put(items()).sequence == len(found) + 1
    assert not any((root / ".incoming").iterdir())
    assert recover(root).clean


def test_what_the_journal_does_not_know_and_nobody_vouches_for_goes_to_quarantine(root: Path, items: Any) -> None:
    with Spool(root, node="lead") as spool:
        stored = spool.put(items()).item
        folder = root / stored.folder
        spare = items()
        own = build_sidecar(spare, node="lead", sequence=7, sha256="00" * 32)
    (folder / "note.txt").write_text("foreign")
    (folder / "alone.json").write_text("{}")
    (folder / "a.png").write_bytes(spare.data)
    (folder / "a.json").write_bytes(own)  # of the right length, but of another content
    (folder / "b.png").write_bytes(b"x")
    (folder / "b.json").write_text('{"so2cam": {"sha256": "zz"}}')
    (folder / ".hidden").write_text("x")
    report = recover(root)
    assert (report.quarantined, report.adopted, report.missing) == (7, 0, 0)
    reasons = sorted(path.name.rsplit(".", 1)[1] for path in (root / "quarantine").iterdir())
    assert reasons == ["damaged", "unfinished", "unfinished", "unfinished", "unknown", "unknown", "unknown"]
    assert sorted(path.name for path in folder.iterdir()) == sorted([stored.name, stored.sidecar_name])
    assert recover(root).clean


def test_the_same_item_twice_is_adopted_once(root: Path, items: Any) -> None:
    with Spool(root, node="lead") as spool:
        stored = spool.put(items()).item
        text = spool.read(stored, sidecar=True)
    (root / stored.folder / "copy.png").write_bytes(items.made[0].data)
    (root / stored.folder / "copy.json").write_bytes(text)
    report = recover(root)
    assert (report.adopted, report.quarantined) == (0, 2)
    assert any("copy.png" in line and "duplicate" in line for line in report.details)


def test_missing_and_shortened_files_are_noted_and_come_back(root: Path, items: Any) -> None:
    with Spool(root, node="lead") as spool:
        stored = [spool.put(items()).item for _ in range(4)]
        spool.mark_delivered(4, stored[3].digest)
        data = [spool.read(item) for item in stored]
        paths = [spool.path_of(item) for item in stored]
    paths[0].unlink()
    paths[1].write_bytes(data[1][:-1])
    paths[3].unlink()  # delivered: no loss
    report = recover(root)
    assert (report.missing, report.damaged) == (1, 1)
    with Spool(root, node="lead") as spool:
        counts = spool.counts()
        assert (counts.items, counts.missing, counts.damaged) == (1, 1, 1)
        assert [item.sequence for item in spool.undelivered()] == [3]
        assert counts.backlog[0].items == 1
        assert {(reason, number) for _, reason, number, _ in spool.deletions()} == {
            ("lost", 1),
            ("vanished after delivery", 1),
        }
    paths[0].write_bytes(data[0])
    assert recover(root, full=True).missing == 0
    with Spool(root, node="lead") as spool:
        assert [item.sequence for item in spool.undelivered()] == [1, 3]


def test_sealed_folders_are_not_read_again_until_something_is_put_there(root: Path, items: Any) -> None:
    with Spool(root, node="lead") as spool:
        first = spool.put(items()).item
        spool.put(items(time=datetime(2026, 3, 2, tzinfo=UTC)))
    recover(root)
    (root / first.folder / "note.txt").write_text("x")
    assert recover(root).quarantined == 0
    assert recover(root, full=True).quarantined == 1
    (root / first.folder / "note.txt").write_text("x")
    with Spool(root, node="lead") as spool:
        spool.put(items())
    assert recover(root).quarantined == 1


def test_an_item_whose_put_was_cut_off_in_a_sealed_folder_is_found(root: Path, items: Any, disk: Any) -> None:
    with Spool(root, node="lead") as spool:
        spool.put(items())
    recover(root)

    def cut(at: str) -> None:
        if at == "main-renamed":
            raise CutError

    disk.at_step = cut
    disk.fail = {"remove": [errno.EIO] * 10}
    with Spool(root, node="lead", disk=disk) as spool, pytest.raises(CutError):
        spool.put(items())
    assert recover(root).adopted == 1


def test_a_folder_that_is_gone_takes_its_items_along(root: Path, items: Any) -> None:
    with Spool(root, node="lead") as spool:
        stored = spool.put(items()).item
    recover(root)
    for path in (root / stored.folder).iterdir():
        path.unlink()
    (root / stored.folder).rmdir()
    assert recover(root).missing == 1


def test_a_lost_journal_is_built_anew_with_the_same_numbers(root: Path, items: Any) -> None:
    with Spool(root, node="lead") as spool:
        own = [spool.put(items()).item for _ in range(3)]
        foreign = items(origin=Origin("follower", 2), sidecar=b"{}")
        text = build_sidecar(foreign, node="follower", sequence=2, sha256=own[0].sha256)
        item = items(origin=Origin("follower", 2), sidecar=text, data=items.made[0].data)
        spool.put(item)
        own.append(spool.put(items(time=own[0].time - timedelta(days=400))).item)  # the clock was set back
    (root / "journal.sqlite").unlink()
    report = recover(root)
    assert (report.adopted, report.journal_rebuilt) == (5, False)
    with Spool(root, node="lead") as spool:
        assert {item.sequence: item.path for item in spool.find() if item.origin is None} == {
            item.sequence: item.path for item in own
        }
        (other,) = [item for item in spool.find() if item.origin is not None]
        assert other.origin == Origin("follower", 2)
        assert not spool.put(item).new


def test_half_done_deletions_are_finished(root: Path, items: Any, files: Callable[[Path], list[str]]) -> None:
    with Spool(root, node="lead") as spool:
        stored = [spool.put(items()).item for _ in range(2)]
        with spool.journal() as journal, journal.transaction():
            journal.set_state([1], DELETING)
        spool.path_of(stored[0]).unlink()
    report = recover(root)
    assert report.deletions_finished == 1
    assert [path for path in files(root) if path.startswith("data/")] == [stored[1].sidecar_path, stored[1].path]


def test_recovery_waits_for_those_who_put_but_not_for_ever(root: Path, items: Any) -> None:
    with Spool(root) as spool:
        spool.put(items())
    gate = Gate(root / ".lock")
    with gate.shared(1.0), pytest.raises(SpoolBusyError):
        recover(root, timeout_s=0.05)
    gate.close()
    assert recover(root).clean


def test_a_disk_that_refuses_is_explained_and_the_next_recovery_goes_on(root: Path, items: Any, disk: Any) -> None:
    with Spool(root, node="lead") as spool:
        stored = spool.put(items()).item
    (root / stored.folder / "x.txt").write_text("x")
    disk.fail = {"rename": [errno.EIO]}
    with pytest.raises(SpoolWriteError):
        recover(root, disk=disk)
    assert recover(root, disk=disk).quarantined == 1


def test_hostile_sidecars_are_not_believed(root: Path, items: Any) -> None:
    with Spool(root, node="lead") as spool:
        stored = spool.put(items()).item
    folder = root / stored.folder
    good = json.loads((folder / stored.sidecar_name).read_bytes())["so2cam"]
    changes: list[dict[str, Any]] = [
        {"sequence": -1},
        {"sequence": 10**30},
        {"sequence": "1"},
        {"kind": "../x"},
        {"device": ""},
        {"time": "yesterday"},
        {"sha256": "ab"},
        {"node": "../../x"},
        {"bytes": None},
    ]
    for number, change in enumerate(changes):
        (folder / f"h{number}.png").write_bytes(items.made[0].data)
        (folder / f"h{number}.json").write_text(json.dumps({"so2cam": good | change}))
    for number, text in enumerate(("[]", "3", "{", '{"so2cam": []}', "[" * 100_000)):
        (folder / f"i{number}.png").write_bytes(b"x")
        (folder / f"i{number}.json").write_text(text)
    report = recover(root)
    assert (report.adopted, report.quarantined) == (0, 2 * (len(changes) + 5))
