"""Folders of frames: every layout of existing instruments, with what is skipped and why.

Folders are searched to any depth, so flat, dated, hourly and doubled layouts and the base station's ``Seq_n`` and
``Cal_n`` need no setting. Hidden files and folders are ignored, and everything that is not of the format that the
site file's ``[files]`` names.
"""

import heapq
import math
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from so2cam.core.errors import FrameFileError, InputError
from so2cam.core.records import Band, FrameInfo, FrameKind
from so2cam.core.site import Files
from so2cam.core.times import to_unix_s
from so2cam.formats.listing import SkipCategory, SkippedFile, is_known, list_folders, natural_key
from so2cam.formats.names import MAXIMUM_EXPOSURE_S, MAXIMUM_GAIN, MINIMUM_GAIN, is_derived_product
from so2cam.formats.naming import FrameNaming, SidecarValues, frame_naming
from so2cam.formats.native import load_sidecar, parse_own

__all__ = [
    "CLOCK_TOLERANCE_S",
    "FrameScan",
    "SkipCategory",
    "SkippedFile",
    "arrange_frames",
    "examine_frame",
    "natural_key",
    "scan_frames",
]

CLOCK_TOLERANCE_S: Final = 2.0
"""Steps of the clock up to this size [s] are not told apart from stamps of 1 s."""


@dataclass(frozen=True, slots=True)
class FrameScan:
    """What a search of folders found: frames by (time, band, name), and what was skipped, in order of paths."""

    frames: tuple[FrameInfo, ...]
    skipped: tuple[SkippedFile, ...]


def scan_frames(folders: Sequence[Path], files: Files) -> FrameScan:
    """Return every frame below ``folders``, and every image file that is not used with the reason.

    ``files`` says how names are read. No pixels are read. Sidecars (``.json`` beside an image) are read, and their
    exposure and gain win over the name's; FITS headers are read where they are needed. A dark without a band is
    there twice, once for each band, with one path. Raises InputError where a folder is missing, is no folder,
    cannot be read or holds no image file, and SiteFileError where ``files.pattern`` is no pattern.
    """
    if not folders:
        raise InputError("no folder of images is given", remedy="name at least one folder")
    naming = frame_naming(files)
    listings = list_folders(folders, naming.suffixes)
    found: list[FrameInfo] = []
    skipped: list[SkippedFile] = []
    by_real_path = {listing.real: listing for listing in listings}
    linked: set[Path] = set()
    for listing in listings:
        skipped.extend(listing.skipped)
        for name in listing.images:
            path = listing.path / name
            if name not in listing.links or not is_known(path, by_real_path, linked):
                found.extend(examine_frame(path, listing.names, naming, skipped))
    return arrange_frames(found, skipped)


def arrange_frames(found: Sequence[FrameInfo], skipped: Iterable[SkippedFile] = ()) -> FrameScan:
    """Return frames found one by one as a search of folders returns them: in order, without copies and doubtful ones.

    Of copies the first is kept. ``skipped`` are files left out before.
    """
    left_out = list(skipped)
    kept = _drop_duplicates(_drop_clock_set_back(found, left_out), left_out)
    kept.sort(key=lambda info: (info.time, info.band, info.path.name, info.path))
    left_out.sort(key=lambda item: [natural_key(part) for part in item.path.parts])
    return FrameScan(tuple(kept), tuple(left_out))


# --- one file ----------------------------------------------------------------------------------------------------


def examine_frame(
    path: Path, names: frozenset[str], naming: FrameNaming, skipped: list[SkippedFile]
) -> tuple[FrameInfo, ...]:
    """Return the frames of one image file, or none with an entry in ``skipped``; ``names`` are those of its folder."""
    stem = path.name.rpartition(".")[0]
    if f"{stem}.lock" in names:
        reason = "a .lock file beside it says that it is still being written (or its writing was cut off)"
        skipped.append(SkippedFile(path, SkipCategory.LOCKED, reason))
        return ()
    try:
        named = naming.parse(path)
    except FrameFileError as error:
        category = SkipCategory.DERIVED if is_derived_product(path.name) else SkipCategory.UNREADABLE_NAME
        skipped.append(SkippedFile(path, category, _reason(error)))
        return ()
    sidecar = _sidecar(path.with_name(f"{stem}.json"), skipped) if f"{stem}.json" in names else None
    try:
        header = naming.header(named)
        if header is not None and header.derived:
            reason = f"is a computed image, not a frame: its header has {', '.join(header.derived)} set"
            skipped.append(SkippedFile(path, SkipCategory.DERIVED, reason))
            return ()
        return naming.frames(named, header, sidecar)
    except FrameFileError as error:
        skipped.append(SkippedFile(path, SkipCategory.UNUSABLE_VALUES, _reason(error)))
        return ()


def _reason(error: FrameFileError) -> str:
    where = "" if error.key is None else f"{error.key}: "
    value = "" if error.value is None else f" (found {error.value!r})"
    return f"{where}{error.message}{value}"


def _sidecar(path: Path, skipped: list[SkippedFile]) -> SidecarValues | None:
    """Return what the sidecar ``path`` says, or None with an entry in ``skipped`` where it is broken."""
    try:
        return _read_sidecar(path)
    except (OSError, ValueError, OverflowError, RecursionError) as error:
        reason = f"the values in the image's name are used instead: {error}"
        skipped.append(SkippedFile(path, SkipCategory.BAD_SIDECAR, reason))
        return None


def _read_sidecar(path: Path) -> SidecarValues:
    """Return the sidecar's values. Raises ValueError, OSError or RecursionError for a broken one."""
    content = load_sidecar(path)
    exposure_us = _positive(content, "ExposureTime")
    gain = _positive(content, "AnalogueGain")
    sensor_ns = _positive(content, "SensorTimestamp")
    exposure_s = None if exposure_us is None else exposure_us / 1e6
    if exposure_s is not None and exposure_s > MAXIMUM_EXPOSURE_S:
        raise ValueError(f"ExposureTime is above {MAXIMUM_EXPOSURE_S:g} s: {exposure_us!r} microseconds")
    if gain is not None and not MINIMUM_GAIN <= gain <= MAXIMUM_GAIN:
        raise ValueError(f"AnalogueGain is not within {MINIMUM_GAIN:g} and {MAXIMUM_GAIN:g}: {gain!r}")
    return SidecarValues(exposure_s, gain, None if sensor_ns is None else sensor_ns * 1e-9, parse_own(content).time)


def _positive(content: dict[str, object], key: str) -> float | None:
    """Return the number ``key``, or None where it is absent. Raises ValueError where it is no positive number."""
    if key not in content:
        return None
    value = content[key]
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"{key} is not a number: {value!r:.80}")  # noqa: TRY004 - as above
    number = float(value)
    if not (math.isfinite(number) and number > 0):
        raise ValueError(f"{key} is not a positive number: {value!r}")
    return number


# --- all files together ------------------------------------------------------------------------------------------


def _drop_duplicates(frames: Iterable[FrameInfo], skipped: list[SkippedFile]) -> list[FrameInfo]:
    """Keep the first of frames that say the same of themselves.

    Frames of one band are never taken at once, so band, kind, start and cell label tell copies. Dark sets run
    through many exposures within one second: there the exposure and gain belong to it.
    """
    first: dict[tuple[object, ...], FrameInfo] = {}
    for info in frames:
        key: tuple[object, ...] = (info.band, info.kind, info.start_time, info.cell_ppm_m)
        if info.kind is FrameKind.DARK:
            key += (info.exposure_s, info.gain)
        earlier = first.setdefault(key, info)
        if earlier is not info:
            reason = f"of the same band, type and time as {earlier.path}, which is used"
            skipped.append(SkippedFile(info.path, SkipCategory.DUPLICATE, reason))
    return list(first.values())


def _drop_clock_set_back(frames: Sequence[FrameInfo], skipped: list[SkippedFile]) -> list[FrameInfo]:
    """Drop frames that were taken after the clock was set back, among stamps that it had given out before.

    The stamp minus the sensor's own time is constant while the computer runs, and a restart or a step forward
    increases it. Only where the clock was set back do frames of a lower offset stand between frames of one and
    the same higher offset: their order in time cannot be told from the stamps.
    """
    dropped: dict[int, float] = {}
    for band in Band:
        timed = [
            (index, to_unix_s(info.start_time), to_unix_s(info.start_time) - info.sensor_timestamp_s)
            for index, info in enumerate(frames)
            if info.band is band and info.sensor_timestamp_s is not None
        ]
        timed.sort(key=lambda item: item[1])
        offsets = [item[2] for item in timed]
        for position, step_s in _enclosed_by_higher(offsets):
            dropped[timed[position][0]] = step_s
    for index, step_s in dropped.items():
        reason = (
            f"the computer's clock was set back by about {step_s:.0f} s, and earlier frames have the same stamps: "
            "the order in time is not known"
        )
        skipped.append(SkippedFile(frames[index].path, SkipCategory.CLOCK_SET_BACK, reason))
    return [info for index, info in enumerate(frames) if index not in dropped]


def _enclosed_by_higher(offsets: Sequence[float]) -> list[tuple[int, float]]:
    """Return (position, depth) of values that lie between two equal, higher ones (equal: to the tolerance)."""
    spans: list[tuple[int, int, float]] = []
    levels: list[tuple[float, int]] = []
    for position, offset in enumerate(offsets):
        place = bisect_left(levels, (offset - CLOCK_TOLERANCE_S, -1))
        near = place
        while near < len(levels) and levels[near][0] <= offset + CLOCK_TOLERANCE_S:
            value, last = levels[near]
            if position - last > 1:
                spans.append((last, position, min(value, offset)))
            near += 1
        levels[place:near] = [(offset, position)]
    spans.sort()
    enclosed: list[tuple[int, float]] = []
    open_spans: list[tuple[float, int]] = []
    following = 0
    for position, offset in enumerate(offsets):
        while following < len(spans) and spans[following][0] < position:
            _, end, level = spans[following]
            heapq.heappush(open_spans, (-level, end))
            following += 1
        while open_spans and open_spans[0][1] <= position:
            heapq.heappop(open_spans)
        if open_spans and -open_spans[0][0] - offset > CLOCK_TOLERANCE_S:
            enclosed.append((position, -open_spans[0][0] - offset))
    return enclosed
