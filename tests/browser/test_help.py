"""Help in a browser: pages, the documentation and its links, search, and the way from a page's explanation."""

from types import ModuleType
from typing import Any

from playwright.sync_api import Page, expect


def test_help_leads_to_pages_guide_and_documentation(page: Page, place: Any, pages: ModuleType) -> None:
    pages.sign_in(page, place, "viewer", "/help")
    expect(page.get_by_test_id("help-pages")).to_contain_text("what the volcano does now")
    expect(page.get_by_test_id("help-guide")).to_have_attribute("href", "/guide")
    expect(page.get_by_test_id("help-version")).to_contain_text("BSD")
    search = page.get_by_test_id("help-search")
    search.fill("set-up code first admin")
    expect(page.get_by_test_id("help-found")).to_contain_text("Pages in a browser")
    page.get_by_test_id("help-found").get_by_role("link", name="Pages in a browser").first.click()
    docs = page.get_by_test_id("docs")
    expect(docs.get_by_role("heading", level=1)).to_have_text("Pages in a browser")
    contents = page.get_by_test_id("docs-contents")
    contents.get_by_role("link", name="For programs").click()
    expect(docs.get_by_role("heading", name="For programs")).to_be_in_viewport()
    page.goto(f"{place.url}/help/docs/site-file#instrumentnodesdevicesautomatic")
    expect(page.locator("#instrumentnodesdevicesautomatic")).to_be_in_viewport()
    page.goto(f"{place.url}/help/docs/web")
    docs.get_by_role("link", name="The image viewer", exact=True).click()
    expect(page).to_have_url(f"{place.url}/help/docs/reference/image-viewer")
    expect(docs).to_be_visible()
    assert page.request.get(f"{place.url}/help/files/images/quicklook.png").headers["content-type"] == "image/png"
    assert page.request.get(f"{place.url}/help/files/../pyproject.toml").status == 404
    assert page.request.get(f"{place.url}/help/docs/none").status == 404


def test_a_page_explains_itself_behind_the_question_mark(page: Page, place: Any, pages: ModuleType) -> None:
    pages.sign_in(page, place, "viewer", "/health")
    page.keyboard.press("?")
    expect(page.get_by_test_id("about")).to_contain_text("whether instrument and station are well")
    page.get_by_test_id("about-docs").click()
    expect(page.get_by_test_id("docs")).to_be_visible()


def test_the_documentation_is_for_those_who_may_look(page: Page, place: Any) -> None:
    assert page.request.get(f"{place.url}/help/files/images/quicklook.png").status == 401
