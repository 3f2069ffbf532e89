"""Writes how the node is: a record each interval and on change, and one for everybody who asks."""

import logging
import os
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Final

from so2cam import __version__
from so2cam.core.health import DeviceHealth, DiskHealth, HealthRecord, SpoolHealth
from so2cam.core.site_instrument import Alarm, Health
from so2cam.instrument.alarms import AlarmBoard
from so2cam.instrument.clock_quality import ClockQuality, chrony_quality, judge_clock, timesyncd_quality
from so2cam.instrument.health import Findings, compose, health_item
from so2cam.instrument.memory import Memory
from so2cam.instrument.system import read_system
from so2cam.instrument.writer import Writer
from so2cam.store.items import Receipt
from so2cam.store.spool import Spool

CHANGE_S: Final = 5.0
"""Records on change are at least this far apart [s]"""
CLOCK_S: Final = 60.0
_QUEUE: Final = 120
_LOOK_S: Final = 1.0
_CHANGES: Final = 100
_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class NodeView:
    """What the observer asks of the node. All of it answers at once."""

    node: str
    site: str
    now: Callable[[], datetime]
    devices: Callable[[datetime], tuple[DeviceHealth, ...]]
    activity: Callable[[datetime], tuple[str, datetime | None]]
    storage: Callable[[], tuple[tuple[DiskHealth, ...], SpoolHealth]]
    clock_steps: Callable[[], tuple[int, float | None]]
    processes: Callable[[], Sequence[int]]
    on_clock: Callable[[ClockQuality], None]
    """called when something was heard of the clock"""


class Observer:
    """Observes a node until ``stop`` is set."""

    def __init__(
        self, view: NodeView, settings: Health, alarms: Sequence[Alarm], memory: Memory, stop: threading.Event
    ) -> None:
        self._view = view
        self._settings = settings
        self._alarms = AlarmBoard(alarms)
        self._memory = memory
        self._stop = stop
        self._lock = threading.Lock()
        self._changes: list[str] = []
        self._told: ClockQuality | None = None
        self._written_s: float | None = None
        self._clock_s = float("-inf")
        self._writer: Writer[str] | None = None
        self.latest: HealthRecord | None = None

    def open(self, open_spool: Callable[[], Spool]) -> None:
        """Make ready to keep records."""
        self._writer = Writer(open_spool, length=_QUEUE, on_stored=_stored, on_lost=_lost)

    def note_change(self, name: str, text: str) -> None:
        """Something changed: a record is written soon."""
        with self._lock:
            self._changes = [*self._changes[1 - _CHANGES :], f"{name}: {text}"]

    def run(self) -> None:
        """Write records until the end; for a thread of its own."""
        while not self._stop.is_set():
            now_s = time.monotonic()
            if now_s - self._clock_s >= CLOCK_S:
                self._clock_s = now_s
                self._told = chrony_quality() or timesyncd_quality()
                if self._told is not None:
                    self._view.on_clock(self._told)
            reason = self._reason(now_s)
            if reason is not None:
                self._written_s = now_s
                self.write(reason)
            self._stop.wait(_LOOK_S)

    def write(self, reason: str) -> HealthRecord:
        """Make a record now, and keep it."""
        record = self.record(reason)
        if self._writer is not None:
            self._writer.give(reason, partial(health_item, record))
        return record

    def close(self, timeout_s: float) -> None:
        """Keep what waits, at most so long."""
        if self._writer is not None:
            self._writer.close(timeout_s)

    def clock(self) -> ClockQuality:
        """Return how far the clock can be trusted now."""
        return judge_clock(self._view.now(), self._told)

    def record(self, reason: str) -> HealthRecord:
        """Return everything as it is now."""
        view = self._view
        now = view.now()
        activity, next_change = view.activity(now)
        disks, spool = view.storage()
        steps, last_step_s = view.clock_steps()
        findings = Findings(
            time=now,
            node=view.node,
            site=view.site,
            version=__version__,
            reason=reason,
            activity=activity,
            next_change=next_change,
            devices=view.devices(now),
            disks=disks,
            spool=spool,
            clock=judge_clock(now, self._told),
            clock_steps=steps,
            last_step_s=last_step_s,
            system=read_system([os.getpid(), *view.processes()], boots=self._memory.boots, starts=self._memory.starts),
        )
        with self._lock:
            alarms = self._alarms.update(compose(findings, ()), time.monotonic())
            self.latest = record = compose(findings, alarms)
        return record

    def _reason(self, now_s: float) -> str | None:
        """Return why a record is due; None where none is."""
        written_s = self._written_s
        with self._lock:
            if written_s is None:
                reason = "start"
            elif self._changes and now_s - written_s >= CHANGE_S:
                reason = "change"
            elif now_s - written_s >= self._settings.interval_s:
                reason = "minute"
            else:
                return None
            self._changes = []
        return reason


def _stored(reason: str, receipt: Receipt) -> None:
    _LOG.debug("health record (%s) kept as %d", reason, receipt.sequence)


def _lost(reason: str, why: str) -> None:
    _LOG.warning("a health record (%s) was not kept: %s", reason, why)
