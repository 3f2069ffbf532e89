"""Set-up of the spectrometer's field of view in the image: found, looked at, or set by hand."""

import math
from typing import Any, Final

from nicegui import ui

from so2cam.core.errors import So2camError
from so2cam.formats.siteedit import REMOVE, KeyPath
from so2cam.station.calibration_study import CalibrationStudy, block_map
from so2cam.station.live_day import processing_hash
from so2cam.web import parts
from so2cam.web.latest import Latest
from so2cam.web.parts import Choice, number, panel, sentence, time_text
from so2cam.web.seen import Seen
from so2cam.web.setup import Setup, setup_page
from so2cam.web.setup_image import use_styles
from so2cam.web.setup_range import RangeBar
from so2cam.web.view import View
from so2cam.web.viewer import Viewer, ViewerEvent

_VIEW: Final = ("processing", "calibration", "spectrometer", "field_of_view")
_USED: Final = "used"
_CENTRE: Final = "centre"
_PLACE: Final = {"source": None, "x": "x of the centre, px", "y": "y of the centre, px"}
_KEYS: Final[tuple[KeyPath, ...]] = tuple(
    (*_VIEW, name)
    for name in (
        *("radius_px", "position_uncertainty_px"),
        *("reduction", "interval_s", "images", "minimum_images", "minimum_correlation"),
    )
)


@setup_page(
    "/setup/field-of-view",
    title="Field of view",
    order=70,
    hint="Where in the image the spectrometer looks",
    about=(
        "The spectrometer looks at a small disc of the image. It is searched where absorbance follows the columns "
        "best; the map shows how well it does, everywhere. Take what was found, or drag the circle to where it is."
    ),
    docs="web-calibration",
)
def field_of_view(view: View, setup: Setup) -> None:
    """Draw the page."""
    use_styles()
    made = _ViewPage(view, setup)
    ui.timer(0.1, made.show, once=True)


class _ViewPage:
    def __init__(self, view: View, setup: Setup) -> None:
        self._view, self._setup = view, setup
        self._slot = view.pages.shelf.slot(view)
        self._latest = Latest(self._work, lambda: (processing_hash(setup.loaded.site), self._range.bounds, self._map))
        self._study: CalibrationStudy | None = None
        self._seen = Seen(setup)
        self._map = "weights" if view.query.get("map") == "weights" else "correlation"
        with ui.element("div").classes("so-setup-image"):
            self._draw_map()
            box, _ = panel("Settings", test="view-keys")
            with box, ui.element("div").classes("so-keys"):
                for name, words in _PLACE.items():
                    setup.field((*_VIEW, name), words)
                for path in _KEYS:
                    setup.field(path)
        setup.on_change(self.show)

    def _draw_map(self) -> None:
        view, setup = self._view, self._setup
        box, head = panel("Map", test="view-panel")
        with head:
            Choice(
                [("correlation", "Correlation"), ("weights", "Inversion")],
                self._map,
                self._choose,
                label="what the map shows",
                test="view-map",
            )
        with box:
            self._range = RangeBar(view, self.show)
            self._words = ui.label("").classes("so-quiet").props("data-testid=view-words role=status")
            self._problem = parts.error("", test="view-problem")
            self._viewer = Viewer(
                None,  # until there is an image
                colours="viridis",
                label="map of the spectrometer's field of view",
                readonly=not setup.may_edit,
                on_shape_changed=self._dragged,
            )
            self._viewer.props("data-testid=view-viewer").classes("so-viewer is-fixed")
            with ui.element("div").classes("so-row"):
                self._use = ui.button("Use what was found", on_click=self._use_found)
                self._use.props("unelevated no-caps data-testid=view-use-found")
                self._fix = ui.button("Set by hand", on_click=self._by_hand)
                self._fix.props("flat no-caps data-testid=view-by-hand")
                self._search = ui.button("Search again", on_click=self._search_again)
                self._search.props("flat no-caps data-testid=view-search")

    async def _choose(self, what: str) -> None:
        self._map = what
        self._view.keep(map=what)
        await self.show()

    async def show(self) -> None:
        """Show the map and the place for the draft as it is; nothing where they are shown already."""
        await self._range.look()
        await self._latest.ask()

    async def _work(self) -> None:
        state, bounds = self._setup.state, self._range.bounds
        loaded = state.loaded
        if bounds is None:
            self._fail(self._range.why)
            return
        if not loaded.site.processing.calibration.by_spectrometer:
            self._fail("The spectrometer takes no part: set the calibration's source to spectrometer or joint.")
            return
        self._words.set_text("Reading images and spectra …")
        studies = self._view.pages.study(self._view.site.name)
        try:
            study = await self._view.in_thread(lambda: studies.study(loaded, *bounds))
            found = None
            if self._map == "weights":
                found = await self._view.in_thread(lambda: studies.weights_map(loaded, *bounds))
        except So2camError as error:
            self._fail(sentence(error))
            return
        self._seen.drawn(state)
        self._draw(study, found)

    def _fail(self, text: str) -> None:
        self._words.set_text("")
        self._problem.set_text(text)
        self._problem.set_visibility(True)
        self._viewer.set_visibility(False)
        for button in (self._use, self._fix, self._search):
            button.disable()

    def _draw(self, study: CalibrationStudy, inverted: Any) -> None:
        self._study = study
        self._problem.set_text(study.problem)
        self._problem.set_visibility(bool(study.problem))
        view = study.view
        image, label = view.correlation_map, "correlation with the columns"
        words = _words(study)
        if inverted is not None:
            image, label = inverted[0], "weight of the inversion"
            words += f" · inversion: {inverted[3]}"
        if image is None:  # the circle can be dragged all the same
            label = "no map: too few images with columns beside them"
        self._slot.put(block_map(image, view.block_px, label, self._setup.site))
        self._viewer.src = self._slot.src
        self._viewer.set_visibility(True)
        self._words.set_text(words)
        self._viewer.contrast = (-0.5, 1.0) if inverted is None else None
        self._viewer.shapes = self._shapes(study)
        given = self._setup.site.processing.calibration.spectrometer.field_of_view.source == "given"
        for button, usable in ((self._use, not given and view.place is not None), (self._fix, not given),
                               (self._search, given)):  # fmt: skip
            (button.enable if usable and self._setup.may_edit else button.disable)()

    def _shapes(self, study: CalibrationStudy) -> list[dict[str, Any]]:
        shapes: list[dict[str, Any]] = []
        place, sigma = study.view.place, study.view.sigma
        given = self._setup.site.processing.calibration.spectrometer.field_of_view.source == "given"
        if place is not None:
            name = "field of view" if given else "found"
            shapes.append(_circle(_USED, "", place, locked=not given, colour="#ff9f40"))
            if sigma is not None and all(map(math.isfinite, sigma)):
                spread = math.hypot(max(sigma[0], sigma[1]), sigma[2])
                outer = (place[0], place[1], place[2] + spread)
                shapes.append(_circle("sigma", "", outer, locked=True, colour="#ff9f40", dashed=True))
            # Last, and so above the handles of a small circle.
            centre = [[round(place[0], 1), round(place[1], 1)]]
            point = {"id": _CENTRE, "name": name, "kind": "point", "points": centre, "locked": not given}
            shapes.append(point | {"colour": "#ff9f40"})
        return shapes

    async def _dragged(self, event: ViewerEvent) -> None:
        shape = event.shape
        place = None if self._study is None else self._study.view.place
        if shape is None or place is None or shape["id"] not in (_USED, _CENTRE):
            return
        x, y = shape["points"][0]
        await self._give((x, y, shape.get("radius_px", place[2])), "moved the field of view")

    async def _give(self, place: tuple[float, float, float], what: str, sigma: float | None = None) -> None:
        values: dict[KeyPath, Any] = {
            (*_VIEW, "source"): "given",
            (*_VIEW, "x"): round(float(place[0]), 1),
            (*_VIEW, "y"): round(float(place[1]), 1),
            (*_VIEW, "radius_px"): round(float(place[2]), 1),
        }
        if sigma is not None and math.isfinite(sigma):
            values[*_VIEW, "position_uncertainty_px"] = round(float(sigma), 1)
        await self._seen.change(values, what)

    async def _use_found(self) -> None:
        if self._study is not None and self._study.view.place is not None and self._study.view.sigma is not None:
            sigma = max(self._study.view.sigma)
            await self._give(self._study.view.place, "took the field of view that was found", sigma)

    async def _by_hand(self) -> None:
        optics = self._setup.site.camera.optics
        place = (optics.width_px / 2, optics.height_px / 2, optics.height_px / 20)
        if self._study is not None and self._study.view.place is not None:
            place = self._study.view.place
        await self._give(place, "set the field of view by hand")

    async def _search_again(self) -> None:
        gone: dict[KeyPath, Any] = {
            (*_VIEW, name): REMOVE for name in ("x", "y", "radius_px", "position_uncertainty_px")
        }
        await self._seen.change({(*_VIEW, "source"): "correlation", **gone}, "search the field of view")


def _circle(
    name: str, words: str, place: tuple[float, float, float], *, locked: bool, colour: str, dashed: bool = False
) -> dict[str, Any]:
    return {
        "id": name,
        "name": words,
        "kind": "arc",
        "points": [[round(place[0], 1), round(place[1], 1)]],
        "radius_px": round(max(place[2], 1.0), 1),
        "from_deg": -180.0,
        "to_deg": 179.9,
        "locked": locked,
        "dashed": dashed,
        "colour": colour,
    }


def _words(study: CalibrationStudy) -> str:
    view = study.view
    texts = []
    if view.place is not None and view.sigma is not None:
        names = zip(("x", "y", "radius"), view.place, view.sigma, strict=True)
        texts.append(", ".join(f"{name} {number(value, 4)} ± {number(one)} px" for name, value, one in names))
    if view.searches:
        newest = view.searches[-1]
        status = "found" if newest.status == "ok" else f"not found: {newest.status}"
        if study.site.processing.calibration.spectrometer.field_of_view.source == "given" and newest.status == "ok":
            status = f"given; a search finds x {number(newest.x, 4)}, y {number(newest.y, 4)}"
        texts.append(f"{status} in {newest.images} images up to {time_text(newest.time, date=False)}")
        if math.isfinite(newest.correlation):
            texts.append(f"correlation {newest.correlation:.3f}")
    return " · ".join(texts) or "No search has been made."
