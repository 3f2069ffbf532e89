"""The models of the site file: everything about one installation, checked.

Every table is closed (an unknown key is an error), every number has its unit in its name, and every default is
the one that a permanent camera of the existing kind needs. Reading and saving the file is ``so2cam.formats``.
"""

import math
from itertools import pairwise
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from so2cam.core.records import PlumeLine

SpeedMethod = Literal["flow_raw", "flow_histogram", "flow_hybrid", "cross_correlation"]
SPEED_METHODS: tuple[SpeedMethod, ...] = ("flow_raw", "flow_histogram", "flow_hybrid", "cross_correlation")
"""Names of all plume-speed methods."""

Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NotNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Finite = Annotated[float, Field(allow_inf_nan=False)]
Point = tuple[Finite, Finite]
Rectangle = tuple[int, int, int, int]
BackgroundName = Literal[
    "sky-surface",
    "polynomial",
    "scale",
    "scale-gradient-y",
    "profile-y",
    "scale-gradient-xy",
    "profile-y-gradient-x",
    "profile-xy",
    "rectangle",
    "clear-sky",
]
BACKGROUND_NUMBERS: dict[int, BackgroundName] = {
    0: "polynomial",
    1: "scale",
    2: "scale-gradient-y",
    3: "profile-y",
    4: "scale-gradient-xy",
    5: "profile-y-gradient-x",
    6: "profile-xy",
    7: "rectangle",
    99: "clear-sky",
}
"""Numbers of the sky-background modes in existing software (pyplis; 7 PyCam)."""
Name = Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9][A-Za-z0-9 _.-]*$")]

_NORMALS: dict[str, Point] = {"left": (-1, 0), "right": (1, 0), "up": (0, -1), "down": (0, 1)}


class Table(BaseModel):
    """A table of the site file: closed, immutable, checked in full."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class GeoPoint(Table):
    """A place on the WGS84 ellipsoid; altitude above mean sea level."""

    latitude: float = Field(ge=-90, le=90, description="degrees north")
    longitude: float = Field(ge=-180, le=180, description="degrees east")
    altitude_m: float = Field(ge=-500, le=9000, description="above sea level; used by `so2cam check`")


class Volcano(Table):
    """The volcano and its vent."""

    name: str = Field(min_length=1)
    vent: GeoPoint


class View(Table):
    """Where the camera looks: the direction of the image's centre."""

    azimuth_deg: float = Field(ge=-360, le=360, description="clockwise from true north")
    azimuth_uncertainty_deg: float = Field(default=1.0, ge=0, le=45, description="1 sigma")
    elevation_deg: float = Field(ge=-90, le=90, description="above the horizon")
    elevation_uncertainty_deg: float = Field(default=1.0, ge=0, le=45, description="1 sigma")
    roll_deg: float = Field(
        default=0.0, ge=-180, le=180, description="turn of the camera, clockwise as seen from behind it"
    )


class Optics(Table):
    """Detector and lens, of the image as it is stored (after binning)."""

    width_px: int = Field(default=648, ge=16, le=20000)
    height_px: int = Field(default=486, ge=16, le=20000)
    pixel_pitch_um: Positive = Field(default=5.6, description="distance of two stored pixels' centres")
    field_of_view_deg: tuple[Positive, Positive] | None = Field(
        default=None, description="full angle, horizontal and vertical"
    )
    focal_length_mm: Positive | None = None

    @model_validator(mode="after")
    def _lens_agrees(self) -> Self:
        lengths = self._focal_lengths_mm()
        if not lengths:
            raise ValueError("give field_of_view_deg or focal_length_mm")
        if self.field_of_view_deg and max(self.field_of_view_deg) >= 170:
            raise ValueError("field_of_view_deg must be below 170 degrees for this lens model")
        low, high = min(lengths.values()), max(lengths.values())
        if high / low - 1 > 0.02:
            stated = ", ".join(f"{name} gives {value:.3f} mm" for name, value in lengths.items())
            raise ValueError(
                f"lens data contradict each other by {100 * (high / low - 1):.0f} %: focal length from {stated}. "
                f"Correct the wrong one (with square pixels the vertical angle that goes with "
                f"{self.width_px} x {self.height_px} pixels follows from the horizontal one)"
            )
        return self

    def _focal_lengths_mm(self) -> dict[str, float]:
        lengths: dict[str, float] = {}
        if self.field_of_view_deg is not None:
            pitch_mm = self.pixel_pitch_um * 1e-3
            for axis, pixels, angle in zip(
                ("horizontal field of view", "vertical field of view"),
                (self.width_px, self.height_px),
                self.field_of_view_deg,
                strict=True,
            ):
                lengths[axis] = pixels * pitch_mm / (2 * math.tan(math.radians(angle) / 2))
        if self.focal_length_mm is not None:
            lengths["focal_length_mm"] = self.focal_length_mm
        return lengths

    @property
    def focal_length_m(self) -> float:
        """Focal length [m]: as given, or the mean of those that the two field-of-view angles give."""
        if self.focal_length_mm is not None:
            return self.focal_length_mm * 1e-3
        lengths = self._focal_lengths_mm()
        return 1e-3 * sum(lengths.values()) / len(lengths)

    @property
    def pixel_pitch_m(self) -> float:
        """Pixel pitch [m]."""
        return self.pixel_pitch_um * 1e-6


class Sensor(Table):
    """What a stored count means."""

    bits: int = Field(default=10, ge=8, le=16, description="counts run from 0 to 2^bits - 1")
    saturation_fraction: float = Field(
        default=0.98, gt=0, le=1, description="share of the full scale from which a pixel counts as saturated"
    )
    minimum_signal_dn: float = Field(
        default=5.0, ge=0, description="dark-corrected counts below which a pixel is too dark to use"
    )

    @property
    def maximum_dn(self) -> int:
        """The highest possible count [DN]."""
        return int(2**self.bits) - 1

    @property
    def saturation_dn(self) -> float:
        """Counts [DN] from which a pixel is masked as saturated."""
        return self.saturation_fraction * self.maximum_dn


class Camera(Table):
    """The camera: place, viewing direction, lens, detector."""

    position: GeoPoint
    view: View
    optics: Optics
    sensor: Sensor = Sensor()


class Files(Table):
    """How image files are named."""

    on_band: str = Field(default="fltrA", min_length=1, description="the on band's tag in a file's name")
    off_band: str = Field(default="fltrB", min_length=1, description="the off band's tag in a file's name")

    @model_validator(mode="after")
    def _tags_differ(self) -> Self:
        if self.on_band.casefold() == self.off_band.casefold():
            raise ValueError("on_band and off_band must differ")
        return self


class Registration(Table):
    """How the off-band image lies on the on-band image."""

    source: Literal["matrix", "control-points", "automatic"] = Field(
        default="matrix", description="as given; through control points; or found in the run's own frames"
    )
    matrix: tuple[tuple[Finite, Finite, Finite], tuple[Finite, Finite, Finite]] = Field(
        default=((1, 0, 0), (0, 1, 0)),
        description="takes (x, y, 1) of an on-band pixel to the (x, y) of the same scene in the off band",
    )
    control_points: tuple[tuple[Finite, Finite, Finite, Finite], ...] | None = Field(
        default=None, description="(x, y in the on band, x, y in the off band) of the same scene"
    )
    model: Literal["translation", "euclidean", "similarity", "affine"] = Field(
        default="similarity", description="what is fitted to control points, or found"
    )
    maximum_shift_px: Positive = Field(default=150.0, description="largest shift that is looked for")

    @model_validator(mode="after")
    def _points_where_needed(self) -> Self:
        if (self.source == "control-points") != (self.control_points is not None):
            raise ValueError('source = "control-points" and control_points go together: give both or neither')
        return self

    @field_validator("matrix")
    @classmethod
    def _invertible(cls, matrix: tuple[Point, Point]) -> tuple[Point, Point]:
        determinant = matrix[0][0] * matrix[1][1] - matrix[0][1] * matrix[1][0]
        if not 0.25 < determinant < 4:
            raise ValueError(f"is not a mapping between two cameras of one kind: it scales areas by {determinant:.3g}")
        return matrix


class PlumePlane(Table):
    """The vertical plane through the vent in which the plume is taken to lie."""

    orientation: Literal["perpendicular", "azimuth"] = Field(
        default="perpendicular", description="perpendicular to the viewing azimuth, or along azimuth_deg"
    )
    azimuth_deg: float | None = Field(
        default=None, ge=-360, le=360, description="compass direction in which the plume drifts (wind from + 180)"
    )
    orientation_uncertainty_deg: float = Field(default=20.0, ge=0, le=45, description="1 sigma")
    vent_distance_uncertainty_m: NotNegative = Field(
        default=50.0, description="1 sigma of the distance from camera to vent"
    )

    @model_validator(mode="after")
    def _azimuth_where_needed(self) -> Self:
        if (self.orientation == "azimuth") != (self.azimuth_deg is not None):
            raise ValueError('orientation = "azimuth" and azimuth_deg go together: give both or neither')
        return self


class Line(Table):
    """A straight plume cross-section line, in pixels of the on-band image, or a file of one."""

    name: Name
    start: Point | None = Field(default=None, description="(x, y)")
    end: Point | None = Field(default=None, description="(x, y)")
    normal: Literal["left", "right", "up", "down"] | None = Field(
        default=None, description="the side to which the plume crosses the line"
    )
    file: str | None = Field(default=None, description="a PyCam line file, relative to the site file")
    plume: Name = Field(default="plume", description="lines with one name cross the same plume")

    @model_validator(mode="after")
    def _given_once(self) -> Self:
        inline = (self.start, self.end, self.normal)
        if self.file is not None:
            if any(value is not None for value in inline):
                raise ValueError("give either file, or start, end and normal")
        elif any(value is None for value in inline):
            raise ValueError("give start, end and normal, or file")
        else:
            self.to_plume_line()
        return self

    def to_plume_line(self) -> PlumeLine:
        """Return the line as a record. Raises ValueError where it has no length or ``normal`` runs along it."""
        if self.start is None or self.end is None or self.normal is None:
            raise ValueError("the line's file has not been read")
        dx, dy = self.end[0] - self.start[0], self.end[1] - self.start[1]
        length = math.hypot(dx, dy)
        if length < 4:
            raise ValueError(f"the line is {length:.1f} px long; it must be at least 4 px")
        side = _NORMALS[self.normal]
        normal = (-dy / length, dx / length)
        along = normal[0] * side[0] + normal[1] * side[1]
        if abs(along) < 0.05:
            raise ValueError(f"normal = {self.normal!r} runs along the line; name the side it faces")
        sign = math.copysign(1.0, along)
        return PlumeLine(self.name, self.start, self.end, (normal[0] * sign, normal[1] * sign), self.plume)


class Pairing(Table):
    """Which off-band frame belongs to which on-band frame."""

    tolerance_s: Positive = Field(default=2.0, description="largest difference of mid-exposure times")


class Dark(Table):
    """Which dark frames belong to a frame."""

    exposure_tolerance: float = Field(default=0.01, ge=0, le=0.5, description="relative")
    averaging_s: NotNegative = Field(
        default=3600.0, description="darks this close to the nearest one are averaged with it"
    )


class Flat(Table):
    """The flat field, from clear-sky frames."""

    smoothing_px: NotNegative = Field(default=2.0, description="Gaussian sigma")


class Background(Table):
    """The sky behind the plume.

    Areas of sky are used by the modes that need them (`docs/background-modes.md`), and found automatically where
    they are not given.
    """

    mode: BackgroundName = Field(
        default="sky-surface",
        description="a name, or its number in existing software; sky-surface is so2cam's own",
    )
    order: int = Field(default=2, ge=0, le=3, description="polynomial order, for sky-surface and polynomial")
    skyline: tuple[Point, ...] | None = Field(
        default=None,
        description="(x, y) points, from left to right, below which there is terrain; found automatically if absent",
    )
    scale_rectangle: Rectangle | None = Field(default=None, description="(x0, y0, x1, y1)")
    y_gradient_rectangle: Rectangle | None = Field(default=None, description="(x0, y0, x1, y1)")
    x_gradient_rectangle: Rectangle | None = Field(default=None, description="(x0, y0, x1, y1)")
    y_profile: tuple[int, int, int] | None = Field(default=None, description="column of sky: (x, y0, y1)")
    x_profile: tuple[int, int, int] | None = Field(default=None, description="row of sky: (y, x0, x1)")

    @field_validator("mode", mode="before")
    @classmethod
    def _number_alias(cls, value: object) -> object:
        is_number = isinstance(value, int) and not isinstance(value, bool)
        return BACKGROUND_NUMBERS.get(int(str(value)), value) if is_number or str(value).isdecimal() else value

    @field_validator("skyline")
    @classmethod
    def _left_to_right(cls, value: tuple[Point, ...] | None) -> tuple[Point, ...] | None:
        if value is not None and (len(value) < 2 or any(b[0] <= a[0] for a, b in pairwise(value))):
            raise ValueError("needs two or more points with x increasing from left to right")
        return value

    @property
    def areas(self) -> dict[str, tuple[tuple[int, int], tuple[int, int]]]:
        """The areas given, as (first, last) corners (x, y)."""
        found = {
            name: ((area[0], area[1]), (area[2], area[3]))
            for name, area in (
                ("scale_rectangle", self.scale_rectangle),
                ("y_gradient_rectangle", self.y_gradient_rectangle),
                ("x_gradient_rectangle", self.x_gradient_rectangle),
            )
            if area is not None
        }
        if self.y_profile is not None:
            x, y0, y1 = self.y_profile
            found["y_profile"] = ((x, y0), (x, y1))
        if self.x_profile is not None:
            y, x0, x1 = self.x_profile
            found["x_profile"] = ((x0, y), (x1, y))
        return found


class Calibration(Table):
    """From absorbance to column density, by gas cells or a known slope."""

    source: Literal["cells", "fixed"] = "cells"
    model: Literal["line", "quadratic"] = Field(
        default="line", description="line: with its offset; quadratic: through the origin"
    )
    label_uncertainty: float = Field(default=0.10, ge=0, le=1, description="1 sigma of a cell's label, relative")
    label_weights: bool = Field(
        default=True, description="weight cells by the uncertainty of their labels; false: all alike"
    )
    region: tuple[Finite, Finite, Finite, Finite] | None = Field(
        default=None, description="(x0, y0, x1, y1) of the image area where a cell is read; all of it if absent"
    )
    slope_molec_cm2: Positive | None = Field(default=None, description="for source = fixed")
    slope_uncertainty_molec_cm2: NotNegative | None = Field(default=None, description="for source = fixed; 1 sigma")

    @model_validator(mode="after")
    def _complete(self) -> Self:
        given = (self.slope_molec_cm2, self.slope_uncertainty_molec_cm2)
        if self.source == "fixed" and None in given:
            raise ValueError('source = "fixed" needs slope_molec_cm2 and slope_uncertainty_molec_cm2')
        if self.source == "cells" and given != (None, None):
            raise ValueError('slope_molec_cm2 is used with source = "fixed" only; remove it or set the source')
        if self.region is not None and not (self.region[0] < self.region[2] and self.region[1] < self.region[3]):
            raise ValueError("region must be (x0, y0, x1, y1) with x0 < x1 and y0 < y1")
        return self


class OpticalFlow(Table):
    """Optical flow (Farneback 2003) on scaled absorbance images."""

    window_px: int = Field(
        default=24, ge=10, le=200, multiple_of=2, description="averaging window, in pixels of the image; even"
    )
    levels: int = Field(default=4, ge=0, le=8, description="pyramid levels")
    iterations: int = Field(default=4, ge=1, le=50)
    maximum_gap_s: Positive = Field(default=60.0, description="longest time between two images")
    maximum_relative_uncertainty: Positive = Field(
        default=0.5, description="random uncertainty over value above which the flow counts as unreliable"
    )
    acceptable_uncertainty_m_s: NotNegative = Field(
        default=0.5, description="random uncertainty of the speed that is never too large, however slow the plume"
    )


class CrossCorrelation(Table):
    """Speed from the lag between the columns of two lines (McGonigle 2005)."""

    lines: tuple[str, str] | None = Field(default=None, description="the upstream and the downstream line")
    window_s: Positive = Field(
        default=1200.0, description="length of the windows, which start on whole multiples of it"
    )
    maximum_lag_s: Positive = Field(default=240.0)
    minimum_samples: int = Field(default=12, ge=6)
    minimum_correlation: float = Field(default=0.5, ge=0, le=1)


class Speed(Table):
    """How plume speed is found."""

    methods: tuple[SpeedMethod, ...] = Field(
        default=("flow_raw", "cross_correlation"), min_length=1, description="in the order of the products"
    )
    optical_flow: OpticalFlow = OpticalFlow()
    cross_correlation: CrossCorrelation = CrossCorrelation()

    @field_validator("methods")
    @classmethod
    def _unique(cls, methods: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(methods)) != len(methods):
            raise ValueError("names a method twice")
        return methods


class Emission(Table):
    """From columns and speed to emission rates."""

    baseline_fraction: float = Field(
        default=0.12, ge=0.02, le=0.4, description="share of a line at each end that is taken as plume-free"
    )
    maximum_masked_fraction: float = Field(
        default=0.05, ge=0, le=0.5, description="share of a line's samples that may be masked and interpolated"
    )
    total_lines: tuple[str, ...] | None = Field(
        default=None,
        min_length=1,
        description="lines that are added to the total; if absent, the first line of each plume",
    )


class Processing(Table):
    """The settings of the processing chain."""

    pairing: Pairing = Pairing()
    dark: Dark = Dark()
    flat: Flat = Flat()
    background: Background = Background()
    calibration: Calibration = Calibration()
    speed: Speed = Speed()
    emission: Emission = Emission()


class Site(Table):
    """A whole installation."""

    format: Literal[1] = Field(default=1, description="version of the site file's format")
    name: Name
    volcano: Volcano
    camera: Camera
    files: Files = Files()
    registration: Registration = Registration()
    plume_plane: PlumePlane = PlumePlane()
    lines: tuple[Line, ...] = Field(min_length=1)
    processing: Processing = Processing()

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        names = [line.name for line in self.lines]
        repeated = sorted({name for name in names if names.count(name) > 1})
        if repeated:
            raise ValueError(f"lines: two lines are called {repeated[0]!r}")
        if "total" in names:
            raise ValueError("lines: 'total' is the name of the sum; call the line something else")
        for line in self.lines:
            for label, point in (("start", line.start), ("end", line.end)):
                if point is not None:
                    self.require_inside(f"lines.{line.name}.{label}", point)
        self._require_plume_across_view()
        for name, corners in self.processing.background.areas.items():
            key = f"processing.background.{name}"
            for corner in corners:
                self.require_inside(key, corner)
            extent = (corners[1][0] - corners[0][0], corners[1][1] - corners[0][1])
            if min(extent) < 0 or (min(extent) == 0 and name.endswith("rectangle")) or max(extent) == 0:
                raise ValueError(f"{key}: give the upper left corner first, then the lower right one")
        total = self.processing.emission.total_lines or ()
        if len(set(total)) != len(total):
            raise ValueError("processing.emission.total_lines names a line twice: it would be counted twice")
        self._known_lines("processing.emission.total_lines", self.processing.emission.total_lines or (), names)
        pair = self.processing.speed.cross_correlation.lines
        if pair is not None:
            self._known_lines("processing.speed.cross_correlation.lines", pair, names)
            if pair[0] == pair[1]:
                raise ValueError("processing.speed.cross_correlation.lines names one line twice")
            plumes = {line.plume for line in self.lines if line.name in pair}
            if len(plumes) > 1:
                raise ValueError(
                    "processing.speed.cross_correlation.lines: the two lines cross different plumes "
                    f"({', '.join(sorted(plumes))}), so nothing that passes one passes the other"
                )
        return self

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
        """Names of the lines whose sum is the total: as given, or the first line of each plume."""
        if self.processing.emission.total_lines is not None:
            return self.processing.emission.total_lines
        first: dict[str, str] = {}
        for line in self.lines:
            first.setdefault(line.plume, line.name)
        return tuple(first.values())
