"""Motion within small windows of two noisy images, by least squares, leaning on the region's where texture is poor.

In every window the displacement is the best of two estimates: that of its own texture, and the region's motion, from
which windows differ by ``tau``. How much they do is itself estimated, from how much more the windows' own estimates
scatter than their noise makes them. A window with texture keeps its own motion; one
without gets the region's, and the uncertainty of that: what hybrid methods (Gliss et al. 2018) do by thresholds.

Where windows move differently, gas gathers or thins out between them: by continuity the absorbance changes on its way
by the motion's divergence. In a smooth plume that looks the same as motion, as both are a slow change of brightness.
So each window's change of brightness is uncertain in proportion to ``tau``, and the less texture there is, the less a
window is believed.
"""

from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np

from so2cam.core.records import BoolImage, FloatArray, FloatImage
from so2cam.science.motion.regional import RegionalMotion, gradient, noise_gradient_fluctuation
from so2cam.science.motion.tensors import Tensor, added, applied, inverted, sandwiched, scaled_identity

_LEAST_SPREAD: Final = (0.003, 0.0015)
"""Least ``tau``, as a share of the region's motion and in pixels."""
_ALIKE: Final = 0.2
"""Share of ``tau^2`` that windows next to each other have in common: plumes are sheared as a whole."""
_REACH: Final = 2.0
"""Windows over which deviations from the region's motion keep their size: each of the two terms of their divergence
has the variance ``(tau / length)^2`` with that length."""
_IN_PLUME: Final = 0.15
_STRIDE: Final = 2
"""Distance [px] of the windows' centres, and of the pixels that count: smoothed images are known from every second."""
_LEAST_WINDOWS: Final = 4
_UNKNOWN_SPREAD: Final = 0.3
"""``tau`` as a share of the region's motion where there are fewer windows."""
_SEARCH: Final = 12
_PASSES: Final = 2
"""The equations are linear about a motion: first about the region's, then about what was found."""

_ImageTensor = Tensor[np.float32]


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
    weight: FloatImage,
    regional: RegionalMotion,
    *,
    window_px: int,
    smoothing_px: float,
    variance_floor: float,
) -> LocalMotion:
    """Return the motion from ``first`` to ``second`` (rows, columns), smoothed with ``smoothing_px``.

    ``weight`` (rows, columns) is how much of a plume there is.
    """
    shape = first.shape
    base = regional.field()
    images = _Images(first, second, base, regional.fading(), window_px, smoothing_px, variance_floor)
    rows, columns = weight[::_STRIDE, ::_STRIDE].shape
    of_region = regional.variances((rows, columns))
    in_plume = weight[::_STRIDE, ::_STRIDE] > _IN_PLUME
    length = float(np.hypot(*regional.parameters[:2]))
    least = max(_LEAST_SPREAD[0] * length, _LEAST_SPREAD[1]) ** 2
    unknown = max(least, (_UNKNOWN_SPREAD * length) ** 2)
    unit = scaled_identity(1.0, of_region[0])
    deviation = np.zeros((rows, columns, 2), np.float32)
    tau2 = 0.0
    for _ in range(_PASSES):
        scores = images.scores(deviation)
        tau2 = _spread(scores, in_plume, of_region, window_px, start=tau2, least=least, unknown=unknown)
        information, score = scores.weighed(tau2)
        inverse = inverted(added(information, unit, 1 / tau2))
        deviation = np.stack(applied(inverse, score), axis=-1)
    # How far a window's motion is the region's: what errors of that, and of leaning on it, are worth.
    lean = (inverse[0] / np.float32(tau2), inverse[1] / np.float32(tau2), inverse[2] / np.float32(tau2))
    own = added(sandwiched(inverse, information), sandwiched(lean, unit), (1 - _ALIKE) * tau2)
    common = sandwiched(lean, added(of_region, unit, _ALIKE * tau2))
    return LocalMotion(
        base + _at_every_pixel(deviation, shape),
        _at_every_pixel(np.stack(own, axis=-1), shape),
        _at_every_pixel(np.stack(common, axis=-1), shape),
        float(np.sqrt(tau2)),
    )


class _Images:
    """Two images and what windows' equations about any motion need of them."""

    def __init__(
        self,
        first: FloatImage,
        second: FloatImage,
        base: FloatImage,
        fading: FloatImage,
        window_px: int,
        smoothing_px: float,
        variance_floor: float,
    ) -> None:
        rows, columns = first.shape
        self._first, self._second = first, second
        self._gradient = tuple(_thinned(image) for image in gradient(first))
        self._thin, self._half_fading = _thinned(first), np.float32(0.5) * _thinned(fading)
        self._to = base.copy()
        self._to[..., 0] += np.arange(columns, dtype=np.float32)[None, :]
        self._to[..., 1] += np.arange(rows, dtype=np.float32)[:, None]
        self._window_px, self._side = window_px, window_px // _STRIDE | 1
        self._smoothing_px, self._floor = smoothing_px, variance_floor

    def _box(self, image: FloatImage) -> FloatImage:
        """Means over windows, at every second pixel: windows overlap by far more than that."""
        return np.asarray(cv2.blur(image, (self._side, self._side), borderType=cv2.BORDER_REFLECT_101), np.float32)

    def scores(self, deviation: FloatImage) -> "_Scores":
        """Return the equations about a motion that differs from the region's by ``deviation`` at every second pixel."""
        deviation = np.asarray(cv2.blur(deviation, (self._side // 2, self._side // 2)), np.float32)
        to = _at_every_pixel(deviation, self._first.shape)
        to += self._to
        moved = np.asarray(
            cv2.remap(self._second, to[..., 0], to[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE),
            np.float32,
        )
        ax, ay = self._gradient
        bx, by = (_thinned(image) for image in gradient(moved))
        first, moved = self._thin, _thinned(moved)
        gx, gy, hx, hy = 0.5 * (ax + bx), 0.5 * (ay + by), 0.5 * (bx - ax), 0.5 * (by - ay)
        mean = 0.5 * (first + moved)
        change = moved - first + self._half_fading * (first + moved)
        box = self._box
        noise = box(hx * hx), box(hx * hy), box(hy * hy)
        observed = box(gx * gx), box(gx * gy), box(gy * gy)
        texture: _ImageTensor = (observed[0] - noise[0], observed[1] - noise[1], observed[2] - noise[2])
        # What varies within a window stays as it is; the window finds what all of it is off by.
        known = applied(texture, (deviation[..., 0], deviation[..., 1]))
        score = known[0] - box(gx * change), known[1] - box(gy * change)
        pixels = (self._side * _STRIDE) ** 2
        # The density of the noise at low frequencies, where the gradients of a plume are, from what smoothing left.
        density = 4 * np.pi * self._smoothing_px**2
        left = np.maximum(np.float32(density) * box(change * change), np.float32(self._floor))
        luck = min(noise_gradient_fluctuation(self._smoothing_px) / pixels, 1.0)
        # A window that drifts from its neighbours thins out too, by the sum of two gradients.
        thinning = np.float32(2 / (_REACH * self._window_px) ** 2)
        lever = box(gx * mean), box(gy * mean)
        chance = np.float32(luck) * (noise[0] + noise[2]) ** 2
        return _Scores(
            observed=observed,
            texture=texture,
            score=score,
            variance=left / np.float32(pixels),
            per_spread=(
                chance + thinning * lever[0] * lever[0],
                thinning * lever[0] * lever[1],
                chance + thinning * lever[1] * lever[1],
            ),
        )


@dataclass(frozen=True, slots=True)
class _Scores:
    """The windows' equations about the region's motion: ``score = texture deviation + error``.

    The error has a variance that is known, and one in proportion to tau^2, ``per_spread``.
    """

    observed: _ImageTensor
    texture: _ImageTensor
    score: tuple[FloatImage, FloatImage]
    variance: FloatImage
    per_spread: _ImageTensor

    def known_error(self) -> _ImageTensor:
        """Variance of the scores' errors by noise."""
        least = np.float32(1e-3) * (self.observed[0] + self.observed[2])
        more = self.variance * least + np.float32(1e-30)
        xx, xy, yy = (self.variance * part for part in self.observed)
        return xx + more, xy, yy + more

    def weighed(self, tau2: float) -> tuple[_ImageTensor, tuple[FloatImage, FloatImage]]:
        """Information (a tensor) on the deviations, and the scores times ``texture`` over their variance."""
        inverse = inverted(added(self.known_error(), self.per_spread, tau2))
        return sandwiched(self.texture, inverse), applied(self.texture, applied(inverse, self.score))


def _spread(
    scores: _Scores,
    in_plume: BoolImage,
    of_region: _ImageTensor,
    window_px: int,
    *,
    start: float,
    least: float,
    unknown: float,
) -> float:
    """Return tau^2 [px^2]: with it, windows side by side deviate as much as they should (Paule and Mandel 1982).

    The score of a window has the variance of its noise, of the region's motion (``of_region``) and, in proportion to
    tau^2, of the window's own deviation and of the thinning that comes with it. The search begins at ``start``;
    ``least`` is the least answer, ``unknown`` that where there are too few windows to tell.
    """
    step = window_px // _STRIDE | 1
    side = slice(step // 2, None, step)
    used = in_plume[side, side]
    windows = int(np.count_nonzero(used))
    if windows < _LEAST_WINDOWS:
        return unknown

    def at(image: FloatImage) -> FloatArray:
        return image[side, side][used].astype(np.float64)

    def all_at(tensor: _ImageTensor) -> Tensor[np.float64]:
        return at(tensor[0]), at(tensor[1]), at(tensor[2])

    texture = all_at(scores.texture)
    fixed = added(all_at(scores.known_error()), sandwiched(texture, all_at(of_region)))
    growing = added(all_at(scores.per_spread), sandwiched(texture, scaled_identity(1.0, texture[0])))
    score = at(scores.score[0]), at(scores.score[1])
    expected, tau2 = 2.0 * windows, start
    for _ in range(_SEARCH):
        inverse = inverted(added(fixed, growing, tau2))
        x, y = applied(inverse, score)
        over = float(np.sum(x * score[0] + y * score[1])) - expected
        if abs(over) < 0.01 * expected or (over < 0 and tau2 == 0):
            break
        along = applied(growing, (x, y))
        tau2 = max(tau2 + over / max(float(np.sum(x * along[0] + y * along[1])), 1e-30), 0.0)
    # An estimate of none is no proof of none: a quarter of its own 1 sigma remains.
    trace = inverse[0] * growing[0] + 2 * inverse[1] * growing[1] + inverse[2] * growing[2]
    error = np.sqrt(2 * expected) / max(float(np.sum(trace)), 1e-12)
    return max(tau2, 0.25 * float(error), least)


def _thinned(image: FloatImage) -> FloatImage:
    return np.ascontiguousarray(image[::_STRIDE, ::_STRIDE])


def _at_every_pixel(image: FloatImage, shape: tuple[int, ...]) -> FloatImage:
    return np.asarray(cv2.resize(image, (shape[1], shape[0]), interpolation=cv2.INTER_LINEAR), np.float32)
