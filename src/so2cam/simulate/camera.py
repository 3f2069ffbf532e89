"""The two band cameras: from the scene to counts.

    DN = offset + pattern + dark current * t + rate * t * gain * V(x, y) * sky(x, y, time) * exp(-sigma S - tau)

V, dust and dark pattern belong to the detector and stay with its pixels; sky, plume and terrain belong to the scene
and are sampled where the pixel looks. Then shot noise and read noise are added, and the counts are rounded.
"""

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from so2cam.core.records import Band, FloatArray, FloatImage, FrameKind
from so2cam.simulate.geometry import Matrix, SceneGeometry, scene_coordinates
from so2cam.simulate.plume import PlumeField, PlumePixels
from so2cam.simulate.scenario import Scenario, SensorModel
from so2cam.simulate.terrain import render_terrain

Counts = npt.NDArray[np.uint16]

# Coefficients of the logarithm of the sky, of 1, u, v, u^2, uv, v^2; u and v run from -1 to 1 over the image.
_GRADIENT: Final = {
    Band.ON: (0.0, 0.06, 0.05, -0.03, 0.010, -0.02),
    Band.OFF: (0.0, 0.05, 0.08, -0.02, 0.015, -0.03),
}
_DIFFERENCE: Final = {
    Band.ON: (0.030, 0.05, 0.12, -0.020, 0.015, 0.03),
    Band.OFF: (0.015, 0.03, 0.07, -0.015, 0.010, 0.02),
}
_DRIFT_PER_HOUR: Final = {
    Band.ON: (0.06, 0.03, 0.020, 0.010, 0.000, -0.010),
    Band.OFF: (0.05, 0.02, 0.030, 0.005, 0.005, 0.000),
}
_GROUND: Final = {Band.ON: 1.0, Band.OFF: 1.12}
"""Brightness of the ground relative to the sky, against that of the on band"""
_PER_1E18: Final = 1e-18


@dataclass(frozen=True, slots=True)
class BandSettings:
    """What differs between the two bands."""

    exposure_s: float
    sky_level_dn: float
    cross_section_cm2: float
    matrix: Matrix | None
    """From on-band pixels to this camera's; None for the on-band camera"""


class BandCamera:
    """One band's camera, looking at the scene."""

    def __init__(
        self, band: Band, scenario: Scenario, geometry: SceneGeometry, field: PlumeField, settings: BandSettings
    ) -> None:
        self.band = band
        self.settings = settings
        self._scenario = scenario
        optics = geometry.optics
        x, y = scene_coordinates(optics, settings.matrix)
        self._plume = PlumePixels(field, geometry, x, y)
        cover, brightness = render_terrain(geometry, x, y)
        self._open_sky = 1 - cover
        self._ground = cover * (brightness * np.float32(_GROUND[band]))
        self._open_plume = self._open_sky.ravel()[self._plume.index]
        u = (x - geometry.centre[0]) / (optics.width_px / 2)
        v = (y - geometry.centre[1]) / (optics.height_px / 2)
        sky = scenario.sky
        clear = sky.gradient * _surface(_GRADIENT[band], u, v)
        self._detector = _Detector(band, scenario.sensor, optics.width_px, optics.height_px)
        self._clear = np.exp(clear).astype(np.float32)
        self._behind_plume = np.exp(clear + sky.difference * _surface(_DIFFERENCE[band], u, v)).astype(np.float32)
        self._drift_per_s = (sky.drift * _surface(_DRIFT_PER_HOUR[band], u, v) / 3600).astype(np.float32)

    def expected(self, kind: FrameKind, time_s: float, cell_molec_cm2: float = 0.0) -> FloatImage:
        """Return counts [DN] without noise, rounding and saturation, shape (rows, columns).

        ``time_s`` [s] is mid-exposure from the sequence's start; ``cell_molec_cm2`` the column of a gas cell.
        """
        detector, settings = self._detector, self.settings
        if kind is FrameKind.DARK:
            return detector.to_counts(None, settings.exposure_s)
        light = self._clear if kind is not FrameKind.PLUME else self._behind_plume
        if self._scenario.sky.drift > 0:
            light = light * np.exp(self._drift_per_s * np.float32(time_s))
        if kind is FrameKind.CELL:
            cells = self._scenario.cells
            through = cells.window_transmission * math.exp(-settings.cross_section_cm2 * cell_molec_cm2)
            light = light * np.float32(through)
        elif kind is FrameKind.PLUME:
            light = light * self._open_sky
            flat = light.reshape(-1)
            flat[self._plume.index] *= self._transmission(time_s)
            light += self._ground
        return detector.to_counts(light * np.float32(settings.sky_level_dn), settings.exposure_s)

    def _transmission(self, time_s: float) -> npt.NDArray[np.float32]:
        """Return the plume's transmission at its pixels."""
        aerosol = self._scenario.plume.aerosol_optical_depth * _PER_1E18
        depth = self._plume.columns(time_s)
        depth *= np.float32(-(self.settings.cross_section_cm2 + aerosol))
        transmission: npt.NDArray[np.float32] = np.exp(depth, out=depth)
        return transmission

    def record(self, expected: FloatImage, rng: np.random.Generator) -> Counts:
        """Return what the detector writes for ``expected`` counts: noise added, rounded, within its bits."""
        return self._detector.record(expected, self.settings.exposure_s, rng)

    def slant_column(self, time_s: float) -> FloatImage:
        """Return the slant column [molecules cm-2] of SO2 along each pixel's ray, terrain or not: (rows, columns)."""
        columns = np.zeros(self._clear.shape, np.float32)
        columns.reshape(-1)[self._plume.index] = self._plume.columns(time_s)
        return columns

    @property
    def terrain_share(self) -> FloatImage:
        """How much of each pixel is terrain, 0 to 1, shape (rows, columns)."""
        return 1 - self._open_sky


class _Detector:
    """Vignetting, dust, dark pattern and noise of one camera."""

    def __init__(self, band: Band, sensor: SensorModel, width: int, height: int) -> None:
        rng = np.random.default_rng([310 if band is Band.ON else 330, width, height])
        self._sensor = sensor
        y, x = np.mgrid[:height, :width].astype(np.float64)
        self._response = _response(x, y, sensor, rng).astype(np.float32)
        pattern = 0.7 * rng.standard_normal((height, width)) + 0.7 * rng.standard_normal((height, 1))
        self._bias = (sensor.offset_dn + sensor.dark_pattern_dn * pattern).astype(np.float32)

    def _dark(self, exposure_s: float) -> FloatImage:
        return self._bias + np.float32(self._sensor.dark_current_dn_s * exposure_s)

    def to_counts(self, light: FloatImage | None, exposure_s: float) -> FloatImage:
        """Return dark counts plus light [DN per the band's exposure], shape (rows, columns)."""
        dark = self._dark(exposure_s)
        if light is not None:
            dark += light * self._response
        return dark

    def record(self, expected: FloatImage, exposure_s: float, rng: np.random.Generator) -> Counts:
        sensor = self._sensor
        counts = expected
        if sensor.noise:
            variance = np.maximum(expected - self._dark(exposure_s), 0)
            variance *= np.float32(1 / sensor.electrons_per_dn)
            variance += np.float32(sensor.read_noise_dn**2)
            noise = rng.standard_normal(expected.shape, dtype=np.float32)
            noise *= np.sqrt(variance, out=variance)
            counts = expected + noise
        return np.clip(np.rint(counts), 0, 2**sensor.bits - 1).astype(np.uint16)


def _surface(coefficients: tuple[float, ...], u: FloatArray, v: FloatArray) -> FloatArray:
    """Return a quadratic surface in u and v, of their shape."""
    terms = (np.ones_like(u), u, v, u**2, u * v, v**2)
    total = np.zeros_like(u)
    for coefficient, term in zip(coefficients, terms, strict=True):
        total += coefficient * term
    return total


def _response(x: FloatArray, y: FloatArray, sensor: SensorModel, rng: np.random.Generator) -> FloatArray:
    """Return V: vignetting about a centre somewhat off the image's, dust and ripple; maximum near 1."""
    height, width = x.shape
    half = math.hypot(width, height) / 2
    dx = x - width * (0.5 + rng.uniform(-0.04, 0.04))
    dy = y - height * (0.5 + rng.uniform(-0.04, 0.04))
    squared = (dx**2 + dy**2) / half**2
    response = (1 + squared * math.tan(math.radians(17.3)) ** 2) ** -2 * (1 - sensor.vignetting * squared)
    for _ in range(14):
        spot_x, spot_y, size = rng.uniform(0, width), rng.uniform(0, height), rng.uniform(2, 7)
        depth = sensor.dust * rng.uniform(0.3, 1.0)
        response *= 1 - depth * np.exp(-((x - spot_x) ** 2 + (y - spot_y) ** 2) / (2 * size**2))
    ripple = np.sin(2 * np.pi * (x / 83 + y / 290)) + np.sin(2 * np.pi * (y / 57 - x / 410))
    return np.asarray(response * (1 + sensor.dust / 8 * ripple), np.float64)
