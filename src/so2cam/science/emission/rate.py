"""Integrated column amounts and emission rates along a line, with a budget of uncertainties.

Definitions: ``ICA = C sum(CD ds)`` and ``Phi = C sum(CD v ds)`` with C the mass of a molecule per unit column,
CD the column density above the plume-free baseline, ds the length of a piece of the line at the plume and v the
speed along the line's normal (Mori and Burton 2006; Gliss 2017). A term that is independent from sample to
sample adds in quadrature; one that is common to the line adds linearly before it is squared.
"""

from dataclasses import dataclass

import numpy as np

from so2cam.core.constants import KG_M2_PER_MOLEC_CM2
from so2cam.core.records import FloatArray
from so2cam.science.calibration.curve import ColumnCurve
from so2cam.science.emission.baseline import Baseline

OPTICAL_FLOW_SYSTEMATIC = 0.03
"""Relative systematic uncertainty of an optical-flow speed, 1 sigma: what the method is held to on plumes of
known speed; what texture and residual matching cannot show is not in the random part."""
CROSS_CORRELATION_SYSTEMATIC = 0.05
"""Relative systematic uncertainty of a cross-correlation speed, 1 sigma: the plume spreads and changes between
the lines, and the speed of its pattern is not quite that of its mass."""


@dataclass(frozen=True, slots=True)
class LineColumns:
    """Column densities on a line above its baseline, and what their uncertainty is made of. Arrays (N,).

    ``column`` [molecules cm-2]; ``slope`` dCD/dAA there;
    ``curve_terms`` (N, 2) derivatives by the calibration's parameters; ``interpolated`` marks masked samples that
    were filled from their neighbours.
    """

    column: FloatArray
    slope: FloatArray
    curve_terms: FloatArray
    baseline: Baseline
    pixel_noise: float
    interpolated: FloatArray


@dataclass(frozen=True, slots=True)
class Estimate:
    """A value with its random and its systematic uncertainty, 1 sigma each."""

    value: float
    random: float
    systematic: float


def line_columns(absorbance: FloatArray, baseline: Baseline, curve: ColumnCurve, *, pixel_noise: float) -> LineColumns:
    """Return columns above the baseline, ``CD = K(AA - baseline) - K(0)`` with K the calibration curve.

    ``absorbance`` (N,), NaN where masked: those samples are interpolated linearly between their neighbours and
    marked. The curve's offset is part of K and cancels, as plume-free air holds no SO2.
    """
    masked = ~np.isfinite(absorbance)
    index = np.arange(absorbance.size)
    if masked.any() and not masked.all():
        absorbance = np.interp(index, index[~masked], absorbance[~masked])
    above = absorbance - baseline.values
    column = curve.column(above) - curve.column(np.zeros(1))
    terms = curve.terms(above) - curve.terms(np.zeros(1))
    return LineColumns(
        column=column,
        slope=curve.slope(above),
        curve_terms=terms,
        baseline=baseline,
        pixel_noise=pixel_noise,
        interpolated=masked.astype(np.float64),
    )


def integrate(
    columns: LineColumns,
    weight: FloatArray,
    curve: ColumnCurve,
    *,
    relative_distance_uncertainty: float,
    distance_power: int,
) -> Estimate:
    """Return ``C sum(CD weight)`` with its uncertainties.

    ``weight`` (N,) is ``ds`` [m] for an integrated column amount [kg m-1] or ``v ds`` [m2 s-1] for an emission
    rate [kg s-1]. Random: pixel noise, the noise of the baseline's ends, half of what was interpolated.
    Systematic: the calibration curve's covariance, the sky's unevenness under the baseline, and the distance,
    which enters with ``distance_power`` (1 for ds alone, 2 where the speed was measured in the image too).
    """
    c = KG_M2_PER_MOLEC_CM2
    value = c * float(np.sum(columns.column * weight))
    sensitivity = columns.slope * weight * (1 - columns.interpolated)
    ends = columns.baseline.weights.T @ (columns.slope * weight)
    interpolated = float(np.sum(columns.column * weight * columns.interpolated))
    # A sample at an end of the line counts in the integral and, the other way, in the baseline under all of it.
    effective = sensitivity - columns.baseline.members @ ends
    random = np.hypot(columns.pixel_noise * float(np.sqrt(np.sum(effective**2))), 0.5 * interpolated)
    gradient = columns.curve_terms.T @ weight
    by_curve = float(gradient @ curve.covariance @ gradient)
    by_sky = float(np.sum((ends * columns.baseline.drift) ** 2))
    by_distance = (distance_power * relative_distance_uncertainty * value) ** 2
    systematic = np.sqrt(c**2 * (by_curve + by_sky) + by_distance)
    return Estimate(value, c * float(random), float(systematic))


def correlated_sum_uncertainty(values: FloatArray, spacing: float, length: float) -> float:
    """Return 1 sigma of a sum of errors of size ``values`` (N,) that are alike within ``length``.

    Samples stand ``spacing`` apart; two errors at a distance s have the correlation ``max(0, 1 - s / length)``, as
    the means over two windows of that length have.
    """
    index = np.arange(values.size)
    correlation = np.clip(1 - np.abs(index[:, None] - index[None, :]) * spacing / length, 0, 1)
    return float(np.sqrt(max(float(values @ correlation @ values), 0.0)))
