"""Calibration during a run: the curve that holds at a time, given in advance or learnt from the spectrometer.

A ``CalibrationSource`` sees columns and absorbance images pass in order of time and says which curve holds. What it
says at a time follows from what had passed by then alone, so that live and batch agree.
"""

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import Protocol

import cv2
import numpy as np

from so2cam.core.records import BoolImage, FloatArray, FloatImage, FramePair
from so2cam.core.results import NO_FIT, CalibrationPoint, CalibrationRecord
from so2cam.core.site import Site
from so2cam.core.status import QualityFlag
from so2cam.pipeline.calibrated import Calibration
from so2cam.pipeline.calibration_fit import CellPoints, Points, fit_calibration
from so2cam.pipeline.calibration_store import StoredCalibrations
from so2cam.pipeline.column_correction import ColumnCorrection
from so2cam.pipeline.columns import ColumnPoint
from so2cam.pipeline.light_change import light_change
from so2cam.pipeline.plume_dilution import PlumeDilution
from so2cam.pipeline.spectrometer_view import SpectrometerView, find_view, given_view
from so2cam.pipeline.steps import AbsorbanceImage
from so2cam.science.calibration.curve import BandShape
from so2cam.science.calibration.matching import change_rate, match_columns
from so2cam.science.imaging.background import evaluate_surface
from so2cam.science.imaging.light_dilution import amplification

_MORE = 1.5
"""So many times more images than in a search without result begin another one."""


class CalibrationSource(Protocol):
    """Says which calibration holds."""

    def add_column(self, point: ColumnPoint) -> None:
        """Take a column of the spectrometer."""

    def observe(self, pair: FramePair, image: AbsorbanceImage) -> None:
        """See the absorbance image of a pair."""

    def at(self, time: datetime) -> Calibration | None:
        """Return the calibration that holds at ``time``, that of the last pair seen; None where there is none."""


@dataclass(frozen=True, slots=True)
class GivenCalibration:
    """One calibration for all times."""

    calibration: Calibration | None

    def add_column(self, point: ColumnPoint) -> None:
        """A column changes nothing."""

    def observe(self, pair: FramePair, image: AbsorbanceImage) -> None:
        """An image changes nothing."""

    def at(self, time: datetime) -> Calibration | None:
        """Return the calibration."""
        return self.calibration


@dataclass(frozen=True, slots=True)
class SmallImage:
    """An absorbance image as means over blocks, for the search of the field of view."""

    time: datetime
    exposure_s: float
    absorbance: FloatImage
    valid: BoolImage
    noise: float
    """1 sigma of a block"""
    structure: float
    """unevenness of the sky that no surface follows, 1 sigma"""
    dilution: PlumeDilution | None
    aerosol: FloatImage | None
    """optical depth of the off band, where columns are to be corrected by the dilution"""


def small_image(pair: FramePair, image: AbsorbanceImage, reduction: int, *, aerosol: bool = False) -> SmallImage:
    """Return ``image`` as means over blocks of ``reduction`` pixels; a block needs three quarters valid pixels.

    With ``aerosol`` the off band's optical depth too, corrected for the image's light dilution.
    """
    rows, columns = (size // reduction for size in image.valid.shape)
    crop = (slice(0, rows * reduction), slice(0, columns * reduction))
    seen = np.asarray(image.valid[crop] & image.in_sky[crop])
    share = cv2.resize(seen.astype(np.float32), (columns, rows), interpolation=cv2.INTER_AREA)
    valid = np.asarray(share >= 0.75)

    def means(values: FloatImage) -> FloatImage:
        total = cv2.resize(np.where(seen, values, np.float32(0)), (columns, rows), interpolation=cv2.INTER_AREA)
        return np.divide(total, share, out=np.full(total.shape, np.nan, np.float32), where=valid)

    depth = None
    if aerosol and image.dilution is not None:
        sky = evaluate_surface(image.surface.off, image.surface.order, (image.log_off.shape[0], image.log_off.shape[1]))
        grown = amplification(image.dilution.off._replace(distance_m=image.dilution.distance_m))
        depth = means((sky - image.log_off)[crop]) * np.float32(grown)
    return SmallImage(
        time=pair.time,
        exposure_s=pair.on.exposure_s,
        absorbance=means(image.absorbance[crop]),
        valid=valid,
        noise=image.noise / reduction,
        structure=image.structure,
        dilution=image.dilution,
        aerosol=depth,
    )


@dataclass(slots=True)
class _Matched:
    image: SmallImage
    column: float
    sigma: float
    bridge_s: float


@dataclass(slots=True)
class SpectrometerCalibrator:
    """Calibration by the spectrometer, learnt as columns and images pass: the policy ``rolling``.

    With ``settings.policy`` ``whole`` the same is fed with images of all of a run first, and then frozen. ``given``
    holds where there is nothing better: gas cells that the spectrometer's points are to join.
    """

    site: Site
    shape: BandShape | None
    cells: CellPoints | None = None
    stored: StoredCalibrations | None = None
    correction: ColumnCorrection | None = None
    given: Calibration | None = None
    record: CalibrationRecord = field(default_factory=CalibrationRecord)
    _columns: deque[ColumnPoint] = field(default_factory=deque)
    _waiting: deque[SmallImage] = field(default_factory=deque)
    _matched: deque[_Matched] = field(default_factory=deque)
    _excluded: deque[_Matched] = field(default_factory=deque)
    _view: SpectrometerView | None = None
    _searched: datetime | None = None
    _in_search: int = 0
    _fitted: datetime | None = None
    _calibration: Calibration | None = None
    _newest_point: datetime | None = None
    _holds: Calibration | None = None
    _last_image: datetime | None = None
    _frozen: bool = False

    # -- what passes ----------------------------------------------------------------------------------------

    def add_column(self, point: ColumnPoint) -> None:
        """Take a column, and match the images before the last one: those have two columns after them."""
        if self._frozen or not (np.isfinite(point.column_molec_cm2) and point.sigma_molec_cm2 > 0):
            return
        before = self._columns[-1].time if self._columns else None
        self._columns.append(point)
        if before is not None:
            self._match(before)
        self._forget_columns(point.time)

    def observe(self, pair: FramePair, image: AbsorbanceImage) -> None:
        """See an image; of quick series only as many are kept as the search wants to see within the window."""
        if self.wants(pair.time):
            reduction = self.site.processing.calibration.spectrometer.field_of_view.reduction
            self.take(small_image(pair, image, reduction, aerosol=self.correction is not None))

    def wants(self, time: datetime) -> bool:
        """Return whether an image of ``time`` is one of those that are kept."""
        settings = self.site.processing.calibration.spectrometer
        apart = settings.window_s / settings.field_of_view.images if settings.policy == "rolling" else 0.0
        near = self._last_image is not None and (time - self._last_image).total_seconds() < apart
        return not (self._frozen or near)

    def take(self, image: SmallImage) -> None:
        """Take an image that is wanted."""
        settings = self.site.processing.calibration.spectrometer
        self._last_image = image.time
        self._waiting.append(image)
        longest = max(settings.window_s, settings.maximum_gap_s)
        while settings.policy == "rolling" and (image.time - self._waiting[0].time).total_seconds() > longest:
            # No column came, and none that comes now is near enough.
            self._waiting.popleft()

    def at(self, time: datetime) -> Calibration | None:
        """Return the calibration at ``time``: renewed where it is due, flagged where it is old or not the run's own."""
        if not self._frozen:
            self._holds = self._at(time)
        return self._holds

    def _at(self, time: datetime) -> Calibration | None:
        settings = self.site.processing.calibration.spectrometer
        due = self._fitted is None or (time - self._fitted).total_seconds() >= settings.refit_s
        if due:
            had = bool(self._matched)
            self._forget(time)
            if had:
                self._learn(time)
        if self._calibration is None:
            return self._earlier(time)
        newest, old = self._newest_point, self._calibration
        if newest is None or (time - newest).total_seconds() > settings.stale_s:
            # It is one of another time, as stored ones are.
            changed = light_change(self.site, time if newest is None else newest, time)
            sigma = float(np.hypot(old.scale_uncertainty, changed))
            return Calibration(old.curve, sigma, old.flags | QualityFlag.CALIBRATION_STALE, old.number)
        return old

    def series(self) -> tuple[list[SmallImage], FloatArray, FloatArray]:
        """Return what the search of the field of view sees now: images (T), columns (T,) and their 1 sigma."""
        column, sigma, _ = self._values(None, self._matched) if self._matched else (np.zeros(0),) * 3
        return [match.image for match in self._matched], column, sigma

    @property
    def frozen(self) -> bool:
        """Whether what was found is for good."""
        return self._frozen

    @property
    def newest(self) -> Calibration | None:
        """The calibration that holds now; None where there is none."""
        return self._holds

    def freeze(self, time: datetime) -> Calibration | None:
        """Learn from all that has passed, for good, and return the calibration: the policy ``whole``."""
        if self._columns:
            self._match(self._columns[-1].time)
        self._learn(time)
        self._holds = self._earlier(time) if self._calibration is None else self._calibration
        self._frozen = True
        for kept in (self._columns, self._waiting, self._matched, self._excluded):
            kept.clear()
        return self._holds

    # -- matching -------------------------------------------------------------------------------------------

    def _match(self, known_until: datetime) -> None:
        """Give the images until ``known_until`` their columns; those without one near enough are let go."""
        calibration = self.site.processing.calibration
        settings = calibration.spectrometer
        ready = []
        while self._waiting and self._waiting[0].time <= known_until:
            ready.append(self._waiting.popleft())
        if not ready:
            return
        start = ready[0].time
        found = match_columns(
            _seconds([image.time for image in ready], start),
            np.array([image.exposure_s for image in ready]),
            _seconds([point.time for point in self._columns], start),
            np.array([point.exposure_s for point in self._columns]),
            np.array([point.column_molec_cm2 for point in self._columns]),
            np.array([point.sigma_molec_cm2 for point in self._columns]),
            maximum_gap_s=settings.maximum_gap_s,
        )
        for image, column, sigma, bridge in zip(ready, found.column, found.column_sigma, found.bridge_s, strict=True):
            if np.isfinite(column):
                # Left out only here: what others are matched with does not depend on it.
                kept = self._matched if calibration.excluded_point(image.time) is None else self._excluded
                kept.append(_Matched(image, float(column), float(sigma), float(bridge)))

    def _forget(self, time: datetime) -> None:
        settings = self.site.processing.calibration.spectrometer
        for kept in (self._matched, self._excluded):
            while kept and (time - kept[0].image.time).total_seconds() > settings.window_s:
                kept.popleft()

    def _forget_columns(self, time: datetime) -> None:
        settings = self.site.processing.calibration.spectrometer
        if settings.policy != "rolling":
            return
        while len(self._columns) > 2 and (time - self._columns[0].time).total_seconds() > settings.window_s:
            self._columns.popleft()

    # -- learning -------------------------------------------------------------------------------------------

    def _learn(self, time: datetime) -> None:
        settings = self.site.processing.calibration.spectrometer
        view = settings.field_of_view
        self._fitted = time
        self._drop_uncorrected()
        self.record.matched = max(self.record.matched, len(self._matched))
        if len(self._matched) < max(settings.minimum_points, view.minimum_images):
            return
        old = self._searched is None or (time - self._searched).total_seconds() >= view.interval_s
        if self._view is None and len(self._matched) >= _MORE * self._in_search:
            old = True  # what was not found in few images may be in more
        if view.source == "given":
            self._view = given_view(self.site)
        elif old:
            self._searched, self._in_search = time, len(self._matched)
            column, sigma, _ = self._values(None, self._matched)
            found = find_view(
                self.site,
                [match.image.absorbance for match in self._matched],
                [match.image.valid for match in self._matched],
                column,
                sigma,
            )
            self.record.views.append(found.described(time))
            self.record.correlation_map, self.record.block_px = found.correlation_map, view.reduction
            if found.view is not None:
                self._view = found.view
        if self._view is None:
            column, sigma, _ = self._values(None, self._matched)
            unknown = np.full(column.size, np.nan)
            self._record_points(NO_FIT, unknown, unknown, column, sigma, np.zeros(column.size))
            return
        absorbance, *moved = (self._means(view, self._matched) for view in (self._view, *self._view.moved))
        noise = np.array([match.image.noise for match in self._matched]) / np.sqrt(self._view.blocks)
        column, sigma, mismatch = self._values(self._view, self._matched)
        structure = float(np.median([match.image.structure for match in self._matched]))
        points = Points(absorbance, noise, column, sigma, mismatch, tuple(moved))
        fit = fit_calibration(self.site, self.shape, points, structure, self.cells)
        number = len(self.record.fits)
        self.record.fits.append(fit.described(number, time))
        self._record_points(number, absorbance, noise, column, sigma, fit.weights)
        self._record_excluded(number, self._view)
        if fit.calibration is None:
            return
        common = fit.calibration.scale_uncertainty
        if self.correction is not None:
            common = float(np.hypot(common, self.correction.relative_sigma))
        self._calibration = Calibration(fit.calibration.curve, common, fit.calibration.flags, number)
        self._newest_point = self._matched[-1].image.time
        if self.stored is not None:
            self.stored.add(time, self._calibration, self._light())

    def _means(self, view: SpectrometerView, matches: Iterable[_Matched]) -> FloatArray:
        return np.array([view.mean(match.image.absorbance, match.image.valid) for match in matches], np.float64)

    def _change_rate(self) -> float:
        """Return how quickly columns change, by all of them that are kept: the first few do not tell."""
        known = list(self._columns)
        return change_rate(
            _seconds([point.time for point in known], known[0].time),
            np.array([point.column_molec_cm2 for point in known]),
            np.array([point.sigma_molec_cm2 for point in known]),
            self.site.processing.calibration.spectrometer.maximum_gap_s,
        )

    def _drop_uncorrected(self) -> None:
        """Let images go whose light dilution was not known, once there are any with it: the two do not mix."""
        if any(match.image.dilution is not None for match in self._matched):
            self._matched = deque(match for match in self._matched if match.image.dilution is not None)
            self._excluded = deque(match for match in self._excluded if match.image.dilution is not None)

    def _values(
        self, view: SpectrometerView | None, matches: Iterable[_Matched]
    ) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Return columns, their 1 sigma and mismatch (N,), without light dilution where that is to be corrected.

        Without a ``view`` the plume's aerosol in it is not known, and left out.
        """
        rows = []
        rate = self._change_rate()
        for match in matches:
            values = (match.column, match.sigma, float(np.sqrt(rate * match.bridge_s)))
            if self.correction is not None:
                image, aerosol = match.image, 0.0
                if view is not None and image.aerosol is not None:
                    depth = view.plain_mean(image.aerosol, image.valid)
                    aerosol = depth if np.isfinite(depth) else 0.0
                values = self.correction.corrected(*values, image.dilution, aerosol)
            rows.append(values)
        columns = np.array(rows, np.float64).reshape(-1, 3)
        return columns[:, 0], columns[:, 1], columns[:, 2]

    def _record_points(self, number: int, *series: FloatArray) -> None:
        """Keep the points that no fit has seen before: each once, however often it is fitted again.

        ``series`` are absorbance, its 1 sigma, column, its 1 sigma and weight, (N,) each. Points of before there was a
        field of view give way to what they are in it.
        """
        known = self.record.points
        while known and known[-1].fit == NO_FIT and known[-1].time >= self._matched[0].image.time:
            known.pop()
        for match, *values in zip(self._matched, *series, strict=True):
            if not known or match.image.time > known[-1].time:
                a, n, c, s, w = (float(value) for value in values)
                known.append(CalibrationPoint(match.image.time, a, n, c, s, w, number))

    def _record_excluded(self, number: int, view: SpectrometerView) -> None:
        """Keep what the points that are left out would be in the view, each once."""
        known = self.record.excluded
        fresh = [match for match in self._excluded if not known or match.image.time > known[-1].time]
        column, sigma, _ = self._values(view, fresh)
        for match, a, c, s in zip(fresh, self._means(view, fresh), column, sigma, strict=True):
            noise = match.image.noise / float(np.sqrt(view.blocks))
            known.append(CalibrationPoint(match.image.time, float(a), noise, float(c), float(s), 0.0, number))

    def _light(self) -> FloatArray | None:
        known = [point.light for point in self._columns if point.light is not None]
        return None if not known else np.asarray(np.median(known, axis=0), np.float64)

    def _earlier(self, time: datetime) -> Calibration | None:
        if self.given is not None or self.stored is None:
            return self.given
        return self.stored.nearest(time, self._light(), partial(light_change, self.site))


def _seconds(times: Sequence[datetime], start: datetime) -> FloatArray:
    return np.array([(time - start).total_seconds() for time in times], np.float64)
