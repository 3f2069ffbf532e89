"""Contents of setting files: ``key=value`` text with nested tables, YAML, schedules, and heads of array files."""

import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import yaml

from so2cam.core.errors import InputError, SiteFileError
from so2cam.formats.legacy.account import plain
from so2cam.formats.npy import array_of, read_head

_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,63}")
_JOB = re.compile(r"(#?)\s*((?:[0-9*][0-9*,/-]*\s+){3}[0-9A-Za-z*,/-]+\s+[0-9A-Za-z*,/-]+|@[a-z]+)\s+(\S.*)")
_SCRIPT = re.compile(r"([A-Za-z0-9_.-]+\.(?:py|sh)(?:\s+-[A-Za-z](?=\s|$))*)(?=\s|$)")
_VARIABLE = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)\s*=")
_POWER = re.compile(r"(BEGIN|END|ON|OFF)\s+(\S.*)")
_POWER_COMMENT = re.compile(r"#\s*((?:on|off)_time(?:_[0-9])?)\s*=\s*(\S+)")
_MAXIMUM_DEPTH: Final = 16


@dataclass(frozen=True, slots=True)
class KeyValues:
    """Keys and values as text; those of a nested table are called ``table.key``. Problems name their rows."""

    values: dict[str, str]
    problems: tuple[str, ...]


def parse_key_values(text: str) -> KeyValues:
    """Return the ``key=value`` rows of ``text``; ``#`` begins a comment, ``DICT=name`` to ``DICT_END`` is a table.

    A key that is given twice has its last value, as in the old program, and is among the problems.
    """
    values: dict[str, str] = {}
    problems: list[str] = []
    table, opened = "", 0
    for number, row in enumerate(text.splitlines(), start=1):
        content = row.partition("#")[0].strip()
        if not content:
            continue
        if content == "DICT_END":
            if not table:
                problems.append(f"row {number}: DICT_END without DICT=")
            table = ""
            continue
        key, equals, value = (part.strip() for part in content.partition("="))
        if not equals or not _KEY.fullmatch(key) or (value and not value.strip("=")):
            problems.append(f"row {number} is not key=value")
        elif key == "DICT":
            if table:
                problems.append(f"row {opened}: DICT={plain(table)} is not closed with DICT_END")
            table, opened = value, number
        else:
            name = f"{table}.{key}" if table else key
            if name in values:
                problems.append(f"row {number}: {name} is given twice; the last value is taken")
            values[name] = value
    if table:
        problems.append(f"row {opened}: DICT={plain(table)} is not closed with DICT_END")
    return KeyValues(values, tuple(problems))


# --- YAML --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class YamlSettings:
    """Top-level keys of a YAML file, and those that it gives twice (the last value is taken)."""

    values: dict[str, Any]
    repeated: tuple[str, ...]


def parse_yaml(text: str, file: Path | str) -> YamlSettings:
    """Return the settings in a YAML file. Raises SiteFileError for anything but plain values, lists and tables.

    Tags (``!!python/...``) could run a program in a careless reader, and anchors and aliases can grow without
    bound; settings need neither, so both are refused before anything is built.
    """
    remedy = "correct the file, or save it again with the old program"
    try:
        _require_plain(text, file)
        document = yaml.safe_load(text)
        repeated = _repeated_keys(text)
    except yaml.MarkedYAMLError as error:
        row = "" if error.problem_mark is None else f" in row {error.problem_mark.line + 1}"
        raise SiteFileError(f"is not valid YAML{row}: {plain(str(error.problem))}", file=file, remedy=remedy) from None
    except yaml.YAMLError:
        raise SiteFileError("is not valid YAML: holds characters that are no text", file=file, remedy=remedy) from None
    except (ValueError, OverflowError, RecursionError):
        raise SiteFileError("is not valid YAML: holds an impossible value", file=file, remedy=remedy) from None
    if not isinstance(document, dict):
        raise SiteFileError("holds no settings (key: value rows)", file=file, remedy=remedy)
    return YamlSettings({str(key): value for key, value in document.items()}, repeated)


def _require_plain(text: str, file: Path | str) -> None:
    depth = 0
    for event in yaml.parse(text, Loader=yaml.SafeLoader):
        row = event.start_mark.line + 1
        tag = getattr(event, "tag", None)
        if tag is not None:
            raise SiteFileError(
                f"row {row} holds the tag {plain(str(tag))!r}; such tags can run programs, and are never read",
                file=file,
                remedy="remove the tag, and give the plain value",
            )
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None) is not None:
            raise SiteFileError(
                f"row {row} holds an anchor (&) or alias (*)", file=file, remedy="write the value out in full"
            )
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
            if depth > _MAXIMUM_DEPTH:
                raise SiteFileError(f"row {row}: brackets too deep", file=file, remedy="correct the file")
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1


def _repeated_keys(text: str) -> tuple[str, ...]:
    node = yaml.compose(text, Loader=yaml.SafeLoader)
    keys = [str(key.value) for key, _ in node.value] if isinstance(node, yaml.MappingNode) else []
    return tuple(sorted({key for key in keys if keys.count(key) > 1}))


def flatten(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return ``values`` with nested tables spread out: ``species_paths.SO2.value``."""
    flat: dict[str, Any] = {}
    for key, value in values.items():
        name = f"{prefix}{plain(str(key))}"
        if isinstance(value, list) and any(isinstance(part, dict) for part in value):
            flat.update(flatten({f"{plain(str(key))}[{index}]": part for index, part in enumerate(value)}, prefix))
        elif isinstance(value, dict) and value:
            flat.update(flatten(value, f"{name}."))
        else:
            flat[name] = value
    return flat


# --- schedules ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Row:
    """A row of a schedule: when and what, without the arguments of a command, which may hold a login."""

    key: str
    value: str
    is_active: bool = True
    is_known: bool = True


def parse_crontab(text: str) -> tuple[Row, ...]:
    """Return the jobs and variables of a crontab, jobs that are commented out among them."""
    rows = []
    for number, content in enumerate(text.splitlines(), start=1):
        row = content.strip()
        job = _JOB.fullmatch(row)
        if job is not None:
            script = _SCRIPT.search(job[3])
            rows.append(Row(" ".join(job[2].split()), script[1] if script else "(another command)", not job[1]))
        elif (variable := _VARIABLE.match(row)) is not None:
            rows.append(Row(variable[1], ""))
        elif row and not row.startswith("#"):
            rows.append(Row(f"(row {number})", "", is_known=False))
    return tuple(rows)


def parse_power_schedule(text: str) -> tuple[Row, ...]:
    """Return the rows of a Witty Pi schedule, with the times in its comments, which is where they are read from."""
    rows = []
    for number, content in enumerate(text.splitlines(), start=1):
        row = content.strip()
        match = _POWER_COMMENT.match(row) or _POWER.fullmatch(row)
        if match is not None:
            rows.append(Row(match[1], match[2]))
        elif row and not row.startswith("#"):
            rows.append(Row(f"(row {number})", "", is_known=False))
    return tuple(rows)


# --- arrays ------------------------------------------------------------------------------------------------------


def array_head(path: Path) -> tuple[tuple[int, ...], np.dtype[Any]]:
    """Return shape and type of the array in a ``.npy`` file without reading it. Raises ValueError, OSError."""
    with path.open("rb") as stream:
        head = read_head(stream)
    return head.shape, head.dtype


Matrix = tuple[tuple[float, float, float], tuple[float, float, float]]


def read_matrix(path: Path) -> Matrix:
    """Return the 2 x 3 matrix in a ``.npy`` file; pickled objects are never read.

    Raises InputError for every other file.
    """
    remedy = "register again from control points; so2cam never reads pickles"
    try:
        shape, kind = array_head(path)
        if kind.hasobject:
            raise InputError("holds pickled Python objects, which can run programs", file=path, remedy=remedy)
        if shape != (2, 3) or kind.kind != "f":
            raise InputError(
                f"is no registration: holds {'x'.join(map(str, shape)) or 'one'} values of type {kind}, "
                "not 2x3 decimals",
                file=path,
                remedy="name a .npy file with a 2 x 3 matrix",
            )
        matrix = array_of(path.read_bytes())
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror or error}", file=path, remedy="check the file") from error
    except ValueError:
        raise InputError("is no array file, or a damaged or pickled one", file=path, remedy=remedy) from None
    if not np.isfinite(matrix).all():
        raise InputError("holds values that are not finite", file=path, remedy="register again from control points")
    # The shortest decimals that mean the same: float32 files would else show digits that nobody measured.
    (a, b, c), (d, e, f) = ([float(str(value)) for value in row] for row in matrix)
    return (a, b, c), (d, e, f)


def to_number(value: object) -> float | None:
    """Return ``value`` as a finite number, or None where it is none. Texts of numbers count; true and false do not."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def to_flag(value: object) -> bool | None:
    """Return ``value`` as yes or no, or None where it is neither: true, false, 1, 0 and texts of them."""
    if isinstance(value, str):
        return {"true": True, "1": True, "false": False, "0": False}.get(value.strip().lower())
    number = to_number(value)
    if isinstance(value, bool):
        return value
    return None if number is None else number != 0
