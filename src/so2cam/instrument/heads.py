"""Cameras and spectrometers seen alike: open, set, take, measure, and tell what was taken."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final, Protocol

from so2cam.core.records import FrameKind
from so2cam.core.site_devices import (
    LONGEST_EXPOSURE_S,
    MAXIMUM_COADDS,
    SHORTEST_EXPOSURE_S,
    CameraDevice,
    SpectrometerDevice,
)
from so2cam.core.spectra import SpectrumKind
from so2cam.devices.errors import DeviceError, DeviceSettingError
from so2cam.devices.protocols import DeviceContext
from so2cam.devices.records import (
    CameraDescription,
    CameraSettings,
    RawFrame,
    RawSpectrum,
    SpectrometerDescription,
    SpectrometerSettings,
)
from so2cam.devices.registry import create_camera, create_spectrometer
from so2cam.instrument.launch import Capturing
from so2cam.observe.exposure import ExposureLaw, camera_law, spectrometer_law
from so2cam.observe.statistics import DarkCheck, LightLevel, frame_level, is_dark, spectrum_level

FRAME_KINDS: Final[Mapping[str, FrameKind]] = {kind.value: kind for kind in FrameKind}
SPECTRUM_KINDS: Final[Mapping[str, SpectrumKind]] = {
    "lamp": SpectrumKind.LAMP,
    **{kind.value: kind for kind in SpectrumKind if kind is not SpectrumKind.LAMP},
}


@dataclass(frozen=True, slots=True)
class Taken:
    """A frame or spectrum, and what of it the agent needs."""

    raw: RawFrame | RawSpectrum
    time: datetime
    """mid-exposure, UTC"""
    mid_exposure_s: float
    """the same by the monotonic clock [s]"""
    exposure_s: float
    gain: float | None
    coadds: int
    duration_s: float
    """from the start of the (first) exposure to the end of the (last) one [s]"""
    saturated_share: float


class Head(Protocol):
    """A device that takes something."""

    def open(self, timeout_s: float) -> Mapping[str, Any]:
        """Open it; return driver, model, serial and limits, as JSON can hold them. Raises DeviceError."""
        ...

    def close(self) -> None:
        """Close it."""
        ...

    def configure(self, exposure_s: float, gain: float, coadds: int) -> tuple[float, float, int]:
        """Set the next item; return exposure, gain and coadds as applied. Raises DeviceError."""
        ...

    def capture(self, at_monotonic_s: float | None, timeout_s: float) -> Taken:
        """Take one. Raises DeviceError."""
        ...

    def stage(self, kind: str, cell_ppm_m: float | None) -> None:
        """Tell a device that does not see for itself what is in front of it."""
        ...

    def level(self, device: Capturing, taken: Taken, dark_dn: float) -> LightLevel:
        """Return how bright the part of it is that ``device`` sets."""
        ...

    def dark_check(self, taken: Taken, highest_share: float) -> DarkCheck:
        """Return whether it was taken without light."""
        ...

    def law(self, device: Capturing) -> ExposureLaw:
        """Return the exposure law that ``device`` sets."""
        ...

    @property
    def kinds(self) -> tuple[str, ...]:
        """What it can be asked to take."""
        ...


class CameraHead:
    """A camera. Its own limits hold; those of the site file are the settings' affair."""

    kinds = tuple(FRAME_KINDS)

    def __init__(self, device: CameraDevice, context: DeviceContext) -> None:
        self._device = device
        widest = {"minimum_exposure_s": SHORTEST_EXPOSURE_S, "maximum_exposure_s": LONGEST_EXPOSURE_S}
        self._camera = create_camera(device.model_copy(update=widest), context)
        self._found: CameraDescription | None = None

    def open(self, timeout_s: float) -> Mapping[str, Any]:
        """See ``Head``."""
        found = self._camera.open(timeout_s)
        self._found = found
        return {
            "driver": found.driver,
            "model": found.model,
            "serial": found.serial,
            "width_px": found.width_px,
            "height_px": found.height_px,
            "bits": found.bits,
            "exposure_limits_s": list(found.exposure_limits_s),
            "gain_limits": list(found.gain_limits),
        }

    def close(self) -> None:
        """See ``Head``."""
        self._found = None
        self._camera.close()

    def configure(self, exposure_s: float, gain: float, coadds: int) -> tuple[float, float, int]:
        """See ``Head``."""
        limits = self._opened.exposure_limits_s
        applied = self._camera.configure(CameraSettings(_clamp(exposure_s, limits), gain))
        return applied.exposure_s, applied.gain, 1

    def capture(self, at_monotonic_s: float | None, timeout_s: float) -> Taken:
        """See ``Head``."""
        raw = self._camera.capture(at_monotonic_s, timeout_s)
        return Taken(
            raw, raw.time, raw.mid_exposure_s, raw.exposure_s, raw.gain, 1, raw.exposure_s, raw.saturated_share
        )

    def stage(self, kind: str, cell_ppm_m: float | None) -> None:
        """See ``Head``."""
        stage = getattr(self._camera, "stage", None)
        if stage is not None:
            stage(FRAME_KINDS[kind], cell_ppm_m)

    def level(self, device: Capturing, taken: Taken, dark_dn: float) -> LightLevel:
        """See ``Head``."""
        raw = _frame(taken)
        automatic = device.automatic
        return frame_level(
            raw.counts,
            scale=raw.scale,
            maximum_dn=raw.maximum_dn,
            dark_dn=dark_dn,
            brightest_pixels=automatic.brightest_pixels,
            rows=automatic.rows,
        )

    def dark_check(self, taken: Taken, highest_share: float) -> DarkCheck:
        """See ``Head``."""
        raw = _frame(taken)
        return is_dark(raw.counts, scale=raw.scale, maximum_dn=raw.maximum_dn, highest_share=highest_share)

    def law(self, device: Capturing) -> ExposureLaw:
        """See ``Head``."""
        if not isinstance(device, CameraDevice):
            raise TypeError("the settings are no camera's")
        law = camera_law(device, step_s=self._opened.exposure_step_s)
        return _within(law, self._opened.exposure_limits_s)

    @property
    def _opened(self) -> CameraDescription:
        if self._found is None:
            raise DeviceError("the camera is not open", device=self._device.name)
        return self._found


class SpectrometerHead:
    """A spectrometer. Its own limits hold; those of the site file are the settings' affair."""

    kinds = tuple(SPECTRUM_KINDS)

    def __init__(self, device: SpectrometerDevice, context: DeviceContext) -> None:
        self._device = device
        widest = {
            "minimum_integration_time_s": SHORTEST_EXPOSURE_S,
            "maximum_integration_time_s": LONGEST_EXPOSURE_S,
            "maximum_coadds": MAXIMUM_COADDS,
        }
        self._spectrometer = create_spectrometer(device.model_copy(update=widest), context)
        self._found: SpectrometerDescription | None = None

    def open(self, timeout_s: float) -> Mapping[str, Any]:
        """See ``Head``."""
        found = self._spectrometer.open(timeout_s)
        self._found = found
        return {
            "driver": found.driver,
            "model": found.model,
            "serial": found.serial,
            "pixels": found.pixels,
            "wavelength_range_nm": list(found.wavelength_range_nm),
            "exposure_limits_s": list(found.integration_time_limits_s),
        }

    def close(self) -> None:
        """See ``Head``."""
        self._found = None
        self._spectrometer.close()

    def configure(self, exposure_s: float, gain: float, coadds: int) -> tuple[float, float, int]:
        """See ``Head``."""
        limits = self._opened.integration_time_limits_s
        applied = self._spectrometer.configure(SpectrometerSettings(_clamp(exposure_s, limits), coadds))
        return applied.integration_time_s, 1.0, applied.coadds

    def capture(self, at_monotonic_s: float | None, timeout_s: float) -> Taken:
        """See ``Head``."""
        raw = self._spectrometer.capture(at_monotonic_s, timeout_s)
        return Taken(
            raw,
            raw.time,
            raw.mid_exposure_s,
            raw.integration_time_s,
            None,
            raw.coadds,
            raw.duration_s,
            raw.saturated_share,
        )

    def stage(self, kind: str, cell_ppm_m: float | None) -> None:
        """See ``Head``."""
        stage = getattr(self._spectrometer, "stage", None)
        if stage is not None:
            stage(SPECTRUM_KINDS[kind], cell_ppm_m)

    def level(self, device: Capturing, taken: Taken, dark_dn: float) -> LightLevel:
        """See ``Head``."""
        raw = _spectrum(taken)
        automatic = device.automatic
        return spectrum_level(
            raw.wavelengths_nm,
            raw.counts,
            saturation_counts=raw.saturation_counts,
            dark_counts=dark_dn,
            window_nm=automatic.window_nm,
            brightest_pixels=automatic.brightest_pixels,
            saturated_share=raw.saturated_share,
        )

    def dark_check(self, taken: Taken, highest_share: float) -> DarkCheck:
        """See ``Head``."""
        raw = _spectrum(taken)
        return is_dark(raw.counts, maximum_dn=raw.saturation_counts, highest_share=highest_share)

    def law(self, device: Capturing) -> ExposureLaw:
        """See ``Head``."""
        if not isinstance(device, SpectrometerDevice):
            raise TypeError("the settings are no spectrometer's")
        return _within(spectrometer_law(device), self._opened.integration_time_limits_s)

    @property
    def _opened(self) -> SpectrometerDescription:
        if self._found is None:
            raise DeviceError("the spectrometer is not open", device=self._device.name)
        return self._found


def create_head(device: Capturing, context: DeviceContext) -> Head:
    """Return the head of ``device``, not open yet. Raises DriverError where its driver cannot be had."""
    if isinstance(device, CameraDevice):
        return CameraHead(device, context)
    return SpectrometerHead(device, context)


def require_exposure(device: str, exposure_s: float, limits_s: tuple[float, float]) -> None:
    """Raise DeviceSettingError where an exposure lies outside a device's own limits."""
    if not limits_s[0] <= exposure_s <= limits_s[1]:
        raise DeviceSettingError(
            f"must be from {limits_s[0]:g} to {limits_s[1]:g} s, the limits of the device",
            device=device,
            key=f"{device}.exposure_s",
            value=exposure_s,
            remedy="choose an exposure within them",
        )


def _within(law: ExposureLaw, limits_s: tuple[float, float]) -> ExposureLaw:
    shortest = max(law.shortest_s, limits_s[0])
    return replace(law, shortest_s=shortest, longest_s=max(shortest, min(law.longest_s, limits_s[1])))


def _clamp(value: float, limits: tuple[float, float]) -> float:
    return min(max(value, limits[0]), limits[1])


def _frame(taken: Taken) -> RawFrame:
    if not isinstance(taken.raw, RawFrame):
        raise TypeError("not a frame")
    return taken.raw


def _spectrum(taken: Taken) -> RawSpectrum:
    if not isinstance(taken.raw, RawSpectrum):
        raise TypeError("not a spectrum")
    return taken.raw
