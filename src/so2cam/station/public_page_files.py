"""Making the public page: its pictures, then its HTML, each replaced whole."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path
from threading import Event
from typing import Final

import numpy as np

from so2cam import __version__
from so2cam.core.records import FloatArray
from so2cam.core.site_publication import PublicPage
from so2cam.core.times import format_utc
from so2cam.formats.images.record import ImageRecord
from so2cam.station.public_page import IMAGE, PLOT, PageContent, PageRate, PageState, build_page
from so2cam.station.public_page_plots import DAY, Picture, draw_image, draw_last_day
from so2cam.store.atomic import atomic_write_bytes

INDEX: Final = "index.html"
STATUS: Final = "status.json"
_STEP_LIMIT: Final = timedelta(minutes=10)


@dataclass(frozen=True, slots=True)
class PageInputs:
    """What is known of a site now. ``times``, ``rates_kg_s`` and ``uncertainties_kg_s`` (T,) of the last 24 hours, in
    order; NaN where there is no rate. ``how``: line and method in words. ``image``: of the newest pair.
    """

    now: datetime
    volcano: str
    site: str
    state: PageState
    how: str
    times: Sequence[datetime] = ()
    rates_kg_s: FloatArray = field(default_factory=lambda: np.empty(0))
    uncertainties_kg_s: FloatArray = field(default_factory=lambda: np.empty(0))
    image: ImageRecord | None = None
    metres_per_pixel: float | None = None


def write_page(folder: Path, inputs: PageInputs, settings: PublicPage) -> tuple[Path, ...]:
    """Write the page and its pictures into ``folder``, the page last; return their paths. Raises OSError.

    Without an image, the last one stays.
    """
    plot = draw_last_day(inputs.times, inputs.rates_kg_s, inputs.uncertainties_kg_s, now=inputs.now, unit=settings.unit)
    content = replace(page_content(inputs), plot_size=plot.size)
    made = [_write(folder / PLOT, plot)]
    known = _read_status(folder / STATUS)
    if inputs.image is not None:
        picture = draw_image(inputs.image, site=inputs.site, metres_per_pixel=inputs.metres_per_pixel)
        made.append(_write(folder / IMAGE, picture))
        content = replace(content, image_time=inputs.image.time, image_size=picture.size)
    elif known is not None and (folder / IMAGE).is_file():
        content = replace(content, image_time=known[0], image_size=known[1])
    atomic_write_bytes(folder / STATUS, _status(content).encode())
    atomic_write_bytes(folder / INDEX, build_page(content, settings).encode())
    return (*made, folder / STATUS, folder / INDEX)


def page_content(inputs: PageInputs) -> PageContent:
    """Return what the page says of ``inputs``, without pictures."""
    known = np.flatnonzero(np.isfinite(inputs.rates_kg_s))
    rate = mean = None
    hours = 0.0
    if known.size:
        last = int(known[-1])
        rate = PageRate(
            inputs.times[last], float(inputs.rates_kg_s[last]), float(inputs.uncertainties_kg_s[last]), inputs.how
        )
        hours = _measured_hours([inputs.times[int(i)] for i in known])
        mean = float(np.mean(inputs.rates_kg_s[known]))
    return PageContent(
        volcano=inputs.volcano,
        site=inputs.site,
        made=inputs.now,
        state=inputs.state,
        rate=rate,
        mean_kg_s=mean,
        mean_hours=min(hours, DAY.total_seconds() / 3600),
        version=__version__,
    )


class PageService:
    """Makes the page for a supervisor, every ``every_s``; ``read`` says what is known now."""

    def __init__(
        self, name: str, folder: Path, settings: PublicPage, read: Callable[[], PageInputs], *, every_s: float = 60.0
    ) -> None:
        self.name = f"page/{name}"
        self._folder, self._settings, self._read, self._every_s = folder, settings, read, every_s

    def run(self, stop: Event) -> None:
        """See ``Service``."""
        while not stop.is_set():
            write_page(self._folder, self._read(), self._settings)
            stop.wait(self._every_s)


def _measured_hours(times: Sequence[datetime]) -> float:
    """Return how long rates are known: the sum of the steps between them that are no gaps [h]."""
    steps = [after - before for before, after in pairwise(times)]
    return sum((step for step in steps if step <= _STEP_LIMIT), timedelta()).total_seconds() / 3600


def _write(path: Path, picture: Picture) -> Path:
    atomic_write_bytes(path, picture.data)
    return path


def _status(content: PageContent) -> str:
    """Return the page's facts as JSON, for other programs."""
    rate = content.rate
    facts = {
        "site": content.site,
        "volcano": content.volcano,
        "made": format_utc(content.made),
        "state": content.state,
        "emission_rate_kg_s": None if rate is None else rate.rate_kg_s,
        "uncertainty_kg_s": None if rate is None or not np.isfinite(rate.uncertainty_kg_s) else rate.uncertainty_kg_s,
        "time": None if rate is None else format_utc(rate.time),
        "mean_of_24_h_kg_s": content.mean_kg_s,
        "image_time": None if content.image_time is None else format_utc(content.image_time),
        "image_size": content.image_size,
    }
    return json.dumps(facts, indent=1) + "\n"


def _read_status(path: Path) -> tuple[datetime, tuple[int, int]] | None:
    """Return time and size of the image that stands there from before."""
    try:
        facts = json.loads(path.read_text(encoding="utf-8"))
        width, height = facts["image_size"]
        return datetime.fromisoformat(facts["image_time"]), (int(width), int(height))
    except (OSError, ValueError, KeyError, TypeError):
        return None
