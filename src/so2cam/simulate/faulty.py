"""Devices that fail as real ones do, for tests: driver ``faulty`` around any other driver.

Options: ``inner`` = {driver = "simulated", options = {...}}; ``control``: a JSON file that says what is wrong while it
is there (relative to the site file), as ``FaultControl`` writes it; ``faults``: a plan by the number of the capture,
[{at = 10, kind = "hangs", captures = 3}].

=============  ========================================================================================
``raises``     the driver raises something that is no DeviceError
``hangs``      a call does not return (for ``seconds``, an hour if absent), whatever the program wants
``shape``      the frame has the wrong shape
``saturated``  all pixels at full scale
``stale``      the same frame again
``unplugged``  neither opens nor captures
``serial``     another device answers
``garbage``    random numbers
``crashes``    the process ends at once
``slow``       an answer takes ``seconds`` longer (5 if absent)
=============  ========================================================================================
"""

import json
import os
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from typing import Any, Final, TypeVar

import numpy as np
from pydantic import Field

from so2cam.core.records import FrameKind
from so2cam.core.site_devices import CameraDevice, SpectrometerDevice
from so2cam.core.site_types import NotNegative, Table
from so2cam.core.spectra import SpectrumKind
from so2cam.devices.errors import DeviceMissingError, DriverError
from so2cam.devices.options import check_options
from so2cam.devices.protocols import Camera, DeviceContext, Spectrometer, Staged
from so2cam.devices.records import (
    CameraDescription,
    CameraSettings,
    RawFrame,
    RawSpectrum,
    SpectrometerDescription,
    SpectrometerSettings,
)
from so2cam.devices.registry import create_raw

_HANG_S: Final = 3600.0
_SLOW_S: Final = 5.0
_EXIT_CODE: Final = 70
_OTHER: Final = "other-device"

_DataT = TypeVar("_DataT", RawFrame, RawSpectrum)
_DescriptionT = TypeVar("_DescriptionT", CameraDescription, SpectrometerDescription)


class FaultKind(StrEnum):
    """What can be wrong."""

    RAISES = "raises"
    HANGS = "hangs"
    SHAPE = "shape"
    SATURATED = "saturated"
    STALE = "stale"
    UNPLUGGED = "unplugged"
    SERIAL = "serial"
    GARBAGE = "garbage"
    CRASHES = "crashes"
    SLOW = "slow"


class Fault(Table):
    """A fault: from the capture ``at`` (from 1) on, for so many captures; ``seconds`` of a hang or delay."""

    kind: FaultKind
    at: int = Field(default=1, ge=1)
    captures: int = Field(default=1, ge=1)
    seconds: NotNegative | None = None


class InnerDevice(Table):
    """The device that is wrapped."""

    driver: str = "simulated"
    options: dict[str, Any] = {}


class FaultyOptions(Table):
    """Options of the driver; see the module."""

    inner: InnerDevice = InnerDevice()
    control: str | None = None
    faults: tuple[Fault, ...] = ()


class FaultControl:
    """The hand on a device's fault, from another process: a file, which outlives the device's process."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._seen = path.with_name(path.name + ".seen")

    def begin(self, kind: FaultKind, *, seconds: float | None = None, lasts_s: float | None = None) -> None:
        """Begin a fault: for ``lasts_s`` or until ``end``; ``seconds`` is the length of a hang or delay."""
        self._seen.unlink(missing_ok=True)
        until = None if lasts_s is None else time.time() + lasts_s
        temporary = self.path.with_name(self.path.name + ".new")
        content = {"kind": kind.value, "seconds": seconds, "until": until}
        temporary.write_text(json.dumps(content), encoding="utf-8")
        temporary.replace(self.path)

    def end(self) -> None:
        """End the fault."""
        self.path.unlink(missing_ok=True)

    @property
    def happened(self) -> bool:
        """Whether the device has met the fault since ``begin``."""
        return self._seen.exists()

    def current(self) -> Fault | None:
        """Return the fault that is on, if any; called by the device, which marks that it met it."""
        try:
            content = json.loads(self.path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None
        until = content.get("until")
        if until is not None and time.time() > until:
            return None
        self._seen.touch()
        return Fault(kind=FaultKind(content["kind"]), seconds=content.get("seconds"))


def create(settings: Any, context: DeviceContext) -> "FaultyCamera | FaultySpectrometer":
    """Return the faulty device that ``settings`` describe, around the inner one."""
    if not isinstance(settings, (CameraDevice, SpectrometerDevice)):
        raise DriverError("only cameras and spectrometers can be faulty", device=settings.name, value=settings.type)
    options = check_options(FaultyOptions, settings.options, settings.name)
    inner_settings = settings.model_copy(
        update={"driver": options.inner.driver, "options": dict(options.inner.options)}
    )
    inner = create_raw(inner_settings, context)
    control = None if options.control is None else FaultControl(context.folder / options.control)
    if isinstance(settings, CameraDevice):
        if not isinstance(inner, Camera):
            raise DriverError("the inner device is no camera", device=settings.name)
        return FaultyCamera(inner, settings.name, options.faults, control)
    if not isinstance(inner, Spectrometer):
        raise DriverError("the inner device is no spectrometer", device=settings.name)
    return FaultySpectrometer(inner, settings.name, options.faults, control)


class _Faulty:
    """What faulty cameras and spectrometers share."""

    def __init__(self, name: str, faults: tuple[Fault, ...], control: FaultControl | None) -> None:
        self._name = name
        self._faults = faults
        self._control = control
        self._captures = 0
        self._rng = np.random.default_rng(len(name))

    def _current(self) -> Fault | None:
        if self._control is not None and (fault := self._control.current()) is not None:
            return fault
        for fault in self._faults:
            if fault.at <= self._captures < fault.at + fault.captures:
                return fault
        return None

    def _before(self, fault: Fault | None) -> None:
        """Do what a fault does before the inner device is asked."""
        if fault is None:
            return
        if fault.kind is FaultKind.RAISES:
            raise ZeroDivisionError("the driver has a fault")
        if fault.kind is FaultKind.CRASHES:
            os._exit(_EXIT_CODE)
        if fault.kind is FaultKind.UNPLUGGED:
            raise DeviceMissingError("it was unplugged", device=self._name)
        if fault.kind in (FaultKind.HANGS, FaultKind.SLOW):
            longest = _HANG_S if fault.kind is FaultKind.HANGS else _SLOW_S
            threading.Event().wait(longest if fault.seconds is None else fault.seconds)

    def _found(self, open_inner: Callable[[], _DescriptionT]) -> _DescriptionT:
        fault = self._current()
        if fault is not None and fault.kind in (FaultKind.UNPLUGGED, FaultKind.HANGS):
            self._before(fault)
        found = open_inner()
        if fault is not None and fault.kind is FaultKind.SERIAL:
            return replace(found, serial=_OTHER)
        return found

    def _take(self, capture: Callable[[], _DataT], last: _DataT | None) -> tuple[_DataT, Fault | None]:
        self._captures += 1
        fault = self._current()
        self._before(fault)
        if fault is not None and fault.kind is FaultKind.STALE and last is not None:
            return last, None
        return capture(), fault


class FaultyCamera(_Faulty):
    """A camera with faults."""

    def __init__(
        self, inner: Camera, name: str, faults: tuple[Fault, ...] = (), control: FaultControl | None = None
    ) -> None:
        super().__init__(name, faults, control)
        self._inner = inner
        self._last: RawFrame | None = None

    def open(self, timeout_s: float) -> CameraDescription:
        """See ``Camera.open``."""
        return self._found(lambda: self._inner.open(timeout_s))

    def close(self) -> None:
        """See ``Camera.close``."""
        self._inner.close()

    def configure(self, settings: CameraSettings) -> CameraSettings:
        """See ``Camera.configure``."""
        return self._inner.configure(settings)

    def stage(self, kind: FrameKind | SpectrumKind, cell_ppm_m: float | None = None) -> None:
        """See ``Staged.stage``."""
        if isinstance(self._inner, Staged):
            self._inner.stage(kind, cell_ppm_m)

    def capture(self, at_monotonic_s: float | None, timeout_s: float) -> RawFrame:
        """See ``Camera.capture``."""
        frame, fault = self._take(lambda: self._inner.capture(at_monotonic_s, timeout_s), self._last)
        self._last = frame
        if fault is None:
            return frame
        full = np.uint16(frame.maximum_dn * frame.scale)
        if fault.kind is FaultKind.SHAPE:
            return replace(frame, counts=frame.counts[:-1, ::2].copy())
        if fault.kind is FaultKind.SATURATED:
            return replace(frame, counts=np.full_like(frame.counts, full), saturated_share=1.0)
        if fault.kind is FaultKind.SERIAL:
            return replace(frame, serial=_OTHER)
        if fault.kind is FaultKind.GARBAGE:
            return replace(frame, counts=self._rng.integers(0, full, frame.counts.shape, np.uint16, endpoint=True))
        return frame


class FaultySpectrometer(_Faulty):
    """A spectrometer with faults."""

    def __init__(
        self, inner: Spectrometer, name: str, faults: tuple[Fault, ...] = (), control: FaultControl | None = None
    ) -> None:
        super().__init__(name, faults, control)
        self._inner = inner
        self._last: RawSpectrum | None = None

    def open(self, timeout_s: float) -> SpectrometerDescription:
        """See ``Spectrometer.open``."""
        return self._found(lambda: self._inner.open(timeout_s))

    def close(self) -> None:
        """See ``Spectrometer.close``."""
        self._inner.close()

    def configure(self, settings: SpectrometerSettings) -> SpectrometerSettings:
        """See ``Spectrometer.configure``."""
        return self._inner.configure(settings)

    def stage(self, kind: FrameKind | SpectrumKind, cell_ppm_m: float | None = None) -> None:
        """See ``Staged.stage``."""
        if isinstance(self._inner, Staged):
            self._inner.stage(kind, cell_ppm_m)

    def capture(self, at_monotonic_s: float | None, timeout_s: float) -> RawSpectrum:
        """See ``Spectrometer.capture``."""
        spectrum, fault = self._take(lambda: self._inner.capture(at_monotonic_s, timeout_s), self._last)
        self._last = spectrum
        if fault is None:
            return spectrum
        full = spectrum.saturation_counts
        if fault.kind is FaultKind.SHAPE:
            return replace(spectrum, counts=spectrum.counts[:-1].copy())
        if fault.kind is FaultKind.SATURATED:
            return replace(spectrum, counts=np.full_like(spectrum.counts, full), saturated_share=1.0)
        if fault.kind is FaultKind.SERIAL:
            return replace(spectrum, serial=_OTHER)
        if fault.kind is FaultKind.GARBAGE:
            return replace(spectrum, counts=self._rng.normal(0.0, 10 * full, spectrum.counts.shape))
        return spectrum
