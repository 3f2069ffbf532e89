"""What an agent remembers from start to start, in one small file that is written whole or not at all."""

import json
import logging
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

from so2cam.core.errors import OutputError
from so2cam.core.times import format_utc, parse_utc
from so2cam.store.atomic import atomic_write_bytes

_LOG = logging.getLogger(__name__)
Battery = Literal["good", "low", "recovering"]


@dataclass(frozen=True, slots=True)
class Held:
    """A device of which a manual calibration goes on since ``since``: its exposure stays."""

    exposure_s: float
    coadds: int
    since: datetime


@dataclass(slots=True)
class Memory:
    """The memory. ``used`` holds exposures since the last dark set, by device, in microseconds, with their counts.

    ``held``: manual calibrations that go on, by device.
    """

    starts: int = 0
    boots: int = 0
    boot_id: str | None = None
    last_darks: datetime | None = None
    battery: Battery = "good"
    used: dict[str, dict[str, int]] = field(default_factory=dict)
    held: dict[str, Held] = field(default_factory=dict)
    rebooting: tuple[str, str] | None = None
    """The errand for which the computer is to be rebooted, and the id of the boot before."""

    def note_start(self, boot_id: str | None) -> None:
        """Count a start of the agent, and of the computer if it is another one."""
        self.starts += 1
        if boot_id is None or boot_id != self.boot_id:
            self.boots += 1
            self.boot_id = boot_id


def load_memory(path: Path) -> Memory:
    """Return what is remembered; a broken or missing file means nothing, and is no reason not to start."""
    try:
        content = json.loads(path.read_bytes())
        return _parse(content)
    except FileNotFoundError:
        return Memory()
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        _LOG.warning(
            "the memory of earlier starts cannot be read, and begins anew: %s",
            getattr(error, "strerror", None) or error,
        )
        return Memory()


def save_memory(path: Path, memory: Memory) -> bool:
    """Write the memory; return whether that was possible. Where it was not, the agent goes on."""
    content = {
        "starts": memory.starts,
        "boots": memory.boots,
        "boot_id": memory.boot_id,
        "last_darks": None if memory.last_darks is None else format_utc(memory.last_darks),
        "battery": memory.battery,
        "used": memory.used,
        "held": {
            name: {"exposure_s": one.exposure_s, "coadds": one.coadds, "since": format_utc(one.since)}
            for name, one in memory.held.items()
        },
        "rebooting": memory.rebooting,
    }
    try:
        atomic_write_bytes(path, (json.dumps(content, indent=1) + "\n").encode())
    except OutputError as error:
        _LOG.warning("the memory cannot be kept: %s", " ".join(str(error).split()))
        return False
    return True


def _parse(content: dict[str, Any]) -> Memory:
    battery = content.get("battery", "good")
    if battery not in ("good", "low", "recovering"):
        raise ValueError(f"battery is {battery!r}")
    used = {
        str(name): {str(exposure): int(count) for exposure, count in counts.items()}
        for name, counts in content.get("used", {}).items()
    }
    darks = content.get("last_darks")
    return Memory(
        starts=int(content["starts"]),
        boots=int(content["boots"]),
        boot_id=content.get("boot_id"),
        last_darks=None if darks is None else parse_utc(darks),
        battery=battery,
        used=used,
        held={
            str(name): Held(float(one["exposure_s"]), int(one["coadds"]), parse_utc(one["since"]))
            for name, one in content.get("held", {}).items()
        },
        rebooting=_rebooting(content.get("rebooting")),
    )


def _rebooting(content: Any) -> tuple[str, str] | None:
    return None if content is None else (str(content[0]), str(content[1]))
