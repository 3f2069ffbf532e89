"""The detector of a band camera: from light to counts.

    DN = offset + pattern + dark current * t + light * V(x, y)

Vignetting, dust and dark pattern V belong to the detector and stay with its pixels. Then shot noise and read noise are
added, and the counts are rounded.
"""

import math

import numpy as np
import numpy.typing as npt

from so2cam.core.records import Band, FloatArray, FloatImage
from so2cam.simulate.scenario import SensorModel

Counts = npt.NDArray[np.uint16]


class Detector:
    """Vignetting, dust, dark pattern and noise of one camera."""

    def __init__(self, band: Band, sensor: SensorModel, width: int, height: int) -> None:
        rng = np.random.default_rng([310 if band is Band.ON else 330, width, height])
        self._sensor = sensor
        self._dark_current = sensor.dark_current_dn_s if band is Band.ON else sensor.dark_current_off_dn_s
        y, x = np.mgrid[:height, :width].astype(np.float64)
        self._response = _response(x, y, sensor, rng).astype(np.float32)
        pattern = 0.7 * rng.standard_normal((height, width)) + 0.7 * rng.standard_normal((height, 1))
        self._bias = (sensor.offset_dn + sensor.dark_pattern_dn * pattern).astype(np.float32)

    def dark(self, exposure_s: float, gain: float = 1.0) -> FloatImage:
        """Return counts [DN] without light; ``gain`` relative to the scenario's, shape (rows, columns)."""
        return self._bias + np.float32(self._dark_current * exposure_s * gain)

    def expected(self, light: FloatImage | None, exposure_s: float, gain: float = 1.0) -> FloatImage:
        """Return counts [DN] without noise, of light [DN at even response], shape (rows, columns)."""
        counts = self.dark(exposure_s, gain)
        if light is not None:
            counts += light * self._response
        return counts

    def record(self, expected: FloatImage, exposure_s: float, rng: np.random.Generator, gain: float = 1.0) -> Counts:
        """Return what is written: noise added, rounded, within the bits."""
        sensor = self._sensor
        counts = expected
        if sensor.noise:
            variance = np.maximum(expected - self.dark(exposure_s, gain), 0)
            variance *= np.float32(gain / sensor.electrons_per_dn)
            variance += np.float32((sensor.read_noise_dn * max(gain, 1.0) ** 0.5) ** 2)
            noise = rng.standard_normal(expected.shape, dtype=np.float32)
            noise *= np.sqrt(variance, out=variance)
            counts = expected + noise
        return np.clip(np.rint(counts), 0, 2**sensor.bits - 1).astype(np.uint16)


def _response(x: FloatArray, y: FloatArray, sensor: SensorModel, rng: np.random.Generator) -> FloatArray:
    """Return V: vignetting about a centre somewhat off the image's, dust and ripple; maximum near 1."""
    height, width = x.shape
    half = math.hypot(width, height) / 2
    dx = x - width * (0.5 + rng.uniform(-0.04, 0.04))
    dy = y - height * (0.5 + rng.uniform(-0.04, 0.04))
    squared = (dx**2 + dy**2) / half**2
    response = (1 + squared * math.tan(math.radians(17.3)) ** 2) ** -2 * (1 - sensor.vignetting * squared)
    for _ in range(14):
        spot_x, spot_y, size = rng.uniform(0, width), rng.uniform(0, height), rng.uniform(2, 7)
        depth = sensor.dust * rng.uniform(0.3, 1.0)
        response *= 1 - depth * np.exp(-((x - spot_x) ** 2 + (y - spot_y) ** 2) / (2 * size**2))
    ripple = np.sin(2 * np.pi * (x / 83 + y / 290)) + np.sin(2 * np.pi * (y / 57 - x / 410))
    return np.asarray(response * (1 + sensor.dust / 8 * ripple), np.float64)
