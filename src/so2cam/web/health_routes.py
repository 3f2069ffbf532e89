"""The plots of the health page as JSON: worked out once for all who look, and not sent again where nothing is new."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from fastapi import FastAPI, HTTPException, Request, Response
from fastapi.responses import JSONResponse

from so2cam.core.errors import So2camError
from so2cam.core.times import format_utc
from so2cam.station.catalogue_health import arrival_delays, health_nodes, thinned_health
from so2cam.station.context import StationSite
from so2cam.web.health_trends import Record, limits_of, plots, seconds_of, step_of
from so2cam.web.state import Pages

_AHEAD: Final = timedelta(seconds=30)
"""An instrument's clock may be ahead of the station's."""


def add_health_routes(app: FastAPI, pages: Pages) -> None:
    """Add the routes to the station's application."""

    @app.get("/pages/health/trends", include_in_schema=False)
    async def trends(request: Request, site: str = "", node: str = "", span: str = "1h", after: str = "") -> Response:
        if pages.door.visitor(request) is None:
            raise HTTPException(401, "sign in first")
        found = pages.site(site)
        seconds = seconds_of(span)
        key = (found.name, "health-trends", node, seconds)
        fresh_s = min(60.0, step_of(seconds) / 2)
        try:
            answer = await pages.values.get(key, fresh_s, lambda: trends_of(pages, found, node, seconds))
        except So2camError as error:
            raise HTTPException(503, error.message) from None
        if after and after == answer["made"]:
            return Response(status_code=204)
        return JSONResponse(answer, headers={"Cache-Control": "no-store"})


def trends_of(pages: Pages, site: StationSite, node: str, seconds: float) -> dict[str, Any]:
    """Return what is drawn of a node for the last ``seconds``. Raises CatalogueError where the database refuses."""
    now = datetime.now(UTC)
    start, step_s = now - timedelta(seconds=seconds), step_of(seconds)
    catalogue = pages.context.catalogue
    name = node or next(iter(health_nodes(catalogue, site.name)), "")
    texts = thinned_health(catalogue, site.name, name, start=start, end=now + _AHEAD, every_s=step_s)
    records: list[tuple[datetime, Record]] = [(time, json.loads(text)) for time, text in texts]
    delays = arrival_delays(catalogue, site.name, name, start=start, end=now + _AHEAD, every_s=step_s)
    limits = limits_of(site.loaded.site, name, records[-1][1]) if records else []
    return {
        "made": format_utc(now),
        "start": start.timestamp(),
        "end": now.timestamp(),
        "step": step_s,
        "node": name,
        **plots(records, delays, limits),
    }
