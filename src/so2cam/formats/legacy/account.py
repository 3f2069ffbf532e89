"""The account of an import: what became of every file and of every key in it. Nothing is left out of it."""

import re
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Final

_SECRET = re.compile(
    r"pass|pwd|secret|token|credential|api_?key|(?:^|[_.])key$|private|auth|login|(?:^|[_.])u(?:ser|name)",
    re.IGNORECASE,
)
_LOGIN_IN_ADDRESS = re.compile(r"(?<=//)[^/@\s]{1,200}@|[^/@:\s]{1,100}:[^/@\s]{1,100}@")
_LIMIT: Final = 200
_LONGEST_LIST: Final = 50


class Outcome(StrEnum):
    """What became of a key."""

    CARRIED = "carried"
    OWN_WAY = "so2cam's own way"
    """so2cam needs no setting for it."""
    NOT_YET = "not carried yet"
    """It belongs to something that so2cam does not do yet."""
    NOT_USED = "not used"
    """Another file was chosen, or the value is no use."""
    LEFT_OUT = "left out on purpose"
    """Logins, and files that could run a program when they are read."""
    LOOK = "please look"
    """It could not be read, or is not known."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One key of one file. ``value`` is None where it is not shown."""

    key: str
    value: str | None
    outcome: Outcome
    note: str


@dataclass(slots=True)
class FileAccount:
    """One file: what it is, what was done with it, and its keys. ``outcome`` is None where the keys say it all."""

    name: str
    what: str
    outcome: Outcome | None = None
    note: str = ""
    entries: dict[str, Entry] = field(default_factory=dict)


class Account:
    """All files of an import. Keys are listed first and settled one by one, so that none can be forgotten."""

    def __init__(self) -> None:
        self._files: dict[str, FileAccount] = {}
        self._notices: list[str] = []

    @property
    def files(self) -> tuple[FileAccount, ...]:
        """The files, in the order in which they were added."""
        return tuple(self._files.values())

    @property
    def notices(self) -> tuple[str, ...]:
        """What the user must know at once, in plain sentences."""
        return tuple(self._notices)

    def notice(self, text: str) -> None:
        """Add a sentence to what the user must know at once."""
        if text not in self._notices:
            self._notices.append(text)

    def add_file(self, name: str, what: str, outcome: Outcome | None = None, note: str = "") -> None:
        """Add a file, or say something else of it."""
        known = self._files.setdefault(name, FileAccount(name, what))
        known.what, known.outcome, known.note = what, outcome, note

    def add(self, file: str, key: str, value: object, outcome: Outcome, note: str, *, show: bool = True) -> None:
        """Add a key of ``file``. A value that may be a login is never kept, whatever the file."""
        entries = self._files[file].entries
        name, count = key, 2
        while name in entries:
            name, count = f"{key} ({count})", count + 1
        shown = show_value(value) if show and value is not None else None
        if is_secret(key):
            shown, outcome, note = None, Outcome.LEFT_OUT, "a login: never imported; so2cam keeps none in the site file"
        entries[name] = Entry(name, shown, outcome, note)

    def settle(self, file: str, key: str, outcome: Outcome, note: str) -> None:
        """Say what became of a key. Keys that the file does not have, and logins, are left as they are."""
        entries = self._files[file].entries
        known = entries.get(key)
        if known is not None and known.outcome is not Outcome.LEFT_OUT:
            entries[key] = replace(known, outcome=outcome, note=note)

    def carry(self, file: str, key: str, where: str, note: str = "") -> None:
        """Say that a key went to ``where`` in the site file."""
        self.settle(file, key, Outcome.CARRIED, f"`{where}`" + (f": {note}" if note else ""))


def is_secret(key: str) -> bool:
    """Return True for the key of something that opens a door: user names, passwords, tokens."""
    return _SECRET.search(key) is not None


def show_value(value: object) -> str:
    """Return ``value`` as it may be shown: on one line, not too long, without a login in an address."""
    if value is None or value == "":
        return "(empty)"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict):
        return "(table)"
    if isinstance(value, list):
        return plain(f"[{', '.join(show_value(part) for part in value[:_LONGEST_LIST])}]", 2 * _LIMIT)
    return plain(_LOGIN_IN_ADDRESS.sub("***@", str(value)[: 4 * _LIMIT]))


def plain(text: str, limit: int = _LIMIT) -> str:
    """Return ``text`` cut to ``limit`` characters, with those that are not for showing spelled out."""
    if len(text) > limit:
        text = text[: limit - 1] + "…"
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode("ascii")
        for character in text
    )
