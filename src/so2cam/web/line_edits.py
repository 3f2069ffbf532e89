"""Changes of the draft that take a line out or rename it, with all keys that name it."""

from typing import Any, Final

from so2cam.formats.siteedit import REMOVE, KeyPath
from so2cam.station.drafts import DraftState

TOTAL: Final[KeyPath] = ("processing", "emission", "total_lines")
PAIR: Final[KeyPath] = ("processing", "speed", "cross_correlation", "lines")
PLACE: Final = ("start", "end", "points", "arc", "closed", "file")
"""Keys of a line that say where it lies."""


def removal(state: DraftState, name: str) -> dict[KeyPath, Any]:
    """Return the changes that take a line out of the draft, and out of the total and of cross-correlation.

    Rules of alarms that watch it stay: what becomes of them is a person's to say.
    """
    changes: dict[KeyPath, Any] = {("lines", name): REMOVE}
    total, pair = state.written(TOTAL), state.written(PAIR)
    if name in names_in(total):
        changes[TOTAL] = [one for one in total if one != name] or REMOVE
    if name in names_in(pair):
        changes[PAIR] = REMOVE
    return changes


def renaming(state: DraftState, name: str, wanted: str) -> dict[KeyPath, Any]:
    """Return the changes that give a line another name, wherever the draft names it."""
    changes: dict[KeyPath, Any] = {("lines", name, "name"): wanted}
    for key in (TOTAL, PAIR):
        value = state.written(key)
        if name in names_in(value):
            changes[key] = [wanted if one == name else one for one in value]
    rules = state.written(("alarms", "rules"))
    for place, rule in enumerate(rules if isinstance(rules, list) else []):
        if isinstance(rule, dict) and rule.get("line") == name:
            changes["alarms", "rules", place, "line"] = wanted
    return changes


def names_in(value: Any) -> list[str]:
    """Return the names of lines that the draft's text lists, which may be half entered; none where it is no list."""
    return [one for one in value if isinstance(one, str)] if isinstance(value, list) else []


def table_of(value: Any) -> dict[str, Any]:
    """Return what the draft's text says of a line; nothing where it does not have it."""
    return dict(value) if isinstance(value, dict) else {}


def plain_place(value: Any) -> Any:
    """Return the place of a line as plain data, as the site file takes it."""
    if isinstance(value, dict):
        return {key: plain_place(one) for key, one in value.items()}
    return [plain_place(one) for one in value] if isinstance(value, (list, tuple)) else value
