"""The way to the align page: of the only node with cameras, or of all of them at once, as soon as all are paired."""

from html import escape

from fastapi import Response
from fastapi.responses import RedirectResponse
from nicegui import ui

from so2cam.core.errors import So2camError
from so2cam.station.nodes import NodeLook
from so2cam.web.align_nodes import ALIGN, AlignNode, address_of, align_nodes
from so2cam.web.instrument.words import LEVELS
from so2cam.web.parts import Ago, Chip, empty, error
from so2cam.web.props import put_props
from so2cam.web.registry import page
from so2cam.web.view import View

_FRESH_S = 0.8
_EVERY_S = 2.0
_STALE_S = 15.0


@page(
    ALIGN,
    title="Align",
    nav="Align",
    keys="g a",
    order=50,
    hint="Aim and focus the cameras",
    about=(
        "Aim and focus the cameras here, from a phone at the case or from the station. Both bands are live, "
        "with saturation, sharpness and a compass. Settings that you change are read back from the device."
    ),
    docs="align",
)
async def align(view: View) -> Response | None:
    """Lead to the page of the cameras; where not all their nodes are paired, show which are there."""
    try:
        nodes = await view.in_thread(lambda: align_nodes(view.pages.nodes, view.site))
    except So2camError as problem:
        error(str(problem))
        return None
    if nodes and all(node.info.paired for node in nodes):
        return RedirectResponse(nodes[0].address if len(nodes) == 1 else address_of(view.site.name), 303)
    if not nodes:
        empty("The site file names no camera, and no node was paired with.", title="There is nothing to align")
        return None
    ui.html("<h1>Which node do you want to align?</h1>", sanitize=False)
    with ui.element("div").classes("so-columns"):
        rows = [_Row(view, node) for node in nodes]

    async def look() -> None:
        for row in rows:
            await row.look()

    view.every(_EVERY_S, look)
    return None


class _Row:
    """One node: its cameras, how it is, and the way to its page."""

    def __init__(self, view: View, node: AlignNode) -> None:
        self._view, self._node = view, node
        paired = node.info.paired
        cameras = ", ".join(node.cameras) or "cameras not known yet"
        name = escape(node.name)
        target = node.address if paired else view.link("/instrument", node=node.name)
        what = "Align" if paired else "Pair with it first"
        with put_props(ui.element("section").classes("so-panel"), {"data-testid": f"align-{node.name}"}):
            with ui.element("div").classes("so-panel-head"):
                ui.html(f"<h2>{name}</h2>", sanitize=False)
                self._chip = Chip(test=f"align-state-{node.name}")
                self._ago = Ago(stale_s=_STALE_S)
            self._words = ui.label(cameras).classes("so-quiet")
            self._why = put_props(ui.label("").classes("so-small"), {"data-testid": f"align-why-{node.name}"})
            ui.html(
                f'<a class="so-go" href="{escape(target)}" data-testid="align-go-{name}" '
                f'aria-label="{what}: {name}">{what}</a>',
                sanitize=False,
            )
        if not paired:
            self._chip.set("not paired", "warn")

    async def look(self) -> None:
        """Ask how the node is, as all pages do."""
        if not self._node.info.paired:
            return
        name, view = self._node.name, self._view
        found: NodeLook = await view.shared(f"node/{name}", _FRESH_S, lambda: view.pages.nodes.look(name))
        self._ago.set(found.seen)
        self._why.set_text("" if found.error is None else f"{found.error}. Its page opens all the same, and waits.")
        if found.error is not None:
            self._chip.set("no answer", "bad", title=found.remedy or "")
        elif found.health is not None:
            level = found.health.level
            self._chip.set({"ok": "well", "warning": "worth a look", "alarm": "alarm"}[level.value], LEVELS[level])
