"""How a spectrometer averages a plume that varies within its field of view.

The spectrometer sees the mean light of its spot, ``sum w exp(-sigma CD)``, in which thin parts count for more; a fit
for one column then finds less than the mean column. To second order in the columns' variance v within the spot

    CD_found = mean(CD) - k v / 2

where k [cm2 molecule-1] follows from the fit: what ``sigma^2`` looks like to a fit that knows ``sigma``, a polynomial
and O3 (``column_nonlinearity``). It is about twice the mean cross section of the window, as the structure that the
fit uses saturates first. The same mean of a camera's absorbances is had with ``mean_as_seen``.
"""

import numpy as np
from scipy.ndimage import convolve1d

from so2cam.core.records import FloatArray

_STEP_SHARE = 0.2
"""Half the difference of the two columns whose mean light is fitted, over their mean."""


def column_nonlinearity(
    wavelengths_nm: FloatArray,
    light: FloatArray,
    so2_cross_section: FloatArray,
    *,
    window_nm: tuple[float, float],
    line_width_nm: float,
    column_molec_cm2: float,
    o3_cross_section: FloatArray | None = None,
    background_order: int = 3,
    sampling_nm: float = 0.08,
) -> float:
    """Return k [cm2 molecule-1] of a fit in ``window_nm`` near ``column_molec_cm2``.

    ``light`` is the sky's spectrum, ``so2_cross_section`` and ``o3_cross_section`` [cm2 molecule-1] as it, (N,), on
    evenly spaced ``wavelengths_nm`` that reach two line widths beyond the window. The light of two columns, apart from
    their mean by a fifth of it, is blurred by a Gaussian of the line's width and compared with that of their mean; the
    logarithm of the ratio is fitted, weighted by the light, with its derivative by the column, a polynomial and O3.
    Raises ValueError where the wavelengths do not reach around the window.
    """
    step = float(wavelengths_nm[1] - wavelengths_nm[0])
    reach = int(np.ceil(2 * line_width_nm / step))
    inside = (wavelengths_nm >= window_nm[0]) & (wavelengths_nm <= window_nm[1])
    if not inside.any() or inside[: reach + 1].any() or inside[-reach - 1 :].any():
        raise ValueError("the wavelengths must reach two line widths beyond the window on both sides")
    offsets = np.arange(-reach, reach + 1) * step
    kernel = np.exp2(-((2 * offsets / line_width_nm) ** 2))
    kernel /= kernel.sum()
    every = max(round(sampling_nm / step), 1)

    def seen(spectrum: FloatArray) -> FloatArray:
        return np.asarray(convolve1d(spectrum, kernel)[inside][::every], np.float64)

    difference = _STEP_SHARE * column_molec_cm2
    through = light * np.exp(-so2_cross_section * column_molec_cm2)
    middle = seen(through)
    mixed = seen(through * np.cosh(so2_cross_section * difference))
    excess = np.log(mixed / middle)  # (sigma^2 v / 2) as the fit sees it
    x = np.linspace(-1, 1, middle.size)
    design = [seen(-through * so2_cross_section) / middle, *(x**power for power in range(background_order + 1))]
    if o3_cross_section is not None:
        design.append(seen(-through * o3_cross_section) / middle)
    columns = np.stack(design, axis=1)
    columns /= np.abs(columns).max(axis=0)
    scale = float(np.abs(design[0]).max())
    solution, *_ = np.linalg.lstsq(columns * middle[:, None], excess * middle, rcond=None)
    found = float(solution[0]) / scale  # change of the column that the excess looks like
    return -2 * found / difference**2


def mean_as_seen(absorbance: FloatArray, weights: FloatArray, ratio: float) -> FloatArray:
    """Return the mean of ``absorbance`` (..., N) by ``weights`` (N,) as the spectrometer averages it.

    ``-ln(sum w exp(-q AA)) / q``, to second order ``mean(AA) - q var(AA) / 2``, with the ``ratio`` q of k to the
    absorbance per column. NaN where a weighted absorbance is.
    """
    total = np.sum(np.exp(-ratio * np.asarray(absorbance, np.float64)) * weights, axis=-1) / np.sum(weights)
    return np.asarray(-np.log(total) / ratio)
