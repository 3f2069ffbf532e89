"""The archive: where a station keeps every file for good, as it came, with its name.

On the disk, below the archive's root::

    YYYY/MM/DD/HH/NAME.png      files by the time of their exposure, UTC, NAME.json beside each that has a sidecar
    .incoming/                  files on their way
    .lock                       between processes that put at once

``Archive.put`` forces both files to the disk, renames the sidecar and, last, the main file into place, forces their
folder to the disk, and enters them into the catalogue. When it returns, the files outlive any crash and power cut;
a crash before leaves at most files that are found again when the item is offered again. Nothing is overwritten: where
a name is taken by another file, a number goes behind the new one's.
"""

import contextlib
import hashlib
import os
import re
import secrets
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from so2cam.core.errors import So2camError
from so2cam.link.errors import LinkError
from so2cam.link.protocol import LinkItem
from so2cam.link.receiving import ItemParts
from so2cam.station.catalogue import KEPT, ArchivedFile, Catalogue, NewFile
from so2cam.store.disk import Disk
from so2cam.store.errors import os_errors
from so2cam.store.gate import Gate

INCOMING: Final = ".incoming"
LOCK: Final = ".lock"
STALE_S: Final = 7 * 86_400.0
"""Files on their way that nobody touched for so long are forgotten."""
_TIMEOUT_S: Final = 20.0
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+ -]{0,199}")
STEPS: Final = (
    "archive-begin",
    "archive-synced",
    "archive-sidecar",
    "archive-main",
    "archive-folder",
    "archive-entered",
)
"""The named points of ``put``, in their order: where tests kill the process."""


class ArchiveError(So2camError):
    """A file cannot be kept; nothing was acknowledged."""


@dataclass(frozen=True, slots=True)
class Arrival:
    """What is known of a file that comes. ``origin`` is unique at the site; hashes are checked where they are given."""

    origin: str
    node: str
    kind: str
    subject: str
    device: str
    time: datetime
    name: str
    sha256: str | None = None
    sidecar_name: str | None = None
    sidecar_sha256: str | None = None
    number: int | None = None
    """What goes behind the name where it is taken; something random where it is None."""


class Archive:
    """The archive of one site: a receiver of the link. Safe for threads and for several processes."""

    def __init__(
        self,
        root: Path,
        catalogue: Catalogue,
        site: str,
        *,
        disk: Disk | None = None,
        on_new: Callable[[ArchivedFile], None] | None = None,
    ) -> None:
        """Open the archive below ``root``, and make it where it is missing. Raises SpoolError where that fails."""
        self.root, self.catalogue, self.site = root, catalogue, site
        self.on_new = on_new
        self._disk = disk or Disk()
        self._thread_lock = threading.Lock()
        with os_errors(root):
            self._disk.make_folder(root / INCOMING)
        self._gate = Gate(root / LOCK)
        self._forget_stale()

    @property
    def staging(self) -> Path:
        """Where files on their way are gathered: on the file system of the archive."""
        return self.root / INCOMING

    def close(self) -> None:
        """Close the archive; its catalogue stays open."""
        self._gate.close()

    def path_of(self, file: ArchivedFile, *, sidecar: bool = False) -> Path:
        """Return the path of an archived file. Raises ValueError for a sidecar that there is not."""
        part = file.sidecar_path if sidecar else file.path
        if part is None:
            raise ValueError(f"{file.path} has no sidecar")
        return self.root / part

    # --- keeping -------------------------------------------------------------------------------------------------

    def accept(self, item: LinkItem, parts: ItemParts) -> str:
        """Keep an item of a node, and return the digest of what is on the disk (``link.receiving.Receiver``).

        The same item gives its digest again, and is kept once. Raises LinkError for one that no archive
        can keep, other So2camError where the disk or the catalogue refuses.
        """
        node, sequence = item.source
        arrival = Arrival(
            origin=origin_of(item),
            node=node,
            kind=item.kind,
            subject=item.subject,
            device=item.device,
            time=item.time,
            name=item.name,
            sha256=item.sha256,
            sidecar_name=item.sidecar_name,
            sidecar_sha256=item.sidecar_sha256,
            number=sequence,
        )
        try:
            file, _ = self.put(arrival, parts.main, parts.sidecar)
        except ArchiveError as error:
            raise LinkError(error.message, file=error.file, value=error.value, remedy=error.remedy) from error
        return file.digest

    def kept(self, item: LinkItem) -> str | None:
        """Return the digest of an item that is kept already, whole; None for any other."""
        known = self.catalogue.by_origin(self.site, origin_of(item))
        if known is None or known.state != KEPT or not self._is_whole(known):
            return None
        return known.digest

    def put(self, arrival: Arrival, main: Path, sidecar: Path | None = None) -> tuple[ArchivedFile, bool]:
        """Keep ``main`` and ``sidecar``, which are moved from ``staging``. Return the file, and whether it is new.

        A file of an origin that is there already is given back; where its copy here is missing or damaged, it is put
        back. Raises ArchiveError for a name that no archive can keep, or content that is not what was announced;
        SpoolError where the disk refuses, CatalogueError where the catalogue does. Then nothing is acknowledged.
        """
        for text in (arrival.origin, arrival.node, arrival.kind, arrival.subject, arrival.device):
            _require_text(text)
        _require_name(arrival.name)
        if sidecar is not None:
            _require_name(arrival.sidecar_name or f"{_stem(arrival.name)[0]}.json")
        with os_errors(self.root), self._alone():
            known = self.catalogue.by_origin(self.site, arrival.origin)
            if known is not None and self._is_whole(known):
                if known.state != KEPT:
                    self.catalogue.set_state(known.id, KEPT)
                return known, False
            self._disk.step("archive-begin")
            size, sha256 = self._force(main, arrival.sha256)
            sidecar_size, sidecar_sha256 = (None, None)
            if sidecar is not None:
                sidecar_size, sidecar_sha256 = self._force(sidecar, arrival.sidecar_sha256)
            self._disk.step("archive-synced")
            if known is not None:
                self._put_back(known, main, sidecar, (sha256, sidecar_sha256))
                return known, False
            folder = f"{arrival.time.astimezone(UTC):%Y/%m/%d/%H}"
            same = self.catalogue.by_name(self.site, folder, arrival.name)
            if same is not None and (same.sha256, same.sidecar_sha256) == (sha256, sidecar_sha256):
                if not self._is_whole(same):
                    self._put_back(same, main, sidecar, (sha256, sidecar_sha256))
                return same, False
            self._disk.make_folder(self.root / folder)
            name, sidecar_name = self._free_names(folder, arrival, sha256, sidecar_sha256)
            if sidecar is not None and sidecar_name is not None:
                self._place(sidecar, self.root / folder / sidecar_name)
            self._disk.step("archive-sidecar")
            self._place(main, self.root / folder / name)
            self._disk.step("archive-main")
            self._disk.sync_folder(self.root / folder)
            self._disk.step("archive-folder")
            new = NewFile(
                site=self.site,
                origin=arrival.origin,
                node=arrival.node,
                kind=arrival.kind,
                subject=arrival.subject,
                device=arrival.device,
                time=arrival.time,
                folder=folder,
                name=name,
                size=size,
                sha256=sha256,
                sidecar=sidecar_name,
                sidecar_size=sidecar_size,
                sidecar_sha256=sidecar_sha256,
            )
            file, is_new = self.catalogue.add_file(new)
            self._disk.step("archive-entered")
        if is_new and self.on_new is not None:
            self.on_new(file)
        return file, is_new

    def add_sidecar(self, file: ArchivedFile, sidecar: Path) -> bool:
        """Keep a sidecar that came after its file, moved from ``staging``; return whether the file had none."""
        name = f"{_stem(file.name)[0]}.json"
        target = self.root / file.folder / name
        with os_errors(self.root), self._alone():
            if file.sidecar is not None or self._disk.exists(target):
                return False
            size, sha256 = self._force(sidecar, None)
            self._place(sidecar, target)
            self._disk.sync_folder(target.parent)
            self.catalogue.set_sidecar(file.id, name, size, sha256)
        return True

    def stage(self, source: Path) -> Path:
        """Copy a file of elsewhere into ``staging``; return the copy. Raises SpoolError, or OSError of ``source``."""
        target = self.staging / f"{secrets.token_hex(8)}.tmp"
        with contextlib.ExitStack() as undo:
            undo.callback(_remove, target)
            with source.open("rb") as stream, os_errors(target), target.open("xb") as copy:
                shutil.copyfileobj(stream, copy, 1 << 20)
            undo.pop_all()
        return target

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        if not self._thread_lock.acquire(timeout=2 * _TIMEOUT_S):
            raise ArchiveError("the disk hangs: another thread has waited for it too long", file=self.root)
        try:
            with self._gate.exclusive(_TIMEOUT_S):
                yield
        finally:
            self._thread_lock.release()

    def _force(self, path: Path, expected: str | None) -> tuple[int, str]:
        """Force a staged file to the disk; return its size and SHA-256."""
        descriptor = os.open(path, os.O_RDWR)
        try:
            self._disk.sync(descriptor)
        finally:
            os.close(descriptor)
        size, sha256 = self._hash(path)
        if expected is not None and sha256 != expected.lower():
            raise ArchiveError(
                "is not what was announced: its SHA-256 differs", file=path, remedy="it will be fetched again"
            )
        return size, sha256

    def _hash(self, path: Path) -> tuple[int, str]:
        digest, size = hashlib.sha256(), 0
        for piece in self._disk.chunks(path):
            digest.update(piece)
            size += len(piece)
        return size, digest.hexdigest()

    def _free_names(
        self, folder: str, arrival: Arrival, sha256: str, sidecar_sha256: str | None
    ) -> tuple[str, str | None]:
        """Return names (main, sidecar) that are free, or that have the very same content and are in no catalogue."""
        stem, suffix = _stem(arrival.name)
        behind = f"_n{arrival.number:08d}" if arrival.number is not None else f"_x{sha256[:8]}"
        for end in ("", behind, f"{behind}x{sha256[:16]}"):
            name = f"{stem}{end}{suffix}"
            sidecar = None if sidecar_sha256 is None else f"{stem}{end}.json"
            parts = [(name, sha256), *([(sidecar, sidecar_sha256)] if sidecar is not None else [])]
            # An image without a sidecar must not take the place beside another's: readers would believe it theirs.
            beside = [f"{stem}{end}.json"] if sidecar is None and suffix != ".json" else []
            if self.catalogue.by_name(self.site, folder, name) is not None:
                continue
            if any(self._disk.exists(self.root / folder / other) for other in beside):
                continue
            if all(self._is_free(self.root / folder / part, wanted) for part, wanted in parts):
                return name, sidecar
        raise ArchiveError("no name is free", file=self.root / folder / arrival.name, remedy="look into the folder")

    def _is_free(self, path: Path, sha256: str | None) -> bool:
        if not self._disk.exists(path):
            return True
        return path.is_file() and not path.is_symlink() and self._hash(path)[1] == sha256

    def _place(self, source: Path, target: Path) -> None:
        self._disk.rename(source, target)

    def _is_whole(self, file: ArchivedFile) -> bool:
        """Tell whether a file's copy is there; where it was found damaged, whether it is right by now."""
        parts = [(self.root / file.path, file.size, file.sha256)]
        if file.sidecar_path is not None:
            parts.append((self.root / file.sidecar_path, file.sidecar_size or 0, file.sidecar_sha256 or ""))
        for path, size, sha256 in parts:
            if not path.is_file() or path.stat().st_size != size:
                return False
            if file.state != KEPT and self._hash(path)[1] != sha256:
                return False
        return True

    def _put_back(self, known: ArchivedFile, main: Path, sidecar: Path | None, hashes: tuple[str, str | None]) -> None:
        if hashes != (known.sha256, known.sidecar_sha256):
            raise ArchiveError(
                "came again with other content than the first time, whose copy here is damaged or missing",
                file=self.root / known.path,
                remedy="run `so2cam archive verify`; give the file another name",
            )
        folder = self.root / known.folder
        self._disk.make_folder(folder)
        if sidecar is not None and known.sidecar is not None:
            self._place(sidecar, folder / known.sidecar)
        self._place(main, folder / known.name)
        self._disk.sync_folder(folder)
        self.catalogue.set_state(known.id, KEPT)

    def _forget_stale(self) -> None:
        """Remove files on their way that nobody has touched for long."""
        limit = time.time() - STALE_S
        with contextlib.suppress(OSError):
            for path in self.staging.iterdir():
                with contextlib.suppress(OSError):
                    if path.is_file() and path.stat().st_mtime < limit:
                        path.unlink()


def _remove(path: Path) -> None:
    with contextlib.suppress(OSError):
        path.unlink(missing_ok=True)


def origin_of(item: LinkItem) -> str:
    """Return what tells an item from all others: node, number, and content.

    A node whose spool began anew counts from 1 again: the digest tells its items from those before.
    """
    node, sequence = item.source
    return f"{node}/{sequence}/{item.digest[:16]}"


def _stem(name: str) -> tuple[str, str]:
    stem, dot, suffix = name.rpartition(".")
    return (stem, dot + suffix) if dot else (name, "")


def _require_text(text: str) -> None:
    """Raise ArchiveError for what no database can hold: half of a character."""
    if any("\ud800" <= sign <= "\udfff" for sign in text):
        raise ArchiveError("is no text", value=ascii(text), remedy="send it as it was written")


def _require_name(name: str) -> None:
    """Raise ArchiveError for what is no plain name of a file."""
    if not _NAME.fullmatch(name) or ".." in name or name.endswith((" ", ".")):
        raise ArchiveError(
            "is no name that a file of the archive may have",
            value=name[:200],
            remedy="names have up to 200 letters, digits, spaces and . _ + -, and begin with a letter or digit",
        )
