"""Set-up of light dilution: ground of known distance drawn on the image, the extinction it shows, what it does."""

import math
from typing import Any, Final

from nicegui import ui

from so2cam.core.errors import InputError, So2camError
from so2cam.core.records import FramePair
from so2cam.core.site_dilution import TerrainRegion
from so2cam.formats.siteedit import REMOVE, KeyPath
from so2cam.formats.sitefile import LoadedSite
from so2cam.pages.frames import FrameHeader, encode_values
from so2cam.station.dilution_view import BandFit, DilutionPreview, dilution_preview
from so2cam.station.live_day import processing_hash
from so2cam.web import parts, plot
from so2cam.web.ground import GroundRow, distance_text, distances_in, taken_out
from so2cam.web.latest import Latest
from so2cam.web.parts import Choice, one_of, panel, sentence, time_text, with_uncertainty
from so2cam.web.plot import Plot
from so2cam.web.props import put_props
from so2cam.web.seen import Seen
from so2cam.web.setup import Setup, setup_page
from so2cam.web.setup_image import use_styles
from so2cam.web.setup_range import RangeBar
from so2cam.web.setup_tables import put_named
from so2cam.web.view import View
from so2cam.web.viewer import Viewer, ViewerEvent

_TOP: Final = ("processing", "light_dilution")
_REGIONS: Final = (*_TOP, "regions")
_KEYS: Final[tuple[KeyPath, ...]] = tuple(
    (*_TOP, name)
    for name in (
        *("mode", "on_extinction_per_km", "on_extinction_uncertainty_per_km"),
        *("off_extinction_per_km", "off_extinction_uncertainty_per_km", "recalculation_min"),
        *("airlight_ratio", "airlight_ratio_uncertainty", "airlight_uncertainty"),
        *("minimum_distance_span_m", "brightness_limits", "darkest_share", "surface_trend"),
        *("terrain_model", "terrain_crs", "wavelength_exponent", "variation_in_view"),
    )
)
_COLOURS: Final = {"on": "data-1", "off": "data-2"}
_IMAGES: Final = (("frame", "Frame"), ("corrected", "Absorbance"), ("diluted", "Uncorrected"))


@setup_page(
    "/setup/dilution",
    title="Light dilution",
    order=80,
    hint="Light that the air in between scatters in",
    about=(
        "Air between camera and plume scatters light in, which makes columns look too small. Draw lines on dark ground "
        "and give their distances: how much brighter far ground looks tells the extinction. The preview shows the fit, "
        "and absorbance with and without the correction."
    ),
    docs="web-calibration",
)
def dilution(view: View, setup: Setup) -> None:
    """Draw the page."""
    use_styles()
    made = _DilutionPage(view, setup)
    ui.timer(0.1, made.show, once=True)


class _DilutionPage:
    def __init__(self, view: View, setup: Setup) -> None:
        self._view, self._setup = view, setup
        self._slot = view.pages.shelf.slot(view)
        self._latest = Latest(self._work, lambda: (processing_hash(setup.loaded.site), self._range.bounds))
        self._image = one_of(_IMAGES, view.query.get("image", ""))
        self._preview: DilutionPreview | None = None
        self._frame: bytes | None = None
        self._seen = Seen(setup)
        self._rows: dict[str, GroundRow] = {}
        with ui.element("div").classes("so-setup-image"):
            self._draw_ground()
            with ui.element("div").classes("so-side"):
                self._draw_fit()
        setup.on_change(self.show)

    def _draw_ground(self) -> None:
        view, setup = self._view, self._setup
        box, head = panel("Ground", test="dilution-panel")
        with head:
            Choice(_IMAGES, self._image, self._choose, label="which image", test="dilution-image")
        with box:
            self._range = RangeBar(view, self.show)
            self._viewer = Viewer(
                None,  # until there is an image
                label="image with the ground of known distance",
                readonly=not setup.may_edit,
                on_shape_created=self._drawn,
                on_shape_changed=self._moved,
                on_shape_removed=self._removed,
            )
            self._viewer.props("data-testid=dilution-viewer").classes("so-viewer is-fixed")
            with ui.element("div").classes("so-row"):
                self._distance = parts.field(
                    "Distance", test="dilution-distance", example="4200, or 4200 5100", props="suffix=m"
                )
                for tool, words in (("line", "Draw line"), ("polyline", "Draw polyline"), ("point", "Set point")):
                    button = ui.button(words, on_click=lambda _, tool=tool: self._take_tool(tool))
                    button.props(f"outline no-caps data-testid=dilution-draw-{tool}")
                    if not setup.may_edit:
                        button.disable()
            self._regions = ui.element("div").props("data-testid=dilution-regions")

    def _draw_fit(self) -> None:
        box, _ = panel("Extinction", test="dilution-fit", hint="brightness of the ground over that of the sky above it")
        with box:
            self._words = ui.label("").classes("so-quiet").props("data-testid=dilution-words role=status")
            self._problem = parts.error("", test="dilution-problem")
            self._plot = Plot(label="brightness of the ground over its distance", test="dilution-plot")
        box, _ = panel("Settings", test="dilution-keys")
        with box:
            self._setup.fields(_KEYS)

    def _take_tool(self, tool: Any) -> None:
        try:
            distances_in(str(self._distance.value or ""), None)
        except InputError as error:
            ui.notify(error.message, type="negative")
            return
        self._viewer.tool = tool

    async def _choose(self, what: str) -> None:
        self._image = what
        self._view.keep(image=what)
        self._put_image()

    # --- regions -----------------------------------------------------------------------------------------------------

    async def _drawn(self, event: ViewerEvent) -> None:
        shape = event.shape
        if shape is None:
            return
        names = {region.name for region in self._setup.site.processing.light_dilution.regions}
        name = next(f"ground {number}" for number in range(1, 100) if f"ground {number}" not in names)
        points = _points(shape)
        try:
            distance = distances_in(str(self._distance.value or ""), len(points))
        except InputError as error:
            ui.notify(error.message, type="negative")
            self._show_shapes()
            return
        table: dict[str, Any] = {"points": points}
        if distance is not None:
            table["distance_m"] = distance
        await put_named(self._setup, _REGIONS, name, table, f"drew {name}")
        self._show_regions()

    async def _moved(self, event: ViewerEvent) -> None:
        region = None if event.shape is None else self._region(event.shape["id"])
        if region is None or event.shape is None:
            return
        name = region.name
        if event.why == "rename":
            await self._rename(name, str(event.shape["name"]).strip())
            return
        points = _points(event.shape)
        changes: dict[KeyPath, Any] = {(*_REGIONS, name, "points"): points}
        if isinstance(region.distance_m, tuple) and len(points) == len(region.points) - 1:
            kept = list(region.distance_m)
            del kept[taken_out(region.points, points)]
            changes[*_REGIONS, name, "distance_m"] = kept
        await self._change(changes, f"moved {name}")

    async def _rename(self, name: str, wanted: str) -> None:
        if wanted in self._names():
            ui.notify(f"There is {wanted} already.", type="negative")
        elif wanted:
            await self._seen.change({(*_REGIONS, name, "name"): wanted}, f"renamed {name} to {wanted}")
        self._show_regions()

    async def _removed(self, event: ViewerEvent) -> None:
        if event.shape is not None:
            await self._remove(event.shape["id"])

    async def _remove(self, name: str) -> None:
        if name in self._names():
            await self._change({(*_REGIONS, name): REMOVE}, f"removed {name}")

    async def _set_distance(self, name: str) -> None:
        region, row = self._region(name), self._rows.get(name)
        if region is None or row is None or row.text == row.shown:
            return
        try:
            distance = distances_in(row.text, len(region.points))
        except InputError as error:
            ui.notify(error.message, type="negative")
            return
        row.shown = row.text
        key = (*_REGIONS, name, "distance_m")
        await self._change({key: REMOVE if distance is None else distance}, f"set the distance of {name}")

    async def _change(self, changes: dict[KeyPath, Any], what: str) -> None:
        await self._seen.change(changes, what)
        self._show_regions()

    def _region(self, name: str) -> TerrainRegion | None:
        return next((one for one in self._setup.site.processing.light_dilution.regions if one.name == name), None)

    def _names(self) -> list[str]:
        return [region.name for region in self._setup.site.processing.light_dilution.regions]

    def _show_regions(self) -> None:
        self._seen.drawn()
        self._show_shapes()
        for name in set(self._rows) - set(self._names()):
            self._rows.pop(name).box.delete()
        for region in self._setup.site.processing.light_dilution.regions:
            if region.name not in self._rows:
                with self._regions:
                    self._rows[region.name] = self._draw_row(region.name)
            self._rows[region.name].follow(distance_text(region.distance_m))

    def _draw_row(self, name: str) -> GroundRow:
        with ui.element("div").classes("so-row") as box:
            ui.label(name).classes("so-mono")
            field = parts.field("Distance", test=f"distance-{name.replace(' ', '-')}", props="suffix=m")
            if self._setup.may_edit:
                field.on("keydown.enter", lambda: self._set_distance(name)).on("blur", lambda: self._set_distance(name))
                button = ui.button("Remove", on_click=lambda: self._remove(name)).props("flat dense no-caps")
                put_props(button, {"data-testid": f"remove-{name}"})
            else:
                field.disable()
        return GroundRow(box, field)

    def _show_shapes(self) -> None:
        shapes = []
        for region in self._setup.site.processing.light_dilution.regions:
            points = [[float(x), float(y)] for x, y in region.points]
            kind = {1: "point", 2: "line"}.get(len(points), "polyline")
            shapes.append({"id": region.name, "name": region.name, "kind": kind, "points": points, "colour": "#ff9f40"})
        if shapes != self._viewer.shapes:
            self._viewer.shapes = shapes

    # --- the preview -------------------------------------------------------------------------------------------------

    async def show(self) -> None:
        """Show the preview for the draft as it is; nothing where it is shown already."""
        self._show_regions()
        await self._range.look()
        await self._latest.ask()

    async def _work(self) -> None:
        loaded, bounds = self._setup.loaded, self._range.bounds
        self._frame = self._preview = None
        if bounds is None:
            self._fail(self._range.why)
            return
        self._words.set_text("Reading images …")
        try:
            pair, preview = await self._view.in_thread(lambda: self._look(loaded, bounds))
        except So2camError as error:
            self._fail(sentence(error))
            return
        self._preview = preview
        self._draw(pair, preview)

    def _look(self, loaded: LoadedSite, bounds: Any) -> tuple[FramePair, DilutionPreview]:
        frames = self._view.pages.setup_frames[self._view.site.name]
        pairs = frames.pairs(loaded, start=bounds[0], end=bounds[1], limit=1)
        if not pairs:
            raise InputError("there are no pairs of images in this range")
        counts = frames.frame(loaded, pairs[-1].on).counts
        header = FrameHeader(label="on band", unit="DN", time=pairs[-1].on.time)
        self._frame = encode_values(counts.astype("float32"), header)
        self._put_image()
        return pairs[-1], dilution_preview(frames, loaded, pairs[-1])

    def _put_image(self) -> None:
        if self._image == "frame" or self._preview is None:
            if self._frame is not None:
                self._slot.put(self._frame)
            return
        diluted = self._preview.diluted
        values = self._preview.absorbance if self._image == "corrected" or diluted is None else diluted
        self._slot.put(encode_values(values, FrameHeader(label="absorbance"), -0.1, 0.8))

    def _fail(self, text: str) -> None:
        self._words.set_text("")
        self._problem.set_text(text)
        self._problem.set_visibility(True)
        self._viewer.set_visibility(self._frame is not None)
        if self._frame is not None:  # ground can be drawn on the frame all the same
            self._viewer.src = self._slot.src
        self._plot.set_visibility(False)

    def _draw(self, pair: FramePair, preview: DilutionPreview) -> None:
        self._put_image()
        self._viewer.src = self._slot.src
        self._viewer.set_visibility(True)
        self._problem.set_text(preview.problem)
        self._problem.set_visibility(bool(preview.problem))
        texts = [f"pair of {time_text(pair.time)}", *(_band_words(fit) for fit in preview.bands)]
        if not preview.bands:
            texts.append("no ground of known distance is named")
        if preview.dilution is not None:
            texts.append(f"absorbance grows by a factor of {preview.dilution.amplification:.3f} at the plume")
        self._words.set_text(" · ".join(texts))
        series = []
        for fit in preview.bands:
            colour = _COLOURS[fit.band]
            x = (1e-3 * fit.distance_m).round(4).tolist()
            series.append(plot.points(f"{fit.band} band", x, fit.relative.round(5).tolist(), colour=colour, size=0.3))
            curve = [None if not math.isfinite(value) else round(float(value), 5) for value in fit.curve]
            series.append(plot.line(f"fit, {fit.band}", (1e-3 * fit.curve_m).tolist(), curve, colour=colour))
        self._plot.set(series, x={"name": "distance, km", "min": 0}, y={"name": "ground over sky"})
        self._plot.set_visibility(bool(series))


def _points(shape: dict[str, Any]) -> list[list[float]]:
    return [[float(x), float(y)] for x, y in shape["points"]]


def _band_words(fit: BandFit) -> str:
    if not math.isfinite(fit.value_per_km):
        return f"{fit.band} band: {fit.status}"
    value, sigma = with_uncertainty(fit.value_per_km, fit.sigma_per_km)
    return f"{fit.band} band: extinction {value} ± {sigma} 1/km by {fit.pixels} pixels"
