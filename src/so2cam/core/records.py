"""The records that pass between the parts of so2cam: frozen, typed, with the unit in the name."""

import math
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from itertools import pairwise
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt

FloatImage = npt.NDArray[np.float32]
"""A float32 image, shape (rows, columns)."""
BoolImage = npt.NDArray[np.bool_]
"""A mask, shape (rows, columns); True means valid unless the name says otherwise."""
FloatArray = npt.NDArray[np.float64]
Counts = npt.NDArray[np.uint16] | npt.NDArray[np.float32]
"""Counts of an image [DN], shape (rows, columns): uint16, or float32 where they have a fraction."""


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
    """A frame: what is known of it, and its pixels ``counts`` [DN], shape (rows, columns)."""

    info: FrameInfo
    counts: Counts
    sha256: str


@dataclass(frozen=True, slots=True)
class FramePair:
    """An on-band and an off-band frame that belong together. ``time`` is that of the on-band frame.

    Where the off band is interpolated in time, ``off`` is its frame before and ``later_off`` the one after.
    """

    on: FrameInfo
    off: FrameInfo
    later_off: FrameInfo | None = None

    @property
    def frames(self) -> tuple[FrameInfo, ...]:
        """All its frames: the on band, the off band, and the later one of the off band where there is one."""
        return (self.on, self.off) if self.later_off is None else (self.on, self.off, self.later_off)

    @property
    def time(self) -> datetime:
        """Mid-exposure of the on-band frame, UTC."""
        return self.on.time

    @property
    def offset_s(self) -> float:
        """Mid-exposure of the off-band frame minus that of the on-band frame [s]; 0 where it is interpolated."""
        if self.later_off is not None:
            return 0.0
        return (self.off.time - self.on.time).total_seconds()


@dataclass(frozen=True, slots=True)
class PlumeLine:
    """A plume cross-section line in the on-band image: straight pieces between ``points``.

    Points are (x, y) pixels, y downward, (0, 0) the centre of the top-left pixel; a closed line ends where it
    starts. The plume counts as positive where it crosses to the ``side`` of travel: 1 the right hand's side as seen
    in the image, -1 the left hand's.
    """

    name: str
    points: tuple[tuple[float, float], ...]
    side: int = 1
    plume: str = "plume"
    role: str = "emission"

    @classmethod
    def straight(
        cls,
        name: str,
        start: tuple[float, float],
        end: tuple[float, float],
        normal: tuple[float, float],
        plume: str = "plume",
    ) -> Self:
        """Return the straight line from ``start`` to ``end`` with ``normal`` on the side that is given."""
        right = (-(end[1] - start[1]), end[0] - start[0])
        return cls(name, (start, end), 1 if right[0] * normal[0] + right[1] * normal[1] >= 0 else -1, plume)

    @property
    def start(self) -> tuple[float, float]:
        """First point (x, y)."""
        return self.points[0]

    @property
    def end(self) -> tuple[float, float]:
        """Last point (x, y)."""
        return self.points[-1]

    @property
    def closed(self) -> bool:
        """Whether the line ends where it starts (to a hundredth of a pixel)."""
        return len(self.points) > 3 and math.dist(self.start, self.end) < 0.01

    @property
    def length_px(self) -> float:
        """Length along the line [px]."""
        return sum(math.dist(a, b) for a, b in pairwise(self.points))

    @property
    def middle(self) -> tuple[tuple[float, float], tuple[float, float]]:
        """The point (x, y) at half of the line's length, and the unit normal (x, y) there."""
        left = self.length_px / 2
        for a, b in pairwise(self.points):
            piece = math.dist(a, b)
            if left <= piece and piece > 0:
                dx, dy = (b[0] - a[0]) / piece, (b[1] - a[1]) / piece
                return (a[0] + left * dx, a[1] + left * dy), (-dy * self.side, dx * self.side)
            left -= piece
        return self.end, self.normal

    @property
    def signed_area_px2(self) -> float:
        """Area between line and chord [px2], positive where it runs clockwise as seen in the image."""
        pairs = pairwise((*self.points, self.points[0]))
        return 0.5 * sum(a[0] * b[1] - b[0] * a[1] for a, b in pairs)

    @property
    def normal(self) -> tuple[float, float]:
        """Unit vector (x, y) across the chord from start to end, on the line's side; (nan, nan) for a closed line."""
        chord = math.dist(self.start, self.end)
        if self.closed or chord == 0:
            return (math.nan, math.nan)
        dx, dy = (self.end[0] - self.start[0]) / chord, (self.end[1] - self.start[1]) / chord
        return (-dy * self.side, dx * self.side)


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
