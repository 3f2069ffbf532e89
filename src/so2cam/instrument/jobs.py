"""Sets of items on their way: a set is over when each of its items is kept, or known to be lost."""

import threading
from collections.abc import Iterable
from dataclasses import dataclass, field

from so2cam.instrument.plan import Job, Plan, Wish


@dataclass(slots=True)
class JobState:
    """A set, the order that waits for it, and what became of its items."""

    job: Job
    order: int | None
    before: int = 0
    """items of it that were kept earlier, before its process or the agent was killed"""
    given: int = 0
    """handed to the writer"""
    lost: int = 0
    reasons: list[str] = field(default_factory=list)
    sequences: list[int] = field(default_factory=list)

    @property
    def over(self) -> bool:
        """Whether nothing of it is under way."""
        return self.job.finished and len(self.sequences) + self.lost >= self.given

    @property
    def done(self) -> bool:
        """Whether everything was kept."""
        return bool(self.sequences or self.before) and not self.reasons and not self.job.failed

    def words(self) -> str:
        """Return what became of it."""
        reasons = list(dict.fromkeys([*self.reasons, *self.job.failed]))
        return f"{self.job.name}: {self.before + len(self.sequences)} kept" + "".join(
            f"; {reason}" for reason in reasons
        )


class JobBook:
    """The sets of a plan that are not over. The writer's thread tells what was kept; the others are the device's."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._states: dict[int, JobState] = {}
        self._lock = threading.Lock()

    def add(
        self, name: str, wishes: Iterable[Wish], order: int | None, errand: str | None = None, before: int = 0
    ) -> None:
        """Add a set to the plan; the order of this number, if there is one, is answered when it is over.

        ``errand`` is the command that asked for it, and ``before`` how many of its items were kept earlier.
        """
        job = self._plan.add(name, wishes, errand)
        with self._lock:
            self._states[job.number] = JobState(job, order, before)

    def has(self, errand: str) -> bool:
        """Return whether the set of a command is under way."""
        with self._lock:
            return any(state.job.errand == errand for state in self._states.values())

    def forget(self, errand: str, reason: str) -> None:
        """Take nothing more of the set of a command."""
        for job in self._plan.jobs:
            if job.errand == errand:
                self._plan.cancel_job(job.number, reason)

    def given(self, job: int | None) -> None:
        """An item of the set was handed to the writer."""
        with self._lock:
            if job in self._states:
                self._states[job].given += 1

    def kept(self, job: int | None, sequence: int) -> None:
        """An item of the set was kept."""
        with self._lock:
            if job in self._states:
                self._states[job].sequences.append(sequence)

    def lost(self, job: int | None, reason: str) -> None:
        """An item of the set was lost."""
        with self._lock:
            if job in self._states:
                self._states[job].lost += 1
                self._states[job].reasons.append(reason)

    def give_up(self, job: int | None, reason: str) -> None:
        """Take nothing more of the set."""
        if job is not None:
            self._plan.cancel_job(job, reason)

    def over(self) -> list[JobState]:
        """Return the sets that are over, and forget them."""
        self._plan.finished()
        with self._lock:
            found = [state for state in self._states.values() if state.over]
            for state in found:
                del self._states[state.job.number]
        return found

    def cancel(self, reason: str) -> list[JobState]:
        """Take nothing more of any set; return them, and forget them."""
        self._plan.cancel(reason)
        with self._lock:
            found = list(self._states.values())
            self._states.clear()
        return found
