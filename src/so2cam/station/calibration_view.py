"""The calibration of a live run as people look at it: its points, its curve, and what is to be known of it."""

from dataclasses import dataclass
from datetime import datetime
from typing import Final

import numpy as np

from so2cam.core.constants import MOLEC_CM2_PER_PPM_M
from so2cam.core.status import QUALITY_TEXT
from so2cam.pipeline.calibrated import Calibration
from so2cam.pipeline.live import LiveRun

MOST_POINTS: Final = 400
_CURVE: Final = 40
_BEYOND: Final = 1.15


@dataclass(frozen=True, slots=True)
class CalibrationView:
    """Points (absorbance, column [ppm m], 1 sigma, weight) and the curve (absorbance, column, 1 sigma) through them.

    ``source``: where it comes from, in words. ``slope``: at zero absorbance, and 1 sigma [ppm m]. ``flags``: texts.
    """

    time: datetime
    source: str
    cells: tuple[tuple[float, float, float], ...]
    points: tuple[tuple[float, float, float, float], ...]
    curve: tuple[tuple[float, float, float], ...]
    slope: tuple[float, float]
    correlation: float | None
    flags: tuple[str, ...]


def calibration_key(run: LiveRun) -> tuple[int, int]:
    """Return what changes when a run's calibration does."""
    record = run.learner.record
    return (0, 0) if record is None else (len(record.points), len(record.fits))


def view_of(run: LiveRun, calibration: Calibration | None, time: datetime) -> CalibrationView:
    """Return the calibration of a run at ``time``; without points and curve where there is none yet."""
    record = run.learner.record
    cells = tuple((reading.absorbance, reading.column_ppm_m, 0.0) for reading in run.references.cells)
    points: tuple[tuple[float, float, float, float], ...] = ()
    correlation = None
    if record is not None:
        points = tuple(
            (
                point.absorbance,
                point.column_molec_cm2 / MOLEC_CM2_PER_PPM_M,
                point.column_uncertainty_molec_cm2 / MOLEC_CM2_PER_PPM_M,
                point.weight,
            )
            for point in record.points[-MOST_POINTS:]
            if np.isfinite(point.absorbance)
        )
        if record.fits and np.isfinite(record.fits[-1].correlation):
            correlation = record.fits[-1].correlation
    sources = [*(["gas cells"] if cells else []), *(["spectrometer"] if record is not None else [])]
    curve: tuple[tuple[float, float, float], ...] = ()
    slope, flags = (float("nan"), float("nan")), tuple[str, ...]()
    if calibration is not None:
        top = max([calibration.curve.maximum_absorbance, *(point[0] for point in (*cells, *points))])
        x = np.linspace(0.0, _BEYOND * top if np.isfinite(top) and top > 0 else 0.5, _CURVE)
        y = calibration.curve.column(x) / MOLEC_CM2_PER_PPM_M
        sigma = calibration.curve.column_uncertainty(x) / MOLEC_CM2_PER_PPM_M
        curve = tuple(zip(x.tolist(), y.tolist(), sigma.tolist(), strict=True))
        value, error = calibration.curve.slope_at_zero
        slope = (value / MOLEC_CM2_PER_PPM_M, error / MOLEC_CM2_PER_PPM_M)
        flags = tuple(text for flag, text in QUALITY_TEXT.items() if flag & calibration.flags)
    return CalibrationView(
        time, " and ".join(sources) or "a given slope", cells, points, curve, slope, correlation, flags
    )
