"""The models of the site file's ``[processing]``."""

from itertools import pairwise
from typing import Literal

from pydantic import Field, field_validator

from so2cam.core.site_calibration import Calibration
from so2cam.core.site_dilution import LightDilution
from so2cam.core.site_types import NotNegative, Point, Positive, Rectangle, Table

SpeedMethod = Literal["flow_raw", "flow_histogram", "flow_hybrid", "cross_correlation", "nadeau", "wind"]
SPEED_METHODS: tuple[SpeedMethod, ...] = (
    "flow_raw",
    "flow_histogram",
    "flow_hybrid",
    "cross_correlation",
    "nadeau",
    "wind",
)
"""Names of all plume-speed methods."""

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


class Pairing(Table):
    """Which off-band frame belongs to which on-band frame."""

    tolerance_s: Positive = Field(default=2.0, description="largest difference of mid-exposure times")
    off_band: Literal["nearest", "interpolated"] = Field(
        default="nearest",
        description="interpolated: between the off-band frames before and after, where it has the denser cadence",
    )
    maximum_gap_s: Positive = Field(
        default=10.0, description="longest time between the two off-band frames that are interpolated"
    )


class Dark(Table):
    """Which dark frames belong to a frame."""

    model: Literal["matching", "exposure"] = Field(
        default="matching",
        description="matching: darks of the frame's own exposure; exposure: offset and dark current, from the shortest "
        "and the longest dark of the same band and gain",
    )
    exposure_tolerance: float = Field(default=0.01, ge=0, le=0.5, description="relative")
    averaging_s: NotNegative = Field(
        default=3600.0, description="darks this close to the nearest one are averaged with it"
    )


class Flat(Table):
    """The flat field, from clear-sky frames."""

    smoothing_px: NotNegative = Field(default=2.0, description="Gaussian sigma")


class HotPixels(Table):
    """Pixels with much dark signal of their own, found in the darks and filled from their neighbours."""

    repair: bool = True
    threshold_sigma: float = Field(
        default=10.0, ge=4, description="above the median of their neighbours in the dark, in robust sigma"
    )
    minimum_dn: NotNegative = Field(default=5.0, description="and at least this far above it")


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


class OpticalFlow(Table):
    """Optical flow on scaled absorbance images."""

    algorithm: Literal["farneback", "dis"] = Field(
        default="farneback", description="Farneback (2003), or DIS (Kroeger 2016), which works on 8 bits"
    )
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


class ProfileShift(Table):
    """Speed from the shift of the absorbance profile along the plume's axis between two images (Nadeau 2011)."""

    axis_deg: float | None = Field(
        default=None,
        ge=-360,
        le=360,
        description="direction of the drift in the image, 0 up, 90 right; found if absent",
    )
    length_px: float = Field(default=200.0, ge=30, le=5000, description="length of the profile along the axis")
    width_px: float = Field(default=40.0, ge=1, le=1000, description="width over which the profile is averaged")
    maximum_shift_px: float = Field(default=40.0, ge=2, le=500)
    mean_of: int = Field(default=20, ge=3, le=500, description="profiles whose mean, which stands still, is subtracted")


class Speed(Table):
    """How plume speed is found."""

    methods: tuple[SpeedMethod, ...] = Field(
        default=("flow_raw", "cross_correlation"), min_length=1, description="in the order of the products"
    )
    optical_flow: OpticalFlow = OpticalFlow()
    cross_correlation: CrossCorrelation = CrossCorrelation()
    nadeau: ProfileShift = ProfileShift()

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
    aerosol_exponent_uncertainty: NotNegative = Field(
        default=1.0,
        le=4,
        description="1 sigma of the Angstrom exponent of the plume's aerosol, which is taken to be 0",
    )
    total_lines: tuple[str, ...] | None = Field(
        default=None,
        min_length=1,
        description="lines that are added to the total; if absent, the first emission line of each plume",
    )


class Processing(Table):
    """The settings of the processing chain."""

    pairing: Pairing = Pairing()
    dark: Dark = Dark()
    hot_pixels: HotPixels = HotPixels()
    flat: Flat = Flat()
    background: Background = Background()
    calibration: Calibration = Calibration()
    light_dilution: LightDilution = LightDilution()
    speed: Speed = Speed()
    emission: Emission = Emission()
