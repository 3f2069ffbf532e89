"""A band between two of its frames in time."""

import numpy as np

from so2cam.core.records import BoolImage, FloatImage


def interpolate_log(
    first: FloatImage, second: FloatImage, valid_first: BoolImage, valid_second: BoolImage, weight: float
) -> tuple[FloatImage, BoolImage]:
    """Return log intensities ``(1 - weight) first + weight second`` and where they are valid (in both); NaN elsewhere.

    Linear in the logarithm, so that brightness that changes at a steady rate is exact. Raises ValueError unless
    ``weight`` is within 0 and 1.
    """
    if not 0 <= weight <= 1:
        raise ValueError(f"the weight must be within 0 and 1, got {weight!r}")
    valid = valid_first & valid_second
    with np.errstate(invalid="ignore"):  # what is not valid may hold anything, infinities included
        values = np.multiply(first, np.float32(1 - weight), dtype=np.float32)
        values += np.float32(weight) * second
    values[~valid] = np.nan
    return values, valid
