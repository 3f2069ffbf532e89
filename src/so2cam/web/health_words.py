"""What the health page says: services, the account of changes, and the newest health record, in words. Pure."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from html import escape
from typing import Any, Final

from so2cam.core.health import HealthRecord, Level
from so2cam.link.transfer import TransferStatus
from so2cam.station.access import AuditEntry
from so2cam.station.services import ServiceState
from so2cam.web.parts import MISSING, State, number
from so2cam.web.tables import Column, ago_html, chip_html, duration, size, stamp_html, table_html

CONTACT_S: Final = 60.0
_SERVICES: Final = {
    "api": ("Pages and interface", "What you look at, and what other programs ask."),
    "link": ("Link", "Fetches images, spectra and health from the instruments."),
    "live": ("Emission rates", "Processes images as they come."),
    "watch": ("Watched folder", "Takes files that come by other means."),
    "alarms": ("Alarm rules", "Watches the rules of the site file."),
    "notifications": ("Messages", "Tells people of alarms."),
    "recalculation": ("Recalculation", "Calculates a day again when late files or a new calibration came."),
    "daily-files": ("Files of the day", "Writes the day's NetCDF and CSV files."),
    "runs": ("Runs", "Processes ranges of the archive again, as people ordered it."),
    "page": ("Public page", "Draws the page for the public."),
    "keogram": ("Keogram", "Draws the day's keogram."),
    "timelapse": ("Time lapse", "Makes the day's video."),
    "trial": ("Trial lines", "Follows lines that somebody tries out on the live page."),
    "publish": ("Publication", "Sends files to others."),
}
_STATES: Final[dict[str, tuple[str, State]]] = {
    "running": ("runs", "ok"),
    "failed": ("failed, starts again", "bad"),
    "waiting": ("starts", "warn"),
    "ended": ("ended", "warn"),
}
_ACTIONS: Final = {
    "alarm.acknowledge": "acknowledged an alarm",
    "token.create": "made a token",
    "token.revoke": "revoked a token",
    "trial.put": "tried a line",
    "draft.change": "changed the draft",
    "draft.add": "added a table to the draft",
    "draft.text": "changed the text of the draft",
    "draft.restore": "put a version into the draft",
    "draft.undo": "undid a change of the draft",
    "draft.discard": "discarded the draft",
    "draft.import": "imported into the draft",
    "draft.save": "saved the site file",
    "run.order": "ordered a run",
    "run.cancel": "cancelled a run",
    "run.again": "ran a run again",
    "run.delete": "deleted a run",
    "instrument.pair": "paired a node",
    "instrument.unpair": "ended a pairing",
    "instrument.offer": "offered a code to a node",
}
_OUTCOMES: Final[dict[str, tuple[str, State]]] = {
    "done": ("done", "ok"),
    "refused": ("failed", "warn"),
    "denied": ("not allowed", "bad"),
}
_LEVELS: Final[dict[Level, tuple[str, State]]] = {
    Level.OK: ("well", "ok"),
    Level.WARNING: ("worth a look", "warn"),
    Level.ALARM: ("failing", "bad"),
}


def level_words(level: Level) -> tuple[str, State]:
    """Return a level in words, and how it is shown."""
    return _LEVELS[level]


def service_name(name: str) -> tuple[str, str]:
    """Return what a service is called, with what it is for; its own name where it is not known."""
    kind, _, of = name.partition("/")
    words, hint = _SERVICES.get(kind, (name, ""))
    return (f"{words}: {of.rpartition('/')[2]}" if kind in ("watch", "publish") and of else words), hint


def services_html(services: Sequence[ServiceState], site: str) -> str:
    """Return the table of the services of a station that concern a site."""
    rows = []
    for one in services:
        kind, _, of = one.name.partition("/")
        if kind != "publish" and of and of.partition("/")[0] not in (site, site.replace(" ", "-")):
            continue
        words, hint = service_name(one.name)
        text, state = _STATES.get(one.state, (one.state, ""))
        more = f"<small>{escape(one.message)}</small>" if one.message and one.state != "running" else ""
        failures = f"{one.failures} ×" if one.failures else MISSING
        rows.append(
            (
                f'<span title="{escape(f"{hint} ({one.name})".strip(), quote=True)}">{escape(words)}</span>',
                chip_html(text, state) + (f"<br>{more}" if more else ""),
                ago_html(one.since),
                failures,
            )
        )
    columns = (
        Column("Service", "lead"),
        Column("State"),
        Column("Since", "tight"),
        Column("Failed", "num", "How often it failed since the station started; it is started again by itself."),
    )
    return table_html(columns, rows, test="services-table")


def audit_html(entries: Sequence[AuditEntry]) -> str:
    """Return the account of changes, the newest first."""
    rows = []
    for entry in entries:
        text, state = _OUTCOMES.get(entry.outcome, (entry.outcome, ""))
        rows.append(
            (
                f"{escape(entry.name)} <small>{escape(action_words(entry.action))}</small>",
                _details(entry.detail),
                chip_html(text, state) if entry.outcome != "done" else "done",
                stamp_html(datetime.fromtimestamp(entry.time_s, UTC)),
                escape(entry.peer) or MISSING,
            )
        )
    columns = (
        Column("Who", "lead"),
        Column("Of what"),
        Column("Outcome", "tight", "Not allowed: the role was too low."),
        Column("When", "tight"),
        Column("From", "tight", "The address from which it was done."),
    )
    return table_html(columns, rows, test="audit-table")


def action_words(action: str) -> str:
    """Return an action of the account in words."""
    return _ACTIONS.get(action, action.replace(".", ": ").replace("_", " "))


def _details(text: str) -> str:
    try:
        found = json.loads(text)
    except ValueError:
        return escape(text)
    if not isinstance(found, dict):
        return escape(text)
    return escape(", ".join(f"{key} {_plain(value)}" for key, value in found.items())) or MISSING


def _plain(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


@dataclass(frozen=True, slots=True)
class Figure:
    """A number for a tile: ``more`` stands below it, ``why`` says why it is missing or to be doubted."""

    value: str = MISSING
    more: str = ""
    why: str = ""


def supply(record: HealthRecord) -> Figure:
    """Return the voltage of the supply [V]."""
    boards = [device for device in record.devices if device.role == "power"]
    if not boards:
        return Figure(more="no power board")
    volts = boards[0].readings.get("input_voltage_v")
    amperes = boards[0].readings.get("output_current_a")
    if volts is None:
        return Figure(why="the power board does not answer")
    return Figure(f"{volts:.2f}", "" if amperes is None else f"{amperes:.2f} A drawn")


def warmest(record: HealthRecord) -> Figure:
    """Return the highest temperature [degree C]."""
    found = [(device.temperature_c, device.name) for device in record.devices if device.temperature_c is not None]
    if record.system.cpu_temperature_c is not None:
        found.append((record.system.cpu_temperature_c, "computer"))
    if not found:
        return Figure(more="nothing here measures it")
    value, name = max(found)
    throttled = ", ".join(record.system.throttled)
    return Figure(f"{value:.0f}", name, f"the computer slows down: {throttled}" if throttled else "")


def fullest(record: HealthRecord) -> Figure:
    """Return the lowest free share of a disk [%]."""
    found = [(disk.free_fraction, disk) for disk in record.disks if disk.free_fraction is not None]
    absent = ", ".join(disk.name for disk in record.disks if not disk.present)
    why = f"not there: {absent}" if absent else ""
    if not found:
        return Figure(why=why or "no disk can be read")
    value, disk = min(found, key=lambda pair: pair[0] or 0.0)
    return Figure(f"{100 * (value or 0.0):.0f}", f"{size(disk.free_bytes)} on {disk.name}", why)


def clock(record: HealthRecord) -> Figure:
    """Return how far the clock is off [ms]."""
    words = {
        "gps": "set by GPS",
        "ntp": "set over the network",
        "synchronised": "set from outside",
        "free": "runs free",
        "unset": "was never set",
    }[record.clock.quality]
    known = [abs(value) for value in (record.clock.offset_s, record.clock.maximum_error_s) if value is not None]
    bad = record.clock.quality in ("free", "unset")
    if not known:
        return Figure(more="" if bad else words, why=f"the clock {words}" if bad else "")
    return Figure(number(1000 * max(known), 2), "" if bad else words, f"the clock {words}" if bad else "")


def waiting(record: HealthRecord) -> Figure:
    """Return how many files wait on the instrument."""
    spool = record.spool
    if spool.undelivered is None:
        return Figure(why=spool.error or "what the instrument keeps is not known")
    lost = f"{spool.deleted_undelivered} were deleted undelivered" if spool.deleted_undelivered else ""
    return Figure(str(spool.undelivered), size(spool.undelivered_bytes), lost)


def link_state(status: TransferStatus | None, now: datetime) -> tuple[str, State]:
    """Return how the link to a node is, in words."""
    if status is None or status.last_contact is None:
        return "no contact yet", "bad"
    age = (now - status.last_contact).total_seconds()
    if age > CONTACT_S:
        return f"no contact for {duration(age)}", "bad"
    return ("trouble", "warn") if status.error else ("connected", "ok")
