"""The header: the choice of sites, and the page that is marked."""

import re
from types import SimpleNamespace
from typing import Any

import pytest

from so2cam.web import shell
from so2cam.web.registry import all_pages, navigation


def test_another_site_is_shown_on_the_page_that_is_open_also_where_its_path_has_a_name() -> None:
    sites = [SimpleNamespace(name="hill"), SimpleNamespace(name="crater")]
    context = SimpleNamespace(sites=sites)
    view: Any = SimpleNamespace(
        context=context,
        site=sites[0],
        pages=SimpleNamespace(context=context),
        spec=SimpleNamespace(path="/help/docs/{name:path}"),
        request=SimpleNamespace(url=SimpleNamespace(path="/help/docs/reference/protocol")),
    )
    html = shell._sites(view)
    assert 'value="/help/docs/reference/protocol?site=crater"' in html
    assert "{name" not in html


@pytest.mark.parametrize(
    ("path", "marked"),
    [
        ("/", {"/": "page"}),
        ("/setup", {"/setup": "page"}),
        ("/setup/lines", {"/setup": "true"}),
        ("/guide", {"/setup": "true"}),
        ("/help/docs/{name:path}", {"/help": "true"}),
        ("/compare", {"/runs": "true"}),
    ],
)
def test_the_page_that_is_open_is_marked_or_the_one_it_belongs_to(path: str, marked: dict[str, str]) -> None:
    context = SimpleNamespace(sites=[SimpleNamespace(name="hill")])
    view: Any = SimpleNamespace(
        site=context.sites[0],
        pages=SimpleNamespace(context=context),
        visitor=SimpleNamespace(may=lambda role: True),
        spec=next(spec for spec in all_pages() if spec.path == path),
    )
    html = "".join(shell._nav_item(view, spec) for spec in navigation())
    assert dict(re.findall(r'href="([^"]*)" aria-current="(\w+)"', html)) == marked
