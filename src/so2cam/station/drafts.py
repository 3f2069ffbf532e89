"""The draft of a site's file: one for all who set the site up together, kept by the station until it is saved.

Every change is an edit of single keys, with who made it; so two people who change different keys never lose anything,
and one who changes what somebody else has just changed is asked. The draft stands in ``STATION/setup/SITE/draft.json``
and survives restarts. Saving checks it, writes the site file in one step (its comments stay), and keeps the text as a
version with a note: ``versions/0003.toml``, listed in ``versions.json``. A site file that was changed by hand meanwhile
is kept as a version of its own, and the edits of the draft are put on top of it.
"""

import hashlib
import json
import logging
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from so2cam.core.errors import InputError, OutputError, SiteFileError, So2camError
from so2cam.core.times import format_utc, parse_utc
from so2cam.formats.siteedit import MISSING, REMOVE, KeyPath, edit_text, get_value, key_text, parse_key
from so2cam.formats.sitefile import LoadedSite, load_site_text
from so2cam.station.context import StationContext, StationSite
from so2cam.store.atomic import atomic_write_bytes

_LOG = logging.getLogger(__name__)
BY_HAND: Final = "changed by hand"
FOUND: Final = "as it was found"


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
        return _in_settings(self.loaded.settings, key) if written is MISSING else written

    def written(self, key: KeyPath) -> Any:
        """Return what the draft's text says of a key as plain data; MISSING where it does not have it."""
        return get_value(self.text, key)

    def key_changed(self, key: KeyPath) -> bool:
        """Return whether the draft says something else of a key than the saved file."""
        return not _same(get_value(self.text, key), get_value(self.base, key))

    def saved_value(self, key: KeyPath) -> Any:
        """Return the value of a key in the saved file; MISSING where it does not have it."""
        return get_value(self.base, key)


class DraftConflict(So2camError):  # noqa: N818 - it tells of somebody else, not of something wrong
    """Somebody else has changed the key meanwhile."""

    def __init__(self, key: KeyPath, theirs: Any, by: str, time: datetime | None) -> None:
        who = f"{by} has" if by else "somebody has"
        super().__init__(f"{who} changed this meanwhile", key=key_text(key), value=theirs)
        self.path, self.theirs, self.by, self.time = key, theirs, by, time


class SiteDraft:
    """The draft of one site's file, and its versions. Safe for threads; one process works with it."""

    def __init__(self, site_file: Path, folder: Path) -> None:
        """``folder``: where draft and versions are kept. Raises So2camError where they or the file cannot be read."""
        self._file, self._folder = site_file, folder
        self._lock = threading.RLock()
        self._versions = self._read_versions()
        self._number = 0
        self._edits: list[Edit] = []
        self._notes: tuple[str, ...] = ()
        self._base = self._text = self._read_file()
        self._valid: LoadedSite | None = None
        self._seen_text = ""
        self._problem: So2camError | None = None
        self._take_up()

    # --- looking -----------------------------------------------------------------------------------------------------

    def state(self) -> DraftState:
        """Return the draft as it is now. Raises So2camError where the site file cannot be read, or never was valid."""
        with self._lock:
            self._follow_file()
            loaded, problem = self._check()
            return DraftState(self._number, self._text, self._base, loaded, problem, tuple(self._edits), self._notes)

    @property
    def number(self) -> int:
        """Return the number of the draft's state: another number, another state."""
        return self._number

    def versions(self) -> tuple[Version, ...]:
        """Return all versions, the oldest first."""
        with self._lock:
            return tuple(self._versions)

    def version_text(self, number: int) -> str:
        """Return the site file of a version. Raises InputError where there is none."""
        try:
            return self._version_path(number).read_text(encoding="utf-8")
        except (OSError, ValueError):
            raise InputError("there is no such version", key="version", value=number) from None

    # --- changing ----------------------------------------------------------------------------------------------------

    def change(
        self, changes: Mapping[KeyPath, Any], *, by: str, what: str = "", seen: Mapping[KeyPath, Any] | None = None
    ) -> DraftState:
        """Change keys at once; REMOVE takes one out. ``what`` says it in words.

        ``seen``: what the person had before them, MISSING for what the file did not have. Where a key no longer is so,
        nothing is changed, and DraftConflict says who changed it. Raises SiteFileError where a key cannot be changed
        where it stands.
        """
        with self._lock:
            now = self.state()
            for key, value in (seen or {}).items():
                current = get_value(now.text, key) if value is MISSING else now.value(key)
                wanted = changes.get(key, MISSING)
                if not _same(current, value) and not _same(current, wanted):
                    raise self._conflict(key, current)
            done = [
                KeyChange(key, get_value(self._text, key), value)
                for key, value in changes.items()
                if not _same(get_value(self._text, key), MISSING if value is REMOVE else value)
            ]
            if not done:
                return now
            text = edit_text(self._text, [(change.key, change.after) for change in done])
            named = what or ", ".join(key_text(change.key) for change in done)
            self._put(text, Edit(self._number + 1, tuple(done), by, _now(), named))
            return self.state()

    def undo(self, by: str) -> Edit | None:
        """Undo the last edit of this person that still stands as they made it; return it, None where there is none."""
        with self._lock:
            self.state()
            for edit in reversed(self._edits):
                if edit.by != by or not self._stands(edit):
                    continue
                rest = [other for other in self._edits if other is not edit]
                if not rest:
                    text = self._base
                elif edit.before is not None:
                    text = edit.before
                else:
                    backward = [
                        (change.key, REMOVE if change.before is MISSING else change.before)
                        for change in reversed(edit.changes)
                    ]
                    text = edit_text(self._text, backward)
                self._edits = rest
                self._text = text
                self._number += 1
                self._keep()
                return edit
            return None

    def discard(self, by: str) -> None:
        """Forget all edits: the draft is the saved file again."""
        with self._lock:
            self.state()
            if self._edits or self._text != self._base:
                _LOG.info("%s: %d edits of the draft discarded by %s", self._file, len(self._edits), by)
                self._edits, self._text, self._notes = [], self._base, ()
                self._number += 1
                self._keep()

    def replace(self, text: str, by: str, what: str) -> DraftState:
        """Take another whole text for the draft. Raises SiteFileError where it is no TOML."""
        with self._lock:
            self.state()
            get_value(text, ("name",))
            if text != self._text:
                self._put(text, Edit(self._number + 1, (), by, _now(), what, self._text))
            return self.state()

    def save(self, note: str, by: str) -> Version:
        """Check the draft, write the site file, and keep it as a version.

        Raises SiteFileError where the draft is not valid, InputError where nothing was changed, OutputError where the
        file cannot be written; the file is then as it was.
        """
        with self._lock:
            state = self.state()
            if not state.changed:
                raise InputError("nothing was changed since the last version", key="draft")
            if state.problem is not None:
                raise state.problem
            self._keep(saving={"note": note, "by": by})
            try:
                atomic_write_bytes(self._file, self._text.encode())
            except OSError as error:
                self._keep()
                raise OutputError(f"cannot be written: {error.strerror or error}", file=self._file) from None
            return self._saved(note, by)

    # --- inside ------------------------------------------------------------------------------------------------------

    def _saved(self, note: str, by: str) -> Version:
        version = self._add_version(self._text, note, by)
        self._base, self._edits, self._notes = self._text, [], ()
        self._number += 1
        self._keep()
        return version

    def _put(self, text: str, edit: Edit) -> None:
        self._text = text
        self._edits.append(edit)
        self._number += 1
        self._keep()

    def _stands(self, edit: Edit) -> bool:
        """Tell whether what an edit did was not changed again since."""
        if edit.before is not None:
            return edit is self._edits[-1]
        return all(
            _same(get_value(self._text, change.key), MISSING if change.after is REMOVE else change.after)
            for change in edit.changes
        )

    def _conflict(self, key: KeyPath, theirs: Any) -> DraftConflict:
        for edit in reversed(self._edits):
            if edit.before is not None or any(_overlap(change.key, key) for change in edit.changes):
                return DraftConflict(key, theirs, edit.by, edit.time)
        return DraftConflict(key, theirs, "", None)

    def _check(self) -> tuple[LoadedSite, So2camError | None]:
        if self._text != self._seen_text or self._valid is None:
            self._seen_text = self._text
            try:
                self._valid, self._problem = load_site_text(self._text, self._file), None
            except So2camError as error:
                self._problem = error
                if self._valid is None:
                    self._valid = load_site_text(self._base, self._file)
        return self._valid, self._problem

    def _follow_file(self) -> None:
        """Where the site file was changed by hand: keep it as a version, and put the edits on top of it."""
        disk = self._read_file()
        if disk == self._base:
            return
        _LOG.info("%s was changed by hand", self._file)
        self._add_version(disk, BY_HAND, "")
        text, kept, notes = disk, [], []
        for edit in self._edits:
            try:
                if edit.before is not None:
                    raise SiteFileError("it was of the whole file")
                text = edit_text(text, [(change.key, change.after) for change in edit.changes])
            except So2camError as error:
                notes.append(f"{edit.what} ({edit.by}): {error.message}")
            else:
                kept.append(edit)
        self._base, self._text, self._edits, self._notes = disk, text, kept, tuple(notes)
        self._valid = None
        self._number += 1
        self._keep()

    # --- what is kept ------------------------------------------------------------------------------------------------

    def _take_up(self) -> None:
        """Take up the draft that was kept; a saving that was cut off is ended."""
        disk = self._base
        try:
            kept = json.loads((self._folder / "draft.json").read_text(encoding="utf-8"))
            self._number = int(kept["number"])
            self._base, self._text = str(kept["base"]), str(kept["text"])
            self._edits = [_edit_from(entry) for entry in kept["edits"]]
            self._notes = tuple(str(note) for note in kept["notes"])
            saving = kept.get("saving")
        except FileNotFoundError:
            saving = None
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise InputError(
                f"the draft cannot be read: {error}",
                file=self._folder / "draft.json",
                remedy="move the file away; the site file itself is whole",
            ) from None
        if not self._versions:
            self._add_version(self._base, FOUND, "")
        if saving is not None and disk == self._text:
            self._saved(str(saving["note"]), str(saving["by"]))

    def _keep(self, saving: dict[str, str] | None = None) -> None:
        content = {
            "number": self._number,
            "base": self._base,
            "text": self._text,
            "notes": list(self._notes),
            "edits": [_edit_to(edit) for edit in self._edits],
            "saving": saving,
        }
        self._write(self._folder / "draft.json", json.dumps(content, indent=1, default=str))

    def _add_version(self, text: str, note: str, by: str) -> Version:
        digest = hashlib.sha256(text.encode()).hexdigest()
        if self._versions and self._versions[-1].sha256 == digest:
            return self._versions[-1]
        version = Version(len(self._versions) + 1, _now(), by, note, digest)
        self._write(self._version_path(version.number), text)
        listed = [asdict(one) | {"time": format_utc(one.time)} for one in (*self._versions, version)]
        self._write(self._folder / "versions.json", json.dumps(listed, indent=1))
        self._versions.append(version)
        return version

    def _read_versions(self) -> list[Version]:
        path = self._folder / "versions.json"
        try:
            listed = json.loads(path.read_text(encoding="utf-8"))
            return [Version(**entry | {"time": parse_utc(entry["time"])}) for entry in listed]
        except FileNotFoundError:
            return []
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise InputError(f"the list of versions cannot be read: {error}", file=path) from None

    def _version_path(self, number: int) -> Path:
        return self._folder / "versions" / f"{number:04d}.toml"

    def _write(self, path: Path, text: str) -> None:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            atomic_write_bytes(path, text.encode())
        except OSError as error:
            raise OutputError(f"cannot be written: {error.strerror or error}", file=path) from None

    def _read_file(self) -> str:
        try:
            return self._file.read_bytes().decode("utf-8-sig")
        except (OSError, ValueError) as error:
            raise SiteFileError(f"cannot be read: {error}", file=self._file) from None


def setup_folder(context: StationContext, site: StationSite) -> Path:
    """Return where the draft of a site's file and its versions are kept."""
    return context.folder / "setup" / site.results.name


def compare(text_a: str, text_b: str, path: Path) -> tuple[KeyChange, ...]:
    """Return which keys differ between two site files, complete with their defaults, in the order of the file.

    ``path``: where files that they name are looked for. Raises SiteFileError where one is not valid.
    """
    a, b = (dict(flatten(load_site_text(text, path).settings)) for text in (text_a, text_b))
    keys = dict.fromkeys([*a, *b])
    return tuple(
        KeyChange(key, a.get(key, MISSING), b.get(key, MISSING))
        for key in keys
        if not _same(a.get(key, MISSING), b.get(key, MISSING))
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


def _in_settings(settings: Any, key: KeyPath) -> Any:
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


def _overlap(a: KeyPath, b: KeyPath) -> bool:
    """Tell whether two keys are the same, or one lies within the other."""
    shorter = min(len(a), len(b))
    return a[:shorter] == b[:shorter]


def _same(a: Any, b: Any) -> bool:
    if a is MISSING or b is MISSING or a is REMOVE or b is REMOVE:
        return a is b
    if isinstance(a, bool) != isinstance(b, bool):
        return False
    if isinstance(a, Mapping) and isinstance(b, Mapping):
        return a.keys() == b.keys() and all(_same(a[key], b[key]) for key in a)
    if isinstance(a, (list, tuple)) and isinstance(b, (list, tuple)):
        return len(a) == len(b) and all(_same(x, y) for x, y in zip(a, b, strict=True))
    return bool(a == b)


_MARKS: Final = {"MISSING": MISSING, "REMOVE": REMOVE}


def _value_to(value: Any) -> Any:
    return {"mark": repr(value)} if value is MISSING or value is REMOVE else {"is": value}


def _value_from(entry: Any) -> Any:
    return _MARKS[entry["mark"]] if "mark" in entry else entry["is"]


def _edit_to(edit: Edit) -> dict[str, Any]:
    changes = [[key_text(one.key), _value_to(one.before), _value_to(one.after)] for one in edit.changes]
    return asdict(edit) | {"time": format_utc(edit.time), "changes": changes}


def _edit_from(entry: dict[str, Any]) -> Edit:
    changes = tuple(
        KeyChange(parse_key(key), _value_from(before), _value_from(after)) for key, before, after in entry["changes"]
    )
    return Edit(**entry | {"time": parse_utc(entry["time"]), "changes": changes})


def _now() -> datetime:
    return datetime.now(UTC)
