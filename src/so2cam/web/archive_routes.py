"""The HTTP side of the archive page: images of archived pairs, films as numbers, files one by one and as a zip."""

from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Final

from fastapi import Depends, FastAPI, HTTPException, Path, Query, Request, Response
from fastapi.responses import FileResponse, StreamingResponse

from so2cam.core.errors import InputError, So2camError
from so2cam.core.records import Band
from so2cam.core.status import QUALITY_TEXT, STATUS_TEXT, EmissionStatus
from so2cam.station.archive_images import ArchiveImages
from so2cam.station.archive_view import ArchiveView, Film
from so2cam.station.archive_zip import path_in, zip_of
from so2cam.station.catalogue import TOTAL
from so2cam.station.context import StationSite
from so2cam.station.day_products import day_product
from so2cam.station.live_images import Quantity
from so2cam.store.items import to_microseconds
from so2cam.web.archive_state import query_of, read_state
from so2cam.web.live_routes import json_answer, packed_json, site_admission
from so2cam.web.state import Pages

DAY: Final = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$"
MOST_FILES: Final = 20_000
"""Files in one zip."""
_US: Final = Query(ge=0, le=7_258_118_400_000_000)
_NO_STORE: Final = {"Cache-Control": "no-store"}
_FRESH_S: Final = 3.0
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def add_archive_routes(app: FastAPI, pages: Pages) -> None:
    """Add the routes to the station's application."""
    admitted = site_admission(pages)
    view = ArchiveView(pages.context.catalogue)
    images = {
        site.name: ArchiveImages(pages.context, site, pages.setup_frames[site.name]) for site in pages.context.sites
    }

    @app.get("/pages/sites/{site}/archive/image/{quantity}", include_in_schema=False)
    async def image(
        found: Annotated[StationSite, Depends(admitted)], quantity: Quantity, time: Annotated[int, _US]
    ) -> Response:
        at = _EPOCH + timedelta(microseconds=time)
        try:
            message = await pages.values.get(
                (found.name, "archive-image", quantity, time), 0.0, lambda: images[found.name].message(quantity, at)
            )
        except InputError as error:
            raise HTTPException(404, error.message) from None
        except So2camError as error:
            raise HTTPException(409, str(error)) from None
        tag = f'"{quantity}-{time}"'
        headers = {"ETag": tag, **_NO_STORE, "Content-Encoding": "identity"}
        return Response(message, media_type="application/octet-stream", headers=headers)

    @app.get("/pages/sites/{site}/archive/film", include_in_schema=False)
    async def film(
        request: Request,
        found: Annotated[StationSite, Depends(admitted)],
        line: Annotated[str, Query(max_length=64)],
        method: Annotated[str, Query(max_length=32, pattern=r"^[a-z_]+$")],
    ) -> Response:
        asked = dict(request.query_params)
        query = query_of(read_state({**asked, "scope": ""}), pages.context, found)

        def make() -> tuple[bytes, bytes]:
            devices = [] if query.asks_results else view.devices(query)
            on = (one for one in devices if images[found.name].band_of(one, query) is Band.ON)
            device = next(on, None)  # the film of a span without results goes by its times
            motion = found.loaded.site.lines[0].name if line == TOTAL else None
            made = view.film(query, line=line, method=method, motion_of=motion, device=device)
            return packed_json(film_json(made))

        key = (found.name, "archive-film", query, line, method)
        return json_answer(request, await pages.values.get(key, _FRESH_S, make))

    @app.get("/pages/sites/{site}/archive/file/{number}/{part}", include_in_schema=False)
    def file(found: Annotated[StationSite, Depends(admitted)], number: int, part: str) -> Response:
        known = pages.context.catalogue.files_by_id([number]).get(number)
        if known is None or known.site != found.name or part not in ("main", "sidecar"):
            raise HTTPException(404, "there is no such file")
        path = path_in(found, known, part)
        if path is None:
            raise HTTPException(404, "the archive does not have this file any more")
        return FileResponse(path, filename=path.name, media_type="application/octet-stream", headers=_NO_STORE)

    @app.get("/pages/sites/{site}/archive/day/{day}/{name}", include_in_schema=False)
    def of_day(
        found: Annotated[StationSite, Depends(admitted)],
        day: Annotated[str, Path(pattern=DAY)],
        name: Annotated[str, Path(max_length=200)],
        show: bool = False,
    ) -> Response:
        try:
            product = day_product(pages.context, found, day, name)
        except InputError as error:
            raise HTTPException(404, error.message) from None
        return FileResponse(
            product.path,
            filename=product.name,
            media_type=product.media,
            content_disposition_type="inline" if show else "attachment",
            headers={"Cache-Control": "private, no-cache"},
        )

    @app.get("/pages/sites/{site}/archive/zip", include_in_schema=False)
    def several(
        request: Request,
        found: Annotated[StationSite, Depends(admitted)],
        ids: Annotated[str, Query(max_length=20_000, pattern=r"^[0-9,]*$")] = "",
    ) -> Response:
        if ids:
            wanted = [int(one) for one in ids.split(",") if 0 < len(one) < 16]
        else:
            query = query_of(read_state(dict(request.query_params)), pages.context, found)
            wanted = view.ids(query, MOST_FILES + 1)
        if len(wanted) > MOST_FILES:
            raise HTTPException(422, f"more than {MOST_FILES} files: choose a shorter time")
        files = pages.context.catalogue.files_by_id(wanted)
        if not files:
            raise HTTPException(404, "there are no such files")
        chosen = [files[one] for one in wanted if one in files]
        sites = {site.name: site for site in pages.context.sites}
        sites = {name: sites[name] for name in dict.fromkeys(one.site for one in chosen) if name in sites}
        chosen = [one for one in chosen if one.site in sites]
        name = f"archive-{chosen[0].time:%Y%m%dT%H%M}-{len(chosen)}-files.zip"
        headers = {**_NO_STORE, "Content-Disposition": f'attachment; filename="{name}"'}
        return StreamingResponse(zip_of(sites, chosen), media_type="application/zip", headers=headers)


def film_json(film: Film) -> dict[str, Any]:
    """Return a film as plain lists: times in microseconds since 1970, values in SI units, what their codes mean."""
    rates = [step.rate for step in film.steps]

    def values(name: str) -> list[float | None]:
        return [None if rate is None else _short(getattr(rate, name)) for rate in rates]

    status = [-1 if rate is None else rate.status for rate in rates]
    met = sorted(set(status) - {-1})
    flags = [step.flags for step in film.steps]
    return {
        "pairs": film.pairs,
        "every": film.every,
        "processed": film.processed,
        "t": [to_microseconds(step.time) for step in film.steps],
        **{name: values(name) for name in ("rate", "random", "systematic", "speed", "speed_uncertainty", "direction")},
        "amount": values("amount"),
        "status": status,
        "flags": flags,
        "status_text": {one: STATUS_TEXT[EmissionStatus(one)] for one in met},
        "flag_text": {int(flag): text for flag, text in QUALITY_TEXT.items()},
    }


def _short(value: float | None) -> float | None:
    return None if value is None else float(f"{value:.5g}")
