"""A small plot of x and y: lines, points and bands in the colours of the theme, which follow dark and light."""

from collections.abc import Callable, Sequence
from typing import Any

from nicegui.element import Element


class Plot(Element, component="plot.js"):
    """The plot. ``set`` shows another figure; nothing is sent where it is the same."""

    def __init__(self, *, label: str, test: str, on_picked: Callable[[str, int], Any] | None = None) -> None:
        """``label``: what it shows, for screen readers. ``on_picked`` is given series and place of a point clicked."""
        super().__init__()
        if on_picked is not None:
            self.on("picked", lambda event: on_picked(str(event.args["series"]), int(event.args["index"])))
        self._props["label"] = label
        self._props["figure"] = {"series": []}
        self.props(f"data-testid={test}")
        self.classes("so-plot")

    def set(
        self, series: Sequence[dict[str, Any]], *, x: dict[str, Any] | None = None, y: dict[str, Any] | None = None
    ) -> None:
        """Show ``series``, made by ``line``, ``points`` and ``band``; None in them is missing.

        Axes: ``name`` (with unit), ``min``, ``max``, ``time`` (x in milliseconds since 1970), ``log``, ``compact``.
        """
        figure = {"series": list(series), "x": x or {}, "y": y or {}}
        if figure != self._props["figure"]:
            self._props["figure"] = figure
            self.update()


def line(
    name: str, x: Sequence[float], y: Sequence[float | None], *, colour: str = "data-1", dashed: bool = False
) -> dict[str, Any]:
    """Return a line. ``colour`` is the name of one of the theme."""
    return {"kind": "line", "name": name, "x": list(x), "y": list(y), "colour": colour, "dashed": dashed}


def points(
    name: str,
    x: Sequence[float],
    y: Sequence[float | None],
    *,
    colour: str = "data-1",
    weight: Sequence[float] | None = None,
    symbol: str = "circle",
    size: float = 0.45,
) -> dict[str, Any]:
    """Return points; those of little ``weight`` (0 to 1) are pale. ``size`` in rem."""
    made: dict[str, Any] = {
        "kind": "points",
        "name": name,
        "x": list(x),
        "y": list(y),
        "colour": colour,
        "symbol": symbol,
        "size": size,
    }
    return made if weight is None else made | {"weight": list(weight)}


def band(
    name: str, x: Sequence[float], low: Sequence[float | None], high: Sequence[float | None], *, colour: str = "data-1"
) -> dict[str, Any]:
    """Return the area between ``low`` and ``high``."""
    return {
        "kind": "band",
        "name": name,
        "x": list(x),
        "y": [],
        "low": list(low),
        "high": list(high),
        "colour": colour,
    }
