"""What makes the wind more than a steady stream along the axis: gusts and eddies, both exact.

*Gusts*: the whole stream's speed is multiplied by ``g(t)``. Everything that the steady stream does in the time
``tau(t)``, the integral of ``g``, the gusting one does in ``t``.

*Eddies*: the plane is deformed, at every time, by a chain of shears. Each moves every point along a unit vector
``e`` by ``f(c, tau)``, where ``c`` is the point's coordinate perpendicular to ``e``; f is a sum of sines. A shear
moves no point in c, so that it is undone exactly by the opposite one, and its Jacobian is 1: areas stay, and so do
columns. A gas that moves with velocity V moves, after the shear, with ``V + e (f_c V_c + f_t)``: a velocity field that
has the divergence of the undeformed one. A stream without divergence stays without, whatever the eddies do.
"""

import math
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from so2cam.core.records import FloatArray

_SHEARS: Final = 5
_MODES: Final = 2
_STEEPNESS: Final = 0.2
"""Amplitude times wavenumber of each mode"""
_TABLE_STEP_M: Final = 1.0
_GUST_MODES: Final = 4


@dataclass(frozen=True, slots=True)
class Gusts:
    """The factor ``g(t) = 1 + sum a sin(w t + p)``, and its integral. Arrays have shape (modes,)."""

    amplitude: float
    frequencies: FloatArray
    phases: FloatArray

    def factor(self, time_s: FloatArray | float) -> FloatArray:
        """Return g, of the shape of ``time_s`` [s]."""
        angle = np.multiply.outer(np.asarray(time_s, np.float64), self.frequencies) + self.phases
        return np.asarray(1 + self.amplitude * np.sin(angle).sum(axis=-1), np.float64)

    def stream_time(self, time_s: FloatArray | float) -> FloatArray:
        """Return tau [s], the integral of g from 0, of the shape of ``time_s`` [s]."""
        time = np.asarray(time_s, np.float64)
        angle = np.multiply.outer(time, self.frequencies) + self.phases
        integral = (np.cos(self.phases) - np.cos(angle)) / self.frequencies
        return np.asarray(time + self.amplitude * integral.sum(axis=-1), np.float64)

    def clock_time(self, stream_time_s: FloatArray) -> FloatArray:
        """Return the time [s] at which ``stream_time`` is what is given; to a nanosecond, by Newton's method."""
        time = np.array(stream_time_s, np.float64)
        if self.amplitude == 0:
            return time
        for _ in range(40):
            step = (self.stream_time(time) - stream_time_s) / self.factor(time)
            time -= step
            if np.max(np.abs(step), initial=0.0) < 1e-9:
                break
        return time


def build_gusts(relative: float, rng: np.random.Generator) -> Gusts:
    """Return gusts with a relative standard deviation of ``relative`` (below 0.35: then g stays positive)."""
    periods = np.geomspace(25, 140, _GUST_MODES) * rng.uniform(0.9, 1.1, _GUST_MODES)
    phases = rng.uniform(0, 2 * np.pi, _GUST_MODES)
    return Gusts(relative * math.sqrt(2 / _GUST_MODES), 2 * np.pi / periods, phases)


@dataclass(frozen=True, slots=True)
class Shear:
    """One shear: ``e`` is ``(cos, sin)`` of the direction in (a, z), ``c`` runs along ``(-sin, cos)``.

    ``f(c, tau) = sum A sin(k c - w tau + p)``; arrays have shape (modes,).
    """

    cos: float
    sin: float
    amplitudes_m: FloatArray
    wavenumbers: FloatArray
    frequencies: FloatArray
    phases: FloatArray

    def coordinate(self, a: npt.NDArray[Any], z: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Return c [m]."""
        return z * self.cos - a * self.sin

    def displacement(self, c: FloatArray, tau_s: float) -> FloatArray:
        """Return f [m]."""
        return np.asarray(sum(A * np.sin(k * c - w * tau_s + p) for A, k, w, p in self._modes()), np.float64)

    def slopes(self, c: FloatArray, tau_s: float) -> tuple[FloatArray, FloatArray]:
        """Return df/dc and df/dtau [m s-1]."""
        along, change = np.zeros_like(c), np.zeros_like(c)
        for A, k, w, p in self._modes():
            wave = A * np.cos(k * c - w * tau_s + p)
            along += k * wave
            change -= w * wave
        return along, change

    def _modes(self) -> "zip[tuple[float, float, float, float]]":
        columns = (self.amplitudes_m, self.wavenumbers, self.frequencies, self.phases)
        return zip(*(column.tolist() for column in columns), strict=True)


@dataclass(frozen=True, slots=True)
class Eddies:
    """A chain of shears, the first applied first."""

    shears: tuple[Shear, ...]

    @property
    def reach_m(self) -> float:
        """No point is moved farther than this [m]."""
        return float(sum(np.sum(shear.amplitudes_m) for shear in self.shears))

    def undo(self, a: FloatArray, z: FloatArray, tau_s: float) -> tuple[FloatArray, FloatArray]:
        """Return where points would be without the eddies: (a, z) [m]."""
        for shear in reversed(self.shears):
            move = shear.displacement(shear.coordinate(a, z), tau_s)
            a, z = a - move * shear.cos, z - move * shear.sin
        return a, z

    def undo_by_table(
        self, a: npt.NDArray[np.float32], z: npt.NDArray[np.float32], tau_s: float
    ) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
        """Return the same to a centimetre, faster: sines are read from tables with a step of 1 m."""
        for shear in reversed(self.shears):
            c = shear.coordinate(a, z)
            first = math.floor(float(c.min())) - 1.0
            steps = math.ceil((float(c.max()) - first) / _TABLE_STEP_M) + 2
            grid: FloatArray = first + _TABLE_STEP_M * np.arange(steps, dtype=np.float64)
            table = shear.displacement(grid, tau_s).astype(np.float32)
            c -= np.float32(first)
            at = c.astype(np.int32)
            c -= at
            move = table[at]
            move += c * np.diff(table)[at]
            a, z = a - move * np.float32(shear.cos), z - move * np.float32(shear.sin)
        return a, z

    def carry(
        self, a: FloatArray, z: FloatArray, velocity: tuple[FloatArray, FloatArray], tau_s: float
    ) -> tuple[FloatArray, FloatArray]:
        """Return the velocity (a, z), per unit of tau, of gas that without eddies is at (``a``, ``z``)."""
        v_a, v_z = velocity
        for shear in self.shears:
            c = shear.coordinate(a, z)
            move = shear.displacement(c, tau_s)
            along, change = shear.slopes(c, tau_s)
            extra = along * (v_z * shear.cos - v_a * shear.sin) + change
            v_a, v_z = v_a + extra * shear.cos, v_z + extra * shear.sin
            a, z = a + move * shear.cos, z + move * shear.sin
        return v_a, v_z


def build_eddies(
    relative: float, eddy_m: float, stream: tuple[float, float], rng: np.random.Generator
) -> Eddies | None:
    """Return eddies with fluctuations of about ``relative`` times the speed of the ``stream`` (a, z) [m s-1].

    They drift with the stream and grow and decay against it; their wavelengths lie around ``eddy_m``. None for 0.
    """
    if relative == 0:
        return None
    speed = math.hypot(*stream)
    # Each mode moves gas at steepness times the speed at which its phase overtakes the gas; half goes each way.
    overtaking = relative * speed * math.sqrt(2) / (_STEEPNESS * math.sqrt(_SHEARS * _MODES / 2))
    start = rng.uniform(0, np.pi)
    shears = []
    for number in range(_SHEARS):
        turn = start + np.pi * (number + rng.uniform(-0.3, 0.3)) / _SHEARS
        wavelengths = eddy_m * np.geomspace(1.7, 0.6, _MODES) * rng.uniform(0.8, 1.25, _MODES)
        wavenumbers = 2 * np.pi / wavelengths
        across = stream[1] * math.cos(turn) - stream[0] * math.sin(turn)
        against = overtaking * rng.choice([-1.0, 1.0], _MODES) * rng.uniform(0.8, 1.2, _MODES)
        shears.append(
            Shear(
                cos=math.cos(turn),
                sin=math.sin(turn),
                amplitudes_m=_STEEPNESS / wavenumbers,
                wavenumbers=wavenumbers,
                frequencies=wavenumbers * (across + against),
                phases=rng.uniform(0, 2 * np.pi, _MODES),
            )
        )
    return Eddies(tuple(shears))
