"""The flat field of a camera, from clear-sky frames."""

from dataclasses import dataclass

import cv2
import numpy as np

from so2cam.core.records import BoolImage, FloatImage


@dataclass(frozen=True, slots=True)
class FlatField:
    """A vignetting mask ``values`` (rows x columns, maximum 1), where it is ``valid``, and the smoothed clear
    sky's maximum ``peak`` in the units it was given in: ``peak * values`` is the clear sky itself.
    """

    values: FloatImage
    valid: BoolImage
    peak: float


def flat_field(clear: FloatImage, valid: BoolImage, *, smoothing_px: float) -> FlatField:
    """Return the vignetting mask V (maximum 1).

    ``clear`` is the dark-corrected mean of clear-sky frames, shape (rows, columns); it is smoothed by a
    Gaussian of ``smoothing_px`` over its valid pixels, so that neither the noise of one frame nor a masked
    pixel becomes part of the flat. ``V = smooth(clear) / max(smooth(clear))``. Where less than half of the
    Gaussian's weight falls on valid pixels, V is 1 and invalid. Raises ValueError where nothing is valid.
    """
    if not valid.any():
        raise ValueError("no valid pixel in the clear-sky frames")
    weight = valid.astype(np.float32)
    weighted = np.where(valid, clear, np.float32(0)).astype(np.float32)
    if smoothing_px > 0:
        weighted = np.asarray(cv2.GaussianBlur(weighted, (0, 0), smoothing_px), np.float32)
        weight = np.asarray(cv2.GaussianBlur(weight, (0, 0), smoothing_px), np.float32)
    supported = weight >= 0.5
    smooth = np.divide(weighted, weight, out=np.zeros_like(weighted), where=supported)
    usable = supported & valid & (smooth > 0)
    if not usable.any():
        raise ValueError("no part of the clear-sky frames is valid over more than a few pixels")
    peak = float(smooth[usable].max())
    return FlatField(np.where(usable, smooth / np.float32(peak), np.float32(1)).astype(np.float32), usable, peak)
