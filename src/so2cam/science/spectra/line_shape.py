"""The instrument's line shape: asymmetric super-Gaussian or measured table, sampled on an even grid."""

import math

import numpy as np

from so2cam.core.records import FloatArray
from so2cam.science.spectra.table import Interpolation, SpectralTable

SHAPE_PARAMETERS = ("width", "exponent", "width_asymmetry", "exponent_asymmetry")


def shape_scales(
    width_nm: float, exponent: float, width_asymmetry: float = 0.0, exponent_asymmetry: float = 0.0
) -> tuple[float, float]:
    """Return the scales w(1 + a_w) and w(1 - a_w) [nm] of the two sides of a super-Gaussian of this full width.

    The full width at half maximum is the sum of the two half widths, w(1 ± a_w) ln(2)^(1/(k ± a_k)), which fixes w.
    Raises ValueError for widths or exponents that are not positive and asymmetries of 1 or more.
    """
    plus, minus = exponent + exponent_asymmetry, exponent - exponent_asymmetry
    if not (width_nm > 0 and plus > 0 and minus > 0 and abs(width_asymmetry) < 1):
        raise ValueError(
            f"no line shape: width {width_nm} nm and exponents {plus} and {minus} must be positive, "
            f"and the asymmetry of the width, {width_asymmetry}, must lie between -1 and 1"
        )
    half_plus = (1 + width_asymmetry) * math.log(2) ** (1 / plus)
    half_minus = (1 - width_asymmetry) * math.log(2) ** (1 / minus)
    scale = width_nm / (half_plus + half_minus)
    return scale * (1 + width_asymmetry), scale * (1 - width_asymmetry)


def super_gaussian(
    offset_nm: FloatArray,
    width_nm: float,
    exponent: float = 2.0,
    width_asymmetry: float = 0.0,
    exponent_asymmetry: float = 0.0,
) -> FloatArray:
    r"""Return the line shape at ``offset_nm`` (n,) from the line, 1 at its top.

    exp(-|u / w(1 ± a_w)|^(k ± a_k)), the upper signs towards longer wavelengths (Beirle 2017).
    ``width_nm`` is the full width at half maximum; ``width_asymmetry`` is relative to w, so Beirle's a_w [nm] is w
    times ours. Raises ValueError as ``shape_scales`` does.
    """
    right, left = shape_scales(width_nm, exponent, width_asymmetry, exponent_asymmetry)
    longer = offset_nm > 0
    scale = np.where(longer, right, left)
    power = np.where(longer, exponent + exponent_asymmetry, exponent - exponent_asymmetry)
    return np.asarray(np.exp(-(np.abs(offset_nm / scale) ** power)), dtype=np.float64)


def super_gaussian_derivatives(
    offset_nm: FloatArray,
    width_nm: float,
    exponent: float = 2.0,
    width_asymmetry: float = 0.0,
    exponent_asymmetry: float = 0.0,
) -> FloatArray:
    """Return the derivatives (4, n) of ``super_gaussian`` by width [nm-1], exponent and the two asymmetries.

    Raises ValueError as ``shape_scales`` does.
    """
    right, left = shape_scales(width_nm, exponent, width_asymmetry, exponent_asymmetry)
    plus, minus = exponent + exponent_asymmetry, exponent - exponent_asymmetry
    scale = 0.5 * (right + left)
    log_two = math.log(2)
    root_plus, root_minus = log_two ** (1 / plus), log_two ** (1 / minus)
    # w = width / divisor; the divisor's derivatives:
    slope_plus = -(1 + width_asymmetry) * root_plus * math.log(log_two) / plus**2
    slope_minus = -(1 - width_asymmetry) * root_minus * math.log(log_two) / minus**2
    by_scale = (
        scale / width_nm,
        -(scale**2) / width_nm * (slope_plus + slope_minus),
        -(scale**2) / width_nm * (root_plus - root_minus),
        -(scale**2) / width_nm * (slope_plus - slope_minus),
    )
    out = np.zeros((4, offset_nm.size))
    for sign, side_scale, power in ((1, right, plus), (-1, left, minus)):
        side = (offset_nm > 0) if sign > 0 else (offset_nm < 0)
        ratio = np.abs(offset_nm[side] / side_scale)
        depth = ratio**power
        value = np.exp(-depth)
        to_scale = value * depth * power / side_scale
        to_power = -value * depth * np.log(ratio)
        share = 1 + sign * width_asymmetry
        out[0, side] = to_scale * by_scale[0] * share
        out[1, side] = to_scale * by_scale[1] * share + to_power
        out[2, side] = to_scale * (by_scale[2] * share + sign * scale)
        out[3, side] = to_scale * by_scale[3] * share + sign * to_power
    return out


def measured_shape(table: SpectralTable, step_nm: float, interpolation: Interpolation = "cubic") -> FloatArray:
    """Return a measured line shape on an even grid, shape (2 K + 1,), of sum 1, by offset from the table's middle.

    The middle of the table's wavelengths is taken for the line's centre, wherever they start; a shape off the middle
    shifts the model, which the fit's shift takes up. Raises ValueError for a table of less than three steps, and for
    one whose sum is not positive.
    """
    first, last = float(table.wavelengths_nm[0]), float(table.wavelengths_nm[-1])
    count = math.ceil((last - first) / step_nm - 1e-9)
    if count < 3:
        raise ValueError(f"{table.name}: a line shape must be wider than three steps of the model, {3 * step_nm} nm")
    values = table.at(first + step_nm * np.arange(count, dtype=np.float64), interpolation)
    if count % 2 == 0:
        values = np.concatenate([[0.0], values])
    total = float(values.sum())
    if not total > 0:
        raise ValueError(f"{table.name}: the sum of a line shape must be positive, found {total}")
    return np.asarray(values / total, dtype=np.float64)


def full_width_half_maximum_nm(offset_nm: FloatArray, shape: FloatArray) -> float:
    """Return the full width at half maximum [nm] of a line shape ``shape`` (n,) at ``offset_nm`` (n,).

    By linear interpolation on both flanks; NaN where it does not fall to half within the table.
    """
    top = int(np.argmax(shape))
    half = 0.5 * float(shape[top])
    below_left = np.flatnonzero(shape[:top] <= half)
    below_right = np.flatnonzero(shape[top:] <= half)
    if below_left.size == 0 or below_right.size == 0:
        return math.nan
    i, j = int(below_left[-1]), top + int(below_right[0])
    left = offset_nm[i] + (half - shape[i]) / (shape[i + 1] - shape[i]) * (offset_nm[i + 1] - offset_nm[i])
    right = offset_nm[j - 1] + (half - shape[j - 1]) / (shape[j] - shape[j - 1]) * (offset_nm[j] - offset_nm[j - 1])
    return float(right - left)
