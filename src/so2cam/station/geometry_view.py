"""The geometry of a site as numbers for those who set it up: a map in metres, directions, pixel sizes, a landmark.

Places on the map are metres east and north of the camera, on the WGS84 ellipsoid; the Earth is flat between camera and
plume, as in the processing.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

import numpy as np
from pydantic import ValidationError
from pyproj import Geod

from so2cam.core.errors import InputError, So2camError
from so2cam.core.records import FloatArray
from so2cam.core.site import GeoPoint, Site, View
from so2cam.core.terrain import TerrainGrid
from so2cam.formats.legacy.volcanoes import VENTS
from so2cam.formats.sitefile import LoadedSite
from so2cam.formats.terrain import read_terrain
from so2cam.pipeline.geometry import Wind, WindField, camera_model, lines_at_plume, plume_plane, resolve_view
from so2cam.science.geometry.camera import CameraModel, pixel_area_m2, pixel_rays, ray_pixels
from so2cam.science.geometry.plume import PlumePlane, plume_distance_m
from so2cam.science.geometry.terrain import EARTH_RADIUS_M, REFRACTION, height_at

Place = tuple[float, float]
"""Metres east and north of the camera."""
Pixel = tuple[float, float]
_WGS84: Final = Geod(ellps="WGS84")
_NICE: Final = (1.0, 2.0, 5.0)
_BAR_SHARE: Final = 0.25
"""Of the image's width, at most, that the scale bar at the plume takes."""
_LINE_POINTS: Final = 24
_PROFILE_POINTS: Final = 240


@dataclass(frozen=True, slots=True)
class MapMark:
    """Something with a place on the map: its metres east and north of the camera, and its altitude [m]."""

    place: Place
    altitude_m: float


@dataclass(frozen=True, slots=True)
class MapLine:
    """A line across the plume: where its points lie, and its mean distance [m]; none where the plume is not met."""

    name: str
    points: tuple[Place, ...]
    distance_m: float | None


@dataclass(frozen=True, slots=True)
class Direction:
    """The viewing direction with 1 sigma, all in degrees."""

    azimuth_deg: float
    azimuth_uncertainty_deg: float
    elevation_deg: float
    elevation_uncertainty_deg: float

    @classmethod
    def of(cls, view: View) -> "Direction":
        """Return that of a site's view."""
        return cls(view.azimuth_deg, view.azimuth_uncertainty_deg, view.elevation_deg, view.elevation_uncertainty_deg)


@dataclass(frozen=True, slots=True)
class Wedge:
    """What the camera sees, at the horizon's level: azimuths [degrees] of axis and edges of the image."""

    axis_deg: float
    left_deg: float
    right_deg: float


@dataclass(frozen=True, slots=True)
class MapLook:
    """What a map of the site shows. ``plane`` are two ends of the plume's plane, as far as the image shows it."""

    vent: MapMark
    vent_distance_m: float
    vent_azimuth_deg: float
    camera_altitude_m: float
    wedge: Wedge
    plane: tuple[Place, Place] | None
    plane_azimuth_deg: float
    lines: tuple[MapLine, ...]
    landmark: MapMark | None
    wind: Wind | None


@dataclass(frozen=True, slots=True)
class ImageLook:
    """The plume's plane in the image: values in its middle, and where vent and landmark ought to be.

    ``pixel_m`` is the side of a square as large as what a pixel sees, ``distance_m`` along the line of sight; None
    where the plume is not met. ``numbers``: (x, y, metres a pixel, distance [m]) at places spread over the image.
    ``bar``: (start, end, metres) of a scale bar at the plume.
    """

    distance_m: float | None
    pixel_m: float | None
    width_m: float | None
    vent: Pixel | None
    landmark_expected: Pixel | None
    numbers: tuple[tuple[float, float, float, float], ...]
    bar: tuple[Pixel, Pixel, float] | None


@dataclass(frozen=True, slots=True)
class Profile:
    """The ground between camera and vent, by horizontal distance [m]: heights [m] (None: unknown), lines of sight."""

    distance_m: tuple[float, ...]
    ground_m: tuple[float | None, ...]
    axis_m: tuple[float, ...]
    lower_m: tuple[float, ...]
    upper_m: tuple[float, ...]
    camera_m: float
    vent_m: float
    vent_distance_m: float
    note: str


@dataclass(frozen=True, slots=True)
class GeometryLook:
    """The geometry of a site. ``given`` is the direction in the file, ``used`` the one that is processed with."""

    site: Site
    given: Direction
    used: Direction
    map: MapLook
    image: ImageLook
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class LandmarkFound:
    """What a landmark at a pixel gives: the direction before and after, and what should be known of it."""

    pixel: Pixel
    before: Direction
    after: Direction
    notes: tuple[str, ...]


def known_volcanoes() -> dict[str, GeoPoint]:
    """Return the vents that are known by name."""
    return dict(VENTS)


def place_of(camera: GeoPoint, point: GeoPoint) -> Place:
    """Return metres east and north of the camera."""
    azimuth, _, distance = _WGS84.inv(camera.longitude, camera.latitude, point.longitude, point.latitude)
    return distance * math.sin(math.radians(azimuth)), distance * math.cos(math.radians(azimuth))


def moved(camera: GeoPoint, place: Place) -> tuple[float, float]:
    """Return latitude and longitude [degrees], of a place so many metres east and north of ``camera``."""
    azimuth = math.degrees(math.atan2(place[0], place[1]))
    longitude, latitude, _ = _WGS84.fwd(camera.longitude, camera.latitude, azimuth, math.hypot(*place))
    return round(float(latitude), 7), round(float(longitude), 7)


def look_at_geometry(loaded: LoadedSite, time: datetime | None = None) -> GeometryLook:
    """Return the geometry of a site; ``time`` chooses the wind. What cannot be worked out is in the notes."""
    site, notes = loaded.site, list[str]()
    given = Direction.of(site.camera.view)
    try:
        site, found = resolve_view(site)
        notes.extend(found)
    except So2camError as error:
        notes.append(error.message)
    wind = _wind(loaded, time, notes)
    camera, plane = camera_model(site), plume_plane(site, wind)
    return GeometryLook(
        site=site,
        given=given,
        used=Direction.of(site.camera.view),
        map=_map(site, camera, plane, wind, notes),
        image=_image(site, camera, plane),
        notes=tuple(notes),
    )


def find_by_landmark(site: Site, landmark: dict[str, Any]) -> LandmarkFound:
    """Return what a landmark (its table in the site file) gives, without changing anything.

    Raises InputError where it is none, or no direction shows it there.
    """
    settings = site.model_dump(mode="json", exclude_none=True)
    settings["camera"]["view"]["landmark"] = landmark
    try:
        changed = Site.model_validate(settings)
    except ValidationError as error:
        first = error.errors()[0]
        raise InputError(
            str(first["msg"]).removeprefix("Value error, "), key=".".join(str(part) for part in first["loc"])
        ) from None
    before = Direction.of(resolve_view(site)[0].camera.view)
    found, notes = resolve_view(changed)
    pixel = changed.camera.view.landmark.pixel if changed.camera.view.landmark is not None else (math.nan, math.nan)
    return LandmarkFound((float(pixel[0]), float(pixel[1])), before, Direction.of(found.camera.view), notes)


def pixel_sizes(site: Site, wind: Wind | None = None) -> tuple[FloatArray, FloatArray]:
    """Return metres a pixel at the plume, and its distance [m], each (rows, columns); NaN where it is not met.

    Metres a pixel: the side of a square of the area, across the line of sight, that a pixel sees.
    """
    camera, plane = camera_model(site), plume_plane(site, wind)
    x, y = np.meshgrid(np.arange(camera.width_px, dtype=np.float64), np.arange(camera.height_px, dtype=np.float64))
    distance = plume_distance_m(camera, plane, x, y)
    return np.sqrt(pixel_area_m2(camera, x, y, distance)), distance


def profile(look: GeometryLook, folder: Path) -> Profile:
    """Return the ground between camera and vent, a quarter further. Without a terrain model it is not known."""
    site, chart = look.site, look.map
    reach = 1.25 * chart.vent_distance_m
    along = np.linspace(0.0, reach, _PROFILE_POINTS)
    azimuth = math.radians(chart.vent_azimuth_deg)
    ground, note = np.full(along.shape, np.nan), ""
    settings = site.processing.light_dilution
    if settings.terrain_model is None:
        note = "Without a terrain model (processing.light_dilution.terrain_model) the ground is not drawn."
    else:
        try:
            grid = _terrain(folder / settings.terrain_model, site.camera.position, reach, settings.terrain_crs)
            ground = height_at(grid, along * math.sin(azimuth), along * math.cos(azimuth))
            # As the camera sees it: lowered by the Earth's curvature less refraction.
            ground = ground - along**2 * (1 - REFRACTION) / (2 * EARTH_RADIUS_M)
        except So2camError as error:
            note = f"The terrain model cannot be used: {error.message}"
    axis, half = look.used.elevation_deg, 0.5 * _vertical_field_deg(camera_model(site))

    def sight(elevation_deg: float) -> tuple[float, ...]:
        return tuple(float(value) for value in chart.camera_altitude_m + along * math.tan(math.radians(elevation_deg)))

    return Profile(
        distance_m=tuple(float(value) for value in along),
        ground_m=tuple(float(value) if math.isfinite(value) else None for value in ground),
        axis_m=sight(axis),
        lower_m=sight(axis - half),
        upper_m=sight(axis + half),
        camera_m=chart.camera_altitude_m,
        vent_m=chart.vent.altitude_m,
        vent_distance_m=chart.vent_distance_m,
        note=note,
    )


def nice_length(longest: float) -> float:
    """Return the largest of 1, 2 or 5 times a power of ten that is not above ``longest`` (above 0)."""
    power = 10.0 ** math.floor(math.log10(longest))
    return max(step * power for step in _NICE if step * power <= longest * (1 + 1e-9))


# --- parts -----------------------------------------------------------------------------------------------------------


def _wind(loaded: LoadedSite, time: datetime | None, notes: list[str]) -> Wind | None:
    try:
        field = WindField(loaded.site, loaded.path.parent)
    except So2camError as error:
        notes.append(error.message)
        return None
    return field.constant if time is None or field.constant is not None else field.at(time)


def _map(site: Site, camera: CameraModel, plane: PlumePlane, wind: Wind | None, notes: list[str]) -> MapLook:
    position, landmark = site.camera.position, site.camera.view.landmark
    vent = MapMark(place_of(position, site.volcano.vent), site.volcano.vent.altitude_m)
    return MapLook(
        vent=vent,
        vent_distance_m=plane.vent_distance_m,
        vent_azimuth_deg=math.degrees(plane.vent_azimuth_rad) % 360,
        camera_altitude_m=position.altitude_m,
        wedge=_wedge(camera),
        plane=_plane_ends(camera, plane),
        plane_azimuth_deg=math.degrees(plane.normal_azimuth_rad + math.pi / 2) % 360,
        lines=_lines(site, camera, wind, notes),
        landmark=None
        if landmark is None
        else MapMark(place_of(position, landmark.position), landmark.position.altitude_m),
        wind=wind,
    )


def _wedge(camera: CameraModel) -> Wedge:
    middle = (camera.height_px - 1) / 2
    rays = pixel_rays(camera, np.array([0.0, camera.width_px - 1.0]), np.array([middle, middle]))
    left, right = (math.degrees(math.atan2(float(ray[0]), float(ray[1]))) % 360 for ray in rays)
    return Wedge(math.degrees(camera.azimuth_rad) % 360, left, right)


def _plane_ends(camera: CameraModel, plane: PlumePlane) -> tuple[Place, Place] | None:
    x = np.linspace(0.0, camera.width_px - 1.0, 65)
    places = _ground_places(camera, plane, x, np.full(x.shape, (camera.height_px - 1) / 2))
    return (places[0], places[-1]) if len(places) > 1 else None


def _lines(site: Site, camera: CameraModel, wind: Wind | None, notes: list[str]) -> tuple[MapLine, ...]:
    try:
        found = lines_at_plume(site, wind, require=False)
    except So2camError as error:
        notes.append(error.message)
        return ()
    lines = []
    for samples in found:
        chosen = np.unique(np.linspace(0, samples.x.size - 1, _LINE_POINTS).round().astype(int))
        distance = samples.distance_m[chosen]
        rays = pixel_rays(camera, samples.x[chosen], samples.y[chosen])
        known = np.isfinite(distance)
        places = tuple((float(east), float(north)) for east, north in (rays[:, :2] * distance[:, None])[known])
        lines.append(MapLine(samples.line.name, places, float(distance[known].mean()) if known.any() else None))
    return tuple(lines)


def _ground_places(camera: CameraModel, plane: PlumePlane, x: FloatArray, y: FloatArray) -> list[Place]:
    distance = plume_distance_m(camera, plane, x, y)
    places = pixel_rays(camera, x, y)[:, :2] * distance[:, None]
    return [(float(east), float(north)) for east, north in places[np.isfinite(distance)]]


def _image(site: Site, camera: CameraModel, plane: PlumePlane) -> ImageLook:
    width, height = camera.width_px, camera.height_px
    middle = np.array([(width - 1) / 2]), np.array([(height - 1) / 2])
    distance = plume_distance_m(camera, plane, *middle)
    step = np.sqrt(pixel_area_m2(camera, *middle, distance))
    met = bool(np.isfinite(distance[0]))
    landmark = site.camera.view.landmark
    return ImageLook(
        distance_m=float(distance[0]) if met else None,
        pixel_m=float(step[0]) if met else None,
        width_m=float(step[0]) * width if met else None,
        vent=expected_pixel(site, site.volcano.vent),
        landmark_expected=None if landmark is None else expected_pixel(site, landmark.position),
        numbers=_numbers(camera, plane),
        bar=_bar(camera, plane),
    )


def expected_pixel(site: Site, point: GeoPoint) -> Pixel | None:
    """Return where the image of a site shows a place; None where it is not in the image."""
    camera = camera_model(site)
    east, north = place_of(site.camera.position, point)
    if math.hypot(east, north) < 1:
        return None
    x, y = ray_pixels(camera, np.array([east, north, point.altitude_m - site.camera.position.altitude_m]))
    inside = 0 <= float(x) <= camera.width_px - 1 and 0 <= float(y) <= camera.height_px - 1
    return (round(float(x), 1), round(float(y), 1)) if inside else None


def _numbers(camera: CameraModel, plane: PlumePlane) -> tuple[tuple[float, float, float, float], ...]:
    x, y = np.meshgrid(
        np.round((camera.width_px - 1) * np.array([0.1, 0.45, 0.8])),
        np.round((camera.height_px - 1) * np.array([0.22, 0.48, 0.74])),
    )
    distance = plume_distance_m(camera, plane, x, y)
    step = np.sqrt(pixel_area_m2(camera, x, y, distance))
    rows: Sequence[FloatArray] = (x.ravel(), y.ravel(), step.ravel(), distance.ravel())
    return tuple(
        (float(a), float(b), float(metres), float(far))
        for a, b, metres, far in zip(*rows, strict=True)
        if math.isfinite(far)
    )


def _bar(camera: CameraModel, plane: PlumePlane) -> tuple[Pixel, Pixel, float] | None:
    """Return a level bar in the lower left corner: as long as ``metres`` at the plume are there."""
    x, y = 0.05 * camera.width_px, 0.94 * camera.height_px
    distance = plume_distance_m(camera, plane, np.array([x]), np.array([y]))
    step = float(np.sqrt(pixel_area_m2(camera, np.array([x]), np.array([y]), distance))[0])
    if not math.isfinite(step) or step <= 0:
        return None
    metres = nice_length(_BAR_SHARE * camera.width_px * step)
    return (round(x, 1), round(y, 1)), (round(x + metres / step, 1), round(y, 1)), metres


def _vertical_field_deg(camera: CameraModel) -> float:
    return 2 * math.degrees(math.atan(0.5 * camera.height_px / camera.focal_length_px))


def _terrain(path: Path, camera: GeoPoint, reach_m: float, crs: str | None) -> TerrainGrid:
    try:
        changed = path.stat().st_mtime_ns
    except OSError:
        changed = 0
    return _read_terrain(path, changed, camera.latitude, camera.longitude, camera.altitude_m, reach_m, crs)


@lru_cache(maxsize=2)
def _read_terrain(
    path: Path, _changed: int, latitude: float, longitude: float, altitude_m: float, reach_m: float, crs: str | None
) -> TerrainGrid:
    camera = GeoPoint(latitude=latitude, longitude=longitude, altitude_m=altitude_m)
    return read_terrain(path, camera, reach_m=reach_m, crs=crs)
