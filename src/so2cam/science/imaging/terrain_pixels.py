"""Which pixels of terrain tell the extinction, how far they are, and their brightness in an image."""

from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
import numpy.typing as npt

from so2cam.core.records import BoolImage, FloatArray, FloatImage
from so2cam.core.site_dilution import TerrainRegion
from so2cam.core.terrain import TerrainGrid
from so2cam.science.geometry.camera import CameraModel
from so2cam.science.geometry.terrain import ViewUncertainty, pixels_along, terrain_distances, values_along
from so2cam.science.imaging.extinction import TerrainPixels, dark_terrain, sky_above

_PATCH_PX: Final = 3
"""Side of the patch that a pixel's brightness is the mean of"""
_TILES: Final = (5, 6)
"""Rows and columns of the image's parts whose ground counts as alike"""
_MOST_UNCERTAIN: Final = 0.3
"""Relative uncertainty of a distance above which a pixel of the model does not count: flat or at a skyline"""


@dataclass(frozen=True, slots=True)
class TerrainPoints:
    """Places (x, y) of the on-band image, each (N,), with the distance [m] of the ground there along the line of sight.

    ``patterns_m`` (K, N) are the distances' errors at 1 sigma, each common to all points it is not 0 for. ``cluster``
    (N,) labels parts of the image whose ground is alike; None for points in the order of lines.
    """

    x: FloatArray
    y: FloatArray
    distance_m: FloatArray
    patterns_m: FloatArray
    cluster: npt.NDArray[np.intp] | None


def points_of_regions(
    regions: tuple[TerrainRegion, ...],
    *,
    grid: TerrainGrid | None = None,
    camera: CameraModel | None = None,
    uncertainty: ViewUncertainty | None = None,
) -> TerrainPoints:
    """Return a point at every pixel along the regions' lines; distances as given, else from ``grid``.

    Each distance that is given has an error of its own, which enters between two points as the distance itself does,
    linearly; one for a whole region is common to it. That of the grid, from the view, is common to all. Distances
    that the grid does not tell are NaN. Raises ValueError for a region without a distance where grid, camera or
    uncertainty is not given, and for no region.
    """
    xs, ys, distances, columns = [], [], [], []
    first = [sum(_given(region) for region in regions[:index]) for index in range(len(regions) + 1)]
    for index, region in enumerate(regions):
        x, y = pixels_along(region.points)
        patterns = np.zeros((first[-1] + 4, x.size))
        known, sigma = region.distances_m, region.distance_sigma_m
        if known is not None and sigma is not None:
            along = np.linspace(0, 1, x.size)
            distance = values_along(region.points, known, along)
            shares = np.eye(len(known)) if _given(region) > 1 else np.ones((1, len(known)))
            for row, share in enumerate(shares):
                patterns[first[index] + row] = sigma * values_along(region.points, tuple(share), along)
        elif grid is not None and camera is not None and uncertainty is not None:
            seen = terrain_distances(grid, camera, x, y, uncertainty)
            distance = seen.distance_m
            patterns[first[-1] :] = seen.patterns_m
        else:
            raise ValueError(f"the region {region.name!r} has no distance, and there is no terrain model to tell it")
        xs.append(x)
        ys.append(y)
        distances.append(distance)
        columns.append(patterns)
    if not regions:
        raise ValueError("there is no region")
    return TerrainPoints(
        np.concatenate(xs), np.concatenate(ys), np.concatenate(distances), np.concatenate(columns, axis=1), None
    )


def _given(region: TerrainRegion) -> int:
    """Return how many distances were given for a region, each with its own error."""
    if region.distance_m is None:
        return 0
    return len(region.distance_m) if isinstance(region.distance_m, tuple) else 1


def points_of_model(
    grid: TerrainGrid, camera: CameraModel, uncertainty: ViewUncertainty, *, step_px: int = 8
) -> TerrainPoints:
    """Return the points, every ``step_px`` pixels each way, at which the image shows ground of the model.

    Where the view's uncertainty makes that of the distance more than 30 %, or the skyline is near, there is none.
    """
    first = step_px // 2
    x, y = np.meshgrid(
        np.arange(first, camera.width_px, step_px, dtype=np.float64),
        np.arange(first, camera.height_px, step_px, dtype=np.float64),
    )
    seen = terrain_distances(grid, camera, x, y, uncertainty)
    relative = np.divide(
        seen.uncertainty_m, seen.distance_m, out=np.full(x.shape, np.nan), where=np.isfinite(seen.distance_m)
    )
    usable = relative < _MOST_UNCERTAIN
    row = np.minimum(y * _TILES[0] // camera.height_px, _TILES[0] - 1).astype(np.intp)
    column = np.minimum(x * _TILES[1] // camera.width_px, _TILES[1] - 1).astype(np.intp)
    cluster = row * _TILES[1] + column
    return TerrainPoints(x[usable], y[usable], seen.distance_m[usable], seen.patterns_m[:, usable], cluster[usable])


def terrain_pixels(
    intensity: FloatImage,
    valid: BoolImage,
    sky: BoolImage,
    points: TerrainPoints,
    *,
    noise: float,
    background: FloatImage | None = None,
    darkest_share: float = 1.0,
    sky_reach_px: int = 12,
) -> TerrainPixels:
    """Return what the fit of the extinction needs of an image (rows, columns), after dark, flat and registration.

    ``sky`` is where the image shows plume-free sky: the airlight of a point is the mean of its lowest
    ``sky_reach_px`` pixels above it, in ``background`` (a sky fitted to the image, so that a plume above the ground
    does not matter) or else in the image itself. A point's intensity is the mean over 3 x 3 pixels, all of them
    ``valid``, else NaN; ``noise`` is 1 sigma of a single pixel. ``darkest_share`` keeps the darkest points of each
    distance.
    """
    rows, columns = intensity.shape
    if background is None:
        airlight = sky_above(intensity, sky & valid, points.x, points.y, reach_px=sky_reach_px)
    else:
        airlight = sky_above(background, sky & np.isfinite(background), points.x, points.y, reach_px=sky_reach_px)
    whole = cv2.blur(np.where(valid, intensity, np.float32(0)).astype(np.float32), (_PATCH_PX, _PATCH_PX))
    ground = np.asarray(cv2.blur((valid & ~sky).astype(np.float32), (_PATCH_PX, _PATCH_PX)) > 0.999)
    column, row = np.rint(points.x).astype(np.intp), np.rint(points.y).astype(np.intp)
    inside = (column >= 0) & (column < columns) & (row >= 0) & (row < rows)
    values = np.full(points.x.shape, np.nan)
    values[inside] = np.where(ground[row[inside], column[inside]], whole[row[inside], column[inside]], np.nan)
    if darkest_share < 1:
        values[~dark_terrain(values, airlight, points.distance_m, share=darkest_share)] = np.nan
    return TerrainPixels(
        values,
        points.distance_m,
        airlight,
        noise=noise / _PATCH_PX,
        distance_patterns_m=points.patterns_m,
        cluster=points.cluster,
    )
