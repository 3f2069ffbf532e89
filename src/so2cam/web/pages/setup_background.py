"""Set-up of the sky background: its mode, areas of sky drawn on the image, and what they make of a real pair."""

from typing import Any, Final

from nicegui import ui

from so2cam.core.errors import So2camError
from so2cam.formats.siteedit import MISSING, REMOVE, KeyPath
from so2cam.station.background_view import Area, BackgroundLook, look_at_background
from so2cam.web.background_profile import AT, CUT, ProfilePanel
from so2cam.web.background_words import (
    AREA_COLOURS,
    AREA_WORDS,
    MODE_WORDS,
    NEEDS,
    area_from_points,
    area_shape,
    skyline_from_points,
)
from so2cam.web.latest import Latest
from so2cam.web.line_shapes import drawn_colour
from so2cam.web.parts import Choice, number, one_of, panel
from so2cam.web.setup import Setup, setup_page
from so2cam.web.setup_image import NO_PAIRS, PairBar, Preview, put_image, use_styles
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
    CUT: ("Profile line", "line"),
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
def background(view: View, setup: Setup) -> None:
    """Draw the page."""
    use_styles()
    page = BackgroundPage(view, setup)
    ui.timer(0.05, page.changed, once=True)  # what takes a while comes after the page
    setup.on_change(page.changed)


class BackgroundPage:
    """One look at the page."""

    def __init__(self, view: View, setup: Setup) -> None:
        self._view, self._setup = view, setup
        self._slot = view.pages.shelf.slot(view)
        self._latest = Latest(self._work)
        self._look: BackgroundLook | None = None
        self._quantity = one_of(QUANTITIES, view.query.get("image", ""))
        with ui.element("div").classes("so-setup-image"):
            self._draw_image()
            with ui.element("div").classes("so-side"):
                self._draw_settings()
                self._draw_areas()
                self._profile = ProfilePanel(view, self._show_areas)

    # --- the parts ---------------------------------------------------------------------------------------------------

    def _draw_image(self) -> None:
        box, head = panel("Image", test="background-image")
        with head:
            self._preview = Preview()
        with box:
            Choice(QUANTITIES, self._quantity, self._choose_image, label="Image", test="image")
            self._tools = Tools("Draw", _TOOLS, enabled=self._setup.may_edit, always=(CUT,))
            self._viewer = self._tools.viewer = Viewer(
                colours=_COLOURS[self._quantity],  # type: ignore[arg-type]
                label="pair of the archive",
                on_shape_created=self._drawn,
                on_shape_changed=self._moved,
                on_shape_removed=self._removed,
                on_tool_changed=lambda event: self._tools.follow(event.tool),
                on_click=self._clicked,
            )
            self._viewer.props("data-testid=viewer").classes("so-viewer is-fixed")
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
        await self._profile.show(look)
        self._show_areas()

    def _nothing(self, why: So2camError | str) -> None:
        self._look = None
        self._preview.failed(why)
        put_image(self._viewer, self._slot, None, "there is no image of this pair" if self._bar.chosen else NO_PAIRS)
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
        shapes += [_shape(*cut, "accent", locked=cut[0] == AT, dashed=True) for cut in self._profile.shapes()]
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
        if key == CUT:
            await self._profile.cut_along(points)
        else:
            await self._put(key, points)

    async def _moved(self, event: ViewerEvent) -> None:
        if event.shape is None:
            return
        points = [(float(x), float(y)) for x, y in event.shape["points"]]
        identity = str(event.shape["id"])
        if identity == CUT:
            await self._profile.cut_along(points)
        elif identity.startswith("area:"):
            await self._put(identity.removeprefix("area:"), points)

    async def _removed(self, event: ViewerEvent) -> None:
        identity = "" if event.shape is None else str(event.shape["id"])
        if identity.startswith("area:"):
            await self._forget(identity.removeprefix("area:"))
        elif identity == CUT:
            await self._profile.choose("row")

    async def _clicked(self, event: ViewerEvent) -> None:
        if event.x is not None and event.y is not None:
            await self._profile.move_to(event.x, event.y)

    def _choose_image(self, quantity: str) -> None:
        self._quantity = quantity
        self._viewer.colours = _COLOURS[quantity]  # type: ignore[assignment]
        self._view.keep(image=quantity)
        self._show_image()


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
