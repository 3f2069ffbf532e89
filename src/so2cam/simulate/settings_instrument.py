"""The settings of a scenario that say how the volcano is looked at: view, cameras, gas cells, spectrometer."""

from typing import Annotated, Literal, Self

from pydantic import Field, field_validator, model_validator

from so2cam.core.site import GeoPoint, NotNegative, Optics, Point, Positive, Table
from so2cam.simulate.settings_plume import Fraction

Exposure = Annotated[float, Field(ge=1e-4, le=6, description="a whole number of microseconds")]


class LineLayout(Table):
    """Where the two cross-section lines lie."""

    upstream_distance_m: Positive = Field(default=680.0, description="from the vent, along the axis")
    separation_m: Positive = Field(default=200.0, description="between the two lines' centres")
    length_px: float = Field(default=230.0, ge=20)
    downstream_obliquity_deg: float = Field(default=3.0, ge=-40, le=40, description="from perpendicular to the axis")


class Viewpoint(Table):
    """Where the vent is, and from where it is seen."""

    vent: GeoPoint = GeoPoint(latitude=-38.25, longitude=-71.5, altitude_m=2600)
    vent_azimuth_deg: float = Field(default=15.0, ge=-360, le=360, description="from the camera, clockwise from north")
    distance_m: float = Field(default=5200.0, ge=500, le=50000, description="horizontal, from camera to vent")
    camera_altitude_m: float = Field(default=1900.0, ge=-500, le=9000)
    vent_right_of_centre_deg: float = Field(default=3.0, ge=-15, le=15)
    elevation_deg: float = Field(default=13.5, ge=-30, le=60, description="of the image's centre")
    optics: Optics = Optics(field_of_view_deg=(28.0, 21.0))


class SensorModel(Table):
    """What the two detectors do to light."""

    exposure_on_s: Exposure = 0.4
    exposure_off_s: Exposure = 0.1
    exposure_control: Literal["fixed", "automatic"] = Field(
        default="fixed",
        description="automatic: after each frame one step of the list of existing instruments, where the brightest "
        "100 pixels leave 70 to 90 % of the scale",
    )
    gain: int = Field(default=1, ge=1, le=1000)
    bits: int = Field(default=10, ge=8, le=16)
    sky_level_on_dn: Positive = Field(default=720.0, description="clear sky at the image's centre, on band")
    sky_level_off_dn: Positive = Field(default=690.0, description="clear sky at the image's centre, off band")
    noise: bool = Field(default=True, description="shot noise and read noise")
    electrons_per_dn: Positive = Field(default=67.0, description="of a stored pixel: 16 detector pixels")
    read_noise_dn: NotNegative = 0.3
    offset_dn: NotNegative = 15.0
    dark_pattern_dn: NotNegative = Field(default=0.8, description="1 sigma of the fixed pattern")
    dark_current_dn_s: NotNegative = Field(default=0.5, description="of the on-band camera")
    dark_current_off_dn_s: NotNegative = Field(default=0.7, description="of the off-band camera")
    vignetting: Fraction = Field(default=0.15, description="fall of the corners beyond cos^4")
    dust: Fraction = Field(default=0.02, description="depth of the deepest dust spot; ripple is a quarter of it")

    @field_validator("exposure_on_s", "exposure_off_s")
    @classmethod
    def _whole_microseconds(cls, value: float) -> float:
        if abs(value * 1e6 - round(value * 1e6)) > 1e-3:
            raise ValueError("must be a whole number of microseconds: that is what the names of the files hold")
        return value


class Filters(Table):
    """The band-pass filters, and the detectors' response that is common to both."""

    on_centre_nm: float = Field(default=310.0, ge=300, le=320, description="in vacuum")
    off_centre_nm: float = Field(default=330.0, ge=322, le=345, description="in vacuum")
    width_nm: float = Field(default=10.0, ge=1, le=20, description="full width at half maximum")
    exponent: float = Field(default=2.0, ge=1.5, le=12, description="of the super-Gaussian; 2 is a Gaussian")
    response_per_10_nm: float = Field(
        default=0.25, ge=-0.5, le=1, description="relative growth of the detectors' response with wavelength"
    )

    @model_validator(mode="after")
    def _apart(self) -> Self:
        if self.off_centre_nm - self.on_centre_nm < self.width_nm:
            raise ValueError("the bands overlap: their centres must lie at least width_nm apart")
        return self


class GasCells(Table):
    """The gas cells."""

    labels_ppm_m: tuple[NotNegative, ...] = Field(default=(0.0, 400.0, 1200.0), min_length=1, max_length=16)
    label_error: float | tuple[float, ...] = Field(
        default=0.0, description="true column over label minus 1: one value for all cells, or one for each"
    )
    window_transmission: float = Field(default=0.94, gt=0, le=1, description="of a cell's windows, both bands")

    @model_validator(mode="after")
    def _errors_fit(self) -> Self:
        errors = self.label_errors
        if len(errors) != len(self.labels_ppm_m):
            raise ValueError(f"label_error has {len(errors)} values for {len(self.labels_ppm_m)} cells")
        if not all(-0.9 <= error <= 5 for error in errors):
            raise ValueError("label_error must lie between -0.9 and 5")
        return self

    @property
    def label_errors(self) -> tuple[float, ...]:
        """The relative error of each cell's label."""
        if isinstance(self.label_error, tuple):
            return self.label_error
        return (self.label_error,) * len(self.labels_ppm_m)

    def true_ppm_m(self, label_ppm_m: float) -> float:
        """Return the true column [ppm m] of the cell with this label; a label that is not listed is taken as right."""
        for label, error in zip(self.labels_ppm_m, self.label_errors, strict=True):
            if label == label_ppm_m:
                return label * (1 + error)
        return label_ppm_m


class Misregistration(Table):
    """How the off-band camera is turned and shifted against the on-band camera."""

    rotation_deg: float = Field(default=1.0, ge=-10, le=10, description="about the image's centre")
    shift_px: Point = Field(default=(12.0, -9.0), description="(x, y)")
    known: bool = Field(
        default=True, description="whether the site file holds it; if not, registration is found in the frames"
    )


class SpectrometerModel(Table):
    """The spectrometer, which looks at a round spot of the on-band image."""

    cadence_s: int = Field(default=5, ge=1, le=600, description="between spectra")
    integration_time_s: float = Field(default=0.4, ge=0.001, le=10, description="whole milliseconds, of one readout")
    coadds: int = Field(default=4, ge=1, le=100, description="readouts of which a spectrum is the mean")
    pixels: int = Field(default=2048, ge=200, le=4096)
    first_nm: float = Field(default=242.0, ge=200, le=300)
    last_nm: float = Field(default=404.0, ge=340, le=420)
    width_nm: float = Field(default=0.6, ge=0.1, le=3, description="full width at half maximum of the line shape")
    exponent: float = Field(default=2.4, ge=1, le=8, description="of the super-Gaussian line shape")
    shift_nm: float = Field(
        default=0.02, ge=-0.5, le=0.5, description="true wavelength minus the one that the files state"
    )
    level_counts: Positive = Field(
        default=42000.0, description="brightest pixel within 300-340 nm for clear sky, at this integration time"
    )
    electrons_per_count: Positive = 1.2
    read_noise_counts: NotNegative = 12.0
    offset_counts: NotNegative = 1500.0
    dark_counts_s: NotNegative = 60.0
    pattern_counts: NotNegative = Field(default=20.0, description="1 sigma of the dark's fixed pattern")
    stray_light: float = Field(default=0.004, ge=0, le=0.2, description="of the mean light, on every pixel alike")
    bits: int = Field(default=16, ge=12, le=18)
    noise: bool = True
    radius_px: float = Field(default=11.6, ge=1, le=100, description="where the field of view falls to half")
    edge: float = Field(default=10.0, ge=2, le=60, description="exponent of the field of view's super-Gaussian edge")
    downstream_m: float = Field(default=40.0, description="the spot's place: along the axis from the upstream line")
    across_px: float = Field(default=0.0, description="and from the axis, upward if positive")

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        milliseconds = self.integration_time_s * 1e3
        if abs(milliseconds - round(milliseconds)) > 1e-6:
            raise ValueError("integration_time_s must be whole milliseconds: that is what the names of the files hold")
        if self.integration_time_s * self.coadds > self.cadence_s:
            raise ValueError(f"all coadds together take longer than cadence_s = {self.cadence_s}")
        return self
