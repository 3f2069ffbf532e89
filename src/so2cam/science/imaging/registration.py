"""Bringing the off-band image onto the on-band image."""

from functools import lru_cache

import cv2
import numpy as np

from so2cam.core.records import BoolImage, FloatArray, FloatImage

_COVERED = np.float32(1 - 1e-5)


def warp_to_on_band(image: FloatImage, valid: BoolImage, matrix: FloatArray) -> tuple[FloatImage, BoolImage]:
    """Return an off-band image resampled on the on-band image's pixels, and where it is valid.

    ``image`` (float32, rows x columns) holds intensities, before any logarithm; ``matrix`` (2 x 3) takes
    (x, y, 1) of an on-band pixel to the (x, y) of the same scene in the off band. Bilinear; a pixel is valid
    only where all source pixels that it is made of lie in the image and are valid. Sign and mean of the
    intensities are kept: nothing is clipped or cast. Invalid pixels are NaN.
    """
    matrix = np.asarray(matrix, np.float64)
    if np.array_equal(matrix, np.eye(2, 3)):
        return np.where(valid, image, np.float32(np.nan)), valid.copy()
    if valid.all():
        result = _resampled(image, matrix)
        covered = _covered(image.shape[0], image.shape[1], matrix.tobytes()).copy()
    else:
        result = _resampled(np.asarray(cv2.copyTo(image, valid.view(np.uint8)), np.float32), matrix)
        covered = _resampled(valid.astype(np.float32), matrix) > _COVERED
    np.copyto(result, np.float32(np.nan), where=~covered)
    return result, covered


def _resampled(image: FloatImage, matrix: FloatArray) -> FloatImage:
    size = (image.shape[1], image.shape[0])
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    warped = cv2.warpAffine(image, matrix, size, flags=flags, borderMode=cv2.BORDER_CONSTANT, borderValue=0)
    return np.asarray(warped, np.float32)


@lru_cache(maxsize=4)
def _covered(rows: int, columns: int, matrix: bytes) -> BoolImage:
    """Return which pixels an off-band image without invalid pixels covers; the same for all frames of a run."""
    everywhere = np.ones((rows, columns), np.float32)
    return np.asarray(_resampled(everywhere, np.frombuffer(matrix, np.float64).reshape(2, 3)) > _COVERED)
