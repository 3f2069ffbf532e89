"""The live page."""

from nicegui import ui

from so2cam.web.parts import Tile
from so2cam.web.registry import page
from so2cam.web.view import View


@page("/", title="Live", nav="Live", keys="g l", order=10, hint="What the volcano does now")
def live(view: View) -> None:
    """Show images, emission rates and state as they come."""
    with ui.element("div").classes("so-tiles"):
        Tile("Emission rate", "kg/s", test="rate")
