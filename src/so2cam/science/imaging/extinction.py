"""The extinction of the air in front of a volcano, from dark terrain at known distances (Campion 2015).

Terrain of brightness ``I_0`` at the distance ``d`` shows ``I(d) = I_0 exp(-eps d) + I_A (1 - exp(-eps d))``, where the
airlight ``I_A`` is the sky just above it (Campion et al. 2015, J. Volcanol. Geotherm. Res. 300, 48-57, eq. 2). What
differs between pixels is mostly the ground: patches of snow or plants must not pull the fit, so it is one of Tukey's
biweight, started from the least sum of absolute residuals (Huber and Ronchetti 2009, sections 4.8 and 7.8).

Errors that do not average out over images count as systematic: the ground's own scatter (of whole patches, by the
sandwich estimate over clusters of neighbours, Liang and Zeger 1986), distances, airlight, and a ground whose
brightness changes with distance.
"""

from dataclasses import dataclass
from enum import IntEnum
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from so2cam.core.records import FloatArray

_TUKEY: Final = 4.685
"""95 % efficiency for normal errors"""
_GRID: Final = 121
_ROUNDS: Final = 60
_CLUSTERS: Final = (24, 10)
"""Numbers of blocks of neighbours that the ground's scatter is taken over; the larger uncertainty counts."""
_LEAST_SCATTER: Final = 1e-4
"""Ground's own relative scatter that is assumed at least: its square is a weight's denominator."""


class ExtinctionStatus(IntEnum):
    """Why an extinction is there, or why it is missing (NaN)."""

    OK = 0
    CONSISTENT_WITH_ZERO = 1
    TOO_FEW_POINTS = 2
    DISTANCE_SPAN_TOO_SMALL = 3
    TERRAIN_TOO_BRIGHT = 4
    OUT_OF_BOUNDS = 5
    UNDETERMINED = 6
    NO_DILUTION_KNOWN = 7


EXTINCTION_TEXT: Final[dict[ExtinctionStatus, str]] = {
    ExtinctionStatus.OK: "valid",
    ExtinctionStatus.CONSISTENT_WITH_ZERO: "slightly below zero within its uncertainty, and taken as zero",
    ExtinctionStatus.TOO_FEW_POINTS: "too few valid pixels of terrain",
    ExtinctionStatus.DISTANCE_SPAN_TOO_SMALL: "the terrain's distances differ too little",
    ExtinctionStatus.TERRAIN_TOO_BRIGHT: "the terrain is nearly as bright as the sky: choose darker ground",
    ExtinctionStatus.OUT_OF_BOUNDS: "significantly below zero, or above the highest extinction allowed",
    ExtinctionStatus.UNDETERMINED: "the terrain does not tell the extinction: its uncertainty is as large as the range",
    ExtinctionStatus.NO_DILUTION_KNOWN: "the spectra tell no share of scattered light, or the distance is not known",
}


class ExtinctionErrors(NamedTuple):
    """1 sigma of an extinction [m-1] by cause. ``noise`` is independent from image to image, the others are not."""

    noise: float
    ground: float
    distance: float
    airlight: float
    trend: float

    @property
    def systematic(self) -> float:
        """1 sigma of what stays the same from image to image [m-1]."""
        return float(np.sqrt(self.ground**2 + self.distance**2 + self.airlight**2 + self.trend**2))


_UNKNOWN: Final = ExtinctionErrors(np.nan, np.nan, np.nan, np.nan, np.nan)


@dataclass(frozen=True, slots=True)
class Extinction:
    """Extinction of a band ``value_per_m`` and its 1 sigma [m-1]; NaN unless ``usable``.

    ``surface`` is the ground's brightness I_0 in the units of the intensities (NaN from spectra), ``residual`` the
    robust scatter of the ground over ``surface``, ``n`` the number of pixels that count.
    """

    value_per_m: float
    uncertainty_per_m: float
    surface: float
    status: ExtinctionStatus
    residual: float
    n: int
    errors: ExtinctionErrors = _UNKNOWN

    @property
    def usable(self) -> bool:
        """Whether there is a value."""
        return self.status in (ExtinctionStatus.OK, ExtinctionStatus.CONSISTENT_WITH_ZERO)


def missing_extinction(status: ExtinctionStatus, n: int = 0) -> Extinction:
    """Return the extinction that is not there, for the reason ``status``."""
    return Extinction(np.nan, np.nan, np.nan, status, np.nan, n)


@dataclass(frozen=True, slots=True)
class FitLimits:
    """What is demanded of the terrain, and what is known of it beside the pixels.

    ``brightness`` are the lowest and the highest share of the sky's brightness of pixels that count (snow lies above),
    ``minimum_contrast`` is ``1 - I_0 / I_A`` of ground that is dark enough. ``airlight_uncertainty`` is 1 sigma of
    I_A, relative and common to all pixels; ``surface_trend`` 1 sigma of the difference of I_0 between the furthest and
    the nearest ground, relative.
    """

    maximum_per_m: float = 1e-3
    minimum_span_m: float = 500.0
    minimum_points: int = 8
    brightness: tuple[float, float] = (0.01, 0.9)
    minimum_contrast: float = 0.2
    airlight_uncertainty: float = 0.05
    surface_trend: float = 0.1


class TerrainPixels(NamedTuple):
    """Pixels of terrain in one band, each (N,), in the order of a line or image, so that neighbours are neighbours.

    ``intensity`` after dark and flat [DN s-1 or DN]; ``distance_m`` along the line of sight; ``airlight`` in the same
    units as ``intensity``, the sky behind or just above (None: not known, fitted as one more number).
    ``noise``: 1 sigma of the intensities. ``distance_uncertainty_m``: 1 sigma, independent between pixels, and
    ``distance_patterns_m`` (K, N): shifts of all distances that K causes make together, each at 1 sigma (the viewing
    direction, the distance of a whole region). ``cluster``: labels of patches whose ground is alike.
    """

    intensity: FloatArray
    distance_m: FloatArray
    airlight: FloatArray | None
    noise: FloatArray | float = 0.0
    distance_uncertainty_m: FloatArray | float = 0.0
    distance_patterns_m: FloatArray | None = None
    cluster: npt.NDArray[np.intp] | None = None


def terrain_extinction(pixels: TerrainPixels, limits: FitLimits | None = None) -> Extinction:
    """Return the extinction of the air between the camera and the terrain, by a robust fit of I_0 and eps.

    NaN in any array leaves a pixel out, and so does a brightness outside of ``limits.brightness`` of the sky. Raises
    ValueError where the arrays' shapes do not agree.
    """
    limits = limits or FitLimits()
    data = _select(pixels, limits)
    n = data.intensity.size
    if n < limits.minimum_points:
        return missing_extinction(
            ExtinctionStatus.TERRAIN_TOO_BRIGHT if data.bright > n else ExtinctionStatus.TOO_FEW_POINTS, n
        )
    if np.ptp(data.distance) < limits.minimum_span_m:
        return missing_extinction(ExtinctionStatus.DISTANCE_SPAN_TOO_SMALL, n)
    fit = _fit(data, limits)
    counting = fit.weight > 0.1
    n = int(counting.sum())
    if n < limits.minimum_points:
        return missing_extinction(ExtinctionStatus.TOO_FEW_POINTS, n)
    if np.ptp(data.distance[counting]) < limits.minimum_span_m:
        return missing_extinction(ExtinctionStatus.DISTANCE_SPAN_TOO_SMALL, n)
    sky = fit.airlight * float(np.median(data.airlight[counting]))
    if not 0 <= fit.surface <= (1 - limits.minimum_contrast) * sky:
        bad = ExtinctionStatus.TERRAIN_TOO_BRIGHT if fit.surface > 0 else ExtinctionStatus.OUT_OF_BOUNDS
        return missing_extinction(bad, n)
    errors = _errors(data, fit, limits)
    total = float(np.hypot(errors.noise, errors.systematic))
    if not total < 0.5 * limits.maximum_per_m:
        return missing_extinction(ExtinctionStatus.UNDETERMINED, n)
    value, status = fit.extinction, ExtinctionStatus.OK
    if -2 * total <= value < 0:
        value, status = 0.0, ExtinctionStatus.CONSISTENT_WITH_ZERO
    elif not 0 <= value < limits.maximum_per_m:
        return missing_extinction(ExtinctionStatus.OUT_OF_BOUNDS, n)
    return Extinction(value, total, fit.surface, status, fit.scatter / max(fit.surface, 1e-30), n, errors)


def dark_terrain(
    intensity: FloatArray, airlight: FloatArray, distance_m: FloatArray, *, share: float = 0.5, steps: int = 12
) -> npt.NDArray[np.bool_]:
    """Return which pixels (N,) are among the darkest ``share`` of their distance, in ``steps`` steps of equal counts.

    The same share at every distance, so that what is chosen is alike ground at all of them: snow, plants and sunlit
    slopes drop out and the extinction is not pulled. NaN is not chosen.
    """
    chosen = np.zeros(intensity.shape, np.bool_)
    good = np.isfinite(intensity) & np.isfinite(distance_m) & (airlight > 0)
    order = np.flatnonzero(good)[np.argsort(distance_m[good], kind="stable")]
    for part in np.array_split(order, min(steps, max(order.size // 4, 1))):
        if part.size:
            relative = intensity[part] / airlight[part]
            chosen[part] = relative <= np.quantile(relative, share)
    return chosen


def patterns_by_group(distance_uncertainty_m: FloatArray, group: npt.NDArray[np.intp]) -> FloatArray:
    """Return the patterns (groups, N) of distance errors that are common to a group and independent between groups."""
    labels = np.unique(group)
    return np.where(group[None, :] == labels[:, None], np.asarray(distance_uncertainty_m, np.float64), 0.0)


def sky_above(
    sky: npt.NDArray[np.floating], valid: npt.NDArray[np.bool_], x: FloatArray, y: FloatArray, *, reach_px: int = 10
) -> FloatArray:
    """Return the sky's brightness (N,) above the pixels (x, y): the airlight against terrain there.

    The mean over the lowest ``reach_px`` valid pixels of ``sky`` (rows, columns) above a pixel, in the columns up to
    ``reach_px`` off. NaN where there are fewer than a quarter of them, and outside of the image.
    """
    out = np.full(np.shape(x), np.nan)
    rows, columns = sky.shape
    lowest = np.zeros((reach_px, columns))
    count = np.zeros(columns)
    bottom = np.full(columns, -1)
    for column in range(columns):
        index = np.flatnonzero(valid[:, column])[-reach_px:]
        lowest[: index.size, column] = sky[index, column]
        count[column] = index.size
        bottom[column] = index[0] if index.size else rows
    for i, (at_x, at_y) in enumerate(zip(np.rint(x), np.rint(y), strict=True)):
        if not (0 <= at_x < columns and 0 <= at_y < rows):
            continue
        part = slice(max(int(at_x) - reach_px, 0), int(at_x) + reach_px + 1)
        above = bottom[part] <= at_y
        number = float((count[part] * above).sum())
        if number >= 0.25 * reach_px * (2 * reach_px + 1):
            out[i] = float((lowest[:, part] * above).sum()) / number
    return out


# --- the fit -----------------------------------------------------------------------------------------------------


class _Data(NamedTuple):
    """What counts of the pixels: each (N,), patterns (K, N); ``bright`` is how many were too bright."""

    intensity: FloatArray
    distance: FloatArray
    airlight: FloatArray
    is_airlight_known: bool
    noise: FloatArray
    distance_sigma: FloatArray
    patterns: FloatArray
    cluster: npt.NDArray[np.intp]
    bright: int


class _Fit(NamedTuple):
    extinction: float
    surface: float
    airlight: float
    weight: FloatArray
    variance: FloatArray
    residual: FloatArray
    scale: float
    scatter: float


def _select(pixels: TerrainPixels, limits: FitLimits) -> _Data:
    intensity, distance = np.asarray(pixels.intensity, np.float64), np.asarray(pixels.distance_m, np.float64)
    if intensity.ndim != 1 or distance.shape != intensity.shape:
        raise ValueError(f"intensity and distance must be of one shape (N,): {intensity.shape}, {distance.shape}")
    known = pixels.airlight is not None
    airlight = np.broadcast_to(np.asarray(pixels.airlight if known else 1.0, np.float64), intensity.shape)
    noise = np.broadcast_to(np.asarray(pixels.noise, np.float64), intensity.shape)
    sigma = np.broadcast_to(np.asarray(pixels.distance_uncertainty_m, np.float64), intensity.shape)
    patterns = np.zeros((0, intensity.size)) if pixels.distance_patterns_m is None else pixels.distance_patterns_m
    cluster = np.zeros(0, np.intp) if pixels.cluster is None else np.asarray(pixels.cluster, np.intp)
    if patterns.ndim != 2 or patterns.shape[1] != intensity.size or cluster.size not in (0, intensity.size):
        raise ValueError("distance_patterns_m must be (K, N) and cluster (N,) for N pixels")
    good = np.isfinite(intensity) & np.isfinite(distance) & (distance > 0) & (airlight > 0)
    good &= np.isfinite(noise) & np.isfinite(sigma) & np.isfinite(patterns).all(axis=0)
    bright = 0
    if known:
        relative = np.divide(intensity, airlight, out=np.full(intensity.shape, np.nan), where=good)
        bright = int((relative > limits.brightness[1]).sum())
        good &= (relative >= limits.brightness[0]) & (relative <= limits.brightness[1])
    else:
        good &= intensity > 0
    return _Data(
        intensity[good], distance[good], airlight[good], known, noise[good], sigma[good], patterns[:, good],
        cluster[good] if cluster.size else cluster, bright,
    )  # fmt: skip


def _blocks(n: int, count: int) -> npt.NDArray[np.intp]:
    """Return labels of ``count`` blocks of neighbours; single pixels where they are few."""
    return np.arange(n) * min(count, n) // n


def _over_clusters(score: FloatArray, cluster: npt.NDArray[np.intp], parameters: int) -> float:
    """Return the variance of a sum of scores that are alike within a cluster (Liang and Zeger 1986)."""
    labels, index = np.unique(cluster, return_inverse=True)
    return float(np.sum(np.bincount(index, score) ** 2)) * labels.size / max(labels.size - parameters, 1)


def _fit(data: _Data, limits: FitLimits) -> _Fit:
    y, d, sky = data.intensity, data.distance, data.airlight
    grid = np.linspace(0.0, limits.maximum_per_m, _GRID)
    cost = np.array([_absolute(data, eps) for eps in grid])
    eps = float(grid[np.argmin(cost)])
    theta = np.array([*_linear(data, eps, np.ones(y.size)), eps])
    scatter, scale = np.nan, 1.0
    weight, variance = np.ones(y.size), np.ones(y.size)
    span = float(np.ptp(d))
    for _ in range(_ROUNDS):
        through = np.exp(-theta[2] * d)
        model, jacobian = _model(data, theta)
        residual = y - model
        by_distance = theta[2] * through * (theta[1] * sky - theta[0]) * data.distance_sigma
        known = data.noise**2 + by_distance**2
        spread = (1.4826 * float(np.median(np.abs(residual / through)))) ** 2
        floor = (_LEAST_SCATTER * float(np.median(y))) ** 2
        scatter = float(np.sqrt(max(spread - float(np.median(known / through**2)), floor)))
        variance = (scatter * through) ** 2 + known
        scale = max(1.4826 * float(np.median(np.abs(residual) / np.sqrt(variance))), 0.5)
        u = residual / np.sqrt(variance) / (_TUKEY * scale)
        weight = np.where(np.abs(u) < 1, (1 - u**2) ** 2, 0.0)
        free = _free(data)
        root = np.sqrt(weight / variance)
        step = np.linalg.lstsq(jacobian[:, free] * root[:, None], residual * root, rcond=None)[0]
        theta = theta.copy()
        limit = 0.5 / max(span, float(d.max()) / 4)
        step[-1] = np.clip(step[-1], -limit, limit)
        theta[free] += step
        # Beyond the bounds by as much as lets the caller tell "near" from "far off".
        theta[2] = min(max(theta[2], -limits.maximum_per_m), 2 * limits.maximum_per_m)
        if abs(step[-1]) * span < 1e-9:
            break
    model, _ = _model(data, theta)
    return _Fit(float(theta[2]), float(theta[0]), float(theta[1]), weight, variance, y - model, scale, scatter)


def _free(data: _Data) -> list[int]:
    return [0, 2] if data.is_airlight_known else [0, 1, 2]


def _model(data: _Data, theta: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return the modelled intensities (N,) and their derivatives (N, 3) by I_0, the airlight's factor and eps."""
    through = np.exp(-theta[2] * data.distance)
    model = theta[0] * through + theta[1] * data.airlight * (1 - through)
    by_eps = data.distance * through * (theta[1] * data.airlight - theta[0])
    return model, np.stack([through, data.airlight * (1 - through), by_eps], axis=1)


def _linear(data: _Data, eps: float, weight: FloatArray) -> tuple[float, float]:
    """Return I_0 and the airlight's factor for a given extinction."""
    through = np.exp(-eps * data.distance)
    if data.is_airlight_known:
        ground = (data.intensity - data.airlight * (1 - through)) / through
        return float(_weighted_median(ground, through * weight)), 1.0
    design = np.stack([through, 1 - through], axis=1)
    solved = np.linalg.lstsq(design, data.intensity, rcond=None)[0]
    return float(solved[0]), float(solved[1])


def _absolute(data: _Data, eps: float) -> float:
    """Return the sum of absolute residuals at the best I_0, each over the ground's visibility."""
    surface, factor = _linear(data, eps, np.ones(data.intensity.size))
    model, _ = _model(data, np.array([surface, factor, eps]))
    through = np.exp(-eps * data.distance)
    return float(np.mean(np.abs(data.intensity - model) / through) * np.exp(-eps * float(np.mean(data.distance))))


def _weighted_median(values: FloatArray, weights: FloatArray) -> float:
    order = np.argsort(values)
    total = np.cumsum(weights[order])
    return float(values[order[np.searchsorted(total, 0.5 * total[-1])]])


def _errors(data: _Data, fit: _Fit, limits: FitLimits) -> ExtinctionErrors:
    """Return the extinction's 1 sigma by cause, each propagated through the fit's own linear response."""
    theta = np.array([fit.surface, fit.airlight, fit.extinction])
    _, jacobian = _model(data, theta)
    free = _free(data)
    design = jacobian[:, free]
    u2 = fit.residual**2 / fit.variance / (_TUKEY * fit.scale) ** 2
    slope = np.where(u2 < 1, (1 - u2) * (1 - 5 * u2), 0.0)
    information = design.T @ (design * (slope / fit.variance)[:, None])
    try:
        inverse = np.linalg.inv(information)
    except np.linalg.LinAlgError:
        return _UNKNOWN
    # Response of eps to the intensity of each pixel.
    response = (inverse[-1] @ design.T) * (slope / fit.variance)
    score = (inverse[-1] @ design.T) * (fit.weight * fit.residual / fit.variance)
    n, p = data.intensity.size, len(free)
    single = float(np.sum(score**2)) * n / max(n - p, 1)
    labels = [data.cluster] if data.cluster.size else [_blocks(n, count) for count in _CLUSTERS]
    clustered = max(_over_clusters(score, of, p) for of in labels)
    noise = float(np.sum((response * data.noise) ** 2))
    through = jacobian[:, 0]
    by_distance = -fit.extinction * through * (fit.airlight * data.airlight - fit.surface)
    each = float(np.sum((response * by_distance * data.distance_sigma) ** 2))
    common = float(np.sum((data.patterns @ (response * by_distance)) ** 2))
    airlight = abs(float(response @ jacobian[:, 1])) * (limits.airlight_uncertainty if data.is_airlight_known else 0)
    span = np.ptp(data.distance)
    lever = (data.distance - data.distance.mean()) / span
    trend = abs(float(response @ (fit.surface * through * lever))) * limits.surface_trend
    return ExtinctionErrors(
        noise=float(np.sqrt(noise)),
        ground=float(np.sqrt(max(single, clustered) - min(noise, max(single, clustered)))),
        distance=float(np.sqrt(each + common)),
        airlight=airlight,
        trend=trend,
    )
