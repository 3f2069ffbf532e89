"""Scenarios: what volcano, what plume, what sky and what cameras. Shipped as TOML files, or the user's own."""

import tomllib
from datetime import datetime
from importlib import resources
from pathlib import Path
from typing import Final, Self

from pydantic import Field, ValidationError, field_validator, model_validator

from so2cam.core.errors import InputError
from so2cam.core.site import Name, Table
from so2cam.core.times import require_utc
from so2cam.simulate.settings_instrument import (
    Filters,
    GasCells,
    LineLayout,
    Misregistration,
    SensorModel,
    SpectrometerModel,
    Viewpoint,
)
from so2cam.simulate.settings_plume import EmissionSource, PlumeShape, SecondVent, WindChanges
from so2cam.simulate.settings_scene import Air, Clouds, Sky, Terrain

__all__ = [
    "DEFAULT_SCENARIO",
    "Air",
    "Clouds",
    "EmissionSource",
    "Filters",
    "GasCells",
    "LineLayout",
    "Misregistration",
    "PlumeShape",
    "Scenario",
    "SecondVent",
    "SensorModel",
    "Sky",
    "SpectrometerModel",
    "Terrain",
    "Viewpoint",
    "WindChanges",
    "list_scenarios",
    "load_scenario",
]

DEFAULT_SCENARIO: Final = "baseline"
"""Name of the scenario that is used if none is named."""


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
    wind: WindChanges = WindChanges()
    second_vent: SecondVent | None = None
    lines: LineLayout = LineLayout()
    view: Viewpoint = Viewpoint()
    sensor: SensorModel = SensorModel()
    filters: Filters = Filters()
    sky: Sky = Sky()
    clouds: Clouds = Clouds()
    air: Air = Air()
    terrain: Terrain = Terrain()
    cells: GasCells = GasCells()
    misregistration: Misregistration = Misregistration()
    spectrometer: SpectrometerModel = SpectrometerModel()

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
