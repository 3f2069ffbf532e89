"""Ground of known distance on the page of light dilution: its row in the list, and distances as people type them."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from nicegui import ui

from so2cam.core.errors import InputError
from so2cam.web.typed import read_number


@dataclass(slots=True)
class GroundRow:
    """The row of a region: its field has ``shown``, unless somebody types in it."""

    box: ui.element
    field: ui.input
    shown: str = ""

    @property
    def text(self) -> str:
        """What stands in it."""
        return str(self.field.value or "")

    def follow(self, text: str) -> None:
        """Show what the draft says, where nothing else was typed."""
        if self.text == self.shown:
            self.field.value = self.shown = text


def distance_text(given: float | tuple[float, ...] | None) -> str:
    """Return distances [m] as they are typed: one, or one for each point with spaces between."""
    if given is None:
        return ""
    return " ".join(f"{one:g}" for one in (given if isinstance(given, tuple) else (given,)))


def taken_out(before: Sequence[Sequence[float]], after: Sequence[Sequence[float]]) -> int:
    """Return which of the points ``before`` is missing ``after``, which has one less."""

    def away(index: int) -> float:
        rest = [*before[:index], *before[index + 1 :]]
        return sum(math.dist(one, other) for one, other in zip(rest, after, strict=True))

    return min(range(len(before)), key=away)


def distances_in(text: str, count: int | None) -> float | list[float] | None:
    """Return what was typed for a region of ``count`` points: one distance [m], one each, or None for the model's.

    Raises InputError for anything else.
    """
    try:
        values = [read_number(part) for part in text.replace(",", " ").split()]
    except InputError:
        raise InputError("distances are numbers of metres: one, or one for each point", value=text) from None
    if any(not value > 0 for value in values):
        raise InputError("distances are above zero", value=text)
    if not values:
        return None
    if len(values) == 1:
        return values[0]
    if count is not None and len(values) != count:
        raise InputError(f"{count} points need one distance, or {count}", value=text)
    return values
