"""The common time grid: whole multiples of a period since 1970-01-01T00:00:00Z, the same on every computer.

Times are whole microseconds inside, so that a period such as 0.3 s does not drift.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from so2cam.core.times import require_utc

STEP_S: Final = 0.1
"""A change of UTC against the monotonic clock from which it counts as a step [s]; less is the clock being slewed."""
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class Grid:
    """The grid of ``period_s``, to the microsecond. Raises ValueError where it is shorter than that."""

    period_s: float

    def __post_init__(self) -> None:
        if not self.period_us > 0:
            raise ValueError(f"a period must be above 0, got {self.period_s!r} s")

    @property
    def period_us(self) -> int:
        """The period in whole microseconds."""
        return round(self.period_s * 1e6)

    def at_or_after(self, time: datetime) -> datetime:
        """Return the first grid time that is not before ``time`` (aware)."""
        elapsed = (require_utc(time) - _EPOCH) // _MICROSECOND
        return _EPOCH + timedelta(microseconds=-(-elapsed // self.period_us) * self.period_us)

    def after(self, time: datetime) -> datetime:
        """Return the first grid time after ``time`` (aware)."""
        return self.at_or_after(require_utc(time) + _MICROSECOND)

    def steps_between(self, first: datetime, second: datetime) -> int:
        """Return how many periods lie between two grid times; negative where ``second`` is earlier."""
        return round((second - first) / timedelta(microseconds=self.period_us))


@dataclass(frozen=True, slots=True)
class GridTarget:
    """The next time to aim at, and how many grid times are passed over since the last one that was taken."""

    time: datetime
    skipped: int


class GridFollower:
    """Goes from grid time to grid time, whatever the exposure and the clock do.

    A grid time is aimed at while its exposure can still begin in time; those in between are passed over and counted.
    Where UTC was stepped, or the period changed, the grid is anchored anew and nothing is counted: there was no grid
    in between.
    """

    def __init__(self) -> None:
        self._last: datetime | None = None
        self._period_us = 0
        self._offset_s: float | None = None
        self.steps = 0
        self.last_step_s: float | None = None

    def restart(self) -> None:
        """Forget the last target: capturing begins anew, and the pause counts for nothing."""
        self._last = None

    def notice_step(self, now: datetime, monotonic_s: float) -> bool:
        """Return whether UTC was stepped since the last call; ``now`` is UTC at ``monotonic_s``."""
        offset_s = (require_utc(now) - _EPOCH).total_seconds() - monotonic_s
        change_s = 0.0 if self._offset_s is None else offset_s - self._offset_s
        self._offset_s = offset_s
        if abs(change_s) <= STEP_S:
            return False
        self.steps += 1
        self.last_step_s = change_s
        self._last = None
        return True

    def aim(self, grid: Grid, now: datetime, lead_s: float) -> GridTarget:
        """Return the next target; the same again until ``taken`` is called or its time has come too near.

        ``lead_s`` is the time from now to mid-exposure that is needed at least: half the exposure, and what the device
        needs before.
        """
        if grid.period_us != self._period_us:
            self._last = None
            self._period_us = grid.period_us
        target = grid.at_or_after(now + timedelta(seconds=max(0.0, lead_s)))
        if self._last is None:
            return GridTarget(target, 0)
        target = max(target, grid.after(self._last))
        return GridTarget(target, grid.steps_between(self._last, target) - 1)

    def taken(self, target: GridTarget) -> None:
        """Go on after ``target``."""
        self._last = target.time
