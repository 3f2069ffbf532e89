"""Set-up on the image: areas of sky, lines and motion, drawn and dragged on a real pair, and kept in the draft."""

import json
import re
import tomllib
from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Locator, Page, expect

pytestmark = pytest.mark.timeout(300)
AMOUNT = re.compile(r"^\d[\d.]* ± [\d.]+ kg/m$")
Drag = Callable[[Locator, tuple[float, float], tuple[float, float]], None]
Click = Callable[[Locator, tuple[float, float]], None]
VIEWER = "document.querySelector('so2cam-viewer')"


def shown(page: Page) -> None:
    """Wait until the preview stands for the draft, and the image is there."""
    expect(page.get_by_test_id("preview")).to_contain_text("as the draft is now", timeout=60_000)
    page.wait_for_function(f"{VIEWER}?.image !== null && {VIEWER}?.image !== undefined")


def hold(page: Page, key: str, tool: str) -> None:
    """Take a tool, and wait until the viewer has it in the hand."""
    page.get_by_test_id(f"tool-{key}").click()
    page.wait_for_function(f"tool => {VIEWER}.tool === tool", arg=tool)


def pick(page: Page, field: Locator, option: str) -> None:
    """Choose an option of a select."""
    field.click()
    page.get_by_role("option", name=option, exact=True).click()


def test_an_area_of_sky_is_drawn_and_its_profile_seen(page: Page, archive: Any, drag: Drag, click: Click) -> None:
    archive.fresh_draft()
    archive.enter(page, "operator")
    page.goto(f"{archive.url}/setup/background")
    shown(page)
    pick(page, page.get_by_test_id("key-processing.background.mode"), "scale")
    expect(page.get_by_test_id("mode-words")).to_contain_text("scaled in one rectangle")
    expect(page.get_by_test_id("area-scale_rectangle")).to_contain_text("found by itself")
    shown(page)
    hold(page, "scale_rectangle", "rect")
    drag(page.get_by_test_id("viewer"), (450, 60), (560, 140))
    area = page.get_by_test_id("area-scale_rectangle")
    expect(area).to_contain_text(re.compile(r"x 4(49|50|51) to 5(59|60|61), y (59|60|61) to 1(39|40|41) · drawn"))
    shown(page)
    left = page.get_by_test_id("value-left").inner_text()
    # The profile of a row that crosses the area says so.
    click(page.get_by_test_id("viewer"), (320, 100))
    expect(page.get_by_test_id("cut-where")).to_contain_text(re.compile(r"row y = (99|100|101) · areas: scale"))
    expect(page.get_by_test_id("plot-absorbance")).to_have_attribute("data-points", re.compile(r"^\d{4}$"))
    # Dragged to another piece of sky, it is fitted there: what is left of the sky is another.
    drag(page.get_by_test_id("viewer"), (450, 100), (450, 300))
    expect(area).to_contain_text(re.compile(r"y (259|260|261) to 3(39|40|41) · drawn"))
    expect(page.get_by_test_id("value-left")).not_to_have_text(left)
    shown(page)
    page.reload()
    shown(page)
    expect(page.get_by_test_id("area-scale_rectangle")).to_contain_text("drawn")
    expect(page.get_by_test_id("cut-where")).to_contain_text(re.compile(r"row y = (99|100|101)$"))
    # An area without sky: the page says why there is no background.
    page.get_by_test_id("area-scale_rectangle-forget").click()
    expect(page.get_by_test_id("area-scale_rectangle")).to_contain_text("found by itself")


def test_lines_are_drawn_dragged_and_turned(page: Page, archive: Any, drag: Drag, click: Click) -> None:
    archive.fresh_draft()
    archive.enter(page, "operator")
    page.goto(f"{archive.url}/setup/lines")
    shown(page)
    expect(page.get_by_test_id("line-upstream-amount")).to_have_text(AMOUNT)
    hold(page, "arc", "arc")
    drag(page.get_by_test_id("viewer"), (400, 340), (342, 180))
    drawn = page.get_by_test_id("line-line-1")
    expect(drawn).to_contain_text("arc · emission rate")
    expect(page.get_by_test_id("line-line-1-amount")).to_have_text(AMOUNT, timeout=30_000)
    expect(page.get_by_test_id("line-normal")).to_have_value("outward")
    expect(page.get_by_test_id("plot-section")).to_have_attribute("data-points", re.compile(r"^\d{3}$"))
    shown(page)
    # A straight line by one drag, a polyline corner by corner.
    hold(page, "line", "line")
    drag(page.get_by_test_id("viewer"), (302, 173), (166, 360))
    expect(page.get_by_test_id("line-line-2")).to_contain_text("straight · emission rate")
    expect(page.get_by_test_id("line-line-2-amount")).to_have_text(AMOUNT, timeout=30_000)
    shown(page)
    hold(page, "polyline", "polyline")
    for corner in ((341, 200), (275, 295), (210, 390)):
        click(page.get_by_test_id("viewer"), corner)
    page.keyboard.press("Enter")
    expect(page.get_by_test_id("line-line-3")).to_contain_text("polyline · emission rate")
    expect(page.get_by_test_id("line-line-3-amount")).to_have_text(AMOUNT, timeout=30_000)
    drawn_text = json.loads((archive.state / "setup" / archive.site / "draft.json").read_text(encoding="utf-8"))["text"]
    places = {one["name"]: one for one in tomllib.loads(drawn_text)["lines"]}
    assert places["line-2"]["start"] == pytest.approx([302, 173], abs=1.5)
    assert places["line-2"]["end"] == pytest.approx([166, 360], abs=1.5)
    assert len(places["line-3"]["points"]) == 3
    shown(page)
    # A line that is dragged gives another amount; turned, its speed counts the other way.
    page.get_by_test_id("line-upstream").click()
    amount = page.get_by_test_id("line-upstream-amount").inner_text()
    drag(page.get_by_test_id("viewer"), (253.5, 280), (293.5, 290))
    expect(page.get_by_test_id("line-upstream-amount")).not_to_have_text(amount, timeout=30_000)
    expect(page.get_by_test_id("line-upstream-amount")).to_have_text(AMOUNT)
    expect(page.get_by_test_id("line-upstream-more")).to_contain_text(re.compile(r"flow raw \d"))
    page.get_by_test_id("line-flip").click()
    expect(page.get_by_test_id("line-normal")).to_have_value("right")
    expect(page.get_by_test_id("line-upstream-more")).to_contain_text(re.compile(r"flow raw −\d"), timeout=30_000)
    page.get_by_test_id("line-name").fill("near the vent")
    page.get_by_test_id("line-name").press("Enter")
    expect(page.get_by_test_id("line-near the vent")).to_be_visible()
    expect(page.get_by_test_id("draft-words")).to_contain_text("6 changes not saved, by the operator")
    page.reload()
    shown(page)
    expect(page.get_by_test_id("line-near the vent")).to_have_class(re.compile("is-chosen"))
    expect(page.get_by_test_id("line-normal")).to_have_value("right")
    expect(page.get_by_test_id("line-line-1")).to_be_visible()
    expect(page.get_by_test_id("pair-first")).to_have_value("near the vent")
    page.get_by_test_id("line-delete").click()
    expect(page.get_by_test_id("line-near the vent")).to_have_count(0)
    expect(page.get_by_test_id("draft-problem")).to_be_hidden()
    assert "upstream" in archive.site_file.read_text(encoding="utf-8")


def test_speeds_change_with_the_settings_of_motion(page: Page, archive: Any) -> None:
    archive.fresh_draft()
    archive.enter(page, "operator")
    page.goto(f"{archive.url}/setup/motion")
    shown(page)
    arrows = page.get_by_test_id("viewer-vectors")
    expect(arrows).to_have_attribute("data-count", re.compile(r"^\d{2,}$"))
    row = page.get_by_test_id("speed-upstream-flow_raw")
    expect(row).to_contain_text(re.compile(r"flow raw\s*\d+\.\d+ ± \d"))
    expect(page.get_by_test_id("main-motion")).to_contain_text("of the plume near the line")
    before = row.inner_text()
    window = page.get_by_test_id("key-processing.speed.optical_flow.window_px")
    window.fill("60")
    window.press("Enter")
    expect(row).not_to_have_text(before, timeout=30_000)
    expect(row).to_contain_text(re.compile(r"flow raw\s*\d+\.\d+ ± \d"))
    page.reload()
    shown(page)
    expect(window).to_have_value("60")
    page.get_by_test_id("pair-after").click()
    expect(page.get_by_test_id("pair-time")).to_contain_text("42 of 80")
    shown(page)
    page.get_by_test_id("correlate").click()
    expect(page.get_by_test_id("lag-report")).to_contain_text("downstream follows upstream by", timeout=90_000)
    expect(page.get_by_test_id("plot-correlation")).to_have_attribute("data-points", re.compile(r"^\d+$"))
