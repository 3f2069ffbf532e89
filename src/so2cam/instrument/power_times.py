"""Follows the power times of the schedule on boards whose own software is not there.

The board's alarm is kept at the beginning of the next time with power, so that a node comes back however it went off;
at the end of a time with power the alarm is set once more, and the node shuts down.
"""

import logging
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final

from so2cam.core.site_camera import GeoPoint
from so2cam.core.site_schedule import Schedule
from so2cam.instrument.supervise import OrderReply
from so2cam.observe.power import follow_power, next_switch

LOOK_S: Final = 30.0
SHORTEST_OFF: Final = timedelta(minutes=4)
"""An alarm that rings while the computer is still going down may be lost: then it stays on"""
_LOG = logging.getLogger(__name__)


class PowerTimes:
    """Decides, look by look. ``wake_at`` sets when the board switches on; ``shut_down`` ends agent and computer.

    Without an alarm that was accepted the node stays on, and tries again: it might never come back.
    """

    def __init__(
        self,
        schedule: Schedule,
        place: GeoPoint,
        *,
        wake_at: Callable[[datetime], OrderReply],
        shut_down: Callable[[], None],
        on_change: Callable[[str, str], None],
    ) -> None:
        self._schedule = schedule
        self._place = place
        self._wake_at = wake_at
        self._shut_down = shut_down
        self._on_change = on_change
        self._on = False
        self._armed: datetime | None = None
        self._refused: str | None = None

    def look(self, now: datetime) -> None:
        """Act as the schedule wants it at ``now``, which must come from a clock that was set."""
        step = follow_power(self._on, self._schedule, self._place, now)
        if step.wake is None:
            self._on = step.on
            wake = next_switch(self._schedule, self._place, now).on
            if wake is not None and wake != self._armed:
                self._sets_alarm(wake)
        elif step.wake - now >= SHORTEST_OFF and self._sets_alarm(step.wake):
            self._on = False
            text = f"the schedule wants no power until {step.wake:%Y-%m-%d %H:%M} UTC: shutting down"
            _LOG.warning("%s", text)
            self._on_change("power", text)
            self._shut_down()

    def _sets_alarm(self, wake: datetime) -> bool:
        reply = self._wake_at(wake)
        self._armed = wake if reply.ok else None
        if reply.ok:
            _LOG.info("%s", reply.text)
            self._refused = None
        elif reply.text != self._refused:
            self._refused = reply.text
            text = f"the board's alarm for {wake:%Y-%m-%d %H:%M} UTC is not set: {reply.text}; the node stays on"
            _LOG.warning("%s", text)
            self._on_change("power", text)
        return reply.ok
