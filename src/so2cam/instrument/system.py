"""What the computer says of itself. What cannot be read is None; nothing here waits for longer than seconds."""

import contextlib
import os
import shutil
import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from so2cam.core.health import DiskHealth, SystemHealth

_THERMAL: Final = Path("/sys/class/thermal/thermal_zone0/temp")
_THROTTLED: Final = (
    Path("/sys/devices/platform/soc/soc:firmware/get_throttled"),
    Path("/sys/devices/platform/soc@107c000000/soc@107c000000:firmware/get_throttled"),
)
_BITS: Final = {
    0: "under-voltage now",
    1: "clock limited now",
    2: "throttled now",
    3: "soft temperature limit now",
    16: "under-voltage since the start",
    17: "clock was limited since the start",
    18: "was throttled since the start",
    19: "soft temperature limit was reached since the start",
}
"""The Raspberry Pi firmware's bits of get_throttled, as its documentation lists them."""
_VCGENCMD_S: Final = 2.0


def read_system(process_ids: Iterable[int], *, boots: int | None, starts: int | None) -> SystemHealth:
    """Return the state of the computer; ``process_ids`` are those whose memory counts as the agent's."""
    return SystemHealth(
        cpu_temperature_c=_thousandths(_THERMAL),
        throttled=describe_throttled(_read_throttled()),
        load=_load(),
        memory_free_bytes=_available_memory(),
        agent_memory_bytes=_memory_of(process_ids),
        uptime_s=_uptime(),
        boots=boots,
        starts=starts,
    )


def boot_id() -> str | None:
    """Return what tells this start of the computer from others; None where the system does not tell."""
    return _text(Path("/proc/sys/kernel/random/boot_id"))


def read_disk(name: str, path: Path) -> DiskHealth:
    """Return how full the disk of ``path`` is."""
    try:
        usage = shutil.disk_usage(path)
    except OSError as error:
        return DiskHealth(name=name, path=str(path), present=False, note=error.strerror or str(error))
    return DiskHealth(name=name, path=str(path), present=True, free_bytes=usage.free, total_bytes=usage.total)


def describe_throttled(bits: int | None) -> tuple[str, ...]:
    """Return what the firmware's bits mean."""
    return () if bits is None else tuple(text for bit, text in _BITS.items() if bits >> bit & 1)


def _read_throttled() -> int | None:
    for path in _THROTTLED:
        text = _text(path)
        if text is not None:
            with contextlib.suppress(ValueError):
                return int(text, 16)
    program = shutil.which("vcgencmd")
    if program is None:
        return None
    with contextlib.suppress(OSError, subprocess.SubprocessError, ValueError):
        done = subprocess.run(  # noqa: S603 - a fixed program without a shell
            [program, "get_throttled"], capture_output=True, text=True, timeout=_VCGENCMD_S, check=True
        )
        return int(done.stdout.partition("=")[2].strip(), 16)
    return None


def _text(path: Path) -> str | None:
    with contextlib.suppress(OSError, UnicodeDecodeError):
        return path.read_text(encoding="ascii").strip()
    return None


def _thousandths(path: Path) -> float | None:
    text = _text(path)
    with contextlib.suppress(ValueError):
        return None if text is None else int(text) / 1000
    return None


def _load() -> float | None:
    with contextlib.suppress(OSError):
        return os.getloadavg()[0]
    return None


def _available_memory() -> int | None:
    for line in (_text(Path("/proc/meminfo")) or "").splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    return None


def _memory_of(process_ids: Iterable[int]) -> int | None:
    total = None
    for number in process_ids:
        text = _text(Path(f"/proc/{number}/statm"))
        if text is not None:
            total = (total or 0) + int(text.split()[1]) * os.sysconf("SC_PAGE_SIZE")
    return total


def _uptime() -> float | None:
    text = _text(Path("/proc/uptime"))
    return None if text is None else float(text.split()[0])
