"""What the public page says of a site, read from the station: catalogue, newest images, alarms."""

from datetime import UTC, datetime, timedelta
from typing import Final

import numpy as np

from so2cam.core.status import EmissionStatus
from so2cam.pipeline.records import PairImages
from so2cam.pipeline.run_images import ImageRequest, image_record
from so2cam.station.alarms import expected_since
from so2cam.station.alarms_store import AlarmStore
from so2cam.station.catalogue_records import TOTAL
from so2cam.station.context import StationContext, StationSite
from so2cam.station.public_page import PageState
from so2cam.station.public_page_files import PageInputs
from so2cam.station.public_page_plots import DAY

_COLUMNS: Final = ImageRequest(formats=(), quantities=("columns",))
_SILENT: Final = timedelta(minutes=15)


class PageSource:
    """Reads what the page says of one site. Raises CatalogueError where the catalogue refuses."""

    def __init__(self, context: StationContext, site: StationSite, alarms: AlarmStore) -> None:
        self._context, self._station_site, self._alarms = context, site, alarms
        self._site = site.loaded.site

    def read(self) -> PageInputs:
        """Return what is known now."""
        now = datetime.now(UTC)
        method = self._site.processing.speed.methods[0]
        entered = self._context.catalogue.rates(self._site.name, start=now - DAY, line=TOTAL, method=method)
        rates = [rate for rate in entered if rate.status != EmissionStatus.PENDING]
        images = self._context.board.images(self._site.name)
        return PageInputs(
            now=now,
            volcano=self._site.volcano.name,
            site=self._site.name,
            state=self._state(now),
            how=f"{' + '.join(self._site.total_lines)}, {method.replace('_', ' ')}",
            times=[rate.time for rate in rates],
            rates_kg_s=np.array([np.nan if rate.rate is None else rate.rate for rate in rates], np.float64),
            uncertainties_kg_s=np.array([np.hypot(rate.random or np.nan, rate.systematic or 0.0) for rate in rates]),
            image=None if images is None else image_record(self._site, images, _COLUMNS),
            metres_per_pixel=None if images is None else metres_per_pixel(images),
        )

    def _state(self, now: datetime) -> PageState:
        if any(event.level == "alarm" for event in self._alarms.events(self._site.name, open_only=True)):
            return "fault"
        since = expected_since(self._site, now)
        if since is None:
            return "resting"
        files = self._context.catalogue.find_files(
            self._site.name, kind="frame", start=now - _SILENT, newest=True, limit=1
        )
        return "measuring" if files or now - since < _SILENT else "silent"


def metres_per_pixel(images: PairImages) -> float | None:
    """Return what a pixel is worth at the plume [m], the mean over the lines; None where that is not known."""
    steps = [float(line.normal_step_m.mean()) for line in images.geometry.lines.values()]
    mean = float(np.mean(steps)) if steps else float("nan")
    return mean if np.isfinite(mean) else None
