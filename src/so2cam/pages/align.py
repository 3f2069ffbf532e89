"""The align page as another server than the instrument's hands it out: its messages elsewhere, the sign-in its own."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Final

from so2cam.pages.assets import read_asset

PLAIN_HEADERS: Final = {
    "cache-control": "no-cache",
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
}
"""Headers of a plain page: it loads, and speaks to, nothing but its own server."""
_ROOT: Final = '<html lang="en" data-base="/v1/">'
_HEAD: Final = "</head>"
_BODY: Final = "<body>\n"
_NODE: Final = '<span data-testid="align-node">'
_FRAME: Final = '<script defer src="/static/so2cam/frame.js"></script>\n'


@dataclass(frozen=True, slots=True)
class PlainLink:
    """A link to another page: its address, its word, its name in tests, and the keys that lead there."""

    address: str
    word: str
    test: str
    keys: str | None = None
    here: bool = False


def align_page(bases: Mapping[str, str], *, door: str, site: str, links: Sequence[PlainLink]) -> str:
    """Return the align page of one node or of several at once, for who is signed in already.

    ``bases``: where the messages of each node are (it ends with a slash), by the node's name. ``door``: the address
    where one signs in. ``links`` to the server's other pages of ``site`` stand above it.
    """
    text = read_asset("align.html").content.decode()
    keys = json.dumps({link.keys: link.address for link in links if link.keys})
    above = (
        f'<nav class="so-header pages" data-site="{escape(site)}" data-keys="{escape(keys)}" aria-label="Pages">'
        f"{''.join(_anchor(link) for link in links)}</nav>\n"
    )
    one = next(iter(bases.values())) if len(bases) == 1 else None
    where = f'data-base="{escape(one)}"' if one is not None else f'data-nodes="{escape(json.dumps(dict(bases)))}"'
    root = f'<html lang="en" {where} data-session="{escape(door)}">'
    name = escape(f"{site}, {' and '.join(bases)}")
    for mark, put in ((_ROOT, root), (_HEAD, _FRAME + _HEAD), (_BODY, _BODY + above), (_NODE, _NODE + name)):
        if text.count(mark) != 1:
            raise AssertionError(f"align.html has not one {mark.strip()}")
        text = text.replace(mark, put)
    return text


def _anchor(link: PlainLink) -> str:
    title = f' title="{escape(link.word)} ({escape(link.keys)})"' if link.keys else ""
    here = ' aria-current="page"' if link.here else ""
    return f'<a href="{escape(link.address)}" data-testid="{escape(link.test)}"{title}{here}>{escape(link.word)}</a>'
