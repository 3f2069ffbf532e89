"""Plume speed from the shift of the absorbance along the plume's axis between two images (Nadeau et al. 2011).

P. A. Nadeau, J. L. Palma and G. P. Waite, Linking volcanic tremor, degassing, and eruption dynamics via SO2 imaging,
Geophys. Res. Lett. 38, L01304, doi:10.1029/2010GL045820, 2011: the profile of absorbance along the plume is correlated
with that of the next image, and the shift of best correlation over the time between them is the speed along the plume,
``v = L / dt``. Only its component across a line carries gas through the line.

A plume's mean profile stands still while the gas moves, and draws the shift to zero. With profiles of earlier images at
hand it is taken out exactly (see ``profile_shift``); without, only as far as a polynomial follows it.
"""

from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
from scipy.special import ndtri

from so2cam.core.records import BoolImage, FloatArray, FloatImage
from so2cam.core.status import EmissionStatus
from so2cam.science.motion.profile_correlation import (
    MINIMUM_SAMPLES,
    ambiguous,
    coherence_samples,
    correlations,
    prepared,
    refined,
    shift_uncertainty,
)
from so2cam.science.motion.standing import moving_shift

_CHANCE: Final = 1e-3
"""Probability with which unrelated profiles may pass as correlated."""
_MOST_REFINED: Final = 3.0
"""Samples by which the refined shift may differ from the best whole one."""
_FEWEST_EARLIER: Final = 4
"""Earlier profiles from which on the standing one is known better than by a polynomial."""


@dataclass(frozen=True, slots=True)
class Shift:
    """The way [samples of the profile] that the second profile lies further along than the first, and 1 sigma.

    ``correlation`` is that of both at the best shift, wherever there is one. Anything but ``status`` OK means that
    there is no shift to use; it is NaN.
    """

    shift_px: float
    uncertainty_px: float
    correlation: float
    status: EmissionStatus


@dataclass(frozen=True, slots=True)
class Axis:
    """A straight line along the plume: pixels ``origin + i direction`` for i from 0 to ``length_px``.

    ``direction`` (x, y) is a unit vector, y downward, with 1 sigma ``uncertainty_deg``; ``centre_px`` is i where the
    axis crosses the plume's centre on the line it belongs to. NaN and 0 unless ``status`` is OK.
    """

    origin: tuple[float, float]
    direction: tuple[float, float]
    length_px: int
    centre_px: float
    uncertainty_deg: float
    status: EmissionStatus

    @property
    def direction_deg(self) -> float:
        """0 up, 90 right."""
        return float(np.degrees(np.arctan2(self.direction[0], -self.direction[1])) % 360)


def plume_axis(
    x: FloatArray,
    y: FloatArray,
    column: FloatArray,
    direction_deg: float,
    shape: tuple[int, int],
    *,
    reach_px: float,
    uncertainty_deg: float = 0.0,
) -> Axis:
    """Return the axis through the plume's centre on a line, along ``direction_deg`` (0 up, 90 right).

    The centre is the mean of the line's samples (x, y) (N,), weighted with their ``column`` (N,) where it is positive.
    The direction is that of the plume's motion, say ``statistics.DominantMotion.direction_deg`` and its uncertainty, or
    one that is given. The axis reaches ``reach_px`` to either side, within an image of ``shape`` (rows, columns).

    NO_PLUME: no column is positive. FLOW_UNRELIABLE: the direction is not a number. TOO_FEW_SAMPLES: fewer than 24
    pixels of the axis lie within the image.
    """
    nan = float("nan")
    weight = np.where(column > 0, column, 0.0)
    total = float(np.sum(weight))
    status = EmissionStatus.OK if total > 0 else EmissionStatus.NO_PLUME
    if status is EmissionStatus.OK and not np.isfinite(direction_deg):
        status = EmissionStatus.FLOW_UNRELIABLE
    if status is EmissionStatus.OK:
        centre = float(np.sum(weight * x)) / total, float(np.sum(weight * y)) / total
        angle = np.radians(direction_deg)
        ahead = float(np.sin(angle)), float(-np.cos(angle))
        back, forth = -reach_px, reach_px
        for place, way, size in zip(centre, ahead, (shape[1], shape[0]), strict=True):
            if abs(way) > 1e-9:
                ends = sorted((-place / way, (size - 1 - place) / way))
                back, forth = max(back, ends[0]), min(forth, ends[1])
        if forth - back >= MINIMUM_SAMPLES - 1:
            origin = centre[0] + back * ahead[0], centre[1] + back * ahead[1]
            return Axis(origin, ahead, int(forth - back + 1e-9), -back, uncertainty_deg, EmissionStatus.OK)
        status = EmissionStatus.TOO_FEW_SAMPLES
    return Axis((nan, nan), (nan, nan), 0, nan, nan, status)


def axis_profile(image: FloatImage, valid: BoolImage, axis: Axis, *, half_width_px: int = 8) -> FloatArray:
    """Return the absorbance (N,) at every pixel of way along ``axis``, the mean over parallels beside it.

    Parallels up to ``half_width_px`` on either side, one pixel apart: gas moves alike in the core of a plume, and the
    noise of their mean is less. NaN where one of them is masked or outside the image.
    """
    along = np.arange(axis.length_px + 1)
    beside = np.arange(-half_width_px, half_width_px + 1)[:, None]
    x = axis.origin[0] + along * axis.direction[0] - beside * axis.direction[1]
    y = axis.origin[1] + along * axis.direction[1] + beside * axis.direction[0]
    to_x, to_y = x.astype(np.float32), y.astype(np.float32)
    # Bilinear; a mask counts wherever one of the four pixels has it.
    rows, columns = image.shape
    left, top = max(int(to_x.min()) - 1, 0), max(int(to_y.min()) - 1, 0)
    part = slice(top, min(int(to_y.max()) + 3, rows)), slice(left, min(int(to_x.max()) + 3, columns))
    known = valid[part] & np.isfinite(image[part])
    values = np.where(known, image[part], np.float32(np.nan))
    if values.size == 0:
        return np.full(along.size, np.nan)
    picked = cv2.remap(
        values, to_x - left, to_y - top, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT, borderValue=float("nan")
    )
    return np.asarray(np.mean(picked, axis=0, dtype=np.float64))


def profile_shift(
    first: FloatArray,
    second: FloatArray,
    *,
    maximum_shift: float,
    minimum_correlation: float = 0.5,
    trend_order: int = 2,
    earlier: FloatArray | None = None,
) -> Shift:
    """Return the shift of ``second`` along the profile against ``first``, both (N,), equally spaced, NaN if masked.

    ``earlier`` (K, N) are the profiles of K images before ``first``, in order of time, equally spaced like these two.
    From four on, what stands still is taken off with them. Their mean alone will not do: it holds the moving pattern
    too, smeared, and where it is subtracted that pattern is missing at shift zero, which drives the shift away from
    it (0.4 to 2.3 % too far for 20 profiles), or at twice the shift. Instead the same *difference* is taken of every
    two neighbouring profiles, and what it has in common over the earlier ones is the standing profile's part
    (``standing.moving_shift``). Without earlier profiles:

    A polynomial of ``trend_order`` is taken off each profile: a plume thins out away from its source, and this mean
    profile stands still; a straight line leaves too much of it. Pearson's correlation of what overlaps (at least half
    of the samples that the sparser profile has) is found at every whole shift of either sign up to
    ``maximum_shift`` [samples]. About the best one it is found again with trends of the overlap alone, and the
    polynomial through five of these has its maximum at the shift.

    Uncertainty: linearised least squares, with the residual's own autocorrelation,
    ``sigma^2 = sum_k R_e(k) R_s(k) / I^2`` with e the residual after shift and scaling, s the slope of the profile,
    R their autocovariances, and I the slopes' product of both profiles (independent noise of the two does not add
    to it); and in quadrature how far the shift moves with a trend of one order more. Of a standing profile with more
    detail than that it knows nothing: the shift of a plume without texture is drawn towards zero.

    TOO_FEW_SAMPLES: fewer than 24 that overlap. NO_CORRELATION: none above ``minimum_correlation``, or not beyond
    chance for the number of independent samples and shifts. LAG_NOT_RESOLVED: the best shift lies at the edge of
    the search, another is as good within 1 sigma (Fisher's z), as for puffs in a regular row, or the maximum is
    due to the trends.
    """
    if first.ndim != 1 or first.shape != second.shape:
        raise ValueError(f"profiles must be (N,) and alike, got {first.shape} and {second.shape}")
    if earlier is not None and earlier.shape[1:] != first.shape:
        raise ValueError(f"earlier profiles must be (K, {first.size}), got {earlier.shape}")
    with_earlier = earlier is not None and earlier.shape[0] >= _FEWEST_EARLIER
    standing = np.mean(earlier, axis=0) if earlier is not None and with_earlier else np.zeros(first.size)
    order = 0 if with_earlier else trend_order
    nan = float("nan")
    known = np.isfinite(np.stack([first - standing, second - standing]))
    samples = int(known.sum(axis=1).min())
    if samples < MINIMUM_SAMPLES:
        return Shift(nan, nan, nan, EmissionStatus.TOO_FEW_SAMPLES)
    flattened = [
        prepared(np.asarray(v - standing, np.float64), k, order) for v, k in zip((first, second), known, strict=True)
    ]
    largest = max(float(np.max(np.abs(v[k]))) for v, k in zip((first, second), known, strict=True))
    profiles, known = np.stack([p for p, _ in flattened]), np.stack([k for _, k in flattened])
    samples = int(known.sum(axis=1).min())
    if samples < MINIMUM_SAMPLES:
        return Shift(nan, nan, nan, EmissionStatus.TOO_FEW_SAMPLES)
    if float(np.min(np.std(profiles, axis=1))) <= 1e-9 * largest:
        return Shift(nan, nan, nan, EmissionStatus.NO_CORRELATION)
    limit = max(int(min(maximum_shift, first.size - 1)), 1)
    correlation, overlap = correlations(profiles, known, limit)
    correlation[overlap < max(samples / 2, MINIMUM_SAMPLES)] = nan
    if not np.isfinite(correlation).any():
        return Shift(nan, nan, nan, EmissionStatus.TOO_FEW_SAMPLES)
    best = int(np.nanargmax(correlation))
    peak = float(correlation[best])
    coherence = coherence_samples(profiles, known)
    independent = max(float(overlap[best]) / coherence - 3, 1.0)
    trials = max(np.count_nonzero(np.isfinite(correlation)) / coherence, 1.0)
    chance = float(np.tanh(-ndtri(_CHANCE / trials) / np.sqrt(independent)))
    if peak < max(minimum_correlation, chance):
        return Shift(nan, nan, peak, EmissionStatus.NO_CORRELATION)
    at_edge = not 0 < best < correlation.size - 1 or not np.isfinite(correlation[best - 1 : best + 2]).all()
    if at_edge or ambiguous(correlation, best, independent):
        return Shift(nan, nan, peak, EmissionStatus.LAG_NOT_RESOLVED)
    if earlier is not None and with_earlier:
        start = float(best - limit)
        shift, sigma = moving_shift(first, second, earlier, start=start)
        by_trend, found = 0.0, abs(shift) <= limit - 0.5 and abs(shift - start) <= _MOST_REFINED
    else:
        shift, peak, by_trend = refined(profiles, known, best - limit, trend_order)
        found = abs(shift) <= limit - 0.5
        sigma = shift_uncertainty(profiles, known, shift, trend_order) if found else nan
    if not (found and np.isfinite(sigma)):
        return Shift(nan, nan, peak, EmissionStatus.LAG_NOT_RESOLVED)
    return Shift(shift, float(np.hypot(sigma, by_trend)), peak, EmissionStatus.OK)


def projected_shift(shift: Shift, axis: Axis, normal: tuple[float, float]) -> tuple[float, float]:
    """Return the component of ``shift`` along a line's ``normal`` (x, y) and 1 sigma: times their angle's cosine.

    The axis's uncertain direction counts in it. NaN where the shift is not OK.
    """
    if shift.status is not EmissionStatus.OK or axis.status is not EmissionStatus.OK:
        return float("nan"), float("nan")
    length = float(np.hypot(*normal))
    cosine = (axis.direction[0] * normal[0] + axis.direction[1] * normal[1]) / length
    sine = (axis.direction[0] * normal[1] - axis.direction[1] * normal[0]) / length
    by_direction = shift.shift_px * sine * np.radians(axis.uncertainty_deg)
    return shift.shift_px * cosine, float(np.hypot(shift.uncertainty_px * cosine, by_direction))
