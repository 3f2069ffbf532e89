"""Bringing the off-band image onto the on-band image."""

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
    size = (image.shape[1], image.shape[0])
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    matrix = np.asarray(matrix, np.float64)
    if np.array_equal(matrix, np.eye(2, 3)):
        return np.where(valid, image, np.float32(np.nan)), valid.copy()
    finite = np.where(valid, image, np.float32(0))
    warped = cv2.warpAffine(finite, matrix, size, flags=flags, borderMode=cv2.BORDER_CONSTANT, borderValue=0)
    share = cv2.warpAffine(
        valid.astype(np.float32), matrix, size, flags=flags, borderMode=cv2.BORDER_CONSTANT, borderValue=0
    )
    covered = np.asarray(share > _COVERED)
    result = np.asarray(warped, np.float32)
    result[~covered] = np.nan
    return result, covered
