"""The record of an instrument's health: what a node says of itself once a minute, on change, and when asked.

Everything is plain data with its unit in its name; what could not be read is None, never a number that looks valid.
"""

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

FiniteOrNone = Annotated[float | None, Field(allow_inf_nan=False)]


class Level(StrEnum):
    """How a thing is: well, worth a look, or failing."""

    OK = "ok"
    WARNING = "warning"
    ALARM = "alarm"


class DeviceState(StrEnum):
    """What a device is doing."""

    STARTING = "starting"
    """Its process starts and opens it."""
    IDLE = "idle"
    """Open and ready; nothing to do."""
    CAPTURING = "capturing"
    DARKS = "darks"
    CELLS = "cells"
    """Held still for a manual calibration with gas cells."""
    WAITING = "waiting"
    """It failed and is started again after a pause."""
    STOPPED = "stopped"


class _Record(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class DeviceHealth(_Record):
    """One device. Counts are since the agent started, unless they say otherwise."""

    name: str
    role: Literal["camera", "spectrometer", "power"]
    band: str | None = None
    driver: str = ""
    serial: str | None = None
    state: DeviceState = DeviceState.STARTING
    level: Level = Level.OK
    last_error: str | None = None
    last_error_time: AwareDatetime | None = None
    restarts: int = 0
    next_start_in_s: FiniteOrNone = None
    kind: str | None = None
    period_s: FiniteOrNone = None
    rate_hz: FiniteOrNone = None
    """Items stored within the last minute (or five periods, if longer), per second."""
    captured: int = 0
    stored: int = 0
    skipped_grid_points: int = 0
    """Grid times without an item because an exposure, or a wait for the device, was longer than the period."""
    lost: int = 0
    """Captured and not stored, because the disk refused for too long."""
    rejected: int = 0
    """Items that the device gave and that could not be used: wrong shape, stale, garbage."""
    queued: int = 0
    """Captured, and waiting to be stored."""
    last_item_time: AwareDatetime | None = None
    last_item_age_s: FiniteOrNone = None
    last_sequence: int | None = None
    last_offset_s: FiniteOrNone = None
    """Mid-exposure minus grid time of the last item."""
    automatic: bool | None = None
    exposure_s: FiniteOrNone = None
    """As the device reported it of the last item."""
    gain: FiniteOrNone = None
    coadds: int | None = None
    signal_fraction: FiniteOrNone = None
    """What the exposure law measures, as a share of the full scale."""
    saturated_fraction: FiniteOrNone = None
    exposure_note: str | None = None
    temperature_c: FiniteOrNone = None
    readings: dict[str, float] = {}
    """What else a device measures: of a power board voltages and currents, keys with their unit."""
    overrides: dict[str, bool | int | float] = {}
    """Settings changed while running that differ from the site file."""


class DiskHealth(_Record):
    """A disk that the instrument writes to."""

    name: str
    path: str
    present: bool
    free_bytes: int | None = None
    total_bytes: int | None = None
    note: str | None = None

    @property
    def free_fraction(self) -> float | None:
        """Free share of the disk."""
        return None if not self.total_bytes or self.free_bytes is None else self.free_bytes / self.total_bytes


class SpoolHealth(_Record):
    """What is kept on the node."""

    items: int | None = None
    undelivered: int | None = None
    undelivered_bytes: int | None = None
    last_sequence: int | None = None
    deleted_undelivered: int = 0
    missing: int = 0
    quarantined: int = 0
    mirror: str | None = None
    """The state of the mirror on an external disk, in words."""
    mirror_behind: int | None = None
    error: str | None = None


class ClockHealth(_Record):
    """How far the node's clock can be trusted. ``quality`` is what each record of data carries too."""

    quality: Literal["gps", "ntp", "synchronised", "free", "unset"]
    offset_s: FiniteOrNone = None
    maximum_error_s: FiniteOrNone = None
    steps: int = 0
    last_step_s: FiniteOrNone = None


class SystemHealth(_Record):
    """The computer."""

    cpu_temperature_c: FiniteOrNone = None
    throttled: tuple[str, ...] = ()
    load: FiniteOrNone = None
    memory_free_bytes: int | None = None
    agent_memory_bytes: int | None = None
    uptime_s: FiniteOrNone = None
    boots: int | None = None
    """Starts of the computer that the agent has seen."""
    starts: int | None = None
    """Starts of the agent."""


class AlarmHealth(_Record):
    """A condition of the site file that holds now."""

    name: str
    level: Level
    text: str
    since: AwareDatetime


class HealthRecord(_Record):
    """Everything at one moment."""

    format: Literal[1] = 1
    time: AwareDatetime
    node: str
    site: str
    version: str
    reason: str
    """Why it was written: ``minute``, ``change``, ``start``, ``stop``, ``asked``."""
    level: Level
    summary: str
    """The worst of it in one sentence."""
    activity: str
    """What the schedule and people want now, in words."""
    next_change: AwareDatetime | None = None
    devices: tuple[DeviceHealth, ...] = ()
    disks: tuple[DiskHealth, ...] = ()
    spool: SpoolHealth = SpoolHealth()
    clock: ClockHealth
    system: SystemHealth = SystemHealth()
    alarms: tuple[AlarmHealth, ...] = ()
