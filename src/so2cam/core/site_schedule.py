"""The models of the schedule in the site file: what the instrument does when, and when it has power.

A window is the time for which *all* its conditions hold: between two times of the day (UTC, over midnight too), and
the sun above or below an elevation. Several windows of one kind add up. ``so2cam.observe.schedule`` says what a
schedule means on a given day and what in it contradicts.
"""

import re
from datetime import timedelta
from typing import Final, Literal, Self

from pydantic import Field, field_validator, model_validator

from so2cam.core.site_types import Positive, Table

Action = Literal["capture", "darks", "housekeeping", "power"]
ACTIONS: Final[tuple[Action, ...]] = ("capture", "darks", "housekeeping", "power")

_CLOCK: Final = re.compile(r"([01][0-9]|2[0-4]):([0-5][0-9])(?::([0-5][0-9])(?:\.0+)?)?")
_DAY: Final = timedelta(days=1)


def parse_clock(text: str) -> timedelta:
    """Return the time of the day ``HH:MM`` or ``HH:MM:SS``, up to 24:00, since midnight.

    Raises ValueError with an example where the text is no such time.
    """
    match = _CLOCK.fullmatch(text)
    time = None
    if match is not None:
        time = timedelta(hours=int(match[1]), minutes=int(match[2]), seconds=int(match[3] or 0))
    if time is None or time > _DAY:
        raise ValueError(f"{text!r} is not a time of the day (UTC); write it like 09:30, or 24:00 for the day's end")
    return time


class Window(Table):
    """When to do something: all conditions that are given must hold; without any, always."""

    do: Action = Field(
        description="capture: frames and spectra; darks: a dark set; housekeeping: checks and cleaning that may take "
        "the disk's time; power: the board gives power"
    )
    start: str | None = Field(default=None, description='UTC, like "09:00"; needs end')
    end: str | None = Field(default=None, description='UTC, like "17:30" or "24:00"; before start: on the next day')
    sun_above_deg: float | None = Field(default=None, ge=-90, le=90, description="elevation of the sun's centre")
    sun_below_deg: float | None = Field(default=None, ge=-90, le=90, description="elevation of the sun's centre")
    repeat_min: int | None = Field(
        default=None,
        ge=5,
        le=1440,
        description="darks only: another set every so many minutes; without it one set as the window begins",
    )

    @field_validator("start", "end")
    @classmethod
    def _is_clock_time(cls, text: str | None) -> str | None:
        if text is not None:
            parse_clock(text)
        return text

    @model_validator(mode="after")
    def _conditions_can_hold(self) -> Self:
        if (self.start is None) != (self.end is None):
            missing, given = ("end", "start") if self.end is None else ("start", "end")
            raise ValueError(f"{missing} is missing: a window with {given} needs both")
        if self.start is not None and self.end is not None:
            first, last = parse_clock(self.start), parse_clock(self.end)
            if first == _DAY:
                raise ValueError('start: write "00:00" for midnight; "24:00" can only end a window')
            if first == last:
                raise ValueError('start and end are the same; for the whole day write start = "00:00", end = "24:00"')
        above, below = self.sun_above_deg, self.sun_below_deg
        if above is not None and below is not None and above >= below:
            raise ValueError(f"the sun is never above {above:g} and below {below:g} degrees at once; use two windows")
        if self.repeat_min is not None and self.do != "darks":
            raise ValueError('repeat_min belongs to windows with do = "darks"')
        return self

    @property
    def clock(self) -> tuple[timedelta, timedelta] | None:
        """Start since midnight UTC, and length; None where the time of the day does not matter."""
        if self.start is None or self.end is None:
            return None
        first, last = parse_clock(self.start), parse_clock(self.end)
        return first, last - first if last > first else last - first + _DAY

    @property
    def needs_sun(self) -> bool:
        """Whether the sun's elevation matters."""
        return self.sun_above_deg is not None or self.sun_below_deg is not None

    def words(self) -> str:
        """Return the conditions in words, like ``09:00-17:00 UTC, sun above 5 degrees``."""
        parts = [] if self.start is None else [f"{self.start}-{self.end} UTC"]
        if self.sun_above_deg is not None:
            parts.append(f"sun above {self.sun_above_deg:g} degrees")
        if self.sun_below_deg is not None:
            parts.append(f"sun below {self.sun_below_deg:g} degrees")
        return ", ".join(parts) or "always"


class Battery(Table):
    """What to do on a weak battery: shut down at the floor, and work again only when it has recovered."""

    floor_v: Positive = Field(default=11.6, description="volts under load below which the node shuts down")
    recovery_v: Positive = Field(default=12.4, description="volts from which the node works again")
    confirm_s: Positive = Field(default=120.0, description="how long the voltage must stay below the floor")
    retry_h: float = Field(default=6.0, ge=0.5, le=48, description="how long to wait before looking again")
    look_s: Positive = Field(default=180.0, description="how long a node that is not recovered stays up to be reached")

    @model_validator(mode="after")
    def _recovers_above_floor(self) -> Self:
        if self.recovery_v <= self.floor_v:
            raise ValueError(f"recovery_v ({self.recovery_v:g}) must lie above floor_v ({self.floor_v:g})")
        return self


class Power(Table):
    """When the power board gives power, and what to do on a weak battery."""

    mode: Literal["always", "follow"] = Field(
        default="always",
        description="where no window has do = \"power\": always on, or on for the other windows ('follow')",
    )
    start_earlier_min: float = Field(default=10.0, ge=0, le=120, description="follow: on before a window begins")
    stop_later_min: float = Field(default=10.0, ge=0, le=120, description="follow: on after a window ends")
    minimum_off_min: float = Field(
        default=20.0, ge=5, le=240, description="the board stays on through gaps shorter than this"
    )
    look_in_h: int = Field(
        default=24,
        ge=1,
        le=168,
        description="never off for longer: the node wakes up, reports, and takes new orders; 24 or a divisor or "
        "multiple of it",
    )
    look_in_min: float = Field(default=15.0, ge=5, le=120, description="how long such a look lasts")
    days_ahead: int = Field(default=14, ge=1, le=60, description="days for which sun-based times are compiled")
    board_folder: str | None = Field(
        default=None,
        pattern=r"^/[A-Za-z0-9/_.-]+$",
        description="folder of the Witty Pi's own software, like /opt/wittypi, if that sets the alarms; it must "
        "belong to root; absent: the agent sets them",
    )
    battery: Battery | None = None

    @field_validator("look_in_h")
    @classmethod
    def _same_every_day(cls, hours: int) -> int:
        if 24 % hours and hours % 24:
            raise ValueError("must be the same every day: 1, 2, 3, 4, 6, 8, 12, 24, or a multiple of 24")
        return hours


class Schedule(Table):
    """What the instrument does when. Without a capture window it captures whenever it has power."""

    windows: tuple[Window, ...] = ()
    power: Power = Power()

    @model_validator(mode="after")
    def _one_source_of_power_times(self) -> Self:
        if self.power.mode == "follow":
            if any(window.do == "power" for window in self.windows):
                raise ValueError(
                    'power.mode = "follow" and windows with do = "power" are two answers to when there is power; '
                    "remove one of them"
                )
            if not any(window.do == "capture" for window in self.windows):
                raise ValueError('power.mode = "follow" needs at least one window with do = "capture" to follow')
        return self

    def windows_for(self, action: Action) -> tuple[Window, ...]:
        """Return the windows of one kind."""
        return tuple(window for window in self.windows if window.do == action)

    @property
    def needs_sun(self) -> bool:
        """Whether any time depends on the sun."""
        return any(window.needs_sun for window in self.windows)
