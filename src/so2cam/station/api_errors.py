"""How the interface says that what was asked for cannot be done: what is wrong, where, and what to do."""

import math
from collections.abc import Callable, Coroutine
from typing import Any, Final

from fastapi import Request, Response
from fastapi.responses import JSONResponse
from fastapi.routing import APIRoute
from pydantic import BaseModel, Field

from so2cam.core.errors import InputError, SiteFileError

_LONGEST: Final = 400


class RefusedOut(BaseModel):
    """Why it cannot be done."""

    detail: str
    key: str | None = Field(default=None, description="which setting or field is meant")
    value: str | float | bool | None = Field(default=None, description="what was found there")
    remedy: str | None = Field(default=None, description="what to do")


REFUSED: Final[dict[int | str, dict[str, Any]]] = {
    422: {"model": RefusedOut, "description": "it cannot be done: why, and what to do"}
}


class ExplainedRoute(APIRoute):
    """A route that answers 422 with key, value and remedy where it raises InputError or SiteFileError."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Return what answers."""
        inner = super().get_route_handler()

        async def answer(request: Request) -> Response:
            try:
                return await inner(request)
            except (InputError, SiteFileError) as error:
                return JSONResponse(refused_out(error).model_dump(), 422)

        return answer


def refused_out(error: InputError | SiteFileError) -> RefusedOut:
    """Return an error as it is told. No path of the station is."""
    return RefusedOut(detail=error.message, key=error.key, value=_plain(error.value), remedy=error.remedy)


def _plain(value: object) -> str | float | bool | None:
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int | float) and math.isfinite(value) and abs(value) < 2**53:
        return value
    return str(value)[:_LONGEST]
