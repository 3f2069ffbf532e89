"""How much SO2 leaves a vent at any time: pulsations, puffs and a rise, without beginning or end."""

import math
from typing import Final

import numpy as np

from so2cam.core.records import FloatArray
from so2cam.simulate.settings_plume import EmissionSource

_PUFF_KEY: Final = 2**31
_RISE_S: Final = 3600.0


class Emission:
    """The emission rate of one vent as a function of time."""

    def __init__(self, source: EmissionSource, share: float, key: tuple[int, ...]) -> None:
        """``share``: of the source's mean; ``key``: not negative numbers that tell this vent's chances from others."""
        rng = np.random.default_rng([*key, 1])
        self._source = source
        self._mean_kg_s = source.mean_kg_s * share
        self._key = key
        self._frequencies = 2 * np.pi / (np.geomspace(30, 120, 10) * rng.uniform(0.94, 1.06, 10))
        self._phases = rng.uniform(0, 2 * np.pi, 10)
        self._weights = np.array([1.0, 1.4, 0.8, 1.2, 1.0, 1.1, 0.9, 1.3, 0.8, 1.0])

    def rate(self, time_s: FloatArray) -> FloatArray:
        """Return the emission rate [kg s-1] at times since the sequence's start [s], shape (n,)."""
        source = self._source
        angle = np.multiply.outer(time_s, self._frequencies) + self._phases
        waves = np.sin(angle) @ self._weights / math.sqrt(np.sum(self._weights**2) / 2)
        factor = np.exp(source.pulsation * waves - source.pulsation**2 / 2)
        if source.puffs > 0:
            factor = factor * (1 - source.puffs + source.puffs * self._puffs(time_s))
        if source.rise != 0:
            part = np.clip(time_s / _RISE_S, 0, 1)
            factor = factor * (1 + source.rise * part * part * (3 - 2 * part))
        return np.asarray(self._mean_kg_s * factor, np.float64)

    def _puffs(self, time_s: FloatArray) -> FloatArray:
        """Return the puffs' share over its mean: one puff in every period, at a random moment, of random size."""
        period, length = self._source.puff_period_s, self._source.puff_length_s
        around = math.ceil(5 * length / period) + 1
        first = math.floor(float(time_s.min()) / period) - around
        last = math.floor(float(time_s.max()) / period) + around
        total = np.zeros_like(time_s)
        for number in range(first, last + 1):
            rng = np.random.default_rng([*self._key, 2, _PUFF_KEY + number])
            moment = (number + 0.5 + rng.uniform(-0.35, 0.35)) * period
            size = rng.uniform(0.5, 1.5)
            total += size * np.exp(-0.5 * ((time_s - moment) / length) ** 2)
        return total * period / (length * math.sqrt(2 * math.pi))
