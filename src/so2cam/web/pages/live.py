"""The live page: images with lines, emission rates over time, and how the instrument is, at a glance."""

from datetime import UTC, datetime, timedelta
from typing import Final

from fastapi import Response
from fastapi.responses import RedirectResponse
from nicegui import ui

from so2cam.core.errors import InputError, So2camError
from so2cam.formats.starter import is_new
from so2cam.pages import asset_names
from so2cam.station.catalogue import TOTAL
from so2cam.station.live_look import look_at
from so2cam.web.assets import ASSETS
from so2cam.web.live_image import ImagePanel
from so2cam.web.live_routes import live_src
from so2cam.web.live_side import CalibrationPanel, SpectrumPanel, StatePanel
from so2cam.web.live_tiles import RateTiles
from so2cam.web.moments import MomentField, need_span
from so2cam.web.parts import Choice, error, panel
from so2cam.web.registry import page
from so2cam.web.trend import Trend
from so2cam.web.view import View

RANGES: Final = (("1h", "1 h"), ("6h", "6 h"), ("24h", "24 h"), ("dates", "Dates"))
_SECONDS: Final = {"1h": 3600.0, "6h": 21600.0, "24h": 86400.0}
_VIEWER: Final = asset_names("viewer", ".js") + asset_names("colourmaps", ".js")
"""The image viewer's parts, which import each other: a browser may fetch them all at once."""
_DATA: Final = ("data-1", "data-4", "data-3", "data-6", "data-5")
"""Colours of lines; data-2 is that of trials."""


@page(
    "/",
    title="Live",
    nav="Live",
    keys="g l",
    order=10,
    hint="What the volcano does now",
    about=(
        "This page shows what the volcano does now: the newest emission rate, images, trends, and the state "
        "of the station. Every value has its 1 sigma and its age, and says why it is missing. Drag a line in "
        "the image to try it elsewhere without changing the results."
    ),
    docs="web",
)
async def live(view: View) -> Response | None:
    """Show images, emission rates and state as they come."""
    ui.add_body_html("".join(f'<link rel="modulepreload" href="{ASSETS}/{name}">' for name in _VIEWER))
    site = view.site.loaded.site
    if is_new(site):
        return RedirectResponse(view.link("/guide"), 303)
    names = [line.name for line in site.lines]
    chosen = view.query.get("line", TOTAL if len(names) > 1 else names[0])
    if chosen not in (*names, TOTAL):
        chosen = names[0]
    methods: list[str] = list(site.processing.speed.methods)
    method = view.query.get("method", methods[0])
    method = method if method in methods else methods[0]
    colours = {name: _DATA[index % len(_DATA)] for index, name in enumerate(names)} | {TOTAL: "ink"}

    tiles = RateTiles(names, chosen, method)
    with ui.element("div").classes("so-live"):
        image = ImagePanel(view, colours)
        _trend_panel(view, tiles, names, methods, colours)
    with ui.element("div").classes("so-columns"):
        spectrum = SpectrumPanel(view)
        calibration = CalibrationPanel(view)
        state = StatePanel(view)
    trouble = error("", test="live-error")
    trouble.set_visibility(False)

    async def look() -> None:
        try:
            now = await view.shared("look", 0.7, lambda: look_at(view.context, view.site, view.pages.services()))
        except So2camError as failed:
            trouble.set_text(f"The catalogue cannot be read now: {failed.message}")
            trouble.set_visibility(True)
            return
        trouble.set_visibility(False)
        tiles.show(now)
        image.show(now)
        await state.show(now)

    async def look_beside() -> None:
        await spectrum.show()
        calibration.show(view.context.board.calibration(view.site.name))

    await look()  # the page comes with its values
    view.every(1.0, look, immediate=False)
    view.every(2.0, look_beside)
    view.on_change("trials", image.redraw)
    return None


def _trend_panel(view: View, tiles: RateTiles, names: list[str], methods: list[str], colours: dict[str, str]) -> None:
    box, head = panel("Emission rate", test="trend-panel")
    with box:
        dates = ui.element("div").classes("so-row so-dates")
        trend = Trend(
            live_src(view.site, "trend"),
            colours=colours,
            chosen=tiles.line,
            method=tiles.method,
            label="emission rate, column amount, speed and direction over time",
        )
        trend.props("data-testid=trend")
    with dates:
        start, end = _date_inputs(view)
    dates.set_visibility(False)

    def show_dates() -> None:
        try:
            first, last = need_span(start, end)
        except InputError:
            return  # the fields say it
        trend.show_between(first, last)
        view.keep(range="dates", start=start.address, end=end.address)

    def show_range(key: str) -> None:
        dates.set_visibility(key == "dates")
        if key == "dates":
            show_dates()
            return
        trend.show_last(_SECONDS[key])
        view.keep(range=key, start=None, end=None)

    def show_line(line: str) -> None:
        tiles.choose(line=line)
        trend.choose(line=line)
        view.keep(line=line)

    def show_method(method: str) -> None:
        tiles.choose(method=method)
        trend.choose(method=method)
        view.keep(method=method)

    with dates:
        ui.button("Show", on_click=show_dates).props("unelevated no-caps data-testid=dates-show")
    with head:
        if len(names) > 1:
            options = [(TOTAL, "Total"), *((name, name) for name in names)]
            Choice(options, tiles.line, show_line, label="Line", test="line")
        if len(methods) > 1:
            words = [(method, method.replace("_", " ")) for method in methods]
            Choice(words, tiles.method, show_method, label="Speed method", test="method")
        wanted = view.query.get("range", "1h")
        wanted = wanted if wanted in dict(RANGES) else "1h"
        Choice(RANGES, wanted, show_range, label="Time", test="range")
    if wanted != "1h":
        dates.set_visibility(wanted == "dates")
        if wanted == "dates":
            show_dates()
        else:
            trend.show_last(_SECONDS[wanted])


def _date_inputs(view: View) -> tuple[MomentField, MomentField]:
    now = datetime.now(UTC)
    return (
        MomentField("From, UTC", test="dates-start", value=view.query.get("start", now - timedelta(days=1))),
        MomentField("To, UTC", test="dates-end", value=view.query.get("end", now), last=True),
    )
