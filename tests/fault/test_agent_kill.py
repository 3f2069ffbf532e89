"""The agent and its devices' processes killed at random moments: nothing acknowledged is lost, nothing is broken.

``SO2CAM_FAULT=full`` kills 200 times, otherwise a few.
"""

import os
import random
import signal
import time
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from so2cam.core.errors import FrameFileError
from so2cam.formats.png import read_png
from so2cam.store.items import item_digest

FULL = os.environ.get("SO2CAM_FAULT") == "full"
KILLS = 200 if FULL else 4
pytestmark = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="finds processes in /proc")


def acknowledged(bench: Any) -> dict[int, str]:
    """What the journal acknowledges, by sequence number."""
    return {item.sequence: item_digest(item.sha256, item.sidecar_sha256) for item in bench.items()}


def broken_images(bench: Any) -> list[str]:
    """Images under their final names that are no whole images, or stand without a sidecar."""
    found = []
    for path in (bench.root() / "data").rglob("*.png"):
        try:
            read_png(path.read_bytes(), path)
        except FrameFileError as error:
            found.append(f"{path}: {error}")
        if not path.with_suffix(".json").is_file():
            found.append(f"{path}: no sidecar")
    return found


@pytest.mark.timeout(7200 if FULL else 300)
def test_killed_at_random_nothing_acknowledged_is_lost(bench: Any, benches: ModuleType) -> None:
    rng = random.Random(7)
    bench.write({"lead": [benches.camera(), benches.spectrometer()]}, period_s=0.25)
    known: dict[int, str] = {}
    process = bench.start()
    before: dict[str, int] = {}
    slowest_s = 0.0
    for kill in range(KILLS):
        began_s = time.monotonic()
        wait_capturing(bench, before)
        slowest_s = max(slowest_s, time.monotonic() - began_s)
        time.sleep(rng.uniform(0.0, 0.6))
        before = {device.name: device.stored for device in bench.health().devices}
        children = benches.workers(process.pid)
        assert len(children) == 2
        victims = {0: [process.pid, *children], 1: [process.pid], 2: [rng.choice(children)]}[kill % 3]
        for number in victims:
            os.kill(number, signal.SIGKILL)
        if process.pid in victims:
            process.wait(10)
            for number in children:
                wait_gone(number)
            known |= acknowledged(bench)
            process, before = bench.start(), {}
        else:
            known |= acknowledged(bench)
    wait_capturing(bench, before)
    bench.stop(process)
    assert process.returncode == 0, bench.log()
    after = acknowledged(bench)
    assert {number: after.get(number) for number in known} == known
    assert bench.broken() == []
    assert broken_images(bench) == []
    print(f"{KILLS} kills, {len(known)} acknowledged items, capturing again within {slowest_s:.1f} s at worst")


def wait_capturing(bench: Any, before: dict[str, int]) -> None:
    """Wait until every device has kept something since."""
    bench.wait_for(lambda record: all(d.stored > before.get(d.name, 0) for d in record.devices), timeout_s=60.0)


def wait_gone(number: int) -> None:
    """A device's process ends by itself within seconds when its agent is gone."""
    limit = time.monotonic() + 10
    while Path(f"/proc/{number}").exists():
        state = Path(f"/proc/{number}/stat")
        try:
            if state.read_text().rpartition(")")[2].split()[0] == "Z":
                return
        except OSError:
            return
        assert time.monotonic() < limit, f"process {number} outlived its agent"
        time.sleep(0.02)
