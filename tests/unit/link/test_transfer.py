"""Fetching files: all of them, once, the newest first, resumed, at a given pace; whatever breaks."""

import hashlib
import os
import tempfile
import threading
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from so2cam.core.site_link import Transfer, within_hours
from so2cam.link.errors import LinkError, LinkLostError
from so2cam.link.limits import Bucket
from so2cam.link.messages import Refused
from so2cam.link.protocol import (
    Answer,
    Confirm,
    Confirmed,
    Data,
    Items,
    ItemsResult,
    LinkItem,
    Read,
    Spoken,
    link_item,
)
from so2cam.link.receiving import ItemParts, SpoolReceiver
from so2cam.link.transfer import FileTransfer
from so2cam.store.items import StoredItem, item_digest
from so2cam.store.spool import Spool

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


def an_item(number: int, data: bytes, *, kind: str = "frame", age_s: float = 1000.0) -> LinkItem:
    sha = hashlib.sha256(data).hexdigest()
    side = hashlib.sha256(b"{}").hexdigest()
    return LinkItem(
        node="lead", sequence=number, kind=kind, subject="plume", device="c", time=NOW,
        stored=NOW - timedelta(seconds=age_s), name=f"{number}.png", size=len(data), sha256=sha,
        sidecar_name=f"{number}.json", sidecar_size=2, sidecar_sha256=side,
    )  # fmt: skip


class Node:
    """A node in memory behind a client, which loses and doubles what it is told to."""

    def __init__(self, items: dict[int, tuple[LinkItem, bytes]], faults: Any = ()) -> None:
        self.items = items
        self.waiting = dict.fromkeys(items)
        self.faults = iter(faults)
        self.asked: list[Any] = []
        self.sent_bytes = 0

    def call(self, say: Any, **_: Any) -> Spoken:
        fault = next(self.faults, "none")
        if fault == "lost call":
            raise LinkLostError("lost")
        answer = self._answer(say)
        if fault == "doubled":
            answer = self._answer(say)
        if fault == "lost answer":
            raise LinkLostError("lost")
        return answer

    def ask(self, say: Any) -> Any:
        result = self.call(say).answer.result
        assert not isinstance(result, Refused)
        return result

    def _answer(self, say: Any) -> Spoken:
        self.asked.append(say)
        payload = None
        result: Any
        if isinstance(say, Items):
            numbers = sorted(self.waiting, reverse=say.order == "newest")
            if say.after is not None:
                numbers = [one for one in numbers if (one > say.after) == (say.order == "oldest")]
            result = ItemsResult(items=tuple(self.items[one][0] for one in numbers[: say.limit]), now=NOW)
        elif isinstance(say, Read):
            item, data = self.items[say.sequence]
            whole = b"{}" if say.part == "sidecar" else data
            payload = whole[say.offset : say.offset + say.length]
            self.sent_bytes += len(payload)
            result = Data(media="x", size=len(payload), offset=say.offset, total=len(whole), sequence=item.sequence)
        else:
            assert isinstance(say, Confirm)
            new = 0
            for one in say.confirmations:
                assert self.items[one.sequence][0].digest == one.digest
                new += one.sequence in self.waiting
                self.waiting.pop(one.sequence, None)
            result = Confirmed(new=new)
        return Spoken(Answer(id=0, result=result), payload)


class Shelf:
    """A receiver in memory, which fails when it is told to."""

    def __init__(self, folder: Path, faults: Any = ()) -> None:
        self.staging = folder
        self.kept_items: dict[tuple[str, int], tuple[bytes, str]] = {}
        self.order: list[int] = []
        self.faults = iter(faults)

    def kept(self, item: LinkItem) -> str | None:
        found = self.kept_items.get(item.source)
        return None if found is None else found[1]

    def accept(self, item: LinkItem, parts: ItemParts) -> str:
        fault = next(self.faults, "none")
        if fault == "refuse":
            raise LinkError("cannot")
        assert item.source not in self.kept_items
        digest = item_digest(item.sha256, item.sidecar_sha256)
        self.kept_items[item.source] = (parts.main.read_bytes(), digest)
        self.order.append(item.sequence)
        if fault == "die":
            raise OSError("killed after keeping")
        return digest


HISTORIES = 10_000 if os.environ.get("SO2CAM_FAULT") == "full" else 100
FAST = Transfer(poll_s=0.05, chunk_bytes=4096)
FAULTS = st.lists(st.sampled_from(["none", "none", "lost call", "lost answer", "doubled"]), max_size=60)
KEEPING = st.lists(st.sampled_from(["none", "none", "die"]), max_size=8)


@given(FAULTS, KEEPING, st.lists(st.integers(0, 9000), min_size=1, max_size=5), st.booleans())
@settings(max_examples=HISTORIES, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_every_item_once_whatever_is_lost_or_doubled(
    faults: list[str], keeping: list[str], sizes: list[int], restarts: bool
) -> None:
    """Histories of lost and doubled calls and answers, and of a receiver that is killed after it kept an item."""
    contents = [bytes([number]) * size for number, size in enumerate(sizes)]
    node = Node({n + 1: (an_item(n + 1, data), data) for n, data in enumerate(contents)}, faults)
    with tempfile.TemporaryDirectory() as folder:
        shelf = Shelf(Path(folder), keeping)
        transfer = FileTransfer(node, shelf, FAST)  # type: ignore[arg-type]
        for _ in range(400):
            try:
                if not transfer.step() and not node.waiting:
                    break
            except (LinkLostError, OSError):
                transfer._looked_s = float("-inf")
                if restarts:
                    transfer = FileTransfer(node, shelf, FAST)  # type: ignore[arg-type]
        assert node.waiting == {}
        assert {n: kept[0] for (_, n), kept in shelf.kept_items.items()} == {n + 1: d for n, d in enumerate(contents)}
        assert len(shelf.order) == len(contents)
        assert list(Path(folder).iterdir()) == []


def test_health_then_fresh_in_order_then_the_backlog(tmp_path: Path) -> None:
    items = {n: (an_item(n, b"x", age_s=1000 - n), b"x") for n in range(1, 6)}
    items |= {6: (an_item(6, b"f", age_s=9), b"f"), 7: (an_item(7, b"s", kind="spectrum", age_s=8), b"s")}
    items |= {8: (an_item(8, b"f", age_s=7), b"f"), 9: (an_item(9, b"h", kind="health", age_s=6), b"h")}
    node, shelf = Node(items), Shelf(tmp_path)
    transfer = FileTransfer(node, shelf, Transfer(fresh_s=20))  # type: ignore[arg-type]
    while transfer.step():
        pass
    assert shelf.order == [9, 7, 6, 8, 1, 2, 3, 4, 5]
    assert transfer.status.items == 9


def test_the_backlog_makes_way_and_goes_on_where_it_was(tmp_path: Path) -> None:
    big = bytes(range(256)) * 400
    node, shelf = Node({1: (an_item(1, big), big)}), Shelf(tmp_path)
    transfer = FileTransfer(node, shelf, Transfer(poll_s=0.05, chunk_bytes=4096, bandwidth_bytes_s=40_000))  # type: ignore[arg-type]
    call = node.call

    def arriving(say: Any, **more: Any) -> Spoken:
        if isinstance(say, Read) and say.sequence == 1 and say.offset > 30_000 and 2 not in node.items:
            node.items[2] = (an_item(2, b"new", age_s=1), b"new")
            node.waiting[2] = None
        return call(say, **more)

    node.call = arriving  # type: ignore[method-assign]
    while transfer.step():
        pass
    assert shelf.order == [2, 1]
    assert node.sent_bytes == len(big) + 3 + 4


def test_what_arrived_damaged_is_fetched_anew_later(tmp_path: Path) -> None:
    node, shelf = Node({1: (an_item(1, b"good"), b"bad!"), 2: (an_item(2, b"x"), b"x")}), Shelf(tmp_path)
    transfer = FileTransfer(node, shelf, FAST)  # type: ignore[arg-type]
    while transfer.step():
        pass
    assert shelf.order == [2]
    assert transfer.status.damaged == 1
    node.items[1] = (an_item(1, b"good"), b"good")
    transfer._aside.clear()
    while transfer.step():
        pass
    assert shelf.order == [2, 1]


def test_an_item_that_cannot_be_kept_stops_no_other(tmp_path: Path) -> None:
    items = {n: (an_item(n, b"x"), b"x") for n in range(1, 4)}
    node, shelf = Node(items), Shelf(tmp_path, ["refuse"])
    transfer = FileTransfer(node, shelf, FAST)  # type: ignore[arg-type]
    while transfer.step():
        pass
    assert shelf.order == [2, 3]
    assert list(node.waiting) == [1]


def test_a_part_that_is_too_long_begins_anew(tmp_path: Path) -> None:
    node, shelf = Node({1: (an_item(1, b"abc"), b"abc")}), Shelf(tmp_path)
    transfer = FileTransfer(node, shelf, FAST)  # type: ignore[arg-type]
    transfer._parts(node.items[1][0]).main.write_bytes(b"longer than it is")
    while transfer.step():
        pass
    assert shelf.kept_items["lead", 1][0] == b"abc"


def test_files_only_within_hours(tmp_path: Path) -> None:
    node, shelf = Node({1: (an_item(1, b"abc"), b"abc")}), Shelf(tmp_path)
    night = Transfer(hours=("22:00-06:00",))
    assert not FileTransfer(node, shelf, night, now=lambda: NOW).step()  # type: ignore[arg-type]
    assert node.asked == []
    old = Transfer(backlog_hours=("22:00-06:00",))
    assert not FileTransfer(node, shelf, old, now=lambda: NOW).step()  # type: ignore[arg-type]
    assert FileTransfer(node, shelf, old, now=lambda: NOW.replace(hour=23)).step()  # type: ignore[arg-type]
    assert shelf.order == [1]


@pytest.mark.parametrize(
    ("ranges", "hour", "inside"),
    [
        ((), 3, True),
        (("02:00-04:00",), 2, True),
        (("02:00-04:00",), 4, False),
        (("22:00-06:00",), 23, True),
        (("22:00-06:00",), 5, True),
        (("22:00-06:00",), 6, False),
        (("18:00-24:00",), 18, True),
        (("18:00-24:00",), 0, False),
        (("00:00-00:00",), 12, True),
    ],
)
def test_hours(ranges: tuple[str, ...], hour: int, inside: bool) -> None:
    assert within_hours(ranges, NOW.replace(hour=hour)) is inside


def test_wrong_hours_are_refused() -> None:
    with pytest.raises(ValueError, match="no range of hours"):
        Transfer(hours=("25:00-01:00",))


def test_a_bucket_gives_the_rate() -> None:
    now = [0.0]
    bucket = Bucket(100.0, 100.0, lambda: now[0])
    passed = 0.0
    while now[0] < 50.0:
        now[0] += bucket.spend(64.0)
        passed += 64.0
    assert passed / now[0] == pytest.approx(100.0, rel=0.05)


def test_a_follower_s_items_come_into_the_lead_s_spool_once(node: Any, linked: Any, tmp_path: Path) -> None:
    items = linked.put_frames(node.spool, 8, size=50_000)
    with Spool(tmp_path / "lead", node="main") as spool, node.client() as client:
        for _ in range(2):
            transfer = FileTransfer(client, SpoolReceiver(spool), FAST)
            while transfer.step():
                pass
        kept = spool.find()
        assert [spool.read(one) for one in kept] == [node.spool.read(one) for one in items]
        assert [one.origin.sequence for one in kept if one.origin] == list(range(1, 9))
        assert [spool.read(one, sidecar=True) for one in kept] == [node.spool.read(one, sidecar=True) for one in items]
        assert node.spool.undelivered() == []
        told = link_item(kept[0], "main")
        assert told.source == ("lead", 1)


def test_run_waits_breaks_out(node: Any, linked: Any, tmp_path: Path) -> None:
    proxy = linked.Proxy(node.node.port, seed=3)
    proxy.cut_after = (2_000, 150_000)
    linked.put_frames(node.spool, 6, size=60_000)
    stop, arrived = threading.Event(), threading.Event()
    seen: list[LinkItem] = []

    def on_item(item: LinkItem) -> None:
        seen.append(item)
        if len(seen) == 6:
            arrived.set()

    with Spool(tmp_path / "lead", node="main") as spool, node.client(port=proxy.port, patience_s=3.0) as client:
        transfer = FileTransfer(client, SpoolReceiver(spool), FAST, on_item=on_item)
        thread = threading.Thread(target=transfer.run, args=(stop,))
        thread.start()
        try:
            assert arrived.wait(60)
            limit = time.monotonic() + 30
            while node.spool.undelivered() and time.monotonic() < limit:
                stop.wait(0.1)
        finally:
            stop.set()
            client.close()
            thread.join(20)
        kept: list[StoredItem] = spool.find()
        assert len(kept) == 6
    proxy.close()
    assert node.spool.undelivered() == []
    assert proxy.cuts > 0
