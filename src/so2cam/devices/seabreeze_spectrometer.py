"""Spectrometers of Ocean Optics (Flame-S, Ocean SR, USB2000+ and others): driver ``seabreeze``, named as its library.

Limits of the integration time and the highest count come from the spectrometer. Readouts are averaged here (coadds).
The detector runs freely: after a new integration time the first readout still has the old one, and is thrown away. So
is a first readout that comes at once: some spectrometers keep the last one, taken long before it was asked for.
A spectrometer that was unplugged is found again when it is opened the next time.

Options: ``backend`` (``auto``: ``pyseabreeze``, which knows the Ocean SR too, otherwise ``cseabreeze``),
``correct_dark_counts`` and ``correct_nonlinearity`` (both false: raw counts are kept, corrections belong to
processing), ``saturation_counts`` (if lower than the spectrometer says), ``discard`` (1: readouts thrown away after a
change).

This driver was tested against an imitation of seabreeze only; it has not been run on hardware by its authors.
"""

import contextlib
from collections.abc import Iterator
from typing import Any, Final, Literal

import numpy as np
from pydantic import Field

from so2cam.core.records import FloatArray
from so2cam.core.site_devices import MAXIMUM_COADDS, SpectrometerDevice
from so2cam.core.site_types import Positive, Table
from so2cam.devices.errors import (
    DeviceDataError,
    DeviceMissingError,
    DeviceSettingError,
    DeviceStoppedError,
    DeviceTimeoutError,
    DriverError,
    WrongDeviceError,
)
from so2cam.devices.options import check_options
from so2cam.devices.protocols import DeviceContext
from so2cam.devices.records import RawSpectrum, SpectrometerDescription, SpectrometerSettings
from so2cam.observe.statistics import SATURATION_FRACTION

_MISSING: Final = "check its USB cable; if it is new here, its udev rules: so2cam instrument install"
_BACKENDS: Final[tuple[Literal["pyseabreeze", "cseabreeze"], ...]] = ("pyseabreeze", "cseabreeze")
_BUFFERED: Final = 0.1
"""A first readout that comes in less than this share of the integration time was kept in the spectrometer: it is old"""
_TOO_QUICK: Final = 0.8
"""A readout that follows another in less than this share of the integration time cannot be whole"""


class SeabreezeOptions(Table):
    """Options of the driver; see the module."""

    backend: Literal["auto", "pyseabreeze", "cseabreeze"] = "auto"
    correct_dark_counts: bool = False
    correct_nonlinearity: bool = False
    saturation_counts: Positive | None = None
    discard: int = Field(default=1, ge=0, le=10)


def create(settings: SpectrometerDevice, context: DeviceContext) -> "SeabreezeSpectrometer":
    """Return the spectrometer that ``settings`` describe. seabreeze is imported when it is opened.

    Raises DriverError for unknown options.
    """
    return SeabreezeSpectrometer(settings, check_options(SeabreezeOptions, settings.options, settings.name), context)


def load_seabreeze(device: str, backend: Literal["auto", "pyseabreeze", "cseabreeze"]) -> Any:
    """Return the module ``seabreeze.spectrometers``, its backend loaded. Raises DriverError where it is not there."""
    reasons = []
    for name in _BACKENDS if backend == "auto" else (backend,):
        try:
            import seabreeze
            import seabreeze.backends

            seabreeze.use(name)
            seabreeze.backends.get_backend()
            import seabreeze.spectrometers as vendor
        except ImportError as error:
            reasons.append(str(error))
        else:
            return vendor
    raise DriverError(
        f"seabreeze cannot be used: {'; '.join(reasons)}",
        device=device,
        remedy="install it: pip install 'so2cam[instrument]'",
    )


class SeabreezeSpectrometer:
    """One spectrometer."""

    def __init__(
        self, settings: SpectrometerDevice, options: SeabreezeOptions, context: DeviceContext, vendor: Any = None
    ) -> None:
        self._name = settings.name
        self._device = settings
        self._options = options
        self._context = context
        self._vendor = vendor
        self._spectrometer: Any = None
        self._description: SpectrometerDescription | None = None
        self._wavelengths: FloatArray | None = None
        self._settings = SpectrometerSettings(settings.integration_time_s, settings.coadds)
        self._applied_us: int | None = None
        self._overhead_s = 0.0

    def open(self, timeout_s: float) -> SpectrometerDescription:
        """See ``Spectrometer.open``."""
        if self._description is not None:
            return self._description
        if self._vendor is None:
            self._vendor = load_seabreeze(self._name, self._options.backend)
        with self._translate("cannot be opened"):
            found = self._choose(list(self._vendor.list_devices()))
            self._spectrometer = self._vendor.Spectrometer(found)
            spectrometer = self._spectrometer
            wavelengths = np.array(spectrometer.wavelengths(), np.float64)
            low_us, high_us = spectrometer.integration_time_micros_limits
            saturation = float(spectrometer.max_intensity)
            model, serial = str(spectrometer.model), str(spectrometer.serial_number)
        if self._options.saturation_counts is not None:
            saturation = min(saturation, self._options.saturation_counts)
        if wavelengths.ndim != 1 or wavelengths.size < 16 or not np.all(np.diff(wavelengths) > 0):
            self.close()
            raise DeviceDataError(
                "the wavelengths that are stored in the spectrometer cannot be right",
                device=self._name,
                value=f"{wavelengths.size} pixels",
                remedy="read its memory with the vendor's software",
            )
        self._wavelengths = wavelengths
        self._applied_us = None
        self._description = SpectrometerDescription(
            driver="seabreeze",
            model=model,
            serial=serial,
            pixels=wavelengths.size,
            wavelength_range_nm=(float(wavelengths[0]), float(wavelengths[-1])),
            integration_time_limits_s=(low_us * 1e-6, high_us * 1e-6),
            saturation_counts=saturation,
            details={"backend": self._options.backend},
        )
        return self._description

    def close(self) -> None:
        """See ``Spectrometer.close``."""
        spectrometer, self._spectrometer = self._spectrometer, None
        self._description = self._wavelengths = self._applied_us = None
        if spectrometer is None or self._vendor is None:
            return
        with contextlib.suppress(self._vendor.SeaBreezeError, OSError, RuntimeError):
            spectrometer.close()

    def configure(self, settings: SpectrometerSettings) -> SpectrometerSettings:
        """See ``Spectrometer.configure``. Integration times are set in whole microseconds."""
        description = self._require_open()
        low, high = description.integration_time_limits_s
        if not low <= settings.integration_time_s <= high:
            raise DeviceSettingError(
                f"must be from {low:g} to {high:g} s, the limits of the {description.model}",
                device=self._name,
                key=f"{self._name}.integration_time_s",
                value=settings.integration_time_s,
            )
        if not 1 <= settings.coadds <= MAXIMUM_COADDS:
            raise DeviceSettingError(
                f"must be from 1 to {MAXIMUM_COADDS}",
                device=self._name,
                key=f"{self._name}.coadds",
                value=settings.coadds,
            )
        self._settings = SpectrometerSettings(round(settings.integration_time_s * 1e6) * 1e-6, settings.coadds)
        return self._settings

    def capture(self, at_monotonic_s: float | None, timeout_s: float) -> RawSpectrum:
        """See ``Spectrometer.capture``."""
        description = self._require_open()
        clock, used = self._context.clock, self._settings
        exposure_s, coadds = used.integration_time_s, used.coadds
        expected_s = coadds * (exposure_s + self._overhead_s)
        now = clock.monotonic_s()
        begin = now if at_monotonic_s is None else at_monotonic_s - expected_s / 2
        deadline = max(now, begin) + expected_s + exposure_s * (self._options.discard + 1) + timeout_s
        self._apply()
        if at_monotonic_s is not None:
            self._wait_until(begin)
        total = np.zeros(description.pixels)
        saturated = np.zeros(description.pixels, np.bool_)
        limit = SATURATION_FRACTION * description.saturation_counts
        ends: list[float] = []
        asked = clock.monotonic_s()
        counts = self._read(description.pixels)
        kept = clock.monotonic_s() - asked < _BUFFERED * exposure_s
        for number in range(coadds):
            if number > 0 or kept:
                counts = self._read(description.pixels)
            ends.append(clock.monotonic_s())
            self._require_time(deadline)
            saturated |= counts >= limit
            total += counts
        first, last = ends[0] - exposure_s, ends[-1]
        if coadds > 1:
            step = (last - ends[0]) / (coadds - 1)
            if step < _TOO_QUICK * exposure_s:
                self._applied_us = None
                raise DeviceDataError(
                    f"readouts came every {step:g} s, too quick for an integration time of {exposure_s:g} s: "
                    "the spectrometer lost its setting",
                    device=self._name,
                    remedy="it is set again by itself; if this comes back, check its power",
                )
            self._overhead_s = max(0.0, step - exposure_s)
        middle = (first + last) / 2
        wavelengths = self._wavelengths
        if wavelengths is None:
            raise DeviceMissingError("the spectrometer is not open", device=self._name)
        return RawSpectrum(
            wavelengths_nm=wavelengths.copy(),
            counts=total / coadds,
            time=clock.utc_at(middle),
            mid_exposure_s=middle,
            integration_time_s=exposure_s,
            coadds=coadds,
            duration_s=last - first,
            serial=description.serial,
            saturation_counts=description.saturation_counts,
            saturated_share=float(np.count_nonzero(saturated)) / saturated.size,
            metadata={
                "model": description.model,
                "readout_overhead_s": self._overhead_s,
                "old_readout_discarded": kept,
            },
        )

    def _choose(self, devices: list[Any]) -> Any:
        """Return the vendor's device that the site file means."""
        known = ", ".join(f"{device.model} {device.serial_number}" for device in devices) or "none"
        if not devices:
            raise DeviceMissingError("no spectrometer is connected", device=self._name, remedy=_MISSING)
        for device in devices:
            right_serial = self._device.serial in (None, str(device.serial_number))
            if right_serial and (self._device.model is None or _same_model(self._device.model, str(device.model))):
                return device
        wanted = " ".join(part for part in (self._device.model, self._device.serial) if part)
        raise WrongDeviceError(
            f"the spectrometer {wanted} is not connected (connected: {known})",
            device=self._name,
            remedy="connect the right one, or correct serial and model in the site file",
        )

    def _apply(self) -> None:
        """Set the integration time if it is new, and throw away what still has the old one."""
        wanted_us = round(self._settings.integration_time_s * 1e6)
        if wanted_us == self._applied_us:
            return
        with self._translate("does not take its integration time"):
            self._spectrometer.integration_time_micros(wanted_us)
        self._applied_us = wanted_us
        for _ in range(self._options.discard):
            self._read(None)

    def _read(self, pixels: int | None) -> FloatArray:
        if self._context.stop.is_set():
            raise DeviceStoppedError("the spectrum was given up, because the program stops", device=self._name)
        with self._translate("does not give a spectrum"):
            counts = np.asarray(
                self._spectrometer.intensities(
                    correct_dark_counts=self._options.correct_dark_counts,
                    correct_nonlinearity=self._options.correct_nonlinearity,
                ),
                np.float64,
            )
        if pixels is not None and counts.shape != (pixels,):
            raise DeviceDataError(
                f"the spectrum has the wrong shape: expected ({pixels},)", device=self._name, value=counts.shape
            )
        return counts

    def _wait_until(self, begin_s: float) -> None:
        clock = self._context.clock
        while clock.monotonic_s() < begin_s:
            if not clock.wait_until(begin_s, self._context.stop) and self._context.stop.is_set():
                raise DeviceStoppedError("the spectrum was given up, because the program stops", device=self._name)

    def _require_time(self, deadline_s: float) -> None:
        if self._context.clock.monotonic_s() > deadline_s:
            raise DeviceTimeoutError("the readouts take too long", device=self._name, remedy=_MISSING)

    @contextlib.contextmanager
    def _translate(self, what: str) -> Iterator[None]:
        """Turn what the vendor's library raises into DeviceMissingError, and forget the device."""
        try:
            yield
        except (self._vendor.SeaBreezeError, OSError, RuntimeError) as error:
            self.close()
            raise DeviceMissingError(f"the spectrometer {what}: {error}", device=self._name, remedy=_MISSING) from error

    def _require_open(self) -> SpectrometerDescription:
        if self._description is None or self._spectrometer is None:
            raise DeviceMissingError("the spectrometer is not open", device=self._name)
        return self._description


def _same_model(wanted: str, found: str) -> bool:
    """Return whether two ways to write a model mean the same: Flame-S, FLAMES."""
    plain = ["".join(letter for letter in text.casefold() if letter.isalnum()) for text in (wanted, found)]
    return plain[0] == plain[1] or plain[0].removeprefix("ocean") == plain[1].removeprefix("ocean")
