"""What passes between devices and the agent: descriptions, settings, raw frames and spectra, power readings."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import numpy as np
import numpy.typing as npt

from so2cam.core.records import FloatArray, FloatImage

Counts = npt.NDArray[np.uint16]
Metadata = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class CameraDescription:
    """A camera as it is found when it is opened.

    ``bits`` are those of one raw pixel: the full scale is ``2**bits - 1`` DN. ``scale`` is how many stored counts make
    one DN: 16 where 4 x 4 raw pixels are averaged without rounding, 1 otherwise.
    """

    driver: str
    model: str
    serial: str
    width_px: int
    height_px: int
    bits: int
    exposure_limits_s: tuple[float, float]
    gain_limits: tuple[float, float]
    scale: int = 1
    binning: int = 1
    exposure_step_s: float = 0.0
    """exposures are whole multiples of this [s]; 0 where there is no step that matters"""
    details: Metadata = field(default_factory=dict)

    @property
    def maximum_dn(self) -> int:
        """The highest count of a raw pixel [DN]."""
        return int(2**self.bits) - 1


@dataclass(frozen=True, slots=True)
class CameraSettings:
    """What a camera is set to. The next frame has it."""

    exposure_s: float
    gain: float = 1.0


@dataclass(frozen=True, slots=True)
class RawFrame:
    """A frame as a camera gives it.

    ``counts`` (rows, columns), uint16, hold ``scale`` times the DN: nothing that binning gains is rounded away.
    ``mid_exposure_s`` is the monotonic clock's and ``time`` the UTC of the middle of the exposure. ``exposure_s`` and
    ``gain`` are those really used, as the sensor reports them. ``sensor_timestamp_s`` is the sensor's own time stamp
    on the monotonic clock, None where the device has none.
    """

    counts: Counts
    scale: int
    bits: int
    time: datetime
    mid_exposure_s: float
    exposure_s: float
    gain: float
    serial: str
    saturated_share: float
    """share of stored pixels that hold at least one saturated raw pixel, or a count of full scale"""
    sensor_timestamp_s: float | None = None
    metadata: Metadata = field(default_factory=dict, repr=False)
    """everything that the vendor's library says of the frame, as JSON can hold it"""

    @property
    def dn(self) -> FloatImage:
        """The counts in DN, float32 (rows, columns); exact, with their fraction."""
        return (self.counts / np.float32(self.scale)).astype(np.float32, copy=False)

    @property
    def maximum_dn(self) -> int:
        """The highest count of a raw pixel [DN]."""
        return int(2**self.bits) - 1


@dataclass(frozen=True, slots=True)
class SpectrometerDescription:
    """A spectrometer as it is found when it is opened. ``saturation_counts`` is the highest count of a readout."""

    driver: str
    model: str
    serial: str
    pixels: int
    wavelength_range_nm: tuple[float, float]
    integration_time_limits_s: tuple[float, float]
    saturation_counts: float
    details: Metadata = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class SpectrometerSettings:
    """What a spectrometer is set to. The next spectrum has it."""

    integration_time_s: float
    coadds: int = 1


@dataclass(frozen=True, slots=True)
class RawSpectrum:
    """A spectrum as a spectrometer gives it: the mean of ``coadds`` readouts.

    ``wavelengths_nm`` and ``counts`` have shape (N,), float64. ``mid_exposure_s`` and ``time`` are the middle of all
    readouts together; ``duration_s`` is from the start of the first to the end of the last.
    """

    wavelengths_nm: FloatArray
    counts: FloatArray
    time: datetime
    mid_exposure_s: float
    integration_time_s: float
    coadds: int
    duration_s: float
    serial: str
    saturation_counts: float
    saturated_share: float
    """share of pixels that were saturated in at least one readout"""
    metadata: Metadata = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True)
class PowerReading:
    """What a power board measures. None is what this board cannot measure."""

    time: datetime
    model: str
    firmware: str
    input_voltage_v: float | None
    output_voltage_v: float | None
    output_current_a: float | None
    temperature_c: float | None
    on_battery_input: bool | None
    """True: fed through the input with a wide range (a battery); False: by 5 V"""
    low_voltage_v: float | None
    """the board switches off below this input voltage; None: never"""
    recovery_voltage_v: float | None
    """the board switches on again above this; None: never"""
    wake_reason: str | None
    clock: datetime | None
    """the board's own clock; None where it was never set"""


@dataclass(frozen=True, slots=True)
class BoardAlarm:
    """When a board switches on or off next: a day of the month and a time, UTC, as such boards keep it.

    A ``day`` of None means every day.
    """

    day: int | None
    hour: int
    minute: int
    second: int = 0
