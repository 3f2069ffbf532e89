"""Cameras whose every answer is checked before anybody uses it, and whose every call comes back in time.

A frame passes if it has the right shape, serial number, exposure and gain, counts within its bits, and is new. What
is merely bad to look at, dark or saturated, passes: that is for the exposure and for the people. Spectrometers are in
``checked_spectrometer``.
"""

import math
from collections.abc import Callable
from datetime import timedelta
from typing import Final, TypeVar

import numpy as np

from so2cam.core.records import FrameKind
from so2cam.core.site_devices import CameraDevice
from so2cam.core.spectra import SpectrumKind
from so2cam.devices.bounded import BoundedCaller
from so2cam.devices.errors import (
    DeviceDataError,
    DeviceError,
    DeviceMissingError,
    DeviceSettingError,
    WrongDeviceError,
)
from so2cam.devices.protocols import Camera, DeviceContext, Staged
from so2cam.devices.records import (
    CameraDescription,
    CameraSettings,
    Counts,
    RawFrame,
)
from so2cam.observe.statistics import looks_like_noise

EXPOSURE_TOLERANCE: Final = 0.03
"""Relative difference between the exposure that was set and the one reported that is still the same"""
_EXPOSURE_TOLERANCE_S: Final = 1e-4
_GAIN_TOLERANCE: Final = 0.05
_OLD_S: Final = 0.1
"""A frame that ended this long before it was asked for [s] is an old one"""
CLOSE_S: Final = 5.0
CONFIGURE_S: Final = 5.0
"""Time limits [s] of closing and of setting a device"""
NOISELESS: Final = "noiseless"
"""A description whose ``details`` have this key may give one and the same frame twice (a simulation without noise)."""
RECORDED: Final = "recorded"
"""A description whose ``details`` have this key gives recorded data, with exposures of their own."""

_T = TypeVar("_T")


class Checked:
    """What cameras and spectrometers share: one thread, bounded calls, nothing but DeviceError."""

    def __init__(self, name: str, context: DeviceContext) -> None:
        self._name = name
        self._context = context
        self._caller = BoundedCaller(name, context.stop)

    @property
    def stuck(self) -> bool:
        """Whether a call into the driver never came back: only a new process helps."""
        return self._caller.stuck

    def _call(self, what: str, function: Callable[[], _T], timeout_s: float) -> _T:
        return self._caller.call(what, function, timeout_s)

    def _wrong(self, message: str, value: object = None, remedy: str | None = None) -> DeviceDataError:
        return DeviceDataError(message, device=self._name, value=value, remedy=remedy)

    def _wait_s(self, at_monotonic_s: float | None) -> float:
        return 0.0 if at_monotonic_s is None else max(0.0, at_monotonic_s - self._context.clock.monotonic_s())

    def _check_time(self, what: str, middle_s: float, end_s: float, asked_s: float, last_s: float | None) -> None:
        if not math.isfinite(middle_s):
            raise self._wrong(f"the {what} has no time")
        if end_s < asked_s - _OLD_S:
            raise self._wrong(f"gave an old {what}: it ended {asked_s - end_s:.2f} s before it was asked for")
        if last_s is not None and middle_s <= last_s:
            raise self._wrong(f"gave an old {what}: it is not newer than the one before")

    def _check_exposure(self, what: str, wanted: float, used: float, step: float) -> None:
        allowed = max(EXPOSURE_TOLERANCE * wanted, 2 * step, _EXPOSURE_TOLERANCE_S)
        if not (math.isfinite(used) and abs(used - wanted) <= allowed):
            raise self._wrong(f"{what} is not what was set: {wanted:.6g} s", value=used)


class CheckedCamera(Checked):
    """A camera whose frames are checked. It is a ``Camera`` itself, and ``Staged``."""

    def __init__(self, camera: Camera, settings: CameraDevice, context: DeviceContext) -> None:
        super().__init__(settings.name, context)
        self._camera = camera
        self._device = settings
        self._description: CameraDescription | None = None
        self._settings: CameraSettings | None = None
        self._last_s: float | None = None
        self._last_counts: Counts | None = None

    @property
    def description(self) -> CameraDescription | None:
        """What was found when it was opened; None while it is closed."""
        return self._description

    def open(self, timeout_s: float) -> CameraDescription:
        """Open the camera and check that it is the one of the site file. See ``Camera.open``."""
        if self._description is not None:
            return self._description
        try:
            found = self._call("opening the camera", lambda: self._camera.open(timeout_s), timeout_s)
            if self._device.serial is not None and found.serial != self._device.serial:
                raise WrongDeviceError(
                    f"the camera with the serial number {found.serial} is connected, not {self._device.serial}",
                    device=self._name,
                    remedy="connect the right camera, or correct serial in the site file",
                )
            if min(found.width_px, found.height_px, found.bits, found.scale) < 1 or found.bits > 16:
                raise self._wrong("describes itself wrongly", value=found)
        except DeviceError:
            self.close()
            raise
        self._description = found
        self._settings = self._last_s = self._last_counts = None
        return found

    def close(self) -> None:
        """Close the camera; nothing happens where it is closed already."""
        self._description = None
        try:
            if not self._caller.stuck:
                self._call("closing the camera", self._camera.close, CLOSE_S)
        except DeviceError:
            pass
        finally:
            self._caller.finish()

    def configure(self, settings: CameraSettings) -> CameraSettings:
        """Set the next frame; values outside the limits of site file and device are refused by name."""
        found = self._require_open()
        low = max(self._device.minimum_exposure_s, found.exposure_limits_s[0])
        high = min(self._device.maximum_exposure_s, found.exposure_limits_s[1])
        require_between(self._name, "exposure_s", settings.exposure_s, low, high, "s")
        require_between(self._name, "gain", settings.gain, *found.gain_limits, "")
        self._settings = self._call("setting the camera", lambda: self._camera.configure(settings), CONFIGURE_S)
        return self._settings

    def capture(self, at_monotonic_s: float | None, timeout_s: float) -> RawFrame:
        """Return a frame that passed all checks. See ``Camera.capture``."""
        found = self._require_open()
        asked_s = self._context.clock.monotonic_s()
        limit_s = self._wait_s(at_monotonic_s) + timeout_s
        frame = self._call("taking a frame", lambda: self._camera.capture(at_monotonic_s, timeout_s), limit_s)
        self._check(frame, found, asked_s)
        self._last_s, self._last_counts = frame.mid_exposure_s, frame.counts
        return frame

    def stage(self, kind: FrameKind | SpectrumKind, cell_ppm_m: float | None = None) -> None:
        """Tell a simulated or replayed camera what is in front of it; a real one sees for itself."""
        if isinstance(self._camera, Staged):
            self._camera.stage(kind, cell_ppm_m)

    def _require_open(self) -> CameraDescription:
        if self._description is None:
            raise DeviceMissingError("the camera is not open", device=self._name)
        return self._description

    def _check(self, frame: RawFrame, found: CameraDescription, asked_s: float) -> None:
        if not isinstance(frame, RawFrame) or not isinstance(frame.counts, np.ndarray):
            raise self._wrong("gave no frame", value=type(frame).__name__)
        counts, shape = frame.counts, (found.height_px, found.width_px)
        if counts.shape != shape or counts.dtype != np.uint16:
            raise self._wrong(
                f"the frame has the wrong shape or type: expected {shape} of uint16",
                value=f"{counts.shape} of {counts.dtype}",
            )
        if frame.serial != found.serial:
            raise WrongDeviceError(
                f"the frame came from the camera {frame.serial}, not {found.serial}",
                device=self._name,
                remedy="the camera is opened again by itself; check that cameras were not exchanged",
            )
        highest = int(counts.max())
        if highest > found.maximum_dn * frame.scale or frame.scale != found.scale:
            raise self._wrong(
                f"the frame has counts above the {found.bits} bits of the camera", value=highest / max(frame.scale, 1)
            )
        if looks_like_noise(counts, scale=frame.scale, maximum_dn=found.maximum_dn):
            raise self._wrong("the frame holds nothing but random numbers", remedy="check the camera's cable")
        if not 0 <= frame.saturated_share <= 1:
            raise self._wrong("the share of saturated pixels is no share", value=frame.saturated_share)
        if frame.time.utcoffset() != timedelta(0):
            raise self._wrong("the frame's time is not UTC", value=frame.time)
        if self._settings is not None and RECORDED not in found.details:
            self._check_exposure("the exposure", self._settings.exposure_s, frame.exposure_s, found.exposure_step_s)
            if not abs(frame.gain - self._settings.gain) <= _GAIN_TOLERANCE * self._settings.gain:
                raise self._wrong(f"the gain is not what was set: {self._settings.gain:g}", value=frame.gain)
        end_s = frame.mid_exposure_s + frame.exposure_s / 2
        self._check_time("frame", frame.mid_exposure_s, end_s, asked_s, self._last_s)
        if found.details.keys().isdisjoint((NOISELESS, RECORDED)) and self._is_repeated(counts):
            raise self._wrong("gave the same picture twice, pixel for pixel: the sensor hangs")

    def _is_repeated(self, counts: Counts) -> bool:
        last = self._last_counts
        if last is None or last is counts:
            return last is counts
        row = counts.shape[0] // 2
        if not np.array_equal(last[row], counts[row]) or not np.array_equal(last, counts):
            return False
        return bool(counts.min() != counts.max())


def require_between(device: str, key: str, value: float, low: float, high: float, unit: str) -> None:
    """Raise DeviceSettingError, with the limits, for a value outside of them."""
    tolerance = 1e-9 * max(abs(low), abs(high))
    if not low - tolerance <= value <= high + tolerance:
        unit = f" {unit}" if unit else ""
        raise DeviceSettingError(
            f"must be from {low:g} to {high:g}{unit}",
            device=device,
            key=f"{device}.{key}",
            value=value,
            remedy="give a value within these limits; they are the device's and those of the site file",
        )
