"""Light dilution of images: what air between camera and plume scatters in, and its correction (Campion 2015).

R. Campion, H. Delgado-Granados and T. Mori, Image-based correction of the light dilution effect for SO2 camera
measurements, J. Volcanol. Geotherm. Res. 300, 48-57, doi:10.1016/j.jvolgeores.2015.01.004, 2015. Per band the
extinction ``eps`` [m-1] is found from terrain (``terrain_extinction``) or from a spectrum (``spectral_extinction``).

A plume at the distance ``d`` is seen through ``T = exp(-eps d)``, and light of brightness ``s I_bg`` is scattered in
between, where ``I_bg`` is the measured sky behind the plume: ``I = (I_bg - A I_bg) exp(-tau') + A I_bg`` with the share
of airlight ``A = s (1 - T)``. Against the sky, with ``exp(-tau) = I / I_bg``,

    tau' = -ln((exp(-tau) - A) / (1 - A))

which for s = 1, Campion's assumption that the air in between is as bright as the sky behind, is
``-ln((exp(-tau) - (1 - T)) / T)``. A weak plume is amplified by ``1 / (1 - A)``, and an error of s changes it by
``delta s (1 - T) / (1 - A)``, relative: 4 % for 10 % at T = 0.7.
"""

import math
from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np

from so2cam.core.records import BoolImage, FloatArray, FloatImage

REFERENCE_WAVELENGTH_NM = 310.0
"""The wavelength that the spectrometer's share of diluting light belongs to."""


class DilutionState(NamedTuple):
    """What a band is diluted by: extinction [m-1], distance [m] of the plume (a number or (rows, columns)), and s.

    ``airlight_ratio`` s is the brightness of the air between camera and plume over that of the sky behind.
    """

    extinction_per_m: float
    distance_m: float | FloatImage | FloatArray
    airlight_ratio: float = 1.0


@dataclass(frozen=True, slots=True)
class Derivatives:
    """Derivatives of the corrected optical depth, each (rows, columns) float32, NaN where there is none.

    By the measured optical depth, by the extinction [m], by the distance [m-1], and by the airlight's ratio s.
    """

    optical_depth: FloatImage
    extinction_m: FloatImage
    distance_per_m: FloatImage
    airlight_ratio: FloatImage


def transmission(extinction_per_m: float, distance_m: float | FloatImage | FloatArray) -> FloatImage:
    """Return ``T = exp(-eps d)``, float32 of the shape of ``distance_m``; NaN where either is NaN or below 0."""
    distance = np.asarray(distance_m, np.float32)
    known = (distance >= 0) & (extinction_per_m >= 0)
    return np.asarray(np.where(known, np.exp(-np.float32(extinction_per_m) * distance), np.float32(np.nan)))


def airlight_share(state: DilutionState) -> FloatImage:
    """Return ``A = s (1 - T)``, the share of scattered-in light in the sky's; NaN where unknown."""
    share = np.float32(state.airlight_ratio) * (1 - transmission(state.extinction_per_m, state.distance_m))
    return np.asarray(share, np.float32)


def dilute_optical_depth(optical_depth: FloatImage, state: DilutionState) -> FloatImage:
    """Return what a camera measures of a plume of ``optical_depth``: ``-ln(exp(-tau') (1 - A) + A)`` (Kern 2010)."""
    share = airlight_share(state)
    return np.asarray(-np.log(np.exp(-optical_depth) * (1 - share) + share), np.float32)


def correct_optical_depth(optical_depth: FloatImage, state: DilutionState) -> tuple[FloatImage, BoolImage]:
    """Return the optical depth of the plume itself, and where it is known; NaN elsewhere.

    ``optical_depth`` (rows, columns) is that against the sky behind. Where less light comes than the air in between
    should scatter, ``exp(-tau) <= A``, the extinction or the distance is too large for this pixel, and there is no
    answer. Source: Campion 2015, eq. 4, written for optical depths.
    """
    share = airlight_share(state)
    left = _exp(-optical_depth) - share
    valid = np.asarray((left > 0) & (share < 1))
    ratio = np.divide(left, 1 - share, out=np.ones_like(left), where=valid)
    corrected = -_log(ratio)
    if not valid.all():
        np.copyto(corrected, np.float32(np.nan), where=~valid)
    return corrected, valid


def derivatives(optical_depth: FloatImage, state: DilutionState) -> Derivatives:
    """Return how the corrected optical depth depends on what it is made of.

    With ``u = exp(-tau)``: ``d tau'/d tau = u / (u - A)`` and ``d tau'/dA = (1 - u) / ((1 - A) (u - A))``, where
    ``dA/d eps = s d T``, ``dA/dd = s eps T`` and ``dA/ds = 1 - T``. For a weak plume the first is the amplification.
    """
    through = transmission(state.extinction_per_m, state.distance_m)
    share = np.asarray(np.float32(state.airlight_ratio) * (1 - through), np.float32)
    light = _exp(-optical_depth)
    left = light - share
    valid = (left > 0) & (share < 1)
    nan = np.float32(np.nan)
    inverse = np.divide(1, left, out=np.full(left.shape, nan, np.float32), where=valid)
    by_share = (1 - light) * inverse / (1 - share)
    per_share = np.float32(state.airlight_ratio) * through
    distance = np.asarray(state.distance_m, np.float32)
    return Derivatives(
        optical_depth=np.asarray(light * inverse, np.float32),
        extinction_m=np.asarray(by_share * per_share * distance, np.float32),
        distance_per_m=np.asarray(by_share * per_share * np.float32(state.extinction_per_m), np.float32),
        airlight_ratio=np.asarray(by_share * (1 - through), np.float32),
    )


def amplification(state: DilutionState) -> FloatImage:
    """Return ``1 / (1 - A)``, by which the optical depth of a weak plume grows; NaN where A is 1 or more."""
    share = airlight_share(state)
    known = share < 1
    return np.divide(1, 1 - share, out=np.full(share.shape, np.nan, np.float32), where=known)


def airlight_error(optical_depth: FloatImage, state: DilutionState, true_ratio: float) -> FloatImage:
    """Return corrected minus true optical depth where the air in between is ``true_ratio`` as bright as the sky.

    ``optical_depth`` is the measured one, and ``state`` what it is corrected with. Exact, so that it serves
    where the derivative by the ratio is no longer enough. NaN where either has no answer.
    """
    assumed, _ = correct_optical_depth(optical_depth, state)
    true, _ = correct_optical_depth(optical_depth, state._replace(airlight_ratio=true_ratio))
    return assumed - true


class StateUncertainty(NamedTuple):
    """1 sigma of the two bands' extinctions [m-1] and what they share.

    ``extinction_correlation`` is that of the errors of the two (1 where both come from the same distances);
    ``distance_m`` a number or (rows, columns).
    """

    on_extinction_per_m: float
    off_extinction_per_m: float
    extinction_correlation: float = 0.0
    distance_m: float | FloatImage | FloatArray = 0.0
    airlight_ratio: float = 0.0


def correct_absorbance(
    absorbance: FloatImage, off: FloatImage, on_state: DilutionState, off_state: DilutionState
) -> tuple[FloatImage, BoolImage]:
    """Return the corrected absorbance from ``absorbance = tau_on - tau_off`` and the off band's optical depth.

    All (rows, columns), with where it is known. Each band is corrected with its own extinction, for the off band is
    less diluted and aerosol in the plume has an optical depth in both.
    """
    on_values, on_valid = correct_optical_depth(absorbance + off, on_state)
    off_values, off_valid = correct_optical_depth(off, off_state)
    return on_values - off_values, on_valid & off_valid


def correct_intensity(intensity: FloatImage, background: FloatImage, state: DilutionState) -> FloatImage:
    """Return the plume's intensity without dilution, ``(I - A I_bg) / (1 - A)`` (Campion 2015, eq. 4)."""
    share = airlight_share(state)
    return np.asarray((intensity - share * background) / (1 - share), np.float32)


def _exp(values: FloatImage) -> FloatImage:
    return np.asarray(cv2.exp(np.ascontiguousarray(values, np.float32)), np.float32).reshape(np.shape(values))


def _log(values: FloatImage) -> FloatImage:
    return np.asarray(cv2.log(np.ascontiguousarray(values, np.float32)), np.float32).reshape(np.shape(values))


def rayleigh_ratio(wavelength_nm: float, *, exponent: float = 4.0) -> float:
    """Return the extinction at a wavelength over that at 310 nm: ``(310 / lambda)^4`` in air without aerosol."""
    if not wavelength_nm > 0:
        raise ValueError(f"a wavelength must be above 0, found {wavelength_nm}")
    return math.pow(REFERENCE_WAVELENGTH_NM / wavelength_nm, exponent)
