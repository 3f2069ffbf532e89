"""Reading frames during a run: every file once, its hash kept, its problems collected instead of raised."""

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from so2cam.core.errors import FrameFileError
from so2cam.core.records import Frame, FrameInfo
from so2cam.core.site import Processing, Site
from so2cam.formats.png import read_frame
from so2cam.pipeline.steps import DarkFrame, MeanFrame, mean_frame
from so2cam.science.imaging.dark import select_darks
from so2cam.science.imaging.hot_pixels import find_hot_pixels


class FrameReader:
    """Reads frames of one site; ``hashes`` and ``failures`` tell afterwards what was read and what could not be."""

    def __init__(self, site: Site) -> None:
        self._optics = site.camera.optics
        self._maximum_dn = site.camera.sensor.maximum_dn
        self.hashes: dict[str, str] = {}
        self.failures: dict[str, FrameFileError] = {}

    def read(self, info: FrameInfo) -> Frame | None:
        """Return the frame, or None where its file cannot be used; the reason is then in ``failures``."""
        try:
            frame = read_frame(
                info, width=self._optics.width_px, height=self._optics.height_px, maximum_dn=self._maximum_dn
            )
        except FrameFileError as error:
            self.failures[str(info.path)] = error
            return None
        self.hashes[str(info.path)] = frame.sha256
        return frame

    def explain(self, frames: Iterable[FrameInfo]) -> str:
        """Return how many of ``frames`` could not be read, and why the first; empty where all could."""
        failed = [self.failures[str(info.path)] for info in frames if str(info.path) in self.failures]
        if not failed:
            return ""
        first = failed[0]
        return f"; {len(failed)} unreadable, the first: {Path(str(first.file)).name} {first.message}"


class DarkLibrary:
    """The dark frames of a run, averaged as they are asked for; the last few averages are kept."""

    _KEPT = 8

    def __init__(self, darks: Sequence[FrameInfo], settings: Processing, reader: FrameReader) -> None:
        self._darks = tuple(darks)
        self._settings = settings.dark
        self._hot_pixels = settings.hot_pixels
        self._reader = reader
        self._means: dict[tuple[str, ...], DarkFrame] = {}

    def dark_for(self, frame: FrameInfo) -> DarkFrame | None:
        """Return the mean dark that belongs to ``frame``, or None where there is none: never anything else."""
        unreadable = self._reader.failures
        chosen = select_darks(
            frame,
            [dark for dark in self._darks if str(dark.path) not in unreadable],
            exposure_tolerance=self._settings.exposure_tolerance,
            averaging_s=self._settings.averaging_s,
        )
        if not chosen:
            return None
        key = tuple(str(dark.path) for dark in chosen)
        if key not in self._means:
            frames = [read for read in map(self._reader.read, chosen) if read is not None]
            if len(frames) < len(chosen):
                # Some could not be read: they are left out from now on, which may change the choice.
                return self.dark_for(frame)
            if len(self._means) >= self._KEPT:
                self._means.pop(next(iter(self._means)))
            self._means[key] = self._with_hot_pixels(mean_frame([np.asarray(read.counts) for read in frames]))
        return self._means[key]

    def _with_hot_pixels(self, mean: MeanFrame) -> DarkFrame:
        settings = self._hot_pixels
        if not settings.repair:
            return DarkFrame(mean, np.zeros(0, np.intp))
        hot = find_hot_pixels(mean, threshold_sigma=settings.threshold_sigma, minimum_dn=settings.minimum_dn)
        return DarkFrame(mean, hot)
