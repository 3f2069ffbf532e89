"""The map of a site and the compass, drawn from numbers; nothing is loaded from elsewhere."""

import math
from collections.abc import Callable
from html import escape
from typing import Any, Final

from nicegui.element import Element
from nicegui.events import GenericEventArguments

from so2cam.station.geometry_view import MapLook
from so2cam.web.line_shapes import COLOURS
from so2cam.web.parts import number

_BEYOND: Final = 1.15
"""How far the view is drawn, in distances of the vent."""
_LARGEST_MOVE_M: Final = 500_000.0


class GeoMap(Element, component="geo_map.js"):
    """The map. ``on_moved(what, (east, north))``: camera or vent was moved to so many metres from the camera."""

    def __init__(self, *, label: str, test: str, on_moved: Callable[[str, tuple[float, float]], object]) -> None:
        super().__init__()
        self._props.update({"scene": {}, "label": label, "movable": False})
        self.props(f"data-testid={test}")
        self._on_moved = on_moved
        self.on("moved", self._moved)

    @property
    def movable(self) -> bool:
        """Camera and vent can be dragged."""
        return bool(self._props["movable"])

    @movable.setter
    def movable(self, movable: bool) -> None:
        self._props["movable"] = movable

    def show(self, scene: dict[str, Any]) -> None:
        """Show another scene."""
        if scene != self._props["scene"]:
            self._props["scene"] = scene
            self.update()

    def redraw(self) -> None:
        """Draw the same scene again: what was moved goes back."""
        self.run_method("draw")

    def _moved(self, event: GenericEventArguments) -> object:
        said = event.args if isinstance(event.args, dict) else {}
        what, east, north = said.get("what"), said.get("east"), said.get("north")
        if what not in ("camera", "vent") or not isinstance(east, int | float) or not isinstance(north, int | float):
            return None
        if not math.hypot(east, north) < _LARGEST_MOVE_M or not self.movable:
            return None
        return self._on_moved(what, (float(east), float(north)))


def scene_of(look: MapLook, sigma_deg: float, name: str, *, near: bool = False) -> dict[str, Any]:
    """Return what the map draws; ``near``: the plume fills it, else camera and vent do."""
    ends = [] if look.plane is None else [list(place) for place in look.plane]
    lines = [[list(place) for place in one.points] for one in look.lines]
    plume = [look.vent.place, *(place for one in lines for place in one)]
    everything = [[0.0, 0.0], look.vent.place, *ends, *([] if look.landmark is None else [look.landmark.place])]
    wind = look.wind
    return {
        "around": [list(place) for place in (plume if near else everything)],
        "vent": {"place": list(look.vent.place), "name": name},
        "landmark": None if look.landmark is None else list(look.landmark.place),
        "plane": ends or None,
        "lines": [
            {"name": one.name, "points": points, "colour": COLOURS[index % len(COLOURS)]}
            for index, (one, points) in enumerate(zip(look.lines, lines, strict=True))
        ],
        "view": {
            "axis": look.wedge.axis_deg,
            "left": look.wedge.left_deg,
            "right": look.wedge.right_deg,
            "sigma": sigma_deg,
            "reach": _BEYOND * look.vent_distance_m,
        },
        "wind": None
        if wind is None
        else {
            "from": wind.direction_from_deg,
            "words": f"wind of {wind.speed_m_s:g} m/s from {wind.direction_from_deg:.0f}°",
        },
    }


def legend_html(look: MapLook) -> str:
    """Return what the map's colours mean."""
    entries = [
        ("view", "what the camera sees, with 1 sigma of its azimuth"),
        ("plane", "the plume's plane"),
        *((f"line is-{COLOURS[at % len(COLOURS)]}", _line_words(one)) for at, one in enumerate(look.lines)),
    ]
    if look.wind is not None:
        entries.append(("wind", f"wind of {number(look.wind.speed_m_s)} m/s, where it blows"))
    return "".join(f'<li><i class="{escape(kind)}"></i>{escape(words)}</li>' for kind, words in entries)


def _line_words(one: Any) -> str:
    far = "does not meet the plume" if one.distance_m is None else f"{one.distance_m / 1000:.2f} km"
    return f"{one.name}, {far}"


def compass_svg(look: MapLook, sigma_deg: float) -> str:
    """Return a compass: where the camera looks and how wide, where the vent, the plume's plane and the wind are."""
    ticks = "".join(
        f'<path class="tick" d="M0 -88V-{80 if turn % 90 else 74}" transform="rotate({turn})"/>'
        for turn in range(0, 360, 15)
    )
    letters = "".join(
        f'<text x="{x}" y="{y}">{name}</text>'
        for name, x, y in (("N", 0, -58), ("E", 62, 4), ("S", 0, 66), ("W", -62, 4))
    )
    wedge = look.wedge
    wide = (wedge.right_deg - wedge.left_deg) % 360
    parts = [
        f'<path class="view" d="{_sector(wedge.left_deg, wide, 88)}"/>',
        f'<path class="sigma" d="{_sector(wedge.axis_deg - sigma_deg, 2 * sigma_deg, 88)}"/>' if sigma_deg > 0 else "",
        f'<path class="plane" d="M0 -52V52" transform="rotate({look.plane_azimuth_deg:.2f})"/>',
        f'<path class="axis" d="M0 0V-88" transform="rotate({wedge.axis_deg:.2f})"/>',
        f'<path class="vent" d="M-6 -86 0 -97 6 -86z" transform="rotate({look.vent_azimuth_deg:.2f})"/>',
    ]
    if look.wind is not None:
        turn = look.wind.direction_from_deg + 180
        parts.append(f'<path class="wind" d="M0 40V-40M-6 -31 0 -41 6 -31" transform="rotate({turn:.1f})"/>')
    words = (
        f"compass: the camera looks towards {wedge.axis_deg:.1f} degrees and sees {wide:.0f}; the vent is at "
        f"{look.vent_azimuth_deg:.1f}"
    )
    return (
        f'<svg class="so-compass" viewBox="-104 -104 208 208" role="img" aria-label="{escape(words)}" '
        f'data-testid="compass"><circle r="88"/>{"".join(parts[:1])}{ticks}{letters}{"".join(parts[1:])}</svg>'
    )


def _sector(from_deg: float, wide_deg: float, radius: float) -> str:
    first, last = (math.radians(turn) for turn in (from_deg, from_deg + wide_deg))
    ends = [(radius * math.sin(turn), -radius * math.cos(turn)) for turn in (first, last)]
    large = int(wide_deg > 180)
    return (
        f"M0 0L{ends[0][0]:.2f} {ends[0][1]:.2f}A{radius:g} {radius:g} 0 {large} 1 {ends[1][0]:.2f} {ends[1][1]:.2f}z"
    )
