"""Processes killed with SIGKILL while they put: nothing acknowledged is lost, no broken file has a final name."""

import random
import signal
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

from so2cam.store.disk import STEPS


def test_killed_at_random(tmp_path: Path, store_faults: ModuleType, rounds: Callable[[int, int], int]) -> None:
    files = store_faults.payloads(tmp_path)
    generator = random.Random(20260301)
    acknowledged: dict[int, str] = {}
    total, slowest_s = 0, 0.0
    for number in range(rounds(6, 200)):
        root = tmp_path / f"spool{number // 10}"
        if number % 10 == 0:
            acknowledged = {}
        writers = [store_faults.Writer(store_faults.command(root, device, 0, files[device])) for device in files]
        for writer in writers:
            writer.wait_kept(1)
        time.sleep(generator.uniform(0.0, 0.2))
        for writer in writers:
            writer.process.send_signal(signal.SIGKILL)
        for writer in writers:
            writer.end()
            slowest_s = max(slowest_s, writer.first_kept_s)
            assert not set(writer.kept) & set(acknowledged)
            acknowledged |= writer.kept
            total += len(writer.kept)
        verdict = store_faults.judge(root, acknowledged)
        assert (verdict.lost, verdict.corrupt, verdict.unknown) == ([], [], [])
        assert (verdict.report.missing, verdict.report.damaged) == (0, 0)
    print(f"\n{total} acknowledged, 0 lost; first item at most {slowest_s:.1f} s after the start")


@pytest.mark.parametrize("step", STEPS)
def test_killed_at_every_step(
    tmp_path: Path, store_faults: ModuleType, rounds: Callable[[int, int], int], step: str
) -> None:
    files = store_faults.payloads(tmp_path)
    root = tmp_path / "spool"
    acknowledged: dict[int, str] = {}
    for number in range(1, 1 + rounds(1, 5)):
        writer = store_faults.Writer(store_faults.command(root, "camera-on", 0, files["camera-on"], step, str(number)))
        assert writer.end() == -signal.SIGKILL
        assert len(writer.kept) == number - 1
        acknowledged |= writer.kept
        verdict = store_faults.judge(root, acknowledged)
        assert (verdict.lost, verdict.corrupt, verdict.unknown) == ([], [], [])
        assert verdict.kept - len(acknowledged) == number * (STEPS.index(step) >= STEPS.index("main-renamed"))


def test_one_process_killed_costs_the_others_nothing(
    tmp_path: Path, store_faults: ModuleType, rounds: Callable[[int, int], int]
) -> None:
    files = store_faults.payloads(tmp_path)
    root = tmp_path / "spool"
    generator = random.Random(7)
    steady = store_faults.Writer(store_faults.command(root, "camera-off", 0, files["camera-off"]))
    acknowledged: dict[int, str] = {}
    for _ in range(rounds(3, 50)):
        writer = store_faults.Writer(store_faults.command(root, "camera-on", 0, files["camera-on"]))
        writer.wait_kept(1)
        time.sleep(generator.uniform(0.0, 0.05))
        writer.kill()
        acknowledged |= writer.kept
        steady.wait_kept(len(steady.heard()[0]) + 3)
    assert steady.refused == []
    steady.kill()
    verdict = store_faults.judge(root, acknowledged | steady.kept)
    assert (verdict.lost, verdict.corrupt, verdict.unknown) == ([], [], [])
