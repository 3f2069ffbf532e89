"""The spectrometer: the mean spectrum of what its round field of view shows, blurred, recorded with noise.

    counts = offset + pattern + dark current * t + rate * t * [ (L * G)(pixel) + stray light ]

L is the mean over the field of view of the spectra of its points (not the spectrum of their mean column: the two
differ where the plume varies inside), averaged over the exposure; G is the instrument's line shape.
"""

import math
from dataclasses import dataclass
from typing import Final

import numpy as np

from so2cam.core.errors import InputError
from so2cam.core.records import FloatArray
from so2cam.core.spectra import SpectrumKind
from so2cam.simulate.geometry import SceneGeometry
from so2cam.simulate.light import FIRST_TABLE_NM, build_spectra
from so2cam.simulate.pixels import PlumePixels
from so2cam.simulate.plume import PlumeField
from so2cam.simulate.scenario import Scenario
from so2cam.simulate.sky import CloudLayer, SkySurface, drift_hours
from so2cam.simulate.terrain import render_terrain

_STEP_NM: Final = 0.01
_LINE_SHAPE_REACH: Final = 3.0
"""The line shape is cut this many widths from its centre"""
_COLUMN_NODES: Final = 96
_MOMENTS: Final = (-0.3872983346207417, 0.0, 0.3872983346207417)
_MOMENT_WEIGHTS: Final = (5 / 18, 8 / 18, 5 / 18)
"""Gauss-Legendre over the exposure"""
_WATCHED_NM: Final = (300.0, 340.0)
"""Where existing instruments look for the brightest pixel"""
_RAYLEIGH_NM: Final = 320.0
_SKY_POWER: Final = 2.0
"""Blue sky and the grating's blaze together: brightness goes with 1/wavelength to this"""
_FILTER_NM: Final = 395.0
"""Half transmission of the filter that keeps visible light out"""
_SURFACE_NM: Final = (290.0, 310.0, 330.0, 360.0)
_MERCURY: Final = (
    (289.445, 0.05), (296.815, 0.3), (302.238, 0.2), (312.659, 0.6), (313.253, 0.8), (334.244, 0.15), (365.120, 1.0),
    (365.588, 0.2), (366.392, 0.15),
)  # fmt: skip
"""Lines of a mercury lamp: wavelength in vacuum [nm], and relative strength"""


@dataclass(frozen=True, slots=True)
class FieldOfView:
    """Where the spectrometer looks, in the on-band image.

    A point at distance r [px] from (``x``, ``y``) has the weight ``2^-((r / radius_px)^edge)``.
    """

    x: float
    y: float
    radius_px: float
    edge: float

    def points(self) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Return points x, y and their weights, which sum to 1; all of shape (n,)."""
        reach = self.radius_px * 12 ** (1 / self.edge)
        spacing = min(1.0, self.radius_px / 6)
        steps = np.arange(-math.ceil(reach / spacing), math.ceil(reach / spacing) + 1) * spacing
        dx, dy = (part.ravel() for part in np.meshgrid(steps, steps))
        weights = np.exp2(-((np.hypot(dx, dy) / self.radius_px) ** self.edge))
        keep = weights > 1e-3
        return self.x + dx[keep], self.y + dy[keep], weights[keep] / weights[keep].sum()


class SpotSpectrometer:
    """The spectrometer of a scene."""

    def __init__(
        self,
        scenario: Scenario,
        geometry: SceneGeometry,
        field: PlumeField,
        view: FieldOfView,
        clouds: CloudLayer | None = None,
    ) -> None:
        model = scenario.spectrometer
        self.view = view
        self._model = model
        self._drifts = scenario.sky.drift > 0
        x, y, self._weights = view.points()
        terrain = render_terrain(geometry, scenario.terrain, x, y)
        if float(terrain.cover.max()) > 0:
            raise InputError(
                "the field of view of the spectrometer touches the mountain",
                key="spectrometer",
                remedy="correct downstream_m and across_px of the scenario's spectrometer",
            )
        self._pixels = PlumePixels(field, geometry, x, y)
        self._pixel_weights = self._weights[self._pixels.index]
        self._free = 1 - float(self._pixel_weights.sum())
        self._distance = float(geometry.to_plane(np.array([view.x]), np.array([view.y])).distance[0])
        self._spectra = build_spectra(scenario.air, scenario.plume, FIRST_TABLE_NM, 425.0, _STEP_NM)
        grid = self._spectra.wavelengths_nm
        self._share = self._spectra.diluted(self._distance)
        self._extinction = self._spectra.plume_cm2
        self._response = (_RAYLEIGH_NM / grid) ** _SKY_POWER / (1 + np.exp((grid - _FILTER_NM) / 4))
        self.wavelengths_nm = np.round(np.linspace(model.first_nm, model.last_nm, model.pixels), 5)
        """Of the pixels, as the files state them [nm], shape (pixels,)"""
        self._true_nm = self.wavelengths_nm + model.shift_nm
        reach = math.ceil(_LINE_SHAPE_REACH * model.width_nm / _STEP_NM)
        offsets: FloatArray = np.arange(-reach, reach + 1, dtype=np.float64) * np.float64(_STEP_NM)
        shape = line_shape(offsets, model.width_nm, model.exponent)
        self._line_shape = shape / shape.sum()
        spot = np.array([view.x]), np.array([view.y])
        surfaces = [SkySurface(scenario, geometry.optics, *spot, wavelength) for wavelength in _SURFACE_NM]
        self._clear, self._behind, self._drift = (
            np.interp(grid, _SURFACE_NM, [float(values[0]) for values in part])
            for part in zip(*((s.clear, s.behind_plume, s.drift_per_hour) for s in surfaces), strict=True)
        )
        self._clouds = clouds
        if clouds is not None:
            self._cloud_contrast = np.interp(grid, _SURFACE_NM, [clouds.contrast(value) for value in _SURFACE_NM])
            self._cloud_points = x.astype(np.float32)[np.newaxis], y.astype(np.float32)[np.newaxis]
        rng = np.random.default_rng([model.pixels, 5])
        self._pattern = model.pattern_counts * rng.standard_normal(model.pixels)
        self._rate = 1.0
        watched = (self.wavelengths_nm >= _WATCHED_NM[0]) & (self.wavelengths_nm <= _WATCHED_NM[1])
        self._rate = model.level_counts / float(self._light(SpectrumKind.CLEAR, 0.0, 0.0)[watched].max())

    def columns(self, time_s: float) -> tuple[FloatArray, FloatArray]:
        """Return slant columns [molecules cm-2] inside the field of view and their weights, shape (n,)."""
        columns = np.append(self._pixels.columns(time_s).astype(np.float64), 0.0)
        return columns, np.append(self._pixel_weights, self._free)

    def mean_column(self, time_s: float, duration_s: float = 0.0) -> float:
        """Return the mean slant column [molecules cm-2] in the field of view, over an exposure around ``time_s``."""
        total = 0.0
        for moment, share in zip(_MOMENTS, _MOMENT_WEIGHTS, strict=True):
            columns, weights = self.columns(time_s + moment * duration_s)
            total += share * float(columns @ weights)
        return total

    @property
    def light_dilution(self) -> float:
        """Share of the light at 310 nm that comes from between the plume and the camera."""
        return float(np.interp(310.0, self._spectra.wavelengths_nm, self._share))

    def expected(
        self, kind: SpectrumKind, time_s: float, integration_time_s: float, coadds: int, brightness: float = 1.0
    ) -> FloatArray:
        """Return counts without noise and saturation, shape (pixels,); ``time_s``: the middle of all coadds."""
        model = self._model
        dark = model.offset_counts + self._pattern + model.dark_counts_s * integration_time_s
        if kind is SpectrumKind.DARK:
            return np.asarray(dark, np.float64)
        light = self._light(kind, time_s, integration_time_s * coadds)
        level = integration_time_s / model.integration_time_s
        if kind is not SpectrumKind.LAMP:
            level *= brightness
        light = light * level
        return np.asarray(dark + light + model.stray_light * light.mean(), np.float64)

    def record(self, expected: FloatArray, coadds: int, rng: np.random.Generator) -> FloatArray:
        """Return what is written: the mean of ``coadds`` readouts with noise, none beyond the scale: float64."""
        model = self._model
        top = 2.0**model.bits - 1
        if not model.noise:
            return np.asarray(np.clip(np.rint(expected), 0, top), np.float64)
        dark = model.offset_counts + self._pattern
        variance = np.maximum(expected - dark, 0) / model.electrons_per_count + model.read_noise_counts**2
        if coadds <= 8:
            noise = rng.standard_normal((coadds, expected.size)) * np.sqrt(variance)
            return np.asarray(np.clip(np.rint(expected + noise), 0, top).mean(axis=0), np.float64)
        noise = rng.standard_normal(expected.size) * np.sqrt((variance + 1 / 12) / coadds)
        return np.asarray(np.clip(expected + noise, 0, top), np.float64)

    def _light(self, kind: SpectrumKind, time_s: float, duration_s: float) -> FloatArray:
        """Return the blurred light on the pixels [counts per the scenario's integration time]."""
        grid = self._spectra.wavelengths_nm
        if kind is SpectrumKind.LAMP:
            total = np.zeros(self._true_nm.size)
            for wavelength, strength in _MERCURY:
                total += strength * line_shape(self._true_nm - wavelength, self._model.width_nm, self._model.exponent)
            return 0.7 * self._model.level_counts * total
        shows_plume = kind in (SpectrumKind.PLUME, SpectrumKind.TEST)
        source = self._spectra.source * self._response * np.exp(self._behind if shows_plume else self._clear)
        if self._drifts:
            source = source * np.exp(self._drift * drift_hours(time_s))
        if shows_plume:
            if self._clouds is not None:
                thickness = float(self._clouds.thickness(*self._cloud_points, time_s)[0] @ self._weights)
                source = source * np.exp(self._cloud_contrast * thickness)
            source = source * ((1 - self._share) * self._plume_transmission(time_s, duration_s) + self._share)
        blurred = np.convolve(source, self._line_shape, mode="same")
        light = np.interp(self._true_nm, grid, blurred, left=0.0)
        return np.asarray(self._rate * light, np.float64)

    def _plume_transmission(self, time_s: float, duration_s: float) -> FloatArray:
        """Return the mean over field of view and exposure of the plume's transmission, shape (wavelengths,)."""
        parts = [self.columns(time_s + moment * duration_s) for moment in _MOMENTS]
        columns = np.concatenate([part for part, _ in parts])
        weights = np.concatenate([share * part for share, (_, part) in zip(_MOMENT_WEIGHTS, parts, strict=True)])
        nodes, at_nodes = gather(columns, weights, _COLUMN_NODES)
        total: FloatArray = np.zeros_like(self._extinction)
        for column, weight in zip(nodes, at_nodes, strict=True):
            if weight > 0:
                total += weight * np.exp(-self._extinction * column)
        return total


def gather(columns: FloatArray, weights: FloatArray, count: int) -> tuple[FloatArray, FloatArray]:
    """Return at most ``count`` columns and weights that stand for many: their sum and mean are the same."""
    low, high = float(columns.min()), float(columns.max())
    if high - low <= 1e-9 * max(high, 1.0):
        return np.array([low]), np.array([float(weights.sum())])
    nodes = np.linspace(low, high, count)
    place = (columns - low) / (high - low) * (count - 1)
    left = np.minimum(place.astype(np.int64), count - 2)
    share = place - left
    total = np.bincount(left, weights * (1 - share), count) + np.bincount(left + 1, weights * share, count)
    return nodes, np.asarray(total, np.float64)


def line_shape(offsets_nm: FloatArray, width_nm: float, exponent: float) -> FloatArray:
    """Return a super-Gaussian of the full width at half maximum ``width_nm``, 1 in its middle (Beirle 2017, eq. 2)."""
    return np.asarray(np.exp2(-(np.abs(2 * offsets_nm / width_nm) ** exponent)), np.float64)
