"""Choosing among the files that were found: one of each kind, or a question to the user; never a guess."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from so2cam.core.errors import InputError, SiteFileError
from so2cam.core.site import GeoPoint
from so2cam.core.site_schedule import Action
from so2cam.formats.legacy.account import Account, plain
from so2cam.formats.legacy.files import FileKind, Found, FoundFile, distinct, examine, resolve
from so2cam.formats.legacy.parse import parse_key_values, parse_yaml, to_flag

_MANY_LINES: Final = 10


@dataclass(frozen=True, slots=True)
class Wishes:
    """What the user chose: names of files in the folder, or paths, and the place of the vent."""

    settings: str | None = None
    geometry: str | None = None
    lines: tuple[Path, ...] = ()
    registration: Path | None = None
    vent: GeoPoint | None = None
    without: Mapping[Action, str] = field(default_factory=dict)
    """parts of the old schedule that are not carried, and why: they would contradict"""


@dataclass(frozen=True, slots=True)
class Settings:
    """The processing settings in use; empty, with no file, where there are none."""

    file: FoundFile | None
    values: dict[str, Any]

    def text(self, key: str) -> str | None:
        """Return a text, or None where the key is missing, empty or something else."""
        value = self.values.get(key)
        return value if isinstance(value, str) and value.strip() else None

    def texts(self, key: str) -> tuple[str, ...]:
        """Return the texts in a list, or a single text as a list of one."""
        value = self.values.get(key)
        parts = value if isinstance(value, list) else [value]
        return tuple(part for part in parts if isinstance(part, str) and part.strip())

    def flag(self, key: str) -> bool | None:
        """Return a switch, or None where the key is missing or is none."""
        return to_flag(self.values.get(key))


def choose_settings(found: Found, wish: str | None) -> Settings:
    """Return the processing settings in use. Raises InputError where several differ, SiteFileError where damaged."""
    candidates = found.of_kind(FileKind.SETTINGS)
    chosen = _pointed_at(found, candidates) if wish is None else _by_wish(candidates, wish, "--settings")
    if chosen is None:
        ranked = (
            [file for file in candidates if file.path.name.lower() == "processing_setting_defaults.yml"],
            [file for file in candidates if not file.is_result],
            candidates,
        )
        choice = distinct(next((files for files in ranked if files), []))
        if len(choice) > 1:
            raise _several("processing settings", choice, "--settings")
        if not choice:
            return Settings(None, {})
        chosen = choice[0]
    return Settings(chosen, parse_yaml(text_of(chosen), chosen.path).values)


def choose_geometry(found: Found, settings: Settings, wish: str | None) -> FoundFile:
    """Return the geometry in use: the user's, the settings' default, or the only one. Raises InputError else."""
    candidates = found.of_kind(FileKind.GEOMETRY)
    if wish is not None:
        return _by_wish(candidates, wish, "--geometry")
    if not candidates:
        raise InputError(
            "no geometry of a camera was found (volcano, lat, lon, altitude, elev, azim)",
            remedy="name the folder that holds cam_geom as well, such as pycam/conf",
        )
    default = settings.text("default_cam_geom")
    if default is not None:
        named = resolve(default, candidates)
        if len(named) == 1:
            return named[0]
        if not named:
            raise InputError(
                f"default_cam_geom names {plain(default)}, which is not there",
                key="default_cam_geom",
                remedy=f"choose with --geometry NAME: {_names(candidates)}",
            )
    pointed = _pointed_at(found, candidates)
    if pointed is not None:
        return pointed
    choice = distinct([file for file in candidates if not file.is_result] or candidates)
    if len(choice) > 1:
        raise _several("geometries", choice, "--geometry")
    return choice[0]


def choose_cameras(found: Found) -> tuple[FoundFile | None, FoundFile | None]:
    """Return the files of the on-band and the off-band camera; the first is that of both where bands share one.

    Raises InputError where there are several different ones, SiteFileError where one is damaged.
    """
    by_band: dict[str, list[FoundFile]] = {"on": [], "off": [], "": []}
    for file in found.of_kind(FileKind.CAMERA):
        parsed = parse_key_values(text_of(file))
        broken = [problem for problem in parsed.problems if "given twice" not in problem]
        if broken:
            raise SiteFileError(broken[0], file=file.path, remedy="correct the row, or copy the file again")
        band = parsed.values.get("band", "").strip().lower()
        if band not in ("on", "off"):
            stem = file.path.stem.lower()
            band = "off" if stem.endswith("_off") else "on" if stem.endswith("_on") else ""
        by_band[band].append(file)
    chosen: dict[str, FoundFile | None] = {}
    for band, files in by_band.items():
        choice = distinct(files)
        if len(choice) > 1:
            raise InputError(
                f"{len(choice)} different files describe the same camera: {_names(choice)}",
                remedy="name the folder of one installation's settings only",
            )
        chosen[band] = choice[0] if choice else None
    return chosen["on"] or chosen[""] or chosen["off"], chosen["off"]


def choose_lines(found: Found, settings: Settings, wish: Sequence[Path], account: Account) -> list[FoundFile]:
    """Return the files of plume lines: the user's, those of the settings, or those in the folder.

    Raises InputError where the user's are no line files, or where there are too many to be of one time.
    """
    if wish:
        return [_given(path, FileKind.LINE, found) for path in wish]
    candidates = found.of_kind(FileKind.LINE)
    terrain = {file.name for name in settings.texts("dil_lines") for file in resolve(name, candidates)}
    candidates = [file for file in candidates if file.name not in terrain and not is_terrain(file)]
    chosen: list[FoundFile] = []
    missing: list[str] = []
    for name in settings.texts("pcs_lines"):
        files = resolve(name, candidates)
        if len(files) > 1:
            raise InputError(
                f"several different files are called {plain(name)}: {_names(files)}",
                remedy="name those that count with --lines FILE ...",
            )
        chosen.extend(files)
        if not files:
            missing.append(plain(name))
    if missing and chosen:
        account.notice(f"Lines that the settings name are not in the folder: {', '.join(missing)}.")
    if chosen:
        return distinct(chosen)
    choice = distinct([file for file in candidates if not file.is_result])
    if len(choice) > _MANY_LINES:
        raise InputError(
            f"{len(choice)} line files were found, and the settings do not say which are in use",
            remedy="name those that count with --lines FILE ...",
        )
    if choice and missing:
        account.notice(
            f"The lines that the settings name are not in the folder ({', '.join(missing)}); "
            f"those that are there were taken instead: {_names(choice)}."
        )
    return choice


def choose_registration(found: Found, settings: Settings, wish: Path | None, account: Account) -> FoundFile | None:
    """Return the file of the registration, or None. Raises InputError where several differ."""
    if wish is not None:
        return _given(wish, FileKind.REGISTRATION, found)
    candidates = found.of_kind(FileKind.REGISTRATION)
    name = settings.text("img_registration")
    named = resolve(name, candidates) if name is not None else []
    others = distinct([file for file in candidates if not file.is_result] or candidates)
    choice = named or others
    if len(choice) > 1:
        raise _several("registrations", choice, "--registration")
    if name is not None and not named and choice:
        account.notice(
            f"The registration that the settings name ({plain(name)}) is not in the folder; "
            f"the one that is there was taken instead: {choice[0].name}."
        )
    return choice[0] if choice else None


def is_terrain(file: FoundFile) -> bool:
    """Return True for a line across terrain, for light dilution: it looks like a plume line but for its name."""
    parts = Path(file.name.lower()).parts
    return any("terrain" in part or part.startswith("dil") for part in parts)


def text_of(file: FoundFile) -> str:
    """Return the text of a file that is needed. Raises SiteFileError where it cannot be read."""
    if file.text is None:
        raise SiteFileError(
            file.problem or "cannot be read", file=file.path, remedy="copy the file again, or remove it"
        )
    return file.text


def _given(path: Path, kind: FileKind, found: Found) -> FoundFile:
    """Return a file that the user names: one of those found, or one from elsewhere."""
    option = "--lines" if kind is FileKind.LINE else "--registration"
    try:
        if not path.is_file():
            raise InputError(f"{option}: there is no such file", file=path, remedy="check the path")
        real = os.path.realpath(path)
        file = next((known for known in found.files if os.path.realpath(known.path) == real), None)
    except OSError as error:
        raise InputError(
            f"{option}: cannot be read: {error.strerror or error}", file=path, remedy="check the file's permissions"
        ) from error
    file = file or examine(path, plain(path.as_posix(), 300))
    if file is None or file.kind is not kind:
        what = file.problem if file is not None and file.problem else "its content is something else"
        hint = "; pickles are never read: register again" if file is not None and file.kind is FileKind.PICKLE else ""
        form = "x=, y= and orientation= rows" if kind is FileKind.LINE else "a 2 x 3 matrix as .npy"
        raise InputError(f"{option}: no file with {form} ({what}{hint})", file=path, remedy="name another file")
    return file


def _by_wish(candidates: list[FoundFile], wish: str, option: str) -> FoundFile:
    named = resolve(wish, candidates) or distinct(
        [file for file in candidates if file.path.stem.casefold() == wish.casefold()]
    )
    if len(named) == 1:
        return named[0]
    if named:
        raise _several(f"files called {plain(wish)}", named, option)
    raise InputError(
        f"{option}: there is no {plain(wish)!r}", remedy=f"choose one of: {_names(candidates) or 'none was found'}"
    )


def _pointed_at(found: Found, candidates: list[FoundFile]) -> FoundFile | None:
    """Return the one candidate that a file with the name of the default points at."""
    named = {
        file.name: file
        for pointer in found.of_kind(FileKind.POINTER)
        for file in resolve((pointer.text or "").strip(), candidates)
    }
    return next(iter(named.values())) if len(named) == 1 else None


def _several(what: str, files: Sequence[FoundFile], option: str) -> InputError:
    return InputError(f"{len(files)} different {what} were found", remedy=f"choose with {option}: {_names(files)}")


def _names(files: Sequence[FoundFile], limit: int = 12) -> str:
    shown = ", ".join(file.name for file in files[:limit])
    return shown + (f" and {len(files) - limit} more" if len(files) > limit else "")
