"""The versions of the site file: when, who, why; what differs between any two of them, the saved file and the draft."""

import difflib
from collections.abc import Mapping
from html import escape
from typing import Any, Final

from nicegui import ui

from so2cam.core.errors import So2camError
from so2cam.formats.siteedit import MISSING, key_text
from so2cam.station.drafts import KeyChange, TextConflict, Version, compare
from so2cam.web.parts import Report, pick
from so2cam.web.props import put_props
from so2cam.web.setup import EDITS_FROM
from so2cam.web.setup_fields import written
from so2cam.web.sitefile.book import CHOSEN, Book, read_key
from so2cam.web.tables import Column, stamp_html, table_html

DRAFT: Final = "draft"
SAVED: Final = "saved"
_LONGEST: Final = 160


class VersionsPart:
    """The list of versions, and beside it what differs between two texts."""

    def __init__(self, book: Book) -> None:
        self._book = book
        query = book.view.query
        self._a, self._b = query.get("a", SAVED), query.get("b", DRAFT)

    def draw(self) -> None:
        """Draw it, and keep it up to date."""
        self._list = ui.element("div").props("data-testid=versions")
        self._report = Report(test="versions-report")
        with ui.element("div").classes("so-row"):
            self._from = pick("Before", {SAVED: SAVED}, SAVED, test="compare-a")
            self._to = pick("After", {DRAFT: DRAFT}, DRAFT, test="compare-b")
            self._from.on_value_change(self._picked)
            self._to.on_value_change(self._picked)
        self._keys = ui.html("", sanitize=False).props("data-testid=compare-keys")
        self._keys.on("click", self._clicked, js_handler=CHOSEN)
        ui.html("Text", sanitize=False, tag="h3")
        self._text = ui.html("", sanitize=False).props("data-testid=compare-text")
        self._book.setup.on_change(self.show)
        ui.timer(0, self.show, once=True)

    async def show(self) -> None:
        """Show them as they are now."""
        versions = self._book.setup.draft.versions()
        names = {DRAFT: "the draft", SAVED: "the saved file"}
        names |= {str(one.number): f"version {one.number}, {one.note or 'no note'}" for one in reversed(versions)}
        self._a = self._a if self._a in names else SAVED
        self._b = self._b if self._b in names else DRAFT
        self._from.set_options(names, value=self._a)
        self._to.set_options(names, value=self._b)
        self._show_list(versions)
        await self._compare()

    def _show_list(self, versions: tuple[Version, ...]) -> None:
        self._list.clear()
        may = self._book.setup.may_edit
        with self._list:
            for one in reversed(versions):
                with ui.element("div").classes("so-version").props(f"data-testid=version-{one.number}"):
                    ui.html(
                        f"<b>{one.number}</b> {escape(one.note) or '<i>no note</i>'}<br>"
                        f'<span class="so-quiet so-small">{stamp_html(one.time)} {escape(one.by)}</span>',
                        sanitize=False,
                    ).classes("so-grow")
                    before = str(one.number - 1) if one.number > 1 else str(one.number)
                    _button(
                        "What changed", lambda a=before, b=one.number: self._look(a, str(b)), f"changed-{one.number}"
                    )
                    _button("Download", lambda number=one.number: self._download(number), f"download-{one.number}")
                    if may:
                        _button("Restore", lambda number=one.number: self._restore(number), f"restore-{one.number}")

    async def _look(self, a: str, b: str) -> None:
        self._a, self._b = a, b
        await self.show()

    async def _picked(self) -> None:
        a, b = str(self._from.value or ""), str(self._to.value or "")
        if (a, b) != (self._a, self._b):
            self._a, self._b = a, b
            await self._compare()

    def _text_of(self, name: str) -> str:
        state = self._book.setup.state
        if name == DRAFT:
            return state.text
        return state.base if name == SAVED else self._book.setup.draft.version_text(int(name))

    async def _compare(self) -> None:
        view = self._book.view
        view.keep(a=self._a if self._a != SAVED else None, b=self._b if self._b != DRAFT else None)
        path = self._book.setup.loaded.path
        try:
            a, b = self._text_of(self._a), self._text_of(self._b)
        except So2camError as error:
            self._keys.set_content(f'<p class="so-error">{escape(error.message)}</p>')
            return
        try:
            found = await view.in_thread(lambda: compare(a, b, path))
            html = _changes_html(found)
        except So2camError as error:
            html = (
                f'<p class="so-error">One of them is not valid, so only the text is compared: {escape(str(error))}</p>'
            )
        self._keys.set_content(html)
        self._text.set_content(_diff_html(a, b))

    def _download(self, number: int) -> None:
        ui.download.content(self._book.setup.draft.version_text(number), f"site-{number:04d}.toml")

    async def _restore(self, number: int) -> None:
        book = self._book
        if not book.view.may(EDITS_FROM):
            self._report.say(f"This needs the role {EDITS_FROM.word}", "bad")
            return
        draft, who, seen = book.setup.draft, book.setup.who, book.setup.state
        try:
            text = draft.version_text(number)
            # What others have changed in the draft, and is not saved, is put on top of it.
            await book.view.in_thread(
                lambda: draft.replace(text, who, f"restore version {number}", seen=seen.base if seen.changed else None)
            )
        except TextConflict:
            self._report.say("Changes of the draft are in its way: save or discard them first", "bad")
            return
        except So2camError as error:
            self._report.say(f"Not restored: {error.message}", "bad")
            return
        self._report.say(f"Version {number} is in the draft; save it to put it in force", "ok")
        book.setup.told()
        await self._look(SAVED, DRAFT)

    async def _clicked(self, event: Any) -> None:
        path = read_key(str(event.args))
        if path is not None:
            await self._book.to_key(path)


def _button(label: str, work: Any, test: str) -> None:
    put_props(ui.button(label, on_click=work).props("flat dense no-caps"), {"data-testid": test})


def _changes_html(found: tuple[KeyChange, ...]) -> str:
    if not found:
        return '<p class="so-quiet" data-testid="compare-none">All settings are the same.</p>'
    columns = [Column("Key", "lead"), Column("Before"), Column("After")]
    rows = []
    for one in found:
        key = escape(key_text(one.key), quote=True)
        rows.append(
            [
                f'<a href="?key={key}" data-key="{key}">{key}</a>',
                _value(one.before),
                _value(one.after),
            ]
        )
    return table_html(columns, rows, test="compare-table")


def _value(value: Any) -> str:
    text = "–" if value is MISSING or value is None else written(value) or '""'
    text = text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"
    return f'<span class="so-mono">{escape(text)}</span>'


_MARKS: Final[Mapping[str, str]] = {"+": "is-added", "-": "is-gone", "@": "is-place"}


def _diff_html(a: str, b: str) -> str:
    if a == b:
        return '<p class="so-quiet" data-testid="compare-text-none">The texts are the same.</p>'
    rows = list(difflib.unified_diff(a.splitlines(), b.splitlines(), lineterm="", n=3))[2:]
    marked = "".join(f'<span class="{_MARKS.get(row[:1], "")}">{escape(row)}\n</span>' for row in rows)
    return f'<pre class="so-diff">{marked or "only the ends of rows differ"}</pre>'
