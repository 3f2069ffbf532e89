"""Gas cells found by the light that they take: which frames of a calibration show which cell, and which clear sky.

The camera looks at plume-free sky, and cells are held before it one after the other. The mean signal of the on band
then falls in steps, by the windows of a cell and by its gas: more gas, deeper dip. The sky between the dips may
brighten or darken slowly.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Final, Literal

import numpy as np
import numpy.typing as npt

from so2cam.core.constants import MOLEC_CM2_PER_PPM_M
from so2cam.core.records import Band, FloatArray, FrameInfo, FrameKind
from so2cam.core.site_calibration import CellSearch, SearchedCell
from so2cam.core.times import format_utc, to_unix_s

MINIMUM_STEP: Final = 0.025
"""Change of the mean signal from frame to frame, natural logarithm, that is a step; more where the signal is noisy."""
MINIMUM_DIP: Final = 0.05
"""Depth below the sky's signal, natural logarithm, from which a segment is a cell: its windows alone take more."""
MINIMUM_DIFFERENCE: Final = 0.005
"""Difference in depth, natural logarithm, below which two dips are equally deep."""
NOISE_FACTOR: Final = 6.0
"""A step is also at least this many times the robust scatter of the signal from frame to frame."""
_QUARTILE_OF_SIGMA: Final = 0.3186
"""Lower quartile of the absolute value of a normal variable of unit variance."""


@dataclass(frozen=True, slots=True)
class Segment:
    """Consecutive frames of one level of light.

    ``members`` are the indices of its frames; ``used`` those that show it for certain: the frames beside a step are
    left out, for a cell may cover part of them. ``level`` is the mean signal of the used frames, ``depth`` how far
    its natural logarithm lies below that of the sky at that time, and ``scatter`` the standard error of ``depth``.
    """

    members: tuple[int, ...]
    used: tuple[int, ...]
    level: float
    depth: float
    scatter: float
    kind: Literal["background", "cell"]

    @property
    def first(self) -> int:
        """Index of its first frame."""
        return self.members[0]

    @property
    def last(self) -> int:
        """Index of its last frame."""
        return self.members[-1]


@dataclass(frozen=True, slots=True)
class HeldCell:
    """A cell as it was found: what it is, its frames of both bands in order of time, and its dip in the on band."""

    cell: SearchedCell
    frames: tuple[FrameInfo, ...]
    depth: float


@dataclass(frozen=True, slots=True)
class CellAssignment:
    """The frames with their kinds, in the order given; the frames of the search that show neither, and the cells."""

    frames: tuple[FrameInfo, ...]
    dropped: tuple[FrameInfo, ...]
    cells: tuple[HeldCell, ...]


def find_cells(times_s: FloatArray, signal: FloatArray) -> tuple[Segment, ...]:
    """Return the segments of a series of mean signals, in order of time; single frames between steps are in none.

    ``times_s`` [s] increases; ``signal`` is the mean of each frame, without its dark and per exposure time, in any
    unit; both have shape (frames,). A segment has two frames or more between two steps (``MINIMUM_STEP``). The sky
    is the upper envelope of the segments that are brighter than their neighbours; a segment that lies below it by
    ``MINIMUM_DIP`` or more is a cell. Dips of one depth with no segment of sky between them are one cell. Segments
    without a frame that shows them for certain, like sky of two frames between two cells, are left out.

    Raises ValueError for series of other shapes, times that do not increase and signals that are not positive.
    """
    times_s, signal = np.asarray(times_s, np.float64), np.asarray(signal, np.float64)
    if times_s.ndim != 1 or times_s.shape != signal.shape:
        raise ValueError(f"needs one signal for each time, got shapes {signal.shape} and {times_s.shape}")
    if not (np.all(np.isfinite(times_s)) and np.all(np.diff(times_s) > 0)):
        raise ValueError("times must be finite and increase")
    if not np.all(np.isfinite(signal) & (signal > 0)):
        raise ValueError("signals must be positive")
    logs = np.log(signal)
    changes = np.abs(np.diff(logs))
    step = MINIMUM_STEP
    if changes.size:
        step = max(step, NOISE_FACTOR * float(np.quantile(changes, 0.25)) / _QUARTILE_OF_SIGMA)
    runs = [run for run in np.split(np.arange(logs.size), np.flatnonzero(changes > step) + 1) if run.size >= 2]
    if not runs:
        return ()
    middles = np.array([times_s[run].mean() for run in runs])
    levels = np.array([np.median(logs[run]) for run in runs])
    is_sky = _envelope(middles, levels) - levels < MINIMUM_DIP
    sky = np.interp(middles, middles[is_sky], levels[is_sky])
    groups: list[list[int]] = []
    for index in range(len(runs)):
        before = groups[-1][-1] if groups else index
        same = abs((sky[index] - levels[index]) - (sky[before] - levels[before])) < step
        if groups and not is_sky[index] and not is_sky[before] and same:
            groups[-1].append(index)
        else:
            groups.append([index])
    segments = (
        _segment(times_s, logs, [runs[index] for index in group], sky[group], bool(is_sky[group[0]]), step)
        for group in groups
    )
    return tuple(segment for segment in segments if segment.used)


def assign_cells(frames: Sequence[FrameInfo], levels: Mapping[str, float], search: CellSearch) -> CellAssignment:
    """Return ``frames`` with those of cells and of clear sky named as such.

    Searched are plume frames (frames of no other name) with ``search.start <= time < search.end``. ``levels`` has
    the mean signal [DN] of each of them by ``str(path)``, dark-corrected, of the area where cells are read; it is
    divided by exposure time and gain here. The deepest dip of the on band belongs to the largest column, and so on.
    An off-band frame shows what the on-band frame nearest in time shows, if those before and after it show the
    same. Frames of cells get the label ``column_molec_cm2 / MOLEC_CM2_PER_PPM_M``.

    ``dropped`` has the frames between, half covered or without a level. Raises ValueError where there are no frames,
    the number of dips is not that of the cells, two dips are equally deep, or a cell has no frame of one band.
    """
    within = sorted(
        (info for info in frames if info.kind is FrameKind.PLUME and search.start <= info.time < search.end),
        key=lambda info: (info.time, info.band, str(info.path)),
    )
    window = f"from {format_utc(search.start)} to {format_utc(search.end)}"
    on = _distinct_times([info for info in within if info.band is Band.ON and _has_level(info, levels)])
    if not on:
        raise ValueError(f"there are no usable on-band frames {window} in which cells could be found")
    times_s = np.array([to_unix_s(info.time) for info in on])
    signal = np.array([levels[str(info.path)] / (info.exposure_s * info.gain) for info in on])
    segments = find_cells(times_s, signal)
    dips = [segment for segment in segments if segment.kind == "cell"]
    _require_match(dips, search, on, window)
    cell_of = dict(zip(sorted(dips, key=_depth), sorted(search.cells, key=_column), strict=True))
    shown = _shown(within, on, times_s, segments, levels)
    named = {key: _named(info, cell_of.get(shown[key])) for info in within if (key := _key(info)) in shown}
    searched = {_key(info) for info in within}
    held = tuple(
        HeldCell(cell_of[dip], tuple(named[key] for key in named if shown[key] is dip), dip.depth)
        for dip in sorted(cell_of, key=lambda dip: dip.first)
    )
    _require_both_bands(held, [info for info in named.values() if info.kind is FrameKind.CLEAR], window)
    return CellAssignment(
        frames=tuple(
            named.get(_key(info), info) for info in frames if _key(info) in named or _key(info) not in searched
        ),
        dropped=tuple(info for info in within if _key(info) not in named),
        cells=held,
    )


# --- segments ----------------------------------------------------------------------------------------------------


def _envelope(times_s: FloatArray, levels: FloatArray) -> FloatArray:
    """Return the upper concave envelope, at ``times_s``, of the levels that no neighbour exceeds."""
    padded = np.concatenate([[-np.inf], levels, [-np.inf]])
    peaks = np.flatnonzero((levels >= padded[:-2]) & (levels >= padded[2:]))
    hull: list[int] = []
    for peak in peaks:
        while len(hull) > 1 and _below(times_s, levels, hull[-2], hull[-1], int(peak)):
            hull.pop()
        hull.append(int(peak))
    return np.asarray(np.interp(times_s, times_s[hull], levels[hull]), np.float64)


def _below(times_s: FloatArray, levels: FloatArray, left: int, middle: int, right: int) -> bool:
    """Return True where the middle point does not lie above the line through the other two."""
    share = (times_s[middle] - times_s[left]) / (times_s[right] - times_s[left])
    return bool(levels[middle] <= levels[left] + share * (levels[right] - levels[left]))


def _segment(
    times_s: FloatArray,
    logs: FloatArray,
    runs: Sequence[npt.NDArray[np.intp]],
    sky: FloatArray,
    is_sky: bool,
    step: float,
) -> Segment:
    """Return the segment of one or more runs of frames; ``sky`` is the sky's level in the middle of each."""
    used: list[int] = []
    depths: list[float] = []
    for run, level in zip(runs, sky, strict=True):
        kept = _steady(times_s, logs, run, step)
        beside_step = {int(run[0]) if run[0] > 0 else -1, int(run[-1]) if run[-1] < logs.size - 1 else -1}
        inner = kept[[int(index) not in beside_step for index in kept]]
        if is_sky or inner.size >= 2:
            kept = inner
        used.extend(int(index) for index in kept)
        depths.extend(level - logs[kept])
    members = tuple(int(index) for run in runs for index in run)
    kind: Literal["background", "cell"] = "background" if is_sky else "cell"
    if not used:
        return Segment(members, (), math.nan, math.nan, math.nan, kind)
    scatter = float(np.std(depths, ddof=1) / np.sqrt(len(depths))) if len(depths) > 1 else math.nan
    return Segment(
        members=members,
        used=tuple(used),
        level=float(np.exp(logs[used].mean())),
        depth=float(np.mean(depths)),
        scatter=scatter,
        kind=kind,
    )


def _steady(times_s: FloatArray, logs: FloatArray, run: npt.NDArray[np.intp], step: float) -> npt.NDArray[np.intp]:
    """Return the frames of a run that lie within half a step of its drift: a cell may be moved slowly."""
    slope = float(np.median(np.diff(logs[run]) / np.diff(times_s[run])))
    rest = logs[run] - slope * (times_s[run] - times_s[run].mean())
    steady: npt.NDArray[np.intp] = run[np.abs(rest - np.median(rest)) <= step / 2]
    return steady


# --- frames ------------------------------------------------------------------------------------------------------


def _key(info: FrameInfo) -> tuple[str, Band]:
    return str(info.path), info.band


def _depth(dip: Segment) -> float:
    return dip.depth


def _column(cell: SearchedCell) -> float:
    return cell.column_molec_cm2


def _has_level(info: FrameInfo, levels: Mapping[str, float]) -> bool:
    level = levels.get(str(info.path), math.nan)
    return math.isfinite(level) and level > 0


def _named(info: FrameInfo, cell: SearchedCell | None) -> FrameInfo:
    if cell is None:
        return replace(info, kind=FrameKind.CLEAR, cell_ppm_m=None)
    return replace(info, kind=FrameKind.CELL, cell_ppm_m=cell.column_molec_cm2 / MOLEC_CM2_PER_PPM_M)


def _shown(
    within: Sequence[FrameInfo],
    on: Sequence[FrameInfo],
    times_s: FloatArray,
    segments: Sequence[Segment],
    levels: Mapping[str, float],
) -> dict[tuple[str, Band], Segment]:
    """Return the segment that each frame of both bands shows for certain."""
    shown = {_key(on[index]): segment for segment in segments for index in segment.used}
    owner = {index: segment for segment in segments for index in segment.members}
    for info in within:
        if info.band is not Band.OFF or not _has_level(info, levels):
            continue
        time_s = to_unix_s(info.time)
        after = int(np.searchsorted(times_s, time_s))
        beside = [index for index in (after - 1, after) if 0 <= index < len(on)]
        nearest = min(beside, key=lambda index: abs(times_s[index] - time_s))
        segment = owner.get(nearest)
        if segment is not None and nearest in segment.used and all(owner.get(index) is segment for index in beside):
            shown[_key(info)] = segment
    return shown


def _distinct_times(frames: Sequence[FrameInfo]) -> list[FrameInfo]:
    """Return frames in order of time, the first of each time."""
    distinct: list[FrameInfo] = []
    for info in frames:
        if not distinct or info.time > distinct[-1].time:
            distinct.append(info)
    return distinct


# --- what must hold ----------------------------------------------------------------------------------------------


def _require_match(dips: Sequence[Segment], search: CellSearch, on: Sequence[FrameInfo], window: str) -> None:
    """Raise ValueError where the dips are not those of the cells, or cannot be told apart."""
    if len(dips) != len(search.cells):
        spans = ", ".join(
            f"{format_utc(on[dip.first].time)[11:19]}-{format_utc(on[dip.last].time)[11:19]} ({_percent(dip)})"
            for dip in dips
        )
        raise ValueError(
            f"{len(on)} on-band frames {window} show {len(dips)} dips{f': {spans}' if spans else ''}; "
            f"cells named: {len(search.cells)}. Correct processing.calibration.search; "
            f"a dip has two frames or more and takes at least {100 * -math.expm1(-MINIMUM_DIP):.0f} % of the light"
        )
    ordered = sorted(dips, key=_depth)
    for weaker, stronger in pairwise(ordered):
        errors = [dip.scatter for dip in (weaker, stronger) if math.isfinite(dip.scatter)]
        if stronger.depth - weaker.depth <= max(MINIMUM_DIFFERENCE, 3 * math.hypot(*errors)):
            raise ValueError(
                f"two cells {window} take the same share of the light ({_percent(weaker)} and {_percent(stronger)}): "
                "they cannot be told apart"
            )


def _percent(dip: Segment) -> str:
    return f"-{100 * -math.expm1(-dip.depth):.1f} %"


def _require_both_bands(held: Sequence[HeldCell], clear: Sequence[FrameInfo], window: str) -> None:
    for what, shown in (("clear sky", clear), *((f"the cell {cell.cell.name}", cell.frames) for cell in held)):
        for band in Band:
            if not any(info.band is band for info in shown):
                raise ValueError(f"no {band}-band frame {window} shows {what} for certain")
