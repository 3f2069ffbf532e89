"""Tables of the site as TOML: what was given to them, not what they have by default."""

from collections.abc import Mapping
from typing import Any

from so2cam.core.site import Table


def table_rows(path: str, table: Table, note: str = "") -> list[str]:
    """Return the rows of ``[path]`` and of the tables within it, ``note`` after its head; none where all is default.

    An empty row follows each table.
    """
    return _rows(f"[{path}]", path, table.model_dump(mode="json", exclude_unset=True, exclude_none=True), note)


def _rows(head: str, path: str, given: Mapping[str, Any], note: str) -> list[str]:
    plain = {key: value for key, value in given.items() if not _is_tables(value)}
    rows: list[str] = []
    if plain or head.startswith("[["):
        rows = [head + (f"  # {note}" if note else ""), *(f"{key} = {written(plain[key])}" for key in plain), ""]
        note = ""
    for key, value in given.items():
        if isinstance(value, dict):
            below = _rows(f"[{path}.{key}]", f"{path}.{key}", value, note)
            rows, note = rows + below, "" if below else note
        elif _is_tables(value):
            for one in value:
                rows += _rows(f"[[{path}.{key}]]", f"{path}.{key}", one, note)
                note = ""
    return rows


def _is_tables(value: object) -> bool:
    return isinstance(value, dict) or (isinstance(value, list) and any(isinstance(one, dict) for one in value))


def written(value: object) -> str:
    """Return a plain value, or a list of such, as TOML."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return quoted(value)
    if isinstance(value, list):
        return f"[{', '.join(written(one) for one in value)}]"
    return repr(value)


def quoted(text: str) -> str:
    """Return ``text`` as a TOML string."""
    escaped = "".join(
        f"\\{character}" if character in '"\\' else character if character.isprintable() else f"\\U{ord(character):08X}"
        for character in text
    )
    return f'"{escaped}"'
