"""Atomic writing: under its final name a file is whole, whatever happens while it is written.

The content goes to a temporary file in the same folder, ``.{name}.{random}.tmp``; it is forced to the disk and
then renamed, and the folder is forced to the disk too. A crash or power cut leaves the old file, or the new one,
and at worst a temporary that ``remove_stale_temporaries`` clears away.
"""

import contextlib
import errno
import os
import re
import secrets
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from so2cam.core.errors import InputError, OutputError

_TEMPORARY = re.compile(r"\..+\.[0-9a-f]{16}\.tmp")
_NOT_SUPPORTED: Final = frozenset({errno.EINVAL, errno.ENOTSUP, errno.EBADF, errno.EACCES, errno.EPERM})
"""What file systems answer that cannot force a folder to the disk (network and FAT-like ones)."""
_REMEDIES: Final = {
    errno.ENOSPC: "free space on the disk, or choose another output folder",
    errno.EDQUOT: "free space within your quota, or choose another output folder",
    errno.EROFS: "the disk is read-only; choose another output folder",
    errno.ENOTDIR: "a part of the path is a file, not a folder; choose another output folder",
    errno.EEXIST: "a part of the path is a file, not a folder; choose another output folder",
    errno.ENAMETOOLONG: "choose a shorter name",
    errno.EISDIR: "a folder has this name; remove it or choose another name",
}
_REMEDY: Final = "check the permissions of the folder, and that no other program has the file open"


def atomic_write(path: Path, write: Callable[[Path], None]) -> None:
    """Write the file ``path`` whole or not at all.

    ``write`` is called with the path of a temporary file in the same folder and must create it. The folder is
    made if it is missing. Raises OutputError where the file system refuses; anything else that ``write`` raises
    passes through. In every case of failure ``path`` is as it was and the temporary is gone.
    """
    _write(path, write, lambda temporary, path: temporary.replace(path))


def _write(path: Path, write: Callable[[Path], object], put: Callable[[Path, Path], object]) -> None:
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}.tmp")
    try:
        if path.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        _make_folder(path.parent)
        try:
            write(temporary)
            _sync_file(temporary)
            put(temporary, path)
        finally:
            with contextlib.suppress(OSError):
                temporary.unlink(missing_ok=True)
        _sync_folder(path.parent)
    except OSError as error:
        raise OutputError(
            f"cannot be written: {error.strerror or error}",
            file=path,
            remedy=_REMEDIES.get(error.errno or 0, _REMEDY),
        ) from error


def atomic_write_bytes(path: Path, data: bytes) -> None:
    """Write ``data`` as the file ``path``, whole or not at all. Raises OutputError as ``atomic_write`` does."""

    def write(temporary: Path) -> None:
        temporary.write_bytes(data)

    atomic_write(path, write)


def atomic_new(path: Path, data: bytes) -> None:
    """Write ``data`` as the file ``path``, whole or not at all, where nothing is there yet.

    Raises InputError where something is, OutputError as ``atomic_write`` does.
    """
    _write(path, lambda temporary: temporary.write_bytes(data), _put_new)


def _put_new(temporary: Path, path: Path) -> None:
    """Give the file its final name, unless something else has it."""
    try:
        os.link(temporary, path)
    except OSError as error:
        if error.errno not in {errno.EEXIST, *_NOT_SUPPORTED}:
            raise
        if os.path.lexists(path):
            raise InputError("is there already", file=path, remedy="name another file") from None
        temporary.rename(path)  # a file system without links


def remove_stale_temporaries(folder: Path, *, older_than_s: float = 3600.0) -> int:
    """Delete temporaries of ``atomic_write`` in ``folder`` that a crash left; return how many were deleted.

    Only files last changed more than ``older_than_s`` seconds ago go, so that another program's write in
    progress is not disturbed. Subfolders are not entered. Raises OutputError where the folder cannot be read.
    """
    limit = time.time() - older_than_s
    removed = 0
    try:
        for path in folder.iterdir():
            if _TEMPORARY.fullmatch(path.name) and path.is_file() and not path.is_symlink():
                with contextlib.suppress(FileNotFoundError):
                    if path.stat().st_mtime < limit:
                        path.unlink()
                        removed += 1
    except OSError as error:
        raise OutputError(f"cannot be cleared: {error.strerror or error}", file=folder, remedy=_REMEDY) from error
    return removed


def _make_folder(folder: Path) -> None:
    """Make ``folder`` and its parents, and force the new entries to the disk."""
    made: list[Path] = []
    for candidate in (folder, *folder.parents):
        if candidate.exists():
            break
        made.append(candidate)
    folder.mkdir(parents=True, exist_ok=True)
    for new in reversed(made):
        _sync_folder(new.parent)


def _sync_file(path: Path) -> None:
    with path.open("rb+") as stream:
        os.fsync(stream.fileno())


def _sync_folder(folder: Path) -> None:
    """Force the entries of ``folder`` to the disk, where the system can do that."""
    if not hasattr(os, "O_DIRECTORY"):
        return
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    except PermissionError:
        return
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in _NOT_SUPPORTED:
            raise
    finally:
        os.close(descriptor)
