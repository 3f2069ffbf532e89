"""Watching a folder into which files come by other means: FTP, rsync, a disk carried home, an old instrument.

A file goes into the archive when it is whole: it did not change for ``settle_s``, no ``.lock`` file stands beside it,
and it has its format's end (a half-written PNG has not). Hidden files, ``.tmp`` and ``.part`` are not looked at. The
watched folder is only read. A sidecar that comes later than its image is put beside it. What stands in the way of a
file is told by ``waiting``; nothing is dropped in silence.

The folder is looked through again and again, not told by the system: that works on network drives too. Folders that
did not change are not listed again.
"""

import hashlib
import logging
import os
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from so2cam.core.errors import FrameFileError, InputError, So2camError
from so2cam.core.site_station import WatchedFolder
from so2cam.station.archive import Arrival
from so2cam.station.arrivals import Recognised, Recogniser
from so2cam.station.context import StationContext, StationSite
from so2cam.station.wholeness import is_whole

_LOG = logging.getLogger(__name__)
_COARSE_S: Final = 2.5
"""File systems may keep the time of a folder's last change as coarsely as 2 s."""
_LONGEST_ORIGIN: Final = 400


@dataclass(slots=True)
class _Folder:
    """A folder as it was listed last. ``settled``: it had not changed for long enough that the listing is complete."""

    changed_ns: int = -1
    settled: bool = False
    below: tuple[Path, ...] = ()


@dataclass(slots=True)
class _Pending:
    """A file that is not in the archive yet."""

    size: int
    changed_ns: int
    since: float
    reason: str = "may still be written"
    told: bool = False


@dataclass(slots=True)
class WatchCounts:
    """What a watcher has done since it began."""

    kept: int = 0
    sidecars: int = 0
    known: int = 0
    refused: dict[Path, str] = field(default_factory=dict)


class FolderWatcher:
    """A service: keeps what comes into a folder in the archive of a site."""

    def __init__(self, context: StationContext, site: StationSite, watched: WatchedFolder) -> None:
        self._context, self._site, self._settings = context, site, watched
        self.folder = Path(site.loaded.path.parent, watched.folder)
        self._recogniser = Recogniser(site.loaded.site)
        self._node = f"watch-{watched.name}"
        self._folders: dict[Path, _Folder] = {}
        self._pending: dict[Path, _Pending] = {}
        self._sidecars: dict[Path, _Pending] = {}
        self._done: dict[Path, int] = {}
        self._known: set[str] | None = None
        self.counts = WatchCounts()

    @property
    def name(self) -> str:
        """The service's name."""
        return f"watch/{self._site.name}/{self._settings.name}".replace(" ", "-")

    @property
    def waiting(self) -> dict[Path, str]:
        """Files that are not in the archive, and why not."""
        return {path: entry.reason for path, entry in self._pending.items()} | self.counts.refused

    def run(self, stop: threading.Event) -> None:
        """Watch until told to stop. Raises InputError where the folder is not there (it is tried again)."""
        while not stop.is_set():
            self.look(stop)
            stop.wait(self._settings.every_s)

    def look(self, stop: threading.Event | None = None) -> int:
        """Look through the folder once; return how many files came into the archive."""
        if not self.folder.is_dir():
            raise InputError("is no folder", file=self.folder, remedy="check station.watch, and that the disk is there")
        if self._known is None:
            self._known = self._site.archive.catalogue.origins(self._site.name, self._node)
        for folder in self._changed_folders():
            self._list(folder)
        done = 0
        now = time.monotonic()
        for path in sorted(self._pending, key=lambda path: (path.name, path)):
            if stop is not None and stop.is_set():
                break
            done += self._consider(path, now)
        for path in sorted(self._sidecars):
            self._consider_sidecar(path, now)
        return done

    @property
    def settled(self) -> bool:
        """Whether nothing that was found still has to settle; files that are locked or cut off do not count."""
        return not any(entry.reason == _Pending(0, 0, 0).reason for entry in self._pending.values())

    # --- what is there -------------------------------------------------------------------------------------------

    def _changed_folders(self) -> Iterator[Path]:
        """Yield the folders that may hold something new."""
        waiting, seen = [self.folder], set()
        while waiting:
            path = waiting.pop()
            try:
                state = path.stat()
            except OSError:
                self._folders.pop(path, None)
                continue
            if (state.st_dev, state.st_ino) in seen:
                continue
            seen.add((state.st_dev, state.st_ino))
            known = self._folders.setdefault(path, _Folder())
            if known.changed_ns != state.st_mtime_ns or not known.settled:
                yield path
                known.settled = time.time() - state.st_mtime_ns / 1e9 > _COARSE_S
                known.changed_ns = state.st_mtime_ns
            waiting.extend(known.below)

    def _list(self, folder: Path) -> None:
        below: list[Path] = []
        try:
            with os.scandir(folder) as entries:
                for entry in entries:
                    if entry.name.startswith("."):
                        continue
                    try:
                        if entry.is_dir():
                            below.append(folder / entry.name)
                        elif entry.is_file():
                            self._found(folder / entry.name, entry.stat())
                    except OSError:
                        continue  # gone again, or a link to nothing
        except OSError as error:
            _LOG.warning("%s: cannot be read: %s", folder, error.strerror or error)
            return
        self._folders[folder].below = tuple(sorted(below))

    def _found(self, path: Path, state: os.stat_result) -> None:
        is_sidecar = path.suffix.lower() == ".json"
        if not is_sidecar and not self._recogniser.may_be(path.name):
            return
        if self._origin(path, state) in (self._known or ()):
            return
        if is_sidecar and self._done.get(path) == state.st_mtime_ns:
            return
        group = self._sidecars if is_sidecar else self._pending
        if path not in group and path not in self.counts.refused:
            group[path] = _Pending(state.st_size, state.st_mtime_ns, time.monotonic())

    def _origin(self, path: Path, state: os.stat_result) -> str:
        relative = path.relative_to(self.folder).as_posix()
        if len(relative) > _LONGEST_ORIGIN:
            relative = hashlib.sha256(os.fsencode(relative)).hexdigest()
        text = f"{self._node}/{relative}@{state.st_size}-{state.st_mtime_ns}"
        return text.encode("utf-8", "backslashreplace").decode()

    # --- one file ------------------------------------------------------------------------------------------------

    def _consider(self, path: Path, now: float) -> int:
        entry = self._pending[path]
        try:
            state = path.stat()
        except OSError:
            del self._pending[path]  # it was moved away
            return 0
        if not self._is_settled(entry, state, now):
            return 0
        try:
            what = self._recogniser.recognise(path)
            if not is_whole(path):
                self._keep_waiting(path, entry, "is cut off: it lacks its format's end")
                return 0
            sidecar, ready = self._sidecar_of(path, now)
            return self._keep(path, state, what, sidecar) if ready else 0
        except FrameFileError as error:
            if path.with_name(f"{path.stem}.lock").exists():
                self._keep_waiting(path, entry, error.message)
            else:
                del self._pending[path]
                self._refuse(path, error.message)
            return 0

    def _is_settled(self, entry: _Pending, state: os.stat_result, now: float) -> bool:
        if (entry.size, entry.changed_ns) != (state.st_size, state.st_mtime_ns):
            entry.size, entry.changed_ns, entry.since = state.st_size, state.st_mtime_ns, now
            entry.reason, entry.told = _Pending(0, 0, 0).reason, False
        # What has not changed for long need not be watched first: the bulk of a folder that was there before.
        age_s = time.time() - state.st_mtime_ns / 1e9
        return now - entry.since >= self._settings.settle_s or age_s >= max(10.0, 2 * self._settings.settle_s)

    def _sidecar_of(self, path: Path, now: float) -> tuple[Path | None, bool]:
        """Return the sidecar that goes with an image, if there is one, and whether it need not be waited for."""
        sidecar = path.with_name(f"{path.stem}.json")
        try:
            state = sidecar.stat()
        except OSError:
            return None, True
        entry = self._sidecars.setdefault(sidecar, _Pending(state.st_size, state.st_mtime_ns, now))
        return sidecar, self._is_settled(entry, state, now)

    def _keep(self, path: Path, state: os.stat_result, what: Recognised, sidecar: Path | None) -> int:
        archive = self._site.archive
        origin = self._origin(path, state)
        copies: list[Path] = []
        try:
            copies.append(archive.stage(path))
            if sidecar is not None:
                copies.append(archive.stage(sidecar))
            after = path.stat()
            if (after.st_size, after.st_mtime_ns) != (state.st_size, state.st_mtime_ns):
                return 0  # it is being written after all
            name = _clean(path.name)
            arrival = Arrival(origin, self._node, what.kind, what.subject, what.device, what.time, name)
            file, new = archive.put(arrival, copies[0], copies[1] if sidecar is not None else None)
        except OSError as error:
            self._keep_waiting(path, self._pending[path], f"cannot be read: {error.strerror or error}")
            return 0
        except So2camError as error:
            self._keep_waiting(path, self._pending[path], error.message)
            return 0
        finally:
            for copy in copies:
                copy.unlink(missing_ok=True)
        del self._pending[path]
        if sidecar is not None:
            entry = self._sidecars.pop(sidecar, None)
            if entry is not None:
                self._done[sidecar] = entry.changed_ns
        if self._known is not None:
            self._known.add(origin)
        self.counts.kept += new
        self.counts.known += not new
        if new:
            _LOG.debug("%s is in the archive as %s", path, file.path)
            self._context.board.announce()
        return int(new)

    def _consider_sidecar(self, path: Path, now: float) -> None:
        """Put a sidecar beside its image, where the image came before it."""
        entry = self._sidecars[path]
        try:
            state = path.stat()
        except OSError:
            del self._sidecars[path]
            return
        if not self._is_settled(entry, state, now):
            return
        if any(other.stem == path.stem and other.parent == path.parent for other in self._pending):
            return
        beside = sorted(path.parent.glob(f"{_escape(path.stem)}.*"))
        main = next((other for other in beside if self._recogniser.may_be(other.name)), None)
        if main is None:
            return  # its image may come yet
        del self._sidecars[path]
        self._done[path] = state.st_mtime_ns
        archive = self._site.archive
        file = archive.catalogue.by_origin(self._site.name, self._origin(main, main.stat()))
        if file is None or file.sidecar is not None:
            return
        copy = archive.stage(path)
        try:
            if archive.add_sidecar(file, copy):
                self.counts.sidecars += 1
                day = f"{file.time:%Y-%m-%d}"
                archive.catalogue.mark_stale(self._site.name, day, "a file with an image's exposure came later")
        finally:
            copy.unlink(missing_ok=True)

    def _keep_waiting(self, path: Path, entry: _Pending, reason: str) -> None:
        entry.reason = reason
        if not entry.told:
            _LOG.info("%s waits: %s", path, reason)
            entry.told = True

    def _refuse(self, path: Path, reason: str) -> None:
        _LOG.warning("%s is not used: %s", path, reason)
        self.counts.refused[path] = reason


def _clean(name: str) -> str:
    """Return a name that the archive takes: what is no letter, digit, space or . _ + - becomes _."""
    kept = "".join(c if (c.isascii() and c.isalnum()) or c in "._+- " else "_" for c in name)
    while ".." in kept:
        kept = kept.replace("..", "._")
    kept = kept.lstrip("._+- ") or "file"
    return kept[-200:].lstrip("._+- ")


def _escape(text: str) -> str:
    """Return ``text`` as a glob pattern takes it literally."""
    return "".join(f"[{c}]" if c in "*?[" else c for c in text)
