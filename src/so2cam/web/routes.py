"""The plain HTTP side of the pages: static files, signing in and out, and the glance that every header takes."""

from datetime import UTC, datetime
from typing import Final
from urllib.parse import parse_qs, urlencode

from fastapi import FastAPI, HTTPException, Request, Response
from fastapi.responses import JSONResponse, RedirectResponse

from so2cam.core.errors import So2camError
from so2cam.core.times import format_utc
from so2cam.station.api_gate import peer_of
from so2cam.web.assets import add_assets
from so2cam.web.session import COOKIE, LASTS_S, Door, own_path
from so2cam.web.state import Pages

_MOST_FORM: Final = 4096
_LEVELS: Final = ("warning", "alarm")


def add_routes(app: FastAPI, pages: Pages) -> None:
    """Add the routes to the station's application."""
    add_assets(app)
    _add_session(app, pages.door)

    @app.get("/pages/glance", include_in_schema=False)
    async def glance(request: Request, site: str = "") -> Response:
        if pages.door.visitor(request) is None:
            raise HTTPException(401, "sign in first")
        name = pages.site(site).name
        alarms = await pages.values.get((name, "glance"), 1.0, lambda: _alarms(pages, name))
        return JSONResponse({"time": format_utc(datetime.now(UTC)), "alarms": alarms}, headers=_NO_STORE)


_NO_STORE: Final = {"Cache-Control": "no-store"}


def _alarms(pages: Pages, site: str) -> dict[str, object]:
    events = pages.open_events(site)
    levels = [event.level for event in events]
    worst = max(levels, key=lambda level: _LEVELS.index(level) if level in _LEVELS else 0, default="")
    return {
        "open": len(events),
        "unseen": sum(event.acknowledged is None for event in events),
        "level": worst,
        "text": events[0].text if events else "",
    }


def _add_session(app: FastAPI, door: Door) -> None:
    @app.post("/session", include_in_schema=False)
    async def sign_in(request: Request) -> Response:
        form = await _form(request)
        target, token = own_path(form.get("next")), form.get("token", "").strip()
        if door.access is None:
            return RedirectResponse(target, 303)
        try:
            door.access.admit(token, peer_of(request.scope))
        except So2camError as error:
            return _back("/sign-in", error, next=target)
        return _let_in(request, door, token, target)

    @app.post("/session/first", include_in_schema=False)
    async def first(request: Request) -> Response:
        form = await _form(request)
        name = form.get("name", "").strip()
        if door.access is None:
            return RedirectResponse("/", 303)
        if not name:
            return RedirectResponse("/welcome?" + urlencode({"why": "Give a name, as of a person."}), 303)
        try:
            token = door.access.set_up(form.get("code", "").strip(), name, peer_of(request.scope))
        except So2camError as error:
            return _back("/welcome", error)
        answer = _let_in(request, door, token, "/welcome/token")
        answer.set_cookie("so2cam_first", door.seal.close(token), max_age=600, path="/welcome", httponly=True)
        return answer

    @app.post("/session/end", include_in_schema=False)
    def sign_out() -> Response:
        answer = RedirectResponse("/sign-in", 303)
        answer.delete_cookie(COOKIE, path="/")
        return answer


def _let_in(request: Request, door: Door, token: str, target: str) -> Response:
    answer = RedirectResponse(target, 303)
    answer.set_cookie(
        COOKIE,
        door.seal.close(token),
        max_age=LASTS_S,
        path="/",
        httponly=True,
        samesite="lax",
        secure=request.url.scheme == "https",
    )
    return answer


def _back(page: str, error: So2camError, **query: str) -> Response:
    why = f"{error.message[:1].upper()}{error.message[1:]}." + (f" Remedy: {error.remedy}." if error.remedy else "")
    return RedirectResponse(f"{page}?{urlencode({'why': why, **query})}", 303)


async def _form(request: Request) -> dict[str, str]:
    """Return the fields of a form that one of these pages sent; nothing where another web site sent it."""
    if request.headers.get("Sec-Fetch-Site", "same-origin") not in ("same-origin", "none"):
        raise HTTPException(403, "forms of other web sites are not taken")
    body = b""
    async for part in request.stream():
        body += part
        if len(body) > _MOST_FORM:
            raise HTTPException(413, "too long")
    try:
        fields = parse_qs(body.decode(), max_num_fields=10)
    except ValueError:
        raise HTTPException(422, "is no form") from None
    return {key: values[0] for key, values in fields.items()}
