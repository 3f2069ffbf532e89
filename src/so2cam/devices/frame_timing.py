"""When the frames of a free-running camera come, and how to move them onto the wanted moments.

A sensor takes one frame after the other, each of the same duration. A few longer or shorter frames move the middles of
all later exposures. A new duration works only some frames later (``lag``); so a correction is given for a number of
frames, then the plain duration again, and the next error is believed only when both have worked. The result does not
depend on the exact lag, and nothing swings.
"""

import math
from dataclasses import dataclass, replace
from typing import Final

SMALLEST_ERROR_S: Final = 2e-4
"""Errors up to this size [s] are left alone."""
_MOST_FRAMES: Final = 300


@dataclass(frozen=True, slots=True)
class FrameLimits:
    """What the sensor can do [s]: the shortest frame at this exposure, the longest, and the one that is preferred."""

    shortest_s: float
    longest_s: float
    preferred_s: float


@dataclass(frozen=True, slots=True)
class LastFrame:
    """The last frame taken: its middle, and the moment it was wanted at (None: no moment)."""

    middle_s: float
    wanted_s: float | None


@dataclass(frozen=True, slots=True)
class FramePlan:
    """The duration of frames now [s], and what follows.

    After ``frames`` more frames the ``plain_s`` duration holds; only after ``unsettled`` frames is the error believed.
    """

    duration_s: float
    plain_s: float
    frames: int = 0
    unsettled: int = 0

    def after_frame(self) -> "FramePlan":
        """Return the plan when one more frame has come."""
        left = max(0, self.frames - 1)
        duration = self.duration_s if left else self.plain_s
        return FramePlan(duration, self.plain_s, left, max(0, self.unsettled - 1))


def frame_limits(exposure_s: float, *, minimum_s: float, maximum_s: float, preferred_s: float) -> FrameLimits:
    """Return the limits of the frame duration: a frame is never shorter than its exposure and 1 ms."""
    shortest = max(minimum_s, exposure_s + 1e-3)
    return FrameLimits(shortest, max(shortest, maximum_s), max(shortest, min(preferred_s, maximum_s)))


def plan_frames(
    wanted_s: float, last: LastFrame, limits: FrameLimits, *, lag: int, before: FramePlan | None = None
) -> FramePlan:
    """Return the duration of frames from now on, so that in the end one has its middle at every ``wanted_s``.

    ``before`` is the plan before, with every frame since counted by ``after_frame``. With a constant period the middles
    settle on the wanted moments if a whole number of possible frames fits into the period; otherwise they stay within
    about half of a frame.
    """
    if last.wanted_s is None or before is None:
        left = wanted_s - last.middle_s
        duration = _possible(left / _number_of_frames(left, limits), limits)
        return FramePlan(duration, duration, 0, lag + 1)
    period = wanted_s - last.wanted_s
    plain = _possible(period / _number_of_frames(period, limits), limits)
    if before.frames > 0:
        return replace(before, duration_s=_possible(before.duration_s, limits), plain_s=plain)
    error = last.middle_s - last.wanted_s
    if before.unsettled > 0 or abs(error) <= SMALLEST_ERROR_S:
        return FramePlan(plain, plain, 0, before.unsettled)
    # Led to the moment itself, or to the one a frame before or after: whichever takes the fewest frames.
    shift = min((-error, plain - error, -plain - error), key=lambda way: (_frames_for(way, plain, limits), abs(way)))
    frames = _frames_for(shift, plain, limits)
    if frames > _MOST_FRAMES:
        return FramePlan(plain, plain)
    return FramePlan(_possible(plain + shift / frames, limits), plain, frames, frames + lag + 1)


def _frames_for(shift_s: float, plain_s: float, limits: FrameLimits) -> int:
    """Return over how many frames a shift must be spread, for durations within the limits."""
    room = limits.longest_s - plain_s if shift_s > 0 else plain_s - limits.shortest_s
    if abs(shift_s) > _MOST_FRAMES * room:
        return _MOST_FRAMES + 1
    return max(1, math.ceil(abs(shift_s) / room - 1e-9))


def _possible(duration_s: float, limits: FrameLimits) -> float:
    return min(max(duration_s, limits.shortest_s), limits.longest_s)


def _number_of_frames(time_s: float, limits: FrameLimits) -> int:
    """Return into how many frames a time is divided: of about the preferred duration, within the limits."""
    # The odd fraction keeps periods that people choose away from where the number changes.
    number = max(1, math.ceil(time_s / limits.preferred_s - 0.37))
    if time_s / number < limits.shortest_s:
        number = max(1, math.floor(time_s / limits.shortest_s))
    if time_s / number > limits.longest_s:
        number = math.ceil(time_s / limits.longest_s)
    return number
