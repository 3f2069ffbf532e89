"""The versions of station and nodes on the health page, and whether they fit together."""

from html import escape
from typing import Final

from nicegui import ui

from so2cam import __version__
from so2cam.station.nodes import NodeLook
from so2cam.station.versions import Fit, fit_of
from so2cam.web.parts import MISSING, State, panel
from so2cam.web.tables import Column, chip_html, table_html
from so2cam.web.view import View

_STATES: Final[dict[str, tuple[str, State]]] = {
    "same": ("the same", "ok"),
    "fits": ("fit", "ok"),
    "differs": ("do not fit", "bad"),
    "unknown": ("not known", "warn"),
}


def draw_versions(view: View, nodes: list[str]) -> None:
    """Draw the panel, and keep it up to date."""
    box, _ = panel("Versions", test="versions", hint="Nodes and station fit where they speak the same protocol.")
    with box:
        shown = ui.html(versions_html({}, nodes), sanitize=False)
        ui.html(
            '<p class="so-quiet so-small"><a href="/help/docs/updating">How both are updated</a></p>', sanitize=False
        )

    async def look() -> None:
        looks = {
            node: await view.shared(f"node/{node}", 5.0, lambda node=node: view.pages.nodes.look(node))  # type: ignore[misc]
            for node in nodes
        }
        shown.set_content(versions_html(looks, nodes))

    if nodes:
        view.every(10.0, look)


def versions_html(looks: dict[str, NodeLook], nodes: list[str]) -> str:
    """Return the table: this station, and each node with how its version goes with the station's."""
    rows = [("this station", f"so2cam {escape(__version__)}", "")]
    for node in nodes:
        version, fit = fit_with(looks.get(node))
        text, state = _STATES[fit.state]
        software = MISSING if version is None else f"so2cam {escape(version)}"
        more = "" if fit.state == "same" else f"<br><small>{escape(fit.words)}</small>"
        rows.append((escape(node), software, f"{chip_html(text, state)}{more}"))
    columns = (Column("Computer", "lead"), Column("Software"), Column("Together"))
    return table_html(columns, rows, test="versions-table")


def fit_with(look: NodeLook | None) -> tuple[str | None, Fit]:
    """Return (version of a node, how it goes with this station's)."""
    version = None if look is None or look.health is None else look.health.version
    return version, fit_of(version, None if look is None else look.protocol)
