"""The agent of one node: devices under supervision, schedule, commands, health, watchdog."""

import logging
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final

from so2cam import __version__
from so2cam.core.errors import So2camError
from so2cam.core.health import DeviceHealth, DiskHealth, HealthRecord, SpoolHealth
from so2cam.core.site import Site
from so2cam.core.site_devices import CameraDevice, Device, GpioDevice
from so2cam.core.site_instrument import Instrument, Node
from so2cam.core.site_schedule import Schedule
from so2cam.instrument.battery import BatteryGuard
from so2cam.instrument.clock_quality import ClockQuality
from so2cam.instrument.commands import Commander
from so2cam.instrument.director import Director
from so2cam.instrument.errand_store import ErrandStore
from so2cam.instrument.errands import Errands, KeptItems
from so2cam.instrument.errors import InstrumentError
from so2cam.instrument.keeper import Keeper
from so2cam.instrument.launch import FastTime, Launch, now_utc
from so2cam.instrument.machine import Afterwards, later
from so2cam.instrument.memory import Held, load_memory, save_memory
from so2cam.instrument.mirroring import MirrorThread
from so2cam.instrument.network import Gatherer, build_link, serve_link
from so2cam.instrument.observer import NodeView, Observer
from so2cam.instrument.own_schedule import NAME as SCHEDULE
from so2cam.instrument.own_schedule import OwnSchedule, ScheduleFile
from so2cam.instrument.places import places_of
from so2cam.instrument.plan import UsedExposures
from so2cam.instrument.power_schedule import NAME, write_power_schedule
from so2cam.instrument.power_times import LOOK_S, PowerTimes
from so2cam.instrument.process import END_S
from so2cam.instrument.settings import DeviceSettings, OverrideFile, from_site, load_settings
from so2cam.instrument.supervise import DeviceSupervisor, OrderReply
from so2cam.instrument.system import boot_id
from so2cam.instrument.threads import VitalThread, log_failures
from so2cam.instrument.timetable import Timetable
from so2cam.instrument.watchdog import Watchdog
from so2cam.link.local import LocalServer
from so2cam.store.spool import Spool

TICK_S: Final = 0.5
SCHEDULE_S: Final = 2.0
DARKS_S: Final = 20.0
MODE_AGAIN_S: Final = 5.0
"""A wanted mode is told again after this, where a device does not have it yet [s]"""
MEMORY_S: Final = 300.0
HELD_S: Final = 3 * 3600.0
"""A manual calibration goes on over restarts for so long after it was begun [s]"""
ERRANDS: Final = "errands.sqlite"
"""In the state folder: what commands asked devices to take"""
MINUTE_S: Final = 60.0
POWER_PLAN_S: Final = 6 * 3600.0
STALLED_S: Final = 300.0
"""The watchdog is not fed any more when nothing was captured for this long though it is wanted [s]"""
_FEED_S: Final = 10.0
_LATE_S: Final = 10.0
_LATE_POWER_S: Final = 120.0
_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class RunOptions:
    """How an agent is run. ``run_for_s``: end by itself; ``fast``: time that runs faster, for replays and tests.

    ``each_minute`` is called about once a minute.
    """

    run_for_s: float | None = None
    fast: FastTime | None = None
    each_minute: Callable[[], None] = lambda: None


@dataclass(frozen=True, slots=True)
class RunSummary:
    """What came of a run: the last health record, and what is to be done now."""

    health: HealthRecord
    then: Afterwards
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
        """Prepare. Raises InstrumentError where the site has no such node."""
        self._options = options or RunOptions()
        self.site = site
        self.site_path = site_path
        self.socket = socket
        self.instrument, self.node = find_node(site, node)
        self._storage = self.instrument.storage_of(self.node)
        self.places = places_of(self.instrument, self.node, site_path)
        self._run_start = now_utc() if self._options.fast is None else self._options.fast.start
        self._stop = threading.Event()
        self._then: Afterwards = "stay"
        self.memory = load_memory(self.places.memory)
        self.memory.note_start(boot_id())
        self.override_file = OverrideFile(self.places.overrides)
        self.site_settings = {
            device.name: from_site(device, self.instrument.acquisition) for device in self.node.instruments
        }
        self.settings: Mapping[str, DeviceSettings] = load_settings(self.site_settings, self.override_file)
        self.schedule_file = ScheduleFile(self.places.state / SCHEDULE, self.instrument.schedule)
        self.schedule: OwnSchedule = self.schedule_file.load()
        self.director = Director(
            self.schedule.schedule,
            site.camera.position,
            start=self.instrument.acquisition.start,
            kind=self.instrument.acquisition.kind,
            last_darks=self.memory.last_darks,
        )
        self.director_lock = threading.Lock()
        self.observer = Observer(self._view(), self.instrument.health, self.instrument.alarms, self.memory, self._stop)
        self.supervisors: Mapping[str, DeviceSupervisor] = {
            device.name: DeviceSupervisor(
                device.name,
                self._launcher(device),
                _first_health(device),
                self.observer.note_change,
                lambda name, message: self.errands.hear(name, message),
            )
            for device in self.node.enabled
            if not isinstance(device, GpioDevice)
        }
        for name in self._still_held(now_utc()):
            self.supervisors[name].held = True
        self.errands = Errands(
            lambda: ErrandStore(self.places.state / ERRANDS), self.supervisors, KeptItems(self._open_spool)
        )
        self.keeper = Keeper(
            self.places,
            self.node.name,
            self._storage,
            checking=self._checking_welcome,
            mirrors=lambda: () if self.mirror is None else self.mirror.folders(),
            on_change=self.observer.note_change,
        )
        self.mirror = (
            None
            if self._storage.mirror is None
            else MirrorThread(
                self.places, self.node.name, self._storage, self._storage.mirror, self.observer.note_change
            )
        )
        self.watchdog = Watchdog()
        commander = Commander(self)
        self._server = LocalServer(socket, self.node.name, commander.handle)
        self.link = build_link(self, commander.handle, self._open_spool)
        self._told: dict[str, tuple[str | None, float]] = {}
        self.battery = self._battery_guard()
        self.power_times = self._power_follower()

    # --- running -------------------------------------------------------------------------------------------------

    def run(self) -> RunSummary:
        """Run until ``stop``, or as long as the options say. Raises So2camError where it cannot start."""
        began_s = time.monotonic()
        log_failures()
        self._server.start()
        self.observer.open(self._open_spool)
        timetable = self._duties()
        vital = [
            VitalThread("duties", timetable.run),
            VitalThread("health", self.observer.run),
            VitalThread("errands", lambda: self.errands.run(self._stop)),
            self.keeper.thread,
            *(supervisor.thread for supervisor in self.supervisors.values()),
            *([] if self.mirror is None else [self.mirror.thread]),
            *self._network_threads(),
        ]
        try:
            self._follow_schedule(now_utc())
            for thread in reversed(vital):  # the devices first
                thread.start()
            _LOG.info("node %s of %s: %d devices", self.node.name, self.site.name, len(self.supervisors))
            self.watchdog.ready("starting")
            self._watch_over(vital, began_s)
        finally:
            self.watchdog.stopping()
            summary = self._shut_down([*vital[:3], *(one for one in vital if one.name in ("network", "gather"))])
        return summary

    def stop(self, then: Afterwards = "stay") -> None:
        """End the run; ``then`` is for whoever called ``run`` to do."""
        self._then = later(self._then, then)
        self._stop.set()

    @property
    def stopping(self) -> bool:
        """Whether the end has begun."""
        return self._stop.is_set()

    def _watch_over(self, vital: Sequence[VitalThread], began_s: float) -> None:
        """Start threads again that failed, and tell systemd that capture makes progress, until the end."""
        last_fed_s = time.monotonic()
        interval_s = self.watchdog.interval_s
        feed_s = _FEED_S if interval_s is None else min(_FEED_S, interval_s / 3)
        while not self._stop.wait(TICK_S):
            now_s = time.monotonic()
            if self._options.run_for_s is not None and now_s - began_s >= self._options.run_for_s:
                return
            for thread in vital:
                thread.revive()
            if self.watchdog.wanted and now_s - last_fed_s >= feed_s:
                last_fed_s = now_s
                self._feed()

    def _duties(self) -> Timetable:
        timetable = Timetable(self._stop)
        timetable.every(SCHEDULE_S, lambda: self._follow_schedule(now_utc()))
        timetable.every(SCHEDULE_S, self._watch_battery)
        timetable.every(LOOK_S, lambda: self._follow_power(now_utc()))
        timetable.every(SCHEDULE_S, self._hurry_keeper)
        timetable.every(DARKS_S, lambda: self._darks_by_schedule(now_utc()))
        timetable.every(POWER_PLAN_S, lambda: self._plan_power(now_utc()), at_once=True)
        timetable.every(MEMORY_S, self._remember)
        timetable.every(MINUTE_S, self._options.each_minute)
        return timetable

    def _shut_down(self, threads: Sequence[VitalThread]) -> RunSummary:
        self._stop.set()
        for supervisor in self.supervisors.values():
            supervisor.ask_to_stop()
        limit = time.monotonic() + END_S
        for supervisor in self.supervisors.values():
            supervisor.stop(max(0.1, limit - time.monotonic()))
        self.errands.close()
        for thread in threads:
            thread.join(0.5)
        self._remember()
        self.keeper.stop(1.0)
        record = self.observer.write("stop")
        self.observer.close(1.0)
        if self.mirror is not None:
            self.mirror.stop(0.5)
        self._server.close()
        unsaved = sum(supervisor.unsaved for supervisor in self.supervisors.values())
        return RunSummary(record, self._then, unsaved)

    def _network_threads(self) -> list[VitalThread]:
        """Return what speaks to the network: last of all, and nothing else waits for it."""
        if self.link is None:
            return []
        link, settings = self.link, self.instrument.link_of(self.node)
        threads = [VitalThread("network", lambda: serve_link(link, self._stop, self.observer.note_change))]
        if settings is not None and settings.gather is not None:
            gatherer = Gatherer(self, settings.gather, self._open_spool)
            threads.append(VitalThread("gather", lambda: gatherer.run(self._stop)))
        return threads

    def _open_spool(self) -> Spool:
        return Spool(self.places.root, node=self.node.name, layout=self._storage.layout)

    # --- devices -------------------------------------------------------------------------------------------------

    def _launcher(self, device: Device) -> Callable[[], Launch]:
        return lambda: self._launch(device)

    def _launch(self, device: Device) -> Launch:
        """Return what the process of a device is told when it starts: settings, mode, and where it was before."""
        settings = self.settings.get(device.name)
        supervisor = self.supervisors[device.name]
        before = supervisor.health(now_utc(), _LATE_S)
        with self.director_lock:
            mode = None if settings is None else self.director.wanted(device.name)
        follows = settings is not None and (settings.device.automatic.enabled or supervisor.held)
        known = follows and before.kind != "dark"
        held = self.memory.held.get(device.name) if supervisor.held else None
        return Launch(
            node=self.node.name,
            site=self.site.name,
            folder=self.site_path.parent,
            device=device if settings is None else settings.device,
            period_s=self.instrument.acquisition.period_s if settings is None else settings.period_s,
            spool=self.places.root,
            storage=self._storage,
            darks=self.instrument.darks,
            position=self.site.camera.position,
            tags=(self.site.files.on_band, self.site.files.off_band),
            queue=self.instrument.acquisition.queue,
            run_start=self._run_start,
            mode=mode,
            held=supervisor.held,
            exposure_s=held.exposure_s if held else before.exposure_s if known else None,
            coadds=held.coadds if held else before.coadds if known else None,
            used=self.used_of(device.name),
            fast=self._options.fast,
            version=__version__,
        )

    def used_of(self, name: str) -> dict[str, int]:
        """Return the exposures that a device used since its last darks."""
        return self.supervisors[name].used or self.memory.used.get(name, {})

    def dark_exposures_s(self, name: str) -> tuple[float, ...]:
        """Return the exposures that darks of a device are wanted at: those used, or the present one [s]."""
        used = UsedExposures(self.instrument.darks.tolerance, self.instrument.darks.maximum_exposures)
        used.load(self.used_of(name))
        present_s = self.supervisors[name].health(now_utc(), _LATE_S).exposure_s
        if present_s is None:
            present_s = float(str(self.settings[name].values()["exposure_s"]))
        return used.chosen() or (present_s,)

    def hold(self, devices: Mapping[str, Mapping[str, Any]]) -> None:
        """A manual calibration of devices begins: it goes on at their exposures over restarts, for some hours."""
        for name, values in devices.items():
            self.memory.held[name] = Held(float(values["exposure_s"]), int(values["coadds"]), now_utc())
        self._remember()

    def note_reboot(self, errand: str) -> None:
        """The computer is to be rebooted for this errand."""
        self.memory.rebooting = (errand, self.memory.boot_id or "")
        self._remember()

    def rebooted_for(self, errand: str) -> bool:
        """Return whether the computer was started anew since it was to be rebooted for this errand."""
        asked = self.memory.rebooting
        return asked is not None and asked[0] == errand and asked[1] != (self.memory.boot_id or "other")

    def let_go(self, devices: Iterable[str]) -> None:
        """The manual calibration of devices is over."""
        if [self.memory.held.pop(name) for name in devices if name in self.memory.held]:
            self._remember()

    def _still_held(self, now: datetime) -> list[str]:
        """Return the devices whose calibration goes on after a start; one that nobody ended for hours does not."""
        for name, one in list(self.memory.held.items()):
            if name not in self.settings or abs((now - one.since).total_seconds()) > HELD_S:
                del self.memory.held[name]
        return list(self.memory.held)

    def late_s(self, name: str) -> float:
        """Return how old the last item of a device may be while it captures [s]."""
        settings = self.settings.get(name)
        if settings is None:
            return _LATE_POWER_S
        device = settings.device
        exposure_s = (
            device.maximum_exposure_s if isinstance(device, CameraDevice) else device.maximum_integration_time_s
        )
        return max(_LATE_S, self.instrument.health.late_periods * settings.period_s, 3 * exposure_s)

    def apply_settings(self, changed: Mapping[str, DeviceSettings]) -> None:
        """Take over settings for this run and the next start of each device."""
        self.settings = {**self.settings, **changed}

    def take_schedule(self, wanted: Schedule | None) -> None:
        """Follow another schedule (None: that of the site file) from now on. Raises OutputError; then all is as it was.

        What people asked for meanwhile is forgotten, as when the schedule changes by itself.
        """
        now = now_utc()
        self.schedule = self.schedule_file.keep(wanted, now)
        with self.director_lock:
            self.director.take(self.schedule.schedule)
        self.power_times = self._power_follower()
        self._plan_power(now)
        self._follow_schedule(now)
        self.observer.note_change("schedule", "the schedule was changed")

    # --- duties --------------------------------------------------------------------------------------------------

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
        schedule = self.schedule.schedule
        if schedule is None or self.node.power is None or self.observer.clock().quality == "unset":
            return
        try:
            if write_power_schedule(self.places.state / NAME, schedule, self.site.camera.position, now):
                _LOG.info("the power schedule was written anew")
        except So2camError as error:
            _LOG.warning("the power schedule cannot be written: %s", " ".join(str(error).split()))

    def _battery_guard(self) -> BatteryGuard | None:
        schedule, board = self.schedule.schedule, self.node.power
        if schedule is None or schedule.power.battery is None or board is None:
            return None
        return BatteryGuard(
            schedule.power.battery,
            self.memory,
            wake_at=self._wake_at,
            shut_down=lambda: self.stop("power-off"),
            on_change=self.observer.note_change,
        )

    def _power_follower(self) -> PowerTimes | None:
        """Return what follows the power times, where the board's own software does not."""
        schedule = self.schedule.schedule
        if schedule is None or self.node.power is None or schedule.power.board_folder is not None:
            return None
        return PowerTimes(
            schedule,
            self.site.camera.position,
            wake_at=self._wake_at,
            shut_down=lambda: self.stop("power-off"),
            on_change=self.observer.note_change,
        )

    def _wake_at(self, time_: datetime) -> OrderReply:
        if self.node.power is None:
            return OrderReply(False, "this node has no power board")
        return self.supervisors[self.node.power.name].order({"do": "wake", "at": time_.isoformat()})

    def _follow_power(self, now: datetime) -> None:
        """Shut down where the schedule wants no power any more; a clock that was never set knows nothing of that."""
        if self.power_times is not None and self._options.fast is None and self.observer.clock().quality != "unset":
            self.power_times.look(now)

    def _watch_battery(self) -> None:
        if self.battery is not None and self.node.power is not None:
            board = self.supervisors[self.node.power.name].health(now_utc(), _LATE_POWER_S)
            voltage_v = board.readings.get("input_voltage_v")
            if voltage_v is not None:
                self.battery.look(voltage_v, time.monotonic())

    def _hurry_keeper(self) -> None:
        if any(supervisor.disk_trouble for supervisor in self.supervisors.values()):
            self.keeper.hurry()

    def _checking_welcome(self) -> bool:
        with self.director_lock:
            return self.director.housekeeping_wanted(now_utc())

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
        latest = self.observer.latest
        if not ages or min(ages) < STALLED_S:
            self.watchdog.alive("starting" if latest is None else latest.summary)
        else:
            self.watchdog.show(f"nothing was captured for {min(ages):.0f} s")

    # --- what the observer sees ----------------------------------------------------------------------------------

    def _view(self) -> NodeView:
        fast = self._options.fast
        return NodeView(
            node=self.node.name,
            site=self.site.name,
            now=now_utc if fast is None else lambda: fast.clock().utc(),
            devices=self._device_healths,
            activity=self._activity,
            storage=self._storage_health,
            clock_steps=self._clock_steps,
            processes=lambda: [one.process_id for one in self.supervisors.values() if one.process_id is not None],
            on_clock=self._tell_of_clock,
        )

    def _device_healths(self, now: datetime) -> tuple[DeviceHealth, ...]:
        found = []
        for name, supervisor in self.supervisors.items():
            health = supervisor.health(now, self.late_s(name))
            if name in self.settings:
                health = health.model_copy(update={"overrides": dict(self.settings[name].overrides)})
            found.append(health)
        return tuple(found)

    def _activity(self, now: datetime) -> tuple[str, datetime | None]:
        with self.director_lock:
            return self.director.activity(now), self.director.next_change(now)

    def _storage_health(self) -> tuple[tuple[DiskHealth, ...], SpoolHealth]:
        disks, spool = self.keeper.disks(), self.keeper.spool_health()
        if self.mirror is None:
            return disks, spool
        status = self.mirror.status
        update = {"mirror": status.state.value, "mirror_behind": status.backlog}
        return (*disks, self.mirror.disk()), spool.model_copy(update=update)

    def _clock_steps(self) -> tuple[int, float | None]:
        most = max(self.supervisors.values(), key=lambda one: one.clock_steps, default=None)
        return (0, None) if most is None else (most.clock_steps, most.last_step_s)

    def _tell_of_clock(self, quality: ClockQuality) -> None:
        order = {"do": "clock", **asdict(quality)}
        for name in self.settings:
            self.supervisors[name].tell(order)
        if self.power_times is not None and self.node.power is not None:
            self.supervisors[self.node.power.name].tell(order)  # which keeps the board's own clock right

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
