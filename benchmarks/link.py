"""How quick the link is on loopback: calls, files, and how old the newest frame is while a backlog drains.

Usage: python benchmarks/link.py [--seconds 40]
"""

import argparse
import random
import statistics
import tempfile
import threading
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

from so2cam.core.site_link import Link, Transfer
from so2cam.link.channel import Peer
from so2cam.link.client import LinkClient, dial
from so2cam.link.database import FILE, Database
from so2cam.link.ledger import Errand
from so2cam.link.limits import Limits
from so2cam.link.messages import Command, Done, Result, Shot
from so2cam.link.node import LinkNode, LinkPlace, tls_of
from so2cam.link.protocol import Hello, LinkItem, Role
from so2cam.link.receiving import SpoolReceiver
from so2cam.link.service import NodeFace
from so2cam.link.tokens import TokenStore
from so2cam.link.transfer import FileTransfer
from so2cam.store.items import StoreItem
from so2cam.store.spool import Spool

LIMITS = Limits(commands_per_s=1e5, commands_at_once=1e5, calls_per_s=1e5, calls_at_once=1e5)
BANDWIDTH = 250_000.0
SIZE = 100_000


def handle(command: Command, errand: Errand) -> Result:
    """Do nothing, as quick as can be."""
    return Done(text=command.type)


def put(spool: Spool, number: int, size: int) -> None:
    """Keep a frame of random bytes."""
    time_ = datetime.now(UTC) + timedelta(microseconds=number)
    data = random.Random(number).randbytes(size)  # noqa: S311
    spool.put(StoreItem("frame", "plume", "camera-on", time_, f"f{number}", ".png", data))


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=40.0)
    seconds = parser.parse_args().seconds
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        place = LinkPlace(folder / "state", folder, "127.0.0.1", 0)
        face = NodeFace("bench", "lead", "0", handle, dict, lambda: datetime.now(UTC))
        stop = threading.Event()
        source = Spool(folder / "spool", node="lead")
        node = LinkNode(face, lambda: Spool(folder / "spool"), place, Link(), lambda: None, LIMITS)
        thread = threading.Thread(target=node.run, args=(stop,))
        thread.start()
        node.ready.wait(30)
        database = Database(place.state / FILE)
        token = TokenStore(database).create("bench", Role.OPERATOR, receiver="station")
        peer = Peer("127.0.0.1", node.port or 0, tls_of(Link(), place, "lead").fingerprint(), token)
        try:
            with LinkClient(dial(peer)) as client, Spool(folder / "kept", node="main") as kept:
                calls(client)
                files(client, source, kept)
                backlog(client, source, kept, seconds)
        finally:
            stop.set()
            thread.join(10)
            database.close()
            source.close()


def calls(client: LinkClient) -> None:
    """Time questions and commands."""
    for name, say, count in (("question", Hello(), 500), ("command (ledger forced to disk)", Shot(), 200)):
        times = []
        for _ in range(count):
            began = time.perf_counter()
            client.call(say)
            times.append(1e3 * (time.perf_counter() - began))
        cuts = statistics.quantiles(times, n=100)
        print(f"{name}: p50 {cuts[49]:.2f} ms, p99 {cuts[98]:.2f} ms")


def files(client: LinkClient, source: Spool, kept: Spool) -> None:
    """Time files from spool to spool, durable at both ends."""
    for number in range(60):
        put(source, number, 350_000)
    began, cpu = time.perf_counter(), time.process_time()
    transfer = FileTransfer(client, SpoolReceiver(kept))
    while transfer.step():
        pass
    took, used = time.perf_counter() - began, time.process_time() - cpu
    size = transfer.status.bytes / 1e6
    print(f"files of 350 kB: {size / took:.1f} MB/s; {1e3 * used / size:.0f} ms of CPU per MB, both ends together")


def backlog(client: LinkClient, source: Spool, kept: Spool, seconds: float) -> None:
    """Let frames come once a second while a backlog drains over a narrow link; tell how old they arrive."""
    waiting = int(2 * seconds)
    for number in range(waiting):
        put(source, 1000 + number, SIZE)
    time.sleep(5.5)
    first = source.find(limit=1, order="newest")[0].sequence
    ages: list[float] = []
    old = [0]

    def on_item(item: LinkItem) -> None:
        if item.sequence > first:
            ages.append((datetime.now(UTC) - item.stored).total_seconds())
        else:
            old[0] += 1

    stop = threading.Event()
    settings = Transfer(bandwidth_bytes_s=BANDWIDTH, fresh_s=5.0, poll_s=0.5)
    transfer = FileTransfer(client, SpoolReceiver(kept), settings, on_item=on_item)
    thread = threading.Thread(target=transfer.run, args=(stop,))
    thread.start()
    end = time.monotonic() + seconds
    number = 5000
    while time.monotonic() < end:
        put(source, number, SIZE)
        number += 1
        time.sleep(1.0)
    stop.set()
    thread.join(20)
    print(
        f"{BANDWIDTH / 1e3:.0f} kB/s, a frame of {SIZE / 1e3:.0f} kB a second, {waiting} waiting: new frames arrive "
        f"{statistics.median(ages):.1f} s old (p50), {max(ages):.1f} s at most; {old[0]} of the backlog meanwhile"
    )


if __name__ == "__main__":
    main()
