"""The plume: an exact solution of the continuity equation, so that its emission rate is known exactly.

In the plume plane the axis of a stream is straight; ``s`` [m] runs along it, ``n`` [m] across, the half-width grows as
``w(s) = w0 + c s``, and gas keeps its ``eta = n / w``. It moves along the axis with ``v_s = v (1 + shear eta)`` times
1 (the plume entrains air) or ``w_ref / w`` (no divergence in the plane), and across with ``v_n = v_s c eta``. With
``T(s, eta)``, the time from s = 0 on, every parcel keeps ``theta = t - T``, and

    D(s, n, t) = F(theta, eta) / (v_s w)        [kg m-2 of the plane]

solves ``dD/dt + div(D v) = 0`` for any F. Here ``F = Q(theta) g(eta, theta)`` with the integral of g over eta equal
to 1, so that Q [kg s-1] leaves the vent. F is by definition the bilinear interpolation of a table, which images and
truth both read. Gusts put ``tau(t)`` in the place of t, and eddies deform the plane (``wind``): both stay exact.
The plumes of two vents are added.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from so2cam.core.constants import KG_M2_PER_MOLEC_CM2
from so2cam.core.records import FloatArray
from so2cam.simulate.emission import Emission
from so2cam.simulate.scenario import EmissionSource, Scenario
from so2cam.simulate.texture import BLOCK_ROWS, Rows, smooth_noise, smooth_series
from so2cam.simulate.wind import Eddies, Gusts, build_eddies, build_gusts

_STEP_M: Final = 2.0
"""Distance of the table's rows along the axis, where the speed is that of the scenario [m]"""
_COLUMNS: Final = 161
"""Number of the table's columns, over eta from -1 to 1"""
_BLOCKS_KEPT: Final = 24
_HIDDEN_M: Final = 120.0
"""Length of axis inside the crater, behind its rim [m]"""
_CORE: Final = 0.8
"""Half-width of the instantaneous plume, in eta; the rest is room for its meanders"""
_COARSE: Final = 2.4
"""Size of the coarse texture over that of the fine one"""
_MEANDER_S: Final = 14.0

Velocity = tuple[FloatArray, FloatArray]


@dataclass(frozen=True, slots=True)
class PlumeAxis:
    """The straight axis of a stream. ``origin`` [m] and the unit vectors are (a, z) in the plume plane.

    ``speed_m_s`` holds on the axis where the half-width is ``reference_m``; with ``slowing`` it goes with 1/half-width.
    ``shear`` is the relative change of speed from eta = 0 to 1.
    """

    origin: tuple[float, float]
    along: tuple[float, float]
    across: tuple[float, float]
    speed_m_s: float
    half_width_m: float
    opening: float
    reference_m: float
    slowing: bool = False
    shear: float = 0.0

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

    def speed(self, eta: FloatArray, width: FloatArray) -> FloatArray:
        """Return v_s [m s-1], without gusts."""
        speed = self.speed_m_s * (1 + self.shear * np.clip(eta, -1, 1))
        return speed * (self.reference_m / width) if self.slowing else speed

    def delay(self, s: FloatArray, eta: FloatArray, width: FloatArray) -> FloatArray:
        """Return T [s], without gusts."""
        path = s * (self.half_width_m + width) / (2 * self.reference_m) if self.slowing else s
        return np.asarray(path / (self.speed_m_s * (1 + self.shear * np.clip(eta, -1, 1))))

    def velocity(self, a: FloatArray, z: FloatArray) -> Velocity:
        """Return the velocity (a, z) [m s-1] without gusts; outside the plume that which gas would have there."""
        s, eta, width = self.coordinates(a, z)
        eta = np.where(s >= 0, eta, 0.0)
        speed = self.speed(eta, width)
        side = self.opening * eta
        return (
            speed * (self.along[0] + side * self.across[0]),
            speed * (self.along[1] + side * self.across[1]),
        )


def build_axes(scenario: Scenario) -> tuple[PlumeAxis, ...]:
    """Return the axes of the plumes that leave the vent (0, 0), and the second one, from inside the crater."""
    shape, second = scenario.plume, scenario.second_vent
    side = -1.0 if shape.toward == "left" else 1.0
    vents = [(0.0, shape.inclination_deg, shape.half_width_m, shape.speed_m_s)]
    if second is not None:
        speed = shape.speed_m_s * second.speed_factor
        vents.append((second.right_m, second.inclination_deg, second.half_width_m, speed))
    axes = []
    for right_m, inclination_deg, half_width, speed in vents:
        angle = math.radians(inclination_deg)
        along = (side * math.cos(angle), math.sin(angle))
        axis = PlumeAxis(
            origin=(right_m - _HIDDEN_M * along[0], -_HIDDEN_M * along[1]),
            along=along,
            across=(-along[1] * side, along[0] * side),  # upward: eta = 1 is the upper edge
            speed_m_s=speed,
            half_width_m=half_width,
            opening=shape.opening,
            reference_m=half_width + shape.opening * (scenario.lines.upstream_distance_m + _HIDDEN_M),
            slowing=shape.spreading == "divergence-free",
            shear=scenario.wind.shear,
        )
        axes.append(axis)
    return tuple(axes)


class Stream:
    """The SO2 of one vent, at any time, along its axis."""

    def __init__(
        self,
        axis: PlumeAxis,
        source: EmissionSource,
        share: float,
        gusts: Gusts,
        *,
        texture_width_m: float,
        key: tuple[int, ...],
    ) -> None:
        """``texture_width_m`` [m]: the half-width at which texture has its nominal size across the axis."""
        self.axis = axis
        self.row_step_s = _STEP_M / axis.speed_m_s
        """Rows of the table are so far apart in tau; row 0 left at tau = 0"""
        self._gusts = gusts
        self._source = source
        self._emission = Emission(source, share, key)
        self._texture_width_m = texture_width_m
        self._key = key
        self._rows = Rows(self._make, keep=_BLOCKS_KEPT)

    def emission_rate(self, time_s: FloatArray) -> FloatArray:
        """Return what leaves the vent [kg s-1] at times [s]."""
        return self._emission.rate(time_s)

    def table(self, first: int, last: int) -> tuple[npt.NDArray[np.float32], int]:
        """Return rows of F [kg s-1 per unit of eta, and per unit of g], and the number of the first of them."""
        return self._rows.window(first, last + 1)

    @property
    def columns(self) -> int:
        """Number of the table's columns."""
        return _COLUMNS

    def _make(self, block: int) -> npt.NDArray[np.float32]:
        source, step = self._source, self.row_step_s
        tau = step * (block * BLOCK_ROWS + np.arange(BLOCK_ROWS, dtype=np.float64))
        time = self._gusts.clock_time(tau)
        rate = self._emission.rate(time) / self._gusts.factor(time)
        eta = np.linspace(-1, 1, _COLUMNS)
        shift = (1 - _CORE) * np.tanh(0.5 * smooth_series(block, _MEANDER_S / step, (*self._key, 3)))
        core = (eta[np.newaxis, :] - shift[:, np.newaxis]) / _CORE
        section = np.clip(1 - core**4, 0, None) ** 1.5
        texture = np.zeros((BLOCK_ROWS, _COLUMNS))
        for number, factor in enumerate((1.0, _COARSE)):
            size_m = factor * source.texture_length_m
            sigma = (size_m / _STEP_M, size_m / self._texture_width_m * (_COLUMNS - 1) / 2)
            texture += smooth_noise(block, sigma, _COLUMNS, (*self._key, 4 + number)) / math.sqrt(2)
        section *= np.exp(source.texture_contrast * texture)
        section[:, [0, -1]] = 0
        section /= section.sum(axis=1, keepdims=True) * (eta[1] - eta[0])
        return (rate[:, np.newaxis] * section).astype(np.float32)

    def density(self, a: FloatArray, z: FloatArray, tau_s: float) -> FloatArray:
        """Return D [kg m-2 of the plane] at points of the plane without eddies."""
        s, eta, width = self.axis.coordinates(a, z)
        inside = np.abs(eta) < 1
        total = np.zeros(np.shape(eta))
        if not np.any(inside):
            return total
        s, eta, width = s[inside], eta[inside], width[inside]
        row = (tau_s - self.axis.delay(s, eta, width)) / self.row_step_s
        table, first = self.table(math.floor(float(row.min())), math.floor(float(row.max())) + 1)
        column = (eta + 1) * (_COLUMNS - 1) / 2
        i = np.floor(row).astype(np.int64) - first
        j = np.minimum(np.floor(column), _COLUMNS - 2).astype(np.int64)
        p, q = row - first - i, column - j
        early = (1 - q) * table[i, j] + q * table[i, j + 1]
        late = (1 - q) * table[i + 1, j] + q * table[i + 1, j + 1]
        total[inside] = ((1 - p) * early + p * late) / (self.axis.speed(eta, width) * width)
        return total


@dataclass(frozen=True, slots=True)
class PlumeField:
    """The SO2 in the plume plane, and how it moves, at any time [s] since the sequence's start."""

    streams: tuple[Stream, ...]
    gusts: Gusts
    eddies: Eddies | None

    @property
    def axis(self) -> PlumeAxis:
        """The axis of the first vent's plume."""
        return self.streams[0].axis

    def density(self, a: FloatArray, z: FloatArray, time_s: float) -> FloatArray:
        """Return D [kg m-2 of the plane] at points of the plane, all vents together."""
        tau = float(self.gusts.stream_time(time_s))
        if self.eddies is not None:
            a, z = self.eddies.undo(a, z, tau)
        return np.asarray(sum(stream.density(a, z, tau) for stream in self.streams), np.float64)

    def flux(self, a: FloatArray, z: FloatArray, time_s: float) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Return D [kg m-2] and its flux D v (a, z) [kg m-1 s-1] at points of the plane, all vents together."""
        tau, factor = float(self.gusts.stream_time(time_s)), float(self.gusts.factor(time_s))
        if self.eddies is not None:
            a, z = self.eddies.undo(a, z, tau)
        density, flux_a, flux_z = (np.zeros(np.shape(a)) for _ in range(3))
        for stream in self.streams:
            part = stream.density(a, z, tau)
            v_a, v_z = self._carried(stream, a, z, tau)
            density += part
            flux_a += part * v_a * factor
            flux_z += part * v_z * factor
        return density, flux_a, flux_z

    def velocity(self, a: FloatArray, z: FloatArray, time_s: float, stream: int = 0) -> Velocity:
        """Return the velocity (a, z) [m s-1] of one vent's gas at points of the plane."""
        tau, factor = float(self.gusts.stream_time(time_s)), float(self.gusts.factor(time_s))
        if self.eddies is not None:
            a, z = self.eddies.undo(a, z, tau)
        v_a, v_z = self._carried(self.streams[stream], a, z, tau)
        return v_a * factor, v_z * factor

    def _carried(self, stream: Stream, a: FloatArray, z: FloatArray, tau_s: float) -> Velocity:
        velocity = stream.axis.velocity(a, z)
        return velocity if self.eddies is None else self.eddies.carry(a, z, velocity, tau_s)

    def slant_columns(self, a: FloatArray, z: FloatArray, slant: FloatArray, time_s: float) -> FloatArray:
        """Return slant columns [molecules cm-2]; ``slant``: cosine between line of sight and the plane's normal."""
        return np.asarray(self.density(a, z, time_s) / slant / KG_M2_PER_MOLEC_CM2)


def build_plume(scenario: Scenario, seed: int) -> PlumeField:
    """Return the plume of ``scenario``, of which every chance is drawn from ``seed``."""
    key: Sequence[int] = (seed, 0)
    wind = scenario.wind
    axes = build_axes(scenario)
    gusts = build_gusts(wind.gusts, np.random.default_rng([*key, 100]))
    main = axes[0]
    stream = (main.speed_m_s * main.along[0], main.speed_m_s * main.along[1])
    eddies = build_eddies(wind.turbulence, wind.eddy_m, stream, np.random.default_rng([*key, 101]))
    share = scenario.second_vent.share if scenario.second_vent is not None else 0.0
    shares = (1.0,) if len(axes) == 1 else (1 - share, share)
    streams = tuple(
        Stream(axis, scenario.emission, part, gusts, texture_width_m=axis.reference_m, key=(*key, number))
        for number, (axis, part) in enumerate(zip(axes, shares, strict=True))
    )
    return PlumeField(streams, gusts, eddies)
