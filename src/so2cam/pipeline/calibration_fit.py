"""The fit of a calibration curve to points of images and spectrometer, with gas cells where the site wants both."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

import numpy as np

from so2cam.core.records import FloatArray
from so2cam.core.results import CalibrationFit
from so2cam.core.site import Site
from so2cam.core.status import QualityFlag
from so2cam.pipeline.bands import site_shape_uncertainty, theoretical_slope
from so2cam.pipeline.calibrated import Calibration
from so2cam.science.calibration.curve import BandShape, ColumnCurve
from so2cam.science.calibration.regression import (
    POINT_FIT_TEXT,
    JointFit,
    PointFit,
    ScalePrior,
    fit_jointly,
    fit_points,
)

VIEW_MEAN_SYSTEMATIC = 0.015
"""Relative 1 sigma by which the column of the spectrometer's spot differs from the mean column in it: where the plume
varies inside it, its light comes from the thin parts."""
_POOR_CORRELATION = 0.8
_UNKNOWN_CROSS_SECTION = 0.06


@dataclass(frozen=True, slots=True)
class CellPoints:
    """Gas cells (M,) as the fit takes them: absorbance and column [molecules cm-2] with 1 sigma each."""

    absorbance: FloatArray
    absorbance_sigma: FloatArray
    column: FloatArray
    column_sigma: FloatArray


@dataclass(frozen=True, slots=True)
class FittedCalibration:
    """What a fit gives. ``calibration`` is None where there is no curve; ``weights`` (N,) are those of the points."""

    calibration: Calibration | None
    fit: PointFit
    joint: JointFit | None

    @property
    def weights(self) -> FloatArray:
        """Weights of the points, 0 to 1."""
        return self.fit.weights

    def described(self, number: int, time: datetime) -> CalibrationFit:
        """Return the fit as products hold it."""
        fit, calibration = self.fit, self.calibration
        nan = float("nan")
        if calibration is None:
            return CalibrationFit(
                number, time, POINT_FIT_TEXT[fit.status], fit.points, "", (), (), nan, nan, nan, nan, nan, nan
            )
        curve = calibration.curve
        return CalibrationFit(
            number=number,
            time=time,
            status="ok",
            points=fit.points,
            model=curve.model,
            parameters=tuple(float(value) for value in curve.parameters),
            parameter_uncertainties=tuple(float(value) for value in np.sqrt(np.diag(curve.covariance))),
            slope_molec_cm2=curve.slope_at_zero[0],
            slope_uncertainty_molec_cm2=curve.slope_at_zero[1],
            scale_uncertainty=calibration.scale_uncertainty,
            correlation=fit.correlation,
            reduced_chi2=fit.reduced_chi_squared,
            maximum_absorbance=curve.maximum_absorbance,
        )


def column_scale_uncertainty(site: Site) -> float:
    """Return 1 sigma, relative, of what all columns of the site's spectrometer share."""
    relative = _UNKNOWN_CROSS_SECTION
    if site.spectrometer is not None:
        relative = site.spectrometer.references.so2.relative_uncertainty
    return float(np.hypot(relative, VIEW_MEAN_SYSTEMATIC))


@dataclass(frozen=True, slots=True, eq=False)
class Points:
    """Images and columns of the spectrometer that belong together, (N,), in order of time.

    ``absorbance`` with its noise, ``column`` [molecules cm-2] with its random 1 sigma. ``mismatch`` [molecules cm-2] is
    what the images' columns vary about those interpolated to their times. ``moved`` are the absorbances with the
    view's x, y and radius 1 sigma larger.
    """

    absorbance: FloatArray
    absorbance_sigma: FloatArray
    column: FloatArray
    column_sigma: FloatArray
    mismatch: FloatArray
    moved: tuple[FloatArray, ...] = ()


def fit_calibration(
    site: Site, shape: BandShape | None, points: Points, sky_structure: float, cells: CellPoints | None
) -> FittedCalibration:
    """Fit the site's curve to points.

    ``Points.mismatch`` is an error of the absorbances, and at most that: where the points scatter less, as much of it
    is taken as they show. What another place or radius of the view would give is part of the covariance: a view that
    is taken too large, for one, sees less variation, and makes the slope too steep with an offset that goes with it.
    An offset is then believed as far as the sky's unevenness ``sky_structure`` [absorbance] and the spectrometer's zero
    explain it, and the slope follows.
    """
    settings = site.processing.calibration
    slope = theoretical_slope(site)
    common = column_scale_uncertainty(site)

    def fitted(absorbance: FloatArray, share: float, prior: ScalePrior | None) -> tuple[PointFit, JointFit | None]:
        sigma = np.hypot(points.absorbance_sigma, share * points.mismatch / slope)
        series = (absorbance, points.column, sigma, points.column_sigma)
        if settings.source == "joint" and cells is not None and settings.model != "quadratic":
            joint = fit_jointly(
                *series,
                cell_absorbance=cells.absorbance,
                cell_column=cells.column,
                cell_absorbance_sigma=cells.absorbance_sigma,
                cell_column_sigma=cells.column_sigma,
                common=common,
                model=settings.model,
                shape=shape,
            )
            return joint.fit, joint
        fit = fit_points(
            *series,
            settings.model,
            shape=shape,
            with_offset=settings.spectrometer.offset,
            prior=prior,
            minimum_points=settings.spectrometer.minimum_points,
        )
        return fit, None

    zero = float(np.hypot(settings.spectrometer.offset_uncertainty_molec_cm2, sky_structure * slope))
    prior = None
    fit, joint = fitted(points.absorbance, 1.0, prior)
    if fit.curve is None and settings.spectrometer.offset:
        # Points that vary too little for a slope of their own have one where their offset is known beforehand.
        prior = ScalePrior(offset_sigma=zero)
        fit, joint = fitted(points.absorbance, 1.0, prior)
    share = _mismatch_share(fit, slope * points.absorbance_sigma, points.column_sigma, points.mismatch)
    if share < 1:
        narrower = fitted(points.absorbance, share, prior)
        if narrower[0].curve is not None:
            fit, joint = narrower
        else:
            share = 1.0
    if fit.curve is not None:
        curve = _with_moved_views(fit.curve, [fitted(moved, share, prior)[0].curve for moved in points.moved])
        if settings.spectrometer.offset and prior is None:
            curve = _with_offset_prior(curve, zero)
        fit = replace(fit, curve=curve)
    if fit.curve is None:
        return FittedCalibration(None, fit, joint)
    flags = QualityFlag.POOR_CORRELATION if fit.correlation < _POOR_CORRELATION else QualityFlag.NONE
    scale = float(np.hypot(common if joint is None else joint.common, _shape_part(site, fit)))
    return FittedCalibration(Calibration(fit.curve, scale, flags), fit, joint)


def _with_moved_views(curve: ColumnCurve, others: Sequence[ColumnCurve | None]) -> ColumnCurve:
    """Return ``curve`` with the differences to those of other views, 1 sigma away each, in its covariance."""
    covariance = curve.covariance
    for other in others:
        if other is not None:
            apart = other.parameters - curve.parameters
            covariance = covariance + np.outer(apart, apart)
    return replace(curve, covariance=covariance)


def _with_offset_prior(curve: ColumnCurve, sigma: float) -> ColumnCurve:
    """Return ``curve`` as it is when its offset is known to be 0 within ``sigma`` [molecules cm-2] beforehand.

    The rule of a linear update (Kalman 1960): the other parameters follow as far as they vary with the offset.
    """
    covariance = curve.covariance
    gain = covariance[:, 0] / (covariance[0, 0] + sigma**2)
    return replace(
        curve,
        parameters=curve.parameters - gain * curve.parameters[0],
        covariance=covariance - np.outer(gain, covariance[0]),
    )


def _mismatch_share(
    fit: PointFit, absorbance_noise: FloatArray, column_sigma: FloatArray, mismatch: FloatArray
) -> float:
    """Return what of ``mismatch`` (0 to 1) the scatter about ``fit`` leaves; all (N,) [molecules cm-2], 1 sigma."""
    if fit.curve is None:
        return 1.0
    used = np.isfinite(absorbance_noise) & np.isfinite(fit.residuals)
    noise = float(np.mean(absorbance_noise[used] ** 2 + column_sigma[used] ** 2))
    missed = float(np.mean(mismatch[used] ** 2))
    if not missed > 0:
        return 1.0
    seen = fit.reduced_chi_squared * (noise + missed) - noise
    return float(np.sqrt(np.clip(seen / missed, 0.0, 1.0)))


def _shape_part(site: Site, fit: PointFit) -> float:
    """Return 1 sigma, relative, of columns at three quarters of the calibrated range by a curve right at its middle."""
    curve = fit.curve
    if curve is None or curve.shape is None:
        return 0.0
    top = float(curve.shape.at(np.array([curve.maximum_absorbance]))[0])
    if not top > 0:
        return 0.0
    return float(site_shape_uncertainty(site, 0.75 * top, 0.5 * top).total[0])
