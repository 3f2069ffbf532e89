"""Sampling images along plume cross-section lines, and the lines' size at the plume."""

from dataclasses import dataclass

import numpy as np

from so2cam.core.records import BoolImage, FloatArray, FloatImage, PlumeLine
from so2cam.science.geometry.camera import CameraModel, pixel_area_m2, step_length_m
from so2cam.science.geometry.plume import (
    DistanceUncertainty,
    PlumePlane,
    plume_distance_m,
    plume_distance_uncertainty_m,
)


@dataclass(frozen=True, slots=True)
class LineSamples:
    """A line in pixels and at the plume. Arrays have shape (N,).

    N samples stand in the middles of N equal pieces of the line. ``piece_m`` [m] is the length of a piece at
    the plume, ``normal_step_m`` [m px-1] what one pixel of motion along the normal is worth for the flow through
    the line (the area a pixel sees over the step along the line), both perpendicular to the line of sight.
    ``normal`` (N, 2) are unit vectors (x, y) across the line, along which the plume counts as positive.
    ``relative_distance_uncertainty`` is 1 sigma of the mean distance over the mean distance, and
    ``relative_optics_uncertainty`` that of the focal length: both are common to the line.
    """

    line: PlumeLine
    x: FloatArray
    y: FloatArray
    position: FloatArray
    """0 at the start of the line, 1 at its end"""
    distance_m: FloatArray
    piece_m: FloatArray
    normal_step_m: FloatArray
    normal: FloatArray
    relative_distance_uncertainty: float
    relative_optics_uncertainty: float = 0.0


def sample_positions(line: PlumeLine) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray, float]:
    """Return x, y, position (N,), direction (N, 2) and spacing [px] of samples along ``line``, about one a pixel.

    The spacing is the line's true length over the number of samples, so that sums over samples times spacing
    are integrals over the line (midpoint rule), whatever its angle. Directions are those of the straight pieces.
    """
    corners = np.asarray(line.points, np.float64)
    pieces = np.diff(corners, axis=0)
    lengths = np.hypot(pieces[:, 0], pieces[:, 1])
    total = float(lengths.sum())
    count = max(int(np.ceil(total)), 4)
    position = (np.arange(count) + 0.5) / count
    along = np.concatenate([[0.0], np.cumsum(lengths)]) / total
    x = np.interp(position, along, corners[:, 0])
    y = np.interp(position, along, corners[:, 1])
    piece = np.clip(np.searchsorted(along, position, side="right") - 1, 0, lengths.size - 1)
    return x, y, position, pieces[piece] / lengths[piece, None], total / count


def line_samples(
    line: PlumeLine,
    camera: CameraModel,
    plane: PlumePlane,
    uncertainty: DistanceUncertainty,
    relative_optics_uncertainty: float = 0.0,
) -> LineSamples:
    """Return ``line`` with its size at the plume. Distances are NaN where a ray does not meet the plume's plane."""
    x, y, position, direction, spacing = sample_positions(line)
    distance = plume_distance_m(camera, plane, x, y)
    sigma = plume_distance_uncertainty_m(camera, plane, x, y, uncertainty)
    step_along = step_length_m(camera, x, y, distance, (direction[:, 0], direction[:, 1]))
    return LineSamples(
        line=line,
        x=x,
        y=y,
        position=position,
        distance_m=distance,
        piece_m=step_along * spacing,
        normal_step_m=pixel_area_m2(camera, x, y, distance) / step_along,
        normal=line.side * np.stack([-direction[:, 1], direction[:, 0]], axis=-1),
        relative_distance_uncertainty=float(np.mean(sigma) / np.mean(distance)),
        relative_optics_uncertainty=relative_optics_uncertainty,
    )


def sample_image(image: FloatImage, valid: BoolImage, x: FloatArray, y: FloatArray) -> FloatArray:
    """Return ``image`` at pixels (x, y) (N,), bilinear; NaN where any of the four pixels is invalid or outside."""
    rows, columns = image.shape
    x, y = np.asarray(x, np.float64), np.asarray(y, np.float64)
    left = np.clip(np.floor(x).astype(np.intp), 0, columns - 2)
    top = np.clip(np.floor(y).astype(np.intp), 0, rows - 2)
    fx, fy = x - left, y - top
    total = np.zeros(x.shape)
    good = (x >= 0) & (x <= columns - 1) & (y >= 0) & (y <= rows - 1)
    for dy, wy in ((0, 1 - fy), (1, fy)):
        for dx, wx in ((0, 1 - fx), (1, fx)):
            weight = wx * wy
            used = weight > 0
            pixel_valid = valid[top + dy, left + dx]
            good &= pixel_valid | ~used
            total += np.where(used & pixel_valid, weight * image[top + dy, left + dx], 0.0)
    return np.where(good, total, np.nan)
