"""The draft of a site's file: one for all who set the site up together, kept by the station until it is saved.

Every change is an edit of single keys, with who made it; so two people who change different keys never lose anything,
and one who changes what somebody else has just changed is asked. The draft stands in ``STATION/setup/SITE/draft.json``
and survives restarts. Saving checks it, writes the site file in one step (its comments stay), and keeps the text as a
version with a note: ``versions/0003.toml``, listed in ``versions.json``. A site file that was changed by hand meanwhile
is kept as a version of its own, and the edits of the draft are put on top of it.
"""

import hashlib
import logging
import threading
import weakref
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from so2cam.core.errors import InputError, OutputError, SiteFileError, So2camError
from so2cam.core.times import format_utc, parse_utc
from so2cam.formats.siteedit import MISSING, REMOVE, KeyPath, edit_text, get_value, key_text
from so2cam.formats.sitefile import LoadedSite, load_site_text
from so2cam.formats.textmerge import merge_texts
from so2cam.station.context import StationContext, StationSite
from so2cam.station.draft_edits import (
    DraftState,
    Edit,
    KeyChange,
    Version,
    compare,
    edit_from,
    edit_to,
    flatten,
    overlap,
    read_json,
    rebuilt,
    refuse_half,
    same,
    stands,
    without,
    write_json,
)
from so2cam.store.atomic import atomic_write_bytes

__all__ = [
    "DraftConflict",
    "DraftState",
    "Edit",
    "KeyChange",
    "SiteDraft",
    "TextConflict",
    "Version",
    "compare",
    "flatten",
    "open_draft",
    "setup_folder",
]
_LOG = logging.getLogger(__name__)
BY_HAND: Final = "changed by hand"
BROKEN: Final = "changed by hand, not valid"
LEFT: Final = "draft that could not be put on top of a file changed by hand"
FOUND: Final = "as it was found"


class DraftConflict(So2camError):  # noqa: N818 - it tells of somebody else, not of something wrong
    """Somebody else has changed the key meanwhile."""

    def __init__(self, key: KeyPath, theirs: Any, by: str, time: datetime | None) -> None:
        who = f"{by} has" if by else "somebody has"
        super().__init__(f"{who} changed this meanwhile", key=key_text(key), value=theirs)
        self.path, self.theirs, self.by, self.time = key, theirs, by, time


class TextConflict(So2camError):  # noqa: N818 - as above
    """Somebody else has changed the same rows of the text meanwhile. ``theirs``: the draft's text now."""

    def __init__(self, theirs: str, by: str, time: datetime | None) -> None:
        who = f"{by} has" if by else "somebody has"
        super().__init__(f"{who} changed the same rows of the text meanwhile", remedy="look at both, and choose")
        self.theirs, self.by, self.time = theirs, by, time


class SiteDraft:
    """The draft of one site's file, and its versions. Safe for threads; one process works with it.

    What cannot be kept on the disk is not done: OutputError, and the draft is as it was.
    """

    def __init__(self, site_file: Path, folder: Path) -> None:
        """``folder``: where draft and versions are kept. Raises So2camError where they or the file cannot be read."""
        self._file, self._folder = site_file, folder
        self._lock = threading.RLock()
        self._versions = self._read_versions()
        self._number = 0
        self._edits: tuple[Edit, ...] = ()
        self._notes: tuple[str, ...] = ()
        self._base = self._text = self._read_file()
        self._valid: LoadedSite | None = None
        self._seen_text = ""
        self._problem: So2camError | None = None
        self._disk_text, self._disk_problem = self._base, ""
        self._take_up()

    # --- looking -----------------------------------------------------------------------------------------------------

    def state(self) -> DraftState:
        """Return the draft as it is now. Raises So2camError where it never was valid, or cannot be kept."""
        with self._lock:
            self._follow_file()
            loaded, problem = self._check()
            notes = (*self._notes, self._disk_problem) if self._disk_problem else self._notes
            return DraftState(self._number, self._text, self._base, loaded, problem, self._edits, notes)

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
            return self._version_path(number).read_bytes().decode()
        except (OSError, ValueError):
            raise InputError("there is no such version", key="version", value=number) from None

    @contextmanager
    def still(self) -> Iterator[DraftState]:
        """Give the draft as it is; nobody else changes it until this is left."""
        with self._lock:
            yield self.state()

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
                if not same(current, value) and not same(current, MISSING if wanted is REMOVE else wanted):
                    raise self._conflict(key, current)
            done = [
                KeyChange(key, get_value(self._text, key), value)
                for key, value in changes.items()
                if not same(get_value(self._text, key), MISSING if value is REMOVE else value)
            ]
            if not done:
                return now
            refuse_half(self._text, changes)
            text = edit_text(self._text, [(change.key, change.after) for change in done])
            named = what or ", ".join(key_text(change.key) for change in done)
            self._put(text, Edit(self._number + 1, tuple(done), by, _now(), named))
            return self.state()

    def undo(self, by: str) -> Edit | None:
        """Undo the last edit of this person that still stands as they made it; return it, None where there is none."""
        with self._lock:
            self.state()
            for edit in reversed(self._edits):
                if edit.by == by and stands(self._text, edit, self._edits):
                    text = rebuilt(self._base, self._text, edit, self._edits)
                    self._become(text, without(self._edits, edit))
                    return edit
            return None

    def discard(self, by: str) -> None:
        """Forget all edits: the draft is the saved file again."""
        with self._lock:
            self.state()
            if self._edits or self._notes or self._text != self._base:
                count = len(self._edits)
                self._become(self._base, (), notes=())
                _LOG.info("%s: %d edits of the draft discarded by %s", self._file, count, by)

    def replace(self, text: str, by: str, what: str, *, seen: str | None = None) -> DraftState:
        """Take another whole text for the draft. Raises SiteFileError where it is no TOML.

        ``seen``: the text that the person began with. What others changed meanwhile is kept; where they changed the
        same rows nothing is done: TextConflict.
        """
        with self._lock:
            self.state()
            get_value(text, ("name",))
            if seen is not None and seen != self._text:
                text = self._merged(seen, text)
            if text != self._text:
                self._put(text, Edit(self._number + 1, (), by, _now(), what, self._text))
            return self.state()

    def save(self, note: str, by: str) -> Version:
        """Check the draft, write the site file, and keep it as a version.

        Raises SiteFileError where the draft is not valid, InputError where nothing was changed or the installation has
        another name, OutputError where the file cannot be written; the file is then as it was.
        """
        with self._lock:
            state = self.state()
            if not state.changed:
                raise InputError("nothing was changed since the last version", key="draft")
            if state.problem is not None:
                raise state.problem
            _refuse_other_name(self._base, self._text, self._file)
            if self._disk_problem and self._disk_text:
                self._add_version(self._disk_text, BROKEN, "")
            self._keep(self._base, self._text, self._edits, self._notes, saving={"note": note, "by": by})
            try:
                atomic_write_bytes(self._file, self._text.encode())
            except OSError as error:
                self._keep(self._base, self._text, self._edits, self._notes)
                raise OutputError(f"cannot be written: {error.strerror or error}", file=self._file) from None
            return self._saved(note, by)

    # --- inside ------------------------------------------------------------------------------------------------------

    def _saved(self, note: str, by: str) -> Version:
        version = self._add_version(self._text, note, by)
        self._become(self._text, (), base=self._text, notes=())
        self._disk_text, self._disk_problem = self._text, ""
        return version

    def _put(self, text: str, edit: Edit) -> None:
        self._become(text, (*self._edits, edit))

    def _become(
        self, text: str, edits: tuple[Edit, ...], *, base: str | None = None, notes: tuple[str, ...] | None = None
    ) -> None:
        """Take up another state, once it is kept."""
        base = self._base if base is None else base
        notes = self._notes if notes is None else notes
        self._keep(base, text, edits, notes)
        self._base, self._text, self._edits, self._notes = base, text, edits, notes
        self._number += 1

    def _merged(self, seen: str, text: str) -> str:
        merged = merge_texts(seen, text, self._text)
        try:
            if merged is not None:
                get_value(merged, ("name",))
                return merged
        except SiteFileError:
            pass  # each was TOML; together they are not
        last = self._edits[-1] if self._edits else None
        raise TextConflict(self._text, "" if last is None else last.by, None if last is None else last.time)

    def _conflict(self, key: KeyPath, theirs: Any) -> DraftConflict:
        for edit in reversed(self._edits):
            if edit.before is not None or any(overlap(change.key, key) for change in edit.changes):
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

    # --- a file that is changed by hand ------------------------------------------------------------------------------

    def _follow_file(self) -> None:
        """Where the site file was changed by hand: keep it as a version, and put the edits on top of it."""
        disk = self._look_at_file()
        if disk is None or disk == self._base:
            return
        _LOG.info("%s was changed by hand", self._file)
        text, edits, notes = self._on_top_of(disk)
        if notes and len(edits) < len(self._edits):  # some could not be put on top of it
            self._add_version(self._text, LEFT, ", ".join(dict.fromkeys(edit.by for edit in self._edits)))
        self._add_version(disk, BY_HAND, "")
        self._become(text, edits, base=disk, notes=notes)

    def _look_at_file(self) -> str | None:
        """Return what the file says; None where it cannot be used as it is, which is said and the draft stays."""
        try:
            disk = self._read_file()
        except SiteFileError as error:
            self._disk_text, self._disk_problem = "", f"The site file is gone from its place: {error.message}."
            return None
        if disk != self._disk_text:
            self._disk_text, self._disk_problem = disk, ""
            try:
                load_site_text(disk, self._file)
            except So2camError as error:
                named = f"{error.key}: {error.message}" if error.key else error.message
                self._disk_problem = (
                    f"The site file was changed by hand and is not valid: {named}. The draft goes on from the "
                    "version before; saving it replaces the file, which is kept as a version."
                )
        elif self._disk_problem and disk == self._base:
            self._disk_problem = ""
        return None if self._disk_problem else disk

    def _on_top_of(self, disk: str) -> tuple[str, tuple[Edit, ...], tuple[str, ...]]:
        """Return (text, edits that are in it, what is to be said) of the draft on top of another file."""
        if self._text == self._base:
            return disk, (), ()
        if any(edit.before is not None for edit in self._edits):
            merged = merge_texts(self._base, self._text, disk)
            try:
                if merged is not None:
                    get_value(merged, ("name",))
                    # From here on it is one edit of the whole text: the texts between are no longer those that were.
                    last = self._edits[-1]
                    return merged, (replace(last, changes=(), before=disk, what=_all_of(self._edits)),), ()
            except SiteFileError:
                pass  # each was TOML; together they are not
        text, kept, notes = disk, list[Edit](), list[str]()
        for edit in self._edits:
            try:
                if edit.before is not None:
                    raise SiteFileError("it was of the whole file")
                refuse_half(text, {one.key: one.after for one in edit.changes})
                changes = tuple(replace(one, before=get_value(text, one.key)) for one in edit.changes)
                text = edit_text(text, [(change.key, change.after) for change in changes])
            except So2camError as error:
                notes.append(f"Not put on top of the file that was changed by hand: {edit.what} ({edit.by}): {error}.")
                continue
            kept.append(replace(edit, changes=changes))
            for change in changes:
                by_hand, after = get_value(disk, change.key), MISSING if change.after is REMOVE else change.after
                if not same(by_hand, get_value(self._base, change.key)) and not same(by_hand, after):
                    said = "taken out" if by_hand is MISSING else f"changed to {by_hand!r}"
                    notes.append(f"{key_text(change.key)} was {said} by hand; the draft has what {edit.by} set.")
        return text, tuple(kept), tuple(notes)

    # --- what is kept ------------------------------------------------------------------------------------------------

    def _take_up(self) -> None:
        """Take up the draft that was kept; a saving that was cut off is ended."""
        disk, saving = self._base, None
        try:
            kept = read_json((self._folder / "draft.json").read_text(encoding="utf-8"))
            self._number = int(kept["number"])
            self._base, self._text = str(kept["base"]), str(kept["text"])
            self._edits = tuple(edit_from(entry) for entry in kept["edits"])
            self._notes = tuple(str(note) for note in kept["notes"])
            saving = kept.get("saving")
        except FileNotFoundError:
            if self._versions:  # nobody has changed the draft yet; the file may be another one meanwhile
                self._base = self._text = self.version_text(self._versions[-1].number)
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

    def _keep(
        self,
        base: str,
        text: str,
        edits: Sequence[Edit],
        notes: Sequence[str],
        *,
        saving: dict[str, str] | None = None,
    ) -> None:
        content = {
            "number": self._number + 1,
            "base": base,
            "text": text,
            "notes": list(notes),
            "edits": [edit_to(edit) for edit in edits],
            "saving": saving,
        }
        self._write(self._folder / "draft.json", write_json(content))

    def _add_version(self, text: str, note: str, by: str) -> Version:
        digest = hashlib.sha256(text.encode()).hexdigest()
        if self._versions and self._versions[-1].sha256 == digest:
            return self._versions[-1]
        version = Version(len(self._versions) + 1, _now(), by, note, digest)
        self._write(self._version_path(version.number), text)
        listed = [asdict(one) | {"time": format_utc(one.time)} for one in (*self._versions, version)]
        self._write(self._folder / "versions.json", write_json(listed))
        self._versions.append(version)
        return version

    def _read_versions(self) -> list[Version]:
        path = self._folder / "versions.json"
        try:
            listed = read_json(path.read_text(encoding="utf-8"))
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


_OPEN: "weakref.WeakValueDictionary[tuple[Path, Path], SiteDraft]" = weakref.WeakValueDictionary()
_OPENING = threading.Lock()


def open_draft(context: StationContext, site: StationSite) -> SiteDraft:
    """Return the draft of a site: one object in a process, for a change may come while the station starts anew.

    Raises So2camError as ``SiteDraft`` does.
    """
    place = site.loaded.path.absolute(), setup_folder(context, site).absolute()
    with _OPENING:
        found = _OPEN.get(place)
        if found is None:
            found = _OPEN[place] = SiteDraft(site.loaded.path, place[1])
        return found


def setup_folder(context: StationContext, site: StationSite) -> Path:
    """Return where the draft of a site's file and its versions are kept."""
    return context.folder / "setup" / site.results.name


def _refuse_other_name(base: str, text: str, file: Path) -> None:
    """Raise InputError where the installation has another name: archive, results, draft and versions go by it."""
    old, new = get_value(base, ("name",)), get_value(text, ("name",))
    if not same(old, new):
        raise InputError(
            "cannot be changed: the archive, the results and the versions of the installation go by its name",
            file=file,
            key="name",
            value=new,
            remedy=f"give it back the name {old!r}; a new installation is made with `so2cam station new`",
        )


def _all_of(edits: Sequence[Edit]) -> str:
    return "; ".join(dict.fromkeys(edit.what for edit in edits))


def _now() -> datetime:
    return parse_utc(format_utc(datetime.now(UTC)))  # as it is kept
