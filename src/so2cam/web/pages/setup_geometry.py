"""Set-up of the geometry: where camera and vent are, where the camera looks, how large a pixel is at the plume."""

from datetime import datetime
from html import escape
from typing import Any, Final

from nicegui import ui

from so2cam.core.errors import InputError, So2camError
from so2cam.core.site_keys import key_info
from so2cam.formats.siteedit import KeyPath
from so2cam.pages import FrameHeader, encode_values
from so2cam.station.geometry_view import (
    GeometryLook,
    known_volcanoes,
    look_at_geometry,
    moved,
    pixel_sizes,
    profile,
)
from so2cam.station.registration_view import raw_message
from so2cam.web.geo_map import GeoMap, compass_svg, legend_html, scene_of
from so2cam.web.landmark import LandmarkPanel
from so2cam.web.latest import Latest
from so2cam.web.parts import Choice, empty, number, one_of, panel, with_uncertainty
from so2cam.web.plot import Plot, line, points
from so2cam.web.seen import Seen
from so2cam.web.setup import Setup, setup_page
from so2cam.web.shell import asset_url
from so2cam.web.theme import DARK
from so2cam.web.view import View
from so2cam.web.viewer import Viewer, ViewerEvent

IMAGES: Final = (("on", "On band"), ("size", "Pixel size"), ("distance", "Distance"))
NUMBERS: Final = (("size", "m/px"), ("distance", "km"), ("none", "Off"))
AREAS: Final = (("all", "Whole"), ("near", "Plume"))
_POSITION: Final = ("latitude", "longitude", "altitude_m")


def _keys(*above: str, of: tuple[str, ...]) -> list[KeyPath]:
    return [(*above, key) for key in of]


_VIEW: Final = _keys(
    "camera",
    "view",
    of=("azimuth_deg", "azimuth_uncertainty_deg", "elevation_deg", "elevation_uncertainty_deg", "roll_deg"),
)
_OPTICS: Final = _keys(
    "camera",
    "optics",
    of=("width_px", "height_px", "pixel_pitch_um", "field_of_view_deg", "focal_length_mm", "relative_uncertainty"),
)
_PLANE: Final = _keys(
    "plume_plane",
    of=("orientation", "azimuth_deg", "orientation_uncertainty_deg", "vent_distance_uncertainty_m"),
)


@setup_page(
    "/setup/geometry",
    title="Geometry",
    order=10,
    hint="Where camera and vent are, and where the camera looks",
    about=(
        "The emission rate grows with the distance of the plume, which follows from the places of camera and vent and "
        "from where the camera looks. Give them here, or click a landmark of known place in the image. The map is to "
        "scale, and over the image stands how large a pixel is at the plume."
    ),
    docs="web-geometry",
)
def geometry(view: View, setup: Setup) -> None:
    """Draw the page."""
    ui.add_head_html(f'<link rel="stylesheet" href="{asset_url("geometry.css")}">')
    page = GeometryPage(view, setup)
    ui.timer(0.05, page.load, once=True)  # what takes a while comes after the page
    setup.on_change(page.changed)


class GeometryPage:
    """One look at the page."""

    def __init__(self, view: View, setup: Setup) -> None:
        self._view, self._setup = view, setup
        self._slot = view.pages.shelf.slot(view)
        self._look: GeometryLook | None = None
        self._seen = Seen(setup)
        self._time: datetime | None = None
        self._latest = Latest(self._work)
        self._asked = 0  # images: only the one that was asked for last is shown
        self._area = one_of(AREAS, view.query.get("map", ""))
        self._image = one_of(IMAGES, view.query.get("image", ""))
        self._numbers = one_of(NUMBERS, view.query.get("numbers", ""))
        with ui.element("div").classes("so-geo"):
            self._draw_map()
            self._draw_image()
        with ui.element("div").classes("so-columns"):
            self._draw_compass()
            self._landmark = LandmarkPanel(view, setup, aim=self._aim, changed=self._show_shapes)
            self._draw_profile()
        self._draw_fields()

    # --- what is drawn once ------------------------------------------------------------------------------------------

    def _draw_map(self) -> None:
        box, head = panel("Map", test="map-panel", hint="north is up; the grid and the bar are to scale")
        with head:
            if self._setup.may_edit:
                self._move = ui.switch("Move camera and vent", value=False, on_change=self._let_move)
                self._move.props("dense data-testid=map-move")
            Choice(AREAS, self._area, self._choose_area, label="What the map shows", test="map-area")
        with box:
            self._map = GeoMap(label="map of camera, vent, view and plume", test="map", on_moved=self._moved_on_map)
            self._legend = ui.html("", sanitize=False, tag="ul").classes("so-legend").props("data-testid=map-legend")
            self._note = ui.label("").classes("so-note").props("data-testid=geometry-note role=status")

    def _draw_image(self) -> None:
        box, head = panel("Image", test="geometry-image")
        with head:
            Choice(IMAGES, self._image, self._choose_image, label="Image", test="image")
        with box:
            self._viewer = Viewer(
                label="the on band, with the size of a pixel at the plume",
                on_shape_created=self._drawn,
                on_shape_changed=self._drawn,
            )
            self._viewer.props("data-testid=viewer").classes("so-viewer is-fixed")
            self._missing = empty("", test="geometry-missing")
            self._missing.set_visibility(False)
            with ui.element("div").classes("so-row"):
                ui.label("Numbers over the image").classes("so-quiet so-small")
                Choice(NUMBERS, self._numbers, self._choose_numbers, label="Numbers over the image", test="numbers")

    def _draw_compass(self) -> None:
        box, _ = panel("Direction", test="direction-panel")
        with box:
            self._compass = ui.html("", sanitize=False).style("display: flex; justify-content: center")
            self._facts = ui.html("", sanitize=False, tag="dl").classes("so-facts").props("data-testid=facts")

    def _draw_profile(self) -> None:
        box, _ = panel("Between camera and vent", test="profile-panel")
        with box:
            self._profile = Plot(label="heights between camera and vent, with the line of sight", test="profile")
            self._profile_note = ui.label("").classes("so-quiet so-small")

    def _draw_fields(self) -> None:
        setup = self._setup
        with ui.element("div").classes("so-columns"):
            box, head = panel("Volcano", test="volcano-panel")
            with head:
                self._draw_pick()
            with box, ui.element("div").classes("so-keys"):
                setup.field(("volcano", "name"))
                self._place_fields("volcano", "vent")
            box, _ = panel("Camera", test="camera-panel")
            with box, ui.element("div").classes("so-keys"):
                self._place_fields("camera", "position")
        for title, keys, test in (
            ("View", _VIEW, "view-panel"),
            ("Optics", _OPTICS, "optics-panel"),
            ("Plume plane", _PLANE, "plane-panel"),
        ):
            box, _ = panel(title, test=test)
            with box:
                setup.fields(keys)

    def _place_fields(self, *above: str) -> None:
        for key in _POSITION:
            path = (*above, key)
            self._setup.field(path, f"{above[-1]} {key_info(path).words}")

    def _draw_pick(self) -> None:
        known = known_volcanoes()
        pick = ui.select(sorted(known), label="Fill in a known volcano", with_input=True, on_change=self._pick)
        pick.props("dense outlined stack-label data-testid=volcano-pick").classes("so-input")
        pick.set_enabled(self._setup.may_edit)

    # --- what is worked out ------------------------------------------------------------------------------------------

    async def load(self) -> None:
        """Show everything."""
        await self.changed()
        await self.load_image()

    async def changed(self) -> None:
        """Somebody changed the draft: draw it anew."""
        await self._latest.ask()

    async def _work(self) -> None:
        state, time = self._setup.state, self._time
        loaded = state.loaded
        try:
            look = await self._view.in_thread(lambda: look_at_geometry(loaded, time))
            drawn = await self._view.in_thread(lambda: profile(look, loaded.path.parent))
        except So2camError as failed:
            self._note.set_text(failed.message)
            return
        if self._map.is_deleted:
            return
        self._look = look
        self._seen.drawn(state)
        self._note.set_text(" ".join(look.notes))
        self._show_map()
        self._legend.set_content(legend_html(look.map))
        self._compass.set_content(compass_svg(look.map, look.used.azimuth_uncertainty_deg))
        self._facts.set_content(facts_html(look))
        self._show_shapes()
        self._show_profile(drawn)
        await self._landmark.show()
        if self._image != "on":
            await self.load_image()

    async def load_image(self) -> None:
        """Show the image that is chosen."""
        look, view, loaded, image = self._look, self._view, self._setup.loaded, self._image
        self._asked += 1
        asked = self._asked
        self._viewer.colours = "grey" if image == "on" else "viridis"
        if image != "on" and look is not None:
            sizes = await view.in_thread(lambda: _sizes_message(look, image))
            if asked == self._asked:
                self._show_image(sizes)
            return
        frames = view.pages.setup_frames[view.site.name]

        def work() -> tuple[datetime, bytes]:
            pairs = frames.pairs(loaded, limit=4)
            if not pairs:
                raise InputError("the archive has no frames yet: choose the pixel size to see the geometry")
            return pairs[-1].time, raw_message(frames, loaded, pairs[-1].on)

        try:
            time, message = await view.in_thread(work)
        except So2camError as failed:
            if asked == self._asked:
                self._slot.clear(failed.message)
                self._say_missing(failed.message)
            return
        if asked == self._asked:
            self._show_image(message)
        if self._time is None:
            self._time = time
            if self._setup.site.wind is not None:
                await self.changed()

    def _show_image(self, message: bytes) -> None:
        self._say_missing("")
        self._slot.put(message)
        self._viewer.src = self._slot.src

    def _say_missing(self, why: str) -> None:
        self._missing.set_content(f"<p>{escape(why[:1].upper())}{escape(why[1:])}.</p>" if why else "")
        self._missing.set_visibility(bool(why))

    def _show_map(self) -> None:
        if self._look is None:
            return
        sigma, name = self._look.used.azimuth_uncertainty_deg, self._look.site.volcano.name
        self._map.show(scene_of(self._look.map, sigma, name, near=self._area == "near"))

    def _show_shapes(self) -> None:
        if self._look is None:
            return
        shapes = image_shapes(self._look, self._numbers, self._landmark.pixel, movable=self._setup.may_edit)
        if shapes != self._viewer.shapes:
            self._viewer.shapes = shapes

    def _show_profile(self, drawn: Any) -> None:
        km = [distance / 1000 for distance in drawn.distance_m]
        series = [
            line("line of sight", km, list(drawn.axis_m), dashed=True),
            line("lower edge", km, list(drawn.lower_m), colour="data-6") | {"legend": False},
            line("upper edge", km, list(drawn.upper_m), colour="data-6") | {"legend": False},
            points("camera", [0.0], [drawn.camera_m], colour="ink", symbol="rect", size=0.7) | {"legend": False},
            points("vent", [drawn.vent_distance_m / 1000], [drawn.vent_m], colour="bad", symbol="triangle", size=0.8),
        ]
        if any(height is not None for height in drawn.ground_m):
            series.insert(0, line("ground", km, list(drawn.ground_m), colour="data-5"))
        self._profile.set(series, x={"name": "km from the camera"}, y={"name": "m a.s.l."})
        self._profile_note.set_text(drawn.note)

    # --- what the person does ----------------------------------------------------------------------------------------

    def _let_move(self, event: Any) -> None:
        self._map.movable = bool(event.value) and self._setup.may_edit

    async def _moved_on_map(self, what: str, place: tuple[float, float]) -> None:
        camera = (self._setup.site if self._look is None else self._look.site).camera.position
        latitude, longitude = moved(camera, place)
        above: KeyPath = ("camera", "position") if what == "camera" else ("volcano", "vent")
        changes = {(*above, "latitude"): latitude, (*above, "longitude"): longitude}
        if not await self._seen.change(changes, f"moved the {what} on the map"):
            self._map.redraw()

    async def _pick(self, event: Any) -> None:
        vent = known_volcanoes().get(str(event.value))
        if vent is None:
            return
        place = vent.model_dump()
        changes: dict[KeyPath, Any] = {("volcano", "vent", key): place[key] for key in _POSITION}
        await self._seen.change({("volcano", "name"): str(event.value), **changes}, f"took the vent of {event.value}")

    def _aim(self) -> None:
        self._viewer.hint = "Click the landmark"
        self._viewer.tool = "point"

    async def _drawn(self, event: ViewerEvent) -> None:
        if event.shape is None or event.shape.get("kind") != "point" or not self._setup.may_edit:
            return
        x, y = event.shape["points"][0]
        await self._landmark.put((float(x), float(y)))
        self._show_shapes()

    def _choose_area(self, area: str) -> None:
        self._area = area
        self._view.keep(map=area)
        self._show_map()

    async def _choose_image(self, image: str) -> None:
        self._image = image
        self._view.keep(image=image)
        await self.load_image()

    def _choose_numbers(self, numbers: str) -> None:
        self._numbers = numbers
        self._view.keep(numbers=numbers)
        self._show_shapes()


def facts_html(look: GeometryLook) -> str:
    """Return direction, distance and pixel size in words."""
    used, image = look.used, look.image

    def angle(value: float, sigma: float) -> str:
        shown, error = with_uncertainty(value, sigma)
        return f"{shown}°" + (f" <small>± {error}°</small>" if error else "")

    by = "from the landmark" if look.site.camera.view.landmark is not None else "as given"
    facts = [
        ("Azimuth", f"{angle(used.azimuth_deg, used.azimuth_uncertainty_deg)} <small>{by}</small>", "azimuth"),
        ("Elevation", angle(used.elevation_deg, used.elevation_uncertainty_deg), "elevation"),
        (
            "Vent",
            f"{look.map.vent_distance_m / 1000:.3f} km <small>at {look.map.vent_azimuth_deg:.1f}°</small>",
            "vent",
        ),
        ("Plume", "–" if image.distance_m is None else f"{image.distance_m / 1000:.3f} km", "distance"),
        (
            "Pixel",
            "the plume is not met"
            if image.pixel_m is None
            else f"{number(image.pixel_m, 3)} m <small>the image's middle; the image is {number(image.width_m)} m wide"
            "</small>",
            "pixel",
        ),
    ]
    return "".join(f'<dt>{name}</dt><dd data-testid="fact-{test}">{said}</dd>' for name, said, test in facts)


def image_shapes(
    look: GeometryLook, numbers: str, put: tuple[float, float] | None, *, movable: bool
) -> list[dict[str, Any]]:
    """Return what is drawn over the image: vent, landmark, scale bar at the plume, and numbers."""
    shapes: list[dict[str, Any]] = []
    if numbers != "none":
        for index, (x, y, metres, distance) in enumerate(look.image.numbers):
            name = f"{metres:.2f} m" if numbers == "size" else f"{distance / 1000:.2f} km"
            shapes.append(_point(f"number-{index}", name, (x, y), "ink", locked=True) | {"spare": True})
    if look.image.bar is not None:
        start, end, metres = look.image.bar
        words = f"{metres / 1000:g} km" if metres >= 1000 else f"{metres:g} m"
        shapes.append(
            {
                "id": "bar",
                "name": f"{words} at the plume",
                "kind": "line",
                "points": [list(start), list(end)],
                "colour": DARK["ink"],
                "locked": True,
            }
        )
    if look.image.vent is not None:
        shapes.append(_point("vent", "vent, expected", look.image.vent, "bad", locked=True))
    landmark = look.site.camera.view.landmark
    place = put or (None if landmark is None else landmark.pixel)
    if place is not None:
        name = "landmark" if put is None else "landmark, not used yet"
        shapes.append(_point("landmark", name, place, "data-5", locked=not movable))
    return shapes


def _point(identity: str, name: str, place: tuple[float, float], colour: str, *, locked: bool) -> dict[str, Any]:
    return {
        "id": identity,
        "name": name,
        "kind": "point",
        "points": [[float(place[0]), float(place[1])]],
        "colour": DARK[colour],
        "locked": locked,
    }


def _sizes_message(look: GeometryLook, image: str) -> bytes:
    metres, distance = pixel_sizes(look.site, look.map.wind)
    if image == "size":
        return encode_values(metres, FrameHeader(label="side of a pixel at the plume", unit="m"))
    return encode_values(distance / 1000, FrameHeader(label="distance of the plume's plane", unit="km"))
