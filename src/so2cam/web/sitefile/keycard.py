"""The card of one key: what it is, what holds, what is saved, and the editor that suits it."""

from collections.abc import Awaitable, Callable
from html import escape
from typing import Any, Final

from nicegui import ui

from so2cam.core.errors import So2camError
from so2cam.core.site_keys import KeyInfo
from so2cam.formats.siteedit import MISSING, REMOVE, KeyPath, edit_text, key_text
from so2cam.station.key_rows import KeyRow, elements
from so2cam.station.own_file import OWN_FILE, of_instrument, remedy_of
from so2cam.station.site_check import check_text
from so2cam.web.parts import Report, sentence
from so2cam.web.props import put_props
from so2cam.web.seen import Seen
from so2cam.web.setup_fields import written
from so2cam.web.sitefile.adding import add_element
from so2cam.web.sitefile.book import CHOSEN, Book, findings_html, read_key
from so2cam.web.sitefile.toml_words import block, read_block

_PLAIN: Final = frozenset({"number", "integer", "text", "bool", "choice", "time", "point", "names"})
_KINDS: Final = {
    "number": "a number",
    "integer": "a whole number",
    "text": "text",
    "bool": "true or false",
    "choice": "one of a few",
    "time": "a time",
    "point": "two numbers",
    "list": "a list",
    "names": "a list of names",
    "table": "a table",
    "tables": "tables, one for each",
    "any": "see its description",
}
Choose = Callable[[KeyPath | None], Awaitable[None]]


class KeyCard:
    """Shows one key and lets people change it. It is drawn anew when another key is chosen or the table changed."""

    def __init__(self, book: Book, choose: Choose) -> None:
        self._book, self._choose = book, choose
        self._path: KeyPath | None = None
        self._drawn: object = None
        self._offered: object = None
        self._seen = Seen(book.setup)
        self._box = ui.element("div").classes("so-keycard-in")
        book.setup.on_change(self._changed)

    def show(self, path: KeyPath | None) -> None:
        """Show a key; what to do where there is none."""
        self._path = path
        self._draw()

    def _changed(self) -> None:
        self._seen.drawn()
        row = None if self._path is None else self._book.row(self._path)
        if row is not None and self._drawn == _shape(row):
            self._facts.set_content(_facts_html(row))
            self._buttons(row)
        else:
            self._draw()

    def _draw(self) -> None:
        self._seen.drawn()
        self._box.clear()
        row = None if self._path is None else self._book.row(self._path)
        self._drawn = None if row is None else _shape(row)
        with self._box:
            if row is None:
                text = "Choose a key to see what it means and to change it."
                if self._path is not None:
                    text = f"{key_text(self._path)} is not there any more."
                ui.html(f"<p>{escape(text)}</p>", sanitize=False).classes("so-quiet")
                return
            with ui.element("div").classes("so-row so-keycard-head"):
                ui.html(escape(row.text), sanitize=False, tag="h2").props("data-testid=card-key")
                ui.element("span").classes("so-grow")
                ui.button("Close", on_click=lambda: self._choose(None)).props(
                    "flat dense no-caps data-testid=card-close"
                )
            if row.role != "element":
                ui.html(_about_html(row.info), sanitize=False).props("data-testid=card-about")
            if of_instrument(row.path):
                ui.label(f"{OWN_FILE} For the instrument: {remedy_of(row.path)}.").classes("so-doubt so-small").props(
                    "data-testid=card-own-file"
                )
            self._facts = ui.html(_facts_html(row), sanitize=False).props("data-testid=card-facts")
            if row.real:
                self._editor(row)
            self._row, self._offered = ui.element("div").classes("so-row"), None
            self._buttons(row)
            self._report = Report(test="card-report")

    def _editor(self, row: KeyRow) -> None:
        if row.role == "key" and row.info.kind in _PLAIN:
            self._book.setup.field(row.path, wide=True)
        elif row.origin != "absent" or row.role == "key":
            _TextEditor(self._book, row)

    # --- what can be done with it ------------------------------------------------------------------------------------

    def _buttons(self, row: KeyRow) -> None:
        whole = self._book.setup.state.written(row.path[:-1]) if row.role == "element" else None
        offered = (row.path, row.origin, row.changed, row.gone, repr(row.saved), repr(whole))
        if offered == self._offered:
            return  # a button that somebody is about to press stays
        self._offered = offered
        self._row.clear()
        if not self._book.setup.may_edit or (not row.real and not row.gone):
            return
        with self._row:
            if row.changed and row.role != "tables":
                _button("As saved", lambda: self._set(row.saved, "as saved"), "card-saved")
            if row.gone:
                return
            if row.role == "key" and row.origin == "file" and not row.info.required:
                _button("Back to the default", lambda: self._set(MISSING, "back to the default"), "card-default")
            if row.role == "table" and row.origin in ("absent", "default", "needed"):
                _button("Add this table", lambda: self._set({}, "add"), "card-add")
            if row.role == "table" and row.origin == "file" and not row.info.required:
                _button("Take out", lambda: self._set(MISSING, "take out"), "card-remove")
            if row.role == "tables":
                _button("Add one", self._add, "card-add")
            if row.role == "element":
                self._element_buttons(row)

    def _element_buttons(self, row: KeyRow) -> None:
        whole = self._book.setup.state.written(row.path[:-1])
        if isinstance(whole, list):
            place = [name for name, _ in elements(whole)].index(row.path[-1])
            if place > 0:
                _button("Move up", lambda: self._move(row, place, place - 1), "card-up")
            if place < len(whole) - 1:
                _button("Move down", lambda: self._move(row, place, place + 1), "card-down")
        _button("Take out", lambda: self._set(MISSING, "take out"), "card-remove")

    async def _set(self, value: Any, what: str) -> None:
        path = self._path
        if path is None:
            return
        wanted = REMOVE if value is MISSING else value
        await self._seen.change({path: wanted}, f"{what}: {key_text(path)}")

    async def _move(self, row: KeyRow, place: int, to: int) -> None:
        path = row.path[:-1]
        whole = self._seen.of([path])[path]
        moved = [one for index, one in enumerate(whole) if index != place]
        moved.insert(to, whole[place])
        if await self._seen.change({path: moved}, f"move {row.text}"):
            name = row.path[-1]
            await self._choose((*path, name if isinstance(name, str) else to))

    async def _add(self) -> None:
        if self._path is not None:
            made = await add_element(self._book.setup, self._path)
            if made is not None:
                await self._choose(made)


class _TextEditor:
    """A list, or a table, as TOML; it is checked before it is taken into the draft."""

    def __init__(self, book: Book, row: KeyRow) -> None:
        self._book, self._row = book, row
        self._is_table = row.role in ("table", "element") or (row.role == "key" and row.info.kind == "table")
        self._before = book.setup.state.written(row.path)
        shown = block(self._before if self._before is not MISSING else row.value, table=self._is_table)
        label = "As TOML" if self._is_table else "Value, as TOML"
        self._area = (
            ui.textarea(label, value=shown)
            .props('outlined dense debounce=150 spellcheck=false data-testid=card-toml input-class="so-mono"')
            .classes("so-keytext")
        )
        self._said = ui.html("", sanitize=False).props("data-testid=card-check")
        self._said.on("click", self._clicked, js_handler=CHOSEN)
        if not book.setup.may_edit:
            self._area.disable()
            return
        with ui.element("div").classes("so-row"):
            ui.button("Check", on_click=self._check).props("flat no-caps data-testid=card-toml-check")
            ui.button("Take into the draft", on_click=self._take).props("unelevated no-caps data-testid=card-toml-take")

    def _value(self) -> Any:
        return read_block(str(self._area.value or ""), table=self._is_table)

    async def _check(self) -> None:
        setup, path = self._book.setup, self._row.path
        try:
            value = self._value()
            state = setup.state
            text = edit_text(state.text, [(path, value)])
            found = await self._book.view.in_thread(lambda: check_text(text, state.loaded.path))
        except So2camError as error:
            self._say(error)
            return
        near = tuple(one for one in found if one.path is not None and one.path[: len(path)] == path)
        self._said.set_content(findings_html(near, test="card-findings"))

    async def _take(self) -> None:
        try:
            value = self._value()
        except So2camError as error:
            self._say(error)
            return
        self._said.set_content("")
        path = self._row.path
        done = await self._book.setup.change({path: value}, f"set {key_text(path)}", seen={path: self._before})
        if done:
            self._before = self._book.setup.state.written(path)

    def _say(self, error: So2camError) -> None:
        self._said.set_content(f'<p class="so-error" role="alert">{escape(sentence(error))}</p>')

    async def _clicked(self, event: Any) -> None:
        path = read_key(str(event.args))
        if path is not None:
            await self._book.to_key(path)


def _button(label: str, work: Callable[[], Awaitable[None]], test: str) -> None:
    made = ui.button(label, on_click=work).props("outline dense no-caps").classes("so-keybutton")
    put_props(made, {"data-testid": test})


def _shape(row: KeyRow) -> object:
    """Return what, when it changes, needs another card: not the value of a plain key, for its field follows it."""
    plain = row.role == "key" and row.info.kind in _PLAIN
    return (row.path, row.role, row.gone, row.origin == "absent", None if plain else repr(row.value))


def _about_html(info: KeyInfo) -> str:
    facts = [_KINDS[info.kind]]
    facts += [f"in {info.unit}"] if info.unit else []
    facts += [info.limits] if info.limits else []
    facts += [" or ".join(info.choices)] if info.choices else []
    facts += ["must be given"] if info.required else []
    facts += [f"only for {', '.join(info.only)}"] if info.only else []
    described = f"<p>{escape(info.description)}</p>" if info.description else ""
    return f'{described}<p class="so-quiet so-small">{escape(" · ".join(facts))}</p>'


def _facts_html(row: KeyRow) -> str:
    if row.role in ("table", "tables", "element"):
        words = {"file": "in the file", "default": "not in the file: its defaults hold", "absent": "not given"}
        said = "taken out of the draft" if row.gone else words.get(row.origin, "must be given")
        return f'<p class="so-quiet so-small">{said}{", changed" if row.changed and not row.gone else ""}</p>'
    where = {
        "file": "set in the file",
        "default": "the default holds",
        "absent": "not given",
        "needed": "must be given, and is not",
    }[row.origin]
    rows = [("now", written(row.value) or "–", where)]
    if row.changed:
        rows.append(("saved", written(row.saved) or "not given", "changed in the draft"))
    if row.info.default is not None and row.origin == "file":
        rows.append(("default", written(row.info.default), ""))
    cells = "".join(
        f'<dt>{name}</dt><dd><span class="so-mono">{escape(value[:400])}</span> '
        f'<small class="so-quiet">{said}</small></dd>'
        for name, value, said in rows
    )
    return f'<dl class="so-keyfacts">{cells}</dl>'
