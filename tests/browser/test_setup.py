"""The page of the site file: people who set a site up together, and what becomes of what they save."""

import io
import re
import zipfile
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import BrowserContext, Page, expect

from so2cam.formats.sitefile import load_site
from so2cam.station.live_day import processing_hash

pytestmark = pytest.mark.timeout(300)
HEALS_MS = 30_000
ORDER = "processing.background.order"


def at(page: Page, archive: Any, query: str) -> None:
    page.goto(f"{archive.url}/setup?{query}")
    expect(page.get_by_test_id("draft-words")).to_be_visible()
    page.wait_for_function("window.did_handshake")


def write(page: Page, key: str, value: str) -> None:
    field = page.get_by_test_id(f"key-{key}")
    field.fill(value)
    field.press("Enter")


def caught_up(page: Page) -> None:
    """Wait until a page has all that the server sent it before: a field that is set is told so twice."""
    page.evaluate(
        "() => window.socket.emitWithAck('ack', {client_id: window.clientId, next_message_id: window.nextMessageId})"
    )


def conflict(page: Page, archive: Any, other: Page, *, theirs: str, mine: str) -> None:
    """Somebody types into the order while ``other`` sets it."""
    page.get_by_test_id(f"key-{ORDER}").fill(mine)
    write(other, ORDER, theirs)
    expect(page.get_by_test_id("card-facts")).to_contain_text(re.compile(rf"now\s*{theirs}\b"))
    page.get_by_test_id(f"key-{ORDER}").press("Enter")
    expect(page.get_by_test_id("conflict-theirs")).to_contain_text(theirs)


def test_two_people_set_up_one_site_and_lose_nothing(page: Page, other: BrowserContext, archive: Any) -> None:
    archive.fresh_draft()
    archive.enter(page)
    bob = other.new_page()
    archive.enter(bob, "operator")
    at(page, archive, f"key={ORDER}")
    at(bob, archive, "key=camera.view.roll_deg")
    words = page.get_by_test_id("draft-words")
    # Different keys: both changes are there, and both see them.
    write(page, ORDER, "1")
    write(bob, "camera.view.roll_deg", "0.5")
    for one in (page, bob):
        expect(one.get_by_test_id("draft-words")).to_contain_text("2 changes not saved")
        expect(one.get_by_test_id(f"row-{ORDER}" if one is page else "row-camera.view.roll_deg")).to_have_class(
            re.compile("is-changed")
        )
    # The same key: the one who comes second is asked.
    at(bob, archive, f"key={ORDER}")
    conflict(bob, archive, page, theirs="0", mine="3")
    bob.get_by_test_id("conflict-keep-theirs").click()
    expect(bob.get_by_test_id(f"key-{ORDER}")).to_have_value("0")
    caught_up(bob)
    conflict(bob, archive, page, theirs="2", mine="3")
    bob.get_by_test_id("conflict-use-mine").click()
    expect(page.get_by_test_id(f"key-{ORDER}")).to_have_value("3")
    # Undo takes back what is one's own.
    bob.get_by_test_id("draft-undo").click()
    expect(page.get_by_test_id(f"key-{ORDER}")).to_have_value("2")
    write(page, ORDER, "1")
    # What differs, by keys and as text.
    page.get_by_test_id("part-versions").click()
    table = page.get_by_test_id("compare-table")
    expect(table).to_contain_text(ORDER)
    expect(table).to_contain_text("camera.view.roll_deg")
    expect(table.locator("tbody tr")).to_have_count(2)
    expect(page.get_by_test_id("compare-text")).to_contain_text("+order = 1")
    # An operator cannot save; an admin does, with a note, and the station takes it up.
    expect(bob.get_by_test_id("draft-save")).to_be_disabled()
    page.get_by_test_id("draft-save").click()
    page.get_by_test_id("save-note").fill("a flatter sky, a turned camera")
    page.get_by_test_id("save-yes").click()
    expect(words).to_have_text("The site file is as it is saved.", timeout=HEALS_MS)
    text = archive.site_file.read_text(encoding="utf-8")
    assert re.search(r"^order = 1$", text, re.MULTILINE)
    assert re.search(r"^roll_deg = 0\.5", text, re.MULTILINE)
    assert "# the clear-sky frames show another sky" in text
    expect(page.get_by_test_id("version-2")).to_contain_text("a flatter sky, a turned camera", timeout=HEALS_MS)
    expect(page.get_by_test_id("version-2")).to_contain_text("the admin")
    expect(bob.get_by_test_id(f"key-{ORDER}")).to_have_value("1", timeout=HEALS_MS)
    wanted = processing_hash(load_site(archive.site_file).site)

    def live() -> bool:
        with archive.catalogue() as catalogue:
            run = catalogue.last_run(archive.site, archive.day)
            return run is not None and run.settings_sha256 == wanted

    archive.pages.wait_for(live, "no live run with the new settings")
    # An older version goes into the draft, and from there in force.
    page.get_by_test_id("restore-1").click()
    expect(page.get_by_test_id("versions-report")).to_contain_text("Version 1 is in the draft")
    expect(page.get_by_test_id("compare-table")).to_contain_text(ORDER)
    page.get_by_test_id("draft-undo").click()
    expect(words).to_have_text("The site file is as it is saved.")


def test_keys_are_found_explained_added_and_taken_out(page: Page, archive: Any) -> None:
    archive.fresh_draft()
    archive.enter(page)
    at(page, archive, "")
    page.get_by_test_id("keys-find").fill("wind from")
    page.get_by_test_id("row-wind.direction_from_deg").click()
    expect(page.get_by_test_id("card-about")).to_contain_text("clockwise from true north")
    expect(page.get_by_test_id("card-about")).to_contain_text("0 to 360")
    # A table that is not there is added; what it needs is said, with a link.
    write(page, "wind.direction_from_deg", "270")
    expect(page.get_by_test_id("site-findings")).to_contain_text("speed_m_s")
    expect(page.get_by_test_id("draft-problem")).to_contain_text("speed_m_s")
    page.get_by_test_id("keys-find").fill("wind.speed_m_s")
    page.get_by_test_id("row-wind.speed_m_s").click()
    write(page, "wind.speed_m_s", "8")
    expect(page.get_by_test_id("draft-problem")).not_to_be_visible()
    # A choice shows what holds, and can be chosen.
    at(page, archive, "key=processing.background.mode")
    expect(page.get_by_test_id("key-processing.background.mode")).to_have_value("sky-surface")
    at(page, archive, "key=wind.speed_m_s")
    # A wrong value is refused beside the field.
    write(page, "wind.speed_m_s", "fast")
    expect(page.get_by_test_id("key-wind.speed_m_s-error")).to_contain_text("is no number")
    # Elements of an array: changed as TOML, moved, added, taken out; the address keeps what is seen.
    at(page, archive, "open=lines&key=lines.upstream&show=file")
    text = page.get_by_test_id("card-toml")
    text.fill('name = "upstream"\nstart = [319, 185]\nend = [188, 900]\nnormal = "left"\n')
    page.get_by_test_id("card-toml-check").click()
    expect(page.get_by_test_id("card-check")).to_contain_text("outside the image")
    page.get_by_test_id("card-down").click()
    expect(page.get_by_test_id("card-up")).to_be_visible()
    page.get_by_test_id("row-lines").click()
    page.get_by_test_id("card-add").click()
    page.get_by_test_id("add-name").fill("far")
    page.get_by_test_id("add-yes").click()
    expect(page.get_by_test_id("card-key")).to_have_text("lines.far")
    expect(page).to_have_url(re.compile("key=lines.far"))
    page.reload()
    expect(page.get_by_test_id("card-key")).to_have_text("lines.far")
    page.get_by_test_id("card-remove").click()
    expect(page.get_by_test_id("row-lines.far")).to_have_count(0)
    page.get_by_test_id("keys-show-changed").click()
    expect(page.get_by_test_id("row-wind.speed_m_s")).to_be_visible()
    expect(page.get_by_test_id("section-camera")).to_have_count(0)


def test_the_text_is_changed_by_two_and_an_installation_is_imported(
    page: Page, other: BrowserContext, archive: Any, tmp_path: Path
) -> None:
    archive.fresh_draft()
    archive.enter(page)
    bob = other.new_page()
    archive.enter(bob, "operator")
    at(page, archive, "part=text")
    at(bob, archive, "key=camera.view.roll_deg")
    area = page.get_by_test_id("text-area")
    before = area.input_value()
    area.fill(before.replace("order = 2", "order = nothing"))
    page.get_by_test_id("text-check").click()
    expect(page.get_by_test_id("text-findings")).to_contain_text("is not valid TOML")
    area.fill(before.replace("order = 2", "order = 9"))
    page.get_by_test_id("text-check").click()
    expect(page.get_by_test_id("text-findings")).to_contain_text(f"{ORDER} must be <= 3")
    area.fill(before.replace("order = 2", "order = 1  # flat"))
    write(bob, "camera.view.roll_deg", "0.5")
    expect(page.get_by_test_id("text-words")).to_contain_text("both are put together")
    page.get_by_test_id("text-take").click()
    expect(page.get_by_test_id("text-report")).to_contain_text("with what others changed")
    assert "roll_deg = 0.5" in area.input_value()
    assert "order = 1  # flat" in area.input_value()
    # An existing installation, as a zip.
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as into:
        into.writestr("pycam/conf/cam_geom/home.txt", GEOMETRY)
        into.writestr("pycam/conf/processing_setting_defaults.yml", "bg_mode: 5\nftp_password: secret\n")
        into.writestr("../../outside.txt", "nothing")
    path = tmp_path / "pycam.zip"
    path.write_bytes(packed.getvalue())
    page.get_by_test_id("part-import").click()
    page.locator("[data-testid=import-upload] input[type=file]").set_input_files(path)
    expect(page.get_by_test_id("import-notices")).to_contain_text("PLACEHOLDER")
    expect(page.get_by_test_id("import-result")).not_to_contain_text("secret")
    page.get_by_test_id("import-take").click()
    expect(page.get_by_test_id("compare-table")).to_contain_text("volcano.name")
    expect(page.get_by_test_id("compare-table")).not_to_contain_text("station")
    page.get_by_test_id("draft-discard").click()
    page.get_by_test_id("confirm-yes").click()
    expect(page.get_by_test_id("draft-words")).to_have_text("The site file is as it is saved.")


GEOMETRY = "volcano=Villarrica\nlat=-39.3774\nlon=-71.946386\naltitude=1170\nalt_offset=2\nelev=19.0\nazim=171.3\n"
