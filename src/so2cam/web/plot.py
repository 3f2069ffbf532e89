"""A small plot of x and y: lines, points and bands in the colours of the theme, which follow dark and light."""

import math
from collections.abc import Callable, Iterable, Sequence
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

        One with ``guide`` is no data.
        Axes: ``name`` (with unit), ``min``, ``max``, ``step`` (between ticks; ``limits`` gives all three), ``time`` (x
        in milliseconds since 1970), ``log``, ``compact``, and of y ``gutter``: room for its labels [rem], so that plots
        above each other have one axis of time.
        """
        figure = {"series": list(series), "x": x or {}, "y": y or {}}
        if figure != self._props["figure"]:
            self._props["figure"] = figure
            self.update()


def limits(values: Iterable[float | None], *, zero: bool = False, even: bool = False, parts: int = 4) -> dict[str, Any]:
    """Return round ends of an axis and the step of its ticks, about ``parts`` of them; nothing without values.

    ``zero``: with zero in it; ``even``: as far down as up, from zero.
    """
    known = [value for value in values if value is not None and math.isfinite(value)]
    if not known:
        return {}
    low, high = min(known), max(known)
    if even:
        high = max(abs(low), abs(high))
        low = -high
    elif zero:
        low, high = min(low, 0.0), max(high, 0.0)
    if high - low <= 1e-9 * max(abs(low), abs(high)):
        half = max(abs(high), 1.0) / 2
        low, high = (low, high + 2 * half) if zero and not even else (low - half, high + half)
    rough = (high - low) / parts
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough * (1 - 1e-9))
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return {"min": float(f"{first * step:.9g}"), "max": float(f"{last * step:.9g}"), "step": float(f"{step:.9g}")}


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
