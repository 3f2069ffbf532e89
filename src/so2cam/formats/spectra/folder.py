"""Folders of spectra, searched to any depth, with what is skipped and why. Hidden files and folders are ignored."""

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from so2cam.core.errors import FrameFileError, InputError
from so2cam.core.spectra import SpectrumInfo
from so2cam.core.spectrometer import SpectrumFiles
from so2cam.formats.folder import SkipCategory, SkippedFile, natural_key
from so2cam.formats.native import load_sidecar, parse_own
from so2cam.formats.patterns import NamePattern, compile_pattern
from so2cam.formats.spectra.columns import decode
from so2cam.formats.spectra.header import parse_header
from so2cam.formats.spectra.names import PICAM_SUFFIX, find_kind, make_info, parse_by_pattern, parse_spectrum_name

HEAD_BYTES: Final = 8192
"""How much of an iFit file is read to know its time."""


@dataclass(frozen=True, slots=True)
class SpectrumScan:
    """What a search found: spectra by (time, name), and what was skipped, in order of paths."""

    spectra: tuple[SpectrumInfo, ...]
    skipped: tuple[SkippedFile, ...]


@dataclass(frozen=True, slots=True)
class _Listing:
    """One folder: names of its regular files, those of the format in natural order, and what cannot be used."""

    path: Path
    real: Path
    names: frozenset[str]
    candidates: tuple[str, ...]
    skipped: tuple[SkippedFile, ...]


def scan_spectra(folders: Sequence[Path], files: SpectrumFiles) -> SpectrumScan:
    """Return every spectrum below ``folders``, and every file of that format that is not used with the reason.

    Counts are not read; of iFit's files the head is. Raises InputError where a folder is missing, is no folder, cannot
    be read or holds no file of the format, and where ``files.name_pattern`` is wrong.
    """
    if not folders:
        raise InputError("no folder of spectra is given", remedy="name at least one folder")
    pattern = _compile(files)
    listings = _list_all(folders, _suffix(files, pattern))
    found: list[SpectrumInfo] = []
    skipped: list[SkippedFile] = []
    first: dict[tuple[object, ...], Path] = {}
    for listing in sorted(listings, key=lambda item: _path_key(item.path)):
        skipped.extend(listing.skipped)
        for name in listing.candidates:
            path = listing.path / name
            examined = _examine(path, listing, files, pattern)
            if isinstance(examined, SkippedFile):
                skipped.append(examined)
                continue
            info, identities = examined
            earlier = next((first[identity] for identity in identities if identity in first), None)
            if earlier is None:
                first.update(dict.fromkeys(identities, path))
                found.append(info)
            else:
                reason = f"is the same spectrum as {earlier}, which is used"
                skipped.append(SkippedFile(path, SkipCategory.DUPLICATE, reason))
    found.sort(key=lambda info: (info.time, natural_key(info.path.name), info.path))
    skipped.sort(key=lambda item: _path_key(item.path))
    return SpectrumScan(tuple(found), tuple(skipped))


def _path_key(path: Path) -> list[object]:
    return [natural_key(part) for part in path.parts]


def _compile(files: SpectrumFiles) -> NamePattern | None:
    if files.format == "picam" or files.name_pattern is None:
        return None
    try:
        return compile_pattern(files.name_pattern)
    except ValueError as error:
        raise InputError(
            str(error), key="spectrometer.files.name_pattern", remedy="correct the pattern in the site file"
        ) from None


def _suffix(files: SpectrumFiles, pattern: NamePattern | None) -> str:
    """Return the ending of the format's files; empty where any file may be one."""
    if files.format == "picam":
        return PICAM_SUFFIX
    if pattern is not None:
        return pattern.suffix
    return ".txt"


# --- listing -----------------------------------------------------------------------------------------------------


def _list_all(folders: Sequence[Path], suffix: str) -> list[_Listing]:
    """List all folders below ``folders``, each once however it is reached."""
    listings: dict[Path, _Listing] = {}
    for root in folders:
        _require_folder(root)
        waiting = [root]
        while waiting:
            path = waiting.pop()
            real = path.resolve()
            if real in listings:
                continue
            try:
                listings[real], below = _list(path, real, suffix)
            except OSError as error:
                if path == root:
                    raise _unreadable(root, error) from error
                reason = f"the folder cannot be read: {error.strerror or error}"
                odd = SkippedFile(path, SkipCategory.UNREADABLE_FOLDER, reason)
                listings[real] = _Listing(path, real, frozenset(), (), (odd,))
                below = []
            waiting.extend(below)
        top = root.resolve()
        if not any(
            (item.candidates or item.skipped) and (item.real.is_relative_to(top) or item.path.is_relative_to(root))
            for item in listings.values()
        ):
            what = f"no {suffix} file" if suffix else "no file"
            raise InputError(
                f"holds {what}, in itself or below",
                file=root,
                remedy="name the folder that holds the spectra, and check spectrometer.files.format in the site file",
            )
    return list(listings.values())


def _require_folder(root: Path) -> None:
    try:
        if not root.exists():
            raise InputError("does not exist", file=root, remedy="check the path; is the disk mounted?")
        if not root.is_dir():
            raise InputError("is not a folder", file=root, remedy="name the folder that holds the spectra")
    except OSError as error:
        raise _unreadable(root, error) from error


def _unreadable(root: Path, error: OSError) -> InputError:
    return InputError(
        f"cannot be read: {error.strerror or error}", file=root, remedy="check the folder's permissions and the disk"
    )


def _list(path: Path, real: Path, suffix: str) -> tuple[_Listing, list[Path]]:
    """Return the listing of one folder and the folders in it. Raises OSError where it cannot be read."""
    names: list[str] = []
    candidates: list[str] = []
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
            if is_folder:
                below.append(path / name)
                continue
            wanted = name.lower().endswith(suffix) and not name.lower().endswith(".lock")
            if is_file:
                names.append(name)
                if wanted:
                    candidates.append(name)
            elif wanted:
                reason = "is not a regular file, or a link to nothing"
                odd.append(SkippedFile(path / name, SkipCategory.NOT_A_FILE, reason))
    candidates.sort(key=natural_key)
    return _Listing(path, real, frozenset(names), tuple(candidates), tuple(odd)), below


# --- one file ----------------------------------------------------------------------------------------------------


def examine_spectrum(path: Path, names: frozenset[str], files: SpectrumFiles) -> SpectrumInfo | SkippedFile:
    """Return the spectrum of one file, or why it is none; ``names`` are those of its folder.

    Raises InputError where ``files.name_pattern`` is wrong.
    """
    listing = _Listing(path.parent, path.parent.resolve(), names, (path.name,), ())
    examined = _examine(path, listing, files, _compile(files))
    return examined if isinstance(examined, SkippedFile) else examined[0]


def _examine(
    path: Path, listing: _Listing, files: SpectrumFiles, pattern: NamePattern | None
) -> tuple[SpectrumInfo, tuple[tuple[object, ...], ...]] | SkippedFile:
    """Return the spectrum of a file and what tells it from others, or why it is skipped."""
    if f"{path.stem}.lock" in listing.names:
        reason = "a .lock file beside it says that it is still being written (or its writing was cut off)"
        return SkippedFile(path, SkipCategory.LOCKED, reason)
    try:
        if files.format == "picam":
            info = _with_sidecar(parse_spectrum_name(path, files), listing)
            identity: tuple[object, ...] = (info.kind, info.time, info.integration_time_s, info.coadds)
        elif files.format == "ifit":
            info, head = _examine_head(path, files, pattern)
            identity = (info.kind, info.time, hashlib.sha256(head).digest())
        else:
            if pattern is None:
                raise InputError("a name pattern is needed", key="spectrometer.files.name_pattern")
            info = parse_by_pattern(path, files, pattern)
            identity = (path.name.casefold(), info.time)
    except FrameFileError as error:
        value = "" if error.value is None else f" (found {error.value!r:.80})"
        return SkippedFile(path, SkipCategory.UNREADABLE_NAME, error.message + value)
    real = path.resolve() if path.is_symlink() else listing.real / path.name
    return info, (identity, ("file", real))


def _with_sidecar(info: SpectrumInfo, listing: _Listing) -> SpectrumInfo:
    """Return the record with what so2cam's own sidecar says, where there is one that can be read."""
    name = f"{info.path.stem}.json"
    if name not in listing.names:
        return info
    try:
        own = parse_own(load_sidecar(info.path.with_name(name)))
    except (OSError, ValueError, RecursionError):
        return info  # the name says the same, only less finely
    if own.time is not None:
        info = replace(info, time=own.time, time_resolution_s=1e-6)
    return replace(
        info,
        integration_time_s=own.integration_time_s or info.integration_time_s,
        coadds=own.coadds or info.coadds,
    )


def _examine_head(path: Path, files: SpectrumFiles, pattern: NamePattern | None) -> tuple[SpectrumInfo, bytes]:
    """Return what the header and, where there is a pattern, the name of an iFit file say; and the file's head.

    The header goes before the name. Raises FrameFileError for a file that cannot be read or does not tell its time.
    """
    try:
        with path.open("rb") as stream:
            head = stream.read(HEAD_BYTES)
    except OSError as error:
        raise FrameFileError(f"cannot be read: {error.strerror or error}", file=path) from error
    if not head:
        raise FrameFileError("is empty", file=path)
    header = parse_header(decode(head), path)
    word = parsed = None
    if pattern is not None:
        parsed = pattern.parse(path.name)
        if parsed is None:
            raise FrameFileError(pattern.explain(path.name), file=path)
        word = parsed.kind
    if header.time is not None:
        time, resolution_s = header.time, header.time_resolution_s
    elif parsed is not None:
        time, resolution_s = parsed.time, parsed.time_resolution_s
    else:
        raise FrameFileError("is no spectrum of iFit: its header has no time", file=path)
    integration_time_s, coadds = header.integration_time_s, header.coadds
    if parsed is not None:
        integration_time_s = integration_time_s or parsed.integration_time_s or parsed.exposure_s
        coadds = coadds or parsed.coadds
    info = make_info(
        path,
        files,
        kind=find_kind(path, word, files),
        time=time,
        resolution_s=resolution_s,
        integration_time_s=integration_time_s,
        coadds=coadds,
        position=(header.latitude_deg, header.longitude_deg, header.altitude_m),
        zoned=header.zoned,
    )
    return info, head
