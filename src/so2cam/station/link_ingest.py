"""Fetching from the nodes that a station is paired with: files into the archive, health into the catalogue.

A node belongs to the site whose name its pairing has. Nodes that call in (behind a mobile operator's NAT) are those of
the site file whose link is dialled by the instrument.
"""

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from so2cam.core.errors import So2camError
from so2cam.core.health import HealthRecord
from so2cam.link.client import LinkClient
from so2cam.link.messages import Status, StatusResult
from so2cam.link.pairings import Pairing
from so2cam.link.protocol import LinkItem
from so2cam.link.station import StationLinks
from so2cam.link.transfer import FileTransfer, TransferStatus
from so2cam.station.archive import origin_of
from so2cam.station.context import StationContext, StationSite

_LOG = logging.getLogger(__name__)
_HEALTH_EVERY_S: Final = 10.0
_LOOK_EVERY_S: Final = 5.0


class NodeIngest:
    """Fetches from one node until it is told to stop."""

    def __init__(
        self, context: StationContext, site: StationSite, node: str, connect: Callable[[], LinkClient]
    ) -> None:
        self._context, self._site, self._node, self._connect = context, site, node, connect
        self._transfer: FileTransfer | None = None
        self.client: LinkClient | None = None
        """Its link while it fetches: of a node that calls in the only one."""

    @property
    def name(self) -> str:
        """The service's name."""
        return f"link/{self._site.name}/{self._node}".replace(" ", "-")

    @property
    def status(self) -> TransferStatus:
        """How the fetching goes."""
        return TransferStatus() if self._transfer is None else self._transfer.status

    def run(self, stop: threading.Event) -> None:
        """Fetch until told to stop. Raises LinkError where the node is not paired (it is tried again)."""
        with self._connect() as client:
            self.client = client
            health = threading.Thread(
                target=self._ask_health, args=(client, stop), name=f"so2cam-{self.name}-health", daemon=True
            )
            health.start()
            settings = self._site.settings.transfer
            self._transfer = FileTransfer(client, self._site.archive, settings, on_item=self._on_item)
            self._transfer.run(stop)
            health.join(1.0)

    def _on_item(self, item: LinkItem) -> None:
        if item.kind == "health":
            self._enter_health(item)
        else:
            self._context.board.announce()

    def _enter_health(self, item: LinkItem) -> None:
        """Enter a health record that came as a file: what happened while the link was down."""
        file = self._context.catalogue.by_origin(self._site.name, origin_of(item))
        if file is None:
            return
        try:
            record = HealthRecord.model_validate_json(self._site.archive.path_of(file).read_bytes())
        except (OSError, ValueError) as error:
            _LOG.warning("%s is no health record: %s", file.path, str(error).partition("\n")[0])
            return
        self._context.catalogue.add_health(self._site.name, record.node, record.time, record.model_dump_json())

    def _ask_health(self, client: LinkClient, stop: threading.Event) -> None:
        told = ""
        while not stop.is_set():
            try:
                answer = client.command(Status(), patience_s=_HEALTH_EVERY_S)
                if isinstance(answer, StatusResult):
                    record = answer.health
                    self._context.catalogue.add_health(
                        self._site.name, record.node, record.time, record.model_dump_json()
                    )
                told = ""
            except So2camError as error:
                if error.message != told:
                    _LOG.warning("%s: its health is not known: %s", self._node, error.message)
                told = error.message
            stop.wait(_HEALTH_EVERY_S)


class LinkIngest:
    """The service that keeps a thread for every node that is paired; new pairings are found while it runs."""

    def __init__(self, context: StationContext) -> None:
        self._context = context
        self._links: StationLinks | None = None
        self._nodes: dict[str, _Fetching] = {}

    @property
    def name(self) -> str:
        """The service's name."""
        return "link"

    def statuses(self) -> dict[str, TransferStatus]:
        """Return how fetching goes, by the name of the service of each node."""
        return {one.ingest.name: one.ingest.status for one in list(self._nodes.values())}

    @property
    def links(self) -> StationLinks | None:
        """The station's links while the service runs."""
        return self._links

    def status_of(self, name: str) -> TransferStatus | None:
        """Return how fetching from a node goes; None where nothing is fetched from it."""
        one = self._nodes.get(name)
        return None if one is None else one.ingest.status

    def calling(self, name: str) -> LinkClient | None:
        """Return the link of a node that calls in; None where it has not called since the start, or is dialled."""
        one = self._nodes.get(name)
        return one.ingest.client if one is not None and one.wanted.calls_in else None

    def run(self, stop: threading.Event) -> None:
        """Look for paired nodes and fetch from all until told to stop. Raises LinkError where it cannot listen."""
        settings = self._context.settings
        links = StationLinks(self._context.folder / "link", self._context.sites[0].name)
        self._links = links
        try:
            if settings.listen is not None:
                links.listen(settings.listen.address, settings.listen.port)
            while not stop.is_set():
                self._look(links)
                stop.wait(_LOOK_EVERY_S)
        finally:
            self._links = None
            for one in self._nodes.values():
                one.stop.set()
            for one in self._nodes.values():
                one.thread.join(5.0)
            links.close()

    def _look(self, links: StationLinks) -> None:
        """Start what is wanted and does not run; stop what is not wanted any more, or was paired anew."""
        found = self._wanted(links)
        for name, one in list(self._nodes.items()):
            if not one.wanted.calls_in and found.get(name) != one.wanted:
                one.stop.set()
                if not one.thread.is_alive():
                    del self._nodes[name]
        for name, wanted in found.items():
            known = self._nodes.get(name)
            if known is None or not known.thread.is_alive():
                self._start(links, name, wanted)

    def _wanted(self, links: StationLinks) -> "dict[str, _Wanted]":
        """Return every node to fetch from."""
        found: dict[str, _Wanted] = {}
        sites = {site.name: site for site in self._context.sites}
        for pairing in links.pairings.all().values():
            site = sites.get(pairing.site)
            if site is not None:
                found[pairing.name] = _Wanted(site.name, pairing=pairing)
        if links.listener is not None:
            for site in self._context.sites:
                instrument = site.loaded.site.instrument
                for node in () if instrument is None else instrument.nodes:
                    link = None if instrument is None else instrument.link_of(node)
                    if link is not None and link.dial != "station" and node.name in links.listener.nodes():
                        found[node.name] = _Wanted(site.name, calls_in=True)
        return found

    def _start(self, links: StationLinks, name: str, wanted: "_Wanted") -> None:
        site, stop = self._context.site(wanted.site), threading.Event()
        ingest = NodeIngest(self._context, site, name, lambda: links.client(name, calls_in=wanted.calls_in))

        def run() -> None:
            try:
                ingest.run(stop)
            except (So2camError, OSError) as error:
                _LOG.warning("nothing can be fetched from %s: %s", name, " ".join(str(error).split()))

        thread = threading.Thread(target=run, name=f"so2cam-{ingest.name}", daemon=True)
        self._nodes[name] = _Fetching(ingest, thread, stop, wanted)
        self._context.board.add_link(site.name, name, lambda: ingest.status)
        thread.start()


@dataclass(frozen=True, slots=True)
class _Wanted:
    """A node to fetch from: its site, and how it was paired where it is dialled."""

    site: str
    calls_in: bool = False
    pairing: Pairing | None = None


@dataclass(frozen=True, slots=True)
class _Fetching:
    ingest: NodeIngest
    thread: threading.Thread
    stop: threading.Event
    wanted: _Wanted
