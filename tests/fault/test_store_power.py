"""Power cuts: the image of a disk, copied while it is written to, is what a disk holds when the power goes.

An ext4 file system in a file, mounted through a loop device. What the file holds is what the disk holds: everything
that the system still keeps in its memory is lost with the copy.
"""

import random
import shutil
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import pytest


def make_image(path: Path, megabytes: int) -> None:
    with path.open("wb") as stream:
        stream.truncate(megabytes * 1_000_000)
    subprocess.run(["mkfs.ext4", "-q", "-F", str(path)], check=True, capture_output=True)


@dataclass
class Cuts:
    """What cuts of the power did."""

    acknowledged: int = 0
    lost: int = 0
    corrupt: int = 0
    unknown: int = 0
    most_under_way: int = 0


def cut_power(folder: Path, store_faults: ModuleType, mount: Callable[..., Path], cuts: int, **variables: str) -> Cuts:
    """Cut the power of three writers ``cuts`` times, and judge what the disk holds each time."""
    files = store_faults.payloads(folder)
    image, copy = folder / "disk.img", folder / "after.img"
    generator = random.Random(100)
    found = Cuts()
    while cuts:
        make_image(image, 48)
        # The file system's own timer forces nothing out: what the spool does not force out is lost.
        disk = mount(image, folder / "disk", "commit=300")
        writers = [
            store_faults.Writer(store_faults.command(disk / "spool", name, 0, files[name]), variables) for name in files
        ]
        try:
            for writer in writers:
                writer.wait_kept(1)
            for _ in range(min(20, cuts)):
                cuts -= 1
                time.sleep(generator.uniform(0.0, 0.15))
                for writer in writers:
                    writer.stop()
                begun, acknowledged = 0, {}
                for writer in writers:
                    kept, started = writer.heard()
                    acknowledged |= kept
                    begun += started
                shutil.copyfile(image, copy)
                for writer in writers:
                    writer.go_on()
                after = mount(copy, folder / "after")
                verdict = store_faults.judge(after / "spool", acknowledged)
                subprocess.run(["umount", str(after)], check=True)
                found.acknowledged += len(acknowledged)
                found.lost += len(verdict.lost)
                found.corrupt += len(verdict.corrupt)
                found.unknown += len(verdict.unknown)
                found.most_under_way = max(found.most_under_way, begun - verdict.kept)
        finally:
            for writer in writers:
                writer.kill()
            subprocess.run(["umount", str(disk)], check=True)
    return found


def test_power_cut(
    tmp_path: Path, store_faults: ModuleType, loop_image: Callable[..., Path], rounds: Callable[[int, int], int]
) -> None:
    found = cut_power(tmp_path, store_faults, loop_image, rounds(4, 100))
    print(f"\n{found}")
    assert found.acknowledged
    assert (found.lost, found.corrupt, found.unknown) == (0, 0, 0)
    assert found.most_under_way <= 3  # one pair of frames and one spectrum


def test_power_cuts_would_show_files_that_are_not_forced_to_the_disk(
    tmp_path: Path, store_faults: ModuleType, loop_image: Callable[..., Path]
) -> None:
    found = cut_power(tmp_path, store_faults, loop_image, 2, NEVER_SYNC="1")
    assert found.lost
    assert found.corrupt


@pytest.mark.parametrize("reserve", ["100000", "0"])
def test_full_disk(tmp_path: Path, store_faults: ModuleType, loop_image: Callable[..., Path], reserve: str) -> None:
    """The disk is full for a while: the writer stays alive, goes on by itself, and nothing is deleted."""
    files = store_faults.payloads(tmp_path)
    image = tmp_path / "disk.img"
    make_image(image, 24)
    disk = loop_image(image, tmp_path / "disk")
    arguments = store_faults.command(disk / "spool", "camera-on", 0, files["camera-on"])
    writer = store_faults.Writer(arguments, {"RESERVE_BYTES": reserve})
    try:
        writer.wait_kept(5)
        ballast = disk / "ballast"
        for size in (1 << 20, 1 << 12, 1):  # to the last byte
            with ballast.open("ab", buffering=0) as stream:
                while True:
                    try:
                        stream.write(bytes(size))
                    except OSError:
                        break
        before = len(writer.heard()[0])
        writer.wait_refused(20)
        assert writer.process.poll() is None
        during = writer.heard()[0]
        assert len(during) - before <= 5
        assert [text for text in writer.refused if not text.startswith("SpoolFullError")] == []
        ballast.unlink()
        writer.wait_kept(len(during) + 5)
    finally:
        writer.kill()
    verdict = store_faults.judge(disk / "spool", writer.kept)
    assert (verdict.lost, verdict.corrupt, verdict.unknown) == ([], [], [])
    assert verdict.kept - len(writer.kept) in (0, 1)
