"""The capture loop of one device: open it, follow the grid, take what is wished for, hand it to the writer.

One thread owns the device and runs ``run``; orders come in from another thread through ``give_order``. Trouble with the
device is answered here as long as opening it again may help; beyond that the loop ends, and the agent starts a new
process.
"""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any, Final

from so2cam.core.health import DeviceState
from so2cam.devices.clock import Clock
from so2cam.devices.errors import DeviceDataError, DeviceError, DeviceStoppedError
from so2cam.devices.protocols import DeviceContext
from so2cam.instrument.clock_quality import ClockQuality, judge_clock
from so2cam.instrument.grid import Grid, GridFollower, GridTarget
from so2cam.instrument.heads import Head, Taken, create_head
from so2cam.instrument.items import make_item
from so2cam.instrument.jobs import JobBook, JobState
from so2cam.instrument.launch import Launch
from so2cam.instrument.light import LightControl
from so2cam.instrument.notes import Note
from so2cam.instrument.orders import OrderDesk
from so2cam.instrument.plan import Plan, UsedExposures, Wish
from so2cam.instrument.tally import Tally
from so2cam.instrument.writer import Writer
from so2cam.observe.statistics import DarkCheck
from so2cam.store.items import Receipt
from so2cam.store.spool import Spool

OPEN_S: Final = 20.0
CAPTURE_S: Final = 5.0
"""A device may be this much later than expected [s] before it counts as not answering"""
PAUSES_S: Final = (0.5, 1.0, 2.0, 5.0, 10.0)
"""Before a device is opened again, by failures in a row [s]"""
_HANDOVER_S: Final = 0.5
"""The device is asked this long before its exposure must begin [s]: until then orders are taken"""
_PREPARE_S: Final = 0.005
_IDLE_S: Final = 1.0
_REPORT_S: Final = 1.0
_READINGS: Final = 8
_CLOSE_S: Final = 2e-4
"""Two clocks are read together when no more than this passes in between [s]"""
_TOLD_S: Final = 300.0
"""What the agent said of the clock holds this long [s]"""
_BAD_ITEMS: Final = 3
"""Items that cannot be used, one after the other, until the device is opened again"""
_REOPENINGS: Final = 3
"""Openings without a good item in between until a new process is asked for"""
_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Captured:
    """What the writer tells of an item when it is kept."""

    kind: str
    time: datetime
    offset_s: float | None
    job: int | None


class RestartNeeded(Exception):  # noqa: N818 - a wish, not an error of the program
    """Only a new process helps the device."""

    def __init__(self, error: DeviceError) -> None:
        super().__init__(str(error))
        self.error = error


class DeviceLoop:
    """The loop. ``send`` takes messages for the agent; ``stop`` ends every wait."""

    def __init__(
        self,
        launch: Launch,
        send: Callable[[Mapping[str, Any]], None],
        stop: threading.Event,
        clock: Clock | None = None,
    ) -> None:
        device = launch.device
        if device.type not in ("camera", "spectrometer"):
            raise TypeError(f"a {device.type} takes nothing")
        self._launch = launch
        self._send = send
        self._stop = stop
        self._wake = threading.Event()
        self._orders: deque[dict[str, Any]] = deque()
        self._clock = clock or launch.clock()
        self._context = DeviceContext(launch.folder, self._clock, stop, launch.run_start)
        self._head: Head | None = None
        self._serial: str | None = None
        self._plan = Plan()
        self._plan.held = launch.held
        if launch.mode is not None:
            self._plan.run(launch.mode, launch.count)
        self._jobs = JobBook(self._plan)
        self._grid = Grid(launch.period_s)
        self._follower = GridFollower()
        self._used = UsedExposures(launch.darks.tolerance, launch.darks.maximum_exposures)
        self._used.load(launch.used)
        self._light = LightControl(device, launch)
        self._tally = Tally()
        self._skipped = 0
        self._bad_in_a_row = 0
        self._reopened = 0
        self._reported_s = 0.0
        self._clock_told: tuple[ClockQuality, float] | None = None
        self._disk_trouble: str | None = None
        self._desk = OrderDesk(
            self._plan,
            self._jobs,
            self._light,
            self._used,
            launch.darks,
            self._reply,
            self._set_period,
            self._tell,
            self._tell_errand,
        )
        self._writer: Writer[Captured] = Writer(
            self._open_spool,
            length=launch.queue,
            on_stored=self._on_stored,
            on_lost=self._on_lost,
            on_known=self._on_known,
            on_trouble=self._on_disk_trouble,
        )

    # --- from other threads --------------------------------------------------------------------------------------

    def give_order(self, order: dict[str, Any]) -> None:
        """Add an order of the agent's; it is taken up within half a second, or after the exposure that is going on."""
        self._orders.append(order)
        self._wake.set()

    def end(self) -> None:
        """End the loop: every wait ends now."""
        self._stop.set()
        self._wake.set()

    def close_writer(self, timeout_s: float) -> int:
        """Keep what was captured; return how many items could not be kept."""
        return self._writer.close(timeout_s)

    def _open_spool(self) -> Spool:
        return Spool(self._launch.spool, node=self._launch.node, layout=self._launch.storage.layout)

    def _on_stored(self, key: Captured, receipt: Receipt) -> None:
        self._tally.count("stored")
        self._tally.note(
            last_item_time=key.time.isoformat(), last_sequence=receipt.sequence, last_offset_s=key.offset_s
        )
        self._report_kept(stored=True)
        if key.job is not None:
            self._jobs.kept(key.job, receipt.sequence)
            self._wake.set()

    def _on_known(self, key: Captured, sequence: int) -> None:
        _LOG.info("an item (%s) of a command was kept before as number %d", key.kind, sequence)
        self._jobs.kept(key.job, sequence)
        self._wake.set()

    def _on_lost(self, key: Captured, reason: str) -> None:
        self._tally.count("lost")
        self._jobs.lost(key.job, reason)
        _LOG.error("an item (%s) was lost: %s", key.kind, reason)
        self._report_kept()

    def _on_disk_trouble(self, trouble: str | None) -> None:
        changed, self._disk_trouble = self._disk_trouble != trouble, trouble
        if changed:
            self._report_kept()

    # --- the loop ------------------------------------------------------------------------------------------------

    def run(self) -> None:
        """Run until ``end``. Raises RestartNeeded where only a new process helps."""
        while not self._stop.is_set():
            try:
                self._serve(self._open())
            except DeviceStoppedError:
                break
            except DeviceError as error:
                self._note_error(error)
                self._close()
                self._reopened += 1
                if error.restart or not error.reopen or self._reopened > _REOPENINGS:
                    raise RestartNeeded(error) from error
                self._wait_out(PAUSES_S[min(self._reopened, len(PAUSES_S)) - 1])
        self._close()

    def _open(self) -> Head:
        self._phase("open", OPEN_S + 5.0)
        head = self._head = create_head(self._light.device, self._context)
        found = head.open(OPEN_S)
        self._desk.limits = found
        self._serial = found["serial"]
        self._light.forget_device()
        self._bad_in_a_row = 0
        self._follower.restart()
        _LOG.info("%s %s (serial number %s) is open", found["driver"], found["model"], found["serial"])
        self._report(opened=True)
        return head

    def _close(self) -> None:
        head, self._head = self._head, None
        if head is not None:
            self._phase("close", 10.0)
            head.close()

    def _serve(self, head: Head) -> None:
        while not self._stop.is_set():
            self._take_orders(head)
            for state in self._jobs.over():
                self._tell(state)
            wish = self._plan.next()
            if self._stop.is_set():
                return
            if wish is None:
                self._follower.restart()
                self._report()
                self._phase("idle", _IDLE_S + 5.0)
                self._wake.wait(_IDLE_S)
                continue
            try:
                if self._take(head, wish):
                    self._bad_in_a_row = self._reopened = 0
            except DeviceDataError as error:
                self._bad_in_a_row += 1
                self._tally.count("rejected")
                self._note_error(error)
                if self._bad_in_a_row >= _BAD_ITEMS:
                    raise
                self._report()

    def _take(self, head: Head, wish: Wish) -> bool:
        """Take one item; False where an order or the clock came in between."""
        self._light.apply(head, wish.exposure_s)
        duration_s = self._light.duration_s
        now, monotonic_s = self._read_clock()
        self._follower.notice_step(now, monotonic_s)
        target: GridTarget | None = None
        at_s: float | None = None
        if wish.on_grid:
            target = self._follower.aim(self._grid, now, duration_s / 2 + _PREPARE_S)
            if not self._wait_for(target, duration_s):
                return False
            now, monotonic_s = self._read_clock()
            at_s = monotonic_s + (target.time - now).total_seconds()
            self._follower.taken(target)
            self._tally.count("skipped_grid_points", target.skipped)
            self._skipped += target.skipped
        head.stage(wish.kind, wish.cell_ppm_m)
        wait_s = 0.0 if at_s is None else max(0.0, at_s - self._clock.monotonic_s())
        self._phase("capture", wait_s + 2 * duration_s + 2 * CAPTURE_S + 5.0)
        taken = head.capture(at_s, CAPTURE_S + duration_s)
        self._tally.count("captured")
        self._keep(head, wish, target, taken)
        if time.monotonic() - self._reported_s > _REPORT_S:
            self._report()  # capturing is progress, whether or not the disk takes it
        return True

    def _read_clock(self) -> tuple[datetime, float]:
        """Return UTC and the monotonic time that belongs to it, read so closely that no pause lies in between."""
        readings = []
        for _ in range(_READINGS):
            before_s = self._clock.monotonic_s()
            now = self._clock.utc()
            after_s = self._clock.monotonic_s()
            readings.append((after_s - before_s, now, 0.5 * (before_s + after_s)))
            if after_s - before_s < _CLOSE_S:
                break
        _, best, middle_s = min(readings, key=lambda reading: reading[0])
        return best, middle_s

    def _wait_for(self, target: GridTarget, duration_s: float) -> bool:
        """Wait until shortly before the exposure; False where an order came, or the clock was stepped."""
        while not self._stop.is_set():
            now, monotonic_s = self._read_clock()
            if self._follower.notice_step(now, monotonic_s):
                return False
            left_s = (target.time - now).total_seconds() - duration_s / 2 - _HANDOVER_S
            if left_s <= 0:
                return True
            self._phase("wait", min(left_s, _IDLE_S) + 5.0)
            self._clock.wait_until(monotonic_s + min(left_s, _IDLE_S), self._wake)
            if self._wake.is_set():
                return False
        return False

    # --- after an item -------------------------------------------------------------------------------------------

    def _keep(self, head: Head, wish: Wish, target: GridTarget | None, taken: Taken) -> None:
        """Measure an item, let the exposure follow, and hand it to the writer; a dark that is not dark is refused."""
        dark: DarkCheck | None = None
        if wish.kind == "dark":
            dark = head.dark_check(taken, self._launch.darks.maximum_level)
            if not dark.dark:
                self._refuse_dark(wish, dark)
                return
            self._light.note_dark(dark.median_dn)
        level = head.level(self._light.device, taken, self._light.dark_level_dn)
        decision = None
        if wish.exposure_s is None and wish.kind != "dark":
            self._used.add(taken.exposure_s)
            if not self._plan.held:
                decision = self._light.follow(head, taken, level)
        note = Note(
            kind=wish.kind,
            grid_time=None if target is None else target.time,
            offset_s=None if target is None else (taken.time - target.time).total_seconds(),
            clock=judge_clock(taken.time, self._told_of_clock()),
            clock_steps=self._follower.steps,
            monotonic_s=taken.mid_exposure_s,
            skipped=self._skipped,
            level=level,
            automatic=self._light.device.automatic.enabled and not self._plan.held,
            decision=decision,
            dark=dark,
            cell_ppm_m=wish.cell_ppm_m,
            period_s=self._grid.period_s,
            version=self._launch.version,
        )
        self._skipped = 0
        self._tally.note(
            exposure_s=taken.exposure_s,
            gain=taken.gain,
            coadds=taken.coadds if taken.gain is None else None,
            signal_fraction=level.bright if level.measured else None,
            saturated_fraction=taken.saturated_share,
            exposure_note=None if decision is None else decision.reason.value,
            kind=wish.kind,
            temperature_c=_temperature(taken),
        )
        self._plan.done(wish)
        self._jobs.given(wish.job)
        key = Captured(wish.kind, taken.time, note.offset_s, wish.job)
        self._writer.give(key, partial(make_item, self._launch, self._light.device, taken, note, wish.mark))

    def _refuse_dark(self, wish: Wish, dark: DarkCheck) -> None:
        self._tally.count("rejected")
        reason = f"it is not dark: {dark.reason}"
        _LOG.warning("a dark was not kept, because %s", reason)
        self._plan.done(wish)
        self._jobs.give_up(wish.job, reason)

    # --- orders --------------------------------------------------------------------------------------------------

    def _take_orders(self, head: Head | None) -> None:
        self._wake.clear()
        while self._orders and not self._stop.is_set():
            order = self._orders.popleft()
            if order["do"] == "clock":
                told = ClockQuality(order["quality"], order["offset_s"], order["maximum_error_s"])
                self._clock_told = (told, time.monotonic())
            else:
                self._desk.obey(order, head)
                self._report()

    def _set_period(self, period_s: float) -> float:
        if period_s != self._grid.period_s:
            self._grid = Grid(period_s)
            self._follower.restart()
        return self._grid.period_s

    def _told_of_clock(self) -> ClockQuality | None:
        told = self._clock_told
        return None if told is None or time.monotonic() - told[1] > _TOLD_S else told[0]

    def _wait_out(self, seconds: float) -> None:
        """Pause before the device is opened again; orders that need no device are carried out meanwhile."""
        until = time.monotonic() + seconds
        while not self._stop.is_set() and (left := until - time.monotonic()) > 0:
            self._report(state=DeviceState.WAITING, next_start_in_s=left)
            self._phase("pause", left + 5.0)
            self._wake.wait(min(left, _IDLE_S))
            self._take_orders(None)

    # --- telling the agent ---------------------------------------------------------------------------------------

    def _reply(self, number: int, ok: bool, text: str, values: Mapping[str, Any]) -> None:
        self._report()  # first: whoever is told that it is done also sees it in the status
        self._send({"t": "reply", "id": number, "ok": ok, "text": text, "values": dict(values)})

    def _tell(self, state: JobState) -> None:
        text = state.words()
        if state.job.name == "darks" and state.done:
            self._used.forget(self._used.chosen())
        _LOG.info("%s", text)
        if state.order is not None:
            numbers = ", ".join(str(number) for number in state.sequences[:10])
            self._reply(state.order, state.done, text, {"stored": len(state.sequences), "sequences": numbers})
        self._send({"t": "event", "name": state.job.name, "ok": state.done, "text": text})
        self._report()
        if state.job.errand is not None:
            self._tell_errand(state.job.errand, "done" if state.done else "failed", text, {})

    def _tell_errand(self, errand: str, state: str, text: str, values: Mapping[str, Any]) -> None:
        self._send({"t": "errand", "errand": errand, "state": state, "text": text, "values": dict(values)})

    def _phase(self, name: str, for_s: float) -> None:
        # Where time runs faster, the same work takes a larger share of it: five more seconds of the computer's time.
        fast = self._launch.fast
        self._send({"t": "phase", "phase": name, "for_s": for_s if fast is None else for_s / fast.rate + 5.0})

    def _note_error(self, error: DeviceError) -> None:
        text = " ".join(str(error.message).split())
        self._tally.note(last_error=text, last_error_time=self._clock.utc().isoformat())
        _LOG.warning("%s%s", text, "" if error.remedy is None else f" ({error.remedy})")

    def _report_kept(self, *, stored: bool = False) -> None:
        """Tell what the writer did; called by its thread."""
        health = {"queued": self._writer.waiting, **self._tally.values()}
        self._send({"t": "status", "stored_now": stored, "disk_trouble": self._disk_trouble, "health": health})

    def _report(
        self,
        *,
        state: DeviceState | None = None,
        next_start_in_s: float | None = None,
        opened: bool = False,
    ) -> None:
        """Tell how the device is; called by the loop's thread only, which alone knows the plan."""
        self._reported_s = time.monotonic()
        self._send(
            {
                "t": "status",
                "opened": opened,
                "used": self._used.to_json(),
                "clock_steps": self._follower.steps,
                "last_step_s": self._follower.last_step_s,
                "held": self._plan.held,
                "mode": self._plan.mode_kind,
                "left": self._plan.mode_left,
                "health": {
                    "state": (state or self._plan.state).value,
                    "next_start_in_s": next_start_in_s,
                    "serial": self._serial,
                    "queued": self._writer.waiting,
                    "automatic": self._light.device.automatic.enabled,
                    "period_s": self._grid.period_s,
                    **self._tally.values(),
                },
            }
        )


def _temperature(taken: Taken) -> float | None:
    for key in ("SensorTemperature", "temperature_c"):
        value = taken.raw.metadata.get(key)
        if isinstance(value, int | float) and not isinstance(value, bool) and -100 < value < 200:
            return float(value)
    return None
