"""Set-up of calibration, field of view and light dilution: points left out, the view dragged, ground drawn."""

import re
from typing import Any

import pytest
from playwright.sync_api import Locator, Page, expect

pytestmark = pytest.mark.timeout(300)
SLOW = 60_000
SLOPE = re.compile(r"slope ([0-9]+) ± [0-9]+ ppm m")


def drag(page: Page, place: Locator, x: float, y: float) -> None:
    place.scroll_into_view_if_needed()
    box = place.bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] / 2 + x / 2, box["y"] + box["height"] / 2 + y / 2)
    page.mouse.move(box["x"] + box["width"] / 2 + x, box["y"] + box["height"] / 2 + y)
    page.mouse.up()


def choose(page: Page, key: str, value: str) -> None:
    page.get_by_test_id(f"key-{key}").click()
    page.get_by_role("option", name=value, exact=True).click()


def test_a_cell_and_a_point_are_left_out_and_the_view_is_dragged(page: Page, archive: Any) -> None:
    archive.fresh_draft()
    archive.enter(page, "operator")
    page.goto(f"{archive.url}/setup/calibration")
    words, change = page.get_by_test_id("calibration-words"), page.get_by_test_id("calibration-change")
    expect(words).to_have_text(SLOPE, timeout=SLOW)
    cells = words.text_content()
    page.get_by_test_id("exclude-note").fill("held askew")
    page.get_by_test_id("exclude-cell-1200").click()
    expect(change).to_contain_text("Slope with all", timeout=SLOW)
    expect(words).to_contain_text("2 of 3 gas cells")
    assert SLOPE.search(words.text_content() or "")[1] != SLOPE.search(cells or "")[1]  # type: ignore[index]
    page.get_by_test_id("draft-undo").click()
    expect(words).to_have_text(cells or "", timeout=SLOW)
    expect(page.get_by_test_id("draft-words")).to_have_text("The site file is as it is saved.")

    choose(page, "processing.calibration.source", "joint")
    expect(words).to_contain_text("points, 0 left out", timeout=SLOW)
    page.get_by_test_id("exclude-point-0").click()
    expect(words).to_contain_text("points, 1 left out", timeout=SLOW)
    page.get_by_test_id("draft-changes").click()
    expect(page.get_by_test_id("draft-list")).to_contain_text("processing.calibration.exclude")
    expect(page.get_by_test_id("draft-list")).to_contain_text("held askew")

    page.goto(f"{archive.url}/setup/field-of-view")
    place = page.get_by_test_id("view-words")
    expect(place).to_contain_text("radius", timeout=SLOW)
    page.get_by_test_id("view-use-found").click()
    key = page.get_by_test_id("key-processing.calibration.spectrometer.field_of_view.x")
    expect(key).not_to_have_value("", timeout=SLOW)
    found = float(key.input_value())
    expect(page.get_by_test_id("view-search")).to_be_enabled(timeout=SLOW)
    expect(page.get_by_text("correlation with the columns")).to_be_visible(timeout=SLOW)
    drag(page, page.get_by_test_id("shape-centre").locator(".hit"), 40, 0)
    expect(key).not_to_have_value(f"{found:g}", timeout=SLOW)
    assert float(key.input_value()) > found + 5


def test_ground_is_drawn_and_tells_an_extinction(page: Page, archive: Any) -> None:
    archive.fresh_draft()
    archive.enter(page, "operator")
    page.goto(f"{archive.url}/setup/dilution")
    words = page.get_by_test_id("dilution-words")
    expect(words).to_contain_text("no ground of known distance", timeout=SLOW)
    expect(page.get_by_text("on band").first).to_be_visible(timeout=SLOW)
    page.get_by_test_id("dilution-distance").fill("3000 9000")
    page.get_by_test_id("dilution-draw-line").click()
    expect(page.get_by_test_id("viewer-hint")).to_be_visible(timeout=SLOW)  # the tool is in the hand
    stage = page.get_by_test_id("viewer-stage")
    stage.evaluate("stage => stage.scrollIntoView({block: 'end'})")
    box = stage.bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + 0.25 * box["width"], box["y"] + 0.97 * box["height"])
    page.mouse.down()
    page.mouse.move(box["x"] + 0.5 * box["width"], box["y"] + 0.85 * box["height"])
    page.mouse.move(box["x"] + 0.6 * box["width"], box["y"] + 0.78 * box["height"])
    page.mouse.up()
    expect(page.get_by_test_id("distance-ground-1")).to_have_value("3000 9000")
    expect(words).to_contain_text("on band: ", timeout=SLOW)
    expect(page.get_by_test_id("dilution-plot")).not_to_have_attribute("data-points", "0")
