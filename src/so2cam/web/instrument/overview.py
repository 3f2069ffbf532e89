"""The first tab: every device with its latest picture, and what the node does."""

from nicegui import ui

from so2cam.core.health import DeviceHealth
from so2cam.station.nodes import NodeLook
from so2cam.web.instrument.desk import Desk
from so2cam.web.instrument.pictures import LiveCurve, LivePicture
from so2cam.web.instrument.words import exposure, facts, percent, state_of
from so2cam.web.parts import Ago, Chip, empty, number, panel
from so2cam.web.props import put_props

_ROLES = {"camera": "camera", "spectrometer": "spectrometer", "power": "power board"}


def draw_overview(desk: Desk) -> None:
    """Draw a card for each device of the nodes; cards come when devices are known."""
    box = ui.element("div").classes("so-columns so-cards")
    cards: dict[str, _Card] = {}
    with box:
        nothing = empty("Its devices are shown as soon as the node answers.", title="No answer yet", test="no-devices")

    def update(_: NodeLook) -> None:
        nothing.set_visibility(not desk.devices())
        for node, look in desk.looks.items():
            for device in look.health.devices if look.health is not None else ():
                if device.name not in cards:
                    with box:
                        cards[device.name] = _Card(desk, node, device)
                cards[device.name].update(device, look)

    desk.watch(update)


class _Card:
    """One device."""

    def __init__(self, desk: Desk, node: str, device: DeviceHealth) -> None:
        band = f", {device.band} band" if device.band else ""
        box, head = panel(device.name, test=f"device-{device.name}", hint=f"{_ROLES[device.role]}{band}")
        box.props("data-ages")
        with head:
            self._chip = Chip(test=f"device-{device.name}-state")
            self._ago = Ago(stale_s=30.0)
        self._picture: LivePicture | LiveCurve | None = None
        with box:
            at = f", at {node}" if len(desk.nodes) > 1 else ""
            ui.label(f"{_ROLES[device.role]}{band}{at}").classes("so-quiet so-small")
            if device.role == "camera":
                self._picture = LivePicture(node, device.name)
            elif device.role == "spectrometer":
                self._picture = LiveCurve(desk, node, device.name)
            self._facts = put_props(ui.html("", sanitize=False), {"data-testid": f"device-{device.name}-facts"})
            self._trouble = ui.label("").classes("so-error").props("role=alert")
            put_props(self._trouble, {"data-testid": f"device-{device.name}-trouble"})

    def update(self, device: DeviceHealth, look: NodeLook) -> None:
        words, state = state_of(device)
        if look.error is not None:
            words, state = "not known now", "warn"
        self._chip.set(words, state)
        self._ago.set(device.last_item_time)
        self._facts.set_content(_facts(device))
        failed = device.state.value == "waiting" or device.level.value == "alarm"
        again = "" if not device.next_start_in_s else f" It is tried again in {device.next_start_in_s:.0f} s."
        self._trouble.set_text(f"{device.last_error or 'It fails.'}{again}")
        self._trouble.set_visibility(failed)
        if self._picture is not None:
            self._picture.update(device)


def _facts(device: DeviceHealth) -> str:
    rows: list[tuple[str, str, str]] = []
    if device.role == "power":
        names = {
            "input_voltage_v": ("battery", "V"),
            "output_voltage_v": ("output", "V"),
            "output_current_a": ("current", "A"),
        }
        rows += [
            (names[key][0], f"{value:.2f} {names[key][1]}", "")
            for key, value in device.readings.items()
            if key in names
        ]
        if device.temperature_c is not None:
            rows.append(("temperature", f"{device.temperature_c:.1f} °C", "of the board"))
    else:
        how = "automatic" if device.automatic else "fixed"
        rows.append(("exposure", f"{exposure(device.exposure_s)}, {how}", "as the device reported it of the last item"))
        if device.gain is not None:
            rows.append(("gain", number(device.gain, 3), ""))
        if device.coadds is not None:
            rows.append(("coadds", str(device.coadds), "readouts that are averaged"))
        rows.append(("light", percent(device.signal_fraction), "level of the brightest pixels, of the full scale"))
        rows.append(("saturated", percent(device.saturated_fraction, 2), "share of pixels at full scale"))
        wanted = "" if not device.period_s else f" of {1 / device.period_s:.2f}"
        rate = "–" if device.rate_hz is None else f"{device.rate_hz:.2f}{wanted} Hz"
        rows.append(("rate", rate, "items kept in the last minute, and as wanted"))
        rows.append(("kept", f"{device.stored}", "since the agent started"))
        missed = device.skipped_grid_points + device.lost + device.rejected
        rows.append(("missed", f"{missed}", "grid times without an item, lost or rejected items"))
    if device.restarts:
        rows.append(("restarts", str(device.restarts), device.last_error or ""))
    return facts(rows)
