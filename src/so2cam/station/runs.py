"""Runs over the archive with any settings, one after the other, each in a process of its own: the service of a station.

Pages order, cancel and repeat runs; the service does the oldest that waits. What waits outlives a restart of the
station; a run that was cut off is marked ``interrupted`` and can be done again.
"""

import json
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import IO, Any, Final

from so2cam import __version__
from so2cam.core.errors import InputError
from so2cam.core.times import format_utc
from so2cam.formats.sitefile import LoadedSite, load_site_text, settings_hash
from so2cam.station.context import StationContext, StationSite
from so2cam.station.daily import inputs_of
from so2cam.station.references import day_of
from so2cam.station.run_files import choose_files, files_content
from so2cam.station.run_store import ROWS, RunOrder, RunRecord, RunStore, interrupted

_LOG = logging.getLogger(__name__)
_LOOK_S: Final = 1.0
_POLL_S: Final = 0.1
_TIDY_S: Final = 8.0
"""How long a run may take to end tidily."""
_PROGRAM: Final = (sys.executable, "-P", "-m", "so2cam.station.run_worker")
_THREADS: Final = ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")
_CUT_OFF: Final = "the station ended while this was running"


@dataclass(frozen=True, slots=True)
class RunProgress:
    """How far a run is: what it does, how much of that is done, and how long the rest of it will take."""

    stage: str
    done: int = 0
    total: int = 0
    left_s: float | None = None


@dataclass(slots=True)
class _Running:
    site: str
    record: RunRecord
    cancelled_by: str = ""
    progress: RunProgress = RunProgress("starting")
    outcome: dict[str, Any] | None = None
    failure: str = ""
    began: float = 0.0


class Runs:
    """The runs of all sites of a station, and the service that does them. Safe for threads."""

    def __init__(self, context: StationContext, *, program: Sequence[str] = _PROGRAM) -> None:
        """``program`` is called with the folder of a run."""
        self._context, self._program = context, tuple(program)
        self._stores = {site.name: RunStore(runs_folder(context, site)) for site in context.sites}
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._running: _Running | None = None

    @property
    def name(self) -> str:
        """The service's name."""
        return "runs"

    def store(self, site: str) -> RunStore:
        """Return what is kept of a site's runs. Raises KeyError."""
        return self._stores[site]

    # --- what pages ask ----------------------------------------------------------------------------------------------

    def order(self, site: StationSite, order: RunOrder) -> RunRecord:
        """Queue a run, and return it.

        Raises SiteFileError where its settings are wrong, InputError where there is nothing to process or no result.
        """
        loaded = load_site_text(order.text, site.loaded.path)
        if loaded.site.name != site.name:
            raise InputError(
                "the settings are those of another site", key="name", value=loaded.site.name, remedy="keep the name"
            )
        files = files_content(site.archive.root, choose_files(site, loaded, order.start, order.end))
        files["site_file"] = str(site.loaded.path)
        if order.kind == "live":
            files |= self._live_content(site, loaded, order.start, order.end)
        digest = files.get("settings_sha256") or settings_hash(loaded.settings)
        record = self._stores[site.name].add(order, settings_sha256=digest, version=__version__, files=files)
        self._wake.set()
        return record

    def again(self, site: str, run: int) -> RunRecord:
        """Queue a run that did not end well once more, with the same files. Raises InputError for any other."""
        store = self._stores[site]
        with self._lock:
            record = store.get(run)
            if record.is_open or record.state == "done":
                raise InputError(f"the run is {record.state}", key="run", value=run)
            store.tidy(run)
            queued = store.put(
                replace(record, state="queued", began=None, ended=None, message="", warnings=(), summary=())
            )
        self._wake.set()
        return queued

    def cancel(self, site: str, run: int, by: str) -> None:
        """Cancel a run that waits or runs; it ends soon after. Raises InputError where it does neither."""
        store = self._stores[site]
        with self._lock:
            record = store.get(run)
            running = self._running
            if running is not None and (running.site, running.record.id) == (site, run):
                running.cancelled_by = by
            elif record.state == "queued":
                store.put(replace(record, state="cancelled", ended=_now(), message=f"cancelled by {by}"))
            else:
                raise InputError(f"the run is {record.state}", key="run", value=run)

    def progress(self, site: str, run: int) -> RunProgress | None:
        """Return how far a run is; None where it does not run."""
        with self._lock:
            running = self._running
            if running is None or (running.site, running.record.id) != (site, run):
                return None
            return running.progress

    def waiting_before(self, record: RunRecord) -> int:
        """Return how many runs will be done before one that waits."""
        waiting = sum((one.made, one.id) < (record.made, record.id) for _, one in self._queue())
        return waiting + (self._running is not None)

    # --- the service -------------------------------------------------------------------------------------------------

    def run(self, stop: threading.Event) -> None:
        """Do what waits, the oldest first, until told to stop."""
        for store in self._stores.values():
            for record in interrupted(store, why=_CUT_OFF):
                _LOG.warning("run %s was cut off", record.title)
        while not stop.is_set():
            self._wake.clear()
            waiting = self._queue()
            if not waiting:
                self._sleep(stop)
                continue
            self._do(*waiting[0], stop)

    def _sleep(self, stop: threading.Event) -> None:
        until = time.monotonic() + _LOOK_S
        while time.monotonic() < until and not stop.is_set() and not self._wake.wait(_POLL_S):
            pass

    def _queue(self) -> list[tuple[str, RunRecord]]:
        found = [
            (site, record) for site, store in self._stores.items() for record in store.all() if record.state == "queued"
        ]
        return sorted(found, key=lambda item: (item[1].made, item[1].id))

    def _do(self, site: str, record: RunRecord, stop: threading.Event) -> None:
        store = self._stores[site]
        with self._lock:
            now = store.get(record.id)
            if now.state != "queued":
                return
            running = _Running(site, store.put(replace(now, state="running", began=_now())))
            running.began = time.monotonic()
            self._running = running
        stopped = False
        try:
            if running.record.kind == "live":
                write_rows(self._context, site, store, running.record)
            stopped = self._work(store, running, stop)
        finally:
            with self._lock:
                self._end(store, running, stopped=stopped)
                self._running = None

    def _work(self, store: RunStore, running: _Running, stop: threading.Event) -> bool:
        """Run the process to its end; return whether the station stopped it."""
        folder = store.path(running.record.id)
        environment = {**os.environ, **dict.fromkeys(_THREADS, "1")}
        with (folder / "log.txt").open("ab") as log:
            process = subprocess.Popen(  # noqa: S603 - our own program
                [*self._program, str(folder)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                env=environment,
                start_new_session=True,
            )
        listener = threading.Thread(target=self._listen, args=(process.stdout, running), daemon=True)
        listener.start()
        try:
            while process.poll() is None:
                if stop.wait(_POLL_S) or running.cancelled_by:
                    break
        finally:
            stopped = process.poll() is None
            _end_process(process)
            listener.join(_TIDY_S)
            if process.stdout is not None and not listener.is_alive():
                process.stdout.close()
        return stopped and not running.cancelled_by

    def _listen(self, stream: IO[bytes] | None, running: _Running) -> None:
        began, stage = time.monotonic(), ""
        for line in stream or ():
            try:
                said = json.loads(line)
            except ValueError:
                continue
            if "done" in said:
                running.outcome = said["done"]
            elif "failed" in said:
                running.failure = str(said["failed"])
            elif "stage" in said:
                if said["stage"] != stage:
                    began, stage = time.monotonic(), said["stage"]
                done, total = said.get("done_of", (0, 0))
                spent = time.monotonic() - began
                left = spent * (total - done) / done if done and spent > 1.0 else None
                with self._lock:
                    running.progress = RunProgress(stage, done, total, left)

    def _end(self, store: RunStore, running: _Running, *, stopped: bool) -> None:
        record = replace(running.record, ended=_now())
        found = running.outcome
        if found is not None and not running.cancelled_by:
            for path in store.path(record.id).glob(".*"):
                path.unlink(missing_ok=True)
            record = replace(
                record,
                state="done",
                pairs=found["pairs"],
                valid=found["valid"],
                warnings=tuple(found["warnings"]),
                summary=tuple((label, value) for label, value in found["summary"]),
            )
            store.put(record)
            return
        store.tidy(record.id)
        if running.cancelled_by:
            record = replace(record, state="cancelled", message=f"cancelled by {running.cancelled_by}")
        elif stopped:
            record = replace(record, state="interrupted", message=_CUT_OFF)
        else:
            message = running.failure or "its process ended by itself: see the log"
            record = replace(record, state="failed", message=message)
        store.put(record)

    # --- live results ------------------------------------------------------------------------------------------------

    def _live_content(self, site: StationSite, loaded: LoadedSite, start: datetime, end: datetime) -> dict[str, Any]:
        """Return what a run that puts live results into files has to know of them."""
        catalogue = self._context.catalogue
        if not catalogue.count_pairs(site.name, start=start, end=end):
            raise InputError(
                f"there are no results from {format_utc(start)} to {format_utc(end)}",
                key="start",
                remedy="choose another time, or process the range",
            )
        inputs: dict[str, str] = {}
        digest, version, day = settings_hash(loaded.settings), __version__, start
        while day < end:
            inputs |= dict(inputs_of(catalogue, site.name, day_of(day)))
            day += timedelta(days=1)
        return {
            "inputs": sorted(inputs.items()),
            "version": version,
            "settings_sha256": digest,
        }


def runs_folder(context: StationContext, site: StationSite) -> Path:
    """Return where a site's runs are kept: beside its results, all of which may be published."""
    return context.folder / "runs" / site.results.name


def write_rows(context: StationContext, site: str, store: RunStore, record: RunRecord) -> None:
    """Write the live results of a run's range into its folder, as the catalogue has them."""
    with store.path(record.id, ROWS).open("w", encoding="utf-8") as stream:
        for row in context.catalogue.pairs(site, start=record.start, end=record.end):
            line = {"time": row.time.timestamp(), "flags": row.flags, "record": row.record}
            stream.write(json.dumps(line) + "\n")


def _end_process(process: "subprocess.Popen[bytes]") -> None:
    """End a process and all that it started: tidily, or else at once."""
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(_TIDY_S)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait(_TIDY_S)
    if process.stdin is not None:
        process.stdin.close()


def _now() -> datetime:
    return datetime.now(UTC)
