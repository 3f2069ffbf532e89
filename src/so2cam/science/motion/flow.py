"""Optical flow of absorbance images, with masks and an uncertainty.

A first guess of the motion at every pixel by Farneback's (2003) method or by dense inverse search (DIS; Kroeger et al.
2016); then least squares on the absorbances themselves, first for the region as a whole, then within windows that
lean on the region where their texture is poor (see ``regional`` and ``local``).
"""

from dataclasses import dataclass
from typing import Final, Literal

import cv2
import numpy as np
import numpy.typing as npt

from so2cam.core.records import BoolImage, FloatArray, FloatImage
from so2cam.science.motion.local import local_motion
from so2cam.science.motion.regional import blurred, gradient, regional_motion

FlowAlgorithm = Literal["farneback", "dis"]

_AMPLITUDE: Final = np.float32(1e6)
"""Factor that makes the fixed regularisation of OpenCV's Farneback negligible for absorbances of any strength."""
_POLYNOMIAL: Final = (7, 1.5)
"""Neighbourhood [px of the reduced image] and Gaussian sigma of the polynomial expansion."""
_RESIDUAL_FLOOR: Final = 1e-8
"""Least mean squared residual [absorbance^2]: no camera of 10 bits tells images apart better than 1e-4."""
REDUCTION: Final = 2
"""The flow is found on images reduced by this factor: a quarter of the time, no loss (plumes are smooth)."""
_SMOOTHINGS: Final = (1.0, 1.5, 2.0, 3.0, 4.0, 6.0)
"""Gaussian sigmas [px of the reduced image] to choose from."""
_NOISE_SHARE: Final = 0.25
"""Largest share of noise in the mean squared gradient of the plume, which the smoothing is chosen for."""
_FOLLOWED: Final = 4
"""Steps to find where gas came from: each leaves of the error the share by which the motion differs over its length."""
_LEAST_FOR_SEARCH: Final = 32
"""Smallest side [px of the reduced image] that dense inverse search works on."""
_STRETCH: Final = (0.5, 99.5)
"""Percentiles of absorbance that dense inverse search sees as 0 and 255."""


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
    """Displacement between two images in a region, and how uncertain it is.

    ``displacement`` (rows/2, columns/2, 2) is (x, y) in pixels of the full image; ``valid`` (rows/2, columns/2)
    is False at masked pixels and beside them. ``covariance`` and ``common`` (rows/2, columns/2, 3) are the
    covariances xx, xy, yy [px^2] of its errors: those that are alike within ``window_px``, and those that are one and
    the same in the whole region.
    """

    region: Region
    displacement: FloatImage
    valid: BoolImage
    covariance: FloatImage
    common: FloatImage
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
    algorithm: FlowAlgorithm = "farneback",
) -> Flow:
    """Return the motion from ``first`` to ``second`` (absorbance, rows x columns, NaN allowed where invalid).

    Masked pixels are filled smoothly from their neighbourhood in each image, so that no standing edge is left;
    neither they nor pixels within half a window of them give a valid vector, and they count for nothing in the
    region's motion. ``levels`` and ``iterations`` are those of Farneback's first guess.
    """
    shape = (region.bottom - region.top, region.right - region.left)
    size = (shape[1] // REDUCTION, shape[0] // REDUCTION)
    a, share_a = _reduced(first[region.slices], valid_first[region.slices], size)
    b, share_b = _reduced(second[region.slices], valid_second[region.slices], size)
    solid = (share_a > 0.99) & (share_b > 0.99)
    window = max(window_px // REDUCTION, 5)
    weight = _plume_weight(a, b, solid, window)
    noise = 0.5 * (_noise_variance(a, solid) + _noise_variance(b, solid))
    smoothing, smooth = _smoothing(a, weight, noise)
    smooth_b = blurred(b, smoothing)
    floor = _RESIDUAL_FLOOR
    if algorithm == "dis":
        start, step = _dense_inverse_search(smooth, smooth_b)
        floor += 2 * step**2 / 12
    else:
        guess = (a, b) if smoothing == _SMOOTHINGS[0] else (smooth, smooth_b)
        start = _farneback(*guess, levels=levels, window=window, iterations=iterations)

    gx, gy = gradient(smooth)
    energy = weight * (gx * gx + gy * gy)
    total = float(np.sum(energy, dtype=np.float64))
    # In units of the plume's gradient, so that single precision holds every product.
    unit = float(np.sqrt(total / max(float(np.sum(weight)), 1e-9)))
    unit = max(unit, 1e-6)
    scaled = smooth * np.float32(1 / unit), smooth_b * np.float32(1 / unit)
    mean = [float(np.sum(energy * start[..., i], dtype=np.float64)) / max(total, 1e-30) for i in (0, 1)]
    regional = regional_motion(
        *scaled, weight, (mean[0], mean[1]), block_px=2 * window, smoothing_px=smoothing, variance_floor=floor / unit**2
    )
    found = local_motion(
        *scaled,
        weight,
        regional,
        window_px=window,
        smoothing_px=smoothing,
        variance_floor=floor / unit**2,
    )
    near_mask = cv2.erode(
        solid.astype(np.uint8), np.ones((window // 2 * 2 + 1,) * 2, np.uint8), borderType=cv2.BORDER_REPLICATE
    )
    return Flow(
        region=region,
        displacement=found.displacement * np.float32(REDUCTION),
        valid=near_mask.astype(np.bool_),
        covariance=found.covariance * np.float32(REDUCTION**2),
        common=found.common * np.float32(REDUCTION**2),
        window_px=window * REDUCTION,
    )


def flow_at(
    flow: Flow, x: FloatArray, y: FloatArray, normal: tuple[float, float] | FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Return displacement vectors (N, 2) and 1 sigma (N,) of their component along ``normal``, in pixels.

    As ``flow_parts_at``, with both parts of the uncertainty in one.
    """
    vectors, local, common = flow_parts_at(flow, x, y, normal)
    return vectors, np.hypot(local, common)


def flow_parts_at(
    flow: Flow, x: FloatArray, y: FloatArray, normal: tuple[float, float] | FloatArray
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return displacement vectors (N, 2), and two 1 sigma (N,) of their component along ``normal``, in pixels.

    At pixels (x, y), bilinear; ``normal`` is (x, y), one for all or (N, 2). The first sigma is of errors that are
    alike within ``flow.window_px``, the second of one error that all vectors share. Vectors that are not valid, and
    samples outside the region, are NaN.
    """
    map_x = ((np.asarray(x) - flow.region.left - 0.5) / REDUCTION).astype(np.float32)[None, :]
    map_y = ((np.asarray(y) - flow.region.top - 0.5) / REDUCTION).astype(np.float32)[None, :]
    across = np.asarray(normal, np.float64)

    def pick(image: FloatImage) -> FloatArray:
        picked = cv2.remap(image, map_x, map_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT, borderValue=np.nan)
        return np.asarray(picked[0], np.float64)

    valid = pick(flow.valid.astype(np.float32)) > 0.999

    def sigma(covariance: FloatImage) -> FloatArray:
        xx, xy, yy = pick(covariance).T
        nx, ny = across[..., 0], across[..., 1]
        variance = np.maximum(nx * nx * xx + 2 * nx * ny * xy + ny * ny * yy, 0.0)
        return np.where(valid, np.sqrt(variance), np.nan)

    vectors = pick(flow.displacement)
    vectors[~valid] = np.nan
    return vectors, sigma(flow.covariance), sigma(flow.common)


def origins_at(flow: Flow, x: FloatArray, y: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return where in the first image the gas was, (x, y) each (N,), that is at pixels (x, y) in the second.

    Found by following the flow to and fro; NaN where that leads out of the region.
    """
    from_x, from_y = np.asarray(x, np.float64), np.asarray(y, np.float64)
    for _ in range(_FOLLOWED):
        map_x = ((from_x - flow.region.left - 0.5) / REDUCTION).astype(np.float32)[None, :]
        map_y = ((from_y - flow.region.top - 0.5) / REDUCTION).astype(np.float32)[None, :]
        moved = cv2.remap(
            flow.displacement, map_x, map_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT, borderValue=np.nan
        )[0].astype(np.float64)
        from_x, from_y = x - moved[:, 0], y - moved[:, 1]
    return from_x, from_y


def _farneback(a: FloatImage, b: FloatImage, *, levels: int, window: int, iterations: int) -> FloatImage:
    """Return a first guess of the motion, found on images of half the size: a quarter of the time, as good."""
    rows, columns = a.shape
    size = (max(columns // 2, 1), max(rows // 2, 1))
    first, second = (cv2.resize(image * _AMPLITUDE, size, interpolation=cv2.INTER_AREA) for image in (a, b))
    flow = cv2.calcOpticalFlowFarneback(
        first,
        second,
        np.zeros((size[1], size[0], 2), np.float32),
        0.5,
        max(levels - 1, 0),
        max(window // 2, 5),
        iterations,
        *_POLYNOMIAL,
        0,
    )
    scale = np.array([columns / size[0], rows / size[1]], np.float32)
    return np.asarray(cv2.resize(flow * scale, (columns, rows), interpolation=cv2.INTER_LINEAR), np.float32)


def _dense_inverse_search(a: FloatImage, b: FloatImage) -> tuple[FloatImage, float]:
    """Return the motion, and the step [absorbance] of the 8-bit images that this method takes."""
    low, high = np.percentile(np.stack([a, b])[:, ::2, ::2], _STRETCH)
    step = max(float(high - low) / 255, 1e-9)

    def stretched(image: FloatImage) -> npt.NDArray[np.uint8]:
        return np.asarray(np.clip(np.rint((image - np.float32(low)) * np.float32(1 / step)), 0, 255), np.uint8)

    if min(a.shape) < _LEAST_FOR_SEARCH:
        return np.zeros((*a.shape, 2), np.float32), step
    search = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    flow = search.calc(stretched(a), stretched(b), np.zeros((*a.shape, 2), np.float32))
    return np.asarray(flow, np.float32), step


def _plume_weight(a: FloatImage, b: FloatImage, solid: BoolImage, window: int) -> FloatImage:
    """Return how much of the plume is at each pixel, 0 to 1, and 0 where an image is masked."""
    mean = blurred(0.5 * (a + b), window / 2)
    low, high = np.percentile(mean[::4, ::4], (5, 95))
    if not high - low > 1e-6:
        return solid.astype(np.float32)
    return np.asarray(np.clip((mean - low) / (high - low), 0, 1) * solid, np.float32)


def _noise_variance(image: FloatImage, solid: BoolImage) -> float:
    """Return the variance of a pixel's noise, from second differences (Immerkaer 1996) in the median."""
    rest = cv2.filter2D(image, cv2.CV_32F, np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]], np.float32))
    some = np.abs(rest[::2, ::2][solid[::2, ::2]])
    return float(np.median(some) / 0.6745) ** 2 / 36 if some.size else 0.0


def _smoothing(image: FloatImage, weight: FloatImage, noise: float) -> tuple[float, FloatImage]:
    """Return the least smoothing [px] that leaves the plume's gradients above those of the noise, and its result."""
    total = max(float(np.sum(weight)), 1e-9)
    for sigma in _SMOOTHINGS:
        smooth = blurred(image, sigma)
        gx, gy = gradient(smooth)
        energy = float(np.sum(weight * (gx * gx + gy * gy))) / total
        # White noise that is smoothed has a mean squared gradient of v / (4 pi sigma^4).
        if noise / (4 * np.pi * sigma**4) <= _NOISE_SHARE * energy:
            break
    return sigma, smooth


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
