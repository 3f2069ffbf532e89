"""The live demo: a simulated instrument, and its emission rates against the truth as they come."""

import contextlib
import json
import math
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Literal

from so2cam.cli.console import console
from so2cam.cli.demo_report import Files, LiveReport, Tally
from so2cam.cli.link_places import home_of
from so2cam.cli.pages import tell_pages
from so2cam.cli.pauses import keep_out_of_collections
from so2cam.cli.station import tell_address
from so2cam.cli.station_renewed import RenewedStation, tell_renewal
from so2cam.core.errors import So2camError
from so2cam.core.status import EmissionStatus
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
from so2cam.station.assembly import Assembly
from so2cam.station.catalogue import Rate
from so2cam.station.context import StationContext
from so2cam.store.layout import STATION
from so2cam.store.spool import Spool

_LOOK_S = 0.1
_START_S = 60.0
_STOP_S = 15.0
_DRAIN_S = 30.0
_AHEAD = timedelta(seconds=10)
_HALF = timedelta(seconds=0.5)
_DAY = timedelta(days=1)
_MOST_COLUMNS = 5000
"""So many spectra at the end are compared with the truth: of a long demo not all"""


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
    station = RenewedStation([made.site], None, open_to_all=True)
    follower: _Follower | None = None
    with _instrument(made.site, out / "instrument.log") as process:
        console.print("The instrument starts, and the station with it …")
        while True:
            with contextlib.ExitStack() as undo:
                assembly = station.open(undo)
                if follower is None:
                    follower = _Follower(made, assembly.context, began)
                    _prepare(assembly, made, process, began)
                    _begin(assembly, open_=open_)
                else:
                    follower.turn_to(assembly.context)
                    _begin(assembly, open_=False)
                renewed = False
                with contextlib.suppress(KeyboardInterrupt):
                    renewed = follower.follow(process, limits, station.again)
                if not renewed:
                    console.print("\nStopping: what the instrument still keeps goes to the archive …")
                    follower.finish()
                    return follower.report
            tell_renewal()


class _Follower:
    """Reads emission rates from the station's catalogue as they come, and prints them beside the truth."""

    def __init__(self, made: Installation, context: StationContext, began: float) -> None:
        site = context.sites[0].loaded.site
        self.report = LiveReport()
        self._lines = [line.name for line in site.lines]
        self._scene: LiveScene = made.open_scene()
        self._made, self._began = made, began
        self._name = context.sites[0].name
        self._root = made.site.parent / "instrument" / NODE
        self._newest: dict[str, datetime] = {}
        """by speed method: the newest pair whose rates are known"""
        self.turn_to(context)

    def turn_to(self, context: StationContext) -> None:
        """Go on with a station that has taken up a saved site file; the truth is known of the first one's lines."""
        self._context = context
        self._methods = context.sites[0].loaded.site.processing.speed.methods

    def follow(self, process: "subprocess.Popen[bytes]", limits: Limits, again: threading.Event) -> bool:
        """Go on until the limits are reached, or the station is to be put together ``again``: return whether it is.

        Raises DemoError where the instrument ends, or gives nothing in time.
        """
        while not limits.reached(time.monotonic() - self._began, self.report.pairs):
            if again.is_set():
                return True
            _require_running(process, self._made)
            self._look()
            if not self._newest and time.monotonic() - self._began > _START_S:
                live = self._context.board.live(self._name)
                raise DemoError(
                    f"no emission rate came within {_START_S:g} s",
                    file=_log_of(self._made),
                    value=None if live is None else f"{live.state} {live.message}".strip(),
                    remedy="see the instrument's log, or try again on a less busy computer",
                )
            time.sleep(_LOOK_S)
        return False

    def finish(self) -> None:
        """Stop the capture, wait until the archive has everything, and verify it."""
        with LocalClient(socket_to_ask(self._made.site, NODE), node=NODE) as client:
            client.ask(Stop(force=True))
        model = self._made.scenario.spectrometer
        exposing_s = model.integration_time_s * model.coadds + 1.0
        with Spool(self._root) as spool:
            began = empty_since = time.monotonic()
            while time.monotonic() - empty_since < exposing_s and time.monotonic() - began < _DRAIN_S:
                time.sleep(_LOOK_S)
                if spool.counts().backlog[0].items:
                    empty_since = time.monotonic()  # what was being exposed may come still
            self.report.frames = self._files(spool, "frame")
            self.report.spectra = self._files(spool, "spectrum")
        self._look()
        self._compare_columns()

    def _files(self, spool: Spool, kind: Literal["frame", "spectrum"]) -> Files:
        kept = spool.find(kind=kind)
        waiting = {item.sequence for item in spool.undelivered(STATION, kind=kind, limit=1_000_000)}
        archived = self._context.catalogue.find_files(self._name, kind=kind, node=NODE)
        bad = {fault.path for fault in verify_archive(self._context.sites[0].archive, archived).faults}
        verified = sum(file.path not in bad for file in archived)
        return Files(len(kept), len(kept) - len(waiting), len(archived), verified)

    def _look(self) -> None:
        for method in self._methods:
            newest = self._newest.get(method)
            after = None if newest is None else newest + timedelta(microseconds=1)
            rates: dict[datetime, dict[str, Rate]] = {}
            for rate in self._context.catalogue.rates(self._name, start=after, method=method):
                rates.setdefault(rate.time, {})[rate.line] = rate
            for moment in sorted(rates):
                if any(rate.status == EmissionStatus.PENDING for rate in rates[moment].values()):
                    break  # the next ones wait for the same window
                self._newest[method] = moment
                self._take(method, moment, rates[moment])

    def _take(self, method: str, moment: datetime, rates: dict[str, Rate]) -> None:
        report, words, first = self.report, [], method == self._methods[0]
        report.pairs += first
        for line in self._lines:
            found = rates.get(line)
            if found is None or found.rate is None:
                continue
            true = self._scene.emission_rate(line, moment)
            report.tallies.setdefault((line, method), Tally()).add(found.rate, true)
            sigma = math.hypot(found.random or 0.0, found.systematic or 0.0)
            error = 100 * (found.rate / true - 1)
            words.append(f"{line} {found.rate:5.2f} ± {sigma:4.2f}, true {true:5.2f} ({error:+5.1f} %)")
        if not words or not first:
            return
        if report.first_rate_s is None:
            report.first_rate_s = time.monotonic() - self._began
            console.print(f"\nSO2 emission rates in kg/s by {method.replace('_', ' ')}, 1 sigma, and the truth:")
        console.print(f"  {moment + _HALF:%H:%M:%S}  {';  '.join(words)}", markup=False)

    def _compare_columns(self) -> None:
        """Compare the spectrometer's columns with the truth, and count the pairs that it calibrated."""
        model = self._made.scenario.spectrometer
        duration = model.integration_time_s * model.coadds
        start, end = self._made.start, datetime.now(UTC) + _DAY
        for column in self._context.catalogue.columns(self._name, start=start, end=end)[-_MOST_COLUMNS:]:
            if column.so2 is not None:
                self.report.columns.add(column.so2, self._scene.spot_column(column.time, duration))
        for row in self._context.catalogue.pairs(self._name, start=start, end=end):
            self.report.calibrated += json.loads(row.record)["calibration_number"] >= 0


def _prepare(assembly: Assembly, made: Installation, process: "subprocess.Popen[bytes]", began: float) -> None:
    """Take the calibration files, which are there before the first frame, and pair the station with the instrument."""
    for watcher in assembly.watchers:
        while watcher.look():
            pass
    _pair(made, process, began)


def _begin(assembly: Assembly, *, open_: bool | None) -> None:
    keep_out_of_collections()
    assembly.supervisor.start()
    if assembly.api is not None:
        tell_address(assembly.api)
        tell_pages(assembly.api.url, open_=open_)


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
