"""The commands to a running agent: each prints what was done, device by device."""

import time
from collections.abc import Sequence
from pathlib import Path

import click

from so2cam.cli.console import console, report_warning, when_interrupted
from so2cam.cli.instrument_agents import Agents, device_option, require_done, site_argument
from so2cam.core.health import DeviceState
from so2cam.core.site_instrument import Node
from so2cam.core.times import format_utc
from so2cam.instrument.settings import parse_values
from so2cam.link import messages
from so2cam.link.messages import Done, Refused, Result, ScheduleResult, StatusResult

_SHOT_S = 120.0
_CELLS_S = 620.0
_KINDS = ("plume", "dark", "clear", "cell", "lamp", "test")


@click.command(
    epilog="""\b
Examples:
  so2cam instrument start site.toml
  so2cam instrument start site.toml --kind clear --count 20

\b
A start by hand holds until the schedule next begins or ends capturing.
Exit codes: 0 done; 2 refused."""
)
@site_argument
@device_option
@click.option("--kind", type=click.Choice(["plume", "clear", "test"]), default="plume", show_default=True)
@click.option("--count", type=click.IntRange(1, 1_000_000), metavar="N", help="So many of each device (a sequence).")
def start(
    site: Path, node: str | None, socket: Path | None, devices: tuple[str, ...], kind: str, count: int | None
) -> None:
    """Capture on the time grid from now on, or a number of items."""
    agents = Agents(site, node, socket, devices)
    print_answers(agents.ask(lambda names: messages.Start(devices=names, kind=kind, count=count)))  # type: ignore[arg-type]


@click.command(
    epilog="""\b
Examples:
  so2cam instrument stop site.toml
  so2cam instrument stop site.toml --device spectrometer

\b
A stop by hand holds until the schedule next begins capturing. The agent stays; `shutdown` ends it.
Exit codes: 0 done; 2 refused."""
)
@site_argument
@device_option
@click.option("--force", is_flag=True, help="End darks and calibrations that are going on, too.")
def stop(site: Path, node: str | None, socket: Path | None, devices: tuple[str, ...], force: bool) -> None:
    """Stop capturing."""
    agents = Agents(site, node, socket, devices)
    print_answers(agents.ask(lambda names: messages.Stop(devices=names, force=force)))


@click.command(
    epilog="""\b
Examples:
  so2cam instrument shot site.toml
  so2cam instrument shot site.toml --kind cell --ppm 304 --device camera-on
  so2cam instrument shot site.toml --kind dark --exposure 1

\b
Exit codes: 0 done; 2 refused."""
)
@site_argument
@device_option
@click.option("--kind", type=click.Choice(_KINDS), default="test", show_default=True)
@click.option("--ppm", type=click.FloatRange(0, 1e7), metavar="N", help="Of a cell: its label in ppm m.")
@click.option("--exposure", type=click.FloatRange(0, 60, min_open=True), metavar="S", help="For this item only.")
def shot(
    site: Path,
    node: str | None,
    socket: Path | None,
    devices: tuple[str, ...],
    kind: str,
    ppm: float | None,
    exposure: float | None,
) -> None:
    """Take one item of each device now, beside whatever else is going on."""
    if (kind == "cell") != (ppm is not None):
        raise click.UsageError("--ppm goes with --kind cell, and only with it")
    agents = Agents(site, node, socket, devices)
    print_answers(
        agents.ask(
            lambda names: messages.Shot(devices=names, kind=kind, cell_ppm_m=ppm, exposure_s=exposure),  # type: ignore[arg-type]
            timeout_s=_SHOT_S,
        )
    )


@click.command(
    name="set",
    epilog="""\b
Examples:
  so2cam instrument set site.toml --device camera-on auto=off exposure=20ms
  so2cam instrument set site.toml period=2
  so2cam instrument set site.toml --device spectrometer coadds=10 longest_exposure_s=2
  so2cam instrument set site.toml --device camera-on first_row=0 last_row=242
  so2cam instrument set site.toml --reset

\b
Settings: auto (on/off), exposure, gain, coadds, period, low_fraction, target_fraction,
high_fraction, brightest_pixels, shortest_exposure_s, longest_exposure_s; of cameras
first_row and last_row (a number, or bottom), of spectrometers window_from_nm and
window_to_nm: the part that exposure and saturation go by. Times in s, or with ms or us.
Exit codes: 0 done; 2 refused, and nothing changed.""",
)
@site_argument
@device_option
@click.argument("values", nargs=-1, metavar="KEY=VALUE...")
@click.option("--reset", is_flag=True, help="First take everything back to the site file.")
def set_values(
    site: Path, node: str | None, socket: Path | None, devices: tuple[str, ...], values: tuple[str, ...], reset: bool
) -> None:
    """Change settings of a node's devices, all of them or none; they survive a restart.

    Without --device they are meant for all devices that have these settings.
    """
    if not values and not reset:
        raise click.UsageError("give KEY=VALUE, like exposure=20ms, or --reset")
    wanted = parse_values(values)
    agents = Agents(site, node, socket, devices)

    def command(names: tuple[str, ...]) -> messages.Set:
        return messages.Set(changes=(messages.DeviceChange(devices=names, values=wanted, reset=reset),))

    print_answers(agents.ask(command))


@click.command(
    epilog="""\b
Examples:
  so2cam instrument darks site.toml --wait
  so2cam instrument darks site.toml --device camera-on --exposure 0.1 --exposure 0.4 --repeats 5

\b
Items that are not dark are not kept. Afterwards the devices go on as before.
Exit codes: 0 done; 2 refused."""
)
@site_argument
@device_option
@click.option("--repeats", type=click.IntRange(1, 100), metavar="N", help="Items at each exposure.")
@click.option(
    "--exposure",
    "exposures",
    type=click.FloatRange(0, 60, min_open=True),
    multiple=True,
    metavar="S",
    help="At this exposure (repeat for several); without it, at those used since the last darks.",
)
@click.option("--wait", is_flag=True, help="Return when the set is over.")
def darks(
    site: Path,
    node: str | None,
    socket: Path | None,
    devices: tuple[str, ...],
    repeats: int | None,
    exposures: tuple[float, ...],
    wait: bool,
) -> None:
    """Take a dark set."""
    agents = Agents(site, node, socket, devices)
    print_answers(agents.ask(lambda names: messages.Darks(devices=names, repeats=repeats, exposures_s=exposures)))
    if wait:
        with when_interrupted("the dark set goes on; `stop --force` ends it"):
            while _takes_darks(agents):
                time.sleep(1.0)
        console.print("the dark set is over")


def _takes_darks(agents: Agents) -> bool:
    return any(
        device.state is DeviceState.DARKS
        for _, result in agents.ask(lambda _: messages.Status())
        if isinstance(result, StatusResult)
        for device in result.health.devices
    )


@click.command(
    epilog="""\b
Examples:
  so2cam instrument cells site.toml begin
  so2cam instrument cells site.toml take 0 --count 5
  so2cam instrument cells site.toml take 1257
  so2cam instrument cells site.toml clear
  so2cam instrument cells site.toml end

\b
Exit codes: 0 done; 2 refused."""
)
@site_argument
@click.argument("action", type=click.Choice(["begin", "take", "clear", "end"]))
@click.argument("ppm", type=click.FloatRange(0, 1e7), required=False)
@device_option
@click.option("--count", type=click.IntRange(1, 1000), default=5, show_default=True, help="Frames of each camera.")
def cells(
    site: Path,
    node: str | None,
    socket: Path | None,
    action: str,
    ppm: float | None,
    devices: tuple[str, ...],
    count: int,
) -> None:
    """Calibrate by hand with gas cells: begin, take the frames of each cell (PPM: its ppm m), clear sky, end."""
    if (action == "take") != (ppm is not None):
        raise click.UsageError("give the cell's ppm m after take, and only there, like: take 1257")
    agents = Agents(site, node, socket, devices)
    print_answers(
        agents.ask(
            lambda names: messages.Cells(action=action, devices=names, ppm_m=ppm, count=count),  # type: ignore[arg-type]
            timeout_s=_CELLS_S,
        )
    )


@click.command(
    epilog="""\b
Examples:
  so2cam instrument schedule site.toml
  so2cam instrument schedule site.toml pause --for 3600
  so2cam instrument schedule site.toml resume

\b
Exit codes: 0 done; 2 refused."""
)
@site_argument
@click.argument("action", type=click.Choice(["show", "pause", "resume"]), default="show")
@click.option("--for", "for_s", type=click.FloatRange(1), metavar="S", help="Of a pause: it ends by itself.")
def schedule(site: Path, node: str | None, socket: Path | None, action: str, for_s: float | None) -> None:
    """Show what the schedule wants; pause it, so that it changes nothing; or resume it."""
    if for_s is not None and action != "pause":
        raise click.UsageError("--for goes with pause")
    agents = Agents(site, node, socket)
    print_answers(agents.ask(lambda _: messages.Schedule(action=action, for_s=for_s)))  # type: ignore[arg-type]


@click.command(
    name="restart-device",
    epilog="""\b
Examples:
  so2cam instrument restart-device site.toml spectrometer

\b
Exit codes: 0 done; 2 refused.""",
)
@site_argument
@click.argument("device")
def restart_device(site: Path, node: str | None, socket: Path | None, device: str) -> None:
    """End a device's process and start it anew; other devices do not notice."""
    agents = Agents(site, node, socket, (device,))
    print_answers(agents.ask(lambda names: messages.RestartDevice(device=names[0])))


def print_answers(answers: Sequence[tuple[Node, Result]]) -> None:
    """Print what became of a command at each node. Raises where none did it."""
    require_done(answers)
    for node, result in answers:
        if isinstance(result, Refused):
            report_warning(f"{node.name}: {result.text}")
            print_outcomes(result)
        elif isinstance(result, Done):
            console.print(f"{node.name}: {result.text}", markup=False)
            print_outcomes(result)
        elif isinstance(result, ScheduleResult):
            print_schedule(node.name, result)


def print_outcomes(result: Done | Refused) -> None:
    """Print what became of a command, device by device."""
    for outcome in result.outcomes:
        sign, style = ("✓", "green") if outcome.done else ("✗", "red")
        console.print(f"  {sign}", style=style, end=" ")
        values = ", ".join(f"{key} {_plain(value)}" for key, value in outcome.values.items())
        console.print(f"{outcome.device}: {outcome.text}" + (f" ({values})" if values else ""), markup=False)


def _plain(value: object) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    return f"{value:g}" if isinstance(value, float) else str(value)


def print_schedule(node: str, result: ScheduleResult) -> None:
    """Print what the schedule of a node wants."""
    console.print(f"{node}: {result.activity}", markup=False)
    if result.paused:
        until = "until it is resumed" if result.paused_until is None else f"until {format_utc(result.paused_until)}"
        console.print(f"  paused {until}", markup=False)
    for entry in result.coming:
        console.print(f"  {format_utc(entry.time)}  {entry.activity}", markup=False)
