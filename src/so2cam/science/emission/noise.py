"""How the noise of single pixels adds up in a sum along a line.

A sample on a line is made of four pixels, and neighbours share some; a pixel of the off band that was moved onto the
on band is made of four too. Their noise is independent only as the cameras took it: there it is added up.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import numpy as np
from scipy.sparse import csr_array

from so2cam.core.records import FloatArray

_GRID: Final = 48
"""Points each way at which the fractions of pixels, by which the off band was moved, are looked at."""


@dataclass(frozen=True, slots=True, eq=False)
class LineNoise:
    """What each sample of a line takes of each pixel: ``on`` and ``off``, sparse, (pixels, N), in sums of 1.

    Pixels of which no sample takes anything are left out.

    ``share``: variance of a pixel of one band over the variance that second differences of the absorbance image show.
    """

    on: csr_array
    off: csr_array
    share: float

    def sigma(self, weights: FloatArray, pixel_noise: float) -> float:
        """Return 1 sigma of ``sum(weights * samples)`` from pixel noise. ``pixel_noise``: that of the absorbance image.

        The noise of a pixel is taken to be the same in both bands.
        """
        on, off = self.on @ weights, self.off @ weights
        return float(pixel_noise * np.sqrt(self.share * (np.sum(on**2) + np.sum(off**2))))


def line_noise(x: FloatArray, y: FloatArray, shape: tuple[int, int], matrix: FloatArray) -> LineNoise:
    """Return how noise adds up on the samples at pixels (x, y) (N,) of images of ``shape`` (rows, columns).

    ``matrix`` (2 x 3) takes (x, y, 1) of an on-band pixel to the off band, which is resampled bilinearly
    (``science.imaging.registration``).
    """
    found: LineNoise = _cached(
        np.ascontiguousarray(x, np.float64).tobytes(),
        np.ascontiguousarray(y, np.float64).tobytes(),
        shape,
        np.ascontiguousarray(matrix, np.float64).tobytes(),
    )
    return found


def block_noise(block: int, shape: tuple[int, int], matrix: FloatArray) -> float:
    """Return 1 sigma of the mean over ``block`` x ``block`` pixels of an absorbance image, in sigma of one pixel.

    Sigma of one pixel is what second differences of the image show; ``matrix`` as for ``line_noise``. A moved off band
    shows too little of it pixel by pixel, and nearly all of it in a mean.
    """
    return _block_noise(block, shape, np.ascontiguousarray(matrix, np.float64).tobytes())


@lru_cache(maxsize=16)
def _block_noise(block: int, shape: tuple[int, int], matrix: bytes) -> float:
    moved = np.frombuffer(matrix, np.float64).reshape(2, 3)
    if np.array_equal(moved, np.eye(2, 3)):
        return 1 / block
    a, b = _fractions(shape, moved)
    along, across = ((block - 1 + f**2 + (1 - f) ** 2) / block for f in (a, b))
    share = 6 / (6 + _second_differences(shape, moved))
    return float(np.sqrt(share * (1 + np.mean(along * across))) / block)


@lru_cache(maxsize=64)
def _cached(x: bytes, y: bytes, shape: tuple[int, int], matrix: bytes) -> LineNoise:
    moved = np.frombuffer(matrix, np.float64).reshape(2, 3)
    on = _bilinear(np.frombuffer(x, np.float64), np.frombuffer(y, np.float64), shape)
    used = np.flatnonzero(np.diff(on.indptr))
    taken = csr_array(on[used])
    if np.array_equal(moved, np.eye(2, 3)):
        return LineNoise(taken, taken, 0.5)
    px, py = (used % shape[1]).astype(np.float64), (used // shape[1]).astype(np.float64)
    ox, oy = (row[0] * px + row[1] * py + row[2] for row in moved)
    off = _bilinear(ox, oy, shape) @ taken
    share = 6 / (6 + _second_differences(shape, moved))
    return LineNoise(taken, csr_array(off[np.flatnonzero(np.diff(off.indptr))]), share)


def _bilinear(x: FloatArray, y: FloatArray, shape: tuple[int, int]) -> csr_array:
    """Return the weights (pixels, N) of bilinear samples at (x, y); none of a pixel outside."""
    rows, columns = shape
    left, top = np.floor(x), np.floor(y)
    fx, fy = x - left, y - top
    number = np.arange(x.size)
    pixel, sample, weight = [], [], []
    for dy, wy in ((0, 1 - fy), (1, fy)):
        for dx, wx in ((0, 1 - fx), (1, fx)):
            i, j = (top + dy).astype(np.intp), (left + dx).astype(np.intp)
            inside = (i >= 0) & (i < rows) & (j >= 0) & (j < columns)
            pixel.append((i * columns + j)[inside])
            sample.append(number[inside])
            weight.append((wx * wy)[inside])
    entries = (np.concatenate(weight), (np.concatenate(pixel), np.concatenate(sample)))
    return csr_array(entries, shape=(rows * columns, x.size))


def _second_differences(shape: tuple[int, int], matrix: FloatArray) -> float:
    """Return the variance of second differences along rows of the moved off band, for independent noise of variance 1.

    Bilinear resampling by fractions (a, b) of a pixel turns the differences' weights 1, -2, 1 into
    1 - a, 3 a - 2, 1 - 3 a, a along the row, times 1 - b and b across it. It is averaged over the image.
    """
    a, b = _fractions(shape, matrix)
    along = (1 - a) ** 2 + (3 * a - 2) ** 2 + (1 - 3 * a) ** 2 + a**2
    across = (1 - b) ** 2 + b**2
    return float(np.mean(along * across))


def _fractions(shape: tuple[int, int], matrix: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return by which fractions (a, b) of a pixel the off band was moved, at points all over the image."""
    px, py = np.meshgrid(np.linspace(0, shape[1] - 1, _GRID), np.linspace(0, shape[0] - 1, _GRID))
    px, py = np.round(px), np.round(py)
    a, b = ((row[0] * px + row[1] * py + row[2]) % 1.0 for row in matrix)
    return a, b
