"""A device's process, watched: started, told what to do, ended when it hangs, started again after a pause.

The process announces each phase (opening, waiting, capturing ...) with the time that it may take at most; where that
passes without a word, the process hangs and is ended. Pauses grow with failures in a row, up to half a minute, and
start anew after a minute of good work. One device's trouble touches no other: each has its own thread here, which
only waits.
"""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from so2cam.core.health import DeviceHealth, DeviceState, Level
from so2cam.instrument.channel import ChannelClosedError
from so2cam.instrument.launch import Launch, now_utc
from so2cam.instrument.process import END_S, DeviceProcess
from so2cam.instrument.tally import COUNTS
from so2cam.instrument.threads import VitalThread

PAUSES_S: Final = (0.2, 1.0, 2.0, 5.0, 10.0, 20.0, 30.0)
START_S: Final = 30.0
"""A process must say its first word within this [s]"""
GOOD_S: Final = 60.0
_GRACE_S: Final = 1.0
_POLL_S: Final = 0.25
_RATE_S: Final = 60.0
_LONGEST_PHASE_S: Final = 7200.0
_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class OrderReply:
    """What a device's process answered."""

    ok: bool
    text: str
    values: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Ending:
    """Why a process ended; ``slowly``: a new one at once would be no better."""

    why: str
    asked: bool = False
    slowly: bool = False


@dataclass(slots=True)
class _Pending:
    done: threading.Event
    reply: OrderReply | None = None


class DeviceSupervisor:
    """One device: its process, and what is known of it.

    ``launch`` is asked for what to tell the process each time that it starts. ``on_change`` is called (in this device's
    thread) when its state changes in a way that people should hear of, ``on_errand`` with what its process says of an
    errand.
    """

    def __init__(
        self,
        name: str,
        launch: Callable[[], Launch],
        first: DeviceHealth,
        on_change: Callable[[str, str], None],
        on_errand: Callable[[str, Mapping[str, Any]], None] = lambda name, message: None,
    ) -> None:
        self.name = name
        self._launch = launch
        self._on_change = on_change
        self._on_errand = on_errand
        self._lock = threading.Lock()
        self._health = first
        self._reported: dict[str, Any] = {}
        self._totals = dict.fromkeys(COUNTS, 0)
        self._process: DeviceProcess | None = None
        self._orders = 0
        self._pending: dict[int, _Pending] = {}
        self._stopping = threading.Event()
        self._restart: str | None = None
        self._wake = threading.Event()
        self._stored_at: deque[float] = deque(maxlen=4096)
        self._progress_s = time.monotonic()
        self._restarts = 0
        self._next_start_s: float | None = None
        self.used: dict[str, int] = {}
        self.mode: str | None = None
        self.mode_left: int | None = None
        self.held = False
        self.clock_steps = 0
        self.last_step_s: float | None = None
        self.disk_trouble: str | None = None
        self.unsaved = 0
        self.thread = VitalThread(f"device-{name}", self._run)

    # --- for the agent -------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Start the process, and keep it running until ``stop``."""
        self.thread.start()

    def ask_to_stop(self) -> None:
        """Begin to stop; returns at once."""
        self._stopping.set()
        self._wake.set()
        self._tell_quietly({"do": "end"})

    def stop(self, timeout_s: float = END_S + 1.0) -> None:
        """Stop the process: what it captured is kept. Returns within ``timeout_s``; then the process is gone."""
        self.ask_to_stop()
        self.thread.join(timeout_s)
        process = self._process
        if process is not None:
            process.kill()

    def restart(self, reason: str) -> None:
        """End the process and start it anew at once."""
        self._restart = reason
        self._wake.set()

    def order(self, order: Mapping[str, Any], timeout_s: float = 8.0) -> OrderReply:
        """Give an order and return the answer; where none comes in time, that is the answer."""
        pending = _Pending(threading.Event())
        with self._lock:
            self._orders += 1
            number = self._orders
            process = self._process
            self._pending[number] = pending
        try:
            if process is None:
                return OrderReply(False, f"{self.name} is not running now: {self._health.last_error or 'it starts'}")
            try:
                process.send({**order, "id": number})
            except ChannelClosedError:
                return OrderReply(False, f"{self.name} has just failed; try again")
            if not pending.done.wait(timeout_s):
                return OrderReply(False, f"{self.name} did not answer within {timeout_s:g} s")
            return pending.reply or OrderReply(False, f"{self.name} was restarted meanwhile")
        finally:
            with self._lock:
                self._pending.pop(number, None)

    def tell(self, order: Mapping[str, Any]) -> None:
        """Give an order that has no answer; dropped where no process runs."""
        self._tell_quietly(dict(order))

    @property
    def process_id(self) -> int | None:
        """The number of its process; None where none runs."""
        process = self._process
        return None if process is None else process.number

    def progress_age_s(self) -> float:
        """Return how long ago the device captured last [s], or its process was meant to begin."""
        return time.monotonic() - self._progress_s

    def health(self, now: datetime, late_s: float) -> DeviceHealth:
        """Return how the device is. ``late_s``: an item older than this, while capturing, is late."""
        monotonic_s = time.monotonic()
        with self._lock:
            found = self._health
            stored = [at for at in self._stored_at if monotonic_s - at <= max(_RATE_S, late_s)]
            restarts = self._restarts
            next_start_s = self._next_start_s
        age_s = None if found.last_item_time is None else max(0.0, (now - found.last_item_time).total_seconds())
        span_s = min(max(_RATE_S, late_s), max(1.0, monotonic_s - stored[0])) if stored else 1.0
        level = Level.OK
        late = found.state is DeviceState.CAPTURING and self.progress_age_s() > late_s
        if found.state is DeviceState.WAITING or (late and found.role != "power"):
            level = Level.ALARM
        elif found.lost or self.disk_trouble or (found.saturated_fraction or 0.0) > 0.5:
            level = Level.WARNING
        return found.model_copy(
            update={
                "last_item_age_s": age_s,
                # The first one opens the span: on average half a period lies before it.
                "rate_hz": round((len(stored) - 0.5) / span_s, 3) if len(stored) > 1 else 0.0,
                "restarts": restarts,
                "level": level,
                "next_start_in_s": found.next_start_in_s
                if next_start_s is None
                else max(0.0, next_start_s - monotonic_s),
            }
        )

    # --- the thread ----------------------------------------------------------------------------------------------

    def _run(self) -> None:
        failures = 0
        self._drop_process()
        while not self._stopping.is_set():
            began_s = time.monotonic()
            self._set_state(DeviceState.STARTING)
            ending = self._one_process()
            if self._stopping.is_set():
                break
            with self._lock:
                self._restarts += 1
            if ending.asked:
                failures = 0
                _LOG.info("restarted, because %s", ending.why, extra={"device": self.name})
            else:
                failures = 1 if time.monotonic() - began_s > GOOD_S else failures + 1
                pause_s = PAUSES_S[-1] if ending.slowly else PAUSES_S[min(failures, len(PAUSES_S)) - 1]
                self._fail(ending.why, pause_s)
                _LOG.error("%s; a new process starts in %g s", ending.why, pause_s, extra={"device": self.name})
                self._wake.wait(pause_s)
            self._restart = None
            self._wake.clear()
            with self._lock:
                self._next_start_s = None
        self._set_state(DeviceState.STOPPED)

    def _one_process(self) -> _Ending:
        """Run one process to its end; return why it ended."""
        try:
            process = DeviceProcess(self._launch())
        except OSError as error:
            return _Ending(f"its process cannot be started: {error.strerror or error}")
        with self._lock:
            self._process = process
            self._reported = {}
            self._progress_s = max(self._progress_s, time.monotonic())
        ending = self._listen(process)
        process.end(self._hear)
        self._drop_process()
        return ending or _Ending(f"its process ended by itself ({process.exit_words()})")

    def _listen(self, process: DeviceProcess) -> _Ending | None:
        """Hear a process until it fails, hangs or is to end; return why, None where it ended without a word."""
        failed: _Ending | None = None
        phase, deadline_s = "start", time.monotonic() + START_S
        while True:
            try:
                message = process.receive(_POLL_S)
            except ChannelClosedError:
                return failed
            kind = None if message is None else message.get("t")
            if message is not None and kind == "phase":
                phase = str(message["phase"])
                deadline_s = time.monotonic() + min(float(message["for_s"]) + _GRACE_S, _LONGEST_PHASE_S)
            elif message is not None and kind == "failed":
                failed = _Ending(str(message["text"]), slowly=bool(message.get("slowly")))
            elif message is not None:
                self._hear(message)
            if self._stopping.is_set():
                return _Ending("the agent stops", asked=True)
            if self._restart is not None:
                return _Ending(self._restart, asked=True)
            if time.monotonic() > deadline_s:
                return failed or _Ending(f"it hangs ({phase})")

    def _drop_process(self) -> None:
        """Forget the process, which has ended: its counts are kept, and orders that wait for it are answered."""
        with self._lock:
            process, self._process = self._process, None
            for key in COUNTS:
                self._totals[key] += int(self._reported.get(key, 0))
            self._reported = {}
            pending = list(self._pending.values())
        if process is not None and not process.kill():
            _LOG.error("its process cannot be ended: the system holds it", extra={"device": self.name})
        for one in pending:
            one.done.set()

    # --- what the process says -----------------------------------------------------------------------------------

    def _hear(self, message: Mapping[str, Any]) -> None:
        kind = message.get("t")
        if kind == "status":
            self._take_status(message)
        elif kind == "reply":
            with self._lock:
                pending = self._pending.get(int(message["id"]))
            if pending is not None:
                pending.reply = OrderReply(bool(message["ok"]), str(message["text"]), dict(message["values"]))
                pending.done.set()
        elif kind == "log":
            logger = logging.getLogger(str(message["logger"]))
            logger.log(int(message["level"]), "%s", message["text"], extra={"device": self.name})
        elif kind == "errand":
            self._on_errand(self.name, message)
        elif kind == "event":
            self._on_change(self.name, str(message["text"]))
        elif kind == "ended" and int(message["unsaved"]):
            self.unsaved += int(message["unsaved"])
            _LOG.error("%s items were not kept at its end", message["unsaved"], extra={"device": self.name})

    def _take_status(self, message: Mapping[str, Any]) -> None:
        health = dict(message["health"])
        with self._lock:
            before = self._health
            if int(health.get("captured", 0)) > int(self._reported.get("captured", 0)) or "readings" in health:
                self._progress_s = time.monotonic()
            self._reported = {key: int(health.get(key, 0)) for key in COUNTS}
            for key in COUNTS:
                if key in health:
                    health[key] = self._totals[key] + int(health[key])
            # Validated as JSON: times are text there.
            merged = before.model_dump(mode="json") | health
            self._health = DeviceHealth.model_validate(merged)
            if message.get("stored_now"):
                self._stored_at.append(time.monotonic())
            self.used = message.get("used") or self.used
            if "mode" in message:
                self.mode, self.mode_left = message["mode"], message["left"]
                self.held = bool(message["held"])
                self.clock_steps = int(message["clock_steps"])
                self.last_step_s = message["last_step_s"]
            if "disk_trouble" in message:
                self.disk_trouble = message["disk_trouble"]
            after = self._health
        if after.state is not before.state and DeviceState.WAITING in (after.state, before.state):
            self._on_change(self.name, f"{before.state.value} -> {after.state.value}")

    def _set_state(self, state: DeviceState) -> None:
        with self._lock:
            self._health = self._health.model_copy(update={"state": state, "next_start_in_s": None})

    def _fail(self, why: str, pause_s: float) -> None:
        with self._lock:
            self._next_start_s = time.monotonic() + pause_s
            self._health = self._health.model_copy(
                update={"state": DeviceState.WAITING, "last_error": why, "last_error_time": now_utc()}
            )
        self._on_change(self.name, why)

    def _tell_quietly(self, message: Mapping[str, Any]) -> None:
        process = self._process
        if process is not None:
            process.tell(message)
