"""Tables of the site from values of the old program, with errors that name the old file and key."""

import math
from typing import Any, TypeVar

from pydantic import ValidationError

from so2cam.core.errors import InputError, SiteFileError
from so2cam.core.site import GeoPoint, Table
from so2cam.formats.legacy.files import FoundFile
from so2cam.formats.legacy.parse import to_number

_T = TypeVar("_T", bound=Table)


def make_table(
    table: type[_T],
    file: FoundFile,
    keys: dict[str, str],
    remedy: str = "correct the value in the old file",
    /,
    **values: Any,
) -> _T:
    """Return a table of the site. Raises SiteFileError that names the old file and key where a value is impossible."""
    try:
        return table(**values)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        name = str(first["loc"][0]) if first["loc"] else ""
        raise SiteFileError(
            _reason(error),
            file=file.path,
            key=keys.get(name, name) or None,
            value=first["input"] if isinstance(first["input"], int | float | str) else None,
            remedy=remedy,
        ) from None


def refusal(table: type[Table], **values: Any) -> str | None:
    """Return why a table of the site cannot have these values; None where it can."""
    try:
        table(**values)
    except ValidationError as error:
        return _reason(error)
    return None


def _reason(error: ValidationError) -> str:
    message = error.errors(include_url=False)[0]["msg"].removeprefix("Value error, ")
    return message[:1].lower() + message[1:]


def parse_vent(text: str) -> GeoPoint:
    """Return the place that ``LAT,LON,ALT`` names. Raises InputError for anything else."""
    numbers = [to_number(part) for part in text.split(",")]
    if len(numbers) != 3 or any(number is None or not math.isfinite(number) for number in numbers):
        raise InputError(
            "--vent must be latitude, longitude and altitude", value=text, remedy="write it like -39.42,-71.93,2847"
        )
    try:
        return GeoPoint.model_validate(dict(zip(("latitude", "longitude", "altitude_m"), numbers, strict=True)))
    except ValidationError as error:
        first = error.errors()[0]
        raise InputError(
            f"--vent: {first['loc'][0]}: {first['msg']}", value=text, remedy="write it like -39.42,-71.93,2847"
        ) from None
