"""The live demo: a simulated instrument, and its emission rates against the truth as they come."""

import contextlib
import math
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from so2cam.cli.console import console
from so2cam.core.errors import FrameFileError, So2camError
from so2cam.core.records import FrameInfo
from so2cam.core.status import EmissionStatus
from so2cam.formats.folder import scan_frames
from so2cam.formats.one_file import frames_of_file
from so2cam.formats.sitefile import LoadedSite, load_site
from so2cam.pipeline.live import LiveRun
from so2cam.pipeline.records import PairRecord
from so2cam.simulate.installation import NODE, Installation, write_installation
from so2cam.simulate.live import LiveScene
from so2cam.store.spool import Spool
from so2cam.store.verify import verify_spool

_HOLD_BACK_S = 1.0
_LOOK_S = 0.1
_START_S = 60.0
_STOP_S = 15.0
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
    verified: int = 0

    @property
    def summary(self) -> tuple[str, ...]:
        """The account of files and times, in words."""
        first = "none came" if self.first_rate_s is None else f"the first after {self.first_rate_s:.1f} s"
        return (
            f"{self.frames} frames kept by the instrument, {self.verified} of them verified by their SHA-256",
            f"{self.pairs} pairs processed, {self.valid} emission rates; {first}",
        )

    @property
    def valid(self) -> int:
        """How many emission rates were found."""
        return sum(len(tally.true) for tally in self.tallies.values())


def run_live(out: Path, scenario: str, seed: int, limits: Limits, period_s: float) -> LiveReport:
    """Run until the limits are reached or Ctrl-C is pressed, and print emission rates as they come.

    Raises So2camError where the instrument does not start or ends by itself.
    """
    began = time.monotonic()
    report = LiveReport()
    console.print(f"Preparing a simulated volcano in {out} …", markup=False)
    made = write_installation(out, scenario, seed=seed, start=datetime.now(UTC) - _AHEAD, period_s=period_s)
    loaded = load_site(made.site)
    with _instrument(made.site, out / "instrument.log") as process:
        console.print("The instrument starts; its calibration frames are those of ten minutes ago.")
        live = LiveRun(loaded, scan_frames([made.calibration], loaded.site.files).frames, hold_back_s=_HOLD_BACK_S)
        follower = _Follower(loaded, made, live, report, began)
        with contextlib.suppress(KeyboardInterrupt):
            follower.follow(process, limits)
    console.print("\nThe instrument has stopped.")
    follower.finish()
    return report


class _Follower:
    """Takes frames from the instrument's spool as they come, and prints what becomes of them."""

    def __init__(self, loaded: LoadedSite, made: Installation, live: LiveRun, report: LiveReport, began: float) -> None:
        self._files, self._methods = loaded.site.files, loaded.site.processing.speed.methods
        self._lines = [line.name for line in loaded.site.lines]
        self._scene: LiveScene = made.open_scene()
        self._root = made.site.parent / "instrument" / NODE
        self._live, self._report, self._began = live, report, began
        self._last = 0

    def follow(self, process: "subprocess.Popen[bytes]", limits: Limits) -> None:
        """Go on until the time is over. Raises DemoError where the instrument ends, or gives nothing in time."""
        while not limits.reached(time.monotonic() - self._began, self._report.pairs):
            if process.poll() is not None:
                raise DemoError(
                    "the instrument ended by itself", file=self._log, value=process.returncode, remedy="see its log"
                )
            if not self._take() and self._last == 0 and time.monotonic() - self._began > _START_S:
                raise DemoError(
                    f"no frame came within {_START_S:g} s", file=self._log, remedy="see the instrument's log"
                )
            time.sleep(_LOOK_S)

    @property
    def _log(self) -> Path:
        return self._root.parent.parent / "instrument.log"

    def _take(self) -> int:
        """Process what is new in the spool; return how many frames that were."""
        if not (self._root / "journal.sqlite").exists():
            return 0
        with Spool(self._root) as spool:
            items = spool.find(kind="frame", after=self._last)
            found = [(item.sequence, frame) for item in items for frame in self._frames(spool.path_of(item))]
        for sequence, frame in found:
            self._last = max(self._last, sequence)
            for record in self._live.add(frame):
                self._show(record)
        return len(found)

    def _frames(self, path: Path) -> tuple[FrameInfo, ...]:
        try:
            return frames_of_file(path, self._files)
        except FrameFileError as error:
            console.print(f"  {path.name}: {error.message}", markup=False)
            return ()

    def finish(self) -> None:
        """Process what still waits, and verify what the instrument has kept."""
        self._take()
        for record in self._live.finish():
            self._show(record)
        with Spool(self._root) as spool:
            self._report.frames = len(spool.find(kind="frame"))
            bad = {fault.sequence for fault in verify_spool(spool).faults}
            self._report.verified = self._report.frames - len(bad)

    def _show(self, record: PairRecord) -> None:
        report, words, valid = self._report, [], False
        report.pairs += 1
        for line in self._lines:
            for method in self._methods:
                emission = record.emissions.get((line, method))
                if emission is None or emission.status is not EmissionStatus.OK:
                    continue
                true = self._scene.emission_rate(line, record.time)
                tally = report.tallies.setdefault((line, method), Tally())
                tally.retrieved.append(emission.rate)
                tally.true.append(true)
                if method == self._methods[0]:
                    valid = True
                    sigma = math.hypot(emission.random, emission.systematic)
                    error = 100 * (emission.rate / true - 1)
                    words.append(f"{line} {emission.rate:5.2f} ± {sigma:4.2f}, true {true:5.2f} ({error:+5.1f} %)")
        if valid and report.first_rate_s is None:
            report.first_rate_s = time.monotonic() - self._began
            console.print(
                f"\nSO2 emission rates in kg/s by {self._methods[0].replace('_', ' ')}, 1 sigma, and the truth:"
            )
        if words:
            console.print(f"  {record.time + _HALF:%H:%M:%S}  {';  '.join(words)}", markup=False)


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
