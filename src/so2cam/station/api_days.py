"""What the station has made of each day, for other programs: files of results, videos and keograms."""

from typing import Annotated

from fastapi import APIRouter, HTTPException, Path
from fastapi.responses import FileResponse, Response
from pydantic import BaseModel

from so2cam.core.errors import InputError
from so2cam.station.context import StationContext, StationSite
from so2cam.station.day_products import day_product, day_products

SiteName = Annotated[str, Path(min_length=1, max_length=64, description="name of the site")]
Day = Annotated[str, Path(pattern=r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$")]


class DayFileOut(BaseModel):
    """A file of a day."""

    name: str
    what: str
    bytes: int


def days_router(context: StationContext) -> APIRouter:
    """Return the addresses below ``/api/v1``."""
    router = APIRouter(tags=["results"])

    def found(site: str) -> StationSite:
        try:
            return context.site(site)
        except KeyError:
            raise HTTPException(404, "there is no such site") from None

    @router.get("/sites/{site}/days/{day}/files")
    def files(site: SiteName, day: Day) -> list[DayFileOut]:
        """What was made of a day: results, and videos and keograms where the site has a publication."""
        return [
            DayFileOut(name=one.name, what=one.words, bytes=one.path.stat().st_size)
            for one in day_products(context, found(site), day)
        ]

    @router.get("/sites/{site}/days/{day}/files/{name}", response_class=Response)
    def file(site: SiteName, day: Day, name: Annotated[str, Path(min_length=1, max_length=200)]) -> Response:
        """One of these files."""
        try:
            product = day_product(context, found(site), day, name)
        except InputError as error:
            raise HTTPException(404, error.message) from None
        return FileResponse(product.path, media_type=product.media, filename=product.name)

    return router
