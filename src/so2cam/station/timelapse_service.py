"""Time-lapse videos of the days that are over, made from the archive while the station runs."""

import logging
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import numpy.typing as npt

from so2cam.core.errors import FrameFileError, So2camError
from so2cam.core.records import Band, FrameInfo, FrameKind
from so2cam.core.site import Site
from so2cam.formats.image_files import read_frame
from so2cam.formats.one_file import frames_of_file
from so2cam.station.context import StationContext, StationSite
from so2cam.station.timelapse import TimelapseOptions, TimelapseReport, write_timelapse

_LOG = logging.getLogger(__name__)
_DAYS_BACK: Final = 3
_AFTER_MIDNIGHT: Final = timedelta(minutes=30)
"""Files of the day's end may still come."""


def counts_reader(site: Site) -> Callable[[FrameInfo], npt.NDArray[Any] | None]:
    """Return what reads a frame's counts; None for a file that cannot be used."""
    optics, most = site.camera.optics, site.camera.sensor.maximum_dn

    def read(info: FrameInfo) -> npt.NDArray[Any] | None:
        try:
            return read_frame(info, width=optics.width_px, height=optics.height_px, maximum_dn=most).counts
        except FrameFileError:
            return None

    return read


def film_title(site: Site, band: Band) -> str:
    """Return what stands below each frame of a film."""
    return f"{site.volcano.name}, {site.name}, {band.value} band"


def video_path(folder: Path, day: datetime, band: Band) -> Path:
    """Return where the video of a day stands."""
    return folder / f"{day:%Y}" / f"{day:%Y-%m-%d}-{band.value}-band.mp4"


def archived_frames(context: StationContext, site: StationSite, day: datetime, band: Band) -> list[FrameInfo]:
    """Return the plume frames of a band of ``day`` (its midnight, UTC) in the archive."""
    frames: list[FrameInfo] = []
    files = site.loaded.site.files
    for file in context.catalogue.find_files(
        site.name, kind="frame", subject="plume", start=day, end=day + timedelta(days=1)
    ):
        try:
            found = frames_of_file(site.archive.path_of(file), files)
        except FrameFileError:
            continue
        frames += [frame for frame in found if frame.band is band and frame.kind is FrameKind.PLUME]
    return frames


class TimelapseService:
    """Makes the video of each day that is over, for a supervisor; days that have one are left."""

    def __init__(
        self,
        context: StationContext,
        site: StationSite,
        folder: Path,
        *,
        band: Band = Band.ON,
        options: TimelapseOptions | None = None,
        every_s: float = 600.0,
    ) -> None:
        self.name = f"timelapse/{site.name}"
        self._context, self._site, self._folder = context, site, folder
        self._band, self._options, self._every_s = band, options, every_s

    def make(self, now: datetime) -> list[TimelapseReport]:
        """Make the videos that are missing of the last days. What fails is logged, and tried again."""
        today = (now - _AFTER_MIDNIGHT).replace(hour=0, minute=0, second=0, microsecond=0)
        made = []
        for back in range(_DAYS_BACK, 0, -1):
            day = today - timedelta(days=back)
            path = video_path(self._folder, day, self._band)
            if path.exists():
                continue
            frames = archived_frames(self._context, self._site, day, self._band)
            if not frames:
                continue
            title = film_title(self._site.loaded.site, self._band)
            try:
                made.append(
                    write_timelapse(
                        frames, path, counts_reader(self._site.loaded.site), title=title, options=self._options
                    )
                )
            except So2camError as error:
                _LOG.warning("no video of %s: %s", f"{day:%Y-%m-%d}", error)
        return made

    def run(self, stop: threading.Event) -> None:
        """See ``Service``."""
        while not stop.is_set():
            self.make(datetime.now(UTC))
            stop.wait(self._every_s)
