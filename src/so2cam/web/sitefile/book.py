"""What the parts of the page of the site file share: who looks at which key, and what stands in the address."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from html import escape
from typing import Final

from so2cam.formats.siteedit import KeyPath, key_text, parse_key
from so2cam.station.key_rows import KeyRow, chosen_rows, key_rows
from so2cam.station.site_check import Finding
from so2cam.web.setup import Setup
from so2cam.web.view import View

CHOSEN: Final = """(event) => {
  const found = event.target.closest("[data-key]");
  if (found) { event.preventDefault(); emit(found.dataset.key); }
}"""
"""What the browser does when somebody clicks into a list of keys: it sends the key of what was clicked."""


@dataclass(slots=True)
class Book:
    """One person's look at the page of the site file. ``go``: shows a part of the page, or a key."""

    view: View
    setup: Setup
    go: Callable[[str], Awaitable[None]] = field(repr=False)
    to_key: Callable[[KeyPath], Awaitable[None]] = field(repr=False)

    def rows(self) -> tuple[KeyRow, ...]:
        """All keys as they are in the draft."""
        return key_rows(self.setup.state)

    def row(self, path: KeyPath) -> KeyRow | None:
        """Return the row of a key; None where it is not there any more."""
        return next((row for row in chosen_rows(self.rows()) if row.path == path), None)


def read_key(text: str) -> KeyPath | None:
    """Return the key that an address names; None where it is none."""
    try:
        return parse_key(text)
    except ValueError:
        return None


def findings_html(found: tuple[Finding, ...], *, test: str) -> str:
    """Return what is wrong or risky, each with a link to its key."""
    if not found:
        return f'<p class="so-quiet so-small" data-testid="{test}-fine">Nothing is wrong, and nothing looks risky.</p>'
    rows = []
    for one in found:
        key = "" if one.path is None else key_text(one.path)
        link = f'<a href="?key={escape(key, quote=True)}" data-key="{escape(key, quote=True)}">{escape(key)}</a> '
        word, severity = ("Wrong", "problem") if one.kind == "wrong" else ("Look", "warning")
        rows.append(
            f'<li data-severity="{severity}"><b>{word}:</b> {link if key else ""}'
            f"{escape(one.message)} <span class='so-quiet'>{escape(one.remedy)}</span></li>"
        )
    return f'<ul class="so-site-findings" data-testid="{test}">{"".join(rows)}</ul>'
