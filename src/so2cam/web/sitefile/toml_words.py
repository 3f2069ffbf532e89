"""Lists and tables of the site file as TOML that people read and write in a field of their own."""

import tomllib
from typing import Any

from so2cam.core.errors import InputError
from so2cam.formats.siteedit import MISSING, edit_text
from so2cam.web.setup_fields import toml_value

_WIDE = 70


def block(value: Any, *, table: bool) -> str:
    """Return a table as rows ``key = value`` (with headings for tables within), or a value, long lists row by row."""
    if value is MISSING or value is None:
        return ""
    if table:
        given = {key: one for key, one in value.items() if one is not None} if isinstance(value, dict) else {}
        return edit_text("", [((key,), one) for key, one in given.items()]).strip() + "\n" if given else ""
    shown = toml_value(value)
    if isinstance(value, (list, tuple)) and len(shown) > _WIDE:
        return "[\n" + "".join(f"  {toml_value(one)},\n" for one in value) + "]"
    return shown


def read_block(text: str, *, table: bool) -> Any:
    """Return what ``block`` wrote, or a person did. Raises InputError."""
    try:
        found = tomllib.loads(text if table else f"value = {text.strip() or '[]'}\n")
    except ValueError as error:
        raise InputError(
            f"is not valid TOML: {error}",
            remedy='write it like name = "text" or start = [1.0, 2.0]' if table else "write it like [1.0, 2.0]",
        ) from None
    if table:
        return found
    if list(found) != ["value"]:
        raise InputError("is more than one value", remedy="write it like [1.0, 2.0]")
    return found["value"]
