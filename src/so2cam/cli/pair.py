"""``so2cam pair``: make two computers trust each other, with a code that is used once."""

from pathlib import Path

import click
from rich.table import Table

from so2cam.cli.console import console
from so2cam.cli.link_places import home_of, user_pairings
from so2cam.link.addresses import parse_host, spaced
from so2cam.link.pairing import VALID_S, PairingDesk
from so2cam.link.protocol import role_of_word
from so2cam.link.tokens import TokenStore

_ROLES = ("viewer", "operator", "admin")
pairings_option = click.option(
    "--pairings", type=click.Path(path_type=Path), metavar="FILE", help="Where pairings are kept, if not as usual."
)


@click.group(
    epilog="""\b
Examples:
  so2cam pair offer site.toml --node lead --role operator --receiver station   on the instrument: shows a code
  so2cam pair join 192.168.5.5 --site site.toml --station                      on the station: asks for the code
  so2cam pair join 192.168.5.5                                                 on a laptop, for so2cam remote
  so2cam pair list
  so2cam pair address lead 192.168.5.7                                         it is there now; no new code is needed

\b
The code is valid for ten minutes, once. It is never sent: both sides prove that they
know it, bound to the certificate that the one that joins was shown. From then on only
that certificate is accepted.
Exit codes: 0 done; 2 refused, or not reached."""
)
def command() -> None:
    """Make two computers trust each other, with a code that is used once."""


@command.command()
@click.argument("site", type=click.Path(path_type=Path))
@click.option("--node", metavar="NAME", help="The node that is offered; without it, the only one.")
@click.option("--station", is_flag=True, help="The station is offered: for a node that dials it.")
@click.option("--role", type=click.Choice(_ROLES), default="operator", show_default=True, help="What may be done.")
@click.option(
    "--receiver",
    metavar="NAME",
    help="The other side keeps data: it may confirm files as NAME (`station`), which may then be deleted here.",
)
def offer(site: Path, node: str | None, station: bool, role: str, receiver: str | None) -> None:
    """Make a code and show it: whoever types it within ten minutes gets a token.

    Run it on the computer that is dialled, while its agent (or station) runs. SITE is the site file.
    """
    home = home_of(site, node, station=station)
    database = home.database()
    try:
        desk = PairingDesk(database, TokenStore(database), site=home.site, node=home.name)
        made = desk.offer(role_of_word(role), receiver)
    finally:
        database.close()
    console.print(f"code: [bold]{made.code}[/bold]")
    as_receiver = f", receiver {receiver}" if receiver else ""
    console.print(
        f"  for {home.name}, role {role}{as_receiver}; valid for {VALID_S / 60:.0f} minutes, once", markup=False
    )
    if home.link is not None and home.place is not None:
        as_station = " --site site.toml --station" if receiver == "station" else ""
        where = f"{home.place.address}:{home.place.port}"
        console.print(f"  on the other computer: so2cam pair join {where}{as_station}", markup=False)
    console.print(f"  certificate, SHA-256: {spaced(home.fingerprint())}", markup=False)


@command.command()
@click.argument("host", metavar="HOST[:PORT]")
@click.option("--code", metavar="CODE", help="The code that the other side shows; asked for without it.")
@click.option("--name", metavar="NAME", help="How the other side is called here; without it, by its node's name.")
@click.option(
    "--site", type=click.Path(path_type=Path), metavar="SITE", help="For a node or station of this site file."
)
@click.option("--node", metavar="NAME", help="With --site: for this node, to dial a station, or a lead its follower.")
@click.option("--station", is_flag=True, help="With --site: for the station.")
@pairings_option
def join(
    host: str,
    code: str | None,
    name: str | None,
    site: Path | None,
    node: str | None,
    station: bool,
    pairings: Path | None,
) -> None:
    """Pair with the computer at HOST by the code that it shows."""
    from so2cam.link.pairings import pair

    if site is None and (node is not None or station):
        raise click.UsageError("--node and --station go with --site")
    address, port = parse_host(host)
    home = None if site is None else home_of(site, node, station=station)
    if code is None:
        code = click.prompt("code", type=str)
    own = None if home is None or station else home.name
    found = pair(address, port, code, name=name, own=own)
    if home is not None and home.place is not None:
        name = "station" if found.node == "station" else found.node
        found = found.model_copy(update={"name": name})
    store = user_pairings(pairings) if home is None else home.pairings_for(found.name)
    store.add(found)
    as_receiver = f", receiver {found.receiver}" if found.receiver else ""
    console.print(f"paired with {found.name} ({found.site}): role {found.role}{as_receiver}", markup=False)
    console.print(f"  certificate, SHA-256: {spaced(found.fingerprint)}", markup=False)
    console.print(f"  kept in {store.path}", markup=False)


@command.command("list")
@pairings_option
def list_(pairings: Path | None) -> None:
    """List those that this user has paired with."""
    known = user_pairings(pairings).all()
    if not known:
        console.print("paired with nobody yet: so2cam pair join HOST")
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("name", "site", "node", "address", "role", "receiver"):
        table.add_column(heading)
    for one in known.values():
        table.add_row(one.name, one.site, one.node, f"{one.host}:{one.port}", one.role, one.receiver or "")
    console.print(table)


@command.command()
@click.argument("name")
@click.argument("host", metavar="HOST[:PORT]")
@click.option("--unanswered", is_flag=True, help="Keep it although nobody answers there yet.")
@click.option(
    "--site", type=click.Path(path_type=Path), metavar="SITE", help="Of a node or the station of this site file."
)
@click.option("--node", metavar="NAME", help="With --site: a pairing that this node has.")
@click.option("--station", is_flag=True, help="With --site: a pairing that the station has.")
@pairings_option
def address(
    name: str, host: str, unanswered: bool, site: Path | None, node: str | None, station: bool, pairings: Path | None
) -> None:
    """Change the address of one that is paired as NAME; token and certificate stay.

    Whoever answers there must show the certificate of the pairing; another instrument is refused.
    """
    from so2cam.link.pairings import change_address

    if site is None and (node is not None or station):
        raise click.UsageError("--node and --station go with --site")
    place, port = parse_host(host)
    store = user_pairings(pairings) if site is None else home_of(site, node, station=station).pairings_for(name)
    change_address(store, name, place, port, unanswered=unanswered)
    console.print(f"{name} is at {place}:{port}; its token and certificate stay", markup=False)


@command.command()
@click.argument("name")
@pairings_option
def forget(name: str, pairings: Path | None) -> None:
    """Forget a pairing here. The other side revokes its token with so2cam token revoke."""
    user_pairings(pairings).forget(name)
    console.print(f"{name} is forgotten", markup=False)
