"""Changing a site file key by key: its comments, its order and all that is not changed stay as they are.

A key is a path of names and places: ``("lines", "upstream", "start")`` is the start of the line called ``upstream``,
and ``("lines", 0, "start")`` that of the first line. In writing: ``lines.upstream.start``, ``lines[0].start``.
"""

import copy
import re
import tomllib
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, Final

import tomlkit
from tomlkit.container import Container
from tomlkit.exceptions import TOMLKitError
from tomlkit.items import AoT, Array, InlineTable, Table
from tomlkit.toml_document import TOMLDocument

from so2cam.core.errors import SiteFileError

KeyPath = tuple[str | int, ...]


class _Mark:
    def __init__(self, name: str) -> None:
        self._name = name

    def __repr__(self) -> str:
        return self._name

    def __reduce__(self) -> str:
        return self._name


REMOVE: Final = _Mark("REMOVE")
"""As a value: take the key, or the table, out of the file."""
MISSING: Final = _Mark("MISSING")
"""What ``get_value`` gives where the file does not have the key."""

_FAILS: Final = (TOMLKitError, ValueError, TypeError, KeyError, IndexError, AttributeError, RecursionError)
"""What tomlkit raises for ways of writing that it cannot change."""
_BARE: Final = re.compile(r"[A-Za-z0-9_-]+")
_PART: Final = re.compile(r'\.?(?:([A-Za-z0-9_-]+)|"((?:[^"\\]|\\.)*)"|\[([0-9]+)\])')


def key_text(path: Sequence[str | int]) -> str:
    """Return a key as people write it: ``processing.background.mode``, ``lines[0].start``, ``lines."a b".start``."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            escaped = part.replace("\\", "\\\\").replace('"', '\\"')
            text += ("." if text else "") + (part if _BARE.fullmatch(part) else f'"{escaped}"')
    return text


def parse_key(text: str) -> KeyPath:
    """Return the path that ``key_text`` wrote. Raises ValueError for what is no key."""
    path: list[str | int] = []
    position = 0
    while position < len(text):
        found = _PART.match(text, position)
        first, dotted = position == 0, text.startswith(".", position)
        if found is None or (first and (dotted or found[3])) or not (first or dotted or found[3]):
            raise ValueError(f"is no key: {text!r}")
        if found[3] is not None:
            path.append(int(found[3]))
        elif found[1] is not None:
            path.append(found[1])
        else:
            path.append(re.sub(r"\\(.)", r"\1", found[2]))
        position = found.end()
    if not path:
        raise ValueError("is no key: it is empty")
    return tuple(path)


def get_value(text: str, path: KeyPath) -> Any:
    """Return the value of a key as plain data; MISSING where the file does not have it (its default holds).

    Raises SiteFileError where ``text`` is no TOML.
    """
    node: Any = _plain_document(text)
    for part in path:
        node = _child(node, part)
        if node is MISSING:
            return MISSING
    return copy.deepcopy(node)


@lru_cache(maxsize=16)
def _plain_document(text: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        raise SiteFileError(f"is not valid TOML: {error}", remedy="correct the line") from None


def edit_text(text: str, changes: Sequence[tuple[KeyPath, Any]]) -> str:
    """Return the site file ``text`` with these keys changed, in order; tables that are not there are made.

    A value is plain data (a dict is a table, a list of dicts an array of tables), or REMOVE.
    Raises SiteFileError where ``text`` is no TOML, or a key leads through something that is no table.
    """
    document = _parse(text)
    expected = copy.deepcopy(_plain_document(text))
    for path, value in changes:
        if not path or not isinstance(path[0], str):
            raise SiteFileError("is no key of a site file", key=key_text(path))
        try:
            _set(document, path, value)
            _set_plain(expected, path, value)
        except _FAILS as error:
            raise SiteFileError(f"cannot be written: {error}", key=key_text(path), value=value) from None
    # What stands in the file is what was meant, and nothing else changed: else nothing is changed at all.
    try:
        made = tomlkit.dumps(document)
        if not text.endswith("\n\n"):
            made = made.rstrip("\r\n") + ("\r\n" if "\r\n" in text else "\n")
        made.encode()  # a half of a character cannot be written
        found = tomllib.loads(made)
        # A table written with dots (a.b = 1) is gone with its last key.
        dotted = any(value is REMOVE for _, value in changes) and _filled(found) == _filled(expected)
        holds = found == expected or dotted
    except _FAILS:
        holds = False
    if not holds:
        keys = ", ".join(key_text(path) for path, _ in changes)
        raise SiteFileError(
            "cannot be changed where it stands, as the file is written",
            key=keys,
            remedy="change it in the text of the file",
        )
    return made


def plain(value: Any) -> Any:
    """Return a value of tomlkit's as plain data."""
    unwrap = getattr(value, "unwrap", None)
    return value if unwrap is None else unwrap()


def _parse(text: str) -> TOMLDocument:
    try:
        return tomlkit.parse(text)
    except (TOMLKitError, ValueError, RecursionError) as error:
        raise SiteFileError(f"is not valid TOML: {error}", remedy="correct the line") from None


def _child(node: Any, part: str | int) -> Any:
    if isinstance(node, list):  # arrays and arrays of tables
        place = part if isinstance(part, int) else _place(node, part)
        return node[place] if place is not None and place < len(node) else MISSING
    if isinstance(node, dict) and isinstance(part, str) and part in node:
        return node[part]
    return MISSING


def _place(node: Any, name: str) -> int | None:
    """Return which table of an array has this ``name``."""
    places = (index for index, table in enumerate(node) if isinstance(table, dict) and table.get("name") == name)
    return next(places, None)


def _set(document: TOMLDocument, path: KeyPath, value: Any) -> None:
    node: Any = document
    for depth, part in enumerate(path[:-1]):
        found = _child(node, part)
        if found is MISSING:
            if value is REMOVE:
                return
            found = _make(node, path, depth)
        if not isinstance(found, (dict, list)):
            raise SiteFileError("is a value, not a table", key=key_text(path[: depth + 1]), value=plain(found))
        node = found
    last = path[-1]
    if value is REMOVE:
        if _remove(node, last, path):
            _set(document, path[:-1], REMOVE)
    elif isinstance(node, list):
        _put_into_list(node, last, value, path)
    elif isinstance(last, str):
        _put_into_table(node, last, value)
    else:
        raise SiteFileError("is a table, not a list", key=key_text(path[:-1]))


def _make(node: Any, path: KeyPath, depth: int) -> Any:
    """Put in the table ``path[:depth + 1]``, and return it."""
    part = path[depth]
    if isinstance(node, list):
        if not isinstance(part, str) and part != len(node):
            raise SiteFileError(f"there are {len(node)} of these", key=key_text(path[: depth + 1]))
        content = {"name": part} if isinstance(part, str) else {}
        _put_into_list(node, part, content, path[: depth + 1])
        return node[-1]
    if not isinstance(part, str):
        raise SiteFileError("is a table, not a list", key=key_text(path[:depth]))
    if _makes_array(path, depth):
        node[part] = tomlkit.aot() if not isinstance(node, InlineTable) else tomlkit.array()
    elif isinstance(node, InlineTable):
        node[part] = tomlkit.inline_table()
    else:
        # A table that only holds tables needs no heading of its own.
        deeper = depth + 2 < len(path)
        node[part] = tomlkit.table(is_super_table=deeper)
    return node[part]


_ARRAYS: Final = frozenset({"cells", "devices", "lines", "nodes", "regions", "remotes", "rules", "targets", "watch"})
"""Names of the arrays of tables: a table of one of these names that is not there yet is made as such."""


def _makes_array(path: KeyPath, depth: int) -> bool:
    """Tell whether what ``path[depth]`` names, and is not there, is an array of tables."""
    following = path[depth + 1]
    return isinstance(following, int) or (path[depth] in _ARRAYS)


def _put_into_table(node: Any, key: str, value: Any) -> None:
    old = node.get(key)
    if isinstance(old, (Table, InlineTable)) and isinstance(value, dict):
        for name in [name for name in old if name not in value]:
            del old[name]
        for name, item in value.items():
            if plain(old.get(name, MISSING)) != item:
                _put_into_table(old, name, item)
        return
    if isinstance(old, AoT) and isinstance(value, list) and value and all(isinstance(one, dict) for one in value):
        _put_tables(old, value)
        return
    item = _item(value, inside=isinstance(node, InlineTable), spread=_is_spread(old))
    if old is not None and hasattr(old, "trivia") and hasattr(item, "trivia") and not isinstance(item, (Table, AoT)):
        item.trivia.comment_ws, item.trivia.comment = old.trivia.comment_ws, old.trivia.comment
    if old is None and isinstance(node, Table | TOMLDocument) and not isinstance(item, (Table, AoT)):
        _put_after_plain(node, key, item)
    else:
        node[key] = item


def _put_tables(old: AoT, value: list[dict[str, Any]]) -> None:
    """Bring an array of tables to ``value``: those that stay, by their names or as they are, keep their comments."""
    left = list(old)
    found: list[Any] = []
    for wanted in value:
        same = [one for one in left if plain(one) == wanted]
        named = [one for one in left if "name" in wanted and plain(one.get("name")) == wanted["name"]]
        table = next(iter([*same, *named]), None)
        if table is None:
            found.append(_item(wanted, inside=False))
            continue
        left = [one for one in left if one is not table]
        for name in [name for name in table if name not in wanted]:
            del table[name]
        for name, item in wanted.items():
            if plain(table.get(name, MISSING)) != item:
                _put_into_table(table, name, item)
        found.append(table)
    del old[:]
    for table in found:
        old.append(table)


def carry_tables(source: str, target: str, names: Sequence[str]) -> str:
    """Return the site file ``target`` with these keys or tables of ``source``, comments and all.

    Raises SiteFileError where one of the texts is no TOML, or a table cannot be carried over.
    """
    given = _plain_document(source)
    document, origin = _parse(target), _parse(source)
    expected = {**_plain_document(target)}
    for name in names:
        if name in given:
            document.pop(name, None)
            document[name] = origin[name]
            expected[name] = given[name]
    try:
        made = tomlkit.dumps(document)
        if tomllib.loads(made) == expected:
            return made
    except _FAILS:
        pass  # then without their comments
    return edit_text(target, [((name,), given[name]) for name in names if name in given])


def _put_after_plain(node: Any, key: str, item: Any) -> None:
    """Put in a plain key after the last plain one: what follows, blanks and comments, belongs to the next table."""
    last = None
    for name, other in node.items():
        if not isinstance(other, (Table, AoT)):
            last = name
    container = node.value if isinstance(node, Table) else node
    if last is not None and isinstance(container, Container):
        container._insert_after(last, key, item)  # no public way puts a key in its place
    else:
        node[key] = item


def _is_spread(old: Any) -> bool:
    return isinstance(old, Array) and "\n" in old.as_string()


def _item(value: Any, *, inside: bool, spread: bool = False) -> Any:
    """Return plain data as tomlkit's; ``inside`` an inline table, tables are inline too."""
    if isinstance(value, tuple):
        value = list(value)
    if isinstance(value, dict):
        if inside:
            made: Any = tomlkit.inline_table()
        else:
            made = tomlkit.table()
        for key, item in sorted(value.items(), key=lambda pair: isinstance(pair[1], dict) and not inside):
            if item is not None:
                made[key] = _item(item, inside=inside)
        if not inside and made and not isinstance(made[list(made)[-1]], (Table, AoT)):
            made.add(tomlkit.nl())  # before the next heading
        return made
    if isinstance(value, list):
        if value and all(isinstance(item, dict) for item in value) and not inside:
            tables = tomlkit.aot()
            for item in value:
                tables.append(_item(item, inside=False))
            return tables
        array = tomlkit.array()
        for item in value:
            array.append(_item(item, inside=True))
        if spread:
            array.multiline(True)
        return array
    return tomlkit.item(value)


def _put_into_list(node: Any, part: str | int, value: Any, path: KeyPath) -> None:
    place = part if isinstance(part, int) else _place(node, part)
    if isinstance(part, str) and not isinstance(value, dict):
        raise SiteFileError("is a table, not a value", key=key_text(path), value=value)
    if isinstance(part, str):
        value = {"name": part} | value if "name" not in value else value
    item = _item(value, inside=not isinstance(node, AoT))
    if place is None or place == len(node):
        node.append(item)
    elif place > len(node):
        raise SiteFileError(f"there are {len(node)} of these", key=key_text(path))
    elif isinstance(node[place], dict) and isinstance(value, dict):
        old = node[place]
        for name in [name for name in old if name not in value]:
            del old[name]
        for name, one in value.items():
            if plain(old.get(name, MISSING)) != one:
                _put_into_table(old, name, one)
    else:
        node[place] = item


def _remove(node: Any, part: str | int, path: KeyPath) -> bool:
    """Take a key out; return whether that was the last table of an array, which goes with it."""
    if isinstance(node, list):
        place = part if isinstance(part, int) else _place(node, part)
        if place is None or place >= len(node):
            return False
        table = isinstance(node[place], dict)
        del node[place]
        return table and not len(node)
    if not isinstance(part, str):
        raise SiteFileError("is a table, not a list", key=key_text(path[:-1]))
    if part in node:
        del node[part]
    return False


def _set_plain(data: Any, path: KeyPath, value: Any) -> None:
    """Do to plain data what ``_set`` does to the file, in the simplest way."""
    parents: list[tuple[Any, str | int]] = []
    node = data
    for depth, part in enumerate(path):
        place: Any = _place(node, part) if isinstance(node, list) and isinstance(part, str) else part
        last = depth == len(path) - 1
        if isinstance(node, list) and (place is None or place == len(node)):
            if value is REMOVE:
                return
            node.append({"name": part} if isinstance(part, str) else {})
            place = len(node) - 1
        if last and value is REMOVE:
            if not isinstance(node, list):
                node.pop(place, None)
            elif place < len(node):
                gone = node.pop(place)
                if not node and isinstance(gone, dict) and parents:
                    holder, key = parents[-1]
                    del holder[key]
            return
        if last:
            fresh = copy.deepcopy(_without_none(value))
            if isinstance(node, list) and isinstance(part, str) and isinstance(fresh, dict):
                fresh = {"name": part} | fresh
            node[place] = fresh
            return
        if isinstance(node, dict) and place not in node:
            if value is REMOVE:
                return
            node[place] = [] if _makes_array(path, depth) else {}
        parents.append((node, place))
        node = node[place]


def _filled(value: Any) -> Any:
    """Return plain data without empty tables."""
    if isinstance(value, dict):
        filled = {key: _filled(item) for key, item in value.items()}
        return {key: item for key, item in filled.items() if item != {}}
    return [_filled(item) for item in value] if isinstance(value, list) else value


def _without_none(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_none(item) for key, item in value.items() if item is not None}
    return [_without_none(item) for item in value] if isinstance(value, (list, tuple)) else value
