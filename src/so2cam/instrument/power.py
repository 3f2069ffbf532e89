"""The loop of a power board: what it measures, every half minute, its clock, and the alarm that wakes the node."""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from so2cam.core.health import DeviceState
from so2cam.core.site_devices import PowerDevice
from so2cam.devices.errors import DeviceDataError, DeviceError
from so2cam.devices.protocols import DeviceContext, PowerManager
from so2cam.devices.records import BoardAlarm, PowerReading
from so2cam.devices.registry import create_power
from so2cam.instrument.capture import OPEN_S, PAUSES_S, RestartNeeded
from so2cam.instrument.clock_quality import EARLIEST
from so2cam.instrument.launch import Launch

READ_EVERY_S: Final = 30.0
_READ_S: Final = 15.0
_CLOCK_S: Final = 2.0
"""A board's clock that is further off is set [s]"""
_CLOCK_AGAIN_S: Final = 1800.0
"""A board that keeps no time is told the time this often [s]"""
_GOOD_CLOCKS: Final = ("gps", "ntp", "synchronised")
_LOG = logging.getLogger(__name__)


class PowerLoop:
    """Reads a power board until ``end``. ``send`` takes messages for the agent."""

    def __init__(self, launch: Launch, send: Callable[[Mapping[str, Any]], None], stop: threading.Event) -> None:
        if not isinstance(launch.device, PowerDevice):
            raise TypeError("the device is no power board")
        self._device = launch.device
        self._context = DeviceContext(launch.folder, launch.clock(), stop, launch.run_start)
        self._send = send
        self._stop = stop
        self._wake = threading.Event()
        self._last: dict[str, Any] = {}
        self._orders: deque[dict[str, Any]] = deque()
        self._clock_good = False
        self._clock_again_s = 0.0

    def give_order(self, order: dict[str, Any]) -> None:
        """Take an order: ``wake`` sets when the board switches on again; anything else is a camera's.

        ``clock`` tells that the system's clock is right: then the board's clock is set by it where that is off.
        """
        if order["do"] == "wake":
            self._orders.append(order)
            self._wake.set()
        elif order["do"] == "clock":
            self._clock_good = order.get("quality") in _GOOD_CLOCKS
        elif order.get("id"):
            self._reply(order, False, "a power board captures nothing")

    def end(self) -> None:
        """End the loop."""
        self._stop.set()
        self._wake.set()

    def close_writer(self, timeout_s: float) -> int:
        """Nothing waits to be kept."""
        return 0

    def run(self) -> None:
        """Run until ``end``. Raises RestartNeeded where only a new process helps."""
        failures = 0
        while not self._stop.is_set():
            board: PowerManager | None = None
            try:
                self._phase("open", OPEN_S + 5)
                board = create_power(self._device, self._context)
                model = board.open(OPEN_S)
                _LOG.info("power board %s is open", model)
                while not self._stop.is_set():
                    self._phase("read", _READ_S)
                    reading = board.read()
                    self._report(DeviceState.IDLE, reading)
                    self._set_clock(board, reading)
                    failures = 0
                    self._phase("idle", READ_EVERY_S + 10)
                    self._wake.wait(READ_EVERY_S)
                    self._wake.clear()
                    self._take_orders(board)
            except DeviceError as error:
                failures += 1
                _LOG.warning("%s", " ".join(str(error.message).split()))
                self._last |= {
                    "last_error": error.message,
                    "last_error_time": self._context.clock.utc().isoformat(),
                }
                if error.restart or not error.reopen or failures > len(PAUSES_S):
                    raise RestartNeeded(error) from error
                pause_s = PAUSES_S[failures - 1]
                self._report(DeviceState.WAITING, None, pause_s)
                self._phase("pause", pause_s + 5)
                self._wake.wait(pause_s)
                self._wake.clear()
            finally:
                if board is not None:
                    board.close()

    def _take_orders(self, board: PowerManager) -> None:
        while self._orders and not self._stop.is_set():
            order = self._orders.popleft()
            at = datetime.fromisoformat(str(order["at"])).astimezone(UTC)
            self._phase("set alarm", _READ_S)
            try:
                told = at + self._offset(board)
                board.set_startup(BoardAlarm(told.day, told.hour, told.minute, told.second))
                # An alarm that rang before, and was never taken note of, would keep the next one from being heard.
                board.prepare_halt()
            except DeviceError as error:
                self._reply(order, False, f"the board refuses: {error.message}")
                raise
            self._reply(order, True, f"the board switches on at {at:%Y-%m-%d %H:%M} UTC")

    def _offset(self, board: PowerManager) -> timedelta:
        """Return how far the board's clock, by which it wakes, is ahead of the system's; a lost one is set first."""
        reading = board.read()
        if reading.clock is None:
            board.set_clock(self._context.clock.utc())
            return timedelta(0)
        offset = reading.clock - reading.time
        return offset if abs(offset.total_seconds()) > _CLOCK_S else timedelta(0)

    def _set_clock(self, board: PowerManager, reading: PowerReading) -> None:
        """Set the board's clock where the system's is known to be right and the board's is not."""
        now = self._context.clock.utc()
        if not self._clock_good or now < EARLIEST:
            return
        if reading.clock is None or abs((reading.clock - reading.time).total_seconds()) > _CLOCK_S:
            if time.monotonic() < self._clock_again_s:
                return
            self._clock_again_s = time.monotonic() + _CLOCK_AGAIN_S
            was = "had stopped" if reading.clock is None else f"was {reading.clock:%Y-%m-%d %H:%M:%S}"
            try:
                board.set_clock(now)
            except DeviceDataError as error:
                _LOG.warning("%s", " ".join(error.message.split()))
                return
            _LOG.warning("the board's clock %s and is set to %s UTC", was, now.strftime("%Y-%m-%d %H:%M:%S"))

    def _reply(self, order: Mapping[str, Any], ok: bool, text: str) -> None:
        self._send({"t": "reply", "id": int(order["id"]), "ok": ok, "text": text, "values": {}})

    def _phase(self, name: str, for_s: float) -> None:
        self._send({"t": "phase", "phase": name, "for_s": for_s})

    def _report(self, state: DeviceState, reading: PowerReading | None, pause_s: float | None = None) -> None:
        if reading is not None:
            named = {
                "input_voltage_v": reading.input_voltage_v,
                "output_voltage_v": reading.output_voltage_v,
                "output_current_a": reading.output_current_a,
                "low_voltage_v": reading.low_voltage_v,
                "recovery_voltage_v": reading.recovery_voltage_v,
                "clock_offset_s": None
                if reading.clock is None
                else round((reading.clock - reading.time).total_seconds(), 1),
            }
            self._last |= {
                "readings": {key: value for key, value in named.items() if value is not None},
                "temperature_c": reading.temperature_c,
                "last_item_time": reading.time.isoformat(),
            }
        health = {"state": state.value, "next_start_in_s": pause_s, **self._last}
        self._send({"t": "status", "opened": reading is not None, "health": health})
