"""The landmark's panel of the geometry page: its place, its pixel, the direction that follows, before and after."""

import math
from collections.abc import Callable, Mapping
from html import escape
from typing import Any, Final

from nicegui import ui

from so2cam.core.errors import InputError, So2camError
from so2cam.formats.siteedit import MISSING, REMOVE, KeyPath
from so2cam.station.geometry_view import Direction, LandmarkFound, find_by_landmark
from so2cam.web.parts import field, panel, with_uncertainty
from so2cam.web.seen import Seen
from so2cam.web.setup import Setup
from so2cam.web.typed import read_number
from so2cam.web.view import View

LANDMARK: Final[KeyPath] = ("camera", "view", "landmark")
_PLACE: Final = (("latitude", "Latitude", "°"), ("longitude", "Longitude", "°"), ("altitude_m", "Altitude", "m"))


class LandmarkPanel:
    """The panel. ``aim`` has the next click in the image put the landmark; ``changed`` draws the shapes anew."""

    def __init__(self, view: View, setup: Setup, *, aim: Callable[[], None], changed: Callable[[], None]) -> None:
        self._view, self._setup, self._changed = view, setup, changed
        self.pixel: tuple[float, float] | None = _pair(view.query.get("landmark", ""))
        """where it was put and not used yet"""
        self._inputs: dict[str, ui.input] = {}
        self._seen = Seen(setup)
        self._filled: tuple[object, list[str]] | None = None  # the landmark it was filled from, and what it said then
        box, _ = panel("Landmark", test="landmark-panel", hint="a summit, mast or building whose place is known")
        with box:
            ui.label(
                "Click a summit, mast or building of known place in the image: the viewing direction follows from it, "
                "far better than from a compass."
            ).classes("so-quiet so-small")
            with ui.element("div").classes("so-form"):
                self._draw_inputs()
            with ui.element("div").classes("so-row"):
                self._buttons(aim)
            self._table = ui.html("", sanitize=False).props("data-testid=landmark-result")
            self._note = ui.label("").classes("so-note").props("data-testid=landmark-note role=status")
            with ui.element("div").classes("so-row"):
                self._use = ui.button("Use it", on_click=self._do_use)
            self._use.props("unelevated no-caps data-testid=landmark-use")
        self._fill()

    def _draw_inputs(self) -> None:
        for key, label, unit in _PLACE:
            self._inputs[key] = field(label, test=f"landmark-{key}", props=f'suffix="{unit}" inputmode=decimal')
        for key, label in (("x", "Pixel x"), ("y", "Pixel y")):
            self._inputs[key] = field(label, test=f"landmark-{key}", props='suffix="px" inputmode=decimal')
        for one in self._inputs.values():
            one.on("keydown.enter", self._typed).on("blur", self._typed)
            one.set_enabled(self._setup.may_edit)

    def _buttons(self, aim: Callable[[], None]) -> None:
        may = self._setup.may_edit
        ui.button("Click it in the image", on_click=aim).props("outline no-caps data-testid=landmark-aim").set_enabled(
            may
        )
        ui.button("It is the vent", on_click=self._take_vent).props(
            "flat no-caps data-testid=landmark-vent"
        ).set_enabled(may)
        self._remove = ui.button("Do without", on_click=self._do_remove).props(
            "flat no-caps data-testid=landmark-remove"
        )

    async def put(self, pixel: tuple[float, float]) -> None:
        """Put the landmark at a pixel; nothing is changed in the draft yet."""
        self.pixel = pixel
        self._view.keep(landmark=f"{pixel[0]:g},{pixel[1]:g}")
        self._inputs["x"].value, self._inputs["y"].value = f"{pixel[0]:g}", f"{pixel[1]:g}"
        await self.show()
        self._changed()

    async def show(self) -> None:
        """Show what the landmark gives: the one that was put, else that of the draft."""
        written = self._setup.state.written(LANDMARK)
        self._remove.set_visibility(written is not MISSING and self._setup.may_edit)
        self._use.set_visibility(self.pixel is not None and self._setup.may_edit)
        if self.pixel is None:
            self._follow(written)
            self._table.set_content("")
            self._note.set_text("")
            return
        try:
            landmark, site = self._landmark(), self._setup.site
            found = await self._view.in_thread(lambda: find_by_landmark(site, landmark))
        except So2camError as refused:
            self._table.set_content("")
            self._note.set_text(refused.message)
            self._use.disable()
            return
        self._use.enable()
        self._table.set_content(before_after_html(found))
        self._note.set_text(" ".join(found.notes))

    def _landmark(self) -> dict[str, Any]:
        """Return the landmark's table as the form has it. Raises InputError for what is no number."""
        kept = self._setup.state.written(LANDMARK)
        position = {key: _number(self._inputs[key], label) for key, label, _ in _PLACE}
        pixel = [_number(self._inputs[key], f"Pixel {key}") for key in ("x", "y")]
        return {**(kept if isinstance(kept, dict) else {}), "position": position, "pixel": pixel}

    def _follow(self, written: object) -> None:
        """Fill the form where the landmark of the draft is another one, or nobody has typed anything."""
        if self._filled is None or self._filled[0] != written or self._filled[1] == self._texts():
            self._fill()

    def _texts(self) -> list[str]:
        return [str(one.value or "") for one in self._inputs.values()]

    def _fill(self) -> None:
        """Fill the form from the draft; the place of the vent where there is no landmark yet."""
        self._seen.drawn()
        written = self._setup.state.written(LANDMARK)
        place = place_in(written, self._setup.site.volcano.vent.model_dump())
        pixel = self.pixel or pixel_in(written)
        for key, _, _ in _PLACE:
            self._inputs[key].value = f"{place[key]:.10g}"
        for index, key in enumerate(("x", "y")):
            self._inputs[key].value = f"{pixel[index]:g}" if pixel else ""
        self._filled = written, self._texts()

    async def _typed(self) -> None:
        try:
            pixel = _number(self._inputs["x"], "x"), _number(self._inputs["y"], "y")
            landmark = self._landmark()
        except InputError:
            return
        if self.pixel is None and _same(self._setup.state.written(LANDMARK), landmark):
            return
        await self.put(pixel)

    async def _take_vent(self) -> None:
        for key, value in self._setup.site.volcano.vent.model_dump().items():
            self._inputs[key].value = f"{value:.10g}"
        await self._typed()

    async def _do_use(self) -> None:
        try:
            landmark = self._landmark()
        except InputError as wrong:
            self._note.set_text(wrong.message)
            return
        if await self._seen.change({LANDMARK: landmark}, "put the landmark"):
            await self._forget()

    async def _do_remove(self) -> None:
        if await self._seen.change({LANDMARK: REMOVE}, "did without a landmark"):
            await self._forget()

    async def _forget(self) -> None:
        self.pixel = None
        self._view.keep(landmark=None)
        await self.show()
        self._changed()


def before_after_html(found: LandmarkFound) -> str:
    """Return azimuth and elevation before and after, with 1 sigma."""
    rows = "".join(
        f"<tr><th scope=row>{name}</th><td>{_angle(before)}</td>"
        f'<td data-testid="landmark-{name.casefold()}">{_angle(after)}</td></tr>'
        for name, before, after in (
            ("Azimuth", _azimuth(found.before), _azimuth(found.after)),
            ("Elevation", _elevation(found.before), _elevation(found.after)),
        )
    )
    return f'<table class="so-before"><tr><th></th><th>before</th><th>with the landmark</th></tr>{rows}</table>'


def _azimuth(one: Direction) -> tuple[float, float]:
    return one.azimuth_deg, one.azimuth_uncertainty_deg


def _elevation(one: Direction) -> tuple[float, float]:
    return one.elevation_deg, one.elevation_uncertainty_deg


def _angle(angle: tuple[float, float]) -> str:
    value, sigma = with_uncertainty(*angle)
    return escape(f"{value}°") + (f" <small>± {escape(sigma)}°</small>" if sigma else "")


def _number(box: ui.input, label: str) -> float:
    try:
        return read_number(box.value)
    except InputError as wrong:
        raise InputError(f"{label} {wrong.message}", value=wrong.value) from None


def place_in(written: object, vent: Mapping[str, float]) -> dict[str, float]:
    """Return the place of a landmark as the draft has it, which may be half entered: the vent's where it says none."""
    given = written.get("position") if isinstance(written, dict) else None
    known = given if isinstance(given, dict) else {}
    return {key: known[key] if _is_number(known.get(key)) else vent[key] for key, _, _ in _PLACE}


def pixel_in(written: object) -> tuple[float, float] | None:
    """Return the pixel of a landmark as the draft has it; None where it says none."""
    given = written.get("pixel") if isinstance(written, dict) else None
    if not isinstance(given, list | tuple) or len(given) != 2 or not all(map(_is_number, given)):
        return None
    return given[0], given[1]


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _same(kept: object, landmark: dict[str, Any]) -> bool:
    if not isinstance(kept, dict) or pixel_in(kept) != tuple(landmark["pixel"]):
        return False
    place = place_in(kept, dict.fromkeys((key for key, _, _ in _PLACE), math.nan))
    return all(abs(place[key] - landmark["position"][key]) < 1e-9 for key, _, _ in _PLACE)


def _pair(text: str) -> tuple[float, float] | None:
    try:
        x, y = (float(part) for part in text.split(","))
    except ValueError:
        return None
    return x, y
