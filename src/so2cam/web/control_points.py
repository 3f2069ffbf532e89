"""Control points of the registration page: clicked in both bands, typed, moved, removed; how they fit is shown."""

import json
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final, Literal

from nicegui import ui

from so2cam.core.errors import InputError, So2camError
from so2cam.formats.siteedit import MISSING, KeyPath
from so2cam.station.registration_view import (
    ControlPoint,
    Matrix,
    PointsLook,
    look_at_points,
    matrix_of,
    off_of,
    on_of,
)
from so2cam.web.parts import Chip, panel
from so2cam.web.seen import Seen
from so2cam.web.setup import Setup
from so2cam.web.theme import DARK
from so2cam.web.typed import read_number
from so2cam.web.view import View
from so2cam.web.viewer import Viewer, ViewerEvent

POINTS: Final[KeyPath] = ("registration", "control_points")
SOURCE: Final[KeyPath] = ("registration", "source")
Side = Literal["on", "off"]
_MOST: Final = 60
"""points that are clicked, or stand in the address; a site file may have more"""
_FIELDS: Final = (("on-x", "on x"), ("on-y", "on y"), ("off-x", "off x"), ("off-y", "off y"))
_WORDS: Final = {"on": "on band", "off": "off band"}


class ControlPoints:
    """The panel. What was clicked is kept in the address until it is used; ``changed`` is told of every change."""

    def __init__(self, view: View, setup: Setup, *, changed: Callable[[], Awaitable[None]]) -> None:
        self._view, self._setup, self._changed = view, setup, changed
        self._first: tuple[Side, tuple[float, float]] | None = None
        self._adding = False
        self._rows: list[_Row] = []
        self._seen = Seen(setup)
        self.points: list[ControlPoint] = self._written()
        kept = _read(view.query.get("points", ""))
        if kept is not None:
            self.points = kept
        self.look: PointsLook = self._fit()
        box, head = panel("Control points", test="points-panel", hint="the same feature, clicked in both bands")
        with head:
            self._chip = Chip(test="points-state")
        with box:
            ui.label(
                "Click a feature that both bands show, in one and then in the other: edges of the crater, rocks, "
                "ridges. Points far apart from one another fix the registration best."
            ).classes("so-quiet so-small")
            self._viewers = self._draw_viewers()
            with ui.element("div").classes("so-row"):
                self._draw_buttons()
            self._words = ui.label("").props("data-testid=points-words role=status")
            self._problem = ui.label("").classes("so-note").props("data-testid=points-problem role=status")
            self._list = ui.element("div").classes("so-points").props("data-testid=points")
        self.show()

    def _draw_viewers(self) -> dict[str, Viewer]:
        made: dict[str, Viewer] = {}
        sides: tuple[Side, Side] = ("on", "off")
        with ui.element("div").classes("so-two"):
            for side in sides:
                made[side] = Viewer(
                    label=f"{_WORDS[side]} with control points",
                    readonly=not self._setup.may_edit,
                    on_shape_created=lambda event, side=side: self._placed(side, event),
                    on_shape_changed=lambda event, side=side: self._placed(side, event),
                    on_shape_removed=lambda event: self._removed(event),
                )
                made[side].props(f"data-testid=viewer-{side}").classes("so-viewer is-fixed")
        return made

    def _draw_buttons(self) -> None:
        self._add = ui.button("Add points", on_click=self._toggle).props("outline no-caps data-testid=points-add")
        self._row = ui.button("Type one", on_click=self._type_one).props("flat no-caps data-testid=points-type")
        self._back = ui.button("Back to the draft's", on_click=self._do_back).props(
            "flat no-caps data-testid=points-back"
        )
        self._use = ui.button("Use these points", on_click=self._do_use).props(
            "unelevated no-caps data-testid=points-use"
        )
        self._add.set_enabled(self._setup.may_edit)
        self._row.set_enabled(self._setup.may_edit)

    # --- what is shown -----------------------------------------------------------------------------------------------

    def show_images(self, sources: tuple[str, str]) -> None:
        """Show both bands, from these addresses."""
        for side, src in zip(("on", "off"), sources, strict=True):
            self._viewers[side].src = src

    def follow(self, before: list[ControlPoint]) -> None:
        """The draft changed: take its points over, unless others were clicked here. ``before``: those it had."""
        if self.points == before:
            self._seen.drawn()
            self.points = self._written()
        self.update()

    def written(self) -> list[ControlPoint]:
        """Return the points of the draft."""
        return self._written()

    def update(self) -> None:
        """Fit them anew, and show it."""
        self.look = self._fit()
        self.show()

    def show(self) -> None:
        """Show points and fit."""
        different = self.points != self._written()
        may = self._setup.may_edit
        self._chip.set(*_state(different, bool(self.points)))
        self._words.set_text(points_words(self.look, len(self.points)))
        self._problem.set_text(self.look.problem[:1].upper() + self.look.problem[1:])
        self._back.set_visibility(different)
        self._use.set_visibility(
            may and bool(self.points) and (different or self._setup.value(SOURCE) != "control-points")
        )
        self._use.set_enabled(self.look.matrix is not None)
        self._add.set_text("Enough points" if self._adding else "Add points")
        for side in ("on", "off"):
            shapes = point_shapes(self.points, side, self._first, self._guess(side))
            if shapes != self._viewers[side].shapes:
                self._viewers[side].shapes = shapes
        self._show_rows()
        kept = different and len(self.points) <= _MOST
        self._view.keep(points=json.dumps(self.points, separators=(",", ":")) if kept else None)

    def _show_rows(self) -> None:
        if not self._rows or len(self._rows) != len(self.points):
            self._list.clear()
            with self._list:
                self._rows = [
                    _Row(index, point, self._typed, self._drop, enabled=self._setup.may_edit)
                    for index, point in enumerate(self.points)
                ]
        residuals = self.look.residuals_px
        worst = max(residuals, default=0.0)
        for index, row in enumerate(self._rows):
            off = residuals[index] if index < len(residuals) else None
            row.show(self.points[index], off, worst=off is not None and off == worst and off > 1)

    def _guess(self, side: str) -> tuple[float, float] | None:
        """Return where the point that was clicked in the other band ought to be in this one."""
        if self._first is None or self._first[0] == side:
            return None
        matrix = self.look.matrix or self._draft_matrix()
        if matrix is None:
            return None
        return off_of(matrix, self._first[1]) if side == "off" else on_of(matrix, self._first[1])

    def _draft_matrix(self) -> Matrix | None:
        try:
            return matrix_of(self._setup.site.registration, None)
        except So2camError:
            return None

    def _fit(self) -> PointsLook:
        optics = self._setup.site.camera.optics
        model = self._setup.site.registration.model
        return look_at_points(self.points, model, (optics.height_px, optics.width_px))

    def _written(self) -> list[ControlPoint]:
        found = self._setup.state.written(POINTS)
        return [] if found is MISSING else _points(found) or []

    # --- what the person does ----------------------------------------------------------------------------------------

    def _toggle(self) -> None:
        self._adding = not self._adding
        self._first = None
        self._arm()
        self.show()

    def _arm(self) -> None:
        """Have the next click in a band put a point: in both, or in the one where the second is missing."""
        number = len(self.points) + 1
        for side in ("on", "off"):
            wanted = self._adding and (self._first is None or self._first[0] != side)
            self._viewers[side].hint = (
                f"Click feature {number}" if self._first is None else f"Click feature {number} here too"
            )
            self._viewers[side].tool = "point" if wanted else "pan"

    async def _placed(self, side: Side, event: ViewerEvent) -> None:
        if event.shape is None or event.shape.get("kind") != "point" or not self._setup.may_edit:
            return
        place = (float(event.shape["points"][0][0]), float(event.shape["points"][0][1]))
        index = _index(event.shape["id"], len(self.points))
        if index is not None:
            self._set(index, side, place)
        elif self._first is None or self._first[0] == side:
            self._first = (side, place)
        elif len(self.points) < _MOST:
            on, off = (self._first[1], place) if side == "off" else (place, self._first[1])
            self.points.append((*on, *off))
            self._first = None
        self._arm()
        await self._told()

    async def _removed(self, event: ViewerEvent) -> None:
        if event.shape is None:
            return
        index = _index(event.shape["id"], len(self.points))
        if index is None:
            self._first = None
            self._arm()
            self.show()
        else:
            await self._drop(index)

    def _set(self, index: int, side: Side, place: tuple[float, float]) -> None:
        x, y, u, v = self.points[index]
        self.points[index] = (*place, u, v) if side == "on" else (x, y, *place)

    async def _typed(self, index: int, point: ControlPoint) -> None:
        if index < len(self.points) and self.points[index] != point:
            self.points[index] = point
            await self._told()

    async def _type_one(self) -> None:
        optics = self._setup.site.camera.optics
        place = (round(optics.width_px / 2), round(optics.height_px / 2))
        matrix = self.look.matrix or self._draft_matrix()
        self.points.append((*place, *(place if matrix is None else off_of(matrix, place))))
        await self._told()

    async def _drop(self, index: int) -> None:
        del self.points[index]
        await self._told()

    async def _do_back(self) -> None:
        self._seen.drawn()
        self.points, self._first, self._rows = self._written(), None, []
        await self._told()

    async def _told(self) -> None:
        self.update()
        await self._changed()

    async def _do_use(self) -> None:
        changes: dict[KeyPath, Any] = {SOURCE: "control-points", POINTS: [list(point) for point in self.points]}
        if await self._seen.change(changes, f"registered by {len(self.points)} points"):
            self._adding, self._first = False, None
            self._arm()
            self.update()


class _Row:
    """A control point as a row: its four numbers, and how far it lies from the fit."""

    def __init__(
        self,
        index: int,
        point: ControlPoint,
        typed: Callable[[int, ControlPoint], Awaitable[None]],
        drop: Callable[[int], Awaitable[None]],
        *,
        enabled: bool,
    ) -> None:
        number = index + 1
        self._index, self._point_typed = index, typed
        self._inputs: list[ui.input] = []
        self._shown = [_text(value) for value in point]
        self.box = ui.element("div").classes("so-point").props(f"data-testid=point-{number}")
        with self.box:
            ui.html(f"<b>{number}</b>", sanitize=False)
            for (key, label), text in zip(_FIELDS, self._shown, strict=True):
                # With its number from the start: one that is put in later takes away what somebody types meanwhile.
                box = ui.input(label, value=text).props(
                    f"dense outlined stack-label inputmode=decimal data-testid=point-{number}-{key}"
                )
                box.classes("so-input").on("blur", self._typed).on("keydown.enter", self._typed)
                box.set_enabled(enabled)
                self._inputs.append(box)
            self._off = ui.label("").classes("so-point-off").props(f"data-testid=point-{number}-residual")
            button = ui.button(icon="close", on_click=lambda: drop(index))
            button.props(f'flat dense data-testid=point-{number}-remove aria-label="Remove point {number}"')
            button.set_enabled(enabled)

    def show(self, point: ControlPoint, off_px: float | None, *, worst: bool) -> None:
        """Show its numbers. A field is left alone while its number stays: somebody may be typing into it."""
        for at, (box, value) in enumerate(zip(self._inputs, point, strict=True)):
            text = _text(value)
            if text != self._shown[at]:
                box.value = self._shown[at] = text
        self._off.set_text("" if off_px is None else f"{off_px:.2f} px off")
        self.box.classes(**{"add" if worst else "remove": "is-worst"})

    async def _typed(self) -> None:
        try:
            x, y, u, v = (read_number(box.value) for box in self._inputs)
        except InputError:
            return
        await self._point_typed(self._index, (x, y, u, v))


def _text(value: float) -> str:
    return f"{value:g}"


def points_words(look: PointsLook, count: int) -> str:
    """Say in words how points fit."""
    if look.missing:
        more = f"{look.missing} point{'s' if look.missing > 1 else ''} more" if count else f"{look.missing} points"
        return f"The model needs {more}."
    if look.rms_px is None or look.words is None:
        return ""
    words = look.words
    sure = "" if look.uncertainty_px is None else f", where they are sure to {look.uncertainty_px:.2f} px"
    return (
        f"{count} points, residual {look.rms_px:.2f} px r.m.s.{sure}: the off band is shifted by "
        f"({words.shift_x_px:.1f}, {words.shift_y_px:.1f}) px, turned by {words.turn_deg:.2f}° and scaled by "
        f"{words.scale:.4f}."
    ).replace("-", "−")


def point_shapes(
    points: Sequence[ControlPoint],
    side: str,
    first: tuple[Side, tuple[float, float]] | None,
    guess: tuple[float, float] | None,
) -> list[dict[str, Any]]:
    """Return points as shapes of one band; ``first``: one that is clicked in one band only."""
    at = 0 if side == "on" else 2
    shapes = [
        _shape(f"point-{index + 1}", str(index + 1), (point[at], point[at + 1]), "data-1")
        for index, point in enumerate(points)
    ]
    if first is not None and first[0] == side:
        shapes.append(_shape("first", f"{len(points) + 1}", first[1], "data-5"))
    if guess is not None:
        shapes.append({**_shape("guess", "about here", guess, "data-5"), "locked": True, "dashed": True})
    return shapes


def _shape(identity: str, name: str, place: tuple[float, float], colour: str) -> dict[str, Any]:
    return {"id": identity, "name": name, "kind": "point", "points": [list(place)], "colour": DARK[colour]}


def _state(different: bool, some: bool) -> tuple[str, Literal["", "ok", "warn", "bad"]]:
    if different:
        return "not in the draft yet", "warn"
    return ("in the draft", "ok") if some else ("none", "")


def _index(identity: str, count: int) -> int | None:
    number = identity.removeprefix("point-")
    if number == identity or not number.isdigit() or not 1 <= int(number) <= count:
        return None
    return int(number) - 1


def _read(text: str) -> list[ControlPoint] | None:
    try:
        found = _points(json.loads(text))
    except ValueError:
        return None
    return None if found is None or len(found) > _MOST else found


def _points(given: object) -> list[ControlPoint] | None:
    """Return control points from plain data; None where it is none."""
    if not isinstance(given, list):
        return None
    points: list[ControlPoint] = []
    for one in given:
        if not isinstance(one, list) or len(one) != 4 or not all(isinstance(part, int | float) for part in one):
            return None
        points.append((float(one[0]), float(one[1]), float(one[2]), float(one[3])))
    return points
