"""The typed side of the schedule's editor: one row for each window, and the form of the power."""

from collections.abc import Callable
from typing import Any, Final

from nicegui import ui

from so2cam.core.errors import InputError
from so2cam.web.instrument.fields import Quantity
from so2cam.web.parts import panel
from so2cam.web.props import put_props
from so2cam.web.typed import read_number

POWER: Final = ("mode", "start_earlier_min", "stop_later_min", "minimum_off_min")
DOES: Final = {"capture": "capture", "darks": "darks", "housekeeping": "housekeeping", "power": "power"}
_NUMBERS: Final = {"sun_above_deg": "sun above", "sun_below_deg": "sun below", "repeat_min": "again every"}
_SHOW: Final = Quantity("number", "number")


class WindowRow:
    """One window: what to do, between which times, with which sun. It writes into ``window`` as people type."""

    def __init__(
        self,
        number: int,
        window: dict[str, Any],
        changed: Callable[[], Any],
        remove: Callable[[int], Any],
        *,
        enabled: bool,
    ) -> None:
        self._window, self._changed = window, changed
        self._inputs: dict[str, ui.input] = {}
        self._quiet = False
        box = ui.element("div").classes("so-window").props(f"data-testid=window-{number}")
        with put_props(box, {"data-do": str(window.get("do"))}):
            ui.label(f"{number}").classes("so-quiet")
            do = (
                ui.select(dict(DOES), value=window.get("do"), on_change=lambda event: self._set("do", event.value))
                .props(f'dense outlined aria-label="what to do" data-testid=window-{number}-do')
                .classes("so-input")
            )
            do.set_enabled(enabled)
            for key, label, suffix in (
                ("start", "from", "UTC"),
                ("end", "to", "UTC"),
                ("sun_above_deg", "sun above", "°"),
                ("sun_below_deg", "sun below", "°"),
                ("repeat_min", "again every", "min"),
            ):
                if key == "repeat_min" and window.get("do") != "darks":
                    continue
                field = (
                    ui.input(label, on_change=lambda event, key=key: self._typed(key, str(event.value or "")))
                    .props(
                        f'dense outlined stack-label debounce=400 suffix="{suffix}" data-testid=window-{number}-{key}'
                    )
                    .classes("so-input is-short")
                )
                field.set_enabled(enabled)
                self._inputs[key] = field
            button = ui.button("Remove", on_click=lambda: remove(number)).props(
                f"no-caps flat dense data-testid=window-{number}-remove"
            )
            button.set_enabled(enabled)
        self.show()

    def show(self) -> None:
        """Show what the window says now."""
        self._quiet = True
        for key, field in self._inputs.items():
            value = self._window.get(key)
            field.value = "" if value is None else value if isinstance(value, str) else _SHOW.shown(value)
        self._quiet = False

    async def _typed(self, key: str, text: str) -> None:
        text = text.strip()
        value: Any = text or None
        if value is not None and key in _NUMBERS:
            value = _number(text)
        elif value is not None and len(text) == 4 and text[1] == ":":
            value = f"0{text}"
        await self._set(key, value)

    async def _set(self, key: str, value: Any) -> None:
        if self._quiet or self._window.get(key) == value:
            return
        if value is None:
            self._window.pop(key, None)
        else:
            self._window[key] = value
        await self._changed()


class PowerForm:
    """When the power board gives power. It writes into ``power`` as people choose."""

    def __init__(self, power: dict[str, Any], changed: Callable[[], Any], *, enabled: bool) -> None:
        self._power, self._changed = power, changed
        self._quiet = True
        box, _ = panel("Power", test="power-form", hint="when the power board switches the instrument on and off")
        with box:
            self._mode = ui.radio(
                {"always": "on always, or as windows for power say", "follow": "on for the other windows only"},
                value=power["mode"],
                on_change=lambda event: self._set("mode", event.value),
            ).props("data-testid=power-mode")
            self._mode.set_enabled(enabled)
            self._inputs: dict[str, ui.input] = {}
            with ui.element("div").classes("so-row"):
                for key, label in (
                    ("start_earlier_min", "on before"),
                    ("stop_later_min", "off after"),
                    ("minimum_off_min", "never off for less than"),
                ):
                    field = (
                        ui.input(
                            label, on_change=lambda event, key=key: self._set(key, _number(str(event.value or "")))
                        )
                        .props(f'dense outlined stack-label debounce=400 suffix="min" data-testid=power-{key}')
                        .classes("so-input")
                    )
                    field.set_enabled(enabled)
                    self._inputs[key] = field
            ui.label(
                "The battery's limits and the board's own software are set in the site file alone. Where power would "
                "be off for a day the instrument wakes once and reports."
            ).classes("so-quiet so-small")
        self.show()

    def show(self) -> None:
        """Show what holds now."""
        self._quiet = True
        self._mode.value = self._power["mode"]
        for key, field in self._inputs.items():
            field.value = _SHOW.shown(self._power[key])
        self._quiet = False

    async def _set(self, key: str, value: Any) -> None:
        if self._quiet or value is None or self._power.get(key) == value:
            return
        self._power[key] = value
        await self._changed()


def _number(text: str) -> float | int | str | None:
    """Return a number, whole where it is; the text itself where it is none, so that the message names it."""
    if not text.strip():
        return None
    try:
        value = read_number(text)
    except InputError:
        return text
    return int(value) if value == int(value) else value
