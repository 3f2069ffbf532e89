"""Puts items into a spool and says so, line by line: what the fault tests kill, stop and starve.

    python store_writer.py ROOT DEVICE COUNT [PAYLOAD [STEP NUMBER]]

Lines: ``open``; ``begin N``; ``kept SEQUENCE DIGEST`` as soon as an item is acknowledged; ``refused WHY``; ``done``.
Like the agent it gives an item that was refused again, and opens the spool again where that failed. COUNT 0: for ever.
With STEP, the process kills itself at that step of the put NUMBER (from 1). Environment: ``RESERVE_BYTES`` of the
spool; ``NEVER_SYNC``: files are not forced to the disk, which shows that the tests would see it.
"""

import os
import signal
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

from so2cam.store.disk import Disk
from so2cam.store.errors import SpoolError
from so2cam.store.items import StoreItem
from so2cam.store.spool import Spool


class KillingDisk(Disk):
    """Kills this process at a step of a put."""

    def __init__(self, step: str, number: int) -> None:
        self._step, self._left = step, number

    def step(self, name: str) -> None:
        if name == self._step:
            self._left -= 1
            if self._left == 0:
                os.kill(os.getpid(), signal.SIGKILL)


class ForgetfulDisk(Disk):
    """Forces nothing to the disk."""

    def sync(self, descriptor: int) -> None:
        pass


def say(line: str) -> None:
    os.write(1, f"{line}\n".encode())


def main() -> None:
    root, device, count = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
    payload = Path(sys.argv[4]).read_bytes() if len(sys.argv) > 4 else device.encode() * 40
    disk = Disk()
    if len(sys.argv) > 6:
        disk = KillingDisk(sys.argv[5], int(sys.argv[6]))
    elif "NEVER_SYNC" in os.environ:
        disk = ForgetfulDisk()
    reserve_bytes = int(os.environ.get("RESERVE_BYTES", "100000"))
    suffix = ".npy" if payload.startswith(b"\x93NUMPY") else ".png"
    spool: Spool | None = None
    number = 0
    while count == 0 or number < count:
        number += 1
        say(f"begin {number}")
        now = datetime.now(UTC)
        item = StoreItem(
            "frame",
            "plume",
            device,
            now,
            f"{now:%Y-%m-%dT%H%M%S}_{device}",
            suffix,
            payload,
            metadata={"Number": number},
        )
        for _ in range(500):
            try:
                if spool is None:
                    spool = Spool(root, node="lead", reserve_bytes=reserve_bytes, timeout_s=20, disk=disk)
                    say("open")
                stored = spool.put(item).item
            except SpoolError as error:
                say(f"refused {type(error).__name__} {' '.join(error.message.split())}")
                time.sleep(0.01)
            else:
                say(f"kept {stored.sequence} {stored.digest}")
                break
    if spool is not None:
        spool.close()
    say("done")


if __name__ == "__main__":
    main()
