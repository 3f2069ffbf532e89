"""Taking an external disk out of use and into it again: forced to the disk, unmounted, mounted.

The agent has no rights over disks. systemd does it, as its installation allows: it stops the unit of the mount, and
``so2cam-mount.service`` has udev mount what is plugged in (``instrument.install``).
"""

import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path, PurePath
from typing import Final, Protocol

from so2cam.instrument.errors import InstrumentError

MOUNT_SERVICE: Final = "so2cam-mount.service"
_FLUSH_S: Final = 120.0
_UNIT_S: Final = 40.0
_ATTEMPTS: Final = 3
_PAUSE_S: Final = 1.0


class DiskMounts(Protocol):
    """What is done with a disk that is mounted at a folder."""

    def flush(self, folder: Path) -> None:
        """Force everything that was written to the disk. Raises InstrumentError."""
        ...

    def unmount(self, folder: Path) -> None:
        """Unmount it. Raises InstrumentError, and it is mounted still."""
        ...

    def mount(self) -> None:
        """Have disks that are plugged in and not mounted be mounted. Raises InstrumentError."""
        ...


class SystemMounts:
    """Disks of this computer."""

    def __init__(
        self, run: Callable[[Sequence[str], float], tuple[int, str]] | None = None, pause_s: float = _PAUSE_S
    ) -> None:
        self._run = run or _run
        self._pause_s = pause_s

    def flush(self, folder: Path) -> None:
        """See ``DiskMounts``."""
        self._do(["sync", "-f", str(folder)], _FLUSH_S, f"what was written to {folder} cannot be forced to the disk")

    def unmount(self, folder: Path) -> None:
        """See ``DiskMounts``. A disk that is busy, because a copy is being read from it, is tried again."""
        for left in reversed(range(_ATTEMPTS)):
            try:
                self._do(["systemctl", "stop", mount_unit(folder)], _UNIT_S, f"{folder} cannot be unmounted")
            except InstrumentError:
                if not left:
                    raise
                time.sleep(self._pause_s)
            else:
                return

    def mount(self) -> None:
        """See ``DiskMounts``."""
        self._do(["systemctl", "start", MOUNT_SERVICE], _UNIT_S, "the disk cannot be mounted")

    def _do(self, arguments: Sequence[str], timeout_s: float, words: str) -> None:
        remedy = "run `so2cam instrument install` on the node, or do it by hand there"
        try:
            code, said = self._run(arguments, timeout_s)
        except (OSError, subprocess.SubprocessError) as error:
            raise InstrumentError(f"{words}: {error}", remedy=remedy) from None
        if code:
            raise InstrumentError(f"{words}: {said or f'exit code {code}'}", remedy=remedy)


def mount_unit(folder: PurePath) -> str:
    """Return how systemd calls the mount at ``folder``, as systemd-escape(1) has it."""
    parts = [part for part in folder.parts if part != "/"]
    escaped = "-".join(_escaped(part) for part in parts) or "-"
    return f"{escaped}.mount"


def _escaped(part: str) -> str:
    plain = [
        chr(byte) if chr(byte).isascii() and (chr(byte).isalnum() or chr(byte) in ":_.") else f"\\x{byte:02x}"
        for byte in part.encode()
    ]
    return "".join(plain)


def _run(arguments: Sequence[str], timeout_s: float) -> tuple[int, str]:
    done = subprocess.run(  # noqa: S603 - named above
        arguments, timeout=timeout_s, check=False, stdin=subprocess.DEVNULL, capture_output=True, text=True
    )
    return done.returncode, " ".join(done.stderr.split())
