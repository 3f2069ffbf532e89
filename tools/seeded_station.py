"""A station to look at: a simulated volcano, its instrument and pages, with a day of curves behind it.

    python tools/seeded_station.py FOLDER              until Ctrl-C
    python tools/seeded_station.py FOLDER --period 0.25 --plain

The first line that it prints is JSON: the address, and a token of each role. Images, spectra, emission rates and health
are of a simulated instrument that runs meanwhile; what lies before its start is made up, for the pictures of the
pages (``tools/screenshots.py``) and their benchmark (``benchmarks/web.py``), and never a result.
"""

import argparse
import contextlib
import json
import math
import random
import threading
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import Table

from so2cam.cli.demo_live import _free_port, _instrument, _pair
from so2cam.cli.pages import page_mount, trial_lines
from so2cam.cli.station import stopping
from so2cam.core.health import DeviceHealth, HealthRecord, Level
from so2cam.link.protocol import Role
from so2cam.link.tokens import Principal, TokenRecord
from so2cam.simulate.installation import NODE, Installation, write_installation
from so2cam.station.access import Access
from so2cam.station.alarms_state import RuleState
from so2cam.station.alarms_store import AlarmStore
from so2cam.station.assembly import assemble_station
from so2cam.station.catalogue import TOTAL, Rate
from so2cam.station.catalogue_schema import HEALTH, RATES
from so2cam.station.context import StationContext, open_station
from so2cam.station.publish_services import outward_services
from so2cam.store.items import to_microseconds

ROLES = (("Ana Reyes", Role.ADMIN), ("Luis Soto", Role.OPERATOR), ("Control room", Role.VIEWER))
_PRINTED = ("admin", "operator", "viewer")
_POWER = """
[[instrument.nodes.devices]]
type = "power"
name = "power"
driver = "simulated"
"""
_ALARMS = """
[alarms]
page = "https://volcano.example/so2"

[[alarms.rules]]
type = "emission-rate"
name = "much SO2"
line = "downstream"
above = 3.5
for_s = 10.0
average_s = 30.0

[[alarms.rules]]
type = "rate-of-change"
name = "rises fast"
level = "warning"
line = "downstream"
relative = true
above = 1.0

[[alarms.rules]]
type = "health"
name = "hot case"
level = "warning"
quantity = "system.cpu_temperature_c"
above = 75.0
clear = 70.0
for_s = 60.0

[[alarms.rules]]
type = "battery"
name = "battery low"
below = 11.8
clear = 12.2
"""


@dataclass(frozen=True, slots=True)
class Seeded:
    """A station that runs."""

    url: str
    tokens: dict[str, str]
    context: StationContext


@contextlib.contextmanager
def seeded_station(
    folder: Path, *, period_s: float = 1.0, plain: bool = False, scenario: str = "baseline"
) -> "Iterator[Seeded]":
    """Run it in ``folder``, which is empty or new. ``plain``: without a past."""
    began = time.monotonic()
    start = datetime.now(UTC) - timedelta(seconds=10)
    made = write_installation(folder, scenario, seed=1, start=start, period_s=period_s, port=_free_port())
    _add_to_site(made)
    with _instrument(made.site, folder / "instrument.log") as process, contextlib.ExitStack() as undo:
        context = open_station([made.site])
        undo.callback(context.close)
        with Access.of_station(context.folder) as access:
            tokens = {word: access.create(name, role) for word, (name, role) in zip(_PRINTED, ROLES, strict=True)}
            if not plain:
                _write_account(access)
        _pair(made, process, began)
        outward = outward_services(context)
        undo.callback(outward.close)
        if not plain:
            _write_alarms(outward.alarms, context.sites[0].name)
            _write_rates(context)
        trials = trial_lines(context)
        mount = page_mount(context, lambda: assembly.supervisor.states(), trials)
        services = [*outward.services, *trials.values()]
        assembly = assemble_station(context, others=services, alarms=outward.alarms, mount=mount)
        undo.callback(assembly.stop)
        assembly.supervisor.start()
        if assembly.api is None:
            raise RuntimeError("the station has no address")
        if not plain:
            _write_health(context)
        yield Seeded(assembly.api.url, tokens, context)


def _add_to_site(made: Installation) -> None:
    text = made.site.read_text(encoding="utf-8")
    head, mark, tail = text.partition("\n[station]\n")
    text = f"{head}{_POWER}{mark}{tail}{_ALARMS}"
    text = text.replace('name = "simulated-baseline"', 'name = "villarrica"').replace(
        'name = "Simulated volcano"', 'name = "Villarrica (simulated)"'
    )
    made.site.write_text(text, encoding="utf-8")


# --- what lies behind --------------------------------------------------------------------------------------------


def _wave(time_s: float, period_s: float, phase: float = 0.0) -> float:
    return math.sin(2 * math.pi * time_s / period_s + phase)


def _write_rates(context: StationContext) -> None:
    """Emission rates of a day: every 10 s, with a burst, a cloud, and a night without light."""
    site, now = context.sites[0], datetime.now(UTC)
    noise = random.Random(7)  # noqa: S311 - nothing secret
    lines = [*(line.name for line in site.loaded.site.lines), TOTAL]
    rows, method = [], site.loaded.site.processing.speed.methods[0]
    for back in range(24 * 360, 3, -1):
        at = now - timedelta(seconds=10 * back)
        seconds = at.timestamp()
        hours = back / 360
        dark, cloud = 8.5 < hours < 18.0, 2.2 < hours < 2.6
        mean = 4.6 + 0.9 * _wave(seconds, 21_000) + 0.5 * _wave(seconds, 3300, 1.0)
        mean += 7.5 * math.exp(-(((hours - 5.2) / 0.25) ** 2))
        rates = []
        for index, line in enumerate(lines):
            value = max(
                0.2, mean * (1 + 0.03 * index) * (1 + 0.16 * _wave(seconds, 95, index) + 0.05 * noise.gauss(0, 1))
            )
            speed = 9.8 + 1.3 * _wave(seconds, 9000) + 0.3 * noise.gauss(0, 1)
            missing = dark or cloud
            rates.append(
                Rate(
                    at, line, method,
                    None if missing else value, None if missing else 0.06 * value, None if missing else 0.11 * value,
                    None if missing else speed, None if missing else 0.6,
                    None if missing else 303 + 2 * _wave(seconds, 7000),
                    None if missing else value / speed, (4 if dark else 5) if missing else 0,
                )
            )  # fmt: skip
        rows += [{"site": site.name, **asdict(rate), "time": to_microseconds(rate.time)} for rate in rates]
    _insert(context, RATES, rows)


def _insert(context: StationContext, table: Table, rows: list[dict[str, Any]]) -> None:
    database = context.catalogue.database
    with database.write() as connection:
        for begin in range(0, len(rows), 200):
            connection.execute(database.upsert(table, rows[begin : begin + 200]))


def _write_health(context: StationContext) -> None:
    """Health of a week, made of the first record that comes: every 10 min, of the last day every minute."""
    site, limit = context.sites[0].name, time.monotonic() + 60
    while NODE not in (found := context.catalogue.latest_health(site)):
        if time.monotonic() > limit:
            raise RuntimeError("no health came from the instrument")
        time.sleep(0.2)
    first, text = found[NODE]
    model = HealthRecord.model_validate_json(text)
    backs = [*range(7 * 86_400, 86_400, -600), *range(86_400, 3600, -60), *range(3600, 20, -10)]
    noise = random.Random(11)  # noqa: S311 - nothing secret
    rows = []
    for back in backs:
        at = first - timedelta(seconds=back)
        record = _record(model, back, noise).model_dump_json()
        rows.append({"site": site, "node": NODE, "time": to_microseconds(at), "record": record})
    _insert(context, HEALTH, rows)


def _record(model: HealthRecord, back: float, noise: random.Random) -> HealthRecord:
    """Return what a record ``back`` seconds before ``model`` may have been: it ends where the instrument is now."""
    at = model.time - timedelta(seconds=back)
    now_s, then_s = model.time.timestamp(), at.timestamp()

    def since(period_s: float, size: float, jitter: float = 0.0) -> float:
        change = size * (_wave(then_s, period_s) - _wave(now_s, period_s))
        return change + jitter * noise.gauss(0, 1)

    devices: list[DeviceHealth] = []
    for device in model.devices:
        change: dict[str, Any] = {"level": Level.OK, "last_error": None}
        if device.temperature_c is not None:
            change["temperature_c"] = round(device.temperature_c + since(86_400, 6, 0.2), 1)
        if device.role == "power":
            readings = dict(device.readings)
            readings["input_voltage_v"] = round(readings["input_voltage_v"] + since(86_400, -0.3, 0.012), 2)
            readings["output_current_a"] = round(readings.get("output_current_a", 0.8) + since(7200, 0.03, 0.01), 2)
            change["readings"] = readings
        else:
            light = max(0.2, 1 + since(43_200, 0.2, 0.01))
            change |= {
                "exposure_s": round((device.exposure_s or 0.2) * light, 4),
                "signal_fraction": round(
                    min(0.9, max(0.1, (device.signal_fraction or 0.6) + since(9000, 0.03, 0.01))), 3
                ),
                "saturated_fraction": round(0.004 * max(0.0, noise.gauss(-2.2, 1)), 5),
                "rate_hz": device.rate_hz,
            }
        devices.append(device.model_copy(update=change))
    disks = [
        disk.model_copy(update={"free_bytes": int((disk.free_bytes or 0) * (1 + 0.02 * ((back / 86_400) % 1)))})
        for disk in model.disks
    ]
    lost = 120_000 < back < 126_000
    spool = model.spool.model_copy(update={"undelivered": int(2 + 2 * abs(noise.gauss(0, 1))) + (900 if lost else 0)})
    warm = model.system.cpu_temperature_c
    system = model.system.model_copy(
        update={
            "cpu_temperature_c": round((48.0 if warm is None else warm) + since(86_400, 7, 0.5), 1),
            "load": round(0.9 + 0.08 * abs(noise.gauss(0, 1)), 2),
        }
    )
    offset = {
        "offset_s": round(since(5000, 0.0006, 0.0002), 5),
        "maximum_error_s": round(0.004 + since(9000, 4e-4, 1e-4), 5),
    }
    return model.model_copy(
        update={
            "time": at, "reason": "minute", "level": Level.OK, "summary": "all is well", "devices": tuple(devices),
            "disks": tuple(disks), "spool": spool, "system": system, "alarms": (),
            "clock": model.clock.model_copy(update={"quality": "ntp", **offset}),
        }
    )  # fmt: skip


def _write_alarms(store: AlarmStore, site: str) -> None:
    now = datetime.now(UTC)
    past = (
        ("battery low", NODE, "alarm", "node demo: supply at 11.7 V, below 11.8 for 120 s", 11.7, 11.52, 77.0, 2.4),
        ("no frames", "frames", "alarm", "no new frames for 15 min, above 900 for 0 s", 900.0, 1340.0, 52.0, 0.12),
        ("hot case", NODE, "warning", "node demo: system.cpu_temperature_c is 75.4, above 75", 75.4, 77.9, 28.0, 1.1),
        ("much SO2", "downstream", "alarm", "SO2 emission rate (downstream) 7.9 kg/s, above 3.5", 7.9, 12.2, 5.4, 0.5),
    )  # fmt: skip
    seen = {"battery low": ("Luis Soto", "panel was under snow"), "no frames": ("Ana Reyes", None)}
    seen["much SO2"] = ("Luis Soto", "seen on the camera too")
    for rule, subject, level, text, value, worst, hours, lasted in past:
        at = now - timedelta(hours=hours)
        event = store.begin(
            site,
            rule,
            subject,
            level=level,
            text=text,
            value=value,
            now=at,
            state=RuleState(at, raised=True),
            targets=(),
        )
        store.worsen(site, rule, subject, worst, higher=worst > value)
        by, note = seen.get(rule, (None, None))
        if by is not None:
            store.acknowledge(event.id, by, at + timedelta(minutes=4), note)
        store.end(site, rule, subject, text="over", now=at + timedelta(hours=lasted), targets=())


def _write_account(access: Access) -> None:
    people = {record.name: record for record in access.list()}
    ana, luis = (people[name] for name, _ in ROLES[:2])

    def who(record: TokenRecord) -> Principal:
        return Principal(record.id, record.name, record.role)

    for record, action, detail, outcome in (
        (ana, "instrument.pair", {"node": NODE}, "done"),
        (luis, "instrument.restart", {"node": NODE, "device": "camera-on"}, "done"),
        (luis, "trial.put", {"line": "downstream"}, "done"),
        (luis, "token.create", {"name": "visitor", "role": "viewer"}, "denied"),
        (luis, "alarm.acknowledge", {"alarm": 4, "rule": "much SO2"}, "done"),
    ):
        access.note(who(record), "192.168.5.20", action, detail, outcome)


def main() -> None:
    """Run until Ctrl-C."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--period", type=float, default=1.0, help="seconds between images")
    parser.add_argument("--plain", action="store_true", help="without a past")
    arguments = parser.parse_args()
    stop = threading.Event()
    with stopping(stop), seeded_station(arguments.folder, period_s=arguments.period, plain=arguments.plain) as made:
        print(json.dumps({"url": made.url, "tokens": made.tokens}), flush=True)  # noqa: T201
        stop.wait()


if __name__ == "__main__":
    main()
