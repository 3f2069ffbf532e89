"""Plume speed at a line from one optical flow: as it is, its histogram's main motion, or both."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from so2cam.core.records import FloatArray
from so2cam.core.site import OpticalFlow, SpeedMethod
from so2cam.core.status import EmissionStatus
from so2cam.pipeline.steps import AbsorbanceImage
from so2cam.science.emission.lines import LineSamples
from so2cam.science.emission.rate import correlated_sum_uncertainty
from so2cam.science.motion.flow import REDUCTION, Flow, flow_parts_at, origins_at
from so2cam.science.motion.statistics import (
    DominantMotion,
    dominant_motion,
    histogram_speed_px,
    hybrid_vectors,
    plume_vectors,
)

FLOW_METHODS: tuple[SpeedMethod, ...] = ("flow_raw", "flow_histogram", "flow_hybrid")
"""The methods that share one optical flow."""
_KNOWN_SHARE = 0.9
"""Share of a line's column at which the raw flow must be known."""
_NOISES = 3.0
"""Absorbance, in noises of a pixel, above which a vector is taken as the plume's."""


@dataclass(frozen=True, slots=True)
class LineMotion:
    """Displacements at a line's samples, (N, 2) [px], and two 1 sigma (N,) [px] of their component along the normal.

    Errors of size ``local_px`` are alike within ``window_px``; those of size ``common_px`` are one and the same for all
    samples.
    """

    vectors: FloatArray
    local_px: FloatArray
    common_px: FloatArray
    window_px: float

    def sum_uncertainty(self, weights: FloatArray, spacing_px: float) -> float:
        """Return 1 sigma of the sum of the normal components times ``weights`` (N,)."""
        common = float(np.sum(weights * self.common_px))
        return float(np.hypot(common, self.passing_uncertainty(weights, spacing_px)))

    def passing_uncertainty(self, weights: FloatArray, spacing_px: float) -> float:
        """Return 1 sigma of the same by the windows' errors alone, which are others in the next interval."""
        return correlated_sum_uncertainty(weights * self.local_px, spacing_px, self.window_px)


@dataclass(frozen=True, slots=True)
class Interval:
    """Time between two images, and 1 sigma of it [s]."""

    seconds: float
    uncertainty_s: float


@dataclass(frozen=True, slots=True)
class Arrival:
    """What is known of the way to an image: the flow from the one before, its main motion by line, the time it took."""

    flow: Flow
    main: Mapping[str, DominantMotion]
    interval: Interval


@dataclass(frozen=True, slots=True)
class Approach:
    """The motion in the interval before an image: of the gas that is on the line in it, and of what was there then."""

    gas: LineMotion
    place: LineMotion
    interval: Interval


def line_motions(
    methods: Sequence[str],
    flow: Flow,
    line: LineSamples,
    column: FloatArray,
    main: DominantMotion | None,
    *,
    arriving: bool = False,
) -> dict[str, LineMotion | EmissionStatus]:
    """Return the motion at ``line`` by each flow method among ``methods``, or why there is none.

    That of the gas that is on the line in the first image, or, ``arriving``, in the second. ``column`` (N,) are the
    column densities at the line's samples, ``main`` the plume's main motion there, which all but ``flow_raw`` need.
    """
    found: dict[str, LineMotion | EmissionStatus] = {}
    at = origins_at(flow, line.x, line.y) if arriving else (line.x, line.y)
    vectors, local, common = flow_parts_at(flow, *at, line.normal)
    window = float(flow.window_px)
    if "flow_raw" in methods:
        known = np.isfinite(vectors[:, 0])
        weight = np.abs(column) * line.piece_m
        if float(np.sum(weight[known])) < _KNOWN_SHARE * float(np.sum(weight)):
            found["flow_raw"] = EmissionStatus.FLOW_UNRELIABLE
        else:
            filled = _fill(np.column_stack([vectors, local, common]), known)
            found["flow_raw"] = LineMotion(filled[:, :2], filled[:, 2], filled[:, 3], window)
    if main is None or ("flow_histogram" not in methods and "flow_hybrid" not in methods):
        return found
    if main.status is not EmissionStatus.OK:
        return found | {name: main.status for name in ("flow_histogram", "flow_hybrid") if name in methods}
    if not np.isfinite(common).any():
        # What all vectors share is not known where none of the line's is.
        unknown = EmissionStatus.FLOW_UNRELIABLE
        return found | {name: unknown for name in ("flow_histogram", "flow_hybrid") if name in methods}
    shared = float(np.nanmedian(common))
    spread = _spread(main, line.normal, shared)
    nothing = np.zeros(column.size)
    if "flow_histogram" in methods:
        alike = np.broadcast_to(np.array(main.vector_px), (column.size, 2))
        found["flow_histogram"] = LineMotion(alike, nothing, spread, window)
    if "flow_hybrid" in methods:
        mixed, kept = hybrid_vectors(vectors, main, np.hypot(local, common))
        found["flow_hybrid"] = LineMotion(mixed, np.where(kept, local, 0.0), np.where(kept, common, spread), window)
    return found


def motion_between(before: LineMotion, after: LineMotion, seconds: tuple[float, float]) -> LineMotion:
    """Return the motion at the time between two intervals of ``seconds``, in pixels per the second of them.

    A mean over an interval is the motion at its middle; between the two middles it is interpolated. What noise does
    differs from interval to interval, what the region shares stays.
    """
    share = seconds[0] / (seconds[0] + seconds[1])
    old = (1 - share) * seconds[1] / seconds[0]
    return LineMotion(
        vectors=old * before.vectors + share * after.vectors,
        local_px=np.hypot(old * before.local_px, share * after.local_px),
        common_px=old * before.common_px + share * after.common_px,
        window_px=after.window_px,
    )


def main_motion(flow: Flow, image: AbsorbanceImage, line: LineSamples, settings: OpticalFlow) -> DominantMotion:
    """Return the main motion of the plume within two windows of ``line`` (Gliss 2018)."""
    vectors, weights = plume_vectors(
        flow, image.absorbance, line.line, reach_px=2.0 * settings.window_px, threshold=_NOISES * image.noise
    )
    return dominant_motion(vectors, weights, correlated_vectors=(flow.window_px / REDUCTION) ** 2)


def _spread(main: DominantMotion, normals: FloatArray, shared_px: float) -> FloatArray:
    """Return 1 sigma (N,) [px] of the main motion along each of ``normals`` (N, 2), computed once for equal ones."""
    different, which = np.unique(normals, axis=0, return_inverse=True)
    sigmas = [histogram_speed_px(main, (float(x), float(y)), flow_uncertainty_px=shared_px)[1] for x, y in different]
    return np.asarray(np.array(sigmas)[which.ravel()])


def _fill(values: FloatArray, known: npt.NDArray[np.bool_]) -> FloatArray:
    """Return ``values`` (N, K) with rows that are not ``known`` interpolated from their neighbours."""
    if known.all():
        return values
    index = np.arange(values.shape[0])
    filled = [np.interp(index, index[known], values[known, k]) for k in range(values.shape[1])]
    return np.stack(filled, axis=-1)
