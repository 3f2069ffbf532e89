"""The absorbance of plume-free air on a line, from the line's own ends."""

from dataclasses import dataclass

import numpy as np

from so2cam.core.records import FloatArray


@dataclass(frozen=True, slots=True)
class Baseline:
    """A straight baseline between a line's two ends, and how well it is known.

    ``values`` (N,) [absorbance]; ``weights`` (N, 2) give the share of each end in every sample,
    ``members`` (N, 2) the share of every sample in each end's mean (0 outside); ``noise`` (2,) is
    1 sigma of each end's mean from pixel noise, independent from frame to frame; ``drift`` (2,) from sky that no
    surface follows. ``excess`` is how far the ends lie above the sky elsewhere (the larger end): plume on the
    baseline. Fields are NaN where an end has no valid sample.
    """

    values: FloatArray
    weights: FloatArray
    members: FloatArray
    noise: FloatArray
    drift: FloatArray
    excess: float


def edge_baseline(
    absorbance: FloatArray, position: FloatArray, *, fraction: float, pixel_noise: float, structure: float
) -> Baseline:
    """Return the straight line through the mean absorbance of the first and the last ``fraction`` of a line.

    ``absorbance`` (N,), NaN where masked; ``position`` (N,) runs from 0 to 1. Both ends are fixed in advance and
    their means are linear in the data: samples are never chosen by their value, so noise of zero mean gives an
    integral of zero mean. ``pixel_noise`` and ``structure`` [absorbance] are 1 sigma of one sample and of the
    sky's own unevenness.
    """
    ends = (position <= fraction, position >= 1 - fraction)
    means, centres, noise = np.full(2, np.nan), np.full(2, np.nan), np.full(2, np.nan)
    members = np.zeros((position.size, 2))
    for index, inside in enumerate(ends):
        good = inside & np.isfinite(absorbance)
        if good.sum() >= 2:
            means[index] = absorbance[good].mean()
            members[good, index] = 1 / good.sum()
            centres[index] = position[good].mean()
            noise[index] = pixel_noise / np.sqrt(good.sum())
    share = (position - centres[0]) / (centres[1] - centres[0])
    weights = np.stack([1 - share, share], axis=-1)
    return Baseline(
        values=weights @ means,
        weights=weights,
        members=members,
        noise=noise,
        drift=np.full(2, structure),
        excess=float(np.max(means)),
    )
