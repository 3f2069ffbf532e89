"""The power schedule for the board: compiled ahead, and written anew only where the next days would differ.

The file is ``schedule.wpi`` in the node's state folder; what the system does when it changes is set up by
``so2cam instrument install``.
"""

from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

from so2cam.core.errors import So2camError
from so2cam.core.intervals import Interval
from so2cam.core.site_camera import GeoPoint
from so2cam.core.site_schedule import Schedule
from so2cam.formats.wittypi import format_wittypi, parse_wittypi
from so2cam.observe.power import compile_power
from so2cam.store.atomic import atomic_write_bytes

NAME: Final = "schedule.wpi"
AGREE: Final = timedelta(days=3)
"""A file that says the same for this long is left as it is"""


def write_power_schedule(path: Path, schedule: Schedule, place: GeoPoint, now: datetime) -> bool:
    """Bring the file ``path`` up to date; return whether it was written. Raises OutputError where it cannot be."""
    plan = compile_power(schedule, place, now)
    span = Interval(now, now + AGREE)
    known = _read(path)
    if known is not None:
        try:
            if parse_wittypi(known, file=str(path)).on_intervals(span) == plan.on_intervals(span):
                return False
        except So2camError:
            pass  # no schedule, or a damaged one: it is replaced
    atomic_write_bytes(path, format_wittypi(plan).encode("ascii"))
    return True


def _read(path: Path) -> str | None:
    try:
        return path.read_text(encoding="ascii")
    except (OSError, UnicodeDecodeError):
        return None
