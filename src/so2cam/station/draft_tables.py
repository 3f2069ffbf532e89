"""Another table of an array, or of a table of tables, in a draft: a node, a device, a line, a watched folder."""

from collections.abc import Mapping
from typing import Any

from so2cam.core.errors import InputError
from so2cam.core.site_keys import EACH, key_info
from so2cam.formats.siteedit import MISSING, KeyPath, key_text
from so2cam.station.key_rows import elements


def added_table(
    tables: Any, path: KeyPath, name: str = "", content: Mapping[str, Any] | None = None
) -> tuple[KeyPath, KeyPath, Any]:
    """Return (key of the new table, key to change, its value), of the tables ``tables`` at ``path``; MISSING for none.

    Raises InputError where there are no tables there, it needs a name, or that is taken.
    """
    try:
        info = key_info(path)
    except KeyError:
        info = None
    if info is None or info.kind != "tables" or EACH in path:
        raise InputError("is no array of tables", key=key_text(path), remedy="name one, as lines or instrument.nodes")
    has_name = any("name" in model.model_fields for model in info.models)
    filled = dict(content or {})
    if has_name:
        name = name or str(filled.get("name", ""))
        filled = {"name": name, **filled, **({"name": name} if name else {})}
    if (has_name or isinstance(tables, dict)) and not name:
        raise InputError("needs a name", key=key_text(path), remedy="give one")
    if name and name in {str(taken) for taken, _ in elements(tables)}:
        raise InputError("there is one of this name", key=key_text(path), value=name, remedy="give another name")
    place: str | int = name or (0 if tables is MISSING else len(tables))
    made = (*path, place)
    if tables is not MISSING:
        return made, made, filled
    named = isinstance(place, str) and not has_name
    return made, path, {place: filled} if named else [filled]
