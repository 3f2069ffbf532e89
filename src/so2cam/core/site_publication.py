"""The models of publication in the site file: what goes where, and how the public page looks."""

import re
from datetime import time
from typing import Annotated, Final, Literal, Self

from pydantic import Field, field_validator, model_validator

from so2cam.core.site_types import Name, Positive, Table

Published = Literal["page", "daily", "images", "videos"]
PUBLISHED: Final[tuple[Published, ...]] = ("page", "images", "daily", "videos")
"""What can be published, in the order in which it is sent."""

_REMOTE: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+@ -]*:[^:\x00-\x1f]*")


class PublicPage(Table):
    """The static page."""

    title: str | None = Field(default=None, max_length=100, description="absent: the volcano's name")
    contact: str | None = Field(default=None, max_length=200, description="who answers for it")
    note: str | None = Field(default=None, max_length=1000, description="a sentence or two for the public")
    old_after_min: Positive = Field(default=30.0, description="age at which the page says that its data are old")
    unit: Literal["kg/s", "t/d"] = "kg/s"


class Remote(Table):
    """Where copies go: a remote of rclone (Dropbox, Google Drive, S3, SFTP, WebDAV, and so on) and a folder in it."""

    name: Name
    remote: str = Field(description="as rclone writes it: NAME:FOLDER, with NAME from its configuration")
    what: tuple[Published, ...] = Field(default=PUBLISHED, min_length=1)
    every_s: Annotated[float, Field(ge=5, le=86_400)] = 60.0
    bandwidth_kib_s: Positive | None = Field(default=None, description="absent: no limit")
    window: tuple[time, time] | None = Field(
        default=None, description="UTC times of day between which it is sent; absent: always"
    )
    timeout_s: Annotated[float, Field(ge=5, le=86_400)] = Field(default=600.0, description="for one file")

    @field_validator("remote")
    @classmethod
    def _form(cls, value: str) -> str:
        if not _REMOTE.fullmatch(value):
            raise ValueError("must be like dropbox:volcano/latest, NAME:FOLDER with NAME from rclone's configuration")
        return value

    def open_at(self, now: time) -> bool:
        """Return whether it is sent at this time of day, UTC; a window may go over midnight."""
        if self.window is None:
            return True
        start, end = (moment.replace(tzinfo=None) for moment in self.window)
        now = now.replace(tzinfo=None)
        return start <= now < end if start <= end else (now >= start or now < end)


class Publication(Table):
    """Publication."""

    rclone: str = Field(default="rclone", min_length=1, description="the program")
    configuration: str | None = Field(
        default=None, min_length=1, description="rclone's file, relative to the site file; absent: rclone's own"
    )
    page: PublicPage = PublicPage()
    remotes: tuple[Remote, ...] = ()

    @model_validator(mode="after")
    def _names(self) -> Self:
        names = [remote.name for remote in self.remotes]
        for name in sorted(set(names)):
            if names.count(name) > 1:
                raise ValueError(f"remotes: two are called {name!r}")
        return self


__all__ = ["PUBLISHED", "PublicPage", "Publication", "Published", "Remote"]
