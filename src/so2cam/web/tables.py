"""Tables, ages and amounts in words, as HTML: what several pages of the station say in the same way. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from html import escape
from typing import Final, Literal

from so2cam.core.times import format_utc
from so2cam.web.parts import MISSING, State, number

TYPED: Final = "(event) => emit(event.target.value)"
"""What the browser does when somebody types into a plain field: it sends the text."""
Kind = Literal["", "lead", "num", "tight", "bare"]


@dataclass(frozen=True, slots=True)
class Column:
    """A column: its heading, how it is set (``lead`` heads the card of a row on a phone, ``bare`` has no
    heading there), and a hint.
    """

    title: str
    kind: Kind = ""
    hint: str = ""


def table_html(
    columns: Sequence[Column], rows: Sequence[Sequence[str]], *, test: str, marks: Sequence[str] = ()
) -> str:
    """Return a table; cells are HTML, escaped by who makes them. ``marks``: a class of each row."""
    head = "".join(
        f'<th scope="col" class="{column.kind}" title="{escape(column.hint, quote=True)}">{escape(column.title)}</th>'
        for column in columns
    )
    body = []
    for index, row in enumerate(rows):
        cells = "".join(
            f'<td class="{_class(column, cell)}"{_label(column)}><span>{cell}</span></td>'
            for column, cell in zip(columns, row, strict=True)
            if cell or column.kind != "lead"
        )
        mark = f' class="{marks[index]}"' if index < len(marks) and marks[index] else ""
        body.append(f"<tr{mark}>{cells}</tr>")
    return (
        f'<table class="so-table is-cards" data-testid="{test}"><thead><tr>{head}</tr></thead>'
        f"<tbody>{''.join(body)}</tbody></table>"
    )


def _class(column: Column, cell: str) -> str:
    return f"{column.kind} nil".strip() if cell == MISSING else column.kind


def _label(column: Column) -> str:
    return (
        ""
        if column.kind in ("lead", "bare") or not column.title
        else f' data-label="{escape(column.title, quote=True)}"'
    )


def chip_html(text: str, state: State = "", *, title: str = "") -> str:
    """Return a state in a word, as ``parts.Chip``."""
    hint = escape(title, quote=True)
    return f'<span class="so-chip" data-state="{state or "none"}" title="{hint}">{escape(text)}</span>'


def ago_html(time: datetime | None, now: datetime | None = None) -> str:
    """Return how long ago something was; the browser keeps it."""
    if time is None:
        return MISSING
    words = ago_words(((now or datetime.now(UTC)) - time).total_seconds())
    return f'<time class="so-ago" data-time="{format_utc(time)}">{words}</time>'


def ago_words(seconds: float) -> str:
    """Return an age as the browser writes it."""
    whole = max(0, round(seconds))
    if whole < 90:
        return f"{whole} s ago"
    if whole < 5400:
        return f"{round(whole / 60)} min ago"
    return f"{round(whole / 3600)} h ago" if whole < 129_600 else f"{round(whole / 86_400)} d ago"


def stamp_html(time: datetime | None) -> str:
    """Return a moment of the past, in full; local time on hover is the browser's."""
    if time is None:
        return MISSING
    at = time.astimezone(UTC)
    return f'<span class="so-stamp" title="{at:%Y-%m-%d %H:%M:%S UTC}">{at:%m-%d %H:%M} <small>UTC</small></span>'


def duration(seconds: float | None) -> str:
    """Return a length of time in the unit that suits it."""
    if seconds is None or seconds != seconds:
        return MISSING
    if seconds == float("inf"):
        return "for ever"
    for limit, unit, word in ((120, 1, "s"), (7200, 60, "min"), (172_800, 3600, "h"), (6.3e7, 86_400, "days")):
        if seconds < limit:
            shown = seconds / unit
            return f"{f'{shown:.1f}'.removesuffix('.0') if shown < 10 else f'{shown:.0f}'} {word}"
    return f"{seconds / 3.156e7:.0f} years"


def size(count: float | None) -> str:
    """Return a number of bytes in the unit that suits it (powers of ten, as disks are sold)."""
    if count is None:
        return MISSING
    value = float(count)
    for unit in ("B", "kB", "MB", "GB"):
        if abs(value) < 1000:
            return f"{value:.0f} {unit}" if unit == "B" else f"{number(value, 3)} {unit}"
        value /= 1000
    return f"{number(value, 3)} TB"


def count(value: int | None) -> str:
    """Return a whole number with its thousands apart."""
    return MISSING if value is None else f"{value:,}".replace(",", "\u202f")
