"""Names of image files: reading and building those of both generations of instruments.

``{time}_{band tag}_{gain}_{exposure}ss_{type}.png`` with the exposure in whole microseconds and the gain as
``1ag`` (generation 1) or ``1.0`` (generation 2). The time is UTC and marks the start of the exposure,
``2018-03-26T144408``, optionally with a fraction of a second, ``2024-11-01T090000.250``. Types are ``Plume``,
``Dark``, ``Clear``, ``Test`` and ``{N}ppmm`` for a gas cell of N ppm m; upper and lower case are alike. so2cam's own
instrument may put its sequence number behind, ``_n00000123``, which tells names apart and means nothing else.

``files.stamp`` and ``files.utc_offset_hours`` change what the time marks and in which zone it is. Other names are
read by ``formats.naming``.
"""

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from so2cam.core.errors import FrameFileError
from so2cam.core.records import Band, FrameInfo, FrameKind
from so2cam.core.times import require_utc

if TYPE_CHECKING:  # the site file's models take their time to load, and a device's process needs none of them
    from so2cam.core.site import Files

MAXIMUM_EXPOSURE_S: Final = 3600.0
"""Longest exposure [s] that is taken for real."""
MINIMUM_GAIN: Final = 1e-3
MAXIMUM_GAIN: Final = 1000.0
"""Gains outside these limits are taken for a damaged name."""
_YEARS: Final = range(1970, 2200)

_STAMP = re.compile(r"([0-9]{4})-([0-9]{2})-([0-9]{2})T([0-9]{2})([0-9]{2})([0-9]{2})(?:\.([0-9]{1,6}))?")
_GAIN = re.compile(r"([0-9]{1,8}(?:\.[0-9]{1,20})?)(?:ag)?", re.IGNORECASE)
_EXPOSURE = re.compile(r"([0-9]{1,12})ss", re.IGNORECASE)
_CELL = re.compile(r"([0-9]{1,7}(?:\.[0-9]{1,20})?)ppmm", re.IGNORECASE)
_TAG = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9_.-]*[A-Za-z0-9])?")
_NUMBER = re.compile(r"_n[0-9]{8,19}(?:x[0-9a-f]{8,16})?$")
_DERIVED = re.compile(r"_darkcorr\.png$|_fltr_|[a-z]mask\.png$", re.IGNORECASE)

_KINDS: Final = {kind.value: kind for kind in FrameKind if kind is not FrameKind.CELL}
_TO_MIDDLE: Final = {"start": 0.5, "middle": 0.0, "end": -0.5}
_EXAMPLE: Final = "2018-03-26T144408_fltrA_1ag_1399829ss_Plume.png"


def is_derived_product(name: str) -> bool:
    """Return True for files that stand among frames but were computed: dark-corrected means and masks."""
    return _DERIVED.search(name) is not None


def parse_image_name(path: Path, files: "Files") -> FrameInfo:
    """Return what the name of the image file ``path`` says; the file itself is not touched.

    ``files`` has the band tags, and what of the exposure the name's time marks. The time of the result is UTC and
    mid-exposure. Raises FrameFileError with the reason and a remedy for every other name.
    """
    try:
        return _parse(path, files)
    except FrameFileError:
        if is_derived_product(path.name):
            raise FrameFileError(
                "is a derived product (dark-corrected mean or mask), not a frame of the camera",
                file=path,
                remedy="nothing; so2cam makes its own from the frames",
            ) from None
        raise


def without_number(stem: str) -> str:
    """Return a name without its ending and without the sequence number that may stand behind it."""
    return _NUMBER.sub("", stem)


def _parse(path: Path, files: "Files") -> FrameInfo:
    stem, dot, suffix = path.name.rpartition(".")
    if not dot or suffix.lower() != "png":
        raise FrameFileError("is not named as a PNG file", file=path, remedy=f"name images like {_EXAMPLE}")
    stamp, _, rest = without_number(stem).partition("_")
    fields = rest.rsplit("_", 3)
    if len(fields) != 4:
        raise FrameFileError(
            "the name is not made of time, band tag, gain, exposure and type",
            file=path,
            remedy=f"name images like {_EXAMPLE}, or move the file elsewhere",
        )
    written, resolution_s = _parse_stamp(path, stamp)
    band = _parse_band(path, fields[0], files)
    gain = _parse_gain(path, fields[1])
    exposure_s = _parse_exposure(path, fields[2])
    meaning = parse_kind(fields[3])
    if meaning is None:
        raise FrameFileError(
            "the name's type is unknown",
            file=path,
            value=fields[3],
            remedy="types are Plume, Dark, Clear, Test and, for a gas cell, its label such as 304ppmm",
        )
    kind, cell_ppm_m = meaning
    return FrameInfo(
        path=path,
        band=band,
        kind=kind,
        time=to_utc(written, files) + timedelta(seconds=stamp_to_middle_s(files, exposure_s)),
        exposure_s=exposure_s,
        gain=gain,
        cell_ppm_m=cell_ppm_m,
        time_resolution_s=resolution_s,
    )


def _parse_stamp(path: Path, stamp: str) -> tuple[datetime, float]:
    remedy = "times are written like 2018-03-26T144408 (UTC, start of exposure); correct the name"
    match = _STAMP.fullmatch(stamp)
    if match is None:
        raise FrameFileError("the name does not begin with a time", file=path, value=stamp, remedy=remedy)
    fraction = match[7] or ""
    try:
        year, month, day, hour, minute, second = (int(match[i]) for i in range(1, 7))
        start = datetime(year, month, day, hour, minute, second, int(fraction.ljust(6, "0")), tzinfo=UTC)
    except ValueError:
        raise FrameFileError("the name has an impossible time", file=path, value=stamp, remedy=remedy) from None
    if year not in _YEARS:
        raise FrameFileError(
            f"the name's year is not within {_YEARS[0]}-{_YEARS[-1]}", file=path, value=stamp, remedy=remedy
        )
    return start, round(10.0 ** -len(fraction), 6)


def _parse_band(path: Path, tag: str, files: "Files") -> Band:
    folded = tag.casefold()
    if folded == files.on_band.casefold():
        return Band.ON
    if folded == files.off_band.casefold():
        return Band.OFF
    raise FrameFileError(
        f"the band tag is neither {files.on_band} nor {files.off_band}",
        file=path,
        value=tag,
        remedy="set files.on_band and files.off_band in the site file to the tags of this camera",
    )


def _parse_gain(path: Path, text: str) -> float:
    match = _GAIN.fullmatch(text)
    if match is None:
        raise FrameFileError(
            "the name has no gain", file=path, value=text, remedy="gains are written like 1ag or 1.0; correct the name"
        )
    gain = float(match[1])
    if not MINIMUM_GAIN <= gain <= MAXIMUM_GAIN:
        raise FrameFileError(
            f"the name's gain is not within {MINIMUM_GAIN:g} and {MAXIMUM_GAIN:g}",
            file=path,
            value=text,
            remedy="correct the name",
        )
    return gain


def _parse_exposure(path: Path, text: str) -> float:
    remedy = "exposures are written in whole microseconds, like 99980ss; correct the name"
    match = _EXPOSURE.fullmatch(text)
    if match is None:
        raise FrameFileError("the name has no exposure", file=path, value=text, remedy=remedy)
    exposure_s = int(match[1]) / 1e6
    if not 0 < exposure_s <= MAXIMUM_EXPOSURE_S:
        raise FrameFileError(
            f"the name's exposure is not above 0 and up to {MAXIMUM_EXPOSURE_S:g} s",
            file=path,
            value=text,
            remedy=remedy,
        )
    return exposure_s


def parse_kind(text: str) -> tuple[FrameKind, float | None] | None:
    """Return the kind that a word of a name means by itself, and a gas cell's label [ppm m]; None for other words."""
    kind = _KINDS.get(text.lower())
    if kind is not None:
        return kind, None
    match = _CELL.fullmatch(text)
    return None if match is None else (FrameKind.CELL, float(match[1]))


def to_utc(written: datetime, files: "Files") -> datetime:
    """Return the UTC time of a time as written in a file's name or header, taken as UTC so far."""
    return written - timedelta(hours=files.utc_offset_hours) if files.utc_offset_hours else written


def stamp_to_middle_s(files: "Files", exposure_s: float) -> float:
    """Return the time from what a name's stamp marks to the middle of the exposure [s]."""
    return _TO_MIDDLE[files.stamp] * exposure_s


def build_image_name(
    *,
    start: datetime,
    tag: str,
    gain: float,
    exposure_s: float,
    kind: FrameKind,
    cell_ppm_m: float | None = None,
    generation: int,
    milliseconds: bool = False,
) -> str:
    """Return the name of an image file.

    ``start`` is the start of the exposure (aware); it is cut to the whole second, as existing instruments do,
    or to the millisecond with ``milliseconds``. ``generation`` is 1 or 2; generation 1 has whole gains only.
    ``exposure_s`` is written to the microsecond. Raises ValueError for what no name can carry.
    """
    moment = require_utc(start)
    microseconds = round(exposure_s * 1e6)
    if moment.year not in _YEARS:
        raise ValueError(f"the year of {moment.isoformat()} is not within {_YEARS[0]}-{_YEARS[-1]}")
    if not _TAG.fullmatch(tag):
        raise ValueError(f"a band tag has letters, digits and _ . - only, got {tag!r}")
    if not 1 <= microseconds <= MAXIMUM_EXPOSURE_S * 1e6:
        raise ValueError(f"exposure must be above 0 and up to {MAXIMUM_EXPOSURE_S:g} s, got {exposure_s!r}")
    stamp = f"{moment:%Y-%m-%dT%H%M%S}"
    if milliseconds:
        stamp += f".{moment.microsecond // 1000:03d}"
    gain_text = _gain_text(gain, generation)
    return f"{stamp}_{tag}_{gain_text}_{microseconds}ss_{_kind_text(kind, cell_ppm_m)}.png"


def _gain_text(gain: float, generation: int) -> str:
    if not MINIMUM_GAIN <= gain <= MAXIMUM_GAIN:
        raise ValueError(f"gain must be within {MINIMUM_GAIN:g} and {MAXIMUM_GAIN:g}, got {gain!r}")
    if generation == 1:
        if gain != int(gain):
            raise ValueError(f"names of generation 1 have whole gains only, got {gain!r}")
        return f"{int(gain)}ag"
    if generation == 2:
        return np.format_float_positional(gain, trim="0")
    raise ValueError(f"generation must be 1 or 2, got {generation!r}")


def _kind_text(kind: FrameKind, cell_ppm_m: float | None) -> str:
    if kind is not FrameKind.CELL:
        if cell_ppm_m is not None:
            raise ValueError(f"a {kind.value} frame has no cell label")
        return kind.value.capitalize()
    if cell_ppm_m is None or not (cell_ppm_m == 0 or 1e-3 <= cell_ppm_m < 1e7):
        raise ValueError(f"a gas cell's label must be 0, or from 0.001 to below 1e7 ppm m, got {cell_ppm_m!r}")
    return f"{np.format_float_positional(cell_ppm_m, trim='-')}ppmm"
