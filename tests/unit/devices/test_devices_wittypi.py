"""The driver of the power boards against an imitation of their registers."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from so2cam.core.site_devices import PowerDevice
from so2cam.devices.errors import (
    DeviceDataError,
    DeviceMissingError,
    DeviceSettingError,
    DriverError,
    WrongDeviceError,
)
from so2cam.devices.records import BoardAlarm
from so2cam.devices.registry import create_power
from so2cam.devices.wittypi import WittyPi, WittyPiOptions
from so2cam.devices.wittypi_registers import (
    WITTY_PI_3,
    WITTY_PI_4,
    decode_alarm,
    decode_clock,
    decode_temperature,
    encode_alarm,
    from_bcd,
    to_bcd,
)

BOARDS = {3: WITTY_PI_3, 4: WITTY_PI_4}


@pytest.fixture(params=[3, 4], ids=["wittypi3", "wittypi4"])
def version(request):
    return request.param


@pytest.fixture
def board(version, wittypi_fake, context):
    bus = wittypi_fake.Bus(version)
    driver = WittyPi(
        PowerDevice(name="power", driver=f"wittypi{version}"),
        BOARDS[version],
        WittyPiOptions(retry_s=0.0),
        context,
        opener=lambda device, number: bus,
    )
    driver.open(5)
    return driver, bus


def test_reading(board, version):
    driver, _ = board
    reading = driver.read()
    assert reading.model == f"Witty Pi {version}"
    assert reading.input_voltage_v == pytest.approx(12.34)
    assert reading.output_voltage_v == pytest.approx(5.12)
    assert reading.output_current_a == pytest.approx(0.76)
    assert reading.temperature_c == {3: -24.75, 4: 25.125}[version]
    assert reading.low_voltage_v is None
    assert reading.clock == datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)
    assert reading.on_battery_input is True
    assert reading.wake_reason == {3: None, 4: "alarm: switched on"}[version]


def test_fed_by_five_volts_there_is_no_input_voltage(board, version):
    driver, bus = board
    bus.chips[BOARDS[version].controller][7] = 0
    reading = driver.read()
    assert reading.input_voltage_v is None
    assert reading.on_battery_input is False


def test_alarms_are_written_and_read_back(board):
    driver, _ = board
    assert driver.startup() is None
    driver.set_startup(BoardAlarm(17, 9, 5, 30))
    driver.set_shutdown(BoardAlarm(17, 21, 0))
    assert driver.startup() == BoardAlarm(17, 9, 5, 30)
    assert driver.shutdown() == BoardAlarm(17, 21, 0)
    driver.set_startup(None)
    assert driver.startup() is None
    assert driver.shutdown() == BoardAlarm(17, 21, 0)


def test_bytes_of_an_alarm_are_those_of_the_vendor(board, version):
    driver, bus = board
    driver.set_startup(BoardAlarm(28, 23, 59, 7))
    chip = bus.chips[BOARDS[version].clock_address]
    registers = {3: (0x07, 0x08, 0x09, 0x0A), 4: (27, 28, 29, 30)}[version]
    assert [chip[number] for number in registers] == [0x07, 0x59, 0x23, 0x28]
    if version == 3:
        assert chip[0x0E] == 0x07


def test_what_a_board_cannot_have_is_refused(board, version):
    driver, _ = board
    with pytest.raises(DeviceSettingError, match="no day 32"):
        driver.set_startup(BoardAlarm(32, 9, 0))
    with pytest.raises(DeviceSettingError, match="no time"):
        driver.set_startup(BoardAlarm(3, 24, 0))
    every_day, odd_second = BoardAlarm(None, 9, 0), BoardAlarm(3, 9, 0, 30)
    if version == 3:
        driver.set_startup(every_day)
        assert driver.startup() == every_day
        with pytest.raises(DeviceSettingError, match="whole minutes"):
            driver.set_shutdown(odd_second)
    else:
        with pytest.raises(DeviceSettingError, match="needs the day"):
            driver.set_startup(every_day)
        driver.set_shutdown(odd_second)
        assert driver.shutdown() == odd_second


def test_voltage_limits(board):
    driver, _ = board
    driver.set_voltage_limits(11.2, 12.4)
    reading = driver.read()
    assert (reading.low_voltage_v, reading.recovery_voltage_v) == (11.2, 12.4)
    driver.set_voltage_limits(None, None)
    assert driver.read().recovery_voltage_v is None
    with pytest.raises(DeviceSettingError, match="above the low voltage"):
        driver.set_voltage_limits(12.0, 11.0)
    with pytest.raises(DeviceSettingError, match="2 to 25"):
        driver.set_voltage_limits(40.0, None)


def test_before_halting_alarms_that_rang_are_cleared_and_the_start_stays_armed(board, version):
    driver, bus = board
    driver.set_startup(BoardAlarm(17, 9, 5, 30))
    if version == 3:
        bus.chips[0x68][0x0F] = 0x0B
    else:
        bus.chips[0x08][55], bus.chips[0x08][39], bus.chips[0x08][40] = 0xC7, 1, 1
    driver.prepare_halt()
    assert driver.startup() == BoardAlarm(17, 9, 5, 30)
    if version == 3:
        assert (bus.chips[0x68][0x0F], bus.chips[0x68][0x0E]) == (0x08, 0x05)
    else:
        assert (bus.chips[0x08][55], bus.chips[0x08][39], bus.chips[0x08][40]) == (0x87, 0, 0)


def test_setting_the_clock(board, clock):
    driver, _ = board
    wanted = datetime(2027, 12, 31, 23, 59, 58, 600_000, tzinfo=UTC)
    driver.set_clock(wanted)
    assert driver.clock() == datetime(2027, 12, 31, 23, 59, 59, tzinfo=UTC)


def test_a_clock_that_lost_its_power_has_no_time(board, version):
    driver, bus = board
    if version == 3:
        bus.chips[0x68][0x0F] |= 0x80
    else:
        bus.chips[0x08][58] |= 0x80
    assert driver.clock() is None
    driver.set_clock(datetime(2026, 3, 1, 12, tzinfo=UTC))
    assert driver.clock() == datetime(2026, 3, 1, 12, tzinfo=UTC)


def test_nonsense_in_the_clock_is_no_time(board, version):
    driver, bus = board
    chip = bus.chips[BOARDS[version].clock_address]
    chip[BOARDS[version].month] = 0x1F
    assert driver.clock() is None
    chip[BOARDS[version].month] = 0x03
    assert driver.clock() is not None
    chip[BOARDS[version].hours] = 0x72  # 12 of 12 hours, afternoon
    assert driver.clock() is None


def test_a_clock_that_takes_no_time_is_reported(board, version):
    driver, bus = board
    bus.deaf.add(BOARDS[version].hours)
    with pytest.raises(DeviceDataError, match="does not take the time"):
        driver.set_clock(datetime(2026, 3, 1, 18, tzinfo=UTC))


def test_a_few_failing_transfers_do_not_matter(board):
    driver, bus = board
    bus.failures = 3
    assert driver.read().input_voltage_v == pytest.approx(12.34)


def test_a_board_that_does_not_answer_is_missing(board):
    driver, bus = board
    bus.failures = 1000
    with pytest.raises(DeviceMissingError, match="cannot be read"):
        driver.read()


def test_a_clock_chip_owned_by_the_kernel_is_explained(board):
    driver, bus = board
    bus.failures, bus.error = 1, 16
    with pytest.raises(DeviceMissingError) as caught:
        driver.read()
    assert "i2c-rtc" in str(caught.value.remedy)


def test_a_register_that_takes_no_value_is_reported(board, version):
    driver, bus = board
    bus.deaf.add(BOARDS[version].low_voltage)
    with pytest.raises(DeviceDataError, match="does not take"):
        driver.set_voltage_limits(11.0, None)


def test_the_other_board_is_told_apart(wittypi_fake, context):
    for wanted, there in ((3, 4), (4, 3)):
        driver = WittyPi(
            PowerDevice(name="power", driver=f"wittypi{wanted}"),
            BOARDS[wanted],
            WittyPiOptions(retry_s=0.0),
            context,
            opener=lambda device, number, there=there: wittypi_fake.Bus(there),
        )
        with pytest.raises(DeviceMissingError):
            driver.open(5)


def test_something_else_at_the_address_is_the_wrong_device(wittypi_fake, context):
    bus = wittypi_fake.Bus(4)
    bus.chips[0x08][0] = 0x37
    settings = PowerDevice(name="power", driver="wittypi4")
    with pytest.raises(WrongDeviceError, match="no Witty Pi 4"):
        WittyPi(settings, WITTY_PI_4, WittyPiOptions(), context, opener=lambda device, number: bus).open(5)
    bus = wittypi_fake.Bus(4)
    bus.chips[0x08][0] = 0x37
    WittyPi(settings, WITTY_PI_4, WittyPiOptions(identity=0x37), context, opener=lambda device, number: bus).open(5)


def test_closing_twice_and_reading_after_it(board):
    driver, bus = board
    driver.close()
    driver.close()
    assert bus.closed
    with pytest.raises(DeviceMissingError, match="not open"):
        driver.read()


def test_without_a_bus_the_remedy_says_what_to_do(context):
    pytest.importorskip("smbus2")
    power = create_power(PowerDevice(name="power", driver="wittypi4", options={"bus": 31}), context)
    with pytest.raises((DeviceMissingError, DriverError)) as caught:
        power.open(5)
    assert caught.value.remedy


def test_temperatures_of_the_data_sheets():
    # DS3231, table of register 11h-12h; LM75B, table 10.
    assert decode_temperature(0x19, 0x40, fraction_bits=2) == 25.25
    assert decode_temperature(0xFF, 0xC0, fraction_bits=2) == -0.25
    assert decode_temperature(0x7F, 0x00, fraction_bits=3) == 127.0
    assert decode_temperature(0xE7, 0x00, fraction_bits=3) == -25.0
    assert decode_temperature(0xC9, 0x20, fraction_bits=3) == -54.875


@given(st.integers(0, 99))
def test_decimal_digits_round_trip(number):
    assert from_bcd(to_bcd(number)) == number


@given(st.integers(0, 255))
def test_bytes_that_are_no_decimal_digits_are_refused(byte):
    if byte >> 4 > 9 or byte & 15 > 9:
        with pytest.raises(ValueError, match="decimal"):
            from_bcd(byte)
    else:
        assert to_bcd(from_bcd(byte)) == byte


@given(
    st.builds(BoardAlarm, st.none() | st.integers(1, 31), st.integers(0, 23), st.integers(0, 59), st.integers(0, 59))
)
def test_alarms_round_trip(alarm):
    assert decode_alarm(*encode_alarm(alarm)) == alarm


@given(st.integers(0, 99 * 365 * 86400))
def test_clocks_round_trip(seconds):
    time = datetime(2001, 1, 1, tzinfo=UTC) + timedelta(seconds=seconds)
    fields = (time.second, time.minute, time.hour, time.day, time.month, time.year % 100)
    assert decode_clock(*map(to_bcd, fields)) == time
