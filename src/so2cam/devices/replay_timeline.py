"""When each file of a replay is due: in the order of their times, at a pace, over and over again."""

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Generic, TypeVar

from so2cam.core.records import FrameInfo
from so2cam.core.spectra import SpectrumInfo

_PAUSE_S: Final = 1.0
"""Between the last and the first file when a replay begins again, where each device has but one"""

InfoT = TypeVar("InfoT", FrameInfo, SpectrumInfo)


@dataclass(frozen=True, slots=True)
class Span:
    """From the first file to the last, of all devices that are replayed together, and the pause before it repeats."""

    first: datetime
    last: datetime
    pause_s: float


def span_of(groups: Sequence[Sequence[datetime]]) -> Span:
    """Return the span of the times of some devices, each in order and none empty.

    The pause is the mean step of the device with the longest steps, so that all of them repeat together.
    """
    steps = [(times[-1] - times[0]).total_seconds() / (len(times) - 1) for times in groups if len(times) > 1]
    return Span(
        min(times[0] for times in groups),
        max(times[-1] for times in groups),
        max((step for step in steps if step > 0), default=_PAUSE_S),
    )


@dataclass(frozen=True, slots=True)
class Due(Generic[InfoT]):
    """A file and the middle of its exposure in the replay."""

    info: InfoT
    middle_s: float


class Timeline(Generic[InfoT]):
    """Files of one kind in the order of their times, and when each is due."""

    def __init__(self, infos: Sequence[InfoT], span: Span, start_s: float, rate: float, *, loop: bool) -> None:
        """``start_s`` is the monotonic moment of the span's beginning."""
        self._infos: tuple[InfoT, ...] = tuple(infos)
        self._offsets: list[float] = [(info.time - span.first).total_seconds() / rate for info in self._infos]
        self._length_s = ((span.last - span.first).total_seconds() + span.pause_s) / rate
        self._start_s = start_s
        self._loop = loop
        self._next = 0

    def next(self, wanted_s: float | None, now_s: float) -> Due[InfoT] | None:
        """Return the file that is due nearest to ``wanted_s``, but none twice; None at the end."""
        number = self._next
        if wanted_s is not None or self._due(number) < now_s:
            number = max(number, self._nearest(now_s if wanted_s is None else wanted_s))
        if number >= len(self._infos) and not self._loop:
            return None
        self._next = number + 1
        return Due(self._infos[number % len(self._infos)], self._due(number))

    def following(self) -> InfoT | None:
        """Return the next file whatever the time; None at the end."""
        number = self._next
        if number >= len(self._infos) and not self._loop:
            return None
        self._next = number + 1
        return self._infos[number % len(self._infos)]

    def _due(self, number: int) -> float:
        turn, index = divmod(number, len(self._infos))
        return self._start_s + turn * self._length_s + self._offsets[index]

    def _nearest(self, moment_s: float) -> int:
        turn, within = divmod(moment_s - self._start_s, self._length_s)
        if turn < 0:
            return 0
        index = bisect_left(self._offsets, within)
        number = int(turn) * len(self._infos) + index
        if number > 0 and abs(self._due(number - 1) - moment_s) < abs(self._due(number) - moment_s):
            number -= 1
        return number
