"""Darks of any exposure: an offset, and a dark signal that grows in proportion to the exposure time.

``D(t) = O + (D_ref - O) (t - t_O) / (t_ref - t_O)`` with the mean ``O`` of the darks of the shortest exposure
``t_O`` and the mean ``D_ref`` of those of the longest, ``t_ref`` (the offset-and-dark-current model of Lübcke 2013
and Gliß 2017, with the exposure of the offset frame kept).
"""

import math
from collections.abc import Sequence
from typing import Final

import numpy as np

from so2cam.core.records import FloatImage, FrameInfo, FrameKind
from so2cam.science.imaging.dark import GAIN_TOLERANCE

MINIMUM_EXPOSURE_RATIO: Final = 2.0
"""Longest over shortest exposure of the darks, below which their difference tells nothing of the dark signal."""
MAXIMUM_EXTRAPOLATION: Final = 2.0
"""Exposure of a frame over that of the longest dark, up to which its dark is extrapolated."""


def select_offset_and_dark(
    frame: FrameInfo, darks: Sequence[FrameInfo], *, exposure_tolerance: float, averaging_s: float
) -> tuple[tuple[FrameInfo, ...], tuple[FrameInfo, ...]] | None:
    """Return the darks of the shortest and of the longest exposure for ``frame``, each in time order, or None.

    Darks of the frame's band and gain form sets: two belong to one set where no more than ``averaging_s`` lies
    between them, directly or through others. Of the sets whose exposures differ enough
    (``MINIMUM_EXPOSURE_RATIO``) and are long enough (``MAXIMUM_EXTRAPOLATION``), the one nearest in time counts;
    where no single set does, all darks together. Of a set, only those within ``averaging_s`` of the one nearest to
    the frame are kept; exposures within ``exposure_tolerance`` (relative) are the same. None where the darks tell
    nothing of this exposure.
    """
    matching = [
        dark
        for dark in darks
        if dark.kind is FrameKind.DARK
        and dark.band is frame.band
        and abs(dark.gain - frame.gain) <= GAIN_TOLERANCE * frame.gain
    ]
    sets = sorted(_sets_in_time(matching, averaging_s), key=lambda members: _distance_s(frame, members))
    chosen = (_offset_and_dark(frame, members, exposure_tolerance, averaging_s) for members in (*sets, matching))
    return next((pair for pair in chosen if pair is not None), None)


def modelled_dark(
    offset_mean: FloatImage, dark_mean: FloatImage, t_offset_s: float, t_dark_s: float, exposure_s: float
) -> FloatImage:
    """Return the dark image [DN] of an exposure ``exposure_s`` [s], float32, shape (rows, columns).

    ``offset_mean`` and ``dark_mean`` [DN] are the means of the darks of the exposures ``t_offset_s`` and
    ``t_dark_s`` [s]. NaN stays NaN, and a dark signal that falls with exposure, as noise makes it, is kept. Raises
    ValueError where the images have different shapes, ``t_dark_s`` is less than twice ``t_offset_s``, or
    ``exposure_s`` is not positive or more than twice ``t_dark_s``.
    """
    if offset_mean.shape != dark_mean.shape or offset_mean.ndim != 2:
        raise ValueError(f"offset and dark must be images of one shape, got {offset_mean.shape} and {dark_mean.shape}")
    if not (0 <= t_offset_s < t_dark_s < math.inf and t_dark_s >= MINIMUM_EXPOSURE_RATIO * t_offset_s):
        raise ValueError(
            f"the dark's exposure must be at least {MINIMUM_EXPOSURE_RATIO:g} times the offset's, "
            f"got {t_dark_s:g} s and {t_offset_s:g} s"
        )
    if not 0 < exposure_s <= MAXIMUM_EXTRAPOLATION * t_dark_s:
        raise ValueError(
            f"the dark of {exposure_s:g} s cannot be told from one of {t_dark_s:g} s; "
            f"take darks of at least {exposure_s / MAXIMUM_EXTRAPOLATION:g} s"
        )
    fraction = (exposure_s - t_offset_s) / (t_dark_s - t_offset_s)
    offset = np.asarray(offset_mean, np.float64)
    return (offset + (np.asarray(dark_mean, np.float64) - offset) * fraction).astype(np.float32)


def mean_exposure_s(frames: Sequence[FrameInfo]) -> float:
    """Return the mean exposure time of one or more frames [s]."""
    return math.fsum(frame.exposure_s for frame in frames) / len(frames)


def _sets_in_time(darks: Sequence[FrameInfo], gap_s: float) -> list[list[FrameInfo]]:
    sets: list[list[FrameInfo]] = []
    for dark in sorted(darks, key=lambda item: (item.time, str(item.path))):
        if sets and (dark.time - sets[-1][-1].time).total_seconds() <= gap_s:
            sets[-1].append(dark)
        else:
            sets.append([dark])
    return sets


def _distance_s(frame: FrameInfo, darks: Sequence[FrameInfo]) -> float:
    return min(abs((dark.time - frame.time).total_seconds()) for dark in darks)


def _offset_and_dark(
    frame: FrameInfo, darks: Sequence[FrameInfo], tolerance: float, averaging_s: float
) -> tuple[tuple[FrameInfo, ...], tuple[FrameInfo, ...]] | None:
    """Return the darks of the shortest and longest exposure, or None where they tell nothing of the frame's."""
    if not darks:
        return None
    shortest, longest = min(dark.exposure_s for dark in darks), max(dark.exposure_s for dark in darks)
    offsets = _near(frame, [dark for dark in darks if dark.exposure_s <= shortest * (1 + tolerance)], averaging_s)
    longs = _near(frame, [dark for dark in darks if dark.exposure_s >= longest * (1 - tolerance)], averaging_s)
    t_offset_s, t_dark_s = mean_exposure_s(offsets), mean_exposure_s(longs)
    told = t_offset_s < t_dark_s and t_dark_s >= MINIMUM_EXPOSURE_RATIO * t_offset_s
    return (offsets, longs) if told and frame.exposure_s <= MAXIMUM_EXTRAPOLATION * t_dark_s else None


def _near(frame: FrameInfo, darks: Sequence[FrameInfo], averaging_s: float) -> tuple[FrameInfo, ...]:
    nearest = min(darks, key=lambda dark: (abs((dark.time - frame.time).total_seconds()), dark.time))
    chosen = [dark for dark in darks if abs((dark.time - nearest.time).total_seconds()) <= averaging_s]
    return tuple(sorted(chosen, key=lambda dark: (dark.time, str(dark.path))))
