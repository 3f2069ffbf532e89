"""Recovery of a spool: after a crash, a power cut, or the loss of its journal, everything is in order again.

Run at every start, before anything is put. Files that were being written are swept away. In every folder where
something was put since the last recovery, the files are compared with the journal: a whole item that the journal does
not know (the crash came between the files and the journal) is adopted if its sidecar vouches for it, that is, has the
main file's SHA-256. Anything else goes to ``quarantine``, with its path and the reason in its name; nothing is deleted
but temporaries. Items whose files are gone are noted as missing, files of another length as damaged.

A damaged journal is set aside, and a new one is built from the files, whose lengths are compared with their sidecars
(``verify`` compares the rest). What was delivered is then delivered again, and receivers know it by its digest.

A folder that was found right is sealed and not looked at again until something is put there, so that a start takes no
longer with millions of files.
"""

import contextlib
import hashlib
import json
import logging
import os
import secrets
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from so2cam.core.times import parse_utc
from so2cam.store.disk import Disk
from so2cam.store.errors import SpoolDamagedError, os_errors
from so2cam.store.gate import Gate
from so2cam.store.items import SIDECAR_SUFFIX, Mark, Origin, StoredItem, StoreItem
from so2cam.store.journal import DAMAGED, DELETING, KEPT, MISSING, Found, Journal
from so2cam.store.layout import DATA, INCOMING, JOURNAL, LOCK, QUARANTINE, STATION, SUSPECT, name_node

_LOG = logging.getLogger(__name__)
_CHECKED_BYTES: Final = 64_000_000
"""Journals up to this size are checked in full at the start; larger ones where they were found damaged at work."""
_MAXIMUM_SIDECAR_BYTES: Final = 4_000_000
_HIGHEST_SEQUENCE: Final = 10**15
_MAXIMUM_DETAILS: Final = 300


@dataclass(frozen=True, slots=True)
class RecoveryReport:
    """What a recovery did, in files (temporaries, quarantined) and items.

    ``details`` says of the first few hundred what happened to which, by its path relative to the spool's root.
    """

    temporaries: int
    adopted: int
    quarantined: int
    missing: int
    damaged: int
    deletions_finished: int
    details: tuple[str, ...]
    journal_rebuilt: bool
    folders: int
    duration_s: float

    @property
    def clean(self) -> bool:
        """Whether everything was as it should be; swept temporaries do not count."""
        return not (self.adopted or self.quarantined or self.missing or self.damaged or self.journal_rebuilt)


@dataclass(slots=True)
class _Work:
    """A recovery under way."""

    root: Path
    node: str
    disk: Disk
    journal: Journal
    trust: bool
    """an unknown main file's length is enough, where its sidecar has its hash: the journal is being built anew"""
    foreign: list["_Candidate"] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    details: list[str] = field(default_factory=list)

    def note(self, what: str, path: str) -> None:
        """Count what happened to ``path``."""
        self.counts[what] += 1
        if len(self.details) < _MAXIMUM_DETAILS:
            self.details.append(f"{what} {path}")


@dataclass(frozen=True, slots=True)
class _Candidate:
    """A whole item that the journal does not know."""

    item: StoreItem
    found: Found
    sequence: int | None


def recover_spool(
    root: Path,
    *,
    node: str | None = None,
    receivers: Sequence[str] | None = None,
    full: bool = False,
    timeout_s: float = 10.0,
    disk: Disk | None = None,
) -> RecoveryReport:
    """Bring the spool below ``root`` in order, and make it where it is missing; see the module.

    ``node`` and ``receivers`` are as of ``Spool``. ``full`` looks at sealed folders too. Nobody can put meanwhile.
    Raises SpoolBusyError where others do not stop putting for ``timeout_s``, and SpoolError where the disk refuses;
    then the next recovery goes on.
    """
    disk = disk or Disk()
    began = time.monotonic()
    with os_errors(root):
        for folder in (root / DATA, root / INCOMING):
            disk.make_folder(folder)
        name = name_node(disk, root, node)
        gate = Gate(root / LOCK)
        try:
            with gate.exclusive(timeout_s):
                return _recover(root, name, receivers, full, timeout_s, disk, began)
        finally:
            gate.close()


def _recover(
    root: Path, node: str, receivers: Sequence[str] | None, full: bool, timeout_s: float, disk: Disk, began: float
) -> RecoveryReport:
    fresh = not disk.exists(root / JOURNAL)
    aside: list[str] = []
    try:
        journal = _open(root / JOURNAL, timeout_s)
    except SpoolDamagedError as error:
        _LOG.error("a new journal is built from the files: %s", error.message)
        aside = _set_aside(root, disk)
        fresh = True
        journal = Journal(root / JOURNAL, busy_timeout_s=timeout_s)
    try:
        if receivers is not None or not any(journal.receivers().values()):
            journal.require(receivers or (STATION,))
        work = _Work(root, node, disk, journal, trust=fresh)
        for path in aside:
            work.note("quarantined", path)
        temporaries = _sweep(root / INCOMING, disk)
        finished = _finish_deletions(work)
        folders = _folders(work, full or fresh)
        for folder in folders:
            _examine(work, folder)
        _adopt(work, work.foreign)
        disk.remove(root / SUSPECT)
        disk.sync_folder(root)
    finally:
        journal.close()
    counts = work.counts
    report = RecoveryReport(
        temporaries=temporaries,
        adopted=counts["adopted"],
        quarantined=counts["quarantined"],
        missing=counts["missing"],
        damaged=counts["damaged"],
        deletions_finished=finished,
        details=tuple(work.details),
        journal_rebuilt=bool(aside),
        folders=len(folders),
        duration_s=time.monotonic() - began,
    )
    _LOG.log(
        logging.INFO if report.clean else logging.WARNING,
        "recovered %s: %d temporaries swept, %d items adopted, %d files quarantined, %d items missing, %d damaged%s",
        root,
        temporaries,
        report.adopted,
        report.quarantined,
        report.missing,
        report.damaged,
        ", journal built anew" if report.journal_rebuilt else "",
    )
    return report


def _open(path: Path, timeout_s: float) -> Journal:
    """Return the journal. Raises SpoolDamagedError where it is damaged."""
    journal = Journal(path, busy_timeout_s=timeout_s)
    with contextlib.ExitStack() as undo:
        undo.callback(journal.close)
        suspect = (path.parent / SUSPECT).exists()
        if (suspect or path.stat().st_size <= _CHECKED_BYTES) and (found := journal.integrity()):
            raise SpoolDamagedError(f"the journal is damaged: {found[0]}", file=path)
        journal.totals()
        journal.backlog()
        undo.pop_all()
    return journal


def _set_aside(root: Path, disk: Disk) -> list[str]:
    """Move a damaged journal out of the way; return where to."""
    disk.make_folder(root / QUARANTINE)
    mark = f"{datetime.now(UTC):%Y%m%dT%H%M%S}-{secrets.token_hex(3)}"
    moved = []
    for ending in ("-wal", "-shm", ""):
        source = root / f"{JOURNAL}{ending}"
        if disk.exists(source):
            target = f"{QUARANTINE}/{JOURNAL}{ending}.{mark}.damaged"
            disk.rename(source, root / target)
            moved.append(target)
    disk.sync_folder(root / QUARANTINE)
    disk.sync_folder(root)
    return moved


def _sweep(folder: Path, disk: Disk) -> int:
    """Remove what was being written; return how many files."""
    swept = 0
    for name in sorted(os.listdir(folder)):  # noqa: PTH208 - names are enough
        disk.remove(folder / name)
        swept += 1
    return swept


def _finish_deletions(work: _Work) -> int:
    """Delete what a crash left half deleted; return how many items."""
    items = work.journal.in_state(DELETING)
    for item in items:
        for path in (item.path, item.sidecar_path):
            work.disk.remove(work.root / path)
    for folder in {item.folder for item in items}:
        if (work.root / folder).is_dir():
            work.disk.sync_folder(work.root / folder)
    if items:
        with work.journal.transaction():
            work.journal.remove(item.sequence for item in items)
    return len(items)


def _folders(work: _Work, full: bool) -> list[str]:
    """Return the folders to look at, relative to the root, in order."""
    sealed = set() if full else work.journal.sealed_folders()
    found: set[str] = set()
    waiting = [DATA]
    while waiting:
        folder = waiting.pop()
        if folder not in sealed:
            found.add(folder)
        elif folder != DATA:
            continue
        with os.scandir(work.root / folder) as entries:
            waiting.extend(f"{folder}/{entry.name}" for entry in entries if entry.is_dir(follow_symlinks=False))
    known = work.journal.item_folders()
    return sorted(found | {folder for folder in known if folder not in sealed or not (work.root / folder).is_dir()})


def _examine(work: _Work, folder: str) -> None:
    """Compare one folder with the journal, put it in order, and seal it."""
    path = work.root / folder
    sizes: dict[str, int] = {}
    if path.is_dir():
        with os.scandir(path) as entries:
            sizes = {
                entry.name: entry.stat(follow_symlinks=False).st_size
                for entry in entries
                if entry.is_file(follow_symlinks=False)
            }
    known: set[str] = set()
    gone: list[StoredItem] = []
    other_size: list[StoredItem] = []
    back: list[StoredItem] = []
    for item, state in work.journal.rows_in_folder(folder):
        known |= {item.name, item.sidecar_name}
        whole = sizes.get(item.name) == item.size and sizes.get(item.sidecar_name) == item.sidecar_size
        if state in (KEPT, DAMAGED) and not (item.name in sizes and item.sidecar_name in sizes):
            gone.append(item)
        elif state == KEPT and not whole:
            other_size.append(item)
        elif state == MISSING and whole:
            back.append(item)
    unknown = {name: size for name, size in sizes.items() if name not in known}
    candidates = _candidates(work, folder, unknown)
    if candidates or unknown:
        work.disk.sync_folder(path)
    own = [candidate for candidate in candidates if candidate.item.origin is None]
    work.foreign += [candidate for candidate in candidates if candidate.item.origin is not None]
    _adopt(work, sorted(own, key=lambda candidate: candidate.sequence or 0))
    waited_for = work.journal.waiting(item.sequence for item in gone)
    lost = [item for item in gone if item.sequence in waited_for]
    with work.journal.transaction():
        work.journal.set_state((item.sequence for item in lost), MISSING)
        work.journal.remove(item.sequence for item in gone if item.sequence not in waited_for)
        work.journal.set_state((item.sequence for item in other_size), DAMAGED)
        work.journal.restore(item.sequence for item in back)
        if gone:
            rest = len(gone) - len(lost)
            today = f"{datetime.now(UTC):%Y-%m-%d}"
            if lost:
                work.journal.count_deletion(today, "lost", len(lost), sum(item.total_bytes for item in lost))
            if rest:
                size = sum(item.total_bytes for item in gone) - sum(item.total_bytes for item in lost)
                work.journal.count_deletion(today, "vanished after delivery", rest, size)
        if sizes:
            work.journal.set_sealed(folder, True)
        else:
            work.journal.forget_folder(folder)
    for item in lost:
        work.note("missing", item.path)
    for item in other_size:
        work.note("damaged", item.path)


def _candidates(work: _Work, folder: str, unknown: Mapping[str, int]) -> list[_Candidate]:
    """Return the whole items among files that the journal does not know; the rest goes to quarantine."""
    found: list[_Candidate] = []
    used: set[str] = set()
    for name in sorted(unknown):
        stem, _, _ = name.rpartition(".")
        sidecar = f"{stem}{SIDECAR_SUFFIX}"
        if not stem or name == sidecar or name.startswith("."):
            continue
        reason = "unknown"
        if sidecar in unknown and sidecar not in used:
            outcome = _read_candidate(work, folder, name, unknown[name], sidecar)
            if isinstance(outcome, _Candidate):
                found.append(outcome)
                used |= {name, sidecar}
                continue
            reason = outcome
        _quarantine(work, folder, name, reason)
        used.add(name)
    for name in sorted(set(unknown) - used):
        _quarantine(work, folder, name, "unfinished" if name.endswith(SIDECAR_SUFFIX) else "unknown")
    return found


def _read_candidate(work: _Work, folder: str, name: str, size: int, sidecar: str) -> _Candidate | str:
    """Return an item whose sidecar vouches for it, or why it is none."""
    try:
        text = work.disk.read_part(work.root / folder / sidecar, 0, _MAXIMUM_SIDECAR_BYTES + 1)
    except OSError:
        return "unreadable"
    if len(text) > _MAXIMUM_SIDECAR_BYTES:
        return "unknown"
    try:
        item, sha256, sequence = _read_sidecar(text, name, size, work.node)
    except (ValueError, KeyError, TypeError, RecursionError, OverflowError):
        return "unknown"
    if not work.trust:
        try:
            actual = hash_file(work.disk, work.root / folder / name)
        except OSError:
            return "unreadable"
        if actual != sha256:
            return "damaged"
    if work.journal.has_content(item.kind, item.time, sha256):
        return "duplicate"
    found = Found(folder, name, size, sha256, sidecar, len(text), hashlib.sha256(text).hexdigest())
    return _Candidate(item, found, sequence)


def _read_sidecar(text: bytes, name: str, size: int, node: str) -> tuple[StoreItem, str, int | None]:
    """Return item, hash and sequence number of a sidecar. Raises ValueError or KeyError where it does not vouch."""
    content: Any = json.loads(text)
    own = content["so2cam"]
    sha256 = str(own["sha256"])
    if len(bytes.fromhex(sha256)) != hashlib.sha256().digest_size or own["bytes"] != size:
        raise ValueError("the sidecar belongs to another file")
    sequence = own["sequence"]
    if not isinstance(sequence, int) or not 0 < sequence < _HIGHEST_SEQUENCE:
        raise ValueError("the sequence number cannot be")
    stem, _, suffix = name.rpartition(".")
    item = StoreItem(
        kind=str(own["kind"]),
        subject=str(own["subject"]),
        device=str(own["device"]),
        time=parse_utc(str(own["time"])),
        stem=stem,
        suffix=f".{suffix}",
        data=b"",
    )
    if own["node"] == node:
        return replace(item, mark=_read_mark(own)), sha256, sequence
    return replace(item, origin=Origin(str(own["node"]), sequence), sidecar=text), sha256, None


def _read_mark(own: Mapping[str, Any]) -> Mark | None:
    """Return the mark of the command that asked for an item. Raises ValueError or KeyError where it cannot be one."""
    told = own.get("command")
    return None if told is None else Mark(str(told["id"]), int(told["item"]), int(told["of"]))


def _adopt(work: _Work, candidates: Iterable[_Candidate]) -> None:
    """Add whole items to the journal; but of a command's items each one once."""
    candidates = list(candidates)
    if not candidates:
        return
    adopted: list[_Candidate] = []
    with work.journal.transaction():
        for candidate in candidates:
            item = candidate.item
            if item.mark is not None and item.mark.item in work.journal.marked(
                item.mark.command, item.device, void=True
            ):
                continue
            adopted.append(candidate)
            if item.origin is not None and work.journal.by_origin(item.origin) is not None:
                item = replace(item, origin=None)
            sequence = candidate.sequence
            if sequence is None or work.journal.is_used(sequence):
                sequence = work.journal.next_sequence()
            work.journal.insert(item, candidate.found, sequence=sequence, stored=datetime.now(UTC))
    for candidate in candidates:
        found = candidate.found
        if candidate in adopted:
            work.note("adopted", f"{found.folder}/{found.name}")
        else:
            for name in (found.name, found.sidecar_name):
                _quarantine(work, found.folder, name, "duplicate")


def _quarantine(work: _Work, folder: str, name: str, reason: str) -> None:
    """Move a file out of the data, under a name that no reader takes for data."""
    folder_mark = folder.removeprefix(DATA).strip("/").replace("/", "-")
    target_name = f"{folder_mark}_{name}"[:200] + f".{secrets.token_hex(3)}.{reason}"
    target = work.root / QUARANTINE / target_name
    work.disk.make_folder(target.parent)
    work.disk.rename(work.root / folder / name, target)
    work.disk.sync_folder(target.parent)
    work.note("quarantined", f"{QUARANTINE}/{target_name}")


def hash_file(disk: Disk, path: Path, *, from_disk: bool = False, pause: Callable[[int], None] | None = None) -> str:
    """Return the SHA-256 of a file, in hexadecimal; ``pause`` is called with the length of each piece read."""
    digest = hashlib.sha256()
    for piece in disk.chunks(path, from_disk=from_disk):
        digest.update(piece)
        if pause is not None:
            pause(len(piece))
    return digest.hexdigest()
