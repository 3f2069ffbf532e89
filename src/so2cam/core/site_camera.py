"""The models of the site file's camera: where it stands and looks, what it sees with, how its files are named."""

import math
from typing import Annotated, Literal, Self

from pydantic import Field, field_validator, model_validator

from so2cam.core.site_types import Finite, NotNegative, Point, Positive, Table


class GeoPoint(Table):
    """A place on the WGS84 ellipsoid; altitude above mean sea level."""

    latitude: float = Field(ge=-90, le=90, description="degrees north")
    longitude: float = Field(ge=-180, le=180, description="degrees east")
    altitude_m: float = Field(ge=-500, le=9000, description="above sea level; used by `so2cam check`")


class Volcano(Table):
    """The volcano and its vent."""

    name: str = Field(min_length=1)
    vent: GeoPoint


class Landmark(Table):
    """A summit, mast or building that the image shows, by which the viewing direction is found."""

    position: GeoPoint
    pixel: Point = Field(description="(x, y) where the on-band image shows it")
    pixel_uncertainty_px: Positive = Field(default=3.0, description="1 sigma, each way")
    position_uncertainty_m: NotNegative = Field(default=20.0, description="1 sigma, each way")


class View(Table):
    """Where the camera looks: the direction of the image's centre.

    With a landmark, azimuth, elevation and their uncertainties are found from it; those given are then what the
    camera was aimed at, and only compared.
    """

    azimuth_deg: float = Field(ge=-360, le=360, description="clockwise from true north")
    azimuth_uncertainty_deg: float = Field(default=1.0, ge=0, le=45, description="1 sigma")
    elevation_deg: float = Field(ge=-90, le=90, description="above the horizon")
    elevation_uncertainty_deg: float = Field(default=1.0, ge=0, le=45, description="1 sigma")
    roll_deg: float = Field(
        default=0.0, ge=-180, le=180, description="turn of the camera, clockwise as seen from behind it"
    )
    landmark: Landmark | None = None


class Optics(Table):
    """Detector and lens, of the image as it is stored (after binning)."""

    width_px: int = Field(default=648, ge=16, le=20000)
    height_px: int = Field(default=486, ge=16, le=20000)
    pixel_pitch_um: Positive = Field(default=5.6, description="distance of two stored pixels' centres")
    field_of_view_deg: tuple[Positive, Positive] | None = Field(
        default=None, description="full angle, horizontal and vertical"
    )
    focal_length_mm: Positive | None = None
    relative_uncertainty: float = Field(
        default=0.005, ge=0, le=0.2, description="1 sigma of the focal length, however it is given"
    )

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


Wavelength = Annotated[float, Field(ge=280, le=400)]


class Filters(Table):
    """The two bands: transmission of filter and sensor together, as super-Gaussians of wavelength.

    They give the calibration curve its shape, and light dilution and aerosol their size in each band.
    """

    on_band_nm: Wavelength = Field(default=310.0, description="centre of the on band")
    off_band_nm: Wavelength = Field(default=330.0, description="centre of the off band")
    on_band_width_nm: float = Field(default=10.0, ge=1, le=40, description="full width at half maximum")
    off_band_width_nm: float = Field(default=10.0, ge=1, le=40, description="full width at half maximum")
    exponent: float = Field(default=2.0, ge=1, le=20, description="2 is a Gaussian; larger is more like a box")
    centre_uncertainty_nm: NotNegative = Field(default=1.0, description="1 sigma, tilt and tolerance of the filter")
    o3_column_molec_cm2: NotNegative = Field(
        default=1.6e19, description="ozone on the light's way, which weakens the short end of the on band"
    )

    @model_validator(mode="after")
    def _on_below_off(self) -> Self:
        if self.on_band_nm >= self.off_band_nm:
            raise ValueError("on_band_nm must be below off_band_nm: SO2 absorbs at the shorter wavelength")
        return self


class Camera(Table):
    """The camera: place, viewing direction, lens, filters, detector."""

    position: GeoPoint
    view: View
    optics: Optics
    filters: Filters = Filters()
    sensor: Sensor = Sensor()


class Files(Table):
    """How image files are named."""

    naming: Literal["picam", "envicam", "pattern"] = Field(
        default="picam",
        description="picam: PNG of existing instruments; envicam: FITS like EC2_..._F01_Etna.fts; pattern: any other",
    )
    pattern: str | None = Field(
        default=None,
        description="for pattern: a file's name with fields in braces, like "
        "'cam_{band}_{time:%Y%m%d_%H%M%S}_{exposure_ms}ms_{kind}.png'; `{any}` stands for what does not matter",
    )
    on_band: str = Field(default="fltrA", min_length=1, description="the on band's tag in a file's name")
    off_band: str = Field(default="fltrB", min_length=1, description="the off band's tag in a file's name")
    kinds: dict[str, Literal["plume", "dark", "clear", "cell", "test"]] = Field(
        default={},
        description="what words in {kind} (or, where a name has none, in {band}) mean, beside the kinds' own names; "
        "darks without a band belong to both",
    )
    gains: dict[str, Positive] = Field(default={}, description="the gain that a word in {gain} stands for")
    exposure_s: Positive | None = Field(default=None, description="where neither name nor file tells")
    stamp: Literal["start", "middle", "end"] = Field(default="start", description="what of the exposure a time marks")
    utc_offset_hours: float = Field(default=0.0, ge=-14, le=14, description="the files' time minus UTC")

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.on_band.casefold() == self.off_band.casefold():
            raise ValueError("on_band and off_band must differ")
        if (self.naming == "pattern") != (self.pattern is not None):
            raise ValueError('naming = "pattern" and pattern go together: give both or neither')
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
    uncertainty_px: NotNegative = Field(default=0.3, le=20, description="1 sigma, each way, over the plume")

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


class Wind(Table):
    """The wind at the plume's height: one value, or a table in time (CSV with the same names as columns, and time)."""

    file: str | None = Field(
        default=None,
        description="CSV with the columns time (UTC), speed_m_s, direction_from_deg and, if known, "
        "speed_uncertainty_m_s, direction_uncertainty_deg; relative to the site file",
    )
    speed_m_s: NotNegative | None = None
    direction_from_deg: float | None = Field(
        default=None, ge=-360, le=360, description="where the wind comes from, clockwise from true north"
    )
    speed_uncertainty_m_s: Positive = Field(default=2.0, description="1 sigma")
    direction_uncertainty_deg: float = Field(default=15.0, gt=0, le=90, description="1 sigma")
    maximum_gap_s: Positive = Field(
        default=10800.0, description="longest time between two rows of the file that is interpolated"
    )

    @model_validator(mode="after")
    def _given_once(self) -> Self:
        values = (self.speed_m_s, self.direction_from_deg)
        if self.file is None and None in values:
            raise ValueError("give speed_m_s and direction_from_deg, or file")
        if self.file is not None and values != (None, None):
            raise ValueError("give either file, or speed_m_s and direction_from_deg")
        return self


class PlumePlane(Table):
    """The vertical plane through the vent in which the plume is taken to lie."""

    orientation: Literal["perpendicular", "azimuth", "wind"] = Field(
        default="perpendicular",
        description="perpendicular to the viewing azimuth, along azimuth_deg, or along the wind of [wind]",
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
