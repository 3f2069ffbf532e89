"""A run over pairs: events in their order through the processor, and what is kept of it."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime

from so2cam.core.errors import InputError
from so2cam.core.records import FramePair
from so2cam.pipeline.columns import ColumnPoint
from so2cam.pipeline.frames import FrameReader, Read, read_pair
from so2cam.pipeline.processor import Processor
from so2cam.pipeline.records import PairImages, PairRecord

Progress = Callable[[int, int], None]


@dataclass(slots=True)
class ExampleKeeper:
    """Keeps the images of the pair nearest to the middle of a run whose motion is known."""

    wanted: datetime
    kept: PairImages | None = None

    def __call__(self, images: PairImages) -> None:
        """See the images of a pair."""
        if self.kept is None:
            self.kept = images
            return
        if (self.kept.flow is None, self._distance(self.kept)) > (images.flow is None, self._distance(images)):
            self.kept = images

    def _distance(self, images: PairImages) -> float:
        return abs((images.time - self.wanted).total_seconds())


@dataclass(slots=True)
class PairRun:
    """Records of pairs, and the pairs of which a frame could not be read."""

    records: list[PairRecord] = field(default_factory=list)
    lost: list[FramePair] = field(default_factory=list)


def push_pair(pair: FramePair, processor: Processor, read: Read) -> list[PairRecord] | None:
    """Read a pair's frames and push it; None where one of them cannot be read."""
    frames = read_pair(pair, read)
    return None if frames is None else processor.push(pair, *frames)


def run_pairs(
    events: Iterable[FramePair | ColumnPoint],
    processor: Processor,
    read: Read,
    progress: Progress | None,
    pairs: int,
) -> PairRun:
    """Run all ``events``, of which ``pairs`` are pairs, and return the records in order of time."""
    run = PairRun()
    done = 0
    for event in events:
        if isinstance(event, ColumnPoint):
            processor.add_column(event)
            continue
        complete = push_pair(event, processor, read)
        if complete is None:
            run.lost.append(event)
        else:
            run.records += complete
        done += 1
        if progress is not None:
            progress(done, pairs)
    run.records += processor.finish()
    run.records.sort(key=lambda record: record.time)
    return run


def require_records(run: PairRun, reader: FrameReader) -> None:
    """Raise InputError where none of a run's pairs could be read."""
    if run.records:
        return
    lost = (str(frame.path) for pair in run.lost for frame in (pair.on, pair.off))
    first = next(reader.failures[path] for path in lost if path in reader.failures)
    raise InputError(
        f"none of {len(run.lost)} pairs could be read; the first problem: {first.message}",
        file=first.file,
        remedy=first.remedy,
    )
