"""A station with pages in a process of its own, for the browser's tests: its site file, tokens, and restarts."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

from playwright.sync_api import BrowserContext, Page, expect

from so2cam.core.health import (
    ClockHealth,
    DeviceHealth,
    DeviceState,
    DiskHealth,
    HealthRecord,
    Level,
    SpoolHealth,
    SystemHealth,
)
from so2cam.link.protocol import Role
from so2cam.station.access import Access
from so2cam.station.catalogue import Catalogue

expect.set_options(timeout=15_000)
_T = TypeVar("_T")
SITE = "hill"
NODE = "lead"
EXAMPLE = Path(__file__).parents[2] / "examples" / "villarrica" / "site.toml"
_STATION = """
[station]
folder = "station"
live = false

[station.api]
port = {port}
loopback = "closed"

[alarms]
standard = false

[[alarms.rules]]
type = "no-data"
name = "no frames"
above = 900.0
always = true

[[alarms.rules]]
type = "battery"
name = "battery low"
for_s = 0.0

[[alarms.rules]]
type = "clock"
name = "clock wrong"
level = "warning"
for_s = 0.0
"""


@dataclass
class PagesStation:
    """A station's process, and what is needed to visit it."""

    folder: Path
    port: int
    tokens: dict[str, str] = field(default_factory=dict)
    process: "subprocess.Popen[bytes] | None" = None

    @property
    def url(self) -> str:
        """Where its pages are."""
        return f"https://127.0.0.1:{self.port}"

    @property
    def state(self) -> Path:
        """The folder of the station."""
        return self.folder / "station"

    def prepare(self) -> None:
        """Write the site file, and make a token of each role."""
        text = EXAMPLE.read_text(encoding="utf-8")
        head, _, rest = text.partition("name = ")
        text = f'{head}name = "{SITE}"\n{rest.partition(chr(10))[2]}'
        (self.folder / "site.toml").write_text(text + _STATION.format(port=self.port), encoding="utf-8")
        with Access.of_station(self.state) as access:
            for role in (Role.VIEWER, Role.OPERATOR, Role.ADMIN):
                self.tokens[role.word] = access.create(f"the {role.word}", role)

    def start(self) -> None:
        """Start it, and wait until it answers."""
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-P", "-m", "so2cam", "station", "run", str(self.folder / "site.toml"), "--quiet"],
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
                env={**os.environ, "PYTHONUNBUFFERED": "1"},
            )
        limit = time.monotonic() + 60
        while time.monotonic() < limit:
            assert self.process.poll() is None, (self.folder / "log").read_text()
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1.0):
                return
            time.sleep(0.05)
        raise AssertionError((self.folder / "log").read_text())

    def stop(self, *, kill: bool = False) -> None:
        """Stop it, or kill it."""
        if self.process is None:
            return
        self.process.send_signal(signal.SIGKILL if kill else signal.SIGTERM)
        try:
            self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait(30)
        self.process = None

    @contextlib.contextmanager
    def catalogue(self) -> Iterator[Catalogue]:
        """Open its catalogue from here."""
        with Catalogue.open(None, self.state) as catalogue:
            yield catalogue

    def tell_health(self, records: Sequence[HealthRecord]) -> None:
        """Enter what the instrument told of itself."""
        with self.catalogue() as catalogue:
            for record in records:
                catalogue.add_health(SITE, record.node, record.time, record.model_dump_json())


def wait_for(look: Callable[[], _T | None], otherwise: str, limit_s: float = 60.0) -> _T:
    """Return what ``look`` gives as soon as that is true."""
    limit = time.monotonic() + limit_s
    while time.monotonic() < limit:
        found = look()
        if found:
            return found
        time.sleep(0.1)
    raise AssertionError(otherwise)


def free_port() -> int:
    """Return a port that nobody has now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def record(time_: datetime, *, volts: float = 12.61, clock_s: float = 0.004, **changes: Any) -> HealthRecord:
    """Return what a node tells of itself: two cameras, a power board, one disk."""
    cameras = [
        DeviceHealth(
            name=f"camera-{band}",
            role="camera",
            band=band,
            state=DeviceState.CAPTURING,
            exposure_s=exposure,
            signal_fraction=0.61,
            saturated_fraction=0.0002,
            temperature_c=31.4,
            rate_hz=0.5,
        )
        for band, exposure in (("on", 0.4), ("off", 0.1))
    ]
    power = DeviceHealth(
        name="power", role="power", temperature_c=18.0, readings={"input_voltage_v": volts, "output_current_a": 0.81}
    )
    values: dict[str, Any] = {
        "time": time_,
        "node": NODE,
        "site": SITE,
        "version": "test",
        "reason": "minute",
        "level": Level.OK,
        "summary": "all is well",
        "activity": "captures until 19:40",
        "devices": (*cameras, power),
        "disks": (
            DiskHealth(name="spool", path="/data", present=True, free_bytes=120 * 10**9, total_bytes=240 * 10**9),
        ),
        "spool": SpoolHealth(items=100, undelivered=3, undelivered_bytes=2_100_000),
        "clock": ClockHealth(quality="ntp", offset_s=0.0005, maximum_error_s=clock_s),
        "system": SystemHealth(cpu_temperature_c=51.0, load=0.8),
    }
    return HealthRecord.model_validate(json.loads(HealthRecord(**(values | changes)).model_dump_json()))


def history(hours: float, every_s: float = 60.0) -> list[HealthRecord]:
    """Return records of the last hours, the newest of now."""
    now = datetime.now(UTC)
    return [
        record(now - timedelta(seconds=every_s * back), volts=round(12.6 - 0.0005 * back, 3))
        for back in range(int(hours * 3600 / every_s), -1, -1)
    ]


def sign_in(page: Page, station: PagesStation, role: str, path: str = "/") -> None:
    """Sign in by the form, as a person does, and go to a page."""
    sign_in_with(page, station, station.tokens[role], path)
    expect(page.get_by_test_id("header")).to_be_visible()


def sign_in_with(page: Page, station: PagesStation, token: str, path: str = "/") -> None:
    """Fill in the form with a token."""
    page.goto(f"{station.url}{path}")
    page.get_by_test_id("token").fill(token)
    page.get_by_test_id("door-go").click()


def visit(context: BrowserContext, station: PagesStation, role: str, path: str) -> Page:
    """Open a page in a profile of its own, signed in with a role."""
    page = context.new_page()
    sign_in(page, station, role, path)
    return page
