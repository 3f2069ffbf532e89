"""The files of every day: ``results/SITE/YYYY/YYYY-MM-DD.nc`` and ``.csv``, from what the catalogue has.

They are written anew, whole, when results of their day changed, at most every ``station.products_every_s``.
"""

import logging
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from so2cam.formats.products import write_emission_csv, write_emission_netcdf
from so2cam.pipeline.output import write_together
from so2cam.station.context import StationContext, StationSite
from so2cam.station.pair_json import series_of
from so2cam.station.references import day_bounds
from so2cam.station.result_origin import provenance_of, result_origin

_LOG = logging.getLogger(__name__)
_LONGEST_LOOK_S: Final = 5.0


def daily_paths(results: Path, day: str) -> tuple[Path, Path]:
    """Return the netCDF and the CSV file of a day (``2026-03-01``) below the results of a site."""
    folder = results / day[:4]
    return folder / f"{day}.nc", folder / f"{day}.csv"


def write_daily(site: StationSite, day: str, *, command: str = "so2cam station run") -> tuple[Path, Path] | None:
    """Write the files of a day; return their paths, None where it has no results. Raises OutputError."""
    catalogue = site.archive.catalogue
    start, end = day_bounds(day)
    rows = list(catalogue.pairs(site.name, start=start, end=end))
    if not rows:
        return None
    series = series_of(rows)
    origin = result_origin(catalogue, site.name, start=start, end=end)
    provenance = provenance_of(origin.content(site.loaded), site.loaded, command)
    netcdf, table = daily_paths(site.results, day)
    write_together(
        (
            (netcdf, lambda path: write_emission_netcdf(path, series, provenance)),
            (table, lambda path: write_emission_csv(path, series)),
        )
    )
    return netcdf, table


class DailyFiles:
    """The service that writes the files of every day of all sites."""

    def __init__(self, context: StationContext, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._context, self._clock = context, clock
        self._written: dict[tuple[str, str], float] = {}

    @property
    def name(self) -> str:
        """The service's name."""
        return "daily-files"

    def run(self, stop: threading.Event) -> None:
        """Write what changed until told to stop, and once more then."""
        while not stop.is_set():
            self.write_changed()
            stop.wait(min(self._context.settings.products_every_s, _LONGEST_LOOK_S))
        self.write_changed(all_now=True)

    def write_changed(self, *, all_now: bool = False) -> list[Path]:
        """Write the files of all days whose results changed; of one written a moment ago only with ``all_now``."""
        written: list[Path] = []
        for site in self._context.sites:
            for day in self._context.catalogue.days(site.name):
                if day.written == day.changed and daily_paths(site.results, day.day)[0].is_file():
                    continue
                now, last = self._clock(), self._written.get((site.name, day.day))
                if last is not None and now - last < site.settings.products_every_s and not all_now:
                    continue
                paths = write_daily(site, day.day)
                self._written[site.name, day.day] = now
                if paths is not None:
                    self._context.catalogue.set_written(day)
                    written += paths
        return written
