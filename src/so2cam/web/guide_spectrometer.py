"""The guide's step of the spectrometer: whether there is one, and what of it only a person knows."""

from typing import Final

from nicegui import ui

from so2cam.formats.siteedit import MISSING, KeyPath
from so2cam.station.spectrometer_choice import TABLE, adding, chosen, leaving_out
from so2cam.web.parts import Choice, ask
from so2cam.web.seen import Seen
from so2cam.web.setup import Setup
from so2cam.web.view import View

_OPTIONS: Final = (("yes", "There is one"), ("no", "There is none"))
_FIELDS: Final[tuple[tuple[KeyPath, str], ...]] = (
    (("files", "format"), "format of its files"),
    (("files", "name_pattern"), "names of its files"),
    (("detector", "saturation_counts"), "saturated from"),
    (("detector", "stray_light_nm"), "where no sunlight arrives"),
    (("line_shape", "width_nm"), "line shape, width"),
    (("line_shape", "exponent"), "line shape, exponent"),
    (("fit", "window_nm"), "window of the fit"),
)


class SpectrometerStep:
    """The body of the step, which follows the draft."""

    def __init__(self, view: View, setup: Setup) -> None:
        self._view, self._setup, self._seen = view, setup, Seen(setup)
        self._drawn = ""
        with ui.element("div").classes("so-row"):
            self._choice = Choice(
                _OPTIONS,
                chosen(setup.state),
                self._chosen,
                label="whether there is a spectrometer",
                test="guide-spectrometer",
            )
        self._keys = ui.element("div").classes("so-guide-keys")
        self._keys.set_visibility(False)
        self._follow()
        setup.on_change(self._follow)

    def _follow(self) -> None:
        now = chosen(self._setup.state)
        self._seen.drawn()
        self._choice.set(now)
        if now == self._drawn:
            return
        self._drawn = now
        self._keys.clear()
        self._keys.set_visibility(now == "yes")
        if now == "yes":
            with self._keys:
                self._draw_keys()

    def _draw_keys(self) -> None:
        with ui.element("div").classes("so-keys"):
            for path, words in _FIELDS:
                self._setup.field((*TABLE, *path), words)
        with ui.element("div").classes("so-row"):
            ui.link(
                "Line shape from a mercury lamp, wavelengths from sunlight, all keys",
                self._view.link("/setup/spectrometer"),
            ).classes("so-guide-link").props("data-testid=guide-to-spectrometer")
            ui.link("Try windows on a spectrum", self._view.link("/spectra")).classes("so-guide-link")

    async def _chosen(self, key: str) -> None:
        draft = self._setup.state
        if key == "yes":
            await self._seen.change(adding(), "add a spectrometer")
        elif draft.written(TABLE) is MISSING or await ask(
            "Take [spectrometer] and all of its keys out of the draft?", "Take it out", danger=True
        ):
            await self._seen.change(leaving_out(draft), "there is no spectrometer")
        self._follow()
