"""The archive page, as people use it: find a day, ask for quality, and play its pairs back as a film."""

import re
import zipfile
from io import BytesIO
from typing import Any

import pytest
from playwright.sync_api import Locator, Page, expect

from so2cam.core.status import QUALITY_TEXT, QualityFlag

PATIENCE_MS = 60_000
pytestmark = pytest.mark.timeout(300)


def shown(film: Locator) -> str:
    """Return the time of the pair whose image is drawn."""
    return str(film.get_attribute("data-shown"))


def test_a_day_is_found_by_quality_and_its_files_are_taken_along(page: Page, archive: Any) -> None:
    archive.fresh_draft()
    archive.enter(page, "viewer")
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    expect(page.get_by_test_id("clock")).to_have_text(re.compile(r"\d\d:\d\d:\d\d UTC"))
    old = page.get_by_test_id("rate")  # the live page shows the newest value there is, and that it is old
    expect(old).to_have_class(re.compile("is-stale"))
    expect(old.locator("time")).to_have_text(re.compile(r"^\d+ (h|d) ago$"))
    page.keyboard.press("g")
    page.keyboard.press("f")
    day = page.get_by_test_id(f"day-{archive.day}")
    expect(day).to_have_attribute("title", re.compile(r"pairs good"))
    day.click()
    expect(page).to_have_url(re.compile(f"start={archive.day}"))
    expect(day).to_have_attribute("aria-pressed", "true")
    totals = page.get_by_test_id("totals")
    everything = int(totals.inner_text().split()[0])

    page.get_by_test_id("what-dark").click()
    expect(totals).not_to_have_text(re.compile(f"^{everything} files"))
    darks = int(totals.inner_text().split()[0])
    expect(page.get_by_test_id("files").locator("tbody tr")).to_have_count(darks)
    page.get_by_test_id("what-all").click()
    expect(totals).to_have_text(re.compile(f"^{everything} files"))

    page.get_by_test_id("valid").click()
    expect(page).to_have_url(re.compile("valid=1"))
    expect(totals).not_to_have_text(re.compile(f"^{everything} files"))
    page.get_by_test_id("what-plume").click()
    expect(page).to_have_url(re.compile("what=plume"))
    rows = page.get_by_test_id("files").locator("tbody tr")
    expect(rows.first).to_contain_text("± ")
    with archive.catalogue() as catalogue:
        rates = catalogue.rates(archive.site, line="total", limit=100_000)
    valid = {rate.time for rate in rates if rate.status == 0}
    expect(totals).to_contain_text(f"{len(valid)} pairs with results")

    # a flag that no pair here has leaves nothing, and says so
    page.get_by_test_id("with-flags").click()
    page.get_by_role("option", name=QUALITY_TEXT[QualityFlag.STALE_FRAME]).click()
    page.keyboard.press("Escape")
    expect(page.get_by_test_id("none")).to_be_visible()
    page.reload()
    expect(page.get_by_test_id("none")).to_be_visible()
    page.goto(f"{archive.url}/archive?start={archive.day}T00:00&what=plume&valid=1")
    rows.nth(0).get_by_role("checkbox").check()
    rows.nth(1).get_by_role("checkbox").check()
    with page.expect_download() as coming:
        page.get_by_test_id("download-chosen").click()
    content = zipfile.ZipFile(BytesIO(coming.value.path().read_bytes()))
    assert content.testzip() is None
    assert len({name.rpartition(".")[0] for name in content.namelist()}) == 2

    expect(page.get_by_test_id("verify")).to_be_disabled()  # a viewer's
    archive.enter(page, "operator")
    page.goto(f"{archive.url}/archive?start={archive.day}T00:00&what=dark")
    expect(totals).to_have_text(re.compile(f"^{darks} files"))
    page.get_by_test_id("verify").click()
    expect(page.get_by_test_id("archive-report")).to_contain_text(f"· {darks} files read, all as they came")
    assert errors == []


def test_a_film_plays_with_its_results_and_a_reload_keeps_its_place(page: Page, archive: Any) -> None:
    archive.fresh_draft()
    archive.enter(page, "viewer")
    page.goto(f"{archive.url}/archive?start={archive.day}T00:00&what=plume&valid=1")
    rows = page.get_by_test_id("files").locator("tbody tr")
    opened = rows.last.get_by_role("button")
    opened.click()
    film = page.get_by_test_id("film")
    expect(film).to_have_attribute("data-shown", re.compile(r"\d"), timeout=PATIENCE_MS)
    expect(film.get_by_test_id("film-why")).to_have_text("")
    expect(film.get_by_test_id("viewer-caption")).to_contain_text("column", timeout=PATIENCE_MS)
    expect(film.get_by_test_id("film-status")).to_have_text("valid")

    with archive.catalogue() as catalogue:
        known = {
            f"{rate.time:%Y-%m-%dT%H:%M:%S}": rate.rate
            for rate in catalogue.rates(archive.site, line="total", limit=100_000)
        }

    def together() -> str:
        """Time, emission rate and image are of one pair."""
        time, rate = film.get_attribute("data-moment"), film.get_attribute("data-rate")
        assert time is not None
        assert rate is not None
        assert float(rate) == pytest.approx(known[time[:19]], rel=1e-4)
        expect(film).to_have_attribute("data-shown", time, timeout=PATIENCE_MS)
        return time

    began = together()
    expect(film.get_by_test_id("film-start")).to_be_visible()
    page.keyboard.press("Space")
    expect(film).to_have_attribute("data-state", "playing")
    expect(film.get_by_test_id("film-start")).to_be_hidden()
    page.wait_for_function(
        "(from) => Number(document.querySelector('[data-testid=film]').dataset.index) > from + 3",
        arg=int(film.get_attribute("data-index") or 0),
        timeout=PATIENCE_MS,
    )
    page.keyboard.press("Space")
    expect(film).to_have_attribute("data-state", "paused")
    assert together() > began
    index = int(film.get_attribute("data-index") or 0)
    page.keyboard.press("ArrowLeft")
    expect(film).to_have_attribute("data-index", str(index - 1))
    together()

    plot = film.get_by_test_id("film-plot")
    box = plot.bounding_box()
    assert box is not None
    plot.click(position={"x": box["width"] * 0.7, "y": box["height"] / 2})
    expect(film).not_to_have_attribute("data-index", str(index - 1))
    for quantity, words in (("on", "on band"), ("off", "off band"), ("absorbance", "absorbance")):
        film.get_by_test_id(f"film-{quantity}").click()
        expect(film.get_by_test_id("viewer-caption")).to_contain_text(words, timeout=PATIENCE_MS)
    place = together()
    expect(page).to_have_url(re.compile("image=absorbance"))
    expect(page).to_have_url(re.compile(r"at=\d+"))
    page.reload()
    expect(film).to_have_attribute("data-shown", place, timeout=PATIENCE_MS)
    expect(film.get_by_test_id("film-absorbance")).to_have_attribute("aria-pressed", "true")
    page.get_by_test_id("play-found").click()
    expect(film).to_have_attribute("data-state", "playing", timeout=PATIENCE_MS)
    page.get_by_test_id("find-start-calendar").click()
    page.locator(".q-date").get_by_role("button", name="1", exact=True).click()
    expect(page.get_by_test_id("find-start")).to_have_value(f"{archive.day[:8]}01 00:00")
