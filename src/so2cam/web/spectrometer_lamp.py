"""The line shape on the page of the spectrometer: lamp spectra, the line that is chosen, its shape, into the draft."""

from collections.abc import Mapping
from html import escape
from typing import Any, Final

from nicegui import events, ui

from so2cam.core.errors import So2camError
from so2cam.formats.siteedit import KeyPath
from so2cam.station.spectrometer_lamp import MOST_BYTES, FoundLamp, Lamps, LampSeries, super_gaussian_keys
from so2cam.station.spectrum_fits import error_words
from so2cam.web import plot
from so2cam.web.parts import Report, panel
from so2cam.web.plot import Plot
from so2cam.web.props import put_props
from so2cam.web.setup import EDITS_FROM, Setup
from so2cam.web.spectra_fit import plain_values
from so2cam.web.view import View
from so2cam.web.window_plot import WindowPlot

_BEST: Final = "the best one"
_NEAR_NM: Final = 4.0
KEYS: Final[tuple[KeyPath, ...]] = tuple(
    ("spectrometer", "line_shape", name)
    for name in ("source", "file", "width_nm", "exponent", "width_asymmetry", "exponent_asymmetry", "fit")
)


class LampPanel:
    """The panel."""

    def __init__(self, view: View, setup: Setup) -> None:
        self._view, self._setup = view, setup
        self._lamps = Lamps(view.context, view.site)
        self._series: dict[str, LampSeries] = {}
        self._found: FoundLamp | None = None
        self._near: float | None = None
        self._seen: dict[KeyPath, Any] = {}
        box, _ = panel("Line shape", test="lamp-panel", hint="what the spectrometer makes of a single wavelength")
        with box:
            ui.html(
                "<p>From spectra of a mercury lamp. Take them, with darks of the same exposure, on the "
                f'<a href="{escape(view.link("/instrument", tab="capture"))}">Instrument page</a>, or give files.</p>',
                sanitize=False,
            )
            with ui.element("div").classes("so-row"):
                self._pick = (
                    ui.select({}, label="Lamp spectra", on_change=self._picked)
                    .props("dense outlined stack-label data-testid=lamp-series")
                    .classes("so-input is-wide so-lamp-pick")
                )
                self._line = (
                    ui.select({}, label="Line", on_change=self._line_picked)
                    .props("dense outlined stack-label data-testid=lamp-line")
                    .classes("so-input so-lamp-pick")
                )
            if setup.may_edit:
                with ui.element("div").classes("so-row"):
                    self._upload("Give lamp spectra", "lamp-give", dark=False)
                    self._upload("Give their darks", "lamp-give-darks", dark=True)
                    ui.button("Forget given files", on_click=self._forget).props("flat no-caps data-testid=lamp-forget")
            self._report = Report(test="lamp-report")
            self._result = ui.element("div").classes("so-lamp")
            with self._result:
                self._over = WindowPlot(
                    label="spectrum of the lamp", test="lamp", picks="line of the lamp", on_picked=self._clicked
                )
                with ui.element("div").classes("so-columns"):
                    with ui.element("div"):
                        self._shape = Plot(label="line shape, measured and fitted", test="lamp-shape")
                    self._rows = ui.html("", sanitize=False).props("data-testid=lamp-rows")
                with ui.element("div").classes("so-row"):
                    self._take = ui.button("Take the super-Gaussian", on_click=self._take_fit)
                    self._take.props("unelevated no-caps data-testid=lamp-take")
                    self._table = ui.button("Take the measured table", on_click=self._take_table)
                    self._table.props("flat no-caps data-testid=lamp-take-table")
                    for button in (self._take, self._table):
                        if not setup.may_edit:
                            button.disable()
            setup.fields(KEYS)
        self._result.set_visibility(False)

    async def begin(self) -> None:
        """Look which lamp spectra there are."""
        loaded = self._setup.loaded
        try:
            found = await self._view.in_thread(lambda: self._lamps.series(loaded))
        except So2camError as error:
            self._report.say(error_words(error), "bad")
            return
        self._series = {one.key: one for one in found}
        kept = self._view.query.get("lamp")
        chosen = kept if kept in self._series else None
        self._pick.set_options({key: one.title for key, one in self._series.items()}, value=chosen)
        if not found:
            self._report.say("No lamp spectra are in the archive yet.")

    # --- choosing ----------------------------------------------------------------------------------------------------

    def _upload(self, label: str, test: str, *, dark: bool) -> None:
        async def given(event: events.UploadEventArguments) -> None:
            await self._give(event, dark=dark)

        made = ui.upload(label=label, multiple=True, auto_upload=True, max_file_size=MOST_BYTES, on_upload=given)
        put_props(made.props("flat bordered").classes("so-upload"), {"data-testid": test})

    def _may(self) -> bool:
        """Return whether this visitor still may, which is said where they may not."""
        may = self._view.may(EDITS_FROM)
        if not may:
            self._report.say(f"This needs the role {EDITS_FROM.word}.", "bad")
        return may

    async def _give(self, event: events.UploadEventArguments, *, dark: bool) -> None:
        if not self._may():
            return
        data, name = await event.file.read(), event.file.name
        try:
            await self._view.in_thread(lambda: self._lamps.give(name, data, dark=dark))
        except So2camError as error:
            self._report.say(error_words(error), "bad")
            return
        await self.begin()
        if self._pick.value == "given":
            await self._find()
        elif "given" in self._series:
            self._pick.set_value("given")

    async def _forget(self) -> None:
        if not self._may():
            return
        try:
            await self._view.in_thread(self._lamps.forget_given)
        except So2camError as error:
            self._report.say(error_words(error), "bad")
        self._result.set_visibility(False)
        await self.begin()

    async def _picked(self) -> None:
        self._near = None
        self._view.keep(lamp=None if self._pick.value is None else str(self._pick.value))
        await self._find()

    async def _line_picked(self) -> None:
        value = str(self._line.value or _BEST)
        near = None if value == _BEST else float(value)
        if near != self._near:
            self._near = near
            await self._find()

    async def _clicked(self, x: float) -> None:
        if self._found is None:
            return
        nearest = min(self._found.lines, key=lambda line: abs(line.found_nm - x), default=None)
        if nearest is not None and abs(nearest.found_nm - x) <= _NEAR_NM:
            self._line.set_value(f"{nearest.vacuum_nm:.3f}")

    # --- finding -----------------------------------------------------------------------------------------------------

    async def _find(self) -> None:
        series = self._series.get(str(self._pick.value))
        if series is None:
            self._result.set_visibility(False)
            return
        self._report.say("Fitting …")
        state, near = self._setup.state, self._near
        loaded, self._seen = state.loaded, {key: state.value(key) for key in KEYS}
        try:
            found = await self._view.in_thread(lambda: self._lamps.find(loaded, series, near))
        except So2camError as error:
            self._report.say(error_words(error), "bad")
            return
        self._report.say("")
        self._show(found)

    def _show(self, found: FoundLamp) -> None:
        self._found = found
        record = found.record
        self._result.set_visibility(True)
        options = {_BEST: _BEST} | {
            f"{line.vacuum_nm:.3f}": f"{line.vacuum_nm:.2f} nm{' (no shape)' if line.why else ''}"
            for line in found.lines
        }
        self._line.set_options(options, value=_BEST if self._near is None else f"{self._near:.3f}")
        nm = [round(float(value), 3) for value in record.spectrum_nm]
        series = [plot.line("lamp", nm, plain_values(record.spectrum_counts), colour="data-1") | {"legend": False}]
        above = 0.04 * max((line.top for line in found.lines), default=0.0)
        for used, name, colour in ((True, "used", "data-2"), (False, "other lines", "quiet")):
            lines = [line for line in found.lines if line.used is used]
            x, y = [line.found_nm for line in lines], [line.top + above for line in lines]
            series.append(plot.points(name, x, y, colour=colour, symbol="triangle", size=0.6))
        places = [line.found_nm for line in found.lines]
        low, high = min(places, default=nm[0]), max(places, default=nm[-1])
        self._over.plot.set(
            series,
            x={"name": "wavelength, nm", "min": round(low - 5), "max": round(high + 5)},
            y={"name": "counts, less the dark", "compact": True},
        )
        offsets = [round(float(value), 4) for value in record.offsets_nm]
        curve = [round(float(value), 4) for value in record.curve_offsets_nm]
        self._shape.set(
            [
                plot.line("super-Gaussian", curve, plain_values(record.curve), colour="data-2"),
                plot.points("measured", offsets, plain_values(record.response), colour="data-1", size=0.35),
            ],
            x={"name": "offset from the line, nm"},
            y={"name": "response, 1/nm"},
        )
        rows = "".join(f"<tr><th scope=row>{escape(a)}</th><td>{escape(b)}</td></tr>" for a, b in found.rows)
        self._rows.set_content(f'<table class="so-numbers is-wide"><tbody>{rows}</tbody></table>')

    # --- taking ------------------------------------------------------------------------------------------------------

    async def _take_fit(self) -> None:
        if self._found is not None:
            await self._change(super_gaussian_keys(self._found))

    async def _take_table(self) -> None:
        found, loaded = self._found, self._setup.loaded
        if found is None or not self._may():
            return
        try:
            changes = await self._view.in_thread(lambda: self._lamps.write_table(loaded, found))
        except So2camError as error:
            self._report.say(error_words(error), "bad")
            return
        await self._change(changes)

    async def _change(self, changes: Mapping[KeyPath, Any]) -> None:
        if self._found is None:
            return
        words = f"line shape from the line at {self._found.record.vacuum_nm:.1f} nm"
        seen = {key: value for key, value in self._seen.items() if key in changes}
        if await self._setup.change(changes, words, seen=seen):
            state = self._setup.state
            self._seen = {key: state.value(key) for key in KEYS}
            self._report.say("Taken into the draft", "ok")
