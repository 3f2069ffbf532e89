"""How sharp a picture is, for focusing: one number that grows as the picture gets sharper.

The measure is Brenner's gradient (Brenner et al. 1976, J. Histochem. Cytochem. 24, 100): the mean square of the
difference between pixels two apart, here along both axes. It is divided by the mean square brightness, so that the
exposure does not matter, and the part that noise adds (twice the noise's variance) is taken off. The noise is found
from the picture itself as Immerkaer (1996, Comput. Vis. Image Underst. 64, 300, eq. 3) does.
"""

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

_BLOCKS: Final = 4
_SMALLEST_PX: Final = 16


@dataclass(frozen=True, slots=True)
class FocusMeasure:
    """Sharpness (no unit) with its 1 sigma, and the noise [DN] that was found. NaN: cannot be told."""

    sharpness: float
    uncertainty: float
    noise_dn: float


def measure_focus(image: npt.NDArray[np.generic], region: tuple[int, int, int, int] | None = None) -> FocusMeasure:
    """Return the sharpness of ``image`` (rows, columns) [DN, dark level taken off], or of a region of it.

    ``region`` is (first column, first row, last column, last row). NaN where the image is dark, smaller than 16 x 16
    pixels, or holds anything that is no finite number. The uncertainty is what noise makes of the measure.
    Raises ValueError for another shape and for a region outside.
    """
    if image.ndim != 2:
        raise ValueError(f"needs an image of rows and columns, got shape {image.shape}")
    if region is not None:
        left, top, right, bottom = region
        if not (0 <= left <= right < image.shape[1] and 0 <= top <= bottom < image.shape[0]):
            raise ValueError(f"the region {region} is not within an image of shape {image.shape}")
        image = image[top : bottom + 1, left : right + 1]
    values = image.astype(np.float64)
    if min(values.shape) < _SMALLEST_PX or not np.all(np.isfinite(values)):
        return FocusMeasure(math.nan, math.nan, math.nan)
    power = float(np.mean(values)) ** 2
    noise = _noise(values)
    if power <= 0 or float(np.mean(values)) <= 3 * noise / math.sqrt(values.size):
        return FocusMeasure(math.nan, math.nan, noise)
    across = values[:, 2:] - values[:, :-2]
    down = values[2:, :] - values[:-2, :]
    gradient = 0.5 * (float(np.mean(across**2)) + float(np.mean(down**2)))
    # Differences have twice the noise's variance v. Their squares scatter by 2.5 v^2 (neighbours share pixels) and by
    # 4 v times the picture's own part; the noise that is taken off is known to about 2 / sqrt(pixels) of itself.
    variance = 2 * noise**2
    own = max(gradient - variance, 0.0)
    spread = (2.5 * variance**2 + 4 * variance * own + (4 * variance) ** 2) / values.size
    return FocusMeasure((gradient - variance) / power, math.sqrt(spread) / power, noise)


def _noise(values: npt.NDArray[np.float64]) -> float:
    """Return the noise's standard deviation: Laplacian difference mask, median over parts against structure."""
    rows = np.array_split(values, _BLOCKS, axis=0)
    parts = [part for row in rows for part in np.array_split(row, _BLOCKS, axis=1)]
    return float(np.median([_part_noise(part) for part in parts]))


def _part_noise(part: npt.NDArray[np.float64]) -> float:
    """Return Immerkaer's estimate: the mask's mean absolute response times sqrt(pi / 2) / 6."""
    inner = part[1:-1, 1:-1]
    if inner.size == 0:
        return 0.0
    edges = part[:-2, 1:-1] + part[2:, 1:-1] + part[1:-1, :-2] + part[1:-1, 2:]
    corners = part[:-2, :-2] + part[:-2, 2:] + part[2:, :-2] + part[2:, 2:]
    response = corners - 2 * edges + 4 * inner
    return float(np.mean(np.abs(response))) * math.sqrt(math.pi / 2) / 6
