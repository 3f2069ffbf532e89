"""A calibration as the chain applies it."""

import math
from dataclasses import dataclass

import numpy as np

from so2cam.core.constants import MOLEC_CM2_PER_PPM_M
from so2cam.core.records import FloatImage
from so2cam.core.status import QualityFlag
from so2cam.science.calibration.curve import BandShape, ColumnCurve


@dataclass(frozen=True, slots=True)
class Calibration:
    """The curve that holds at a time, and what is to be known of it.

    ``scale_uncertainty`` is 1 sigma, relative, of what all columns share beyond the curve's own covariance: the cross
    section that the spectrometer's columns rest on. ``number`` counts the calibrations of a run from 0; -1 is one that
    the run was given (gas cells, a known slope).
    """

    curve: ColumnCurve
    scale_uncertainty: float = 0.0
    flags: QualityFlag = QualityFlag.NONE
    number: int = -1


def column_image(absorbance: FloatImage, calibration: Calibration) -> FloatImage:
    """Return the column density [molecules cm-2], float32, of an absorbance image (rows, columns); NaN stays NaN.

    ``CD = K(AA) - K(0)`` with K the calibration curve. Absorbance is counted from the sky behind the plume, and
    plume-free air holds no SO2: what the curve has at zero absorbance is the error of the background where the
    spectrometer looks. It is left out on the lines too, and would else stand everywhere in the empty sky.
    """
    curve = calibration.curve
    return (curve.column(np.asarray(absorbance, np.float64)) - curve.column(np.zeros(1))).astype(np.float32)


def column_image_ppm_m(absorbance: FloatImage, calibration: Calibration) -> FloatImage:
    """Return ``column_image`` in ppm m."""
    return column_image(absorbance, calibration) / np.float32(MOLEC_CM2_PER_PPM_M)


def calibration_again(
    slope: tuple[float, float], offset: tuple[float, float], shape: BandShape | None
) -> Calibration | None:
    """Return the calibration that a result was made with, of what the result keeps of it; None where it had none.

    ``slope`` (near zero absorbance) and ``offset`` [molecules cm-2] with their 1 sigma, as in ``PairRecord``;
    ``shape`` is the bands' own curve where the settings want it, else it is a line.
    """
    if not (math.isfinite(slope[0]) and slope[0] > 0 and math.isfinite(offset[0])):
        return None
    at_zero = 1.0 if shape is None else float(shape.derivative(np.zeros(1))[0])
    parameters = np.array([offset[0], slope[0] / at_zero])
    covariance = np.diag(np.nan_to_num([offset[1], slope[1] / at_zero]) ** 2)
    if shape is None:
        return Calibration(ColumnCurve("line", parameters, covariance, math.inf))
    return Calibration(ColumnCurve("band", parameters, covariance, shape.maximum_absorbance, shape=shape))
