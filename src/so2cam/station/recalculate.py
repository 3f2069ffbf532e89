"""Calculating a day again: when files or calibrations came later than the live run could use them.

The day is run from its beginning with all its files and the calibration files nearest to it, and its results are
replaced in one transaction: whoever asks sees the old ones or the new ones, never a mixture. The results carry a new
revision.
"""

import logging
import threading
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

from so2cam import __version__
from so2cam.core.errors import FrameFileError, So2camError
from so2cam.core.spectra import SpectrumInfo
from so2cam.formats.starter import require_meaning
from so2cam.pipeline.live import FileNote, LiveRun
from so2cam.station.arrivals import FRAME, SPECTRUM, Recogniser
from so2cam.station.catalogue import ArchivedFile, ColumnRow, PairRow
from so2cam.station.context import StationContext, StationSite
from so2cam.station.live_day import column_row, processing_hash
from so2cam.station.pair_json import pair_row
from so2cam.station.references import (
    PLUME,
    choose_references,
    day_bounds,
    read_references,
)

_LOG = logging.getLogger(__name__)
CALIBRATION: Final = "calibration files that lie nearer to the day came later"
_HOLD_BACK_S: Final = 3600.0
_EVERY_S: Final = 5.0


class Recalculation:
    """The service of one site that calculates marked days again."""

    def __init__(
        self, context: StationContext, site: StationSite, *, clock: Callable[[], datetime] | None = None
    ) -> None:
        self._context, self._site = context, site
        self._catalogue = context.catalogue
        self._clock = clock or (lambda: datetime.now(UTC))
        self._seen_references = 0
        self._failed: dict[str, tuple[datetime, frozenset[int]]] = {}
        """days that could not be calculated: since when they were marked then, and with which calibration files"""

    @property
    def name(self) -> str:
        """The service's name."""
        return f"recalculation/{self._site.name}".replace(" ", "-")

    def run(self, stop: threading.Event) -> None:
        """Look for marked days until told to stop."""
        while not stop.wait(_EVERY_S):
            self.mark_days_with_new_references()
            for day in self.due():
                self.recalculate(day, stop)
                if stop.is_set():
                    return

    def mark_days_with_new_references(self) -> None:
        """Mark days whose calibration files would be others today than those that their results are from."""
        newest = self._catalogue.newest_id(self._site.name, not_subjects=(PLUME, "test"))
        if newest == self._seen_references:
            return
        self._seen_references = newest
        for day in self._catalogue.days(self._site.name):
            last = self._catalogue.last_result_run(self._site.name, day.day)
            chosen = frozenset(file.id for file in choose_references(self._site, day.day))
            if last is None or chosen == set(last.inputs):
                continue
            failed = self._failed.get(day.day)
            if day.stale_since is None or (failed is not None and failed[1] != chosen):
                self._failed.pop(day.day, None)
                self._catalogue.mark_stale(self._site.name, day.day, CALIBRATION)

    def due(self) -> list[str]:
        """Return the days to calculate again now: neither the one that is processed live, nor one that just failed."""
        limit = self._clock() - timedelta(seconds=self._site.settings.recalculate_after_s)
        live = self._catalogue.open_run(self._site.name)
        return [
            day.day
            for day in self._catalogue.days(self._site.name, stale=True)
            if day.stale_since is not None
            and day.stale_since <= limit
            and (live is None or live.day != day.day)
            and (day.day not in self._failed or self._failed[day.day][0] != day.stale_since)
        ]

    def recalculate(self, day: str, stop: threading.Event | None = None) -> int | None:
        """Calculate a day again; return how many pairs it has, None where that failed or was stopped."""
        site = self._site
        marked = self._catalogue.day(site.name, day)
        since = None if marked is None else marked.stale_since
        chosen = choose_references(site, day)
        run = self._catalogue.begin_run(
            site.name,
            day,
            "recalculation",
            settings_sha256=processing_hash(site.loaded.site),
            software_version=__version__,
            inputs=[file.id for file in chosen],
        )
        began = time.monotonic()
        try:
            made = self._process(run.id, day, chosen, stop)
        except So2camError as error:
            _LOG.warning("%s: %s cannot be calculated again: %s", site.name, day, error.message)
            self._catalogue.end_run(run.id, "failed")
            if since is not None:
                self._failed[day] = (since, frozenset(run.inputs))
            return None
        if made is None:
            self._catalogue.end_run(run.id, "stopped")
            return None
        rows, columns = made
        start, end = day_bounds(day)
        self._catalogue.replace_day(site.name, day, run.id, rows, columns=columns, start=start, end=end, marked=since)
        _LOG.info("%s: %s calculated again in %.0f s: %d pairs", site.name, day, time.monotonic() - began, len(rows))
        return len(rows)

    def _process(
        self, run: int, day: str, chosen: Sequence[ArchivedFile], stop: threading.Event | None
    ) -> tuple[list[PairRow], list[ColumnRow]] | None:
        """Return what all pairs and spectra of a day give; None where it was stopped. Notes are entered already.

        Raises So2camError where the site file or the calibration files cannot be used.
        """
        site = self._site
        require_meaning(site.loaded.site, site.loaded.path)
        references = read_references(site, chosen)
        start, end = day_bounds(day)
        found = self._catalogue.find_files(site.name, subject=PLUME, start=start, end=end)
        files = [file for file in found if file.kind in (FRAME, SPECTRUM)]
        self._catalogue.feed_files(run, [file.id for file in files])
        ids = {site.archive.path_of(file): file.id for file in files}
        notes: list[tuple[int, str]] = []
        columns: list[ColumnRow] = []

        def note(said: FileNote) -> None:
            if said.reason is not None and said.path in ids:
                notes.append((ids[said.path], said.reason))

        live = LiveRun(
            site.loaded,
            references.frames,
            references.spectra,
            hold_back_s=_HOLD_BACK_S,
            on_column=lambda record: columns.append(column_row(record)),
            note=note,
        )
        recogniser = Recogniser(site.loaded.site)
        rows: list[PairRow] = []
        for file in files:
            if stop is not None and stop.is_set():
                return None
            try:
                infos = recogniser.infos(site.archive.path_of(file))
            except FrameFileError as error:
                notes.append((file.id, error.message))
                continue
            for info in (infos,) if isinstance(infos, SpectrumInfo) else infos:
                rows += [pair_row(live.site, record) for record in live.add(info)]
        rows += [pair_row(live.site, record) for record in live.finish()]
        self._catalogue.note_unused(run, notes)
        return rows, columns
