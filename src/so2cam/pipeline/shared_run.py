"""A run over pairs shared among processes: pieces of time, each to the last bit what one process makes of it.

What passes from pair to pair, once the calibration stands, is little: the frames, the sky and the image of the pair
before, and the pairs of a window of cross-correlation, in which methods are compared too. A piece therefore begins
with the last pair before it that gave an image, and the last that could be read, ends when the pairs after it have
completed its records, and windows are not cut. Whether a pair gives an image no other pair changes: a process finds it
out once, so that an hour of fog costs no more than its pairs. Where more passes (a calibration or a light dilution that
is learnt on the way, Nadeau's axes) a run is not shared.
"""

import signal
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise

import cv2

from so2cam.core.errors import FrameFileError
from so2cam.core.records import FrameInfo, FrameKind, FramePair
from so2cam.core.site import Site
from so2cam.core.status import EmissionStatus
from so2cam.pipeline.calibrated import Calibration
from so2cam.pipeline.calibration import GivenCalibration
from so2cam.pipeline.dilution_source import DilutionSource
from so2cam.pipeline.frames import DarkLibrary, FrameReader, Read, keep_last
from so2cam.pipeline.geometry import WindField
from so2cam.pipeline.image_chain import ImageChain
from so2cam.pipeline.lag_window import METHOD as CROSS_CORRELATION
from so2cam.pipeline.lag_window import window_index
from so2cam.pipeline.learning import Learner, in_order
from so2cam.pipeline.pair_run import ExampleKeeper, PairRun, Progress, push_pair
from so2cam.pipeline.plan import RunPlan
from so2cam.pipeline.processes import shared_among
from so2cam.pipeline.processor import Processor
from so2cam.pipeline.profile_shift import METHOD as NADEAU
from so2cam.pipeline.records import PairImages, PairRecord
from so2cam.pipeline.references import References

PIECE = 200
"""Pairs that one process works on at a time: few enough for Ctrl-C, many enough for the pairs that are done twice."""


@dataclass(frozen=True, slots=True)
class SharedRun:
    """What every process needs. ``pairs`` are in the order of the ends of their exposures."""

    site: Site
    pairs: tuple[FramePair, ...]
    darks: tuple[FrameInfo, ...]
    references: References
    calibration: Calibration | None
    wind: WindField
    dilution: DilutionSource | None
    example_at: datetime

    @property
    def pieces(self) -> list[tuple[int, int]]:
        """First pair of each piece, and the one after its last."""
        cuts = [0]
        for index in range(1, len(self.pairs)):
            if index - cuts[-1] >= PIECE and self._may_cut(index):
                cuts.append(index)
        return list(pairwise([*cuts, len(self.pairs)]))

    def _may_cut(self, index: int) -> bool:
        methods = self.site.processing.speed.methods
        if len(methods) == 1 and CROSS_CORRELATION not in methods:
            return True
        before, after = (window_index(self.site, self.pairs[place].time) for place in (index - 1, index))
        return before != after


def share_of(
    site: Site,
    plan: RunPlan,
    references: References,
    learner: Learner,
    wind: WindField,
    dilution: DilutionSource | None,
    example_at: datetime,
) -> SharedRun | None:
    """Return a run as processes share it, or None where more passes from pair to pair than they could hand on.

    The calibration must be known: given, or learnt from the whole run before.
    """
    calibrator = learner.spectrometer
    if calibrator is not None and not calibrator.frozen:
        return None
    if not (dilution is None or dilution.frozen) or NADEAU in site.processing.speed.methods:
        return None
    pairs = tuple(event for event in in_order(plan.pairs, ()) if isinstance(event, FramePair))
    if any(one.time >= other.time for one, other in pairwise(pairs)):
        return None
    return SharedRun(
        site=site,
        pairs=pairs,
        darks=tuple(frame for frame in plan.frames if frame.kind is FrameKind.DARK),
        references=references,
        calibration=learner.source.at(pairs[-1].time),
        wind=wind,
        dilution=dilution,
        example_at=example_at,
    )


@dataclass(slots=True)
class _Piece:
    """What a process made of a piece."""

    records: list[PairRecord]
    lost: list[FramePair]
    example: PairImages | None
    hashes: dict[str, str]
    failures: dict[str, FrameFileError]


def run_shared(
    shared: SharedRun, jobs: int, reader: FrameReader, keeper: ExampleKeeper, progress: Progress | None
) -> PairRun:
    """Run all pairs in ``jobs`` processes. ``reader`` and ``keeper`` know afterwards what they would know of one."""
    run = PairRun()
    pieces = shared.pieces
    workers = min(jobs, len(pieces))
    for (_, last), piece in zip(pieces, _made(shared, pieces, workers, jobs), strict=True):
        run.records += piece.records
        run.lost += piece.lost
        reader.hashes.update(piece.hashes)
        reader.failures.update(piece.failures)
        if piece.example is not None:
            keeper(piece.example)
        if progress is not None:
            progress(last, len(shared.pairs))
    run.records.sort(key=lambda record: record.time)
    return run


def _made(shared: SharedRun, pieces: Sequence[tuple[int, int]], workers: int, jobs: int) -> Iterator[_Piece]:
    if workers <= 1:
        worker = _Worker(shared)
        yield from (worker.work(*piece) for piece in pieces)
        return
    with shared_among(jobs, workers, _start_worker, (shared,), anew=True) as pool:
        yield from pool.map(_work, pieces)


class _Worker:
    """Works on pieces with one set of darks."""

    def __init__(self, shared: SharedRun) -> None:
        self._shared = shared
        self._reader = FrameReader(shared.site)
        self._darks = DarkLibrary(shared.darks, shared.site.processing, self._reader)
        self._images = ImageChain(shared.site, shared.references, self._darks, shared.dilution)
        self._gave: dict[int, bool | None] = {}
        """of pairs seen so far: whether they give an image; None where a frame of them cannot be read"""

    def work(self, first: int, last: int) -> _Piece:
        """Return the records of the pairs from ``first`` to before ``last``."""
        shared, pairs = self._shared, self._shared.pairs
        own = {id(pair) for pair in pairs[first:last]}
        times = {pair.time for pair in pairs[first:last]}
        keeper = ExampleKeeper(shared.example_at)

        def observe(images: PairImages) -> None:
            if images.time in times:
                keeper(images)

        processor = Processor(
            shared.site,
            shared.references,
            self._darks,
            wind=shared.wind,
            observer=observe,
            calibrator=GivenCalibration(shared.calibration),
            dilution=shared.dilution,
        )
        read = keep_last(self._reader)
        for index in self._lead(first, read):
            push_pair(pairs[index], processor, read)
        records: list[PairRecord] = []
        lost: list[FramePair] = []
        wanted = 0
        for index in range(first, len(pairs)):
            if index >= last:
                if len(records) == wanted:
                    break
                if not self._gave.get(index, True):
                    continue  # it completes nothing
            complete = push_pair(pairs[index], processor, read)
            self._gave[index] = None if complete is None else processor.last_has_image(pairs[index])
            if index < last:
                wanted += complete is not None
                if complete is None:
                    lost.append(pairs[index])
            records += [record for record in complete or () if id(record.pair) in own]
        if len(records) < wanted:
            records += [record for record in processor.finish() if id(record.pair) in own]
        hashes, self._reader.hashes = self._reader.hashes, {}
        return _Piece(records, lost, keeper.kept, hashes, dict(self._reader.failures))

    def _lead(self, first: int, read: Read) -> list[int]:
        """Return the pairs before ``first`` on which it depends, in order.

        The last that gave an image, for its image and sky, and the last that could be read, for its frames.
        """
        lead: list[int] = []
        for index in range(first - 1, -1, -1):
            gave = self._gave_image(index, read)
            if gave is not None and (gave or not lead):
                lead.insert(0, index)
            if gave:
                break
        return lead

    def _gave_image(self, index: int, read: Read) -> bool | None:
        if index not in self._gave:
            pair = self._shared.pairs[index]
            on, off = read(pair.on), read(pair.off)
            later_off = None if pair.later_off is None else read(pair.later_off)
            if on is None or off is None or (later_off is None and pair.later_off is not None):
                self._gave[index] = None
            else:
                image = self._images.image(PairRecord(pair), on, off, later_off)
                self._gave[index] = not isinstance(image, EmissionStatus)
        return self._gave[index]


_worker: _Worker | None = None


def _start_worker(shared: SharedRun) -> None:
    global _worker
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    cv2.setNumThreads(1)  # the processes share the cores
    _worker = _Worker(shared)


def _work(piece: tuple[int, int]) -> _Piece:
    if _worker is None:
        raise RuntimeError("the worker has not been started")
    return _worker.work(*piece)
