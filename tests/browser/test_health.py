"""The health page in a browser: trends, tiles, storage, services, the account, a lost connection and a restart."""

import re
from datetime import UTC, datetime, timedelta
from types import ModuleType
from typing import Any

from playwright.sync_api import BrowserContext, Page, expect


def test_tiles_say_the_newest_numbers_with_units(page: Page, place: Any, pages: ModuleType) -> None:
    place.tell_health([pages.record(datetime.now(UTC), volts=12.47)])
    pages.sign_in(page, place, "viewer", "/health")
    expect(page.get_by_test_id("tile-supply-value")).to_have_text("12.47")
    expect(page.get_by_test_id("tile-supply")).to_contain_text("V")
    expect(page.get_by_test_id("tile-supply-more")).to_have_text("0.81 A drawn")
    expect(page.get_by_test_id("tile-warmest-value")).to_have_text("51")
    expect(page.get_by_test_id("tile-free-value")).to_have_text("50")
    expect(page.get_by_test_id("tile-free-more")).to_have_text("120 GB on spool")
    expect(page.get_by_test_id("tile-clock-value")).to_have_text("4.0")
    expect(page.get_by_test_id("tile-waiting-value")).to_have_text("3")
    expect(page.get_by_test_id("node-state")).to_have_text("well")
    place.tell_health([pages.record(datetime.now(UTC), volts=12.31)])
    expect(page.get_by_test_id("tile-supply-value")).to_have_text("12.31")


def test_a_clock_that_was_never_set_says_so(page: Page, place: Any, pages: ModuleType) -> None:
    clock = {"quality": "unset", "offset_s": None, "maximum_error_s": None}
    place.tell_health([pages.record(datetime.now(UTC), clock=clock)])
    pages.sign_in(page, place, "viewer", "/health")
    expect(page.get_by_test_id("tile-clock-value")).to_have_text("–")
    expect(page.get_by_test_id("tile-clock-why")).to_have_text("the clock was never set")
    place.tell_health([pages.record(datetime.now(UTC))])
    expect(page.get_by_test_id("tile-clock-why")).to_be_hidden()


def test_trends_of_all_spans_with_limits_and_values_under_the_pointer(
    page: Page, place: Any, pages: ModuleType
) -> None:
    pages.sign_in(page, place, "viewer", "/health")
    plots = page.get_by_test_id("plots")
    expect(plots).to_have_attribute("data-span", "3600")
    supply = page.get_by_test_id("trend-supply")
    expect(page.get_by_test_id("trend-clock").locator(".so-chart-far")).to_have_text("warning above 1000")
    for name in ("temperature", "disk", "exposure", "signal", "saturated", "clock", "load", "backlog"):
        expect(page.get_by_test_id(f"trend-{name}").locator("path.series").first).to_have_attribute(
            "d", re.compile(r"^M[\d.]+ [\d.]+L")
        )
    expect(page.get_by_test_id("trend-exposure").locator("path.series")).to_have_count(2)
    for key, seconds in (("6h", "21600"), ("24h", "86400"), ("7d", "604800")):
        page.get_by_test_id(f"range-{key}").click()
        expect(plots).to_have_attribute("data-span", seconds)
    expect(page).to_have_url(re.compile(r"range=7d"))
    page.get_by_test_id("range-24h").click()
    expect(plots).to_have_attribute("data-span", "86400")
    assert supply.locator("line.limit title").text_content() == "battery low: alarm below 11.80 V"
    now = supply.locator("b").text_content()
    box = supply.locator("svg").bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + 0.25 * box["width"], box["y"] + 0.5 * box["height"])
    expect(supply.locator(".when")).to_have_text(re.compile(r"^\d\d:\d\d:\d\d$"))
    expect(page.get_by_test_id("trend-load").locator(".when")).to_have_text(re.compile(r"^\d\d:\d\d:\d\d$"))
    assert supply.locator("b").text_content() != now
    page.mouse.move(0, 0)
    expect(supply.locator("b")).to_have_text(now or "")


def test_a_reload_keeps_the_span(page: Page, place: Any, pages: ModuleType) -> None:
    pages.sign_in(page, place, "viewer", "/health")
    page.get_by_test_id("range-6h").click()
    expect(page.get_by_test_id("plots")).to_have_attribute("data-span", "21600")
    page.reload()
    expect(page.get_by_test_id("range-6h")).to_have_attribute("aria-pressed", "true")
    expect(page.get_by_test_id("plots")).to_have_attribute("data-span", "21600")


def test_services_storage_and_link(page: Page, place: Any, pages: ModuleType) -> None:
    pages.sign_in(page, place, "viewer", "/health")
    expect(page.get_by_test_id("services-state")).to_have_text("all run")
    expect(page.get_by_test_id("services-table")).to_contain_text("Alarm rules")
    expect(page.get_by_test_id("storage-free")).to_have_text(re.compile(r"^[\d.]+ [GT]B of [\d.]+ [GT]B$"))
    expect(page.get_by_test_id("storage-left")).to_have_text("not known yet: too few files came")
    expect(page.get_by_test_id(f"link-{pages.NODE}")).to_have_text("no contact yet")


def test_the_account_is_for_admins(page: Page, other: BrowserContext, place: Any, pages: ModuleType) -> None:
    pages.sign_in(page, place, "operator", "/health")
    expect(page.get_by_test_id("services-state")).to_have_text("all run")
    expect(page.get_by_test_id("audit")).to_have_count(0)
    admin = pages.visit(other, place, "admin", "/health")
    expect(admin.get_by_test_id("audit-table")).to_contain_text("made a token")
    expect(admin.get_by_test_id("audit-table")).not_to_contain_text("so2_")


def test_a_phone_shows_it_without_scrolling_sideways(page: Page, place: Any, pages: ModuleType) -> None:
    page.set_viewport_size({"width": 360, "height": 740})
    for path in ("/health", "/alarms", "/access"):
        if path == "/health":
            pages.sign_in(page, place, "admin", path)
            expect(page.get_by_test_id("trend-supply")).to_be_visible()
        else:
            page.goto(f"{place.url}{path}")
            expect(page.get_by_test_id("header")).to_be_visible()
        assert page.evaluate("document.documentElement.scrollWidth") <= 360


def test_a_lost_connection_shows_and_a_restart_heals(page: Page, place: Any, pages: ModuleType) -> None:
    pages.sign_in(page, place, "viewer", "/health?range=6h")
    expect(page.get_by_test_id("plots")).to_have_attribute("data-span", "21600")
    expect(page.get_by_test_id("banner")).to_be_hidden()
    place.stop(kill=True)
    try:
        expect(page.get_by_test_id("banner")).to_be_visible(timeout=30_000)
    finally:
        place.start()
    place.tell_health([pages.record(datetime.now(UTC) + timedelta(seconds=1), volts=12.22)])
    expect(page.get_by_test_id("banner")).to_be_hidden(timeout=60_000)
    expect(page.get_by_test_id("tile-supply-value")).to_have_text("12.22", timeout=30_000)
    expect(page.get_by_test_id("plots")).to_have_attribute("data-span", "21600")
    expect(page.get_by_test_id("sign-in")).to_have_count(0)
