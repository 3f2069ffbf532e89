"""Set-up of the sky background: its mode, areas of sky drawn on the image, and what they make of a real pair."""

from typing import Any, Final

from nicegui import ui

from so2cam.core.errors import So2camError
from so2cam.formats.siteedit import MISSING, REMOVE, KeyPath
from so2cam.station.background_view import Area, BackgroundLook, Cut, look_at_background
from so2cam.web.background_words import (
    AREA_COLOURS,
    AREA_WORDS,
    MODE_WORDS,
    NEEDS,
    area_from_points,
    area_shape,
    skyline_from_points,
)
from so2cam.web.parts import Choice, number, panel
from so2cam.web.plot import Plot, band, line
from so2cam.web.setup import Setup, setup_page
from so2cam.web.setup_image import NO_PAIRS, Latest, PairBar, Preview, drawn_colour, put_image, use_styles
from so2cam.web.setup_tools import Tools, Values
from so2cam.web.view import View
from so2cam.web.viewer import Viewer, ViewerEvent

BASE: Final[KeyPath] = ("processing", "background")
QUANTITIES: Final = (
    ("after", "Above the sky"),
    ("before", "No background"),
    ("sky", "Fitted sky"),
    ("mask", "Sky mask"),
    ("on", "On band"),
    ("off", "Off band"),
)
CUTS: Final = (("row", "Row"), ("column", "Column"), ("line", "Line"))
_COLOURS: Final = {
    "after": "viridis",
    "before": "viridis",
    "sky": "viridis",
    "mask": "grey",
    "on": "grey",
    "off": "grey",
}
_TOOLS: Final = {
    **{key: (words, "line" if key.endswith("profile") else "rect") for key, words in AREA_WORDS.items()},
    "skyline": ("Skyline", "polyline"),
    "cut": ("Profile line", "line"),
}


@setup_page(
    "/setup/background",
    title="Sky background",
    order=30,
    hint="The sky behind the plume: mode, areas of sky, what is left of it",
    about=(
        "An absorbance needs the sky behind the plume, which nobody can photograph: choose how it is made up. Areas of "
        "sky that a mode needs are found by themselves, or drawn on the image. What the draft makes of a real pair "
        "stands beside it: above plume-free sky the absorbance should be zero."
    ),
    docs="background-modes",
)
async def background(view: View, setup: Setup) -> None:
    """Draw the page."""
    use_styles()
    page = BackgroundPage(view, setup)
    await page.changed()
    setup.on_change(page.changed)


class BackgroundPage:
    """One look at the page."""

    def __init__(self, view: View, setup: Setup) -> None:
        self._view, self._setup = view, setup
        self._slot = view.pages.shelf.slot(view)
        self._latest = Latest(self._work)
        self._look: BackgroundLook | None = None
        quantity = view.query.get("image", "after")
        self._quantity = quantity if quantity in dict(QUANTITIES) else "after"
        cut = view.query.get("cut", "row")
        self._cut = cut if cut in dict(CUTS) else "row"
        self._at = _numbers(view.query.get("at"), 2)
        self._along = _numbers(view.query.get("along"), 4)
        with ui.element("div").classes("so-setup-image"):
            self._draw_image()
            with ui.element("div").classes("so-side"):
                self._draw_settings()
                self._draw_areas()
                self._draw_profile()

    # --- the parts ---------------------------------------------------------------------------------------------------

    def _draw_image(self) -> None:
        box, head = panel("Image", test="background-image")
        with head:
            self._preview = Preview()
        with box:
            Choice(QUANTITIES, self._quantity, self._choose_image, label="Image", test="image")
            self._tools = Tools("Draw", _TOOLS, enabled=self._setup.may_edit, always=("cut",))
            self._viewer = self._tools.viewer = Viewer(
                colours=_COLOURS[self._quantity],  # type: ignore[arg-type]
                label="pair of the archive",
                on_shape_created=self._drawn,
                on_shape_changed=self._moved,
                on_shape_removed=self._removed,
                on_tool_changed=lambda event: self._tools.follow(event.tool),
                on_click=self._clicked,
            )
            self._viewer.props("data-testid=viewer").classes("so-viewer")
            self._preview.trouble.move(box)
            self._bar = PairBar(self._view, self._setup, self.changed)

    def _draw_settings(self) -> None:
        box, _ = panel("Background", test="background-settings")
        with box:
            with ui.element("div").classes("so-keys"):
                self._setup.field((*BASE, "mode"))
                self._setup.field((*BASE, "order"))
            self._words = ui.label("").classes("so-quiet").props("data-testid=mode-words")
            self._values = Values(
                {
                    "left": ("Left in plume-free sky", "mean absorbance there: should be zero"),
                    "structure": ("Unevenness", "scatter of plume-free sky about the fitted surface, 1 sigma"),
                    "noise": ("Noise of a pixel", "1 sigma of absorbance"),
                    "share": ("Plume-free sky", "share of the image that the surface is fitted to"),
                    "level": ("Level", "mean optical depth, on less off band, of the sky against the clear-sky frames"),
                }
            )

    def _draw_areas(self) -> None:
        box, _ = panel("Areas of sky", test="background-areas")
        with box:
            self._areas = ui.element("div").classes("so-areas").props("data-testid=areas")

    def _draw_profile(self) -> None:
        box, head = panel("Profile", test="background-profile")
        with head:
            self._where = ui.label("").classes("so-quiet so-small").props("data-testid=cut-where")
            Choice(CUTS, self._cut, self._choose_cut, label="Profile along", test="cut")
        with box:
            self._absorbance = Plot(label="absorbance along the profile", test="plot-absorbance")
            self._bands = Plot(label="log intensity of both bands along the profile", test="plot-bands")
            ui.label("Click the image to move the profile, or draw a line for it.").classes("so-quiet so-small")

    # --- what is worked out ------------------------------------------------------------------------------------------

    async def changed(self) -> None:
        """Somebody changed the draft, or another pair was chosen."""
        mode = self._setup.site.processing.background.mode
        self._words.set_text(MODE_WORDS[mode])
        self._preview.working()
        await self._latest.ask()

    async def _work(self) -> None:
        try:
            await self._bar.load()
            pair, loaded = self._bar.chosen, self._setup.loaded
            if pair is None:
                self._nothing(NO_PAIRS)
                return
            look = await self._view.in_thread(lambda: look_at_background(self._bar.source, loaded, pair))
        except So2camError as failed:
            self._nothing(failed)
            return
        self._look = look
        self._preview.done(look.time, look.why)
        self._show_image()
        self._show_values(look)
        self._show_areas()
        await self._show_profile()

    def _nothing(self, why: So2camError | str) -> None:
        self._look = None
        self._preview.failed(why)
        put_image(self._viewer, self._slot, None, "there is no pair to show")
        self._show_areas()

    def _show_image(self) -> None:
        message = None if self._look is None else self._look.message(self._quantity)  # type: ignore[arg-type]
        put_image(self._viewer, self._slot, message, "there is no such image of this pair")

    def _show_values(self, look: BackgroundLook) -> None:
        share = "" if look.sky_share is None else f"{100 * look.sky_share:.0f} %"
        left = None if look.sky_mean is None else round(look.sky_mean, 5) + 0.0
        self._values.set(
            left=number(left),
            structure=number(look.structure),
            noise=number(look.noise),
            share=share,
            level=number(look.level),
        )

    # --- areas -------------------------------------------------------------------------------------------------------

    def _show_areas(self) -> None:
        areas = () if self._look is None else self._look.areas
        needed = NEEDS.get(self._setup.site.processing.background.mode, ())
        shapes = [self._shape(area, needed) for area in areas if area.given or area.key in needed]
        skyline = self._setup.site.processing.background.skyline
        locked = not self._setup.may_edit
        if skyline is not None:
            points = [[x, y] for x, y in skyline]
            shapes.append(_shape("area:skyline", "skyline", "polyline", points, "ink", locked=locked))
        if self._cut == "line" and self._along is not None:
            ends = [list(self._along[:2]), list(self._along[2:])]
            shapes.append(_shape("cut", "profile", "line", ends, "accent", locked=False, dashed=True))
        elif self._look is not None:
            x, y = self._place(self._look)
            shapes.append(_shape("cut", "", "point", [[x, y]], "accent", locked=True))
        if shapes != self._viewer.shapes:
            self._viewer.shapes = shapes
        self._list_areas(areas, needed)

    def _shape(self, area: Area, needed: tuple[str, ...]) -> dict[str, Any]:
        kind, points = area_shape(area.key, area.corners)
        words = AREA_WORDS[area.key].lower() + ("" if area.given else " (found)")
        locked = not (area.given and self._setup.may_edit)
        dashed = not area.given or area.key not in needed
        return _shape(f"area:{area.key}", words, kind, points, AREA_COLOURS[area.key], locked=locked, dashed=dashed)

    def _list_areas(self, areas: tuple[Area, ...], needed: tuple[str, ...]) -> None:
        found = {area.key: area for area in areas}
        given = [area.key for area in areas if area.given and area.key not in needed]
        self._areas.clear()
        with self._areas:
            if not needed and not given:
                ui.label("This mode uses no areas: it looks for plume-free sky itself.").classes("so-quiet so-small")
            for key in (*needed, *given):
                self._list_area(key, found.get(key), used=key in needed)

    def _list_area(self, key: str, area: Area | None, *, used: bool) -> None:
        with ui.element("div").classes("so-area").props(f"data-testid=area-{key}"):
            ui.element("span").classes("so-swatch").style(f"background: var(--so-{AREA_COLOURS[key]})")
            ui.label(AREA_WORDS[key]).classes("so-area-what")
            where = "not found: draw it" if area is None else _corners(area)
            state = "" if area is None else "drawn" if area.given else "found by itself"
            ui.label(f"{where}{' · ' if state else ''}{state}{'' if used else ' · not used by this mode'}").classes(
                "so-quiet so-small so-grow"
            )
            if area is None or not self._setup.may_edit:
                return
            if area.given:
                ui.button("Let it be found", on_click=lambda: self._forget(key)).props(
                    f"flat dense no-caps data-testid=area-{key}-forget"
                )
            else:
                ui.button("Keep this", on_click=lambda: self._put(key, _points(area))).props(
                    f"flat dense no-caps data-testid=area-{key}-keep"
                )

    async def _put(self, key: str, points: list[tuple[float, float]]) -> None:
        value = skyline_from_points(points) if key == "skyline" else area_from_points(key, points)
        path = (*BASE, key)
        words = "skyline" if key == "skyline" else f"area {AREA_WORDS[key].lower()}"
        await self._setup.change({path: value}, f"drew the {words}", seen={path: self._seen(key)})
        self._show_areas()

    async def _forget(self, key: str) -> None:
        path = (*BASE, key)
        words = "skyline" if key == "skyline" else f"area {AREA_WORDS[key].lower()}"
        await self._setup.change({path: REMOVE}, f"took out the {words}", seen={path: self._seen(key)})

    def _seen(self, key: str) -> Any:
        """What of a key was shown here: the last look's area, not what somebody else may have drawn since."""
        look = self._look
        if key == "skyline" or look is None:
            return self._setup.state.written((*BASE, key))
        for area in look.areas:
            if area.key == key and area.given:
                return area_from_points(key, _points(area))
        return MISSING

    # --- what the person does ----------------------------------------------------------------------------------------

    async def _drawn(self, event: ViewerEvent) -> None:
        key, shape = self._tools.chosen, event.shape
        self._tools.choose(None)
        if shape is None or key is None:
            self._show_areas()
            return
        points = [(float(x), float(y)) for x, y in shape["points"]]
        if key == "cut":
            await self._cut_along(points)
        else:
            await self._put(key, points)

    async def _moved(self, event: ViewerEvent) -> None:
        if event.shape is None:
            return
        points = [(float(x), float(y)) for x, y in event.shape["points"]]
        identity = str(event.shape["id"])
        if identity == "cut":
            await self._cut_along(points)
        elif identity.startswith("area:"):
            await self._put(identity.removeprefix("area:"), points)

    async def _removed(self, event: ViewerEvent) -> None:
        identity = "" if event.shape is None else str(event.shape["id"])
        if identity.startswith("area:"):
            await self._forget(identity.removeprefix("area:"))
        elif identity == "cut":
            await self._choose_cut("row")

    async def _clicked(self, event: ViewerEvent) -> None:
        if event.x is None or event.y is None:
            return
        self._at = (float(event.x), float(event.y))
        self._view.keep(at=f"{event.x},{event.y}")
        if self._cut != "line":
            self._show_areas()
            await self._show_profile()

    async def _cut_along(self, points: list[tuple[float, float]]) -> None:
        (x0, y0), (x1, y1) = points
        self._along = (x0, y0, x1, y1)
        self._view.keep(along=f"{x0:g},{y0:g},{x1:g},{y1:g}")
        await self._choose_cut("line")

    def _choose_image(self, quantity: str) -> None:
        self._quantity = quantity
        self._viewer.colours = _COLOURS[quantity]  # type: ignore[assignment]
        self._view.keep(image=quantity)
        self._show_image()

    async def _choose_cut(self, cut: str) -> None:
        self._cut = cut
        self._view.keep(cut=cut)
        self._show_areas()
        await self._show_profile()

    # --- profiles ----------------------------------------------------------------------------------------------------

    def _place(self, look: BackgroundLook) -> tuple[float, float]:
        rows, columns = look.shape
        x, y = self._at or (columns / 2, rows / 2)
        return min(max(round(x), 0), columns - 1), min(max(round(y), 0), rows - 1)

    async def _show_profile(self) -> None:
        look = self._look
        if look is None:
            return
        x, y = self._place(look)
        along = self._along or (0.0, y, float(look.shape[1] - 1), y)
        if self._cut == "row":
            where, name = f"row y = {y:.0f}", "x, pixels"
            cut = await self._view.in_thread(lambda: look.row(int(y)))
        elif self._cut == "column":
            where, name = f"column x = {x:.0f}", "y, pixels"
            cut = await self._view.in_thread(lambda: look.column(int(x)))
        else:
            where = f"from ({along[0]:.0f}, {along[1]:.0f}) to ({along[2]:.0f}, {along[3]:.0f})"
            name = "pixels along the line"
            cut = await self._view.in_thread(lambda: look.along((along[0], along[1]), (along[2], along[3])))
        marks = " · areas: " + ", ".join(AREA_WORDS[key].lower() for key, _, _ in cut.areas) if cut.areas else ""
        self._where.set_text(where + marks)
        axis = {"name": name, "min": round(cut.at[0]), "max": round(cut.at[-1])}
        self._absorbance.set(
            [
                *_marks(cut, [*cut.before, *cut.after]),
                line("no background", cut.at, cut.before, colour="data-2"),
                line("above the sky", cut.at, cut.after),
                {**line("zero", cut.at, [0.0] * len(cut.at), colour="quiet", dashed=True), "legend": False},
            ],
            x=axis,
            y={"name": "absorbance"},
        )
        self._bands.set(
            [
                *_marks(cut, [*cut.on, *cut.off]),
                line("on", cut.at, cut.on, colour="data-4"),
                line("off", cut.at, cut.off, colour="data-3"),
                line("sky, on", cut.at, cut.sky_on, colour="data-4", dashed=True),
                line("sky, off", cut.at, cut.sky_off, colour="data-3", dashed=True),
            ],
            x=axis,
            y={"name": "ln DN/s"},
        )


def _marks(cut: Cut, values: list[float | None]) -> list[dict[str, Any]]:
    known = [value for value in values if value is not None]
    if not known:
        return []
    low, high = min(known), max(known)
    return [
        band(AREA_WORDS[key], [first, last], [low, low], [high, high], colour=AREA_COLOURS[key])
        for key, first, last in cut.areas
    ]


def _shape(
    identity: str,
    name: str,
    kind: str,
    points: list[list[float]],
    colour: str,
    *,
    locked: bool,
    dashed: bool = False,
) -> dict[str, Any]:
    drawn = drawn_colour(colour)
    return {
        "id": identity,
        "name": name,
        "kind": kind,
        "points": [[float(x), float(y)] for x, y in points],
        "colour": drawn,
        "locked": locked,
        "dashed": dashed,
    }


def _points(area: Area) -> list[tuple[float, float]]:
    x0, y0, x1, y1 = area.corners
    return [(float(x0), float(y0)), (float(x1), float(y1))]


def _corners(area: Area) -> str:
    x0, y0, x1, y1 = area.corners
    if x0 == x1:
        return f"x {x0}, y {y0} to {y1}"
    return f"y {y0}, x {x0} to {x1}" if y0 == y1 else f"x {x0} to {x1}, y {y0} to {y1}"


def _numbers(text: str | None, count: int) -> tuple[float, ...] | None:
    try:
        found = tuple(float(part) for part in (text or "").split(","))
    except ValueError:
        return None
    return found if len(found) == count else None
