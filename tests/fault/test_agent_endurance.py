"""Many frames in quick time: memory stays, and so do threads and open files.

``SO2CAM_FAULT=full`` takes 50,000 frames, otherwise 1,500. They are kept in memory where that is large enough, because
the disk's speed is not what this is about.
"""

import os
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

FULL = os.environ.get("SO2CAM_FAULT") == "full"
FRAMES = 25_000 if FULL else 750
"""of each of two cameras"""
WARM = 4_000 if FULL else 250
RATE = "30"
MEMORY_DISK = Path("/dev/shm")  # noqa: S108 - a folder with a name of its own is made in it
NEEDED_BYTES = 3_000_000_000
pytestmark = pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="reads /proc")


@dataclass(frozen=True)
class Use:
    """What a process uses."""

    memory_bytes: int
    threads: int
    files: int


def use_of(process: int) -> Use:
    folder = Path(f"/proc/{process}")
    pages = int((folder / "statm").read_text().split()[1])
    return Use(
        pages * os.sysconf("SC_PAGE_SIZE"), len(list((folder / "task").iterdir())), len(list((folder / "fd").iterdir()))
    )


@pytest.mark.timeout(3600 if FULL else 240)
def test_memory_threads_and_files_stay(bench: Any, benches: ModuleType, request: pytest.FixtureRequest) -> None:
    if MEMORY_DISK.is_dir() and shutil.disk_usage(MEMORY_DISK).free > NEEDED_BYTES:
        kept = Path(tempfile.mkdtemp(prefix="so2cam-endurance-", dir=MEMORY_DISK))
        request.addfinalizer(lambda: shutil.rmtree(kept, ignore_errors=True))
        (bench.folder / "data").symlink_to(kept)
    bench.write({"lead": [benches.camera(), benches.camera("camera-off", "off")]}, period_s=0.5)
    process = bench.start("lead", "--rate", RATE)
    bench.wait_stored(WARM, timeout_s=600.0)
    watched = [process.pid, *benches.workers(process.pid)]
    assert len(watched) == 3
    before = [use_of(number) for number in watched]
    record = bench.wait_stored(FRAMES, timeout_s=3000.0)
    after = [use_of(number) for number in watched]
    assert all(device.restarts == device.rejected == 0 for device in record.devices), record.devices
    for first, last in zip(before, after, strict=True):
        assert last.memory_bytes - first.memory_bytes <= 5_000_000, (before, after)
        assert last.threads <= first.threads + 1, (before, after)
        assert last.files <= first.files + 2, (before, after)
    bench.stop(process)
    assert process.returncode == 0, bench.log()
