"""The page that an instrument serves itself: plain files, to aim and focus it from a phone beside the case."""

from typing import Final

from fastapi import FastAPI, Request, Response

from so2cam.pages import read_asset

_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_HEADERS: Final = {
    "cache-control": "no-cache",
    "content-security-policy": _POLICY,
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
}


def add_pages(api: FastAPI) -> None:
    """Serve ``/align`` and its files. They hold nothing of the node: what is shown is asked with a token."""

    @api.get("/align", include_in_schema=False)
    def align(request: Request) -> Response:
        return _asset("align.html", request)

    @api.get("/static/so2cam/{name}", include_in_schema=False)
    def asset(name: str, request: Request) -> Response:
        return _asset(name, request)


def _asset(name: str, request: Request) -> Response:
    try:
        found = read_asset(name)
    except KeyError:
        return Response("there is no such file", status_code=404, media_type="text/plain")
    tag = f'"{found.tag}"'
    headers = {**_HEADERS, "etag": tag}
    if tag in request.headers.get("if-none-match", ""):
        return Response(status_code=304, headers=headers)
    return Response(found.content, headers=headers, media_type=found.media_type)
