"""Settings of each device: what is set, its limits, what somebody asks for, and what the device then had."""

from html import escape
from typing import Any, Final

from nicegui import ui

from so2cam.core.errors import InputError, So2camError
from so2cam.core.site_devices import BOTTOM_ROW, LONGEST_EXPOSURE_S, MAXIMUM_COADDS, SHORTEST_EXPOSURE_S
from so2cam.core.site_instrument import LONGEST_PERIOD_S, SHORTEST_PERIOD_S
from so2cam.link.messages import DeviceChange, DeviceValues, Set
from so2cam.link.protocol import Role, Settings
from so2cam.station.nodes import Applied, NodeLook
from so2cam.station.together import words_of
from so2cam.web.instrument.desk import Desk
from so2cam.web.instrument.fields import NumberField, Quantity, Value
from so2cam.web.instrument.words import exposure, percent
from so2cam.web.parts import Chip, Report, empty, number, panel
from so2cam.web.props import put_props

_MS: Final = 1e3
QUANTITIES: Final = (
    Quantity("exposure_s", "Exposure", "ms", _MS, hint="of one item; fixed while automatic is off"),
    Quantity("gain", "Gain", "", hint="analogue amplification; 1 is least noise"),
    Quantity("coadds", "Coadds", "", whole=True, hint="readouts that are averaged into one spectrum"),
    Quantity("period_s", "Period", "s", hint="time from one item to the next, on a grid common to all devices"),
    Quantity("shortest_exposure_s", "Shortest exposure", "ms", _MS, hint="limit of the automatic exposure"),
    Quantity("longest_exposure_s", "Longest exposure", "ms", _MS, hint="limit of the automatic exposure"),
    Quantity("low_fraction", "Too dark below", "%", 100.0, hint="light below which the exposure is lengthened"),
    Quantity("target_fraction", "Aim", "%", 100.0, hint="light that an adjustment aims at"),
    Quantity("high_fraction", "Too bright above", "%", 100.0, hint="light above which the exposure is shortened"),
    Quantity("brightest_pixels", "Brightest pixels", "", whole=True, hint="whose mean is the light"),
    Quantity("first_row", "First row", "", whole=True, hint="rows that count for exposure and saturation: not snow"),
    Quantity("last_row", "Last row", "", whole=True, hint="rows that count, down to this one", empty=BOTTOM_ROW),
    Quantity("window_from_nm", "Window from", "nm", hint="wavelengths that count for exposure and saturation"),
    Quantity("window_to_nm", "Window to", "nm", hint="wavelengths that count, up to this one"),
)
_TOPIC_S: Final = 2.0


def limits(key: str, settings: dict[str, Value]) -> str:
    """Return the limits of a setting in words."""
    short, long = settings.get("shortest_exposure_s"), settings.get("longest_exposure_s")
    if key == "exposure_s" and isinstance(short, int | float) and isinstance(long, int | float):
        return f"{_plain(short * _MS)} to {_plain(long * _MS)} ms"
    return {
        "shortest_exposure_s": f"from {SHORTEST_EXPOSURE_S * _MS:g} ms",
        "longest_exposure_s": f"up to {LONGEST_EXPOSURE_S:g} s",
        "gain": "1 to 64",
        "coadds": f"1 to {MAXIMUM_COADDS}",
        "period_s": f"{SHORTEST_PERIOD_S:g} to {LONGEST_PERIOD_S:g} s",
        "low_fraction": "below the aim",
        "target_fraction": "between both",
        "high_fraction": "1.25 × too dark, or more",
        "brightest_pixels": "1 to 1 000 000",
        "first_row": "from 0, the top",
        "last_row": "within the image; empty: its bottom",
        "window_from_nm": "below the end",
        "window_to_nm": "above the start, within the device's range",
    }.get(key, "")


def _plain(value: float) -> str:
    return QUANTITIES[1].shown(value)


async def draw_settings(desk: Desk) -> None:
    """Draw a form for each device that captures."""
    box = ui.element("div").classes("so-columns so-cards")
    forms: dict[str, _Form] = {}
    with box:
        nothing = empty("Settings are shown as soon as the node answers.", title="No answer yet", test="no-settings")

    async def read() -> None:
        try:
            found = await desk.view.shared(f"settings/{desk.node}", 0.5, lambda: desk.ask(Settings()).devices)
        except So2camError:
            return
        if box.is_deleted:
            return
        nothing.set_visibility(not found)
        for name, settings in found.items():
            if name not in forms:
                with box:
                    forms[name] = _Form(desk, name, dict(settings))
            forms[name].update(dict(settings))

    def update(look: NodeLook) -> None:
        for device in desk.devices():
            if device.name in forms:
                forms[device.name].measured(device.exposure_s, device.gain, device.signal_fraction, device.overrides)

    desk.watch(update)
    desk.view.every(_TOPIC_S, read, immediate=False)
    desk.view.on_change(desk.topic, read, every_s=0.3)
    await read()
    update(desk.look)


class _Form:
    """The settings of one device."""

    def __init__(self, desk: Desk, device: str, settings: dict[str, Value]) -> None:
        self._desk, self._device, self._settings = desk, device, settings
        self._may = desk.view.visitor.may(Role.OPERATOR)
        self._fields: dict[str, NumberField] = {}
        self._now: dict[str, ui.label] = {}
        self._limits: dict[str, ui.label] = {}
        box, head = panel(device, test=f"set-{device}")
        with head:
            self._chip = Chip(test=f"set-{device}-own")
        with box:
            with ui.element("div").classes("so-row is-switch"):
                self._automatic = ui.switch("Automatic exposure", on_change=self._modes)
                put_props(self._automatic, {"data-testid": f"set-{device}-automatic"})
                self._automatic.set_enabled(self._may)
                self._measured = ui.label("").classes("so-quiet so-small")
                put_props(self._measured, {"data-testid": f"set-{device}-last"})
            with ui.element("div").classes("so-form"):
                for quantity in QUANTITIES:
                    if quantity.key in settings:
                        self._row(quantity)
            row = ui.element("div").classes("so-row")
            self._applied = ui.html("", sanitize=False).classes("so-small")
            put_props(self._applied, {"data-testid": f"set-{device}-applied"})
            report = Report(test=f"set-{device}-report")
            with row:
                self._apply = desk.button(
                    "Apply", self._work, test=f"set-{device}-apply", report=report, after=self._took
                )
                desk.button(
                    "Back to the site file",
                    self._reset,
                    test=f"set-{device}-reset",
                    report=report,
                    quiet=True,
                    confirm=f"Take all settings of {device} back to those of the site file?",
                    after=self._took,
                )
        self._was_automatic: bool | None = None
        self._asked: DeviceValues | None = None

    def _row(self, quantity: Quantity) -> None:
        with put_props(ui.element("label").classes("so-field"), {"title": quantity.hint}):
            ui.label(quantity.label)
            field = NumberField(
                quantity, test=f"set-{self._device}-{quantity.key}", enabled=self._may, on_change=self._modes
            )
            self._limits[quantity.key] = ui.label("").classes("so-quiet so-small")
        self._fields[quantity.key] = field

    def update(self, settings: dict[str, Value]) -> None:
        """Take over what is set."""
        self._settings = settings
        automatic = bool(settings.get("automatic"))
        if self._was_automatic is None or self._automatic.value == self._was_automatic:
            self._automatic.value = automatic
        self._was_automatic = automatic
        for key, field in self._fields.items():
            field.update(settings.get(key))
            self._limits[key].set_text(limits(key, settings))
        self._show_applied(self._desk.view.pages.nodes.applied(self._desk.node, self._device))
        self._modes()

    def measured(
        self, exposure_s: float | None, gain: float | None, light: float | None, overrides: dict[str, Any]
    ) -> None:
        """Say what the last item had, and whether settings differ from the site file."""
        parts = [f"last item: {exposure(exposure_s)}"]
        parts += [] if gain is None else [f"gain {number(gain, 3)}"]
        parts += [] if light is None else [f"light {percent(light)}"]
        self._measured.set_text(", ".join(parts))
        names = {quantity.key: quantity.label.lower() for quantity in QUANTITIES} | {"automatic": "automatic"}
        differs = ", ".join(names.get(key, key) for key in overrides)
        if differs:
            self._chip.set("changed", "warn", title=f"otherwise than in the site file: {differs}")
        else:
            self._chip.set("as in the site file", "")

    def _modes(self) -> None:
        """A fixed exposure can only be typed while automatic is off; nothing to apply: no button."""
        field = self._fields.get("exposure_s")
        if field is not None:
            field.enable(self._may and not self._automatic.value)
        if self._may and hasattr(self, "_apply"):
            self._apply.set_enabled(self._differs)

    @property
    def _differs(self) -> bool:
        return self._automatic.value != self._was_automatic or any(field.changed for field in self._fields.values())

    def _work(self) -> str:
        wanted: dict[str, Any] = {}
        if self._automatic.value != self._was_automatic:
            wanted["automatic"] = bool(self._automatic.value)
        for key, field in self._fields.items():
            if field.changed and not (key == "exposure_s" and self._automatic.value):
                wanted[key] = field.value()
        if not wanted:
            raise InputError("nothing was changed", remedy="type another value first")
        try:
            values = DeviceValues(**wanted)
        except ValueError as error:
            raise InputError(str(error).partition("\n")[2].strip().partition(" [")[0] or "a value cannot be") from None
        result = self._desk.command(Set(changes=(DeviceChange(devices=(self._device,), values=values),)))
        return words_of(result)

    def _reset(self) -> str:
        change = DeviceChange(devices=(self._device,), reset=True)
        return words_of(self._desk.command(Set(changes=(change,))))

    def _took(self) -> None:
        applied = self._desk.view.pages.nodes.applied(self._desk.node, self._device)
        self._show_applied(applied)

    def _show_applied(self, applied: Applied | None) -> None:
        if applied is None:
            return
        words = {quantity.key: quantity for quantity in QUANTITIES}
        pieces = []
        for key in dict.fromkeys([*applied.asked, *applied.applied]):
            asked, got = applied.asked.get(key), applied.applied.get(key)
            if key not in applied.asked and key != "exposure_s":
                continue
            name = words[key].label.lower() if key in words else key
            said = "" if asked is None else f"asked {_said(words.get(key), asked)}, "
            pieces.append(f"{name}: {said}applied {_said(words.get(key), asked if got is None else got)}")
        self._applied.set_content(
            f'<span class="so-quiet">{applied.time:%H:%M:%S} UTC, {escape(applied.who)}:</span> '
            f"{escape('; '.join(pieces))}"
        )


def _said(quantity: Quantity | None, value: Value) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    if quantity is None:
        return str(value)
    return f"{quantity.shown(value)} {quantity.unit}".strip() or "to the bottom"
