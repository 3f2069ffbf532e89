"""Devices whose every answer is checked before anybody uses it, and whose every call comes back in time.

A frame passes if it has the right shape, serial number, exposure and gain, counts within its bits, and is new. What
is merely bad to look at, dark or saturated, passes: that is for the exposure and for the people.
"""

import math
from collections.abc import Callable
from datetime import timedelta
from typing import Final, TypeVar

import numpy as np

from so2cam.core.records import FrameKind
from so2cam.core.site_devices import CameraDevice, SpectrometerDevice
from so2cam.core.spectra import SpectrumKind
from so2cam.devices.bounded import BoundedCaller
from so2cam.devices.errors import (
    DeviceDataError,
    DeviceError,
    DeviceMissingError,
    DeviceSettingError,
    WrongDeviceError,
)
from so2cam.devices.protocols import Camera, DeviceContext, Spectrometer, Staged
from so2cam.devices.records import (
    CameraDescription,
    CameraSettings,
    Counts,
    RawFrame,
    RawSpectrum,
    SpectrometerDescription,
    SpectrometerSettings,
)
from so2cam.observe.statistics import looks_like_noise

EXPOSURE_TOLERANCE: Final = 0.03
"""Relative difference between the exposure that was set and the one reported that is still the same"""
_EXPOSURE_TOLERANCE_S: Final = 1e-4
_GAIN_TOLERANCE: Final = 0.05
_OLD_S: Final = 0.1
"""A frame that ended this long before it was asked for [s] is an old one"""
_CLOSE_S: Final = 5.0
_CONFIGURE_S: Final = 5.0
NOISELESS: Final = "noiseless"
"""A description whose ``details`` have this key may give one and the same frame twice (a simulation without noise)."""
RECORDED: Final = "recorded"
"""A description whose ``details`` have this key gives recorded data, with exposures of their own."""

_T = TypeVar("_T")


class _Checked:
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


class CheckedCamera(_Checked):
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
                self._call("closing the camera", self._camera.close, _CLOSE_S)
        except DeviceError:
            pass
        finally:
            self._caller.finish()

    def configure(self, settings: CameraSettings) -> CameraSettings:
        """Set the next frame; values outside the limits of site file and device are refused by name."""
        found = self._require_open()
        low = max(self._device.minimum_exposure_s, found.exposure_limits_s[0])
        high = min(self._device.maximum_exposure_s, found.exposure_limits_s[1])
        _require(self._name, "exposure_s", settings.exposure_s, low, high, "s")
        _require(self._name, "gain", settings.gain, *found.gain_limits, "")
        self._settings = self._call("setting the camera", lambda: self._camera.configure(settings), _CONFIGURE_S)
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


class CheckedSpectrometer(_Checked):
    """A spectrometer whose spectra are checked. It is a ``Spectrometer`` itself, and ``Staged``."""

    def __init__(self, spectrometer: Spectrometer, settings: SpectrometerDevice, context: DeviceContext) -> None:
        super().__init__(settings.name, context)
        self._spectrometer = spectrometer
        self._device = settings
        self._description: SpectrometerDescription | None = None
        self._settings: SpectrometerSettings | None = None
        self._last_s: float | None = None
        self._last_counts: np.ndarray | None = None

    @property
    def description(self) -> SpectrometerDescription | None:
        """What was found when it was opened; None while it is closed."""
        return self._description

    def open(self, timeout_s: float) -> SpectrometerDescription:
        """Open the spectrometer and check that it is the one of the site file. See ``Spectrometer.open``."""
        if self._description is not None:
            return self._description
        try:
            found = self._call("opening the spectrometer", lambda: self._spectrometer.open(timeout_s), timeout_s)
            for key, wanted, value in (
                ("serial", self._device.serial, found.serial),
                ("model", self._device.model, found.model),
            ):
                if wanted is not None and _plain(value) != _plain(wanted):
                    raise WrongDeviceError(
                        f"the spectrometer {found.model} with the serial number {found.serial} is connected, "
                        f"not one with {key} {wanted}",
                        device=self._name,
                        remedy=f"connect the right spectrometer, or correct {key} in the site file",
                    )
            if found.pixels < 16 or not found.saturation_counts > 0:
                raise self._wrong("describes itself wrongly", value=found)
        except DeviceError:
            self.close()
            raise
        self._description = found
        self._settings = self._last_s = self._last_counts = None
        return found

    def close(self) -> None:
        """Close the spectrometer; nothing happens where it is closed already."""
        self._description = None
        try:
            if not self._caller.stuck:
                self._call("closing the spectrometer", self._spectrometer.close, _CLOSE_S)
        except DeviceError:
            pass
        finally:
            self._caller.finish()

    def configure(self, settings: SpectrometerSettings) -> SpectrometerSettings:
        """Set the next spectrum; values outside the limits of site file and device are refused by name."""
        found = self._require_open()
        low = max(self._device.minimum_integration_time_s, found.integration_time_limits_s[0])
        high = min(self._device.maximum_integration_time_s, found.integration_time_limits_s[1])
        _require(self._name, "integration_time_s", settings.integration_time_s, low, high, "s")
        _require(self._name, "coadds", settings.coadds, 1, self._device.maximum_coadds, "")
        self._settings = self._call(
            "setting the spectrometer", lambda: self._spectrometer.configure(settings), _CONFIGURE_S
        )
        return self._settings

    def capture(self, at_monotonic_s: float | None, timeout_s: float) -> RawSpectrum:
        """Return a spectrum that passed all checks. See ``Spectrometer.capture``."""
        found = self._require_open()
        asked_s = self._context.clock.monotonic_s()
        expected_s = 0.0
        if self._settings is not None:
            expected_s = self._settings.integration_time_s * self._settings.coadds
        limit_s = self._wait_s(at_monotonic_s) + 2 * expected_s + timeout_s
        spectrum = self._call(
            "taking a spectrum", lambda: self._spectrometer.capture(at_monotonic_s, timeout_s), limit_s
        )
        self._check(spectrum, found, asked_s)
        self._last_s, self._last_counts = spectrum.mid_exposure_s, spectrum.counts
        return spectrum

    def stage(self, kind: FrameKind | SpectrumKind, cell_ppm_m: float | None = None) -> None:
        """Tell a simulated or replayed spectrometer what is in front of it; a real one sees for itself."""
        if isinstance(self._spectrometer, Staged):
            self._spectrometer.stage(kind, cell_ppm_m)

    def _require_open(self) -> SpectrometerDescription:
        if self._description is None:
            raise DeviceMissingError("the spectrometer is not open", device=self._name)
        return self._description

    def _check(self, spectrum: RawSpectrum, found: SpectrometerDescription, asked_s: float) -> None:
        if not isinstance(spectrum, RawSpectrum):
            raise self._wrong("gave no spectrum", value=type(spectrum).__name__)
        for what, values in (("wavelengths", spectrum.wavelengths_nm), ("counts", spectrum.counts)):
            if values.shape != (found.pixels,) or values.dtype != np.float64:
                raise self._wrong(
                    f"the {what} have the wrong shape or type: expected ({found.pixels},) of float64",
                    value=f"{values.shape} of {values.dtype}",
                )
            if not np.all(np.isfinite(values)):
                raise self._wrong(f"some {what} are no finite numbers")
        if not np.all(np.diff(spectrum.wavelengths_nm) > 0):
            raise self._wrong("the wavelengths do not increase")
        if spectrum.serial != found.serial:
            raise WrongDeviceError(
                f"the spectrum came from the spectrometer {spectrum.serial}, not {found.serial}", device=self._name
            )
        low, high = float(spectrum.counts.min()), float(spectrum.counts.max())
        if high > 1.001 * found.saturation_counts or low < -0.1 * found.saturation_counts:
            raise self._wrong(
                f"the spectrum has counts that a readout cannot have (up to {found.saturation_counts:g})",
                value=(low, high),
            )
        if spectrum.time.utcoffset() != timedelta(0):
            raise self._wrong("the spectrum's time is not UTC", value=spectrum.time)
        if self._settings is not None and RECORDED not in found.details:
            wanted = self._settings.integration_time_s
            self._check_exposure("the integration time", wanted, spectrum.integration_time_s, 0.0)
            if spectrum.coadds != self._settings.coadds:
                raise self._wrong(f"the coadds are not what was set: {self._settings.coadds}", value=spectrum.coadds)
        end_s = spectrum.mid_exposure_s + spectrum.duration_s / 2
        self._check_time("spectrum", spectrum.mid_exposure_s, end_s, asked_s, self._last_s)
        same = self._last_counts is not None and np.array_equal(self._last_counts, spectrum.counts)
        if same and found.details.keys().isdisjoint((NOISELESS, RECORDED)) and low != high:
            raise self._wrong("gave the same spectrum twice, pixel for pixel: the detector hangs")


def _plain(text: str) -> str:
    """Return letters and digits only, folded: vendors write Flame-S as FLAMES and FLAME-S."""
    return "".join(letter for letter in text.casefold() if letter.isalnum())


def _require(device: str, key: str, value: float, low: float, high: float, unit: str) -> None:
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
