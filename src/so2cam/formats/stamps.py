"""Times in file names: a format of strftime directives, compiled to an expression and read strictly.

Directives are ``%Y %y %m %b %B %d %j %H %I %p %M %S %f %%``. Numbers have all their digits (``%m`` two, ``%j``
three); ``%f`` is a fraction of a second of 1 to 6 digits, also straight after ``%S``: ``39`` is 0.39 s. Month names
are English.
"""

import calendar
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Final

_YEARS: Final = range(1970, 2200)
_DIGITS: Final = "0123456789"
_MONTHS: Final = (
    "january",
    "february",
    "march",
    "april",
    "may",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
)
_DIRECTIVES: Final = {
    "Y": r"[0-9]{4}",
    "y": r"[0-9]{2}",
    "m": r"[0-9]{2}",
    "b": "|".join(name[:3] for name in _MONTHS),
    "B": "|".join(_MONTHS),
    "d": r"[0-9]{2}",
    "j": r"[0-9]{3}",
    "H": r"[0-9]{2}",
    "I": r"[0-9]{2}",
    "p": "am|pm",
    "M": r"[0-9]{2}",
    "S": r"[0-9]{2}",
    "f": r"[0-9]{1,6}",
}
_NUMERIC: Final = frozenset("YymdjHIMSf")
_SAME: Final = ("Yy", "mbB", "HI")
"""Directives of one and the same part of a time."""


@dataclass(frozen=True, slots=True)
class StampFormat:
    """A compiled format: an expression with the groups ``t_Y``, ``t_m`` ..., and how its ends behave beside digits."""

    expression: str
    starts_with_digit: bool
    ends_open: bool
    """True where its last digits may be more or fewer."""


def compile_stamp(text: str) -> StampFormat:
    """Return the format ``text`` of a whole time. Raises ValueError with the reason for any other."""
    expression, used = "", ""
    parts = re.findall(r"%.?|[^%]+", text, re.DOTALL)
    for part in parts:
        code = part[1:]
        if part[0] != "%" or code == "%":
            expression += re.escape("%" if part == "%%" else part)
            continue
        if code not in _DIRECTIVES:
            known = " ".join(f"%{letter}" for letter in _DIRECTIVES)
            raise ValueError(f"has {part!r}, which is none of {known}")
        if code in used or any(code in group and set(group) & set(used) for group in _SAME):
            raise ValueError(f"has one of its parts twice: {part!r}")
        used += code
        expression += f"(?P<t_{code}>{_DIRECTIVES[code]})"
    _require_whole(set(used))
    for part, following in pairwise(parts):
        if part == "%f" and _starts_with_digit(following):
            raise ValueError("has a digit behind %f, which could not be told from the fraction")
    return StampFormat(expression, _starts_with_digit(parts[0]), parts[-1] == "%f")


def read_stamp(parts: Mapping[str, str]) -> tuple[datetime, float]:
    """Return the time of the groups ``parts`` by directive, taken as UTC, and how finely it is written [s].

    Raises ValueError for a time that cannot be.
    """
    year = int(parts["Y"]) if "Y" in parts else _century(int(parts["y"]))
    if year not in _YEARS:
        raise ValueError(f"the year {year} is not within {_YEARS[0]}-{_YEARS[-1]}")
    hour = int(parts["H"]) if "H" in parts else _twelve_hours(int(parts["I"]), parts["p"].lower() == "pm")
    minute, second, fraction = int(parts["M"]), int(parts.get("S", "0")), parts.get("f", "")
    microsecond = int(fraction.ljust(6, "0"))
    if "j" in parts:
        day = int(parts["j"])
        if not 1 <= day <= 365 + calendar.isleap(year):
            raise ValueError(f"the year {year} has no day {day}")
        time = datetime(year, 1, 1, hour, minute, second, microsecond, tzinfo=UTC) + timedelta(days=day - 1)
    else:
        time = datetime(year, _month(parts), int(parts["d"]), hour, minute, second, microsecond, tzinfo=UTC)
    return time, round(10.0 ** -len(fraction), 6) if "S" in parts else 60.0


def _starts_with_digit(part: str) -> bool:
    return part[0] in _DIGITS or (part[0] == "%" and part[1] in _NUMERIC)


def _require_whole(used: set[str]) -> None:
    missing = []
    if not used & set("Yy"):
        missing.append("year (%Y)")
    if "j" in used:
        if used & set("mbBd"):
            raise ValueError("has both the day of the year and the day of a month")
    else:
        if not used & set("mbB"):
            missing.append("month (%m)")
        if "d" not in used:
            missing.append("day (%d)")
    if not used & set("HI"):
        missing.append("hour (%H)")
    if "M" not in used:
        missing.append("minute (%M)")
    if "I" in used and "p" not in used:
        missing.append("am or pm (%p)")
    if "f" in used and "S" not in used:
        missing.append("seconds (%S)")
    if missing:
        raise ValueError(f"has no {', no '.join(missing)}")
    if "p" in used and "H" in used:
        raise ValueError("has %p beside %H; use %I with %p")


def _century(year: int) -> int:
    """Return the year of two digits, by the rule of POSIX: 69 to 99 are 1969 to 1999."""
    return year + (1900 if year >= 69 else 2000)


def _twelve_hours(hour: int, afternoon: bool) -> int:
    if not 1 <= hour <= 12:
        raise ValueError(f"{hour} is no hour of a clock of twelve hours")
    return hour % 12 + 12 * afternoon


def _month(parts: Mapping[str, str]) -> int:
    if "m" in parts:
        return int(parts["m"])
    word = parts.get("b", parts.get("B", "")).lower()
    return next(number for number, name in enumerate(_MONTHS, start=1) if name.startswith(word))
