"""Whether an archive is whole, and copies of parts of it."""

import hashlib
import os
import shutil
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from so2cam.core.errors import OutputError
from so2cam.station.archive import INCOMING, LOCK, Archive
from so2cam.station.catalogue import DAMAGED, KEPT, MISSING, ArchivedFile
from so2cam.store.atomic import atomic_write

Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class ArchiveFault:
    """A file that is not as it was kept. ``path`` is relative to the archive."""

    path: str
    state: str
    """``missing``, ``damaged``, or ``unknown``: on the disk and in no catalogue"""


@dataclass(frozen=True, slots=True)
class ArchiveReport:
    """What a verification found. ``back`` counts files that were missing or damaged before and are right now."""

    files: int
    bytes: int
    faults: tuple[ArchiveFault, ...]
    back: int = 0

    @property
    def good(self) -> bool:
        """Whether everything that the catalogue knows is there, whole."""
        return all(fault.state == "unknown" for fault in self.faults)


def verify_archive(archive: Archive, files: Iterable[ArchivedFile], progress: Progress | None = None) -> ArchiveReport:
    """Read ``files`` and compare them with the catalogue, which learns how they are. Unknown files are looked for
    in the folders of ``files`` only.
    """
    wanted = list(files)
    faults: list[ArchiveFault] = []
    size = back = 0
    known: dict[str, set[str]] = {}
    for number, file in enumerate(wanted, 1):
        parts = [(archive.path_of(file), file.sha256, file.path)]
        names = known.setdefault(file.folder, set())
        names.add(file.name)
        if file.sidecar is not None and file.sidecar_path is not None:
            parts.append((archive.path_of(file, sidecar=True), file.sidecar_sha256 or "", file.sidecar_path))
            names.add(file.sidecar)
        state = KEPT
        for path, sha256, name in parts:
            found = _hash(path)
            if found is None or found[1] != sha256:
                state = MISSING if found is None else DAMAGED
                faults.append(ArchiveFault(name, state))
            else:
                size += found[0]
        if state != file.state:
            archive.catalogue.set_state(file.id, state)
            back += state == KEPT
        if progress is not None:
            progress(number, len(wanted))
    for folder in sorted(known):
        faults.extend(_unknown(archive, folder))
    return ArchiveReport(len(wanted), size, tuple(faults), back)


def _unknown(archive: Archive, folder: str) -> list[ArchiveFault]:
    """Return the files of a folder that the catalogue does not know: what a crash left, or a person put there."""
    known: set[str] = set()
    hour = archive.root / folder
    try:
        names = sorted(
            entry.name for entry in os.scandir(hour) if entry.is_file() and entry.name not in (INCOMING, LOCK)
        )
    except OSError:
        return []
    for name in names:
        file = archive.catalogue.by_name(archive.site, folder, name)
        if file is not None:
            known.update(part for part in (file.name, file.sidecar) if part is not None)
    return [ArchiveFault(f"{folder}/{name}", "unknown") for name in names if name not in known]


def export_files(
    archive: Archive,
    files: Iterable[ArchivedFile],
    target: Path,
    *,
    flat: bool = False,
    progress: Progress | None = None,
) -> int:
    """Copy ``files``, verified, below ``target`` in folders of hours, or all in one with ``flat``. Return how many.

    A file that is there already with the same size is left. Raises OutputError where one cannot be read or written, is
    not what was kept, or would overwrite another file.
    """
    wanted = list(files)
    for number, file in enumerate(wanted, 1):
        parts = [(archive.path_of(file), file.name, file.size, file.sha256)]
        if file.sidecar is not None:
            path = archive.path_of(file, sidecar=True)
            parts.insert(0, (path, file.sidecar, file.sidecar_size or 0, file.sidecar_sha256 or ""))
        for source, name, size, sha256 in parts:
            _copy(source, (target if flat else target / file.folder) / name, size, sha256)
        if progress is not None:
            progress(number, len(wanted))
    return len(wanted)


def _copy(source: Path, target: Path, size: int, sha256: str) -> None:
    if target.exists():
        found = _hash(target)
        if found == (size, sha256):
            return
        raise OutputError("is there already, and is another file", file=target, remedy="export into an empty folder")

    def write(temporary: Path) -> None:
        shutil.copyfile(source, temporary)
        found = _hash(temporary)
        if found is None or found[1] != sha256:
            raise OutputError(
                "is not what was kept: its SHA-256 differs", file=source, remedy="run `so2cam archive verify`"
            )

    if not source.is_file():
        raise OutputError("is missing", file=source, remedy="run `so2cam archive verify`")
    atomic_write(target, write)


def _hash(path: Path) -> tuple[int, str] | None:
    """Return size and SHA-256, or None where there is no such file."""
    try:
        with path.open("rb") as stream:
            digest = hashlib.file_digest(stream, "sha256").hexdigest()
            return stream.tell(), digest
    except OSError:
        return None
