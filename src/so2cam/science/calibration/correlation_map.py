"""Correlation of every pixel's series, or that of the squares about it, with a series of column densities."""

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from so2cam.core.records import BoolImage, FloatArray, FloatImage

Stack = npt.NDArray[np.float32]
"""Images in time, (T, rows, columns)."""
BoolStack = npt.NDArray[np.bool_]

_NO_STRUCTURE = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]], np.float32)
_NOISE_IMAGES = 4
_NOISE_PIXELS = 50


@dataclass(frozen=True, slots=True, eq=False)
class Deviations:
    """A stack of images about each pixel's own mean in time, 0 where masked.

    A masked pixel then changes no mean over its neighbours by what it lacks. ``values`` (T, rows, columns);
    ``valid`` the same, None where no pixel of ``usable`` is ever masked; ``usable`` (rows, columns): pixels with
    enough valid values; ``noise`` 1 sigma of a single pixel.
    """

    values: Stack
    valid: BoolStack | None
    usable: BoolImage
    noise: float = 0.0


def deviations(absorbance: Stack, valid: BoolStack, weights: FloatArray, minimum_count: int) -> Deviations:
    """Return ``absorbance`` about its mean in time by ``weights`` (T,); values that are not finite are masked."""
    good = valid & np.isfinite(absorbance) & (weights > 0)[:, None, None]
    count = good.sum(axis=0)
    usable = count >= minimum_count
    clean = np.where(good & usable, absorbance, np.float32(0))
    flat, mask = clean.reshape(clean.shape[0], -1), (good & usable).reshape(clean.shape[0], -1)
    kind = weights.astype(np.float32)
    constant = bool((count[usable] == np.count_nonzero(weights > 0)).all())
    if constant:
        mean = (kind @ flat) / kind.sum()
        flat = np.where(usable.ravel(), flat - mean, np.float32(0))
    else:
        total = kind @ mask.astype(np.float32)
        mean = (kind @ flat) / np.where(total > 0, total, np.float32(1))
        flat = np.where(mask, flat - mean, np.float32(0))
    flat[weights <= 0] = 0
    values = flat.reshape(clean.shape)
    return Deviations(
        values, None if constant else mask.reshape(clean.shape), usable, _pixel_noise(values, good, usable)
    )


def _pixel_noise(values: Stack, good: BoolStack, usable: BoolImage) -> float:
    """Return 1 sigma of a pixel by what is left of a few images where planes and edges cancel (Immerkaer 1996)."""
    whole = cv2.erode(usable.astype(np.uint8), np.ones((3, 3), np.uint8), borderValue=0) > 0
    chosen = np.linspace(0, values.shape[0] - 1, min(_NOISE_IMAGES, values.shape[0])).astype(np.intp)
    left = []
    for index in chosen:
        masked = cv2.dilate((~good[index]).astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
        left.append(np.abs(cv2.filter2D(values[index], cv2.CV_32F, _NO_STRUCTURE)[whole & ~masked]))
    found = np.concatenate(left)
    return float(np.median(found)) * 1.4826 / 6 if found.size > _NOISE_PIXELS else 0.0


def correlation_map(stack: Deviations, column: FloatArray, weights: FloatArray) -> FloatImage:
    """Return Pearson's correlation of every pixel with ``column`` (T,) by ``weights`` (T,), (rows, columns) float32.

    Each pixel by the times at which it is valid (pairwise complete). NaN for pixels without enough of them, or that
    never change.
    """
    shape = stack.usable.shape
    flat = stack.values.reshape(stack.values.shape[0], -1)
    mask = None if stack.valid is None else stack.valid.reshape(flat.shape).astype(np.float32)
    return np.where(stack.usable, _pearson(flat, mask, column, weights).reshape(shape), np.nan).astype(np.float32)


def smoothed_maps(
    stack: Deviations, column: FloatArray, weights: FloatArray, half_widths: list[int], minimum_share: float
) -> FloatArray:
    """Return the correlation with the mean over squares of ``2 h + 1`` pixels about every pixel, (H, rows, columns).

    -1 where less than ``minimum_share`` of a square is usable.
    """
    out = np.empty((len(half_widths), *stack.usable.shape))
    for index, half in enumerate(half_widths):
        share = _squares(stack.usable[None].astype(np.float32), half)[0] / (2 * half + 1) ** 2
        sums = _squares(stack.values, half)
        flat = sums.reshape(sums.shape[0], -1)
        mask = None
        if stack.valid is not None:
            there = _squares(stack.valid.astype(np.float32), half).reshape(flat.shape)
            mask = (there > 0.5 * there.max(axis=0)).astype(np.float32)
            flat = np.where(mask > 0, flat / np.maximum(there, np.float32(1)), np.float32(0))
        found = _pearson(flat, mask, column, weights).reshape(share.shape)
        out[index] = np.where((share >= minimum_share) & stack.usable & np.isfinite(found), found, -1.0)
    return out


def block_deviations(stack: Deviations, factor: int) -> Deviations:
    """Return means over blocks of ``factor`` x ``factor`` pixels; what is left over at the ends is dropped."""
    if factor == 1:
        return stack
    times, rows, columns = stack.values.shape
    size = (times, rows // factor, factor, columns // factor, factor)
    cut = (slice(None), slice(0, size[1] * factor), slice(0, size[3] * factor))
    usable = stack.usable[cut[1:]].reshape(size[1:]).sum(axis=(1, 3))
    sums = stack.values[cut].reshape(size).sum(axis=(2, 4))
    enough = usable >= 0.5 * factor**2
    if stack.valid is None:
        return Deviations(np.where(enough, sums / np.maximum(usable, 1), 0).astype(np.float32), None, enough)
    there = stack.valid[cut].reshape(size).sum(axis=(2, 4))
    valid = (there >= 0.5 * usable) & enough
    return Deviations(np.where(valid, sums / np.maximum(there, 1), 0).astype(np.float32), valid, enough)


def _pearson(
    flat: npt.NDArray[np.float32], mask: npt.NDArray[np.float32] | None, column: FloatArray, weights: FloatArray
) -> FloatArray:
    """Return the correlation (P,) of the series ``flat`` (T, P) with ``column``."""
    used = weights > 0
    safe = np.where(used, column, 0.0)
    scale = float(np.sqrt(weights @ (safe - (weights @ safe) / weights.sum()) ** 2 / weights.sum()))
    y = ((safe - (weights @ safe) / weights.sum()) / (scale if scale > 0 else 1.0)).astype(np.float32)
    w = weights.astype(np.float32)
    sums = np.stack([w, w * y]) @ flat
    squares = w @ (flat * flat)
    if mask is None:
        total: FloatArray | float = float(w.sum())
        sum_y: FloatArray | float = float(w @ y)
        sum_yy: FloatArray | float = float(w @ (y * y))
    else:
        total, sum_y, sum_yy = (each.astype(np.float64) for each in np.stack([w, w * y, w * y * y]) @ mask)
    sum_x, sum_xy = sums.astype(np.float64)
    with np.errstate(invalid="ignore", divide="ignore"):
        covariance = sum_xy - sum_x * sum_y / total
        variance = squares - sum_x**2 / total
        spread = sum_yy - sum_y**2 / total if mask is not None else np.asarray(sum_yy - sum_y * sum_y / total)
        found = covariance / np.sqrt(variance * spread)
        found[~(variance > 1e-6 * squares) | ~np.isfinite(found)] = np.nan
    return np.asarray(np.clip(found, -1.0, 1.0))


def _squares(images: npt.NDArray[np.float32], half: int) -> npt.NDArray[np.float32]:
    """Return sums over squares of ``2 half + 1`` pixels about every pixel of ``images`` (T, rows, columns)."""
    if half == 0:
        return images
    side = (2 * half + 1, 2 * half + 1)
    out = np.empty_like(images)
    for image, into in zip(images, out, strict=True):
        cv2.boxFilter(image, -1, side, dst=into, normalize=False, borderType=cv2.BORDER_CONSTANT)
    return out
