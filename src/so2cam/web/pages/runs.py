"""Runs over the archive: process a range again with other settings, follow it, fetch what it made, compare."""

from nicegui import ui

from so2cam.web.parts import empty
from so2cam.web.registry import page
from so2cam.web.run_detail import RunPanel
from so2cam.web.run_form import draw_form
from so2cam.web.run_list import RunList
from so2cam.web.shell import asset_url
from so2cam.web.view import View


@page(
    "/runs",
    title="Runs",
    nav="Runs",
    keys="g r",
    order=30,
    hint="Process a range again, compare, export",
    about=(
        "A run processes a range of the archive with any settings, beside the live results, which it never changes. "
        "Runs are done one after the other while pages and live processing go on. What a run made can be fetched as "
        "netCDF, CSV, images, films and a report of one page, and compared with the live results or another run."
    ),
    docs="web-runs",
)
def runs(view: View) -> None:
    """Show the form, the list, and the run of the address."""
    for sheet in ("health.css", "runs.css"):
        ui.add_head_html(f'<link rel="stylesheet" href="{asset_url(sheet)}">')
    chosen = view.query.get("run", "")
    with ui.element("div").classes("so-runs"):
        with ui.element("div").classes("so-stack"):
            draw_form(view)
            listed = RunList(view)
        with ui.element("div").classes("so-stack"):
            if chosen.isdecimal():
                RunPanel(view, int(chosen))
            else:
                empty("Choose one of the list, or order one.", title="No run is chosen", test="no-run")
    view.every(1.0, listed.refresh, immediate=True)
