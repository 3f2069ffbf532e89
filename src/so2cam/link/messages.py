"""What may be said to an instrument, and what it answers: one closed set of typed messages.

Commands and results are JSON objects with a ``type``; an unknown type, an unknown key or a value of the wrong type is
refused, never guessed. ``Request`` and ``Reply`` are their envelopes: a reply carries the number of its request.
The same messages go over the Unix socket of a node and over the network.

On a stream each message is one line of UTF-8 JSON that ends with a line feed; a request has at most
``MAXIMUM_REQUEST_BYTES`` and a reply ``MAXIMUM_REPLY_BYTES``, line feed included.
"""

from typing import Annotated, Final, Literal, Self, TypeVar

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, model_validator

from so2cam.core.errors import So2camError
from so2cam.core.health import HealthRecord
from so2cam.core.site_devices import BOTTOM_ROW
from so2cam.core.site_schedule import Schedule as SiteSchedule

MAXIMUM_REQUEST_BYTES: Final = 65_536
MAXIMUM_REPLY_BYTES: Final = 1_048_576

DeviceName = Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")]
Target = Annotated[tuple[DeviceName, ...], Field(max_length=32)]
"""Devices by name; empty means all cameras and spectrometers of the node."""
Seconds = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Row = Annotated[int, Field(ge=0, le=BOTTOM_ROW)]
Wavelength = Annotated[float, Field(gt=0, le=10_000, allow_inf_nan=False)]
CellLabel = Annotated[float, Field(ge=0, lt=1e7, allow_inf_nan=False)]
ItemKind = Literal["plume", "dark", "clear", "cell", "lamp", "test"]


class MessageError(So2camError):
    """A message cannot be understood, or is too long."""


class _Message(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


# --- commands ----------------------------------------------------------------------------------------------------


class Status(_Message):
    """How is the instrument?"""

    type: Literal["status"] = "status"


class Start(_Message):
    """Capture on the time grid from now on, or ``count`` items (a sequence)."""

    type: Literal["start"] = "start"
    devices: Target = ()
    kind: Literal["plume", "clear", "test"] = "plume"
    count: Annotated[int, Field(ge=1, le=1_000_000)] | None = None


class Stop(_Message):
    """Stop capturing; darks and cells in progress end too only with ``force``."""

    type: Literal["stop"] = "stop"
    devices: Target = ()
    force: bool = False


class Shot(_Message):
    """One item now, beside whatever else is going on."""

    type: Literal["shot"] = "shot"
    devices: Target = ()
    kind: ItemKind = "test"
    cell_ppm_m: CellLabel | None = None
    exposure_s: Seconds | None = None
    """For this item only."""

    @model_validator(mode="after")
    def _label_of_cells_only(self) -> Self:
        if (self.kind == "cell") != (self.cell_ppm_m is not None):
            raise ValueError("cell_ppm_m goes with kind cell, and only with it")
        return self


class DeviceValues(_Message):
    """Settings to change; what is None stays as it is."""

    automatic: bool | None = None
    exposure_s: Seconds | None = None
    """Exposure of a camera, integration time of a spectrometer."""
    gain: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    coadds: Annotated[int, Field(ge=1)] | None = None
    period_s: Seconds | None = None
    low_fraction: Annotated[float, Field(gt=0, lt=1)] | None = None
    target_fraction: Annotated[float, Field(gt=0, lt=1)] | None = None
    high_fraction: Annotated[float, Field(gt=0, lt=1)] | None = None
    longest_exposure_s: Seconds | None = None
    """Limit of the automatic exposure."""
    shortest_exposure_s: Seconds | None = None
    brightest_pixels: Annotated[int, Field(ge=1, le=1_000_000)] | None = None
    """Whose mean is the level that the automatic exposure goes by."""
    first_row: Row | None = None
    """Of a camera: first row of the image that counts for exposure and saturation, from 0 at the top."""
    last_row: Row | None = None
    """The last row that counts; 65535: down to the bottom."""
    window_from_nm: Wavelength | None = None
    """Of a spectrometer: wavelengths from here count for exposure and saturation."""
    window_to_nm: Wavelength | None = None
    """Wavelengths up to here count."""


class DeviceChange(_Message):
    """New values for some devices; ``reset`` first takes them back to the site file."""

    devices: Target = ()
    values: DeviceValues = DeviceValues()
    reset: bool = False


class Set(_Message):
    """Change settings: all of it, or nothing."""

    type: Literal["set"] = "set"
    changes: Annotated[tuple[DeviceChange, ...], Field(min_length=1, max_length=32)]


class Darks(_Message):
    """A dark set: at the exposures used since the last one, or at those given."""

    type: Literal["darks"] = "darks"
    devices: Target = ()
    repeats: Annotated[int, Field(ge=1, le=100)] | None = None
    exposures_s: Annotated[tuple[Seconds, ...], Field(max_length=64)] = ()


class Cells(_Message):
    """Manual calibration with gas cells.

    ``begin`` holds the cameras still at their present exposure; ``take`` stores ``count`` frames of the cell of
    ``ppm_m`` (0: empty holder); ``clear`` the same without a holder; ``end`` goes on as before.
    """

    type: Literal["cells"] = "cells"
    action: Literal["begin", "take", "clear", "end"]
    devices: Target = ()
    ppm_m: CellLabel | None = None
    count: Annotated[int, Field(ge=1, le=1000)] = 5

    @model_validator(mode="after")
    def _label_where_needed(self) -> Self:
        if (self.action == "take") != (self.ppm_m is not None):
            raise ValueError("ppm_m goes with action take, and only with it")
        return self


class Schedule(_Message):
    """Show what the schedule wants; ``pause`` it (for a time), or ``resume`` it."""

    type: Literal["schedule"] = "schedule"
    action: Literal["show", "pause", "resume"] = "show"
    for_s: Seconds | None = None


class SetSchedule(_Message):
    """Follow this schedule from now on, over restarts too; null: that of the site file again.

    ``power.battery`` and ``power.board_folder`` must be those of the site file.
    """

    type: Literal["set-schedule"] = "set-schedule"
    schedule: SiteSchedule | None = None


class RestartDevice(_Message):
    """End a device's process and start it anew."""

    type: Literal["restart-device"] = "restart-device"
    device: DeviceName


class MirrorDisk(_Message):
    """The external disk: ``release`` it, so that it may be pulled out, or ``take-back``.

    Released, nothing is written to it any more, what was written is forced to it, and it is unmounted. It is taken back
    by itself when it, or another one, is plugged in again.
    """

    type: Literal["mirror-disk"] = "mirror-disk"
    action: Literal["release", "take-back"]


class FreeSpace(_Message):
    """Delete now what every receiver has confirmed, and not only when the disk fills up; the last hour stays."""

    type: Literal["free-space"] = "free-space"


class Restart(_Message):
    """End the agent and start it anew, by the site file as it is then; with ``computer`` reboot the computer."""

    type: Literal["restart"] = "restart"
    computer: bool = False


class Shutdown(_Message):
    """Stop the agent cleanly; with ``power_off`` the computer too."""

    type: Literal["shutdown"] = "shutdown"
    power_off: bool = False


Command = Annotated[
    Status
    | Start
    | Stop
    | Shot
    | Set
    | Darks
    | Cells
    | Schedule
    | SetSchedule
    | RestartDevice
    | MirrorDisk
    | FreeSpace
    | Restart
    | Shutdown,
    Field(discriminator="type"),
]

# --- results -----------------------------------------------------------------------------------------------------


class DeviceOutcome(_Message):
    """What became of a command at one device."""

    device: str
    done: bool
    text: str
    values: dict[str, bool | int | float | str | None] = {}
    """Values as they are applied now."""


class Done(_Message):
    """The command was carried out: what was done, device by device."""

    type: Literal["done"] = "done"
    text: str
    outcomes: tuple[DeviceOutcome, ...] = ()


class StatusResult(_Message):
    """The health of the node."""

    type: Literal["health"] = "health"
    health: HealthRecord


class ScheduleEntry(_Message):
    """From ``time`` on, what is wanted."""

    time: AwareDatetime
    activity: str


class ScheduleResult(_Message):
    """What is wanted now, and what comes next."""

    type: Literal["schedule"] = "schedule"
    activity: str
    paused: bool
    paused_until: AwareDatetime | None = None
    coming: tuple[ScheduleEntry, ...] = ()


class Refused(_Message):
    """Nothing was done: why, and what to do instead."""

    type: Literal["refused"] = "refused"
    text: str
    key: str | None = None
    remedy: str | None = None
    outcomes: tuple[DeviceOutcome, ...] = ()


Result = Annotated[
    Done | StatusResult | ScheduleResult | Refused,
    Field(discriminator="type"),
]

# --- envelopes ---------------------------------------------------------------------------------------------------


class Request(_Message):
    """A command, with a number by which its reply is known. ``node``: refuse where this is another one."""

    id: Annotated[int, Field(ge=0, le=2**53)] = 0
    node: str | None = None
    command: Command


class Reply(_Message):
    """The result of the request ``id``."""

    id: int
    result: Result


_T = TypeVar("_T")
_REQUEST: Final = TypeAdapter(Request)
_REPLY: Final = TypeAdapter(Reply)


def parse_request(line: bytes) -> Request:
    """Return the request of one line. Raises MessageError, in plain words, for anything else."""
    return _parse(_REQUEST, line, MAXIMUM_REQUEST_BYTES)


def parse_reply(line: bytes) -> Reply:
    """Return the reply of one line. Raises MessageError for anything else."""
    return _parse(_REPLY, line, MAXIMUM_REPLY_BYTES)


def _parse(adapter: TypeAdapter[_T], line: bytes, limit: int) -> _T:
    if len(line) > limit:
        raise MessageError(f"the message is longer than {limit} bytes", remedy="ask for less at once")
    try:
        return adapter.validate_json(line)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False)[0]
        key = ".".join(str(part) for part in first["loc"]) or None
        raise MessageError(
            f"the message cannot be understood: {first['msg']}", key=key, remedy="correct the message"
        ) from None


def encode(message: Request | Reply) -> bytes:
    """Return the message as one line."""
    return message.model_dump_json().encode() + b"\n"
