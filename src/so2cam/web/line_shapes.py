"""Lines of the site file as shapes of the image viewer, and shapes as places of lines."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from so2cam.core.site import Site
from so2cam.core.site_lines import Line
from so2cam.station.line_view import arc_in_image, fitting_normal, free_name
from so2cam.web.line_edits import plain_place
from so2cam.web.theme import DARK

COLOURS: Final = ("data-1", "data-4", "data-3", "data-6", "data-5", "data-2")
"""Colours of lines, in their order."""


def colours_of(names: Sequence[str]) -> dict[str, str]:
    """Return the theme's colour of each line; they are told apart by their order in the site file."""
    return {name: COLOURS[index % len(COLOURS)] for index, name in enumerate(names)}


def drawn_colour(name: str) -> str:
    """Return a theme colour as it is drawn over an image, which is dark in light and in dark."""
    return DARK[name]


def shapes_of(lines: Sequence[Line], *, locked: bool) -> list[dict[str, Any]]:
    """Return lines as shapes ``line:NAME`` in their colours; those for speed only are dashed."""
    colours = colours_of([one.name for one in lines])
    return [
        {
            **shape_of(one),
            "id": f"line:{one.name}",
            "name": one.name,
            "colour": drawn_colour(colours[one.name]),
            "locked": locked,
            "dashed": one.role == "speed",
        }
        for one in lines
    ]


def place_of(shape: Mapping[str, Any]) -> dict[str, Any]:
    """Return where a shape lies, as keys of a line of the site file. Raises ValueError for one that is no line."""
    points = tuple((float(x), float(y)) for x, y in shape["points"])
    kind = shape["kind"]
    if kind == "line":
        return {"start": points[0], "end": points[1]}
    if kind == "polyline":
        return {"points": points}
    if kind == "arc":
        arc = {key: float(shape[key]) for key in ("radius_px", "from_deg", "to_deg")}
        return {"arc": {"centre": points[0], **arc}}
    raise ValueError(f"a {kind} is no line")


def drawn_line(site: Site, shape: Mapping[str, Any], *, side: str | None = None) -> dict[str, Any]:
    """Return what was drawn as a new line of the site file, with a free name and the side ``side`` where that fits.

    Raises InputError where it can be none.
    """
    place = plain_place(place_of(shape))
    if shape.get("closed"):
        place["closed"] = True
    if "arc" in place:
        place["arc"] = arc_in_image(site, place["arc"])
    table = {"name": free_name(site), **place}
    wish = {} if side is None else {"normal": side}
    return {**table, "normal": fitting_normal(site, {**table, **wish})}


def shape_of(line: Line) -> dict[str, Any]:
    """Return kind, points and side of the shape of a line."""
    normal = {} if line.normal is None else {"normal": line.normal}
    if line.arc is not None:
        arc = line.arc
        return {
            "kind": "arc",
            "points": [list(arc.centre)],
            "radius_px": arc.radius_px,
            "from_deg": arc.from_deg,
            "to_deg": arc.to_deg,
            **normal,
        }
    points = [list(point) for _, point in line.corners]
    if line.points is not None:
        return {"kind": "polyline", "points": points, "closed": line.closed, **normal}
    return {"kind": "line", "points": points, **normal}
