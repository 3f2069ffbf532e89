"""Every key of a site file as a row: what it is, what the draft and the saved file say of it, and where that is set.

Rows stand in the order of the models. Tables and elements of arrays have a row of their own, before their keys.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final, Literal

from so2cam.core.errors import SiteFileError
from so2cam.core.site_keys import EACH, KeyInfo, all_keys
from so2cam.formats.siteedit import MISSING, KeyPath, get_value, key_text
from so2cam.station.draft_edits import DraftState, in_settings, same

Origin = Literal["file", "default", "absent", "needed"]
"""Where a value is set: in the file, or its default holds; or it is not given, or must be given and is not."""
Show = Literal["all", "file", "changed"]
Role = Literal["key", "table", "tables", "element"]
GENERAL: Final = "general"
"""The section of the keys that stand above all tables."""


@dataclass(frozen=True, slots=True)
class KeyRow:
    """One key. ``value``: what holds in the draft; ``saved``: what the saved file says; MISSING for neither.

    ``path`` has names of elements where they have one, else places; EACH where there are no elements yet, which is to
    explain and not to change. ``gone``: the draft no longer has it, the saved file does.
    """

    path: KeyPath
    info: KeyInfo
    role: Role
    origin: Origin
    value: Any
    saved: Any
    changed: bool
    gone: bool = False

    @property
    def text(self) -> str:
        """The key in writing."""
        return key_text(self.path).replace(f'."{EACH}"', "[…]")

    @property
    def section(self) -> str:
        """The top table that it is in."""
        first = str(self.path[0])
        return GENERAL if len(self.path) == 1 and self.role == "key" else first

    @property
    def real(self) -> bool:
        """Whether it can be changed: it is no key of elements that are not there."""
        return EACH not in self.path and not self.gone


def key_rows(state: DraftState) -> tuple[KeyRow, ...]:
    """Return all keys of the models and all elements that the draft, or the saved file, has.

    Raises SiteFileError where the draft's text is no TOML.
    """
    draft, saved = get_value_of_all(state.text), get_value_of_all(state.base)
    walk = _Walk(state.loaded.settings if state.problem is None else {})
    return tuple(walk.table((), (), draft, saved))


def get_value_of_all(text: str) -> Any:
    """Return a whole text as plain data; an empty table where it is no TOML."""
    try:
        return get_value(text, ())
    except SiteFileError:
        return {}


def chosen_rows(rows: Sequence[KeyRow], *, show: Show = "all", words: str = "") -> tuple[KeyRow, ...]:
    """Return the rows that are to be seen, with the tables that they are in.

    ``words``: all of them must stand in the key, its description, unit or choices.
    """
    wanted = words.lower().split()
    kept = [
        row
        for row in rows
        if (show == "all" or (row.changed if show == "changed" else row.origin == "file"))
        and all(word in _searched(row) for word in wanted)
    ]
    if show == "all" and not wanted:
        return tuple(rows)
    above = {row.path[:length] for row in kept for length in range(1, len(row.path))}
    paths = {row.path for row in kept}
    return tuple(row for row in rows if row.path in paths or (row.role != "key" and row.path in above))


def named_path(text: str, path: KeyPath) -> KeyPath:
    """Return ``path`` with the names of elements instead of their places, where they have one."""
    data, named = get_value_of_all(text), list[str | int]()
    for part in path:
        if isinstance(data, list):
            place = part if isinstance(part, int) else next(iter(_places(data, part)), None)
            element = data[place] if isinstance(place, int) and place < len(data) else None
            named.append(_label(data, place) if isinstance(place, int) and element is not None else part)
            data = element
        else:
            named.append(part)
            data = data.get(part) if isinstance(data, Mapping) and isinstance(part, str) else None
    return tuple(named)


def elements(data: Any) -> list[tuple[str | int, Any]]:
    """Return (name or place, element) of an array of tables, or a table of tables."""
    if isinstance(data, Mapping):
        return list(data.items())
    if not isinstance(data, list):
        return []
    return [(_label(data, place), one) for place, one in enumerate(data)]


def _label(data: Sequence[Any], place: int) -> str | int:
    one = data[place]
    name = one.get("name") if isinstance(one, Mapping) else None
    return name if isinstance(name, str) and _places(data, name) == [place] else place


def _places(data: Sequence[Any], name: str | int) -> list[int]:
    return [place for place, one in enumerate(data) if isinstance(one, Mapping) and one.get("name") == name]


def _searched(row: KeyRow) -> str:
    info = row.info
    return f"{row.text} {info.description} {info.unit} {' '.join(info.choices)} {info.limits}".lower()


@lru_cache(maxsize=1)
def _children() -> dict[tuple[str, ...], tuple[KeyInfo, ...]]:
    found: dict[tuple[str, ...], list[KeyInfo]] = {}
    for info in all_keys():
        found.setdefault(info.path[:-1], []).append(info)
    return {path: tuple(infos) for path, infos in found.items()}


class _Walk:
    def __init__(self, settings: Mapping[str, Any]) -> None:
        self._settings = settings

    def table(self, model: tuple[str, ...], path: KeyPath, draft: Any, saved: Any) -> Iterator[KeyRow]:
        """Yield the rows of a table's keys. ``model``: its place among the models; data MISSING where it is absent."""
        tag = next((one["type"] for one in (draft, saved) if isinstance(one, Mapping) and "type" in one), None)
        for info in _children().get(model, ()):
            if info.only and tag is not None and tag not in info.only:
                continue
            yield from self._key(info, (*path, info.path[-1]), _of(draft, info), _of(saved, info), draft)

    def _key(self, info: KeyInfo, path: KeyPath, draft: Any, saved: Any, above: Any) -> Iterator[KeyRow]:
        changed = not same(draft, saved)
        if info.kind not in ("table", "tables") or not info.models:
            yield KeyRow(path, info, "key", *self._held(info, path, draft, above), saved, changed)
            return
        origin, value = self._held(info, path, draft, above)
        yield KeyRow(path, info, "table" if info.kind == "table" else "tables", origin, value, saved, changed)
        if info.kind == "table":
            yield from self.table(info.path, path, draft, saved)
            return
        below, here = (*info.path, EACH), dict(elements(draft))
        before = dict(elements(saved))
        for name in [*here, *(name for name in before if name not in here)]:
            now, was = here.get(name, MISSING), before.get(name, MISSING)
            gone = now is MISSING
            yield KeyRow(
                (*path, name), info, "element", "absent" if gone else "file", now, was, not same(now, was), gone
            )
            if not gone:
                yield from self.table(below, (*path, name), now, was)
        if not here and not before:
            yield from self.table(below, (*path, EACH), MISSING, MISSING)

    def _held(self, info: KeyInfo, path: KeyPath, draft: Any, above: Any) -> tuple[Origin, Any]:
        if draft is not MISSING:
            return "file", draft
        if info.required:
            return ("needed" if above is not MISSING else "absent"), MISSING
        held = in_settings(self._settings, path)
        if held is MISSING:
            held = MISSING if info.default is None else info.default
        return ("absent", MISSING) if held is None or held is MISSING else ("default", held)


def _of(data: Any, info: KeyInfo) -> Any:
    return data.get(info.path[-1], MISSING) if isinstance(data, Mapping) else MISSING
