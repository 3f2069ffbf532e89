"""What an installation is made of: the site, the node, where things are, and the secrets that are in no site file."""

import os
import re
import secrets
import stat
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from so2cam.core.errors import So2camError
from so2cam.core.site import Site
from so2cam.core.site_instrument import Instrument, Node
from so2cam.instrument.errors import InstrumentError
from so2cam.store.atomic import atomic_write

USER: Final = "so2cam"
STATE: Final = "/var/lib/so2cam"
"""Home of the agent: its site file, and, below it, its data unless the site file says otherwise"""
SITE_FILE: Final = f"{STATE}/site.toml"
CONFIGURATION: Final = "/etc/so2cam"
SECRETS: Final = f"{CONFIGURATION}/secrets.toml"
RUN: Final = "/run/so2cam"
MEDIA: Final = "/media/so2cam"
HOOKS: Final = "/usr/lib/so2cam-power"
POWER_REPORTS: Final = "/var/lib/so2cam-power"
POWER_SETTINGS: Final = f"{CONFIGURATION}/power.json"
PROGRAM: Final = "/opt/so2cam/bin/so2cam"
BOARDS: Final = ("wittypi3", "wittypi4")
"""Power boards with a clock of their own"""
BOARD_UP_GPIO: Final = 17
"""By this line a Witty Pi learns that the computer is up"""
BOARD_HALT_GPIO: Final = 4
"""By this line a Witty Pi asks the computer to shut down: button, low voltage"""
BOARD_SOFTWARE: Final = "/etc/init.d/wittypi"
"""Where the board's own software is, once it is installed"""
BOARD_SCHEDULE: Final = "schedule.wpi"
"""Name of the power board's schedule in the state folder of a node's data"""

MADE_UP: Final = frozenset({"simulated", "replay", "faulty"})
"""Drivers without hardware"""

_PASSWORD: Final = re.compile(r"[!-~]([ -~]{6,61})[!-~]")
# Without letters and digits that look alike: it is typed from a label beside the case.
_ALPHABET: Final = "abcdefghjkmnpqrstuvwxyz23456789"


class InstallError(So2camError):
    """The node cannot be installed like this."""


@dataclass(frozen=True, slots=True)
class InstallSettings:
    """Everything that the files of one node are made from. ``site_bytes`` is the site file as it is written."""

    site: Site
    instrument: Instrument
    node: Node
    site_bytes: bytes
    site_files: tuple[tuple[str, bytes], ...] = ()
    """files that the site file names: path relative to it, content"""
    base: str = STATE
    """folder of the site file on the node, to which the data folder is relative"""
    program: str = PROGRAM
    access_point_password: str | None = None

    @property
    def data(self) -> str:
        """Folder of the node's data, absolute on the node."""
        folder = self.instrument.storage_of(self.node).folder
        return os.path.normpath(f"{self.base}/{folder}") if not folder.startswith("/") else folder

    @property
    def state(self) -> str:
        """Where the agent keeps its state, beside its data."""
        return f"{self.data}/{self.node.name}/state"

    @property
    def drives_board(self) -> bool:
        """Whether so2cam does for the power board what its own software does elsewhere."""
        schedule = self.instrument.schedule
        has_board = self.node.power is not None and self.node.power.driver in BOARDS
        return has_board and (schedule is None or schedule.power.board_folder is None)

    @property
    def socket(self) -> str:
        """Where the installed agent listens for commands."""
        return f"{RUN}/{self.node.name}.sock"

    @property
    def follower(self) -> Node | None:
        """The node that this one switches, if it leads."""
        if self.node.role != "lead":
            return None
        return next((node for node in self.instrument.nodes if node.role == "follower"), None)


def is_made_up(node: Node) -> bool:
    """Return whether no device of the node is real: a bench that runs by hand, of which no installation is expected."""
    return all(device.driver in MADE_UP for device in node.enabled)


def require_node(site: Site, name: str, file: Path) -> tuple[Instrument, Node]:
    """Return the instrument and the node called ``name``. Raises InstrumentError that names those there are."""
    if site.instrument is None:
        raise InstrumentError(
            "is missing", file=file, key="instrument", remedy="add [instrument] with at least one [[instrument.nodes]]"
        )
    names = [node.name for node in site.instrument.nodes]
    if name not in names:
        raise InstrumentError(
            f"there is no node {name!r}",
            file=file,
            key="instrument.nodes",
            value=names,
            remedy=f"choose one of them: --node {' or '.join(names)}",
        )
    return site.instrument, site.instrument.node(name)


def read_password(path: Path) -> str | None:
    """Return the access point's password from the secrets file; None where there is none.

    Raises InstallError where others can read the file, or the password is none that WPA2 takes (8 to 63 printable
    signs, none of them a space at an end).
    """
    try:
        mode = path.stat().st_mode
        if mode & (stat.S_IRWXG | stat.S_IRWXO):
            raise InstallError(
                "others can read this file, which holds a password", file=path, remedy=f"chmod 600 {path}"
            )
        found = tomllib.loads(path.read_text(encoding="utf-8")).get("access_point", {})
        password = found.get("password") if isinstance(found, dict) else None
    except FileNotFoundError:
        return None
    except OSError as error:
        raise InstallError(f"cannot be read: {error.strerror}", file=path, remedy="run this as root") from None
    except ValueError as error:
        raise InstallError(f"is not valid TOML: {error}", file=path, remedy="correct the file, or remove it") from None
    if password is None:
        return None
    if not isinstance(password, str) or not _PASSWORD.fullmatch(password):
        raise InstallError(
            "must be 8 to 63 printable signs without spaces at its ends",
            file=path,
            key="access_point.password",
            remedy="choose another password",
        )
    return password


def ensure_password(path: Path, *, write: bool) -> tuple[str, bool]:
    """Return the access point's password, and whether it was made just now.

    Where the secrets file has none, a new one is made and, with ``write``, added to the file, which only its owner can
    read. Raises InstallError as ``read_password`` does, and where the file cannot be written.
    """
    password = read_password(path)
    if password is not None:
        return password, False
    password = new_password()
    if write:
        try:
            present = path.read_bytes() if path.exists() else b""
        except OSError as error:
            raise InstallError(f"cannot be read: {error.strerror}", file=path, remedy="run this as root") from None

        def fill(temporary: Path) -> None:
            descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            with os.fdopen(descriptor, "wb") as stream:
                stream.write(present + (b"\n" if present else b"") + secrets_text(password).encode())

        atomic_write(path, fill)
    return password, True


def new_password() -> str:
    """Return a new password of 12 signs, easy to type and worth 59 bits."""
    return "".join(secrets.choice(_ALPHABET) for _ in range(12))


def secrets_text(password: str) -> str:
    """Return the text of a secrets file."""
    escaped = password.replace("\\", "\\\\").replace('"', '\\"')
    return (
        "# Secrets of this node: readable by root alone, and no part of the site file.\n\n"
        f'[access_point]\npassword = "{escaped}"\n'
    )
