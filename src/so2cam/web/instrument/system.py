"""Power, clock and computer of the node; starting devices anew, and switching off."""

from datetime import UTC, datetime
from functools import partial

from nicegui import ui

from so2cam import __version__
from so2cam.core.errors import So2camError
from so2cam.core.health import HealthRecord
from so2cam.link.messages import Restart, RestartDevice, Shutdown
from so2cam.link.protocol import Role, ScheduleSettings
from so2cam.station.nodes import NodeLook
from so2cam.station.schedule_view import next_power
from so2cam.station.versions import Fit
from so2cam.web.health_versions import fit_with
from so2cam.web.instrument.desk import Desk
from so2cam.web.instrument.words import duration, facts, size, state_of
from so2cam.web.parts import Chip, Report, number, panel

_CLOCKS = {
    "gps": "set by GPS",
    "ntp": "set by a time server",
    "synchronised": "set by the lead computer",
    "free": "runs free: nothing sets it",
    "unset": "was never set: times are wrong",
}


async def draw_system(desk: Desk) -> None:
    """Draw the panels."""
    with ui.element("div").classes("so-columns so-cards"):
        power, computer = _facts_panel("Power", "power"), _facts_panel("Computer and clock", "computer")
        _draw_devices(desk)
        _draw_off(desk)
    switch: dict[str, datetime | None] = {}

    async def read() -> None:
        try:
            switch.update(await desk.view.shared(f"power/{desk.node}", 30.0, lambda: _switch(desk)))
        except So2camError:
            switch.clear()

    def update(look: NodeLook) -> None:
        if look.health is not None:
            power.set_content(_power(look.health, switch))
            computer.set_content(_computer(look.health, fit_with(look)[1]))

    await read()
    desk.view.every(30.0, read, immediate=False)
    desk.view.on_change(desk.topic, read)
    desk.watch(update)


def _switch(desk: Desk) -> dict[str, datetime | None]:
    said = desk.ask(ScheduleSettings())
    off, on = next_power(said.schedule, said.latitude, said.longitude, datetime.now(UTC))
    return {"off": off, "on": on}


def _facts_panel(title: str, test: str) -> ui.html:
    box, _ = panel(title, test=test)
    with box:
        return ui.html("", sanitize=False)


def _power(health: HealthRecord, switch: dict[str, datetime | None]) -> str:
    board = next((device for device in health.devices if device.role == "power"), None)
    rows: list[tuple[str, str, str]] = []
    if board is not None:
        names = {
            "input_voltage_v": ("battery", "V", "voltage at the board's input"),
            "output_voltage_v": ("output", "V", ""),
            "output_current_a": ("current", "A", ""),
        }
        rows += [
            (names[key][0], f"{value:.2f} {names[key][1]}", names[key][2])
            for key, value in board.readings.items()
            if key in names
        ]
        current, volts = board.readings.get("output_current_a"), board.readings.get("output_voltage_v")
        if current is not None and volts is not None:
            rows.append(("power", f"{current * volts:.1f} W", "output voltage times current"))
    if not switch:
        rows.append(("next off, on", "not known now", ""))
    else:
        off, on = switch.get("off"), switch.get("on")
        rows.append(("next off", "never" if off is None else f"{off:%m-%d %H:%M} UTC", "by the schedule"))
        if off is not None:
            rows.append(("next on", "–" if on is None else f"{on:%m-%d %H:%M} UTC", "by the schedule"))
    note = "" if board is not None else '<p class="so-quiet so-small">This node has no power board.</p>'
    return facts(rows) + note


def _computer(health: HealthRecord, fit: Fit) -> str:
    system, clock = health.system, health.clock
    rows = [
        ("clock", _CLOCKS.get(clock.quality, clock.quality), "how far its times can be trusted"),
        ("clock offset", "–" if clock.offset_s is None else f"{1e3 * clock.offset_s:.1f} ms", "against what sets it"),
        ("clock steps", str(clock.steps), "jumps of the clock since the agent started"),
        ("processor", "–" if system.cpu_temperature_c is None else f"{system.cpu_temperature_c:.0f} °C", ""),
        ("throttled", ", ".join(system.throttled) or "no", "slowed down by heat or a weak supply"),
        ("load", number(system.load, 3), "processes that want to run; the number of cores is full load"),
        ("memory free", size(system.memory_free_bytes), ""),
        ("agent uses", size(system.agent_memory_bytes), "memory of so2cam on the node"),
        ("up for", duration(system.uptime_s), "since the computer started"),
        ("starts", f"{system.starts or '–'} of the agent, {system.boots or '–'} of the computer", ""),
        ("software", f"so2cam {health.version}", "of this node"),
        ("at the station", f"so2cam {__version__}", "of the station that you look through"),
        ("together", fit.words, "they fit where both speak the same protocol; see Updating in the help"),
    ]
    return facts(rows)


def _draw_devices(desk: Desk) -> None:
    box, _ = panel("Devices", test="restart", hint="a device's process is ended and started anew; settings stay")
    rows: dict[str, Chip] = {}
    with box:
        content = ui.element("div").classes("so-list")
        report = Report(test="restart-report")

    def update(look: NodeLook) -> None:
        for device in desk.devices():
            if device.name not in rows:
                with content, ui.element("div").classes("so-row"):
                    ui.label(device.name).classes("so-grow")
                    rows[device.name] = Chip(test=f"restart-{device.name}-state")
                    desk.button(
                        "Restart",
                        partial(desk.say, RestartDevice(device=device.name)),
                        test=f"restart-{device.name}",
                        report=report,
                        quiet=True,
                        confirm=f"Restart {device.name}? It takes nothing for some seconds.",
                    )
            rows[device.name].set(*state_of(device))

    desk.watch(update)


def _draw_off(desk: Desk) -> None:
    box, _ = panel("Restart, stop", test="off")
    with box:
        ui.label(
            "A restart takes half a minute, a reboot some minutes; what was captured is kept, and the agent reads its "
            "site file anew. An agent that is stopped captures nothing until somebody starts it on its computer. A "
            "computer that is switched off comes back at its next time with power, or by hand."
        ).classes("so-quiet so-small")
        again = ui.element("div").classes("so-row")
        row = ui.element("div").classes("so-row")
        report = Report(test="off-report")
        with again:
            desk.button(
                "Restart the agent",
                lambda: desk.say(Restart()),
                test="restart-agent",
                report=report,
                quiet=True,
                confirm=f"Restart the agent of {desk.node}? It captures nothing for about half a minute.",
            )
            desk.button(
                "Reboot the computer",
                lambda: desk.say(Restart(computer=True)),
                test="restart-computer",
                report=report,
                role=Role.ADMIN,
                quiet=True,
                confirm=f"Reboot {desk.node}? It captures nothing for some minutes.",
            )
        with row:
            desk.button(
                "Stop the agent",
                lambda: desk.say(Shutdown()),
                test="off-agent",
                report=report,
                role=Role.ADMIN,
                quiet=True,
                confirm=f"Stop the agent of {desk.node}? It cannot be started again from here.",
            )
            desk.button(
                "Switch the computer off",
                lambda: desk.say(Shutdown(power_off=True)),
                test="off-computer",
                report=report,
                role=Role.ADMIN,
                danger=True,
                confirm=f"Switch {desk.node} off? Without a power board somebody must go there to switch it on.",
            )
