"""How a calibration by the spectrometer changes in time: fits of a rolling run, or of parts of a whole one's points."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import numpy as np

from so2cam.core.results import CalibrationFit, CalibrationPoint
from so2cam.core.site import Site
from so2cam.science.calibration.curve import BandShape
from so2cam.science.calibration.regression import fit_points

_MOST_PARTS: Final = 8
_LEAST: Final = 10
"""Points of a part."""


@dataclass(frozen=True, slots=True)
class Drift:
    """Slope at zero absorbance and offset, each with 1 sigma [molecules cm-2], at a time, by ``points``."""

    time: datetime
    slope: float
    slope_sigma: float
    offset: float
    offset_sigma: float
    points: int


def drift_of(
    site: Site, shape: BandShape | None, points: Sequence[CalibrationPoint], fits: Sequence[CalibrationFit]
) -> tuple[Drift, ...]:
    """Return slope and offset over time.

    Of a rolling calibration by its ``fits``; of one from the whole run by fits of their own to parts of its points,
    equal in number, without what is known of the offset beforehand.
    """
    if site.processing.calibration.spectrometer.policy == "rolling":
        nan = float("nan")
        return tuple(
            Drift(
                fit.time,
                fit.slope_molec_cm2,
                fit.slope_uncertainty_molec_cm2,
                fit.parameters[0] if len(fit.parameters) > 1 else nan,
                fit.parameter_uncertainties[0] if len(fit.parameters) > 1 else nan,
                fit.points,
            )
            for fit in fits
        )
    least = max(_LEAST, site.processing.calibration.spectrometer.minimum_points)
    count = min(_MOST_PARTS, len(points) // least)
    if count < 2:
        return ()
    found = []
    for part in np.array_split(np.arange(len(points)), count):
        made = _of_part(site, shape, [points[index] for index in part])
        if made is not None:
            found.append(made)
    return tuple(found)


def _of_part(site: Site, shape: BandShape | None, points: Sequence[CalibrationPoint]) -> Drift | None:
    settings = site.processing.calibration
    fit = fit_points(
        np.array([point.absorbance for point in points]),
        np.array([point.column_molec_cm2 for point in points]),
        np.array([point.absorbance_uncertainty for point in points]),
        np.array([point.column_uncertainty_molec_cm2 for point in points]),
        settings.model,
        shape=shape,
        with_offset=settings.spectrometer.offset,
        minimum_points=min(settings.spectrometer.minimum_points, len(points)),
    )
    if fit.curve is None:
        return None
    return Drift(points[len(points) // 2].time, *fit.curve.slope_at_zero, *fit.curve.offset, fit.points)
