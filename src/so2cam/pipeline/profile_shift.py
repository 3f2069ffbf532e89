"""Nadeau's method through a run: an axis along the plume for each line, and the profiles of earlier images on it."""

from collections import deque

import numpy as np

from so2cam.core.records import FloatArray
from so2cam.core.site import ProfileShift
from so2cam.core.status import EmissionStatus
from so2cam.pipeline.flow_speed import LineMotion
from so2cam.pipeline.steps import AbsorbanceImage
from so2cam.science.emission.lines import LineSamples
from so2cam.science.motion.nadeau import Axis, Shift, axis_profile, plume_axis, profile_shift
from so2cam.science.motion.statistics import DominantMotion

METHOD = "nadeau"
_TURN_DEG = 10.0
_MINIMUM_CORRELATION = 0.3
"""Of two profiles, beside what chance gives: noisy plumes correlate little, and the shift's own sigma tells."""
_WANDER_PX = 20.0
"""How far the plume may turn or wander before its axis is laid anew."""


class AxisProfiles:
    """The axis of one line and what lay along it. ``settings.axis_deg`` or the plume's main motion gives its direction.

    The axis stays as it is while the plume does, so that profiles of earlier images can be compared; after a turn, or
    a gap in time, they start anew.
    """

    def __init__(self, settings: ProfileShift) -> None:
        self._settings = settings
        self._axis: Axis | None = None
        self._profiles: deque[FloatArray] = deque(maxlen=settings.mean_of)

    @property
    def needs_motion(self) -> bool:
        """Whether the axis must be found from the plume's motion."""
        return self._settings.axis_deg is None

    def forget(self) -> None:
        """Drop the profiles: what follows is not the next image."""
        self._profiles.clear()

    def motion(
        self,
        first: AbsorbanceImage,
        second: AbsorbanceImage,
        line: LineSamples,
        column: FloatArray,
        found: DominantMotion | None,
    ) -> LineMotion | EmissionStatus:
        """Return the motion at ``line`` between two images by the shift along the axis, or why there is none.

        ``column`` (N,) are the column densities at the line's samples in the first image, and ``found`` the main motion
        near it, where the axis must be found.
        """
        axis = self._axis_for(line, column, found, first.absorbance.shape)
        if axis.status is not EmissionStatus.OK:
            self.forget()
            return axis.status if axis.status is EmissionStatus.NO_PLUME else EmissionStatus.SHIFT_UNRELIABLE
        width = round(self._settings.width_px / 2)
        if not self._profiles:
            self._profiles.append(axis_profile(first.absorbance, first.valid & first.in_sky, axis, half_width_px=width))
        profile = axis_profile(second.absorbance, second.valid & second.in_sky, axis, half_width_px=width)
        earlier = np.stack(list(self._profiles)[:-1]) if len(self._profiles) > 1 else None
        shift = profile_shift(
            self._profiles[-1],
            profile,
            maximum_shift=self._settings.maximum_shift_px,
            minimum_correlation=_MINIMUM_CORRELATION,
            earlier=earlier,
        )
        self._profiles.append(profile)
        return _line_motion(shift, axis, line)

    def _axis_for(
        self, line: LineSamples, column: FloatArray, found: DominantMotion | None, shape: tuple[int, ...]
    ) -> Axis:
        direction, uncertainty = self._direction(found)
        if not np.isfinite(direction) and self._axis is not None:
            # The motion of this pair is not clear: the axis that was there goes on.
            return self._axis
        new = plume_axis(
            line.x,
            line.y,
            column,
            direction,
            (shape[0], shape[1]),
            reach_px=self._settings.length_px / 2,
            uncertainty_deg=uncertainty,
        )
        if self._axis is None or new.status is not EmissionStatus.OK or self._has_moved(self._axis, new):
            self.forget()
            self._axis = new if new.status is EmissionStatus.OK else None
            return new
        return self._axis

    def _direction(self, found: DominantMotion | None) -> tuple[float, float]:
        if self._settings.axis_deg is not None:
            return self._settings.axis_deg, 2.0
        if found is None or found.status is not EmissionStatus.OK:
            return float("nan"), float("nan")
        return found.direction_deg, found.direction_uncertainty_deg

    @staticmethod
    def _has_moved(old: Axis, new: Axis) -> bool:
        turn = (new.direction_deg - old.direction_deg + 180) % 360 - 180
        # Across the old axis: along it, the plume's centre says nothing.
        step = [n + new.centre_px * d for n, d in zip(new.origin, new.direction, strict=True)]
        centre = [o + old.centre_px * d for o, d in zip(old.origin, old.direction, strict=True)]
        aside = (step[0] - centre[0]) * old.direction[1] - (step[1] - centre[1]) * old.direction[0]
        return abs(turn) > _TURN_DEG or abs(aside) > _WANDER_PX


def _line_motion(shift: Shift, axis: Axis, line: LineSamples) -> LineMotion | EmissionStatus:
    if shift.status is not EmissionStatus.OK:
        return EmissionStatus.SHIFT_UNRELIABLE
    direction = np.array(axis.direction)
    cosine = line.normal @ direction
    sine = line.normal @ np.array([-direction[1], direction[0]])
    common = np.hypot(shift.uncertainty_px * cosine, shift.shift_px * sine * np.radians(axis.uncertainty_deg))
    vectors = np.broadcast_to(shift.shift_px * direction, line.normal.shape)
    return LineMotion(vectors, np.zeros(cosine.size), common, 1.0)
