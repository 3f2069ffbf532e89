"""The mirror: a second copy of everything on an external disk, made beside the capture and never waited for.

On the disk, below ``FOLDER/NODE``: the same folders and names as in the spool, and ``mirror.json``, which tells this
disk from others. Each disk is a receiver of its own in the journal (``mirror-ID``): one that was away catches up, and a
new one gets everything that is kept. With ``mirror`` among the spool's receivers, deletion waits until some disk has an
item.

A copy is written to a temporary name, forced to the disk, renamed, and then read back from the disk itself: only when
its SHA-256 is right is the item noted as mirrored. Works on ext4, exFAT, NTFS. Pulling out the disk at any moment costs
nothing but the copies under way.

A full disk says so and waits for another; with ``make_room``, its oldest copies go instead, but only those of items
that every required receiver has. On a disk that another journal wrote to as well (that of an earlier card), copies of
which this journal knows nothing stay: they may be the only ones.
"""

import json
import logging
import secrets
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

from so2cam.store.disk import Disk
from so2cam.store.errors import SpoolError
from so2cam.store.items import SIDECAR_SUFFIX, StoredItem
from so2cam.store.layout import DATA, TEMPORARY_SUFFIX
from so2cam.store.mounts import FoundDisk, check_folder, find_by_label
from so2cam.store.spool import Spool
from so2cam.store.verify import check_item, compare_file

ANY_MIRROR: Final = "mirror"
"""The receiver that has what any disk has."""
_PREFIX: Final = "mirror-"
_MARKER: Final = "mirror.json"
_KEPT_DISKS: Final = 4
"""Of so many disks account is kept; of others, the one seen longest ago is forgotten."""
_ROOM_STEP: Final = 20
"""So many old copies go at once."""
_ROOM_AGAIN_S: Final = 600.0
"""A disk on which nothing can go is searched again after this [s]"""
_LOG = logging.getLogger(__name__)


class MirrorState(StrEnum):
    """How the mirror stands."""

    ABSENT = "absent"
    """no disk, or none that can be written"""
    BEHIND = "behind"
    CURRENT = "current"
    FULL = "full"
    RELEASED = "released"
    """may be pulled out: nothing is written to it"""
    ERROR = "error"


@dataclass(frozen=True, slots=True)
class MirrorStatus:
    """How the mirror stands after a step. ``items`` and ``bytes`` were copied by it; ``backlog`` items are to come."""

    state: MirrorState
    detail: str
    items: int = 0
    bytes: int = 0
    backlog: int = 0
    path: Path | None = None
    free_bytes: int | None = None
    total_bytes: int | None = None
    damaged: int = 0
    """items whose files in the spool cannot be read or are damaged"""
    removed: int = 0
    """old copies that were removed to make room"""


@dataclass(frozen=True, slots=True)
class MirrorPlace:
    """Where copies go: the disk with this ``label``, or the folder ``path``; below it ``folder``.

    ``same_disk`` allows a path on the spool's own disk: for trials only.
    """

    label: str | None = None
    path: Path | None = None
    folder: str = "so2cam"
    same_disk: bool = False
    reserve_bytes: int = 50_000_000
    """stay free on the disk"""
    make_room: bool = False
    """on a full disk, the oldest copies of what was delivered go"""

    def __post_init__(self) -> None:
        """Refuse a place without, or with two, ways to find it. Raises ValueError."""
        if (self.label is None) == (self.path is None):
            raise ValueError("a mirror is found by its label or by its path, one of them")


class Mirror:
    """Copies what a disk does not have yet. ``spool`` is the mirror's own connection, for its thread alone."""

    def __init__(
        self,
        spool: Spool,
        place: MirrorPlace,
        *,
        batch: int = 25,
        disk: Disk | None = None,
        find: Callable[[str], FoundDisk] = find_by_label,
    ) -> None:
        """Prepare; nothing is looked for yet."""
        self._spool = spool
        self._place = place
        self._batch = batch
        self._disk = disk or Disk()
        self._find = find
        self._known: dict[Path, str] = {}
        self._alone = False
        self._room_again_s = 0.0

    def run(
        self,
        stop: threading.Event,
        *,
        idle_s: float = 5.0,
        on_status: Callable[[MirrorStatus], None] = lambda _: None,
    ) -> None:
        """Copy until ``stop`` is set, at once where there is more to copy, else every ``idle_s``."""
        last: tuple[MirrorState, str] | None = None
        while not stop.is_set():
            status = self.step()
            if (status.state, status.detail) != last and not (
                last is not None and {status.state, last[0]} <= {MirrorState.BEHIND, MirrorState.CURRENT}
            ):
                level = logging.INFO if status.state in (MirrorState.BEHIND, MirrorState.CURRENT) else logging.WARNING
                _LOG.log(level, "mirror %s: %s", status.state, status.detail)
            last = (status.state, status.detail)
            on_status(status)
            stop.wait(0 if status.state is MirrorState.BEHIND and status.items else idle_s)

    def step(self) -> MirrorStatus:
        """Look for the disk and copy up to one batch of items. Never raises for what the disk or spool refuses."""
        found = self._locate()
        if found.path is None:
            self._known.clear()
            return MirrorStatus(MirrorState.ABSENT, found.problem)
        root = found.path / self._place.folder / self._spool.node
        try:
            receiver = self._receiver(root)
            return self._copy(root, receiver)
        except SpoolError as error:
            return MirrorStatus(MirrorState.ERROR, f"the spool: {error.message}", path=root)
        except OSError as error:
            self._known.clear()
            return MirrorStatus(MirrorState.ERROR, f"the disk: {error.strerror or error}", path=root)

    def _locate(self) -> FoundDisk:
        if self._place.label is not None:
            return self._find(self._place.label)
        if self._place.path is None:
            return FoundDisk(None, "no place is given")
        return check_folder(self._place.path, other_than=None if self._place.same_disk else self._spool.root)

    def _receiver(self, root: Path) -> str:
        """Return the receiver that stands for this disk; a disk that was never seen gets its marker."""
        if root in self._known and self._disk.exists(root / _MARKER):
            return self._known[root]
        self._disk.make_folder(root)
        marker = _read_marker(self._disk, root / _MARKER)
        with self._spool.journal() as journal:
            identity = journal.journal_id()
        if marker is None or identity not in marker.journals:
            # A folder with copies and no marker is of nobody knows which journal.
            before = ("",) if marker is None and self._disk.exists(root / DATA) else ()
            name = f"{_PREFIX}{secrets.token_hex(6)}" if marker is None else marker.name
            marker = _Marker(name, (*(before if marker is None else marker.journals), identity))
            content = {"format": 1, "id": name, "node": self._spool.node, "journals": marker.journals}
            self._place_file(root / _MARKER, json.dumps(content).encode())
        name = marker.name
        self._alone = marker.journals == (identity,)
        self._room_again_s = 0.0
        others = [other for other in self._spool.receivers() if other.startswith(_PREFIX) and other != name]
        for other in others[: max(0, len(others) + 1 - _KEPT_DISKS)]:
            self._spool.forget_receiver(other)
        self._spool.add_receiver(name)
        self._known = {root: name}
        return name

    def _copy(self, root: Path, receiver: str) -> MirrorStatus:
        free, total = self._disk.free_bytes(root), self._disk.total_bytes(root)
        room = free - self._place.reserve_bytes
        copied: list[StoredItem] = []
        damaged = removed = 0
        full = False
        for item in self._spool.undelivered(receiver, limit=self._batch):
            if item.total_bytes > room:
                if self._place.make_room and time.monotonic() >= self._room_again_s:
                    removed += self._make_room(root, item.total_bytes)
                    room = self._disk.free_bytes(root) - self._place.reserve_bytes
                if item.total_bytes > room:
                    full = True
                    break
            try:
                sidecar, data = self._spool.read(item, sidecar=True), self._spool.read(item)
            except SpoolError as error:
                damaged += 1
                check_item(self._spool, item)
                _LOG.warning("item %d cannot be mirrored: %s", item.sequence, error.message)
                continue
            self._place_item(root, item, sidecar, data)
            room -= item.total_bytes
            copied.append(item)
        if copied:
            confirmations = [(item.sequence, item.digest) for item in copied]
            self._spool.mark_all_delivered(confirmations, receiver)
            if ANY_MIRROR in self._spool.receivers():
                self._spool.mark_all_delivered(confirmations, ANY_MIRROR)
        backlog = next((entry.items for entry in self._spool.backlog() if entry.receiver == receiver), 0)
        if full:
            state, detail = MirrorState.FULL, f"no room: {free / 1e6:.0f} MB are free; put in another disk"
        elif backlog:
            state, detail = MirrorState.BEHIND, f"copying to {root}"
        else:
            state, detail = MirrorState.CURRENT, f"everything is on {root}"
        return MirrorStatus(
            state,
            detail,
            items=len(copied),
            bytes=sum(item.total_bytes for item in copied),
            backlog=backlog,
            path=root,
            free_bytes=free,
            total_bytes=total,
            damaged=damaged,
            removed=removed,
        )

    def _make_room(self, root: Path, needed: int) -> int:
        """Remove the oldest copies of delivered items until ``needed`` bytes fit; return how many. Raises OSError."""
        removed = 0
        for folder in sorted(path for path in (root / DATA).rglob("*") if path.is_dir()):
            place = folder.relative_to(root).as_posix()
            for path in sorted(folder.iterdir()):
                if path.suffix == SIDECAR_SUFFIX or not path.is_file():
                    continue
                with self._spool.journal() as journal:
                    if not journal.is_dispensable(place, path.name, unknown=self._alone):
                        continue
                self._disk.remove(path)
                self._disk.remove(path.with_suffix(SIDECAR_SUFFIX))
                removed += 1
                if removed % _ROOM_STEP == 0 and self._disk.free_bytes(root) >= needed + self._place.reserve_bytes:
                    self._disk.sync_folder(folder)
                    return removed
            if removed:
                self._disk.sync_folder(folder)
                if not any(folder.iterdir()):
                    folder.rmdir()
        if not removed:
            self._room_again_s = time.monotonic() + _ROOM_AGAIN_S
        return removed

    def _place_item(self, root: Path, item: StoredItem, sidecar: bytes, data: bytes) -> None:
        """Put both files of an item on the disk, the sidecar first. Raises OSError where they do not read back."""
        folder = root / item.folder
        self._disk.make_folder(folder)
        main, side = folder / item.name, folder / item.sidecar_name
        if any(self._differs(path, size, sha256) for path, size, sha256 in _files(item, main, side)):
            stem, _, suffix = item.name.rpartition(".")
            stem = f"{stem}x{item.sha256[:8]}"  # an older card's item of this name: never written over
            main, side = folder / f"{stem}.{suffix}", folder / f"{stem}{SIDECAR_SUFFIX}"
        for path, content in ((side, sidecar), (main, data)):
            if not self._disk.exists(path):
                self._place_file(path, content)
        for path, size, sha256 in _files(item, main, side):
            problem = compare_file(self._disk, path, size, sha256, from_disk=True)
            if problem:
                with suppress(OSError):
                    self._disk.remove(path)
                raise OSError(None, f"{path.name} {problem}, as it was read back")

    def _differs(self, path: Path, size: int, sha256: str) -> bool:
        return self._disk.exists(path) and bool(compare_file(self._disk, path, size, sha256))

    def _place_file(self, path: Path, content: bytes) -> None:
        temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}{TEMPORARY_SUFFIX}")
        try:
            self._disk.write_new(temporary, content)
            self._disk.rename(temporary, path)
        except OSError:
            with suppress(OSError):
                self._disk.remove(temporary)
            raise
        self._disk.sync_folder(path.parent)


def _files(item: StoredItem, main: Path, side: Path) -> tuple[tuple[Path, int, str], ...]:
    return (side, item.sidecar_size, item.sidecar_sha256), (main, item.size, item.sha256)


@dataclass(frozen=True, slots=True)
class _Marker:
    """Which disk this is, and the journals whose items were copied to it."""

    name: str
    journals: tuple[str, ...]


def _read_marker(disk: Disk, path: Path) -> _Marker | None:
    """Return which disk this is, or None where it was never seen."""
    try:
        content: Any = json.loads(disk.read(path))
    except (OSError, ValueError, RecursionError):
        return None
    name = content.get("id") if isinstance(content, dict) else None
    if not isinstance(name, str) or not name.startswith(_PREFIX):
        return None
    journals = content.get("journals")
    # A marker that does not say is taken for one of several journals.
    return _Marker(name, tuple(str(one) for one in journals) if isinstance(journals, list) else ("",))
