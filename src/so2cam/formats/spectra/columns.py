"""Two columns of numbers out of a text file: those of iFit, and those of any other export."""

import re
from pathlib import Path
from typing import Final

import numpy as np

from so2cam.core.errors import FrameFileError
from so2cam.core.records import FloatArray

_AGAIN: Final = "copy the file again from the instrument; if it stays so, it was damaged there"
_NUMBER = re.compile(r"[+-]?(?:[0-9]+(?:[.,][0-9]*)?|[.,][0-9]+)(?:[eE][+-]?[0-9]+)?|[+-]?(?:nan|inf)", re.IGNORECASE)
_CONTINUES: Final = 5.0
"""Rows this many steps of the wavelength from the spectrum's ends belong to it."""


def decode(data: bytes) -> str:
    """Return ``data`` as text: UTF-8 with or without mark, UTF-16 with its mark, or else Latin-1."""
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        return data.decode("utf-16", errors="replace")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return data.decode("latin-1")


def parse_ifit(text: str, file: Path | str) -> tuple[FloatArray, FloatArray]:
    """Return wavelengths [nm] and counts, (N,), of iFit's text: rows with ``#``, then two columns.

    Raises FrameFileError, with the row, for anything else, and for a file that does not end with a whole row.
    """
    if text and not text.endswith(("\n", "\r")):
        raise FrameFileError("is cut short: its last row is not whole", file=file, remedy=_AGAIN)
    quick = _parse_plain(text)
    if quick is not None:
        return quick
    first: list[float] = []
    second: list[float] = []
    for number, row in enumerate(text.splitlines(), start=1):
        if not row.strip() or row.lstrip().startswith("#"):
            continue
        cells = [to_number(cell) for cell in row.split()]
        if len(cells) != 2 or cells[0] is None or cells[1] is None:
            raise FrameFileError(
                "the row is not a wavelength and its counts", file=file, key=f"row {number}", value=row, remedy=_AGAIN
            )
        first.append(cells[0])
        second.append(cells[1])
    if not first:
        raise FrameFileError("holds no rows of numbers", file=file, remedy=_AGAIN)
    return np.array(first), np.array(second)


def _parse_plain(text: str) -> tuple[FloatArray, FloatArray] | None:
    """Return the columns of a file without a flaw, several times faster; None where rows need a closer look."""
    if not text.isascii() or "_" in text.rpartition("#")[2]:
        return None
    rows = [row.split() for row in text.splitlines() if row and row[0] != "#"]
    if not rows or any(len(row) != 2 for row in rows):
        return None
    try:
        table = np.array(rows, np.float64)
    except ValueError:
        return None
    return np.ascontiguousarray(table[:, 0]), np.ascontiguousarray(table[:, 1])


def parse_columns(
    text: str, file: Path | str, *, wavelength_column: int, counts_column: int, delimiter: str | None
) -> tuple[FloatArray, FloatArray]:
    """Return the two columns (from 1) of the table in ``text``, (N,); what stands above and below it does not matter.

    Columns are parted by ``delimiter``, or by white space where it is None. A comma within a number is its decimal
    point, unless it is the delimiter. Raises FrameFileError where there is no such table, or a row within it is
    broken.
    """
    parting = delimiter if delimiter and delimiter != " " else None
    runs: list[list[tuple[int, float, float]]] = [[]]
    for number, row in enumerate(text.splitlines(), start=1):
        if not row.strip() or row.lstrip().startswith("#"):
            continue
        cells = row.split(parting)
        pair = [
            to_number(cells[column - 1].strip().rstrip("," if parting is None else ""))
            if column <= len(cells)
            else None
            for column in (wavelength_column, counts_column)
        ]
        if pair[0] is None or pair[1] is None:
            runs.append([])
        else:
            runs[-1].append((number, pair[0], pair[1]))
    longest = max(runs, key=len)
    if len(longest) < 2:
        raise FrameFileError(
            f"holds no table with wavelengths in column {wavelength_column} and counts in column {counts_column}",
            file=file,
            remedy="correct wavelength_column, counts_column and delimiter in spectrometer.files of the site file",
        )
    _require_unbroken(runs, longest, file)
    table = np.array([(wavelength, counts) for _, wavelength, counts in longest])
    return np.ascontiguousarray(table[:, 0]), np.ascontiguousarray(table[:, 1])


def to_number(text: str) -> float | None:
    """Return the number written in ``text`` (also with a decimal comma, nan and inf), or None."""
    if not text.isascii() or _NUMBER.fullmatch(text) is None:
        return None
    return float(text.replace(",", "."))


def _require_unbroken(
    runs: list[list[tuple[int, float, float]]], longest: list[tuple[int, float, float]], file: Path | str
) -> None:
    """Refuse a table that goes on behind, or begins before, a row that cannot be read."""
    wavelengths = np.array([row[1] for row in longest])
    reach = _CONTINUES * float(np.median(np.abs(np.diff(wavelengths))))
    low, high = float(wavelengths.min()) - reach, float(wavelengths.max()) + reach
    for run in runs:
        if run is longest:
            continue
        for number, wavelength, _ in run:
            if low <= wavelength <= high:
                last = longest[-1][0]
                row = last + 1 if number > last else longest[0][0] - 1
                raise FrameFileError(
                    "a row within the table cannot be read", file=file, key=f"row {row}", remedy=_AGAIN
                )
