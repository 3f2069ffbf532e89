"""A disk that is full for a while, and a clock that was never set: the agent lives through both."""

import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

FULL_S = 180.0 if os.environ.get("SO2CAM_FAULT") == "full" else 6.0


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 40 MB, where this account may mount one."""
    folder = tmp_path / "data"
    folder.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=40m", "tmpfs", str(folder)], capture_output=True, check=False
    )
    if done.returncode:
        pytest.skip(f"no small disk can be mounted: {done.stderr.decode().strip()}")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=False)


@pytest.mark.timeout(600)
def test_full_disk_costs_only_what_does_not_fit(bench: Any, benches: ModuleType, small_disk: Path) -> None:
    bench.write(
        {"lead": [benches.camera(), benches.spectrometer()]},
        extra="minimum_free_bytes = 0\nminimum_free_fraction = 0.0",
    )
    process = bench.start()
    bench.wait_stored(3)
    before = {item.sequence for item in bench.items()}
    ballast = small_disk / "ballast"
    free = os.statvfs(small_disk)
    with ballast.open("wb") as stream:
        stream.write(b"\0" * max(0, free.f_bavail * free.f_frsize - 2_000_000))
    trouble = bench.wait_for(lambda record: record.spool.error is not None or any(d.queued > 3 for d in record.devices))
    assert trouble.level.value != "ok", "a full disk is no secret"
    time.sleep(FULL_S)
    assert process.poll() is None, bench.log()
    full = bench.health()
    earlier = {device.name: device.captured for device in trouble.devices}
    assert all(device.captured > earlier[device.name] for device in full.devices), "capture goes on"
    assert all(device.queued > 0 for device in full.devices)
    assert all(device.restarts == 0 for device in full.devices), "a full disk is no fault of the devices"
    ballast.unlink()
    stored = {device.name: device.stored for device in full.devices}
    began_s = time.monotonic()
    bench.wait_for(lambda record: all(d.stored > stored[d.name] + 2 for d in record.devices), timeout_s=60.0)
    assert time.monotonic() - began_s < 40, "it goes on within ten seconds on a quiet computer"
    bench.wait_for(lambda record: all(d.queued <= 2 for d in record.devices))
    bench.stop(process)
    assert process.returncode == 0
    assert before <= {item.sequence for item in bench.items()}, "nothing undelivered was deleted"
    assert bench.broken() == []
