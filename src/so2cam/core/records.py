"""The records that pass between the parts of so2cam: frozen, typed, with the unit in the name."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

FloatImage = npt.NDArray[np.float32]
"""A float32 image, shape (rows, columns)."""
BoolImage = npt.NDArray[np.bool_]
"""A mask, shape (rows, columns); True means valid unless the name says otherwise."""
FloatArray = npt.NDArray[np.float64]


class Band(StrEnum):
    """The two spectral bands of an SO2 camera."""

    ON = "on"
    """On band, near 310 nm, where SO2 absorbs."""
    OFF = "off"
    """Off band, near 330 nm, where it hardly does."""


class FrameKind(StrEnum):
    """What a frame shows. Test frames are never used in processing."""

    PLUME = "plume"
    DARK = "dark"
    CLEAR = "clear"
    CELL = "cell"
    TEST = "test"


@dataclass(frozen=True, slots=True)
class FrameInfo:
    """What is known of a frame without its pixels.

    ``time`` is mid-exposure, UTC; ``time_resolution_s`` is how finely its stamp was written (1 s in files of
    existing instruments). ``cell_ppm_m`` is the label of a gas cell, None for any other kind.
    ``sensor_timestamp_s`` is a monotonic clock's reading since the computer started, where the file keeps one.
    """

    path: Path
    band: Band
    kind: FrameKind
    time: datetime
    exposure_s: float
    gain: float
    cell_ppm_m: float | None = None
    time_resolution_s: float = 1.0
    sensor_timestamp_s: float | None = None

    @property
    def start_time(self) -> datetime:
        """Start of the exposure, UTC."""
        return self.time - timedelta(seconds=self.exposure_s / 2)


@dataclass(frozen=True, slots=True)
class Frame:
    """A frame: what is known of it, and its pixels ``counts`` [DN], uint16, shape (rows, columns)."""

    info: FrameInfo
    counts: npt.NDArray[np.uint16]
    sha256: str


@dataclass(frozen=True, slots=True)
class FramePair:
    """An on-band and an off-band frame that belong together. ``time`` is that of the on-band frame."""

    on: FrameInfo
    off: FrameInfo

    @property
    def time(self) -> datetime:
        """Mid-exposure of the on-band frame, UTC."""
        return self.on.time

    @property
    def offset_s(self) -> float:
        """Mid-exposure of the off-band frame minus that of the on-band frame [s]."""
        return (self.off.time - self.on.time).total_seconds()


@dataclass(frozen=True, slots=True)
class PlumeLine:
    """A straight plume cross-section line in the on-band image.

    ``start`` and ``end`` are (x, y) pixels, y downward, (0, 0) the centre of the top-left pixel. ``normal`` is
    the unit vector (x, y), perpendicular to the line, along which the plume is counted as positive.
    """

    name: str
    start: tuple[float, float]
    end: tuple[float, float]
    normal: tuple[float, float]
    plume: str = "plume"

    @property
    def length_px(self) -> float:
        """Length of the line [px]."""
        return float(np.hypot(self.end[0] - self.start[0], self.end[1] - self.start[1]))


@dataclass(frozen=True, slots=True)
class Provenance:
    """What made a product: settings, their hash, the software version and the input files' hashes."""

    software_version: str
    site_name: str
    settings: dict[str, Any]
    settings_sha256: str
    input_sha256: tuple[tuple[str, str], ...]
    """(file, SHA-256) of the site file and of every image whose counts entered the results."""
    command: str
    created: datetime
