"""Optical flow of absorbance images (Farneback 2003), with masks and an uncertainty."""

from dataclasses import dataclass

import cv2
import numpy as np

from so2cam.core.records import BoolImage, FloatArray, FloatImage

_AMPLITUDE = np.float32(1e6)
"""Factor that makes the fixed regularisation of OpenCV's Farneback negligible for absorbances of any strength."""
_POLYNOMIAL = (7, 1.5)
"""Neighbourhood [px of the reduced image] and Gaussian sigma of the polynomial expansion."""
_RESIDUAL_FLOOR = 1e-8
"""Least mean squared residual [absorbance^2]: no camera of 10 bits tells images apart better than 1e-4."""
REDUCTION = 2
"""The flow is found on images reduced by this factor: a quarter of the time, no loss (plumes are smooth)."""


_NOISE_GRADIENT = 0.25 * 0.0204 / REDUCTION**2
"""Mean square gradient [per full pixel] that noise leaves after smoothing, over the residual it leaves: a quarter
for the mean of two images against their difference, times the power of the smoothed Sobel filter."""


@dataclass(frozen=True, slots=True)
class Region:
    """A rectangle of pixels: rows ``top`` to ``bottom``, columns ``left`` to ``right`` (exclusive)."""

    top: int
    bottom: int
    left: int
    right: int

    @property
    def slices(self) -> tuple[slice, slice]:
        """As an index of an image."""
        return slice(self.top, self.bottom), slice(self.left, self.right)


@dataclass(frozen=True, slots=True)
class Flow:
    """Displacement between two images in a region, and what is needed to judge it.

    ``displacement`` (rows/2, columns/2, 2) is (x, y) in pixels of the full image; ``valid`` (rows/2, columns/2)
    is False at masked pixels and beside them. ``structure`` (rows/2, columns/2, 3) holds the window means of
    Ix^2, Ix Iy, Iy^2 and ``residual`` that of the squared difference after motion, in absorbance per full pixel.
    """

    region: Region
    displacement: FloatImage
    valid: BoolImage
    structure: FloatImage
    residual: FloatImage
    window_px: int


def flow_region(x: FloatArray, y: FloatArray, shape: tuple[int, int], *, margin_px: int) -> Region:
    """Return the rectangle around points (x, y) with a margin, within an image of ``shape``, of even size."""
    top = max(int(np.min(y)) - margin_px, 0) // 2 * 2
    left = max(int(np.min(x)) - margin_px, 0) // 2 * 2
    bottom = min(int(np.max(y)) + margin_px + 2, shape[0])
    right = min(int(np.max(x)) + margin_px + 2, shape[1])
    return Region(top, bottom - (bottom - top) % 2, left, right - (right - left) % 2)


def optical_flow(
    first: FloatImage,
    second: FloatImage,
    valid_first: BoolImage,
    valid_second: BoolImage,
    region: Region,
    *,
    window_px: int,
    levels: int,
    iterations: int,
) -> Flow:
    """Return the motion from ``first`` to ``second`` (absorbance, rows x columns, NaN allowed where invalid).

    Masked pixels are filled smoothly from their neighbourhood in each image, so that no standing edge is left,
    and neither they nor pixels within half a window of them give a valid vector.
    """
    shape = (region.bottom - region.top, region.right - region.left)
    size = (shape[1] // REDUCTION, shape[0] // REDUCTION)
    a, share_a = _reduced(first[region.slices], valid_first[region.slices], size)
    b, share_b = _reduced(second[region.slices], valid_second[region.slices], size)
    solid = (share_a > 0.99) & (share_b > 0.99)
    window = max(window_px // REDUCTION, 5)
    flow = cv2.calcOpticalFlowFarneback(
        a * _AMPLITUDE,
        b * _AMPLITUDE,
        np.zeros((*a.shape, 2), np.float32),
        0.5,
        levels,
        window,
        iterations,
        *_POLYNOMIAL,
        0,
    )
    flow = np.asarray(flow, np.float32)

    grid_y, grid_x = np.mgrid[0 : a.shape[0], 0 : a.shape[1]].astype(np.float32)
    moved = cv2.remap(
        b, grid_x + flow[..., 0], grid_y + flow[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )
    smooth = cv2.GaussianBlur(0.5 * (a + moved), (0, 0), 1.0)
    gx = cv2.Sobel(smooth, cv2.CV_32F, 1, 0, ksize=3, scale=0.125) / REDUCTION
    gy = cv2.Sobel(smooth, cv2.CV_32F, 0, 1, ksize=3, scale=0.125) / REDUCTION
    box = (window, window)
    structure = np.stack([cv2.blur(gx * gx, box), cv2.blur(gx * gy, box), cv2.blur(gy * gy, box)], axis=-1)
    residual = cv2.blur((moved - a) ** 2, box)

    near_mask = cv2.erode(
        solid.astype(np.uint8), np.ones((window // 2 * 2 + 1,) * 2, np.uint8), borderType=cv2.BORDER_REPLICATE
    )
    return Flow(
        region=region,
        displacement=flow * np.float32(REDUCTION),
        valid=near_mask.astype(np.bool_),
        structure=np.asarray(structure, np.float32),
        residual=np.asarray(residual, np.float32),
        window_px=window * REDUCTION,
    )


def flow_at(flow: Flow, x: FloatArray, y: FloatArray, normal: tuple[float, float]) -> tuple[FloatArray, FloatArray]:
    """Return displacement vectors (N, 2) and 1 sigma (N,) of their component along ``normal``, in pixels.

    At pixels (x, y), bilinear. The uncertainty is that of the least-squares motion within the window (Lucas and
    Kanade 1981): ``sigma_r^2 / n * n^T J^-1 n`` with J the mean structure tensor, sigma_r^2 the mean squared
    residual after motion, and n the window's pixels. Vectors that are not valid, and samples outside the
    region, are NaN.
    """
    map_x = ((np.asarray(x) - flow.region.left - 0.5) / REDUCTION).astype(np.float32)[None, :]
    map_y = ((np.asarray(y) - flow.region.top - 0.5) / REDUCTION).astype(np.float32)[None, :]

    def pick(image: FloatImage) -> FloatArray:
        picked = cv2.remap(image, map_x, map_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT, borderValue=np.nan)
        return np.asarray(picked[0], np.float64)

    vectors = pick(flow.displacement)
    structure = pick(flow.structure)
    residual = pick(flow.residual)
    valid = pick(flow.valid.astype(np.float32)) > 0.999
    residual = np.maximum(residual, _RESIDUAL_FLOOR)
    inverse = _inverse_along(structure, _NOISE_GRADIENT * residual, normal)
    pixels = (flow.window_px / REDUCTION) ** 2
    sigma = np.sqrt(residual * inverse / pixels)
    vectors[~valid] = np.nan
    return vectors, np.where(valid, sigma, np.nan)


def _inverse_along(structure: FloatArray, noise: FloatArray, normal: tuple[float, float]) -> FloatArray:
    """Return ``n^T J^-1 n`` of structure tensors (N, 3) from which the gradients of noise are taken off.

    Noise has gradients too, and they are no texture: one and a half times what it is expected to leave in each
    eigenvalue is subtracted, and three hundredths of it are the least that remains.
    """
    xx, xy, yy = structure[:, 0], structure[:, 1], structure[:, 2]
    mean, half = (xx + yy) / 2, np.hypot((xx - yy) / 2, xy)
    angle = 0.5 * np.arctan2(2 * xy, xx - yy)
    along = normal[0] * np.cos(angle) + normal[1] * np.sin(angle)
    across = normal[1] * np.cos(angle) - normal[0] * np.sin(angle)
    least = 0.03 * noise
    return np.asarray(
        along**2 / np.maximum(mean + half - 1.5 * noise, least)
        + across**2 / np.maximum(mean - half - 1.5 * noise, least)
    )


def _reduced(image: FloatImage, valid: BoolImage, size: tuple[int, int]) -> tuple[FloatImage, FloatImage]:
    valid = valid & np.isfinite(image)
    weight = np.asarray(cv2.resize(valid.astype(np.float32), size, interpolation=cv2.INTER_AREA), np.float32)
    value = np.where(valid, image, np.float32(0))
    mean = np.asarray(cv2.resize(value, size, interpolation=cv2.INTER_AREA), np.float32)
    if valid.all():
        return mean, weight
    solid = weight > 0.99
    filled = np.divide(mean, weight, out=np.zeros_like(mean), where=solid)
    return _closed(filled, solid.astype(np.float32)), weight


def _closed(image: FloatImage, known: FloatImage) -> FloatImage:
    """Return ``image`` with what is not ``known`` (1 or 0) filled smoothly from around it.

    Pull and push (Gortler 1996): means of the known pixels on coarser and coarser grids, then each grid's
    holes filled from the next coarser one. Zero where nothing is known at all.
    """
    if min(image.shape) < 2 or known.all():
        return image
    size = ((image.shape[1] + 1) // 2, (image.shape[0] + 1) // 2)
    weight = np.asarray(cv2.resize(known, size, interpolation=cv2.INTER_AREA), np.float32)
    total = np.asarray(cv2.resize(image * known, size, interpolation=cv2.INTER_AREA), np.float32)
    coarse = np.divide(total, weight, out=np.zeros_like(total), where=weight > 0)
    coarse = _closed(coarse, (weight > 0).astype(np.float32))
    back = cv2.resize(coarse, (image.shape[1], image.shape[0]), interpolation=cv2.INTER_LINEAR)
    return np.where(known > 0, image, back).astype(np.float32)
