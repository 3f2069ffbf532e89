"""Set-up of the lines across the plume: drawn, dragged and turned on the image, with what they give on a real pair."""

from datetime import datetime
from typing import Any, Final

from nicegui import events, ui

from so2cam.core.errors import So2camError
from so2cam.formats.siteedit import MISSING, REMOVE, KeyPath
from so2cam.station.line_view import (
    LineLook,
    LinesLook,
    checked_line,
    fitting_normal,
    flipped,
    look_at_lines,
    read_line_file,
)
from so2cam.web.latest import Latest
from so2cam.web.line_edits import PLACE, plain_place, removal, renaming, table_of
from so2cam.web.line_list import LineList
from so2cam.web.line_shapes import colours_of, drawn_line, place_of, shapes_of
from so2cam.web.parts import Choice, one_of, panel
from so2cam.web.plot import Plot, line
from so2cam.web.setup import Setup, setup_page
from so2cam.web.setup_image import NO_PAIRS, PairBar, Preview, put_image, use_styles
from so2cam.web.setup_tools import Tools
from so2cam.web.view import View
from so2cam.web.viewer import Viewer, ViewerEvent

SECTIONS: Final = (("column", "Column"), ("absorbance", "Absorbance"))
_TOOLS: Final = {"line": ("Straight", "line"), "polyline": ("Polyline", "polyline"), "arc": ("Arc", "arc")}
_LARGEST_FILE: Final = 20_000


@setup_page(
    "/setup/lines",
    title="Lines",
    order=40,
    hint="Lines across the plume, and what they give",
    about=(
        "Columns are added up along lines across the plume: draw, drag and turn them on a real image. The arrow points "
        "to the side to which the plume crosses, and both ends belong into plume-free sky, where the baseline is read. "
        "Beside the image stands what every line gives for this pair, as processing would."
    ),
    docs="geometry-and-lines",
)
def lines(view: View, setup: Setup) -> None:
    """Draw the page."""
    use_styles()
    page = LinesPage(view, setup)
    ui.timer(0.05, page.changed, once=True)  # what takes a while comes after the page
    setup.on_change(page.changed)


class LinesPage:
    """One look at the page."""

    def __init__(self, view: View, setup: Setup) -> None:
        self._view, self._setup = view, setup
        self._slot = view.pages.shelf.slot(view)
        self._latest = Latest(self._work)
        self._shows: datetime | None = None  # the time of the pair whose image is shown
        self._look: LinesLook | None = None
        self._tables: dict[str, dict[str, Any]] = {}
        self._chosen = view.query.get("line", "")
        self._section = one_of(SECTIONS, view.query.get("section", ""))
        with ui.element("div").classes("so-setup-image"):
            self._draw_image()
            with ui.element("div").classes("so-side"):
                self._list = LineList(
                    setup, choose=self._choose, flip=self._flip, remove=self._remove, rename=self._rename
                )
                self._draw_section()

    def _draw_image(self) -> None:
        box, head = panel("Image", test="lines-image")
        with head:
            self._preview = Preview()
        with box:
            with ui.element("div").classes("so-row"):
                self._tools = Tools("New line", _TOOLS, enabled=self._setup.may_edit)
                if self._setup.may_edit:
                    self._draw_import()
            self._viewer = self._tools.viewer = Viewer(
                colours="viridis",
                readonly=not self._setup.may_edit,
                label="absorbance of a pair of the archive with the lines",
                on_shape_created=self._drawn,
                on_shape_changed=self._moved,
                on_shape_removed=self._shape_removed,
                on_shape_selected=self._selected,
                on_tool_changed=lambda event: self._tools.follow(event.tool),
            )
            self._viewer.props("data-testid=viewer").classes("so-viewer is-fixed")
            self._preview.trouble.move(box)
            self._bar = PairBar(self._view, self._setup, self.changed)

    def _draw_import(self) -> None:
        upload = ui.upload(auto_upload=True, max_file_size=_LARGEST_FILE, on_upload=self._import)
        upload.props("data-testid=line-file").style("display: none")
        ui.button("Import a PyCam line", on_click=lambda: upload.run_method("pickFiles")).props(
            "flat dense no-caps data-testid=line-import"
        )

    def _draw_section(self) -> None:
        box, head = panel("Along the line", test="lines-section")
        with head:
            self._name = ui.label("").classes("so-quiet").props("data-testid=section-line")
            Choice(SECTIONS, self._section, self._choose_section, label="Along the line", test="section")
        with box:
            self._plot = Plot(label="column or absorbance along the line", test="plot-section")

    # --- what is worked out ------------------------------------------------------------------------------------------

    async def changed(self) -> None:
        """Somebody changed the draft, or another pair was chosen."""
        self._show_lines()
        self._preview.working()
        await self._latest.ask()

    async def _work(self) -> None:
        try:
            await self._bar.load()
            if self._bar.chosen is None:
                self._nothing(NO_PAIRS)
                return
            bar, loaded = self._bar, self._setup.loaded
            look = await self._view.in_thread(lambda: look_at_lines(bar.source, loaded, bar.pairs, bar.index))
        except So2camError as failed:
            self._nothing(failed)
            return
        self._look = look
        self._preview.done(look.time, look.why)
        self._shows = look.time
        put_image(self._viewer, self._slot, look.message, "there is no absorbance image of this pair")
        self._list.show(look.lines)
        self._show_section()

    def _nothing(self, why: So2camError | str) -> None:
        self._look = None
        self._preview.failed(why)
        self._list.show({})
        pair = self._bar.chosen
        if pair is None or pair.time != self._shows:  # that of another pair would be taken for that of this one
            put_image(self._viewer, self._slot, None, "there is no image of this pair" if pair else NO_PAIRS)

    def _show_lines(self) -> None:
        state = self._setup.state
        site = state.loaded.site
        names = [one.name for one in site.lines]
        self._tables = {name: table_of(state.written(("lines", name))) for name in names}
        if self._chosen not in names:
            self._chosen = names[0]
        shapes = shapes_of(site.lines, locked=not self._setup.may_edit)
        if shapes != self._viewer.shapes:
            self._viewer.shapes = shapes
        self._list.draw(site, colours_of(names), self._chosen)

    def _show_section(self) -> None:
        look = None if self._look is None else self._look.lines.get(self._chosen)
        self._name.set_text(self._chosen)
        if look is None or not look.at_m:
            self._plot.set([])
            return
        colour = colours_of(list(self._tables)).get(self._chosen, "data-1")
        series, name = _section(look, self._section, colour)
        self._plot.set(
            series,
            x={"name": "metres at the plume, from the line's start", "max": round(look.at_m[-1])},
            y={"name": name},
        )

    # --- what the person does ----------------------------------------------------------------------------------------

    def _choose(self, name: str) -> None:
        if name == self._chosen:
            return
        self._chosen = name
        self._view.keep(line=name)
        self._list.choose(name)
        self._viewer.select(f"line:{name}")
        self._show_section()

    def _choose_section(self, section: str) -> None:
        self._section = section
        self._view.keep(section=section)
        self._show_section()

    def _selected(self, event: ViewerEvent) -> None:
        name = (event.id or "").removeprefix("line:")
        if name in self._tables:
            self._choose(name)

    async def _drawn(self, event: ViewerEvent) -> None:
        self._tools.choose(None)
        if event.shape is None:
            return
        try:
            table = drawn_line(self._setup.site, event.shape)
        except So2camError as refused:
            self._refuse(refused)
            return
        await self._add(table)

    async def _add(self, table: dict[str, Any], what: str = "drew") -> None:
        name = table["name"]
        self._chosen = name
        self._view.keep(line=name)
        await self._setup.change({("lines", name): table}, f"{what} line {name}", seen={("lines", name): MISSING})
        self._show_lines()

    async def _moved(self, event: ViewerEvent) -> None:
        shape = event.shape
        if shape is None or not str(shape["id"]).startswith("line:"):
            return
        name = str(shape["id"]).removeprefix("line:")
        if event.why == "rename":
            await self._rename(name, str(shape["name"]))
            return
        before = self._tables.get(name, {})
        place = plain_place(place_of(shape))
        kept = {key: value for key, value in before.items() if key not in PLACE}
        if before.get("closed"):
            kept["closed"] = True
        side = {} if "normal" in kept else {"normal": self._side_of(name)}
        try:
            normal = fitting_normal(self._setup.site, {**kept, **side, **place})
        except So2camError as refused:
            self._refuse(refused)
            return
        changes: dict[KeyPath, Any] = {("lines", name, key): value for key, value in place.items()}
        if normal != kept.get("normal"):
            changes["lines", name, "normal"] = normal
        if "file" in before:
            changes["lines", name, "file"] = REMOVE
        await self._change(name, changes, f"moved line {name}")

    async def _change(self, name: str, changes: dict[KeyPath, Any], what: str) -> None:
        before = self._tables.get(name, {})
        seen = {key: before.get(str(key[2]), MISSING) for key in changes}
        await self._setup.change(changes, what, seen=seen)
        self._show_lines()

    async def _flip(self, name: str) -> None:
        site, before = self._setup.site, self._tables.get(name, {})
        table = {**before, "normal": self._side_of(name)}
        if "file" in before:
            place = next(one for one in site.lines if one.name == name)
            table = {"name": name, "start": place.start, "end": place.end, "normal": table["normal"]}

        def fits(normal: str) -> bool:
            try:
                checked_line(site, {**table, "normal": normal})
            except So2camError:
                return False
            return True

        changes: dict[KeyPath, Any] = {("lines", name, "normal"): flipped(str(table["normal"]), fits)}
        if "file" in before:
            for key in ("start", "end"):
                changes["lines", name, key] = list(table[key])
            changes["lines", name, "file"] = REMOVE
        await self._change(name, changes, f"turned line {name}")

    def _side_of(self, name: str) -> str:
        return str(next(one.normal for one in self._setup.site.lines if one.name == name) or "left")

    async def _shape_removed(self, event: ViewerEvent) -> None:
        if event.shape is not None and str(event.shape["id"]).startswith("line:"):
            await self._remove(str(event.shape["id"]).removeprefix("line:"))

    async def _remove(self, name: str) -> None:
        if len(self._tables) < 2:
            ui.notify("A site has one line at least: draw another one first.", type="negative")
            self._viewer.shapes = []
            self._show_lines()
            return
        changes = removal(self._setup.state, name)
        seen: dict[KeyPath, Any] = {("lines", name): self._tables.get(name, MISSING)}
        await self._setup.change(changes, f"removed line {name}", seen=seen)
        self._show_lines()

    async def _rename(self, name: str, wanted: str) -> None:
        wanted = wanted.strip()
        if not wanted or wanted == name or name not in self._tables:
            self._show_lines()
            return
        if wanted in self._tables or wanted == "total":
            ui.notify(
                f"There is a line {wanted} already." if wanted != "total" else "total is the sum.", type="negative"
            )
            self._viewer.shapes = []
            self._show_lines()
            return
        changes = renaming(self._setup.state, name, wanted)
        seen: dict[KeyPath, Any] = {("lines", name, "name"): name}
        if await self._setup.change(changes, f"renamed line {name} to {wanted}", seen=seen):
            self._chosen = wanted
            self._view.keep(line=wanted)
        self._show_lines()

    async def _import(self, event: events.UploadEventArguments) -> None:
        try:
            site = self._setup.site
            table = read_line_file(site, event.file.name, await event.file.read())
            table["normal"] = fitting_normal(site, table)
        except So2camError as refused:
            self._refuse(refused)
            return
        await self._add(table, "imported")

    def _refuse(self, refused: So2camError) -> None:
        ui.notify(f"This line cannot lie there: {refused.message}", type="negative", multi_line=True)
        self._viewer.shapes = []  # what was drawn goes, and what was dragged goes back
        self._show_lines()


def _section(look: LineLook, section: str, colour: str) -> tuple[list[dict[str, Any]], str]:
    if section == "column":
        values = [None if value is None else value / 1e17 for value in look.column]
        return [line("column", look.at_m, values, colour=colour)], "column, 10¹⁷ molecules/cm²"
    series = [
        line("absorbance", look.at_m, look.absorbance, colour=colour),
        line("baseline", look.at_m, look.baseline, colour="quiet", dashed=True),
    ]
    return series, "absorbance"
