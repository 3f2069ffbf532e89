"""``so2cam remote``: speak to an instrument over the network."""

import hashlib
import json
import threading
import time
from pathlib import Path
from typing import Any

import click
from rich.live import Live
from rich.table import Table

from so2cam.cli.console import FolderPath, console, progress_bar, report_warning, when_interrupted
from so2cam.cli.instrument_commands import print_outcomes, print_schedule
from so2cam.cli.instrument_status import status_page
from so2cam.cli.remote_way import Reached, Way, reach, way_options
from so2cam.core.errors import InputError
from so2cam.core.health import HealthRecord, Level
from so2cam.core.times import format_utc
from so2cam.instrument.settings import parse_values
from so2cam.link import messages, protocol
from so2cam.link.errors import LinkError, LinkLostError, LinkRefusedError
from so2cam.link.messages import Done, Refused, ScheduleResult
from so2cam.link.protocol import LinkItem
from so2cam.store.atomic import atomic_write_bytes

_KINDS = ("plume", "dark", "clear", "cell", "lamp", "test")
_STATUS_S = 10.0


_devices = click.option(
    "--device", "devices", multiple=True, metavar="NAME", help="A device (repeat for several); without it, all."
)


def _tell(remote: Reached, command: Any) -> None:
    """Have a command carried out, and print what became of it. Raises LinkError where it is refused."""
    key = f"cli-{time.time_ns():x}"
    with when_interrupted(f"the command may have taken effect; ask: so2cam remote result {key} {remote.options}"):
        try:
            result = remote.client.command(command, key=key)
        except LinkLostError as error:
            if not remote.client.connections:
                raise
            raise LinkLostError(
                f"{error.message}; the command may have taken effect",
                remedy=f"ask later: so2cam remote result {key} {remote.options}",
            ) from None
    _print(remote.name, result)


@click.group(
    epilog="""\b
Examples:
  so2cam pair join 192.168.5.5                         once, with the code that the instrument shows
  so2cam remote status --watch
  so2cam remote shot --kind test
  so2cam remote set --device camera-on auto=off exposure=20ms
  so2cam remote files --kind frame --limit 10 --fetch pictures
  so2cam remote shot --at lead --through site.toml     through the station, which the instrument calls

\b
Every command takes effect once, whatever breaks in between.
Exit codes: 0 done; 1 an alarm (status); 2 refused, or not reached; 130 interrupted."""
)
def command() -> None:
    """Speak to an instrument over the network, as `so2cam instrument` does on its own computer."""


@command.command()
@way_options
@click.option("--json", "as_json", is_flag=True, help="The health record as one JSON object.")
@click.option("--watch", is_flag=True, help="Go on until Ctrl-C.")
def status(way: Way, as_json: bool, watch: bool) -> int:
    """Show how the instrument is."""
    with reach(way) as remote:

        def ask() -> HealthRecord:
            found: HealthRecord = remote.client.ask(messages.Status(), patience_s=_STATUS_S).health
            return found

        record = ask()
        if as_json:
            click.echo(json.dumps(record.model_dump(mode="json"), separators=(",", ":")))
        elif watch:
            _watch(record, ask)
        else:
            console.print(status_page([record]))
    return 1 if record.level is Level.ALARM else 0


def _watch(record: HealthRecord, ask: Any) -> None:
    with Live(status_page([record]), console=console, auto_refresh=False) as live:
        try:
            while True:
                time.sleep(1.0)
                live.update(status_page([ask()]), refresh=True)
        except KeyboardInterrupt:
            return


@command.command()
@way_options
@_devices
@click.option("--kind", type=click.Choice(["plume", "clear", "test"]), default="plume", show_default=True)
@click.option("--count", type=click.IntRange(1, 1_000_000), metavar="N", help="So many of each device (a sequence).")
def start(way: Way, devices: tuple[str, ...], kind: str, count: int | None) -> None:
    """Capture on the time grid from now on, or a number of items."""
    with reach(way) as remote:
        _tell(remote, messages.Start(devices=devices, kind=kind, count=count))  # type: ignore[arg-type]


@command.command()
@way_options
@_devices
@click.option("--force", is_flag=True, help="End darks and calibrations that are going on, too.")
def stop(way: Way, devices: tuple[str, ...], force: bool) -> None:
    """Stop capturing."""
    with reach(way) as remote:
        _tell(remote, messages.Stop(devices=devices, force=force))


@command.command()
@way_options
@_devices
@click.option("--kind", type=click.Choice(_KINDS), default="test", show_default=True)
@click.option("--ppm", type=click.FloatRange(0, 1e7), metavar="N", help="Of a cell: its label in ppm m.")
@click.option("--exposure", type=click.FloatRange(0, 60, min_open=True), metavar="S", help="For this item only.")
def shot(
    way: Way,
    devices: tuple[str, ...],
    kind: str,
    ppm: float | None,
    exposure: float | None,
) -> None:
    """Take one item of each device now, beside whatever else is going on."""
    if (kind == "cell") != (ppm is not None):
        raise click.UsageError("--ppm goes with --kind cell, and only with it")
    with reach(way) as remote:
        _tell(remote, messages.Shot(devices=devices, kind=kind, cell_ppm_m=ppm, exposure_s=exposure))  # type: ignore[arg-type]


@command.command(name="set")
@way_options
@_devices
@click.argument("values", nargs=-1, metavar="[KEY=VALUE]...")
@click.option("--reset", is_flag=True, help="Take everything else back to the site file.")
def set_values(way: Way, devices: tuple[str, ...], values: tuple[str, ...], reset: bool) -> None:
    """Change settings, all of them or none; without any, show them."""
    with reach(way) as remote:
        if values or reset:
            change = messages.DeviceChange(devices=devices, values=parse_values(values), reset=reset)
            _tell(remote, messages.Set(changes=(change,)))
            return
        for device, settings in remote.client.ask(protocol.Settings()).devices.items():
            if not devices or device in devices:
                words = ", ".join(f"{key} {_plain(value)}" for key, value in settings.items())
                console.print(f"{device}: {words}", markup=False)


@command.command()
@click.argument("action", type=click.Choice(["show", "pause", "resume"]), default="show")
@way_options
@click.option("--for", "for_s", type=click.FloatRange(1), metavar="S", help="Of a pause: it ends by itself.")
def schedule(action: str, way: Way, for_s: float | None) -> None:
    """Show what the schedule wants; pause it, so that it changes nothing; or resume it."""
    if for_s is not None and action != "pause":
        raise click.UsageError("--for goes with pause")
    with reach(way) as remote:
        _tell(remote, messages.Schedule(action=action, for_s=for_s))  # type: ignore[arg-type]


@command.command()
@click.argument("key")
@way_options
def result(key: str, way: Way) -> None:
    """Ask what became of the command of a key."""
    with reach(way) as remote:
        _print(remote.name, remote.client.ask(protocol.Outcome(key=key)))


@command.command()
@way_options
@click.option("--after", type=click.IntRange(0), default=0, metavar="N", help="Only those after event number N.")
@click.option("--follow", is_flag=True, help="Go on until Ctrl-C.")
def events(way: Way, after: int, follow: bool) -> None:
    """Show what happened: items, commands, changes of health."""
    with reach(way) as remote:
        if follow:
            try:
                for event in remote.client.events(after, threading.Event()):
                    _print_event(event)
            except KeyboardInterrupt:
                return
        else:
            while found := remote.client.ask(protocol.Events(after=after, limit=500)).events:
                for event in found:
                    _print_event(event)
                after = found[-1].number


def _print_event(event: protocol.Event) -> None:
    console.print(f"{event.number:>8}  {format_utc(event.time)}  {event.kind:<7}  {event.text}", markup=False)


@command.command()
@way_options
@click.option("--kind", help="Only this kind: frame, spectrum, health ...")
@click.option("--limit", type=click.IntRange(1, 500), default=20, show_default=True, help="The latest so many.")
@click.option("--fetch", "folder", type=FolderPath(), metavar="FOLDER", help="Fetch them, with their sidecars.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object for each item and line.")
def files(way: Way, kind: str | None, limit: int, folder: Path | None, as_json: bool) -> None:
    """List the latest items that the instrument keeps, or fetch them. Nothing is deleted there for it."""
    with reach(way) as remote:
        found = remote.client.ask(protocol.Items(order="newest", limit=limit, kind=kind))
        if folder is not None:
            _fetch_all(remote.client, found.items, folder)
            return
        if as_json:
            for item in found.items:
                click.echo(item.model_dump_json())
            return
        table = Table(box=None, pad_edge=False, header_style="bold")
        table.add_column("number", justify="right")
        for heading in ("time", "kind", "device", "name"):
            table.add_column(heading, overflow="fold")
        table.add_column("bytes", justify="right")
        for item in found.items:
            what = f"{item.kind} {item.subject}"
            table.add_row(str(item.sequence), format_utc(item.time), what, item.device, item.name, str(item.size))
        console.print(table)
        if found.waiting is not None:
            console.print(f"{found.waiting} items wait for {remote.receiver}", markup=False)


def _fetch_all(client: Any, items: tuple[LinkItem, ...], folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    kept = 0
    with when_interrupted(f"files that are whole are in {folder}"), progress_bar("files") as progress:
        for number, item in enumerate(items):
            progress(number, len(items))
            for name, part, size, sha256 in (
                (item.sidecar_name, "sidecar", item.sidecar_size, item.sidecar_sha256),
                (item.name, "main", item.size, item.sha256),
            ):
                kept += _fetch(client, item.sequence, part, size, sha256, folder / name)
        progress(len(items), len(items))
    console.print(f"{len(items)} items in {folder}; {kept} of their files were there already", markup=False)


def _fetch(client: Any, sequence: int, part: str, size: int, sha256: str, path: Path) -> bool:
    """Fetch a file; return whether it was there already. Raises LinkError where it does not arrive as it was."""
    if path.exists():
        if hashlib.sha256(path.read_bytes()).hexdigest() == sha256:
            return True
        raise InputError("another file of this name is there", file=path, remedy="give another folder")
    data = b""
    while len(data) < size:
        length = min(protocol.MAXIMUM_PART_BYTES, size - len(data))
        say = protocol.Read.model_validate({"sequence": sequence, "part": part, "offset": len(data), "length": length})
        piece = client.read(say)[1]
        if not piece:
            break
        data += piece
    if hashlib.sha256(data).hexdigest() != sha256:
        raise LinkError("a file did not arrive as it was kept", file=path, remedy="see so2cam spool verify there")
    atomic_write_bytes(path, data)
    return False


def _print(name: str, result: object) -> None:
    if isinstance(result, Refused):
        print_outcomes(result)
        raise LinkRefusedError(f"{name}: {result.text}", key=result.key, remedy=result.remedy)
    if isinstance(result, Done):
        console.print(f"{name}: {result.text}", markup=False)
        print_outcomes(result)
        if any(not outcome.done for outcome in result.outcomes):
            report_warning("not all devices did it")
    elif isinstance(result, ScheduleResult):
        print_schedule(name, result)


def _plain(value: object) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    return f"{value:g}" if isinstance(value, float) else str(value)
