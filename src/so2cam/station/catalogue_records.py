"""What the catalogue gives and takes: files, runs, emission rates, columns, days."""

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from so2cam.store.items import item_digest

KEPT: Final = "kept"
MISSING: Final = "missing"
DAMAGED: Final = "damaged"
TOTAL: Final = "total"
"""What ``line`` says in a rate that is the sum over lines."""
_NO_SHA256: Final = ""


@dataclass(frozen=True, slots=True)
class NewFile:
    """A file that came into an archive. ``origin`` is unique at its site; ``folder`` is relative to the archive."""

    site: str
    origin: str
    node: str
    kind: str
    subject: str
    device: str
    time: datetime
    folder: str
    name: str
    size: int
    sha256: str
    sidecar: str | None = None
    sidecar_size: int | None = None
    sidecar_sha256: str | None = None


@dataclass(frozen=True, slots=True)
class ArchivedFile:
    """A file of an archive, as the catalogue knows it."""

    id: int
    site: str
    origin: str
    node: str
    kind: str
    subject: str
    device: str
    time: datetime
    received: datetime
    folder: str
    name: str
    size: int
    sha256: str
    sidecar: str | None
    sidecar_size: int | None
    sidecar_sha256: str | None
    state: str

    @property
    def path(self) -> str:
        """The main file, relative to the archive."""
        return f"{self.folder}/{self.name}"

    @property
    def sidecar_path(self) -> str | None:
        """The sidecar, relative to the archive, if there is one."""
        return None if self.sidecar is None else f"{self.folder}/{self.sidecar}"

    @property
    def total_bytes(self) -> int:
        """Size of both files."""
        return self.size + (self.sidecar_size or 0)

    @property
    def digest(self) -> str:
        """One hash of both files: what the source is given back as proof."""
        return item_digest(self.sha256, self.sidecar_sha256 or _NO_SHA256)


@dataclass(frozen=True, slots=True)
class Run:
    """A run of processing. ``inputs`` are the ids of the calibration files it began with."""

    id: int
    site: str
    day: str
    kind: str
    state: str
    settings_sha256: str
    software_version: str
    inputs: tuple[int, ...]
    began: datetime


@dataclass(frozen=True, slots=True)
class Fed:
    """One thing that a live run was given: the id of a file, or the time up to which nothing more comes."""

    id: int
    file: int | None
    until: datetime | None


@dataclass(frozen=True, slots=True)
class Rate:
    """One emission rate [kg s-1] of a line (``total``: of their sum) by a speed method; None is missing.

    ``status`` is that of ``core.status.EmissionStatus``; speed [m s-1], direction [degree], integrated column amount
    [kg m-1].
    """

    time: datetime
    line: str
    method: str
    rate: float | None
    random: float | None
    systematic: float | None
    speed: float | None
    speed_uncertainty: float | None
    direction: float | None
    amount: float | None
    status: int


@dataclass(frozen=True, slots=True)
class PairRow:
    """What a pair gave: ``record`` is JSON (``station.pair_json``)."""

    time: datetime
    flags: int
    record: str
    rates: tuple[Rate, ...] = ()


@dataclass(frozen=True, slots=True)
class ColumnRow:
    """What a spectrum gave: SO2 column and 1 sigma [molecules cm-2], light dilution; None is missing."""

    time: datetime
    file: str
    so2: float | None
    so2_uncertainty: float | None
    light_dilution: float | None
    status: int


@dataclass(frozen=True, slots=True)
class Day:
    """A day with results. ``stale_since`` and ``reason`` say that, and why, it should be calculated again."""

    site: str
    day: str
    revision: int
    stale_since: datetime | None
    reason: str | None
    changed: datetime
    written: datetime | None = None
    """which change the files of the day have"""
