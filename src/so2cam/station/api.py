"""The HTTP interface of a station, for other programs: JSON, CSV, images, files, Prometheus metrics.

Everything is below ``/api/v1``; ``/docs`` shows it in a browser, ``/openapi.json`` describes it for programs. Who may
ask is decided before it, by ``station.api_gate``: ``Authorization: Bearer TOKEN``.
"""

import csv
import io
import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Final, Literal

from fastapi import APIRouter, Depends, FastAPI, HTTPException, Path, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, JSONResponse
from fastapi.security import HTTPBearer
from starlette.requests import HTTPConnection

from so2cam import __version__
from so2cam.core.errors import So2camError
from so2cam.core.status import EmissionStatus
from so2cam.core.times import format_utc
from so2cam.formats.products import CSV_COLUMNS
from so2cam.link.tokens import Principal
from so2cam.station.access import Access
from so2cam.station.alarms_store import AlarmStore
from so2cam.station.api_access import access_router
from so2cam.station.api_alarms import alarms_router
from so2cam.station.api_days import days_router
from so2cam.station.api_draft import LARGE, draft_router
from so2cam.station.api_errors import malformed
from so2cam.station.api_gate import ApiGate, SignedIn
from so2cam.station.api_images import npy_bytes, picture, values_of
from so2cam.station.api_metrics import metrics_text
from so2cam.station.api_models import (
    ColumnOut,
    DayOut,
    ErrorOut,
    FileOut,
    HealthOut,
    LiveOut,
    RateOut,
    ServiceOut,
    SiteOut,
    StatusOut,
)
from so2cam.station.api_nodes import add_relay, nodes_router
from so2cam.station.api_pairing import pairing_router
from so2cam.station.api_runs import runs_router
from so2cam.station.api_site_file import drafts_of, site_file_router
from so2cam.station.api_times import LATEST, utc
from so2cam.station.api_told import prepare
from so2cam.station.catalogue import KEPT, ArchivedFile, Rate
from so2cam.station.context import StationContext, StationSite
from so2cam.station.daily import daily_paths
from so2cam.station.nodes import Nodes
from so2cam.station.runs import Runs
from so2cam.station.services import ServiceState

MOST_ROWS: Final = 100_000
_LONGEST_ID: Final = 2**62
_MEDIA: Final = {
    ".png": "image/png",
    ".json": "application/json",
    ".csv": "text/csv; charset=utf-8",
    ".nc": "application/x-netcdf",
}
_ERRORS: Final[dict[int | str, dict[str, Any]]] = {
    401: {"model": ErrorOut, "description": "the token is missing or wrong"},
    429: {"model": ErrorOut, "description": "too many wrong tokens, or too many calls"},
    404: {"model": ErrorOut, "description": "there is no such thing"},
    503: {"model": ErrorOut, "description": "the catalogue cannot be reached now"},
}

Word = Annotated[str, Query(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9 _.-]+$")]
Start = Annotated[datetime | None, Query(description="at or after this time (ISO 8601; UTC where no zone is given)")]
End = Annotated[datetime | None, Query(description="before this time")]
Limit = Annotated[int, Query(ge=1, le=MOST_ROWS, description="at most so many, the newest")]
SiteName = Annotated[str, Path(min_length=1, max_length=64, description="name of the site")]


def build_api(
    context: StationContext,
    services: Callable[[], Sequence[ServiceState]] = tuple,
    *,
    access: Access | None = None,
    open_reads: bool = False,
    alarms: AlarmStore | None = None,
    nodes: Nodes | None = None,
    runs: Runs | None = None,
    routers: Sequence[APIRouter] = (),
) -> FastAPI:
    """Return the interface over a station. ``routers`` of other services are put below ``/api/v1`` too.

    ``access`` says who may; ``open_reads``: whoever asks on this computer may read without a token. Without ``access``
    everybody may read, and nothing can be changed. ``nodes`` is the way to the instruments, ``runs`` does those that
    are ordered. ``app.state`` holds ``access``, and what pages set: ``signed_in``, who is signed in there
    (``api_gate.SignedIn``), and those of ``api_told``.
    """
    app = FastAPI(
        title="so2cam station",
        version=__version__,
        description="Emission rates, images, files, runs, health and alarms of a base station. Times are UTC.",
    )
    app.state.access = access
    app.state.signed_in = None
    prepare(app)
    app.add_exception_handler(RequestValidationError, malformed)
    if access is not None:

        def signed_in(connection: HTTPConnection) -> Principal | None:
            ask: SignedIn | None = app.state.signed_in
            return None if ask is None else ask(connection)

        app.add_middleware(ApiGate, access=access, open_reads=open_reads, signed_in=signed_in, large=LARGE)
    token = Depends(HTTPBearer(auto_error=False, description="a token of the station"))
    router = APIRouter(prefix="/api/v1", dependencies=[token], responses=_ERRORS)
    _add_station(router, context, services)
    router.include_router(days_router(context))
    _add_results(router, context)
    _add_images(router, context)
    _add_files(router, context)
    if access is not None:
        drafts = drafts_of(context)
        router.include_router(site_file_router(drafts))
        router.include_router(draft_router(drafts, access))
        router.include_router(access_router(access))
        if alarms is not None:
            router.include_router(alarms_router(alarms))
        if runs is not None:
            router.include_router(runs_router(context, runs, access))
        if nodes is not None:
            router.include_router(nodes_router(context, nodes))
            router.include_router(pairing_router(context, nodes, access))
            add_relay(app, nodes, access)
    for other in routers:
        router.include_router(other)
    app.include_router(router)

    @app.get("/metrics", dependencies=[token], responses={code: _ERRORS[code] for code in (401, 429, 503)})
    def metrics() -> Response:
        """All figures in the text format of Prometheus."""
        return Response(metrics_text(context, services()), media_type="text/plain; version=0.0.4; charset=utf-8")

    @app.exception_handler(So2camError)
    def refused(_request: Request, error: So2camError) -> JSONResponse:
        return JSONResponse({"detail": error.message}, status_code=503)

    return app


# --- the station -------------------------------------------------------------------------------------------------


def _add_station(router: APIRouter, context: StationContext, services: Callable[[], Sequence[ServiceState]]) -> None:
    @router.get("/status", tags=["station"])
    def status() -> StatusOut:
        """How the station is: services, sites, room on the disk."""
        sites = [_site_out(context, site) for site in context.sites]
        states = services()
        return StatusOut(
            time=datetime.now(UTC),
            version=__version__,
            ok=all(s.state == "running" for s in states) and not any(s.damaged_or_missing for s in sites),
            free_bytes=shutil.disk_usage(context.folder).free,
            services=[
                ServiceOut(name=s.name, state=s.state, since=s.since, failures=s.failures, message=s.message)
                for s in states
            ],
            sites=sites,
        )

    @router.get("/sites", tags=["station"])
    def sites() -> list[SiteOut]:
        """All sites of the station."""
        return [_site_out(context, site) for site in context.sites]

    @router.get("/sites/{site}/health", tags=["station"])
    def health(site: SiteName) -> list[HealthOut]:
        """What every node of the instrument said of itself last."""
        found = context.catalogue.latest_health(_site(context, site).name)
        return [
            HealthOut(node=node, time=time, record=json.loads(text)) for node, (time, text) in sorted(found.items())
        ]


def _site(context: StationContext, name: str) -> StationSite:
    try:
        return context.site(name)
    except KeyError:
        raise HTTPException(404, "there is no such site") from None


def _site_out(context: StationContext, site: StationSite) -> SiteOut:
    counts = context.catalogue.file_counts(site.name)
    newest = context.catalogue.find_files(site.name, kind="frame", subject="plume", newest=True, limit=1)
    rates = context.catalogue.rates(site.name, newest=True, limit=1)
    shown = context.board.live(site.name)
    kinds: dict[str, int] = {}
    for (kind, _), (count, _size) in counts.items():
        kinds[kind] = kinds.get(kind, 0) + count
    return SiteOut(
        name=site.name,
        volcano=site.loaded.site.volcano.name,
        lines=[line.name for line in site.loaded.site.lines],
        speed_methods=list(site.loaded.site.processing.speed.methods),
        live=LiveOut(state="starting") if shown is None else LiveOut(**asdict(shown)),
        newest_frame=newest[0].time if newest else None,
        newest_rate=rates[0].time if rates else None,
        files=kinds,
        bytes=sum(size for _, size in counts.values()),
        damaged_or_missing=sum(count for (_, state), (count, _) in counts.items() if state != KEPT),
    )


# --- results -----------------------------------------------------------------------------------------------------


def _add_results(router: APIRouter, context: StationContext) -> None:
    @router.get("/sites/{site}/rates/latest", tags=["results"])
    def latest(
        site: SiteName,
        valid: Annotated[bool, Query(description="the newest valid one of each line and method instead")] = False,
    ) -> list[RateOut]:
        """All emission rates of the newest pair of frames."""
        return [RateOut.of(rate) for rate in context.catalogue.latest_rates(_site(context, site).name, valid=valid)]

    @router.get(
        "/sites/{site}/rates",
        tags=["results"],
        response_model=list[RateOut],
        responses={200: {"content": {"text/csv": {}}}},
    )
    def rates(
        site: SiteName,
        start: Start = None,
        end: End = None,
        line: Word | None = None,
        speed_method: Word | None = None,
        limit: Limit = 10_000,
        output: Annotated[Literal["json", "csv"], Query(alias="format")] = "json",
    ) -> Any:
        """Emission rates of a time, in order of time; of the last 24 hours without ``start``."""
        name = _site(context, site).name
        first, last = _bounds(start, end)
        found = context.catalogue.rates(
            name, start=first, end=last, line=line, method=speed_method, limit=limit, newest=True
        )
        if output == "csv":
            return Response(_csv(found), media_type=_MEDIA[".csv"])
        return [RateOut.of(rate) for rate in found]

    @router.get("/sites/{site}/columns", tags=["results"])
    def columns(site: SiteName, start: Start = None, end: End = None, limit: Limit = 10_000) -> list[ColumnOut]:
        """SO2 columns of the spectrometer, in order of time; of the last 24 hours without ``start``."""
        name = _site(context, site).name
        first, last = _bounds(start, end)
        return [ColumnOut.of(row) for row in context.catalogue.columns(name, start=first, end=last)[-limit:]]

    @router.get("/sites/{site}/days", tags=["results"])
    def days(site: SiteName) -> list[DayOut]:
        """All days with results."""
        return [DayOut.of(day) for day in context.catalogue.days(_site(context, site).name)]

    @router.get("/sites/{site}/days/{day}/{product}", tags=["results"], response_class=Response)
    def product(
        site: SiteName,
        day: Annotated[str, Path(pattern=r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$")],
        product: Literal["netcdf", "csv"],
    ) -> Response:
        """The file of a day, as it was written last."""
        netcdf, table = daily_paths(_site(context, site).results, day)
        path = netcdf if product == "netcdf" else table
        if not path.is_file():
            raise HTTPException(404, "there is no such file yet")
        return FileResponse(path, media_type=_MEDIA[path.suffix], filename=f"{path.name}")


def _bounds(start: datetime | None, end: datetime | None) -> tuple[datetime, datetime]:
    last = utc(end) if end is not None else LATEST
    if start is not None:
        return utc(start), last
    newest = min(last, datetime.now(UTC) + timedelta(days=1))
    return newest - timedelta(days=1 if end is not None else 2), last


def _csv(rates: Sequence[Rate]) -> str:
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(CSV_COLUMNS)
    for rate in rates:
        values = (
            rate.rate,
            rate.random,
            rate.systematic,
            rate.speed,
            rate.speed_uncertainty,
            rate.direction,
            rate.amount,
        )
        numbers = ["" if value is None else f"{value + 0.0:.6g}" for value in values]
        status = EmissionStatus(rate.status).name.lower()
        writer.writerow([format_utc(rate.time), rate.line, rate.method, *numbers, status])
    return stream.getvalue()


# --- images and files --------------------------------------------------------------------------------------------


def _add_images(router: APIRouter, context: StationContext) -> None:
    @router.get(
        "/sites/{site}/images/latest",
        tags=["images"],
        response_class=Response,
        responses={200: {"content": {"image/png": {}, "application/octet-stream": {}}}},
    )
    def latest(
        site: SiteName,
        quantity: Literal["absorbance", "column"] = "column",
        output: Annotated[Literal["png", "npy"], Query(alias="format")] = "png",
        width: Annotated[int | None, Query(ge=64, le=2048, description="of the picture [px]")] = None,
    ) -> Response:
        """The newest image: a picture, or the numbers (column density in ppm m, NaN where there is none)."""
        found = _site(context, site)
        images = context.board.images(found.name)
        if images is None:
            raise HTTPException(404, "no image was processed since the station started")
        values = values_of(images, quantity)
        if values is None:
            raise HTTPException(404, "the newest image has no calibration")
        headers = {"X-So2cam-Time": format_utc(images.time), "Cache-Control": "no-cache"}
        if output == "npy":
            return Response(npy_bytes(values), media_type="application/octet-stream", headers=headers)
        data = picture(found.loaded.site, values, quantity, images.time, width=width)
        return Response(data, media_type=_MEDIA[".png"], headers=headers)


def _add_files(router: APIRouter, context: StationContext) -> None:
    @router.get("/sites/{site}/files", tags=["files"])
    def files(
        site: SiteName,
        start: Start = None,
        end: End = None,
        kind: Word | None = None,
        subject: Word | None = None,
        device: Word | None = None,
        limit: Limit = 1000,
    ) -> list[FileOut]:
        """Files of the archive, in order of time; of the last 24 hours without ``start``."""
        name = _site(context, site).name
        first, last = _bounds(start, end)
        found = context.catalogue.find_files(
            name, kind=kind, subject=subject, device=device, start=first, end=last, limit=limit, newest=True
        )
        return [FileOut.of(file) for file in found]

    @router.get("/sites/{site}/files/{file}/{part}", tags=["files"], response_class=Response)
    def content(
        site: SiteName,
        file: Annotated[int, Path(ge=1, le=_LONGEST_ID)],
        part: Literal["content", "sidecar"],
    ) -> Response:
        """A file as it was kept, or its sidecar."""
        found = _site(context, site)
        archived = context.catalogue.files_by_id([file]).get(file)
        if archived is None or archived.site != found.name:
            raise HTTPException(404, "there is no such file")
        return _file_response(found, archived, part)


def _file_response(site: StationSite, file: ArchivedFile, part: str) -> Response:
    if part == "sidecar" and file.sidecar is None:
        raise HTTPException(404, "the file has no sidecar")
    path = site.archive.path_of(file, sidecar=part == "sidecar")
    if not path.is_file():
        raise HTTPException(404, "the file is missing from the archive")
    sha256 = file.sidecar_sha256 if part == "sidecar" else file.sha256
    media = _MEDIA.get(path.suffix, "application/octet-stream")
    return FileResponse(path, media_type=media, filename=path.name, headers={"X-So2cam-Sha256": sha256 or ""})
