"""The site file as text: changed as a whole, checked while it is, and put together with what others changed."""

from html import escape
from typing import Any

from nicegui import ui

from so2cam.core.errors import So2camError
from so2cam.station.drafts import TextConflict
from so2cam.station.site_check import check_text
from so2cam.web.parts import Report, time_text
from so2cam.web.setup import EDITS_FROM
from so2cam.web.sitefile.book import CHOSEN, Book, findings_html, read_key


class TextPart:
    """A field with the whole text. It follows the draft until somebody types into it."""

    def __init__(self, book: Book) -> None:
        self._book = book
        self._began = book.setup.state.text

    def draw(self) -> None:
        """Draw it, and keep it up to date."""
        setup = self._book.setup
        with ui.element("div").classes("so-row"):
            self._words = ui.label("").classes("so-quiet so-small so-grow").props("data-testid=text-words")
            ui.button("Check", on_click=self._check).props("flat no-caps data-testid=text-check")
            self._back = ui.button("Start again", on_click=self._again).props("flat no-caps data-testid=text-again")
            ui.button("Download", on_click=self._download).props("flat no-caps data-testid=text-download")
            self._take = ui.button("Take into the draft", on_click=self._take_in)
            self._take.props("unelevated no-caps data-testid=text-take")
        self._report = Report(test="text-report")
        self._said = ui.html("", sanitize=False).props("data-testid=text-said")
        self._said.on("click", self._clicked, js_handler=CHOSEN)
        self._area = (
            ui.textarea(value=self._began, on_change=self._show)
            .props(
                "outlined dense debounce=200 spellcheck=false wrap=off data-testid=text-area "
                'aria-label="The site file as text" input-class="so-mono so-sitetext"'
            )
            .classes("so-sitetext-box")
        )
        if not setup.may_edit:
            self._area.props("readonly")
        setup.on_change(self._follow)
        self._show()

    @property
    def _typed(self) -> str:
        text = str(self._area.value or "").replace("\r\n", "\n")
        return text.replace("\n", "\r\n") if "\r\n" in self._began else text

    @property
    def _changed(self) -> bool:
        return self._typed != self._began

    def _follow(self) -> None:
        now = self._book.setup.state.text
        if not self._changed and now != self._began:
            self._began = now
            self._area.value = now
        self._show()

    def _show(self) -> None:
        elsewhere = self._book.setup.state.text != self._began
        words = "The text of the draft; comments are kept."
        if self._changed:
            words = "Changed here, not yet in the draft."
        if self._changed and elsewhere:
            words += " Somebody changed the draft meanwhile: both are put together."
        self._words.set_text(words)
        self._take.set_enabled(self._changed and self._book.setup.may_edit)
        self._back.set_visibility(self._changed)

    def _again(self) -> None:
        self._began = self._book.setup.state.text
        self._area.value = self._began
        self._said.set_content("")
        self._report.say("")
        self._show()

    async def _check(self) -> None:
        text, path = self._typed, self._book.setup.loaded.path
        found = await self._book.view.in_thread(lambda: check_text(text, path))
        self._said.set_content(findings_html(found, test="text-findings"))

    def _download(self) -> None:
        ui.download.content(self._typed, "site.toml")

    async def _take_in(self, *, over: bool = False) -> None:
        book, text, seen = self._book, self._typed, self._began
        if not book.view.may(EDITS_FROM):
            self._report.say(f"This needs the role {EDITS_FROM.word}", "bad")
            return
        draft, who = book.setup.draft, book.setup.who
        try:
            state = await book.view.in_thread(
                lambda: draft.replace(text, who, "change the text", seen=None if over else seen)
            )
        except TextConflict as conflict:
            if await _ask(conflict):
                await self._take_in(over=True)
            return
        except So2camError as error:
            self._report.say(f"Not taken: {error.message}", "bad")
            return
        self._began = state.text
        self._area.value = state.text
        self._report.say("Taken into the draft" + ("" if state.text == text else ", with what others changed"), "ok")
        book.setup.told()
        await self._check()
        self._show()

    async def _clicked(self, event: Any) -> None:
        path = read_key(str(event.args))
        if path is not None:
            await self._book.to_key(path)


async def _ask(conflict: TextConflict) -> bool:
    """Ask whether one's own text is to be taken though somebody changed the same rows."""
    when = "" if conflict.time is None else f" at {time_text(conflict.time, date=False)}"
    with ui.dialog().props("persistent") as dialog, ui.card().classes("so-panel").props("data-testid=text-conflict"):
        ui.label(f"{conflict.by or 'Somebody'} changed the same rows{when}. The draft says now:")
        ui.html(f"<pre>{escape(conflict.theirs)}</pre>", sanitize=False).classes("so-textpeek")
        with ui.row():
            ui.button("Go on editing mine", on_click=lambda: dialog.submit(False)).props(
                "flat no-caps data-testid=text-conflict-stay"
            )
            ui.button("Take mine instead", on_click=lambda: dialog.submit(True)).props(
                "unelevated no-caps data-testid=text-conflict-mine"
            )
    answer = await dialog
    dialog.delete()
    return answer is True
