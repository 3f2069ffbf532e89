"""A film of one band over a range of the archive: the run that makes it."""

import logging
from pathlib import Path
from typing import Final

from so2cam.core.records import Band, FrameKind
from so2cam.formats.folder import FrameScan
from so2cam.formats.sitefile import LoadedSite
from so2cam.station.run_store import RunRecord
from so2cam.station.run_tell import finish, progress
from so2cam.station.timelapse import write_timelapse
from so2cam.station.timelapse_service import counts_reader, film_title

_LOG = logging.getLogger(__name__)
FILM: Final = "film.mp4"


def write_film(folder: Path, record: RunRecord, loaded: LoadedSite, found: FrameScan) -> None:
    """Write the film of a run and say what it holds. Raises So2camError as ``write_timelapse`` does."""
    band = record.band or Band.ON
    frames = [frame for frame in found.frames if frame.kind is FrameKind.PLUME and frame.band is band]
    made = write_timelapse(
        frames,
        folder / FILM,
        counts_reader(loaded.site),
        title=film_title(loaded.site, band),
        progress=progress("drawing frames"),
    )
    warnings = (f"{made.unreadable} frames could not be read",) if made.unreadable else ()
    for warning in warnings:
        _LOG.warning("%s", warning)
    summary = (("film", f"{band.value} band, {made.frames} of {len(frames)} frames, {made.seconds:.1f} s"),)
    finish(folder, summary=summary, warnings=warnings, frames=made.frames)
    _LOG.info("done: %d frames", made.frames)
