"""How the doctor looks at a computer: a small interface, so that tests can give it any computer."""

import fcntl
import glob
import os
import platform
import pwd
import shutil
import socket
import struct
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, Literal, Protocol

from so2cam.core.errors import So2camError
from so2cam.core.health import HealthRecord
from so2cam.link.local import LocalClient
from so2cam.link.messages import Status, StatusResult

_I2C_SLAVE: Final = 0x0703
"""ioctl number of linux/i2c-dev.h that chooses an address"""


@dataclass(frozen=True, slots=True)
class Output:
    """What a program printed, and its exit code (127: not installed, 124: took too long)."""

    code: int
    text: str


@dataclass(frozen=True, slots=True)
class FileStatus:
    """Owner, permissions and size of a file or folder."""

    owner: str
    mode: int
    size: int
    is_folder: bool


@dataclass(frozen=True, slots=True)
class Usage:
    """Size of a file system and what of it is free [bytes]."""

    total: int
    free: int


Answer = Literal["accepted", "refused", "silent"]


class Probes(Protocol):
    """What can be asked of a computer. Nothing raises for what is missing, and nothing waits without an end."""

    def machine(self) -> tuple[str, int]:
        """Return the kernel's architecture (``aarch64``) and the bits of programs (64)."""

    def now(self) -> datetime:
        """Return the time of the computer's clock, UTC."""

    def read(self, path: str) -> str | None:
        """Return a text file; None where there is none that can be read."""

    def names(self, pattern: str) -> tuple[str, ...]:
        """Return the paths that match a pattern like ``/sys/bus/usb/devices/*/idVendor``, in order."""

    def link(self, path: str) -> str | None:
        """Return where a symbolic link leads in the end; None where there is nothing."""

    def status(self, path: str) -> FileStatus | None:
        """Return what is known of a file or folder; None where there is none."""

    def usage(self, path: str) -> Usage | None:
        """Return how full the file system of ``path`` is; of its nearest folder where it does not exist yet."""

    def run(self, arguments: Sequence[str], timeout_s: float = 10.0) -> Output:
        """Run a program and return what it printed."""

    def i2c(self, bus: int, address: int) -> bool | None:
        """Return whether a device answers on an I2C bus; None where the bus is not there or not to be opened."""

    def gpio(self, number: int, *, pull_up: bool) -> bool | None:
        """Return the level of a line with a pull; None where it cannot be read."""

    def connect(self, host: str, port: int, timeout_s: float = 2.0) -> Answer:
        """Return how a computer answers to a connection."""

    def health(self, socket_path: str) -> HealthRecord | str:
        """Return what the agent on a socket says of itself, or why it does not."""


class ComputerProbes:
    """The computer that this runs on."""

    def machine(self) -> tuple[str, int]:
        """Return architecture and bits."""
        return platform.machine(), struct.calcsize("P") * 8

    def now(self) -> datetime:
        """Return the time."""
        return datetime.now(UTC)

    def read(self, path: str) -> str | None:
        """Return a text file."""
        try:
            return Path(path).read_text(encoding="utf-8", errors="replace").rstrip("\0")
        except OSError:
            return None

    def names(self, pattern: str) -> tuple[str, ...]:
        """Return matching paths."""
        return tuple(sorted(glob.glob(pattern)))  # noqa: PTH207 - absolute patterns

    def link(self, path: str) -> str | None:
        """Return where a link leads."""
        return os.path.realpath(path) if os.path.lexists(path) else None

    def status(self, path: str) -> FileStatus | None:
        """Return owner, permissions, size."""
        try:
            seen = Path(path).stat()
        except OSError:
            return None
        try:
            owner = pwd.getpwuid(seen.st_uid).pw_name
        except KeyError:
            owner = str(seen.st_uid)
        return FileStatus(owner, seen.st_mode & 0o7777, seen.st_size, Path(path).is_dir())

    def usage(self, path: str) -> Usage | None:
        """Return how full a file system is."""
        for each in (Path(path), *Path(path).parents):
            try:
                found = shutil.disk_usage(each)
            except OSError:
                continue
            return Usage(found.total, found.free)
        return None

    def run(self, arguments: Sequence[str], timeout_s: float = 10.0) -> Output:
        """Run a program."""
        if shutil.which(arguments[0]) is None:
            return Output(127, "")
        try:
            done = subprocess.run(  # noqa: S603 - no shell, arguments of the checks
                list(arguments),
                capture_output=True,
                stdin=subprocess.DEVNULL,
                timeout=timeout_s,
                check=False,
                env={**os.environ, "LC_ALL": "C"},
            )
        except subprocess.TimeoutExpired:
            return Output(124, "")
        except OSError as error:
            return Output(126, error.strerror or "")
        return Output(done.returncode, (done.stdout + done.stderr).decode("utf-8", "replace"))

    def i2c(self, bus: int, address: int) -> bool | None:
        """Ask for one byte of the device at ``address``."""
        try:
            descriptor = os.open(f"/dev/i2c-{bus}", os.O_RDWR | os.O_CLOEXEC)
        except OSError:
            return None
        try:
            fcntl.ioctl(descriptor, _I2C_SLAVE, address)
            os.read(descriptor, 1)
        except OSError as error:
            # The kernel's own driver holds the address: then the device is there.
            return error.errno == 16
        finally:
            os.close(descriptor)
        return True

    def gpio(self, number: int, *, pull_up: bool) -> bool | None:
        """Read a line of the header."""
        from so2cam_power.errors import PowerError
        from so2cam_power.gpio import PULL_DOWN, PULL_UP, HeaderLines

        try:
            return HeaderLines().read(number, PULL_UP if pull_up else PULL_DOWN)
        except PowerError:
            return None

    def connect(self, host: str, port: int, timeout_s: float = 2.0) -> Answer:
        """Try a connection."""
        try:
            with socket.create_connection((host, port), timeout=timeout_s):
                return "accepted"
        except ConnectionRefusedError:
            return "refused"
        except OSError:
            return "silent"

    def health(self, socket_path: str) -> HealthRecord | str:
        """Ask the agent."""
        try:
            with LocalClient(Path(socket_path), timeout_s=10.0) as agent:
                result = agent.ask(Status())
        except So2camError as error:
            return error.message
        return result.health if isinstance(result, StatusResult) else "the agent refuses to tell"
