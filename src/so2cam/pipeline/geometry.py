"""The site's geometry: where the camera looks, where the plume is, and how large lines are there, at any time."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

import numpy as np

from so2cam.core.errors import InputError
from so2cam.core.site import Site, View
from so2cam.core.status import EmissionStatus
from so2cam.formats.wind import WindSeries, read_wind
from so2cam.science.emission.lines import LineSamples, line_samples
from so2cam.science.geometry.camera import CameraModel
from so2cam.science.geometry.landmark import view_from_landmark
from so2cam.science.geometry.plume import DistanceUncertainty, PlumePlane, vent_direction

_MINIMUM_END_SAMPLES = 2
"""Samples in each end of a line that a baseline needs."""
_FARTHEST_VENT_M = 100_000.0
_ALONG_VIEW_DEG = 10.0
"""A plume that drifts this close to the line of sight has no distance."""
_DIRECTION_STEP_DEG = 0.5
"""Wind directions are rounded to this, far below what is known of them, so that geometry is computed seldom."""


@dataclass(frozen=True, slots=True)
class Wind:
    """The wind at one time: speed [m s-1] and where it comes from [degrees], with 1 sigma of each."""

    speed_m_s: float
    speed_uncertainty_m_s: float
    direction_from_deg: float
    direction_uncertainty_deg: float


class WindField:
    """The wind of a site in time: one value, or the rows of its file. Raises InputError where the file is bad."""

    def __init__(self, site: Site, folder: Path) -> None:
        settings = site.wind
        self._constant: Wind | None = None
        self._series: WindSeries | None = None
        self._maximum_gap_s = 0.0
        self.file: Path | None = None
        if settings is None:
            return
        self._maximum_gap_s = settings.maximum_gap_s
        if settings.file is not None:
            self.file = folder / settings.file
            self._series = read_wind(
                self.file,
                speed_uncertainty_m_s=settings.speed_uncertainty_m_s,
                direction_uncertainty_deg=settings.direction_uncertainty_deg,
            )
        elif settings.speed_m_s is not None and settings.direction_from_deg is not None:
            self._constant = Wind(
                settings.speed_m_s,
                settings.speed_uncertainty_m_s,
                settings.direction_from_deg,
                settings.direction_uncertainty_deg,
            )

    @property
    def constant(self) -> Wind | None:
        """The wind of a site that gives one value, or None."""
        return self._constant

    def at(self, time: datetime) -> Wind | None:
        """Return the wind at ``time``, or None where it is not known."""
        if self._series is None:
            return self._constant
        found = self._series.at(time, maximum_gap_s=self._maximum_gap_s)
        return None if found is None else Wind(*found)


@dataclass(frozen=True, slots=True)
class LineGeometry:
    """The lines at the plume at one time, by name, with camera, plane and wind. ``lines`` is empty unless OK."""

    status: EmissionStatus
    camera: CameraModel
    plane: PlumePlane | None
    lines: Mapping[str, LineSamples]
    wind: Wind | None


class SiteGeometry:
    """The site's lines at the plume in time. What was computed for the last wind direction is kept."""

    def __init__(self, site: Site, wind: WindField) -> None:
        self._site = site
        self._wind = wind
        self._camera = camera_model(site)
        self._by_wind = site.plume_plane.orientation == "wind"
        self._kept: tuple[tuple[float, float] | None, LineGeometry] | None = None
        # What is wrong with a line whatever the wind is said before the work.
        lines_at_plume(site)
        if not self._by_wind:
            self._kept = (None, self._compute(None))

    def at(self, time: datetime) -> LineGeometry:
        """Return the geometry at ``time``."""
        wind = self._wind.at(time)
        if not self._by_wind:
            assert self._kept is not None  # noqa: S101 - set in __init__
            return replace(self._kept[1], wind=wind)
        if wind is None:
            return LineGeometry(EmissionStatus.NO_WIND, self._camera, None, {}, None)
        rounded = _DIRECTION_STEP_DEG * round(wind.direction_from_deg / _DIRECTION_STEP_DEG)
        key = (rounded, round(wind.direction_uncertainty_deg, 1))
        if self._kept is None or self._kept[0] != key:
            self._kept = (key, self._compute(replace(wind, direction_from_deg=rounded)))
        return replace(self._kept[1], wind=wind)

    def _compute(self, wind: Wind | None) -> LineGeometry:
        if wind is not None and across_view_deg(self._site, wind.direction_from_deg) < _ALONG_VIEW_DEG:
            return LineGeometry(EmissionStatus.PLUME_ALONG_VIEW, self._camera, None, {}, wind)
        lines = lines_at_plume(self._site, wind, require=wind is None)
        if any(not np.isfinite(samples.relative_distance_uncertainty) for samples in lines):
            return LineGeometry(EmissionStatus.PLUME_ALONG_VIEW, self._camera, None, {}, wind)
        plane = plume_plane(self._site, wind)
        return LineGeometry(EmissionStatus.OK, self._camera, plane, {line.line.name: line for line in lines}, wind)


def across_view_deg(site: Site, azimuth_deg: float) -> float:
    """Return the angle [degrees, 0 to 90] between a horizontal direction and the viewing azimuth."""
    between = math.radians(azimuth_deg - site.camera.view.azimuth_deg)
    return math.degrees(math.asin(min(abs(math.sin(between)), 1.0)))


def plume_plane_risks(site: Site, wind: WindField) -> tuple[str, ...]:
    """Return what is risky in a plume plane that lies along a wind of one value: plain sentences."""
    constant = wind.constant
    if constant is None or site.plume_plane.orientation != "wind":
        return ()
    lines = lines_at_plume(site, constant, require=False)
    across_deg = across_view_deg(site, constant.direction_from_deg)
    known = all(np.isfinite(line.relative_distance_uncertainty) for line in lines)
    if across_deg >= _ALONG_VIEW_DEG and known:
        return ()
    text = (
        f"wind.direction_from_deg: the plume drifts {across_deg:.0f} ± {constant.direction_uncertainty_deg:g} degrees "
        "from the line of sight, so that its distance is unknown and there are no emission rates"
    )
    return (text,)


def resolve_view(site: Site) -> tuple[Site, tuple[str, ...]]:
    """Return ``site`` with the viewing direction that its landmark gives, and what its user should know of it."""
    landmark = site.camera.view.landmark
    if landmark is None:
        return site, ()
    given = site.camera.view
    try:
        found = view_from_landmark(
            camera_model(site),
            (site.camera.position.latitude, site.camera.position.longitude, site.camera.position.altitude_m),
            (landmark.position.latitude, landmark.position.longitude, landmark.position.altitude_m),
            landmark.pixel,
            pixel_uncertainty_px=landmark.pixel_uncertainty_px,
            position_uncertainty_m=landmark.position_uncertainty_m,
        )
    except ValueError as error:
        raise InputError(
            f"no viewing direction shows the landmark there: {error}",
            key="camera.view.landmark",
            value=landmark.pixel,
            remedy="check the places of camera and landmark, and the pixel (x, y)",
        ) from None
    azimuth_deg, elevation_deg = math.degrees(found.azimuth_rad) % 360, math.degrees(found.elevation_rad)
    view = View(
        azimuth_deg=azimuth_deg,
        azimuth_uncertainty_deg=min(math.degrees(found.azimuth_uncertainty_rad), 45.0),
        elevation_deg=elevation_deg,
        elevation_uncertainty_deg=min(math.degrees(found.elevation_uncertainty_rad), 45.0),
        roll_deg=given.roll_deg,
        landmark=landmark,
    )
    notes = []
    for name, value, stated, sigma in (
        ("azimuth", azimuth_deg, given.azimuth_deg, _both(given.azimuth_uncertainty_deg, view.azimuth_uncertainty_deg)),
        (
            "elevation",
            elevation_deg,
            given.elevation_deg,
            _both(given.elevation_uncertainty_deg, view.elevation_uncertainty_deg),
        ),
    ):
        off = (value - stated + 180) % 360 - 180
        if abs(off) > max(3 * sigma, 0.5):
            notes.append(
                f"camera.view.landmark: its {name}, {value:.2f} degrees, is {abs(off):.1f} from the {stated:g} that "
                "the site file gives; check landmark, pixel and compass"
            )
    camera = site.camera.model_copy(update={"view": view})
    return site.model_copy(update={"camera": camera}), tuple(notes)


def _both(first: float, second: float) -> float:
    return math.hypot(first, second)


def camera_model(site: Site) -> CameraModel:
    """Return the site's camera as a model."""
    optics, view = site.camera.optics, site.camera.view
    return CameraModel(
        width_px=optics.width_px,
        height_px=optics.height_px,
        focal_length_px=optics.focal_length_m / optics.pixel_pitch_m,
        azimuth_rad=float(np.radians(view.azimuth_deg)),
        elevation_rad=float(np.radians(view.elevation_deg)),
        roll_rad=float(np.radians(view.roll_deg)),
    )


def plume_plane(site: Site, wind: Wind | None = None) -> PlumePlane:
    """Return the site's plume plane: vertical, through the vent, across the view or along the plume's direction.

    Where the site takes the direction from the wind, ``wind`` has it; without, the plane is across the view.
    """
    camera, vent = site.camera.position, site.volcano.vent
    distance, azimuth = vent_direction(camera.latitude, camera.longitude, vent.latitude, vent.longitude)
    along = site.plume_plane.azimuth_deg
    if site.plume_plane.orientation == "wind" and wind is not None:
        along = wind.direction_from_deg + 180
    if along is None:
        return PlumePlane(distance, azimuth, float(np.radians(site.camera.view.azimuth_deg)))
    normal = float(np.radians(along + 90))
    # Of the plane's two normals the one that points away from the camera.
    away = normal if np.cos(azimuth - normal) >= 0 else normal + np.pi
    return PlumePlane(distance, azimuth, away, turns_with_view=False)


def lines_at_plume(site: Site, wind: Wind | None = None, *, require: bool = True) -> tuple[LineSamples, ...]:
    """Return the site's lines with their size at the plume.

    With ``require``, raises InputError for a line that can never have a value: the plume's plane is not in front of
    the camera there, or the line is too short for a baseline.
    """
    by_wind = site.plume_plane.orientation == "wind" and wind is not None
    orientation = site.plume_plane.orientation_uncertainty_deg
    uncertainty = DistanceUncertainty(
        vent_distance_m=site.plume_plane.vent_distance_uncertainty_m,
        view_azimuth_rad=float(np.radians(site.camera.view.azimuth_uncertainty_deg)),
        plane_azimuth_rad=float(np.radians(wind.direction_uncertainty_deg if by_wind and wind else orientation)),
        view_elevation_rad=float(np.radians(site.camera.view.elevation_uncertainty_deg)),
    )
    camera, plane = camera_model(site), plume_plane(site, wind)
    if plane.vent_distance_m > _FARTHEST_VENT_M:
        raise InputError(
            f"the vent lies {plane.vent_distance_m / 1000:.0f} km from the camera, farther than any SO2 camera sees",
            key="volcano.vent",
            value=[site.volcano.vent.latitude, site.volcano.vent.longitude],
            remedy="check signs and order of latitude and longitude of vent and camera",
        )
    optics = site.camera.optics.relative_uncertainty
    lines = tuple(line_samples(line, camera, plane, uncertainty, optics) for line in site.plume_lines)
    if require:
        for samples in lines:
            _require_usable(samples, site)
    return lines


def _require_usable(samples: LineSamples, site: Site) -> None:
    if not np.isfinite(samples.distance_m).all():
        raise InputError(
            f"the plume is not in front of the camera on line {samples.line.name!r}, so its distance is unknown",
            key="camera.view.azimuth_deg",
            value=site.camera.view.azimuth_deg,
            remedy="check the viewing direction and the places of camera and vent",
        )
    if not np.isfinite(samples.relative_distance_uncertainty):
        raise InputError(
            f"the plume's direction is too uncertain: within one sigma it does not cross line {samples.line.name!r}",
            key="plume_plane.orientation_uncertainty_deg",
            value=site.plume_plane.orientation_uncertainty_deg,
            remedy="give a smaller uncertainty, or the plume's direction as azimuth_deg",
        )
    fraction = site.processing.emission.baseline_fraction
    ends = (samples.position <= fraction, samples.position >= 1 - fraction)
    if min(int(np.sum(end)) for end in ends) < _MINIMUM_END_SAMPLES:
        raise InputError(
            f"line {samples.line.name!r} of {samples.line.length_px:.0f} px is too short: its baseline needs "
            f"{_MINIMUM_END_SAMPLES} samples in each end, {100 * fraction:g} % of the line",
            key="lines",
            remedy=f"draw a line of at least {np.ceil((_MINIMUM_END_SAMPLES - 0.5) / fraction):.0f} px, across the "
            "whole plume and into plume-free sky on both sides",
        )
