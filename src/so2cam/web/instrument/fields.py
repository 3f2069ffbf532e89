"""Fields of forms that follow what is set elsewhere until somebody types into them."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from nicegui import ui

from so2cam.core.errors import InputError
from so2cam.web.parts import number
from so2cam.web.props import put_props
from so2cam.web.typed import read_number, read_whole

Value = bool | int | float | str | None
DIGITS: Final = 6


@dataclass(frozen=True, slots=True)
class Quantity:
    """A number that can be set: its key in messages, its words, its unit and what one of it is there."""

    key: str
    label: str
    unit: str = ""
    factor: float = 1.0
    """shown = kept * factor"""
    whole: bool = False
    hint: str = ""
    empty: int | None = None
    """What an empty field means; None: a number must be typed."""

    def shown(self, value: Value) -> str:
        """Return a kept value as it is shown, without its unit."""
        if self.empty is not None and value == self.empty:
            return ""
        if value is None or isinstance(value, str | bool):
            return "" if value is None else str(value)
        return number(value * self.factor, DIGITS).rstrip("0").rstrip(".") if not self.whole else str(int(value))

    def kept(self, text: str) -> float | int:
        """Return what somebody typed, as messages have it. Raises InputError."""
        if self.empty is not None and not text:
            return self.empty
        try:
            return read_whole(text) if self.whole else read_number(text) / self.factor
        except InputError as wrong:
            remedy = f"type it in {self.unit}" if self.unit else "correct it"
            raise InputError(f"{self.label} {wrong.message}", value=text, remedy=remedy) from None


class NumberField:
    """An input for a quantity. It follows ``update`` until somebody types; ``changed`` says that somebody did."""

    def __init__(
        self, quantity: Quantity, *, test: str, enabled: bool = True, on_change: Callable[[], object] | None = None
    ) -> None:
        self.quantity = quantity
        self._from_outside = ""
        self._input = ui.input(on_change=lambda: None if on_change is None else on_change()).classes("so-input")
        self._input.props("dense outlined inputmode=decimal")
        put_props(self._input, {"data-testid": test, "aria-label": quantity.label})
        if quantity.unit:
            put_props(self._input, {"suffix": quantity.unit})
        self.enable(enabled)

    @property
    def text(self) -> str:
        """What stands in it."""
        return str(self._input.value or "").strip()

    @property
    def changed(self) -> bool:
        """Whether it says something else than what is set."""
        return self.text != self._from_outside

    def enable(self, enabled: bool) -> None:
        """Let people type, or not."""
        self._input.set_enabled(enabled)

    def update(self, value: Value) -> None:
        """Take over what is set, where nobody has typed something else."""
        text = self.quantity.shown(value)
        if not self.changed or text == self.text:
            self._input.value = text
        self._from_outside = text

    def take_back(self) -> None:
        """Say what is set again."""
        self._input.value = self._from_outside

    def value(self) -> float | int:
        """Return what was typed, as messages have it. Raises InputError."""
        return self.quantity.kept(self.text)
