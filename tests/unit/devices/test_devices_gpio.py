"""The wires between the computers, on gpiozero's own mock pins."""

import threading

import pytest

from so2cam.core.site_devices import GpioDevice
from so2cam.devices.errors import DeviceMissingError, DeviceSettingError, DeviceStoppedError
from so2cam.devices.gpio import GpiozeroLines
from so2cam.devices.protocols import DeviceContext
from so2cam.devices.registry import create_gpio

gpiozero = pytest.importorskip("gpiozero")
mock = pytest.importorskip("gpiozero.pins.mock")

LEAD = GpioDevice(name="wires", driver="gpiozero", outputs={"start-follower": 23, "stop-follower": 16})
FOLLOWER = GpioDevice(name="wires", driver="gpiozero", inputs={"start": 3, "stop": 21})


@pytest.fixture
def pins(monkeypatch):
    factory = mock.MockFactory()
    monkeypatch.setattr(gpiozero.Device, "pin_factory", factory)
    yield factory
    factory.reset()


class Stop(threading.Event):
    """A stop that notes how long somebody waited for it, and what the pin was meanwhile."""

    def __init__(self, look):
        super().__init__()
        self._look, self.seen = look, []

    def wait(self, timeout=None):
        self.seen.append((timeout, *self._look()))
        return self.is_set()


def test_a_pulse_pulls_the_line_down_and_lets_it_go(pins):
    pin = pins.pin(23)
    stop = Stop(lambda: (pin.function, pin.state))
    lines = GpiozeroLines(LEAD, DeviceContext(stop=stop))
    assert lines.open(5) == ("start-follower", "stop-follower")
    assert pin.function == "input"
    lines.pulse("start-follower", 0.5)
    assert stop.seen == [(0.5, "output", 0)]
    assert pin.function == "input"


def test_a_pulse_ends_with_the_program(pins, context):
    lines = GpiozeroLines(LEAD, context)
    lines.open(5)
    context.stop.set()
    with pytest.raises(DeviceStoppedError):
        lines.pulse("stop-follower", 20)
    assert pins.pin(16).function == "input"


def test_inputs_are_active_low(pins, context):
    lines = create_gpio(FOLLOWER, context)
    lines.open(5)
    assert not lines.active("stop")
    pins.pin(21).drive_low()
    assert lines.active("stop")
    assert not lines.active("start")
    pins.pin(21).drive_high()
    assert not lines.active("stop")


def test_unknown_purposes_and_endless_pulses_are_refused(pins, context):
    lines = GpiozeroLines(LEAD, context)
    lines.open(5)
    with pytest.raises(DeviceSettingError, match="no output") as caught:
        lines.pulse("launch", 1)
    assert "start-follower" in str(caught.value)
    with pytest.raises(DeviceSettingError, match="no input"):
        lines.active("start")
    for seconds in (0, -1, 31):
        with pytest.raises(DeviceSettingError, match="pulse lasts"):
            lines.pulse("start-follower", seconds)


def test_a_line_in_use_is_reported(pins, context):
    taken = gpiozero.LED(23)
    with pytest.raises(DeviceMissingError, match="GPIO 23"):
        GpiozeroLines(LEAD, context).open(5)
    taken.close()


def test_closed_lines_do_nothing(pins, context):
    lines = GpiozeroLines(LEAD, context)
    with pytest.raises(DeviceMissingError, match="not open"):
        lines.pulse("start-follower", 1)
    lines.open(5)
    lines.open(5)
    lines.close()
    lines.close()
    with pytest.raises(DeviceMissingError, match="not open"):
        lines.pulse("start-follower", 1)


def test_without_pins_the_remedy_says_where_to_run(context, monkeypatch):
    monkeypatch.setattr(gpiozero.Device, "pin_factory", None)
    monkeypatch.setenv("GPIOZERO_PIN_FACTORY", "no-such-pins")
    with pytest.raises(DeviceMissingError) as caught:
        GpiozeroLines(LEAD, context).open(5)
    assert "gpio" in str(caught.value.remedy)
