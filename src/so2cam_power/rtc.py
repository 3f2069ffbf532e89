"""The time of the power board's clock for a computer that starts without one.

A Raspberry Pi has no clock of its own: without GPS or network it starts at the time of its last shutdown, or in 1970.
The board's clock runs on. It is only believed where it is ahead; it never turns the system's time back.
"""

import fcntl
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime

from so2cam_power.errors import PowerError

I2C_SLAVE = 0x0703
_EARLIEST = 1_704_067_200
"""2024: no instrument of this kind has run before"""
_LATEST = 4_102_444_800
"""2100"""
_AHEAD_S = 10


@dataclass(frozen=True)
class BoardClock:
    """Where a board keeps its time: I2C address, registers from second to year, and what says that it stopped."""

    address: int
    seconds: int
    minutes: int
    hours: int
    day: int
    month: int
    year: int
    stopped_register: int


# From the data sheet of DS3231 (Witty Pi 3) and the vendor's register table of Witty Pi 4 (PCF85063 behind 0x08).
CLOCKS = {
    "wittypi3": BoardClock(0x68, 0x00, 0x01, 0x02, 0x04, 0x05, 0x06, stopped_register=0x0F),
    "wittypi4": BoardClock(0x08, 58, 59, 60, 61, 63, 64, stopped_register=58),
}
_STOPPED = 0x80

Read = Callable[[int], int]


def set_clock(
    board: str,
    *,
    read: Read | None = None,
    now: Callable[[], float] = time.time,
    settime: Callable[[float], None] | None = None,
) -> str:
    """Set the system's clock by the board's where that is ahead; return what was done.

    ``read`` gives a register's byte. Raises PowerError where the board is unknown or silent, its clock had stopped, or
    the system refuses.
    """
    if board not in CLOCKS:
        raise PowerError(f"there is no clock on a board {board!r}")
    clock = CLOCKS[board]
    if read is not None:
        seconds = read_clock(clock, read)
    else:
        with _registers(clock.address) as ask:
            seconds = read_clock(clock, ask)
    ahead = seconds - now()
    if ahead < _AHEAD_S:
        return "the system's clock is not behind the board's"
    try:
        (settime or (lambda value: time.clock_settime(time.CLOCK_REALTIME, value)))(float(seconds))
    except OSError as error:
        raise PowerError(f"the clock cannot be set: {error.strerror}; is this run by root?") from None
    return f"the clock was {ahead:.0f} s behind the board's, and is set by it"


def read_clock(clock: BoardClock, read: Read) -> int:
    """Return the board's time, in seconds since 1970. Raises PowerError where it means nothing."""
    if read(clock.stopped_register) & _STOPPED:
        raise PowerError("the board's clock had stopped: its battery is empty or missing")
    for _ in range(3):
        second = _decimals(read(clock.seconds) & 0x7F)
        minute, hour = _decimals(read(clock.minutes) & 0x7F), _decimals(read(clock.hours) & 0x3F)
        day, month = _decimals(read(clock.day) & 0x3F), _decimals(read(clock.month) & 0x1F)
        year = 2000 + _decimals(read(clock.year))
        if _decimals(read(clock.seconds) & 0x7F) != second:
            continue  # A second went by while it was read.
        try:
            found = int(datetime(year, month, day, hour, minute, second, tzinfo=UTC).timestamp())
        except ValueError:
            raise PowerError("the board's clock holds no time") from None
        if not _EARLIEST <= found < _LATEST:
            raise PowerError(f"the board's clock is at {year}-{month:02d}-{day:02d}, which it cannot be")
        return found
    raise PowerError("the board's clock cannot be read twice alike")


def _decimals(byte: int) -> int:
    if byte >> 4 > 9 or byte & 0x0F > 9:
        raise PowerError("the board's clock holds no time")
    return 10 * (byte >> 4) + (byte & 0x0F)


@contextmanager
def _registers(address: int, path: str = "/dev/i2c-1") -> Iterator[Read]:
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except OSError as error:
        raise PowerError(f"{path} cannot be opened: {error.strerror}") from None

    def read(number: int) -> int:
        try:
            os.write(descriptor, bytes([number]))
            return os.read(descriptor, 1)[0]
        except (OSError, IndexError):
            raise PowerError(f"the board does not answer at 0x{address:02x}") from None

    try:
        fcntl.ioctl(descriptor, I2C_SLAVE, address)
        yield read
    except OSError as error:
        raise PowerError(f"the board cannot be asked: {error.strerror}") from None
    finally:
        os.close(descriptor)
