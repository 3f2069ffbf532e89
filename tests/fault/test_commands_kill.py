"""Commands through kills of the agent and of its devices' processes: each takes effect once, whole.

``SO2CAM_FAULT=full`` gives 1,000 commands through 20 kills, otherwise a few.
"""

import os
import random
import signal
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from so2cam.core.site_link import Link
from so2cam.link.channel import Peer
from so2cam.link.client import LinkClient, dial
from so2cam.link.database import FILE, Database
from so2cam.link.ledger import errand_id
from so2cam.link.messages import Cells, Darks, Done, Shot, Stop
from so2cam.link.node import LinkPlace, tls_of
from so2cam.link.protocol import Role
from so2cam.link.tokens import TokenStore
from so2cam.store.recovery import recover_spool
from so2cam.store.spool import Spool

DEVICES = ("camera-on", "spectrometer")
LIMIT_S = 900.0
pytestmark = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="finds processes in /proc")


@dataclass
class Said:
    """Commands that were given: what each must have made, by errand and device, and what was answered."""

    wanted: dict[tuple[str, str], int] = field(default_factory=dict)
    results: dict[str, Any] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)


class Speaker:
    """Gives commands with a token of its own, so that each has its own share of the rate."""

    def __init__(self, bench: Any, port: int, name: str, said: Said) -> None:
        state = bench.root() / "state"
        database = Database(state / FILE)
        token = TokenStore(database).create(name, Role.OPERATOR)
        database.close()
        place = LinkPlace(state, bench.folder, "127.0.0.1", port)
        peer = Peer("127.0.0.1", port, tls_of(Link(), place, "lead").fingerprint(), token)
        self.client = LinkClient(dial(peer), patience_s=LIMIT_S, answer_s=60.0, connect_s=5.0)
        self.who = token.split("_")[1]
        self.said = said

    def say(self, command: Any, key: str, devices: tuple[str, ...] = (), items: int = 0) -> str:
        """Give one command; ``items`` of each device are its effect."""
        result = self.client.command(command, key=key, patience_s=LIMIT_S)
        errand = errand_id(self.who, key)
        with self.said.lock:
            self.said.results[key] = result
            self.said.wanted |= {(errand, device): items for device in devices if items}
        return errand


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def shots(speaker: Speaker, name: str, count: int) -> None:
    """Shots of one device, or of both."""
    for number in range(count):
        devices = (DEVICES[:1], DEVICES[1:], DEVICES)[number % 3]
        speaker.say(Shot(devices=devices, exposure_s=0.02), f"shot-{name}-{number:05d}", devices, 1)


def sets(speaker: Speaker, count: int, root: Path) -> None:
    """Dark sets and calibrations, one after the other: a device takes one dark set at a time."""
    for number in range(count):
        turn, cameras = number % 5, DEVICES[:1]
        key = f"sets-{number:05d}"
        if turn == 0:
            errand = speaker.say(Darks(repeats=2, exposures_s=(0.02, 0.04)), key, DEVICES, 4)
            wait_until(lambda errand=errand: all(len(marked(root, errand, one)) == 4 for one in DEVICES))
        elif turn == 1:
            speaker.say(Cells(action="begin"), key)
        elif turn == 2:
            speaker.say(Cells(action="take", ppm_m=300.0, count=3), key, cameras, 3)
        elif turn == 3:
            speaker.say(Cells(action="clear", count=2), key, cameras, 2)
        else:
            speaker.say(Cells(action="end"), key)


def marked(root: Path, errand: str, device: str) -> dict[int, int]:
    with Spool(root) as spool:
        return spool.marked(errand, device)


def wait_until(condition: Callable[[], bool], limit_s: float = LIMIT_S) -> None:
    limit = time.monotonic() + limit_s
    tick = threading.Event()
    while not condition():
        assert time.monotonic() < limit, "it did not come about"
        tick.wait(0.05)


def test_commands_through_kills_take_effect_once(
    bench: Any, benches: ModuleType, rounds: Callable[[int, int], int]
) -> None:
    kills, count = rounds(4, 20), rounds(60, 1000)
    rng = random.Random(3)
    port = free_port()
    bench.write(
        {"lead": [benches.camera(), benches.spectrometer()]}, extra=f"[instrument.link]\nport = {port}\n", period_s=0.25
    )
    process = bench.start()
    bench.wait_stored(1)
    said = Said()
    part = count // 5
    speakers = [Speaker(bench, port, f"speaker{number}", said) for number in range(5)]
    threads = [
        *(
            threading.Thread(target=shots, args=(speaker, str(number), part))
            for number, speaker in enumerate(speakers[:4])
        ),
        threading.Thread(target=sets, args=(speakers[4], part, bench.root())),
    ]
    for thread in threads:
        thread.start()
    tick = threading.Event()
    for kill in range(1, kills + 1):
        wait_until(lambda kill=kill: len(said.results) >= kill * count // (kills + 1))
        tick.wait(rng.uniform(0.0, 0.3))  # somewhere in what comes next
        children = benches.workers(process.pid)
        whole = kill % 4 != 0 or not children
        for number in [process.pid, *(children if kill % 2 else [])] if whole else [rng.choice(children)]:
            os.kill(number, signal.SIGKILL)
        if whole:
            process.wait(10)
            process = bench.start()
    for thread in threads:
        thread.join(LIMIT_S)
        assert not thread.is_alive()
    for speaker in speakers:
        speaker.client.close()
    bench.ask(Stop(force=True))
    bench.stop(process)
    recover_spool(bench.root(), full=True)
    refused = {key: result for key, result in said.results.items() if not isinstance(result, Done)}
    assert refused == {}, bench.log()
    assert len(said.results) == part * 5
    kept: dict[tuple[str, str], list[int]] = {}
    for item in bench.items():
        command = bench.sidecar(item)["so2cam"].get("command")
        if command is not None:
            kept.setdefault((command["id"], item.device), []).append(command["item"])
    assert {name: sorted(items) for name, items in kept.items()} == {
        name: list(range(items)) for name, items in said.wanted.items()
    }
    assert bench.broken() == []
    print(f"{len(said.results)} commands, {kills} kills, {sum(map(len, kept.values()))} items, each once")
