"""What goes into the spool and what comes out: items, receipts, and the sidecar that belongs to each item.

An item is two files: the main file (an image, a spectrum, a table) and its sidecar, a JSON object beside it with the
same name and the ending ``.json``. The sidecar stands first, the main file last: where the main file is, the item is
whole. The sidecar holds what the device said, by the device's own keys, and one object ``so2cam``::

    "so2cam": {"format": 1, "node": "lead", "sequence": 123, "kind": "frame", "subject": "plume",
               "device": "camera-on", "time": "2026-03-01T12:00:00.125000Z", "sha256": "...", "bytes": 345678, ...}

``time`` is mid-exposure, UTC; ``sha256`` and ``bytes`` are those of the main file. An item that a command asked for
has ``"command": {"id": "...", "item": 0, "of": 10}`` too: the command, which item of its set this is, and how many the
set has of this device. Anything else in it is what the item's maker put there.
"""

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Literal

from so2cam.core.times import require_utc

SIDECAR_FORMAT: Final = 1
SIDECAR_SUFFIX: Final = ".json"
NUMBER_MARK: Final = "_n"
"""What stands before the sequence number in a numbered name."""

Order = Literal["oldest", "newest"]

_STEM = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,179}")
_SUFFIX = re.compile(r"\.[a-z0-9]{1,12}")
_WORD = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_MOST_ITEMS: Final = 1_000_000
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Origin:
    """Where an item was first kept, when it came from another node: that node and its sequence number there."""

    node: str
    sequence: int


@dataclass(frozen=True, slots=True)
class Mark:
    """What an item is the effect of: the item number ``item`` (from 0) of the ``of`` that ``command`` asked for."""

    command: str
    item: int
    of: int

    def __post_init__(self) -> None:
        """Refuse what cannot be. Raises ValueError."""
        if not _WORD.fullmatch(self.command) or not 0 <= self.item < self.of <= _MOST_ITEMS:
            raise ValueError(f"no mark of a command: {self.command!r}, {self.item} of {self.of}")


@dataclass(frozen=True, slots=True)
class StoreItem:
    """Something to keep.

    ``kind`` is what it is (``frame``, ``spectrum``, ``health`` ...), ``subject`` what it shows (``plume``, ``dark``
    ...), ``device`` what made it. ``time`` is mid-exposure; ``stamp`` is the time that the name has, by which the
    folder is chosen (``time`` where it is None). ``stem`` is the file's name without ending; ``suffix`` its ending,
    with the dot. ``numbered`` puts the sequence number behind the name in any case, otherwise only where the name is
    taken. ``metadata`` is what the sidecar holds, and must be something that JSON can hold. ``sidecar`` is a sidecar
    that exists already, kept to the byte: for items of another node, which have an ``origin`` too. ``mark``: the
    command that asked for it; of each mark and device one item is kept.
    """

    kind: str
    subject: str
    device: str
    time: datetime
    stem: str
    suffix: str
    data: bytes = field(repr=False)
    stamp: datetime | None = None
    numbered: bool = False
    metadata: Mapping[str, Any] = field(default_factory=dict, repr=False)
    sidecar: bytes | None = field(default=None, repr=False)
    origin: Origin | None = None
    mark: Mark | None = None

    def __post_init__(self) -> None:
        """Refuse what no spool could keep. Raises ValueError."""
        for what, value in (("kind", self.kind), ("subject", self.subject), ("device", self.device)):
            if not _WORD.fullmatch(value):
                raise ValueError(f"the {what} of an item has letters, digits and . _ - only, got {value!r}")
        if not _STEM.fullmatch(self.stem):
            raise ValueError(f"the name of an item has up to 180 letters, digits and . _ + - only, got {self.stem!r}")
        if not _SUFFIX.fullmatch(self.suffix) or self.suffix == SIDECAR_SUFFIX:
            raise ValueError(f"the ending of an item is like .png, and not .json, got {self.suffix!r}")
        if self.origin is not None and (self.sidecar is None or not _WORD.fullmatch(self.origin.node)):
            raise ValueError("an item of another node comes with its sidecar and the node's name")
        if self.origin is not None and self.mark is not None:
            raise ValueError("the mark of an item of another node is that node's")
        require_utc(self.time)
        require_utc(self.filed)

    @property
    def filed(self) -> datetime:
        """The time by which the folder is chosen."""
        return self.time if self.stamp is None else self.stamp


@dataclass(frozen=True, slots=True)
class StoredItem:
    """An item as the journal knows it. Hashes are SHA-256 in hexadecimal; ``path`` is relative to the spool's root."""

    sequence: int
    kind: str
    subject: str
    device: str
    time: datetime
    stored: datetime
    folder: str
    name: str
    size: int
    sha256: str
    sidecar_name: str
    sidecar_size: int
    sidecar_sha256: str
    origin: Origin | None = None

    @property
    def path(self) -> str:
        """The main file, relative to the spool's root, with forward slashes."""
        return f"{self.folder}/{self.name}"

    @property
    def sidecar_path(self) -> str:
        """The sidecar, relative to the spool's root."""
        return f"{self.folder}/{self.sidecar_name}"

    @property
    def total_bytes(self) -> int:
        """Size of both files."""
        return self.size + self.sidecar_size

    @property
    def digest(self) -> str:
        """One hash of both files: what a receiver gives back to prove that it has them."""
        return item_digest(self.sha256, self.sidecar_sha256)


@dataclass(frozen=True, slots=True)
class Receipt:
    """The acknowledgement: the item is on the disk. ``new`` is False where the spool had it already."""

    item: StoredItem
    new: bool = True

    @property
    def sequence(self) -> int:
        """The item's sequence number."""
        return self.item.sequence


def item_digest(sha256: str, sidecar_sha256: str) -> str:
    """Return the SHA-256, in hexadecimal, of the two hashes of an item's files in hexadecimal, main file first."""
    return hashlib.sha256(f"{sha256}{sidecar_sha256}".encode("ascii")).hexdigest()


def build_sidecar(item: StoreItem, *, node: str, sequence: int, sha256: str) -> bytes:
    """Return the sidecar of ``item``: its metadata, with the object ``so2cam`` completed.

    Raises ValueError where the metadata is nothing that JSON can hold (NaN included).
    """
    own = {
        "format": SIDECAR_FORMAT,
        "node": node,
        "sequence": sequence,
        "kind": item.kind,
        "subject": item.subject,
        "device": item.device,
        "time": format_microseconds(item.time),
        "sha256": sha256,
        "bytes": len(item.data),
    }
    if item.mark is not None:
        own["command"] = {"id": item.mark.command, "item": item.mark.item, "of": item.mark.of}
    extra = item.metadata.get("so2cam", {})
    if not isinstance(extra, Mapping):
        raise ValueError("the key so2cam of an item's metadata must be an object")  # noqa: TRY004 - as documented
    content = {key: value for key, value in item.metadata.items() if key != "so2cam"}
    content["so2cam"] = own | {key: value for key, value in extra.items() if key not in own}
    try:
        return (json.dumps(content, indent=1, allow_nan=False, ensure_ascii=False) + "\n").encode()
    except (TypeError, UnicodeEncodeError) as error:
        raise ValueError(f"the metadata of an item must be something that JSON can hold: {error}") from None


def numbered_stem(stem: str, sequence: int) -> str:
    """Return ``stem`` with the sequence number behind it."""
    return f"{stem}{NUMBER_MARK}{sequence:08d}"


def format_microseconds(time: datetime) -> str:
    """Return ``time`` as ISO 8601 in UTC, to the microsecond, with ``Z``."""
    return f"{require_utc(time):%Y-%m-%dT%H:%M:%S.%f}Z"


def to_microseconds(time: datetime) -> int:
    """Return whole microseconds since 1970."""
    return (require_utc(time) - _EPOCH) // timedelta(microseconds=1)


def from_microseconds(value: int) -> datetime:
    """Return the time of whole microseconds since 1970."""
    return _EPOCH + timedelta(microseconds=value)
