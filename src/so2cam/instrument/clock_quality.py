"""How far the computer's clock can be trusted: read from the kernel, and from chrony where it runs."""

import contextlib
import ctypes
import functools
import subprocess
import sys
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, Literal

Quality = Literal["gps", "ntp", "synchronised", "free", "unset"]

EARLIEST: Final = datetime(2024, 1, 1, tzinfo=UTC)
"""No clock that was ever set says less: a computer without one starts in 1970, or where it stopped."""
_UNSYNCHRONISED: Final = 0x0040
_ERROR_STATE: Final = 5
_CHRONYC_S: Final = 3.0


@dataclass(frozen=True, slots=True)
class ClockQuality:
    """What is known of the clock.

    ``quality``: set by GPS, by a time server, by something (``synchronised``), running free, or never set. The errors
    are the kernel's or chrony's [s]; None where they are not known.
    """

    quality: Quality
    offset_s: float | None = None
    maximum_error_s: float | None = None


class _Timex(ctypes.Structure):
    """``struct timex`` of adjtimex(2), up to the status, with room for the rest."""

    _fields_ = [
        ("modes", ctypes.c_uint),
        ("offset", ctypes.c_long),
        ("freq", ctypes.c_long),
        ("maxerror", ctypes.c_long),
        ("esterror", ctypes.c_long),
        ("status", ctypes.c_int),
        ("room", ctypes.c_byte * 256),
    ]


def judge_clock(now: datetime, told: ClockQuality | None = None) -> ClockQuality:
    """Return the quality of the clock that says ``now``; microseconds of work.

    ``told`` is what the program that sets the clock said of it lately; without it the kernel is asked, which a
    confined service may not do, and which knows nothing of programs that do not tell it: then the clock counts as
    running free.
    """
    if now < EARLIEST:
        return ClockQuality("unset")
    if told is not None and told.quality not in ("free", "unset"):
        return told
    adjtimex = _adjtimex()
    if adjtimex is None:
        return ClockQuality("free")
    timex = _Timex()
    state = adjtimex(ctypes.byref(timex))
    if state < 0 or state == _ERROR_STATE or timex.status & _UNSYNCHRONISED:
        return ClockQuality("free")
    return ClockQuality("synchronised", None, timex.maxerror * 1e-6)


@functools.cache
def _adjtimex() -> Any:
    if not sys.platform.startswith("linux"):
        return None
    with contextlib.suppress(OSError, AttributeError):
        return ctypes.CDLL(None, use_errno=True).adjtimex
    return None


def chrony_quality(program: str = "chronyc") -> ClockQuality | None:
    """Return what chrony says of the clock, or None where it does not run. Waits at most 3 s."""
    try:
        done = subprocess.run(  # noqa: S603 - a fixed program without a shell
            [program, "-n", "-c", "tracking"], capture_output=True, text=True, timeout=_CHRONYC_S, check=False
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return parse_tracking(done.stdout) if done.returncode == 0 else None


def timesyncd_quality(run: Path = Path("/run/systemd/timesync")) -> ClockQuality | None:
    """Return what systemd's own time client says, or None where it has not set the clock."""
    return ClockQuality("ntp") if (run / "synchronized").exists() else None


def parse_tracking(text: str) -> ClockQuality | None:
    """Return the quality in the output of ``chronyc -c tracking``, or None where it is no such output.

    Fields: reference as hexadecimal, name or address, stratum, time, offset of the clock [s], last offset, root mean
    square offset, frequency, residual, skew, root delay, root dispersion, interval, leap status.
    """
    fields = text.strip().split(",")
    if len(fields) < 14:
        return None
    try:
        offset_s, delay_s, dispersion_s = float(fields[4]), float(fields[10]), float(fields[11])
    except ValueError:
        return None
    if fields[13] == "Not synchronised" or fields[0] == "00000000":
        return ClockQuality("free", offset_s)
    # A reference clock's name is four letters in place of an address; its hexadecimal form spells them.
    is_receiver = "." not in fields[1] and ":" not in fields[1]
    error_s = abs(offset_s) + 0.5 * delay_s + dispersion_s
    return ClockQuality("gps" if is_receiver else "ntp", offset_s, error_s)
