"""All keys of the site file: searched, filtered, explained; one of them is open beside them and can be changed."""

from collections.abc import Sequence
from html import escape
from typing import Final

from nicegui import ui
from nicegui.events import GenericEventArguments

from so2cam.formats.siteedit import KeyPath, key_text
from so2cam.station.key_rows import GENERAL, KeyRow, Show, chosen_rows
from so2cam.web.parts import Choice
from so2cam.web.props import put_props
from so2cam.web.setup_fields import written
from so2cam.web.sitefile.book import CHOSEN, Book, read_key
from so2cam.web.sitefile.keycard import KeyCard
from so2cam.web.tables import TYPED

_SHOWS: Final[dict[str, Show]] = {"all": "all", "file": "file", "changed": "changed"}
_WORDS: Final = [("all", "All keys"), ("file", "In the file"), ("changed", "Changed")]
_LONGEST: Final = 60


class KeysPart:
    """The list of keys in sections, which are filled when they are opened, and the card of the chosen key."""

    def __init__(self, book: Book) -> None:
        self._book = book
        query = book.view.query
        self._show: Show = _SHOWS.get(query.get("show", ""), "all")
        self._words = query.get("find", "")
        self._open = set(filter(None, query.get("open", "").split(",")))
        self._chosen = read_key(query.get("key", ""))
        self._sections: dict[str, tuple[ui.element, ui.html, ui.html]] = {}
        self._filled: dict[str, str] = {}

    def draw(self) -> None:
        """Draw it, and keep it up to date."""
        with ui.element("div").classes("so-row so-keybar"):
            find = ui.element("input").props(
                'type=search placeholder="Find a key, a word, a unit" aria-label="Find" data-testid=keys-find'
            )
            put_props(find, {"value": self._words})
            find.classes("so-keyfind").on("input", self._find, js_handler=TYPED, throttle=0.25)
            Choice(_WORDS, self._show, self._filter, label="Which keys are shown", test="keys-show")
            self._count = ui.label("").classes("so-quiet so-small").props("data-testid=keys-count role=status")
        with ui.element("div").classes("so-keybook"):
            self._list = ui.element("div").classes("so-keylist").props("data-testid=keys")
            with ui.element("aside").classes("so-keycard").props("data-testid=key-card") as self._card_box:
                self._card = KeyCard(self._book, self.choose)
        self._list.on("click", self._clicked, js_handler=CHOSEN)
        self._book.setup.on_change(self.show)
        self._open_chosen()
        self.show()
        self._show_card()

    async def choose(self, path: KeyPath | None) -> None:
        """Open a key beside the list; None closes it."""
        self._chosen = path
        self._book.view.keep(key=None if path is None else key_text(path))
        self._open_chosen()
        self.show()
        self._show_card()

    def show(self) -> None:
        """Show the keys as they are now."""
        rows = chosen_rows(self._book.rows(), show=self._show, words=self._words)
        sections: dict[str, list[KeyRow]] = {}
        for row in rows:
            sections.setdefault(row.section, []).append(row)
        narrowed = bool(self._words) or self._show == "changed"
        for name in [name for name in self._sections if name not in sections]:
            self._sections.pop(name)[0].delete()
            self._filled.pop(name, None)
        with self._list:
            for place, (name, of_section) in enumerate(sections.items()):
                if name not in self._sections:
                    self._sections[name] = self._make_section(name, place)
                self._fill(name, of_section, narrowed=narrowed)
        keys = [row for row in rows if row.role == "key"]
        changed = sum(row.changed for row in keys)
        said = f"{len(keys)} keys" if len(keys) != 1 else "1 key"
        self._count.set_text(f"{said}, {changed} changed" if changed else said)

    def _open_chosen(self) -> None:
        row = None if self._chosen is None else self._book.row(self._chosen)
        if row is not None:
            self._open.add(row.section)

    # --- inside ------------------------------------------------------------------------------------------------------

    def _make_section(self, name: str, place: int) -> tuple[ui.element, ui.html, ui.html]:
        box = put_props(ui.element("details").classes("so-keysection"), {"data-testid": f"section-{name}"})
        box.on("toggle", lambda event, name=name: self._toggled(name, event), js_handler="(e) => emit(e.target.open)")
        with box:
            head = ui.html("", sanitize=False, tag="summary")
            body = ui.html("", sanitize=False)
        box.move(self._list, place)
        return box, head, body

    def _fill(self, name: str, rows: Sequence[KeyRow], *, narrowed: bool) -> None:
        box, head, body = self._sections[name]
        is_open = name in self._open or narrowed
        head.set_content(_head_html(name, rows))
        if is_open != ("open" in box.props):
            box.props(**{"add" if is_open else "remove": "open"})
        html = _rows_html(rows, self._chosen) if is_open else ""
        if html and html != self._filled.get(name):
            body.set_content(html)
            self._filled[name] = html

    def _toggled(self, name: str, event: GenericEventArguments) -> None:
        is_open = event.args is True
        box = self._sections[name][0]
        if is_open == (name in self._open) and is_open == ("open" in box.props):
            return
        if is_open:
            self._open.add(name)
        else:
            self._open.discard(name)
            box.props.pop("open", None)
        if not self._words:
            self._book.view.keep(open=",".join(sorted(self._open)) or None)
        if is_open:
            self.show()

    async def _clicked(self, event: GenericEventArguments) -> None:
        path = read_key(str(event.args))
        if path is not None:
            await self.choose(path)

    def _find(self, event: GenericEventArguments) -> None:
        self._words = str(event.args or "").strip()
        self._book.view.keep(find=self._words or None)
        self.show()

    def _filter(self, show: str) -> None:
        self._show = _SHOWS[show]
        self._book.view.keep(show=show if show != "all" else None)
        self.show()

    def _show_card(self) -> None:
        self._card_box.classes(**{"add" if self._chosen is not None else "remove": "is-open"})
        self._card.show(self._chosen)


def _head_html(name: str, rows: Sequence[KeyRow]) -> str:
    first = rows[0]
    keys = [row for row in rows if row.role == "key"]
    changed = sum(row.changed for row in keys)
    if name == GENERAL:
        words = "of the file as a whole"
    else:
        words = first.info.description.partition(". ")[0].rstrip(".")
    marks = [f"{len(keys)} keys" if len(keys) != 1 else "1 key"]
    if first.origin == "absent" and name != GENERAL:
        marks.append("not given")
    needed = sum(row.origin == "needed" for row in rows)
    more = f'<b class="so-keyneeded">{needed} needed</b>' if needed else ""
    more += f'<b class="so-keychanged">{changed} changed</b>' if changed else ""
    return (
        f'<span class="so-keysection-name">{escape(name)}</span>'
        f'<span class="so-quiet so-small so-grow">{escape(words)}</span>'
        f'<span class="so-quiet so-small so-keymarks">{more} {" · ".join(marks)}</span>'
    )


def _rows_html(rows: Sequence[KeyRow], chosen: KeyPath | None) -> str:
    return "".join(_row_html(row, chosen) for row in rows)


def _row_html(row: KeyRow, chosen: KeyPath | None) -> str:
    info, text = row.info, row.text
    classes = ["so-keyrow", f"is-{row.role}", f"is-{row.origin}"]
    classes += ["is-changed"] if row.changed else []
    depth = max(0, len(row.path) - 2)
    name = str(row.path[-1]) if isinstance(row.path[-1], str) else f"[{row.path[-1]}]"
    if row.role == "element":
        value = "taken out" if row.gone else ""
    elif row.role == "tables":
        value = str(len(row.value)) if row.origin == "file" and isinstance(row.value, (list, dict)) else "none"
    elif row.role == "table":
        value = {"absent": "not given", "needed": "needed"}.get(row.origin, "")
    else:
        value = {"absent": "not given", "needed": "needed"}.get(row.origin, _short(written(row.value)))
    unit = f" <small>{escape(info.unit)}</small>" if info.unit and row.origin in ("file", "default") else ""
    was = ""
    if row.changed and row.role == "key":
        was = f'<s title="in the saved file">{escape(_short(written(row.saved)) or "not given")}</s>'
    key = key_text(row.path)
    current = " aria-current=true" if row.path == chosen else ""
    about = info.description if row.role != "element" else ""
    return (
        f'<button type="button" class="{" ".join(classes)}" style="--depth:{depth}" '
        f'data-key="{escape(key, quote=True)}" data-testid="row-{escape(text, quote=True)}"{current}>'
        f'<span class="so-keyname">{_breaking("…" if name == "*" else name)}</span>'
        f'<span class="so-keyvalue">{was}<span>{escape(value)}{unit}</span></span>'
        f'<span class="so-keyabout">{escape(about)}</span></button>'
    )


def _breaking(name: str) -> str:
    """Return the name of a key as HTML; a narrow column breaks it after its underscores."""
    return escape(name).replace("_", "_<wbr>")


def _short(text: str) -> str:
    flat = " ".join(text.split())
    return flat if len(flat) <= _LONGEST else flat[: _LONGEST - 1] + "…"
