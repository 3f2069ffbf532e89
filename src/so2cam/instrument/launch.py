"""What a device's process is told when it starts."""

import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict

from so2cam.core.site_camera import GeoPoint
from so2cam.core.site_devices import CameraDevice, Device, SpectrometerDevice
from so2cam.core.site_instrument import DarkSets, Storage
from so2cam.devices.clock import Clock, FastClock, SystemClock

Capturing = CameraDevice | SpectrometerDevice


class FastTime(BaseModel):
    """Time that runs faster than real time, for replays and tests: the same in all processes of a run."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    rate: float
    start: AwareDatetime
    began_s: float
    """``time.time()`` at which it was ``start``"""

    def clock(self) -> FastClock:
        """Return the clock of this time."""
        passed_s = (time.time() - self.began_s) * self.rate
        return FastClock(self.rate, self.start + timedelta(seconds=passed_s))


class Launch(BaseModel):
    """All that a device's process needs to know."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    node: str
    site: str
    folder: Path
    """of the site file: paths in options are relative to it"""
    device: Device
    period_s: float
    spool: Path
    storage: Storage
    darks: DarkSets
    position: GeoPoint
    tags: tuple[str, str]
    """of the on and off band, as names have them"""
    queue: int
    run_start: AwareDatetime
    mode: Literal["plume", "clear", "test"] | None
    count: int | None = None
    held: bool = False
    exposure_s: float | None = None
    """where the exposure stood before a restart; None: as in the site file"""
    coadds: int | None = None
    used: dict[str, int] = {}
    fast: FastTime | None = None
    version: str

    def clock(self) -> Clock:
        """Return the clock that the device goes by."""
        return SystemClock() if self.fast is None else self.fast.clock()


def now_utc() -> datetime:
    """Return the computer's time."""
    return datetime.now(UTC)
