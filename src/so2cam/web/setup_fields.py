"""Fields of forms that are bound to keys of the site file's draft: the right input, unit, default, meaning, error."""

import json
import tomllib
from collections.abc import Callable
from datetime import date, time
from typing import TYPE_CHECKING, Any, Final

from nicegui import ui

from so2cam.core.errors import InputError
from so2cam.core.site_keys import KeyInfo, key_info
from so2cam.formats.siteedit import MISSING, REMOVE, KeyPath, key_text
from so2cam.web.props import put_props
from so2cam.web.typed import read_number, read_whole

if TYPE_CHECKING:
    from so2cam.web.setup import Setup

NOT_GIVEN: Final = ""
"""What a choice without a default says for a key that the file does not have."""


def written(value: Any) -> str:
    """Return a value as a person reads and writes it in a field: a text as it is, the rest as TOML has it."""
    if value is MISSING or value is REMOVE or value is None:
        return ""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return f"{value:.12g}"
    return toml_value(value)


def toml_value(value: Any) -> str:
    """Return plain data as one TOML value."""
    if isinstance(value, dict):
        inner = ", ".join(f"{key_text((key,))} = {toml_value(one)}" for key, one in value.items() if one is not None)
        return f"{{ {inner} }}" if inner else "{}"
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(toml_value(one) for one in value)}]"
    if isinstance(value, (date, time)):  # a datetime is a date too
        return value.isoformat()
    if isinstance(value, float) and not isinstance(value, bool):
        return f"{value:.12g}" if "." in f"{value:.12g}" or "e" in f"{value:.12g}" else f"{value:.12g}.0"
    return json.dumps(value, ensure_ascii=False, default=str)


def understood(info: KeyInfo, text: str) -> Any:
    """Return what somebody typed for a key as plain data; REMOVE for nothing. Raises InputError."""
    text = text.strip()
    if not text:
        return REMOVE
    if info.kind in ("number", "integer"):
        return _number(info, text)
    if info.kind == "bool":
        return text == "true"
    if info.kind in ("text", "choice", "time"):
        return text
    shown = text if text.startswith(("[", "{")) or info.kind == "any" else f"[{text}]"
    try:
        return tomllib.loads(f"value = {shown}")["value"]
    except ValueError:
        if info.kind == "any":
            return text
        raise InputError("is no list", value=text, remedy="write it like [1.0, 2.0]") from None


def _number(info: KeyInfo, text: str) -> float | int:
    value = read_whole(text) if info.kind == "integer" else read_number(text)
    too_low = info.low is not None and (value <= info.low if info.open_low else value < info.low)
    too_high = info.high is not None and (value >= info.high if info.open_high else value > info.high)
    if too_low or too_high:
        raise InputError(f"must be {info.limits}" + (f" {info.unit}" if info.unit else ""), value=text)
    return value


class BoundField:
    """One field. It writes into the draft when it is left (or Enter is pressed), and follows what others write.

    A field in which somebody types is left alone; what stands in it is compared with what they had before them.
    """

    def __init__(
        self,
        setup: "Setup",
        path: KeyPath,
        *,
        label: str | None = None,
        test: str | None = None,
        wide: bool = False,
        after: Callable[[], object] | None = None,
    ) -> None:
        self.setup, self.path, self.info = setup, path, key_info(path)
        self._after = after
        self._seen = setup.state.written(path)
        self._shown = written(self._seen)
        self._typing = self._writing = False
        self._options: dict[str, str] | None = None
        self.test = test or f"key-{key_text(path)}"
        self.label = label or self.info.words
        with ui.element("div").classes("so-key" + (" is-wide" if wide else "")) as self.box:
            self.input = self._make()
            self._error = ui.label("").classes("so-key-error").props("role=alert")
            put_props(self._error, {"data-testid": f"{self.test}-error"})
            self._error.set_visibility(False)
        if not setup.may_edit:
            self.input.disable()
        self.update()

    def _make(self) -> Any:
        info = self.info
        hint = " · ".join(part for part in (key_text(self.path), info.description, info.limits) if part)
        put_props(self.box, {"data-about": hint})  # where nothing hovers, it is told while one types
        props = {"data-testid": self.test, "title": hint}
        if info.kind in ("choice", "bool"):
            choices = ["true", "false"] if info.kind == "bool" else list(info.choices)
            default = self._default()
            options = {choice: f"{choice} (default)" if choice == default else choice for choice in choices}
            if not info.required and default not in options:
                options = {NOT_GIVEN: "not given", **options}
            made: Any = ui.select(options, label=self.label, value=None, on_change=self._picked)
            self._options = options
        else:
            made = ui.input(self.label, value=self._shown, placeholder=self._default())
            if info.kind in ("number", "integer"):
                props["inputmode"] = "decimal"
            if info.unit:
                props["suffix"] = info.unit
            made.on("focus", self._focus).on("blur", self._left).on("keydown.enter", self._left)
        return put_props(made.props("dense outlined stack-label").classes("so-input"), props)

    def _default(self) -> str:
        return "" if self.info.default is None else written(self.info.default)

    def update(self) -> None:
        """Take over what the draft says, unless somebody types here."""
        value = self.setup.state.written(self.path)
        text = written(value)
        if self._writing:
            return
        self.box.classes(**{"add" if self.setup.state.key_changed(self.path) else "remove": "is-changed"})
        typed = str(self.input.value or "") != self._shown
        if (
            self._options is None and typed and (self._typing or not self._error.visible)
        ):  # what was typed and refused gives way
            return
        self.say("")
        self._seen, self._shown = value, text
        self._put(text)

    def _put(self, text: str) -> None:
        if self._options is None:
            if str(self.input.value or "") != text:
                self.input.value = text
            return
        chosen = text or self._default()
        if chosen in self._options:
            self.input.value = chosen
        else:  # a value that is none of the choices, or none where one must be
            self.input.set_options({**self._options, text: text or "not given"}, value=text)
        # Without the word for the default, for which there is little room: it looks like the default of a field.
        put_props(self.input, {"display-value": chosen or "not given"})
        self.box.classes(**{"remove" if text else "add": "is-default"})

    def say(self, error: str) -> None:
        """Show what is wrong with it; nothing for an empty text."""
        self._error.set_text(error)
        self._error.set_visibility(bool(error))

    def _focus(self) -> None:
        self._typing = True

    async def _left(self) -> None:
        self._typing = False
        await self._write(str(self.input.value or ""))

    async def _picked(self) -> None:
        chosen = str(self.input.value or "")
        if chosen == self._default():  # which holds whether the file says it or nothing: that stays as it is
            if self._shown in ("", chosen):
                chosen = self._shown
            elif self.setup.state.saved_value(self.path) is MISSING:
                chosen = ""
        await self._write(chosen)

    async def _write(self, text: str) -> None:
        if not self.setup.may_edit:
            return
        if text == self._shown:
            self.say("")
            return
        try:
            value = understood(self.info, text)
        except InputError as error:
            self.say(error.message)
            return
        self.say("")
        before, self._shown = self._shown, text
        self._writing = True
        try:
            done = await self.setup.change(
                {self.path: value}, f"set {key_text(self.path)}", seen={self.path: self._seen}
            )
        finally:
            self._writing = False
        if not done:
            self._shown = before
            self._put(before)
        self.update()
        if done and self._after is not None:
            found = self._after()
            if hasattr(found, "__await__"):
                await found
