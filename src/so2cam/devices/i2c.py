"""Bytes to and from a board on the I2C bus: with some attempts, a lock, and errors in words."""

import errno
import threading
from collections.abc import Callable
from typing import Any, Final, TypeVar

from so2cam.devices.errors import DeviceDataError, DeviceMissingError, DeviceStoppedError, DriverError

MISSING: Final = "check that the board sits well, and that I2C is on: sudo raspi-config nonint do_i2c 0"
_TORN_READS: Final = 3

_T = TypeVar("_T")


def open_bus(device: str, number: int) -> Any:
    """Return the I2C bus. Raises DriverError without the library smbus2, DeviceMissingError without the bus."""
    try:
        import smbus2
    except ImportError as error:
        raise DriverError(
            f"smbus2 cannot be imported: {error}", device=device, remedy="install it: pip install 'so2cam[instrument]'"
        ) from error
    try:
        return smbus2.SMBus(number)
    except OSError as error:
        raise DeviceMissingError(
            f"the I2C bus {number} cannot be opened: {error}", device=device, remedy=MISSING
        ) from error


class BoardBus:
    """The bus as one board uses it. ``lock`` may be held over several transfers that belong together."""

    def __init__(
        self,
        device: str,
        number: int,
        stop: threading.Event,
        *,
        attempts: int,
        retry_s: float,
        opener: Callable[[str, int], Any] = open_bus,
    ) -> None:
        self.lock = threading.RLock()
        self._device = device
        self._number = number
        self._stop = stop
        self._attempts = attempts
        self._retry_s = retry_s
        self._opener = opener
        self._bus: Any = None

    @property
    def is_open(self) -> bool:
        """Whether the bus is open."""
        return self._bus is not None

    def open(self) -> None:
        """Open the bus. Raises DriverError, DeviceMissingError."""
        with self.lock:
            if self._bus is None:
                self._bus = self._opener(self._device, self._number)

    def close(self) -> None:
        """Let the bus go."""
        with self.lock:
            bus, self._bus = self._bus, None
            if bus is not None:
                bus.close()

    def read_together(self, address: int, registers: tuple[int, ...]) -> tuple[int, ...]:
        """Return bytes that belong together: read until two readings agree, so that no count falls between them."""
        with self.lock:
            last = tuple(self.read(address, register) for register in registers)
            for _ in range(_TORN_READS):
                again = tuple(self.read(address, register) for register in registers)
                if again == last:
                    break
                last = again
        return last

    def read(self, address: int, register: int) -> int:
        """Return a byte. Raises DeviceMissingError where the board does not answer."""
        byte = self._try(lambda: int(self._bus.read_byte_data(address, register)), "read")
        if not 0 <= byte <= 0xFF:
            raise DeviceDataError("the bus gave no byte", device=self._device, value=byte)
        return byte

    def write(self, address: int, register: int, byte: int) -> None:
        """Write a byte and read it back, with some attempts. Raises DeviceDataError where it differs."""
        for attempt in range(self._attempts):
            self.write_once(address, register, byte)
            if self.read(address, register) == byte:
                return
            self._pause(attempt)
        raise DeviceDataError(
            f"register {register} of the board does not take 0x{byte:02x}", device=self._device, remedy=MISSING
        )

    def read_word(self, address: int, register: int) -> int:
        """Return two bytes, the first one lowest. Raises DeviceMissingError where the board does not answer."""
        return self._try(lambda: int(self._bus.read_word_data(address, register)), "read")

    def write_once(self, address: int, register: int, byte: int) -> None:
        """Write a byte without reading it back: for registers that change by themselves."""
        self._try(lambda: self._bus.write_byte_data(address, register, byte), "written")

    def _try(self, transfer: Callable[[], _T], what: str) -> _T:
        with self.lock:
            if self._bus is None:
                raise DeviceMissingError("the board is not open", device=self._device)
            for attempt in range(self._attempts):
                try:
                    return transfer()
                except OSError as error:
                    if attempt + 1 == self._attempts or error.errno == errno.EBUSY:
                        busy = error.errno == errno.EBUSY
                        remedy = "remove dtoverlay=i2c-rtc from /boot/firmware/config.txt" if busy else MISSING
                        raise DeviceMissingError(
                            f"the board cannot be {what}: {error}", device=self._device, remedy=remedy
                        ) from error
                self._pause(attempt)
        raise DeviceMissingError(f"the board cannot be {what}", device=self._device, remedy=MISSING)

    def _pause(self, attempt: int) -> None:
        if self._stop.wait(self._retry_s * (attempt + 1)):
            raise DeviceStoppedError("the transfer was given up, because the program stops", device=self._device)
