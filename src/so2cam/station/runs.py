"""Runs over the archive with any settings, one after the other, each in a process of its own: the service of a station.

Pages order, cancel and repeat runs; the service does the oldest that waits. What waits outlives a restart of the
station; a run that was cut off is marked ``interrupted`` and can be done again.
"""

import json
import logging
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any, Final

from so2cam import __version__
from so2cam.core.errors import InputError
from so2cam.formats.sitefile import load_site_text, settings_hash
from so2cam.formats.starter import require_meaning
from so2cam.station.context import StationContext, StationSite
from so2cam.station.run_files import choose_files, files_content
from so2cam.station.run_live import live_content, write_rows
from so2cam.station.run_process import end_process
from so2cam.station.run_reuse import reused_notes
from so2cam.station.run_store import RunOrder, RunRecord, RunStore, interrupted

_LOG = logging.getLogger(__name__)
_LOOK_S: Final = 1.0
_POLL_S: Final = 0.1
_TIDY_S: Final = 8.0
"""How long a run may take to end tidily."""
_PROGRAM: Final = (sys.executable, "-P", "-m", "so2cam.station.run_worker")
_THREADS: Final = ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")
_ROOM: Final = "Delete runs that nobody needs any more, or give the station a larger disk"
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
    look_at: float = 0.0
    """when (monotonic) the disk is looked at next"""


class Runs:
    """The runs of all sites of a station, and the service that does them. Safe for threads."""

    def __init__(
        self,
        context: StationContext,
        *,
        program: Sequence[str] = _PROGRAM,
        free: Callable[[Path], int] = lambda folder: shutil.disk_usage(folder).free,
    ) -> None:
        """``program`` is called with the folder of a run; ``free`` says how much a folder's disk has free [bytes]."""
        self._context, self._program, self._free = context, tuple(program), free
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

        Raises SiteFileError where its settings are wrong or still placeholders, InputError where there is nothing to
        process, no result, or no room.
        """
        loaded = load_site_text(order.text, site.loaded.path)
        if loaded.site.name != site.name:
            raise InputError(
                "the settings are those of another site", key="name", value=loaded.site.name, remedy="keep the name"
            )
        if order.kind == "process":  # live results are there already, whatever the file says now
            require_meaning(loaded.site, loaded.path)
        if short := self._shortage(site):
            raise InputError(short, remedy=_ROOM)
        store = self._stores[site.name]
        reused = None if order.kind != "process" else order.columns_of
        notes = () if reused is None else reused_notes(store, reused, loaded, order.start, order.end)
        chosen = choose_files(site, loaded, order.start, order.end, order.kind, with_spectra=reused is None)
        order = replace(order, kind=chosen.kind, columns_of=reused)
        if order.kind != "process":
            order = replace(order, images=None)
        files = files_content(site.archive.root, chosen.paths)
        files |= {"site_file": str(site.loaded.path), "notes": [*chosen.notes, *notes]}
        digest, version = settings_hash(loaded.settings), __version__
        if order.kind == "live":
            files |= live_content(self._context.catalogue, site.name, loaded, order.start, order.end)
            digest, version = files["settings_sha256"], files["version"]
            if not files["same_settings"]:
                order = replace(order, settings="others than those of the site file now")
        record = store.add(order, settings_sha256=digest, version=version, files=files)
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
                write_rows(self._context.catalogue, site, store, running.record)
            stopped = self._work(store, running, stop)
        finally:
            with self._lock:
                try:
                    self._end(store, running, stopped=stopped)
                finally:
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
                if stop.wait(_POLL_S) or running.cancelled_by or self._is_full(running):
                    break
        finally:
            stopped = process.poll() is None
            end_process(process, _TIDY_S)
            listener.join(_TIDY_S)
            if process.stdout is not None and not listener.is_alive():
                process.stdout.close()
        return stopped and not (running.cancelled_by or running.failure)

    def _is_full(self, running: _Running) -> bool:
        """Return whether a run takes the room that is kept for what comes, and say so in its failure."""
        if time.monotonic() < running.look_at:
            return False
        running.look_at = time.monotonic() + _LOOK_S
        short = self._shortage(next(site for site in self._context.sites if site.name == running.site))
        if short:
            running.failure = f"{short}. {_ROOM}"
        return bool(short)

    def _shortage(self, site: StationSite) -> str:
        """Return in words that the station's disk has no room for runs; nothing where it has."""
        free, kept = self._free(self._context.folder), site.settings.minimum_free_bytes
        if free >= kept:
            return ""
        return (
            f"the disk of the station is nearly full: {free / 1e9:.1f} GB are free, and {kept / 1e9:.1f} GB are kept "
            "for what comes (station.minimum_free_bytes)"
        )

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
        if not running.cancelled_by and store.finish(record, running.outcome) is not None:
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


def runs_folder(context: StationContext, site: StationSite) -> Path:
    """Return where a site's runs are kept: beside its results, all of which may be published."""
    return context.folder / "runs" / site.results.name


def _now() -> datetime:
    return datetime.now(UTC)
