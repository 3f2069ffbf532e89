"""Reference spectra: so2cam's own tables, and two-column files of the user.

A table is gzip-compressed text in ``formats/reference_tables/NAME.txt.gz``: lines ``# key: value``, then a wavelength
[nm, in vacuum] and a value per row. ``tools/build_reference_spectra.py`` writes the tables, docs/reference-spectra.md
lists them.
"""

import gzip
import math
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources
from pathlib import Path
from typing import Final

import numpy as np

from so2cam.core.errors import InputError
from so2cam.core.records import FloatArray

TABLE_SUFFIX: Final = ".txt.gz"
FEWEST_ROWS: Final = 10
_COMMENTS: Final = ("#", "*", ";", "%", "!")
_LARGEST_BYTES: Final = 50_000_000


@dataclass(frozen=True, slots=True)
class ReferenceTable:
    """One of so2cam's own reference spectra.

    ``wavelengths_nm`` (n,), strictly increasing, in vacuum; ``values`` (n,), finite, in ``unit`` as published: noise
    below zero stays. ``resolution_nm`` is the full width at half maximum of the instrument that measured it, at 310 nm
    (440 nm for NO2); it and ``temperature_k`` are None where they mean nothing. The arrays are read-only.
    """

    name: str
    title: str
    wavelengths_nm: FloatArray
    values: FloatArray
    unit: str
    citation: str
    temperature_k: float | None
    resolution_nm: float | None
    wavelength_standard: str
    source: str
    note: str


def table_names() -> tuple[str, ...]:
    """Return the names of so2cam's own tables, sorted."""
    folder = resources.files("so2cam.formats") / "reference_tables"
    found = (entry.name for entry in folder.iterdir() if entry.name.endswith(TABLE_SUFFIX))
    return tuple(sorted(name.removesuffix(TABLE_SUFFIX) for name in found))


@lru_cache(maxsize=16)
def reference_table(name: str) -> ReferenceTable:
    """Return one of so2cam's own tables by its name.

    Raises InputError for a name that is not known (the message lists those that are).
    """
    if name not in table_names():
        raise InputError(
            "there is no such reference spectrum",
            key="table",
            value=name,
            remedy=f"choose one of {', '.join(table_names())}, or name a file of your own with `file`",
        )
    packed = (resources.files("so2cam.formats") / "reference_tables" / f"{name}{TABLE_SUFFIX}").read_bytes()
    return parse_table(gzip.decompress(packed).decode("utf-8"))


def parse_table(text: str) -> ReferenceTable:
    """Return the table that ``text`` holds, as :func:`format_table` writes it."""
    head: dict[str, str] = {}
    rows = text.splitlines()
    while rows[len(head)].startswith("# "):
        key, _, value = rows[len(head)].removeprefix("# ").partition(": ")
        head[key] = value
    columns = np.loadtxt(rows[len(head) :], dtype=np.float64, comments=None, ndmin=2)
    wavelengths, values = np.ascontiguousarray(columns[:, 0]), np.ascontiguousarray(columns[:, 1])
    wavelengths.flags.writeable = values.flags.writeable = False
    return ReferenceTable(
        name=head["name"],
        title=head["title"],
        wavelengths_nm=wavelengths,
        values=values,
        unit=head["unit"],
        citation=head["citation"],
        temperature_k=_optional(head["temperature_k"]),
        resolution_nm=_optional(head["resolution_nm"]),
        wavelength_standard=head["wavelength_standard"],
        source=head["source"],
        note=head["note"],
    )


def format_table(table: ReferenceTable) -> str:
    """Return the text of a table: wavelengths to 1e-5 nm, values to 7 digits."""
    head = {
        "name": table.name,
        "title": table.title,
        "unit": table.unit,
        "temperature_k": "" if table.temperature_k is None else f"{table.temperature_k:g}",
        "resolution_nm": "" if table.resolution_nm is None else f"{table.resolution_nm:g}",
        "wavelength_standard": table.wavelength_standard,
        "citation": table.citation,
        "source": table.source,
        "note": table.note,
    }
    lines = [f"# {key}: {value}" for key, value in head.items()]
    for wavelength, value in zip(table.wavelengths_nm, table.values, strict=True):
        lines.append(f"{wavelength:.5f}".rstrip("0") + f" {value:.6e}")
    return "\n".join(lines) + "\n"


def read_reference_file(path: Path) -> tuple[FloatArray, FloatArray]:
    """Return wavelengths (n,) [nm] and values (n,) of a user's two-column text file.

    Columns are separated by white space, a comma or a semicolon; empty lines, lines that begin with ``#``, ``*``,
    ``;``, ``%`` or ``!``, and what follows a ``#`` do not count. Wavelengths must increase strictly and are taken as
    they are: in vacuum. Raises InputError, with the row, for a file that is missing, not text, of other columns,
    with values that are not finite, out of order, or of fewer than 10 rows.
    """
    wavelengths: list[float] = []
    values: list[float] = []
    for number, line in enumerate(_text_of(path).splitlines(), start=1):
        content = line.strip()
        if not content or content.startswith(_COMMENTS):
            continue
        wavelength, value = _row(path, number, content.partition("#")[0])
        if wavelengths and wavelength <= wavelengths[-1]:
            raise InputError(
                f"wavelengths must increase, but in row {number} {wavelength} nm follows {wavelengths[-1]} nm",
                file=path,
                remedy="sort the file by wavelength and remove double rows",
            )
        wavelengths.append(wavelength)
        values.append(value)
    if len(wavelengths) < FEWEST_ROWS:
        raise InputError(
            f"a reference spectrum needs at least {FEWEST_ROWS} rows of numbers",
            file=path,
            value=len(wavelengths),
            remedy="give a file of two columns, wavelength in nm (in vacuum) and value",
        )
    return np.asarray(wavelengths), np.asarray(values)


def air_to_vacuum_nm(air_nm: FloatArray) -> FloatArray:
    """Return vacuum wavelengths [nm] of wavelengths in standard air (15 degrees Celsius, 1 atm), 230-1690 nm.

    Ciddor (1996, Appl. Opt. 35, 1566), eq. 1, solved for the vacuum wavelength: 0.09 nm more at 310 nm.
    """
    air = np.asarray(air_nm, dtype=np.float64)
    vacuum = air
    for _ in range(4):
        vacuum = air * refractive_index_of_air(vacuum)
    return vacuum


def refractive_index_of_air(vacuum_nm: FloatArray) -> FloatArray:
    """Return the refractive index of standard air at vacuum wavelengths [nm]: Ciddor (1996), eq. 1."""
    square = (1e3 / np.asarray(vacuum_nm, dtype=np.float64)) ** 2
    return np.asarray(1 + 0.05792105 / (238.0185 - square) + 0.00167917 / (57.362 - square), dtype=np.float64)


def _optional(text: str) -> float | None:
    return float(text) if text else None


def _text_of(path: Path) -> str:
    remedy = "give a text file of two columns, wavelength in nm (in vacuum) and value"
    try:
        if path.stat().st_size > _LARGEST_BYTES:
            raise InputError("the file is too large for a reference spectrum", file=path, remedy=remedy)
        packed = path.read_bytes()
    except OSError as error:
        raise InputError(
            f"the reference spectrum cannot be read: {error.strerror}", file=path, remedy=remedy
        ) from error
    if b"\0" in packed:
        raise InputError("the reference spectrum is not text", file=path, remedy=remedy)
    try:
        return packed.decode("utf-8-sig")
    except UnicodeDecodeError:
        return packed.decode("latin-1")  # old files; only their comments hold other letters


def _row(path: Path, number: int, content: str) -> tuple[float, float]:
    fields = content.replace(",", " ").replace(";", " ").split()
    if len(fields) != 2:
        raise InputError(
            f"row {number} has {len(fields)} columns instead of 2",
            file=path,
            value=content[:60],
            remedy="keep two columns, wavelength in nm and value, with a decimal point, and mark comments with #",
        )
    try:
        wavelength, value = float(fields[0]), float(fields[1])
    except ValueError as error:
        raise InputError(
            f"row {number} is not two numbers",
            file=path,
            value=content[:60],
            remedy="write numbers with a decimal point, and mark comments with #",
        ) from error
    if not (math.isfinite(wavelength) and math.isfinite(value)):
        raise InputError(
            f"row {number} holds a value that is not finite",
            file=path,
            value=content[:60],
            remedy="remove the row, or interpolate its value",
        )
    return wavelength, value
