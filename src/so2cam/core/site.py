"""The models of the site file: everything about one installation, checked.

Every table is closed (an unknown key is an error), every number has its unit in its name, and every default is
the one that a permanent camera of the existing kind needs. Reading and saving the file is ``so2cam.formats``.
"""

import math
from typing import Literal, Self

from pydantic import Field, model_validator

from so2cam.core.records import PlumeLine
from so2cam.core.site_alarms import Alarms
from so2cam.core.site_calibration import (
    Calibration,
    CellSearch,
    FieldOfView,
    SearchedCell,
    SpectrometerCalibration,
)
from so2cam.core.site_camera import (
    Camera,
    Files,
    Filters,
    GeoPoint,
    Landmark,
    Optics,
    PlumePlane,
    Registration,
    Sensor,
    View,
    Volcano,
    Wind,
)
from so2cam.core.site_instrument import Instrument
from so2cam.core.site_lines import Arc, Line
from so2cam.core.site_processing import (
    BACKGROUND_NUMBERS,
    SPEED_METHODS,
    Background,
    BackgroundName,
    CrossCorrelation,
    Dark,
    Emission,
    Flat,
    HotPixels,
    OpticalFlow,
    Pairing,
    Processing,
    ProfileShift,
    Speed,
    SpeedMethod,
)
from so2cam.core.site_publication import Publication
from so2cam.core.site_station import Station
from so2cam.core.site_types import Finite, Name, NotNegative, Point, Positive, Rectangle, Table
from so2cam.core.spectrometer import Spectrometer

__all__ = [
    "BACKGROUND_NUMBERS",
    "SPEED_METHODS",
    "Arc",
    "Background",
    "BackgroundName",
    "Calibration",
    "Camera",
    "CellSearch",
    "CrossCorrelation",
    "Dark",
    "Emission",
    "FieldOfView",
    "Files",
    "Filters",
    "Finite",
    "Flat",
    "GeoPoint",
    "HotPixels",
    "Instrument",
    "Landmark",
    "Line",
    "Name",
    "NotNegative",
    "OpticalFlow",
    "Optics",
    "Pairing",
    "PlumePlane",
    "Point",
    "Positive",
    "Processing",
    "ProfileShift",
    "Rectangle",
    "Registration",
    "SearchedCell",
    "Sensor",
    "Site",
    "SpectrometerCalibration",
    "Speed",
    "SpeedMethod",
    "Station",
    "Table",
    "View",
    "Volcano",
    "Wind",
]


class Site(Table):
    """A whole installation."""

    format: Literal[1] = Field(default=1, description="version of the site file's format")
    name: Name
    volcano: Volcano
    camera: Camera
    files: Files = Files()
    registration: Registration = Registration()
    wind: Wind | None = None
    plume_plane: PlumePlane = PlumePlane()
    lines: tuple[Line, ...] = Field(min_length=1)
    processing: Processing = Processing()
    spectrometer: Spectrometer | None = None
    instrument: Instrument | None = None
    alarms: Alarms | None = None
    publication: Publication | None = None
    station: Station | None = None

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        names = [line.name for line in self.lines]
        repeated = sorted({name for name in names if names.count(name) > 1})
        if repeated:
            raise ValueError(f"lines: two lines are called {repeated[0]!r}")
        if "total" in names:
            raise ValueError("lines: 'total' is the name of the sum; call the line something else")
        for line in self.lines:
            for label, point in line.corners:
                self.require_inside(f"lines.{line.name}.{label}", point)
        if self.camera.view.landmark is not None:
            self.require_inside("camera.view.landmark.pixel", self.camera.view.landmark.pixel)
        if self.wind is None:
            if self.plume_plane.orientation == "wind":
                raise ValueError('plume_plane.orientation: "wind" needs a [wind] table with the wind')
            if "wind" in self.processing.speed.methods:
                raise ValueError('processing.speed.methods: "wind" needs a [wind] table with the wind')
        self._require_plume_across_view()
        self._require_dilution_to_fit()
        view = self.processing.calibration.spectrometer.field_of_view
        if view.x is not None and view.y is not None:
            self.require_inside("processing.calibration.spectrometer.field_of_view.x", (view.x, view.y))
        for name, corners in self.processing.background.areas.items():
            key = f"processing.background.{name}"
            for corner in corners:
                self.require_inside(key, corner)
            extent = (corners[1][0] - corners[0][0], corners[1][1] - corners[0][1])
            if min(extent) < 0 or (min(extent) == 0 and name.endswith("rectangle")) or max(extent) == 0:
                raise ValueError(f"{key}: give the upper left corner first, then the lower right one")
        if all(line.role == "speed" for line in self.lines):
            raise ValueError('lines: none has role = "emission", so that there is no emission rate')
        if self.alarms is not None:
            self.alarms.require_lines(tuple(names))
        total = self.processing.emission.total_lines or ()
        if len(set(total)) != len(total):
            raise ValueError("processing.emission.total_lines names a line twice: it would be counted twice")
        self._known_lines("processing.emission.total_lines", self.processing.emission.total_lines or (), names)
        pair = self.processing.speed.cross_correlation.lines
        if pair is not None:
            self._known_lines("processing.speed.cross_correlation.lines", pair, names)
            if pair[0] == pair[1]:
                raise ValueError("processing.speed.cross_correlation.lines names one line twice")
            if any(line.file is None and line.to_plume_line().closed for line in self.lines if line.name in pair):
                raise ValueError(
                    "processing.speed.cross_correlation.lines: a closed line has no upstream or downstream"
                )
            plumes = {line.plume for line in self.lines if line.name in pair}
            if len(plumes) > 1:
                raise ValueError(
                    "processing.speed.cross_correlation.lines: the two lines cross different plumes "
                    f"({', '.join(sorted(plumes))}), so nothing that passes one passes the other"
                )
        return self

    def _require_dilution_to_fit(self) -> None:
        dilution, background = self.processing.light_dilution, self.processing.background
        if dilution.mode != "none" and background.mode != "sky-surface":
            raise ValueError(
                f'processing.light_dilution.mode: "{dilution.mode}" needs the sky of each band: set '
                'processing.background.mode = "sky-surface"'
            )
        for region in dilution.regions:
            for number, point in enumerate(region.points):
                self.require_inside(f"processing.light_dilution.regions.{region.name}.points[{number}]", point)
        if dilution.mode == "spectrum" and (
            self.spectrometer is None or self.spectrometer.light_dilution.mode != "fit"
        ):
            raise ValueError(
                'processing.light_dilution.mode: "spectrum" needs a [spectrometer] whose light_dilution.mode is "fit"'
            )

    def _require_plume_across_view(self) -> None:
        if self.plume_plane.azimuth_deg is not None:
            between = math.radians(self.plume_plane.azimuth_deg - self.camera.view.azimuth_deg)
            if abs(math.sin(between)) < math.sin(math.radians(10)):
                raise ValueError(
                    f"plume_plane.azimuth_deg: a plume towards {self.plume_plane.azimuth_deg:g} degrees drifts "
                    f"within 10 degrees of the line of sight ({self.camera.view.azimuth_deg:g} degrees), so that its "
                    "distance is unknown"
                )

    @staticmethod
    def _known_lines(key: str, wanted: tuple[str, ...], names: list[str]) -> None:
        for name in wanted:
            if name not in names:
                raise ValueError(f"{key}: there is no line {name!r} (lines: {', '.join(names)})")

    def require_inside(self, key: str, point: Point) -> None:
        """Raise ValueError where ``point`` (x, y) lies outside the image."""
        optics = self.camera.optics
        if not (0 <= point[0] <= optics.width_px - 1 and 0 <= point[1] <= optics.height_px - 1):
            raise ValueError(
                f"{key}: ({point[0]:g}, {point[1]:g}) lies outside the image of "
                f"{optics.width_px} x {optics.height_px} pixels"
            )

    @property
    def plume_lines(self) -> tuple[PlumeLine, ...]:
        """The lines as records."""
        return tuple(line.to_plume_line() for line in self.lines)

    @property
    def total_lines(self) -> tuple[str, ...]:
        """Names of the lines whose sum is the total: as given, or the first emission line of each plume."""
        if self.processing.emission.total_lines is not None:
            return self.processing.emission.total_lines
        first: dict[str, str] = {}
        for line in self.lines:
            if line.role == "emission":
                first.setdefault(line.plume, line.name)
        return tuple(first.values())
