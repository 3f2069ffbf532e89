"""Motion within small windows of two noisy images, by least squares, leaning on the region's where texture is poor.

In every window the displacement is the best of two estimates: that of its own texture, and the region's motion, from
which windows differ by ``tau``. How much they do is itself estimated, from how much more the windows' own estimates
scatter than their noise makes them. A window with texture keeps its own motion; one
without gets the region's, and the uncertainty of that: what hybrid methods (Gliss et al. 2018) do by thresholds.
"""

from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np

from so2cam.core.records import FloatImage
from so2cam.science.motion.regional import RegionalMotion, gradient, noise_gradient_fluctuation

_LEAST_SPREAD: Final = (0.01, 0.005)
"""Least ``tau``, as a share of the region's motion and in pixels."""
_ALIKE: Final = 0.2
"""Share of ``tau^2`` that windows next to each other have in common: plumes are sheared as a whole."""
_IN_PLUME: Final = 0.15
_STRIDE: Final = 2
"""Distance [px] of the windows' centres."""

_Tensor = tuple[FloatImage, FloatImage, FloatImage]
"""xx, xy and yy of symmetric matrices."""


@dataclass(frozen=True, slots=True)
class LocalMotion:
    """Displacement (rows, columns, 2) [px], and covariances (rows, columns, 3) [px^2] of its errors: xx, xy, yy.

    ``covariance`` is of errors that are alike within a window, ``common`` of those that the whole region shares.
    ``spread_px`` is tau, 1 sigma of what windows differ from the region's motion by.
    """

    displacement: FloatImage
    covariance: FloatImage
    common: FloatImage
    spread_px: float


def local_motion(
    first: FloatImage,
    second: FloatImage,
    start: FloatImage,
    weight: FloatImage,
    regional: RegionalMotion,
    *,
    window_px: int,
    smoothing_px: float,
    variance_floor: float,
) -> LocalMotion:
    """Return the motion from ``first`` to ``second`` (rows, columns), smoothed with ``smoothing_px``.

    ``start`` (rows, columns, 2) is where the search begins, ``weight`` (rows, columns) how much of a plume there is.
    """
    base = regional.field()
    half = (window_px // 2, window_px // 2)
    field = np.asarray(cv2.blur(start, half), np.float32)
    scores = _Scores(first, second, field, base, regional.dimming, window_px, smoothing_px, variance_floor)
    tau2 = _spread(scores, weight, window_px, float(np.hypot(*regional.parameters[:2])))
    information, score = scores.weighed(tau2)
    prior = np.float32(1 / tau2)
    inverse = _inverse((information[0] + prior, information[1], information[2] + prior))
    deviation = np.stack(_applied(inverse, score), axis=-1)
    own = _sandwich(inverse, information)
    xx, xy, yy = regional.variances(inverse[0].shape)
    add = np.float32(_ALIKE * tau2)
    lean = (prior * inverse[0], prior * inverse[1], prior * inverse[2])
    common = _sandwich(lean, (xx + add, xy, yy + add))
    shape = first.shape
    return LocalMotion(
        base + _at_every_pixel(deviation, shape),
        _at_every_pixel(np.stack(own, axis=-1), shape),
        _at_every_pixel(np.stack(common, axis=-1), shape),
        float(np.sqrt(tau2)),
    )


class _Scores:
    """The windows' equations about the region's motion: ``score = J deviation + error``, error ~ N(0, variance)."""

    def __init__(
        self,
        first: FloatImage,
        second: FloatImage,
        field: FloatImage,
        base: FloatImage,
        dimming: float,
        window_px: int,
        smoothing_px: float,
        variance_floor: float,
    ) -> None:
        rows, columns = first.shape
        to_x = field[..., 0] + np.arange(columns, dtype=np.float32)[None, :]
        to_y = field[..., 1] + np.arange(rows, dtype=np.float32)[:, None]
        moved = np.asarray(cv2.remap(second, to_x, to_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE), np.float32)
        ax, ay = gradient(first)
        bx, by = gradient(moved)
        gx, gy, hx, hy = 0.5 * (ax + bx), 0.5 * (ay + by), 0.5 * (bx - ax), 0.5 * (by - ay)
        change = moved - first + np.float32(0.5 * dimming) * (first + moved)

        size = (max(columns // _STRIDE, 1), max(rows // _STRIDE, 1))
        side = window_px // _STRIDE | 1

        def box(image: FloatImage) -> FloatImage:
            """Means over windows, at every second pixel: windows overlap by far more than that."""
            small = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
            return np.asarray(cv2.blur(small, (side, side), borderType=cv2.BORDER_REFLECT_101), np.float32)

        noise = box(hx * hx), box(hx * hy), box(hy * hy)
        self.observed: _Tensor = box(gx * gx), box(gx * gy), box(gy * gy)
        self.texture: _Tensor = tuple(o - n for o, n in zip(self.observed, noise, strict=True))  # type: ignore[assignment]
        # What varies within a window stays as it is in the field; the window finds what all of it is off by.
        deviation = np.asarray(cv2.resize(field - base, size, interpolation=cv2.INTER_AREA), np.float32)
        known = _applied(self.texture, (deviation[..., 0], deviation[..., 1]))
        self.score = known[0] - box(gx * change), known[1] - box(gy * change)
        pixels = (side * _STRIDE) ** 2
        # The density of the noise at low frequencies, where the gradients of a plume are, from what smoothing left.
        density = 4 * np.pi * smoothing_px**2
        self.variance = np.maximum(np.float32(density) * box(change * change), np.float32(variance_floor)) / np.float32(
            pixels
        )
        luck = noise_gradient_fluctuation(smoothing_px) / pixels
        self.luck = np.float32(min(luck, 1.0)) * (noise[0] + noise[2]) ** 2

    def at(self, side: slice) -> "_Scores":
        """Every so many windows."""
        part = object.__new__(_Scores)
        part.observed = tuple(image[side, side] for image in self.observed)  # type: ignore[assignment]
        part.texture = tuple(image[side, side] for image in self.texture)  # type: ignore[assignment]
        part.score = self.score[0][side, side], self.score[1][side, side]
        part.variance, part.luck = self.variance[side, side], self.luck[side, side]
        return part

    def error(self, tau2: float) -> _Tensor:
        """Variance of the scores' errors."""
        least = np.float32(1e-3) * (self.observed[0] + self.observed[2])
        more = self.luck * np.float32(tau2) + self.variance * least + np.float32(1e-30)
        xx, xy, yy = (self.variance * part for part in self.observed)
        return xx + more, xy, yy + more

    def weighed(self, tau2: float) -> tuple[_Tensor, tuple[FloatImage, FloatImage]]:
        """Information (a tensor) on the deviations, and the scores times ``J`` over their variance."""
        inverse = _inverse(self.error(tau2))
        return _sandwich(self.texture, inverse), _applied(self.texture, _applied(inverse, self.score))


def _spread(scores: _Scores, weight: FloatImage, window_px: int, motion_px: float) -> float:
    """Return tau^2 [px^2]: with it, windows side by side deviate as much as they should (Paule and Mandel 1982)."""
    step = window_px // _STRIDE | 1
    side = slice(step // 2, None, step)
    rows, columns = scores.variance.shape
    used = cv2.resize(weight, (columns, rows), interpolation=cv2.INTER_AREA)[side, side] > _IN_PLUME
    windows = int(np.count_nonzero(used))
    least = max(_LEAST_SPREAD[0] * motion_px, _LEAST_SPREAD[1]) ** 2
    if windows < 4:
        return max(least, (0.3 * motion_px) ** 2)
    information, score = scores.at(side).weighed(0.0)
    xx, xy, yy = (part[used].astype(np.float64) for part in information)
    values, vectors = np.linalg.eigh(np.stack([xx, xy, xy, yy], axis=-1).reshape(-1, 2, 2))
    along = np.einsum("nk,nkj->nj", np.stack([part[used] for part in score], axis=-1).astype(np.float64), vectors)
    values = np.maximum(values, 1e-12)
    excess = along**2 / values
    expected = float(excess.size)
    tau2 = 0.0
    for _ in range(12):
        factor = 1 / (1 + values * tau2)
        over = float(np.sum(excess * factor)) - expected
        if over <= 0:
            break
        tau2 += over / max(float(np.sum(excess * values * factor**2)), 1e-30)
    # An estimate of none is no proof of none: a quarter of its own 1 sigma remains.
    error = np.sqrt(2 * expected) / max(float(np.sum(values / (1 + values * tau2))), 1e-12)
    return max(tau2, 0.25 * float(error), least)


def _at_every_pixel(image: FloatImage, shape: tuple[int, ...]) -> FloatImage:
    return np.asarray(cv2.resize(image, (shape[1], shape[0]), interpolation=cv2.INTER_LINEAR), np.float32)


def _inverse(tensor: _Tensor) -> _Tensor:
    xx, xy, yy = tensor
    determinant = np.maximum(xx * yy - xy * xy, np.float32(1e-6) * xx * yy + np.float32(1e-37))
    return yy / determinant, -xy / determinant, xx / determinant


def _applied(tensor: _Tensor, vector: tuple[FloatImage, FloatImage]) -> tuple[FloatImage, FloatImage]:
    xx, xy, yy = tensor
    return xx * vector[0] + xy * vector[1], xy * vector[0] + yy * vector[1]


def _sandwich(outer: _Tensor, inner: _Tensor) -> _Tensor:
    """Return ``outer inner outer``."""
    first = _applied(outer, (inner[0], inner[1]))
    second = _applied(outer, (inner[1], inner[2]))
    return (
        first[0] * outer[0] + second[0] * outer[1],
        first[0] * outer[1] + second[0] * outer[2],
        first[1] * outer[1] + second[1] * outer[2],
    )
