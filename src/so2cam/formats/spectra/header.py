"""Headers of iFit's spectra: rows ``# key: value`` above two columns of numbers.

Three generations are read: ``Integration time: 200 (ms)`` with ``Date/Time (end of read)``, ``Integration time (ms):
200`` with ``Timestamp``, and bare keys (``integration_time``, ``coadds``, ``timestamp``, ``lat``, ``lon``, ``alt``).
Values of ``?`` are unknown. Keys that are not needed may be anything.
"""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Final

from so2cam.core.errors import FrameFileError
from so2cam.formats.names import MAXIMUM_EXPOSURE_S
from so2cam.formats.patterns import MAXIMUM_COADDS
from so2cam.formats.spectra.columns import to_number

_ROW = re.compile(r"#\s*([^#:][^:]*?(?:\([^)]*\))?)\s*:(.*)")
_TIME = re.compile(
    r"([0-9]{4})-([0-9]{2})-([0-9]{2})[T ]([0-9]{2}):([0-9]{2}):([0-9]{2})(?:\.([0-9]{1,6}))?\s*"
    r"(Z|[+-][0-9]{2}:?[0-9]{2})?"
)
_UNKNOWN = re.compile(r"\?*|none|nan|n/a|-1(?:\.0*)?", re.IGNORECASE)
_INTEGRATION = re.compile(r"([0-9]{1,10}(?:\.[0-9]{0,12})?)\s*(?:\(?(us|ms|s)\)?)?", re.IGNORECASE)
_UNIT = re.compile(r".*\((us|ms|s)\)")
_YEARS: Final = range(1970, 2200)
_SECONDS: Final = {"us": 1e-6, "ms": 1e-3, "s": 1.0}
_TIME_KEYS: Final = ("date/time", "timestamp", "time", "date_time", "datetime")
_REMEDY: Final = "correct the header, or set the value in spectrometer.files of the site file and remove it here"


@dataclass(frozen=True, slots=True)
class SpectrumHeader:
    """What a header says; None for what it does not. ``time`` is as written, taken as UTC where it has no zone."""

    time: datetime | None
    time_resolution_s: float
    zoned: bool
    """Whether the time was written with its zone."""
    integration_time_s: float | None
    coadds: int | None
    latitude_deg: float | None
    longitude_deg: float | None
    altitude_m: float | None


def parse_header(text: str, file: Path | str) -> SpectrumHeader:
    """Return what the rows with ``#`` at the beginning of ``text`` say.

    Raises FrameFileError for a value that cannot be: a time, an integration time, a number of coadds.
    """
    values = _read_rows(text)
    time, resolution_s, zoned = _find_time(values, file)
    latitude, longitude, altitude = (_find_number(values, key) for key in ("lat", "lon", "alt"))
    if not _is_place(latitude, longitude):
        latitude = longitude = altitude = None
    return SpectrumHeader(
        time=time,
        time_resolution_s=resolution_s,
        zoned=zoned,
        integration_time_s=_find_integration(values, file),
        coadds=_find_coadds(values, file),
        latitude_deg=latitude,
        longitude_deg=longitude,
        altitude_m=altitude,
    )


def _read_rows(text: str) -> dict[str, str]:
    values: dict[str, str] = {}
    for row in text.removeprefix("\ufeff").splitlines():
        content = row.strip()
        if not content.startswith("#"):
            if content:
                break
            continue
        match = _ROW.fullmatch(content)
        if match is not None:
            values.setdefault(match[1].strip().lower(), match[2].strip())
    return values


def _find_time(values: Mapping[str, str], file: Path | str) -> tuple[datetime | None, float, bool]:
    for key, text in values.items():
        if key.partition(" (")[0] not in _TIME_KEYS or _UNKNOWN.fullmatch(text):
            continue
        match = _TIME.fullmatch(text)
        remedy = "times are written like 2018-01-14 09:25:53.250; correct the header"
        if match is None:
            raise FrameFileError("the header's time cannot be read", file=file, key=key, value=text, remedy=remedy)
        fraction = match[7] or ""
        try:
            year, month, day, hour, minute, second = (int(match[i]) for i in range(1, 7))
            time = datetime(year, month, day, hour, minute, second, int(fraction.ljust(6, "0")), _zone(match[8]))
        except ValueError:
            year = 0
        if year not in _YEARS:
            raise FrameFileError("the header's time is impossible", file=file, key=key, value=text, remedy=remedy)
        return time.astimezone(UTC), round(10.0 ** -len(fraction), 6), match[8] is not None
    return None, 1.0, False


def _zone(text: str | None) -> timezone:
    if text is None or text == "Z":
        return UTC
    offset = timedelta(hours=int(text[1:3]), minutes=int(text[-2:]))
    return timezone(-offset if text[0] == "-" else offset)


def _find_integration(values: Mapping[str, str], file: Path | str) -> float | None:
    for key, text in values.items():
        if not key.replace("_", " ").startswith("integration time"):
            continue
        plain = text.removesuffix("(ms)").strip()
        if _UNKNOWN.fullmatch(plain):
            return None
        match = _INTEGRATION.fullmatch(text)
        in_key = _UNIT.fullmatch(key)
        seconds = math.nan
        if match is not None:
            unit = match[2] or (in_key[1] if in_key is not None else "ms")
            seconds = round(float(match[1]) * _SECONDS[unit.lower()], 12)
        if not 0 < seconds <= MAXIMUM_EXPOSURE_S:
            raise FrameFileError(
                f"the header's integration time is not above 0 and up to {MAXIMUM_EXPOSURE_S:g} s",
                file=file,
                key=key,
                value=text,
                remedy=_REMEDY,
            )
        return seconds
    return None


def _find_coadds(values: Mapping[str, str], file: Path | str) -> int | None:
    for key in ("number of coadds", "coadds"):
        text = values.get(key)
        if text is None or _UNKNOWN.fullmatch(text):
            continue
        number = int(text) if re.fullmatch(r"[0-9]{1,9}", text) else 0
        if not 1 <= number <= MAXIMUM_COADDS:
            raise FrameFileError(
                f"the header's number of coadds is not from 1 to {MAXIMUM_COADDS}",
                file=file,
                key=key,
                value=text,
                remedy=_REMEDY,
            )
        return number
    return None


def _find_number(values: Mapping[str, str], key: str) -> float | None:
    number = to_number(values.get(key, ""))
    return number if number is not None and math.isfinite(number) else None


def _is_place(latitude: float | None, longitude: float | None) -> bool:
    """Tell whether there is a place; a receiver without a fix writes 0, 0."""
    if latitude is None or longitude is None:
        return False
    return abs(latitude) <= 90 and abs(longitude) <= 180 and not latitude == longitude == 0
