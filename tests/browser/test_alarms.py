"""The alarms page in a browser: an alarm comes, one person acknowledges it, another sees that at once."""

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from types import ModuleType
from typing import Any

import httpx
import pytest
from playwright.sync_api import BrowserContext, Page, expect

from so2cam.station.alarms_store import AlarmStore, Event

_SOON = 30_000


@pytest.fixture
def low(place: Any, pages: ModuleType) -> Iterator[Event]:
    """A battery that is low since now: the station's own rule finds it, and its end."""
    with AlarmStore(place.state / "alarms.sqlite") as store:
        place.tell_health([pages.record(datetime.now(UTC), volts=11.42)])
        event = pages.wait_for(lambda: _open(store, pages.SITE), "the rule found nothing")
        yield event
        heal(place, pages)
        pages.wait_for(lambda: _open(store, pages.SITE) is None, "the rule did not end it")


def _open(store: AlarmStore, site: str) -> Event | None:
    return next((event for event in store.events(site, open_only=True) if event.rule == "battery low"), None)


def heal(place: Any, pages: ModuleType) -> None:
    """Let the battery be full again."""
    place.tell_health([pages.record(datetime.now(UTC), volts=12.7)])


def test_raise_acknowledge_and_end(
    page: Page, other: BrowserContext, place: Any, pages: ModuleType, low: Event
) -> None:
    pages.sign_in(page, place, "operator", "/alarms")
    second = pages.visit(other, place, "viewer", "/alarms")
    card = page.get_by_test_id(f"alarm-{low.id}")
    expect(card).to_contain_text("supply at 11.4 V")
    expect(page.get_by_test_id("bell").locator("b")).to_have_text("1")
    theirs = second.get_by_test_id(f"alarm-{low.id}")
    expect(theirs).to_contain_text("supply at 11.4 V")
    expect(second.get_by_test_id(f"alarm-{low.id}-acknowledge")).to_be_disabled()
    expect(second.get_by_test_id(f"alarm-{low.id}-acknowledge")).to_have_attribute(
        "title", "This needs the role operator."
    )
    page.get_by_test_id(f"alarm-{low.id}-note").fill("on my <b>way</b>")
    page.get_by_test_id(f"alarm-{low.id}-acknowledge").click()
    expect(page.get_by_test_id("alarms-report")).to_contain_text("battery low: acknowledged")
    for one in (page, second):
        seen = one.get_by_test_id(f"alarm-{low.id}-seen")
        expect(seen).to_have_text(
            re.compile(r"^the operator has seen it, \d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC: “on my <b>way</b>”$")
        )
        expect(one.get_by_test_id(f"alarm-{low.id}-acknowledge")).to_be_hidden()
        expect(one.get_by_test_id("history-table")).to_contain_text("on my <b>way</b>")
    with AlarmStore(place.state / "alarms.sqlite") as store:
        assert store.event(low.id).acknowledged_by == "the operator"
    heal(place, pages)
    for one in (page, second):
        expect(one.get_by_test_id(f"alarm-{low.id}")).to_have_count(0, timeout=_SOON)
        expect(one.get_by_test_id("alarms-state")).to_have_text("all is well")
    expect(page.get_by_test_id("bell").locator("b")).to_be_hidden()


def test_the_first_who_acknowledges_stays(
    page: Page, other: BrowserContext, place: Any, pages: ModuleType, low: Event
) -> None:
    pages.sign_in(page, place, "operator", "/alarms")
    expect(page.get_by_test_id(f"alarm-{low.id}-acknowledge")).to_be_visible()
    answer = httpx.post(
        f"{place.url}/api/v1/alarms/{low.id}/acknowledge",
        headers={"Authorization": f"Bearer {place.tokens['admin']}"},
        verify=False,  # noqa: S501 - the test's own certificate
    )
    assert answer.status_code == 200
    expect(page.get_by_test_id(f"alarm-{low.id}-seen")).to_contain_text("the admin has seen it")
    expect(page.get_by_test_id(f"alarm-{low.id}-acknowledge")).to_be_hidden()
    heal(place, pages)
    expect(page.get_by_test_id(f"alarm-{low.id}")).to_have_count(0, timeout=_SOON)


def test_rules_stand_in_words_with_their_thresholds_drawn(page: Page, place: Any, pages: ModuleType) -> None:
    heal(place, pages)
    pages.sign_in(page, place, "viewer", "/alarms")
    rule = page.get_by_test_id("rule-battery-low")
    expect(rule).to_contain_text("Voltage of the supply below 11.8 V.")
    expect(rule.locator(".so-rule-now")).to_have_text("12.70 V")
    limit, now = rule.locator(".bar .limit").bounding_box(), rule.locator(".bar .now").bounding_box()
    assert limit is not None
    assert now is not None
    assert limit["x"] < now["x"]
    frames = page.get_by_test_id("rule-no-frames")
    expect(frames).to_contain_text("Time without a new image, at any time, above 15 min.")
    expect(frames.locator(".label")).to_have_text("alarm above 15 min")


def test_the_history_can_be_longer(page: Page, place: Any, pages: ModuleType, low: Event) -> None:
    heal(place, pages)
    pages.sign_in(page, place, "viewer", "/alarms")
    expect(page.get_by_test_id("history-table")).to_contain_text("battery low")
    page.get_by_test_id("last-100").click()
    expect(page).to_have_url(re.compile("last=100"))
    page.reload()
    expect(page.get_by_test_id("last-100")).to_have_attribute("aria-pressed", "true")
