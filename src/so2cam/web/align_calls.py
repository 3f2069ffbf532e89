"""The calls of align pages at the station to its nodes: in threads of their own, and once for all who look."""

from collections.abc import Callable, Hashable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final, TypeVar

from fastapi import HTTPException

from so2cam.core.errors import So2camError
from so2cam.link.protocol import Call, Spoken
from so2cam.link.tokens import Principal
from so2cam.station.node_frames import NodeFrames
from so2cam.station.relay import NodeRelay
from so2cam.web.align_nodes import AlignNode, align_nodes
from so2cam.web.session import Visitor
from so2cam.web.shared import SharedValues
from so2cam.web.state import Pages

_T = TypeVar("_T")
_FRESH_S: Final = 1.0
_NODES_FRESH_S: Final = 2.0
_QUESTION_S: Final = 6.0
_EXAMINE_S: Final = 25.0
_COMMAND_S: Final = 25.0
_THREADS: Final = 24
_COMMAND_THREADS: Final = 8


class AlignCalls:
    """The calls of all who look, to all nodes."""

    def __init__(self, pages: Pages) -> None:
        self._pages = pages
        account = _Account(pages)
        self._relay = NodeRelay(pages.nodes, account, question_s=_QUESTION_S, command_s=_COMMAND_S)
        self.patient = NodeRelay(pages.nodes, account, question_s=_EXAMINE_S, command_s=_COMMAND_S)
        self.frames = NodeFrames(pages.nodes, patience_s=_QUESTION_S)
        self._values = SharedValues(pool=ThreadPoolExecutor(_THREADS, thread_name_prefix="align"))
        self._acts = SharedValues(pool=ThreadPoolExecutor(_COMMAND_THREADS, thread_name_prefix="align-command"))
        self._changes: dict[str, int] = {}

    async def nodes(self, site: str) -> tuple[AlignNode, ...]:
        """Return the nodes of a site with cameras. Raises HTTPException."""
        pages = self._pages
        try:
            known = pages.context.site(site)
            return await self._values.get(("nodes", site), _NODES_FRESH_S, lambda: align_nodes(pages.nodes, known))
        except KeyError:
            raise HTTPException(404, "there is no such site") from None
        except So2camError as error:
            raise HTTPException(503, error.message) from None

    async def node(self, site: str, node: str) -> AlignNode:
        """Return a node with cameras. Raises HTTPException."""
        for one in await self.nodes(site):
            if one.name == node:
                return one
        raise HTTPException(404, "there is no such node with cameras")

    async def shared(self, node: str, what: Hashable, work: Callable[[], _T]) -> _T:
        """Return ``work()``, once for all in a second, and anew after each command."""
        return await self._values.get((node, self._changes.get(node, 0), what), _FRESH_S, work)

    async def ask(self, node: AlignNode, who: Visitor, word: str, say: Any, relay: NodeRelay | None = None) -> Spoken:
        """Return what a node answers to a question that any visitor may ask."""
        call = Call.model_construct(say=say)
        asked = relay or self._relay
        spoken: Spoken = await self.shared(
            node.name, word, lambda: asked.answer(who.principal, who.peer, node.name, call)
        )
        return spoken

    async def command(self, node: AlignNode, who: Visitor, call: Call) -> Spoken:
        """Have a command carried out for ``who``, once for each key."""
        spoken = await self._acts.get(
            (node.name, who.principal, call.key),
            0.0,
            lambda: self._relay.answer(who.principal, who.peer, node.name, call),
        )
        self._changes[node.name] = self._changes.get(node.name, 0) + 1
        self._pages.notices.tell(f"{node.info.site}/instrument/{node.name}")
        return spoken


class _Account:
    """What the relay needs of the station's access. Who asks was let in by the pages' own door just before."""

    def __init__(self, pages: Pages) -> None:
        self._pages = pages

    def still_valid(self, principal: Principal) -> bool:
        return True

    def note(self, who: Principal, peer: str, action: str, detail: dict[str, Any], outcome: str) -> None:
        access = self._pages.door.access
        if access is not None:
            access.note(who, peer, action, detail, outcome)
