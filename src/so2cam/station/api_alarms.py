"""The alarms of a station for other programs: what goes on, what was, and that a person has seen it."""

from datetime import UTC, datetime
from typing import Annotated

from fastapi import APIRouter, HTTPException, Path, Query, Request
from pydantic import BaseModel, ConfigDict, Field

from so2cam.core.errors import InputError
from so2cam.link.tokens import Principal
from so2cam.station.alarms_store import AlarmStore, Event

_LONGEST_ID = 2**62


class AlarmOut(BaseModel):
    """An event: a rule that was broken from ``began`` to ``ended`` (null: still)."""

    id: int
    site: str
    rule: str
    subject: str
    level: str
    text: str
    began: datetime
    ended: datetime | None
    end_text: str | None
    value: float | None = Field(description="at the beginning")
    extreme: float | None = Field(description="the worst so far")
    acknowledged: datetime | None
    acknowledged_by: str | None
    note: str | None

    @classmethod
    def of(cls, event: Event) -> "AlarmOut":
        """Return an event as it is told."""
        return cls(**{name: getattr(event, name) for name in cls.model_fields})


class Seen(BaseModel):
    """That a person has seen an event."""

    model_config = ConfigDict(extra="forbid")

    note: Annotated[str, Field(max_length=500)] | None = None


def alarms_router(store: AlarmStore) -> APIRouter:
    """Return the addresses below ``/api/v1``."""
    router = APIRouter(tags=["alarms"])

    @router.get("/alarms")
    def alarms(
        site: Annotated[str | None, Query(min_length=1, max_length=64)] = None,
        current: Annotated[bool, Query(description="only those that go on")] = False,
        limit: Annotated[int, Query(ge=1, le=10_000)] = 100,
    ) -> list[AlarmOut]:
        """Alarms, the newest first."""
        return [AlarmOut.of(event) for event in store.events(site, open_only=current, limit=limit)]

    @router.post("/alarms/{number}/acknowledge", responses={403: {"description": "the role of the token is too low"}})
    def acknowledge(
        request: Request, number: Annotated[int, Path(ge=1, le=_LONGEST_ID)], seen: Seen | None = None
    ) -> AlarmOut:
        """Say that you have seen an alarm; the first who does stays."""
        who: Principal = request.state.principal
        note = None if seen is None else seen.note
        try:
            return AlarmOut.of(store.acknowledge(number, who.name, datetime.now(UTC), note))
        except InputError:
            raise HTTPException(404, "there is no such alarm") from None

    return router
