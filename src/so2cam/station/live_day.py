"""One day of live processing: a ``LiveRun`` whose every input is written down before it is given.

The catalogue's ``feed`` holds, in order, which files the run was given and when it was told that nothing earlier comes
any more. A run that is given the same again makes the same numbers to the last bit: so a station that was killed goes
on where it was, without a state of its own to lose.

What a pair gives at once is entered at once, with the status ``pending`` for what waits for the end of a window; it is
replaced when that is known.
"""

import logging
import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from so2cam import __version__
from so2cam.core.errors import FrameFileError
from so2cam.core.records import FrameInfo
from so2cam.core.site import Site
from so2cam.core.spectra import SpectrumInfo
from so2cam.formats.sitefile import settings_hash
from so2cam.pipeline.live import FileNote, LiveRun
from so2cam.pipeline.records import Observer, PairRecord
from so2cam.pipeline.spectrum_processor import ColumnRecord
from so2cam.station.arrivals import Recogniser
from so2cam.station.catalogue import ArchivedFile, ColumnRow, PairRow, Run
from so2cam.station.context import StationSite
from so2cam.station.pair_json import pair_row
from so2cam.station.plain import known
from so2cam.station.references import ReferenceInfos, day_bounds

_LOG = logging.getLogger(__name__)
NOT_PROCESSING = ("station", "instrument", "alarms", "publication")
"""Tables of the site file that no number depends on."""


def processing_hash(site: Site) -> str:
    """Return the hash of the settings on which the numbers depend."""
    return settings_hash(site.model_dump(mode="json", exclude=set(NOT_PROCESSING)))


@dataclass(frozen=True, slots=True)
class _Arrival:
    """When (monotonic) a file came, and when its exposure ended."""

    at: float
    end: datetime


class LiveDay:
    """A run over one day of one site, and its entries in the catalogue."""

    def __init__(
        self,
        site: StationSite,
        run: Run,
        references: ReferenceInfos,
        *,
        hold_back_s: float,
        observer: Observer | None = None,
    ) -> None:
        """Build the run. Raises So2camError subclasses where references are missing, as ``LiveRun`` does."""
        self.site, self.run = site, run
        self._catalogue = site.archive.catalogue
        self._recogniser = Recogniser(site.loaded.site)
        self._hold_back_s = hold_back_s
        self._ids: dict[Path, int] = {}
        self._notes: list[tuple[int, str]] = []
        self._columns: list[ColumnRow] = []
        self._arrivals: deque[_Arrival] = deque()
        self._known: dict[datetime, str] | None = None
        """during a replay: what is entered already"""
        self._replayed: dict[datetime, str] = {}
        """during a replay: what was known at once"""
        self._early: list[PairRow] = []
        self.fed: set[int] = set()
        self.live = LiveRun(
            site.loaded,
            references.frames,
            references.spectra,
            hold_back_s=hold_back_s,
            observer=observer,
            on_column=self._on_column,
            note=self._on_note,
            early=self._on_early,
        )

    @property
    def day(self) -> str:
        """The day, as ``2026-03-01``."""
        return self.run.day

    @staticmethod
    def is_current(run: Run, site: Site) -> bool:
        """Tell whether a run was begun with these settings, by this version: only then it gives the same numbers."""
        return (run.settings_sha256, run.software_version) == (processing_hash(site), __version__)

    # --- what is given -------------------------------------------------------------------------------------------

    def replay(self, files: dict[int, ArchivedFile]) -> int:
        """Give the run again what it was given; ``files`` by id. Return how many entries."""
        start, end = day_bounds(self.day)
        self._known = {row.time: row.record for row in self._catalogue.pairs(self.site.name, start=start, end=end)}
        entries = self._catalogue.fed(self.run.id)
        for entry in entries:
            if entry.until is not None:
                self._keep(self.live.advance(entry.until))
            elif entry.file is not None:
                self.fed.add(entry.file)
                if entry.file in files:
                    self._give(files[entry.file])
        self._known = None
        self._replayed.clear()
        return len(entries)

    def give_all(self, files: Sequence[ArchivedFile], now: float) -> None:
        """Give files that are there already at ``now`` (monotonic), all written down at once before the first."""
        new = [file for file in files if file.id not in self.fed]
        self._catalogue.feed_files(self.run.id, [file.id for file in new])
        self.fed.update(file.id for file in new)
        ends = [end for file in new for end in self._give(file)[0]]
        self._await(ends, now)

    def give(self, file: ArchivedFile, now: float) -> int:
        """Give a file that came at ``now`` (monotonic); return how many pairs are complete with it."""
        if file.id in self.fed:
            return 0
        self._catalogue.feed(self.run.id, file=file.id)
        self.fed.add(file.id)
        ends, count = self._give(file)
        self._await(ends, now)
        return count

    def _await(self, ends: Sequence[datetime], now: float) -> None:
        """Remember that exposures which ended at ``ends`` came at ``now``: time may go on to there a while later."""
        if ends:
            self._arrivals.append(_Arrival(now, max(ends)))

    def wait_s(self, now: float) -> float | None:
        """Return how long it is until time goes on without a new file; None where nothing waits."""
        return None if not self._arrivals else max(0.0, self._arrivals[0].at + self._hold_back_s - now)

    def go_on(self, now: float) -> bool:
        """Take as known what ended before files that came ``hold_back_s`` ago; return whether time went on."""
        until: datetime | None = None
        while self._arrivals and now - self._arrivals[0].at >= self._hold_back_s:
            end = self._arrivals.popleft().end
            until = end if until is None else max(until, end)
        if until is None or (self.live.until is not None and until <= self.live.until):
            return False
        self._catalogue.feed(self.run.id, until=until)
        self._keep(self.live.advance(until))
        return True

    def finish(self) -> int:
        """End the run; return how many pairs are complete with that. Calibrations for other days are saved."""
        count = self._keep(self.live.finish())
        if self.live.learner.stored is not None:
            self.live.learner.stored.save()  # before the run is ended: one that is not is done again, and saves again
        self._catalogue.end_run(self.run.id)
        return count

    def _give(self, file: ArchivedFile) -> tuple[list[datetime], int]:
        """Return the ends of exposures in a file, and how many pairs are complete with it."""
        path = self.site.archive.path_of(file)
        try:
            infos = self._recogniser.infos(path)
        except FrameFileError as error:
            self._notes.append((file.id, error.message))
            self._keep([])
            return [], 0
        self._ids[path] = file.id
        several = (infos,) if isinstance(infos, SpectrumInfo) else infos
        records = [record for info in several for record in self.live.add(info)]
        return [_end_of(info) for info in several], self._keep(records)

    # --- what comes of it ----------------------------------------------------------------------------------------

    def _on_note(self, note: FileNote) -> None:
        key = self._ids.pop(note.path, None)
        if key is not None and note.reason is not None:
            self._notes.append((key, note.reason))

    def _on_column(self, record: ColumnRecord) -> None:
        self._columns.append(column_row(record))

    def _on_early(self, record: PairRecord) -> None:
        self._early.append(pair_row(self.live.site, record))

    def _keep(self, records: Sequence[PairRecord]) -> int:
        """Write down results and notes; what a replay finds there already, the same, is left."""
        rows = [pair_row(self.live.site, record) for record in records]
        early, self._early = self._early, []
        fresh = self._fresh(rows, early)
        if fresh:
            self._catalogue.add_pairs(self.site.name, self.run.id, fresh)
        if self._columns:
            self._catalogue.add_columns(self.site.name, self._columns)
            self._columns.clear()
        if self._notes:
            self._catalogue.note_unused(self.run.id, self._notes)
            self._notes.clear()
        return len(rows)

    def _fresh(self, rows: list[PairRow], early: list[PairRow]) -> list[PairRow]:
        """Return what is not entered yet. What is whole there is not replaced by what was known at once."""
        whole, known = {row.time for row in rows}, self._known
        if known is None:
            return rows + [row for row in early if row.time not in whole]
        self._replayed.update({row.time: row.record for row in early})
        fresh = [row for row in rows if known.get(row.time) != row.record]
        other = [row for row in fresh if row.time in known and known[row.time] != self._replayed.get(row.time)]
        if other:
            _LOG.warning("%s: a replay gave other numbers at %s", self.site.name, other[0].time)
        for time in whole:
            self._replayed.pop(time, None)
        return fresh + [row for row in early if row.time not in whole and row.time not in known]


def column_row(record: ColumnRecord) -> ColumnRow:
    """Return what the catalogue keeps of a spectrum's column."""
    so2, uncertainty = record.parameters.get("so2", (math.nan, math.nan))
    return ColumnRow(
        record.info.time,
        record.info.path.name,
        known(so2),
        known(uncertainty),
        known(record.light_dilution[0]),
        int(record.status),
    )


def _end_of(info: FrameInfo | SpectrumInfo) -> datetime:
    if isinstance(info, FrameInfo):
        return info.time + timedelta(seconds=info.exposure_s / 2)
    return info.time + timedelta(seconds=(info.integration_time_s or 0.0) * (info.coadds or 1) / 2)
