"""The agent of one node: devices under supervision, schedule, commands, health, watchdog."""

import logging
import os
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any, Final

from so2cam import __version__
from so2cam.core.errors import So2camError
from so2cam.core.health import DeviceHealth, HealthRecord
from so2cam.core.site import Site
from so2cam.core.site_devices import CameraDevice, Device, GpioDevice
from so2cam.core.site_instrument import Instrument, Node
from so2cam.instrument.alarms import AlarmBoard
from so2cam.instrument.clock_quality import ClockQuality, chrony_quality, judge_clock, timesyncd_quality
from so2cam.instrument.commands import Commander
from so2cam.instrument.director import Director
from so2cam.instrument.errors import InstrumentError
from so2cam.instrument.health import Findings, compose, health_item
from so2cam.instrument.keeper import Keeper
from so2cam.instrument.launch import FastTime, Launch, now_utc
from so2cam.instrument.memory import load_memory, save_memory
from so2cam.instrument.mirroring import MirrorThread
from so2cam.instrument.places import places_of
from so2cam.instrument.power_schedule import NAME, write_power_schedule
from so2cam.instrument.settings import DeviceSettings, OverrideFile, from_site, with_overrides
from so2cam.instrument.supervise import END_S, DeviceSupervisor
from so2cam.instrument.system import boot_id, read_system
from so2cam.instrument.threads import VitalThread, log_failures
from so2cam.instrument.watchdog import Watchdog
from so2cam.instrument.writer import Writer
from so2cam.link.local import LocalServer
from so2cam.observe.power import BatteryState, BatteryWatch, watch_battery
from so2cam.store.items import Receipt
from so2cam.store.spool import Spool

TICK_S: Final = 0.5
SCHEDULE_S: Final = 2.0
DARKS_S: Final = 20.0
MODE_AGAIN_S: Final = 5.0
"""A wanted mode is told again after this, where a device does not have it yet"""
CHANGE_S: Final = 5.0
"""Records on change are at least this far apart"""
MEMORY_S: Final = 300.0
MINUTE_S: Final = 60.0
POWER_PLAN_S: Final = 6 * 3600.0
CHRONY_S: Final = 60.0
STALLED_S: Final = 300.0
"""The watchdog is not fed any more when nothing was captured for this long though it is wanted"""
_LATE_S: Final = 10.0
_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class RunOptions:
    """How an agent is run. ``run_for_s``: end by itself; ``fast``: time that runs faster, for replays and tests.

    ``each_minute`` is called about once a minute by the main loop.
    """

    run_for_s: float | None = None
    fast: FastTime | None = None
    each_minute: Callable[[], None] = lambda: None


@dataclass(frozen=True, slots=True)
class RunSummary:
    """What came of a run: the last health record, and whether the computer is to be switched off."""

    health: HealthRecord
    power_off: bool
    unsaved: int


class NodeAgent:
    """The agent. ``run`` blocks until the end; ``stop`` may be called from anywhere, a signal handler too."""

    def __init__(
        self,
        site: Site,
        site_path: Path,
        node: str,
        socket: Path,
        options: RunOptions | None = None,
    ) -> None:
        """Prepare. Raises InstrumentError where the site has no such node, or nothing to do on it."""
        self._options = options or RunOptions()
        self.site = site
        self.site_path = site_path
        self.instrument, self.node = find_node(site, node)
        self.places = places_of(self.instrument, self.node, site_path)
        self._run_start = now_utc() if self._options.fast is None else self._options.fast.start
        self._stop = threading.Event()
        self._power_off = False
        self._changes: list[str] = []
        self._change_lock = threading.Lock()
        self.memory = load_memory(self.places.memory)
        self.memory.note_start(boot_id())
        self._settings_lock = threading.Lock()
        self.override_file = OverrideFile(self.places.overrides)
        self.site_settings = {
            device.name: from_site(device, self.instrument.acquisition) for device in self.node.instruments
        }
        self.settings = self._load_settings()
        self.director = Director(
            self.instrument.schedule,
            site.camera.position,
            start=self.instrument.acquisition.start,
            kind=self.instrument.acquisition.kind,
            last_darks=self.memory.last_darks,
        )
        self.director_lock = threading.Lock()
        self.supervisors = {
            device.name: DeviceSupervisor(device.name, self._launcher(device), _first_health(device), self._note_change)
            for device in self.node.enabled
            if not isinstance(device, GpioDevice)
        }
        self.keeper = Keeper(
            self.places,
            self.node.name,
            self.instrument.storage_of(self.node),
            checking=self._checking_welcome,
            on_change=self._note_change,
        )
        storage = self.instrument.storage_of(self.node)
        self._mirror = (
            None
            if storage.mirror is None
            else MirrorThread(self.places, self.node.name, storage, storage.mirror, self._note_change)
        )
        self._alarms = AlarmBoard(self.instrument.alarms)
        self.watchdog = Watchdog()
        self._commander = Commander(self)
        self._server = LocalServer(socket, self.node.name, self._commander.handle)
        self._latest: HealthRecord | None = None
        self._latest_lock = threading.Lock()
        self._chrony: ClockQuality | None = None
        self._told: dict[str, tuple[str | None, float]] = {}
        self._battery = BatteryWatch(BatteryState(self.memory.battery), time.monotonic())
        self._battery_words: str | None = None

    # --- running -------------------------------------------------------------------------------------------------

    def run(self) -> RunSummary:
        """Run until ``stop``, or as long as the options say. Raises So2camError where it cannot start."""
        began_s = time.monotonic()
        log_failures()
        self._server.start()
        writer: Writer[str] = Writer(self._open_spool, length=120, on_stored=_health_stored, on_lost=_health_lost)
        observer = VitalThread("health", lambda: self._observe(writer))
        try:
            self._follow_schedule(now_utc())
            for supervisor in self.supervisors.values():
                supervisor.start()
            self.keeper.start()
            if self._mirror is not None:
                self._mirror.start()
            observer.start()
            _LOG.info("node %s of %s: %d devices", self.node.name, self.site.name, len(self.supervisors))
            self.watchdog.ready("starting")
            vital = [observer, self.keeper.thread, *(one.thread for one in self.supervisors.values())]
            if self._mirror is not None:
                vital.append(self._mirror.thread)
            self._loop(began_s, vital)
        finally:
            self.watchdog.stopping()
            summary = self._shut_down(writer, observer)
        return summary

    def stop(self, *, power_off: bool = False) -> None:
        """End the run."""
        if power_off:
            self._power_off = True
        self._stop.set()

    @property
    def stopping(self) -> bool:
        """Whether the end has begun."""
        return self._stop.is_set()

    def _loop(self, began_s: float, vital: Sequence[VitalThread]) -> None:
        last_schedule = last_darks = last_fed = last_memory = last_minute = time.monotonic()
        next_power_plan = time.monotonic()
        while not self._stop.wait(TICK_S):
            now, now_s = now_utc(), time.monotonic()
            if self._options.run_for_s is not None and now_s - began_s >= self._options.run_for_s:
                return
            if now_s - last_schedule >= SCHEDULE_S:
                last_schedule = now_s
                self._follow_schedule(now)
                self._watch_battery(now_s)
                for thread in vital:
                    thread.revive()
            if now_s - last_darks >= DARKS_S:
                last_darks = now_s
                self._darks_by_schedule(now)
            if now_s >= next_power_plan:
                next_power_plan = now_s + POWER_PLAN_S
                self._plan_power(now)
            if now_s - last_memory >= MEMORY_S:
                last_memory = now_s
                self._remember()
            if now_s - last_minute >= MINUTE_S:
                last_minute = now_s
                self._options.each_minute()
            interval_s = self.watchdog.interval_s
            if self.watchdog.wanted and now_s - last_fed >= min(10.0, (interval_s or 30.0) / 3):
                last_fed = now_s
                self._feed()

    def _shut_down(self, writer: Writer[str], observer: VitalThread) -> RunSummary:
        self._stop.set()
        for supervisor in self.supervisors.values():
            supervisor.ask_to_stop()
        limit = time.monotonic() + END_S
        for supervisor in self.supervisors.values():
            supervisor.stop(max(0.1, limit - time.monotonic()))
        observer.join(1.0)
        self._remember()
        record = self.record("stop")
        writer.give("stop", lambda: health_item(record))
        writer.close(1.0)
        self.keeper.stop(1.0)
        if self._mirror is not None:
            self._mirror.stop(0.5)
        self._server.close()
        unsaved = sum(supervisor.unsaved for supervisor in self.supervisors.values())
        return RunSummary(record, self._power_off, unsaved)

    # --- devices -------------------------------------------------------------------------------------------------

    def _launcher(self, device: Device) -> Callable[[], Launch]:
        def launch() -> Launch:
            settings = self.settings.get(device.name)
            supervisor = self.supervisors.get(device.name)
            health = None if supervisor is None else supervisor.health(now_utc(), _LATE_S)
            with self.director_lock:
                mode = self.director.wanted(device.name) if settings is not None else None
            automatic = settings is not None and (
                settings.device.automatic.enabled or bool(supervisor and supervisor.held)
            )
            return Launch(
                node=self.node.name,
                site=self.site.name,
                folder=self.site_path.parent,
                device=device if settings is None else settings.device,
                period_s=self.instrument.acquisition.period_s if settings is None else settings.period_s,
                spool=self.places.root,
                storage=self.instrument.storage_of(self.node),
                darks=self.instrument.darks,
                position=self.site.camera.position,
                tags=(self.site.files.on_band, self.site.files.off_band),
                queue=self.instrument.acquisition.queue,
                run_start=self._run_start,
                mode=mode,
                held=bool(supervisor and supervisor.held),
                exposure_s=health.exposure_s if health is not None and automatic and health.kind != "dark" else None,
                coadds=health.coadds if health is not None and automatic and health.kind != "dark" else None,
                used=self.used_of(device.name),
                fast=self._options.fast,
                version=__version__,
            )

        return launch

    def used_of(self, name: str) -> dict[str, int]:
        """Return the exposures that a device used since its last darks."""
        supervisor = self.supervisors.get(name) if hasattr(self, "supervisors") else None
        return (supervisor.used if supervisor is not None and supervisor.used else None) or self.memory.used.get(
            name, {}
        )

    def late_s(self, name: str) -> float:
        """Return how old the last item of a device may be while it captures [s]."""
        settings = self.settings.get(name)
        if settings is None:
            return 120.0
        device = settings.device
        exposure_s = (
            device.maximum_exposure_s if isinstance(device, CameraDevice) else device.maximum_integration_time_s
        )
        return max(_LATE_S, self.instrument.health.late_periods * settings.period_s, 3 * exposure_s)

    def _load_settings(self) -> dict[str, DeviceSettings]:
        settings = dict(self.site_settings)
        try:
            kept = self.override_file.load()
        except So2camError as error:
            _LOG.warning("%s", " ".join(str(error).split()))
            return settings
        for name, overrides in kept.items():
            if name not in settings:
                continue
            try:
                settings[name] = with_overrides(settings[name], overrides)
            except So2camError as error:
                _LOG.warning("a setting of the last run is left out: %s", " ".join(str(error).split()))
        return settings

    def _open_spool(self) -> Spool:
        return Spool(self.places.root, node=self.node.name, layout=self.instrument.storage_of(self.node).layout)

    # --- schedule ------------------------------------------------------------------------------------------------

    def _follow_schedule(self, now: datetime) -> None:
        with self.director_lock:
            self.director.update(now)
            wanted = {name: self.director.wanted(name) for name in self.settings}
        now_s = time.monotonic()
        for name, kind in wanted.items():
            supervisor = self.supervisors[name]
            if supervisor.mode_left is not None or supervisor.held or supervisor.mode == kind:
                self._told.pop(name, None)
                continue
            told = self._told.get(name)
            if told is None or told[0] != kind or now_s - told[1] > MODE_AGAIN_S:
                self._told[name] = (kind, now_s)
                supervisor.tell({"do": "mode", "kind": kind})

    def _darks_by_schedule(self, now: datetime) -> None:
        with self.director_lock:
            due = self.director.darks_due(now)
        if due:
            self.memory.last_darks = now
            self._remember()
            for name in self.settings:
                reply = self.supervisors[name].order({"do": "darks"}, timeout_s=2.0)
                _LOG.info("dark set by schedule: %s", reply.text, extra={"device": name})

    def _plan_power(self, now: datetime) -> None:
        """Write the power schedule of the board, where there is one and the time is known."""
        schedule = self.instrument.schedule
        if schedule is None or self.node.power is None or self.clock_quality().quality == "unset":
            return
        try:
            if write_power_schedule(self.places.state / NAME, schedule, self.site.camera.position, now):
                _LOG.info("the power schedule was written anew")
        except So2camError as error:
            _LOG.warning("the power schedule cannot be written: %s", " ".join(str(error).split()))

    def _checking_welcome(self) -> bool:
        with self.director_lock:
            return self.director.housekeeping_wanted(now_utc())

    def _watch_battery(self, now_s: float) -> None:
        schedule, board = self.instrument.schedule, self.node.power
        if schedule is None or schedule.power.battery is None or board is None:
            return
        voltage = self.supervisors[board.name].health(now_utc(), 120.0).readings.get("input_voltage_v")
        if voltage is None:
            return
        decision = watch_battery(self._battery, voltage, now_s, schedule.power.battery)
        if decision.reason != self._battery_words and decision.watch.state is not self._battery.state:
            _LOG.warning("%s", decision.reason)
            self._note_change("battery", decision.reason)
        self._battery, self._battery_words = decision.watch, decision.reason
        self.memory.battery = decision.watch.state.value
        if decision.shut_down:
            if decision.wake_after is not None:
                wake = now_utc() + decision.wake_after
                reply = self.supervisors[board.name].order({"do": "wake", "at": wake.isoformat()})
                _LOG.warning("wakes again %s: %s", wake.isoformat(timespec="minutes"), reply.text)
                if not reply.ok:
                    # Without an alarm the node might never come back: it stays on, and tries again.
                    return
            self._remember()
            self.stop(power_off=True)

    # --- health --------------------------------------------------------------------------------------------------

    def _observe(self, writer: Writer[str]) -> None:
        """Write a record each interval, and on change; runs in a thread of its own."""
        interval_s = self.instrument.health.interval_s
        last_s = last_chrony_s = float("-inf")
        reason = "start"
        while not self._stop.is_set():
            now_s = time.monotonic()
            if now_s - last_chrony_s >= CHRONY_S:
                last_chrony_s = now_s
                self._ask_chrony()
            with self._change_lock:
                changes, self._changes = self._changes, []
            if now_s - last_s >= interval_s or (changes and now_s - last_s >= CHANGE_S) or reason == "start":
                record = self.record(reason if reason == "start" else "change" if changes else "minute")
                writer.give(record.reason, partial(health_item, record))
                reason, last_s = "", now_s
                if any(s.disk_trouble for s in self.supervisors.values()):
                    self.keeper.hurry()
            elif changes:
                with self._change_lock:
                    self._changes = [*changes, *self._changes][:100]
            self._stop.wait(1.0)

    def _ask_chrony(self) -> None:
        self._chrony = told = chrony_quality() or timesyncd_quality()
        if told is None:
            return
        order = {"do": "clock", **asdict(told)}
        for name in self.settings:
            self.supervisors[name].tell(order)

    def clock_quality(self) -> ClockQuality:
        """Return how far the clock can be trusted now."""
        return judge_clock(now_utc(), self._chrony)

    def record(self, reason: str) -> HealthRecord:
        """Return everything as it is now."""
        now = now_utc() if self._options.fast is None else self._options.fast.clock().utc()
        devices = []
        for device in self.node.enabled:
            supervisor = self.supervisors.get(device.name)
            if supervisor is None:
                continue
            found = supervisor.health(now, self.late_s(device.name))
            settings = self.settings.get(device.name)
            if settings is not None:
                found = found.model_copy(update={"overrides": dict(settings.overrides)})
            devices.append(found)
        processes = [s.process_id for s in self.supervisors.values() if s.process_id is not None]
        with self.director_lock:
            activity, coming = self.director.activity(now), self.director.next_change(now)
        steps = [s for s in self.supervisors.values() if s.clock_steps]
        disks, spool = self.keeper.disks(), self.keeper.spool_health()
        if self._mirror is not None:
            disks = (*disks, self._mirror.disk())
            status = self._mirror.status
            spool = spool.model_copy(update={"mirror": status.state.value, "mirror_behind": status.backlog})
        findings = Findings(
            time=now,
            node=self.node.name,
            site=self.site.name,
            version=__version__,
            reason=reason,
            activity=activity,
            next_change=coming,
            devices=tuple(devices),
            disks=disks,
            spool=spool,
            clock=self.clock_quality(),
            clock_steps=max((s.clock_steps for s in steps), default=0),
            last_step_s=steps[0].last_step_s if steps else None,
            system=read_system([os.getpid(), *processes], boots=self.memory.boots, starts=self.memory.starts),
        )
        with self._latest_lock:
            record = compose(findings, ())
            alarms = self._alarms.update(record, time.monotonic())
            self._latest = record = compose(findings, alarms)
        return record

    def _note_change(self, name: str, text: str) -> None:
        with self._change_lock:
            self._changes = [*self._changes[-99:], f"{name}: {text}"]

    def _remember(self) -> None:
        for name, supervisor in self.supervisors.items():
            if supervisor.used:
                self.memory.used[name] = dict(supervisor.used)
        save_memory(self.places.memory, self.memory)

    def _feed(self) -> None:
        """Tell systemd that capture makes progress; only then, or where nothing is to be captured."""
        with self.director_lock:
            wanted = [name for name in self.settings if self.director.wanted(name) is not None]
        ages = [self.supervisors[name].progress_age_s() for name in wanted]
        words = self._latest.summary if self._latest is not None else "starting"
        if not ages or min(ages) < STALLED_S:
            self.watchdog.alive(words)
        else:
            self.watchdog.show(f"nothing was captured for {min(ages):.0f} s")

    # --- for the commands ----------------------------------------------------------------------------------------

    def apply_settings(self, changed: Mapping[str, DeviceSettings]) -> None:
        """Take over settings for this run and the next start of each device."""
        with self._settings_lock:
            self.settings |= changed

    def pause_until(self, for_s: float | None) -> datetime | None:
        """Return the end of a pause of ``for_s``."""
        return None if for_s is None else now_utc() + timedelta(seconds=for_s)


def find_node(site: Site, name: str) -> tuple[Instrument, Node]:
    """Return the instrument and its node ``name``. Raises InstrumentError with the names that there are."""
    if site.instrument is None:
        raise InstrumentError(
            "the site file has no instrument",
            key="instrument",
            remedy="add [[instrument.nodes]] with the computers and their devices",
        )
    try:
        return site.instrument, site.instrument.node(name)
    except KeyError:
        known = ", ".join(node.name for node in site.instrument.nodes)
        raise InstrumentError("there is no such node", key="node", value=name, remedy=f"nodes are {known}") from None


def _first_health(device: Device) -> DeviceHealth:
    role: Any = device.type
    values: dict[str, Any] = {"name": device.name, "role": role, "driver": device.driver}
    if isinstance(device, CameraDevice):
        values["band"] = device.band.value
    return DeviceHealth(**values)


def _health_stored(reason: str, receipt: Receipt) -> None:
    _LOG.debug("health record (%s) kept as %d", reason, receipt.sequence)


def _health_lost(reason: str, why: str) -> None:
    _LOG.warning("a health record (%s) was not kept: %s", reason, why)
