"""The Instrument page: every node of a site, what it does, and everything that can be done with it from here."""

from nicegui import ui

from so2cam.core.errors import So2camError
from so2cam.station.nodes import NodeInfo, NodeLook
from so2cam.web.instrument.capture import draw_capture
from so2cam.web.instrument.cells import draw_cells
from so2cam.web.instrument.desk import Desk, Draw
from so2cam.web.instrument.files import draw_files
from so2cam.web.instrument.link import draw_link, draw_pairing
from so2cam.web.instrument.logs import draw_logs
from so2cam.web.instrument.overview import draw_overview
from so2cam.web.instrument.schedule import draw_schedule
from so2cam.web.instrument.settings import draw_settings
from so2cam.web.instrument.system import draw_system
from so2cam.web.instrument.words import LEVELS
from so2cam.web.parts import Ago, Chip, Choice, error
from so2cam.web.registry import page
from so2cam.web.shell import asset_url
from so2cam.web.view import View

_FRESH_S = 0.8
_EVERY_S = 1.0
_STALE_S = 15.0
_IN_SIGHT = (
    "document.querySelector('.so-tabs [aria-pressed=true]')?.scrollIntoView({inline: 'center', block: 'nearest'})"
)
TABS: dict[str, tuple[str, Draw]] = {
    "overview": ("Overview", draw_overview),
    "capture": ("Capture", draw_capture),
    "settings": ("Settings", draw_settings),
    "cells": ("Gas cells", draw_cells),
    "schedule": ("Schedule", draw_schedule),
    "files": ("Files", draw_files),
    "system": ("Power, devices", draw_system),
    "logs": ("Log", draw_logs),
    "link": ("Link", draw_link),
}


@page(
    "/instrument",
    title="Instrument",
    nav="Instrument",
    keys="g i",
    order=55,
    hint="See and run the instrument",
    about=(
        "See and run every node of the instrument here. Start and stop capture, change settings, take darks "
        "and gas cells, and edit the schedule. A node is paired once, with a code that it shows."
    ),
    docs="web-instrument",
)
async def instrument(view: View) -> None:
    """Show the nodes of a site and one of their tabs; node and tab are kept in the address."""
    ui.add_head_html(f'<link rel="stylesheet" href="{asset_url("instrument.css")}">')
    ui.add_head_html(f'<script type="module" src="{asset_url("daybar.js")}"></script>')
    try:
        nodes = await view.in_thread(lambda: view.pages.nodes.of_site(view.site))
    except So2camError as problem:
        error(str(problem))
        return
    state = {key: value for key, value in view.query.items() if key in ("site", "node", "tab", "draft", "day")}
    chosen = next((node for node in nodes if node.name == state.get("node")), nodes[0] if nodes else None)
    if chosen is None:
        draw_pairing(view, None)
        return
    await _Page(view, nodes, chosen, state).draw()


class _Page:
    """The page at one browser: the choice of nodes and tabs, and the tab that is shown."""

    def __init__(self, view: View, nodes: tuple[NodeInfo, ...], chosen: NodeInfo, state: dict[str, str]) -> None:
        self._view, self._nodes = view, nodes
        self._desk = Desk(view, chosen, state)
        self._waits = not chosen.paired
        self._tab = state.get("tab", "overview") if state.get("tab") in TABS else "overview"

    async def draw(self) -> None:
        """Draw it, and keep it up to date."""
        view = self._view
        with ui.element("div").classes("so-row so-nodes"):
            if len(self._nodes) > 1:
                Choice(
                    [(node.name, node.name) for node in self._nodes],
                    self._desk.node,
                    self._to_node,
                    label="Node: a computer of the instrument",
                    test="node",
                )
            else:
                ui.label(self._desk.node).classes("so-strong").props("data-testid=node")
            self._chip = Chip(test="node-state")
            self._ago = Ago(stale_s=_STALE_S)
            self._words = ui.label("").classes("so-quiet so-grow so-ellipsis").props("data-testid=node-words")
        with ui.element("div").classes("so-tabs") as tabs:
            self._choice = Choice(
                [(key, words) for key, (words, _) in TABS.items()],
                self._tab,
                self._to_tab,
                label="What of it",
                test="tab",
            )
        tabs.set_visibility(self._desk.info.paired)
        self._content = ui.element("div").classes("so-tab")
        await self._refresh()
        await self._fill()
        view.every(_EVERY_S, self._refresh, immediate=False)
        view.on_change(self._desk.topic, self._refresh, every_s=0.3)

    async def _to_node(self, name: str) -> None:
        self._desk.keep(node=name, draft=None)
        self._view.client.open(self._view.link("/instrument", node=name, tab=self._tab))

    async def _to_tab(self, key: str) -> None:
        self._tab = key
        self._desk.keep(tab=key)
        await self._fill()

    async def _fill(self) -> None:
        self._desk.clear()
        self._content.clear()
        self._content.props(f"data-testid=tab-content data-tab={self._tab}")
        with self._content:
            if not self._desk.info.paired:
                draw_pairing(self._view, self._desk.info, self._pairs)
                return
            self._view.client.run_javascript(_IN_SIGHT)
            made = TABS[self._tab][1](self._desk)
            if made is not None:
                await made

    async def _refresh(self) -> None:
        view, name = self._view, self._desk.node
        if not self._desk.info.paired:
            self._chip.set("not paired", "warn")
            await self._look_for_pairing()
            return
        look = await view.shared(f"node/{name}", _FRESH_S, lambda: view.pages.nodes.look(name))
        self._head(look)
        self._desk.show(look)

    async def _look_for_pairing(self) -> None:
        """Load the page anew where somebody has paired with the node meanwhile, here or by a command."""
        view, name = self._view, self._desk.node
        nodes = await view.shared("nodes", 2.0, lambda: view.pages.nodes.of_site(view.site))
        if self._waits and any(node.name == name and node.paired for node in nodes):
            self._waits = False
            view.client.open(view.link("/instrument", **{**self._desk.state, "node": name}))

    def _pairs(self, begun: bool) -> None:
        """Wait for nobody else while somebody pairs here: then the certificate is shown first."""
        self._waits = not begun

    def _head(self, look: NodeLook) -> None:
        self._ago.set(look.seen)
        if look.error is not None:
            self._chip.set("no answer", "bad", title=look.remedy or "")
            self._words.set_text(look.error)
        elif look.health is not None:
            level = look.health.level
            self._chip.set({"ok": "well", "warning": "worth a look", "alarm": "alarm"}[level.value], LEVELS[level])
            self._words.set_text(f"{look.health.summary} · {look.health.activity}")
