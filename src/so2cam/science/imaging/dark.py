"""Dark frames: which belong to a frame, and their subtraction."""

import math
from collections.abc import Sequence

import numpy as np

from so2cam.core.records import BoolImage, Counts, FloatImage, FrameInfo, FrameKind

GAIN_TOLERANCE = 0.01
"""Relative difference up to which two analogue gains are the same setting."""


def select_darks(
    frame: FrameInfo, darks: Sequence[FrameInfo], *, exposure_tolerance: float, averaging_s: float
) -> tuple[FrameInfo, ...]:
    """Return the dark frames that belong to ``frame``, in time order; empty where there are none.

    A dark belongs where band and gain are the same and its exposure is within ``exposure_tolerance`` (relative)
    of the frame's. Of these the nearest in time counts, with all that lie within ``averaging_s`` of it and
    share its exposure. There is no fallback: no match is an empty answer.
    """
    matching = [
        dark
        for dark in darks
        if dark.kind is FrameKind.DARK
        and dark.band is frame.band
        and abs(dark.gain - frame.gain) <= GAIN_TOLERANCE * frame.gain
        and abs(dark.exposure_s - frame.exposure_s) <= exposure_tolerance * frame.exposure_s
    ]
    if not matching:
        return ()
    nearest = min(matching, key=lambda dark: (abs((dark.time - frame.time).total_seconds()), dark.time))
    chosen = [
        dark
        for dark in matching
        if abs((dark.time - nearest.time).total_seconds()) <= averaging_s
        and abs(dark.exposure_s - nearest.exposure_s) <= exposure_tolerance * nearest.exposure_s
    ]
    return tuple(sorted(chosen, key=lambda dark: (dark.time, str(dark.path))))


def subtract_dark(
    counts: Counts, dark: FloatImage, *, saturation_dn: float, minimum_signal_dn: float
) -> tuple[FloatImage, BoolImage]:
    """Return dark-corrected counts [DN] and where they are valid.

    ``counts`` and ``dark`` have one shape (rows, columns). A pixel is invalid where its raw counts reach
    ``saturation_dn`` or its corrected counts do not exceed ``minimum_signal_dn`` (nor zero); its value stays
    what was measured and is never replaced by a small number. Source: ``I1 = I - D`` (Kantzas 2010).
    """
    signal = np.subtract(counts, dark, dtype=np.float32)
    valid = signal > max(minimum_signal_dn, 0.0)
    valid &= ~saturated(counts, saturation_dn)
    return signal, valid


def saturated(counts: Counts, saturation_dn: float) -> BoolImage:
    """Return where raw ``counts`` [DN] (rows, columns) reach ``saturation_dn``."""
    if counts.dtype.kind == "f":
        return np.asarray(counts >= saturation_dn)
    # Whole counts: the next whole number is the same limit, and no count is made a float for it.
    return np.asarray(counts >= math.ceil(saturation_dn))
