"""The header's choice of sites."""

from types import SimpleNamespace
from typing import Any

from so2cam.web import shell


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
