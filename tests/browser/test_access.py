"""The access page in a browser: roles, refusals, tokens made, shown once, and revoked."""

import re
from types import ModuleType
from typing import Any

import pytest
from playwright.sync_api import BrowserContext, Page, expect

from so2cam.station.access import Access

_TOKEN = re.compile(r"so2_[0-9a-f]{8}_[A-Za-z0-9_-]{43}")


def _make(page: Page, name: str, role: str) -> str:
    page.get_by_test_id("token-name").fill(name)
    page.get_by_test_id(f"token-role-{role}").click()
    page.get_by_test_id("token-make").click()
    expect(page.get_by_test_id("token-value")).to_have_text(_TOKEN)
    return page.get_by_test_id("token-value").text_content() or ""


def test_without_a_token_there_is_the_door(page: Page, place: Any, pages: ModuleType) -> None:
    page.goto(f"{place.url}/alarms")
    expect(page.get_by_test_id("door")).to_be_visible()
    pages.sign_in_with(page, place, "so2_00000000_" + "x" * 43, "/alarms")
    expect(page.get_by_test_id("why")).to_contain_text("valid token")
    assert page.request.get(f"{place.url}/pages/health/trends").status == 401


@pytest.mark.parametrize("role", ["viewer", "operator"])
def test_lower_roles_are_refused_in_words(page: Page, place: Any, pages: ModuleType, role: str) -> None:
    pages.sign_in(page, place, role, "/access")
    expect(page.get_by_test_id("refused")).to_have_text("Access needs the role admin")
    expect(page.get_by_test_id("nav-access")).to_have_count(0)
    expect(page.get_by_test_id("tokens-list")).to_have_count(0)


def test_a_token_is_shown_once_lets_in_and_is_revoked(
    page: Page, other: BrowserContext, place: Any, pages: ModuleType
) -> None:
    pages.sign_in(page, place, "admin", "/access")
    token = _make(page, "Night shift", "operator")
    number = token[4:12]
    row = page.get_by_test_id(f"token-{number}")
    expect(row).to_contain_text("Night shift")
    expect(row).to_contain_text("operator")
    page.reload()
    expect(page.get_by_test_id(f"token-{number}")).to_be_visible()
    assert token not in page.content()

    guest = other.new_page()
    pages.sign_in_with(guest, place, token, "/alarms")
    expect(guest.get_by_test_id("who")).to_have_text("Night shift · operator")
    expect(row).not_to_contain_text("not yet", timeout=20_000)

    page.get_by_test_id(f"revoke-{number}").click()
    expect(page.get_by_test_id("confirm")).to_contain_text("Night shift")
    page.get_by_test_id("confirm-no").click()
    expect(page.get_by_test_id("confirm")).to_have_count(0)
    page.get_by_test_id(f"revoke-{number}").click()
    page.get_by_test_id("confirm-yes").click()
    expect(page.get_by_test_id("tokens-report")).to_contain_text("The token of Night shift is revoked")
    expect(page.get_by_test_id(f"token-{number}")).to_have_count(0)
    expect(guest.get_by_test_id("door")).to_be_visible(timeout=20_000)
    page.get_by_test_id("tokens-which-all").click()
    expect(page.get_by_test_id(f"token-{number}")).to_contain_text("revoked")
    with Access.of_station(place.state) as access:
        done = [(entry.name, entry.action) for entry in access.audit(20)]
    assert ("the admin", "token.create") in done
    assert ("the admin", "token.revoke") in done


def test_two_admins_see_each_others_tokens(page: Page, other: BrowserContext, place: Any, pages: ModuleType) -> None:
    pages.sign_in(page, place, "admin", "/access")
    second = pages.visit(other, place, "admin", "/access")
    expect(second.get_by_test_id("tokens-list")).to_contain_text("the viewer")
    token = _make(page, "Visitor 7", "viewer")
    expect(second.get_by_test_id(f"token-{token[4:12]}")).to_contain_text("Visitor 7")
    assert token not in second.content()


def test_a_name_that_is_none_and_the_last_admin_are_refused(page: Page, place: Any, pages: ModuleType) -> None:
    pages.sign_in(page, place, "admin", "/access")
    page.get_by_test_id("token-name").fill("<script>")
    page.get_by_test_id("token-make").click()
    expect(page.get_by_test_id("token-report")).to_contain_text("give a name of letters")
    expect(page.get_by_test_id("token-value")).to_have_count(0)
    number = place.tokens["admin"][4:12]
    page.get_by_test_id(f"revoke-{number}").click()
    expect(page.get_by_test_id("confirm")).to_contain_text("your own token")
    page.get_by_test_id("confirm-yes").click()
    expect(page.get_by_test_id("tokens-report")).to_contain_text("this is the only admin left")
    page.reload()
    expect(page.get_by_test_id("who")).to_contain_text("admin")


def test_nobody_looks_without_a_token_unless_the_site_file_says_so(page: Page, place: Any, pages: ModuleType) -> None:
    pages.sign_in(page, place, "admin", "/access")
    expect(page.get_by_test_id("public")).to_have_text("nobody")
