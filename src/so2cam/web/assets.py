"""The address of the pages' static files."""

from typing import Final

from fastapi import FastAPI, HTTPException, Request, Response

from so2cam.pages import read_asset

ASSETS: Final = "/static/so2cam"
"""Where the static files of the pages are served."""
_KEEP: Final = "public, max-age=31536000, immutable"
"""For files that are asked for by their tag (``?v=``): another content has another address."""


def add_assets(app: FastAPI) -> None:
    """Serve the static files of the pages at ``/static/so2cam``; browsers ask again only whether they changed."""

    @app.get(f"{ASSETS}/{{name}}", include_in_schema=False)
    def asset(name: str, request: Request) -> Response:
        try:
            found = read_asset(name)
        except KeyError:
            raise HTTPException(404, "there is no such file") from None
        tag = f'"{found.tag}"'
        named = request.query_params.get("v") == found.tag
        headers = {"etag": tag, "cache-control": _KEEP if named else "no-cache"}
        if tag in request.headers.get("if-none-match", ""):
            return Response(status_code=304, headers=headers)
        return Response(found.content, headers=headers, media_type=found.media_type)
