"""The live service: plume frames and spectra of a site, as they come into the archive, to emission rates.

One run for each day (UTC), begun with the first plume file of a day that is newer than all before. A file of an older
day, or one later than ``station.hold_back_s``, does not change what was told already: its day is marked, and calculated
again by ``station.recalculate``. After a crash the run is given again what it was given (``station.live_day``).
"""

import logging
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Final

from so2cam import __version__
from so2cam.core.errors import So2camError
from so2cam.formats.starter import without_meaning
from so2cam.pipeline.records import PairImages
from so2cam.station.arrivals import FRAME, SPECTRUM
from so2cam.station.calibration_view import calibration_key, view_of
from so2cam.station.catalogue import ArchivedFile, Run
from so2cam.station.context import LiveState, StationContext, StationSite
from so2cam.station.live_day import LiveDay, processing_hash
from so2cam.station.references import PLUME, ReferenceInfos, choose_references, day_bounds, day_of, read_references

_LOG = logging.getLogger(__name__)
LATE: Final = "files came later than station.hold_back_s allows"
_AT_ONCE: Final = 200
_RETRY_S: Final = 60.0
_FUTURE: Final = timedelta(days=1)
_LONGEST_WAIT_S: Final = 1.0


class LiveProcessing:
    """The live service of one site."""

    def __init__(
        self, context: StationContext, site: StationSite, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._context, self._site, self._clock = context, site, clock
        self._catalogue = context.catalogue
        self._day: LiveDay | None = None
        self._seen = 0
        self._last_arrival = clock()
        self._blocked = ""
        self._retry_at = 0.0
        self._late_told = 0
        self._marked: set[str] = set()
        """older days that were marked in this step: a backlog brings many files of one"""
        self._tried = -1
        self._calibration_shown: tuple[int, ...] = ()

    @property
    def name(self) -> str:
        """The service's name."""
        return f"live/{self._site.name}".replace(" ", "-")

    def run(self, stop: threading.Event) -> None:
        """Process until told to stop. What was begun is taken up again first."""
        self.resume()
        seen = 0
        while not stop.is_set():
            busy = self.step()
            wait_s = self._wait_s()
            if not busy and wait_s > 0:
                seen = self._context.board.wait_arrival(seen, wait_s)

    def _wait_s(self) -> float:
        until = None if self._day is None else self._day.wait_s(self._clock())
        return _LONGEST_WAIT_S if until is None else min(until, _LONGEST_WAIT_S)

    # --- taking up -----------------------------------------------------------------------------------------------

    def resume(self) -> None:
        """Take up the run that was open when the station ended, and give it again what it was given."""
        self._day = None
        self._blocked = ""
        self._seen = self._catalogue.last_fed(self._site.name)
        run = self._catalogue.open_run(self._site.name)
        if run is None:
            return
        if not LiveDay.is_current(run, self._site.loaded.site):
            self._catalogue.end_run(run.id, "superseded")
            self._catalogue.mark_stale(self._site.name, run.day, "the site file or the version of so2cam changed")
            self._begin(run.day)
            return
        self._show("replaying", day=run.day)
        inputs = self._catalogue.files_by_id(run.inputs)
        references = read_references(self._site, [inputs[key] for key in run.inputs if key in inputs])
        day = self._build(run, references)
        files = self._catalogue.files_by_id(entry.file for entry in self._catalogue.fed(run.id) if entry.file)
        began = self._clock()
        count = day.replay(files)
        self._day = day
        self._late_told = day.live.counts.late
        _LOG.info("%s: %d entries of %s replayed in %.1f s", self._site.name, count, run.day, self._clock() - began)
        self._show("live")

    # --- one step ------------------------------------------------------------------------------------------------

    def step(self) -> bool:
        """Take what is new; return whether there was anything. Raises CatalogueError where the database refuses."""
        now = self._clock()
        if self._blocked and not self._unblock(now):
            return False
        files = self._catalogue.find_files(self._site.name, after=self._seen, limit=_AT_ONCE)
        self._marked.clear()
        for file in files:
            if file.subject == PLUME and file.kind in (FRAME, SPECTRUM) and not self._take(file):
                return False
            self._seen = file.id
        went_on = self._day is not None and self._day.go_on(self._clock())
        if files:
            self._last_arrival = now
        elif self._day is not None:
            self._end_if_idle(now)
        if files or went_on:
            self._tell_late()
            self._show("live")
        return bool(files)

    def finish(self) -> None:
        """End the open run: nothing comes any more."""
        if self._day is not None:
            day, self._day = self._day, None
            day.finish()
            self._tell_late_of(day)
            self._show("live", day=day.day)

    def _take(self, file: ArchivedFile) -> bool:
        """Take a plume file; return False where it cannot be taken yet, for want of calibration files."""
        day = day_of(file.time)
        if file.time > datetime.now(UTC) + _FUTURE:
            _LOG.warning("%s is not processed live: its time lies in the future", file.path)
            return True
        if self._day is not None and day == self._day.day:
            self._day.give(file, self._clock())
            return True
        newest = self._catalogue.last_live_day(self._site.name)
        if newest is not None and day < newest:
            self._mark_old(file, day)
            return True
        self.finish()
        return self._begin(day)

    def _mark_old(self, file: ArchivedFile, day: str) -> None:
        if day in self._marked:
            return
        last = self._catalogue.last_run(self._site.name, day)
        if last is None or last.kind == "live" or last.began <= file.received:
            self._catalogue.mark_stale(self._site.name, day, LATE)
            self._marked.add(day)

    def _begin(self, day: str) -> bool:
        """Begin the run of a day with all its files that are there; return whether that went."""
        site = self._site
        if left := without_meaning(site.loaded.site):
            self._block(f"the site file still has placeholders: {', '.join(left)}", day)
            return False
        references = read_references(site, choose_references(site, day))
        prepared = Run(
            0, site.name, day, "live", "open", processing_hash(site.loaded.site), __version__, references.ids, _now()
        )
        try:
            begun = self._build(prepared, references)
        except So2camError as error:
            self._block(error.message, day)
            return False
        begun.run = self._catalogue.begin_run(
            site.name,
            day,
            "live",
            settings_sha256=prepared.settings_sha256,
            software_version=__version__,
            inputs=references.ids,
        )
        self._day = begun
        for warning in self._day.live.warnings:
            _LOG.warning("%s: %s", site.name, warning)
        self._late_told = 0
        start, end = day_bounds(day)
        files = self._catalogue.find_files(site.name, subject=PLUME, start=start, end=end)
        self._show("live")
        self._day.give_all([file for file in files if file.kind in (FRAME, SPECTRUM)], self._clock())
        self._show("live")
        return True

    def _build(self, run: Run, references: ReferenceInfos) -> LiveDay:
        def observe(images: PairImages) -> None:
            self._context.board.show_images(self._site.name, images)
            self._show_calibration(images)

        return LiveDay(
            self._site,
            run,
            references,
            hold_back_s=self._site.settings.hold_back_s,
            observer=observe,
        )

    def _show_calibration(self, images: PairImages) -> None:
        """Put up the calibration that the newest pair was measured with, where it is another one."""
        if self._day is None:
            return
        run = self._day.live
        number = -1 if images.calibration is None else images.calibration.number
        flags = 0 if images.calibration is None else int(images.calibration.flags)
        key = (self._day.run.id, *calibration_key(run), number, flags)
        if key != self._calibration_shown:
            self._calibration_shown = key
            self._context.board.show_calibration(self._site.name, view_of(run, images.calibration, images.time))

    # --- waiting and ending --------------------------------------------------------------------------------------

    def _block(self, message: str, day: str) -> None:
        if message != self._blocked:
            _LOG.warning("%s: no emission rates of %s yet: %s", self._site.name, day, message)
        self._blocked = message
        self._retry_at = self._clock() + _RETRY_S
        self._show("waiting", message=message, day=day)

    def _unblock(self, now: float) -> bool:
        """Try again with the newest day there is, after a time or when calibration files came."""
        new = self._catalogue.find_files(self._site.name, after=self._seen, limit=1, not_subjects=(PLUME, "test"))
        if now < self._retry_at and (not new or self._newest_reference() == self._tried):
            return False
        self._tried = self._newest_reference()
        newest = self._catalogue.find_files(self._site.name, kind=FRAME, subject=PLUME, newest=True, limit=1)
        if not newest:
            self._blocked = ""
            return True
        if self._begin(day_of(newest[0].time)):
            self._blocked = ""
            return True
        return False

    def _newest_reference(self) -> int:
        return self._catalogue.newest_id(self._site.name, not_subjects=(PLUME, "test"))

    def _end_if_idle(self, now: float) -> None:
        """End a run when its day is over or should be calculated again, and nothing has come for long."""
        if self._day is None or now - self._last_arrival < max(60.0, self._site.settings.recalculate_after_s):
            return
        known = self._catalogue.day(self._site.name, self._day.day)
        if day_of(_now()) > self._day.day or (known is not None and known.stale_since is not None):
            self.finish()

    def _tell_late(self) -> None:
        if self._day is not None and self._day.live.counts.late > self._late_told:
            self._late_told = self._day.live.counts.late
            self._catalogue.mark_stale(self._site.name, self._day.day, LATE)

    def _tell_late_of(self, day: LiveDay) -> None:
        if day.live.counts.late > self._late_told:
            self._catalogue.mark_stale(self._site.name, day.day, LATE)

    def _show(self, state: str, *, message: str = "", day: str = "") -> None:
        counts = None if self._day is None else self._day.live.counts
        shown = LiveState(
            state,
            message,
            day or (self._day.day if self._day is not None else ""),
            None if self._day is None else self._day.live.until,
            0 if counts is None else counts.frames,
            0 if counts is None else counts.pairs,
            0 if counts is None else counts.late,
            0 if counts is None else counts.left_out,
        )
        self._context.board.show_live(self._site.name, shown)


def _now() -> datetime:
    return datetime.now(UTC)
