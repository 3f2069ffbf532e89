"""What a run will work on: frames found, paired, and checked for what they need."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from so2cam.core.errors import InputError
from so2cam.core.records import Band, FrameInfo, FrameKind, FramePair
from so2cam.core.site import Site
from so2cam.core.times import format_utc
from so2cam.formats.folder import FrameScan, SkippedFile, scan_frames
from so2cam.pipeline.cell_frames import find_cell_frames
from so2cam.pipeline.frames import DarkLibrary, FrameReader
from so2cam.pipeline.pairing import pair_plume


@dataclass(frozen=True, slots=True)
class RunPlan:
    """What a run will work on."""

    frames: tuple[FrameInfo, ...]
    """All calibration frames, and the plume frames of the time range."""
    pairs: tuple[FramePair, ...]
    unpaired: tuple[FrameInfo, ...]
    skipped: tuple[SkippedFile, ...]
    test_frames: int
    notes: tuple[str, ...] = ()


FrameSource = Sequence[Path] | FrameScan
"""Where the frames of a run are: folders to be searched, or frames found already."""


def plan_run(
    site: Site,
    source: FrameSource,
    *,
    start: datetime | None = None,
    end: datetime | None = None,
    reader: FrameReader | None = None,
) -> RunPlan:
    """Find and pair the frames of ``source``. ``start`` and ``end`` (UTC) limit plume frames only.

    ``reader`` reads the frames of a cell search. Raises InputError where there is nothing to process, and says what
    is missing.
    """
    scan = source if isinstance(source, FrameScan) else scan_frames(source, site.files)
    frames, notes = find_cell_frames(site, scan.frames, FrameReader(site) if reader is None else reader)
    if start is not None and end is not None and end <= start:
        raise InputError("--end is not after --start", value=format_utc(end), remedy="give a later --end")
    where = "the files given" if isinstance(source, FrameScan) else ", ".join(str(folder) for folder in source)

    def wanted(frame: FrameInfo) -> bool:
        return (start is None or frame.time >= start) and (end is None or frame.time < end)

    plume = {band: [f for f in frames if f.kind is FrameKind.PLUME and f.band is band and wanted(f)] for band in Band}
    if not plume[Band.ON] and not plume[Band.OFF]:
        kinds = Counter(str(frame.kind) for frame in frames)
        found = ", ".join(f"{count} {kind}" for kind, count in sorted(kinds.items())) or "no frame at all"
        outside = ""
        if start or end:
            times = [frame.time for frame in frames if frame.kind is FrameKind.PLUME]
            there = f", which go from {format_utc(min(times))} to {format_utc(max(times))}" if times else ""
            outside = f" in the time range given{there}"
        raise InputError(
            f"no plume frames in {where}{outside} (found: {found}; {len(scan.skipped)} files skipped)",
            remedy="name the folders that hold the sequence, and check the time range and [files] of the site file",
        )
    for band, other in ((Band.ON, Band.OFF), (Band.OFF, Band.ON)):
        if not plume[band]:
            tag = site.files.on_band if band is Band.ON else site.files.off_band
            raise InputError(
                f"{len(plume[other])} {other}-band plume frames, but none of the {band} band (*_{tag}_*) in {where}",
                remedy=f"add the folder of the {band} band to --frames; an SO2 camera's absorbance needs both bands",
            )
    settings = site.processing.pairing
    pairing = pair_plume((*plume[Band.ON], *plume[Band.OFF]), settings)
    if not pairing.pairs and settings.off_band == "interpolated":
        raise InputError(
            f"none of {len(plume[Band.ON])} on-band plume frames lies between two off-band frames at most "
            f"{settings.maximum_gap_s:g} s apart",
            key="processing.pairing.maximum_gap_s",
            remedy='check the clocks of the two cameras, widen the gap, or set off_band = "nearest"',
        )
    if not pairing.pairs:
        raise InputError(
            f"none of {len(plume[Band.ON])} on-band and {len(plume[Band.OFF])} off-band plume frames lie within "
            f"{site.processing.pairing.tolerance_s:g} s of each other",
            key="processing.pairing.tolerance_s",
            remedy="check the clocks of the two cameras, or widen the tolerance",
        )
    calibration = [frame for frame in frames if frame.kind not in (FrameKind.PLUME, FrameKind.TEST)]
    test_frames = sum(frame.kind is FrameKind.TEST for frame in frames)
    return RunPlan(
        frames=(*calibration, *plume[Band.ON], *plume[Band.OFF]),
        pairs=pairing.pairs,
        unpaired=pairing.unpaired,
        skipped=scan.skipped,
        test_frames=test_frames,
        notes=notes,
    )


def require_darks(plan: RunPlan, darks: DarkLibrary, site: Site, reader: FrameReader) -> None:
    """Raise InputError where no pair at all has darks for both of its frames."""
    found: dict[tuple[Band, float, float], bool] = {}

    def has_dark(frame: FrameInfo) -> bool:
        setting = (frame.band, frame.exposure_s, frame.gain)
        if setting not in found:
            found[setting] = darks.dark_for(frame) is not None
        return found[setting]

    if any(has_dark(pair.on) and has_dark(pair.off) for pair in plan.pairs):
        return
    first = plan.pairs[0]
    frame = first.off if has_dark(first.on) else first.on
    raise InputError(
        f"no dark frame matches the plume frames: {frame.band} band, gain {frame.gain:g}, exposure "
        f"{1e3 * frame.exposure_s:.3f} ms within {100 * site.processing.dark.exposure_tolerance:g} %"
        + reader.explain(dark for dark in plan.frames if dark.kind is FrameKind.DARK and dark.band is frame.band),
        file=frame.path,
        remedy="add a folder with darks (type Dark) of that band, gain and exposure to --frames, or set "
        "processing.dark.exposure_tolerance if their exposures really differ",
    )
