"""Exposure control as existing instruments have it: after each frame at most one step of a list."""

from typing import Final

import numpy as np

from so2cam.simulate.camera import BandCamera
from so2cam.simulate.detector import Counts
from so2cam.simulate.scenario import SensorModel

_LIST_US: Final = (
    *range(1000, 5000, 500), *range(5000, 10_000, 1000), *range(10_000, 50_000, 5000), *range(50_000, 100_000, 10_000),
    *range(100_000, 500_000, 50_000), *range(500_000, 1_000_001, 100_000),
)  # fmt: skip
_BRIGHTEST: Final = 100
_LIMITS: Final = (0.7, 0.9)


class ExposureControl:
    """The exposure time of one camera, from frame to frame."""

    def __init__(self, camera: BandCamera, sensor: SensorModel) -> None:
        self._automatic = sensor.exposure_control == "automatic"
        self._top = 2**sensor.bits - 1
        self.exposure_s = camera.settings.exposure_s
        """Of the next frame"""
        self.used = {self.exposure_s}
        """All exposures that frames were taken with"""

    def learn(self, counts: Counts) -> None:
        """Look at a frame's brightest pixels, and choose the next exposure."""
        self.used.add(self.exposure_s)
        if not self._automatic:
            return
        flat = counts.reshape(-1)
        number = min(_BRIGHTEST, flat.size)
        level = float(np.partition(flat, flat.size - number)[-number:].mean()) / self._top
        now = round(self.exposure_s * 1e6)
        if level > _LIMITS[1]:
            now = max((step for step in _LIST_US if step < now), default=now)
        elif level < _LIMITS[0]:
            now = min((step for step in _LIST_US if step > now), default=now)
        self.exposure_s = now / 1e6
