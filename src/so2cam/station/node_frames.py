"""The latest pictures of nodes, fetched over the link only where there is a newer one."""

import threading
from collections import OrderedDict
from dataclasses import dataclass
from typing import Final

from so2cam.link.errors import LinkError
from so2cam.link.messages import Refused
from so2cam.link.protocol import Data, Preview
from so2cam.station.nodes import Nodes

KEPT: Final = 16


@dataclass(frozen=True, slots=True)
class NodeFrame:
    """A picture as a frame message for the image viewer; ``tag`` is the number of its item."""

    tag: str
    message: bytes
    media: str


class NodeFrames:
    """Asks nodes for pictures, for all threads; the last ones are kept, so that none comes over a link twice."""

    def __init__(self, nodes: Nodes, *, patience_s: float) -> None:
        """A node that does not answer within ``patience_s`` is lost."""
        self._nodes = nodes
        self._patience_s = patience_s
        self._lock = threading.Lock()
        self._kept: OrderedDict[tuple[str, str, int], NodeFrame] = OrderedDict()

    def newest(self, node: str, device: str, width: int) -> NodeFrame | Refused:
        """Return the latest picture of a camera, at most ``width`` wide, or why the node has none to give.

        Raises LinkError where the node does not answer.
        """
        key = (node, device, width)
        with self._lock:
            before = self._kept.get(key)
        after = 0 if before is None else int(before.tag)
        asked = Preview(device=device, width=width, after=after, form="frame")
        try:
            spoken = self._nodes.call(node, asked, key=None, patience_s=self._patience_s)
        except LinkError:
            with self._lock:
                self._kept.pop(key, None)  # it may come back as another, with other numbers
            raise
        result = spoken.answer.result
        if isinstance(result, Data) and spoken.payload is not None and result.sequence is not None:
            found = NodeFrame(str(result.sequence), spoken.payload, result.media)
            with self._lock:
                self._kept[key] = found
                self._kept.move_to_end(key)
                while len(self._kept) > KEPT:
                    self._kept.popitem(last=False)
            return found
        if spoken.answer.code == "unknown" and before is not None:
            return before
        if isinstance(result, Refused):
            return result
        raise LinkError("the node gave no picture")
