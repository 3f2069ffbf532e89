"""A plot with windows whose edges are dragged, a mark, and clicks: for spectra and for values over time."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from nicegui import ui
from nicegui.element import Element
from nicegui.events import GenericEventArguments

from so2cam.web.plot import Plot


@dataclass(frozen=True, slots=True)
class Band:
    """A window over a plot: from ``low`` to ``high``, which may be moved between ``least`` and ``most``."""

    key: str
    name: str
    low: float
    high: float
    least: float
    most: float
    colour: str = "data-1"
    movable: bool = True


class _Windows(Element, component="plot_windows.js"):
    def __init__(self, picks: str, step: float, digits: int, unit: str) -> None:
        super().__init__()
        with self._props.suspend_updates():
            self._props.update(
                {"bands": [], "picks": picks, "step": step, "digits": digits, "unit": unit, "revision": 0}
            )

    def put(self, name: str, value: Any) -> None:
        with self._props.suspend_updates():
            self._props[name] = value
            self._props["revision"] += 1
        self.update()


class WindowPlot:
    """The plot: ``plot`` is drawn as any, ``set_bands`` and ``set_mark`` lay over it."""

    def __init__(
        self,
        *,
        label: str,
        test: str,
        picks: str = "",
        step: float = 0.05,
        digits: int = 2,
        unit: str = "nm",
        on_moved: Callable[[str, float, float], Any] | None = None,
        on_picked: Callable[[float], Any] | None = None,
        on_stepped: Callable[[int], Any] | None = None,
    ) -> None:
        """``picks``: what a click chooses, for screen readers; without it clicks do nothing. ``step``: of edges.

        ``on_moved`` is called with key, low and high once an edge was let go, ``on_picked`` with the x of a click, and
        ``on_stepped`` with -1, 1 or 0 (the end) of the arrow keys.
        """
        with ui.element("div").classes("so-window-plot") as self.box:
            self.plot = Plot(label=label, test=test)
            self._over = _Windows(picks, step, digits, unit)

        async def moved(event: GenericEventArguments) -> None:
            if on_moved is not None:
                await _awaited(on_moved(str(event.args["id"]), float(event.args["low"]), float(event.args["high"])))

        async def picked(event: GenericEventArguments) -> None:
            if on_picked is not None and event.args.get("x") is not None:
                await _awaited(on_picked(float(event.args["x"])))

        async def stepped(event: GenericEventArguments) -> None:
            if on_stepped is not None:
                await _awaited(on_stepped(int(event.args["by"])))

        self._over.on("moved", moved)
        self._over.on("picked", picked)
        self._over.on("stepped", stepped)

    def set_bands(self, bands: Sequence[Band]) -> None:
        """Show these windows, where they are now, whatever was dragged meanwhile."""
        self._over.put(
            "bands",
            [
                {
                    "id": band.key,
                    "name": band.name,
                    "low": band.low,
                    "high": band.high,
                    "least": band.least,
                    "most": band.most,
                    "colour": band.colour,
                    "movable": band.movable,
                }
                for band in bands
            ],
        )

    def set_mark(self, x: float | None) -> None:
        """Mark an x; nothing for None."""
        self._over.put("mark", x)


async def _awaited(found: Any) -> None:
    if hasattr(found, "__await__"):
        await found
