"""The models of the base station in the site file: where it keeps what comes, how it processes, who may ask."""

import ipaddress
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import Field, field_validator, model_validator

from so2cam.core.site_link import DEFAULT_PORT, Transfer
from so2cam.core.site_types import NotNegative, Positive, Table

SourceName = Annotated[str, Field(min_length=1, max_length=32, pattern=r"^[a-z0-9]([a-z0-9-]*[a-z0-9])?$")]
DATABASES = ("sqlite", "postgresql")


def checked_address(value: str) -> str:
    """Return ``value``. Raises ValueError where it is no IP address."""
    try:
        ipaddress.ip_address(value)
    except ValueError:
        raise ValueError(f"{value!r} is no IP address; 127.0.0.1 is this machine alone") from None
    return value


class WatchedFolder(Table):
    """A folder into which files arrive by other means: FTP, rsync, a disk carried home."""

    name: SourceName
    folder: str = Field(min_length=1, description="relative to the site file, or absolute; searched to any depth")
    settle_s: NotNegative = Field(default=2.0, description="a file that did not change for so long is whole")
    every_s: Positive = Field(default=1.0, description="how often the folder is looked through")


class Api(Table):
    """The HTTP interface for other programs, and the pages: who may ask, and how."""

    address: str = Field(
        default="127.0.0.1",
        description="to listen on: 127.0.0.1 is this computer alone, 0.0.0.0 all networks (with TLS and tokens)",
    )
    port: int = Field(default=8470, ge=0, le=65535, description="0: any free one")
    loopback: Literal["open", "closed"] = Field(
        default="open",
        description="on 127.0.0.1 or ::1, `open`: plain HTTP, and whoever is on this computer may read without a "
        "token; `closed`: TLS and tokens as on any other address",
    )
    certificate: str | None = Field(
        default=None, description="PEM file of your own, relative to the site file; absent: one is made at first start"
    )
    key: str | None = Field(default=None, description="PEM file of its private key, without a password")

    @field_validator("address")
    @classmethod
    def _ip_address(cls, value: str) -> str:
        return checked_address(value)

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if (self.certificate is None) != (self.key is None):
            raise ValueError("certificate and key go together")
        return self

    @property
    def is_open(self) -> bool:
        """Whether it speaks plain HTTP, and whoever is on this computer may read without a token."""
        return self.loopback == "open" and ipaddress.ip_address(self.address).is_loopback


class Pages(Table):
    """The pages for people in a browser; they are at the address of the interface."""

    public: bool = Field(default=False, description="whoever reaches the station may look without signing in")


class Listen(Table):
    """Where instruments call in that cannot be called themselves."""

    address: str = Field(default="0.0.0.0", description="to listen on; 0.0.0.0: all of this computer")  # noqa: S104
    port: int = Field(default=DEFAULT_PORT, ge=1, le=65535)

    @field_validator("address")
    @classmethod
    def _ip_address(cls, value: str) -> str:
        return checked_address(value)


class Station(Table):
    """The base station: archive, catalogue, live processing, results."""

    folder: str = Field(default="station", min_length=1, description="holds archive/, results/ and the catalogue")
    catalogue: str | None = Field(
        default=None, description="URL of a database, as postgresql://user@host/so2cam; absent: SQLite in the folder"
    )
    watch: tuple[WatchedFolder, ...] = ()
    listen: Listen | None = Field(default=None, description="absent: no instrument calls in; the station dials")
    transfer: Transfer = Transfer()
    live: bool = Field(default=True, description="process frames as they come; false: only keep them")
    hold_back_s: NotNegative = Field(default=2.0, description="how late a file may come and still be used at once")
    reference_days: int = Field(
        default=30, ge=1, le=3660, description="how old darks, clear sky and cell frames may be for a live run"
    )
    products_every_s: Positive = Field(default=60.0, description="how often the files of the day are written anew")
    recalculate_after_s: NotNegative = Field(
        default=600.0, description="so long after the last late file or calibration a day is calculated again"
    )
    minimum_free_bytes: int = Field(
        default=1_000_000_000,
        ge=0,
        description="of the station's disk: below, runs over the archive end, and none is ordered, so that what comes "
        "can be kept",
    )
    api: Api = Api()
    pages: Pages = Pages()

    @field_validator("catalogue")
    @classmethod
    def _database(cls, value: str | None) -> str | None:
        if value is None:
            return None
        try:
            parts = urlsplit(value)
            password = parts.password
        except ValueError as error:
            raise ValueError(f"is no URL: {error}") from None
        if parts.scheme.partition("+")[0] not in DATABASES:
            raise ValueError(f"the catalogue is a {' or '.join(DATABASES)} database, as postgresql://user@host/so2cam")
        if password is not None:
            raise ValueError("no password belongs into the site file: use ~/.pgpass or the variable PGPASSWORD")
        return value

    @model_validator(mode="after")
    def _names_once(self) -> Self:
        names = [source.name for source in self.watch]
        for name in sorted(set(names)):
            if names.count(name) > 1:
                raise ValueError(f"watch: two folders are called {name!r}")
        return self
