"""When the frames of a free-running camera come, and how to move them onto the wanted moments.

A sensor takes one frame after the other, each ``duration`` long. Making frames a little longer or shorter moves the
middles of later exposures. A new duration works only some frames later (``lag``), so that the correction is damped
where that is long against the period.
"""

import math
from dataclasses import dataclass


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


def frame_limits(exposure_s: float, *, minimum_s: float, maximum_s: float, preferred_s: float) -> FrameLimits:
    """Return the limits of the frame duration: a frame is never shorter than its exposure and 1 ms."""
    shortest = max(minimum_s, exposure_s + 1e-3)
    return FrameLimits(shortest, max(shortest, maximum_s), max(shortest, min(preferred_s, maximum_s)))


def plan_frame_duration(wanted_s: float, last: LastFrame, limits: FrameLimits, *, lag: int) -> float:
    """Return the duration [s] of frames from now on, so that one of them has its middle at ``wanted_s``.

    With a constant period the middles settle on the wanted moments, whatever the lag. Where the wanted moment is
    nearer than one frame, the preferred duration is returned.
    """
    left = wanted_s - last.middle_s
    if not left >= limits.shortest_s:
        return limits.preferred_s
    period = left if last.wanted_s is None else wanted_s - last.wanted_s
    number = _number_of_frames(period if period >= limits.shortest_s else left, limits)
    duration = left / number
    if last.wanted_s is not None and lag > 0.4 * number:
        error = last.middle_s - last.wanted_s
        gain = 1 / (1 + 2 * math.ceil(lag / number))
        duration = (period - gain * error) / number
    return min(max(duration, limits.shortest_s), limits.longest_s)


def _number_of_frames(time_s: float, limits: FrameLimits) -> int:
    """Return into how many frames a time is divided: of about the preferred duration, within the limits."""
    # The odd fraction keeps periods that people choose away from where the number changes.
    number = max(1, math.ceil(time_s / limits.preferred_s - 0.37))
    if time_s / number < limits.shortest_s:
        number = max(1, math.floor(time_s / limits.shortest_s))
    if time_s / number > limits.longest_s:
        number = math.ceil(time_s / limits.longest_s)
    return number
