"""The pages before the pages: signing in, the first admin, and the token that is shown once."""

from html import escape

from fastapi import Request
from fastapi.responses import RedirectResponse, Response
from nicegui import ui

from so2cam.web.session import Door, own_path
from so2cam.web.shell import begin_page


def add_door_pages(door: Door, station: str) -> None:
    """Register the pages; ``station`` says whose they are."""

    @ui.page("/sign-in", title="Sign in · so2cam")
    def sign_in(request: Request, why: str = "") -> Response | None:
        if door.access is None:
            return RedirectResponse("/", 303)
        if door.access.first_run():
            return RedirectResponse("/welcome", 303)
        target = own_path(request.query_params.get("next"))
        _form(
            request,
            station,
            "Sign in",
            f'<input type="hidden" name="next" value="{escape(target)}">'
            '<label>Token<input name="token" type="password" autocomplete="current-password" required autofocus '
            'data-testid="token"></label>',
            action="/session",
            button="Sign in",
            why=why,
            note="A token is made by an admin of this station, or on its computer with "
            "<code>so2cam token create</code>. It says who you are and what you may do.",
        )
        return None

    @ui.page("/welcome", title="Welcome · so2cam")
    def welcome(request: Request, why: str = "") -> Response | None:
        if door.access is None or not door.access.first_run():
            return RedirectResponse("/", 303)
        _form(
            request,
            station,
            "A new station",
            '<label>Set-up code<input name="code" autocomplete="one-time-code" required autofocus '
            'data-testid="code"></label>'
            '<label>Your name<input name="name" autocomplete="name" maxlength="64" required '
            'data-testid="name"></label>',
            action="/session/first",
            button="Become its admin",
            why=why,
            note="The code stands where <code>so2cam station run</code> was started. There is no password to begin "
            "with, and the code works once.",
        )
        return None

    @ui.page("/welcome/token", title="Your token · so2cam")
    def token(request: Request) -> Response | None:
        sealed = request.cookies.get("so2cam_first")
        found = None if sealed is None else door.seal.open(sealed)
        if found is None:
            return RedirectResponse("/", 303)
        _form(
            request,
            station,
            "You are the admin",
            '<label>Your token<input readonly data-testid="first-token" onfocus="this.select()" '
            f'value="{escape(found)}"></label>',
            action="/",
            method="get",
            button="I keep it · go on",
            why="",
            note="This is the only time that it is shown. Keep it in a password manager: with it you sign in from "
            "other browsers. This browser stays signed in for a month.",
        )
        return None


def _form(
    request: Request,
    station: str,
    title: str,
    fields: str,
    *,
    action: str,
    button: str,
    why: str,
    note: str,
    method: str = "post",
) -> None:
    begin_page(request)
    refused = f'<div class="so-error" role="alert" data-testid="why">{escape(why)}</div>' if why else ""
    ui.html(
        f'<form method="{method}" action="{action}" data-testid="door">'
        f"<p><b>so2cam</b> {escape(station)}</p><h1>{title}</h1>{refused}{fields}"
        f'<button data-testid="door-go">{button}</button><p>{note}</p></form>',
        sanitize=False,
    ).classes("so-door")
