"""Light scattered in between instrument and plume, found together with the SO2 column from two windows.

Diluting light carries no SO2 absorption, so it weakens strong and weak bands alike, while a smaller column weakens
them differently (Varnam 2020). Two windows whose bands differ in strength therefore tell column and dilution apart,
where absorption is strong enough to leave its linear range. Where it is not, or where two pairs of column and dilution
explain a spectrum, the result says so.
"""

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from so2cam.core.records import FloatArray
from so2cam.core.results import IntArray
from so2cam.core.spectra import FitStatus
from so2cam.science.spectra.fit import FitResult, MaskArray, fit_spectra
from so2cam.science.spectra.model import FitModel, Problem

PRECISION = 0.05
"""Largest 1 sigma of the column, relative, of an answer that counts as unique."""
ACCEPTED = 9.0
"""Rise of chi-squared (3 sigma) up to which an answer explains a spectrum."""
DETECTED = 4.0
"""Columns without dilution below so many sigma are not searched: they hold nothing about dilution."""
FLOOR = 0.05
"""Share of the mean signal that is added to the signal for the noise's variance, for what noise is not of photons."""
POINTS, MINIMA = 64, 4


@dataclass(frozen=True, slots=True)
class DilutionFit:
    """Light dilution and columns of M spectra.

    ``light_dilution`` (M, 2) is the share of diluting light at 310 nm and its 1 sigma, NaN unless the status is OK.
    ``result`` is the fit of the first window with the column and its 1 sigma from both windows, that of the dilution
    included. ``apparent`` (M, 2) are the two windows' columns and ``apparent_sigma`` (M, 2) their 1 sigma if all light
    had crossed the plume, ``correlation`` (M,) that of column and dilution.

    ``alternatives`` (M, K, 2) are all minima found, (column, dilution), the best first, whatever the status, and
    ``rise`` (M, K) their chi-squared above the best in units of its variance. ``so2_range`` and
    ``light_dilution_range`` (M, 2) bound everything that explains a spectrum within 3 sigma and was searched (light
    dilution from -0.2 to 0.95); NaN where nothing was found.
    """

    light_dilution: FloatArray
    result: FitResult
    apparent: FloatArray
    apparent_sigma: FloatArray
    correlation: FloatArray
    alternatives: FloatArray
    rise: FloatArray
    so2_range: FloatArray
    light_dilution_range: FloatArray
