"""Which settings a run uses: those of the site file, of the draft or of a saved version, with changes typed by hand."""

import tomllib
from typing import Any, Final

from so2cam.core.errors import InputError, SiteFileError
from so2cam.core.site import SPEED_METHODS
from so2cam.formats.siteedit import KeyPath, edit_text, key_text, parse_key
from so2cam.station.drafts import SiteDraft

SITE_FILE: Final = "file"
DRAFT: Final = "draft"
_METHODS: Final[KeyPath] = ("processing", "speed", "methods")


def parse_changes(text: str) -> list[tuple[KeyPath, Any]]:
    """Return the changes of lines ``processing.background.mode = "flat"``: dotted keys, values as in TOML.

    Empty lines and those that begin with # count for nothing. Raises InputError with line, key and remedy.
    """
    found: list[tuple[KeyPath, Any]] = []
    for number, line in enumerate(text.splitlines(), 1):
        written = line.strip()
        if not written or written.startswith("#"):
            continue
        name, equals, value = written.partition("=")
        where = f"line {number}"
        if not equals or not name.strip() or not value.strip():
            raise InputError(
                "is no change of a key",
                key=where,
                value=written,
                remedy='write key = value, as files.on_band = "fltrA"',
            )
        try:
            path = parse_key(name.strip())
        except ValueError:
            raise InputError(
                "is no key", key=where, value=name.strip(), remedy="write it as processing.background.mode"
            ) from None
        try:
            parsed = tomllib.loads(f"value = {value.strip()}")["value"]
        except tomllib.TOMLDecodeError:
            raise InputError(
                "is no value of TOML",
                key=f"{where}, {key_text(path)}",
                value=value.strip(),
                remedy='text stands in "quotes", lists in [brackets], decimals have a point',
            ) from None
        found.append((path, parsed))
    return found


def settings_text(draft: SiteDraft, source: str, changes: str, methods: tuple[str, ...] = ()) -> tuple[str, str]:
    """Return the site file for a run, and in words where it is from.

    ``source`` is ``file``, ``draft`` or the number of a version; ``methods``: speed methods instead of its own.
    Raises InputError or SiteFileError where that cannot be.
    """
    if source == SITE_FILE:
        text, words = draft.state().base, "the site file"
    elif source == DRAFT:
        state = draft.state()
        if state.problem is not None:
            raise state.problem
        text, words = state.text, "the draft"
    else:
        if not source.isdecimal():
            raise InputError("there are no such settings", key="settings", value=source)
        text, words = draft.version_text(int(source)), f"version {source}"
    edits = parse_changes(changes)
    if methods:
        unknown = [method for method in methods if method not in SPEED_METHODS]
        if unknown:
            raise InputError("is no speed method", key=key_text(_METHODS), value=", ".join(unknown))
        edits.append((_METHODS, list(methods)))
    if not edits:
        return text, words
    try:
        changed = edit_text(text, edits)
    except SiteFileError as error:
        raise InputError(error.message, key=error.key, value=error.value, remedy=error.remedy) from None
    return changed, f"{words} with {', '.join(dict.fromkeys(key_text(path) for path, _ in edits))} changed"
