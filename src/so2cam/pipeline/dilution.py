"""Light dilution during a run: the extinctions that hold at a time, given, from terrain, or from the spectrometer.

What a source says at a time follows from what had passed by then alone, so that live and batch agree.
"""

from collections import deque
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np

from so2cam.core.records import FloatImage
from so2cam.core.site import Site
from so2cam.pipeline.bands import effective_wavelengths_nm
from so2cam.pipeline.columns import ColumnPoint
from so2cam.pipeline.dilution_terrain import measure_extinction, site_ground
from so2cam.pipeline.geometry import SiteGeometry, WindField, camera_model
from so2cam.pipeline.plume_dilution import PlumeDilution
from so2cam.pipeline.steps import LogImage
from so2cam.science.geometry.plume import PlumePlane, plume_distance_m
from so2cam.science.imaging.extinction import Extinction
from so2cam.science.imaging.extinction_series import (
    SpectralDilution,
    band_correlation,
    combine,
    fixed_extinction,
    smooth_series,
    spectral_extinction,
)
from so2cam.science.imaging.light_dilution import DilutionState, StateUncertainty, amplification

_GRID_PX = 8
_KEPT = 48
"""Extinctions that the smooth series looks back on."""

_POINTS = 2000
"""Columns with a dilution that are kept until the next extinction is found."""

BandExtinctions = tuple[Extinction, Extinction]


class DilutionSource(Protocol):
    """Says by how much the plume's light is diluted."""

    def add_column(self, point: ColumnPoint) -> None:
        """Take a column of the spectrometer, with the dilution found with it."""

    def at(self, time: datetime, on: LogImage, off: LogImage) -> PlumeDilution | None:
        """Return what holds at ``time``, having seen both bands' images of it; None where it is not known."""

    @property
    def found(self) -> Sequence[BandExtinctions]:
        """The extinctions of both bands that were found so far, the last ones of many."""

    def distances(self, time: datetime) -> tuple[FloatImage, float, float] | None:
        """Return the plume's distance [m] (rows, columns), its mean on the lines and the mean's relative 1 sigma."""


class _Source:
    """What the sources share: the plume's distance over the image."""

    def __init__(self, site: Site, folder: Path) -> None:
        self.site = site
        self._geometry = SiteGeometry(site, WindField(site, folder))
        self._kept: tuple[PlumePlane, FloatImage, float, float] | None = None

    def distances(self, time: datetime) -> tuple[FloatImage, float, float] | None:
        """Return the plume's distance [m] (rows, columns), its mean on the lines and the mean's relative 1 sigma."""
        geometry = self._geometry.at(time)
        if geometry.plane is None or not geometry.lines:
            return None
        if self._kept is None or self._kept[0] != geometry.plane:
            optics = self.site.camera.optics
            rows, columns = -(-optics.height_px // _GRID_PX) + 1, -(-optics.width_px // _GRID_PX) + 1
            x, y = np.meshgrid(np.arange(columns) * _GRID_PX, np.arange(rows) * _GRID_PX)
            coarse = plume_distance_m(camera_model(self.site), geometry.plane, x.astype(float), y.astype(float))
            across, down = np.meshgrid(
                np.arange(optics.width_px, dtype=np.float32) / _GRID_PX,
                np.arange(optics.height_px, dtype=np.float32) / _GRID_PX,
            )
            full = cv2.remap(coarse.astype(np.float32), across, down, cv2.INTER_LINEAR)
            lines = geometry.lines.values()
            mean = float(np.mean([line.distance_m.mean() for line in lines]))
            sigma = float(np.mean([line.relative_distance_uncertainty for line in lines]))
            self._kept = (geometry.plane, np.asarray(full, np.float32), mean, sigma)
        return self._kept[1:]

    def dilution(self, time: datetime, found: BandExtinctions, correlation: float) -> PlumeDilution | None:
        """Return what the two bands' extinctions do at the plume; None where either is missing."""
        distances = self.distances(time)
        if distances is None or not (found[0].usable and found[1].usable):
            return None
        full, mean, relative = distances
        settings = self.site.processing.light_dilution
        on, off = (DilutionState(band.value_per_m, full, settings.airlight_ratio) for band in found)
        return PlumeDilution(
            on=on,
            off=off,
            uncertainty=StateUncertainty(
                found[0].uncertainty_per_m,
                found[1].uncertainty_per_m,
                correlation,
                relative,
                settings.airlight_ratio_uncertainty,
            ),
            amplification=float(amplification(on._replace(distance_m=mean))),
            distance_m=mean,
        )


class FixedDilution(_Source):
    """Extinctions that the site file gives."""

    def __init__(self, site: Site, folder: Path) -> None:
        super().__init__(site, folder)
        given = site.processing.light_dilution

        def band(value: float | None, sigma: float | None) -> Extinction:
            return fixed_extinction((value or 0.0) * 1e-3, (sigma or 0.0) * 1e-3)

        self._given = (
            band(given.on_extinction_per_km, given.on_extinction_uncertainty_per_km),
            band(given.off_extinction_per_km, given.off_extinction_uncertainty_per_km),
        )

    def add_column(self, point: ColumnPoint) -> None:
        """A column changes nothing."""

    def at(self, time: datetime, on: LogImage, off: LogImage) -> PlumeDilution | None:
        """Return the extinctions given, at the plume's distance."""
        return self.dilution(time, self._given, 1.0)

    @property
    def found(self) -> Sequence[BandExtinctions]:
        """The extinctions given."""
        return (self._given,)


class _Series(_Source):
    """Extinctions that are found again from time to time, and change slowly in between."""

    def __init__(self, site: Site, folder: Path) -> None:
        super().__init__(site, folder)
        self._every = timedelta(minutes=site.processing.light_dilution.recalculation_min)
        self._tried: datetime | None = None
        self._times: deque[datetime] = deque(maxlen=_KEPT)
        self._found: deque[BandExtinctions] = deque(maxlen=_KEPT)
        self._now: tuple[BandExtinctions, float] | None = None

    @property
    def found(self) -> Sequence[BandExtinctions]:
        """The last extinctions that were found."""
        return self._found

    def due(self, time: datetime) -> bool:
        """Return whether extinctions are to be found again; until there are any, with every pair."""
        return self._tried is None or not self._found or time - self._tried >= self._every

    def add(self, time: datetime, found: BandExtinctions) -> None:
        """Take what was found at ``time``, and bring what holds from now on up to date."""
        self._tried = time
        if not (found[0].usable and found[1].usable):
            return
        self._times.append(time)
        self._found.append(found)
        start = self._times[0]
        seconds = np.array([(each - start).total_seconds() for each in self._times])
        smooth = []
        for band in (0, 1):
            series = smooth_series(seconds, [each[band] for each in self._found], seconds[-1:], causal=True)
            sigma = float(np.hypot(series.random_per_m[0], series.systematic_per_m[0]))
            smooth.append(fixed_extinction(float(series.value_per_m[0]), sigma))
        self._now = ((smooth[0], smooth[1]), band_correlation(*found))

    def now(self, time: datetime) -> PlumeDilution | None:
        """Return what holds at ``time``."""
        return None if self._now is None else self.dilution(time, *self._now)


class TerrainDilution(_Series):
    """Extinctions from dark ground of known distance in the images."""

    def __init__(self, site: Site, folder: Path) -> None:
        super().__init__(site, folder)
        self._ground = site_ground(site, folder)

    def add_column(self, point: ColumnPoint) -> None:
        """A column changes nothing."""

    def at(self, time: datetime, on: LogImage, off: LogImage) -> PlumeDilution | None:
        """Return what holds at ``time``; where it is due, what this pair shows is taken in first."""
        if self.due(time):
            self.add(time, measure_extinction(self.site, self._ground, on, off))
        return self.now(time)


class SpectrumDilution(_Series):
    """Extinctions from the light dilution that the fit of spectra found."""

    def __init__(self, site: Site, folder: Path) -> None:
        super().__init__(site, folder)
        self._wavelengths = effective_wavelengths_nm(site)
        self._points: deque[ColumnPoint] = deque(maxlen=_POINTS)

    def add_column(self, point: ColumnPoint) -> None:
        """Take the dilution found with a column."""
        value, sigma = point.light_dilution
        if np.isfinite(value) and np.isfinite(sigma) and sigma > 0:
            self._points.append(point)

    def at(self, time: datetime, on: LogImage, off: LogImage) -> PlumeDilution | None:
        """Return what holds at ``time``: the mean of the dilutions since it was last found."""
        distances = self.distances(time)
        if self._points and distances is not None and self.due(time):
            points = list(self._points)
            self._points.clear()
            self.add(time, spectral_extinctions(self.site, points, distances[1], distances[2], self._wavelengths))
        return self.now(time)


def spectral_extinctions(
    site: Site, points: Sequence[ColumnPoint], distance_m: float, relative: float, wavelengths_nm: tuple[float, float]
) -> BandExtinctions:
    """Return the extinction of the on and the off band, the mean of what the light dilution of ``points`` tells.

    ``distance_m`` is that of the plume, ``relative`` its relative 1 sigma; wavelengths are those of the two bands.
    """
    settings = site.processing.light_dilution
    exponent = (settings.wavelength_exponent, settings.wavelength_exponent_uncertainty)
    shares = [SpectralDilution(*point.light_dilution, distance_m, relative * distance_m, *exponent) for point in points]
    on, off = (combine([spectral_extinction(share, wavelength) for share in shares]) for wavelength in wavelengths_nm)
    return on, off


def build_dilution(site: Site, folder: Path) -> DilutionSource | None:
    """Return what finds the light dilution of a run; None where none is corrected."""
    mode = site.processing.light_dilution.mode
    if mode == "fixed":
        return FixedDilution(site, folder)
    if mode == "terrain":
        return TerrainDilution(site, folder)
    return SpectrumDilution(site, folder) if mode == "spectrum" else None


def terrain_files(site: Site, folder: Path) -> tuple[Path, ...]:
    """Return the files that the correction of light dilution reads."""
    settings = site.processing.light_dilution
    used = settings.mode == "terrain" and settings.terrain_model is not None
    return (folder / str(settings.terrain_model),) if used else ()
