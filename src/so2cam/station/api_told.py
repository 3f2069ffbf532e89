"""Tells open pages, and the station itself, what other programs changed: what pages set in ``app.state``, if any."""

from collections.abc import Callable

from fastapi import FastAPI, Request

Tell = Callable[[str, str], object]
"""Says that a topic of a site changed: (site, topic)."""
Restart = Callable[[], None]


def prepare(app: FastAPI) -> None:
    """Begin without pages."""
    app.state.told = None
    app.state.restart = None


def tell(request: Request, site: str, topic: str) -> None:
    """Say to all pages that look at a site that ``topic`` changed, where there are pages."""
    told: Tell | None = request.app.state.told
    if told is not None:
        told(site, topic)


def restart_of(request: Request) -> Restart | None:
    """Return what has the station take up its site files anew; None where it cannot."""
    found: Restart | None = request.app.state.restart
    return found
