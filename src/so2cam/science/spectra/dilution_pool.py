"""One light dilution for many spectra, each of which tells it too weakly (Varnam 2020's two windows, pooled).

How badly a spectrum is explained is known for every dilution, its column free. The air between instrument and plume
changes slowly, so that spectra of some minutes share one dilution: that of the least sum. Columns may differ from
spectrum to spectrum as they like, which the spectra's own mean would not allow: mean light of different columns looks
like dilution.
"""

from dataclasses import dataclass
from enum import IntEnum
from typing import Final

import numpy as np
from scipy.interpolate import CubicSpline

from so2cam.core.records import FloatArray

LEAST_SPECTRA: Final = 3
"""Their scatter is part of the uncertainty."""
PRECISION: Final = 0.05
"""Largest 1 sigma of the depth ``-ln(1 - dilution)`` of an answer: columns grow by as much, relative."""
ACCEPTED: Final = 9.0
"""Rise of the sum (3 sigma) up to which a dilution explains the spectra."""
_FINE: Final = 0.002


class PoolStatus(IntEnum):
    """Why spectra together tell a dilution, or none."""

    OK = 0
    TOO_FEW = 1
    NOT_UNIQUE = 2
    AT_BOUND = 3


POOL_TEXT: Final = {
    PoolStatus.OK: "valid",
    PoolStatus.TOO_FEW: f"fewer than {LEAST_SPECTRA} spectra show enough SO2",
    PoolStatus.NOT_UNIQUE: "more than one light dilution explains all spectra together",
    PoolStatus.AT_BOUND: "no light dilution within the range that is looked at explains the spectra",
}


@dataclass(frozen=True, slots=True)
class PooledDilution:
    """The share of light at 310 nm that ``spectra`` have in common, and its 1 sigma; NaN unless the status is OK.

    ``depth_sigma`` is 1 sigma of ``-ln(1 - share)``, whatever the status, infinite where there is none.
    """

    share: float
    uncertainty: float
    spectra: int
    status: PoolStatus
    depth_sigma: float


def pool_dilution(depth: FloatArray, misfit: FloatArray, *, precision: float = PRECISION) -> PooledDilution:
    """Return the light dilution that spectra share.

    ``depth`` (G,) are depths ``-ln(1 - dilution)``, evenly rising, ``misfit`` (N, G) each spectrum's least chi-squared
    there in units of the noise's variance, up to a constant. The sum is taken as a cubic spline. 1 sigma is the larger
    one of two: what the sum's curvature tells, and what the scatter of the spectra about the common dilution tells
    (White 1982, Econometrica 50, 1), which holds if the dilution, or what looks like it, changes from one to the next.
    ``NOT_UNIQUE`` where it is above ``precision``, or another dilution explains them within 3 sigma; ``AT_BOUND`` where
    the least sum lies at an end of ``depth``. Raises ValueError for shapes that do not fit.
    """
    if misfit.ndim != 2 or misfit.shape[1] != depth.size:
        raise ValueError(f"misfit must have {depth.size} columns, found shape {misfit.shape}")
    spectra = misfit.shape[0]
    if spectra < LEAST_SPECTRA:
        return _none(spectra, PoolStatus.TOO_FEW)
    total = CubicSpline(depth, misfit.sum(axis=0))
    fine = np.linspace(depth[0], depth[-1], round((depth[-1] - depth[0]) / _FINE) + 1)
    height = total(fine)
    lowest = int(np.argmin(height))
    if np.ptp(height) <= ACCEPTED:
        return _none(spectra, PoolStatus.NOT_UNIQUE)
    if lowest in (0, fine.size - 1):
        return _none(spectra, PoolStatus.AT_BOUND)
    curvature = float(total(fine[lowest], 2))
    if not curvature > 0:
        return _none(spectra, PoolStatus.NOT_UNIQUE)
    best = float(fine[lowest] - total(fine[lowest], 1) / curvature)
    scores = CubicSpline(depth, misfit, axis=1)(best, 1)
    by_noise = 2 / curvature
    by_scatter = float(np.sum((scores - scores.mean()) ** 2)) / curvature**2 * spectra / (spectra - 1)
    variance = max(by_noise, by_scatter)
    sigma = float(np.sqrt(variance))
    explains = np.flatnonzero((height - height[lowest]) * by_noise / variance <= ACCEPTED)
    alone = explains[0] > 0 and explains[-1] < fine.size - 1 and explains.size == np.ptp(explains) + 1
    if not (alone and sigma <= precision):
        return _none(spectra, PoolStatus.NOT_UNIQUE, sigma)
    return PooledDilution(float(-np.expm1(-best)), float(np.exp(-best)) * sigma, spectra, PoolStatus.OK, sigma)


def _none(spectra: int, status: PoolStatus, sigma: float = float("inf")) -> PooledDilution:
    return PooledDilution(float("nan"), float("nan"), spectra, status, sigma)
