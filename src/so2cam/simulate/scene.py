"""Everything that a simulation looks at and with."""

from dataclasses import dataclass
from typing import Final

import numpy as np

from so2cam.core.errors import InputError
from so2cam.core.records import Band, FloatArray, FrameKind
from so2cam.core.site import Line
from so2cam.core.spectra import SpectrumKind
from so2cam.core.units import molec_cm2_per_ppm_m
from so2cam.simulate.camera import BandCamera, BandSettings
from so2cam.simulate.detector import Counts
from so2cam.simulate.geometry import Matrix, SceneGeometry, build_geometry, registration_matrix
from so2cam.simulate.lines import place_lines
from so2cam.simulate.plume import PlumeAxis, PlumeField, build_plume
from so2cam.simulate.scenario import Scenario
from so2cam.simulate.sky import CloudLayer
from so2cam.simulate.spectrometer import FieldOfView, SpotSpectrometer

MAXIMUM_PAIRS: Final = 100_000
_STREAMS: Final = {Band.ON: 1001, Band.OFF: 1002}
_SPECTRUM_STREAM: Final = 1003
_EPOCH_US: Final = 2**60
"""Added to a time that may be negative: seeds are not"""


@dataclass(frozen=True, slots=True)
class Scene:
    """A scenario with every chance drawn, and the instruments that look at it."""

    scenario: Scenario
    seed: int
    geometry: SceneGeometry
    matrix: Matrix
    field: PlumeField
    lines: tuple[Line, ...]
    cameras: tuple[BandCamera, BandCamera]
    """On band, off band"""
    spectrometer: SpotSpectrometer

    def camera(self, band: Band) -> BandCamera:
        """Return the camera of a band."""
        return self.cameras[0 if band is Band.ON else 1]

    def frame(
        self,
        band: Band,
        kind: FrameKind,
        middle_s: float,
        exposure_s: float,
        *,
        gain: float = 1.0,
        cell_ppm_m: float | None = None,
        brightness: float = 1.0,
    ) -> Counts:
        """Return a frame, uint16 (rows, columns), whose exposure has its middle ``middle_s`` [s] after the start.

        ``gain`` and ``brightness`` are relative to the scenario's; ``cell_ppm_m`` is a gas cell's label.
        """
        camera = self.camera(band)
        column = 0.0
        if kind is FrameKind.CELL:
            column = self.scenario.cells.true_ppm_m(cell_ppm_m or 0.0) * molec_cm2_per_ppm_m()
        expected = camera.expected(kind, middle_s, column, exposure_s=exposure_s, gain=gain, brightness=brightness)
        return camera.record(expected, self._noise(_STREAMS[band], middle_s), exposure_s=exposure_s, gain=gain)

    def spectrum(
        self, kind: SpectrumKind, middle_s: float, integration_time_s: float, coadds: int, *, brightness: float = 1.0
    ) -> FloatArray:
        """Return counts, float64 (pixels,), of coadds whose middle is ``middle_s`` [s] after the start."""
        device = self.spectrometer
        expected = device.expected(kind, middle_s, integration_time_s, coadds, brightness)
        return device.record(expected, coadds, self._noise(_SPECTRUM_STREAM, middle_s))

    def _noise(self, stream: int, middle_s: float) -> np.random.Generator:
        """Return the random numbers of one exposure: of a device, and of its middle to the microsecond."""
        return np.random.default_rng([self.seed, stream, _EPOCH_US + round(middle_s * 1e6)])


def build_scene(scenario: Scenario, *, seed: int, pairs: int | None = None) -> Scene:
    """Return the scene of ``scenario``; its plume has neither beginning nor end, whatever ``pairs`` there are.

    Raises InputError for values that are out of range, and where the spectrometer does not look at sky alone.
    """
    if pairs is not None and not 1 <= pairs <= MAXIMUM_PAIRS:
        raise InputError(f"the number of pairs must be from 1 to {MAXIMUM_PAIRS}", key="pairs", value=pairs)
    if seed < 0:
        raise InputError("the seed must not be negative", key="seed", value=seed)
    geometry = build_geometry(scenario.view)
    matrix = registration_matrix(scenario.misregistration, scenario.view.optics)
    field = build_plume(scenario, seed)
    lines = place_lines(field.axis, scenario.lines, geometry)
    clouds = CloudLayer(scenario.clouds, seed) if scenario.clouds.contrast > 0 else None
    sensor = scenario.sensor
    on = BandSettings(sensor.exposure_on_s, sensor.sky_level_on_dn, None)
    off = BandSettings(sensor.exposure_off_s, sensor.sky_level_off_dn, matrix)
    view = place_field_of_view(scenario, field.axis, geometry)
    return Scene(
        scenario=scenario,
        seed=seed,
        geometry=geometry,
        matrix=matrix,
        field=field,
        lines=lines,
        cameras=(
            BandCamera(Band.ON, scenario, geometry, field, on, clouds),
            BandCamera(Band.OFF, scenario, geometry, field, off, clouds),
        ),
        spectrometer=SpotSpectrometer(scenario, geometry, field, view, clouds),
    )


def place_field_of_view(scenario: Scenario, axis: PlumeAxis, geometry: SceneGeometry) -> FieldOfView:
    """Return where the spectrometer looks: beside the upstream line, to a hundredth of a pixel.

    That may be outside the image.
    """
    model = scenario.spectrometer
    distance = scenario.lines.upstream_distance_m + model.downstream_m
    x, y = (float(value) for value in geometry.to_image(*axis.position(distance)))
    ahead_x, ahead_y = (float(value) for value in geometry.to_image(*axis.position(distance + 1)))
    along = np.array([ahead_x - x, ahead_y - y]) / np.hypot(ahead_x - x, ahead_y - y)
    up = np.array([-along[1], along[0]])
    up *= -np.sign(up[1])  # y runs downward
    x, y = x + model.across_px * float(up[0]), y + model.across_px * float(up[1])
    return FieldOfView(round(x, 2), round(y, 2), model.radius_px, model.edge)
