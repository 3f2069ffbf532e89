"""Pairs of the archive under a draft's settings: log images, absorbance images, and runs of the processor over a few.

What is slow and does not depend on lines, background and motion (darks, flats, cells, registration) is read once and
shared; log images are kept for the last few pairs, so that a line or an area that is moved is measured at once.
"""

import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from so2cam.core.errors import InputError
from so2cam.core.records import FramePair
from so2cam.core.site import Background, Emission, Site, Speed
from so2cam.core.site_dilution import LightDilution
from so2cam.core.status import QUALITY_TEXT, STATUS_TEXT, EmissionStatus, QualityFlag
from so2cam.formats.sitefile import LoadedSite
from so2cam.pipeline.dilution import RecordedDilution, TerrainDilution, build_dilution
from so2cam.pipeline.dilution_source import DilutionSource
from so2cam.pipeline.dilution_terrain import site_ground
from so2cam.pipeline.geometry import WindField
from so2cam.pipeline.image_chain import ImageChain
from so2cam.pipeline.pair_run import push_pair
from so2cam.pipeline.processor import Processor
from so2cam.pipeline.records import PairImages, PairRecord
from so2cam.pipeline.steps import AbsorbanceImage, LogImage
from so2cam.science.imaging.terrain_pixels import TerrainPoints
from so2cam.station.context import Board
from so2cam.station.live_day import processing_hash
from so2cam.station.references import day_of
from so2cam.station.setup_frames import SetupChain, SetupFrames, frames_of

_LOGS: Final = 6
NO_CALIBRATION: Final = "no calibration by gas cells or a known slope; the spectrometer's is made while data come"


@dataclass(frozen=True, slots=True)
class PairLook:
    """A pair with the images of its bands, and its absorbance; ``status`` says why there is none."""

    pair: FramePair
    chain: SetupChain
    on: LogImage
    off: LogImage
    record: PairRecord
    image: AbsorbanceImage | None
    status: EmissionStatus


@dataclass(frozen=True, slots=True)
class Processed:
    """What the processor made of some pairs: their records, and of those with an image what an observer sees."""

    chain: SetupChain
    records: dict[datetime, PairRecord]
    images: dict[datetime, PairImages]


class SetupPairs:
    """Pairs of one site under the settings of its draft. Safe for threads."""

    def __init__(self, frames: SetupFrames, board: Board | None = None, site: str = "") -> None:
        """``board`` and the site's name tell the calibration of live data, where cells and a slope are not given."""
        self._frames, self._board, self._site = frames, board, site
        self._lock = threading.RLock()
        self._seen_ground: tuple[object, TerrainPoints] | None = None
        self._logs: OrderedDict[tuple[str, str, str], tuple[LogImage, LogImage]] = OrderedDict()

    def pairs(self, loaded: LoadedSite, *, day: str | None = None, limit: int = 400) -> tuple[FramePair, ...]:
        """Return the pairs to choose from: the last ones of a day (``2026-03-01``), or of the archive."""
        if day is None:
            return self._frames.pairs(loaded, limit=limit)
        try:
            start = datetime.fromisoformat(day).replace(tzinfo=UTC)
        except ValueError:
            raise InputError("is no day", key="day", value=day, remedy="write it as 2026-03-01") from None
        return self._frames.pairs(loaded, start=start, end=start + timedelta(days=1), limit=limit)

    def window(self, loaded: LoadedSite, time: datetime, *, limit: int = 600) -> tuple[FramePair, ...]:
        """Return the pairs of the window of cross-correlation in which ``time`` lies."""
        length = loaded.site.processing.speed.cross_correlation.window_s
        start = datetime.fromtimestamp(time.timestamp() // length * length, UTC)
        return self._frames.pairs(loaded, start=start, end=start + timedelta(seconds=length), limit=limit)

    def chain(self, loaded: LoadedSite, day: str) -> SetupChain:
        """Return what makes images of a day, with the draft's lines, background and motion.

        Raises So2camError subclasses where calibration files are missing.
        """
        base = self._frames.chain(replace(loaded, site=_common(loaded.site)), day)
        camera = loaded.site.camera.model_copy(update={"view": base.site.camera.view})
        site = loaded.site.model_copy(update={"camera": camera, "registration": base.site.registration})
        images = ImageChain(site, base.references, base.darks, self._dilution(loaded, site))
        return replace(base, site=site, chain=images)

    def look(self, loaded: LoadedSite, pair: FramePair) -> PairLook:
        """Return a pair's images with the draft's settings.

        Raises InputError where a frame cannot be read or has no dark.
        """
        chain = self.chain(loaded, day_of(pair.time))
        record = PairRecord(pair)
        on, off = self._log_images(chain, loaded, pair, record)
        found = chain.chain.image_of(record, on, off)
        image = None if isinstance(found, EmissionStatus) else found
        status = found if isinstance(found, EmissionStatus) else EmissionStatus.OK
        return PairLook(pair, chain, on, off, record, image, status)

    def process(
        self,
        loaded: LoadedSite,
        pairs: Sequence[FramePair],
        *,
        speed: Speed | None = None,
        progress: Callable[[int, int], None] | None = None,
    ) -> Processed:
        """Run the processor over ``pairs``, in order of time, as a run over the archive would.

        ``speed``: instead of the draft's settings of motion.
        Raises So2camError subclasses where calibration files are missing, or a line can never have a value.
        """
        chain = self.chain(loaded, day_of(pairs[0].time))
        site = chain.site
        if speed is not None:
            site = site.model_copy(update={"processing": site.processing.model_copy(update={"speed": speed})})
        references = chain.references
        live = None if self._board is None else self._board.images(self._site)
        if references.calibration is None and live is not None:
            references = replace(references, calibration=live.calibration)
        images: dict[datetime, PairImages] = {}

        def observe(seen: PairImages) -> None:
            images[seen.time] = seen

        wind = WindField(site, loaded.path.parent)
        processor = Processor(site, references, chain.darks, wind=wind, observer=observe, dilution=chain.chain.dilution)
        records: list[PairRecord] = []
        for number, pair in enumerate(pairs, start=1):
            records += push_pair(pair, processor, chain.reader.read) or ()
            if progress is not None:
                progress(number, len(pairs))
        records += processor.finish()
        by_time = {record.time: record for record in records}
        return Processed(replace(chain, site=site, references=references), by_time, images)

    def _dilution(self, loaded: LoadedSite, site: Site) -> DilutionSource | None:
        """Return what finds the light dilution of the pairs to come, and knows of none that were seen before.

        From spectra it is that of the pairs' results: a run knows them all, a few pairs tell nothing.
        """
        folder, mode = loaded.path.parent, site.processing.light_dilution.mode
        if mode == "spectrum":
            return RecordedDilution(site, folder, self._corrected_by)
        return (
            TerrainDilution(site, folder, self._ground(site, folder))
            if mode == "terrain"
            else build_dilution(site, folder)
        )

    def _corrected_by(self, time: datetime) -> tuple[float, float, float, float] | None:
        made = self._frames.made_with(time)
        return None if made is None else made.extinction_per_m

    def _ground(self, site: Site, folder: Path) -> TerrainPoints:
        """Return the ground of a site: terrain models take long to read, lines and motion do not change it."""
        key = site.processing.light_dilution, site.camera, site.volcano
        with self._lock:
            if self._seen_ground is None or self._seen_ground[0] != key:
                self._seen_ground = key, site_ground(site, folder)
            return self._seen_ground[1]

    def _log_images(
        self, chain: SetupChain, loaded: LoadedSite, pair: FramePair, record: PairRecord
    ) -> tuple[LogImage, LogImage]:
        key = processing_hash(_common(loaded.site)), str(pair.on.path), str(pair.off.path)
        with self._lock:
            kept = self._logs.get(key)
            if kept is not None:
                self._logs.move_to_end(key)
                return kept
        found = chain.chain.log_images(record, *frames_of(pair, chain.reader))
        if found is None:
            raise InputError(STATUS_TEXT[EmissionStatus.NO_DARK], file=pair.on.path)
        with self._lock:
            self._logs[key] = found
            while len(self._logs) > _LOGS:
                self._logs.popitem(last=False)
        return found


def around(pairs: Sequence[FramePair], index: int) -> tuple[FramePair, ...]:
    """Return the pair of this place with the one before and the one after it, as far as there are such."""
    return tuple(pairs[max(index - 1, 0) : index + 2])


def uncorrected(record: PairRecord | None) -> str:
    """Return that a pair's light dilution should have been corrected and was not; empty where all is well."""
    unknown = record is not None and QualityFlag.DILUTION_UNKNOWN in record.flags
    return QUALITY_TEXT[QualityFlag.DILUTION_UNKNOWN] if unknown else ""


def _common(site: Site) -> Site:
    """Return the site with everything left out that calibration files do not depend on."""
    processing = site.processing.model_copy(
        update={
            "background": Background(),
            "light_dilution": LightDilution(),
            "speed": Speed(),
            "emission": Emission(),
        }
    )
    return site.model_copy(update={"lines": (), "processing": processing})
