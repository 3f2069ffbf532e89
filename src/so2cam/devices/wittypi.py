"""Power boards Witty Pi 3 and Witty Pi 4 over I2C: drivers ``wittypi3`` and ``wittypi4``.

Voltages, current, temperature, the board's clock, its two alarms, its voltage limits. Everything that is written is
read back. A transfer on the bus that fails is tried again a few times, because the microcontroller does not always
answer; then it is an error.

Options: ``bus`` (1), ``attempts`` (4), ``retry_s`` (0.05), ``identity`` (of a Witty Pi 4 of another build, such as the
Mini: what its register 0 holds; 0x26 if absent).

If the kernel's clock driver owns the clock chip of a Witty Pi 3 (``dtoverlay=i2c-rtc``), the bus answers "busy":
remove that overlay. This driver was tested against an imitation of the boards' registers only; it has not been run on
hardware by its authors.
"""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any, Final

from pydantic import Field

from so2cam.core.site_devices import PowerDevice
from so2cam.core.site_types import Table
from so2cam.core.times import require_utc
from so2cam.devices.errors import (
    DeviceDataError,
    DeviceMissingError,
    DeviceSettingError,
    DriverError,
    WrongDeviceError,
)
from so2cam.devices.i2c import BoardBus, open_bus
from so2cam.devices.options import check_options
from so2cam.devices.protocols import DeviceContext
from so2cam.devices.records import BoardAlarm, PowerReading
from so2cam.devices.wittypi_registers import (
    DS3231_ALARMS_ON,
    DS3231_BUSY,
    DS3231_CONTROL,
    DS3231_CONVERT,
    DS3231_RANG,
    DS3231_STARTUP_ON,
    DS3231_STATUS,
    DS3231_STOPPED,
    DS3231_TEMPERATURE,
    LM75B_TEMPERATURE,
    PCF85063_CONTROL,
    PCF85063_RANG,
    PCF85063_STOPPED,
    WAKE_REASONS,
    WITTY_PI_3,
    WITTY_PI_4,
    WITTY_PI_4_RANG,
    Registers,
    decode_alarm,
    decode_clock,
    decode_limit,
    decode_pair,
    decode_temperature,
    encode_alarm,
    encode_limit,
    require_alarm,
    to_bcd,
)

_BOARDS: Final = {"wittypi3": WITTY_PI_3, "wittypi4": WITTY_PI_4}
_CLOCK_TOLERANCE: Final = timedelta(seconds=2)


class WittyPiOptions(Table):
    """Options of the driver; see the module."""

    bus: int = Field(default=1, ge=0, le=32)
    attempts: int = Field(default=4, ge=1, le=20)
    retry_s: float = Field(default=0.05, ge=0, le=1)
    identity: int | None = Field(default=None, ge=0, le=255)


def create(settings: PowerDevice, context: DeviceContext) -> "WittyPi":
    """Return the board that ``settings`` describe; its driver's name says which. Raises DriverError."""
    board = _BOARDS.get(settings.driver)
    if board is None:
        raise DriverError("this driver is none of a Witty Pi", device=settings.name, value=settings.driver)
    return WittyPi(settings, board, check_options(WittyPiOptions, settings.options, settings.name), context)


class WittyPi:
    """A Witty Pi 3 or 4. Its methods may be called from any thread."""

    def __init__(
        self,
        settings: PowerDevice,
        board: Registers,
        options: WittyPiOptions,
        context: DeviceContext,
        opener: Callable[[str, int], Any] = open_bus,
    ) -> None:
        self._name = settings.name
        self._board = board
        self._options = options
        self._context = context
        self._bus = BoardBus(
            settings.name,
            options.bus,
            context.stop,
            attempts=options.attempts,
            retry_s=options.retry_s,
            opener=opener,
        )

    def open(self, timeout_s: float) -> str:
        """See ``PowerManager.open``."""
        with self._bus.lock:
            if not self._bus.is_open:
                self._bus.open()
                try:
                    self._identify()
                except (DeviceMissingError, WrongDeviceError):
                    self.close()
                    raise
        return self._board.model

    def close(self) -> None:
        """See ``PowerManager.close``."""
        self._bus.close()

    def read(self) -> PowerReading:
        """See ``PowerManager.read``."""
        board = self._board
        with self._bus.lock:
            mode = self._bus.read(board.controller, board.power_mode)
            reason = None if board.reason is None else self._bus.read(board.controller, board.reason)
            firmware = None if board.firmware is None else self._bus.read(board.controller, board.firmware)
            return PowerReading(
                time=self._context.clock.utc(),
                model=board.model,
                firmware="unknown" if firmware is None else str(firmware),
                input_voltage_v=self._pair(board.input_voltage) if mode != 0 else None,
                output_voltage_v=self._pair(board.output_voltage),
                output_current_a=self._pair(board.output_current),
                temperature_c=self._temperature(),
                on_battery_input=mode != 0,
                low_voltage_v=decode_limit(self._bus.read(board.controller, board.low_voltage)),
                recovery_voltage_v=decode_limit(self._bus.read(board.controller, board.recovery_voltage)),
                wake_reason=None if reason is None else WAKE_REASONS.get(reason, f"code {reason}"),
                clock=self.clock(),
            )

    def clock(self) -> datetime | None:
        """Return the board's clock, UTC to the second; None where it lost its power or holds nonsense."""
        board = self._board
        with self._bus.lock:
            if board.ds3231 and self._bus.read(board.clock_address, DS3231_STATUS) & DS3231_STOPPED:
                return None
            numbers = (board.seconds, board.minutes, board.hours, board.day, board.month, board.year)
            read = self._bus.read_together(board.clock_address, numbers)
        if not board.ds3231 and read[0] & PCF85063_STOPPED:
            return None
        try:
            time = decode_clock(*read)
        except ValueError:
            return None
        return None if time.year == 2000 else time

    def set_clock(self, time: datetime) -> None:
        """See ``PowerManager.set_clock``. The board has whole seconds: the nearest one is written."""
        board = self._board
        utc = require_utc(time) + timedelta(milliseconds=500)
        with self._bus.lock:
            for number, value in (
                (board.seconds, utc.second),
                (board.minutes, utc.minute),
                (board.hours, utc.hour),
                (board.weekday, utc.isoweekday() if board.ds3231 else utc.isoweekday() % 7),
                (board.day, utc.day),
                (board.month, utc.month),
                (board.year, utc.year % 100),
            ):
                self._bus.write_once(board.clock_address, number, to_bcd(value))
            if board.ds3231:
                status = self._bus.read(board.clock_address, DS3231_STATUS)
                self._bus.write_once(board.clock_address, DS3231_STATUS, status & ~DS3231_STOPPED & 0xFF)
            found = self.clock()
        if found is None or abs(found - utc) > _CLOCK_TOLERANCE:
            raise DeviceDataError(
                f"the board's clock does not take the time {utc:%Y-%m-%d %H:%M:%S} UTC",
                device=self._name,
                value=None if found is None else found.isoformat(),
                remedy="change the board's coin cell",
            )

    def startup(self) -> BoardAlarm | None:
        """See ``PowerManager.startup``."""
        return self._alarm(self._board.startup)

    def shutdown(self) -> BoardAlarm | None:
        """See ``PowerManager.shutdown``."""
        return self._alarm(self._board.shutdown)

    def set_startup(self, alarm: BoardAlarm | None) -> None:
        """See ``PowerManager.set_startup``."""
        self._set_alarm(self._board.startup, alarm, "startup")

    def set_shutdown(self, alarm: BoardAlarm | None) -> None:
        """See ``PowerManager.set_shutdown``. A Witty Pi 3 has no second in this alarm: it must be 0."""
        if alarm is not None and alarm.second and len(self._board.shutdown) == 3:
            raise self._setting_error("shutdown", alarm, f"the {self._board.model} switches off at whole minutes only")
        self._set_alarm(self._board.shutdown, alarm, "shutdown")

    def prepare_halt(self) -> None:
        """See ``PowerManager.prepare_halt``. The board cuts the power itself, when the computer has halted."""
        address = self._board.clock_address
        with self._bus.lock:
            if self._board.ds3231:
                status = self._bus.read(address, DS3231_STATUS)
                self._bus.write_once(address, DS3231_STATUS, status & ~DS3231_RANG & 0xFF)
                self._bus.write(address, DS3231_CONTROL, DS3231_STARTUP_ON)
                return
            control = self._bus.read(address, PCF85063_CONTROL)
            self._bus.write_once(address, PCF85063_CONTROL, control & ~PCF85063_RANG & 0xFF)
            for register in WITTY_PI_4_RANG:
                self._bus.write(self._board.controller, register, 0)

    def set_voltage_limits(self, low_v: float | None, recovery_v: float | None) -> None:
        """See ``PowerManager.set_voltage_limits``. The recovery must lie above the low limit."""
        if low_v is not None and recovery_v is not None and recovery_v <= low_v:
            raise self._setting_error("recovery_voltage_v", recovery_v, f"must be above the low voltage of {low_v:g} V")
        try:
            low, recovery = encode_limit(low_v), encode_limit(recovery_v)
        except ValueError as error:
            raise self._setting_error("voltage limits", (low_v, recovery_v), str(error)) from error
        with self._bus.lock:
            self._bus.write(self._board.controller, self._board.low_voltage, low)
            self._bus.write(self._board.controller, self._board.recovery_voltage, recovery)

    def _identify(self) -> None:
        board = self._board
        identity = self._bus.read(board.controller, 0)
        wanted = board.identity if self._options.identity is None else self._options.identity
        if wanted is not None and identity != wanted:
            raise WrongDeviceError(
                f"the board at 0x{board.controller:02x} is no {board.model}",
                device=self._name,
                value=f"identity 0x{identity:02x}",
                remedy="correct the driver of the power board in the site file (wittypi3 or wittypi4); for another "
                f"build of this board set its options.identity = {identity}",
            )
        self._bus.read(board.clock_address, board.seconds)

    def _alarm(self, registers: tuple[int, ...]) -> BoardAlarm | None:
        read = self._bus.read_together(self._board.clock_address, registers)
        second, minute, hour, day = read if len(read) == 4 else (0, *read)
        try:
            return decode_alarm(second, minute, hour, day)
        except ValueError as error:
            raise DeviceDataError(f"an alarm of the board makes no sense: {error}", device=self._name) from error

    def _set_alarm(self, registers: tuple[int, ...], alarm: BoardAlarm | None, key: str) -> None:
        if alarm is not None:
            try:
                require_alarm(alarm, may_repeat=self._board.ds3231)
            except ValueError as error:
                raise self._setting_error(key, alarm, str(error)) from error
        encoded = encode_alarm(alarm)[-len(registers) :]
        with self._bus.lock:
            if self._board.ds3231:
                self._bus.write(self._board.clock_address, DS3231_CONTROL, DS3231_ALARMS_ON)
            for number, byte in zip(registers, encoded, strict=True):
                self._bus.write(self._board.clock_address, number, byte)

    def _pair(self, register: int) -> float:
        whole, hundredths = self._bus.read_together(self._board.controller, (register, register + 1))
        return decode_pair(whole, hundredths)

    def _temperature(self) -> float | None:
        """Return the board's temperature [degrees C]."""
        address = self._board.clock_address
        if not self._board.ds3231:
            # The microcontroller passes the two bytes of the LM75B as one word, high byte first.
            word = self._bus.read_word(address, LM75B_TEMPERATURE)
            return decode_temperature(word & 0xFF, word >> 8 & 0xFF, fraction_bits=3)
        if not self._bus.read(address, DS3231_STATUS) & DS3231_BUSY:
            control = self._bus.read(address, DS3231_CONTROL)
            self._bus.write_once(address, DS3231_CONTROL, control | DS3231_CONVERT)
        # A conversion takes at most 0.2 s; until then the registers hold the one before, at most 64 s old.
        high, low = self._bus.read_together(address, (DS3231_TEMPERATURE, DS3231_TEMPERATURE + 1))
        return decode_temperature(high, low, fraction_bits=2)

    def _setting_error(self, key: str, value: object, message: str) -> DeviceSettingError:
        return DeviceSettingError(message, device=self._name, key=f"{self._name}.{key}", value=value)
