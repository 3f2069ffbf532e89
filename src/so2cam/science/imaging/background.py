"""The sky behind the plume: a low-order surface fitted to plume-free sky, which is found iteratively.

Clear-sky frames are taken at another time, towards another part of the sky. After the flat field, what is left
of the sky in the logarithm of each band is smooth, and is fitted by a two-dimensional polynomial (as in the
background model of Gliss 2017, there with a fixed threshold) to those parts of the image that are neither
terrain nor plume. Both bands are fitted on the same parts, so that what is common to them cancels exactly.
"""

from dataclasses import dataclass

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
    mask = np.ascontiguousarray(valid[crop]).astype(np.float32)
    size = (columns, rows)

    def mean(image: npt.NDArray[np.float32]) -> FloatArray:
        return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.float64)

    share = mean(mask)
    usable = share >= 0.75
    filled = np.maximum(share, 1e-6)
    on = mean(np.where(valid[crop], log_on[crop], np.float32(0))) / filled
    off = mean(np.where(valid[crop], log_off[crop], np.float32(0))) / filled
    return Blocks(on, off, usable)


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


def _reopened(blocks: Blocks, ended: BoolImage, shape: tuple[int, int]) -> BoolImage:
    """Return ``ended`` with the sky continued where the off band comes back to it below a plume."""
    sky = blocks.usable & ~ended
    basis = _basis(_block_x(shape), _block_y(shape), 2)
    flat_basis = basis.reshape(-1, basis.shape[-1])
    if int(sky.sum()) < 4 * basis.shape[-1]:
        return ended
    # What lies beside a step may be the flank of the plume that makes it, no level to compare with.
    square = np.ones((2 * _FLANK + 1, 2 * _FLANK + 1), np.uint8)
    flank = cv2.dilate(ended.astype(np.uint8), square, borderType=cv2.BORDER_CONSTANT, borderValue=0)
    clear = sky & (flank == 0)
    if int(clear.sum()) < 4 * basis.shape[-1]:
        clear = sky
    keep = _common_sky(blocks.off.ravel(), flat_basis, clear.ravel())
    level = (flat_basis @ _least_squares(flat_basis, blocks.off.ravel(), keep)).reshape(sky.shape)
    like_sky = (blocks.usable & (np.abs(blocks.off - level) < _SKYLINE_STEP)).astype(np.uint8)
    square = np.ones((_REOPENING_RUN, _REOPENING_RUN), np.uint8)
    runs = cv2.morphologyEx(like_sky, cv2.MORPH_OPEN, square, borderType=cv2.BORDER_CONSTANT, borderValue=0) > 0
    result = ended.copy()
    for index in range(sky.shape[1]):
        above = np.flatnonzero(sky[:, index])
        if above.size == 0:
            continue
        last = int(above[-1])
        for row in np.flatnonzero(runs[:, index]):
            if row > last:
                if row - last > _REOPENING_GAP:
                    break
                last = int(row)
        result[: last + 1, index] = False
        result[last + 1 :, index] = True
    return result


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
    basis = _basis(_block_x(shape), _block_y(shape), order)
    sky = above_skyline & blocks.usable
    needed = max(int(_MINIMUM_SKY_SHARE * sky.size), 4 * basis.shape[-1])
    if int(sky.sum()) < needed:
        return None
    flat_basis = basis.reshape(-1, basis.shape[-1])
    values = difference.ravel()
    candidates = sky.ravel() & _common_sky(blocks.off.ravel(), flat_basis, sky.ravel())
    if int(candidates.sum()) < needed:
        return None

    noise = max(_block_noise(difference, sky), _STRUCTURE_FLOOR)
    residual = values - flat_basis @ _lower_envelope(flat_basis, values, candidates)
    keep = candidates & (residual < 3 * noise)
    for _ in range(25):
        if int(keep.sum()) < needed:
            return None
        coefficients = _least_squares(flat_basis, values, keep)
        residual = values - flat_basis @ coefficients
        below = residual[keep & (residual <= 0)]
        spread = max(noise, 1.4826 * float(np.median(-below)) if below.size else noise)
        again = candidates & (np.abs(residual) < 3 * spread)
        if np.array_equal(again, keep):
            break
        keep = again
    left_out = (candidates & ~keep).reshape(sky.shape).astype(np.uint8)
    solid = cv2.morphologyEx(left_out, cv2.MORPH_OPEN, np.ones((2, 2), np.uint8))
    margin = cv2.dilate(solid, np.ones((5, 5), np.uint8), borderType=cv2.BORDER_CONSTANT, borderValue=0)
    trimmed = keep & (margin.ravel() == 0)
    if int(trimmed.sum()) >= needed:
        keep = trimmed
    on = _least_squares(flat_basis, blocks.on.ravel(), keep)
    off = _least_squares(flat_basis, blocks.off.ravel(), keep)
    scatter = values[keep] - flat_basis[keep] @ (off - on)
    return SkySurface(
        on=on,
        off=off,
        order=order,
        plume_free=keep.reshape(sky.shape),
        above_skyline=sky,
        structure=float(np.sqrt(np.mean(scatter**2))),
    )


def evaluate_surface(coefficients: FloatArray, order: int, shape: tuple[int, int]) -> FloatImage:
    """Return the surface of ``coefficients`` at every pixel of an image of ``shape`` (rows x columns, float32)."""
    x = _scaled(np.arange(shape[1], dtype=np.float64), shape[1])
    y = _scaled(np.arange(shape[0], dtype=np.float64), shape[0])
    # The polynomial is a sum over powers of y, each times a polynomial of x: one outer product per power.
    surface = np.zeros(shape, np.float32)
    for j in range(order + 1):
        row = np.zeros(shape[1])
        for k, (px, py) in enumerate(_powers(order)):
            if py == j:
                row += coefficients[k] * x**px
        surface += np.outer((y**j).astype(np.float32), row.astype(np.float32))
    return surface


def blocks_to_pixels(blocks: BoolImage, shape: tuple[int, int]) -> BoolImage:
    """Return a mask of blocks as a mask of pixels; the strip that no block covers takes its neighbour's value."""
    full = np.repeat(np.repeat(blocks, BLOCK, axis=0), BLOCK, axis=1)
    missing = (max(shape[0] - full.shape[0], 0), max(shape[1] - full.shape[1], 0))
    return np.pad(full, ((0, missing[0]), (0, missing[1])), mode="edge") if any(missing) else full


def pixel_noise(absorbance: FloatImage, sky: BoolImage) -> float:
    """Return the noise of one pixel's absorbance [1], 1 sigma, from second differences along rows in sky.

    Robust (median absolute deviation); every fourth row. Second differences ``a - 2b + c`` of independent noise
    have a variance of 6 sigma^2 and do not see gradients. NaN where there is no sky.
    """
    sample = absorbance[::4]
    second = sample[:, 2:] - 2 * sample[:, 1:-1] + sample[:, :-2]
    inside = sky[::4, 1:-1]
    values = np.abs(second[inside])
    values = values[np.isfinite(values)]
    if values.size < 100:
        return float("nan")
    return float(1.4826 * np.median(values) / np.sqrt(6.0))


def _scaled(index: FloatArray, length: int) -> FloatArray:
    return np.asarray((2.0 * index - (length - 1)) / length, np.float64)


def _block_x(shape: tuple[int, int]) -> FloatArray:
    return _scaled(np.asarray((np.arange(shape[1] // BLOCK) + 0.5) * BLOCK - 0.5), shape[1])


def _block_y(shape: tuple[int, int]) -> FloatArray:
    return _scaled(np.asarray((np.arange(shape[0] // BLOCK) + 0.5) * BLOCK - 0.5), shape[0])


def _powers(order: int) -> list[tuple[int, int]]:
    return [(i, j) for i in range(order + 1) for j in range(order + 1 - i)]


def _basis(x: FloatArray, y: FloatArray, order: int) -> FloatArray:
    return np.stack([(y**j)[:, None] * (x**i)[None, :] for i, j in _powers(order)], axis=-1)


def _least_squares(basis: FloatArray, values: FloatArray, keep: npt.NDArray[np.bool_]) -> FloatArray:
    chosen = basis[keep]
    normal = chosen.T @ chosen
    # A vanishing ridge keeps a degenerate layout of blocks (one strip of sky) from blowing up unseen directions.
    normal[np.diag_indices_from(normal)] += 1e-9 * np.trace(normal)
    return np.asarray(np.linalg.solve(normal, chosen.T @ values[keep]))


def _lower_envelope(basis: FloatArray, values: FloatArray, keep: npt.NDArray[np.bool_]) -> FloatArray:
    chosen, target = basis[keep], values[keep]
    weights = np.ones(target.size)
    coefficients: FloatArray = np.zeros(basis.shape[1])
    for _ in range(12):
        weighted = chosen * weights[:, None]
        normal = chosen.T @ weighted
        normal[np.diag_indices_from(normal)] += 1e-9 * np.trace(normal)
        coefficients = np.asarray(np.linalg.solve(normal, weighted.T @ target), np.float64)
        weights = np.where(target > chosen @ coefficients, 0.03, 1.0)
    return coefficients


def _common_sky(off: FloatArray, basis: FloatArray, sky: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """Drop blocks whose off band is far from a surface through most of the sky: terrain that reaches the top."""
    keep = sky.copy()
    residual = np.zeros(off.size)
    for _ in range(6):
        residual = np.abs(off - basis @ _least_squares(basis, off, keep))
        limit = max(0.25, 4 * 1.4826 * float(np.median(residual[keep])))
        again = sky & (residual < limit)
        if np.array_equal(again, keep) or int(again.sum()) < basis.shape[1]:
            break
        keep = again
    return keep


def _block_noise(difference: FloatArray, sky: BoolImage) -> float:
    second = difference[:, 2:] - 2 * difference[:, 1:-1] + difference[:, :-2]
    inside = sky[:, 2:] & sky[:, 1:-1] & sky[:, :-2]
    if not inside.any():
        return 0.0
    return float(1.4826 * np.median(np.abs(second[inside])) / np.sqrt(6.0))
