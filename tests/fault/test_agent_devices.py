"""Devices that fail while the agent runs: the agent stays, other devices miss nothing, and the failing one comes back.

``SO2CAM_FAULT=full`` runs 200 faults, otherwise one of each kind.
"""

import os
import random
import signal
import time
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from so2cam.core.health import DeviceState
from so2cam.simulate.faulty import FaultControl, FaultKind

FULL = os.environ.get("SO2CAM_FAULT") == "full"
KINDS = [
    FaultKind.RAISES,
    FaultKind.HANGS,
    FaultKind.SHAPE,
    FaultKind.SATURATED,
    FaultKind.STALE,
    FaultKind.UNPLUGGED,
    FaultKind.SERIAL,
    FaultKind.GARBAGE,
]
RECOVERY_S = 60.0
PERIOD_S = 0.5


def plan(count: int, seed: int = 20260301) -> list[FaultKind]:
    """Every kind as often as any other, in an order of their own."""
    kinds = [KINDS[index % len(KINDS)] for index in range(count)]
    random.Random(seed).shuffle(kinds)
    return kinds


@pytest.mark.timeout(14_000 if FULL else 400)
def test_faults_cost_no_other_device_a_frame(bench: Any, benches: ModuleType, tmp_path: Any) -> None:
    control = FaultControl(tmp_path / "fault.json")
    options = benches.faulty("simulated", control.path)
    bench.write({"lead": [benches.camera(driver="faulty", options=options), benches.camera("camera-off", "off")]})
    process = bench.start()
    bench.wait_stored(3)
    slowest_s = 0.0
    for kind in plan(200 if FULL else len(KINDS)):
        control.begin(kind, seconds=None)
        wait_until(lambda: control.happened, 60.0, f"the fault {kind} never came\n{bench.log()}")
        time.sleep(2 * PERIOD_S)
        control.end()
        began_s = time.monotonic()
        stored = device(bench, "camera-on").stored
        record = bench.wait_for(
            lambda record, stored=stored: (
                device_of(record, "camera-on").stored >= stored + 2
                and device_of(record, "camera-on").state is DeviceState.CAPTURING
            ),
            timeout_s=RECOVERY_S,
        )
        slowest_s = max(slowest_s, time.monotonic() - began_s)
        assert process.poll() is None, f"the agent ended after {kind}\n{bench.log()}"
        assert device_of(record, "camera-off").restarts == 0
    print(f"the slowest recovery took {slowest_s:.1f} s")
    other = device(bench, "camera-off")
    bench.stop(process)
    assert process.returncode == 0
    assert other.rejected == other.lost == other.restarts == 0
    notes = [bench.sidecar(item)["so2cam"] for item in bench.items(device="camera-off")]
    numbers = [note["grid_time"] for note in notes]
    assert len(set(numbers)) == len(numbers)
    passed_over = sum(note["skipped_grid_points"] for note in notes[1:])
    assert passed_over <= len(notes) // 10, "only a busy computer makes it pass one over, never the other camera"
    assert bench.broken() == []


def device_of(record: Any, name: str) -> Any:
    return next(device for device in record.devices if device.name == name)


def device(bench: Any, name: str) -> Any:
    return device_of(bench.health(), name)


def wait_until(condition: Any, timeout_s: float, text: str) -> None:
    limit = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < limit, text
        time.sleep(0.05)


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="finds processes in /proc")
@pytest.mark.timeout(200)
def test_a_process_that_says_nothing_and_a_driver_that_is_not_there(bench: Any, benches: ModuleType) -> None:
    bench.write({"lead": [benches.camera(), benches.camera("camera-off", "off", driver="nonesuch")]})
    process = bench.start()
    record = bench.wait_for(
        lambda record: (
            device_of(record, "camera-on").stored >= 2 and device_of(record, "camera-off").state is DeviceState.WAITING
        )
    )
    broken = device_of(record, "camera-off")
    assert "no such driver" in (broken.last_error or "")
    assert broken.next_start_in_s is not None
    assert broken.next_start_in_s > 5, "what only a person can mend is not tried all the time"
    assert record.summary.startswith("camera-off")
    (worker,) = benches.workers(process.pid)
    os.kill(worker, signal.SIGSTOP)
    record = bench.wait_for(lambda record: device_of(record, "camera-on").restarts == 1, timeout_s=60.0)
    assert "hangs" in (device_of(record, "camera-on").last_error or "")
    bench.wait_for(
        lambda again: device_of(again, "camera-on").stored > device_of(record, "camera-on").stored, timeout_s=60.0
    )
    assert process.poll() is None
    bench.stop(process)
    assert process.returncode == 0
