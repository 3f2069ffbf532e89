"""What an admin does over the interface: list, make and revoke tokens, and read the account of changes."""

import json
from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import APIRouter, Depends, HTTPException, Path, Query, Request
from pydantic import BaseModel, ConfigDict, Field

from so2cam.link.protocol import Role, role_of_word
from so2cam.link.tokens import Principal, TokenRecord
from so2cam.station.access import Access, AuditEntry
from so2cam.station.api_gate import peer_of
from so2cam.station.api_roles import needs

_DAY_S = 86_400.0
RoleWord = Annotated[str, Field(pattern="^(viewer|operator|admin)$")]


class TokenOut(BaseModel):
    """A token as it is listed: never the token itself."""

    id: str
    name: str
    role: str
    created: datetime
    expires: datetime | None
    revoked: datetime | None
    used: datetime | None = Field(description="when it was used last, to a minute")
    valid: bool

    @classmethod
    def of(cls, record: TokenRecord) -> "TokenOut":
        """Return a token as it is told."""
        return cls(
            id=record.id,
            name=record.name,
            role=record.role.word,
            created=_moment(record.created_s),
            expires=None if record.expires_s is None else _moment(record.expires_s),
            revoked=None if record.revoked_s is None else _moment(record.revoked_s),
            used=None if record.used_s is None else _moment(record.used_s),
            valid=record.is_valid(datetime.now(UTC).timestamp()),
        )


class NewToken(BaseModel):
    """What a token is to be."""

    model_config = ConfigDict(extra="forbid")

    name: Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9][A-Za-z0-9 _.-]*$")]
    role: RoleWord = "viewer"
    days: Annotated[float, Field(gt=0, le=36_500)] | None = Field(default=None, description="it expires after so many")


class MadeToken(BaseModel):
    """A new token: the only time that it is seen."""

    token: str


class AuditOut(BaseModel):
    """A line of the account of changes."""

    number: int
    time: datetime
    who: str = Field(description="id of the token")
    name: str
    peer: str = Field(description="the address it came from")
    action: str
    detail: dict[str, Any]
    outcome: str = Field(description="done, refused (it could not be done) or denied (the role was too low)")

    @classmethod
    def of(cls, entry: AuditEntry) -> "AuditOut":
        """Return a line as it is told."""
        return cls(
            number=entry.number,
            time=_moment(entry.time_s),
            who=entry.who,
            name=entry.name,
            peer=entry.peer,
            action=entry.action,
            detail=json.loads(entry.detail),
            outcome=entry.outcome,
        )


def access_router(access: Access) -> APIRouter:
    """Return the addresses below ``/api/v1``; all of them need the role admin."""
    admin = needs(access, Role.ADMIN)
    Admin = Annotated[Principal, Depends(admin)]
    router = APIRouter(
        tags=["access"],
        dependencies=[Depends(admin)],
        responses={403: {"description": "the role of the token is too low"}},
    )

    @router.get("/tokens")
    def tokens() -> list[TokenOut]:
        """All tokens that were ever made."""
        return [TokenOut.of(record) for record in access.list()]

    @router.post("/tokens", status_code=201)
    def create(request: Request, who: Admin, wanted: NewToken) -> MadeToken:
        """Make a token."""
        valid_s = None if wanted.days is None else wanted.days * _DAY_S
        made = access.create(
            wanted.name, role_of_word(wanted.role), by=who, peer=peer_of(request.scope), valid_s=valid_s
        )
        return MadeToken(token=made)

    @router.delete("/tokens/{number}")
    def revoke(request: Request, who: Admin, number: Annotated[str, Path(pattern="^[0-9a-f]{8}$")]) -> TokenOut:
        """Make a token worthless, from the next request on."""
        if number not in {record.id for record in access.list()}:
            raise HTTPException(404, "there is no such token")
        return TokenOut.of(access.revoke(number, by=who, peer=peer_of(request.scope)))

    @router.get("/audit")
    def audit(limit: Annotated[int, Query(ge=1, le=10_000)] = 100) -> list[AuditOut]:
        """Who changed what, the newest first; what was denied too."""
        return [AuditOut.of(entry) for entry in access.audit(limit)]

    return router


def _moment(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
