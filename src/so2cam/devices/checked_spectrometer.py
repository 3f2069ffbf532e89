"""Spectrometers whose every answer is checked, as ``checked`` does for cameras."""

from datetime import timedelta

import numpy as np

from so2cam.core.records import FloatArray, FrameKind
from so2cam.core.site_devices import SpectrometerDevice
from so2cam.core.spectra import SpectrumKind
from so2cam.devices.checked import CLOSE_S, CONFIGURE_S, NOISELESS, RECORDED, Checked, require_between
from so2cam.devices.errors import DeviceError, DeviceMissingError, WrongDeviceError
from so2cam.devices.protocols import DeviceContext, Spectrometer, Staged
from so2cam.devices.records import RawSpectrum, SpectrometerDescription, SpectrometerSettings


class CheckedSpectrometer(Checked):
    """A spectrometer whose spectra are checked. It is a ``Spectrometer`` itself, and ``Staged``."""

    def __init__(self, spectrometer: Spectrometer, settings: SpectrometerDevice, context: DeviceContext) -> None:
        super().__init__(settings.name, context)
        self._spectrometer = spectrometer
        self._device = settings
        self._description: SpectrometerDescription | None = None
        self._settings: SpectrometerSettings | None = None
        self._last_s: float | None = None
        self._last_counts: FloatArray | None = None

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
                self._call("closing the spectrometer", self._spectrometer.close, CLOSE_S)
        except DeviceError:
            pass
        finally:
            self._caller.finish()

    def configure(self, settings: SpectrometerSettings) -> SpectrometerSettings:
        """Set the next spectrum; values outside the limits of site file and device are refused by name."""
        found = self._require_open()
        low = max(self._device.minimum_integration_time_s, found.integration_time_limits_s[0])
        high = min(self._device.maximum_integration_time_s, found.integration_time_limits_s[1])
        require_between(self._name, "integration_time_s", settings.integration_time_s, low, high, "s")
        require_between(self._name, "coadds", settings.coadds, 1, self._device.maximum_coadds, "")
        self._settings = self._call(
            "setting the spectrometer", lambda: self._spectrometer.configure(settings), CONFIGURE_S
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
