"""Folders of frames: every layout of existing instruments, with what is skipped and why.

Folders are searched to any depth, so flat, dated, hourly and doubled layouts and the base station's ``Seq_n`` and
``Cal_n`` need no setting. Hidden files and folders and everything that is not a PNG file are ignored.
"""

import heapq
import json
import math
import os
import re
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from enum import StrEnum
from pathlib import Path
from typing import Final

from so2cam.core.errors import FrameFileError, InputError
from so2cam.core.records import Band, FrameInfo, FrameKind
from so2cam.core.site import Files
from so2cam.core.times import to_unix_s
from so2cam.formats.names import (
    MAXIMUM_EXPOSURE_S,
    MAXIMUM_GAIN,
    MINIMUM_GAIN,
    is_derived_product,
    parse_image_name,
)

CLOCK_TOLERANCE_S: Final = 2.0
"""Steps of the clock up to this size [s] are not told apart from stamps of 1 s."""
_MAXIMUM_SIDECAR_BYTES: Final = 4_000_000
_DIGITS = re.compile(r"([0-9]+)")


class SkipCategory(StrEnum):
    """Why a file is not among the frames (for ``BAD_SIDECAR``: why it was not used)."""

    UNREADABLE_NAME = "unreadable-name"
    DERIVED = "derived"
    LOCKED = "locked"
    DUPLICATE = "duplicate"
    CLOCK_SET_BACK = "clock-set-back"
    BAD_SIDECAR = "bad-sidecar"
    """The sidecar is not used; its frame is, with the values in its name."""
    NOT_A_FILE = "not-a-file"
    UNREADABLE_FOLDER = "unreadable-folder"


@dataclass(frozen=True, slots=True)
class SkippedFile:
    """A file that is not used, and why."""

    path: Path
    category: SkipCategory
    reason: str


@dataclass(frozen=True, slots=True)
class FrameScan:
    """What a search of folders found: frames by (time, band, name), and what was skipped, in order of paths."""

    frames: tuple[FrameInfo, ...]
    skipped: tuple[SkippedFile, ...]


@dataclass(frozen=True, slots=True)
class _Folder:
    """One folder as listed: names of its regular files, PNG files in natural order, odd entries and problems."""

    path: Path
    real: Path
    names: frozenset[str]
    images: tuple[str, ...]
    links: frozenset[str]
    skipped: tuple[SkippedFile, ...]


def natural_key(text: str) -> tuple[tuple[str | int, ...], str]:
    """Return a sorting key by which ``Seq_2`` comes before ``Seq_10``."""
    parts = _DIGITS.split(text.casefold())
    return tuple(int(part) if index % 2 else part for index, part in enumerate(parts)), text


def scan_frames(folders: Sequence[Path], files: Files) -> FrameScan:
    """Return every frame below ``folders``, and every PNG file that is not used with the reason.

    ``files`` has the band tags. No image is opened; sidecars (``.json`` beside an image) are read, and their
    exposure and gain win over the name's. Raises InputError where a folder is missing, is no folder, cannot be
    read or holds no PNG file.
    """
    if not folders:
        raise InputError("no folder of images is given", remedy="name at least one folder")
    listings = _list_all(folders)
    found: list[FrameInfo] = []
    skipped: list[SkippedFile] = []
    whole = {listing.real: listing for listing in listings}
    linked: set[Path] = set()
    for listing in sorted(listings, key=lambda item: [natural_key(part) for part in item.path.parts]):
        skipped.extend(listing.skipped)
        for name in listing.images:
            path = listing.path / name
            if name in listing.links and _is_known(path, whole, linked):
                continue
            frame = _examine(path, listing.names, files, skipped)
            if frame is not None:
                found.append(frame)
    kept = _drop_duplicates(_drop_clock_set_back(found, skipped), skipped)
    kept.sort(key=lambda info: (info.time, info.band, info.path.name, info.path))
    skipped.sort(key=lambda item: [natural_key(part) for part in item.path.parts])
    return FrameScan(tuple(kept), tuple(skipped))


# --- listing -----------------------------------------------------------------------------------------------------


def _list_all(folders: Sequence[Path]) -> list[_Folder]:
    """List all folders below ``folders``, each once however it is reached."""
    listings: dict[Path, _Folder] = {}
    for root in folders:
        _require_folder(root)
        holds_images = False
        waiting = [root]
        while waiting:
            path = waiting.pop()
            real = path.resolve()
            if real in listings:
                holds_images |= any(item.images and item.real.is_relative_to(real) for item in listings.values())
                continue
            try:
                listing, below = _list(path, real)
            except OSError as error:
                if path == root:
                    raise _unreadable(root, error) from error
                reason = f"the folder cannot be read: {error.strerror or error}"
                listing = _Folder(
                    path,
                    real,
                    frozenset(),
                    (),
                    frozenset(),
                    (SkippedFile(path, SkipCategory.UNREADABLE_FOLDER, reason),),
                )
                below = []
            listings[real] = listing
            holds_images |= bool(listing.images or listing.skipped)
            waiting.extend(below)
        if not holds_images:
            raise InputError(
                "holds no PNG file, in itself or below",
                file=root,
                remedy="name the folder that holds the camera's images",
            )
    return list(listings.values())


def _require_folder(root: Path) -> None:
    try:
        if not root.exists():
            raise InputError("does not exist", file=root, remedy="check the path; is the disk mounted?")
        if not root.is_dir():
            raise InputError("is not a folder", file=root, remedy="name the folder that holds the images")
    except OSError as error:
        raise _unreadable(root, error) from error


def _unreadable(root: Path, error: OSError) -> InputError:
    return InputError(
        f"cannot be read: {error.strerror or error}", file=root, remedy="check the folder's permissions and the disk"
    )


def _list(path: Path, real: Path) -> tuple[_Folder, list[Path]]:
    """Return the listing of one folder and the folders in it. Raises OSError where it cannot be read."""
    names: list[str] = []
    images: list[str] = []
    links: list[str] = []
    below: list[Path] = []
    odd: list[SkippedFile] = []
    with os.scandir(path) as entries:
        for entry in entries:
            name = entry.name
            if name.startswith("."):
                continue
            try:
                is_file, is_folder = entry.is_file(), entry.is_dir()
            except OSError:
                is_file = is_folder = False
            is_image = name[-4:].lower() == ".png"
            if is_folder:
                below.append(path / name)
            elif is_file:
                names.append(name)
                if is_image:
                    images.append(name)
                    if entry.is_symlink():
                        links.append(name)
            elif is_image:
                reason = "is not a regular file, or a link to nothing"
                odd.append(SkippedFile(path / name, SkipCategory.NOT_A_FILE, reason))
    images.sort(key=natural_key)
    return _Folder(path, real, frozenset(names), tuple(images), frozenset(links), tuple(odd)), below


def _is_known(link: Path, whole: dict[Path, _Folder], linked: set[Path]) -> bool:
    """Return True where the target of ``link`` is itself among the files, or another link led to it."""
    target = link.resolve()
    home = whole.get(target.parent)
    if target in linked or (home is not None and target.name in home.names and target.name not in home.links):
        return True
    linked.add(target)
    return False


# --- one file ----------------------------------------------------------------------------------------------------


def _examine(path: Path, names: frozenset[str], files: Files, skipped: list[SkippedFile]) -> FrameInfo | None:
    """Return the frame of one PNG file, or None with an entry in ``skipped``."""
    stem = path.name[:-4]
    if f"{stem}.lock" in names:
        reason = "a .lock file beside it says that it is still being written (or its writing was cut off)"
        skipped.append(SkippedFile(path, SkipCategory.LOCKED, reason))
        return None
    try:
        info = parse_image_name(path, files)
    except FrameFileError as error:
        category = SkipCategory.DERIVED if is_derived_product(path.name) else SkipCategory.UNREADABLE_NAME
        value = "" if error.value is None else f" (found {error.value!r})"
        skipped.append(SkippedFile(path, category, error.message + value))
        return None
    sidecar = f"{stem}.json"
    if sidecar not in names:
        return info
    try:
        return _apply_sidecar(info, path.with_name(sidecar))
    except (OSError, ValueError, OverflowError, RecursionError) as error:
        reason = f"the values in the image's name are used instead: {error}"
        skipped.append(SkippedFile(path.with_name(sidecar), SkipCategory.BAD_SIDECAR, reason))
        return info


def _apply_sidecar(info: FrameInfo, sidecar: Path) -> FrameInfo:
    """Return ``info`` with the sidecar's values. Raises ValueError, OSError or RecursionError for a broken one."""
    with sidecar.open("rb") as stream:
        data = stream.read(_MAXIMUM_SIDECAR_BYTES + 1)
    if len(data) > _MAXIMUM_SIDECAR_BYTES:
        raise ValueError("the file is too large")
    content = json.loads(data)
    if not isinstance(content, dict):
        raise ValueError("it is not a JSON object")  # noqa: TRY004 - one error type for a broken sidecar
    exposure_us = _positive(content, "ExposureTime")
    gain = _positive(content, "AnalogueGain")
    sensor_ns = _positive(content, "SensorTimestamp")
    exposure_s = info.exposure_s if exposure_us is None else exposure_us / 1e6
    if exposure_s > MAXIMUM_EXPOSURE_S:
        raise ValueError(f"ExposureTime is above {MAXIMUM_EXPOSURE_S:g} s: {exposure_us!r} microseconds")
    if gain is not None and not MINIMUM_GAIN <= gain <= MAXIMUM_GAIN:
        raise ValueError(f"AnalogueGain is not within {MINIMUM_GAIN:g} and {MAXIMUM_GAIN:g}: {gain!r}")
    return replace(
        info,
        time=info.start_time + timedelta(seconds=exposure_s / 2),
        exposure_s=exposure_s,
        gain=info.gain if gain is None else gain,
        sensor_timestamp_s=None if sensor_ns is None else sensor_ns * 1e-9,
    )


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
