"""Plumes whose motion is known exactly: absorbance images from closed formulae, at any time, to the last digit.

A plume has an axis; ``s`` [px] runs along it and ``n`` [px] across, both 0 where the line crosses the axis. Gas moves
at ``v + a n`` along the axis and ``g n`` across it [px per image], and the absorbance is

    A(s, n, t) = A0 e^(-g s / v) exp(-(n / w)^2 / 2) (1 + c T(s - (v + a n) t, n e^(-g t))),   w = w0 e^(g s / v)

where a or g is 0. Both parts solve the continuity equation, so nothing but motion changes the plume: it thins out as it
widens. T is a sum of plane waves, hence exact at every place, and its phases are linear in x and y, hence fast.
"""

from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import numpy.typing as npt

from so2cam.core.records import FloatArray, FloatImage

_WAVES: Final = 160
SHAPE: Final = (320, 320)


@dataclass(frozen=True, slots=True)
class Scene:
    """A kind of plume. Lengths in pixels, speeds in pixels per image, absorbances as they are.

    ``texture_px`` are sizes (Gaussian sigma of the blur that makes such a field of white noise) of parts of equal
    variance; ``waves_px`` instead gives the range of wavelengths, with crests across the axis within 35 degrees.
    """

    name: str
    absorbance: float = 0.3
    noise: float = 0.010
    contrast: float = 0.3
    texture_px: tuple[float, ...] = (5.0, 12.0)
    waves_px: tuple[float, float] | None = None
    width_px: float = 32.0
    shear: float = 0.0
    """a w0 / v: relative excess of speed at one width beside the axis"""
    opening: float = 0.0
    """g w0 / v: slope of the paths at one width beside the axis"""
    direction_deg: tuple[float, float] = (0.0, 360.0)
    speed_px: tuple[float, float] = (1.0, 6.0)


SCENES: Final = (
    Scene("fair texture"),
    Scene("smooth and noisy", noise=0.0125, contrast=0.12, waves_px=(60.0, 100.0), opening=0.05),
    Scene("weak, 100 ppm m", absorbance=0.04),
    Scene("shear", shear=0.25),
    Scene("through 180 degrees", opening=0.15, direction_deg=(177.0, 183.0)),
)


@dataclass(frozen=True, slots=True)
class Line:
    """Samples of a straight line, (N,), one pixel apart, its ends, and its unit normal on the side of travel."""

    x: FloatArray
    y: FloatArray
    start: tuple[float, float]
    end: tuple[float, float]
    normal: tuple[float, float]


class Plume:
    """One plume of a kind of scene: its texture, direction and speed drawn with ``seed``."""

    def __init__(
        self, scene: Scene, seed: int, *, shape: tuple[int, int] = SHAPE, speed_px: float | None = None
    ) -> None:
        self.scene, self.shape, self.seed = scene, shape, seed
        self._rng = np.random.default_rng([seed, 20])
        rng = self._rng
        drawn = rng.uniform(*scene.speed_px)
        self.speed_px = drawn if speed_px is None else speed_px
        angle = np.radians(rng.uniform(*scene.direction_deg))
        self.direction_deg = float(np.degrees(angle))
        self.along = (float(np.sin(angle)), float(-np.cos(angle)))
        self.across = (-self.along[1], self.along[0])
        self.centre = ((shape[1] - 1) / 2 + rng.uniform(-0.5, 0.5), (shape[0] - 1) / 2 + rng.uniform(-0.5, 0.5))
        self._tilt = np.radians(rng.uniform(-15, 15))
        self._a = scene.shear * self.speed_px / scene.width_px
        self._g = scene.opening * self.speed_px / scene.width_px
        if scene.waves_px is None:
            size = np.resize(np.array(scene.texture_px), _WAVES)
            self._ks, self._kn = rng.standard_normal((2, _WAVES)) / (np.sqrt(2) * size)
        else:
            number = 2 * np.pi / rng.uniform(*scene.waves_px, _WAVES)
            turn = np.radians(35) * rng.uniform(-1, 1, _WAVES)
            self._ks, self._kn = number * np.cos(turn), number * np.sin(turn)
        self._phase = rng.uniform(0, 2 * np.pi, _WAVES)
        self._noise = np.random.SeedSequence([seed, 21])

    def line(self, offset_px: float = 0.0, half_length_px: float | None = None) -> Line:
        """The line across the plume, ``offset_px`` further along the axis, a little oblique."""
        half = 2.7 * self.scene.width_px if half_length_px is None else half_length_px
        normal = (
            np.cos(self._tilt) * self.along[0] + np.sin(self._tilt) * self.across[0],
            np.cos(self._tilt) * self.along[1] + np.sin(self._tilt) * self.across[1],
        )
        tangent = np.array([-normal[1], normal[0]])
        middle = np.array(self.centre) + offset_px * np.array(self.along)
        step = np.arange(-half + 0.5, half)
        x, y = (middle[:, None] + tangent[:, None] * step).astype(np.float64)
        start, end = middle - half * tangent, middle + half * tangent
        return Line(x, y, (start[0], start[1]), (end[0], end[1]), (float(normal[0]), float(normal[1])))

    def _texture_phases(self, time: float) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Coefficients (waves,) of x, y and 1 in the phases."""
        by_n = self._kn * np.exp(-self._g * time) - self._ks * self._a * time
        of_x = self._ks * self.along[0] + by_n * self.across[0]
        of_y = self._ks * self.along[1] + by_n * self.across[1]
        constant = self._phase - self._ks * self.speed_px * time - of_x * self.centre[0] - of_y * self.centre[1]
        return of_x, of_y, constant

    def _envelope(self, x: FloatArray, y: FloatArray) -> FloatArray:
        dx, dy = x - self.centre[0], y - self.centre[1]
        s, n = dx * self.along[0] + dy * self.along[1], dx * self.across[0] + dy * self.across[1]
        growth = np.exp(self._g / self.speed_px * s)
        return np.asarray(self.scene.absorbance / growth * np.exp(-0.5 * (n / (self.scene.width_px * growth)) ** 2))

    def at(self, x: FloatArray, y: FloatArray, time: float) -> FloatArray:
        """Absorbance (N,) without noise at points (N,)."""
        of_x, of_y, constant = self._texture_phases(time)
        texture = np.cos(x[:, None] * of_x + y[:, None] * of_y + constant).sum(axis=1) * np.sqrt(2 / _WAVES)
        return np.asarray(self._envelope(x, y) * (1 + self.scene.contrast * texture))

    def clean(self, time: float) -> FloatArray:
        """Absorbance (rows, columns) without noise."""
        of_x, of_y, constant = self._texture_phases(time)
        x, y = np.arange(float(self.shape[1])), np.arange(float(self.shape[0]))
        left = np.exp(1j * (y[:, None] * of_y + constant))
        right = np.exp(1j * (of_x[:, None] * x))
        texture = (left.real @ right.real - left.imag @ right.imag) * np.sqrt(2 / _WAVES)
        return np.asarray(self._envelope(x[None, :], y[:, None]) * (1 + self.scene.contrast * texture))

    def image(self, time: int) -> FloatImage:
        """What the camera shows: with noise, another one at every time."""
        rng = np.random.default_rng([time + 1000, *self._noise.generate_state(2)])
        noise = self.scene.noise * rng.standard_normal(self.shape)
        return (self.clean(time) + noise).astype(np.float32)

    def motion_at(self, x: FloatArray, y: FloatArray) -> FloatArray:
        """Displacement (N, 2) of the gas at points (N,) until the next image."""
        n = (x - self.centre[0]) * self.across[0] + (y - self.centre[1]) * self.across[1]
        along, across = self.speed_px + self._a * n, n * np.expm1(self._g)
        return np.stack([along * self.along[i] + across * self.across[i] for i in (0, 1)], axis=-1)

    def speed_through(self, line: Line, time: float = 0.0) -> float:
        """Mean motion along the line's normal, weighted with what is there."""
        weight = self.at(line.x, line.y, time)
        return float(np.sum(weight * (self.motion_at(line.x, line.y) @ np.array(line.normal))) / np.sum(weight))


def scene(name: str, **changes: object) -> Scene:
    """The scene of this name, with changes."""
    return replace(next(one for one in SCENES if one.name == name), **changes)  # type: ignore[arg-type]


def everywhere(shape: tuple[int, int] = SHAPE) -> npt.NDArray[np.bool_]:
    """A mask that masks nothing."""
    return np.ones(shape, np.bool_)
