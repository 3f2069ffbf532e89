"""Verifying what is kept: every file is read and compared with the length and SHA-256 of the day it was put.

A flipped bit anywhere is found. Damaged and missing items are marked in the journal, so that nobody delivers them;
where a mirror has them whole, they are put back.
"""

import hashlib
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from so2cam.store.disk import Disk
from so2cam.store.errors import SpoolError, UnknownItemError, from_os_error
from so2cam.store.items import StoredItem
from so2cam.store.journal import DAMAGED, MISSING
from so2cam.store.layout import INCOMING, TEMPORARY_SUFFIX
from so2cam.store.recovery import hash_file
from so2cam.store.spool import Spool

_BATCH: Final = 500
_CURSOR: Final = "verified"


@dataclass(frozen=True, slots=True)
class Fault:
    """A file that is not what was kept. ``path`` is relative to the spool's root."""

    sequence: int
    path: str
    reason: str
    repaired: bool = False


@dataclass(frozen=True, slots=True)
class VerifyReport:
    """What a verification found. ``complete`` tells whether it came to the end."""

    items: int
    bytes: int
    faults: tuple[Fault, ...]
    journal: tuple[str, ...]
    complete: bool

    @property
    def good(self) -> bool:
        """Whether everything is as it was kept, or has been put back."""
        return not self.journal and all(fault.repaired for fault in self.faults)


def verify_spool(
    spool: Spool,
    *,
    mirrors: Sequence[Path] = (),
    after: int = 0,
    maximum_items: int | None = None,
    maximum_bytes_per_s: float | None = None,
    progress: Callable[[int, int], None] | None = None,
    should_stop: Callable[[], bool] | None = None,
) -> VerifyReport:
    """Read every item with a number above ``after``, the damaged and missing ones once more, and compare.

    ``mirrors`` are folders with copies, laid out as below the spool's root; from them, files are put back. Reading is
    held to ``maximum_bytes_per_s``. ``progress(items, bytes)`` is called after every item. Raises SpoolError where the
    journal cannot be read or written.
    """
    began, items, size = time.monotonic(), 0, 0
    faults: list[Fault] = []
    with spool.journal() as journal:
        problems = tuple(journal.integrity())
        suspects = journal.in_state(DAMAGED) + journal.in_state(MISSING)
    for item in suspects:
        faults += check_item(spool, item, mirrors, suspect=True)
    while maximum_items is None or items < maximum_items:
        limit = _BATCH if maximum_items is None else min(_BATCH, maximum_items - items)
        batch = spool.find(after=after, limit=limit)
        if not batch:
            return VerifyReport(items, size, tuple(faults), problems, complete=True)
        for item in batch:
            if should_stop is not None and should_stop():
                return VerifyReport(items, size, tuple(faults), problems, complete=False)
            faults += check_item(spool, item, mirrors)
            items, size, after = items + 1, size + item.total_bytes, item.sequence
            if progress is not None:
                progress(items, size)
            if maximum_bytes_per_s is not None:
                ahead_s = size / maximum_bytes_per_s - (time.monotonic() - began)
                if ahead_s > 0:
                    time.sleep(min(ahead_s, 10.0))
    return VerifyReport(items, size, tuple(faults), problems, complete=False)


def verify_next(spool: Spool, *, maximum_items: int = 100, mirrors: Sequence[Path] = ()) -> VerifyReport:
    """Verify the next items, from where the last call ended: for housekeeping, a little each time, again and again.

    Raises SpoolError as ``verify_spool`` does.
    """
    with spool.journal() as journal:
        after = int(journal.meta(_CURSOR) or 0)
    report = verify_spool(spool, mirrors=mirrors, after=after, maximum_items=maximum_items)
    seen = spool.find(after=after, limit=report.items)
    cursor = 0 if report.complete or not seen else seen[-1].sequence
    with spool.journal() as journal, journal.transaction():
        journal.set_meta(_CURSOR, str(cursor))
    return report


def check_item(spool: Spool, item: StoredItem, mirrors: Sequence[Path] = (), *, suspect: bool = False) -> list[Fault]:
    """Compare one item's files with what was kept, and mark the item in the journal where that has changed.

    ``suspect``: the journal has it as damaged or missing. Raises SpoolError where the journal refuses.
    """
    found: list[Fault] = []
    missing = False
    for path, size, sha256 in (
        (item.path, item.size, item.sha256),
        (item.sidecar_path, item.sidecar_size, item.sidecar_sha256),
    ):
        reason = compare_file(spool.disk, spool.root / path, size, sha256)
        if not reason:
            continue
        missing |= reason == "is missing"
        repaired = any(_put_back(spool, mirror / path, path, size, sha256) for mirror in mirrors)
        found.append(Fault(item.sequence, path, reason, repaired))
    broken = any(not fault.repaired for fault in found)
    if broken == suspect:
        return found
    with spool.journal() as journal:
        try:
            journal.get(item.sequence)
        except UnknownItemError:
            if not suspect:
                return []  # retention was quicker
        with journal.transaction():
            if broken:
                journal.set_state([item.sequence], MISSING if missing else DAMAGED)
            else:
                journal.restore([item.sequence])
    return found


def compare_file(disk: Disk, path: Path, size: int, sha256: str, *, from_disk: bool = False) -> str:
    """Return what is wrong with a file, or an empty text."""
    try:
        actual_size = path.stat().st_size
        if actual_size != size:
            return f"has {actual_size} bytes, {size} were kept"
        if hash_file(disk, path, from_disk=from_disk) != sha256:
            return "has another SHA-256 than what was kept"
    except FileNotFoundError:
        return "is missing"
    except OSError as error:
        return f"cannot be read: {error.strerror or error}"
    return ""


def _put_back(spool: Spool, source: Path, path: str, size: int, sha256: str) -> bool:
    """Put a file back from a mirror; tell whether it is whole now."""
    disk = spool.disk
    temporary = spool.root / INCOMING / f"{hashlib.sha256(path.encode()).hexdigest()[:32]}{TEMPORARY_SUFFIX}"
    try:
        data = disk.read(source)
        if len(data) != size or hashlib.sha256(data).hexdigest() != sha256:
            return False
        with spool.locked():
            disk.remove(temporary)
            try:
                disk.write_new(temporary, data)
                disk.make_folder((spool.root / path).parent)
                disk.rename(temporary, spool.root / path)
                disk.sync_folder((spool.root / path).parent)
            except OSError as error:
                with suppress(OSError):
                    disk.remove(temporary)
                raise from_os_error(error, spool.root / path) from error
    except (OSError, SpoolError):
        return False
    return True
