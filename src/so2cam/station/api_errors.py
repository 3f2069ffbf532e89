"""What the interface answers where something cannot be done: one sentence, the key, its value, and what to do."""

import json
import math
from collections.abc import Callable, Coroutine, Mapping
from datetime import date, datetime, time
from typing import Any, Final

from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from pydantic import BaseModel, Field

from so2cam.core.errors import OutputError, So2camError
from so2cam.formats.siteedit import MISSING, REMOVE, key_text
from so2cam.formats.sitefile import SeveralProblems
from so2cam.link.errors import LinkLostError
from so2cam.station.draft_edits import Edit, KeyChange
from so2cam.station.draft_guard import DraftMoved
from so2cam.station.drafts import TextConflict


class ProblemOut(BaseModel):
    """What is wrong, where, and what to do. A request of the wrong shape has a list of places as ``detail``."""

    detail: str | list[dict[str, Any]]
    key: str | None = None
    value: Any = Field(default=None, description="what was found there")
    remedy: str | None = None

    @classmethod
    def of(cls, error: So2camError) -> "ProblemOut":
        """Return an error as it is told; of several problems the first, and how many there are."""
        if isinstance(error, SeveralProblems) and error.problems:
            first = error.problems[0]
            return cls(
                detail=f"{first.message} (the first of {len(error.problems)} problems)",
                key=first.key or None,
                value=plain_json(first.value),
                remedy=first.remedy or "the check of the draft tells all of them",
            )
        return cls(detail=error.message, key=error.key, value=plain_json(error.value), remedy=error.remedy)


class KeyChangeOut(BaseModel):
    """What became of a key; null where the file does not have it."""

    key: str
    before: Any
    after: Any

    @classmethod
    def of(cls, change: KeyChange) -> "KeyChangeOut":
        """Return a change as it is told."""
        return cls(key=key_text(change.key), before=plain_json(change.before), after=plain_json(change.after))


class EditOut(BaseModel):
    """What somebody did to the draft, at once. Without ``keys`` it was an edit of the whole text."""

    revision: int
    by: str
    time: datetime
    what: str
    keys: list[KeyChangeOut]

    @classmethod
    def of(cls, edit: Edit) -> "EditOut":
        """Return an edit as it is told."""
        keys = [KeyChangeOut.of(change) for change in edit.changes]
        return cls(revision=edit.number, by=edit.by, time=edit.time, what=edit.what, keys=keys)


class MovedOut(ProblemOut):
    """Somebody else was there meanwhile: what is in force now, and what they changed."""

    revision: int | None = Field(default=None, description="of the draft now")
    version: int | None = Field(default=None, description="number of the version that the draft stands on now")
    edits: list[EditOut] = Field(default=[], description="of the draft since the revision that was sent")
    keys: list[KeyChangeOut] = Field(default=[], description="of the saved file since the version that was sent")


class ProblemRoute(APIRoute):
    """A route that answers an error of so2cam as a ``ProblemOut``."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Return what answers a request."""
        inner = super().get_route_handler()

        async def handle(request: Request) -> Response:
            try:
                return await inner(request)
            except So2camError as error:
                return problem(error)

        return handle


CHANGES: Final[dict[int | str, dict[str, Any]]] = {
    403: {"description": "the role of the token is too low"},
    409: {"model": MovedOut, "description": "somebody else changed it meanwhile: nothing was done"},
    422: {"model": ProblemOut, "description": "it cannot be done like this: nothing was done"},
}
"""What an address that changes something may answer, beside its result."""


def problem(error: So2camError) -> Response:
    """Return the answer to an error: 409 where somebody else was there, 502 and 503 for what may heal, else 422."""
    if isinstance(error, DraftMoved):
        moved = MovedOut(
            **ProblemOut.of(error).model_dump(),
            revision=error.revision,
            version=error.version,
            edits=[EditOut.of(edit) for edit in error.edits],
            keys=[KeyChangeOut.of(change) for change in error.keys],
        )
        return answer(409, moved.model_dump(mode="json"))
    status = 422
    if isinstance(error, TextConflict):
        status = 409
    elif isinstance(error, LinkLostError):
        status = 502
    elif isinstance(error, OutputError):
        status = 503
    return answer(status, ProblemOut.of(error).model_dump(mode="json"))


def malformed(_request: Request, error: Exception) -> Response:
    """Return the answer to a request of the wrong shape; what was sent is not repeated, for it may be anything."""
    found = error.errors() if isinstance(error, RequestValidationError) else []
    places = [{name: plain_json(one[name]) for name in ("type", "loc", "msg") if name in one} for one in found]
    return answer(422, {"detail": places})


def answer(status: int, content: Any) -> Response:
    """Return plain data as an answer; halves of characters are told as they are written in JSON."""
    return Response(json.dumps(content), status, media_type="application/json")


def plain_json(value: Any) -> Any:
    """Return a value of a site file as JSON has it: null for no value, text for times and numbers that are none."""
    if value is MISSING or value is REMOVE:
        return None
    if isinstance(value, Mapping):
        return {str(name): plain_json(one) for name, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain_json(one) for one in value]
    if isinstance(value, (date, time)):
        return value.isoformat()
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value if value is None or isinstance(value, (str, int, float, bool)) else str(value)
