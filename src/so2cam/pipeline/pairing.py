"""Which off-band frame belongs to which on-band frame."""

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from so2cam.core.records import Band, FrameInfo, FrameKind, FramePair
from so2cam.core.site import Pairing as PairingSettings


@dataclass(frozen=True, slots=True)
class Pairing:
    """Pairs in time order, and the frames of both bands that found no partner."""

    pairs: tuple[FramePair, ...]
    unpaired: tuple[FrameInfo, ...]


def pair_plume(frames: Iterable[FrameInfo], settings: PairingSettings) -> Pairing:
    """Pair the plume frames among ``frames`` as the settings of a site say; all others are passed over."""
    plume = [frame for frame in frames if frame.kind is FrameKind.PLUME]
    on, off = ([frame for frame in plume if frame.band is band] for band in (Band.ON, Band.OFF))
    if settings.off_band == "interpolated":
        return pair_interpolated(on, off, maximum_gap_s=settings.maximum_gap_s)
    return pair_frames(on, off, tolerance_s=settings.tolerance_s)


def pair_interpolated(on: Sequence[FrameInfo], off: Sequence[FrameInfo], *, maximum_gap_s: float) -> Pairing:
    """Pair every on-band frame with the off-band frames just before and after it, by mid-exposure.

    An off-band frame at the very time stands alone. On-band frames without one on both sides, at most
    ``maximum_gap_s`` apart, stay unpaired, and so do off-band frames that no on-band frame lies beside.
    """
    on = sorted(on, key=lambda frame: (frame.time, str(frame.path)))
    off = sorted(off, key=lambda frame: (frame.time, str(frame.path)))
    times = [frame.time for frame in off]
    pairs, used, unpaired = [], set(), []
    for frame in on:
        after = bisect_left(times, frame.time)
        if after < len(off) and times[after] == frame.time:
            pairs.append(FramePair(frame, off[after]))
            used.add(after)
        elif 0 < after < len(off) and (times[after] - times[after - 1]).total_seconds() <= maximum_gap_s:
            pairs.append(FramePair(frame, off[after - 1], off[after]))
            used |= {after - 1, after}
        else:
            unpaired.append(frame)
    unpaired += [frame for index, frame in enumerate(off) if index not in used]
    return Pairing(tuple(pairs), tuple(sorted(unpaired, key=lambda frame: (frame.time, frame.band))))


def pair_frames(on: Sequence[FrameInfo], off: Sequence[FrameInfo], *, tolerance_s: float) -> Pairing:
    """Pair on-band with off-band frames, nearest mid-exposure first, each frame used once.

    Of all possible pairs within ``tolerance_s`` the closest is taken, then the closest of what remains, and so
    on; equal distances go to the earlier frames. The order of the input does not matter.
    """
    on = sorted(on, key=lambda frame: (frame.time, str(frame.path)))
    off = sorted(off, key=lambda frame: (frame.time, str(frame.path)))
    if not on or not off:
        return Pairing((), (*on, *off))
    on_s = np.array([frame.time.timestamp() for frame in on])
    off_s = np.array([frame.time.timestamp() for frame in off])
    first = np.searchsorted(off_s, on_s - tolerance_s - 1e-6, side="left")
    last = np.searchsorted(off_s, on_s + tolerance_s + 1e-6, side="right")
    candidates = [
        (round(abs(float(off_s[j] - on_s[i])), 6), i, j)
        for i in range(on_s.size)
        for j in range(int(first[i]), int(last[i]))
    ]
    partner: dict[int, int] = {}
    taken: set[int] = set()
    for _, i, j in sorted(candidates):
        if i not in partner and j not in taken:
            partner[i] = j
            taken.add(j)
    pairs = tuple(FramePair(on[i], off[j]) for i, j in sorted(partner.items()))
    unpaired = [frame for i, frame in enumerate(on) if i not in partner]
    unpaired += [frame for j, frame in enumerate(off) if j not in taken]
    return Pairing(pairs, tuple(sorted(unpaired, key=lambda frame: (frame.time, frame.band))))
