"""Listing folders to any depth: their image files in natural order, each folder once, odd entries with a reason."""

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final

from so2cam.core.errors import InputError
from so2cam.formats.fits import FITS_SUFFIXES
from so2cam.formats.image_files import suffix_of

_DIGITS: Final = re.compile(r"([0-9]+)")


class SkipCategory(StrEnum):
    """Why a file is not among the frames (for ``BAD_SIDECAR``: why it was not used)."""

    UNREADABLE_NAME = "unreadable-name"
    DERIVED = "derived"
    LOCKED = "locked"
    DUPLICATE = "duplicate"
    CLOCK_SET_BACK = "clock-set-back"
    BAD_SIDECAR = "bad-sidecar"
    """The sidecar is not used; its frame is, with the values in its name."""
    UNUSABLE_VALUES = "unusable-values"
    """Name, header and site file leave the exposure open, contradict each other, or have values that cannot be."""
    NOT_A_FILE = "not-a-file"
    UNREADABLE_FOLDER = "unreadable-folder"


@dataclass(frozen=True, slots=True)
class SkippedFile:
    """A file that is not used, and why."""

    path: Path
    category: SkipCategory
    reason: str


@dataclass(frozen=True, slots=True)
class ListedFolder:
    """One folder as listed: names of its regular files, image files in natural order, odd entries and problems."""

    path: Path
    real: Path
    names: frozenset[str]
    images: tuple[str, ...]
    links: frozenset[str]
    skipped: tuple[SkippedFile, ...]


def natural_key(text: str) -> tuple[tuple[str | int, ...], str]:
    """Return a sorting key by which ``Seq_2`` comes before ``Seq_10``."""
    parts = _DIGITS.split(text.casefold())
    return tuple(int(part) if index % 2 else part for index, part in enumerate(parts)), text


def list_folders(folders: Sequence[Path], suffixes: frozenset[str]) -> list[ListedFolder]:
    """List all folders below ``folders``, each once however it is reached, by the natural order of their paths.

    Image files are those with an ending of ``suffixes`` (lower case, no dot). Raises InputError where one of
    ``folders`` is missing, is no folder, cannot be read or holds no image file.
    """
    listings: dict[Path, ListedFolder] = {}
    for root in folders:
        _require_folder(root)
        holds_images = False
        waiting = [root]
        while waiting:
            path = waiting.pop()
            real = path.resolve()
            if real in listings:
                holds_images |= any(item.images and item.real.is_relative_to(real) for item in listings.values())
                continue
            try:
                listing, below = _list(path, real, suffixes)
            except OSError as error:
                if path == root:
                    raise _unreadable(root, error) from error
                reason = f"the folder cannot be read: {error.strerror or error}"
                listing = ListedFolder(
                    path,
                    real,
                    frozenset(),
                    (),
                    frozenset(),
                    (SkippedFile(path, SkipCategory.UNREADABLE_FOLDER, reason),),
                )
                below = []
            listings[real] = listing
            holds_images |= bool(listing.images or listing.skipped)
            waiting.extend(below)
        if not holds_images:
            raise InputError(
                f"holds no {_format_name(suffixes)} file, in itself or below",
                file=root,
                remedy="name the folder that holds the camera's images, and check files.naming in the site file",
            )
    return sorted(listings.values(), key=lambda item: [natural_key(part) for part in item.path.parts])


def _format_name(suffixes: frozenset[str]) -> str:
    names = (("PNG", "png" in suffixes), ("FITS", bool(suffixes & FITS_SUFFIXES)))
    return " or ".join(name for name, wanted in names if wanted)


def _require_folder(root: Path) -> None:
    try:
        if not root.exists():
            raise InputError("does not exist", file=root, remedy="check the path; is the disk mounted?")
        if not root.is_dir():
            raise InputError("is not a folder", file=root, remedy="name the folder that holds the images")
    except OSError as error:
        raise _unreadable(root, error) from error


def _unreadable(root: Path, error: OSError) -> InputError:
    return InputError(
        f"cannot be read: {error.strerror or error}", file=root, remedy="check the folder's permissions and the disk"
    )


def _list(path: Path, real: Path, suffixes: frozenset[str]) -> tuple[ListedFolder, list[Path]]:
    """Return the listing of one folder and the folders in it. Raises OSError where it cannot be read."""
    names: list[str] = []
    images: list[str] = []
    links: list[str] = []
    below: list[Path] = []
    odd: list[SkippedFile] = []
    with os.scandir(path) as entries:
        for entry in entries:
            name = entry.name
            if name.startswith("."):
                continue
            try:
                is_file, is_folder = entry.is_file(), entry.is_dir()
            except OSError:
                is_file = is_folder = False
            is_image = suffix_of(name) in suffixes
            if is_folder:
                below.append(path / name)
            elif is_file:
                names.append(name)
                if is_image:
                    images.append(name)
                    if entry.is_symlink():
                        links.append(name)
            elif is_image:
                reason = "is not a regular file, or a link to nothing"
                odd.append(SkippedFile(path / name, SkipCategory.NOT_A_FILE, reason))
    images.sort(key=natural_key)
    return ListedFolder(path, real, frozenset(names), tuple(images), frozenset(links), tuple(odd)), below


def is_known(link: Path, folders: Mapping[Path, ListedFolder], linked: set[Path]) -> bool:
    """Return True where the target of ``link`` is itself among the files, or another link led to it.

    ``folders`` are those listed, by their real paths; ``linked`` collects the targets of links.
    """
    target = link.resolve()
    home = folders.get(target.parent)
    if target in linked or (home is not None and target.name in home.names and target.name not in home.links):
        return True
    linked.add(target)
    return False
