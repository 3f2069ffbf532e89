"""Light dilution from the spectrometer: what spectra of some minutes tell together.

A spectrum by itself seldom tells how much of its light never passed the plume. Spectra of ``recalculation_min`` share
one dilution: it is found anew as they become half as many again, and stands when that time is over. What holds at a
time follows from spectra whose exposure had ended by then alone; or, with the policy ``whole``, from all of a run.
"""

from collections import deque
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np

from so2cam.core.site import Site
from so2cam.pipeline.bands import effective_wavelengths_nm
from so2cam.pipeline.columns import ColumnPoint
from so2cam.pipeline.dilution_source import BandExtinctions, PlumeSource, smoothed
from so2cam.pipeline.plume_dilution import PlumeDilution
from so2cam.pipeline.steps import LogImage
from so2cam.science.imaging.extinction import ExtinctionStatus, missing_extinction
from so2cam.science.imaging.extinction_series import SpectralDilution, combine, spectral_extinction
from so2cam.science.spectra.dilution import DEPTHS
from so2cam.science.spectra.dilution_pool import POOL_TEXT, PoolStatus, pool_dilution

_KEPT = 48
"""Extinctions that the smooth series looks back on."""
_POINTS = 2000
"""Columns that are kept at most."""
_MORE = 0.5
"""So many more columns, relative, begin another search."""


class _FromSpectra(PlumeSource):
    """Extinctions from a stretch of spectra."""

    _found: Sequence[BandExtinctions]

    def __init__(self, site: Site, folder: Path) -> None:
        super().__init__(site, folder)
        self._every = timedelta(minutes=site.processing.light_dilution.recalculation_min)
        self._wavelengths = effective_wavelengths_nm(site)
        self._trouble = "none shows enough SO2, or is known well enough"

    @property
    def found(self) -> Sequence[BandExtinctions]:
        """The extinctions that were found: the last of them, or those of all stretches."""
        return self._found

    @property
    def trouble(self) -> str | None:
        """Why nothing was found; None where something was."""
        return None if self._found else self._trouble

    def stretch(self, time: datetime, points: Sequence[ColumnPoint]) -> BandExtinctions | None:
        """Return what ``points`` tell together; None where they tell nothing."""
        distances = self.distances(time)
        if distances is None:
            self._trouble = "the plume's distance is not known"
            return None
        pooled = [point.misfit for point in points if point.misfit is not None]
        if pooled:
            found = pool_dilution(DEPTHS, np.array(pooled))
            if found.status is not PoolStatus.OK:
                sigma = f" (1 sigma {100 * found.depth_sigma:.0f} %)" if np.isfinite(found.depth_sigma) else ""
                self._trouble = f"{POOL_TEXT[found.status]}{sigma}"
                return None
            shares = [(found.share, found.uncertainty)]
        else:
            shares = [point.light_dilution for point in points]
        on, off = spectral_extinctions(self.site, shares, distances[1], distances[2], self._wavelengths)
        return (on, off) if on.usable and off.usable else None


class SpectrumDilution(_FromSpectra):
    """Extinctions from the spectra that have passed."""

    def __init__(self, site: Site, folder: Path) -> None:
        super().__init__(site, folder)
        self._points: deque[ColumnPoint] = deque(maxlen=_POINTS)
        self._began: datetime | None = None
        self._seen, self._fresh = 0, 0
        self._times: deque[datetime] = deque(maxlen=_KEPT)
        self._found: deque[BandExtinctions] = deque(maxlen=_KEPT)
        self._open = False
        self._now: BandExtinctions | None = None

    def add_column(self, point: ColumnPoint) -> None:
        """Take what the spectrum of a column tells of its dilution."""
        if tells_dilution(point):
            self._points.append(point)
            self._fresh += 1

    def at(self, time: datetime, on: LogImage, off: LogImage) -> PlumeDilution | None:
        """Return what holds at ``time``."""
        while self._points and time - self._points[0].time > self._every:
            self._points.popleft()
        if self._points and self._fresh >= max(_MORE * self._seen, 1):
            self._find(time)
        return None if self._now is None else self.dilution(time, self._now, 1.0)

    def _find(self, time: datetime) -> None:
        """Find what the spectra kept tell: in place of what fewer of them told, until their time is over."""
        self._seen, self._fresh = len(self._points), 0
        began = self._points[0].time if self._began is None else self._began
        found = self.stretch(time, self._points)
        if found is None:
            return
        if self._open:
            self._times.pop()
            self._found.pop()
        self._times.append(time)
        self._found.append(found)
        self._now = smoothed(self._times, self._found, time, causal=True)
        self._open, self._began = True, began
        if time - began >= self._every:
            self._points.clear()
            self._open, self._began, self._seen = False, None, 0


class WholeSpectrumDilution(_FromSpectra):
    """Extinctions from all spectra of a run, known before it begins: stretches of time, smooth in between."""

    def __init__(self, site: Site, folder: Path, points: Sequence[ColumnPoint]) -> None:
        super().__init__(site, folder)
        self._times: list[datetime] = []
        self._found: list[BandExtinctions] = []
        telling = sorted((point for point in points if tells_dilution(point)), key=lambda point: point.time)
        if not telling:
            return
        span = telling[-1].time - telling[0].time
        for several in (True, False):
            pieces = max(round(span / self._every), 1) if several else 1
            index = [
                min(int((point.time - telling[0].time) / max(span, timedelta(seconds=1)) * pieces), pieces - 1)
                for point in telling
            ]
            for piece in range(pieces):
                own = [point for point, place in zip(telling, index, strict=True) if place == piece]
                if not own:
                    continue
                middle = own[len(own) // 2].time
                found = self.stretch(middle, own)
                if found is not None:
                    self._times.append(middle)
                    self._found.append(found)
            if self._found:
                return

    @property
    def frozen(self) -> bool:
        """All is known."""
        return True

    def add_column(self, point: ColumnPoint) -> None:
        """All columns are known already."""

    def at(self, time: datetime, on: LogImage, off: LogImage) -> PlumeDilution | None:
        """Return what holds at ``time``."""
        if not self._found:
            return None
        return self.dilution(time, smoothed(self._times, self._found, time, causal=False), 1.0)


def tells_dilution(point: ColumnPoint) -> bool:
    """Return whether a column's spectrum tells anything of light dilution: alone, or with others."""
    value, sigma = point.light_dilution
    alone = bool(np.isfinite(value) and np.isfinite(sigma) and sigma > 0)
    return point.misfit is not None or (alone and not point.diluted)


def spectral_extinctions(
    site: Site,
    shares: Sequence[tuple[float, float]],
    distance_m: float,
    relative: float,
    wavelengths_nm: tuple[float, float],
) -> BandExtinctions:
    """Return the extinction of the on and the off band, the mean of what shares of light at 310 nm with 1 sigma tell.

    ``distance_m`` is that of the plume, ``relative`` its relative 1 sigma; wavelengths are those of the two bands.
    """
    settings = site.processing.light_dilution
    others = (
        settings.wavelength_exponent,
        settings.wavelength_exponent_uncertainty,
        settings.variation_in_view,
    )
    known = [SpectralDilution(*share, distance_m, relative * distance_m, *others) for share in shares]
    if not known:
        nothing = missing_extinction(ExtinctionStatus.NO_DILUTION_KNOWN)
        return nothing, nothing
    on, off = (combine([spectral_extinction(one, wavelength) for one in known]) for wavelength in wavelengths_nm)
    return on, off
