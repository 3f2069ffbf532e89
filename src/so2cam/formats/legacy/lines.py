"""Plume lines of the old program, the pair among them for cross-correlation, and the placeholder for none."""

import math
from dataclasses import dataclass
from itertools import combinations
from typing import Final

import numpy as np

from so2cam.core.errors import SiteFileError
from so2cam.core.site import Line, Optics
from so2cam.formats.legacy.account import Account, Outcome
from so2cam.formats.legacy.choose import text_of
from so2cam.formats.legacy.files import FoundFile
from so2cam.formats.legacy.parse import parse_key_values
from so2cam.formats.lines import parse_pycam_line

PLACEHOLDER: Final = "placeholder"
_PARALLEL_COSINE: Final = math.cos(math.radians(10.0))
_MINIMUM_DISTANCE_PX: Final = 4.0


@dataclass(frozen=True, slots=True)
class LegacyLine:
    """A line, the file it comes from, and its part in the old cross-correlation: young, old or none."""

    line: Line
    file: str
    age: str | None = None


def read_lines(files: list[FoundFile], optics: Optics, account: Account, *, is_wish: bool) -> list[LegacyLine]:
    """Return the lines in ``files``. One that cannot be used is named in the account, with the reason.

    Where the user asked for the files (``is_wish``) it raises SiteFileError instead.
    """
    lines: list[LegacyLine] = []
    for file in files:
        name = line_name(file.path.stem, {known.line.name for known in lines})
        try:
            line = parse_pycam_line(text_of(file), name=name, file=file.path)
            line, note = inside_image(line, optics, file)
        except SiteFileError as error:
            if is_wish:
                raise
            account.add_file(file.name, file.kind.value, Outcome.LOOK, f"is not carried: {error.message}")
            account.notice(f"{file.name} is not carried: {error.message}.")
            for key in ("x", "y", "orientation", "type"):
                account.settle(file.name, key, Outcome.LOOK, "is not carried: see above")
            continue
        age = parse_key_values(text_of(file)).values.get("type")
        lines.append(LegacyLine(line, file.name, age.lower() if age else None))
        where = f"lines[{len(lines) - 1}]"
        account.carry(file.name, "x", f"{where}.start, {where}.end", note)
        account.carry(file.name, "y", f"{where}.start, {where}.end", note)
        account.carry(file.name, "orientation", f"{where}.normal")
        account.settle(
            file.name, "type", Outcome.OWN_WAY, "the pair for cross-correlation is named in the processing settings"
        )
    return lines


def placeholder(optics: Optics) -> Line:
    """Return the line that stands in for none: upright through the middle of the image. It measures nothing."""
    x = round(optics.width_px / 2)
    top, bottom = round(optics.height_px * 0.15), round(optics.height_px * 0.85)
    return Line(name=PLACEHOLDER, start=(x, top), end=(x, bottom), normal="right")


def correlation_pair(lines: list[LegacyLine]) -> tuple[LegacyLine, LegacyLine] | None:
    """Return the upstream and the downstream line for cross-correlation, or None.

    They must be parallel within 10 degrees, face the same side and lie apart along their normals, whose order
    says which is upstream. A line that the old program calls old is one of the two.
    """
    for a, b in combinations(lines, 2):
        if any(known.age == "old" for known in lines) and "old" not in (a.age, b.age):
            continue
        first, second = a.line.to_plume_line(), b.line.to_plume_line()
        if np.dot(first.normal, second.normal) < _PARALLEL_COSINE:
            continue
        step = np.subtract(np.add(second.start, second.end), np.add(first.start, first.end)) / 2
        along_first, along_second = float(np.dot(step, first.normal)), float(np.dot(step, second.normal))
        if min(along_first, along_second) >= _MINIMUM_DISTANCE_PX:
            return a, b
        if max(along_first, along_second) <= -_MINIMUM_DISTANCE_PX:
            return b, a
    return None


def inside_image(line: Line, optics: Optics, file: FoundFile) -> tuple[Line, str]:
    """Return the line with ends up to 1 px outside the image moved onto its edge, and a note of it.

    Raises SiteFileError where an end lies further outside.
    """
    right, bottom = optics.width_px - 1, optics.height_px - 1
    moved, is_moved = {}, False
    for end in ("start", "end"):
        x, y = getattr(line, end)
        inside = (min(max(x, 0.0), right), min(max(y, 0.0), bottom))
        distance = math.hypot(x - inside[0], y - inside[1])
        if distance > 1.5:
            raise SiteFileError(
                f"its {end} ({x:g}, {y:g}) lies outside the image of {optics.width_px} x {optics.height_px} pixels",
                file=file.path,
                remedy="draw the line again",
            )
        moved[end] = inside
        is_moved |= distance > 0
    if not is_moved:
        return line, ""
    return line.model_copy(update=moved), "an end 1 px outside the image was moved onto its edge"


def line_name(stem: str, taken: set[str]) -> str:
    """Return the name of a line after its file: allowed in a site file, and used only once."""
    letters = "".join(c if c.isascii() and (c.isalnum() or c in " _.-") else "-" for c in stem)[:50]
    base = letters.lstrip(" _.-") or "line"
    if base in ("total", PLACEHOLDER):
        base = f"{base}-line"
    name, count = base, 2
    while name in taken:
        name, count = f"{base}-{count}", count + 1
    return name
