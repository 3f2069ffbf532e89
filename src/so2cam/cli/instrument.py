"""``so2cam instrument``: the agent on the volcano, and everything that can be said to it."""

from importlib import import_module

import click

_COMMANDS = {
    "run": ("so2cam.cli.instrument_run", "run", "Run the agent of a node: capture, keep, watch."),
    "status": ("so2cam.cli.instrument_status", "status", "Show how an instrument is."),
    "start": ("so2cam.cli.instrument_commands", "start", "Capture from now on, or a number of items."),
    "stop": ("so2cam.cli.instrument_commands", "stop", "Stop capturing; the agent stays."),
    "shot": ("so2cam.cli.instrument_commands", "shot", "Take one item now."),
    "set": ("so2cam.cli.instrument_commands", "set_values", "Change settings, all at once."),
    "darks": ("so2cam.cli.instrument_commands", "darks", "Take a dark set."),
    "cells": ("so2cam.cli.instrument_commands", "cells", "Manual calibration with gas cells."),
    "schedule": ("so2cam.cli.instrument_commands", "schedule", "Show, pause or resume the schedule."),
    "restart-device": ("so2cam.cli.instrument_commands", "restart_device", "Start a device's process anew."),
    "disk": ("so2cam.cli.instrument_node", "disk", "Release the external disk to pull it, or use it again."),
    "free-space": ("so2cam.cli.instrument_node", "free_space", "Delete now what was delivered."),
    "restart": ("so2cam.cli.instrument_node", "restart", "Start the agent anew, or reboot the computer."),
    "shutdown": ("so2cam.cli.instrument_node", "shutdown", "Stop the agent, or the computer too."),
    "install": ("so2cam.cli.instrument_install", "install", "Set up the operating system of a node."),
    "doctor": ("so2cam.cli.instrument_install", "doctor", "Check everything before the case is closed."),
    "preview": ("so2cam.cli.instrument_install", "schedule", "Show what a schedule means, day by day."),
}


class _LazyGroup(click.Group):
    """Imports a command's module when the command is used."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        module, name, _ = _COMMANDS[cmd_name]
        command: click.Command = getattr(import_module(module), name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, _COMMANDS[name][2]) for name in self.list_commands(ctx)])


@click.group(
    cls=_LazyGroup,
    epilog="""\b
Examples:
  so2cam instrument run examples/bench/site.toml --node all --for 60    a simulated instrument, for a minute
  so2cam instrument status examples/bench/site.toml
  so2cam instrument set site.toml --device camera-on auto=off exposure=20ms
  so2cam instrument shot site.toml --kind test
  so2cam instrument cells site.toml take 1257

\b
All commands from `status` to `shutdown` speak to agents that run on this computer. SITE is the site file.
Exit codes: 0 done; 1 status: there is an alarm; 2 refused, or bad input; 130 interrupted.""",
)
def command() -> None:
    """The instrument: an agent that captures on a schedule, and keeps everything safe."""
