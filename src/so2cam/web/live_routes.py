"""The HTTP side of the live page: images as raw numbers, held until there is a new one, and points of the trend."""

import asyncio
import gzip
import json
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Annotated, Final
from urllib.parse import quote

from fastapi import Depends, FastAPI, HTTPException, Query, Request, Response

from so2cam.station.context import StationSite
from so2cam.station.live_images import Quantity
from so2cam.station.trend import Span, step_for, trend_of
from so2cam.web.state import Pages

_HOLD_S: Final = 10.0
_LOOK_S: Final = 0.1
_LONGEST: Final = timedelta(days=400)
_MS: Final = Query(ge=0, le=7_258_118_400_000)
_JSON: Final = "application/json"
_NO_STORE: Final = {"Cache-Control": "no-store"}


def live_src(site: StationSite, what: str) -> str:
    """Return the address of ``image/<quantity>`` or ``trend`` of a site."""
    return f"/pages/sites/{quote(site.name, safe='')}/{what}"


def site_admission(pages: Pages) -> Callable[[Request, str], StationSite]:
    """Return what finds the site of a route's path, for who may look: 401 for others, 404 where it is not there."""

    def admitted(request: Request, site: str) -> StationSite:
        if pages.door.visitor(request) is None:
            raise HTTPException(401, "sign in first")
        try:
            return pages.context.site(site)
        except KeyError:
            raise HTTPException(404, "there is no such site") from None

    return admitted


def add_live_routes(app: FastAPI, pages: Pages) -> None:
    """Add the routes to the station's application."""
    admitted = site_admission(pages)

    @app.get("/pages/sites/{site}/image/{quantity}", include_in_schema=False)
    async def image(
        request: Request, found: Annotated[StationSite, Depends(admitted)], quantity: Quantity, after: str = ""
    ) -> Response:
        images = pages.images[found.name]
        until = time.monotonic() + _HOLD_S
        key = (found.name, "image", quantity)
        while True:
            newest = await pages.values.get(key, 0.0, lambda: images.newest(quantity))
            if newest.message is None and not after:
                raise HTTPException(404, newest.why)
            if newest.message is not None and newest.tag != after:
                headers = {"ETag": f'"{newest.tag}"', **_NO_STORE, "Content-Encoding": "identity"}
                return Response(newest.message, media_type="application/octet-stream", headers=headers)
            while images.number(quantity) == newest.number:
                if time.monotonic() > until or _ends(request.app) or await request.is_disconnected():
                    return Response(status_code=204, headers=_NO_STORE)
                await asyncio.sleep(_LOOK_S)

    @app.get("/pages/sites/{site}/trend", include_in_schema=False)
    async def trend(
        request: Request,
        found: Annotated[StationSite, Depends(admitted)],
        start: Annotated[int, _MS],
        end: Annotated[int, _MS],
        span: Annotated[int, Query(ge=1, le=int(_LONGEST.total_seconds()))],
        method: Annotated[str, Query(max_length=32, pattern=r"^[a-z_]+$")],
    ) -> Response:
        if end <= start or end - start > _LONGEST.total_seconds() * 1000:
            raise HTTPException(422, "the end must come after the start, at most 400 days")
        step_ms = round(step_for(span) * 1000)
        first = _time(start // step_ms * step_ms)
        wanted = Span(first, _time(end), step_ms / 1000, method)
        key = (found.name, "trend", method, step_ms, first, end // 5000)
        trials = pages.trials.get(found.name)
        packed = await pages.values.get(key, 0.7, lambda: packed_json(trend_of(pages.context, found, trials, wanted)))
        return json_answer(request, packed)


def _ends(app: FastAPI) -> bool:
    """Return whether the station stops: who waits for a newer image would keep it from that."""
    stop = getattr(app.state, "stop", None)
    return stop is not None and bool(stop.is_set())


def packed_json(content: object) -> tuple[bytes, bytes]:
    """Return JSON as it is, and compressed, once for all who ask."""
    plain = json.dumps(content, separators=(",", ":"), allow_nan=False).encode()
    return plain, gzip.compress(plain, 3, mtime=0)


def json_answer(request: Request, packed: tuple[bytes, bytes]) -> Response:
    """Return what ``packed_json`` made as an answer, compressed where the browser takes it."""
    plain, small = packed
    if "gzip" in request.headers.get("Accept-Encoding", "") and len(small) < len(plain):
        return Response(small, media_type=_JSON, headers={**_NO_STORE, "Content-Encoding": "gzip"})
    return Response(plain, media_type=_JSON, headers=_NO_STORE)


def _time(milliseconds: int) -> datetime:
    return datetime.fromtimestamp(milliseconds / 1000, UTC)
