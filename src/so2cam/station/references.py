"""Which calibration files a day is processed with: of every kind those of the day nearest to it.

The day itself comes first, then the day before, the day after, and so on, at most ``station.reference_days`` away.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Final

from so2cam.core.errors import FrameFileError
from so2cam.core.records import FrameInfo
from so2cam.core.spectra import SpectrumInfo
from so2cam.station.arrivals import FRAME, SPECTRUM, Recogniser
from so2cam.station.catalogue import ArchivedFile
from so2cam.station.cell_run import folder_of, left_out
from so2cam.station.context import StationSite

_LOG = logging.getLogger(__name__)
REFERENCES: Final = (
    (FRAME, "dark"),
    (FRAME, "clear"),
    (FRAME, "cell"),
    (SPECTRUM, "dark"),
    (SPECTRUM, "clear"),
)
PLUME: Final = "plume"
_REGISTRATION_FRAMES: Final = 80


@dataclass(frozen=True, slots=True)
class ReferenceInfos:
    """Calibration files as a run wants them, and their ids."""

    frames: tuple[FrameInfo, ...]
    spectra: tuple[SpectrumInfo, ...]
    ids: tuple[int, ...]


def day_bounds(day: str) -> tuple[datetime, datetime]:
    """Return the first moment of a day (UTC, as ``2026-03-01``), and of the next."""
    start = datetime.combine(date.fromisoformat(day), datetime.min.time(), UTC)
    return start, start + timedelta(days=1)


def day_of(time: datetime) -> str:
    """Return the day (UTC) of a time."""
    return f"{time.astimezone(UTC):%Y-%m-%d}"


def choose_references(site: StationSite, day: str) -> list[ArchivedFile]:
    """Return the calibration files for a day, in order of time within each kind.

    Frames of cells that somebody found to be wrong are left out (``cell_run``).
    """
    catalogue, name = site.archive.catalogue, site.name
    start, end = day_bounds(day)
    margin = timedelta(days=site.settings.reference_days)
    chosen: list[ArchivedFile] = []
    for kind, subject in REFERENCES:
        days = catalogue.days_with(name, kind, subject, start=start - margin, end=end + margin)
        if days:
            nearest = min(days, key=lambda other: _distance(other, day))
            first, last = day_bounds(nearest)
            chosen += catalogue.find_files(name, kind=kind, subject=subject, start=first, end=last)
    if site.loaded.site.registration.source == "automatic":
        chosen += catalogue.find_files(
            name, kind=FRAME, subject=PLUME, end=start, newest=True, limit=_REGISTRATION_FRAMES
        )
    left = left_out(folder_of(site))
    return [file for file in chosen if file.origin not in left]


def read_references(site: StationSite, files: Sequence[ArchivedFile]) -> ReferenceInfos:
    """Return calibration files as a run wants them; one that cannot be read is left out, and said so."""
    recogniser = Recogniser(site.loaded.site)
    frames: list[FrameInfo] = []
    spectra: list[SpectrumInfo] = []
    ids: list[int] = []
    for file in files:
        try:
            infos = recogniser.infos(site.archive.path_of(file))
        except FrameFileError as error:
            _LOG.warning("%s is not used: %s", file.path, error.message)
            continue
        if isinstance(infos, SpectrumInfo):
            spectra.append(infos)
        else:
            frames.extend(infos)
        ids.append(file.id)
    return ReferenceInfos(tuple(frames), tuple(spectra), tuple(ids))


def _distance(other: str, day: str) -> tuple[int, bool]:
    days = (date.fromisoformat(other) - date.fromisoformat(day)).days
    return abs(days), days > 0
