"""What the page of the site file shows: rows of keys, what is wrong and where, imports, and drafts beside the usual."""

import io
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest

from so2cam.core.errors import InputError, OutputError, SiteFileError
from so2cam.core.site_keys import EACH, all_keys
from so2cam.formats.siteedit import MISSING, REMOVE
from so2cam.station import drafts
from so2cam.station.drafts import SiteDraft, TextConflict
from so2cam.station.key_rows import KeyRow, chosen_rows, key_rows, named_path
from so2cam.station.site_check import check_text
from so2cam.station.site_import import MOST_BYTES, import_uploads, with_kept

EXAMPLE = Path(__file__).parents[3] / "examples" / "villarrica" / "site.toml"
TEXT = EXAMPLE.read_text(encoding="utf-8")
ORDER = ("processing", "background", "order")
GEOMETRY = "volcano=Villarrica\nlat=-39.3774\nlon=-71.946386\naltitude=1170\nalt_offset=2\nelev=19.0\nazim=171.3\n"


@pytest.fixture
def place(tmp_path: Path) -> Path:
    (tmp_path / "site.toml").write_text(TEXT, encoding="utf-8")
    return tmp_path


@pytest.fixture
def draft(place: Path) -> SiteDraft:
    return SiteDraft(place / "site.toml", place / "setup")


def row(draft: SiteDraft, text: str) -> KeyRow:
    return next(one for one in key_rows(draft.state()) if one.text == text)


# --- rows of keys ----------------------------------------------------------------------------------------------------


def test_every_key_of_the_models_has_a_row(draft: SiteDraft) -> None:
    def model_path(one: KeyRow) -> tuple[str, ...]:
        return one.info.path if one.role != "element" else (*one.info.path, EACH)

    rows = key_rows(draft.state())
    assert {one.path for one in all_keys()} <= {model_path(one) for one in rows}
    assert len({one.path for one in rows}) == len(rows)


def test_rows_say_where_a_value_is_set_and_what_is_changed(draft: SiteDraft) -> None:
    assert (row(draft, "processing.background.mode").origin, row(draft, "processing.background.mode").value) == (
        "file",
        "sky-surface",
    )
    assert (row(draft, "processing.background.order").origin, row(draft, "processing.background.order").value) == (
        "default",
        2,
    )
    assert row(draft, "wind").origin == "absent"
    assert row(draft, "wind.speed_m_s").origin == "absent"
    assert not row(draft, "instrument.nodes[…].name").real
    draft.change({ORDER: 1, ("lines", "far"): REMOVE, ("spectrometer",): {}, ("station", "listen"): {}}, by="Ann")
    changed = {one.text for one in chosen_rows(key_rows(draft.state()), show="changed") if one.changed}
    assert {"processing.background.order", "lines.far", "spectrometer", "station"} <= changed
    assert "lines.near" not in changed
    assert row(draft, "lines.far").gone
    assert row(draft, "processing.background.order").saved is MISSING
    draft.change({("lines", "third"): {"name": "third"}, ("volcano", "name"): REMOVE}, by="Ann")
    assert row(draft, "volcano.name").origin == "needed"
    assert row(draft, "lines.third.start").real


def test_keys_are_found_by_words_of_their_meaning(draft: SiteDraft) -> None:
    rows = key_rows(draft.state())
    found = [one.text for one in chosen_rows(rows, words="north clockwise WIND")]
    assert found == ["wind", "wind.direction_from_deg"]
    assert chosen_rows(rows, words="nothing of the kind") == ()
    given = chosen_rows(rows, show="file")
    assert "camera.view.azimuth_deg" in {one.text for one in given}
    assert {one.origin for one in given if one.role == "key"} == {"file"}


def test_devices_show_only_the_keys_of_their_type(draft: SiteDraft) -> None:
    nodes = [{"name": "lead", "devices": [{"name": "board", "type": "power", "driver": "x"}]}]
    draft.change({("instrument",): {"nodes": nodes}}, by="Ann")
    texts = {
        one.text
        for one in key_rows(draft.state())
        if one.path[:5] == ("instrument", "nodes", "lead", "devices", "board")
    }
    assert "instrument.nodes.lead.devices.board.type" in texts
    assert "instrument.nodes.lead.devices.board.band" not in texts


def test_places_become_names() -> None:
    assert named_path(TEXT, ("lines", 1, "start")) == ("lines", "far", "start")
    assert named_path(TEXT, ("lines", 7, "start")) == ("lines", 7, "start")
    assert named_path("lines = [{name='a'}, {name='a'}]", ("lines", 1)) == ("lines", 1)


# --- what is wrong ---------------------------------------------------------------------------------------------------


def test_problems_and_risks_name_their_keys() -> None:
    text = TEXT.replace("end = [379, 66]", "end = [379, 600]")
    (found,) = check_text(text, EXAMPLE)
    assert (found.kind, found.path) == ("wrong", ("lines", "far", "end"))
    both = check_text(text.replace('mode = "sky-surface"', 'mode = "none such"'), EXAMPLE)
    assert [one.path for one in both if one.kind == "wrong"] == [("processing", "background", "mode")]
    several = check_text(TEXT.replace("bits = 10", 'bits = "ten"\nbyts = 1'), EXAMPLE)
    assert {one.path for one in several} == {("camera", "sensor", "bits"), ("camera", "sensor", "byts")}
    (broken,) = check_text("name = ", EXAMPLE)
    assert broken.path is None
    assert "is not valid TOML" in broken.message
    risks = check_text(TEXT.replace("azimuth_uncertainty_deg = 1.0", "azimuth_uncertainty_deg = 0.0"), EXAMPLE)
    assert ("risk", ("camera", "view", "azimuth_uncertainty_deg")) in {(one.kind, one.path) for one in risks}


# --- import ----------------------------------------------------------------------------------------------------------


def packed(**files: str) -> bytes:
    into = io.BytesIO()
    with zipfile.ZipFile(into, "w", zipfile.ZIP_DEFLATED) as made:
        for name, content in files.items():
            made.writestr(name.replace("__", "/"), content)
    return into.getvalue()


def test_an_installation_is_imported_from_a_zip_or_from_files() -> None:
    data = packed(conf__cam_geom__home_txt="x", **{"conf__cam_geom__home.txt": GEOMETRY, "..__..__evil.txt": GEOMETRY})
    with pytest.raises(InputError, match=r"several|choose"):
        import_uploads({"pycam.zip": packed(**{"a.txt": GEOMETRY, "b.txt": GEOMETRY.replace("171.3", "99")})})
    made = import_uploads({"pycam.zip": data})
    assert 'name = "Villarrica"' in made.text
    assert any("PLACEHOLDER" in notice for notice in made.notices)
    assert made.counts
    alone = import_uploads({"home.txt": GEOMETRY.encode()})
    assert alone.files[0].keys
    assert check_text(alone.text, EXAMPLE)[0].kind == "risk"


def test_what_an_installation_does_not_have_is_kept() -> None:
    made = import_uploads({"home.txt": GEOMETRY.encode()})
    text = TEXT + '\n# of the station\n[station]\nfolder = "here"   # on the disk\n[station.api]\nport = 9000\n'
    together = with_kept(made.text, text)
    assert 'folder = "here"   # on the disk' in together
    assert "port = 9000" in together
    assert 'name = "villarrica"' in together
    assert not [one for one in check_text(together, EXAMPLE) if one.kind == "wrong"]


@pytest.mark.parametrize("data", [b"no zip", packed(a="x" * (MOST_BYTES + 1))], ids=["damaged", "huge"])
def test_damaged_and_huge_zips_are_refused(data: bytes) -> None:
    with pytest.raises(InputError):
        import_uploads({"pycam.zip": data})


def test_a_site_file_is_taken_as_it_is() -> None:
    assert import_uploads({"site.toml": TEXT.encode()}).text == TEXT
    with pytest.raises(SiteFileError):
        import_uploads({"site.toml": b"\xff"})
    with pytest.raises(SiteFileError):
        import_uploads({"site.toml": b"a = "})


# --- drafts ----------------------------------------------------------------------------------------------------------


def test_a_file_that_is_broken_by_hand_costs_nobody_anything(draft: SiteDraft, place: Path) -> None:
    draft.change({ORDER: 1}, by="Ann")
    before = draft.state()
    (place / "site.toml").write_text("name = \n", encoding="utf-8")
    now = draft.state()
    assert (now.text, now.edits, now.base) == (before.text, before.edits, before.base)
    assert any("not valid" in note for note in now.notes)
    (place / "site.toml").unlink()
    assert any("gone" in note for note in draft.state().notes)
    (place / "site.toml").write_text("name = \n", encoding="utf-8")
    draft.state()
    draft.save("mended", "Bob")
    assert [one.note for one in draft.versions()] == [drafts.FOUND, drafts.BROKEN, "mended"]
    assert draft.version_text(2) == "name = \n"
    assert draft.state().notes == ()


def test_a_file_that_is_mended_is_taken_up(draft: SiteDraft, place: Path) -> None:
    draft.change({ORDER: 1}, by="Ann")
    (place / "site.toml").write_text("broken", encoding="utf-8")
    draft.state()
    (place / "site.toml").write_text(TEXT.replace("altitude_m = 2847", "altitude_m = 2850"), encoding="utf-8")
    now = draft.state()
    assert (now.written(ORDER), now.written(("volcano", "vent", "altitude_m"))) == (1, 2850)
    assert now.notes == ()


def test_a_file_that_was_changed_while_the_station_was_down_is_a_version(draft: SiteDraft, place: Path) -> None:
    assert len(draft.versions()) == 1
    (place / "site.toml").write_text(TEXT.replace("2847", "2850"), encoding="utf-8")
    again = SiteDraft(place / "site.toml", place / "setup")
    again.state()
    assert [one.note for one in again.versions()] == [drafts.FOUND, drafts.BY_HAND]


def test_the_same_key_changed_by_hand_is_named_and_undone_to_it(draft: SiteDraft, place: Path) -> None:
    draft.change({ORDER: 1}, by="Ann")
    draft.change({("camera", "view", "roll_deg"): 1.0}, by="Ann")
    by_hand = TEXT.replace('mode = "sky-surface"', 'order = 3\nmode = "sky-surface"')
    (place / "site.toml").write_text(by_hand, encoding="utf-8")
    now = draft.state()
    assert now.written(ORDER) == 1
    assert any("changed to 3 by hand" in note for note in now.notes)
    draft.undo("Ann")
    draft.undo("Ann")
    assert draft.state().written(ORDER) == 3


def test_undo_gives_back_comments_and_order(draft: SiteDraft) -> None:
    draft.change({("lines", "near"): REMOVE}, by="Ann")
    draft.change({ORDER: 1}, by="Bob")
    assert draft.undo("Ann") is not None
    assert draft.state().text.replace("order = 1\n", "") == TEXT
    draft.change({("lines", 0): REMOVE}, by="Ann")
    assert draft.undo("Ann") is not None
    assert [line.name for line in draft.state().loaded.site.lines] == ["near", "far"]


def test_lines_that_are_moved_keep_their_comments(draft: SiteDraft) -> None:
    lines = draft.state().written(("lines",))
    draft.change({("lines",): lines[::-1]}, by="Ann")
    text = draft.state().text
    assert [line.name for line in draft.state().loaded.site.lines] == ["far", "near"]
    for line in TEXT.splitlines():
        if "#" in line:
            assert line in text


def test_whole_texts_of_two_people_are_put_together(draft: SiteDraft) -> None:
    seen = draft.state().text
    draft.change({("camera", "view", "roll_deg"): 1.0}, by="Bob")
    draft.replace(seen.replace("altitude_m = 2847", "altitude_m = 2850"), "Ann", "text", seen=seen)
    now = draft.state()
    assert (now.written(("camera", "view", "roll_deg")), now.written(("volcano", "vent", "altitude_m"))) == (1.0, 2850)
    with pytest.raises(TextConflict) as conflict:
        draft.replace(seen.replace("altitude_m = 2847", "altitude_m = 9"), "Bob", "text", seen=seen)
    assert conflict.value.by == "Ann"
    assert draft.state() == now


def test_a_full_disk_changes_nothing(draft: SiteDraft, monkeypatch: pytest.MonkeyPatch) -> None:
    draft.change({ORDER: 1}, by="Ann")
    before = draft.state()

    def full(path: Path, data: bytes) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(drafts, "atomic_write_bytes", full)
    for work in (
        lambda: draft.change({ORDER: 3}, by="Bob"),
        lambda: draft.undo("Ann"),
        lambda: draft.discard("Ann"),
        lambda: draft.save("note", "Ann"),
    ):
        with pytest.raises(OutputError, match="No space left"):
            work()
        assert draft.state() == replace(before)


def test_only_what_could_not_be_put_on_top_is_kept_as_left(draft: SiteDraft, place: Path) -> None:
    seen = draft.state().text
    draft.change({ORDER: 1}, by="Ann")
    draft.replace(draft.state().text.replace("roll_deg = 0.0", "roll_deg = 1.0") + "\n# end\n", "Bob", "text")
    (place / "site.toml").write_text(seen.replace("altitude_m = 2847", "altitude_m = 2850"), encoding="utf-8")
    now = draft.state()
    assert (now.written(ORDER), now.written(("volcano", "vent", "altitude_m"))) == (1, 2850)
    assert [one.note for one in draft.versions()] == [drafts.FOUND, drafts.BY_HAND]
    draft.change({("lines", "near", "name"): "first"}, by="Ann", what="renamed")
    (place / "site.toml").write_text(seen.replace('"near"', '"by-hand"'), encoding="utf-8")
    assert "# end" not in draft.state().text
    assert [one.note for one in draft.versions()][2:] == [drafts.LEFT, drafts.BY_HAND]


def test_another_name_of_the_installation_is_not_saved(draft: SiteDraft, place: Path) -> None:
    draft.change({("name",): "elsewhere", ORDER: 1}, by="Ann")
    with pytest.raises(InputError, match="go by its name") as refused:
        draft.save("moved", "Ann")
    assert refused.value.key == "name"
    assert "so2cam station new" in str(refused.value.remedy)
    assert (place / "site.toml").read_text(encoding="utf-8") == TEXT
    draft.change({("name",): draft.state().saved_value(("name",))}, by="Ann")
    assert draft.save("order", "Ann").number == 2
