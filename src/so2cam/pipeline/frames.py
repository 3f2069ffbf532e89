"""Reading frames during a run: every file once, its hash kept, its problems collected instead of raised."""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np

from so2cam.core.errors import FrameFileError
from so2cam.core.records import Frame, FrameInfo, FramePair
from so2cam.core.site import Processing, Site
from so2cam.formats.image_files import read_frame
from so2cam.pipeline.steps import DarkFrame, MeanFrame, mean_frame
from so2cam.science.imaging.dark import select_darks
from so2cam.science.imaging.dark_model import mean_exposure_s, modelled_dark, select_offset_and_dark
from so2cam.science.imaging.hot_pixels import find_hot_pixels

Read = Callable[[FrameInfo], Frame | None]
"""Reads a frame; None where that cannot be."""


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


def read_pair(pair: FramePair, read: Read) -> tuple[Frame, ...] | None:
    """Return the frames of a pair in the order of ``FramePair.frames``; None where one of them cannot be read.

    All are read even so: the reader then knows of each.
    """
    frames = [read(info) for info in pair.frames]
    found = tuple(frame for frame in frames if frame is not None)
    return found if len(found) == len(frames) else None


def keep_last(reader: FrameReader, count: int = 4) -> Read:
    """Return what reads with ``reader`` and keeps the last frames: two pairs share one of an interpolated off band."""
    kept: dict[Path, Frame | None] = {}

    def read(info: FrameInfo) -> Frame | None:
        if info.path not in kept:
            if len(kept) >= count:
                kept.pop(next(iter(kept)))
            kept[info.path] = reader.read(info)
        return kept[info.path]

    return read


class DarkLibrary:
    """The dark frames of a run, averaged as they are asked for; the last few averages are kept."""

    _KEPT = 12

    def __init__(self, darks: Sequence[FrameInfo], settings: Processing, reader: FrameReader) -> None:
        self._darks = tuple(darks)
        self._settings = settings.dark
        self._hot_pixels = settings.hot_pixels
        self._reader = reader
        self._means: dict[tuple[str, ...], DarkFrame] = {}

    def dark_for(self, frame: FrameInfo) -> DarkFrame | None:
        """Return the mean dark that belongs to ``frame``, or None where there is none: never anything else."""
        return self._modelled_for(frame) if self._settings.model == "exposure" else self._matching_for(frame)

    def _matching_for(self, frame: FrameInfo) -> DarkFrame | None:
        while True:
            chosen = select_darks(
                frame,
                self._readable(),
                exposure_tolerance=self._settings.exposure_tolerance,
                averaging_s=self._settings.averaging_s,
            )
            if not chosen:
                return None
            mean = self._mean(chosen)
            # Some could not be read: they are left out from now on, which may change the choice.
            if mean is not None:
                return mean

    def _modelled_for(self, frame: FrameInfo) -> DarkFrame | None:
        while True:
            chosen = select_offset_and_dark(
                frame,
                self._readable(),
                exposure_tolerance=self._settings.exposure_tolerance,
                averaging_s=self._settings.averaging_s,
            )
            if chosen is None:
                return None
            offsets, darks = chosen
            key = (*(str(dark.path) for dark in (*offsets, *darks)), f"{frame.exposure_s:.9f}")
            if key in self._means:
                return self._means[key]
            offset, dark = self._mean(offsets), self._mean(darks)
            if offset is None or dark is None:
                continue
            counts = modelled_dark(
                offset.counts, dark.counts, mean_exposure_s(offsets), mean_exposure_s(darks), frame.exposure_s
            )
            return self._keep(key, DarkFrame(counts, dark.hot))

    def _readable(self) -> list[FrameInfo]:
        return [dark for dark in self._darks if str(dark.path) not in self._reader.failures]

    def _mean(self, chosen: Sequence[FrameInfo]) -> DarkFrame | None:
        """Return the mean of darks, or None where one of them could not be read."""
        key = tuple(str(dark.path) for dark in chosen)
        if key in self._means:
            return self._means[key]
        frames = [read for read in map(self._reader.read, chosen) if read is not None]
        if len(frames) < len(chosen):
            return None
        return self._keep(key, self._with_hot_pixels(mean_frame([read.counts for read in frames])))

    def _keep(self, key: tuple[str, ...], dark: DarkFrame) -> DarkFrame:
        if len(self._means) >= self._KEPT:
            self._means.pop(next(iter(self._means)))
        self._means[key] = dark
        return dark

    def _with_hot_pixels(self, mean: MeanFrame) -> DarkFrame:
        settings = self._hot_pixels
        if not settings.repair:
            return DarkFrame(mean, np.zeros(0, np.intp))
        hot = find_hot_pixels(mean, threshold_sigma=settings.threshold_sigma, minimum_dn=settings.minimum_dn)
        return DarkFrame(mean, hot)
