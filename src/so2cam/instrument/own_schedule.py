"""The schedule that a node follows: that of the site file, or one that was set over the link and is kept.

Such a schedule is checked as that of the site file is. What may break the node for good stays the site file's: the
limits of the battery, and the folder whose program root runs.
"""

import json
import logging
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from so2cam.core.errors import OutputError, So2camError
from so2cam.core.site_camera import GeoPoint
from so2cam.core.site_schedule import Schedule
from so2cam.core.times import format_utc, parse_utc
from so2cam.instrument.errors import SettingRefusedError
from so2cam.observe.schedule import KEY, check_schedule
from so2cam.store.atomic import atomic_write_bytes

NAME = "schedule.json"
"""In the state folder of a node."""
_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class OwnSchedule:
    """The schedule in effect; ``changed`` is when it was set otherwise than in the site file, None where it was not."""

    schedule: Schedule | None
    changed: datetime | None = None


class ScheduleFile:
    """Keeps the schedule that was set over the link; without the file that of the site file holds."""

    def __init__(self, path: Path, site: Schedule | None) -> None:
        """``site``: the schedule of the site file."""
        self.path = path
        self.site = site

    def load(self) -> OwnSchedule:
        """Return the schedule in effect. One that cannot be used is left out, with a warning in the log."""
        try:
            content = json.loads(self.path.read_bytes())
            found = Schedule.model_validate(content["schedule"])
            changed = parse_utc(content["changed"])
        except FileNotFoundError:
            return OwnSchedule(self.site)
        except (OSError, ValueError, TypeError, KeyError, So2camError) as error:
            _LOG.warning("%s: the schedule cannot be used, that of the site file holds: %s", self.path.name, error)
            return OwnSchedule(self.site)
        return OwnSchedule(with_site_power(found, self.site), changed)

    def keep(self, wanted: Schedule | None, now: datetime) -> OwnSchedule:
        """Keep a schedule (None: that of the site file). Raises OutputError where that cannot be."""
        if wanted is None or wanted == self.site:
            try:
                self.path.unlink(missing_ok=True)
            except OSError as error:
                raise OutputError(f"cannot be removed: {error.strerror or error}", file=self.path) from None
            return OwnSchedule(self.site)
        content = {"schedule": wanted.model_dump(mode="json", exclude_defaults=True), "changed": format_utc(now)}
        atomic_write_bytes(self.path, (json.dumps(content, indent=1) + "\n").encode())
        return OwnSchedule(wanted, now)


def with_site_power(schedule: Schedule, site: Schedule | None) -> Schedule:
    """Return ``schedule`` with what only the site file may say of the power."""
    mine = (Schedule() if site is None else site).power
    power = schedule.power.model_copy(update={"battery": mine.battery, "board_folder": mine.board_folder})
    return schedule.model_copy(update={"power": power})


def require_possible(wanted: Schedule, site: Schedule | None, place: GeoPoint, now: datetime) -> None:
    """Raise SettingRefusedError where a schedule contradicts itself, or touches what is the site file's alone."""
    if with_site_power(wanted, site) != wanted:
        raise SettingRefusedError(
            "the battery's limits and the board's folder are set in the site file alone",
            key=f"{KEY}.power",
            remedy="leave them as they are there",
        )
    for finding in check_schedule(wanted, place, now.year):
        if finding.severity == "error":
            raise SettingRefusedError(finding.message, key=finding.key, remedy=finding.remedy)
