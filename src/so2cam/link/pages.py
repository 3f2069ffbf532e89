"""The page that an instrument serves itself: plain files, to aim and focus it from a phone beside the case."""

from fastapi import FastAPI, Request, Response

from so2cam.pages import PLAIN_HEADERS, read_asset


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
    headers = {**PLAIN_HEADERS, "etag": tag}
    if tag in request.headers.get("if-none-match", ""):
        return Response(status_code=304, headers=headers)
    return Response(found.content, headers=headers, media_type=found.media_type)
