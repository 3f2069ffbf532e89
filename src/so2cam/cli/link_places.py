"""Where the commands for the link find what belongs to a node, a station, or the user."""

from dataclasses import dataclass
from pathlib import Path

from so2cam.core.errors import InputError
from so2cam.core.site_link import Link
from so2cam.formats.sitefile import load_site
from so2cam.instrument.agent import find_node
from so2cam.instrument.network import PAIRINGS, place_of
from so2cam.instrument.places import places_of
from so2cam.link.database import FILE, Database
from so2cam.link.node import STATION_PAIRING, LinkPlace, tls_of
from so2cam.link.pairings import Pairings, default_path


@dataclass(frozen=True, slots=True)
class LinkHome:
    """What one side of a link keeps: of a node, or of the station (then ``link`` is None)."""

    site: str
    name: str
    folder: Path
    place: LinkPlace | None = None
    link: Link | None = None

    def database(self) -> Database:
        """Open its database. Raises LinkError."""
        return Database(self.folder / FILE)

    def fingerprint(self) -> str:
        """Return that of its certificate, made where it is missing. Raises LinkError."""
        from so2cam.link.tls import ensure_certificate

        if self.place is not None and self.link is not None:
            return tls_of(self.link, self.place, self.name).fingerprint()
        return ensure_certificate(self.folder, self.name).fingerprint()

    def pairings_for(self, node: str) -> Pairings:
        """Return where it keeps a pairing with ``node``."""
        if self.place is None:
            return Pairings(self.folder / "pairings.json")
        return Pairings(self.folder / (STATION_PAIRING if node == "station" else PAIRINGS))


def home_of(site: Path, node: str | None, *, station: bool = False) -> LinkHome:
    """Return what a node of the site file, or its station, keeps. Raises So2camError where there is no such thing."""
    loaded = load_site(site)
    if station:
        given = getattr(loaded.site, "station", None)
        if given is None:
            raise InputError("the site file has no station", file=site, remedy="add the table [station]")
        return LinkHome(loaded.site.name, "station", (site.parent / given.folder).resolve() / "link")
    instrument = loaded.site.instrument
    if node is None and instrument is not None and len(instrument.nodes) == 1:
        node = instrument.nodes[0].name
    if node is None:
        known = "" if instrument is None else ", ".join(one.name for one in instrument.nodes)
        raise InputError("which node is meant?", file=site, remedy=f"give --node: {known}")
    instrument, found = find_node(loaded.site, node)
    state = places_of(instrument, found, site.absolute()).state
    link = instrument.link_of(found) or Link()
    place = place_of(state, site.absolute(), instrument.link_address_of(found), link)
    return LinkHome(loaded.site.name, found.name, state, place, link)


def user_pairings(path: Path | None) -> Pairings:
    """Return the user's pairings, or those of the file given."""
    return Pairings(path or default_path())
