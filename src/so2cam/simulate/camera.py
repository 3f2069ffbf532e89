"""The two band cameras: from the scene to counts.

    light = rate * t * gain * [ sky(x, y, time) * T(column, distance) * open + ground ]

Sky, plume and terrain belong to the scene and are sampled where the pixel looks; ``light`` and ``detector`` say what
T and the detector are. Ground at distance d shows ``b (1 - l(d)) + sky l(d)``: light of its own, of the sky's colour,
that is scattered away, and light of the air before it.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np

from so2cam.core.records import Band, FloatImage, FrameKind
from so2cam.simulate.detector import Counts, Detector
from so2cam.simulate.geometry import Matrix, SceneGeometry, scene_coordinates
from so2cam.simulate.light import BandLight
from so2cam.simulate.pixels import PlumePixels
from so2cam.simulate.plume import PlumeField
from so2cam.simulate.scenario import Scenario
from so2cam.simulate.sky import CloudLayer, SkySurface, drift_hours
from so2cam.simulate.terrain import render_terrain

_GROUND: Final = {Band.ON: 1.0, Band.OFF: 1.12}
"""Brightness of the ground relative to the sky, against that of the on band"""


@dataclass(frozen=True, slots=True)
class BandSettings:
    """What differs between the two bands."""

    exposure_s: float
    sky_level_dn: float
    """Clear sky at the image's centre, at this exposure and the scenario's gain"""
    matrix: Matrix | None
    """From on-band pixels to this camera's; None for the on-band camera"""


class BandCamera:
    """One band's camera, looking at the scene."""

    def __init__(
        self,
        band: Band,
        scenario: Scenario,
        geometry: SceneGeometry,
        field: PlumeField,
        settings: BandSettings,
        clouds: CloudLayer | None = None,
    ) -> None:
        self.band = band
        self.settings = settings
        self._scenario = scenario
        optics = geometry.optics
        x, y = scene_coordinates(optics, settings.matrix)
        self.terrain = render_terrain(geometry, scenario.terrain, x, y)
        cover = self.terrain.cover
        self._open_sky = np.clip(1 - cover, 0, 1)
        self._plume = PlumePixels(field, geometry, x, y, hidden=cover.astype(np.float64))
        distance = geometry.to_plane(x, y).distance
        nearest, farthest = float(distance.min()), float(distance.max())
        self.light = BandLight(band, scenario, (nearest, farthest))
        self._far = self.light.place(self._plume.distance_m.astype(np.float64))
        ground, before = np.zeros(cover.shape, np.float32), np.zeros(cover.shape, np.float32)
        for layer in self.terrain.layers:
            share = self.light.diluted(layer.distance_m.astype(np.float64)).astype(np.float32)
            ground += layer.cover * layer.brightness * np.float32(_GROUND[band]) * (1 - share)
            before += layer.cover * share
        self._ground = ground
        self._sky_share = self._open_sky + before
        sky = SkySurface(scenario, optics, x, y, self.light.centre_nm)
        self._detector = Detector(band, scenario.sensor, optics.width_px, optics.height_px)
        self._clear = np.exp(sky.clear).astype(np.float32)
        self._behind_plume = np.exp(sky.behind_plume).astype(np.float32)
        self._drift_per_hour = sky.drift_per_hour.astype(np.float32)
        self._clouds = clouds
        if clouds is not None:
            self._cloud_contrast = np.float32(clouds.contrast(self.light.centre_nm))
            self._cloud_x, self._cloud_y = x.astype(np.float32), y.astype(np.float32)

    def expected(
        self,
        kind: FrameKind,
        time_s: float,
        cell_molec_cm2: float = 0.0,
        *,
        exposure_s: float | None = None,
        gain: float = 1.0,
        brightness: float = 1.0,
    ) -> FloatImage:
        """Return counts [DN] without noise, rounding and saturation, shape (rows, columns).

        ``time_s`` [s] is mid-exposure from the sequence's start; ``cell_molec_cm2`` the true column of a gas cell.
        ``exposure_s`` is that of the settings if absent; ``gain`` is relative to the scenario's, ``brightness`` to
        the scene's. Clear sky and cells are seen without plume, terrain and clouds.
        """
        settings = self.settings
        exposure = settings.exposure_s if exposure_s is None else exposure_s
        if kind is FrameKind.DARK:
            return self._detector.expected(None, exposure, gain)
        level = settings.sky_level_dn * exposure / settings.exposure_s * gain * brightness
        shows_plume = kind in (FrameKind.PLUME, FrameKind.TEST)
        light = self._behind_plume if shows_plume else self._clear
        if self._scenario.sky.drift > 0:
            light = light * np.exp(self._drift_per_hour * np.float32(drift_hours(time_s)))
        if kind is FrameKind.CELL:
            level *= self._scenario.cells.window_transmission * self.light.cell_transmission(cell_molec_cm2)
        elif shows_plume:
            if self._clouds is not None:
                thickness = self._clouds.thickness(self._cloud_x, self._cloud_y, time_s).astype(np.float32)
                light = light * np.exp(self._cloud_contrast * thickness)
            change = self.light.look_up(self._plume.columns(time_s), self._far)
            at = self._plume.index
            # The plume is behind ridges and mountain: of their pixels it dims the share of open sky only.
            sky_share = self._sky_share.copy()
            flat = sky_share.reshape(-1)
            flat[at] += self._open_sky.reshape(-1)[at] * (change - 1)
            light = light * sky_share
            light += self._ground
        return self._detector.expected(light * np.float32(level), exposure, gain)

    def record(
        self, expected: FloatImage, rng: np.random.Generator, *, exposure_s: float | None = None, gain: float = 1.0
    ) -> Counts:
        """Return what the detector writes for ``expected`` counts: noise added, rounded, within its bits."""
        exposure = self.settings.exposure_s if exposure_s is None else exposure_s
        return self._detector.record(expected, exposure, rng, gain)

    def slant_column(self, time_s: float) -> FloatImage:
        """Return the slant column [molecules cm-2] of SO2 along each pixel's ray: (rows, columns).

        It is 0 where a pixel shows nothing but terrain.
        """
        columns = np.zeros(self._clear.shape, np.float32)
        columns.reshape(-1)[self._plume.index] = self._plume.columns(time_s)
        return columns

    @property
    def terrain_share(self) -> FloatImage:
        """How much of each pixel is terrain, 0 to 1, shape (rows, columns)."""
        return 1 - self._open_sky
