"""What is renamed in a draft: undone by its new name, edits before and after it followed, nothing made by halves."""

from pathlib import Path

import pytest

from so2cam.core.errors import SiteFileError
from so2cam.formats.siteedit import MISSING, KeyPath, edit_text, get_value
from so2cam.station.drafts import DraftConflict, SiteDraft
from so2cam.web.line_edits import TOTAL, renaming

TEXT = (Path(__file__).parents[3] / "examples" / "villarrica" / "site.toml").read_text(encoding="utf-8")
NAME: KeyPath = ("lines", "near", "name")
ORDER: KeyPath = ("processing", "background", "order")


@pytest.fixture
def draft(tmp_path: Path) -> SiteDraft:
    (tmp_path / "site.toml").write_text(edit_text(TEXT, [(TOTAL, ["near"])]), encoding="utf-8")
    return SiteDraft(tmp_path / "site.toml", tmp_path / "setup")


def rename(draft: SiteDraft, old: str, new: str, by: str = "Ann") -> None:
    draft.change(renaming(draft.state(), old, new), by=by, what=f"{old} to {new}", seen={("lines", old, "name"): old})


def undone(draft: SiteDraft, by: str = "Ann") -> str:
    found = draft.undo(by)
    return "" if found is None else found.what


def test_a_renaming_is_what_is_undone_last_done_first(draft: SiteDraft) -> None:
    before = draft.state().text
    draft.change({ORDER: 1}, by="Ann", what="order")
    rename(draft, "near", "first")
    rename(draft, "first", "second")
    assert draft.state().written(TOTAL) == ["second"]
    assert undone(draft) == "first to second"
    assert draft.state().written(TOTAL) == ["first"]
    assert draft.state().written(("lines", "first", "start")) == get_value(before, ("lines", "near", "start"))
    assert undone(draft) == "near to first"
    assert get_value(draft.state().text, ORDER) == 1
    assert undone(draft) == "order"
    assert draft.state().text == before


def test_what_was_done_to_it_before_and_after_is_followed(draft: SiteDraft) -> None:
    before = draft.state().text
    draft.change({("lines", "near", "start"): [9, 9]}, by="Bob", what="moved")
    rename(draft, "near", "first")
    draft.change({("lines", "first", "normal"): "right"}, by="Cem", what="turned")
    assert undone(draft, "Bob") == "moved"
    assert draft.state().written(("lines", "first", "start")) == get_value(before, ("lines", "near", "start"))
    assert undone(draft, "Ann") == "near to first"
    assert draft.state().written(("lines", "near", "normal")) == "right"
    assert draft.state().written(("lines", "first")) is MISSING
    assert len(draft.state().written(("lines",))) == len(get_value(before, ("lines",)))
    assert undone(draft, "Cem") == "turned"
    assert draft.state().text == before


def test_a_line_that_was_renamed_meanwhile_is_not_made_by_halves(draft: SiteDraft) -> None:
    stale = renaming(draft.state(), "near", "second")
    rename(draft, "near", "first")
    before = draft.state().text
    with pytest.raises(DraftConflict, match="Ann has changed this"):
        draft.change(stale, by="Bob", seen={NAME: "near"})
    with pytest.raises(SiteFileError, match="not there any more"):
        draft.change(stale, by="Bob")
    assert draft.state().text == before


def test_a_renaming_of_what_was_taken_out_by_hand_is_said(draft: SiteDraft, tmp_path: Path) -> None:
    rename(draft, "near", "first")
    (tmp_path / "site.toml").write_text(TEXT.replace('"near"', '"by-hand"'), encoding="utf-8")
    state = draft.state()
    assert next(one["name"] for one in state.written(("lines",))) == "by-hand"
    assert state.edits == ()
    assert "near to first" in state.notes[0]
