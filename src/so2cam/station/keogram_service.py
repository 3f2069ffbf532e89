"""Keograms of the days, kept while the station runs: one picture for each line and day."""

import logging
import threading
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

from so2cam.core.errors import InputError
from so2cam.core.site import Site
from so2cam.pipeline.records import PairImages
from so2cam.station.keogram import Keogram, draw_keogram
from so2cam.store.atomic import atomic_write_bytes

_LOG = logging.getLogger(__name__)
_LOOK_S: Final = 1.0


class KeogramKeeper:
    """The keograms of a site's emission lines, in ``folder/YYYY/YYYY-MM-DD-keogram-LINE.png``; what they are made of
    stands hidden beside them, so that a new one goes on where the last was.
    """

    def __init__(self, site: Site, folder: Path) -> None:
        self._site, self._folder = site, folder
        self._lines = [line.name for line in site.lines if line.role == "emission"]
        self._kept: dict[str, Keogram] = {}
        self._changed = False

    def add(self, images: PairImages) -> None:
        """Add the images of a pair. Those of a day that is over are written first."""
        day = images.time.replace(hour=0, minute=0, second=0, microsecond=0)
        if any(keogram.start != day for keogram in self._kept.values()):
            self.write()
            self._kept.clear()
        for line in self._lines:
            if line not in self._kept:
                self._kept[line] = self._open(line, day)
            self._changed |= self._kept[line].add_images(self._site, images)

    def write(self) -> tuple[Path, ...]:
        """Write all pictures where there is something new; return their paths. Raises OSError."""
        if not self._changed:
            return ()
        made = []
        for line, keogram in self._kept.items():
            picture, state = self._paths(line, keogram.start)
            keogram.save(state)
            atomic_write_bytes(picture, draw_keogram(keogram, site=self._site.name))
            made.append(picture)
        self._changed = False
        return tuple(made)

    def _paths(self, line: str, day: datetime) -> tuple[Path, Path]:
        stem = f"{day:%Y-%m-%d}-keogram-{line.replace(' ', '-')}"
        folder = self._folder / f"{day:%Y}"
        return folder / f"{stem}.png", folder / f".{stem}.npz"

    def _open(self, line: str, day: datetime) -> Keogram:
        _, state = self._paths(line, day)
        if state.is_file():
            try:
                return Keogram.load(state)
            except InputError as error:
                _LOG.warning("%s", error)
        return Keogram.empty(line, day, day + timedelta(days=1))


class KeogramService:
    """Keeps keograms for a supervisor: ``newest`` gives the newest images, a picture is written every ``every_s``."""

    def __init__(
        self, site: Site, folder: Path, newest: Callable[[], PairImages | None], *, every_s: float = 300.0
    ) -> None:
        self.name = f"keogram/{site.name}"
        self._site, self._folder, self._newest, self._every_s = site, folder, newest, every_s

    def run(self, stop: threading.Event) -> None:
        """See ``Service``."""
        keeper, seen, waited = KeogramKeeper(self._site, self._folder), None, 0.0
        while not stop.wait(_LOOK_S):
            waited += _LOOK_S
            images = self._newest()
            if images is not None and images.time != seen:
                keeper.add(images)
                seen = images.time
            if waited >= self._every_s:
                keeper.write()
                waited = 0.0
        keeper.write()
