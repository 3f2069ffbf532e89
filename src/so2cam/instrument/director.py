"""What is wanted of the devices now: the schedule, and what people asked for meanwhile.

A person's start or stop holds until the schedule next begins or ends capturing; ``pause`` keeps the schedule out for a
time, or until it is resumed. With a clock that was never set the answer is to capture: light that was not recorded
never comes back.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Literal

from so2cam.core.intervals import Interval
from so2cam.core.site_camera import GeoPoint
from so2cam.core.site_schedule import Schedule
from so2cam.instrument.clock_quality import EARLIEST
from so2cam.link.messages import ScheduleEntry
from so2cam.observe.schedule import actions_at, dark_sets_due, next_change

LATE_DARKS: Final = timedelta(hours=2)
"""A dark set that fell into a time without power is made up for within this, if its window still holds"""
_COMING: Final = 8
_ANEW: Final = timedelta(days=1)
Kind = Literal["plume", "clear", "test"]


@dataclass(frozen=True, slots=True)
class Asked:
    """What a person asked for: this kind, or with None to stop."""

    kind: Kind | None


class Director:
    """Decides, second by second. Not safe for several threads at once: the agent holds a lock."""

    def __init__(
        self,
        schedule: Schedule | None,
        place: GeoPoint,
        *,
        start: Literal["schedule", "running", "stopped"],
        kind: Kind,
        last_darks: datetime | None = None,
    ) -> None:
        self._schedule = schedule
        self._place = place
        self._kind = kind
        self._asked: dict[str, Asked] = {}
        self._for_all: Asked | None = {"schedule": None, "running": Asked(kind), "stopped": Asked(None)}[start]
        self._scheduled: bool | None = None
        self._change: datetime | None = None
        self._change_known: tuple[datetime, datetime] | None = None
        self._looked: datetime | None = None
        self._darks_seen = last_darks
        self.paused = False
        self.paused_until: datetime | None = None

    # --- what people ask for -------------------------------------------------------------------------------------

    def ask(self, devices: Iterable[str], kind: Kind | None) -> None:
        """Capture ``kind``, or with None stop, at these devices until the schedule next changes."""
        for name in devices:
            self._asked[name] = Asked(kind)

    def take(self, schedule: Schedule | None) -> None:
        """Follow another schedule from now on; what was asked for meanwhile is forgotten."""
        self._schedule = schedule
        self._scheduled = None
        self._change_known = None
        self._asked.clear()
        self._for_all = None

    def pause(self, until: datetime | None) -> None:
        """Keep the schedule out: devices go on as they are."""
        self.paused, self.paused_until = True, until

    def resume(self) -> None:
        """Follow the schedule again, and forget what was asked for."""
        self.paused, self.paused_until = False, None
        self._asked.clear()
        self._for_all = None

    # --- what is wanted ------------------------------------------------------------------------------------------

    def update(self, now: datetime) -> None:
        """Look at the schedule."""
        if self.paused and self.paused_until is not None and now >= self.paused_until:
            self.paused, self.paused_until = False, None
        if self.paused and self._scheduled is not None:
            return
        wanted = self._wants_capture(now)
        if self._scheduled is not None and wanted is not self._scheduled:
            self._asked.clear()
            self._for_all = None
        self._scheduled = wanted

    def wanted(self, device: str) -> Kind | None:
        """Return the kind that ``device`` is to capture on the grid; None: nothing."""
        asked = self._asked.get(device, self._for_all)
        if asked is not None:
            return asked.kind
        return self._kind if self._scheduled is not False else None

    def darks_due(self, now: datetime) -> bool:
        """Return whether a dark set begins now by the schedule: once for each time that is due."""
        if self._schedule is None or self.paused or now < EARLIEST or not self._schedule.windows_for("darks"):
            return False
        since = self._looked or max(self._darks_seen or EARLIEST, now - LATE_DARKS)
        if since >= now or now - since > LATE_DARKS:
            since = now - timedelta(seconds=60)
        self._looked = now
        due = dark_sets_due(self._schedule, self._place, Interval(since, now))
        return bool(due) and "darks" in actions_at(self._schedule, self._place, now)

    def housekeeping_wanted(self, now: datetime) -> bool:
        """Return whether checks and cleaning that take the disk's time are welcome: without windows, always."""
        if self._schedule is None or not self._schedule.windows_for("housekeeping") or now < EARLIEST:
            return True
        return "housekeeping" in actions_at(self._schedule, self._place, now)

    # --- in words ------------------------------------------------------------------------------------------------

    def activity(self, now: datetime) -> str:
        """Return what is wanted, in words."""
        if now < EARLIEST:
            words = "captures, because the clock was never set"
        elif self._schedule is None:
            words = "captures always (no schedule)" if self._for_all is None else "as it was started"
        else:
            words = "captures by schedule" if self._scheduled is not False else "rests by schedule"
        if self._for_all is not None:
            words = "captures as set in the site file" if self._for_all.kind else "stopped as set in the site file"
        if self.paused:
            words += ", the schedule is paused"
        for verb, names in (
            ("started", [n for n, a in self._asked.items() if a.kind]),
            ("stopped", [n for n, a in self._asked.items() if not a.kind]),
        ):
            if names:
                words += f"; {', '.join(sorted(names))} {verb} by hand"
        return words

    def next_change(self, now: datetime) -> datetime | None:
        """Return when the schedule next begins or ends something; None where nothing ever changes."""
        if self._schedule is None or now < EARLIEST:
            return None
        known = self._change_known
        if known is None or not known[0] <= now < known[1]:
            change = next_change(self._schedule, self._place, now)
            self._change = None if change is None else change.time
            self._change_known = (now, min(self._change or now + _ANEW, now + _ANEW))
        return self._change

    def coming(self, now: datetime) -> tuple[ScheduleEntry, ...]:
        """Return what comes next by the schedule."""
        found: list[ScheduleEntry] = []
        if self._schedule is None or now < EARLIEST:
            return ()
        at = now
        while len(found) < _COMING and (change := next_change(self._schedule, self._place, at)) is not None:
            parts = [f"{action} begins" for action in sorted(change.begins)]
            parts += [f"{action} ends" for action in sorted(change.ends)]
            found.append(ScheduleEntry(time=change.time, activity=", ".join(parts)))
            at = change.time
        return tuple(found)

    def _wants_capture(self, now: datetime) -> bool:
        if self._schedule is None or now < EARLIEST:
            return True
        return "capture" in actions_at(self._schedule, self._place, now)
