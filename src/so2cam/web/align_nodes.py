"""Which nodes can be aimed from here: those with cameras, and where the page of each is."""

from dataclasses import dataclass
from typing import Final
from urllib.parse import quote

from so2cam.station.context import StationSite
from so2cam.station.nodes import NodeInfo, Nodes

ALIGN: Final = "/align"


def address_of(site: str) -> str:
    """Return where the page of all nodes of a site is."""
    return f"{ALIGN}/{quote(site, safe='')}"


@dataclass(frozen=True, slots=True)
class AlignNode:
    """A node with cameras; ``cameras`` is empty where nobody knows them before it answers."""

    info: NodeInfo
    cameras: tuple[str, ...]

    @property
    def name(self) -> str:
        """The node's name."""
        return self.info.name

    @property
    def address(self) -> str:
        """Where its page is."""
        return f"{address_of(self.info.site)}/{quote(self.name, safe='')}"

    @property
    def base(self) -> str:
        """Where the page's messages are."""
        return f"/pages{self.address}/"


def align_nodes(nodes: Nodes, site: StationSite) -> tuple[AlignNode, ...]:
    """Return the nodes of a site that have cameras, or may have some. Raises LinkError."""
    instrument = site.loaded.site.instrument
    known = {
        node.name: tuple(device.name for device in node.devices if device.type == "camera")
        for node in (() if instrument is None else instrument.nodes)
    }
    found = (AlignNode(info, known.get(info.name, ())) for info in nodes.of_site(site))
    return tuple(node for node in found if node.cameras or node.name not in known)
