"""Random rows without end: made in blocks, each from its own seed, so that any part can be made by itself."""

import math
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Final

import cv2
import numpy as np
import numpy.typing as npt

from so2cam.core.records import FloatArray

BLOCK_ROWS: Final = 512
_FIRST_BLOCK: Final = 2**31
"""Added to a block's number, which may be negative: seeds are not"""


class Rows:
    """An endless table, row by row, of which the last blocks that were asked for are kept."""

    def __init__(self, make: Callable[[int], npt.NDArray[np.float32]], *, keep: int) -> None:
        """``make(block)`` returns the rows ``block * BLOCK_ROWS`` and so on, shape (BLOCK_ROWS, columns)."""
        self._make = make
        self._keep = keep
        self._blocks: OrderedDict[int, npt.NDArray[np.float32]] = OrderedDict()
        self._window: tuple[int, int] = (0, 0)
        self._joined: npt.NDArray[np.float32] = np.zeros((0, 0), np.float32)

    def window(self, first: int, last: int) -> tuple[npt.NDArray[np.float32], int]:
        """Return rows that include ``first`` to ``last``, contiguous, and the number of the first of them."""
        blocks = first // BLOCK_ROWS, last // BLOCK_ROWS + 1
        if blocks != self._window:
            self._joined = np.concatenate([self._block(number) for number in range(*blocks)])
            self._window = blocks
        return self._joined, blocks[0] * BLOCK_ROWS

    def _block(self, number: int) -> npt.NDArray[np.float32]:
        if number in self._blocks:
            self._blocks.move_to_end(number)
        else:
            self._blocks[number] = self._make(number)
            while len(self._blocks) > self._keep:
                self._blocks.popitem(last=False)
        return self._blocks[number]


def smooth_series(block: int, sigma: float, key: Sequence[int]) -> FloatArray:
    """Return a block of endless noise of unit variance, smoothed with a Gaussian of ``sigma`` rows: (BLOCK_ROWS,)."""
    return smooth_noise(block, (sigma, 0.0), 1, key)[:, 0]


def smooth_noise(block: int, sigma: tuple[float, float], columns: int, key: Sequence[int]) -> FloatArray:
    """Return a block of endless noise of unit variance, shape (BLOCK_ROWS, columns).

    It is smoothed with a Gaussian of ``sigma`` rows and columns, and goes on smoothly from block to block. ``key``
    are not negative numbers that tell this noise from others.
    """
    pads = math.ceil(4 * sigma[0]) + 1, math.ceil(4 * sigma[1]) + 1 if sigma[1] else 0
    around = math.ceil(pads[0] / BLOCK_ROWS)
    white = np.concatenate(
        [
            np.random.default_rng([*key, _FIRST_BLOCK + number]).standard_normal((BLOCK_ROWS, columns + 2 * pads[1]))
            for number in range(block - around, block + around + 1)
        ]
    )
    first = around * BLOCK_ROWS
    white = white[first - pads[0] : first + BLOCK_ROWS + pads[0]]
    kernels = [_gaussian(size) for size in sigma]
    smooth = cv2.sepFilter2D(white, cv2.CV_64F, kernels[1], kernels[0], borderType=cv2.BORDER_CONSTANT)
    cut = smooth[pads[0] : pads[0] + BLOCK_ROWS, pads[1] : pads[1] + columns]
    deviation = math.prod(float(np.sqrt(np.sum(kernel**2))) for kernel in kernels)
    return np.asarray(cut / deviation, np.float64)


def _gaussian(sigma: float) -> FloatArray:
    if sigma == 0:
        return np.ones(1)
    reach = math.ceil(4 * sigma)
    weights = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma) ** 2)
    return np.asarray(weights / weights.sum(), np.float64)
