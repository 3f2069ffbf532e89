"""A node with a link and a spool of its own, in this process or in one that can be killed; and a bad network."""

import contextlib
import json
import os
import queue
import random
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from so2cam.core.errors import So2camError
from so2cam.core.health import ClockHealth, HealthRecord, Level
from so2cam.core.site_link import Link, Transfer
from so2cam.link.app import LinkApp
from so2cam.link.channel import Peer
from so2cam.link.client import LinkClient, dial
from so2cam.link.database import FILE, Database
from so2cam.link.eventlog import EventLog
from so2cam.link.ledger import Errand, Ledger
from so2cam.link.limits import Limits
from so2cam.link.messages import Command, Done, Result, Schedule, ScheduleResult, Status, StatusResult
from so2cam.link.node import LinkNode, LinkPlace, tls_of
from so2cam.link.pairing import PairingDesk
from so2cam.link.protocol import Role
from so2cam.link.receiving import SpoolReceiver
from so2cam.link.service import LinkService, NodeFace
from so2cam.link.tokens import TokenStore
from so2cam.link.transfer import FileTransfer
from so2cam.store.items import StoreItem
from so2cam.store.spool import Spool

START = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
LIMITS = Limits(
    commands_per_s=1e5,
    commands_at_once=1e5,
    calls_per_s=1e5,
    calls_at_once=1e5,
    pairings_per_s=1e4,
    pairings_at_once=1e4,
)


def put_frames(spool: Spool, count: int, *, size: int = 20_000, seed: int = 0, first: int = 0, kind: str = "frame"):
    """Put frames of random bytes into a spool."""
    rng = random.Random(seed)
    return [
        spool.put(
            StoreItem(
                kind=kind,
                subject="plume",
                device="camera-on",
                time=START + timedelta(seconds=first + number),
                stem=f"{kind}_{seed}_{first + number:05d}",
                suffix=".png",
                data=rng.randbytes(size),
            )
        ).item
        for number in range(count)
    ]


def health() -> HealthRecord:
    return HealthRecord(
        time=datetime.now(UTC),
        node="lead",
        site="test",
        version="0",
        reason="asked",
        level=Level.OK,
        summary="all well",
        activity="captures",
        clock=ClockHealth(quality="ntp"),
    )


@dataclass
class Effects:
    """Carries commands out by writing them to a file, one line for each errand, forced to the disk."""

    path: Path
    lock: threading.Lock = field(default_factory=threading.Lock)

    def handle(self, command: Command, errand: Errand) -> Result:
        if isinstance(command, Status):
            return StatusResult(health=health())
        if isinstance(command, Schedule) and command.action == "show":
            return ScheduleResult(activity="captures", paused=False)
        with self.lock:
            if errand.id not in self.errands():
                with self.path.open("a") as stream:
                    stream.write(f"{errand.id} {command.model_dump_json()}\n")
                    stream.flush()
                    os.fsync(stream.fileno())
        return Done(text="done")

    def errands(self) -> list[str]:
        return [line.partition(" ")[0] for line in self._all()]

    def lines(self) -> list[str]:
        return [line.partition(" ")[2] for line in self._all()]

    def _all(self) -> list[str]:
        return self.path.read_text().splitlines() if self.path.exists() else []


class Linked:
    """A node with a link, in this process."""

    def __init__(self, folder: Path, *, limits: Limits = LIMITS, settings: Link | None = None, port: int = 0) -> None:
        self.folder = folder
        self.spool = Spool(folder / "spool", node="lead")
        self.effects = Effects(folder / "effects.txt")
        self.face = face = NodeFace(
            site="test",
            node="lead",
            version="0",
            handle=self.effects.handle,
            settings=lambda: {"camera-on": {"exposure_s": 0.5}},
            now=lambda: datetime.now(UTC),
        )
        self.place = LinkPlace(folder / "state", folder, "127.0.0.1", port)
        self.settings = settings or Link()
        self.database = Database(self.place.state / FILE)
        self.tokens = TokenStore(self.database)
        self.stop = threading.Event()
        self.node = LinkNode(face, lambda: Spool(folder / "spool"), self.place, self.settings, lambda: None, limits)
        self.failure: BaseException | None = None
        self.thread = threading.Thread(target=self._run, daemon=True)

    def _run(self) -> None:
        try:
            self.node.run(self.stop)
        except So2camError as error:
            self.failure = error

    def start(self) -> "Linked":
        self.thread.start()
        limit = time.monotonic() + 30
        while not self.node.ready.wait(0.05):
            if self.failure is not None:
                raise self.failure
            assert time.monotonic() < limit
        return self

    @property
    def fingerprint(self) -> str:
        return tls_of(self.settings, self.place, "lead").fingerprint()

    def token(self, role: Role = Role.OPERATOR, receiver: str | None = "station", **more: float) -> str:
        return self.tokens.create("tester", role, receiver=receiver, **more)

    def peer(self, token: str | None = None, port: int | None = None) -> Peer:
        return Peer("127.0.0.1", port or self.node.port or 0, self.fingerprint, token or self.token())

    def client(self, token: str | None = None, port: int | None = None, **more: float) -> LinkClient:
        return LinkClient(dial(self.peer(token, port)), **more)

    def end(self) -> None:
        self.stop.set()
        if self.thread.ident is not None:
            self.thread.join(10)
        self.database.close()
        self.spool.close()


@contextmanager
def app(node: Linked, spool: Spool) -> Iterator[Any]:
    """The application of a node, without a server around it."""
    with contextlib.ExitStack() as undo:
        events = Database(node.folder / "app.sqlite", durable=False)
        undo.callback(events.close)
        service = LinkService(node.face, spool, Ledger(node.database), EventLog(events), node.tokens, LIMITS)
        desk = PairingDesk(node.database, node.tokens, site="test", node="lead")
        made = LinkApp(service, node.tokens, desk, node.fingerprint)
        undo.callback(made.close)
        yield made.asgi


class Proxy:
    """A bad network on loopback: passes bytes on, and breaks as it is told."""

    def __init__(self, target: int, *, seed: int = 0) -> None:
        self.target = target
        self.rng = random.Random(seed)
        self.cut_after: tuple[int, int] | None = None
        """Each connection is reset after a random number of bytes in this range."""
        self.silent = False
        """Half open: connections are taken and nothing passes."""
        self.rate: float | None = None
        self.delay_s = 0.0
        self.cuts = 0
        self.passed = 0
        self._stop = threading.Event()
        self._sockets: set[socket.socket] = set()
        self._lock = threading.Lock()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.settimeout(0.1)
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while not self._stop.is_set():
            try:
                near, _ = self._listener.accept()
            except TimeoutError:
                continue
            except OSError:
                return
            near.settimeout(None)
            try:
                far = socket.create_connection(("127.0.0.1", self.target), timeout=5)
            except OSError:
                near.close()
                continue
            far.settimeout(None)
            budget = [self.rng.randint(*self.cut_after)] if self.cut_after else None
            with self._lock:
                self._sockets |= {near, far}
            for one, other in ((near, far), (far, near)):
                threading.Thread(target=self._pass, args=(one, other, budget), daemon=True).start()

    def _pass(self, one: socket.socket, other: socket.socket, budget: list[int] | None) -> None:
        """Pass bytes on at the rate, each ``delay_s`` later than that: a line as long as it is slow."""
        line: queue.Queue[tuple[float, bytes]] = queue.Queue(16)
        threading.Thread(target=self._deliver, args=(line, one, other, budget), daemon=True).start()
        with contextlib.suppress(OSError):
            while data := one.recv(4096):
                if self.rate:
                    self._stop.wait(len(data) / self.rate)
                line.put((time.monotonic() + self.delay_s, data))
        line.put((0.0, b""))

    def _deliver(
        self,
        line: "queue.Queue[tuple[float, bytes]]",
        one: socket.socket,
        other: socket.socket,
        budget: list[int] | None,
    ) -> None:
        over = ended = False
        with contextlib.suppress(OSError):
            while not over:
                due_s, data = line.get()
                ended = not data
                if ended:
                    break
                if (left_s := due_s - time.monotonic()) > 0:
                    self._stop.wait(left_s)
                if self.silent:
                    self._stop.wait(60)
                    break
                if budget is not None:
                    with self._lock:
                        data, budget[0] = data[: max(0, budget[0])], budget[0] - len(data)
                        over = budget[0] <= 0
                other.sendall(data)
                self.passed += len(data)
                if over:
                    self.cuts += 1
        self._reset(one)
        self._reset(other)
        while not ended:  # whoever reads still must not wait for room here
            ended = not line.get()[1]

    def _reset(self, one: socket.socket) -> None:
        with self._lock:
            if one not in self._sockets:
                return
            self._sockets.discard(one)
        try:
            one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")
            one.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        one.close()

    def cut(self) -> None:
        """Break all connections now."""
        with self._lock:
            some = list(self._sockets)
        for one in some:
            self._reset(one)

    def close(self) -> None:
        self._stop.set()
        self._listener.close()
        self.cut()


@contextmanager
def child(*arguments: object) -> Iterator[subprocess.Popen[bytes]]:
    """``serve FOLDER PORT`` or ``pull FOLDER PEER`` as a process that can be killed; it has begun then."""
    process = subprocess.Popen(
        [sys.executable, __file__, *map(str, arguments)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline(), "the process did not start"
        yield process
    finally:
        process.kill()
        process.wait(10)
        for stream in (process.stdin, process.stdout):
            if stream is not None:
                stream.close()


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def serve(folder: Path, port: int) -> None:
    """A node, until standard input ends."""
    node = Linked(folder, port=port).start()
    print("ready", flush=True)
    sys.stdin.read()
    node.end()


def pull(folder: Path, peer: Peer) -> None:
    """A station that fetches into a spool, until standard input ends."""
    stop = threading.Event()
    with Spool(folder, node="main") as spool, LinkClient(dial(peer), patience_s=2.0) as client:
        transfer = FileTransfer(client, SpoolReceiver(spool), Transfer(poll_s=0.1, chunk_bytes=4096))
        thread = threading.Thread(target=transfer.run, args=(stop,), daemon=True)
        thread.start()
        print("ready", flush=True)
        sys.stdin.read()
        stop.set()
        thread.join(5)


def main() -> None:
    if sys.argv[1] == "serve":
        serve(Path(sys.argv[2]), int(sys.argv[3]))
    else:
        pull(Path(sys.argv[2]), Peer(**json.loads(sys.argv[3])))


if __name__ == "__main__":
    main()
