"""The address of the pages' static files."""

from typing import Final

from fastapi import FastAPI, HTTPException, Request, Response

from so2cam.pages import read_asset

ASSETS: Final = "/static/so2cam"
"""Where the static files of the pages are served."""


def add_assets(app: FastAPI) -> None:
    """Serve the static files of the pages at ``/static/so2cam``; browsers ask again only whether they changed."""

    @app.get(f"{ASSETS}/{{name}}", include_in_schema=False)
    def asset(name: str, request: Request) -> Response:
        try:
            found = read_asset(name)
        except KeyError:
            raise HTTPException(404, "there is no such file") from None
        tag = f'"{found.tag}"'
        headers = {"etag": tag, "cache-control": "no-cache"}
        if tag in request.headers.get("if-none-match", ""):
            return Response(status_code=304, headers=headers)
        return Response(found.content, headers=headers, media_type=found.media_type)
