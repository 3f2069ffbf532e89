"""Cross-correlation of two lines over the window of a pair: worked out when it is asked for."""

from typing import Any

from nicegui import ui

from so2cam.core.errors import So2camError
from so2cam.station.motion_view import LagLook, look_at_lag
from so2cam.web.line_shapes import colours_of
from so2cam.web.parts import Report, number, panel, with_uncertainty
from so2cam.web.plot import Plot, line, points
from so2cam.web.setup import Setup
from so2cam.web.setup_image import PairBar
from so2cam.web.view import View


class LagPanel:
    """The panel."""

    def __init__(self, view: View, setup: Setup, bar: PairBar) -> None:
        self._view, self._setup, self._bar = view, setup, bar
        self._progress = (0, 0)
        self._busy = False
        box, head = panel("Cross-correlation over the window of this pair", test="motion-lag")
        with head:
            self._button = ui.button("Correlate", on_click=self._do_correlate)
            self._button.props("unelevated no-caps data-testid=correlate")
        with box:
            self._lag_report = Report(test="lag-report")
            with ui.element("div").classes("so-pair-plots") as plots:
                self._series = Plot(label="column amounts of both lines over time", test="plot-series")
                self._curve = Plot(label="correlation by lag", test="plot-correlation")
            self._lag_plots = plots
            plots.set_visibility(False)

    async def _do_correlate(self) -> None:
        pair, loaded = self._bar.chosen, self._setup.loaded
        if pair is None or self._busy:
            return
        self._busy = True
        self._button.props("loading")

        def progress(done: int, of: int) -> None:
            self._progress = (done, of)

        def tell() -> None:
            done, of = self._progress
            if of:
                self._lag_report.say(f"{done} of {of} pairs …")

        timer = ui.timer(0.5, tell)
        try:
            look = await self._view.in_thread(lambda: look_at_lag(self._bar.source, loaded, pair.time, progress))
        except So2camError as failed:
            self._lag_report.say(failed.message, "bad")
        else:
            timer.cancel()
            self._show_lag(look)
        finally:
            timer.cancel()
            self._progress = (0, 0)
            self._busy = False
            self._button.props(remove="loading")

    def _show_lag(self, look: LagLook) -> None:
        self._lag_report.say(*_lag_words(look))
        self._lag_plots.set_visibility(bool(look.times))
        times = [1000 * time.timestamp() for time in look.times]
        colours = colours_of([one.name for one in self._setup.site.lines])
        self._series.set(
            [
                line(name, times, values, colour=colours.get(name, "data-1"))
                for name, values in zip(look.lines, (look.first, look.second), strict=True)
            ],
            x={"time": True},
            y={"name": "column amount, kg/m"},
        )
        series = [line("correlation", look.lags_s, look.correlation)]
        if look.lag_s is not None and look.peak is not None:
            series.append(points("lag", [look.lag_s], [look.peak], colour="data-2", size=0.7))
        self._curve.set(series, x={"name": "lag, s"}, y={"name": "correlation"})


def _lag_words(look: LagLook) -> tuple[str, Any]:
    if look.why or look.lag_s is None:
        peak = "" if look.peak is None else f" (highest correlation {number(look.peak)})"
        return f"{look.why}{peak}", "bad"
    lag, lag_sigma = with_uncertainty(look.lag_s, look.lag_sigma_s)
    speed, sigma = with_uncertainty(look.speed, look.speed_sigma)
    first, second = look.lines
    words = f"{second} follows {first} by {lag} ± {lag_sigma} s: {speed} ± {sigma} m/s"
    return f"{words}, correlation {number(look.peak)}, {len(look.times)} pairs", "ok"
