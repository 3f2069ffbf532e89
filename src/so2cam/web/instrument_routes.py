"""The HTTP side of the Instrument page: pictures and files of a node, for who may look."""

import asyncio
from collections.abc import Callable
from typing import Final, TypeVar

from fastapi import FastAPI, HTTPException, Request, Response

from so2cam.core.errors import So2camError
from so2cam.station.node_items import fetch, item_of, picture
from so2cam.web.state import Pages

_T = TypeVar("_T")
_NO_STORE: Final = {"Cache-Control": "no-store"}
_KEEP: Final = {"Cache-Control": "private, max-age=86400"}
_FRESH_S: Final = 0.8


def add_instrument_routes(app: FastAPI, pages: Pages) -> None:
    """Add the routes to the station's application."""

    def require_visitor(request: Request) -> None:
        if pages.door.visitor(request) is None:
            raise HTTPException(401, "sign in first")

    async def found(work: Callable[[], _T]) -> _T:
        try:
            return await asyncio.to_thread(work)
        except So2camError as error:
            raise HTTPException(404, error.message) from None

    @app.get("/pages/nodes/{node}/picture/{device}/latest", include_in_schema=False)
    async def latest(request: Request, node: str, device: str, v: int = 0) -> Response:
        require_visitor(request)
        try:
            data = await pages.values.get(
                ("node", node, "picture", device, v), _FRESH_S, lambda: picture(pages.nodes, node, device)
            )
        except So2camError as error:
            raise HTTPException(404, error.message) from None
        return Response(data, media_type="image/jpeg", headers=_NO_STORE)

    @app.get("/pages/nodes/{node}/picture/{device}/{sequence}", include_in_schema=False)
    async def one(request: Request, node: str, device: str, sequence: int, width: int = 486) -> Response:
        require_visitor(request)
        wide = min(1296, max(64, width))
        data = await found(lambda: picture(pages.nodes, node, device, width=wide, sequence=sequence))
        return Response(data, media_type="image/jpeg", headers=_KEEP)

    @app.get("/pages/nodes/{node}/file/{sequence}/{part}", include_in_schema=False)
    async def file(request: Request, node: str, sequence: int, part: str) -> Response:
        require_visitor(request)
        if part not in ("main", "sidecar"):
            raise HTTPException(404, "a file has the parts main and sidecar")
        item = await found(lambda: item_of(pages.nodes, node, sequence))
        data = await found(lambda: fetch(pages.nodes, node, sequence, sidecar=part == "sidecar"))
        name = item.sidecar_name if part == "sidecar" else item.name
        headers = {"Content-Disposition": f'attachment; filename="{name}"', **_NO_STORE}
        return Response(data, media_type="application/octet-stream", headers=headers)
