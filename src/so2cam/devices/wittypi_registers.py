"""Registers of the power boards Witty Pi 3 and 4, and what their bytes mean. Pure functions of bytes.

Witty Pi 3 has a clock chip of its own (DS3231 at 0x68: clock, two alarms, temperature) beside its microcontroller
(0x69). Witty Pi 4 has everything at 0x08: its microcontroller passes on the clock (PCF85063) and the thermometer
(LM75B). Numbers of clock and alarms are binary coded decimals. Alarm 1 switches on, alarm 2 off. Sources: the vendor's
manuals and register tables, and the data sheets of DS3231 and LM75B.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from so2cam.devices.records import BoardAlarm

DISABLED: Final = 255
"""A voltage limit that is off."""
EVERY_DAY: Final = 0x80
"""In an alarm's day register of a DS3231: any day."""
_CENTURY: Final = 2000
_TWELVE_HOURS: Final = 0x40
_LOWEST_LIMIT_V, _HIGHEST_LIMIT_V = 2.0, 25.0

WAKE_REASONS: Final[Mapping[int, str]] = {
    0: "unknown",
    1: "alarm: switched on",
    2: "alarm: switched off",
    3: "button",
    4: "low voltage",
    5: "voltage recovered",
    6: "too hot",
    7: "too cold",
    8: "alarm: switched on, late",
    9: "5 V connected",
    10: "power connected",
    11: "restarted",
    12: "guaranteed wake-up",
}


@dataclass(frozen=True, slots=True)
class Registers:
    """Where a board keeps what. A register is (I2C address, number)."""

    model: str
    identity: int | None
    """what register 0 of the microcontroller holds; None: not known, anything is accepted"""
    controller: int
    clock_address: int
    seconds: int
    minutes: int
    hours: int
    day: int
    weekday: int
    month: int
    year: int
    startup: tuple[int, ...]
    """second, minute, hour, day"""
    shutdown: tuple[int, ...]
    """(second,) minute, hour, day"""
    low_voltage: int
    recovery_voltage: int
    reason: int | None
    firmware: int | None
    ds3231: bool

    input_voltage: int = 1
    output_voltage: int = 3
    output_current: int = 5
    power_mode: int = 7


WITTY_PI_3: Final = Registers(
    model="Witty Pi 3",
    identity=None,
    controller=0x69,
    clock_address=0x68,
    seconds=0x00,
    minutes=0x01,
    hours=0x02,
    weekday=0x03,
    day=0x04,
    month=0x05,
    year=0x06,
    startup=(0x07, 0x08, 0x09, 0x0A),
    shutdown=(0x0B, 0x0C, 0x0D),
    low_voltage=12,
    recovery_voltage=15,
    reason=None,
    firmware=None,
    ds3231=True,
)
WITTY_PI_4: Final = Registers(
    model="Witty Pi 4",
    identity=0x26,
    controller=0x08,
    clock_address=0x08,
    seconds=58,
    minutes=59,
    hours=60,
    day=61,
    weekday=62,
    month=63,
    year=64,
    startup=(27, 28, 29, 30),
    shutdown=(32, 33, 34, 35),
    low_voltage=19,
    recovery_voltage=22,
    reason=11,
    firmware=12,
    ds3231=False,
)

DS3231_CONTROL: Final = 0x0E
DS3231_STATUS: Final = 0x0F
DS3231_TEMPERATURE: Final = 0x11
DS3231_CONVERT: Final = 0x20
DS3231_BUSY: Final = 0x04
DS3231_STOPPED: Final = 0x80
DS3231_ALARMS_ON: Final = 0x07
"""Interrupt output, alarm 1 and alarm 2 enabled"""
DS3231_STARTUP_ON: Final = 0x05
"""Interrupt output and alarm 1 enabled"""
DS3231_RANG: Final = 0x03
"""In the status: alarm 1 and alarm 2 rang"""
PCF85063_CONTROL: Final = 55
PCF85063_RANG: Final = 0x40
WITTY_PI_4_RANG: Final = (39, 40)
"""Flags of the microcontroller: alarm 1 and alarm 2 rang"""
LM75B_TEMPERATURE: Final = 50
PCF85063_STOPPED: Final = 0x80
"""In the seconds register: the clock lost its power, its time means nothing."""


def from_bcd(byte: int) -> int:
    """Return the number that a byte of two decimal digits holds. Raises ValueError for other bytes."""
    high, low = byte >> 4, byte & 0x0F
    if not 0 <= byte <= 0xFF or high > 9 or low > 9:
        raise ValueError(f"0x{byte:02x} is no number of two decimal digits")
    return 10 * high + low


def to_bcd(number: int) -> int:
    """Return the byte of a number from 0 to 99. Raises ValueError for other numbers."""
    if not 0 <= number <= 99:
        raise ValueError(f"{number} has more than two decimal digits")
    return (number // 10) << 4 | number % 10


def decode_clock(seconds: int, minutes: int, hours: int, day: int, month: int, year: int) -> datetime:
    """Return the time (UTC) that six bytes of a clock chip hold. Raises ValueError for an impossible time.

    Hours must be in the 24-hour form; the flag bits beside the other digits are ignored.
    """
    if hours & _TWELVE_HOURS:
        raise ValueError("the clock counts 12 hours")
    return datetime(
        _CENTURY + from_bcd(year),
        from_bcd(month & 0x1F),
        from_bcd(day & 0x3F),
        from_bcd(hours & 0x3F),
        from_bcd(minutes & 0x7F),
        from_bcd(seconds & 0x7F),
        tzinfo=UTC,
    )


def decode_alarm(second: int, minute: int, hour: int, day: int) -> BoardAlarm | None:
    """Return the alarm that four bytes hold; None where all are zero, which means none.

    Raises ValueError for an impossible time, and for a time that repeats every hour or minute.
    """
    if second == minute == hour == day == 0:
        return None
    if EVERY_DAY in (minute, hour):
        raise ValueError("the alarm repeats every hour or minute, which so2cam does not use")
    number = None if day & EVERY_DAY else from_bcd(day & 0x3F)
    alarm = BoardAlarm(number, from_bcd(hour & 0x3F), from_bcd(minute & 0x7F), from_bcd(second & 0x7F))
    require_alarm(alarm, may_repeat=True)
    return alarm


def require_alarm(alarm: BoardAlarm, *, may_repeat: bool) -> None:
    """Raise ValueError for an alarm that cannot be."""
    if alarm.day is None:
        if not may_repeat:
            raise ValueError("this board needs the day of the month of an alarm")
    elif not 1 <= alarm.day <= 31:
        raise ValueError(f"there is no day {alarm.day} of a month")
    if not (0 <= alarm.hour <= 23 and 0 <= alarm.minute <= 59 and 0 <= alarm.second <= 59):
        raise ValueError(f"there is no time {alarm.hour:02d}:{alarm.minute:02d}:{alarm.second:02d}")


def encode_alarm(alarm: BoardAlarm | None) -> tuple[int, int, int, int]:
    """Return the bytes second, minute, hour and day of an alarm; zeros for none."""
    if alarm is None:
        return (0, 0, 0, 0)
    day = EVERY_DAY if alarm.day is None else to_bcd(alarm.day)
    return (to_bcd(alarm.second), to_bcd(alarm.minute), to_bcd(alarm.hour), day)


def decode_pair(whole: int, hundredths: int) -> float:
    """Return the voltage [V] or current [A] of two bytes."""
    return whole + hundredths / 100


def decode_limit(byte: int) -> float | None:
    """Return the voltage limit [V] of a byte in tenths; None where it is off."""
    return None if byte == DISABLED else byte / 10


def encode_limit(voltage_v: float | None) -> int:
    """Return the byte of a voltage limit. Raises ValueError outside 2 to 25 V."""
    if voltage_v is None:
        return DISABLED
    if not _LOWEST_LIMIT_V <= voltage_v <= _HIGHEST_LIMIT_V:
        raise ValueError(f"a voltage limit is from {_LOWEST_LIMIT_V:g} to {_HIGHEST_LIMIT_V:g} V, not {voltage_v:g}")
    return round(voltage_v * 10)


def decode_temperature(high: int, low: int, *, fraction_bits: int) -> float:
    """Return the temperature [degrees C] of two bytes: two's complement, the fraction in the low byte's top bits."""
    raw = (high << 8 | low) >> (8 - fraction_bits)
    if high & 0x80:
        raw -= 1 << (8 + fraction_bits)
    return float(raw) / (1 << fraction_bits)
