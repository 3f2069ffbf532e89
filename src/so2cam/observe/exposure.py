"""Automatic exposure: from how bright the last frame was to the exposure of the next.

The law is proportional with hysteresis. While the level lies between ``low`` and ``high`` nothing changes. Outside,
the exposure is scaled so that the level becomes ``target``, which lies inside by a margin: so one step ends the
adjustment, and noise at an edge cannot start another (no flipping). Levels have the dark level taken off, which makes
them proportional to the exposure.

A clipped level is a lower limit only. Then the exposure is divided by ``4 * 15 ** min(2 s, 1)``, where s is the
saturated share: by 4 where a few pixels are saturated, by 60 where half of the image is or more. Where the image's
ratio of bright to middle is known from an earlier frame and the middle is not saturated, the ratio tells instead.
From 50 times too bright the second frame is measured and the third is right; from 50 times too dark the second is.
A step after a clipped frame may end anywhere between the limits: one that ends nearer to a limit than to the target
is followed by a second, so that noise does not do it later.

All functions are pure: what must be remembered passes through ``ExposureState``.
"""

import math
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

from so2cam.core.site_devices import AutomaticExposure, CameraDevice, SpectrometerDevice
from so2cam.observe.statistics import SATURATION_FRACTION, LightLevel

SMALLEST_CLIPPED_STEP: Final = 4.0
LARGEST_CLIPPED_STEP: Final = 60.0
LARGEST_STEP_UP: Final = 64.0
"""An exposure grows at most by this factor from one frame to the next."""
_DARKEST: Final = 1e-9
_SAME: Final = 1e-6
"""Exposures that differ by less than this share are one and the same."""


class ExposureReason(StrEnum):
    """Why the exposure is what it is. Part of the frames' records: never reuse a word."""

    WITHIN = "within limits"
    TOO_DARK = "too dark"
    TOO_BRIGHT = "too bright"
    SATURATED = "saturated"
    AT_LONGEST = "too dark, at the longest exposure"
    AT_SHORTEST = "too bright, at the shortest exposure"
    NOT_MEASURED = "not measured"
    FIXED = "fixed"


@dataclass(frozen=True, slots=True)
class ExposureLaw:
    """The settings of the law. Levels are shares of the full scale; times in seconds.

    ``step_s`` is the device's smallest step, 0 where it does not matter. With ``total_time_s`` the coadds follow the
    exposure: as many as fit into that time, from 1 to ``maximum_coadds``.
    """

    target: float
    low: float
    high: float
    shortest_s: float
    longest_s: float
    enabled: bool = True
    step_s: float = 0.0
    total_time_s: float | None = None
    maximum_coadds: int = 1

    def __post_init__(self) -> None:
        if not 0 < self.low < self.target < self.high < SATURATION_FRACTION:
            raise ValueError(
                f"levels must satisfy 0 < low < target < high < {SATURATION_FRACTION}, "
                f"got {self.low}, {self.target}, {self.high}"
            )
        if not 0 < self.shortest_s <= self.longest_s < math.inf:
            raise ValueError(f"exposure limits must satisfy 0 < shortest <= longest, got {self}")


@dataclass(frozen=True, slots=True)
class ExposureState:
    """What the law remembers from frame to frame: the ratio of bright to middle, None if not known yet."""

    bright_to_middle: float | None = None
    clipped_in_a_row: int = 0


@dataclass(frozen=True, slots=True)
class ExposureDecision:
    """What follows from one frame: the next exposure and coadds, whether they are new, why, and what to remember.

    ``level`` is the measured one, a lower limit where it was clipped; ``settled`` says that the level was within the
    limits, or that the limits of the exposure allow no better.
    """

    exposure_s: float
    coadds: int
    changed: bool
    reason: ExposureReason
    level: float
    settled: bool
    state: ExposureState


def camera_law(settings: CameraDevice, *, step_s: float = 0.0) -> ExposureLaw:
    """Return the law that the site file sets for a camera."""
    return _law(
        settings.automatic, settings.minimum_exposure_s, settings.maximum_exposure_s, step_s=step_s, total_time_s=None
    )


def spectrometer_law(settings: SpectrometerDevice, *, step_s: float = 0.0) -> ExposureLaw:
    """Return the law that the site file sets for a spectrometer."""
    law = _law(
        settings.automatic,
        settings.minimum_integration_time_s,
        settings.maximum_integration_time_s,
        step_s=step_s,
        total_time_s=settings.total_time_s,
    )
    return replace(law, maximum_coadds=settings.maximum_coadds)


def _law(
    automatic: AutomaticExposure, shortest_s: float, longest_s: float, *, step_s: float, total_time_s: float | None
) -> ExposureLaw:
    return ExposureLaw(
        target=automatic.target,
        low=automatic.low,
        high=automatic.high,
        shortest_s=shortest_s,
        longest_s=longest_s,
        enabled=automatic.enabled,
        step_s=step_s,
        total_time_s=total_time_s,
    )


def next_exposure(
    state: ExposureState, measured: LightLevel, *, exposure_s: float, coadds: int = 1, law: ExposureLaw
) -> ExposureDecision:
    """Return the next exposure and coadds after a frame of ``exposure_s`` whose level was ``measured``.

    ``exposure_s`` is the one really used. A level that is not measured changes nothing. Raises ValueError for an
    exposure that is not positive.
    """
    if not (exposure_s > 0 and math.isfinite(exposure_s)):
        raise ValueError(f"the exposure must be positive, got {exposure_s}")
    if not law.enabled:
        return _keep(state, measured, exposure_s, coadds, ExposureReason.FIXED)
    if not measured.measured:
        return ExposureDecision(
            exposure_s, coadds, False, ExposureReason.NOT_MEASURED, measured.bright, settled=False, state=state
        )
    if measured.clipped:
        factor, reason = 1 / _clipped_step(state, measured, law), ExposureReason.SATURATED
        state = replace(state, clipped_in_a_row=state.clipped_in_a_row + 1)
    else:
        low, high = law.low, law.high
        if state.clipped_in_a_row:
            low, high = (low + law.target) / 2, (high + law.target) / 2
        state = _remember(state, measured)
        if low <= measured.bright <= high:
            factor, reason = 1.0, ExposureReason.WITHIN
        else:
            factor = min(law.target / max(measured.bright, _DARKEST), LARGEST_STEP_UP)
            reason = ExposureReason.TOO_DARK if factor > 1 else ExposureReason.TOO_BRIGHT
    wanted = exposure_s if factor == 1.0 else _to_steps(exposure_s * factor, law.step_s)
    chosen = min(max(wanted, law.shortest_s), law.longest_s)
    if abs(chosen / exposure_s - 1) <= max(_SAME, 0.51 * law.step_s / exposure_s):
        chosen = exposure_s
    changed_exposure = chosen != exposure_s
    if not changed_exposure and factor > 1:
        reason = ExposureReason.AT_LONGEST
    elif not changed_exposure and factor < 1:
        reason = ExposureReason.AT_SHORTEST
    new_coadds = choose_coadds(chosen, law, coadds)
    return ExposureDecision(
        exposure_s=chosen,
        coadds=new_coadds,
        changed=changed_exposure or new_coadds != coadds,
        reason=reason,
        level=measured.bright,
        settled=not changed_exposure,
        state=state,
    )


def choose_coadds(exposure_s: float, law: ExposureLaw, coadds: int) -> int:
    """Return how many readouts of ``exposure_s`` fit into the law's total time; ``coadds`` where that is not set."""
    if law.total_time_s is None:
        return coadds
    return int(min(max(1, math.floor(law.total_time_s / exposure_s + 1e-9)), law.maximum_coadds))


def _keep(
    state: ExposureState, measured: LightLevel, exposure_s: float, coadds: int, reason: ExposureReason
) -> ExposureDecision:
    return ExposureDecision(exposure_s, coadds, False, reason, measured.bright, settled=True, state=state)


def _remember(state: ExposureState, measured: LightLevel) -> ExposureState:
    """Return the state after a frame that was not clipped: with its ratio of bright to middle, if it has one."""
    ratio = state.bright_to_middle
    if measured.middle > 10 * measured.uncertainty and measured.bright >= measured.middle > 0:
        ratio = measured.bright / measured.middle
    return ExposureState(bright_to_middle=ratio, clipped_in_a_row=0)


def _clipped_step(state: ExposureState, measured: LightLevel, law: ExposureLaw) -> float:
    """Return by what the exposure is divided after a clipped frame."""
    share = min(max(measured.saturated_share, 0.0), 1.0)
    span = LARGEST_CLIPPED_STEP / SMALLEST_CLIPPED_STEP
    blind: float = SMALLEST_CLIPPED_STEP * span ** min(2 * share, 1.0)
    known = state.bright_to_middle is not None and state.clipped_in_a_row == 0 and share < 0.45
    if known and state.bright_to_middle is not None and measured.middle > 10 * measured.uncertainty:
        estimate = max(state.bright_to_middle * measured.middle, 1.0)
        return estimate / law.target
    return blind


def _to_steps(exposure_s: float, step_s: float) -> float:
    """Return the multiple of ``step_s`` that is nearest to ``exposure_s``, at least one step."""
    if step_s <= 0:
        return exposure_s
    return max(1, round(exposure_s / step_s)) * step_s
