"""What the agent does with each command, and how it answers.

A command of the same errand (``link.ledger``) takes effect once: what it has devices take is an errand
(``instrument.errands``); the others end in the same state when they are carried out again.
"""

import logging
import secrets
import threading
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from so2cam.core.errors import So2camError
from so2cam.core.site_devices import CameraDevice
from so2cam.instrument.errors import InstrumentError, SettingRefusedError
from so2cam.instrument.launch import now_utc
from so2cam.instrument.own_schedule import require_possible
from so2cam.instrument.settings import DeviceSettings, changed, known_settings
from so2cam.instrument.supervise import OrderReply
from so2cam.link.ledger import Errand
from so2cam.link.messages import (
    Cells,
    Command,
    Darks,
    DeviceOutcome,
    Done,
    FreeSpace,
    MirrorDisk,
    Refused,
    Restart,
    RestartDevice,
    Result,
    Schedule,
    ScheduleResult,
    Set,
    SetSchedule,
    Shot,
    Shutdown,
    Start,
    Status,
    StatusResult,
    Stop,
)

if TYPE_CHECKING:
    from so2cam.instrument.agent import NodeAgent

ORDER_S: Final = 8.0
LONGEST_S: Final = 600.0
_LOG = logging.getLogger(__name__)


class Commander:
    """Carries out commands for one agent; called from several threads."""

    def __init__(self, agent: "NodeAgent") -> None:
        self._agent = agent
        self._one_at_a_time = threading.Lock()

    def handle(self, command: Command, errand: Errand | None = None) -> Result:
        """Carry out ``command`` and return what was done. Raises So2camError, which says why not.

        Raises UnfinishedError where the agent stops meanwhile and goes on with it after its start.
        """
        errand = errand or Errand(f"local-{secrets.token_hex(8)}")
        if isinstance(command, Status):
            return StatusResult(health=self._agent.observer.record("asked"))
        _LOG.info("command: %s %s", command.type, command.model_dump_json(exclude_defaults=True))
        if self._agent.stopping:
            raise InstrumentError("the agent is stopping", remedy="start it again")
        if isinstance(command, Shot):
            return self._shot(command, errand)
        if isinstance(command, Cells):
            return self._cells(command, errand)
        if isinstance(command, MirrorDisk):
            return self._mirror_disk(command)
        if isinstance(command, FreeSpace):
            return self._free_space()
        if not self._one_at_a_time.acquire(timeout=ORDER_S):
            raise InstrumentError("another command is being carried out", remedy="try again in a moment")
        try:
            return self._alone(command, errand)
        finally:
            self._one_at_a_time.release()

    def _alone(self, command: Command, errand: Errand) -> Result:
        if isinstance(command, Start):
            return self._start(command)
        if isinstance(command, Stop):
            return self._stop(command)
        if isinstance(command, Set):
            return self._set(command)
        if isinstance(command, Darks):
            return self._darks(command, errand)
        if isinstance(command, Schedule):
            return self._schedule(command)
        if isinstance(command, SetSchedule):
            return self._set_schedule(command)
        if isinstance(command, RestartDevice):
            return Done(text="all devices were started anew") if errand.again else self._restart_device(command)
        if isinstance(command, Restart):
            return self._restart(command, errand)
        if isinstance(command, Shutdown):
            if errand.again:
                return Done(text="the agent was stopped, and runs again")
            words = ", then the computer is switched off" if command.power_off else ""
            self._agent.stop("power-off" if command.power_off else "stay")
            return Done(text=f"the agent stops; what was captured is kept{words}")
        raise InstrumentError(f"the command {command.type!r} is not known to this agent")

    # --- capturing -----------------------------------------------------------------------------------------------

    def _start(self, command: Start) -> Result:
        names = self._targets(command.devices)
        if command.count is None:
            with self._agent.director_lock:
                self._agent.director.ask(names, command.kind)
        order = {"do": "run", "kind": command.kind, "count": command.count}
        replies = self._ask(names, order)
        what = f"{command.kind} captures" + ("" if command.count is None else f", {command.count} of each device")
        return _result(f"started: {what}", replies)

    def _stop(self, command: Stop) -> Result:
        names = self._targets(command.devices)
        replies = self._ask(names, {"do": "stop", "force": command.force})
        with self._agent.director_lock:
            self._agent.director.ask([name for name in names if replies[name].ok], None)
        self._agent.let_go([name for name in names if replies[name].ok])
        return _result("stopped", replies)

    def _shot(self, command: Shot, errand: Errand) -> Result:
        names = self._targets(command.devices)
        for name in names:
            self._require_kind(name, command.kind)
        longest_s = max(self._exposure_s(name) for name in names)
        order = {
            "do": "shot",
            "kind": command.kind,
            "cell_ppm_m": command.cell_ppm_m,
            "exposure_s": command.exposure_s,
        }
        wait_s = ORDER_S + 5 * (command.exposure_s or longest_s)
        return _result("taken", self._take(errand, dict.fromkeys(names, (order, 1)), wait_s))

    def _darks(self, command: Darks, errand: Errand) -> Result:
        orders = {}
        for name in self._targets(command.devices):
            # Chosen here, not by the device's process: another one that goes on with it takes the same.
            exposures_s = command.exposures_s or self._agent.dark_exposures_s(name)
            repeats = command.repeats or self._agent.instrument.darks.repeats
            order = {"do": "darks", "repeats": repeats, "exposures_s": list(exposures_s)}
            orders[name] = (order, repeats * len(exposures_s))
        replies = self._take(errand, orders, ORDER_S, whole=False)
        if any(reply.ok for reply in replies.values()):
            self._agent.memory.last_darks = now_utc()
        return _result("dark set begun; status says when it is over", replies)

    def _cells(self, command: Cells, errand: Errand) -> Result:
        names = self._targets(command.devices, cameras=not command.devices)
        order = {"do": "cells", "action": command.action, "ppm_m": command.ppm_m, "count": command.count}
        words = {
            "begin": "calibration begun: the exposures are held",
            "take": f"cell of {command.ppm_m or 0:g} ppm m taken",
            "clear": "clear sky taken",
            "end": "calibration over: devices go on as before",
        }[command.action]
        if command.action in ("begin", "end"):
            replies = self._ask(names, order)
            done = {name: reply.values for name, reply in replies.items() if reply.ok}
            if command.action == "begin":
                self._agent.hold(done)
            else:
                self._agent.let_go(done)
            return _result(words, replies)
        for name in names:
            self._require_kind(name, "cell" if command.action == "take" else "clear")
        periods_s = max(self._agent.settings[name].period_s + 3 * self._exposure_s(name) for name in names)
        wait_s = min(LONGEST_S, ORDER_S + (command.count + 1) * periods_s)
        return _result(words, self._take(errand, dict.fromkeys(names, (order, command.count)), wait_s))

    def _take(
        self,
        errand: Errand,
        orders: Mapping[str, tuple[Mapping[str, Any], int]],
        wait_s: float,
        *,
        whole: bool = True,
    ) -> dict[str, OrderReply]:
        """Have devices take sets of items, once; ``orders`` with the number of items."""
        return self._agent.errands.carry_out(errand.id, orders, wait_s, whole=whole)

    # --- settings ------------------------------------------------------------------------------------------------

    def _set(self, command: Set) -> Result:
        """Check everything, then apply everything; where one device refuses, all are as they were."""
        agent = self._agent
        before = dict(agent.settings)
        wanted: dict[str, DeviceSettings] = {}
        explicit: dict[str, set[str]] = {}
        for change in command.changes:
            given = {key for key, value in change.values.model_dump().items() if value is not None}
            names = self._targets(change.devices)
            if not change.devices:
                # Meant for all: for all that have these settings.
                names = [name for name in names if given <= known_settings(before[name].device)] or names
            for name in names:
                wanted[name] = changed(agent.site_settings[name], wanted.get(name, before[name]), change)
                explicit.setdefault(name, set()).update(given)
        orders = {name: _settings_order(settings, explicit[name]) for name, settings in wanted.items()}
        running = [name for name in wanted if agent.supervisors[name].process_id is not None]
        checks = self._ask_each({name: {**orders[name], "check": True} for name in running})
        if not all(reply.ok for reply in checks.values()):
            return Refused(
                text="nothing was changed: a device cannot have these settings",
                remedy="choose values within the device's limits",
                outcomes=_outcomes(checks),
            )
        agent.apply_settings(wanted)
        applied = self._ask_each({name: orders[name] for name in running})
        failed = [name for name, reply in applied.items() if not reply.ok]
        if failed:
            agent.apply_settings({name: before[name] for name in wanted})
            back = {name: _settings_order(before[name], set(before[name].overrides)) for name in running}
            self._ask_each(back)
            return Refused(
                text=f"nothing was changed: {failed[0]} did not take the settings; all devices are as they were",
                remedy="see the device's state, and try again",
                outcomes=_outcomes(applied),
            )
        for name in wanted:
            if name not in applied:
                applied[name] = OrderReply(True, "applied when the device runs again", wanted[name].values())
        return _result(f"applied{self._keep_overrides()}", applied)

    def _keep_overrides(self) -> str:
        try:
            self._agent.override_file.save(self._agent.settings.values())
        except So2camError as error:
            _LOG.warning("settings cannot be kept: %s", " ".join(str(error).split()))
            return f", but not kept over a restart: {error.message}"
        return ""

    # --- the rest ------------------------------------------------------------------------------------------------

    def _schedule(self, command: Schedule) -> Result:
        now = now_utc()
        with self._agent.director_lock:
            director = self._agent.director
            if command.action == "pause":
                director.pause(self._agent.pause_until(command.for_s))
            elif command.action == "resume":
                director.resume()
            director.update(now)
            return ScheduleResult(
                activity=director.activity(now),
                paused=director.paused,
                paused_until=director.paused_until,
                coming=director.coming(now),
            )

    def _set_schedule(self, command: SetSchedule) -> Result:
        agent = self._agent
        if command.schedule is None:
            agent.take_schedule(None)
            return Done(text="the schedule of the site file holds")
        require_possible(command.schedule, agent.instrument.schedule, agent.site.camera.position, now_utc())
        agent.take_schedule(command.schedule)
        return Done(text="the new schedule holds, over restarts too")

    def _restart(self, command: Restart, errand: Errand) -> Result:
        """Start the agent anew, or the computer: once, whenever it is asked."""
        agent = self._agent
        if errand.again and not command.computer:
            return Done(text="the agent was started anew")
        if errand.again and agent.rebooted_for(errand.id):
            return Done(text="the computer was rebooted, and the agent runs again")
        if command.computer:
            agent.note_reboot(errand.id)
            agent.stop("reboot")
            return Done(text="the agent stops, then the computer is rebooted; what was captured is kept")
        agent.stop("restart")
        return Done(text="the agent ends and is started anew; what was captured is kept")

    def _restart_device(self, command: RestartDevice) -> Result:
        supervisor = self._agent.supervisors.get(command.device)
        if supervisor is None:
            raise self._unknown(command.device)
        supervisor.restart("it was asked for")
        return Done(text=f"{command.device} is started anew; status says when it captures again")

    def _mirror_disk(self, command: MirrorDisk) -> Result:
        mirror = self._agent.mirror
        if mirror is None:
            raise InstrumentError(
                "this node copies to no external disk", remedy="give it [instrument.storage.mirror] in its site file"
            )
        return Done(text=mirror.release() if command.action == "release" else mirror.take_back())

    def _free_space(self) -> Result:
        freed = self._agent.keeper.free_space(ORDER_S)
        if freed.error is not None:
            raise InstrumentError(f"{freed.items} items were deleted, then: {freed.error}", remedy="check the disk")
        what = f"{freed.items} items ({freed.bytes / 1e6:.1f} MB) that every receiver has were deleted"
        if not freed.over:
            return Done(text=f"{what} until now; it goes on")
        return Done(
            text=what
            if freed.items
            else "nothing to delete: every receiver has confirmed nothing that is older than an hour"
        )

    # --- helpers -------------------------------------------------------------------------------------------------

    def _targets(self, devices: Sequence[str], *, cameras: bool = False) -> list[str]:
        """Return the devices that are meant: those named, or all that capture."""
        known = self._agent.settings
        for name in devices:
            if name not in known:
                raise self._unknown(name)
        names = list(dict.fromkeys(devices)) or [
            name for name, one in known.items() if not cameras or isinstance(one.device, CameraDevice)
        ]
        if not names:
            raise InstrumentError("this node has no such device", remedy="ask another node")
        return names

    def _unknown(self, name: str) -> InstrumentError:
        known = ", ".join(self._agent.supervisors)
        return InstrumentError("there is no such device", key="device", value=name, remedy=f"devices are {known}")

    def _require_kind(self, name: str, kind: str) -> None:
        camera = isinstance(self._agent.settings[name].device, CameraDevice)
        if kind == ("lamp" if camera else "cell"):
            other = "spectrometer" if camera else "camera"
            raise SettingRefusedError(
                f"{name} cannot take the kind {kind}: that is a {other}'s", key="kind", remedy=f"name a {other}"
            )

    def _exposure_s(self, name: str) -> float:
        health = self._agent.supervisors[name].health(now_utc(), ORDER_S)
        return (health.exposure_s or 1.0) * (health.coadds or 1)

    def _ask(self, names: Sequence[str], order: Mapping[str, Any], timeout_s: float = ORDER_S) -> dict[str, OrderReply]:
        return self._ask_each(dict.fromkeys(names, order), timeout_s)

    def _ask_each(self, orders: Mapping[str, Mapping[str, Any]], timeout_s: float = ORDER_S) -> dict[str, OrderReply]:
        """Give orders to several devices at once; return their answers, in order."""
        replies: dict[str, OrderReply] = {}

        def ask(name: str) -> None:
            longest_s = timeout_s + 2 * self._exposure_s(name)
            replies[name] = self._agent.supervisors[name].order(orders[name], longest_s)

        threads = [threading.Thread(target=ask, args=(name,), name=f"order-{name}", daemon=True) for name in orders]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(LONGEST_S + ORDER_S)
        return {name: replies.get(name, OrderReply(False, "no answer")) for name in orders}


def _settings_order(settings: DeviceSettings, explicit: set[str]) -> dict[str, Any]:
    return {
        "do": "settings",
        "device": settings.device.model_dump(mode="json"),
        "period_s": settings.period_s,
        "explicit": sorted(explicit),
    }


def _outcomes(replies: Mapping[str, OrderReply]) -> tuple[DeviceOutcome, ...]:
    return tuple(
        DeviceOutcome(device=name, done=reply.ok, text=reply.text, values=dict(reply.values))
        for name, reply in replies.items()
    )


def _result(text: str, replies: Mapping[str, OrderReply]) -> Result:
    """Return what was done; a refusal where no device did it."""
    outcomes = _outcomes(replies)
    if any(outcome.done for outcome in outcomes):
        missing = [outcome.device for outcome in outcomes if not outcome.done]
        return Done(text=text + (f"; not at {', '.join(missing)}" if missing else ""), outcomes=outcomes)
    reasons = list(dict.fromkeys(outcome.text for outcome in outcomes))
    return Refused(text="; ".join(reasons), remedy="see so2cam instrument status", outcomes=outcomes)
