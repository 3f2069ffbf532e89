"""Scenarios: what volcano, what plume, what sky and what cameras. Shipped as TOML files, or the user's own."""

import tomllib
from datetime import datetime
from importlib import resources
from pathlib import Path
from typing import Annotated, Final, Literal, Self

from pydantic import Field, ValidationError, field_validator, model_validator

from so2cam.core.errors import InputError
from so2cam.core.site import GeoPoint, Name, NotNegative, Optics, Point, Positive, Table
from so2cam.core.times import require_utc

DEFAULT_SCENARIO: Final = "baseline"
"""Name of the scenario that is used if none is named."""

Fraction = Annotated[float, Field(ge=0, le=1)]
Exposure = Annotated[float, Field(ge=1e-4, le=6, description="a whole number of microseconds")]


class EmissionSource(Table):
    """How much SO2 leaves the vent."""

    mean_kg_s: Positive = Field(default=5.0, description="mean emission rate")
    pulsation: float = Field(default=0.2, ge=0, le=0.6, description="relative 1 sigma of puffs of 30 to 120 s")
    texture_contrast: float = Field(default=0.3, ge=0, le=0.8, description="relative 1 sigma of turbulent texture")
    texture_length_m: Positive = Field(default=20.0, description="size (Gaussian sigma) of the finest texture")


class PlumeShape(Table):
    """How the plume moves: along a straight inclined axis, at constant speed, growing linearly."""

    speed_m_s: float = Field(default=10.0, ge=0.5, le=60, description="speed along the axis")
    toward: Literal["left", "right"] = Field(default="left", description="the side of the image it drifts to")
    inclination_deg: float = Field(default=35.0, ge=10, le=80, description="of the axis, above the horizontal")
    half_width_m: Positive = Field(default=58.0, description="half-width where the axis begins, inside the crater")
    opening: float = Field(default=0.235, ge=0, le=1, description="growth of the half-width per metre of axis")
    aerosol_optical_depth: NotNegative = Field(
        default=0.03, description="of both bands, per 1e18 molecules cm-2 of SO2 on the line of sight"
    )


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
    gain: int = Field(default=1, ge=1, le=1000)
    bits: int = Field(default=10, ge=8, le=16)
    sky_level_on_dn: Positive = Field(default=720.0, description="clear sky at the image's centre, on band")
    sky_level_off_dn: Positive = Field(default=690.0, description="clear sky at the image's centre, off band")
    noise: bool = Field(default=True, description="shot noise and read noise")
    electrons_per_dn: Positive = Field(default=67.0, description="of a stored pixel: 16 detector pixels")
    read_noise_dn: NotNegative = 0.3
    offset_dn: NotNegative = 15.0
    dark_pattern_dn: NotNegative = Field(default=0.8, description="1 sigma of the fixed pattern")
    dark_current_dn_s: NotNegative = 0.5
    vignetting: Fraction = Field(default=0.15, description="fall of the corners beyond cos^4")
    dust: Fraction = Field(default=0.02, description="depth of the deepest dust spot; ripple is a quarter of it")

    @field_validator("exposure_on_s", "exposure_off_s")
    @classmethod
    def _whole_microseconds(cls, value: float) -> float:
        if abs(value * 1e6 - round(value * 1e6)) > 1e-3:
            raise ValueError("must be a whole number of microseconds: that is what the names of the files hold")
        return value


class Sky(Table):
    """The sky behind the plume. Its logarithm is a quadratic surface in x and y, different in the two bands."""

    gradient: NotNegative = Field(default=1.0, description="scale of the clear-sky frames' surface")
    difference: NotNegative = Field(default=1.0, description="scale of the change from there to the plume's sky")
    drift: NotNegative = Field(default=1.0, description="scale of the change with time, some percent per hour")


class GasCells(Table):
    """The gas cells and the effective absorption of the two bands."""

    labels_ppm_m: tuple[NotNegative, ...] = Field(default=(0.0, 400.0, 1200.0), min_length=1, max_length=16)
    window_transmission: float = Field(default=0.94, gt=0, le=1, description="of a cell's windows, both bands")
    cross_section_on_cm2: Positive = 1.42e-19
    cross_section_off_cm2: NotNegative = 2.0e-21

    @model_validator(mode="after")
    def _on_absorbs_more(self) -> Self:
        if self.cross_section_on_cm2 <= self.cross_section_off_cm2:
            raise ValueError("cross_section_on_cm2 must be larger than cross_section_off_cm2")
        return self


class Misregistration(Table):
    """How the off-band camera is turned and shifted against the on-band camera."""

    rotation_deg: float = Field(default=1.0, ge=-10, le=10, description="about the image's centre")
    shift_px: Point = Field(default=(12.0, -9.0), description="(x, y)")


class Scenario(Table):
    """One simulated installation and day. Every value has a default: that of the scenario ``baseline``."""

    name: Name
    description: str = ""
    start: datetime = Field(
        default=datetime.fromisoformat("2026-01-15T14:00:00Z"), description="of the first plume pair, UTC"
    )
    cadence_s: int = Field(default=5, ge=1, le=600, description="between pairs")
    emission: EmissionSource = EmissionSource()
    plume: PlumeShape = PlumeShape()
    lines: LineLayout = LineLayout()
    view: Viewpoint = Viewpoint()
    sensor: SensorModel = SensorModel()
    sky: Sky = Sky()
    cells: GasCells = GasCells()
    misregistration: Misregistration = Misregistration()

    @field_validator("start")
    @classmethod
    def _whole_second(cls, value: datetime) -> datetime:
        start = require_utc(value)
        if start.microsecond:
            raise ValueError("must be a whole second: the names of the files hold no fraction")
        return start

    @model_validator(mode="after")
    def _exposures_fit(self) -> Self:
        if max(self.sensor.exposure_on_s, self.sensor.exposure_off_s) > self.cadence_s:
            raise ValueError(f"sensor: an exposure is longer than cadence_s = {self.cadence_s}")
        return self


def list_scenarios() -> tuple[str, ...]:
    """Return the names of the scenarios that come with so2cam, the default first."""
    folder = resources.files("so2cam.simulate") / "scenarios"
    names = {entry.name.removesuffix(".toml") for entry in folder.iterdir() if entry.name.endswith(".toml")}
    return (DEFAULT_SCENARIO, *sorted(names - {DEFAULT_SCENARIO}))


def load_scenario(name_or_path: str | Path = DEFAULT_SCENARIO) -> Scenario:
    """Return a scenario of so2cam by its name, or the user's own by the path of its TOML file.

    Raises InputError for a name that is not known (the message lists those that are) and for a wrong value.
    """
    if isinstance(name_or_path, str) and name_or_path in list_scenarios():
        entry = resources.files("so2cam.simulate") / "scenarios" / f"{name_or_path}.toml"
        return _parse(entry.read_text(encoding="utf-8"), f"scenario {name_or_path}")
    path = Path(name_or_path)
    if path.suffix != ".toml":
        raise InputError(
            "there is no such scenario",
            key="scenario",
            value=str(name_or_path),
            remedy=f"choose one of {', '.join(list_scenarios())}, or give the path of a .toml file",
        )
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(
            f"the scenario file cannot be read: {error}",
            file=path,
            remedy=f"give a readable .toml file, or one of {', '.join(list_scenarios())}",
        ) from error
    return _parse(text, path)


def _parse(text: str, source: Path | str) -> Scenario:
    try:
        return Scenario.model_validate(tomllib.loads(text))
    except tomllib.TOMLDecodeError as error:
        raise InputError(f"is not valid TOML: {error}", file=source) from error
    except ValidationError as error:
        problems = error.errors()
        first = problems[0]
        more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
        raise InputError(
            f"{first['msg']}{more}",
            file=source,
            key=".".join(str(part) for part in first["loc"]) or None,
            value=first["input"] if first["loc"] else None,
            remedy="correct this value; every key may be left out, and then has the baseline's value",
        ) from error
