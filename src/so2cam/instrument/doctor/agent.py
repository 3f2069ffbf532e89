"""What the agent says of itself: whether each device gives what it is there for."""

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from so2cam.core.health import DeviceHealth, DeviceState, HealthRecord, Level
from so2cam.instrument.doctor.probes import Probes
from so2cam.instrument.doctor.report import Line, bad, good, none
from so2cam.instrument.install.settings import InstallSettings, is_made_up

TOPIC: Final = "agent"
_TOO_BRIGHT: Final = 0.05
"""Share of saturated pixels above which a picture is not worth much"""


def check_agent(settings: InstallSettings, probes: Probes, socket: Path | None) -> Iterator[Line]:
    """Yield a line for each device that the running agent has; where none runs, one line."""
    found = probes.health(settings.socket if socket is None else str(socket))
    if not isinstance(found, HealthRecord):
        if is_made_up(settings.node):
            yield none(TOPIC, "answers", f"no: {found}")
        else:
            yield bad(TOPIC, "answers", f"no: {found}", "sudo systemctl restart so2cam-instrument; see its log")
        return
    yield good(TOPIC, "answers", "yes")
    for device in found.devices:
        yield _device(device)


def _device(device: DeviceHealth) -> Line:
    age = "" if device.last_item_age_s is None else f", last item {device.last_item_age_s:.0f} s ago"
    text = f"{device.state.value}{age}"
    log = "so2cam instrument status SITE says more; the log: journalctl -u so2cam-instrument"
    if device.state in (DeviceState.WAITING, DeviceState.STARTING):
        return bad(TOPIC, device.name, device.last_error or f"is {device.state.value}", log)
    if device.level is not Level.OK:
        return bad(TOPIC, device.name, f"{text}: {device.last_error or device.level.value}", log)
    if (device.saturated_fraction or 0.0) > _TOO_BRIGHT:
        share = 100 * (device.saturated_fraction or 0.0)
        return bad(
            TOPIC,
            device.name,
            f"{share:.0f} % saturated",
            "let the exposure follow, or leave snow out (automatic.rows)",
        )
    return good(TOPIC, device.name, text)
