"""Plume speed at a line from one optical flow: as it is, its histogram's main motion, or both."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from so2cam.core.records import FloatArray
from so2cam.core.site import OpticalFlow, SpeedMethod
from so2cam.core.status import EmissionStatus
from so2cam.pipeline.steps import AbsorbanceImage
from so2cam.science.emission.lines import LineSamples
from so2cam.science.emission.rate import correlated_sum_uncertainty
from so2cam.science.motion.flow import REDUCTION, Flow, flow_at
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
    """Displacements at a line's samples, (N, 2) [px], and 1 sigma (N,) [px] of their component along the normal.

    Errors of samples marked ``common`` (N,) are one and the same; the others are alike within ``window_px``.
    """

    vectors: FloatArray
    sigma_px: FloatArray
    common: npt.NDArray[np.bool_]
    window_px: float

    def sum_uncertainty(self, weights: FloatArray, spacing_px: float) -> float:
        """Return 1 sigma of the sum of the normal components times ``weights`` (N,)."""
        errors = weights * self.sigma_px
        alike = float(np.sum(errors[self.common]))
        local = correlated_sum_uncertainty(np.where(self.common, 0.0, errors), spacing_px, self.window_px)
        return float(np.hypot(alike, local))


def line_motions(
    methods: Sequence[str],
    flow: Flow,
    image: AbsorbanceImage,
    line: LineSamples,
    column: FloatArray,
    settings: OpticalFlow,
) -> dict[str, LineMotion | EmissionStatus]:
    """Return the motion at ``line`` by each flow method among ``methods``, or why there is none.

    ``image`` is the first of the two images, ``column`` (N,) the column densities at the line's samples.
    """
    found: dict[str, LineMotion | EmissionStatus] = {}
    vectors, sigma = flow_at(flow, line.x, line.y, line.line.normal)
    window = float(flow.window_px)
    if "flow_raw" in methods:
        known = np.isfinite(vectors[:, 0])
        weight = np.abs(column) * line.piece_m
        if float(np.sum(weight[known])) < _KNOWN_SHARE * float(np.sum(weight)):
            found["flow_raw"] = EmissionStatus.FLOW_UNRELIABLE
        else:
            filled = _fill(np.column_stack([vectors, sigma]), known)
            nowhere = np.zeros(column.size, np.bool_)
            found["flow_raw"] = LineMotion(filled[:, :2], filled[:, 2], nowhere, window)
    if "flow_histogram" not in methods and "flow_hybrid" not in methods:
        return found
    motion = main_motion(flow, image, line, settings)
    if motion.status is not EmissionStatus.OK:
        return found | {name: motion.status for name in ("flow_histogram", "flow_hybrid") if name in methods}
    _, spread = histogram_speed_px(motion, line.line.normal)
    main = np.array(motion.vector_px)
    if "flow_histogram" in methods:
        everywhere = np.ones(column.size, np.bool_)
        alike = np.broadcast_to(main, (column.size, 2))
        found["flow_histogram"] = LineMotion(alike, np.full(column.size, spread), everywhere, window)
    if "flow_hybrid" in methods:
        mixed, kept = hybrid_vectors(vectors, motion)
        found["flow_hybrid"] = LineMotion(mixed, np.where(kept, sigma, spread), ~kept, window)
    return found


def main_motion(flow: Flow, image: AbsorbanceImage, line: LineSamples, settings: OpticalFlow) -> DominantMotion:
    """Return the main motion of the plume within two windows of ``line`` (Gliss 2018)."""
    vectors, weights = plume_vectors(
        flow, image.absorbance, line.line, reach_px=2.0 * settings.window_px, threshold=_NOISES * image.noise
    )
    return dominant_motion(vectors, weights, correlated_vectors=(flow.window_px / REDUCTION) ** 2)


def _fill(values: FloatArray, known: npt.NDArray[np.bool_]) -> FloatArray:
    """Return ``values`` (N, K) with rows that are not ``known`` interpolated from their neighbours."""
    if known.all():
        return values
    index = np.arange(values.shape[0])
    filled = [np.interp(index, index[known], values[known, k]) for k in range(values.shape[1])]
    return np.stack(filled, axis=-1)
