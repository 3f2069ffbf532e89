"""The agent's side of the link: what it answers over the network, and what the lead fetches from its followers."""

import logging
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Final

from so2cam import __version__
from so2cam.core.errors import So2camError
from so2cam.core.site_link import Link, Transfer
from so2cam.instrument.launch import now_utc
from so2cam.instrument.log_tail import latest_lines
from so2cam.instrument.logs import NAME as LOG
from so2cam.instrument.sight import examine_node, sight_of
from so2cam.link.ledger import Do
from so2cam.link.node import LinkNode, LinkPlace
from so2cam.link.protocol import ScheduleSettingsResult
from so2cam.link.service import NodeFace, Values
from so2cam.store.spool import Spool

if TYPE_CHECKING:
    from so2cam.instrument.agent import NodeAgent

PAIRINGS: Final = "pairings.json"
"""In the state folder of the lead: its pairings with the followers, by the name of the node."""
_LOOK_S: Final = 5.0
_LOG = logging.getLogger(__name__)


def build_link(agent: "NodeAgent", handle: Do, open_spool: Callable[[], Spool]) -> LinkNode | None:
    """Return the link of an agent's node; None where the site file has none."""
    settings = agent.instrument.link_of(agent.node)
    if settings is None:
        return None
    face = NodeFace(
        site=agent.site.name,
        node=agent.node.name,
        version=__version__,
        handle=handle,
        settings=lambda: settings_of(agent),
        now=now_utc,
        sight=lambda: sight_of(agent.site, agent.node),
        examine=lambda: examine_node(agent.site_path, agent.node.name, agent.socket),
        schedule=lambda: schedule_of(agent),
        logs=lambda said: latest_lines(agent.places.logs, LOG, said),
    )
    place = place_of(agent.places.state, agent.site_path, agent.instrument.link_address_of(agent.node), settings)
    return LinkNode(face, open_spool, place, settings, lambda: agent.observer.latest)


def serve_link(link: LinkNode, stop: threading.Event, on_change: Callable[[str, str], None]) -> None:
    """Serve the link until ``stop``; where it cannot be served, say so, and try again. Capture goes on meanwhile."""
    told = None
    while not stop.is_set():
        try:
            link.run(stop)
        except So2camError as error:
            text = " ".join(str(error).split())
            if text != told:
                _LOG.error("the link is not served: %s", text)
                on_change("link", f"not served: {error.message}")
                told = text
            stop.wait(_LOOK_S)


def place_of(state: Path, site_path: Path, address: str, settings: Link) -> LinkPlace:
    """Return where a node's link keeps its things and listens."""
    return LinkPlace(state, site_path.parent, address, settings.port)


def settings_of(agent: "NodeAgent") -> dict[str, Values]:
    """Return the settings of each device that captures."""
    return {name: dict(one.values()) for name, one in agent.settings.items()}


def schedule_of(agent: "NodeAgent") -> ScheduleSettingsResult:
    """Return the schedule that is followed, and that of the site file."""
    place, own = agent.site.camera.position, agent.schedule
    return ScheduleSettingsResult(
        schedule=own.schedule,
        site_schedule=agent.instrument.schedule,
        changed=own.changed,
        latitude=place.latitude,
        longitude=place.longitude,
    )


class Gatherer:
    """Fetches into the lead's spool what its followers keep: those that it has paired with, as they answer."""

    def __init__(self, agent: "NodeAgent", settings: Transfer, open_spool: Callable[[], Spool]) -> None:
        self._pairings = agent.places.state / PAIRINGS
        self._followers = [node.name for node in agent.instrument.nodes if node.role == "follower"]
        self._settings = settings
        self._open_spool = open_spool

    def run(self, stop: threading.Event) -> None:
        """Fetch from all until ``stop``; for a thread of its own."""
        threads: dict[str, threading.Thread] = {}
        while not stop.is_set():
            for name in self._followers:
                if name not in threads or not threads[name].is_alive():
                    thread = threading.Thread(
                        target=self._follow, args=(name, stop), name=f"gather-{name}", daemon=True
                    )
                    threads[name] = thread
                    thread.start()
            stop.wait(_LOOK_S)
        for thread in threads.values():
            thread.join(1.0)

    def _follow(self, name: str, stop: threading.Event) -> None:
        from so2cam.link.client import LinkClient, dial
        from so2cam.link.pairings import Pairings
        from so2cam.link.receiving import SpoolReceiver
        from so2cam.link.transfer import FileTransfer

        try:
            pairing = Pairings(self._pairings).all().get(name)
            if pairing is None:
                _LOG.debug("%s is not paired yet: its data stay there", name)
                stop.wait(_LOOK_S)
                return
            with self._open_spool() as spool, LinkClient(dial(pairing.peer)) as client:
                FileTransfer(client, SpoolReceiver(spool), self._settings).run(stop)
        except (So2camError, OSError) as error:
            _LOG.warning("nothing can be fetched from %s: %s", name, " ".join(str(error).split()))
            stop.wait(_LOOK_S)
