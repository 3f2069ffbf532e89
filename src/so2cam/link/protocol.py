"""What is said over the network: the commands of ``link.messages``, and questions for files, events and pictures.

A ``Call`` is one question or command with a number; an ``Answer`` bears the number of its call. Commands that change
something need a key (``Call.key``): the same key never takes effect twice, and its result can be asked again.

On a WebSocket each call is one text message. An answer is one text message too, or, where it carries bytes (``Data``),
one binary message: the length of the JSON in 4 bytes (big-endian), the JSON, and the bytes.
"""

import hashlib
from dataclasses import dataclass
from enum import IntEnum
from typing import Annotated, Any, Final, Literal, get_args

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from so2cam.core.health import HealthRecord
from so2cam.core.site_schedule import Schedule as SiteSchedule
from so2cam.link import messages
from so2cam.link.aiming import Examine, ExamineResult, Sight, SightResult
from so2cam.link.messages import MAXIMUM_REPLY_BYTES, MAXIMUM_REQUEST_BYTES, MessageError
from so2cam.store.items import StoredItem, item_digest

PROTOCOL: Final = 1
MAXIMUM_PART_BYTES: Final = 262_144
"""Most bytes of a file in one answer."""
LONGEST_WAIT_S: Final = 25.0
"""How long a question for events may wait for one."""

Sequence = Annotated[int, Field(ge=1, le=2**53)]
Key = Annotated[str, Field(min_length=8, max_length=64, pattern=r"^[A-Za-z0-9._:-]+$")]
Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Word = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]
FileName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._+-]{0,219}$")]
"""A plain name: no folder, nothing hidden, nothing that a shell or a file system takes for something else."""


Code = Literal["ok", "refused", "credential", "role", "rate", "message", "unknown"]
"""Why an answer is a refusal, in a word for programs."""
HTTP_STATUS: Final[dict[str, int]] = {
    "ok": 200,
    "refused": 409,
    "credential": 401,
    "role": 403,
    "rate": 429,
    "message": 422,
    "unknown": 404,
}
"""The status with which an answer of this code goes over HTTP."""


class Role(IntEnum):
    """What a token may do; a higher role may all that a lower one may."""

    VIEWER = 1
    """Look: health, settings, schedule, events, pictures, files."""
    OPERATOR = 2
    """Capture: start, stop, shots, darks, cells, settings, the schedule; restart a device or the agent; the disk."""
    ADMIN = 3
    """Stop the agent or the computer, reboot it, delete what was delivered."""

    @property
    def word(self) -> str:
        """The role as people write it."""
        return self.name.lower()


def role_of_word(word: str) -> Role:
    """Return the role of this word. Raises ValueError."""
    try:
        return Role[word.upper()]
    except KeyError:
        raise ValueError(f"{word!r} is no role; roles are viewer, operator, admin") from None


class _Message(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


# --- questions ---------------------------------------------------------------------------------------------------


class Hello(_Message):
    """Who are you, and what may I do?"""

    type: Literal["hello"] = "hello"


class Outcome(_Message):
    """What became of the command of this key?"""

    type: Literal["outcome"] = "outcome"
    key: Key


class Events(_Message):
    """What happened after event number ``after``? Waits up to ``wait_s`` for something to happen."""

    type: Literal["events"] = "events"
    after: Annotated[int, Field(ge=0, le=2**53)] = 0
    limit: Annotated[int, Field(ge=1, le=500)] = 100
    wait_s: Annotated[float, Field(ge=0, le=LONGEST_WAIT_S)] = 0.0


class Settings(_Message):
    """How are the devices set now?"""

    type: Literal["settings"] = "settings"


class ScheduleSettings(_Message):
    """Which schedule do you follow, and which one stands in the site file?"""

    type: Literal["schedule-settings"] = "schedule-settings"


class Logs(_Message):
    """The latest lines of the agent's log, from ``level`` up, that contain ``text`` (whatever its case)."""

    type: Literal["logs"] = "logs"
    limit: Annotated[int, Field(ge=1, le=1000)] = 200
    level: Literal["debug", "info", "warning", "error"] = "info"
    text: Annotated[str, Field(max_length=100)] = ""
    device: messages.DeviceName | None = None


class Preview(_Message):
    """The latest picture of a camera; none where its item is still ``after``. ``sequence``: that of this item instead.

    A small JPEG to look at, or a ``frame``: the counts themselves for the image viewer, with exposure, saturated share,
    histogram and sharpness of the whole picture.
    """

    type: Literal["preview"] = "preview"
    device: messages.DeviceName
    width: Annotated[int, Field(ge=64, le=1296)] = 486
    sequence: Sequence | None = None
    after: Annotated[int, Field(ge=0, le=2**53)] = 0
    form: Literal["jpeg", "frame"] = "jpeg"


class Items(_Message):
    """Which items are there, by sequence number beyond ``after``? ``waiting``: only those not yet confirmed."""

    type: Literal["items"] = "items"
    waiting: bool = False
    after: Annotated[int, Field(ge=0, le=2**53)] | None = None
    order: Literal["oldest", "newest"] = "oldest"
    limit: Annotated[int, Field(ge=1, le=500)] = 100
    kind: Word | None = None


class Read(_Message):
    """A part of one of the two files of an item."""

    type: Literal["read"] = "read"
    sequence: Sequence
    part: Literal["main", "sidecar"] = "main"
    offset: Annotated[int, Field(ge=0, le=2**53)] = 0
    length: Annotated[int, Field(ge=1, le=MAXIMUM_PART_BYTES)] = 65_536


class Confirmation(_Message):
    """An item is kept elsewhere: ``digest`` is the SHA-256 of the two SHA-256 of its files, read back there."""

    sequence: Sequence
    digest: Digest


class Confirm(_Message):
    """These items have arrived, are on the disk, and have these digests. Only a token of a receiver may say so."""

    type: Literal["confirm"] = "confirm"
    confirmations: Annotated[tuple[Confirmation, ...], Field(min_length=1, max_length=200)]


Question = (
    Hello | Outcome | Events | Settings | ScheduleSettings | Logs | Preview | Sight | Examine | Items | Read | Confirm
)
CommandType = (
    messages.Status
    | messages.Start
    | messages.Stop
    | messages.Shot
    | messages.Set
    | messages.Darks
    | messages.Cells
    | messages.Schedule
    | messages.SetSchedule
    | messages.RestartDevice
    | messages.MirrorDisk
    | messages.FreeSpace
    | messages.Restart
    | messages.Shutdown
)
Said = Annotated[Question | CommandType, Field(discriminator="type")]

# --- results -----------------------------------------------------------------------------------------------------


class HelloResult(_Message):
    """The node, and what the one who asks may do."""

    type: Literal["hello"] = "hello"
    protocol: int = PROTOCOL
    site: str
    node: str
    version: str
    time: AwareDatetime
    role: Literal["viewer", "operator", "admin"]
    receiver: str | None = None


class Event(_Message):
    """Something that happened. Numbers grow, perhaps by more than one, and are never used again."""

    number: int
    time: AwareDatetime
    kind: Literal["health", "item", "command", "change"]
    text: str
    health: HealthRecord | None = None
    sequence: int | None = None
    """The item, for kind ``item``."""
    device: str | None = None


class EventsResult(_Message):
    """Events in order. ``missed``: some after the number asked for are not kept any more."""

    type: Literal["events"] = "events"
    events: tuple[Event, ...]
    last: int
    missed: bool = False


class SettingsResult(_Message):
    """The settings of each device that captures."""

    type: Literal["settings"] = "settings"
    devices: dict[str, dict[str, bool | int | float | str | None]]


class ScheduleSettingsResult(_Message):
    """The schedule that is followed (null: none, it captures always), that of the site file, and the place."""

    type: Literal["schedule-settings"] = "schedule-settings"
    schedule: SiteSchedule | None = None
    site_schedule: SiteSchedule | None = None
    changed: AwareDatetime | None = None
    """When it was set otherwise than in the site file."""
    latitude: float
    longitude: float


class LogLine(_Message):
    """One line of the log."""

    time: AwareDatetime
    level: str
    logger: str
    device: str | None = None
    text: str


class LogsResult(_Message):
    """Lines of the log, the newest last."""

    type: Literal["logs"] = "logs"
    lines: tuple[LogLine, ...]


class LinkItem(_Message):
    """An item as its node keeps it. Hashes are SHA-256 in hexadecimal."""

    node: Word
    sequence: Sequence
    kind: Word
    subject: Word
    device: Word
    time: AwareDatetime
    stored: AwareDatetime
    name: FileName
    size: Annotated[int, Field(ge=0, le=2**40)]
    sha256: Digest
    sidecar_name: FileName
    sidecar_size: Annotated[int, Field(ge=0, le=2**40)]
    sidecar_sha256: Digest
    origin_node: Word | None = None
    """Where it was kept first, where that is another node."""
    origin_sequence: int | None = None

    @property
    def digest(self) -> str:
        """One hash of both files, which a receiver gives back."""
        return item_digest(self.sha256, self.sidecar_sha256)

    @property
    def source(self) -> tuple[str, int]:
        """The node that made the item, and its number there: the same by whatever way it comes."""
        if self.origin_node is not None and self.origin_sequence is not None:
            return self.origin_node, self.origin_sequence
        return self.node, self.sequence


class ItemsResult(_Message):
    """Items, in the order asked for; ``now`` is the node's time."""

    type: Literal["items"] = "items"
    items: tuple[LinkItem, ...]
    now: AwareDatetime
    waiting: int | None = None
    """Items that the receiver of the token has not confirmed."""
    waiting_bytes: int | None = None


class Confirmed(_Message):
    """The confirmations are noted; ``new`` were not known before. ``unknown`` are not kept here, or are others."""

    type: Literal["confirmed"] = "confirmed"
    new: int
    unknown: tuple[int, ...] = ()


class Data(_Message):
    """What the bytes beside this answer are. ``total`` is the size of the whole file."""

    type: Literal["data"] = "data"
    media: str
    size: int
    offset: int = 0
    total: int
    sequence: int | None = None
    time: AwareDatetime | None = None


LinkResult = Annotated[
    messages.Done
    | messages.StatusResult
    | messages.ScheduleResult
    | messages.Refused
    | HelloResult
    | EventsResult
    | SettingsResult
    | SightResult
    | ExamineResult
    | ScheduleSettingsResult
    | LogsResult
    | ItemsResult
    | Confirmed
    | Data,
    Field(discriminator="type"),
]
AnyResult = (
    messages.Done
    | messages.StatusResult
    | messages.ScheduleResult
    | messages.Refused
    | HelloResult
    | EventsResult
    | SettingsResult
    | SightResult
    | ExamineResult
    | ScheduleSettingsResult
    | LogsResult
    | ItemsResult
    | Confirmed
    | Data
)

# --- envelopes ---------------------------------------------------------------------------------------------------


class Call(_Message):
    """One question or command. ``key``: of a command that changes something; the same key takes effect once."""

    id: Annotated[int, Field(ge=0, le=2**53)] = 0
    key: Key | None = None
    say: Said


class Answer(_Message):
    """The result of the call ``id``. ``code`` says in a word why a refusal is one."""

    id: int
    result: LinkResult
    code: Code = "ok"


@dataclass(frozen=True, slots=True)
class Spoken:
    """An answer, and the bytes beside it where its result is ``Data``."""

    answer: Answer
    payload: bytes | None = None


READ_ONLY: Final = (*get_args(Question), messages.Status)
"""What changes nothing that a second time would change again: needs no key, and may be asked again."""


def changes(said: Question | CommandType) -> bool:
    """Return whether this changes something, so that it needs a key."""
    if isinstance(said, messages.Schedule):
        return said.action != "show"
    return not isinstance(said, READ_ONLY)


def required_role(said: Question | CommandType) -> Role:
    """Return the lowest role that may say this."""
    if isinstance(said, messages.Shutdown | messages.FreeSpace):
        return Role.ADMIN
    if isinstance(said, messages.Restart) and said.computer:
        return Role.ADMIN
    return Role.OPERATOR if changes(said) else Role.VIEWER


def needs_receiver(said: Question | CommandType) -> bool:
    """Return whether only the token of a receiver may say this."""
    return isinstance(said, Confirm) or (isinstance(said, Items) and said.waiting)


def link_item(item: StoredItem, node: str) -> LinkItem:
    """Return an item of the spool of ``node`` as it is told."""
    return LinkItem(
        node=node,
        sequence=item.sequence,
        kind=item.kind,
        subject=item.subject,
        device=item.device,
        time=item.time,
        stored=item.stored,
        name=item.name,
        size=item.size,
        sha256=item.sha256,
        sidecar_name=item.sidecar_name,
        sidecar_size=item.sidecar_size,
        sidecar_sha256=item.sidecar_sha256,
        origin_node=None if item.origin is None else item.origin.node,
        origin_sequence=None if item.origin is None else item.origin.sequence,
    )


# --- bytes -------------------------------------------------------------------------------------------------------

_CALL: Final = TypeAdapter(Call)
_ANSWER: Final = TypeAdapter(Answer)
_HEAD: Final = 4


def encode_call(call: Call) -> str:
    """Return a call as the text of one message."""
    return call.model_dump_json()


def parse_call(data: str | bytes) -> Call:
    """Return the call of one message. Raises MessageError, in plain words, for anything else."""
    call: Call = _parse(_CALL, data, MAXIMUM_REQUEST_BYTES)
    return call


def encode_answer(spoken: Spoken) -> str | bytes:
    """Return an answer as one message: text, or bytes where it carries some."""
    text = spoken.answer.model_dump_json()
    if spoken.payload is None:
        return text
    head = text.encode()
    return len(head).to_bytes(_HEAD, "big") + head + spoken.payload


def parse_answer(message: str | bytes) -> Spoken:
    """Return the answer of one message. Raises MessageError."""
    if isinstance(message, str):
        return Spoken(_parse(_ANSWER, message, MAXIMUM_REPLY_BYTES))
    size = int.from_bytes(message[:_HEAD], "big")
    if len(message) < _HEAD + size:
        raise MessageError("the answer is shorter than it says", remedy="ask again")
    answer: Answer = _parse(_ANSWER, message[_HEAD : _HEAD + size], MAXIMUM_REPLY_BYTES)
    payload = message[_HEAD + size :]
    if not isinstance(answer.result, Data) or answer.result.size != len(payload):
        raise MessageError("the bytes of an answer are not what it says", remedy="ask again")
    return Spoken(answer, payload)


def _parse(adapter: TypeAdapter[Any], data: str | bytes, limit: int) -> Any:
    if len(data) > limit:
        raise MessageError(f"the message is longer than {limit} bytes", remedy="ask for less at once")
    try:
        return adapter.validate_json(data)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False)[0]
        key = ".".join(str(part) for part in first["loc"]) or None
        raise MessageError(
            f"the message cannot be understood: {first['msg']}", key=key, remedy="correct the message"
        ) from None


def sha256_hex(data: bytes) -> str:
    """Return the SHA-256 in hexadecimal."""
    return hashlib.sha256(data).hexdigest()
