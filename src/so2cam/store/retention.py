"""Making room: when the disk fills up, delivered items are deleted, the oldest first.

Undelivered items stay, unless the site file says otherwise; then they go last, the oldest first, and are counted and
reported. Items are first marked in the journal as being deleted, then their files are removed, then their rows: a crash
in between is finished by the next recovery. Where the disk is so full that not even the journal can be written, the
files of delivered items are removed without a mark; recovery knows what became of them.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from so2cam.store.errors import SpoolBusyError, SpoolFullError, from_os_error
from so2cam.store.items import StoredItem
from so2cam.store.journal import DELETING, Journal
from so2cam.store.layout import DATA
from so2cam.store.spool import Spool

DELIVERED: Final = "delivered"
UNDELIVERED: Final = "undelivered"
_BATCH: Final = 200
_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class RetentionReport:
    """What was deleted. ``enough`` tells whether as much is free as was wanted."""

    wanted_free_bytes: int
    free_before_bytes: int
    free_after_bytes: int
    delivered_items: int
    delivered_bytes: int
    undelivered_items: int
    undelivered_bytes: int

    @property
    def enough(self) -> bool:
        """Whether as much is free as was wanted."""
        return self.free_after_bytes >= self.wanted_free_bytes


def wanted_free_bytes(spool: Spool, *, minimum_free_fraction: float, minimum_free_bytes: int) -> int:
    """Return how much of the spool's disk is to stay free [bytes]: the larger of the two. Raises SpoolError."""
    try:
        total = spool.disk.total_bytes(spool.root)
    except OSError as error:
        raise from_os_error(error, spool.root) from error
    return max(round(minimum_free_fraction * total), minimum_free_bytes)


def make_room(
    spool: Spool,
    *,
    wanted_free: int,
    delete_undelivered: bool = False,
    maximum_items: int = 5000,
    stored_before: datetime | None = None,
) -> RetentionReport:
    """Delete items until ``wanted_free`` bytes are free, ``maximum_items`` were deleted, or none may be deleted.

    ``stored_before``: delivered items go only where they were stored before it.

    Raises SpoolError where the disk refuses; what was deleted until then is accounted for.
    """
    before = free = _free(spool)
    deleted = {DELIVERED: [0, 0], UNDELIVERED: [0, 0]}
    reasons = (DELIVERED, UNDELIVERED) if delete_undelivered else (DELIVERED,)
    for reason in reasons:
        while free < wanted_free and (left := maximum_items - deleted[DELIVERED][0] - deleted[UNDELIVERED][0]) > 0:
            with spool.journal() as journal:
                count = min(_BATCH, left)
                batch = journal.deletable(count) if reason == DELIVERED else journal.oldest(count)
                if stored_before is not None and reason == DELIVERED:
                    batch = [item for item in batch if item.stored < stored_before]
                batch = _no_more_than(batch, wanted_free - free)
                if not batch:
                    break
                _delete(spool, journal, batch, reason)
            deleted[reason][0] += len(batch)
            deleted[reason][1] += sum(item.total_bytes for item in batch)
            free = _free(spool)
    report = RetentionReport(wanted_free, before, free, *deleted[DELIVERED], *deleted[UNDELIVERED])
    if report.undelivered_items:
        _LOG.error(
            "no room, and nothing delivered was left to delete: %d items (%.1f MB) were deleted that nobody has got",
            report.undelivered_items,
            report.undelivered_bytes / 1e6,
        )
    elif report.delivered_items:
        _LOG.info("deleted %d delivered items (%.1f MB)", report.delivered_items, report.delivered_bytes / 1e6)
    return report


def _free(spool: Spool) -> int:
    try:
        return spool.disk.free_bytes(spool.root)
    except OSError as error:
        raise from_os_error(error, spool.root) from error


def _no_more_than(items: Sequence[StoredItem], needed: int) -> list[StoredItem]:
    """Return the first items that together free ``needed`` bytes, or all of them."""
    chosen: list[StoredItem] = []
    size = 0
    for item in items:
        if size >= needed:
            break
        chosen.append(item)
        size += item.total_bytes
    return chosen


def _delete(spool: Spool, journal: Journal, items: Sequence[StoredItem], reason: str) -> None:
    sequences = [item.sequence for item in items]
    try:
        with journal.transaction():
            if reason != DELIVERED:
                journal.forsake(item for item in items if item.sequence in journal.waiting(sequences))
            journal.set_state(sequences, DELETING)
            size = sum(item.total_bytes for item in items)
            journal.count_deletion(f"{datetime.now(UTC):%Y-%m-%d}", reason, len(items), size)
    except SpoolFullError:
        if reason != DELIVERED:
            raise
        _LOG.warning("the disk is too full for the journal; delivered files are removed first")
        _remove_files(spool, items)
        with journal.transaction():
            journal.count_deletion(
                f"{datetime.now(UTC):%Y-%m-%d}", reason, len(items), sum(item.total_bytes for item in items)
            )
            journal.remove(sequences)
        return
    _remove_files(spool, items)
    with journal.transaction():
        journal.remove(sequences)


def _remove_files(spool: Spool, items: Sequence[StoredItem]) -> None:
    try:
        for item in items:
            spool.disk.remove(spool.path_of(item))
            spool.disk.remove(spool.path_of(item, sidecar=True))
        for folder in sorted({item.folder for item in items}):
            if (spool.root / folder).is_dir():
                spool.disk.sync_folder(spool.root / folder)
                _remove_empty(spool, spool.root / folder)
    except OSError as error:
        raise from_os_error(error, error.filename or spool.root) from error


def _remove_empty(spool: Spool, folder: Path) -> None:
    """Remove ``folder`` and the folders above it, up to that of all data, as far as they are empty."""
    if any(folder.iterdir()):
        return
    try:
        with spool.locked(exclusive=True):  # nobody is about to put something there
            while folder != spool.root / DATA and not any(folder.iterdir()):
                folder.rmdir()
                folder = folder.parent
                spool.disk.sync_folder(folder)
    except SpoolBusyError:
        _LOG.debug("%s is empty and stays: others are putting", folder)
