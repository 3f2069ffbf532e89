"""Where image products are made: a hidden folder in the output folder, from which whole ones move to their places.

The folder is ``.images.{random}.tmp``. Files take the place of older ones in one step. A folder of an older run is
first moved aside into it and deleted when the new ones stand; after a crash in between, the next run puts it back.
"""

import contextlib
import errno
import json
import os
import re
import secrets
import shutil
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from so2cam.core.errors import OutputError

STACK_FOLDER: Final = "images.zarr"
PICTURE_FOLDER: Final = "pictures"

_STAGING = re.compile(r"\.images\.[0-9a-f]{16}\.tmp")
_PICTURE = re.compile(r"(absorbance|columns|flow)_\d{4}-\d{2}-\d{2}T\d{6}\.\d{3}Z\.png")
_REPLACED: Final = "replaced"
_STALE_S: Final = 3600.0
_TRIES, _PAUSE_S = 20, 0.05
_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT})


@contextlib.contextmanager
def explained(path: Path) -> Iterator[None]:
    """Turn what the system or netCDF says against writing ``path`` into OutputError."""
    try:
        yield
    except (OSError, RuntimeError) as error:
        number = error.errno if isinstance(error, OSError) else None
        reason = (error.strerror if isinstance(error, OSError) else None) or str(error)
        raise OutputError(
            f"cannot be written: {reason}",
            file=path,
            remedy="free space on the disk, or choose another output folder"
            if number in _FULL
            else "check the space on the disk and the permissions of the folder",
        ) from error


def require_replaceable(path: Path) -> None:
    """Raise OutputError where ``path`` is taken by something that an earlier run did not write."""
    if not path.exists():
        return
    name = path.name
    if name not in (STACK_FOLDER, PICTURE_FOLDER):
        if path.is_dir():
            raise OutputError("is a folder; a product has this name", file=path, remedy="move it away")
        return
    if not path.is_dir():
        raise OutputError("is a file; a folder of products has this name", file=path, remedy="move it away")
    if not (_is_stack(path) if name == STACK_FOLDER else _is_pictures(path)):
        raise OutputError(
            "holds something else than images of so2cam, and would be replaced",
            file=path,
            remedy="move the folder away, or choose another output folder",
        )


def _is_pictures(path: Path) -> bool:
    return all(_PICTURE.fullmatch(entry.name) for entry in path.iterdir())


def _is_stack(path: Path) -> bool:
    names = {entry.name for entry in path.iterdir()}
    if not names:
        return True
    try:
        attributes = json.loads((path / "zarr.json").read_text(encoding="utf-8"))["attributes"]
        return "so2cam" in attributes["source"]
    except (OSError, ValueError, KeyError, TypeError):
        return False


class Staging:
    """A hidden folder in ``out``. Make products at ``path(name)``, then ``commit``; ``discard`` always."""

    def __init__(self, out: Path) -> None:
        self.out = out
        self._made: list[Path] = []
        self.folder = out / f".images.{secrets.token_hex(8)}.tmp"
        with explained(out):
            for folder in (out, *out.parents):
                if folder.exists():
                    break
                self._made.append(folder)
            out.mkdir(parents=True, exist_ok=True)
            remove_stale_stagings(out)
            self.folder.mkdir()

    def path(self, name: str) -> Path:
        """Return where the product ``name`` is made."""
        return self.folder / name

    def sync(self, names: Sequence[str]) -> None:
        """Force the products ``names`` to the disk. Raises OutputError."""
        for name in names:
            with explained(self.out / name):
                _sync_tree(self.path(name))

    def commit(self, names: Sequence[str]) -> tuple[Path, ...]:
        """Move the products ``names`` to their places and return those; none moves if a folder cannot.

        Raises OutputError.
        """
        for name in names:
            require_replaceable(self.out / name)
        folders = [name for name in names if self.path(name).is_dir()]
        moved: list[str] = []
        aside: list[str] = []
        whole = False
        try:
            for name in (*folders, *(name for name in names if name not in folders)):
                target = self.out / name
                with explained(target):
                    if name in folders and target.exists():
                        (self.folder / _REPLACED).mkdir(exist_ok=True)
                        target.rename(self.folder / _REPLACED / name)
                        aside.append(name)
                    self.path(name).replace(target)
                    moved.append(name)
            whole = True
        finally:
            if not whole:
                self._move_back([name for name in moved if name in folders], aside)
        with contextlib.suppress(OSError):
            _sync_entries(self.out)
        return tuple(self.out / name for name in names)

    def _move_back(self, moved: list[str], aside: list[str]) -> None:
        with contextlib.suppress(OSError):
            for name in moved:
                (self.out / name).rename(self.path(name))
            for name in aside:
                (self.folder / _REPLACED / name).rename(self.out / name)

    def discard(self) -> None:
        """Delete the folder with all that is in it, and the output folder if it was made for it and is empty."""
        _restore(self.folder)
        _remove(self.folder)
        with contextlib.suppress(OSError):
            for folder in self._made:
                folder.rmdir()


def remove_stale_stagings(out: Path) -> None:
    """Delete what a crash left in ``out``: hidden folders in which nothing changed for an hour."""
    limit = time.time() - _STALE_S
    for entry in out.iterdir():
        if _STAGING.fullmatch(entry.name) and entry.is_dir() and not entry.is_symlink():
            with contextlib.suppress(FileNotFoundError):
                if max(path.stat().st_mtime for path in (entry, *entry.rglob("*"))) < limit:
                    _restore(entry)
                    shutil.rmtree(entry, ignore_errors=True)


def _remove(folder: Path) -> None:
    """Delete ``folder``; a chunk that a thread of zarr still writes after an interruption can need a second try."""
    for _ in range(_TRIES):
        shutil.rmtree(folder, ignore_errors=True)
        if not folder.exists():
            return
        time.sleep(_PAUSE_S)


def _restore(staging: Path) -> None:
    """Put folders that were moved aside back where nothing has taken their place."""
    replaced = staging / _REPLACED
    if replaced.is_dir():
        for entry in replaced.iterdir():
            target = staging.parent / entry.name
            if not target.exists():
                with contextlib.suppress(OSError):
                    entry.rename(target)


def _sync_tree(path: Path) -> None:
    if path.is_dir():
        for folder, _, files in os.walk(path):
            for name in files:
                _sync_file(Path(folder) / name)
            with contextlib.suppress(OSError):
                _sync_entries(Path(folder))
    else:
        _sync_file(path)


def _sync_file(path: Path) -> None:
    with path.open("rb+") as stream:
        os.fsync(stream.fileno())


def _sync_entries(folder: Path) -> None:
    """Force the entries of ``folder`` to the disk, where the system can do that."""
    if not hasattr(os, "O_DIRECTORY"):
        return
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
