"""Errors of the spool: what could not be kept, and what to do about it."""

import errno
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from so2cam.core.errors import So2camError

_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_PRIMARY: Final = 0xFF
"""SQLite's extended codes hold the primary code in their lowest byte."""
_SQLITE_BUSY, _SQLITE_LOCKED, _SQLITE_READONLY, _SQLITE_IOERR = 5, 6, 8, 10
_SQLITE_CORRUPT, _SQLITE_FULL, _SQLITE_NOTADB = 11, 13, 26
_NO_ROOM_BYTES: Final = 262_144
"""With less than this free, SQLite may not get room for the files beside its own."""


class SpoolError(So2camError):
    """The spool cannot do what it was asked for. Base of the others; nothing was acknowledged."""


class SpoolFullError(SpoolError):
    """There is no room on the disk. It works again as soon as there is."""


class SpoolWriteError(SpoolError):
    """The disk refused. Nothing was acknowledged; the same item can be given again at once."""


class SpoolBusyError(SpoolError):
    """Another process held the spool for too long."""


class SpoolDamagedError(SpoolError):
    """The journal is damaged. ``recover_spool`` builds a new one from the files."""


class ItemDamagedError(SpoolError):
    """A file of an item is not what was kept."""


class UnknownItemError(SpoolError):
    """There is no such item, or it is another one than was meant."""


class AlreadyKeptError(So2camError):
    """An item of this mark was kept before, as number ``sequence``, or the command was given up: nothing is kept."""

    def __init__(self, sequence: int) -> None:
        super().__init__("this item of the command was kept before", value=sequence)
        self.sequence = sequence


def from_os_error(error: OSError, file: Path | str) -> SpoolError:
    """Return the error of the spool that says what the system refused."""
    reason = error.strerror or str(error)
    if error.errno in _FULL:
        return SpoolFullError(
            f"cannot be written: {reason}", file=file, remedy="free space on the disk; nothing that was kept is lost"
        )
    return SpoolWriteError(
        f"cannot be written: {reason}", file=file, remedy="check the disk, its cable and its mount options"
    )


@contextmanager
def os_errors(file: Path) -> Iterator[None]:
    """Turn an OSError into the spool's own; ``file`` is named where the error names none."""
    try:
        yield
    except OSError as error:
        raise from_os_error(error, error.filename or file) from error


def from_sqlite_error(error: sqlite3.Error, file: Path | str) -> SpoolError:
    """Return the error of the spool that says what SQLite refused."""
    code = getattr(error, "sqlite_errorcode", 0) & _PRIMARY
    if code in (_SQLITE_BUSY, _SQLITE_LOCKED):
        return SpoolBusyError(
            "the journal was locked by another process for too long",
            file=file,
            remedy="try again; if it stays so, see which process uses the spool",
        )
    if code == _SQLITE_FULL or (code == _SQLITE_IOERR and _is_full(Path(file))):
        return SpoolFullError(
            "the journal cannot be written: no space left on the disk",
            file=file,
            remedy="free space on the disk; nothing that was kept is lost",
        )
    if code in (_SQLITE_CORRUPT, _SQLITE_NOTADB):
        return SpoolDamagedError(
            f"the journal is damaged: {error}",
            file=file,
            remedy="start the agent again, or run `so2cam spool recover`: it builds a new journal from the files",
        )
    if code == _SQLITE_READONLY:
        return SpoolWriteError(
            "the journal cannot be written: it is read-only", file=file, remedy="check its owner and the mount options"
        )
    return SpoolWriteError(
        f"the journal cannot be written: {error}", file=file, remedy="check the disk, its cable and its mount options"
    )


def _is_full(file: Path) -> bool:
    """Tell whether the disk of ``file`` has no room: SQLite calls it an error of the disk where a file cannot grow."""
    try:
        return shutil.disk_usage(file.parent).free < _NO_ROOM_BYTES
    except OSError:
        return False
