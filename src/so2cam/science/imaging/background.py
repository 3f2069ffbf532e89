"""The sky behind the plume: a low-order surface fitted to plume-free sky, which is found iteratively.

Clear-sky frames are taken at another time, towards another part of the sky. After the flat field, what is left
of the sky in the logarithm of each band is smooth, and is fitted by a two-dimensional polynomial (as in the
background model of Gliss 2017, there with a fixed threshold) to those parts of the image that are neither
terrain nor plume. Both bands are fitted on the same parts, so that what is common to them cancels exactly.
"""

from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
import numpy.typing as npt

from so2cam.core.records import BoolImage, FloatArray, FloatImage

BLOCK = 8
"""Side of the blocks [px] on which sky is looked for: fine enough for an image, coarse enough for noise."""

_SKYLINE_STEP = 0.12
"""Change of log intensity over two blocks that ends the sky on the way down a column: terrain, snow, thick ash."""
_REOPENING_RUN = 3
"""Side of the least square of blocks at the level of the sky that shows that the sky goes on below a plume."""
_REOPENING_GAP = 20
"""Blocks that a plume thick in the off band may at most cover in a column: 160 px."""
_FLANK = 5
"""Blocks around a step that are not used to tell the level of the sky below it."""
_STRUCTURE_FLOOR = 0.0015
"""Smallest absorbance scatter [1] that sky is ever taken to have: clear sky is not smoother than this."""
_MINIMUM_SKY_SHARE = 0.03
"""Share of all blocks that must be plume-free sky for a fit to be trusted."""
_MANY = 16_384
"""Numbers above which a sample of them tells closely enough where their median is."""


@dataclass(frozen=True, slots=True)
class SkySurface:
    """The sky of one pair: coefficients per band and how well they fit.

    ``on`` and ``off`` are polynomial coefficients of the log intensity; ``plume_free`` marks the blocks fitted
    (rows // 8, columns // 8), ``above_skyline`` all blocks of sky, with plume or without.
    ``structure`` [1] is the scatter of block-mean absorbance about the fit: sky that the surface does not follow.
    """

    on: FloatArray
    off: FloatArray
    order: int
    plume_free: BoolImage
    above_skyline: BoolImage
    structure: float

    @property
    def sky_share(self) -> float:
        """Share of the image that is plume-free sky."""
        return float(self.plume_free.mean())


@dataclass(frozen=True, slots=True)
class Blocks:
    """Means over blocks of both bands' log intensity, and which blocks are mostly valid."""

    on: FloatArray
    off: FloatArray
    usable: BoolImage


def block_means(log_on: FloatImage, log_off: FloatImage, valid: BoolImage) -> Blocks:
    """Return means of both log images over blocks of 8 x 8 pixels; a block needs three quarters valid pixels."""
    rows, columns = valid.shape[0] // BLOCK, valid.shape[1] // BLOCK
    crop = (slice(0, rows * BLOCK), slice(0, columns * BLOCK))
    mask = valid[crop].view(np.uint8)
    size = (columns, rows)
    # A mask of 0 and 64 has the count of a block's valid pixels as its mean.
    count = cv2.resize(mask * np.uint8(BLOCK * BLOCK), size, interpolation=cv2.INTER_AREA)
    share = np.asarray(count, np.float64) / (BLOCK * BLOCK)
    usable = share >= 0.75
    filled = np.maximum(share, 1e-6)

    def mean(image: FloatImage) -> FloatArray:
        # What is not valid counts as 0; a product would keep what is not a number.
        kept = cv2.copyTo(image[crop], mask)
        return np.asarray(cv2.resize(kept, size, interpolation=cv2.INTER_AREA), np.float64) / filled

    return Blocks(mean(log_on), mean(log_off), usable)


def find_sky(blocks: Blocks, shape: tuple[int, int], skyline: FloatArray | None = None) -> BoolImage:
    """Return which blocks lie above the skyline (rows // 8, columns // 8).

    With ``skyline`` (N x 2 points x, y in pixels of the image of ``shape``) that is where a block's lower edge
    is above it. Without, each column of blocks is followed down from its first usable block to the first step
    of the off band's log intensity that no clear sky has. Where the off band returns to the level of the sky
    below such a step (a plume thick with ash or droplets does, terrain does not), the sky goes on. A block of
    margin above the skyline is left out.
    """
    rows, columns = blocks.usable.shape
    if skyline is not None:
        centre_x = (np.arange(columns) + 0.5) * BLOCK - 0.5
        edge_y = np.interp(centre_x, skyline[:, 0], skyline[:, 1])
        lower_edge = (np.arange(rows)[:, None] + 1.0) * BLOCK - 0.5
        return np.asarray(blocks.usable & (lower_edge <= edge_y[None, :]))
    usable = blocks.usable
    off = np.where(usable, blocks.off, np.nan)
    step = np.zeros(off.shape)
    step[2:] = np.abs(off[2:] - off[:-2])
    step[1] = np.abs(off[1] - off[0])
    # A masked block under sky is terrain or snow too: it ends the sky like a step. Above the first usable
    # block it is only the edge of the off band's coverage.
    started = np.maximum.accumulate(usable, axis=0)
    ends = (step > _SKYLINE_STEP) | (started & ~usable)
    ended = np.maximum.accumulate(ends, axis=0)
    ended = _reopened(blocks, ended, shape)
    with_margin = cv2.dilate(
        ended.astype(np.uint8), np.ones((3, 3), np.uint8), borderType=cv2.BORDER_CONSTANT, borderValue=0
    )
    return np.asarray(usable & (with_margin == 0))


@lru_cache(maxsize=4)
def pixels_above(skyline: tuple[tuple[float, float], ...], shape: tuple[int, int]) -> BoolImage:
    """Return which pixels of an image of ``shape`` lie above ``skyline``, points (x, y) from left to right."""
    points = np.asarray(skyline, np.float64)
    edge_y = np.interp(np.arange(shape[1]), points[:, 0], points[:, 1])
    above = np.arange(shape[0])[:, None] < edge_y[None, :]
    above.flags.writeable = False
    return above


def _reopened(blocks: Blocks, ended: BoolImage, shape: tuple[int, int]) -> BoolImage:
    """Return ``ended`` with the sky continued where the off band comes back to it below a plume."""
    sky = blocks.usable & ~ended
    terms = _terms(shape, 2)
    least = 4 * terms.shape[0]
    if np.count_nonzero(sky) < least:
        return ended
    # What lies beside a step may be the flank of the plume that makes it, no level to compare with.
    square = np.ones((2 * _FLANK + 1, 2 * _FLANK + 1), np.uint8)
    flank = cv2.dilate(ended.astype(np.uint8), square, borderType=cv2.BORDER_CONSTANT, borderValue=0)
    clear = sky & (flank == 0)
    if np.count_nonzero(clear) < least:
        clear = sky
    inside = clear.ravel()
    near, off = np.compress(inside, terms, axis=1), blocks.off.ravel()[inside]
    keep = _common_sky(off, near)
    level = (_least_squares(near, off, keep) @ terms).reshape(sky.shape)
    like_sky = (blocks.usable & (np.abs(blocks.off - level) < _SKYLINE_STEP)).astype(np.uint8)
    square = np.ones((_REOPENING_RUN, _REOPENING_RUN), np.uint8)
    runs = cv2.morphologyEx(like_sky, cv2.MORPH_OPEN, square, borderType=cv2.BORDER_CONSTANT, borderValue=0)
    rows = np.arange(sky.shape[0])[:, None]
    last = np.max(np.where(sky, rows, -1), axis=0)
    # Down a column, from its last block of sky to the next run and on to the next, as far as gaps allow.
    found = (rows == last) | ((runs > 0) & (rows > last))
    before = np.maximum.accumulate(np.where(found, rows, -1), axis=0)
    apart = found[1:] & (rows[1:] > last) & (rows[1:] - before[:-1] > _REOPENING_GAP)
    found[1:] &= ~np.logical_or.accumulate(apart, axis=0)
    end = np.max(np.where(found, rows, -1), axis=0)
    return np.asarray(np.where(last >= 0, rows > end, ended))


def fit_sky_surface(
    blocks: Blocks, above_skyline: BoolImage, shape: tuple[int, int], *, order: int
) -> SkySurface | None:
    """Fit the sky of both bands to plume-free blocks; None where there is too little of it to fit.

    ``shape`` is that of the image. SO2 makes ``ln I_off - ln I_on`` larger than in clear sky and never smaller,
    so plume-free sky is its lower envelope: an asymmetric least-squares fit (Eilers 2003) finds it first, then
    blocks within three standard deviations are fitted again until they no longer change. The margins of what
    was left out are left out too. Returned coefficients give log intensity.
    """
    difference = blocks.off - blocks.on
    terms = _terms(shape, order)
    sky = above_skyline & blocks.usable
    needed = max(int(_MINIMUM_SKY_SHARE * sky.size), 4 * terms.shape[0])
    if np.count_nonzero(sky) < needed:
        return None
    # From here on, arrays hold only the blocks that may be plume-free sky.
    places = np.flatnonzero(sky)
    common = _common_sky(blocks.off.ravel()[places], np.take(terms, places, axis=1))
    places = places[common]
    if places.size < needed:
        return None
    terms, values = np.take(terms, places, axis=1), difference.ravel()[places]

    noise = max(_block_noise(difference, sky), _STRUCTURE_FLOOR)
    residual = values - _lower_envelope(terms, values) @ terms
    keep = residual < 3 * noise
    for _ in range(25):
        if np.count_nonzero(keep) < needed:
            return None
        residual = values - _least_squares(terms, values, keep) @ terms
        below = residual[keep & (residual <= 0)]
        spread = max(noise, 1.4826 * float(np.median(-below)) if below.size else noise)
        again = np.abs(residual) < 3 * spread
        if np.array_equal(again, keep):
            break
        keep = again
    left_out = np.zeros(sky.size, np.uint8)
    left_out[places[~keep]] = 1
    solid = cv2.morphologyEx(left_out.reshape(sky.shape), cv2.MORPH_OPEN, np.ones((2, 2), np.uint8))
    margin = cv2.dilate(solid, np.ones((5, 5), np.uint8), borderType=cv2.BORDER_CONSTANT, borderValue=0)
    trimmed = keep & (margin.ravel()[places] == 0)
    if np.count_nonzero(trimmed) >= needed:
        keep = trimmed
    on = _least_squares(terms, blocks.on.ravel()[places], keep)
    off = _least_squares(terms, blocks.off.ravel()[places], keep)
    scatter = (values - (off - on) @ terms)[keep]
    plume_free = np.zeros(sky.shape, np.bool_)
    plume_free.ravel()[places[keep]] = True
    return SkySurface(
        on=on,
        off=off,
        order=order,
        plume_free=plume_free,
        above_skyline=sky,
        structure=float(np.sqrt(np.mean(scatter**2))),
    )


def evaluate_surface(coefficients: FloatArray, order: int, shape: tuple[int, int]) -> FloatImage:
    """Return the surface of ``coefficients`` at every pixel of an image of ``shape`` (rows x columns, float32)."""
    x = _scaled(np.arange(shape[1], dtype=np.float64), shape[1])
    y = _scaled(np.arange(shape[0], dtype=np.float64), shape[0])
    # The polynomial is a sum over powers of y, each times a polynomial of x: a product of two thin matrices.
    in_x = np.zeros((order + 1, shape[1]))
    for coefficient, (px, py) in zip(coefficients, _powers(order), strict=True):
        in_x[py] += coefficient * x**px
    in_y = y[:, None] ** np.arange(order + 1)
    return np.asarray(in_y.astype(np.float32) @ in_x.astype(np.float32))


def surface_at(
    coefficients: FloatArray, order: int, shape: tuple[int, ...], x: FloatArray, y: FloatArray
) -> FloatArray:
    """Return the surface of ``coefficients``, fitted to an image of ``shape``, at pixels (x, y), any common shape."""
    across, down = _scaled(np.asarray(x, np.float64), shape[1]), _scaled(np.asarray(y, np.float64), shape[0])
    total = np.zeros(np.broadcast(across, down).shape)
    for coefficient, (px, py) in zip(coefficients, _powers(order), strict=True):
        total += coefficient * across**px * down**py
    return total


def blocks_to_pixels(blocks: BoolImage, shape: tuple[int, int]) -> BoolImage:
    """Return a mask of blocks as a mask of pixels; the strip that no block covers takes its neighbour's value."""
    rows, columns = (max(size, count * BLOCK) for size, count in zip(shape, blocks.shape, strict=True))
    pixels = np.empty((rows, columns), np.bool_)
    covered = blocks.shape[0] * BLOCK
    wide = np.repeat(blocks, BLOCK, axis=1)
    wide = np.pad(wide, ((0, 0), (0, columns - wide.shape[1])), mode="edge")
    pixels[:covered].reshape(-1, BLOCK, columns)[:] = wide[:, None, :]
    pixels[covered:] = wide[-1]
    return pixels


def pixel_noise(absorbance: FloatImage, sky: BoolImage) -> float:
    """Return the noise of one pixel's absorbance [1], 1 sigma, from second differences along rows in sky.

    Robust (median absolute deviation); every fourth row. Second differences ``a - 2b + c`` of independent noise
    have a variance of 6 sigma^2 and do not see gradients. NaN where there is no sky.
    """
    sample = absorbance[::4]
    second = sample[:, 2:] - 2 * sample[:, 1:-1] + sample[:, :-2]
    values = np.abs(second[sky[::4, 1:-1]])
    known = np.isfinite(values)
    if not known.all():
        values = values[known]
    if values.size < 100:
        return float("nan")
    return float(1.4826 * _median(values) / np.sqrt(6.0))


def _median(values: FloatImage) -> float:
    """Return the median of finite numbers; of many, only those near a sample's median are put in order."""
    if values.size > _MANY:
        sample = np.sort(values[::32])
        low, high = sample[int(0.44 * sample.size)], sample[int(0.56 * sample.size)]
        near = values[(values >= low) & (values <= high)]
        below = np.count_nonzero(values < low)
        middle = ((values.size - 1) // 2 - below, values.size // 2 - below)
        if middle[0] >= 0 and middle[1] < near.size:
            return float(np.mean(np.partition(near, middle)[list(middle)]))
    return float(np.median(values))


def _scaled(index: FloatArray, length: int) -> FloatArray:
    return np.asarray((2.0 * index - (length - 1)) / length, np.float64)


def _block_x(shape: tuple[int, int]) -> FloatArray:
    return _scaled(np.asarray((np.arange(shape[1] // BLOCK) + 0.5) * BLOCK - 0.5), shape[1])


def _block_y(shape: tuple[int, int]) -> FloatArray:
    return _scaled(np.asarray((np.arange(shape[0] // BLOCK) + 0.5) * BLOCK - 0.5), shape[0])


def _powers(order: int) -> list[tuple[int, int]]:
    return [(i, j) for i in range(order + 1) for j in range(order + 1 - i)]


@lru_cache(maxsize=8)
def _terms(shape: tuple[int, int], order: int) -> FloatArray:
    """Return the terms of a surface (terms, blocks) at the blocks of an image of ``shape``; not to be written to."""
    x, y = _block_x(shape), _block_y(shape)
    terms = np.stack([np.outer(y**j, x**i).ravel() for i, j in _powers(order)])
    terms.setflags(write=False)
    return terms


def _least_squares(terms: FloatArray, values: FloatArray, weights: FloatArray | BoolImage) -> FloatArray:
    weighted = terms * weights
    normal = weighted @ terms.T
    # A vanishing ridge keeps a degenerate layout of blocks (one strip of sky) from blowing up unseen directions.
    normal.flat[:: normal.shape[0] + 1] += 1e-9 * np.trace(normal)
    return np.asarray(np.linalg.solve(normal, weighted @ values), np.float64)


def _lower_envelope(terms: FloatArray, values: FloatArray) -> FloatArray:
    weights = np.ones(values.size)
    coefficients: FloatArray = np.zeros(terms.shape[0])
    for _ in range(12):
        coefficients = _least_squares(terms, values, weights)
        again = np.where(values > coefficients @ terms, 0.03, 1.0)
        if np.array_equal(again, weights):
            break
        weights = again
    return coefficients


def _common_sky(off: FloatArray, terms: FloatArray) -> npt.NDArray[np.bool_]:
    """Drop blocks whose off band is far from a surface through most of the sky: terrain that reaches the top."""
    keep = np.ones(off.size, np.bool_)
    for _ in range(6):
        residual = np.abs(off - _least_squares(terms, off, keep) @ terms)
        limit = max(0.25, 4 * 1.4826 * float(np.median(residual[keep])))
        again = residual < limit
        if np.array_equal(again, keep) or np.count_nonzero(again) < terms.shape[0]:
            break
        keep = again
    return keep


def _block_noise(difference: FloatArray, sky: BoolImage) -> float:
    second = difference[:, 2:] - 2 * difference[:, 1:-1] + difference[:, :-2]
    inside = sky[:, 2:] & sky[:, 1:-1] & sky[:, :-2]
    if not inside.any():
        return 0.0
    return float(1.4826 * np.median(np.abs(second[inside])) / np.sqrt(6.0))
