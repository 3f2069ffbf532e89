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


def mount(folder: Path, size: str) -> None:
    """Mount a small disk; skip the test where this account may not."""
    folder.mkdir(exist_ok=True)
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)], capture_output=True, check=False
    )
    if done.returncode:
        pytest.skip(f"no small disk can be mounted: {done.stderr.decode().strip()}")


def unmount(folder: Path) -> None:
    subprocess.run(["umount", "-l", str(folder)], capture_output=True, check=False)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 40 MB under the data."""
    folder = tmp_path / "data"
    mount(folder, "40m")
    yield folder
    unmount(folder)


@pytest.fixture
def second_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 200 MB for copies."""
    folder = tmp_path / "usb"
    mount(folder, "200m")
    yield folder
    unmount(folder)


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
    print(f"kept again {time.monotonic() - began_s:.1f} s after there was room")
    bench.wait_for(lambda record: all(d.queued <= 2 for d in record.devices))
    bench.stop(process)
    assert process.returncode == 0
    assert before <= {item.sequence for item in bench.items()}, "nothing undelivered was deleted"
    assert bench.broken() == []


@pytest.mark.timeout(240)
def test_the_second_disk_may_come_and_go(bench: Any, benches: ModuleType, second_disk: Path) -> None:
    mirror = f'[instrument.storage.mirror]\npath = "{second_disk}"\n'
    bench.write({"lead": [benches.camera(), benches.spectrometer()]}, extra=mirror)
    process = bench.start()
    record = bench.wait_for(lambda record: record.spool.mirror in ("current", "behind") and copies(second_disk) > 3)
    assert [disk.name for disk in record.disks] == ["spool", "mirror"]
    unmount(second_disk)
    gone = bench.wait_for(lambda record: record.spool.mirror in ("absent", "error"))
    assert gone.level.value in ("ok", "warning"), "a copy that is not made is no failure of the instrument"
    stored = {device.name: device.stored for device in gone.devices}
    bench.wait_for(lambda record: all(d.stored > stored[d.name] + 2 for d in record.devices))
    mount(second_disk, "40m")
    full = bench.wait_for(lambda record: record.spool.mirror == "full")
    assert "mirror" in full.summary
    unmount(second_disk)
    mount(second_disk, "200m")
    bench.wait_for(lambda record: record.spool.mirror in ("current", "behind") and copies(second_disk) > 3)
    bench.stop(process)
    assert process.returncode == 0, bench.log()


def copies(disk: Path) -> int:
    return len(list(disk.rglob("*.png")))
