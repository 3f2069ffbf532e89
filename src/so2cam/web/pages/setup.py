"""The first set-up page: the site file as it is in the draft."""

from nicegui import ui

from so2cam.web.parts import panel
from so2cam.web.setup import Setup, setup_page
from so2cam.web.view import View


@setup_page(
    "/setup",
    title="Site file",
    order=0,
    nav="Set-up",
    keys="g u",
    hint="Everything about this installation",
    about=(
        "The site file holds everything about this installation. All who set it up share one draft, which changes "
        "nothing until it is saved. Saving keeps the text as a version with a note, and the station takes it up."
    ),
    docs="site-file",
)
def site_file(view: View, setup: Setup) -> None:
    """Show the draft as text."""
    setup.fields([("processing", "background", "mode"), ("processing", "background", "order")])
    box, _ = panel("Text", test="setup-text")
    with box:
        text = ui.code(setup.state.text, language="toml").classes("w-full")

    def show() -> None:
        text.set_content(setup.state.text)

    setup.on_change(show)
