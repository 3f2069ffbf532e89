"""Pairing with the nodes of instruments by other programs, as on the Instrument page; all of it is an admin's."""

from datetime import UTC, datetime
from typing import Annotated

from fastapi import APIRouter, Depends, Path, Request
from pydantic import BaseModel, ConfigDict, Field

from so2cam.link.addresses import parse_host
from so2cam.link.protocol import Role
from so2cam.link.tokens import Principal
from so2cam.station.access import Access
from so2cam.station.api_errors import ProblemOut, ProblemRoute
from so2cam.station.api_gate import peer_of
from so2cam.station.api_roles import needs
from so2cam.station.api_told import tell
from so2cam.station.context import StationContext
from so2cam.station.nodes import Nodes

TOPIC = "instrument/nodes"


class Join(BaseModel):
    """Where a node answers, and the code that it shows: ``so2cam pair offer SITE --node NODE``."""

    model_config = ConfigDict(extra="forbid")

    address: Annotated[str, Field(min_length=1, max_length=200, examples=["192.168.5.5:8443"])]
    code: Annotated[str, Field(min_length=1, max_length=40)]


class PairedOut(BaseModel):
    """A node that the station has met. Compare the certificate with the one that the node shows."""

    node: str
    site: str
    role: str = Field(description="what the station may do there")
    receiver: str | None = Field(description="as whom it fetches files; null: it gives none")
    fingerprint: str = Field(description="SHA-256 of the certificate that is accepted from now on")


class OfferOut(BaseModel):
    """A code for a node that calls in, which is typed there; it works once."""

    code: str
    expires: datetime


def pairing_router(context: StationContext, nodes: Nodes, access: Access) -> APIRouter:
    """Return the addresses below ``/api/v1``."""
    Admin = Annotated[Principal, Depends(needs(access, Role.ADMIN))]
    router = APIRouter(
        tags=["instruments"],
        route_class=ProblemRoute,
        responses={
            403: {"description": "the role of the token is too low"},
            422: {"model": ProblemOut, "description": "it cannot be done like this"},
            502: {"model": ProblemOut, "description": "the node does not answer"},
        },
    )

    def done(request: Request, who: Principal, action: str, detail: dict[str, str]) -> None:
        access.note(who, peer_of(request.scope), action, detail)
        for site in context.sites:
            tell(request, site.name, TOPIC)

    @router.post("/nodes/pair", status_code=201)
    def join(request: Request, who: Admin, told: Join) -> PairedOut:
        """Pair with a node by the code that it shows; takes some seconds."""
        host, port = parse_host(told.address.strip())
        found = nodes.join(host, port, told.code.strip())
        done(request, who, "instrument.pair", {"node": found.name, "host": f"{host}:{port}"})
        return PairedOut(
            node=found.name,
            site=found.site,
            role=found.role,
            receiver=found.receiver,
            fingerprint=found.fingerprint,
        )

    @router.post("/nodes/offer", status_code=201)
    def offer(request: Request, who: Admin) -> OfferOut:
        """Make a code for a node that calls this station: ``so2cam pair join STATION --site SITE --node NODE``."""
        made = nodes.offer()
        done(request, who, "instrument.offer", {})
        return OfferOut(code=made.code, expires=datetime.fromtimestamp(made.expires_s, UTC))

    @router.delete("/nodes/{node}")
    def forget(request: Request, who: Admin, node: Annotated[str, Path(min_length=1, max_length=64)]) -> dict[str, str]:
        """Forget a pairing: nothing is fetched from the node, and it may not call, until it is paired anew."""
        nodes.forget(node)
        done(request, who, "instrument.unpair", {"node": node})
        return {"forgotten": node}

    return router
