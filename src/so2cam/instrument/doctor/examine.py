"""The whole examination of a node."""

from pathlib import Path

from so2cam.instrument.doctor.agent import check_agent
from so2cam.instrument.doctor.devices import check_devices, check_disk, check_wires, cycle_follower
from so2cam.instrument.doctor.installation import check_installation, check_link
from so2cam.instrument.doctor.probes import ComputerProbes, Probes
from so2cam.instrument.doctor.report import DoctorReport, Line
from so2cam.instrument.doctor.system import check_clock, check_system
from so2cam.instrument.install.applying import Comparison, compare
from so2cam.instrument.install.planning import plan_install
from so2cam.instrument.install.settings import SECRETS, InstallError, InstallSettings, read_password


def examine(
    settings: InstallSettings,
    probes: Probes | None = None,
    *,
    root: Path = Path("/"),
    cycle: bool = False,
    socket: Path | None = None,
) -> DoctorReport:
    """Return the report on the node of ``settings``, which is the computer that this runs on.

    Takes some seconds; with ``cycle`` the follower is switched off and on first, which takes minutes. ``socket`` is
    where the agent listens, if not where an installed one does.
    """
    seen = probes or ComputerProbes()
    first: list[Line] = [cycle_follower(seen)] if cycle else []
    lines = [
        *check_system(settings, seen),
        *check_clock(settings, seen),
        *check_devices(settings, seen),
        *first,
        *check_wires(settings, seen),
        *check_disk(settings, seen),
        *check_installation(settings, seen, _comparison(settings, root)),
        *check_link(settings, seen),
        *check_agent(settings, seen, socket),
    ]
    return DoctorReport(settings.node.name, seen.now(), tuple(lines))


def _comparison(settings: InstallSettings, root: Path) -> Comparison | None:
    """Return the installation held against the system; None where this user may not read all of it."""
    from dataclasses import replace

    try:
        password = None
        if settings.node.network.access_point is not None:
            password = read_password(root / SECRETS.lstrip("/"))
            if password is None:
                return None
        return compare(plan_install(replace(settings, access_point_password=password)), root)
    except InstallError:
        return None
