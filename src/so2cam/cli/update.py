"""``so2cam update``: which version runs and which is offered; another one beside it, switched to, and given back."""

import contextlib
import json
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import click

from so2cam.cli.console import console, report_error
from so2cam.core.errors import InputError
from so2cam.update.applying import WAIT_S, Outcome, apply, confirm, give_back
from so2cam.update.layout import PLACE, Layout
from so2cam.update.offers import Offer, offer_of_index, offer_of_wheel
from so2cam.update.parts import AGENT, STATION, Part, so2cam
from so2cam.update.tools import Tools, computer_tools

_Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]
_FILE = click.Path(path_type=Path, dir_okay=False)


def _options(*decorators: _Decorator) -> _Decorator:
    def put(function: Callable[..., Any]) -> Callable[..., Any]:
        for decorator in reversed(decorators):
            function = decorator(function)
        return function

    return put


_at = click.option("--at", type=click.Path(path_type=Path), default=PLACE, show_default=True, help="Where so2cam is.")
_offered = _options(
    click.option("--wheel", type=_FILE, help="Take this wheel file; else what the package index offers."),
    click.option("--version", metavar="VERSION", help="Take this version, not the newest."),
    click.option(
        "--wheels",
        type=click.Path(path_type=Path, file_okay=False, exists=True),
        metavar="FOLDER",
        help="Take everything from this folder: no internet is needed.",
    ),
)
_part = _options(
    click.argument("sites", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="SITE..."),
    click.option("--node", metavar="NAME", help="Update the agent of this node, on its computer."),
    click.option("--station", is_flag=True, help="Update the station, on its computer."),
    click.option("--service", metavar="UNIT", help=f"Its service, where that is not {AGENT} or {STATION}."),
    click.option("--token-file", type=_FILE, metavar="FILE", help="A token of the station, where it asks for one."),
    click.option("--wait", "wait_s", type=click.FloatRange(min=20), default=WAIT_S, show_default=True, metavar="S"),
)


@click.group(
    epilog="""\b
Examples:
  so2cam update check
  sudo /opt/so2cam/bin/so2cam update apply /var/lib/so2cam/site.toml --node lead --wheel so2cam-0.2.0-py3-none-any.whl
  sudo /opt/so2cam/bin/so2cam update rollback /var/lib/so2cam/site.toml --node lead

\b
The site file, the spool and the archive are not touched."""
)
def command() -> None:
    """Bring another version of so2cam to this computer: beside the old one, which comes back by itself if need be."""


@command.command(
    epilog="""\b
Examples:
  so2cam update check
  so2cam update check --wheel so2cam-0.2.0-py3-none-any.whl --json

\b
Exit codes: 0 done; 2 nothing is offered, or nothing is installed there."""
)
@_offered
@_at
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead.")
def check(wheel: Path | None, version: str | None, wheels: Path | None, at: Path, as_json: bool) -> None:
    """Say which version is in use, which is offered, and whether an update was cut off."""
    layout, tools = Layout(at), computer_tools()
    current = layout.current
    used = (so2cam(current, tools, "--version").text.split() or ["?"])[-1]
    offer = _offer(layout, tools, wheel, version, wheels)
    last = layout.last()
    cut_off = last is not None and last.state == "switched" and current.name == last.after
    if as_json:
        click.echo(json.dumps({"in_use": used, "offered": offer.version, "cut_off": cut_off}))
        return
    console.print(f"in use: so2cam {used} at {at}", markup=False)
    same = ", the same" if offer.version == used else ""
    console.print(f"offered: so2cam {offer.version}{same}", markup=False)
    if cut_off:
        console.print("the last update was cut off: so2cam update rollback goes back, confirm keeps it")


@command.command(
    "apply",
    epilog="""\b
Examples:
  sudo /opt/so2cam/bin/so2cam update apply /var/lib/so2cam/site.toml --node lead --wheel so2cam-0.2.0-py3-none-any.whl
  sudo /opt/so2cam/bin/so2cam update apply site.toml --station --version 0.2.0
  sudo /opt/so2cam/bin/so2cam update apply site.toml --station --wheels stick/     without internet

\b
Exit codes: 0 the new version runs, and is well; 1 it did not come up well, and the
one before runs again; 2 nothing was changed.""",
)
@_part
@_offered
@_at
@click.option("--no-restart", is_flag=True, help="Only switch: what runs goes on with the old version until restarted.")
def apply_(
    sites: tuple[Path, ...],
    node: str | None,
    station: bool,
    service: str | None,
    token_file: Path | None,
    wait_s: float,
    wheel: Path | None,
    version: str | None,
    wheels: Path | None,
    at: Path,
    no_restart: bool,
) -> int:
    """Build the offered version beside the one in use, check it, switch to it, and see whether it comes up well.

    SITE is the site file, by which the new version is checked: of a node /var/lib/so2cam/site.toml.
    """
    part = _part_of(sites, node, station, service, token_file)
    layout, tools = Layout(at), computer_tools()
    with unbroken():
        offer = _offer(layout, tools, wheel, version, wheels)
        outcome = apply(layout, part, offer, tools, say, restart=not no_restart, wait_s=wait_s)
    if outcome.done and no_restart:
        say(f"so2cam {outcome.version} is used from the next start of {part.service} on")
        return 0
    if outcome.done and node is not None:
        say(f"see whether the system's files changed: so2cam instrument install {sites[0]} --node {node} --dry-run")
    return _tell(outcome)


@command.command(epilog="Exit codes: 0 the version before runs; 1 it does not come up well; 2 there is none.")
@_part
@_at
def rollback(
    sites: tuple[Path, ...],
    node: str | None,
    station: bool,
    service: str | None,
    token_file: Path | None,
    wait_s: float,
    at: Path,
) -> int:
    """Go back to the version before the last update."""
    part = _part_of(sites, node, station, service, token_file)
    with unbroken():
        return _tell(give_back(Layout(at), part, computer_tools(), say, wait_s=wait_s))


@command.command("confirm")
@_at
def confirm_(at: Path) -> None:
    """Keep the version that an update which was cut off switched to."""
    console.print(f"kept: {confirm(Layout(at))}", markup=False)


def _part_of(
    sites: tuple[Path, ...], node: str | None, station: bool, service: str | None, token_file: Path | None
) -> Part:
    if (node is None) == (not station):
        raise InputError("say what is to be updated", remedy="give --node NAME, or --station")
    if node is not None and len(sites) > 1:
        raise InputError("a node has one site file", value=[str(site) for site in sites])
    first, *others = (site.absolute() for site in sites)
    return Part(first, node, service or (STATION if station else AGENT), tuple(others), token_file)


def _offer(layout: Layout, tools: Tools, wheel: Path | None, version: str | None, wheels: Path | None) -> Offer:
    if wheel is None:
        return offer_of_index(layout.current / "bin" / "python", tools, version, wheels)
    offer = offer_of_wheel(wheel, wheels)
    if version not in (None, offer.version):
        raise InputError(f"is {offer.version}", file=wheel, key="--version", value=version)
    return offer


def _tell(outcome: Outcome) -> int:
    if outcome.done:
        say(f"so2cam {outcome.version} runs, and is well")
        return 0
    with contextlib.suppress(OSError):
        report_error(outcome.why)
    return 1


def say(text: str) -> None:
    """Print a line for whoever looks on still."""
    with contextlib.suppress(OSError):  # whoever looked on has gone: the update goes on
        console.print(text, markup=False)


@contextlib.contextmanager
def unbroken() -> Iterator[None]:
    """Go on where the connection of who looks on breaks; end in good order where this is told to end."""

    def end(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = {signal.SIGHUP: signal.signal(signal.SIGHUP, signal.SIG_IGN)}
    before[signal.SIGTERM] = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
