"""Set-up of the registration: found by one click or by control points, and looked at by turns, mixed or subtracted."""

from datetime import datetime
from functools import partial
from html import escape
from typing import Any, Final

from nicegui import ui

from so2cam.core.errors import So2camError
from so2cam.core.records import FramePair
from so2cam.core.times import format_utc
from so2cam.formats.siteedit import REMOVE, KeyPath
from so2cam.station.registration_view import (
    FoundLook,
    Matrix,
    find_in_archive,
    found_key,
    matrix_of,
    matrix_words,
    overlay_messages,
    raw_message,
    read_bands,
)
from so2cam.web.control_points import POINTS, SOURCE, ControlPoints
from so2cam.web.latest import Latest
from so2cam.web.overlay import MODES, Overlay
from so2cam.web.parts import Chip, Choice, empty, number, one_of, panel, sentence, time_text
from so2cam.web.seen import Seen
from so2cam.web.setup import Setup, setup_page
from so2cam.web.shell import asset_url
from so2cam.web.tables import Column, chip_html, table_html
from so2cam.web.view import View

MATRIX: Final[KeyPath] = ("registration", "matrix")
WHICH: Final = (("draft", "Draft"), ("found", "Found"), ("points", "Points"), ("none", "None"))
_KEYS: Final[tuple[KeyPath, ...]] = tuple(
    ("registration", key) for key in ("source", "model", "maximum_shift_px", "uncertainty_px")
)
_SHOWN_PAIRS: Final = 12
_KEEP_S: Final = 3600.0
_SOURCES: Final = {"matrix": "as given", "control-points": "through control points", "automatic": "found in every run"}


@setup_page(
    "/setup/registration",
    title="Registration",
    order=20,
    hint="How the off band lies on the on band",
    about=(
        "The two cameras never look in quite the same direction: the registration lays the off band onto the on band, "
        "and an error of a pixel shows as false SO2 at every edge. One click finds it in frames of the archive, or "
        "it follows from points that you click in both bands. Look at it by turns: nothing but the plume may move."
    ),
    docs="web-geometry",
)
def registration(view: View, setup: Setup) -> None:
    """Draw the page."""
    ui.add_head_html(f'<link rel="stylesheet" href="{asset_url("geometry.css")}">')
    page = RegistrationPage(view, setup)
    ui.timer(0.05, page.load, once=True)  # what takes a while comes after the page
    setup.on_change(page.changed)


class RegistrationPage:
    """One look at the page."""

    def __init__(self, view: View, setup: Setup) -> None:
        self._view, self._setup = view, setup
        shelf = view.pages.shelf
        self._raw = shelf.slot(view), shelf.slot(view)
        self._laid = shelf.slot(view), shelf.slot(view)
        self._pairs: tuple[FramePair, ...] = ()
        self._found: FoundLook | None = None
        self._latest = Latest(self._lay_over)
        self._seen = Seen(setup)
        self._ready = False
        self._which = one_of(WHICH, view.query.get("which", ""))
        self._mode = one_of(MODES, view.query.get("look", ""))
        with ui.element("div").classes("so-geo"):
            with (
                ui.element("div")
                .classes("so-registration-side")
                .style("display: grid; gap: 0.9rem; align-content: start")
            ):
                self._draw_now()
                self._draw_find()
            self._draw_look()
        self._points = ControlPoints(view, setup, changed=self._points_changed)
        self._had = self._points.written()

    # --- what is drawn once ------------------------------------------------------------------------------------------

    def _draw_now(self) -> None:
        box, head = panel("Registration", test="registration-panel")
        with head:
            self._chip = Chip(test="registration-source")
        with box:
            self._facts = ui.label("").props("data-testid=registration-words")
            self._setup.fields(_KEYS)

    def _draw_find(self) -> None:
        box, head = panel("Find it", test="find-panel", hint="from terrain and skyline in frames of the archive")
        with head:
            self._find = ui.button("Find registration", on_click=self._do_find).props(
                "unelevated no-caps data-testid=find"
            )
        with box:
            self._trouble = ui.label("").classes("so-error").props("data-testid=find-error role=alert")
            self._trouble.set_visibility(False)
            self._quality = ui.html(_NOTHING, sanitize=False).props("data-testid=found")
            with ui.element("div").classes("so-row") as self._take:
                ui.button("Use it", on_click=self._do_use).props("unelevated no-caps data-testid=found-use")
                ui.button("Find it anew in every run", on_click=self._do_automatic).props(
                    "flat no-caps data-testid=found-automatic"
                )
            self._take.set_visibility(False)
            with ui.expansion("Pair by pair").props("dense data-testid=found-pairs") as self._more:
                self._table = ui.html("", sanitize=False)
            self._more.set_visibility(False)

    def _draw_look(self) -> None:
        box, head = panel("Laid over each other", test="look-panel")
        with head:
            self._which_choice = Choice(WHICH, self._which, self._choose_which, label="Registration", test="which")
        with box:
            self._overlay = Overlay(
                self._laid[0].src,
                self._laid[1].src,
                mode=self._mode,
                label="on band and off band laid over each other",
                test="overlay",
            )
            self._overlay.classes("so-overlay")
            self._missing = empty("", test="registration-missing")
            self._missing.set_visibility(False)
            self._why = ui.label("").classes("so-note").props("data-testid=overlay-note role=status")
            with ui.element("div").classes("so-row"):
                Choice(MODES, self._mode, self._choose_mode, label="How they are laid over each other", test="look")
                with ui.element("div").classes("so-slide") as self._speed:
                    ui.label("fast")
                    ui.slider(min=0.2, max=2.0, step=0.1, value=0.6, on_change=self._set_seconds).props(
                        'aria-label="Seconds each" data-testid=blink-seconds'
                    )
                    ui.label("slow")
                with ui.element("div").classes("so-slide") as self._share:
                    ui.label("on")
                    ui.slider(min=0.0, max=1.0, step=0.05, value=0.5, on_change=self._set_share).props(
                        'aria-label="Share of the off band" data-testid=mix-share'
                    )
                    ui.label("off")
            self._pick = ui.select({}, label="Pair", on_change=self._picked).props(
                "dense outlined stack-label data-testid=pair"
            )
            self._pick.classes("so-input so-wide-field")
        self._show_sliders()

    # --- what is worked out ------------------------------------------------------------------------------------------

    async def load(self) -> None:
        """Look for pairs, take what was found before, and show everything."""
        frames, loaded = self._view.pages.setup_frames[self._view.site.name], self._setup.loaded
        try:
            pairs = await self._view.in_thread(lambda: frames.pairs(loaded))
        except So2camError as failed:
            pairs = ()
            self._say_missing(failed.message)
        self._pairs = _spread(pairs)
        if self._pairs:
            options = {format_utc(pair.time): time_text(pair.time) for pair in self._pairs}
            wanted = self._view.query.get("pair", "")
            self._pick.set_options(options, value=wanted if wanted in options else list(options)[-1])
        else:
            self._pick.set_visibility(False)
            self._say_missing("The archive has no pair of frames yet: take frames in, or type the matrix.")
        self._ready = True
        await self.changed()
        await self._load_raw()
        if self._view.query.get("found") == "1" and self._pairs:
            await self._do_find()

    async def changed(self) -> None:
        """Somebody changed the draft."""
        self._seen.drawn()
        self._points.follow(self._had)
        self._had = self._points.written()
        registration = self._setup.site.registration
        self._chip.set(_SOURCES[registration.source], "ok")
        try:
            self._facts.set_text(matrix_text(matrix_of(registration, self._found), self._shape))
        except So2camError as unknown:
            self._facts.set_text(f"{unknown.message[:1].upper()}{unknown.message[1:]}.")
        await self._latest.ask()

    @property
    def _shape(self) -> tuple[int, int]:
        optics = self._setup.site.camera.optics
        return optics.height_px, optics.width_px

    @property
    def _pair(self) -> FramePair | None:
        chosen = str(self._pick.value or "")
        return next((pair for pair in self._pairs if format_utc(pair.time) == chosen), None)

    async def _load_raw(self) -> None:
        pair, loaded = self._pair, self._setup.loaded
        if pair is None:
            return
        frames = self._view.pages.setup_frames[self._view.site.name]
        for slot, info in zip(self._raw, (pair.on, pair.off), strict=True):
            try:
                message = await self._view.in_thread(partial(raw_message, frames, loaded, info))
            except So2camError as failed:
                if pair == self._pair:
                    slot.clear(failed.message)
                    self._say_missing(failed.message)
                continue
            if pair != self._pair:  # another one was chosen meanwhile
                return
            slot.put(message)
        self._points.show_images((self._raw[0].src, self._raw[1].src))

    async def _lay_over(self) -> None:
        pair, loaded, view = self._pair, self._setup.loaded, self._view
        if pair is None:
            return
        frames = view.pages.setup_frames[view.site.name]
        try:
            matrix = self._chosen_matrix()
            self._why.set_text("")
        except So2camError as unknown:
            matrix = None
            self._why.set_text(f"{sentence(unknown)} The bands are shown as they are.")

        def work() -> tuple[bytes, bytes]:
            return overlay_messages(read_bands(frames, view.site, loaded, pair), matrix, pair.time)

        try:
            messages = await view.in_thread(work)
        except So2camError as failed:
            self._say_missing(failed.message)
            return
        if self._overlay.is_deleted:
            return
        for slot, message in zip(self._laid, messages, strict=True):
            slot.put(message)
        self._overlay.load()

    def _chosen_matrix(self) -> Matrix | None:
        if self._which == "none":
            return None
        if self._which == "found" and self._found is not None:
            return self._found.matrix
        if self._which == "points" and self._points.look.matrix is not None:
            return self._points.look.matrix
        return matrix_of(self._setup.site.registration, self._found)

    def _say_missing(self, why: str) -> None:
        self._missing.set_content(f"<p>{escape(why)}</p>")
        self._missing.set_visibility(bool(why))

    # --- finding it --------------------------------------------------------------------------------------------------

    async def _do_find(self) -> None:
        view, loaded = self._view, self._setup.loaded
        frames = view.pages.setup_frames[view.site.name]
        self._find.disable()
        self._find.props("loading")
        self._trouble.set_visibility(False)
        newest = self._pairs[-1].time if self._pairs else None
        try:
            of = await view.in_thread(lambda: found_key(frames, loaded, newest))
            self._found = await view.pages.values.get(
                (view.site.name, "registration", *of), _KEEP_S, lambda: find_in_archive(frames, view.site, loaded)
            )
        except So2camError as failed:
            self._found = None
            self._trouble.set_text(sentence(failed))
            self._trouble.set_visibility(True)
        finally:
            self._find.enable()
            self._find.props(remove="loading")
        view.keep(found="1" if self._found is not None else None)
        await self._show_found()

    async def _show_found(self) -> None:
        found = self._found
        self._take.set_visibility(found is not None and self._setup.may_edit)
        self._more.set_visibility(found is not None)
        self._quality.set_content(_NOTHING if found is None else quality_html(found))
        if found is None:
            return
        self._table.set_content(pairs_html(found))
        self._which = "found"
        self._which_choice.set("found")
        await self._latest.ask()

    async def _do_use(self) -> None:
        if self._found is None:
            return
        changes: dict[KeyPath, Any] = {
            SOURCE: "matrix",
            MATRIX: [list(row) for row in self._found.matrix],
            POINTS: REMOVE,
        }
        if await self._seen.change(changes, "took the registration that was found"):
            self._view.keep(found=None)

    async def _do_automatic(self) -> None:
        changes: dict[KeyPath, Any] = {SOURCE: "automatic", POINTS: REMOVE}
        await self._seen.change(changes, "have the registration found in every run")

    # --- what the person does ----------------------------------------------------------------------------------------

    async def _points_changed(self) -> None:
        if self._which != "points" and self._points.look.matrix is not None:
            self._which = "points"
            self._which_choice.set("points")
        await self._latest.ask()

    async def _choose_which(self, which: str) -> None:
        self._which = which
        self._view.keep(which=which)
        await self._latest.ask()

    def _choose_mode(self, mode: str) -> None:
        self._mode = mode
        self._view.keep(look=mode)
        self._overlay.set_mode(mode)
        self._show_sliders()

    def _show_sliders(self) -> None:
        self._speed.set_visibility(self._mode == "blink")
        self._share.set_visibility(self._mode == "mix")

    def _set_seconds(self, event: Any) -> None:
        self._overlay.set_seconds(float(event.value))

    def _set_share(self, event: Any) -> None:
        self._overlay.set_share(float(event.value))

    async def _picked(self) -> None:
        if not self._ready or not self._pairs:
            return
        self._view.keep(pair=str(self._pick.value or ""))
        await self._load_raw()
        await self._latest.ask()


_NOTHING: Final = (
    '<p class="so-quiet so-small">Terrain and skyline in up to seven pairs of the archive are compared. What is found '
    "is shown with its quality, and changes nothing until you use it.</p>"
)


def matrix_text(matrix: Matrix, shape: tuple[int, int]) -> str:
    """Say in words what a matrix does to an image of ``shape`` (rows, columns)."""
    words = matrix_words(matrix, shape)
    return (
        f"The off band is shifted by ({words.shift_x_px:.1f}, {words.shift_y_px:.1f}) px in the image's middle, turned "
        f"by {words.turn_deg:.2f}° and scaled by {words.scale:.4f}."
    ).replace("-", "−")


def quality_html(found: FoundLook) -> str:
    """Return what was found, and what it is worth."""
    words = found.words
    before = "" if found.correlation_given is None else f" <small>{number(found.correlation_given)} before</small>"
    facts = (
        ("Correlation", f"{number(found.correlation, 3)}{before}", "correlation"),
        ("Uncertainty", f"{found.uncertainty_px:.2f} px", "uncertainty"),
        ("Spread", f"{found.spread_px:.2f} px <small>from pair to pair</small>", "spread"),
        ("Drift", f"{found.drift_px:.2f} px <small>from the first pair to the last</small>", "drift"),
        ("From the draft's", f"{found.from_given_px:.2f} px", "from-given"),
        ("Shift", f"({words.shift_x_px:.1f}, {words.shift_y_px:.1f}) px".replace("-", "−"), "shift"),
        ("Turn, scale", f"{words.turn_deg:.2f}°, {words.scale:.4f}".replace("-", "−"), "turn"),
    )
    rows = "".join(f'<dt>{name}</dt><dd data-testid="found-{test}">{said}</dd>' for name, said, test in facts)
    return f'<dl class="so-facts">{rows}</dl>'


def pairs_html(found: FoundLook) -> str:
    """Return what each pair says."""
    columns = [
        Column("Pair", "lead"),
        Column("State"),
        Column("Correlation", "num"),
        Column("Before", "num", "under the draft's registration"),
        Column("Uncertainty", "num"),
        Column("From it", "num", "r.m.s. distance from the registration that was found"),
    ]
    rows = [
        [
            _clock(pair.time),
            chip_html(pair.status, "ok" if pair.status == "ok" else "warn"),
            number(pair.correlation, 3),
            number(pair.correlation_given, 3),
            f"{pair.uncertainty_px:.2f} px",
            "–" if pair.off_px is None else f"{pair.off_px:.2f} px",
        ]
        for pair in found.pairs
    ]
    return table_html(columns, rows, test="found-table")


def _clock(time: datetime) -> str:
    return escape(time_text(time))


def _spread(pairs: tuple[FramePair, ...]) -> tuple[FramePair, ...]:
    """Return a few of the pairs, spread over all, the last one among them."""
    step = max(-(-len(pairs) // _SHOWN_PAIRS), 1)
    return pairs[::-1][::step][::-1]
