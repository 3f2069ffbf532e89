"""What a power board is told: states of given length, on and off in turn, that repeat from a beginning."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from so2cam.core.intervals import Interval, clip, union
from so2cam.core.times import require_utc

LONGEST_CYCLE: Final = timedelta(days=400)


@dataclass(frozen=True, slots=True)
class PowerState:
    """The power on or off for ``duration``. Raises ValueError where the duration is negative."""

    on: bool
    duration: timedelta

    def __post_init__(self) -> None:
        if self.duration < timedelta(0):
            raise ValueError(f"a power state cannot last {self.duration}")


@dataclass(frozen=True, slots=True)
class PowerPlan:
    """States that follow each other from ``begin`` on, and begin again after the last one, until ``end``.

    The first state is on, and on and off alternate. Raises ValueError where they do not, or take no time.
    """

    begin: datetime
    end: datetime
    states: tuple[PowerState, ...]

    def __post_init__(self) -> None:
        require_utc(self.begin)
        require_utc(self.end)
        if not self.states or len(self.states) % 2:
            raise ValueError("a power plan needs pairs of states: on, off")
        if any(state.on != (index % 2 == 0) for index, state in enumerate(self.states)):
            raise ValueError("the states of a power plan are on and off in turn, beginning with on")
        if self.cycle <= timedelta(0):
            raise ValueError("the states of a power plan take no time")
        if self.cycle > LONGEST_CYCLE:
            raise ValueError(f"the states of a power plan take longer than {LONGEST_CYCLE.days} days")
        if self.end <= self.begin:
            raise ValueError("a power plan must end after it begins")

    @property
    def cycle(self) -> timedelta:
        """How long all states take together, after which they begin again."""
        return sum((state.duration for state in self.states), timedelta(0))

    def on_intervals(self, span: Interval) -> tuple[Interval, ...]:
        """Return when, in ``span``, the power is on. Before ``begin`` and from ``end`` on it is off."""
        return clip(union(self._on(span)), span)

    def is_on(self, time: datetime) -> bool:
        """Return whether the power is on at ``time``."""
        if not self.begin <= time < self.end:
            return False
        rest = (time - self.begin) % self.cycle
        for state in self.states:
            if rest < state.duration:
                return state.on
            rest -= state.duration
        return self.states[-1].on

    def _on(self, span: Interval) -> Iterator[Interval]:
        cycles = max(0, (span.start - self.begin) // self.cycle)
        start = self.begin + cycles * self.cycle
        last = min(span.end, self.end)
        while start < last:
            for state in self.states:
                stop = min(start + state.duration, self.end)
                if state.on and stop > start:
                    yield Interval(start, stop)
                start += state.duration
