"""Set-up of the plume's motion: methods and their settings, with what they make of a real pair and of some minutes."""

from datetime import datetime
from html import escape
from typing import Any, Final

from nicegui import ui

from so2cam.core.errors import So2camError
from so2cam.core.site import SPEED_METHODS
from so2cam.formats.siteedit import KeyPath
from so2cam.station.line_view import Speed
from so2cam.station.motion_view import Histogram, LineMotionLook, MotionLook, look_at_motion
from so2cam.web.lag_panel import LagPanel
from so2cam.web.latest import Latest
from so2cam.web.line_shapes import colours_of, shapes_of
from so2cam.web.parts import MISSING, Choice, panel, with_uncertainty
from so2cam.web.plot import Plot, band, line
from so2cam.web.seen import Seen
from so2cam.web.setup import Setup, setup_page
from so2cam.web.setup_image import NO_PAIRS, PairBar, Preview, put_image, use_styles
from so2cam.web.view import View
from so2cam.web.viewer import Viewer, ViewerEvent

BASE: Final[KeyPath] = ("processing", "speed")
METHOD_WORDS: Final = {
    "flow_raw": "optical flow at the line",
    "flow_histogram": "main motion near the line",
    "flow_hybrid": "flow, with the main motion where it fails",
    "cross_correlation": "lag between two lines",
    "nadeau": "shift of profiles along the plume",
    "wind": "the given wind",
}
_FLOW: Final = ("algorithm", "window_px", "levels", "iterations", "maximum_gap_s")
_LIMITS: Final = ("maximum_relative_uncertainty", "acceptable_uncertainty_m_s")
_LAG: Final = ("window_s", "maximum_lag_s", "minimum_samples", "minimum_correlation")
_PROFILE: Final = ("axis_deg", "length_px", "width_px", "maximum_shift_px", "mean_of")
_WIND: Final = ("speed_m_s", "speed_uncertainty_m_s", "direction_from_deg", "direction_uncertainty_deg", "file")


@setup_page(
    "/setup/motion",
    title="Motion",
    order=50,
    hint="How plume speed is found, and what it gives",
    about=(
        "Speed makes an emission rate of a column amount: choose the methods and their settings. Arrows show how the "
        "plume moves from this pair to the next, and the table what every method makes of it, as processing would. "
        "Cross-correlation needs some minutes: it is worked out when it is asked for."
    ),
    docs="web-image-setup",
)
def motion(view: View, setup: Setup) -> None:
    """Draw the page."""
    use_styles()
    page = MotionPage(view, setup)
    ui.timer(0.05, page.changed, once=True)  # what takes a while comes after the page
    setup.on_change(page.changed)


class MotionPage:
    """One look at the page."""

    def __init__(self, view: View, setup: Setup) -> None:
        self._view, self._setup = view, setup
        self._slot = view.pages.shelf.slot(view)
        self._latest = Latest(self._work)
        self._seen = Seen(setup)
        self._shows: datetime | None = None  # the time of the pair whose image is shown
        self._look: MotionLook | None = None
        self._chosen = view.query.get("line", "")
        with ui.element("div").classes("so-setup-image"):
            with ui.element("div").classes("so-side"):
                self._draw_image()
                self._draw_histograms()
            with ui.element("div").classes("so-side"):
                self._draw_speeds()
                self._draw_settings()
        LagPanel(view, setup, self._bar)

    # --- the parts ---------------------------------------------------------------------------------------------------

    def _draw_image(self) -> None:
        box, head = panel("Motion to the next pair", test="motion-image")
        with head:
            self._preview = Preview()
        with box:
            self._viewer = Viewer(
                colours="viridis",
                readonly=True,
                label="absorbance of a pair of the archive with arrows of its motion",
                on_shape_selected=self._selected,
            )
            self._viewer.props("data-testid=viewer").classes("so-viewer is-fixed")
            self._preview.trouble.move(box)
            self._scale = ui.label("").classes("so-quiet so-small").props("data-testid=arrow-scale")
            self._bar = PairBar(self._view, self._setup, self.changed)

    def _draw_speeds(self) -> None:
        box, _ = panel("Speed of this pair", test="motion-speeds")
        with box:
            self._speeds = ui.element("div").classes("so-table-scroll").props("data-testid=speeds")

    def _draw_settings(self) -> None:
        box, _ = panel("Methods and settings", test="motion-settings")
        with box:
            self._methods = ui.select(
                {name: name.replace("_", " ") for name in SPEED_METHODS},
                value=list(self._setup.site.processing.speed.methods),
                multiple=True,
                label="methods, in the order of the products",
                on_change=lambda event: self._set_methods(list(event.value or [])),
            )
            self._methods.props("dense outlined stack-label use-chips data-testid=methods").classes("so-input is-wide")
            if not self._setup.may_edit:
                self._methods.disable()
            self._group("Optical flow", [(*BASE, "optical_flow", key) for key in (*_FLOW, *_LIMITS)])
            self._group("Cross-correlation", [(*BASE, "cross_correlation", key) for key in _LAG])
            self._group("Shift of profiles (nadeau)", [(*BASE, "nadeau", key) for key in _PROFILE])
            self._group("Wind", [("wind", key) for key in _WIND], is_open=self._setup.site.wind is not None)

    def _group(self, title: str, paths: list[KeyPath], *, is_open: bool = True) -> None:
        with ui.expansion(title, value=is_open).props(f'dense data-testid="group-{paths[0][-2]}"').classes("w-full"):
            self._setup.fields(paths)

    def _draw_histograms(self) -> None:
        box, head = panel("Histograms near a line", test="motion-histograms")
        with head:
            self._lines = ui.element("div")
        with box:
            self._main = ui.label("").classes("so-quiet").props("data-testid=main-motion")
            with ui.element("div").classes("so-pair-plots"):
                self._direction = Plot(label="histogram of directions", test="plot-direction")
                self._speed = Plot(label="histogram of speeds", test="plot-speed")

    # --- what is worked out ------------------------------------------------------------------------------------------

    async def changed(self) -> None:
        """Somebody changed the draft, or another pair was chosen."""
        self._seen.drawn()
        methods = list(self._setup.site.processing.speed.methods)
        if methods != self._methods.value:
            self._methods.value = methods
        self._show_lines()
        self._preview.working()
        await self._latest.ask()

    async def _work(self) -> None:
        try:
            await self._bar.load()
            if self._bar.chosen is None:
                self._nothing(NO_PAIRS)
                return
            bar, loaded = self._bar, self._setup.loaded
            look = await self._view.in_thread(lambda: look_at_motion(bar.source, loaded, bar.pairs, bar.index))
        except So2camError as failed:
            self._nothing(failed)
            return
        self._look = look
        self._preview.done(look.time, look.why)
        self._viewer.vectors = list(look.arrows)
        self._shows = look.time
        put_image(self._viewer, self._slot, look.message, "there is no absorbance image of this pair")
        seconds = "" if look.interval_s is None else f"{look.interval_s:.1f} s to the next pair"
        times = f" · arrows {look.times} × as long as the motion" if look.arrows else ""
        self._scale.set_text(f"{seconds}{times}")
        self._show_speeds(look)
        self._show_histograms()

    def _nothing(self, why: So2camError | str) -> None:
        self._look = None
        self._preview.failed(why)
        self._viewer.vectors = []
        self._speeds.clear()
        pair = self._bar.chosen
        if pair is None or pair.time != self._shows:  # that of another pair would be taken for that of this one
            put_image(self._viewer, self._slot, None, "there is no image of this pair" if pair else NO_PAIRS)

    def _show_lines(self) -> None:
        lines = self._setup.site.lines
        names = [one.name for one in lines]
        if self._chosen not in names:
            self._chosen = names[0]
        shapes = shapes_of(lines, locked=True)
        if shapes != self._viewer.shapes:
            self._viewer.shapes = shapes
            self._lines.clear()
            if len(names) > 1:
                with self._lines:
                    Choice([(name, name) for name in names], self._chosen, self._choose, label="Line", test="line")

    def _show_speeds(self, look: MotionLook) -> None:
        used = self._setup.site.processing.speed.methods
        rows = [
            f'<tr data-testid="speed-{escape(name)}-{speed.method}"><td>{escape(name)}</td>'
            f"{_cells(speed, used=speed.method in used)}</tr>"
            for name, found in look.lines.items()
            for speed in found.speeds
        ]
        head = "<tr><th>line</th><th>method</th><th>speed, m/s</th><th>direction</th><th>rate, kg/s</th></tr>"
        self._speeds.clear()
        with self._speeds:
            ui.html(f'<table class="so-speeds"><thead>{head}</thead>{"".join(rows)}</table>', sanitize=False)
            ui.label(
                "Pale: not among the methods of the draft. The shift of profiles knows one earlier profile here; in a "
                "run it subtracts the mean of many."
            ).classes("so-quiet so-small")

    def _show_histograms(self) -> None:
        found = None if self._look is None else self._look.lines.get(self._chosen)
        self._main.set_text("" if found is None else found.words)
        colour = colours_of([one.name for one in self._setup.site.lines]).get(self._chosen, "data-1")
        _draw(self._direction, found, "direction", "direction in the image, degrees (0 up, 90 right)", colour)
        _draw(self._speed, found, "speed", "speed, m/s", colour)

    # --- what the person does ----------------------------------------------------------------------------------------

    def _choose(self, name: str) -> None:
        self._chosen = name
        self._view.keep(line=name)
        self._show_histograms()

    def _selected(self, event: ViewerEvent) -> None:
        name = (event.id or "").removeprefix("line:")
        if self._look is not None and name in self._look.lines:
            self._choose(name)

    async def _set_methods(self, methods: list[str]) -> None:
        path = (*BASE, "methods")
        before = list(self._setup.site.processing.speed.methods)
        if methods == before or not self._setup.may_edit:
            return
        if not methods:
            ui.notify("One method at least is needed.", type="negative")
            self._methods.value = before
            return
        await self._seen.change({path: methods}, "chose the methods of motion")


def _cells(speed: Speed, *, used: bool) -> str:
    pale, word = "" if used else " class=so-quiet", speed.method.replace("_", " ")
    method = f'<td{pale} title="{METHOD_WORDS[speed.method]}">{word}</td>'
    if speed.speed is None:
        return f'{method}<td colspan="3" class="so-why">{escape(speed.why)}</td>'
    value, sigma = with_uncertainty(speed.speed, speed.sigma)
    rate, rate_sigma = with_uncertainty(speed.rate, speed.rate_sigma)
    direction = MISSING if speed.direction_deg is None else f"{speed.direction_deg:.0f}°"
    return (
        f'{method}<td data-unit="m/s">{value} ± {sigma}</td><td>{direction}</td>'
        f'<td data-unit="kg/s">{rate} ± {rate_sigma}</td>'
    )


def _draw(plot: Plot, found: LineMotionLook | None, what: str, name: str, colour: str) -> None:
    histogram: Histogram | None = None if found is None else getattr(found, what)
    if histogram is None:
        plot.set([])
        return
    x: list[float] = []
    y: list[float | None] = []
    for left, right, share in zip(histogram.edges[:-1], histogram.edges[1:], histogram.share, strict=True):
        x += [left, right]
        y += [100 * share, 100 * share]
    series: list[dict[str, Any]] = [
        band("plume", x, [0.0] * len(x), y, colour=colour),
        line("plume", x, y, colour=colour),
    ]
    if histogram.fit_at:
        fit = [100 * value for value in histogram.fit]
        series.append(line("fitted peak", histogram.fit_at, fit, colour="data-2", dashed=True))
    plot.set(
        series, x={"name": name, "min": histogram.edges[0], "max": histogram.edges[-1]}, y={"name": "% of the plume"}
    )
