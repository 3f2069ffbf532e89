"""What the runners share when they write: checked folders, products that replace older ones together, hashes."""

import hashlib
import os
from collections.abc import Callable, Sequence
from pathlib import Path

from so2cam.core.errors import OutputError
from so2cam.store.atomic import atomic_write


def hash_file(path: Path) -> str:
    """Return the SHA-256 of a file."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def require_folder_for(out: Path) -> None:
    """Raise OutputError where no product can be written to ``out``: before the work, not after it."""
    if as_text(str(out)) != str(out):
        raise OutputError(
            "the name holds bytes that are not UTF-8", file=as_text(str(out)), remedy="name another folder with --out"
        )
    there = next((path for path in (out, *out.parents) if path.exists()), Path())
    if not there.is_dir():
        raise OutputError(
            "is a file, so no product can be written below it", file=there, remedy="name a folder with --out"
        )
    if not os.access(there, os.W_OK | os.X_OK):
        raise OutputError(
            "nothing can be written into this folder",
            file=there,
            remedy="name another folder with --out, or change the permissions",
        )


def write_together(
    products: Sequence[tuple[Path, Callable[[Path], None]]], last: Callable[[], None] | None = None
) -> None:
    """Write files so that none takes its place before all are whole: each waits for those after it.

    ``last`` is called when all are whole and none is in its place: if it raises, none takes it.
    """
    (path, write), *others = products

    def with_others(temporary: Path) -> None:
        write(temporary)
        if others:
            write_together(others, last)
        elif last is not None:
            last()

    atomic_write(path, with_others)


def as_text(name: str) -> str:
    """Return a path or command as text that any file can hold: bytes that are not UTF-8 are spelled out."""
    return name.encode("utf-8", "backslashreplace").decode("utf-8")
