"""Finding the setting files of an installation: by content where it tells, else by name, at any depth."""

import os
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path, PureWindowsPath
from typing import Final

from so2cam.core.errors import InputError
from so2cam.formats.legacy.account import plain
from so2cam.formats.legacy.parse import array_head, parse_key_values

_MAXIMUM_BYTES: Final = 200_000
"""Setting files are a few kilobytes; what is larger is something else."""
_TEXT_ENDINGS: Final = frozenset({".txt", ".wpi", ".yml", ".yaml"})
_PICKLE_ENDINGS: Final = frozenset({".pkl", ".pickle", ".p"})
_SPECTRUM = re.compile(r"_[0-9]+ss_[0-9]+coadd_[A-Za-z0-9]+\.npy", re.IGNORECASE)
_POINTER = re.compile(r"[^\n=]{1,400}\.(?:txt|ya?ml)\s*", re.IGNORECASE)
_NUMBER_ROW = re.compile(r"\s*[-+0-9.eE]+[\s,;]+[-+0-9.eE]+\s*")
_JOB_ROW = re.compile(
    r"^#?[ \t]*(?:[0-9*][0-9*,/-]*[ \t]+){3}[0-9A-Za-z*,/-]+[ \t]+[0-9A-Za-z*,/-]+[ \t]+[A-Za-z/.]", re.MULTILINE
)
_POWER_ROW = re.compile(r"^BEGIN\s+[0-9]{4}-", re.MULTILINE)
_RESULTS = re.compile(r"processed_", re.IGNORECASE)


class FileKind(StrEnum):
    """What a file is to the import; the texts stand in the report."""

    SETTINGS = "settings of the processing"
    OLD_SETTINGS = "settings of the processing, in an older form"
    CAMERA = "camera"
    SPECTROMETER = "spectrometer"
    GEOMETRY = "geometry of a camera"
    LINE = "line"
    REGISTRATION = "registration"
    FIELD_OF_VIEW = "the spectrometer's field of view in the image"
    SPECTRUM_TABLE = "table of the spectrometer: line shape (ILS) or absorption spectrum"
    DILUTION_TABLE = "table for light dilution"
    CONFIG = "configuration of the instrument's computers"
    NETWORK = "network addresses"
    CRONTAB = "schedule of programs (crontab)"
    POWER_SCHEDULE = "schedule of power (Witty Pi)"
    POINTER = "name of a default file"
    PICKLE = "pickle"
    UNKNOWN = "not a setting file that is known"


@dataclass(frozen=True, slots=True)
class FoundFile:
    """A file of the installation. ``text`` is None where it is no text; ``problem`` says why it cannot be read."""

    path: Path
    name: str
    """Relative to the folder, with forward slashes."""
    kind: FileKind
    text: str | None = None
    problem: str | None = None
    is_latin: bool = False

    @property
    def is_result(self) -> bool:
        """True for a copy that an earlier run left among its results."""
        return any(_RESULTS.match(part) for part in Path(self.name).parts[:-1])


@dataclass(slots=True)
class Found:
    """All files of an installation: those of settings, the endings of all others, and what was not searched."""

    files: list[FoundFile] = field(default_factory=list)
    others: Counter[str] = field(default_factory=Counter)
    not_searched: list[tuple[str, str]] = field(default_factory=list)

    def of_kind(self, kind: FileKind) -> list[FoundFile]:
        """Return the files of one kind, in order of names."""
        return [file for file in self.files if file.kind is kind]


def search(folder: Path) -> Found:
    """Return what the setting files below ``folder`` are. Links to folders and hidden folders are not entered.

    Raises InputError where the folder is not there or cannot be read.
    """
    remedy = "name the folder of the old program's settings, such as pycam/conf"
    try:
        if not folder.is_dir():
            raise InputError("is not a folder" if folder.exists() else "does not exist", file=folder, remedy=remedy)
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror or error}", file=folder, remedy=remedy) from error
    found = Found()

    def note(error: OSError) -> None:
        path = Path(error.filename) if error.filename else folder
        if path == folder:
            raise InputError(f"cannot be read: {error.strerror or error}", file=folder, remedy="check its permissions")
        found.not_searched.append((_relative(path, folder), f"cannot be read: {error.strerror or error}"))

    for root, folders, names in os.walk(folder, onerror=note):
        keep = []
        for name in sorted(folders):
            path = Path(root, name)
            if path.is_symlink():
                found.not_searched.append((_relative(path, folder), "a link to a folder; import from there if needed"))
            elif name.startswith(".") or name == "__pycache__":
                found.not_searched.append((_relative(path, folder), "a hidden folder"))
            else:
                keep.append(name)
        folders[:] = keep
        for name in sorted(names):
            path = Path(root, name)
            file = examine(path, _relative(path, folder))
            if file is None:
                found.others[path.suffix.lower()] += 1
            else:
                found.files.append(file)
    found.files.sort(key=lambda file: (file.name.count("/"), file.name))
    return found


def examine(path: Path, name: str) -> FoundFile | None:
    """Return what one file is, or None where its name says that it is data, a program or anything else."""
    ending = path.suffix.lower()
    if ending in _PICKLE_ENDINGS:
        return FoundFile(path, name, FileKind.PICKLE)
    if ending == ".npy":
        return None if _SPECTRUM.search(path.name) else _examine_array(path, name)
    if ending not in _TEXT_ENDINGS:
        return None
    expected = _kind_by_name(path.name)
    try:
        if not path.is_file():
            return FoundFile(path, name, expected, problem="is not a regular file, or a link to nothing")
        size = path.stat().st_size
        if size > _MAXIMUM_BYTES:
            return FoundFile(path, name, expected, problem=f"is too large for a setting file ({size} bytes)")
        data = path.read_bytes()
    except OSError as error:
        return FoundFile(path, name, expected, problem=f"cannot be read: {error.strerror or error}")
    if b"\0" in data:
        return FoundFile(path, name, expected, problem="is not text")
    try:
        text, is_latin = data.decode("utf-8-sig"), False
    except UnicodeDecodeError:
        text, is_latin = data.decode("latin-1"), True
    return FoundFile(path, name, _kind_by_content(text, expected), text, is_latin=is_latin)


def _examine_array(path: Path, name: str) -> FoundFile | None:
    try:
        if not path.is_file():
            return None
        shape, kind = array_head(path)
    except (OSError, ValueError):
        return FoundFile(path, name, FileKind.UNKNOWN, problem="is no array file, or a damaged or pickled one")
    if kind.hasobject:
        return FoundFile(path, name, FileKind.PICKLE)
    if shape == (2, 3) and kind.kind == "f":
        return FoundFile(path, name, FileKind.REGISTRATION)
    if len(shape) == 3 and shape[0] == 2:
        return FoundFile(path, name, FileKind.DILUTION_TABLE)
    if shape == (3, 3):
        return FoundFile(path, name, FileKind.UNKNOWN, problem="is a 3x3 matrix; registrations are 2x3")
    return None


def _kind_by_name(file_name: str) -> FileKind:
    name = file_name.lower()
    if name.endswith((".yml", ".yaml")):
        return FileKind.SETTINGS if name.startswith("process") else FileKind.UNKNOWN
    if name.endswith(".wpi"):
        return FileKind.POWER_SCHEDULE
    for start, kind in (
        ("processing_setting", FileKind.OLD_SETTINGS),
        ("cam_specs", FileKind.CAMERA),
        ("spec_specs", FileKind.SPECTROMETER),
        ("cam_geom", FileKind.GEOMETRY),
        ("config", FileKind.CONFIG),
        ("network_", FileKind.NETWORK),
        ("script_schedule", FileKind.CRONTAB),
    ):
        if name.startswith(start):
            return kind
    return FileKind.UNKNOWN


def _kind_by_content(text: str, expected: FileKind) -> FileKind:
    if expected in (FileKind.SETTINGS, FileKind.OLD_SETTINGS, FileKind.CONFIG, FileKind.NETWORK):
        return expected
    if expected is FileKind.UNKNOWN and re.search(r"^(?:bg_mode|pcs_lines|img_registration)\s*:", text, re.MULTILINE):
        return FileKind.SETTINGS
    if _POWER_ROW.search(text):
        return FileKind.POWER_SCHEDULE
    if expected is FileKind.CRONTAB or _JOB_ROW.search(text):
        return FileKind.CRONTAB
    rows = [row for row in text.splitlines() if row.strip() and not row.lstrip().startswith("#")]
    if len(rows) == 1 and _POINTER.fullmatch(rows[0]):
        return FileKind.POINTER
    keys = set(parse_key_values(text).values)
    if len(keys & {"lat", "lon", "elev", "azim"}) >= 3:
        return FileKind.GEOMETRY
    if {"x", "y", "orientation"} <= keys:
        return FileKind.LINE
    if {"x_pos", "y_pos", "radius"} <= keys:
        return FileKind.FIELD_OF_VIEW
    if {"pix_num_x", "pix_num_y"} & keys:
        return FileKind.CAMERA
    if {"int_time", "wavelength_min"} & keys:
        return FileKind.SPECTROMETER
    if len(rows) > 10 and all(_NUMBER_ROW.fullmatch(row) for row in rows[:10]):
        return FileKind.SPECTRUM_TABLE
    return expected


def resolve(name: str, candidates: list[FoundFile]) -> list[FoundFile]:
    """Return the candidates that ``name``, a path in the old program's tree, means: by file name, then by folders.

    Both kinds of slashes are understood. Of files with the same name those whose folders agree best are returned,
    copies of one content once.
    """
    wanted = _parts(name)
    if not wanted:
        return []
    same = [file for file in candidates if _parts(file.name)[:1] == wanted[:1]]
    best = max((_agreement(wanted, file) for file in same), default=0)
    return distinct([file for file in same if _agreement(wanted, file) == best])


def distinct(files: list[FoundFile]) -> list[FoundFile]:
    """Return ``files`` with copies of one content once."""
    seen: set[bytes] = set()
    kept = []
    for file, content in _contents(files):
        if content not in seen:
            seen.add(content)
            kept.append(file)
    return kept


def _contents(files: list[FoundFile]) -> Iterator[tuple[FoundFile, bytes]]:
    for file in files:
        if file.text is not None:
            yield file, file.text.encode("utf-8", "surrogatepass")
        else:
            try:
                yield file, file.path.read_bytes() if file.kind is FileKind.REGISTRATION else file.name.encode()
            except OSError:
                yield file, file.name.encode("utf-8", "surrogateescape")


def _agreement(wanted: list[str], file: FoundFile) -> int:
    count = 0
    for a, b in zip(wanted, _parts(file.name), strict=False):
        if a != b:
            break
        count += 1
    return count


def _parts(name: str) -> list[str]:
    """Return the parts of a path, the file's name first."""
    return [part.casefold() for part in reversed(PureWindowsPath(name).parts) if part.strip("\\/. ")]


def _relative(path: Path, folder: Path) -> str:
    return plain(path.relative_to(folder).as_posix(), 300)
