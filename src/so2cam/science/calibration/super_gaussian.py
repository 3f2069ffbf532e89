"""An elliptic super-Gaussian on an image: where a field of view lies, how large and how round it is."""

import math
from dataclasses import dataclass

import numpy as np
from scipy.optimize import least_squares

from so2cam.core.records import BoolImage, FloatArray, FloatImage

_HALF = math.log(2.0)
_EXPONENT_LIMITS = (1.0, 16.0)
_MINIMUM_PIXELS = 12


@dataclass(frozen=True, slots=True, eq=False)
class SuperGaussian:
    """``amplitude exp(-ln 2 [(u/a)^2 + (v/b)^2]^(exponent/2)) + offset``, u and v along axes turned by ``angle_rad``.

    ``x``, ``y``: centre; ``major``, ``minor``: a and b, half the width at half the height along the longer and the
    shorter axis [px]; ``angle_rad``: of the longer axis, from x to the right towards y down, in (-pi/2, pi/2].
    ``exponent`` 2 is a Gaussian; a disc has a large one. ``covariance`` (5, 5) of x, y, major, minor, angle; the
    angle's is meaningless where both axes are alike. ``explained``: share of the variance that the fit explains.
    """

    x: float
    y: float
    major: float
    minor: float
    angle_rad: float
    exponent: float
    amplitude: float
    offset: float
    covariance: FloatArray
    explained: float

    @property
    def radius(self) -> float:
        """Radius of the circle of the same area at half the height [px]."""
        return math.sqrt(self.major * self.minor)

    @property
    def sigma(self) -> tuple[float, float, float]:
        """1 sigma of x, y and radius [px]."""
        to_radius = np.array([0.0, 0.0, 0.5 * self.radius / self.major, 0.5 * self.radius / self.minor, 0.0])
        radius = math.sqrt(max(float(to_radius @ self.covariance @ to_radius), 0.0))
        return math.sqrt(float(self.covariance[0, 0])), math.sqrt(float(self.covariance[1, 1])), radius

    def weights(self, shape: tuple[int, int]) -> FloatImage:
        """Return the weights of pixels (rows, columns) without the offset; their sum is 1."""
        y, x = np.indices(shape).astype(np.float64)
        values = _bell(x, y, np.array([self.x, self.y, self.major, self.minor, self.angle_rad, self.exponent]))
        return np.asarray(values / values.sum(), np.float32)


def fit_super_gaussian(
    image: FloatImage, valid: BoolImage, *, start: tuple[float, float, float], reach: float
) -> SuperGaussian | None:
    """Fit an elliptic super-Gaussian to the ``valid`` pixels within ``reach`` of ``start`` (x, y, radius), all px.

    The covariance is that of the fit, scaled by the residual variance and by how far residuals of neighbouring pixels
    are alike. None where there are too few pixels, or where no peak is found within the reach.
    """
    grid = np.indices(image.shape).astype(np.float64)
    rows, columns = grid[0], grid[1]
    near = valid & np.isfinite(image) & ((columns - start[0]) ** 2 + (rows - start[1]) ** 2 <= reach**2)
    if np.count_nonzero(near) < _MINIMUM_PIXELS:
        return None
    x, y = columns[near], rows[near]
    z = image[near].astype(np.float64)
    scale = float(np.ptp(z))
    if not scale > 0:
        return None
    z = z / scale
    offset = float(np.median(z))
    size = math.log(max(start[2], 0.5))
    first = np.array([float(z.max()) - offset, offset, start[0], start[1], size, size, 0.1, math.log(2.0)])
    first[5] -= 0.05
    low_size, high_size = math.log(0.3), math.log(1.5 * reach)
    low = np.array([0.0, -np.inf, start[0] - reach, start[1] - reach, low_size, low_size, -np.inf, 0.0])
    high = np.array(
        [
            np.inf,
            np.inf,
            start[0] + reach,
            start[1] + reach,
            high_size,
            high_size,
            np.inf,
            math.log(_EXPONENT_LIMITS[1]),
        ]
    )
    first[4:6] = np.clip(first[4:6], low_size + 0.01, high_size - 0.01)

    def distance(p: FloatArray) -> FloatArray:
        shape = np.array([p[2], p[3], math.exp(p[4]), math.exp(p[5]), p[6], math.exp(p[7])])
        return np.asarray(p[0] * _bell(x, y, shape) + p[1] - z)

    found = least_squares(distance, first, bounds=(low, high), x_scale="jac", max_nfev=300)
    p = found.x
    if not found.success or p[0] <= 0 or np.hypot(p[2] - start[0], p[3] - start[1]) > reach:
        return None
    alike = _alikeness(distance(p), near)
    free = z.size - p.size
    jacobian = np.asarray(found.jac, np.float64)
    try:
        inverse: FloatArray = np.asarray(np.linalg.inv(jacobian.T @ jacobian), np.float64)
    except np.linalg.LinAlgError:
        return None
    covariance = inverse * (2 * float(found.cost) / free * alike)
    return _ordered(p, covariance, scale, 1 - 2 * float(found.cost) / float(np.sum((z - z.mean()) ** 2)))


def _ordered(p: FloatArray, covariance: FloatArray, scale: float, explained: float) -> SuperGaussian:
    """Return the parameters with the longer axis first and the angle within half a turn."""
    a, b, angle = math.exp(p[4]), math.exp(p[5]), float(p[6])
    chosen = [2, 3, 4, 5, 6]
    if b > a:
        a, b, angle = b, a, angle + math.pi / 2
        chosen = [2, 3, 5, 4, 6]
    angle = math.pi / 2 - (math.pi / 2 - angle) % math.pi
    unit = np.array([1.0, 1.0, a, b, 1.0])
    return SuperGaussian(
        x=float(p[2]),
        y=float(p[3]),
        major=a,
        minor=b,
        angle_rad=angle,
        exponent=math.exp(p[7]),
        amplitude=float(p[0]) * scale,
        offset=float(p[1]) * scale,
        covariance=covariance[np.ix_(chosen, chosen)] * np.outer(unit, unit),
        explained=explained,
    )


def _bell(x: FloatArray, y: FloatArray, shape: FloatArray) -> FloatArray:
    """Return the super-Gaussian of ``shape`` (x, y, a, b, angle, exponent) with height 1."""
    dx, dy = x - shape[0], y - shape[1]
    cosine, sine = math.cos(shape[4]), math.sin(shape[4])
    square = ((dx * cosine + dy * sine) / shape[2]) ** 2 + ((dy * cosine - dx * sine) / shape[3]) ** 2
    return np.asarray(np.exp(-_HALF * np.maximum(square, 1e-30) ** (shape[5] / 2)))


def _alikeness(residual: FloatArray, near: BoolImage) -> float:
    """Return how many pixels count as one, by the correlation of residuals with those of the next pixels."""
    image = np.full(near.shape, np.nan)
    image[near] = residual - residual.mean()
    variance = float(np.nanmean(image**2))
    factor = 1.0
    for first, second in ((image[1:], image[:-1]), (image[:, 1:], image[:, :-1])):
        product = first * second
        if variance > 0 and np.isfinite(product).any():
            found = float(np.clip(np.nanmean(product) / variance, 0.0, 0.95))
            factor *= (1 + found) / (1 - found)
    return factor
