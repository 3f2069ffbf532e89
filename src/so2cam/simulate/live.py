"""The simulated volcano for simulated devices: a frame or a spectrum of any moment, as a real device would give it."""

from datetime import datetime

from so2cam.core.errors import InputError
from so2cam.core.records import Band, FloatArray, FrameKind
from so2cam.core.spectra import SpectrumKind
from so2cam.core.times import require_utc
from so2cam.simulate.detector import Counts
from so2cam.simulate.lines import map_line
from so2cam.simulate.scenario import Scenario
from so2cam.simulate.scene import Scene, build_scene


class LiveScene:
    """A volcano that goes on for ever, looked at by two cameras and a spectrometer.

    The same scenario, seed and ``start`` give the same counts at the same moment, bit for bit, in whatever order they
    are asked for; they are those of the files that ``simulate`` writes. An object is used by one thread at a time.
    """

    def __init__(self, scenario: Scenario, seed: int, start: datetime, *, binning: int = 1) -> None:
        """``start``: the moment that is the scenario's start, aware.

        ``binning``: pixels of the scenario's image that are averaged to one, each way, for speed; lines and field of
        view move with them. Raises InputError for a wrong value.
        """
        self._start = require_utc(start)
        self._scene = build_scene(scenario if binning == 1 else binned(scenario, binning), seed=seed)
        self._lines = {line.name: map_line(line.to_plume_line(), self._scene.geometry) for line in self._scene.lines}
        self.brightness = 1.0
        """How bright the scene is, relative to the scenario; may be set at any time"""

    @property
    def scene(self) -> Scene:
        """What is looked at: geometry, plume, lines, cameras, spectrometer."""
        return self._scene

    @property
    def start(self) -> datetime:
        """The moment that is the scenario's start, UTC."""
        return self._start

    @property
    def shape(self) -> tuple[int, int]:
        """(rows, columns) of the frames."""
        optics = self._scene.geometry.optics
        return optics.height_px, optics.width_px

    @property
    def lines(self) -> tuple[str, ...]:
        """Names of the lines whose truth is known."""
        return tuple(self._lines)

    @property
    def wavelengths_nm(self) -> FloatArray:
        """Wavelengths of the spectrometer's pixels [nm], shape (pixels,)."""
        return self._scene.spectrometer.wavelengths_nm

    def frame(
        self,
        band: Band,
        kind: FrameKind,
        mid_exposure: datetime,
        exposure_s: float,
        gain: float = 1.0,
        cell_ppm_m: float | None = None,
    ) -> Counts:
        """Return a frame: uint16 (rows, columns).

        ``gain`` is relative to the scenario's; ``cell_ppm_m`` the label of the gas cell of a frame of that kind.
        Too long an exposure saturates, too short a one is dark.
        """
        middle_s = self._seconds(mid_exposure)
        return self._scene.frame(
            band, kind, middle_s, exposure_s, gain=gain, cell_ppm_m=cell_ppm_m, brightness=self.brightness
        )

    def spectrum(
        self, kind: SpectrumKind, mid_exposure: datetime, integration_time_s: float, coadds: int = 1
    ) -> tuple[FloatArray, FloatArray]:
        """Return wavelengths [nm] and counts (the mean of the coadds), float64, shape (pixels,).

        ``mid_exposure`` is the middle of all coadds, which follow each other without a pause.
        """
        middle_s = self._seconds(mid_exposure)
        counts = self._scene.spectrum(kind, middle_s, integration_time_s, coadds, brightness=self.brightness)
        return self.wavelengths_nm, counts

    def emission_rate(self, line: str, time: datetime) -> float:
        """Return the true emission rate [kg s-1] through ``line`` at ``time``. Raises KeyError for another line."""
        return self._lines[line].emission_rate(self._scene.field, self._seconds(time))

    def integrated_column_amount(self, line: str, time: datetime) -> float:
        """Return the true integrated column amount [kg m-1] of ``line`` at ``time``. Raises KeyError likewise."""
        return self._lines[line].integrated_column_amount(self._scene.field, self._seconds(time))

    def spot_column(self, time: datetime, duration_s: float = 0.0) -> float:
        """Return the true mean column [molecules cm-2] of the spectrometer's field of view, over an exposure."""
        return self._scene.spectrometer.mean_column(self._seconds(time), duration_s)

    def _seconds(self, moment: datetime) -> float:
        return (require_utc(moment) - self._start).total_seconds()


def binned(scenario: Scenario, binning: int) -> Scenario:
    """Return the scenario with ``binning`` x ``binning`` pixels averaged to one, everything else as it was.

    Raises InputError where the image cannot be divided so.
    """
    optics = scenario.view.optics
    if not 1 <= binning <= 32 or optics.width_px % binning or optics.height_px % binning:
        raise InputError(
            f"the image of {optics.width_px} x {optics.height_px} pixels cannot be binned",
            key="binning",
            value=binning,
            remedy="choose a whole number that divides both sides",
        )
    sensor, model, shift = scenario.sensor, scenario.spectrometer, scenario.misregistration.shift_px
    small = optics.model_copy(
        update={
            "width_px": optics.width_px // binning,
            "height_px": optics.height_px // binning,
            "pixel_pitch_um": optics.pixel_pitch_um * binning,
        }
    )
    clouds = scenario.clouds
    updates = {
        "view": scenario.view.model_copy(update={"optics": small}),
        "lines": scenario.lines.model_copy(update={"length_px": scenario.lines.length_px / binning}),
        "sensor": sensor.model_copy(
            update={
                "electrons_per_dn": sensor.electrons_per_dn * binning**2,
                "read_noise_dn": sensor.read_noise_dn / binning,
                "dark_pattern_dn": sensor.dark_pattern_dn / binning,
            }
        ),
        "misregistration": scenario.misregistration.model_copy(
            update={"shift_px": (shift[0] / binning, shift[1] / binning)}
        ),
        "clouds": clouds.model_copy(
            update={
                "size_px": clouds.size_px / binning,
                "speed_px_s": (clouds.speed_px_s[0] / binning, clouds.speed_px_s[1] / binning),
            }
        ),
        "spectrometer": model.model_copy(
            update={"radius_px": model.radius_px / binning, "across_px": model.across_px / binning}
        ),
    }
    return scenario.model_copy(update=updates)
