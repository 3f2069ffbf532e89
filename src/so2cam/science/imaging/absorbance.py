"""Optical depth and apparent absorbance."""

import cv2
import numpy as np

from so2cam.core.records import BoolImage, FloatImage


def log_intensity(intensity: FloatImage, valid: BoolImage) -> FloatImage:
    """Return the natural logarithm of ``intensity`` where ``valid``, NaN elsewhere (rows x columns, float32)."""
    out = np.asarray(cv2.log(intensity), np.float32)
    if not valid.all():
        np.copyto(out, np.float32(np.nan), where=~valid)
    return out


def optical_depth(log_background: FloatImage, log_image: FloatImage) -> FloatImage:
    """Return the optical depth ``ln(I_bg / I)`` of a band from the logarithms of both; NaN stays NaN.

    Source: Mori and Burton 2006; natural logarithm throughout.
    """
    return np.subtract(log_background, log_image, dtype=np.float32)


def apparent_absorbance(optical_depth_on: FloatImage, optical_depth_off: FloatImage) -> FloatImage:
    """Return the apparent absorbance, on-band minus off-band optical depth (Luebcke 2013, eq. 3).

    What darkens both bands alike cancels; a pixel without either band is NaN.
    """
    return np.subtract(optical_depth_on, optical_depth_off, dtype=np.float32)
