"""The spectrometer's field of view in a run's images: given by the site file, or searched in reduced images."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

import numpy as np

from so2cam.core.records import BoolImage, FloatArray, FloatImage
from so2cam.core.results import ViewRecord
from so2cam.core.site import Site
from so2cam.pipeline.bands import theoretical_slope, view_ratio
from so2cam.science.calibration.correlation_map import BoolStack, Stack
from so2cam.science.calibration.field_of_view import VIEW_TEXT, ViewStatus, search_by_correlation
from so2cam.science.calibration.view_inversion import INVERSION_TEXT, InversionStatus, ViewInversion, invert_view
from so2cam.science.calibration.view_mean import mean_as_seen
from so2cam.science.calibration.view_weights import disc_weights, mean_in_view

_NAN = float("nan")
_LEAST_SEEN = 0.5
_SMALLEST_RADIUS = 0.5
"""[blocks]"""

Disc = tuple[float, float, float]
"""x, y and radius, or 1 sigma of each."""


@dataclass(frozen=True, slots=True)
class SpectrometerView:
    """A field of view as weights of a reduced image's blocks; ``blocks`` is how many of them its mean rests on.

    ``ratio`` is that of ``science.calibration.view_mean``: how the spectrometer averages. ``moved`` are the views with
    x, y and the radius each 1 sigma larger: what the view's uncertainty does to a calibration.
    """

    weights: FloatImage
    rows: slice
    columns: slice
    blocks: float
    ratio: float
    moved: tuple["SpectrometerView", ...] = ()

    def mean(self, absorbance: FloatImage, valid: BoolImage) -> float:
        """Return the mean absorbance of a reduced image (rows, columns) as the spectrometer averages it.

        NaN where less than half of the view is valid.
        """
        part = (self.rows, self.columns)
        good = valid[part] & np.isfinite(absorbance[part])
        weights = np.where(good, self.weights, 0.0)
        if weights.sum() < _LEAST_SEEN * self.weights.sum():
            return _NAN
        return float(mean_as_seen(np.where(good, absorbance[part], 0.0).ravel(), weights.ravel(), self.ratio))

    def plain_mean(self, values: FloatImage, valid: BoolImage) -> float:
        """Return the mean of a reduced image's ``values`` (rows, columns) in the view; NaN as in ``mean``."""
        value, share = mean_in_view(values[self.rows, self.columns], valid[self.rows, self.columns], self.weights)
        return value if share >= _LEAST_SEEN else _NAN


@dataclass(frozen=True, slots=True)
class FoundView:
    """What a search found: the view, None where there is none, and all that is to be said of it."""

    view: SpectrometerView | None
    status: str
    place: tuple[float, float, float]
    sigma: tuple[float, float, float]
    correlation: float
    images: int
    correlation_map: FloatImage | None

    def described(self, time: datetime) -> ViewRecord:
        """Return the search as products hold it."""
        return ViewRecord(time, self.status, *self.place, *self.sigma, self.correlation, self.images)


def given_view(site: Site) -> SpectrometerView:
    """Return the view that the site file gives."""
    settings = site.processing.calibration.spectrometer.field_of_view
    place = (settings.x or 0.0, settings.y or 0.0, settings.radius_px or 1.0)
    return _uncertain_view(site, place, (settings.position_uncertainty_px,) * 3)


def find_view(
    site: Site,
    absorbance: Sequence[FloatImage],
    valid: Sequence[BoolImage],
    column: FloatArray,
    column_sigma: FloatArray,
) -> FoundView:
    """Search the view in reduced images (T) with a column (T,) [molecules cm-2] each.

    What the view averages is light, not absorbance: both series are compared as ``1 - exp(-q AA)``, of which the
    spectrometer sees the plain mean (``science.calibration.view_mean``).
    """
    settings = site.processing.calibration.spectrometer.field_of_view
    ratio = view_ratio(site)
    stack, mask = _light_taken(np.stack(absorbance), ratio), np.stack(valid)
    nonlinearity = ratio / theoretical_slope(site)
    column_sigma = column_sigma * np.exp(-nonlinearity * column)
    column = np.asarray(-np.expm1(-nonlinearity * column) / nonlinearity)
    block = settings.reduction
    found = search_by_correlation(
        stack,
        mask,
        column,
        column_sigma,
        minimum_times=settings.minimum_images,
        minimum_correlation=settings.minimum_correlation,
    )
    status = "ok" if found.status is ViewStatus.OK else VIEW_TEXT[found.status]
    disc, sigma = (found.x, found.y, found.radius), found.sigma
    if settings.source == "inversion":
        status, disc, sigma = _by_inversion(stack, mask, column, column_sigma, settings.minimum_images)
    # The middle of block i lies at (i + 0.5) * block - 0.5 of the image's pixels.
    place = ((disc[0] + 0.5) * block - 0.5, (disc[1] + 0.5) * block - 0.5, disc[2] * block)
    place_sigma = (sigma[0] * block, sigma[1] * block, sigma[2] * block)
    view = _uncertain_view(site, place, place_sigma) if status == "ok" else None
    if not np.isfinite(place).all():
        place = (_NAN, _NAN, _NAN)
    return FoundView(
        view=view,
        status=status,
        place=place,
        sigma=place_sigma,
        correlation=found.correlation,
        images=len(absorbance),
        correlation_map=found.correlation_map,
    )


def view_weights_map(
    site: Site, absorbance: Sequence[FloatImage], valid: Sequence[BoolImage], column: FloatArray, sigma: FloatArray
) -> ViewInversion:
    """Return the weight that the inversion gives every block of reduced images (T): the instrument's response."""
    ratio = view_ratio(site)
    nonlinearity = ratio / theoretical_slope(site)
    return invert_view(
        _light_taken(np.stack(absorbance), ratio),
        np.stack(valid),
        np.asarray(-np.expm1(-nonlinearity * column) / nonlinearity),
        sigma * np.exp(-nonlinearity * column),
        minimum_times=site.processing.calibration.spectrometer.field_of_view.minimum_images,
    )


def _light_taken(absorbance: Stack, ratio: float) -> Stack:
    """Return what absorbances take from the light that counts for the spectrometer, alike to them when small."""
    return np.asarray(-np.expm1(-ratio * absorbance) / ratio, np.float32)


def _by_inversion(
    stack: Stack, mask: BoolStack, column: FloatArray, column_sigma: FloatArray, minimum_times: int
) -> tuple[str, Disc, Disc]:
    """Return status, (x, y, radius) and their 1 sigma [blocks] of the bell through the inversion's weights."""
    found = invert_view(stack, mask, column, column_sigma, minimum_times=minimum_times)
    nothing = (_NAN, _NAN, _NAN)
    if found.bell is None or found.status is not InversionStatus.OK:
        return INVERSION_TEXT[found.status], nothing, nothing
    bell = found.bell
    return "ok", (bell.x, bell.y, bell.radius), bell.sigma


def _uncertain_view(site: Site, place: Disc, sigma: Disc) -> SpectrometerView:
    """Return the view at ``place`` (x, y, radius) [px] with those moved by 1 sigma, half the radius at most."""
    moved = []
    for index, by in enumerate(sigma):
        there = list(place)
        there[index] += min(by, 0.5 * place[2]) if np.isfinite(by) else 0.5 * place[2]
        moved.append(_view(site, (there[0], there[1], there[2])))
    return replace(_view(site, place), moved=tuple(moved))


def _view(site: Site, place: tuple[float, float, float]) -> SpectrometerView:
    """Return the view about (x, y) with a radius, all in pixels of the image, on reduced images."""
    block = site.processing.calibration.spectrometer.field_of_view.reduction
    optics = site.camera.optics
    shape = (optics.height_px // block, optics.width_px // block)
    x, y, radius = ((place[0] + 0.5) / block - 0.5, (place[1] + 0.5) / block - 0.5, place[2] / block)
    # A block is itself a mean: a disc of radius r over blocks spreads as one of r^2 + 1/3 does.
    radius = math.sqrt(max(radius**2 - 1 / 3, _SMALLEST_RADIUS**2))
    weights = disc_weights(shape, x, y, radius)
    there = np.nonzero(weights)
    if there[0].size == 0:
        nothing = slice(0, 1)
        return SpectrometerView(weights[nothing, nothing], nothing, nothing, 1.0, 1.0)
    rows = slice(int(there[0].min()), int(there[0].max()) + 1)
    columns = slice(int(there[1].min()), int(there[1].max()) + 1)
    kept = weights[rows, columns]
    return SpectrometerView(kept, rows, columns, float(1 / np.sum(kept**2)), view_ratio(site))
