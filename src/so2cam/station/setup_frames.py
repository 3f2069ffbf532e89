"""Frames of the archive for those who set a site up: pairs, and their absorbance images with a draft's settings."""

import threading
import time
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

from so2cam.core.errors import FrameFileError, InputError
from so2cam.core.records import Frame, FrameInfo, FramePair
from so2cam.core.site import Site
from so2cam.core.spectra import SpectrumInfo
from so2cam.core.status import STATUS_TEXT, EmissionStatus
from so2cam.formats.sitefile import LoadedSite
from so2cam.pipeline.dilution import RecordedDilution, build_dilution
from so2cam.pipeline.dilution_source import DilutionSource
from so2cam.pipeline.frames import DarkLibrary, FrameReader
from so2cam.pipeline.image_chain import ImageChain
from so2cam.pipeline.known_before import know_before
from so2cam.pipeline.pairing import pair_plume
from so2cam.pipeline.records import PairRecord
from so2cam.pipeline.references import References, build_references
from so2cam.pipeline.steps import AbsorbanceImage
from so2cam.station.archive_view import ArchiveView
from so2cam.station.arrivals import FRAME, Recogniser
from so2cam.station.catalogue import ArchivedFile
from so2cam.station.context import StationContext, StationSite
from so2cam.station.live_day import processing_hash
from so2cam.station.recorded import MadeWith
from so2cam.station.references import PLUME, choose_references, day_of, read_references

_CHAINS: Final = 4
_IMAGES: Final = 24
_LOOK_S: Final = 5.0
"""How long calibration files of a day are taken to be the same."""


@dataclass(frozen=True, slots=True)
class SetupChain:
    """What makes absorbance images of one day, as a run over that day would have it.

    ``site`` has its view and registration found. Where light dilution is found from pair to pair, ``chain`` corrects it
    as the result of each pair says: images are asked for in any order, by whoever looks. ``no_calibration`` says why
    there is no calibration by gas cells or a known slope, where the settings want one. ``frames`` are the calibration
    frames.
    """

    site: Site
    references: References
    darks: DarkLibrary
    reader: FrameReader
    chain: ImageChain
    notes: tuple[str, ...] = ()
    no_calibration: str = ""
    frames: tuple[FrameInfo, ...] = ()


class SetupFrames:
    """Pairs of one site's archive, and what settings make of them. Safe for threads."""

    def __init__(self, context: StationContext, site: StationSite) -> None:
        self._context, self._site = context, site
        self._view = ArchiveView(context.catalogue)
        self._lock = threading.RLock()
        self._chains: OrderedDict[tuple[str, str, tuple[int, ...]], SetupChain] = OrderedDict()
        self._images: OrderedDict[tuple[object, ...], AbsorbanceImage] = OrderedDict()
        self._references: OrderedDict[tuple[str, float, str], tuple[float, tuple[int, ...]]] = OrderedDict()

    def infos(self, loaded: LoadedSite, files: Sequence[ArchivedFile]) -> tuple[FrameInfo, ...]:
        """Return what the pipeline wants to know of archived frames; those that cannot be read are left out."""
        recogniser = Recogniser(loaded.site)
        found: list[FrameInfo] = []
        for file in files:
            try:
                infos = recogniser.infos(self._site.archive.path_of(file))
            except FrameFileError:
                continue
            if not isinstance(infos, SpectrumInfo):
                found.extend(infos)
        return tuple(found)

    def pairs(
        self, loaded: LoadedSite, *, start: datetime | None = None, end: datetime | None = None, limit: int = 120
    ) -> tuple[FramePair, ...]:
        """Return the last ``limit`` pairs of plume frames with ``start`` <= time < ``end``, in order of time."""
        files = self._context.catalogue.find_files(
            self._site.name, kind=FRAME, subject=PLUME, start=start, end=end, newest=True, limit=2 * limit + 2
        )
        return pair_plume(self.infos(loaded, files), loaded.site.processing.pairing).pairs[-limit:]

    def frame(self, loaded: LoadedSite, info: FrameInfo) -> Frame:
        """Return a frame. Raises InputError with the reason where it cannot be read."""
        return _read(info, FrameReader(loaded.site))

    def chain(self, loaded: LoadedSite, day: str) -> SetupChain:
        """Return what makes absorbance images of a day (UTC, ``2026-03-01``) with these settings.

        Raises So2camError subclasses where darks or clear sky are missing, or the registration cannot be found.
        """
        key = processing_hash(loaded.site), day, self.references(loaded, day)
        with self._lock:
            kept = self._chains.get(key)
            if kept is None:
                kept = self._build(loaded, day)
                self._chains[key] = kept
                while len(self._chains) > _CHAINS:
                    self._chains.popitem(last=False)
            self._chains.move_to_end(key)
            return kept

    def absorbance(self, loaded: LoadedSite, pair: FramePair) -> AbsorbanceImage:
        """Return the absorbance image of a pair. Raises InputError saying why there is none.

        Light dilution that runs find is corrected as the pair's result was; where there is none, there is no image.
        """
        files = self.references(loaded, day_of(pair.time))
        corrected = self._corrected_by(pair.time) if _is_found(loaded.site) else None
        key = processing_hash(loaded.site), files, str(pair.on.path), str(pair.off.path), corrected
        with self._lock:
            kept = self._images.get(key)
            if kept is not None:
                self._images.move_to_end(key)
                return kept
            chain = self.chain(loaded, day_of(pair.time))
            found = absorbance_of(chain, pair)
            self._images[key] = found
            while len(self._images) > _IMAGES:
                self._images.popitem(last=False)
            return found

    def references(self, loaded: LoadedSite, day: str) -> tuple[int, ...]:
        """Return the ids of the calibration files of a day: what is made with others is made anew.

        They are looked up at most every ``_LOOK_S``: darks of today may come while somebody looks.
        """
        site = replace(self._site, loaded=loaded)
        key = day, site.settings.reference_days, loaded.site.registration.source
        now = time.monotonic()
        with self._lock:
            kept = self._references.get(key)
        if kept is not None and now - kept[0] < _LOOK_S:
            return kept[1]
        found = tuple(file.id for file in choose_references(site, day))
        with self._lock:
            self._references[key] = now, found
            while len(self._references) > _IMAGES:
                self._references.popitem(last=False)
        return found

    def made_with(self, time: datetime) -> MadeWith | None:
        """Return what the pair of this very time was processed with; None where it has no result."""
        record = self._view.record_of(self._site.name, time)
        return None if record is None else MadeWith.of(record)

    def _corrected_by(self, time: datetime) -> tuple[float, float, float, float] | None:
        made = self.made_with(time)
        if made is None:
            raise InputError(
                "its light dilution is not known: it is found while pairs are processed, and this one has no result",
                remedy="let the station process its day, or look at the bands",
            )
        return made.extinction_per_m

    def forget(self) -> None:
        """Forget what was made of calibration files: they have changed."""
        with self._lock:
            self._chains.clear()
            self._images.clear()
            self._references.clear()

    def _build(self, loaded: LoadedSite, day: str) -> SetupChain:
        site = replace(self._site, loaded=loaded)
        infos = read_references(site, choose_references(site, day)).frames
        reader = FrameReader(loaded.site)
        known = know_before(loaded.site, infos, reader)
        resolved, darks = known.site, known.darks
        problem = ""
        try:
            references = build_references(resolved, known.frames, darks, reader)
        except InputError as error:
            references = build_references(_uncalibrated(resolved), known.frames, darks, reader)
            problem = error.message
        dilution: DilutionSource | None
        if _is_found(resolved):
            dilution = RecordedDilution(resolved, loaded.path.parent, self._corrected_by)
        else:
            dilution = build_dilution(resolved, loaded.path.parent)
        chain = ImageChain(resolved, references, darks, dilution)
        return SetupChain(resolved, references, darks, reader, chain, known.notes, problem, known.frames)


def frames_of(pair: FramePair, reader: FrameReader) -> tuple[Frame, ...]:
    """Return the frames of a pair. Raises InputError with the reason where one cannot be read."""
    return tuple(_read(info, reader) for info in pair.frames)


def _read(info: FrameInfo, reader: FrameReader) -> Frame:
    frame = reader.read(info)
    if frame is None:
        raise InputError(reader.failures[str(info.path)].message, file=info.path)
    return frame


def absorbance_of(chain: SetupChain, pair: FramePair, record: PairRecord | None = None) -> AbsorbanceImage:
    """Return the absorbance image of a pair; what is known of it goes to ``record``.

    Raises InputError saying why there is none.
    """
    found = chain.chain.image(PairRecord(pair) if record is None else record, *frames_of(pair, chain.reader))
    if isinstance(found, EmissionStatus):
        raise InputError(STATUS_TEXT[found], file=pair.on.path)
    return found


def _is_found(site: Site) -> bool:
    """Return whether light dilution is found in what passes before, so that a pair by itself does not tell it."""
    return site.processing.light_dilution.mode in ("terrain", "spectrum")


def _uncalibrated(site: Site) -> Site:
    """Return the site as if the spectrometer alone calibrated: images need no calibration."""
    calibration = site.processing.calibration.model_copy(
        update={"source": "spectrometer", "sensitivity_cell_ppm_m": None}
    )
    return site.model_copy(update={"processing": site.processing.model_copy(update={"calibration": calibration})})
