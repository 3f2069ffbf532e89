"""The frame of every page: header with sites, navigation, clock, alarms and who is signed in; banner and help.

The frame is plain HTML with ``frame.css`` and ``frame.js``: it works, and says so, when the connection is lost.
"""

import json
from html import escape

from fastapi import Request
from nicegui import ui

from so2cam.link.protocol import Role
from so2cam.pages import read_asset
from so2cam.web.registry import PageSpec, navigation
from so2cam.web.theme import DARK, LIGHT, theme_css
from so2cam.web.view import View, page_link

_HELP = (("?", "this help"), ("d", "dark or light"), ("Esc", "close, or leave a tool"))
_THEME_COOKIE = "so2cam_theme"


def head_html() -> str:
    """Return what every page has in its head: colours, style, script. Nothing comes from elsewhere."""
    return (
        f"<style>{theme_css()}</style>"
        f'<link rel="stylesheet" href="{asset_url("frame.css")}">'
        f'<script defer src="{asset_url("frame.js")}"></script>'
    )


def asset_url(name: str) -> str:
    """Return the address of a static file; it changes with the file, so that browsers may keep it."""
    return f"/static/so2cam/{name}?v={read_asset(name).tag}"


def begin_page(request: Request) -> None:
    """Set up what every page needs, with a header or without: colours and style, light or dark."""
    ui.add_head_html(head_html())
    chosen = request.cookies.get(_THEME_COOKIE)
    dark = {"dark": True, "light": False}.get(chosen or "")
    ui.dark_mode(dark)
    palette = DARK if dark else LIGHT
    ui.colors(
        primary=LIGHT["accent"] if not dark else "#2b6cb0",
        positive=palette["ok"],
        negative=LIGHT["bad"],
        warning=palette["warn"],
        dark=DARK["surface"],
        dark_page=DARK["paper"],
    )
    ui.query(".nicegui-content").classes("so-page")


def frame(view: View) -> None:
    """Draw the header, the banner and the help of a page."""
    ui.html(_header(view) + _banner() + _help(view), sanitize=False).classes("so-frame")


def _header(view: View) -> str:
    pages, site = view.pages, view.site
    return (
        f'<header class="so-header" data-testid="header" data-site="{escape(site.name)}" '
        f"data-keys='{escape(json.dumps(_keys(view)), quote=True)}'>"
        f'<a class="so-brand" href="{escape(page_link(pages, site, "/"))}">so2cam</a>'
        f"{_sites(view)}"
        f'<nav class="so-nav" aria-label="Pages">{"".join(_nav_item(view, spec) for spec in navigation())}</nav>'
        '<span class="so-fill"></span>'
        '<time class="so-clock" data-testid="clock" title="">--:--:-- UTC</time>'
        f"{_bell(view)}"
        '<button class="so-icon" data-do="theme" data-testid="theme" title="Dark or light (d)" '
        f'aria-label="Dark or light">{_ICONS["theme"]}</button>'
        '<button class="so-icon" data-do="help" data-testid="help" title="Help and keys (?)" '
        'aria-label="Help and keys">?</button>'
        f"{_who(view)}</header>"
    )


def _keys(view: View) -> dict[str, str]:
    return {spec.keys: page_link(view.pages, view.site, spec.path) for spec in navigation() if spec.keys}


def _sites(view: View) -> str:
    sites = view.context.sites
    if len(sites) == 1:
        return f'<span class="so-site" data-testid="site">{escape(view.site.name)}</span>'
    options = "".join(
        f'<option value="{escape(page_link(view.pages, site, view.request.url.path))}"'
        f"{' selected' if site is view.site else ''}>{escape(site.name)}</option>"
        for site in sites
    )
    return f'<select class="so-site" data-do="site" data-testid="site" aria-label="Site">{options}</select>'


def _nav_item(view: View, spec: PageSpec) -> str:
    if not view.visitor.may(spec.role):
        return ""
    here = "page" if spec.path == view.spec.path else "true" if spec.path == view.spec.within else ""
    current = f' aria-current="{here}"' if here else ""
    hint = f"{spec.hint} ({spec.keys})".strip() if spec.keys else spec.hint
    return (
        f'<a href="{escape(page_link(view.pages, view.site, spec.path))}"{current} title="{escape(hint)}" '
        f'data-testid="nav-{spec.path.strip("/") or "live"}">{escape(spec.nav or spec.title)}</a>'
    )


def _bell(view: View) -> str:
    alarms = next((spec for spec in navigation() if spec.path == "/alarms"), None)
    target = page_link(view.pages, view.site, alarms.path) if alarms is not None else "#"
    return (
        f'<a class="so-icon so-bell" href="{escape(target)}" data-testid="bell" title="No alarms" '
        f'aria-label="Alarms">{_ICONS["bell"]}<b hidden></b></a>'
    )


def _who(view: View) -> str:
    visitor = view.visitor
    if view.pages.door.access is None:
        return '<span class="so-who so-wide" data-testid="who" title="No sign-in on this computer">this computer</span>'
    name, role = escape(visitor.principal.name), visitor.role.word
    if not visitor.signed_in:
        here = escape(view.request.url.path)
        return f'<a class="so-who" data-testid="sign-in" href="/sign-in?next={here}">Sign in</a>'
    return (
        f'<span class="so-who so-wide" data-testid="who" title="signed in as {name}, {role}">{name}'
        f'<span class="so-role"> · {role}</span></span>'
        '<form method="post" action="/session/end"><button class="so-icon" data-testid="sign-out" title="Sign out" '
        f'aria-label="Sign out">{_ICONS["out"]}</button></form>'
    )


def _banner() -> str:
    return (
        '<div class="so-banner" data-testid="banner" role="status" hidden>'
        "<b>Connection lost.</b> What you see is old. Trying again …</div>"
    )


def _help(view: View) -> str:
    spec = view.spec
    pages = [(spec.keys, f"{spec.nav}") for spec in navigation() if spec.keys]
    rows = "".join(
        f"<dt>{''.join(f'<kbd>{escape(key)}</kbd>' for key in keys.split())}</dt><dd>{escape(text)}</dd>"
        for keys, text in [*pages, *_HELP]
    )
    about = ""
    if spec.about:
        about = f'<h2>{escape(spec.title)}</h2><p data-testid="about">{escape(spec.about)}</p>'
    if spec.docs:
        about += (
            f'<p><a data-testid="about-docs" href="/help/docs/{escape(spec.docs)}">More in the documentation</a></p>'
        )
    return (
        f'<dialog class="so-help" data-testid="keys">{about}<h2>Keys</h2><dl>{rows}</dl>'
        '<p>Times are UTC; hold the pointer over one for local time.</p><button data-do="close">Close</button></dialog>'
    )


def refuse(view: View, least: Role) -> None:
    """Say that this page needs a higher role, and what to do."""
    view.client.status_code = 403
    with ui.element("main").classes("so-main"), ui.element("section").classes("so-empty"):
        ui.html(
            f'<h1 data-testid="refused">{escape(view.spec.title)} needs the role {least.word}</h1>'
            f"<p>You are here as {escape(view.visitor.principal.name)}, {view.visitor.role.word}. "
            "Sign in with another token, or ask an admin of this station for one.</p>"
            '<p><a href="/sign-in">Sign in with another token</a></p>',
            sanitize=False,
        )


_ICONS = {
    "bell": '<svg viewBox="0 0 24 24" aria-hidden="true"><path d="M6 17h12l-1.5-2.5V10a4.5 4.5 0 0 0-9 0v4.5z"/>'
    '<path d="M10 20h4"/></svg>',
    "theme": '<svg viewBox="0 0 24 24" aria-hidden="true"><circle cx="12" cy="12" r="7.5"/>'
    '<path class="fill" d="M12 4.5a7.5 7.5 0 0 1 0 15z"/></svg>',
    "out": '<svg viewBox="0 0 24 24" aria-hidden="true"><path d="M10 5H5v14h5M14 8l4 4-4 4M18 12H9"/></svg>',
}
