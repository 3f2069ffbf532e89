"""How long an answer to a command is waited for: items take their exposures, cells times of the grid, disks a while."""

from typing import Final

from so2cam.core.health import HealthRecord
from so2cam.link.client import LONGEST_CALL_S
from so2cam.link.messages import Cells, Command, MirrorDisk, Shot

USUAL_S: Final = 15.0
"""For a command that is answered at once, breaks of the connection included."""

_DISK_S: Final = 240.0
"""A slow disk may take so long until everything is on it."""


def takes_items(command: Command) -> bool:
    """Return whether a command is answered only when its items are kept."""
    return isinstance(command, Shot) or (isinstance(command, Cells) and command.action in ("take", "clear"))


def patience_of(command: Command, health: HealthRecord | None) -> float:
    """Return how long a node may take for a command [s]; ``health``: its devices with their exposures and periods."""
    if isinstance(command, MirrorDisk):
        return _DISK_S
    extra_s = 0.0
    for device in health.devices if health is not None else ():
        if not takes_items(command) or device.role == "power":
            continue
        exposure_s = (device.exposure_s or 1.0) * (device.coadds or 1)
        if isinstance(command, Cells):
            extra_s = max(extra_s, (command.count + 1) * ((device.period_s or 0.0) + 3 * exposure_s))
        elif isinstance(command, Shot):
            extra_s = max(extra_s, 5 * max(command.exposure_s or 0.0, exposure_s))
    return min(LONGEST_CALL_S, USUAL_S + extra_s)
