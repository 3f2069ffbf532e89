"""Cameras of the Raspberry Pi, through its system package picamera2: driver ``picamera2``.

The raw stream is taken (10 bits, full resolution) and binned by summing, so that no bit is lost. The sensor runs
freely; its frame duration is trimmed until mid-exposures fall on the wanted moments (``frame_timing``). Every frame's
own metadata says which exposure and gain it really had: frames that still have the old ones are passed over.

Options: ``raw_format`` (SGBRG10), ``binning`` (4), ``frame_s`` (0.2: preferred duration of a frame), ``lag_frames``
(6: frames until a setting works), ``readout_s`` (of one frame; the shortest frame duration if absent), ``hflip``,
``vflip``, ``tuning`` (a tuning file).

The time stamp of the sensor (``SensorTimestamp``) is that of the first row's readout on the monotonic clock. The
middle of the exposure of the middle row, which counts as that of the frame, is half of the readout later and half of
the exposure earlier.

This driver was tested against an imitation of picamera2 only, made from its documentation and source text; it has
not been run on hardware by its authors.
"""

import contextlib
import math
import threading
import time
from collections.abc import Mapping
from typing import Any, Final

from pydantic import Field

from so2cam.core.site_devices import CameraDevice
from so2cam.core.site_types import Positive, Table
from so2cam.devices.errors import (
    DeviceDataError,
    DeviceError,
    DeviceMissingError,
    DeviceSettingError,
    DeviceStoppedError,
    DeviceTimeoutError,
    DriverError,
)
from so2cam.devices.frame_timing import FramePlan, LastFrame, frame_limits, plan_frames
from so2cam.devices.options import check_options
from so2cam.devices.picamera2_library import (
    MISSING,
    choose_camera,
    list_picamera2_cameras,
    load_picamera2,
    plain_metadata,
)
from so2cam.devices.protocols import DeviceContext
from so2cam.devices.raw_pixels import RawLayout, bin_raw, raw_layout, unpack_raw
from so2cam.devices.records import CameraDescription, CameraSettings, RawFrame
from so2cam.observe.statistics import SATURATION_FRACTION

_EXPOSURE_TOLERANCE: Final = 0.02
_EXPOSURE_TOLERANCE_S: Final = 1e-4
_GAIN_TOLERANCE: Final = 0.03
_BUFFERS: Final = 4
_LONGEST_EXPOSURE_S: Final = 6.0
_POLL_S: Final = 0.2
_SMALL: Final = (320, 240)
_DURATION_STEP_S: Final = 2e-6


class Picamera2Options(Table):
    """Options of the driver; see the module."""

    raw_format: str = Field(default="SGBRG10", min_length=2, max_length=32)
    binning: int = Field(default=4, ge=1, le=8)
    frame_s: float = Field(default=0.2, ge=0.02, le=10)
    lag_frames: int = Field(default=6, ge=0, le=30)
    readout_s: Positive | None = None
    hflip: bool = False
    vflip: bool = False
    tuning: str | None = None


def create(settings: CameraDevice, context: DeviceContext) -> "Picamera2Camera":
    """Return the camera that ``settings`` describe. picamera2 is imported when it is opened.

    Raises DriverError for unknown options.
    """
    options = check_options(Picamera2Options, settings.options, settings.name)
    return Picamera2Camera(settings, options, context)


class Picamera2Camera:
    """One camera of a Raspberry Pi."""

    def __init__(
        self, settings: CameraDevice, options: Picamera2Options, context: DeviceContext, vendor: Any = None
    ) -> None:
        self._name = settings.name
        self._device = settings
        self._options = options
        self._context = context
        self._vendor = vendor
        self._camera: Any = None
        self._description: CameraDescription | None = None
        self._layout: RawLayout | None = None
        self._settings = CameraSettings(settings.exposure_s, settings.gain)
        self._frame_range_s = (0.0, math.inf)
        self._duration_s: float | None = None
        self._last: LastFrame | None = None
        self._frame_plan: FramePlan | None = None
        self._pending: tuple[Any, threading.Event] | None = None

    def open(self, timeout_s: float) -> CameraDescription:
        """See ``Camera.open``."""
        if self._description is not None:
            return self._description
        vendor = self._vendor if self._vendor is not None else load_picamera2(self._name)
        index, model, serial = choose_camera(self._device, list_picamera2_cameras(vendor))
        try:
            tuning = None
            if self._options.tuning is not None:
                tuning = vendor.Picamera2.load_tuning_file(self._options.tuning)
            self._camera = vendor.Picamera2(index, tuning=tuning)
            self._description = self._start(model, serial)
        except (RuntimeError, IndexError, OSError) as error:
            self.close()
            raise DeviceMissingError(
                f"the camera {index} cannot be opened: {error}",
                device=self._name,
                remedy=f"{MISSING}; no other program may use the camera",
            ) from error
        except DeviceError:
            self.close()
            raise
        return self._description

    def close(self) -> None:
        """See ``Camera.close``."""
        camera, self._camera = self._camera, None
        self._description = self._layout = self._last = self._pending = self._duration_s = self._frame_plan = None
        if camera is None:
            return
        for end in (camera.stop, camera.close):
            with contextlib.suppress(RuntimeError, OSError):
                end()

    def configure(self, settings: CameraSettings) -> CameraSettings:
        """See ``Camera.configure``. The exposure is set in whole microseconds; the sensor rounds to its lines."""
        description = self._require_open()
        for key, value, (low, high) in (
            ("exposure_s", settings.exposure_s, description.exposure_limits_s),
            ("gain", settings.gain, description.gain_limits),
        ):
            if not low <= value <= high:
                raise DeviceSettingError(
                    f"must be from {low:g} to {high:g}", device=self._name, key=f"{self._name}.{key}", value=value
                )
        self._settings = CameraSettings(round(settings.exposure_s * 1e6) * 1e-6, settings.gain)
        duration = self._plan(None)
        if duration != self._duration_s:
            self._frame_plan = None
        self._set_controls(duration)
        return self._settings

    def capture(self, at_monotonic_s: float | None, timeout_s: float) -> RawFrame:
        """See ``Camera.capture``."""
        description = self._require_open()
        clock = self._context.clock
        asked_s = clock.monotonic_s()
        deadline_s = max(asked_s, at_monotonic_s or asked_s) + timeout_s
        self._trim(at_monotonic_s)
        half_s = 0.5 * (self._duration_s or 0.0)
        reason = "no frame came"
        while True:
            request = self._next_request(deadline_s, reason)
            try:
                metadata = plain_metadata(request.get_metadata())
                middle_s, exposure_s, gain = self._timing(metadata)
                self._last = LastFrame(middle_s, None)
                self._count_frame()
                if not self._is_as_set(exposure_s, gain):
                    reason = (
                        f"the sensor does not take its settings: {self._settings.exposure_s:g} s and gain "
                        f"{self._settings.gain:g} were set, it reports {exposure_s:g} s and {gain:g}"
                    )
                    continue
                too_early = at_monotonic_s is not None and middle_s < at_monotonic_s - half_s
                if too_early or middle_s + exposure_s / 2 < asked_s:
                    reason = "no frame came at the wanted moment"
                    continue
                self._last = LastFrame(middle_s, at_monotonic_s)
                buffer = request.make_buffer("raw")
            finally:
                request.release()
            return self._make_frame(buffer, metadata, middle_s, exposure_s, gain, description)

    def _start(self, model: str, serial: str) -> CameraDescription:
        """Configure the raw stream, start the camera, and return what it is."""
        camera, options = self._camera, self._options
        width, height = (int(size) for size in camera.sensor_resolution)
        transform: dict[str, Any] = {}
        if options.hflip or options.vflip:
            import libcamera

            transform["transform"] = libcamera.Transform(hflip=options.hflip, vflip=options.vflip)
        configuration = camera.create_still_configuration(
            main={"size": _SMALL},
            raw={"size": (width, height), "format": options.raw_format},
            buffer_count=_BUFFERS,
            queue=False,
            display=None,
            encode=None,
            **transform,
        )
        camera.configure(configuration)
        granted = camera.camera_configuration()
        raw = granted["raw"]
        sensor_bits = (granted.get("sensor") or {}).get("bit_depth")
        raw_width, raw_height = (int(size) for size in raw["size"])
        layout = raw_layout(str(raw["format"]), raw_width, raw_height, int(raw["stride"]), sensor_bits)
        if raw_width % options.binning or raw_height % options.binning:
            raise DriverError(
                f"{raw_width} x {raw_height} pixels cannot be binned by {options.binning}",
                device=self._name,
                key=f"{self._name}.options.binning",
                value=options.binning,
                remedy="choose a binning that divides both",
            )
        if options.binning**2 * (2**layout.bits - 1) > 65535:
            raise DriverError(
                f"binning by {options.binning} does not fit {layout.bits} bits into 16",
                device=self._name,
                key=f"{self._name}.options.binning",
                value=options.binning,
                remedy="choose a smaller binning",
            )
        controls = camera.camera_controls
        frames_us = controls["FrameDurationLimits"]
        self._frame_range_s = (float(frames_us[0]) * 1e-6, float(frames_us[1]) * 1e-6 or _LONGEST_EXPOSURE_S)
        exposures_us, gains = controls["ExposureTime"], controls["AnalogueGain"]
        longest = float(exposures_us[1]) * 1e-6 or _LONGEST_EXPOSURE_S
        exposure_limits = (max(float(exposures_us[0]), 1.0) * 1e-6, min(longest, self._frame_range_s[1]))
        self._layout = layout
        self._settings = CameraSettings(
            min(max(self._settings.exposure_s, exposure_limits[0]), exposure_limits[1]), self._settings.gain
        )
        self._set_controls(self._plan(None), first=True)
        camera.start()
        return CameraDescription(
            driver="picamera2",
            model=model or str(camera.camera_properties.get("Model", "unknown")),
            serial=serial,
            width_px=raw_width // options.binning,
            height_px=raw_height // options.binning,
            bits=layout.bits,
            exposure_limits_s=exposure_limits,
            gain_limits=(max(1.0, float(gains[0])), float(gains[1])),
            scale=options.binning**2,
            binning=options.binning,
            exposure_step_s=self._frame_range_s[0] / raw_height,
            details={"raw_format": str(raw["format"]), "frame_duration_limits_s": self._frame_range_s},
        )

    def _plan(self, at_monotonic_s: float | None) -> float:
        """Return the frame duration [s] that suits the exposure and, if given, the wanted moment."""
        limits = frame_limits(
            self._settings.exposure_s,
            minimum_s=self._frame_range_s[0],
            maximum_s=self._frame_range_s[1],
            preferred_s=self._options.frame_s,
        )
        if at_monotonic_s is None or self._last is None:
            if self._duration_s is not None and limits.shortest_s <= self._duration_s <= limits.longest_s:
                return self._duration_s
            return limits.preferred_s
        plan = plan_frames(at_monotonic_s, self._last, limits, lag=self._options.lag_frames, before=self._frame_plan)
        self._frame_plan = plan
        return plan.duration_s

    def _count_frame(self) -> None:
        """Go on in the plan of frame durations: a correction ends after its number of frames."""
        if self._frame_plan is None:
            return
        self._frame_plan = self._frame_plan.after_frame()
        self._set_duration(self._frame_plan.duration_s)

    def _set_duration(self, duration_s: float) -> None:
        if self._duration_s is None or abs(duration_s - self._duration_s) > _DURATION_STEP_S:
            self._set_controls(duration_s)

    def _trim(self, at_monotonic_s: float | None) -> None:
        """Set the frame duration for the wanted moment, if it differs."""
        self._set_duration(self._plan(at_monotonic_s))

    def _set_controls(self, duration_s: float, *, first: bool = False) -> None:
        """Hand exposure, gain and frame duration to the camera: they go with the next request, together."""
        self._duration_s = duration_s
        duration_us = round(duration_s * 1e6)
        controls: dict[str, Any] = {
            "ExposureTime": round(self._settings.exposure_s * 1e6),
            "AnalogueGain": float(self._settings.gain),
            "FrameDurationLimits": (duration_us, duration_us),
        }
        if first:
            controls |= {"AeEnable": False, "AwbEnable": False}
        try:
            self._camera.set_controls(controls)
        except RuntimeError as error:
            raise DeviceSettingError(f"the camera refuses its settings: {error}", device=self._name) from error

    def _next_request(self, deadline_s: float, reason: str) -> Any:
        """Return the next finished request; a job that timed out before is waited for first, not repeated."""
        clock = self._context.clock
        if self._pending is None:
            done = threading.Event()
            try:
                job = self._camera.capture_request(signal_function=lambda _job: done.set())
            except (RuntimeError, OSError) as error:
                raise DeviceMissingError(f"the camera is gone: {error}", device=self._name, remedy=MISSING) from error
            self._pending = (job, done)
        job, done = self._pending
        give_up = time.monotonic() + max(0.0, deadline_s - clock.monotonic_s())
        while not done.wait(min(_POLL_S, max(0.0, give_up - time.monotonic()))):
            if self._context.stop.is_set():
                raise DeviceStoppedError("the frame was given up, because the program stops", device=self._name)
            if time.monotonic() >= give_up:
                raise DeviceTimeoutError(reason, device=self._name, remedy=MISSING)
        self._pending = None
        try:
            request = self._camera.wait(job)
        except (RuntimeError, OSError) as error:
            raise DeviceMissingError(f"the camera is gone: {error}", device=self._name, remedy=MISSING) from error
        if clock.monotonic_s() > deadline_s:
            request.release()
            raise DeviceTimeoutError(reason, device=self._name, remedy=MISSING)
        return request

    def _timing(self, metadata: Mapping[str, Any]) -> tuple[float, float, float]:
        """Return the middle of the exposure (monotonic), the exposure [s] and the gain that the metadata tell."""
        try:
            stamp_s = float(metadata["SensorTimestamp"]) * 1e-9
            exposure_s = float(metadata["ExposureTime"]) * 1e-6
            gain = float(metadata["AnalogueGain"])
        except (KeyError, TypeError, ValueError) as error:
            raise DeviceDataError(
                f"the frame's metadata have no {error}",
                device=self._name,
                remedy="update the system: sudo apt full-upgrade",
            ) from error
        readout_s = self._options.readout_s
        if readout_s is None:
            readout_s = self._frame_range_s[0]
        return stamp_s + readout_s / 2 - exposure_s / 2, exposure_s, gain

    def _is_as_set(self, exposure_s: float, gain: float) -> bool:
        wanted = self._settings
        step_s = 0.0 if self._description is None else self._description.exposure_step_s
        allowed_s = max(_EXPOSURE_TOLERANCE * wanted.exposure_s, 2 * step_s, _EXPOSURE_TOLERANCE_S)
        near = abs(exposure_s - wanted.exposure_s) <= allowed_s
        return near and abs(gain - wanted.gain) <= _GAIN_TOLERANCE * wanted.gain

    def _make_frame(
        self,
        buffer: Any,
        metadata: Mapping[str, Any],
        middle_s: float,
        exposure_s: float,
        gain: float,
        description: CameraDescription,
    ) -> RawFrame:
        if self._layout is None:
            raise DeviceMissingError("the camera is not open", device=self._name)
        raw = unpack_raw(buffer, self._layout)
        limit = SATURATION_FRACTION * description.maximum_dn
        if int(raw.max()) > description.maximum_dn:
            raise DeviceDataError(
                f"the raw frame has counts above the {description.bits} bits of the sensor",
                device=self._name,
                value=int(raw.max()),
            )
        counts, saturated = bin_raw(raw, self._options.binning, saturation_dn=limit)
        return RawFrame(
            counts=counts,
            scale=description.scale,
            bits=description.bits,
            time=self._context.clock.utc_at(middle_s),
            mid_exposure_s=middle_s,
            exposure_s=exposure_s,
            gain=gain,
            serial=description.serial,
            saturated_share=saturated,
            sensor_timestamp_s=float(metadata["SensorTimestamp"]) * 1e-9,
            metadata=metadata,
        )

    def _require_open(self) -> CameraDescription:
        if self._description is None or self._camera is None:
            raise DeviceMissingError("the camera is not open", device=self._name)
        return self._description
