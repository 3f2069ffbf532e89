"""What a device is to take next: single items and sets first, then the mode that goes on. No clock, no device."""

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

from so2cam.core.health import DeviceState
from so2cam.store.items import Mark


@dataclass(frozen=True, slots=True)
class Wish:
    """One item to take. ``job`` is the number of the set that it belongs to, None for the mode that goes on."""

    kind: str
    cell_ppm_m: float | None = None
    exposure_s: float | None = None
    """for this item only; None: the exposure that is set"""
    on_grid: bool = True
    job: int | None = None
    must_be_dark: bool = False
    mark: Mark | None = None
    """the command that asked for it, and which item of its set this is"""


@dataclass(slots=True)
class Job:
    """A set of items that belong together: one shot, a dark set, some frames of a cell."""

    number: int
    name: str
    wishes: deque[Wish]
    errand: str | None = None
    """the command that asked for it (``instrument.errands``)"""
    failed: list[str] = field(default_factory=list)
    """why not all of it was taken"""

    @property
    def finished(self) -> bool:
        """Whether nothing is left to take."""
        return not self.wishes


class Plan:
    """The mode (a kind that is taken on the grid, for ever or a number of times) and the jobs that go before it."""

    def __init__(self) -> None:
        self.mode_kind: str | None = None
        self.mode_left: int | None = None
        self.held = False
        """a manual calibration is going on: the mode rests, and the exposure stays"""
        self._jobs: deque[Job] = deque()
        self._number = 0

    def run(self, kind: str, count: int | None) -> None:
        """Take ``kind`` on the grid from now on, ``count`` times or until stopped."""
        self.mode_kind, self.mode_left = kind, count

    def stop(self) -> None:
        """Take nothing on the grid."""
        self.mode_kind = self.mode_left = None

    def add(self, name: str, wishes: Iterable[Wish], errand: str | None = None) -> Job:
        """Add a set; it is taken before the mode goes on, after the sets that wait already."""
        self._number += 1
        job = Job(self._number, name, deque(replace(wish, job=self._number) for wish in wishes), errand)
        self._jobs.append(job)
        return job

    def cancel(self, reason: str) -> list[Job]:
        """Drop all sets; return them, each with the reason."""
        dropped = list(self._jobs)
        self._jobs.clear()
        for job in dropped:
            job.failed.append(reason)
            job.wishes.clear()
        return dropped

    def cancel_job(self, number: int, reason: str) -> None:
        """Take nothing more of one set."""
        for job in self._jobs:
            if job.number == number:
                job.failed.append(reason)
                job.wishes.clear()

    def next(self) -> Wish | None:
        """Return what to take now; None: nothing. The wish stays until ``done`` or ``drop``."""
        for job in self._jobs:
            if job.wishes:
                return job.wishes[0]
        if self.held or self.mode_kind is None:
            return None
        return Wish(self.mode_kind)

    def done(self, wish: Wish) -> None:
        """Take note that ``wish`` was taken (or given up)."""
        if wish.job is None:
            if self.mode_left is not None:
                self.mode_left -= 1
                if self.mode_left <= 0:
                    self.stop()
            return
        for job in self._jobs:
            if job.number == wish.job and job.wishes:
                job.wishes.popleft()

    def finished(self) -> list[Job]:
        """Return the sets of which everything was taken, and forget them."""
        over = [job for job in self._jobs if job.finished]
        for job in over:
            self._jobs.remove(job)
        return over

    @property
    def jobs(self) -> Sequence[Job]:
        """The sets that are not finished."""
        return tuple(self._jobs)

    @property
    def state(self) -> DeviceState:
        """What a device with this plan is doing."""
        if any(job.name == "darks" and job.wishes for job in self._jobs):
            return DeviceState.DARKS
        if self.held:
            return DeviceState.CELLS
        return DeviceState.CAPTURING if self.mode_kind is not None or self._jobs else DeviceState.IDLE


class UsedExposures:
    """How often each exposure was used since the last dark set; exposures that are nearly alike count as one."""

    def __init__(self, tolerance: float, maximum: int) -> None:
        self._tolerance = tolerance
        self._maximum = maximum
        self._counts: dict[float, int] = {}

    def add(self, exposure_s: float, count: int = 1) -> None:
        """Take note of an item of ``exposure_s``."""
        for known in self._counts:
            if abs(known - exposure_s) <= self._tolerance * min(known, exposure_s):
                self._counts[known] += count
                return
        self._counts[exposure_s] = count
        if len(self._counts) > 8 * self._maximum:
            del self._counts[min(self._counts, key=lambda known: self._counts[known])]

    def chosen(self) -> tuple[float, ...]:
        """Return the exposures that were used most, shortest first."""
        most = sorted(self._counts, key=lambda known: -self._counts[known])[: self._maximum]
        return tuple(sorted(most))

    def forget(self, exposures_s: Iterable[float]) -> None:
        """Darks of these exposures were taken."""
        for exposure_s in exposures_s:
            for known in [k for k in self._counts if abs(k - exposure_s) <= self._tolerance * min(k, exposure_s)]:
                del self._counts[known]

    def to_json(self) -> dict[str, int]:
        """Return the counts by exposure in whole microseconds."""
        return {str(round(exposure_s * 1e6)): count for exposure_s, count in self._counts.items()}

    def load(self, data: dict[str, int]) -> None:
        """Add what ``to_json`` gave."""
        for text, count in data.items():
            if text.isdecimal() and int(text) > 0 and isinstance(count, int) and count > 0:
                self.add(int(text) / 1e6, count)
