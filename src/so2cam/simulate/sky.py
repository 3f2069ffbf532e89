"""The sky behind the plume: how bright it is, by wavelength, place and time, and the clouds on it.

Its logarithm is a quadratic surface in u and v, which run from -1 to 1 over the image; the surface's coefficients are
linear in wavelength.
"""

import math
from typing import Final

import cv2
import numpy as np
import numpy.typing as npt

from so2cam.core.records import FloatArray
from so2cam.core.site import Optics
from so2cam.simulate.scenario import Clouds, Scenario

Coefficients = tuple[float, float, float, float, float, float]

_ON_NM: Final = 310.0
_OFF_NM: Final = 330.0
# Coefficients of the logarithm of the sky, of 1, u, v, u^2, uv, v^2, at 310 and at 330 nm.
_GRADIENT: Final[tuple[Coefficients, Coefficients]] = (
    (0.0, 0.06, 0.05, -0.03, 0.010, -0.02),
    (0.0, 0.05, 0.08, -0.02, 0.015, -0.03),
)
_DIFFERENCE: Final[tuple[Coefficients, Coefficients]] = (
    (0.030, 0.05, 0.12, -0.020, 0.015, 0.03),
    (0.015, 0.03, 0.07, -0.015, 0.010, 0.02),
)
_DRIFT_PER_HOUR: Final[tuple[Coefficients, Coefficients]] = (
    (0.06, 0.03, 0.020, 0.010, 0.000, -0.010),
    (0.05, 0.02, 0.030, 0.005, 0.005, 0.000),
)
_DAY_S: Final = 86400.0
_TEXTURE_PX: Final = 1024


def drift_hours(time_s: float) -> float:
    """Return the time [h] that the sky's drift is multiplied with: that since the start, in the end back and forth."""
    return _DAY_S / (2 * math.pi) * math.sin(2 * math.pi * time_s / _DAY_S) / 3600


class SkySurface:
    """The sky's logarithmic brightness relative to the image's centre, of one wavelength, at given pixels."""

    def __init__(self, scenario: Scenario, optics: Optics, x: FloatArray, y: FloatArray, wavelength_nm: float) -> None:
        """``x``, ``y``: on-band coordinates, any common shape."""
        sky = scenario.sky
        u = (x - (optics.width_px - 1) / 2) / (optics.width_px / 2)
        v = (y - (optics.height_px - 1) / 2) / (optics.height_px / 2)
        self.clear = sky.gradient * _surface(_at(_GRADIENT, wavelength_nm), u, v)
        self.behind_plume = self.clear + sky.difference * _surface(_at(_DIFFERENCE, wavelength_nm), u, v)
        self.drift_per_hour = sky.drift * _surface(_at(_DRIFT_PER_HOUR, wavelength_nm), u, v)


def _at(pair: tuple[Coefficients, Coefficients], wavelength_nm: float) -> Coefficients:
    share = (min(max(wavelength_nm, 290.0), 360.0) - _ON_NM) / (_OFF_NM - _ON_NM)
    values = [on + share * (off - on) for on, off in zip(*pair, strict=True)]
    return values[0], values[1], values[2], values[3], values[4], values[5]


def _surface(coefficients: Coefficients, u: FloatArray, v: FloatArray) -> FloatArray:
    """Return a quadratic surface in u and v, of their shape."""
    terms = (np.ones_like(u), u, v, u**2, u * v, v**2)
    total = np.zeros_like(u)
    for coefficient, term in zip(coefficients, terms, strict=True):
        total += coefficient * term
    return total


class CloudLayer:
    """Clouds that drift over the sky: a random pattern that repeats itself far outside the image."""

    def __init__(self, clouds: Clouds, seed: int) -> None:
        self._clouds = clouds
        rng = np.random.default_rng([seed, 6])
        k_y, k_x = np.meshgrid(np.fft.fftfreq(_TEXTURE_PX), np.fft.rfftfreq(_TEXTURE_PX), indexing="ij")
        k = np.hypot(1.7 * k_x, k_y)  # clouds are longer than high
        size = clouds.size_px
        amplitude = 1 / (1 + (k * size * math.pi) ** 2) ** 1.05
        white = np.fft.rfft2(rng.standard_normal((_TEXTURE_PX, _TEXTURE_PX)))
        field = np.fft.irfft2(white * amplitude, s=(_TEXTURE_PX, _TEXTURE_PX))
        level = np.quantile(field, 1 - clouds.cover) if clouds.cover < 1 else field.min() - field.std()
        depth = (field - level) / field.std()
        self._pattern = np.asarray(1 - np.exp(-1.5 * np.maximum(depth, 0)), np.float32)

    def contrast(self, wavelength_nm: float) -> float:
        """Return the logarithm of how much brighter than the sky thick cloud is."""
        clouds = self._clouds
        share = (min(max(wavelength_nm, 290.0), 360.0) - _ON_NM) / (_OFF_NM - _ON_NM)
        return clouds.contrast * (clouds.on_over_off + share * (1 - clouds.on_over_off))

    def thickness(self, x: npt.NDArray[np.float32], y: npt.NDArray[np.float32], time_s: float) -> FloatArray:
        """Return how thick the cloud is, 0 to 1, at on-band coordinates, of their shape (which has two dimensions)."""
        speed = self._clouds.speed_px_s
        shift_x, shift_y = (math.fmod(value * time_s, _TEXTURE_PX) for value in speed)
        size = np.float32(_TEXTURE_PX)
        at_x, at_y = np.mod(x - np.float32(shift_x), size), np.mod(y - np.float32(shift_y), size)
        return np.asarray(cv2.remap(self._pattern, at_x, at_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_WRAP))
