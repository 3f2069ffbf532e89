"""Tracks of a satellite receiver: a table of times and places, and the place at a time.

Columns are found by their names in the header row: time (or date and time), latitude, longitude, altitude; others do
not matter. Times are UTC. Where a column ``type`` is given, only rows of tracks (``T``) count.
"""

import csv
import math
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Final

import numpy as np

from so2cam.core.errors import InputError
from so2cam.core.records import FloatArray
from so2cam.core.spectra import SpectrumInfo
from so2cam.core.times import parse_utc, to_unix_s
from so2cam.formats.spectra.columns import decode, to_number

MAXIMUM_GAP_S: Final = 30.0
"""Between fixes further apart than this [s] the place is not known."""
_MAXIMUM_BYTES: Final = 200_000_000
_NAMES: Final = {
    "time": ("time", "datetime", "date time", "timestamp", "utc", "time (utc)"),
    "date": ("date",),
    "latitude": ("latitude", "lat"),
    "longitude": ("longitude", "lon", "long", "lng"),
    "altitude": ("altitude", "alt", "elevation", "ele", "height"),
    "type": ("type",),
}
_REMEDY: Final = "give a table with the columns time (UTC), latitude, longitude and, if known, altitude"


@dataclass(frozen=True, slots=True)
class Position:
    """A place on WGS84: degrees north and east, metres above sea level (None where it is not known)."""

    latitude_deg: float
    longitude_deg: float
    altitude_m: float | None


@dataclass(frozen=True, slots=True)
class GpsTrack:
    """Fixes in order of time, arrays (N,): seconds since 1970 UTC, degrees north and east, metres (NaN: unknown)."""

    unix_s: FloatArray
    latitude_deg: FloatArray
    longitude_deg: FloatArray
    altitude_m: FloatArray

    def position_at(self, time: datetime, *, maximum_gap_s: float = MAXIMUM_GAP_S) -> Position | None:
        """Return the place at ``time``, linear between the fixes around it.

        None before the first fix, after the last one, and between fixes more than ``maximum_gap_s`` apart.
        """
        moment = to_unix_s(time)
        after = bisect_left(self.unix_s, moment)
        if after == self.unix_s.size:
            return None
        if self.unix_s[after] == moment:
            return self._between(after, after, 0.0)
        if after == 0:
            return None
        gap = float(self.unix_s[after] - self.unix_s[after - 1])
        if gap > maximum_gap_s:
            return None
        return self._between(after - 1, after, (moment - float(self.unix_s[after - 1])) / gap)

    def _between(self, i: int, j: int, share: float) -> Position:
        east = (float(self.longitude_deg[j] - self.longitude_deg[i]) + 180.0) % 360.0 - 180.0
        longitude = (float(self.longitude_deg[i]) + share * east + 180.0) % 360.0 - 180.0
        altitude = _linear(self.altitude_m, i, j, share)
        return Position(
            latitude_deg=_linear(self.latitude_deg, i, j, share),
            longitude_deg=float(self.longitude_deg[i]) if share == 0 else longitude,
            altitude_m=altitude if math.isfinite(altitude) else None,
        )


def add_positions(spectra: Iterable[SpectrumInfo], track: GpsTrack) -> tuple[SpectrumInfo, ...]:
    """Return ``spectra`` with their places from ``track``; those that have one keep it."""
    return tuple(_placed(info, track) for info in spectra)


def _placed(info: SpectrumInfo, track: GpsTrack) -> SpectrumInfo:
    position = track.position_at(info.time) if info.latitude_deg is None else None
    if position is None:
        return info
    return replace(
        info,
        latitude_deg=position.latitude_deg,
        longitude_deg=position.longitude_deg,
        altitude_m=position.altitude_m,
    )


def read_gps_track(path: Path) -> GpsTrack:
    """Return the track in the table ``path``: parted by tabs, semicolons or commas.

    Rows without a place (no fix) are left out; of rows of one time the first counts. Raises InputError, with the row
    and column, where it cannot be read, has no header or no fix, or holds an impossible time or place.
    """
    try:
        with path.open("rb") as stream:
            data = stream.read(_MAXIMUM_BYTES + 1)
    except OSError as error:
        raise InputError(
            f"cannot be read: {error.strerror or error}", file=path, remedy="check spectrometer.files.gps_track"
        ) from error
    if len(data) > _MAXIMUM_BYTES:
        raise InputError("is too large for a track", file=path, remedy=_REMEDY)
    return parse_gps_track(decode(data), path)


def parse_gps_track(text: str, file: Path | str) -> GpsTrack:
    """Return the track in ``text``; ``file`` names it in errors. Raises InputError as ``read_gps_track`` does."""
    columns: dict[str, int] | None = None
    fixes: dict[float, tuple[float, float, float]] = {}
    for number, row in enumerate(text.splitlines(), start=1):
        if not row.strip() or row.lstrip().startswith("#"):
            continue
        if columns is None:
            parting = next((mark for mark in "\t;," if mark in row), None)
        cells = _split(row, parting)
        named = _find_columns(cells)
        if named is not None:  # the header; some programs repeat it for every part
            columns = named
        elif columns is None:
            raise InputError("does not begin with a header row", file=file, key=f"row {number}", remedy=_REMEDY)
        else:
            fix = _parse_fix(cells, columns, file, number)
            if fix is not None:
                fixes.setdefault(fix[0], fix[1:])
    if not fixes:
        raise InputError("holds no fixes", file=file, remedy=_REMEDY)
    table = np.array([(moment, *fixes[moment]) for moment in sorted(fixes)]).T
    return GpsTrack(*(np.ascontiguousarray(values) for values in table))


def _linear(values: FloatArray, i: int, j: int, share: float) -> float:
    return float(values[i]) if share == 0 else float(values[i] + share * (values[j] - values[i]))


def _split(row: str, parting: str | None) -> list[str]:
    if parting == ",":
        try:
            return [cell.strip() for cell in next(csv.reader([row]), [])]
        except csv.Error:
            return []
    return [cell.strip().strip('"') for cell in row.split(parting)]


def _find_columns(cells: Sequence[str]) -> dict[str, int] | None:
    names = [cell.casefold() for cell in cells]
    columns: dict[str, int] = {}
    for what, choices in _NAMES.items():
        for index, name in enumerate(names):
            if name in choices or name.partition(" (")[0] in choices or name.partition("[")[0].strip() in choices:
                columns.setdefault(what, index)
    return columns if {"time", "latitude", "longitude"} <= columns.keys() else None


def _parse_fix(
    cells: Sequence[str], columns: dict[str, int], file: Path | str, number: int
) -> tuple[float, float, float, float] | None:
    """Return (time, latitude, longitude, altitude) of a row, or None where it holds no fix of a track."""
    row = {what: cells[index] if index < len(cells) else "" for what, index in columns.items()}
    if "type" in row and row["type"].upper() not in ("T", "TRACK", "TRACKPOINT"):
        return None
    if not (row["time"] and row["latitude"] and row["longitude"]):
        return None
    written = f"{row['date']} {row['time']}" if row.get("date") else row["time"]
    try:
        time = to_unix_s(parse_utc(written.replace("/", "-")))
    except (ValueError, OverflowError):
        raise InputError(
            "is no time",
            file=file,
            key=f"row {number}, time",
            value=written,
            remedy="write it like 2018-01-14 15:38:43",
        ) from None
    place = []
    for what, limit in (("latitude", 90.0), ("longitude", 180.0)):
        value = to_number(row[what])
        if value is None or not abs(value) <= limit:
            raise InputError(
                f"is not within -{limit:g} and {limit:g} degrees",
                file=file,
                key=f"row {number}, {what}",
                value=row[what],
                remedy="write degrees with decimals; correct or remove the row",
            )
        place.append(value)
    altitude = to_number(row.get("altitude", ""))
    known = altitude is not None and math.isfinite(altitude)
    return time, place[0], place[1], altitude if known and altitude is not None else math.nan
