"""Buttons that choose what is drawn on an image, and values with their names."""

from collections.abc import Mapping, Sequence
from html import escape

from nicegui import ui

from so2cam.web.parts import MISSING
from so2cam.web.props import put_props
from so2cam.web.viewer import Viewer


class Tools:
    """What is drawn next on a viewer: one button for each kind, pressed while its tool is on."""

    def __init__(
        self,
        word: str,
        tools: Mapping[str, tuple[str, str]],
        *,
        enabled: bool,
        always: Sequence[str] = (),
    ) -> None:
        """``tools``: (words, tool of the viewer) by key. Those of ``always`` can be used where ``enabled`` is False."""
        self.viewer: Viewer | None = None
        """the viewer on which is drawn; set once it is there"""
        self._tools = tools
        self.chosen: str | None = None
        """what is drawn, or was drawn last, until ``choose(None)``"""
        self._on = False
        self._buttons: dict[str, ui.element] = {}
        box = ui.element("div").classes("so-tools").props("role=group data-testid=tools")
        put_props(box, {"aria-label": word})
        with box:
            ui.label(word).classes("so-tools-word")
            for key, (words, _) in tools.items():
                button = ui.element("button").classes("so-tool").props(f"type=button data-testid=tool-{key}")
                with button:
                    ui.html(escape(words), sanitize=False, tag="span")
                if not enabled and key not in always:
                    button.props('disabled title="This needs the role operator."')
                else:
                    button.on("click", lambda _, key=key: self.choose(None if self._on and self.chosen == key else key))
                self._buttons[key] = button
        self._press()

    def choose(self, key: str | None) -> None:
        """Have this drawn next; None: nothing."""
        self.chosen, self._on = key, key is not None
        if self.viewer is not None:
            self.viewer.tool = "pan" if key is None else self._tools[key][1]  # type: ignore[assignment]
        self._press()

    def follow(self, tool: str | None) -> None:
        """The viewer's tool changed: where it was put away, nothing is drawn."""
        if tool == "pan":
            self._on = False  # what was drawn is told after the tool was put away: ``chosen`` is kept until then
            self._press()

    def _press(self) -> None:
        for key, button in self._buttons.items():
            button.props(f"aria-pressed={'true' if self._on and key == self.chosen else 'false'}")


class Values:
    """A few values with their names, and what the names mean on hover."""

    def __init__(self, names: Mapping[str, tuple[str, str]]) -> None:
        self._labels: dict[str, ui.label] = {}
        with ui.element("dl").classes("so-values"):
            for key, (name, hint) in names.items():
                with put_props(ui.element("div"), {"title": hint}):
                    ui.html(escape(name), sanitize=False, tag="dt")
                    with ui.element("dd"):
                        self._labels[key] = ui.label(MISSING).props(f"data-testid=value-{key}")

    def set(self, **values: str) -> None:
        """Show values by key; an empty one is missing."""
        for key, text in values.items():
            self._labels[key].set_text(text or MISSING)
