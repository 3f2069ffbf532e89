"""The plume: an exact solution of the continuity equation, so that its emission rate is known exactly.

In the plume plane the axis is straight; ``s`` [m] runs along it, ``n`` [m] across, and the half-width grows as
``w(s) = w0 + c s``. Gas moves at ``v_s = v`` along and ``v_n = v c n / w`` across, so that ``eta = n / w`` and
``theta = t - s / v`` stay what they are for every parcel. Then

    D(s, n, t) = F(theta, eta) / w(s)        [kg m-2 of the plane]

solves ``dD/dt + div(D v) = 0`` for any F. Here ``F = Q(theta) / v * g(theta, eta)`` with the integral of g over eta
equal to 1, so the emission rate through every section across the axis is ``Q(t - s / v)`` [kg s-1]. F is by
definition the bilinear interpolation of a table; images and truth read the same table.
"""

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
from scipy.ndimage import gaussian_filter, gaussian_filter1d

from so2cam.core.constants import KG_M2_PER_MOLEC_CM2
from so2cam.core.errors import InputError
from so2cam.core.records import FloatArray
from so2cam.simulate.geometry import SceneGeometry
from so2cam.simulate.scenario import EmissionSource, PlumeShape

_STEP_M: Final = 2.0
"""Distance of the table's rows along the axis [m]"""
_COLUMNS: Final = 161
"""Number of the table's columns, over eta from -1 to 1"""
_MAXIMUM_ROWS: Final = 150_000
"""Longest table: 100 MB, and several times that while it is made"""
_HIDDEN_M: Final = 120.0
"""Length of axis inside the crater, behind its rim [m]"""
_CORE: Final = 0.8
"""Half-width of the instantaneous plume, in eta; the rest is room for its meanders"""
_COARSE: Final = 2.4
"""Size of the coarse texture over that of the fine one"""


@dataclass(frozen=True, slots=True)
class PlumeAxis:
    """The straight axis of the plume. ``origin`` [m] and the unit vectors are (a, z) in the plume plane."""

    origin: tuple[float, float]
    along: tuple[float, float]
    across: tuple[float, float]
    speed_m_s: float
    half_width_m: float
    opening: float

    def position(self, distance_from_vent_m: float) -> tuple[float, float]:
        """Return (a, z) [m] of the axis at a distance from the vent."""
        s = distance_from_vent_m + _HIDDEN_M
        return self.origin[0] + s * self.along[0], self.origin[1] + s * self.along[1]

    def half_width_at(self, distance_from_vent_m: float) -> float:
        """Return the half-width [m] at a distance from the vent along the axis."""
        return self.half_width_m + self.opening * (distance_from_vent_m + _HIDDEN_M)

    def coordinates(self, a: FloatArray, z: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Return ``s`` [m], ``eta`` and the half-width ``w`` [m] of points of the plane.

        Before the axis begins there is no plume: eta is infinite there.
        """
        da, dz = a - self.origin[0], z - self.origin[1]
        s = da * self.along[0] + dz * self.along[1]
        n = da * self.across[0] + dz * self.across[1]
        width = self.half_width_m + self.opening * np.maximum(s, 0.0)
        return s, np.where(s >= 0, n / width, np.inf), width

    def velocity(self, a: FloatArray, z: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return the velocity (a, z) [m s-1] of the gas; outside the plume that which gas would have there."""
        s, eta, _ = self.coordinates(a, z)
        side = self.opening * np.where(s >= 0, eta, 0.0)
        return (
            self.speed_m_s * (self.along[0] + side * self.across[0]),
            self.speed_m_s * (self.along[1] + side * self.across[1]),
        )


def build_axis(shape: PlumeShape) -> PlumeAxis:
    """Return the axis of a plume that leaves the vent (0, 0) from inside the crater."""
    angle = math.radians(shape.inclination_deg)
    side = -1.0 if shape.toward == "left" else 1.0
    along = (side * math.cos(angle), math.sin(angle))
    return PlumeAxis(
        origin=(-_HIDDEN_M * along[0], -_HIDDEN_M * along[1]),
        along=along,
        across=(-along[1], along[0]),
        speed_m_s=shape.speed_m_s,
        half_width_m=shape.half_width_m,
        opening=shape.opening,
    )


@dataclass(frozen=True, slots=True)
class PlumeField:
    """The SO2 of a plume at any place and time within ``first_s`` to ``last_s`` [s] of the sequence's start.

    ``table`` [kg m-1] is F, shape (theta, eta), float32; row 0 is at theta ``theta_start_s``, rows are
    ``theta_step_s`` apart; columns run over eta from -1 to 1. ``emission_kg_s`` is Q at the rows.
    """

    axis: PlumeAxis
    table: npt.NDArray[np.float32]
    emission_kg_s: FloatArray
    theta_start_s: float
    theta_step_s: float
    first_s: float
    last_s: float

    def density(self, a: FloatArray, z: FloatArray, time_s: float) -> FloatArray:
        """Return D [kg m-2 of the plane] at points of the plane, ``time_s`` after the sequence's start."""
        self.require_time(time_s)
        s, eta, width = self.axis.coordinates(a, z)
        inside = np.abs(eta) <= 1
        row = (time_s - s / self.axis.speed_m_s - self.theta_start_s) / self.theta_step_s
        column = (np.where(inside, eta, 0.0) + 1) * (self.table.shape[1] - 1) / 2
        if np.any(inside & ((row < 0) | (row > self.table.shape[0] - 1))):
            raise ValueError("a point lies beyond the part of the plume that this table holds")
        i = np.clip(np.floor(row), 0, self.table.shape[0] - 2).astype(np.int64)
        j = np.minimum(np.floor(column), self.table.shape[1] - 2).astype(np.int64)
        p, q = row - i, column - j
        early = (1 - q) * self.table[i, j] + q * self.table[i, j + 1]
        late = (1 - q) * self.table[i + 1, j] + q * self.table[i + 1, j + 1]
        return np.where(inside, ((1 - p) * early + p * late) / width, 0.0)

    def require_time(self, time_s: float) -> None:
        """Raise ValueError for a time that the table does not hold."""
        if not self.first_s <= time_s <= self.last_s:
            raise ValueError(f"the plume is known from {self.first_s} to {self.last_s} s, not at {time_s} s")


def build_plume(
    axis: PlumeAxis,
    emission: EmissionSource,
    *,
    texture_width_m: float,
    longest_m: float,
    first_s: float,
    last_s: float,
    seeds: np.random.SeedSequence,
) -> PlumeField:
    """Return a random plume.

    ``texture_width_m`` [m] is the half-width at which texture has its nominal size across the axis; ``longest_m``
    [m] is the largest ``s`` that is ever looked at. The same seeds with a later ``last_s`` give the same plume, longer.
    Raises InputError for a sequence too long to hold.
    """
    step = _STEP_M / axis.speed_m_s
    start = first_s - longest_m / axis.speed_m_s - 4 * step
    rows = math.ceil((last_s - start) / step) + 4
    if rows > _MAXIMUM_ROWS:
        raise InputError(
            f"the sequence is too long for one simulation: {last_s - first_s:.0f} s",
            key="pairs",
            remedy=f"at this plume speed, simulate up to {0.9 * _MAXIMUM_ROWS * step:.0f} s at once",
        )
    q_seed, shift_seed, *texture_seeds = (np.random.default_rng(child) for child in seeds.spawn(4))
    theta: FloatArray = start + step * np.arange(rows, dtype=np.float64)
    rate = emission.mean_kg_s * _pulsation(theta, step, emission.pulsation, q_seed)
    eta = np.linspace(-1, 1, _COLUMNS)
    shift = (1 - _CORE) * np.tanh(0.5 * _smooth_series(rows, 14.0 / step, shift_seed))
    core = (eta[np.newaxis, :] - shift[:, np.newaxis]) / _CORE
    section = np.clip(1 - core**4, 0, None) ** 1.5
    texture = np.zeros((rows, _COLUMNS))
    for factor, rng in zip((1.0, _COARSE), texture_seeds, strict=True):
        size_m = factor * emission.texture_length_m
        sigma = (size_m / _STEP_M, size_m / texture_width_m * (_COLUMNS - 1) / 2)
        texture += _smooth_noise((rows, _COLUMNS), sigma, rng) / math.sqrt(2)
    section *= np.exp(emission.texture_contrast * texture)
    section[:, [0, -1]] = 0
    section /= section.sum(axis=1, keepdims=True) * (eta[1] - eta[0])
    table = (rate / axis.speed_m_s)[:, np.newaxis] * section
    return PlumeField(axis, table.astype(np.float32), rate, start, step, first_s, last_s)


def _pulsation(theta: FloatArray, step_s: float, contrast: float, rng: np.random.Generator) -> FloatArray:
    """Return positive factors with a mean near 1: puffs of 30 to 120 s, half periodic and half random."""
    periods = np.geomspace(30, 120, 6) * rng.uniform(0.9, 1.1, 6)
    phases = rng.uniform(0, 2 * np.pi, 6)
    waves = np.sin(2 * np.pi * theta[:, np.newaxis] / periods + phases).sum(axis=1) / math.sqrt(3)
    puffs = _smooth_series(theta.size, 12.0 / step_s, rng)
    factors: FloatArray = np.exp(contrast * (waves + puffs) / math.sqrt(2) - contrast**2 / 2)
    return factors


def _smooth_series(size: int, sigma: float, rng: np.random.Generator) -> FloatArray:
    """Return noise of unit variance, shape (size,), smoothed with a Gaussian of ``sigma`` samples."""
    pad = math.ceil(4 * sigma)
    smooth = gaussian_filter1d(rng.standard_normal(size + 2 * pad), sigma, mode="constant")
    return np.asarray(smooth[pad : pad + size] / _smoothed_deviation(sigma), np.float64)


def _smooth_noise(shape: tuple[int, int], sigma: tuple[float, float], rng: np.random.Generator) -> FloatArray:
    """Return noise of unit variance, smoothed with a Gaussian of ``sigma`` rows and columns."""
    pads = math.ceil(4 * sigma[0]), math.ceil(4 * sigma[1])
    noise = rng.standard_normal((shape[0] + 2 * pads[0], shape[1] + 2 * pads[1]))
    smooth = gaussian_filter(noise, sigma, mode="constant")
    cut = smooth[pads[0] : pads[0] + shape[0], pads[1] : pads[1] + shape[1]]
    return np.asarray(cut / (_smoothed_deviation(sigma[0]) * _smoothed_deviation(sigma[1])), np.float64)


def _smoothed_deviation(sigma: float) -> float:
    """Return the standard deviation that white noise of unit variance keeps after ``gaussian_filter1d``."""
    impulse = np.zeros(2 * math.ceil(5 * sigma) + 3)
    impulse[impulse.size // 2] = 1
    return float(np.sqrt(np.sum(gaussian_filter1d(impulse, sigma) ** 2)))


class PlumePixels:
    """One camera's pixels that the plume can reach, with all that does not change from frame to frame."""

    def __init__(self, field: PlumeField, geometry: SceneGeometry, x: FloatArray, y: FloatArray) -> None:
        """``x`` and ``y``: on-band coordinates of the camera's pixels, shape (rows, columns)."""
        points = geometry.to_plane(x, y)
        s, eta, width = field.axis.coordinates(points.a, points.z)
        inside = np.abs(eta) < 1
        columns = field.table.shape[1]
        column = (eta[inside] + 1) * (columns - 1) / 2
        left = np.minimum(np.floor(column), columns - 2)
        self._field = field
        self.index: npt.NDArray[np.int64] = np.flatnonzero(inside)
        """Flat indices of these pixels in the image"""
        self._left = left.astype(np.int64)
        self._share = (column - left).astype(np.float32)
        self._delay = (s[inside] / field.axis.speed_m_s / field.theta_step_s).astype(np.float32)
        slant = points.ray[1][inside]
        self._per_table = (1 / (width[inside] * slant * KG_M2_PER_MOLEC_CM2)).astype(np.float32)

    def columns(self, time_s: float) -> npt.NDArray[np.float32]:
        """Return slant columns [molecules cm-2] of the pixels ``index``, ``time_s`` after the sequence's start."""
        field = self._field
        field.require_time(time_s)
        whole, rest = divmod((time_s - field.theta_start_s) / field.theta_step_s, 1.0)
        row = np.float32(rest) - self._delay
        below = np.floor(row)
        p, q = row - below, self._share
        at = (below.astype(np.int64) + int(whole)) * field.table.shape[1] + self._left
        flat = field.table.ravel()
        early: npt.NDArray[np.float32] = flat[at]
        early += q * (flat[at + 1] - early)
        at += field.table.shape[1]
        late = flat[at]
        late += q * (flat[at + 1] - late)
        early += p * (late - early)
        early *= self._per_table
        return early
