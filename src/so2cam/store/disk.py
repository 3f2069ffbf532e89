"""Everything that the spool does to a disk, in one place: so that tests can let any single call fail.

``Disk`` is plain system calls, each durable when it returns where that is its promise. ``step`` is called at every
named point of a write and does nothing; tests kill the process there.
"""

import contextlib
import errno
import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

STEPS: Final = (
    "put-begin",
    "main-written",
    "sidecar-written",
    "transaction-begun",
    "folder-made",
    "sidecar-renamed",
    "main-renamed",
    "folder-synced",
    "journal-inserted",
    "journal-committed",
)
"""The named points of ``Spool.put``, in their order."""

_NO_FOLDER_SYNC: Final = frozenset({errno.EINVAL, errno.ENOTSUP, errno.EBADF, errno.EACCES, errno.EPERM})
"""What file systems answer that cannot force a folder to the disk (network and FAT-like ones)."""
_F_FULLFSYNC: Final = 51
"""macOS: force the drive's own cache out too, which fsync does not."""
_CHUNK: Final = 1 << 20


class Disk:
    """The system calls of the spool. Raises OSError as the system gives it."""

    def step(self, name: str) -> None:
        """Mark the point ``name`` of ``STEPS``. Does nothing; for tests."""

    def write_new(self, path: Path, data: bytes) -> None:
        """Create ``path`` with ``data`` and force it to the disk. Raises FileExistsError where it exists."""
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_CLOEXEC", 0), 0o644)
        try:
            rest = memoryview(data)
            while rest:
                written = self.write(descriptor, rest)
                if written <= 0:
                    raise OSError(errno.EIO, "nothing was written", str(path))
                rest = rest[written:]
            if os.fstat(descriptor).st_size != len(data):
                raise OSError(errno.EIO, "the file is not as long as what was written to it", str(path))
            self.sync(descriptor)
        finally:
            os.close(descriptor)

    def write(self, descriptor: int, data: memoryview) -> int:
        """Write some of ``data`` and return how many bytes."""
        return os.write(descriptor, data)

    def sync(self, descriptor: int) -> None:
        """Force an open file to the disk."""
        if sys.platform == "darwin":
            import fcntl

            with contextlib.suppress(OSError):
                fcntl.fcntl(descriptor, _F_FULLFSYNC)
                return
        os.fsync(descriptor)

    def rename(self, source: Path, target: Path) -> None:
        """Rename a file."""
        os.rename(source, target)  # noqa: PTH104 - Path.rename gives a new path that nobody needs

    def remove(self, path: Path) -> None:
        """Remove a file; one that is gone already is no error."""
        path.unlink(missing_ok=True)

    def sync_folder(self, folder: Path) -> None:
        """Force the entries of ``folder`` to the disk, where the system can do that."""
        if not hasattr(os, "O_DIRECTORY"):
            return
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            self.sync(descriptor)
        except OSError as error:
            if error.errno not in _NO_FOLDER_SYNC:
                raise
        finally:
            os.close(descriptor)

    def make_folder(self, folder: Path) -> None:
        """Make ``folder`` and its parents, and force the new entries to the disk."""
        made: list[Path] = []
        for candidate in (folder, *folder.parents):
            if candidate.is_dir():
                break
            made.append(candidate)
        for new in reversed(made):
            with contextlib.suppress(FileExistsError):
                new.mkdir()
            self.sync_folder(new.parent)

    def exists(self, path: Path) -> bool:
        """Tell whether something has this name, be it a link to nothing. A disk that cannot tell raises OSError."""
        try:
            os.lstat(path)
        except (FileNotFoundError, NotADirectoryError):
            return False
        return True

    def read(self, path: Path) -> bytes:
        """Return a whole file."""
        return path.read_bytes()

    def read_part(self, path: Path, offset: int, length: int) -> bytes:
        """Return up to ``length`` bytes from ``offset``; fewer at the end of the file."""
        with path.open("rb") as stream:
            stream.seek(offset)
            return stream.read(length)

    def chunks(self, path: Path, *, from_disk: bool = False) -> Iterator[bytes]:
        """Yield a file in pieces; ``from_disk``: not out of the system's memory, where it can be told to forget."""
        with path.open("rb") as stream:
            if from_disk and hasattr(os, "posix_fadvise"):
                with contextlib.suppress(OSError):
                    os.posix_fadvise(stream.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
            while piece := stream.read(_CHUNK):
                yield piece

    def free_bytes(self, path: Path) -> int:
        """Return how much a plain user can still write to the disk of ``path`` [bytes]."""
        return shutil.disk_usage(path).free

    def total_bytes(self, path: Path) -> int:
        """Return the size of the disk of ``path`` [bytes]."""
        return shutil.disk_usage(path).total
