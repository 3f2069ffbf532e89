"""The guided first installation: from an empty site file to the first emission rate, step by step."""

from collections.abc import Callable
from html import escape
from typing import Any, Final

from nicegui import ui

from so2cam.core.errors import InputError, So2camError
from so2cam.formats.siteedit import REMOVE, KeyPath
from so2cam.formats.starter import PLACEHOLDER_LINE
from so2cam.link.messages import Command, Darks, DeviceChange, DeviceValues, Set, Shot, Start
from so2cam.station.guide import Facts, Step, first_open, gather, steps
from so2cam.station.together import members, tell_all
from so2cam.web.guide_spectrometer import SpectrometerStep
from so2cam.web.instrument.cells import cell_desk, column
from so2cam.web.instrument.desk import CELLS, teller
from so2cam.web.instrument.link import draw_pairing
from so2cam.web.line_shapes import drawn_line, shapes_of
from so2cam.web.live_routes import live_src
from so2cam.web.parts import Chip, Report, State, action, field, pick
from so2cam.web.seen import Seen
from so2cam.web.setup import GUIDE, Setup, setup_page
from so2cam.web.shell import asset_url
from so2cam.web.view import View
from so2cam.web.viewer import Viewer, ViewerEvent

_CHIPS: Final[dict[str, tuple[str, State]]] = {"done": ("done", "ok"), "todo": ("to do", ""), "warn": ("look", "warn")}
_CLEAR_FRAMES: Final = 5
_CELL_FRAMES: Final = 5
_SIDES: Final = {"left": "left", "right": "right", "up": "up", "down": "down"}
_VENT: Final = tuple(("volcano", "vent", key) for key in ("latitude", "longitude", "altitude_m"))
_CAMERA: Final = tuple(("camera", "position", key) for key in ("latitude", "longitude", "altitude_m"))
_OPTICS: Final[tuple[KeyPath, ...]] = (
    ("camera", "view", "azimuth_deg"),
    ("camera", "view", "elevation_deg"),
    ("camera", "view", "roll_deg"),
    ("camera", "optics", "width_px"),
    ("camera", "optics", "height_px"),
    ("camera", "optics", "pixel_pitch_um"),
    ("camera", "optics", "field_of_view_deg"),
    ("camera", "optics", "focal_length_mm"),
    ("camera", "sensor", "bits"),
)


@setup_page(
    GUIDE,
    title="Guide",
    order=-10,
    hint="The first installation, step by step",
    about=(
        "This page leads through a first installation, from an empty site file to the first emission rate. Every step "
        "looks at what is really there, so you may leave, load it anew or go on from another computer. What you change "
        "goes into the draft, and holds when it is saved."
    ),
    docs="guide",
)
async def guide(view: View, setup: Setup) -> None:
    """Draw the steps as they stand."""
    ui.add_head_html(f'<link rel="stylesheet" href="{asset_url("guide.css")}">')
    await _Guide(view, setup).draw()


class _Guide:
    """The guide at one browser."""

    def __init__(self, view: View, setup: Setup) -> None:
        self._view, self._setup = view, setup
        self._heads: dict[str, tuple[Chip, ui.label, ui.expansion]] = {}
        self._bodies: dict[str, Callable[[], None]] = {
            "volcano": self._volcano,
            "instrument": self._instrument,
            "clock": self._clock,
            "frames": self._frames,
            "exposure": self._exposure,
            "registration": self._registration,
            "geometry": self._geometry,
            "spectrometer": self._spectrometer,
            "calibration": self._calibration,
            "lines": self._lines,
            "save": self._save,
            "schedule": self._schedule,
            "start": self._start,
            "rate": self._rate,
            "leave": self._leave,
        }

    async def draw(self) -> None:
        """Draw all steps, the first that is to do open."""
        found = await self._look()
        wanted = self._view.query.get("step") or (first_open(found) if found else "volcano")
        with ui.element("ol").classes("so-guide").props("data-testid=guide"):
            for number, step in enumerate(found, 1):
                self._draw_step(number, step, step.key == wanted)
        self._update(found)
        self._view.every(2.0, self._refresh, immediate=False)
        self._setup.on_change(self._refresh)

    async def _look(self) -> tuple[Step, ...]:
        view, draft = self._view, self._setup.draft
        facts: Facts = await view.shared(
            "guide",
            1.0,
            lambda: gather(view.context, view.site, draft.state(), len(draft.versions()), view.pages.nodes),
        )
        return steps(facts)

    async def _refresh(self) -> None:
        try:
            self._update(await self._look())
        except So2camError:
            return  # the next look tells

    def _update(self, found: tuple[Step, ...]) -> None:
        for step in found:
            chip, words, box = self._heads[step.key]
            chip.set(*_CHIPS[step.state])
            words.set_text(step.words)
            box.props(f"data-state={step.state}")

    def _draw_step(self, number: int, step: Step, open_: bool) -> None:
        with ui.element("li"), ui.expansion(value=open_).classes("so-guide-step") as box:
            box.props(f"data-testid=step-{step.key} header-class=so-guide-head")
            with box.add_slot("header"), ui.element("div").classes("so-guide-row"):
                ui.html(f"<b>{number}</b>", sanitize=False).classes("so-guide-number")
                with ui.element("div").classes("so-grow so-guide-said"):
                    ui.label(step.title).classes("so-guide-title")
                    words = ui.label(step.words).classes("so-quiet so-small")
                    words.props(f"data-testid=step-{step.key}-words")
                chip = Chip(test=f"step-{step.key}-state")
            with ui.element("div").classes("so-guide-body"):
                self._bodies[step.key]()
        box.on_value_change(lambda event, key=step.key: self._view.keep(step=key) if event.value else None)
        self._heads[step.key] = chip, words, box

    # --- what steps are made of --------------------------------------------------------------------------------------

    def _say(self, text: str) -> None:
        """Say something; what stands between backticks is code."""
        marked = "".join(
            f"<code>{escape(part)}</code>" if number % 2 else escape(part)
            for number, part in enumerate(text.split("`"))
        )
        ui.html(f"<p>{marked}</p>", sanitize=False)

    def _link(self, path: str, words: str, **query: str) -> None:
        ui.link(words, self._view.link(path, **query)).classes("so-guide-link")

    def _nodes(self, *types: str) -> tuple[str, ...]:
        """Return the nodes of the instrument with devices of these types. Raises InputError where none is paired."""
        found = members(self._view.pages.nodes, self._view.site, *types)
        if not any(info.paired for info in found):
            raise InputError("no instrument is paired", remedy="pair with it first: step 2")
        return tuple(info.name for info in found)

    def _command(self, label: str, command: Command, *, test: str, report: Report) -> None:
        """Draw a button that has the whole instrument carry out a command."""

        def do() -> str:
            names = self._nodes("camera", "spectrometer")
            return tell_all(dict.fromkeys(names, command), teller(self._view)).require().words

        action(self._view, label, do, test=test, report=report)

    def _cells(self, label: str, work: Callable[[], str], *, test: str, report: Report) -> None:
        """Draw a button for a step of the calibration with gas cells: the one that the Instrument page shows too."""
        action(self._view, label, work, test=test, report=report, after=lambda: self._view.changed(CELLS))

    # --- the steps ---------------------------------------------------------------------------------------------------

    def _volcano(self) -> None:
        self._say("The vent is where the gas comes out: its distance goes twice into every emission rate.")
        self._setup.fields([("volcano", "name"), *_VENT])

    def _instrument(self) -> None:
        name = self._view.site.name
        self._say(
            f"Set up the instrument's computers with `so2cam instrument install`; its site file is called `{name}` "
            "too. Then let this station and the instrument trust each other with a code that works once."
        )
        draw_pairing(self._view, None, then=lambda: self._view.client.open(self._view.link(GUIDE, step="instrument")))
        self._link("/instrument", "All of the instrument")

    def _clock(self) -> None:
        self._say("A clock that is wrong by seconds pairs the wrong frames, and one that is never set loses the day.")
        self._link("/instrument", "Clock, power and devices", tab="system")

    def _frames(self) -> None:
        self._say("Take test frames, aim at the plume with sky on both sides, and focus on the skyline.")
        report = Report(test="guide-test-report")
        with ui.element("div").classes("so-row"):
            self._command("Take a test frame", Shot(kind="test"), test="guide-test", report=report)
            self._link("/align", "Aim and focus")

    def _exposure(self) -> None:
        self._say("The sky beside the plume should reach half to three quarters of full scale, and never saturate.")
        report = Report(test="guide-exposure-report")
        change = DeviceChange(values=DeviceValues(automatic=True))
        with ui.element("div").classes("so-row"):
            self._command("Automatic exposure", Set(changes=(change,)), test="guide-automatic", report=report)
            self._link("/instrument", "Exposure, gain and rate of each device", tab="settings")

    def _registration(self) -> None:
        self._say("The two cameras never see quite the same: find how the off band lies on the on band.")
        self._link("/setup/registration", "Find the registration")

    def _geometry(self) -> None:
        self._say("Where the camera stands and looks. A known peak in the image finds the direction best.")
        self._setup.fields(_CAMERA)
        self._setup.fields(_OPTICS)
        self._link("/setup/geometry", "Map, landmark, size of a pixel at the plume")

    def _spectrometer(self) -> None:
        self._say(
            "A spectrometer beside the cameras can calibrate their images, with gas cells or in place of them. Say "
            "whether there is one: its columns need its line shape, from a mercury lamp, and its true wavelengths."
        )
        SpectrometerStep(self._view, self._setup)

    def _calibration(self) -> None:
        self._say(
            "Cover the lenses for darks. Clear sky beside the plume shows what each pixel sees without SO2. Gas cells "
            "or the spectrometer turn absorbance into a column density."
        )
        report = Report(test="guide-reference-report")
        with ui.element("div").classes("so-row"):
            self._command("Take darks", Darks(), test="guide-darks", report=report)
            self._command(
                "Take clear sky",
                Start(kind="clear", count=_CLEAR_FRAMES),
                test="guide-clear",
                report=report,
            )
        cells = Report(test="guide-cell-report")
        with ui.element("div").classes("so-row"):
            label = field(
                "Gas cell", example="ppm m; 0 for the empty one", test="guide-cell-ppm", props="inputmode=decimal"
            )

            desk, who = cell_desk(self._view), self._view.visitor.principal.name

            def hold() -> str:
                return desk.begin(self._nodes("camera"), who, _CELL_FRAMES)

            def take() -> str:
                return desk.take(column(str(label.value or "")))

            self._cells("Hold for cells", hold, test="guide-cells-begin", report=cells)
            self._cells("Take this cell", take, test="guide-cells-take", report=cells)
            self._cells("End", lambda: desk.end("ended"), test="guide-cells-end", report=cells)
        self._setup.fields([("processing", "calibration", "source")])
        with ui.element("div").classes("so-row"):
            self._link("/instrument", "Cells with a look at each frame", tab="cells")
            self._link("/setup/calibration", "All of the calibration")

    def _lines(self) -> None:
        self._say("Draw a line across the plume, both ends in clear sky; say to which side the plume crosses it.")
        shapes = self._shapes()
        may, seen = self._setup.may_edit, Seen(self._setup)
        with ui.element("div").classes("so-row"):
            side = pick("The plume crosses towards", _SIDES, "left", test="guide-side")

        async def drawn(event: ViewerEvent) -> None:
            if event.shape is None:
                return
            try:
                table = drawn_line(self._setup.site, event.shape, side=str(side.value))
            except So2camError as refused:
                ui.notify(f"This line cannot lie there: {refused.message}", type="negative", multi_line=True)
                redraw()
                return
            if table["normal"] != side.value:
                ui.notify(f"Drawn like this, the plume crosses it towards {table['normal']}.")
            name = table["name"]
            changes: dict[KeyPath, Any] = {("lines", name): table}
            if any(line.name == PLACEHOLDER_LINE for line in self._setup.site.lines):
                changes["lines", PLACEHOLDER_LINE] = REMOVE
            await seen.change(changes, f"drew {name}")
            redraw()

        viewer = Viewer(
            live_src(self._view.site, "image/on"),
            shapes=shapes,
            readonly=not may,
            tool="line" if may else "pan",
            rate=1.0,
            label="newest frame of the on band",
            hint="Drag from one side of the plume to the other.",
            on_shape_created=drawn,
        )
        viewer.classes("so-guide-viewer").props("data-testid=guide-lines")

        def redraw() -> None:
            seen.drawn()
            viewer.shapes = self._shapes()

        self._setup.on_change(redraw)
        self._setup.fields([("processing", "background", "mode")])
        with ui.element("div").classes("so-row"):
            self._link("/setup/lines", "Polylines, arcs, directions, roles")
            self._link("/setup/background", "Background with a preview")

    def _shapes(self) -> list[dict[str, Any]]:
        shapes = shapes_of(self._setup.site.lines, locked=True)
        return [{**shape, "dashed": shape["dashed"] or shape["name"] == PLACEHOLDER_LINE} for shape in shapes]

    def _save(self) -> None:
        self._say(
            "Check says what is wrong or risky; Save, above, writes the site file as a new version with a note. From "
            "then on the station works with it."
        )
        self._link("/setup", "Every key of the site file, versions, comparison")

    def _schedule(self) -> None:
        self._say("Light, darks at night, and power: without a schedule the instrument captures day and night.")
        self._link("/instrument", "Edit the schedule", tab="schedule")

    def _start(self) -> None:
        report = Report(test="guide-start-report")
        self._command("Start capture", Start(kind="plume"), test="guide-start", report=report)

    def _rate(self) -> None:
        self._say("The first pair with darks, clear sky, a calibration and a line gives an emission rate.")
        self._link("/", "See it live")

    def _leave(self) -> None:
        self._say("Look once more at the health page, close the case, and take this with you: the station watches.")
        with ui.element("div").classes("so-row"):
            self._link("/health", "Health")
            self._link("/alarms", "Alarms, and who is told")
