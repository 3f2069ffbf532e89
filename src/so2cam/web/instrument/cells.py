"""The wizard for a calibration with gas cells: hold, take cell after cell, look at each, and keep or leave it out."""

from functools import partial
from html import escape

from nicegui import ui

from so2cam.core.errors import InputError, So2camError
from so2cam.link.errors import LinkRefusedError
from so2cam.link.messages import Cells
from so2cam.station import cell_run
from so2cam.station.cell_run import CellRun, CellRuns, CellTake
from so2cam.station.node_items import cell_frames, sequences_of
from so2cam.station.nodes import NodeLook
from so2cam.web.instrument.desk import Desk
from so2cam.web.instrument.pictures import picture_url
from so2cam.web.instrument.words import exposure, percent, state_of, time_html
from so2cam.web.parts import Chip, Report, empty, field, panel
from so2cam.web.props import put_props

_HINT = "ppm m: the cell's SO2 in parts per million, times its length in metres; it stands on the cell"


async def draw_cells(desk: Desk) -> None:
    """Draw the wizard at the step where the calibration is."""
    if desk.look.health is not None and not desk.devices("camera"):
        empty("Gas cells are held before cameras; this node has none.", title="No camera here", test="no-cameras")
        return
    wizard = _Wizard(desk)
    await wizard.draw()


class _Wizard:
    """The wizard at one browser; the calibration itself is kept by the station."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._runs = CellRuns(desk.view.site)
        self._box = ui.element("div").classes("so-tab")
        self._run: CellRun | None = None
        self._held: bool | None = None
        self._said = ""

    async def draw(self) -> None:
        """Draw the present step, and again whenever somebody changes it."""
        await self._again()
        self._desk.view.on_change(f"{self._desk.topic}/cells", self._again, every_s=0.3)
        self._desk.watch(self._update)

    async def _again(self) -> None:
        try:
            self._run = await self._desk.view.in_thread(lambda: self._runs.load(self._desk.node))
        except So2camError as problem:
            self._box.clear()
            with self._box:
                empty(str(problem), title="The calibration cannot be read", test="cells-broken")
            return
        if self._box.is_deleted:
            return
        self._held = None
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
        self._desk.view.changed(f"{self._desk.topic}/cells")

    def _update(self, look: NodeLook) -> None:
        """Say when the cameras are not as the step wants them: after a restart, or held by somebody else."""
        cameras = self._desk.devices("camera")
        if not cameras or look.error is not None or self._box.is_deleted:
            return
        held = all(camera.state.value == "cells" for camera in cameras)
        words = "; ".join(
            f"{camera.name}: {state_of(camera)[0]}, {exposure(camera.exposure_s)}, "
            f"light {percent(camera.signal_fraction)}, saturated {percent(camera.saturated_fraction)}"
            for camera in cameras
        )
        self._words.set_text(words)
        going = self._run is not None and self._run.state == "going"
        self._again_row.set_visibility(going != held)
        if going:
            self._again_words.set_text(
                "The cameras are not held any more: the instrument was started anew, or somebody ended it. "
                "Exposures may be others now: look at the doubts of the next cell."
            )
        else:
            self._again_words.set_text("The cameras are held for a calibration that was not begun here.")

    # --- steps ---------------------------------------------------------------------------------------------------

    def _draw_begin(self) -> None:
        box, _ = panel("Calibration with gas cells", test="cells", hint=_HINT)
        with box:
            ui.html(
                "<ol class='so-steps'><li>Aim at clear sky without plume, and clean the cells.</li>"
                "<li>Begin: capture pauses and both cameras are held at their present exposure.</li>"
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
                if not many.isdigit() or not 1 <= int(many) <= cell_run.MOST_FRAMES:
                    raise InputError(f"frames of each cell: 1 to {cell_run.MOST_FRAMES}", value=many)
                said = self._desk.say(Cells(action="begin"))
                self._runs.save(cell_run.begin(self._desk.node, self._desk.view.visitor.principal.name, int(many)))
                self._said = said
                return said

            with row:
                self._desk.button("Begin", begin, test="cells-begin", report=report, after=self._told)
            self._held_row("Let them go", lambda: self._desk.say(Cells(action="end")), "cells-let-go", report)

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
                f'<p class="so-quiet so-small">Begun by {escape(run.by)} at {time_html(run.began)} UTC. It goes on '
                "when this page is closed or loaded anew.</p>",
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
                    lambda: self._take(what.value, str(ppm.value or "")),
                    test="cells-take",
                    report=report,
                    after=self._told,
                )
                self._desk.button(
                    "Finish",
                    lambda: self._end("ended"),
                    test="cells-finish",
                    report=report,
                    quiet=True,
                    confirm="Are all cells out of the light? Capture goes on then.",
                    after=self._told,
                )
                self._desk.button(
                    "Give up",
                    lambda: self._end("cancelled"),
                    test="cells-cancel",
                    report=report,
                    quiet=True,
                    confirm="Give this calibration up? None of its frames is used, and capture goes on.",
                    danger=True,
                    after=self._told,
                )
            self._held_row("Hold again", lambda: self._desk.say(Cells(action="begin")), "cells-hold", report)

    def _report(self) -> Report:
        """Return the line that says what happened; what was said last stays when a step is drawn anew."""
        report = Report(test="cells-report")
        if self._said:
            report.say(self._said, "ok")
        return report

    def _state_words(self) -> None:
        self._words = ui.label("").classes("so-small").props("data-testid=cells-state")

    def _held_row(self, label: str, work: object, test: str, report: Report) -> None:
        self._again_row = put_props(ui.element("div").classes("so-row so-notice"), {"data-testid": f"{test}-row"})
        with self._again_row:
            self._again_words = ui.label("").classes("so-grow")
            self._desk.button(label, work, test=test, report=report, quiet=True)  # type: ignore[arg-type]
        self._again_row.set_visibility(False)

    # --- what is done --------------------------------------------------------------------------------------------

    def _take(self, what: str, text: str) -> str:
        desk, run = self._desk, self._runs.load(self._desk.node)
        if run is None or run.state != "going":
            raise LinkRefusedError("the calibration is over", remedy="begin a new one")
        ppm_m = None if what == "clear" else 0.0 if what == "empty" else _column(text)
        action = "clear" if ppm_m is None else "take"
        result = desk.command(Cells.model_validate({"action": action, "ppm_m": ppm_m, "count": run.count}))
        numbers = [
            (outcome.device, sequence)
            for outcome in result.outcomes
            for sequence in sequences_of(outcome.values.get("sequences"))
        ]
        if not numbers:
            raise LinkRefusedError("no frame was kept", remedy="see the state of the cameras, and take it again")
        frames = cell_frames(desk.view.pages.nodes, desk.node, numbers)
        now = self._runs.load(desk.node)
        run = self._runs.save(cell_run.taken(now if now is not None and now.state == "going" else run, ppm_m, frames))
        take = run.takes[-1]
        self._said = f"{take.words}: {len(take.frames)} frames kept" + (
            f"; look twice: {'; '.join(take.doubts)}" if take.doubts else ""
        )
        return self._said

    def _end(self, state: str) -> str:
        run = self._runs.load(self._desk.node)
        if run is None or run.state != "going":
            raise LinkRefusedError("the calibration is over already")
        said = self._desk.say(Cells(action="end"))
        self._runs.save(cell_run.over(run, "ended" if state == "ended" else "cancelled"))
        self._said = said
        return said

    def _use(self, number: int, used: bool) -> str:
        run = self._runs.load(self._desk.node)
        if run is None:
            raise LinkRefusedError("the calibration is gone")
        self._runs.save(cell_run.with_use(run, number, used))
        return f"step {number} is {'used' if used else 'left out'}"

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
                    source = picture_url(self._desk.node, device, mine[-1].sequence)
                    image = ui.element("img").props("loading=lazy")
                    put_props(image, {"src": source, "alt": f"{take.words}, {device}"})
                    ui.html(
                        f"<figcaption>{escape(device)}: {len(mine)} frames, {exposure(mine[-1].exposure_s)}, "
                        f"middle {percent(mine[-1].middle, 3)}</figcaption>",
                        sanitize=False,
                    )
            with ui.element("div").classes("so-take-words"):
                ui.label(f"{take.number}. {take.words}").classes("so-strong")
                names = ", ".join(str(frame.sequence) for frame in take.frames)
                ui.label(f"items {names}").classes("so-quiet so-small")
                for doubt in take.doubts:
                    ui.label(doubt).classes("so-doubt")
                if not take.used:
                    ui.label("left out: no run uses it").classes("so-quiet")
                if run.state != "cancelled":
                    self._desk.button(
                        "Use it" if not take.used else "Leave it out",
                        partial(self._use, take.number, not take.used),
                        test=f"take-{take.number}-use",
                        report=report,
                        quiet=True,
                        after=self._told,
                    )


def _column(text: str) -> float:
    try:
        value = float(text.strip().replace(",", "."))
    except ValueError:
        raise InputError(
            "the column of the cell is missing", value=text or None, remedy="type the number on the cell, in ppm m"
        ) from None
    if not 0 < value < 1e7:
        raise InputError("this is no cell's column", value=value, remedy="type the number on the cell, in ppm m")
    return value
