"""PyCam line files: ``x=x0,x1``, ``y=y0,y1``, ``orientation=left|right`` and, optionally, ``type=young|old``."""

import math
from pathlib import Path
from typing import Final, Literal

from pydantic import ValidationError

from so2cam.core.errors import SiteFileError
from so2cam.core.site import Line

_KEYS: Final = ("x", "y", "orientation", "type")
_SIDES: Final[dict[str, Literal["left", "right"]]] = {"left": "left", "right": "right"}


def parse_pycam_line(text: str, *, name: str, file: Path | str, plume: str = "plume") -> Line:
    """Return the line that the PyCam line file ``text`` describes, as line ``name`` across ``plume``.

    The line runs from (x0, y0) to (x1, y1) in pixels; ``orientation`` is the side to which its normal points.
    Raises SiteFileError with file, key and value where the text is no such file, or the line has no left or right.
    """
    values = _read_values(text, file)
    x0, x1 = _two_numbers(values["x"], "x", file)
    y0, y1 = _two_numbers(values["y"], "y", file)
    normal = _SIDES.get(values["orientation"].lower())
    if normal is None:
        raise SiteFileError(
            "must be left or right", file=file, key="orientation", value=values["orientation"], remedy="correct it"
        )
    if values.get("type", "young").lower() not in ("young", "old"):
        raise SiteFileError("must be young or old", file=file, key="type", value=values["type"], remedy="correct it")
    try:
        return Line(name=name, start=(x0, y0), end=(x1, y1), normal=normal, plume=plume)
    except ValidationError as error:
        raise _explain(error, file, ((x0, y0), (x1, y1)), normal) from None


def _read_values(text: str, file: Path | str) -> dict[str, str]:
    values: dict[str, str] = {}
    for number, row in enumerate(text.removeprefix("\ufeff").splitlines(), start=1):
        content = row.partition("#")[0].strip()
        if not content:
            continue
        key, equals, value = (part.strip() for part in content.partition("="))
        if not equals or key not in _KEYS:
            raise SiteFileError(
                f"row {number} is not one of {', '.join(f'{known}=...' for known in _KEYS)}",
                file=file,
                key=key if equals else None,
                value=content,
                remedy="give a PyCam line file, or write start, end and normal into the site file",
            )
        if key in values:
            raise SiteFileError("is given twice", file=file, key=key, value=value, remedy="remove one of them")
        values[key] = value
    for key in _KEYS[:3]:
        if key not in values:
            raise SiteFileError("is missing", file=file, key=key, remedy=f"add a row {key}=...")
    return values


def _two_numbers(text: str, key: str, file: Path | str) -> tuple[float, float]:
    try:
        numbers = [float(part) for part in text.split(",")]
    except ValueError:
        numbers = []
    if len(numbers) != 2 or not all(math.isfinite(number) for number in numbers):
        raise SiteFileError(
            "must be two numbers", file=file, key=key, value=text, remedy=f"write pixels like {key}=273,408"
        )
    return numbers[0], numbers[1]


def _explain(
    error: ValidationError, file: Path | str, ends: tuple[tuple[float, float], tuple[float, float]], normal: str
) -> SiteFileError:
    (x0, y0), (x1, y1) = ends
    length = math.hypot(x1 - x0, y1 - y0)
    if length >= 4 and abs(y1 - y0) / length < 0.05:
        return SiteFileError(
            "the line is horizontal in the image, so it has no left or right side",
            file=file,
            key="orientation",
            value=normal,
            remedy='write the line into the site file as start, end and normal = "up" or "down"',
        )
    messages = "; ".join(detail["msg"].removeprefix("Value error, ") for detail in error.errors())
    return SiteFileError(messages, file=file, value=[(x0, y0), (x1, y1)], remedy="draw the line again")
