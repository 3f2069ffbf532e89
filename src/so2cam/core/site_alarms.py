"""The models of the station's alarms in the site file: rules, and whom they tell.

A rule watches one number, and an event begins when the number has been beyond the threshold for ``for_s``. It ends when
the number is back at ``clear``. A number that is not known starts and ends nothing.
"""

import re
from typing import Annotated, Final, Literal, Self

from pydantic import Field, field_validator, model_validator

from so2cam.core.site_types import Finite, Name, NotNegative, Positive, Table

AlarmLevel = Literal["warning", "alarm"]
DataSource = Literal["frames", "spectra", "results", "health"]

_HYSTERESIS: Final = 0.05
"""Share of the threshold by which a number must be back, where no value to clear at is given."""
_QUANTITY: Final = re.compile(r"[a-z][a-z0-9_]*(\.[A-Za-z0-9_-]+)*")
_VARIABLE: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


class _Rule(Table):
    name: Name
    level: AlarmLevel = "alarm"
    for_s: NotNegative = Field(default=0.0, description="how long the number must be beyond the threshold first")
    above: Finite | None = Field(default=None, description="an event begins above this value")
    below: Finite | None = Field(default=None, description="an event begins below this value")
    clear: Finite | None = Field(
        default=None, description="it ends at this value; absent: 5 % of the threshold within it"
    )
    targets: tuple[str, ...] | None = Field(default=None, description="names of who is told; absent: all")

    @model_validator(mode="after")
    def _one_side(self) -> Self:
        if (self.above is None) == (self.below is None):
            raise ValueError("give either above or below")
        if self.clear is not None and (
            (self.above is not None and self.clear > self.above) or (self.below is not None and self.clear < self.below)
        ):
            raise ValueError("clear must lie on the good side of the threshold")
        return self

    @property
    def threshold(self) -> float:
        """The value beyond which an event begins."""
        return self.above if self.above is not None else float(self.below or 0.0)

    @property
    def clears_at(self) -> float:
        """The value at which an event ends."""
        if self.clear is not None:
            return self.clear
        margin = abs(self.threshold) * _HYSTERESIS
        return self.threshold - margin if self.above is not None else self.threshold + margin


class EmissionRateRule(_Rule):
    """The emission rate [kg s-1] is above or below a value: the median of the last ``average_s``."""

    type: Literal["emission-rate"]
    line: Name = Field(default="total", description="a line, or the total")
    method: str | None = Field(default=None, description="speed method; absent: the first of the site file")
    average_s: Positive = Field(default=120.0, description="span before the newest value whose median counts")
    maximum_age_s: Positive = Field(default=900.0, description="older values say nothing of now")


class RateOfChangeRule(_Rule):
    """The emission rate rises or falls: median of the last ``window_s`` minus that of the ``window_s`` before it.

    In kg s-1, or with ``relative`` as a share of the earlier one: 1 is twice as much. Each window needs 5 values.
    """

    type: Literal["rate-of-change"]
    line: Name = "total"
    method: str | None = None
    window_s: Positive = 600.0
    relative: bool = False
    maximum_age_s: Positive = 900.0


class NoDataRule(_Rule):
    """Nothing new came for longer than ``above`` seconds, while something was to come by the schedule."""

    type: Literal["no-data"]
    of: DataSource = "frames"
    above: Finite | None = 900.0
    always: bool = Field(default=False, description="true: also when the schedule wants nothing")


class HealthRule(_Rule):
    """A number of the instrument's health record, as disks.spool.free_fraction."""

    type: Literal["health"]
    quantity: str
    node: str | None = Field(default=None, description="absent: each node that has this number")

    @field_validator("quantity")
    @classmethod
    def _known_form(cls, value: str) -> str:
        if not _QUANTITY.fullmatch(value):
            raise ValueError("must be like disks.spool.free_fraction")
        return value


class InstrumentRule(_Rule):
    """What a node says of itself: 0 is well, 1 a warning, 2 an alarm."""

    type: Literal["instrument"]
    above: Finite | None = 1.5
    for_s: NotNegative = 120.0


class DiskRule(_Rule):
    """The free share of any disk, of a node or of the station."""

    type: Literal["disk"]
    below: Finite | None = 0.05
    clear: Finite | None = 0.08
    for_s: NotNegative = 60.0


class ClockRule(_Rule):
    """How far a node's clock can be wrong [s]; a clock that was never set is infinitely wrong."""

    type: Literal["clock"]
    above: Finite | None = 1.0
    for_s: NotNegative = 300.0


class BatteryRule(_Rule):
    """The voltage of the supply [V], as the power board reads it."""

    type: Literal["battery"]
    below: Finite | None = 11.8
    clear: Finite | None = 12.2
    for_s: NotNegative = 120.0
    reading: str = Field(default="input_voltage_v", description="of the power board")


AlarmRule = Annotated[
    EmissionRateRule | RateOfChangeRule | NoDataRule | HealthRule | InstrumentRule | DiskRule | ClockRule | BatteryRule,
    Field(discriminator="type"),
]

STANDARD_RULES: Final[tuple[AlarmRule, ...]] = (
    NoDataRule(type="no-data", name="no frames"),
    NoDataRule(type="no-data", name="no news of the instrument", of="health", always=True, above=3600.0),
    InstrumentRule(type="instrument", name="instrument"),
    DiskRule(type="disk", name="disk nearly full"),
    ClockRule(type="clock", name="clock wrong", level="warning"),
    BatteryRule(type="battery", name="battery low"),
)
"""What every station watches, unless ``standard = false``; a rule of the same name replaces one of these."""


class AlarmTarget(Table):
    """Who is told, by an address of apprise (mailto://, tgram://, and a hundred more).

    Such an address holds a password, so it is no part of this file: it is the first line of a file, or the value of an
    environment variable.
    """

    name: Name
    url_file: str | None = Field(default=None, min_length=1, description="relative to the site file")
    url_environment: str | None = Field(default=None, description="name of an environment variable")
    minimum_level: AlarmLevel = "alarm"
    tell_end: bool = Field(default=True, description="also tell when it is over")

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if (self.url_file is None) == (self.url_environment is None):
            raise ValueError("give either url_file or url_environment")
        if self.url_environment is not None and not _VARIABLE.fullmatch(self.url_environment):
            raise ValueError("url_environment must be the name of an environment variable, like SO2CAM_MAIL")
        return self


class Alarms(Table):
    """Alarms of the station."""

    standard: bool = Field(default=True, description="also watch what every station should")
    rules: tuple[AlarmRule, ...] = ()
    targets: tuple[AlarmTarget, ...] = ()
    retry_for_h: Positive = Field(default=24.0, description="how long a message that cannot be sent is tried again")
    page: str | None = Field(default=None, description="an address for people, which messages name")

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        for what, names in (
            ("rules", [rule.name for rule in self.rules]),
            ("targets", [target.name for target in self.targets]),
        ):
            twice = sorted({name for name in names if names.count(name) > 1})
            if twice:
                raise ValueError(f"{what}: two are called {twice[0]!r}")
        known = {target.name for target in self.targets}
        for rule in self.rules:
            for name in rule.targets or ():
                if name not in known:
                    raise ValueError(
                        f"rules: {rule.name!r} tells {name!r}, and there is no such target "
                        f"(targets: {', '.join(sorted(known)) or 'none'})"
                    )
        return self

    def require_lines(self, lines: tuple[str, ...]) -> None:
        """Raise ValueError where a rule watches a line that is not one of ``lines``."""
        for rule in self.rules:
            if isinstance(rule, EmissionRateRule | RateOfChangeRule) and rule.line not in (*lines, "total"):
                raise ValueError(
                    f"alarms.rules: {rule.name!r} watches {rule.line!r}, and there is no such line "
                    f"(lines: {', '.join(lines)}, total)"
                )

    @property
    def effective(self) -> tuple[AlarmRule, ...]:
        """The rules that hold: those given, and the standard ones that they do not replace."""
        if not self.standard:
            return self.rules
        given = {rule.name for rule in self.rules}
        return (*self.rules, *(rule for rule in STANDARD_RULES if rule.name not in given))


__all__ = [
    "STANDARD_RULES",
    "AlarmLevel",
    "AlarmRule",
    "AlarmTarget",
    "Alarms",
    "BatteryRule",
    "ClockRule",
    "DataSource",
    "DiskRule",
    "EmissionRateRule",
    "HealthRule",
    "InstrumentRule",
    "NoDataRule",
    "RateOfChangeRule",
]
