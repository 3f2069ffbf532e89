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
from so2cam.core.site_devices import CameraDevice
from so2cam.devices.clock import Clock
from so2cam.devices.errors import DeviceDataError, DeviceError, DeviceStoppedError
from so2cam.devices.protocols import DeviceContext
from so2cam.instrument.clock_quality import ClockQuality, judge_clock
from so2cam.instrument.grid import Grid, GridFollower, GridTarget
from so2cam.instrument.heads import Head, Taken, create_head, require_exposure
from so2cam.instrument.items import make_item
from so2cam.instrument.launch import Launch
from so2cam.instrument.notes import Note
from so2cam.instrument.plan import Job, Plan, UsedExposures, Wish
from so2cam.instrument.settings import Capturing
from so2cam.instrument.writer import Writer
from so2cam.observe.exposure import ExposureDecision, ExposureState, next_exposure
from so2cam.observe.statistics import DarkCheck
from so2cam.store.items import Receipt
from so2cam.store.spool import Spool

OPEN_S: Final = 20.0
CAPTURE_S: Final = 5.0
"""A device may be this much later than expected [s] before it counts as not answering"""
_HANDOVER_S: Final = 0.5
"""The device is asked this long before its exposure must begin [s]: until then orders are taken"""
_PREPARE_S: Final = 0.005
_IDLE_S: Final = 1.0
_TOLD_S: Final = 300.0
"""What the agent said of the clock holds this long [s]"""
_BAD_ITEMS: Final = 3
"""Items that cannot be used, one after the other, until the device is opened again"""
_REOPENINGS: Final = 3
"""Openings without a good item in between until a new process is asked for"""
PAUSES_S: Final = (0.5, 1.0, 2.0, 5.0, 10.0)
_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Captured:
    """What the writer tells of an item when it is kept."""

    kind: str
    time: datetime
    offset_s: float | None
    job: int | None


@dataclass(slots=True)
class _Counters:
    captured: int = 0
    stored: int = 0
    skipped: int = 0
    lost: int = 0
    rejected: int = 0


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
        self._device: Capturing = device
        self._send = send
        self._stop = stop
        self._wake = threading.Event()
        self._orders: deque[dict[str, Any]] = deque()
        self._clock = clock or launch.clock()
        self._context = DeviceContext(launch.folder, self._clock, stop, launch.run_start)
        self._head: Head | None = None
        self._found: Mapping[str, Any] = {}
        self._plan = Plan()
        self._plan.held = launch.held
        if launch.mode is not None:
            self._plan.run(launch.mode, launch.count)
        self._grid = Grid(launch.period_s)
        self._follower = GridFollower()
        self._used = UsedExposures(launch.darks.tolerance, launch.darks.maximum_exposures)
        self._used.load(launch.used)
        self._exposure_s, self._gain, self._coadds = _start_values(self._device)
        if launch.exposure_s is not None:
            self._exposure_s = launch.exposure_s
        if launch.coadds is not None:
            self._coadds = launch.coadds
        self._applied: tuple[float, float, int] | None = None
        self._real = (self._exposure_s, self._gain, self._coadds)
        self._law_state = ExposureState()
        self._dark_dn: float | None = None
        self._skipped = 0
        self._bad_in_a_row = 0
        self._reopened = 0
        self._clock_told: tuple[ClockQuality, float] | None = None
        self._counters = _Counters()
        self._lock = threading.Lock()
        self._last: dict[str, Any] = {}
        self._jobs: dict[int, tuple[Job, int | None]] = {}
        self._given: dict[int, int] = {}
        self._disk_trouble: str | None = None
        self._writer: Writer[Captured] = Writer(
            self._open_spool,
            length=launch.queue,
            on_stored=self._on_stored,
            on_lost=self._on_lost,
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
        with self._lock:
            self._counters.stored += 1
            self._last |= {
                "last_item_time": key.time.isoformat(),
                "last_sequence": receipt.sequence,
                "last_offset_s": key.offset_s,
            }
            if key.job is not None and key.job in self._jobs:
                job = self._jobs[key.job][0]
                job.stored += 1
                job.sequences.append(receipt.sequence)
        if key.job is not None:
            self._wake.set()
        self._report(stored=True)

    def _on_lost(self, key: Captured, reason: str) -> None:
        with self._lock:
            self._counters.lost += 1
            if key.job is not None and key.job in self._jobs:
                self._jobs[key.job][0].failed.append(reason)
        _LOG.error("an item (%s) was lost: %s", key.kind, reason)
        self._report()

    def _on_disk_trouble(self, trouble: str | None) -> None:
        with self._lock:
            changed, self._disk_trouble = self._disk_trouble != trouble, trouble
        if changed:
            self._report()

    # --- the loop ------------------------------------------------------------------------------------------------

    def run(self) -> None:
        """Run until ``end``. Raises RestartNeeded where only a new process helps."""
        pause = 0
        while not self._stop.is_set():
            try:
                self._open()
                self._serve()
                pause = 0
            except DeviceStoppedError:
                break
            except DeviceError as error:
                self._note_error(error)
                self._close()
                if self._bad_in_a_row == 0 and self._reopened == 0:
                    pause = 0
                self._reopened += 1
                if error.restart or not error.reopen or self._reopened > _REOPENINGS:
                    raise RestartNeeded(error) from error
                self._wait_out(PAUSES_S[min(pause, len(PAUSES_S) - 1)])
                pause += 1
        self._close()

    def _open(self) -> None:
        self._phase("open", OPEN_S + 5.0)
        if self._head is None:
            self._head = create_head(self._device, self._context)
        self._found = self._head.open(OPEN_S)
        self._applied = None
        self._bad_in_a_row = 0
        self._follower.restart()
        _LOG.info(
            "%s %s (serial number %s) is open", self._found["driver"], self._found["model"], self._found["serial"]
        )
        self._report(opened=True)

    def _close(self) -> None:
        head, self._head = self._head, None
        if head is not None:
            self._phase("close", 10.0)
            head.close()

    def _serve(self) -> None:
        while not self._stop.is_set():
            self._take_orders()
            self._finish_jobs()
            if self._stop.is_set():
                return
            wish = self._plan.next()
            if wish is None:
                self._follower.restart()
                self._report()
                self._phase("idle", _IDLE_S + 5.0)
                self._wake.wait(_IDLE_S)
                continue
            try:
                if self._take(wish):
                    self._bad_in_a_row = self._reopened = 0
            except DeviceDataError as error:
                self._bad_in_a_row += 1
                with self._lock:
                    self._counters.rejected += 1
                self._note_error(error)
                if self._bad_in_a_row >= _BAD_ITEMS:
                    raise
                self._report()

    def _take(self, wish: Wish) -> bool:
        """Take one item; False where an order or the clock came in between."""
        head = self._require_head()
        wanted = (
            wish.exposure_s if wish.exposure_s is not None else self._exposure_s,
            self._gain,
            self._coadds,
        )
        self._apply(head, wanted)
        duration_s = self._duration_s()
        now = self._clock.utc()
        self._follower.notice_step(now, self._clock.monotonic_s())
        target: GridTarget | None = None
        at_s: float | None = None
        if wish.on_grid:
            target = self._follower.aim(self._grid, now, duration_s / 2 + _PREPARE_S)
            if not self._wait_for(target, duration_s):
                return False
            at_s = self._clock.monotonic_s() + (target.time - self._clock.utc()).total_seconds()
            self._follower.taken(target)
            with self._lock:
                self._counters.skipped += target.skipped
            self._skipped += target.skipped
        head.stage(wish.kind, wish.cell_ppm_m)
        wait_s = 0.0 if at_s is None else max(0.0, at_s - self._clock.monotonic_s())
        self._phase("capture", wait_s + 2 * duration_s + 2 * CAPTURE_S + 5.0)
        taken = head.capture(at_s, CAPTURE_S + duration_s)
        with self._lock:
            self._counters.captured += 1
        self._keep(head, wish, target, taken)
        return True

    def _wait_for(self, target: GridTarget, duration_s: float) -> bool:
        """Wait until shortly before the exposure; False where an order came, or the clock was stepped."""
        while not self._stop.is_set():
            now, monotonic_s = self._clock.utc(), self._clock.monotonic_s()
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

    def _apply(self, head: Head, wanted: tuple[float, float, int]) -> None:
        if self._applied == wanted:
            return
        exposure_s, gain, coadds = head.configure(*wanted)
        if abs(exposure_s - wanted[0]) > 0.02 * wanted[0]:
            _LOG.warning("the exposure of %g s lies outside the device's limits: %g s is used", wanted[0], exposure_s)
        self._applied = wanted
        self._real = (exposure_s, gain, coadds)

    def _duration_s(self) -> float:
        exposure_s, _, coadds = self._real
        return exposure_s * coadds

    # --- after an item -------------------------------------------------------------------------------------------

    def _keep(self, head: Head, wish: Wish, target: GridTarget | None, taken: Taken) -> None:
        dark: DarkCheck | None = None
        if wish.must_be_dark or wish.kind == "dark":
            dark = head.dark_check(taken, self._launch.darks.maximum_level)
        if dark is not None and not dark.dark:
            self._refuse_dark(wish, dark)
            return
        level = head.level(taken, self._dark_level())
        decision = self._follow_light(head, wish, taken, level)
        if dark is not None:
            self._dark_dn = dark.median_dn
        elif wish.exposure_s is None and wish.kind in ("plume", "clear", "cell"):
            self._used.add(taken.exposure_s)
        note = Note(
            kind=wish.kind,
            grid_time=None if target is None else target.time,
            offset_s=None if target is None else (taken.time - target.time).total_seconds(),
            clock=judge_clock(taken.time, self._told_of_clock()),
            clock_steps=self._follower.steps,
            monotonic_s=taken.mid_exposure_s,
            skipped=self._skipped,
            level=level,
            automatic=self._device.automatic.enabled and not self._plan.held,
            decision=decision,
            dark=dark,
            cell_ppm_m=wish.cell_ppm_m,
            period_s=self._grid.period_s,
            version=self._launch.version,
        )
        self._skipped = 0
        with self._lock:
            self._last |= {
                "exposure_s": taken.exposure_s,
                "gain": taken.gain,
                "coadds": taken.coadds if self._device.type == "spectrometer" else None,
                "signal_fraction": level.bright if level.measured else None,
                "saturated_fraction": taken.saturated_share,
                "exposure_note": None if decision is None else decision.reason.value,
                "kind": wish.kind,
                "temperature_c": _temperature(taken),
            }
            if wish.job is not None:
                self._given[wish.job] = self._given.get(wish.job, 0) + 1
        self._plan.done(wish)
        key = Captured(wish.kind, taken.time, note.offset_s, wish.job)
        self._writer.give(key, partial(make_item, self._launch, self._device, taken, note))

    def _follow_light(self, head: Head, wish: Wish, taken: Taken, level: Any) -> ExposureDecision | None:
        if wish.exposure_s is not None or wish.kind == "dark" or self._plan.held:
            return None
        decision = next_exposure(
            self._law_state,
            level,
            exposure_s=taken.exposure_s,
            coadds=taken.coadds,
            law=head.law(self._device),
        )
        self._law_state = decision.state
        if decision.changed and self._device.automatic.enabled:
            self._exposure_s, self._coadds = decision.exposure_s, decision.coadds
        return decision

    def _dark_level(self) -> float:
        known = self._device.automatic.dark_level_dn
        return known if known is not None else self._dark_dn if self._dark_dn is not None else 0.0

    def _refuse_dark(self, wish: Wish, dark: DarkCheck) -> None:
        with self._lock:
            self._counters.rejected += 1
        reason = f"it is not dark: {dark.reason}"
        _LOG.warning("a dark was not kept, because %s", reason)
        self._plan.done(wish)
        if wish.job is not None:
            with self._lock:
                self._jobs[wish.job][0].failed.append(reason)
            self._plan.cancel_job(wish.job, "the rest of the set was not taken")

    def _finish_jobs(self) -> None:
        self._plan.finished()
        over = []
        with self._lock:
            for number, (job, order) in list(self._jobs.items()):
                kept_or_not = job.stored + sum(1 for text in job.failed if "lost" in text or "cannot be kept" in text)
                if job.finished and kept_or_not >= self._given.get(number, 0):
                    over.append((job, order))
                    del self._jobs[number]
                    self._given.pop(number, None)
        for job, order in over:
            self._tell(job, order)

    def _tell(self, job: Job, order: int | None) -> None:
        text = f"{job.name}: {job.stored} kept"
        if job.failed:
            text += f"; {'; '.join(dict.fromkeys(job.failed))}"
        if job.name == "darks" and job.stored and not job.failed:
            self._used.forget(self._used.chosen())
        _LOG.info("%s", text)
        if order is not None:
            ok = bool(job.stored) and not job.failed
            numbers = ", ".join(str(number) for number in job.sequences[:10])
            self._reply(order, ok, text, {"stored": job.stored, "sequences": numbers})
        self._send({"t": "event", "name": job.name, "ok": not job.failed, "text": text})
        self._report()

    # --- orders --------------------------------------------------------------------------------------------------

    def _take_orders(self) -> None:
        self._wake.clear()
        while self._orders and not self._stop.is_set():
            order = self._orders.popleft()
            self._obey(order)

    def _obey(self, order: dict[str, Any]) -> None:
        number = int(order.get("id", 0))
        what = order["do"]
        if what == "clock":
            told = ClockQuality(order["quality"], order["offset_s"], order["maximum_error_s"])
            self._clock_told = (told, time.monotonic())
        elif what == "run":
            self._plan.run(order["kind"], order.get("count"))
            self._reply(number, True, f"captures {order['kind']} every {self._grid.period_s:g} s", {})
        elif what == "mode":
            if order["kind"] is None:
                self._plan.stop()
            else:
                self._plan.run(order["kind"], None)
        elif what == "stop":
            self._stop_modes(number, bool(order.get("force")))
        elif what == "shot":
            wish = Wish(
                order["kind"],
                order.get("cell_ppm_m"),
                order.get("exposure_s"),
                on_grid=False,
                must_be_dark=order["kind"] == "dark",
            )
            self._add(f"{order['kind']} shot", [wish], number)
        elif what == "darks":
            self._start_darks(order, number)
        elif what == "cells":
            self._cells(order, number)
        elif what == "settings":
            self._change(order, number)
        self._report()

    def _stop_modes(self, number: int, force: bool) -> None:
        jobs = [job.name for job in self._plan.jobs]
        if (jobs or self._plan.held) and not force:
            busy = "a manual calibration" if self._plan.held else jobs[0]
            self._reply(number, False, f"{busy} is going on; stop it with force", {})
            return
        self._plan.stop()
        self._plan.held = False
        for job in self._plan.cancel("stopped"):
            with self._lock:
                entry = self._jobs.pop(job.number, None)
                self._given.pop(job.number, None)
            if entry is not None:
                self._tell(*entry)
        self._reply(number, True, "stopped", {})

    def _add(self, name: str, wishes: list[Wish], order: int | None) -> Job:
        job = self._plan.add(name, wishes)
        with self._lock:
            self._jobs[job.number] = (job, order)
        return job

    def _start_darks(self, order: dict[str, Any], number: int) -> None:
        if any(job.name == "darks" for job in self._plan.jobs):
            self._reply(number, False, "a dark set is going on already", {})
            return
        limits = self._limits()
        exposures = tuple(order.get("exposures_s") or self._used.chosen() or (self._exposure_s,))
        try:
            for exposure_s in exposures:
                require_exposure(self._device.name, exposure_s, limits)
        except DeviceError as error:
            self._reply(number, False, str(error.message), {})
            return
        repeats = int(order.get("repeats") or self._launch.darks.repeats)
        wishes = [
            Wish("dark", exposure_s=exposure_s, on_grid=False, must_be_dark=True)
            for exposure_s in exposures
            for _ in range(repeats)
        ]
        self._add("darks", wishes, None)
        total_s = sum(exposures) * repeats * self._coadds
        text = f"takes {len(wishes)} darks at {len(exposures)} exposures, {total_s:.1f} s of exposure in all"
        self._reply(number, True, text, {"items": len(wishes)})

    def _cells(self, order: dict[str, Any], number: int) -> None:
        action = order["action"]
        if action == "begin":
            self._plan.held = True
            self._follower.restart()
            text = f"holds still at an exposure of {self._exposure_s:g} s"
            self._reply(number, True, text, {"exposure_s": self._exposure_s})
        elif action == "end":
            self._plan.held = False
            self._reply(number, True, "goes on as before", {})
        elif not self._plan.held:
            self._reply(number, False, "no calibration is going on; begin one first", {})
        else:
            kind = "cell" if action == "take" else "clear"
            wishes = [Wish(kind, order.get("ppm_m"))] * int(order.get("count", 1))
            self._add(f"{order['ppm_m']:g} ppm m cell" if kind == "cell" else "clear sky", wishes, number)

    def _change(self, order: dict[str, Any], number: int) -> None:
        """Take over new settings, or with ``check`` only say whether the device could have them."""
        device = type(self._device).model_validate(order["device"])
        period_s = float(order["period_s"])
        exposure_s, gain, coadds = _start_values(device)
        try:
            explicit = order.get("explicit", [])
            if "exposure_s" in explicit:
                require_exposure(device.name, exposure_s, self._limits())
            limits = self._found.get("gain_limits")
            if "gain" in explicit and limits and not limits[0] <= gain <= limits[1]:
                text = f"gain must be from {limits[0]:g} to {limits[1]:g}, the limits of the device"
                self._reply(number, False, text, {})
                return
        except DeviceError as error:
            self._reply(number, False, f"exposure {error.message}", {})
            return
        if order.get("check"):
            self._reply(number, True, "possible", {})
            return
        self._device = device
        if period_s != self._grid.period_s:
            self._grid = Grid(period_s)
            self._follower.restart()
        if not device.automatic.enabled and "exposure_s" not in explicit:
            exposure_s = self._exposure_s  # automatic off without a value: as it is now
        elif device.automatic.enabled:
            exposure_s = self._exposure_s
        law = self._require_head().law(device)
        self._exposure_s = min(max(exposure_s, law.shortest_s), law.longest_s)
        self._gain, self._coadds = gain, coadds
        self._law_state = ExposureState()
        try:
            self._apply(self._require_head(), (self._exposure_s, self._gain, self._coadds))
        except DeviceDataError as error:
            self._reply(number, False, error.message, {})
            return
        applied_s, applied_gain, applied_coadds = self._real
        values: dict[str, Any] = {
            "automatic": device.automatic.enabled,
            "exposure_s": applied_s,
            "period_s": self._grid.period_s,
        }
        if isinstance(device, CameraDevice):
            values["gain"] = applied_gain
        else:
            values["coadds"] = applied_coadds
        self._reply(number, True, "applied", values)

    def _told_of_clock(self) -> ClockQuality | None:
        told = self._clock_told
        return None if told is None or time.monotonic() - told[1] > _TOLD_S else told[0]

    def _limits(self) -> tuple[float, float]:
        low, high = self._found.get("exposure_limits_s", (0.0, float("inf")))
        return float(low), float(high)

    # --- telling the agent ---------------------------------------------------------------------------------------

    def _reply(self, number: int, ok: bool, text: str, values: Mapping[str, Any]) -> None:
        self._report()  # first: whoever is told that it is done also sees it in the status
        self._send({"t": "reply", "id": number, "ok": ok, "text": text, "values": dict(values)})

    def _phase(self, name: str, for_s: float) -> None:
        rate = 1.0 if self._launch.fast is None else self._launch.fast.rate
        self._send({"t": "phase", "phase": name, "for_s": for_s / rate + (0.0 if rate == 1.0 else 5.0)})

    def _note_error(self, error: DeviceError) -> None:
        text = " ".join(str(error.message).split())
        with self._lock:
            self._last |= {"last_error": text, "last_error_time": self._clock.utc().isoformat()}
        _LOG.warning("%s%s", text, "" if error.remedy is None else f" ({error.remedy})")

    def _wait_out(self, seconds: float) -> None:
        """Pause before the device is opened again; orders that need no device are answered meanwhile."""
        until = time.monotonic() + seconds
        self._report(state=DeviceState.WAITING, next_start_in_s=seconds)
        while not self._stop.is_set() and (left := until - time.monotonic()) > 0:
            self._phase("pause", left + 5.0)
            self._wake.wait(min(left, _IDLE_S))
            self._wake.clear()
            for order in [self._orders.popleft() for _ in range(len(self._orders))]:
                if order["do"] in ("run", "mode", "stop", "clock"):
                    self._obey(order)
                else:
                    self._reply(int(order.get("id", 0)), False, "the device fails now; try again later", {})

    def _report(
        self,
        *,
        state: DeviceState | None = None,
        next_start_in_s: float | None = None,
        stored: bool = False,
        opened: bool = False,
    ) -> None:
        with self._lock:
            counters = self._counters
            message = {
                "t": "status",
                "stored_now": stored,
                "opened": opened,
                "used": self._used.to_json() if not stored else None,
                "clock_steps": self._follower.steps,
                "last_step_s": self._follower.last_step_s,
                "disk_trouble": self._disk_trouble,
                "held": self._plan.held,
                "mode": self._plan.mode_kind,
                "left": self._plan.mode_left,
                "health": {
                    "state": (state or self._plan.state).value,
                    "next_start_in_s": next_start_in_s,
                    "serial": self._found.get("serial"),
                    "captured": counters.captured,
                    "stored": counters.stored,
                    "skipped_grid_points": counters.skipped,
                    "lost": counters.lost,
                    "rejected": counters.rejected,
                    "queued": self._writer_waiting(),
                    "automatic": self._device.automatic.enabled,
                    "period_s": self._grid.period_s,
                    **self._last,
                },
            }
        self._send(message)

    def _writer_waiting(self) -> int:
        return self._writer.waiting if hasattr(self, "_writer") else 0

    def _require_head(self) -> Head:
        if self._head is None:
            raise DeviceError("the device is not open", device=self._device.name)
        return self._head


def _start_values(device: Capturing) -> tuple[float, float, int]:
    if isinstance(device, CameraDevice):
        return device.exposure_s, device.gain, 1
    return device.integration_time_s, 1.0, device.coadds


def _temperature(taken: Taken) -> float | None:
    for key in ("SensorTemperature", "temperature_c"):
        value = taken.raw.metadata.get(key)
        if isinstance(value, int | float) and not isinstance(value, bool) and -100 < value < 200:
            return float(value)
    return None
