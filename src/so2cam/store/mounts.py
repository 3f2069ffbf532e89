"""Finding an external disk by its label, and telling whether it is mounted, writable, and another disk at all."""

import os
import re
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final

BY_LABEL: Final = Path("/dev/disk/by-label")
MOUNTS: Final = Path("/proc/mounts")
VOLUMES: Final = Path("/Volumes")
"""Where macOS mounts disks, each by its label."""
_ESCAPE = re.compile(r"\\([0-7]{3})")
_PLAIN: Final = frozenset("#+-.:=@_")


@dataclass(frozen=True, slots=True)
class Mount:
    """One line of the system's table of mounted file systems."""

    device: str
    path: Path
    file_system: str
    read_only: bool


@dataclass(frozen=True, slots=True)
class FoundDisk:
    """What was found of a disk: where it is mounted, or why it cannot be used (``problem``)."""

    path: Path | None
    problem: str = ""


def parse_mounts(text: str) -> tuple[Mount, ...]:
    """Return the entries of ``/proc/mounts``; lines that are none are left out."""
    found = []
    for line in text.splitlines():
        fields = [_ESCAPE.sub(lambda match: chr(int(match[1], 8)), field) for field in line.split(" ")]
        if len(fields) >= 4:
            found.append(Mount(fields[0], Path(fields[1]), fields[2], "ro" in fields[3].split(",")))
    return tuple(found)


def encode_label(label: str) -> str:
    r"""Return a label as udev writes it into names: all but letters, digits and ``#+-.:=@_`` as ``\xNN``."""
    return "".join(
        character
        if (character.isascii() and (character.isalnum() or character in _PLAIN)) or ord(character) > 127
        else "".join(f"\\x{byte:02x}" for byte in character.encode())
        for character in label
    )


def find_by_label(label: str, *, by_label: Path = BY_LABEL, mounts: Path = MOUNTS) -> FoundDisk:
    """Return where the disk of this label is mounted for writing, or why it is not."""
    if sys.platform == "darwin":
        volume = VOLUMES / label
        return FoundDisk(volume) if volume.is_mount() else FoundDisk(None, f"no disk with the label {label!r} is there")
    link = by_label / encode_label(label)
    try:
        device = os.path.realpath(link, strict=True)
        entries = parse_mounts(mounts.read_text(errors="surrogateescape"))
    except OSError:
        return FoundDisk(None, f"no disk with the label {label!r} is there")
    usable = [entry for entry in entries if os.path.realpath(entry.device) == device]
    if not usable:
        return FoundDisk(None, f"the disk {label!r} is there but not mounted; see `so2cam instrument doctor`")
    writable = [entry for entry in usable if not entry.read_only]
    if not writable:
        return FoundDisk(None, f"the disk {label!r} is mounted read-only at {usable[0].path}; check its file system")
    return FoundDisk(writable[0].path)


def check_folder(path: Path, *, other_than: Path | None) -> FoundDisk:
    """Return the folder ``path`` as a disk, if it is there and not on the disk of ``other_than``."""
    try:
        device = path.stat().st_dev
        if not path.is_dir():
            return FoundDisk(None, f"{path} is no folder")
        if other_than is not None and device == other_than.stat().st_dev:
            return FoundDisk(None, f"{path} is on the same disk as the data: is the external disk mounted there?")
    except OSError as error:
        return FoundDisk(None, f"{path} cannot be used: {error.strerror or error}")
    return FoundDisk(path)
