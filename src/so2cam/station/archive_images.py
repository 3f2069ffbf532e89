"""Images of archived pairs, as the viewer in a browser takes them: both bands as they are kept, absorbance and column
as the site's settings make them now. What was asked for lately is kept.
"""

import math
import threading
from collections import OrderedDict
from datetime import datetime, timedelta
from typing import Final

import numpy as np

from so2cam.core.errors import InputError
from so2cam.core.records import Band, FrameInfo, FramePair
from so2cam.core.status import QUALITY_TEXT, QualityFlag
from so2cam.formats.sitefile import LoadedSite
from so2cam.pages import FrameHeader, encode_frame, encode_values
from so2cam.pipeline.calibrated import Calibration, column_image_ppm_m
from so2cam.pipeline.pairing import pair_plume
from so2cam.pipeline.steps import shown_absorbance
from so2cam.station.archive_query import ArchiveQuery
from so2cam.station.archive_view import ArchiveView
from so2cam.station.arrivals import FRAME
from so2cam.station.context import StationContext, StationSite
from so2cam.station.live_day import processing_hash
from so2cam.station.live_images import Quantity
from so2cam.station.recorded import MadeWith
from so2cam.station.references import PLUME, day_of
from so2cam.station.setup_frames import SetupFrames

_KEPT: Final = 48
_PAIRS: Final = 400
_MARGIN_S: Final = 5.0
_RECORDED: Final = ("spectrometer", "joint")


class ArchiveImages:
    """Images of one site's archive. Safe for threads; the newest ``_KEPT`` messages stay in memory."""

    def __init__(self, context: StationContext, site: StationSite, frames: SetupFrames) -> None:
        self._site, self._frames = site, frames
        self._catalogue = context.catalogue
        self._view = ArchiveView(context.catalogue)
        self._lock = threading.Lock()
        self._messages: OrderedDict[tuple[object, ...], bytes] = OrderedDict()
        self._pairs: OrderedDict[tuple[datetime, str], FramePair] = OrderedDict()

    def settings(self) -> str:
        """Return what the images depend on beside the frames: a hash of the site's settings."""
        return processing_hash(self._site.loaded.site)

    def message(self, quantity: Quantity, time: datetime) -> bytes:
        """Return the frame message of the pair of this time, or the nearest to it.

        Raises InputError saying why there is none, CatalogueError where the catalogue refuses.
        """
        pair, files = self.pair(time), tuple[int, ...]()
        result: MadeWith | None = None
        if quantity not in ("on", "off"):
            files = self._frames.references(self._site.loaded, day_of(pair.time))
            result = self._frames.made_with(pair.time)
        key = quantity, time, self.settings(), files, result
        with self._lock:
            kept = self._messages.get(key)
            if kept is not None:
                self._messages.move_to_end(key)
                return kept
        made = self._band(quantity, pair) if quantity in ("on", "off") else self._processed(quantity, pair, result)
        with self._lock:
            self._messages[key] = made
            while len(self._messages) > _KEPT:
                self._messages.popitem(last=False)
        return made

    def pair(self, time: datetime) -> FramePair:
        """Return the pair of this time, or the nearest to it. Raises InputError where no frames of one are there."""
        key = time, self.settings()
        with self._lock:
            kept = self._pairs.get(key)
        if kept is not None:
            return kept
        found = self._find(time)
        with self._lock:
            self._pairs[key] = found
            while len(self._pairs) > _PAIRS:
                self._pairs.popitem(last=False)
        return found

    def band_of(self, device: str, query: ArchiveQuery) -> Band | None:
        """Return the band of a camera's first plume frame of a span that can be read; None where none can."""
        files = self._catalogue.find_files(
            self._site.name, kind=FRAME, subject=PLUME, device=device, start=query.start, end=query.end, limit=3
        )
        infos = self._frames.infos(self._site.loaded, files)
        return infos[0].band if infos else None

    def _find(self, time: datetime) -> FramePair:
        loaded = self._site.loaded
        settings = loaded.site.processing.pairing
        reach = timedelta(seconds=max(settings.tolerance_s, settings.maximum_gap_s) + _MARGIN_S)
        files = self._catalogue.find_files(
            self._site.name, kind=FRAME, subject=PLUME, start=time - reach, end=time + reach
        )
        record = self._view.record_of(self._site.name, time)
        names = [] if record is None else list(record.get("frames", ()))
        own = [file for file in files if file.name in names]
        if len(own) == len(set(names)) and own:
            infos = self._frames.infos(loaded, own)
            pair = _as_named(names, infos, time)
            if pair is not None:
                return pair
        infos = self._frames.infos(loaded, files)
        pairs = pair_plume(infos, settings).pairs
        if not pairs:
            raise InputError(f"the archive has no pair of frames near {time:%Y-%m-%d %H:%M:%S} UTC that can be read")
        return min(pairs, key=lambda pair: abs(pair.time - time))

    def _band(self, quantity: Quantity, pair: FramePair) -> bytes:
        info = pair.on if quantity == "on" else pair.off
        frame = self._frames.frame(self._site.loaded, info)
        header = FrameHeader(
            label=f"{info.band.value} band",
            unit="DN",
            time=info.time,
            saturation=math.ceil(self._site.loaded.site.camera.sensor.saturation_dn),
        )
        return encode_frame(np.asarray(frame.counts).astype(np.uint16, copy=False), header)

    def _processed(self, quantity: Quantity, pair: FramePair, result: MadeWith | None) -> bytes:
        loaded = self._site.loaded
        image = self._frames.absorbance(loaded, pair)
        uncorrected = loaded.site.processing.light_dilution.mode != "none" and image.dilution is None
        why = QUALITY_TEXT[QualityFlag.DILUTION_UNKNOWN] if uncorrected else None
        absorbance = shown_absorbance(image)
        if quantity == "absorbance":
            return encode_values(absorbance, FrameHeader(label="absorbance", time=pair.time, why=why))
        calibration = self._calibration(loaded, pair, result)
        if calibration is None:
            raise InputError("there is no calibration of this pair: look at the absorbance")
        columns = column_image_ppm_m(absorbance, calibration)
        header = FrameHeader(label="SO2 column density", unit="ppm m", time=pair.time, why=why)
        return encode_values(columns, header)

    def _calibration(self, loaded: LoadedSite, pair: FramePair, result: MadeWith | None) -> Calibration | None:
        """Return the calibration of a pair: where it changes with time, the one that its result was made with."""
        references = self._frames.chain(loaded, day_of(pair.time)).references
        if loaded.site.processing.calibration.source not in _RECORDED or result is None:
            return references.calibration
        return result.calibration(references.shape) or references.calibration


def _as_named(names: list[str], infos: tuple[FrameInfo, ...], time: datetime) -> FramePair | None:
    """Return the pair whose frames a result names, in their order: on, off, and a later off where one is there."""
    by_name = {name: [info for info in infos if info.path.name == name] for name in names}
    on = [info for info in by_name[names[0]] if info.band is Band.ON and info.time == time]
    off = [info for name in names[1:] for info in by_name[name] if info.band is Band.OFF]
    if len(on) != 1 or not 1 <= len(off) <= 2 or len(off) != len(names) - 1:
        return None
    return FramePair(on[0], *off)
