"""Simulated devices: camera, spectrometer, power board and wires, as the agent's drivers ``simulated``.

All devices of a run look at one scene. Options of cameras and spectrometers:

``scene``       ``cheap`` (default) or ``live``: the volcano with known truth of ``so2cam.simulate.live``
``scenario``    of the live scene: a name or file, as for ``so2cam simulate``
``start``       of the live scene: when the scenario starts, UTC; a quarter of an hour before the run if absent
``seed``        0 if absent; all devices of an installation need the same one
``brightness``  of the light, 1 if absent
``light``       ``day`` (default) always, or ``sun``: as the sun stands at ``latitude`` and ``longitude``
``width_px``, ``height_px``, ``bits``, ``scale``  of a cheap scene: 648, 486, 10 and 1 stored count for one DN
``serial``      what the device answers; its name if absent
``jitter_s``    1 sigma of the moment of a frame, 0.0005 s if absent
``readout_s``   from the end of an exposure to the frame, 0.005 s if absent

Options of the power board: ``voltage_v`` (12.6), ``temperature_c`` (18). Options of the wires: ``folder`` in which
lines are files, and ``connected`` = {start = "start-follower"}: which output an input hangs on.
"""

import math
from datetime import datetime
from typing import Final

import numpy as np
from pydantic import AwareDatetime, Field

from so2cam.core.records import FrameKind
from so2cam.core.site_devices import CameraDevice, GpioDevice, PowerDevice, SpectrometerDevice
from so2cam.core.site_types import NotNegative, Positive, Table
from so2cam.core.spectra import SpectrumKind
from so2cam.devices.checked import NOISELESS
from so2cam.devices.errors import (
    DeviceMissingError,
    DeviceSettingError,
    DeviceStoppedError,
    DeviceTimeoutError,
)
from so2cam.devices.options import check_options
from so2cam.devices.protocols import DeviceContext
from so2cam.devices.records import (
    CameraDescription,
    CameraSettings,
    RawFrame,
    RawSpectrum,
    SpectrometerDescription,
    SpectrometerSettings,
)
from so2cam.observe.statistics import SATURATION_FRACTION
from so2cam.simulate.boards import GpioOptions, PowerOptions, SimulatedGpio, SimulatedPower
from so2cam.simulate.device_scenes import LIVE_LEAD, CheapDeviceScene, DeviceScene, LiveDeviceScene

_EXPOSURES_S: Final = (1e-5, 6.0)
_GAINS: Final = (1.0, 16.0)
_INTEGRATION_TIMES_S: Final = (0.001, 65.0)
_FRAME_KINDS: Final = {kind.value: kind for kind in FrameKind}
_SPECTRUM_KINDS: Final = {kind.value: kind for kind in SpectrumKind}


class SceneOptions(Table):
    """Options of simulated cameras and spectrometers; see the module."""

    scene: str = Field(default="cheap", pattern="^(cheap|live)$")
    scenario: str = "baseline"
    start: AwareDatetime | None = None
    seed: int = Field(default=0, ge=0)
    brightness: Positive = 1.0
    light: str = Field(default="day", pattern="^(day|sun)$")
    latitude: float = Field(default=0.0, ge=-90, le=90)
    longitude: float = Field(default=0.0, ge=-180, le=180)
    serial: str | None = None
    jitter_s: NotNegative = 0.0005
    readout_s: NotNegative = 0.005
    width_px: int = Field(default=648, ge=16, le=4096)
    height_px: int = Field(default=486, ge=16, le=4096)
    scale: int = Field(default=1, ge=1, le=64)
    bits: int = Field(default=10, ge=8, le=16)


def create(
    settings: CameraDevice | SpectrometerDevice | PowerDevice | GpioDevice, context: DeviceContext
) -> "SimulatedCamera | SimulatedSpectrometer | SimulatedPower | SimulatedGpio":
    """Return the simulated device that ``settings`` describe. Raises DriverError for unknown options."""
    if isinstance(settings, CameraDevice):
        return SimulatedCamera(settings, check_options(SceneOptions, settings.options, settings.name), context)
    if isinstance(settings, SpectrometerDevice):
        return SimulatedSpectrometer(settings, check_options(SceneOptions, settings.options, settings.name), context)
    if isinstance(settings, PowerDevice):
        return SimulatedPower(settings, check_options(PowerOptions, settings.options, settings.name), context)
    return SimulatedGpio(settings, check_options(GpioOptions, settings.options, settings.name), context)


def build_device_scene(options: SceneOptions, context: DeviceContext, device: str) -> DeviceScene:
    """Return the scene that the options ask for. Raises DriverError for a scenario that is not known."""
    if options.scene == "live":
        start = options.start or context.run_start - LIVE_LEAD
        return LiveDeviceScene(options.scenario, options.seed, start, device)
    return CheapDeviceScene(
        options.seed, width_px=options.width_px, height_px=options.height_px, bits=options.bits, scale=options.scale
    )


class _Looking:
    """What a camera and a spectrometer share: the scene, what is in front of them, and waiting for a moment."""

    def __init__(self, name: str, options: SceneOptions, context: DeviceContext) -> None:
        self._name = name
        self._options = options
        self._context = context
        self._serial = options.serial or f"simulated-{name}"
        self._scene: DeviceScene | None = None
        self._cell_ppm_m: float | None = None
        self._rng = np.random.default_rng([options.seed, len(name), *name.encode()])

    def close(self) -> None:
        """Let the scene go."""
        self._scene = None

    def _open(self) -> DeviceScene:
        if self._scene is None:
            self._scene = build_device_scene(self._options, self._context, self._name)
        return self._scene

    def _require_scene(self) -> DeviceScene:
        if self._scene is None:
            raise DeviceMissingError("the simulated device is not open", device=self._name)
        return self._scene

    def _expose(self, at_monotonic_s: float | None, duration_s: float, timeout_s: float) -> float:
        """Wait for an exposure of ``duration_s`` around the moment; return its middle on the monotonic clock."""
        clock = self._context.clock
        now = clock.monotonic_s()
        start = now if at_monotonic_s is None else at_monotonic_s - duration_s / 2
        start = max(now, start + self._options.jitter_s * float(self._rng.standard_normal()))
        end = start + duration_s + self._options.readout_s
        latest = max(now, at_monotonic_s or now) + timeout_s
        while not clock.wait_until(min(end, latest), self._context.stop):
            if self._context.stop.is_set():
                raise DeviceStoppedError("the exposure was given up, because the program stops", device=self._name)
        if end > latest:
            raise DeviceTimeoutError(
                f"an exposure of {duration_s:g} s does not end within the time limit of {timeout_s:g} s",
                device=self._name,
            )
        return start + duration_s / 2

    def _brightness(self, time: datetime) -> float:
        options = self._options
        if options.light == "day":
            return options.brightness
        from so2cam.observe.sun import sun_elevation_deg

        elevation = sun_elevation_deg(time, options.latitude, options.longitude)
        day = math.sin(math.radians(max(elevation, 0.0)))
        twilight = 0.03 * 10 ** (min(elevation, 0.0) / 3)
        return options.brightness * (day + twilight)


class SimulatedCamera(_Looking):
    """A camera that looks at the scene."""

    def __init__(self, settings: CameraDevice, options: SceneOptions, context: DeviceContext) -> None:
        super().__init__(settings.name, options, context)
        self._band = settings.band
        self._kind = FrameKind.PLUME
        self._settings = CameraSettings(settings.exposure_s, settings.gain)
        self._number = 0

    def open(self, timeout_s: float) -> CameraDescription:
        """See ``Camera.open``."""
        scene = self._open()
        options, shape = self._options, scene.shape
        return CameraDescription(
            driver="simulated",
            model=f"{options.scene} scene",
            serial=self._serial,
            width_px=shape.width_px,
            height_px=shape.height_px,
            bits=shape.bits,
            exposure_limits_s=_EXPOSURES_S,
            gain_limits=_GAINS,
            scale=shape.scale,
            binning=4,
            exposure_step_s=1e-6,
            details={NOISELESS: True} if scene.noiseless else {},
        )

    def configure(self, settings: CameraSettings) -> CameraSettings:
        """See ``Camera.configure``."""
        low, high = _EXPOSURES_S
        if not (low <= settings.exposure_s <= high and _GAINS[0] <= settings.gain <= _GAINS[1]):
            raise DeviceSettingError("is outside the simulated camera's limits", device=self._name, value=settings)
        self._settings = CameraSettings(round(settings.exposure_s * 1e6) / 1e6, settings.gain)
        return self._settings

    def stage(self, kind: FrameKind | SpectrumKind, cell_ppm_m: float | None = None) -> None:
        """See ``Staged.stage``. A lamp is of no use to a camera: it sees the sky."""
        self._kind = _FRAME_KINDS.get(kind.value, FrameKind.CLEAR)
        self._cell_ppm_m = cell_ppm_m

    def capture(self, at_monotonic_s: float | None, timeout_s: float) -> RawFrame:
        """See ``Camera.capture``."""
        scene = self._require_scene()
        used = self._settings
        middle = self._expose(at_monotonic_s, used.exposure_s, timeout_s)
        time_utc = self._context.clock.utc_at(middle)
        counts = scene.frame(
            self._band,
            self._kind,
            time_utc,
            used.exposure_s,
            used.gain,
            self._cell_ppm_m,
            brightness=self._brightness(time_utc),
        )
        shape = scene.shape
        limit = math.ceil(SATURATION_FRACTION * (2**shape.bits - 1) * shape.scale)
        self._number += 1
        return RawFrame(
            counts=counts,
            scale=shape.scale,
            bits=shape.bits,
            time=time_utc,
            mid_exposure_s=middle,
            exposure_s=used.exposure_s,
            gain=used.gain,
            serial=self._serial,
            saturated_share=float(np.count_nonzero(counts >= limit)) / counts.size,
            sensor_timestamp_s=middle + used.exposure_s / 2,
            metadata={"simulated": True, "scene": self._options.scene, "number": self._number},
        )


class SimulatedSpectrometer(_Looking):
    """A spectrometer that looks at the scene."""

    def __init__(self, settings: SpectrometerDevice, options: SceneOptions, context: DeviceContext) -> None:
        super().__init__(settings.name, options, context)
        self._kind = SpectrumKind.PLUME
        self._model = settings.model or "Simulated"
        self._settings = SpectrometerSettings(settings.integration_time_s, settings.coadds)

    def open(self, timeout_s: float) -> SpectrometerDescription:
        """See ``Spectrometer.open``."""
        scene = self._open()
        wavelengths, _ = scene.spectrum(SpectrumKind.DARK, self._context.clock.utc(), 0.01)
        return SpectrometerDescription(
            driver="simulated",
            model=self._model,
            serial=self._serial,
            pixels=wavelengths.size,
            wavelength_range_nm=(float(wavelengths[0]), float(wavelengths[-1])),
            integration_time_limits_s=_INTEGRATION_TIMES_S,
            saturation_counts=scene.shape.saturation_counts,
            details={NOISELESS: True} if scene.noiseless else {},
        )

    def configure(self, settings: SpectrometerSettings) -> SpectrometerSettings:
        """See ``Spectrometer.configure``."""
        low, high = _INTEGRATION_TIMES_S
        if not low <= settings.integration_time_s <= high or settings.coadds < 1:
            raise DeviceSettingError(
                "is outside the simulated spectrometer's limits", device=self._name, value=settings
            )
        self._settings = settings
        return settings

    def stage(self, kind: FrameKind | SpectrumKind, cell_ppm_m: float | None = None) -> None:
        """See ``Staged.stage``. A gas cell is not in front of the spectrometer: it sees the sky."""
        self._kind = _SPECTRUM_KINDS.get(kind.value, SpectrumKind.CLEAR)
        self._cell_ppm_m = cell_ppm_m

    def capture(self, at_monotonic_s: float | None, timeout_s: float) -> RawSpectrum:
        """See ``Spectrometer.capture``."""
        scene = self._require_scene()
        used = self._settings
        duration = used.integration_time_s * used.coadds
        middle = self._expose(at_monotonic_s, duration, duration + timeout_s)
        time_utc = self._context.clock.utc_at(middle)
        wavelengths, counts = scene.spectrum(
            self._kind, time_utc, used.integration_time_s, used.coadds, brightness=self._brightness(time_utc)
        )
        saturated = float(np.count_nonzero(counts >= SATURATION_FRACTION * scene.shape.saturation_counts)) / counts.size
        return RawSpectrum(
            wavelengths_nm=wavelengths,
            counts=counts,
            time=time_utc,
            mid_exposure_s=middle,
            integration_time_s=used.integration_time_s,
            coadds=used.coadds,
            duration_s=duration,
            serial=self._serial,
            saturation_counts=scene.shape.saturation_counts,
            saturated_share=saturated,
            metadata={"simulated": True, "scene": self._options.scene},
        )
