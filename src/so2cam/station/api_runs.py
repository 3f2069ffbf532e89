"""Runs over the archive for other programs: order, follow, cancel, fetch what was made, compare."""

from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, HTTPException, Path, Query, Request
from fastapi.responses import FileResponse, PlainTextResponse, Response

from so2cam.core.errors import InputError
from so2cam.link.protocol import Role
from so2cam.link.tokens import Principal
from so2cam.station.access import Access, AccessRefusedError
from so2cam.station.api_errors import ProblemOut, ProblemRoute
from so2cam.station.api_run_models import CompareOut, RunIn, RunOut
from so2cam.station.compare import (
    LIVE,
    Results,
    compare_series,
    live_results,
    results_of_run,
    settings_that_differ,
)
from so2cam.station.context import StationContext, StationSite
from so2cam.station.drafts import open_draft
from so2cam.station.run_orders import order_of
from so2cam.station.run_store import SITE_FILE, RunRecord
from so2cam.station.runs import Runs

_LOW: Final[dict[int | str, dict[str, Any]]] = {403: {"description": "the role of the token is too low"}}
_REFUSED: Final[dict[int | str, dict[str, Any]]] = {
    422: {"model": ProblemOut, "description": "it cannot be done: why, and what to do"}
}
_Word = Annotated[str, Query(min_length=1, max_length=64)]


def runs_router(context: StationContext, runs: Runs, access: Access) -> APIRouter:
    """Return the addresses below ``/api/v1``."""
    router = APIRouter(tags=["runs"], route_class=ProblemRoute)

    def found_site(
        site: Annotated[str, Path(min_length=1, max_length=64, description="name of the site")],
    ) -> StationSite:
        try:
            return context.site(site)
        except KeyError:
            raise HTTPException(404, "there is no such site") from None

    Site = Annotated[StationSite, Depends(found_site)]

    def found_run(site: Site, run: Annotated[int, Path(ge=1, le=999_999_999, description="its number")]) -> RunRecord:
        try:
            return runs.store(site.name).get(run)
        except InputError:
            raise HTTPException(404, "there is no such run") from None

    Run = Annotated[RunRecord, Depends(found_run)]

    def told(site: StationSite, record: RunRecord) -> RunOut:
        made = tuple(path.name for path in runs.store(site.name).products(record.id) if path.is_file())
        return RunOut.of(record, runs.progress(site.name, record.id), made if record.state == "done" else ())

    @router.get("/sites/{site}/runs")
    def listed(site: Site, limit: Annotated[int, Query(ge=1, le=10_000)] = 100) -> list[RunOut]:
        """Runs of a site, the newest first."""
        return [told(site, record) for record in runs.store(site.name).all()[:limit]]

    @router.post("/sites/{site}/runs", status_code=201, responses=_LOW | _REFUSED)
    def order(request: Request, site: Site, wanted: RunIn) -> RunOut:
        """Queue a run. It never changes live results."""
        who: Principal = request.state.principal
        return told(site, runs.order(site, order_of(wanted.wish(who.name), open_draft(context, site))))

    @router.get("/sites/{site}/runs/{run}")
    def one(site: Site, record: Run) -> RunOut:
        """How a run is: its state, how far it is, what it found and made."""
        return told(site, record)

    @router.get("/sites/{site}/runs/{run}/log", response_class=PlainTextResponse)
    def log(site: Site, record: Run, lines: Annotated[int, Query(ge=1, le=10_000)] = 200) -> PlainTextResponse:
        """The last lines of what a run said."""
        return PlainTextResponse(runs.store(site.name).log(record.id, lines))

    @router.post("/sites/{site}/runs/{run}/cancel", responses=_LOW | _REFUSED)
    def cancel(request: Request, site: Site, record: Run) -> RunOut:
        """Cancel a run that waits or runs; it ends soon after."""
        who: Principal = request.state.principal
        runs.cancel(site.name, record.id, who.name)
        return told(site, runs.store(site.name).get(record.id))

    @router.post("/sites/{site}/runs/{run}/again", responses=_LOW | _REFUSED)
    def again(site: Site, record: Run) -> RunOut:
        """Queue a run that did not end well once more, with the same files."""
        return told(site, runs.again(site.name, record.id))

    @router.delete("/sites/{site}/runs/{run}", status_code=204, responses=_LOW | _REFUSED)
    def delete(request: Request, site: Site, run: Annotated[int, Path(ge=1, le=999_999_999)]) -> None:
        """Delete a run and all that it made (admin)."""
        require(request, Role.ADMIN)
        runs.store(site.name).delete(found_run(site, run).id)

    @router.get("/sites/{site}/runs/{run}/files/{name}", response_class=Response, responses=_LOW)
    def file(
        request: Request,
        site: Site,
        record: Run,
        name: Annotated[str, Path(max_length=80, pattern=r"^[a-z][a-z_.0-9]*$")],
    ) -> Response:
        """A file that a run made, when it is done; its site file (operator), log and order too."""
        if name == SITE_FILE:
            require(request, Role.OPERATOR)
        try:
            path = runs.store(site.name).file(record.id, name)
        except InputError as error:
            raise HTTPException(404, error.message) from None
        return FileResponse(path, filename=f"run-{record.id}-{name}")

    @router.get("/sites/{site}/runs/{run}/compare", responses=_REFUSED)
    def compare(
        site: Site,
        record: Run,
        against: Annotated[str, Query(pattern=r"^(live|[0-9]{1,9})$", description="live, or another run")] = LIVE,
        line: Annotated[_Word | None, Query(description="total where there are several, without it")] = None,
        speed_method: Annotated[_Word | None, Query(description="of the run")] = None,
        against_method: Annotated[_Word | None, Query(description="of the other side")] = None,
    ) -> CompareOut:
        """The figures of a run (b) beside the live results or another run (a)."""
        store = runs.store(site.name)
        b = results_of_run(store, record)
        if against == LIVE:
            a = live_results(context.catalogue, site, record)
        else:
            a = results_of_run(store, store.get(int(against)))
        lines = [name for name in a.lines if name in b.lines]
        chosen = _one_of(line, lines, "line")
        methods = _methods(a, b, chosen, against_method, speed_method)
        found = compare_series(a.series[chosen, methods[0]], b.series[chosen, methods[1]])
        return CompareOut.of(found, (a, b), chosen, methods, settings_that_differ(a, b, site.loaded.path))

    def require(request: Request, role: Role) -> None:
        try:
            access.require(request.state.principal, role)
        except AccessRefusedError as error:
            raise HTTPException(error.status, error.message) from None

    return router


def _methods(a: Results, b: Results, line: str, of_a: str | None, of_b: str | None) -> tuple[str, str]:
    """Return the speed methods of both sides: one that both have, where none is named."""
    known_a = [method for name, method in a.series if name == line]
    known_b = [method for name, method in b.series if name == line]
    both = [method for method in known_b if method in known_a]
    first_a, first_b = (both, both) if both else (known_a, known_b)
    return _one_of(of_a, known_a, "against_method", first_a), _one_of(of_b, known_b, "speed_method", first_b)


def _one_of(asked: str | None, known: list[str], key: str, first: list[str] | None = None) -> str:
    if asked is None and known:
        return (first or known)[0]
    if asked not in known or asked is None:
        remedy = f"name one of {', '.join(known)}" if known else "choose runs over the same time and lines"
        raise InputError("there is none of this name on both sides", key=key, value=asked, remedy=remedy)
    return asked
