"""Every page of the table of pages, from the width of a phone to a wall: nothing is wider, and nothing fails."""

from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import BrowserContext, Page

from so2cam.web.registry import all_pages

SignIn = Callable[[Page, str], None]
pytestmark = pytest.mark.timeout(300)
WIDTHS = (3840, 360)
BETWEEN = (3840, 1280, 768, 360)
LIVE = ("/", "/align", "/instrument", "/health", "/alarms", "/guide")
"""Pages that are fullest where an instrument runs."""
SAMPLES = {"/help/docs/{name:path}": "/help/docs/web"}
"""An address for a page whose path has a name in it."""
READY = """() => {
  const preview = document.querySelector("[data-testid=preview]");
  return (window.did_handshake || document.querySelector("main so2cam-viewer"))
    && (!preview || preview.textContent.includes("as the draft is now"));
}"""
"""The page is there, and what is worked out after it; that to align is no page of the others' kind."""
CUT = """() => [...document.querySelectorAll(".so-choice")]
  .filter((one) => one.scrollWidth > one.clientWidth + 1).map((one) => one.textContent)"""
"""Choices of which some are out of reach."""
HIGH = """() => ["clock", "sign-out"].map((one) => document.querySelector(`[data-testid=${one}]`))
  .map((one) => one && Math.round((one.getBoundingClientRect().top + one.getBoundingClientRect().bottom) / 2))"""
"""Where the middles of the header's clock and of its last button are: on one line."""
OVER = "() => document.documentElement.scrollWidth - document.documentElement.clientWidth"


def paths() -> list[str]:
    """Return an address of each page that there is."""
    return [SAMPLES.get(spec.path, spec.path) for spec in all_pages()]


def walk(page: Page, url: str, addresses: list[str], widths: tuple[int, ...] = WIDTHS) -> None:
    """Open each page once, and make the window as wide as each screen."""
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(f"{page.url}: {error}"))
    for address in addresses:
        page.set_viewport_size({"width": widths[0], "height": 900})
        answer = page.goto(url + address)
        assert answer is not None
        assert answer.ok, address
        page.wait_for_function(READY, timeout=60_000)
        for width in widths:
            page.set_viewport_size({"width": width, "height": 900})
            page.wait_for_function(f"({OVER})() <= 0 && window.innerWidth === {width}")
            assert page.evaluate(CUT) == [], (address, width)
            clock, last = page.evaluate(HIGH)
            assert clock is None or last is None or abs(clock - last) < 8, (address, width)
        shown = urlsplit(page.url).path  # of the only node to align, its page; no other leads elsewhere
        assert shown.startswith(address) if address == "/align" else shown == address
    assert errors == []


def test_every_page_is_walked() -> None:
    assert set(LIVE) < set(paths())
    assert all("{" not in path for path in paths())


def test_pages_of_an_instrument_fit_every_screen(
    page: Page, station: Any, sign_in: Callable[[Page, str], None]
) -> None:
    sign_in(page, "admin")
    walk(page, station.url, list(LIVE), BETWEEN)


def test_pages_of_an_archive_fit_every_screen(context: BrowserContext, archive: Any) -> None:
    archive.fresh_draft()
    page = context.new_page()
    archive.enter(page)
    walk(page, archive.url, [path for path in paths() if path not in LIVE])
