"""What goes wrong with a device. The kind of error says what the supervisor does next."""

from pathlib import Path
from typing import ClassVar

from so2cam.core.errors import So2camError


class DeviceError(So2camError):
    """A device does not do what it should.

    ``reopen`` says that closing and opening the device may help, ``restart`` that only a new process does: something
    of the vendor's library hangs in this one.
    """

    reopen: ClassVar[bool] = True
    restart: ClassVar[bool] = False

    def __init__(
        self,
        message: str,
        *,
        device: str | None = None,
        file: Path | str | None = None,
        key: str | None = None,
        value: object = None,
        remedy: str | None = None,
    ) -> None:
        super().__init__(message, file=file, key=device if key is None else key, value=value, remedy=remedy)
        self.device = device


class DeviceMissingError(DeviceError):
    """The device is not connected, or was unplugged."""


class WrongDeviceError(DeviceError):
    """Another device than the site file names is connected: its serial number, model or board differs."""


class DeviceTimeoutError(DeviceError):
    """The device did not answer in time."""


class DeviceStuckError(DeviceTimeoutError):
    """A call into the vendor's library does not return: only a new process helps."""

    restart = True


class DeviceDataError(DeviceError):
    """The device gave data that cannot be: wrong shape, counts above its bits, an old frame, another exposure."""


class DeviceSettingError(DeviceError):
    """A setting that the device cannot have. The device is as it was."""

    reopen = False


class DriverError(DeviceError):
    """A driver or the vendor's library behind it is missing or too old."""

    reopen = False


class DeviceStoppedError(DeviceError):
    """A wait ended because the program stops. No fault of the device."""

    reopen = False
