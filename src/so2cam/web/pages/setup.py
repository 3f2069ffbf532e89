"""The first set-up page: every key of the site file, its text, its versions and what differs, and import."""

from nicegui import ui

from so2cam.formats.siteedit import KeyPath, key_text
from so2cam.station.site_check import check_text
from so2cam.web.parts import Choice
from so2cam.web.setup import Setup, setup_page
from so2cam.web.shell import asset_url
from so2cam.web.sitefile.book import CHOSEN, Book, findings_html, read_key
from so2cam.web.sitefile.importing import ImportPart
from so2cam.web.sitefile.keys import KeysPart
from so2cam.web.sitefile.text import TextPart
from so2cam.web.sitefile.versions import VersionsPart
from so2cam.web.view import View

_PARTS = [("keys", "Keys"), ("text", "Text"), ("versions", "Versions"), ("import", "Import")]


@setup_page(
    "/setup",
    title="Site file",
    order=0,
    nav="Set-up",
    keys="g u",
    hint="Everything about this installation",
    about=(
        "The site file holds everything about this installation. All who set it up share one draft, which changes "
        "nothing until it is saved. Saving keeps the text as a version with a note, and the station takes it up."
    ),
    docs="web-setup",
)
def site_file(view: View, setup: Setup) -> None:
    """Show the parts of the page, one at a time; which one stands in the address."""
    for sheet in ("health.css", "sitefile.css"):  # the first for its tables
        ui.add_head_html(f'<link rel="stylesheet" href="{asset_url(sheet)}">')
    SitePage(view, setup).draw()


class SitePage:
    """The page: which part is shown, and what is wrong or risky now."""

    def __init__(self, view: View, setup: Setup) -> None:
        self._view, self._setup = view, setup
        self._book = Book(view, setup, self._go, self._to_key)
        wanted = view.query.get("part", "keys")
        self._part = wanted if wanted in dict(_PARTS) else "keys"
        self._keys: KeysPart | None = None

    def draw(self) -> None:
        """Draw it, and keep it up to date."""
        with ui.element("section").classes("so-panel").props("data-testid=site"):
            with ui.element("div").classes("so-row"):
                self._choice = Choice(_PARTS, self._part, self._go, label="Part of the page", test="part")
            self._more = ui.element("details").classes("so-sitestate").props("data-testid=site-check")
            with self._more:
                self._head = ui.html("", sanitize=False, tag="summary")
                self._found = ui.html("", sanitize=False)
                self._found.on("click", self._clicked, js_handler=CHOSEN)
            self._box = ui.element("div").classes("so-sitepart")
        self._setup.on_change(self._check)
        self._draw_part()
        ui.timer(0, self._check, once=True)

    async def _go(self, part: str) -> None:
        self._part = part
        self._choice.set(part)
        self._view.keep(part=part if part != "keys" else None)
        self._draw_part()

    async def _to_key(self, path: KeyPath) -> None:
        if self._part == "keys" and self._keys is not None:
            await self._keys.choose(path)
            return
        self._view.keep(key=key_text(path))
        await self._go("keys")
        if self._keys is not None:
            await self._keys.choose(path)

    def _draw_part(self) -> None:
        self._box.clear()
        self._keys = None
        with self._box:
            if self._part == "text":
                TextPart(self._book).draw()
            elif self._part == "versions":
                VersionsPart(self._book).draw()
            elif self._part == "import":
                ImportPart(self._book).draw()
            else:
                self._keys = KeysPart(self._book)
                self._keys.draw()

    async def _check(self) -> None:
        state = self._setup.state
        found = await self._view.in_thread(lambda: check_text(state.text, state.loaded.path))
        wrong = sum(one.kind == "wrong" for one in found)
        self._more.set_visibility(bool(found))
        words = f"{len(found)} to look at" if not wrong else f"{wrong} wrong: the draft cannot be saved as it is"
        self._head.set_content(words)
        self._found.set_content(findings_html(found, test="site-findings"))
        self._more.props(f"data-state={'bad' if wrong else 'warn'}")
        if wrong:
            self._more.props("open")

    async def _clicked(self, event: object) -> None:
        path = read_key(str(getattr(event, "args", "")))
        if path is not None:
            await self._to_key(path)
