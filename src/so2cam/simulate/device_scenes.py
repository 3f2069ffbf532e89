"""What simulated devices look at: the cheap scene, or the volcano with known truth."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Protocol

from so2cam.core.errors import InputError
from so2cam.core.records import Band, FloatArray, FrameKind
from so2cam.core.spectra import SpectrumKind
from so2cam.devices.errors import DriverError
from so2cam.devices.records import Counts
from so2cam.simulate.cheap_scene import SPECTRUM_BITS, CheapScene

LIVE_LEAD: Final = timedelta(minutes=15)
"""A live scene began this long before the run, so that its plume fills the picture from the first frame."""


@dataclass(frozen=True, slots=True)
class SceneShape:
    """What frames and spectra of a scene look like."""

    width_px: int
    height_px: int
    bits: int
    scale: int
    saturation_counts: float


class DeviceScene(Protocol):
    """What devices look at."""

    @property
    def shape(self) -> SceneShape:
        """What its frames and spectra look like."""
        ...

    @property
    def noiseless(self) -> bool:
        """Whether two frames of one thing may be the same, count for count."""
        ...

    def frame(
        self,
        band: Band,
        kind: FrameKind,
        mid_exposure: datetime,
        exposure_s: float,
        gain: float = 1.0,
        cell_ppm_m: float | None = None,
        brightness: float = 1.0,
    ) -> Counts:
        """Return counts (rows, columns), uint16, ``scale`` times the DN."""
        ...

    def spectrum(
        self,
        kind: SpectrumKind,
        mid_exposure: datetime,
        integration_time_s: float,
        coadds: int = 1,
        brightness: float = 1.0,
    ) -> tuple[FloatArray, FloatArray]:
        """Return wavelengths [nm] and counts, shape (N,) each."""
        ...


class CheapDeviceScene(CheapScene):
    """The cheap scene."""

    noiseless = False

    def __init__(self, seed: int, *, width_px: int, height_px: int, bits: int, scale: int) -> None:
        super().__init__(seed, width_px=width_px, height_px=height_px, bits=bits, scale=scale)
        self.shape = SceneShape(width_px, height_px, bits, scale, float(2**SPECTRUM_BITS - 1))


class LiveDeviceScene:
    """The volcano of ``so2cam.simulate.live``: slower to open (0.3 s) and per frame (10 ms), and its truth is known."""

    def __init__(self, scenario: str, seed: int, start: datetime, device: str) -> None:
        """``start``: the moment that is the scenario's start. Raises DriverError for a scenario that is not known."""
        from so2cam.simulate.live import LiveScene
        from so2cam.simulate.scenario import load_scenario

        try:
            loaded = load_scenario(scenario)
            self._live = LiveScene(loaded, seed, start)
        except InputError as error:
            raise DriverError(
                error.message,
                device=device,
                key=f"{device}.options.scenario",
                value=scenario,
                remedy=error.remedy,
            ) from error
        rows, columns = self._live.shape
        self.noiseless = not (loaded.sensor.noise and loaded.spectrometer.noise)
        self.shape = SceneShape(columns, rows, loaded.sensor.bits, 1, float(2**loaded.spectrometer.bits - 1))

    def frame(
        self,
        band: Band,
        kind: FrameKind,
        mid_exposure: datetime,
        exposure_s: float,
        gain: float = 1.0,
        cell_ppm_m: float | None = None,
        brightness: float = 1.0,
    ) -> Counts:
        """See ``DeviceScene.frame``."""
        self._live.brightness = brightness
        return self._live.frame(band, kind, mid_exposure, exposure_s, gain, cell_ppm_m)

    def spectrum(
        self,
        kind: SpectrumKind,
        mid_exposure: datetime,
        integration_time_s: float,
        coadds: int = 1,
        brightness: float = 1.0,
    ) -> tuple[FloatArray, FloatArray]:
        """See ``DeviceScene.spectrum``."""
        self._live.brightness = brightness
        wavelengths, counts = self._live.spectrum(kind, mid_exposure, integration_time_s, coadds)
        return wavelengths.copy(), counts
