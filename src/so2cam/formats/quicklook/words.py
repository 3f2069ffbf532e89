"""Words on the quicklook: set by their measured width, after the panels have found their places."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

import numpy as np

from so2cam.core.results import EmissionSeries
from so2cam.core.status import QUALITY_TEXT, STATUS_TEXT, EmissionStatus, QualityFlag
from so2cam.formats.quicklook.style import (
    FONT,
    FONT_SMALL,
    FONT_TITLE,
    INK,
    MUTED,
    POINTS_PER_PIXEL,
    ROW,
    STATUS_COLOURS,
    plain,
    title_rows,
)
from so2cam.formats.quicklook.values import IntStatus, count_missing

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.backends.backend_agg import FigureCanvasAgg

LEADING: Final = 1.32
"""From one line of text to the next, in font sizes."""
_ITEM_INSET: Final = 46.0
_ITEM_GAP: Final = 1.5
_ROW_GAP: Final = 2.2

Item = tuple[str | None, int, str]
"""The colour of its square (or none), count and text of a counted item."""


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of a label and the lines of a value, wrapped for type of ``size``; values begin at ``column``."""

    size: float
    column: float
    rows: Sequence[tuple[str, Sequence[str]]]

    def height_of(self, values: Sequence[str]) -> float:
        """Return the height of a row."""
        return LEADING * self.size * len(values) + _ROW_GAP

    @property
    def height(self) -> float:
        """The height of all rows."""
        return sum(self.height_of(values) for _, values in self.rows)


class Writer:
    """Sets text from the top of a panel downwards, wrapped by its measured width. Lengths are points."""

    def __init__(self, canvas: "FigureCanvasAgg", axes: "Axes", *, share: float = 1.0, inset: float = 0.0) -> None:
        """Start ``inset`` from the panel's edge, for lines as wide as ``share`` of the panel."""
        self._renderer = canvas.get_renderer()  # type: ignore[no-untyped-call]
        self._axes = axes
        self._inset = inset
        box = axes.get_window_extent()
        self.width = share * box.width * POINTS_PER_PIXEL
        self.height = box.height * POINTS_PER_PIXEL
        self.y = min(inset, 4.0)

    def paragraph(
        self,
        text: str,
        colour: str,
        size: float,
        *,
        weight: str = "normal",
        lines: int = 1,
        align: Literal["left", "right"] = "left",
    ) -> None:
        """Write up to ``lines`` lines; what does not fit ends in an ellipsis."""
        for line in self.wrap(text, self.width, size, weight=weight, lines=lines):
            self._put(0, line, colour, size, weight, align)
            self.y += LEADING * size

    def wrap_table(self, rows: Sequence[tuple[str, str]], room: float) -> Table:
        """Return rows of a label and a value as they will be written: in small type where they are many or long."""
        table = self._wrap_rows(rows, FONT)
        if table.height > room or any(len(values) > 2 for _, values in table.rows):
            table = self._wrap_rows(rows, FONT_SMALL)
        return table

    def _wrap_rows(self, rows: Sequence[tuple[str, str]], size: float) -> Table:
        labels = ["".join(self.wrap(label, 0.4 * self.width, size)) for label, _ in rows]
        column = 12 + max((self._measure(label, size) for label in labels), default=0.0)
        values = [self.wrap(value, self.width - column, size, lines=3) or [""] for _, value in rows]
        return Table(size, column, list(zip(labels, values, strict=True)))

    def table(self, table: Table, room: float) -> None:
        """Write as many rows of ``table`` as ``room`` holds, and say how many it does not."""
        bottom = self.y + room
        for number, (label, values) in enumerate(table.rows):
            left = len(table.rows) - number
            if self.y + table.height_of(values) + (LEADING * table.size if left > 1 else 0) > bottom:
                self.paragraph(f"and {left} more", MUTED, table.size)
                return
            self._put(0, label, MUTED, table.size)
            for line in values:
                self._put(table.column, line, INK, table.size)
                self.y += LEADING * table.size
            self.y += _ROW_GAP

    def items(self, items: Sequence[Item], limit: int) -> None:
        """Write the first ``limit`` counted items, and how many more there are."""
        for colour, count, text in items[:limit]:
            if colour is not None:
                self._put(0, "■", colour, FONT)
            self._put(_ITEM_INSET - 6, str(count), INK, FONT_SMALL, align="right")
            for line in self._item_lines(text):
                self._put(_ITEM_INSET, line, INK, FONT_SMALL)
                self.y += LEADING * FONT_SMALL
            self.y += _ITEM_GAP
        if len(items) > limit:
            self._put(_ITEM_INSET, f"and {len(items) - limit} more", MUTED, FONT_SMALL)
            self.y += LEADING * FONT_SMALL

    def height_of(self, items: Sequence[Item], limit: int) -> float:
        """Return the height that ``items`` will take."""
        lines = sum(len(self._item_lines(text)) for _, _, text in items[:limit]) + (len(items) > limit)
        return LEADING * FONT_SMALL * lines + _ITEM_GAP * len(items[:limit])

    def _item_lines(self, text: str) -> list[str]:
        return self.wrap(text, self.width - _ITEM_INSET, FONT_SMALL, lines=3)

    def key(self, entries: Sequence[tuple[str, str]]) -> None:
        """Write squares of a colour with their names side by side, and how many more there are."""
        x = 0.0
        for number, (colour, text) in enumerate(entries):
            width = 24 + self._measure(text, FONT)
            rest = 0.0 if number == len(entries) - 1 else 52.0
            if x + width + rest > self.width:
                self._put(x, f"and {len(entries) - number} more", MUTED, FONT)
                return
            self._put(x, "■", colour, FONT + 1)
            self._put(x + 11, text, INK, FONT)
            x += width

    def wrap(self, text: str, width: float, size: float, *, weight: str = "normal", lines: int = 1) -> list[str]:
        """Return ``text`` in up to ``lines`` lines of at most ``width``."""
        return wrap_text(plain(text), width, lambda part: self._measure(part, size, weight), lines)

    def _measure(self, text: str, size: float, weight: str = "normal") -> float:
        from matplotlib.font_manager import FontProperties

        font = FontProperties(size=size, weight=weight)
        return float(self._renderer.get_text_width_height_descent(text, font, ismath=False)[0]) * POINTS_PER_PIXEL

    def _put(
        self,
        x: float,
        text: str,
        colour: str,
        size: float,
        weight: str = "normal",
        align: Literal["left", "right"] = "left",
    ) -> None:
        at_edge = align == "right" and x == 0
        self._axes.annotate(
            text,
            (1 if at_edge else 0, 1),
            (-self._inset if at_edge else self._inset + x, -self.y),
            xycoords="axes fraction",
            textcoords="offset points",
            ha=align,
            va="top",
            fontsize=size,
            fontweight=weight,
            color=colour,
            parse_math=False,
            annotation_clip=False,
        ).set_in_layout(False)


def write_summary(
    canvas: "FigureCanvasAgg",
    axes: "Axes",
    series: EmissionSeries,
    reasons: IntStatus,
    summary: Sequence[tuple[str, str]],
) -> None:
    """Write the summary as a table, why totals are missing, and the quality flags.

    Where room is short, reasons give way first, down to three, then the summary.
    """
    writer = Writer(canvas, axes)
    missing: list[Item] = [
        (STATUS_COLOURS[status], count, STATUS_TEXT[status]) for status, count in count_missing(reasons)
    ]
    counts = [(flag, int(np.count_nonzero(series.quality_flags & flag))) for flag in QualityFlag if flag]
    counts.sort(key=lambda item: -item[1])
    flags: list[Item] = [(None, count, QUALITY_TEXT[flag]) for flag, count in counts if count]

    writer.y = -(5 + ROW * title_rows(series) + 0.80 * FONT_TITLE)
    writer.paragraph("Summary", INK, FONT_TITLE, weight="bold")
    writer.y += 4
    end = writer.height + 16 - (24 + writer.height_of(flags, 3) if flags else 0)
    room = {shown: end - writer.y - 24 - writer.height_of(missing, shown) for shown in (5, 4, 3)}
    table = writer.wrap_table(summary, room[5])
    shown = next((shown for shown in room if table.height <= room[shown]), 3)
    writer.table(table, room[shown])
    writer.y += 9
    count = np.count_nonzero(reasons != EmissionStatus.OK)
    writer.paragraph(f"Missing totals: {count} of {reasons.size}", INK, FONT, weight="bold")
    writer.y += 2
    writer.items(missing, shown)
    if flags:
        writer.y += 9
        writer.paragraph(f"Quality flags, of {len(series.times)} pairs", INK, FONT, weight="bold")
        writer.y += 2
        writer.items(flags, 3)


def wrap_text(text: str, width: float, measure: Callable[[str], float], lines: int) -> list[str]:
    """Return ``text`` in up to ``lines`` lines not wider than ``width``; a long word is cut, a rest ends in ``…``."""
    out: list[str] = []
    rest = text
    while rest and len(out) < lines:
        if measure(rest) <= width:
            return [*out, rest]
        last = len(out) == lines - 1
        end = _longest(rest, width, measure, "…" if last else "")
        space = rest.rfind(" ", 0, end + 1)
        if space > end // 2:
            end = space
        out.append(rest[:end].rstrip() + ("…" if last else ""))
        rest = rest[end:].lstrip()
    return out


def _longest(text: str, width: float, measure: Callable[[str], float], tail: str) -> int:
    """Return how many characters of ``text``, at least one, fit into ``width`` with ``tail`` behind them."""
    low, high = 1, len(text)
    while low < high:
        middle = (low + high + 1) // 2
        if measure(text[:middle] + tail) <= width:
            low = middle
        else:
            high = middle - 1
    return low
