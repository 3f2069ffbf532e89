"""Lines of the header, through the kernel's GPIO character device (interface version 2, since Linux 5.10).

No program or library is needed. The layout of the structures and the numbers of the requests are those of
``linux/gpio.h``: a request has 592 bytes, of which the first 256 are 64 line numbers, then 32 for the consumer's name,
the configuration (272), the number of lines, and at the end the file descriptor that comes back.
"""

import fcntl
import os
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from so2cam_power.clock import Clock
from so2cam_power.errors import PowerError

CHIP_INFO = 0x8044B401
GET_LINE = 0xC250B407
GET_VALUES = 0xC010B40E
SET_VALUES = 0xC010B40F

INPUT = 1 << 2
OUTPUT = 1 << 3
PULL_UP = 1 << 8
PULL_DOWN = 1 << 9
NO_PULL = 1 << 10

_ATTRIBUTE_OUTPUT_VALUES = 2
_REQUEST = struct.Struct("=64I32sQI20x" + "I4xQQ" + 9 * "24x" + "II20xi")
_CHIP = struct.Struct("=32s32sI")
_VALUES = struct.Struct("=QQ")
_CONSUMER = b"so2cam"
# The chip of the 40-pin header: Raspberry Pi 1 to 4, and 5 (on its RP1).
_HEADER_LABELS = ("pinctrl-bcm2835", "pinctrl-bcm2711", "pinctrl-rp1")


class Lines(Protocol):
    """What the hooks need of the header."""

    def pulse_low(self, number: int, duration_s: float) -> None:
        """Pull a line to ground for ``duration_s`` [s], then let it go."""

    def pulse_high(self, number: int, duration_s: float) -> None:
        """Drive a line to 3.3 V for ``duration_s`` [s], then let it go: only for a board on the header itself."""

    def read(self, number: int, pull: int) -> bool:
        """Return the level of a line that nothing here drives, with a pull (PULL_UP, PULL_DOWN, NO_PULL)."""


class HeaderLines:
    """The lines of this computer's header.

    A line to the other computer is only ever pulled to ground and let go, never driven to 3.3 V: it may be without
    power, and its own pull-up makes the high level. A power board on the header has the same supply as the header.
    """

    def __init__(
        self,
        devices: Path = Path("/dev"),
        *,
        ioctl: Callable[[int, int, bytearray], int] = fcntl.ioctl,
        clock: Clock | None = None,
    ) -> None:
        self._devices = devices
        self._ioctl = ioctl
        self._clock = clock or Clock()

    def pulse_low(self, number: int, duration_s: float) -> None:
        """Pull line ``number`` to ground for ``duration_s`` [s], then let it go. Raises PowerError."""
        self._pulse(number, duration_s, level=0)

    def pulse_high(self, number: int, duration_s: float) -> None:
        """Drive line ``number`` to 3.3 V for ``duration_s`` [s], then let it go. Raises PowerError."""
        self._pulse(number, duration_s, level=1)

    def _pulse(self, number: int, duration_s: float, level: int) -> None:
        with self._line(number, OUTPUT | NO_PULL, level) as _:
            self._clock.sleep(duration_s)
        # Asked for as an input, so that the line is let go whatever the kernel leaves behind.
        with self._line(number, INPUT | (PULL_DOWN if level else NO_PULL)) as _:
            pass

    def read(self, number: int, pull: int) -> bool:
        """Return the level of line ``number`` with ``pull``; the pull is taken off again. Raises PowerError."""
        with self._line(number, INPUT | pull) as line:
            self._clock.sleep(0.01)
            values = bytearray(_VALUES.pack(0, 1))
            self._ask(line, GET_VALUES, values, number)
            level = bool(_VALUES.unpack(values)[0] & 1)
        with self._line(number, INPUT | NO_PULL) as _:
            pass
        return level

    def chip(self) -> Path:
        """Return the character device of the header. Raises PowerError where there is none."""
        for path in sorted(self._devices.glob("gpiochip*")):
            with self._opened(path) as chip:
                information = bytearray(_CHIP.size)
                self._ask(chip, CHIP_INFO, information, None)
                label = _CHIP.unpack(information)[1].split(b"\0", 1)[0].decode("ascii", "replace")
            if label in _HEADER_LABELS:
                return path
        raise PowerError("no GPIO header was found; is this a Raspberry Pi, and /dev/gpiochip* there?")

    @contextmanager
    def _line(self, number: int, flags: int, level: int = 0) -> Iterator[int]:
        offsets = [number] + [0] * 63
        # One attribute: the value of the output from the first moment on.
        count = 1 if flags & OUTPUT else 0
        request = bytearray(
            _REQUEST.pack(
                *offsets, _CONSUMER, flags, count, _ATTRIBUTE_OUTPUT_VALUES if count else 0, level, count, 1, 0, -1
            )
        )
        with self._opened(self.chip()) as chip:
            self._ask(chip, GET_LINE, request, number)
        line: int = _REQUEST.unpack(request)[-1]
        try:
            yield line
        finally:
            os.close(line)

    @contextmanager
    def _opened(self, path: Path) -> Iterator[int]:
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        except OSError as error:
            raise PowerError(f"{path} cannot be opened: {error.strerror}; is this run by root?") from None
        try:
            yield descriptor
        finally:
            os.close(descriptor)

    def _ask(self, descriptor: int, request: int, data: bytearray, number: int | None) -> None:
        try:
            self._ioctl(descriptor, request, data)
        except OSError as error:
            what = "the GPIO chip" if number is None else f"GPIO {number}"
            hint = "; another program holds it" if error.errno == 16 else ""
            raise PowerError(f"{what} cannot be used: {error.strerror}{hint}") from None
