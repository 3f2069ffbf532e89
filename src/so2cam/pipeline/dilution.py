"""Light dilution during a run: the extinctions that hold at a time, given, from terrain, or from the spectrometer.

What a source says at a time follows from what had passed by then alone, so that live and batch agree; with the policy
``whole`` that of the spectrometer follows from all spectra of the run.
"""

from collections import deque
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np

from so2cam.core.site import Site
from so2cam.pipeline.columns import ColumnPoint
from so2cam.pipeline.dilution_source import BandExtinctions, DilutionSource, PlumeSource, smoothed
from so2cam.pipeline.dilution_spectra import SpectrumDilution, WholeSpectrumDilution
from so2cam.pipeline.dilution_terrain import measure_extinction, site_ground
from so2cam.pipeline.plume_dilution import PlumeDilution
from so2cam.pipeline.steps import LogImage
from so2cam.science.imaging.extinction_series import band_correlation, fixed_extinction
from so2cam.science.imaging.terrain_pixels import TerrainPoints

_KEPT = 48
"""Extinctions that the smooth series looks back on."""


class FixedDilution(PlumeSource):
    """Extinctions that the site file gives."""

    def __init__(self, site: Site, folder: Path) -> None:
        super().__init__(site, folder)
        given = site.processing.light_dilution
        self._given = (
            fixed_extinction(
                (given.on_extinction_per_km or 0.0) * 1e-3, (given.on_extinction_uncertainty_per_km or 0.0) * 1e-3
            ),
            fixed_extinction(
                (given.off_extinction_per_km or 0.0) * 1e-3, (given.off_extinction_uncertainty_per_km or 0.0) * 1e-3
            ),
        )

    def add_column(self, point: ColumnPoint) -> None:
        """A column changes nothing."""

    def at(self, time: datetime, on: LogImage, off: LogImage) -> PlumeDilution | None:
        """Return the extinctions given, at the plume's distance."""
        return self.dilution(time, self._given, 1.0)

    @property
    def frozen(self) -> bool:
        """They are the same for ever."""
        return True

    @property
    def found(self) -> Sequence[BandExtinctions]:
        """The extinctions given."""
        return (self._given,)


class TerrainDilution(PlumeSource):
    """Extinctions from dark ground of known distance in the images: found from time to time, slow in between.

    ``ground`` is that of the site where it is known already.
    """

    def __init__(self, site: Site, folder: Path, ground: TerrainPoints | None = None) -> None:
        super().__init__(site, folder)
        self._ground = site_ground(site, folder) if ground is None else ground
        self._every = timedelta(minutes=site.processing.light_dilution.recalculation_min)
        self._tried: datetime | None = None
        self._times: deque[datetime] = deque(maxlen=_KEPT)
        self._found: deque[BandExtinctions] = deque(maxlen=_KEPT)
        self._now: tuple[BandExtinctions, float] | None = None

    def add_column(self, point: ColumnPoint) -> None:
        """A column changes nothing."""

    @property
    def found(self) -> Sequence[BandExtinctions]:
        """The last extinctions that were found."""
        return self._found

    def at(self, time: datetime, on: LogImage, off: LogImage) -> PlumeDilution | None:
        """Return what holds at ``time``; where it is due, what this pair shows is taken in first.

        Until there are any extinctions it is due with every pair.
        """
        if self._tried is None or not self._found or time - self._tried >= self._every:
            self._add(time, measure_extinction(self.site, self._ground, on, off))
        return None if self._now is None else self.dilution(time, *self._now)

    def _add(self, time: datetime, found: BandExtinctions) -> None:
        """Take what was found at ``time``, and bring what holds from now on up to date."""
        self._tried = time
        if not (found[0].usable and found[1].usable):
            return
        self._times.append(time)
        self._found.append(found)
        self._now = (smoothed(self._times, self._found, time, causal=True), band_correlation(*found))


class RecordedDilution(PlumeSource):
    """Extinctions that results say their pairs were corrected by, whatever found them, and in whatever order.

    ``recorded`` returns those of the pair of a time (``PairRecord.extinction_per_m``), None where it was not corrected.
    How far the errors of the bands agree is not kept: only images are to be made with it.
    """

    def __init__(
        self, site: Site, folder: Path, recorded: Callable[[datetime], tuple[float, float, float, float] | None]
    ) -> None:
        super().__init__(site, folder)
        self._recorded = recorded

    def add_column(self, point: ColumnPoint) -> None:
        """A column changes nothing."""

    def at(self, time: datetime, on: LogImage, off: LogImage) -> PlumeDilution | None:
        """Return what the pair of ``time`` was corrected by; what ``recorded`` raises is passed on."""
        found = self._recorded(time)
        if found is None or not np.isfinite(found).all():
            return None
        return self.dilution(time, (fixed_extinction(found[0], found[2]), fixed_extinction(found[1], found[3])), 1.0)

    @property
    def frozen(self) -> bool:
        """What was recorded stays."""
        return True

    @property
    def found(self) -> Sequence[BandExtinctions]:
        """Nothing is found here."""
        return ()


def build_dilution(site: Site, folder: Path, whole: Sequence[ColumnPoint] | None = None) -> DilutionSource | None:
    """Return what finds the light dilution of a run; None where none is corrected.

    ``whole`` are all columns of the run, where the policy is to learn from them before it begins.
    """
    mode = site.processing.light_dilution.mode
    if mode == "fixed":
        return FixedDilution(site, folder)
    if mode == "terrain":
        return TerrainDilution(site, folder)
    if mode == "spectrum":
        return SpectrumDilution(site, folder) if whole is None else WholeSpectrumDilution(site, folder, whole)
    return None


def terrain_files(site: Site, folder: Path) -> tuple[Path, ...]:
    """Return the files that the correction of light dilution reads."""
    settings = site.processing.light_dilution
    used = settings.mode == "terrain" and settings.terrain_model is not None
    return (folder / str(settings.terrain_model),) if used else ()
