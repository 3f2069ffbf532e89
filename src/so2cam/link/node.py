"""The link of one node, put together: who it lets in, what it answers, where it listens or whom it calls."""

import contextlib
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from so2cam.core.health import HealthRecord
from so2cam.core.site_link import Link
from so2cam.link.database import FILE, Database
from so2cam.link.errors import LinkError
from so2cam.link.eventlog import EventLog
from so2cam.link.ledger import Ledger
from so2cam.link.limits import Limits
from so2cam.link.pairing import PairingDesk
from so2cam.link.protocol import role_of_word
from so2cam.link.service import EventFeed, LinkService, NodeFace
from so2cam.link.tls import TlsFiles, ensure_certificate
from so2cam.link.tokens import Principal, TokenStore
from so2cam.store.spool import Spool

STATION_PAIRING: Final = "station-pairing.json"
"""In the state folder: how the node calls the station that it was paired with."""


@dataclass(frozen=True, slots=True)
class LinkPlace:
    """Where a node's link keeps its things and listens. ``base`` is what paths in the settings are relative to."""

    state: Path
    base: Path
    address: str
    port: int


class LinkNode:
    """Serves the link of a node; ``run`` is for a thread of its own and ends with ``stop``."""

    def __init__(
        self,
        face: NodeFace,
        open_spool: Callable[[], Spool],
        place: LinkPlace,
        settings: Link,
        health: Callable[[], HealthRecord | None],
        limits: Limits | None = None,
    ) -> None:
        self._face = face
        self._open_spool = open_spool
        self._place = place
        self._settings = settings
        self._health = health
        self._limits = limits or Limits()
        self.port: int | None = None
        """Where it listens now; None where it does not."""
        self.ready = threading.Event()

    def run(self, stop: threading.Event) -> None:
        """Serve until ``stop``. Raises So2camError where it cannot: an address in use, a package missing."""
        with contextlib.ExitStack() as undo:
            database = Database(self._place.state / FILE)
            undo.callback(database.close)
            events_database = Database(self._place.state / "events.sqlite", durable=False)
            undo.callback(events_database.close)
            spool = undo.enter_context(self._open_spool())
            tokens = TokenStore(database)
            events = EventLog(events_database, now=self._face.now)
            ledger = Ledger(database)
            service = LinkService(self._face, spool, ledger, events, tokens, self._limits)
            resumer = threading.Thread(target=service.resume, args=(stop,), name="link-resume", daemon=True)
            resumer.start()
            undo.callback(resumer.join, 2.0)
            feed = EventFeed(events, spool, self._health, stop)
            threads = []
            if self._settings.dial in ("station", "both"):
                self._serve(undo, service, database, tokens)
            if self._settings.dial in ("instrument", "both"):
                threads.append(self._dial(LinkService(self._face, spool, ledger, events, None, self._limits), stop))
            self.ready.set()
            try:
                feed.run()
            finally:
                self.ready.clear()
                self.port = None
                for thread in threads:
                    thread.join(2.0)

    def _serve(self, undo: contextlib.ExitStack, service: LinkService, database: Database, tokens: TokenStore) -> None:
        try:
            from so2cam.link.app import LinkApp
            from so2cam.link.server import LinkServer
        except ImportError as error:
            raise LinkError(
                f"the link needs the package {error.name}", remedy="pip install 'so2cam[instrument]'"
            ) from None
        tls = tls_of(self._settings, self._place, self._face.node)
        desk = PairingDesk(database, tokens, site=self._face.site, node=self._face.node)
        app = LinkApp(service, tokens, desk, tls.fingerprint())
        undo.callback(app.close)
        server = LinkServer(app.asgi, tls, self._place.address, self._place.port, self._limits)
        server.start()
        undo.callback(server.close)
        self.port = server.port

    def _dial(self, service: LinkService, stop: threading.Event) -> threading.Thread:
        from so2cam.link.channel import Dialler, Peer
        from so2cam.link.pairings import Pairings

        station = self._settings.station
        if station is None:
            raise LinkError("the station's address is missing", key="instrument.link.station")

        def peer() -> Peer:
            known = Pairings(self._place.state / STATION_PAIRING).find("station")
            return Peer(station.address, station.port, known.fingerprint, known.token)

        who = Principal("station", "station", role_of_word(station.role), station.receiver)
        dialler = Dialler(peer, service, who, stop)
        thread = threading.Thread(target=dialler.run, name="link-dial", daemon=True)
        thread.start()
        return thread


def tls_of(settings: Link, place: LinkPlace, node: str) -> TlsFiles:
    """Return the certificate of a node: its owner's, or one that is made. Raises LinkError."""
    if settings.certificate is not None and settings.key is not None:
        return TlsFiles(place.base / settings.certificate, place.base / settings.key)
    return ensure_certificate(place.state, node, (place.address,))
