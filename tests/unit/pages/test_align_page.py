"""The align page as another server hands it out: nothing of what it is given becomes markup."""

import json
import re
from html import unescape

from so2cam.pages import PlainLink, align_page, read_asset


def test_the_page_speaks_to_another_place_and_leads_to_other_pages() -> None:
    links = [PlainLink("/", "Live", "nav-live", "g l"), PlainLink("/align", "Align", "nav-align", "g a", here=True)]
    text = align_page({"b": "/pages/align/a%22/b/"}, door="/sign-in?next=%2F", site='a"<b>', links=links)
    assert '<html lang="en" data-base="/pages/align/a%22/b/" data-session="/sign-in?next=%2F">' in text
    assert "<b>" not in text.partition("</nav>")[0]
    assert '<a href="/align" data-testid="nav-align" title="Align (g a)" aria-current="page">Align</a>' in text
    keys = re.search(r'data-keys="([^"]*)"', text)
    assert keys is not None
    assert json.loads(unescape(keys[1])) == {"g l": "/", "g a": "/align"}
    assert '<span data-testid="align-node">a&quot;&lt;b&gt;, b</span>' in text
    own = read_asset("align.html").content.decode()
    assert len(text) > len(own)
    assert "data-session" not in own


def test_the_page_of_several_nodes_speaks_to_each_of_them() -> None:
    bases = {"lead": "/pages/align/a/lead/", "follower": "/pages/align/a/follower/"}
    text = align_page(bases, door="/sign-in", site="a", links=[])
    nodes = re.search(r'<html lang="en" data-nodes="([^"]*)" data-session="/sign-in">', text)
    assert nodes is not None
    assert json.loads(unescape(nodes[1])) == bases
    assert "data-base" not in text
    assert '<span data-testid="align-node">a, lead and follower</span>' in text
