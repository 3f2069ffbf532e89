"""Writing the power board's schedule from the site file's, for the board's own software or for a look at it."""

from datetime import datetime
from pathlib import Path

from so2cam.core.site_camera import GeoPoint
from so2cam.core.site_schedule import Schedule
from so2cam.core.times import format_utc
from so2cam.formats.wittypi import format_wittypi
from so2cam.observe.power import compile_power
from so2cam.store.atomic import atomic_write_bytes


def power_schedule_text(schedule: Schedule, place: GeoPoint, now: datetime) -> str:
    """Return the text of ``schedule.wpi`` from ``now`` (aware) on."""
    plan = compile_power(schedule, place, now)
    days = plan.cycle.days
    comment = (
        "the same every day" if days == 1 else f"sun-based: {days} days from {format_utc(plan.begin)[:10]}, then again"
    )
    return format_wittypi(plan, comments=(f"written by so2cam, times in UTC; {comment}",))


def write_power_schedule(schedule: Schedule, place: GeoPoint, now: datetime, path: Path) -> bool:
    """Write the schedule where it differs from what is there; return whether it did.

    Called by the agent at its start and once a day, it makes the board follow the sun; the service that watches the
    file hands it to the board. Raises OutputError where it cannot be written.
    """
    content = power_schedule_text(schedule, place, now).encode()
    try:
        if path.read_bytes() == content:
            return False
    except OSError:
        pass
    atomic_write_bytes(path, content)
    return True
