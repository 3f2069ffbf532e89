"""The image viewer as an element of NiceGUI.

Images reach the browser by HTTP from ``src``; only what people do (a shape moved, a click) passes through NiceGUI.
"""

import logging
from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal

from nicegui.element import Element
from nicegui.events import GenericEventArguments, Handler, handle_event

from so2cam.web.assets import ASSETS, add_assets
from so2cam.web.viewer_events import SHAPE_EVENTS, ViewerEvent, read_event

__all__ = ["ASSETS", "Colours", "Shape", "Tool", "Viewer", "ViewerEvent", "add_assets"]

_log = logging.getLogger(__name__)
Shape = Mapping[str, Any]
"""A shape over the image: id, name, kind, points and what docs/reference/image-viewer.md says of it."""
Tool = Literal["pan", "line", "polyline", "arc", "rect", "point"]
Colours = Literal["grey", "viridis", "cividis", "magma", "diverging"]
_SHOWN: Final = (
    *("colours", "tool", "src", "readonly", "marks", "contrast", "hint", "rate"),
    *("histogram", "label", "compact", "staleAfter"),
)


class Viewer(Element, component="viewer_element.js"):
    """An image from raw numbers, live from ``src``, with colour bar, zoom, values and shapes.

    ``on_...`` are called with a ``ViewerEvent``. ``shapes`` always holds what the person sees: it follows what they
    draw, move and remove before the handlers are called. An image older than ``stale_after_s`` looks stale.
    """

    def __init__(
        self,
        src: str | None = None,
        *,
        shapes: Sequence[Shape] = (),
        colours: Colours = "grey",
        tool: Tool = "pan",
        rate: float = 4.0,
        readonly: bool = False,
        marks: bool = False,
        contrast: tuple[float, float] | None = None,
        histogram: bool = False,
        compact: bool = False,
        stale_after_s: float | None = None,
        label: str = "image",
        hint: str = "",
        on_shape_created: Handler[ViewerEvent] | None = None,
        on_shape_changed: Handler[ViewerEvent] | None = None,
        on_shape_removed: Handler[ViewerEvent] | None = None,
        on_shape_selected: Handler[ViewerEvent] | None = None,
        on_tool_changed: Handler[ViewerEvent] | None = None,
        on_contrast_changed: Handler[ViewerEvent] | None = None,
        on_click: Handler[ViewerEvent] | None = None,
    ) -> None:
        super().__init__()
        given = colours, tool, src, readonly, marks, contrast, hint, rate, histogram, label, compact, stale_after_s
        with self._props.suspend_updates():
            self._props.update(dict(zip(_SHOWN, given, strict=True)))
            self._props["shapes"] = [dict(shape) for shape in shapes]
            self._props["vectors"] = []
            self._props["revisions"] = {"shapes": 0, "tool": 0, "contrast": 0}
        self._handlers: dict[str, Handler[ViewerEvent] | None] = {
            "shape-created": on_shape_created,
            "shape-changed": on_shape_changed,
            "shape-removed": on_shape_removed,
            "shape-selected": on_shape_selected,
            "tool-changed": on_tool_changed,
            "contrast-changed": on_contrast_changed,
            "image-click": on_click,
        }
        self.on("said", self._said)

    def _said(self, arguments: GenericEventArguments) -> None:
        try:
            event = read_event(self, arguments.args)
        except ValueError as error:
            _log.warning("a browser said what no viewer says: %s", error)
            return
        if self.readonly and event.name in SHAPE_EVENTS:
            _log.warning("a browser changed shapes that it may only see")
            return
        with self._props.suspend_updates():  # the browser has it already
            self._follow(event)
        handle_event(self._handlers[event.name], event)

    def _follow(self, event: ViewerEvent) -> None:
        shapes: list[dict[str, Any]] = list(self._props["shapes"])
        if event.shape is not None:
            rest = [shape for shape in shapes if shape["id"] != event.shape["id"]]
            if event.name == "shape-removed":
                shapes = rest
            else:
                places = [index for index, shape in enumerate(shapes) if shape["id"] == event.shape["id"]]
                shapes = [*rest[: places[0]], event.shape, *rest[places[0] :]] if places else [*shapes, event.shape]
            self._props["shapes"] = shapes
        elif event.name == "tool-changed":
            self._props["tool"] = event.tool
        elif event.name == "contrast-changed":
            self._props["contrast"] = event.contrast

    @property
    def vectors(self) -> list[tuple[float, float, float, float]]:
        """Arrows (x0, y0, x1, y1) over the image, in its pixels, below the shapes."""
        return [(v[0], v[1], v[2], v[3]) for v in self._props["vectors"]]

    @vectors.setter
    def vectors(self, vectors: Sequence[tuple[float, float, float, float]]) -> None:
        self._props["vectors"] = [list(vector) for vector in vectors]

    def fit(self) -> None:
        """Show the whole image."""
        self.run_method("fit")

    def select(self, shape_id: str | None) -> None:
        """Select a shape, or none."""
        self.run_method("selectShape", shape_id)

    @property
    def shapes(self) -> list[dict[str, Any]]:
        """The shapes as they are now. Set it to replace all of them; one that is being dragged stays in the hand."""
        return [dict(shape) for shape in self._props["shapes"]]

    @shapes.setter
    def shapes(self, shapes: Sequence[Shape]) -> None:
        self._say("shapes", [dict(shape) for shape in shapes])

    @property
    def src(self) -> str | None:
        """Where frame messages come from; None: nowhere."""
        return self._text_of("src")

    @src.setter
    def src(self, src: str | None) -> None:
        self._props["src"] = src

    @property
    def tool(self) -> str:
        """What the pointer does: ``pan``, or draw a shape of this kind."""
        return self._text_of("tool") or "pan"

    @tool.setter
    def tool(self, tool: Tool) -> None:
        self._say("tool", tool)

    @property
    def colours(self) -> str:
        """The colour map."""
        return self._text_of("colours") or "grey"

    @colours.setter
    def colours(self, colours: Colours) -> None:
        self._props["colours"] = colours

    @property
    def contrast(self) -> tuple[float, float] | None:
        """Lowest and highest value of the colour map; None: by each image."""
        found = self._props["contrast"]
        return None if found is None else (float(found[0]), float(found[1]))

    @contrast.setter
    def contrast(self, contrast: tuple[float, float] | None) -> None:
        self._say("contrast", contrast)

    @property
    def readonly(self) -> bool:
        """Shapes are shown, and cannot be changed."""
        return bool(self._props["readonly"])

    @readonly.setter
    def readonly(self, readonly: bool) -> None:
        self._props["readonly"] = readonly

    @property
    def marks(self) -> bool:
        """Saturated pixels are marked."""
        return bool(self._props["marks"])

    @marks.setter
    def marks(self, marks: bool) -> None:
        self._props["marks"] = marks

    @property
    def hint(self) -> str:
        """What is said over the image while a tool is on; empty: the tool's own words."""
        return self._text_of("hint") or ""

    @hint.setter
    def hint(self, hint: str) -> None:
        self._props["hint"] = hint

    def _say(self, name: str, value: Any) -> None:
        """Have the browser take this value, even where a person has changed it in the meantime."""
        revisions = dict(self._props["revisions"])
        with self._props.suspend_updates():
            self._props[name] = value
            self._props["revisions"] = {**revisions, name: revisions[name] + 1}
        self.update()

    def _text_of(self, name: str) -> str | None:
        found = self._props[name]
        return None if found is None else str(found)
