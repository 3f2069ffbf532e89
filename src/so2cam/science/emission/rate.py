"""Integrated column amounts and emission rates along a line, with a budget of uncertainties.

Definitions: ``ICA = C sum(CD ds)`` and ``Phi = C sum(CD v ds)`` with C the mass of a molecule per unit column,
CD the column density above the plume-free baseline, ds the length of a piece of the line at the plume and v the
speed along the line's normal (Mori and Burton 2006; Gliss 2017). A term that is independent from sample to
sample adds in quadrature; one that is common to the line adds linearly before it is squared.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from so2cam.core.constants import KG_M2_PER_MOLEC_CM2
from so2cam.core.records import FloatArray
from so2cam.core.uncertainty import Budget, Term, random_part, systematic_part
from so2cam.science.calibration.curve import ColumnCurve
from so2cam.science.emission.baseline import Baseline
from so2cam.science.emission.noise import LineNoise

OPTICAL_FLOW_SYSTEMATIC = 0.015
"""Relative systematic uncertainty of an optical-flow speed, 1 sigma: what is left on plumes of known speed
(`benchmarks/plume_speed.py`, `docs/accuracy.md`), which texture and residual matching cannot show."""
CROSS_CORRELATION_SYSTEMATIC = 0.05
"""Relative systematic uncertainty of a cross-correlation speed, 1 sigma: the plume spreads and changes between
the lines, and the speed of its pattern is not quite that of its mass."""


@dataclass(frozen=True, slots=True)
class SharedError:
    """1 sigma of an error in absorbance, (N,), that all samples of a line share: it has the same sign all along."""

    term: Term
    absorbance: FloatArray


@dataclass(frozen=True, slots=True)
class LineColumns:
    """Column densities on a line above its baseline, and what their uncertainty is made of. Arrays (N,).

    ``column`` [molecules cm-2]; ``slope`` dCD/dAA there; ``curve_terms`` (N, 2) derivatives by the calibration's
    parameters, whose ``curve_covariance`` is (2, 2); ``scale_uncertainty`` is 1 sigma, relative, of what all columns
    share beyond that (the cross section); ``interpolated`` marks masked samples that were filled from their neighbours;
    ``shared`` errors are in columns, above the baseline.
    """

    column: FloatArray
    slope: FloatArray
    curve_terms: FloatArray
    curve_covariance: FloatArray
    scale_uncertainty: float
    baseline: Baseline
    pixel_noise: float
    interpolated: FloatArray
    shared: tuple[SharedError, ...] = ()
    noise: LineNoise | None = None
    """how pixel noise adds up along the line; None: as if every sample were a pixel of its own"""


@dataclass(frozen=True, slots=True)
class Estimate:
    """A value with the terms of its uncertainty, 1 sigma each, in its unit."""

    value: float
    budget: Budget

    @property
    def random(self) -> float:
        """1 sigma of what differs from pair to pair."""
        return random_part(self.budget)

    @property
    def systematic(self) -> float:
        """1 sigma of what all pairs share."""
        return systematic_part(self.budget)


def line_columns(
    absorbance: FloatArray,
    baseline: Baseline,
    curve: ColumnCurve,
    *,
    pixel_noise: float,
    scale_uncertainty: float = 0.0,
    shared: Sequence[SharedError] = (),
    noise: LineNoise | None = None,
) -> LineColumns:
    """Return columns above the baseline, ``CD = K(AA - baseline) - K(0)`` with K the calibration curve.

    ``absorbance`` (N,), NaN where masked: those samples are interpolated linearly between their neighbours and
    marked. The curve's offset is part of K and cancels, as plume-free air holds no SO2. ``shared`` errors are those of
    the profile; what of them the baseline takes away again is left out. One that is not known at a sample is
    interpolated too.
    """
    masked = ~np.isfinite(absorbance)
    absorbance = _filled(absorbance)
    above = absorbance - baseline.values
    column = curve.column(above) - curve.column(np.zeros(1))
    terms = curve.terms(above) - curve.terms(np.zeros(1))
    slope = curve.slope(above)
    errors = []
    for error in shared:
        profile = _filled(error.absorbance)
        profile = profile - baseline.weights @ (baseline.members.T @ profile)
        errors.append(SharedError(error.term, slope * profile))
    return LineColumns(
        column=column,
        slope=slope,
        curve_terms=terms,
        curve_covariance=curve.covariance,
        scale_uncertainty=scale_uncertainty,
        baseline=baseline,
        pixel_noise=pixel_noise,
        interpolated=masked.astype(np.float64),
        shared=tuple(errors),
        noise=noise,
    )


def _filled(values: FloatArray) -> FloatArray:
    """Return ``values`` with NaN interpolated between neighbours; as they are where all or none are known."""
    known = np.isfinite(values)
    if known.all() or not known.any():
        return values
    index = np.arange(values.size)
    return np.asarray(np.interp(index, index[known], values[known]), np.float64)


def integrate(
    columns: LineColumns,
    weight: FloatArray,
    *,
    relative_distance_uncertainty: float,
    relative_optics_uncertainty: float = 0.0,
    distance_power: int,
) -> Estimate:
    """Return ``C sum(CD weight)`` with its uncertainties.

    ``weight`` (N,) is ``ds`` [m] for an integrated column amount [kg m-1] or ``v ds`` [m2 s-1] for an emission
    rate [kg s-1]. Random: pixel noise with that of the baseline's ends, half of what was interpolated.
    Systematic: the calibration curve's covariance and its common scale, the sky's unevenness under the baseline,
    errors in absorbance that the line shares, and distance and focal length, which enter with ``distance_power``
    (1 for ds alone, 2 where the speed was measured in the image too).
    """
    c = KG_M2_PER_MOLEC_CM2
    value = c * float(np.sum(columns.column * weight))
    sensitivity = columns.slope * weight * (1 - columns.interpolated)
    ends = columns.baseline.weights.T @ (columns.slope * weight)
    # A sample at an end of the line counts in the integral and, the other way, in the baseline under all of it.
    effective = sensitivity - columns.baseline.members @ ends
    gradient = columns.curve_terms.T @ weight
    by_curve = float(gradient @ columns.curve_covariance @ gradient)
    if columns.noise is None:
        by_pixels = columns.pixel_noise * float(np.sqrt(np.sum(effective**2)))
    else:
        by_pixels = columns.noise.sigma(effective, columns.pixel_noise)
    budget = {
        Term.PIXEL_NOISE: c * by_pixels,
        Term.INTERPOLATION: 0.5 * c * abs(float(np.sum(columns.column * weight * columns.interpolated))),
        Term.BACKGROUND: c * float(np.sqrt(np.sum((ends * columns.baseline.drift) ** 2))),
        Term.CALIBRATION: c * float(np.sqrt(max(by_curve, 0.0))),
        Term.CROSS_SECTION: abs(columns.scale_uncertainty * value),
        Term.DISTANCE: abs(distance_power * relative_distance_uncertainty * value),
        Term.OPTICS: abs(distance_power * relative_optics_uncertainty * value),
    }
    for error in columns.shared:
        sigma = c * abs(float(np.sum(error.absorbance * weight)))
        budget[error.term] = float(np.hypot(budget.get(error.term, 0.0), sigma))
    return Estimate(value, budget)


def correlated_sum_uncertainty(values: FloatArray, spacing: float, length: float) -> float:
    """Return 1 sigma of a sum of errors of size ``values`` (N,) that are alike within ``length``.

    Samples stand ``spacing`` apart; two errors at a distance s have the correlation ``max(0, 1 - s / length)``, as
    the means over two windows of that length have.
    """
    reach = min(int(length / spacing), values.size)
    correlation = np.clip(1 - np.abs(np.arange(-reach, reach + 1)) * spacing / length, 0, 1)
    alike = np.convolve(values, correlation)[reach : reach + values.size]
    return float(np.sqrt(max(float(values @ alike), 0.0)))
