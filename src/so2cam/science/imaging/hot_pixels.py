"""Pixels with much dark signal of their own: found in a dark, filled from their neighbours."""

import cv2
import numpy as np
import numpy.typing as npt

from so2cam.core.records import BoolImage, FloatImage

Indices = npt.NDArray[np.intp]
LARGEST_SHARE = 0.01
"""Above this share of pixels the frame is no dark with a few hot pixels but something else."""


def find_hot_pixels(dark: FloatImage, *, threshold_sigma: float, minimum_dn: float) -> Indices:
    """Return flat indices (K,) of pixels that stand above the median of their 5 x 5 neighbourhood in a mean dark.

    By ``threshold_sigma`` robust standard deviations of what remains after that median, and by ``minimum_dn`` [DN].
    At the image's edges the neighbourhood is mirrored. Empty where more than 1 % of the pixels do: such a frame shows
    more than dark signal.
    """
    # Mirrored without the edge itself: were it repeated, hot pixels in a corner would be their own surroundings.
    around = cv2.copyMakeBorder(np.ascontiguousarray(dark, np.float32), 2, 2, 2, 2, cv2.BORDER_REFLECT_101)
    above = dark - cv2.medianBlur(around, 5)[2:-2, 2:-2]
    sigma = 1.4826 * float(np.median(np.abs(above - np.median(above))))
    hot = np.flatnonzero(above > max(threshold_sigma * sigma, minimum_dn))
    return hot if hot.size <= LARGEST_SHARE * dark.size else np.zeros(0, np.intp)


def repair_hot_pixels(signal: FloatImage, valid: BoolImage, hot: Indices) -> tuple[FloatImage, BoolImage]:
    """Return ``signal`` and ``valid`` with ``hot`` pixels (flat indices) set to the mean of their good neighbours.

    Good neighbours are those of the eight around that are valid and not hot; without any the pixel is invalid. The
    arguments are returned as they are where nothing is hot, and never changed.
    """
    if hot.size == 0:
        return signal, valid
    rows, columns = signal.shape
    good = valid.copy()
    good.flat[hot] = False
    row, column = np.divmod(hot, columns)
    total, count = np.zeros(hot.size), np.zeros(hot.size)
    for step_y in (-1, 0, 1):
        for step_x in (-1, 0, 1):
            y, x = row + step_y, column + step_x
            inside = (y >= 0) & (y < rows) & (x >= 0) & (x < columns)
            y, x = np.where(inside, y, row), np.where(inside, x, column)
            use = inside & good[y, x]
            total += np.where(use, signal[y, x], 0.0)
            count += use
    out, known = signal.copy(), valid.copy()
    found = count > 0
    out.flat[hot[found]] = (total[found] / count[found]).astype(np.float32)
    known.flat[hot] = found
    return out, known
