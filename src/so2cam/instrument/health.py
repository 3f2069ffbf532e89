"""From single findings to the health record: which level, and what of it people should read first."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from so2cam.core.health import (
    AlarmHealth,
    ClockHealth,
    DeviceHealth,
    DeviceState,
    DiskHealth,
    HealthRecord,
    Level,
    SpoolHealth,
    SystemHealth,
)
from so2cam.instrument.clock_quality import ClockQuality
from so2cam.store.items import StoreItem

_FULL_FRACTION: Final = 0.02
_ORDER: Final = {Level.OK: 0, Level.WARNING: 1, Level.ALARM: 2}


@dataclass(frozen=True, slots=True)
class Findings:
    """What was found of a node at one moment."""

    time: datetime
    node: str
    site: str
    version: str
    reason: str
    activity: str
    next_change: datetime | None
    devices: tuple[DeviceHealth, ...]
    disks: tuple[DiskHealth, ...]
    spool: SpoolHealth
    clock: ClockQuality
    clock_steps: int
    last_step_s: float | None
    system: SystemHealth


def compose(findings: Findings, alarms: tuple[AlarmHealth, ...]) -> HealthRecord:
    """Return the record of ``findings``: its level is the worst that was found, its summary says so in a sentence."""
    troubles = [*_troubles(findings), *((alarm.level, f"{alarm.name}: {alarm.text}") for alarm in alarms)]
    troubles.sort(key=lambda trouble: -_ORDER[trouble[0]])
    level = troubles[0][0] if troubles else Level.OK
    if troubles:
        summary = troubles[0][1] + (f" (and {len(troubles) - 1} more)" if len(troubles) > 1 else "")
    else:
        summary = _all_well(findings)
    return HealthRecord(
        time=findings.time,
        node=findings.node,
        site=findings.site,
        version=findings.version,
        reason=findings.reason,
        level=level,
        summary=summary,
        activity=findings.activity,
        next_change=findings.next_change,
        devices=findings.devices,
        disks=findings.disks,
        spool=findings.spool,
        clock=ClockHealth(
            quality=findings.clock.quality,
            offset_s=findings.clock.offset_s,
            maximum_error_s=findings.clock.maximum_error_s,
            steps=findings.clock_steps,
            last_step_s=findings.last_step_s,
        ),
        system=findings.system,
        alarms=alarms,
    )


def health_item(record: HealthRecord) -> StoreItem:
    """Return ``record`` as an item of the spool: one line of JSON, ``TIME_health_NODE.jsonl``."""
    line = json.dumps(record.model_dump(mode="json", exclude_none=True), separators=(",", ":")) + "\n"
    return StoreItem(
        kind="health",
        subject=record.reason,
        device=record.node,
        time=record.time,
        stem=f"{record.time:%Y-%m-%dT%H%M%S}_health_{record.node}",
        suffix=".jsonl",
        data=line.encode(),
        metadata={"so2cam": {"level": record.level.value, "summary": record.summary}},
    )


def _troubles(findings: Findings) -> Iterator[tuple[Level, str]]:
    for device in findings.devices:
        trouble = _device_trouble(device)
        if trouble is not None:
            yield device.level if device.level is not Level.OK else Level.WARNING, f"{device.name}: {trouble}"
    if findings.spool.error is not None:
        yield Level.ALARM, f"the spool: {findings.spool.error}"
    if findings.spool.deleted_undelivered:
        yield Level.WARNING, f"{findings.spool.deleted_undelivered} items that nobody has were deleted to make room"
    if findings.spool.missing:
        yield Level.WARNING, f"{findings.spool.missing} items of the spool are missing or damaged"
    for disk in findings.disks:
        free = disk.free_fraction
        if not disk.present:
            level = Level.WARNING if disk.name == "mirror" else Level.ALARM
            released = disk.name == "mirror" and findings.spool.mirror == "released"
            state = "was released" if released else "is not there"
            yield level, f"the disk {disk.name} {state}" + (f": {disk.note}" if disk.note else "")
        elif disk.name == "mirror":
            if findings.spool.mirror in ("full", "error"):
                yield Level.WARNING, f"the mirror takes no copies: {disk.note or findings.spool.mirror}"
        elif free is not None and free < _FULL_FRACTION:
            yield Level.ALARM, f"the disk {disk.name} is full: {free:.1%} free"
    if findings.clock.quality == "unset":
        yield Level.ALARM, "the clock was never set: times of the data are wrong"
    for word in findings.system.throttled:
        yield Level.WARNING, f"the computer: {word}"


def _device_trouble(device: DeviceHealth) -> str | None:
    if device.state is DeviceState.WAITING:
        return f"fails: {device.last_error or 'unknown'}"
    if device.level is Level.ALARM:
        age = "never" if device.last_item_age_s is None else f"{device.last_item_age_s:.0f} s ago"
        return f"captures nothing: the last item was {age}"
    if device.lost:
        return f"{device.lost} items could not be kept"
    if device.level is Level.WARNING:
        if (device.saturated_fraction or 0.0) > 0.5:
            return f"{device.saturated_fraction:.0%} of the image is saturated"
        return f"{device.queued} items wait for the disk"
    return None


def _all_well(findings: Findings) -> str:
    busy = [device.name for device in findings.devices if device.state is not DeviceState.IDLE]
    capturing = [d for d in findings.devices if d.state is DeviceState.CAPTURING and d.role != "power"]
    if capturing:
        return "well: 1 device captures" if len(capturing) == 1 else f"well: {len(capturing)} devices capture"
    return "well: " + (f"{', '.join(busy)} at work" if busy else "nothing to do now")
