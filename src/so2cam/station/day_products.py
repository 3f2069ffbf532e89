"""What a station has made of a day: its files of results, videos and keograms."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from so2cam.core.errors import InputError
from so2cam.station.context import StationContext, StationSite
from so2cam.station.daily import daily_paths
from so2cam.station.publish_services import OutwardPaths

MEDIA: Final = {
    ".nc": "application/x-netcdf",
    ".csv": "text/csv; charset=utf-8",
    ".mp4": "video/mp4",
    ".png": "image/png",
}


@dataclass(frozen=True, slots=True)
class DayProduct:
    """A file of a day, and what people call it."""

    path: Path
    words: str

    @property
    def name(self) -> str:
        """Its name."""
        return self.path.name

    @property
    def media(self) -> str:
        """What kind of content it has, as HTTP says it."""
        return MEDIA[self.path.suffix]


def day_products(context: StationContext, site: StationSite, day: str) -> tuple[DayProduct, ...]:
    """Return what there is of a day (``2026-03-01``): netCDF and CSV, videos, keograms, in this order.

    Videos and keograms are made where the site has a publication.
    """
    netcdf, table = daily_paths(site.results, day)
    found = [DayProduct(path, words) for path, words in ((netcdf, "netCDF"), (table, "CSV")) if path.is_file()]
    folders = OutwardPaths(context.folder).folders(site.results.name)
    for folder, start, end, words in (
        (folders.videos, f"{day}-", "-band.mp4", "video, {} band"),
        (folders.images, f"{day}-keogram-", ".png", "keogram, {}"),
    ):
        if folder is None:
            continue
        for path in sorted((folder / day[:4]).glob(f"{day}-*{end}")):
            if path.name.startswith(start) and path.is_file():
                found.append(DayProduct(path, words.format(path.name[len(start) : -len(end)].replace("-", " "))))
    return tuple(found)


def day_product(context: StationContext, site: StationSite, day: str, name: str) -> DayProduct:
    """Return one of them by its name. Raises InputError where there is none."""
    for product in day_products(context, site, day):
        if product.name == name:
            return product
    raise InputError("the day has no such file", key="name", value=name)
