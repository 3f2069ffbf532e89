"""What stands below on the live page: the newest spectrum with its fit, the calibration, the state of everything."""

import math
from typing import Final

from nicegui import ui

from so2cam.core.errors import So2camError
from so2cam.core.health import HealthRecord, Level
from so2cam.station.alarms_store import Event
from so2cam.station.calibration_view import CalibrationView
from so2cam.station.live_look import LiveLook
from so2cam.station.live_spectrum import ShownSpectrum
from so2cam.web import plot
from so2cam.web.parts import Ago, Chip, State, empty, number, panel
from so2cam.web.plot import Plot
from so2cam.web.props import put_props
from so2cam.web.view import View

_LEVELS: Final[dict[Level, State]] = {Level.OK: "ok", Level.WARNING: "warn", Level.ALARM: "bad"}
_NODE_STALE_S: Final = 180.0


class SpectrumPanel:
    """The newest spectrum: measured and fitted, and what the fit leaves."""

    def __init__(self, view: View) -> None:
        self._view = view
        self._source = view.pages.spectra[view.site.name]
        box, head = panel("Spectrum", test="spectrum-panel", hint="the newest spectrum of the plume and its fit")
        box.props("data-ages")
        with head:
            self._ago = Ago(stale_s=300)
        with box:
            if self._source.expected:
                self._nothing = empty("No spectrum of the plume has come yet.", test="spectrum-empty")
            else:
                self._nothing = empty("This site has no spectrometer.", test="spectrum-empty")
            self._plot = Plot(label="spectrum with its fit", test="spectrum")
            self._residual = Plot(label="residual of the fit", test="spectrum-residual").classes("so-plot-low")
            self._why = ui.label("").classes("so-tile-why").props("data-testid=spectrum-why")
        self._set_shown(False)
        self._drawn: object = None

    async def show(self) -> None:
        """Show the newest."""
        if not self._source.expected:
            return
        try:
            found = await self._view.shared("spectrum", 1.5, self._source.newest)
        except So2camError as error:
            self._why.set_text(error.message)
            return
        self._set_shown(found is not None and found.fit is not None)
        if found is None:
            return
        self._ago.set(found.time)
        self._why.set_text(found.why)
        if found.fit is not None and found.time != self._drawn:
            self._drawn = found.time
            self._draw(found)

    def _draw(self, found: ShownSpectrum) -> None:
        fit = found.fit
        if fit is None:
            return
        x = [round(float(value), 3) for value in fit.wavelengths_nm]
        axis = {"name": "wavelength, nm"}
        measured, model = _values(fit.measured), _values(fit.model)
        self._plot.set(
            [
                plot.points("measured", x, measured, colour="data-1", size=0.28),
                plot.line("fit", x, model, colour="data-2"),
            ],
            x=axis,
            y={"name": "signal, DN", "compact": True},
        )
        residual = [None if value is None else 100 * value for value in _values(fit.residual)]
        self._residual.set([plot.line("residual", x, residual, colour="data-3")], x=axis, y={"name": "residual, %"})

    def _set_shown(self, shown: bool) -> None:
        self._plot.set_visibility(shown)
        self._residual.set_visibility(shown)
        self._nothing.set_visibility(not shown)


class CalibrationPanel:
    """Absorbance against column: gas cells, spectrometer, and the curve that is applied."""

    def __init__(self, view: View) -> None:
        box, head = panel("Calibration", test="calibration-panel", hint="column density against absorbance")
        with head:
            self._ago = Ago()
        with box:
            self._nothing = empty("No pair was calibrated since the station started.", test="calibration-empty")
            self._plot = Plot(label="calibration: column density against absorbance", test="calibration")
            self._words = ui.label("").classes("so-small so-quiet").props("data-testid=calibration-words")
            self._why = ui.label("").classes("so-tile-why").props("data-testid=calibration-why")
        self._plot.set_visibility(False)
        self._drawn: CalibrationView | None = None

    def show(self, found: CalibrationView | None) -> None:
        """Show it, where it is another one."""
        if found is None or found is self._drawn:
            return
        self._drawn = found
        self._nothing.set_visibility(False)
        self._plot.set_visibility(True)
        self._ago.set(found.time)
        x = [point[0] for point in found.curve]
        series = []
        if found.curve:
            low = [y - sigma for _, y, sigma in found.curve]
            high = [y + sigma for _, y, sigma in found.curve]
            series.append(plot.band("1 sigma", x, low, high, colour="data-1"))
            series.append(plot.line("curve", x, [y for _, y, _ in found.curve], colour="data-1"))
        if found.points:
            series.append(
                plot.points(
                    "spectrometer",
                    [point[0] for point in found.points],
                    [point[1] for point in found.points],
                    colour="data-2",
                    weight=[point[3] for point in found.points],
                    size=0.35,
                )
            )
        if found.cells:
            cells = plot.points(
                "gas cells", [c[0] for c in found.cells], [c[1] for c in found.cells], colour="data-3", symbol="diamond"
            )
            series.append(cells | {"size": 0.7})
        self._plot.set(series, x={"name": "absorbance", "min": 0}, y={"name": "SO2, ppm m", "min": 0})
        slope = "" if not math.isfinite(found.slope[0]) else f" · slope {number(found.slope[0], 4)} ppm m"
        error = "" if not found.slope[1] > 0 else f" ± {number(found.slope[1], 2)}"
        correlation = "" if found.correlation is None else f" · correlation {found.correlation:.3f}"
        self._words.set_text(f"by {found.source}{slope}{error}{correlation}")
        self._why.set_text("; ".join(found.flags))


class StatePanel:
    """How processing, nodes, services and alarms are, each in a line."""

    def __init__(self, view: View) -> None:
        self._view = view
        box, _ = panel("State", test="state-panel", hint="instrument, station and alarms at a glance")
        with box:
            self._list = ui.element("dl").classes("so-state")
        with self._list:
            self._live, self._live_more = self._row("Processing", "state-live")
            self._frame = self._row_ago("Newest frame", "state-frame", 60)
            self._nodes = ui.element("div").classes("so-state-nodes")
            self._services, self._services_more = self._row("Station", "state-station")
            self._alarms, self._alarms_more = self._row("Alarms", "state-alarms")
        self._node_rows: dict[str, tuple[Chip, ui.label, Ago]] = {}

    def _row(self, name: str, test: str) -> tuple[Chip, ui.label]:
        with ui.element("div").classes("so-state-row"):
            ui.label(name).classes("so-state-name")
            with ui.element("div").classes("so-row so-grow"):
                return Chip("–", test=test), ui.label("").classes("so-small so-quiet")

    def _row_ago(self, name: str, test: str, stale_s: float) -> Ago:
        with put_props(ui.element("div").classes("so-state-row").props("data-ages"), {"data-testid": test}):
            ui.label(name).classes("so-state-name")
            return Ago(stale_s=stale_s)

    async def show(self, look: LiveLook) -> None:
        """Show how it is now."""
        self._show_live(look)
        self._frame.set(look.frame)
        for record in look.nodes:
            self._show_node(record)
        failing = look.not_running
        if failing:
            self._services.set(f"{len(failing)} not running", "bad")
            self._services_more.set_text(
                "; ".join(f"{state.name}: {state.message or state.state}" for state in failing)
            )
        else:
            self._services.set("all services run", "ok")
            self._services_more.set_text("")
        try:
            events = await self._view.shared("events", 1.0, lambda: self._view.pages.open_events(self._view.site.name))
        except So2camError as error:
            self._alarms.set("unknown", "warn")
            self._alarms_more.set_text(error.message)
            return
        self._show_alarms(events)

    def _show_live(self, look: LiveLook) -> None:
        live = look.live
        if live is None:
            self._live.set("starting")
            return
        words: dict[str, tuple[str, State]] = {
            "live": ("live", "ok"),
            "replaying": ("catching up", "warn"),
            "waiting": ("waiting", "warn"),
        }
        text, state = words.get(live.state, (live.state, ""))
        self._live.set(text, state)
        late = f", {live.late} late" if live.late else ""
        left = f", {live.left_out} left out" if live.left_out else ""
        self._live_more.set_text(live.message or f"{live.pairs} pairs today{late}{left}")

    def _show_node(self, record: HealthRecord) -> None:
        row = self._node_rows.get(record.node)
        if row is None:
            with self._nodes, ui.element("div").classes("so-state-row").props("data-ages") as box:
                put_props(box, {"data-testid": f"state-node-{record.node}"})
                ui.label(f"Node {record.node}").classes("so-state-name")
                with ui.element("div").classes("so-state-what"):
                    chip, ago = Chip(), Ago(stale_s=_NODE_STALE_S)
                    row = chip, ui.label("").classes("so-small so-quiet so-state-more"), ago
            self._node_rows[record.node] = row
        chip, more, ago = row
        chip.set(record.activity if record.level is Level.OK else record.level.value, _LEVELS[record.level])
        more.set_text(record.summary)
        ago.set(record.time)

    def _show_alarms(self, events: list[Event]) -> None:
        if not events:
            self._alarms.set("none", "ok")
            self._alarms_more.set_text("")
            return
        unseen = sum(event.acknowledged is None for event in events)
        text = f"{len(events)} now" + (f", {unseen} not acknowledged" if unseen else "")
        self._alarms.set(text, "bad" if unseen else "warn")
        self._alarms_more.set_text(events[0].text)


def _values(array: object) -> list[float | None]:
    return [
        float(f"{value:.5g}") if math.isfinite(value) else None
        for value in array.tolist()  # type: ignore[attr-defined]
    ]
