"""What a device must be able to do. A new device is one file with one of these, and an entry point.

A driver is opened, set, asked for frames and closed by one thread. ``open`` and ``close`` may be called again at any
time: a second one changes nothing. Every wait is bounded by ``timeout_s`` and ends early when the context's ``stop``
is set (DeviceStoppedError). Errors are ``DeviceError`` and its kinds; nothing of the vendor's passes through.
"""

import threading
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol, runtime_checkable

from so2cam.core.records import FrameKind
from so2cam.core.spectra import SpectrumKind
from so2cam.devices.clock import Clock, SystemClock
from so2cam.devices.records import (
    BoardAlarm,
    CameraDescription,
    CameraSettings,
    PowerReading,
    RawFrame,
    RawSpectrum,
    SpectrometerDescription,
    SpectrometerSettings,
)


@dataclass(frozen=True, slots=True)
class DeviceContext:
    """What a driver gets beside its settings. Relative paths in options are relative to ``folder``.

    ``run_start`` is the same for all devices of a run: simulated devices look at one scene that began then.
    """

    folder: Path = field(default_factory=Path)
    clock: Clock = field(default_factory=SystemClock)
    stop: threading.Event = field(default_factory=threading.Event)
    run_start: datetime = field(default_factory=lambda: datetime.now(UTC))


@runtime_checkable
class Camera(Protocol):
    """A camera of one band."""

    def open(self, timeout_s: float) -> CameraDescription:
        """Connect and start; return what was found. Raises DeviceMissingError, WrongDeviceError, DriverError."""
        ...

    def close(self) -> None:
        """Let the device go. Never raises for a device that is gone already."""
        ...

    def configure(self, settings: CameraSettings) -> CameraSettings:
        """Set exposure and gain of the next frame; return what the device makes of them (steps of a line).

        Raises DeviceSettingError for values outside the device's limits, and then changes nothing.
        """
        ...

    def capture(self, at_monotonic_s: float | None, timeout_s: float) -> RawFrame:
        """Return the frame whose mid-exposure is nearest to ``at_monotonic_s``; None: the next possible one.

        The frame has the settings that were set last, verified. ``timeout_s`` counts from ``at_monotonic_s``, or from
        now if that has passed. Raises DeviceTimeoutError, DeviceMissingError, DeviceDataError.
        """
        ...


@runtime_checkable
class Spectrometer(Protocol):
    """A spectrometer."""

    def open(self, timeout_s: float) -> SpectrometerDescription:
        """Connect; return what was found. Raises DeviceMissingError, WrongDeviceError, DriverError."""
        ...

    def close(self) -> None:
        """Let the device go. Never raises for a device that is gone already."""
        ...

    def configure(self, settings: SpectrometerSettings) -> SpectrometerSettings:
        """Set integration time and coadds of the next spectrum; return what the device makes of them.

        Raises DeviceSettingError for values outside the device's limits, and then changes nothing.
        """
        ...

    def capture(self, at_monotonic_s: float | None, timeout_s: float) -> RawSpectrum:
        """Return a spectrum whose readouts lie around ``at_monotonic_s``; None: that begins at once.

        ``timeout_s`` counts from the expected end. Raises DeviceTimeoutError, DeviceMissingError, DeviceDataError.
        """
        ...


@runtime_checkable
class Staged(Protocol):
    """A device that must be told what is in front of it: simulated and replayed ones. Real ones see for themselves."""

    def stage(self, kind: FrameKind | SpectrumKind, cell_ppm_m: float | None = None) -> None:
        """Put ``kind`` (a cell with its label [ppm m]) in front of the device for the next captures."""
        ...


@runtime_checkable
@runtime_checkable
class PowerManager(Protocol):
    """A board that switches the computer on and off by the clock, and measures voltages."""

    def open(self, timeout_s: float) -> str:
        """Find the board; return its model. Raises DeviceMissingError, WrongDeviceError, DriverError."""
        ...

    def close(self) -> None:
        """Let the bus go."""
        ...

    def read(self) -> PowerReading:
        """Return what the board measures now."""
        ...

    def set_clock(self, time: datetime) -> None:
        """Set the board's clock to ``time`` (aware); it keeps UTC. Read back; DeviceDataError where it differs."""
        ...

    def startup(self) -> BoardAlarm | None:
        """Return when the board switches on next, as it is set."""
        ...

    def shutdown(self) -> BoardAlarm | None:
        """Return when the board switches off next, as it is set."""
        ...

    def set_startup(self, alarm: BoardAlarm | None) -> None:
        """Set when the board switches on; None clears it. Read back; DeviceDataError where it differs."""
        ...

    def set_shutdown(self, alarm: BoardAlarm | None) -> None:
        """Set when the board switches off; None clears it. Read back; DeviceDataError where it differs."""
        ...

    def prepare_halt(self) -> None:
        """Make the board ready for the computer to halt: alarms that rang are cleared, the one that starts is armed."""
        ...

    def set_voltage_limits(self, low_v: float | None, recovery_v: float | None) -> None:
        """Set below which input voltage the board switches off, and above which on again; None: never."""
        ...


@runtime_checkable
@runtime_checkable
class GpioLines(Protocol):
    """Lines of the header by their purpose, as the site file names them."""

    def open(self, timeout_s: float) -> tuple[str, ...]:
        """Claim the lines; return their purposes. Raises DeviceMissingError, DriverError."""
        ...

    def close(self) -> None:
        """Let the lines go; outputs are left inactive."""
        ...

    def pulse(self, purpose: str, seconds: float) -> None:
        """Pull the output ``purpose`` for ``seconds`` (at most 30), then let it go; returns when it is done."""
        ...

    def active(self, purpose: str) -> bool:
        """Return whether the input ``purpose`` is pulled."""
        ...
