"""Puts the pages onto the station's application.

NiceGUI is one application per process: so are the pages. Mounting them again, for another station or after the
server was started anew, lets the new ones take the old ones' place.
"""

import asyncio
import inspect
import sys
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlencode

from fastapi import FastAPI, HTTPException, Request
from fastapi.responses import JSONResponse, RedirectResponse, Response
from nicegui import app as gui
from nicegui import ui

from so2cam.station.alarms_store import AlarmStore
from so2cam.station.context import StationContext
from so2cam.station.drafts import open_draft
from so2cam.station.live_images import LiveImages
from so2cam.station.live_spectrum import LiveSpectrum
from so2cam.station.nodes import Nodes
from so2cam.station.publish_services import OutwardPaths
from so2cam.station.runs import Runs
from so2cam.station.services import ServiceState
from so2cam.station.setup_frames import SetupFrames
from so2cam.station.trial import TrialLines
from so2cam.web.align_routes import add_align_routes
from so2cam.web.archive_routes import add_archive_routes
from so2cam.web.doors import add_door_pages
from so2cam.web.headers import GuardHeaders
from so2cam.web.health_routes import add_health_routes
from so2cam.web.instrument_routes import add_instrument_routes
from so2cam.web.live_routes import add_live_routes
from so2cam.web.manual_routes import add_manual_routes
from so2cam.web.registry import PageSpec, all_pages
from so2cam.web.routes import add_routes
from so2cam.web.run_routes import add_run_routes
from so2cam.web.session import Access, Door, Seal
from so2cam.web.shelf import add_shelf_routes
from so2cam.web.shell import begin_page, frame, refuse
from so2cam.web.state import Pages
from so2cam.web.view import View

_RECONNECT_S = 8.0
_HISTORY = 200
_THREADS = 32


def mount_pages(
    app: FastAPI,
    context: StationContext,
    services: Callable[[], Sequence[ServiceState]] = tuple,
    access: Access | None = None,
    *,
    trials: Mapping[str, TrialLines] | None = None,
    nodes: Nodes | None = None,
    runs: Runs | None = None,
    restart: Callable[[], None] | None = None,
) -> Pages:
    """Put the pages onto ``app``, below its own routes. Without ``access`` everybody is an admin.

    ``trials``: the trial lines of each site, which are services of the station. ``nodes``: the way to the
    instruments; without it the pages dial them themselves. ``runs``: the service of runs over the
    archive; without it they wait. ``restart``: starts the station anew with its
    site files. Who is not signed in may look where the site file says so: ``station.pages.public``, or
    ``station.api.loopback`` on this computer. The server must run the application's lifespan. Raises So2camError where
    the pages' key, the alarms or a draft cannot be opened.
    """
    settings = context.settings
    door = Door(access, Seal.of_station(context.folder), settings.pages.public, settings.api.is_open)
    pages = Pages(
        context,
        services,
        door,
        AlarmStore(OutwardPaths(context.folder).alarms),
        {site.name: LiveImages(context, site) for site in context.sites},
        {site.name: LiveSpectrum(context, site) for site in context.sites},
        trials or {},
        nodes or Nodes(context),
        {site.name: open_draft(context, site) for site in context.sites},
        {site.name: SetupFrames(context, site) for site in context.sites},
        runs or Runs(context),
        restart,
    )
    app.state.signed_in = door.signed_in
    app.state.told = lambda site, topic: pages.notices.tell(f"{site}/{topic}")
    app.state.restart = restart
    add_routes(app, pages)
    add_live_routes(app, pages)
    add_instrument_routes(app, pages)
    add_health_routes(app, pages)
    add_align_routes(app, pages)
    add_manual_routes(app, pages)
    add_shelf_routes(app, pages)
    add_archive_routes(app, pages)
    add_run_routes(app, pages)
    for spec in all_pages():
        _add_page(pages, spec)
    add_door_pages(door, ", ".join(site.name for site in context.sites))

    @app.api_route("/api/{rest:path}", methods=["GET", "HEAD", "POST", "PUT", "DELETE"], include_in_schema=False)
    def unknown(rest: str) -> Response:
        return JSONResponse({"detail": f"there is no /api/{rest}"}, 404)

    app.add_middleware(GuardHeaders)
    _run_with(app)
    _close_after(app, pages)
    return pages


def _add_page(pages: Pages, spec: PageSpec) -> None:
    @ui.page(spec.path, title=f"{spec.title} · so2cam", response_timeout=10.0)
    async def show(request: Request) -> Response | None:
        visitor = pages.door.visitor(request)
        if visitor is None:
            access = pages.door.access
            if access is None:
                raise HTTPException(403, "these pages are for this computer alone: ask for 127.0.0.1")
            if access.first_run():
                return RedirectResponse("/welcome", 303)
            target = request.url.path + (f"?{request.url.query}" if request.url.query else "")
            return RedirectResponse("/sign-in?" + urlencode({"next": target}), 303)
        view = View(pages, spec, pages.site(request.query_params.get("site")), visitor, request, ui.context.client)
        ui.page_title(f"{spec.title} · {view.site.name}")
        begin_page(request)
        frame(view)
        if not visitor.may(spec.role):
            refuse(view, spec.role)
            return None
        with ui.element("main").classes("so-main").props(f"data-testid=page-{spec.path.strip('/') or 'live'}"):
            made = spec.build(view)
            return await made if inspect.isawaitable(made) else made


class _NoObjects:
    """In the place of the module ``gc`` that NiceGUI sees."""

    def get_objects(self) -> list[object]:
        """Return no objects."""
        return []


def _run_with(app: FastAPI) -> None:
    """Mount NiceGUI. What an earlier mount in this process put around its application is taken off first."""
    gui.user_middleware.clear()
    gui.middleware_stack = None
    # At its start NiceGUI looks through all objects of the process for the server, which is ended here by other means.
    # Python breaks a tuple that another thread makes meanwhile (SystemError, "bad argument to internal function").
    sys.modules[ui.run_with.__module__].__dict__["gc"] = _NoObjects()
    ui.run_with(
        app,
        title="so2cam",
        dark=None,
        language="en-US",
        tailwind=False,
        reconnect_timeout=_RECONNECT_S,
        message_history_length=_HISTORY,
        show_welcome_message=False,
        favicon=_FAVICON,
    )


def _close_after(app: FastAPI, pages: Pages) -> None:
    inner = app.router.lifespan_context

    @asynccontextmanager
    async def lifespan(served: FastAPI) -> AsyncIterator[Any]:
        # Work that waits (ten frames of a gas cell, a node that does not answer) must not hold up the other pages.
        executor = ThreadPoolExecutor(_THREADS, thread_name_prefix="pages")
        asyncio.get_running_loop().set_default_executor(executor)
        try:
            async with inner(served) as state:
                yield state
        finally:
            pages.close()

    app.router.lifespan_context = lifespan


_FAVICON = (
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 32 32"><rect width="32" height="32" rx="7" fill="#0a5aa6"/>'
    '<path d="M4 26 13 13l4 4 3-3 8 12z" fill="#fff"/><path d="M14 11c-1-4 4-3 4-7 4 2 2 5 6 5" fill="none" '
    'stroke="#fff" stroke-width="2.2" stroke-linecap="round"/></svg>'
)
