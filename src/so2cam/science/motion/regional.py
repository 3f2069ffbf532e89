"""The mean motion of a region between two noisy images, by least squares, with its honest uncertainty.

Lucas and Kanade (1981) solve ``g . u = -(b - a)`` for the displacement u from image a to image b, g the gradient of
their mean. Two things make that wrong for plumes, and both are taken care of here:

- noise has gradients. It adds to ``sum g g^T`` and not to ``sum g (b - a)``, and draws the displacement to zero. The
  noises of the two images are independent, so that half the gradient of their *difference* holds as much noise as g
  and no plume; its products are subtracted. What is left are the products of the one image's gradient with the
  other's.
- a plume thins out along its way although it moves: its mean profile stands still, and that draws the displacement
  to zero as well. By continuity ``dA/dt + u . grad A = -A div u``, so that the share by which the absorbance changes
  on its way is an unknown of its own (Negahdaripour 1998 calls it the multiplier). A plume that widens thins out
  fastest near the vent: the share changes linearly over the region.
"""

from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
import numpy.typing as npt

from so2cam.core.records import FloatArray, FloatImage

_GRADIENT_PRIOR: Final = (0.3, 0.1)
"""1 sigma, as a share of the motion and in pixels, of what the motion may differ by at the region's edges."""
_LEAST: Final = 1e-3
"""Least eigenvalue of scaled normal equations that steps are found with: steps into the unknown stay short."""
_UNKNOWN: Final = 1e-7
"""The same for uncertainties: what is not known gets one that is too large to pass, and not infinite."""
_STEP: Final = 2.0
"""Longest step [px] of an iteration."""
_STEPS: Final = 2
"""Steps to the region's affine motion, and at most so many more before them."""
_SOLVABLE: Final = 1e-2
"""Least eigenvalue of scaled normal equations that noise may leave."""
_STRIDE: Final = 2
_MOTION: Final = 6
_UNKNOWNS: Final = 9
_LUCK: Final = 12.0
"""How many sigma of the noise's products count as luck."""
_LARGEST: Final = 1e8
"""Variance [px^2] that stands for a motion about which nothing is known."""


@dataclass(frozen=True, slots=True)
class RegionalMotion:
    """Affine motion of a region of images: ``(x, y)`` at its centre, and what it changes by to the edges, in pixels.

    ``parameters`` are u, v, and the changes of u with x, of u with y, of v with x and of v with y from the centre to
    the edges; ``covariance`` (6, 6) is theirs. ``dimming`` (3,) is the share of absorbance that is lost on the way at
    the centre, and what it changes by with x and with y to the edges.
    """

    parameters: FloatArray
    covariance: FloatArray
    dimming: FloatArray
    shape: tuple[int, int]

    def field(self) -> FloatImage:
        """Displacement (rows, columns, 2) at every pixel."""
        x, y = normalised_grid(self.shape)
        u, v, ux, uy, vx, vy = (float(p) for p in self.parameters)
        field = np.empty((*self.shape, 2), np.float32)
        field[..., 0], field[..., 1] = u + ux * x + uy * y, v + vx * x + vy * y
        return field

    def fading(self) -> FloatImage:
        """Share of absorbance (rows, columns) that is lost on the way from every pixel."""
        x, y = normalised_grid(self.shape)
        level, with_x, with_y = (np.float32(p) for p in self.dimming)
        return np.asarray(level + with_x * x + with_y * y, np.float32)

    def variances(self, shape: tuple[int, ...]) -> tuple[FloatImage, FloatImage, FloatImage]:
        """Variance of x, covariance, and variance of y [px^2] of the displacement on a grid of ``shape``."""
        x, y = normalised_grid(shape)
        c = self.covariance
        products: tuple[FloatImage, ...] = (np.ones_like(x), x, y, x * x, x * y, y * y)

        def form(i: FloatArray) -> FloatImage:
            """Of a 3 x 3 block in (1, x, y)."""
            k = (i[0, 0], i[0, 1] + i[1, 0], i[0, 2] + i[2, 0], i[1, 1], i[1, 2] + i[2, 1], i[2, 2])
            total = np.zeros(shape, np.float32)
            for factor, product in zip(k, products, strict=True):
                total += float(factor) * product
            return total

        of_u, of_v = [0, 2, 3], [1, 4, 5]
        return form(c[np.ix_(of_u, of_u)]), form(c[np.ix_(of_u, of_v)]), form(c[np.ix_(of_v, of_v)])


def blurred(image: FloatImage, sigma: float) -> FloatImage:
    """Return ``image`` smoothed with a Gaussian of ``sigma`` pixels."""
    return np.asarray(cv2.GaussianBlur(image, (0, 0), sigma, borderType=cv2.BORDER_REFLECT_101), np.float32)


def gradient(image: FloatImage) -> tuple[FloatImage, FloatImage]:
    """Return central differences (x, y) per pixel."""
    x = cv2.Sobel(image, cv2.CV_32F, 1, 0, ksize=1, scale=0.5, borderType=cv2.BORDER_REPLICATE)
    y = cv2.Sobel(image, cv2.CV_32F, 0, 1, ksize=1, scale=0.5, borderType=cv2.BORDER_REPLICATE)
    return np.asarray(x, np.float32), np.asarray(y, np.float32)


def normalised_grid(shape: tuple[int, ...]) -> tuple[FloatImage, FloatImage]:
    """Return x (1, columns) and y (rows, 1) from -1 to 1 between the centres of the outermost pixels."""
    x = np.linspace(-1, 1, shape[1], dtype=np.float32)[None, :]
    return x, np.linspace(-1, 1, shape[0], dtype=np.float32)[:, None]


def noise_gradient_fluctuation(sigma_px: float) -> float:
    """Return the area [px2] within which products of two independent noises' gradients are alike.

    Both white, smoothed with a Gaussian of ``sigma_px``: the integral of the squared autocorrelation of a
    derivative, ``1.5 pi sigma^2``.
    """
    return 1.5 * float(np.pi) * sigma_px**2


def regional_motion(
    first: FloatImage,
    second: FloatImage,
    weight: FloatImage,
    start: tuple[float, float],
    *,
    block_px: int,
    smoothing_px: float,
    variance_floor: float,
) -> RegionalMotion:
    """Return the motion from ``first`` to ``second`` (rows, columns), smoothed with ``smoothing_px``.

    ``weight`` (rows, columns) is 0 where a pixel must not count; ``variance_floor`` is the least mean squared
    difference that two images can have. The motion is found from coarse to fine from none, and from ``start`` (x, y)
    [px]; the one that leaves less difference wins. The uncertainty is that of least squares whose residuals are alike
    in any way within blocks of ``block_px`` (White 1980, by clusters), so that parts of the region that move on their
    own count in it; information that noise may have feigned is left out.
    """
    levels = [(first, second, weight)]
    while len(levels) < 4 and min(levels[-1][0].shape) >= 48:
        levels.append(tuple(_halved(image) for image in levels[-1]))  # type: ignore[arg-type]
    slow = np.zeros(2)
    for images in reversed(levels[2:]):
        slow = 2 * _converged(*images, slow, 3)
    # The search itself is done on images of half the size, and only the last steps on those given.
    coarse, factor = (levels[1], 2) if len(levels) > 1 else (levels[0], 1)
    starts = [slow, np.asarray(start, np.float64) / factor]
    found = [_converged(*coarse, one, 4) for one in starts]
    left = [_Equations(*coarse, _affine(one)).difference for one in found]
    shift = factor * found[int(np.argmin(left))]
    return _with_gradients(first, second, weight, shift, block_px, smoothing_px, variance_floor)


class _Equations:
    """Normal equations at a motion: unknowns are six of the motion and three of the dimming, or two and one."""

    def __init__(
        self, first: FloatImage, second: FloatImage, weight: FloatImage, motion: FloatArray, *, stride: int = 1
    ) -> None:
        rows, columns = first.shape
        matrix, mode = _matrix(motion, first.shape), cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        moved = np.asarray(
            cv2.warpAffine(second, matrix, (columns, rows), flags=mode, borderMode=cv2.BORDER_REPLICATE), np.float32
        )
        reach_x = float(np.sum(np.abs(motion[[0, 2, 3]])))
        reach_y = float(np.sum(np.abs(motion[[1, 4, 5]])))
        left = min(int(np.ceil(reach_x)) + 1, columns // 3)
        top = min(int(np.ceil(reach_y)) + 1, rows // 3)
        inner = slice(top, rows - top, stride), slice(left, columns - left, stride)
        ax, ay = gradient(first)
        bx, by = gradient(moved)
        self.weight = weight[inner]
        ax, ay, bx, by, a, b = (image[inner] for image in (ax, ay, bx, by, first, moved))
        self.gx, self.gy, self.hx, self.hy = 0.5 * (ax + bx), 0.5 * (ay + by), 0.5 * (bx - ax), 0.5 * (by - ay)
        self.mean, self.change = 0.5 * (a + b), b - a
        x, y = normalised_grid(first.shape)
        self.x, self.y = x[:, inner[1]], y[inner[0]]
        self.total = max(float(np.sum(self.weight)), 1e-9)

    @property
    def difference(self) -> float:
        """Mean squared difference of the images after the motion."""
        return float(np.sum(self.weight * self.change**2)) / self.total

    def columns(self, affine: bool) -> tuple[FloatArray, FloatArray]:
        """The unknowns' columns (K, pixels) of the equations, and those of noise alone, 0 for the dimming."""
        gx, gy, hx, hy = self.gx, self.gy, self.hx, self.hy
        if affine:
            of = [gx, gy, gx * self.x, gx * self.y, gy * self.x, gy * self.y]
            of += [self.mean, self.mean * self.x, self.mean * self.y]
            noise = [hx, hy, hx * self.x, hx * self.y, hy * self.x, hy * self.y]
        else:
            of, noise = [gx, gy, self.mean], [hx, hy]
        return np.stack(of).reshape(len(of), -1), np.stack(noise).reshape(len(noise), -1)

    def normal(self, affine: bool) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
        """Matrix without the noise's part, that part, right-hand side, and the unknowns' columns."""
        signal, noise = self.columns(affine)
        weight = self.weight.ravel()
        weighted = signal * weight
        matrix = np.asarray(weighted @ signal.T, np.float64)
        of_noise = np.zeros_like(matrix)
        motion = noise.shape[0]
        of_noise[:motion, :motion] = (noise * weight) @ noise.T
        return matrix - of_noise, of_noise, np.asarray(weighted @ self.change.ravel(), np.float64), signal


def _converged(
    first: FloatImage, second: FloatImage, weight: FloatImage, start: FloatArray, iterations: int
) -> FloatArray:
    shift = np.array(start, np.float64)
    for _ in range(iterations):
        matrix, _, right, _ = _Equations(first, second, weight, _affine(shift)).normal(affine=False)
        step = -(_inverse(matrix, 0.0 * matrix) @ right)[:2]
        length = float(np.hypot(*step))
        shift += step * min(1.0, _STEP / max(length, 1e-12))
        if length < 0.01:
            break
    return shift


def _with_gradients(
    first: FloatImage,
    second: FloatImage,
    weight: FloatImage,
    shift: FloatArray,
    block_px: int,
    smoothing_px: float,
    variance_floor: float,
) -> RegionalMotion:
    motion = _affine(shift)
    prior = np.zeros(_UNKNOWNS)
    # Smoothed images are known from every second pixel.
    alike = 4 * np.pi * (smoothing_px / _STRIDE) ** 2
    left, extra = _STEPS, _STEPS
    while left > 0:
        equations = _Equations(first, second, weight, motion, stride=_STRIDE)
        matrix, of_noise, right, signal = equations.normal(affine=True)
        if extra > 0 and _least_eigenvalue(matrix) < _SOLVABLE:
            # Gradients still differ by the motion's own, which as noise would leave nothing to solve: nearer first.
            matrix, extra = matrix + of_noise, extra - 1
        else:
            left -= 1
        variance = alike * max(equations.difference, variance_floor)
        size = _GRADIENT_PRIOR[0] * float(np.hypot(*motion[:2])) + _GRADIENT_PRIOR[1]
        prior[2:6] = variance / size**2
        at = np.concatenate([motion, np.zeros(_UNKNOWNS - _MOTION)])
        step = -_inverse(matrix, np.diag(prior)) @ (right + prior * at)
        motion = motion + np.clip(step[:_MOTION], -_STEP, _STEP)
    # White's estimate with clusters; the mean gradients stand for the noise's own errors too.
    residual = equations.change + np.tensordot(step, signal, 1).reshape(equations.change.shape)
    scores = (signal * (equations.weight * residual).ravel()).reshape(_UNKNOWNS, *residual.shape)
    sums = _block_sums(scores, block_px // _STRIDE).reshape(_UNKNOWNS, -1)
    share = _block_sums(equations.weight[None], block_px // _STRIDE).ravel()
    blocks = float(np.sum(share)) ** 2 / max(float(np.sum(share**2)), 1e-12)
    spread = sums @ sums.T * (blocks / max(blocks - 3, 1.0))
    # What chance may have made of the noise's products is no information: the search takes the best of many chances.
    luck = noise_gradient_fluctuation(smoothing_px / _STRIDE) * float(np.sum(equations.weight**2)) / equations.total**2
    feigned = _LUCK * np.sqrt(luck) * of_noise
    inverse = _inverse(matrix - feigned, np.diag(prior), least=_UNKNOWN)
    covariance = inverse @ spread @ inverse + variance_floor * alike * inverse
    covariance = np.clip(covariance, -_LARGEST, _LARGEST)
    return RegionalMotion(motion, covariance[:_MOTION, :_MOTION], step[_MOTION:], (first.shape[0], first.shape[1]))


def _affine(shift: FloatArray) -> FloatArray:
    return np.concatenate([shift, np.zeros(4)])


def _matrix(motion: FloatArray, shape: tuple[int, ...]) -> FloatArray:
    """Return the matrix (2, 3) that takes pixels of the first image to those of the second."""
    u, v, ux, uy, vx, vy = motion
    half_x, half_y = max((shape[1] - 1) / 2, 0.5), max((shape[0] - 1) / 2, 0.5)
    linear = np.array([[1 + ux / half_x, uy / half_y], [vx / half_x, 1 + vy / half_y]])
    centre = np.array([half_x, half_y])
    return np.column_stack([linear, centre + np.array([u, v]) - linear @ centre])


def _inverse(matrix: FloatArray, prior: FloatArray, *, least: float = _LEAST) -> FloatArray:
    """Return the inverse of a symmetric ``matrix`` plus ``prior``, whose eigenvalues are kept positive."""
    scale = _scale(matrix + prior)
    values, vectors = np.linalg.eigh((matrix + prior) / np.outer(scale, scale))
    return np.asarray((vectors / np.maximum(values, least)) @ vectors.T / np.outer(scale, scale))


def _least_eigenvalue(matrix: FloatArray) -> float:
    """Return the least eigenvalue of a symmetric ``matrix`` scaled to a diagonal of ones."""
    scale = _scale(matrix)
    return float(np.linalg.eigvalsh(matrix / np.outer(scale, scale))[0])


def _scale(matrix: FloatArray) -> FloatArray:
    scale = np.sqrt(np.maximum(np.diag(matrix), 1e-30))
    return np.asarray(np.maximum(scale, 1e-9 * float(np.max(scale))))


def _halved(image: FloatImage) -> FloatImage:
    size = (image.shape[1] // 2, image.shape[0] // 2)
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.float32)


def _block_sums(values: npt.NDArray[np.floating], block: int) -> FloatArray:
    """Return sums (K, rows, columns) of (K, ...) over squares of ``block`` pixels, the last ones incomplete."""
    rows = np.arange(0, values.shape[1], block)
    columns = np.arange(0, values.shape[2], block)
    return np.asarray(np.add.reduceat(np.add.reduceat(values, rows, axis=1), columns, axis=2), np.float64)
