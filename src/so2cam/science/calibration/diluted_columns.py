"""What a fit without light dilution makes of a diluted spectrum, and the true column behind it.

Light scattered in between plume and camera fills the bands of SO2 most where they are deepest, so that a fit that does
not know of it finds too small a column, by more the larger it is (Kern 2010). Where the share of that light is known
(from ground of known distance in the images), the column can be had back without a fit of the share to each spectrum,
for which single spectra have too little light.
"""

from dataclasses import dataclass

import numpy as np

from so2cam.core.records import FloatArray
from so2cam.science.calibration.fit_light import FitLight

REFERENCE_NM = 310.0
_ROUNDS = 12
_TOLERANCE = 1e-7


def share_at(wavelengths_nm: FloatArray, share: float) -> FloatArray:
    """Return the share of light from in between (N,) that is ``share`` at 310 nm, by Rayleigh's law (Varnam 2020).

    ``1 - (1 - share)^((310 / lambda)^4)``.
    """
    return np.asarray(1 - (1 - share) ** ((REFERENCE_NM / np.asarray(wavelengths_nm, np.float64)) ** 4), np.float64)


def apparent_columns(fit: FitLight, column_molec_cm2: FloatArray, share: float) -> FloatArray:
    """Return the columns (M,) that a fit without dilution finds for ``column_molec_cm2`` (M,) under ``share``.

    Gauss-Newton on the logarithm of the light, weighted by the light: free are the column, O3, an offset and a
    polynomial. NaN where the fit does not settle.
    """
    between = share_at(fit.wavelengths_nm, share)
    found = np.full(np.shape(column_molec_cm2), np.nan)
    for index, column in enumerate(column_molec_cm2):
        if np.isfinite(column):
            through = (1 - between) * np.exp(-fit.so2_cross_section * column) + between
            found[index] = _fitted(fit, fit.seen(fit.light * through), float(column) * (1 - share))
    return found


def _fitted(fit: FitLight, measured: FloatArray, start: float) -> float:
    x = np.linspace(-1, 1, measured.size)
    polynomial = [x**power for power in range(fit.background_order + 1)]
    unit = 1 / float(fit.so2_cross_section.max())
    column, ozone, offset = start, 0.0, 0.0
    for _ in range(_ROUNDS):
        through = fit.light * np.exp(-fit.so2_cross_section * column - fit.o3_cross_section * ozone)
        model = fit.seen(through)
        design = np.stack(
            [
                -fit.seen(through * fit.so2_cross_section) / model * unit,
                -fit.seen(through * fit.o3_cross_section) / model * unit,
                float(model.mean()) / model,
                *polynomial,
            ],
            axis=1,
        )
        left = np.log(measured) - np.log(model + offset)
        weights = measured[:, None]
        solution, *_ = np.linalg.lstsq(design * weights, left * measured, rcond=None)
        column += float(solution[0]) * unit
        ozone += float(solution[1]) * unit
        offset += float(solution[2]) * float(model.mean())
        if abs(float(solution[0]) * unit) < _TOLERANCE * unit:
            return column
    return float("nan")


@dataclass(frozen=True, slots=True, eq=False)
class DilutionCurve:
    """True columns over apparent ones under one share of dilution, as far as the two rise together.

    ``apparent`` and ``true`` (K,) [molecules cm-2], both strictly increasing; ``by_share`` (K,) is the change of the
    true column with the share, at a fixed apparent one.
    """

    share: float
    apparent: FloatArray
    true: FloatArray
    by_share: FloatArray

    def column(self, apparent: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Return true columns, the factor on their random 1 sigma, and their derivative by the share, each (M,).

        Beyond the curve's end, where the apparent column saturates, there is no answer: NaN. Below zero it goes on
        straight.
        """
        apparent = np.asarray(apparent, np.float64)
        slopes = np.gradient(self.true, self.apparent)
        inside = np.clip(apparent, self.apparent[0], self.apparent[-1])
        true = np.interp(inside, self.apparent, self.true)
        factor = np.interp(inside, self.apparent, slopes)
        true = np.where(apparent < self.apparent[0], true + factor * (apparent - inside), true)
        beyond = apparent > self.apparent[-1]
        nothing = np.where(beyond | np.isnan(apparent), np.nan, 0.0)
        by_share = np.interp(inside, self.apparent, self.by_share)
        return true + nothing, factor + nothing, by_share + nothing


def dilution_curve(
    fit: FitLight, share: float, *, maximum_column_molec_cm2: float = 1.5e19, points: int = 24
) -> DilutionCurve:
    """Return true over apparent columns under ``share`` (0 to below 1), from zero as far as the apparent ones rise.

    Raises ValueError for a share out of range.
    """
    if not 0 <= share < 1:
        raise ValueError(f"the share of light from in between must be at least 0 and below 1, found {share}")
    true = maximum_column_molec_cm2 * np.linspace(0, 1, points) ** 1.6
    apparent = apparent_columns(fit, true, share)
    step = 0.01
    near = apparent_columns(fit, true, min(share + step, 0.99))
    good = np.isfinite(apparent) & np.isfinite(near)
    rising = good & (np.concatenate([[True], np.diff(apparent) > 0.03 * np.diff(true)]))
    end = true.size if rising.all() else max(int(np.argmin(rising)), 3)
    true, apparent, near = true[:end], apparent[:end], near[:end]
    slope = np.gradient(true, apparent)
    # At a fixed apparent column: the column rises as the apparent one falls.
    by_share = (apparent - near) / step * slope
    return DilutionCurve(share, apparent - apparent[0], true, by_share)
