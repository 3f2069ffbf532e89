"""The link over a bad network and between programs that are killed: nothing is lost, and nothing is there twice."""

import json
import random
import threading
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from so2cam.core.site_link import Transfer
from so2cam.link.client import LinkClient, dial
from so2cam.link.errors import LinkLostError
from so2cam.link.messages import Done, Shot, Status
from so2cam.link.protocol import Items, LinkItem, Read
from so2cam.link.receiving import SpoolReceiver
from so2cam.link.service import LinkService
from so2cam.link.transfer import FileTransfer
from so2cam.store.spool import Spool

Rounds = Callable[[int, int], int]
LIMIT_S = 120.0


def wait_until(condition: Callable[[], bool], limit_s: float = LIMIT_S) -> None:
    limit = time.monotonic() + limit_s
    tick = threading.Event()
    while not condition():
        assert time.monotonic() < limit, "it did not come about"
        tick.wait(0.05)


class Pull:
    """A transfer in a thread of its own."""

    def __init__(self, client: LinkClient, spool: Spool, settings: Transfer, **more: Any) -> None:
        self.client, self.stop = client, threading.Event()
        self.transfer = FileTransfer(client, SpoolReceiver(spool), settings, **more)
        self.thread = threading.Thread(target=self.transfer.run, args=(self.stop,))

    def __enter__(self) -> "Pull":
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop.set()
        self.client.close()
        self.thread.join(30)
        assert not self.thread.is_alive()


class Counted:
    """Bytes of files that a node's service sent."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        read = LinkService._read
        self.sent = 0

        def counted(service: LinkService, said: Read) -> Any:
            result = read(service, said)
            self.sent += len(result[1] or b"")
            return result

        monkeypatch.setattr(LinkService, "_read", counted)


def same(kept: Spool, source: Spool) -> None:
    """Every item of the source is kept once, to the byte."""
    have = {one.origin.sequence: one for one in kept.find() if one.origin is not None}
    items = source.find()
    assert len(kept.find()) == len(items)
    assert set(have) == {one.sequence for one in items}
    for one in items:
        assert kept.read(have[one.sequence]) == source.read(one)
        assert kept.read(have[one.sequence], sidecar=True) == source.read(one, sidecar=True)


def test_cuts_at_random_bytes(
    node: Any, linked: Any, tmp_path: Path, rounds: Rounds, monkeypatch: pytest.MonkeyPatch
) -> None:
    cuts = rounds(12, 500)
    counted = Counted(monkeypatch)
    proxy = linked.Proxy(node.node.port, seed=11)
    proxy.cut_after = (4_000, 200_000)
    number = 0
    with Spool(tmp_path / "kept", node="main") as kept:
        client = node.client(port=proxy.port, patience_s=1.0, connect_s=2.0)
        with Pull(client, kept, Transfer(poll_s=0.05)):
            while proxy.cuts < cuts:
                number += len(linked.put_frames(node.spool, 3, size=90_000, first=number))
                wait_until(lambda: not node.spool.undelivered())
        same(kept, node.spool)
    proxy.close()
    total = sum(one.total_bytes for one in node.spool.find())
    assert counted.sent - total <= proxy.cuts * 65_536


def test_a_half_open_connection_is_noticed(node: Any, linked: Any, tmp_path: Path) -> None:
    proxy = linked.Proxy(node.node.port)
    linked.put_frames(node.spool, 3)
    with Spool(tmp_path / "kept", node="main") as kept:
        client = node.client(port=proxy.port, patience_s=1.0, answer_s=0.5, connect_s=1.0)
        with Pull(client, kept, Transfer(poll_s=0.05)) as pull:
            wait_until(lambda: not node.spool.undelivered())
            proxy.silent = True
            linked.put_frames(node.spool, 3, first=3)
            wait_until(lambda: pull.transfer.status.error is not None)
            proxy.silent = False
            proxy.cut()
            wait_until(lambda: not node.spool.undelivered())
        same(kept, node.spool)
    proxy.close()


def test_slow_and_late_the_newest_overtakes_the_backlog(node: Any, linked: Any, tmp_path: Path, rounds: Rounds) -> None:
    backlog = rounds(8, 40)
    linked.put_frames(node.spool, backlog, size=30_000)
    order: list[int] = []
    newest = threading.Event()

    def on_item(item: LinkItem) -> None:
        order.append(item.sequence)
        if len(order) == 2:
            linked.put_frames(node.spool, 1, first=backlog, kind="health")
        if item.sequence > backlog:
            newest.set()

    proxy = linked.Proxy(node.node.port)
    proxy.rate, proxy.delay_s = 60_000.0, 0.02
    with Spool(tmp_path / "kept", node="main") as kept:
        wait_until(lambda: (time.time() - node.spool.find()[-1].stored.timestamp()) > 1.5)
        client = node.client(port=proxy.port, patience_s=10.0)
        with Pull(client, kept, Transfer(poll_s=0.2, fresh_s=1.2), on_item=on_item):
            assert newest.wait(LIMIT_S)
            wait_until(lambda: not node.spool.undelivered())
        same(kept, node.spool)
    proxy.close()
    assert order.index(backlog + 1) < len(order) - 1


def test_a_slow_link_is_not_taken_for_a_broken_one(
    node: Any, linked: Any, tmp_path: Path, rounds: Rounds, monkeypatch: pytest.MonkeyPatch
) -> None:
    """64 kbit/s and 1 s each way (in full), with health and previews asked beside the files, as a station does."""
    counted = Counted(monkeypatch)
    linked.put_frames(node.spool, rounds(2, 12), size=rounds(10_000, 120_000))
    proxy = linked.Proxy(node.node.port)
    proxy.rate, proxy.delay_s = rounds(16_000, 8_000), rounds(3, 10) / 10
    done = threading.Event()
    answers: list[Any] = []

    def ask(client: LinkClient) -> None:
        while not done.wait(1.0):
            answers.append(client.ask(Status(), patience_s=60.0))
            answers.append(client.ask(Items(limit=100), patience_s=60.0))

    with Spool(tmp_path / "kept", node="main") as kept:
        client = node.client(port=proxy.port)
        asking = threading.Thread(target=ask, args=(client,))
        with Pull(client, kept, Transfer(poll_s=2.0)):
            asking.start()
            wait_until(lambda: not node.spool.undelivered(), 3000.0)
            done.set()
            asking.join(60)
            assert client.connections == 1
        same(kept, node.spool)
    proxy.close()
    assert answers
    assert counted.sent == sum(one.total_bytes for one in node.spool.find()), "nothing was sent twice"


def test_cuts_of_a_slow_link(
    node: Any, linked: Any, tmp_path: Path, rounds: Rounds, monkeypatch: pytest.MonkeyPatch
) -> None:
    """64 kbit/s and 1 s each way (in full), cut at random bytes, and half open in between."""
    counted = Counted(monkeypatch)
    cuts = rounds(1, 20)
    proxy = linked.Proxy(node.node.port, seed=4)
    proxy.rate, proxy.delay_s, proxy.cut_after = (
        rounds(16_000, 8_000),
        rounds(3, 10) / 10,
        (rounds(5_000, 20_000), rounds(12_000, 200_000)),
    )
    number = breaks = 0
    with Spool(tmp_path / "kept", node="main") as kept:
        client = node.client(port=proxy.port, answer_s=rounds(4, 20), connect_s=rounds(5, 20))
        with Pull(client, kept, Transfer(poll_s=2.0)):
            while proxy.cuts < cuts or number == 0:
                number += len(linked.put_frames(node.spool, rounds(1, 2), size=rounds(8_000, 90_000), first=number))
                wait_until(lambda: not node.spool.undelivered(), 3000.0)
                before = client.connections
                proxy.silent = True  # what is there is taken, and nothing passes any more
                number += len(linked.put_frames(node.spool, 1, size=2_000, first=number))
                wait_until(lambda before=before: client.connections > before or not client.connected, 3000.0)
                proxy.silent = False
                proxy.cut()
                breaks += 1
            wait_until(lambda: not node.spool.undelivered(), 3000.0)
        same(kept, node.spool)
    proxy.close()
    total = sum(one.total_bytes for one in node.spool.find())
    assert counted.sent - total <= (proxy.cuts + breaks) * 65_536


def test_both_ends_are_killed(linked: Any, tmp_path: Path, rounds: Rounds) -> None:
    rng = random.Random(5)
    kills, count = rounds(3, 40), rounds(24, 200)
    port = linked.free_port()
    source = linked.Linked(tmp_path / "node", port=port)  # not started: the child serves its folder
    linked.put_frames(source.spool, count, size=60_000)
    peer = json.dumps(asdict(source.peer(port=port)))
    tick = threading.Event()

    def killing(*arguments: object) -> None:
        for _ in range(kills):
            with linked.child(*arguments):
                tick.wait(rng.uniform(0.1, 0.6))
        with linked.child(*arguments):
            wait_until(lambda: not source.spool.undelivered())

    threads = [
        threading.Thread(target=killing, args=("serve", tmp_path / "node", port)),
        threading.Thread(target=killing, args=("pull", tmp_path / "kept", peer)),
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(LIMIT_S if kills < 10 else 3000)
    assert source.spool.undelivered() == []
    with Spool(tmp_path / "kept") as kept:
        same(kept, source.spool)
    source.end()


def test_commands_through_server_kills(linked: Any, tmp_path: Path, rounds: Rounds) -> None:
    kills, count = rounds(3, 20), rounds(60, 1000)
    port = linked.free_port()
    source = linked.Linked(tmp_path / "node", port=port)
    client = LinkClient(dial(source.peer(port=port)), patience_s=60.0)
    rng = random.Random(7)
    finished, tick = threading.Event(), threading.Event()
    results: dict[float, Any] = {}

    def say(part: int) -> None:
        for number in range(part, count, 4):
            exposure_s = (number + 1) / 1000.0
            results[exposure_s] = client.command(Shot(exposure_s=exposure_s), patience_s=300.0)

    def serve() -> None:
        for number in range(1, kills + 1):
            wanted = number * count // (kills + 1)
            with linked.child("serve", tmp_path / "node", port):
                wait_until(lambda wanted=wanted: len(source.effects.lines()) >= wanted)
                tick.wait(rng.uniform(0.0, 0.05))  # somewhere in what comes next
        with linked.child("serve", tmp_path / "node", port):
            finished.wait(3000)

    server = threading.Thread(target=serve)
    speakers = [threading.Thread(target=say, args=(part,)) for part in range(4)]
    for thread in (server, *speakers):
        thread.start()
    for thread in speakers:
        thread.join(LIMIT_S if kills < 10 else 3000)
    finished.set()
    server.join(60)
    client.close()
    lines = source.effects.lines()
    assert len(results) == count
    assert all(isinstance(one, Done) for one in results.values())
    assert len(lines) == len(set(lines)) == count
    source.end()


# --- what the old system did wrong ------------------------------------------------------------------------------------


def test_disconnecting_twice_does_nothing_more(node: Any) -> None:
    client = node.client()
    client.ask(Status())
    client.close()
    client.close()
    with pytest.raises(LinkLostError):
        client.ask(Status())


def test_the_same_port_again_and_again(linked: Any, tmp_path: Path, rounds: Rounds) -> None:
    port = linked.free_port()
    for number in range(rounds(4, 100)):
        one = linked.Linked(tmp_path / str(number), port=port)
        one.start()
        with one.client() as client:
            assert client.hello().node == "lead"
        one.end()


def test_a_broken_pipe_is_mended_by_itself(node: Any, linked: Any) -> None:
    proxy = linked.Proxy(node.node.port)
    with node.client(port=proxy.port) as client:
        for number in range(3):
            assert isinstance(client.command(Shot(exposure_s=number + 1.0)), Done)
            proxy.cut()
        assert client.connections >= 2
    proxy.close()
    assert len(node.effects.lines()) == 3
