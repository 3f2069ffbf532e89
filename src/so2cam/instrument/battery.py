"""Watches the battery: at its floor the node sets the board's alarm, and shuts down."""

import logging
import time
from collections.abc import Callable
from datetime import datetime, timedelta

from so2cam.core.site_schedule import Battery
from so2cam.instrument.launch import now_utc
from so2cam.instrument.memory import Memory
from so2cam.instrument.supervise import OrderReply
from so2cam.observe.power import BatteryState, BatteryWatch, watch_battery

_LOG = logging.getLogger(__name__)


class BatteryGuard:
    """Decides, voltage by voltage. How the battery was left is kept in the memory, from start to start.

    ``wake_at`` sets when the board switches on again; ``shut_down`` ends the agent and the computer. Without an alarm
    that was accepted the node stays on: it might never come back.
    """

    def __init__(
        self,
        settings: Battery,
        memory: Memory,
        *,
        wake_at: Callable[[datetime], OrderReply],
        shut_down: Callable[[], None],
        on_change: Callable[[str, str], None],
    ) -> None:
        self._settings = settings
        self._memory = memory
        self._wake_at = wake_at
        self._shut_down = shut_down
        self._on_change = on_change
        self.watch = BatteryWatch(BatteryState(memory.battery), time.monotonic())

    def look(self, voltage_v: float, now_s: float) -> None:
        """Take note of a voltage [V] at the monotonic time ``now_s`` [s], and act where that is needed."""
        decision = watch_battery(self.watch, voltage_v, now_s, self._settings)
        if decision.watch.state is not self.watch.state:
            _LOG.warning("%s", decision.reason)
            self._on_change("battery", decision.reason)
        self.watch = decision.watch
        self._memory.battery = decision.watch.state.value
        if decision.shut_down and self._sets_alarm(decision.wake_after):
            self._shut_down()

    def _sets_alarm(self, wake_after: timedelta | None) -> bool:
        if wake_after is None:
            return True
        wake = now_utc() + wake_after
        reply = self._wake_at(wake)
        _LOG.warning("to wake again at %s: %s", wake.isoformat(timespec="minutes"), reply.text)
        return reply.ok
