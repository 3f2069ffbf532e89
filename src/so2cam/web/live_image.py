"""The image of the live page: both bands, absorbance or columns, with the lines; an operator may try other places."""

from typing import Any, Final

from nicegui import ui

from so2cam.core.errors import So2camError
from so2cam.core.status import STATUS_TEXT, EmissionStatus
from so2cam.link.protocol import Role
from so2cam.station.live_look import LiveLook
from so2cam.station.trial import Trial, TrialLines
from so2cam.web.line_shapes import place_of
from so2cam.web.live_lines import line_of_shape, shapes_of, trial_id
from so2cam.web.live_routes import live_src
from so2cam.web.parts import Ago, Choice, Report, panel, with_uncertainty
from so2cam.web.props import put_props
from so2cam.web.theme import DARK
from so2cam.web.view import View
from so2cam.web.viewer import Viewer, ViewerEvent

QUANTITIES: Final = (("column", "Column"), ("absorbance", "Absorbance"), ("on", "On band"), ("off", "Off band"))
_COLOURS: Final = {"column": "viridis", "absorbance": "viridis", "on": "grey", "off": "grey"}
_STALE_S: Final = 30


class ImagePanel:
    """The panel."""

    def __init__(self, view: View, colours: dict[str, str]) -> None:
        self._view = view
        self._trials: TrialLines | None = view.pages.trials.get(view.site.name)
        self._drawn = {name: DARK.get(colour, DARK["ink"]) for name, colour in colours.items()}
        self._movable = self._trials is not None and view.visitor.may(Role.OPERATOR)
        quantity = view.query.get("image", "column")
        quantity = quantity if quantity in dict(QUANTITIES) else "column"
        box, head = panel("Image", test="image-panel")
        box.props("data-ages")
        with head:
            self._ago = Ago(stale_s=_STALE_S)
            Choice(QUANTITIES, quantity, self._choose, label="Image", test="image")
        with box:
            self._viewer = Viewer(
                live_src(view.site, f"image/{quantity}"),
                shapes=self._shapes(),
                colours=_COLOURS[quantity],  # type: ignore[arg-type]
                rate=4.0,
                readonly=not self._movable,
                marks=quantity in ("on", "off"),
                label=f"live image of {view.site.name}",
                on_shape_changed=self._moved,
            )
            self._viewer.props("data-testid=viewer").classes("so-viewer")
            hint = "Drag a line to try another place: it is measured there from the next pair on, beside the real one."
            with ui.element("div").classes("so-row so-small so-quiet"):
                ui.label(hint if self._movable else "An operator may drag a line to try another place.")
            self._report = Report(test="trial-report")
            self._list = ui.element("div").classes("so-trials").props("data-testid=trials")
        self._quantity = quantity
        self._shown: dict[str, ui.label] = {}
        self._list_trials()

    def redraw(self) -> None:
        """Draw lines and trials anew: somebody changed them."""
        self._viewer.shapes = self._shapes()
        self._list_trials()

    def show(self, look: LiveLook) -> None:
        """Show how old the image is, and what the trials give."""
        images = self._view.context.board.images(self._view.site.name)
        raw = self._quantity in ("on", "off")
        self._ago.set(look.frame if raw else (None if images is None else images.time))
        if self._trials is None:
            return
        for trial in self._trials.trials():
            label = self._shown.get(trial.of)
            if label is not None:
                label.set_text(_trial_words(self._trials, trial))

    def _choose(self, quantity: str) -> None:
        self._quantity = quantity
        self._viewer.src = live_src(self._view.site, f"image/{quantity}")
        self._viewer.colours = _COLOURS[quantity]  # type: ignore[assignment]
        self._viewer.marks = quantity in ("on", "off")
        self._view.keep(image=quantity)

    def _shapes(self) -> list[dict[str, Any]]:
        trials = () if self._trials is None else self._trials.trials()
        return shapes_of(self._view.site.loaded.site.lines, trials, self._drawn, movable=self._movable)

    async def _moved(self, event: ViewerEvent) -> None:
        of = None if event.shape is None else line_of_shape(event.shape)
        if event.shape is None or of is None or self._trials is None:
            return
        if not self._view.may(Role.OPERATOR):
            self._report.say("Trying a line needs the role operator.", "bad")
            self.redraw()
            return
        trials, view, shape = self._trials, self._view, event.shape
        try:
            await view.in_thread(lambda: trials.put(of, place_of(shape), view.visitor.principal.name))
            self._report.say(f"{of} is tried at its new place.", "ok")
        except (So2camError, ValueError) as refused:
            self._report.say(f"{of} cannot lie there: {getattr(refused, 'message', refused)}", "bad")
        view.changed("trials")
        self.redraw()
        self._viewer.select(trial_id(of))
        await view.in_thread(lambda: view.pages.note(view.visitor, "trial.put", {"line": of}))

    def _list_trials(self) -> None:
        self._list.clear()
        self._shown.clear()
        if self._trials is None:
            return
        with self._list:
            for trial in self._trials.trials():
                self._draw_trial(self._trials, trial)

    def _draw_trial(self, trials: TrialLines, trial: Trial) -> None:
        view = self._view
        test = f"trial-{trial.of}"
        with put_props(ui.element("div").classes("so-trial"), {"data-testid": test}):
            words = ui.label(_trial_words(trials, trial)).classes("so-grow")
            put_props(words, {"data-testid": f"{test}-rate", "title": f"moved by {trial.by}"})
            self._shown[trial.of] = words
            if not self._movable:
                return

            async def end() -> None:
                await view.in_thread(lambda: trials.end(trial.of))
                view.changed("trials")
                self._report.say(f"The trial of {trial.of} has ended.", "ok")
                self.redraw()

            async def text() -> None:
                found = await view.in_thread(lambda: trials.site_file_text(trial.of))
                with ui.dialog() as dialog, ui.card().classes("so-panel"):
                    ui.label("Put this into the site file in place of the line's table, and start the station anew.")
                    ui.label(found).classes("so-mono so-small").style("white-space: pre").props(
                        "data-testid=trial-text"
                    )
                    ui.button("Close", on_click=dialog.close).props("flat no-caps")
                dialog.on("hide", dialog.delete)
                dialog.open()

            buttons = (("As text", text, "text"), ("End", end, "end"))
            for label, work, what in buttons:
                put_props(
                    ui.button(label, on_click=work).props("flat no-caps dense"), {"data-testid": f"{test}-{what}"}
                )


def _trial_words(trials: TrialLines, trial: Trial) -> str:
    newest = trials.newest(trial.of)
    if newest is None:
        return f"{trial.name}: measured from the next pair on"
    if newest.rate is None:
        return f"{trial.name}: – {STATUS_TEXT[EmissionStatus(newest.status)]}"
    sigma = ((newest.random or 0.0) ** 2 + (newest.systematic or 0.0) ** 2) ** 0.5
    value, error = with_uncertainty(newest.rate, sigma)
    return f"{trial.name}: {value} ± {error} kg/s"
