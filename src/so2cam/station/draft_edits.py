"""What a draft of a site file is made of: edits of keys, versions, and what differs between two texts."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import date, datetime, time
from pathlib import Path
from typing import Any, Final

from so2cam.core.errors import SiteFileError, So2camError
from so2cam.core.times import format_utc, parse_utc
from so2cam.formats.siteedit import MISSING, REMOVE, KeyPath, edit_text, get_value, key_text, parse_key
from so2cam.formats.sitefile import LoadedSite, load_site_text


@dataclass(frozen=True, slots=True)
class KeyChange:
    """What became of a key: values as plain data; MISSING where the file does not have it."""

    key: KeyPath
    before: Any
    after: Any


@dataclass(frozen=True, slots=True)
class Edit:
    """What somebody did to the draft, at once. ``before`` is the text before, of an edit of the whole text."""

    number: int
    changes: tuple[KeyChange, ...]
    by: str
    time: datetime
    what: str
    before: str | None = None


@dataclass(frozen=True, slots=True)
class Version:
    """A site file that was in force from ``time`` on."""

    number: int
    time: datetime
    by: str
    note: str
    sha256: str


@dataclass(frozen=True, slots=True)
class DraftState:
    """The draft now. ``number`` changes with every change of it.

    ``loaded``: the site that it describes; the last valid one where it has a ``problem`` now. ``base``: the site file
    as it is saved. ``notes``: what could not be put on top of a file that was changed by hand.
    """

    number: int
    text: str
    base: str
    loaded: LoadedSite
    problem: So2camError | None
    edits: tuple[Edit, ...]
    notes: tuple[str, ...] = ()

    @property
    def changed(self) -> bool:
        """Whether it differs from the saved file."""
        return self.text != self.base

    def value(self, key: KeyPath) -> Any:
        """Return the value of a key as plain data; its default where the file does not have it; MISSING for neither."""
        written = get_value(self.text, key)
        return in_settings(self.loaded.settings, key) if written is MISSING else written

    def written(self, key: KeyPath) -> Any:
        """Return what the draft's text says of a key as plain data; MISSING where it does not have it."""
        return get_value(self.text, key)

    def key_changed(self, key: KeyPath) -> bool:
        """Return whether the draft says something else of a key than the saved file."""
        return not same(get_value(self.text, key), get_value(self.base, key))

    def saved_value(self, key: KeyPath) -> Any:
        """Return the value of a key in the saved file; MISSING where it does not have it."""
        return get_value(self.base, key)


def stands(text: str, edit: Edit, edits: Sequence[Edit]) -> bool:
    """Return whether what an edit did was not changed again since. ``edits``: all of the draft, in order."""
    if edit.before is not None:
        return edit is edits[-1]
    since = _since(edit, edits)
    return all(_holds(text, replace(change, key=_key_after(change.key, since))) for change in edit.changes)


def _since(edit: Edit, edits: Sequence[Edit]) -> tuple[Edit, ...]:
    """Return the edit and those that came after it."""
    return tuple(edits[next(place for place, one in enumerate(edits) if one is edit) :])


def _renamed(change: KeyChange) -> tuple[KeyPath, KeyPath] | None:
    """Return where a table of an array that the change renames was found before, and after; None for other changes."""
    if len(change.key) < 3 or change.key[-1] != "name":
        return None
    *array, name, _ = change.key
    before, after = change.before, change.after
    if not isinstance(before, str) or not isinstance(after, str) or (isinstance(name, str) and name != before):
        return None
    return (*array, before), (*array, after)


def _key_after(key: KeyPath, edits: Sequence[Edit]) -> KeyPath:
    """Return where a key is found after ``edits``, which may have renamed what it lies in."""
    for change in (change for edit in edits for change in edit.changes):
        old, new = _renamed(change) or ((), ())
        if old and key[: len(old)] == old:
            key = (*new, *key[len(old) :])
    return key


def without(edits: Sequence[Edit], undone: Edit) -> tuple[Edit, ...]:
    """Return all edits but one. Where it gave something another name, the later ones name it as it was before."""
    later = _since(undone, edits)[1:]
    back = [replace(undone, changes=tuple(_backward(one) for one in undone.changes))]
    return tuple(
        replace(edit, changes=tuple(replace(one, key=_key_after(one.key, back)) for one in edit.changes))
        if any(edit is one for one in later)
        else edit
        for edit in edits
        if edit is not undone
    )


def _backward(change: KeyChange) -> KeyChange:
    pair = _renamed(change)
    return KeyChange(change.key if pair is None else (*pair[1], "name"), change.after, change.before)


def refuse_half(text: str, changes: Mapping[KeyPath, Any]) -> None:
    """Raise SiteFileError where a change renames what is not there: it would make a table of a name alone."""
    for key, value in changes.items():
        gone = len(key) > 2 and key[-1] == "name" and isinstance(key[-2], str) and get_value(text, key[:-1]) is MISSING
        if gone and isinstance(value, str) and value != key[-2]:
            raise SiteFileError("is not there any more: it was renamed or taken out", key=key_text(key[:-1]))


def _holds(text: str, change: KeyChange) -> bool:
    found = get_value(text, change.key)
    if change.after is REMOVE and isinstance(change.key[-1], int) and found is not MISSING:
        # Another element has moved to its place.
        return not any(same(one, change.before) for one in get_value(text, change.key[:-1]))
    return same(found, MISSING if change.after is REMOVE else change.after)


def rebuilt(base: str, text: str, undone: Edit, edits: Sequence[Edit]) -> str:
    """Return the draft's ``text`` without an edit that stands. ``edits``: all of the draft, in order.

    The other edits are made anew on ``base``, so that comments and order are as they were. Where that would change
    more than the edit did, its keys are given back what they were. Raises SiteFileError where they cannot be.
    """
    if undone.before is not None:
        return undone.before
    rest = without(edits, undone)
    if not rest:
        return base
    since = _since(undone, edits)
    backward = [
        (_key_after(change.key, since), REMOVE if change.before is MISSING else change.before)
        for change in reversed(undone.changes)
    ]
    if any(edit.before is not None for edit in rest):
        return edit_text(text, backward)
    others = [edit for edit in edits if edit is not undone]
    standing = [now for edit, now in zip(others, rest, strict=True) if stands(text, edit, edits)]
    try:
        anew = edit_text(base, [(change.key, change.after) for edit in rest for change in edit.changes])
        fits = all(stands(anew, edit, rest) for edit in standing) and all(
            same(get_value(anew, _key_after(change.key, since[1:])), change.before) for change in undone.changes
        )
    except SiteFileError:
        fits = False
    return anew if fits else edit_text(text, backward)


def compare(text_a: str, text_b: str, path: Path) -> tuple[KeyChange, ...]:
    """Return which keys differ between two site files, complete with their defaults, in the order of the file.

    ``path``: where files that they name are looked for. Raises SiteFileError where one is not valid.
    """
    a, b = (dict(flatten(load_site_text(text, path).settings)) for text in (text_a, text_b))
    keys = dict.fromkeys([*a, *b])
    return tuple(
        KeyChange(key, a.get(key, MISSING), b.get(key, MISSING))
        for key in keys
        if not same(a.get(key, MISSING), b.get(key, MISSING))
    )


def flatten(settings: Any, above: KeyPath = ()) -> Iterator[tuple[KeyPath, Any]]:
    """Yield (key, value) of all values in complete settings; tables of an array by their names where they have them."""
    if isinstance(settings, Mapping):
        for key, value in settings.items():
            yield from flatten(value, (*above, key))
    elif isinstance(settings, Sequence) and settings and all(isinstance(one, Mapping) for one in settings):
        for place, one in enumerate(settings):
            yield from flatten(one, (*above, one.get("name", place)))
    else:
        yield above, settings


def in_settings(settings: Any, key: KeyPath) -> Any:
    """Return the value of a key in complete settings; MISSING where there is none."""
    node = settings
    for part in key:
        if isinstance(node, Mapping):
            node = node.get(part, MISSING) if isinstance(part, str) else MISSING
        elif isinstance(node, Sequence) and not isinstance(node, str):
            if isinstance(part, str):
                node = next((one for one in node if isinstance(one, Mapping) and one.get("name") == part), MISSING)
            else:
                node = node[part] if part < len(node) else MISSING
        else:
            return MISSING
    return node


def overlap(a: KeyPath, b: KeyPath) -> bool:
    """Return whether two keys are the same, or one lies within the other."""
    shorter = min(len(a), len(b))
    return a[:shorter] == b[:shorter]


def same(a: Any, b: Any) -> bool:
    """Return whether two values, or marks, mean the same: 1 and 1.0 do, 1 and true do not."""
    if a is MISSING or b is MISSING or a is REMOVE or b is REMOVE:
        return a is b
    if isinstance(a, bool) != isinstance(b, bool):
        return False
    if isinstance(a, Mapping) and isinstance(b, Mapping):
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    if isinstance(a, (list, tuple)) and isinstance(b, (list, tuple)):
        return len(a) == len(b) and all(same(x, y) for x, y in zip(a, b, strict=True))
    return bool(a == b)


_MARKS: Final = {"MISSING": MISSING, "REMOVE": REMOVE}


def _value_to(value: Any) -> Any:
    return {"mark": repr(value)} if value is MISSING or value is REMOVE else {"is": value}


def _value_from(entry: Any) -> Any:
    return _MARKS[entry["mark"]] if "mark" in entry else entry["is"]


def edit_to(edit: Edit) -> dict[str, Any]:
    """Return an edit as ``write_json`` takes it."""
    changes = [[key_text(one.key), _value_to(one.before), _value_to(one.after)] for one in edit.changes]
    return asdict(edit) | {"time": format_utc(edit.time), "changes": changes}


def edit_from(entry: dict[str, Any]) -> Edit:
    """Return the edit that ``edit_to`` wrote. Raises ValueError, KeyError or TypeError where it is none."""
    changes = tuple(
        KeyChange(parse_key(key), _value_from(before), _value_from(after)) for key, before, after in entry["changes"]
    )
    return Edit(**entry | {"time": parse_utc(entry["time"]), "changes": changes})


_TIMES: Final[dict[str, Any]] = {"datetime": datetime, "date": date, "time": time}


def write_json(value: Any) -> str:
    """Return plain data as JSON; the dates and times that TOML has are kept as such."""

    def default(one: Any) -> Any:
        for name, kind in _TIMES.items():  # a datetime is a date too: it comes first
            if isinstance(one, kind):
                return {f"toml {name}": one.isoformat()}
        raise TypeError(f"cannot be kept: {one!r}")

    return json.dumps(value, indent=1, default=default)


def read_json(text: str) -> Any:
    """Return what ``write_json`` wrote. Raises ValueError."""

    def hook(found: dict[str, Any]) -> Any:
        if len(found) == 1:
            name = next(iter(found)).removeprefix("toml ")
            if name in _TIMES:
                return _TIMES[name].fromisoformat(found[f"toml {name}"]) if f"toml {name}" in found else found
        return found

    return json.loads(text, object_hook=hook)
