"""Symmetric 2 x 2 matrices and vectors at every pixel, as tuples of images: faster than arrays of small matrices."""

from typing import TypeVar

import numpy as np
import numpy.typing as npt

Real = TypeVar("Real", np.float32, np.float64)

Tensor = tuple[npt.NDArray[Real], npt.NDArray[Real], npt.NDArray[Real]]
"""xx, xy and yy of symmetric matrices."""
Vector = tuple[npt.NDArray[Real], npt.NDArray[Real]]
"""x and y."""


def scaled_identity(variance: float, like: npt.NDArray[Real]) -> Tensor[Real]:
    """Return the tensor that is ``variance`` in every direction, of the shape of ``like``."""
    return np.full_like(like, variance), np.zeros_like(like), np.full_like(like, variance)


def added(one: Tensor[Real], other: Tensor[Real], times: float = 1.0) -> Tensor[Real]:
    """Return ``one + times other``."""
    factor = one[0].dtype.type(times)
    return one[0] + factor * other[0], one[1] + factor * other[1], one[2] + factor * other[2]


def inverted(tensor: Tensor[Real]) -> Tensor[Real]:
    """Return the inverse; of what is nearly singular, one that is large and not infinite."""
    xx, xy, yy = tensor
    least, tiny = xx.dtype.type(1e-6), xx.dtype.type(1e-37)
    determinant = np.maximum(xx * yy - xy * xy, least * xx * yy + tiny)
    return yy / determinant, -xy / determinant, xx / determinant


def applied(tensor: Tensor[Real], vector: Vector[Real]) -> Vector[Real]:
    """Return ``tensor vector``."""
    xx, xy, yy = tensor
    return xx * vector[0] + xy * vector[1], xy * vector[0] + yy * vector[1]


def sandwiched(outer: Tensor[Real], inner: Tensor[Real]) -> Tensor[Real]:
    """Return ``outer inner outer``."""
    first = applied(outer, (inner[0], inner[1]))
    second = applied(outer, (inner[1], inner[2]))
    return (
        first[0] * outer[0] + second[0] * outer[1],
        first[0] * outer[1] + second[0] * outer[2],
        first[1] * outer[1] + second[1] * outer[2],
    )
