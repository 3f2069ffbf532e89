"""The live page, as people see it: a real station, a simulated instrument, and a browser."""

import re
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
from playwright.sync_api import BrowserContext, Page, expect

from so2cam.web.parts import with_uncertainty

PATIENCE_MS = 60_000
SignIn = Callable[[Page, str], None]
pytestmark = pytest.mark.timeout(400)


def number(text: str) -> float:
    found = re.search(r"−?\d+(\.\d+)?", text)
    assert found is not None, text
    return float(found[0].replace("−", "-"))


def look(page: Page, station: Any, query: str = "") -> None:
    page.goto(f"{station.url}/{query}")
    expect(page.get_by_test_id("rate-value")).to_have_text(re.compile(r"\d"), timeout=PATIENCE_MS)


def test_an_emission_rate_with_its_uncertainty_comes_and_moves(page: Page, station: Any) -> None:
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    look(page, station)
    expect(page.get_by_test_id("rate-more")).to_contain_text("±")
    known = [rate["emission_rate_kg_s"] for rate in station.ask("rates?line=total&limit=500")]
    shown = number(page.get_by_test_id("rate-value").inner_text())
    assert min(abs(shown - rate) for rate in known if rate is not None) < 0.051
    before = page.get_by_test_id("rate").locator("time").get_attribute("data-time")
    assert before is not None
    expect(page.get_by_test_id("rate").locator("time")).not_to_have_attribute("data-time", before, timeout=PATIENCE_MS)
    expect(page.get_by_test_id("speed-value")).to_have_text(re.compile(r"\d"))
    expect(page.get_by_test_id("amount-value")).to_have_text(re.compile(r"\d"))
    assert errors == []


def test_every_image_is_there(page: Page, station: Any) -> None:
    look(page, station)
    for quantity, words in (("on", "on band"), ("off", "off band"), ("absorbance", "absorbance"), ("column", "column")):
        if quantity != "column":
            page.get_by_test_id(f"image-{quantity}").click()
        else:
            page.get_by_test_id("image-column").click()
        expect(page.get_by_test_id("viewer-caption")).to_contain_text(words, timeout=PATIENCE_MS)


def test_points_are_added_to_the_trend_and_ranges_are_kept_by_a_reload(page: Page, station: Any) -> None:
    look(page, station)
    trend = page.get_by_test_id("trend")
    expect(trend).to_have_attribute("data-lines", "total|upstream|downstream", timeout=PATIENCE_MS)
    last = trend.get_attribute("data-last")
    assert last
    expect(trend).not_to_have_attribute("data-last", last, timeout=PATIENCE_MS)
    page.get_by_test_id("range-6h").click()
    page.get_by_test_id("line-downstream").click()
    page.get_by_test_id("image-on").click()
    expect(page).to_have_url(re.compile("range=6h"))
    expect(page).to_have_url(re.compile("line=downstream"))
    expect(page).to_have_url(re.compile("image=on"))
    page.reload()
    expect(page.get_by_test_id("range-6h")).to_have_attribute("aria-pressed", "true")
    expect(page.get_by_test_id("line-downstream")).to_have_attribute("aria-pressed", "true")
    expect(page.get_by_test_id("image-on")).to_have_attribute("aria-pressed", "true")
    expect(page.get_by_test_id("rate")).to_contain_text("downstream")


def dates(page: Page, start: str, end: str) -> None:
    page.get_by_test_id("dates-start").fill(start)
    page.get_by_test_id("dates-end").fill(end)
    page.get_by_test_id("dates-show").click()


def test_a_time_of_the_past_is_shown(page: Page, station: Any) -> None:
    look(page, station)
    trend = page.get_by_test_id("trend")
    newest = datetime.fromisoformat(str(page.get_by_test_id("rate").locator("time").get_attribute("data-time")))
    page.get_by_test_id("range-dates").click()
    dates(page, "1/1/2020, 12:00 AM", "2020-01-02T00:00")
    expect(page.get_by_text("Must be a time like")).to_be_visible()
    dates(page, "2020-01-01", "2020-01-02T00:00")
    expect(page.get_by_test_id("dates-start")).to_have_value("2020-01-01 00:00")
    expect(page.get_by_test_id("dates-end")).to_have_value("2020-01-02 00:00")
    expect(trend).to_contain_text("no emission rates in this time")
    assert trend.get_attribute("data-points") == "0"
    first, last = newest - timedelta(hours=2), newest + timedelta(minutes=1)
    dates(page, f"{first:%Y-%m-%dT%H:%M}", f"{last:%Y-%m-%dT%H:%M}")
    expect(trend).to_have_attribute("data-points", re.compile("[1-9]"), timeout=PATIENCE_MS)
    expect(trend).to_have_attribute("data-lines", "total|upstream|downstream")
    page.get_by_test_id("range-24h").click()
    expect(page).to_have_url(re.compile("range=24h"))
    expect(trend).to_contain_text("means over")  # a day has more points than it shows
    expect(trend).to_have_attribute("data-points", re.compile("[1-9]"))
    expect(page.get_by_test_id("rate")).not_to_have_class(re.compile("is-stale"))
    for value, sigma in ((4.2, 0.5), (-4.2, 9.96), (-0.004567, None), (-0.001, 0.73), (123.456, None), (0.0, None)):
        text, error = with_uncertainty(value, sigma)
        assert page.evaluate("([value, sigma]) => so2cam.figures(value, sigma)", [value, sigma]) == (
            f"{text} ± {error}" if error else text
        ), "numbers look the same, whoever writes them"


def test_spectrum_calibration_and_state_are_there(page: Page, station: Any) -> None:
    look(page, station)
    expect(page.get_by_test_id("spectrum")).to_have_attribute("data-points", re.compile(r"[1-9]"), timeout=PATIENCE_MS)
    expect(page.get_by_test_id("calibration")).to_have_attribute("data-points", re.compile(r"[1-9]"))
    expect(page.get_by_test_id("calibration-words")).to_contain_text("gas cells")
    expect(page.get_by_test_id("state-live")).to_have_text("live")
    expect(page.get_by_test_id("state-node-demo")).to_contain_text("devices capture")


MIDDLE = """(name) => {
  const viewer = document.querySelector('so2cam-viewer');
  const [first, second] = viewer.shapes.find((shape) => shape.id === name).points;
  return viewer.toClient((2 * first[0] + second[0]) / 3, (2 * first[1] + second[1]) / 3);
}"""


def drag_line(page: Page, name: str, by: tuple[float, float]) -> None:
    x, y = page.evaluate(MIDDLE, f"line:{name}")
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + by[0] / 2, y + by[1] / 2, steps=4)
    page.mouse.move(x + by[0], y + by[1], steps=4)
    page.mouse.up()


def test_a_dragged_line_is_tried_and_its_emission_rate_follows(
    page: Page, context: BrowserContext, station: Any, sign_in: SignIn
) -> None:
    sign_in(page, "operator")
    look(page, station)
    expect(page.get_by_test_id("viewer-caption")).to_contain_text("column", timeout=PATIENCE_MS)
    other = context.new_page()
    look(other, station)
    drag_line(page, "upstream", (-40, -10))
    rate = page.get_by_test_id("trial-upstream-rate")
    expect(rate).to_contain_text("kg/s", timeout=PATIENCE_MS)
    first = rate.inner_text()
    expect(rate).not_to_have_text(first, timeout=PATIENCE_MS)
    assert 0.5 < number(rate.inner_text().partition(":")[2]) < 50
    expect(page.get_by_test_id("trend")).to_have_attribute(
        "data-lines", "total|upstream|downstream|upstream (trial)", timeout=PATIENCE_MS
    )
    expect(other.get_by_test_id("trial-upstream")).to_be_visible(timeout=PATIENCE_MS)  # another person sees it
    page.reload()  # and a reload keeps it
    expect(page.get_by_test_id("trial-upstream-rate")).to_contain_text("kg/s", timeout=PATIENCE_MS)
    page.get_by_test_id("trial-upstream-text").click()
    expect(page.get_by_test_id("trial-text")).to_contain_text('name = "upstream"')
    page.keyboard.press("Escape")
    page.get_by_test_id("trial-upstream-end").click()
    expect(page.get_by_test_id("trial-upstream")).to_have_count(0)
    expect(other.get_by_test_id("trial-upstream")).to_have_count(0, timeout=PATIENCE_MS)


def test_a_viewer_sees_lines_and_moves_none(page: Page, station: Any, sign_in: SignIn) -> None:
    sign_in(page, "viewer")
    look(page, station)
    expect(page.get_by_test_id("who")).to_contain_text("viewer")
    expect(page.get_by_test_id("viewer-caption")).to_contain_text("column", timeout=PATIENCE_MS)
    drag_line(page, "upstream", (-40, -10))
    expect(page.get_by_test_id("trial-upstream")).to_have_count(0)
    page.get_by_test_id("sign-out").click()
    expect(page.get_by_test_id("door")).to_be_visible()


def test_a_wrong_token_is_refused_in_words(page: Page, station: Any) -> None:
    page.goto(f"{station.url}/sign-in?next=//elsewhere.example/")
    page.get_by_test_id("token").fill("so2_00000000_" + "x" * 43)
    page.get_by_test_id("door-go").click()
    expect(page.get_by_test_id("why")).to_contain_text("valid token")
    page.get_by_test_id("token").fill(station.tokens["viewer"])
    page.get_by_test_id("door-go").click()
    expect(page.get_by_test_id("header")).to_be_visible()
    assert page.url.startswith(station.url)


def test_nothing_comes_from_elsewhere(page: Page, station: Any) -> None:
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    look(page, station)
    own = (station.url, station.url.replace("http", "ws", 1), "data:", "blob:")
    assert len(asked) > 10
    assert [url for url in asked if not url.startswith(own)] == []


def test_keys_help_and_dark_are_there(page: Page, station: Any) -> None:
    look(page, station)
    page.keyboard.press("?")
    expect(page.get_by_test_id("keys")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_test_id("keys")).not_to_be_visible()
    dark = "() => document.body.classList.contains('body--dark')"
    before = page.evaluate(dark)
    page.get_by_test_id("theme").click()
    page.wait_for_function(f"({dark})() === {str(not before).lower()}")
    page.reload()
    expect(page.get_by_test_id("header")).to_be_visible()
    page.wait_for_function(f"({dark})() === {str(not before).lower()}")


def test_a_lost_station_is_said_and_the_page_heals(page: Page, station: Any) -> None:
    look(page, station)
    station.stop_station()
    expect(page.get_by_test_id("banner")).to_be_visible(timeout=PATIENCE_MS)
    station.start_station()
    expect(page.get_by_test_id("banner")).not_to_be_visible(timeout=PATIENCE_MS)
    expect(page.get_by_test_id("rate-value")).to_have_text(re.compile(r"\d"), timeout=PATIENCE_MS)
