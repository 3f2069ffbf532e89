"""The profile panel of the sky background: absorbance and both bands along a row, a column, or a line on the image."""

from collections.abc import Callable
from typing import Any, Final

from nicegui import ui

from so2cam.station.background_view import BackgroundLook, Cut
from so2cam.web.background_words import AREA_COLOURS, AREA_WORDS
from so2cam.web.parts import Choice, panel
from so2cam.web.plot import Plot, band, line
from so2cam.web.view import View

CUTS: Final = (("row", "Row"), ("column", "Column"), ("line", "Line"))
CUT: Final = "cut"
"""The id of the shape of the line along which profiles are."""
AT: Final = "cut-at"
"""The id of the shape of the point through which they are."""


class ProfilePanel:
    """The panel; where its profiles lie stands in the address."""

    def __init__(self, view: View, moved: Callable[[], None]) -> None:
        """``moved`` is called when the profile lies elsewhere, so that it is drawn there."""
        self._view, self._moved = view, moved
        self._look: BackgroundLook | None = None
        cut = view.query.get("cut", "row")
        self._cut = cut if cut in dict(CUTS) else "row"
        self._at = _numbers(view.query.get("at"), 2)
        self._along = _numbers(view.query.get("along"), 4)
        box, head = panel("Profile", test="background-profile")
        with head:
            self._where = ui.label("").classes("so-quiet so-small").props("data-testid=cut-where")
            self._choice = Choice(CUTS, self._cut, self.choose, label="Profile along", test="cut")
        with box:
            self._absorbance = Plot(label="absorbance along the profile", test="plot-absorbance")
            self._bands = Plot(label="log intensity of both bands along the profile", test="plot-bands")
            ui.label("Click the image to move the profile, or draw a line for it.").classes("so-quiet so-small")

    def shapes(self) -> list[tuple[str, str, str, list[list[float]]]]:
        """Return id, name, kind and points of the shape that shows where the profile lies."""
        if self._cut == "line" and self._along is not None:
            return [(CUT, "profile", "line", [list(self._along[:2]), list(self._along[2:])])]
        if self._look is None:
            return []
        return [(AT, "", "point", [list(self._place(self._look))])]

    async def move_to(self, x: float, y: float) -> None:
        """Have rows and columns go through a pixel."""
        self._at = (float(x), float(y))
        self._view.keep(at=f"{x:g},{y:g}")
        if self._cut != "line":
            self._moved()
            await self.show(self._look)

    async def cut_along(self, points: list[tuple[float, float]]) -> None:
        """Show the profile along a line between two points (x, y)."""
        (x0, y0), (x1, y1) = points
        self._along = (x0, y0, x1, y1)
        self._view.keep(along=f"{x0:g},{y0:g},{x1:g},{y1:g}")
        await self.choose("line")

    async def choose(self, cut: str) -> None:
        """Show a row, a column, or the line."""
        self._cut = cut
        self._choice.set(cut)
        self._view.keep(cut=cut)
        self._moved()
        await self.show(self._look)

    def _place(self, look: BackgroundLook) -> tuple[float, float]:
        rows, columns = look.shape
        x, y = self._at or (columns / 2, rows / 2)
        return min(max(round(x), 0), columns - 1), min(max(round(y), 0), rows - 1)

    async def show(self, look: BackgroundLook | None) -> None:
        """Show the profiles of a look."""
        self._look = look
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


def _numbers(text: str | None, count: int) -> tuple[float, ...] | None:
    try:
        found = tuple(float(part) for part in (text or "").split(","))
    except ValueError:
        return None
    return found if len(found) == count else None
