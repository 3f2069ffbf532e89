"""What follows from the frames that are known before a day begins: live runs and set-up pages build it alike."""

from collections.abc import Sequence
from dataclasses import dataclass

from so2cam.core.errors import InputError
from so2cam.core.records import FrameInfo, FrameKind, FramePair
from so2cam.core.site import Site
from so2cam.pipeline.cell_frames import find_cell_frames
from so2cam.pipeline.frames import DarkLibrary, FrameReader
from so2cam.pipeline.geometry import resolve_view
from so2cam.pipeline.pairing import pair_plume
from so2cam.pipeline.registration import resolve_registration


@dataclass(frozen=True, slots=True)
class KnownBefore:
    """The site with its view and registration found, the frames with their cells found, the darks, and notes in words.

    ``references.build_references`` makes the rest of it.
    """

    site: Site
    frames: tuple[FrameInfo, ...]
    darks: DarkLibrary
    notes: tuple[str, ...]


def know_before(site: Site, frames: Sequence[FrameInfo], reader: FrameReader) -> KnownBefore:
    """Return what ``frames`` give: calibration frames, and plume frames of earlier days where a registration is found.

    Raises InputError or SiteFileError where view, cells or registration cannot be found.
    """
    viewed, view_notes = resolve_view(site)
    known, cell_notes = find_cell_frames(viewed, frames, reader)
    darks = DarkLibrary([frame for frame in known if frame.kind is FrameKind.DARK], viewed.processing, reader)
    earlier: tuple[FramePair, ...] = ()
    if viewed.registration.source == "automatic":
        earlier = pair_plume(known, viewed.processing.pairing).pairs
        if not earlier:
            raise InputError(
                "needs pairs of an earlier time, and there are none",
                key="registration.source",
                value="automatic",
                remedy="give the plume frames of an earlier day too, or set the matrix that `so2cam register` finds",
            )
    resolved, registration_notes = resolve_registration(viewed, earlier, darks, reader)
    return KnownBefore(resolved, tuple(known), darks, (*view_notes, *cell_notes, *registration_notes))
