"""Statistics of optical-flow vectors: the plume's dominant motion, and vectors mended with it.

After J. Gliss, K. Stebel, A. Kylling and A. Sudbo, Improved optical flow velocity analysis in SO2 camera images of
volcanic plumes, Atmos. Meas. Tech. 11, 781-801, 2018: optical flow fails where a plume has little contrast, and its
vectors there are short and of any direction. The histogram of the directions of all plume
vectors shows the main one; the lengths of the vectors that have it show how far the plume moves.

Directions are those of the image: 0 up, 90 right, ``atan2(dx, -dy)`` with y downward. All of their statistics are
circular (Mardia and Jupp, Directional Statistics, 2000), so that no direction is special.
"""

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

import cv2
import numpy as np
import numpy.typing as npt
from scipy.ndimage import gaussian_filter1d
from scipy.special import betainc

from so2cam.core.records import FloatArray, FloatImage, PlumeLine
from so2cam.core.status import EmissionStatus
from so2cam.science.motion.flow import REDUCTION, Flow

BoolArray = npt.NDArray[np.bool_]

_BINS: Final = 360
"""Bins of the circle that vectors are collected in before the fit; each keeps its exact mean and variance."""
_NARROWEST: Final = np.radians(0.5)
"""Smallest width [rad] of a mode during the fit, and of half the range of its directions."""
_WIDEST: Final = np.pi / 2
_MODES: Final = 5
"""Most modes that are told apart."""
_VALLEY: Final = 0.7
"""Two peaks are two modes where the histogram between them falls below this share of the lower one."""
_CHANCE: Final = 1e-3
"""Probability with which directions without any order may pass as a motion."""
_ITERATIONS: Final = 60
_MOST: Final = 12_000
"""Of more vectors than this, every second, third ... is used: vectors so dense are nearly copies of each other."""
_LENGTH_CLIP: Final = 3.0
"""Lengths further than this many sigma from their mean are left out (a Gaussian loses 0.3 %)."""


@dataclass(frozen=True, slots=True)
class DominantMotion:
    """The main motion of the plume between two images. NaN unless ``status`` is OK.

    ``direction_deg`` (0 to 360; 0 up, 90 right) and ``length_px`` are the means mu_phi and mu_L of Gliss et al.
    (2018), ``direction_sigma_deg`` and ``length_sigma_px`` the spreads sigma_phi and sigma_L of single vectors.
    The ``..._uncertainty_...`` are 1 sigma of the means. ``mean_vector_px`` (x, y) is the mean of the vectors that
    have the direction. ``share`` is the weight of those vectors over that of all vectors; it is known with every
    status.
    """

    direction_deg: float
    direction_sigma_deg: float
    direction_uncertainty_deg: float
    length_px: float
    length_sigma_px: float
    length_uncertainty_px: float
    mean_vector_px: tuple[float, float]
    share: float
    modes: int
    """Number of directions that stand out, the main one among them; 0 where none does."""
    tolerance_sigma: float
    """The range of directions is the mean plus and minus this many ``direction_sigma_deg``."""
    minimum_length_px: float
    status: EmissionStatus

    @property
    def direction(self) -> tuple[float, float]:
        """Unit vector (x, y) of the direction, y downward."""
        angle = np.radians(self.direction_deg)
        return float(np.sin(angle)), float(-np.cos(angle))

    @property
    def vector_px(self) -> tuple[float, float]:
        """Predominant displacement (x, y) [px]: mean length in the mean direction."""
        x, y = self.direction
        return self.length_px * x, self.length_px * y

    @property
    def half_range_deg(self) -> float:
        """Half the width of the range of directions."""
        return max(self.tolerance_sigma * self.direction_sigma_deg, 2 * float(np.degrees(_NARROWEST)))


@dataclass(frozen=True, slots=True)
class _Mode:
    """A mode of directions: mean, its uncertainty, sigma [rad], and the share of the weight that belongs to it."""

    mean: float
    sigma: float
    fraction: float
    uncertainty: float


def plume_vectors(
    flow: Flow, absorbance: FloatImage, line: PlumeLine, *, reach_px: float, threshold: float
) -> tuple[FloatArray, FloatArray]:
    """Return vectors (N, 2) [px of the image] and weights (N,) of the plume around ``line``.

    All vectors of ``flow`` within ``reach_px`` of the line's straight pieces, beside them and not beyond their ends.
    The weight is ``absorbance`` (rows, columns; of the first image) where it exceeds ``threshold`` and 0 elsewhere;
    vectors that are not valid are NaN.
    """
    rows, columns = flow.valid.shape
    region = flow.region
    x = (region.left + 0.5 + REDUCTION * np.arange(columns))[None, :]
    y = (region.top + 0.5 + REDUCTION * np.arange(rows))[:, None]
    near = np.zeros((rows, columns), np.bool_)
    for start, end in pairwise(line.points):
        length = math.dist(start, end)
        if length > 0:
            tangent = ((end[0] - start[0]) / length, (end[1] - start[1]) / length)
            along = (x - start[0]) * tangent[0] + (y - start[1]) * tangent[1]
            across = (x - start[0]) * tangent[1] - (y - start[1]) * tangent[0]
            near |= (np.abs(across) <= reach_px) & (along >= 0) & (along <= length)
    image = cv2.resize(absorbance[region.slices], (columns, rows), interpolation=cv2.INTER_AREA)
    weights = np.asarray(image[near], np.float64)
    weights[~(weights > threshold)] = 0.0
    vectors = np.asarray(flow.displacement[near], np.float64)
    vectors[~flow.valid[near]] = np.nan
    return vectors, weights


def dominant_motion(
    vectors: FloatArray,
    weights: FloatArray,
    *,
    minimum_length_px: float = 1.0,
    minimum_share: float = 0.1,
    direction_bin_deg: float = 10.0,
    tolerance_sigma: float = 2.0,
    correlated_vectors: float = 1.0,
) -> DominantMotion:
    """Return the main motion of displacement ``vectors`` (N, 2), (x, y) [px], with ``weights`` (N,).

    Vectors that are NaN, or whose weight is not positive, are not used. Directions come from vectors of at least
    ``minimum_length_px``. Their weighted histogram on the circle, smoothed to ``direction_bin_deg`` (full width of
    a bin), gives the peaks; Gaussians about all of them, wrapped on the circle, over directions of pure chance are
    fitted together by maximum likelihood (Gliss et al. 2018 fit a sum of Gaussians to the histogram), and the one
    with the largest weight is the main direction. Lengths are mean and sigma of those of the vectors within
    ``tolerance_sigma`` sigma of that direction, without those beyond 3 sigma of length.

    ``correlated_vectors`` is how many neighbouring vectors are worth one that is independent: for optical flow,
    the number of vectors in its averaging window. It enters the uncertainties of the means and the test against
    chance, nothing else. Of very many vectors evenly spaced ones are used.

    NO_PLUME: no weight is positive. FLOW_UNRELIABLE: less than ``minimum_share`` of the weight is in vectors that
    are long enough, or in those of the main direction; no direction stands out beyond chance; or its range is
    wider than a half circle.
    """
    if vectors.ndim != 2 or vectors.shape[1] != 2 or weights.shape != vectors.shape[:1]:
        raise ValueError(f"vectors must be (N, 2) and weights (N,), got {vectors.shape} and {weights.shape}")

    def none(status: EmissionStatus, share: float = 0.0) -> DominantMotion:
        nan = float("nan")
        return DominantMotion(
            nan, nan, nan, nan, nan, nan, (nan, nan), share, 0, tolerance_sigma, minimum_length_px, status
        )

    positive = np.flatnonzero(weights > 0)
    if positive.size == 0:
        return none(EmissionStatus.NO_PLUME)
    step = -(-positive.size // _MOST)
    correlated = max(correlated_vectors / step, 1.0)
    positive = positive[::step]
    # A masked vector takes no part at all: it is neither long nor short.
    x, y, length = _columns(vectors.take(positive, axis=0))
    w = np.asarray(weights, np.float64).take(positive)
    known = np.isfinite(length)
    total = float(np.sum(w, where=known))
    long = np.flatnonzero(known & (length >= max(minimum_length_px, 1e-9)))
    w, x, y, length = w[long], x[long], y[long], length[long]
    long_share = float(np.sum(w)) / total if total > 0 else 0.0
    if w.size < 3 or long_share < minimum_share:
        return none(EmissionStatus.FLOW_UNRELIABLE)
    independent = _independent(w, correlated)
    sin, cos = x / length, -y / length
    modes = _direction_modes(sin, cos, w, independent, float(np.radians(direction_bin_deg)))
    main = max(modes, key=lambda mode: mode.fraction)
    half_range = max(tolerance_sigma * main.sigma, 2 * _NARROWEST)
    if half_range > np.pi / 2:
        return none(EmissionStatus.FLOW_UNRELIABLE)
    inside = np.flatnonzero(sin * np.sin(main.mean) + cos * np.cos(main.mean) >= np.cos(half_range))
    w, x, y, length = w[inside], x[inside], y[inside], length[inside]
    share = float(np.sum(w)) / total
    if share < minimum_share or not _beyond_chance(share / long_share, half_range, independent):
        return none(EmissionStatus.FLOW_UNRELIABLE, share)
    mean, sigma, kept = _clipped_moments(length, w)
    count = _independent(w[kept], correlated)
    return DominantMotion(
        direction_deg=float(np.degrees(main.mean) % 360),
        direction_sigma_deg=float(np.degrees(main.sigma)),
        direction_uncertainty_deg=float(np.degrees(min(main.uncertainty, main.sigma))),
        length_px=mean,
        length_sigma_px=sigma,
        length_uncertainty_px=sigma / float(np.sqrt(count)),
        mean_vector_px=_weighted_mean(x[kept], y[kept], w[kept]),
        share=share,
        modes=len(modes),
        tolerance_sigma=tolerance_sigma,
        minimum_length_px=minimum_length_px,
        status=EmissionStatus.OK,
    )


def hybrid_vectors(
    vectors: FloatArray, motion: DominantMotion, uncertainty_px: FloatArray | None = None
) -> tuple[FloatArray, BoolArray]:
    """Return ``vectors`` (N, 2) [px] with those that do not fit ``motion`` replaced, and which were kept (N,).

    A vector is kept where its direction lies within ``mu_phi`` plus and minus ``tolerance_sigma`` (2) ``sigma_phi``
    and it is at least ``max(mu_L - sigma_L, minimum_length_px)`` (1 px) long; any other, NaN ones included, becomes
    the predominant displacement (Gliss et al. 2018). That rule takes short for wrong, and makes sheared plumes too
    fast by replacing their slow side only. With ``uncertainty_px`` (N,), 1 sigma of each, a vector known to a tenth of
    the mean length, or to half of what lengths spread by, is kept with any length beyond 3 sigma.

    Without a motion all are NaN and none is kept.
    """
    if motion.status is not EmissionStatus.OK:
        return np.full(vectors.shape, np.nan), np.zeros(vectors.shape[:1], np.bool_)
    dx, dy, length = _columns(vectors)
    x, y = motion.direction
    shortest = np.full(length.shape, max(motion.length_px - motion.length_sigma_px, motion.minimum_length_px))
    if uncertainty_px is not None:
        known = uncertainty_px <= max(0.1 * motion.length_px, 0.5 * motion.length_sigma_px)
        shortest = np.where(known, np.minimum(shortest, 3 * uncertainty_px), shortest)
    # Comparisons with NaN are False: what is not known is not kept. The margins are those of rounding.
    kept = dx * x + dy * y >= length * (np.cos(np.radians(motion.half_range_deg)) - 1e-12)
    kept &= length >= shortest - 1e-9
    mended = np.empty((length.size, 2))
    mended[:, 0] = np.where(kept, dx, motion.vector_px[0])
    mended[:, 1] = np.where(kept, dy, motion.vector_px[1])
    return mended, kept


def kept_shares(kept: BoolArray, weights: FloatArray) -> tuple[float, float]:
    """Return the share of vectors that were kept (N,), by count and by ``weights`` (N,), such as column density.

    Weights that are not positive count as 0. NaN where there is nothing to share.
    """
    positive = np.where(weights > 0, weights, 0.0)
    total = float(np.sum(positive))
    by_count = float(np.mean(kept)) if kept.size else float("nan")
    return by_count, float(np.sum(positive[kept])) / total if total > 0 else float("nan")


def histogram_speed_px(
    motion: DominantMotion, normal: tuple[float, float], *, flow_uncertainty_px: float = 0.0
) -> tuple[float, float]:
    """Return the displacement [px] along ``normal`` (unit vector x, y) and 1 sigma of it.

    ``n . (sin mu_phi, -cos mu_phi) mu_L`` (Gliss et al. 2018). The published error is the spread (largest minus
    smallest) of this over the four corners ``mu_phi -+ 2 sigma_phi, mu_L -+ 2 sigma_L``; four sigma wide, it is no
    1 sigma. Here independent parts are added in quadrature:

    - a quarter of the corners' spread: how far the motion at any one place lies off the mean one. This is what
      one speed for a whole line is uncertain by, as the line may lie in a faster or slower part of the plume. It
      is too large for a line that averages over many parts;
    - the uncertainty of the mean direction and length;
    - what the published speed exceeds the mean of the vectors' own components by: a length times a direction is
      longer than the mean vector, by ``exp(sigma_phi^2 / 2)`` (1.5 % for 10, 6 % for 20 degrees) along the motion;
    - ``flow_uncertainty_px``, 1 sigma of what all vectors of the flow are wrong by together, which their histogram
      cannot show.

    NaN without a motion.
    """
    if motion.status is not EmissionStatus.OK:
        return float("nan"), float("nan")
    angle = np.radians(motion.direction_deg) - np.arctan2(normal[0], -normal[1])
    component = motion.length_px * float(np.cos(angle))
    spread = 2 * np.radians(motion.direction_sigma_deg)
    corners = [
        (motion.length_px + side * 2 * motion.length_sigma_px) * np.cos(angle + turn)
        for side in (-1, 1)
        for turn in (-spread, spread)
    ]
    of_place = 0.25 * (max(corners) - min(corners))
    of_direction = motion.length_px * np.sin(angle) * np.radians(motion.direction_uncertainty_deg)
    of_length = motion.length_uncertainty_px * np.cos(angle)
    excess = component - (motion.mean_vector_px[0] * normal[0] + motion.mean_vector_px[1] * normal[1])
    return component, math.hypot(of_place, of_direction, of_length, excess, flow_uncertainty_px)


def _columns(vectors: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return x, y and length (N,) of ``vectors`` (N, 2)."""
    x = np.ascontiguousarray(vectors[:, 0], np.float64)
    y = np.ascontiguousarray(vectors[:, 1], np.float64)
    return x, y, np.sqrt(x * x + y * y)


def _weighted_mean(x: FloatArray, y: FloatArray, weights: FloatArray) -> tuple[float, float]:
    total = float(np.sum(weights))
    return float(np.sum(weights * x)) / total, float(np.sum(weights * y)) / total


def _independent(weights: FloatArray, correlated: float) -> float:
    """Return how many independent vectors of equal weight these are worth (Kish 1965), at least 1."""
    return max(float(np.sum(weights)) ** 2 / float(np.sum(weights**2)) / max(correlated, 1.0), 1.0)


def _direction_modes(
    sin: FloatArray, cos: FloatArray, weights: FloatArray, independent: float, bandwidth: float
) -> list[_Mode]:
    # The fast angle is good to 0.3 degrees, which only decides about the bin; sums within bins are exact.
    angle = cv2.phase(cos.astype(np.float32), sin.astype(np.float32)).ravel()
    index = np.minimum((angle * np.float32(_BINS / (2 * np.pi))).astype(np.int32), _BINS - 1)
    weight = np.bincount(index, weights, _BINS)
    sum_sin = np.bincount(index, weights * sin, _BINS)
    sum_cos = np.bincount(index, weights * cos, _BINS)
    share = weight / float(np.sum(weight))
    theta = np.arctan2(sum_sin, sum_cos)
    filled = np.maximum(weight, 1e-300)
    variance = np.maximum(2 * (1 - np.hypot(sum_sin, sum_cos) / filled), 0.0)
    variance[weight == 0] = 0.0
    peaks = _peaks(share, independent, bandwidth)
    return _fit_modes(share, theta, variance, peaks, sigma=bandwidth / 2, independent=independent)


def _peaks(share: FloatArray, independent: float, bandwidth: float) -> FloatArray:
    """Return the directions [rad] of the peaks of a histogram on the circle, the highest first."""
    step = 2 * np.pi / share.size
    kernel = bandwidth / 2 / step
    density = gaussian_filter1d(share, kernel, mode="wrap")
    top = np.flatnonzero((density > np.roll(density, 1)) & (density >= np.roll(density, -1)))
    if top.size == 0:
        top = np.array([int(np.argmax(density))])
    top = top[np.argsort(-density[top], kind="stable")]
    # Variance of a smoothed density: density / (n 2 sqrt(pi) kernel).
    noise = 1 / (independent * 2 * np.sqrt(np.pi) * kernel)
    accepted = [int(top[0])]
    for peak in top[1:]:
        if len(accepted) == _MODES or density[peak] < 0.1 * density[top[0]]:
            break
        for other in accepted:
            low, high = sorted((int(peak), other))
            valley = max(density[low : high + 1].min(), min(density[high:].min(), density[: low + 1].min()))
            depth = density[peak] - valley
            if valley > _VALLEY * density[peak] or depth < 3 * np.sqrt(noise * (density[peak] + valley)):
                break
        else:
            accepted.append(int(peak))
    return (np.array(accepted) + 0.5) * step


def _fit_modes(
    share: FloatArray, theta: FloatArray, variance: FloatArray, peaks: FloatArray, *, sigma: float, independent: float
) -> list[_Mode]:
    """Return Gaussians about ``peaks`` fitted to a histogram, together with chance directions in between.

    Expectation-maximisation (Dempster et al. 1977) for a mixture of wrapped Gaussians and a uniform density.
    The uncertainty of a mean is that of its score: what is shared with other modes or with chance informs less.
    """
    used = share > 0
    share, theta, variance = share[used], theta[used], variance[used]
    sin, cos = np.sin(theta), np.cos(theta)
    means = peaks.copy()
    sigmas = np.full(peaks.size, sigma)
    fractions = np.full(peaks.size, 0.8 / peaks.size)
    offset = _wrapped(theta - means[:, None])
    for _ in range(_ITERATIONS):
        wide = np.clip(sigmas, _NARROWEST, _WIDEST)[:, None]
        density = (fractions[:, None] / wide) * np.exp(-0.5 * (offset / wide) ** 2) * np.sqrt(2 * np.pi)
        belongs = share * density / (np.sum(density, axis=0) + max(1 - float(np.sum(fractions)), 1e-9))
        fractions = np.maximum(np.sum(belongs, axis=1), 1e-12)
        new_means = np.arctan2(belongs @ sin, belongs @ cos)
        offset = _wrapped(theta - new_means[:, None])
        new_sigmas = np.sqrt(np.sum(belongs * (offset**2 + variance), axis=1) / fractions)
        change = max(float(np.max(np.abs(_wrapped(new_means - means)))), float(np.max(np.abs(new_sigmas - sigmas))))
        means, sigmas = new_means, new_sigmas
        if change < 2e-4:
            break
    score = np.sum(belongs**2 / share * (offset**2 + variance), axis=1) * independent
    uncertainties = sigmas**2 / np.sqrt(np.maximum(score, 1e-300))
    return [
        _Mode(float(m), float(s), float(f), float(u))
        for m, s, f, u in zip(means, sigmas, fractions, uncertainties, strict=True)
    ]


def _wrapped(angle: FloatArray) -> FloatArray:
    """Return angles [rad] within -pi to pi."""
    return np.asarray(angle - 2 * np.pi * np.rint(angle / (2 * np.pi)))


def _beyond_chance(fraction: float, half_range: float, independent: float) -> bool:
    """Return whether so large a ``fraction`` of directions within a range is unlikely for directions at random.

    The range may lie anywhere, which is as good as ``pi / half_range`` trials.
    """
    expected = half_range / np.pi
    count = min(fraction, 1.0) * independent
    # The tail of the binomial distribution, continued to counts that are not whole.
    tail = float(betainc(count, independent - count + 1, expected)) if count > 0 else 1.0
    return tail * max(1 / expected, 1.0) < _CHANCE


def _clipped_moments(values: FloatArray, weights: FloatArray) -> tuple[float, float, BoolArray]:
    """Return weighted mean and sigma of ``values``, iterated without those beyond 3 sigma, and which are left."""
    kept = np.ones(values.shape, np.bool_)
    mean = sigma = 0.0
    count = -1
    for _ in range(20):
        w = weights * kept
        total = float(np.sum(w))
        mean = float(np.sum(w * values)) / total
        offset = values - mean
        sigma = float(np.sqrt(np.sum(w * offset * offset) / total))
        left = int(np.count_nonzero(kept))
        if left == count:
            break
        count = left
        kept = np.abs(offset) <= _LENGTH_CLIP * sigma + 1e-9
    return mean, sigma, kept
