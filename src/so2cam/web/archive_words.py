"""The calendar and the table of the archive page, as HTML. Pure."""

from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from html import escape
from typing import Final
from urllib.parse import quote

from so2cam.core.status import QUALITY_TEXT, STATUS_TEXT, EmissionStatus
from so2cam.core.times import format_utc
from so2cam.station.archive_view import DayContent, FoundFile
from so2cam.station.catalogue import DAMAGED, KEPT
from so2cam.store.items import to_microseconds
from so2cam.web.parts import MISSING, with_uncertainty
from so2cam.web.tables import Column, chip_html, count, size, table_html

MONTHS: Final = 3
PICKED: Final = """(event) => {
  const day = event.target.closest('[data-day]');
  if (day) emit({day: day.dataset.day, more: event.shiftKey});
}"""
"""What the browser does on a click into the calendar."""
OPENED: Final = """(event) => {
  const place = event.target.closest('[data-open]');
  if (place) emit({open: Number(place.dataset.open)});
  const box = event.target.closest('input[data-file]');
  if (box) emit({file: Number(box.dataset.file), on: box.checked});
}"""
"""What the browser does on a click into the table."""
_WEEKDAYS: Final = ("Mo", "Tu", "We", "Th", "Fr", "Sa", "Su")
_LEVELS: Final = (0.25, 0.5, 0.75, 0.9)
_MAY_COME: Final = timedelta(minutes=10)
"""How long after a frame came its result may still be on its way."""
_SUBJECTS: Final = {"clear": "clear sky", "cell": "gas cell"}


# --- calendar ----------------------------------------------------------------------------------------------------


def first_of(month: str, newest: date) -> date:
    """Return the first day of the first of the months that are shown, the last of them ``month`` (``2026-03``)."""
    year, number = newest.year, newest.month
    parts = month.split("-")
    if len(parts) == 2 and all(part.isascii() and part.isdigit() for part in parts):
        given, of_year = int(parts[0]), int(parts[1])
        if 1971 <= given <= 2199 and 1 <= of_year <= 12:
            year, number = given, of_year
    return shifted(date(year, number, 1), 1 - MONTHS)


def shifted(first: date, months: int) -> date:
    """Return the first day of the month so many months later."""
    index = first.year * 12 + first.month - 1 + months
    return date(index // 12, index % 12 + 1, 1)


def calendar_html(first: date, days: Mapping[date, DayContent], chosen: tuple[date, date] | None) -> str:
    """Return months from the one that begins with ``first``; days that have something can be clicked.

    ``chosen``: the first and the last day that are looked at.
    """
    return "".join(_month(shifted(first, number), days, chosen) for number in range(MONTHS))


def _month(first: date, days: Mapping[date, DayContent], chosen: tuple[date, date] | None) -> str:
    heads = "".join(f'<span class="so-cal-head">{name}</span>' for name in _WEEKDAYS)
    cells = ["<span></span>"] * first.weekday()
    day = first
    while day.month == first.month:
        here = chosen is not None and chosen[0] <= day <= chosen[1]
        cells.append(_day(day, days.get(day), here=here))
        day += timedelta(days=1)
    return (
        f'<div class="so-cal-month"><h3>{first:%B %Y}</h3><div class="so-cal-grid">{heads}{"".join(cells)}</div></div>'
    )


def _day(day: date, content: DayContent | None, *, here: bool) -> str:
    if content is None:
        return f'<span class="so-cal-day{" is-chosen" if here else ""}">{day.day}</span>'
    said = day_words(content)
    return (
        f'<button type="button" class="so-cal-day" data-day="{day}" data-level="{level_of(content)}" '
        f'data-testid="day-{day}" aria-pressed="{"true" if here else "false"}" '
        f'title="{escape(said, quote=True)}" aria-label="{escape(f"{day}: {said}", quote=True)}">{day.day}</button>'
    )


def level_of(content: DayContent) -> str:
    """Return how good a day is: ``none`` (no results), or 0 (few good pairs) to 4 (nearly all)."""
    share = content.share
    return "none" if share is None else str(sum(share >= limit for limit in _LEVELS))


def day_words(content: DayContent) -> str:
    """Say what a day has."""
    said = [f"{count(content.frames)} frames", f"{count(content.spectra)} spectra", size(content.bytes)]
    share = content.share
    if share is None:
        said.append("no results")
    else:
        said.append(f"{count(content.good)} of {count(content.pairs)} pairs good ({100 * share:.0f} %)")
    return ", ".join(said)


# --- table -------------------------------------------------------------------------------------------------------


def files_html(found: Sequence[FoundFile], chosen: Collection[int], *, several: bool, spectra: bool) -> str:
    """Return the table of files. ``several``: with their sites; ``spectra``: the page of spectra is there."""
    columns = [
        Column("", "tight"),
        Column("Time, UTC", "lead"),
        *([Column("Site")] if several else []),
        Column("Kind", "tight"),
        Column("Device", "tight"),
        Column("Size", "num"),
        Column("State", "tight", "as the last check of the archive found it"),
        Column("Quality", hint="of the pair that the frame belongs to; of the spectrum's column"),
        Column("", "bare"),
    ]
    rows = [_row(one, one.file.id in chosen, several=several, spectra=spectra) for one in found]
    return table_html(columns, rows, test="files")


def _row(found: FoundFile, chosen: bool, *, several: bool, spectra: bool) -> list[str]:
    file = found.file
    stamp = f"{file.time:%Y-%m-%d %H:%M:%S}.{file.time.microsecond // 1000:03d}"
    checked = " checked" if chosen else ""
    box = f'<input type="checkbox" data-file="{file.id}" aria-label="choose {escape(file.name)}"{checked}>'
    time = stamp
    if file.kind == "frame" and file.subject == "plume":
        time = f'<button type="button" class="so-link" data-open="{file.id}" title="Show in the film">{stamp}</button>'
    elif file.kind == "spectrum" and spectra:
        time = f'<a href="/spectra?site={quote(file.site)}&amp;t={quote(format_utc(file.time))}">{stamp}</a>'
    kind = f"{file.kind}, {_SUBJECTS.get(file.subject, file.subject)}"
    base = f"/pages/sites/{quote(file.site, safe='')}/archive/file/{file.id}"
    links = f'<a href="{base}/main" title="{escape(file.name)}" download>file</a>'
    if file.sidecar is not None:
        links += f' <a href="{base}/sidecar" title="{escape(file.sidecar)}" download>sidecar</a>'
    site = [escape(file.site)] if several else []
    told = [escape(kind), escape(file.device), size(file.total_bytes), _state(file.state), quality_html(found)]
    return [box, time, *site, *told, links]


def _state(state: str) -> str:
    if state == KEPT:
        return chip_html("whole", "ok")
    return chip_html(state, "bad", title="its content is not what came" if state == DAMAGED else "the file is gone")


def quality_html(found: FoundFile, now: datetime | None = None) -> str:
    """Return what a file is worth, in words; ``now`` tells what may still come."""
    if found.column is not None:
        valid = found.column.status == 0
        return chip_html("column valid" if valid else "no column", "ok" if valid else "warn")
    if found.pair is None:
        if found.file.kind != "frame" or found.file.subject != "plume":
            return MISSING
        fresh = (now or datetime.now(UTC)) - found.file.received < _MAY_COME
        words = "no rate yet" if fresh else "no result"
        return f'<small title="no pair with a result has this frame">{words}</small>'
    said = []
    rate = found.rate
    if rate is None:
        said.append(chip_html("no rate", "warn"))
    elif rate.rate is None or rate.status:
        said.append(chip_html("no rate", "warn", title=STATUS_TEXT[EmissionStatus(rate.status)]))
        said.append(f"<small>{escape(STATUS_TEXT[EmissionStatus(rate.status)])}</small>")
    else:
        value, sigma = with_uncertainty(rate.rate, ((rate.random or 0.0) ** 2 + (rate.systematic or 0.0) ** 2) ** 0.5)
        said.append(f"<b>{value}</b>{f' ± {sigma}' if sigma else ''} kg/s")
    flags = [text for flag, text in QUALITY_TEXT.items() if flag & found.flags]
    if flags:
        said.append(f'<small class="so-warn">{escape("; ".join(flags))}</small>')
    return " ".join(said)


def moment_us(found: FoundFile) -> int:
    """Return where a film begins that is opened at a file [microseconds since 1970]."""
    return to_microseconds(found.pair or found.file.time)
