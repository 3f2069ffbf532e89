"""What the processor makes of each pair, and what an observer sees of it."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime

from so2cam.core.records import FramePair
from so2cam.core.status import EmissionStatus, QualityFlag
from so2cam.core.uncertainty import Budget, random_part, systematic_part
from so2cam.pipeline.calibrated import Calibration
from so2cam.pipeline.geometry import LineGeometry
from so2cam.pipeline.steps import AbsorbanceImage, LineMeasurement
from so2cam.science.motion.flow import Flow

NAN = float("nan")


@dataclass(frozen=True, slots=True)
class MomentarySpeed:
    """The speed of one pair [m s-1], and 1 sigma of it by what comes off and what comes onto the variance of many.

    See ``science.motion.speed_variation``.
    """

    speed: float
    noise: float
    unseen: float


@dataclass(frozen=True, slots=True)
class Emission:
    """The emission rate [kg s-1] of one line by one speed method, and the speed [m s-1] it was found with."""

    status: EmissionStatus
    rate: float = NAN
    budget: Budget = field(default_factory=dict)
    """1 sigma of each term of the uncertainty [kg s-1]"""
    speed: float = NAN
    speed_uncertainty: float = NAN
    direction_deg: float = NAN
    momentary: MomentarySpeed | None = None
    """of a speed by optical flow"""

    @property
    def random(self) -> float:
        """1 sigma of what differs from pair to pair [kg s-1]."""
        return random_part(self.budget) if self.budget else NAN

    @property
    def systematic(self) -> float:
        """1 sigma of what all pairs share [kg s-1]."""
        return systematic_part(self.budget) if self.budget else NAN


@dataclass(slots=True)
class PairRecord:
    """All that is known of one pair. ``emissions`` is keyed by (line, speed method).

    ``geometry``, ``calibration`` and ``flow_speeds`` are let go when the record is complete.
    """

    pair: FramePair
    geometry: LineGeometry | None = None
    calibration: Calibration | None = None
    slope: tuple[float, float] = (NAN, NAN)
    """dCD/dAA near zero absorbance and 1 sigma [molecules cm-2]"""
    offset: tuple[float, float] = (NAN, NAN)
    """CD at zero absorbance and 1 sigma [molecules cm-2]"""
    calibration_number: int = -1
    extinction_per_m: tuple[float, float, float, float] = (NAN, NAN, NAN, NAN)
    """extinction of the on and the off band, and 1 sigma of each [m-1]; NaN where none is corrected"""
    background_level: float = NAN
    noise: float = NAN
    flags: QualityFlag = QualityFlag.NONE
    lines: dict[str, LineMeasurement] = field(default_factory=dict)
    emissions: dict[tuple[str, str], Emission] = field(default_factory=dict)
    flow_speeds: dict[str, MomentarySpeed] = field(default_factory=dict)
    """what optical flow tells of the speed at a line, by which changes within a window are known"""

    @property
    def time(self) -> datetime:
        """Mid-exposure of the on-band frame, UTC."""
        return self.pair.time


@dataclass(frozen=True, slots=True)
class PairImages:
    """What an observer sees of a pair: its absorbance image, and the motion to the next one (None for the last)."""

    time: datetime
    image: AbsorbanceImage
    geometry: LineGeometry
    calibration: Calibration | None
    flow: Flow | None
    interval_s: float
    interval_uncertainty_s: float = NAN


Observer = Callable[[PairImages], None]
