"""The choice of a day and a range of times on set-up pages; it stands in the address."""

from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Final

from nicegui import ui

from so2cam.core.errors import InputError
from so2cam.station.arrivals import FRAME, SPECTRUM
from so2cam.station.references import day_bounds
from so2cam.web import parts
from so2cam.web.moments import read_time_of_day
from so2cam.web.view import View

_FRESH_S: Final = 5.0
_TIMES: Final = "Times are like 14:05 or 14:05:30, the first before the last."


class RangeBar:
    """A day of the archive, and from when to when (UTC). ``on_change`` is called when another range is chosen.

    Which days there are is known after ``look``.
    """

    def __init__(self, view: View, on_change: Callable[[], Awaitable[None]]) -> None:
        self._view, self._on_change = view, on_change
        self.day = ""
        with ui.element("div").classes("so-row so-range"):
            self._days = parts.pick("Day", {}, None, test="range-day")
            self._from = parts.field(
                "From, UTC", test="range-from", value=view.query.get("from", ""), example="00:00:00"
            )
            self._to = parts.field("To, UTC", test="range-to", value=view.query.get("to", ""), example="24:00:00")
            self._wrong = parts.error("", test="range-error")
        self._wrong.set_visibility(False)
        self._days.on_value_change(self._changed)
        for one in (self._from, self._to):
            one.on("blur", self._changed).on("keydown.enter", self._changed)
        self._shown = self._texts()

    async def look(self) -> None:
        """Look which days have files, and choose the one of the address, else the newest, where none is chosen."""
        catalogue, name = self._view.context.catalogue, self._view.site.name
        days = await self._view.shared("setup-days", _FRESH_S, lambda: catalogue.days_of(name, (FRAME, SPECTRUM)))
        if self.day not in days:
            asked = self._view.query.get("day", "")
            self.day = asked if asked in days else (days[-1] if days else "")
            self._shown = self._texts()
        if list(self._days.options) != days[::-1]:
            self._days.set_options({day: day for day in reversed(days)}, value=self.day or None)

    @property
    def why(self) -> str:
        """Why there are no ``bounds``."""
        return _TIMES if self.day else "There are no frames or spectra in the archive yet."

    @property
    def bounds(self) -> tuple[datetime, datetime] | None:
        """First moment, and the one after the last; None where no day has files, or the times are none."""
        if not self.day:
            return None
        first, last = day_bounds(self.day)
        try:
            start = first if not self._from.value else self._at(str(self._from.value))
            end = last if not self._to.value else self._at(str(self._to.value))
        except InputError:
            return None
        return (start, end) if start < end else None

    def _at(self, text: str) -> datetime:
        return day_bounds(self.day)[0] + read_time_of_day(text)

    def _texts(self) -> tuple[str, str, str]:
        return self.day, str(self._from.value or ""), str(self._to.value or "")

    async def _changed(self) -> None:
        self.day = str(self._days.value or "")
        texts = self._texts()
        if texts == self._shown:
            return
        self._shown = texts
        wrong = self.bounds is None
        self._wrong.set_text(self.why if wrong else "")
        self._wrong.set_visibility(wrong)
        if not wrong:
            self._view.keep(**{"day": texts[0], "from": texts[1] or None, "to": texts[2] or None})
            await self._on_change()

    def parse(self, text: str) -> datetime:
        """Return a time of the chosen day. Raises InputError for what is none."""
        return self._at(text)
