"""What the API answers: the shapes of its JSON, with units."""

from datetime import datetime
from typing import Any

from pydantic import BaseModel, Field

from so2cam.core.status import STATUS_TEXT, EmissionStatus
from so2cam.station.catalogue import ArchivedFile, ColumnRow, Day, Rate


class RateOut(BaseModel):
    """One emission rate. A value that is missing is null, and ``status`` says why; uncertainties are 1 sigma."""

    time: datetime = Field(description="mid-exposure of the on-band frame, UTC")
    line: str = Field(description="the plume cross-section line, or total: the sum over lines")
    speed_method: str
    emission_rate_kg_s: float | None
    random_uncertainty_kg_s: float | None
    systematic_uncertainty_kg_s: float | None
    plume_speed_m_s: float | None
    plume_speed_uncertainty_m_s: float | None
    plume_direction_deg: float | None
    integrated_column_amount_kg_m: float | None
    status: str = Field(description="ok, or the reason why there is no value")
    status_text: str

    @classmethod
    def of(cls, rate: Rate) -> "RateOut":
        """Return a rate of the catalogue as it is told."""
        status = EmissionStatus(rate.status)
        return cls(
            time=rate.time,
            line=rate.line,
            speed_method=rate.method,
            emission_rate_kg_s=rate.rate,
            random_uncertainty_kg_s=rate.random,
            systematic_uncertainty_kg_s=rate.systematic,
            plume_speed_m_s=rate.speed,
            plume_speed_uncertainty_m_s=rate.speed_uncertainty,
            plume_direction_deg=rate.direction,
            integrated_column_amount_kg_m=rate.amount,
            status=status.name.lower(),
            status_text=STATUS_TEXT[status],
        )


class ColumnOut(BaseModel):
    """The SO2 column of one spectrum, 1 sigma."""

    time: datetime
    file: str
    so2_molec_cm2: float | None
    so2_uncertainty_molec_cm2: float | None
    light_dilution: float | None
    status: int

    @classmethod
    def of(cls, row: ColumnRow) -> "ColumnOut":
        """Return a column of the catalogue as it is told."""
        return cls(
            time=row.time,
            file=row.file,
            so2_molec_cm2=row.so2,
            so2_uncertainty_molec_cm2=row.so2_uncertainty,
            light_dilution=row.light_dilution,
            status=row.status,
        )


class FileOut(BaseModel):
    """A file of the archive. ``id`` is its number in ``/files/{id}/content``."""

    id: int
    time: datetime
    kind: str
    subject: str
    device: str
    node: str
    path: str
    bytes: int
    sha256: str
    sidecar: str | None
    state: str

    @classmethod
    def of(cls, file: ArchivedFile) -> "FileOut":
        """Return a file of the catalogue as it is told."""
        return cls(
            id=file.id,
            time=file.time,
            kind=file.kind,
            subject=file.subject,
            device=file.device,
            node=file.node,
            path=file.path,
            bytes=file.size,
            sha256=file.sha256,
            sidecar=file.sidecar_path,
            state=file.state,
        )


class DayOut(BaseModel):
    """A day with results. ``revision`` counts how often it was calculated again."""

    day: str
    revision: int
    stale_since: datetime | None
    reason: str | None
    changed: datetime

    @classmethod
    def of(cls, day: Day) -> "DayOut":
        """Return a day of the catalogue as it is told."""
        return cls(
            day=day.day, revision=day.revision, stale_since=day.stale_since, reason=day.reason, changed=day.changed
        )


class LiveOut(BaseModel):
    """How far the live processing is."""

    state: str = Field(description="starting, waiting (message says for what), replaying or live")
    message: str = ""
    day: str = ""
    until: datetime | None = None
    frames: int = 0
    pairs: int = 0
    late: int = 0
    left_out: int = 0


class SiteOut(BaseModel):
    """A site of the station."""

    name: str
    volcano: str
    lines: list[str]
    speed_methods: list[str]
    live: LiveOut
    newest_frame: datetime | None
    newest_rate: datetime | None
    files: dict[str, int] = Field(description="how many files of each kind")
    bytes: int
    damaged_or_missing: int


class ServiceOut(BaseModel):
    """One service of the station."""

    name: str
    state: str
    since: datetime | None
    failures: int
    message: str


class StatusOut(BaseModel):
    """How the station is."""

    time: datetime
    version: str
    ok: bool = Field(description="all services run, and no file is damaged or missing")
    free_bytes: int
    services: list[ServiceOut]
    sites: list[SiteOut]


class HealthOut(BaseModel):
    """What a node of an instrument said of itself."""

    node: str
    time: datetime
    record: dict[str, Any]


class ErrorOut(BaseModel):
    """What went wrong, in words."""

    detail: str
