"""The wind in time, from a CSV file."""

import csv
import math
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

import numpy as np

from so2cam.core.errors import InputError
from so2cam.core.records import FloatArray
from so2cam.core.times import parse_utc, to_unix_s

_REQUIRED: Final = ("time", "speed_m_s", "direction_from_deg")
_LIMITS: Final = {
    "speed_m_s": (0.0, 150.0),
    "direction_from_deg": (-360.0, 360.0),
    "speed_uncertainty_m_s": (1e-9, 100.0),
    "direction_uncertainty_deg": (1e-9, 180.0),
}


@dataclass(frozen=True, slots=True)
class WindSeries:
    """The wind at times (N,), increasing [s since 1970]; speeds [m s-1], directions it comes from [degrees]."""

    times_s: FloatArray
    speed_m_s: FloatArray
    direction_from_deg: FloatArray
    speed_uncertainty_m_s: FloatArray
    direction_uncertainty_deg: FloatArray

    def at(self, time: datetime, *, maximum_gap_s: float) -> tuple[float, float, float, float] | None:
        """Return speed, its sigma, direction and its sigma at ``time``, or None outside of the rows or in a gap.

        Between two rows the wind is interpolated as a vector, so that 350 to 10 degrees passes through north. Where it
        turns far the vector grows short between them: what it lacks of the speeds' mean enters the speed's sigma.
        """
        moment = to_unix_s(time)
        after = int(np.searchsorted(self.times_s, moment))
        if after < self.times_s.size and self.times_s[after] == moment:
            return self._row(after)
        if after in (0, self.times_s.size):
            return None
        before = after - 1
        gap = self.times_s[after] - self.times_s[before]
        if gap > maximum_gap_s:
            return None
        share = float((moment - self.times_s[before]) / gap)
        first, last = self._row(before), self._row(after)
        turn = [math.radians(row[2]) for row in (first, last)]
        east = (1 - share) * first[0] * math.sin(turn[0]) + share * last[0] * math.sin(turn[1])
        north = (1 - share) * first[0] * math.cos(turn[0]) + share * last[0] * math.cos(turn[1])
        nearer = first if share < 0.5 else last
        speed = math.hypot(east, north)
        direction = math.degrees(math.atan2(east, north)) % 360 if speed > 1e-6 else nearer[2]
        lacking = (1 - share) * first[0] + share * last[0] - speed
        return speed, math.hypot(max(first[1], last[1]), lacking), direction, max(first[3], last[3])

    def _row(self, index: int) -> tuple[float, float, float, float]:
        return (
            float(self.speed_m_s[index]),
            float(self.speed_uncertainty_m_s[index]),
            float(self.direction_from_deg[index]) % 360,
            float(self.direction_uncertainty_deg[index]),
        )


def read_wind(path: Path, *, speed_uncertainty_m_s: float, direction_uncertainty_deg: float) -> WindSeries:
    """Return the wind of the CSV file ``path``. The uncertainties stand for columns that it does not have.

    The first row names the columns, in any order: time (UTC, ISO 8601), speed_m_s, direction_from_deg and, optionally,
    speed_uncertainty_m_s and direction_uncertainty_deg. Others are passed over, and so are empty rows and those that
    begin with #. Raises InputError with the file, row, key and value of what is wrong.
    """
    rows = _read_rows(path)
    if not rows:
        raise InputError(
            "holds no row at all", file=path, remedy=f"its first row names columns: {', '.join(_REQUIRED)}"
        )
    columns = _columns(rows[0][1], path)
    values: dict[str, list[float]] = {"time": [], **{name: [] for name in _LIMITS if name in columns}}
    for number, cells in rows[1:]:
        if len(cells) != len(columns):
            raise InputError(
                f"row {number} has {len(cells)} values for {len(columns)} columns", file=path, remedy="correct the row"
            )
        for name, text in zip(columns, cells, strict=True):
            if name in values:
                values[name].append(_value(name, text, number, path))
        if len(values["time"]) > 1 and values["time"][-1] <= values["time"][-2]:
            raise InputError(
                f"row {number} is not later than the row before it", file=path, key="time", remedy="sort rows by time"
            )
    count = len(values["time"])
    if count == 0:
        raise InputError("holds no wind, only names of columns", file=path, remedy="add rows")
    spread = {"speed_uncertainty_m_s": speed_uncertainty_m_s, "direction_uncertainty_deg": direction_uncertainty_deg}
    filled = {name: values.get(name, [spread.get(name, math.nan)] * count) for name in ("time", *_LIMITS)}
    return WindSeries(*(np.array(filled[name], np.float64) for name in ("time", *_LIMITS)))


def _read_rows(path: Path) -> list[tuple[int, list[str]]]:
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError:
        raise InputError("is not UTF-8 text", file=path, remedy="save the wind as CSV in UTF-8") from None
    except (OSError, ValueError) as error:
        raise InputError(
            f"the wind cannot be read: {getattr(error, 'strerror', None) or error}",
            file=path,
            key="wind.file",
            remedy="paths are relative to the site file's folder",
        ) from None
    numbered = enumerate(text.splitlines(), start=1)
    rows = [(number, _cells(line, number, path)) for number, line in numbered if not line.lstrip().startswith("#")]
    return [(number, cells) for number, cells in rows if any(cells)]


def _cells(line: str, row: int, path: Path) -> list[str]:
    try:
        # Row by row: a stray quotation mark spoils its own row, not all that follow.
        return [cell.strip() for cells in csv.reader([line], strict=True) for cell in cells]
    except csv.Error as error:
        raise InputError(
            f"row {row} is not CSV: {error}", file=path, value=line, remedy="separate values by commas"
        ) from None


def _columns(names: list[str], path: Path) -> list[str]:
    for name in ("time", *_LIMITS):
        if names.count(name) > 1 or (name in _REQUIRED and name not in names):
            raise InputError(
                "the column is missing" if name not in names else "the column is there twice",
                file=path,
                key=name,
                value=names,
                remedy=f"the first row names columns, separated by commas: {', '.join(_REQUIRED)}",
            )
    return names


def _value(name: str, text: str, row: int, path: Path) -> float:
    try:
        if name == "time":
            return to_unix_s(parse_utc(text))
        number = float(text)
    except (ValueError, OverflowError):
        kind = "a time like 2018-03-26T14:44:00Z" if name == "time" else "a number"
        raise InputError(f"row {row}: must be {kind}", file=path, key=name, value=text, remedy="correct it") from None
    low, high = _LIMITS[name]
    if not low <= number <= high:
        raise InputError(
            f"row {row}: must be within {low:g} and {high:g}", file=path, key=name, value=text, remedy="correct it"
        )
    return number
