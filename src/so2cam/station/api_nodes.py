"""The instruments of a station for other programs: which there are, and a way to speak to them."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import Final, Literal

from fastapi import APIRouter, FastAPI, HTTPException, Path
from pydantic import BaseModel, Field
from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket

from so2cam.link.calls import serve_calls
from so2cam.link.protocol import Call, Spoken
from so2cam.link.tokens import Principal
from so2cam.station.access import Access
from so2cam.station.api_gate import peer_of
from so2cam.station.context import StationContext
from so2cam.station.nodes import NodeInfo, NodeLook, Nodes
from so2cam.station.relay import NodeRelay
from so2cam.station.versions import fit_of

_THREADS: Final = 32


class NodeOut(BaseModel):
    """A node of a site."""

    name: str
    site: str
    way: str = Field(description="dialled, calls-in, or none: not paired")
    role: str | None = Field(description="what the station may do there")
    connected: bool | None = Field(description="whether it answered just now; null where it is not paired")
    address: str | None = Field(description="where it is dialled")
    fingerprint: str | None = Field(description="SHA-256 of the certificate that is accepted")
    receiver: str | None = Field(description="as whom the station fetches its files; null: it does not")
    in_site_file: bool
    version: str | None = Field(description="of so2cam there; null where it has not said")
    fit: Literal["same", "fits", "differs", "unknown"] = Field(description="how its version goes with the station's")

    @classmethod
    def of(cls, info: NodeInfo, look: NodeLook | None) -> "NodeOut":
        """Return a node as it is told. ``look``: how it is; None where it is not paired."""
        version = None if look is None or look.health is None else look.health.version
        return cls(
            name=info.name,
            site=info.site,
            way=info.way,
            role=info.role,
            connected=None if look is None else look.connected,
            address=None if info.host is None else f"{info.host}:{info.port}",
            fingerprint=info.fingerprint,
            receiver=info.receiver,
            in_site_file=info.in_site_file,
            version=version,
            fit=fit_of(version, None if look is None else look.protocol).state,
        )


def nodes_router(context: StationContext, nodes: Nodes) -> APIRouter:
    """Return the addresses below ``/api/v1``."""
    router = APIRouter(tags=["instruments"])

    @router.get("/sites/{site}/nodes")
    def of_site(site: str = Path(min_length=1, max_length=64)) -> list[NodeOut]:
        """The nodes of a site's instrument."""
        try:
            found = nodes.of_site(context.site(site))
        except KeyError:
            raise HTTPException(404, "there is no such site") from None
        return [NodeOut.of(one, nodes.look(one.name) if one.paired else None) for one in found]

    return router


def add_relay(app: FastAPI, nodes: Nodes, access: Access) -> None:
    """Add the WebSocket ``/api/v1/nodes/NODE/link``: the messages of the link, to a node of the station.

    It needs a token of the station in the header, always; what may be said goes by its role.
    """
    relay = NodeRelay(nodes, access)
    pool = ThreadPoolExecutor(_THREADS, thread_name_prefix="relay")

    async def link(websocket: WebSocket) -> None:
        who: Principal = websocket.scope["state"]["principal"]
        peer, node = peer_of(websocket.scope), websocket.path_params["node"]

        async def answer(call: Call) -> Spoken:
            return await asyncio.get_running_loop().run_in_executor(pool, relay.answer, who, peer, node, call)

        await serve_calls(websocket, answer)

    app.router.routes.append(WebSocketRoute("/api/v1/nodes/{node}/link", link))
