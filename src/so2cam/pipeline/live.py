"""The live runner: frames and spectra in one by one, as they become known; records of emission rates out.

    run = LiveRun(load_site(path), calibration_frames, calibration_spectra, hold_back_s=30)
    for info in arriving:                      # FrameInfo or SpectrumInfo, in nearly any order
        for record in run.add(info): ...       # records that are complete now, mostly none or one
    run.advance(time)                          # nothing that ended by then is still on its way
    for record in run.finish(): ...            # the end: what still waited

What comes in may be out of order by ``hold_back_s``: what was exposed up to that long before the end of the newest
exposure known is taken as complete, and what comes later than that is left out and said so. Pairs are those of a run
over the whole series; pairs and columns reach the ``Processor`` in the order of the ends of their exposures
(``learning.in_order``), as they do in ``batch.process_folders``. So the emission rates are, to the last bit, those of
that runner over the same files with the calibration policy ``rolling``. The policy ``whole`` needs the end of the run
before its beginning: it runs as ``rolling`` here, and ``warnings`` says so.

What frames are compared with (darks, clear sky, gas cells, a registration found in frames) is built from what is known
at the start, and stays; of an earlier run's plume frames only a registration or a search of gas cells makes use. What a
run holds is bounded by the hold-back and the windows of calibration and cross-correlation, but for the calibration's
record (some 300 bytes a point): begin a new run each day. A run reads files and writes none; it has no clock.
"""

import heapq
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import takewhile
from pathlib import Path

from so2cam.core.errors import InputError
from so2cam.core.records import FrameInfo, FrameKind, FramePair
from so2cam.core.site import Site
from so2cam.core.spectra import SpectrumInfo, SpectrumKind
from so2cam.formats.sitefile import LoadedSite, spectrometer_of
from so2cam.pipeline.columns import COLUMN_MARGIN, ColumnPoint, point_of, pools_dilution
from so2cam.pipeline.dilution import build_dilution
from so2cam.pipeline.frames import FrameReader, keep_last, read_pair
from so2cam.pipeline.geometry import WindField
from so2cam.pipeline.known_before import know_before
from so2cam.pipeline.learning import build_learner, known_at
from so2cam.pipeline.live_pairing import FOREVER, build_pairer, frame_order
from so2cam.pipeline.processor import Processor
from so2cam.pipeline.records import Observer, PairRecord
from so2cam.pipeline.references import build_references
from so2cam.pipeline.spectra_batch import spectrum_order
from so2cam.pipeline.spectrum_processor import ColumnRecord, SpectrumProcessor, SpectrumReader
from so2cam.pipeline.uncorrected_dilution import uncorrected_dilution_risks

HOLD_BACK_S = 30.0
"""How late a file may come, unless told otherwise [s]."""


@dataclass(frozen=True, slots=True)
class FileNote:
    """What became of a file: used, with its SHA-256, or left out, with the reason in words."""

    path: Path
    sha256: str | None = None
    reason: str | None = None


@dataclass(slots=True)
class LiveCounts:
    """What a run has seen so far."""

    frames: int = 0
    spectra: int = 0
    pairs: int = 0
    records: int = 0
    columns: int = 0
    late: int = 0
    """files that came later than the hold-back"""
    left_out: int = 0
    """files not used for any other reason, frames without a partner among them"""


class LiveRun:
    """A run over files as they come. See the module's own words for its use.

    ``frames`` are the calibration frames, ``spectra`` the darks (and clear-sky spectra) of the spectrometer.
    ``observer`` sees the images of every pair, ``on_column`` what every spectrum gives, ``note`` what became of every
    file; ``early`` what is known of a record that waits for the end of its cross-correlation window, the rest pending.
    Raises So2camError subclasses as a batch run does, where the references cannot be built.
    """

    def __init__(
        self,
        loaded: LoadedSite,
        frames: Sequence[FrameInfo],
        spectra: Sequence[SpectrumInfo] = (),
        *,
        hold_back_s: float = HOLD_BACK_S,
        observer: Observer | None = None,
        on_column: Callable[[ColumnRecord], None] | None = None,
        note: Callable[[FileNote], None] | None = None,
        early: Callable[[PairRecord], None] | None = None,
    ) -> None:
        if not hold_back_s >= 0:
            raise InputError("must be zero or more", key="hold_back_s", value=hold_back_s)
        self._hold_back = timedelta(seconds=hold_back_s)
        self._on_column, self._note = on_column, note
        self.counts = LiveCounts()
        self._pooled = pools_dilution(loaded)
        site, policy_notes = _rolling(loaded.site)
        folder = loaded.path.parent
        self._own_reader = FrameReader(site)
        known = know_before(site, frames, self._own_reader)
        self.site = known.site
        self.references = build_references(self.site, known.frames, known.darks, self._own_reader)
        self.learner = build_learner(self.site, folder, self.references)
        """What is learnt from the spectrometer. Calibrations to be stored: ``learner.stored.save()`` after the end."""
        self.warnings = (*policy_notes, *known.notes, *uncorrected_dilution_risks(self.site))
        self._processor = Processor(
            self.site,
            self.references,
            known.darks,
            wind=WindField(self.site, folder),
            observer=observer,
            calibrator=self.learner.source,
            dilution=build_dilution(self.site, folder),
            early=early,
        )
        self._reader = FrameReader(self.site)
        self._read = keep_last(self._reader)
        self._spectra = build_fitter(loaded, self.site, spectra)
        self._pairer = build_pairer(self.site.processing.pairing)
        self._pairs: list[tuple[datetime, tuple[datetime, str], FramePair]] = []
        self._columns: list[tuple[datetime, datetime, object, ColumnPoint]] = []
        self._seen: dict[Path, datetime] = {}
        self._newest: datetime | None = None
        self._until: datetime | None = None
        self._first_pair: datetime | None = None
        self._ended = False

    @property
    def until(self) -> datetime | None:
        """Everything up to this time is taken as known, UTC; None before anything is."""
        return self._until

    @property
    def reference_hashes(self) -> dict[str, str]:
        """SHA-256 of the calibration frames that were read."""
        return dict(self._own_reader.hashes)

    def add(self, info: FrameInfo | SpectrumInfo) -> list[PairRecord]:
        """Take a file that is there whole, and return the records that are complete with it."""
        return self.add_frame(info) if isinstance(info, FrameInfo) else self.add_spectrum(info)

    def add_frame(self, info: FrameInfo) -> list[PairRecord]:
        """Take a plume frame; frames of any other kind are left out."""
        self._require_open()
        if info.kind is not FrameKind.PLUME:
            self._leave_out(info.path, f"a {info.kind} frame: calibration frames are known before a run")
            return []
        if not self._is_new(info.path, info.time):
            return []
        self.counts.frames += 1
        self._pairer.add(info)
        return self._proceed(info.time + timedelta(seconds=info.exposure_s / 2))

    def add_spectrum(self, info: SpectrumInfo) -> list[PairRecord]:
        """Take a spectrum of the plume; of any other kind, or of a site without spectrometer, it is left out."""
        self._require_open()
        if info.kind is not SpectrumKind.PLUME:
            self._leave_out(info.path, f"a {info.kind} spectrum: darks and clear sky are known before a run")
            return []
        if self._spectra is None:
            self._leave_out(info.path, "the site file has no [spectrometer]")
            return []
        exposure = timedelta(seconds=(info.integration_time_s or 0.0) * (info.coadds or 1))
        end = info.time + exposure / 2
        if not self._is_new(info.path, end):
            return []
        self.counts.spectra += 1
        self._fit(self._spectra, info)
        return self._proceed(end)

    def advance(self, until: datetime) -> list[PairRecord]:
        """Take all that was exposed before ``until`` (UTC) as known, and return the records that are complete."""
        self._require_open()
        if self._until is None or until > self._until:
            self._until = until
        return self._run()

    def finish(self) -> list[PairRecord]:
        """End the run: nothing comes any more. Return all records that still waited."""
        self._require_open()
        self._ended = True
        self._until = FOREVER
        done = self._run()
        rest = self._processor.finish()
        self.counts.records += len(rest)
        return done + rest

    # -- what comes in --------------------------------------------------------------------------------------

    def _require_open(self) -> None:
        if self._ended:
            raise RuntimeError("the run was finished")

    def _is_new(self, path: Path, time: datetime) -> bool:
        """Return whether a file of ``time`` is still in time, and not there already."""
        if self._until is not None and time <= self._until:
            self.counts.late += 1
            self._say(FileNote(path, reason="came later than the hold-back allows"))
            return False
        if path in self._seen:
            self._leave_out(path, "was there already")
            return False
        self._seen[path] = time
        return True

    def _fit(self, fitter: tuple[SpectrumReader, SpectrumProcessor], info: SpectrumInfo) -> None:
        reader, processor = fitter
        spectrum = reader.read(info)
        if spectrum is None:
            self._leave_out(info.path, reader.failures.pop(str(info.path)).message)
            return
        self._say(FileNote(info.path, sha256=reader.hashes.pop(str(info.path))))
        (record,) = processor.process([spectrum])
        if self._on_column is not None:
            self._on_column(record)
        point = point_of(record, pooled=self._pooled)
        if point is not None:
            self.counts.columns += 1
            heapq.heappush(self._columns, (point.end, point.time, spectrum_order(info), point))

    def _proceed(self, end: datetime) -> list[PairRecord]:
        if self._newest is None or end > self._newest:
            self._newest = end
            until = end - self._hold_back
            if self._until is None or until > self._until:
                self._until = until
                return self._run()
        return []

    # -- what goes on ---------------------------------------------------------------------------------------

    def _run(self) -> list[PairRecord]:
        """Hand over, in order, all pairs and columns that nothing to come goes before; return complete records."""
        if self._until is None:
            return []
        decided = self._pairer.decide(self._until)
        for frame in decided.unpaired:
            self._leave_out(frame.path, "no frame of the other band belongs to it")
        for pair in decided.pairs:
            heapq.heappush(self._pairs, (known_at(pair), frame_order(pair.on), pair))
        self._seen = {path: time for path, time in self._seen.items() if time > self._until}
        until = self._until  # what waits after it holds nothing up
        waiting = [*takewhile(lambda frame: frame.time <= until, self._pairer.waiting)]
        barrier = min((frame.time + timedelta(seconds=frame.exposure_s / 2) for frame in waiting), default=FOREVER)
        records: list[PairRecord] = []
        while self._pairs and self._pairs[0][0] <= self._until and self._pairs[0][0] < barrier:
            end, _, pair = heapq.heappop(self._pairs)
            if self._first_pair is None:
                self._first_pair = pair.time
                self._drop_columns_before(pair.time)
            self._hand_over_columns(end)
            records += self._push(pair)
        if self._first_pair is None:
            # Columns are held until there is a pair: those long before the first take no part, as in batch.
            times = [frame.time for frame in waiting] + [pair.time for _, _, pair in self._pairs]
            self._drop_columns_before(min([self._until, *times]))
        else:
            next_pair = self._pairs[0][0] if self._pairs else FOREVER
            self._hand_over_columns(min(self._until, barrier, next_pair))
        self.counts.records += len(records)
        return records

    def _drop_columns_before(self, time: datetime) -> None:
        """Drop columns that lie longer before ``time`` than a run over folders looks back."""
        self._columns = [item for item in self._columns if item[3].time >= time - COLUMN_MARGIN]
        heapq.heapify(self._columns)

    def _hand_over_columns(self, until: datetime) -> None:
        while self._columns and self._columns[0][0] <= until:
            self._processor.add_column(heapq.heappop(self._columns)[3])

    def _push(self, pair: FramePair) -> list[PairRecord]:
        frames = read_pair(pair, self._read)
        for path, error in self._reader.failures.items():
            self._leave_out(Path(path), error.message)
        for path, digest in self._reader.hashes.items():
            self._say(FileNote(Path(path), sha256=digest))
        self._reader.failures.clear()
        self._reader.hashes.clear()
        if frames is None:
            return []
        self.counts.pairs += 1
        return self._processor.push(pair, *frames)

    def _leave_out(self, path: Path, reason: str) -> None:
        self.counts.left_out += 1
        self._say(FileNote(path, reason=reason))

    def _say(self, note: FileNote) -> None:
        if self._note is not None:
            self._note(note)


def _rolling(site: Site) -> tuple[Site, tuple[str, ...]]:
    """Return ``site`` with the calibration policy that a live run can follow, and what to say of it."""
    calibration = site.processing.calibration
    if not calibration.by_spectrometer or calibration.spectrometer.policy == "rolling":
        return site, ()
    settings = site.model_dump(mode="json")
    settings["processing"]["calibration"]["spectrometer"]["policy"] = "rolling"
    text = (
        'processing.calibration.spectrometer.policy is "whole", which a live run cannot follow: it calibrates as with '
        '"rolling"; a later run over the folders gives the numbers of "whole"'
    )
    return Site.model_validate(settings), (text,)


def build_fitter(
    loaded: LoadedSite, site: Site, others: Sequence[SpectrumInfo]
) -> tuple[SpectrumReader, SpectrumProcessor] | None:
    """Return what fits the spectra of a site; None for one without a spectrometer. Raises SiteFileError as needed."""
    needed = site.processing.calibration.by_spectrometer or site.processing.light_dilution.mode == "spectrum"
    if site.spectrometer is None and not needed:
        return None
    settings = spectrometer_of(loaded).spectrometer
    # Darks have a reader of their own: what could not be read of them is remembered, plume spectra are not.
    processor = SpectrumProcessor(settings, loaded.path.parent, others, SpectrumReader(settings))
    return SpectrumReader(settings), processor
