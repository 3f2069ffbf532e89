"""A calibration as the chain applies it."""

from dataclasses import dataclass

from so2cam.core.status import QualityFlag
from so2cam.science.calibration.curve import ColumnCurve


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
