"""The models of the instrument's devices in the site file: which driver, and how it is set.

A device is a table with a ``type`` (camera, spectrometer, power, gpio) and a ``driver``; what only one driver
understands stands in its ``options`` and is checked by that driver. Exposures are in seconds, levels are shares of
the full scale.
"""

from typing import Annotated, Any, Final, Literal, Self

from pydantic import Field, field_validator, model_validator

from so2cam.core.records import Band
from so2cam.core.site_types import Name, NotNegative, Positive, Table

SHORTEST_EXPOSURE_S: Final = 1e-6
LONGEST_EXPOSURE_S: Final = 60.0
MAXIMUM_COADDS: Final = 1000
BOTTOM_ROW: Final = 65_535
"""As the last row: down to the bottom of any image"""

Exposure = Annotated[float, Field(ge=SHORTEST_EXPOSURE_S, le=LONGEST_EXPOSURE_S, allow_inf_nan=False)]
Share = Annotated[float, Field(gt=0, lt=1, allow_inf_nan=False)]
Coadds = Annotated[int, Field(ge=1, le=MAXIMUM_COADDS)]
Driver = Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[a-z0-9][a-z0-9_-]*$")]


class AutomaticExposure(Table):
    """How exposures follow the light. Levels are shares of the full scale, the dark level taken off."""

    enabled: bool = Field(default=True, description="false: the exposure stays as it is set")
    target: Share = Field(default=0.7, description="level that an adjustment aims at")
    low: Share = Field(default=0.5, description="below this level the exposure is lengthened")
    high: Share = Field(default=0.85, description="above this level the exposure is shortened")
    brightest_pixels: int = Field(default=100, ge=1, le=1_000_000, description="whose mean is the level")
    rows: tuple[int, int] | None = Field(
        default=None, description="(first, last) row of the image that counts, from 0; all rows if absent"
    )
    window_nm: tuple[Positive, Positive] = Field(
        default=(300.0, 340.0), description="wavelengths that count, of a spectrometer"
    )
    dark_level_dn: NotNegative | None = Field(
        default=None, description="counts without light, if known; otherwise those of the newest dark, or 0"
    )

    @field_validator("rows")
    @classmethod
    def _rows_in_order(cls, value: tuple[int, int] | None) -> tuple[int, int] | None:
        if value is not None and not 0 <= value[0] <= value[1]:
            raise ValueError("must be (first, last) row, from 0 at the top")
        return value

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.window_nm[0] >= self.window_nm[1]:
            raise ValueError("window_nm must be (from, to) in nm")
        if not self.low < self.target < self.high:
            raise ValueError("low, target and high must increase in this order")
        if self.high < 1.25 * self.low:
            raise ValueError("high must be at least 1.25 times low, or the exposure would never come to rest")
        return self


class _Device(Table):
    """What all devices have."""

    name: Name = Field(description="unique among the devices of an installation, as in messages and file records")
    driver: Driver = Field(description="built in: see `so2cam instrument doctor`, or that of a plug-in")
    enabled: bool = True
    options: dict[str, Any] = Field(default={}, description="what only this driver understands")


class CameraDevice(_Device):
    """A camera of one band."""

    type: Literal["camera"] = "camera"
    band: Band
    serial: str | None = Field(default=None, max_length=128, description="refuse any other camera")
    index: int | None = Field(default=None, ge=0, le=15, description="of the camera on its computer")
    exposure_s: Exposure = Field(default=0.1, description="at the start, and while automatic exposure is off")
    minimum_exposure_s: Exposure = 1e-4
    maximum_exposure_s: Exposure = 1.0
    gain: float = Field(default=1.0, ge=1, le=64, allow_inf_nan=False)
    automatic: AutomaticExposure = AutomaticExposure()

    @model_validator(mode="after")
    def _limits(self) -> Self:
        _require_between("exposure_s", self.minimum_exposure_s, self.exposure_s, self.maximum_exposure_s)
        return self


class SpectrometerDevice(_Device):
    """A spectrometer. ``total_time_s`` lets the coadds follow the integration time."""

    type: Literal["spectrometer"] = "spectrometer"
    serial: str | None = Field(default=None, max_length=128, description="refuse any other spectrometer")
    model: str | None = Field(default=None, max_length=64, description="such as Flame-S; refuse any other model")
    integration_time_s: Exposure = Field(default=0.1, description="of one readout, at the start")
    minimum_integration_time_s: Exposure = 0.006
    maximum_integration_time_s: Exposure = 10.0
    coadds: Coadds = Field(default=1, description="readouts that are averaged, at the start")
    maximum_coadds: Coadds = 100
    total_time_s: Positive | None = Field(
        default=None, description="coadds follow: as many as fit into this time; absent: coadds stay as set"
    )
    automatic: AutomaticExposure = AutomaticExposure(target=0.7, low=0.55, high=0.85, brightest_pixels=2)

    @model_validator(mode="after")
    def _limits(self) -> Self:
        _require_between(
            "integration_time_s",
            self.minimum_integration_time_s,
            self.integration_time_s,
            self.maximum_integration_time_s,
        )
        if self.coadds > self.maximum_coadds:
            raise ValueError(f"coadds is {self.coadds}, above maximum_coadds = {self.maximum_coadds}")
        return self


class PowerDevice(_Device):
    """A board that switches the power by a schedule, and measures voltages."""

    type: Literal["power"] = "power"


class GpioDevice(_Device):
    """The wires between the computers: which line of the header has which purpose."""

    type: Literal["gpio"] = "gpio"
    outputs: dict[Name, int] = Field(
        default={}, description="purpose and GPIO number, as {start-follower = 23, stop-follower = 16}"
    )
    inputs: dict[Name, int] = Field(default={}, description="as {start = 3, stop = 21} on the follower")

    @model_validator(mode="after")
    def _lines(self) -> Self:
        numbers = [*self.outputs.values(), *self.inputs.values()]
        for number in numbers:
            if not 0 <= number <= 27:
                raise ValueError(f"GPIO {number} is not on the header: 0 to 27 are")
        repeated = sorted({number for number in numbers if numbers.count(number) > 1})
        if repeated:
            raise ValueError(f"GPIO {repeated[0]} has two purposes")
        names = set(self.outputs) & set(self.inputs)
        if names:
            raise ValueError(f"{sorted(names)[0]!r} is both an output and an input")
        return self


Device = Annotated[CameraDevice | SpectrometerDevice | PowerDevice | GpioDevice, Field(discriminator="type")]
"""Any device of a node; its ``type`` says which."""


def _require_between(key: str, low: float, value: float, high: float) -> None:
    if not low <= value <= high:
        raise ValueError(f"{key} is {value:g} s, outside its limits of {low:g} to {high:g} s")
