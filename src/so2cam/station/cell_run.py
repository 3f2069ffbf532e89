"""A calibration with gas cells, step by step, as somebody does it over the link: what was taken, and what is doubtful.

It is one of the whole instrument, however many computers its cameras have, and kept on the disk of the station after
each step, so that any browser goes on with it. A cell that turns out to be the wrong one is left out: its frames stay
in the archive, and no run uses them (``left_out``).
"""

import json
import threading
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from so2cam.core.errors import InputError
from so2cam.station.context import StationSite
from so2cam.store.atomic import atomic_write_bytes

MOST_FRAMES: Final = 10
"""Frames of one cell and camera: the node names no more of them."""
DARK_FRACTION: Final = 0.15
UNEQUAL: Final = 0.02
_LOCK: Final = threading.Lock()


class _Record(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class CellFrame(_Record):
    """One frame that was kept. Shares are of the full scale; ``middle`` is the median's."""

    node: str
    device: str
    band: str | None = None
    sequence: int
    origin: str
    name: str
    time: datetime
    exposure_s: float | None = None
    bright: float | None = None
    middle: float | None = None
    saturated: float | None = None


class CellTake(_Record):
    """The frames of one cell; ``ppm_m`` is None for the clear sky without a holder. ``doubts``: why to look twice."""

    number: int
    ppm_m: float | None
    asked: int
    frames: tuple[CellFrame, ...]
    doubts: tuple[str, ...] = ()
    used: bool = True

    @property
    def words(self) -> str:
        """What it is of."""
        if self.ppm_m is None:
            return "clear sky"
        return "empty holder, 0 ppm m" if self.ppm_m == 0 else f"cell of {self.ppm_m:g} ppm m"


class CellRun(_Record):
    """A calibration with cells, at the nodes whose cameras are held."""

    format: Literal[2] = 2
    nodes: tuple[str, ...]
    began: datetime
    by: str
    count: int = 5
    takes: tuple[CellTake, ...] = ()
    state: Literal["going", "ended", "cancelled"] = "going"
    ended: datetime | None = None

    @property
    def used(self) -> tuple[CellTake, ...]:
        """The takes that count."""
        return tuple(take for take in self.takes if take.used)


class CellRuns:
    """The latest calibration of a site's instrument, and what is left out of all of them."""

    def __init__(self, site: StationSite) -> None:
        self.folder = folder_of(site)

    def load(self) -> CellRun | None:
        """Return the latest calibration; None where there was none. Raises InputError for a broken file."""
        path = self.folder / _LATEST
        try:
            return CellRun.model_validate_json(path.read_bytes())
        except FileNotFoundError:
            return None
        except (OSError, ValidationError) as error:
            raise InputError(
                f"the calibration cannot be read: {str(error).partition(chr(10))[0]}",
                file=path,
                remedy="move the file away; the frames are in the archive",
            ) from None

    def save(self, run: CellRun) -> CellRun:
        """Keep a calibration, and what is left out of it. Raises OutputError."""
        with _LOCK:
            left = set(left_out(self.folder))
            for take in run.takes:
                origins = {frame.origin for frame in take.frames}
                left = left - origins if take.used and run.state != "cancelled" else left | origins
            self.folder.mkdir(parents=True, exist_ok=True)
            atomic_write_bytes(self.folder / _LEFT_OUT, (json.dumps(sorted(left), indent=1) + "\n").encode())
            atomic_write_bytes(self.folder / _LATEST, (run.model_dump_json(indent=1) + "\n").encode())
        return run


_LATEST: Final = "cells.json"
_LEFT_OUT: Final = "left-out.json"


def folder_of(site: StationSite) -> Path:
    """Return where the calibrations of a site are kept: beside its archive and results."""
    return site.results.parent.parent / "calibrations" / site.results.name


def left_out(folder: Path) -> frozenset[str]:
    """Return the origins of frames that are not to be used; empty where nothing is left out."""
    try:
        content = json.loads((folder / _LEFT_OUT).read_bytes())
    except FileNotFoundError:
        return frozenset()
    except (OSError, ValueError) as error:
        raise InputError(f"the list cannot be read: {error}", file=folder / _LEFT_OUT, remedy="delete it") from None
    return frozenset(str(origin) for origin in content) if isinstance(content, list) else frozenset()


def begin(nodes: Sequence[str], by: str, count: int) -> CellRun:
    """Return a new calibration."""
    return CellRun(nodes=tuple(nodes), began=datetime.now(UTC), by=by, count=count)


def taken(run: CellRun, ppm_m: float | None, frames: Sequence[CellFrame], missing: Sequence[str] = ()) -> CellRun:
    """Return the calibration with one more cell, and what is doubtful about it.

    ``missing``: which nodes and cameras gave no frames, and why. A cell that not all cameras saw is left out.
    """
    take = CellTake(number=len(run.takes) + 1, ppm_m=ppm_m, asked=run.count, frames=tuple(frames), used=not missing)
    take = take.model_copy(update={"doubts": (*missing, *doubts(run, take))})
    return run.model_copy(update={"takes": (*run.takes, take)})


def with_use(run: CellRun, number: int, used: bool) -> CellRun:
    """Return the calibration with one cell used, or left out."""
    takes = tuple(take.model_copy(update={"used": used}) if take.number == number else take for take in run.takes)
    return run.model_copy(update={"takes": takes})


def over(run: CellRun, state: Literal["ended", "cancelled"]) -> CellRun:
    """Return the calibration ended, or given up: then nothing of it is used."""
    return run.model_copy(update={"state": state, "ended": datetime.now(UTC)})


def doubts(run: CellRun, take: CellTake) -> tuple[str, ...]:
    """Return what to look at twice: too few frames, saturated or dark ones, another exposure, a band not darker."""
    found: list[str] = []
    devices = dict.fromkeys(frame.device for frame in take.frames)
    for device in devices:
        mine = [frame for frame in take.frames if frame.device == device]
        if len(mine) < take.asked:
            found.append(f"{device}: {len(mine)} of {take.asked} frames")
        if any((frame.saturated or 0) > 0 for frame in mine):
            found.append(f"{device}: saturated pixels; shorten the exposure and begin anew")
        bright = [frame.bright for frame in mine if frame.bright is not None]
        if bright and max(bright) < DARK_FRACTION:
            found.append(f"{device}: dark, at most {100 * max(bright):.0f} % of the full scale")
        found += _against_earlier(run, take, device, mine)
    return tuple(found)


def _against_earlier(run: CellRun, take: CellTake, device: str, mine: Sequence[CellFrame]) -> list[str]:
    found: list[str] = []
    earlier = [(other.ppm_m, frame) for other in run.used for frame in other.frames if frame.device == device]
    exposures = [frame.exposure_s for _, frame in earlier if frame.exposure_s]
    now = [frame.exposure_s for frame in mine if frame.exposure_s]
    if exposures and now and abs(now[0] / exposures[0] - 1) > UNEQUAL:
        found.append(
            f"{device}: another exposure than before ({1e3 * now[0]:.4g} instead of {1e3 * exposures[0]:.4g} ms)"
        )
    here = [frame.middle for frame in mine if frame.middle]
    if mine[0].band == "on" and here:
        level = sum(here) / len(here)
        weaker = [frame.middle for ppm_m, frame in earlier if frame.middle and (ppm_m or 0) < (take.ppm_m or 0)]
        stronger = [frame.middle for ppm_m, frame in earlier if frame.middle and (ppm_m or 0) > (take.ppm_m or 0)]
        if weaker and level >= min(weaker):
            found.append(f"{device}: not darker than with less SO2; is the right cell in?")
        if stronger and level <= max(stronger):
            found.append(f"{device}: not brighter than with more SO2; is the right cell in?")
    return found


def frame_of(node: str, item: Any, origin: str, sidecar: dict[str, Any]) -> CellFrame:
    """Return what matters of a frame: ``item`` as ``node`` tells it, ``sidecar`` as it was written."""
    mine = sidecar.get("so2cam", {})
    light = mine.get("light") or {}
    return CellFrame(
        node=node,
        device=item.device,
        band=mine.get("band"),
        sequence=item.sequence,
        origin=origin,
        name=item.name,
        time=item.time,
        exposure_s=mine.get("exposure_s"),
        bright=light.get("bright"),
        middle=light.get("middle"),
        saturated=light.get("saturated_share"),
    )
