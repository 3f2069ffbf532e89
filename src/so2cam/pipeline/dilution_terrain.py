"""Ground of known distance in the image: where it is, how far, and the extinction that a pair shows on it."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from so2cam.core.records import FloatArray
from so2cam.core.site import Site
from so2cam.formats.terrain import read_terrain
from so2cam.pipeline.geometry import camera_model
from so2cam.pipeline.steps import LogImage
from so2cam.science.emission.lines import sample_image
from so2cam.science.geometry.terrain import ViewUncertainty, pixels_along, terrain_distances, values_along
from so2cam.science.imaging.background import (
    block_means,
    blocks_to_pixels,
    evaluate_surface,
    find_sky,
    fit_sky_surface,
    pixels_above,
)
from so2cam.science.imaging.extinction import (
    Extinction,
    ExtinctionStatus,
    FitLimits,
    TerrainPixels,
    dark_terrain,
    missing_extinction,
    patterns_by_group,
    sky_above,
    terrain_extinction,
)

_ALL_STEP_PX = 8
"""Spacing of ground pixels where all of the image's ground is used."""
_REACH_M = 40_000.0
_PIXEL_NOISE = 0.02
"""Relative 1 sigma of one pixel's intensity: shot noise, and ground that differs from pixel to pixel is found apart."""
_CLUSTER_PX = 40
"""Ground within this is taken as alike: one patch of rock or of plants."""


@dataclass(frozen=True, slots=True)
class Ground:
    """Pixels of ground (N,): place in the on-band image, distance [m], and what is not known of it."""

    x: FloatArray
    y: FloatArray
    distance_m: FloatArray
    patterns_m: FloatArray
    """(K, N): shifts of distances by one cause each, 1 sigma"""
    cluster: npt.NDArray[np.intp]


def site_ground(site: Site, folder: Path) -> Ground:
    """Return the ground that the site file names, or all that its terrain model shows.

    Raises InputError where the terrain model cannot be used.
    """
    settings = site.processing.light_dilution
    xs, ys, groups = [], [], []
    for index, region in enumerate(settings.regions):
        x, y = pixels_along(region.points, step_px=2.0)
        xs.append(x)
        ys.append(y)
        groups.append(np.full(x.size, index))
    if not xs:
        optics = site.camera.optics
        columns, rows = np.meshgrid(
            np.arange(_ALL_STEP_PX / 2, optics.width_px - 1, _ALL_STEP_PX),
            np.arange(_ALL_STEP_PX / 2, optics.height_px - 1, _ALL_STEP_PX),
        )
        xs, ys, groups = [columns.ravel()], [rows.ravel()], [np.zeros(columns.size)]
    x, y, group = np.concatenate(xs), np.concatenate(ys), np.concatenate(groups).astype(np.intp)
    distance = np.full(x.size, np.nan)
    sigma = np.zeros(x.size)
    patterns = np.zeros((0, x.size))
    if settings.terrain_model is not None:
        view = site.camera.view
        grid = read_terrain(
            folder / settings.terrain_model,
            site.camera.position,
            reach_m=_REACH_M,
            crs=settings.terrain_crs,
        )
        seen = terrain_distances(
            grid,
            camera_model(site),
            x,
            y,
            ViewUncertainty(np.radians(view.azimuth_uncertainty_deg), np.radians(view.elevation_uncertainty_deg)),
        )
        distance, patterns = seen.distance_m.copy(), np.nan_to_num(seen.patterns_m)
    for index, region in enumerate(settings.regions):
        given = region.distances_m
        if given is not None:
            inside = group == index
            along = np.linspace(0, 1, int(inside.sum()))
            distance[inside] = values_along(region.points, given, along)
            sigma[inside] = region.distance_sigma_m or 0.0
            patterns[:, inside] = 0.0
    if sigma.any():
        patterns = np.concatenate([patterns, patterns_by_group(sigma, group)])
    known = np.isfinite(distance)
    cells = (x // _CLUSTER_PX).astype(np.intp) * 10_000 + (y // _CLUSTER_PX).astype(np.intp)
    _, cluster = np.unique(cells[known], return_inverse=True)
    return Ground(x[known], y[known], distance[known], patterns[:, known], cluster.astype(np.intp))


def measure_extinction(site: Site, ground: Ground, on: LogImage, off: LogImage) -> tuple[Extinction, Extinction]:
    """Return the extinction of the on and the off band that one pair shows, each with a status."""
    settings = site.processing.light_dilution
    shape = on.values.shape
    valid = on.valid & off.valid
    background = site.processing.background
    skyline = None if background.skyline is None else np.asarray(background.skyline, np.float64)
    blocks = block_means(on.values, off.values, valid)
    sky = find_sky(blocks, shape, skyline)
    surface = fit_sky_surface(blocks, sky, shape, order=background.order)
    if surface is None:
        nothing = missing_extinction(ExtinctionStatus.UNDETERMINED)
        return nothing, nothing
    in_sky = blocks_to_pixels(sky, shape) if background.skyline is None else pixels_above(background.skyline, shape)
    limits = FitLimits(
        minimum_span_m=settings.minimum_distance_span_m,
        brightness=settings.brightness_limits,
        airlight_uncertainty=settings.airlight_uncertainty,
        surface_trend=settings.surface_trend,
    )
    found = []
    for band, coefficients in ((on, surface.on), (off, surface.off)):
        # Against the fitted sky: what stands just above the ground may be the plume.
        bright = np.exp(evaluate_surface(coefficients, surface.order, shape))
        airlight = sky_above(bright, in_sky, ground.x, ground.y)
        with np.errstate(over="ignore"):
            intensity = np.exp(sample_image(band.values, valid & ~in_sky, ground.x, ground.y))
        chosen = np.isfinite(airlight)
        if settings.darkest_share < 1:
            chosen &= dark_terrain(intensity, np.nan_to_num(airlight), ground.distance_m, share=settings.darkest_share)
        found.append(
            terrain_extinction(
                TerrainPixels(
                    intensity=np.where(chosen, intensity, np.nan),
                    distance_m=ground.distance_m,
                    airlight=airlight,
                    noise=np.nan_to_num(_PIXEL_NOISE * intensity, nan=1.0),
                    distance_patterns_m=ground.patterns_m,
                    cluster=ground.cluster,
                ),
                limits,
            )
        )
    return found[0], found[1]
