"""``so2cam alarms``: what is wrong now, what was, and who has seen it."""

import getpass
import json
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
from rich.table import Table

from so2cam.cli.console import FolderPath, console, report_error, report_warning
from so2cam.core.errors import InputError, So2camError
from so2cam.core.times import format_utc
from so2cam.formats.sitefile import LoadedSite, load_site
from so2cam.station.alarms import alarms_of, rules_of
from so2cam.station.alarms_store import AlarmStore, Event
from so2cam.station.notify import AppriseSender, open_to_others
from so2cam.station.publish_services import OutwardPaths, station_folder

_RAISED = 3
_site = click.argument("site", type=click.Path(path_type=Path))
_folder = click.option("--folder", type=FolderPath(), help="The station's folder, if not that of the site file.")
_as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON instead.")


@click.group(
    epilog="""\b
Examples:
  so2cam alarms list site.toml
  so2cam alarms history site.toml --limit 20
  so2cam alarms acknowledge site.toml 17 --by Ana --note "on my way"
  so2cam alarms test site.toml

\b
The station watches the rules of [alarms] in the site file; see docs/alarms.md."""
)
def command() -> None:
    """Show alarms of a station, acknowledge them, and try whether messages arrive."""


@command.command(
    name="list",
    epilog="""\b
Exit codes: 0 nothing is raised; 2 bad input; 3 at least one event is open.""",
)
@_site
@_folder
@_as_json
def list_open(site: Path, folder: Path | None, as_json: bool) -> int | None:
    """List the events that are open now."""
    loaded = load_site(site)
    with _store(loaded, folder) as store:
        events = store.events(loaded.site.name, open_only=True)
    if as_json:
        _print_json(events)
    elif not events:
        console.print(f"{loaded.site.name}: no alarm; {len(rules_of(loaded.site))} rules are watched", markup=False)
    else:
        _print_events(events)
    return _RAISED if events else None


@command.command()
@_site
@click.option("--limit", type=click.IntRange(1, 100_000), default=50, show_default=True, help="Newest events.")
@_folder
@_as_json
def history(site: Path, limit: int, folder: Path | None, as_json: bool) -> None:
    """List events, newest first, with whom they were told to."""
    loaded = load_site(site)
    with _store(loaded, folder) as store:
        events = store.events(loaded.site.name, limit=limit)
        told = {event.id: store.messages(event.id) for event in events}
    if as_json:
        _print_json(events)
        return
    if not events:
        console.print(f"{loaded.site.name}: no event yet", markup=False)
        return
    _print_events(events)
    for event in reversed(events):
        for message in reversed(told[event.id]):
            if message.state in ("unknown", "given up", "waiting"):
                why = f": {message.error}" if message.error else ""
                text = f"event {event.id}, {message.target}: {message.kind} is {message.state}{why}"
                console.print(f"  {text}", markup=False)


@command.command()
@_site
@click.argument("event", type=click.IntRange(min=1))
@click.option("--by", help="Who has seen it; without it, the account's name.")
@click.option("--note", help="What is done about it.")
@_folder
def acknowledge(site: Path, event: int, by: str | None, note: str | None, folder: Path | None) -> None:
    """Say that a person has seen the event of this number."""
    loaded = load_site(site)
    with _store(loaded, folder) as store:
        known = store.event(event)
        if known.site != loaded.site.name:
            raise InputError(f"is an event of {known.site}", key="event", value=event, remedy="name its site file")
        done = store.acknowledge(event, by or getpass.getuser(), datetime.now(UTC), note)
    when = "" if done.acknowledged is None else f" on {done.acknowledged:%Y-%m-%d %H:%M:%S} UTC"
    console.print(f"event {done.id} ({done.rule}): seen by {done.acknowledged_by}{when}", markup=False)


@command.command(
    epilog="""\b
Exit codes: 0 all messages went out; 2 bad input; 3 at least one did not."""
)
@_site
@click.option("--target", "names", multiple=True, metavar="NAME", help="Only this one (repeat for several).")
def test(site: Path, names: tuple[str, ...]) -> int | None:
    """Send a test message to every target, and say what went out."""
    loaded = load_site(site)
    targets = alarms_of(loaded.site).targets
    known = ", ".join(target.name for target in targets) or "none"
    for name in names:
        if name not in {target.name for target in targets}:
            raise InputError("there is no such target", key="--target", value=name, remedy=f"targets are {known}")
    if not targets:
        raise InputError(
            "the site file names nobody to tell", file=site, key="alarms.targets", remedy="add [[alarms.targets]]"
        )
    sender, failed = AppriseSender(site.parent), False
    for target in targets:
        if names and target.name not in names:
            continue
        if open_to_others(target, site.parent):
            report_warning(f"{target.name}: others can read its file; chmod 600 {target.url_file}")
        try:
            sender.send(
                target,
                f"[test] {loaded.site.name}: messages arrive",
                f"A test of the alarms of {loaded.site.name}, sent on {datetime.now(UTC):%Y-%m-%d %H:%M:%S} UTC.",
            )
        except So2camError as error:
            failed = True
            report_error(f"{target.name}: {error}")
        else:
            console.print(f"{target.name}: sent", markup=False)
    return 3 if failed else None


def _store(loaded: LoadedSite, folder: Path | None) -> AlarmStore:
    """Return the alarms of the station, which must have run: looking makes nothing."""
    path = OutwardPaths(station_folder(loaded, folder)).alarms
    if not path.is_file():
        raise InputError(
            "the station has kept no alarms here",
            file=path,
            remedy="start it: so2cam station run SITE, or give --folder",
        )
    return AlarmStore(path)


def _print_events(events: list[Event]) -> None:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("event", "level", "rule", "of", "began", "ended", "what", "seen by"):
        table.add_column(heading)
    for event in events:
        ended = "still" if event.ended is None else f"{event.ended:%m-%d %H:%M:%S}"
        seen = "" if event.acknowledged_by is None else event.acknowledged_by
        if event.note:
            seen += f": {event.note}"
        cells = (str(event.id), event.level, event.rule, event.subject, f"{event.began:%Y-%m-%d %H:%M:%S}", ended)
        table.add_row(*(click.unstyle(cell) for cell in (*cells, event.text, seen)))
    console.print(table, markup=False)


def _print_json(events: list[Event]) -> None:
    def plain(value: Any) -> Any:
        return format_utc(value) if isinstance(value, datetime) else value

    rows = [{key: plain(value) for key, value in asdict(event).items()} for event in events]
    click.echo(json.dumps(rows, indent=1))
