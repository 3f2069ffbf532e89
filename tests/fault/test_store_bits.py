"""A flipped bit in any file is found, and only there."""

import random
from collections.abc import Callable
from pathlib import Path

from so2cam.store.disk import Disk
from so2cam.store.items import StoreItem, from_microseconds
from so2cam.store.spool import Spool
from so2cam.store.verify import verify_spool


class QuickDisk(Disk):
    """Forces nothing out: here the power stays on."""

    def sync(self, descriptor: int) -> None:
        pass


def test_a_flipped_bit_in_each_file(tmp_path: Path, rounds: Callable[[int, int], int]) -> None:
    generator = random.Random(1000)
    flipped = rounds(100, 1000)
    with Spool(tmp_path / "spool", disk=QuickDisk()) as spool:
        for number in range(flipped):
            time = from_microseconds(1_772_000_000_000_000 + 4_000_000 * number)
            spool.put(StoreItem("frame", "plume", "camera-on", time, f"f{number}", ".png", generator.randbytes(3000)))
        assert verify_spool(spool).good
        damaged = set()
        for item in spool.find():
            sidecar = generator.random() < 0.3
            path = spool.path_of(item, sidecar=sidecar)
            data = bytearray(path.read_bytes())
            bit = generator.randrange(8 * len(data))
            data[bit // 8] ^= 1 << (bit % 8)
            path.write_bytes(data)
            damaged.add(item.sidecar_path if sidecar else item.path)
        report = verify_spool(spool)
        assert {fault.path for fault in report.faults} == damaged
        assert len(damaged) == flipped
        assert spool.undelivered() == []
