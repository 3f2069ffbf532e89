"""The draft of the site file on the set-up pages: changed, saved, and taken up by the station."""

import re
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

pytestmark = pytest.mark.timeout(300)


def test_what_is_saved_is_taken_up(page: Page, archive: Any) -> None:
    archive.fresh_draft()
    archive.enter(page)
    page.goto(f"{archive.url}/setup")
    expect(page.get_by_test_id("draft-words")).to_have_text("The site file is as it is saved.")
    page.get_by_test_id("key-processing.background.order").fill("1")
    page.get_by_test_id("key-processing.background.order").press("Enter")
    expect(page.get_by_test_id("draft-words")).to_contain_text("1 change not saved, by the admin")
    assert "\norder = 2\n" in archive.site_file.read_text(encoding="utf-8")
    page.get_by_test_id("draft-save").click()
    page.get_by_test_id("save-note").fill("a flatter sky")
    page.get_by_test_id("save-yes").click()
    expect(page.get_by_test_id("draft-words")).to_have_text("The site file is as it is saved.", timeout=30_000)
    text = archive.site_file.read_text(encoding="utf-8")
    assert re.search(r"^order = 1$", text, re.MULTILINE)
    assert "# the clear-sky frames show another sky" in text
    versions = Path(archive.state / "setup" / archive.site / "versions.json").read_text(encoding="utf-8")
    assert "a flatter sky" in versions
    expect(page.get_by_test_id("key-processing.background.order")).to_have_value("1", timeout=30_000)
