"""The wizard for a calibration with gas cells: hold, take cell after cell, look at each, and keep or leave it out.

There is one calibration for the whole instrument, whichever nodes its cameras are at: all pages show the same.
"""

from collections.abc import Callable
from functools import partial
from html import escape

from nicegui import ui

from so2cam.core.errors import InputError, So2camError
from so2cam.station.cell_desk import CellDesk
from so2cam.station.cell_run import MOST_FRAMES, CellRun, CellRuns, CellTake
from so2cam.station.nodes import NodeLook
from so2cam.station.together import members
from so2cam.web.instrument.desk import CELLS, Desk, teller
from so2cam.web.instrument.pictures import picture_url
from so2cam.web.instrument.words import exposure, percent, state_of, time_html
from so2cam.web.parts import Chip, Report, State, empty, field, panel, sentence
from so2cam.web.props import put_props
from so2cam.web.typed import read_number
from so2cam.web.view import View

_HINT = "ppm m: the cell's SO2 in parts per million, times its length in metres; it stands on the cell"


async def draw_cells(desk: Desk) -> None:
    """Draw the wizard at the step where the calibration is."""
    known = [desk.looks[name].health for name in desk.nodes if name in desk.looks]
    if len(known) == len(desk.nodes) and None not in known and not desk.devices("camera"):
        empty("Gas cells are held before cameras; this node has none.", title="No camera here", test="no-cameras")
        return
    wizard = _Wizard(desk)
    await wizard.draw()


def cell_desk(view: View) -> CellDesk:
    """Return what does the steps of a calibration for a visitor."""
    return CellDesk(CellRuns(view.site), view.pages.nodes, teller(view))


def column(text: str) -> float:
    """Return what is typed as the column of a cell [ppm m]; 0 is the empty holder. Raises InputError."""
    try:
        value = read_number(text)
    except InputError as wrong:
        remedy = "type the number on the cell, in ppm m"
        raise InputError(f"the column of the cell {wrong.message}", value=text or None, remedy=remedy) from None
    if not 0 <= value < 1e7:
        raise InputError("this is no cell's column", value=value, remedy="type the number on the cell, in ppm m")
    return value


class _Wizard:
    """The wizard at one browser; the calibration itself is kept by the station."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._cells = cell_desk(desk.view)
        self._box = ui.element("div").classes("so-tab")
        self._run: CellRun | None = None
        self._said: tuple[str, State] = ("", "")

    async def draw(self) -> None:
        """Draw the present step, and again whenever somebody changes it."""
        await self._again()
        self._desk.view.on_change(CELLS, self._again, every_s=0.3)
        self._desk.watch(self._update)

    async def _again(self) -> None:
        try:
            self._run = await self._desk.view.in_thread(self._cells.runs.load)
        except So2camError as problem:
            self._box.clear()
            with self._box:
                empty(str(problem), title="The calibration cannot be read", test="cells-broken")
            return
        if self._box.is_deleted:
            return
        self._box.clear()
        with self._box:
            going = self._run is not None and self._run.state == "going"
            if going:
                self._draw_going()
            else:
                self._draw_begin()
            if self._run is not None and (self._run.takes or not going):
                self._draw_takes(self._run)

    def _told(self) -> None:
        self._desk.view.changed(CELLS)

    def _do(self, work: Callable[[], str]) -> Callable[[], str]:
        """Return ``work`` so that what it came to, good or bad, still stands when the step is drawn anew."""

        def do() -> str:
            try:
                said = work()
            except So2camError as problem:
                self._said = (sentence(problem), "bad")
                raise
            self._said = (said, "ok")
            return said

        return do

    def _update(self, _: NodeLook) -> None:
        """Say when the cameras are not as the step wants them: after a restart, or held by somebody else."""
        run, looks = self._run, self._desk.looks
        going = run is not None and run.state == "going"
        cameras = [
            camera
            for camera in self._desk.devices("camera")
            if looks[self._desk.node_of(camera.name)].error is None
            and (run is None or not going or self._desk.node_of(camera.name) in run.nodes)
        ]
        if not cameras or self._box.is_deleted:
            return
        held = [camera for camera in cameras if camera.state.value == "cells"]
        words = "; ".join(
            f"{camera.name}: {state_of(camera)[0]}, {exposure(camera.exposure_s)}, "
            f"light {percent(camera.signal_fraction)}, saturated {percent(camera.saturated_fraction)}"
            for camera in cameras
        )
        self._words.set_text(words)
        self._again_row.set_visibility(len(held) < len(cameras) if going else bool(held))
        if going:
            gone = ", ".join(camera.name for camera in cameras if camera not in held)
            self._again_words.set_text(
                f"Not held any more: {gone}. The instrument was started anew, or somebody ended it. "
                "Exposures may be others now: look at the doubts of the next cell."
            )
        else:
            names = ", ".join(camera.name for camera in held)
            self._again_words.set_text(f"Held, with no calibration going on here: {names}.")

    # --- steps ---------------------------------------------------------------------------------------------------

    def _draw_begin(self) -> None:
        box, _ = panel("Calibration with gas cells", test="cells", hint=_HINT)
        with box:
            ui.html(
                "<ol class='so-steps'><li>Aim at clear sky without plume, and clean the cells.</li>"
                "<li>Begin: capture pauses and all cameras are held at their present exposure, or none is.</li>"
                "<li>Take the clear sky, then each cell, then the sky again.</li>"
                "<li>Look at each: what is wrong can be left out. At the end capture goes on by itself.</li></ol>",
                sanitize=False,
            )
            self._state_words()
            count = field("Frames of each cell", value="5", test="cells-count", props="inputmode=numeric")
            row = ui.element("div").classes("so-row")
            report = self._report()

            def begin() -> str:
                many = str(count.value or "").strip()
                if not many.isdigit():
                    raise InputError(f"frames of each cell: 1 to {MOST_FRAMES}", value=many)
                return self._cells.begin(self._nodes(), self._desk.view.visitor.principal.name, int(many))

            with row:
                self._desk.button("Begin", self._do(begin), test="cells-begin", report=report, after=self._told)
            self._held_row("Let them go", lambda: self._cells.let_go(self._held()), "cells-let-go", report)

    def _draw_going(self) -> None:
        run = self._run
        if run is None:
            return
        number = len(run.takes) + 1
        box, head = panel(f"Step {number}: the next cell", test="cells", hint=_HINT)
        with head:
            Chip("calibration going on", "warn", test="cells-going")
        with box:
            ui.html(
                f'<p class="so-quiet so-small">Begun by {escape(run.by)} at {time_html(run.began)} UTC, '
                f"{escape(' and '.join(run.nodes))}. It goes on when this page is closed or loaded anew.</p>",
                sanitize=False,
            )
            self._state_words()
            what = ui.radio(
                {"clear": "clear sky, no holder", "empty": "empty holder (0 ppm m)", "cell": "gas cell"},
                value="clear" if not run.takes else "cell",
            ).props("inline data-testid=cells-what")
            ppm = field("Column of the cell", test="cells-ppm", props='suffix="ppm m" inputmode=decimal').tooltip(_HINT)
            ppm.bind_visibility_from(what, "value", value="cell")
            ui.label(
                "Hold it before all cameras so that it fills their view, and keep still while frames are taken."
            ).classes("so-quiet so-small").bind_visibility_from(what, "value", value="cell")
            row = ui.element("div").classes("so-row")
            report = self._report()
            with row:
                self._desk.button(
                    f"Take {run.count} frames",
                    self._do(lambda: self._take(what.value, str(ppm.value or ""))),
                    test="cells-take",
                    report=report,
                    after=self._told,
                )
                self._desk.button(
                    "Finish",
                    self._do(lambda: self._cells.end("ended")),
                    test="cells-finish",
                    report=report,
                    quiet=True,
                    confirm="Are all cells out of the light? Capture goes on then.",
                    after=self._told,
                )
                self._desk.button(
                    "Give up",
                    self._do(lambda: self._cells.end("cancelled")),
                    test="cells-cancel",
                    report=report,
                    quiet=True,
                    confirm="Give this calibration up? None of its frames is used, and capture goes on.",
                    danger=True,
                    after=self._told,
                )
            again = partial(self._cells.begin, run.nodes, run.by, run.count)
            self._held_row("Hold again", again, "cells-hold", report)

    def _report(self) -> Report:
        """Return the line that says what happened; what was said last stays when a step is drawn anew."""
        report = Report(test="cells-report")
        report.say(*self._said)
        return report

    def _state_words(self) -> None:
        self._words = ui.label("").classes("so-small").props("data-testid=cells-state")

    def _held_row(self, label: str, work: Callable[[], str], test: str, report: Report) -> None:
        self._again_row = put_props(ui.element("div").classes("so-row so-notice"), {"data-testid": f"{test}-row"})
        with self._again_row:
            self._again_words = ui.label("").classes("so-grow")
            self._desk.button(label, self._do(work), test=test, report=report, quiet=True)
        self._again_row.set_visibility(False)

    # --- what is done --------------------------------------------------------------------------------------------

    def _nodes(self) -> tuple[str, ...]:
        """Return the nodes of this page that have cameras, or may have some."""
        view = self._desk.view
        found = members(view.pages.nodes, view.site, "camera")
        return tuple(info.name for info in found if info.name in self._desk.nodes)

    def _held(self) -> tuple[str, ...]:
        """Return the nodes of this page whose cameras are held."""
        held = [one.name for one in self._desk.devices("camera") if one.state.value == "cells"]
        return tuple(dict.fromkeys(self._desk.node_of(name) for name in held))

    def _take(self, what: str, text: str) -> str:
        return self._cells.take(None if what == "clear" else 0.0 if what == "empty" else column(text))

    # --- what was taken ------------------------------------------------------------------------------------------

    def _draw_takes(self, run: CellRun) -> None:
        title = {
            "going": "Taken so far",
            "ended": "The last calibration",
            "cancelled": "The last calibration, given up",
        }
        box, head = panel(title[run.state], test="cells-takes")
        with head:
            used = len({take.ppm_m for take in run.used if take.ppm_m})
            Chip(
                "not used" if run.state == "cancelled" else f"{used} cell{'' if used == 1 else 's'} used",
                "" if run.state == "cancelled" else "ok" if used >= 2 else "warn",
                test="cells-used",
            ).set(
                "not used" if run.state == "cancelled" else f"{used} cell{'' if used == 1 else 's'} used",
                "" if run.state == "cancelled" else "ok" if used >= 2 else "warn",
                title="two cells or more make a line; one makes only its slope",
            )
        with box:
            if not run.takes:
                ui.label("Nothing was taken.").classes("so-quiet")
            report = Report(test="cells-use-report")
            for take in run.takes:
                self._draw_take(run, take, report)
            if run.ended is not None:
                ui.html(
                    f'<p class="so-quiet so-small">By {escape(run.by)}, {run.began:%Y-%m-%d} {time_html(run.began)} to '
                    f"{time_html(run.ended)} UTC.</p>",
                    sanitize=False,
                )

    def _draw_take(self, run: CellRun, take: CellTake, report: Report) -> None:
        unused = "" if take.used and run.state != "cancelled" else " is-unused"
        with ui.element("div").classes(f"so-take{unused}").props(f"data-testid=take-{take.number}"):
            for device in dict.fromkeys(frame.device for frame in take.frames):
                mine = [frame for frame in take.frames if frame.device == device]
                with ui.element("figure"):
                    source = picture_url(mine[-1].node, device, mine[-1].sequence)
                    image = ui.element("img").props("loading=lazy")
                    put_props(image, {"src": source, "alt": f"{take.words}, {device}"})
                    ui.html(
                        f"<figcaption>{escape(device)}: {len(mine)} frames, {exposure(mine[-1].exposure_s)}, "
                        f"middle {percent(mine[-1].middle, 3)}</figcaption>",
                        sanitize=False,
                    )
            with ui.element("div").classes("so-take-words"):
                ui.label(f"{take.number}. {take.words}").classes("so-strong")
                numbers: dict[str, list[str]] = {}
                for frame in take.frames:
                    numbers.setdefault(frame.node, []).append(str(frame.sequence))
                names = "; ".join(f"{node}: items {', '.join(mine)}" for node, mine in numbers.items())
                ui.label(names).classes("so-quiet so-small")
                for doubt in take.doubts:
                    ui.label(doubt).classes("so-doubt")
                if not take.used:
                    ui.label("left out: no run uses it").classes("so-quiet")
                if run.state != "cancelled":
                    self._desk.button(
                        "Use it" if not take.used else "Leave it out",
                        partial(self._cells.use, take.number, not take.used),
                        test=f"take-{take.number}-use",
                        report=report,
                        quiet=True,
                        after=self._told,
                    )
