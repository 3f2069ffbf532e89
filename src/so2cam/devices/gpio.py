"""The wires between two computers, as lines of the header: driver ``gpiozero``.

All lines are active low: a line at rest is held high by a pull-up resistor, and a pulse pulls it to ground. Between
pulses an output is an input without pull, so that nothing feeds a computer that is switched off. On the follower
GPIO 3 has a resistor of its own (a pulse there starts a halted computer), GPIO 21 gets the built-in one.

Wiring as existing instruments have it: lead {start-follower = 23, stop-follower = 16}, follower {start = 3, stop = 21}.

There are no options; gpiozero chooses the pin library (lgpio on Raspberry Pi OS).

This driver was tested with gpiozero's own mock pins only; it has not been run on hardware by its authors.
"""

import contextlib
from typing import Any, Final

from so2cam.core.site_devices import GpioDevice
from so2cam.core.site_types import Table
from so2cam.devices.errors import DeviceMissingError, DeviceSettingError, DeviceStoppedError, DriverError
from so2cam.devices.options import check_options
from so2cam.devices.protocols import DeviceContext

LONGEST_PULSE_S: Final = 30.0
_MISSING: Final = "run on the Raspberry Pi, as a member of the group gpio, and see that no other program has the line"


class GpioOptions(Table):
    """Options of the driver: none."""


def create(settings: GpioDevice, context: DeviceContext) -> "GpiozeroLines":
    """Return the lines that ``settings`` describe. gpiozero is imported when they are opened."""
    check_options(GpioOptions, settings.options, settings.name)
    return GpiozeroLines(settings, context)


def load_gpiozero(device: str) -> Any:
    """Return the module gpiozero. Raises DriverError where it is not there."""
    try:
        import gpiozero
    except ImportError as error:
        raise DriverError(
            f"gpiozero cannot be imported: {error}",
            device=device,
            remedy="install it: pip install 'so2cam[instrument]'; on the Raspberry Pi: sudo apt install python3-lgpio",
        ) from error
    return gpiozero


class GpiozeroLines:
    """Lines of the header."""

    def __init__(self, settings: GpioDevice, context: DeviceContext, vendor: Any = None) -> None:
        self._name = settings.name
        self._settings = settings
        self._context = context
        self._vendor = vendor
        self._inputs: dict[str, Any] = {}
        self._open = False

    def open(self, timeout_s: float) -> tuple[str, ...]:
        """See ``GpioLines.open``."""
        purposes = (*self._settings.outputs, *self._settings.inputs)
        if self._open:
            return purposes
        if self._vendor is None:
            self._vendor = load_gpiozero(self._name)
        try:
            for purpose, number in self._settings.outputs.items():
                self._vendor.InputDevice(number, pull_up=None, active_state=False).close()
                self._inputs.pop(purpose, None)
            for purpose, number in self._settings.inputs.items():
                self._inputs[purpose] = self._vendor.DigitalInputDevice(number, pull_up=True)
        except (self._vendor.GPIOZeroError, OSError) as error:
            self.close()
            raise DeviceMissingError(
                f"the line of {purpose!r}, GPIO {number}, cannot be used: {error}", device=self._name, remedy=_MISSING
            ) from error
        self._open = True
        return purposes

    def close(self) -> None:
        """See ``GpioLines.close``."""
        self._open = False
        inputs, self._inputs = self._inputs, {}
        for line in inputs.values():
            with contextlib.suppress(OSError):
                line.close()

    def pulse(self, purpose: str, seconds: float) -> None:
        """See ``GpioLines.pulse``."""
        self._require_open()
        number = self._settings.outputs.get(purpose)
        if number is None:
            raise self._unknown(purpose, tuple(self._settings.outputs), "output")
        if not 0 < seconds <= LONGEST_PULSE_S:
            raise DeviceSettingError(
                f"a pulse lasts more than 0 and at most {LONGEST_PULSE_S:g} s", device=self._name, value=seconds
            )
        try:
            line = self._vendor.OutputDevice(number, active_high=False, initial_value=True)
        except (self._vendor.GPIOZeroError, OSError) as error:
            raise DeviceMissingError(
                f"the line of {purpose!r}, GPIO {number}, cannot be used: {error}", device=self._name, remedy=_MISSING
            ) from error
        try:
            stopped = self._context.stop.wait(seconds)
        finally:
            line.close()
        if stopped:
            raise DeviceStoppedError("the pulse was cut short, because the program stops", device=self._name)

    def active(self, purpose: str) -> bool:
        """See ``GpioLines.active``."""
        self._require_open()
        line = self._inputs.get(purpose)
        if line is None:
            raise self._unknown(purpose, tuple(self._settings.inputs), "input")
        try:
            return bool(line.is_active)
        except (self._vendor.GPIOZeroError, OSError) as error:
            raise DeviceMissingError(f"the line of {purpose!r} cannot be read: {error}", device=self._name) from error

    def _require_open(self) -> None:
        if not self._open:
            raise DeviceMissingError("the lines are not open", device=self._name)

    def _unknown(self, purpose: str, known: tuple[str, ...], what: str) -> DeviceSettingError:
        return DeviceSettingError(
            f"is no {what} of the site file",
            device=self._name,
            value=purpose,
            remedy=f"{what}s are: {', '.join(known) or 'none'}",
        )
