"""``so2cam token``: who may speak to a node or to a station, and who commanded what."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.markup import escape
from rich.table import Table

from so2cam.cli.console import console
from so2cam.cli.link_places import home_of
from so2cam.core.times import format_utc
from so2cam.link.database import Database
from so2cam.link.ledger import Ledger
from so2cam.link.protocol import role_of_word
from so2cam.link.tokens import TokenRecord, TokenStore

if TYPE_CHECKING:
    from so2cam.station.access import Access, AuditEntry

_DAY_S = 86_400.0


def _options(function: Any) -> Any:
    function = click.option("--station", is_flag=True, help="Of the station, instead of a node.")(function)
    function = click.option("--node", metavar="NAME", help="Of this node; without it, of the only one.")(function)
    return click.argument("site", type=click.Path(path_type=Path))(function)


@contextmanager
def _database(site: Path, node: str | None, station: bool) -> Iterator[Database]:
    """Open the link's tokens: of a node, or of the nodes that call in at a station."""
    database = home_of(site, node, station=station).database()
    try:
        yield database
    finally:
        database.close()


@contextmanager
def _access(site: Path) -> "Iterator[Access]":
    """Open the tokens of a station's interface and pages."""
    from so2cam.station.access import Access

    with Access.of_station(home_of(site, None, station=True).folder.parent) as access:
        yield access


@click.group(
    epilog="""\b
Examples:
  so2cam token list site.toml --node lead
  so2cam token create site.toml --node lead --name dashboard --role viewer --days 365
  so2cam token revoke site.toml 3f2a91c0 --node lead
  so2cam token audit site.toml --node lead --limit 20
  so2cam token create site.toml --station --name wall --role viewer

\b
Run it on the computer of the node, or of the station. Tokens are kept as hashes: one is
seen only when it is made. A revoked token is refused from the next message on. With
--station they are those of its interface and pages; the tokens of nodes that call in are
listed and revoked there too (those with a receiver, or made by pairing: kind "link").
Exit codes: 0 done; 2 bad input."""
)
def command() -> None:
    """List, make and revoke the tokens of a node or a station, and see who commanded what."""


@command.command("list")
@_options
@click.option("--json", "as_json", is_flag=True, help="One JSON object for each token and line.")
def list_(site: Path, node: str | None, station: bool, as_json: bool) -> None:
    """List all tokens that were ever made."""
    with _database(site, node, station) as database:
        records = [("link", record) for record in TokenStore(database).list()]
    if station:
        with _access(site) as access:
            records = [("station", record) for record in access.list()] + records
    if as_json:
        for kind, record in records:
            click.echo(json.dumps(asdict(record) | {"role": record.role.word, "kind": kind}))
        return
    if not records:
        console.print("no tokens yet: so2cam pair offer, or so2cam token create")
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("id", "name", "kind", "role", "receiver", "made", "last used", "state"):
        table.add_column(heading)
    for kind, record in records:
        table.add_row(
            record.id,
            record.name,
            kind,
            record.role.word,
            record.receiver or "",
            _time(record.created_s),
            "never" if record.used_s is None else _time(record.used_s),
            _state(record),
        )
    console.print(table)


@command.command()
@_options
@click.option("--name", required=True, metavar="NAME", help="Who or what it is for.")
@click.option("--role", type=click.Choice(("viewer", "operator", "admin")), default="viewer", show_default=True)
@click.option("--receiver", metavar="NAME", help="It may confirm files as NAME, which may then be deleted here.")
@click.option("--days", type=click.FloatRange(min=0, min_open=True), metavar="N", help="It expires after N days.")
def create(
    site: Path, node: str | None, station: bool, name: str, role: str, receiver: str | None, days: float | None
) -> None:
    """Make a token, for curl, a script or a browser. Between instrument and station, pairing makes one."""
    valid_s = None if days is None else days * _DAY_S
    if station and receiver is None:
        with _access(site) as access:
            token = access.create(name, role_of_word(role), valid_s=valid_s)
    else:
        with _database(site, node, station) as database:
            token = TokenStore(database).create(name, role_of_word(role), receiver=receiver, valid_s=valid_s)
    click.echo(token)
    console.print("keep it safe: it is not shown again", style="dim")


@command.command()
@click.argument("site", type=click.Path(path_type=Path))
@click.argument("number", metavar="ID")
@click.option("--node", metavar="NAME", help="Of this node; without it, of the only one.")
@click.option("--station", is_flag=True, help="Of the station, instead of a node.")
def revoke(site: Path, number: str, node: str | None, station: bool) -> None:
    """Make a token worthless."""
    if station:
        with _access(site) as access:
            if number in {record.id for record in access.list()}:
                record = access.revoke(number)
                console.print(f"{record.id} ({record.name}) is revoked", markup=False)
                return
    with _database(site, node, station) as database:
        record = TokenStore(database).revoke(number)
    console.print(f"{record.id} ({record.name}) is revoked", markup=False)


@command.command()
@_options
@click.option("--limit", type=click.IntRange(1, 10_000), default=50, show_default=True, help="The latest so many.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object for each command and line.")
def audit(site: Path, node: str | None, station: bool, limit: int, as_json: bool) -> None:
    """Show who commanded what over the network, the latest first, what was denied too."""
    rows: list[tuple[dict[str, Any], tuple[str, ...]]]
    if station:
        with _access(site) as access:
            rows = [(asdict(one), _audit_row(one)) for one in access.audit(limit)]
    else:
        with _database(site, node, station) as database:
            rows = [
                (asdict(one), (_time(one.begun_s), f"{one.name} ({one.who})", one.peer, one.state, _short(one.command)))
                for one in Ledger(database).entries(limit)
            ]
    if as_json:
        for values, _ in rows:
            click.echo(json.dumps(values))
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("time", "who", "from", "outcome", "command"):
        table.add_column(heading)
    for _, words in rows:
        table.add_row(*(escape(word) for word in words))
    console.print(table)


def _audit_row(entry: "AuditEntry") -> tuple[str, ...]:
    detail = "".join(f" {key}={json.dumps(value)}" for key, value in json.loads(entry.detail).items())
    return _time(entry.time_s), f"{entry.name} ({entry.who})", entry.peer, entry.outcome, entry.action + detail


def _short(command: str) -> str:
    values = _given(json.loads(command))
    name = str(values.pop("type"))
    return name + "".join(f" {key}={json.dumps(value)}" for key, value in values.items())


def _given(value: Any) -> Any:
    """Return what was given, without what was left out."""
    if isinstance(value, dict):
        return {key: _given(one) for key, one in value.items() if one not in (None, [], False)}
    return [_given(one) for one in value] if isinstance(value, list) else value


def _time(seconds: float) -> str:
    return format_utc(datetime.fromtimestamp(seconds, UTC)).partition(".")[0] + "Z"


def _state(record: TokenRecord) -> str:
    now_s = datetime.now(UTC).timestamp()
    if record.revoked_s is not None:
        return f"revoked {_time(record.revoked_s)}"
    if not record.is_valid(now_s):
        return "expired"
    return "valid" if record.expires_s is None else f"valid until {_time(record.expires_s)}"
