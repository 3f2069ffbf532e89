"""The pages, as the command line starts and announces them."""

import os
import sys
import webbrowser
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from so2cam.cli.console import console
from so2cam.core.errors import InputError

if TYPE_CHECKING:
    from fastapi import FastAPI

    from so2cam.station.access import Access
    from so2cam.station.api_server import Mount
    from so2cam.station.context import StationContext
    from so2cam.station.nodes import Nodes
    from so2cam.station.runs import Runs
    from so2cam.station.services import ServiceState
    from so2cam.station.trial import TrialLines


def trial_lines(context: "StationContext") -> "dict[str, TrialLines]":
    """Return the trial lines of the sites that are processed live: services, which the pages set."""
    from so2cam.station.trial import TrialLines

    return {site.name: TrialLines(context, site) for site in context.sites if site.settings.live}


def page_mount(
    context: "StationContext",
    states: "Callable[[], Sequence[ServiceState]]",
    trials: "Mapping[str, TrialLines]",
    *,
    nodes: "Callable[[], Nodes] | None" = None,
    runs: "Callable[[], Runs] | None" = None,
    restart: "Callable[[], None] | None" = None,
    open_to_all: bool = False,
) -> "Mount":
    """Return what puts the pages onto a station's application. ``open_to_all``: whoever looks is an admin.

    ``nodes``, ``runs``: the way to the instruments, and the runs over the archive, asked for when the pages are put
    there. ``restart`` starts the station anew.

    Raises InputError where the packages of the pages are not installed.
    """
    try:
        from so2cam.web.mount import mount_pages
    except ImportError as error:
        raise InputError(f"the package {error.name} is not installed", remedy="pip install 'so2cam[station]'") from None

    def mount(app: "FastAPI", access: "Access | None") -> None:
        way = None if nodes is None else nodes()
        jobs = None if runs is None else runs()
        given = None if open_to_all else access
        mount_pages(app, context, states, given, trials=trials, nodes=way, runs=jobs, restart=restart)

    return mount


def open_browser(url: str) -> bool:
    """Open the pages in a browser, where there is one to be seen; return whether that was tried."""
    if not _has_display():
        return False
    return webbrowser.open(url)


def tell_pages(url: str, *, open_: bool | None) -> None:
    """Print where the pages are, and open them. ``open_``: None opens them where people look on."""
    console.print(f"open {url}/ in a browser", markup=False, highlight=False)
    if open_ or (open_ is None and sys.stdout.isatty()):
        open_browser(f"{url}/")


def _has_display() -> bool:
    if sys.platform in ("darwin", "win32"):
        return True
    return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
