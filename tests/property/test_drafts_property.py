"""Properties of the draft of a site file: nobody's change is lost, at whatever moment the station ends."""

import contextlib
import hashlib
import tomllib
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from unittest.mock import patch

from hypothesis import given, settings
from hypothesis import strategies as st

from so2cam.core.errors import InputError, SiteFileError
from so2cam.formats.siteedit import MISSING, REMOVE, KeyPath, edit_text, get_value
from so2cam.formats.textmerge import merge_texts
from so2cam.station import drafts
from so2cam.station.drafts import DraftConflict, SiteDraft

SITE = """# north
name = "north"
[volcano]
name = "V"
vent = { latitude = -39.42, longitude = -71.93, altitude_m = 2847.0 }
[camera.position]
latitude = -39.3774   # by map
longitude = -71.946386
altitude_m = 1172.0
[camera.view]
azimuth_deg = 171.3
elevation_deg = 19.0
[camera.optics]
field_of_view_deg = [28.0, 21.0]

# the near one
[[lines]]
name = "near"
start = [273, 236]
end = [408, 101]
normal = "left"

[[lines]]
name = "far"  # the far one
start = [234, 214]
end = [379, 66]
normal = "left"

[processing.background]
order = 2   # flat
"""
VALUES: dict[KeyPath, tuple[Any, ...]] = {
    ("processing", "background", "order"): (1, 2, 3, REMOVE),
    ("camera", "position", "latitude"): (-39.1, -39.2, -39.3),
    ("lines", "near", "start"): ([1, 2], [3, 4], [5, 6]),
    ("lines", "far", "end"): ([7, 8], [9, 1]),
    ("lines", "third"): ({"name": "third", "start": [1, 1], "end": [90, 90], "normal": "left"}, REMOVE),
    ("processing", "pairing", "tolerance_s"): (1.5, 2.5, REMOVE),
    ("files", "kinds"): ({"day": "plume"}, {"x y": "dark"}, REMOVE),
    ("processing", "background", "mode"): ("no such mode", "sky-surface", REMOVE),
}
KEYS = sorted(VALUES)
PEOPLE = ("Ann", "Bob")
ACTION = st.one_of(
    st.tuples(st.just("change"), st.sampled_from(PEOPLE), st.sampled_from(KEYS), st.integers(0, 3)),
    st.tuples(st.just("look"), st.sampled_from(PEOPLE)),
    st.tuples(st.just("undo"), st.sampled_from(PEOPLE)),
    st.tuples(st.just("save"), st.sampled_from(PEOPLE)),
    st.tuples(st.just("discard"), st.sampled_from(PEOPLE)),
    st.tuples(st.just("hand"), st.sampled_from(KEYS[:3]), st.integers(0, 3)),
    st.tuples(st.just("restart")),
)


class Killed(BaseException):
    """The station's process ended."""


class Bench:
    """A draft, what each person has before them, and what the draft must say of every key."""

    def __init__(self, folder: Path) -> None:
        self.file, self.folder = folder / "site.toml", folder / "setup"
        self.file.write_text(SITE, encoding="utf-8")
        self.draft = self.open()
        self.looks = dict.fromkeys(PEOPLE, SITE)

    def open(self) -> SiteDraft:
        return SiteDraft(self.file, self.folder)

    @property
    def text(self) -> str:
        return self.draft.state().text

    def do(self, action: Sequence[Any]) -> None:
        getattr(self, f"do_{action[0]}")(*action[1:])

    def do_look(self, who: str) -> None:
        self.looks[who] = self.text

    def do_change(self, who: str, key: KeyPath, number: int) -> None:
        value = VALUES[key][number % len(VALUES[key])]
        before, seen = self.text, get_value(self.looks[who], key)
        held = self.draft.state().value(key)
        wanted = MISSING if value is REMOVE else value
        theirs = get_value(before, key)
        conflict: DraftConflict | None = None
        try:
            self.draft.change({key: value}, by=who, seen={key: seen})
        except DraftConflict as error:
            conflict = error
        if conflict is not None:
            assert theirs not in (seen, wanted)
            assert conflict.path == key
            assert self.text == before
            return
        assert theirs in (seen, wanted) or (theirs is MISSING and held in (seen, wanted))  # its default is the same
        assert get_value(self.text, key) == wanted
        assert_others_same(before, self.text, key)
        self.looks[who] = self.text

    def do_undo(self, who: str) -> None:
        before, edits = self.text, self.draft.state().edits
        undone = self.draft.undo(who)
        if undone is None:
            assert self.text == before
            return
        assert undone.by == who
        assert undone in edits
        assert undone not in self.draft.state().edits
        assert_others_same(before, self.text, *(change.key for change in undone.changes))

    def do_discard(self, who: str) -> None:
        self.draft.discard(who)
        state = self.draft.state()
        assert state.text == state.base == self.file.read_text(encoding="utf-8")
        assert state.edits == ()

    def do_save(self, who: str) -> None:
        state = self.draft.state()
        try:
            version = self.draft.save("a note", who)
        except (InputError, SiteFileError):
            assert not state.changed or state.problem is not None
            assert self.file.read_text(encoding="utf-8") == state.base
            return
        assert self.file.read_text(encoding="utf-8") == state.text
        assert self.draft.version_text(version.number) == state.text
        assert not self.draft.state().changed
        assert "# north" in state.text

    def do_hand(self, key: KeyPath, number: int) -> None:
        value = VALUES[key][number % len(VALUES[key])]
        before = self.draft.state()
        disk = edit_text(before.base, [(key, value)])
        self.file.write_text(disk, encoding="utf-8")
        state = self.draft.state()
        assert state.base == disk
        mine = {change.key for edit in before.edits for change in edit.changes} if before.changed else set()
        for one in KEYS:
            source = state.text if one in mine else disk
            assert get_value(state.text, one) == get_value(source, one)
        if before.changed:
            assert state.edits or state.notes or not before.edits

    def do_restart(self) -> None:
        before = self.draft.state()
        self.draft = self.open()
        after = self.draft.state()
        assert (after.text, after.base, after.edits, after.notes) == (
            before.text,
            before.base,
            before.edits,
            before.notes,
        )

    def check(self) -> None:
        versions = self.draft.versions()
        assert [one.number for one in versions] == list(range(1, len(versions) + 1))
        for one in versions:
            assert hashlib.sha256(self.draft.version_text(one.number).encode()).hexdigest() == one.sha256
        assert self.draft.version_text(versions[-1].number) == self.draft.state().base


def assert_others_same(before: str, after: str, *changed: KeyPath) -> None:
    assert _without(after, changed) == _without(before, changed)


def _without(text: str, keys: Sequence[KeyPath]) -> Any:
    return _filled(tomllib.loads(edit_text(text, [(key, REMOVE) for key in keys])))


def _filled(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    return {key: _filled(one) for key, one in value.items() if _filled(one) != {}}


@settings(max_examples=25)
@given(st.lists(ACTION, max_size=14))
def test_two_people_lose_nothing(actions: list[Sequence[Any]]) -> None:
    with TemporaryDirectory() as folder:
        bench = Bench(Path(folder))
        for action in actions:
            bench.do(action)
            bench.check()


def _killed_after(writes: int) -> Callable[[Path, bytes], None]:
    left = [writes]
    write = drafts.atomic_write_bytes

    def killed(path: Path, data: bytes) -> None:
        if not left[0]:
            raise Killed
        left[0] -= 1
        write(path, data)

    return killed


@settings(max_examples=40)
@given(st.lists(ACTION, max_size=6), ACTION, st.integers(0, 4))
def test_a_station_that_is_killed_between_writes_has_it_before_or_after(
    actions: list[Sequence[Any]], last: Sequence[Any], writes: int
) -> None:
    with TemporaryDirectory() as folder:
        bench = Bench(Path(folder))
        for action in actions:
            bench.do(action)
        before = bench.draft.state()
        with patch.object(drafts, "atomic_write_bytes", _killed_after(writes)), contextlib.suppress(Killed):
            bench.do(last)
        disk = bench.file.read_text(encoding="utf-8")
        bench.draft = bench.open()
        after = bench.draft.state()
        bench.check()
        assert after.base == disk
        if last[0] == "hand":
            return
        if last[0] == "save":
            assert after.text == before.text
            assert disk in (before.base, before.text)
            assert after.edits == (before.edits if disk == before.base else ())
        elif after.text != before.text:
            assert last[0] in ("change", "undo", "discard")
        else:
            assert len(after.edits) - len(before.edits) in (-1, 0, 1) or last[0] == "discard"


ROWS = st.lists(st.sampled_from(["a\n", "b\n", "c\n", "\n"]), max_size=8)


@settings(max_examples=300)
@given(ROWS, ROWS, ROWS)
def test_texts_are_merged_whole_or_not_at_all(base: list[str], mine: list[str], theirs: list[str]) -> None:
    first, second, third = "".join(base), "".join(mine), "".join(theirs)
    assert merge_texts(first, first, third) == third
    assert merge_texts(first, second, first) == second
    assert merge_texts(first, second, second) == second
    assert merge_texts(first, second, third) == merge_texts(first, third, second)


@settings(max_examples=100)
@given(st.integers(0, 9), st.integers(0, 9))
def test_changes_of_rows_apart_are_both_there(one: int, two: int) -> None:
    rows = [f"{number}\n" for number in range(10)]
    mine, theirs = [*rows], [*rows]
    mine[one], theirs[two] = "mine\n", "theirs\n"
    merged = merge_texts("".join(rows), "".join(mine), "".join(theirs))
    if one == two:
        assert merged is None
    else:
        assert merged is not None
        assert {"mine\n", "theirs\n"} <= set(merged.splitlines(keepends=True))
