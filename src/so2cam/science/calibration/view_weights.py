"""What a spectrometer's round field of view sees of an image: weights of pixels, and means by them."""

import numpy as np

from so2cam.core.records import BoolImage, FloatArray, FloatImage

_MINIMUM_SHARE = 0.5


def disc_weights(shape: tuple[int, int], x: float, y: float, radius: float) -> FloatImage:
    """Return each pixel's share of a disc about (``x``, ``y``), (rows, columns); their sum is 1.

    (0, 0) is the centre of the top-left pixel; all in pixels. Pixels on the rim count by the part inside. A disc that
    reaches beyond the image is made of what lies inside; the weights are zero where none of it does.
    """
    out = np.zeros(shape, np.float32)
    rows, columns = _window(shape, x, y, radius)
    if rows.stop > rows.start and columns.stop > columns.start:
        part = discs(rows, columns, np.array([[x, y, radius]]))[:, 0].reshape(rows.stop - rows.start, -1)
        total = part.sum()
        if total > 0:
            out[rows, columns] = part / total
    return out


def mean_in_view(absorbance: FloatImage, valid: BoolImage, weights: FloatImage) -> tuple[float, float]:
    """Return the mean of ``absorbance`` (rows, columns) by ``weights``, and the share of them that is valid.

    The mean is NaN where less than half of the weights are valid.
    """
    good = valid & np.isfinite(absorbance) & (weights > 0)
    total = float(weights.sum(dtype=np.float64))
    usable = weights[good].astype(np.float64)
    share = float(usable.sum()) / total if total > 0 else 0.0
    if share < _MINIMUM_SHARE:
        return float("nan"), share
    return float(usable @ absorbance[good]) / float(usable.sum()), share


def discs(rows: slice, columns: slice, circles: FloatArray) -> FloatArray:
    """Return the area [px2] of each pixel of a window inside each of ``circles`` (K, 3: x, y, radius), (pixels, K).

    Sub-pixels on a grid that is the finer the smaller the circle, each with a rim of its own width, so that areas
    change smoothly with the circle.
    """
    smallest = float(circles[:, 2].min())
    fine = int(np.clip(np.ceil(3 / smallest), 1, 6))
    offset = (np.arange(fine) + 0.5) / fine - 0.5
    y = (np.arange(rows.start, rows.stop)[:, None] + offset).ravel()
    x = (np.arange(columns.start, columns.stop)[:, None] + offset).ravel()
    distance = np.sqrt((y[:, None] - circles[:, 1])[:, None, :] ** 2 + (x[:, None] - circles[:, 0])[None, :, :] ** 2)
    inside = np.clip((circles[:, 2] - distance) * fine + 0.5, 0.0, 1.0)
    if fine > 1:
        size = (rows.stop - rows.start, fine, columns.stop - columns.start, fine, circles.shape[0])
        inside = inside.reshape(size).mean(axis=(1, 3))
    return np.asarray(inside.reshape(-1, circles.shape[0]))


def _window(shape: tuple[int, int], x: float, y: float, radius: float) -> tuple[slice, slice]:
    """Return the rows and columns of an image that a disc can reach."""
    reach = radius + 1.0
    rows = slice(max(int(np.floor(y - reach)), 0), min(int(np.ceil(y + reach)) + 1, shape[0]))
    columns = slice(max(int(np.floor(x - reach)), 0), min(int(np.ceil(x + reach)) + 1, shape[1]))
    return rows, columns
