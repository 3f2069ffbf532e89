"""What a person did with the image viewer, as the browser says it, checked."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from nicegui.events import UiEventArguments

SHAPE_EVENTS: Final = "shape-created", "shape-changed", "shape-removed"
"""Events that change the shapes."""
EVENTS: Final = (*SHAPE_EVENTS, "shape-selected", "tool-changed", "contrast-changed", "image-click")
"""All events that a viewer tells the station."""
KINDS: Final = {"line": (2, 2), "polyline": (2, 1000), "arc": (1, 1), "rect": (2, 2), "point": (1, 1)}
"""Kinds of shapes, with the least and the largest number of their points."""
_ARC: Final = "radius_px", "from_deg", "to_deg"
_LONGEST_TEXT: Final = 64


@dataclass(kw_only=True, slots=True)
class ViewerEvent(UiEventArguments):
    """Something a person did with the viewer. What does not belong to the event is None.

    ``why`` says how a shape changed: move, handle, nudge or rename. ``x``, ``y`` and ``value`` are of a click.
    """

    name: str
    shape: dict[str, Any] | None = None
    why: str | None = None
    id: str | None = None
    tool: str | None = None
    contrast: tuple[float, float] | None = None
    x: int | None = None
    y: int | None = None
    value: float | None = None


def read_shape(given: object) -> dict[str, Any]:
    """Return a shape as a browser sent it. Raises ValueError where it is none."""
    if not isinstance(given, Mapping):
        raise ValueError("a shape is an object")  # noqa: TRY004 - what a browser sends is a value
    shape = dict(given)
    for key in ("id", "name"):
        if not isinstance(shape.get(key), str) or len(shape[key]) > _LONGEST_TEXT:
            raise ValueError(f"a shape has a {key} of at most {_LONGEST_TEXT} letters")
    kind, points = shape.get("kind"), shape.get("points")
    if kind not in KINDS or not isinstance(points, list):
        raise ValueError("a shape has a kind and points")
    least, most = KINDS[kind]
    if not least <= len(points) <= most or not all(_is_point(point) for point in points):
        raise ValueError(f"a {kind} has {least} to {most} points of two numbers")
    if kind == "arc" and not all(_is_number(shape.get(key)) for key in _ARC):
        raise ValueError("an arc has radius_px, from_deg and to_deg")
    return shape


def read_event(sender: Any, said: object) -> ViewerEvent:
    """Return what a browser said. Raises ValueError where it is nothing that a viewer says."""
    if not isinstance(said, Mapping) or said.get("name") not in EVENTS:
        raise ValueError("a viewer says no such thing")
    contrast = said.get("contrast")
    if contrast is not None and not _is_point(contrast):
        raise ValueError("a contrast is two numbers")
    place: dict[str, Any] = {key: said.get(key) for key in ("x", "y", "value")}
    if not all(value is None or _is_number(value) for value in place.values()):
        raise ValueError("a place is numbers")
    texts: dict[str, Any] = {key: said.get(key) for key in ("why", "id", "tool")}
    if not all(value is None or (isinstance(value, str) and len(value) <= _LONGEST_TEXT) for value in texts.values()):
        raise ValueError("a name is a short text")
    return ViewerEvent(
        sender=sender,
        client=sender.client,
        name=said["name"],
        shape=read_shape(said.get("shape")) if said["name"] in SHAPE_EVENTS else None,
        contrast=None if contrast is None else (float(contrast[0]), float(contrast[1])),
        **texts,
        **place,
    )


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _is_point(value: object) -> bool:
    return isinstance(value, list) and len(value) == 2 and all(_is_number(part) for part in value)
