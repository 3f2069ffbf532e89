"""The spool: where an instrument keeps everything, so that nothing that was acknowledged is lost.

On the disk, format 1, below the spool's root::

    data/YYYY/MM/DD/HH/NAME.png   main files of items, and NAME.json beside each (or data/YYYY-MM-DD/, or data/)
    .incoming/TOKEN.png.tmp       files that are being written
    quarantine/NAME.REASON        what recovery could not vouch for; endings that no reader takes for data
    journal.sqlite (-wal, -shm)   what was acknowledged (``store.journal``)
    spool.json                    the format, and the node whose spool it is
    .lock                         between processes: shared while putting, exclusive while recovering

``Spool.put`` writes both files of an item (``store.items``) to temporary names and forces them to the disk; then, alone
among all processes, it renames the sidecar and, last, the main file into place, forces their folder to the disk, and
adds the item to the journal, which is forced to the disk too. When it returns, the item is acknowledged: it outlives
any crash and power cut. When it raises, nothing is acknowledged, and the files are taken back.

Nothing is ever overwritten: where a name is taken (the clock was set back, a second has two frames), the new item's
sequence number goes behind its name. Sequence numbers grow in the order of acknowledgement, whatever the clock does.

Any number of processes and threads may put at once, each thread with a ``Spool`` of its own or all with one.
"""

import contextlib
import hashlib
import secrets
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Self

from so2cam.store.disk import Disk
from so2cam.store.errors import (
    AlreadyKeptError,
    ItemDamagedError,
    SpoolBusyError,
    SpoolDamagedError,
    SpoolError,
    SpoolFullError,
    UnknownItemError,
    os_errors,
)
from so2cam.store.gate import Gate
from so2cam.store.items import (
    SIDECAR_SUFFIX,
    Order,
    Receipt,
    StoredItem,
    StoreItem,
    build_sidecar,
    item_digest,
    numbered_stem,
)
from so2cam.store.journal import DAMAGED, MISSING, Backlog, Found, Journal
from so2cam.store.layout import (
    DATA,
    INCOMING,
    JOURNAL,
    LOCK,
    STATION,
    SUSPECT,
    TEMPORARY_SUFFIX,
    Layout,
    item_folder,
    name_node,
)


@dataclass(frozen=True, slots=True)
class SpoolCounts:
    """What a spool holds. ``backlog`` is what each receiver still has to get."""

    items: int
    bytes: int
    missing: int
    damaged: int
    backlog: tuple[Backlog, ...]
    free_bytes: int
    total_bytes: int


class Spool:
    """An open spool. A context manager; safe for the threads of one process."""

    def __init__(
        self,
        root: Path,
        *,
        node: str | None = None,
        layout: Layout = "hour",
        receivers: Sequence[str] | None = None,
        reserve_bytes: int = 16_000_000,
        timeout_s: float = 10.0,
        disk: Disk | None = None,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        """Open the spool below ``root``, and make it where it is missing.

        ``node`` is the computer whose spool it is (``node`` for a new one), and ``receivers`` are those that must
        confirm an item before it counts as delivered (``station`` for a new one); None leaves them as they are.
        ``put`` refuses when less than ``reserve_bytes`` would stay free: room for the journal. ``timeout_s`` is how
        long to wait for other processes, ``now`` the clock by which items are stored. Raises SpoolError where the
        spool cannot be opened, ValueError without a receiver.
        """
        if receivers is not None and not receivers:
            raise ValueError("a spool needs a receiver: without one, everything would count as delivered")
        self.root = root
        self.layout = layout
        self.disk = disk or Disk()
        self._now = now
        self._receivers = None if receivers is None else tuple(dict.fromkeys(receivers))
        self._reserve_bytes = reserve_bytes
        self._timeout_s = timeout_s
        self._thread_lock = threading.RLock()
        self._journal_connection: Journal | None = None
        with os_errors(root):
            for folder in (root / DATA, root / INCOMING):
                self.disk.make_folder(folder)
            self.node = name_node(self.disk, root, node)
        self._gate = Gate(root / LOCK)
        self._gate_depth = 0
        with contextlib.ExitStack() as undo:
            undo.callback(self._gate.close)
            self._open_journal()
            undo.pop_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close_journal(self) -> None:
        """Close the connection to the journal; the next call that needs it opens it again."""
        journal, self._journal_connection = self._journal_connection, None
        if journal is not None:
            journal.close()

    def close(self) -> None:
        """Close the spool. Closing it again does nothing."""
        with self._one_thread():
            self.close_journal()
            self._gate.close()

    # --- the journal and the lock --------------------------------------------------------------------------------

    @contextmanager
    def _one_thread(self) -> Iterator[None]:
        """Let one thread in. Raises SpoolBusyError after twice the time-out: the disk hangs."""
        if not self._thread_lock.acquire(timeout=2 * self._timeout_s):
            raise SpoolBusyError(
                f"another thread has been waiting for the disk for more than {2 * self._timeout_s:g} s",
                file=self.root,
                remedy="check the disk",
            )
        try:
            yield
        finally:
            self._thread_lock.release()

    def _open_journal(self) -> None:
        path = self.root / JOURNAL
        with os_errors(path):
            there = self.disk.exists(path)
            suspect = self.disk.exists(self.root / SUSPECT)
        if suspect:
            self._rebuild()
        try:
            self._journal_connection = self._connect(path, there)
        except SpoolDamagedError:
            self._suspect()
            self._rebuild()
            self._journal_connection = self._connect(path, there=True)

    def _connect(self, path: Path, there: bool) -> Journal:
        if there:
            journal = Journal(path, busy_timeout_s=self._timeout_s)
        else:
            with self.locked(exclusive=True):
                journal = Journal(path, busy_timeout_s=self._timeout_s)
        with contextlib.ExitStack() as undo:
            undo.callback(journal.close)
            if not there:
                with os_errors(path):
                    self.disk.sync_folder(self.root)
            if self._receivers is not None:
                journal.require(self._receivers)
            elif not any(journal.receivers().values()):
                journal.require((STATION,))
            undo.pop_all()
        return journal

    def _suspect(self) -> None:
        """Have the next recovery check the journal in full, whoever runs it."""
        with contextlib.suppress(OSError):
            (self.root / SUSPECT).touch()

    def _rebuild(self) -> None:
        """Have the journal checked, and a new one built from the files where it is damaged."""
        from so2cam.store.recovery import recover_spool

        if self._gate_depth:
            raise SpoolDamagedError(
                "the journal is damaged", file=self.root / JOURNAL, remedy="try again: it is built anew from the files"
            )
        recover_spool(self.root, node=self.node, receivers=self._receivers, timeout_s=self._timeout_s, disk=self.disk)

    @contextmanager
    def locked(self, *, exclusive: bool = False) -> Iterator[None]:
        """Hold the spool's lock; for the other modules of the store. Raises SpoolBusyError after the time-out."""
        with self._one_thread():
            if self._gate_depth:
                yield
                return
            hold = self._gate.exclusive if exclusive else self._gate.shared
            with hold(self._timeout_s):
                self._gate_depth += 1
                try:
                    yield
                finally:
                    self._gate_depth -= 1

    @contextmanager
    def journal(self) -> Iterator[Journal]:
        """Give the journal to one thread; for the other modules of the store.

        A journal that was replaced by a recovery is opened anew.
        """
        with self._one_thread():
            if self._journal_connection is not None and not self._journal_connection.is_current():
                self.close_journal()
            if self._journal_connection is None:
                self._open_journal()
            if self._journal_connection is None:
                raise SpoolDamagedError("the journal cannot be opened", file=self.root / JOURNAL)
            try:
                yield self._journal_connection
            except UnknownItemError:
                raise
            except SpoolError as error:
                if isinstance(error, SpoolDamagedError):
                    self._suspect()
                # A connection whose disk refused may hold locks that it knows nothing of. The next call opens another,
                # and builds a new journal where this one is damaged.
                with contextlib.suppress(SpoolError):
                    self.close_journal()
                raise

    # --- putting -------------------------------------------------------------------------------------------------

    def put(self, item: StoreItem) -> Receipt:
        """Keep ``item``. When this returns, it is acknowledged: on the disk, whole, and in the journal.

        An item of another node that is there already gives the receipt of the first time. Raises AlreadyKeptError
        where an item of the same mark was kept before. Raises SpoolFullError at once where there is no room,
        SpoolWriteError where the disk refuses, SpoolBusyError after the time-out, ValueError for metadata that JSON
        cannot hold; then nothing is acknowledged, and the same item may be put again.
        """
        with os_errors(self.root), self._one_thread(), self.journal(), self.locked(), self.journal() as journal:
            return self._put(item, journal)

    def _put(self, item: StoreItem, journal: Journal) -> Receipt:
        disk = self.disk
        if item.origin is not None and (known := journal.by_origin(item.origin)) is not None:
            return Receipt(known, new=False)
        self._require_new_mark(item, journal)
        disk.step("put-begin")
        self._require_room(len(item.data))
        folder = self.folder_for(item.filed)
        if journal.is_sealed(folder):
            with journal.transaction():  # before the first file: recovery must look here again
                journal.set_sealed(folder, False)
        token = secrets.token_hex(8)
        main_temporary = self.root / INCOMING / f"{token}{item.suffix}{TEMPORARY_SUFFIX}"
        sidecar_temporary = self.root / INCOMING / f"{token}{SIDECAR_SUFFIX}{TEMPORARY_SUFFIX}"
        sha256 = hashlib.sha256(item.data).hexdigest()
        placed = [sidecar_temporary, main_temporary]
        try:
            with contextlib.ExitStack() as undo:
                undo.callback(self._take_back, placed)
                disk.write_new(main_temporary, item.data)
                disk.step("main-written")
                expected = journal.next_sequence()
                sidecar = self._sidecar(item, expected, sha256)
                disk.write_new(sidecar_temporary, sidecar)
                disk.step("sidecar-written")
                with journal.transaction():
                    disk.step("transaction-begun")
                    self._require_new_mark(item, journal)
                    sequence = journal.next_sequence()
                    if sequence != expected and item.sidecar is None:  # another process was quicker
                        disk.remove(sidecar_temporary)
                        sidecar = self._sidecar(item, sequence, sha256)
                        disk.write_new(sidecar_temporary, sidecar)
                    disk.make_folder(self.root / folder)
                    disk.step("folder-made")
                    stem = self._free_stem(journal, folder, item, sequence)
                    found = Found(
                        folder,
                        f"{stem}{item.suffix}",
                        len(item.data),
                        sha256,
                        f"{stem}{SIDECAR_SUFFIX}",
                        len(sidecar),
                        hashlib.sha256(sidecar).hexdigest(),
                    )
                    placed.append(self.root / folder / found.sidecar_name)
                    disk.rename(sidecar_temporary, placed[-1])
                    disk.step("sidecar-renamed")
                    placed.append(self.root / folder / found.name)
                    disk.rename(main_temporary, placed[-1])
                    disk.step("main-renamed")
                    disk.sync_folder(self.root / folder)
                    disk.step("folder-synced")
                    stored = journal.insert(item, found, sequence=sequence, stored=self._now())
                    disk.step("journal-inserted")
                undo.pop_all()
        except SpoolError:
            journal.settle()
            raise
        disk.step("journal-committed")
        return Receipt(stored)

    @staticmethod
    def _require_new_mark(item: StoreItem, journal: Journal) -> None:
        if item.mark is not None:
            sequence = journal.marked(item.mark.command, item.device, void=True).get(item.mark.item)
            if sequence is not None:
                raise AlreadyKeptError(sequence)

    def _take_back(self, placed: Sequence[Path]) -> None:
        """Remove the files of an item that was not acknowledged; the main file first: a sidecar alone is no item."""
        for path in reversed(placed):
            with contextlib.suppress(OSError):
                self.disk.remove(path)

    def _sidecar(self, item: StoreItem, sequence: int, sha256: str) -> bytes:
        if item.sidecar is not None:
            return item.sidecar
        return build_sidecar(item, node=self.node, sequence=sequence, sha256=sha256)

    def _require_room(self, size: int) -> None:
        free = self.disk.free_bytes(self.root)
        if free < size + self._reserve_bytes:
            raise SpoolFullError(
                f"no room: {free / 1e6:.1f} MB are free, and {self._reserve_bytes / 1e6:.1f} MB of them are kept for "
                "the journal",
                file=self.root,
                remedy="free space on the disk; nothing that was kept is lost",
            )

    def _free_stem(self, journal: Journal, folder: str, item: StoreItem, sequence: int) -> str:
        """Return a name that neither the folder nor the journal has; within a transaction."""
        plain = [] if item.numbered else [item.stem]
        numbered = numbered_stem(item.stem, sequence)
        for stem in (*plain, numbered, f"{numbered}x{secrets.token_hex(4)}"):
            files = [self.root / folder / f"{stem}{suffix}" for suffix in (item.suffix, SIDECAR_SUFFIX)]
            if not any(map(self.disk.exists, files)) and journal.by_path(folder, f"{stem}{item.suffix}") is None:
                return stem
        return f"{numbered}x{secrets.token_hex(8)}"

    def folder_for(self, time: datetime) -> str:
        """Return the folder of items of ``time``, relative to the root."""
        return item_folder(time, self.layout)

    # --- reading -------------------------------------------------------------------------------------------------

    def get(self, sequence: int) -> StoredItem:
        """Return an item. Raises UnknownItemError where none of this number is kept."""
        with self.journal() as journal:
            return journal.get(sequence)

    def path_of(self, item: StoredItem, *, sidecar: bool = False) -> Path:
        """Return the path of an item's main file or sidecar."""
        return self.root / (item.sidecar_path if sidecar else item.path)

    def read(self, item: StoredItem, *, sidecar: bool = False, offset: int = 0, length: int | None = None) -> bytes:
        """Return a part of an item's main file or sidecar; the whole without ``length``.

        A whole file is verified by its SHA-256. Raises SpoolError where it is missing, unreadable or damaged,
        ValueError for a part outside of the file.
        """
        size = item.sidecar_size if sidecar else item.size
        if offset < 0 or offset > size or (length is not None and length < 0):
            raise ValueError(f"a part from {offset} of {length} bytes is not within {size} bytes")
        path = self.path_of(item, sidecar=sidecar)
        try:
            if offset or length is not None:
                return self.disk.read_part(path, offset, size - offset if length is None else length)
            data = self.disk.read(path)
        except OSError as error:
            raise SpoolError(
                f"cannot be read: {error.strerror or error}", file=path, remedy="run `so2cam spool verify`"
            ) from error
        if hashlib.sha256(data).hexdigest() != (item.sidecar_sha256 if sidecar else item.sha256):
            raise ItemDamagedError(
                "is not what was kept: its SHA-256 differs", file=path, remedy="run `so2cam spool verify`"
            )
        return data

    def find(
        self,
        *,
        kind: str | None = None,
        subject: str | None = None,
        device: str | None = None,
        start: datetime | None = None,
        end: datetime | None = None,
        after: int = 0,
        limit: int | None = None,
        order: Order = "oldest",
    ) -> list[StoredItem]:
        """Return the items of a kind, subject, device and time, by sequence number above ``after``.

        ``start`` <= time < ``end``.
        """
        with self.journal() as journal:
            return journal.find(
                kind=kind,
                subject=subject,
                device=device,
                start=start,
                end=end,
                after=after,
                limit=limit,
                order=order,
            )

    def marked(self, command: str, device: str) -> dict[int, int]:
        """Return the sequence numbers of what a command made a device keep, by number within its set."""
        with self.journal() as journal:
            return journal.marked(command, device)

    def void(self, command: str, device: str, of: int) -> dict[int, int]:
        """Have items that a command made a device take, and that are not kept yet, never be kept; return the others."""
        with self.journal() as journal, journal.transaction():
            journal.void(command, device, of)
            return journal.marked(command, device)

    def counts(self) -> SpoolCounts:
        """Return what the spool holds, what receivers still have to get, and the room on the disk."""
        with self.journal() as journal:
            items, size = journal.totals()
            with os_errors(self.root):
                free, total = self.disk.free_bytes(self.root), self.disk.total_bytes(self.root)
            return SpoolCounts(
                items=items,
                bytes=size,
                missing=journal.count_state(MISSING),
                damaged=journal.count_state(DAMAGED),
                backlog=tuple(journal.backlog()),
                free_bytes=free,
                total_bytes=total,
            )

    def backlog(self) -> tuple[Backlog, ...]:
        """Return what every receiver still has to get."""
        with self.journal() as journal:
            return tuple(journal.backlog())

    # --- delivery ------------------------------------------------------------------------------------------------

    def undelivered(
        self,
        receiver: str = STATION,
        *,
        limit: int = 100,
        order: Order = "oldest",
        after: int | None = None,
        kind: str | None = None,
    ) -> list[StoredItem]:
        """Return up to ``limit`` items that ``receiver`` has not confirmed.

        By sequence number, the oldest or the newest first, beyond the number ``after``: so that one item that cannot
        be delivered does not stop the others.
        """
        with self.journal() as journal:
            return journal.undelivered(receiver, limit=limit, order=order, after=after, kind=kind)

    def mark_delivered(self, sequence: int, digest: str, receiver: str = STATION) -> bool:
        """Take note that ``receiver`` has an item, whose ``digest`` it gives back. Return whether that was new.

        Raises UnknownItemError where the item is not kept, or its digest is another.
        """
        return self.mark_all_delivered([(sequence, digest)], receiver) == 1

    def mark_all_delivered(self, confirmations: Iterable[tuple[int, str]], receiver: str = STATION) -> int:
        """Take note of many (sequence, digest) at once, all or none. Return how many were new."""
        with self.journal() as journal, journal.transaction():
            new = 0
            for sequence, digest in confirmations:
                item = journal.get(sequence)
                if item.digest != digest.lower():
                    raise UnknownItemError(
                        f"item {sequence} is another one than {receiver} confirms",
                        file=self.path_of(item),
                        value=digest,
                        remedy="fetch the item again",
                    )
                new += journal.confirm(receiver, sequence)
            return new

    def add_receiver(self, name: str) -> None:
        """Keep account of what ``name`` has, too; deletion does not wait for it. It has to get everything so far."""
        with self.journal() as journal:
            if name not in journal.receivers():
                with journal.transaction():
                    journal.add_receiver(name)
            if journal.is_filling(name):
                journal.fill_receiver(name)

    def forget_receiver(self, name: str) -> None:
        """Keep no account of ``name`` any more. Raises ValueError for one that deletion waits for."""
        with self.journal() as journal:
            if journal.receivers().get(name):
                raise ValueError(f"{name} is a receiver of this spool; change its settings instead")
            with journal.transaction():
                journal.forget_receiver(name)

    def receivers(self) -> dict[str, bool]:
        """Return every receiver of which account is kept, and whether deletion waits for it."""
        with self.journal() as journal:
            return journal.receivers()

    def deletions(self) -> list[tuple[str, str, int, int]]:
        """Return (day, reason, items, bytes) of everything that was ever deleted or lost."""
        with self.journal() as journal:
            return journal.deletions()


__all__ = ["DATA", "STATION", "Layout", "Receipt", "Spool", "SpoolCounts", "StoreItem", "StoredItem", "item_digest"]
