"""Commands to a running agent that concern its computer: the external disk, room, restart, shutdown."""

from pathlib import Path
from typing import Literal

import click

from so2cam.cli.instrument_agents import Agents, site_argument
from so2cam.cli.instrument_commands import print_answers
from so2cam.link import messages

_DISK_S = 240.0


@click.command(
    epilog="""\b
Examples:
  so2cam instrument disk site.toml release       then it may be pulled out
  so2cam instrument disk site.toml take-back

\b
A disk that is plugged in again is taken back by itself. Exit codes: 0 done; 2 refused."""
)
@site_argument
@click.argument("action", type=click.Choice(["release", "take-back"]))
def disk(site: Path, node: str | None, socket: Path | None, action: Literal["release", "take-back"]) -> None:
    """Release the external disk, so that it may be pulled out, or use it again."""
    agents = Agents(site, node, socket)
    print_answers(agents.ask(lambda _: messages.MirrorDisk(action=action), timeout_s=_DISK_S))


@click.command(
    name="free-space",
    epilog="""\b
Examples:
  so2cam instrument free-space site.toml --node lead

\b
What is not confirmed yet stays, and so does the last hour. Exit codes: 0 done; 2 refused.""",
)
@site_argument
def free_space(site: Path, node: str | None, socket: Path | None) -> None:
    """Delete now what every receiver has confirmed, and not only when the disk fills up."""
    print_answers(Agents(site, node, socket).ask(lambda _: messages.FreeSpace()))


@click.command(
    epilog="""\b
Examples:
  so2cam instrument restart site.toml --node lead
  so2cam instrument restart site.toml --node lead --computer

\b
The agent reads the site file anew. Exit codes: 0 done; 2 refused."""
)
@site_argument
@click.option("--computer", is_flag=True, help="Reboot the computer.")
def restart(site: Path, node: str | None, socket: Path | None, computer: bool) -> None:
    """Stop the agent cleanly and start it anew, or reboot the computer: what was captured is kept."""
    print_answers(Agents(site, node, socket).ask(lambda _: messages.Restart(computer=computer)))


@click.command(
    epilog="""\b
Examples:
  so2cam instrument shutdown site.toml --node lead
  so2cam instrument shutdown site.toml --node lead --power-off

\b
Under systemd the agent starts again with the computer, or by `systemctl start`.
Exit codes: 0 done; 2 refused."""
)
@site_argument
@click.option("--power-off", is_flag=True, help="Switch the computer off afterwards.")
def shutdown(site: Path, node: str | None, socket: Path | None, power_off: bool) -> None:
    """Stop the agent cleanly: what was captured is kept."""
    print_answers(Agents(site, node, socket).ask(lambda _: messages.Shutdown(power_off=power_off)))
