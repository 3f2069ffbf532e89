"""The Instrument page: every node of a site, what it does, and everything that can be done with it from here.

Where several nodes have cameras or spectrometers, the page begins with the whole instrument: what is done there is done
at all of them at once. What is of one computer (settings, schedule, files, ...) is there once a node is chosen.
"""

import asyncio
from functools import partial
from html import escape
from typing import Final

from nicegui import ui

from so2cam.core.errors import So2camError
from so2cam.core.health import Level
from so2cam.station.nodes import NodeInfo, NodeLook
from so2cam.station.together import members
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
from so2cam.web.parts import Ago, Chip, Choice, error, panel
from so2cam.web.props import put_props
from so2cam.web.registry import page
from so2cam.web.shell import asset_url
from so2cam.web.view import View

_FRESH_S = 0.8
_EVERY_S = 1.0
_STALE_S = 15.0
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

WHOLE: Final = "all"
"""Stands for all nodes in the address; no node is called so."""
_OF_ALL: Final = ("overview", "capture", "cells")


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
        nodes, several = await view.in_thread(
            lambda: (
                view.pages.nodes.of_site(view.site),
                members(view.pages.nodes, view.site, "camera", "spectrometer"),
            )
        )
    except So2camError as problem:
        error(str(problem))
        return
    state = {key: value for key, value in view.query.items() if key in ("site", "node", "tab", "draft", "day")}
    chosen = chosen_nodes(nodes, several, state.get("node"))
    if not chosen:
        draw_pairing(view, None)
        return
    await _Page(view, nodes, chosen, len(several) > 1, state).draw()


def chosen_nodes(
    nodes: tuple[NodeInfo, ...], several: tuple[NodeInfo, ...], wanted: str | None
) -> tuple[NodeInfo, ...]:
    """Return the nodes that are shown: the one that is wanted, else all of ``several`` as soon as one is paired."""
    named = tuple(node for node in nodes if node.name == wanted)
    if named:
        return named
    return several if len(several) > 1 and any(node.paired for node in several) else nodes[:1]


class _Page:
    """The page at one browser: the choice of nodes and tabs, and the tab that is shown."""

    def __init__(
        self,
        view: View,
        nodes: tuple[NodeInfo, ...],
        chosen: tuple[NodeInfo, ...],
        several: bool,
        state: dict[str, str],
    ) -> None:
        self._view, self._nodes, self._several = view, nodes, several
        self._desk = Desk(view, chosen, state)
        self._paired = tuple(info.name for info in chosen if info.paired)
        self._waits = len(self._paired) < len(chosen)
        self._tab = state.get("tab", "overview") if state.get("tab") in TABS else "overview"

    @property
    def _whole(self) -> bool:
        return len(self._desk.infos) > 1

    async def draw(self) -> None:
        """Draw it, and keep it up to date."""
        view = self._view
        with ui.element("div").classes("so-row so-nodes"):
            if len(self._nodes) > 1:
                Choice(
                    [(WHOLE, "Whole instrument")] * self._several + [(node.name, node.name) for node in self._nodes],
                    WHOLE if self._whole else self._desk.node,
                    self._to_node,
                    label="Whole instrument, or one of its computers",
                    test="node",
                )
            else:
                ui.label(self._desk.node).classes("so-strong").props("data-testid=node")
            self._chip = Chip(test="node-state")
            self._ago = Ago(stale_s=_STALE_S)
            self._words = ui.label("").classes("so-quiet so-grow so-ellipsis").props("data-testid=node-words")
        with ui.element("div") as tabs:
            self._choice = Choice(
                [(key, words) for key, (words, _) in TABS.items()],
                self._tab,
                self._to_tab,
                label="What of it",
                test="tab",
            )
        tabs.set_visibility(bool(self._paired))
        self._content = ui.element("div").classes("so-tab")
        self._head()
        await asyncio.gather(*(self._refresh(name) for name in self._paired))
        await self._fill()
        for name in self._paired:  # each by itself: one that does not answer holds up no other
            view.every(_EVERY_S, partial(self._refresh, name), immediate=False)
            view.on_change(f"instrument/{name}", partial(self._refresh, name), every_s=0.3)
        if self._waits:
            view.every(_EVERY_S, self._look_for_pairing)

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
            if not self._paired:
                draw_pairing(self._view, self._desk.info, self._pairs)
                return
            if self._whole:
                self._say_unpaired()
                if self._tab not in _OF_ALL:
                    self._draw_choice()
                    return
            made = TABS[self._tab][1](self._desk)
            if made is not None:
                await made

    def _say_unpaired(self) -> None:
        """Say which nodes are not paired: nothing can be done there."""
        for info in self._desk.infos:
            if not info.paired:
                notice = ui.html(
                    f"<b>{escape(info.name)}</b> is not paired with this station: nothing is done or seen there. "
                    f'<a href="{escape(self._view.link("/instrument", node=info.name))}">Pair with it</a>',
                    sanitize=False,
                )
                put_props(notice.classes("so-notice"), {"data-testid": f"unpaired-{info.name}"})

    def _draw_choice(self) -> None:
        """Ask of which node the tab is to be: it is of one computer."""
        words = TABS[self._tab][0]
        box, _ = panel(f"{words}: of which computer?", test="which-node")
        with box:
            ui.label("This is of one computer of the instrument.").classes("so-quiet")
            with ui.element("div").classes("so-row"):
                for node in self._nodes:
                    target = self._view.link("/instrument", node=node.name, tab=self._tab)
                    put_props(ui.link(node.name, target), {"data-testid": f"which-{node.name}"})

    async def _refresh(self, name: str) -> None:
        view = self._view
        look: NodeLook = await view.shared(f"node/{name}", _FRESH_S, lambda: view.pages.nodes.look(name))
        self._desk.show(name, look)
        self._head()

    async def _look_for_pairing(self) -> None:
        """Load the page anew where somebody has paired with a node meanwhile, here or by a command."""
        view = self._view
        nodes = await view.shared("nodes", 2.0, lambda: view.pages.nodes.of_site(view.site))
        missing = [name for name in self._desk.nodes if name not in self._paired]
        if self._waits and any(node.name in missing and node.paired for node in nodes):
            self._waits = False
            state = {key: value for key, value in self._desk.state.items() if key != "site"}
            view.client.open(view.link("/instrument", **state))

    def _pairs(self, begun: bool) -> None:
        """Wait for nobody else while somebody pairs here: then the certificate is shown first."""
        self._waits = not begun

    def _head(self) -> None:
        """Say how the nodes are: the worst of it, and since when it is known."""
        looks = [(name, self._desk.looks[name]) for name in self._desk.nodes if name in self._desk.looks]
        seen = [look.seen for _, look in looks]
        self._ago.set(None if None in seen else min((time for time in seen if time is not None), default=None))
        silent = [name for name, look in looks if look.error is not None]
        if silent:
            remedy = next((look.remedy for _, look in looks if look.error is not None), None)
            self._chip.set("no answer", "bad", title=remedy or "")
        elif len(self._paired) < len(self._desk.infos):
            self._chip.set("not paired", "warn")
        elif looks:
            levels = [look.health.level for _, look in looks if look.health is not None]
            level = max(levels, key=list(Level).index, default=Level.OK)
            self._chip.set({"ok": "well", "warning": "worth a look", "alarm": "alarm"}[level.value], LEVELS[level])
        said = [(name, _words_of(look)) for name, look in looks]
        self._words.set_text(" · ".join(f"{name}: {words}" if self._whole else words for name, words in said))


def _words_of(look: NodeLook) -> str:
    if look.error is not None:
        return look.error
    return "" if look.health is None else f"{look.health.summary} · {look.health.activity}"
