"""A simulated power board and simulated wires; see ``so2cam.simulate.devices`` for their options."""

import math
import threading
import time
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

from pydantic import Field

from so2cam.core.site_devices import GpioDevice, PowerDevice
from so2cam.core.site_types import Positive, Table
from so2cam.devices.errors import DeviceMissingError, DeviceSettingError
from so2cam.devices.protocols import DeviceContext
from so2cam.devices.records import BoardAlarm, PowerReading

_LONGEST_PULSE_S: Final = 30.0


class PowerOptions(Table):
    """Options of the simulated power board."""

    voltage_v: Positive = 12.6
    temperature_c: float = Field(default=18.0, ge=-80, le=100)


class GpioOptions(Table):
    """Options of the simulated wires."""

    folder: str | None = None
    connected: dict[str, str] = {}


class SimulatedPower:
    """A power board with a battery that never empties."""

    def __init__(self, settings: PowerDevice, options: PowerOptions, context: DeviceContext) -> None:
        self._name = settings.name
        self._options = options
        self._context = context
        self._clock_offset = timedelta(0)
        self._alarms: dict[str, BoardAlarm | None] = {"startup": None, "shutdown": None}
        self._limits: tuple[float | None, float | None] = (None, None)

    def open(self, timeout_s: float) -> str:
        """See ``PowerManager.open``."""
        return "simulated power board"

    def close(self) -> None:
        """See ``PowerManager.close``."""

    def read(self) -> PowerReading:
        """See ``PowerManager.read``."""
        now = self._context.clock.utc()
        day = 2 * math.pi * (now.hour + now.minute / 60) / 24
        return PowerReading(
            time=now,
            model="simulated power board",
            firmware="1",
            input_voltage_v=round(self._options.voltage_v - 0.2 * math.cos(day), 2),
            output_voltage_v=5.1,
            output_current_a=0.75,
            temperature_c=round(self._options.temperature_c - 5 * math.cos(day), 2),
            on_battery_input=True,
            low_voltage_v=self._limits[0],
            recovery_voltage_v=self._limits[1],
            wake_reason="simulated",
            clock=now + self._clock_offset,
        )

    def set_clock(self, time: datetime) -> None:
        """See ``PowerManager.set_clock``."""
        self._clock_offset = time - self._context.clock.utc()

    def startup(self) -> BoardAlarm | None:
        """See ``PowerManager.startup``."""
        return self._alarms["startup"]

    def shutdown(self) -> BoardAlarm | None:
        """See ``PowerManager.shutdown``."""
        return self._alarms["shutdown"]

    def set_startup(self, alarm: BoardAlarm | None) -> None:
        """See ``PowerManager.set_startup``."""
        self._alarms["startup"] = alarm

    def set_shutdown(self, alarm: BoardAlarm | None) -> None:
        """See ``PowerManager.set_shutdown``."""
        self._alarms["shutdown"] = alarm

    def prepare_halt(self) -> None:
        """See ``PowerManager.prepare_halt``."""

    def set_voltage_limits(self, low_v: float | None, recovery_v: float | None) -> None:
        """See ``PowerManager.set_voltage_limits``."""
        self._limits = (low_v, recovery_v)


class SimulatedGpio:
    """Wires that are files in a folder: a line is pulled while its file is there."""

    def __init__(self, settings: GpioDevice, options: GpioOptions, context: DeviceContext) -> None:
        self._settings = settings
        self._options = options
        self._context = context
        self._folder: Path | None = None
        self._pulses: list[tuple[str, float]] = []
        self._lock = threading.Lock()

    @property
    def pulses(self) -> tuple[tuple[str, float], ...]:
        """The pulses given so far: purpose and seconds."""
        return tuple(self._pulses)

    def open(self, timeout_s: float) -> tuple[str, ...]:
        """See ``GpioLines.open``."""
        if self._options.folder is not None:
            self._folder = self._context.folder / self._options.folder
            self._folder.mkdir(parents=True, exist_ok=True)
        return (*self._settings.outputs, *self._settings.inputs)

    def close(self) -> None:
        """See ``GpioLines.close``."""
        for purpose in self._settings.outputs:
            if self._folder is not None:
                self._file(purpose).unlink(missing_ok=True)

    def pulse(self, purpose: str, seconds: float) -> None:
        """See ``GpioLines.pulse``."""
        if purpose not in self._settings.outputs:
            raise DeviceSettingError("is no output", device=self._settings.name, value=purpose)
        if not 0 < seconds <= _LONGEST_PULSE_S:
            raise DeviceSettingError(
                f"a pulse lasts up to {_LONGEST_PULSE_S:g} s", device=self._settings.name, value=seconds
            )
        with self._lock:
            self._pulses.append((purpose, seconds))
        if self._folder is None:
            return
        path = self._file(purpose)
        path.write_text(f"{time.time()}\n", encoding="ascii")
        try:
            self._context.stop.wait(seconds)
        finally:
            path.unlink(missing_ok=True)

    def active(self, purpose: str) -> bool:
        """See ``GpioLines.active``."""
        if purpose not in self._settings.inputs:
            raise DeviceSettingError("is no input", device=self._settings.name, value=purpose)
        output = self._options.connected.get(purpose, purpose)
        return self._folder is not None and self._file(output).exists()

    def _file(self, purpose: str) -> Path:
        if self._folder is None:
            raise DeviceMissingError("the wires are not open", device=self._settings.name)
        return self._folder / f"{purpose}.line"
