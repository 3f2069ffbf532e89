"""Pairing of frames while they come: the pairs of ``pairing`` over the whole series, each as soon as it is final.

A pairer is told frames in any order, and a time ``until``: every frame that is still to come lies after it. A pair is
given out when no such frame can change it, so what is kept reaches back no further than the tolerance before ``until``.
However much is known after ``until``, a decision looks only at what lies before it and within the tolerance after it.
"""

from bisect import bisect_left, bisect_right, insort
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final, Protocol

from so2cam.core.records import Band, FrameInfo, FramePair
from so2cam.core.site import Pairing as PairingSettings

FOREVER: Final = datetime.max.replace(tzinfo=UTC)
"""After which no frame comes."""
FrameOrder = tuple[datetime, str]


def frame_order(frame: FrameInfo) -> FrameOrder:
    """Return what frames of a band are sorted by."""
    return frame.time, str(frame.path)


@dataclass(frozen=True, slots=True)
class Decided:
    """Pairs in order of their on-band frames, and frames of either band that will have no partner."""

    pairs: tuple[FramePair, ...]
    unpaired: tuple[FrameInfo, ...]


class Pairer(Protocol):
    """Pairs frames as they come."""

    @property
    def waiting(self) -> tuple[FrameInfo, ...]:
        """On-band frames of which nothing is decided yet, in order."""

    def add(self, frame: FrameInfo) -> None:
        """Take a frame later than the time given to ``decide`` last."""

    def decide(self, until: datetime) -> Decided:
        """Return what is final once every frame up to ``until`` (UTC) is known."""


def build_pairer(settings: PairingSettings) -> Pairer:
    """Return the pairer of a site's settings."""
    if settings.off_band == "interpolated":
        return InterpolatedPairer(settings.maximum_gap_s)
    return NearestPairer(settings.tolerance_s)


class NearestPairer:
    """The pairs of ``pairing.pair_frames``: of all within the tolerance the closest, then the closest of the rest.

    The closest pair of its two frames is final once ``until`` is as far from both as they are from each other: a later
    frame is further from either, or as far, and then the earlier frames win.
    """

    def __init__(self, tolerance_s: float) -> None:
        self._tolerance_s = tolerance_s
        self._reach = timedelta(seconds=tolerance_s + 2e-6)
        self._on: list[FrameInfo] = []
        self._off: list[FrameInfo] = []
        """both in order"""

    @property
    def waiting(self) -> tuple[FrameInfo, ...]:
        """On-band frames of which nothing is decided yet."""
        return tuple(self._on)

    def add(self, frame: FrameInfo) -> None:
        """Take a frame later than the time given to ``decide`` last."""
        insort(self._on if frame.band is Band.ON else self._off, frame, key=frame_order)

    def decide(self, until: datetime) -> Decided:
        """Return what is final once every frame up to ``until`` (UTC) is known."""
        # No pair of a frame after ``until`` is final, and none before it reaches further than the tolerance.
        several_on, several_off = self._count_near(self._on, until), self._count_near(self._off, until)
        on_frames, off_frames = self._on[:several_on], self._off[:several_off]
        taken: dict[FrameInfo, FrameInfo] = {}
        open_: set[FrameInfo] = set()
        for distance, on, off in sorted(self._candidates(on_frames, off_frames), key=_closest_first):
            if on in taken or off in taken:
                continue
            final = until >= max(on.time, off.time) + timedelta(seconds=distance)
            if final and on not in open_ and off not in open_:
                taken[on], taken[off] = off, on
            else:
                # Which of its frames find another partner is open, and so is all that comes after it.
                open_ |= {on, off}
        alone = {
            frame
            for frame in (*on_frames, *off_frames)
            if frame not in taken and frame not in open_ and until > frame.time + self._reach
        }
        pairs = [FramePair(on, taken[on]) for on in on_frames if on in taken]
        self._on[:several_on] = [frame for frame in on_frames if frame not in taken and frame not in alone]
        self._off[:several_off] = [frame for frame in off_frames if frame not in taken and frame not in alone]
        return Decided(tuple(pairs), tuple(sorted(alone, key=frame_order)))

    def _count_near(self, frames: list[FrameInfo], until: datetime) -> int:
        """Return how many frames lie no later than the tolerance after ``until``."""
        return bisect_right(frames, until, key=lambda frame: frame.time - self._reach)

    def _candidates(
        self, on_frames: list[FrameInfo], off_frames: list[FrameInfo]
    ) -> list[tuple[float, FrameInfo, FrameInfo]]:
        found = []
        off_times = [off.time.timestamp() for off in off_frames]
        for on in on_frames:
            on_s = on.time.timestamp()
            first = bisect_left(off_times, on_s - self._tolerance_s - 1e-6)
            last = bisect_right(off_times, on_s + self._tolerance_s + 1e-6)
            found += [(round(abs(off_times[index] - on_s), 6), on, off_frames[index]) for index in range(first, last)]
        return found


class InterpolatedPairer:
    """The pairs of ``pairing.pair_interpolated``: every on-band frame with the off-band frames before and after it."""

    def __init__(self, maximum_gap_s: float) -> None:
        self._maximum_gap_s = maximum_gap_s
        self._on: list[FrameInfo] = []
        self._off: list[FrameInfo] = []
        """both in order"""
        self._used: set[FrameInfo] = set()

    @property
    def waiting(self) -> tuple[FrameInfo, ...]:
        """On-band frames of which nothing is decided yet."""
        return tuple(self._on)

    def add(self, frame: FrameInfo) -> None:
        """Take a frame later than the time given to ``decide`` last."""
        insort(self._on if frame.band is Band.ON else self._off, frame, key=frame_order)

    def decide(self, until: datetime) -> Decided:
        """Return what is final once every frame up to ``until`` (UTC) is known."""
        pairs, alone, still = [], [], []
        known = bisect_right(self._on, until, key=_time_of)
        for on in self._on[:known]:
            pair = self._pair(on, until)
            if pair is None:
                alone.append(on)
            elif isinstance(pair, FrameInfo):
                still.append(pair)
            else:
                pairs.append(pair)
                self._used |= {pair.off} if pair.later_off is None else {pair.off, pair.later_off}
        self._on[:known] = still
        return Decided(tuple(pairs), (*alone, *self._let_go(until)))

    def _pair(self, on: FrameInfo, until: datetime) -> FramePair | FrameInfo | None:
        """Return the pair of a frame, None where there is none, or the frame itself where that is still open."""
        place = bisect_left(self._off, on.time, key=_time_of)
        before = self._off[place - 1] if place > 0 else None
        after = self._off[place] if place < len(self._off) else None
        if after is not None and after.time == on.time:
            return FramePair(on, after)
        if before is None:
            return None
        if after is not None and after.time <= until:
            near = (after.time - before.time).total_seconds() <= self._maximum_gap_s
            return FramePair(on, before, after) if near else None
        # Whatever comes next lies after ``until``.
        return None if (until - before.time).total_seconds() > self._maximum_gap_s else on

    def _let_go(self, until: datetime) -> list[FrameInfo]:
        """Drop the off-band frames that no frame to come lies beside, and return those that none has used."""
        needed = min(until, self._on[0].time) if self._on else until
        first = max(bisect_left(self._off, needed, key=_time_of) - 1, 0)
        if until == FOREVER:
            first = len(self._off)
        gone, self._off = self._off[:first], self._off[first:]
        unused = [frame for frame in gone if frame not in self._used]
        self._used.difference_update(gone)
        return unused


def _closest_first(candidate: tuple[float, FrameInfo, FrameInfo]) -> tuple[float, FrameOrder, FrameOrder]:
    distance, on, off = candidate
    return distance, frame_order(on), frame_order(off)


def _time_of(frame: FrameInfo) -> datetime:
    return frame.time
