"""The power hooks: a copy of so2cam_power in a folder of root's, and its settings."""

import json
from importlib.resources import files

from so2cam.instrument.install.files import InstallFile
from so2cam.instrument.install.network import address_of
from so2cam.instrument.install.settings import (
    BOARD_SCHEDULE,
    BOARD_UP_GPIO,
    BOARDS,
    HOOKS,
    POWER_SETTINGS,
    InstallSettings,
)


def hook_files(settings: InstallSettings) -> list[InstallFile]:
    """Return the hooks' modules, as they are, and what they need to know of this node."""
    package = files("so2cam_power")
    modules = sorted((each.name, each.read_bytes()) for each in package.iterdir() if each.name.endswith(".py"))
    return [
        InstallFile(f"{HOOKS}/__main__.py", dict(modules)["__main__.py"]),
        *(InstallFile(f"{HOOKS}/so2cam_power/{name}", content) for name, content in modules),
        InstallFile(POWER_SETTINGS, _settings_text(settings).encode()),
    ]


def _settings_text(settings: InstallSettings) -> str:
    content: dict[str, object] = {"node": settings.node.name, "socket": settings.socket}
    schedule = settings.instrument.schedule
    if schedule is not None and schedule.power.board_folder is not None and settings.node.power is not None:
        content["board_folder"] = schedule.power.board_folder
        content["schedule_file"] = f"{settings.state}/{BOARD_SCHEDULE}"
    board = settings.node.power
    if board is not None and board.driver in BOARDS:
        content["board"] = board.driver
    if settings.drives_board:
        content["board_up_gpio"] = BOARD_UP_GPIO
    follower = settings.follower
    if follower is not None:
        outputs = {} if settings.node.gpio is None else settings.node.gpio.outputs
        content["follower"] = {
            "address": address_of(follower.network, follower.name),
            "start_gpio": outputs.get("start-follower", 23),
            "stop_gpio": outputs.get("stop-follower", 16),
        }
    return json.dumps(content, indent=2) + "\n"
