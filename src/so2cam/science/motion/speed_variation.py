"""How much a plume's speed varies in time, found from single speeds that each have their own error."""

import numpy as np

from so2cam.core.records import FloatArray


def speed_variation(speeds: FloatArray, noise: FloatArray, unseen: FloatArray, *, minimum: int) -> float:
    """Return the relative standard deviation of a speed in time, found from ``speeds`` (N,) with two 1 sigma (N,).

    ``noise`` makes speeds differ that are the same: it is in their variance, and comes off it. ``unseen`` is what a
    speed that leans on others, or is a mean over time, leaves open of the deviation at its place and moment: it is not
    in the variance, and comes on top (``var(u) = var(E[u | data]) + E[var(u | data)]``, the law of total variance).
    All in one unit; values that are not finite are left out, and less than nothing is nothing. NaN for fewer than
    ``minimum`` speeds, and where they vary as much as their mean, so that no relative measure means anything.
    """
    good = np.isfinite(speeds) & np.isfinite(noise) & np.isfinite(unseen)
    if int(good.sum()) < max(minimum, 2):
        return float("nan")
    mean = abs(float(np.mean(speeds[good])))
    variance = float(np.var(speeds[good], ddof=1) + np.mean(unseen[good] ** 2) - np.mean(noise[good] ** 2))
    spread = float(np.sqrt(max(variance, 0.0)))
    return spread / mean if mean > spread else float("nan")
