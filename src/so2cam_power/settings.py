"""The settings of the hooks, written by ``so2cam instrument install`` as JSON that only root can change."""

import json
import os
import stat
from dataclasses import dataclass
from pathlib import Path

from so2cam_power.errors import PowerError

DEFAULT_PATH = Path("/etc/so2cam/power.json")


@dataclass(frozen=True)
class Follower:
    """How the other computer is switched and found."""

    address: str
    start_gpio: int = 23
    stop_gpio: int = 16
    pulse_s: float = 0.5
    start_timeout_s: float = 120.0
    stop_timeout_s: float = 40.0
    port: int = 22


@dataclass(frozen=True)
class Settings:
    """What the hooks need to know."""

    node: str
    socket: str
    agent_timeout_s: float = 20.0
    report_folder: str = "/var/lib/so2cam-power"
    board_folder: str | None = None
    schedule_file: str | None = None
    board: str | None = None
    board_up_gpio: int | None = None
    """line by which a board without software of its own learns that the computer is up"""
    follower: Follower | None = None


def load_settings(path: Path) -> Settings:
    """Return the settings in ``path``. Raises PowerError where it is missing, not root's alone, or wrong."""
    remedy = "run `so2cam instrument install` again"
    try:
        require_trusted(path)
        found = json.loads(path.read_text(encoding="utf-8"))
        follower = found.pop("follower", None)
        return Settings(**found, follower=None if follower is None else Follower(**follower))
    except FileNotFoundError:
        raise PowerError(f"{path} is missing; {remedy}") from None
    except OSError as error:
        raise PowerError(f"{path} cannot be read: {error.strerror}") from None
    except (ValueError, TypeError, AttributeError) as error:
        raise PowerError(f"{path} is not right: {error}; {remedy}") from None


def require_trusted(path: Path) -> None:
    """Raise PowerError where somebody other than the present user (root) could change ``path`` or put another there.

    The file and every folder above it must belong to root or the present user, and only they may write to it, or, as
    in ``/tmp``, others may add to a folder but not replace what is there.
    """
    me = os.geteuid()
    # A link is judged where it stands and where it leads.
    for start in {path.absolute(), path.resolve(strict=True)}:
        for each in (start, *start.parents):
            seen = os.lstat(each)
            if seen.st_uid not in (0, me):
                raise PowerError(f"{each} belongs to another user, so {path} is not used; chown root:root {each}")
            shared = stat.S_ISDIR(seen.st_mode) and seen.st_mode & stat.S_ISVTX
            if not stat.S_ISLNK(seen.st_mode) and seen.st_mode & (stat.S_IWGRP | stat.S_IWOTH) and not shared:
                raise PowerError(f"others can write to {each}, so {path} is not used; chmod go-w {each}")
