"""The live demo: a simulated instrument, and its emission rates against the truth as they come."""

import contextlib
import math
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from so2cam.cli.console import console
from so2cam.cli.link_places import home_of
from so2cam.cli.pages import page_mount, tell_pages, trial_lines
from so2cam.core.errors import So2camError
from so2cam.instrument.places import socket_to_ask
from so2cam.link.errors import LinkError
from so2cam.link.local import LocalClient
from so2cam.link.messages import Stop
from so2cam.link.pairing import PairingDesk
from so2cam.link.pairings import pair
from so2cam.link.protocol import Role
from so2cam.link.tokens import TokenStore
from so2cam.simulate.installation import NODE, Installation, write_installation
from so2cam.simulate.live import LiveScene
from so2cam.station.archive_check import verify_archive
from so2cam.station.assembly import assemble_station
from so2cam.station.catalogue import Rate
from so2cam.station.context import StationContext, open_station
from so2cam.store.layout import STATION
from so2cam.store.spool import Spool

_LOOK_S = 0.1
_START_S = 60.0
_STOP_S = 15.0
_DRAIN_S = 30.0
_AHEAD = timedelta(seconds=10)
_HALF = timedelta(seconds=0.5)


class DemoError(So2camError):
    """The demo cannot go on."""


@dataclass(frozen=True, slots=True)
class Limits:
    """When a live demo stops by itself: after ``run_for_s`` from its start, or after so many pairs; None: never."""

    run_for_s: float | None = None
    pairs: int | None = None

    def reached(self, seconds: float, pairs: int) -> bool:
        """Return whether it is to stop."""
        return (self.run_for_s is not None and seconds >= self.run_for_s) or (
            self.pairs is not None and pairs >= self.pairs
        )


@dataclass(slots=True)
class Tally:
    """Retrieved and true emission rates [kg s-1] of one line and speed method, where both are known."""

    retrieved: list[float] = field(default_factory=list)
    true: list[float] = field(default_factory=list)

    @property
    def error_percent(self) -> float:
        """Error of the mean, per cent of the truth; NaN without values."""
        if not self.true:
            return math.nan
        return 100 * (math.fsum(self.retrieved) / math.fsum(self.true) - 1)


@dataclass(slots=True)
class LiveReport:
    """What a live demo came to."""

    pairs: int = 0
    first_rate_s: float | None = None
    tallies: dict[tuple[str, str], Tally] = field(default_factory=dict)
    frames: int = 0
    acknowledged: int = 0
    archived: int = 0
    verified: int = 0

    @property
    def summary(self) -> tuple[str, ...]:
        """The account of files and times, in words."""
        first = "none came" if self.first_rate_s is None else f"the first after {self.first_rate_s:.1f} s"
        archive = f"{self.archived} in the archive, {self.verified} of them verified by their SHA-256"
        return (
            f"{self.frames} frames kept by the instrument: {self.acknowledged} acknowledged, {archive}",
            f"{self.pairs} pairs processed, {self.valid} emission rates; {first}",
        )

    @property
    def valid(self) -> int:
        """How many emission rates were found."""
        return sum(len(tally.true) for tally in self.tallies.values())


def run_live(
    out: Path, scenario: str, seed: int, limits: Limits, period_s: float, *, open_: bool | None = False
) -> LiveReport:
    """Run until the limits are reached or Ctrl-C is pressed, and print emission rates as they come.

    ``open_``: open the pages in a browser; None does so where people look on.
    Raises So2camError where the instrument does not start or ends by itself.
    """
    began = time.monotonic()
    console.print(f"Preparing a simulated volcano in {out} …", markup=False)
    start = datetime.now(UTC) - _AHEAD
    made = write_installation(out, scenario, seed=seed, start=start, period_s=period_s, port=_free_port())
    with _instrument(made.site, out / "instrument.log") as process:
        console.print("The instrument starts, and the station with it …")
        with _station(made, process, began, open_) as context:
            follower = _Follower(made, context, began)
            with contextlib.suppress(KeyboardInterrupt):
                follower.follow(process, limits)
            console.print("\nStopping: what the instrument still keeps goes to the archive …")
            follower.finish()
    return follower.report


class _Follower:
    """Reads emission rates from the station's catalogue as they come, and prints them beside the truth."""

    def __init__(self, made: Installation, context: StationContext, began: float) -> None:
        site = context.sites[0].loaded.site
        self.report = LiveReport()
        self._methods, self._lines = site.processing.speed.methods, [line.name for line in site.lines]
        self._scene: LiveScene = made.open_scene()
        self._made, self._context, self._began = made, context, began
        self._root = made.site.parent / "instrument" / NODE
        self._newest: datetime | None = None

    def follow(self, process: "subprocess.Popen[bytes]", limits: Limits) -> None:
        """Go on until the limits are reached. Raises DemoError where the instrument ends, or gives nothing in time."""
        while not limits.reached(time.monotonic() - self._began, self.report.pairs):
            _require_running(process, self._made)
            self._look()
            if self._newest is None and time.monotonic() - self._began > _START_S:
                live = self._context.board.live(self._context.sites[0].name)
                raise DemoError(
                    f"no emission rate came within {_START_S:g} s",
                    file=_log_of(self._made),
                    value=None if live is None else f"{live.state} {live.message}".strip(),
                    remedy="see the instrument's log, or try again on a less busy computer",
                )
            time.sleep(_LOOK_S)

    def finish(self) -> None:
        """Stop the capture, wait until the archive has everything, and verify it."""
        with LocalClient(socket_to_ask(self._made.site, NODE), node=NODE) as client:
            client.ask(Stop(force=True))
        limit = time.monotonic() + _DRAIN_S
        with Spool(self._root) as spool:
            while spool.counts().backlog[0].items and time.monotonic() < limit:
                time.sleep(_LOOK_S)
            frames = spool.find(kind="frame")
            waiting = {item.sequence for item in spool.undelivered(STATION, kind="frame", limit=1_000_000)}
        site, report = self._context.sites[0], self.report
        archived = self._context.catalogue.find_files(site.name, kind="frame", node=NODE)
        checked = verify_archive(site.archive, archived)
        bad = {fault.path for fault in checked.faults}
        report.frames = len(frames)
        report.acknowledged = len(frames) - len(waiting)
        report.archived = len(archived)
        report.verified = sum(file.path not in bad for file in archived)
        self._look()

    def _look(self) -> None:
        name = self._context.sites[0].name
        after = None if self._newest is None else self._newest + timedelta(microseconds=1)
        rates: dict[datetime, dict[tuple[str, str], Rate]] = {}
        for rate in self._context.catalogue.rates(name, start=after):
            rates.setdefault(rate.time, {})[rate.line, rate.method] = rate
        for moment in sorted(rates):
            self._newest = moment
            self._show(moment, rates[moment])

    def _show(self, moment: datetime, rates: dict[tuple[str, str], Rate]) -> None:
        report, words = self.report, []
        report.pairs += 1
        for line in self._lines:
            for method in self._methods:
                found = rates.get((line, method))
                if found is None or found.rate is None:
                    continue
                true = self._scene.emission_rate(line, moment)
                tally = report.tallies.setdefault((line, method), Tally())
                tally.retrieved.append(found.rate)
                tally.true.append(true)
                if method == self._methods[0]:
                    sigma = math.hypot(found.random or 0.0, found.systematic or 0.0)
                    error = 100 * (found.rate / true - 1)
                    words.append(f"{line} {found.rate:5.2f} ± {sigma:4.2f}, true {true:5.2f} ({error:+5.1f} %)")
        if words and report.first_rate_s is None:
            report.first_rate_s = time.monotonic() - self._began
            console.print(
                f"\nSO2 emission rates in kg/s by {self._methods[0].replace('_', ' ')}, 1 sigma, and the truth:"
            )
        if words:
            console.print(f"  {moment + _HALF:%H:%M:%S}  {';  '.join(words)}", markup=False)


@contextlib.contextmanager
def _station(
    made: Installation, process: "subprocess.Popen[bytes]", began: float, open_: bool | None
) -> Iterator[StationContext]:
    """Pair a station with the instrument, and run it."""
    with contextlib.ExitStack() as undo:
        context = open_station([made.site])
        undo.callback(context.close)
        _pair(made, process, began)
        trials = trial_lines(context)
        mount = page_mount(
            context, lambda: assembly.supervisor.states(), trials, nodes=lambda: assembly.nodes, open_to_all=True
        )
        assembly = assemble_station(context, others=tuple(trials.values()), mount=mount)
        undo.callback(assembly.stop)
        assembly.supervisor.start()
        if assembly.api is not None:
            console.print(f"The station answers other programs at {assembly.api.url}/docs", markup=False)
            tell_pages(assembly.api.url, open_=open_)
        yield context


def _pair(made: Installation, process: "subprocess.Popen[bytes]", began: float) -> None:
    """Do what `so2cam pair offer` and `so2cam pair join` do, with the code handed over in this process."""
    home = home_of(made.site, NODE)
    if home.place is None:
        raise DemoError("the site file has no link", file=made.site)
    database = home.database()
    try:
        code = (
            PairingDesk(database, TokenStore(database), site=home.site, node=home.name)
            .offer(Role.OPERATOR, STATION)
            .code
        )
    finally:
        database.close()
    while True:
        _require_running(process, made)
        try:
            pairing = pair(home.place.address, home.place.port, code)
            break
        except LinkError as error:
            if time.monotonic() - began > _START_S:
                raise DemoError(
                    f"the instrument cannot be reached: {error.message}", file=_log_of(made), remedy="see its log"
                ) from error
            time.sleep(_LOOK_S)
    home_of(made.site, None, station=True).pairings_for(NODE).add(pairing.model_copy(update={"name": NODE}))


def _require_running(process: "subprocess.Popen[bytes]", made: Installation) -> None:
    if process.poll() is not None:
        raise DemoError(
            "the instrument ended by itself", file=_log_of(made), value=process.returncode, remedy="see its log"
        )


def _log_of(made: Installation) -> Path:
    return made.site.parent / "instrument.log"


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def _instrument(site: Path, log: Path) -> "Iterator[subprocess.Popen[bytes]]":
    """Run the instrument's agent; it ends with this program, whatever becomes of that."""
    with log.open("wb") as stream:
        process = subprocess.Popen(  # noqa: S603 - this very program
            [sys.executable, "-P", "-m", "so2cam", "instrument", "run", str(site), "--node", NODE, "--tied"],
            stdin=subprocess.PIPE,
            stdout=stream,
            stderr=stream,
            start_new_session=True,
        )
        try:
            yield process
        finally:
            process.terminate()
            try:
                process.wait(_STOP_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(_STOP_S)
            if process.stdin is not None:
                process.stdin.close()
