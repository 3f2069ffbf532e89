"""``so2cam instrument status``: how an instrument is, for people and as JSON."""

import json
import time
from collections.abc import Iterator
from pathlib import Path

import click
from rich.console import Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from so2cam.cli.console import console
from so2cam.cli.instrument_agents import Agents, require_done, site_argument
from so2cam.core.health import DeviceHealth, DeviceState, HealthRecord, Level
from so2cam.link.messages import Status, StatusResult

_STYLES = {Level.OK: "green", Level.WARNING: "yellow", Level.ALARM: "bold red"}
_SIGNS = {Level.OK: "●", Level.WARNING: "▲", Level.ALARM: "✗"}
_CLOCKS = {
    "gps": "set by GPS",
    "ntp": "set by a time server",
    "synchronised": "synchronised",
    "free": "runs free: nothing sets it",
    "unset": "was never set",
}


@click.command(
    epilog="""\b
Examples:
  so2cam instrument status site.toml
  so2cam instrument status site.toml --watch
  so2cam instrument status site.toml --node lead --json

\b
Exit codes: 0 all well, or warnings only; 1 an alarm; 2 the agent does not run."""
)
@site_argument
@click.option("--json", "as_json", is_flag=True, help="The health records, one JSON object for each node and line.")
@click.option("--watch", is_flag=True, help="Go on until Ctrl-C.")
def status(site: Path, node: str | None, socket: Path | None, as_json: bool, watch: bool) -> int:
    """Show how an instrument is: devices, data, disks, clock, alarms."""
    agents = Agents(site, node, socket)
    records = _ask(agents)
    if as_json:
        for record in records:
            click.echo(json.dumps(record.model_dump(mode="json"), separators=(",", ":")))
    elif watch:
        _watch(agents, records)
    else:
        console.print(status_page(records))
    return 1 if any(record.level is Level.ALARM for record in records) else 0


def _ask(agents: Agents) -> list[HealthRecord]:
    answers = agents.ask(lambda _: Status())
    require_done(answers)
    return [result.health for _, result in answers if isinstance(result, StatusResult)]


def _watch(agents: Agents, records: list[HealthRecord]) -> None:
    with Live(status_page(records), console=console, auto_refresh=False) as live:
        try:
            while True:
                time.sleep(1.0)
                records = _ask(agents)
                live.update(status_page(records), refresh=True)
        except KeyboardInterrupt:
            return


def status_page(records: list[HealthRecord]) -> RenderableType:
    """Return what a person is shown of health records."""
    parts: list[RenderableType] = []
    for index, record in enumerate(records):
        if index:
            parts.append(Text(""))
        parts += _node_page(record)
    return Group(*parts)


def _node_page(record: HealthRecord) -> Iterator[RenderableType]:
    style = _STYLES[record.level]
    head = Text.assemble((f"{_SIGNS[record.level]} {record.node}", f"bold {style}"), (f"  {record.summary}", style))
    head.append(f"\n  {record.site}, {record.time:%Y-%m-%d %H:%M:%S} UTC, {record.activity}", "dim")
    if record.next_change is not None:
        head.append(f", until {record.next_change:%Y-%m-%d %H:%M}", "dim")
    yield head
    yield _devices_table(record.devices)
    for device in record.devices:
        if device.last_error is not None:
            yield _error_line(device)
    for alarm in record.alarms:
        yield Text(f"  alarm: {alarm.name}: {alarm.text}, since {alarm.since:%Y-%m-%d %H:%M:%S}", _STYLES[alarm.level])
    yield _facts_table(record)


def _devices_table(devices: tuple[DeviceHealth, ...]) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim", pad_edge=False)
    table.add_column("  device")
    table.add_column("state")
    for title in ("last item", "rate", "exposure", "light", "saturated", "kept", "missed"):
        table.add_column(title, justify="right")
    for device in devices:
        style = _STYLES[device.level]
        name = Text.assemble((f"  {_SIGNS[device.level]} ", style), device.name)
        if device.role == "power":
            table.add_row(name, _state(device), _age(device), *[""] * 6)
            continue
        table.add_row(
            name,
            _state(device),
            _age(device),
            _rate(device),
            _exposure(device),
            "" if device.signal_fraction is None else f"{device.signal_fraction:.0%}",
            "" if device.saturated_fraction is None else f"{device.saturated_fraction:.1%}",
            str(device.stored),
            Text(str(_missed(device)), "yellow" if _missed(device) else "dim"),
        )
    return table


def _state(device: DeviceHealth) -> Text:
    if device.state is DeviceState.WAITING:
        again = "" if device.next_start_in_s is None else f", again in {device.next_start_in_s:.0f} s"
        return Text(f"fails{again}", "bold red")
    words = device.state.value
    if device.state is DeviceState.CAPTURING and device.kind not in (None, "plume"):
        words += f" {device.kind}"
    return Text(words)


def _age(device: DeviceHealth) -> str:
    if device.last_item_age_s is None:
        return "never"
    return f"{_duration(device.last_item_age_s)} ago"


def _rate(device: DeviceHealth) -> str:
    if device.period_s is None:
        return ""
    return f"{device.rate_hz or 0:.2f}/{1 / device.period_s:.2f} Hz"


def _exposure(device: DeviceHealth) -> Text:
    if device.exposure_s is None:
        return Text("")
    text = f"{device.exposure_s * 1e3:.4g} ms"
    if device.coadds is not None and device.coadds > 1:
        text += f" x{device.coadds}"
    mode = "" if device.automatic is None else " auto" if device.automatic else " fixed"
    found = Text.assemble(text, (mode, "dim"))
    if device.overrides:
        found.append("*", "yellow")
    return found


def _missed(device: DeviceHealth) -> int:
    return device.skipped_grid_points + device.lost + device.rejected


def _error_line(device: DeviceHealth) -> Text:
    when = "" if device.last_error_time is None else f" {device.last_error_time:%Y-%m-%d %H:%M:%S}"
    style = "red" if device.level is Level.ALARM else "dim"
    return Text(f"  {device.name}: last error{when}: {device.last_error}; {device.restarts} restarts", style)


def _facts_table(record: HealthRecord) -> Table:
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0), pad_edge=False)
    table.add_column(style="dim")
    table.add_column()
    for name, words, level in _facts(record):
        table.add_row(f"  {name}", Text(words, "" if level is Level.OK else _STYLES[level]))
    return table


def _facts(record: HealthRecord) -> Iterator[tuple[str, str, Level]]:
    spool = record.spool
    if spool.error is not None:
        yield "spool", spool.error, Level.ALARM
    elif spool.items is not None:
        words = f"{spool.items} items"
        if spool.undelivered is not None:
            words += f", {spool.undelivered} to be delivered ({_size(spool.undelivered_bytes or 0)})"
        for count, what in (
            (spool.missing, "missing or damaged"),
            (spool.quarantined, "in quarantine"),
            (spool.deleted_undelivered, "deleted before delivery"),
        ):
            words += f", {count} {what}" if count else ""
        yield "spool", words, Level.WARNING if spool.missing or spool.deleted_undelivered else Level.OK
    for disk in record.disks:
        free = disk.free_fraction
        if not disk.present or free is None:
            yield f"{disk.name} disk", disk.note or "is not there", Level.WARNING
            continue
        words = f"{_size(disk.free_bytes or 0)} free of {_size(disk.total_bytes or 0)} ({free:.0%})"
        if disk.name == "mirror" and spool.mirror is not None:
            words += f", {spool.mirror}" + (f", {spool.mirror_behind} items behind" if spool.mirror_behind else "")
        yield f"{disk.name} disk", words, Level.OK if free >= 0.1 else Level.WARNING
    yield _clock_fact(record)
    for device in record.devices:
        if device.readings:
            words = ", ".join(_reading(key, value) for key, value in device.readings.items())
            if device.temperature_c is not None:
                words += f", {device.temperature_c:.1f} °C"
            yield device.name, words, Level.OK
    yield _system_fact(record)


def _clock_fact(record: HealthRecord) -> tuple[str, str, Level]:
    clock = record.clock
    words = _CLOCKS[clock.quality]
    if clock.offset_s is not None:
        words += f", {clock.offset_s * 1e3:+.3f} ms off"
    if clock.maximum_error_s is not None:
        words += f", at most {clock.maximum_error_s * 1e3:.3g} ms wrong"
    if clock.steps:
        words += f", stepped {clock.steps} times (last by {clock.last_step_s or 0:+.1f} s)"
    level = {"unset": Level.ALARM, "free": Level.WARNING}.get(clock.quality, Level.OK)
    return "clock", words, level


def _system_fact(record: HealthRecord) -> tuple[str, str, Level]:
    system = record.system
    parts = []
    if system.cpu_temperature_c is not None:
        parts.append(f"{system.cpu_temperature_c:.0f} °C")
    if system.load is not None:
        parts.append(f"load {system.load:.2f}")
    if system.agent_memory_bytes is not None:
        parts.append(f"the agent uses {_size(system.agent_memory_bytes)}")
    if system.uptime_s is not None:
        parts.append(f"up {_duration(system.uptime_s)}")
    if system.boots is not None and system.starts is not None:
        parts.append(f"{system.boots} boots, {system.starts} starts of the agent")
    parts += system.throttled
    return "computer", ", ".join(parts), Level.WARNING if system.throttled else Level.OK


def _reading(key: str, value: float) -> str:
    name, _, unit = key.rpartition("_")
    return f"{name.replace('_', ' ')} {value:.2f} {unit if unit == 's' else unit.upper()}"


def _duration(seconds: float) -> str:
    if seconds < 100:
        return f"{seconds:.0f} s" if seconds >= 10 else f"{seconds:.1f} s"
    minutes = seconds / 60
    if minutes < 100:
        return f"{minutes:.0f} min"
    hours = minutes / 60
    return f"{hours:.0f} h" if hours < 72 else f"{hours / 24:.0f} days"


def _size(count: float) -> str:
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:.3g} TB"
