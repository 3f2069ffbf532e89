"""The models of the link in the site file: how a node is reached over the network, and how its data comes home."""

import ipaddress
import re
from datetime import UTC, datetime, time
from typing import Annotated, Literal, Self

from pydantic import Field, field_validator, model_validator

from so2cam.core.site_types import Table

DEFAULT_PORT = 8443
_HOST = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.:-]*[A-Za-z0-9])?")
_HOURS = re.compile(r"([01]\d|2[0-3]):([0-5]\d)-(([01]\d|2[0-3]):([0-5]\d)|24:00)")

Port = Annotated[int, Field(ge=1, le=65535)]
Hours = Annotated[str, Field(description="of the day in UTC, as 22:00-06:00")]


class Transfer(Table):
    """How files are fetched: what goes first is always health, then what is new, then what waits."""

    bandwidth_bytes_s: float | None = Field(
        default=None, ge=1000, allow_inf_nan=False, description="for all files together; absent: no limit"
    )
    hours: tuple[Hours, ...] = Field(default=(), description="files are fetched only then; empty: always")
    backlog_hours: tuple[Hours, ...] = Field(
        default=(), description="what is older than fresh_s is fetched only then; empty: always"
    )
    fresh_s: float = Field(default=20.0, ge=1, le=3600, description="items younger than this go before the backlog")
    chunk_bytes: int = Field(
        default=65_536, ge=4096, le=262_144, description="asked for at once; the most that a cut sends again"
    )
    poll_s: float = Field(default=1.0, ge=0.05, le=60, description="between looks for new items")

    @field_validator("hours", "backlog_hours")
    @classmethod
    def _ranges(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for text in value:
            if not _HOURS.fullmatch(text):
                raise ValueError(f"{text!r} is no range of hours like 22:00-06:00")
        return value


class StationAddress(Table):
    """The station that the instrument calls, where it cannot be called itself (behind a mobile operator's NAT)."""

    address: str = Field(min_length=1, max_length=253, description="of the station: a name or an IP address")
    port: Port = DEFAULT_PORT
    role: Literal["viewer", "operator", "admin"] = Field(default="operator", description="what the station may do here")
    receiver: str = Field(
        default="station", pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$", description="whose confirmations it gives"
    )

    @field_validator("address")
    @classmethod
    def _host(cls, value: str) -> str:
        if not _HOST.fullmatch(value):
            raise ValueError(f"{value!r} is no host name or address")
        return value


class Link(Table):
    """The network side of a node: HTTPS and WebSocket on one port, and whom it calls."""

    dial: Literal["station", "instrument", "both"] = Field(
        default="station", description="who dials: the station (the node listens), the instrument, or either"
    )
    address: str | None = Field(
        default=None, description="to listen on; absent: the node's own address, or 127.0.0.1 where it has none"
    )
    port: Port = DEFAULT_PORT
    certificate: str | None = Field(
        default=None, description="PEM file of your own, relative to the site file; absent: one is made at first start"
    )
    key: str | None = Field(default=None, description="PEM file of its private key, without a password")
    station: StationAddress | None = None
    gather: Transfer | None = Field(
        default=None, description="on the lead: fetch what the followers keep, like this; absent: it does not"
    )

    @field_validator("address")
    @classmethod
    def _own_address(cls, value: str | None) -> str | None:
        if value is not None:
            try:
                ipaddress.ip_address(value)
            except ValueError:
                raise ValueError(f"{value!r} is no IP address of this computer, like 192.168.5.5") from None
        return value

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if (self.certificate is None) != (self.key is None):
            raise ValueError("certificate and key go together")
        if self.dial != "station" and self.station is None:
            raise ValueError("station: its address is needed where the instrument dials")
        return self


def within_hours(ranges: tuple[str, ...], moment: datetime) -> bool:
    """Return whether ``moment`` lies in one of the ranges of hours (UTC); no ranges mean always.

    A range holds its beginning and not its end; one whose end is not after its beginning goes over midnight.
    """
    if not ranges:
        return True
    now = moment.astimezone(UTC).time()
    for text in ranges:
        begin_text, _, end_text = text.partition("-")
        begin = time.fromisoformat(begin_text)
        if end_text == "24:00":
            if now >= begin:
                return True
            continue
        end = time.fromisoformat(end_text)
        if (begin <= now < end) if begin < end else (now >= begin or now < end):
            return True
    return False


__all__ = ["DEFAULT_PORT", "Link", "StationAddress", "Transfer", "within_hours"]
