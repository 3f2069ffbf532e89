"""Times as pages show and take them: ISO, UTC and 24 hours, whatever language a browser speaks."""

import re
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from inspect import isawaitable
from typing import Any, Final, Literal, TypeVar

from nicegui import ui

from so2cam.core.errors import InputError
from so2cam.web.props import put_props

_Read = TypeVar("_Read")
Precision = Literal["day", "minute", "second"]
END_FIRST: Final = "The end must come after the start."
_DATE: Final = r"(\d{4})-(\d{1,2})-(\d{1,2})"
_CLOCK: Final = r"(\d{1,2}):(\d{2})(?::(\d{2})(?:\.\d+)?)?"
_MOMENT: Final = re.compile(rf"{_DATE}(?:(?:\s*T\s*|\s+){_CLOCK})?\s*(?:Z|UTC)?", re.ASCII | re.IGNORECASE)
_WHOLE: Final = "\u2011"
"""A hyphen at which no line ends: a message shows a day whole."""
_OF_DAY: Final = re.compile(rf"{_CLOCK}\s*(?:Z|UTC)?", re.ASCII | re.IGNORECASE)
_DAY: Final = timedelta(days=1)
_SHOWN: Final[dict[Precision, str]] = {"day": "%Y-%m-%d", "minute": "%Y-%m-%d %H:%M", "second": "%Y-%m-%d %H:%M:%S"}
_EMPTY: Final[dict[Precision, str]] = {
    "day": "YYYY-MM-DD",
    "minute": "YYYY-MM-DD HH:MM",
    "second": "YYYY-MM-DD HH:MM:SS",
}
_EXAMPLE: Final[dict[Precision, str]] = {
    "day": "a day like 2026-11-28",
    "minute": "a time like 2026-11-28 13:05",
    "second": "a time like 2026-11-28 13:05:30",
}


def read_moment(text: str, precision: Precision = "second", *, last: bool = False) -> datetime | None:
    """Return the moment that somebody wrote (UTC); None for nothing.

    A blank or a ``T`` stands before the time of day, seconds may be left out, and ``24:00`` is the next midnight. A day
    alone is its beginning; as the ``last`` of a range, its end. What is finer than ``precision`` is left off.
    Raises InputError for what is no time.
    """
    if not text.strip():
        return None
    wrong = InputError(f"must be {_EXAMPLE[precision]}", value=text)
    found = _MOMENT.fullmatch(text.strip().replace(_WHOLE, "-"))
    if found is None:
        raise wrong
    year, month, day, *clock = found.groups()
    try:
        midnight = datetime(int(year), int(month), int(day), tzinfo=UTC)
        since = None if clock[0] is None else _of_day(*clock)
        if precision == "day":
            return midnight
        time = midnight + ((_DAY if last else timedelta()) if since is None else since)
    except (ValueError, OverflowError):
        raise wrong from None
    return time.replace(second=0) if precision == "minute" else time


def read_time_of_day(text: str) -> timedelta:
    """Return the time since midnight that somebody wrote, ``14:05`` or ``14:05:30``. Raises InputError."""
    wrong = InputError("must be a time like 14:05 or 14:05:30", value=text)
    found = _OF_DAY.fullmatch(text.strip())
    if found is None:
        raise wrong
    try:
        return _of_day(*found.groups())
    except ValueError:
        raise wrong from None


def _of_day(hour: str, minute: str, second: str | None) -> timedelta:
    since = timedelta(hours=int(hour), minutes=int(minute), seconds=int(second or 0))
    if int(minute) > 59 or int(second or 0) > 59 or since > _DAY:
        raise ValueError("there is no such time of day")
    return since


def moment_text(time: datetime | None, precision: Precision = "second") -> str:
    """Return a moment as fields show it; empty for None."""
    return "" if time is None else f"{time.astimezone(UTC):{_SHOWN[precision]}}"


def address_text(time: datetime | None, precision: Precision = "second") -> str:
    """Return a moment as addresses have it: as fields show it, but with a ``T`` for the blank."""
    return moment_text(time, precision).replace(" ", "T")


class MomentField:
    """A field of a form for a moment or a day, to be typed; a calendar opens from it.

    When it is left it shows what it understood, or says what is wrong. ``on_change`` is called when another moment
    stands in it, never for a wrong one.
    """

    def __init__(
        self,
        label: str,
        *,
        test: str,
        value: datetime | str | None = None,
        precision: Precision = "minute",
        last: bool = False,
        on_change: Callable[[], Any] | None = None,
    ) -> None:
        """``value``: a moment, or a text as an address has it. As the ``last`` of a range a day alone counts whole."""
        self._label, self._precision, self._last, self._on_change = label, precision, last, on_change
        self._known: datetime | None = None
        self._quiet = False
        text = value if isinstance(value, str) else moment_text(value, precision)
        self._box = ui.input(label, value=text, placeholder=_EMPTY[precision])
        self._box.classes(f"so-input is-moment is-{precision}")
        self._box.props("dense outlined stack-label hide-bottom-space no-error-icon autocomplete=off spellcheck=false")
        put_props(self._box, {"data-testid": test}).on("change", self._typed)
        with self._box.add_slot("append"), ui.button(icon="event", color=None).props("flat dense size=sm") as opener:
            said = {"aria-label": f"{label}: calendar", "title": "Calendar", "data-testid": f"{test}-calendar"}
            put_props(opener, said)
            with ui.menu().props('anchor="bottom right" self="top right"') as self._menu:
                self._calendar = ui.date(None, on_change=self._picked).props("minimal no-unset first-day-of-week=1")
        with suppress(InputError):  # an address may say anything; the field says what is wrong with it
            self.set(self.said(self.time))

    @property
    def text(self) -> str:
        """What stands in it."""
        return str(self._box.value or "").strip()

    @property
    def address(self) -> str:
        """What stands in it, as addresses have it: without a blank."""
        return "T".join(self.text.split())

    def time(self) -> datetime | None:
        """Return the moment; None where the field is empty. Raises InputError. May be called in any thread."""
        try:
            return read_moment(self.text, self._precision, last=self._last)
        except InputError as failed:
            raise InputError(failed.message, key=self._label, value=self.text) from None

    def need(self) -> datetime:
        """Return the moment. Raises InputError, also where the field is empty. May be called in any thread."""
        found = self.time()
        if found is None:
            raise InputError(f"must be {_EXAMPLE[self._precision]}", key=self._label)
        return found

    def said(self, read: Callable[[], _Read]) -> _Read:
        """Return what ``read`` does, one of this field's methods; the field says what it raises."""
        try:
            found = read()
        except InputError as failed:
            self.say(f"{failed.message[:1].upper()}{failed.message[1:]}.")
            raise
        self.say("")
        return found

    def say(self, what: str) -> None:
        """Say what is wrong with it; nothing for an empty text."""
        self._box.error = what.replace("-", _WHOLE) or None

    def set(self, time: datetime | None) -> None:
        """Show another moment, without telling."""
        self._known = time
        self.say("")
        text = moment_text(time, self._precision)
        if self._box.value != text:
            self._box.value = text
        self._quiet = True
        self._calendar.value = moment_text(time, "day") or None
        self._quiet = False

    def set_visibility(self, visible: bool) -> None:
        """Show the field, or hide it."""
        self._box.set_visibility(visible)

    async def _typed(self) -> None:
        with suppress(InputError):  # the field says it
            await self._take(self.said(self.time))

    async def _take(self, time: datetime | None) -> None:
        other = time != self._known
        self.set(time)
        if other and self._on_change is not None:
            found = self._on_change()
            if isawaitable(found):
                await found

    async def _picked(self) -> None:
        day = str(self._calendar.value or "")
        if self._quiet or not day:
            return
        self._menu.close()
        clock = "" if self._known is None else f" {self._known:%H:%M:%S}"
        await self._take(read_moment(f"{day}{clock}", self._precision, last=self._last))


def need_span(start: MomentField, end: MomentField) -> tuple[datetime, datetime]:
    """Return both ends of a range. Raises InputError, which the fields say too."""
    first, last = start.said(start.need), end.said(end.need)
    if last <= first:
        end.say(END_FIRST)
        raise InputError("the end must come after the start")
    return first, last
