"""How a spectrometer averages a plume that varies within its field of view.

The spectrometer sees the mean light of its spot, ``sum w exp(-sigma CD)``, in which thin parts count for more; a fit
for one column then finds less than the mean column. To second order in the columns' variance v within the spot

    CD_found = mean(CD) - k v / 2

where k [cm2 molecule-1] follows from the fit: what ``sigma^2`` looks like to a fit that knows ``sigma``, a polynomial
and O3 (``column_nonlinearity``). It is about twice the mean cross section of the window, as the structure that the
fit uses saturates first. The same mean of a camera's absorbances is had with ``mean_as_seen``.
"""

import numpy as np

from so2cam.core.records import FloatArray
from so2cam.science.calibration.fit_light import FitLight

_STEP_SHARE = 0.2
"""Half the difference of the two columns whose mean light is fitted, over their mean."""


def column_nonlinearity(fit: FitLight, *, column_molec_cm2: float) -> float:
    """Return k [cm2 molecule-1] of ``fit`` near ``column_molec_cm2``.

    The light of two columns, apart from their mean by a fifth of it, is compared with that of their mean; the logarithm
    of the ratio is fitted, weighted by the light, with its derivative by the column, a polynomial and O3.
    """
    difference = _STEP_SHARE * column_molec_cm2
    through = fit.light * np.exp(-fit.so2_cross_section * column_molec_cm2)
    middle = fit.seen(through)
    mixed = fit.seen(through * np.cosh(fit.so2_cross_section * difference))
    excess = np.log(mixed / middle)  # sigma^2 v / 2, as the fit sees it
    x = np.linspace(-1, 1, middle.size)
    columns = np.stack(
        [
            fit.seen(-through * fit.so2_cross_section) / middle,
            fit.seen(-through * fit.o3_cross_section) / middle,
            *(x**power for power in range(fit.background_order + 1)),
        ],
        axis=1,
    )
    scale = np.abs(columns).max(axis=0)
    solution, *_ = np.linalg.lstsq(columns / scale * middle[:, None], excess * middle, rcond=None)
    found = float(solution[0]) / float(scale[0])  # change of the column that the excess looks like
    return -2 * found / difference**2


def mean_as_seen(absorbance: FloatArray, weights: FloatArray, ratio: float) -> FloatArray:
    """Return the mean of ``absorbance`` (..., N) by ``weights`` (N,) as the spectrometer averages it.

    ``-ln(sum w exp(-q AA)) / q``, to second order ``mean(AA) - q var(AA) / 2``, with the ``ratio`` q of k to the
    absorbance per column. NaN where a weighted absorbance is.
    """
    total = np.sum(np.exp(-ratio * np.asarray(absorbance, np.float64)) * weights, axis=-1) / np.sum(weights)
    return np.asarray(-np.log(total) / ratio)
