"""What says by how much the plume's light is diluted at a time, and what all such sources share."""

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np

from so2cam.core.records import FloatImage
from so2cam.core.site import Site
from so2cam.pipeline.columns import ColumnPoint
from so2cam.pipeline.geometry import SiteGeometry, WindField, camera_model
from so2cam.pipeline.plume_dilution import PlumeDilution
from so2cam.pipeline.steps import LogImage
from so2cam.science.geometry.plume import PlumePlane, plume_distance_m
from so2cam.science.imaging.extinction import Extinction
from so2cam.science.imaging.extinction_series import fixed_extinction, smooth_series
from so2cam.science.imaging.light_dilution import DilutionState, StateUncertainty, amplification

_GRID_PX = 8

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

    @property
    def frozen(self) -> bool:
        """Whether what it says no longer depends on what passes."""

    @property
    def trouble(self) -> str | None:
        """Why nothing was found; None where something was."""

    def distances(self, time: datetime) -> tuple[FloatImage, float, float] | None:
        """Return the plume's distance [m] (rows, columns), its mean on the lines and the mean's relative 1 sigma."""


class PlumeSource:
    """What the sources share: the plume's distance over the image."""

    def __init__(self, site: Site, folder: Path) -> None:
        self.site = site
        self._geometry = SiteGeometry(site, WindField(site, folder))
        self._kept: tuple[PlumePlane, FloatImage, float, float] | None = None

    @property
    def frozen(self) -> bool:
        """Whether what it says no longer depends on what passes."""
        return False

    @property
    def trouble(self) -> str | None:
        """Why nothing was found; None where something was."""
        return None

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

    def airlight(self) -> tuple[float, float]:
        """Return the brightness of the air before the plume over that of the sky behind it, and 1 sigma.

        1 and 0 where spectra tell the dilution: theirs is the share of light itself, whatever the air's brightness.
        """
        settings = self.site.processing.light_dilution
        if settings.mode == "spectrum":
            return 1.0, 0.0
        return settings.airlight_ratio, settings.airlight_ratio_uncertainty

    def dilution(self, time: datetime, found: BandExtinctions, correlation: float) -> PlumeDilution | None:
        """Return what the two bands' extinctions do at the plume; None where either is missing."""
        distances = self.distances(time)
        if distances is None or not (found[0].usable and found[1].usable):
            return None
        full, mean, relative = distances
        ratio, ratio_sigma = self.airlight()
        on, off = (DilutionState(band.value_per_m, full, ratio) for band in found)
        return PlumeDilution(
            on=on,
            off=off,
            uncertainty=StateUncertainty(
                found[0].uncertainty_per_m, found[1].uncertainty_per_m, correlation, relative, ratio_sigma
            ),
            amplification=float(amplification(on._replace(distance_m=mean))),
            distance_m=mean,
        )


def smoothed(
    times: Sequence[datetime], found: Sequence[BandExtinctions], at: datetime, *, causal: bool
) -> BandExtinctions:
    """Return the extinctions at a time from those found at ``times``, as something that changes slowly."""
    seconds = np.array([(each - times[0]).total_seconds() for each in times])
    when = np.array([(at - times[0]).total_seconds()])

    def band(index: int) -> Extinction:
        series = smooth_series(seconds, [each[index] for each in found], when, causal=causal)
        sigma = float(np.hypot(series.random_per_m[0], series.systematic_per_m[0]))
        return fixed_extinction(float(series.value_per_m[0]), sigma)

    return band(0), band(1)
